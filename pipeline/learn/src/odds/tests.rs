use super::calibrate::{Calibration, KINDS, Kind};
use super::folds::folds;
use super::line::{Line, Loss, newton};
use super::trees::logistic;
use super::*;
use crate::metrics::brier;
use crate::random::Random;

/// Runs of eight samples over two machines; contended when the neighbour takes half of the host. `host_cpu` holds both.
fn rows(groups: u32) -> Rows {
    let mut random = Random::stream(3, 0);
    let mut rows = Rows { names: ["own_cpu", "host_cpu", "own_mem"].map(str::to_owned).to_vec(), ..Rows::default() };
    rows.columns = vec![Vec::new(); 3];
    for group in 0..groups {
        let (own, others) = (10.0 + 40.0 * random.share(), 60.0 * random.share());
        for _ in 0..8 {
            rows.columns[0].push((own + random.share()) as f32);
            rows.columns[1].push((own + others + 4.0 * random.share()) as f32);
            rows.columns[2].push(random.share() as f32);
            rows.label.push(f32::from(u8::from((others > 30.0) != (random.share() < 0.05))));
            rows.group.push(group);
        }
    }
    let n = rows.label.len();
    rows.weight = vec![1.0; n];
    rows.tells = vec![true; n];
    rows.key = vec![0; n];
    rows.starts = rows.group.iter().map(|g| i64::from(*g)).collect();
    rows.known = rows.group.iter().map(|g| i64::from(*g) + 1).collect();
    rows
}

fn upto(n: usize) -> Vec<u32> {
    (0..n as u32).collect()
}

fn fit(rows: &Rows, train: &[u32], is_test: &[bool]) -> Odds {
    Odds::learn(search(rows, train, is_test, 7).unwrap().found(), rows, train, 7).unwrap()
}

#[test]
fn where_columns_tell_nothing_the_base_rate_is_said_and_the_last_outcome_where_it_tells() {
    let mut random = Random::stream(8, 0);
    let mut rows = rows(100);
    // Every row its own, of one key, after the other.
    rows.group = upto(800);
    rows.starts = (0..800).collect();
    rows.known = (1..801).collect();
    rows.label = (0..800).map(|_| f32::from(u8::from(random.share() < 0.2))).collect();
    let (train, is_test) = (upto(640), (0..800).map(|row| row >= 640).collect::<Vec<bool>>());
    let found = search(&rows, &train, &is_test, 7).unwrap();
    let said = Odds::learn(found.found(), &rows, &train, 7).unwrap().predict(&rows, &train, &upto(800)[640..]);
    assert!(said.iter().all(|p| (0.1..0.35).contains(p)), "{said:?}");
    // Outcomes that last, and that are known as they come in.
    rows.live = true;
    for row in 1..800 {
        rows.label[row] = if random.share() < 0.95 { rows.label[row - 1] } else { 1.0 - rows.label[row - 1] };
    }
    let found = search(&rows, &train, &is_test, 7).unwrap();
    let said = Odds::learn(found.found(), &rows, &train, 7).unwrap().predict(&rows, &train, &upto(800)[640..]);
    // Who knows the last outcome has 0.0475.
    let brier = brier(&rows.truth(&upto(800)[640..]), &said);
    assert!(brier < 0.07, "{brier} {:?}", found.choice);
}

#[test]
fn what_is_said_comes_true_and_the_neighbour_is_named() {
    let rows = rows(300);
    let (train, test): (Vec<u32>, Vec<u32>) = upto(2400).into_iter().partition(|row| *row < 1680);
    let is_test: Vec<bool> = (0..2400).map(|row| row >= 1680).collect();
    let found = search(&rows, &train, &is_test, 7).unwrap();
    assert_eq!((found.choice.folds.as_str(), found.found().baseline), ("time", false));
    let odds = Odds::learn(found.found(), &rows, &train, 7).unwrap();
    odds.check().unwrap();
    let said = odds.predict(&rows, &train, &test);
    let truth = rows.truth(&test);
    assert!(brier(&truth, &said) < 0.08, "{}", brier(&truth, &said));
    let table = reliability(&truth, &said);
    assert_eq!(table.iter().map(|range| range.rows).sum::<usize>(), 720);
    let causes = odds.causes(&rows, &train, &test);
    let named = said.iter().zip(&causes).filter(|(p, _)| **p > 0.8);
    let (right, all) = named.fold((0, 0), |(right, all), (_, cause)| {
        (right + usize::from(*cause == domain::probability::Cause::Neighbours), all + 1)
    });
    assert!(all > 100 && right * 10 >= all * 9, "{right} of {all}");
    // Same rows, same seed: same bytes; and they can be read back.
    let bytes = serde_json::to_vec(&odds).unwrap();
    assert!(bytes == serde_json::to_vec(&fit(&rows, &train, &is_test)).unwrap());
    let back: Odds = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(back.predict(&rows, &train, &test), said);
    let text = String::from_utf8(bytes).unwrap();
    for (from, to) in [("\"left\":[1,", "\"left\":[0,"), ("\"left\":[1,", "\"left\":[4000000000,")] {
        assert!(text.contains(from), "{from}");
        let damaged: Odds = serde_json::from_str(&text.replacen(from, to, 1)).unwrap();
        assert_eq!(damaged.check().is_err(), to.contains("4000"), "a leaf where a question was is a tree still");
    }
}

