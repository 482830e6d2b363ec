//! Whether a run, or a resource's next hour, will be slowed or killed by its limits or neighbours.
//!
//! The rows of `features.contention` through the core of [`crate::odds`], with how the same key fared before, from outcomes
//! known at the time and no later. Whose rows count how much is said in [`crate::trust`].

#[cfg(test)]
mod tests;

use crate::LearnError;
use crate::card::{Evaluation, TrainSpec, Trained, verdict};
use crate::drift::{Features, compare, profile};
use crate::frame::Frame;
use crate::metrics::{brier, probability_metrics};
use crate::odds::{Odds, Rows, reliability};
use crate::own_table::count;
use crate::tree::SmallTree;
use crate::trust::{BOUND, Origin, bounded, weights};
use domain::Timestamp;
use domain::columns::contention as col;
use domain::drift::Moved;
use domain::model::{Card, Champion, Judged, LabelUse, Metrics};
use domain::probability::{Cause, Choice, Probability, Trust};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// The name of the model.
pub const NAME: &str = "contention";
const FORMAT_VERSION: u32 = 2;
const ROWS_NEEDED: usize = 50;

/// The model as it is kept.
#[derive(Serialize, Deserialize)]
struct Model {
    format_version: u32,
    /// Learnt from members and our own measurements.
    trusted: Odds,
    /// Learnt from strangers too, if there were any; held to what `trusted` says.
    everyone: Option<Odds>,
    rules: SmallTree,
}

/// A model with how it was chosen and whom it trusts.
struct Learnt {
    trusted: Odds,
    everyone: Option<Odds>,
    choice: Choice,
    trust: Trust,
}

/// The rows of `features.contention`, in order of start.
struct Data {
    keys: Vec<String>,
    unit_id: Vec<String>,
    starts_at: Vec<Timestamp>,
    known_at: Vec<Option<Timestamp>>,
    from_feedback: Vec<bool>,
    /// What `verify` found took the place of what was measured.
    from_outcome: Vec<bool>,
    /// The label before people's verdicts; as `rows.label`.
    measured: Vec<f32>,
    origins: Vec<Origin>,
    rows: Rows,
}

impl Data {
    /// Reads what starts by `until`; labels known only later are not seen.
    fn read(path: &Path, until: Timestamp) -> Result<Self, LearnError> {
        Self::of(&Frame::read(path)?, until)
    }

    fn of(frame: &Frame, until: Timestamp) -> Result<Self, LearnError> {
        let (keys, unit_id) = (frame.texts(col::KEY)?, frame.texts(col::UNIT_ID)?);
        let (starts_at, known_at) = (frame.times(col::STARTS_AT)?, frame.times(col::KNOWN_AT)?);
        let (label, source) = (frame.numbers(col::LABEL)?, frame.texts(col::LABEL_SOURCE)?);
        let (measured, stranger) = (frame.numbers(col::MEASURED)?, frame.numbers(col::STRANGER)?);
        let contributor = frame.texts(col::CONTRIBUTOR)?;
        let known = |i: usize| known_at[i].filter(|known| *known <= until && !label[i].is_nan());
        let mut order: Vec<usize> = (0..frame.rows())
            .filter(|&i| starts_at[i].is_some_and(|starts| starts <= until || label[i].is_nan()))
            .collect();
        order.sort_by(|&a, &b| (starts_at[a], &unit_id[a]).cmp(&(starts_at[b], &unit_id[b])));
        let n = order.len();

        let mut names = frame.numeric_columns();
        names.retain(|name| !col::NOT_FEATURES.contains(&name.as_str()));
        let column = |name: &String| -> Result<Vec<f32>, LearnError> {
            let values = frame.numbers(name)?;
            Ok(order.iter().map(|&i| values[i] as f32).collect())
        };
        let columns = names.iter().map(column).collect::<Result<Vec<_>, _>>()?;
        let origin = |&i: &usize| Origin { contributor: contributor[i].clone(), stranger: stranger[i] == 1.0 };
        let origins: Vec<Origin> = order.iter().map(origin).collect();
        let keys: Vec<String> = order.iter().map(|&i| keys[i].clone().unwrap_or_default()).collect();
        let mut seen: HashMap<&str, u32> = HashMap::new();
        let key = keys.iter().map(|key| {
            let next = seen.len() as u32;
            *seen.entry(key).or_insert(next)
        });
        let key = key.collect();
        let starts_at: Vec<Timestamp> = order.iter().map(|&i| starts_at[i].unwrap_or_default()).collect();
        let known_at: Vec<Option<Timestamp>> = order.iter().map(|&i| known(i)).collect();
        let labels_of = |values: &[f64]| -> Vec<f32> {
            order.iter().map(|&i| known(i).map_or(f32::NAN, |_| values[i] as f32)).collect()
        };
        let rows = Rows {
            names,
            columns,
            label: labels_of(&label),
            group: (0..n as u32).collect(),
            weight: vec![1.0; n],
            key,
            starts: starts_at.iter().map(|at| at.0).collect(),
            known: known_at.iter().map(|at| at.map_or(i64::MAX, |at| at.0)).collect(),
            tells: origins.iter().map(|origin| !origin.stranger).collect(),
            live: true,
        };
        Ok(Self {
            from_feedback: order.iter().map(|&i| source[i].as_deref() == Some("feedback")).collect(),
            from_outcome: order.iter().map(|&i| source[i].as_deref() == Some("outcome")).collect(),
            measured: labels_of(&measured),
            keys,
            unit_id: order.iter().map(|&i| unit_id[i].clone().unwrap_or_default()).collect(),
            starts_at,
            known_at,
            origins,
            rows,
        })
    }

