//! The `[judge]` of `stack.toml`: what a canary is held to before it grows.

use domain::rollout::{Metric, OnInconclusive};
use domain::units::parse_share;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

/// A `[judge]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JudgeSection {
    /// What is judged; alpha is shared over them.
    pub metrics: Vec<Metric>,
    /// The regression that a pass excludes, as a share of the control: 0.2, in the file `"20%"`.
    #[serde(deserialize_with = "share")]
    pub margin: f64,
    /// Bound of the probability of a wrong fail, and of a wrong pass, over all looks.
    #[serde(deserialize_with = "share")]
    pub alpha: f64,
    /// Units of each arm at which the last look takes place.
    pub horizon: u64,
    /// What happens where it is reached and nothing is shown.
    #[serde(default)]
    pub on_inconclusive: OnInconclusive,
}

impl JudgeSection {
    /// The first of its fields that cannot be, and why.
    pub(super) fn wrong(&self) -> Option<(&'static str, String)> {
        let mut metrics = self.metrics.clone();
        metrics.sort();
        metrics.dedup();
        if metrics.is_empty() || metrics.len() != self.metrics.len() {
            return Some(("metrics", "name at least one metric, and each once".to_owned()));
        }
        if !(self.margin > 0.0 && self.margin.is_finite()) {
            return Some(("margin", "it is a share above 0, such as \"20%\"".to_owned()));
        }
        if !(self.alpha > 0.0 && self.alpha <= 0.5) {
            return Some(("alpha", "it is a share above 0 and at most 0.5".to_owned()));
        }
        (self.horizon == 0).then(|| ("horizon", "it is at least 1".to_owned()))
    }
}

/// `0.2` or `"20%"`.
fn share<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Number(f64),
        Text(String),
    }
    match Written::deserialize(deserializer)? {
        Written::Number(share) => Ok(share),
        Written::Text(text) => {
            parse_share(&text).ok_or_else(|| D::Error::custom(format!("{text:?} is no share: write it as 20% or 0.2")))
        }
    }
}
