//! `what-if --remediate`: a plan for what is critical whatever is changed. Written like every plan: approved, applied and taken
//! back by the same commands.

use crate::commands::plan::live::{LiveTarget, read};
use crate::commands::stack::publish::publish;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::ledger::entries;
use crate::scratch::scratch;
use domain::nodes::{Machine, Nodes};
use domain::overrides::Overrides;
use domain::plan::{
    Action, Evidence, Item, Means, ModelRef, Note, Plan, PlanInputs, Projected, Rates, Remedy, State, literal,
    plan_tasks,
};
use domain::task::TaskRule;
use domain::time::DAY;
use domain::units::format_bytes;
use domain::what_if::{Breach, Inventory, Outcome, critical};
use domain::{Timestamp, units};
use lake::{Lake, LakeError, Session};
use learn::usage::Usage;
use serde_json::Value;
use stack::{Change, Figure};
use std::collections::BTreeMap;
use std::path::Path;

/// More than the peak that nine days of ten stay below.
const HEADROOM: f64 = 1.1;
const MEMORY_STEP: u64 = 64 << 20;
const CPU_STEP: f64 = 0.1;
/// A plan or a deployment of the last days may be what a breach comes from.
const LATELY: i64 = 14 * DAY;
/// How long the plan may be applied.
const VALID_FOR: i64 = 7 * DAY;

/// What remedies are made from.
pub(super) struct Ground<'a> {
    pub(super) context: &'a Context,
    pub(super) lake: &'a Lake,
    pub(super) session: &'a Session,
    pub(super) then: &'a Inventory,
    pub(super) targets: &'a [String],
    pub(super) overrides: &'a Overrides,
    pub(super) nodes: &'a Nodes,
}

/// What is done, why it would not be, and in words.
type Course = (Means, Option<String>, String);

/// Writes the plan; none where nothing is critical.
pub(super) async fn write(ground: &Ground<'_>, output: &Path) -> Result<Option<Plan>, Failure> {
    let breaches = critical(ground.then);
    if breaches.is_empty() {
        return Ok(None);
    }
    let folder = scratch()?;
    let path = folder.path().join("usage.parquet");
    ground.session.export("usage", &path).await?;
    let usage = Usage::load(&path, ground.context.now)?;
    let targets = read(ground.targets, &usage)?;
    let before = Before::read(ground).await?;
    let (mut remedies, mut notes) = (Vec::new(), Vec::new());
    for breach in &breaches {
        let having: Vec<&LiveTarget> =
            targets.iter().filter(|on| on.live.resources.contains_key(&breach.resource)).collect();
        if having.is_empty() {
            let what = "is critical, and none of the targets has it".to_owned();
            notes.push(Note { resource: Some(breach.resource.clone()), what });
        }
        for on in having {
            let found = ground.remedies(breach, on, &before)?;
            remedies.extend(found.into_iter().map(|remedy| (on, remedy)));
        }
    }
    if remedies.is_empty() {
        return Err(Failure::new(Exit::Inconclusive, "no target has what is critical")
            .hint("name the target that has it: --target compose.yaml, --target docker"));
    }
    let inputs = |remedies: &[(&LiveTarget, Remedy)]| PlanInputs {
        remedies: remedies
            .iter()
            .map(|(on, it)| {
                let item = it.item(&on.planned, ground.overrides.find(&it.resource, ground.context.now));
                Item { projected: projected(&usage, &item), ..item }
            })
            .collect(),
        overrides: ground.overrides.clone(),
        targets: targets.iter().map(|on| on.planned.clone()).collect(),
        data_watermark: usage.newest().unwrap_or(ground.context.now),
        valid_for: VALID_FOR,
        model: ModelRef {
            name: "shadow inventory".to_owned(),
            version: ground.session.versions.get("predictions.shadow_inventory").map_or(String::new(), i64::to_string),
        },
        notes: notes.clone(),
        ..PlanInputs::default()
    };
    // A plan promises nothing that its target would refuse.
    let rehearsal = plan_tasks(&inputs(&remedies), Vec::new(), Timestamp::default());
    let changed: Vec<String> = rehearsal.changes().map(|item| item.id.clone()).collect();
    for on in targets.iter().filter(|on| on.target.is_some()) {
        let Some(target) = &on.target else { continue };
        let own = Change::of(&rehearsal, &changed).into_iter().filter(|it| it.on == on.planned.id && it.task.is_none());
        for refusal in tokio::task::block_in_place(|| target.refusals(&own.collect::<Vec<_>>()))? {
            let place = rehearsal.items.iter().position(|item| item.id == refusal.item_id);
            if let Some((_, remedy)) = place.and_then(|place| remedies.get_mut(place)) {
                without(remedy, refusal.figure, refusal.error.to_string());
            }
        }
    }
    let privacy = crate::context::privacy()?;
    publish(ground.context, (ground.lake, &privacy), inputs(&remedies), &[], output).await.map(Some)
}

