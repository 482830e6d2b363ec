//! What a plan can be applied to, whatever its kind.

use crate::StackError;
use crate::compose::ComposeFile;
use domain::ledger::sha256_hex;
use domain::own_memory::Setup;
use domain::plan::{Action, Note, Plan, State, TargetRef};
use domain::units::format_bytes;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Something whose limits can be read and set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The services of a Docker Compose file.
    Compose(ComposeFile),
}

/// What is set on a target now.
#[derive(Clone, Debug, PartialEq)]
pub struct Live {
    /// `sha256:` and the hash of everything there is, limits or not.
    pub digest: String,
    /// `env/service` → its limits.
    pub resources: BTreeMap<String, State>,
    /// How many containers a resource stands for, where it is not one.
    pub replicas: BTreeMap<String, u32>,
    /// What could not be read for certain, and what may change it from elsewhere.
    pub notes: Vec<Note>,
}

/// One of the limits of a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Figure {
    /// Cores.
    Cpu,
    /// Bytes.
    Memory,
}

/// A figure of a change that the target would refuse.
#[derive(Debug)]
pub struct Refusal {
    /// The item of the plan.
    pub item_id: String,
    /// Which of its figures.
    pub figure: Figure,
    /// Why.
    pub error: StackError,
}

/// One adjustment to carry out. A figure missing in `after` is left as it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// The item of the plan.
    pub item_id: String,
    /// `env/service`.
    pub resource: String,
    /// Its limits when the plan was made.
    pub before: State,
    /// Its limits afterwards.
    pub after: State,
}

/// A target held for one run: nobody else may change it until it is dropped.
pub trait Session {
    /// Everything there is, as text from which it can be restored to the byte.
    fn snapshot(&self) -> Result<String, StackError>;
    /// The limits such a text sets.
    fn limits(&self, text: &str) -> Result<BTreeMap<String, State>, StackError>;
    /// The text with the changes made and nothing else touched.
    fn edited(&self, text: &str, changes: &[Change]) -> Result<String, StackError>;
    /// Puts `to` in the place of `from`, wholly or not at all; drifted where `from` is no longer there.
    fn replace(&mut self, from: &str, to: &str) -> Result<(), StackError>;
}

impl Target {
    /// Reads `compose:PATH`, or the path of a `.yml` or `.yaml` file.
    pub fn parse(spec: &str) -> Result<Self, StackError> {
        let path = match spec.strip_prefix("compose:") {
            None if spec.ends_with(".yml") || spec.ends_with(".yaml") => spec,
            Some(path) if !path.is_empty() => path,
            _ => return Err(StackError::UnknownTarget { spec: spec.to_owned() }),
        };
        // A plan is applied and undone from any folder: it names the file itself, not the way to it from here.
        let path = std::path::absolute(path).unwrap_or_else(|_| path.into());
        Ok(Self::Compose(ComposeFile::new(path)))
    }

    /// The target a plan names.
    pub fn from_reference(reference: &TargetRef) -> Result<Self, StackError> {
        match reference.kind.as_str() {
            "compose" => Ok(Self::Compose(ComposeFile::new(&reference.location))),
            kind => Err(StackError::UnknownTarget { spec: format!("{kind}:{}", reference.location) }),
        }
    }

    /// How a plan names it.
    pub fn reference(&self) -> TargetRef {
        match self {
            Self::Compose(file) => {
                TargetRef { kind: "compose".to_owned(), location: file.path().to_string_lossy().into_owned() }
            }
        }
    }

    /// What is set now.
    pub fn read(&self) -> Result<Live, StackError> {
        match self {
            Self::Compose(file) => file.read(),
        }
    }

    /// Who may read it, as the permissions of a file: what is kept of it is kept as closely.
    pub fn mode(&self) -> u32 {
        match self {
            Self::Compose(file) => file.mode(),
        }
    }

    /// How each resource is started, as far as the target tells it.
    pub fn setups(&self) -> Result<BTreeMap<String, Setup>, StackError> {
        match self {
            Self::Compose(file) => file.setups(),
        }
    }

    /// Holds it for changing; [`StackError::Locked`] where another run does.
    pub fn hold(&self) -> Result<Box<dyn Session>, StackError> {
        match self {
            Self::Compose(file) => Ok(Box::new(file.hold()?)),
        }
    }

    /// Of these changes, the figures that would be refused and why: so that a plan need not promise them.
    pub fn refusals(&self, changes: &[Change]) -> Result<Vec<Refusal>, StackError> {
        match self {
            Self::Compose(file) => file.refusals(changes),
        }
    }
}

impl Live {
    /// Whether the target is no longer what the plan was made from.
    pub fn is_stale(&self, plan: &Plan) -> bool {
        self.digest != plan.prior_state_digest
    }
}

impl Change {
    /// The figures that it sets.
    pub(crate) fn figures(&self) -> impl Iterator<Item = Figure> + use<> {
        let cpu = self.after.cpu_cores.map(|_| Figure::Cpu);
        cpu.into_iter().chain(self.after.memory_bytes.map(|_| Figure::Memory))
    }

    /// The changes of a plan among the approved items: of an empty approval, none.
    pub fn of(plan: &Plan, approved: &[String]) -> Vec<Self> {
        plan.items
            .iter()
            .filter(|item| item.action == Action::Resize && approved.contains(&item.id))
            .map(|item| Self {
                item_id: item.id.clone(),
                resource: item.resource.clone(),
                before: item.before,
                after: item.after,
            })
            .collect()
    }
}

/// `sha256:` and 64 hex digits.
pub(crate) fn digest(text: &str) -> String {
    format!("sha256:{}", sha256_hex(text.as_bytes()))
}

/// Whether two states set the same: cores are compared as Docker keeps them, in billionths, because a plan's figures
/// went through JSON.
pub(crate) fn same(a: State, b: State) -> bool {
    let nano = |state: State| state.cpu_cores.map(|cores| (cores * 1e9).round());
    nano(a) == nano(b) && a.memory_bytes == b.memory_bytes
}

/// `0.5 cores, 512 MiB`.
pub(crate) fn in_words(state: State) -> String {
    let cpu = state.cpu_cores.map(|cores| format!("{cores} cores"));
    let memory = state.memory_bytes.map(|bytes| format_bytes(bytes as f64));
    match (cpu, memory) {
        (Some(cpu), Some(memory)) => format!("{cpu}, {memory}"),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => "no limits".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_named_by_kind_or_by_its_suffix_and_survives_the_plan() {
        for spec in ["compose:dev/compose", "compose.yaml", "a/b.yml", "compose:x.yml"] {
            let target = Target::parse(spec).unwrap();
            assert_eq!(Target::from_reference(&target.reference()).unwrap(), target, "{spec}");
        }
        for spec in ["", "compose:", "docker", "k8s:prod", "compose.json"] {
            let error = Target::parse(spec).unwrap_err();
            assert!(error.hint().is_some() && !error.is_refusal(), "{spec}");
        }
        let observed = TargetRef { kind: "observed".into(), location: String::new() };
        assert!(Target::from_reference(&observed).is_err());
    }
}
