//! The targets that a plan names, for those who act on them.

use crate::failure::{Exit, Failure};
use domain::plan::{Plan, PlannedTarget};
use nix::sys::stat::{Mode, umask};
use serde::Serialize;
use stack::{Change, Held, Journal, Target, planned_target};
use std::collections::BTreeSet;
use std::error::Error;
use std::time::Duration;

use crate::artifacts::journal_path;
use lake::Lake;

/// Some targets of a plan.
pub struct Targets(Vec<(PlannedTarget, Box<dyn Target>)>);

impl Targets {
    /// Those that have one of these items.
    pub fn of(plan: &Plan, items: &[String]) -> Result<Self, Failure> {
        let ids: BTreeSet<&str> =
            plan.items.iter().filter(|item| items.contains(&item.id)).map(|item| item.on.as_str()).collect();
        let named = plan.targets.iter().filter(|target| ids.contains(target.id.as_str()));
        let opened = named.map(|planned| Ok((planned.clone(), planned_target(&planned.reference())?)));
        Ok(Self(opened.collect::<Result<_, Failure>>()?))
    }

    /// Them all, held; refused where another run holds one.
    pub fn hold(&self) -> Result<Vec<Held>, Failure> {
        let held = self.0.iter().map(|(planned, target)| Ok(Held::new(planned, target.as_ref())?));
        tokio::task::block_in_place(|| held.collect())
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = (&PlannedTarget, &dyn Target)> {
        self.0.iter().map(|(planned, target)| (planned, target.as_ref()))
    }

    /// Those whose resources are recreated by what is written; refused where there is none, or no way to do it.
    pub fn can_recreate(&self) -> Result<(), Failure> {
        let mut all = self.compose().peekable();
        if all.peek().is_none() {
            return Err(Failure::new(Exit::Usage, "no Compose file is changed: there is nothing to recreate")
                .hint("apply without --up"));
        }
        all.try_for_each(|(_, target)| Ok(tokio::task::block_in_place(|| target.can_recreate())?))
    }

    /// The resources of these changes that are recreated.
    pub fn resources(&self, changes: &[Change]) -> Vec<String> {
        let on = |change: &&Change| self.compose().any(|(planned, _)| planned.id == change.on);
        changes.iter().filter(on).map(|change| change.resource.clone()).collect()
    }

    /// Those of them that run.
    pub fn running(&self, changes: &[Change]) -> Result<Vec<String>, Failure> {
        let mut all = Vec::new();
        for (planned, target) in self.compose() {
            let own = changes.iter().filter(|change| change.on == planned.id);
            let own: Vec<&str> = own.map(|change| change.resource.as_str()).collect();
            all.extend(tokio::task::block_in_place(|| target.running(&own))?);
        }
        Ok(all)
    }

    /// Recreates these resources of changes where they are not as it is written.
    pub fn recreate(&self, changes: &[Change], resources: &[String], most: Duration) -> Result<(), Failure> {
        for (planned, target) in self.compose() {
            let own = changes.iter().filter(|change| change.on == planned.id && resources.contains(&change.resource));
            let own: Vec<&str> = own.map(|change| change.resource.as_str()).collect();
            tokio::task::block_in_place(|| target.recreate(&own, most))?;
        }
        Ok(())
    }

    fn compose(&self) -> impl Iterator<Item = (&PlannedTarget, &dyn Target)> {
        self.iter().filter(|(planned, _)| planned.kind == "compose")
    }

    /// Where they are, in words.
    pub fn in_words(&self) -> String {
        self.0.iter().map(|(planned, _)| planned.location.as_str()).collect::<Vec<_>>().join(", ")
    }

    /// Keeps the journal in the lake, for those who may read every target: their texts are in it. The stack calls back in the
    /// middle of its steps, on a thread that may wait.
    pub fn keep(&self, lake: &Lake, plan: &Plan, journal: &Journal) -> Result<(), Box<dyn Error + Send + Sync>> {
        let mode = self.0.iter().fold(0o666, |mode, (_, target)| mode & target.mode());
        kept_closely(lake, &journal_path(plan), journal, mode)
    }
}

/// Keeps a document in the lake for those who may read the file that it is of, by its permissions.
pub fn kept_closely<T: Serialize>(
    lake: &Lake,
    path: &str,
    value: &T,
    mode: u32,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    // Files are made with what the mask leaves, folders with the way through them; nothing else is written while this waits.
    let before = umask(Mode::from_bits_truncate(!(mode | 0o111) & 0o777));
    let kept = tokio::task::block_in_place(|| {
        tokio::runtime::Handle::current().block_on(async { lake.write_document(path, value).await })
    });
    umask(before);
    Ok(kept?)
}
