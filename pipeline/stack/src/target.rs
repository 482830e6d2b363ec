//! What a plan can be applied to, whatever its kind.

use crate::StackError;
use crate::ci::{CiFiles, System};
use crate::compose::ComposeFile;
use crate::devcontainer::DevContainer;
use crate::docker::DockerEngine;
use crate::exec::ExecCommand;
use crate::haproxy::HaproxyMap;
use crate::journal::Step;
use crate::kubernetes::KubernetesFolder;
use crate::text_file::TextFile;
use domain::Timestamp;
use domain::ledger::sha256_hex;
use domain::own_memory::Setup;
use domain::plan::{Note, Plan, State, TargetRef, Tasked};
use domain::task::{Deployment, JobLimits, Release, Task, TaskRule};
use domain::units::format_bytes;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::Path;
use std::time::Duration;

/// What is set on a target now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Live {
    /// `sha256:` and the hash of everything there is, limits or not.
    pub digest: String,
    /// `env/service` → its limits.
    pub resources: BTreeMap<String, State>,
    /// What is reserved for a resource beside its limits, of targets that tell the two apart.
    pub requests: BTreeMap<String, State>,
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
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// The item of the plan.
    pub item_id: String,
    /// `env/service`.
    pub resource: String,
    /// The target: its id in the plan.
    pub on: String,
    /// Its limits when the plan was made.
    pub before: State,
    /// Its limits afterwards.
    pub after: State,
    /// Its requests afterwards, where the plan sets them; else they keep their share of the limits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<State>,
    /// What is done beside limits, which then stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<Task>,
    /// The text that a deployment names by its hash; a journal has it in its steps.
    #[serde(skip)]
    pub text: Option<String>,
    /// Whether its limits follow a calendar: then there is a step to switch, even where they are as wanted already.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub follows: bool,
}

/// A job of a CI system, as its file has it.
#[derive(Clone, Debug, PartialEq)]
pub struct CiJob {
    /// `FILE/JOB`.
    pub resource: String,
    /// `owner/name`, where the file's repository tells it.
    pub repo: Option<String>,
    /// The name of its workflow in what was recorded, where the system has such.
    pub workflow: Option<String>,
    /// Its name in what was recorded.
    pub name: String,
    /// Its runner and timeout.
    pub limits: JobLimits,
    /// Whether its system can be told how long a job may take.
    pub has_timeout: bool,
}

/// Something whose limits can be read and set. One kind, one file.
pub trait Target: Debug + Send + Sync {
    /// How a plan names it.
    fn reference(&self) -> TargetRef;

    /// What it is, however it was named: two names of one target have the same. It must be there.
    fn identity(&self) -> Result<String, StackError>;

    /// What of it is held, by what it is: two targets that share some of it cannot be held together.
    fn identities(&self) -> Result<Vec<String>, StackError> {
        Ok(vec![self.identity()?])
    }

    /// What is set now.
    fn read(&self) -> Result<Live, StackError>;

    /// How each resource is started, as far as the target tells it.
    fn setups(&self) -> Result<BTreeMap<String, Setup>, StackError> {
        Ok(BTreeMap::new())
    }

    /// Of these changes, the figures that would be refused and why: so that a plan need not promise them.
    fn refusals(&self, _: &[Change]) -> Result<Vec<Refusal>, StackError> {
        Ok(Vec::new())
    }

    /// Of what people want done beside limits, what there is to do here, on a target that is not named; a file has none of it.
    fn tasks(&self, _: &[TaskRule]) -> Result<Vec<Tasked>, StackError> {
        Ok(Vec::new())
    }

    /// The jobs of a CI system that it is; others have none.
    fn jobs(&self) -> Result<Vec<CiJob>, StackError> {
        Ok(Vec::new())
    }

    /// Why a change of a job would be refused.
    fn job_refused(&self, _: &Change) -> Result<Option<String>, StackError> {
        Ok(None)
    }

    /// What a reader should know of changes that would be taken: what cannot be undone exactly.
    fn cautions(&self, _: &[Change]) -> Result<Vec<Note>, StackError> {
        Ok(Vec::new())
    }

    /// What a resource has of a component: of its variables, those that are named.
    fn release(&self, resource: &str, _names: &[&str]) -> Result<Release, StackError> {
        Err(cannot_deploy(resource, &self.reference().kind))
    }

    /// Who may read it, as the permissions of a file: what is kept of it is kept as closely.
    fn mode(&self) -> u32;

