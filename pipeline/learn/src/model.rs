//! What every model does, whatever it learns: the one seam between the models and those who train, score and serve them.

use crate::LearnError;
use crate::card::{Evaluation, TrainSpec, Trained};
use crate::{build_time, contention, demand, services};
use domain::Timestamp;
use domain::drift::Moved;
use domain::model::Card;
use std::fmt::Debug;
use std::path::Path;

/// All models, in the order in which they are trained.
pub const MODELS: [&dyn Model; 4] = [build_time::MODEL, demand::MODEL, contention::MODEL, services::MODEL];

/// Figures on held-out rows, and the number of rows trained on.
pub type Held = Result<(Evaluation, usize), LearnError>;

/// The number of features that were compared, and those that moved.
pub type Drift = Result<(usize, Vec<Moved>), LearnError>;

/// A model that can be trained and scored. `rows` is always its feature view as Parquet.
pub trait Model: Debug + Send + Sync {
    /// As people write it, and its folder in the lake.
    fn name(&self) -> &'static str;

    /// The feature view it learns from: the name below `features.`.
    fn view(&self) -> &'static str;

    /// Trains, judges on the latest fifth beside the baselines, then fits once more on everything.
    ///
    /// # Errors
    /// [`LearnError::TooLittleData`] below 50 usable rows or with too few of them to judge on; unreadable or incomplete files.
    fn train(&self, rows: &Path, spec: &TrainSpec) -> Result<Trained, LearnError>;

    /// Scores a kept model on the rows that began after `after`, beside the baselines.
    ///
    /// # Errors
    /// [`LearnError::TooLittleData`] below 10 later rows; a model that cannot be read; unreadable or incomplete files.
    fn evaluate(&self, model: &[u8], rows: &Path, spec: &TrainSpec, after: Timestamp)
    -> Result<Evaluation, LearnError>;

    /// How many features of the rows that began after `after` were compared with those of the training, and which moved.
    /// None of a model whose features are lists, of paths and tools: what drifts of them shows in the loss.
    ///
    /// # Errors
    /// Unreadable or incomplete files.
    fn drift(&self, _card: &Card, _rows: &Path, _spec: &TrainSpec, _after: Timestamp) -> Drift {
        Ok((0, Vec::new()))
    }

    /// A training judged on the last `share` (0 to 1) of each repository's rows; nothing is kept. Returns the figures and the
    /// number of rows trained on.
    ///
    /// # Errors
    /// As [`Model::train`]; [`LearnError::Argument`] for a model that is not one of runs.
    fn holdout(&self, _rows: &Path, _spec: &TrainSpec, _share: f64) -> Held {
        Err(LearnError::Argument(format!("{}: --holdout is for models of runs", self.name())))
    }

    /// A training judged on repositories that had no part in it, each held out once, about `share` (0 to 1) of them at a
    /// time; nothing is kept. The repository at place i by name is in fold i modulo the number of folds. Returns the figures
    /// and the mean number of rows trained on.
    ///
    /// # Errors
    /// As [`Model::train`], and with fewer repositories than folds; [`LearnError::Argument`] for a model that is judged per
    /// repository only.
    fn holdout_projects(&self, _rows: &Path, _spec: &TrainSpec, _share: f64) -> Held {
        Err(LearnError::Argument(format!("{}: --per project is for the model of services", self.name())))
    }
}
