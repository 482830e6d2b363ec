//! From what is known about each resource to the items of a plan.

use super::checks::checks;
use super::handling::Handling;
use super::hold::{Case, Held, Hold};
use super::limits::{keep_small_changes, raised, unless_refused, wanted, within_machine};
use super::words::{Story, evidence, leak_guidance, leak_reason};
use super::{
    Action, Calendar, Candidate, Check, FORMAT_VERSION, Inverse, Item, Plan, PlanInputs, Projected, Proposed,
    Recommendation, ReplayLimits, Requests, Tasked,
};
use crate::Timestamp;
use crate::ledger::sha256_hex;
use crate::overrides::Applied;
use crate::state::State;
use crate::time::DAY;

/// A resource whose newest sample lies so long before the newest of all is no longer there, or no longer recorded.
const SILENT: i64 = 7 * DAY;
/// And where nothing at all was recorded for so long, nothing is known of today.
const OLD: i64 = 30 * DAY;

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

/// Whether enough is known of a resource to say anything about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    Enough,
    Nothing,
    TooLittle,
    /// Nothing was recorded of it lately.
    Silent,
}

impl Known {
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
    let known = Known::of(bounds, inputs.data_watermark, now);
    let mut held = match (&candidate.follows, bounds.filter(|_| known == Known::Enough)) {
        // What is live is one part of a calendar; to change it would end its switches.
        (Some(plan_id), _) => Held { state: before, holds: vec![Hold::Follows(plan_id.clone())] },
        (None, Some(seen)) => {
            let wanted = wanted(seen, candidate, raised(candidate, &inputs.rules));
            Case { candidate, seen, wanted, risk: inputs.risk, policy: &inputs.policy, replay }.judge()
        }
        (None, None) => Held { state: before, holds: Vec::new() },
    };
    let target = held.state;
    // The rule comes last: nothing that follows may move a figure across it.
    let steady = keep_small_changes(before, target);
    let rule = inputs.overrides.find(&candidate.resource, now).filter(|_| candidate.follows.is_none());
    let (ruled, override_) = match rule {
        Some(rule) => {
            let (after, applied) = rule.constrain(before, steady);
            (after, Some(applied))
        }
        None => (steady, None),
    };
    let possible = within_machine(candidate, ruled, &mut held.holds);
    let after = unless_refused(candidate, possible, &mut held.holds);
    let leaks = held.holds.iter().any(|hold| matches!(hold, Hold::Leak(_)));
    let is_known = known == Known::Enough && !leaks && candidate.follows.is_none();
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

fn round3(x: f64) -> f64 {
    (x * 1000.0).round() / 1000.0
}

fn cents(x: f64) -> f64 {
    (x * 100.0).round() / 100.0
}