    /// Whether what is written can be brought into force from here.
    fn can_recreate(&self) -> Result<(), StackError> {
        let TargetRef { kind, location } = self.reference();
        Err(StackError::Refused {
            service: location,
            what: format!("a target of the kind {kind} has nothing to recreate"),
            hint: "`--up` is for targets of the kind compose".to_owned(),
        })
    }

    /// Those of these resources that run.
    fn running(&self, _: &[&str]) -> Result<Vec<String>, StackError> {
        self.can_recreate().map(|()| Vec::new())
    }

    /// Brings what is written into force: these resources are recreated where they differ from it, each given so long until it
    /// is well.
    fn recreate(&self, _: &[&str], _: Duration) -> Result<(), StackError> {
        self.can_recreate()
    }

    /// Holds it for changing; [`StackError::Locked`] where another run does.
    fn hold(&self) -> Result<Box<dyn Session>, StackError>;
}

/// A target held for one run: nobody else may change it until it is dropped.
pub trait Session {
    /// The steps that carry out the changes; the target is still untouched. [`StackError::Drifted`] where it is not what
    /// the plan was made from, by its digest then or by what the changes say of it.
    fn prepare(&mut self, prior_state_digest: &str, changes: &[Change]) -> Result<Vec<Step>, StackError>;

    /// Where the target stands, by what is read of it now.
    fn stands(&mut self, step: &Step) -> Result<Stand, StackError>;

    /// Fails where a step could not be undone now, before any other is.
    fn check_writable(&mut self, _: &Step) -> Result<(), StackError> {
        Ok(())
    }

    /// Does a step that was not done, or only in part.
    fn carry_out(&mut self, step: &Step) -> Result<(), StackError>;

    /// From where a step that was done left things to other limits. Memory that is in use is not taken away: then its limit
    /// stays.
    fn onward(&mut self, step: &Step, _: State) -> Result<Onward, StackError> {
        Err(StackError::Refused {
            service: step.resource.clone(),
            what: "its limits do not change without a restart, so they follow no calendar".to_owned(),
            hint: "plan without --calendar".to_owned(),
        })
    }

    /// Undoes a step that was done, or in part.
    fn undo(&mut self, step: &Step) -> Result<(), StackError>;

    /// Waits, at most so long, until what a step touched is seen to be well; [`StackError::Unhealthy`] where it is not. A text
    /// disturbs nobody: what it describes takes it up later.
    fn healthy(&mut self, _: &Step, _: Duration) -> Result<(), StackError> {
        Ok(())
    }

    /// What a reader should know of the step that was just done or undone.
    fn remark(&mut self) -> Option<String> {
        None
    }

    /// Waits, at most so long, until what was under way by an earlier state of the target has ended: another target is changed
    /// next, which it may still be using. What has not ended by then, in words.
    fn settle(&mut self, _: Duration) -> Result<Option<String>, StackError> {
        Ok(None)
    }

    /// Work that a step would disturb, in words: what runs in the environment of its resource, of which `is_work` says that
    /// it is some. A text disturbs nobody.
    fn busy(&mut self, _: &Step, _: &dyn Fn(&[String]) -> bool) -> Result<Option<String>, StackError> {
        Ok(None)
    }

    /// Whether components can be deployed to it.
    fn deploys(&self) -> bool {
        false
    }

    /// Whether it is written as a whole: then a change by somebody else keeps all of it from being undone.
    fn is_whole(&self) -> bool {
        false
    }
}

/// What takes a step that was done to other limits.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Onward {
    /// None where it has them.
    pub step: Option<Step>,
    /// What stays as it is, and why.
    pub stays: Option<String>,
}

/// Where a target stands with a step.
#[derive(Clone, Debug, PartialEq)]
pub enum Stand {
    /// As before it.
    Before,
    /// As after it.
    After,
    /// Some of it is done.
    Partly(String),
    /// Somebody else changed it; what differs.
    Other(Vec<String>),
    /// What it is about is no longer there.
    Gone(String),
}