#[test]
fn a_label_of_a_test_row_moves_nothing() {
    let mut rows = rows(120);
    let (train, test): (Vec<u32>, Vec<u32>) = upto(960).into_iter().partition(|row| row / 8 % 3 != 2);
    let is_test: Vec<bool> = (0..960).map(|row| row / 8 % 3 == 2).collect();
    let said = |rows: &Rows| fit(rows, &train, &is_test).predict(rows, &train, &test);
    let before = said(&rows);
    test.iter().for_each(|&row| rows.label[row as usize] = 1.0 - rows.label[row as usize]);
    assert_eq!(said(&rows), before);
    train.iter().take(80).for_each(|&row| rows.label[row as usize] = 1.0 - rows.label[row as usize]);
    assert_ne!(said(&rows), before, "the test cannot fail");
}

#[test]
fn folds_learn_from_before_and_never_split_a_group() {
    let rows = rows(100);
    let train = upto(560);
    let late: Vec<bool> = (0..800).map(|row| row >= 560).collect();
    let (by_time, yes) = folds(&rows, &train, &late, 7);
    assert!(yes && by_time.len() == 4);
    for fold in &by_time {
        assert!(fold.learn.iter().max() < fold.judge.iter().min());
    }
    let mixed: Vec<bool> = (0..800).map(|row| row / 8 % 2 == 1).collect();
    let train: Vec<u32> = upto(800).into_iter().filter(|row| !mixed[*row as usize]).collect();
    let (by_group, yes) = folds(&rows, &train, &mixed, 7);
    assert!(!yes && by_group.len() == 4);
    for fold in by_group.iter().chain(&by_time) {
        let groups =
            |of: &[u32]| of.iter().map(|row| rows.group[*row as usize]).collect::<std::collections::BTreeSet<_>>();
        assert!(groups(&fold.learn).is_disjoint(&groups(&fold.judge)));
    }
}

#[test]
fn history_knows_only_what_had_ended() {
    let mut rows = rows(4);
    rows.label = [1.0, 0.0, 1.0, 0.0].iter().flat_map(|y| [*y; 8]).collect();
    let [last, _, share] = rows.history(&upto(32));
    assert!(last[0].is_nan());
    assert_eq!((last[8], last[16], last[24]), (1.0, 0.0, 1.0));
    assert!((share[24] - 2.0 / 3.0).abs() < 1e-6);
    // Of what was not learnt from, nothing; nor of what strangers sent.
    assert_eq!(rows.history(&upto(8))[0][24], 1.0);
    rows.tells[16..24].fill(false);
    assert_eq!(rows.history(&upto(32))[0][24], 0.0);
}

#[test]
fn newton_finds_the_known_line() {
    // 3 of 4 at x = 1 and 1 of 4 at x = 0: logits ln 3 and -ln 3.
    let inputs = [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0];
    let label = [1.0, 1.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0];
    for loss in [Loss::Log, Loss::Square] {
        let slope = newton(loss, &inputs, 2, &label, &[1.0; 8], &[0.0; 8], 1e-9);
        assert!((slope[1] + 3.0_f64.ln()).abs() < 1e-3 && (slope[0] - 9.0_f64.ln()).abs() < 1e-3, "{slope:?}");
    }
}

#[test]
fn a_line_takes_missing_values_and_weights() {
    let column: Vec<f32> = (0..400).map(|i| if i % 4 == 0 { f32::NAN } else { (i % 2) as f32 }).collect();
    let label: Vec<f32> = (0..400).map(|i| if i % 4 == 0 { 1.0 } else { (i % 2) as f32 }).collect();
    let line = Line::fit(&[&column], &upto(400), &label, &vec![1.0; 400]);
    assert!(line.probability(|_| f32::NAN) > 0.9);
    assert!(line.probability(|_| 1.0) > 0.9 && line.probability(|_| 0.0) < 0.1);
    let light: Vec<f32> = label.iter().map(|y| if *y > 0.5 { 1e-6 } else { 1.0 }).collect();
    assert!(Line::fit(&[&column], &upto(400), &label, &light).probability(|_| f32::NAN) < 0.5);
}

#[test]
fn calibration_undoes_what_was_done() {
    let mut random = Random::stream(9, 0);
    let truth: Vec<f64> = (0..4000).map(|_| random.share()).collect();
    let label: Vec<f64> = truth.iter().map(|p| f64::from(u8::from(random.share() < *p))).collect();
    // Overconfident and too low.
    let said: Vec<f64> = truth.iter().map(|p| logistic(2.0 * (p / (1.0 - p)).ln() - 1.0)).collect();
    let gap = |map: &Calibration| said.iter().zip(&truth).map(|(s, p)| (map.apply(*s) - p).abs()).sum::<f64>() / 4000.0;
    let plain = gap(&Calibration::fit(Kind::None, &said, &label, &vec![1.0; 4000]));
    let platt = gap(&Calibration::fit(Kind::Platt, &said, &label, &vec![1.0; 4000]));
    assert!(plain > 0.1 && platt < 0.02, "{plain} {platt}");
    for kind in KINDS {
        let map = Calibration::fit(kind, &said, &label, &vec![1.0; 4000]);
        let mapped: Vec<f64> = (1..100).map(|p| map.apply(f64::from(p) / 100.0)).collect();
        assert!(mapped.windows(2).all(|pair| pair[0] < pair[1]), "{kind:?} keeps the order");
    }
}
