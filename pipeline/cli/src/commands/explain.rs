//! `explain`: what the models said or would have said of a run, from what was known when it was created, and why; and what
//! became of an item of a plan; and what held a resource up.

mod item;
mod resource;

use crate::artifacts::{Kept, champion};
use crate::commands::predict::seconds;
use crate::context::{Answer, Context};
use crate::failure::{Exit, Failure};
use crate::scratch::scratch;
use clap::Args;
use domain::Timestamp;
use domain::units::format_bytes;
use lake::{Lake, Session};
use learn::quantity::{Explained, RunKey};
use learn::{build_time, contention, demand};
use serde_json::{Value, json};
use std::path::PathBuf;

/// The arguments of `explain`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pipeline explain acme/api#4711
  pipeline explain acme-dev/web
  pipeline explain 3654e1c3-1")]
pub struct ExplainArgs {
    /// A run (run_id or owner/name#run_id), the prediction_id of a row of predictions.runs, a resource (`env/service`),
    /// or an item of a plan
    #[arg(value_name = "RUN|RESOURCE|ITEM")]
    run: String,
}

const PREDICTION: &str = "
    select * from predictions.runs
    where prediction_id = $run and predicted_at <= (select now from session.clock)";

/// What was said of a run before it began: the last prediction of the day before.
const SAID: &str = "
    select * from predictions.runs
    where repo = cast($repo as varchar) and job_key = cast($job_key as varchar)
        and predicted_at < cast($started_at as timestamp)
        and predicted_at >= cast($started_at as timestamp) - interval '1 day'
        and (
            pr_id = cast($pr_id as varchar)
            or (pr_id is null and cast($pr_id as varchar) = '' and branch = cast($branch as varchar))
        )
    order by predicted_at desc
    limit 1";

/// A run, or one that was expected.
struct Asked {
    key: RunKey,
    unit_id: String,
    /// As it is in its table.
    row: Value,
    is_expected: bool,
}

/// Explains one run.
pub async fn run(context: &Context, args: ExplainArgs) -> Result<Answer, Failure> {
    let lake = context.lake().await?;
    let session = lake.session(context.now).await?;
    if let Some(answer) = item::explain(context, &lake, &session, &args.run).await? {
        return Ok(answer);
    }
    if let Some(answer) = resource::explain(context, &session, &args.run).await? {
        return Ok(answer);
    }
    let asked = find(&session, &args.run).await?;
    let said = if asked.is_expected { Some(asked.row.clone()) } else { said_before(&session, &asked.row).await? };
    // Of a prediction everything is as it was known then.
    let session = if asked.is_expected { lake.session(asked.key.started_at).await? } else { session };
    let until = if asked.is_expected { asked.key.started_at } else { context.now };
    let folder = scratch()?;
    let files = ["runs", "contention", "expected_runs", "expected_contention"];
    let mut paths: Vec<PathBuf> = Vec::new();
    let task = context.progress.task("explain");
    for view in &files[..if asked.is_expected { 4 } else { 2 }] {
        let path = folder.path().join(format!("{view}.parquet"));
        session.export(view, &path).await?;
        paths.push(path);
    }
    let (runs, rows) = (&paths[0], &paths[1]);
    let (next, next_rows) = (paths.get(2).map(PathBuf::as_path), paths.get(3).map(PathBuf::as_path));
    let mut parts = Vec::new();
    if let Some(kept) = then(context, &lake, build_time::NAME, &asked).await? {
        let one = build_time::explain(&kept.model, runs, next, until, &asked.key)?;
        parts.extend(one.map(|one| ("duration", kept.card.model.clone(), kept.card.version.clone(), one)));
    }
    if let Some(kept) = then(context, &lake, demand::NAME, &asked).await? {
        let both = demand::explain(&kept.model, runs, next, until, &asked.key)?;
        for (name, one) in ["CPU time", "peak memory"].into_iter().zip(both) {
            parts.extend(one.map(|one| (name, kept.card.model.clone(), kept.card.version.clone(), one)));
        }
    }
    let contended = match then(context, &lake, contention::NAME, &asked).await? {
        Some(kept) => {
            let one = contention::explain(&kept.model, rows, next_rows, until, &asked.unit_id)?;
            one.map(|one| (kept.card.version.clone(), kept.card.data_watermark >= asked.key.started_at, one))
        }
        None => None,
    };
    drop(task);
    if parts.is_empty() && contended.is_none() {
        return Err(Failure::new(Exit::Inconclusive, format!("no model has anything to say of {}", args.run)).hint(
            "`pipeline train` makes models; of runs that were cancelled, skipped, or longer than a day they say nothing",
        ));
    }
    show(context, &asked, said.as_ref());
    for (name, model, version, one) in &parts {
        show_part(context, name, &format!("{model} {version}"), one);
    }
    if let Some((version, learnt, one)) = &contended {
        show_contention(context, version, *learnt, one);
    }
    let explained: Vec<Value> = parts
        .iter()
        .map(|(name, model, version, one)| json!({"of": name, "model": model, "version": version, "explained": one}))
        .collect();
    let contended = contended.map(|(version, learnt, one)| {
        json!({"model": contention::NAME, "version": version, "learnt_from_it": learnt, "explained": one})
    });
    Ok(Answer::done(json!({
        "run": asked.row, "expected": asked.is_expected, "said": said, "models": explained, "contention": contended,
    })))
}

