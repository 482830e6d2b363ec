//! `apply`: carries out an approved plan, step by step in a journal, so that a kill at any moment can be resumed.

use crate::artifacts::{Approval, approval_path, enter, journal_path, read_plan, sound_ledger};
use crate::context::{Answer, Context, person, wrap};
use crate::failure::{Exit, Failure};
use clap::Args;
use domain::plan::Plan;
use domain::privacy::Privacy;
use lake::{IngestSpec, Lake, Source};
use serde_json::json;
use stack::{Change, Done, Journal, Phase, Target};
use std::error::Error;
use std::path::PathBuf;

/// What `apply` takes.
#[derive(Debug, Args)]
pub struct ApplyArgs {
    /// The plan file
    plan: PathBuf,
    /// Check everything and write nothing
    #[arg(long)]
    dry_run: bool,
}

/// Applies, or resumes.
pub async fn run(context: &Context, args: ApplyArgs) -> Result<Answer, Failure> {
    let plan = read_plan(&args.plan)?;
    // The key and the ledger are proven first: once the target is written, nothing may stand in the way of saying so.
    let (lake, privacy) = context.lake_with_key().await?;
    sound_ledger(&lake).await?;
    let approval = approved(context, &lake, &plan).await?;
    let target = Target::from_reference(&plan.target)?;
    let changes = Change::of(&plan, &approval.items);
    let mut journal = match lake.document::<Journal>(&journal_path(&plan)).await? {
        Some(journal) => journal,
        None => {
            let live = target.read()?;
            if live.is_stale(&plan) {
                return Err(Failure::new(
                    Exit::Refused,
                    format!("{} is not what the plan was made from", plan.target.location),
                )
                .hint("somebody changed it since: make a new plan"));
            }
            Journal::new(&plan)
        }
    };
    let done_items: Vec<String> = journal.changes.iter().map(|change| change.item_id.clone()).collect();
    if journal.state != Phase::Planned && done_items != approval.items {
        return Err(Failure::new(Exit::Refused, format!("{} was already applied with other items", plan.plan_id))
            .hint("what was approved since needs a new plan"));
    }
    if args.dry_run {
        if let Some(refusal) = target.refusals(&changes)?.into_iter().next() {
            let failure = Failure::from(refusal.error);
            return Err(Failure { what: format!("{}: {}", refusal.item_id, failure.what), ..failure });
        }
        context.say(format!("would apply {} changes to {}", changes.len(), plan.target.location));
        return Ok(Answer::done(json!({"plan_id": plan.plan_id, "would_apply": changes.len()})));
    }
    let done = {
        let mut save = |journal: &Journal| keep(&lake, &plan, journal);
        stack::apply(&target, &changes, &mut journal, context.now, &mut save)?
    };
    // A resumed run comes here too: what a killed one had no time to write down is written now.
    if !told(&lake, &plan, "apply").await? {
        tell(context, &privacy, &plan, &journal, "apply", &approval.items).await?;
        enter(context, &lake, &privacy, &plan, "apply", approval.items.clone(), "applied").await?;
    }
    let word = if done == Done::Written { "applied" } else { "already applied" };
    context.say(format!("{word}: {} changes to {}", changes.len(), plan.target.location));
    for item in plan.changes().filter(|item| approval.items.contains(&item.id)) {
        context.say(format!("  {:<24} {}", item.resource, wrap(&item.reason, 27)));
    }
    Ok(Answer::done(json!({"plan_id": plan.plan_id, "result": word, "items": approval.items})))
}

/// The approval of exactly this plan, or the reason why there is none.
async fn approved(context: &Context, lake: &Lake, plan: &Plan) -> Result<Approval, Failure> {
    let refused = |what: String, hint: &str| Err(Failure::new(Exit::Refused, what).hint(hint));
    let Some(approval) = lake.document::<Approval>(&approval_path(plan)).await? else {
        return refused(format!("{} was not approved", plan.plan_id), "a person says yes with `pipeline approve`");
    };
    if approval.digest != plan.digest {
        return refused(format!("another version of {} was approved", plan.plan_id), "approve this one");
    }
    if context.now > plan.expires_at {
        return refused(
            format!("{} expired at {}", plan.plan_id, plan.expires_at),
            "make a new plan from today's data",
        );
    }
    if !plan.applyable {
        return refused(format!("{} cannot be applied", plan.plan_id), "its checks say why");
    }
    // In the order of the plan, so that it can be compared with what the journal says was done.
    let items = plan.changes().map(|item| item.id.clone()).filter(|id| approval.items.contains(id)).collect();
    Ok(Approval { items, ..approval })
}

/// Keeps the journal in the lake. The stack calls back in the middle of its steps, on a thread that may wait.
pub fn keep(lake: &Lake, plan: &Plan, journal: &Journal) -> Result<(), Box<dyn Error + Send + Sync>> {
    let (path, lake) = (journal_path(plan), lake.clone());
    tokio::task::block_in_place(|| {
        tokio::runtime::Handle::current().block_on(async { lake.write_document(&path, journal).await })
    })?;
    Ok(())
}

/// Whether the ledger knows that an action was carried out, after the last one of another kind.
pub async fn told(lake: &Lake, plan: &Plan, action: &str) -> Result<bool, Failure> {
    let ledger = crate::artifacts::ledger(lake).await?;
    let last =
        ledger.iter().rev().find(|e| e.plan_id == plan.plan_id && matches!(e.action.as_str(), "apply" | "rollback"));
    Ok(last.is_some_and(|entry| entry.action == action))
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
