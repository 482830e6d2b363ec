//! What Delta is told about a new file.

use deltalake_core::kernel::Add;
use domain::Timestamp;
use intake::{REPO, Rows};
use serde_json::json;
use std::collections::HashMap;

/// A file with the rows of a day, written in the given order.
pub(super) fn add(path: String, size: usize, day: i32, rows: &Rows, order: &[u32]) -> Add {
    // Milliseconds are all that statistics hold: the last one is rounded up, so that no reader skips what is in it.
    let time = |ts: Option<i64>| ts.map(|ts| Timestamp(ts).millis());
    let mut least = serde_json::Map::new();
    let mut most = serde_json::Map::new();
    if let (Some(first), Some(last)) = (time(rows.times().min()), time(rows.times().max().map(|ts| ts + 999))) {
        least.insert("ts".into(), first.into());
        most.insert("ts".into(), last.into());
    }
    // By repository first: at one end stands the least, at the other the greatest.
    if let Some(first) = rows.first_text(REPO, order.iter().copied())
        && let Some(last) = rows.first_text(REPO, order.iter().rev().copied())
        && first.len().max(last.len()) <= 128
    {
        least.insert("repo".into(), first.into());
        most.insert("repo".into(), last.into());
    }
    let stats = json!({"numRecords": rows.len(), "minValues": least, "maxValues": most, "nullCount": {}});
    let partition = HashMap::from([("event_date".to_owned(), Some(date(day)))]);
    new_add(path, size, partition, stats)
}

/// A file that is new in a table.
pub(super) fn new_add(
    path: String,
    size: usize,
    partition_values: HashMap<String, Option<String>>,
    stats: serde_json::Value,
) -> Add {
    Add {
        path,
        size: size as i64,
        partition_values,
        modification_time: chrono::Utc::now().timestamp_millis(),
        data_change: true,
        stats: Some(stats.to_string()),
        tags: None,
        deletion_vector: None,
        base_row_id: None,
        default_row_commit_version: None,
        clustering_provider: None,
    }
}

/// A day as it names its partition.
pub(super) fn date(day: i32) -> String {
    Timestamp(i64::from(day) * domain::time::DAY).date()
}
