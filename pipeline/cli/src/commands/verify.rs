//! `verify`: did an applied plan help? Each item against a control, with the error of a wrong answer bounded.
//!
//! The control runs at the same time where there is one (the service of that name in other environments, their runs of the
//! same jobs); else it is the days before, at the same hours, which is weaker and said to be. What comes of it is an `outcome`
//! event: a label of the next training, and a row of the track record.

use crate::context::{Answer, Context};
use crate::failure::{Exit, Failure};
use crate::ledger::Ledger;
use crate::plan_file::read_plan;
use clap::Args;
use domain::Timestamp;
use domain::judge::{Margin, Observation, Verdict};
use domain::plan::{Item, Plan};
use domain::privacy::Privacy;
use domain::task::Task;
use domain::time::DAY;
use domain::verify::{Compared, Outcome, alpha, compare, outcome};
use lake::{Lake, Session};
use serde_json::{Value, json};
use std::path::PathBuf;

/// A regression of so much of the hours or runs is excluded by `same`.
const MARGIN_SHARE: f64 = 0.1;
/// A regression of so much of a duration is excluded by `same`.
const MARGIN_DURATION: f64 = 0.2;
/// For so long `--due` looks at a plan.
const DUE_DAYS: i64 = 28;
/// Each week is judged by itself, and nothing is the same before a whole one has passed.
const WEEK: i64 = 7 * DAY;
/// So long before the change the control may lie.
const BEFORE: i64 = 14 * DAY;

/// What is measured: the question, the column, and the regression that matters.
const METRICS: [(&str, &str, &str, Margin); 3] = [
    ("contended hours", "verify_hours", "contended", Margin::Absolute(MARGIN_SHARE)),
    ("run durations", "verify_runs", "duration", Margin::Relative(MARGIN_DURATION)),
    ("runs killed for memory", "verify_runs", "killed", Margin::Absolute(MARGIN_SHARE)),
];

/// The arguments of `verify`.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 better or the same, 3 worse, 5 inconclusive. With --due, the exit
code is 0 unless an item is worse.

Examples:
  pipeline ingest events.ndjson && pipeline materialize
  pipeline verify plan.json
  pipeline verify --due --auto-rollback")]
pub struct VerifyArgs {
    /// The plan file
    #[arg(required_unless_present = "due")]
    plan: Option<PathBuf>,
    /// Verify every applied plan of the lake, for four weeks after it was applied
    #[arg(long, conflicts_with = "plan")]
    due: bool,
    /// Roll a plan back if one of its items made things worse
    #[arg(long)]
    auto_rollback: bool,
}

impl VerifyArgs {
    /// Whether it may change a target.
    pub fn changes(&self) -> bool {
        self.auto_rollback
    }
}

/// One item, seen afterwards.
struct Seen<'a> {
    item: &'a Item,
    outcome: Outcome,
    /// By metric and week.
    compared: Vec<Week>,
    measured: Value,
    span: Span,
    /// Why nothing can be said of it.
    excuse: Option<String>,
}

/// A metric in one week.
struct Week {
    /// The first is 0.
    number: usize,
    found: Compared,
    is_concurrent: bool,
}

/// When an item was in force, and from when on what was before it is comparable.
#[derive(Clone, Copy)]
struct Span {
    from: Timestamp,
    applied: Timestamp,
    until: Timestamp,
}

