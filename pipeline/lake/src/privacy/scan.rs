//! Reading tables for what they hold of people: every text, file by file.

use crate::delta::store::Store;
use crate::delta::table::TableName;
use crate::error::LakeError;
use arrow::array::{Array, ArrayRef, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use deltalake_core::DeltaTable;
use deltalake_core::kernel::Remove;
use futures::StreamExt;
use parquet::arrow::ParquetRecordBatchStreamBuilder;

/// A file of a table as it is now.
pub(super) struct Live {
    pub(super) path: String,
    /// What the log says about its rows, as JSON.
    pub(super) stats: Option<String>,
    pub(super) remove: Remove,
}

/// The files of a table as it is now.
pub(super) fn live(name: &TableName, table: &DeltaTable) -> Result<Vec<Live>, LakeError> {
    let snapshot = table.snapshot().map_err(LakeError::table("read", name.to_string()))?;
    let files = snapshot.log_data();
    let live = files.iter().map(|file| Live {
        path: file.path().to_string(),
        stats: file.stats(),
        remove: file.remove_action(true),
    });
    Ok(live.collect())
}

/// The rows of a file, batch by batch, without the columns of its partition.
pub(super) async fn batches(
    store: &Store,
    name: &TableName,
    path: &str,
    take: &mut (dyn FnMut(RecordBatch) -> Result<(), LakeError> + Send),
) -> Result<(), LakeError> {
    let below = format!("{}/{}/{path}", name.schema, name.table);
    let failed = |source: parquet::errors::ParquetError| LakeError::Columns(below.clone(), source.into());
    let builder = ParquetRecordBatchStreamBuilder::new(store.parquet(&below)).await.map_err(failed)?;
    let mut stream = builder.build().map_err(failed)?;
    while let Some(batch) = stream.next().await {
        take(batch.map_err(failed)?)?;
    }
    Ok(())
}

/// Whether a column is text that can be written back as text.
pub(super) fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, value) => is_text(value),
        _ => false,
    }
}

/// The texts of a column; what is nested is written out, what holds no text gives none.
pub(super) fn texts(column: &ArrayRef) -> Result<Option<StringArray>, ArrowError> {
    let array = match column.data_type() {
        data_type if is_text(data_type) => cast(column, &DataType::Utf8)?,
        DataType::List(_) | DataType::LargeList(_) | DataType::Struct(_) | DataType::Map(..) => {
            let options = FormatOptions::default();
            let shown = ArrayFormatter::try_new(column, &options)?;
            let shown = (0..column.len()).map(|row| (!column.is_null(row)).then(|| shown.value(row).to_string()));
            return Ok(Some(StringArray::from_iter(shown)));
        }
        _ => return Ok(None),
    };
    Ok(array.as_any().downcast_ref().cloned())
}

/// Which rows hold the hash.
pub(super) fn holds(batch: &RecordBatch, hash: &str) -> Result<Vec<bool>, LakeError> {
    let mut holds = vec![false; batch.num_rows()];
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        let Some(texts) = texts(column).map_err(LakeError::columns(field.name()))? else { continue };
        for (row, text) in texts.iter().enumerate() {
            holds[row] |= text.is_some_and(|text| text.contains(hash));
        }
    }
    Ok(holds)
}
