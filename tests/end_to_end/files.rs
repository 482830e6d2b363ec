//! The files of a lake on a folder, as another engine finds them: what the Delta log names, and what nothing names.

use crate::program::Place;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Every file below a folder; none when it is not there.
pub fn below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    files
}

/// The Parquet files of a table's newest version, with the rows its log says they hold.
pub fn named_by_log(table: &Path) -> BTreeMap<PathBuf, u64> {
    let mut named = BTreeMap::new();
    for log in below(&table.join("_delta_log")).iter().filter(|path| path.extension().is_some_and(|e| e == "json")) {
        for line in std::fs::read_to_string(log).unwrap().lines() {
            let action: Value = serde_json::from_str(line).unwrap();
            let file = |action: &Value| table.join(action["path"].as_str().unwrap());
            if let Some(add) = action.get("add") {
                let statistics: Value = serde_json::from_str(add["stats"].as_str().unwrap()).unwrap();
                named.insert(file(add), statistics["numRecords"].as_u64().unwrap());
            } else if let Some(remove) = action.get("remove") {
                named.remove(&file(remove));
            }
        }
    }
    named
}

/// How many rows a table's log says it holds.
pub fn rows(table: &Path) -> u64 {
    named_by_log(table).values().sum()
}

/// Files of a lake that are neither its documents, nor a log, nor Parquet: what a killed writer had in its hands.
pub fn unfinished(lake: &Path) -> Vec<PathBuf> {
    let finished = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let whole = [".json", ".parquet", "_last_checkpoint"].iter().any(|ending| name.ends_with(ending));
        whole && !name.starts_with('.') && !name.contains(['#', '~'])
    };
    below(lake).into_iter().filter(|path| !finished(path)).collect()
}

/// Parquet files of a table that its log does not name.
pub fn orphans(table: &Path) -> Vec<PathBuf> {
    let named: BTreeSet<PathBuf> = named_by_log(table).into_keys().collect();
    let log = table.join("_delta_log");
    below(table).into_iter().filter(|path| !path.starts_with(&log) && !named.contains(path)).collect()
}

/// The bytes of a table's files, in an order that does not depend on their names.
fn contents(table: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let files = named_by_log(table).into_keys();
    let folder = |path: &PathBuf| path.parent().unwrap().strip_prefix(table).unwrap().to_owned();
    let mut contents: Vec<_> = files.map(|path| (folder(&path), std::fs::read(&path).unwrap())).collect();
    contents.sort();
    contents
}

/// Whether two places hold the same events and rejects: the same bytes, or else the same rows.
pub fn same_staging(one: &Place, other: &Place) -> bool {
    let bytes = |place: &Place| ["events", "rejects"].map(|name| contents(&place.path("lake/staging").join(name)));
    bytes(one) == bytes(other) || one.staging() == other.staging()
}
