//! The command line: what people type (CONTRACT, "Calling it").

use crate::commands;
use clap::{Args, Parser, Subcommand, ValueEnum};
use domain::Timestamp;

/// Right-size developer environments and CI runners: measured, reviewed, reversible.
#[derive(Debug, Parser)]
#[command(name = "pipeline", version, propagate_version = true, arg_required_else_help = true, max_term_width = 80)]
#[command(after_help = "\
Exit codes:
  0  done
  1  could not be done
  2  wrong arguments
  3  findings: a check failed, the plan has changes
  4  refused: stale, not approved, locked, tampered with, overridden
  5  too little evidence")]
pub struct Cli {
    /// What every command takes.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What every command takes.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Options of every command")]
pub struct Global {
    /// The lake: a folder, or an s3://, gs://, az:// or file:// URI
    #[arg(long, global = true, env = "PIPELINE_LAKE", default_value = "./lake", value_name = "URI")]
    pub lake: String,
    /// Print exactly one JSON object on stdout
    #[arg(long, global = true)]
    pub json: bool,
    /// Say nothing but results and errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Say on stderr how long each part took
    #[arg(short, long, global = true)]
    pub verbose: bool,
    /// auto: bars on a terminal, lines in a log; or never
    #[arg(long, global = true, value_enum, hide_possible_values = true)]
    #[arg(value_name = "MODE", default_value_t = ProgressMode::Auto)]
    pub progress: ProgressMode,
    /// Take this as the present [RFC 3339]: fixes the clock, bounds the data
    #[arg(long, global = true, value_name = "TIME", value_parser = parse_now)]
    pub now: Option<Timestamp>,
}

fn parse_now(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse(text).ok_or_else(|| "write it as 2026-10-01T00:00:00Z".to_owned())
}

/// Whether progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ProgressMode {
    /// Bars on a terminal, lines in a log.
    Auto,
    /// Not at all.
    Never,
}

/// The commands, in the order in which a night uses them.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a command unchanged and append one event with what it used
    Record(commands::record::RecordArgs),
    /// Sample containers, read commits, watch files, listen to editors
    Collect(commands::collect::CollectArgs),
    /// Take event dumps into the lake
    Ingest(commands::ingest::IngestArgs),
    /// Bring the SQL tables up to date
    Materialize(commands::materialize::MaterializeArgs),
    /// Check the data and the lake's integrity
    Check,
    /// Care for the lake: merge small files, delete what nobody needs
    Lake(commands::lake::LakeArgs),
    /// Count what the lake holds of people, or take a person out of it
    Privacy(commands::privacy::PrivacyArgs),
    /// Ask the lake in SQL
    Sql(commands::sql::SqlArgs),
    /// Print a pull request's trace as JSON, or write all of them
    Trace(commands::trace::TraceArgs),
    /// Train models, and compare them with naive ones on later data
    Train(commands::train::TrainArgs),
    /// Measure the kept models on later data, beside the baselines
    Evaluate(commands::evaluate::EvaluateArgs),
    /// Predict what the open pull requests and the next runs will take
    Predict(commands::predict::PredictArgs),
    /// Say what moved the prediction of a run, and which runs were like it
    Explain(commands::explain::ExplainArgs),
    /// Replay sizing policies over the past
    Backtest(commands::backtest::BacktestArgs),
    /// Write the shadow inventory: the predicted state of every resource
    Shadow(commands::shadow::ShadowArgs),
    /// Write a plan of adjustments and print it as a diff
    Plan(commands::plan::PlanArgs),
    /// Say yes to a plan, or to some of its items
    Approve(commands::approve::ApproveArgs),
    /// Carry out an approved plan
    Apply(commands::apply::ApplyArgs),
    /// Say whether an applied plan helped: better, worse, the same, or too early
    Verify(commands::verify::VerifyArgs),
    /// Restore exactly what was there before a plan
    Rollback(commands::rollback::RollbackArgs),
    /// Say whether a candidate is worse than its control: pass, fail, or too early
    Judge(commands::judge::JudgeArgs),
    /// Read the ledger of all plans, or verify that nobody changed it
    Log(commands::log::LogArgs),
    /// Say how an item of a plan went: a label for the next training
    Feedback(commands::feedback::FeedbackArgs),
    /// Compare the labels that people gave with what was measured
    Labels(commands::labels::LabelsArgs),
    /// Run a job: the commands above in order, with a run record
    Run(commands::run::RunArgs),
    /// Print the JSON Schema of an artifact
    Schema(commands::schema::SchemaArgs),
}
