//! What a trained model says about itself.

use crate::Timestamp;
use crate::drift::Profile;
use crate::probability::Probability;
use crate::time::DAY;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Named figures of one predictor, for example `mae_s` or `brier`.
pub type Metrics = BTreeMap<String, f64>;

/// `models/<name>/<version>/card.json`: what a model predicts, from what, how well, beside what is simpler.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Card {
    /// 1.
    pub format_version: u32,
    /// `build-time`, `demand`, `contention`, `services`.
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
    /// How it was chosen, and how often its levels held.
    #[serde(default)]
    pub judged: Judged,
    /// Of models of probabilities: choice, calibration, causes, trust.
    #[serde(default)]
    pub probability: Option<Probability>,
    /// Same data, same seed: same bytes.
    pub seed: u64,
}

/// Models are trained nightly: one that has seen nothing of the newest week of data has missed seven trainings.
pub const STALE_AFTER: i64 = 7 * DAY;

/// The format of the cards that this program writes, and the latest that it reads.
pub const CARD_FORMAT: u32 = 1;

/// Why a card cannot be used.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum CardError {
    /// A later version of the program wrote it.
    #[error("format version {found}, this program reads up to {CARD_FORMAT}")]
    Newer {
        /// Its format.
        found: u32,
    },
    /// It is no card, or not of this model.
    #[error("{0}")]
    Damaged(String),
}

impl Card {
    /// Reads the card of a model of that name.
    ///
    /// # Errors
    /// A format later than [`CARD_FORMAT`]; bytes that are no card, or another model's; a figure that is not a number.
    pub fn read(bytes: &[u8], name: &str) -> Result<Self, CardError> {
        // The version first: a later card may have another shape.
        #[derive(Deserialize)]
        struct Version {
            format_version: u32,
        }
        let damaged = |error: serde_json::Error| CardError::Damaged(error.to_string());
        let Version { format_version: found } = serde_json::from_slice(bytes).map_err(damaged)?;
        if found > CARD_FORMAT {
            return Err(CardError::Newer { found });
        }
        let card: Self = serde_json::from_slice(bytes).map_err(damaged)?;
        if card.model != name {
            return Err(CardError::Damaged(format!("it is the card of {:?}", card.model)));
        }
        Ok(card)
    }

    /// Whether the model is older than its data: `newest` is the newest event there is.
    pub fn is_stale(&self, newest: Timestamp) -> bool {
        newest.0.saturating_sub(self.data_watermark.0) > STALE_AFTER
    }
}

/// How a model of levels was chosen and judged, and on what; of classifiers only the last.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Judged {
    /// Who competed on rolling origins before the held-out time, the best first.
    pub candidates: Vec<Candidate>,
    /// On the held-out time: overall, per group and per repository.
    pub coverage: Vec<Coverage>,
    /// Whether coverage is good enough to serve.
    pub gate: Gate,
    /// What serves: of all candidates, baselines included, the best on held-out time; one a quantity.
    #[serde(default)]
    pub serves: Vec<Serves>,
    /// What its features looked like, to see later whether they still do.
    #[serde(default)]
    pub profile: Profile,
}

/// What a model consists of in the end.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Serves {
    /// Its name among the candidates, or the baseline's.
    pub name: String,
    /// Whether it is a baseline: nothing that was learnt is better.
    pub baseline: bool,
    /// In words, with the figures.
    pub why: String,
}

/// A predictor that competed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// Its name.
    pub name: String,
    /// Whether it won.
    pub chosen: bool,
    /// Mean over the folds of the figure of the verdict: of levels the mean pinball loss of p50 and p90, log scale; of
    /// lists `miss3`.
    pub loss_log: f64,
    /// Its figures on each fold.
    pub folds: Vec<Fold>,
}

/// Rows of later time, said by what has learnt from earlier.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fold {
    /// Start of the first row that was said.
    pub from: Timestamp,
    /// Start of the last one.
    pub until: Timestamp,
    /// Rows learnt from: they had ended before `from`.
    pub rows_train: usize,
    /// Rows said.
    pub rows_test: usize,
    /// How well.
    pub metrics: Metrics,
}

/// How often the truth lay at or below one level in one part of the rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Coverage {
    /// `all`, `group` (language and length of history) or `repository`.
    pub of: String,
    /// Which one; of `all` the quantity where there are several.
    pub name: String,
    /// Rows.
    pub rows: usize,
    /// The level, 0 to 1.
    pub stated: f64,
    /// The share of the rows at or below it.
    pub measured: f64,
    /// 95 % binomial interval of the share.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
}

impl Coverage {
    /// With the quantity before its own name: `memory`, `memory, C++, under 20 runs`.
    pub fn with_prefix(mut self, prefix: &str) -> Self {
        let quantity = prefix.trim_end_matches('_');
        self.name = match (quantity.is_empty(), self.name.is_empty()) {
            (true, _) => self.name,
            (_, true) => quantity.to_owned(),
            _ => format!("{quantity}, {}", self.name),
        };
        self
    }
}

/// Why a model may not serve.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Gate {
    /// Each level that covers too little or too much, in words; empty: passed.
    pub missed: Vec<String>,
}

impl Gate {
    /// Whether nothing was missed.
    pub fn passed(&self) -> bool {
        self.missed.is_empty()
    }
}

/// The main figure against the best baseline.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
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
    /// By how much the loss of what serves differs from that of the best baseline, row by row; none: not compared by rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub difference: Option<Difference>,
}

/// The mean difference of two losses on the same rows; below zero the first is better.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// Mean over the rows.
    pub mean: f64,
    /// Lower end of its 95 % interval, by a bootstrap of rows that err together.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Rows.
    pub rows: usize,
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
    /// From what `verify` found of applied items.
    #[serde(default)]
    pub outcomes: usize,
    /// Where that replaced a measured label that said otherwise.
    #[serde(default)]
    pub changed_by_outcomes: usize,
    /// Brier score on the held-out rows, trained with the verdicts and outcomes and without; none: there were none to compare.
    #[serde(default)]
    pub loss_with_and_without: Option<(f64, f64)>,
    /// Whether the verdicts and outcomes are learnt from: not when they raise the held-out loss.
    #[serde(default)]
    pub used: bool,
}
