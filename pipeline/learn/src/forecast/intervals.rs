//! Intervals from errors already made (split conformal prediction, Vovk et al. 2005; scaled scores, Lei et al. 2018): no
//! distribution is assumed, and the errors are those of origins that had not seen the values they fell on.
//!
//! An error is divided by what errors of its size usually are: those of the series at its *other* origins (cross-conformal,
//! Vovk 2015, so that a series that was easy by chance does not promise more than it keeps), of the step ahead, and of the
//! level forecast, if large values have larger errors. The scores of all series together then say how far out the bounds
//! lie, drawn to those of the series itself as far as it has origins.

use serde::{Deserialize, Serialize};

/// Where a bucket of steps ends; beyond, each is as long as all before it.
const BUCKET_ENDS: [usize; 9] = [1, 2, 3, 6, 12, 24, 48, 96, 192];
/// A bucket counts as this many errors of overall size more than it has.
const PRIOR_ERRORS: f64 = 12.0;
/// The size of errors counts as this many origins at which they were, in the unit of MASE, what they are in all series.
const PRIOR_ORIGINS: f64 = 0.5;
/// How errors may grow with the level: not at all, with its square root, in proportion.
const POWERS: [f64; 3] = [0.0, 0.5, 1.0];
/// A level is taken to be at least this share of the mean one.
const LEAST_LEVEL: f64 = 0.05;
/// The scores of all series count as this many origins of the series itself.
const POOLED_ORIGINS: f64 = 5.0;

/// What one series did at one origin.
pub(super) struct Miss {
    /// The forecast, and what came less the forecast.
    pub(super) said: Vec<f64>,
    pub(super) error: Vec<f64>,
}

/// The misses of one series.
pub(super) struct Misses {
    pub(super) origins: Vec<Miss>,
    /// The unit of MASE.
    pub(super) scale: f64,
}

/// How wide the intervals of all series are.
pub(super) struct Calibration {
    shape: Shape,
    /// Mean error over all series in the unit of MASE.
    usual: f64,
    /// Where the bounds of each series lie, in scores.
    bounds: Vec<(f64, f64)>,
}

/// How errors grow with the level and the steps ahead.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Shape {
    power: f64,
    /// By bucket of steps.
    growth: Vec<f64>,
    /// Steps that were measured.
    measured: usize,
}

/// The bounds of one series, as they can be kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Bounds {
    shape: Shape,
    /// How far below and above the forecast they lie where errors are as they usually are.
    below: f64,
    above: f64,
}

impl Bounds {
    /// Lower and upper bounds around a forecast.
    pub(super) fn around(&self, said: &[f64]) -> (Vec<f64>, Vec<f64>) {
        (self.shape.apart(said, self.below), self.shape.apart(said, self.above))
    }
}

impl Shape {
    /// Values that lie `by` from a forecast where errors are as they usually are.
    fn apart(&self, said: &[f64], by: f64) -> Vec<f64> {
        let levels = self.levels(said);
        said.iter().enumerate().map(|(step, value)| value + by * levels[step] * self.grown(step)).collect()
    }

    fn levels(&self, said: &[f64]) -> Vec<f64> {
        let mean = mean_size(said).max(f64::MIN_POSITIVE);
        said.iter().map(|v| (v.abs() / mean).max(LEAST_LEVEL).powf(self.power)).collect()
    }

    /// Beyond what was measured, errors are taken to grow as those of a random walk do, with the square root of the distance.
    fn grown(&self, step: usize) -> f64 {
        let known = self.growth.get(bucket(step)).or(self.growth.last()).copied().unwrap_or(1.0);
        match self.measured {
            0 => ((step + 1) as f64).sqrt(),
            measured if step < measured => known,
            measured => known * ((step + 1) as f64 / measured as f64).sqrt(),
        }
    }
}

impl Calibration {
    /// For intervals that hold the share `coverage`; the power of the level with the least interval score (Gneiting &
    /// Raftery 2007) serves.
    pub(super) fn fit(all: &[Misses], coverage: f64) -> Self {
        let fitted = POWERS.map(|power| {
            let calibration = Self::with_power(all, coverage, power);
            let score = calibration.interval_score(all, coverage);
            (calibration, score)
        });
        let [first, rest @ ..] = fitted;
        rest.into_iter().fold(first, |best, next| if next.1 < best.1 { next } else { best }).0
    }

