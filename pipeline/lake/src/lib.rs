//! NDJSON in, Delta tables on a folder or an object store, SQL over them.
//!
//! Owns every byte of the lake: how dumps become columns, how commits stay atomic, how tables are rebuilt and
//! queried. The only crate that knows Arrow. Knows no models and no targets.

mod at;
mod catalog;
mod check;
mod columns;
mod compact;
mod data_files;
mod documentation;
mod error;
mod export;
mod formats;
mod ingest;
#[allow(clippy::module_inception)] // the crate is about the lake, and this is it
mod lake;
mod materialize;
mod memory;
mod mistake;
mod model;
mod parquet_file;
mod privacy;
mod query;
mod reject;
mod root;
mod rooted;
mod sample;
mod session;
mod shelf;
mod source;
mod store;
mod table;
mod trace;
mod vacuum;
mod writers;

pub use at::At;
pub use catalog::{ColumnInfo, TableInfo};
pub use check::Finding;
pub use compact::Compacted;
pub use documentation::{ColumnDocumentation, Rule, TableDocumentation, documentation, documented};
pub use error::LakeError;
pub use formats::{FORMATS, Format};
pub use ingest::{Broken, IngestReport, IngestSpec, RejectLimit, RetryReport};
pub use lake::Lake;
pub use materialize::Built;
pub use mistake::{Mistake, Place, Statement};
pub use model::{MATERIALIZED, SqlFile, files as sql_files};
pub use privacy::{Audit, ErasedTable, Erasure, Leak, ModelMark, People};
pub use query::{
    Declared, Expanded, Grid, Kind, OutputFormat, Parameters, Query, Rows, Shown, hidden, is_blank, is_complete,
    statements, visible, words,
};
pub use sample::Samples;
pub use session::{Session, View};
pub use source::Source;
pub use store::local_folder;
pub use table::TableName;
pub use vacuum::{VacuumReport, Vacuumed};
pub use writers::Writing;
