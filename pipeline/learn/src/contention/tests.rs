use super::*;
use crate::parquet::{time_column, write};
use domain::time::HOUR;
use polars::prelude::Column;
use std::path::PathBuf;

#[derive(Clone, Default)]
struct Row {
    hour: i64,
    load: Option<f64>,
    label: Option<bool>,
    /// Before a person's verdict, where that says otherwise.
    measured: Option<bool>,
    contributor: Option<&'static str>,
    stranger: bool,
}

/// A number below `limit`, without pattern (the splitmix64 finaliser).
fn scatter(i: i64, limit: u64) -> u64 {
    let mut z = (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ (z >> 31)) % limit
}

/// Contended mostly where the load is above 0.6; the key tells nothing.
fn rows(n: i64) -> Vec<Row> {
    let one = |i: i64| {
        let load = scatter(i, 100) as f64 / 100.0;
        let odd = scatter(i + 1_000_000, 10) == 0;
        Row { hour: i, load: (i % 17 != 0).then_some(load), label: Some((load > 0.6) != odd), ..Row::default() }
    };
    (0..n).map(one).collect()
}

fn file(folder: &tempfile::TempDir, rows: &[Row]) -> PathBuf {
    let path = folder.path().join("contention.parquet");
    let text =
        |name: &str, of: &dyn Fn(&Row) -> String| Column::new(name.into(), rows.iter().map(of).collect::<Vec<_>>());
    let source = |r: &Row| match r.hour % 10 {
        0 if r.hour % 40 == 0 => "outcome".to_owned(),
        0 => "feedback".to_owned(),
        _ => "measured".to_owned(),
    };
    let columns = vec![
        text(col::UNIT, &|_| "hour".to_owned()),
        text(col::UNIT_ID, &|r| format!("{:06}", r.hour)),
        text(col::KEY, &|r| format!("shop/{}", r.hour % 3)),
        time_column(col::STARTS_AT, rows.iter().map(|r| r.hour * HOUR).collect()),
        time_column(col::KNOWN_AT, rows.iter().map(|r| (r.hour + 1) * HOUR).collect()),
        Column::new(col::LABEL.into(), rows.iter().map(|r| r.label).collect::<Vec<_>>()),
        text(col::LABEL_SOURCE, &source),
        Column::new(col::MEASURED.into(), rows.iter().map(|r| r.measured.or(r.label)).collect::<Vec<_>>()),
        Column::new(col::CONTRIBUTOR.into(), rows.iter().map(|r| r.contributor).collect::<Vec<_>>()),
        Column::new(col::STRANGER.into(), rows.iter().map(|r| r.stranger).collect::<Vec<_>>()),
        Column::new("load".into(), rows.iter().map(|r| r.load).collect::<Vec<_>>()),
        Column::new("weekday".into(), rows.iter().map(|r| r.hour / 24 % 7).collect::<Vec<_>>()),
    ];
    write(&path, columns).unwrap();
    path
}

fn spec(until_hour: i64) -> TrainSpec {
    TrainSpec { since: None, until: Timestamp(until_hour * HOUR), seed: 5, tables: BTreeMap::new() }
}

#[test]
fn the_load_is_found_and_beats_every_baseline() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, &rows(2000));
    let trained = MODEL.train(&path, &spec(10_000)).unwrap();
    let card = &trained.card;
    assert!(card.verdict.beats_baselines && card.metrics["brier"] < 0.15, "{:?} {:?}", card.verdict, card.metrics);
    assert!(card.metrics["roc_auc"] > 0.8 && card.metrics["ece10"] < 0.1, "{:?}", card.metrics);
    let labels = &card.labels;
    assert_eq!((labels.measured, labels.feedback, labels.outcomes, card.rows_test), (1800, 150, 50, 400));
    let rules = rules(&trained.model).unwrap();
    assert!(rules.starts_with("if load <= 0.6"), "{rules}");
    assert!(trained.model == MODEL.train(&path, &spec(10_000)).unwrap().model);
}

