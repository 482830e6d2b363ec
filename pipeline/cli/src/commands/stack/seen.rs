//! What is live of a stack: every target opened and read once, and of each component what its target has.

use super::declared::Declared;
use super::kept;
use crate::failure::{Exit, Failure};
use domain::plan::{PlannedTarget, State};
use domain::task::Release;
use stack::versions::{Carrier, Component, Version, tagged};
use stack::{Live, Target, parse_target};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// A target of the stack, as it was read.
pub struct Opened {
    /// How a plan names it.
    pub planned: PlannedTarget,
    /// It.
    pub target: Box<dyn Target>,
    /// What is set on it.
    pub live: Live,
}

/// A component and what its target has of it.
pub struct Carried<'a> {
    /// As it is declared.
    pub component: &'a Component,
    /// Its target, by its place among those that were opened.
    pub on: usize,
    /// How the target calls it.
    pub resource: String,
    /// What the target has.
    pub release: Release,
    /// The text that it is to have, where it is one.
    pub text: Option<String>,
}

/// Targets and components of a stack.
pub struct Seen<'a> {
    /// In the order in which they are first named.
    pub targets: Vec<Opened>,
    /// Those that a target carries, in the order in which they were asked for.
    pub carried: Vec<Carried<'a>>,
}

impl Declared {
    /// The text that a component is deployed as; one that is not what its digest says is refused.
    pub fn text(&self, component: &Component) -> Result<Option<String>, Failure> {
        let path = component.source.as_ref().map(|source| self.folder.join(source));
        let source = match &path {
            Some(path) => Some(fs::read_to_string(path).map_err(|error| Failure::file("read", path, &error))?),
            None => None,
        };
        let made = self.manifest.text(component, source.as_deref(), &self.folder);
        let text = made.map_err(|what| {
            Failure::new(Exit::Failed, format!("{} cannot be written: {what}", component.in_words()))
                .hint("see to its source and config in the stack")
        })?;
        match (&text, &component.digest) {
            (Some(text), Some(wanted)) if kept::digest(text) != *wanted => {
                let what =
                    format!("the text of {} is {}, declared is {wanted}", component.in_words(), kept::digest(text));
                Err(Failure::new(Exit::Refused, what).hint("a version is never changed: declare a new one"))
            }
            _ => Ok(text),
        }
    }
}

/// Opens the targets of these components, each with the text that it is deployed as, and reads what they have of them.
pub fn look<'a>(
    declared: &Declared,
    components: impl IntoIterator<Item = (&'a Component, Option<String>)>,
) -> Result<Seen<'a>, Failure> {
    let mut seen = Seen { targets: Vec::new(), carried: Vec::new() };
    for (component, text) in components {
        let Some(carrier) = component.carrier() else { continue };
        let (spec, service) = match &carrier {
            Carrier::Service { file, service } => {
                (format!("compose:{}", declared.folder.join(file).display()), Some(service))
            }
            Carrier::File { file } => (format!("file:{}", declared.folder.join(file).display()), None),
            Carrier::Command { command } => (format!("exec:{}", in_folder(&declared.folder, command)), None),
        };
        let on = seen.open(&spec)?;
        let opened = &seen.targets[on];
        let resource = match &carrier {
            // A command may tell the versions of several databases: the one that is called as the component.
            Carrier::Command { .. } => opened.resource(Some(&component.name)).or_else(|| opened.only()),
            _ => opened.resource(service.map(String::as_str)),
        };
        let resource = resource.ok_or_else(|| {
            let what = format!("{} is carried by {spec}, which has no such resource", component.in_words());
            Failure::new(Exit::Failed, what).hint("see to the target of the component, or to what it leads to")
        })?;
        let names = component.variables();
        let release = tokio::task::block_in_place(|| opened.target.release(&resource, &names))?;
        seen.carried.push(Carried { component, on, resource, release, text });
    }
    Ok(seen)
}

/// A command that is called in a folder from wherever a plan is applied.
fn in_folder(folder: &Path, command: &str) -> String {
    format!("cd '{}' && {command}", folder.display().to_string().replace('\'', "'\\''"))
}

impl Seen<'_> {
    /// The target of that name, opened the first time it is named.
    fn open(&mut self, spec: &str) -> Result<usize, Failure> {
        let target = parse_target(spec)?;
        let reference = target.reference();
        if let Some(at) = self.targets.iter().position(|other| other.planned.reference() == reference) {
            return Ok(at);
        }
        let live = tokio::task::block_in_place(|| target.read())?;
        let nth = self.targets.iter().filter(|other| other.planned.kind == reference.kind).count() + 1;
        let id = if nth == 1 { reference.kind.clone() } else { format!("{}-{nth}", reference.kind) };
        self.targets.push(Opened { planned: PlannedTarget::new(id, reference, &live.digest), target, live });
        Ok(self.targets.len() - 1)
    }
}

impl Opened {
    /// How it calls a service; without one, its only resource.
    fn resource(&self, service: Option<&str>) -> Option<String> {
        let is_it = |name: &&String| service.is_none_or(|service| name.rsplit('/').next() == Some(service));
        self.live.resources.keys().find(is_it).cloned()
    }

    /// Its resource, where it has one alone.
    fn only(&self) -> Option<String> {
        self.live.resources.keys().next().filter(|_| self.live.resources.len() == 1).cloned()
    }

    /// The limits of a resource, which stay.
    pub fn limits(&self, resource: &str) -> State {
        self.live.resources.get(resource).copied().unwrap_or_default()
    }

    /// `compose /srv/compose.yaml`.
    pub fn name(&self) -> String {
        format!("{} {}", self.planned.kind, self.planned.location)
    }
}

impl Carried<'_> {
    /// The hash of the text that it is to have.
    pub fn wanted_text(&self) -> Option<String> {
        self.text.as_deref().map(kept::digest)
    }

    /// Whether its target has it.
    pub fn is_live(&self) -> bool {
        self.component.is_live(&self.release, self.wanted_text().as_deref())
    }

    /// The version that its target has, of these and what an image is tagged with.
    pub fn live_version(&self, all: &[Self]) -> Option<Version> {
        let same = |other: &&Self| other.on == self.on && other.resource == self.resource;
        let declared = all.iter().filter(same).find(|other| other.is_live());
        let said = || self.release.version.as_deref().and_then(|version| version.parse().ok());
        let version = declared.map(|other| other.component.version.clone()).or_else(said);
        version.or_else(|| self.release.image.as_deref().and_then(tagged))
    }
}

/// Declared texts by the names of components, of those that have one.
pub fn texts(declared: &Declared, components: &[&Component]) -> Result<BTreeMap<String, String>, Failure> {
    let mut texts = BTreeMap::new();
    for component in components {
        if let Some(text) = declared.text(component)? {
            texts.insert(component.name.clone(), text);
        }
    }
    Ok(texts)
}
