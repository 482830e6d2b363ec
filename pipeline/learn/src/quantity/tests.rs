use super::*;
use crate::build_time::{MODEL, predict};
use crate::parquet::{time_column, write};
use domain::columns::runs::{self as col, KNOWN};
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
    memory_mib: Option<i64>,
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
        Run { job, start_min: i as i64 * 37, duration_s, src_churn, result: "success", memory_mib: None }
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
        Column::new(col::CPU_MS.into(), vec![None::<i64>; runs.len()]),
        Column::new(
            col::MEMORY_PEAK_BYTES.into(),
            runs.iter().map(|r| r.memory_mib.map(|mib| mib << 20)).collect::<Vec<_>>(),
        ),
        text(col::BRANCH, &|_, _| "main".to_owned()),
        text(col::AUTHOR, &|i, _| format!("u{}", i % 3)),
        Column::new(col::FAILED.into(), runs.iter().map(|r| r.result == "failure").collect::<Vec<_>>()),
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
    let trained = MODEL.train(&file(&folder, &runs(1500)), &spec(1_000_000)).unwrap();
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
    let (a, b) = (MODEL.train(&path, &spec(1_000_000)).unwrap(), MODEL.train(&path, &spec(1_000_000)).unwrap());
    assert!(a.model == b.model);
    assert_eq!(a.card, b.card);
}

fn read(path: &Path, until: Timestamp) -> Data {
    Data::read(path, until, Quantity::Duration).unwrap()
}

/// Features of a row as bits, because NaN does not equal itself.
fn features(data: &Data, row: usize) -> Vec<u32> {
    data.table.columns.iter().map(|column| column[row].to_bits()).collect()
}

#[test]
fn a_planted_future_moves_no_feature() {
    let folder = tempfile::tempdir().unwrap();
    let now = 1000;
    let started_s = now as i64 * 37 * 60;
    let plant = |change: &dyn Fn(&mut Run)| {
        let mut runs = runs(2000);
        // What starts later, and what is still running.
        runs.iter_mut().filter(|r| r.start_min * 60 + r.duration_s > started_s).for_each(change);
        read(&file(&folder, &runs), Timestamp(i64::MAX))
    };
    let before = plant(&|_| {});
    // One after the other: it takes longer; it ends only after all; it fails; it is of another size.
    let planted: [&dyn Fn(&mut Run); 4] =
        [&|r| r.duration_s *= 7, &|r| r.duration_s = 86_000, &|r| r.result = "failure", &|r| {
            if r.start_min * 60 > started_s {
                r.src_churn = 77;
            }
        }];
    for change in planted {
        assert_eq!(features(&before, now), features(&plant(change), now));
    }
    assert_ne!(features(&before, now + 40), features(&plant(planted[0]), now + 40), "the test cannot fail");
}

#[test]
fn a_run_that_ends_later_shifts_no_level_before_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let border = 700 * 37;
    let model = MODEL.train(&file(&folder, &runs(1000)), &spec(border)).unwrap().model;
    let now = 850;
    let said = |factor: i64| {
        let mut changed = runs(1000);
        let later = |r: &&mut Run| r.start_min * 60 + r.duration_s > now as i64 * 37 * 60;
        changed.iter_mut().filter(later).for_each(|r| r.duration_s *= factor);
        let path = file(&folder, &changed);
        predict(&model, &path, Timestamp(1_000_000 * MINUTE), Timestamp(border * MINUTE)).unwrap()
    };
    let (before, after) = (said(1), said(9));
    let of = |said: &[Prediction], run: usize| said.iter().find(|p| p.run_id == format!("{run:06}")).cloned();
    assert_eq!(of(&before, now), of(&after, now));
    assert_ne!(of(&before, now + 60), of(&after, now + 60), "the test cannot fail");
}

