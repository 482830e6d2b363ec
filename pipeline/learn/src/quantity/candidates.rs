//! Predictors that compete: four naive ones, a line, and boosted trees; and which of them serves.

use super::data::Data;
use super::linear::Linear;
use super::model::{forests, said, truths};
use super::split::Fold;
use crate::LearnError;
use crate::boost::Forest;
use crate::choose::{clusters, simplest_of_the_best};
use crate::kept;
use crate::metrics::{level_losses, level_metrics, mean, quantile};
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
    pub(super) const ALL: [Self; 4] = [Self::LastRun, Self::RollingMedian5, Self::RollingMedian20, Self::JobMedian];

    /// Whether it learns from the runs it is given, beside what it says where there is no history.
    pub(super) fn learns(self) -> bool {
        self == Self::JobMedian
    }

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

    /// Says what is wrong with it.
    pub(super) fn check(&self) -> Result<(), String> {
        kept::finite("a naive predictor", self.jobs.values().copied().chain([self.global]))
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
    /// All of them, the simplest first.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        Which::ALL.map(Self::Naive).into_iter().chain([Self::Linear, Self::Boosted])
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Naive(which) => which.name(),
            Self::Linear => "elastic_net",
            Self::Boosted => "boosted_trees",
        }
    }

    /// The runs that show what its levels lack, of those that it learnt from and the later ones among them: what a naive one
    /// says of a run it has not learnt from that run.
    pub(super) fn unseen<'a>(self, all: &'a [u32], later: &'a [u32]) -> &'a [u32] {
        if matches!(self, Self::Naive(which) if !which.learns()) { all } else { later }
    }
}

/// One that competed.
#[derive(Clone, Debug)]
pub(super) struct Competitor {
    pub(super) choice: Choice,
    pub(super) metrics: Metrics,
    /// Of each row judged, the mean pinball loss of p50 and p90, log scale.
    pub(super) losses: Vec<f64>,
}

impl Competitor {
    fn judged(choice: Choice, data: &Data, test: &[u32], levels: &[Vec<f64>]) -> Self {
        let truth = truths(data, test);
        let metrics = level_metrics(&truth, levels, data.quantity.unit());
        Self { choice, metrics, losses: level_losses(&truth, levels) }
    }
}

/// All that competed on the same rows.
pub(super) type Field = Vec<Competitor>;

/// A centre and, as p90, the centre plus the 0.9 quantile of its error on the training rows.
fn with_margin(data: &Data, train: &[u32], test: &[u32], centre: impl Fn(&[u32]) -> Vec<f64>) -> [Vec<f64>; 2] {
    let errors = train.iter().zip(centre(train)).map(|(&row, said)| data.truth(row) - said);
    let margin = quantile(errors, 0.9);
    let centre = centre(test);
    let upper = centre.iter().map(|said| said + margin).collect();
    [centre, upper]
}

/// The naive predictors on `test`, as whoever uses no model would have them.
pub(super) fn naive(data: &Data, train: &[u32], test: &[u32]) -> Field {
    let one = |which| {
        let naive = Naive::learn(data, train, which);
        let centre = |rows: &[u32]| rows.iter().map(|&row| naive.centre(data, row)).collect();
        Competitor::judged(Choice::Naive(which), data, test, &with_margin(data, train, test, centre))
    };
    Which::ALL.map(one).into()
}

/// Everybody learns from `train` and says `test`. Gives the forest of p90 too, to be used again.
pub(super) fn compete(data: &Data, train: &[u32], test: &[u32], seed: u64) -> Result<(Field, Forest), LearnError> {
    let mut field = naive(data, train, test);
    let global = data.global(train);
    let linear = Linear::fit(data, train, global)?;
    let centre = |rows: &[u32]| linear.predict(data, rows, global);
    field.push(Competitor::judged(Choice::Linear, data, test, &with_margin(data, train, test, centre)));
    let mut fitted = forests(data, train, &[0.5, 0.9], global, seed);
    let told: Vec<Vec<f64>> = fitted.iter().map(|forest| said(data, forest, test, global)).collect();
    field.push(Competitor::judged(Choice::Boosted, data, test, &told));
    Ok((field, fitted.pop().expect("a forest per level")))
}

/// The mean loss of a candidate over the folds.
fn loss(folds: &[(&Fold, Field)], choice: Choice) -> f64 {
    let of = |competitor: &Competitor| competitor.metrics["loss_log"];
    mean(folds.iter().flat_map(|(_, field)| field).filter(|other| other.choice == choice).map(of))
}

/// The best on the folds, of equals the simplest: the best naive one, then the line, then the trees. Without folds the
/// rolling median, which needs none.
pub(super) fn best(data: &Data, folds: &[(&Fold, Field)]) -> Choice {
    let rows = folds.iter().flat_map(|(fold, _)| &fold.test);
    let clusters = clusters(rows.map(|&row| data.repo_name(row)));
    let losses = |choice: Choice| -> Vec<f64> {
        let of = folds.iter().flat_map(|(_, field)| field).filter(|other| other.choice == choice);
        of.flat_map(|other| other.losses.iter().copied()).collect()
    };
    let least = |a: &Choice, b: &Choice| {
        let of = |choice: Choice| mean(losses(choice));
        of(*a).total_cmp(&of(*b))
    };
    let naive = Which::ALL.map(Choice::Naive).into_iter().min_by(least);
    let field: Vec<Choice> = naive.into_iter().chain([Choice::Linear, Choice::Boosted]).collect();
    let of_all: Vec<Vec<f64>> = field.iter().map(|choice| losses(*choice)).collect();
    simplest_of_the_best(&of_all, &clusters).map_or(Choice::Naive(Which::RollingMedian5), |at| field[at])
}

/// For the card: each candidate with its figures per fold, the best first.
pub(super) fn described(data: &Data, chosen: Choice, folds: &[(&Fold, Field)]) -> Vec<Candidate> {
    let all = folds.first().into_iter().flat_map(|(_, field)| field).map(|competitor| competitor.choice);
    let one = |choice: Choice| Candidate {
        name: choice.name().to_owned(),
        chosen: choice == chosen,
        loss_log: loss(folds, choice),
        folds: folds
            .iter()
            .flat_map(|(fold, field)| {
                let metrics = field.iter().find(|other| other.choice == choice)?.metrics.clone();
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
