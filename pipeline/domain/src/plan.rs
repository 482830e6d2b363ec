//! The plan: what would be changed, why, how sure we are, and how to undo it.
//!
//! Owns the rules from recommendations to items and the digest that binds approval to content. Knows no target
//! and reads no file; the caller says what is live, what is predicted and what time it is.

use crate::Timestamp;
use crate::ledger::sha256_hex;
use crate::overrides::{Applied, Overrides};
use crate::time::DAY;
use crate::units::{self, MIB};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The `format_version` this program writes and reads.
pub const FORMAT_VERSION: u32 = 1;

/// Changes below this share are not worth a restart: `pod-update-threshold` of the Kubernetes VPA.
const WORTHWHILE: f64 = 0.1;

/// Share of samples above the CPU limit that a cut may lead to on the replayed month.
const THROTTLED: f64 = 0.02;

/// The smallest limits ever proposed: below them a shell does not start reliably. KRR uses 10m / 100 MiB.
const FLOOR: State = State { cpu_cores: Some(0.05), memory_bytes: Some(64 * MIB) };

/// Limits of a resource. A missing figure: unlimited, or not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Cores.
    pub cpu_cores: Option<f64>,
    /// Bytes.
    pub memory_bytes: Option<u64>,
}

impl State {
    /// Whether it says nothing.
    pub fn is_empty(self) -> bool {
        self.cpu_cores.is_none() && self.memory_bytes.is_none()
    }
}

/// What a policy says a resource needs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recommendation {
    /// `env/service`.
    pub resource: String,
    /// Less would starve it.
    pub lower: State,
    /// What it should have.
    pub target: State,
    /// More would be waste.
    pub upper: State,
    /// Samples it rests on.
    pub samples: usize,
    /// Days from the first to the last of them.
    pub days: f64,
    /// The newest of them.
    pub newest: Timestamp,
    /// Largest seen: cores and bytes.
    pub peak: State,
    /// OOM kills seen.
    pub oom_kills: u64,
    /// Which rule won and on what figures, in words.
    pub basis: String,
}

/// What the shadow inventory expects of a resource up to its horizon.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Expected {
    /// The highest upper bound of the hours to come.
    pub upper: State,
    /// Measured confidence, 0 to 1.
    pub confidence: f64,
    /// Which models won, in words.
    pub model: String,
    /// Scheduled events that touch it.
    pub schedule: Vec<String>,
}

/// What a policy or a limit would have done on past days. Shares are 0 to 1.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Replay {
    /// Samples replayed.
    pub samples: u64,
    /// Mean limit, cores.
    pub cpu_limit_cores: f64,
    /// Unused share of the CPU limit.
    pub cpu_slack: f64,
    /// Share of samples above the CPU limit.
    pub throttled_rate: f64,
    /// CPU demand above the limit, as a share of all demand.
    pub cpu_over: f64,
    /// Mean limit, bytes.
    pub memory_limit_bytes: f64,
    /// Unused share of the memory limit.
    pub memory_slack: f64,
    /// Share of samples above the memory limit.
    pub oom_rate: f64,
    /// Resource-days with a sample above the memory limit, per 1000.
    pub oom_days_per_1000: f64,
}

/// What to do with a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Change its limits.
    Resize,
    /// Start it again.
    Restart,
    /// Fetch dependencies ahead.
    Prefetch,
    /// Start a service.
    Provision,
    /// Stop a service.
    Deprovision,
    /// Change its share.
    Prioritize,
    /// More memory would only delay the kill.
    FixLeak,
    /// Leave it.
    None,
}

/// Before approval: what the change would have done on the past days, and what it costs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Projected {
    /// Unused share of the CPU limit.
    pub slack: Option<f64>,
    /// Unused share of the memory limit.
    pub memory_slack: Option<f64>,
    /// Share of samples above the memory limit.
    pub oom_rate: Option<f64>,
    /// Share of samples above the CPU limit.
    pub throttled_rate: Option<f64>,
    /// Not projected yet: needs runs tied to the resource.
    pub p95_duration_ms: Option<f64>,
    /// A month of the new limits, in the currency of the rates.
    pub cost: Option<f64>,
    /// A month of the present limits.
    pub cost_before: Option<f64>,
}

/// A figure the item rests on and where to look it up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// What it is.
    pub what: String,
    /// Its value, with the unit.
    pub value: String,
    /// The table it came from.
    pub source: String,
}

/// How to undo an item.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Inverse {
    /// The action that restores.
    pub action: Action,
    /// To this state.
    pub after: State,
}

