//! `stack snapshot`: what every target of a stack holds now, kept under one digest. `stack deploy --snapshot` makes the plan that
//! puts all of it back.

use super::declared;
use super::kept::{self, Snapshot, keep_snapshot, keep_text};
use super::route::map_of;
use super::seen::look;
use crate::context::{Answer, Context};
use crate::failure::{Exit, Failure};
use clap::Args;
use domain::units::counted;
use serde_json::json;
use stack::Target;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

/// The arguments of `stack snapshot`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pipeline stack snapshot")]
pub struct SnapshotArgs {
    /// The stack
    #[arg(long, value_name = "FILE", default_value = "stack.toml")]
    stack: PathBuf,
}

/// Takes it. The same state twice is one snapshot.
pub async fn run(context: &Context, args: SnapshotArgs) -> Result<Answer, Failure> {
    let declared = declared::read(&args.stack)?;
    let (lake, _) = context.lake_with_key().await?;
    let seen = look(&declared, declared.manifest.components.iter().map(|component| (component, None)))?;
    let mut targets: Vec<(String, PathBuf, u32, String)> = seen
        .targets
        .iter()
        .map(|it| (it.name(), PathBuf::from(&it.planned.location), it.target.mode(), it.live.digest.clone()))
        .collect();
    if declared.manifest.route.is_some() {
        let map = map_of(&declared)?;
        let live = tokio::task::block_in_place(|| map.read())?;
        let reference = map.reference();
        let file = reference.location.split('#').next().unwrap_or_default().to_owned();
        targets.push((format!("{} {}", reference.kind, reference.location), file.into(), map.mode(), live.digest));
    }
    let mut texts = BTreeMap::new();
    for (name, path, mode, digest) in targets {
        let text = fs::read_to_string(&path).map_err(|error| Failure::file("read", &path, &error))?;
        if kept::digest(&text) != digest {
            return Err(Failure::new(Exit::Failed, format!("{} changed while it was read", path.display()))
                .hint("take the snapshot again"));
        }
        texts.insert(name, keep_text(&lake, &text, mode)?);
    }
    let snapshot = Snapshot { format_version: 1, texts };
    let digest = keep_snapshot(&lake, &snapshot).await?;
    context.say(&digest);
    snapshot.texts.keys().for_each(|target| context.say_wrapped("    ", target, 4));
    context.say(format!("restore: pipeline stack deploy --snapshot {digest} -o plan.json"));
    let brief = format!("{digest}, {}", counted(snapshot.texts.len(), "target"));
    Ok(Answer::done(json!({"digest": digest, "targets": snapshot.texts})).brief(brief))
}
