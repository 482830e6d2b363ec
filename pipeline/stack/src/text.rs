//! Targets that are one text, written wholly or not at all: one step, whose inverse is the text before.

use crate::StackError;
use crate::journal::Step;
use crate::target::{Change, Session, Stand, check_as_planned, differs, digest};
use crate::write::{LockedFile, check_replaceable};
use domain::plan::State;
use domain::units::counted;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A target that is one text file.
pub(crate) trait OneText {
    /// Where it is, by the name that people gave.
    fn path(&self) -> &Path;
    /// The limits such a text sets.
    fn limits(&self, text: &str) -> Result<BTreeMap<String, State>, StackError>;
    /// The text with the changes made and nothing else touched.
    fn edited(&self, text: &str, changes: &[Change]) -> Result<String, StackError>;
    /// Whether components can be deployed to it.
    fn deploys(&self) -> bool {
        false
    }
}

/// Such a file, locked.
pub(crate) struct HeldText<T> {
    target: T,
    file: LockedFile,
}

impl<T: OneText> HeldText<T> {
    /// Locks it; refused where another run has it.
    pub(crate) fn hold(target: T) -> Result<Self, StackError> {
        let file = LockedFile::lock(target.path())?;
        Ok(Self { target, file })
    }

    /// Where it really is, whatever leads there.
    fn place(&self) -> String {
        self.file.path().display().to_string()
    }
}

impl<T: OneText> Session for HeldText<T> {
    fn prepare(&mut self, prior_state_digest: &str, changes: &[Change]) -> Result<Vec<Step>, StackError> {
        let live = self.file.text()?;
        let limits = self.target.limits(&live)?;
        let name = self.target.path().display().to_string();
        check_as_planned(name, digest(&live) == prior_state_digest, &limits, changes)?;
        check_replaceable(self.file.path())?;
        let after = self.target.edited(&live, changes)?;
        if after == live {
            return Ok(Vec::new());
        }
        let all = |of: fn(&Change) -> &String| changes.iter().map(of).cloned().collect::<Vec<_>>();
        let what = format!("write {}", counted(changes.len(), "change"));
        let names = all(|change| &change.resource).join(", ");
        let step = Step::new(names, all(|change| &change.item_id), what, live.into(), after.into());
        Ok(vec![Step { place: self.place(), ..step }])
    }

    fn stands(&mut self, step: &Step) -> Result<Stand, StackError> {
        // A link that leads to another file now: what that one holds says nothing of the one that was written.
        let place = self.place();
        if !step.place.is_empty() && step.place != place {
            return Ok(Stand::Other(vec![format!("it leads to {place} now, and the plan is about {}", step.place)]));
        }
        let live = self.file.text()?;
        let found = digest(&live);
        if found == step.after_digest {
            return Ok(Stand::After);
        }
        if found == step.before_digest {
            return Ok(Stand::Before);
        }
        // What it should be is what it last was.
        let wanted = text(if step.progress.is_done() { &step.after } else { &step.before });
        let limits = |text: &str| self.target.limits(text).unwrap_or_default();
        let mut differs = changed_limits(&limits(wanted), &limits(&live));
        if let Some(line) = first_changed_line(wanted, &live) {
            differs.push(format!("line {line} is the first that differs"));
        }
        Ok(Stand::Other(differs))
    }

    fn carry_out(&mut self, step: &Step) -> Result<(), StackError> {
        self.file.exchange(text(&step.before), text(&step.after))
    }

    fn undo(&mut self, step: &Step) -> Result<(), StackError> {
        self.file.exchange(text(&step.after), text(&step.before))
    }

    fn deploys(&self) -> bool {
        self.target.deploys()
    }

    fn is_whole(&self) -> bool {
        true
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// How live limits differ from those that were wanted.
pub(crate) fn changed_limits(wanted: &BTreeMap<String, State>, live: &BTreeMap<String, State>) -> Vec<String> {
    let names: BTreeSet<&String> = wanted.keys().chain(live.keys()).collect();
    names
        .into_iter()
        .filter(|name| wanted.get(*name) != live.get(*name))
        .map(|name| differs(name, wanted.get(name), live.get(name)))
        .collect()
}

pub(crate) fn first_changed_line(wanted: &str, live: &str) -> Option<usize> {
    let (mut wanted, mut live) = (wanted.split_inclusive('\n'), live.split_inclusive('\n'));
    let mut line = 1;
    loop {
        match (wanted.next(), live.next()) {
            (None, None) => return None,
            (a, b) if a != b => return Some(line),
            _ => line += 1,
        }
    }
}
