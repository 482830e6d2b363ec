//! The plan: what would be changed, why, how sure we are, and how to undo it.
//!
//! Owns the form of a plan and the digest that binds approval to content; the rules that make one are in `make`, what
//! speaks against a figure in `hold`, the sentences in `words`, the gates in `checks`, plans of earlier formats in `form`. Knows
//! no target and reads no file; the caller says what is live, what is predicted and what time it is.

mod basis;
mod calendar;
mod checks;
mod form;
mod handling;
mod hold;
mod inputs;
mod limits;
mod make;
mod predicted;
mod propose;
mod remedy;
mod requests;
mod seen;
mod tasked;
#[cfg(test)]
mod tests;
mod words;

pub use crate::state::State;
pub use basis::{Basis, Forecast, Today, Tolerance};
pub use calendar::{AHEAD, Busy, Calendar, LEAST_SAVED, Quiet, ROOM, Trial};
pub use form::ONLY_TARGET;
pub use handling::{Handling, Level};
pub use inputs::{Candidate, PlanInputs, Rates, Refused, ReplayLimits};
pub use make::{plan, plan_tasks};
pub use predicted::{Coming, Expected, Recommendation, Replay};
pub use propose::Proposed;
pub use remedy::{Means, Remedy};
pub use requests::Requests;
pub use seen::{Burst, Coverage, FINE_INTERVAL_S, Growth, HeldBack, Killed, Leak, WEEK_HOURS};
pub use tasked::Tasked;

use crate::Timestamp;
use crate::hours::Timetable;
use crate::ledger::sha256_hex;
use crate::overrides::Applied;
use crate::rollout::Rollout;
use crate::task::Task;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The `format_version` this program writes; it reads every one from 1.
pub const FORMAT_VERSION: u32 = 2;

/// What to do with a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
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
    /// Make a build faster: advice.
    Optimize,
    /// Change who is sent where.
    Route,
    /// Give it another version.
    Deploy,
    /// Leave it.
    None,
}

impl Action {
    /// As plans write it.
    pub fn name(self) -> &'static str {
        self.into()
    }
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
    /// CPU work that the limit would have delayed, core-seconds.
    #[serde(default)]
    pub late_core_seconds: Option<f64>,
    /// The longest time that it would have taken to catch up, seconds.
    #[serde(default)]
    pub catch_up_s: Option<f64>,
    /// Not projected yet: needs runs tied to the resource.
    pub p95_duration_ms: Option<f64>,
    /// How many containers the costs are of, where it is not one.
    #[serde(default)]
    pub replicas: Option<u32>,
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
    /// The query whose rows say so, as `pipeline sql` takes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sql: Option<String>,
}

impl Evidence {
    /// A figure, and the query of the rows behind it.
    pub fn rows(what: &str, value: String, source: &str, sql: String) -> Self {
        Self { what: what.to_owned(), value, source: source.to_owned(), sql: Some(sql) }
    }
}

/// A text as a literal of SQL.
pub fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
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
    /// The target that has it: its `id` in the plan.
    pub on: String,
    /// What is done.
    pub action: Action,
    /// The limits now.
    pub before: State,
    /// The limits after.
    pub after: State,
    /// The requests beside them; none where the target has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<Requests>,
    /// Lower limits of its quiet hours; none: `after` holds at all hours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calendar: Option<Calendar>,
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
    /// What is done beside the limits, which then stay as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<Task>,
    /// How to undo it.
    pub inverse: Inverse,
    /// What a reader should do or watch.
    pub guidance: String,
    /// What it brings, how risky it is, and how a person does and undoes it; none in plans of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handling: Option<Handling>,
}

impl Item {
    /// An item that leaves the limits of its resource as they are; `back` is what undoes it.
    fn beside_limits(resource: &str, on: &str, live: State, [action, back]: [Action; 2]) -> Self {
        Self {
            id: String::new(),
            resource: resource.to_owned(),
            on: on.to_owned(),
            action,
            before: live,
            after: live,
            requests: None,
            calendar: None,
            reason: String::new(),
            lower_bound: State::default(),
            target: State::default(),
            upper_bound: State::default(),
            confidence: None,
            evidence: Vec::new(),
            projected: Projected::default(),
            override_: None,
            task: None,
            inverse: Inverse { action: back, after: live },
            guidance: String::new(),
            handling: None,
        }
    }

    /// What doing something beside limits is called.
    pub fn action_of(task: &Task) -> Action {
        match task {
            Task::Weigh { .. } => Action::Prioritize,
            Task::Restart => Action::Restart,
            Task::Start => Action::Provision,
            Task::Stop => Action::Deprovision,
            Task::Load { .. } => Action::Prefetch,
            Task::Job { .. } => Action::Resize,
            Task::Route { .. } => Action::Route,
            Task::Deploy(_) => Action::Deploy,
        }
    }

    /// Whether `apply` does something for it.
    pub fn is_change(&self) -> bool {
        self.action == Action::Resize || (self.task.is_some() && self.action != Action::None)
    }

