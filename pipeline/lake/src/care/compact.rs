//! `lake compact`: many small files become few large ones with every column, sorted; not one row changes.
//!
//! A commit takes the partitions up to [`BATCH_BYTES`] at once: a small lake is one commit, and of a large one a kill
//! costs the batch at hand. Delta's own optimize is not used: it keeps files that lack columns, does not sort by plain
//! columns, and its commits would look to `materialize` like new data.

use crate::delta::commit::{self, Change, Mode, Outcome, Races};
use crate::delta::data_files::{FILE_BYTES, Files};
use crate::delta::store::Store;
use crate::delta::table::{self, DATA_VERSION, TableName, conform};
use crate::delta::writers::Writing;
use crate::error::LakeError;
use crate::lake::Lake;
use arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::error::DataFusionError;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::{SessionConfig, SessionContext, col};
use deltalake_core::DeltaTable;
use deltalake_core::delta_datafusion::{DeltaScanConfig, DeltaScanNext};
use deltalake_core::kernel::{Add, Remove};
use domain::identity::hash128;
use futures::StreamExt;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

/// Bytes of old files that one commit replaces, at the least one partition.
const BATCH_BYTES: i64 = 1 << 30;

/// What sorting may hold before it goes to temporary files. With it a day of 300 MB of events peaks below 512 MiB.
const SORT_BYTES: usize = 112 << 20;

/// Rows that move together: few, because one event may have megabytes.
const BATCH_ROWS: usize = 2048;

/// Late events are merged among themselves until they are a fifth of their day.
const LATE_SHARE: i64 = 5;

/// The tag of a compacted file: the columns it was written with, and the version that was compacted.
const TAG: &str = "pipeline.compacted";

/// The order of the rows, where it helps those who read: a trace, a run, a resource lie together.
fn order(name: &TableName) -> &'static [&'static str] {
    match (name.schema.as_str(), name.table.as_str()) {
        ("staging", "events") => &["repo", "pr_id", "resource", "ts", "event_id"],
        ("traces", "events") => &["pr_id", "seq"],
        _ => &[],
    }
}

/// What a compaction did to one table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Compacted {
    /// `schema.table`.
    pub table: String,
    /// Files the table was made of.
    pub files_before: usize,
    /// Files the table is made of.
    pub files_after: usize,
    /// Old files that were written anew.
    pub files_rewritten: usize,
    /// Size of the files before.
    pub bytes_before: i64,
    /// Size of the files after.
    pub bytes_after: i64,
}

/// A file of the table.
struct DataFile {
    path: String,
    partition: String,
    bytes: i64,
    rows: Option<usize>,
    tag: Option<String>,
    remove: Remove,
}

impl Lake {
    /// Compacts some tables, or all. Old files stay for readers until `vacuum`; a second run finds nothing to do.
    pub async fn compact(
        &self,
        select: &[String],
        progress: &mut dyn FnMut(&str),
    ) -> Result<Vec<Compacted>, LakeError> {
        let tables = self.tables().await?;
        if let Some(unknown) = select.iter().find(|name| !tables.iter().any(|table| table.to_string() == **name)) {
            return Err(LakeError::NoTable(unknown.clone()));
        }
        let _writing = Writing::begin(&self.store, "lake compact").await?;
        let mut compacted = Vec::new();
        for name in tables.into_iter().filter(|name| select.is_empty() || select.contains(&name.to_string())) {
            progress(&name.to_string());
            compacted.extend(self.compact_table(&name).await?);
            table::checkpoint(&self.store, &name).await?;
        }
        Ok(compacted)
    }

    async fn compact_table(&self, name: &TableName) -> Result<Option<Compacted>, LakeError> {
        let (mut before, mut files_rewritten, mut races) = (None, 0, Races::over(name));
        // A partition is taken once: what others add meanwhile is for the next run.
        let mut taken: HashSet<String> = HashSet::new();
        loop {
            let Some(table) = table::open(&self.store, name).await? else { return Ok(None) };
            let files = data_files(name, &table)?;
            let total = (files.len(), files.iter().map(|file| file.bytes).sum::<i64>());
            let (files_before, bytes_before) = *before.get_or_insert(total);
            let (context, schema) = session(&self.store, name, &table)?;
            let work = work(name, files, &columns_tag(&schema), &taken);
            if work.is_empty() {
                let (files_after, bytes_after) = total;
                let table = name.to_string();
                return Ok(Some(Compacted {
                    table,
                    files_before,
                    files_after,
                    files_rewritten,
                    bytes_before,
                    bytes_after,
                }));
            }
            let mut adds = Vec::new();
            for part in &work {
                adds.extend(self.rewrite(name, &table, &context, &schema, part).await?);
            }
            let removes = work.iter().flatten().map(|file| file.remove.clone()).collect();
            if self.swap(name, table, &schema, removes, adds).await? {
                files_rewritten += work.iter().map(Vec::len).sum::<usize>();
                taken.extend(work.into_iter().flatten().map(|file| file.partition));
            } else {
                races.lose()?;
            }
        }
    }

