//! Which of several candidates is the best, told from their losses on the same rows of held-out time.
//!
//! The least mean loss wins, but of those that one standard error does not tell from the least the simplest does (Breiman,
//! Friedman, Olshen & Stone 1984, 3.4.3): few rows choose few parameters. Rows of one repository, one group, or next to
//! each other in time err together, so the error is that of whole clusters.

use crate::metrics::{mean, quantile};
use crate::random::Random;
use domain::model::Difference;
use std::collections::BTreeMap;

/// Clusters that rows of one piece of time are cut into where nothing else tells them apart.
const STRETCHES: usize = 30;
/// Fewest groups that are clusters by themselves; below, stretches of time are.
const GROUPS_NEEDED: usize = 10;
const RESAMPLES: usize = 1000;

/// Rows that err together, by the group of each row, in order of time: the groups where there are enough, else stretches.
pub(crate) fn clusters<G: Ord>(groups: impl Iterator<Item = G>) -> Vec<usize> {
    let groups: Vec<G> = groups.collect();
    let mut places: BTreeMap<&G, usize> = BTreeMap::new();
    for group in &groups {
        let next = places.len();
        places.entry(group).or_insert(next);
    }
    if places.len() >= GROUPS_NEEDED && places.len() < groups.len() {
        return groups.iter().map(|group| places[group]).collect();
    }
    (0..groups.len()).map(|row| row * STRETCHES.min(groups.len()) / groups.len()).collect()
}

/// The sum of differences and the number of rows of each cluster.
fn sums(a: &[f64], b: &[f64], clusters: &[usize]) -> Vec<(f64, f64)> {
    let mut sums = vec![(0.0, 0.0); clusters.iter().max().map_or(0, |most| most + 1)];
    for ((a, b), &cluster) in a.iter().zip(b).zip(clusters) {
        sums[cluster] = (sums[cluster].0 + a - b, sums[cluster].1 + 1.0);
    }
    sums
}

/// The standard error of the mean of `a - b`, of rows in clusters; 0 of fewer than two clusters.
pub(crate) fn standard_error(a: &[f64], b: &[f64], clusters: &[usize]) -> f64 {
    let sums = sums(a, b, clusters);
    let (n, c) = (a.len() as f64, sums.len() as f64);
    if sums.len() < 2 {
        return 0.0;
    }
    let middle = sums.iter().map(|(sum, _)| sum).sum::<f64>() / n;
    let spread: f64 = sums.iter().map(|(sum, rows)| (sum - rows * middle).powi(2)).sum();
    (spread * c / (c - 1.0)).sqrt() / n
}

/// The place of the simplest candidate that one standard error does not tell from the best. `losses`: of each candidate, a
/// loss a row, the simplest first; not finite is worse than all others.
pub(crate) fn simplest_of_the_best(losses: &[Vec<f64>], clusters: &[usize]) -> Option<usize> {
    let means: Vec<f64> = losses.iter().map(|of| mean(of.iter().copied())).collect();
    let sound = (0..losses.len()).filter(|&at| means[at].is_finite());
    let best = sound.clone().min_by(|&a, &b| means[a].total_cmp(&means[b]))?;
    let mut sound = sound;
    sound.find(|&at| means[at] - means[best] <= standard_error(&losses[at], &losses[best], clusters))
}

/// By how much the mean loss of `ours` differs from that of `other`, with its 95 % interval: a bootstrap draws clusters
/// whole (Efron & Tibshirani 1993, 8.6). Below zero ours is better.
pub(crate) fn difference(ours: &[f64], other: &[f64], clusters: &[usize], seed: u64) -> Difference {
    let sums = sums(ours, other, clusters);
    let middle = |sums: &mut dyn Iterator<Item = (f64, f64)>| {
        let (sum, rows) = sums.fold((0.0, 0.0), |all, one| (all.0 + one.0, all.1 + one.1));
        if rows > 0.0 { sum / rows } else { 0.0 }
    };
    let mut random = Random(seed);
    let mut draw = || middle(&mut (0..sums.len()).map(|_| sums[random.below(sums.len())]));
    let drawn: Vec<f64> = if sums.is_empty() { vec![0.0] } else { (0..RESAMPLES).map(|_| draw()).collect() };
    Difference {
        mean: middle(&mut sums.iter().copied()),
        low: quantile(drawn.iter().copied(), 0.025),
        high: quantile(drawn, 0.975),
        rows: ours.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Losses of rows that err together by tens.
    fn noisy(level: f64, by: f64, seed: u64) -> Vec<f64> {
        let mut random = Random::stream(seed, 0);
        let of_cluster: Vec<f64> = (0..30).map(|_| random.share() - 0.5).collect();
        (0..300).map(|row| level + by * of_cluster[row / 10]).collect()
    }

    #[test]
    fn of_those_that_chance_does_not_tell_apart_the_simplest_is_taken() {
        let clusters = clusters(0..300);
        let best = |losses: &[Vec<f64>]| simplest_of_the_best(losses, &clusters).unwrap();
        // Better by a hundredth, with noise of clusters that is larger than that.
        assert_eq!(best(&[noisy(1.0, 0.5, 1), noisy(0.99, 0.5, 2)]), 0);
        // The same noise on both: it does not hide the difference.
        assert_eq!(best(&[noisy(1.0, 0.5, 1), noisy(0.99, 0.5, 1)]), 1);
        assert_eq!(best(&[noisy(1.0, 0.1, 1), noisy(0.5, 0.1, 2), noisy(0.499, 0.1, 3)]), 1);
        assert_eq!(best(&[vec![f64::NAN; 300], noisy(1.0, 0.1, 1)]), 1);
        assert_eq!(simplest_of_the_best(&[vec![f64::NAN; 300]], &clusters), None);
    }

    #[test]
    fn a_difference_knows_how_sure_it_is() {
        let clusters = clusters(0..300);
        let sure = difference(&noisy(0.9, 0.1, 1), &noisy(1.0, 0.1, 2), &clusters, 7);
        assert!((sure.mean + 0.1).abs() < 0.03 && sure.high < 0.0 && sure.low < sure.mean, "{sure:?}");
        let unsure = difference(&noisy(0.99, 0.5, 1), &noisy(1.0, 0.5, 2), &clusters, 7);
        assert!(unsure.low < 0.0 && unsure.high > 0.0, "{unsure:?}");
        assert_eq!(difference(&[], &[], &[], 7).mean, 0.0);
    }

    #[test]
    fn many_groups_are_clusters_and_few_are_cut_by_time() {
        let many = clusters((0..100).map(|row| row % 20));
        assert_eq!((many[0], many[20], many.iter().max()), (0, 0, Some(&19)));
        let few = clusters((0..100).map(|row| row % 3));
        assert_eq!((few[0], few[99]), (0, 29));
        let alone = clusters(0..5);
        assert_eq!(alone, [0, 1, 2, 3, 4]);
    }
}