/// The target would refuse a figure: the other is changed without it.
fn without(remedy: &mut Remedy, figure: Figure, why: String) {
    if let Means::Limits(after) = &mut remedy.means {
        let name = match figure {
            Figure::Cpu => {
                after.cpu_cores = remedy.live.cpu_cores;
                "CPU"
            }
            Figure::Memory => {
                after.memory_bytes = remedy.live.memory_bytes;
                "memory"
            }
        };
        if *after != remedy.live {
            remedy.reason.push_str(&format!("; {name} stays: {why}"));
            return;
        }
    }
    remedy.refused = Some(why);
}

/// What the limits of an item would have done on the past days, and cost.
fn projected(usage: &Usage, item: &Item) -> Projected {
    let rates = Rates::default();
    let Some(past) = usage.replay(&item.resource, item.after).filter(|_| item.action == Action::Resize) else {
        return Projected::default();
    };
    let (cpu, memory) = (item.after.cpu_cores.is_some(), item.after.memory_bytes.is_some());
    Projected {
        slack: cpu.then_some(past.cpu_slack),
        memory_slack: memory.then_some(past.memory_slack),
        oom_rate: Some(past.oom_rate),
        throttled_rate: Some(past.throttled_rate),
        cost: rates.month(item.after),
        cost_before: rates.month(item.before),
        ..Projected::default()
    }
}

/// What came before that may be taken back.
struct Before {
    /// Resource → the newest plan that changed it and was not taken back.
    plans: BTreeMap<String, (String, Timestamp)>,
    /// Resource or environment → the newest deployment, in words.
    deployments: BTreeMap<String, (String, Timestamp)>,
    /// Resources whose memory leaks.
    leaks: Vec<String>,
}

const DEPLOYED: &str = "
    select resource, schedule_event_id, start_time
    from features.schedule
    where event_type = 'deployment' and resource is not null and start_time <= (select now from session.clock)
        and start_time > (select now from session.clock) - interval '14 days'
    order by start_time";

const LEAKS: &str = "
    select subject from predictions.anomalies
    where anomaly = 'leak' and ended_at is null and subject_kind = 'resource'
        and found_at <= (select now from session.clock)";

impl Before {
    async fn read(ground: &Ground<'_>) -> Result<Self, Failure> {
        let entries = entries(ground.lake).await?;
        let mut plans = BTreeMap::new();
        for entry in entries.iter().filter(|entry| entry.action == "apply") {
            let undone = |other: &&domain::ledger::Entry| {
                other.plan_id == entry.plan_id && matches!(other.action.as_str(), "rollback" | "revert")
            };
            let late = entry.at.0 < ground.context.now.0 - LATELY || entry.at > ground.context.now;
            if late || entries.iter().any(|other| undone(&other)) {
                continue;
            }
            let id = &entry.plan_id;
            let plan = match ground.lake.document::<Plan>(&format!("plans/{id}/plan.json")).await {
                Err(LakeError::Damaged { .. }) => None,
                // `rollback` takes the plan that was made, and no other in its place.
                plan => plan?.filter(|plan| plan.digest == entry.plan_digest && plan.is_intact()),
            };
            let Some(plan) = plan else { continue };
            for item in plan.changes() {
                plans.insert(item.resource.clone(), (id.clone(), entry.at));
            }
        }
        let mut deployments = BTreeMap::new();
        for row in ground.session.query(DEPLOYED).await?.to_json()? {
            let at = crate::commands::report::time(&row["start_time"]);
            if let (Some(resource), Some(id), Some(at)) =
                (row["resource"].as_str(), row["schedule_event_id"].as_str(), at)
            {
                deployments.insert(resource.to_owned(), (id.to_owned(), at));
            }
        }
        let mut leaks = Vec::new();
        if ground.session.versions.contains_key("predictions.anomalies") {
            let rows = ground.session.query(LEAKS).await?.to_json()?;
            leaks.extend(rows.iter().filter_map(|row| row["subject"].as_str().map(str::to_owned)));
        }
        Ok(Self { plans, deployments, leaks })
    }
}

