//! What CPU and memory a run will need, before it starts: learnt from the runs where they were measured.

use crate::LearnError;
use crate::card::{Evaluation, TrainSpec, Trained};
use crate::quantity::{Explained, Prediction, Quantity, RunKey, Task};
use domain::Timestamp;
use domain::drift::Moved;
use domain::model::Card;
use std::path::Path;

/// The name of the model.
pub const NAME: &str = "demand";

const TASK: Task = Task {
    name: NAME,
    predicts: "CPU time in seconds and peak memory in MiB of a run before it starts: p50, p90 and p99",
    quantities: &[("cpu_", Quantity::Cpu), ("memory_", Quantity::Memory)],
};

/// Trains on the runs of `features.runs` whose CPU or memory was measured, as build-time does on durations.
///
/// # Errors
/// [`LearnError::TooLittleData`] when neither was measured in 50 usable runs; unreadable or incomplete files.
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

/// What a kept model says of runs that are expected (`features.expected_runs`), as of `now`: CPU time in seconds, then peak
/// memory in MiB; empty where the model knows none.
///
/// # Errors
/// A model that cannot be read; unreadable or incomplete files.
pub fn expected(
    model: &[u8],
    runs: &Path,
    expected: &Path,
    now: Timestamp,
) -> Result<[Vec<Prediction>; 2], LearnError> {
    let of = |quantity| TASK.predict(model, runs, Some(expected), quantity, now, now.plus(-1));
    Ok([of(Quantity::Cpu)?, of(Quantity::Memory)?])
}

/// Why a kept model says of one run what it says: CPU time in seconds, then peak memory in MiB; none where the model knows
/// none, or it was not measured.
///
/// # Errors
/// As [`expected`].
pub fn explain(
    model: &[u8],
    runs: &Path,
    expected: Option<&Path>,
    until: Timestamp,
    key: &RunKey,
) -> Result<[Option<Explained>; 2], LearnError> {
    let of = |quantity| TASK.explain(model, runs, expected, quantity, until, key);
    Ok([of(Quantity::Cpu)?, of(Quantity::Memory)?])
}

/// How many features of the runs that started after `after` were compared with those of the training, and which moved.
///
/// # Errors
/// Unreadable or incomplete files.
pub fn drift(card: &Card, runs: &Path, spec: &TrainSpec, after: Timestamp) -> Result<(usize, Vec<Moved>), LearnError> {
    TASK.drift(card, runs, spec, after)
}
