//! The files of an ingest before its commit, and the commit itself.
//!
//! Files are written where they belong but nothing refers to them until one commit does. A writer that loses the race
//! for a version reads what the winner wrote and takes out of its own files what is there already: two appends never
//! conflict for Delta, so its own retry would let duplicates in.

mod rewrite;

use super::{IngestReport, adds};
use crate::delta::commit::{self, Change, Mode, Outcome, Races};
use crate::delta::store::Store;
use crate::delta::table::{self, TableName};
use crate::delta::writers::Writing;
use crate::error::LakeError;
use crate::lake::Lake;
use arrow::array::{Array, ArrayRef, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use deltalake_core::DeltaTable;
use deltalake_core::kernel::Add;
use domain::privacy::Privacy;
use futures::StreamExt;
use intake::{IntakeError, NO_DAY, Rows, Sink, encode, events_schema, properties, rejects_schema};
use object_store::PutMode;
use parquet::arrow::arrow_writer::ArrowWriter;
use parquet::arrow::{ParquetRecordBatchStreamBuilder, ProjectionMask};
use serde_json::json;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::runtime::Handle;

/// One of the two staging tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Target {
    Events,
    Rejects,
}

impl Target {
    fn name(self) -> TableName {
        let table = match self {
            Self::Events => "events",
            Self::Rejects => "rejects",
        };
        TableName { schema: "staging".into(), table: table.into() }
    }

    fn schema(self) -> SchemaRef {
        match self {
            Self::Events => events_schema(),
            Self::Rejects => rejects_schema(),
        }
    }

    fn partition(self) -> Option<&'static str> {
        (self == Self::Events).then_some("event_date")
    }

    fn id(self) -> &'static str {
        match self {
            Self::Events => "event_id",
            Self::Rejects => "reject_id",
        }
    }
}

/// A file that nothing refers to yet.
#[derive(Clone)]
struct Written {
    add: Add,
    day: i32,
    rows: u64,
}

/// What a commit has brought into a table.
#[derive(Default)]
pub(super) struct Committed {
    /// None when there was nothing to commit.
    pub(super) version: Option<i64>,
    pub(super) rows: u64,
    paths: Vec<String>,
}

/// The files that a table had when it was read, by day.
type FilesByDay = HashMap<i32, Vec<String>>;

/// The files of one ingest.
pub(super) struct Staging<'a> {
    store: Store,
    location: &'a str,
    privacy: &'a Privacy,
    handle: Handle,
    counter: AtomicU64,
    /// There as soon as the lake is; a new lake is made when the first file is.
    writing: Mutex<Option<Writing>>,
    events: Mutex<Vec<Written>>,
    rejects: Mutex<Vec<Written>>,
    /// What the tables held at the start.
    seen: HashMap<Target, (Option<DeltaTable>, FilesByDay)>,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The identity as a number.
fn identity(id: &str) -> Option<u128> {
    u128::from_str_radix(id, 16).ok()
}

/// The identities of some rows, whoever wrote them.
fn identities(batch: &RecordBatch, target: Target) -> Result<StringArray, LakeError> {
    let column = batch.column_by_name(target.id()).ok_or_else(|| LakeError::NoIdentity(target.name().to_string()))?;
    let column = cast(column, &DataType::Utf8).map_err(LakeError::columns(target.id()))?;
    let texts = column.as_any().downcast_ref::<StringArray>().cloned();
    texts.ok_or_else(|| LakeError::NoIdentity(target.name().to_string()))
}

impl<'a> Staging<'a> {
    /// Looks at the lake, if there is one.
    pub(super) async fn open(location: &'a str, privacy: &'a Privacy) -> Result<Self, LakeError> {
        let lake = Lake::open_if_there(location, privacy).await?;
        let mut seen = HashMap::new();
        let mut writing = None;
        let store = match &lake {
            Some(lake) => {
                writing = match lake.writing("ingest").await {
                    Ok(writing) => Some(writing),
                    // What brings nothing new can be met by a lake that cannot be written; the first file will tell.
                    Err(LakeError::Document { .. }) => None,
                    Err(error) => return Err(error),
                };
                for target in [Target::Events, Target::Rejects] {
                    seen.insert(target, look(&lake.store, target).await?);
                }
                lake.store.clone()
            }
            None => Store::open(location)?,
        };
        Ok(Self {
            store,
            location,
            privacy,
            handle: Handle::current(),
            counter: AtomicU64::new(0),
            writing: Mutex::new(writing),
            events: Mutex::default(),
            rejects: Mutex::default(),
            seen,
        })
    }

