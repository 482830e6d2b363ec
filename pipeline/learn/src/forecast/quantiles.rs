//! Quantiles of what comes, at any level: several ways to say each, averaged by how they did, and stretched until they hold what
//! they say.
//!
//! A forecast with a conformal bound knows the hour of the day; where bursts come at no hour, what the series itself has shown
//! of late says more of its tail; and the errors of a few origins miss the jump that all of its history has seen. Which of them
//! holds is measured, not assumed: every way says every quantile at every rolling origin, is scored by the pinball loss (Koenker
//! & Bassett 1978), and is believed by the same rule as candidates are ([`super::combine`]). The average of quantiles is a
//! quantile forecast no worse than the mean of its parts (Lichtendahl, Grushka-Cockayne & Winkler 2013), but it need not hold
//! its share, as the way with the least loss on a few values is one that lies low: [`super::tails`] puts that right.

use super::combine::{Belief, belief};
use super::intervals::{Calibration, Miss, Misses};
use super::tails::{Stretch, at_rank};
use crate::usage::quantile;

/// What was seen of late: over so many stretches as long as those that are tried.
const WINDOWS: [usize; 4] = [3, 7, 14, 28];
/// The ways: the forecast and its recent errors, the forecast and the spread of all history, and each window.
const WAYS: usize = WINDOWS.len() + 2;
/// Ways are believed by what they did on all series, much more than candidates are: the values of a few origins pass a hundredth
/// once at most. Chosen, as the power, on half of the machines of the next-day comparison.
const BELIEF: Belief = Belief { power: 6.0, pooled: 0.8 };
/// The spread of a history is taken to be at least this, in the unit of MASE.
const LEAST_SPREAD: f64 = 0.01;
/// Losses this small beside the unit of MASE are rounding.
const EXACT: f64 = 1e-9;
/// What is stretched is measured from here.
const MEDIAN: f64 = 0.5;

/// Values by level and step.
pub(super) type ByLevel = Vec<Vec<f64>>;

/// A series as it was tried.
pub(super) struct Tried<'a> {
    /// Its values, oldest first.
    pub(super) values: &'a [f64],
    /// What its forecasts missed, the latest origin first, a stretch each, up to the end of the values.
    pub(super) misses: &'a Misses,
}

impl Tried<'_> {
    /// The values before origin number `origin`.
    fn known(&self, origin: usize) -> &[f64] {
        let after: usize = self.misses.origins[..=origin].iter().map(|origin| origin.error.len()).sum();
        &self.values[..self.values.len().saturating_sub(after)]
    }

    /// The values that came at origin number `origin`.
    fn came(&self, origin: usize) -> Vec<f64> {
        let origin = &self.misses.origins[origin];
        origin.said.iter().zip(&origin.error).map(|(said, error)| said + error).collect()
    }

    /// Standard deviation of what was known. Unlike the size of the errors of a few origins it has seen every jump so far.
    fn spread(&self, known: &[f64]) -> f64 {
        let n = known.len().max(1) as f64;
        let mean = known.iter().sum::<f64>() / n;
        let variance = known.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / n;
        variance.sqrt().max(LEAST_SPREAD * self.misses.scale)
    }

    /// The errors of all origins, each divided by the spread that was known.
    fn scores_by_spread(&self) -> Vec<f64> {
        let origins = self.misses.origins.iter().enumerate();
        let scores = |(i, origin): (usize, &Miss)| {
            let spread = self.spread(self.known(i));
            origin.error.iter().map(|error| error / spread).collect::<Vec<f64>>()
        };
        origins.flat_map(scores).collect()
    }
}

/// What each way loses on each series, and what it took to say so.
pub(super) struct Quantiles<'a> {
    /// Those that are wanted, and the median; in order.
    levels: Vec<f64>,
    /// Where the median is in them, and whether it is wanted.
    median: usize,
    with_median: bool,
    calibration: &'a Calibration,
    all: Vec<Tried<'a>>,
    /// By level: the error of all series relative to their recent ones, and relative to their spread.
    by_errors: Vec<f64>,
    by_spread: Vec<f64>,
    /// By series, way and level: the logarithm of its loss relative to the best; and the mean of it over all series.
    losses: Vec<[Vec<f64>; WAYS]>,
    usual: [Vec<f64>; WAYS],
    stretch: Stretch,
}

impl<'a> Quantiles<'a> {
    /// Tries every way at every origin. `levels` are between 0 and 1, in order.
    pub(super) fn fit(levels: &[f64], calibration: &'a Calibration, all: Vec<Tried<'a>>) -> Self {
        let with_median = levels.contains(&MEDIAN);
        let median = levels.partition_point(|level| *level < MEDIAN);
        let mut levels = levels.to_vec();
        if !with_median {
            levels.insert(median, MEDIAN);
        }
        let pooled = |mut scores: Vec<f64>| -> Vec<f64> {
            scores.sort_by(f64::total_cmp);
            levels.iter().map(|level| at_rank(&scores, *level).unwrap_or(0.0)).collect()
        };
        let by_errors = pooled(all.iter().flat_map(|tried| calibration.scores(tried.misses).concat()).collect());
        let by_spread = pooled(all.iter().flat_map(Tried::scores_by_spread).collect());
        let usual = std::array::from_fn(|_| vec![0.0; levels.len()]);
        let stretch = Stretch::none(levels.len());
        let mut new = Self {
            levels,
            median,
            with_median,
            calibration,
            all,
            by_errors,
            by_spread,
            losses: Vec::new(),
            usual,
            stretch,
        };
        let ways: Vec<Vec<[ByLevel; WAYS]>> = (0..new.all.len()).map(|at| new.ways_at_origins(at)).collect();
        new.losses = ways.iter().zip(&new.all).map(|(ways, tried)| new.relative_losses(ways, tried)).collect();
        let tried = new.losses.len().max(1) as f64;
        for way in 0..WAYS {
            for level in 0..new.levels.len() {
                new.usual[way][level] = new.losses.iter().map(|losses| losses[way][level]).sum::<f64>() / tried;
            }
        }
        let origins = ways.iter().enumerate().flat_map(|(at, ways)| ways.iter().map(move |ways| (at, ways)));
        let said: Vec<ByLevel> = origins.map(|(at, ways)| new.average(at, ways)).collect();
        let came = new.all.iter().flat_map(|tried| (0..tried.misses.origins.len()).map(|origin| tried.came(origin)));
        new.stretch = Stretch::fit(&new.levels, new.median, &said, &came.collect::<Vec<_>>());
        new
    }

