//! From the streams of a query to the files of a table, one writer a stream.

use super::changes::{Parts, is_day};
use crate::error::LakeError;
use crate::lake::Lake;
use crate::store::Store;
use crate::table::{self, Change, Files, Mode, Outcome, TableName, conform, delta_schema};
use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::prelude::DataFrame;
use deltalake_core::DeltaTable;
use deltalake_core::kernel::{Add, Remove};
use futures::StreamExt;
use serde_json::Value;

/// Partitions of one stream that may be open at a time; most streams come sorted by partition.
const OPEN_PARTITIONS: usize = 8;

/// Files that nothing refers to yet.
pub(super) struct Written {
    pub(super) schema: SchemaRef,
    pub(super) adds: Vec<Add>,
    pub(super) rows: u64,
}

impl Written {
    pub(super) fn append(&mut self, other: Self) {
        self.adds.extend(other.adds);
        self.rows += other.rows;
    }
}

/// Writes the result of a query, each of its streams on its own.
pub(super) async fn frame(
    store: &Store,
    name: &TableName,
    frame: DataFrame,
    partition: Option<&str>,
) -> Result<Written, LakeError> {
    let schema = delta_schema(frame.schema().as_arrow());
    let what = name.to_string();
    if let Some(column) = partition
        && !schema.field_with_name(column).is_ok_and(|field| is_day(field.data_type()))
    {
        let wrong = format!("the partition {column} should be a column of type date");
        return Err(LakeError::sql(what)(datafusion::error::DataFusionError::Plan(wrong)));
    }
    let streams = frame.execute_stream_partitioned().await.map_err(LakeError::sql(what.clone()))?;
    let mut tasks = tokio::task::JoinSet::new();
    for stream in streams {
        let files = Files::new(store, name, schema.clone(), partition)?;
        let (schema, what, partition) = (schema.clone(), what.clone(), partition.map(str::to_owned));
        tasks.spawn(one(stream, files, schema, what, partition));
    }
    let mut written = Written { schema, adds: Vec::new(), rows: 0 };
    while let Some(done) = tasks.join_next().await {
        let (adds, rows) = done.map_err(|panic| LakeError::Stopped(what.clone(), panic.to_string()))??;
        written.adds.extend(adds);
        written.rows += rows;
    }
    Ok(written)
}

async fn one(
    mut stream: SendableRecordBatchStream,
    mut files: Files,
    schema: SchemaRef,
    what: String,
    partition: Option<String>,
) -> Result<(Vec<Add>, u64), LakeError> {
    let (mut rows, mut open) = (0, Vec::new());
    while let Some(batch) = stream.next().await {
        let batch = batch.map_err(LakeError::sql(what.clone()))?;
        rows += batch.num_rows() as u64;
        let batch = conform(&batch, &schema).map_err(LakeError::columns(&what))?;
        if let Some(partition) = &partition {
            for day in days(&batch, partition).map_err(LakeError::columns(&what))? {
                if !open.contains(&day) {
                    open.push(day);
                }
            }
            if open.len() > OPEN_PARTITIONS {
                files.close_partition().await?;
                open.clear();
            }
        }
        files.write(batch).await?;
    }
    Ok((files.finish().await?, rows))
}

/// The partitions in a batch.
fn days(batch: &RecordBatch, partition: &str) -> Result<Vec<i32>, arrow::error::ArrowError> {
    let Some(column) = batch.column_by_name(partition) else { return Ok(Vec::new()) };
    let numbers: ArrayRef = cast(column, &DataType::Int32)?;
    let Some(numbers) = numbers.as_any().downcast_ref::<arrow::array::Int32Array>() else { return Ok(Vec::new()) };
    let mut days: Vec<i32> = numbers.iter().flatten().collect();
    days.dedup();
    Ok(days)
}

/// Puts written files in the place of some old ones in one commit; false when another writer was first.
pub(super) async fn exchange(
    store: &Store,
    name: &TableName,
    old: &Parts,
    gone: Vec<Remove>,
    new: Written,
    origin: Value,
) -> Result<bool, LakeError> {
    let partition = old.partition();
    let change = Change {
        schema: &new.schema,
        partition: partition.as_deref(),
        adds: new.adds,
        mode: Mode::Exchange(gone),
        origin,
    };
    Ok(matches!(table::commit(store, name, Some(old.table()), change).await?, Outcome::Committed(_)))
}

impl Lake {
    /// Writes a result as a table in one commit; none when another writer was first. `current` is the table as it was
    /// before the result read anything of it.
    pub(crate) async fn write(
        &self,
        name: &TableName,
        current: Option<&DeltaTable>,
        stream: SendableRecordBatchStream,
        mode: Mode,
        origin: Value,
    ) -> Result<Option<u64>, LakeError> {
        let schema: SchemaRef = delta_schema(&stream.schema());
        let files = Files::new(&self.store, name, schema.clone(), None)?;
        let (adds, rows) = one(stream, files, schema.clone(), name.to_string(), None).await?;
        let change = Change { schema: &schema, partition: None, adds, mode, origin };
        match table::commit(&self.store, name, current, change).await? {
            Outcome::Committed(_) => Ok(Some(rows)),
            Outcome::Lost => Ok(None),
        }
    }
}
