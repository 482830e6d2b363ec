//! `anomalies`: how unusual every row of series of one's own was when it came. Needs no lake.

use crate::commands::forecast::{SeriesArgs, may_replace, of_series, put};
use crate::commands::sql::output::Sink;
use crate::context::{Answer, Context};
use crate::failure::Failure;
use crate::scratch::scratch;
use clap::Args;
use learn::series::{self, ANOMALY_COLUMNS};
use serde_json::json;
use std::path::PathBuf;

/// What `anomalies` takes.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pipeline anomalies --series usage.parquet --key host --time at \\
    --value cpu -o scored.parquet")]
pub struct AnomaliesArgs {
    #[command(flatten)]
    series: SeriesArgs,
    /// Values in a cycle; a day of timestamps where not given, 1 for none
    #[arg(long, value_name = "STEPS", value_parser = clap::value_parser!(u32).range(1..=20_000))]
    period: Option<u32>,
    /// Write key, at, value and score (0 to 1) of every row to this Parquet file
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
}

/// Scores every row of a file.
pub async fn run(context: &Context, args: AnomaliesArgs) -> Result<Answer, Failure> {
    let AnomaliesArgs { series, period, output } = args;
    may_replace(&output, &ANOMALY_COLUMNS, "result")?;
    let sink = Sink::file(context, &output)?;
    let folder = scratch()?;
    let draft = folder.path().join("anomalies.parquet");
    let task = context.progress.task("anomalies");
    let summary = series::anomalies(&series.spec(), period.map(|p| p as usize), &draft).map_err(of_series)?;
    drop(task);
    put(&draft, sink, &output)?;
    context.say(format!("{} rows of {} series scored in {}", summary.rows, summary.series, output.display()));
    context.say(format!("  {} more unusual than any before them (score above 0.5)", summary.records));
    if summary.without_value > 0 {
        context.say(format!("  {} without a value: score 0", summary.without_value));
    }
    let brief = format!("{} rows scored, {} records", summary.rows, summary.records);
    Ok(Answer::done(json!(summary)).brief(brief))
}
