//! `predict`: what the open pull requests and the next runs will take, need and suffer.

use crate::artifacts::{Kept, champion};
use crate::context::{Answer, Context};
use crate::failure::{Exit, Failure};
use crate::scratch::scratch;
use crate::values::span;
use clap::Args;
use domain::time::DAY;
use lake::Session;
use learn::next_runs::{Models, NextRunsSpec, NextRunsSummary, Serving, predict};
use serde_json::json;

/// The arguments of `predict`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pipeline predict
  pipeline predict --horizon 24h --threshold 20m")]
pub struct PredictArgs {
    /// Also predict the runs that are expected on main branches within this time
    #[arg(long, default_value = "24h", value_name = "SPAN")]
    #[arg(value_parser = span(1..=31 * DAY, "write up to 31d, such as 24h"))]
    horizon: i64,
    /// Mark the runs that may take longer than this
    #[arg(long, default_value = "30m", value_name = "SPAN", value_parser = span(1..=i64::MAX, "write it as 30m"))]
    threshold: i64,
}

/// Predicts, and writes what was predicted beside what earlier days said.
pub async fn run(context: &Context, args: PredictArgs) -> Result<Answer, Failure> {
    let lake = context.lake().await?;
    let build_time = champion(&lake, learn::build_time::NAME, context.now).await?;
    let demand = champion(&lake, learn::demand::NAME, context.now).await?;
    let contention = champion(&lake, learn::contention::NAME, context.now).await?;
    let services = champion(&lake, learn::services::NAME, context.now).await?;
    if [&build_time, &demand, &contention, &services].iter().all(|kept| kept.is_none()) {
        return Err(Failure::new(Exit::Inconclusive, "no model was trained yet").hint("`pipeline train` first"));
    }
    let session = lake.session(context.now).await?;
    let folder = scratch()?;
    let mut task = context.progress.task("predict");
    task.at("features");
    let files = ["runs", "expected_runs", "contention", "expected_contention", "services"];
    let [runs, expected, past, next, needs] = files.map(|view| folder.path().join(format!("{view}.parquet")));
    let export = |n: usize, path| session.export(files[n], path);
    tokio::try_join!(export(0, &runs), export(1, &expected), export(2, &past), export(3, &next), export(4, &needs))?;
    task.at("models");
    let spec = NextRunsSpec {
        now: context.now,
        horizon: args.horizon,
        threshold_ms: args.threshold / 1000,
        runs: &runs,
        expected: &expected,
        contention: [&past, &next],
        services: &needs,
    };
    let models = Models {
        build_time: serving(&build_time),
        demand: serving(&demand),
        contention: serving(&contention),
        services: serving(&services),
    };
    let out = folder.path().join("predicted.parquet");
    let summary = predict(&spec, &models, &out)?;
    task.at("predictions.runs");
    lake.write_predictions("runs", &out, context.now).await?;
    drop(task);
    show(context, &summary, &lake.session(context.now).await?).await?;
    let brief = format!(
        "{} runs expected, {} likely contended, {} longer than the threshold",
        summary.rows, summary.contended, summary.exceed_threshold
    );
    Ok(Answer::done(json!(summary)).brief(brief))
}

fn serving(kept: &Option<Kept>) -> Option<Serving<'_>> {
    kept.as_ref().map(|kept| Serving { card: &kept.card, model: &kept.model })
}

/// The longest, by what nine in ten stay below.
const LONGEST: &str = "
    select coalesce(pr_id, branch) as what, job_key, repo, p50_duration_ms, p90_duration_ms, contended_probability,
        needs_more_cpu, needs_more_memory, exceeds_threshold
    from predictions.runs
    where predicted_at = (select now from session.clock)
    order by p90_duration_ms desc nulls last, prediction_id
    limit 10";

async fn show(context: &Context, summary: &NextRunsSummary, session: &Session) -> Result<(), Failure> {
    context.say(format!(
        "{} runs expected: of {} open pull requests, and {} on main branches",
        summary.rows, summary.pull_requests, summary.on_main_branches
    ));
    context.say(format!("data up to {}", summary.data_watermark.minute()));
    context.say_wrapped("models: ", &summary.model, 8);
    let rows = session.query(LONGEST).await?.to_json()?;
    if !rows.is_empty() {
        context.say("");
        context.say("     p50      p90  contended  run");
    }
    for row in rows {
        let time = |name: &str| row[name].as_f64().map_or_else(|| "-".to_owned(), |ms| seconds(ms / 1000.0));
        let chance =
            row["contended_probability"].as_f64().map_or_else(|| "-".to_owned(), |p| format!("{:.0} %", p * 100.0));
        let text = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
        // The pull request names the repository already.
        let job = text("job_key").trim_start_matches(&format!("{} ", text("repo"))).to_owned();
        let flags = [("needs_more_cpu", "needs more CPU"), ("needs_more_memory", "needs more memory")];
        let flags: String =
            flags.iter().filter(|(name, _)| row[*name] == true).map(|(_, said)| format!(", {said}")).collect();
        let what = if row["what"].as_str().is_some_and(|what| what.contains('#')) {
            text("what")
        } else {
            format!("{} {}", text("repo"), text("what"))
        };
        let lead = format!("{:>8} {:>8}  {chance:>9}  ", time("p50_duration_ms"), time("p90_duration_ms"));
        context.say_wrapped(lead, &format!("{what} {job}{flags}"), 30);
    }
    context.say("");
    context.say(format!(
        "{} exceed the threshold; {} need more CPU, {} more memory than they may use;",
        summary.exceed_threshold, summary.need_more_cpu, summary.need_more_memory
    ));
    context.say(format!(
        "{} are likely to be contended; {} likely need services or packages",
        summary.contended, summary.with_needs
    ));
    if summary.stale {
        context.say("stale: a model has seen nothing of the last week; `pipeline train`");
    }
    context.say(format!("{} rows in predictions.runs", summary.rows));
    Ok(())
}

/// `9.2 s`, `4m 10s`, `2h 05m`.
pub fn seconds(seconds: f64) -> String {
    match seconds {
        s if s < 100.0 => format!("{s:.1} s"),
        s if s < 3600.0 => format!("{:.0}m {:02.0}s", (s / 60.0).floor(), (s % 60.0).floor()),
        s => format!("{:.0}h {:02.0}m", (s / 3600.0).floor(), (s % 3600.0 / 60.0).floor()),
    }
}
