//! Plans of several targets: all of their steps, or back to where it was.

use super::forward::batches;
use super::*;
use crate::target::parse_target;
use domain::plan::State;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;
use tempfile::TempDir;

const BEFORE: &str = "name: NAME\nservices:\n  web: {image: a, cpus: 1.0}\n";

struct Pair {
    folder: TempDir,
    targets: Vec<Box<dyn Target>>,
}

impl Pair {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let targets = ["one", "two"].map(|name| {
            let path = folder.path().join(format!("{name}.yaml"));
            fs::write(&path, BEFORE.replace("NAME", name)).unwrap();
            parse_target(path.to_str().unwrap()).unwrap()
        });
        Self { folder, targets: targets.into() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.yaml"))
    }

    /// What each limits its service to.
    fn cores(&self) -> [f64; 2] {
        ["one", "two"].map(|name| {
            let live = parse_target(self.path(name).to_str().unwrap()).unwrap().read().unwrap();
            live.resources[&format!("{name}/web")].cpu_cores.unwrap()
        })
    }

    fn journal(&self) -> Journal {
        let planned = self.targets.iter().zip(["one", "two"]).map(|(target, id)| {
            let TargetRef { kind, location } = target.reference();
            let prior_state_digest = target.read().unwrap().digest;
            PlannedTarget { id: id.into(), kind, location, prior_state_digest }
        });
        Journal {
            format_version: crate::journal::FORMAT_VERSION,
            plan_id: "p1".into(),
            targets: planned.collect(),
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

    fn held(&self, journal: &Journal) -> Vec<Held> {
        journal
            .targets
            .iter()
            .zip(&self.targets)
            .map(|(planned, it)| Held::new(planned, it.as_ref()).unwrap())
            .collect()
    }

    fn apply(&self, journal: &mut Journal, command: Option<&str>, save: Save<'_>) -> Result<Done, StackError> {
        apply(&mut self.held(journal), &changes(), journal, &how(command), save)
    }

    fn rollback(&self, journal: &mut Journal, save: Save<'_>) -> Result<Done, StackError> {
        rollback(&mut self.held(journal), journal, &how(None), save)
    }
}

fn how(command: Option<&str>) -> How {
    let health = Health { command: command.map(str::to_owned), timeout: Duration::from_secs(5) };
    How { now: Timestamp(1), at_once: 1, health, work: Work::IGNORED }
}

fn changes() -> Vec<Change> {
    let change = |name: &str| Change {
        item_id: format!("i-{name}"),
        resource: format!("{name}/web"),
        on: name.into(),
        before: State { cpu_cores: Some(1.0), memory_bytes: None },
        after: State { cpu_cores: Some(2.0), memory_bytes: None },
        task: None,
        requests: None,
        text: None,
        follows: false,
    };
    vec![change("one"), change("two")]
}

/// Runs until its `stop`th save, which is the last thing that is kept, or not even that; whether it got so far.
fn killed(
    stored: &mut Journal,
    stop: usize,
    kept: bool,
    run: impl FnOnce(&mut Journal, Save<'_>) -> Result<Done, StackError>,
) -> bool {
    let (mut journal, mut saves) = (stored.clone(), 0);
    let ended = run(&mut journal, &mut |journal| {
        saves += 1;
        if saves < stop || saves == stop && kept {
            *stored = journal.clone();
        }
        if saves >= stop { Err("killed".into()) } else { Ok(()) }
    });
    assert!(saves < stop || ended.is_err());
    saves >= stop
}

#[test]
fn both_targets_are_changed_and_both_are_restored() {
    let pair = Pair::new();
    let mut journal = pair.journal();
    assert_eq!(pair.apply(&mut journal, None, &mut |_| Ok(())).unwrap(), Done::Written);
    assert_eq!((pair.cores(), journal.steps.len()), ([2.0, 2.0], 2));
    assert_eq!(pair.apply(&mut journal, None, &mut |_| Ok(())).unwrap(), Done::Already);
    assert_eq!(pair.rollback(&mut journal, &mut |_| Ok(())).unwrap(), Done::Written);
    assert_eq!(pair.cores(), [1.0, 1.0]);
    assert_eq!(pair.rollback(&mut journal, &mut |_| Ok(())).unwrap(), Done::Already);
}

#[test]
fn a_second_step_that_fails_takes_the_first_back_and_the_plan_is_not_tried_again() {
    let pair = Pair::new();
    let mut journal = pair.journal();
    // A second name for the file only after the first was written: nothing that could be foreseen.
    let (two, other) = (pair.path("two"), pair.folder.path().join("other"));
    let error = pair
        .apply(&mut journal, None, &mut |journal| {
            if journal.steps[0].progress == Progress::Done && !other.exists() {
                fs::hard_link(&two, &other)?;
            }
            Ok(())
        })
        .unwrap_err();
    let said = error.to_string();
    assert!(matches!(error, StackError::WentBack { .. }) && said.contains("hard link"), "{said}");
    assert!(said.contains("one/web: as it was before; two/web:"), "item by item: {said}");
    assert_eq!((pair.cores(), journal.state), ([1.0, 1.0], Phase::WentBack));
    let again = pair.apply(&mut journal, None, &mut |_| Ok(())).unwrap_err();
    assert!(matches!(again, StackError::Failed { .. }) && again.is_refusal(), "{again}");
    assert_eq!(pair.rollback(&mut journal, &mut |_| Ok(())).unwrap(), Done::Already);
}

#[test]
fn what_is_not_well_after_its_step_is_taken_back() {
    let pair = Pair::new();
    for (command, why) in [
        ("test \"$PIPELINE_RESOURCES\" != two/web", "ended with exit status: 1"),
        ("test \"$PIPELINE_RESOURCES\" = one/web || sleep 60", "did not end within"),
    ] {
        let mut journal = pair.journal();
        let mut how = how(Some(command));
        how.health.timeout = Duration::from_millis(500);
        let error = apply(&mut pair.held(&journal), &changes(), &mut journal, &how, &mut |_| Ok(())).unwrap_err();
        assert!(error.to_string().contains("two/web is not well") && error.to_string().contains(why), "{error}");
        assert_eq!((pair.cores(), journal.state), ([1.0, 1.0], Phase::WentBack));
    }
}

#[test]
fn killed_at_every_save_and_called_again_it_is_done_once_or_taken_back() {
    for kept in [false, true] {
        for stop in 1.. {
            let pair = Pair::new();
            let mut stored = pair.journal();
            let hit = killed(&mut stored, stop, kept, |journal, save| pair.apply(journal, None, save));
            pair.apply(&mut stored, None, &mut |_| Ok(())).unwrap();
            assert_eq!((pair.cores(), stored.state), ([2.0, 2.0], Phase::Applied), "{stop} {kept}");
            killed(&mut stored, stop, kept, |journal, save| pair.rollback(journal, save));
            pair.rollback(&mut stored, &mut |_| Ok(())).unwrap();
            assert_eq!((pair.cores(), stored.state), ([1.0, 1.0], Phase::RolledBack), "{stop} {kept}");
            if !hit {
                assert_eq!(stop, 6, "two saves a step, and one at the end");
                break;
            }
        }
    }
}

#[test]
fn killed_at_every_save_it_can_be_rolled_back_at_once() {
    for kept in [false, true] {
        for stop in 1..8 {
            let pair = Pair::new();
            let mut stored = pair.journal();
            killed(&mut stored, stop, kept, |journal, save| pair.apply(journal, None, save));
            match pair.rollback(&mut stored, &mut |_| Ok(())) {
                Err(StackError::NotApplied { .. }) => assert_eq!((stop, kept), (1, false)),
                ended => drop(ended.unwrap()),
            }
            assert_eq!(pair.cores(), [1.0, 1.0], "{stop} {kept}");
        }
    }
}

#[test]
fn killed_at_every_save_of_going_back_it_goes_on_going_back() {
    let fails = Some("test \"$PIPELINE_RESOURCES\" != two/web");
    for kept in [false, true] {
        for stop in 1.. {
            let pair = Pair::new();
            let mut stored = pair.journal();
            let hit = killed(&mut stored, stop, kept, |journal, save| pair.apply(journal, fails, save));
            let ended = pair.apply(&mut stored, fails, &mut |_| Ok(()));
            let back = matches!(ended, Err(StackError::WentBack { .. } | StackError::Failed { .. }));
            assert!(back, "{stop} {kept}: {ended:?}");
            assert_eq!((pair.cores(), stored.state), ([1.0, 1.0], Phase::WentBack), "{stop} {kept}");
            if !hit {
                assert!(stop > 9, "so many saves: {stop}");
                break;
            }
        }
    }
}

#[test]
fn a_file_that_somebody_changed_is_left_while_the_rest_goes_back() {
    let pair = Pair::new();
    let mut journal = pair.journal();
    let edited = "name: two\nservices:\n  web: {image: mine, cpus: 1.0}\n";
    let two = pair.path("two");
    let error = pair
        .apply(&mut journal, None, &mut |journal| {
            if journal.steps[0].progress == Progress::Done {
                fs::write(&two, edited)?;
            }
            Ok(())
        })
        .unwrap_err();
    assert!(error.to_string().contains("two.yaml changed since apply began"), "{error}");
    assert_eq!((pair.cores(), fs::read_to_string(&two).unwrap().as_str()), ([1.0, 1.0], edited));
}

#[test]
fn services_are_changed_so_many_at_once_and_replicas_together() {
    let step = |resource: &str| Step::new(resource.into(), Vec::new(), String::new(), "a".into(), "b".into());
    let steps: Vec<Step> = ["a", "a", "b", "c", "c", "c"].map(step).into();
    assert_eq!(batches(&steps, 1), [0..2, 2..3, 3..6]);
    assert_eq!(batches(&steps, 2), [0..3, 3..6]);
    assert_eq!(batches(&steps, 9), [0..6; 1]);
    assert!(batches(&[], 2).is_empty());
}

/// As the program kept it when there was only format 1.
#[test]
fn a_journal_of_format_1_is_rolled_back() {
    let pair = Pair::new();
    let (before, after) = (BEFORE.replace("NAME", "one"), BEFORE.replace("NAME", "one").replace("1.0", "2"));
    fs::write(pair.path("one"), &after).unwrap();
    let digest = crate::target::digest;
    let state = |cores: f64| serde_json::json!({"cpu_cores": cores, "memory_bytes": null});
    let old = |name: &str, before_text: &str, after_text: &str| {
        serde_json::json!({
            "plan_id": "p1", "target": {"kind": "compose", "location": pair.path("one")}, "state": name,
            "before_digest": digest(&before), "before_text": before_text,
            "after_digest": digest(&after), "after_text": after_text,
            "changes": [{"item_id": "i1", "resource": "one/web", "before": state(1.0), "after": state(2.0)}],
            "written": true, "steps": [{"at": "2026-11-22T00:00:00Z", "what": "written"}],
        })
    };
    let one = |journal: &Journal| [Held::new(&journal.targets[0], pair.targets[0].as_ref()).unwrap()];
    let mut forged: Journal = serde_json::from_value(old("applied", "services: {}", &after)).unwrap();
    let error = rollback(&mut one(&forged), &mut forged, &how(None), &mut |_| Ok(())).unwrap_err();
    assert!(matches!(error, StackError::JournalDamaged { .. }), "{error}");
    for state in ["prepared", "applied"] {
        let mut journal: Journal = serde_json::from_value(old(state, &before, &after)).unwrap();
        assert_eq!(journal.changes[0].on, journal.targets[0].id);
        assert_eq!(apply(&mut one(&journal), &[], &mut journal, &how(None), &mut |_| Ok(())).unwrap(), Done::Already);
        let mut kept: Journal = serde_json::from_str(&serde_json::to_string(&journal).unwrap()).unwrap();
        assert_eq!(kept, journal);
        assert_eq!(rollback(&mut one(&kept), &mut kept, &how(None), &mut |_| Ok(())).unwrap(), Done::Written);
        assert_eq!(fs::read_to_string(pair.path("one")).unwrap(), before);
        fs::write(pair.path("one"), &after).unwrap();
    }
    let journal: Journal = serde_json::from_value(old("planned", "", "")).unwrap();
    assert!(journal.steps.is_empty() && journal.state == Phase::Planned);
}
