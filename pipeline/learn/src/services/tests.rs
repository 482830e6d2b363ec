use super::*;
use crate::parquet::{time_column, write};
use domain::time::HOUR;
use polars::prelude::{Column, NamedFrom, Series};
use std::path::PathBuf;

/// A run that takes an hour and a half: the next one begins before it has ended.
#[derive(Clone)]
struct Row {
    hour: i64,
    repo: usize,
    paths: &'static [&'static str],
    needs: Vec<String>,
    stranger: bool,
}

const LOCK: &[&str] = &["Cargo.lock", "src/a.rs"];
const DOCS: &[&str] = &["docs/a.md"];

/// Ten repositories in turn. Touching `Cargo.lock` takes the repository's own package and three that all have in common;
/// touching documents takes the service `spelling`; the rest takes nothing.
fn rows(n: i64) -> Vec<Row> {
    let one = |hour: i64| {
        let repo = (hour % 10) as usize;
        // Without a pattern: what the last run needed tells nothing of this one.
        let kind = crate::random::Random(hour as u64).next() % 4;
        let packages = ["cfg-if", "libc", "syn"].map(|name| format!("pkg:cargo/{name}"));
        let (paths, needs) = match kind {
            0 | 1 => (LOCK, packages.into_iter().chain([format!("pkg:cargo/own{repo}")]).collect()),
            2 => (DOCS, vec!["spelling".to_owned()]),
            _ => (&["src/b.rs"][..], Vec::new()),
        };
        Row { hour, repo, paths, needs, stranger: false }
    };
    (0..n).map(one).collect()
}

fn file(folder: &tempfile::TempDir, rows: &[Row]) -> PathBuf {
    let path = folder.path().join("services.parquet");
    let text =
        |name: &str, of: &dyn Fn(&Row) -> String| Column::new(name.into(), rows.iter().map(of).collect::<Vec<_>>());
    let none = |name: &str| Column::new(name.into(), vec![None::<String>; rows.len()]);
    let lists = |name: &str, of: &dyn Fn(&Row) -> Vec<String>| {
        let lists: Vec<Series> = rows.iter().map(|row| Series::new("".into(), of(row))).collect();
        Column::from(Series::new(name.into(), lists))
    };
    let texts = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect();
    let columns = vec![
        text(col::RUN_ID, &|row| format!("{:06}", row.hour)),
        text(col::REPO, &|row| format!("acme/r{}", row.repo)),
        text(col::COMMAND, &|_| "cargo test".to_owned()),
        none(col::WORKFLOW),
        none(col::JOB),
        time_column(col::STARTED_AT, rows.iter().map(|row| row.hour * HOUR).collect()),
        time_column(col::KNOWN_AT, rows.iter().map(|row| row.hour * HOUR + HOUR * 3 / 2).collect()),
        lists(col::PATHS, &|row| texts(row.paths)),
        Column::new(col::UNCOMMITTED.into(), rows.iter().map(|row| row.paths.len() as i64).collect::<Vec<_>>()),
        lists(col::NEEDS, &|row| row.needs.clone()),
        Column::new(col::SEEN.into(), vec![true; rows.len()]),
        Column::new(col::STRANGER.into(), rows.iter().map(|row| row.stranger).collect::<Vec<_>>()),
    ];
    write(&path, columns).unwrap();
    path
}

fn spec() -> TrainSpec {
    TrainSpec { since: None, until: Timestamp(100_000 * HOUR), seed: 5, tables: BTreeMap::new() }
}

fn change(repo: &str, paths: &[&str]) -> Change {
    let paths = paths.iter().map(|path| (*path).to_owned()).collect();
    Change { repo: Some(repo.to_owned()), command: Some("cargo test".to_owned()), paths, ..Change::default() }
}

fn first(needs: &[Need]) -> Vec<&str> {
    needs.iter().map(|need| need.thing.as_str()).collect()
}

#[test]
fn touching_the_lockfile_needs_packages_and_touching_documents_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, &rows(400));
    let trained = MODEL.train(&path, &spec()).unwrap();
    let card = &trained.card;
    assert!(card.metrics["gap_closed"] > 0.9 && card.metrics["brier"] < 0.1, "{:?} {:?}", card.judged, card.metrics);
    assert!(card.metrics["precision3_best"] < 1.0, "a run that needs one thing cannot have three hits");
    assert_eq!(card.judged.candidates.len(), 7);
    let now = Timestamp(500 * HOUR);
    let asked = [change("acme/r3", LOCK), change("acme/r3", DOCS), change("acme/r3", &["src/b.rs"])];
    let said = predict(&trained.model, &path, now, &asked, 4).unwrap();
    let mut packages = first(&said[0]);
    packages.sort_unstable();
    assert_eq!(packages, ["pkg:cargo/cfg-if", "pkg:cargo/libc", "pkg:cargo/own3", "pkg:cargo/syn"]);
    assert!(said[0].iter().all(|need| need.probability > 0.7), "{:?}", said[0]);
    assert!(
        said[1][0].thing == "spelling" && said[1][0].probability > 0.7 && said[1][1].probability < 0.3,
        "{:?}",
        said[1]
    );
    assert!(said[2][0].probability < 0.3, "nothing is needed: {:?}", said[2]);
    assert!(trained.model == MODEL.train(&path, &spec()).unwrap().model, "same data, same seed: same bytes");
    let later = MODEL.evaluate(&trained.model, &path, &spec(), Timestamp(200 * HOUR)).unwrap();
    assert!(later.rows > 100 && later.metrics["gap_closed"] > 0.9, "{:?}", later.metrics);
    assert!(matches!(MODEL.evaluate(&trained.model, &path, &spec(), now), Err(LearnError::TooLittleData(_))));
}

