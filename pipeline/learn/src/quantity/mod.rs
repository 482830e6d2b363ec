//! What a run takes, before it starts: p50, p90 and p99 of its seconds, its CPU or its memory, by one way for all three.
//!
//! Trains and predicts the models of build times and demand ([`crate::build_time`], [`crate::demand`] name their quantities).
//!
//! Everything is relative to what the job took lately, on a log scale, so that one model serves jobs of seconds and of
//! hours and has only to say what differs this time. Candidates compete on earlier time; the winner's upper levels are
//! held at their stated coverage by what finished runs showed since (see [`track`]).

mod candidates;
mod coverage;
mod data;
mod explain;
mod linear;
mod model;
mod split;
mod together;
mod track;

use crate::LearnError;
use crate::card::{Evaluation, TrainSpec, Trained, verdict};
use crate::choose::{clusters, standard_error};
use crate::drift;
use crate::kept::{self, Kept};
use crate::metrics::mean;
use crate::model::{Drift, Held};
use candidates::{Choice, compete, naive};
use data::Data;
use domain::Timestamp;
use domain::columns::runs as col;
use domain::drift::Profile;
use domain::model::{Card, Judged, LabelUse, Serves};
pub use explain::{Explained, Move, RunKey, Similar};
use model::{Model, Told};
use serde::{Deserialize, Serialize};
use split::{Fold, Split};
use std::collections::BTreeMap;
use std::path::Path;
use together::{named, profiled, serves, together};
use track::Margin;

/// Fewest runs to learn from, and to judge by.
const RUNS_NEEDED: usize = 50;
const TEST_NEEDED: usize = 10;
/// The levels that are predicted.
const LEVELS: [f64; 3] = [0.5, 0.9, 0.99];

/// Something that is measured of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quantity {
    /// From start to end, seconds.
    Duration,
    /// CPU time, seconds.
    Cpu,
    /// Peak memory, MiB.
    Memory,
}

impl Quantity {
    /// Where `features.runs` has it.
    pub(crate) fn column(self) -> &'static str {
        match self {
            Self::Duration => col::DURATION_MS,
            Self::Cpu => col::CPU_MS,
            Self::Memory => col::MEMORY_PEAK_BYTES,
        }
    }

    /// What the column counts, in one of [`Quantity::unit`].
    pub(crate) fn per_unit(self) -> f64 {
        match self {
            Self::Duration | Self::Cpu => 1000.0,
            Self::Memory => (1 << 20) as f64,
        }
    }

    /// The end of its figures' names.
    pub(crate) fn unit(self) -> &'static str {
        match self {
            Self::Duration | Self::Cpu => "s",
            Self::Memory => "mib",
        }
    }
}

/// A model of one or more quantities.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) name: &'static str,
    pub(crate) predicts: &'static str,
    /// With what their figures' names begin.
    pub(crate) quantities: &'static [(&'static str, Quantity)],
}

/// What one run is expected to take.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// The run.
    pub run_id: String,
    /// Half of such runs take at most this.
    pub p50: f64,
    /// Nine in ten take at most this.
    pub p90: f64,
    /// Ninety-nine in a hundred take at most this.
    pub p99: f64,
    /// Median of the job's last five, else of its repository's or language's last; none where nothing has finished.
    pub usual: Option<f64>,
    /// Runs of the job that had ended.
    pub job_runs: usize,
}

/// A task's model as it is kept.
#[derive(Serialize, Deserialize)]
struct Models {
    format_version: u32,
    features: Vec<String>,
    models: BTreeMap<Quantity, Model>,
}

impl Kept for Models {
    // One format for all tasks; which one it is says the folder.
    const NAME: &'static str = "of runs";
    const FORMAT: u32 = 6;

    fn check(&self) -> Result<(), String> {
        if self.features != data::feature_names() {
            return Err("was trained on other features than this version makes; train again".to_owned());
        }
        self.models.values().try_for_each(|model| model.check(&LEVELS, self.features.len()))
    }
}

/// One quantity, learnt and judged.
struct Learnt {
    model: Model,
    data_watermark: Timestamp,
    train_from: Timestamp,
    train_until: Timestamp,
    rows_train: usize,
    measured: usize,
    evaluation: Evaluation,
    judged: Judged,
}

