//! What the lake keeps of a stack: version groups and snapshots under their digests, and texts under their hashes. Nothing of it
//! is ever changed; what is no longer what its name says is refused.

use crate::failure::{Exit, Failure};
use crate::targets::kept_closely;
use domain::identity::written;
use domain::ledger::sha256_hex;
use lake::{Lake, LakeError};
use serde::{Deserialize, Serialize};
use stack::versions::Group;
use std::collections::BTreeMap;

/// The whole texts of targets, as they were.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Snapshot {
    /// 1.
    pub format_version: u32,
    /// Kind and place of a target → `sha256:` and the hash of its text.
    pub texts: BTreeMap<String, String>,
}

impl Snapshot {
    /// Its name for ever.
    pub fn digest(&self) -> String {
        digest(&serde_json::to_value(self).map(|value| written(&value)).unwrap_or_default())
    }
}

/// `sha256:` and 64 hex digits.
pub fn digest(text: &str) -> String {
    format!("sha256:{}", sha256_hex(text.as_bytes()))
}

/// Keeps a group; one that is there already is proven to be the same.
pub async fn keep_group(lake: &Lake, group: &Group) -> Result<String, Failure> {
    let name = group.digest();
    match lake.create_document(&path("groups", &name), group).await {
        Ok(()) => {}
        Err(LakeError::Exists(_)) => drop(self::group(lake, &name).await?),
        Err(error) => return Err(error.into()),
    }
    Ok(name)
}

/// The group of that digest.
pub async fn group(lake: &Lake, name: &str) -> Result<Group, Failure> {
    let path = path("groups", name);
    let found = lake.document::<Group>(&path).await;
    // A file that cannot be read as a group any more was altered too.
    let found = found.map_err(|error| match error {
        LakeError::Damaged { .. } => altered(lake, &path),
        error => error.into(),
    })?;
    let group = found.ok_or_else(|| {
        Failure::new(Exit::Failed, format!("the lake has no version group {name}"))
            .hint("`pipeline stack group` keeps the groups of stack.toml, and prints their digests")
    })?;
    if group.digest() == name { Ok(group) } else { Err(altered(lake, &path)) }
}

/// Keeps a snapshot.
pub async fn keep_snapshot(lake: &Lake, snapshot: &Snapshot) -> Result<String, Failure> {
    let name = snapshot.digest();
    lake.write_document(&path("snapshots", &name), snapshot).await?;
    Ok(name)
}

/// The snapshot of that digest.
pub async fn snapshot(lake: &Lake, name: &str) -> Result<Snapshot, Failure> {
    let path = path("snapshots", name);
    let found: Option<Snapshot> = lake.document(&path).await?;
    let snapshot = found.ok_or_else(|| {
        Failure::new(Exit::Failed, format!("the lake has no snapshot {name}"))
            .hint("`pipeline stack snapshot` takes one, and prints its digest")
    })?;
    if snapshot.digest() == name { Ok(snapshot) } else { Err(altered(lake, &path)) }
}

/// Keeps a text for those who may read the file that it is of.
pub fn keep_text(lake: &Lake, text: &str, mode: u32) -> Result<String, Failure> {
    let name = digest(text);
    let kept = kept_closely(lake, &path("texts", &name), &text, mode);
    kept.map_err(|error| Failure::new(Exit::Failed, format!("cannot keep the text {name}: {error}")))?;
    Ok(name)
}

/// The text of that hash.
pub async fn text(lake: &Lake, name: &str) -> Result<String, Failure> {
    let path = path("texts", name);
    let found: Option<String> = lake.document(&path).await?;
    let text = found.ok_or_else(|| {
        Failure::new(Exit::Refused, format!("the lake has lost the text {name}")).hint("make a new plan")
    })?;
    if digest(&text) == name { Ok(text) } else { Err(altered(lake, &path)) }
}

/// Whether a text is a digest as [`digest`] makes it.
pub fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:").is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit()))
}

fn path(folder: &str, name: &str) -> String {
    format!("stack/{folder}/{}.json", name.strip_prefix("sha256:").unwrap_or(name))
}

fn altered(lake: &Lake, path: &str) -> Failure {
    Failure::new(Exit::Refused, format!("{}/{path} was altered: it is not what its name says", lake.location()))
        .hint("restore it from a backup, or delete it and keep the group anew with `pipeline stack group`")
}
