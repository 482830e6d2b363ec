//! What can go wrong in the lake, naming what was being done to which thing.

use crate::mistake::Mistake;
use intake::IntakeError;
use std::path::PathBuf;
use thiserror::Error;

/// An error of the lake. Nothing was committed unless the variant says so.
#[derive(Debug, Error)]
pub enum LakeError {
    /// Dumps could not be read.
    #[error(transparent)]
    Intake(IntakeError),
    /// The location is not a lake.
    #[error("{0} is no lake")]
    NotALake(String),
    /// A later program made the lake.
    #[error("the lake has format {found}, and this program knows formats up to {known}")]
    Newer {
        /// Of the lake.
        found: u32,
        /// The latest that is known.
        known: u32,
    },
    /// The location cannot be understood.
    #[error("cannot use {0} as a lake")]
    Location(String, #[source] Box<dyn std::error::Error + Send + Sync>),
    /// Another pseudonym key than the lake's.
    #[error("the pseudonym key is not the one this lake was made with")]
    OtherKey,
    /// A table that must be there is not.
    #[error("the lake has no table {0}")]
    NoTable(String),
    /// No such pull request.
    #[error("no trace of pull request {0}")]
    NoTrace(String),
    /// Other writers kept winning.
    #[error("gave up committing to {0} after {1} lost races with other writers")]
    Contended(String, u32),
    /// The store left it open whether a commit took effect.
    #[error("nobody can tell whether the commit to {table} took effect")]
    Uncertain {
        /// `schema.table`.
        table: String,
        /// What the store said.
        source: Box<deltalake_core::DeltaTableError>,
    },
    /// Another process writes, and what was asked bears no other.
    #[error("the lake is being written to by {0}")]
    Busy(String),
    /// A compaction that would have changed the rows. Nothing was committed.
    #[error("compacting {table} gave {got} rows of {want}; nothing was changed")]
    RowsLost {
        /// `schema.table`.
        table: String,
        /// Rows of the old files, by the log.
        want: u64,
        /// Rows of the new files.
        got: u64,
    },
    /// A SQL file or query failed.
    #[error("cannot run {what}")]
    Sql {
        /// The file or query.
        what: String,
        /// Why, and where in its text.
        source: Box<Mistake>,
    },
    /// A parameter of a query without a value, or with one that does not fit.
    #[error("{problem}")]
    Parameter {
        /// Which, and what about it.
        problem: String,
        /// What to write.
        hint: String,
    },
    /// A column of a sample that is not there, or not what it must be.
    #[error("{problem}")]
    Sample {
        /// Which, and what about it.
        problem: String,
        /// What to write.
        hint: String,
    },
    /// A version that the log of a table does not have.
    #[error("{table} has no version {version}: it has {first} to {last}")]
    NoVersion {
        /// `schema.table`.
        table: String,
        /// The one that was asked for.
        version: i64,
        /// The oldest that there is.
        first: i64,
        /// The newest.
        last: i64,
    },
    /// A moment before the lake's first commit.
    #[error("the lake had no tables at {0}")]
    TooEarly(String),
    /// A moment that a vacuum has taken away.
    #[error("{table} cannot be read at {at}: its files or its log of then are deleted")]
    Forgotten {
        /// `schema.table`.
        table: String,
        /// The moment.
        at: String,
    },
    /// A part of the work ended without an answer.
    #[error("writing {0} was broken off: {1}")]
    Stopped(String, String),
    /// What a SQL file says of its columns cannot be understood.
    #[error("cannot read what the tables mean: {0}")]
    Documentation(String),
    /// A Delta table could not be read or written.
    #[error("cannot {doing} {table}")]
    Table {
        /// `read`, `write`, `create`, …
        doing: &'static str,
        /// `schema.table`.
        table: String,
        /// Why.
        source: Box<deltalake_core::DeltaTableError>,
    },
    /// Columns could not be built.
    #[error("cannot build the columns of {0}")]
    Columns(String, #[source] arrow::error::ArrowError),
    /// A document of the lake could not be read or written.
    #[error("cannot {doing} {path} in the lake {lake}")]
    Document {
        /// `read`, `write`, `list`, `delete`.
        doing: &'static str,
        /// Below the lake.
        path: String,
        /// The lake, as the user gave it.
        lake: String,
        /// Why.
        source: Box<object_store::Error>,
    },
    /// A document exists already and must not be replaced.
    #[error("{0} is in the lake already")]
    Exists(String),
    /// A document is not what it should be.
    #[error("{path} in the lake is damaged")]
    Damaged {
        /// Below the lake.
        path: String,
        /// Why.
        source: serde_json::Error,
    },
    /// The log of a table names a file that is not in the table's folder.
    #[error("the log of {table} names a file outside its folder: {path}")]
    Outside {
        /// `schema.table`.
        table: String,
        /// As the log has it.
        path: String,
    },
    /// Rows without an identity: somebody else wrote them, or damaged them.
    #[error("{0} holds rows without an identity")]
    NoIdentity(String),
    /// Other writers thought this one dead.
    #[error("this process was silent for so long that others removed its files")]
    TakenForDead,
    /// A Parquet file could not be made or read.
    #[error("cannot {doing} {path}")]
    Parquet {
        /// `write`, `read`.
        doing: &'static str,
        /// Below the lake.
        path: String,
        /// Why.
        source: Box<parquet::errors::ParquetError>,
    },
    /// A local file could not be written.
    #[error("cannot write {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A result could not be written in the chosen format.
    #[error("cannot write the result as {0}")]
    Format(&'static str, #[source] Box<dyn std::error::Error + Send + Sync>),
    /// A query that would change something.
    #[error("only queries are allowed, no {0}")]
    NotAQuery(String),
}

impl LakeError {
    pub(crate) fn table(
        doing: &'static str,
        table: impl Into<String>,
    ) -> impl FnOnce(deltalake_core::DeltaTableError) -> Self {
        let table = table.into();
        move |source| Self::Table { doing, table, source: Box::new(source) }
    }

    pub(crate) fn columns(table: &str) -> impl FnOnce(arrow::error::ArrowError) -> Self {
        let table = table.to_owned();
        move |source| Self::Columns(table, source)
    }
}

/// What the lake could not do for an intake comes back as what it was.
impl From<IntakeError> for LakeError {
    fn from(error: IntakeError) -> Self {
        match error {
            IntakeError::Sink(error) => match error.downcast::<Self>() {
                Ok(error) => *error,
                Err(error) => Self::Intake(IntakeError::Sink(error)),
            },
            error => Self::Intake(error),
        }
    }
}

impl From<LakeError> for IntakeError {
    fn from(error: LakeError) -> Self {
        match error {
            LakeError::Intake(error) => error,
            error => Self::Sink(Box::new(error)),
        }
    }
}
