//! Predictors that compete: four naive ones, a line, and boosted trees.

use super::data::Data;
use super::linear::Linear;
use super::model::{forests, said, truths};
use super::split::Fold;
use crate::LearnError;
use crate::boost::Forest;
use crate::metrics::{level_metrics, quantile};
use domain::model::{Candidate, Metrics};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A predictor without features.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Which {
    /// The job's last finished run.
    LastRun,
    /// The median of its last 5.
    RollingMedian5,
    /// The median of its last 20.
    RollingMedian20,
    /// The median of its training rows.
    JobMedian,
}

impl Which {
    const ALL: [Self; 4] = [Self::LastRun, Self::RollingMedian5, Self::RollingMedian20, Self::JobMedian];

    fn name(self) -> &'static str {
        match self {
            Self::LastRun => "last_run",
            Self::RollingMedian5 => "rolling_median_5",
            Self::RollingMedian20 => "rolling_median_20",
            Self::JobMedian => "job_median",
        }
    }
}

/// A naive predictor that has learnt what it says where there is no history.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Naive {
    which: Which,
    jobs: BTreeMap<String, f64>,
    global: f64,
}

impl Naive {
    pub(super) fn learn(data: &Data, rows: &[u32], which: Which) -> Self {
        let mut jobs: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        for &row in rows {
            jobs.entry(job(data, row)).or_default().push(data.truth(row));
        }
        let jobs = jobs.into_iter().map(|(name, values)| (name.to_owned(), quantile(values, 0.5))).collect();
        Self { which, jobs, global: data.global(rows) }
    }

    pub(super) fn centre(&self, data: &Data, row: u32) -> f64 {
        let past = &data.past[row as usize];
        let recent = match self.which {
            Which::LastRun => past.last,
            Which::RollingMedian5 => past.median5,
            Which::RollingMedian20 => past.median20,
            Which::JobMedian => f64::NAN,
        };
        if recent.is_nan() { self.jobs.get(job(data, row)).copied().unwrap_or(self.global) } else { recent }
    }
}

fn job(data: &Data, row: u32) -> &str {
    &data.runs.job.names[data.runs.job.of[row as usize]]
}

/// Who won.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    Naive(Which),
    Linear,
    Boosted,
}

impl Choice {
    fn name(self) -> &'static str {
        match self {
            Self::Naive(which) => which.name(),
            Self::Linear => "elastic_net",
            Self::Boosted => "boosted_trees",
        }
    }
}

/// All that competed on the same rows, with their figures there.
pub(super) type Field = Vec<(Choice, Metrics)>;

/// A centre and, as p90, the centre plus the 0.9 quantile of its error on the training rows.
fn with_margin(data: &Data, train: &[u32], test: &[u32], unit: &str, centre: impl Fn(&[u32]) -> Vec<f64>) -> Metrics {
    let errors = train.iter().zip(centre(train)).map(|(&row, said)| data.truth(row) - said);
    let margin = quantile(errors, 0.9);
    let centre = centre(test);
    let upper = centre.iter().map(|said| said + margin).collect();
    level_metrics(&truths(data, test), &[centre, upper], unit)
}

fn naive(data: &Data, train: &[u32], test: &[u32], unit: &str) -> Field {
    let one = |which| {
        let naive = Naive::learn(data, train, which);
        let centre = |rows: &[u32]| rows.iter().map(|&row| naive.centre(data, row)).collect();
        (Choice::Naive(which), with_margin(data, train, test, unit, centre))
    };
    Which::ALL.map(one).into()
}

/// The figures of the naive predictors on `test`.
pub(super) fn baselines(data: &Data, train: &[u32], test: &[u32]) -> BTreeMap<String, Metrics> {
    let field = naive(data, train, test, data.quantity.unit());
    field.into_iter().map(|(choice, metrics)| (choice.name().to_owned(), metrics)).collect()
}

/// Everybody learns from `train` and says `test`. Gives the forest of p90 too, to be used again.
pub(super) fn compete(data: &Data, train: &[u32], test: &[u32], seed: u64) -> Result<(Field, Forest), LearnError> {
    let unit = data.quantity.unit();
    let mut field = naive(data, train, test, unit);
    let global = data.global(train);
    let linear = Linear::fit(data, train, global)?;
    let centre = |rows: &[u32]| linear.predict(data, rows, global);
    field.push((Choice::Linear, with_margin(data, train, test, unit, centre)));
    let mut fitted = forests(data, train, &[0.5, 0.9], global, seed);
    let told: Vec<Vec<f64>> = fitted.iter().map(|forest| said(data, forest, test, global)).collect();
    field.push((Choice::Boosted, level_metrics(&truths(data, test), &told, unit)));
    Ok((field, fitted.pop().expect("a forest per level")))
}

/// The mean loss of a candidate over the folds.
fn loss(fields: &[Field], choice: Choice) -> f64 {
    let losses = fields.iter().flatten().filter(|(other, _)| *other == choice).map(|(_, metrics)| metrics["loss_log"]);
    crate::metrics::mean(losses)
}

/// The candidate with the least mean loss; without folds the rolling median, which needs none.
pub(super) fn best(fields: &[Field]) -> Choice {
    let all = fields.first().into_iter().flatten().map(|(choice, _)| *choice);
    let best = all.min_by(|a, b| loss(fields, *a).total_cmp(&loss(fields, *b)));
    best.unwrap_or(Choice::Naive(Which::RollingMedian5))
}

/// For the card: each candidate with its figures per fold, the best first.
pub(super) fn described(data: &Data, chosen: Choice, folds: &[(&Fold, Field)]) -> Vec<Candidate> {
    let fields: Vec<Field> = folds.iter().map(|(_, field)| field.clone()).collect();
    let all = fields.first().into_iter().flatten().map(|(choice, _)| *choice);
    let one = |choice: Choice| Candidate {
        name: choice.name().to_owned(),
        chosen: choice == chosen,
        loss_log: loss(&fields, choice),
        folds: folds
            .iter()
            .flat_map(|(fold, field)| {
                let metrics = field.iter().find(|(other, _)| *other == choice)?.1.clone();
                let started =
                    |row: Option<&u32>| row.map_or_else(Default::default, |&row| data.runs.started[row as usize]);
                Some(domain::model::Fold {
                    from: started(fold.test.first()),
                    until: started(fold.test.last()),
                    rows_train: fold.train.len(),
                    rows_test: fold.test.len(),
                    metrics,
                })
            })
            .collect(),
    };
    let mut candidates: Vec<Candidate> = all.map(one).collect();
    candidates.sort_by(|a, b| a.loss_log.total_cmp(&b.loss_log));
    candidates
}
