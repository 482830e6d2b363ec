//! The one way to change the lake: atomic commits to its tables and documents that must not be there yet.
//!
//! Two things make a commit more than one request. Another writer may be first: the caller reads what it wrote and tries
//! again, which [`Races`] counts. And a store may report our own commit as lost: the request took effect, the answer
//! went astray, and the client repeats it or gives up. So every commit carries an identity, `txnId` in its commit info
//! as the Delta protocol has it, and whatever is not told as done is looked up in the log: was that ours? What nobody
//! can tell is [`LakeError::Uncertain`]; nothing may be removed then that the log may refer to.

use crate::delta::data_files::FILE_BYTES;
use crate::delta::store::Store;
use crate::delta::table::{self, CHECKPOINT_EVERY, DATA_VERSION, ORIGIN, TableName, checkpoint, struct_type, version};
use crate::error::LakeError;
use arrow::datatypes::SchemaRef;
use deltalake_core::kernel::transaction::{CommitBuilder, CommitProperties, TransactionError};
use deltalake_core::kernel::{Action, Add, Metadata, MetadataExt, Remove, StructType};
use deltalake_core::operations::create::CreateBuilder;
use deltalake_core::protocol::{DeltaOperation, SaveMode};
use deltalake_core::table::state::DeltaTableState;
use deltalake_core::{DeltaTable, DeltaTableError};
use domain::identity::hex;
use object_store::PutMode;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

/// Lost races after which a writer gives up: each one means that another writer succeeded.
const TRIES: u32 = 100;

/// In a commit info: which commit it is.
const ID: &str = "txnId";

/// How a commit ended.
pub(crate) enum Outcome {
    /// In the table, at this version.
    Committed(i64),
    /// Another writer was first: read what it wrote, then try again.
    Lost,
}

/// The lost races over one thing.
pub struct Races {
    over: String,
    lost: u32,
}

impl Races {
    /// None yet.
    pub fn over(what: impl ToString) -> Self {
        Self { over: what.to_string(), lost: 0 }
    }

    /// Counts one more; [`LakeError::Contended`] when there were too many.
    pub fn lose(&mut self) -> Result<(), LakeError> {
        self.lost += 1;
        if self.lost < TRIES { Ok(()) } else { Err(LakeError::Contended(self.over.clone(), self.lost)) }
    }
}

/// What a commit does to the rows that were there.
pub(crate) enum Mode {
    Append,
    Replace,
    /// Other rows in the place of those of some files.
    Exchange(Vec<Remove>),
    /// The same rows in other files: these go.
    Compact(Vec<Remove>),
}

/// One commit: the new files, and what it does to the old ones.
pub(crate) struct Change<'a> {
    pub(crate) schema: &'a SchemaRef,
    pub(crate) partition: Option<&'a str>,
    pub(crate) adds: Vec<Add>,
    pub(crate) mode: Mode,
    /// What the table is made from, kept in the commit.
    pub(crate) origin: Value,
}

/// Commits files to a table in one step, on top of the version the caller has read. Creates the table when it is new.
pub(crate) async fn commit(
    store: &Store,
    name: &TableName,
    read: Option<&DeltaTable>,
    change: Change<'_>,
) -> Result<Outcome, LakeError> {
    let origin = Some(change.origin.clone());
    let entry = match read {
        Some(table) => next(table, change).map_err(LakeError::table("write", name.to_string()))?,
        None => first(store, name, change)?,
    };
    let outcome = settle(store, name, origin, entry).await?;
    if let Outcome::Committed(version) = outcome
        && version > 0
        && version % CHECKPOINT_EVERY == 0
    {
        // The commit stands without it; a checkpoint that failed costs time only, and the next one comes.
        let _ = checkpoint(store, name).await;
    }
    Ok(outcome)
}

/// Puts files in the place of others in one commit, on top of the version the caller has read. What the table was made
/// from stays what it was.
pub(crate) async fn swap(
    store: &Store,
    name: &TableName,
    table: &DeltaTable,
    old: Vec<Action>,
    new: Vec<Add>,
) -> Result<Outcome, LakeError> {
    let actions = old.into_iter().chain(new.into_iter().map(Action::Add)).collect();
    let entry = Entry::Next { table, actions, operation: Box::new(DeltaOperation::Delete { predicate: None }) };
    settle(store, name, table::origin(table).await, entry).await
}

