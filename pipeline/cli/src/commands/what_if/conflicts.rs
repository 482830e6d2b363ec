//! What a change gets in the way of: rules of people, scheduled events, other plans, and the machines there are.

use super::changes::Made;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::ledger::entries;
use domain::Timestamp;
use domain::nodes::Nodes;
use domain::overrides::Overrides;
use domain::packing::{Packed, machines as packed};
use domain::plan::{Item, Plan, PlannedTarget, State};
use domain::what_if::{Finding, Full, Gravity, Inventory, TOLD, full, gravity, newly_full, taken};
use lake::{Lake, LakeError, Session};
use serde_json::{Value, json};
use stack::planned_target;
use std::collections::{BTreeMap, BTreeSet};

fn finding(id: String, gravity: Gravity, resource: &str, what: String) -> Finding {
    Finding { id, gravity, resource: resource.to_owned(), what, probability: None }
}

/// Limits that a pin, floor, ceiling or freeze does not allow.
pub(super) fn rules(
    today: &Inventory,
    then: &Inventory,
    made: &Made,
    overrides: &Overrides,
    now: Timestamp,
) -> Vec<Finding> {
    let one = |resource: &String| {
        let rule = overrides.find(resource, now)?;
        let (before, after) = (today.get(resource)?.limits, then.get(resource)?.limits);
        let (allowed, applied) = rule.constrain(before, after);
        if allowed == after {
            return None;
        }
        let why = applied.reason.map_or(String::new(), |reason| format!(" ({reason})"));
        let what = format!("the {} of {} does not allow it{why}", applied.rule, applied.pattern);
        Some(finding(format!("override:{resource}"), Gravity::Critical, resource, what))
    };
    made.resources.iter().filter_map(one).collect()
}

const EVENTS: &str = "
    select schedule_event_id, event_type, start_time, end_time
    from features.schedule
    where end_time >= (select now from session.clock)";

/// Scheduled events that touch a changed resource within the horizon.
pub(super) async fn schedule(session: &Session, made: &Made, today: &Inventory) -> Result<Vec<Finding>, Failure> {
    let touching: BTreeSet<(&String, &String)> = made
        .resources
        .iter()
        .filter_map(|name| Some((name, today.get(name)?)))
        .flat_map(|(name, foreseen)| foreseen.hours.iter().filter_map(move |hour| Some((hour.event.as_ref()?, name))))
        .collect();
    if touching.is_empty() {
        return Ok(Vec::new());
    }
    let rows = session.query(EVENTS).await?.to_json()?;
    let events: BTreeMap<&str, &Value> =
        rows.iter().filter_map(|row| Some((row["schedule_event_id"].as_str()?, row))).collect();
    let one = |(event, resource): &(&String, &String)| {
        let row = events.get(event.as_str())?;
        let text = |name: &str| row[name].as_str().unwrap_or_default();
        let minute = |name: &str| crate::commands::report::time(&row[name]).unwrap_or_default().minute();
        let (kind, gravity) = match text("event_type") {
            kind @ ("deployment" | "maintenance") => (kind, Gravity::Warning),
            kind => (kind, Gravity::Notice),
        };
        let breaks = match kind {
            "maintenance" => "a change now would not be seen to be well",
            "deployment" => "what is deployed may need other limits, and may set them itself",
            _ => "the forecast has it in",
        };
        let what = format!("{kind} {event} from {} to {}: {breaks}", minute("start_time"), minute("end_time"));
        Some(finding(format!("schedule:{event}:{resource}"), gravity, resource, what))
    };
    Ok(touching.iter().filter_map(one).collect())
}

