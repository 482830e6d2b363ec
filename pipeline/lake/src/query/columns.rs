//! Parquet as it comes: row groups encoded and compressed side by side, and written one after the other.

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::row::{RowConverter, SortField};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::{ArrowColumnChunk, ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves};
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::ColumnPath;
use std::collections::{HashSet, VecDeque};
use std::io::Write;
use std::sync::mpsc::{Receiver, sync_channel};

/// A row group is held until it is full, and while it is encoded.
const GROUP_ROWS: usize = 128 * 1024;
/// Rows by which it is told whether the values of a column repeat.
const SAMPLE: usize = 2048;

type Encoded = Result<Vec<ArrowColumnChunk>, ParquetError>;

/// A Parquet file on its way.
pub(super) struct ColumnsWriter<W: Write + Send> {
    schema: SchemaRef,
    out: Option<W>,
    file: Option<(SerializedFileWriter<W>, ArrowRowGroupWriterFactory)>,
    waiting: Vec<RecordBatch>,
    rows: usize,
    begun: usize,
    encoding: VecDeque<Receiver<Encoded>>,
}

impl<W: Write + Send> ColumnsWriter<W> {
    pub(super) fn new(out: W, schema: SchemaRef) -> Self {
        let (waiting, encoding) = (Vec::new(), VecDeque::new());
        Self { schema, out: Some(out), file: None, waiting, rows: 0, begun: 0, encoding }
    }

    pub(super) fn write(&mut self, batch: RecordBatch) -> Result<(), ParquetError> {
        self.rows += batch.num_rows();
        self.waiting.push(batch);
        if self.rows >= GROUP_ROWS { self.begin_group() } else { Ok(()) }
    }

    pub(super) fn finish(&mut self) -> Result<(), ParquetError> {
        self.begin_group()?;
        while !self.encoding.is_empty() {
            self.end_group()?;
        }
        self.open()?;
        self.file.as_mut().map_or(Ok(()), |(file, _)| file.finish().map(|_| ()))
    }

    /// Opens the file once the first rows are known.
    fn open(&mut self) -> Result<(), ParquetError> {
        let Some(out) = self.out.take() else { return Ok(()) };
        let mut properties = WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::default()));
        if let Some(first) = self.waiting.first() {
            properties = without_vain_dictionaries(properties, first);
        }
        let writer = ArrowWriter::try_new(out, self.schema.clone(), Some(properties.build()))?;
        self.file = Some(writer.into_serialized_writer()?);
        Ok(())
    }

    /// Hands what waits to a thread of its own; as many groups as there are threads may be on their way.
    fn begin_group(&mut self) -> Result<(), ParquetError> {
        if self.rows == 0 {
            return Ok(());
        }
        self.open()?;
        if self.encoding.len() >= rayon::current_num_threads() {
            self.end_group()?;
        }
        let Some((_, groups)) = &self.file else { return Ok(()) };
        let columns = groups.create_column_writers(self.begun)?;
        let (schema, batches) = (self.schema.clone(), std::mem::take(&mut self.waiting));
        let (done, encoded) = sync_channel(1);
        // Nobody listens any more when the writing has failed elsewhere.
        rayon::spawn(move || drop(done.send(encode(&schema, batches, columns))));
        self.encoding.push_back(encoded);
        (self.rows, self.begun) = (0, self.begun + 1);
        Ok(())
    }

    /// Writes the oldest group that is on its way.
    fn end_group(&mut self) -> Result<(), ParquetError> {
        let (Some(encoded), Some((file, _))) = (self.encoding.pop_front(), &mut self.file) else { return Ok(()) };
        let broken = |_| ParquetError::General("the encoding of a row group broke off".to_owned());
        let mut group = file.next_row_group()?;
        for chunk in encoded.recv().map_err(broken)?? {
            chunk.append_to_row_group(&mut group)?;
        }
        group.close().map(|_| ())
    }
}

fn encode(schema: &SchemaRef, batches: Vec<RecordBatch>, mut columns: Vec<ArrowColumnWriter>) -> Encoded {
    for batch in batches {
        let mut leaf_writers = columns.iter_mut();
        for (field, column) in schema.fields().iter().zip(batch.columns()) {
            for (leaf, writer) in compute_leaves(field, column)?.iter().zip(&mut leaf_writers) {
                writer.write(leaf)?;
            }
        }
    }
    columns.into_iter().map(ArrowColumnWriter::close).collect()
}

/// A dictionary of values that do not repeat costs time and space: those columns go without, told by the first rows.
fn without_vain_dictionaries(mut properties: WriterPropertiesBuilder, first: &RecordBatch) -> WriterPropertiesBuilder {
    let rows = first.num_rows().min(SAMPLE);
    for (field, column) in first.schema().fields().iter().zip(first.columns()) {
        let Ok(converter) = RowConverter::new(vec![SortField::new(field.data_type().clone())]) else { continue };
        let Ok(values) = converter.convert_columns(&[column.slice(0, rows)]) else { continue };
        let distinct = values.iter().collect::<HashSet<_>>().len();
        if distinct * 10 > rows * 9 && !field.data_type().is_nested() {
            let path = ColumnPath::from(field.name().as_str());
            properties = properties.set_column_dictionary_enabled(path.clone(), false);
            // Least and greatest of texts that are all different tell no reader what to skip.
            if matches!(field.data_type(), DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View) {
                properties = properties.set_column_statistics_enabled(path, EnabledStatistics::None);
            }
        }
    }
    properties
}
