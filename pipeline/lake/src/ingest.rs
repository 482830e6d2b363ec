//! From dumps to the staging tables: every event exactly once, in one commit.

use crate::columns::{Compact, events_schema, rejects_batch, rejects_schema};
use crate::decode::decode;
use crate::error::LakeError;
use crate::formats::Format;
use crate::lake::Lake;
use crate::reject::Reject;
use crate::source::Source;
use crate::table::{self, Change, Files, Mode, Outcome, TableName};
use arrow::array::{Array, RecordBatch, StringArray};
use arrow::compute::{SortColumn, concat_batches, lexsort_to_indices, take};
use datafusion::prelude::{SessionContext, col, lit};
use deltalake_core::DeltaTable;
use domain::privacy::Privacy;
use serde::Serialize;
use serde_json::json;
use std::collections::{BTreeMap, HashSet};

/// Lost races after which an ingest gives up: each one means another writer succeeded.
const TRIES: u32 = 100;

/// Days that are named one by one when looking for known events; more are read as a range.
const DAYS_LISTED: usize = 200;

/// What `ingest` is asked to do.
#[derive(Clone, Debug, Default)]
pub struct IngestSpec {
    /// None: told apart per dump.
    pub format: Option<&'static Format>,
    /// Refuse the whole ingest when more than this is rejected.
    pub reject_limit: Option<RejectLimit>,
    /// Keep the ids of accepted events for the report.
    pub list_accepted: bool,
}

/// How much may be rejected.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RejectLimit {
    /// Events.
    Count(u64),
    /// Of all events read, 0 to 1.
    Share(f64),
}

/// What an ingest met. `read = accepted + duplicates + rejected`.
#[derive(Clone, Debug, Default, Serialize)]
pub struct IngestReport {
    /// Events read, not lines.
    pub read: u64,
    /// New in the lake.
    pub accepted: u64,
    /// In the lake already, or twice in the dumps.
    pub duplicates: u64,
    /// Not events.
    pub rejected: u64,
    /// With `list_accepted`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accepted_event_ids: Option<Vec<String>>,
    /// Rejects by reason.
    pub reasons: BTreeMap<String, u64>,
    /// Version of `staging.events` after it; none when nothing was committed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<i64>,
}

/// The 128-bit identity as a number.
fn identity(event_id: &str) -> u128 {
    u128::from_str_radix(event_id, 16).unwrap_or_default()
}

/// What the dumps hold, before the lake is asked.
struct Staged {
    chunks: Vec<Compact>,
    rejects: Vec<Reject>,
    report: IngestReport,
}

impl Lake {
    /// Takes dumps into the lake at `location`, which is made when new. Either everything is committed or nothing;
    /// `progress` is told the events read so far and the dump.
    pub async fn ingest(
        location: &str,
        privacy: &Privacy,
        sources: &[Source],
        spec: &IngestSpec,
        progress: &mut dyn FnMut(u64, &str),
    ) -> Result<(Self, IngestReport), LakeError> {
        // Everything is read before anything is made: a broken archive leaves no trace, not even an empty lake.
        let staged = stage(sources, privacy, spec, progress)?;
        let lake = Self::open_or_create(location, privacy).await?;
        let report = lake.commit(staged, spec).await?;
        Ok((lake, report))
    }

