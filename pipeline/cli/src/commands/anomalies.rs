//! `anomalies`: what is wrong in the lake; or, without one, how unusual every row of series of one's own was when it came.

mod lake;

use crate::commands::forecast::{SeriesArgs, may_replace, of_series, put};
use crate::commands::sql::Form;
use crate::commands::sql::output::Sink;
use crate::context::{Answer, Context};
use crate::failure::{Exit, Failure};
use crate::scratch::scratch;
use clap::Args;
use learn::anomalies::BUDGET;
use learn::series::{self, ANOMALY_COLUMNS, SeriesSpec};
use serde_json::json;
use std::path::PathBuf;

/// The arguments of `anomalies`.
#[derive(Debug, Args)]
#[command(after_help = "\
Without --series, the command examines the lake: hourly use of every resource,
KPIs, and the build times of each job. It finds spikes, level shifts, drifts,
leaks, resources that went silent, and services that differ from their peers.
The findings are written to predictions.anomalies.

Examples:
  pipeline anomalies --since 7d
  pipeline anomalies --format csv > anomalies.csv
  pipeline sql -f anomalies --param resource=acme-api-dev/web
  pipeline anomalies --series usage.parquet --key host --time at \\
    --value cpu -o scored.parquet")]
pub struct AnomaliesArgs {
    /// Show only anomalies that had not ended before this time: 7d, 8w, a date
    #[arg(long, default_value = "7d", value_name = "SPAN", conflicts_with = "series")]
    since: String,
    /// Accepted number of false alarms per resource and week
    #[arg(long, default_value_t = BUDGET, value_name = "N", value_parser = parse_budget, conflicts_with = "series")]
    budget: f64,
    /// Print the findings in this format [default: text for people]
    #[arg(long, value_enum, conflicts_with = "series")]
    format: Option<Form>,
    /// Exit with 3 if anything was found
    #[arg(long, conflicts_with = "series")]
    detailed_exitcode: bool,
    #[command(flatten)]
    series: SeriesArgs,
    /// Number of values in a cycle [default: a day of timestamps]; 1 for no cycle
    #[arg(long, value_name = "STEPS", value_parser = clap::value_parser!(u32).range(1..=20_000), requires = "series")]
    period: Option<u32>,
    /// Write key, at, value and score (0 to 1) of every row to this Parquet file
    #[arg(short, long, value_name = "FILE", requires = "series")]
    output: Option<PathBuf>,
}

fn parse_budget(text: &str) -> Result<f64, String> {
    let budget = text.parse().ok().filter(|budget| (1e-4..=10.0).contains(budget));
    budget.ok_or_else(|| "write a number from 0.0001 to 10, such as 0.1".to_owned())
}

/// Looks at the lake, or scores every row of a file.
pub async fn run(context: &Context, args: AnomaliesArgs) -> Result<Answer, Failure> {
    match (args.series.spec(), args.output) {
        (Some(series), Some(output)) => of_file(context, series, args.period, output),
        (Some(_), None) => Err(Failure::new(Exit::Usage, "--series needs a file for its scores").hint("add -o FILE")),
        (None, _) => {
            let look = lake::Look {
                since: args.since,
                budget: args.budget,
                format: args.format,
                detailed_exitcode: args.detailed_exitcode,
            };
            lake::run(context, look).await
        }
    }
}

fn of_file(context: &Context, series: SeriesSpec, period: Option<u32>, output: PathBuf) -> Result<Answer, Failure> {
    may_replace(&output, &ANOMALY_COLUMNS, "result")?;
    let sink = Sink::file(context, &output)?;
    let folder = scratch()?;
    let draft = folder.path().join("anomalies.parquet");
    let task = context.progress.task("anomalies");
    let summary = series::anomalies(&series, period.map(|p| p as usize), &draft).map_err(of_series)?;
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
