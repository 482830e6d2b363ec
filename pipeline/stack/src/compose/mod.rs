//! Docker Compose files: one service, one resource; the project name is the environment.
//!
//! Owns reading limits out of such a file and writing them into it. Runs no `docker` and expands no variable.

mod edit;
mod figure;
mod place;
mod read;
mod setup;
mod tree;
mod value;

pub use edit::edit;

use crate::StackError;
use crate::target::{Change, Live, Note, Session, digest};
use crate::write::{LockedFile, read_text};
use domain::plan::State;
use read::{Parsed, normalised};
use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

/// The files `docker compose` reads by itself, each with the override it then reads as well.
const BESIDE: [(&str, [&str; 2]); 4] = [
    ("compose.yaml", ["compose.override.yaml", "compose.override.yml"]),
    ("compose.yml", ["compose.override.yaml", "compose.override.yml"]),
    ("docker-compose.yaml", ["docker-compose.override.yaml", "docker-compose.override.yml"]),
    ("docker-compose.yml", ["docker-compose.override.yaml", "docker-compose.override.yml"]),
];

/// A Compose file by its path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComposeFile {
    path: PathBuf,
}

impl ComposeFile {
    /// Names a file; it need not exist yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// As it was given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it sets now.
    pub(crate) fn read(&self) -> Result<Live, StackError> {
        let text = read_text(&self.path)?;
        let parsed = self.inside(Parsed::new(&text))?;
        let env = self.environment(&parsed)?;
        let (limits, unclear) = parsed.limits();
        let mut notes: Vec<Note> = unclear
            .into_iter()
            .map(|(service, what)| Note { resource: Some(format!("{env}/{service}")), what })
            .collect();
        if parsed.value.get("include").is_some_and(|include| !include.is_null()) {
            notes.push(Note { resource: None, what: "services of the files it includes are not read".to_owned() });
        }
        notes.extend(self.overridden().map(|what| Note { resource: None, what }));
        Ok(Live { digest: digest(&text), resources: named(&env, limits), notes })
    }

    /// Locks it.
    pub(crate) fn hold(&self) -> Result<HeldCompose, StackError> {
        Ok(HeldCompose { compose: self.clone(), file: LockedFile::lock(&self.path)? })
    }

    /// Which changes `edit` would refuse, each tried alone.
    pub(crate) fn refusals(&self, changes: &[Change]) -> Result<Vec<(String, StackError)>, StackError> {
        let text = read_text(&self.path)?;
        let refused = |change: &Change| self.edited(&text, std::slice::from_ref(change)).err();
        Ok(changes.iter().filter_map(|change| Some((change.item_id.clone(), refused(change)?))).collect())
    }

    fn limits(&self, text: &str) -> Result<BTreeMap<String, State>, StackError> {
        let parsed = self.inside(Parsed::new(text))?;
        Ok(named(&self.environment(&parsed)?, parsed.limits().0))
    }

    fn edited(&self, text: &str, changes: &[Change]) -> Result<String, StackError> {
        let parsed = self.inside(Parsed::new(text))?;
        let env = self.environment(&parsed)?;
        let mut wanted = Vec::new();
        for change in changes {
            let service = change.resource.strip_prefix(&env).and_then(|rest| rest.strip_prefix('/'));
            let service = service.filter(|name| parsed.service(name).is_some()).ok_or_else(|| {
                let (target, resource) = (self.path.display().to_string(), change.resource.clone());
                StackError::NoResource { target, resource }
            })?;
            wanted.push((service, change.after));
        }
        self.inside(edit(text, &wanted))
    }

    fn inside<T>(&self, result: Result<T, StackError>) -> Result<T, StackError> {
        result.map_err(|source| StackError::In { path: self.path.clone(), source: Box::new(source) })
    }

    /// The project name as Compose finds it, `-p` and `COMPOSE_PROJECT_NAME` aside: they belong to one call, not to
    /// the file.
    fn environment(&self, parsed: &Parsed) -> Result<String, StackError> {
        let name = match self.inside(parsed.name())? {
            Some(name) => name,
            None => normalised(&self.folder()?),
        };
        if name.is_empty() {
            let what = "the project has no name".to_owned();
            return self.inside(Err(StackError::Unclear { what, hint: "add `name:` to the file".to_owned() }));
        }
        Ok(name)
    }

    /// The folder's name, `..` taken away by words as Compose does it, symbolic links not followed.
    fn folder(&self) -> Result<String, StackError> {
        let absolute =
            std::path::absolute(&self.path).map_err(|source| StackError::Read { path: self.path.clone(), source })?;
        let mut names = Vec::new();
        for part in absolute.parent().into_iter().flat_map(Path::components) {
            match part {
                Component::Normal(name) => names.push(name.to_string_lossy().into_owned()),
                Component::ParentDir => {
                    names.pop();
                }
                _ => {}
            }
        }
        Ok(names.pop().unwrap_or_default())
    }

    fn overridden(&self) -> Option<String> {
        let name = self.path.file_name()?.to_str()?;
        let (_, overrides) = BESIDE.iter().find(|(default, _)| *default == name)?;
        let found = overrides.iter().find(|name| self.path.with_file_name(name).exists())?;
        Some(format!("{found} beside it may change these limits, and is not read"))
    }
}

/// A locked Compose file.
#[derive(Debug)]
pub(crate) struct HeldCompose {
    compose: ComposeFile,
    file: LockedFile,
}

impl Session for HeldCompose {
    fn snapshot(&self) -> Result<String, StackError> {
        self.file.text()
    }

    fn limits(&self, text: &str) -> Result<BTreeMap<String, State>, StackError> {
        self.compose.limits(text)
    }

    fn edited(&self, text: &str, changes: &[Change]) -> Result<String, StackError> {
        self.compose.edited(text, changes)
    }

    fn replace(&mut self, from: &str, to: &str) -> Result<(), StackError> {
        if self.file.replace(from, to)? {
            return Ok(());
        }
        Err(StackError::Drifted {
            target: self.file.path().display().to_string(),
            since: "this run began",
            differs: vec!["an editor saved it".to_owned()],
        })
    }
}

fn named(env: &str, limits: BTreeMap<String, State>) -> BTreeMap<String, State> {
    limits.into_iter().map(|(service, state)| (format!("{env}/{service}"), state)).collect()
}

#[cfg(test)]
mod edit_tests;
#[cfg(test)]
mod laws;
#[cfg(test)]
mod read_tests;
