//! Apply and rollback: the order of steps that makes a kill at any moment harmless.
//!
//! The journal is saved before every write with both texts in it, and after it with the outcome. Whoever comes next
//! finds the target with the text before, the text after, or neither; the first two are resumed, the last is refused.

use crate::StackError;
use crate::journal::{Journal, Phase};
use crate::target::{Change, Session, Target, digest, in_words, same};
use domain::Timestamp;
use domain::plan::State;
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;

/// Whether anything had to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// The target was written.
    Written,
    /// It was already as wanted.
    Already,
}

/// Keeps a journal where a later run finds it.
pub type Save<'a> = &'a mut dyn FnMut(&Journal) -> Result<(), Box<dyn Error + Send + Sync>>;

/// Carries out the changes, or resumes where a killed run stopped. Applying twice is applying once.
///
/// A journal in [`Phase::Planned`] takes `changes`; a later one knows what it was doing and ignores them.
///
/// # Errors
/// [`StackError::Drifted`] where the target is neither what the plan was made from nor what it leads to;
/// [`StackError::Locked`], [`StackError::Refused`], [`StackError::RolledBack`]; nothing is written in any of them.
pub fn apply(
    target: &Target,
    changes: &[Change],
    journal: &mut Journal,
    now: Timestamp,
    save: Save<'_>,
) -> Result<Done, StackError> {
    apply_held(target, target.hold()?.as_mut(), changes, journal, now, save)
}

/// [`apply`] on a target that is held already: who also reads the journal and writes the ledger while holding it does
/// so once, however many runs there are at a time.
///
/// # Errors
/// As [`apply`], without [`StackError::Locked`].
pub fn apply_held(
    target: &Target,
    session: &mut dyn Session,
    changes: &[Change],
    journal: &mut Journal,
    now: Timestamp,
    save: Save<'_>,
) -> Result<Done, StackError> {
    journal.verify(&target.reference())?;
    if journal.state == Phase::RolledBack {
        return Err(StackError::RolledBack { plan_id: journal.plan_id.clone() });
    }
    let live = session.snapshot()?;
    if journal.state == Phase::Planned {
        prepare(session, target, &live, changes, journal, now)?;
    }
    let found = digest(&live);
    if found == journal.after_digest {
        journal.written |= journal.after_digest != journal.before_digest;
        if journal.state != Phase::Applied {
            journal.state = Phase::Applied;
            journal.note(now, "found it applied");
            keep(journal, save)?;
        }
        return Ok(Done::Already);
    }
    if found != journal.before_digest || journal.state == Phase::Applied {
        let since = if journal.state == Phase::Applied { "the plan was applied" } else { "apply was interrupted" };
        let wanted = if journal.state == Phase::Applied { &journal.after_text } else { &journal.before_text };
        return Err(drifted(session, target, since, wanted, &live));
    }
    journal.note(now, format!("writing {} changes", journal.changes.len()));
    keep(journal, save)?;
    session.replace(&journal.before_text, &journal.after_text)?;
    journal.state = Phase::Applied;
    journal.written = true;
    journal.note(now, "written");
    keep(journal, save)?;
    Ok(Done::Written)
}

/// Restores the target to the byte as it was before the plan.
///
/// # Errors
/// [`StackError::Drifted`] where somebody changed it since; [`StackError::NotApplied`] where nothing was ever done.
pub fn rollback(target: &Target, journal: &mut Journal, now: Timestamp, save: Save<'_>) -> Result<Done, StackError> {
    rollback_held(target, target.hold()?.as_mut(), journal, now, save)
}

