use super::*;
use crate::target::{Figure, Live, parse_target, planned_target};
use domain::plan::{Candidate, Coverage, ModelRef, PlanInputs, Recommendation, State, plan};
use domain::units::{GIB, MIB};
use proptest::prelude::*;
use std::fs;
use std::path::PathBuf;
use tempfile::TempDir;

const BEFORE: &str =
    "name: dev # é\r\nservices:\r\n  web: {image: a, cpus: 1.0, mem_limit: 2g}\r\n  db:\r\n    image: b";

struct Place {
    folder: TempDir,
    target: Box<dyn Target>,
}

fn how(now: i64) -> How {
    How { now: Timestamp(now), at_once: 1, health: Health::default(), work: Work::IGNORED }
}

/// On one target, held for this call.
fn apply_to(
    target: &dyn Target,
    changes: &[Change],
    journal: &mut Journal,
    save: Save<'_>,
) -> Result<Done, StackError> {
    let mut held = [Held::new(&journal.targets[0], target)?];
    apply(&mut held, changes, journal, &how(1), save)
}

fn roll_back(target: &dyn Target, journal: &mut Journal, save: Save<'_>) -> Result<Done, StackError> {
    let mut held = [Held::new(&journal.targets[0], target)?];
    rollback(&mut held, journal, &how(2), save)
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("compose.yaml");
        fs::write(&path, BEFORE).unwrap();
        let target = parse_target(path.to_str().unwrap()).unwrap();
        Self { folder, target }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("compose.yaml")
    }

    fn text(&self) -> String {
        fs::read_to_string(self.path()).unwrap()
    }

    fn live(&self) -> Live {
        self.target.read().unwrap()
    }

    /// As the cli makes it of a plan.
    fn journal(&self) -> Journal {
        planned(self.target.as_ref(), &self.live().digest)
    }

    fn apply(&self, journal: &mut Journal) -> Result<Done, StackError> {
        apply_to(self.target.as_ref(), &changes(), journal, &mut |_| Ok(()))
    }

    fn rollback(&self, journal: &mut Journal) -> Result<Done, StackError> {
        roll_back(self.target.as_ref(), journal, &mut |_| Ok(()))
    }

    /// Nothing but the file itself is left in the folder.
    fn is_tidy(&self) -> bool {
        fs::read_dir(self.folder.path()).unwrap().count() == 1
    }
}