#[test]
fn a_new_repository_borrows_from_the_others_and_says_that_it_knows_less() {
    let folder = tempfile::tempdir().unwrap();
    let mut with_newcomer = runs(3000);
    // From the 2400th run on, some are of a repository that was never seen before.
    with_newcomer.iter_mut().skip(2400).step_by(50).for_each(|r| r.job = 9);
    let path = file(&folder, &with_newcomer);
    let border = Timestamp(2300 * 37 * MINUTE);
    let model = MODEL.train(&path, &spec(2300 * 37)).unwrap().model;
    let said = predict(&model, &path, Timestamp(i64::MAX), border).unwrap();
    let of = |run: usize| said.iter().find(|p| p.run_id == format!("{run:06}")).unwrap();
    let width = |p: &Prediction| p.p90.ln_1p() - p.p50.ln_1p();
    let (newcomer, old) = (of(2400), of(2396));
    assert!(width(newcomer) > 1.5 * width(old), "{newcomer:?} beside {old:?}");
    assert!(newcomer.p90 > 400.0, "no narrower than what the others take: {newcomer:?}");
    assert!((50.0..2000.0).contains(&newcomer.p50), "about what the others take: {newcomer:?}");
}

#[test]
fn nothing_that_ended_after_until_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, &runs(400));
    assert_eq!(read(&path, Timestamp(200 * 37 * MINUTE)).runs.len(), 200);
    let mut cancelled = runs(400);
    cancelled[7].result = "cancellation";
    cancelled[9].duration_s = 2 * 86_400;
    assert_eq!(read(&file(&folder, &cancelled), Timestamp(i64::MAX)).runs.len(), 398);
}

#[test]
fn shifts_bring_levels_back_to_what_is_stated_when_the_world_drifts() {
    let folder = tempfile::tempdir().unwrap();
    let mut drifting = runs(4000);
    // After the training everything is noisier than it ever was.
    for (i, run) in drifting.iter_mut().enumerate().skip(2000) {
        run.duration_s = run.duration_s * (100 + scatter(i + 7, 60)) / 100;
    }
    let path = file(&folder, &drifting);
    let model = MODEL.train(&path, &spec(2000 * 37)).unwrap().model;
    let later = MODEL.evaluate(&model, &path, &spec(i64::MAX / MINUTE), Timestamp(2500 * 37 * MINUTE)).unwrap();
    assert!((later.metrics["coverage90"] - 0.9).abs() < 0.03, "{:?}", later.metrics);
    assert!(later.gate.passed(), "{:?}", later.gate);
}

#[test]
fn demand_is_learnt_where_it_was_measured() {
    let folder = tempfile::tempdir().unwrap();
    let mut measured = runs(1500);
    for (i, run) in measured.iter_mut().enumerate().filter(|(i, _)| i % 3 > 0) {
        let usual = 256 << run.job;
        run.memory_mib = Some(usual * (95 + scatter(i + 5, 10)) / 100 * if run.src_churn > 500 { 2 } else { 1 });
    }
    let trained = crate::demand::MODEL.train(&file(&folder, &measured), &spec(1_000_000)).unwrap();
    let card = &trained.card;
    assert_eq!(card.labels.measured, 1000, "CPU was never measured, memory in two runs of three");
    assert!(card.verdict.beats_baselines && card.metrics["memory_within_25pct"] > 0.95, "{:?}", card.metrics);
    assert!((0.8..=0.99).contains(&card.metrics["memory_coverage90"]), "{:?}", card.metrics);
    assert!(card.metrics["memory_mae_mib"] < card.baselines["rolling_median_5"]["memory_mae_mib"]);
    let none = crate::demand::MODEL.train(&file(&folder, &runs(300)), &spec(1_000_000));
    assert!(matches!(none, Err(LearnError::TooLittleData(_))));
}