impl Ground<'_> {
    /// What helps one resource on one target, the surest first.
    fn remedies(&self, breach: &Breach, on: &LiveTarget, before: &Before) -> Result<Vec<Remedy>, Failure> {
        let name = &breach.resource;
        let live = on.live.resources.get(name).copied().unwrap_or_default();
        let (mut evidence, mut says) = (Vec::new(), Vec::new());
        for (figure, outcome) in [("cpu_cores", &breach.cpu), ("memory_bytes", &breach.memory)] {
            let Some(outcome) = outcome else { continue };
            let amount: fn(f64) -> String =
                if figure == "cpu_cores" { |cores| format!("{cores:.2} cores") } else { format_bytes };
            let limit = outcome.limit.map(amount).unwrap_or_default();
            let percent = outcome.probability * 100.0;
            let first = outcome.first_at.map_or(String::new(), |at| format!(", first at {}", at.minute()));
            says.push(format!(
                "{} above its limit of {limit} with {percent:.0} %{first}",
                figure.split('_').next().unwrap_or(figure)
            ));
            let sql = format!(
                "select at, predicted_state['{figure}'], upper['{figure}'] from predictions.shadow_inventory where resource_id = {} order by at",
                literal(name)
            );
            let value = format!("{}, on nine days of ten below {}", amount(outcome.peak), amount(outcome.peak_upper));
            evidence.push(Evidence::rows("forecast peak", value, "predictions.shadow_inventory", sql));
        }
        let foreseen = says.join("; ");
        let remedy = |means: Means, refused: Option<String>, what: String| Remedy {
            resource: name.clone(),
            live,
            means,
            refused,
            reason: format!("{foreseen}: {what}"),
            evidence: evidence.clone(),
        };
        let mut all = Vec::new();
        if before.leaks.contains(name) {
            let (means, refused) = self
                .task(on, TaskRule { resource: name.clone(), restart: true, ..TaskRule::default() })?
                .unwrap_or_else(|| {
                    (by_hand(Action::Restart, format!("restart {name}"), "nothing to undo".to_owned()), None)
                });
            all.push(remedy(means, refused, "its memory leaks, and a restart gives it back".to_owned()));
        }
        let wanted = raised(live, breach);
        let after = self.room(name, live, wanted);
        let what = match after == wanted {
            true => "it is given what it is foreseen to need".to_owned(),
            false => format!(
                "its machine has room for {}, and it is foreseen to need {}; the rest takes a larger machine or another \
                 instance",
                super::changes::in_words(after),
                super::changes::in_words(wanted)
            ),
        };
        let refused = (after != wanted && after == live).then(|| "its machine has no more than that".to_owned());
        all.push(remedy(Means::Limits(after), refused, what));
        all.extend(self.fail_over(name, on)?.map(|(resource, (means, refused, what))| {
            let live = on.live.resources.get(&resource).copied().unwrap_or_default();
            Remedy { resource, live, ..remedy(means, refused, what) }
        }));
        if let Some((id, at)) = before.plans.get(name) {
            // Of a lake in an object store, the plan is read from there by the same commands.
            let file = format!("{}/plans/{id}/plan.json", self.context.global.lake.trim_end_matches('/'));
            let means = by_hand(Action::Deploy, format!("pipeline rollback {file}"), format!("pipeline apply {file}"));
            all.push(remedy(
                means,
                None,
                format!("plan {id} changed it at {}: the last good state is before it", at.minute()),
            ));
        }
        let env = name.split_once('/').map_or(name.as_str(), |(env, _)| env);
        if let Some((id, at)) = before.deployments.get(name).or_else(|| before.deployments.get(env)) {
            let means =
                by_hand(Action::Deploy, format!("deploy again what ran before {id}"), format!("deploy {id} again"));
            all.push(remedy(
                means,
                None,
                format!("{id} was deployed at {}: the last good state is before it", at.minute()),
            ));
        }
        Ok(all)
    }

    /// What the target itself can do; none where it has nothing of it.
    fn task(&self, on: &LiveTarget, rule: TaskRule) -> Result<Option<(Means, Option<String>)>, Failure> {
        let Some(target) = &on.target else { return Ok(None) };
        let found = tokio::task::block_in_place(|| target.tasks(std::slice::from_ref(&rule)))?;
        Ok(found.into_iter().next().map(|it| (Means::Task(it.task), it.refused)))
    }

    /// Limits within the machine, where one is known.
    fn room(&self, name: &str, live: State, wanted: State) -> State {
        let machine: Machine = self.nodes.machine(name, Machine::default());
        if !machine.told {
            return wanted;
        }
        // A limit above the machine is not lowered here.
        let cores = machine.size.cpu_cores.map(|most| most.max(live.cpu_cores.unwrap_or(0.0)));
        let bytes = machine.size.memory_bytes.map(|most| most.max(live.memory_bytes.unwrap_or(0)));
        let cpu_cores = wanted.cpu_cores.map(|wanted| wanted.min(cores.unwrap_or(wanted)));
        let memory_bytes = wanted.memory_bytes.map(|wanted| wanted.min(bytes.unwrap_or(wanted)));
        State { cpu_cores, memory_bytes }
    }

    /// Another instance of the same service: one that is stopped is started, one that runs is named. Gives the resource that it
    /// is done to.
    fn fail_over(&self, name: &str, on: &LiveTarget) -> Result<Option<(String, Course)>, Failure> {
        let (env, service) = name.split_once('/').unwrap_or(("", name));
        let family = family(service);
        let is_other = |other: &str| {
            let (its_env, its_service) = other.split_once('/').unwrap_or(("", other));
            other != name && its_env == env && self::family(its_service) == family
        };
        // What is stopped has no limits in force, and is not among the live resources.
        let rule = TaskRule { resource: format!("{env}/*"), running: Some(true), ..TaskRule::default() };
        let stopped = match &on.target {
            Some(target) => tokio::task::block_in_place(|| target.tasks(&[rule]))?,
            None => Vec::new(),
        };
        if let Some(it) = stopped.into_iter().find(|it| is_other(&it.resource)) {
            let what = format!("{} stands by, and is started beside it", it.resource);
            return Ok(Some((it.resource, (Means::Task(it.task), it.refused, what))));
        }
        let calm = self.then.iter().filter(|(other, _)| is_other(other)).find(|(_, foreseen)| {
            let likely = |outcome: Option<Outcome>| outcome.map_or(0.0, |outcome| outcome.probability);
            likely(foreseen.cpu()).max(likely(foreseen.memory())) < domain::what_if::TOLD
        });
        Ok(calm.map(|(other, _)| {
            let means = by_hand(
                Action::Route,
                format!("send the callers of {name} to {other}"),
                format!("send them to {name} again"),
            );
            (name.to_owned(), (means, None, format!("{other} is a redundant instance with room")))
        }))
    }
}

