//! Switches of a command's limits: to the half, killed, changed by somebody else, not well.

use super::*;
use crate::apply::{Work, apply, rollback};
use crate::exec::tests::{command, planned};
use crate::files::tests::journal;
use crate::health::Health;
use crate::target::{Change, Target};
use domain::Timestamp;
use domain::plan::State;
use std::fs;
use std::time::Duration;
use tempfile::TempDir;

const HIGH: State = State { cpu_cores: Some(4.0), memory_bytes: Some(1 << 30) };
const LOW: State = State { cpu_cores: Some(0.5), memory_bytes: Some(1 << 28) };

fn how() -> How {
    let health = Health { command: None, timeout: Duration::from_secs(5) };
    How { now: Timestamp(1), at_once: 1, health, work: Work::IGNORED }
}

fn wanted(limits: State) -> [Wanted; 1] {
    [Wanted { item_id: "i1".into(), limits }]
}

struct Place {
    folder: TempDir,
    target: Box<dyn Target>,
    journal: Journal,
}

impl Place {
    /// Applied in quiet hours.
    fn new(more: &str, low: State) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let target = command(folder.path(), more);
        let mut journal = journal(&planned(&target));
        let before = target.read().unwrap().resources["a/b"];
        let changes = [Change {
            item_id: "i1".into(),
            resource: "a/b".into(),
            on: "exec".into(),
            before,
            after: low,
            task: None,
            requests: None,
            text: None,
            follows: true,
        }];
        let mut held = [Held::new(&journal.targets[0], &target).unwrap()];
        apply(&mut held, &changes, &mut journal, &how(), &mut |_| Ok(())).unwrap();
        drop(held);
        Self { folder, target: Box::new(target), journal }
    }

    fn live(&self) -> State {
        self.target.read().unwrap().resources["a/b"]
    }

    fn held(&self) -> [Held; 1] {
        [Held::new(&self.journal.targets[0], self.target.as_ref()).unwrap()]
    }

    fn switch(&mut self, limits: State) -> Result<Switched, StackError> {
        let mut held = self.held();
        switch(&mut held, &wanted(limits), &mut self.journal, &how(), &mut |_| Ok(()))
    }

    fn roll_back(&mut self) {
        let mut held = self.held();
        rollback(&mut held, &mut self.journal, &how(), &mut |_| Ok(())).unwrap();
    }
}

#[test]
fn a_switch_is_done_once_and_a_rollback_restores_what_was_before_the_plan() {
    let before = State { cpu_cores: Some(2.0), memory_bytes: Some(1 << 30) };
    for low in [LOW, before] {
        let mut place = Place::new("", low);
        for limits in [HIGH, low, HIGH] {
            assert_eq!(place.switch(limits).unwrap().changed.len(), 1, "{limits:?}");
            assert_eq!((place.live(), place.switch(limits).unwrap()), (limits, Switched::default()));
        }
        if low == before {
            place.switch(low).unwrap();
        }
        assert_eq!(place.journal.steps.len(), 1, "however often it was switched");
        place.roll_back();
        assert_eq!((place.live(), place.journal.state), (before, Phase::RolledBack));
        assert!(matches!(place.switch(HIGH), Err(StackError::RolledBack { .. })));
    }
}

#[test]
fn killed_at_every_save_a_switch_is_done_or_never_was() {
    for kept in [false, true] {
        for stop in 1.. {
            let mut place = Place::new("", LOW);
            let (mut journal, mut saves, mut stored) = (place.journal.clone(), 0, place.journal.clone());
            let mut held = place.held();
            let ended = switch(&mut held, &wanted(HIGH), &mut journal, &how(), &mut |journal| {
                saves += 1;
                if saves < stop || saves == stop && kept {
                    stored = journal.clone();
                }
                if saves >= stop { Err("killed".into()) } else { Ok(()) }
            });
            drop(held);
            if ended.is_ok() {
                assert_eq!(stop, 3, "a save before, and one at the end");
                break;
            }
            place.journal = stored.clone();
            place.switch(HIGH).unwrap();
            assert_eq!((place.live(), place.journal.switching.len()), (HIGH, 0), "{stop} {kept}");
            // Or rolled back at once.
            place.switch(LOW).unwrap();
            place.roll_back();
            assert_eq!(place.live().cpu_cores, Some(2.0), "{stop} {kept}");
        }
    }
}

#[test]
fn what_somebody_else_set_is_left_and_what_is_not_well_is_switched_back() {
    let mut place = Place::new("", LOW);
    let theirs = r#"{"resources":{"a/b":{"cpu_cores":3.0,"memory_bytes":268435456}}}"#;
    fs::write(place.folder.path().join("state.json"), theirs).unwrap();
    let error = place.switch(HIGH).unwrap_err();
    assert!(matches!(error, StackError::Drifted { .. }) && error.to_string().contains("3 cores"), "{error}");
    assert_eq!(place.live().cpu_cores, Some(3.0));
    let mut place = Place::new("healthy) ! grep -q 'cpu_cores\":4' $state;;", LOW);
    assert!(matches!(place.switch(HIGH), Err(StackError::Unhealthy { .. })));
    assert_eq!((place.live(), place.journal.switching.len()), (LOW, 0));
    place.roll_back();
}
