//! Whether a run, or a resource's next hour, will be slowed or killed by its limits or neighbours.
//!
//! One decision tree over what is known beforehand, so that every probability comes with the rule that gave it. To the
//! features of the file it adds how the same key fared before, from outcomes known at the time and no later.

use crate::LearnError;
use crate::card::{Evaluation, TrainSpec, Trained, verdict};
use crate::frame::Frame;
use crate::metrics::{brier, probability_metrics};
use crate::tree::{Growth, Node, Sample};
use domain::Timestamp;
use domain::columns::contention as col;
use domain::model::{Card, Champion, LabelUse, Metrics};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// The name of the model.
pub const NAME: &str = "contention";
const ROWS_NEEDED: usize = 50;
/// Stands for a value that is not there: below all real ones, which count and measure.
const MISSING: f64 = -1.0;
/// What the model adds to the features of the file.
const HISTORY: [&str; 2] = ["last_outcome", "contended_share20"];

/// The model as it is kept.
#[derive(Serialize, Deserialize)]
struct Model {
    format_version: u32,
    features: Vec<String>,
    growth: Growth,
    tree: Node,
}

/// The rows of `features.contention`, in order of start.
struct Data {
    keys: Vec<String>,
    starts_at: Vec<Timestamp>,
    known_at: Vec<Option<Timestamp>>,
    label: Vec<Option<bool>>,
    from_feedback: Vec<bool>,
    features: Vec<String>,
    /// One vector a row, as long as `features`.
    values: Vec<Vec<f64>>,
}

impl Data {
    /// Reads what starts by `until`; labels known only later are not seen.
    fn read(path: &Path, until: Timestamp) -> Result<Self, LearnError> {
        let frame = Frame::read(path)?;
        let (keys, unit_id) = (frame.texts(col::KEY)?, frame.texts(col::UNIT_ID)?);
        let (starts_at, known_at) = (frame.times(col::STARTS_AT)?, frame.times(col::KNOWN_AT)?);
        let (label, source) = (frame.numbers(col::LABEL)?, frame.texts(col::LABEL_SOURCE)?);
        let known = |i: usize| known_at[i].filter(|known| *known <= until && !label[i].is_nan());
        let mut rows: Vec<usize> = (0..frame.rows())
            .filter(|&i| starts_at[i].is_some_and(|starts| starts <= until || label[i].is_nan()))
            .collect();
        rows.sort_by(|&a, &b| (starts_at[a], &unit_id[a]).cmp(&(starts_at[b], &unit_id[b])));

        let mut features = frame.numeric_columns();
        features.retain(|name| !col::NOT_FEATURES.contains(&name.as_str()));
        let columns = features.iter().map(|name| frame.numbers(name)).collect::<Result<Vec<_>, _>>()?;
        let mut data = Self {
            keys: rows.iter().map(|&i| keys[i].clone().unwrap_or_default()).collect(),
            starts_at: rows.iter().map(|&i| starts_at[i].unwrap_or_default()).collect(),
            known_at: rows.iter().map(|&i| known(i)).collect(),
            label: rows.iter().map(|&i| known(i).map(|_| label[i] != 0.0)).collect(),
            from_feedback: rows.iter().map(|&i| source[i].as_deref() == Some("feedback")).collect(),
            values: rows.iter().map(|&i| columns.iter().map(|c| present(c[i])).collect()).collect(),
            features,
        };
        data.add_history();
        Ok(data)
    }

    /// Appends [`HISTORY`] to every row.
    fn add_history(&mut self) {
        let mut outcomes: HashMap<&str, Vec<(Timestamp, bool)>> = HashMap::new();
        for (i, key) in self.keys.iter().enumerate() {
            if let (Some(known), Some(label)) = (self.known_at[i], self.label[i]) {
                outcomes.entry(key).or_default().push((known, label));
            }
        }
        outcomes.values_mut().for_each(|of_key| of_key.sort_unstable());
        for (i, row) in self.values.iter_mut().enumerate() {
            let of_key = outcomes.get(self.keys[i].as_str()).map_or(&[][..], Vec::as_slice);
            let known = &of_key[..of_key.partition_point(|(known, _)| *known <= self.starts_at[i])];
            let recent = &known[known.len().saturating_sub(20)..];
            let share = recent.iter().map(|(_, label)| f64::from(*label)).sum::<f64>() / recent.len() as f64;
            row.push(known.last().map_or(MISSING, |(_, label)| f64::from(*label)));
            row.push(present(share));
        }
        self.features.extend(HISTORY.map(str::to_owned));
    }

