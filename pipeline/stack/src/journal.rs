//! What an apply is doing, written down before it is done, so that a killed run can be resumed and a finished one
//! undone.
//!
//! Every step is kept with its inverse: what was there before and what is to be there after, in the form of its target. Of a
//! file that is its whole text. Where that text holds secrets, so does the journal: it belongs where the target belongs.

mod version1;

use crate::StackError;
use crate::target::{Change, digest};
use domain::Timestamp;
use domain::identity::written;
use domain::plan::{Plan, PlannedTarget, TargetRef};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The `format_version` this program writes; it reads every one from 1.
pub const FORMAT_VERSION: u32 = 2;

/// How far a plan got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Nothing was read or written yet.
    Planned,
    /// The steps are known and kept; some may be done.
    Prepared,
    /// Every step is done.
    Applied,
    /// A step failed; those that were done are being undone.
    GoingBack,
    /// A step failed, and everything is as it was before.
    WentBack,
    /// A person took it back; it is being undone.
    RollingBack,
    /// Everything is as it was before.
    RolledBack,
}

/// How far a step got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Progress {
    /// Not begun.
    Waiting,
    /// Begun; the target has what was before, what comes after, or something between.
    Doing,
    /// Read back as done.
    Done,
    /// Being undone.
    Undoing,
    /// As before.
    Undone,
    /// Not undone: somebody else changed it since.
    Left,
}

/// One thing that is done to a target, and how it is undone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// The target: its id in the plan.
    pub on: String,
    /// `env/service`, or several of them.
    pub resource: String,
    /// The items of the plan.
    pub items: Vec<String>,
    /// What is done, in words.
    pub what: String,
    /// What was there, as its target writes it.
    pub before: Value,
    /// What is to be there.
    pub after: Value,
    /// Digest of `before`.
    pub before_digest: String,
    /// Digest of `after`.
    pub after_digest: String,
    /// How far it got.
    pub progress: Progress,
    /// Whether it was seen to do no harm.
    #[serde(default)]
    pub healthy: bool,
    /// What it was done to, where the name of the target may come to lead elsewhere: the file behind symbolic links.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub place: String,
    /// When it was done, where that is later than when its run began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done_at: Option<Timestamp>,
    /// What a reader should know of how it was done or undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remark: Option<String>,
}

/// One thing that was done, or found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// When.
    pub at: Timestamp,
    /// What, in words.
    pub what: String,
}

/// The record of one plan on its targets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct Journal {
    /// [`FORMAT_VERSION`].
    pub format_version: u32,
    /// Which plan.
    pub plan_id: String,
    /// On what.
    pub targets: Vec<PlannedTarget>,
    /// How far it got.
    pub state: Phase,
    /// What was changed.
    pub changes: Vec<Change>,
    /// The steps, in the order in which they are done; none until prepared.
    pub steps: Vec<Step>,
    /// Whether anything is known to have been written: what never was cannot be restored.
    pub written: bool,
    /// The resources that were to be recreated with what was written: a rollback recreates them too, whether they run or not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub up: Vec<String>,
    /// How long each of them was given to be well, in seconds; none: as by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub up_timeout_s: Option<u64>,
    /// The steps of a switch that is under way: from the limits of one part of a calendar to those of the next.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub switching: Vec<Step>,
    /// The last switch that was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub switched: Option<Entry>,
    /// Why it went back, where it did.
    pub why: Option<String>,
    /// Everything that was done, oldest first.
    pub log: Vec<Entry>,
}

impl Step {
    /// A step of which nothing is done yet; the caller says on which target.
    pub(crate) fn new(resource: String, items: Vec<String>, what: String, before: Value, after: Value) -> Self {
        let (before_digest, after_digest) = (digest_of(&before), digest_of(&after));
        let (on, progress, healthy, place) = (String::new(), Progress::Waiting, false, String::new());
        let (done_at, remark) = (None, None);
        Self {
            on,
            resource,
            items,
            what,
            before,
            after,
            before_digest,
            after_digest,
            progress,
            healthy,
            place,
            done_at,
            remark,
        }
    }
}

impl Journal {
    /// The journal of a plan of which nothing was done yet.
    pub fn new(plan: &Plan) -> Self {
        Self {
            format_version: FORMAT_VERSION,
            plan_id: plan.plan_id.clone(),
            targets: plan.targets.clone(),
            state: Phase::Planned,
            changes: Vec::new(),
            steps: Vec::new(),
            written: false,
            up: Vec::new(),
            up_timeout_s: None,
            switching: Vec::new(),
            switched: None,
            why: None,
            log: Vec::new(),
        }
    }

    /// Refuses a journal of another target, or one whose steps were changed: undoing them would do harm.
    pub(crate) fn verify<'a>(&self, held: impl Iterator<Item = (&'a str, TargetRef)>) -> Result<(), StackError> {
        let damaged = |what: String| StackError::JournalDamaged { plan_id: self.plan_id.clone(), what };
        if self.format_version != FORMAT_VERSION {
            return Err(damaged(format!("it has format version {}", self.format_version)));
        }
        let mut ids = Vec::new();
        for (id, reference) in held {
            match self.targets.iter().find(|target| target.id == id) {
                Some(target) if target.reference() == reference => ids.push(id),
                Some(target) => return Err(damaged(format!("it is about {}:{}", target.kind, target.location))),
                None => return Err(damaged(format!("it has no target {id}"))),
            }
        }
        for step in self.steps.iter().chain(&self.switching) {
            if !ids.contains(&step.on.as_str()) {
                return Err(damaged(format!("it has a step on {}, which is none of the plan's targets", step.on)));
            }
            for (name, value, wanted) in
                [("before", &step.before, &step.before_digest), ("after", &step.after, &step.after_digest)]
            {
                if digest_of(value) != *wanted {
                    return Err(damaged(format!("its {name} text does not match its digest")));
                }
            }
        }
        Ok(())
    }

    /// Step by step how far it got: `shop/web: done`.
    pub fn in_words(&self) -> Vec<String> {
        self.steps.iter().map(|step| format!("{}: {}", step.resource, step.progress.in_words())).collect()
    }

    pub(crate) fn note(&mut self, at: Timestamp, what: impl Into<String>) {
        self.log.push(Entry { at, what: what.into() });
    }
}

impl Progress {
    /// Whether the target is known to have had what comes after the step.
    pub(crate) fn is_done(self) -> bool {
        matches!(self, Self::Done | Self::Undoing)
    }

    fn in_words(self) -> &'static str {
        match self {
            Self::Waiting => "not begun",
            Self::Doing => "begun",
            Self::Done => "done",
            Self::Undoing => "being restored",
            Self::Undone => "as it was before",
            Self::Left => "changed by somebody else, and left alone",
        }
    }
}

/// Of a text the text itself, of anything else its JSON with sorted keys.
fn digest_of(value: &Value) -> String {
    value.as_str().map_or_else(|| digest(&written(value)), digest)
}
