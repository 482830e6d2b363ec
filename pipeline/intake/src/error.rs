//! What can go wrong while dumps are read, naming what was being done to which dump.

use arrow_schema::ArrowError;
use std::error::Error;
use thiserror::Error;

/// An error of an intake. Nothing was committed.
#[derive(Debug, Error)]
pub enum IntakeError {
    /// There is no such dump.
    #[error("no such dump: {0}")]
    NoSource(String),
    /// A folder or pattern without dumps.
    #[error("no dumps in {0}")]
    NoDumps(String),
    /// A dump on an object store cannot be reached.
    #[error("cannot reach {0}")]
    NoObject(String, #[source] Box<object_store::Error>),
    /// The location of a dump cannot be understood.
    #[error("cannot use {0} as a dump")]
    Location(String, #[source] Box<dyn Error + Send + Sync>),
    /// A dump could not be read to its end.
    #[error("cannot read {source_name} after line {line}")]
    Read {
        /// The dump.
        source_name: String,
        /// The last whole line.
        line: u64,
        /// Why.
        source: std::io::Error,
    },
    /// Too much of a dump was rejected.
    #[error("{rejected} of {read} events were rejected, more than the limit of {limit}")]
    RejectLimit {
        /// Rejected events.
        rejected: u64,
        /// All events.
        read: u64,
        /// The limit as given.
        limit: String,
    },
    /// The scratch file for what does not fit into memory could not be used.
    #[error("cannot use a scratch file in the folder for temporary files")]
    Scratch(#[source] std::io::Error),
    /// Columns could not be built.
    #[error("cannot build the columns of {0}")]
    Columns(&'static str, #[source] ArrowError),
    /// What is new could not be left in the sink, or what is there not read from it.
    #[error(transparent)]
    Sink(Box<dyn Error + Send + Sync>),
}

impl IntakeError {
    /// What a person can do.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::NoSource(_) => "check the path; `-` reads standard input, quotes keep a pattern from the shell",
            Self::NoDumps(_) => "dumps end in .ndjson, .jsonl or .json, also with .gz or .zst behind it",
            Self::NoObject(..) => "check the address, the network and the credentials in the environment",
            Self::Location(..) => {
                "a dump is a file, a folder, a pattern or an s3://, gs://, az:// or file:// URI; credentials come from the cloud's standard variables"
            }
            Self::Read { source, .. } if source.to_string().starts_with("it is ") => {
                "make a dump of it as said, or name another; gzip, zlib and zstd are unpacked. Nothing of this ingest was committed"
            }
            Self::Read { .. } => "the dump is cut off or damaged; fetch it again. Nothing of this ingest was committed",
            Self::RejectLimit { .. } => {
                "see what is wrong without the limit: `pipeline sql \"select reason, count(*) from staging.rejects group by reason\"`. Nothing was committed"
            }
            Self::Scratch(_) => "give TMPDIR a folder with free space",
            Self::Columns(..) | Self::Sink(_) => return None,
        })
    }

    pub(crate) fn columns(table: &'static str) -> impl FnOnce(ArrowError) -> Self {
        move |source| Self::Columns(table, source)
    }
}