    /// The columns that come new with every row: neither days and weeks before it, nor the calendar.
    fn new_with_a_row(&self) -> Features<'_> {
        let slow = |name: &str| {
            ["_24h", "_168h", "_24h_ago", "hour_of_day", "day_of_week"].iter().any(|end| name.ends_with(end))
        };
        let all = self.rows.names.iter().map(String::as_str).zip(self.rows.columns.iter().map(Vec::as_slice));
        all.filter(|(name, _)| !slow(name)).collect()
    }

    /// Rows with a label, in order of start.
    fn labelled(&self, since: Option<Timestamp>) -> Vec<u32> {
        let from = since.unwrap_or_default();
        let has = |i: &usize| !self.rows.label[*i].is_nan() && self.starts_at[*i] >= from;
        (0..self.rows.len()).filter(has).map(|i| i as u32).collect()
    }

    /// Those of `rows` whose outcome was known when the first of `later` started.
    fn known_before(&self, rows: &[u32], later: &[u32]) -> Vec<u32> {
        let border = later.first().map_or(Timestamp(i64::MAX), |&i| self.starts_at[i as usize]);
        rows.iter().copied().filter(|&i| self.known_at[i as usize].is_some_and(|known| known <= border)).collect()
    }

    /// Learns from some rows; `test` are those to be judged, none when all are learnt from.
    fn learn(&mut self, train: &[u32], test: &[u32], seed: u64) -> Learnt {
        let origins: Vec<&Origin> = train.iter().map(|&row| &self.origins[row as usize]).collect();
        let (weights, mut trust) = weights(&origins);
        train.iter().zip(weights).for_each(|(&row, weight)| self.rows.weight[row as usize] = weight);
        let mut is_test = vec![false; self.rows.len()];
        test.iter().for_each(|&row| is_test[row as usize] = true);
        let trusted: Vec<u32> = train.iter().copied().filter(|&row| !self.origins[row as usize].stranger).collect();
        let enough = trusted.len() >= ROWS_NEEDED / 2 && both_classes(&self.rows.truth(&trusted), "").is_ok();
        if trust.stranger_rows == 0 || !enough {
            let (odds, choice) = Odds::fit(&self.rows, train, &is_test, seed);
            return Learnt { trusted: odds, everyone: None, choice, trust };
        }
        trust.strangers_move_at_most = Some(BOUND);
        let (trusted, choice) = Odds::fit(&self.rows, &trusted, &is_test, seed);
        let (everyone, _) = Odds::fit(&self.rows, train, &is_test, seed);
        Learnt { trusted, everyone: Some(everyone), choice, trust }
    }

    /// The naive predictors on `test`, learnt from `train`.
    fn baselines(&self, train: &[u32], test: &[u32]) -> BTreeMap<String, Metrics> {
        let truth = self.rows.truth(test);
        let share = |rows: &[u32]| self.rows.truth(rows).iter().filter(|y| **y).count() as f64;
        let prior = share(train) / train.len() as f64;
        let [last_outcome, ..] = self.rows.history(train);
        // How often the outcome was contention, given the last known one of the same key: 0, 1, or none.
        let after = |wanted: f32| {
            let same = |row: &&u32| last_outcome[**row as usize].to_bits() == wanted.to_bits();
            let rows: Vec<u32> = train.iter().filter(same).copied().collect();
            (share(&rows) + 2.0 * prior) / (rows.len() as f64 + 2.0)
        };
        let [never, no, yes] = [f32::NAN, 0.0, 1.0].map(after);
        let persistence = |&row: &u32| match last_outcome[row as usize] {
            1.0 => yes,
            0.0 => no,
            _ => never,
        };
        let persistence: Vec<f64> = test.iter().map(persistence).collect();
        BTreeMap::from([
            ("base_rate".to_owned(), probability_metrics(&truth, &vec![prior; test.len()])),
            ("same_as_last".to_owned(), probability_metrics(&truth, &persistence)),
        ])
    }
}

