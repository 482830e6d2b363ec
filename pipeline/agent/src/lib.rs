//! What happened on this machine, as events: runs a command unchanged and says what it used; samples containers, reads
//! commits, watches files, takes what editors send.
//!
//! Owns the watching: the child, its signals, its kernel counters, the checkout it ran in, the file the event goes to.
//! Refuses to judge: no lake, nothing printed.

mod checkout;
pub mod collect;
pub mod docker;
mod dump;
pub mod editor;
pub mod files;
pub mod git;
mod kernel;
mod kind;
pub mod record;
pub mod spool;

use std::io;
use std::path::PathBuf;

/// Why something could not be recorded. A command that ran keeps its own outcome whatever happens here.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// Nothing to run.
    #[error("no command given")]
    NoCommand,
    /// The command never ran.
    #[error("cannot start {program}")]
    Start {
        /// The program as it was given.
        program: String,
        /// What the system said.
        source: io::Error,
    },
    /// The command was started and its end was not seen.
    #[error("cannot wait for {program}")]
    Wait {
        /// The program as it was given.
        program: String,
        /// What the system said.
        source: io::Error,
    },
    /// The event could not be written.
    #[error("cannot append an event to {path}")]
    Append {
        /// The dump.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file or folder.
    #[error("cannot {doing} {path}")]
    File {
        /// A verb.
        doing: &'static str,
        /// Which one.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The Docker Engine.
    #[error("cannot {doing}")]
    Engine {
        /// What was asked of it.
        doing: String,
        /// What it said, or what kept it from saying anything.
        source: Box<bollard::errors::Error>,
    },
    /// `git` did not do what it was asked.
    #[error("cannot {doing}: {said}")]
    Git {
        /// What it was asked.
        doing: String,
        /// Its last words.
        said: String,
    },
    /// What was given is not what it should be.
    #[error("{0}")]
    Input(String),
}

impl AgentError {
    pub(crate) fn file(doing: &'static str, path: &std::path::Path) -> impl Fn(io::Error) -> Self {
        move |source| Self::File { doing, path: path.to_owned(), source }
    }

    /// What a shell would exit with if it failed like this: 127 not found, 126 not to be run, otherwise 1.
    pub fn exit_code(&self) -> i32 {
        match self {
            Self::Start { source, .. } if source.kind() == io::ErrorKind::NotFound => 127,
            Self::Start { .. } => 126,
            _ => 1,
        }
    }
}
