//! Forward: what is prepared while the targets are untouched, and each step done, once no work is disturbed by it, up to its
//! health check.

use super::{Done, Run, Work};
use crate::StackError;
use crate::journal::{Phase, Progress, Step};
use crate::target::{Change, Stand, cannot_deploy};
use std::ops::Range;
use std::time::{Duration, Instant};

/// How long requests that are under way are waited for before what serves them is changed.
const PATIENCE: Duration = Duration::from_secs(10);

/// Between looks at whether work has ended.
const LOOK: Duration = Duration::from_millis(250);

impl Run<'_> {
    /// Works out what will be done; the targets are still untouched.
    pub(super) fn prepare(&mut self, changes: &[Change]) -> Result<(), StackError> {
        let mut steps = Vec::new();
        for held in self.held.iter_mut() {
            let of_target: Vec<Change> = changes.iter().filter(|change| change.on == held.id).cloned().collect();
            let planned = self.journal.targets.iter().find(|target| target.id == held.id);
            let prior = planned.map(|target| target.prior_state_digest.clone()).unwrap_or_default();
            if let Some(change) = of_target.iter().find(|it| it.deployment().is_some() && !held.session.deploys()) {
                return Err(cannot_deploy(&change.resource, &held.reference.kind));
            }
            let found = held.session.prepare(&prior, &of_target)?;
            steps.extend(found.into_iter().map(|step| Step { on: held.id.clone(), ..step }));
        }
        self.journal.steps = steps;
        self.journal.changes = changes.to_vec();
        self.journal.state = Phase::Prepared;
        self.journal.note(self.how.now, "prepared");
        Ok(())
    }

    pub(super) fn forward(&mut self) -> Result<Done, StackError> {
        for batch in batches(&self.journal.steps, self.how.at_once) {
            self.wait_for_work(batch.clone())?;
            for i in batch.clone() {
                self.step_forward(i)?;
            }
            self.well(batch)?;
        }
        let what = if self.written || self.journal.steps.is_empty() { "applied" } else { "found it applied" };
        self.end(Phase::Applied, what)?;
        Ok(if self.written { Done::Written } else { Done::Already })
    }

    /// The first step that waits, and what it touched seen to be well; with the last one the plan is applied.
    pub(super) fn next(&mut self) -> Result<Done, StackError> {
        let Some(i) = self.journal.steps.iter().position(|step| !step.progress.is_done()) else {
            return Ok(Done::Already);
        };
        self.step_forward(i)?;
        self.well(i..i + 1)?;
        if i + 1 == self.journal.steps.len() {
            self.end(Phase::Applied, "applied")?;
        }
        Ok(Done::Written)
    }

    /// Until the other targets need no more what a step is about to change: users that a route has taken from a group still
    /// wait for its answers.
    pub(super) fn settle(&mut self, i: usize) -> Result<(), StackError> {
        let on = self.journal.steps[i].on.clone();
        for held in self.held.iter_mut().filter(|held| held.id != on) {
            if let Some(left) = held.session.settle(PATIENCE)? {
                let what = format!("{}: not waited for any longer: {left}", self.journal.steps[i].resource);
                self.journal.note(self.how.now, what);
            }
        }
        Ok(())
    }

    /// Until no build or test runs where these steps change something.
    fn wait_for_work(&mut self, batch: Range<usize>) -> Result<(), StackError> {
        let began = Instant::now();
        let Work { is_work, patience } = self.how.work;
        for i in batch.filter(|i| !self.journal.steps[*i].progress.is_done()).collect::<Vec<_>>() {
            loop {
                let (step, session) = self.at(i);
                let Some(what) = session.busy(step, &is_work)? else { break };
                if began.elapsed() >= patience {
                    return Err(StackError::Busy { resource: step.resource.clone(), what });
                }
                std::thread::sleep(LOOK.min(patience));
            }
        }
        Ok(())
    }

    pub(super) fn step_forward(&mut self, i: usize) -> Result<(), StackError> {
        match self.stands(i)? {
            Stand::After => {
                if !self.journal.steps[i].progress.is_done() {
                    self.mark(i, Progress::Done, "found it done")?;
                }
                return Ok(());
            }
            Stand::Before | Stand::Partly(_) => {}
            Stand::Other(differs) => return Err(self.drifted(i, self.since(), differs)),
            Stand::Gone(what) => return Err(self.drifted(i, self.since(), vec![what])),
        }
        self.settle(i)?;
        let what = self.journal.steps[i].what.clone();
        self.mark(i, Progress::Doing, &what)?;
        let (step, session) = self.at(i);
        session.carry_out(step)?;
        let remark = session.remark();
        self.remark(i, remark);
        self.written = true;
        let stand = self.stands(i)?;
        if stand != Stand::After {
            return Err(self.not_taken(i, &stand));
        }
        self.mark(i, Progress::Done, "done")
    }

    fn since(&self) -> &'static str {
        if self.resumed { "apply was interrupted" } else { "apply began" }
    }

    /// Sees that what a batch of steps touched is well.
    fn well(&mut self, batch: Range<usize>) -> Result<(), StackError> {
        let new: Vec<usize> = batch.filter(|i| !self.journal.steps[*i].healthy).collect();
        for i in &new {
            let most = self.how.health.timeout;
            let (step, session) = self.at(*i);
            session.healthy(step, most)?;
        }
        let steps: Vec<&Step> = new.iter().map(|i| &self.journal.steps[*i]).collect();
        self.how.health.look(&self.journal.plan_id, &steps)?;
        for i in new {
            self.journal.steps[i].healthy = true;
        }
        Ok(())
    }
}

/// Steps by what is changed together: all of one service, and so many services.
pub(super) fn batches(steps: &[Step], at_once: usize) -> Vec<Range<usize>> {
    let mut batches = Vec::new();
    let (mut begin, mut services) = (0, 0);
    for (i, step) in steps.iter().enumerate() {
        let is_new = i == 0 || (&steps[i - 1].on, &steps[i - 1].resource) != (&step.on, &step.resource);
        if is_new {
            if services == at_once.max(1) {
                batches.push(begin..i);
                (begin, services) = (i, 0);
            }
            services += 1;
        }
    }
    if begin < steps.len() {
        batches.push(begin..steps.len());
    }
    batches
}