fn by_hand(action: Action, step: String, undo: String) -> Means {
    Means::Person(action, vec![step], vec![undo])
}

/// A service without what numbers its instances: `web-2`, `web-standby` and `web_b` are `web`.
fn family(service: &str) -> &str {
    let (base, last) = match service.rsplit_once(['-', '_']) {
        Some(parts) => parts,
        None => return service.trim_end_matches(|char: char| char.is_ascii_digit()),
    };
    let numbers = last.bytes().all(|byte| byte.is_ascii_digit()) || last.len() == 1;
    let stands_by = matches!(last, "standby" | "replica" | "secondary" | "spare");
    if numbers || stands_by { base } else { service }
}

/// The limits that hold the peak which nine days of ten stay below, with room; no figure falls.
fn raised(live: State, breach: &Breach) -> State {
    let cores = breach.cpu.as_ref().map(|outcome| (outcome.peak_upper * HEADROOM / CPU_STEP).ceil() * CPU_STEP);
    let bytes = breach
        .memory
        .as_ref()
        .map(|outcome| ((outcome.peak_upper * HEADROOM) as u64).div_ceil(MEMORY_STEP).saturating_mul(MEMORY_STEP));
    State {
        cpu_cores: match (live.cpu_cores, cores) {
            (Some(live), Some(cores)) => Some((cores.max(live) * 1000.0).round() / 1000.0),
            (live, _) => live,
        },
        memory_bytes: match (live.memory_bytes, bytes) {
            (Some(live), Some(bytes)) => Some(bytes.max(live)),
            (live, _) => live,
        },
    }
}

/// For people.
pub(super) fn show(context: &Context, plan: Option<&Plan>, output: &Path) {
    context.say("");
    let Some(plan) = plan else {
        context.say("Nothing is critical: no plan of remedies is written.");
        return;
    };
    let done = units::counted(plan.changes().count(), "change");
    context.say(format!("remedies  {done} and {} by hand in {}", plan.for_people().count(), output.display()));
    for item in &plan.items {
        let what = match (item.action, item.is_change()) {
            (Action::Resize, _) => format!("resize to {}", super::changes::in_words(item.after)),
            (action, true) => action.name().to_owned(),
            (Action::None, _) => "nothing".to_owned(),
            (_, false) => item.guidance.clone(),
        };
        context.say_wrapped(format!("  {}  ", item.resource), &format!("{what}: {}", item.reason), 4);
    }
    if plan.applyable {
        context.say(format!("Next: pipeline approve {0} && pipeline apply {0}", output.display()));
    }
}

/// As JSON: the plan and where it is.
pub(super) fn json(plan: Option<&Plan>, output: &Path) -> Value {
    plan.map_or(Value::Null, |plan| {
        serde_json::json!({"file": output.display().to_string(), "plan_id": plan.plan_id, "items": plan.items, "applyable": plan.applyable})
    })
}

#[cfg(test)]
mod tests {
    use super::family;

    #[test]
    fn instances_of_one_service_are_of_one_family() {
        for other in ["web-2", "web_b", "web2", "web-standby", "web"] {
            assert_eq!(family(other), "web", "{other}");
        }
        for other in ["web-api", "web-backup", "web-green"] {
            assert_eq!(family(other), other);
        }
    }
}