    fn written(&self, target: Target) -> &Mutex<Vec<Written>> {
        match target {
            Target::Events => &self.events,
            Target::Rejects => &self.rejects,
        }
    }

    /// Gives the identities that the lake held of a day when it was read.
    fn held(&self, day: i32, give: &mut dyn FnMut(u128)) -> Result<(), LakeError> {
        let target = if day == NO_DAY { Target::Rejects } else { Target::Events };
        let Some((_, files)) = self.seen.get(&target) else { return Ok(()) };
        let Some(paths) = files.get(&day) else { return Ok(()) };
        self.handle.block_on(self.read_ids(target, paths, give))
    }

    async fn read_ids(&self, target: Target, paths: &[String], give: &mut dyn FnMut(u128)) -> Result<(), LakeError> {
        for path in paths {
            let failed = |source| parquet_error("read", path, source);
            let reader = self.store.parquet(&format!("staging/{}/{path}", target.name().table));
            let builder = ParquetRecordBatchStreamBuilder::new(reader).await.map_err(failed)?;
            let mask = ProjectionMask::columns(builder.parquet_schema(), [target.id()]);
            let mut batches = builder.with_projection(mask).build().map_err(failed)?;
            while let Some(batch) = batches.next().await {
                let batch = batch.map_err(failed)?;
                for id in identities(&batch, target)?.iter() {
                    give(id.and_then(identity).ok_or_else(|| LakeError::NoIdentity(path.clone()))?);
                }
            }
        }
        Ok(())
    }

    /// Writes the rows of a day as one file.
    fn put_day(&self, day: i32, rows: &Rows) -> Result<(), LakeError> {
        let folder = format!("event_date={}", adds::date(day));
        let path = format!("{folder}/{}", self.file_name()?);
        let order = rows.order();
        let bytes = encode(rows, &order).map_err(|source| parquet_error("write", &path, source))?;
        let add = adds::add(path, bytes.len(), day, rows, &order);
        self.put(Target::Events, Written { add, day, rows: rows.len() as u64 }, bytes)
    }

    /// Writes rejects as one file.
    fn put_rejects(&self, batch: RecordBatch) -> Result<(), LakeError> {
        let rows = batch.num_rows() as u64;
        let path = self.file_name()?;
        let bytes = encode_batch(&batch).map_err(|source| parquet_error("write", &path, source))?;
        let add = plain_add(path, bytes.len(), rows);
        self.put(Target::Rejects, Written { add, day: NO_DAY, rows }, bytes)
    }

    /// A name that no other file has, and that tells whose file it is. Makes the lake when there is none yet.
    fn file_name(&self) -> Result<String, LakeError> {
        let mut writing = lock(&self.writing);
        let writer = match &*writing {
            Some(writing) => writing.id(),
            None => {
                let begin = async {
                    let lake = Lake::open_or_create(self.location, self.privacy).await?;
                    lake.writing("ingest").await
                };
                writing.insert(self.handle.block_on(begin)?).id()
            }
        };
        Ok(format!("part-{writer}-{:05}.parquet", self.counter.fetch_add(1, Ordering::Relaxed)))
    }

    fn put(&self, target: Target, written: Written, bytes: Vec<u8>) -> Result<(), LakeError> {
        let path = format!("staging/{}/{}", target.name().table, written.add.path);
        // Named before it is there: what fails half way is removed, too.
        lock(self.written(target)).push(written);
        self.handle.block_on(self.store.put(&path, bytes, PutMode::Overwrite))
    }