    /// Rows with a label, in order of start.
    fn labelled(&self, since: Option<Timestamp>) -> Vec<usize> {
        let from = since.unwrap_or_default();
        (0..self.keys.len()).filter(|&i| self.label[i].is_some() && self.starts_at[i] >= from).collect()
    }

    /// Those of `rows` whose outcome was known when the first of `later` started.
    fn known_before(&self, rows: &[usize], later: &[usize]) -> Vec<usize> {
        let border = later.first().map_or(Timestamp(i64::MAX), |&i| self.starts_at[i]);
        rows.iter().copied().filter(|&i| self.known_at[i].is_some_and(|known| known <= border)).collect()
    }

    fn truth(&self, rows: &[usize]) -> Vec<bool> {
        rows.iter().map(|&i| self.label[i] == Some(true)).collect()
    }

    fn grow(&self, rows: &[usize], growth: Growth) -> Result<Node, LearnError> {
        let sample = Sample {
            features: &self.features,
            rows: rows.iter().map(|&i| self.values[i].as_slice()).collect(),
            labels: self.truth(rows),
        };
        Node::grow(&sample, growth)
    }

    fn predict(&self, tree: &Node, rows: &[usize]) -> Vec<f64> {
        let places: HashMap<&str, usize> = self.features.iter().map(String::as_str).zip(0..).collect();
        let value = |row: &[f64], name: &str| places.get(name).map_or(MISSING, |&at| row[at]);
        rows.iter().map(|&i| tree.probability(&|name: &str| value(&self.values[i], name))).collect()
    }

    /// The growth with the best Brier score on the latest quarter of the training rows.
    fn best_growth(&self, train: &[usize]) -> Result<Growth, LearnError> {
        let (_, later) = train.split_at(train.len() * 3 / 4);
        let earlier = self.known_before(train, later);
        let truth = self.truth(later);
        let mut best = (f64::INFINITY, Growth { depth: 2, leaf_rows: 5 });
        for depth in [1, 2, 3, 4, 6, 8] {
            for leaf_rows in [5, 20, 50, 200] {
                let growth = Growth { depth, leaf_rows };
                if earlier.len() < 2 * leaf_rows {
                    continue;
                }
                let score = brier(&truth, &self.predict(&self.grow(&earlier, growth)?, later));
                // A deeper tree must earn its depth: people read it.
                if score < best.0 * 0.995 {
                    best = (score, growth);
                }
            }
        }
        Ok(best.1)
    }

    /// The naive predictors on `test`, learnt from `train`.
    fn baselines(&self, train: &[usize], test: &[usize]) -> BTreeMap<String, Metrics> {
        let truth = self.truth(test);
        let share = |rows: &[usize]| rows.iter().filter(|&&i| self.label[i] == Some(true)).count() as f64;
        let prior = share(train) / train.len() as f64;
        let last_outcome = self.features.len() - HISTORY.len();
        let state = |i: usize| self.values[i][last_outcome];
        // How often the outcome was contention, given the last known one of the same key.
        let after = |wanted: f64| {
            let rows: Vec<usize> = train.iter().copied().filter(|&i| state(i) == wanted).collect();
            (share(&rows) + 2.0 * prior) / (rows.len() as f64 + 2.0)
        };
        let [never, no, yes] = [MISSING, 0.0, 1.0].map(after);
        let persistence = |i: usize| match state(i) {
            1.0 => yes,
            0.0 => no,
            _ => never,
        };
        let persistence: Vec<f64> = test.iter().map(|&i| persistence(i)).collect();
        BTreeMap::from([
            ("base_rate".to_owned(), probability_metrics(&truth, &vec![prior; test.len()])),
            ("same_as_last".to_owned(), probability_metrics(&truth, &persistence)),
        ])
    }
}

fn present(value: f64) -> f64 {
    if value.is_nan() { MISSING } else { value }
}

fn both_classes(truth: &[bool], what: &str) -> Result<(), LearnError> {
    let positives = truth.iter().filter(|y| **y).count();
    if positives == 0 || positives == truth.len() {
        let only = if positives == 0 { "none" } else { "all" };
        return Err(LearnError::TooLittleData(format!(
            "{only} of {} {what} contended, both outcomes are needed",
            truth.len()
        )));
    }
    Ok(())
}

