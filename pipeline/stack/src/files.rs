//! Targets that are several text files: one step a file, whose inverse is the text before.

use crate::StackError;
use crate::journal::Step;
use crate::target::{Change, Session, Stand, check_as_planned, digest};
use crate::text::{changed_limits, first_changed_line};
use crate::write::{LockedFile, read_text};
use domain::plan::State;
use domain::units::counted;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// Texts by the paths of their files.
pub(crate) type Texts = BTreeMap<PathBuf, String>;

/// Where texts come from: the disk, remembered as they are read, or a set that was read before.
pub(crate) enum Source<'a> {
    Disk(RefCell<Texts>),
    Read(&'a Texts),
}

impl Source<'_> {
    /// The disk, of which nothing is read yet.
    pub(crate) fn disk() -> Self {
        Self::Disk(RefCell::default())
    }

    /// The text of a file; none where there is no file.
    pub(crate) fn text(&self, path: &Path) -> Result<Option<String>, StackError> {
        match self {
            Self::Read(texts) => Ok(texts.get(path).cloned()),
            Self::Disk(_) if path.is_file() => self.read(path).map(Some),
            Self::Disk(_) => Ok(None),
        }
    }

    /// The text of a file that should be there, or of what a link leads to.
    pub(crate) fn read(&self, path: &Path) -> Result<String, StackError> {
        match self {
            Self::Read(texts) => texts.get(path).cloned().ok_or_else(|| {
                let source = io::Error::from(io::ErrorKind::NotFound);
                StackError::Read { path: path.to_owned(), source }
            }),
            Self::Disk(texts) => {
                let text = read_text(path)?;
                texts.borrow_mut().insert(path.to_owned(), text.clone());
                Ok(text)
            }
        }
    }

    /// All that was read.
    pub(crate) fn into_texts(self) -> Texts {
        match self {
            Self::Disk(texts) => texts.into_inner(),
            Self::Read(texts) => texts.clone(),
        }
    }
}

/// What all of the files allow; their owner's alone where it cannot be told.
pub(crate) fn mode_of(texts: &Texts) -> u32 {
    texts.keys().map(|path| crate::write::mode_of(path)).fold(0o666, |mode, one| mode & one)
}

/// A target of several files.
pub(crate) trait TextFiles {
    /// What people know it by.
    fn name(&self) -> String;
    /// Every file that takes part, as it is now.
    fn texts(&self) -> Result<Texts, StackError>;
    /// Those that are held for the whole run; any other is from when it is written.
    fn held(&self) -> Result<Vec<PathBuf>, StackError>;
    /// The limits that such files set.
    fn limits(&self, texts: &Texts) -> Result<BTreeMap<String, State>, StackError>;
    /// Those files whose text is another with the changes made, and nothing else touched.
    fn edited(&self, texts: &Texts, changes: &[Change]) -> Result<Texts, StackError>;
    /// The digest that a plan has of them.
    fn digest(&self, texts: &Texts) -> String {
        digest_of(texts)
    }
    /// The file of a step that names none: an earlier version of this program wrote it, when the target was one text.
    fn only(&self) -> Option<PathBuf> {
        None
    }
    /// Whether components can be deployed to it.
    fn deploys(&self) -> bool {
        false
    }
}

