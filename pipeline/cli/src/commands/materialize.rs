//! `materialize`: the SQL tables, up to date.

use crate::context::{Answer, Context};
use crate::failure::Failure;
use clap::Args;
use serde_json::json;

/// The arguments of `materialize`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pipeline materialize
  pipeline materialize marts.runs --explain")]
pub struct MaterializeArgs {
    /// Update only these tables and their inputs, such as marts.runs
    #[arg(value_name = "TABLE")]
    select: Vec<String>,
    /// Rebuild all tables, even if they are up to date
    #[arg(long)]
    full_refresh: bool,
    /// Dry run: print which tables would be rebuilt, and why
    #[arg(long)]
    explain: bool,
}

/// Rebuilds what has changed.
pub async fn run(context: &Context, args: MaterializeArgs) -> Result<Answer, Failure> {
    let lake = context.lake().await?;
    let mut task = context.progress.task("materialize");
    let built = lake
        .materialize(context.now, &args.select, args.full_refresh, args.explain, &mut |table| task.at(table))
        .await?;
    drop(task);
    for table in &built {
        let what = match (table.rebuilt, table.rows) {
            (true, Some(rows)) => format!("{rows} rows ({})", table.why),
            (true, None) => format!("would be rebuilt: {}", table.why),
            (false, _) => table.why.clone(),
        };
        context.say(format!("{:<20} {what}", table.table));
    }
    let rebuilt = built.iter().filter(|table| table.rebuilt).count();
    let brief = format!("{rebuilt} of {} tables brought up to date", built.len());
    Ok(Answer::done(json!({"tables": built})).brief(brief))
}
