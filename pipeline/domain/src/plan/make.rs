//! From what is known about each resource to the items of a plan.

use super::checks::checks;
use super::handling::Handling;
use super::hold::{Case, Figure, Held, Hold};
use super::words::{Story, evidence, leak_guidance, leak_reason};
use super::{
    Action, Basis, Calendar, Check, Coming, Expected, FORMAT_VERSION, Inverse, Item, ModelRef, Note, Plan,
    PlannedTarget, Projected, Proposed, Recommendation, Replay, Requests,
};
use crate::Timestamp;
use crate::ledger::sha256_hex;
use crate::nodes::Machine;
use crate::overrides::{Applied, Overrides};
use crate::own_memory::OwnMemory;
use crate::rollout::Rollout;
use crate::rules::{Rules, When};
use crate::state::State;
use crate::task::Task;
use crate::time::DAY;
use crate::units::{self, MIB};
use std::collections::BTreeMap;

/// Changes below this share are not worth a restart: `pod-update-threshold` of the Kubernetes VPA.
pub(super) const WORTHWHILE: f64 = 0.1;

/// A resource whose newest sample lies so long before the newest of all is no longer there, or no longer recorded.
const SILENT: i64 = 7 * DAY;
/// And where nothing at all was recorded for so long, nothing is known of today.
const OLD: i64 = 30 * DAY;

/// The smallest limits ever proposed: below them a shell does not start reliably. KRR uses 10m / 100 MiB.
pub(super) const FLOOR: State = State { cpu_cores: Some(0.05), memory_bytes: Some(64 * MIB) };

/// Monthly prices, for the `cost` figures.
#[derive(Clone, Copy, Debug)]
pub struct Rates {
    /// A core for a month.
    pub core_month: f64,
    /// A GiB of memory for a month.
    pub gib_month: f64,
}

impl Default for Rates {
    /// Round on-demand prices of general-purpose cloud machines (about $0.03 a core-hour, $0.004 a GiB-hour).
    fn default() -> Self {
        Self { core_month: 22.0, gib_month: 3.0 }
    }
}

impl Rates {
    /// A month of these limits; none where nothing is limited.
    pub fn month(self, state: State) -> Option<f64> {
        (!state.is_empty()).then(|| {
            let gib = state.memory_bytes.unwrap_or(0) as f64 / units::GIB as f64;
            state.cpu_cores.unwrap_or(0.0) * self.core_month + gib * self.gib_month
        })
    }
}

/// What the target would refuse to change, and why; one figure does not stand for the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refused {
    /// The CPU limit.
    pub cpu: Option<String>,
    /// The memory limit.
    pub memory: Option<String>,
}

/// All that is known about one resource when a plan is made.
#[derive(Clone, Debug, Default)]
pub struct Candidate {
    /// `env/service`.
    pub resource: String,
    /// The target that has it.
    pub on: String,
    /// Its limits now.
    pub live: State,
    /// What is reserved for it, where its target tells requests and limits apart.
    pub requests: Option<State>,
    /// How many containers it stands for, each with these limits; none: one.
    pub replicas: Option<u32>,
    /// What the policy says; none where it has no usage.
    pub recommendation: Option<Recommendation>,
    /// What the shadow inventory says.
    pub expected: Option<Expected>,
    /// What the runs want that are expected in it.
    pub coming: Option<Coming>,
    /// Probability that its next hour is contended under the present limits.
    pub contention: Option<f64>,
    /// The present limits on past days.
    pub replay_before: Option<Replay>,
    /// Policies on its own past days.
    pub backtest: BTreeMap<String, Replay>,
    /// What the service is itself configured to take.
    pub own: Vec<OwnMemory>,
    /// The room there is.
    pub machine: Machine,
    /// When its limits were last adjusted by a plan, and what they were before.
    pub resized: Option<(Timestamp, State)>,
    /// What the target would refuse.
    pub refused: Refused,
    /// The process that a leak is in.
    pub culprit: Option<super::Evidence>,
    /// Lower limits of its quiet hours, where a replay says that they pay; it counts where its highest limits are what is
    /// planned.
    pub calendar: Option<Calendar>,
}

