//! `forecast`: the future of series of one's own, from one Parquet file into another. Needs no lake.

use crate::commands::sql::output::Sink;
use crate::context::{Answer, Context};
use crate::failure::{Exit, Failure};
use crate::scratch::scratch;
use crate::values::share;
use clap::Args;
use learn::LearnError;
use learn::series::{self, FORECAST_COLUMNS, ForecastSpec, SeriesSpec, has_columns};
use serde_json::json;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The file and the columns that make up the user's own series: all of them are given, or none.
#[derive(Debug, Args)]
pub struct SeriesArgs {
    /// Parquet file with the series, one row per value
    #[arg(long, value_name = "FILE", requires_all = ["key", "time", "value"])]
    series: Option<PathBuf>,
    /// Column with the name of each row's series: text or integers
    #[arg(long, value_name = "COLUMN", requires = "series")]
    key: Option<String>,
    /// Column with the time of each row: an integer step, or a timestamp
    #[arg(long, value_name = "COLUMN", requires = "series")]
    time: Option<String>,
    /// Column with the numeric values
    #[arg(long, value_name = "COLUMN", requires = "series")]
    value: Option<String>,
}

impl SeriesArgs {
    /// As the library takes it; none: no file is given.
    pub fn spec(self) -> Option<SeriesSpec> {
        let Self { series, key, time, value } = self;
        Some(SeriesSpec { path: series?, key: key?, time: time?, value: value? })
    }
}

/// The arguments of `forecast`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pipeline forecast --series usage.parquet --key host --time at --value cpu \\
    --period 24,168 --horizon 48 -o next.parquet
  pipeline forecast --series peaks.parquet --key host --time day --value cpu \\
    --period 7 --horizon 1 --quantiles 0.5,0.9,0.99 -o tomorrow.parquet")]
pub struct ForecastArgs {
    #[command(flatten)]
    series: SeriesArgs,
    /// Number of steps after which a pattern may repeat: 24,168 for hourly values; 1 for no pattern
    #[arg(long, value_name = "STEPS,…", value_delimiter = ',', required = true, requires = "series")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=20_000))]
    period: Vec<u32>,
    /// Number of steps to forecast
    #[arg(long, value_name = "STEPS", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    horizon: u32,
    /// Fill gaps of up to this many steps by linear interpolation
    #[arg(long, value_name = "STEPS", default_value_t = 0)]
    fill_gaps: usize,
    /// Also write the quantiles for these probabilities, as columns `q0.5`, `q0.99`, …
    #[arg(long, value_name = "SHARE,…", value_delimiter = ',')]
    #[arg(value_parser = share(0.0001..=0.9999, "write shares between 0.0001 and 0.9999, such as 0.5,0.9,0.99"))]
    quantiles: Vec<f64>,
    /// Write key, at, value, lower, upper (90 %) and model to this Parquet file
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
}

/// Forecasts every series of a file.
pub async fn run(context: &Context, args: ForecastArgs) -> Result<Answer, Failure> {
    let ForecastArgs { series, period, horizon, fill_gaps, mut quantiles, output } = args;
    let Some(series) = series.spec() else {
        return Err(Failure::new(Exit::Usage, "forecast needs a file").hint("add --series FILE"));
    };
    may_replace(&output, &FORECAST_COLUMNS, "forecast")?;
    let sink = Sink::file(context, &output)?;
    let mut periods: Vec<usize> = period.into_iter().map(|p| p as usize).filter(|p| *p > 1).collect();
    periods.sort_unstable();
    periods.dedup();
    quantiles.sort_by(f64::total_cmp);
    quantiles.dedup();
    let spec = ForecastSpec { series, periods, horizon: horizon as usize, fill_gaps, quantiles };
    let folder = scratch()?;
    let draft = folder.path().join("forecast.parquet");
    let task = context.progress.task("forecast");
    let summary = series::forecast(&spec, &draft, &|_, _| ()).map_err(of_series)?;
    drop(task);
    put(&draft, sink, &output)?;
    context.say(format!(
        "{} series, {horizon} steps ahead: {} rows in {}",
        summary.series,
        summary.rows,
        output.display()
    ));
    let models: Vec<String> = summary.models.iter().map(|(model, n)| format!("{model} {n}")).collect();
    context.say_wrapped("led by: ", &models.join(", "), 8);
    if let (Some(mase), Some(naive), Some(coverage)) = (summary.mase, summary.mase_seasonal_naive, summary.coverage) {
        context.say("on rolling origins:");
        context.say(format!("  MASE {mase:.3} (seasonal-naive {naive:.3})"));
        context.say(format!("  {:.1} % of later values inside the 90 % interval", coverage * 100.0));
    }
    if summary.no_better_than_naive > 0 {
        context.say(format!("  {} series: no better than the last period again", summary.no_better_than_naive));
    }
    Ok(Answer::done(json!(summary)).brief(format!("{} series, {horizon} steps ahead", summary.series)))
}

/// The same failures as of a lake, with what to do about a file.
pub fn of_series(error: LearnError) -> Failure {
    let hint = match &error {
        LearnError::TooLittleData(_) => "leave out series that are so short, or wait for more values",
        LearnError::Read { .. } => "--series takes one Parquet file",
        _ => return error.into(),
    };
    Failure::from(error).hint(hint)
}

/// Refuses a place where something is that this command did not write: a file is replaced by one of its own kind only. An
/// empty file holds nothing that could be lost; a device or a pipe is written as it is.
pub fn may_replace(path: &Path, columns: &[&str], kind: &str) -> Result<(), Failure> {
    let found = match fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Failure::file("read", path, &error)),
        Ok(found) => found,
    };
    if !found.is_file() || found.len() == 0 || has_columns(path, columns)? {
        return Ok(());
    }
    let what = format!("{} is there and no {kind} of this command", path.display());
    Err(Failure::new(Exit::Usage, what).hint("it is left alone; give another file with -o"))
}

/// Puts what was written in its place, whole or not at all.
pub fn put(draft: &Path, mut sink: Sink, output: &Path) -> Result<(), Failure> {
    let mut file = fs::File::open(draft).map_err(|error| Failure::file("read", draft, &error))?;
    std::io::copy(&mut file, &mut sink).map_err(|error| Failure::file("write", output, &error))?;
    sink.finish().map(|_| ())
}
