//! What changed in a table between two versions, from its log.

use super::follows::Reach;
use crate::delta::some_files::{SomeFiles, located};
use crate::delta::store::Store;
use crate::delta::table::{self, TableName};
use crate::error::LakeError;
use arrow::datatypes::DataType;
use datafusion::catalog::TableProvider;
use datafusion::common::stats::Precision;
use datafusion::execution::object_store::ObjectStoreUrl;
use deltalake_core::DeltaTable;
use deltalake_core::kernel::Remove;
use domain::Timestamp;
use domain::time::DAY;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use url::Position;

/// The days that are partitions, as the log writes them: `2026-10-31`.
pub(super) type Days = BTreeSet<String>;

/// What changed; rewritings that change no row are left out.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// New files, each with its partition.
    pub(super) added: Vec<(String, String)>,
    /// Files that are no part of it any more.
    pub(super) removed: Vec<Gone>,
}

/// A file that was removed; it is there until a vacuum.
#[derive(Debug)]
pub(super) struct Gone {
    path: String,
    day: String,
    /// 0 where the log does not say.
    bytes: u64,
}

impl Changes {
    /// The partitions that are not what they were.
    pub(super) fn days(&self) -> Days {
        self.added.iter().map(|(_, day)| day.clone()).chain(self.removed.iter().map(|gone| gone.day.clone())).collect()
    }
}

/// What changed after version `from` up to and with version `to`; none when the log does not reach back so far.
pub(super) async fn between(store: &Store, name: &TableName, from: i64, to: i64) -> Result<Option<Changes>, LakeError> {
    let mut changes = Changes::default();
    for version in from + 1..=to {
        let path = format!("{}/{}/_delta_log/{version:020}.json", name.schema, name.table);
        let Some(bytes) = store.get(&path).await? else { return Ok(None) };
        for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let damaged = |source| LakeError::Damaged { path: path.clone(), source };
            let action: Value = serde_json::from_slice(line).map_err(damaged)?;
            let of = |kind: &str| action.get(kind).filter(|action| action["dataChange"] != false);
            if let Some(add) = of("add") {
                changes.added.push((path_of(add), day(&add["partitionValues"])));
            }
            if let Some(remove) = of("remove") {
                let bytes = remove["size"].as_u64().unwrap_or_default();
                changes.removed.push(Gone { path: path_of(remove), day: day(&remove["partitionValues"]), bytes });
            }
        }
    }
    Ok(Some(changes))
}

fn path_of(action: &Value) -> String {
    action["path"].as_str().unwrap_or_default().to_owned()
}

/// The only partition value; empty where there is none.
fn day(values: &Value) -> String {
    let value = values.as_object().and_then(|values| values.values().next()).and_then(Value::as_str);
    value.unwrap_or_default().to_owned()
}

/// The files of a table as it is now, by partition.
pub(super) struct Parts {
    table: DeltaTable,
    name: TableName,
    pub(super) by_day: BTreeMap<String, Vec<Part>>,
}

/// One file.
pub(super) struct Part {
    pub(super) path: String,
    pub(super) day: String,
    pub(super) bytes: u64,
    pub(super) rows: u64,
    pub(super) remove: Remove,
}

impl Parts {
    /// Of a table that is there.
    pub(super) async fn open(store: &Store, name: &TableName) -> Result<Option<Self>, LakeError> {
        let Some(table) = table::open(store, name).await? else { return Ok(None) };
        let snapshot = table.snapshot().map_err(LakeError::table("read", name.to_string()))?;
        let mut by_day: BTreeMap<String, Vec<Part>> = BTreeMap::new();
        for file in snapshot.log_data().iter() {
            let day = file.partition_values_map().into_values().next().flatten().unwrap_or_default();
            by_day.entry(day.clone()).or_default().push(Part {
                path: file.path().into_owned(),
                day,
                bytes: file.size().unsigned_abs(),
                rows: file.num_records().unwrap_or_default() as u64,
                remove: file.remove_action(true),
            });
        }
        Ok(Some(Self { table, name: name.clone(), by_day }))
    }

    pub(super) fn table(&self) -> &DeltaTable {
        &self.table
    }

    /// The column that parts the table.
    pub(super) fn partition(&self) -> Option<String> {
        let snapshot = self.table.snapshot().ok()?;
        snapshot.metadata().partition_columns().first().cloned()
    }

    pub(super) fn rows(&self) -> u64 {
        self.by_day.values().flatten().map(|part| part.rows).sum()
    }

