//! Parquet files for a table that nothing refers to yet, one day at a time: what is open at one time is one file,
//! however many days there are.
//!
//! The same rows in the same order make the same bytes, whatever batches they come in: so it can be told that a day that
//! was made anew is what it was.

use crate::delta::store::Store;
use crate::delta::table::TableName;
use crate::error::LakeError;
use arrow::array::{Array, ArrayRef, Int32Array, RecordBatch};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Field, SchemaRef};
use deltalake_core::kernel::Add;
use deltalake_core::writer::{DeltaWriter, RecordBatchWriter};
use intake::{BATCH_ROWS, HARDLY_REPEATED};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use serde_json::Value;
use std::sync::Arc;

/// A file that has reached this is closed, and the next one begun.
pub(crate) const FILE_BYTES: u64 = 128 << 20;

/// Rows of one row group: enough to compress well, few enough to skip.
const ROW_GROUP: usize = 128 * 1024;

/// Writes the files. Of a table with days, rows of one day should come together: a day that comes again gets another file.
pub(crate) struct Files {
    writer: RecordBatchWriter,
    /// Of days that fit into one batch.
    small: RecordBatchWriter,
    name: TableName,
    schema: SchemaRef,
    partition: Option<String>,
    /// Rows of the open day that are not encoded yet, fewer than [`BATCH_ROWS`].
    held: Vec<RecordBatch>,
    /// The open day, in days since 1970; none inside for rows without one.
    day: Option<Option<i32>>,
    /// Whether rows of it are encoded already.
    is_large: bool,
    adds: Vec<Add>,
    /// Columns whose least and greatest value in a file stand in the log. Of others nearly every day has all values, which
    /// tells no reader what to skip, and whoever opens the table reads what is said of every file.
    times: Vec<String>,
}

impl Files {
    pub(crate) fn new(
        store: &Store,
        name: &TableName,
        schema: SchemaRef,
        partition: Option<&str>,
    ) -> Result<Self, LakeError> {
        let is_time = |field: &&Arc<Field>| matches!(field.data_type(), DataType::Date32 | DataType::Timestamp(..));
        let times = schema.fields().iter().filter(is_time).map(|field| field.name().clone()).collect();
        let url = store.table_url(&name.schema, &name.table)?;
        let columns = partition.map(|column| vec![column.to_owned()]);
        let writer = |compression, rows| {
            let writer = RecordBatchWriter::try_new(url.as_str(), schema.clone(), columns.clone(), None);
            let writer = writer.map_err(LakeError::table("write", name.to_string()))?;
            let properties = properties(&schema, compression, rows);
            Ok::<_, LakeError>(writer.with_writer_properties(properties).with_target_file_size(FILE_BYTES))
        };
        Ok(Self {
            writer: writer(Compression::ZSTD(ZstdLevel::default()), ROW_GROUP)?,
            small: writer(Compression::SNAPPY, BATCH_ROWS)?,
            name: name.clone(),
            schema: schema.clone(),
            partition: partition.map(str::to_owned),
            held: Vec::new(),
            day: None,
            is_large: false,
            adds: Vec::new(),
            times,
        })
    }

    pub(crate) async fn write(&mut self, batch: RecordBatch) -> Result<(), LakeError> {
        let Some(partition) = self.partition.clone() else { return self.encode(batch).await };
        for (day, rows) in days(&batch, &partition).map_err(LakeError::columns(&self.name.to_string()))? {
            if self.day != Some(day) {
                self.close_day().await?;
                self.day = Some(day);
            }
            self.hold(rows).await?;
        }
        Ok(())
    }

    /// Takes rows of the open day, and encodes them a full batch at a time.
    async fn hold(&mut self, mut rows: RecordBatch) -> Result<(), LakeError> {
        let mut held: usize = self.held.iter().map(RecordBatch::num_rows).sum();
        while held + rows.num_rows() >= BATCH_ROWS {
            let taken = BATCH_ROWS - held;
            self.held.push(rows.slice(0, taken));
            rows = rows.slice(taken, rows.num_rows() - taken);
            let batch = self.batch()?;
            self.encode(batch).await?;
            held = 0;
        }
        self.held.extend((rows.num_rows() > 0).then_some(rows));
        Ok(())
    }

