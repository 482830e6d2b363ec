//! What happened on this machine, as events: runs a command unchanged and says what it used.
//!
//! Owns the watching: the child, its signals, its kernel counters, the checkout it ran in, the file the event goes to.
//! Refuses to judge: no lake, no masking (the lake masks at the door), no clock of its own, nothing printed.

mod checkout;
mod dump;
mod kernel;
mod kind;
pub mod record;

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
}

impl AgentError {
    /// What a shell would exit with if it failed like this: 127 not found, 126 not to be run, otherwise 1.
    pub fn exit_code(&self) -> i32 {
        match self {
            Self::Start { source, .. } if source.kind() == io::ErrorKind::NotFound => 127,
            Self::Start { .. } => 126,
            _ => 1,
        }
    }
}
