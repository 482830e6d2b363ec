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
use domain::time::DAY;
use domain::verify::{Compared, Outcome, compare, outcome};
use intake::Source;
use lake::{IngestSpec, Lake, Session};
use serde_json::{Value, json};
use std::path::PathBuf;

/// A regression of so much of the hours or runs is excluded by `same`.
const MARGIN_SHARE: f64 = 0.1;
/// A regression of so much of a duration is excluded by `same`.
const MARGIN_DURATION: f64 = 0.2;
/// For so long `--due` looks at a plan that is not decided yet.
const DUE_DAYS: i64 = 28;

/// What is measured: the question, the column, and the regression that matters.
const METRICS: [(&str, &str, &str, Margin); 3] = [
    ("contended hours", "verify_hours", "contended", Margin::Absolute(MARGIN_SHARE)),
    ("run durations", "verify_runs", "duration", Margin::Relative(MARGIN_DURATION)),
    ("runs killed for memory", "verify_runs", "killed", Margin::Absolute(MARGIN_SHARE)),
];

/// What `verify` takes.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 better or the same, 3 worse, 5 inconclusive; with --due 0 unless
something is worse.

  pipeline ingest events.ndjson && pipeline materialize
  pipeline verify plan.json
  pipeline verify --due --auto-rollback")]
pub struct VerifyArgs {
    /// The plan file
    #[arg(required_unless_present = "due")]
    plan: Option<PathBuf>,
    /// Every plan of the lake that is applied and not decided yet, for four weeks
    #[arg(long, conflicts_with = "plan")]
    due: bool,
    /// Roll a plan back when an item of it made things worse
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
    compared: Vec<(Compared, bool)>,
    measured: Value,
}

/// When an item was in force.
struct Span {
    applied: Timestamp,
    until: Timestamp,
}

/// Looks at one plan, or at those that are due.
pub async fn run(context: &Context, args: VerifyArgs) -> Result<Answer, Failure> {
    let (lake, privacy) = context.lake_with_key().await?;
    let ledger = Ledger::proven(&lake, &privacy).await?;
    let plans = match &args.plan {
        Some(path) => vec![read_plan(path)?],
        None => due(context, &lake, &ledger).await?,
    };
    let session = lake.session(context.now).await?;
    let (mut told, mut outcomes) = (Vec::new(), Vec::new());
    for plan in &plans {
        let (items, span) = in_force(context, &ledger, plan)?;
        let mut seen = Vec::new();
        for item in plan.changes().filter(|item| items.contains(&item.id)) {
            seen.push(look(&session, item, &span).await?);
        }
        show(context, plan, &span, &seen);
        tell(context, &privacy, plan, &span, &seen).await?;
        let worse = seen.iter().any(|seen| seen.outcome == Outcome::Worse);
        let rolled_back = worse && args.auto_rollback && span.until == context.now;
        if rolled_back {
            context.say(format!("{}: an item is worse, so the plan is rolled back", plan.plan_id));
            super::rollback::restore(context, plan).await?;
        }
        outcomes.extend(seen.iter().map(|seen| seen.outcome));
        let items: Vec<Value> = seen.iter().map(shown).collect();
        told.push(json!({"plan_id": plan.plan_id, "applied_at": span.applied, "until": span.until, "items": items,
            "rolled_back": rolled_back}));
    }
    if plans.is_empty() {
        context.say("no plan is due: none is applied and undecided");
    }
    let has = |outcome| outcomes.contains(&outcome);
    let exit = match () {
        () if has(Outcome::Worse) => Exit::Findings,
        () if !args.due && has(Outcome::Inconclusive) => Exit::Inconclusive,
        () => Exit::Done,
    };
    let count = |outcome: Outcome| outcomes.iter().filter(|it| **it == outcome).count();
    let all = [Outcome::Better, Outcome::Same, Outcome::Worse, Outcome::Inconclusive];
    let brief: Vec<String> =
        all.iter().filter(|it| count(**it) > 0).map(|it| format!("{} {}", count(*it), it.name())).collect();
    let brief = if brief.is_empty() { "no plan is due".to_owned() } else { format!("items: {}", brief.join(", ")) };
    Ok(Answer::new(exit, json!({"plans": told})).brief(brief))
}

/// The plans of the lake that are applied, and of which an item is not decided yet.
async fn due(context: &Context, lake: &Lake, ledger: &Ledger) -> Result<Vec<Plan>, Failure> {
    let mut ids: Vec<&str> = Vec::new();
    for entry in ledger.entries.iter().filter(|entry| entry.action == "apply") {
        if context.now.0 - entry.at.0 <= DUE_DAYS * DAY && !ids.contains(&entry.plan_id.as_str()) {
            ids.push(&entry.plan_id);
        }
    }
    let mut plans = Vec::new();
    for id in ids {
        let Some(plan) = lake.document::<Plan>(&format!("plans/{id}/plan.json")).await? else { continue };
        // What the lake holds is proven like what a person hands in.
        if plan.is_intact() && ledger.made(&plan).is_ok() && ledger.tells(&plan, "apply") {
            plans.push(plan);
        }
    }
    Ok(plans)
}