/// Something that a person wants done beside limits.
#[derive(Clone, Debug, PartialEq)]
pub struct Tasked {
    /// `env/service`.
    pub resource: String,
    /// The target that has it.
    pub on: String,
    /// Its limits, which stay.
    pub live: State,
    /// What.
    pub task: Task,
    /// The rule that asks for it, as the pattern of its resource.
    pub pattern: String,
    /// Why.
    pub reason: Option<String>,
    /// Why the target would not do it.
    pub refused: Option<String>,
}

impl Tasked {
    fn item(&self) -> Item {
        let action = if self.refused.is_some() { Action::None } else { Item::action_of(&self.task) };
        let back = match action {
            Action::Prioritize => Action::Prioritize,
            Action::Provision => Action::Deprovision,
            Action::Deprovision => Action::Provision,
            Action::Route => Action::Route,
            Action::Deploy => Action::Deploy,
            _ => Action::None,
        };
        let why = self.reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
        let refused = self.refused.as_ref().map_or_else(String::new, |why| format!("; not done: {why}"));
        // What a stack declares is no task of a person's rules.
        let asked = match self.task {
            Task::Deploy(_) | Task::Route { .. } => "",
            _ => ", asked for by a task",
        };
        Item {
            id: String::new(),
            resource: self.resource.clone(),
            on: self.on.clone(),
            action,
            before: self.live,
            after: self.live,
            requests: None,
            calendar: None,
            reason: format!("{}{asked}{why}{refused}", self.task.in_words()),
            lower_bound: State::default(),
            target: State::default(),
            upper_bound: State::default(),
            confidence: None,
            evidence: Vec::new(),
            projected: Projected::default(),
            override_: Some(Applied {
                rule: "task".into(),
                pattern: self.pattern.clone(),
                reason: self.reason.clone(),
            }),
            task: Some(self.task.clone()),
            inverse: Inverse { action: back, after: self.live },
            guidance: String::new(),
            handling: None,
        }
    }
}

/// What a plan is made from.
#[derive(Clone, Debug, Default)]
pub struct PlanInputs {
    /// One per resource of each target.
    pub candidates: Vec<Candidate>,
    /// A person's rules.
    pub overrides: Overrides,
    /// What is done beside limits.
    pub tasks: Vec<Tasked>,
    /// What follows from predictions, beside limits.
    pub proposals: Vec<Proposed>,
    /// From how high a forecast on limits are raised to it; the rules of the team.
    pub rules: Rules,
    /// Policies on the rows of the candidates.
    pub backtest: BTreeMap<String, Replay>,
    /// Resources of the same environments whose usage is recorded, and which the target does not have.
    pub unclaimed: Vec<String>,
    /// The share of the CPU samples of all resources that may be above the limit, 0 to 1; 0: no CPU limit goes below a peak
    /// that was seen.
    pub risk: f64,
    /// The policy that made the recommendations.
    pub policy: String,
    /// The newest event.
    pub data_watermark: Timestamp,
    /// The model.
    pub model: ModelRef,
    /// What may not move beyond its tolerance until the plan is applied.
    pub basis: Option<Basis>,
    /// The targets, in the order in which they are changed.
    pub targets: Vec<PlannedTarget>,
    /// Prices.
    pub rates: Rates,
    /// How long it may be applied, in microseconds.
    pub valid_for: i64,
    /// Cautions of the target.
    pub notes: Vec<Note>,
    /// What the tasks are the steps of.
    pub rollout: Option<Rollout>,
    /// Items that were made for themselves: remedies.
    pub remedies: Vec<Item>,
    /// Tells two plans from the same data apart: the last entry of the ledger.
    pub salt: String,
}

impl PlanInputs {
    /// Whether there is something to change: limits that were only observed belong to no target.
    pub(super) fn is_live(&self) -> bool {
        self.targets.iter().all(|target| target.kind != "observed")
    }
}

/// Replays fixed limits over a resource's past: resource, limits → what would have happened.
pub type ReplayLimits<'a> = &'a dyn Fn(&str, State) -> Option<Replay>;

