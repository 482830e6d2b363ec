//! Makes old versions of a table unreadable: their files go, and the log forgets what it said about them.
//!
//! Delta's log keeps the smallest and largest text of each file, which may be a person. Commits are cleaned in place,
//! so that every version number stays and readers beside us are not disturbed. Only where old commits are gone already
//! does a new checkpoint stand for them.

use super::scan;
use crate::delta::table::{self, TableName};
use crate::error::LakeError;
use crate::lake::Lake;
use deltalake_core::Path;
use deltalake_core::protocol::checkpoints::create_checkpoint;
use domain::privacy::ERASED;
use object_store::PutMode;
use serde_json::{Value, json};
use std::collections::HashSet;

/// A file in no version may be about to enter one. Nobody writes for so long before committing.
const YOUNG_MINUTES: i64 = 15;

/// What was purged.
#[derive(Default)]
pub(super) struct Purged {
    pub(super) files: u64,
    pub(super) log_entries: u64,
    pub(super) left: u64,
}

impl Lake {
    /// Deletes the files of old versions and cleans the log of the hash.
    pub(super) async fn purge(&self, name: &TableName, hash: &str) -> Result<Purged, LakeError> {
        let mut purged = Purged::default();
        let folder = format!("{}/{}", name.schema, name.table);
        let log = format!("{folder}/_delta_log");
        // The folder first, the table second: what is committed in between is not in the list.
        let files = self.store.entries(&folder).await?;
        let Some(table) = table::open(&self.store, name).await? else { return Ok(purged) };
        let live: HashSet<String> = scan::live(name, &table)?.into_iter().map(|file| file.path).collect();
        let live: HashSet<_> = live.iter().map(|path| self.store.path(&format!("{folder}/{path}"))).collect();

        let current = table::version(&table);
        let entries = self.store.names(&log).await?;
        let commits: Vec<(i64, &String)> =
            entries.iter().filter_map(|entry| Some((entry.strip_suffix(".json")?.parse().ok()?, entry))).collect();
        let whole = (0..=current).all(|version| commits.iter().any(|(commit, _)| *commit == version));
        if !whole {
            create_checkpoint(&table, None).await.map_err(LakeError::table("check-point", name.to_string()))?;
        }
        let mut named = HashSet::new();
        for (version, entry) in &commits {
            let path = format!("{log}/{entry}");
            let Some(bytes) = self.store.get(&path).await? else { continue };
            let text = String::from_utf8_lossy(&bytes);
            named.extend(paths(&text).iter().map(|path| self.store.path(&format!("{folder}/{path}"))));
            if !whole && *version < current {
                self.store.delete(&path).await?;
                purged.log_entries += 1;
            } else if text.contains(hash) {
                self.store.put(&path, cleaned(&text, hash).into_bytes(), PutMode::Overwrite).await?;
                purged.log_entries += 1;
            }
        }
        purged.log_entries += self.purge_checkpoints(&log, &entries, whole, current).await?;
        self.store.forget(name);

        let now = chrono::Utc::now();
        for file in files {
            let is_data = file.location.filename().is_some_and(|name| name.ends_with(".parquet"))
                && !file.location.as_ref().contains("/_delta_log/");
            if !is_data || live.contains(&file.location) {
                continue;
            }
            let is_young = now.signed_duration_since(file.last_modified).num_minutes() < YOUNG_MINUTES;
            if is_young && !named.contains(&file.location) {
                // Somebody may be writing it, or was killed. Without the person in it, it is no matter of ours.
                purged.left += u64::from(self.may_hold(name, &folder, &file.location, hash).await);
                continue;
            }
            let Some(below) = self.store.below("", &file.location) else { continue };
            self.store.delete(&below).await?;
            purged.files += 1;
        }
        Ok(purged)
    }

    /// Whether a file holds the hash; also when it cannot be read, as while it is being written.
    async fn may_hold(&self, name: &TableName, folder: &str, file: &Path, hash: &str) -> bool {
        let Some(path) = self.store.below(folder, file) else { return false };
        let mut found = false;
        let read = scan::batches(&self.store, name, &path, &mut |batch| {
            found |= scan::holds(&batch, hash)?.contains(&true);
            Ok(())
        })
        .await;
        found || read.is_err()
    }

    /// Checkpoints repeat what commits say. With every commit there they only save time; else the newest one is kept.
    async fn purge_checkpoints(
        &self,
        log: &str,
        entries: &[String],
        whole: bool,
        current: i64,
    ) -> Result<u64, LakeError> {
        let newest = format!("{current:020}.checkpoint");
        let old = entries.iter().filter(|e| e.contains(".checkpoint") && (whole || !e.starts_with(&newest)));
        let old: Vec<&String> = old.collect();
        if whole && !old.is_empty() {
            // What points to them goes first.
            self.store.delete(&format!("{log}/_last_checkpoint")).await?;
        }
        for entry in &old {
            self.store.delete(&format!("{log}/{entry}")).await?;
        }
        Ok(old.len() as u64)
    }
}