/// The run or prediction of that name.
async fn find(session: &Session, name: &str) -> Result<Asked, Failure> {
    let rows = session.ask("explain_runs", &[("run", name)]).await?.to_json()?;
    let text = |row: &Value, column: &str| row[column].as_str().unwrap_or_default().to_owned();
    let time =
        |row: &Value, column: &str| Timestamp::parse(row[column].as_str().unwrap_or_default()).unwrap_or_default();
    if let Some(row) = rows.first() {
        let mut names: Vec<String> =
            rows.iter().map(|row| format!("{}#{}", text(row, "repo"), text(row, "run_id"))).collect();
        names.sort();
        names.dedup();
        if names.len() > 1 {
            let shown = names.iter().take(8).cloned().collect::<Vec<_>>().join(", ");
            return Err(Failure::new(Exit::Failed, format!("{} runs are called {name}", names.len()))
                .hint(format!("name one of them: {shown}")));
        }
        let key = RunKey { repo: text(row, "repo"), run_id: text(row, "run_id"), started_at: time(row, "started_at") };
        return Ok(Asked { key, unit_id: text(row, "unit_id"), row: row.clone(), is_expected: false });
    }
    let rows = session.query_with(PREDICTION, &[("run", name)]).await?.to_json()?;
    if let Some(row) = rows.first() {
        // The day, then what was expected.
        let expected = name.split_once(' ').map_or(name, |(_, rest)| rest).to_owned();
        let key = RunKey { repo: text(row, "repo"), run_id: expected.clone(), started_at: time(row, "predicted_at") };
        return Ok(Asked { key, unit_id: expected, row: row.clone(), is_expected: true });
    }
    Err(Failure::new(Exit::Failed, format!("there is no run {name}")).hint(
        "`pipeline sql \"select repo, run_id, started_at from marts.runs order by started_at desc limit 20\"` lists the last",
    ))
}

async fn said_before(session: &Session, row: &Value) -> Result<Option<Value>, Failure> {
    let text = |column: &str| row[column].as_str().unwrap_or_default().to_owned();
    let [repo, job_key, started_at, pr_id, branch] = ["repo", "job_key", "started_at", "pr_id", "branch"].map(text);
    let parameters = [
        ("repo", &*repo),
        ("job_key", &*job_key),
        ("started_at", &*started_at),
        ("pr_id", &*pr_id),
        ("branch", &*branch),
    ];
    Ok(session.query_with(SAID, &parameters).await?.to_json()?.into_iter().next())
}

