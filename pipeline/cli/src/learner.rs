//! The models by name: where their rows come from and what trains and scores them.

use domain::Timestamp;
use domain::drift::Moved;
use domain::model::Card;
use learn::card::{Evaluation, TrainSpec, Trained};
use learn::{LearnError, build_time, contention, demand, services};
use std::path::Path;

/// A model that `train` and `evaluate` know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Learner {
    /// How long a run will take.
    BuildTime,
    /// What CPU and memory a run will need.
    Demand,
    /// Whether a piece of work will be contended.
    Contention,
    /// Which services and packages a run will need.
    Services,
}

/// What is held out of a training that is judged on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Per {
    /// The last part of each repository's runs.
    Repo,
    /// Whole repositories, each once.
    Project,
}

impl Learner {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::BuildTime, Self::Demand, Self::Contention, Self::Services];

    /// As people write it, and its folder in the lake.
    pub fn name(self) -> &'static str {
        match self {
            Self::BuildTime => build_time::NAME,
            Self::Demand => demand::NAME,
            Self::Contention => contention::NAME,
            Self::Services => services::NAME,
        }
    }

    /// The model of that name.
    pub fn parse(name: &str) -> Result<Self, String> {
        let names = Self::ALL.map(Self::name).join(", ");
        Self::ALL.into_iter().find(|learner| learner.name() == name).ok_or(format!("one of {names}"))
    }

    /// Those asked for; all when none is named.
    pub fn chosen(asked: &[Self]) -> Vec<Self> {
        if asked.is_empty() { Self::ALL.to_vec() } else { asked.to_vec() }
    }

    /// The feature view it learns from.
    pub fn view(self) -> &'static str {
        match self {
            Self::BuildTime | Self::Demand => "runs",
            Self::Contention => "contention",
            Self::Services => "services",
        }
    }

    /// Trains it.
    pub fn train(self, rows: &Path, spec: &TrainSpec) -> Result<Trained, LearnError> {
        match self {
            Self::BuildTime => build_time::train(rows, spec),
            Self::Demand => demand::train(rows, spec),
            Self::Contention => contention::train(rows, spec),
            Self::Services => services::train(rows, spec),
        }
    }

    /// Scores a kept model on rows that began after `after`.
    pub fn evaluate(
        self,
        model: &[u8],
        rows: &Path,
        spec: &TrainSpec,
        after: Timestamp,
    ) -> Result<Evaluation, LearnError> {
        match self {
            Self::BuildTime => build_time::evaluate(model, rows, spec, after),
            Self::Demand => demand::evaluate(model, rows, spec, after),
            Self::Contention => contention::evaluate(model, rows, spec, after),
            Self::Services => services::evaluate(model, rows, spec, after),
        }
    }

    /// How many of its features were compared with those of its training on rows that began after `after`, and which moved.
    pub fn drift(
        self,
        card: &Card,
        rows: &Path,
        spec: &TrainSpec,
        after: Timestamp,
    ) -> Result<(usize, Vec<Moved>), LearnError> {
        match self {
            Self::BuildTime => build_time::drift(card, rows, spec, after),
            Self::Demand => demand::drift(card, rows, spec, after),
            Self::Contention => contention::drift(card, rows, spec, after),
            // Its features are lists of paths and tools: what drifts of them shows in the loss.
            Self::Services => Ok((0, Vec::new())),
        }
    }

    /// Trains it without a part of the runs and scores that part; None: it cannot be judged so.
    /// Gives the number of rows trained on too.
    pub fn holdout(
        self,
        rows: &Path,
        spec: &TrainSpec,
        share: f64,
        per: Per,
    ) -> Option<Result<(Evaluation, usize), LearnError>> {
        match (self, per) {
            (Self::BuildTime, Per::Repo) => Some(build_time::holdout(rows, spec, share)),
            (Self::Demand, Per::Repo) => Some(demand::holdout(rows, spec, share)),
            (Self::Services, Per::Repo) => Some(services::holdout(rows, spec, share)),
            (Self::Services, Per::Project) => Some(services::holdout_projects(rows, spec, share)),
            (Self::Contention, _) | (_, Per::Project) => None,
        }
    }
}
