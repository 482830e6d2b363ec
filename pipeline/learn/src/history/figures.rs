//! Figures of a job's last values: shares of what is sorted, spread, fading mean and trend.

use crate::metrics::mean;

/// As [`quantile`](crate::metrics::quantile), of what is sorted.
pub(super) fn at_share(sorted: &[f64], q: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let at = q * last as f64;
    let (low, high) = (sorted[at as usize], sorted[at.ceil() as usize]);
    low + (high - low) * at.fract()
}

/// The first so many values, sorted, for each of ascending numbers.
pub(super) fn sorted_prefixes<const N: usize>(values: &[f64], numbers: [usize; N]) -> [Vec<f64>; N] {
    let mut sorted: Vec<f64> = Vec::with_capacity(values.len());
    numbers.map(|n| {
        for &v in values.iter().take(n).skip(sorted.len()) {
            sorted.insert(sorted.partition_point(|s| *s < v), v);
        }
        sorted.clone()
    })
}

/// The standard deviation of the population; NaN below two.
pub(super) fn spread(values: &[f64]) -> f64 {
    if values.len() < 2 {
        return f64::NAN;
    }
    let middle = mean(values.iter().copied());
    mean(values.iter().map(|v| (v - middle).powi(2))).sqrt()
}

/// The mean with weights that fall by a factor from the newest value on.
pub(super) fn fading_mean(newest_first: &[f64], factor: f64) -> f64 {
    let (mut sum, mut weights, mut weight) = (0.0, 0.0, 1.0);
    for v in newest_first {
        sum += weight * v;
        weights += weight;
        weight *= factor;
    }
    sum / weights
}

/// By how much values rise from one to the next (least squares); NaN below three.
pub(super) fn trend(newest_first: &[f64]) -> f64 {
    if newest_first.len() < 3 {
        return f64::NAN;
    }
    let (middle, level) = ((newest_first.len() - 1) as f64 / 2.0, mean(newest_first.iter().copied()));
    let (mut rise, mut run) = (0.0, 0.0);
    for (at, v) in newest_first.iter().enumerate() {
        rise += (middle - at as f64) * (v - level);
        run += (middle - at as f64).powi(2);
    }
    rise / run
}