/// One adjustment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Item {
    /// Unique over all plans.
    pub id: String,
    /// `env/service`.
    pub resource: String,
    /// What is done.
    pub action: Action,
    /// The limits now.
    pub before: State,
    /// The limits after.
    pub after: State,
    /// Why, in one sentence.
    pub reason: String,
    /// Less would starve it.
    pub lower_bound: State,
    /// What the policy asks for, before any override.
    pub target: State,
    /// More would be waste.
    pub upper_bound: State,
    /// 0 to 1, measured by cross-validation; null when there is too little to measure.
    pub confidence: Option<f64>,
    /// What it rests on.
    pub evidence: Vec<Evidence>,
    /// What it would have done.
    pub projected: Projected,
    /// What a person's rule did to it.
    #[serde(rename = "override")]
    pub override_: Option<Applied>,
    /// How to undo it.
    pub inverse: Inverse,
    /// What a reader should do or watch.
    pub guidance: String,
}

/// Name and version of a model a plan rests on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelRef {
    /// Name.
    pub name: String,
    /// Version folder, or when it was computed.
    pub version: String,
}

/// Something that must hold for the plan to be applied, or a note about it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// Short stable name.
    pub name: String,
    /// Whether it holds.
    pub passed: bool,
    /// Whether the plan may not be applied otherwise.
    pub blocking: bool,
    /// The figures.
    pub detail: String,
}

/// What the plan is about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TargetRef {
    /// `compose`, or `observed` when no live target was given.
    pub kind: String,
    /// Where it is.
    pub location: String,
}

/// A set of adjustments, ready to be read, approved, applied and undone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// [`FORMAT_VERSION`].
    pub format_version: u32,
    /// Its name.
    pub plan_id: String,
    /// SHA-256 of everything else in it.
    pub digest: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// Not to be applied later than this.
    pub expires_at: Timestamp,
    /// The newest event it rests on.
    pub data_watermark: Timestamp,
    /// The model it rests on.
    pub model: ModelRef,
    /// What it changes.
    pub target: TargetRef,
    /// Digest of the target as it was read.
    pub prior_state_digest: String,
    /// One per resource, changes first.
    pub items: Vec<Item>,
    /// Policy → what it would have done on the same rows.
    pub backtest: BTreeMap<String, Replay>,
    /// Gates and notes.
    pub checks: Vec<Check>,
    /// Whether `apply` would take it once approved.
    pub applyable: bool,
}

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
    let (after, override_) = match rule {
        Some(rule) => {
            let (after, applied) = rule.constrain(before, target);
            (after, Some(applied))
        }
        None => (target, None),
    };
    let after = if candidate.refused.is_some() { before } else { after };
    let pinned = override_.as_ref().is_some_and(|o| o.rule == "pin" || o.rule == "floor" || o.rule == "ceiling");
    let after = if pinned { after } else { keep_small_changes(before, after) };
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

fn reason(
    candidate: &Candidate,
    enough: bool,
    action: Action,
    before: State,
    after: State,
    applied: Option<&Applied>,
) -> String {
    if let Some(refused) = &candidate.refused {
        return format!("the target would refuse: {refused}");
    }
    let ruled = applied.and_then(in_words);
    if let (Some(ruled), Some("freeze" | "pin")) = (&ruled, applied.map(|a| a.rule.as_str())) {
        return ruled.clone();
    }
    let Some(seen) = candidate.recommendation.as_ref() else { return "no usage recorded".into() };
    if !enough {
        return format!("too little evidence: {} samples over {:.1} days", seen.samples, seen.days);
    }
    if action == Action::None {
        return "the limits fit what it uses".into();
    }
    let mut parts = Vec::new();
    if let (Some(new), Some(peak)) = (after.cpu_cores, seen.peak.cpu_cores)
        && before.cpu_cores != after.cpu_cores
    {
        parts.push(match before.cpu_cores {
            None => format!("CPU has no limit, peak {peak:.2}"),
            Some(old) if new > old => format!("CPU is starved: peak {peak:.2} of {old:.2} cores"),
            Some(old) => format!("CPU is idle: peak {peak:.2} of {old:.2} cores"),
        });
    }
    if let (Some(new), Some(peak)) = (after.memory_bytes, seen.peak.memory_bytes)
        && before.memory_bytes != after.memory_bytes
    {
        let peak = units::format_bytes(peak as f64);
        let old = before.memory_bytes.map(|b| units::format_bytes(b as f64));
        parts.push(match (before.memory_bytes, old) {
            (Some(bytes), Some(old)) if new > bytes && seen.oom_kills > 0 => {
                format!("memory is starved: {} OOM kills at {old}", seen.oom_kills)
            }
            (Some(bytes), Some(old)) if new > bytes => format!("memory is starved: peak {peak} of {old}"),
            (Some(_), Some(old)) => format!("memory is idle: peak {peak} of {old}"),
            _ => format!("memory has no limit, peak {peak}"),
        });
    }
    if let Some(expected) = candidate.expected.as_ref().filter(|e| !e.schedule.is_empty()) {
        parts.push(format!("ahead of {}", expected.schedule.join(", ")));
    }
    parts.extend(ruled);
    parts.join("; ")
}

