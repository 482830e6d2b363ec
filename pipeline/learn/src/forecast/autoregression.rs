//! Linear regression of a value on those just before it and on those one or more periods before (a seasonal autoregression;
//! Box & Jenkins 1970), with shrunk coefficients (ridge, Hoerl & Kennard 1970), continued step by step.
//!
//! On series with more than one season nothing else that was tried came near it: the values at `period − 1`, `period` and
//! `period + 1` let level, season and what is left of the last error each go on as fast as the series itself says.

use super::median;

/// What a value is regressed on, and how.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form {
    /// The values just before.
    near: usize,
    /// How far around each period: `period − around ..= period + around`.
    around: usize,
    /// Multiples of the shorter periods, where there is a longer one, and of the longest.
    shorter: usize,
    longest: usize,
    /// Shrinkage, as a share of the mean variance of the columns.
    ridge: f64,
    /// Passes in which rows with large errors count less (Huber 1964).
    robust: usize,
    /// Whether older rows count less.
    faded: bool,
    /// Whether changes are regressed on changes.
    pub(super) differenced: bool,
}

/// Three values before.
pub(super) const SHORT: Form =
    Form { near: 3, around: 1, shorter: 1, longest: 1, ridge: 1e-4, robust: 0, faded: false, differenced: false };
/// Eight values before, more of each season, and the recent past counts more.
pub(super) const LONG: Form =
    Form { near: 8, around: 2, shorter: 2, longest: 1, ridge: 1e-4, robust: 0, faded: true, differenced: false };
/// Changes, for series whose level wanders; three cycles of the season, as changes are noisy.
pub(super) const CHANGES: Form =
    Form { near: 6, around: 3, shorter: 2, longest: 3, ridge: 0.03, robust: 2, faded: true, differenced: true };

/// The least rows a coefficient is estimated from.
const ROWS_PER_LAG: f64 = 3.0;
/// Rows to fit from, at least and in longest periods; older ones are left out.
const MOST_ROWS: usize = 1200;
const MOST_PERIODS: usize = 8;
/// A row this many values (or longest periods) old counts half.
const HALF_LIFE: f64 = 300.0;
const HALF_LIFE_PERIODS: f64 = 2.5;
/// Errors of so many times the median one begin to count less.
const LARGE: f64 = 1.5;

/// Which distances back are looked at, as far as the length of the series allows.
fn lags(form: &Form, periods: &[usize], length: usize) -> Vec<usize> {
    let mut lags: Vec<usize> = (1..=form.near).collect();
    let longest = periods.iter().copied().max().unwrap_or(1);
    for period in periods.iter().copied().filter(|p| *p > 1) {
        let multiples = if period < longest { form.shorter } else { form.longest };
        for multiple in 1..=multiples {
            let centre = multiple * period;
            let around = if multiple == 1 { form.around } else { 1 }.min(centre - 1);
            lags.extend(centre - around..=centre + around);
        }
    }
    lags.sort_unstable();
    lags.dedup();
    let needed = ROWS_PER_LAG * lags.len() as f64;
    lags.retain(|lag| length as f64 > *lag as f64 + needed);
    lags
}

/// The `steps` values after the series; none where there are too few rows for the coefficients.
pub(super) fn forecast(form: &Form, y: &[f64], periods: &[usize], steps: usize) -> Option<Vec<f64>> {
    if !form.differenced {
        return levels(form, y, periods, steps);
    }
    let changes: Vec<f64> = y.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let mut level = *y.last()?;
    let next = levels(form, &changes, periods, steps)?;
    Some(
        next.into_iter()
            .map(|change| {
                level += change;
                level
            })
            .collect(),
    )
}

fn levels(form: &Form, y: &[f64], periods: &[usize], steps: usize) -> Option<Vec<f64>> {
    let lags = lags(form, periods, y.len());
    let period = periods.iter().copied().max().unwrap_or(1);
    let most = MOST_ROWS.max(MOST_PERIODS * period);
    let first = lags.iter().copied().max()?.max(y.len().saturating_sub(most));
    if y.len() < first + 2 * lags.len() + 8 {
        return None;
    }
    let half_life = HALF_LIFE.max(HALF_LIFE_PERIODS * period as f64);
    let age = |row: usize| (y.len() - 1 - first - row) as f64;
    let faded = |row: usize| if form.faded { 0.5_f64.powf(age(row) / half_life) } else { 1.0 };
    let mut weights: Vec<f64> = (0..y.len() - first).map(faded).collect();
    let mut line = fit(y, &lags, first, &weights, form.ridge)?;
    for _ in 0..form.robust {
        let errors: Vec<f64> = (first..y.len()).map(|t| (y[t] - line.at(y, &lags, t)).abs()).collect();
        let middle = median(&mut errors.clone()).max(f64::MIN_POSITIVE);
        let less = |(row, error): (usize, &f64)| faded(row) * (LARGE * middle / error.max(f64::MIN_POSITIVE)).min(1.0);
        weights = errors.iter().enumerate().map(less).collect();
        line = fit(y, &lags, first, &weights, form.ridge)?;
    }
    let (low, high) = y.iter().fold((f64::MAX, f64::MIN), |(l, h), v| (l.min(*v), h.max(*v)));
    let span = high - low;
    let mut all = y.to_vec();
    for t in y.len()..y.len() + steps {
        // Coefficients that make a series explode are no forecast.
        all.push(line.at(&all, &lags, t).clamp(low - span, high + span));
    }
    Some(all.split_off(y.len()))
}