    /// The rows of some files of one partition in new files, which nothing refers to yet.
    async fn rewrite(
        &self,
        name: &TableName,
        table: &DeltaTable,
        context: &SessionContext,
        schema: &SchemaRef,
        part: &[DataFile],
    ) -> Result<Vec<Add>, LakeError> {
        let failed = || LakeError::sql(format!("the compaction of {name}"));
        let scan = scan(name, table, context)?.with_file_paths(part.iter().map(|file| file.path.clone()));
        let mut frame = context.read_table(Arc::new(scan)).map_err(failed())?;
        if !order(name).is_empty() {
            // Nulls first, as `ingest` sorts.
            let by = order(name).iter().map(|column| col(*column).sort(true, true)).collect();
            frame = frame.sort(by).map_err(failed())?;
        }
        let mut rows = frame.execute_stream().await.map_err(failed())?;
        let snapshot = table.snapshot().map_err(LakeError::table("read", name.to_string()))?;
        let partition = snapshot.metadata().partition_columns().first().cloned();
        let mut files = Files::new(&self.store, name, schema.clone(), partition.as_deref())?;
        let mut got = 0;
        while let Some(batch) = rows.next().await {
            let batch = batch.map_err(failed())?;
            got += batch.num_rows() as u64;
            files.write(conform(&batch, schema).map_err(LakeError::columns(&name.to_string()))?).await?;
        }
        let mut adds = files.finish().await?;
        let want = part.iter().map(|file| file.rows.map(|rows| rows as u64)).sum::<Option<u64>>();
        if let Some(want) = want.filter(|want| *want != got) {
            return Err(LakeError::RowsLost { table: name.to_string(), want, got });
        }
        let tag = format!("{}/{}", columns_tag(schema), table::version(table));
        for add in &mut adds {
            add.data_change = false;
            add.tags = Some(HashMap::from([(TAG.to_owned(), Some(tag.clone()))]));
        }
        Ok(adds)
    }

    /// Commits new files for old ones; false when another writer took one of the old ones, and all is to be read anew.
    /// What others added meanwhile does no harm.
    async fn swap(
        &self,
        name: &TableName,
        mut table: DeltaTable,
        schema: &SchemaRef,
        removes: Vec<Remove>,
        adds: Vec<Add>,
    ) -> Result<bool, LakeError> {
        let mut races = Races::over(name);
        loop {
            let change = Change {
                schema,
                partition: None,
                adds: adds.clone(),
                mode: Mode::Compact(removes.clone()),
                origin: origin(&table).await,
            };
            match commit::commit(&self.store, name, Some(&table), change).await? {
                Outcome::Committed(_) => return Ok(true),
                Outcome::Lost => races.lose()?,
            }
            let Some(now) = table::open(&self.store, name).await? else { return Ok(false) };
            let there: HashSet<String> = data_files(name, &now)?.into_iter().map(|file| file.path).collect();
            let (_, columns) = session(&self.store, name, &now)?;
            if columns != *schema || !removes.iter().all(|remove| there.contains(&remove.path)) {
                return Ok(false);
            }
            table = now;
        }
    }
}

/// Where the rows are from stays known, and which version last changed them.
async fn origin(table: &DeltaTable) -> Value {
    let version = table::data_version(table).await;
    let mut origin = table::origin(table).await.filter(Value::is_object).unwrap_or_else(|| json!({}));
    origin[DATA_VERSION] = version.into();
    origin
}

fn data_files(name: &TableName, table: &DeltaTable) -> Result<Vec<DataFile>, LakeError> {
    let snapshot = table.snapshot().map_err(LakeError::table("read", name.to_string()))?;
    let files = snapshot.log_data();
    let files = files.iter().map(|file| {
        #[allow(deprecated)] // the only way to the tags
        let tags = file.add_action().tags.unwrap_or_default();
        let partition: BTreeMap<_, _> = file.partition_values_map().into_iter().collect();
        DataFile {
            path: file.path().into_owned(),
            partition: format!("{partition:?}"),
            bytes: file.size(),
            rows: file.num_records(),
            tag: tags.get(TAG).cloned().flatten(),
            remove: file.remove_action(false),
        }
    });
    Ok(files.collect())
}

/// The files to be rewritten together, a list a partition, as many as one commit takes.
fn work(name: &TableName, files: Vec<DataFile>, columns: &str, taken: &HashSet<String>) -> Vec<Vec<DataFile>> {
    let mut partitions: BTreeMap<String, Vec<DataFile>> = BTreeMap::new();
    for file in files.into_iter().filter(|file| !taken.contains(&file.partition)) {
        partitions.entry(file.partition.clone()).or_default().push(file);
    }
    let due = |files| if order(name).is_empty() { small(files) } else { unsettled(files, columns) };
    let mut left = BATCH_BYTES;
    let due = partitions.into_values().map(due).filter(|files| !files.is_empty());
    due.take_while(|files| {
        let fits = left > 0;
        left -= files.iter().map(|file| file.bytes).sum::<i64>();
        fits
    })
    .collect()
}

/// Of a table without an order: the small files, when there are several.
fn small(files: Vec<DataFile>) -> Vec<DataFile> {
    let small: Vec<_> = files.into_iter().filter(|file| file.bytes < FILE_BYTES as i64 / 2).collect();
    if small.len() > 1 { small } else { Vec::new() }
}

