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

/// Memory that this process may use, bytes: the machine's, or the tightest limit of its control groups. None: not told.
pub fn memory_bytes() -> Option<u64> {
    kernel::Kernel::here().memory_bytes()
}

/// Whether a command line builds, tests or lints: work that a change of limits under it would disturb.
pub fn is_work(words: &[String]) -> bool {
    kind::is_work(words)
}

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
    /// git does not say what the last commit is.
    #[error("cannot read the last commit of this folder")]
    NoCommit,
    /// A file that recording is set up in could not be used.
    #[error("cannot {what} {path}")]
    Setup {
        /// What was tried.
        what: &'static str,
        /// The file.
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
    /// Our block in a file was edited.
    #[error("the marks of `pipeline record` in {0} do not pair up")]
    Marks(PathBuf),
    /// A file that should be ours is not.
    #[error("{0} is there already and was not made by `pipeline record install`")]
    Taken(PathBuf),
    /// Somebody else wrote to a file at the same time.
    #[error("{0} was changed meanwhile")]
    Changed(PathBuf),
    /// A hook in another language.
    #[error("the hook {0} is no shell script")]
    NotAShell(PathBuf),
    /// No home folder.
    #[error("HOME does not name a folder")]
    NoHome,
    /// Not in a repository.
    #[error("this folder is in no git repository")]
    NoRepository,
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
    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Append { .. } => Some("the command itself ran unchanged; give a file that can be written with --out"),
            Self::Marks(_) => Some("take what is left of the block out by hand; nothing was changed"),
            Self::Taken(_) => Some("move it away; nothing was changed"),
            Self::Changed(_) => Some("run it again; nothing was changed"),
            Self::NotAShell(_) => Some("call `pipeline record --commit` from it by hand; nothing was changed"),
            Self::Setup { .. } => Some("nothing was changed"),
            Self::Engine { .. } => {
                Some("is the Engine running, and may you use it? --host or DOCKER_HOST says where it is")
            }
            Self::Git { .. } => Some("--repo names a folder of a repository, and `git` must be installed"),
            _ => None,
        }
    }

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
