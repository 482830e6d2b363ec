//! Intervals from errors already made (split conformal prediction, Vovk et al. 2005; scaled scores, Lei et al. 2018): no
//! distribution is assumed, and the errors are those of the cross-validation, which had not seen the hours they fell in.
//!
//! Errors grow with the horizon, and four origins give too few at each step. So steps are put in buckets, the errors of a
//! bucket are divided by its mean absolute error, and the quantiles of all scaled errors together are scaled back.
//!
//! The hours of one origin err together, so quantiles of a few origins promise more than they hold for the next one. The
//! intervals are therefore widened until those made without an origin hold the stated share of it (cross-conformal, Vovk
//! 2015, with one fold an origin).

/// Where a bucket ends, in steps; beyond, one bucket a week.
const BUCKET_ENDS: [usize; 5] = [3, 6, 12, 24, 72];
const LAST_BUCKET: usize = 168;

/// A bucket counts as this many errors of overall size more than it has.
const PRIOR_ERRORS: f64 = 12.0;

/// Widths tried, as multiples of what the quantiles say.
const WIDENINGS: [f64; 9] = [1.0, 1.1, 1.2, 1.35, 1.5, 1.75, 2.0, 2.5, 3.0];
/// Where there is no second origin to try on.
const UNTRIED_WIDENING: f64 = 1.5;

/// Quantiles of the scaled errors, and the scale of every bucket.
pub(super) struct Conformal {
    low: f64,
    high: f64,
    scales: Vec<f64>,
    /// Steps that were measured.
    measured: usize,
}

impl Conformal {
    /// From errors (actual − forecast) by origin and step, for the share `coverage`, widened as far as the origins ask for.
    pub(super) fn fit(residuals: &[Vec<f64>], coverage: f64) -> Self {
        let mut fitted = Self::of_quantiles(residuals, coverage);
        let widening = widening(residuals, coverage);
        fitted.low *= widening;
        fitted.high *= widening;
        fitted
    }

    fn of_quantiles(residuals: &[Vec<f64>], coverage: f64) -> Self {
        let measured = residuals.iter().map(Vec::len).max().unwrap_or(0);
        let mut sums = vec![(0.0, 0.0); bucket(measured.saturating_sub(1)) + 1];
        for errors in residuals {
            for (step, error) in errors.iter().enumerate() {
                let sum = &mut sums[bucket(step)];
                sum.0 += error.abs();
                sum.1 += 1.0;
            }
        }
        let (size, count) = sums.iter().fold((0.0, 0.0), |(s, n), b| (s + b.0, n + b.1));
        let overall: f64 = if count > 0.0 { size / count } else { 0.0 };
        let scales: Vec<f64> = sums.iter().map(|(s, n)| (s + PRIOR_ERRORS * overall) / (n + PRIOR_ERRORS)).collect();
        let mut scores: Vec<f64> = residuals
            .iter()
            .flat_map(|errors| errors.iter().enumerate())
            .map(|(step, error)| if scales[bucket(step)] > 0.0 { error / scales[bucket(step)] } else { 0.0 })
            .collect();
        scores.sort_by(f64::total_cmp);
        let tail = (1.0 - coverage) / 2.0;
        Self {
            low: -upper_score(&mirrored(&scores), 1.0 - tail),
            high: upper_score(&scores, 1.0 - tail),
            scales,
            measured,
        }
    }

    /// Lower and upper bounds around a forecast, never below zero and never on the wrong side of it.
    pub(super) fn around(&self, centre: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let bound = |score: f64| {
            centre.iter().enumerate().map(move |(step, value)| value + score * self.scale(step)).collect::<Vec<f64>>()
        };
        let lower = bound(self.low).into_iter().zip(centre).map(|(low, c)| low.min(*c).max(0.0)).collect();
        let upper = bound(self.high).into_iter().zip(centre).map(|(high, c)| high.max(*c)).collect();
        (lower, upper)
    }

    /// Beyond what was measured, errors are taken to grow as those of a random walk do, with the square root of the distance.
    fn scale(&self, step: usize) -> f64 {
        let known = self.scales.get(bucket(step)).or(self.scales.last()).copied().unwrap_or(0.0);
        if self.measured == 0 || step < self.measured {
            return known;
        }
        known * ((step + 1) as f64 / self.measured as f64).sqrt()
    }
}

/// The least widening under which intervals made without an origin hold the share `coverage` of its errors, over all origins.
fn widening(residuals: &[Vec<f64>], coverage: f64) -> f64 {
    if residuals.len() < 2 {
        return UNTRIED_WIDENING;
    }
    let without: Vec<Conformal> = (0..residuals.len())
        .map(|i| {
            let others: Vec<Vec<f64>> =
                residuals.iter().enumerate().filter(|(j, _)| *j != i).map(|(_, e)| e.clone()).collect();
            Conformal::of_quantiles(&others, coverage)
        })
        .collect();
    let holds = |widening: &f64| {
        let (mut inside, mut all) = (0_usize, 0_usize);
        for (conformal, errors) in without.iter().zip(residuals) {
            let (low, high) = ((conformal.low * widening).min(0.0), (conformal.high * widening).max(0.0));
            let fits = |(step, error): &(usize, &f64)| {
                let scale = conformal.scale(*step);
                (low * scale..=high * scale).contains(*error)
            };
            inside += errors.iter().enumerate().filter(fits).count();
            all += errors.len();
        }
        inside as f64 >= coverage * all as f64
    };
    WIDENINGS.into_iter().find(holds).unwrap_or(WIDENINGS[WIDENINGS.len() - 1])
}

/// The `⌈(n + 1) q⌉`-th smallest score, the largest where there are too few.
fn upper_score(ascending: &[f64], q: f64) -> f64 {
    let rank = ((ascending.len() + 1) as f64 * q).ceil() as usize;
    ascending.get(rank.min(ascending.len()).saturating_sub(1)).copied().unwrap_or(0.0)
}

fn mirrored(ascending: &[f64]) -> Vec<f64> {
    ascending.iter().rev().map(|x| -x).collect()
}

fn bucket(step: usize) -> usize {
    let last = BUCKET_ENDS.len();
    match BUCKET_ENDS.iter().position(|end| step < *end) {
        Some(i) => i,
        None => last + (step - BUCKET_ENDS[last - 1]) / LAST_BUCKET,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_of_equal_scales_are_the_errors_themselves() {
        // 1 … 19 with both signs equally large at each step: 0.95 × 20 = the 19th of 19.
        let errors: Vec<f64> = (1..=19).map(f64::from).collect();
        assert_eq!(upper_score(&errors, 0.95), 19.0);
        assert_eq!(upper_score(&errors, 0.5), 10.0);
    }

    #[test]
    fn later_steps_are_wider_when_their_errors_are() {
        let errors: Vec<f64> = (0..24).map(|h| if h % 2 == 0 { 1.0 } else { -1.0 } * (1.0 + h as f64)).collect();
        let c = Conformal::fit(&vec![errors; 4], 0.9);
        let (lower, upper) = c.around(&[100.0; 48]);
        assert!(upper[23] - lower[23] > 1.5 * (upper[0] - lower[0]));
        assert!(upper[47] > upper[23]);
        assert!(c.around(&[0.0; 3]).0.iter().all(|low| *low == 0.0));
    }
}