/// The items that were applied, and since when; until they were rolled back, or now.
fn in_force(context: &Context, ledger: &Ledger, plan: &Plan) -> Result<(Vec<String>, Span), Failure> {
    ledger.made(plan)?;
    let last = |action: &str| {
        ledger.entries.iter().rev().find(|entry| entry.plan_id == plan.plan_id && entry.action == action)
    };
    let Some(applied) = last("apply") else {
        return Err(Failure::new(Exit::Refused, format!("{} was never applied", plan.plan_id))
            .hint("there is nothing to verify; `pipeline log` shows what was done"));
    };
    let undone = last("rollback").filter(|entry| entry.seq > applied.seq).map(|entry| entry.at.min(context.now));
    Ok((applied.items.clone(), Span { applied: applied.at, until: undone.unwrap_or(context.now) }))
}

/// Judges one item by every metric that has two sides.
async fn look<'a>(session: &Session, item: &'a Item, span: &Span) -> Result<Seen<'a>, Failure> {
    let (applied, until) = (span.applied.to_string(), span.until.to_string());
    let env = item.resource.split('/').next().unwrap_or_default();
    let mut sides = Vec::new();
    for (metric, question, column, margin) in METRICS {
        let about = if question == "verify_hours" { ("resource", item.resource.as_str()) } else { ("env", env) };
        let ask = async |side: &str| -> Result<Vec<Observation>, Failure> {
            let given = [about, ("side", side), ("applied", applied.as_str()), ("until", until.as_str())];
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
        let found = compare(metric, [control, candidate], *margin, sides.len(), *is_concurrent).map_err(|error| {
            Failure::new(Exit::Failed, format!("cannot judge {} of {}: {error}", metric, item.resource))
        })?;
        compared.push((found, *is_concurrent));
    }
    let all: Vec<Compared> = compared.iter().map(|(found, _)| found.clone()).collect();
    let measured = measured(session, item, &applied, &until).await?;
    Ok(Seen { item, outcome: outcome(&all), compared, measured })
}

/// The figures that the plan projected, as they came: of the samples in force.
async fn measured(session: &Session, item: &Item, applied: &str, until: &str) -> Result<Value, Failure> {
    const MEASURED: &str = "
        select
            count(*) as samples,
            max(ts) as newest,
            round(1.0 - avg(cpu_share), 6) as slack,
            round(1.0 - avg(memory_share), 6) as memory_slack,
            round(avg(case when coalesce(oom_kills, 0) > 0 then 1.0 else 0.0 end), 6) as oom_rate,
            round(avg(case when cpu_share >= 0.95 or throttled_ratio >= 0.25 then 1.0 else 0.0 end), 6) as throttled_rate
        from marts.usage
        where resource = $resource and ts > cast($applied as timestamptz) and ts <= cast($until as timestamptz)";
    let given = [("resource", item.resource.as_str()), ("applied", applied), ("until", until)];
    Ok(session.query_with(MEASURED, &given).await?.to_json()?.into_iter().next().unwrap_or(Value::Null))
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

fn show(context: &Context, plan: &Plan, span: &Span, seen: &[Seen<'_>]) {
    let words = if span.until < context.now {
        format!("{} to {}, rolled back", span.applied, span.until)
    } else {
        format!("since {}", span.applied)
    };
    context.say(format!("{}: {words}", plan.plan_id));
    for seen in seen {
        context.say(format!("  {} {}: {}", action(seen.item), seen.item.resource, seen.outcome.name()));
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
        for (found, is_concurrent) in &seen.compared {
            let control =
                if *is_concurrent { "other environments at the same time" } else { "the days before, which is weaker" };
            let [was, is] = [&found.harm.control, &found.harm.candidate];
            let mean = |mean: Option<f64>| mean.map_or_else(|| "-".to_owned(), |mean| format!("{mean:.2}"));
            let text = format!(
                "{} beside {} of {control} ({} and {} observations)",
                mean(is.mean),
                mean(was.mean),
                is.observations,
                was.observations
            );
            context.say_wrapped(format!("    {}: ", found.metric), &text, 6);
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
        .map(|(found, is_concurrent)| {
            json!({
                "metric": found.metric,
                "control": if *is_concurrent { "concurrent" } else { "before" },
                "harm": said(found.harm.verdict),
                "gain": said(found.gain.verdict),
                "candidate_mean": found.harm.candidate.mean.map(rounded),
                "control_mean": found.harm.control.mean.map(rounded),
                "observations": [found.harm.candidate.observations, found.harm.control.observations],
            })
        })
        .collect();
    json!({
        "item_id": seen.item.id, "resource": seen.item.resource, "action": seen.item.action, "result": seen.outcome,
        "projected": seen.item.projected, "measured": seen.measured, "metrics": metrics,
    })
}

/// One `outcome` event per item, through the same door as every event: at the time of the newest evidence, so that looking
/// again at the same data says nothing new.
async fn tell(
    context: &Context,
    privacy: &Privacy,
    plan: &Plan,
    span: &Span,
    seen: &[Seen<'_>],
) -> Result<(), Failure> {
    let has_evidence = |seen: &&Seen<'_>| !seen.compared.is_empty() || !seen.measured["newest"].is_null();
    let lines: Vec<String> = seen
        .iter()
        .filter(has_evidence)
        .map(|seen| {
            let newest = seen.measured["newest"].as_str().and_then(Timestamp::parse);
            json!({
                "ts": newest.unwrap_or(span.until),
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
    let source = Source::Lines { name: plan.plan_id.clone(), text: lines.join("\n") };
    Lake::ingest(&context.global.lake, privacy, &[source], &IngestSpec::default(), &mut |_, _| {}).await?;
    Ok(())
}

/// An item's action, as the plan writes it.
fn action(item: &Item) -> String {
    json!(item.action).as_str().unwrap_or_default().replace('_', " ")
}
