//! Ad-hoc SQL: read-only by construction, in the format that the next program wants.

use crate::documentation;
use crate::error::LakeError;
use crate::lake::Lake;
use crate::session::Session;
use arrow::array::{Array, RecordBatch};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::execution::context::SQLOptions;
use datafusion::scalar::ScalarValue;
use domain::Timestamp;
use std::collections::BTreeMap;
use std::io::Write;

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
    /// With a header line.
    Csv,
    /// For other engines.
    Parquet,
}

/// A result in memory.
pub struct Rows {
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
}

impl Lake {
    /// Runs one query. Statements that would change anything are refused.
    pub async fn query(&self, sql: &str, now: Timestamp) -> Result<Rows, LakeError> {
        self.session(now).await?.query(sql).await
    }
}

impl Session {
    /// Runs one query in this session.
    pub async fn query(&self, sql: &str) -> Result<Rows, LakeError> {
        self.query_with(sql, &[]).await
    }

    /// Runs one query with parameters: `$name` stands for a text, which is never pasted into the query.
    pub async fn query_with(&self, sql: &str, parameters: &[(&str, &str)]) -> Result<Rows, LakeError> {
        let values = parameters.iter().map(|(name, text)| ((*name).to_owned(), ScalarValue::from(*text))).collect();
        self.query_bound(sql, values).await
    }

    /// Runs one query whose parameters are texts or null.
    pub async fn query_report(
        &self,
        sql: &str,
        parameters: &BTreeMap<String, Option<String>>,
    ) -> Result<Rows, LakeError> {
        let value = |text: &Option<String>| ScalarValue::Utf8(text.clone());
        self.query_bound(sql, parameters.iter().map(|(name, text)| (name.clone(), value(text))).collect()).await
    }

    async fn query_bound(&self, sql: &str, values: Vec<(String, ScalarValue)>) -> Result<Rows, LakeError> {
        let described = documentation::described(sql, &self.context);
        let sql = described.as_deref().unwrap_or(sql);
        let options = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
        let plan = self.context.state().create_logical_plan(sql).await.map_err(LakeError::sql("the query"))?;
        options.verify_plan(&plan).map_err(|e| LakeError::NotAQuery(e.strip_backtrace()))?;
        let plan = plan.with_param_values(values).map_err(LakeError::sql("the query"))?;
        let frame = self.context.execute_logical_plan(plan).await.map_err(LakeError::sql("the query"))?;
        let schema = std::sync::Arc::new(frame.schema().as_arrow().clone());
        let batches = frame.collect().await.map_err(LakeError::sql("the query"))?;
        Ok(Rows { schema, batches })
    }
}

