//! `privacy erase`: takes a person out of every table and every old version.
//!
//! First the person is put on the list of the erased, so that nothing new comes in; then models are marked, tables
//! rewritten and those made from them rebuilt; last, old versions lose their files. Broken off anywhere, the same
//! command again finishes the work, because each step finds what is left to do by itself.

use super::ModelMark;
use super::scan::{self, Live, holds, is_text, texts};
use crate::delta::commit::{self, Outcome, Races};
use crate::delta::table::{self, TableName};
use crate::delta::writers::Writing;
use crate::error::LakeError;
use crate::lake::Lake;
use crate::model::{self, MATERIALIZED};
use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::compute::{cast, filter_record_batch};
use deltalake_core::kernel::{Action, Add};
use domain::Timestamp;
use domain::columns::EVENT_OUTER;
use domain::identity::{Identity, hex, push_outer};
use domain::privacy::{ERASED, Privacy, is_by};
use object_store::PutMode;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::sync::Arc;

/// What was, or would be, done to one table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ErasedTable {
    /// `schema.table`.
    pub table: String,
    /// Rows of the person, which go.
    pub rows_removed: u64,
    /// Rows that mention the person, which lose the mention.
    pub rows_changed: u64,
    /// Whether it is made from others and is rebuilt.
    pub rebuilt: bool,
}

/// What an erasure did, or would do.
#[derive(Clone, Debug, Serialize)]
pub struct Erasure {
    /// Whether anything was done, or only counted.
    pub done: bool,
    /// Tables that held something.
    pub tables: Vec<ErasedTable>,
    /// Models that have seen rows of the person.
    pub models: Vec<ModelMark>,
    /// Data files of old versions that were deleted.
    pub files_deleted: u64,
    /// Log entries that were cleaned or deleted.
    pub log_entries: u64,
    /// Files that belong to no version and are too young to be deleted: another process may be writing them.
    pub files_left: u64,
}

/// Which rows of a table go, and which only change.
#[derive(Clone, Copy, PartialEq)]
enum Rule {
    /// `staging.events`: what the person did goes, and what changes is another event.
    Events,
    /// `staging.rejects`: what holds the hash goes.
    Rejects,
    /// Made by commands: a row of the person goes, the rest changes.
    Other,
}

impl Lake {
    /// Erases the person with this hash; without `yes`, only counts. 0 rows are fine: the person is on the list then.
    pub async fn erase(
        &self,
        hash: &str,
        privacy: &Privacy,
        now: Timestamp,
        yes: bool,
        progress: &mut (dyn FnMut(&str) + Send),
    ) -> Result<Erasure, LakeError> {
        // Alone: a writer that began before the list was longer could bring the person back.
        let _alone = if yes { Some(Writing::alone(&self.store, "privacy erase").await?) } else { None };
        if yes {
            self.add_erased(hash).await?;
        }
        let mut erasure = Erasure {
            done: yes,
            tables: Vec::new(),
            models: Vec::new(),
            files_deleted: 0,
            log_entries: 0,
            files_left: 0,
        };
        let derived: HashSet<TableName> =
            MATERIALIZED.iter().flat_map(|schema| model::files(schema)).map(|file| file.name).collect();
        let names = self.tables().await?;
        self.mark_models(hash, now, yes, &mut erasure).await?;
        for name in names.iter().filter(|name| !derived.contains(name)) {
            progress(&name.to_string());
            let done = self.erase_from(name, hash, privacy, yes).await?;
            if done.rows_removed + done.rows_changed > 0 {
                erasure.tables.push(done);
            }
        }
        let mut rebuild: Vec<String> = Vec::new();
        let events_changed = erasure.tables.iter().any(|table| table.table == "staging.events");
        for name in names.iter().filter(|name| derived.contains(name)) {
            let rows = self.rows_with(name, hash).await?;
            if rows > 0 || events_changed {
                rebuild.push(name.to_string());
            }
            if rows > 0 {
                let table = name.to_string();
                erasure.tables.push(ErasedTable { table, rows_changed: rows, rebuilt: true, ..ErasedTable::default() });
            }
        }
        if !yes {
            return Ok(erasure);
        }
        if !rebuild.is_empty() {
            self.materialize(now, &rebuild, true, false, &mut |table| progress(table)).await?;
        }
        // An erasure that was broken off may have left what was made of the events that it took, which need not hold the hash.
        let made: Vec<String> = names.iter().filter(|name| derived.contains(name)).map(TableName::to_string).collect();
        if !made.is_empty() {
            self.materialize(now, &made, false, false, &mut |table| progress(table)).await?;
        }
        for name in self.tables().await? {
            progress(&name.to_string());
            let purged = self.purge(&name, hash).await?;
            erasure.files_deleted += purged.files;
            erasure.log_entries += purged.log_entries;
            erasure.files_left += purged.left;
        }
        Ok(erasure)
    }