    /// The quantiles of series number `at`, whose values are expected to be these: by level and step, never crossing.
    pub(super) fn next(&self, at: usize, centre: &[f64]) -> ByLevel {
        self.stretched(self.average(at, &self.ways(at, self.all[at].values, centre, None)))
    }

    /// By origin of series number `at`, the latest first: what would have been said there.
    pub(super) fn at_origins(&self, at: usize) -> Vec<ByLevel> {
        let ways = self.ways_at_origins(at);
        ways.iter().map(|ways| self.stretched(self.average(at, ways))).collect()
    }

    /// Those that are wanted.
    fn stretched(&self, mut quantiles: ByLevel) -> ByLevel {
        self.stretch.apply(&mut quantiles, self.median);
        if !self.with_median {
            quantiles.remove(self.median);
        }
        quantiles
    }

    /// The ways of series number `at`, averaged by how far each is believed: by level and step, never crossing.
    fn average(&self, at: usize, ways: &[ByLevel; WAYS]) -> ByLevel {
        let steps = ways[0].first().map_or(0, Vec::len);
        let mut mean = vec![vec![0.0; steps]; self.levels.len()];
        for (level, mean) in mean.iter_mut().enumerate() {
            let own = self.losses[at].iter().zip(&self.usual).map(|(own, usual)| (own[level], usual[level]));
            for (share, way) in belief(own, BELIEF).into_iter().zip(ways) {
                mean.iter_mut().zip(&way[level]).for_each(|(mean, value)| *mean += share * value);
            }
        }
        for step in 0..steps {
            let mut values: Vec<f64> = mean.iter().map(|of_level| of_level[step]).collect();
            values.sort_by(f64::total_cmp);
            mean.iter_mut().zip(values).for_each(|(of_level, value)| of_level[step] = value);
        }
        mean
    }

    /// By origin: what each way says, from what was known there.
    fn ways_at_origins(&self, at: usize) -> Vec<[ByLevel; WAYS]> {
        let tried = &self.all[at];
        let origins = tried.misses.origins.iter().enumerate();
        origins.map(|(i, origin)| self.ways(at, tried.known(i), &origin.said, Some(i))).collect()
    }

    fn relative_losses(&self, ways: &[[ByLevel; WAYS]], tried: &Tried) -> [Vec<f64>; WAYS] {
        let mut losses = std::array::from_fn(|_| vec![EXACT * tried.misses.scale; self.levels.len()]);
        for (origin, ways) in ways.iter().enumerate() {
            let came = tried.came(origin);
            for (loss, way) in losses.iter_mut().zip(ways) {
                for ((loss, quantiles), level) in loss.iter_mut().zip(way).zip(&self.levels) {
                    let each = came.iter().zip(quantiles);
                    *loss +=
                        each.map(|(came, quantile)| pinball(came - quantile, *level)).sum::<f64>() / came.len() as f64;
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
    fn ways(&self, at: usize, known: &[f64], said: &[f64], without: Option<usize>) -> [ByLevel; WAYS] {
        let tried = &self.all[at];
        let by_errors = |score: &f64| self.calibration.at_score(tried.misses, said, without, *score);
        let spread = tried.spread(known);
        let by_spread = |score: &f64| said.iter().map(|value| value + score * spread).collect();
        let stretch = tried.misses.origins.first().map_or(said.len(), |origin| origin.error.len()).max(1);
        let seen = |window: usize| -> ByLevel {
            let mut seen = known[known.len().saturating_sub(window * stretch)..].to_vec();
            seen.sort_by(f64::total_cmp);
            self.levels.iter().map(|level| vec![quantile(&seen, *level).unwrap_or(0.0); said.len()]).collect()
        };
        let [a, b, c, d] = WINDOWS.map(seen);
        [self.by_errors.iter().map(by_errors).collect(), self.by_spread.iter().map(by_spread).collect(), a, b, c, d]
    }
}

/// Quantiles of a series that is too short to try anything on: those of what was seen.
pub(super) fn of_seen(sorted: &[f64], levels: &[f64], steps: usize) -> ByLevel {
    levels.iter().map(|level| vec![quantile(sorted, *level).unwrap_or(f64::NAN); steps]).collect()
}

fn pinball(error: f64, level: f64) -> f64 {
    (level * error).max((level - 1.0) * error)
}

#[cfg(test)]
mod tests {
    use super::super::{DAY, Past, Spec, WEEK, outlooks};
    use crate::forecast::tests::{daily, noise};

    const LEVELS: [f64; 3] = [0.5, 0.9, 0.99];

    fn spec() -> Spec {
        let (periods, quantiles) = (vec![DAY, WEEK], LEVELS.to_vec());
        Spec { periods, horizon: DAY, coverage: 0.9, enough: 2 * DAY, peak_steps: None, quantiles }
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
