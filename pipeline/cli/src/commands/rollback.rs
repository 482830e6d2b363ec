//! `rollback`: exactly what was there before, to the byte.

use crate::artifacts::journal_path;
use crate::commands::apply::{keep, tell};
use crate::context::{Answer, Context};
use crate::failure::{Exit, Failure};
use crate::ledger::{Act, Ledger, enter};
use crate::plan_file::read_plan;
use clap::Args;
use serde_json::json;
use stack::{Done, Journal, Phase, Target};
use std::path::PathBuf;

/// What `rollback` takes.
#[derive(Debug, Args)]
pub struct RollbackArgs {
    /// The plan file
    plan: PathBuf,
}

/// Restores. Refuses when somebody changed the target after the plan was applied: nothing of theirs is lost. What was
/// never written is not said to be restored.
pub async fn run(context: &Context, args: RollbackArgs) -> Result<Answer, Failure> {
    let plan = read_plan(&args.plan)?;
    let (lake, privacy) = context.lake_with_key().await?;
    let ledger = Ledger::proven(&lake, &privacy).await?;
    ledger.made(&plan)?;
    ledger.at_its_time(context, &plan)?;
    let target = Target::from_reference(&plan.target)?;
    let never = || {
        Failure::new(Exit::Refused, format!("{} was never applied", plan.plan_id))
            .hint("there is nothing to undo; `pipeline log` shows what was done")
    };
    if lake.document::<Journal>(&journal_path(&plan)).await?.is_none() {
        return Err(never());
    }
    let mut held = target.hold()?;
    let Some(mut journal) = lake.document::<Journal>(&journal_path(&plan)).await? else { return Err(never()) };
    let items: Vec<String> = journal.changes.iter().map(|change| change.item_id.clone()).collect();
    let was_applied = journal.state == Phase::Applied;
    let done = {
        let mut save = |journal: &Journal| keep(&lake, &target, &plan, journal);
        stack::rollback_held(&target, held.as_mut(), &mut journal, context.now, &mut save)?
    };
    let act = |action, result| Act { plan: &plan, action, items: &items, result };
    let ledger = Ledger::proven(&lake, &privacy).await?;
    let told = ledger.tells(&plan, "apply") || ledger.tells(&plan, "rollback");
    let written = journal.written || was_applied || told;
    if written && !told {
        // An apply that was killed before it could say so is said now: the ledger leaves out nothing that happened.
        enter(context, &lake, &privacy, act("apply", "applied, interrupted")).await?;
    }
    if written && !ledger.tells(&plan, "rollback") {
        tell(context, &privacy, &plan, &journal, "rollback", &items).await?;
        enter(context, &lake, &privacy, act("rollback", "restored")).await?;
    }
    drop(held);
    let word = match done {
        _ if !written => "nothing was written, so nothing is restored",
        Done::Written => "restored",
        Done::Already => "already as it was",
    };
    context.say(format!("{word}: {}", plan.target.location));
    let brief = format!("{word}: {}", plan.target.location);
    Ok(Answer::done(json!({"plan_id": plan.plan_id, "result": word, "items": items})).brief(brief))
}