    /// Marks the models whose data reaches over rows of the person. Before the rows go: afterwards nobody could tell.
    async fn mark_models(&self, hash: &str, now: Timestamp, yes: bool, erasure: &mut Erasure) -> Result<(), LakeError> {
        let name = TableName { schema: "staging".into(), table: "events".into() };
        let Some(table) = table::open(&self.store, &name).await? else { return Ok(()) };
        let mut span: Option<(i64, i64)> = None;
        for file in scan::live(&name, &table)? {
            scan::batches(&self.store, &name, &file.path, &mut |batch| {
                let keeps = keeps(&batch, hash, Rule::Events)?;
                let Some(times) = batch.column_by_name("ts") else { return Ok(()) };
                let Some(times) = times.as_any().downcast_ref::<TimestampMicrosecondArray>() else { return Ok(()) };
                for (time, keep) in times.values().iter().zip(keeps.iter()) {
                    if keep == Some(false) {
                        let (first, last) = span.unwrap_or((*time, *time));
                        span = Some((first.min(*time), last.max(*time)));
                    }
                }
                Ok(())
            })
            .await?;
        }
        for (mut mark, card) in self.model_cards().await? {
            // A row may have been built from events long before it: what counts is only that they were not later.
            if span.is_some_and(|(first, _)| first <= card.data_watermark.0) && !mark.needs_retraining {
                if yes {
                    self.mark(&mark, now).await?;
                }
                mark.needs_retraining = true;
            }
            if mark.needs_retraining {
                erasure.models.push(mark);
            }
        }
        Ok(())
    }

    /// Rows of a table that hold the hash.
    async fn rows_with(&self, name: &TableName, hash: &str) -> Result<u64, LakeError> {
        let Some(table) = table::open(&self.store, name).await? else { return Ok(0) };
        let mut rows = 0;
        for file in scan::live(name, &table)? {
            scan::batches(&self.store, name, &file.path, &mut |batch| {
                rows += holds(&batch, hash)?.iter().filter(|holds| **holds).count() as u64;
                Ok(())
            })
            .await?;
        }
        Ok(rows)
    }

