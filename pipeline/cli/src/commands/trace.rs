//! `trace`: one pull request as JSON, or all of them as files.

use crate::commands::sql::output::{Sink, outside_the_lake};
use crate::context::{Answer, Context, emit_json};
use crate::failure::Failure;
use clap::Args;
use serde_json::json;
use std::fs;
use std::io::Write;
use std::path::PathBuf;

/// The arguments of `trace`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pipeline trace acme/api#123
  pipeline trace export --to traces")]
pub struct TraceArgs {
    /// owner/name#number, or `export`
    #[arg(value_name = "PR")]
    pr: String,
    /// With `export`, the folder for one JSON file per pull request
    #[arg(long, value_name = "FOLDER", default_value = "traces")]
    to: PathBuf,
}

/// A pull request as a file name: what no file system minds, the rest as `%XX`.
fn file_name(pr_id: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    let name: String = pr_id
        .bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect();
    name.chars().take(200).collect()
}

/// Prints one trace, or writes all.
pub async fn run(context: &Context, args: TraceArgs) -> Result<Answer, Failure> {
    let lake = context.lake().await?;
    if args.pr != "export" {
        let trace = lake.trace(&args.pr, context.now).await?;
        if !context.global.json {
            emit_json(&trace, true);
        }
        return Ok(Answer::done(trace));
    }
    let session = lake.session(context.now).await?;
    fs::create_dir_all(&args.to).map_err(|error| Failure::file("make", &args.to, &error))?;
    outside_the_lake(context, &args.to)?;
    let mut task = context.progress.task("export");
    let traced = session.traced().await?;
    for (n, pr_id) in traced.iter().enumerate() {
        let trace = session.trace(pr_id).await?;
        let name = format!("{}.json", file_name(pr_id));
        let mut sink = Sink::within(&args.to, &name)?;
        writeln!(sink, "{trace:#}").map_err(|error| Failure::file("write", &args.to.join(&name), &error))?;
        sink.finish()?;
        task.at(&format!("{} of {}", n + 1, traced.len()));
    }
    drop(task);
    context.say(format!("{} traces written to {}", traced.len(), args.to.display()));
    Ok(Answer::done(json!({"traces": traced.len(), "folder": args.to})))
}
