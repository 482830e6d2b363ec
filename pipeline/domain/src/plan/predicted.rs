//! What is predicted of a resource, by a policy, the forecasts and the runs to come, and what a limit would have done on its
//! past days: the figures that an item rests on.

use super::{Burst, Coverage, Growth, HeldBack, Killed, Leak, State};
use crate::Timestamp;
use serde::{Deserialize, Serialize};

/// What a policy says a resource needs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
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
    /// How much of the time they cover.
    pub coverage: Coverage,
    /// What it uses on a typical day: nine tenths of its CPU samples stay below, and its memory always.
    #[serde(default)]
    pub typical: State,
    /// Largest seen in the last quarter: cores and bytes.
    pub peak: State,
    /// The most that a burst within one sample of the last quarter may have taken.
    pub burst: Option<Burst>,
    /// OOM kills seen.
    pub oom_kills: u64,
    /// Those of the last 30 days with data.
    pub killed: Option<Killed>,
    /// CPU held back by its limit.
    pub throttled: Option<HeldBack>,
    /// Memory at its limit, with processes waiting for it.
    pub squeezed: Option<HeldBack>,
    /// Memory that only grows.
    pub leak: Option<Leak>,
    /// Memory that has begun to grow.
    pub growth: Option<Growth>,
    /// Which rule won and on what figures, in words.
    pub basis: String,
}

/// What the shadow inventory expects of a resource up to its horizon.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Expected {
    /// The highest upper bound of the hours to come.
    pub upper: State,
    /// The highest forecast of the hours to come.
    pub peak: State,
    /// Measured confidence, 0 to 1.
    pub confidence: f64,
    /// Which models won, in words.
    pub model: String,
    /// Scheduled events that touch it.
    pub schedule: Vec<String>,
}

/// What the demand model says of the runs that are expected next in a resource.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Coming {
    /// What the most demanding run stays below nine times in ten: its mean cores and its peak of memory.
    pub demand: State,
    /// What it stays below half the time.
    pub usual: State,
    /// How many runs are expected.
    pub runs: usize,
    /// The job of the most demanding one.
    pub job: String,
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
    /// CPU work above the limit, which is done later, core-seconds; of fixed limits only.
    #[serde(default)]
    pub late_core_seconds: Option<f64>,
    /// Its largest share of the CPU work of a day.
    #[serde(default)]
    pub late_worst_day: Option<f64>,
    /// The longest time until such work had been caught up with, seconds.
    #[serde(default)]
    pub catch_up_s: Option<f64>,
    /// Changes of a limit per resource in 30 days; of policies only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changes_per_month: Option<f64>,
    /// Switches of a limit at the hours of a calendar, per resource in 30 days; of calendars only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub switches_per_month: Option<f64>,
}