    /// Puts a file without the person in the place of each file that holds them, all in one commit.
    async fn erase_from(
        &self,
        name: &TableName,
        hash: &str,
        privacy: &Privacy,
        yes: bool,
    ) -> Result<ErasedTable, LakeError> {
        let rule = match (name.schema.as_str(), name.table.as_str()) {
            ("staging", "events") => Rule::Events,
            ("staging", "rejects") => Rule::Rejects,
            _ => Rule::Other,
        };
        let mut races = Races::over(name);
        loop {
            let mut done = ErasedTable { table: name.to_string(), ..ErasedTable::default() };
            let Some(table) = table::open(&self.store, name).await? else { return Ok(done) };
            let (mut old, mut new) = (Vec::new(), Vec::new());
            for file in scan::live(name, &table)? {
                let mut kept = Vec::new();
                let (mut removed, mut changed) = (0, 0);
                scan::batches(&self.store, name, &file.path, &mut |batch| {
                    let keeps = keeps(&batch, hash, rule)?;
                    let rest = filter_record_batch(&batch, &keeps).map_err(LakeError::columns(&name.to_string()))?;
                    removed += (batch.num_rows() - rest.num_rows()) as u64;
                    let (rest, touched) = without(rest, hash, (rule == Rule::Events).then_some(privacy))?;
                    changed += touched;
                    kept.push(rest);
                    Ok(())
                })
                .await?;
                if removed + changed == 0 {
                    continue;
                }
                done.rows_removed += removed;
                done.rows_changed += changed;
                if yes {
                    new.extend(self.put_file(name, &file, &kept, hash).await?);
                    old.push(Action::Remove(file.remove));
                }
            }
            if old.is_empty() {
                return Ok(done);
            }
            match commit::swap(&self.store, name, &table, old, new).await? {
                Outcome::Committed(_) => return Ok(done),
                // What was written is in no version, and holds nothing of the person.
                Outcome::Lost => races.lose()?,
            }
        }
    }

    /// Writes what is left of a file; none when nothing is.
    async fn put_file(
        &self,
        name: &TableName,
        file: &Live,
        batches: &[RecordBatch],
        hash: &str,
    ) -> Result<Option<Add>, LakeError> {
        let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
        let Some(first) = batches.iter().find(|_| rows > 0) else { return Ok(None) };
        let failed = |source: parquet::errors::ParquetError| LakeError::Columns(name.to_string(), source.into());
        let mut properties = WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::default()));
        if first.schema().column_with_name("event_id").is_some() {
            properties = properties.set_column_bloom_filter_enabled(ColumnPath::from("event_id"), true);
        }
        let mut writer = ArrowWriter::try_new(Vec::new(), first.schema(), Some(properties.build())).map_err(failed)?;
        batches.iter().try_for_each(|batch| writer.write(batch)).map_err(failed)?;
        let bytes = writer.into_inner().map_err(failed)?;
        // Named by its bytes: an erasure that is repeated writes the same file again.
        let part = format!("part-{}.zstd.parquet", blake3::hash(&bytes).to_hex());
        let path = match file.path.rsplit_once('/') {
            Some((folder, _)) => format!("{folder}/{part}"),
            None => part,
        };
        let size = bytes.len() as i64;
        let below = format!("{}/{}/{path}", name.schema, name.table);
        self.store.put(&below, bytes, PutMode::Overwrite).await?;
        // The bounds of the old file hold for the new one, unless the person is one of them.
        let stats = file.stats.as_deref().filter(|stats| !stats.contains(hash));
        let stats = stats.and_then(|stats| serde_json::from_str::<Value>(stats).ok());
        let mut stats = stats.unwrap_or_else(|| json!({"minValues": {}, "maxValues": {}}));
        stats["numRecords"] = rows.into();
        stats["nullCount"] = json!({});
        let modification_time = chrono::Utc::now().timestamp_millis();
        Ok(Some(Add {
            path,
            size,
            modification_time,
            stats: Some(stats.to_string()),
            partition_values: file.remove.partition_values.clone().unwrap_or_default(),
            data_change: true,
            tags: None,
            deletion_vector: None,
            base_row_id: None,
            default_row_commit_version: None,
            clustering_provider: None,
        }))
    }
}

