//! Apply and rollback: the order of steps that makes a kill at any moment harmless.
//!
//! The journal is saved before and after every step, with what was there and what is to be there. Whoever comes next asks the
//! target where it stands: before the step, after it, or between; each is resumed. Where a step fails, those before it are
//! undone, last first: all of them, or back to where it was.

mod back;
mod forward;
mod switch;

pub use switch::{Switched, Wanted, switch};

use crate::StackError;
use crate::health::Health;
use crate::journal::{Journal, Phase, Progress, Step};
use crate::target::{Change, Session, Stand, Target};
use domain::Timestamp;
use domain::plan::{PlannedTarget, TargetRef};
use std::error::Error;
use std::time::Duration;

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    /// Something was written.
    Written,
    /// It was already as wanted.
    Already,
    /// Undone but for what somebody else changed since, in words.
    Except(Vec<String>),
}

/// Keeps a journal where a later run finds it.
pub type Save<'a> = &'a mut dyn FnMut(&Journal) -> Result<(), Box<dyn Error + Send + Sync>>;

/// A target of a plan, held for this run.
pub struct Held {
    id: String,
    reference: TargetRef,
    session: Box<dyn Session>,
}

impl Held {
    /// Holds a target under the id that the plan gives it; [`StackError::Locked`] where another run does.
    pub fn new(planned: &PlannedTarget, target: &dyn Target) -> Result<Self, StackError> {
        Ok(Self { id: planned.id.clone(), reference: target.reference(), session: target.hold()? })
    }
}

/// How steps are done.
#[derive(Clone, Debug)]
pub struct How {
    /// The present.
    pub now: Timestamp,
    /// How many services are changed before they are all seen to be well.
    pub at_once: usize,
    /// What is looked at after them.
    pub health: Health,
    /// What is looked at before them.
    pub work: Work,
}

/// Builds and tests that a change would disturb: no step is done while one runs in its environment.
#[derive(Clone, Copy, Debug)]
pub struct Work {
    /// Whether a command line is some.
    pub is_work: fn(&[String]) -> bool,
    /// How long its end is waited for, before each batch of steps.
    pub patience: Duration,
}

impl Work {
    /// Nothing is taken for work.
    pub const IGNORED: Self = Self { is_work: |_| false, patience: Duration::ZERO };
}

/// Carries out the changes, or resumes where a killed run stopped. Applying twice is applying once.
///
/// A journal in [`Phase::Planned`] takes `changes`; a later one knows what it was doing and ignores them.
///
/// # Errors
/// [`StackError::Drifted`] where a target is neither what the plan was made from nor what it leads to;
/// [`StackError::Refused`], [`StackError::RolledBack`]: nothing is written in any of them. [`StackError::WentBack`] where a
/// step failed and everything is as before; [`StackError::Unreachable`] where it could neither go on nor back.
pub fn apply(
    held: &mut [Held],
    changes: &[Change],
    journal: &mut Journal,
    how: &How,
    save: Save<'_>,
) -> Result<Done, StackError> {
    let mut run = Run::new(held, journal, how, save)?;
    run.unless_ended()?;
    run.end_switch()?;
    match run.journal.state {
        Phase::Applied => return run.still_applied(),
        Phase::Planned => {
            run.prepare(changes)?;
            run.resumed = false;
        }
        _ => {}
    }
    match run.forward() {
        Ok(done) => Ok(done),
        Err(error) if error.is_interruption() => Err(error),
        // What was never touched need not go back: the next call may find things in order.
        Err(error) if !run.is_touched()? => Err(error),
        Err(error) => Err(run.go_back(Some(error))),
    }
}