/// Gives a table the columns that it lacks, in a commit of their own. Where another writer was first, it is left to them.
pub(crate) async fn widen(store: &Store, name: &TableName, schema: &SchemaRef) -> Result<(), LakeError> {
    let Some(table) = table::open(store, name).await? else { return Ok(()) };
    let failed = |doing| LakeError::table(doing, name.to_string());
    let snapshot = table.snapshot().map_err(failed("read"))?;
    if widened(snapshot, schema).map_err(failed("widen"))?.is_none() {
        return Ok(());
    }
    let partition = snapshot.metadata().partition_columns().first().cloned();
    let mut origin = table::origin(&table).await.filter(Value::is_object).unwrap_or_else(|| json!({}));
    origin[DATA_VERSION] = table::data_version(&table).await.into();
    let change = Change { schema, partition: partition.as_deref(), adds: Vec::new(), mode: Mode::Append, origin };
    commit(store, name, Some(&table), change).await.map(|_| ())
}

/// Writes a document that must not be there yet. Its bytes are its identity: no two writers may make the same.
pub(crate) async fn create(store: &Store, below: &str, bytes: Vec<u8>) -> Result<(), LakeError> {
    for asked_again in [false, true] {
        let error = match store.put(below, bytes.clone(), PutMode::Create).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        let is_certain = match &error {
            LakeError::Exists(_) => true,
            LakeError::Document { source, .. } => store.is_certain(source),
            _ => true,
        };
        match store.get(below).await {
            Ok(Some(found)) if found == bytes => return Ok(()),
            Ok(Some(_)) => return Err(LakeError::Exists(below.to_owned())),
            // As with commits: to ask again settles it.
            Ok(None) if !is_certain && !asked_again => {}
            _ => return Err(error),
        }
    }
    Err(LakeError::Exists(below.to_owned()))
}

/// A commit that can be sent more than once.
enum Entry<'a> {
    First(Box<CreateBuilder>),
    Next { table: &'a DeltaTable, actions: Vec<Action>, operation: Box<DeltaOperation> },
}

impl Entry<'_> {
    /// The version that it becomes, if it becomes one.
    fn version(&self) -> i64 {
        match self {
            Self::First(_) => 0,
            Self::Next { table, .. } => version(table) + 1,
        }
    }

    async fn send(&self, metadata: HashMap<String, Value>) -> Result<i64, DeltaTableError> {
        match self {
            Self::First(create) => {
                let properties = CommitProperties::default().with_metadata(metadata).with_max_retries(0);
                let table = create.as_ref().clone().with_commit_properties(properties).await?;
                Ok(version(&table))
            }
            Self::Next { table, actions, operation } => {
                let commit = CommitBuilder::default()
                    .with_actions(actions.clone())
                    .with_app_metadata(metadata)
                    .with_max_retries(0)
                    .build(Some(table.snapshot()?), table.log_store(), operation.as_ref().clone());
                Ok(commit.await?.version() as i64)
            }
        }
    }
}

/// Who wrote an entry of the log.
enum Author {
    We,
    Another,
    /// There is none.
    Nobody,
}

/// Sends a commit, until it is known how it ended.
async fn settle(
    store: &Store,
    name: &TableName,
    origin: Option<Value>,
    entry: Entry<'_>,
) -> Result<Outcome, LakeError> {
    let (id, at) = (unique(), entry.version());
    let mut metadata = HashMap::from([(ID.to_owned(), Value::from(id.clone()))]);
    metadata.extend(origin.map(|origin| (ORIGIN.to_owned(), origin)));
    let mut asked_again = false;
    loop {
        let error = match entry.send(metadata.clone()).await {
            Ok(version) => return Ok(Outcome::Committed(version)),
            Err(error) => error,
        };
        let Ok(author) = author(store, name, at, &id).await else {
            return Err(uncertain(name, error));
        };
        match author {
            Author::We => return Ok(Outcome::Committed(at)),
            Author::Another => return Ok(Outcome::Lost),
            // Later versions are there, and this one is cleaned up already.
            Author::Nobody if is_lost(&error) => return Ok(Outcome::Lost),
            Author::Nobody if is_certain(store, &error) => {
                return Err(LakeError::table("commit to", name.to_string())(error));
            }
            // It may be on its way still. Asked again for the same version, one of the two takes it and the other cannot.
            Author::Nobody if !asked_again => asked_again = true,
            Author::Nobody => return Err(uncertain(name, error)),
        }
    }
}

fn uncertain(name: &TableName, error: DeltaTableError) -> LakeError {
    LakeError::Uncertain { table: name.to_string(), source: Box::new(error) }
}

async fn author(store: &Store, name: &TableName, version: i64, id: &str) -> Result<Author, LakeError> {
    let path = format!("{}/{}/_delta_log/{version:020}.json", name.schema, name.table);
    let Some(entry) = store.get(&path).await? else { return Ok(Author::Nobody) };
    let infos = entry.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice::<Value>(line).ok());
    let mut ids = infos.filter_map(|action| action["commitInfo"][ID].as_str().map(str::to_owned));
    Ok(if ids.any(|found| found == id) { Author::We } else { Author::Another })
}

