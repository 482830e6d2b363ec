//! How long a run will take, before it starts: which quantity that is. Trained and predicted by [`crate::quantity`].

use crate::LearnError;
use crate::model::Model;
use crate::quantity::{Explained, Prediction, Quantity, RunKey, Task};
use domain::Timestamp;
use std::path::Path;

/// The name of the model.
pub const NAME: &str = "build-time";

/// The model, for training and scoring.
pub const MODEL: &dyn Model = &TASK;

const TASK: Task = Task {
    name: NAME,
    predicts: "duration of a run before it starts: p50, p90 and p99, seconds",
    quantities: &[("", Quantity::Duration)],
};

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
