//! Whether a run, or a resource's next hour, will be slowed or killed by its limits or neighbours.
//!
//! The rows of `features.contention` through the core of [`crate::odds`], with how the same key fared before, from outcomes
//! known at the time and no later. Whose rows count how much is said in [`crate::trust`].

mod held_out;
#[cfg(test)]
mod tests;

use crate::LearnError;
use crate::card::{Evaluation, RowLoss, TrainSpec, Trained, verdict};
use crate::drift::{Features, compare, profile};
use crate::frame::{Frame, finite_or_missing};
use crate::interner::Interner;
use crate::kept::{self, Kept};
use crate::metrics::{brier_losses, probability_metrics};
use crate::model;
use crate::odds::{BASE_RATE, Found, Odds, Rates, Rows, SAME_AS_LAST, SMALL_TREE, Search, reliability, search};
use crate::own_table::{LIKELY, count};
use crate::tree::SmallTree;
use crate::trust::{BOUND, Origin, bounded, weights};
use domain::Timestamp;
use domain::columns::contention as col;
use domain::model::{Card, Judged};
use domain::probability::{Cause, Probability, Trust};
use held_out::{HeldOut, with_labels_that_help};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// The model, for training and scoring.
pub const MODEL: &dyn model::Model = &Contention;

/// The name of the model.
pub const NAME: &str = "contention";
const ROWS_NEEDED: usize = 50;
const TEST_NEEDED: usize = 10;

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

impl Kept for Model {
    const NAME: &'static str = NAME;
    const FORMAT: u32 = 5;

    fn check(&self) -> Result<(), String> {
        self.trusted.check()?;
        self.everyone.iter().try_for_each(Odds::check)?;
        self.rules.check(None)
    }
}

/// A model with whom it trusts.
struct Learnt {
    trusted: Odds,
    everyone: Option<Odds>,
    trust: Trust,
}