/// Looks at one plan, or at those that are due.
pub async fn run(context: &Context, args: VerifyArgs) -> Result<Answer, Failure> {
    let (lake, privacy) = context.lake_with_key().await?;
    let ledger = Ledger::proven(&lake, &privacy).await?;
    let (plans, mut failures) = match &args.plan {
        Some(path) => (vec![read_plan(path)?], Vec::new()),
        None => due(context, &lake, &ledger).await?,
    };
    let session = lake.session(context.now).await?;
    let (mut told, mut outcomes) = (Vec::new(), Vec::new());
    for plan in &plans {
        match one(context, &args, (&session, &privacy, &ledger), plan).await {
            Ok((json, found)) => {
                told.push(json);
                outcomes.extend(found);
            }
            // One plan that cannot be looked at, or rolled back, leaves the others their turn.
            Err(failure) if args.due => failures.push(failure),
            Err(failure) => return Err(failure),
        }
    }
    for failure in &failures {
        crate::warn(failure);
    }
    if plans.is_empty() && failures.is_empty() {
        context.say("no plan is due: none was applied in the last four weeks and is in force");
    }
    let count = |outcome: Outcome| outcomes.iter().filter(|it| **it == outcome).count();
    let exit = match () {
        () if count(Outcome::Worse) > 0 || !failures.is_empty() => Exit::Findings,
        () if !args.due && count(Outcome::Inconclusive) > 0 => Exit::Inconclusive,
        () => Exit::Done,
    };
    let all = [Outcome::Better, Outcome::Same, Outcome::Worse, Outcome::Inconclusive];
    let brief: Vec<String> =
        all.iter().filter(|it| count(**it) > 0).map(|it| format!("{} {}", count(*it), it.name())).collect();
    let brief = if brief.is_empty() { "no plan is due".to_owned() } else { format!("items: {}", brief.join(", ")) };
    let failures: Vec<Value> = failures.iter().map(Failure::json).collect();
    Ok(Answer::new(exit, json!({"plans": told, "failures": failures})).brief(brief))
}

/// Looks at one plan, says what came of it, and rolls it back where it harmed and that is wished.
async fn one(
    context: &Context,
    args: &VerifyArgs,
    (session, privacy, ledger): (&Session, &Privacy, &Ledger),
    plan: &Plan,
) -> Result<(Value, Vec<Outcome>), Failure> {
    let (items, span) = in_force(context, ledger, plan)?;
    let mut seen = Vec::new();
    // What starts, stops or starts again has no hours before to hold the hours after against.
    let judged = |item: &&Item| item.task.as_ref().is_none_or(|task| matches!(task, Task::Weigh { .. }));
    for item in plan.changes().filter(judged).filter(|item| items.contains(&item.id)) {
        let span = alone(session, plan, item, span).await?;
        seen.push(look(session, item, span).await?);
    }
    show(context, plan, span, &seen);
    tell(context, privacy, plan, &seen).await?;
    let worse = seen.iter().any(|seen| seen.outcome == Outcome::Worse);
    let rolled_back = worse && args.auto_rollback && span.until == context.now;
    if rolled_back {
        context.say(format!("{}: an item is worse, so the plan is rolled back", plan.plan_id));
        super::rollback::restore(context, plan).await?;
    }
    let items: Vec<Value> = seen.iter().map(shown).collect();
    let json = json!({"plan_id": plan.plan_id, "applied_at": span.applied, "until": span.until, "items": items,
        "rolled_back": rolled_back});
    Ok((json, seen.iter().map(|seen| seen.outcome).collect()))
}

/// The plans of the lake that are applied, and what stands in the way of looking at others that the ledger says are.
async fn due(context: &Context, lake: &Lake, ledger: &Ledger) -> Result<(Vec<Plan>, Vec<Failure>), Failure> {
    let mut ids: Vec<&str> = Vec::new();
    for entry in ledger.entries.iter().filter(|entry| entry.action == "apply") {
        if context.now.0 - entry.at.0 <= DUE_DAYS * DAY && !ids.contains(&entry.plan_id.as_str()) {
            ids.push(&entry.plan_id);
        }
    }
    let (mut plans, mut failures) = (Vec::new(), Vec::new());
    for id in ids {
        let last = ledger
            .entries
            .iter()
            .rev()
            .find(|entry| entry.plan_id == id && matches!(entry.action.as_str(), "apply" | "rollback"));
        if last.is_none_or(|last| last.action != "apply") {
            continue;
        }
        let place = format!("plans/{id}/plan.json");
        let damaged = |what: &str| {
            Failure::new(Exit::Refused, format!("{id} is applied, and {place} of the lake {what}"))
                .hint("look at it with the plan file at hand: `pipeline verify PLAN`")
        };
        // What the lake holds is proven like what a person hands in.
        match lake.document::<Plan>(&place).await {
            Ok(Some(plan)) if plan.is_intact() && ledger.made(&plan).is_ok() => plans.push(plan),
            Ok(Some(_)) => failures.push(damaged("was changed after it was made")),
            Ok(None) => failures.push(damaged("is missing")),
            Err(_) => failures.push(damaged("cannot be read")),
        }
    }
    Ok((plans, failures))
}