#[test]
fn the_hour_to_come_is_predicted_and_not_trained_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut all = rows(1000);
    all.push(Row { hour: 1000, load: Some(0.95), ..Row::default() });
    all.push(Row { hour: 1001, load: Some(0.05), ..Row::default() });
    let path = file(&folder, &all);
    let trained = MODEL.train(&path, &spec(1000)).unwrap();
    let labels = &trained.card.labels;
    assert_eq!(labels.measured + labels.feedback + labels.outcomes, 1000);
    let said = predict(&trained.model, &path, Timestamp(1000 * HOUR)).unwrap();
    assert_eq!(said.iter().map(|one| one.key.as_str()).collect::<Vec<_>>(), ["shop/1", "shop/2"]);
    assert!(said[0].probability > 0.7 && said[1].probability < 0.3, "{said:?}");
}

#[test]
fn an_outcome_not_yet_known_moves_no_feature() {
    let folder = tempfile::tempdir().unwrap();
    let read = |rows: &[Row]| Data::read(&file(&folder, rows), Timestamp(i64::MAX)).unwrap();
    let mut changed = rows(300);
    changed[200..].iter_mut().for_each(|row| row.label = row.label.map(|l| !l));
    let made = |rows: &[Row]| {
        let data = read(rows);
        let learnt = data.labelled(None);
        let mut columns = data.rows.columns.clone();
        columns.extend(data.rows.history(&learnt));
        let row = |at: usize| columns.iter().map(|column| column[at].to_bits()).collect::<Vec<_>>();
        (0..300).map(row).collect::<Vec<_>>()
    };
    let (before, after) = (made(&rows(300)), made(&changed));
    assert_eq!(before[..=200], after[..=200]);
    assert_ne!(before[201..], after[201..], "the test cannot fail");
    // Read on hour 100, later outcomes are not there at all.
    let early = Data::read(&file(&folder, &rows(300)), Timestamp(100 * HOUR)).unwrap();
    assert_eq!(early.labelled(None).len(), 100);
}

#[test]
fn a_kept_tree_scores_later_rows() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, &rows(1500));
    let trained = MODEL.train(&path, &spec(1000)).unwrap();
    let later = MODEL.evaluate(&trained.model, &path, &spec(10_000), Timestamp(1000 * HOUR)).unwrap();
    assert_eq!(later.rows, 499);
    assert!(later.metrics["brier"] < later.baselines["base_rate"]["brier"]);
}

/// What is said of an hour of high load after training with these rows more.
fn said_of_high_load(more: &[Row]) -> (f64, Card) {
    let folder = tempfile::tempdir().unwrap();
    let mut all = rows(600);
    all.extend_from_slice(more);
    all.push(Row { hour: 600, load: Some(0.9), ..Row::default() });
    let path = file(&folder, &all);
    let trained = MODEL.train(&path, &spec(600)).unwrap();
    let said = predict(&trained.model, &path, Timestamp(600 * HOUR)).unwrap();
    (said.last().unwrap().probability, trained.card)
}

#[test]
fn one_stranger_with_thousands_of_false_rows_moves_a_prediction_no_further_than_the_bound() {
    let lies = |stranger: bool| -> Vec<Row> {
        let lie = |i: i64| Row {
            hour: i % 599,
            load: Some(0.9),
            label: Some(false),
            contributor: Some("mallory"),
            stranger,
            ..Row::default()
        };
        (0..3000).map(lie).collect()
    };
    let (honest, card) = said_of_high_load(&[]);
    assert_eq!(card.probability.unwrap().trust.strangers_move_at_most, None);
    let (attacked, card) = said_of_high_load(&lies(true));
    let trust = card.probability.unwrap().trust;
    assert_eq!((trust.stranger_rows, trust.strangers_move_at_most), (3000, Some(BOUND)));
    assert!((honest - attacked).abs() <= BOUND + 1e-9, "{honest} became {attacked}");
    let (trusting, _) = said_of_high_load(&lies(false));
    assert!(honest - trusting > 2.0 * BOUND, "the test cannot fail: {honest}, {trusting}");
}

#[test]
fn verdicts_that_correct_false_measurements_lower_the_loss() {
    let folder = tempfile::tempdir().unwrap();
    let mut all = rows(1000);
    // On every tenth hour, which a person judged, the measurement was the wrong way round.
    all.iter_mut().filter(|r| r.hour % 10 == 0).for_each(|r| r.measured = r.label.map(|l| !l));
    let trained = MODEL.train(&file(&folder, &all), &spec(10_000)).unwrap();
    let labels = trained.card.labels;
    assert_eq!((labels.feedback, labels.changed_by_feedback), (75, 75));
    assert_eq!((labels.outcomes, labels.changed_by_outcomes), (25, 25));
    let (with, without) = labels.loss_with_and_without.unwrap();
    assert!(with < without, "{with} {without}");
}