fn planned(target: &dyn Target, prior: &str) -> Journal {
    let TargetRef { kind, location } = target.reference();
    Journal {
        format_version: crate::journal::FORMAT_VERSION,
        plan_id: "p1".into(),
        targets: vec![PlannedTarget { id: "file".into(), kind, location, prior_state_digest: prior.into() }],
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

fn state(cpu: f64, memory: u64) -> State {
    State { cpu_cores: Some(cpu), memory_bytes: Some(memory) }
}

fn changes() -> Vec<Change> {
    let change = |id: &str, resource: &str, before, after| Change {
        item_id: id.into(),
        resource: resource.into(),
        on: "file".into(),
        before,
        after,
        task: None,
        requests: None,
        text: None,
        follows: false,
    };
    vec![
        change("i1", "dev/web", state(1.0, 2 * GIB), state(0.35, GIB)),
        change("i2", "dev/db", State::default(), state(2.0, 512 * MIB)),
    ]
}

fn after() -> String {
    BEFORE.replace("1.0, mem_limit: 2g", "0.35, mem_limit: 1g")
        + "\r\n    deploy:\r\n      resources:\r\n        limits:\r\n          cpus: '2'\r\n          memory: 512M"
}

#[test]
fn a_plan_is_applied_once_and_rolled_back_to_the_byte() {
    let place = Place::new();
    let mut journal = place.journal();
    assert_eq!(place.apply(&mut journal).unwrap(), Done::Written);
    assert_eq!((place.text(), journal.state), (after(), Phase::Applied));
    let modified = fs::metadata(place.path()).unwrap().modified().unwrap();
    assert_eq!(place.apply(&mut journal).unwrap(), Done::Already);
    assert_eq!(fs::metadata(place.path()).unwrap().modified().unwrap(), modified);
    let live = place.live().resources;
    assert_eq!((live["dev/web"], live["dev/db"]), (state(0.35, GIB), state(2.0, 512 * MIB)));

    let mut journal: Journal = serde_json::from_str(&serde_json::to_string(&journal).unwrap()).unwrap();
    assert_eq!(place.rollback(&mut journal).unwrap(), Done::Written);
    assert_eq!((place.text().as_str(), journal.state), (BEFORE, Phase::RolledBack));
    assert_eq!(place.rollback(&mut journal).unwrap(), Done::Already);
    assert!(matches!(place.apply(&mut journal), Err(StackError::RolledBack { .. })));
    assert!(place.is_tidy());
    assert_eq!(journal.log.iter().map(|entry| entry.at.0).collect::<Vec<_>>(), [1, 1, 1, 1, 2, 2, 2]);
}

#[test]
fn a_plan_made_of_the_live_target_is_carried_out() {
    let place = Place::new();
    let live = place.live();
    let wanted = state(0.5, GIB);
    let candidates = live.resources.iter().map(|(resource, limits)| Candidate {
        resource: resource.clone(),
        on: "file".into(),
        live: *limits,
        recommendation: (resource == "dev/web").then(|| Recommendation {
            resource: resource.clone(),
            lower: wanted,
            target: wanted,
            upper: wanted,
            samples: 5000,
            days: 14.0,
            coverage: Coverage { hours: 336.0, week_hours: 168 },
            peak: wanted,
            basis: "test".into(),
            ..Recommendation::default()
        }),
        ..Candidate::default()
    });
    let inputs = PlanInputs {
        candidates: candidates.collect(),
        policy: "ours".into(),
        model: ModelRef { name: "shadow".into(), version: "1".into() },
        targets: place.journal().targets,
        valid_for: 1,
        ..PlanInputs::default()
    };
    let plan = plan(&inputs, &|_, _| None, Timestamp(1));
    let all: Vec<String> = plan.items.iter().map(|item| item.id.clone()).collect();
    let changes = Change::of(&plan, &all);
    assert_eq!(changes.len(), 1, "only what changes");
    assert!(Change::of(&plan, &[]).is_empty(), "an approval of nothing carries out nothing");
    let target = planned_target(&plan.targets[0].reference()).unwrap();
    let mut journal = Journal::new(&plan);
    assert_eq!(apply_to(target.as_ref(), &changes, &mut journal, &mut |_| Ok(())).unwrap(), Done::Written);
    assert_eq!(place.live().resources["dev/web"], wanted);
    let mut again = Journal::new(&plan);
    let stale = apply_to(target.as_ref(), &changes, &mut again, &mut |_| Ok(())).unwrap_err();
    assert!(matches!(stale, StackError::Drifted { since: "the plan was made", .. }), "{stale}");
}

#[test]
fn a_target_that_changed_since_the_plan_is_refused_with_what_changed() {
    let place = Place::new();
    let mut journal = place.journal();
    let edited = BEFORE.replace("1.0", "3.0");
    fs::write(place.path(), &edited).unwrap();
    let error = place.apply(&mut journal).unwrap_err();
    assert!(error.is_refusal() && error.to_string().contains("dev/web has 3 cores"), "{error}");
    assert!(error.hint().is_some_and(|hint| hint.contains("new plan")));
    assert_eq!((place.text(), journal.state), (edited, Phase::Planned));
    fs::write(place.path(), format!("{BEFORE} # hello")).unwrap();
    assert!(matches!(place.apply(&mut journal), Err(StackError::Drifted { .. })));
    fs::write(place.path(), BEFORE).unwrap();
    assert_eq!(place.apply(&mut journal).unwrap(), Done::Written);
}

#[test]
fn a_rollback_over_later_edits_is_refused_with_what_changed() {
    let place = Place::new();
    let mut journal = place.journal();
    place.apply(&mut journal).unwrap();
    let edited = after().replace("512M", "768M");
    fs::write(place.path(), &edited).unwrap();
    let error = place.rollback(&mut journal).unwrap_err();
    assert!(error.is_refusal() && error.to_string().contains("dev/db has 2 cores, 768 MiB"), "{error}");
    assert!(error.to_string().contains("line 10"), "{error}");
    assert!(matches!(place.apply(&mut journal), Err(StackError::Drifted { .. })));
    fs::write(place.path(), "services: [").unwrap();
    assert!(matches!(place.rollback(&mut journal), Err(StackError::Drifted { .. })));
    assert_eq!(journal.state, Phase::Applied);
    fs::write(place.path(), after()).unwrap();
    assert_eq!(place.rollback(&mut journal).unwrap(), Done::Written);
    fs::write(place.path(), edited).unwrap();
    assert!(matches!(place.rollback(&mut journal), Err(StackError::Drifted { .. })));
}

#[test]
fn a_refused_change_writes_nothing_and_can_be_foreseen() {
    let place = Place::new();
    let mut wanted = changes();
    wanted[1].after.memory_bytes = Some(MIB);
    let mut journal = place.journal();
    let error = apply_to(place.target.as_ref(), &wanted, &mut journal, &mut |_| Ok(())).unwrap_err();
    assert!(error.is_refusal() && error.hint().is_some(), "{error:?}");
    assert_eq!((place.text().as_str(), journal.state), (BEFORE, Phase::Planned));
    wanted[0].resource = "other/web".into();
    let refusals = place.target.refusals(&wanted).unwrap();
    let named: Vec<_> = refusals.iter().map(|refusal| (refusal.item_id.as_str(), refusal.figure)).collect();
    assert_eq!(named, [("i1", Figure::Cpu), ("i1", Figure::Memory), ("i2", Figure::Memory)]);
    assert!(matches!(refusals[0].error, StackError::NoResource { .. }));
    assert!(place.target.refusals(&changes()).unwrap().is_empty());
}

#[test]
fn a_journal_of_something_else_or_with_other_texts_is_not_trusted() {
    let place = Place::new();
    let mut journal = place.journal();
    assert!(matches!(place.rollback(&mut journal), Err(StackError::NotApplied { .. })));
    place.apply(&mut journal).unwrap();
    let mut forged = journal.clone();
    forged.steps[0].before = format!("{BEFORE}\n    privileged: true").into();
    assert!(matches!(place.rollback(&mut forged), Err(StackError::JournalDamaged { .. })));
    let mut elsewhere = journal.clone();
    elsewhere.targets[0].location = "other.yml".into();
    assert!(matches!(place.rollback(&mut elsewhere), Err(StackError::JournalDamaged { .. })));
    assert_eq!(place.text(), after());
}

#[test]
fn no_changes_leave_the_file_alone() {
    let place = Place::new();
    let mut journal = place.journal();
    assert_eq!(apply_to(place.target.as_ref(), &[], &mut journal, &mut |_| Ok(())).unwrap(), Done::Already);
    assert_eq!(journal.state, Phase::Applied);
    assert_eq!(place.rollback(&mut journal).unwrap(), Done::Already);
    assert_eq!(place.text(), BEFORE);
}

#[test]
fn a_second_run_meanwhile_is_refused_and_does_no_harm() {
    let place = Place::new();
    let prior = place.live().digest;
    let mut journal = place.journal();
    let mut inner = None;
    let done = apply_to(place.target.as_ref(), &changes(), &mut journal, &mut |_| {
        let mut second = planned(place.target.as_ref(), &prior);
        inner = Some(apply_to(place.target.as_ref(), &changes(), &mut second, &mut |_| Ok(())));
        Ok(())
    });
    assert_eq!(done.unwrap(), Done::Written);
    let error = inner.unwrap().unwrap_err();
    assert!(matches!(error, StackError::Locked { .. }) && error.is_refusal());
    assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
    assert_eq!(place.text(), after());
}

#[test]
fn two_runs_at_once_never_leave_a_torn_file() {
    for _ in 0..50 {
        let place = Place::new();
        let prior = place.live().digest;
        let results: Vec<_> = std::thread::scope(|scope| {
            let runs: Vec<_> = (0..2)
                .map(|_| {
                    scope.spawn(|| {
                        let mut journal = planned(place.target.as_ref(), &prior);
                        let seen = place.text();
                        assert!(seen == BEFORE || seen == after(), "{seen}");
                        place.apply(&mut journal)
                    })
                })
                .collect();
            runs.into_iter().map(|run| run.join().unwrap()).collect()
        });
        assert_eq!(results.iter().filter(|result| matches!(result, Ok(Done::Written))).count(), 1, "{results:?}");
        let other = |result: &Result<Done, StackError>| {
            matches!(result, Ok(Done::Written) | Err(StackError::Locked { .. } | StackError::Drifted { .. }))
        };
        assert!(results.iter().all(other), "{results:?}");
        assert_eq!(place.text(), after());
        assert!(place.is_tidy());
    }
}

/// What a killed run leaves behind: the last journal that was saved.
fn stopped_at(
    stop: usize,
    kept_before_dying: bool,
    stored: &mut Journal,
    run: impl FnOnce(&mut Journal, Save<'_>) -> Result<Done, StackError>,
) -> Result<Done, StackError> {
    let mut journal = stored.clone();
    let mut calls = 0;
    let result = run(&mut journal, &mut |journal| {
        calls += 1;
        let dies = calls == stop;
        if !dies || kept_before_dying {
            *stored = journal.clone();
        }
        if dies { Err("killed".into()) } else { Ok(()) }
    });
    assert!(matches!(result, Ok(_) | Err(StackError::Save { .. })), "{result:?}");
    result
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn stopped_at_any_steps_and_resumed_is_done_once(stops in prop::collection::vec((1..4_usize, any::<bool>()), 0..4)) {
        let place = Place::new();
        let mut stored = place.journal();
        for (stop, kept) in &stops {
            let result = stopped_at(*stop, *kept, &mut stored, |journal, save| {
                apply_to(place.target.as_ref(), &changes(), journal, save)
            });
            prop_assert!(place.text() == BEFORE || place.text() == after());
            if result.is_ok() || (stored.state == Phase::Planned && place.text() == BEFORE) {
                continue;
            }
            prop_assert_eq!(stored.steps[0].before["text"].as_str(), Some(BEFORE), "what is on disk can be undone");
        }
        place.apply(&mut stored).unwrap();
        prop_assert_eq!((place.text(), stored.state), (after(), Phase::Applied));

        for (stop, kept) in &stops {
            let _ = stopped_at(*stop, *kept, &mut stored, |journal, save| {
                roll_back(place.target.as_ref(), journal, save)
            });
        }
        place.rollback(&mut stored).unwrap();
        prop_assert_eq!((place.text(), stored.state), (BEFORE.to_owned(), Phase::RolledBack));
        prop_assert!(place.is_tidy());
    }

    #[test]
    fn a_rollback_restores_any_file_to_the_byte(
        lines in prop::collection::vec("[ -~é😀\t]{0,12}", 0..8),
        newline in prop::sample::select(vec!["\n", "\r\n"]),
        end in any::<bool>(),
    ) {
        let comments: String = lines.iter().map(|line| format!("# {line}{newline}")).collect();
        let mut text = format!("{comments}services:{newline}  db: ~{newline}  web: {{cpus: 1, mem_limit: 2g}} {comments}");
        if end {
            text.truncate(text.trim_end().len());
        }
        let place = Place::new();
        fs::write(place.path(), format!("name: dev{newline}{text}")).unwrap();
        let text = place.text();
        let mut journal = place.journal();
        prop_assert_eq!(place.apply(&mut journal).unwrap(), Done::Written);
        prop_assert_ne!(place.text(), text.clone());
        prop_assert_eq!(place.rollback(&mut journal).unwrap(), Done::Written);
        prop_assert_eq!(place.text(), text);
    }
}

#[test]
fn a_link_that_leads_elsewhere_since_is_refused_and_not_taken_for_restored() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for name in ["one.yaml", "two.yaml"] {
        fs::write(path(name), BEFORE).unwrap();
    }
    let lead_to = |name: &str| {
        let _ = fs::remove_file(path("link.yaml"));
        std::os::unix::fs::symlink(name, path("link.yaml")).unwrap();
    };
    lead_to("one.yaml");
    let target = parse_target(path("link.yaml").to_str().unwrap()).unwrap();
    let mut journal = planned(target.as_ref(), &target.read().unwrap().digest);
    assert_eq!(apply_to(target.as_ref(), &changes(), &mut journal, &mut |_| Ok(())).unwrap(), Done::Written);
    lead_to("two.yaml");
    for again in [
        roll_back(target.as_ref(), &mut journal, &mut |_| Ok(())),
        apply_to(target.as_ref(), &[], &mut journal, &mut |_| Ok(())),
    ] {
        let error = again.unwrap_err();
        let said = error.to_string();
        assert!(error.is_refusal() && said.contains("one.yaml") && said.contains("leads to"), "{said}");
    }
    assert_eq!(fs::read_to_string(path("two.yaml")).unwrap(), BEFORE);
    lead_to("one.yaml");
    assert_eq!(roll_back(target.as_ref(), &mut journal, &mut |_| Ok(())).unwrap(), Done::Written);
    assert_eq!(fs::read_to_string(path("one.yaml")).unwrap(), BEFORE);
}

#[test]
fn one_file_has_one_identity_whatever_leads_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for name in ["a.yaml", "b.yaml"] {
        fs::write(path(name), BEFORE).unwrap();
    }
    std::os::unix::fs::symlink("a.yaml", path("soft.yaml")).unwrap();
    fs::hard_link(path("a.yaml"), path("hard.yaml")).unwrap();
    let identity = |name: &str| parse_target(path(name).to_str().unwrap()).unwrap().identity().unwrap();
    for other in ["soft.yaml", "hard.yaml", "./a.yaml"] {
        assert_eq!(identity(other), identity("a.yaml"), "{other}");
    }
    assert_ne!(identity("b.yaml"), identity("a.yaml"));
}
