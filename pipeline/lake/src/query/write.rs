//! Results for programs: JSON, NDJSON, CSV and Parquet, written batch by batch as the rows come.

use crate::error::LakeError;
use crate::query::Query;
use crate::query::cells::texts;
use crate::query::columns::ColumnsWriter;
use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, IntervalUnit, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::json::writer::{JsonArray, LineDelimited};
use arrow::json::{Writer as JsonWriter, WriterBuilder as JsonBuilder};
use std::borrow::Cow;
use std::io::Write;
use std::sync::Arc;

/// How a result is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OutputFormat {
    /// Aligned columns for people.
    #[default]
    Table,
    /// One JSON array.
    Json,
    /// One JSON object a line.
    Ndjson,
    /// With a header line (RFC 4180); lists and structs as text.
    Csv,
    /// The same, and no text in it is taken for a formula: one that begins like one has a `'` before it.
    SpreadsheetCsv,
    /// For other engines.
    Parquet,
}

type Out<'a> = &'a mut (dyn Write + Send);

/// Rows on their way into a format.
pub(crate) struct RowsWriter<'a> {
    schema: SchemaRef,
    rows: u64,
    /// No text may be taken for a formula.
    guarded: bool,
    inner: Inner<'a>,
}

enum Inner<'a> {
    Json(Box<JsonWriter<Vec<u8>, JsonArray>>, Out<'a>),
    Ndjson(Box<JsonWriter<Out<'a>, LineDelimited>>),
    Csv(Box<arrow::csv::Writer<Out<'a>>>),
    Parquet(Box<ColumnsWriter<Out<'a>>>),
}

impl Query {
    /// Writes all rows for programs; gives their number. A table for people is written by [`Query::table`].
    pub async fn write(mut self, format: OutputFormat, out: &mut (dyn Write + Send)) -> Result<u64, LakeError> {
        if format == OutputFormat::Table {
            return self.table(Default::default(), out).await.map(|shown| shown.rows as u64);
        }
        let mut writer = format.writer(&self.schema, out)?;
        while let Some(batch) = self.next().await? {
            writer.write(&batch)?;
        }
        writer.finish()
    }
}

impl OutputFormat {
    pub(crate) fn writer<'a>(self, schema: &SchemaRef, out: Out<'a>) -> Result<RowsWriter<'a>, LakeError> {
        let schema = Arc::new(Schema::new(
            schema
                .fields()
                .iter()
                .map(|f| Field::new(self.header(f.name()), self.writable(f.data_type()), true))
                .collect::<Vec<_>>(),
        ));
        let json = || JsonBuilder::new().with_explicit_nulls(true);
        let inner = match self {
            Self::Table | Self::Json => Inner::Json(Box::new(json().build::<_, JsonArray>(Vec::new())), out),
            Self::Ndjson => Inner::Ndjson(Box::new(json().build::<_, LineDelimited>(out))),
            Self::Csv | Self::SpreadsheetCsv => {
                Inner::Csv(Box::new(arrow::csv::WriterBuilder::new().with_header(true).build(out)))
            }
            Self::Parquet => Inner::Parquet(Box::new(ColumnsWriter::new(out, schema.clone()))),
        };
        Ok(RowsWriter { schema, rows: 0, guarded: self == Self::SpreadsheetCsv, inner })
    }

    fn header(self, name: &str) -> String {
        if self == Self::SpreadsheetCsv { no_formula(name).into_owned() } else { name.to_owned() }
    }

    /// The type that a format can hold for a type of a result.
    fn writable(self, data_type: &DataType) -> DataType {
        match (self, data_type) {
            (_, DataType::Union(..) | DataType::Null) => DataType::Utf8,
            (Self::Csv | Self::SpreadsheetCsv, nested) if nested.is_nested() => DataType::Utf8,
            (Self::Parquet, DataType::Interval(IntervalUnit::MonthDayNano)) => DataType::Utf8,
            (Self::Parquet, DataType::ListView(item) | DataType::LargeListView(item)) => DataType::List(item.clone()),
            (_, other) => other.clone(),
        }
    }
}

impl RowsWriter<'_> {
    pub(crate) fn write(&mut self, batch: &RecordBatch) -> Result<(), LakeError> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let name = self.name();
        let failed = |e: ArrowError| LakeError::Format(name, e.into());
        let columns = batch.columns().iter().zip(self.schema.fields());
        let guarded = self.guarded;
        let columns = columns.map(|(column, field)| {
            let column = convert(column, field.data_type())?;
            if guarded && is_text(field.data_type()) { without_formulas(&column) } else { Ok(column) }
        });
        let columns = columns.collect::<Result<_, _>>();
        let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let batch = RecordBatch::try_new_with_options(self.schema.clone(), columns.map_err(failed)?, &options);
        let batch = batch.map_err(failed)?;
        self.rows += batch.num_rows() as u64;
        match &mut self.inner {
            Inner::Json(writer, out) => {
                writer.write(&batch).map_err(failed)?;
                drain(writer, out).map_err(|e| failed(e.into()))
            }
            Inner::Ndjson(writer) => writer.write(&batch).map_err(failed),
            Inner::Csv(writer) => writer.write(&batch).map_err(failed),
            Inner::Parquet(writer) => writer.write(batch).map_err(|e| LakeError::Format(name, e.into())),
        }
    }

    pub(crate) fn finish(mut self) -> Result<u64, LakeError> {
        let name = self.name();
        let failed = |e: ArrowError| LakeError::Format(name, e.into());
        match &mut self.inner {
            Inner::Json(writer, out) if self.rows > 0 => {
                writer.finish().map_err(failed)?;
                drain(writer, out).and_then(|()| out.write_all(b"\n")).map_err(|e| failed(e.into()))?;
            }
            Inner::Json(_, out) => out.write_all(b"[]\n").map_err(|e| failed(e.into()))?,
            Inner::Ndjson(writer) => writer.finish().map_err(failed)?,
            Inner::Csv(writer) if self.rows == 0 => {
                writer.write(&RecordBatch::new_empty(self.schema.clone())).map_err(failed)?;
            }
            Inner::Csv(_) => {}
            Inner::Parquet(writer) => {
                writer.finish().map_err(|e| LakeError::Format(name, e.into()))?;
            }
        }
        Ok(self.rows)
    }

    fn name(&self) -> &'static str {
        match &self.inner {
            Inner::Json(..) => "JSON",
            Inner::Ndjson(_) => "NDJSON",
            Inner::Csv(_) => "CSV",
            Inner::Parquet(_) => "Parquet",
        }
    }
}