/// Makes the plan: an item per candidate, and one more where its memory leaks while its CPU changes. What is to be done
/// comes first, then by resource.
pub fn plan(inputs: &PlanInputs, replay: ReplayLimits<'_>, now: Timestamp) -> Plan {
    let mut items: Vec<Item> = inputs.candidates.iter().flat_map(|c| items_of(c, inputs, replay, now)).collect();
    items.extend(inputs.tasks.iter().map(Tasked::item));
    // What a person asked for stands above what follows from a prediction.
    let asked = |it: &&Proposed| inputs.tasks.iter().any(|task| it.is_about(&task.resource, &task.on, &task.task));
    let proposals = inputs.proposals.iter().filter(|it| !asked(it));
    items.extend(proposals.map(|it| it.item(inputs.overrides.find(&it.resource, now))));
    for item in &mut items {
        let kind = inputs.targets.iter().find(|target| target.id == item.on);
        item.handling = item.handling.take().or_else(|| Handling::of(item, kind));
    }
    let key = |item: &Item| (item.action == Action::None, item.resource.clone());
    // Stable: of one resource on several targets, in the order of the targets.
    items.sort_by_key(key);
    let checks = checks(inputs, &items, now);
    assembled(inputs, items, checks, now)
}

/// Makes a plan of nothing but tasks and remedies, in their order, of which the caller knows what must hold.
pub fn plan_tasks(inputs: &PlanInputs, checks: Vec<Check>, now: Timestamp) -> Plan {
    let tasks = inputs.tasks.iter().map(Tasked::item);
    assembled(inputs, tasks.chain(inputs.remedies.iter().cloned()).collect(), checks, now)
}

fn assembled(inputs: &PlanInputs, mut items: Vec<Item>, checks: Vec<Check>, now: Timestamp) -> Plan {
    let tasks = if inputs.tasks.is_empty() { String::new() } else { format!("{:?}", inputs.tasks) };
    let proposals = if inputs.proposals.is_empty() { String::new() } else { format!("{:?}", inputs.proposals) };
    let remedies = if inputs.remedies.is_empty() { String::new() } else { format!("{:?}", inputs.remedies) };
    let seed = format!("{now}{}{:?}{:?}{tasks}{proposals}{remedies}", inputs.salt, inputs.targets, inputs.candidates);
    let short = &sha256_hex(seed.as_bytes())[..8];
    for (i, item) in items.iter_mut().enumerate() {
        item.id = format!("{short}-{}", i + 1);
    }
    let changes = items.iter().any(Item::is_change);
    let applyable = changes && inputs.is_live() && checks.iter().all(|check| check.passed || !check.blocking);
    let mut plan = Plan {
        format_version: FORMAT_VERSION,
        plan_id: format!("p{}-{short}", now.compact()),
        digest: String::new(),
        created_at: now,
        expires_at: now.plus(inputs.valid_for),
        data_watermark: inputs.data_watermark,
        model: inputs.model.clone(),
        targets: inputs.targets.clone(),
        items,
        backtest: inputs.backtest.clone(),
        checks,
        notes: inputs.notes.clone(),
        basis: inputs.basis.clone(),
        hours: inputs.overrides.hours(),
        rollout: inputs.rollout.clone(),
        applyable,
    };
    plan.digest = plan.compute_digest();
    plan
}

/// Whether there is enough to say anything about a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Evidence {
    Enough,
    Nothing,
    TooLittle,
    /// Nothing was recorded of it lately.
    Silent,
}

impl Evidence {
    pub(super) fn of(seen: Option<&Recommendation>, watermark: Timestamp, now: Timestamp) -> Self {
        match seen {
            None => Self::Nothing,
            Some(seen) if watermark.0 - seen.newest.0 > SILENT || now.0 - seen.newest.0 > OLD => Self::Silent,
            Some(seen) if !seen.coverage.is_enough(seen.samples) => Self::TooLittle,
            Some(_) => Self::Enough,
        }
    }
}