    fn with_power(all: &[Misses], coverage: f64, power: f64) -> Self {
        let measured = all.iter().flat_map(|m| &m.origins).map(|o| o.error.len()).max().unwrap_or(0);
        let (mut usual, mut counted) = (0.0, 0.0);
        for misses in all {
            for origin in &misses.origins {
                usual += mean_size(&origin.error) / misses.scale;
                counted += 1.0;
            }
        }
        let usual = if counted > 0.0 { usual / counted } else { 1.0 };
        let growth = vec![1.0; bucket(measured.saturating_sub(1)) + 1];
        let mut new = Self { shape: Shape { power, growth, measured }, usual, bounds: Vec::new() };
        new.shape.growth = new.growths(all);
        let scores: Vec<Vec<f64>> = all.iter().map(|misses| new.scores(misses).concat()).collect();
        let pooled = ends(scores.concat(), coverage);
        let own = |(misses, scores): (&Misses, Vec<f64>)| {
            let origins = misses.origins.len() as f64;
            if origins < 2.0 {
                return pooled;
            }
            let (low, high) = ends(scores, coverage);
            let share = origins / (origins + POOLED_ORIGINS);
            (share * low + (1.0 - share) * pooled.0, share * high + (1.0 - share) * pooled.1)
        };
        new.bounds = all.iter().zip(scores).map(own).collect();
        new
    }

    /// Mean error by bucket of steps, relative to that of all steps.
    fn growths(&self, all: &[Misses]) -> Vec<f64> {
        let mut sums = vec![(0.0, 0.0); self.shape.growth.len()];
        for misses in all {
            let size = self.size(misses, None);
            for origin in &misses.origins {
                let levels = self.shape.levels(&origin.said);
                for (step, error) in origin.error.iter().enumerate() {
                    let sum = &mut sums[bucket(step)];
                    sum.0 += error.abs() / (size * levels[step]);
                    sum.1 += 1.0;
                }
            }
        }
        let (total, count) = sums.iter().fold((0.0, 0.0), |(s, n), b| (s + b.0, n + b.1));
        let overall = if total > 0.0 { total / count } else { 1.0 };
        sums.iter().map(|(s, n)| (s / overall + PRIOR_ERRORS) / (n + PRIOR_ERRORS)).collect()
    }

    /// The size of a series' errors at all origins but one.
    fn size(&self, misses: &Misses, without: Option<usize>) -> f64 {
        let others = misses.origins.iter().enumerate().filter(|(i, _)| Some(*i) != without);
        let (sum, n) = others.fold((0.0, 0.0), |(sum, n), (_, origin)| {
            let levels = self.shape.levels(&origin.said);
            let part = |(step, error): (usize, &f64)| error.abs() / (levels[step] * self.shape.grown(step));
            let mean = origin.error.iter().enumerate().map(part).sum::<f64>() / origin.error.len() as f64;
            (sum + mean, n + 1.0)
        });
        let size = (sum + PRIOR_ORIGINS * self.usual * misses.scale) / (n + PRIOR_ORIGINS);
        size.max(f64::MIN_POSITIVE)
    }

    /// By origin: its errors, each divided by what errors there usually are.
    pub(super) fn scores(&self, misses: &Misses) -> Vec<Vec<f64>> {
        let of = |(i, origin): (usize, &Miss)| {
            let size = self.size(misses, Some(i));
            let levels = self.shape.levels(&origin.said);
            let score = |(step, error): (usize, &f64)| error / (size * levels[step] * self.shape.grown(step));
            origin.error.iter().enumerate().map(score).collect::<Vec<f64>>()
        };
        misses.origins.iter().enumerate().map(of).collect()
    }

    /// Lower and upper bounds of series number `at` around a forecast, never on the wrong side of it. `without` leaves an
    /// origin out of the size of its errors.
    pub(super) fn around(
        &self,
        at: usize,
        misses: &Misses,
        said: &[f64],
        without: Option<usize>,
    ) -> (Vec<f64>, Vec<f64>) {
        let (low, high) = self.bounds[at];
        let bound = |score: f64| self.at_score(misses, said, without, score);
        (bound(low.min(0.0)), bound(high.max(0.0)))
    }

    /// The value at every step whose distance from the forecast has this score.
    pub(super) fn at_score(&self, misses: &Misses, said: &[f64], without: Option<usize>, score: f64) -> Vec<f64> {
        self.shape.apart(said, score * self.size(misses, without))
    }

