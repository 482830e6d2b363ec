//! The command line: what people type.

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
    /// The options of every command.
    #[command(flatten)]
    pub global: Global,
    /// The command to run.
    #[command(subcommand)]
    pub command: Command,
}

/// The options of every command.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Options of every command")]
pub struct Global {
    /// The lake: a folder, or an s3://, gs://, az:// or file:// URI
    #[arg(long, global = true, env = "PIPELINE_LAKE", default_value = "./lake", value_name = "URI")]
    pub lake: String,
    /// Print exactly one JSON object on stdout
    #[arg(long, global = true)]
    pub json: bool,
    /// Print only results and errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Print the duration of each part on stderr; for a job, also print the output of its steps
    #[arg(short, long, global = true)]
    pub verbose: bool,
    /// Show progress: auto (bars on a terminal, lines in a log) or never
    #[arg(long, global = true, value_enum, hide_possible_values = true)]
    #[arg(value_name = "MODE", default_value_t = ProgressMode::Auto)]
    pub progress: ProgressMode,
    /// Set the clock [RFC 3339]; events after this time are not read
    #[arg(long, global = true, value_name = "TIME", value_parser = parse_now)]
    pub now: Option<Timestamp>,
}

fn parse_now(text: &str) -> Result<Timestamp, String> {
    let now = Timestamp::parse(text).filter(|now| now.is_usable());
    now.ok_or_else(|| "write it as 2026-10-01T00:00:00Z, from 1970 to 2199".to_owned())
}

/// Whether progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ProgressMode {
    /// Bars on a terminal, lines in a log.
    Auto,
    /// Not at all.
    Never,
}

impl Command {
    /// Whether what it prints is what it was asked for: `--quiet` silences its progress and not its answer.
    pub fn answers(&self) -> bool {
        match self {
            Self::Verify(_) | Self::Judge(_) | Self::Log(_) | Self::Explain(_) | Self::Labels(_) => true,
            Self::Plan(args) => args.shows(),
            Self::Stack(args) => args.answers(),
            _ => false,
        }
    }
}

/// The commands, in the order in which a night uses them.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a command unchanged, and append one event with its resource use
    Record(commands::record::RecordArgs),
    /// Sample containers, read commits, watch files, receive editor heartbeats
    Collect(commands::collect::CollectArgs),
    /// Ingest event dumps into the lake
    Ingest(commands::ingest::IngestArgs),
    /// Update the SQL tables incrementally
    Materialize(commands::materialize::MaterializeArgs),
    /// Run the data checks and verify the lake's integrity
    #[command(after_help = "\
Examples:
  pipeline check
  pipeline --now 2026-10-01T00:00:00Z check --json")]
    Check,
    /// Maintain the lake: compact small files, vacuum unreferenced ones
    Lake(commands::lake::LakeArgs),
    /// Audit the lake for personal data, or erase a person from it
    Privacy(commands::privacy::PrivacyArgs),
    /// Query the lake in SQL
    Sql(commands::sql::SqlArgs),
    /// Print the trace of a pull request as JSON, or export all traces
    Trace(commands::trace::TraceArgs),
    /// Train models and compare them with naive baselines on held-out time
    Train(commands::train::TrainArgs),
    /// Evaluate the stored models and their baselines on later data
    Evaluate(commands::evaluate::EvaluateArgs),
    /// Predict the duration and demand of open pull requests and expected runs
    Predict(commands::predict::PredictArgs),
    /// Explain a prediction or a plan item, from evidence to outcome
    Explain(commands::explain::ExplainArgs),
    /// Replay sizing policies over past usage
    Backtest(commands::backtest::BacktestArgs),
    /// Write the shadow inventory: the predicted state of every resource
    Shadow(commands::shadow::ShadowArgs),
    /// Forecast your own series, from Parquet to Parquet, without a lake
    Forecast(commands::forecast::ForecastArgs),
    /// Find anomalies in the lake, or score your own series
    Anomalies(commands::anomalies::AnomaliesArgs),
    /// Simulate changes to the shadow inventory, and compare the result with the present one
    WhatIf(commands::what_if::WhatIfArgs),
    /// Write a plan of adjustments and print it as a diff
    Plan(commands::plan::PlanArgs),
    /// Approve a plan, or some of its items
    Approve(commands::approve::ApproveArgs),
    /// Apply an approved plan
    Apply(commands::apply::ApplyArgs),
    /// Verify whether an applied plan helped: better, worse, the same, or too early
    Verify(commands::verify::VerifyArgs),
    /// Restore the state from before a plan, byte for byte
    Rollback(commands::rollback::RollbackArgs),
    /// Judge a candidate against its control: pass, fail, or inconclusive
    Judge(commands::judge::JudgeArgs),
    /// Check, deploy and route versions of a whole stack, and restore them together
    Stack(commands::stack::StackArgs),
    /// Print the ledger of all plans, or verify its integrity
    Log(commands::log::LogArgs),
    /// Rate the outcome of a plan item: a label for the next training
    Feedback(commands::feedback::FeedbackArgs),
    /// Compare labels from feedback with measured labels
    Labels(commands::labels::LabelsArgs),
    /// Write a self-contained report page: plan, use, bottlenecks, models
    Report(commands::report::ReportArgs),
    /// Export figures for other programs: Prometheus
    Export(commands::export::ExportArgs),
    /// Run a job: a sequence of the commands above, with a run record
    Run(commands::run::RunArgs),
    /// Write a first job for this folder, without asking questions
    Init(commands::init::InitArgs),
    /// Check which features work on this machine, and print how to fix the others
    Doctor(commands::doctor::DoctorArgs),
    /// Print shell completions
    Completions(commands::completions::CompletionsArgs),
    /// Print the manual page, or write the manual pages of all commands
    Man(commands::completions::ManArgs),
    /// Print the JSON Schema of an artifact
    Schema(commands::schema::SchemaArgs),
}