fn items_of(candidate: &Candidate, inputs: &PlanInputs, replay: ReplayLimits<'_>, now: Timestamp) -> Vec<Item> {
    let before = candidate.live;
    let bounds = candidate.recommendation.as_ref();
    let known = Evidence::of(bounds, inputs.data_watermark, now);
    let mut held = match bounds.filter(|_| known == Evidence::Enough) {
        Some(seen) => {
            let wanted = wanted(seen, candidate, raised(candidate, &inputs.rules));
            Case { candidate, seen, wanted, risk: inputs.risk, policy: &inputs.policy, replay }.judge()
        }
        None => Held { state: before, holds: Vec::new() },
    };
    let target = held.state;
    // The rule comes last: nothing that follows may move a figure across it.
    let steady = keep_small_changes(before, target);
    let (ruled, override_) = match inputs.overrides.find(&candidate.resource, now) {
        Some(rule) => {
            let (after, applied) = rule.constrain(before, steady);
            (after, Some(applied))
        }
        None => (steady, None),
    };
    let possible = within_machine(candidate, ruled, &mut held.holds);
    let after = unless_refused(candidate, possible, &mut held.holds);
    let leaks = held.holds.iter().any(|hold| matches!(hold, Hold::Leak(_)));
    let is_known = known == Evidence::Enough && !leaks;
    let frozen = override_.as_ref().is_some_and(|rule| rule.rule == "freeze");
    // The runs to come may want more of an ordinary day than those that were.
    let usual = candidate.coming.as_ref().map(|coming| coming.usual).unwrap_or_default();
    let typical = bounds.filter(|_| is_known && !frozen).map(|seen| seen.typical.most(usual));
    let requests = Requests::of(candidate, after, typical);
    let kind = inputs.targets.iter().find(|target| target.id == candidate.on).map_or("", |target| target.kind.as_str());
    let is_free = is_known && requests.is_none() && override_.as_ref().is_none_or(|rule| rule.rule == "none");
    let calendar =
        candidate.calendar.clone().filter(|it| is_free && it.highest == after && follows(it, candidate, inputs, kind));
    let stays = after == before && !requests.is_some_and(|requests| requests.is_change()) && calendar.is_none();
    let action = match (stays, leaks) {
        (false, _) => Action::Resize,
        (true, true) => Action::FixLeak,
        (true, false) => Action::None,
    };
    let applied = override_.as_ref();
    let story = Story { candidate, kind, known, action, before, steady, after, applied, holds: &held.holds };
    let (reason, guidance) = (story.reason(), story.guidance());
    let reason = match requests.filter(Requests::is_change) {
        Some(_) if after == before => "its requests are not what it uses on a typical day; its limits stay".to_owned(),
        _ => reason,
    };
    let reason = match &calendar {
        Some(calendar) => format!("{reason}; in its quiet hours {}", calendar.in_words()),
        None => reason,
    };
    let what = Described { action, after, requests, calendar, target, reason, guidance, override_ };
    let item = describe(candidate, inputs, what, replay, now);
    let mut items = vec![item];
    if leaks && action == Action::Resize {
        items.insert(0, beside(&items[0], &held.holds, candidate));
    }
    items
}

/// Whether limits of a resource can follow a calendar: where they change without a restart, at any hour, no event is due, and the
/// runs to come fit its quiet hours.
fn follows(calendar: &Calendar, candidate: &Candidate, inputs: &PlanInputs, kind: &str) -> bool {
    let due = candidate.expected.as_ref().is_some_and(|expected| !expected.schedule.is_empty());
    let demand = candidate.coming.as_ref().map(|coming| coming.demand).unwrap_or_default();
    let fits = calendar
        .quiet
        .iter()
        .all(|quiet| demand.cpu_cores <= quiet.limits.cpu_cores && demand.memory_bytes <= quiet.limits.memory_bytes);
    matches!(kind, "docker" | "exec") && !due && fits && !inputs.overrides.hours().concerns(&candidate.resource)
}

