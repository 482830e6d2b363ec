//! What is done to containers beside their limits: weights are set, they are started again, started, or stopped.
//!
//! Owns what there is to do for a person's rules, what the Engine would refuse of it, and what each container has and is to
//! have. Weights have no "unset" to go back to: what was never set is written down as what the kernel has.

use super::engine::Engine;
use super::{Container, containers};
use crate::StackError;
use bollard::models::{ContainerUpdateBody, SystemInfo};
use domain::plan::{State, Tasked};
use domain::task::{Task, TaskRule, Weights};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// `cpu.shares` where nothing is set.
const CPU_USUAL: i64 = 1024;

/// What a step knows of its container beside limits, before and after.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum Doing {
    /// Its weights.
    Weights { container: String, name: String, weights: Weights },
    /// Whether it runs.
    Running { container: String, name: String, running: bool },
    /// Since when it runs; none: since it was started again.
    Started { container: String, name: String, at: Option<String> },
    /// Whether the Engine has an image, and the file that it is loaded from.
    Image { image: String, archive: String, digest: String, present: bool },
}

impl Doing {
    pub(super) fn container(&self) -> (&str, &str) {
        match self {
            Self::Weights { container, name, .. }
            | Self::Running { container, name, .. }
            | Self::Started { container, name, .. } => (container, name),
            Self::Image { image, .. } => ("", image),
        }
    }

    /// Makes a container so.
    pub(super) fn bring_about(&self, engine: &Engine) -> Result<(), StackError> {
        match self {
            Self::Weights { container, name, weights } => {
                let io = weights.io.and_then(|weight| u16::try_from(weight).ok());
                let body =
                    ContainerUpdateBody { cpu_shares: weights.cpu, blkio_weight: io, ..ContainerUpdateBody::default() };
                engine.update(container, name, body)
            }
            Self::Running { container, name, running: true } => engine.start(container, name),
            Self::Running { container, name, running: false } => engine.stop(container, name),
            Self::Started { at: None, container, name } => engine.restart(container, name),
            // Nobody can have been running since before.
            Self::Started { at: Some(_), .. } => Ok(()),
            Self::Image { present: true, archive, digest, .. } => load(engine, archive, digest),
            Self::Image { present: false, image, .. } => engine.remove_image(image),
        }
    }

    /// Whether a container is so.
    pub(super) fn holds(&self, now: &Container, since: Option<&str>) -> bool {
        match self {
            Self::Weights { weights, .. } => {
                let now = now.weights();
                [(weights.cpu, now.cpu), (weights.io, now.io)].iter().all(|(is, now)| is.is_none() || is == now)
            }
            Self::Running { running, .. } => now.running == *running,
            Self::Started { at: Some(at), .. } => now.running && now.started_at.as_ref() == Some(at),
            Self::Started { at: None, .. } => now.running && now.started_at.as_deref() != since,
            // No container tells: the Engine is asked.
            Self::Image { .. } => false,
        }
    }

    pub(super) fn in_words(&self, now: &Container) -> String {
        let (_, name) = self.container();
        match self {
            Self::Weights { .. } => {
                let Weights { cpu, io } = now.weights();
                format!("{name} has CPU weight {cpu:?} and I/O weight {io:?}")
            }
            _ if now.running => format!("{name} runs"),
            _ => format!("{name} does not run"),
        }
    }
}

impl Container {
    /// What the Engine has of its weights, and where it has none, what the kernel has.
    pub(super) fn weights(&self) -> Weights {
        let io = self.group.as_ref().and_then(super::group::Group::io_weight);
        Weights { cpu: Some(self.cpu_shares.unwrap_or(CPU_USUAL)), io: self.blkio_weight.or(io) }
    }
}

/// Loads exactly the file that was looked at when the plan was made.
fn load(engine: &Engine, archive: &str, digest: &str) -> Result<(), StackError> {
    let (now, _) = crate::files::digest_of_file(Path::new(archive))?;
    if now != digest {
        return Err(StackError::Drifted {
            target: archive.to_owned(),
            since: "the plan was made",
            differs: vec!["the archive has other bytes".to_owned()],
        });
    }
    engine.load(Path::new(archive))
}

/// The image that a rule wants loaded; none where the Engine has it.
fn image_task(engine: &Engine, rule: &TaskRule) -> Result<Option<Tasked>, StackError> {
    let (Some(image), Some(archive)) = (&rule.image, &rule.archive) else { return Ok(None) };
    if engine.image(image)?.is_some() {
        return Ok(None);
    }
    let path = std::path::absolute(archive).unwrap_or_else(|_| archive.into());
    let (digest, bytes, refused) = match crate::files::digest_of_file(&path) {
        Ok((digest, bytes)) => (digest, bytes, None),
        Err(error) => {
            let why =
                std::error::Error::source(&error).map_or_else(|| error.to_string(), |why| format!("{error}: {why}"));
            (String::new(), 0, Some(why))
        }
    };
    let task = Task::Load { image: image.clone(), archive: path.display().to_string(), digest, bytes };
    let (pattern, reason) = (rule.resource.clone(), rule.reason.clone());
    let (resource, live) = (rule.resource.clone(), State::default());
    Ok(Some(Tasked { resource, on: String::new(), live, task, pattern, reason, refused }))
}