/// What both models say, the one with strangers held to the one without.
fn say(trusted: &Odds, everyone: Option<&Odds>, rows: &Rows, learnt: &[u32], asked: &[u32]) -> Vec<f64> {
    let without = trusted.predict(rows, learnt, asked);
    let Some(everyone) = everyone else { return without };
    let with = everyone.predict(rows, learnt, asked);
    with.into_iter().zip(without).map(|(with, without)| bounded(with, without)).collect()
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

/// Trains on `features.contention`, judges on the latest fifth beside the baselines, then learns once more from everything.
///
/// # Errors
/// [`LearnError::TooLittleData`] below 50 labelled rows or with one outcome only; unreadable or incomplete files.
pub fn train(path: &Path, spec: &TrainSpec) -> Result<Trained, LearnError> {
    let mut data = Data::read(path, spec.until)?;
    let all = data.labelled(spec.since);
    LearnError::unless_enough("rows with a known outcome", all.len(), ROWS_NEEDED)?;
    let (_, test) = all.split_at(all.len() * 4 / 5);
    let train = data.known_before(&all, test);
    LearnError::unless_enough("training rows", train.len(), ROWS_NEEDED / 2)?;
    both_classes(&data.rows.truth(&train), "training rows")?;

    let held_out = data.learn(&train, test, spec.seed);
    let said = say(&held_out.trusted, held_out.everyone.as_ref(), &data.rows, &train, test);
    let truth = data.rows.truth(test);
    let metrics = probability_metrics(&truth, &said);
    let mut baselines = data.baselines(&train, test);
    let verdict = verdict("brier", &metrics, &baselines);
    let tree = SmallTree::grow(&data.rows, &train)?;
    baselines.insert("small_tree".to_owned(), probability_metrics(&truth, &tree.say(&data.rows, &train, test)));
    let causes = held_out.trusted.causes(&data.rows, &train, test);
    let labels = label_use(&mut data, &all, &train, test, brier(&truth, &said), spec.seed);

    let rules = SmallTree::grow(&data.rows, &all)?;
    let last = data.learn(&all, &[], spec.seed);
    let card = Card {
        format_version: 1,
        model: NAME.to_owned(),
        version: spec.until.compact(),
        predicts: "probability that a run, or a resource's hour, is slowed or killed by its limits or neighbours"
            .to_owned(),
        algorithm: "forests, boosted trees and logistic regression, blended and calibrated on later rows".to_owned(),
        created_at: spec.until,
        data_watermark: all.iter().filter_map(|&i| data.known_at[i as usize]).max().unwrap_or_default(),
        train_from: data.starts_at[all[0] as usize],
        train_until: data.starts_at[test[0] as usize],
        rows_train: train.len(),
        rows_test: test.len(),
        tables: spec.tables.clone(),
        features: data.rows.names.clone(),
        coverage: BTreeMap::new(),
        verdict,
        metrics,
        baselines,
        champion: Champion::default(),
        judged: Judged { profile: profile(&data.new_with_a_row(), &all), ..Judged::default() },
        labels,
        probability: Some(Probability {
            choice: held_out.choice,
            reliability: reliability(&truth, &said),
            causes: count(&causes, &said),
            trust: last.trust,
            rules: rules.rules(),
        }),
        seed: spec.seed,
    };
    let kept = Model { format_version: FORMAT_VERSION, trusted: last.trusted, everyone: last.everyone, rules };
    let model = serde_json::to_vec(&kept).map_err(|e| broken(&e))?;
    Ok(Trained { model, card, losses: Vec::new() })
}

/// How many labels came from people and from outcomes, and what they were worth: the held-out loss when trained with and without them.
fn label_use(data: &mut Data, all: &[u32], train: &[u32], test: &[u32], with: f64, seed: u64) -> LabelUse {
    let differs = |i: &u32| data.measured[*i as usize] != data.rows.label[*i as usize];
    let of = |from: &[bool]| {
        let judged = || all.iter().filter(|i| from[**i as usize]);
        (judged().count(), judged().filter(|i| differs(i)).count())
    };
    let (feedback, changed_by_feedback) = of(&data.from_feedback);
    let (outcomes, changed_by_outcomes) = of(&data.from_outcome);
    let said = |i: &u32| data.from_feedback[*i as usize] || data.from_outcome[*i as usize];
    let changed: Vec<u32> = train.iter().copied().filter(|i| said(i) && differs(i)).collect();
    let mut labels = LabelUse {
        measured: all.len() - feedback - outcomes,
        feedback,
        changed_by_feedback,
        outcomes,
        changed_by_outcomes,
        loss_with_and_without: None,
    };
    if changed.is_empty() {
        return labels;
    }
    // Judged by the corrected labels: they are what we hold to be true.
    let truth = data.rows.truth(test);
    let corrected = data.rows.label.clone();
    changed.iter().for_each(|&i| data.rows.label[i as usize] = data.measured[i as usize]);
    let possible = changed.iter().all(|&i| !data.rows.label[i as usize].is_nan());
    if possible && both_classes(&data.rows.truth(train), "training rows").is_ok() {
        let without = data.learn(train, test, seed);
        let said = say(&without.trusted, without.everyone.as_ref(), &data.rows, train, test);
        labels.loss_with_and_without = Some((with, brier(&truth, &said)));
    }
    data.rows.label = corrected;
    labels
}

/// Scores a kept model on the labelled rows that started after `after`, beside baselines learnt from what was known then.
///
/// # Errors
/// [`LearnError::TooLittleData`] below 10 later rows; a model that cannot be read; unreadable or incomplete files.
pub fn evaluate(model: &[u8], rows: &Path, spec: &TrainSpec, after: Timestamp) -> Result<Evaluation, LearnError> {
    let model = Model::read(model)?;
    let data = Data::read(rows, spec.until)?;
    let mut test = data.labelled(spec.since);
    test.retain(|&i| data.starts_at[i as usize] > after);
    LearnError::unless_enough("later rows with a known outcome", test.len(), 10)?;
    let train = data.known_before(&data.labelled(None), &test);
    LearnError::unless_enough("earlier rows with a known outcome", train.len(), 1)?;
    let said = say(&model.trusted, model.everyone.as_ref(), &data.rows, &train, &test);
    let truth = data.rows.truth(&test);
    Ok(Evaluation {
        metrics: probability_metrics(&truth, &said),
        baselines: data.baselines(&train, &test),
        rows: test.len(),
        reliability: reliability(&truth, &said),
        ..Evaluation::default()
    })
}

/// How many columns of the rows that began after `after` were compared with those of the training, and which moved.
///
/// # Errors
/// Unreadable or incomplete files.
pub fn drift(card: &Card, rows: &Path, spec: &TrainSpec, after: Timestamp) -> Result<(usize, Vec<Moved>), LearnError> {
    let data = Data::read(rows, spec.until)?;
    let mut later = data.labelled(spec.since);
    later.retain(|&i| data.starts_at[i as usize] > after);
    Ok(compare(&card.judged.profile, "", &data.new_with_a_row(), &later))
}

/// What is said of a piece of work whose outcome is not known yet.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// The resource, or the job.
    pub key: String,
    /// The piece of work.
    pub unit_id: String,
    /// That it will be held up.
    pub probability: f64,
    /// What will hold it up, if anything.
    pub cause: Cause,
}