#[test]
fn a_repository_nobody_has_seen_borrows_from_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, &rows(400));
    let trained = MODEL.train(&path, &spec()).unwrap();
    let said = predict(&trained.model, &path, Timestamp(500 * HOUR), &[change("new/one", LOCK)], 3).unwrap();
    assert_eq!(first(&said[0]), ["pkg:cargo/cfg-if", "pkg:cargo/libc", "pkg:cargo/syn"]);
    let (held, _) = MODEL.holdout_projects(&path, &spec(), 0.2).unwrap();
    assert!(held.metrics["cold_gap_closed"] > 0.9, "{:?}", held.metrics);
    // All that need something were held out once.
    assert_eq!(held.rows, rows(400).iter().filter(|row| !row.needs.is_empty()).count());
    assert!(held.baselines["popularity"]["gap_closed"].abs() < 1e-9);
    let (tail, learnt) = MODEL.holdout(&path, &spec(), 0.2).unwrap();
    assert!(learnt == 320 && tail.metrics["gap_closed"] > 0.9, "{:?}", tail.metrics);
}

#[test]
fn what_is_known_only_later_moves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let facts = |rows: &[Row]| -> Vec<Vec<u32>> {
        let data = Data::read(&file(&folder, rows), Timestamp(i64::MAX)).unwrap();
        let mut found = Vec::new();
        stream(&data, &mut Past::default(), &all(&data), |past, row| {
            let look = look::Look::at(&data, past, row, look::Strengths::default(), false);
            let mut facts = look.any().to_vec();
            look.candidates().into_iter().for_each(|thing| look.facts(thing, &mut facts));
            found.push(facts.into_iter().map(f32::to_bits).collect());
        });
        found
    };
    let mut changed = rows(100);
    changed[60].needs = vec!["pkg:cargo/libc".to_owned(), "planted".to_owned()];
    let (before, after) = (facts(&rows(100)), facts(&changed));
    // It ends half an hour after the next one begins.
    assert_eq!(before[..=61], after[..=61]);
    assert_ne!(before[62..], after[62..], "the test cannot fail");
    // Read before its end, it is not there at all.
    let early = Data::read(&file(&folder, &changed), Timestamp(61 * HOUR)).unwrap();
    assert_eq!(early.runs.len(), 60);
}

#[test]
fn strangers_teach_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let honest = rows(400);
    let model = MODEL.train(&file(&folder, &honest), &spec()).unwrap().model;
    let mut attacked = honest.clone();
    let lie = |hour: i64| Row { hour, repo: 3, paths: LOCK, needs: vec!["pkg:cargo/evil".to_owned()], stranger: true };
    attacked.extend((0..399).map(lie));
    let now = Timestamp(500 * HOUR);
    let say = |rows: &[Row]| predict(&model, &file(&folder, rows), now, &[change("acme/r3", LOCK)], 20).unwrap();
    assert_eq!(say(&honest), say(&attacked));
    attacked.iter_mut().for_each(|row| row.stranger = false);
    assert_ne!(say(&honest), say(&attacked), "the test cannot fail");
}

#[test]
fn too_few_runs_that_needed_something_are_inconclusive() {
    let folder = tempfile::tempdir().unwrap();
    let inconclusive =
        |rows: &[Row]| matches!(MODEL.train(&file(&folder, rows), &spec()), Err(LearnError::TooLittleData(_)));
    assert!(inconclusive(&rows(40)));
    assert!(!inconclusive(&rows(100)));
    let mut idle = rows(400);
    idle.iter_mut().for_each(|row| row.needs.clear());
    assert!(inconclusive(&idle));
}

#[test]
fn a_naive_list_that_is_better_on_held_out_time_serves_with_probabilities_that_come_true() {
    let folder = tempfile::tempdir().unwrap();
    let mut all = rows(1000);
    // Every job needs what it needed the last time but for one run in five; files tell nothing, and change their mind.
    for (at, row) in all.iter_mut().enumerate() {
        let odd = crate::random::Random(at as u64 + 5).next().is_multiple_of(5);
        row.paths = if at < 800 { row.paths } else { &["src/b.rs"] };
        row.needs = if odd { Vec::new() } else { vec![format!("pkg:cargo/own{}", row.repo)] };
    }
    let trained = MODEL.train(&file(&folder, &all), &spec()).unwrap();
    let card = &trained.card;
    let [serves] = &card.judged.serves[..] else { panic!("one model") };
    assert!(card.verdict.ours <= card.verdict.best_baseline, "{serves:?} {:?}", card.verdict);
    assert!(card.verdict.difference.is_some_and(|d| d.low <= 0.0), "{:?}", card.verdict);
    assert!(card.metrics["ece10"] < 0.1, "{serves:?} {:?}", card.metrics);
    let text = String::from_utf8(trained.model).unwrap();
    let damaged = text.replacen("\"others\":", "\"others\":null,\"was\":", 1);
    let said = predict(damaged.as_bytes(), &file(&folder, &all), Timestamp(2000 * HOUR), &[], 3);
    assert!(matches!(said, Err(LearnError::Model { .. })), "{said:?}");
}