/// Hands on what a writer has in its buffer.
fn drain(writer: &mut JsonWriter<Vec<u8>, JsonArray>, out: &mut Out<'_>) -> std::io::Result<()> {
    let buffer = writer.get_mut();
    out.write_all(buffer)?;
    buffer.clear();
    Ok(())
}

fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, value) => is_text(value),
        _ => false,
    }
}

/// A column of texts of which a spreadsheet calculates none.
fn without_formulas(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let texts = texts(column)?.into_iter();
    Ok(Arc::new(texts.map(|text| text.map(|text| no_formula(&text).into_owned())).collect::<StringArray>()))
}

/// A text that a spreadsheet shows as it is (OWASP, "CSV Injection"): a `'` before what begins a formula, also behind blanks
/// that some of them skip.
fn no_formula(text: &str) -> Cow<'_, str> {
    let begins = |c: char| matches!(c, '=' | '+' | '-' | '@' | '\t' | '\r' | '\n' | '＝' | '＋' | '－' | '＠');
    let first = text.chars().next().is_some_and(begins) || text.trim_start().chars().next().is_some_and(begins);
    if first { format!("'{text}").into() } else { text.into() }
}

fn convert(column: &ArrayRef, to: &DataType) -> Result<ArrayRef, ArrowError> {
    match column.data_type() {
        from if from == to => Ok(column.clone()),
        DataType::Null => Ok(arrow::array::new_null_array(to, column.len())),
        _ if *to == DataType::Utf8 => Ok(Arc::new(StringArray::from(texts(column)?))),
        _ => cast(column, to),
    }
}

/// Memory that takes no more than it may.
pub(crate) struct Capped<'a> {
    bytes: &'a mut Vec<u8>,
    limit: usize,
    full: bool,
}

impl<'a> Capped<'a> {
    pub(crate) fn new(bytes: &'a mut Vec<u8>, limit: usize) -> Self {
        Self { bytes, limit, full: false }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.full
    }
}

impl Write for Capped<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.bytes.len() + bytes.len() > self.limit {
            self.full = true;
            return Err(std::io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
