//! Quantiles of what comes, at any level: several ways to say each, averaged by how they did.
//!
//! A forecast with a conformal bound knows the hour of the day; where bursts come at no hour, what the series itself has shown
//! of late says more of its tail. Which of them holds is measured, not assumed: every way says every quantile at every rolling
//! origin, is scored by the pinball loss (Koenker & Bassett 1978), and is believed by the same rule as candidates are
//! ([`super::combine`]). The average of quantiles is a quantile forecast no worse than the mean of its parts (Lichtendahl,
//! Grushka-Cockayne & Winkler 2013).

use super::combine::belief;
use super::intervals::{Calibration, Misses};
use crate::usage::quantile;

/// What was seen of late: over so many stretches as long as those that are tried.
const WINDOWS: [usize; 4] = [3, 7, 14, 28];
/// Stretches over which the distance from the level of the stretch before is counted.
const LEVEL_STRETCHES: usize = 14;
/// The ways: a bound around the forecast, each window, and the last level.
const WAYS: usize = WINDOWS.len() + 2;
/// The scores of all series count as this many origins of the series itself.
const POOLED_ORIGINS: f64 = 5.0;
/// Losses this small beside the unit of MASE are rounding.
const EXACT: f64 = 1e-9;

/// Values by level and step.
type ByLevel = Vec<Vec<f64>>;

/// A series as it was tried.
pub(super) struct Tried<'a> {
    /// Its values, oldest first.
    pub(super) values: &'a [f64],
    /// What its forecasts missed, the latest origin first, a stretch each, up to the end of the values.
    pub(super) misses: &'a Misses,
}

/// What each way loses on each series, and what it took to say so.
pub(super) struct Quantiles<'a> {
    levels: &'a [f64],
    calibration: &'a Calibration,
    all: Vec<Tried<'a>>,
    /// By series: scores by origin.
    scores: Vec<Vec<Vec<f64>>>,
    /// By level: the score of all series.
    pooled: Vec<f64>,
    /// By series, way and level: the logarithm of its loss relative to the best; and the mean of it over all series.
    losses: Vec<[Vec<f64>; WAYS]>,
    usual: [Vec<f64>; WAYS],
}

impl<'a> Quantiles<'a> {
    /// Tries every way at every origin. `levels` are between 0 and 1, in order.
    pub(super) fn fit(levels: &'a [f64], calibration: &'a Calibration, all: Vec<Tried<'a>>) -> Self {
        let scores: Vec<Vec<Vec<f64>>> = all.iter().map(|tried| calibration.scores(tried.misses)).collect();
        let mut every: Vec<f64> = scores.iter().flatten().flatten().copied().collect();
        every.sort_by(f64::total_cmp);
        let pooled = levels.iter().map(|level| at_rank(&every, *level).unwrap_or(0.0)).collect();
        let none = || std::array::from_fn(|_| vec![0.0; levels.len()]);
        let mut new = Self { levels, calibration, all, scores, pooled, losses: Vec::new(), usual: none() };
        new.losses = (0..new.all.len()).map(|at| new.relative_losses(at)).collect();
        let tried = new.losses.len().max(1) as f64;
        for way in 0..WAYS {
            for level in 0..levels.len() {
                new.usual[way][level] = new.losses.iter().map(|losses| losses[way][level]).sum::<f64>() / tried;
            }
        }
        new
    }

    /// The quantiles of series number `at`, whose values are expected to be these: by level and step, never crossing.
    pub(super) fn next(&self, at: usize, centre: &[f64]) -> ByLevel {
        let tried = &self.all[at];
        let ways = self.ways(at, tried.values, centre, None);
        let mut mean = vec![vec![0.0; centre.len()]; self.levels.len()];
        for (level, mean) in mean.iter_mut().enumerate() {
            let own = self.losses[at].iter().zip(&self.usual).map(|(own, usual)| (own[level], usual[level]));
            for (share, way) in belief(own).into_iter().zip(&ways) {
                mean.iter_mut().zip(&way[level]).for_each(|(mean, value)| *mean += share * value);
            }
        }
        for step in 0..centre.len() {
            let mut values: Vec<f64> = mean.iter().map(|of_level| of_level[step]).collect();
            values.sort_by(f64::total_cmp);
            mean.iter_mut().zip(values).for_each(|(of_level, value)| of_level[step] = value);
        }
        mean
    }