/// [`rollback`] of a target that is held already.
///
/// # Errors
/// As [`rollback`], without [`StackError::Locked`].
pub fn rollback_held(
    target: &Target,
    session: &mut dyn Session,
    journal: &mut Journal,
    now: Timestamp,
    save: Save<'_>,
) -> Result<Done, StackError> {
    journal.verify(&target.reference())?;
    if journal.state == Phase::Planned {
        return Err(StackError::NotApplied { plan_id: journal.plan_id.clone() });
    }
    let live = session.snapshot()?;
    let found = digest(&live);
    if found == journal.before_digest {
        if journal.state != Phase::RolledBack {
            journal.state = Phase::RolledBack;
            journal.note(now, "found it as it was before");
            keep(journal, save)?;
        }
        return Ok(Done::Already);
    }
    if found != journal.after_digest || journal.state == Phase::RolledBack {
        let rolled_back = journal.state == Phase::RolledBack;
        let since = if rolled_back { "the plan was rolled back" } else { "the plan was applied" };
        let wanted = if rolled_back { &journal.before_text } else { &journal.after_text };
        return Err(drifted(session, target, since, wanted, &live));
    }
    journal.written = true;
    journal.note(now, "restoring what was there before");
    keep(journal, save)?;
    session.replace(&journal.after_text, &journal.before_text)?;
    journal.state = Phase::RolledBack;
    journal.note(now, "restored");
    keep(journal, save)?;
    Ok(Done::Written)
}

/// Works out what will be written; the target is still untouched.
fn prepare(
    session: &dyn Session,
    target: &Target,
    live: &str,
    changes: &[Change],
    journal: &mut Journal,
    now: Timestamp,
) -> Result<(), StackError> {
    let limits = session.limits(live)?;
    let differs: Vec<String> = changes
        .iter()
        .filter(|change| !limits.get(&change.resource).is_some_and(|live| same(*live, change.before)))
        .map(|change| differs(&change.resource, Some(&change.before), limits.get(&change.resource)))
        .collect();
    if digest(live) != journal.before_digest || !differs.is_empty() {
        let differs = if differs.is_empty() { vec!["the limits to change are the same".to_owned()] } else { differs };
        return Err(StackError::Drifted { target: named(target), since: "the plan was made", differs });
    }
    let after = session.edited(live, changes)?;
    journal.after_digest = digest(&after);
    journal.after_text = after;
    journal.before_text = live.to_owned();
    journal.changes = changes.to_vec();
    journal.state = Phase::Prepared;
    journal.note(now, "prepared");
    Ok(())
}

fn keep(journal: &Journal, save: Save<'_>) -> Result<(), StackError> {
    save(journal).map_err(|source| StackError::Save { plan_id: journal.plan_id.clone(), source })
}

fn drifted(session: &dyn Session, target: &Target, since: &'static str, wanted: &str, live: &str) -> StackError {
    let limits = |text: &str| session.limits(text).unwrap_or_default();
    let mut differs = changed_limits(&limits(wanted), &limits(live));
    if let Some(line) = first_changed_line(wanted, live) {
        differs.push(format!("line {line} is the first that differs"));
    }
    StackError::Drifted { target: named(target), since, differs }
}

fn changed_limits(wanted: &BTreeMap<String, State>, live: &BTreeMap<String, State>) -> Vec<String> {
    let names: BTreeSet<&String> = wanted.keys().chain(live.keys()).collect();
    names
        .into_iter()
        .filter(|name| wanted.get(*name) != live.get(*name))
        .map(|name| differs(name, wanted.get(name), live.get(name)))
        .collect()
}

fn differs(resource: &str, wanted: Option<&State>, live: Option<&State>) -> String {
    match (wanted, live) {
        (_, None) => format!("{resource} is gone"),
        (None, Some(_)) => format!("{resource} is new"),
        (Some(wanted), Some(live)) => {
            format!("{resource} has {}, not {}", in_words(*live), in_words(*wanted))
        }
    }
}

fn first_changed_line(wanted: &str, live: &str) -> Option<usize> {
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

fn named(target: &Target) -> String {
    target.reference().location
}

#[cfg(test)]
#[path = "apply_tests.rs"]
mod tests;