/// What no other commit is called. Seeded by the system.
pub fn unique() -> String {
    let [one, other] = [0, 1].map(|half: u8| u128::from(RandomState::new().hash_one((half, std::process::id()))));
    hex(one << 64 | other)
}

/// Whether a commit that failed with this can have no effect, now or later.
fn is_certain(store: &Store, error: &DeltaTableError) -> bool {
    match error {
        DeltaTableError::ObjectStore { source }
        | DeltaTableError::Transaction { source: TransactionError::ObjectStore { source } } => store.is_certain(source),
        _ => store.is_local(),
    }
}

/// Whether a commit failed only because somebody was first.
fn is_lost(error: &DeltaTableError) -> bool {
    match error {
        DeltaTableError::VersionAlreadyExists(_) => true,
        DeltaTableError::Transaction { source } => matches!(
            source,
            TransactionError::VersionAlreadyExists(_)
                | TransactionError::MaxCommitAttempts(_)
                | TransactionError::CommitConflict(_)
        ),
        other => other.to_string().contains("already exists"),
    }
}

/// The commit that makes a table.
fn first<'a>(store: &Store, name: &TableName, change: Change<'_>) -> Result<Entry<'a>, LakeError> {
    let struct_type = struct_type(change.schema).map_err(LakeError::table("create", name.to_string()))?;
    let create = CreateBuilder::new()
        .with_location(store.table_url(&name.schema, &name.table)?.as_str())
        .with_table_name(name.to_string())
        .with_columns(struct_type.fields().cloned())
        .with_partition_columns(change.partition.map(str::to_owned))
        .with_actions(change.adds.into_iter().map(Action::Add))
        .with_save_mode(SaveMode::ErrorIfExists);
    Ok(Entry::First(Box::new(create)))
}

/// The commit that changes a table.
fn next<'a>(table: &'a DeltaTable, change: Change<'_>) -> Result<Entry<'a>, DeltaTableError> {
    let Change { schema, partition, adds, mode, origin: _ } = change;
    let partition_by: Vec<String> = partition.map(str::to_owned).into_iter().collect();
    let snapshot = table.snapshot()?;
    let now = chrono::Utc::now().timestamp_millis();
    let mut actions: Vec<Action> = Vec::new();
    if matches!(mode, Mode::Replace) {
        let files = snapshot.log_data();
        actions.extend(files.iter().map(|file| {
            let mut remove = file.remove_action(true);
            remove.deletion_timestamp = Some(now);
            Action::Remove(remove)
        }));
        let wanted = struct_type(schema)?;
        if *snapshot.schema() != wanted || *snapshot.metadata().partition_columns() != partition_by {
            actions.push(Action::Metadata(reshaped(snapshot.metadata(), &wanted, &partition_by)?));
        }
    }
    if matches!(mode, Mode::Append) {
        actions.extend(widened(snapshot, schema)?.map(Action::Metadata));
    }
    actions.extend(adds.into_iter().map(Action::Add));
    let write = |mode| {
        let partition_by = Some(partition_by).filter(|p| !p.is_empty());
        DeltaOperation::Write { mode, partition_by, predicate: None }
    };
    let operation = match mode {
        Mode::Append => write(SaveMode::Append),
        Mode::Replace => write(SaveMode::Overwrite),
        Mode::Exchange(removes) => {
            actions.extend(removes.into_iter().map(|mut remove| {
                remove.deletion_timestamp = Some(now);
                Action::Remove(remove)
            }));
            write(SaveMode::Overwrite)
        }
        Mode::Compact(removes) => {
            actions.extend(removes.into_iter().map(Action::Remove));
            DeltaOperation::Optimize { predicate: None, target_size: FILE_BYTES as i64 }
        }
    };
    Ok(Entry::Next { table, actions, operation: Box::new(operation) })
}

/// The table with the columns that it lacks, because an older version of this program made it; rows of before have none.
fn widened(snapshot: &DeltaTableState, schema: &SchemaRef) -> Result<Option<Metadata>, DeltaTableError> {
    let (is, wanted) = (snapshot.schema(), struct_type(schema)?);
    if wanted.fields().all(|field| is.field(field.name()).is_some()) {
        return Ok(None);
    }
    let more = wanted.fields().filter(|field| is.field(field.name()).is_none());
    let columns = StructType::try_new(is.fields().chain(more).cloned())?;
    reshaped(snapshot.metadata(), &columns, snapshot.metadata().partition_columns()).map(Some)
}

/// The same table with other columns and partitions.
fn reshaped(metadata: &Metadata, schema: &StructType, partition_by: &[String]) -> Result<Metadata, DeltaTableError> {
    let metadata = metadata.clone().with_schema(schema)?;
    let mut written = serde_json::to_value(metadata)?;
    written["partitionColumns"] = partition_by.into();
    Ok(serde_json::from_value(written)?)
}
