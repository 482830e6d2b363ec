//! Whether the world still is as it was when a model was trained.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How a model's features were distributed over the rows that it has learnt from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    /// Rows.
    pub rows: usize,
    /// By feature; those that never differed are left out.
    pub features: BTreeMap<String, Spread>,
}

/// One feature in ranges that held about equally many rows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// Between the ranges, ascending; a value on a border lies below it.
    pub borders: Vec<f32>,
    /// Share of the rows in which it was missing, then in each range.
    pub shares: Vec<f64>,
}

/// A feature that is distributed otherwise now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Moved {
    /// Its name.
    pub feature: String,
    /// Population stability index.
    pub psi: f64,
}

/// What recent rows say of a model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Drift {
    /// Whether to train again.
    pub retrain: bool,
    /// Why, or why not, in words.
    pub why: Vec<String>,
    /// The figure that is compared; lower is better.
    pub figure: String,
    /// On rows held out when it was trained.
    pub loss_trained: f64,
    /// On rows later than it has seen; none: too few of them.
    pub loss_recent: Option<f64>,
    /// Recent rows.
    pub rows: usize,
    /// Features that were compared.
    pub features: usize,
    /// Those that moved, the furthest first.
    pub moved: Vec<Moved>,
    /// The model is more than a week older than the newest event.
    pub stale: bool,
}