/// What is decided about a resource, in figures and in words.
struct Described {
    action: Action,
    after: State,
    requests: Option<Requests>,
    calendar: Option<Calendar>,
    target: State,
    reason: String,
    guidance: String,
    override_: Option<Applied>,
}

fn describe(
    candidate: &Candidate,
    inputs: &PlanInputs,
    what: Described,
    replay: ReplayLimits<'_>,
    now: Timestamp,
) -> Item {
    let Described { action, after, requests, calendar, target, reason, guidance, override_ } = what;
    let before = candidate.live;
    let bounds = candidate.recommendation.as_ref();
    let past = replay(&candidate.resource, after);
    let cpu = past.as_ref().filter(|_| after.cpu_cores.is_some());
    let containers = candidate.replicas.map_or(1.0, f64::from);
    let month = |state: State| inputs.rates.month(state).map(|cost| cents(cost * containers));
    let mut rows = evidence(candidate, now);
    rows.extend(calendar.as_ref().map(|calendar| calendar.evidence(&candidate.resource)));
    Item {
        id: String::new(),
        resource: candidate.resource.clone(),
        on: candidate.on.clone(),
        action,
        before,
        after,
        requests,
        calendar,
        reason,
        lower_bound: bounds.map_or(State::default(), |r| r.lower),
        target,
        upper_bound: bounds.map_or(State::default(), |r| r.upper),
        confidence: candidate.expected.as_ref().map(|e| round3(e.confidence)),
        evidence: rows,
        projected: Projected {
            slack: cpu.map(|p| round3(p.cpu_slack)),
            memory_slack: past.as_ref().filter(|_| after.memory_bytes.is_some()).map(|p| round3(p.memory_slack)),
            oom_rate: past.as_ref().map(|p| p.oom_rate),
            throttled_rate: past.as_ref().map(|p| p.throttled_rate),
            late_core_seconds: cpu.and_then(|p| p.late_core_seconds).map(round3),
            catch_up_s: cpu.and_then(|p| p.catch_up_s).map(round3),
            p95_duration_ms: None,
            replicas: candidate.replicas,
            cost: month(after),
            cost_before: month(before),
        },
        override_,
        task: None,
        inverse: Inverse { action, after: before },
        guidance,
        handling: None,
    }
}

/// The leak of a resource whose CPU changes: an item of its own, which no apply carries out.
fn beside(item: &Item, holds: &[Hold], candidate: &Candidate) -> Item {
    let before = candidate.live;
    let leak = holds.iter().find_map(|hold| match hold {
        Hold::Leak(leak) => Some(leak),
        _ => None,
    });
    Item {
        action: Action::FixLeak,
        after: before,
        requests: None,
        calendar: None,
        reason: leak.map(|leak| leak_reason(leak, before)).unwrap_or_default(),
        guidance: leak.map(|leak| leak_guidance(leak, before, candidate)).unwrap_or_default(),
        projected: Projected::default(),
        override_: None,
        inverse: Inverse { action: Action::FixLeak, after: before },
        ..item.clone()
    }
}

/// No rule makes a machine larger: a pin or floor above what is told of it ends there. What is only guessed of a machine
/// does not speak against a person.
fn within_machine(candidate: &Candidate, ruled: State, holds: &mut Vec<Hold>) -> State {
    let (before, machine) = (candidate.live, candidate.machine);
    if !machine.told {
        return ruled;
    }
    let mut held = |figure: Figure| {
        let hold = Hold::Machine { figure, told: machine.told };
        if !holds.contains(&hold) {
            holds.push(hold);
        }
    };
    let mut after = ruled;
    if let (Some(cores), Some(most)) = (ruled.cpu_cores, machine.size.cpu_cores)
        && cores > most.max(before.cpu_cores.unwrap_or(0.0))
    {
        held(Figure::Cpu);
        after.cpu_cores = Some(most.max(before.cpu_cores.unwrap_or(0.0)));
    }
    if let (Some(bytes), Some(most)) = (ruled.memory_bytes, machine.size.memory_bytes)
        && bytes > most.max(before.memory_bytes.unwrap_or(0))
    {
        held(Figure::Memory);
        after.memory_bytes = Some(most.max(before.memory_bytes.unwrap_or(0)));
    }
    after
}