/// Carries out the next step alone: those after it wait for another call. A step that a killed run began is finished.
///
/// # Errors
/// As [`apply`].
pub fn step(
    held: &mut [Held],
    changes: &[Change],
    journal: &mut Journal,
    how: &How,
    save: Save<'_>,
) -> Result<Done, StackError> {
    steady(held, journal, how, save)?;
    let mut run = Run::new(held, journal, how, save)?;
    if run.journal.state == Phase::Planned {
        run.prepare(changes)?;
    }
    match run.next() {
        Err(error) if !error.is_interruption() && run.is_touched()? => Err(run.go_back(Some(error))),
        ended => ended,
    }
}

/// Sees that the targets are as the steps that were done left them: one that a killed run began is finished, one that was
/// done to the half is done again.
///
/// # Errors
/// [`StackError::Drifted`] where somebody changed a target since; else as [`apply`].
pub fn steady(held: &mut [Held], journal: &mut Journal, how: &How, save: Save<'_>) -> Result<(), StackError> {
    let mut run = Run::new(held, journal, how, save)?;
    run.unless_ended()?;
    let Some(last) = run.journal.steps.iter().rposition(|step| step.progress != Progress::Waiting) else {
        return Ok(());
    };
    match run.stands(last)? {
        Stand::After if run.journal.steps[last].progress.is_done() => Ok(()),
        Stand::Before if run.journal.steps[last].progress.is_done() => {
            let differs = vec![format!("{} is as it was before", run.journal.steps[last].resource)];
            Err(run.drifted(last, "the step was done", differs))
        }
        _ => run.step_forward(last),
    }
}

/// Restores what was there before the plan.
///
/// # Errors
/// [`StackError::Drifted`] where somebody changed it since; [`StackError::NotApplied`] where nothing was ever done.
pub fn rollback(held: &mut [Held], journal: &mut Journal, how: &How, save: Save<'_>) -> Result<Done, StackError> {
    let mut run = Run::new(held, journal, how, save)?;
    run.end_switch()?;
    match run.journal.state {
        Phase::Planned => Err(StackError::NotApplied { plan_id: run.journal.plan_id.clone() }),
        Phase::WentBack => Ok(Done::Already),
        Phase::GoingBack => {
            let left = run.undo_all()?;
            run.end(Phase::WentBack, "taken back")?;
            Ok(if left.is_empty() { Done::Written } else { Done::Except(left) })
        }
        Phase::Prepared | Phase::Applied | Phase::RollingBack | Phase::RolledBack => run.roll_back(),
    }
}

/// The steps that [`apply`] would do, with nothing written.
///
/// # Errors
/// As [`apply`].
pub fn rehearse(held: &mut [Held], changes: &[Change], journal: &Journal, how: &How) -> Result<Vec<Step>, StackError> {
    let (mut journal, mut save) = (journal.clone(), |_: &Journal| Ok(()));
    let mut run = Run::new(held, &mut journal, how, &mut save)?;
    if run.journal.state == Phase::Planned {
        run.prepare(changes)?;
    }
    let waiting = journal.steps.into_iter().filter(|step| matches!(step.progress, Progress::Waiting | Progress::Doing));
    Ok(waiting.collect())
}

struct Run<'a> {
    held: &'a mut [Held],
    journal: &'a mut Journal,
    how: &'a How,
    save: Save<'a>,
    /// Whether this run wrote anything.
    written: bool,
    /// Whether an earlier run began.
    resumed: bool,
}

fn session_of<'h>(held: &'h mut [Held], on: &str) -> &'h mut dyn Session {
    let held = held.iter_mut().find(|held| held.id == on);
    held.expect("the journal was verified to have no other targets").session.as_mut()
}

impl<'a> Run<'a> {
    /// [`StackError`] where the journal is about other targets.
    fn new(held: &'a mut [Held], journal: &'a mut Journal, how: &'a How, save: Save<'a>) -> Result<Self, StackError> {
        journal.verify(held.iter().map(|held| (held.id.as_str(), held.reference.clone())))?;
        Ok(Self { held, journal, how, save, written: false, resumed: true })
    }

