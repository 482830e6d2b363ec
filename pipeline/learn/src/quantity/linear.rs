//! A line through the features (elastic net, linfa): what is left when nothing bends.

use super::data::Data;
use crate::LearnError;
use crate::kept;
use crate::metrics::mean;
use linfa::Dataset;
use linfa::prelude::Fit;
use linfa_elasticnet::ElasticNet;
use ndarray::{Array1, Array2};
use serde::{Deserialize, Serialize};

/// Rows learnt from, evenly spread: a line needs no more, and they are held as doubles.
const ROWS: usize = 20_000;
/// Features further than so many deviations from their mean count as if they were there.
const FAR: f64 = 4.0;

/// Mean, deviation and weight of each feature that is used, and where the line begins.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Linear {
    features: Vec<Scaled>,
    intercept: f64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Scaled {
    feature: usize,
    mean: f64,
    deviation: f64,
    weight: f64,
}

impl Scaled {
    /// Missing values are as the mean.
    fn of(&self, value: f32) -> f64 {
        if value.is_nan() { 0.0 } else { ((f64::from(value) - self.mean) / self.deviation).clamp(-FAR, FAR) }
    }
}

impl Linear {
    pub(super) fn fit(data: &Data, rows: &[u32], global: f64) -> Result<Self, LearnError> {
        let rows: Vec<u32> = rows.iter().copied().step_by(rows.len().div_ceil(ROWS).max(1)).collect();
        let scaled = data.table.columns.iter().enumerate().filter_map(|(feature, column)| {
            let values = || rows.iter().map(|&row| f64::from(column[row as usize])).filter(|v| !v.is_nan());
            let middle = mean(values());
            let deviation = mean(values().map(|v| (v - middle).powi(2))).sqrt();
            (deviation > 1e-9).then_some(Scaled { feature, mean: middle, deviation, weight: 0.0 })
        });
        let mut features: Vec<Scaled> = scaled.collect();
        let inputs = Array2::from_shape_fn((rows.len(), features.len()), |(at, k)| {
            features[k].of(data.table.columns[features[k].feature][rows[at] as usize])
        });
        let targets = Array1::from(data.targets(&rows, global));
        if features.is_empty() {
            return Ok(Self { features, intercept: mean(targets) });
        }
        let fitted = ElasticNet::<f64>::params()
            .penalty(0.01)
            .l1_ratio(0.5)
            .max_iterations(200)
            .tolerance(1e-3)
            .fit(&Dataset::new(inputs, targets));
        let fitted = fitted.map_err(|e| LearnError::Model { model: "elastic net", reason: e.to_string() })?;
        features.iter_mut().zip(fitted.hyperplane()).for_each(|(scaled, weight)| scaled.weight = *weight);
        features.retain(|scaled| scaled.weight != 0.0);
        Ok(Self { features, intercept: fitted.intercept() })
    }

    /// Says what is wrong with a line over so many features.
    pub(super) fn check(&self, features: usize) -> Result<(), String> {
        if self.features.iter().any(|scaled| scaled.feature >= features || scaled.deviation == 0.0) {
            return Err("a line asks for a feature that is not there".to_owned());
        }
        let numbers = self.features.iter().flat_map(|f| [f.mean, f.deviation, f.weight]);
        kept::finite("a line", numbers.chain([self.intercept]))
    }

    /// How far each feature moved the centre of a row from that of a row at the mean.
    pub(super) fn moves(&self, data: &Data, row: u32) -> Vec<f64> {
        let mut moves = vec![0.0; data.table.columns.len()];
        for f in &self.features {
            moves[f.feature] = f.weight * f.of(data.table.columns[f.feature][row as usize]);
        }
        moves
    }

    /// The centre of each row, log scale.
    pub(super) fn predict(&self, data: &Data, rows: &[u32], global: f64) -> Vec<f64> {
        let one = |&row: &u32| {
            let parts = self.features.iter().map(|f| f.weight * f.of(data.table.columns[f.feature][row as usize]));
            data.base(row, global) + self.intercept + parts.sum::<f64>()
        };
        rows.iter().map(one).collect()
    }
}
