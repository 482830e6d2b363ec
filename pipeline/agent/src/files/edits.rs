//! From single changes of files to `edit` events: changes of one file that follow each other closely are one edit, and
//! many files that change at once are no edits at all.

use crate::collect::event;
use crate::git::file_type;
use domain::Timestamp;
use domain::time::SECOND;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Changes of one file that are no further apart are one edit.
pub(super) const PULSE: i64 = 120 * SECOND;
/// More files than this within [`AT_ONCE`] were changed by a program: a checkout, a build, a formatter.
pub(super) const BULK: usize = 100;
/// What "at once" means.
pub(super) const AT_ONCE: i64 = 2 * SECOND;

/// One file, changed.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Change {
    /// From the top of the checkout.
    pub(super) file: String,
    pub(super) at: Timestamp,
    pub(super) deleted: bool,
}

/// Where the changes happen.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Place {
    pub(super) repo: Option<String>,
    pub(super) branch: Option<String>,
}

/// Edits that may still go on.
#[derive(Default)]
pub(super) struct Edits {
    place: Place,
    open: BTreeMap<String, Span>,
    bulk: Option<Bulk>,
}

struct Span {
    from: Timestamp,
    to: Timestamp,
    changes: u64,
    deleted: bool,
}

struct Bulk {
    from: Timestamp,
    to: Timestamp,
    files: u64,
    types: BTreeMap<String, u64>,
}

impl Edits {
    /// Takes what changed within [`AT_ONCE`], each file once. Returns what is over by that: edits of another branch.
    pub(super) fn take(&mut self, place: &Place, changes: Vec<Change>) -> Vec<Value> {
        let Some(first) = changes.iter().map(|change| change.at).min() else { return Vec::new() };
        let mut over = if *place == self.place { self.over(first) } else { self.all() };
        self.place = place.clone();
        let still = self.bulk.as_ref().is_some_and(|bulk| first <= bulk.to.plus(AT_ONCE));
        if changes.len() > BULK || still {
            if !still {
                over.extend(self.bulk.take().map(|bulk| bulk.event(&self.place)));
            }
            let bulk = self.bulk.get_or_insert(Bulk { from: first, to: first, files: 0, types: BTreeMap::new() });
            for change in changes {
                bulk.files += 1;
                bulk.to = bulk.to.max(change.at);
                *bulk.types.entry(file_type(&change.file)).or_default() += 1;
            }
            return over;
        }
        for Change { file, at, deleted } in changes {
            let span = self.open.entry(file).or_insert(Span { from: at, to: at, changes: 0, deleted });
            span.from = span.from.min(at);
            span.to = span.to.max(at);
            span.changes += 1;
            span.deleted = deleted;
        }
        over
    }

    /// What has had no change for so long at `now` that a later one is another edit.
    pub(super) fn over(&mut self, now: Timestamp) -> Vec<Value> {
        let mut over = Vec::new();
        let place = &self.place;
        self.open.retain(|file, span| {
            let goes_on = span.to.plus(PULSE) >= now;
            if !goes_on {
                over.push(span.event(place, file));
            }
            goes_on
        });
        if self.bulk.as_ref().is_some_and(|bulk| bulk.to.plus(AT_ONCE) < now) {
            over.extend(self.bulk.take().map(|bulk| bulk.event(place)));
        }
        over
    }

    /// Everything, over or not.
    pub(super) fn all(&mut self) -> Vec<Value> {
        self.over(Timestamp(i64::MAX))
    }
}

impl Span {
    fn event(&self, place: &Place, file: &str) -> Value {
        let mut payload = Map::new();
        payload.insert("file".into(), file.into());
        payload.insert("file_type".into(), file_type(file).into());
        payload.insert("changes".into(), self.changes.into());
        payload.insert("duration_ms".into(), ((self.to.0 - self.from.0) / 1000).into());
        if self.deleted {
            payload.insert("deleted".into(), true.into());
        }
        place.event(self.from, "edit", payload)
    }
}

impl Bulk {
    fn event(&self, place: &Place) -> Value {
        let mut types: Vec<(&String, &u64)> = self.types.iter().collect();
        types.sort_by(|(a, m), (b, n)| (n, a).cmp(&(m, b)));
        let types: Map<String, Value> = types.into_iter().take(32).map(|(name, n)| (name.clone(), json!(n))).collect();
        let note = format!("{} files changed at once: a checkout, a build or another program", self.files);
        let payload = json!({"note": note, "files_changed": self.files, "file_types": types,
            "duration_ms": (self.to.0 - self.from.0) / 1000});
        place.event(self.from, "annotation", payload.as_object().cloned().unwrap_or_default())
    }
}

impl Place {
    fn event(&self, at: Timestamp, kind: &str, payload: Map<String, Value>) -> Value {
        event(at, kind, &[("repo", self.repo.as_deref()), ("branch", self.branch.as_deref())], payload)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp(1_800_000_000 * SECOND + seconds * SECOND)
    }

    fn change(file: &str, seconds: i64) -> Change {
        Change { file: file.into(), at: at(seconds), deleted: false }
    }

    fn on(branch: &str) -> Place {
        Place { repo: Some("acme/api".into()), branch: Some(branch.into()) }
    }

    #[test]
    fn changes_close_to_each_other_are_one_edit() {
        let mut edits = Edits::default();
        for second in [0, 60, 170] {
            assert!(edits.take(&on("fix"), vec![change("src/a.rs", second)]).is_empty());
        }
        let over = edits.take(&on("fix"), vec![change("src/a.rs", 300)]);
        assert_eq!(over.len(), 1);
        let payload = &over[0]["payload"];
        assert_eq!(
            (&payload["file"], &payload["file_type"], &payload["changes"]),
            (&json!("src/a.rs"), &json!("rs"), &json!(3))
        );
        assert_eq!(
            (payload["duration_ms"].as_i64(), over[0]["ts"].as_str()),
            (Some(170_000), Some(at(0).to_string().as_str()))
        );
        assert_eq!(edits.all().len(), 1);
        assert!(edits.all().is_empty());
    }

    #[test]
    fn another_branch_is_another_edit() {
        let mut edits = Edits::default();
        edits.take(&on("fix"), vec![change("a", 0)]);
        let over = edits.take(&on("main"), vec![change("a", 1)]);
        assert_eq!((over.len(), &over[0]["branch"]), (1, &json!("fix")));
        assert_eq!(edits.all()[0]["branch"], "main");
    }

    #[test]
    fn ten_thousand_files_are_one_remark_and_the_edit_before_them_is_kept() {
        let mut edits = Edits::default();
        edits.take(&on("fix"), vec![change("mine.rs", -5)]);
        for second in 0..10 {
            let many = (0..1000).map(|n| change(&format!("src/{n}.{}", if n % 4 == 0 { "md" } else { "rs" }), second));
            assert!(edits.take(&on("fix"), many.collect()).is_empty());
        }
        edits.take(&on("fix"), vec![change("last-one.rs", 11)]);
        let over = edits.all();
        assert_eq!(over.len(), 2);
        let bulk = over.iter().find(|event| event["type"] == "annotation").unwrap();
        assert_eq!(bulk["payload"]["files_changed"], 10_001);
        assert_eq!(bulk["payload"]["file_types"], json!({"rs": 7501, "md": 2500}));
        assert_eq!(over.iter().find(|event| event["type"] == "edit").unwrap()["payload"]["file"], "mine.rs");
    }
}
