//! From rows to Parquet files that nothing refers to until the commit.

use super::rows::{EVENT_DATE, REPO, Rows};
use crate::columns::events_schema;
use arrow::datatypes::{DataType, Field, Schema};
use deltalake_core::kernel::Add;
use domain::Timestamp;
use parquet::arrow::ArrowSchemaConverter;
use parquet::arrow::arrow_writer::{ArrowRowGroupWriterFactory, compute_leaves};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::ColumnPath;
use serde_json::json;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

/// Rows of one row group: enough to compress well, few enough to skip.
const ROW_GROUP: usize = 128 * 1024;

/// Values that the encoders take at a time.
const WRITE_BATCH: usize = 4096;

/// Columns whose values hardly repeat: a dictionary would only cost.
const NO_DICTIONARY: &[&str] = &["event_id", "payload", "context", "sha", "ts"];

/// Texts by which rows are sorted: only theirs tell which row groups to skip.
const STATISTICS: &[&str] = &["repo", "pr_id", "resource"];

/// How the files of `staging.events` are written.
pub(super) fn properties() -> Arc<WriterProperties> {
    static PROPERTIES: LazyLock<Arc<WriterProperties>> = LazyLock::new(|| {
        let level = ZstdLevel::try_new(1).expect("1 is a level of zstd");
        let mut properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(level))
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_max_row_group_row_count(Some(ROW_GROUP))
            .set_write_batch_size(WRITE_BATCH)
            .set_column_bloom_filter_enabled(ColumnPath::from("event_id"), true);
        for field in events_schema().fields() {
            let path = ColumnPath::from(field.name().as_str());
            let is_number = matches!(field.data_type(), DataType::Int64 | DataType::Float64 | DataType::Timestamp(..));
            if is_number || NO_DICTIONARY.contains(&field.name().as_str()) {
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
    });
    PROPERTIES.clone()
}

/// Encodes the rows as one Parquet file, sorted, with the columns that hold anything.
pub(super) fn encode(rows: &Rows) -> Result<Vec<u8>, ParquetError> {
    let table = events_schema();
    let filled: Vec<usize> = rows.filled().into_iter().filter(|column| *column != EVENT_DATE).collect();
    let fields: Vec<Field> = filled.iter().map(|column| table.field(*column).clone()).collect();
    let schema = Arc::new(Schema::new(fields));
    let descriptor = ArrowSchemaConverter::new().convert(&schema)?;
    let mut file = SerializedFileWriter::new(Vec::new(), descriptor.root_schema_ptr(), properties())?;
    let factory = ArrowRowGroupWriterFactory::new(&file, schema.clone());
    let order = rows.order();
    let mut slots = Vec::new();
    for (number, part) in order.chunks(ROW_GROUP).enumerate() {
        let writers = factory.create_column_writers(number)?;
        let mut group = file.next_row_group()?;
        for ((column, field), mut writer) in filled.iter().zip(schema.fields()).zip(writers) {
            // A little of one column at a time: what is gathered is encoded while it is in the cache.
            rows.locate(*column, &mut slots);
            for some in part.chunks(rows.portion()) {
                for leaf in compute_leaves(field, &rows.gather(*column, some, &slots))? {
                    writer.write(&leaf)?;
                }
            }
            writer.close()?.append_to_row_group(&mut group)?;
        }
        group.close()?;
    }
    file.into_inner()
}

/// What Delta is told about a file.
pub(super) fn add(path: String, size: usize, day: i32, rows: &Rows) -> Add {
    // Milliseconds are all that statistics hold: the last one is rounded up, so that no reader skips what is in it.
    let time = |ts: Option<i64>| ts.map(|ts| Timestamp(ts).millis());
    let mut least = serde_json::Map::new();
    let mut most = serde_json::Map::new();
    if let (Some(first), Some(last)) =
        (time(rows.ts.iter().min().copied()), time(rows.ts.iter().max().map(|ts| ts + 999)))
    {
        least.insert("ts".into(), first.into());
        most.insert("ts".into(), last.into());
    }
    if let Some((first, last)) = rows.text_bounds(REPO)
        && first.len().max(last.len()) <= 128
    {
        least.insert("repo".into(), first.into());
        most.insert("repo".into(), last.into());
    }
    let stats = json!({"numRecords": rows.len(), "minValues": least, "maxValues": most, "nullCount": {}});
    let partition = HashMap::from([("event_date".to_owned(), Some(date(day)))]);
    new_add(path, size, partition, stats)
}

/// A file that is new in a table.
pub(super) fn new_add(
    path: String,
    size: usize,
    partition_values: HashMap<String, Option<String>>,
    stats: serde_json::Value,
) -> Add {
    Add {
        path,
        size: size as i64,
        partition_values,
        modification_time: chrono::Utc::now().timestamp_millis(),
        data_change: true,
        stats: Some(stats.to_string()),
        tags: None,
        deletion_vector: None,
        base_row_id: None,
        default_row_commit_version: None,
        clustering_provider: None,
    }
}

/// A day as it names its partition.
pub(super) fn date(day: i32) -> String {
    Timestamp(i64::from(day) * domain::time::DAY).date()
}
