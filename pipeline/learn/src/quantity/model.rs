//! One quantity's model: a predictor of the levels, and the shifts that keep them.

use super::candidates::{Choice, Naive};
use super::data::Data;
use super::linear::Linear;
use super::track::{Margin, Shifts};
use crate::LearnError;
use crate::boost::{Columns, Forest, Knobs};
use crate::kept;
use crate::metrics::{level_losses, level_metrics, quantile};
use domain::Timestamp;
use domain::model::Metrics;
use serde::{Deserialize, Serialize};

/// Says the levels of a run, log scale.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Predictor {
    /// One centre for all levels; the shifts do the rest.
    Naive(Naive),
    Linear(Linear),
    /// A forest per level.
    Boosted(Vec<Forest>),
}

/// The model as it is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Model {
    levels: Vec<f64>,
    /// What a run is relative to when nothing had finished before it.
    global: f64,
    /// What started later, the model has not seen.
    watermark: Timestamp,
    predictor: Predictor,
    pub(super) shifts: Shifts,
}

impl Default for Model {
    fn default() -> Self {
        let predictor = Predictor::Boosted(Vec::new());
        Self { levels: Vec::new(), global: 0.0, watermark: Timestamp::default(), predictor, shifts: Shifts::default() }
    }
}

/// What is said of some rows: per level one value a row, log1p, ascending from level to level.
pub(super) struct Told {
    pub(super) levels: Vec<Vec<f64>>,
}

impl Told {
    /// Orders the levels: an upper one is never below a lower.
    fn ordered(mut levels: Vec<Vec<f64>>) -> Self {
        let mut floor = vec![0.0_f64; levels.first().map_or(0, Vec::len)];
        for level in &mut levels {
            for (value, floor) in level.iter_mut().zip(&mut floor) {
                *value = value.max(*floor);
                *floor = *value;
            }
        }
        Self { levels }
    }

    pub(super) fn metrics(&self, data: &Data, rows: &[u32]) -> Metrics {
        level_metrics(&truths(data, rows), &self.levels, data.quantity.unit())
    }

    /// Of each row the mean pinball loss of p50 and p90, log scale.
    pub(super) fn losses(&self, data: &Data, rows: &[u32]) -> Vec<f64> {
        level_losses(&truths(data, rows), &self.levels)
    }
}

pub(super) fn truths(data: &Data, rows: &[u32]) -> Vec<f64> {
    rows.iter().map(|&row| data.truth(row)).collect()
}

/// How a forest grows for a level, fitted to the number of rows and to how large errors are. Chosen on Travis builds, on
/// the last fifth of the training part of each project: 63 leaves beat 31 and 127 for the median, 31 the others for p90;
/// leaves of 100 rows counted half beat 0, 20, 60 and 200 overall; half of the rows and columns cost no accuracy.
fn knobs(level: f64, targets: &[f64], start: f64) -> Knobs {
    let rows = targets.len();
    let leaf_rows = (rows / 500).clamp(5, 40);
    let error = quantile(targets.iter().map(|t| (t - start).abs()), 0.5);
    let usual = Knobs {
        trees: 200,
        leaves: 63,
        leaf_rows,
        rate: 0.1,
        half_rows: 2.5 * leaf_rows as f64,
        rows: 0.5,
        columns: 0.5,
        smooth: error.clamp(0.01, 1.0),
    };
    match level {
        l if l <= 0.5 => usual,
        l if l <= 0.9 => Knobs { leaves: 31, ..usual },
        // One row in a hundred lies above: a leaf must hold enough of them.
        _ => Knobs { trees: 100, leaves: 15, leaf_rows: 5 * leaf_rows, ..usual },
    }
}

/// Fits a forest per level on the rows given and their copies.
pub(super) fn forests(data: &Data, rows: &[u32], levels: &[f64], global: f64, seed: u64) -> Vec<Forest> {
    let rows = data.with_copies(rows);
    let targets = data.targets(&rows, global);
    let columns = Columns::of(&data.table, &rows);
    let middle = quantile(targets.iter().copied(), 0.5);
    let fit = |level: &f64| Forest::fit(&columns, &targets, *level, &knobs(*level, &targets, middle), seed);
    match levels {
        // Two at once keep two cores busier than one after the other, whose small leaves leave one idle.
        [a, b] => <[Forest; 2]>::from(rayon::join(|| fit(a), || fit(b))).into(),
        _ => levels.iter().map(fit).collect(),
    }
}

/// What forests say of rows: the base and the difference from it.
pub(super) fn said(data: &Data, forest: &Forest, rows: &[u32], global: f64) -> Vec<f64> {
    let differences = forest.predict(&data.table, rows);
    rows.iter().zip(differences).map(|(&row, difference)| data.base(row, global) + difference).collect()
}