impl crate::model::Model for Task {
    fn name(&self) -> &'static str {
        self.name
    }

    fn view(&self) -> &'static str {
        "runs"
    }

    fn train(&self, runs: &Path, spec: &TrainSpec) -> Result<Trained, LearnError> {
        let mut models = BTreeMap::new();
        let mut learnt = self.each(|quantity| {
            let mut one = train_one(runs, spec, quantity)?;
            models.insert(quantity, std::mem::take(&mut one.model));
            Ok(Some(one))
        })?;
        let evaluation =
            together(learnt.iter_mut().map(|(prefix, one)| (*prefix, std::mem::take(&mut one.evaluation)))).finite();
        let judged = Judged {
            candidates: learnt.iter_mut().flat_map(|(prefix, one)| named(prefix, one)).collect(),
            coverage: evaluation.coverage.clone(),
            gate: evaluation.gate.clone(),
            serves: learnt.iter_mut().flat_map(|(prefix, one)| serves(prefix, one)).collect(),
            profile: Profile {
                rows: learnt.iter().map(|(_, one)| one.judged.profile.rows).min().unwrap_or_default(),
                features: learnt.iter_mut().flat_map(|(prefix, one)| profiled(prefix, one)).collect(),
            },
        };
        let all = |of: &dyn Fn(&Learnt) -> Timestamp| learnt.iter().map(|(_, one)| of(one)).collect::<Vec<_>>();
        let chosen = judged.serves.iter().map(|serves| serves.name.clone()).collect::<Vec<_>>();
        let card = Card {
            algorithm: format!(
                "{} relative to the median of the job's last 5 runs, log scale; upper levels shifted per repository by \
                 what finished runs show",
                chosen.join(", ")
            ),
            data_watermark: all(&|one| one.data_watermark).into_iter().max().unwrap_or_default(),
            train_from: all(&|one| one.train_from).into_iter().min().unwrap_or_default(),
            train_until: all(&|one| one.train_until).into_iter().max().unwrap_or_default(),
            rows_train: learnt.iter().map(|(_, one)| one.rows_train).max().unwrap_or_default(),
            rows_test: evaluation.rows,
            features: data::feature_names(),
            coverage: coverage::overall(&evaluation.coverage),
            verdict: verdict("loss_log", &evaluation, spec.seed),
            metrics: evaluation.metrics,
            baselines: evaluation.baselines,
            labels: LabelUse { measured: learnt.iter().map(|(_, one)| one.measured).sum(), ..LabelUse::default() },
            judged,
            ..spec.card(self.name, self.predicts)
        };
        let models = Models { format_version: Models::FORMAT, features: data::feature_names(), models };
        let model = kept::write(&models).map_err(|error| self.named(error))?;
        Ok(Trained { model, card, losses: evaluation.losses })
    }

    fn evaluate(
        &self,
        model: &[u8],
        runs: &Path,
        spec: &TrainSpec,
        after: Timestamp,
    ) -> Result<Evaluation, LearnError> {
        let kept = self.kept(model)?;
        let score = |quantity| {
            let model = kept.models.get(&quantity);
            model.map(|model| evaluate_one(model, runs, spec, quantity, after)).transpose()
        };
        Ok(together(self.each(score)?.into_iter()))
    }

    fn drift(&self, card: &Card, runs: &Path, spec: &TrainSpec, after: Timestamp) -> Drift {
        let mut all = (0, Vec::new());
        for (prefix, quantity) in self.quantities {
            let data = Data::read(runs, spec.until, *quantity)?;
            let from = spec.since.unwrap_or_default();
            let later =
                |row: &u32| data.runs.started[*row as usize] > after && data.runs.started[*row as usize] >= from;
            let rows: Vec<u32> = (0..data.runs.len() as u32).filter(later).collect();
            let (compared, moved) = drift::compare(&card.judged.profile, prefix, &data.new_with_a_run(), &rows);
            all.0 += compared;
            all.1.extend(moved);
        }
        all.1.sort_by(|a, b| b.psi.total_cmp(&a.psi));
        Ok(all)
    }

    fn holdout(&self, runs: &Path, spec: &TrainSpec, test_share: f64) -> Held {
        let held = self.each(|quantity| holdout_one(runs, spec, quantity, test_share).map(Some))?;
        let rows_train = held.iter().map(|(_, (_, rows))| *rows).max().unwrap_or_default();
        Ok((together(held.into_iter().map(|(prefix, (one, _))| (prefix, one))), rows_train))
    }
}

impl Task {
    /// What is made of each quantity, with its prefix. One that is not measured does not keep the others from it.
    fn each<T>(
        &self,
        mut make: impl FnMut(Quantity) -> Result<Option<T>, LearnError>,
    ) -> Result<Vec<(&'static str, T)>, LearnError> {
        let (mut made, mut lacking) = (Vec::new(), None);
        for (prefix, quantity) in self.quantities {
            match make(*quantity) {
                Ok(one) => made.extend(one.map(|one| (*prefix, one))),
                Err(error @ LearnError::TooLittleData(_)) => lacking = lacking.or(Some(error)),
                Err(error) => return Err(error),
            }
        }
        match lacking {
            Some(error) if made.is_empty() => Err(error),
            _ => Ok(made),
        }
    }

