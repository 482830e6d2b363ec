use super::*;
use crate::parquet::{time_column, write};
use domain::columns::runs as col;
use domain::time::{MINUTE, SECOND};
use polars::prelude::Column;
use std::path::PathBuf;

/// A run as the tests make it: job, start and duration in minutes.
#[derive(Clone)]
struct Run {
    job: usize,
    start_min: i64,
    duration_s: i64,
    src_churn: i64,
    result: &'static str,
}

/// A number below `limit`, without pattern (the splitmix64 finaliser).
fn scatter(i: usize, limit: u64) -> i64 {
    let mut z = (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) % limit) as i64
}

/// Jobs of 100 to 800 s; a churn above 500 doubles the time, the rest is noise of a fifth.
fn runs(n: usize) -> Vec<Run> {
    let one = |i: usize| {
        let (job, noise, src_churn) = (i % 4, scatter(i, 100), scatter(i + 1_000_000, 1000));
        let usual = 100 << job;
        let duration_s = usual * (90 + noise / 5) / 100 * if src_churn > 500 { 2 } else { 1 };
        Run { job, start_min: i as i64 * 37, duration_s, src_churn, result: "success" }
    };
    (0..n).map(one).collect()
}

fn file(folder: &tempfile::TempDir, runs: &[Run]) -> PathBuf {
    let path = folder.path().join("runs.parquet");
    let start = |r: &Run| r.start_min * MINUTE;
    let text = |name: &str, of: &dyn Fn(usize, &Run) -> String| {
        Column::new(name.into(), runs.iter().enumerate().map(|(i, r)| of(i, r)).collect::<Vec<_>>())
    };
    let mut columns = vec![
        text(col::RUN_ID, &|i, _| format!("{i:06}")),
        text(col::JOB_KEY, &|_, r| format!("acme/{}/test", r.job)),
        text(col::REPO, &|_, r| format!("acme/{}", r.job)),
        text(col::RESULT, &|_, r| r.result.to_owned()),
        text(col::LANGUAGE, &|_, _| "rust".to_owned()),
        time_column(col::STARTED_AT, runs.iter().map(start).collect()),
        time_column(col::ENDED_AT, runs.iter().map(|r| start(r) + r.duration_s * SECOND).collect()),
        Column::new(col::DURATION_MS.into(), runs.iter().map(|r| r.duration_s * 1000).collect::<Vec<_>>()),
        Column::new(col::FAILED.into(), vec![false; runs.len()]),
    ];
    for name in KNOWN {
        let known = |r: &Run| (*name == "src_churn").then_some(r.src_churn);
        columns.push(Column::new((*name).into(), runs.iter().map(known).collect::<Vec<_>>()));
    }
    write(&path, columns).unwrap();
    path
}

fn spec(until_min: i64) -> TrainSpec {
    TrainSpec { since: None, until: Timestamp(until_min * MINUTE), seed: 5, tables: BTreeMap::new() }
}

#[test]
fn what_churn_explains_is_learnt_beyond_every_baseline() {
    let folder = tempfile::tempdir().unwrap();
    let trained = train(&file(&folder, &runs(1500)), &spec(1_000_000)).unwrap();
    let card = &trained.card;
    assert!(card.verdict.beats_baselines, "{:?}", card.verdict);
    assert!(card.verdict.ours < 0.5 * card.verdict.best_baseline, "{:?}", card.verdict);
    assert!((0.8..=0.99).contains(&card.metrics["coverage90"]), "{:?}", card.metrics);
    assert_eq!((card.rows_test, card.labels.measured), (300, 1500));
    assert!(card.rows_train <= 1200 && card.train_until <= card.data_watermark);
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, &runs(300));
    let (a, b) = (train(&path, &spec(1_000_000)).unwrap(), train(&path, &spec(1_000_000)).unwrap());
    assert!(a.model == b.model);
    assert_eq!(a.card, b.card);
}

#[test]
fn a_planted_future_moves_no_feature() {
    let folder = tempfile::tempdir().unwrap();
    let now = 1000;
    let mut changed = runs(2000);
    // What starts later, and what is still running, takes another time than it does.
    for run in &mut changed {
        if run.start_min * 60 + run.duration_s > now as i64 * 37 * 60 {
            run.duration_s *= 7;
        }
    }
    let before = Data::read(&file(&folder, &runs(2000)), Timestamp(i64::MAX)).unwrap();
    let after = Data::read(&file(&folder, &changed), Timestamp(i64::MAX)).unwrap();
    // As bits, because NaN does not equal itself.
    let at = |data: &Data, i: usize| data.past[i].features.map(f64::to_bits);
    assert_eq!(at(&before, now), at(&after, now));
    assert_ne!(at(&before, now + 40), at(&after, now + 40), "the test cannot fail");
}

#[test]
fn nothing_that_ended_after_until_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, &runs(400));
    let data = Data::read(&path, Timestamp(200 * 37 * MINUTE)).unwrap();
    assert_eq!(data.runs.len(), 200);
    let mut cancelled = runs(400);
    cancelled[7].result = "cancellation";
    cancelled[9].duration_s = 2 * 86_400;
    assert_eq!(Data::read(&file(&folder, &cancelled), Timestamp(i64::MAX)).unwrap().runs.len(), 398);
}

#[test]
fn a_kept_model_scores_and_predicts_later_runs() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, &runs(1000));
    let border = 700 * 37;
    let trained = train(&path, &spec(border)).unwrap();
    let later = evaluate(&trained.model, &path, &spec(1_000_000), Timestamp(border * MINUTE)).unwrap();
    assert_eq!(later.rows, 299);
    assert!(later.metrics["mae_log"] < later.baselines["rolling_median_5"]["mae_log"]);
    let end = Timestamp(1_000_000 * MINUTE);
    let said = predict(&trained.model, &path, end, Timestamp(border * MINUTE)).unwrap();
    assert_eq!((said.len(), said[0].run_id.as_str()), (299, "000701"));
    assert!(said.iter().all(|p| p.p50_s > 0.0 && p.p50_s <= p.p90_s));
}

#[test]
fn holding_out_takes_the_tail_of_each_repository() {
    let folder = tempfile::tempdir().unwrap();
    let (judged, trained_on) = holdout(&file(&folder, &runs(403)), &spec(1_000_000), 0.2).unwrap();
    // 101, 101, 101 and 100 runs: the first 80 of each train.
    assert_eq!((trained_on, judged.rows), (320, 83));
}

#[test]
fn too_few_runs_are_inconclusive() {
    let folder = tempfile::tempdir().unwrap();
    let failed = train(&file(&folder, &runs(49)), &spec(1_000_000));
    assert!(matches!(failed, Err(LearnError::TooLittleData(_))));
    assert!(train(&file(&folder, &runs(50)), &spec(1_000_000)).is_ok());
}
