//! The plan: what would be changed, why, how sure we are, and how to undo it.
//!
//! Owns the form of a plan and the digest that binds approval to content; the rules that make one are in `make`, the
//! sentences in `words`, the gates in `checks`. Knows no target and reads no file; the caller says what is live, what
//! is predicted and what time it is.

mod checks;
mod make;
mod words;

pub use crate::state::State;
pub use make::{Candidate, PlanInputs, Rates, ReplayLimits, plan};

use crate::Timestamp;
use crate::ledger::sha256_hex;
use crate::overrides::Applied;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The `format_version` this program writes and reads.
pub const FORMAT_VERSION: u32 = 1;

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::overrides::Overrides;
    use crate::overrides::{Amounts, Override};
    use crate::time::DAY;
    use crate::units::GIB;
    use proptest::prelude::*;

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

    proptest! {
        #[test]
        fn no_item_crosses_its_override(
            live in 1u64..64, wanted in 1u64..64, floor in 1u64..32, above in 0u64..32, unlimited: bool,
        ) {
            let amounts = |gib: u64| Amounts { cpu: Some(format!("{gib}")), memory: Some(format!("{gib}GiB")) };
            let rule = Override {
                resource: "dev/*".into(),
                floor: amounts(floor),
                ceiling: amounts(floor + above),
                ..Override::default()
            };
            let live = if unlimited { State::default() } else { state(live as f64, live * GIB) };
            let inputs = inputs(live, state(wanted as f64, wanted * GIB), 5000, Overrides { list: vec![rule] });
            let after = made(&inputs).items[0].after;
            prop_assert!((floor as f64..=(floor + above) as f64).contains(&after.cpu_cores.unwrap()));
            prop_assert!((floor * GIB..=(floor + above) * GIB).contains(&after.memory_bytes.unwrap()));
        }
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
