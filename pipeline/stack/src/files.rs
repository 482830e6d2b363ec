//! Targets that are several text files: one step a file, whose inverse is the text before.

use crate::StackError;
use crate::journal::Step;
use crate::target::{Change, Session, Stand, check_as_planned, digest};
use crate::text::first_changed_line;
use crate::write::{LockedFile, read_text};
use domain::plan::State;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Texts by the paths of their files.
pub(crate) type Texts = BTreeMap<PathBuf, String>;

/// A target of several files.
pub(crate) trait TextFiles {
    /// What people know it by.
    fn name(&self) -> String;
    /// Every file that takes part, as it is now.
    fn texts(&self) -> Result<Texts, StackError>;
    /// Whether it is this target's to change.
    fn is_own(&self, path: &Path) -> bool;
    /// The limits that such files set.
    fn limits(&self, texts: &Texts) -> Result<BTreeMap<String, State>, StackError>;
    /// Those files whose text is another with the changes made, and nothing else touched.
    fn edited(&self, texts: &Texts, changes: &[Change]) -> Result<Texts, StackError>;
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
    /// Locks every file that may be written; one that may not be is not changed by anybody else either.
    pub(crate) fn hold(target: T) -> Result<Self, StackError> {
        let mut locked = BTreeMap::new();
        for path in target.texts()?.into_keys().filter(|path| target.is_own(path)) {
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

    fn replace(&mut self, step: &Step, from: &Value, to: &Value) -> Result<(), StackError> {
        let path = path_of(step);
        let file = match self.locked.get_mut(&path) {
            Some(file) => file,
            None => self.locked.entry(path.clone()).or_insert(LockedFile::lock(&path)?),
        };
        file.exchange(text_of(from), text_of(to))
    }
}

fn is_read_only(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
}

impl<T: TextFiles> Session for HeldFiles<T> {
    fn prepare(&mut self, prior_state_digest: &str, changes: &[Change]) -> Result<Vec<Step>, StackError> {
        let texts = self.target.texts()?;
        let limits = self.target.limits(&texts)?;
        check_as_planned(self.target.name(), digest_of(&texts) == prior_state_digest, &limits, changes)?;
        let after = self.target.edited(&texts, changes)?;
        let items: Vec<String> = changes.iter().map(|change| change.item_id.clone()).collect();
        let step = |(path, text): (&PathBuf, &String)| {
            let with = |text: &str| json!({ "path": path, "text": text });
            let name = path.display().to_string();
            let before = texts.get(path).map_or("", String::as_str);
            Step::new(name, items.clone(), "write it".to_owned(), with(before), with(text))
        };
        Ok(after.iter().map(step).collect())
    }

    fn stands(&mut self, step: &Step) -> Result<Stand, StackError> {
        let path = path_of(step);
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
        let wanted = text_of(if step.progress.is_done() { &step.after } else { &step.before });
        let line = first_changed_line(wanted, &live).unwrap_or(1);
        Ok(Stand::Other(vec![format!("{}: line {line} is the first that differs", path.display())]))
    }

    fn carry_out(&mut self, step: &Step) -> Result<(), StackError> {
        self.replace(step, &step.before, &step.after)
    }

    fn undo(&mut self, step: &Step) -> Result<(), StackError> {
        self.replace(step, &step.after, &step.before)
    }

    /// Texts disturb nobody: what they describe takes them up later.
    fn healthy(&mut self, _: &Step, _: Duration) -> Result<(), StackError> {
        Ok(())
    }

    fn is_whole(&self) -> bool {
        true
    }
}

fn path_of(step: &Step) -> PathBuf {
    step.before["path"].as_str().unwrap_or_default().into()
}

fn text_of(value: &Value) -> &str {
    value["text"].as_str().unwrap_or_default()
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
            why: None,
            log: Vec::new(),
        }
    }
}
