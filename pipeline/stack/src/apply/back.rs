//! Back: a plan whose step failed goes back by itself, an applied one when it is rolled back. What somebody else changed since
//! is left as it is.

use super::{Done, Run};
use crate::StackError;
use crate::journal::{Phase, Progress};
use crate::target::Stand;
use domain::causes::with_causes;

impl Run<'_> {
    /// Whether anything was done that can be undone; what somebody else changed since cannot.
    pub(super) fn is_touched(&mut self) -> Result<bool, StackError> {
        for i in 0..self.journal.steps.len() {
            let progress = self.journal.steps[i].progress;
            if progress == Progress::Waiting {
                continue;
            }
            match self.stands(i)? {
                Stand::After | Stand::Partly(_) => return Ok(true),
                Stand::Before | Stand::Gone(_) if progress.is_done() => return Ok(true),
                _ => {}
            }
        }
        Ok(false)
    }

    /// After a step that failed: undoes what was done. The error says what came of it.
    pub(super) fn go_back(&mut self, failed: Option<StackError>) -> StackError {
        let plan_id = self.journal.plan_id.clone();
        let undone = (|| {
            if let Some(error) = &failed {
                self.journal.why = Some(with_causes(error));
                self.end(Phase::GoingBack, &format!("going back: {}", with_causes(error)))?;
            }
            let left = self.undo_all()?;
            self.end(Phase::WentBack, "went back")?;
            Ok(left)
        })();
        let why = self.journal.why.clone().unwrap_or_default();
        match undone {
            Ok(left) => StackError::WentBack { plan_id, why, steps: self.journal.in_words(), left },
            Err(error) => StackError::Between { plan_id, why, steps: self.journal.in_words(), source: Box::new(error) },
        }
    }

    /// Undoes every step that was begun, last first. What somebody else changed since is left, and returned.
    pub(super) fn undo_all(&mut self) -> Result<Vec<String>, StackError> {
        let mut left = Vec::new();
        for i in (0..self.journal.steps.len()).rev() {
            if matches!(self.journal.steps[i].progress, Progress::Waiting | Progress::Undone) {
                continue;
            }
            match self.stands(i)? {
                Stand::Before => self.mark(i, Progress::Undone, "is as it was")?,
                Stand::Gone(what) => self.mark(i, Progress::Undone, &format!("nothing to restore: {what}"))?,
                Stand::Other(differs) => {
                    let what = format!("left as it is: {}", differs.join("; "));
                    self.mark(i, Progress::Left, &what)?;
                    left.push(format!("{} is {what}", self.journal.steps[i].resource));
                }
                Stand::After | Stand::Partly(_) => {
                    self.settle(i)?;
                    self.mark(i, Progress::Undoing, "restoring what was there before")?;
                    let (step, session) = self.at(i);
                    session.undo(step)?;
                    let remark = session.remark();
                    self.remark(i, remark);
                    self.written = true;
                    let stand = self.stands(i)?;
                    if stand != Stand::Before {
                        return Err(self.not_taken(i, &stand));
                    }
                    self.mark(i, Progress::Undone, "restored")?;
                }
            }
        }
        left.reverse();
        Ok(left)
    }

    pub(super) fn roll_back(&mut self) -> Result<Done, StackError> {
        let was = self.journal.state;
        let since = if was == Phase::RolledBack { "the plan was rolled back" } else { "the plan was applied" };
        let (mut undoable, mut strange) = (false, None);
        for i in 0..self.journal.steps.len() {
            if self.journal.steps[i].progress == Progress::Waiting {
                continue;
            }
            match self.stands(i)? {
                Stand::After | Stand::Partly(_) => {
                    if was == Phase::RolledBack && self.journal.steps[i].progress == Progress::Undone {
                        let differs = vec![format!("{} is as the plan made it", self.journal.steps[i].resource)];
                        return Err(self.drifted(i, since, differs));
                    }
                    undoable = true;
                    let (step, session) = self.at(i);
                    session.check_writable(step)?;
                }
                Stand::Other(differs) => {
                    let whole = self.at(i).1.is_whole();
                    let error = self.drifted(i, since, differs);
                    // Nothing of theirs is lost, and nothing else is torn from it.
                    if whole {
                        return Err(error);
                    }
                    if self.journal.steps[i].progress != Progress::Left {
                        strange.get_or_insert(error);
                    }
                }
                Stand::Before | Stand::Gone(_) => {}
            }
        }
        if was == Phase::RolledBack {
            return strange.map_or(Ok(Done::Already), Err);
        }
        if let (Some(error), false) = (strange, undoable) {
            return Err(error);
        }
        self.journal.state = Phase::RollingBack;
        self.journal.written |= undoable;
        let left = self.undo_all()?;
        self.end(Phase::RolledBack, if self.written { "restored" } else { "found it as it was before" })?;
        Ok(match (left.is_empty(), self.written) {
            (false, _) => Done::Except(left),
            (true, true) => Done::Written,
            (true, false) => Done::Already,
        })
    }
}
