//! `approve`: a person's yes.

use crate::artifacts::{Approval, approval_path};
use crate::context::{Answer, Context, person};
use crate::failure::{Exit, Failure};
use crate::ledger::{Act, Ledger, by_whom, enter, enter_signed};
use crate::plan_file::read_plan;
use crate::rules_file::read_rules;
use crate::signature::sign;
use clap::Args;
use domain::ledger::{Entry, sha256_hex};
use domain::plan::{Item, Plan, State};
use domain::privacy::Privacy;
use domain::units::{counted, format_bytes};
use lake::Lake;
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};

/// The arguments of `approve`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pipeline approve plan.json
  pipeline approve plan.json --item 3654e1c3-1 --item 3654e1c3-2")]
pub struct ApproveArgs {
    /// The plan file
    plan: PathBuf,
    /// Approve only these items [default: every change]
    #[arg(long, value_name = "ID", num_args = 1..)]
    item: Vec<String>,
    /// Accept a critical finding of `what-if`; repeatable
    #[arg(long, value_name = "FINDING", conflicts_with = "auto")]
    despite: Vec<String>,
    /// Sign with this Ed25519 key, in PEM
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Approve only items that `[approve]` in this rules file allows without a person, by action, risk, number of items
    /// and hours
    #[arg(long, value_name = "RULES", conflicts_with = "item")]
    auto: Option<PathBuf>,
}

/// Enters the approval into the ledger, bound to the plan's digest, and shows what was approved.
pub async fn run(context: &Context, args: ApproveArgs) -> Result<Answer, Failure> {
    let plan = read_plan(&args.plan)?;
    let (lake, privacy) = context.lake_with_key().await?;
    let ledger = Ledger::proven(&lake, &privacy).await?;
    let made = ledger.made(&plan)?;
    if !plan.applyable {
        let why: Vec<&str> = plan.checks.iter().filter(|c| c.blocking && !c.passed).map(|c| c.name.as_str()).collect();
        let why = if why.is_empty() { "it changes nothing".to_owned() } else { why.join(", ") };
        return Err(Failure::new(Exit::Refused, format!("{} cannot be applied: {why}", plan.plan_id))
            .hint("make a plan with --target and enough data"));
    }
    ledger.at_its_time(context, &plan)?;
    let all: Vec<String> = plan.changes().map(|item| item.id.clone()).collect();
    in_time(context, &lake, &privacy, &ledger, &plan).await?;
    if let Some(unknown) = args.item.iter().find(|id| !all.contains(id)) {
        return Err(Failure::new(Exit::Usage, format!("{} has no change {unknown}", plan.plan_id))
            .hint(format!("its changes are {}", all.join(", "))));
    }
    let standing = ledger.standing(&plan);
    if let Some(unknown) = args.despite.iter().find(|id| !standing.contains(id)) {
        let known = if standing.is_empty() { "it has none".to_owned() } else { standing.join(", ") };
        return Err(Failure::new(Exit::Usage, format!("{} has no critical finding {unknown}", plan.plan_id))
            .hint(format!("`pipeline what-if --plan` finds them: {known}")));
    }
    let (asked, result) = match &args.auto {
        Some(rules) => (by_rules(context, &plan, rules)?, by_which(rules)?),
        None if args.item.is_empty() => (all.clone(), "approved".to_owned()),
        None => (args.item, "approved".to_owned()),
    };
    // A second yes adds to the first. What a file says yes to is that and no more, and so is what is signed.
    let alone = args.auto.is_some() || args.key.is_some();
    let mut items = if alone { Vec::new() } else { ledger.approved(&plan) };
    items.extend(asked);
    let items: Vec<String> = all.into_iter().filter(|id| items.contains(id)).collect();
    show(context, &plan, &items, made, &privacy);
    let approval = Approval {
        plan_id: plan.plan_id.clone(),
        digest: plan.digest.clone(),
        items: items.clone(),
        who: privacy.person(&person()),
        at: context.now,
    };
    if !args.despite.is_empty() {
        let act = Act { plan: &plan, action: "despite", items: &args.despite, result: "set aside" };
        enter(context, &lake, &privacy, act).await?;
        context.say_wrapped("despite: ", &args.despite.join(", "), 9);
    }
    let left: Vec<&String> = standing.iter().filter(|id| !args.despite.contains(id)).collect();
    for id in &left {
        context.say_wrapped("still blocks apply: ", id, 20);
    }
    let signature = args.key.as_deref().map(|key| sign(key, &plan, &items)).transpose()?;
    let act = Act { plan: &plan, action: "approve", items: &items, result: &result };
    enter_signed(context, &lake, &privacy, act, signature.clone()).await?;
    lake.write_document(&approval_path(&plan), &approval).await?;
    let brief = format!("{} of {}", counted(items.len(), "change"), plan.plan_id);
    let signed = if signature.is_some() { ", signed" } else { "" };
    context.say(format!("approved: {brief}{signed}"));
    let changes: Vec<_> = approved(&plan, &items)
        .map(|item| {
            let mut change = json!({
                "id": item.id, "resource": item.resource, "on": item.on, "before": item.before, "after": item.after,
            });
            if let Some(calendar) = &item.calendar {
                change["quiet"] = json!(calendar.quiet);
                change["time_zone"] = json!(calendar.time_zone);
            }
            change
        })
        .collect();
    Ok(Answer::done(json!({
        "plan_id": approval.plan_id, "digest": approval.digest, "items": approval.items, "who": approval.who,
        "at": approval.at, "targets": plan.targets, "changes": changes, "made_by": made.who, "made_at": made.at,
        "expires_at": plan.expires_at, "signature": signature, "despite": args.despite, "blocked_by": left,
    }))
    .brief(brief))
}

