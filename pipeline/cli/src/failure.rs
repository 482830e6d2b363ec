//! Errors as people see them: what, why, what to do; and the exit code that scripts see.

mod command_line;

use agent::AgentError;
use domain::location::without_secrets;
use intake::IntakeError;
use lake::{LakeError, Mistake, visible};
use learn::LearnError;
use page::PageError;
use serde_json::{Value, json};
use stack::StackError;
use std::error::Error;
use std::io::ErrorKind;

/// How a command ended: the exit codes that scripts rely on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// Could not be done.
    Failed = 1,
    /// Wrong arguments.
    Usage = 2,
    /// A check failed, or the plan has changes and `--detailed-exitcode` asked.
    Findings = 3,
    /// Stale, not approved, locked, tampered with, or blocked.
    Refused = 4,
    /// Too little evidence.
    Inconclusive = 5,
}

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub struct Failure {
    /// For scripts.
    pub exit: Exit,
    /// What could not be done.
    pub what: String,
    /// The chain of causes, outermost first.
    pub causes: Vec<String>,
    /// What to do.
    pub hint: Option<String>,
}

impl Failure {
    /// A failure without a cause below it.
    pub fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self { exit, what: what.into(), causes: Vec::new(), hint: None }
    }

    /// The same with what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The answer of `--json` when something went wrong.
    pub fn json(&self) -> Value {
        let causes: Vec<_> = self.causes.iter().map(|cause| without_secrets(cause)).collect();
        let hint = self.hint.as_deref().map(without_secrets);
        json!({"error": without_secrets(&self.what), "causes": causes, "hint": hint, "exit": self.exit as u8})
    }

    /// A failure to read or write a local file.
    pub fn file(doing: &str, path: &std::path::Path, error: &std::io::Error) -> Self {
        let hint = match error.kind() {
            ErrorKind::NotFound => "check the path",
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => "check who may read and write it",
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "make room, and run it again",
            _ => "see to the cause, and run it again",
        };
        Self::of(Exit::Failed, &format!("cannot {doing} {}", path.display()), Some(error)).hint(hint)
    }

    fn of(exit: Exit, what: &str, cause: Option<&(dyn Error + 'static)>) -> Self {
        let mut failure = Self::new(exit, what);
        let mut next = cause;
        while let Some(cause) = next {
            // DataFusion and Delta repeat the inner text in the outer one: say each thing once.
            let text = cause.to_string();
            let text = text.split("\n\nbacktrace:").next().unwrap_or_default();
            let text = text.split("\nValid fields are").next().unwrap_or_default().trim().to_owned();
            // Where a query is wrong is shown below what is wrong with it; no other line end is the program's own.
            let is_query = cause.is::<Mistake>() || cause.is::<Box<Mistake>>();
            let text = if is_query { text } else { visible(&text).into_owned() };
            if failure.causes.last().is_none_or(|last| !last.ends_with(&text)) && text != failure.what {
                failure.causes.push(text);
            }
            next = cause.source();
        }
        failure
    }
}

/// What is wrong with a TOML file, in one line.
pub fn in_toml(text: &str, error: &toml::de::Error) -> String {
    let line = error.span().and_then(|span| text.get(..span.start)).map(|before| before.matches('\n').count() + 1);
    line.map_or_else(|| error.message().to_owned(), |line| format!("line {line}: {}", error.message()))
}

