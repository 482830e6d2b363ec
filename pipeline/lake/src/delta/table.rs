//! Delta tables: opened, read, and what their columns can hold. They are changed by `commit`.

use crate::delta::logged::Logged;
use crate::delta::root;
use crate::delta::store::Store;
pub use crate::delta::table_name::TableName;
use crate::error::LakeError;
use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::catalog::TableProvider;
use datafusion::execution::SessionState;
use deltalake_core::kernel::{StructField, StructType};
use deltalake_core::protocol::checkpoints::create_checkpoint;
use deltalake_core::{DeltaTable, DeltaTableBuilder, DeltaTableError};
use serde_json::Value;
use std::sync::Arc;

/// Where the commit info of this program keeps what a table was made from.
pub(crate) const ORIGIN: &str = "pipeline";

/// In the origin of a compaction: the last version that changed the rows.
pub(crate) const DATA_VERSION: &str = "data_version";

/// Commits after which the log gets a checkpoint.
pub(crate) const CHECKPOINT_EVERY: i64 = 20;

/// The table as it is now; none when nothing was ever committed.
pub(crate) async fn open(store: &Store, name: &TableName) -> Result<Option<DeltaTable>, LakeError> {
    let log = store.names(&format!("{}/{}/_delta_log", name.schema, name.table)).await?;
    if !log.iter().any(|file| file.ends_with(".json") || file.ends_with(".parquet")) {
        return Ok(None);
    }
    let newest = log.iter().filter_map(|file| file.strip_suffix(".json")?.parse().ok()).max();
    if let Some(mut table) = store.opened(name) {
        // What is not as expected of a log that only grows is read from the start again.
        let is_newest = |table: &DeltaTable| newest == Some(version(table));
        if is_newest(&table) {
            return Ok(Some(table));
        }
        if table.update_state().await.is_ok() && newest <= Some(version(&table)) {
            let table = inside(name, table)?;
            store.keep(name, &table);
            return Ok(Some(table));
        }
    }
    let failed = |error| LakeError::table("open", name.to_string())(error);
    let builder = DeltaTableBuilder::from_url(store.table_url(&name.schema, &name.table)?).map_err(failed)?;
    let table = inside(name, builder.load().await.map_err(failed)?)?;
    store.keep(name, &table);
    Ok(Some(table))
}

/// The table, unless its log names files that lie elsewhere: a lake from somebody else reads nothing of this machine.
fn inside(name: &TableName, table: DeltaTable) -> Result<DeltaTable, LakeError> {
    match root::outside(&table) {
        Some(path) => Err(LakeError::Outside { table: name.to_string(), path }),
        None => Ok(table),
    }
}

/// The table as it was at a version that its log still has.
pub(crate) async fn open_at(store: &Store, name: &TableName, version: i64) -> Result<Option<DeltaTable>, LakeError> {
    let failed = LakeError::table("open", format!("{name} at version {version}"));
    let builder = DeltaTableBuilder::from_url(store.table_url(&name.schema, &name.table)?);
    match builder {
        Ok(builder) => {
            let table = builder.with_version(version.unsigned_abs()).load().await.map_err(failed)?;
            inside(name, table).map(Some)
        }
        Err(error) => Err(failed(error)),
    }
}

/// The newest version of a table and the last one that changed its rows, from its log alone; none when nothing was ever
/// committed.
pub(crate) async fn newest(store: &Store, name: &TableName) -> Result<Option<(i64, i64)>, LakeError> {
    let folder = format!("{}/{}/_delta_log", name.schema, name.table);
    let log = store.names(&folder).await?;
    if let Some(newest) = log.iter().filter_map(|file| file.strip_suffix(".json")?.parse::<i64>().ok()).max()
        && let Some(commit) = store.get(&format!("{folder}/{newest:020}.json")).await?
    {
        let said = commit.split(|byte| *byte == b'\n').find(|line| line.starts_with(b"{\"commitInfo\""));
        let said = said.and_then(|line| serde_json::from_slice::<Value>(line).ok()).unwrap_or_default();
        let data = said["commitInfo"][ORIGIN][DATA_VERSION].as_i64();
        return Ok(Some((newest, data.unwrap_or(newest))));
    }
    match open(store, name).await? {
        Some(table) => Ok(Some((version(&table), data_version(&table).await))),
        None => Ok(None),
    }
}