/// The items that a rules file approves, or why none.
fn by_rules(context: &Context, plan: &Plan, path: &Path) -> Result<Vec<String>, Failure> {
    let refused = |what: String| {
        Failure::new(Exit::Refused, format!("{} is not approved by {}: {what}", plan.plan_id, path.display()))
            .hint("a person may: `pipeline approve` without --auto")
    };
    let rules = read_rules(Some(path))?;
    let auto = rules.approve.ok_or_else(|| refused("it has no [approve]".to_owned()))?;
    let said = auto.of(plan.changes(), context.now).map_err(refused)?;
    for (item, why) in &said.no {
        context.say_wrapped("for a person: ", &format!("{} {}: {why}", item.action.name(), item.resource), 14);
    }
    if said.yes.is_empty() {
        let (item, why) = &said.no[0];
        return Err(refused(format!("{} {}: {why}", item.action.name(), item.resource)));
    }
    Ok(said.yes.iter().map(|item| item.id.clone()).collect())
}

/// Which file said yes, by its content.
fn by_which(path: &Path) -> Result<String, Failure> {
    let bytes = fs::read(path).map_err(|error| Failure::file("read", path, &error))?;
    Ok(format!("approved by rules sha256:{}", sha256_hex(&bytes)))
}

/// Refuses a plan that is past its time. Found so once, it stays so: no clock that is set back makes it good again.
pub async fn in_time(
    context: &Context,
    lake: &Lake,
    privacy: &Privacy,
    ledger: &Ledger,
    plan: &Plan,
) -> Result<(), Failure> {
    let Err(expired) = ledger.in_time(context, plan) else { return Ok(()) };
    let items: Vec<String> = plan.changes().map(|item| item.id.clone()).collect();
    enter(context, lake, privacy, Act { plan, action: "expire", items: &items, result: "found expired" }).await?;
    Err(expired)
}

fn approved<'a>(plan: &'a Plan, items: &'a [String]) -> impl Iterator<Item = &'a Item> {
    plan.changes().filter(|item| items.contains(&item.id))
}

fn show(context: &Context, plan: &Plan, items: &[String], made: &Entry, privacy: &Privacy) {
    context.say_wrapped("", &format!("Plan {} for {}", plan.plan_id, plan.targets_in_words()), 4);
    context.say_wrapped(
        "",
        &format!("made {}; data up to {}", by_whom(made, privacy), plan.data_watermark.minute()),
        4,
    );
    context.say(format!("may be applied until {}", plan.expires_at.minute()));
    plan.hours.in_words().iter().for_each(|rule| context.say_wrapped("hours: ", rule, 7));
    context.say("");
    for item in approved(plan, items) {
        let words = item
            .task
            .as_ref()
            .map_or_else(|| format!("{} -> {}", in_words(item.before), in_words(item.after)), |task| task.in_words());
        let requests = item.requests.and_then(|requests| requests.in_words());
        let words = requests.map_or(words.clone(), |requests| format!("{words}; {requests}"));
        let quiet = item.calendar.as_ref().map(|calendar| calendar.in_words());
        let words = quiet.map_or(words.clone(), |quiet| format!("{words}; in quiet hours {quiet}"));
        let on = if plan.targets.len() > 1 { format!(", on {}", item.on) } else { String::new() };
        context.say_wrapped(format!("  {:<24} ", item.resource), &format!("{words}{on}"), 27);
    }
    context.say("");
}

pub(in crate::commands) fn in_words(state: State) -> String {
    let cpu = state.cpu_cores.map_or_else(|| "no CPU limit".to_owned(), |cores| format!("{cores:.2} cores"));
    let memory = state.memory_bytes.map_or_else(|| "no memory limit".to_owned(), |bytes| format_bytes(bytes as f64));
    format!("{cpu}, {memory}")
}
