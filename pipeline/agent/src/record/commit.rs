//! The last commit as an event, for a git hook. Who made it is left out.

use super::RecordSpec;
use crate::{AgentError, checkout};
use domain::Timestamp;
use serde_json::{Map, Value, json};
use std::path::Path;

/// One `commit` event of HEAD.
///
/// # Errors
/// The current folder is in no repository, or in one without a commit.
pub fn commit_event(spec: &RecordSpec) -> Result<Value, AgentError> {
    commit_of(&std::env::current_dir().map_err(|_| AgentError::NoCommit)?, spec)
}

/// [`commit_event`] of a folder.
pub(crate) fn commit_of(folder: &Path, spec: &RecordSpec) -> Result<Value, AgentError> {
    let found = checkout::detect(folder);
    let git = |args: &[&str]| checkout::git(folder, args).ok_or(AgentError::NoCommit);
    let text = git(&["show", "--no-patch", "--no-show-signature", "--format=%H%n%ct%n%B", "HEAD"])?;
    let mut lines = text.splitn(3, '\n');
    let (Some(sha), Some(seconds)) = (lines.next(), lines.next().and_then(|line| line.parse::<i64>().ok())) else {
        return Err(AgentError::NoCommit);
    };
    let message = lines.next().unwrap_or_default().trim();
    // Of a merge: what it changed on the branch it was merged into. An empty commit has no lines.
    let changed = git(&[
        "diff-tree",
        "--root",
        "--no-commit-id",
        "-r",
        "-m",
        "--first-parent",
        "--no-ext-diff",
        "--no-textconv",
        "--numstat",
        "-z",
        "HEAD",
    ]);
    let (mut files, mut insertions, mut deletions) = (Vec::new(), 0, 0);
    for line in changed.unwrap_or_default().split('\0') {
        let parts: Vec<&str> = line.splitn(3, '\t').collect();
        if let [more, less, path] = parts[..] {
            insertions += more.trim().parse::<u64>().unwrap_or(0);
            deletions += less.parse::<u64>().unwrap_or(0);
            files.push(path.to_owned());
        }
    }
    let payload = json!({
        "sha": sha, "message": message, "files_changed": files.len(), "insertions": insertions,
        "deletions": deletions, "files": files,
    });
    let mut event: Map<String, Value> = super::outer(&found, spec);
    event.insert("ts".into(), Timestamp(seconds.saturating_mul(1_000_000)).to_string().into());
    event.insert("type".into(), "commit".into());
    event.insert("payload".into(), payload);
    Ok(event.into())
}
