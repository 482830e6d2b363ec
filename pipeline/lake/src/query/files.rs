//! Local files as tables, where the view allows it: `select * from 'runs.parquet'`.

use crate::delta::table::TableName;
use crate::engine::session::Session;
use crate::error::LakeError;
use crate::mistake::Mistake;
use crate::query::Failed;
use datafusion::common::TableReference;
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use datafusion::error::DataFusionError;
use datafusion::prelude::{CsvReadOptions, DataFrame, JsonReadOptions, ParquetReadOptions};
use datafusion::sql::parser::Statement;
use std::path::Path;

impl Session {
    /// Gives the files that a statement names a place among the tables.
    pub(crate) async fn register_files(&self, statement: &Statement, failed: &Failed) -> Result<(), LakeError> {
        let names = self.context.state().resolve_table_references(statement).map_err(|e| failed.says(&e))?;
        for name in names {
            // A path is one quoted name: it has no schema.
            let TableReference::Bare { table } = name else { continue };
            if !table.contains(['.', '/']) {
                continue;
            }
            let frame = self.open_file(&table).await.map_err(|e| failed.says(&e))?;
            self.put(&TableName { schema: "marts".into(), table: table.to_string() }, frame.into_view())?;
        }
        Ok(())
    }

    async fn open_file(&self, path: &str) -> Result<DataFrame, DataFusionError> {
        let plan = |text: String| DataFusionError::Plan(text);
        if path.contains("://") {
            return Err(plan(format!("{path} is no local file; only these can be read beside the lake")));
        }
        // A pattern stands for several files; a plain name must be there.
        if !path.contains(['*', '?', '[']) && !Path::new(path).exists() {
            return Err(plan(format!("there is no file {path}")));
        }
        let packed = [(".gz", FileCompressionType::GZIP), (".zst", FileCompressionType::ZSTD)];
        let packed = packed.into_iter().find(|(ending, _)| path.ends_with(ending));
        let (ending, packing) = packed.unwrap_or(("", FileCompressionType::UNCOMPRESSED));
        let format = Path::new(path.trim_end_matches(ending)).extension().map(|e| e.to_string_lossy().to_lowercase());
        let whole = format!(".{}{ending}", format.as_deref().unwrap_or_default());
        match format.as_deref() {
            Some("parquet") => self.context.read_parquet(path, ParquetReadOptions::default()).await,
            Some(kind @ ("csv" | "tsv")) => {
                let options = CsvReadOptions::new().file_extension(&whole).file_compression_type(packing);
                let options = options.delimiter(if kind == "tsv" { b'\t' } else { b',' }).newlines_in_values(true);
                self.context.read_csv(path, options).await
            }
            Some("ndjson" | "jsonl" | "json") => {
                let options = JsonReadOptions::default().file_extension(&whole).file_compression_type(packing);
                self.context.read_json(path, options).await
            }
            _ => Err(plan(format!(
                "{path} is no parquet, csv, tsv, ndjson, jsonl or json, also with .gz or .zst behind it"
            ))),
        }
    }
}

impl Mistake {
    /// Whether a missing table may have been meant as a file.
    pub(crate) fn is_about_a_file(&self) -> bool {
        let path = self.message.strip_prefix("there is no table ").unwrap_or_default();
        [".parquet", ".csv", ".tsv", ".ndjson", ".jsonl", ".json", ".gz", ".zst"].iter().any(|e| path.ends_with(e))
    }
}