/// What is said of every row whose outcome is not known by `until`, in order of start.
///
/// # Errors
/// A model that cannot be read; unreadable or incomplete files.
pub fn predict(model: &[u8], rows: &Path, until: Timestamp) -> Result<Vec<Prediction>, LearnError> {
    Ok(open(&Model::read(model)?, &Data::read(rows, until)?))
}

/// The same of runs that are expected too (`features.expected_contention`), as of `now`.
///
/// # Errors
/// As [`predict`].
pub fn expected(model: &[u8], rows: &Path, expected: &Path, now: Timestamp) -> Result<Vec<Prediction>, LearnError> {
    let frame = Frame::read(rows)?.with(&Frame::read(expected)?)?;
    Ok(open(&Model::read(model)?, &Data::of(&frame, now)?))
}

fn open(model: &Model, data: &Data) -> Vec<Prediction> {
    let known = data.labelled(None);
    let open = (0..data.rows.len()).filter(|&i| data.rows.label[i].is_nan()).map(|i| i as u32).collect::<Vec<_>>();
    let said = say(&model.trusted, model.everyone.as_ref(), &data.rows, &known, &open);
    let causes = model.trusted.causes(&data.rows, &known, &open);
    let one = |((&row, probability), cause)| {
        let (key, unit_id) = (data.keys[row as usize].clone(), data.unit_id[row as usize].clone());
        Prediction { key, unit_id, probability, cause }
    };
    open.iter().zip(said).zip(causes).map(one).collect()
}