fn in_words(applied: &Applied) -> Option<String> {
    let why = applied.reason.as_deref().map_or(String::new(), |r| format!(" ({r})"));
    let what = match applied.rule.as_str() {
        "freeze" => "frozen",
        "pin" => "pinned",
        "floor" => "held up",
        "ceiling" => "held down",
        _ => return None,
    };
    Some(format!("{what} by an override{why}"))
}

fn evidence(candidate: &Candidate) -> Vec<Evidence> {
    let mut list = Vec::new();
    let mut add = |what: &str, value: String, source: &str| {
        list.push(Evidence { what: what.into(), value, source: source.into() });
    };
    if let Some(r) = &candidate.recommendation {
        add("samples", format!("{} over {:.1} days, newest {}", r.samples, r.days, r.newest), "marts.usage");
        if let Some(cpu) = r.peak.cpu_cores {
            add("peak CPU", format!("{cpu:.2} cores"), "marts.usage");
        }
        if let Some(memory) = r.peak.memory_bytes {
            add("peak memory", units::format_bytes(memory as f64), "marts.usage");
        }
        if r.oom_kills > 0 {
            add("OOM kills", r.oom_kills.to_string(), "marts.usage");
        }
        add("sizing rule", r.basis.clone(), "backtest");
    }
    if let Some(e) = &candidate.expected {
        add("forecast model", e.model.clone(), "predictions.shadow_inventory");
        for event in &e.schedule {
            add("scheduled event", event.clone(), "features.schedule");
        }
    }
    if let Some(p) = candidate.contention {
        add("chance that the next hour is contended", format!("{:.0} %", p * 100.0), "models/contention");
    }
    if let Some(past) = &candidate.replay_before {
        let value = format!(
            "CPU slack {:.0} %, throttled {:.2} %, memory slack {:.0} %, over memory {:.2} % of samples",
            past.cpu_slack * 100.0,
            past.throttled_rate * 100.0,
            past.memory_slack * 100.0,
            past.oom_rate * 100.0
        );
        add("present limits on the past days", value, "backtest");
    }
    list
}

fn guidance(action: Action, seen: Option<&Recommendation>, enough: bool) -> String {
    match (action, seen) {
        (Action::None, None) => "record its usage first: `pipeline collect`, or send `usage` events".into(),
        (Action::None, Some(_)) if !enough => "wait for more samples".into(),
        (Action::None, _) => String::new(),
        _ => "takes effect when the service is recreated: `docker compose up -d`; undo with `pipeline rollback`".into(),
    }
}

fn checks(inputs: &PlanInputs, items: &[Item], now: Timestamp) -> Vec<Check> {
    let mut checks = Vec::new();
    let mut check = |name: &str, passed: bool, blocking: bool, detail: String| {
        checks.push(Check { name: name.into(), passed, blocking, detail });
    };
    let crossed: Vec<_> = items
        .iter()
        .filter(|item| {
            inputs
                .overrides
                .find(&item.resource, now)
                .is_some_and(|rule| rule.constrain(item.before, item.after).0 != item.after)
        })
        .map(|item| item.resource.as_str())
        .collect();
    check("overrides_respected", crossed.is_empty(), true, format!("{} items cross an override", crossed.len()));
    let age_days = (now.0 - inputs.data_watermark.0) as f64 / DAY as f64;
    check("data_fresh", age_days <= 7.0, false, format!("the newest event is {age_days:.1} days old"));
    if let Some(ours) = inputs.backtest.get(&inputs.policy) {
        for (name, peer) in inputs.backtest.iter().filter(|(name, _)| *name == "vpa" || *name == "krr") {
            let detail = format!(
                "over memory {:.3} % of samples, {name} {:.3} %; throttled {:.2} %, {name} {:.2} %",
                ours.oom_rate * 100.0,
                peer.oom_rate * 100.0,
                ours.throttled_rate * 100.0,
                peer.throttled_rate * 100.0
            );
            let safe = ours.oom_rate <= peer.oom_rate + 1e-9 || ours.throttled_rate <= peer.throttled_rate + 1e-9;
            check(&format!("backtest_beside_{name}"), safe, false, detail);
        }
        let worst =
            inputs.backtest.iter().filter(|(n, _)| **n != inputs.policy).map(|(_, r)| r.oom_rate).fold(0.0, f64::max);
        let detail =
            format!("over memory {:.3} % of samples, worst peer {:.3} %", ours.oom_rate * 100.0, worst * 100.0);
        check("backtest_memory_safe", ours.oom_rate <= worst.max(0.001), true, detail);
    } else {
        check("backtest_memory_safe", false, true, "no days to replay".into());
    }
    if inputs.target.kind == "observed" {
        check("live_target", false, true, "limits are the last ones observed; give --target to apply".into());
    }
    checks
}