impl Rows {
    /// How many rows.
    pub fn len(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Writes the result; a table no wider than `width` columns of text.
    pub fn write(&self, format: OutputFormat, width: usize, out: &mut dyn Write) -> Result<(), LakeError> {
        match format {
            OutputFormat::Table => self.write_table(width, out).map_err(|e| LakeError::Format("table", e.into())),
            OutputFormat::Json => self.write_json(out).map_err(|e| LakeError::Format("JSON", e.into())),
            OutputFormat::Ndjson => {
                let mut writer = arrow::json::LineDelimitedWriter::new(out);
                self.batches
                    .iter()
                    .try_for_each(|batch| writer.write(batch))
                    .and_then(|()| writer.finish())
                    .map_err(|e| LakeError::Format("NDJSON", e.into()))
            }
            OutputFormat::Csv => self.write_csv(out).map_err(|e| LakeError::Format("CSV", e.into())),
            OutputFormat::Parquet => self.write_parquet(out).map_err(|e| LakeError::Format("Parquet", e.into())),
        }
    }

    /// The rows as JSON objects.
    pub fn to_json(&self) -> Result<Vec<serde_json::Value>, LakeError> {
        let mut bytes = Vec::new();
        self.write(OutputFormat::Json, 0, &mut bytes)?;
        serde_json::from_slice(&bytes).map_err(|e| LakeError::Format("JSON", e.into()))
    }

    fn write_json(&self, out: &mut dyn Write) -> Result<(), arrow::error::ArrowError> {
        if self.is_empty() {
            return Ok(out.write_all(b"[]\n")?);
        }
        let mut writer = arrow::json::WriterBuilder::new()
            .with_explicit_nulls(true)
            .build::<_, arrow::json::writer::JsonArray>(&mut *out);
        self.batches.iter().try_for_each(|batch| writer.write(batch))?;
        writer.finish()?;
        drop(writer);
        Ok(out.write_all(b"\n")?)
    }

    fn write_csv(&self, out: &mut dyn Write) -> Result<(), arrow::error::ArrowError> {
        let empty = RecordBatch::new_empty(self.schema.clone());
        let mut writer = arrow::csv::WriterBuilder::new().with_header(true).build(out);
        // CSV has no lists and structs: they are written as text.
        let flat = |batch: &RecordBatch| -> Result<RecordBatch, arrow::error::ArrowError> {
            let columns = batch.columns().iter().map(|column| match column.data_type() {
                DataType::List(_) | DataType::LargeList(_) | DataType::Struct(_) | DataType::ListView(_) => {
                    let options = FormatOptions::default();
                    let texts = ArrayFormatter::try_new(column, &options)?;
                    let texts = (0..column.len()).map(|i| (!column.is_null(i)).then(|| texts.value(i).to_string()));
                    Ok(std::sync::Arc::new(arrow::array::StringArray::from_iter(texts)) as _)
                }
                _ => Ok(column.clone()),
            });
            let columns: Vec<arrow::array::ArrayRef> = columns.collect::<Result<_, arrow::error::ArrowError>>()?;
            RecordBatch::try_from_iter(self.schema.fields().iter().map(|f| f.name().clone()).zip(columns))
        };
        for batch in if self.is_empty() { std::slice::from_ref(&empty) } else { &self.batches } {
            writer.write(&flat(batch)?)?;
        }
        Ok(())
    }

    fn write_parquet(&self, out: &mut dyn Write) -> Result<(), parquet::errors::ParquetError> {
        // Parquet is read from its end, so it is put together in memory first.
        let mut bytes = Vec::new();
        let mut writer = parquet::arrow::ArrowWriter::try_new(&mut bytes, self.schema.clone(), None)?;
        self.batches.iter().try_for_each(|batch| writer.write(batch))?;
        writer.close()?;
        Ok(out.write_all(&bytes)?)
    }

    fn write_table(&self, width: usize, out: &mut dyn Write) -> Result<(), arrow::error::ArrowError> {
        let options = FormatOptions::default().with_null("");
        let mut columns: Vec<Vec<String>> = vec![Vec::new(); self.schema.fields().len()];
        for batch in &self.batches {
            for (cells, column) in columns.iter_mut().zip(batch.columns()) {
                let texts = ArrayFormatter::try_new(column, &options)?;
                cells.extend((0..column.len()).map(|i| shorten(&texts.value(i).to_string(), 60)));
            }
        }
        let names: Vec<String> = self.schema.fields().iter().map(|f| f.name().clone()).collect();
        let mut widths: Vec<usize> = columns
            .iter()
            .zip(&names)
            .map(|(cells, name)| cells.iter().map(|c| c.chars().count()).max().unwrap_or(0).max(name.chars().count()))
            .collect();
        let least: Vec<usize> = self
            .schema
            .fields()
            .iter()
            .zip(&widths)
            .zip(&names)
            .map(|((field, width), name)| {
                // A number cut short is another number.
                if field.data_type().is_numeric() { *width } else { name.chars().count().max(12).min(*width) }
            })
            .collect();
        if !fit(&mut widths, &least, width) {
            return write_records(&names, &columns, self.len(), width, out);
        }
        let line = |cells: Vec<&str>| -> String {
            let cells = cells.into_iter().zip(&widths).zip(self.schema.fields()).map(|((cell, width), field)| {
                let cell = shorten(cell, *width);
                let fill = " ".repeat(width - cell.chars().count());
                if field.data_type().is_numeric() { format!("{fill}{cell}") } else { format!("{cell}{fill}") }
            });
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        writeln!(out, "{}", line(names.iter().map(String::as_str).collect()))?;
        writeln!(
            out,
            "{}",
            line(widths.iter().map(|w| "─".repeat(*w)).collect::<Vec<_>>().iter().map(String::as_str).collect())
        )?;
        for row in 0..self.len() {
            writeln!(out, "{}", line(columns.iter().map(|cells| cells[row].as_str()).collect()))?;
        }
        Ok(())
    }
}

/// Takes from the widest columns until the line fits, none below its least width; false when it cannot fit.
fn fit(widths: &mut [usize], least: &[usize], limit: usize) -> bool {
    let gaps = widths.len().saturating_sub(1) * 2;
    while limit > 0 && widths.iter().sum::<usize>() + gaps > limit {
        let spare = widths.iter_mut().zip(least).filter(|(width, least)| **width > **least).max_by_key(|(w, _)| **w);
        let Some((widest, _)) = spare else { return false };
        *widest -= 1;
    }
    true
}

/// Rows too wide for the terminal, one figure a line.
fn write_records(
    names: &[String],
    columns: &[Vec<String>],
    rows: usize,
    width: usize,
    out: &mut dyn Write,
) -> Result<(), arrow::error::ArrowError> {
    let label = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    for row in 0..rows {
        writeln!(out, "── {} ──", row + 1)?;
        for (name, cells) in names.iter().zip(columns) {
            writeln!(out, "{name:<label$}  {}", shorten(&cells[row], width.saturating_sub(label + 2).max(8)))?;
        }
    }
    Ok(())
}

fn shorten(text: &str, width: usize) -> String {
    let text = text.replace(['\n', '\r', '\t'], " ");
    if text.chars().count() <= width {
        return text;
    }
    let cut: String = text.chars().take(width.saturating_sub(1)).collect();
    format!("{cut}…")
}