/// Other plans that `apply` would still take, and that change the same resources.
pub(super) async fn plans(
    context: &Context,
    lake: &Lake,
    made: &Made,
    then: &Inventory,
    own: Option<&Plan>,
) -> Result<Vec<Finding>, Failure> {
    let entries = entries(lake).await?;
    let over: BTreeSet<&str> = entries
        .iter()
        .filter(|entry| matches!(entry.action.as_str(), "apply" | "rollback" | "revert" | "expire"))
        .map(|entry| entry.plan_id.as_str())
        .collect();
    let approved: BTreeSet<&str> =
        entries.iter().filter(|entry| entry.action == "approve").map(|entry| entry.plan_id.as_str()).collect();
    let pending: BTreeMap<&str, &str> = entries
        .iter()
        .filter(|entry| entry.action == "plan" && !over.contains(entry.plan_id.as_str()))
        .map(|entry| (entry.plan_id.as_str(), entry.plan_digest.as_str()))
        .filter(|(id, _)| own.is_none_or(|own| own.plan_id != *id))
        .collect();
    let mut findings = Vec::new();
    for (id, digest) in pending {
        let plan = match lake.document::<Plan>(&format!("plans/{id}/plan.json")).await {
            Err(LakeError::Damaged { .. }) => None,
            plan => plan?.filter(|plan| may_be_applied(plan, digest, context.now)),
        };
        let Some(plan) = plan else { continue };
        let is_approved = approved.contains(id);
        for item in plan.changes().filter(|item| made.resources.contains(&item.resource)) {
            let (word, mut gravity) =
                if is_approved { ("approved", Gravity::Warning) } else { ("pending", Gravity::Notice) };
            let mut what = format!("{word} plan {id} changes it too: whichever is applied last would undo the other");
            if let Some((breaks, grave)) = breaks(then, item) {
                what.push_str(&breaks);
                gravity = gravity.max(grave);
            }
            findings.push(finding(format!("plan:{id}:{}", item.resource), gravity, &item.resource, what));
        }
    }
    Ok(findings)
}

/// Whether `apply` would still take a plan: the one that the ledger has, in time, and its files as they were when it was
/// made. An Engine and a command are not asked, since a simulation starts nothing.
fn may_be_applied(plan: &Plan, digest: &str, now: Timestamp) -> bool {
    const FILES: [&str; 6] = ["compose", "kubernetes", "devcontainer", "actions", "gitlab", "file"];
    let is_as_made = |target: &PlannedTarget| {
        let live = planned_target(&target.reference()).and_then(|it| tokio::task::block_in_place(|| it.read()));
        live.is_ok_and(|live| live.digest == target.prior_state_digest)
    };
    let mut files = plan.targets.iter().filter(|target| FILES.contains(&target.kind.as_str()));
    let is_whole = plan.digest == digest && plan.is_intact();
    is_whole && plan.applyable && now <= plan.expires_at && files.all(is_as_made)
}

/// What the limits of another plan would break under the change, in words.
fn breaks(then: &Inventory, item: &Item) -> Option<(String, Gravity)> {
    let mut foreseen = then.get(&item.resource)?.clone();
    foreseen.limits = item.after;
    let own = then.get(&item.resource)?;
    let figures = [
        ("cpu", "throttled", foreseen.cpu(), own.cpu()),
        ("memory", "killed for memory", foreseen.memory(), own.memory()),
    ];
    let worse = figures.into_iter().filter_map(|(figure, effect, with, without)| {
        let (with, without) = (with?.probability, without.map_or(0.0, |outcome| outcome.probability));
        (with >= TOLD && with >= without + TOLD).then_some((figure, effect, with))
    });
    let (figure, effect, probability) = worse.max_by(|a, b| a.2.total_cmp(&b.2))?;
    let grave = gravity(figure, probability);
    Some((format!("; with its limits it would be {effect} with {:.0} %", probability * 100.0), grave))
}

/// The machines that both states need; null without a file.
pub(super) fn machines(
    today: &Inventory,
    then: &Inventory,
    nodes: &Nodes,
    findings: &mut Vec<Finding>,
) -> Result<Value, Failure> {
    if nodes.list.is_empty() {
        return Ok(Value::Null);
    }
    if nodes.list.iter().all(|node| node.price_hour.is_none()) {
        return Err(Failure::new(Exit::Usage, "no machine of --nodes has a price_hour")
            .hint("machines without a price are not packed; any figure will do"));
    }
    let pack = |inventory: &Inventory| {
        let all: Vec<(&str, State, u32)> = taken(inventory).into_iter().map(|(name, state)| (name, state, 1)).collect();
        packed(&all, nodes)
    };
    let (before, after) = (pack(today), pack(then));
    let fullness = |result: &Result<Packed, String>, inventory: &Inventory| {
        result.as_ref().map_or_else(|_| Vec::new(), |packed| full(&packed.placed, inventory))
    };
    let (full_before, full_after) = (fullness(&before, today), fullness(&after, then));
    findings.extend(newly_full(&full_before, &full_after));
    let told = |result: &Result<Packed, String>, full: &[Full]| match result {
        Ok(packed) => json!({"machines": packed.machines, "price_hour": packed.price_hour, "full": full}),
        Err(resource) => json!({"does_not_hold": resource}),
    };
    if let (Ok(_), Err(resource)) = (&before, &after) {
        let what = "the machines of the file do not hold it any more".to_owned();
        findings.push(finding(format!("nodes:{resource}"), Gravity::Critical, resource, what));
    }
    Ok(json!({"today": told(&before, &full_before), "then": told(&after, &full_after)}))
}