impl Model {
    /// Fits the centre on all rows given. The upper levels are fitted on the earlier ones alone and shifted by what they
    /// lack on the later ones (split conformal): fitted once more on all, they would be others than those measured.
    /// `upper`: the forest of p90 on the earlier rows, if it was fitted already.
    pub(super) fn learn(
        data: &Data,
        earlier: &[u32],
        later: &[u32],
        levels: &[f64],
        choice: Choice,
        upper: Option<Forest>,
        seed: u64,
    ) -> Result<Self, LearnError> {
        let mut all = [earlier, later].concat();
        all.sort_unstable();
        let global = data.global(earlier);
        let predictor = match choice {
            Choice::Naive(which) => Predictor::Naive(Naive::learn(data, &all, which)),
            Choice::Linear => Predictor::Linear(Linear::fit(data, &all, global)?),
            Choice::Boosted => {
                let rest = if upper.is_some() { &levels[2..] } else { &levels[1..] };
                let centre = || forests(data, &all, &levels[..1], global, seed);
                let (mut forests, uppers) = rayon::join(centre, || forests(data, earlier, rest, global, seed));
                forests.extend(upper.into_iter().chain(uppers));
                Predictor::Boosted(forests)
            }
        };
        let watermark = all.iter().map(|&row| data.runs.started[row as usize]).max().unwrap_or_default();
        let mut model = Self { levels: levels.to_vec(), global, watermark, predictor, shifts: Shifts::default() };
        model.shift(data, choice.unseen(&all, later), Margin::default());
        Ok(model)
    }

    /// Starts the shifts anew, from runs that the levels were not fitted on. Gives those that it had.
    pub(super) fn shift(&mut self, data: &Data, unseen: &[u32], margin: Margin) -> Shifts {
        let new = Shifts::learn(data, unseen, &self.levels, &self.raw(data, unseen), margin);
        std::mem::replace(&mut self.shifts, new)
    }

    /// Says what is wrong with a model that is to say `levels` from so many features.
    pub(super) fn check(&self, levels: &[f64], features: usize) -> Result<(), String> {
        if self.levels != levels {
            return Err(format!("it says {:?} and not {levels:?}", self.levels));
        }
        kept::finite("the level of a newcomer", std::iter::once(self.global))?;
        self.shifts.check(levels)?;
        match &self.predictor {
            Predictor::Naive(naive) => naive.check(),
            Predictor::Linear(line) => line.check(features),
            Predictor::Boosted(forests) if forests.len() != levels.len() => {
                Err(format!("{} forests for {} levels", forests.len(), levels.len()))
            }
            Predictor::Boosted(forests) => forests.iter().try_for_each(|forest| forest.check(features)),
        }
    }

    /// Per level, before any shift.
    fn raw(&self, data: &Data, rows: &[u32]) -> Vec<Vec<f64>> {
        let centre = match &self.predictor {
            Predictor::Boosted(forests) => return forests.iter().map(|f| said(data, f, rows, self.global)).collect(),
            Predictor::Naive(naive) => rows.iter().map(|&row| naive.centre(data, row)).collect(),
            Predictor::Linear(linear) => linear.predict(data, rows, self.global),
        };
        vec![centre; self.levels.len()]
    }

    /// Lets the shifts learn from rows that the levels were not fitted on, in order of start.
    pub(super) fn settle(&mut self, data: &Data, rows: &[u32]) {
        let mut told = self.raw(data, rows);
        self.shifts.apply(data, rows, &self.levels, &mut told);
    }

    /// Says the `test` rows, the shifts having learnt from the `before` rows and from all of both as they end.
    pub(super) fn told(&self, data: &Data, before: &[u32], test: &[u32]) -> Told {
        let mut rows = [before, test].concat();
        rows.sort_unstable();
        let mut told = self.raw(data, &rows);
        self.shifts.clone().apply(data, &rows, &self.levels, &mut told);
        let wanted: Vec<usize> = (0..rows.len()).filter(|&at| test.binary_search(&rows[at]).is_ok()).collect();
        Told::ordered(told.iter().map(|level| wanted.iter().map(|&at| level[at]).collect()).collect())
    }

    /// What is said of one row, and whether the model has learnt from it: then it is no prediction.
    pub(super) fn of_one(&self, data: &Data, row: u32) -> (Told, bool) {
        let started = data.runs.started[row as usize];
        if started <= self.watermark {
            return (self.told(data, &[], &[row]), true);
        }
        let (rows, told) = self.later(data, started.plus(-1));
        let at = rows.binary_search(&row).expect("it started later than the watermark");
        (Told { levels: told.levels.into_iter().map(|level| vec![level[at]]).collect() }, false)
    }

    /// Per level, how far each feature moved what is said of a row from the mean over others, log scale; nothing of a naive
    /// predictor, which looks at no feature.
    pub(super) fn moves(&self, data: &Data, row: u32, others: &[u32]) -> Vec<Vec<f64>> {
        match &self.predictor {
            Predictor::Naive(_) => Vec::new(),
            Predictor::Linear(linear) => vec![linear.moves(data, row); self.levels.len()],
            Predictor::Boosted(forests) => {
                forests.iter().map(|forest| forest.explain(&data.table, row, others).1).collect()
            }
        }
    }

    /// The rows that started after `after`, and what is said of them; the shifts learn from all that the model has not seen.
    pub(super) fn later(&self, data: &Data, after: Timestamp) -> (Vec<u32>, Told) {
        let started = |row: &u32| data.runs.started[*row as usize];
        let unseen: Vec<u32> = (0..data.runs.len() as u32).filter(|row| started(row) > self.watermark).collect();
        let (before, test): (Vec<u32>, Vec<u32>) = unseen.into_iter().partition(|row| started(row) <= after);
        let told = self.told(data, &before, &test);
        (test, told)
    }
}