    async fn commit(&self, staged: Staged, spec: &IngestSpec) -> Result<IngestReport, LakeError> {
        let Staged { chunks, rejects, mut report } = staged;
        self.commit_rejects(rejects).await?;
        let name = TableName { schema: "staging".into(), table: "events".into() };
        let days = by_day(&chunks);
        for _ in 0..TRIES {
            let current = table::open(&self.store, &name).await?;
            let known = match &current {
                Some(table) => known_ids(table, "event_id", Some(&days.keys().copied().collect::<Vec<_>>())).await?,
                None => HashSet::new(),
            };
            let mut files = Files::new(&self.store, &name, events_schema(), Some("event_date"))?;
            let (mut accepted, mut ids) = (0, Vec::new());
            for parts in days.values() {
                let fresh = fresh_rows(&chunks, parts, &known)?;
                accepted += fresh.num_rows() as u64;
                if spec.list_accepted {
                    ids.extend(strings(&fresh, 0).into_iter().flatten().map(str::to_owned));
                }
                if fresh.num_rows() > 0 {
                    files.write(fresh).await?;
                    files.close_partition().await?;
                }
            }
            report.accepted = accepted;
            report.duplicates = report.read - report.rejected - accepted;
            report.accepted_event_ids = spec.list_accepted.then(|| std::mem::take(&mut ids));
            if accepted == 0 {
                return Ok(report);
            }
            let adds = files.finish().await?;
            let change = Change {
                schema: &events_schema(),
                partition: Some("event_date"),
                adds,
                mode: Mode::Append,
                origin: json!({"events": accepted}),
            };
            match table::commit(&self.store, &name, current.as_ref(), change).await? {
                Outcome::Committed(version) => {
                    report.version = Some(version);
                    return Ok(report);
                }
                Outcome::Lost => {} // two appends never conflict for Delta, but what the winner wrote may be ours too
            }
        }
        Err(LakeError::Contended(name.to_string(), TRIES))
    }

    /// Committed before the events: a kill between the two and the same dump again adds none and loses none.
    async fn commit_rejects(&self, rejects: Vec<Reject>) -> Result<(), LakeError> {
        let name = TableName { schema: "staging".into(), table: "rejects".into() };
        for _ in 0..TRIES {
            let current = table::open(&self.store, &name).await?;
            let mut known = match &current {
                Some(table) if !rejects.is_empty() => known_ids(table, "reject_id", None).await?,
                _ => HashSet::new(),
            };
            let fresh: Vec<Reject> = rejects.iter().filter(|r| known.insert(identity(&r.reject_id))).cloned().collect();
            if fresh.is_empty() {
                return Ok(());
            }
            let mut files = Files::new(&self.store, &name, rejects_schema(), None)?;
            files.write(rejects_batch(&fresh).map_err(LakeError::columns("staging.rejects"))?).await?;
            let adds = files.finish().await?;
            let change = Change {
                schema: &rejects_schema(),
                partition: None,
                adds,
                mode: Mode::Append,
                origin: json!({"rejects": fresh.len()}),
            };
            match table::commit(&self.store, &name, current.as_ref(), change).await? {
                Outcome::Committed(_) => return Ok(()),
                Outcome::Lost => {}
            }
        }
        Err(LakeError::Contended(name.to_string(), TRIES))
    }
}

/// Reads every dump to its end, drops what is twice in them, and checks the limit.
fn stage(
    sources: &[Source],
    privacy: &Privacy,
    spec: &IngestSpec,
    progress: &mut dyn FnMut(u64, &str),
) -> Result<Staged, LakeError> {
    let mut staged = Staged { chunks: Vec::new(), rejects: Vec::new(), report: IngestReport::default() };
    let mut seen: HashSet<u128> = HashSet::new();
    for source in sources {
        let name = source.name();
        decode(source, spec.format, privacy, |decoded| {
            let report = &mut staged.report;
            report.read += decoded.rows.count() as u64 + decoded.rejects.len() as u64;
            report.rejected += decoded.rejects.len() as u64;
            for reject in &decoded.rejects {
                *report.reasons.entry(reject.reason.code().to_owned()).or_default() += 1;
            }
            staged.rejects.extend(decoded.rejects);
            let chunk = decoded.rows.finish();
            let fresh: Vec<u32> = match chunk.event_ids() {
                Some(ids) => {
                    (0..).zip(ids.iter()).filter_map(|(i, id)| seen.insert(identity(id?)).then_some(i)).collect()
                }
                None => Vec::new(),
            };
            if fresh.len() == chunk.rows {
                staged.chunks.push(chunk);
            } else if !fresh.is_empty() {
                staged.chunks.push(chunk.take(&fresh).map_err(LakeError::columns("staging.events"))?);
            }
            progress(staged.report.read, &name);
            Ok(())
        })?;
    }
    if let Some(limit) = spec.reject_limit {
        let IngestReport { read, rejected, .. } = staged.report;
        let (over, limit) = match limit {
            RejectLimit::Count(count) => (rejected > count, count.to_string()),
            RejectLimit::Share(share) => (rejected as f64 > share * read as f64, format!("{} %", share * 100.0)),
        };
        if over {
            return Err(LakeError::RejectLimit { rejected, read, limit });
        }
    }
    Ok(staged)
}

