//! `trace`: one pull request as JSON, or all of them as files.

use crate::context::{Answer, Context, emit};
use crate::failure::{Exit, Failure};
use clap::Args;
use serde_json::json;
use std::fs;
use std::path::PathBuf;

/// What `trace` takes.
#[derive(Debug, Args)]
pub struct TraceArgs {
    /// owner/name#number, or `export`
    #[arg(value_name = "PR")]
    pr: String,
    /// With `export`: the folder for one JSON file per pull request
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
            let text = serde_json::to_string_pretty(&trace).map_err(|e| Failure::new(Exit::Failed, e.to_string()))?;
            emit(&text);
        }
        return Ok(Answer::done(trace));
    }
    let session = lake.session(context.now).await?;
    fs::create_dir_all(&args.to).map_err(|error| Failure::file("make", &args.to, &error))?;
    let mut task = context.progress.task("export");
    let traced = session.traced().await?;
    for (n, pr_id) in traced.iter().enumerate() {
        let trace = session.trace(pr_id).await?;
        let path = args.to.join(format!("{}.json", file_name(pr_id)));
        fs::write(&path, format!("{trace:#}\n")).map_err(|error| Failure::file("write", &path, &error))?;
        task.at(&format!("{} of {}", n + 1, traced.len()));
    }
    drop(task);
    context.say(format!("{} traces written to {}", traced.len(), args.to.display()));
    Ok(Answer::done(json!({"traces": traced.len(), "folder": args.to})))
}
