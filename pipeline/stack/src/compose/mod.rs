//! Docker Compose files: one service, one resource; the project name is the environment.
//!
//! Owns reading limits and images out of such a file, and out of the files that Compose reads with it, and writing them into
//! that one file. Runs no `docker`.

mod around;
mod edit;
mod figure;
mod listed;
mod read;
mod release;
mod setup;
mod variables;

pub use edit::edit;

use crate::StackError;
use crate::target::{Change, Figure as Limit, Live, Refusal, Session, Target, digest};
use crate::text::WholeText;
use crate::write::{LockedFile, check_replaceable, identity, read_text};
use around::Surroundings;
use domain::own_memory::Setup;
use domain::plan::{Note, State, TargetRef};
use domain::task::Release;
use edit::edit_around;
use figure::Figure;
use read::{Parsed, Project, normalised};
use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

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

    fn limits(&self, text: &str) -> Result<BTreeMap<String, State>, StackError> {
        let (parsed, around) = self.looked_around(text)?;
        let project = Project { parsed: &parsed, around: &around };
        Ok(named(&self.environment(project)?, project.limits().states))
    }

    /// The text with whatever can be changed changed, and what cannot.
    fn tried(&self, text: &str, changes: &[Change]) -> Result<(String, Vec<Refusal>), StackError> {
        let (parsed, around) = self.looked_around(text)?;
        let project = Project { parsed: &parsed, around: &around };
        let env = self.environment(project)?;
        let mut refusals = Vec::new();
        let mut wanted = Vec::new();
        let mut items: BTreeMap<&str, &str> = BTreeMap::new();
        for change in changes {
            let service = change.resource.strip_prefix(&env).and_then(|rest| rest.strip_prefix('/'));
            let known = service.filter(|name| project.service(name).is_some());
            let Some(service) = known else {
                for figure in change.figures() {
                    let (target, resource) = (self.path.display().to_string(), change.resource.clone());
                    let error = StackError::NoResource { target, resource };
                    refusals.push(Refusal { item_id: change.item_id.clone(), figure, error });
                }
                continue;
            };
            items.insert(service, &change.item_id);
            wanted.push((service, change.after));
        }
        let (edited, refused) = self.inside(edit_around(text, &around, &wanted))?;
        refusals.extend(refused.into_iter().map(|(service, figure, error)| Refusal {
            item_id: items.get(service).map(|id| (*id).to_owned()).unwrap_or_default(),
            figure: if figure == Figure::Cpu { Limit::Cpu } else { Limit::Memory },
            error: StackError::In { path: self.path.clone(), source: Box::new(error) },
        }));
        Ok((edited, refusals))
    }

    fn edited(&self, text: &str, changes: &[Change]) -> Result<String, StackError> {
        let (edited, refusals) = self.tried(text, changes)?;
        refusals.into_iter().next().map_or(Ok(edited), |refusal| Err(refusal.error))
    }

    fn looked_around(&self, text: &str) -> Result<(Parsed, Surroundings), StackError> {
        let parsed = self.inside(Parsed::new(text))?;
        let path = std::path::absolute(&self.path).unwrap_or_else(|_| self.path.clone());
        let around = Surroundings::of(&path, &parsed.value);
        Ok((parsed, around))
    }

    fn inside<T>(&self, result: Result<T, StackError>) -> Result<T, StackError> {
        result.map_err(|source| self.within(source))
    }

    fn within(&self, source: StackError) -> StackError {
        StackError::In { path: self.path.clone(), source: Box::new(source) }
    }

    /// The project name as Compose finds it, `-p` and the variables of the shell aside: they belong to one call, not to
    /// the file.
    fn environment(&self, project: Project<'_>) -> Result<String, StackError> {
        let name = match self.inside(project.name())? {
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
}

impl Target for ComposeFile {
    fn reference(&self) -> TargetRef {
        TargetRef { kind: "compose".to_owned(), location: self.path.to_string_lossy().into_owned() }
    }

    fn identity(&self) -> Result<String, StackError> {
        Ok(identity(&self.path))
    }

    fn read(&self) -> Result<Live, StackError> {
        let text = read_text(&self.path)?;
        let (parsed, around) = self.looked_around(&text)?;
        let project = Project { parsed: &parsed, around: &around };
        let env = self.environment(project)?;
        let limits = project.limits();
        let whole = around.notes.iter().map(|what| Note { resource: None, what: what.clone() });
        let each = limits.notes.into_iter();
        let each = each.map(|(service, what)| Note { resource: Some(format!("{env}/{service}")), what });
        Ok(Live {
            digest: digest(&text),
            resources: named(&env, limits.states),
            replicas: named(&env, limits.replicas),
            notes: each.chain(whole).collect(),
        })
    }

    fn setups(&self) -> Result<BTreeMap<String, Setup>, StackError> {
        self.all_setups()
    }

    fn refusals(&self, changes: &[Change]) -> Result<Vec<Refusal>, StackError> {
        let text = read_text(&self.path)?;
        if let Err(error) = check_replaceable(&self.path) {
            let what = error.to_string();
            let hint = error.hint().unwrap_or_default();
            let all = changes.iter().flat_map(|change| change.figures().map(move |figure| (change, figure)));
            let refused = all.map(|(change, figure)| Refusal {
                item_id: change.item_id.clone(),
                figure,
                error: StackError::Refused { service: change.resource.clone(), what: what.clone(), hint: hint.clone() },
            });
            return Ok(refused.collect());
        }
        Ok(self.tried(&text, changes)?.1)
    }

    fn release(&self, resource: &str, names: &[&str]) -> Result<Release, StackError> {
        self.release_of(&read_text(&self.path)?, resource, names)
    }

    /// The file's permissions; its owner's alone where they cannot be told.
    fn mode(&self) -> u32 {
        crate::write::mode_of(&self.path)
    }

    fn hold(&self) -> Result<Box<dyn Session>, StackError> {
        Ok(Box::new(HeldCompose { compose: self.clone(), file: LockedFile::lock(&self.path)? }))
    }
}

/// A locked Compose file.
#[derive(Debug)]
pub(crate) struct HeldCompose {
    compose: ComposeFile,
    file: LockedFile,
}

impl WholeText for HeldCompose {
    fn name(&self) -> String {
        self.compose.path.display().to_string()
    }

    fn place(&self) -> String {
        self.file.path().display().to_string()
    }

    fn snapshot(&self) -> Result<String, StackError> {
        self.file.text()
    }

    fn limits(&self, text: &str) -> Result<BTreeMap<String, State>, StackError> {
        self.compose.limits(text)
    }

    fn edited(&self, text: &str, changes: &[Change]) -> Result<String, StackError> {
        check_replaceable(self.file.path())?;
        // A snapshot is put back whole.
        for change in changes {
            if let Some(whole) = change.whole_text()? {
                return Ok(whole.to_owned());
            }
        }
        let limits: Vec<Change> = changes.iter().filter(|change| change.task.is_none()).cloned().collect();
        let mut text = self.compose.edited(text, &limits)?;
        for change in changes {
            if let Some(deployment) = change.deployment() {
                text = self.compose.released(&text, &change.resource, &deployment.after)?;
            }
        }
        Ok(text)
    }

    fn deploys(&self) -> bool {
        true
    }

    fn replace(&mut self, from: &str, to: &str) -> Result<(), StackError> {
        self.file.exchange(from, to)
    }
}

fn named<T>(env: &str, services: BTreeMap<String, T>) -> BTreeMap<String, T> {
    services.into_iter().map(|(service, what)| (format!("{env}/{service}"), what)).collect()
}

#[cfg(test)]
mod edit_tests;
#[cfg(test)]
mod laws;
#[cfg(test)]
mod read_tests;
#[cfg(test)]
mod release_tests;
