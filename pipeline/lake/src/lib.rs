//! Delta tables on a folder or an object store, SQL over them.
//!
//! Owns every byte of the lake: how commits stay atomic, how tables are rebuilt and queried. What goes in is read by
//! `intake`. Knows no models and no targets.

mod at;
mod catalog;
mod check;
mod commit;
mod compact;
mod data_files;
mod documentation;
mod error;
mod export;
mod ingest;
#[allow(clippy::module_inception)] // the crate is about the lake, and this is it
mod lake;
mod logged;
mod materialize;
mod memory;
mod mistake;
mod model;
mod parquet_file;
mod privacy;
mod query;
mod root;
mod rooted;
mod sample;
mod session;
mod shelf;
mod some_files;
mod store;
mod table;
mod trace;
mod vacuum;
mod writers;

pub use at::At;
pub use catalog::{ColumnInfo, TableInfo};
pub use check::Finding;
pub use commit::{Races, unique};
pub use compact::Compacted;
pub use documentation::{ColumnDocumentation, Rule, TableDocumentation, documentation, documented};
pub use error::LakeError;
pub use ingest::{IngestReport, IngestSpec, RetryReport};
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
pub use store::local_folder;
pub use table::TableName;
pub use vacuum::{VacuumReport, Vacuumed};
pub use writers::Writing;