/// Of a sorted table: everything, unless one compaction wrote it all with today's columns; beside a large compacted
/// part only the rest, while it is small.
fn unsettled(files: Vec<DataFile>, columns: &str) -> Vec<DataFile> {
    let mut parts: BTreeMap<String, i64> = BTreeMap::new();
    for file in &files {
        if let Some(tag) = file.tag.as_ref().filter(|tag| tag.split('/').next() == Some(columns)) {
            *parts.entry(tag.clone()).or_default() += file.bytes;
        }
    }
    let largest = parts.iter().max_by_key(|(_, bytes)| **bytes).filter(|(_, bytes)| **bytes >= FILE_BYTES as i64 / 2);
    let largest = largest.map(|(tag, bytes)| (tag.clone(), *bytes));
    let in_largest = |file: &DataFile| largest.as_ref().is_some_and(|(tag, _)| file.tag.as_ref() == Some(tag));
    let rest: Vec<&DataFile> = files.iter().filter(|file| !in_largest(file)).collect();
    let one = rest.first().and_then(|first| first.tag.as_ref()).filter(|tag| parts.contains_key(*tag));
    if rest.is_empty() || (one.is_some() && rest.iter().all(|file| file.tag.as_ref() == one)) {
        return Vec::new();
    }
    let late: i64 = rest.iter().map(|file| file.bytes).sum();
    match &largest {
        Some((_, bytes)) if late * LATE_SHARE < *bytes => files.into_iter().filter(|file| !in_largest(file)).collect(),
        _ => files,
    }
}

fn columns_tag(schema: &SchemaRef) -> String {
    let columns: Vec<_> = schema.fields().iter().map(|f| format!("{} {}", f.name(), f.data_type())).collect();
    hash128(columns.join("\n").as_bytes())
}

/// A session that sorts in bounded memory, and the columns of the table.
fn session(store: &Store, name: &TableName, table: &DeltaTable) -> Result<(SessionContext, SchemaRef), LakeError> {
    let mut config = SessionConfig::new().with_target_partitions(1).with_batch_size(BATCH_ROWS);
    config.options_mut().execution.parquet.schema_force_view_types = false;
    let runtime = RuntimeEnvBuilder::new().with_memory_limit(SORT_BYTES, 1.0).build_arc();
    let runtime = runtime.map_err(LakeError::sql(format!("the compaction of {name}")))?;
    let context = SessionContext::new_with_config_rt(config, runtime);
    store.guard(&context);
    table.update_datafusion_session(&context.state()).map_err(LakeError::table("read", name.to_string()))?;
    let schema = scan(name, table, &context)?.schema();
    Ok((context, schema))
}

fn scan(name: &TableName, table: &DeltaTable, context: &SessionContext) -> Result<DeltaScanNext, LakeError> {
    let snapshot = table.snapshot().map_err(LakeError::table("read", name.to_string()))?;
    let config = DeltaScanConfig::new_from_session(&context.state()).with_wrap_partition_values(false);
    let scan = DeltaScanNext::new(snapshot.snapshot().clone(), config);
    scan.map_err(|error: DataFusionError| LakeError::sql(format!("the compaction of {name}"))(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(bytes: i64, tag: Option<&str>) -> DataFile {
        DataFile {
            path: String::new(),
            partition: String::new(),
            bytes,
            rows: None,
            tag: tag.map(str::to_owned),
            remove: Remove::default(),
        }
    }

    const MIB: i64 = 1 << 20;

    #[test]
    fn what_one_compaction_wrote_is_left_alone_until_something_comes() {
        assert!(unsettled(vec![file(5, Some("c/1")), file(7, Some("c/1"))], "c").is_empty());
        assert_eq!(unsettled(vec![file(5, Some("c/1")), file(7, None)], "c").len(), 2);
        assert_eq!(unsettled(vec![file(5, None)], "c").len(), 1, "it may lack columns");
        assert_eq!(unsettled(vec![file(5, Some("other columns/1"))], "c").len(), 1);
    }

    #[test]
    fn late_events_do_not_rewrite_a_large_day_each_night() {
        let day = || vec![file(128 * MIB, Some("c/1")), file(90 * MIB, Some("c/1"))];
        let with = |late: Vec<DataFile>| unsettled(day().into_iter().chain(late).collect(), "c").len();
        assert_eq!(with(vec![file(MIB, None)]), 1);
        assert_eq!(with(vec![file(MIB, Some("c/9"))]), 0);
        assert_eq!(with(vec![file(MIB, Some("c/9")), file(MIB, None)]), 2);
        assert_eq!(with(vec![file(60 * MIB, Some("c/9")), file(MIB, None)]), 4, "now it is a fifth of the day");
    }

    #[test]
    fn a_table_without_an_order_only_merges_small_files() {
        assert!(small(vec![file(128 * MIB, None), file(MIB, None)]).is_empty());
        assert_eq!(small(vec![file(128 * MIB, None), file(MIB, None), file(MIB, None)]).len(), 2);
    }
}
