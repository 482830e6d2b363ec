//! The optimised theta method (Fiorucci, Pellegrini, Louzada, Petropoulos & Koehler 2016): half a straight line through the
//! whole series, half exponential smoothing of what bends away from it; how strongly it bends (theta) is fitted, not two.

use super::optimum::minimise;

/// Longer series are cut: the straight line through years says little about the next steps.
const MOST: usize = 500;

struct Line {
    intercept: f64,
    slope: f64,
}

fn line(y: &[f64]) -> Line {
    let n = y.len() as f64;
    let middle = (n + 1.0) / 2.0;
    let mean = y.iter().sum::<f64>() / n;
    let (mut xy, mut xx) = (0.0, 0.0);
    for (i, value) in y.iter().enumerate() {
        let x = (i + 1) as f64 - middle;
        xy += x * (value - mean);
        xx += x * x;
    }
    let slope = if xx > 0.0 { xy / xx } else { 0.0 };
    Line { intercept: mean - slope * middle, slope }
}

/// Values one step ahead all along, and the state at the end, of the state-space form (equations 14 to 17).
fn pass(y: &[f64], line: &Line, alpha: f64, theta: f64) -> (f64, f64) {
    let weight = 1.0 - 1.0 / theta;
    // The first value is met exactly.
    let mut level = y[0] - weight * (line.intercept + line.slope);
    let decay = 1.0 - alpha;
    let mut power = 1.0;
    let mut squares = 0.0;
    for value in y {
        let drift = line.intercept * power + line.slope * (1.0 - power * decay) / alpha;
        let expected = level + weight * drift;
        squares += (value - expected).powi(2);
        level = alpha * value + decay * level;
        power *= decay;
    }
    (squares, level)
}

/// The `steps` values after the series, and the rates: of the smoothing, and theta. Another night may take them over.
pub(super) fn forecast(y: &[f64], steps: usize, kept: Option<[f64; 2]>) -> Option<(Vec<f64>, [f64; 2])> {
    let y = &y[y.len().saturating_sub(MOST)..];
    if y.len() < 4 {
        return None;
    }
    let line = line(y);
    let of = |x: &[f64; 2]| pass(y, &line, x[0], x[1]).0;
    let fitted = || {
        // The classical method, and a fast one that follows a steep line: the valley between them has a ridge.
        let starts = [[0.5, 2.0], [0.9, 8.0]].map(|start| minimise(start, [0.05, 1.0], [0.99, 10.0], 60, of));
        if starts[1].1 < starts[0].1 { starts[1].0 } else { starts[0].0 }
    };
    let rates = kept.unwrap_or_else(fitted);
    let [alpha, theta] = rates;
    let (_, mut level) = pass(y, &line, alpha, theta);
    let weight = 1.0 - 1.0 / theta;
    let decay = 1.0 - alpha;
    let n = y.len() as f64;
    let far = (0..steps).map(|step| {
        let drift = line.intercept * decay.powf(n + step as f64)
            + line.slope * (1.0 - decay.powf(n + step as f64 + 1.0)) / alpha;
        let expected = level + weight * drift;
        level = alpha * expected + decay * level;
        expected
    });
    Some((far.collect(), rates))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_straight_line_goes_on() {
        let y: Vec<f64> = (0..80).map(|t| 100.0 + 3.0 * t as f64).collect();
        let next = forecast(&y, 4, None).unwrap().0;
        next.iter()
            .zip([340.0, 343.0, 346.0, 349.0])
            .for_each(|(said, came)| assert!((said - came).abs() < 2.0, "{said} {came}"));
    }

    #[test]
    fn a_flat_series_stays_flat() {
        assert!(forecast(&[7.0; 30], 5, None).unwrap().0.iter().all(|v| (v - 7.0).abs() < 1e-6));
        assert!(forecast(&[1.0, 2.0, 3.0], 5, None).is_none());
    }
}
