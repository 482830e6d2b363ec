//! What every training needs and gives: the bounds of the data, the model with its card, and the comparison of two.

use crate::choose::{clusters, difference};
use crate::metrics::quantile;
use crate::random::Random;
use domain::Timestamp;
use domain::model::{CARD_FORMAT, Card, Coverage, Gate, Metrics, Verdict};
use domain::probability::Reliability;
use domain::units::signed_interval;
use std::collections::BTreeMap;

/// Which data a training may see.
#[derive(Clone, Debug)]
pub struct TrainSpec {
    /// Leave out what started earlier; none: take all history.
    pub since: Option<Timestamp>,
    /// Read nothing that was known only later.
    pub until: Timestamp,
    /// Same data, same seed: same bytes.
    pub seed: u64,
    /// Versions of the tables the rows came from, for the card.
    pub tables: BTreeMap<String, i64>,
}

impl TrainSpec {
    /// The card of a model that is trained so, with what does not depend on what was learnt.
    pub(crate) fn card(&self, model: &str, predicts: &str) -> Card {
        Card {
            format_version: CARD_FORMAT,
            model: model.to_owned(),
            version: self.until.compact(),
            predicts: predicts.to_owned(),
            created_at: self.until,
            tables: self.tables.clone(),
            seed: self.seed,
            ..Card::default()
        }
    }
}

/// A model as it is kept.
#[derive(Clone, Debug)]
pub struct Trained {
    /// JSON, the same bytes for the same data and seed.
    pub model: Vec<u8>,
    /// What it says about itself; champion and challenger are left to the caller.
    pub card: Card,
    /// Of the rows it was judged on.
    pub losses: Vec<RowLoss>,
}

/// What one prediction cost: the repository, a key unique among the rows, and the loss.
pub type RowLoss = (String, String, f64);

/// A model and its baselines on the same rows.
#[derive(Clone, Debug, Default)]
pub struct Evaluation {
    /// Of the model.
    pub metrics: Metrics,
    /// Of each baseline, by name.
    pub baselines: BTreeMap<String, Metrics>,
    /// Rows scored.
    pub rows: usize,
    /// How often the truth lay at or below the stated levels; empty for classifiers.
    pub coverage: Vec<Coverage>,
    /// What of it is off.
    pub gate: Gate,
    /// Of each row; empty where models are compared by their figures.
    pub losses: Vec<RowLoss>,
    /// Of each baseline, by name, on the same rows in the same order.
    pub baseline_losses: BTreeMap<String, Vec<f64>>,
    /// Of models of probabilities: what was said beside what came.
    pub reliability: Vec<Reliability>,
}

impl Evaluation {
    /// Leaves out figures that are no numbers, such as a share of nothing: a card cannot hold them.
    pub(crate) fn finite(mut self) -> Self {
        self.metrics.retain(|_, value| value.is_finite());
        self.baselines.values_mut().for_each(|metrics| metrics.retain(|_, value| value.is_finite()));
        self
    }
}

/// Compares on one figure where less is better with the best baseline, and row by row where there are losses of rows.
pub fn verdict(figure: &str, evaluation: &Evaluation, seed: u64) -> Verdict {
    // Not infinity, which a card cannot hold.
    let ours = evaluation.metrics.get(figure).copied().unwrap_or(f64::MAX);
    let figures = evaluation.baselines.iter().filter_map(|(name, m)| Some((name, *m.get(figure)?)));
    let best = figures.min_by(|a, b| a.1.total_cmp(&b.1));
    let losses = best.and_then(|(name, _)| evaluation.baseline_losses.get(name));
    let compared = losses.filter(|losses| !losses.is_empty() && losses.len() == evaluation.losses.len());
    let difference = compared.map(|losses| {
        let ours: Vec<f64> = evaluation.losses.iter().map(|(.., loss)| *loss).collect();
        difference(&ours, losses, &clusters(evaluation.losses.iter().map(|(repo, ..)| repo)), seed)
    });
    Verdict {
        figure: figure.to_owned(),
        ours,
        best_baseline: best.map_or(f64::MAX, |b| b.1),
        baseline: best.map_or_else(String::new, |b| b.0.clone()),
        beats_baselines: best.is_none_or(|b| ours < b.1),
        difference,
    }
}

/// Fewest rows new to both by which two models are compared row by row.
const PAIRS_NEEDED: usize = 30;
const RESAMPLES: usize = 1000;
/// Fewest repositories that are drawn whole; below, stretches of time are.
const REPOS_NEEDED: usize = 10;
const STRETCHES: usize = 30;

/// Whether the new model should serve instead of the old one, and why, in words. `old` has the old model's figures on
/// rows the new card was tested on; none when they could not be had.
pub fn better(new: &Trained, old: Option<&Evaluation>) -> (bool, String) {
    if let Some(answer) = old.and_then(|old| paired(&new.losses, &old.losses, new.card.seed)) {
        return answer;
    }
    let Verdict { figure, ours, best_baseline, baseline, beats_baselines, .. } = &new.card.verdict;
    match old.and_then(|old| old.metrics.get(figure)) {
        Some(old) if ours < old => (true, format!("{figure} {ours:.4} beats the champion's {old:.4} on the same rows")),
        Some(old) => (false, format!("{figure} {ours:.4} does not beat the champion's {old:.4} on the same rows")),
        None if *beats_baselines => (true, format!("{figure} {ours:.4} beats {baseline} with {best_baseline:.4}")),
        None => (false, format!("{figure} {ours:.4} does not beat {baseline} with {best_baseline:.4}")),
    }
}