/// Which rows stay.
fn keeps(batch: &RecordBatch, hash: &str, rule: Rule) -> Result<BooleanArray, LakeError> {
    let holds = holds(batch, hash)?;
    let mut keeps: Vec<bool> = match rule {
        Rule::Rejects => return Ok(holds.into_iter().map(|holds| Some(!holds)).collect()),
        _ => vec![true; batch.num_rows()],
    };
    if !holds.contains(&true) {
        return Ok(keeps.into());
    }
    let by_column = if rule == Rule::Events { &["payload", "context"][..] } else { &[] };
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        let Some(texts) = texts(column).map_err(LakeError::columns(field.name()))? else { continue };
        let is_nested = !is_text(column.data_type());
        for row in (0..batch.num_rows()).filter(|row| holds[*row] && !texts.is_null(*row)) {
            let text = texts.value(row);
            let is_theirs = match field.name().as_str() {
                "developer" => text == hash,
                name if by_column.contains(&name) => {
                    let fields = text.contains(hash).then(|| serde_json::from_str::<Value>(text).ok()).flatten();
                    fields.as_ref().and_then(Value::as_object).is_some_and(|fields| is_by(fields, hash))
                }
                // What is nested cannot be written back by us.
                _ => is_nested && text.contains(hash),
            };
            keeps[row] &= !is_theirs;
        }
    }
    Ok(keeps.into())
}

/// The rows with the mention taken out, and how many changed. Events that change get the identity that the same line
/// would have if it came again.
fn without(batch: RecordBatch, hash: &str, events: Option<&Privacy>) -> Result<(RecordBatch, u64), LakeError> {
    let holds = holds(&batch, hash)?;
    let changed = holds.iter().filter(|holds| **holds).count() as u64;
    if changed == 0 {
        return Ok((batch, 0));
    }
    let failed = || LakeError::columns("an erased table");
    let schema = batch.schema();
    let mut columns: Vec<ArrayRef> = Vec::new();
    for column in batch.columns() {
        let clean = texts(column).map_err(failed())?.filter(|_| is_text(column.data_type()));
        columns.push(match clean {
            Some(texts) => {
                let clean = texts.iter().map(|text| text.map(|text| text.replace(hash, ERASED)));
                cast(&(Arc::new(clean.collect::<StringArray>()) as ArrayRef), column.data_type()).map_err(failed())?
            }
            None => column.clone(),
        });
    }
    if let (Some(privacy), Ok(index)) = (events, schema.index_of("event_id")) {
        let identity = Identity::new(privacy);
        let text = |name: &str| -> Result<Option<StringArray>, LakeError> {
            let Ok(index) = schema.index_of(name) else { return Ok(None) };
            texts(&columns[index]).map_err(failed())
        };
        let outer = ["repo", "branch", "pr_id", "developer", "env", "resource", "session"];
        debug_assert!(EVENT_OUTER.windows(outer.len()).any(|names| names == outer));
        let [repo, branch, pr_id, developer, env, resource, session] = outer.map(text);
        let outer = [repo?, branch?, pr_id?, developer?, env?, resource?, session?];
        let (kinds, payloads, contexts, ids) = (text("type")?, text("payload")?, text("context")?, text("event_id")?);
        let times = schema.index_of("ts").ok();
        let times = times.and_then(|ts| columns[ts].as_any().downcast_ref::<TimestampMicrosecondArray>());
        if let (Some(kinds), Some(times), Some(ids)) = (kinds, times, ids) {
            let ids = (0..batch.num_rows()).map(|row| {
                if !holds[row] {
                    return ids.value(row).to_owned();
                }
                let cell = |texts: &Option<StringArray>| {
                    texts.as_ref().filter(|texts| !texts.is_null(row)).map(|texts| texts.value(row).to_owned())
                };
                let outer = outer.each_ref().map(cell);
                let mut normal = String::new();
                push_outer(
                    kinds.value(row),
                    &outer.each_ref().map(|part| part.as_deref()),
                    times.value(row),
                    &mut normal,
                );
                normal.push_str(cell(&contexts).as_deref().unwrap_or("{}"));
                normal.push(',');
                normal.push_str(cell(&payloads).as_deref().unwrap_or("{}"));
                hex(identity.hash(normal.as_bytes()))
            });
            let ids: ArrayRef = Arc::new(ids.map(Some).collect::<StringArray>());
            columns[index] = cast(&ids, columns[index].data_type()).map_err(failed())?;
        }
    }
    Ok((RecordBatch::try_new(schema, columns).map_err(failed())?, changed))
}