/// What is said of one piece of work, and why.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explained {
    /// That it is held up.
    pub probability: f64,
    /// What holds it up, if anything.
    pub likely_cause: &'static str,
    /// The columns that moved it most first: name, value (none: missing), and by how much of a probability, about.
    pub moves: Vec<(String, Option<f32>, f64)>,
}

/// Explains what is said of one piece of work, from what was known when it began; none when it is not there.
///
/// # Errors
/// As [`predict`].
pub fn explain(
    model: &[u8],
    rows: &Path,
    expected: Option<&Path>,
    until: Timestamp,
    unit_id: &str,
) -> Result<Option<Explained>, LearnError> {
    let model = Model::read(model)?;
    let mut frame = Frame::read(rows)?;
    if let Some(expected) = expected {
        frame = frame.with(&Frame::read(expected)?)?;
    }
    let data = Data::of(&frame, until)?;
    let Some(row) = data.unit_id.iter().position(|id| id == unit_id).map(|row| row as u32) else { return Ok(None) };
    let known = data.labelled(None);
    let said = say(&model.trusted, model.everyone.as_ref(), &data.rows, &known, &[row]);
    let cause = model.trusted.causes(&data.rows, &known, &[row])[0];
    let moves = model.trusted.moves(&data.rows, &known, row);
    let moves = moves.into_iter().map(|(name, value, moved)| (name, Some(value).filter(|v| !v.is_nan()), moved));
    Ok(Some(Explained { probability: said[0], likely_cause: cause.name(), moves: moves.collect() }))
}

/// The small tree as indented text: its questions, and at the leaves the probability and the counts behind it.
///
/// # Errors
/// A model that cannot be read.
pub fn rules(model: &[u8]) -> Result<String, LearnError> {
    Ok(Model::read(model)?.rules.rules())
}

impl Model {
    fn read(bytes: &[u8]) -> Result<Self, LearnError> {
        // The version first: an older model is told apart from a broken one.
        #[derive(Deserialize)]
        struct Version {
            format_version: u32,
        }
        let version: Version = serde_json::from_slice(bytes).map_err(|e| broken(&e))?;
        if version.format_version != FORMAT_VERSION {
            let reason =
                format!("it has format version {}, this program reads {FORMAT_VERSION}", version.format_version);
            return Err(LearnError::Model { model: NAME, reason });
        }
        serde_json::from_slice(bytes).map_err(|e| broken(&e))
    }
}

fn broken(error: &serde_json::Error) -> LearnError {
    LearnError::Model { model: NAME, reason: error.to_string() }
}