/// A table as the engine reads it.
pub(crate) async fn provider(
    table: &DeltaTable,
    name: &TableName,
    state: SessionState,
) -> Result<Arc<dyn TableProvider>, LakeError> {
    if let Some(logged) = Logged::open(table, name)? {
        return Ok(Arc::new(logged));
    }
    table.update_datafusion_session(&state).map_err(LakeError::table("read", name.to_string()))?;
    table.table_provider().with_session(Arc::new(state)).await.map_err(LakeError::sql(name.to_string()))
}

/// The version of a loaded table.
pub(crate) fn version(table: &DeltaTable) -> i64 {
    table.version().map_or(-1, |v| v as i64)
}

/// What the newest commit of this program says the table was made from.
pub(crate) async fn origin(table: &DeltaTable) -> Option<Value> {
    use futures::TryStreamExt;
    let commit = table.history(Some(1)).try_next().await.ok().flatten()?;
    commit.info.get(ORIGIN).cloned()
}

/// The last version that changed the rows: a compaction carries it on from what it compacted.
pub(crate) async fn data_version(table: &DeltaTable) -> i64 {
    let carried = origin(table).await.and_then(|origin| origin.get(DATA_VERSION)?.as_i64());
    carried.unwrap_or_else(|| version(table))
}

/// Writes a checkpoint when the log has grown since the last one, so that opening the table stays quick.
pub(crate) async fn checkpoint(store: &Store, name: &TableName) -> Result<bool, LakeError> {
    let log = store.names(&format!("{}/{}/_delta_log", name.schema, name.table)).await?;
    let versions = |what: &str| {
        let of = |file: &String| file.contains(what).then(|| file.split('.').next()?.parse::<i64>().ok()).flatten();
        log.iter().filter_map(of).max()
    };
    if versions(".json") < Some(versions(".checkpoint").unwrap_or(0) + CHECKPOINT_EVERY) {
        return Ok(false);
    }
    let Some(table) = open(store, name).await? else { return Ok(false) };
    create_checkpoint(&table, None).await.map_err(LakeError::table("checkpoint", name.to_string()))?;
    Ok(true)
}

/// Columns as Delta can hold them: no unsigned integers, no views, no dictionaries, microseconds in UTC.
fn delta_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::UInt8 | DataType::UInt16 | DataType::UInt32 | DataType::UInt64 => DataType::Int64,
        DataType::Utf8View | DataType::LargeUtf8 | DataType::Null => DataType::Utf8,
        DataType::Dictionary(_, value) => delta_type(value),
        DataType::BinaryView | DataType::LargeBinary => DataType::Binary,
        DataType::Timestamp(..) => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        DataType::List(item) | DataType::LargeList(item) | DataType::ListView(item) => {
            DataType::List(Arc::new(Field::new("element", delta_type(item.data_type()), true)))
        }
        DataType::Struct(fields) => {
            DataType::Struct(fields.iter().map(|f| Field::new(f.name(), delta_type(f.data_type()), true)).collect())
        }
        other => other.clone(),
    }
}

/// A query's schema as a table's.
pub(crate) fn delta_schema(schema: &Schema) -> SchemaRef {
    let fields = schema.fields().iter().map(|f| Field::new(f.name(), delta_type(f.data_type()), true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// A query's batch as a table's.
pub(crate) fn conform(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, arrow::error::ArrowError> {
    let columns = batch.columns().iter().zip(schema.fields());
    let columns: Vec<ArrayRef> = columns.map(|(c, f)| cast(c, f.data_type())).collect::<Result<_, _>>()?;
    RecordBatch::try_new(schema.clone(), columns)
}

/// A schema as the Delta library has it.
pub(crate) fn struct_type(schema: &SchemaRef) -> Result<StructType, DeltaTableError> {
    use deltalake_core::kernel::engine::arrow_conversion::TryFromArrow;
    let fields = schema.fields().iter().map(|f| StructField::try_from_arrow(f.as_ref()));
    let fields = fields.collect::<Result<Vec<_>, _>>().map_err(DeltaTableError::from)?;
    Ok(StructType::try_new(fields)?)
}
