//! `rollback`: exactly what was there before, to the byte.

use crate::artifacts::{enter, journal_path, read_plan, sound_ledger};
use crate::commands::apply::{keep, tell, told};
use crate::context::{Answer, Context};
use crate::failure::{Exit, Failure};
use clap::Args;
use serde_json::json;
use stack::{Done, Journal, Target};
use std::path::PathBuf;

/// What `rollback` takes.
#[derive(Debug, Args)]
pub struct RollbackArgs {
    /// The plan file
    plan: PathBuf,
}

/// Restores. Refuses when somebody changed the target after the plan was applied: nothing of theirs is lost.
pub async fn run(context: &Context, args: RollbackArgs) -> Result<Answer, Failure> {
    let plan = read_plan(&args.plan)?;
    let (lake, privacy) = context.lake_with_key().await?;
    sound_ledger(&lake).await?;
    let Some(mut journal) = lake.document::<Journal>(&journal_path(&plan)).await? else {
        return Err(Failure::new(Exit::Refused, format!("{} was never applied", plan.plan_id))
            .hint("there is nothing to undo; `pipeline log` shows what was done"));
    };
    let target = Target::from_reference(&plan.target)?;
    let items: Vec<String> = journal.changes.iter().map(|change| change.item_id.clone()).collect();
    let done = {
        let mut save = |journal: &Journal| keep(&lake, &plan, journal);
        stack::rollback(&target, &mut journal, context.now, &mut save)?
    };
    if done == Done::Written && !told(&lake, &plan, "apply").await? {
        // An apply that was killed before it could say so is said now: the ledger leaves out nothing that happened.
        enter(context, &lake, &privacy, &plan, "apply", items.clone(), "applied, interrupted").await?;
    }
    if !told(&lake, &plan, "rollback").await? {
        tell(context, &privacy, &plan, &journal, "rollback", &items).await?;
        enter(context, &lake, &privacy, &plan, "rollback", items.clone(), "restored").await?;
    }
    let word = if done == Done::Written { "restored" } else { "already as it was" };
    context.say(format!("{word}: {}", plan.target.location));
    Ok(Answer::done(json!({"plan_id": plan.plan_id, "result": word, "items": items})))
}