struct Line {
    constant: f64,
    weights: Vec<f64>,
}

impl Line {
    fn at(&self, y: &[f64], lags: &[usize], t: usize) -> f64 {
        self.constant + self.weights.iter().zip(lags).map(|(w, lag)| w * y[t - lag]).sum::<f64>()
    }
}

/// Weighted ridge around the mean of each column, so that the constant is not shrunk.
fn fit(y: &[f64], lags: &[usize], first: usize, weights: &[f64], ridge: f64) -> Option<Line> {
    let k = lags.len();
    let total: f64 = weights.iter().sum();
    let weighted = |values: &[f64]| values.iter().zip(weights).map(|(v, w)| v * w).sum::<f64>() / total;
    let target_mean = weighted(&y[first..]);
    let means: Vec<f64> = lags.iter().map(|lag| weighted(&y[first - lag..y.len() - lag])).collect();
    let centred =
        |(lag, mean): (&usize, &f64)| -> Vec<f64> { y[first - lag..y.len() - lag].iter().map(|v| v - mean).collect() };
    let columns: Vec<Vec<f64>> = lags.iter().zip(&means).map(centred).collect();
    let target: Vec<f64> = y[first..].iter().map(|v| v - target_mean).collect();
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let mut system = vec![vec![0.0; k + 1]; k];
    for i in 0..k {
        let scaled: Vec<f64> = columns[i].iter().zip(weights).map(|(v, w)| v * w).collect();
        for j in i..k {
            system[i][j] = dot(&scaled, &columns[j]);
            system[j][i] = system[i][j];
        }
        system[i][k] = dot(&scaled, &target);
    }
    let size = (0..k).map(|i| system[i][i]).sum::<f64>() / k as f64;
    (0..k).for_each(|i| system[i][i] += ridge * size);
    let weights = solve(system)?;
    let constant = target_mean - dot(&weights, &means);
    Some(Line { constant, weights })
}

/// Solves the system whose last column is the right side, by elimination with pivots.
fn solve(mut rows: Vec<Vec<f64>>) -> Option<Vec<f64>> {
    let k = rows.len();
    for i in 0..k {
        let pivot = (i..k).max_by(|a, b| rows[*a][i].abs().total_cmp(&rows[*b][i].abs()))?;
        rows.swap(i, pivot);
        if rows[i][i] == 0.0 {
            return None;
        }
        let (above, below) = rows.split_at_mut(i + 1);
        for row in below {
            let factor = row[i] / above[i][i];
            row[i..].iter_mut().zip(&above[i][i..]).for_each(|(value, pivot)| *value -= factor * pivot);
        }
    }
    let mut x = vec![0.0; k];
    for i in (0..k).rev() {
        let known: f64 = rows[i][i + 1..k].iter().zip(&x[i + 1..]).map(|(a, x)| a * x).sum();
        x[i] = (rows[i][k] - known) / rows[i][i];
    }
    x.iter().all(|v| v.is_finite()).then_some(x)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equations_are_solved() {
        // x + 2y = 5, 3x + 4y = 11: x = 1, y = 2.
        let x = solve(vec![vec![1.0, 2.0, 5.0], vec![3.0, 4.0, 11.0]]).unwrap();
        assert!((x[0] - 1.0).abs() < 1e-12 && (x[1] - 2.0).abs() < 1e-12);
        assert!(solve(vec![vec![1.0, 2.0, 5.0], vec![2.0, 4.0, 10.0]]).is_none(), "no one solution");
    }

    #[test]
    fn a_known_recurrence_is_found_and_continued() {
        // y = 1.5 y₁ − 0.7 y₂ + 2, from a start far from its rest at 10.
        let mut y = vec![30.0, 28.0];
        (2..80).for_each(|t| y.push(1.5 * y[t - 1] - 0.7 * y[t - 2] + 2.0));
        let form = Form { ridge: 1e-12, ..SHORT };
        let next = forecast(&form, &y[..40], &[], 40).unwrap();
        next.iter().zip(&y[40..]).for_each(|(said, came)| assert!((said - came).abs() < 1e-3, "{said} {came}"));
    }

    #[test]
    fn two_seasons_are_continued() {
        let cycle = |t: usize, p: usize| (std::f64::consts::TAU * (t % p) as f64 / p as f64).sin();
        let y: Vec<f64> = (0..120).map(|t| 50.0 + 10.0 * cycle(t, 6) + 5.0 * cycle(t, 30)).collect();
        let next = forecast(&SHORT, &y[..100], &[6, 30], 20).unwrap();
        next.iter().zip(&y[100..]).for_each(|(said, came)| assert!((said - came).abs() < 0.5, "{said} {came}"));
    }

    #[test]
    fn too_short_a_series_has_none() {
        assert!(forecast(&LONG, &[1.0, 2.0, 3.0, 4.0, 5.0], &[], 3).is_none());
        assert!(lags(&SHORT, &[24, 168], 100).iter().all(|lag| *lag < 50));
    }
}