/// Compares the losses of two models on the rows that both have. Rows of one repository, or next to each other in time,
/// err together: a bootstrap draws repositories, or stretches, as a whole (Efron & Tibshirani 1993, 8.6). None: too few rows.
fn paired(new: &[RowLoss], old: &[RowLoss], seed: u64) -> Option<(bool, String)> {
    let old: BTreeMap<&str, f64> = old.iter().map(|(_, key, loss)| (key.as_str(), *loss)).collect();
    let pairs: Vec<(&str, f64, f64)> =
        new.iter().filter_map(|(repo, key, loss)| Some((repo.as_str(), *loss, *old.get(key.as_str())?))).collect();
    if pairs.len() < PAIRS_NEEDED {
        return None;
    }
    // Losses of the new and of the old model, and rows, of what is drawn as a whole.
    let mut repos: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
    for (repo, new, old) in &pairs {
        let sums = repos.entry(repo).or_default();
        (sums.0, sums.1) = (sums.0 + new, sums.1 + old);
    }
    let lower = repos.values().filter(|(new, old)| new < old).count();
    let whole: Vec<(f64, f64)> = if repos.len() >= REPOS_NEEDED {
        repos.values().copied().collect()
    } else {
        let stretch =
            |rows: &[(&str, f64, f64)]| rows.iter().fold((0.0, 0.0), |s, (_, new, old)| (s.0 + new, s.1 + old));
        pairs.chunks(pairs.len().div_ceil(STRETCHES)).map(stretch).collect()
    };
    let gain = |(new, old): (f64, f64)| if old > 0.0 { 100.0 * (1.0 - new / old) } else { 0.0 };
    let add = |sums: (f64, f64), one: &(f64, f64)| (sums.0 + one.0, sums.1 + one.1);
    let measured = gain(whole.iter().fold((0.0, 0.0), add));
    let mut random = Random(seed);
    let mut draw = || gain((0..whole.len()).map(|_| &whole[random.below(whole.len())]).fold((0.0, 0.0), add));
    let gains: Vec<f64> = (0..RESAMPLES).map(|_| draw()).collect();
    let (low, high) = (quantile(gains.iter().copied(), 0.025), quantile(gains, 0.975));
    let sign = if low > 0.0 { "beats the champion beyond noise" } else { "does not beat the champion beyond noise" };
    let why = format!(
        "{sign}: loss {measured:+.1} % less (95 %: {} %) on {} rows new to both, less in {lower} of \
         {} repositories",
        signed_interval(low, high, 1),
        pairs.len(),
        repos.len()
    );
    Some((low > 0.0, why))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics(value: f64) -> Metrics {
        Metrics::from([("mae_log".to_owned(), value)])
    }

    #[test]
    fn the_verdict_names_the_best_baseline() {
        let baselines = BTreeMap::from([("a".to_owned(), metrics(0.3)), ("b".to_owned(), metrics(0.2))]);
        let of =
            |ours: f64| Evaluation { metrics: metrics(ours), baselines: baselines.clone(), ..Evaluation::default() };
        let v = verdict("mae_log", &of(0.25), 7);
        assert_eq!((v.baseline.as_str(), v.beats_baselines, v.difference), ("b", false, None));
        assert!(verdict("mae_log", &of(0.1), 7).beats_baselines);
        let by_row = Evaluation {
            losses: losses(1, 0.9),
            baseline_losses: BTreeMap::from([("b".to_owned(), losses(1, 1.0).into_iter().map(|l| l.2).collect())]),
            ..of(0.1)
        };
        let difference = verdict("mae_log", &by_row, 7).difference.unwrap();
        assert!(difference.high < 0.0 && difference.rows == 600, "{difference:?}");
    }

    /// Losses around 1 over some repositories; every other row is dearer.
    fn losses(repos: usize, scale: f64) -> Vec<RowLoss> {
        let loss = |i: usize| scale * (1.0 + (i % 7) as f64 / 7.0);
        (0..600).map(|i| (format!("acme/{}", i % repos), format!("{i:04}"), loss(i))).collect()
    }

    #[test]
    fn only_what_is_better_beyond_noise_replaces_the_champion() {
        for repos in [1, 20] {
            let (better, why) = paired(&losses(repos, 0.9), &losses(repos, 1.0), 7).unwrap();
            assert!(better && why.contains("+10.0 % less"), "{why}");
            assert!(!paired(&losses(repos, 1.0), &losses(repos, 1.0), 7).unwrap().0);
            assert!(!paired(&losses(repos, 1.1), &losses(repos, 1.0), 7).unwrap().0);
            // Better by a thousandth on average, and by turns much better and much worse.
            let mut noisy = losses(repos, 0.999);
            noisy.iter_mut().enumerate().for_each(|(i, l)| l.2 *= if (i / 20) % 2 == 0 { 0.5 } else { 1.5 });
            assert!(!paired(&noisy, &losses(repos, 1.0), 7).unwrap().0);
        }
        assert!(paired(&losses(1, 0.9)[..29], &losses(1, 1.0), 7).is_none(), "too few rows in common");
    }
}