    /// The bounds of series number `at`, in a unit that is `unit` times as small.
    pub(super) fn bounds(&self, at: usize, misses: &Misses, unit: f64) -> Bounds {
        let size = self.size(misses, None) * unit;
        let (low, high) = self.bounds[at];
        Bounds { shape: self.shape.clone(), below: low.min(0.0) * size, above: high.max(0.0) * size }
    }

    /// Mean interval score over all origins, in the unit of MASE.
    fn interval_score(&self, all: &[Misses], coverage: f64) -> f64 {
        let (mut sum, mut n) = (0.0, 0.0);
        for (at, misses) in all.iter().enumerate() {
            for (i, origin) in misses.origins.iter().enumerate() {
                let (lower, upper) = self.around(at, misses, &origin.said, Some(i));
                for (step, error) in origin.error.iter().enumerate() {
                    let came = origin.said[step] + error;
                    let missed = (lower[step] - came).max(came - upper[step]).max(0.0);
                    sum += (upper[step] - lower[step] + 2.0 / (1.0 - coverage) * missed) / misses.scale;
                    n += 1.0;
                }
            }
        }
        if n > 0.0 { sum / n } else { 0.0 }
    }
}

/// The scores between which the share `coverage` lies: the `⌈(n + 1) q⌉`-th from either end, the last where there are too few.
fn ends(mut scores: Vec<f64>, coverage: f64) -> (f64, f64) {
    scores.sort_by(f64::total_cmp);
    let Some(last) = scores.len().checked_sub(1) else { return (-1.0, 1.0) };
    let rank = ((scores.len() + 1) as f64 * (1.0 + coverage) / 2.0).ceil() as usize;
    let high = rank.clamp(1, last + 1) - 1;
    (scores[last - high], scores[high])
}

fn mean_size(values: &[f64]) -> f64 {
    values.iter().map(|v| v.abs()).sum::<f64>() / values.len().max(1) as f64
}

fn bucket(step: usize) -> usize {
    let last = BUCKET_ENDS[BUCKET_ENDS.len() - 1];
    let within = BUCKET_ENDS.iter().position(|end| step < *end);
    within.unwrap_or_else(|| BUCKET_ENDS.len() + step / last - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forecast::tests::noise;

    fn misses(series: usize, origins: usize, error: impl Fn(usize, f64) -> f64) -> Vec<Misses> {
        let mut seed = 11;
        let mut origin = || {
            let said: Vec<f64> = (0..24).map(|step| 10.0 + step as f64).collect();
            let error = (0..24).map(|step| error(step, noise(&mut seed))).collect();
            Miss { said, error }
        };
        (0..series).map(|_| Misses { origins: (0..origins).map(|_| origin()).collect(), scale: 1.0 }).collect()
    }

    #[test]
    fn ranks_are_those_of_split_conformal_prediction() {
        // 1 … 19: 0.95 × 20 = the 19th of 19.
        let scores: Vec<f64> = (1..=19).map(f64::from).collect();
        assert_eq!(ends(scores.clone(), 0.9), (1.0, 19.0));
        assert_eq!(ends(scores, 0.0), (10.0, 10.0));
        assert_eq!(ends(Vec::new(), 0.9), (-1.0, 1.0));
    }

    #[test]
    fn bounds_of_uniform_errors_are_where_they_should_be() {
        let all = misses(40, 5, |_, noise| noise);
        let calibration = Calibration::fit(&all, 0.9);
        let (lower, upper) = calibration.around(3, &all[3], &[100.0; 24], None);
        assert!((upper[12] - 100.9).abs() < 0.12 && (lower[12] - 99.1).abs() < 0.12, "{} {}", lower[12], upper[12]);
    }

    #[test]
    fn later_steps_are_wider_when_their_errors_are() {
        let all = misses(10, 4, |step, noise| noise * (1.0 + step as f64));
        let calibration = Calibration::fit(&all, 0.9);
        let (lower, upper) = calibration.around(0, &all[0], &[100.0; 60], None);
        assert!(upper[23] - lower[23] > 3.0 * (upper[0] - lower[0]));
        assert!(upper[59] > upper[23], "beyond what was measured");
    }

    #[test]
    fn one_origin_borrows_from_the_other_series() {
        let mut all = misses(20, 5, |_, noise| noise);
        all.push(Misses { origins: Vec::new(), scale: 3.0 });
        let calibration = Calibration::fit(&all, 0.9);
        let (lower, upper) = calibration.around(20, &all[20], &[0.0; 5], None);
        assert!(upper[4] - lower[4] > 3.0 && upper[4] - lower[4] < 9.0);
    }
}