impl Learnt {
    fn say(&self, rows: &Rows, learnt: &[u32], asked: &[u32]) -> Vec<f64> {
        say(&self.trusted, self.everyone.as_ref(), rows, learnt, asked)
    }
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
            Ok(order.iter().map(|&i| finite_or_missing(values[i])).collect())
        };
        let columns = names.iter().map(column).collect::<Result<Vec<_>, _>>()?;
        let origin = |&i: &usize| Origin { contributor: contributor[i].clone(), stranger: stranger[i] == 1.0 };
        let origins: Vec<Origin> = order.iter().map(origin).collect();
        let keys: Vec<String> = order.iter().map(|&i| keys[i].clone().unwrap_or_default()).collect();
        let key = Interner::default().all(&keys);
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

    /// Whether people or outcomes say otherwise of a row than was measured.
    fn is_changed(&self, row: u32) -> bool {
        let row = row as usize;
        let said = self.from_feedback[row] || self.from_outcome[row];
        said && self.measured[row].to_bits() != self.rows.label[row].to_bits()
    }

    /// Puts what was measured back in the place of what people and outcomes say.
    fn use_measured(&mut self, rows: &[u32]) {
        for &row in rows {
            if self.is_changed(row) && !self.measured[row as usize].is_nan() {
                self.rows.label[row as usize] = self.measured[row as usize];
            }
        }
    }

    /// Those of `rows` whose outcome was known when the first of `later` started.
    fn known_before(&self, rows: &[u32], later: &[u32]) -> Vec<u32> {
        let border = later.first().map_or(Timestamp(i64::MAX), |&i| self.starts_at[i as usize]);
        rows.iter().copied().filter(|&i| self.known_at[i as usize].is_some_and(|known| known <= border)).collect()
    }

    /// Lets rows count as much as those who made them may, and tells trusted rows from all; none: all are trusted, or too few
    /// of them to learn from alone.
    fn weigh(&mut self, train: &[u32]) -> (Option<Vec<u32>>, Trust) {
        let origins: Vec<&Origin> = train.iter().map(|&row| &self.origins[row as usize]).collect();
        let (weights, mut trust) = weights(&origins);
        train.iter().zip(weights).for_each(|(&row, weight)| self.rows.weight[row as usize] = weight);
        let trusted: Vec<u32> = train.iter().copied().filter(|&row| !self.origins[row as usize].stranger).collect();
        let enough = trusted.len() >= ROWS_NEEDED / 2 && both_classes(&self.rows.truth(&trusted), "").is_ok();
        if trust.stranger_rows == 0 || !enough {
            return (None, trust);
        }
        trust.strangers_move_at_most = Some(BOUND);
        (Some(trusted), trust)
    }

    /// Looks for what is best on folds of the trusted rows of `train`; `test` are those to be judged.
    fn search(&mut self, train: &[u32], test: &[u32], seed: u64) -> Result<Search, LearnError> {
        let mut is_test = vec![false; self.rows.len()];
        test.iter().for_each(|&row| is_test[row as usize] = true);
        let (trusted, _) = self.weigh(train);
        search(&self.rows, trusted.as_deref().unwrap_or(train), &is_test, seed)
    }

    /// Learns what was found: from trusted rows, and from strangers' too where there are any.
    fn learn(&mut self, found: &Found, train: &[u32], seed: u64) -> Result<Learnt, LearnError> {
        let (trusted, trust) = self.weigh(train);
        let everyone = trusted.is_some().then(|| Odds::learn(found, &self.rows, train, seed)).transpose()?;
        let trusted = Odds::learn(found, &self.rows, trusted.as_deref().unwrap_or(train), seed)?;
        Ok(Learnt { trusted, everyone, trust })
    }

    /// The rows that judge: those of strangers do not, or one could choose what serves by sending many; unless nearly all are.
    fn judges(&self, rows: &[u32]) -> Vec<u32> {
        let trusted: Vec<u32> = rows.iter().copied().filter(|&row| !self.origins[row as usize].stranger).collect();
        if trusted.len() >= TEST_NEEDED { trusted } else { rows.to_vec() }
    }

    /// What the naive predictors say of `test` that know `train`.
    fn naive(&self, train: &[u32], test: &[u32]) -> BTreeMap<String, Vec<f64>> {
        let [last, ..] = self.rows.history(train);
        let of = |rates: Rates| test.iter().map(|&row| rates.probability(|| last[row as usize])).collect();
        let learn = |last: Option<&[f32]>| Rates::learn(last, train, &self.rows.label, &self.rows.weight);
        BTreeMap::from([(BASE_RATE.to_owned(), of(learn(None))), (SAME_AS_LAST.to_owned(), of(learn(Some(&last))))])
    }

    /// What was said of `test` beside what baselines said of it.
    fn evaluation(&self, test: &[u32], said: &[f64], baselines: BTreeMap<String, Vec<f64>>) -> Evaluation {
        let truth = self.rows.truth(test);
        let row = |(&row, loss): (&u32, f64)| -> RowLoss {
            (self.keys[row as usize].clone(), self.unit_id[row as usize].clone(), loss)
        };
        let of = |of: &dyn Fn(&[f64]) -> Vec<f64>| -> BTreeMap<String, Vec<f64>> {
            baselines.iter().map(|(name, said)| (name.clone(), of(said))).collect()
        };
        Evaluation {
            metrics: probability_metrics(&truth, said),
            baselines: baselines.iter().map(|(name, said)| (name.clone(), probability_metrics(&truth, said))).collect(),
            rows: test.len(),
            losses: test.iter().zip(brier_losses(&truth, said)).map(row).collect(),
            baseline_losses: of(&|said| brier_losses(&truth, said)),
            reliability: reliability(&truth, said),
            ..Evaluation::default()
        }
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

const PREDICTS: &str = "probability that a run, or a resource's hour, is slowed or killed by its limits or neighbours";

/// Learns from `features.contention`.
#[derive(Debug)]
struct Contention;

impl model::Model for Contention {
    fn name(&self) -> &'static str {
        NAME
    }

    fn view(&self) -> &'static str {
        "contention"
    }

    fn train(&self, path: &Path, spec: &TrainSpec) -> Result<Trained, LearnError> {
        let mut data = Data::read(path, spec.until)?;
        let all = data.labelled(spec.since);
        LearnError::unless_enough("rows with a known outcome", all.len(), ROWS_NEEDED)?;
        let (_, test) = all.split_at(all.len() * 4 / 5);
        let train = data.known_before(&all, test);
        let test = &data.judges(test)[..];
        LearnError::unless_enough("training rows", train.len(), ROWS_NEEDED / 2)?;
        both_classes(&data.rows.truth(&train), "training rows")?;

        let search = data.search(&train, test, spec.seed)?;
        let (contest, labels) = with_labels_that_help(&mut data, &search, &all, &train, test, spec.seed)?;
        let HeldOut { serving, learnt, said, .. } = &contest;
        let mut baselines = data.naive(&train, test);
        let tree = SmallTree::grow(&data.rows, &train)?;
        baselines.insert(SMALL_TREE.to_owned(), tree.say(&data.rows, &train, test));
        let evaluation = data.evaluation(test, said, baselines).finite();
        let likely: Vec<u32> = test.iter().zip(said).filter(|(_, p)| **p >= LIKELY).map(|(row, _)| *row).collect();
        let causes = learnt.trusted.causes(&data.rows, &train, &likely);
        let serves = contest.serves(&search);

        // What was held out is learnt from too, and so is what people said of it, or not, as before.
        if !labels.used {
            data.use_measured(&all);
        }
        let rules = SmallTree::grow(&data.rows, &all)?;
        let last = data.learn(&search.finalists[*serving], &all, spec.seed)?;
        let card = Card {
            algorithm: if serves.baseline {
                search.finalists[*serving].described()
            } else {
                "forests, boosted trees and logistic regression, blended and calibrated on later rows".to_owned()
            },
            data_watermark: all.iter().filter_map(|&i| data.known_at[i as usize]).max().unwrap_or_default(),
            train_from: data.starts_at[all[0] as usize],
            train_until: data.starts_at[test[0] as usize],
            rows_train: train.len(),
            rows_test: test.len(),
            features: data.rows.names.clone(),
            verdict: verdict("brier", &evaluation, spec.seed),
            judged: Judged {
                profile: profile(&data.new_with_a_row(), &all),
                serves: vec![serves],
                ..Judged::default()
            },
            labels,
            probability: Some(Probability {
                choice: search.choice.clone(),
                reliability: evaluation.reliability,
                causes: count(&causes),
                trust: last.trust,
                rules: rules.rules(),
            }),
            metrics: evaluation.metrics,
            baselines: evaluation.baselines,
            ..spec.card(NAME, PREDICTS)
        };
        let model = Model { format_version: Model::FORMAT, trusted: last.trusted, everyone: last.everyone, rules };
        Ok(Trained { model: kept::write(&model)?, card, losses: evaluation.losses })
    }

    fn evaluate(
        &self,
        model: &[u8],
        rows: &Path,
        spec: &TrainSpec,
        after: Timestamp,
    ) -> Result<Evaluation, LearnError> {
        let model = kept::read::<Model>(model)?;
        let data = Data::read(rows, spec.until)?;
        let mut test = data.labelled(spec.since);
        test.retain(|&i| data.starts_at[i as usize] > after);
        LearnError::unless_enough("later rows with a known outcome", test.len(), TEST_NEEDED)?;
        test = data.judges(&test);
        let train = data.known_before(&data.labelled(None), &test);
        LearnError::unless_enough("earlier rows with a known outcome", train.len(), 1)?;
        let said = say(&model.trusted, model.everyone.as_ref(), &data.rows, &train, &test);
        Ok(data.evaluation(&test, &said, data.naive(&train, &test)))
    }

    fn drift(&self, card: &Card, rows: &Path, spec: &TrainSpec, after: Timestamp) -> model::Drift {
        let data = Data::read(rows, spec.until)?;
        let mut later = data.labelled(spec.since);
        later.retain(|&i| data.starts_at[i as usize] > after);
        Ok(compare(&card.judged.profile, "", &data.new_with_a_row(), &later))
    }
}

