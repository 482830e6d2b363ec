//! Models, forecasts, sizing policies and their replay over the past.
//!
//! Reads plain Parquet whose columns [`domain::columns`] names, and writes the same. Opens no table of the lake, prints
//! nothing and has no clock: time is an argument.

pub mod anomalies;
pub mod anomaly;
pub mod backtest;
mod boost;
pub mod build_time;
pub mod card;
mod choose;
pub mod contention;
pub mod demand;
pub mod drift;
pub mod forecast;
mod frame;
pub mod gather;
mod history;
mod interner;
mod kept;
pub mod metrics;
pub mod model;
pub mod next_runs;
mod odds;
pub mod own_table;
mod parquet;
pub mod quantity;
mod random;
mod runs;
pub mod series;
pub mod services;
pub mod shadow;
pub mod sizing;
mod tree;
mod trees;
mod trust;
pub mod usage;

use std::path::{Path, PathBuf};

/// What could not be done, and to which thing.
#[derive(Debug, thiserror::Error)]
pub enum LearnError {
    /// A file could not be opened or decoded.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A file could not be written.
    #[error("cannot write {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A column that the contract between the crates names is not there, or is of another type.
    #[error("no column {column} in {path}")]
    Column {
        /// The file.
        path: PathBuf,
        /// The column.
        column: String,
    },
    /// An argument that names what is not there or not of that kind.
    #[error("{0}")]
    Argument(String),
    /// Rows of a file that make no series.
    #[error("{what}")]
    Series {
        /// Which, and where.
        what: String,
        /// What to do about it.
        hint: &'static str,
        /// Whether the columns asked for are wrong, and not the rows.
        columns: bool,
    },
    /// Inconclusive: nothing can be learned or judged from so little.
    #[error("too little data: {0}")]
    TooLittleData(String),
    /// A model could not be fitted, stored or read back.
    #[error("model {model}: {reason}")]
    Model {
        /// Its name.
        model: &'static str,
        /// In words.
        reason: String,
    },
    /// A model that was trained cannot be kept: it would not say anything finite.
    #[error("model {model} is not kept: {reason}")]
    NotKept {
        /// Its name.
        model: &'static str,
        /// In words.
        reason: String,
    },
    /// A model or card that a later version of the program wrote.
    #[error("{what} has format version {found}, this program reads up to {known}")]
    Newer {
        /// The model or card.
        what: String,
        /// Its format.
        found: u32,
        /// The latest that is read.
        known: u32,
    },
}

impl LearnError {
    /// Refuses when there are fewer than needed of what is named in the plural.
    pub(crate) fn unless_enough(what: &str, have: usize, need: usize) -> Result<(), Self> {
        if have >= need { Ok(()) } else { Err(Self::TooLittleData(format!("{have} {what}, {need} are needed"))) }
    }

    /// Names the file that could not be read.
    pub(crate) fn read(path: &Path, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Read { path: path.to_path_buf(), source: source.into() }
    }

    /// Names the file that could not be written.
    pub(crate) fn write(path: &Path, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Write { path: path.to_path_buf(), source: source.into() }
    }
}