    fn relative_losses(&self, at: usize) -> [Vec<f64>; WAYS] {
        let tried = &self.all[at];
        let mut losses = std::array::from_fn(|_| vec![EXACT * tried.misses.scale; self.levels.len()]);
        let mut known = tried.values.len();
        for (i, origin) in tried.misses.origins.iter().enumerate() {
            known = known.saturating_sub(origin.error.len());
            let ways = self.ways(at, &tried.values[..known], &origin.said, Some(i));
            for (loss, way) in losses.iter_mut().zip(&ways) {
                for ((loss, quantiles), level) in loss.iter_mut().zip(way).zip(self.levels) {
                    let came = origin.said.iter().zip(&origin.error).map(|(said, error)| said + error);
                    let sum: f64 = came.zip(quantiles).map(|(came, quantile)| pinball(came - quantile, *level)).sum();
                    *loss += sum / origin.error.len() as f64;
                }
            }
        }
        for level in 0..self.levels.len() {
            let best = losses.iter().map(|loss| loss[level]).fold(f64::INFINITY, f64::min);
            losses.iter_mut().for_each(|loss| loss[level] = (loss[level] / best).ln());
        }
        losses
    }

    /// What each way says after `known`, without having seen origin number `without`.
    fn ways(&self, at: usize, known: &[f64], said: &[f64], without: Option<usize>) -> Vec<ByLevel> {
        let flat = |values: Vec<f64>| values.into_iter().map(|value| vec![value; said.len()]).collect::<ByLevel>();
        let stretch = self.all[at].misses.origins.first().map_or(said.len(), |origin| origin.error.len()).max(1);
        let mut ways = vec![self.around(at, said, without)];
        for window in WINDOWS {
            let mut seen = known[known.len().saturating_sub(window * stretch)..].to_vec();
            seen.sort_by(f64::total_cmp);
            ways.push(flat(self.levels.iter().map(|level| quantile(&seen, *level).unwrap_or(0.0)).collect()));
        }
        ways.push(flat(self.around_level(known, stretch)));
        ways
    }

    /// The forecast, and a bound by the scores of the series itself, drawn to those of all.
    fn around(&self, at: usize, said: &[f64], without: Option<usize>) -> ByLevel {
        let others = self.scores[at].iter().enumerate().filter(|(i, _)| Some(*i) != without);
        let mut own: Vec<f64> = others.clone().flat_map(|(_, scores)| scores.iter().copied()).collect();
        own.sort_by(f64::total_cmp);
        let origins = others.count() as f64;
        let share = origins / (origins + POOLED_ORIGINS);
        let score = |(level, pooled): (&f64, &f64)| {
            let own = at_rank(&own, *level).unwrap_or(*pooled);
            self.calibration.at_score(self.all[at].misses, said, without, share * own + (1.0 - share) * pooled)
        };
        self.levels.iter().zip(&self.pooled).map(score).collect()
    }

    /// The mean of the last stretch, and how far from the mean of the stretch before values were.
    fn around_level(&self, known: &[f64], stretch: usize) -> Vec<f64> {
        let recent = &known[known.len().saturating_sub((LEVEL_STRETCHES + 1) * stretch)..];
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
        let parts: Vec<&[f64]> = recent.rchunks(stretch).collect();
        let level = parts.first().map_or(0.0, |last| mean(last));
        let distance = |pair: &[&[f64]]| -> Vec<f64> {
            let before = mean(pair[1]);
            pair[0].iter().map(|value| value - before).collect()
        };
        let mut distances: Vec<f64> = parts.windows(2).flat_map(distance).collect();
        distances.sort_by(f64::total_cmp);
        self.levels.iter().map(|q| level + quantile(&distances, *q).unwrap_or(0.0)).collect()
    }
}

