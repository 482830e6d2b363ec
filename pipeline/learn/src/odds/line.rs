//! Logistic regression with weights, an offset and a ridge: Newton's method, with rows of any scale.
//!
//! Small, and written here because linfa-logistic takes neither weights nor an offset, and both the calibration and
//! the trust in contributors need them.

use super::trees::logistic;
use crate::kept::finite;
use serde::{Deserialize, Serialize};

/// A logit as a weighted sum of columns. Missing values stand at the mean and have a column of their own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Line {
    mean: Vec<f64>,
    spread: Vec<f64>,
    /// Per column, then per column for being missing, then one for all.
    slope: Vec<f64>,
}

/// Further from the mean than this many standard deviations counts as this many: a line must not run away.
const FAR: f64 = 6.0;
/// Rows are thinned to about so many.
const ROWS: usize = 40_000;

impl Line {
    /// Learns from some rows of the columns.
    pub(crate) fn fit(columns: &[&[f32]], rows: &[u32], label: &[f32], weight: &[f32]) -> Self {
        let rows: Vec<u32> = rows.iter().copied().step_by(rows.len().div_ceil(ROWS).max(1)).collect();
        let (mut mean, mut spread) = (Vec::new(), Vec::new());
        for column in columns {
            let values = || rows.iter().map(|&row| f64::from(column[row as usize])).filter(|v| !v.is_nan());
            let n = values().count().max(1) as f64;
            let centre = values().sum::<f64>() / n;
            let variance = values().map(|v| (v - centre).powi(2)).sum::<f64>() / n;
            mean.push(centre);
            // What never varies tells nothing. Not infinity, which JSON does not hold.
            spread.push(if variance > 1e-18 { variance.sqrt() } else { f64::MAX });
        }
        let mut line = Self { mean, spread, slope: Vec::new() };
        let width = 2 * columns.len() + 1;
        let mut inputs = Vec::with_capacity(rows.len() * width);
        for &row in &rows {
            line.inputs(|column| columns[column][row as usize], &mut inputs);
        }
        let label: Vec<f64> = rows.iter().map(|&row| f64::from(label[row as usize])).collect();
        let weight: Vec<f64> = rows.iter().map(|&row| f64::from(weight[row as usize])).collect();
        line.slope = newton(Loss::Log, &inputs, width, &label, &weight, &vec![0.0; rows.len()], 1.0);
        line
    }

    /// Appends a row's inputs.
    fn inputs(&self, value: impl Fn(usize) -> f32, into: &mut Vec<f64>) {
        let width = self.mean.len();
        for at in 0..width {
            let v = f64::from(value(at));
            into.push(if v.is_nan() { 0.0 } else { ((v - self.mean[at]) / self.spread[at]).clamp(-FAR, FAR) });
        }
        into.extend((0..width).map(|at| f64::from(u8::from(value(at).is_nan()))));
        into.push(1.0);
    }

    /// The probability for a row.
    pub(crate) fn probability(&self, value: impl Fn(usize) -> f32) -> f64 {
        let mut inputs = Vec::with_capacity(self.slope.len());
        self.inputs(value, &mut inputs);
        logistic(inputs.iter().zip(&self.slope).map(|(x, s)| x * s).sum())
    }

    /// Says what is wrong with a line over so many columns.
    pub(crate) fn check(&self, columns: usize) -> Result<(), String> {
        if [self.mean.len(), self.spread.len()] != [columns; 2] || self.slope.len() != 2 * columns + 1 {
            return Err(format!("a line of {} numbers for {columns} columns", self.slope.len()));
        }
        if self.spread.contains(&0.0) {
            return Err("a column of a line has no spread".to_owned());
        }
        finite("a line", self.mean.iter().chain(&self.spread).chain(&self.slope).copied())
    }

    /// How far each column moved the probability of a row from that of a row at the mean, about.
    pub(crate) fn explain(&self, value: impl Fn(usize) -> f32, share: f64, into: &mut [f64]) {
        let p = self.probability(&value);
        let mut inputs = Vec::with_capacity(self.slope.len());
        self.inputs(value, &mut inputs);
        for (at, into) in into.iter_mut().enumerate() {
            *into += share * (p * (1.0 - p)).max(0.05) * inputs[at] * self.slope[at];
        }
    }
}

/// What is lowered.
#[derive(Clone, Copy)]
pub(crate) enum Loss {
    /// The log loss: what a line is learnt by.
    Log,
    /// The squared distance: the Brier score, by which calibrations are chosen. A few sure errors weigh less.
    Square,
}