/// `sha256:` of a file of any size, and how many bytes it has.
pub(crate) fn digest_of_file(path: &Path) -> Result<(String, u64), StackError> {
    let failed = |source| StackError::Read { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(failed)?;
    let mut hash = Sha256::new();
    let bytes = io::copy(&mut file, &mut hash).map_err(failed)?;
    Ok((format!("sha256:{:x}", hash.finalize()), bytes))
}

/// The digest of all of them.
pub(crate) fn digest_of(texts: &Texts) -> String {
    let all: String =
        texts.iter().map(|(path, text)| format!("{}\0{}\0{text}\0", path.display(), text.len())).collect();
    digest(&all)
}

/// The files, held for one run.
pub(crate) struct HeldFiles<T> {
    target: T,
    locked: BTreeMap<PathBuf, LockedFile>,
}

impl<T: TextFiles> HeldFiles<T> {
    /// Locks every file that it holds; one that may not be written is not changed by anybody else either.
    pub(crate) fn hold(target: T) -> Result<Self, StackError> {
        let mut locked = BTreeMap::new();
        for path in target.held()? {
            match LockedFile::lock(&path) {
                Ok(file) => {
                    locked.insert(path, file);
                }
                Err(StackError::Write { source, .. }) if is_read_only(&source) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Self { target, locked })
    }

    fn path_of(&self, step: &Step) -> PathBuf {
        step.before["path"].as_str().map(PathBuf::from).or_else(|| self.target.only()).unwrap_or_default()
    }

    fn locked(&mut self, path: PathBuf) -> Result<&mut LockedFile, StackError> {
        match self.locked.entry(path) {
            Entry::Occupied(held) => Ok(held.into_mut()),
            Entry::Vacant(free) => {
                let file = LockedFile::lock(free.key())?;
                Ok(free.insert(file))
            }
        }
    }

    fn replace(&mut self, step: &Step, from: &Value, to: &Value) -> Result<(), StackError> {
        let path = self.path_of(step);
        let file = self.locked(path)?;
        file.exchange(text_of(from), text_of(to))
    }
}

fn is_read_only(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
}

impl<T: TextFiles> HeldFiles<T> {
    /// The resources that one file alone changes, and their items; all of the items where it cannot be told.
    fn changed_by(&self, texts: &Texts, path: &Path, text: &str, changes: &[Change]) -> (String, Vec<String>) {
        let mut with = texts.clone();
        with.insert(path.to_owned(), text.to_owned());
        let (before, after) = (self.target.limits(texts), self.target.limits(&with));
        let (before, after) = (before.unwrap_or_default(), after.unwrap_or_default());
        let of_file =
            |change: &&Change| change.task.is_some() || before.get(&change.resource) != after.get(&change.resource);
        let found: Vec<&Change> = changes.iter().filter(of_file).collect();
        let found = if found.is_empty() { changes.iter().collect() } else { found };
        let names: Vec<&str> = found.iter().map(|change| change.resource.as_str()).collect();
        (names.join(", "), found.iter().map(|change| change.item_id.clone()).collect())
    }

    /// How limits differ where one file has this text and not the other.
    fn differences(&self, path: &Path, wanted: &str, live: &str) -> Vec<String> {
        let limits = |text: &str| {
            let mut texts = self.target.texts().unwrap_or_default();
            texts.insert(path.to_owned(), text.to_owned());
            self.target.limits(&texts).unwrap_or_default()
        };
        changed_limits(&limits(wanted), &limits(live))
    }
}

impl<T: TextFiles> Session for HeldFiles<T> {
    fn prepare(&mut self, prior_state_digest: &str, changes: &[Change]) -> Result<Vec<Step>, StackError> {
        let texts = self.target.texts()?;
        let limits = self.target.limits(&texts)?;
        check_as_planned(self.target.name(), self.target.digest(&texts) == prior_state_digest, &limits, changes)?;
        let after = self.target.edited(&texts, changes)?;
        // One that may not be written is told of before anything is.
        for path in after.keys() {
            self.locked(path.clone())?;
        }
        let step = |(path, text): (&PathBuf, &String)| {
            let with = |text: &str| json!({ "path": path, "text": text });
            let before = texts.get(path).map_or("", String::as_str);
            let (names, items) = self.changed_by(&texts, path, text, changes);
            let what = match after.len() {
                1 => format!("write {}", counted(items.len(), "change")),
                _ => format!("write {} to {}", counted(items.len(), "change"), path.display()),
            };
            let place = real(path).display().to_string();
            Step { place, ..Step::new(names, items, what, with(before), with(text)) }
        };
        Ok(after.iter().map(step).collect())
    }

    fn stands(&mut self, step: &Step) -> Result<Stand, StackError> {
        let path = self.path_of(step);
        // A link that leads to another file now: what that one holds says nothing of the one that was written.
        let place = real(&path).display().to_string();
        if !step.place.is_empty() && step.place != place && path.exists() {
            return Ok(Stand::Other(vec![format!("it leads to {place} now, and the plan is about {}", step.place)]));
        }
        let live = match read_text(&path) {
            Ok(live) => live,
            Err(StackError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                return Ok(Stand::Gone(format!("{} is gone", path.display())));
            }
            Err(error) => return Err(error),
        };
        if live == text_of(&step.after) {
            return Ok(Stand::After);
        }
        if live == text_of(&step.before) {
            return Ok(Stand::Before);
        }
        // What it should be is what it last was.
        let wanted = text_of(if step.progress.is_done() { &step.after } else { &step.before });
        let mut differs = self.differences(&path, wanted, &live);
        if let Some(line) = first_changed_line(wanted, &live) {
            differs.push(format!("{}: line {line} is the first that differs", path.display()));
        }
        Ok(Stand::Other(differs))
    }

    fn check_writable(&mut self, step: &Step) -> Result<(), StackError> {
        let path = self.path_of(step);
        self.locked(path).map(|_| ())
    }

    fn carry_out(&mut self, step: &Step) -> Result<(), StackError> {
        self.replace(step, &step.before, &step.after)
    }

    fn undo(&mut self, step: &Step) -> Result<(), StackError> {
        self.replace(step, &step.after, &step.before)
    }

    fn deploys(&self) -> bool {
        self.target.deploys()
    }

    fn is_whole(&self) -> bool {
        true
    }
}

fn real(path: &Path) -> PathBuf {
    std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

fn text_of(value: &Value) -> &str {
    value["text"].as_str().or_else(|| value.as_str()).unwrap_or_default()
}

#[cfg(test)]
pub(crate) mod tests {
    use crate::journal::{FORMAT_VERSION, Journal, Phase};
    use domain::plan::PlannedTarget;

    /// The journal of a plan with one target, of which nothing was done yet.
    pub(crate) fn journal(planned: &PlannedTarget) -> Journal {
        Journal {
            format_version: FORMAT_VERSION,
            plan_id: "p1".into(),
            targets: vec![planned.clone()],
            state: Phase::Planned,
            changes: Vec::new(),
            steps: Vec::new(),
            written: false,
            up: Vec::new(),
            up_timeout_s: None,
            switching: Vec::new(),
            switched: None,
            why: None,
            log: Vec::new(),
        }
    }
}
