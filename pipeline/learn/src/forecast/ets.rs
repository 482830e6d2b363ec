//! Exponential smoothing: level, and trend damped or not, by AICc (Hyndman et al. 2008, as implemented by augurs). The crate
//! fits no seasonal states; season is [`super::mstl`]'s part.

use augurs::ets::AutoETS;
use augurs::{Fit, Predict};

/// The smoothing parameters forget what is older; more values cost time and change nothing.
const MOST: usize = 21 * 24;

/// Additive errors only: usage touches zero, where multiplicative ones are undefined.
pub(super) fn model() -> Option<AutoETS> {
    AutoETS::new(1, "AZN").ok()
}

pub(super) fn forecast(series: &[f64], steps: usize) -> Option<Vec<f64>> {
    let recent = &series[series.len().saturating_sub(MOST)..];
    let unit = mean_size(recent)?;
    let scaled: Vec<f64> = recent.iter().map(|v| v / unit).collect();
    let fitted = model()?.fit(&scaled).ok()?;
    let forecast = fitted.predict(steps, None).ok()?;
    Some(forecast.point.into_iter().map(|v| v * unit).collect())
}

/// The optimiser starts from figures near one: bytes are brought there. None for a series of zeros.
pub(super) fn mean_size(series: &[f64]) -> Option<f64> {
    let mean = series.iter().map(|v| v.abs()).sum::<f64>() / series.len() as f64;
    (mean.is_normal()).then_some(mean)
}

#[cfg(test)]
mod tests {
    use crate::forecast::tests::daily;

    #[test]
    fn a_level_is_found_in_any_unit() {
        for unit in [1e-3, 1.0, 1e9] {
            let series: Vec<f64> = daily(300, 0.0, 0.1, 5).into_iter().map(|v| v * unit).collect();
            let forecast = super::forecast(&series, 10).unwrap();
            assert!(forecast.iter().all(|v| (v / unit - 2.0).abs() < 0.1), "{forecast:?}");
        }
    }
}
