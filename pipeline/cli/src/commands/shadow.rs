//! `shadow`: the predicted state of every resource.

use crate::commands::ingest::left_out;
use crate::commands::sql::output::Sink;
use crate::context::{Answer, Context, privacy};
use crate::failure::{Exit, Failure};
use crate::scratch::scratch;
use clap::Args;
use domain::gather::GatherPlan;
use domain::time::{HOUR, parse_span};
use intake::Source;
use lake::{IngestSpec, Lake};
use learn::gather::gather_plan;
use learn::shadow::{ShadowSpec, forecast};
use serde_json::json;
use std::io::Write;
use std::path::{Path, PathBuf};

/// What `shadow` takes.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pipeline shadow --horizon 24h
  pipeline shadow --schedule events.ndjson --gather-plan gather.json")]
pub struct ShadowArgs {
    /// Forecast horizon, in whole hours
    #[arg(long, default_value = "24h", value_name = "SPAN", value_parser = parse_horizon)]
    horizon: usize,
    /// A dump of `schedule` events to ingest first
    #[arg(long, value_name = "FILE")]
    schedule: Option<String>,
    /// Also write a sampling plan for `collect`: the interval of each resource
    #[arg(long, value_name = "FILE")]
    gather_plan: Option<PathBuf>,
}

fn parse_horizon(text: &str) -> Result<usize, String> {
    let hours = parse_span(text).map(|span| span / HOUR).filter(|hours| (1..=24 * 14).contains(hours));
    hours.map(|hours| hours as usize).ok_or_else(|| "write 1h to 14d, such as 24h".to_owned())
}

/// Forecasts and replaces `predictions.shadow_inventory`.
pub async fn run(context: &Context, args: ShadowArgs) -> Result<Answer, Failure> {
    let lake = context.lake().await?;
    if let Some(schedule) = &args.schedule {
        let sources = Source::find(schedule, &mut left_out)?;
        Lake::ingest(&context.global.lake, &privacy()?, &sources, &IngestSpec::default(), &mut |_, _| {}).await?;
    }
    let session = lake.session(context.now).await?;
    let folder = scratch()?;
    let (hours, schedule) = (folder.path().join("hours.parquet"), folder.path().join("schedule.parquet"));
    let out = folder.path().join("shadow.parquet");
    let mut task = context.progress.task("shadow");
    task.at("features");
    if session.export("resource_hours", &hours).await? == 0 {
        return Err(Failure::new(Exit::Inconclusive, "there is no usage to forecast")
            .hint("ingest `usage` events, then `pipeline materialize`"));
    }
    session.export("schedule", &schedule).await?;
    task.at("cross-validation");
    let summary = forecast(&hours, Some(&schedule), &ShadowSpec::new(context.now, args.horizon), &out)?;
    lake.write_predictions("shadow_inventory", &out, context.now).await?;
    if let Some(path) = &args.gather_plan {
        let plan = gather_plan(&out, &hours, Some(&schedule), context.now)?;
        write_whole(context, path, &plan)?;
    }
    drop(task);
    if summary.ephemeral.resources > 0 {
        let (n, why) = (summary.ephemeral.resources, summary.ephemeral.why);
        context.say_wrapped("", &format!("{n} more are left out: they {why}"), 2);
    }
    let wins: Vec<String> = summary.wins.iter().map(|(model, n)| format!("{model} {n}")).collect();
    context.say(format!(
        "{} resources, {} h ahead from data up to {}",
        summary.resources, args.horizon, summary.data_watermark
    ));
    context.say(format!("{} rows in predictions.shadow_inventory", summary.rows));
    context.say_wrapped("series led by: ", &wins.join(", "), 15);
    if let (Some(ours), Some(naive), Some(coverage)) = (summary.mase, summary.mase_seasonal_naive, summary.coverage) {
        context.say("by cross-validation:");
        context.say(format!("  MASE {ours:.3} (seasonal-naive {naive:.3})"));
        context.say(format!("  {:.1} % of later hours inside the 90 % interval", coverage * 100.0));
        if let (Some(ours), Some(naive), Some(held)) = (summary.peak_mase, summary.peak_mase_naive, summary.peak_held) {
            context.say(format!(
                "  daily peaks {ours:.3} (the last day's {naive:.3}), {:.1} % below their bound",
                held * 100.0
            ));
        }
        context.say(format!("  mean confidence {:.2}", summary.confidence));
    }
    let mut brief = format!("{} resources, {} h ahead", summary.resources, args.horizon);
    if let (Some(ours), Some(naive)) = (summary.mase, summary.mase_seasonal_naive) {
        brief += &format!("; MASE {ours:.3} (seasonal-naive {naive:.3})");
    }
    Ok(Answer::done(json!(summary)).brief(brief))
}

/// A collector may read it at any moment: it is there whole, or as it was.
fn write_whole(context: &Context, path: &Path, plan: &GatherPlan) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(plan).map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
    let mut sink = Sink::file(context, path)?;
    writeln!(sink, "{text}").map_err(|error| Failure::file("write", path, &error))?;
    sink.finish().map(|_| ())
}
