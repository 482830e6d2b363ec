//! Parquet as it comes: batch by batch, the columns of a batch encoded and compressed side by side.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::{ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves};
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use rayon::prelude::*;
use std::io::Write;

/// A row group is held, encoded, until it is full.
const GROUP_ROWS: usize = 128 * 1024;

/// A Parquet file on its way.
pub(super) struct ColumnsWriter<W: Write + Send> {
    schema: SchemaRef,
    file: SerializedFileWriter<W>,
    groups: ArrowRowGroupWriterFactory,
    open: Vec<ArrowColumnWriter>,
    rows: usize,
}

impl<W: Write + Send> ColumnsWriter<W> {
    pub(super) fn new(out: W, schema: SchemaRef) -> Result<Self, ParquetError> {
        let properties = WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::default())).build();
        let (file, groups) = ArrowWriter::try_new(out, schema.clone(), Some(properties))?.into_serialized_writer()?;
        Ok(Self { schema, file, groups, open: Vec::new(), rows: 0 })
    }

    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<(), ParquetError> {
        if self.open.is_empty() {
            self.open = self.groups.create_column_writers(self.file.flushed_row_groups().len())?;
        }
        let columns = self.schema.fields().iter().zip(batch.columns());
        let leaves = columns.map(|(field, column)| compute_leaves(field, column)).collect::<Result<Vec<_>, _>>()?;
        let leaves: Vec<_> = leaves.into_iter().flatten().collect();
        self.open.par_iter_mut().zip(&leaves).try_for_each(|(column, leaf)| column.write(leaf))?;
        self.rows += batch.num_rows();
        if self.rows >= GROUP_ROWS { self.close_group() } else { Ok(()) }
    }

    pub(super) fn finish(&mut self) -> Result<(), ParquetError> {
        self.close_group()?;
        self.file.finish().map(|_| ())
    }

    fn close_group(&mut self) -> Result<(), ParquetError> {
        if self.rows == 0 {
            return Ok(());
        }
        let open: Vec<_> = self.open.drain(..).collect();
        let chunks = open.into_par_iter().map(ArrowColumnWriter::close).collect::<Result<Vec<_>, _>>()?;
        let mut group = self.file.next_row_group()?;
        for chunk in chunks {
            chunk.append_to_row_group(&mut group)?;
        }
        self.rows = 0;
        group.close().map(|_| ())
    }
}
