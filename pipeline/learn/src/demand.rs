//! What CPU and memory a run will need, before it starts: learnt from the runs where they were measured. Trained and
//! predicted by [`crate::quantity`].

use crate::LearnError;
use crate::model::Model;
use crate::quantity::{Explained, Prediction, Quantity, RunKey, Task};
use domain::Timestamp;
use std::path::Path;

/// The name of the model.
pub const NAME: &str = "demand";

/// The model, for training and scoring.
pub const MODEL: &dyn Model = &TASK;

const TASK: Task = Task {
    name: NAME,
    predicts: "CPU time in seconds and peak memory in MiB of a run before it starts: p50, p90 and p99",
    quantities: &[("cpu_", Quantity::Cpu), ("memory_", Quantity::Memory)],
};

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
