//! Docker Compose files: one service, one resource; the project name is the environment.
//!
//! Owns reading limits and images out of the files of a project, as Compose lays them over each other, and writing each limit
//! into the file that sets it.

mod across;
mod around;
mod edit;
mod figure;
mod listed;
mod read;
mod release;
mod setup;
mod up;
mod variables;

pub use edit::edit;

use crate::StackError;
use crate::files::{HeldFiles, Source, TextFiles, Texts, digest_of, mode_of};
use crate::target::{Change, Figure as Limit, Live, Refusal, Session, Target, digest};
use crate::write::{identity, read_text};
use across::View;
use around::{Layers, beside};
use domain::own_memory::Setup;
use domain::paths::plain;
use domain::plan::{Note, State, TargetRef};
use domain::task::Release;
use figure::Figure;
use read::{Project, normalised};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The files of a project, by their paths: one, with those that Compose reads by itself beside it; or several, each laid over the
/// one before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComposeFile {
    path: PathBuf,
    over: Vec<PathBuf>,
}

impl ComposeFile {
    /// Names a file; it need not exist yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), over: Vec::new() }
    }

    /// Names files by commas between their paths; what is a file with all of its commas is one.
    pub fn named(paths: &str) -> Self {
        let absolute = |path: &str| std::path::absolute(path).unwrap_or_else(|_| path.into());
        if Path::new(paths).is_file() {
            return Self::new(absolute(paths));
        }
        let mut all = paths.split(',').map(str::trim).filter(|path| !path.is_empty()).map(absolute);
        Self { path: all.next().unwrap_or_default(), over: all.collect() }
    }

    /// The first of them, as it was given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The files as Compose lays them over each other, and where the first given is among them.
    fn layers(&self, source: &Source<'_>) -> (Layers, usize, Option<String>) {
        let absolute = std::path::absolute(&self.path).unwrap_or_else(|_| self.path.clone());
        let path = plain(&absolute);
        if self.over.is_empty() {
            return beside(&path, source);
        }
        let folder = path.parent().map(Path::to_owned).unwrap_or_default();
        let files = std::iter::once(path).chain(self.over.iter().map(|path| plain(path))).collect();
        (Layers::new(files, folder), 0, None)
    }

    /// The project as it is on disk, and all of its texts.
    fn read_all(&self) -> Result<(View, Texts), StackError> {
        let source = Source::disk();
        let view = self.view(&source)?;
        Ok((view, source.into_texts()))
    }

    fn understood(&self, texts: &Texts) -> Result<View, StackError> {
        self.view(&Source::Read(texts))
    }

    fn view(&self, source: &Source<'_>) -> Result<View, StackError> {
        let (layers, at, note) = self.layers(source);
        let real = |path: &Path| std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let named: Vec<PathBuf> = std::iter::once(&self.path).chain(&self.over).map(|path| real(path)).collect();
        if let Some(at) = (1..named.len()).find(|at| named[..*at].contains(&named[*at])) {
            return Err(StackError::NamedTwice { path: named[at].clone() });
        }
        // Files that were named are there; those that lie beside one may not be.
        for named in self.over.iter().map(|path| plain(path)) {
            source.read(&named)?;
        }
        let text = source.read(&layers.files[at])?;
        let mut view = self.inside(View::of(layers, at, &text, source))?;
        let project = view.project();
        let of_service = || project.services().into_iter().find_map(|name| project.service(name)?.fault);
        if let Some(fault) = view.around.faults.first().cloned().or_else(of_service) {
            let hint =
                "Compose refuses the project for it too: `docker compose config` tells when it is mended".to_owned();
            return self.inside(Err(StackError::Unclear { what: fault, hint }));
        }
        view.around.notes.extend(note);
        if !self.over.is_empty() {
            // What was named needs no telling.
            view.around.notes.retain(|note| !note.ends_with(around::TOGETHER));
        }
        Ok(view)
    }

    /// Those texts that are others with whatever can be changed changed, and what cannot.
    fn tried(&self, texts: &Texts, changes: &[Change]) -> Result<(Texts, Vec<Refusal>), StackError> {
        let view = self.understood(texts)?;
        let env = self.environment(view.project())?;
        let mut refusals = Vec::new();
        let mut wanted = Vec::new();
        let mut items: BTreeMap<&str, &str> = BTreeMap::new();
        for change in changes {
            let service = change.resource.strip_prefix(&env).and_then(|rest| rest.strip_prefix('/'));
            let known = service.filter(|name| view.project().service(name).is_some());
            let Some(service) = known else {
                for figure in change.figures() {
                    let (target, resource) = (self.location(), change.resource.clone());
                    let error = StackError::NoResource { target, resource };
                    refusals.push(Refusal { item_id: change.item_id.clone(), figure, error });
                }
                continue;
            };
            items.insert(service, &change.item_id);
            wanted.push((service, change.after));
        }
        let (edited, refused) = across::edit(self, texts, &wanted)?;
        refusals.extend(refused.into_iter().map(|(service, figure, error)| Refusal {
            item_id: items.get(service).map(|id| (*id).to_owned()).unwrap_or_default(),
            figure: if figure == Figure::Cpu { Limit::Cpu } else { Limit::Memory },
            error,
        }));
        Ok((edited, refusals))
    }

    /// The project with this text in the place of the main file's.
    fn with_text(&self, text: &str) -> Result<View, StackError> {
        let mut texts = self.texts()?;
        texts.insert(self.main(), text.to_owned());
        self.understood(&texts)
    }

    /// The path of the main file, as texts have it.
    fn main(&self) -> PathBuf {
        plain(&std::path::absolute(&self.path).unwrap_or_else(|_| self.path.clone()))
    }

    /// Whether it is this project's to write: what lies in its folder, or was named.
    fn may_write(&self, path: &Path) -> bool {
        let main = self.main();
        main.parent().is_some_and(|folder| path.starts_with(folder)) || self.over.iter().any(|over| plain(over) == path)
    }

    fn location(&self) -> String {
        let all = std::iter::once(&self.path).chain(&self.over);
        all.map(|path| path.to_string_lossy().into_owned()).collect::<Vec<_>>().join(",")
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
        let folder = absolute.parent().map(plain).unwrap_or_default();
        Ok(folder.file_name().unwrap_or_default().to_string_lossy().into_owned())
    }
}

