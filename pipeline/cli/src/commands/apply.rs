//! `apply`: carries out an approved plan, step by step in a journal, so that a kill at any moment can be resumed.

use crate::artifacts::journal_path;
use crate::context::{Answer, Context, person};
use crate::failure::{Exit, Failure};
use crate::ledger::{Act, Ledger, enter};
use crate::plan_file::read_plan;
use clap::Args;
use domain::plan::Plan;
use domain::privacy::Privacy;
use intake::Source;
use lake::{IngestSpec, Lake};
use nix::sys::stat::{Mode, umask};
use serde_json::json;
use stack::{Change, Done, Journal, Phase, Target};
use std::error::Error;
use std::path::PathBuf;

/// What `apply` takes.
#[derive(Debug, Args)]
pub struct ApplyArgs {
    /// The plan file
    plan: PathBuf,
    /// Run all checks and write nothing
    #[arg(long)]
    dry_run: bool,
}

/// Applies, or resumes. The target is held until the ledger says so: of several at once one does it, and what happened
/// once is told once.
pub async fn run(context: &Context, args: ApplyArgs) -> Result<Answer, Failure> {
    let plan = read_plan(&args.plan)?;
    // The key and the ledger are proven first: once the target is written, nothing may stand in the way of saying so.
    let (lake, privacy) = context.lake_with_key().await?;
    let items = approved(context, &lake, &privacy, &plan).await?;
    let target = Target::from_reference(&plan.target)?;
    let changes = Change::of(&plan, &items);
    if args.dry_run {
        let journal = journal(&lake, &target, &plan).await?;
        as_approved(&plan, &journal, &items)?;
        if let Some(refusal) = target.refusals(&changes)?.into_iter().next() {
            let failure = Failure::from(refusal.error);
            return Err(Failure { what: format!("{}: {}", refusal.item_id, failure.what), ..failure });
        }
        context.say(format!("would apply {} changes to {}", changes.len(), plan.target.location));
        return Ok(Answer::done(json!({"plan_id": plan.plan_id, "would_apply": changes.len()})));
    }
    let mut held = target.hold()?;
    let mut journal = journal(&lake, &target, &plan).await?;
    as_approved(&plan, &journal, &items)?;
    let done = {
        let mut save = |journal: &Journal| keep(&lake, &target, &plan, journal);
        stack::apply_held(&target, held.as_mut(), &changes, &mut journal, context.now, &mut save)?
    };
    // A resumed run comes here too: what a killed one had no time to write down is written now.
    if !Ledger::proven(&lake, &privacy).await?.tells(&plan, "apply") {
        tell(context, &privacy, &plan, &journal, "apply", &items).await?;
        let act = Act { plan: &plan, action: "apply", items: &items, result: "applied" };
        enter(context, &lake, &privacy, act).await?;
    }
    drop(held);
    let word = if done == Done::Written { "applied" } else { "already applied" };
    context.say(format!("{word}: {} changes to {}", changes.len(), plan.target.location));
    for item in plan.changes().filter(|item| items.contains(&item.id)) {
        context.say_wrapped(format!("  {:<24} ", item.resource), &item.reason, 27);
    }
    let brief = format!("{word}: {} changes to {}", changes.len(), plan.target.location);
    Ok(Answer::done(json!({"plan_id": plan.plan_id, "result": word, "items": items})).brief(brief))
}

/// What was done of a plan so far; of one of which nothing was, only on the target that it was made from.
async fn journal(lake: &Lake, target: &Target, plan: &Plan) -> Result<Journal, Failure> {
    if let Some(journal) = lake.document::<Journal>(&journal_path(plan)).await? {
        return Ok(journal);
    }
    if target.read()?.is_stale(plan) {
        let what = format!("{} is not what the plan was made from", plan.target.location);
        return Err(Failure::new(Exit::Refused, what).hint("somebody changed it since: make a new plan"));
    }
    Ok(Journal::new(plan))
}

/// Refuses to say that more was done than was.
fn as_approved(plan: &Plan, journal: &Journal, items: &[String]) -> Result<(), Failure> {
    let done: Vec<&String> = journal.changes.iter().map(|change| &change.item_id).collect();
    if journal.state != Phase::Planned && !done.iter().copied().eq(items) {
        return Err(Failure::new(Exit::Refused, format!("{} was already applied with other items", plan.plan_id))
            .hint("what was approved since needs a new plan"));
    }
    Ok(())
}

/// The approved items of exactly this plan, in its order, or the reason why there are none. The ledger says so, and
/// nothing else of the lake.
async fn approved(context: &Context, lake: &Lake, privacy: &Privacy, plan: &Plan) -> Result<Vec<String>, Failure> {
    let refused = |what: String, hint: &str| Err(Failure::new(Exit::Refused, what).hint(hint));
    let ledger = Ledger::proven(lake, privacy).await?;
    ledger.made(plan)?;
    let items = ledger.approved(plan);
    if items.is_empty() {
        return refused(format!("{} was not approved", plan.plan_id), "a person says yes with `pipeline approve`");
    }
    ledger.at_its_time(context, plan)?;
    if let Err(expired) = ledger.in_time(context, plan) {
        // Found so once, it stays so: no clock that is set back makes it good again.
        enter(context, lake, privacy, Act { plan, action: "expire", items: &items, result: "found expired" }).await?;
        return Err(expired);
    }
    if !plan.applyable {
        return refused(format!("{} cannot be applied", plan.plan_id), "its checks say why");
    }
    Ok(items)
}

/// Keeps the journal in the lake, for those who may read the target: its text is in it. The stack calls back in the
/// middle of its steps, on a thread that may wait.
pub fn keep(lake: &Lake, target: &Target, plan: &Plan, journal: &Journal) -> Result<(), Box<dyn Error + Send + Sync>> {
    let (path, lake) = (journal_path(plan), lake.clone());
    // Files are made with what the mask leaves; nothing else is written while this waits.
    let before = umask(Mode::from_bits_truncate(!target.mode() & 0o777));
    let kept = tokio::task::block_in_place(|| {
        tokio::runtime::Handle::current().block_on(async { lake.write_document(&path, journal).await })
    });
    umask(before);
    Ok(kept?)
}

/// One `adjustment` event per item, through the same door as every event, at the time that the journal says: told again
/// after a kill, it is the same event.
pub async fn tell(
    context: &Context,
    privacy: &Privacy,
    plan: &Plan,
    journal: &Journal,
    action: &str,
    items: &[String],
) -> Result<(), Failure> {
    let at = journal.steps.last().map_or(context.now, |step| step.at);
    let lines: Vec<String> = plan
        .changes()
        .filter(|item| items.contains(&item.id))
        .map(|item| {
            let (before, after) =
                if action == "rollback" { (item.after, item.before) } else { (item.before, item.after) };
            json!({
                "ts": at,
                "type": "adjustment",
                "env": item.resource.split('/').next(),
                "resource": item.resource,
                "developer": person(),
                "payload": {
                    "plan_id": plan.plan_id, "item_id": item.id, "action": action,
                    "before": before, "after": after, "result": "applied",
                },
            })
            .to_string()
        })
        .collect();
    let source = Source::Lines { name: plan.plan_id.clone(), text: lines.join("\n") };
    Lake::ingest(&context.global.lake, privacy, &[source], &IngestSpec::default(), &mut |_, _| {}).await?;
    Ok(())
}
