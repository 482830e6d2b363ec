//! What can go wrong with a target, and what a person can do about it.

use crate::write::MOUNTED;
use std::error::Error;
use std::io;
use std::path::PathBuf;
use thiserror::Error as ThisError;

/// Why a target could not be read, changed or restored.
#[derive(Debug, ThisError)]
pub enum StackError {
    /// The `--target` argument names no kind this program knows.
    #[error("{}", unknown_target(spec))]
    UnknownTarget {
        /// As it was given.
        spec: String,
    },
    /// One file is named twice among those of a target.
    #[error("{path} is named twice")]
    NamedTwice {
        /// Which.
        path: PathBuf,
    },
    /// A file could not be read.
    #[error("cannot read {path}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file could not be written; the old one is still in place.
    #[error("cannot {doing} {path}")]
    Write {
        /// Which step of writing.
        doing: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What went wrong inside a file.
    #[error("cannot use {path}")]
    In {
        /// Which file.
        path: PathBuf,
        /// What.
        source: Box<StackError>,
    },
    /// The address of an Engine is none.
    #[error("{} is no address of a Docker Engine", if *from_environment { format!("DOCKER_HOST is {host:?}, which") } else { format!("{host:?}") })]
    NoAddress {
        /// As it was given.
        host: String,
        /// Whether it came from `DOCKER_HOST`.
        from_environment: bool,
    },
    /// It is no file that could hold limits.
    #[error("{what}")]
    NotPlain {
        /// What it is.
        what: String,
    },
    /// A build or test runs where a step would change limits.
    #[error("{resource} is not changed while work runs in its environment: {what}")]
    Busy {
        /// Which.
        resource: String,
        /// What runs, and where.
        what: String,
    },
    /// Its bytes are not UTF-8.
    #[error("the file is not UTF-8 text")]
    NotText,
    /// It is not well-formed.
    #[error("line {line}, column {column}: {what}")]
    Syntax {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
        /// In words.
        what: String,
    },
    /// It is well-formed, but cannot be understood without guessing.
    #[error("{what}")]
    Unclear {
        /// What.
        what: String,
        /// What to do.
        hint: String,
    },
    /// The change cannot be made without touching or guessing something else. Nothing was written.
    #[error("cannot change {service}: {what}")]
    Refused {
        /// Which service.
        service: String,
        /// Why.
        what: String,
        /// What to do.
        hint: String,
    },
    /// A file could not be replaced without harm. Nothing was written.
    #[error("cannot replace {path}: {what}")]
    NotReplaceable {
        /// Which.
        path: PathBuf,
        /// Why.
        what: String,
        /// What to do.
        hint: String,
    },
    /// The resource of a change is not in the target.
    #[error("{target} has no resource {resource}")]
    NoResource {
        /// Where it was looked for.
        target: String,
        /// What was looked for.
        resource: String,
    },
    /// Somebody else is applying or rolling back.
    #[error("{what} is being changed by another run{}", by.as_ref().map_or(String::new(), |by| format!(", {by}")))]
    Locked {
        /// Which file or Engine.
        what: String,
        /// Who holds it, where that is known.
        by: Option<String>,
    },
    /// The target is not what it was when the plan was made or applied.
    #[error("{target} changed since {since}: {}", differs.join("; "))]
    Drifted {
        /// Which.
        target: String,
        /// `the plan was made`, `the plan was applied`, …
        since: &'static str,
        /// Which resources differ and how.
        differs: Vec<String>,
    },
    /// A target answers nothing: what was begun is neither finished nor undone.
    #[error("cannot {doing}")]
    Unreachable {
        /// What was being done.
        doing: String,
        /// Why not.
        source: Box<dyn Error + Send + Sync>,
    },
    /// A target would not do what it was asked.
    #[error("cannot {doing}")]
    Asked {
        /// What was being done.
        doing: String,
        /// What it answered.
        source: Box<dyn Error + Send + Sync>,
    },
    /// A step was done, and what was read back is not what it set.
    #[error("{resource} did not take the change: {what}")]
    NotTaken {
        /// Which.
        resource: String,
        /// What was read back.
        what: String,
    },
    /// A step was done, and what it touched is not well.
    #[error("{resource} is not well after the change: {what}")]
    Unhealthy {
        /// Which.
        resource: String,
        /// What is wrong.
        what: String,
    },
    /// A step failed, and everything that was done was undone.
    #[error("plan {plan_id} was taken back: {why} ({})", steps.iter().chain(left).cloned().collect::<Vec<_>>().join("; "))]
    WentBack {
        /// Which.
        plan_id: String,
        /// Which step failed and why.
        why: String,
        /// How far each step got.
        steps: Vec<String>,
        /// What could not be restored, because somebody else changed it.
        left: Vec<String>,
    },
    /// A step failed, and what was done could not be undone yet.
    #[error("plan {plan_id} stands between: {why} ({})", steps.join("; "))]
    Between {
        /// Which.
        plan_id: String,
        /// Which step failed and why.
        why: String,
        /// How far each step got.
        steps: Vec<String>,
        /// Why it could not be undone.
        source: Box<StackError>,
    },
    /// The plan failed once and was taken back.
    #[error("plan {plan_id} failed and was taken back: {why}")]
    Failed {
        /// Which.
        plan_id: String,
        /// Which step failed and why.
        why: String,
    },
    /// The plan was rolled back; applying it again would undo a person's decision.
    #[error("plan {plan_id} was rolled back")]
    RolledBack {
        /// Which.
        plan_id: String,
    },
    /// There is nothing to roll back.
    #[error("plan {plan_id} was never applied")]
    NotApplied {
        /// Which.
        plan_id: String,
    },
    /// The journal belongs to another target, or its texts do not match their digests.
    #[error("the journal of plan {plan_id} cannot be trusted: {what}")]
    JournalDamaged {
        /// Which.
        plan_id: String,
        /// What does not fit.
        what: String,
    },
    /// The journal could not be kept, so nothing more was done.
    #[error("cannot save the journal of plan {plan_id}")]
    Save {
        /// Which.
        plan_id: String,
        /// Why.
        source: Box<dyn Error + Send + Sync>,
    },
}

impl StackError {
    /// Whether it was refused (exit code 4) rather than failed (exit code 1).
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::In { source, .. } => source.is_refusal(),
            Self::Refused { .. }
            | Self::NotReplaceable { .. }
            | Self::Locked { .. }
            | Self::Busy { .. }
            | Self::Drifted { .. }
            | Self::RolledBack { .. }
            | Self::Failed { .. }
            | Self::NotApplied { .. }
            | Self::JournalDamaged { .. } => true,
            _ => false,
        }
    }

    /// Whether nothing more can be done now, forward or back: the next call goes on.
    pub fn is_interruption(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Save { .. } | Self::Busy { .. })
    }

    /// What a person can do.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::In { source, .. } => return source.hint(),
            Self::Unclear { hint, .. } | Self::Refused { hint, .. } | Self::NotReplaceable { hint, .. } => {
                hint.as_str()
            }
            Self::Write { source, .. } if source.kind() == io::ErrorKind::ResourceBusy => MOUNTED,
            Self::Write { .. } => {
                "the file is as it was: see to the cause, such as a full disk or a missing permission, and run it again"
            }
            Self::UnknownTarget { .. } => {
                "write `compose:FILE` (or the path of a .yml or .yaml file), `docker`, `docker:HOST`, `kubernetes:FOLDER`, `devcontainer:FILE`, `haproxy-map:FILE#SOCKET`, or `exec:COMMAND`"
            }
            Self::NamedTwice { .. } => "name each file of the project once",
            Self::NoResource { .. } => "resources are named PROJECT/SERVICE; make a new plan against this target",
            Self::Locked { .. } => "wait for the other run to end, then try again",
            Self::Drifted { since: "the plan was made", .. } => "make a new plan",
            Self::Drifted { .. } => "compare it with the journal, undo the later edits by hand, then try again",
            Self::RolledBack { .. } | Self::Failed { .. } => "make a new plan",
            Self::WentBack { .. } => "see to the cause, then make a new plan; the journal of the lake has every step",
            Self::Between { .. } => {
                "see to the cause, then call `pipeline apply` or `pipeline rollback` again: it goes on"
            }
            Self::Unreachable { .. } => "see that it runs and may be reached: `docker version` asks the same Engine",
            Self::NoAddress { from_environment, .. } => {
                return Some(format!(
                    "write unix:///path or tcp://host:port, with a port of 1 to 65535{}",
                    if *from_environment { "; or name the Engine: --target docker:unix:///path" } else { "" }
                ));
            }
            Self::NotPlain { .. } => "give the path of the file itself",
            Self::Busy { .. } => {
                "wait with --wait 30m, or change it all the same with --while-building; a plan that was begun goes on"
            }
            Self::Save { .. } => "see that the lake can be written, then run it again: what was done is not done twice",
            Self::JournalDamaged { .. } => "restore the file from version control",
            _ => return None,
        };
        Some(text.to_owned())
    }
}

fn unknown_target(spec: &str) -> String {
    match spec.split_once(':') {
        Some((kind @ ("compose" | "devcontainer" | "kubernetes" | "exec" | "haproxy-map"), _)) => {
            format!("`{kind}:` names nothing")
        }
        Some((kind, _)) if !kind.contains(['/', '.']) => format!("{kind:?} is no known kind of target"),
        _ => format!("cannot tell what kind of target {spec:?} is"),
    }
}
