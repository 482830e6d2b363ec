//! How long a run will take, before it starts.

use crate::LearnError;
use crate::card::{Evaluation, TrainSpec, Trained};
use crate::quantity::{Explained, Prediction, Quantity, RunKey, Task};
use domain::Timestamp;
use domain::drift::Moved;
use domain::model::Card;
use std::path::Path;

/// The name of the model.
pub const NAME: &str = "build-time";

const TASK: Task = Task {
    name: NAME,
    predicts: "duration of a run before it starts: p50, p90 and p99, seconds",
    quantities: &[("", Quantity::Duration)],
};

/// Trains on `features.runs`, judges on the latest fifth beside the baselines, then fits once more on everything.
///
/// # Errors
/// [`LearnError::TooLittleData`] below 50 usable runs, 10 of them later than the training; unreadable or incomplete files.
pub fn train(runs: &Path, spec: &TrainSpec) -> Result<Trained, LearnError> {
    TASK.train(runs, spec)
}

/// Scores a kept model on the runs that started after `after`, beside the baselines.
///
/// # Errors
/// [`LearnError::TooLittleData`] below 10 later runs; a model that cannot be read; unreadable or incomplete files.
pub fn evaluate(model: &[u8], runs: &Path, spec: &TrainSpec, after: Timestamp) -> Result<Evaluation, LearnError> {
    TASK.evaluate(model, runs, spec, after)
}

/// A training judged on the last `test_share` (0 to 1) of each repository's runs; nothing is kept.
/// Returns the figures and the number of rows trained on.
///
/// # Errors
/// As [`train`].
pub fn holdout(runs: &Path, spec: &TrainSpec, test_share: f64) -> Result<(Evaluation, usize), LearnError> {
    TASK.holdout(runs, spec, test_share)
}

/// What a kept model says, in seconds, of each run that started after `after`, from what was known when it started.
///
/// # Errors
/// A model that cannot be read; unreadable or incomplete files.
pub fn predict(model: &[u8], runs: &Path, until: Timestamp, after: Timestamp) -> Result<Vec<Prediction>, LearnError> {
    TASK.predict(model, runs, None, Quantity::Duration, until, after)
}

/// What a kept model says, in seconds, of runs that are expected (`features.expected_runs`), as of `now`.
///
/// # Errors
/// As [`predict`].
pub fn expected(model: &[u8], runs: &Path, expected: &Path, now: Timestamp) -> Result<Vec<Prediction>, LearnError> {
    TASK.predict(model, runs, Some(expected), Quantity::Duration, now, now.plus(-1))
}

/// Why a kept model says of one run what it says, in seconds; none when it is not among those that can be learnt from.
///
/// # Errors
/// As [`predict`].
pub fn explain(
    model: &[u8],
    runs: &Path,
    expected: Option<&Path>,
    until: Timestamp,
    key: &RunKey,
) -> Result<Option<Explained>, LearnError> {
    TASK.explain(model, runs, expected, Quantity::Duration, until, key)
}

/// How many features of the runs that started after `after` were compared with those of the training, and which moved.
///
/// # Errors
/// Unreadable or incomplete files.
pub fn drift(card: &Card, runs: &Path, spec: &TrainSpec, after: Timestamp) -> Result<(usize, Vec<Moved>), LearnError> {
    TASK.drift(card, runs, spec, after)
}
