//! What every training needs and gives: the bounds of the data, the model with its card, and the comparison of two.

use domain::Timestamp;
use domain::model::{Card, Metrics, Verdict};
use domain::probability::Reliability;
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

/// A model as it is kept.
#[derive(Clone, Debug)]
pub struct Trained {
    /// JSON, the same bytes for the same data and seed.
    pub model: Vec<u8>,
    /// What it says about itself; champion and challenger are left to the caller.
    pub card: Card,
}

/// A model and its baselines on the same rows.
#[derive(Clone, Debug, Default)]
pub struct Evaluation {
    /// Of the model.
    pub metrics: Metrics,
    /// Of each baseline, by name.
    pub baselines: BTreeMap<String, Metrics>,
    /// Rows scored.
    pub rows: usize,
    /// Of models of probabilities: what was said beside what came.
    pub reliability: Vec<Reliability>,
}

/// Compares on one figure where less is better with the best baseline.
pub fn verdict(figure: &str, metrics: &Metrics, baselines: &BTreeMap<String, Metrics>) -> Verdict {
    let ours = metrics.get(figure).copied().unwrap_or(f64::INFINITY);
    let figures = baselines.iter().filter_map(|(name, m)| Some((name, *m.get(figure)?)));
    let best = figures.min_by(|a, b| a.1.total_cmp(&b.1));
    Verdict {
        figure: figure.to_owned(),
        ours,
        best_baseline: best.map_or(f64::INFINITY, |b| b.1),
        baseline: best.map_or_else(String::new, |b| b.0.clone()),
        beats_baselines: best.is_none_or(|b| ours < b.1),
    }
}

/// Whether the new model should serve instead of the old one, and why, in words. `old_metrics` are the old
/// model's figures on the rows the new card was tested on; empty when they could not be had.
pub fn better(new: &Card, old_metrics: &Metrics) -> (bool, String) {
    let Verdict { figure, ours, best_baseline, baseline, beats_baselines } = &new.verdict;
    match old_metrics.get(figure) {
        Some(old) if ours < old => (true, format!("{figure} {ours:.4} beats the champion's {old:.4} on the same rows")),
        Some(old) => (false, format!("{figure} {ours:.4} does not beat the champion's {old:.4} on the same rows")),
        None if *beats_baselines => (true, format!("{figure} {ours:.4} beats {baseline} with {best_baseline:.4}")),
        None => (false, format!("{figure} {ours:.4} does not beat {baseline} with {best_baseline:.4}")),
    }
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
        let v = verdict("mae_log", &metrics(0.25), &baselines);
        assert_eq!((v.baseline.as_str(), v.beats_baselines), ("b", false));
        assert!(verdict("mae_log", &metrics(0.1), &baselines).beats_baselines);
    }
}