    /// Removes every file, as if nothing had been.
    pub(super) async fn remove_files(&self) {
        for target in [Target::Events, Target::Rejects] {
            let written = std::mem::take(&mut *lock(self.written(target)));
            for file in written {
                // The failure that led here is told; what cannot be removed is left to `lake vacuum`.
                let _ = self.store.delete(&format!("staging/{}/{}", target.name().table, file.add.path)).await;
            }
        }
    }

    /// Commits rejects, then events: a kill between the two and the same dump again adds none and loses none.
    pub(super) async fn commit(
        &self,
        mut report: IngestReport,
        list_accepted: bool,
    ) -> Result<IngestReport, LakeError> {
        self.commit_target(Target::Rejects).await?;
        let Committed { version, rows, paths } = self.commit_events().await?;
        report.accepted = rows;
        report.duplicates = report.read - report.rejected - rows;
        report.version = version;
        if list_accepted {
            let mut ids = Vec::new();
            self.read_ids(Target::Events, &paths, &mut |id| ids.push(domain::identity::hex(id))).await?;
            report.accepted_event_ids = Some(ids);
        }
        Ok(report)
    }

    /// Commits what is new in `staging.events`.
    pub(super) async fn commit_events(&self) -> Result<Committed, LakeError> {
        self.commit_target(Target::Events).await
    }

    /// What the table was when it was read.
    fn at_start(&self, target: Target) -> (Option<DeltaTable>, HashSet<String>) {
        match self.seen.get(&target) {
            Some((table, files)) => (table.clone(), files.values().flatten().cloned().collect()),
            None => (None, HashSet::new()),
        }
    }

    /// Of committed files nothing is left to do, and nothing to abandon.
    fn committed(&self, target: Target, version: i64) -> Committed {
        let written = std::mem::take(&mut *lock(self.written(target)));
        let rows = written.iter().map(|file| file.rows).sum();
        Committed { version: Some(version), rows, paths: written.into_iter().map(|file| file.add.path).collect() }
    }

    /// Commits what was written to one table. After a lost race, what the winner brought is taken out of it first.
    async fn commit_target(&self, target: Target) -> Result<Committed, LakeError> {
        let (mut current, mut seen) = self.at_start(target);
        let mut races = Races::over(target.name());
        loop {
            let adds: Vec<Add> = lock(self.written(target)).iter().map(|file| file.add.clone()).collect();
            if adds.is_empty() {
                return Ok(Committed::default());
            }
            self.check_presence().await?;
            let rows: u64 = lock(self.written(target)).iter().map(|file| file.rows).sum();
            let change = Change {
                schema: &target.schema(),
                partition: target.partition(),
                adds,
                mode: Mode::Append,
                origin: json!({target.name().table: rows}),
            };
            let done = commit::commit(&self.store, &target.name(), current.as_ref(), change).await;
            match self.known(target, done)? {
                Outcome::Committed(version) => return Ok(self.committed(target, version)),
                Outcome::Lost => races.lose()?,
            }
            current = self.catch_up(target, &mut seen).await?;
        }
    }

    /// Of a commit of which nobody knows whether it took effect, no file may be removed: the log may refer to it.
    fn known(&self, target: Target, done: Result<Outcome, LakeError>) -> Result<Outcome, LakeError> {
        if matches!(done, Err(LakeError::Uncertain { .. })) {
            self.committed(target, 0);
        }
        done
    }

    /// Reads what others committed since, and takes it out of what was written here.
    async fn catch_up(&self, target: Target, seen: &mut HashSet<String>) -> Result<Option<DeltaTable>, LakeError> {
        let (table, mut files) = look(&self.store, target).await?;
        for paths in files.values_mut() {
            paths.retain(|path| seen.insert(path.clone()));
        }
        self.strike_out(target, &files).await?;
        Ok(table)
    }

    /// Refuses to commit when others took this writer for dead, and its files for rubbish.
    async fn check_presence(&self) -> Result<(), LakeError> {
        let path = lock(&self.writing).as_ref().map(|writing| writing.path().to_owned());
        match path {
            Some(path) if self.store.get(&path).await?.is_none() => Err(LakeError::TakenForDead),
            _ => Ok(()),
        }
    }