/// The figures that the target would write; a refused one stays, the other is not held back by it.
fn unless_refused(candidate: &Candidate, after: State, holds: &mut Vec<Hold>) -> State {
    let before = candidate.live;
    let mut refused = |figure: Figure, why: &Option<String>, changes: bool| {
        let Some(why) = why.as_ref().filter(|_| changes) else { return false };
        holds.push(Hold::Refused { figure, why: why.clone() });
        true
    };
    let cpu = refused(Figure::Cpu, &candidate.refused.cpu, after.cpu_cores != before.cpu_cores);
    let memory = refused(Figure::Memory, &candidate.refused.memory, after.memory_bytes != before.memory_bytes);
    State {
        cpu_cores: if cpu { before.cpu_cores } else { after.cpu_cores },
        memory_bytes: if memory { before.memory_bytes } else { after.memory_bytes },
    }
}

/// The policy's target, raised to what is foreseen: a known deployment, or a run that wants more than those before it, must
/// not be starved by a quiet past.
fn wanted(recommendation: &Recommendation, candidate: &Candidate, raised: State) -> State {
    let scheduled = candidate.expected.as_ref().filter(|e| !e.schedule.is_empty()).map(|e| e.upper);
    let coming = candidate.coming.as_ref().map(|coming| coming.demand);
    let scheduled = raised.most(scheduled.unwrap_or_default()).most(coming.unwrap_or_default());
    let cpu = recommendation
        .target
        .cpu_cores
        .map(|cpu| units::round_cores(cpu.max(scheduled.cpu_cores.unwrap_or(0.0)).max(FLOOR.cpu_cores.unwrap_or(0.0))));
    let memory = recommendation.target.memory_bytes.map(|memory| {
        let most = memory.max(scheduled.memory_bytes.unwrap_or(0)).max(FLOOR.memory_bytes.unwrap_or(0));
        units::round_bytes(most as f64)
    });
    State { cpu_cores: cpu, memory_bytes: memory }
}

/// What a rule raises limits to: the upper bound of a forecast that breaches them, or of one of a resource that will likely
/// be contended.
fn raised(candidate: &Candidate, rules: &Rules) -> State {
    let Some(expected) = &candidate.expected else { return State::default() };
    let (name, live) = (candidate.resource.as_str(), candidate.live);
    let contended = candidate.contention.is_some_and(|p| rules.leads(When::Contention, p, Action::Resize, name));
    let breaches = |peak: Option<f64>, limit: Option<f64>| {
        let share = peak.zip(limit).filter(|(_, limit)| *limit > 0.0).map(|(peak, limit)| peak / limit);
        share.is_some_and(|share| rules.leads(When::ForecastBreach, share, Action::Resize, name))
    };
    let bytes = |state: State| state.memory_bytes.map(|bytes| bytes as f64);
    State {
        cpu_cores: expected.upper.cpu_cores.filter(|_| contended || breaches(expected.peak.cpu_cores, live.cpu_cores)),
        memory_bytes: expected.upper.memory_bytes.filter(|_| breaches(bytes(expected.peak), bytes(live))),
    }
}

/// A figure that would move by less than [`WORTHWHILE`] stays as it is.
fn keep_small_changes(before: State, after: State) -> State {
    let small = |old: f64, new: f64| old > 0.0 && ((new - old) / old).abs() < WORTHWHILE;
    State {
        cpu_cores: match (before.cpu_cores, after.cpu_cores) {
            (Some(old), Some(new)) if small(old, new) => Some(old),
            (old, None) => old,
            (_, new) => new,
        },
        memory_bytes: match (before.memory_bytes, after.memory_bytes) {
            (Some(old), Some(new)) if small(old as f64, new as f64) => Some(old),
            (old, None) => old,
            (_, new) => new,
        },
    }
}

fn round3(x: f64) -> f64 {
    (x * 1000.0).round() / 1000.0
}

fn cents(x: f64) -> f64 {
    (x * 100.0).round() / 100.0
}
