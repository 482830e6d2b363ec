//! What the targets of a plan object to: the figures that they would refuse, and what they warn of.

use super::ids;
use super::live::LiveTarget;
use crate::failure::Failure;
use domain::causes::last_cause;
use domain::plan::{Candidate, Note, Plan, PlanInputs, State};
use stack::{Change, Figure};

/// A plan promises nothing that its target would refuse. One figure does not stand for the other.
pub(super) fn refuse(on: &LiveTarget, plan: &Plan, inputs: &mut PlanInputs) -> Result<(), Failure> {
    let Some(target) = &on.target else { return Ok(()) };
    let changed = |change: Change| {
        let (before, after) = (change.before, change.after);
        let reserved = on.live.requests.get(&change.resource).copied().unwrap_or_default();
        let reserves = change.requests.unwrap_or(reserved);
        let moves = (after.cpu_cores, reserves.cpu_cores) != (before.cpu_cores, reserved.cpu_cores);
        let cpu_cores = after.cpu_cores.filter(|_| moves);
        let moves = (after.memory_bytes, reserves.memory_bytes) != (before.memory_bytes, reserved.memory_bytes);
        let memory_bytes = after.memory_bytes.filter(|_| moves);
        Change { after: State { cpu_cores, memory_bytes }, ..change }
    };
    let changes = Change::of(plan, &ids(plan)).into_iter().filter(|change| change.on == on.planned.id);
    // What is done beside limits said for itself what would be refused of it.
    let changes: Vec<Change> = changes.filter(|change| change.task.is_none()).map(changed).collect();
    for refusal in tokio::task::block_in_place(|| target.refusals(&changes))? {
        let Some(change) = changes.iter().find(|change| change.item_id == refusal.item_id) else { continue };
        let of_change = |c: &&mut Candidate| c.resource == change.resource && c.on == change.on;
        if let Some(candidate) = inputs.candidates.iter_mut().find(of_change) {
            let why = Some(last_cause(&refusal.error));
            match refusal.figure {
                Figure::Cpu => candidate.refused.cpu = why,
                Figure::Memory => candidate.refused.memory = why,
            }
        }
    }
    Ok(())
}

/// What the targets say of the changes that they would take.
pub(super) fn cautions(on: &LiveTarget, plan: &Plan) -> Result<Vec<Note>, Failure> {
    let Some(target) = &on.target else { return Ok(Vec::new()) };
    let changes = Change::of(plan, &ids(plan)).into_iter().filter(|change| change.on == on.planned.id);
    let changes: Vec<Change> = changes.collect();
    Ok(tokio::task::block_in_place(|| target.cautions(&changes))?)
}
