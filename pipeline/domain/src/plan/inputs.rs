//! What a plan is made from: all that is known of each resource, a person's rules and tasks, prices, and what it is for.

use super::{
    Basis, Calendar, Coming, Evidence, Expected, Item, ModelRef, Note, PlannedTarget, Proposed, Recommendation, Replay,
    Tasked,
};
use crate::Timestamp;
use crate::nodes::Machine;
use crate::overrides::Overrides;
use crate::own_memory::OwnMemory;
use crate::rollout::Rollout;
use crate::rules::Rules;
use crate::state::State;
use crate::units;
use std::collections::BTreeMap;

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
    /// The applied plan by whose calendar its limits are switched.
    pub follows: Option<String>,
    /// What the target would refuse.
    pub refused: Refused,
    /// The process that a leak is in.
    pub culprit: Option<Evidence>,
    /// Lower limits of its quiet hours, where a replay says that they pay; it counts where its highest limits are what is
    /// planned.
    pub calendar: Option<Calendar>,
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
