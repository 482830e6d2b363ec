//! The map from what the members say to how often it is so, learnt on rows they had not seen.

use super::line::{Loss, newton};
use super::trees::logistic;
use crate::kept::finite;
use serde::{Deserialize, Serialize};

/// Kinds of map, the simplest first.
pub(crate) const KINDS: [Kind; 5] = [Kind::None, Kind::Temperature, Kind::Shift, Kind::Platt, Kind::Beta];

/// A kind of map. All keep the order of probabilities; isotonic regression was left out because its steps make equals of
/// unequals, which cost 0.002 to 0.03 ROC-AUC on the interference recordings for no better Brier score.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// As it is said.
    None,
    /// The logit times a factor.
    Temperature,
    /// The logit plus a constant: the base rate moved.
    Shift,
    /// Both (Platt 1999).
    Platt,
    /// A factor for each of ln p and ln (1 - p), and a constant (Kull, Silva Filho & Flach 2017).
    Beta,
}

/// A map with its numbers: what is added to the logit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Calibration {
    pub(crate) kind: Kind,
    by: Vec<f64>,
}

const EDGE: f64 = 1e-4;
/// Drawn to no change by as much as so many outcomes: on small samples 4 beat 1, and on thousands of outcomes they are alike.
const RIDGE: f64 = 4.0;

/// ln(p / (1 - p)), of probabilities that are not quite 0 or 1.
pub(crate) fn logit(p: f64) -> f64 {
    let p = p.clamp(EDGE, 1.0 - EDGE);
    (p / (1.0 - p)).ln()
}

impl Kind {
    /// As it is written.
    pub(crate) fn name(self) -> &'static str {
        self.into()
    }

    fn inputs(self, p: f64, into: &mut Vec<f64>) {
        let p = p.clamp(EDGE, 1.0 - EDGE);
        match self {
            Self::None => {}
            Self::Temperature => into.push(logit(p)),
            Self::Shift => into.push(1.0),
            Self::Platt => into.extend([logit(p), 1.0]),
            Self::Beta => into.extend([p.ln(), -(1.0 - p).ln(), 1.0]),
        }
    }
}

impl Calibration {
    /// Leaves all as it is said.
    pub(crate) fn none() -> Self {
        Self { kind: Kind::None, by: Vec::new() }
    }

    /// Learns from probabilities, outcomes (0 or 1) and weights.
    pub(crate) fn fit(kind: Kind, said: &[f64], label: &[f64], weight: &[f64]) -> Self {
        let mut inputs = Vec::new();
        said.iter().for_each(|&p| kind.inputs(p, &mut inputs));
        let width = inputs.len() / said.len().max(1);
        if width == 0 {
            return Self::none();
        }
        let offset: Vec<f64> = said.iter().map(|&p| logit(p)).collect();
        let by = newton(Loss::Square, &inputs, width, label, weight, &offset, RIDGE);
        // A map that turns the order round says that the members know nothing; then it is not used.
        let factors = match kind {
            Kind::Temperature | Kind::Platt => &by[..1],
            Kind::Beta => &by[..2],
            Kind::None | Kind::Shift => &[],
        };
        if factors.iter().any(|f| *f <= -0.98) { Self::none() } else { Self { kind, by } }
    }

    /// Says what is wrong with it.
    pub(crate) fn check(&self) -> Result<(), String> {
        let mut inputs = Vec::new();
        self.kind.inputs(0.5, &mut inputs);
        if inputs.len() != self.by.len() {
            return Err(format!("a calibration of {} numbers, {} are needed", self.by.len(), inputs.len()));
        }
        finite("a calibration", self.by.iter().copied())
    }

    /// How often what is said so is so.
    pub(crate) fn apply(&self, p: f64) -> f64 {
        if self.kind == Kind::None {
            return p;
        }
        let mut inputs = Vec::with_capacity(3);
        self.kind.inputs(p, &mut inputs);
        logistic(logit(p) + inputs.iter().zip(&self.by).map(|(x, b)| x * b).sum::<f64>())
    }
}
