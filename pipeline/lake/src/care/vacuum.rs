//! `lake vacuum`: what no version younger than `keep` needs, and what killed writers left, goes.
//!
//! Which files young versions need is read from the commits themselves: checkpoints forget removed files after a week.
//! The time of a commit or a file is the store's, as for Delta's time travel; `--now` has no say in what is deleted.

use crate::delta::table::{self, TableName};
use crate::delta::writers::{self, Writing};
use crate::error::LakeError;
use crate::lake::Lake;
use crate::model;
use chrono::{DateTime, TimeDelta, Utc};
use deltalake_core::kernel::Action;
use deltalake_core::protocol::checkpoints::cleanup_expired_logs_for;
use object_store::{ObjectMeta, path::Path};
use serde::Serialize;
use std::collections::{BTreeSet, HashSet};

/// Below this, a vacuum wants the lake for itself: who has just begun to read or write may need what is deleted.
const SAFE_MINUTES: i64 = 60;

/// Commits from which on the log is cut behind a checkpoint.
const LONG_LOG: usize = 1000;

/// How far the clocks of two machines may differ.
const SKEW_MINUTES: i64 = 15;

/// What a vacuum did, or would do, to one table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Vacuumed {
    /// `schema.table`.
    pub table: String,
    /// Data files in its folder.
    pub files_before: usize,
    /// Data files left in its folder.
    pub files_after: usize,
    /// Their size.
    pub bytes_before: u64,
    /// Their size.
    pub bytes_after: u64,
    /// Leftovers of killed writers that are no data files.
    pub leftovers: usize,
    /// Entries of the log that others stand for: old commits, or with a span of 0 checkpoints.
    pub log_entries: usize,
    /// With a dry run: the files that would go, below the lake.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deletable: Vec<String>,
}

/// What a vacuum did, or would do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VacuumReport {
    /// Nothing was deleted.
    pub dry_run: bool,
    /// What was in use at this time or later is kept; none: what is in use now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept_since: Option<String>,
    /// Each table.
    pub tables: Vec<Vacuumed>,
}

impl Lake {
    /// Deletes what no version of the last `keep` microseconds needs. Less than an hour is refused while others write.
    pub async fn vacuum(
        &self,
        keep: i64,
        dry_run: bool,
        progress: &mut dyn FnMut(&str),
    ) -> Result<VacuumReport, LakeError> {
        let alone = keep < TimeDelta::minutes(SAFE_MINUTES).num_microseconds().unwrap_or(i64::MAX);
        let writing = match (dry_run, alone) {
            (true, _) => None,
            (false, true) => Some(Writing::alone(&self.store, "lake vacuum").await?),
            (false, false) => Some(Writing::begin(&self.store, "lake vacuum").await?),
        };
        let mut since = match keep {
            0 => DateTime::<Utc>::MAX_UTC,
            keep => Utc::now() - TimeDelta::microseconds(keep),
        };
        // What a long-running writer has read, and has written but not committed, is as old as the writer.
        for other in writers::others(&self.store, writing.as_ref()).await? {
            since = since.min(other.started_at - TimeDelta::minutes(SKEW_MINUTES));
        }
        let mut tables = Vec::new();
        for name in self.folders().await? {
            progress(&name.to_string());
            tables.push(self.vacuum_table(&name, since, dry_run).await?);
        }
        let kept_since = (keep > 0).then(|| since.format("%Y-%m-%dT%H:%M:%SZ").to_string());
        Ok(VacuumReport { dry_run, kept_since, tables })
    }

    /// Every table, also one whose first writer was killed before it committed.
    async fn folders(&self) -> Result<BTreeSet<TableName>, LakeError> {
        let mut names: BTreeSet<TableName> = self.tables().await?.into_iter().collect();
        let made = ["traces", "marts", "predictions", "plans", "stack"].into_iter().flat_map(model::files);
        names.extend(made.map(|file| file.name));
        for (schema, table) in [("staging", "events"), ("staging", "rejects"), ("plans", "items")] {
            names.insert(TableName { schema: schema.into(), table: table.into() });
        }
        Ok(names)
    }