    /// What a kept model says of each run that started after `after`, from what was known when it started; with `expected`,
    /// of each of those too: none of them has begun, and none tells of another.
    ///
    /// # Errors
    /// A model that cannot be read; unreadable or incomplete files.
    pub(crate) fn predict(
        &self,
        model: &[u8],
        runs: &Path,
        expected: Option<&Path>,
        quantity: Quantity,
        until: Timestamp,
        after: Timestamp,
    ) -> Result<Vec<Prediction>, LearnError> {
        let kept = self.kept(model)?;
        let Some(model) = kept.models.get(&quantity) else { return Ok(Vec::new()) };
        let data = Data::read_with(runs, expected, until, quantity)?;
        let (rows, told) = model.later(&data, after);
        let one = |(k, &row): (usize, &u32)| {
            let level = |at: usize| told.levels[at][k].exp_m1();
            let past = &data.past[row as usize];
            Prediction {
                run_id: data.runs.run_id[row as usize].clone(),
                p50: level(0),
                p90: level(1),
                p99: level(2),
                usual: Some(past.base).filter(|base| !base.is_nan()).map(f64::exp_m1),
                job_runs: past.finished,
            }
        };
        Ok(rows.iter().enumerate().map(one).collect())
    }

    fn kept(&self, model: &[u8]) -> Result<Models, LearnError> {
        kept::read(model).map_err(|error| self.named(error))
    }

    /// The same error of this task's model.
    fn named(&self, error: LearnError) -> LearnError {
        match error {
            LearnError::Model { reason, .. } => LearnError::Model { model: self.name, reason },
            LearnError::NotKept { reason, .. } => LearnError::NotKept { model: self.name, reason },
            LearnError::Newer { found, known, .. } => {
                LearnError::Newer { what: format!("model {}", self.name), found, known }
            }
            other => other,
        }
    }
}

fn train_one(runs: &Path, spec: &TrainSpec, quantity: Quantity) -> Result<Learnt, LearnError> {
    let data = Data::read(runs, spec.until, quantity)?;
    let rows = data.usable(spec)?;
    let split = Split::by_time(&data, &rows)?;
    let folds = Fold::rolling(&data, &rows, split.test[0]);
    let fields = folds.iter().map(|fold| Ok((fold, compete(&data, &fold.train, &fold.test, spec.seed)?.0)));
    let fields = fields.collect::<Result<Vec<_>, LearnError>>()?;
    let (choice, margin, serves, evaluation) = held_out(&data, &split, candidates::best(&data, &fields), spec.seed)?;
    let candidates = candidates::described(&data, choice, &fields);
    let mut model = Model::learn(&data, &split.train(), &split.test, &LEVELS, choice, None, spec.seed)?;
    let unseen = choice.unseen(&rows, &split.test);
    model.shift(&data, unseen, margin);
    model.settle(&data, unseen);
    Ok(Learnt {
        model,
        data_watermark: rows.iter().map(|&row| data.runs.ended[row as usize]).max().unwrap_or_default(),
        train_from: data.runs.started[rows[0] as usize],
        train_until: data.runs.started[split.test[0] as usize],
        rows_train: split.train().len(),
        measured: rows.len(),
        evaluation,
        judged: Judged {
            candidates,
            serves: vec![serves],
            profile: drift::profile(&data.new_with_a_run(), &rows),
            ..Judged::default()
        },
    })
}

/// Who serves: the one that the folds chose, unless another, kept at its levels in the same way, is better on the held-out
/// time.
fn held_out(
    data: &Data,
    split: &Split,
    chosen: Choice,
    seed: u64,
) -> Result<(Choice, Margin, Serves, Evaluation), LearnError> {
    let ours = Tried::of(data, split, chosen, seed)?;
    let chosen_loss = ours.loss;
    let mut best = ours;
    for choice in Choice::all().filter(|choice| *choice != chosen) {
        let one = Tried::of(data, split, choice, seed)?;
        // What is not a number is never the better one.
        if one.loss < best.loss || best.loss.is_nan() {
            best = one;
        }
    }
    let Tried { choice, margin, model, loss } = best;
    let (name, steady) = (choice.name(), if margin == Margin::Steady { ", with a steady margin" } else { "" });
    let why = if choice == chosen {
        format!("{name}: best of all candidates, on earlier folds and on held-out time (loss_log {loss:.4}{steady})")
    } else {
        let chosen = chosen.name();
        format!(
            "{name}: best of all candidates on held-out time (loss_log {loss:.4}{steady}, {chosen} {chosen_loss:.4})"
        )
    };
    let serves = Serves { name: name.to_owned(), baseline: matches!(choice, Choice::Naive(_)), why };
    Ok((choice, margin, serves, judged(data, choice, &model, split)))
}