/// The model that served when the run began; where none did, today's.
async fn then(context: &Context, lake: &Lake, model: &str, asked: &Asked) -> Result<Option<Kept>, Failure> {
    match champion(lake, model, asked.key.started_at).await? {
        Some(kept) => Ok(Some(kept)),
        None => champion(lake, model, context.now).await,
    }
}

fn show(context: &Context, asked: &Asked, said: Option<&Value>) {
    let row = &asked.row;
    let text = |column: &str| row[column].as_str().unwrap_or_default();
    let of = [text("pr_id"), text("branch")].into_iter().find(|text| !text.is_empty()).unwrap_or_default();
    context.say(format!("{}  {of}", text("job_key")));
    if asked.is_expected {
        context.say(format!("  expected as of {}", asked.key.started_at.minute()));
    } else {
        let result = [text("result"), text("label")].into_iter().filter(|t| !t.is_empty()).collect::<Vec<_>>();
        context.say(format!(
            "  run {} began {}  {}",
            asked.key.run_id,
            asked.key.started_at.minute(),
            result.join(", ")
        ));
    }
    if let Some(said) = said {
        let level = |name: &str| said[name].as_f64().map_or_else(|| "-".to_owned(), |ms| seconds(ms / 1000.0));
        context.say(format!(
            "  predicted {}: p50 {}, p90 {}, p99 {}",
            said["predicted_at"].as_str().and_then(Timestamp::parse).unwrap_or_default().minute(),
            level("p50_duration_ms"),
            level("p90_duration_ms"),
            level("p99_duration_ms")
        ));
    }
}

fn amount(value: f64, unit: &str) -> String {
    if unit == "s" { seconds(value) } else { format_bytes(value * (1 << 20) as f64) }
}

fn percent(factor: f64) -> String {
    format!("{:+.1} %", (factor - 1.0) * 100.0)
}

fn show_part(context: &Context, name: &str, model: &str, one: &Explained) {
    let shown = |value: f64| amount(value, one.unit);
    context.say("");
    context.say(format!("{name}  ({model})"));
    if let Some(measured) = one.measured {
        context.say(format!("  measured {}", shown(measured)));
    }
    context.say(format!("  says     p50 {}, p90 {}, p99 {}", shown(one.p50), shown(one.p90), shown(one.p99)));
    if let Some(usual) = one.usual {
        context.say(format!("  usual    {}", shown(usual)));
    }
    if one.learnt_from_it {
        context.say("  The model has learnt from this run: what it says is no prediction.");
    }
    if one.moves.is_empty() {
        context.say("  This model is the naive one that won; it looks at nothing but the job's past.");
    } else {
        context.say("  what moved it most, from the mean of earlier runs:");
        context.say("       p50       p90");
    }
    for moved in one.moves.iter().take(8) {
        context.say_wrapped(
            format!("  {:>8}  {:>8}  ", percent(moved.p50_factor), percent(moved.p90_factor)),
            &format!("{} = {}", moved.feature, moved.value),
            22,
        );
    }
    if !one.similar.is_empty() {
        context.say("  the most similar runs before it:");
    }
    for like in &one.similar {
        context.say_wrapped(
            format!("  {:>9}  {}  ", shown(like.took), like.started_at.minute()),
            &format!("{} {}", like.job_key, like.run_id),
            31,
        );
    }
}

fn show_contention(context: &Context, version: &str, learnt: bool, one: &contention::Explained) {
    context.say("");
    context.say(format!("contended  (contention {version})"));
    context.say(format!("  says     {:.0} %, likely cause: {}", one.probability * 100.0, one.likely_cause));
    if learnt {
        context.say("  The model has learnt from this run: what it says is no prediction.");
    }
    if !one.moves.is_empty() {
        context.say("  what moved it most, in points of probability, about:");
    }
    for (name, value, moved) in one.moves.iter().take(8) {
        let value = value.map_or_else(|| "not known".to_owned(), |v| format!("{v}"));
        context.say(format!("  {:>+8.1}  {name} = {value}", moved * 100.0));
    }
}