impl Target for ComposeFile {
    fn reference(&self) -> TargetRef {
        TargetRef { kind: "compose".to_owned(), location: self.location() }
    }

    fn identity(&self) -> Result<String, StackError> {
        Ok(identity(&self.path))
    }

    fn identities(&self) -> Result<Vec<String>, StackError> {
        Ok(self.held()?.iter().map(|path| identity(path)).collect())
    }

    fn read(&self) -> Result<Live, StackError> {
        let (view, texts) = self.read_all()?;
        let project = view.project();
        let env = self.environment(project)?;
        let limits = project.limits();
        let whole = view.around.notes.iter().map(|what| Note { resource: None, what: what.clone() });
        let each = limits.notes.into_iter().chain(view.places());
        let each = each.map(|(service, what)| Note { resource: Some(format!("{env}/{service}")), what });
        Ok(Live {
            digest: self.digest(&texts),
            resources: named(&env, limits.states),
            replicas: named(&env, limits.replicas),
            notes: each.chain(whole).collect(),
            ..Live::default()
        })
    }

    fn setups(&self) -> Result<BTreeMap<String, Setup>, StackError> {
        self.all_setups()
    }

    fn refusals(&self, changes: &[Change]) -> Result<Vec<Refusal>, StackError> {
        Ok(self.tried(&self.texts()?, changes)?.1)
    }

    fn release(&self, resource: &str, names: &[&str]) -> Result<Release, StackError> {
        self.release_of(&read_text(&self.path)?, resource, names)
    }

    fn mode(&self) -> u32 {
        mode_of(&self.texts().unwrap_or_else(|_| Texts::from([(self.main(), String::new())])))
    }

    fn can_recreate(&self) -> Result<(), StackError> {
        up::program().map(drop)
    }

    fn running(&self, resources: &[&str]) -> Result<Vec<String>, StackError> {
        up::running(resources)
    }

    fn recreate(&self, resources: &[&str], most: Duration) -> Result<(), StackError> {
        self.up(resources, most)
    }

    fn hold(&self) -> Result<Box<dyn Session>, StackError> {
        Ok(Box::new(HeldFiles::hold(self.clone())?))
    }
}

impl TextFiles for ComposeFile {
    fn name(&self) -> String {
        self.location()
    }

    fn texts(&self) -> Result<Texts, StackError> {
        Ok(self.read_all()?.1)
    }

    /// The files of the project itself; what several projects may include or extend is held while it is written.
    fn held(&self) -> Result<Vec<PathBuf>, StackError> {
        let (layers, at, _) = self.layers(&Source::disk());
        let main = layers.files[at].clone();
        Ok(layers.files.into_iter().filter(|file| *file == main || file.is_file()).collect())
    }

    fn limits(&self, texts: &Texts) -> Result<BTreeMap<String, State>, StackError> {
        let view = self.understood(texts)?;
        Ok(named(&self.environment(view.project())?, view.project().limits().states))
    }

    fn edited(&self, texts: &Texts, changes: &[Change]) -> Result<Texts, StackError> {
        let main = self.main();
        // A snapshot is put back whole.
        for change in changes {
            if let Some(whole) = change.whole_text()? {
                return Ok(Texts::from([(main, whole.to_owned())]));
            }
        }
        let limits: Vec<Change> = changes.iter().filter(|change| change.task.is_none()).cloned().collect();
        let (mut edited, refusals) = self.tried(texts, &limits)?;
        if let Some(refusal) = refusals.into_iter().next() {
            return Err(refusal.error);
        }
        let before = texts.get(&main).cloned().unwrap_or_default();
        let mut text = edited.get(&main).cloned().unwrap_or_else(|| before.clone());
        for change in changes {
            if let Some(deployment) = change.deployment() {
                text = self.released(&text, &change.resource, &deployment.after)?;
            }
        }
        if text != before {
            edited.insert(main, text);
        }
        Ok(edited)
    }

    /// Of a file with nothing around it, its own.
    fn digest(&self, texts: &Texts) -> String {
        match texts.len() {
            1 => texts.values().map(|text| digest(text)).collect(),
            _ => digest_of(texts),
        }
    }

    fn only(&self) -> Option<PathBuf> {
        Some(self.main())
    }

    fn deploys(&self) -> bool {
        true
    }
}

fn named<T>(env: &str, services: BTreeMap<String, T>) -> BTreeMap<String, T> {
    services.into_iter().map(|(service, what)| (format!("{env}/{service}"), what)).collect()
}

#[cfg(test)]
mod across_tests;
#[cfg(test)]
mod edit_tests;
#[cfg(test)]
mod laws;
#[cfg(test)]
mod read_tests;
#[cfg(test)]
mod release_tests;