    /// Takes out of our files what others' files hold already.
    async fn strike_out(&self, target: Target, others: &FilesByDay) -> Result<(), LakeError> {
        let count = lock(self.written(target)).len();
        // One by one and in place, so that a failure half way forgets none of them.
        for place in (0..count).rev() {
            let file = lock(self.written(target))[place].clone();
            let Some(paths) = others.get(&file.day).filter(|paths| !paths.is_empty()) else { continue };
            let mut ours = HashSet::new();
            self.read_ids(target, std::slice::from_ref(&file.add.path), &mut |id| {
                ours.insert(id);
            })
            .await?;
            let mut common = HashSet::new();
            self.read_ids(target, paths, &mut |id| {
                if ours.contains(&id) {
                    common.insert(id);
                }
            })
            .await?;
            if common.is_empty() {
                continue;
            }
            if common.len() < ours.len() {
                let rest = self.without(target, &file, &common).await?;
                lock(self.written(target)).push(rest);
            }
            self.store.delete(&format!("staging/{}/{}", target.name().table, file.add.path)).await?;
            lock(self.written(target)).swap_remove(place);
        }
        Ok(())
    }
}

impl Sink for Staging<'_> {
    fn load(&self, day: i32, give: &mut dyn FnMut(u128)) -> Result<(), IntakeError> {
        Ok(self.held(day, give)?)
    }

    fn write_day(&self, day: i32, rows: &Rows) -> Result<(), IntakeError> {
        Ok(self.put_day(day, rows)?)
    }

    fn write_rejects(&self, rejects: RecordBatch) -> Result<(), IntakeError> {
        Ok(self.put_rejects(rejects)?)
    }

    fn each_reject(
        &self,
        columns: &[&str],
        take: &mut dyn FnMut(RecordBatch) -> Result<(), IntakeError>,
    ) -> Result<(), IntakeError> {
        let types = rejects_schema();
        Ok(self.rejects(columns, &mut |batch| {
            let batch = as_written(&types, &batch).map_err(LakeError::columns("staging.rejects"))?;
            Ok(take(batch)?)
        })?)
    }

    fn abandon(&self) {
        self.handle.block_on(self.remove_files());
    }
}

/// A batch in the types that its columns are written in; readers may hand texts as views.
fn as_written(types: &Schema, batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let names = batch.schema();
    let one = |(field, column): (&Arc<Field>, &ArrayRef)| {
        let wanted = types.field_with_name(field.name())?.data_type();
        Ok((field.name().clone(), cast(column, wanted)?))
    };
    let columns = names.fields().iter().zip(batch.columns()).map(one).collect::<Result<Vec<_>, ArrowError>>()?;
    RecordBatch::try_from_iter(columns)
}

/// A table and its files as they are now.
async fn look(store: &Store, target: Target) -> Result<(Option<DeltaTable>, FilesByDay), LakeError> {
    let Some(table) = table::open(store, &target.name()).await? else { return Ok((None, FilesByDay::new())) };
    let failed = LakeError::table("read", target.name().to_string());
    let mut files = FilesByDay::new();
    let snapshot = table.snapshot().map_err(failed)?;
    for file in snapshot.log_data().iter() {
        let path = file.path().into_owned();
        let day = path.strip_prefix("event_date=").and_then(|path| path.get(..10));
        let day = day.and_then(|day| domain::Timestamp::parse(&format!("{day}T00:00:00Z")));
        files.entry(day.map_or(NO_DAY, |day| day.day())).or_default().push(path);
    }
    Ok((Some(table), files))
}

fn encode_batch(batch: &RecordBatch) -> Result<Vec<u8>, parquet::errors::ParquetError> {
    let properties = Some((*properties(batch.num_rows())).clone());
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), properties)?;
    writer.write(batch)?;
    writer.into_inner()
}

fn plain_add(path: String, size: usize, rows: u64) -> Add {
    let stats = json!({"numRecords": rows, "minValues": {}, "maxValues": {}, "nullCount": {}});
    adds::new_add(path, size, HashMap::new(), stats)
}

fn parquet_error(doing: &'static str, path: &str, source: parquet::errors::ParquetError) -> LakeError {
    LakeError::Parquet { doing, path: path.to_owned(), source: Box::new(source) }
}
