//! From what is known about each resource to the items of a plan.

use super::checks::checks;
use super::words::{evidence, guidance, reason};
use super::{
    Action, Expected, FORMAT_VERSION, Inverse, Item, ModelRef, Plan, Projected, Recommendation, Replay, TargetRef,
};
use crate::Timestamp;
use crate::ledger::sha256_hex;
use crate::overrides::Overrides;
use crate::state::State;
use crate::units::{self, MIB};
use std::collections::BTreeMap;

/// Changes below this share are not worth a restart: `pod-update-threshold` of the Kubernetes VPA.
const WORTHWHILE: f64 = 0.1;

/// Share of samples above the CPU limit that a cut may lead to on the replayed month.
const THROTTLED: f64 = 0.02;

/// The smallest limits ever proposed: below them a shell does not start reliably. KRR uses 10m / 100 MiB.
const FLOOR: State = State { cpu_cores: Some(0.05), memory_bytes: Some(64 * MIB) };

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

/// All that is known about one resource when a plan is made.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// `env/service`.
    pub resource: String,
    /// Its limits now.
    pub live: State,
    /// What the policy says; none where it has no usage.
    pub recommendation: Option<Recommendation>,
    /// What the shadow inventory says.
    pub expected: Option<Expected>,
    /// Probability that its next hour is contended under the present limits.
    pub contention: Option<f64>,
    /// The present limits on past days.
    pub replay_before: Option<Replay>,
    /// Why the target would refuse to change it; none where it would not.
    pub refused: Option<String>,
}

/// What a plan is made from.
#[derive(Clone, Debug)]
pub struct PlanInputs {
    /// One per resource.
    pub candidates: Vec<Candidate>,
    /// A person's rules.
    pub overrides: Overrides,
    /// Policies on the same rows.
    pub backtest: BTreeMap<String, Replay>,
    /// The policy that made the recommendations.
    pub policy: String,
    /// The newest event.
    pub data_watermark: Timestamp,
    /// The model.
    pub model: ModelRef,
    /// The target.
    pub target: TargetRef,
    /// Its digest as read.
    pub prior_state_digest: String,
    /// Prices.
    pub rates: Rates,
    /// How long it may be applied, in microseconds.
    pub valid_for: i64,
    /// Tells two plans from the same data apart: the last entry of the ledger.
    pub salt: String,
}

/// Replays fixed limits over a resource's past: resource, limits → what would have happened.
pub type ReplayLimits<'a> = &'a dyn Fn(&str, State) -> Option<Replay>;

/// Makes the plan: one item per candidate, changes first, then by resource.
pub fn plan(inputs: &PlanInputs, replay: ReplayLimits<'_>, now: Timestamp) -> Plan {
    let seed = format!("{now}{}{}{:?}", inputs.salt, inputs.prior_state_digest, inputs.candidates);
    let short = &sha256_hex(seed.as_bytes())[..8];
    let mut items: Vec<Item> = inputs.candidates.iter().map(|c| item(c, inputs, replay, now)).collect();
    items.sort_by(|a, b| (a.action == Action::None, &a.resource).cmp(&(b.action == Action::None, &b.resource)));
    for (i, item) in items.iter_mut().enumerate() {
        item.id = format!("{short}-{}", i + 1);
    }
    let checks = checks(inputs, &items, now);
    let changes = items.iter().any(|item| item.action != Action::None);
    let applyable =
        changes && inputs.target.kind != "observed" && checks.iter().all(|check| check.passed || !check.blocking);
    let mut plan = Plan {
        format_version: FORMAT_VERSION,
        plan_id: format!("p{}-{short}", now.compact()),
        digest: String::new(),
        created_at: now,
        expires_at: now.plus(inputs.valid_for),
        data_watermark: inputs.data_watermark,
        model: inputs.model.clone(),
        target: inputs.target.clone(),
        prior_state_digest: inputs.prior_state_digest.clone(),
        items,
        backtest: inputs.backtest.clone(),
        checks,
        applyable,
    };
    plan.digest = plan.compute_digest();
    plan
}

