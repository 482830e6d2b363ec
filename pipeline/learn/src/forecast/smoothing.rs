//! Exponential smoothing with additive errors: a level; a level and a trend; the trend damped (Hyndman, Koehler, Ord &
//! Snyder 2008, chapters 2 and 5). The form is chosen by AICc. Seasons are taken off before, by [`super::decompose`].

use super::optimum::minimise;

/// Older values count next to nothing in an exponential average.
const MOST: usize = 500;
/// Damping below this forgets a trend within three steps; above, it is no damping (as in R's `forecast::ets`).
const DAMPING: (f64, f64) = (0.8, 0.98);

#[derive(Clone, Copy, PartialEq)]
enum Trend {
    None,
    Damped,
    Full,
}

/// Where smoothing ended: what a forecast starts from.
#[derive(Clone, Copy)]
pub(super) struct State {
    level: f64,
    trend: f64,
    damping: f64,
}

impl State {
    /// The `steps` values after it.
    pub(super) fn forecast(self, steps: usize) -> Vec<f64> {
        let mut damped = 0.0;
        let mut power = 1.0;
        (0..steps)
            .map(|_| {
                power *= self.damping;
                damped += power;
                self.level + damped * self.trend
            })
            .collect()
    }
}

/// A fitted smoothing: where it ended, and its rates, which another night may take over.
#[derive(Clone)]
pub(super) struct Fitted {
    pub(super) state: State,
    /// Of the level, of the trend (0: there is none), and the damping of the trend (1: there is none).
    pub(super) rates: [f64; 3],
}

/// One pass: the sum of squared one-step errors and the state after the last value.
fn pass(y: &[f64], start: (f64, f64), alpha: f64, beta: f64, damping: f64) -> (f64, State) {
    let (mut level, mut trend) = start;
    let mut squares = 0.0;
    for value in y {
        let expected = level + damping * trend;
        let error = value - expected;
        squares += error * error;
        level = expected + alpha * error;
        trend = damping * trend + alpha * beta * error;
    }
    (squares, State { level, trend, damping })
}

/// The first level and trend: a straight line through the first ten values.
fn start(y: &[f64], trend: Trend) -> (f64, f64) {
    let first = &y[..y.len().min(10)];
    let n = first.len() as f64;
    let mean = first.iter().sum::<f64>() / n;
    if trend == Trend::None || first.len() < 3 {
        return (mean, 0.0);
    }
    let middle = (n - 1.0) / 2.0;
    let (mut xy, mut xx) = (0.0, 0.0);
    for (i, value) in first.iter().enumerate() {
        let x = i as f64 - middle;
        xy += x * (value - mean);
        xx += x * x;
    }
    let slope = xy / xx;
    (mean - slope * (middle + 1.0), slope)
}

fn fit(y: &[f64], trend: Trend) -> (Fitted, f64) {
    let from = start(y, trend);
    let n = y.len() as f64;
    let (rates, parameters) = match trend {
        Trend::None => {
            let ([alpha], _) = minimise([0.3], [0.01], [0.9999], 40, |[a]| pass(y, from, *a, 0.0, 1.0).0);
            ([alpha, 0.0, 1.0], 3.0)
        }
        Trend::Full => {
            let of = |x: &[f64; 2]| pass(y, from, x[0], x[1], 1.0).0;
            let (x, _) = minimise([0.3, 0.05], [0.01, 0.0001], [0.9999, 0.9], 80, of);
            ([x[0], x[1], 1.0], 5.0)
        }
        Trend::Damped => {
            let of = |x: &[f64; 3]| pass(y, from, x[0], x[1], x[2]).0;
            let (low, high) = ([0.01, 0.0001, DAMPING.0], [0.9999, 0.9, DAMPING.1]);
            let (x, _) = minimise([0.3, 0.05, 0.95], low, high, 120, of);
            (x, 6.0)
        }
    };
    let (squares, state) = pass(y, from, rates[0], rates[1], rates[2]);
    let likelihood = n * (squares / n).max(f64::MIN_POSITIVE).ln();
    let correction = if n > parameters + 1.0 { 2.0 * parameters * n / (n - parameters - 1.0) } else { f64::MAX };
    (Fitted { state, rates }, likelihood + correction)
}

/// With rates that were fitted before: a pass instead of a search.
pub(super) fn with_rates(y: &[f64], rates: [f64; 3]) -> Option<Fitted> {
    let y = recent(y);
    let trend = match rates {
        [_, 0.0, _] => Trend::None,
        [_, _, 1.0] => Trend::Full,
        _ => Trend::Damped,
    };
    if y.len() < 2 {
        return None;
    }
    let (_, state) = pass(y, start(y, trend), rates[0], rates[1], rates[2]);
    Some(Fitted { state, rates })
}

fn recent(y: &[f64]) -> &[f64] {
    &y[y.len().saturating_sub(MOST)..]
}

/// The best of the three by AICc.
pub(super) fn ets(y: &[f64]) -> Option<Fitted> {
    let y = recent(y);
    if y.len() < 2 {
        return None;
    }
    let fitted = [Trend::None, Trend::Damped, Trend::Full].map(|trend| fit(y, trend));
    fitted.into_iter().min_by(|a, b| a.1.total_cmp(&b.1)).map(|(fitted, _)| fitted)
}

/// A damped trend whatever the criterion says: the hardest single method to beat in forecasting competitions.
pub(super) fn damped(y: &[f64]) -> Option<Fitted> {
    let y = recent(y);
    (y.len() >= 4).then(|| fit(y, Trend::Damped).0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_straight_line_goes_on() {
        let y: Vec<f64> = (0..60).map(|t| 5.0 + 2.0 * t as f64).collect();
        let next = ets(&y).unwrap().state.forecast(3);
        next.iter()
            .zip([125.0, 127.0, 129.0])
            .for_each(|(said, came)| assert!((said - came).abs() < 0.1, "{said} {came}"));
    }

    #[test]
    fn without_a_trend_the_level_is_the_mean_of_noise() {
        let mut seed = 5;
        let y: Vec<f64> = (0..300).map(|_| 10.0 + crate::forecast::tests::noise(&mut seed)).collect();
        let next = ets(&y).unwrap().state.forecast(20);
        assert!(next.iter().all(|v| (v - 10.0).abs() < 0.3), "{next:?}");
    }

    #[test]
    fn a_damped_trend_ends_somewhere() {
        let state = State { level: 1.0, trend: 1.0, damping: 0.5 };
        // 1 + 1/2, + 1/4, … up to 2.
        assert_eq!(state.forecast(3), [1.5, 1.75, 1.875]);
        let far = state.forecast(60);
        assert!((far[59] - 2.0).abs() < 1e-9);
    }
}