/// A candidate on held-out time.
struct Tried {
    choice: Choice,
    margin: Margin,
    model: Model,
    loss: f64,
}

impl Tried {
    /// Learns it from the training rows. A steady margin follows no drift: it serves only where its loss is lower by more than two
    /// standard errors, and its p90 and p99 hold, unless those of the other do not either.
    fn of(data: &Data, split: &Split, choice: Choice, seed: u64) -> Result<Self, LearnError> {
        let mut model = Model::learn(data, &split.fit, &split.calibrate, &LEVELS, choice, None, seed)?;
        let told = split.told(data, choice, &model);
        let (following, holds) = (told.losses(data, &split.test), coverage::holds(data, &told, &split.test));
        let train = split.train();
        let unseen = choice.unseen(&train, &split.calibrate);
        let shifts = model.shift(data, unseen, Margin::Steady);
        let told = split.told(data, choice, &model);
        let steady = told.losses(data, &split.test);
        let clusters = clusters(split.test.iter().map(|&row| data.repo_name(row)));
        let [loss, of_steady] = [&following, &steady].map(|losses| mean(losses.iter().copied()));
        let better = of_steady - loss < -2.0 * standard_error(&steady, &following, &clusters);
        if better && (coverage::holds(data, &told, &split.test) || !holds) {
            return Ok(Self { choice, margin: Margin::Steady, model, loss: of_steady });
        }
        model.shifts = shifts;
        Ok(Self { choice, margin: Margin::Following, model, loss })
    }
}

fn holdout_one(
    runs: &Path,
    spec: &TrainSpec,
    quantity: Quantity,
    test_share: f64,
) -> Result<(Evaluation, usize), LearnError> {
    let data = Data::read(runs, spec.until, quantity)?;
    let split = Split::by_repo(&data, &data.usable(spec)?, test_share)?;
    let folds = Fold::by_repo(&data, &split);
    let (mut fields, mut upper) = (Vec::new(), None);
    for fold in &folds {
        let (field, forest) = compete(&data, &fold.train, &fold.test, spec.seed)?;
        fields.push((fold, field));
        upper = Some(forest).filter(|_| fold.train == split.fit);
    }
    let choice = candidates::best(&data, &fields);
    let model = Model::learn(&data, &split.fit, &split.calibrate, &LEVELS[..2], choice, upper, spec.seed)?;
    Ok((judged(&data, choice, &model, &split), split.train().len()))
}

/// A model that has learnt from the training part, on the test part.
fn judged(data: &Data, choice: Choice, model: &Model, split: &Split) -> Evaluation {
    evaluation(data, &split.told(data, choice, model), &split.test, &split.train())
}

fn evaluate_one(
    model: &Model,
    runs: &Path,
    spec: &TrainSpec,
    quantity: Quantity,
    after: Timestamp,
) -> Result<Evaluation, LearnError> {
    let data = Data::read(runs, spec.until, quantity)?;
    let from = spec.since.unwrap_or_default();
    let (rows, told) = model.later(&data, after);
    let wanted = |at: &usize| data.runs.started[rows[*at] as usize] >= from;
    let at: Vec<usize> = (0..rows.len()).filter(wanted).collect();
    LearnError::unless_enough("later runs", at.len(), TEST_NEEDED)?;
    let test: Vec<u32> = at.iter().map(|&at| rows[at]).collect();
    let told = Told { levels: told.levels.iter().map(|l| at.iter().map(|&at| l[at]).collect()).collect() };
    let train: Vec<u32> = (0..data.runs.len() as u32).filter(|&row| data.runs.ended[row as usize] <= after).collect();
    LearnError::unless_enough("earlier runs", train.len(), 1)?;
    Ok(evaluation(&data, &told, &test, &train))
}

/// What was told of `test` beside what the naive predictors say that know `train`.
fn evaluation(data: &Data, told: &Told, test: &[u32], train: &[u32]) -> Evaluation {
    let coverage = coverage::measure(data, told, test);
    let gate = coverage::gate(&coverage);
    let losses = told.losses(data, test);
    let key = |row: u32| format!("{} {}", data.runs.started[row as usize].0, data.runs.run_id[row as usize]);
    let (mut baselines, mut baseline_losses) = (BTreeMap::new(), BTreeMap::new());
    for naive in naive(data, train, test) {
        baselines.insert(naive.choice.name().to_owned(), naive.metrics);
        baseline_losses.insert(naive.choice.name().to_owned(), naive.losses);
    }
    Evaluation {
        reliability: Vec::new(),
        metrics: told.metrics(data, test),
        baselines,
        baseline_losses,
        rows: test.len(),
        losses: test.iter().zip(losses).map(|(&row, loss)| (data.repo_name(row).to_owned(), key(row), loss)).collect(),
        coverage,
        gate,
    }
}

#[cfg(test)]
mod tests;