/// Trains on `features.contention`, judges on the latest fifth beside the baselines, then grows once more on everything.
///
/// # Errors
/// [`LearnError::TooLittleData`] below 50 labelled rows or with one outcome only; unreadable or incomplete files.
pub fn train(rows: &Path, spec: &TrainSpec) -> Result<Trained, LearnError> {
    let data = Data::read(rows, spec.until)?;
    let all = data.labelled(spec.since);
    LearnError::unless_enough("rows with a known outcome", all.len(), ROWS_NEEDED)?;
    let (_, test) = all.split_at(all.len() * 4 / 5);
    let train = data.known_before(&all, test);
    LearnError::unless_enough("training rows", train.len(), ROWS_NEEDED / 2)?;
    both_classes(&data.truth(&train), "training rows")?;

    let growth = data.best_growth(&train)?;
    let metrics = probability_metrics(&data.truth(test), &data.predict(&data.grow(&train, growth)?, test));
    let baselines = data.baselines(&train, test);
    let tree = data.grow(&all, growth)?;
    let feedback = all.iter().filter(|&&i| data.from_feedback[i]).count();
    let card = Card {
        format_version: 1,
        model: NAME.to_owned(),
        version: spec.until.compact(),
        predicts: "probability that a run, or a resource's hour, is slowed or killed by its limits or neighbours"
            .to_owned(),
        algorithm: format!(
            "decision tree (linfa-trees), depth {}, {} rows a leaf, leaves drawn to the base rate",
            growth.depth, growth.leaf_rows
        ),
        created_at: spec.until,
        data_watermark: all.iter().filter_map(|&i| data.known_at[i]).max().unwrap_or_default(),
        train_from: data.starts_at[all[0]],
        train_until: data.starts_at[test[0]],
        rows_train: train.len(),
        rows_test: test.len(),
        tables: spec.tables.clone(),
        features: data.features.clone(),
        coverage: BTreeMap::new(),
        verdict: verdict("brier", &metrics, &baselines),
        metrics,
        baselines,
        champion: Champion::default(),
        judged: Default::default(),
        labels: LabelUse { measured: all.len() - feedback, feedback, changed_by_feedback: 0 },
        seed: spec.seed,
    };
    let kept = Model { format_version: 1, features: data.features, growth, tree };
    let model = serde_json::to_vec(&kept).map_err(|e| broken(&e))?;
    Ok(Trained { model, card, losses: Vec::new() })
}

/// Scores a kept model on the labelled rows that started after `after`, beside baselines learnt from what was known then.
///
/// # Errors
/// [`LearnError::TooLittleData`] below 10 later rows; a model that cannot be read; unreadable or incomplete files.
pub fn evaluate(model: &[u8], rows: &Path, spec: &TrainSpec, after: Timestamp) -> Result<Evaluation, LearnError> {
    let model: Model = serde_json::from_slice(model).map_err(|e| broken(&e))?;
    let data = Data::read(rows, spec.until)?;
    let test: Vec<usize> = data.labelled(spec.since).into_iter().filter(|&i| data.starts_at[i] > after).collect();
    LearnError::unless_enough("later rows with a known outcome", test.len(), 10)?;
    let train = data.known_before(&data.labelled(None), &test);
    LearnError::unless_enough("earlier rows with a known outcome", train.len(), 1)?;
    Ok(Evaluation {
        metrics: probability_metrics(&data.truth(&test), &data.predict(&model.tree, &test)),
        baselines: data.baselines(&train, &test),
        rows: test.len(),
        ..Evaluation::default()
    })
}

/// Key and probability of every row whose outcome is not known by `until`, in order of start.
///
/// # Errors
/// A model that cannot be read; unreadable or incomplete files.
pub fn predict(model: &[u8], rows: &Path, until: Timestamp) -> Result<Vec<(String, f64)>, LearnError> {
    let model: Model = serde_json::from_slice(model).map_err(|e| broken(&e))?;
    let data = Data::read(rows, until)?;
    let open: Vec<usize> = (0..data.keys.len()).filter(|&i| data.label[i].is_none()).collect();
    let probability = data.predict(&model.tree, &open);
    Ok(open.into_iter().zip(probability).map(|(i, p)| (data.keys[i].clone(), p)).collect())
}

/// The kept tree as indented text: its questions, and at the leaves the probability and the counts behind it.
///
/// # Errors
/// A model that cannot be read.
pub fn rules(model: &[u8]) -> Result<String, LearnError> {
    let model: Model = serde_json::from_slice(model).map_err(|e| broken(&e))?;
    Ok(model.tree.rules())
}

