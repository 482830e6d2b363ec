//! `apply`: carries out an approved plan, step by step in a journal, so that a kill at any moment can be resumed.

mod calendar;

use crate::artifacts::journal_path;
use crate::commands::plan::basis::{is_open, still_holds};
use crate::commands::rollback::restore;
use crate::commands::stack::kept;
use crate::consent::Consent;
use crate::context::{Answer, Context, person};
use crate::failure::{Exit, Failure};
use crate::ledger::{Act, Ledger, enter};
use crate::plan_file::read_plan;
use crate::targets::Targets;
use crate::values::wait;
use clap::Args;
use domain::Timestamp;
use domain::plan::{Action, Item, Plan, PlannedTarget};
use domain::privacy::Privacy;
use domain::task::{Deployment, Task};
use domain::time::DAY;
use domain::units::counted;
use lake::Lake;
use serde_json::{Value, json};
use stack::{Change, Done, Health, Held, How, Journal, Phase, Progress, StackError, Step, Work};
use std::path::PathBuf;
use std::time::Duration;

/// The arguments of `apply`.
#[derive(Debug, Args)]
#[command(after_help = "\
Applying again after an interruption finishes the plan or restores the previous
state. A stale, edited or unapproved plan is refused (exit 4). If the plan has
calendars, applying again sets the limits of the current hour: call `apply` from
cron every quarter of an hour.

Examples:
  pipeline apply plan.json --dry-run
  pipeline apply plan.json --up
  pipeline apply plan.json --wait 15m --health \"curl -fs localhost:8080/health\"")]
pub struct ApplyArgs {
    /// The plan file
    plan: PathBuf,
    /// Run all checks and write nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    consent: Consent,
    /// Number of services of an Engine to change before waiting until all of them are healthy
    #[arg(long, default_value = "1", value_name = "N", value_parser = parse_at_once)]
    at_once: usize,
    /// Run this shell command as a health check after each step, in addition to the Engine's own checks; it must exit
    /// with 0. PIPELINE_RESOURCES lists the changed services. If the check fails, the whole plan is undone
    #[arg(long, value_name = "COMMAND")]
    health: Option<String>,
    /// Before changing a service, wait up to this long for a running build or test in its environment
    #[arg(long, default_value = "0s", value_name = "SPAN")]
    #[arg(value_parser = wait(0..=DAY, "write it as 90s or 2h, of at most a day"))]
    wait: Duration,
    /// Change services even while a build or test runs in their environment
    #[arg(long, conflicts_with = "wait")]
    while_building: bool,
    /// Recreate the running services whose Compose file was changed: `docker compose up -d --no-deps`. If a service is
    /// not healthy afterwards, the whole plan is undone and the services are recreated as they were
    #[arg(long)]
    up: bool,
    /// Time limit for each step to become healthy
    #[arg(long, default_value = "60s", value_name = "SPAN")]
    #[arg(value_parser = wait(1000..=DAY, "write it as 90s or 5m, of at most a day"))]
    health_timeout: Duration,
}

