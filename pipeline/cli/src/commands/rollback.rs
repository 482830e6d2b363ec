//! `rollback`: exactly what was there before, to the byte.

use crate::artifacts::journal_path;
use crate::commands::apply::{remarks, shown, tell};
use crate::context::{Answer, Context};
use crate::failure::{Exit, Failure};
use crate::ledger::{Act, Ledger, enter};
use crate::plan_file::read_plan;
use crate::targets::Targets;
use clap::Args;
use domain::plan::Plan;
use domain::task::Task;
use serde_json::json;
use stack::{Done, Health, How, Journal, Phase, Progress, Work};
use std::path::PathBuf;
use std::time::Duration;

/// The arguments of `rollback`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pipeline rollback plan.json")]
pub struct RollbackArgs {
    /// The plan file
    plan: PathBuf,
}

/// Restores. Refuses when somebody changed the target after the plan was applied: nothing of theirs is lost. What was
/// never written is not said to be restored.
pub async fn run(context: &Context, args: RollbackArgs) -> Result<Answer, Failure> {
    restore(context, &read_plan(&args.plan)?).await
}

/// Restores what was there before a plan.
pub async fn restore(context: &Context, plan: &Plan) -> Result<Answer, Failure> {
    let (lake, privacy) = context.lake_with_key().await?;
    let ledger = Ledger::proven(&lake, &privacy).await?;
    ledger.made(plan)?;
    ledger.at_its_time(context, plan)?;
    let never = || {
        Failure::new(Exit::Refused, format!("{} was never applied", plan.plan_id))
            .hint("there is nothing to undo; `pipeline log` shows what was done")
    };
    let Some(journal) = lake.document::<Journal>(&journal_path(plan)).await? else { return Err(never()) };
    let ids = |journal: &Journal| -> Vec<String> { journal.changes.iter().map(|it| it.item_id.clone()).collect() };
    let targets = Targets::of(plan, &ids(&journal))?;
    let mut held = targets.hold()?;
    // Again, now that nobody else writes it.
    let Some(mut journal) = lake.document::<Journal>(&journal_path(plan)).await? else { return Err(never()) };
    let items = ids(&journal);
    let told_plan = undone(plan, &journal);
    let was_applied = journal.state == Phase::Applied;
    let how = How { now: context.now, at_once: 1, health: Health::default(), work: Work::IGNORED };
    let done = {
        let mut save = |journal: &Journal| targets.keep(&lake, plan, journal);
        tokio::task::block_in_place(|| stack::rollback(&mut held, &mut journal, &how, &mut save))?
    };
    let act = |action, result| Act { plan, action, items: &items, result };
    if journal.state == Phase::WentBack {
        // An apply that failed and could not go back by itself.
        enter(context, &lake, &privacy, act("revert", "failed, and taken back")).await?;
    } else {
        let ledger = Ledger::proven(&lake, &privacy).await?;
        let told = ledger.tells(plan, "apply") || ledger.tells(plan, "rollback");
        journal.written |= was_applied || told;
        if journal.written && !told {
            // An apply that was killed before it could say so is said now: the ledger leaves out nothing that happened.
            let result = if plan.rollout.is_some() { "a rollout, begun" } else { "applied, interrupted" };
            enter(context, &lake, &privacy, act("apply", result)).await?;
        }
        if journal.written {
            if !ledger.tells(plan, "rollback") {
                tell(context, &privacy, &told_plan, &journal, "rollback", &items).await?;
            }
            let result =
                if matches!(done, Done::Except(_)) { "restored, except what others changed" } else { "restored" };
            enter(context, &lake, &privacy, act("rollback", result)).await?;
        }
    }
    drop(held);
    // What `apply --up` recreated runs with what was written then.
    if !journal.up.is_empty() {
        let most = journal.up_timeout_s.map_or(Health::default().timeout, Duration::from_secs);
        let recreated = targets.recreate(&journal.changes, &journal.up, most);
        recreated.map_err(|error| Failure { what: format!("the files are restored; {}", error.what), ..error })?;
    }
    let word = match done {
        _ if !journal.written => "nothing was written, so nothing is restored",
        Done::Written => "restored",
        Done::Already => "already as it was",
        Done::Except(_) => "restored in part",
    };
    context.say(format!("{word}: {}", targets.in_words()));
    if !journal.up.is_empty() {
        context.say_wrapped("recreated where it differed: ", &journal.up.join(", "), 4);
    }
    remarks(context, &journal);
    let left = if let Done::Except(left) = done { left } else { Vec::new() };
    for what in &left {
        context.say_wrapped("  not undone: ", what, 14);
    }
    let exit = if left.is_empty() { Exit::Done } else { Exit::Findings };
    let steps: Vec<_> = journal.steps.iter().map(shown).collect();
    let json = json!({
        "plan_id": plan.plan_id, "result": word, "items": items, "not_undone": left, "steps": steps,
    });
    Ok(Answer::new(exit, json).brief(format!("{word}: {}", targets.in_words())))
}

/// The plan as it is told when it is undone. Of a rollout it is one change: from the last share back to before the first.
fn undone(plan: &Plan, journal: &Journal) -> Plan {
    let mut told = plan.clone();
    if let Some(rollout) = &plan.rollout {
        let begun = journal.steps.iter().filter(|step| step.progress != Progress::Waiting).count();
        told.items.truncate(begun);
        if let (Some(mut last), Some(before)) = (told.items.pop(), rollout.shares.first()) {
            let after = rollout.shares.get(begun).unwrap_or(before).clone();
            last.task = Some(Task::Route { before: before.clone(), after });
            told.items = vec![last];
        }
    }
    told
}