/// The items that were applied, and since when; until they were rolled back, or now.
fn in_force(context: &Context, ledger: &Ledger, plan: &Plan) -> Result<(Vec<String>, Span), Failure> {
    ledger.made(plan)?;
    ledger.at_its_time(context, plan)?;
    let last = |action: &str| {
        ledger.entries.iter().rev().find(|entry| entry.plan_id == plan.plan_id && entry.action == action)
    };
    let Some(applied) = last("apply") else {
        return Err(Failure::new(Exit::Refused, format!("{} was never applied", plan.plan_id))
            .hint("there is nothing to verify; `pipeline log` shows what was done"));
    };
    let undone = last("rollback").filter(|entry| entry.seq > applied.seq).map(|entry| entry.at.min(context.now));
    let until = undone.unwrap_or(context.now);
    Ok((applied.items.clone(), Span { from: Timestamp(applied.at.0 - BEFORE), applied: applied.at, until }))
}

/// The span in which no other plan held the item's resource: what a later one does is not its doing, and days under an
/// earlier one are no control.
async fn alone(session: &Session, plan: &Plan, item: &Item, span: Span) -> Result<Span, Failure> {
    let applied = span.applied.to_string();
    let given = [("resource", item.resource.as_str()), ("plan", plan.plan_id.as_str()), ("applied", applied.as_str())];
    let found = session.ask("verify_others", &given).await?.to_json()?.into_iter().next().unwrap_or_default();
    let at = |key: &str| found[key].as_str().and_then(Timestamp::parse);
    Ok(Span {
        from: at("earlier").map_or(span.from, |at| at.max(span.from)),
        applied: span.applied,
        until: at("later").map_or(span.until, |at| at.min(span.until)),
    })
}

/// Judges one item by every metric that has two sides, week by week.
async fn look<'a>(session: &Session, item: &'a Item, span: Span) -> Result<Seen<'a>, Failure> {
    let [from, applied, until] = [span.from, span.applied, span.until].map(|at| at.to_string());
    let env = item.resource.split('/').next().unwrap_or_default();
    let mut sides = Vec::new();
    for (metric, question, column, margin) in METRICS {
        let about = if question == "verify_hours" { ("resource", item.resource.as_str()) } else { ("env", env) };
        let ask = async |side: &str| -> Result<Vec<Observation>, Failure> {
            let given = [about, ("side", side), ("from", &from), ("applied", &applied), ("until", &until)];
            Ok(session.answer(question, &given, column).await?.observations)
        };
        let candidate = ask("candidate").await?;
        if candidate.is_empty() {
            continue;
        }
        let twins = ask("twins").await?;
        let is_concurrent = !twins.is_empty();
        let control = if is_concurrent { twins } else { ask("before").await? };
        if !control.is_empty() {
            sides.push((metric, control, candidate, margin, is_concurrent));
        }
    }
    let mut compared = Vec::new();
    for (metric, control, candidate, margin, is_concurrent) in &sides {
        let number_of = |row: &Observation| {
            usize::try_from((row.at.unwrap_or_default() - span.applied.0) / WEEK).unwrap_or_default()
        };
        let last = candidate.iter().map(number_of).max().unwrap_or_default();
        for number in 0..=last {
            let of_week = |rows: &[Observation]| -> Vec<Observation> {
                rows.iter().filter(|row| number_of(row) == number).cloned().collect()
            };
            let candidate = of_week(candidate);
            let control = if *is_concurrent { of_week(control) } else { control.clone() };
            let alpha = alpha(sides.len(), number);
            let found = compare(metric, [&control, &candidate], *margin, alpha, *is_concurrent);
            let failed =
                |error| Failure::new(Exit::Failed, format!("cannot judge {metric} of {}: {error}", item.resource));
            compared.push(Week { number, found: found.map_err(failed)?, is_concurrent: *is_concurrent });
        }
    }
    let measured = measured(session, item, &applied, &until).await?;
    let all: Vec<Compared> = compared.iter().map(|week| week.found.clone()).collect();
    let (outcome, excuse) = match (outcome(&all), not_in_force(item, &measured)) {
        (_, Some(excuse)) => (Outcome::Inconclusive, Some(excuse)),
        (Outcome::Same, None) if span.until.0 - span.applied.0 < WEEK => {
            (Outcome::Inconclusive, Some("no harm so far, in less than a week".to_owned()))
        }
        (outcome, None) => (outcome, None),
    };
    Ok(Seen { item, outcome, compared, measured, span, excuse })
}