/// Applies, or resumes. The targets are held until the ledger says so: of several at once one does it, and what happened
/// once is told once.
pub async fn run(context: &Context, args: ApplyArgs) -> Result<Answer, Failure> {
    let plan = read_plan(&args.plan)?;
    // The key and the ledger are proven first: once a target is written, nothing may stand in the way of saying so.
    let (lake, privacy) = context.lake_with_key().await?;
    let items = args.consent.to(context, &lake, &privacy, &plan).await?;
    if plan.rollout.is_some() {
        return Err(Failure::new(
            Exit::Refused,
            format!("{} is a rollout: its steps are judged one by one", plan.plan_id),
        )
        .hint(format!("`pipeline stack advance {}` does the next one", args.plan.display())));
    }
    let targets = Targets::of(&plan, &items)?;
    let changes = with_texts(&lake, calendar::changes(context, &targets, &plan, &items)?).await?;
    let mut held = targets.hold()?;
    let mut journal = match lake.document::<Journal>(&journal_path(&plan)).await? {
        Some(journal) => journal,
        None => Journal::new(&plan),
    };
    as_approved(&plan, &journal, &items)?;
    let how = How { now: context.now, at_once: args.at_once, health: args.health(), work: args.work() };
    // What was begun is finished: half a plan is no better for having waited.
    if journal.state == Phase::Planned {
        is_open(context, &plan, &items)?;
        still_holds(context, &lake, &plan, &items).await?;
    }
    let followers = calendar::followers(&plan, &items);
    if journal.state == Phase::Applied && !followers.is_empty() && !args.dry_run && !args.up {
        let (of_plan, on) = ((&plan, followers.as_slice()), (&targets, held.as_mut_slice()));
        return calendar::switch(context, (&lake, &privacy), of_plan, on, (&mut journal, &how)).await;
    }
    // Asked before anything is written: what cannot be recreated from here is not begun.
    let running = match args.up {
        true => targets.can_recreate().and_then(|()| targets.running(&changes))?,
        false => Vec::new(),
    };
    if args.dry_run {
        let steps = rehearse(&targets, &mut held, &changes, &journal, &how)?;
        let what = counted(changes.len(), "change");
        context.say_wrapped("", &format!("would apply {what} to {}", targets.in_words()), 4);
        for step in &steps {
            context.say_wrapped(format!("  {:<24} ", step.resource), &step.what, 27);
        }
        if args.up {
            context.say_wrapped("would recreate, if running: ", &targets.resources(&changes).join(", "), 4);
        }
        let steps: Vec<_> = steps.iter().map(shown).collect();
        return Ok(Answer::done(json!({"plan_id": plan.plan_id, "would_apply": changes.len(), "steps": steps})));
    }
    let ended = {
        let mut save = |journal: &Journal| targets.keep(&lake, &plan, journal);
        tokio::task::block_in_place(|| stack::apply(&mut held, &changes, &mut journal, &how, &mut save))
    };
    let done = match ended {
        Err(error @ (StackError::WentBack { .. } | StackError::Failed { .. })) => {
            // What a killed run had no time to write down is written now.
            let act = Act { plan: &plan, action: "revert", items: &items, result: "failed, and taken back" };
            enter(context, &lake, &privacy, act).await?;
            return Err(error.into());
        }
        Err(error) if error.is_interruption() && journal.state == Phase::Prepared && journal.written => {
            let goes_on = "`pipeline apply` goes on with it, `pipeline rollback` goes back";
            let failure = Failure::from(error);
            let hint = failure.hint.as_ref().map_or_else(|| goes_on.to_owned(), |hint| format!("{hint}; {goes_on}"));
            return Err(failure.hint(hint));
        }
        ended => ended?,
    };
    if args.up {
        // Kept first: whoever takes it back knows what to recreate.
        let new: Vec<String> = running.into_iter().filter(|name| !journal.up.contains(name)).collect();
        journal.up.extend(new);
        journal.up_timeout_s = Some(args.health_timeout.as_secs());
        targets.keep(&lake, &plan, &journal).map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
        if let Err(error) = targets.recreate(&changes, &journal.up, args.health_timeout) {
            drop(held);
            return Err(taken_back(context, &plan, error).await);
        }
        say_recreated(context, &targets.resources(&changes), &journal.up);
    }
    // A resumed run comes here too: what a killed one had no time to write down is written now.
    if !Ledger::proven(&lake, &privacy).await?.tells(&plan, "apply") {
        tell(context, &privacy, &plan, &journal, "apply", &items).await?;
    }
    // Also where it is entered: the ledger's head may not know.
    let act = Act { plan: &plan, action: "apply", items: &items, result: "applied" };
    enter(context, &lake, &privacy, act).await?;
    drop(held);
    let word = if done == Done::Written { "applied" } else { "already applied" };
    let brief = format!("{word}: {} to {}", counted(changes.len(), "change"), targets.in_words());
    context.say_wrapped("", &brief, 4);
    for item in plan.changes().filter(|item| items.contains(&item.id)) {
        let on = if plan.targets.len() > 1 { format!("on {}: ", item.on) } else { String::new() };
        context.say_wrapped(format!("  {:<24} ", item.resource), &format!("{on}{}", item.reason), 27);
    }
    remarks(context, &journal);
    let is_resized = |on: &str| {
        plan.changes().any(|item| item.on == on && item.action == Action::Resize && items.contains(&item.id))
    };
    let waits = |target: &&PlannedTarget| is_resized(&target.id) && !(args.up && target.kind == "compose");
    for target in plan.targets.iter().filter(waits) {
        context.say_wrapped(format!("{}: ", target.id), &format!("takes effect {}", target.takes_effect()), 4);
    }
    let steps: Vec<_> = journal.steps.iter().map(shown).collect();
    let json = json!({
        "plan_id": plan.plan_id, "result": word, "items": items, "steps": steps, "recreated": journal.up,
    });
    Ok(Answer::done(json).brief(brief))
}

fn say_recreated(context: &Context, changed: &[String], running: &[String]) {
    if !running.is_empty() {
        context.say_wrapped("recreated where it differed: ", &running.join(", "), 4);
    }
    let idle: Vec<&str> = changed.iter().filter(|name| !running.contains(name)).map(String::as_str).collect();
    if !idle.is_empty() {
        context.say_wrapped("not running, and not started: ", &idle.join(", "), 4);
    }
}