/// Quantiles of a series that is too short to try anything on: those of what was seen.
pub(super) fn of_seen(sorted: &[f64], levels: &[f64], steps: usize) -> ByLevel {
    levels.iter().map(|level| vec![quantile(sorted, *level).unwrap_or(f64::NAN); steps]).collect()
}

fn pinball(error: f64, level: f64) -> f64 {
    (level * error).max((level - 1.0) * error)
}

/// The `⌈(n + 1) q⌉`-th of sorted scores as in split conformal prediction, counted from the other end below a half.
fn at_rank(sorted: &[f64], level: f64) -> Option<f64> {
    let n = sorted.len();
    let rank = |level: f64| (((n + 1) as f64 * level).ceil() as usize).clamp(1, n.max(1));
    let place = if level >= 0.5 { rank(level) } else { n + 1 - rank(1.0 - level) };
    sorted.get(place.checked_sub(1)?).copied()
}

#[cfg(test)]
mod tests {
    use super::super::{DAY, Past, Spec, WEEK, outlooks};
    use super::*;
    use crate::forecast::tests::{daily, noise};

    const LEVELS: [f64; 3] = [0.5, 0.9, 0.99];

    fn spec() -> Spec {
        let (periods, quantiles) = (vec![DAY, WEEK], LEVELS.to_vec());
        Spec { periods, horizon: DAY, coverage: 0.9, enough: 2 * DAY, peak_steps: None, quantiles }
    }

    #[test]
    fn ranks_are_counted_from_both_ends() {
        let sorted: Vec<f64> = (1..=19).map(f64::from).collect();
        assert_eq!([0.05, 0.5, 0.95].map(|level| at_rank(&sorted, level).unwrap()), [1.0, 10.0, 19.0]);
        assert_eq!(at_rank(&[], 0.5), None);
    }

    #[test]
    fn quantiles_hold_what_they_say_and_never_cross() {
        let (mut below, mut all) = ([0.0; 3], 0.0);
        let series: Vec<Vec<f64>> = (0..24).map(|seed| daily(22 * DAY, 0.5, 0.4, seed)).collect();
        let past = |values: &Vec<f64>| Past { values: values[..21 * DAY].to_vec(), skip: 0, steps: DAY, kept: None };
        let pasts: Vec<Past> = series.iter().map(past).collect();
        for (outlook, values) in outlooks(&pasts, &spec(), &|_| ()).into_iter().zip(&series) {
            let quantiles = outlook.unwrap().quantiles;
            for step in 0..DAY {
                assert!(quantiles[0][step] <= quantiles[1][step] && quantiles[1][step] <= quantiles[2][step]);
                let came = values[21 * DAY + step];
                (0..3).for_each(|level| below[level] += f64::from(came <= quantiles[level][step]));
                all += 1.0;
            }
        }
        let share = below.map(|n| n / all);
        assert!((0.42..0.58).contains(&share[0]) && (0.85..0.95).contains(&share[1]) && share[2] > 0.97, "{share:?}");
    }

    #[test]
    fn bursts_at_no_hour_are_told_by_what_was_seen() {
        // Nine hours of ten idle, one busy, at random: the upper quantile lies among the bursts.
        let mut seed = 5;
        let mut burst = || if noise(&mut seed) > 0.7 { 4.0 + noise(&mut seed) } else { 0.1 };
        let pasts: Vec<Past> = (0..12)
            .map(|_| Past { values: (0..21 * DAY).map(|_| burst()).collect(), skip: 0, steps: DAY, kept: None })
            .collect();
        for outlook in outlooks(&pasts, &spec(), &|_| ()).into_iter().flatten() {
            let of = |level: usize| outlook.quantiles[level].iter().sum::<f64>() / DAY as f64;
            assert!(of(0) < 1.5 && of(1) > 2.0 && of(2) > 4.0, "{} {} {}", of(0), of(1), of(2));
        }
    }
}