fn item(candidate: &Candidate, inputs: &PlanInputs, replay: ReplayLimits<'_>, now: Timestamp) -> Item {
    let before = candidate.live;
    let bounds = candidate.recommendation.as_ref();
    let enough = bounds.is_some_and(|r| r.samples >= 100 && r.days >= 1.0);
    let target = bounds
        .filter(|_| enough)
        .map_or(before, |r| careful(candidate, r, wanted(r, candidate.expected.as_ref()), replay));
    let rule = inputs.overrides.find(&candidate.resource, now);
    // The rule comes last: nothing that follows may move a figure across it.
    let steady = keep_small_changes(before, target);
    let (after, override_) = match rule {
        Some(rule) => {
            let (after, applied) = rule.constrain(before, steady);
            (after, Some(applied))
        }
        None => (steady, None),
    };
    let after = if candidate.refused.is_some() { before } else { after };
    let action = if after == before { Action::None } else { Action::Resize };
    let past = replay(&candidate.resource, after);
    Item {
        id: String::new(),
        resource: candidate.resource.clone(),
        action,
        before,
        after,
        reason: reason(candidate, enough, action, before, after, override_.as_ref()),
        lower_bound: bounds.map_or(State::default(), |r| r.lower),
        target,
        upper_bound: bounds.map_or(State::default(), |r| r.upper),
        confidence: candidate.expected.as_ref().map(|e| round3(e.confidence)),
        evidence: evidence(candidate),
        projected: Projected {
            slack: past.as_ref().filter(|_| after.cpu_cores.is_some()).map(|p| round3(p.cpu_slack)),
            memory_slack: past.as_ref().filter(|_| after.memory_bytes.is_some()).map(|p| round3(p.memory_slack)),
            oom_rate: past.as_ref().map(|p| p.oom_rate),
            throttled_rate: past.as_ref().map(|p| p.throttled_rate),
            p95_duration_ms: None,
            cost: inputs.rates.month(after).map(cents),
            cost_before: inputs.rates.month(before).map(cents),
        },
        override_,
        inverse: Inverse { action, after: before },
        guidance: guidance(action, bounds, enough),
    }
}

/// The policy's target, raised to what the forecast expects: a known deployment must not be starved by a quiet past.
fn wanted(recommendation: &Recommendation, expected: Option<&Expected>) -> State {
    let scheduled = expected.filter(|e| !e.schedule.is_empty()).map(|e| e.upper).unwrap_or_default();
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

/// A cut that the past month speaks against is not proposed, whatever the policy says: memory is never cut below a peak
/// that was seen, and CPU never so far that more than [`THROTTLED`] of the samples, or more than today, would have been
/// throttled.
fn careful(candidate: &Candidate, seen: &Recommendation, target: State, replay: ReplayLimits<'_>) -> State {
    let before = candidate.live;
    let memory_bytes = target.memory_bytes.map(|memory| {
        let peak = seen.peak.memory_bytes.unwrap_or(0);
        let keep = before.memory_bytes.map_or(peak, |limit| peak.min(limit));
        units::round_bytes(memory.max(keep) as f64)
    });
    let today =
        candidate.replay_before.as_ref().filter(|_| before.cpu_cores.is_some()).map_or(0.0, |r| r.throttled_rate);
    let allowed = today.max(THROTTLED);
    let most = before.cpu_cores.unwrap_or(f64::INFINITY);
    let cpu_cores = target.cpu_cores.map(|mut cpu| {
        let rate = |cpu: f64| {
            let limits = State { cpu_cores: Some(cpu), memory_bytes: None };
            replay(&candidate.resource, limits).map_or(0.0, |r| r.throttled_rate)
        };
        while cpu < most && rate(cpu) > allowed {
            cpu = units::round_cores((cpu * 1.1).min(most));
        }
        cpu
    });
    State { cpu_cores, memory_bytes }
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