/// Reads `compose:PATH[,PATH…]`, the path of a `.yml` or `.yaml` file, `docker` or `docker:HOST`, `kubernetes:FOLDER`,
/// `devcontainer:FILE`, `actions:FOLDER`, `gitlab:FILE`, `circleci:FILE`, `haproxy-map:FILE` or `haproxy-map:FILE#SOCKET`,
/// `exec:COMMAND` or `file:FILE`.
pub fn parse_target(spec: &str) -> Result<Box<dyn Target>, StackError> {
    let host = if spec == "docker" { Some("") } else { spec.strip_prefix("docker:").filter(|host| !host.is_empty()) };
    if let Some(host) = host {
        return Ok(Box::new(DockerEngine::named(host)?));
    }
    if let Some((kind, rest)) = spec.split_once(':').filter(|(_, rest)| !rest.is_empty()) {
        let absolute = || std::path::absolute(rest).unwrap_or_else(|_| rest.into());
        match kind {
            "kubernetes" => return Ok(Box::new(KubernetesFolder::new(absolute()))),
            "devcontainer" => return Ok(Box::new(DevContainer::new(absolute()))),
            "actions" => return Ok(Box::new(CiFiles::new(System::Actions, absolute()))),
            "gitlab" => return Ok(Box::new(CiFiles::new(System::Gitlab, absolute()))),
            "circleci" => return Ok(Box::new(CiFiles::new(System::Circleci, absolute()))),
            "exec" => return Ok(Box::new(ExecCommand::new(rest))),
            "haproxy-map" => {
                let folder = std::path::absolute(".").unwrap_or_default();
                return Ok(Box::new(HaproxyMap::named(rest, &folder)));
            }
            "file" => return Ok(Box::new(TextFile::new(absolute()))),
            _ => {}
        }
    }
    let path = match spec.strip_prefix("compose:") {
        None if spec.ends_with(".yml") || spec.ends_with(".yaml") => spec,
        Some(path) if !path.is_empty() => path,
        _ => return Err(StackError::UnknownTarget { spec: spec.to_owned() }),
    };
    // A plan is applied and undone from any folder: it names the files themselves, not the way to them from here.
    Ok(Box::new(ComposeFile::named(path)))
}

/// The target a plan names.
pub fn planned_target(reference: &TargetRef) -> Result<Box<dyn Target>, StackError> {
    match reference.kind.as_str() {
        "compose" => Ok(Box::new(ComposeFile::named(&reference.location))),
        "kubernetes" => Ok(Box::new(KubernetesFolder::new(&reference.location))),
        "devcontainer" => Ok(Box::new(DevContainer::new(&reference.location))),
        "actions" => Ok(Box::new(CiFiles::new(System::Actions, &reference.location))),
        "gitlab" => Ok(Box::new(CiFiles::new(System::Gitlab, &reference.location))),
        "circleci" => Ok(Box::new(CiFiles::new(System::Circleci, &reference.location))),
        "file" => Ok(Box::new(TextFile::new(&reference.location))),
        "exec" if !reference.location.is_empty() => Ok(Box::new(ExecCommand::new(&reference.location))),
        "haproxy-map" if !reference.location.is_empty() => {
            Ok(Box::new(HaproxyMap::named(&reference.location, Path::new(""))))
        }
        "docker" if !reference.location.is_empty() => Ok(Box::new(DockerEngine::named(&reference.location)?)),
        kind => Err(StackError::UnknownTarget { spec: format!("{kind}:{}", reference.location) }),
    }
}

impl Change {
    /// The component that it deploys.
    pub(crate) fn deployment(&self) -> Option<&Deployment> {
        match &self.task {
            Some(Task::Deploy(deployment)) => Some(deployment),
            _ => None,
        }
    }

    /// The hash of the text that it deploys; whoever has the text puts it into `text`.
    pub fn text_name(&self) -> Option<&str> {
        self.deployment().and_then(|deployment| deployment.after.text.as_deref())
    }

    /// The text that it deploys, proven to be the one that was planned.
    pub(crate) fn whole_text(&self) -> Result<Option<&str>, StackError> {
        let Some(wanted) = self.text_name() else { return Ok(None) };
        let text = self.text.as_deref().filter(|text| digest(text) == wanted);
        text.map(Some).ok_or_else(|| StackError::Refused {
            service: self.resource.clone(),
            what: format!("the text {wanted} that was planned for it is not there"),
            hint: "the lake keeps it under stack/texts; make a new plan".to_owned(),
        })
    }

    /// The figures that it sets.
    pub(crate) fn figures(&self) -> impl Iterator<Item = Figure> + use<> {
        let cpu = self.after.cpu_cores.map(|_| Figure::Cpu);
        cpu.into_iter().chain(self.after.memory_bytes.map(|_| Figure::Memory))
    }