/// What there is to do for these rules; of several that are about one resource and ask for the same kind of thing, the last.
pub(super) fn found(engine: &Engine, info: &SystemInfo, rules: &[TaskRule]) -> Result<Vec<Tasked>, StackError> {
    let all = containers(engine, true)?;
    let mut found: BTreeMap<(String, u8), Tasked> = BTreeMap::new();
    for rule in rules {
        if let Some(it) = image_task(engine, rule)? {
            found.insert((format!("image {}", rule.resource), Task::rank(Some(&it.task))), it);
        }
        if rule.image.is_some() {
            continue;
        }
        for (resource, containers) in all.iter().filter(|(resource, _)| rule.is_about(resource)) {
            let Some(first) = containers.first() else { continue };
            let Some(task) = task_of(rule, containers) else { continue };
            let refused = refused(info, containers, &task);
            let live = first.limits.state();
            let (pattern, reason) = (rule.resource.clone(), rule.reason.clone());
            let rank = Task::rank(Some(&task));
            let on = String::new();
            let it = Tasked { resource: resource.clone(), on, live, task, pattern, reason, refused };
            found.insert((resource.clone(), rank), it);
        }
    }
    Ok(found.into_values().collect())
}

/// What a rule asks for, where it is not so already.
pub(super) fn task_of(rule: &TaskRule, containers: &[Container]) -> Option<Task> {
    let first = containers.first()?;
    if rule.cpu_weight.is_some() || rule.io_weight.is_some() {
        let now = first.weights();
        let before = Weights { cpu: rule.cpu_weight.and(now.cpu), io: rule.io_weight.and(now.io) };
        let after = Weights { cpu: rule.cpu_weight, io: rule.io_weight };
        return (before != after).then_some(Task::Weigh { before, after });
    }
    let runs = containers.iter().any(|container| container.running);
    match rule.running {
        Some(true) => containers.iter().any(|container| !container.running).then_some(Task::Start),
        Some(false) => runs.then_some(Task::Stop),
        None => runs.then_some(Task::Restart),
    }
}

/// Why the Engine, its kernel or who runs the containers would not have it.
pub(super) fn refused(info: &SystemInfo, containers: &[Container], task: &Task) -> Option<String> {
    if let Some(owner) = containers.iter().find_map(|container| container.owner) {
        return Some(format!("it is run by {owner}, which would undo the change"));
    }
    let Task::Weigh { before, after } = task else { return None };
    let differs = containers.windows(2).any(|pair| pair[0].weights() != pair[1].weights());
    if differs {
        return Some("its containers have different weights".to_owned());
    }
    if after.cpu.is_some() && info.cpu_shares == Some(false) {
        return Some("the Engine's kernel has no CPU weights".to_owned());
    }
    (after.io.is_some() && before.io.is_none()).then(|| {
        "its kernel has no I/O weights (blkio.weight, or io.bfq.weight in version 2), or is on another machine"
            .to_owned()
    })
}

/// The step that loads an image; none where the task is another.
pub(super) fn image_step(task: &Task) -> Option<(Doing, Doing, String)> {
    let Task::Load { image, archive, digest, .. } = task else { return None };
    let of = |present| Doing::Image { image: image.clone(), archive: archive.clone(), digest: digest.clone(), present };
    Some((of(false), of(true), task.in_words()))
}

/// The steps of one change: before and after for each of its containers, and what is done in words.
pub(super) fn steps(task: &Task, containers: &[Container]) -> Vec<(Doing, Doing, String)> {
    let one = |it: &Container| -> Option<(Doing, Doing, String)> {
        let (container, name) = (it.id.clone(), it.name.clone());
        let what = format!("{}: {}", it.name, task.in_words());
        let (a, b) = match task {
            Task::Weigh { before, after } => {
                let of = |weights: &Weights| Doing::Weights {
                    container: container.clone(),
                    name: name.clone(),
                    weights: *weights,
                };
                (of(before), of(after))
            }
            Task::Restart => {
                let of = |at: Option<String>| Doing::Started { container: container.clone(), name: name.clone(), at };
                (of(it.started_at.clone()), of(None))
            }
            Task::Start | Task::Stop => {
                let of = |running| Doing::Running { container: container.clone(), name: name.clone(), running };
                (of(*task == Task::Stop), of(*task == Task::Start))
            }
            // It is about no container.
            Task::Load { .. } | Task::Job { .. } => return None,
            // No container has shares.
            Task::Route { .. } => return None,
            // What an image is made a container with is not the Engine's to know.
            Task::Deploy(_) => return None,
        };
        Some((a, b, what))
    };
    // Of several containers those are left that are so already.
    let wanted = |it: &&Container| match task {
        Task::Weigh { .. } | Task::Deploy(_) => true,
        Task::Start => !it.running,
        Task::Restart | Task::Stop => it.running,
        Task::Load { .. } | Task::Job { .. } => false,
        Task::Route { .. } => false,
    };
    containers.iter().filter(wanted).filter_map(one).collect()
}