    /// The limits that it leads to at a moment.
    pub fn limits_at(&self, now: Timestamp) -> State {
        self.calendar.as_ref().map_or(self.after, |calendar| calendar.at(now))
    }

    /// What to watch or do first about a change; its guidance also says how it is carried out and undone.
    pub fn advice(&self) -> Option<&str> {
        words::advice(&self.guidance)
    }
}

/// Name and version of a model a plan rests on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
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

/// A caution about what a target was read to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// `env/service`; none where it concerns the whole target.
    pub resource: Option<String>,
    /// In words.
    pub what: String,
}

/// Whether a text is the id of a plan: it names files and folders of the lake, and so has nothing of a path in it.
pub fn is_plan_id(text: &str) -> bool {
    let (digits, short) = text.strip_prefix('p').and_then(|rest| rest.split_once('-')).unwrap_or_default();
    let time = digits.len() == 16 && digits.bytes().all(|b| b.is_ascii_digit() || b == b'T' || b == b'Z');
    time && short.len() == 8 && short.bytes().all(|b| b.is_ascii_hexdigit())
}

/// What kind of target, and where it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetRef {
    /// `compose`, `docker`, or `observed` when no live target was given.
    pub kind: String,
    /// Where it is.
    pub location: String,
}

/// A target of a plan, as it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedTarget {
    /// How the items of the plan name it.
    pub id: String,
    /// `compose`, `docker`, or `observed` when no live target was given.
    pub kind: String,
    /// Where it is.
    pub location: String,
    /// Digest of what was read of it.
    pub prior_state_digest: String,
}

impl PlannedTarget {
    /// One of which this digest was read.
    pub fn new(id: String, TargetRef { kind, location }: TargetRef, digest: &str) -> Self {
        Self { id, kind, location, prior_state_digest: digest.to_owned() }
    }

    /// When its new limits are in force, after "takes effect".
    pub fn takes_effect(&self) -> &'static str {
        words::takes_effect(&self.kind)
    }

    /// What kind it is, and where.
    pub fn reference(&self) -> TargetRef {
        TargetRef { kind: self.kind.clone(), location: self.location.clone() }
    }
}

/// A set of adjustments, ready to be read, approved, applied and undone. One of an earlier format keeps its own form where it
/// is written again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct Plan {
    /// The format it was made in: [`FORMAT_VERSION`], or an earlier one.
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
    /// What it changes, in the order in which it is changed.
    pub targets: Vec<PlannedTarget>,
    /// One per resource of each target, changes first.
    pub items: Vec<Item>,
    /// Policy → what it would have done on the same rows.
    pub backtest: BTreeMap<String, Replay>,
    /// Gates and notes.
    pub checks: Vec<Check>,
    /// What could not be read of the target for certain, and what else takes part in it.
    #[serde(default)]
    pub notes: Vec<Note>,
    /// What it rests on beside its targets, and how far that may move; none in plans of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basis: Option<Basis>,
    /// When its resources may be changed, as the overrides said.
    #[serde(default, skip_serializing_if = "Timetable::is_empty")]
    pub hours: Timetable,
    /// Its items are the steps of a rollout, done one by one by `stack advance`; none: `apply` does them all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<Rollout>,
    /// Whether `apply` would take it once approved.
    pub applyable: bool,
}

impl Plan {
    /// SHA-256 of the plan with its `digest` empty, over JSON with sorted keys: any later edit shows. Empty where it cannot
    /// be written; an empty digest is never right.
    pub fn compute_digest(&self) -> String {
        let bare = Self { digest: String::new(), ..self.clone() };
        let Ok(mut value) = serde_json::to_value(&bare) else { return String::new() };
        if let Some(plan) = value.as_object_mut().filter(|_| self.notes.is_empty()) {
            plan.remove("notes"); // plans of earlier versions have none
        }
        let mut text = String::new();
        crate::identity::canonical(&value, &mut text);
        format!("sha256:{}", sha256_hex(text.as_bytes()))
    }

    /// Whether it is as it was made.
    pub fn is_intact(&self) -> bool {
        !self.digest.is_empty() && self.digest == self.compute_digest()
    }

    /// The items that `apply` carries out.
    pub fn changes(&self) -> impl Iterator<Item = &Item> {
        self.items.iter().filter(|item| item.is_change())
    }

    /// How many things it is about; advice for builds is about none that it could change.
    pub fn resources(&self) -> usize {
        let about = self.items.iter().filter(|item| item.action != Action::Optimize);
        about.map(|item| (&item.on, &item.resource)).collect::<std::collections::BTreeSet<_>>().len()
    }

    /// The targets in words: `compose /srv/compose.yaml, docker unix:///var/run/docker.sock`.
    pub fn targets_in_words(&self) -> String {
        let all: Vec<String> =
            self.targets.iter().map(|target| format!("{} {}", target.kind, target.location)).collect();
        all.join(", ")
    }

    /// The items that a person has to act on.
    pub fn for_people(&self) -> impl Iterator<Item = &Item> {
        self.items.iter().filter(|item| item.action != Action::None && !item.is_change())
    }
}
