//! From rows to Parquet files that nothing refers to until the commit.

use super::arrays::Columns;
use super::rows::{EVENT_DATE, Rows};
use crate::columns::events_schema;
use arrow_schema::{DataType, Field, Schema};
use parquet::arrow::ArrowSchemaConverter;
use parquet::arrow::arrow_writer::{ArrowRowGroupWriterFactory, compute_leaves};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::ColumnPath;
use std::sync::{Arc, LazyLock};

/// Columns whose values hardly repeat: a dictionary would only cost.
pub const HARDLY_REPEATED: &[&str] = &["event_id", "payload", "context", "sha", "ts"];

/// Rows of a day that are encoded together. A day with fewer is packed by Snappy: a context of zstd for each column of each of
/// some thousand small files takes longer than all the rest of them.
pub const BATCH_ROWS: usize = 8192;

/// Rows of one row group: enough to compress well, few enough to skip.
const ROW_GROUP: usize = 128 * 1024;

/// Values that the encoders take at a time.
const WRITE_BATCH: usize = 4096;

/// Texts by which rows are sorted: only theirs tell which row groups to skip.
const STATISTICS: &[&str] = &["repo", "pr_id", "resource"];

/// How the files of `staging.events` are written, those of so many rows.
pub fn properties(rows: usize) -> Arc<WriterProperties> {
    static LARGE: LazyLock<Arc<WriterProperties>> =
        LazyLock::new(|| with(Compression::ZSTD(ZstdLevel::try_new(1).expect("1 is a level of zstd"))));
    static SMALL: LazyLock<Arc<WriterProperties>> = LazyLock::new(|| with(Compression::SNAPPY));
    if rows < BATCH_ROWS { SMALL.clone() } else { LARGE.clone() }
}

fn with(compression: Compression) -> Arc<WriterProperties> {
    let mut properties = WriterProperties::builder()
        .set_compression(compression)
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_max_row_group_row_count(Some(ROW_GROUP))
        .set_write_batch_size(WRITE_BATCH)
        .set_column_bloom_filter_enabled(ColumnPath::from("event_id"), true);
    for field in events_schema().fields() {
        let path = ColumnPath::from(field.name().as_str());
        let is_number = matches!(field.data_type(), DataType::Int64 | DataType::Float64 | DataType::Timestamp(..));
        if is_number || HARDLY_REPEATED.contains(&field.name().as_str()) {
            properties = properties.set_column_dictionary_enabled(path.clone(), false);
        }
        if matches!(field.data_type(), DataType::Int64 | DataType::Timestamp(..)) {
            properties = properties.set_column_encoding(path.clone(), Encoding::DELTA_BINARY_PACKED);
        }
        if !is_number && !STATISTICS.contains(&field.name().as_str()) {
            properties = properties.set_column_statistics_enabled(path, EnabledStatistics::None);
        }
    }
    Arc::new(properties.build())
}

/// Encodes the rows as one Parquet file in the given order, with the columns that hold anything.
pub fn encode(rows: &Rows, order: &[u32]) -> Result<Vec<u8>, ParquetError> {
    let table = events_schema();
    let filled: Vec<usize> = rows.filled().into_iter().filter(|column| *column != EVENT_DATE).collect();
    let fields: Vec<Field> = filled.iter().map(|column| table.field(*column).clone()).collect();
    let schema = Arc::new(Schema::new(fields));
    let descriptor = ArrowSchemaConverter::new().convert(&schema)?;
    let mut file = SerializedFileWriter::new(Vec::new(), descriptor.root_schema_ptr(), properties(order.len()))?;
    let factory = ArrowRowGroupWriterFactory::new(&file, schema.clone());
    let mut columns = Columns::new(rows, &filled);
    for (number, part) in order.chunks(ROW_GROUP).enumerate() {
        let mut writers = factory.create_column_writers(number)?;
        // Some rows of all columns at a time: what is made of them is encoded while it is in the cache.
        for some in part.chunks(rows.portion()) {
            let arrays = columns.arrays(some)?;
            for ((array, field), writer) in arrays.iter().zip(schema.fields()).zip(&mut writers) {
                for leaf in compute_leaves(field, array)? {
                    writer.write(&leaf)?;
                }
            }
        }
        let mut group = file.next_row_group()?;
        for writer in writers {
            writer.close()?.append_to_row_group(&mut group)?;
        }
        group.close()?;
    }
    file.into_inner()
}
