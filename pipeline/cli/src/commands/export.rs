//! `export`: the figures of the lake for other programs.

use crate::commands::report;
use crate::commands::sql::output::Sink;
use crate::context::{Answer, Context};
use crate::failure::Failure;
use clap::{Args, Subcommand};
use serde_json::json;
use std::io::Write;
use std::path::PathBuf;

/// The arguments of `export`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pipeline export openmetrics -o pipeline.prom")]
pub struct ExportArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Export limits, use, kills, plan and models as OpenMetrics text, for a node-exporter or a scrape of the file
    #[command(after_help = "\
The file is replaced atomically and has no timestamps:
pipeline_export_timestamp_seconds shows its age. pipeline/docs/grafana has a
Grafana dashboard for these figures.

Examples:
  pipeline export openmetrics -o /var/lib/prometheus/node-exporter/pipeline.prom")]
    Openmetrics {
        /// The file to write; `-` is stdout
        #[arg(short, long, value_name = "FILE.prom")]
        output: PathBuf,
        /// Export the figures of the days since this time: 30d, 8w, a date
        #[arg(long, default_value = "30d", value_name = "SPAN")]
        since: String,
    },
}

/// Writes the figures.
pub async fn run(context: &Context, args: ExportArgs) -> Result<Answer, Failure> {
    let What::Openmetrics { output, since } = args.what;
    let to_file = output.as_os_str() != "-";
    let mut sink = if to_file { Sink::file(context, &output)? } else { Sink::stdout(true) };
    let text = report::openmetrics(context, &since).await?;
    sink.write_all(text.as_bytes()).map_err(|error| Failure::file("write", &output, &error))?;
    sink.finish()?;
    let samples = text.lines().filter(|line| !line.starts_with('#')).count();
    if to_file {
        context.say(format!("{samples} samples written to {}", output.display()));
    }
    let answer = Answer::done(json!({"file": to_file.then_some(&output), "samples": samples}));
    Ok(answer.brief(format!("{samples} samples in {}", output.display())))
}