fn broken(error: &serde_json::Error) -> LearnError {
    LearnError::Model { model: NAME, reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parquet::{time_column, write};
    use domain::time::HOUR;
    use polars::prelude::Column;
    use std::path::PathBuf;

    struct Row {
        hour: i64,
        load: Option<f64>,
        label: Option<bool>,
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
            Row { hour: i, load: (i % 17 != 0).then_some(load), label: Some((load > 0.6) != odd) }
        };
        (0..n).map(one).collect()
    }

    fn file(folder: &tempfile::TempDir, rows: &[Row]) -> PathBuf {
        let path = folder.path().join("contention.parquet");
        let text =
            |name: &str, of: &dyn Fn(&Row) -> String| Column::new(name.into(), rows.iter().map(of).collect::<Vec<_>>());
        let source = |r: &Row| if r.hour % 10 == 0 { "feedback" } else { "measured" }.to_owned();
        let columns = vec![
            text(col::UNIT, &|_| "hour".to_owned()),
            text(col::UNIT_ID, &|r| format!("{:06}", r.hour)),
            text(col::KEY, &|r| format!("shop/{}", r.hour % 3)),
            time_column(col::STARTS_AT, rows.iter().map(|r| r.hour * HOUR).collect()),
            time_column(col::KNOWN_AT, rows.iter().map(|r| (r.hour + 1) * HOUR).collect()),
            Column::new(col::LABEL.into(), rows.iter().map(|r| r.label).collect::<Vec<_>>()),
            text(col::LABEL_SOURCE, &source),
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
        let trained = train(&path, &spec(10_000)).unwrap();
        let card = &trained.card;
        assert!(card.verdict.beats_baselines && card.metrics["brier"] < 0.15, "{:?} {:?}", card.verdict, card.metrics);
        assert!(card.metrics["roc_auc"] > 0.8 && card.metrics["ece10"] < 0.1, "{:?}", card.metrics);
        assert_eq!((card.labels.measured, card.labels.feedback, card.rows_test), (1800, 200, 400));
        let rules = rules(&trained.model).unwrap();
        assert!(rules.starts_with("if load <= 0.6"), "{rules}");
        assert!(trained.model == train(&path, &spec(10_000)).unwrap().model);
    }

    #[test]
    fn the_hour_to_come_is_predicted_and_not_trained_on() {
        let folder = tempfile::tempdir().unwrap();
        let mut all = rows(1000);
        all.push(Row { hour: 1000, load: Some(0.95), label: None });
        all.push(Row { hour: 1001, load: Some(0.05), label: None });
        let path = file(&folder, &all);
        let trained = train(&path, &spec(1000)).unwrap();
        assert_eq!(trained.card.labels.measured + trained.card.labels.feedback, 1000);
        let said = predict(&trained.model, &path, Timestamp(1000 * HOUR)).unwrap();
        assert_eq!(said.iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>(), ["shop/1", "shop/2"]);
        assert!(said[0].1 > 0.7 && said[1].1 < 0.3, "{said:?}");
    }

    #[test]
    fn an_outcome_not_yet_known_moves_no_feature() {
        let folder = tempfile::tempdir().unwrap();
        let read = |rows: &[Row]| Data::read(&file(&folder, rows), Timestamp(i64::MAX)).unwrap();
        let mut changed = rows(300);
        changed[200..].iter_mut().for_each(|row| row.label = row.label.map(|l| !l));
        let (before, after) = (read(&rows(300)), read(&changed));
        assert_eq!(before.values[..=200], after.values[..=200]);
        assert_ne!(before.values[201..], after.values[201..], "the test cannot fail");
        // Read on hour 100, later outcomes are not there at all.
        let early = Data::read(&file(&folder, &rows(300)), Timestamp(100 * HOUR)).unwrap();
        assert_eq!(early.labelled(None).len(), 100);
    }

    #[test]
    fn a_kept_tree_scores_later_rows() {
        let folder = tempfile::tempdir().unwrap();
        let path = file(&folder, &rows(1500));
        let trained = train(&path, &spec(1000)).unwrap();
        let later = evaluate(&trained.model, &path, &spec(10_000), Timestamp(1000 * HOUR)).unwrap();
        assert_eq!(later.rows, 499);
        assert!(later.metrics["brier"] < later.baselines["base_rate"]["brier"]);
    }

    #[test]
    fn too_few_rows_or_one_outcome_are_inconclusive() {
        let folder = tempfile::tempdir().unwrap();
        let inconclusive = |rows: &[Row]| {
            let trained = train(&file(&folder, rows), &spec(10_000));
            matches!(trained, Err(LearnError::TooLittleData(_)))
        };
        assert!(inconclusive(&rows(49)));
        assert!(!inconclusive(&rows(100)));
        let mut quiet = rows(100);
        quiet.iter_mut().for_each(|row| row.label = Some(false));
        assert!(inconclusive(&quiet));
    }
}