    /// Refuses what was taken back, and takes back the rest of what was on its way back.
    fn unless_ended(&mut self) -> Result<(), StackError> {
        let plan_id = self.journal.plan_id.clone();
        match self.journal.state {
            Phase::RolledBack | Phase::RollingBack => Err(StackError::RolledBack { plan_id }),
            Phase::WentBack => {
                let why = self.journal.why.clone().unwrap_or_default();
                Err(StackError::Failed { plan_id, why })
            }
            Phase::GoingBack => Err(self.go_back(None)),
            Phase::Planned | Phase::Prepared | Phase::Applied => Ok(()),
        }
    }

    fn keep(&mut self) -> Result<(), StackError> {
        let plan_id = self.journal.plan_id.clone();
        (self.save)(self.journal).map_err(|source| StackError::Save { plan_id, source })
    }

    fn end(&mut self, state: Phase, what: &str) -> Result<(), StackError> {
        self.journal.state = state;
        self.journal.note(self.how.now, what);
        self.keep()
    }

    fn mark(&mut self, i: usize, progress: Progress, what: &str) -> Result<(), StackError> {
        let step = &mut self.journal.steps[i];
        step.progress = progress;
        let what = format!("{}: {what}", step.resource);
        self.journal.written |= progress.is_done();
        self.journal.note(self.how.now, what);
        self.keep()
    }

    fn remark(&mut self, i: usize, remark: Option<String>) {
        if let Some(remark) = &remark {
            let what = format!("{}: {remark}", self.journal.steps[i].resource);
            self.journal.note(self.how.now, what);
        }
        self.journal.steps[i].remark = remark;
    }

    /// The step, and the target that it is on.
    fn at(&mut self, i: usize) -> (&Step, &mut dyn Session) {
        let step = &self.journal.steps[i];
        (step, session_of(self.held, &step.on))
    }

    fn session(&mut self, on: &str) -> &mut dyn Session {
        session_of(self.held, on)
    }

    fn stands(&mut self, i: usize) -> Result<Stand, StackError> {
        let (step, session) = self.at(i);
        let stand = session.stands(step)?;
        // What leads to where it began is undone where it stands.
        let is_back = matches!(step.progress, Progress::Undoing | Progress::Undone);
        let is_same = step.before_digest == step.after_digest;
        Ok(if stand == Stand::After && is_same && is_back { Stand::Before } else { stand })
    }

    fn drifted(&self, i: usize, since: &'static str, differs: Vec<String>) -> StackError {
        self.drifted_on(&self.journal.steps[i].on, since, differs)
    }

    fn drifted_on(&self, on: &str, since: &'static str, differs: Vec<String>) -> StackError {
        let held = self.held.iter().find(|held| held.id == *on);
        let target = held.map(|held| held.reference.location.clone()).unwrap_or_default();
        StackError::Drifted { target, since, differs }
    }

    fn not_taken(&self, i: usize, stand: &Stand) -> StackError {
        let what = match stand {
            Stand::Before => "it is as it was".to_owned(),
            Stand::After => "it is as it should not be".to_owned(),
            Stand::Partly(what) | Stand::Gone(what) => what.clone(),
            Stand::Other(differs) => differs.join("; "),
        };
        StackError::NotTaken { resource: self.journal.steps[i].resource.clone(), what }
    }

    /// An apply that is repeated: nothing is to be done, unless somebody changed what it did.
    fn still_applied(&mut self) -> Result<Done, StackError> {
        for i in 0..self.journal.steps.len() {
            let differs = match self.stands(i)? {
                Stand::After => continue,
                Stand::Before => vec![format!("{} is as it was before", self.journal.steps[i].resource)],
                Stand::Partly(what) | Stand::Gone(what) => vec![what],
                Stand::Other(differs) => differs,
            };
            return Err(self.drifted(i, "the plan was applied", differs));
        }
        Ok(Done::Already)
    }
}

#[cfg(test)]
#[path = "apply_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "steps_tests.rs"]
mod steps_tests;