/// Says so where the newest sample has the limit of before and not the planned one: a file that was changed limits nothing
/// until its services are recreated.
fn not_in_force(item: &Item, measured: &Value) -> Option<String> {
    // The limits of its quiet hours may be those of before.
    if item.calendar.is_some() {
        return None;
    }
    let near = |a: f64, b: f64| (a - b).abs() <= 0.01 * a.abs().max(b.abs());
    let stuck = |before: Option<f64>, after: Option<f64>, key: &str| {
        let live = measured[key].as_f64()?;
        (before.is_some_and(|before| near(before, live)) && after.is_some_and(|after| !near(after, live)))
            .then_some(live)
    };
    let bytes = |bytes: Option<u64>| bytes.map(|bytes| bytes as f64);
    if let Some(live) = stuck(item.before.cpu_cores, item.after.cpu_cores, "cpu_limit_cores") {
        return Some(format!("not in force: samples still have a limit of {live} cores"));
    }
    let live = stuck(bytes(item.before.memory_bytes), bytes(item.after.memory_bytes), "memory_limit_bytes")?;
    Some(format!("not in force: samples still have a limit of {:.0} MiB", live / 1_048_576.0))
}

/// The figures that the plan projected, as they came, of the samples in force: slack as in the replay, the unused share of
/// all limits; throttled, where the replay counts demand above the limit, the samples that reached it; killed, where it
/// counts memory above the limit, the samples with an OOM kill.
async fn measured(session: &Session, item: &Item, applied: &str, until: &str) -> Result<Value, Failure> {
    let given = [("resource", item.resource.as_str()), ("applied", applied), ("until", until)];
    Ok(session.ask("verify_samples", &given).await?.to_json()?.into_iter().next().unwrap_or(Value::Null))
}

/// What a test of one side says: that the regression it looks for is shown, or that one of the margin is excluded.
fn said(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Fail => "shown",
        Verdict::Pass => "excluded",
        Verdict::Inconclusive => "unknown",
    }
}

/// Sums come in any order: what they differ by is no news.
fn rounded(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}

fn percent(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{:.1} %", value * 100.0))
}