/// The data files that a commit names.
fn paths(commit: &str) -> Vec<String> {
    let actions = commit.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let path = |action: Value| {
        let path = action.pointer("/add/path").or_else(|| action.pointer("/remove/path"))?.as_str()?.to_owned();
        Some(path)
    };
    actions.filter_map(path).collect()
}

/// A commit without the hash: figures of files that hold it are reduced to their count of rows.
fn cleaned(commit: &str, hash: &str) -> String {
    let line = |line: &str| {
        if !line.contains(hash) {
            return format!("{line}\n");
        }
        let Ok(mut action) = serde_json::from_str::<Value>(line) else {
            return format!("{}\n", line.replace(hash, ERASED));
        };
        if let Some(stats) = action.pointer_mut("/add/stats") {
            let known = stats.as_str().and_then(|stats| serde_json::from_str::<Value>(stats).ok());
            let rows = known.map_or(Value::Null, |known| known["numRecords"].clone());
            *stats = json!({"numRecords": rows}).to_string().into();
        }
        format!("{}\n", action.to_string().replace(hash, ERASED))
    };
    commit.lines().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delta::commit::{self, Change, Mode};
    use crate::delta::data_files::Files;
    use arrow::array::{ArrayRef, RecordBatch, StringArray};
    use arrow::datatypes::{DataType, Field, Schema};
    use std::sync::Arc;

    #[test]
    fn a_commit_forgets_a_person_and_nothing_else() {
        let stats = r#"{\"numRecords\":3,\"minValues\":{\"developer\":\"u-1\"},\"maxValues\":{\"developer\":\"u-9\"}}"#;
        let other = r#"{"add":{"path":"b.parquet","stats":"{}"}}"#;
        let commit = format!("{{\"add\":{{\"path\":\"a.parquet\",\"size\":7,\"stats\":\"{stats}\"}}}}\n{other}\n");
        let clean = cleaned(&commit, "u-9");
        assert!(!clean.contains("u-9") && clean.ends_with(&format!("{other}\n")), "{clean}");
        let add: Value = serde_json::from_str(clean.lines().next().unwrap()).unwrap();
        assert_eq!((add["add"]["size"].as_i64(), add["add"]["stats"].as_str()), (Some(7), Some(r#"{"numRecords":3}"#)));
        assert_eq!(paths(&commit), ["a.parquet", "b.parquet"]);
    }

    /// A table of two commits behind a checkpoint, the first commit gone as after a clean-up.
    #[tokio::test(flavor = "multi_thread")]
    async fn where_old_commits_are_gone_a_checkpoint_stands_for_them() {
        let hash = "u-0123456789abcdef01234567";
        let folder = tempfile::tempdir().unwrap();
        let privacy = domain::privacy::Privacy::new(b"k");
        let lake = Lake::open_or_create(&folder.path().display().to_string(), &privacy).await.unwrap();
        let name = TableName { schema: "plans".into(), table: "notes".into() };
        let schema = Arc::new(Schema::new(vec![Field::new("who", DataType::Utf8, true)]));
        for who in [hash, "nobody", "somebody"] {
            let table = table::open(&lake.store, &name).await.unwrap();
            let column: ArrayRef = Arc::new(StringArray::from(vec![who]));
            let mut files = Files::new(&lake.store, &name, schema.clone(), None).unwrap();
            files.write(RecordBatch::try_new(schema.clone(), vec![column]).unwrap()).await.unwrap();
            let mut adds = files.finish().await.unwrap();
            // As logs said of texts in earlier versions.
            adds[0].stats =
                Some(json!({"numRecords": 1, "minValues": {"who": who}, "maxValues": {"who": who}}).to_string());
            let mode = if who == "nobody" { Mode::Replace } else { Mode::Append };
            let change = Change { schema: &schema, partition: None, adds, mode, origin: json!({}) };
            commit::commit(&lake.store, &name, table.as_ref(), change).await.unwrap();
            if who == hash {
                let table = table::open(&lake.store, &name).await.unwrap().unwrap();
                create_checkpoint(&table, None).await.unwrap();
            }
        }
        let log = folder.path().join("plans/notes/_delta_log");
        std::fs::remove_file(log.join("00000000000000000000.json")).unwrap();
        for round in 0..2 {
            let purged = lake.purge(&name, hash).await.unwrap();
            // The first file is named by the second commit alone, which removed it.
            assert_eq!((purged.files, purged.left), (1 - round, 0));
            let mut names = lake.store.names("plans/notes/_delta_log").await.unwrap();
            names.retain(|name| name != "_last_checkpoint");
            assert_eq!(names, ["00000000000000000002.checkpoint.parquet", "00000000000000000002.json"]);
            let rows = lake.query("select who from plans.notes order by who", domain::Timestamp(0)).await.unwrap();
            assert_eq!(rows.to_json().unwrap(), [json!({"who": "nobody"}), json!({"who": "somebody"})]);
        }
        let table = table::open(&lake.store, &name).await.unwrap().unwrap();
        scan::batches(&lake.store, &name, "_delta_log/00000000000000000002.checkpoint.parquet", &mut |batch| {
            assert!(!scan::holds(&batch, hash)?.contains(&true));
            Ok(())
        })
        .await
        .unwrap();
        assert_eq!(scan::live(&name, &table).unwrap().len(), 2);
    }
}