#[test]
fn verdicts_that_raise_the_held_out_loss_are_shown_and_not_used() {
    let folder = tempfile::tempdir().unwrap();
    let mut all = rows(1000);
    // People judged every tenth hour of the training part the wrong way round; later they were right.
    for row in all[..800].iter_mut().filter(|r| r.hour % 10 == 0) {
        row.measured = row.label;
        row.label = row.label.map(|l| !l);
    }
    let trained = MODEL.train(&file(&folder, &all), &spec(10_000)).unwrap();
    let labels = &trained.card.labels;
    let (with, without) = labels.loss_with_and_without.unwrap();
    assert!(without < with && !labels.used, "{labels:?}");
    assert_eq!((labels.changed_by_feedback, labels.changed_by_outcomes), (60, 20));
    assert!((trained.card.metrics["brier"] - without).abs() < 1e-12, "the figures are those of what serves");
}

#[test]
fn a_baseline_that_is_better_serves_calibrated_with_a_card_like_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let mut all = rows(1500);
    // What holds work up lasts for days, whatever the load.
    let mut state = false;
    for row in &mut all {
        state = state != (scatter(row.hour + 77, 40) == 0);
        row.label = Some(state != (scatter(row.hour + 99, 20) == 0));
        row.load = Some(scatter(row.hour, 100) as f64 / 100.0);
    }
    let trained = MODEL.train(&file(&folder, &all), &spec(10_000)).unwrap();
    let (card, serves) = (&trained.card, &trained.card.judged.serves[0]);
    let least = card.baselines.values().map(|m| m["brier"]).fold(f64::INFINITY, f64::min);
    assert!(card.metrics["brier"] < least + 0.005, "{serves:?} {:?} {:?}", card.metrics, card.baselines);
    let difference = card.verdict.difference.unwrap();
    assert!(difference.low <= 0.0 && difference.rows == 300, "{difference:?}");
    assert!(!trained.losses.is_empty() && serves.why.contains(&serves.name), "{serves:?}");
    assert!(rules(&trained.model).is_ok());
}

#[test]
fn a_damaged_model_is_an_error_and_neither_a_panic_nor_an_endless_walk() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, &rows(600));
    let trained = MODEL.train(&path, &spec(600)).unwrap();
    let text = String::from_utf8(trained.model).unwrap();
    let said = |text: &str| predict(text.as_bytes(), &path, Timestamp(700 * HOUR));
    assert!(said(&text).is_ok());
    let damages = [
        ("\"share\":", "\"share\":null,\"was\":"),
        ("\"columns\":[", "\"columns\":[900,"),
        ("\"recipes\":[", "\"recipes\":[{\"make\":{\"history\":7},\"family\":\"x\"},"),
    ];
    for (from, to) in damages {
        assert!(text.contains(from), "{from}");
        assert!(matches!(said(&text.replacen(from, to, 1)), Err(LearnError::Model { model: NAME, .. })), "{to}");
    }
    let newer = text.replacen("\"format_version\":5", "\"format_version\":9", 1);
    assert!(matches!(said(&newer), Err(LearnError::Newer { found: 9, known: 5, .. })));
    assert!(matches!(said(&text[..text.len() / 2]), Err(LearnError::Model { .. })));
}

#[test]
fn the_cause_is_the_resource_that_moved_the_probability() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, &rows(600));
    let trained = MODEL.train(&path, &spec(600)).unwrap();
    // `load` measures no resource that is known, so no cause is made up.
    let causes = trained.card.probability.unwrap().causes;
    assert!(causes.keys().all(|cause| cause == "unclear"), "{causes:?}");
}

#[test]
fn too_few_rows_or_one_outcome_are_inconclusive() {
    let folder = tempfile::tempdir().unwrap();
    let inconclusive = |rows: &[Row]| {
        let trained = MODEL.train(&file(&folder, rows), &spec(10_000));
        matches!(trained, Err(LearnError::TooLittleData(_)))
    };
    assert!(inconclusive(&rows(49)));
    assert!(!inconclusive(&rows(100)));
    let mut quiet = rows(100);
    quiet.iter_mut().for_each(|row| row.label = Some(false));
    assert!(inconclusive(&quiet));
}