    async fn vacuum_table(&self, name: &TableName, since: DateTime<Utc>, dry_run: bool) -> Result<Vacuumed, LakeError> {
        let folder = format!("{}/{}", name.schema, name.table);
        // The folder first and the log second: what is committed in between is not in the list.
        let files = self.store.entries(&folder).await?;
        let needed = self.needed(name, &folder, since).await?;
        let root = self.store.path(&folder);
        let (mut before, mut deletable, mut leftovers) = ((0, 0), Vec::new(), Vec::new());
        for file in files {
            let is_old = file.last_modified < since;
            match kind(&root, &file) {
                Kind::Data => {
                    before = (before.0 + 1, before.1 + file.size);
                    if is_old && !needed.contains(&file.location) {
                        deletable.push(file);
                    }
                }
                Kind::Draft if is_old => leftovers.push(file.location),
                _ => {}
            }
        }
        let drafts = self.store.local_drafts(&folder, since);
        let gone: u64 = deletable.iter().map(|file| file.size).sum();
        let mut report = Vacuumed {
            table: name.to_string(),
            files_before: before.0,
            files_after: before.0 - deletable.len(),
            bytes_before: before.1,
            bytes_after: before.1 - gone,
            leftovers: leftovers.len() + drafts.len(),
            log_entries: 0,
            deletable: Vec::new(),
        };
        let paths: Vec<Path> = deletable.into_iter().map(|file| file.location).chain(leftovers).collect();
        if dry_run {
            let local = self.store.url.to_file_path().unwrap_or_default();
            report.deletable = paths.iter().filter_map(|path| self.store.below("", path)).collect();
            let drafts = drafts.iter().map(|draft| draft.strip_prefix(&local).unwrap_or(draft).display().to_string());
            report.deletable.extend(drafts);
            return Ok(report);
        }
        self.store.delete_all(paths, &folder).await?;
        for draft in drafts {
            let _ = std::fs::remove_file(draft); // finished or gone meanwhile
        }
        report.log_entries = self.clean_log(name, since).await?;
        self.store.forget(name);
        Ok(report)
    }

    /// The files of the current version, and those that it lost at `since` or later.
    async fn needed(&self, name: &TableName, folder: &str, since: DateTime<Utc>) -> Result<HashSet<Path>, LakeError> {
        let mut needed = HashSet::new();
        let place = |path: &str| self.store.path(&format!("{folder}/{path}"));
        let Some(table) = table::open(&self.store, name).await? else { return Ok(needed) };
        let snapshot = table.snapshot().map_err(LakeError::table("read", name.to_string()))?;
        needed.extend(snapshot.log_data().iter().map(|file| place(&file.path())));
        let log = self.store.entries(&format!("{folder}/_delta_log")).await?;
        let is_commit = |file: &&ObjectMeta| file.location.extension() == Some("json") && file.last_modified >= since;
        for commit in log.iter().filter(is_commit) {
            let path = format!("{folder}/_delta_log/{}", commit.location.filename().unwrap_or_default());
            let Some(bytes) = self.store.get(&path).await? else { continue };
            for action in serde_json::Deserializer::from_slice(&bytes).into_iter::<Action>() {
                let action = action.map_err(|source| LakeError::Damaged { path: path.clone(), source })?;
                match action {
                    // Also the added ones: a commit may be newer than the version read above.
                    Action::Add(add) => drop(needed.insert(place(&add.path))),
                    Action::Remove(remove) => drop(needed.insert(place(&remove.path))),
                    _ => {}
                }
            }
        }
        Ok(needed)
    }

    /// Removes commits and checkpoints that a later checkpoint, itself old enough, stands for. Short logs stay whole:
    /// they cost nothing behind a checkpoint, and a whole log needs none.
    async fn clean_log(&self, name: &TableName, since: DateTime<Utc>) -> Result<usize, LakeError> {
        let Some(table) = table::open(&self.store, name).await? else { return Ok(0) };
        let Some(version) = table.version() else { return Ok(0) };
        let log = format!("{}/{}/_delta_log", name.schema, name.table);
        let entries = self.store.names(&log).await?;
        let commits = entries.iter().filter(|entry| entry.len() == 25 && entry.ends_with(".json")).count();
        if since == DateTime::<Utc>::MAX_UTC && commits as u64 == version + 1 {
            return self.drop_checkpoints(&log, entries).await;
        }
        if commits < LONG_LOG {
            return Ok(0);
        }
        let cutoff = since.min(Utc::now()).timestamp_millis();
        cleanup_expired_logs_for(version, table.log_store().as_ref(), cutoff, None)
            .await
            .map_err(LakeError::table("clean the log of", name.to_string()))
    }
}

impl Lake {
    /// Where every commit is there, checkpoints only save time; and who reads `**/*.parquet` would take them for data.
    async fn drop_checkpoints(&self, log: &str, entries: Vec<String>) -> Result<usize, LakeError> {
        let checkpoints: Vec<String> = entries.into_iter().filter(|entry| entry.contains(".checkpoint")).collect();
        if !checkpoints.is_empty() {
            // What points to them goes first.
            self.store.delete(&format!("{log}/_last_checkpoint")).await?;
        }
        for entry in &checkpoints {
            self.store.delete(&format!("{log}/{entry}")).await?;
        }
        Ok(checkpoints.len())
    }
}

enum Kind {
    Data,
    /// A log entry that was being written.
    Draft,
    /// Everything else, which is not ours to delete.
    Other,
}

fn kind(root: &Path, file: &ObjectMeta) -> Kind {
    let Some(parts) = file.location.prefix_match(root) else { return Kind::Other };
    let parts: Vec<String> = parts.map(|part| part.as_ref().to_owned()).collect();
    let name = parts.last().map(String::as_str).unwrap_or_default();
    match parts.first().map(String::as_str) {
        Some("_delta_log") if name.ends_with(".tmp") => Kind::Draft,
        Some(first) if first.starts_with('_') || first.starts_with('.') => Kind::Other,
        _ if name.ends_with(".parquet") => Kind::Data,
        _ => Kind::Other,
    }
}
