//! `lake`: its care. `compact` makes few large files of many small ones, `vacuum` deletes what nobody needs any more.

use crate::context::{Answer, Context};
use crate::failure::{Exit, Failure};
use crate::values::span;
use clap::{Args, Subcommand};
use domain::units::format_bytes;
use serde_json::json;

/// The arguments of `lake`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pipeline lake compact
  pipeline lake vacuum --keep 30d")]
pub struct LakeArgs {
    #[command(subcommand)]
    command: LakeCommand,
}

#[derive(Debug, Subcommand)]
enum LakeCommand {
    /// Merge small files into large, sorted files; no row changes
    #[command(after_help = "\
Safe to run concurrently with other writers, and to interrupt at any time: a
table changes by whole commits, and a commit that loses a race is retried.
Tables derived from a compacted table stay up to date. Readers can use the old
files until `lake vacuum`. A second run finds nothing to do.

Examples:
  pipeline lake compact
  pipeline lake compact staging.events marts.usage")]
    Compact {
        /// Compact only these tables, such as staging.events
        #[arg(value_name = "TABLE")]
        tables: Vec<String>,
    },
    /// Delete files that no recent version needs, and the leftovers of killed writers
    #[command(after_help = "\
Files in use within --keep are kept, for running queries and for reading older
versions. With --keep below an hour, the vacuum is refused (exit 4) while
another process writes, and new writers wait until the vacuum ends. After `lake
compact` and `lake vacuum --keep 0s`, the *.parquet files in a table's folder
contain exactly the rows of the table. The age of a file is measured by the
system clock, not by --now.

Examples:
  pipeline lake vacuum --dry-run
  pipeline lake vacuum --keep 30d")]
    Vacuum {
        /// Keep files that were in use within this time
        #[arg(long, default_value = "7d", value_name = "SPAN")]
        #[arg(value_parser = span(0..=i64::MAX, "write a span such as 7d, 12h or 0s"))]
        keep: i64,
        /// Only list the files that would be deleted
        #[arg(long)]
        dry_run: bool,
    },
}

/// Does what was asked.
pub async fn run(context: &Context, args: LakeArgs) -> Result<Answer, Failure> {
    match args.command {
        LakeCommand::Compact { tables } => compact(context, &tables).await,
        LakeCommand::Vacuum { keep, dry_run } => vacuum(context, keep, dry_run).await,
    }
}

async fn compact(context: &Context, select: &[String]) -> Result<Answer, Failure> {
    let lake = context.lake().await?;
    let mut task = context.progress.task("lake compact");
    let tables = lake.compact(select, &mut |table| task.at(table)).await?;
    drop(task);
    for table in &tables {
        let size = |bytes: i64| format_bytes(bytes as f64);
        let what = if table.files_rewritten == 0 {
            format!("nothing to do: {} files, {}", table.files_after, size(table.bytes_after))
        } else {
            let (before, after) = (size(table.bytes_before), size(table.bytes_after));
            format!("{} files, {before} → {} files, {after}", table.files_before, table.files_after)
        };
        context.say(format!("{:<28} {what}", table.table));
    }
    let files = tables.iter().fold((0, 0), |(before, after), t| (before + t.files_before, after + t.files_after));
    let brief = format!("{} files merged into {}", files.0, files.1);
    Ok(Answer::done(json!({"tables": tables})).brief(brief))
}

fn counted(files: usize) -> String {
    if files == 1 { "one file".to_owned() } else { format!("{files} files") }
}

async fn vacuum(context: &Context, keep: i64, dry_run: bool) -> Result<Answer, Failure> {
    let lake = context.lake().await?;
    let mut task = context.progress.task("lake vacuum");
    let report = lake.vacuum(keep, dry_run, &mut |table| task.at(table)).await?;
    drop(task);
    let (mut files, mut bytes) = (0, 0);
    for table in &report.tables {
        let gone = table.files_before - table.files_after + table.leftovers;
        files += gone;
        bytes += table.bytes_before - table.bytes_after;
        if gone + table.log_entries > 0 {
            let size = format_bytes((table.bytes_before - table.bytes_after) as f64);
            let log = match table.log_entries {
                0 => String::new(),
                entries => format!(", {entries} log entries"),
            };
            context.say(format!("{:<28} {}, {size}{log}", table.table, counted(gone)));
        }
        table.deletable.iter().for_each(|path| context.say(format!("  {path}")));
    }
    let doing = if dry_run { "would be deleted" } else { "deleted" };
    context.say(format!("{}, {} {doing}", counted(files), format_bytes(bytes as f64)));
    let json = serde_json::to_value(&report).map_err(|e| Failure::new(Exit::Failed, e.to_string()))?;
    Ok(Answer::done(json).brief(format!("{}, {} {doing}", counted(files), format_bytes(bytes as f64))))
}
