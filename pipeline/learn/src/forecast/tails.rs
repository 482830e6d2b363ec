//! How far out a quantile lies by a few scores, and whether quantiles hold what they say.
//!
//! Owns ranks, what lies beyond the last of them, and the correction of quantiles that were tried; refuses to know what the
//! scores are of.

use super::quantiles::ByLevel;

/// The last quarter of few scores is the tail that is continued.
const TAIL_PARTS: usize = 4;
/// With fewer scores nothing is continued.
const LEAST_SCORES: usize = 4;
/// The stretch of a level is drawn to none as if so many values had passed it as it was said.
const PRIOR_PASSED: f64 = 5.0;
/// No quantile is moved further from the median, or nearer to it, than so many times.
const MOST: f64 = 9.0;
/// What lies nearer to the median is on it.
const EXACT: f64 = 1e-9;

/// The `⌈(n + 1) q⌉`-th of sorted scores as in split conformal prediction, counted from the other end below a half. Where that is
/// beyond the last one, the tail goes on as an exponential one with its mean excess (the generalised Pareto distribution of shape
/// 0: Pickands 1975, Hosking & Wallis 1987): the hundredth of twelve scores is not the largest of them.
pub(super) fn at_rank(sorted: &[f64], level: f64) -> Option<f64> {
    let n = sorted.len();
    let sign = if level < 0.5 { -1.0 } else { 1.0 };
    let level = level.max(1.0 - level);
    // Counted from the middle of a distribution to its nearer end.
    let score = |place: usize| sign * sorted[if sign < 0.0 { n - 1 - place } else { place }];
    let rank = ((n + 1) as f64 * level).ceil() as usize;
    if n == 0 || rank <= n || n < LEAST_SCORES {
        return (n > 0).then(|| sign * score(rank.clamp(1, n) - 1));
    }
    let tail = n.div_ceil(TAIL_PARTS).max(2);
    let threshold = score(n - tail - 1);
    let excess = (n - tail..n).map(|place| score(place) - threshold).sum::<f64>() / tail as f64;
    Some(sign * (threshold + excess * (tail as f64 / (n as f64 * (1.0 - level))).ln()))
}

/// How many times as far from the median quantiles must lie as they were said to, so that they hold their share.
///
/// This is conformalized quantile regression (Romano, Patterson & Candès 2019), scaled (Kivaranovic, Johnson & Leeb 2020: scores
/// are divided by the distance of the quantile from the median), except that a value counts as much as that distance, which
/// makes the stretch the one of least pinball loss: else idle machines, of which a burst is a thousand times as large as all
/// before it, would say how far the quantiles of the busy ones lie.
pub(super) struct Stretch {
    /// By level.
    factors: Vec<f64>,
}

impl Stretch {
    /// None: quantiles stay where they are.
    pub(super) fn none(levels: usize) -> Self {
        Self { factors: vec![1.0; levels] }
    }

    /// By what was said of stretches of values, and what came of each; level number `median` is the median.
    pub(super) fn fit(levels: &[f64], median: usize, said: &[ByLevel], came: &[Vec<f64>]) -> Self {
        let factor = |(at, level): (usize, &f64)| {
            let side = if at < median { -1.0 } else { 1.0 };
            let mut scores = Vec::new();
            for (said, came) in said.iter().zip(came) {
                for ((quantile, median), came) in said[at].iter().zip(&said[median]).zip(came) {
                    let distance = side * (quantile - median);
                    if distance > EXACT {
                        scores.push((side * (came - median) / distance, distance));
                    }
                }
            }
            let level = level.max(1.0 - level);
            let passed = scores.len() as f64 * (1.0 - level);
            let found = weighted_rank(scores, level).unwrap_or(1.0).clamp(1.0 / MOST, MOST);
            if at == median { 1.0 } else { 1.0 + (found - 1.0) * passed / (passed + PRIOR_PASSED) }
        };
        Self { factors: levels.iter().enumerate().map(factor).collect() }
    }

    /// Moves every quantile; they never cross.
    pub(super) fn apply(&self, quantiles: &mut ByLevel, median: usize) {
        let centre = quantiles[median].clone();
        for (of_level, factor) in quantiles.iter_mut().zip(&self.factors) {
            for (value, centre) in of_level.iter_mut().zip(&centre) {
                *value = centre + factor * (*value - centre);
            }
        }
        // From the median outwards.
        for at in median + 1..quantiles.len() {
            let (inner, outer) = quantiles.split_at_mut(at);
            outer[0].iter_mut().zip(&inner[at - 1]).for_each(|(value, inner)| *value = value.max(*inner));
        }
        for at in (0..median).rev() {
            let (outer, inner) = quantiles.split_at_mut(at + 1);
            outer[at].iter_mut().zip(&inner[0]).for_each(|(value, inner)| *value = value.min(*inner));
        }
    }
}

/// The score up to which the share `level` of all weight lies, a little more as in split conformal prediction.
fn weighted_rank(mut scores: Vec<(f64, f64)>, level: f64) -> Option<f64> {
    scores.sort_by(|a, b| a.0.total_cmp(&b.0));
    let n = scores.len() as f64;
    let all: f64 = scores.iter().map(|(_, weight)| weight).sum();
    let wanted = (((n + 1.0) * level).ceil() / n).min(1.0) * all;
    let mut sum = 0.0;
    let reached = scores.iter().find(|(_, weight)| {
        sum += weight;
        sum >= wanted * (1.0 - EXACT)
    });
    reached.or(scores.last()).map(|(score, _)| *score)
}

