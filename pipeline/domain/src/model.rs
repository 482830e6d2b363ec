//! What a trained model says about itself.

use crate::Timestamp;
use crate::probability::Probability;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Named figures of one predictor, for example `mae_s` or `brier`.
pub type Metrics = BTreeMap<String, f64>;

/// `models/<name>/<version>/card.json`: what a model predicts, from what, how well, beside what is simpler.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Card {
    /// 1.
    pub format_version: u32,
    /// `build-time`, `contention`.
    pub model: String,
    /// The version folder: when it was trained.
    pub version: String,
    /// In words, with the unit.
    pub predicts: String,
    /// Algorithm and library.
    pub algorithm: String,
    /// When it was trained.
    pub created_at: Timestamp,
    /// The newest event it has seen.
    pub data_watermark: Timestamp,
    /// The first start of its training rows.
    pub train_from: Timestamp,
    /// The split: rows known before are trained on, later starts are tested on.
    pub train_until: Timestamp,
    /// Rows trained on for the figures below.
    pub rows_train: usize,
    /// Rows of held-out later time.
    pub rows_test: usize,
    /// Versions of the tables the rows came from.
    pub tables: BTreeMap<String, i64>,
    /// In the order the model takes them.
    pub features: Vec<String>,
    /// On the held-out time.
    pub metrics: Metrics,
    /// The same figures on the same rows for each naive baseline.
    pub baselines: BTreeMap<String, Metrics>,
    /// Stated share → measured share of held-out values at or below the prediction; empty for classifiers.
    pub coverage: BTreeMap<String, f64>,
    /// Whether it beats every baseline on its main figure, and by how much over the best.
    pub verdict: Verdict,
    /// Champion and challenger.
    pub champion: Champion,
    /// Where its labels came from.
    pub labels: LabelUse,
    /// Of models of probabilities: choice, calibration, causes, trust.
    #[serde(default)]
    pub probability: Option<Probability>,
    /// Same data, same seed: same bytes.
    pub seed: u64,
}

/// The main figure against the best baseline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// Name of the figure; lower is better.
    pub figure: String,
    /// The model's.
    pub ours: f64,
    /// The best baseline's.
    pub best_baseline: f64,
    /// Its name.
    pub baseline: String,
    /// `ours < best_baseline`.
    pub beats_baselines: bool,
}

/// Which model serves after this training.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Champion {
    /// Whether this model is it.
    pub is_champion: bool,
    /// The version it was compared with.
    pub previous: Option<String>,
    /// In words.
    pub why: String,
}

/// Labels by source.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LabelUse {
    /// From measurements.
    pub measured: usize,
    /// From people's verdicts.
    pub feedback: usize,
    /// Where a verdict replaced a measured label that said otherwise.
    pub changed_by_feedback: usize,
    /// Brier score on the held-out rows, trained with the verdicts and without; none: there were none to compare.
    #[serde(default)]
    pub loss_with_and_without: Option<(f64, f64)>,
}
