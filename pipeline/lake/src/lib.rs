//! Delta tables on a folder or an object store, SQL over them.
//!
//! Owns every byte of the lake: how commits stay atomic, how tables are rebuilt and queried. What goes in is read by
//! `intake`. Knows no models and no targets.

mod care;
mod catalog;
mod delta;
mod documentation;
mod engine;
mod error;
mod export;
mod ingest;
#[allow(clippy::module_inception)] // the crate is about the lake, and this is it
mod lake;
mod materialize;
mod mistake;
mod model;
mod privacy;
mod query;
mod sample;
mod sql_error;
mod trace;

pub use care::check::Finding;
pub use care::compact::Compacted;
pub use care::vacuum::{VacuumReport, Vacuumed};
pub use catalog::{ColumnInfo, TableInfo};
pub use delta::commit::{Races, unique};
pub use delta::store::local_folder;
pub use delta::table::TableName;
pub use delta::writers::Writing;
pub use documentation::{ColumnDocumentation, Rule, TableDocumentation, documentation, documented};
pub use engine::at::At;
pub use engine::session::{Session, View};
pub use error::LakeError;
pub use ingest::{IngestReport, IngestSpec, RetryReport};
pub use lake::Lake;
pub use materialize::Built;
pub use mistake::{Mistake, Place, Statement};
pub use model::{MATERIALIZED, SqlFile, files as sql_files};
pub use privacy::{Audit, ErasedTable, Erasure, Leak, ModelMark, People};
pub use query::{
    Declared, Expanded, Grid, Kind, OutputFormat, Parameters, Query, Rows, Shown, asked, hidden, is_blank, is_complete,
    statements, visible, words,
};
pub use sample::Samples;