impl Loss {
    fn of(self, z: f64, y: f64) -> f64 {
        match self {
            // ln(1 + e^z) - y z without overflow.
            Self::Log => z.max(0.0) + (-z.abs()).exp().ln_1p() - y * z,
            Self::Square => (logistic(z) - y).powi(2),
        }
    }

    /// How far the loss pulls at the logit, and how the pull bends (Gauss-Newton for squares).
    fn pull(self, z: f64, y: f64) -> (f64, f64) {
        let p = logistic(z);
        let slope = (p * (1.0 - p)).max(1e-6);
        match self {
            Self::Log => (y - p, slope),
            Self::Square => (2.0 * (y - p) * slope, 2.0 * slope * slope),
        }
    }
}

/// Slopes that lower a weighted loss plus `ridge` / 2 times their squared length, added to an offset: Newton's method.
pub(crate) fn newton(
    loss: Loss,
    inputs: &[f64],
    width: usize,
    label: &[f64],
    weight: &[f64],
    offset: &[f64],
    ridge: f64,
) -> Vec<f64> {
    let logits = |slope: &[f64]| -> Vec<f64> {
        let logit = |(x, offset): (&[f64], &f64)| offset + x.iter().zip(slope).map(|(x, s)| x * s).sum::<f64>();
        inputs.chunks_exact(width).zip(offset).map(logit).collect()
    };
    let total = |logits: &[f64], slope: &[f64]| {
        let data: f64 = logits.iter().zip(label).zip(weight).map(|((z, y), w)| w * loss.of(*z, *y)).sum();
        data + ridge / 2.0 * slope.iter().map(|s| s * s).sum::<f64>()
    };
    let mut slope = vec![0.0; width];
    let mut z = logits(&slope);
    let mut now = total(&z, &slope);
    for _ in 0..30 {
        let mut gradient: Vec<f64> = slope.iter().map(|s| -ridge * s).collect();
        let mut curve = vec![0.0; width * width];
        for (at, x) in inputs.chunks_exact(width).enumerate() {
            let (pull, bend) = loss.pull(z[at], label[at]);
            let (pull, bend) = (weight[at] * pull, weight[at] * bend);
            for i in (0..width).filter(|&i| x[i] != 0.0) {
                gradient[i] += pull * x[i];
                let scaled = bend * x[i];
                let row = &mut curve[i * width..=i * width + i];
                row.iter_mut().zip(x).for_each(|(c, x)| *c += scaled * x);
            }
        }
        (0..width).for_each(|i| curve[i * width + i] += ridge);
        let step = solve(&mut curve, gradient, width);
        // Where the curve is flat a whole step leaps too far: halve it until it helps.
        let halves = (0..20).map(|halvings| 0.5_f64.powi(halvings));
        let mut tried = halves.map(|part| {
            let next: Vec<f64> = slope.iter().zip(&step).map(|(s, d)| s + part * d).collect();
            let z = logits(&next);
            (total(&z, &next), next, z)
        });
        let Some((then, next, logits)) = tried.find(|(then, ..)| *then < now) else { break };
        let gained = now - then;
        (now, slope, z) = (then, next, logits);
        if gained < 1e-9 * now.max(1.0) {
            break;
        }
    }
    slope
}

/// Solves a positive definite system whose lower half is given (Cholesky).
fn solve(lower: &mut [f64], mut right: Vec<f64>, n: usize) -> Vec<f64> {
    for i in 0..n {
        for j in 0..=i {
            let dot: f64 = (0..j).map(|k| lower[i * n + k] * lower[j * n + k]).sum();
            let rest = lower[i * n + j] - dot;
            lower[i * n + j] = if i == j { rest.max(1e-12).sqrt() } else { rest / lower[j * n + j] };
        }
    }
    for i in 0..n {
        let dot: f64 = (0..i).map(|k| lower[i * n + k] * right[k]).sum();
        right[i] = (right[i] - dot) / lower[i * n + i];
    }
    for i in (0..n).rev() {
        let dot: f64 = (i + 1..n).map(|k| lower[k * n + i] * right[k]).sum();
        right[i] = (right[i] - dot) / lower[i * n + i];
    }
    right
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_over_a_column_that_never_varies_is_read_back_as_it_was() {
        let columns: [&[f32]; 3] = [&[1.0, 2.0, 3.0, 4.0], &[7.0; 4], &[f32::NAN; 4]];
        let line = Line::fit(&columns, &[0, 1, 2, 3], &[0.0, 0.0, 1.0, 1.0], &[1.0; 4]);
        let kept = serde_json::to_vec(&line).unwrap();
        assert_eq!(serde_json::from_slice::<Line>(&kept).unwrap(), line);
        let far = line.probability(|column| [9.0, 1e30, 5.0][column]);
        assert!(far > 0.5 && far <= 1.0, "{far}");
    }
}
