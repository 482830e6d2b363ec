//! From the streams of a query to the files of a table, one writer a stream.

use super::changes::{Parts, is_day};
use crate::delta::commit::{self, Change, Mode, Outcome};
use crate::delta::data_files::Files;
use crate::delta::store::Store;
use crate::delta::table::{TableName, conform, delta_schema};
use crate::error::LakeError;
use crate::lake::Lake;
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::prelude::DataFrame;
use deltalake_core::DeltaTable;
use deltalake_core::kernel::{Add, Remove};
use futures::StreamExt;
use serde_json::Value;
use std::sync::Arc;

/// Files that nothing refers to yet.
pub(super) struct Written {
    pub(super) schema: SchemaRef,
    pub(super) adds: Vec<Add>,
    pub(super) rows: u64,
}

impl Written {
    /// No file, of a table without columns yet.
    pub(super) fn nothing() -> Self {
        Self { schema: Arc::new(Schema::empty()), adds: Vec::new(), rows: 0 }
    }

    pub(super) fn append(&mut self, other: Self) {
        self.schema = other.schema;
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
        tasks.spawn(one(stream, files, schema.clone(), what.clone()));
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
) -> Result<(Vec<Add>, u64), LakeError> {
    let mut rows = 0;
    while let Some(batch) = stream.next().await {
        let batch = batch.map_err(LakeError::sql(what.clone()))?;
        rows += batch.num_rows() as u64;
        files.write(conform(&batch, &schema).map_err(LakeError::columns(&what))?).await?;
    }
    Ok((files.finish().await?, rows))
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
    Ok(matches!(commit::commit(store, name, Some(old.table()), change).await?, Outcome::Committed(_)))
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
        let (adds, rows) = one(stream, files, schema.clone(), name.to_string()).await?;
        let change = Change { schema: &schema, partition: None, adds, mode, origin };
        match commit::commit(&self.store, name, current, change).await? {
            Outcome::Committed(_) => Ok(Some(rows)),
            Outcome::Lost => Ok(None),
        }
    }
}