impl Plan {
    /// SHA-256 of the plan with its `digest` empty, over JSON with sorted keys: any later edit shows.
    pub fn compute_digest(&self) -> String {
        let bare = Self { digest: String::new(), ..self.clone() };
        let mut text = String::new();
        if let Ok(value) = serde_json::to_value(&bare) {
            crate::identity::canonical(&value, &mut text);
        }
        format!("sha256:{}", sha256_hex(text.as_bytes()))
    }

    /// The items that change something.
    pub fn changes(&self) -> impl Iterator<Item = &Item> {
        self.items.iter().filter(|item| item.action != Action::None)
    }
}

fn round3(x: f64) -> f64 {
    (x * 1000.0).round() / 1000.0
}

fn cents(x: f64) -> f64 {
    (x * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::overrides::Override;
    use crate::units::GIB;

    fn state(cpu: f64, memory: u64) -> State {
        State { cpu_cores: Some(cpu), memory_bytes: Some(memory) }
    }

    fn inputs(live: State, target: State, samples: usize, overrides: Overrides) -> PlanInputs {
        let recommendation = Recommendation {
            resource: "dev/web".into(),
            lower: target,
            target,
            upper: target,
            samples,
            days: 14.0,
            newest: Timestamp(0),
            peak: target,
            oom_kills: 0,
            basis: "test".into(),
        };
        let candidate = Candidate {
            resource: "dev/web".into(),
            live,
            recommendation: Some(recommendation),
            expected: None,
            contention: None,
            replay_before: None,
            refused: None,
        };
        PlanInputs {
            candidates: vec![candidate],
            overrides,
            backtest: BTreeMap::from([("ours".into(), Replay::default()), ("vpa".into(), Replay::default())]),
            policy: "ours".into(),
            data_watermark: Timestamp(0),
            model: ModelRef { name: "shadow".into(), version: "1".into() },
            target: TargetRef { kind: "compose".into(), location: "compose.yaml".into() },
            prior_state_digest: "x".into(),
            rates: Rates::default(),
            valid_for: DAY,
            salt: String::new(),
        }
    }

    fn made(inputs: &PlanInputs) -> Plan {
        plan(inputs, &|_, _| None, Timestamp(DAY))
    }

    #[test]
    fn an_idle_resource_is_made_smaller_and_the_inverse_restores_it() {
        let plan = made(&inputs(state(4.0, 8 * GIB), state(1.0, GIB), 5000, Overrides::default()));
        let item = &plan.items[0];
        assert_eq!((item.action, item.after), (Action::Resize, state(1.0, GIB)));
        assert_eq!(item.inverse.after, item.before);
        assert!(item.reason.contains("idle"), "{}", item.reason);
        assert!(plan.applyable);
    }

    #[test]
    fn small_changes_and_thin_evidence_change_nothing() {
        let small = made(&inputs(state(1.0, GIB), state(1.05, GIB), 5000, Overrides::default()));
        assert_eq!(small.items[0].action, Action::None);
        let thin = made(&inputs(state(4.0, GIB), state(1.0, GIB), 7, Overrides::default()));
        assert_eq!(thin.items[0].action, Action::None);
        assert!(thin.items[0].reason.contains("too little evidence") && !thin.applyable);
    }

    #[test]
    fn a_freeze_is_stronger_than_any_target() {
        let freeze = Override { resource: "dev/*".into(), freeze: true, ..Override::default() };
        let plan = made(&inputs(state(4.0, 8 * GIB), state(1.0, GIB), 5000, Overrides { list: vec![freeze] }));
        assert_eq!(plan.items[0].action, Action::None);
        assert_eq!(plan.items[0].after, plan.items[0].before);
    }

    #[test]
    fn an_edited_plan_has_another_digest() {
        let mut plan = made(&inputs(state(4.0, 8 * GIB), state(1.0, GIB), 5000, Overrides::default()));
        let text = serde_json::to_string(&plan).unwrap();
        let read: Plan = serde_json::from_str(&text).unwrap();
        assert_eq!(read.compute_digest(), plan.digest);
        plan.items[0].after.cpu_cores = Some(2.0);
        assert_ne!(plan.compute_digest(), plan.digest);
    }
}