#[cfg(test)]
mod tests {
    use super::super::{Past, Spec, outlooks};
    use super::*;
    use crate::forecast::tests::noise;

    #[test]
    fn ranks_are_counted_from_both_ends() {
        let sorted: Vec<f64> = (1..=19).map(f64::from).collect();
        assert_eq!([0.05, 0.5, 0.95].map(|level| at_rank(&sorted, level).unwrap()), [1.0, 10.0, 19.0]);
        assert_eq!(at_rank(&[], 0.5), None);
        assert_eq!([0.01, 0.99].map(|level| at_rank(&[3.0, 4.0], level).unwrap()), [3.0, 4.0]);
    }

    #[test]
    fn beyond_the_last_score_an_exponential_tail_goes_on() {
        // Twelve scores at their places in a unit exponential distribution, whose .99 is ln 100 = 4.6; the largest is 3.2.
        let sorted: Vec<f64> = (0..12).map(|i| -((11.5 - f64::from(i)) / 12.0).ln()).collect();
        let found = at_rank(&sorted, 0.99).unwrap();
        assert!((4.2..5.0).contains(&found) && found > sorted[11] + 1.0, "{found}");
        let mirrored: Vec<f64> = sorted.iter().rev().map(|score| -score).collect();
        assert!((at_rank(&mirrored, 0.01).unwrap() + found).abs() < 1e-9);
        // Twelve say enough of the tenth.
        assert_eq!(at_rank(&sorted, 0.9).unwrap(), sorted[11]);
    }

    #[test]
    fn a_stretch_undoes_quantiles_that_lie_too_near() {
        // Uniform in −1..1 around 10: the .9 is 10.8 and was said to be 10.2; the .1 likewise, and the .95 was said right.
        let mut seed = 3;
        let came: Vec<Vec<f64>> = (0..400).map(|_| (0..5).map(|_| 10.0 + noise(&mut seed)).collect()).collect();
        let quantiles = || -> ByLevel { [9.8, 10.0, 10.2, 10.9].map(|value| vec![value; 5]).to_vec() };
        let said: Vec<ByLevel> = came.iter().map(|_| quantiles()).collect();
        let stretch = Stretch::fit(&[0.1, 0.5, 0.9, 0.95], 1, &said, &came);
        let mut next = quantiles();
        stretch.apply(&mut next, 1);
        let first: Vec<f64> = next.iter().map(|of_level| of_level[0]).collect();
        let near = |value: f64, right: f64| (value - right).abs() < 0.06;
        assert!(near(first[0], 9.2) && first[1] == 10.0 && near(first[2], 10.8) && near(first[3], 10.9), "{first:?}");
    }

    #[test]
    fn large_distances_count_more_and_few_values_move_little() {
        // ⌈11 × .6⌉ = 7 tenths of the weight, nearly all of which the first five have.
        let weight = |i: i32| if i <= 5 { 1.0 } else { 0.01 };
        let scores = (1..=10).map(|i| (f64::from(i), weight(i))).collect();
        assert_eq!(weighted_rank(scores, 0.6).unwrap(), 4.0);
        let quantiles = || -> ByLevel { vec![vec![0.0], vec![1.0]] };
        let stretch = Stretch::fit(&[0.5, 0.99], 0, &[quantiles()], &[vec![5.0]]);
        let mut next = quantiles();
        stretch.apply(&mut next, 0);
        assert!(next[1][0] > 1.0 && next[1][0] < 1.02, "{next:?}");
    }

    /// Daily peaks of a machine of its own size: a level and a Pareto tail of shape 3.
    fn heavy(days: usize, seed: &mut u64) -> Vec<f64> {
        let size = (2.0 * noise(seed)).exp();
        (0..days).map(|_| size * (1.0 + 0.5 * ((0.5 - 0.499_999 * noise(seed)).powf(-1.0 / 3.0) - 1.0))).collect()
    }

    #[test]
    fn quantiles_of_heavy_tailed_peaks_hold_what_they_say() {
        let (mut seed, series) = (7, 500);
        let all: Vec<Vec<f64>> = (0..series).map(|_| heavy(25, &mut seed)).collect();
        let past = |values: &Vec<f64>| Past { values: values[..24].to_vec(), skip: 0, steps: 1, kept: None };
        let pasts: Vec<Past> = all.iter().map(past).collect();
        let quantiles = vec![0.5, 0.9, 0.99];
        let spec = Spec { periods: vec![7], horizon: 1, coverage: 0.9, enough: 10, peak_steps: None, quantiles };
        let mut below = [0.0; 3];
        for (outlook, values) in outlooks(&pasts, &spec, &|_| ()).into_iter().zip(&all) {
            let quantiles = outlook.unwrap().quantiles;
            (0..3).for_each(|level| below[level] += f64::from(values[24] <= quantiles[level][0]));
        }
        // Three standard deviations of a binomial share.
        for (below, level) in below.into_iter().zip([0.5_f64, 0.9, 0.99]) {
            let (share, n) = (below / f64::from(series), f64::from(series));
            assert!((share - level).abs() < 3.0 * (level * (1.0 - level) / n).sqrt(), "{share} below the {level}");
        }
    }
}