/// Day → (chunk, rows of it).
type Days = BTreeMap<i32, Vec<(usize, Vec<u32>)>>;

fn by_day(chunks: &[Compact]) -> Days {
    let mut days = Days::new();
    for (index, chunk) in chunks.iter().enumerate() {
        let Some(dates) = chunk.dates() else { continue };
        for (row, day) in dates.values().iter().enumerate() {
            let parts = days.entry(*day).or_default();
            match parts.last_mut() {
                Some((last, rows)) if *last == index => rows.push(row as u32),
                _ => parts.push((index, vec![row as u32])),
            }
        }
    }
    days
}

/// The events of one day that the lake does not know, sorted by (repo, pr, ts) so that traces read little.
fn fresh_rows(
    chunks: &[Compact],
    parts: &[(usize, Vec<u32>)],
    known: &HashSet<u128>,
) -> Result<RecordBatch, LakeError> {
    let failed = || LakeError::columns("staging.events");
    let mut batches = Vec::new();
    for (index, rows) in parts {
        let chunk = &chunks[*index];
        let ids = chunk.event_ids();
        let is_new = |row: &&u32| ids.is_some_and(|ids| !known.contains(&identity(ids.value(**row as usize))));
        let fresh: Vec<u32> = rows.iter().filter(is_new).copied().collect();
        if !fresh.is_empty() {
            batches.push(chunk.take(&fresh).and_then(Compact::expand).map_err(failed())?);
        }
    }
    let batch = concat_batches(&events_schema(), &batches).map_err(failed())?;
    let order: Vec<SortColumn> = ["repo", "pr_id", "resource", "ts", "event_id"]
        .iter()
        .filter_map(|name| Some(SortColumn { values: batch.column_by_name(name)?.clone(), options: None }))
        .collect();
    let indices = lexsort_to_indices(&order, None).map_err(failed())?;
    let columns = batch.columns().iter().map(|c| take(c, &indices, None)).collect::<Result<_, _>>().map_err(failed())?;
    RecordBatch::try_new(batch.schema(), columns).map_err(failed())
}

fn strings(batch: &RecordBatch, column: usize) -> Vec<Option<&str>> {
    batch.column(column).as_any().downcast_ref::<StringArray>().map(|a| a.iter().collect()).unwrap_or_default()
}

/// The identities that a table holds, of some days only where it is partitioned by day.
async fn known_ids(table: &DeltaTable, column: &str, days: Option<&[i32]>) -> Result<HashSet<u128>, LakeError> {
    let failed = || LakeError::sql(format!("the search for known {column}s"));
    let session = SessionContext::new();
    table.update_datafusion_session(&session.state()).map_err(LakeError::table("read", column))?;
    let provider = table.table_provider().await.map_err(failed())?;
    let mut frame = session.read_table(provider).map_err(failed())?;
    if let Some(days) = days {
        let date = |day: i32| lit(datafusion::scalar::ScalarValue::Date32(Some(day)));
        let filter = match days {
            [] => return Ok(HashSet::new()),
            days if days.len() <= DAYS_LISTED => {
                col("event_date").in_list(days.iter().map(|d| date(*d)).collect(), false)
            }
            [first, .., last] => col("event_date").between(date(*first), date(*last)),
            [only] => col("event_date").eq(date(*only)),
        };
        frame = frame.filter(filter).map_err(failed())?;
    }
    let batches = frame.select(vec![col(column)]).map_err(failed())?.collect().await.map_err(failed())?;
    let mut known = HashSet::new();
    for batch in batches {
        let ids = arrow::compute::cast(batch.column(0), &arrow::datatypes::DataType::Utf8)
            .map_err(LakeError::columns("known ids"))?;
        if let Some(ids) = ids.as_any().downcast_ref::<StringArray>() {
            known.extend(ids.iter().flatten().map(identity));
        }
    }
    Ok(known)
}