fn show(context: &Context, plan: &Plan, span: Span, seen: &[Seen<'_>]) {
    let until = if span.until < context.now { format!(" until {}", span.until) } else { String::new() };
    context.say(format!("{}: since {}{until}", plan.plan_id, span.applied));
    for seen in seen {
        let on = if plan.targets.len() > 1 { format!(" on {}", seen.item.on) } else { String::new() };
        let action = seen.item.action.name().replace('_', " ");
        context.say(format!("  {action} {}{on}: {}", seen.item.resource, seen.outcome.name()));
        if let Some(excuse) = &seen.excuse {
            context.say_wrapped("    ", excuse, 4);
        }
        if seen.span.until < span.until {
            context.say_wrapped("    ", &format!("until {}, when another plan changed it", seen.span.until), 4);
        }
        let projected = &seen.item.projected;
        for (what, promised, key) in [
            ("CPU slack", projected.slack, "slack"),
            ("memory slack", projected.memory_slack, "memory_slack"),
            ("throttled", projected.throttled_rate, "throttled_rate"),
            ("killed", projected.oom_rate, "oom_rate"),
        ] {
            let came = seen.measured[key].as_f64();
            if came.is_some() {
                context.say(format!(
                    "    {what:<13} projected {:>7}, measured {:>7}",
                    percent(promised),
                    percent(came)
                ));
            }
        }
        for week in &seen.compared {
            let control = if week.is_concurrent {
                "other environments at the same time"
            } else {
                "the days before, which is weaker"
            };
            let found = &week.found;
            let [was, is] = [&found.harm.control, &found.harm.candidate];
            let mean = |mean: Option<f64>| mean.map_or_else(|| "-".to_owned(), |mean| format!("{mean:.2}"));
            let text = format!(
                "{} beside {} of {control} ({} and {} observations)",
                mean(is.mean),
                mean(was.mean),
                is.observations,
                was.observations
            );
            context.say_wrapped(format!("    week {}, {}: ", week.number + 1, found.metric), &text, 6);
        }
        if seen.compared.is_empty() {
            let text = "no full hour and no run since, or none to hold them against";
            context.say_wrapped("    nothing to compare yet: ", text, 6);
        }
    }
}

fn shown(seen: &Seen<'_>) -> Value {
    let metrics: Vec<Value> = seen
        .compared
        .iter()
        .map(|week| {
            let found = &week.found;
            json!({
                "metric": found.metric,
                "week": week.number + 1,
                "control": if week.is_concurrent { "concurrent" } else { "before" },
                "harm": said(found.harm.verdict),
                "gain": said(found.gain.verdict),
                "candidate_mean": found.harm.candidate.mean.map(rounded),
                "control_mean": found.harm.control.mean.map(rounded),
                "observations": [found.harm.candidate.observations, found.harm.control.observations],
            })
        })
        .collect();
    json!({
        "item_id": seen.item.id, "on": seen.item.on, "resource": seen.item.resource, "action": seen.item.action,
        "result": seen.outcome, "note": seen.excuse, "until": seen.span.until,
        "projected": seen.item.projected, "measured": seen.measured, "metrics": metrics,
    })
}

/// One `outcome` event per item, through the same door as every event: at the time of the newest evidence, so that looking
/// again at the same data says nothing new.
async fn tell(context: &Context, privacy: &Privacy, plan: &Plan, seen: &[Seen<'_>]) -> Result<(), Failure> {
    let has_evidence = |seen: &&Seen<'_>| !seen.compared.is_empty() || !seen.measured["newest"].is_null();
    let lines: Vec<String> = seen
        .iter()
        .filter(has_evidence)
        .map(|seen| {
            let newest = seen.measured["newest"].as_str().and_then(Timestamp::parse);
            json!({
                "ts": newest.unwrap_or(seen.span.until),
                "type": "outcome",
                "env": seen.item.resource.split('/').next(),
                "resource": seen.item.resource,
                "payload": {
                    "plan_id": plan.plan_id, "item_id": seen.item.id, "action": seen.item.action,
                    "before": seen.item.before, "after": seen.item.after, "result": seen.outcome,
                    "policy": plan.model.name, "projected": seen.item.projected, "measured": seen.measured,
                },
            })
            .to_string()
        })
        .collect();
    if lines.is_empty() {
        return Ok(());
    }
    context.tell(privacy, &plan.plan_id, &lines).await
}
