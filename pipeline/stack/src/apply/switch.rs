//! Switches: an applied plan whose limits follow a calendar is taken to those that hold now.
//!
//! A switch moves what a step of the plan leads to, never what it is undone to: a rollback restores what was there before the
//! plan, however often it was switched. The steps of a switch are in the journal while they are done, so that a killed one
//! is found, and become part of those of the plan afterwards.

use super::{Held, How, Run, Save};
use crate::StackError;
use crate::journal::{Entry, Journal, Phase, Progress, Step};
use crate::target::{Onward, Stand};
use domain::plan::State;

/// The limits that an item is to have now.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// The item of the plan.
    pub item_id: String,
    /// All its limits.
    pub limits: State,
}

/// What came of a switch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Switched {
    /// What was changed, in words; nothing where every limit was the one that holds now.
    pub changed: Vec<String>,
    /// What stays as it is, and why: memory that is in use.
    pub stays: Vec<String>,
}

/// Takes items of an applied plan to other limits. One that a killed run began is finished first; called again, it does
/// nothing.
///
/// # Errors
/// [`StackError::Drifted`] where somebody changed a target since: nothing is written. [`StackError::Unhealthy`] where what was
/// switched is not well afterwards: it has its limits of before the switch again.
pub fn switch(
    held: &mut [Held],
    wanted: &[Wanted],
    journal: &mut Journal,
    how: &How,
    save: Save<'_>,
) -> Result<Switched, StackError> {
    let mut run = Run::new(held, journal, how, save)?;
    run.unless_ended()?;
    if run.journal.state != Phase::Applied {
        return Err(StackError::NotApplied { plan_id: run.journal.plan_id.clone() });
    }
    run.end_switch()?;
    run.still_applied()?;
    run.switch(wanted)
}

impl Run<'_> {
    fn switch(&mut self, wanted: &[Wanted]) -> Result<Switched, StackError> {
        let (mut steps, mut stays) = (Vec::new(), Vec::new());
        for i in 0..self.journal.steps.len() {
            let (step, session) = self.at(i);
            let Some(wanted) = wanted.iter().find(|wanted| step.items.contains(&wanted.item_id)) else { continue };
            let Onward { step: next, stays: why } = session.onward(step, wanted.limits)?;
            stays.extend(why);
            steps.extend(next.map(|next| Step { on: step.on.clone(), progress: Progress::Doing, ..next }));
        }
        if steps.is_empty() {
            return Ok(Switched { changed: Vec::new(), stays });
        }
        let changed: Vec<String> = steps.iter().map(|step| step.what.clone()).collect();
        self.journal.switching = steps;
        self.journal.note(self.how.now, format!("switching {}", changed.join("; ")));
        self.keep()?;
        for k in 0..self.journal.switching.len() {
            if let Err(error) = self.switch_forward(k) {
                return Err(if error.is_interruption() { error } else { self.switch_back(error) });
            }
        }
        self.fold(&changed.join("; "))?;
        Ok(Switched { changed, stays })
    }

    fn stands_switched(&mut self, k: usize) -> Result<Stand, StackError> {
        let step = self.journal.switching[k].clone();
        self.session(&step.on).stands(&step)
    }

    fn switch_forward(&mut self, k: usize) -> Result<(), StackError> {
        let step = self.journal.switching[k].clone();
        match self.stands_switched(k)? {
            Stand::After => {}
            Stand::Before | Stand::Partly(_) => self.session(&step.on).carry_out(&step)?,
            Stand::Other(differs) => return Err(self.drifted_on(&step.on, "the switch began", differs)),
            Stand::Gone(what) => return Err(self.drifted_on(&step.on, "the switch began", vec![what])),
        }
        self.journal.switching[k].progress = Progress::Done;
        match self.stands_switched(k)? {
            Stand::After => {}
            stand => {
                let what = format!("it did not take {}: {stand:?}", step.what);
                return Err(StackError::Unhealthy { resource: step.resource, what });
            }
        }
        let most = self.how.health.timeout;
        self.session(&step.on).healthy(&step, most)
    }

    /// The limits of before the switch, where one of its steps failed.
    fn switch_back(&mut self, failed: StackError) -> StackError {
        let undone = (|| {
            for k in (0..self.journal.switching.len()).rev() {
                let step = self.journal.switching[k].clone();
                if matches!(self.stands_switched(k)?, Stand::After | Stand::Partly(_)) {
                    self.session(&step.on).undo(&step)?;
                }
            }
            self.journal.switching.clear();
            self.journal.note(self.how.now, format!("switched back: {failed}"));
            self.keep()
        })();
        undone.err().unwrap_or(failed)
    }

    /// What a killed switch did counts, and what it had not begun never was.
    pub(super) fn end_switch(&mut self) -> Result<(), StackError> {
        if self.journal.switching.is_empty() {
            return Ok(());
        }
        let mut done = Vec::new();
        for k in 0..self.journal.switching.len() {
            let step = self.journal.switching[k].clone();
            match self.stands_switched(k)? {
                Stand::After => done.push(step),
                Stand::Partly(_) => {
                    self.session(&step.on).carry_out(&step)?;
                    done.push(step);
                }
                // Another's change is what the step of the plan will be found to differ by.
                Stand::Before | Stand::Other(_) | Stand::Gone(_) => {}
            }
        }
        let what: Vec<String> = done.iter().map(|step| step.what.clone()).collect();
        self.journal.switching = done;
        self.fold(&what.join("; "))
    }

    /// Makes the steps of a switch part of those of the plan.
    fn fold(&mut self, what: &str) -> Result<(), StackError> {
        let now = self.how.now;
        for switched in std::mem::take(&mut self.journal.switching) {
            let is_its = |step: &&mut Step| step.on == switched.on && step.after_digest == switched.before_digest;
            if let Some(step) = self.journal.steps.iter_mut().find(is_its) {
                (step.after, step.after_digest) = (switched.after, switched.after_digest);
            }
        }
        if !what.is_empty() {
            self.journal.switched = Some(Entry { at: now, what: what.to_owned() });
            self.journal.note(now, format!("switched {what}"));
        }
        self.keep()
    }
}

#[cfg(test)]
#[path = "switch_tests.rs"]
mod tests;