    /// What is held, as one batch.
    fn batch(&mut self) -> Result<RecordBatch, LakeError> {
        let held = std::mem::take(&mut self.held);
        concat_batches(&self.schema, &held).map_err(LakeError::columns(&self.name.to_string()))
    }

    async fn encode(&mut self, batch: RecordBatch) -> Result<(), LakeError> {
        self.is_large = true;
        self.writer.write(batch).await.map_err(LakeError::table("write", self.name.to_string()))
    }

    /// Closes the open file.
    async fn close_day(&mut self) -> Result<(), LakeError> {
        let batch = self.batch()?;
        let is_large = std::mem::take(&mut self.is_large);
        let writer = if is_large { &mut self.writer } else { &mut self.small };
        let failed = || LakeError::table("write", self.name.to_string());
        if batch.num_rows() > 0 {
            writer.write(batch).await.map_err(failed())?;
        }
        self.adds.extend(writer.flush().await.map_err(failed())?);
        Ok(())
    }

    pub(crate) async fn finish(mut self) -> Result<Vec<Add>, LakeError> {
        self.close_day().await?;
        for stats in self.adds.iter_mut().filter_map(|add| add.stats.as_mut()) {
            if let Ok(Value::Object(mut all)) = serde_json::from_str(stats) {
                for of_columns in all.values_mut().filter_map(Value::as_object_mut) {
                    of_columns.retain(|column, _| self.times.contains(column));
                }
                *stats = Value::Object(all).to_string();
            }
        }
        Ok(self.adds)
    }
}

fn properties(schema: &SchemaRef, compression: Compression, rows: usize) -> WriterProperties {
    let mut properties =
        WriterProperties::builder().set_compression(compression).set_max_row_group_row_count(Some(rows));
    for field in schema.fields().iter().filter(|field| HARDLY_REPEATED.contains(&field.name().as_str())) {
        let path = ColumnPath::from(field.name().as_str());
        properties = properties.set_column_dictionary_enabled(path.clone(), false);
        properties = match field.data_type() {
            DataType::Timestamp(..) => properties.set_column_encoding(path, Encoding::DELTA_BINARY_PACKED),
            // Least and greatest of texts that are all different tell no reader what to skip.
            _ => properties.set_column_statistics_enabled(path, EnabledStatistics::None),
        };
    }
    if schema.column_with_name("event_id").is_some() {
        properties = properties.set_column_bloom_filter_enabled(ColumnPath::from("event_id"), true);
    }
    properties.build()
}

/// The rows of a batch, parted where the day changes.
fn days(batch: &RecordBatch, partition: &str) -> Result<Vec<(Option<i32>, RecordBatch)>, arrow::error::ArrowError> {
    let Some(column) = batch.column_by_name(partition) else { return Ok(vec![(None, batch.clone())]) };
    let numbers: ArrayRef = cast(column, &DataType::Int32)?;
    let Some(numbers) = numbers.as_any().downcast_ref::<Int32Array>() else { return Ok(vec![(None, batch.clone())]) };
    let day = |row: usize| (!numbers.is_null(row)).then(|| numbers.value(row));
    let (mut parts, mut from) = (Vec::new(), 0);
    for row in 1..=batch.num_rows() {
        if row == batch.num_rows() || day(row) != day(from) {
            parts.push((day(from), batch.slice(from, row - from)));
            from = row;
        }
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::Date32Array;
    use arrow::datatypes::Schema;

    #[test]
    fn a_batch_is_parted_where_the_day_changes() {
        let schema = Arc::new(Schema::new(vec![Field::new("day", DataType::Date32, true)]));
        let column = Date32Array::from(vec![Some(1), Some(1), None, Some(2), Some(1)]);
        let batch = RecordBatch::try_new(schema.clone(), vec![Arc::new(column)]).unwrap();
        let parts = days(&batch, "day").unwrap();
        let sizes: Vec<_> = parts.iter().map(|(day, rows)| (*day, rows.num_rows())).collect();
        assert_eq!(sizes, [(Some(1), 2), (None, 1), (Some(2), 1), (Some(1), 1)]);
        assert!(days(&RecordBatch::new_empty(schema), "day").unwrap().is_empty());
    }
}