/// What is said of a piece of work whose outcome is not known yet.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// The resource, or the job.
    pub key: String,
    /// The piece of work.
    pub unit_id: String,
    /// Probability that it will be contended.
    pub probability: f64,
    /// Likely cause of contention, if any.
    pub cause: Cause,
}

/// What is said of every row whose outcome is not known by `until`, in order of start.
///
/// # Errors
/// A model that cannot be read; unreadable or incomplete files.
pub fn predict(model: &[u8], rows: &Path, until: Timestamp) -> Result<Vec<Prediction>, LearnError> {
    Ok(open(&kept::read::<Model>(model)?, &Data::read(rows, until)?))
}

/// The same of runs that are expected too (`features.expected_contention`), as of `now`.
///
/// # Errors
/// As [`predict`].
pub fn expected(model: &[u8], rows: &Path, expected: &Path, now: Timestamp) -> Result<Vec<Prediction>, LearnError> {
    let frame = Frame::read(rows)?.and(Some(expected))?;
    Ok(open(&kept::read::<Model>(model)?, &Data::of(&frame, now)?))
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
    /// Probability that it is contended.
    pub probability: f64,
    /// Likely cause of contention, if any.
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
    let model = kept::read::<Model>(model)?;
    let data = Data::of(&Frame::read(rows)?.and(expected)?, until)?;
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
    Ok(kept::read::<Model>(model)?.rules.rules())
}