    /// The changes of a plan among the approved items, to the limits that hold now: of an empty approval, none.
    pub fn now(plan: &Plan, approved: &[String], now: Timestamp) -> Vec<Self> {
        let limits =
            |change: &Self| plan.items.iter().find(|item| item.id == change.item_id).map(|it| it.limits_at(now));
        let at = |change: Self| Self { after: limits(&change).unwrap_or(change.after), ..change };
        Self::of(plan, approved).into_iter().map(at).collect()
    }

    /// The changes of a plan among the approved items: of an empty approval, none.
    pub fn of(plan: &Plan, approved: &[String]) -> Vec<Self> {
        plan.items
            .iter()
            .filter(|item| item.is_change() && approved.contains(&item.id))
            .map(|item| Self {
                item_id: item.id.clone(),
                resource: item.resource.clone(),
                on: item.on.clone(),
                before: item.before,
                after: item.after,
                requests: item.requests.map(|requests| requests.after),
                task: item.task.clone(),
                text: None,
                follows: item.calendar.is_some(),
            })
            .collect()
    }
}

/// `sha256:` and 64 hex digits.
pub(crate) fn digest(text: &str) -> String {
    format!("sha256:{}", sha256_hex(text.as_bytes()))
}

/// Why a target of a kind takes no components.
pub(crate) fn cannot_deploy(resource: &str, kind: &str) -> StackError {
    StackError::Refused {
        service: resource.to_owned(),
        what: format!("components are not deployed to a target of the kind {kind}"),
        hint: "deploy to compose:FILE#SERVICE or file:FILE".to_owned(),
    }
}

/// Whether two states set the same: cores are compared as Docker keeps them, in billionths, because a plan's figures
/// went through JSON.
pub(crate) fn same(a: State, b: State) -> bool {
    let nano = |state: State| state.cpu_cores.map(|cores| (cores * 1e9).round());
    nano(a) == nano(b) && a.memory_bytes == b.memory_bytes
}

/// That texts and limits are still those that a plan was made from; drifted where they are not.
pub(crate) fn check_as_planned(
    target: String,
    is_same_text: bool,
    limits: &BTreeMap<String, State>,
    changes: &[Change],
) -> Result<(), StackError> {
    let is_same = |change: &&Change| limits.get(&change.resource).is_some_and(|live| same(*live, change.before));
    let moved = changes.iter().filter(|change| !is_same(change));
    let mut drift: Vec<String> =
        moved.map(|change| differs(&change.resource, Some(&change.before), limits.get(&change.resource))).collect();
    match (is_same_text, drift.is_empty()) {
        (true, true) => return Ok(()),
        (false, true) => drift.push("the limits to change are the same".to_owned()),
        (_, false) => {}
    }
    Err(StackError::Drifted { target, since: "the plan was made", differs: drift })
}

/// How a resource differs from what was expected of it.
pub(crate) fn differs(resource: &str, wanted: Option<&State>, live: Option<&State>) -> String {
    match (wanted, live) {
        (_, None) => format!("{resource} is gone"),
        (None, Some(_)) => format!("{resource} is new"),
        (Some(wanted), Some(live)) => {
            format!("{resource} has {}, not {}", in_words(*live), in_words(*wanted))
        }
    }
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
        for spec in [
            "compose:dev/compose",
            "compose.yaml",
            "compose:base.yml,dev/over.yml",
            "a/b.yml",
            "compose:x.yml",
            "docker:/run/d.sock",
            "docker:tcp://h:1",
            "kubernetes:deploy/../k8s",
            "devcontainer:.devcontainer/devcontainer.json",
            "actions:.github/workflows",
            "gitlab:.gitlab-ci.yml",
            "circleci:.circleci/config.yml",
            "exec:./size.sh --all",
            "haproxy-map:routes.map",
            "haproxy-map:routes.map#haproxy.sock",
            "file:edge/rules.nft",
        ] {
            let reference = parse_target(spec).unwrap().reference();
            assert_eq!(planned_target(&reference).unwrap().reference(), reference, "{spec}");
        }
        for spec in [
            "",
            "compose:",
            "k8s:prod",
            "compose.json",
            "docker:",
            "docker:prod",
            "docker:ssh://h",
            "exec:",
            "kubernetes:",
        ] {
            let error = parse_target(spec).unwrap_err();
            assert!(error.hint().is_some() && !error.is_refusal(), "{spec}");
        }
        let observed = TargetRef { kind: "observed".into(), location: String::new() };
        assert!(planned_target(&observed).is_err());
    }
}