impl From<LakeError> for Failure {
    fn from(error: LakeError) -> Self {
        let exit = match &error {
            LakeError::Newer { .. }
            | LakeError::OtherKey
            | LakeError::Contended(..)
            | LakeError::Exists(_)
            | LakeError::Busy(_) => Exit::Refused,
            LakeError::NotAQuery(_) | LakeError::Parameter { .. } | LakeError::Sample { .. } => Exit::Usage,
            _ => Exit::Failed,
        };
        let hint = match &error {
            LakeError::Intake(error) => error.hint().unwrap_or_default(),
            LakeError::NoIdentity(_) => "another program wrote to the lake; restore the file, or the version before it",
            LakeError::Outside { .. } => {
                "no program of this kind writes such a log: the lake may be meant to harm. Nothing of the file was read"
            }
            LakeError::TakenForDead => "nothing was committed; run it again",
            LakeError::NotALake(_) => {
                "a lake is made by `pipeline ingest` in a new or empty folder; give it with --lake"
            }
            LakeError::Newer { .. } => "use the version of the program that made it, or a later one",
            LakeError::OtherKey => "set PIPELINE_PSEUDONYM_KEY to the lake's own key, or use another lake",
            LakeError::NoTable(_) => {
                "`pipeline materialize` builds the tables; `pipeline sql \"show tables\"` lists them"
            }
            LakeError::NoTrace(_) => {
                "write it as owner/name#number; `pipeline sql \"select pr_id from traces.traces\"` lists them"
            }
            LakeError::Busy(_) => {
                "try again when it is done; a vacuum that keeps an hour or more bears other writers. One that was killed on another machine is forgotten after 15 minutes"
            }
            LakeError::RowsLost { .. } => "`pipeline check` says whether files are missing; please report this",
            LakeError::Uncertain { .. } => {
                "the store did not say whether it took the commit: run the same command again; nothing is taken twice"
            }
            LakeError::Contended(..) => "other processes write to the same table; try again",
            LakeError::Table { .. } | LakeError::Document { .. } => {
                "check that the lake can be reached, read and written; what was committed before is intact"
            }
            LakeError::NotAQuery(_) => {
                "the lake is changed only by the commands that own its tables; `pipeline sql` reads"
            }
            LakeError::Sql { source, .. } if source.out_of_memory => {
                "give it more with --memory, ask for fewer rows or columns, or give TMPDIR a folder with free space"
            }
            LakeError::Sql { source, .. } if source.hint.is_some() => source.hint.as_deref().unwrap_or_default(),
            LakeError::Sql { source, .. } if source.file_missing => {
                "`pipeline check` says which files of the lake are missing"
            }
            LakeError::Parameter { hint, .. } | LakeError::Sample { hint, .. } => hint,
            LakeError::NoVersion { .. } | LakeError::TooEarly(_) => {
                "`pipeline sql --help` says what --at takes; without it, the lake is read as it is now"
            }
            LakeError::Forgotten { .. } => {
                "`pipeline lake vacuum --keep` says how far back the lake can be read; choose a later moment"
            }
            // What the caret points at needs no advice.
            LakeError::Sql { what, .. } if !what.starts_with("sql/") => "",
            LakeError::Sql { .. } => {
                "a file of the program's own SQL failed: the lake may be older than the program; try `pipeline materialize --full-refresh`"
            }
            LakeError::Parquet { .. } | LakeError::Write { .. } => "check the path, its permissions and the free space",
            LakeError::Location(..) => {
                "a lake is a folder or an s3://, gs://, az:// or file:// URI; credentials come from the cloud's standard variables"
            }
            LakeError::Damaged { .. } => "restore the file from a backup, or remove it when it can be made anew",
            _ => "",
        };
        let failure = Self::of(exit, &error.to_string(), error.source());
        if hint.is_empty() { failure } else { failure.hint(hint) }
    }
}

impl From<IntakeError> for Failure {
    fn from(error: IntakeError) -> Self {
        LakeError::from(error).into()
    }
}

impl From<LearnError> for Failure {
    fn from(error: LearnError) -> Self {
        match &error {
            LearnError::TooLittleData(_) => Self::new(Exit::Inconclusive, error.to_string())
                .hint("ingest more events, or widen the window with a longer --since"),
            LearnError::Argument(_) => Self::new(Exit::Usage, error.to_string()),
            LearnError::Series { what, hint, columns } => {
                Self::new(if *columns { Exit::Usage } else { Exit::Failed }, what).hint(*hint)
            }
            LearnError::Model { model, .. } => Self::of(Exit::Failed, &error.to_string(), error.source())
                .hint(format!("train it anew: `pipeline train {model}`")),
            LearnError::NotKept { .. } => Self::of(Exit::Failed, &error.to_string(), error.source())
                .hint("see what `pipeline check` says of the data it was trained on"),
            LearnError::Newer { .. } => Self::new(Exit::Refused, error.to_string())
                .hint("use the version of the program that wrote it, or a later one"),
            _ => Self::of(Exit::Failed, &error.to_string(), error.source()),
        }
    }
}

impl From<StackError> for Failure {
    fn from(error: StackError) -> Self {
        let exit = match &error {
            StackError::UnknownTarget { .. } | StackError::NamedTwice { .. } | StackError::NoAddress { .. } => {
                Exit::Usage
            }
            error if error.is_refusal() => Exit::Refused,
            _ => Exit::Failed,
        };
        let failure = Self::of(exit, &error.to_string(), error.source());
        match error.hint() {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

impl From<AgentError> for Failure {
    fn from(error: AgentError) -> Self {
        let failure = Self::of(Exit::Failed, &error.to_string(), error.source());
        match error.hint() {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

impl From<PageError> for Failure {
    fn from(error: PageError) -> Self {
        Self::of(Exit::Failed, &error.to_string(), error.source())
    }
}