#[test]
fn where_nothing_is_to_be_learnt_a_naive_predictor_wins() {
    let folder = tempfile::tempdir().unwrap();
    let mut still = runs(200);
    still.iter_mut().for_each(|r| r.duration_s = 100 << r.job);
    let card = MODEL.train(&file(&folder, &still), &spec(1_000_000)).unwrap().card;
    let [first, ..] = &card.judged.candidates[..] else { panic!("no candidates") };
    assert!(first.chosen && first.loss_log < 1e-6, "{first:?}");
    assert_eq!(card.judged.candidates.len(), 6);
    assert!(card.judged.candidates.iter().all(|c| c.folds.len() == 4), "four rolling origins of few runs");
    assert!(card.judged.serves[0].baseline && card.judged.serves[0].name == first.name, "{:?}", card.judged.serves);
}

#[test]
fn what_was_best_before_and_is_not_on_held_out_time_does_not_serve() {
    let folder = tempfile::tempdir().unwrap();
    let mut turned = runs(1000);
    // What made runs long before makes none long in the last fifth: the median knows it sooner than what was learnt.
    for (i, run) in turned.iter_mut().enumerate().skip(800) {
        run.duration_s = (100 << run.job) * (90 + scatter(i, 100) / 5) / 100;
    }
    let card = MODEL.train(&file(&folder, &turned), &spec(1_000_000)).unwrap().card;
    let [serves] = &card.judged.serves[..] else { panic!("one quantity") };
    assert!(serves.baseline && serves.why.contains("on held-out time"), "{serves:?}");
    assert!(card.judged.candidates[0].name == "boosted_trees" && !card.judged.candidates[0].chosen);
    let difference = card.verdict.difference.unwrap();
    assert!(difference.low <= 0.0, "{difference:?}");
    assert!(card.metrics["loss_log"] < 1.1 * card.verdict.best_baseline, "{:?}", card.verdict);
}

#[test]
fn a_damaged_model_is_refused_and_so_is_one_of_a_later_format() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, &runs(600));
    let text = String::from_utf8(MODEL.train(&path, &spec(400 * 37)).unwrap().model).unwrap();
    let said = |text: &str| predict(text.as_bytes(), &path, Timestamp(i64::MAX), Timestamp(400 * 37 * MINUTE));
    assert!(said(&text).is_ok());
    for (from, to) in [
        ("\"left\":[1,", "\"left\":[1,9,"),
        ("\"global\":", "\"global\":null,\"was\":"),
        ("\"excess\":[", "\"excess\":[null,"),
    ] {
        assert!(text.contains(from), "{from} in {}", &text[..text.len().min(300)]);
        assert!(
            matches!(said(&text.replacen(from, to, 1)), Err(LearnError::Model { model: "build-time", .. })),
            "{to}"
        );
    }
    let newer = text.replacen("\"format_version\":6", "\"format_version\":9", 1);
    assert!(matches!(said(&newer), Err(LearnError::Newer { found: 9, .. })));
}

#[test]
fn a_kept_model_scores_and_predicts_later_runs() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, &runs(1000));
    let border = 700 * 37;
    let trained = MODEL.train(&path, &spec(border)).unwrap();
    let later = MODEL.evaluate(&trained.model, &path, &spec(1_000_000), Timestamp(border * MINUTE)).unwrap();
    assert_eq!(later.rows, 299);
    assert!(later.metrics["mae_log"] < later.baselines["rolling_median_5"]["mae_log"]);
    let end = Timestamp(1_000_000 * MINUTE);
    let said = predict(&trained.model, &path, end, Timestamp(border * MINUTE)).unwrap();
    assert_eq!((said.len(), said[0].run_id.as_str()), (299, "000701"));
    assert!(said.iter().all(|p| p.p50 > 0.0 && p.p50 <= p.p90 && p.p90 <= p.p99));
}

#[test]
fn holding_out_takes_the_tail_of_each_repository() {
    let folder = tempfile::tempdir().unwrap();
    let (judged, trained_on) = MODEL.holdout(&file(&folder, &runs(403)), &spec(1_000_000), 0.2).unwrap();
    // 101, 101, 101 and 100 runs: the first 80 of each train.
    assert_eq!((trained_on, judged.rows), (320, 83));
}

