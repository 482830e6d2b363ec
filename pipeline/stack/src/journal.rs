//! What an apply is doing, written down before it is done, so that a killed run can be resumed and a finished one
//! undone.
//!
//! The journal holds the target's whole text before and after. Where that text holds secrets, so does the journal:
//! it belongs where the target belongs.

use crate::StackError;
use crate::target::{Change, digest};
use domain::Timestamp;
use domain::plan::{Plan, TargetRef};
use serde::{Deserialize, Serialize};

/// How far a plan got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Nothing was read or written yet.
    Planned,
    /// What will be written is known and kept; the target has the text before or the text after.
    Prepared,
    /// The target has the text after.
    Applied,
    /// The target has the text before again.
    RolledBack,
}

/// One thing that was done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// When.
    pub at: Timestamp,
    /// What, in words.
    pub what: String,
}

/// The record of one plan on one target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Journal {
    /// Which plan.
    pub plan_id: String,
    /// On what.
    pub target: TargetRef,
    /// How far it got.
    pub state: Phase,
    /// Digest the target had when the plan was made.
    pub before_digest: String,
    /// Its text then; empty until prepared.
    pub before_text: String,
    /// Digest of `after_text`.
    pub after_digest: String,
    /// Its text with the changes made; empty until prepared.
    pub after_text: String,
    /// What was changed.
    pub changes: Vec<Change>,
    /// Whether the target is known to have had the text after: what was never written cannot be restored.
    #[serde(default)]
    pub written: bool,
    /// Everything that was done, oldest first.
    pub steps: Vec<Step>,
}

impl Journal {
    /// The journal of a plan of which nothing was done yet.
    pub fn new(plan: &Plan) -> Self {
        Self {
            plan_id: plan.plan_id.clone(),
            target: plan.target.clone(),
            state: Phase::Planned,
            before_digest: plan.prior_state_digest.clone(),
            before_text: String::new(),
            after_digest: String::new(),
            after_text: String::new(),
            changes: Vec::new(),
            written: false,
            steps: Vec::new(),
        }
    }

    /// Refuses a journal of another target, or one whose texts were changed: restoring them would do harm.
    pub(crate) fn verify(&self, target: &TargetRef) -> Result<(), StackError> {
        let damaged = |what: String| StackError::JournalDamaged { plan_id: self.plan_id.clone(), what };
        if self.target != *target {
            return Err(damaged(format!("it is about {}:{}", self.target.kind, self.target.location)));
        }
        if self.state != Phase::Planned {
            for (name, text, wanted) in
                [("before", &self.before_text, &self.before_digest), ("after", &self.after_text, &self.after_digest)]
            {
                if digest(text) != *wanted {
                    return Err(damaged(format!("its {name} text does not match its digest")));
                }
            }
        }
        Ok(())
    }

    pub(crate) fn note(&mut self, at: Timestamp, what: impl Into<String>) {
        self.steps.push(Step { at, what: what.into() });
    }
}