    /// The rows of some partitions.
    pub(super) fn of_days(&self, days: &Days) -> Result<Arc<dyn TableProvider>, LakeError> {
        self.of(days.iter().filter_map(|day| self.by_day.get(day)).flatten())
    }

    /// The rows of some files.
    pub(super) fn of<'a>(
        &self,
        parts: impl IntoIterator<Item = &'a Part>,
    ) -> Result<Arc<dyn TableProvider>, LakeError> {
        let parts = parts.into_iter().map(|part| (&*part.path, &*part.day, part.bytes, part.rows));
        self.provider(parts)
    }

    /// The rows that removed files held; none when a vacuum took one of them.
    pub(super) async fn of_gone(
        &self,
        store: &Store,
        gone: &[Gone],
    ) -> Result<Option<Arc<dyn TableProvider>>, LakeError> {
        for file in gone {
            let path = format!("{}/{}/{}", self.name.schema, self.name.table, file.path);
            if file.bytes == 0 || !store.has(&path).await? {
                return Ok(None);
            }
        }
        self.provider(gone.iter().map(|file| (&*file.path, &*file.day, file.bytes, 0))).map(Some)
    }

    /// The rows of files, each with its path, day, bytes and rows.
    fn provider<'a>(
        &self,
        files: impl IntoIterator<Item = (&'a str, &'a str, u64, u64)>,
    ) -> Result<Arc<dyn TableProvider>, LakeError> {
        let failed = || LakeError::sql(self.name.to_string());
        let snapshot = self.table.snapshot().map_err(LakeError::table("read", self.name.to_string()))?;
        let schema = snapshot.snapshot().arrow_schema();
        let partition = self.partition().and_then(|column| schema.index_of(&column).ok());
        let url = self.table.table_url();
        let data_type = partition.map(|at| schema.field(at).data_type().clone());
        let (mut located_files, mut all) = (Vec::new(), 0);
        for (path, day, bytes, rows) in files {
            all += rows as usize;
            located_files.push(located(url, (path, day, bytes), data_type.as_ref()).map_err(failed())?);
        }
        Ok(Arc::new(SomeFiles {
            partition,
            store: ObjectStoreUrl::parse(&url[..Position::BeforePath]).map_err(failed())?,
            files: located_files.into(),
            // As the log says, which may not say of all.
            rows: Precision::Inexact(all),
            filters_first: false,
            schema,
        }))
    }

    /// Whether all these files are still there: a compaction puts others in their place.
    pub(super) fn have(&self, files: &[(String, String)]) -> bool {
        let there: HashSet<&str> = self.by_day.values().flatten().map(|part| part.path.as_str()).collect();
        files.iter().all(|(path, _)| there.contains(path.as_str()))
    }
}

/// Some days, and those in reach of them.
pub(super) fn around(days: &Days, reach: Reach) -> Days {
    if reach == Reach::default() {
        return days.clone();
    }
    let near = |n: i32| n - reach.before..=n + reach.after;
    let numbers: BTreeSet<i32> = days.iter().filter_map(|day| number(day)).flat_map(near).collect();
    numbers.into_iter().map(written).collect()
}

/// A day as days since 1970.
pub(super) fn number(day: &str) -> Option<i32> {
    Timestamp::parse(&format!("{day}T00:00:00Z")).map(|ts| ts.day())
}

/// Days since 1970 as the log writes them.
pub(super) fn written(number: i32) -> String {
    Timestamp(i64::from(number) * DAY).date()
}

/// Whether partitions of this type are days.
pub(super) fn is_day(data_type: &DataType) -> bool {
    *data_type == DataType::Date32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_around_days_are_days() {
        let days = |list: &[&str]| list.iter().map(|day| (*day).to_owned()).collect::<Days>();
        let (none, one) = (Reach::default(), Reach { before: 1, after: 1 });
        assert_eq!(around(&days(&["2026-03-01"]), one), days(&["2026-02-28", "2026-03-01", "2026-03-02"]));
        assert_eq!(around(&days(&["2026-03-01", "2026-03-02"]), none), days(&["2026-03-01", "2026-03-02"]));
        assert_eq!(around(&days(&["1970-01-01"]), one).first().map(String::as_str), Some("1969-12-31"));
        let later = Reach { before: 0, after: 2 };
        assert_eq!(around(&days(&["2026-03-01"]), later), days(&["2026-03-01", "2026-03-02", "2026-03-03"]));
        assert_eq!(around(&days(&["2026-03-01"]), later.turned()), days(&["2026-02-27", "2026-02-28", "2026-03-01"]));
    }
}