#[test]
fn too_few_runs_are_inconclusive() {
    let folder = tempfile::tempdir().unwrap();
    let failed = MODEL.train(&file(&folder, &runs(49)), &spec(1_000_000));
    assert!(matches!(failed, Err(LearnError::TooLittleData(_))));
    assert!(MODEL.train(&file(&folder, &runs(50)), &spec(1_000_000)).is_ok());
}

/// The first runs as those that have ended, the others as those that are expected at `now`.
fn expecting(folder: &tempfile::TempDir, ended: &[Run], expected: &[Run], now_min: i64) -> (PathBuf, PathBuf) {
    let path = file(folder, ended);
    let ended = folder.path().join("ended.parquet");
    std::fs::rename(path, &ended).unwrap();
    // What only the end of a run tells must not be looked at: here it says nonsense.
    let asked: Vec<Run> = expected
        .iter()
        .map(|r| Run { start_min: now_min, duration_s: 77_777, result: "failure", ..r.clone() })
        .collect();
    (ended, file(folder, &asked))
}

#[test]
fn a_run_that_is_expected_is_told_as_if_it_began_now_and_tells_the_others_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let all = runs(1000);
    let (now, border) = (Timestamp(900 * 37 * MINUTE), 700 * 37);
    let model = MODEL.train(&file(&folder, &all), &spec(border)).unwrap().model;
    // None of these is still running then, so that the past of a real run is that of an expected one.
    let before: Vec<Run> =
        all[..900].iter().filter(|r| r.start_min * 60 + r.duration_s < 900 * 37 * 60).cloned().collect();
    let said = |expected: &[Run]| {
        let (ended, next) = expecting(&folder, &before, expected, 900 * 37);
        crate::build_time::expected(&model, &ended, &next, now).unwrap()
    };
    let levels = |p: &Prediction| (p.p50, p.p90, p.p99);
    let one = said(&all[900..901]);
    // As the real run of that moment was told, after the fact.
    let mut real = before.clone();
    real.push(all[900].clone());
    let told = predict(&model, &file(&folder, &real), Timestamp(i64::MAX - 1), now.plus(-1)).unwrap();
    assert_eq!((told.len(), one.len()), (1, 1));
    assert_eq!((levels(&told[0]), told[0].job_runs), (levels(&one[0]), one[0].job_runs));
    // Others of the same job beside it change nothing, and neither does how often it is asked.
    let many = said(&[all[900].clone(), all[904].clone(), all[901].clone(), all[900].clone()]);
    assert_eq!(levels(&many[0]), levels(&one[0]));
    assert_eq!(levels(&many[3]), levels(&one[0]));
    assert_ne!(levels(&many[1]), levels(&one[0]), "the test cannot fail");
}

/// 100,000 runs of 2,000 jobs: `cargo test -p cli --lib -- --ignored` tells; the bar is 2 s in a release build.
#[test]
#[ignore = "measures"]
fn a_hundred_thousand_runs_are_predicted_in_two_seconds() {
    let folder = tempfile::tempdir().unwrap();
    let mut many = runs(120_000);
    many.iter_mut().enumerate().for_each(|(i, r)| r.job = i % 2000);
    many.iter_mut().enumerate().for_each(|(i, r)| r.start_min = i as i64 / 4);
    let model = MODEL.train(&file(&folder, &many[..20_000]), &spec(1_000_000)).unwrap().model;
    let (ended, next) = expecting(&folder, &many[..20_000], &many[20_000..], 1_000_000);
    let began = std::time::Instant::now();
    let said = crate::build_time::expected(&model, &ended, &next, Timestamp(1_000_000 * MINUTE)).unwrap();
    let _ = std::io::Write::write_all(
        &mut std::io::stderr(),
        format!("{} runs in {:.2} s\n", said.len(), began.elapsed().as_secs_f64()).as_bytes(),
    );
    assert_eq!(said.len(), 100_000);
}