/// Everything as it was before a plan whose services were not well with it; why, and what came of that.
async fn taken_back(context: &Context, plan: &Plan, error: Failure) -> Failure {
    match restore(context, plan).await {
        Ok(_) => Failure { what: format!("plan {} was taken back: {}", plan.plan_id, error.what), ..error },
        Err(second) => {
            let what = format!("{}; taking it back, {}", error.what, second.what);
            Failure { what, ..error }.hint("see to the cause, then call `pipeline rollback` again")
        }
    }
}

impl ApplyArgs {
    fn health(&self) -> Health {
        Health { command: self.health.clone(), timeout: self.health_timeout }
    }

    fn work(&self) -> Work {
        if self.while_building {
            return Work::IGNORED;
        }
        Work { is_work: agent::is_work, patience: self.wait }
    }
}

fn parse_at_once(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|n| *n > 0).ok_or_else(|| "write a number from 1".to_owned())
}

/// What a reader should know of steps that were done or undone.
pub fn remarks(context: &Context, journal: &Journal) {
    for step in journal.steps.iter().filter(|step| step.progress != Progress::Waiting) {
        if let Some(remark) = &step.remark {
            context.say_wrapped("  note: ", &format!("{}: {remark}", step.resource), 8);
        }
    }
}

/// What a step is, without what was there before and after: that may hold secrets.
pub fn shown(step: &Step) -> Value {
    json!({"on": step.on, "resource": step.resource, "items": step.items, "what": step.what, "progress": step.progress,
        "remark": step.remark})
}

/// Changes with the texts that they deploy, which the lake keeps.
async fn with_texts(lake: &Lake, mut changes: Vec<Change>) -> Result<Vec<Change>, Failure> {
    for change in &mut changes {
        if let Some(name) = change.text_name() {
            change.text = Some(kept::text(lake, name).await?);
        }
    }
    Ok(changes)
}

/// Everything that `apply` would check, and the steps that it would do.
fn rehearse(
    targets: &Targets,
    held: &mut [Held],
    changes: &[Change],
    journal: &Journal,
    how: &How,
) -> Result<Vec<Step>, Failure> {
    tokio::task::block_in_place(|| {
        for (planned, target) in targets.iter() {
            let of_target: Vec<Change> = changes.iter().filter(|change| change.on == planned.id).cloned().collect();
            if let Some(refusal) = target.refusals(&of_target)?.into_iter().next() {
                let failure = Failure::from(refusal.error);
                return Err(Failure { what: format!("{}: {}", refusal.item_id, failure.what), ..failure });
            }
        }
        Ok(stack::rehearse(held, changes, journal, how)?)
    })
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

/// The `component` event of a deployment: which version is there now; none where it is not known, or is no version.
fn sighting(item: &Item, it: &Deployment, action: &str, at: Timestamp) -> Option<String> {
    let is_back = action == "rollback";
    let version = if is_back { it.was.as_ref()? } else { &it.version };
    stack::versions::Version::parse(version).ok()?;
    let mut payload = json!({"component": it.component, "version": version, "place": it.place.name()});
    if !is_back {
        // Of what was there before only the version is known.
        payload["group"] = json!(it.group);
        payload["group_digest"] = json!(it.group_digest);
        payload["digest"] = json!(it.digest);
    }
    let env = item.resource.split('/').next();
    Some(json!({"ts": at, "type": "component", "env": env, "resource": item.resource, "payload": payload}).to_string())
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
    let at = journal.log.last().map_or(context.now, |entry| entry.at);
    let lines: Vec<String> = plan
        .changes()
        .filter(|item| items.contains(&item.id))
        .map(|item| {
            let (before, after) =
                if action == "rollback" { (item.after, item.before) } else { (item.before, item.after) };
            let mut event = json!({
                "ts": at,
                "type": "adjustment",
                "env": item.resource.split('/').next(),
                "resource": item.resource,
                "developer": person(),
                "payload": {
                    "plan_id": plan.plan_id, "item_id": item.id, "action": action,
                    "before": before, "after": after, "result": "applied",
                },
            });
            if let Some(task) = &item.task {
                event["payload"]["task"] = json!(task);
            }
            if let Some(calendar) = &item.calendar {
                event["payload"]["quiet"] = json!(calendar.quiet);
                event["payload"]["time_zone"] = json!(calendar.time_zone);
            }
            // Of a plan of format 1 it is told as it always was: told again, it is the same event.
            if plan.format_version > 1 {
                event["payload"]["on"] = item.on.as_str().into();
            }
            event.to_string()
        })
        .collect();
    let deployed = plan.changes().filter(|item| items.contains(&item.id));
    let deployed = deployed.filter_map(|item| match &item.task {
        Some(Task::Deploy(it)) => sighting(item, it, action, at),
        _ => None,
    });
    let lines: Vec<String> = lines.into_iter().chain(deployed).collect();
    context.tell(privacy, &plan.plan_id, &lines).await
}
