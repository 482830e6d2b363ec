//! The figures by which models and baselines are judged. Pure arithmetic over equally long slices.

use crate::random::Random;
use domain::model::Metrics;

/// The `q` quantile (0 to 1) with linear interpolation, as numpy does it; NaN of nothing.
pub fn quantile(values: impl IntoIterator<Item = f64>, q: f64) -> f64 {
    let mut sorted: Vec<f64> = values.into_iter().filter(|v| !v.is_nan()).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let at = q * last as f64;
    let (low, high) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    low + (high - low) * at.fract()
}

/// The mean; NaN of nothing.
pub(crate) fn mean(values: impl IntoIterator<Item = f64>) -> f64 {
    let (sum, n) = values.into_iter().fold((0.0, 0_usize), |(sum, n), v| (sum + v, n + 1));
    sum / n as f64
}

/// Pinball loss (Koenker & Bassett 1978): at 0.9 it is nine times as bad to be exceeded as to exceed.
fn pinball(truth: &[f64], said: &[f64], q: f64) -> f64 {
    mean(truth.iter().zip(said).map(|(y, p)| (q * (y - p)).max((q - 1.0) * (y - p))))
}

/// The truth and the levels p50, p90 and, if there is one, p99, all as log1p of a unit, to `mae_<unit>`, `mdape`,
/// `within_25pct`, `mae_log`, `pinball90_<unit>`, `pinball90_log`, `coverage90`, `coverage50`, those of 99, and `loss_log`,
/// the mean of the pinball losses of p50 and p90 on the log scale.
pub fn level_metrics(truth: &[f64], levels: &[Vec<f64>], unit: &str) -> Metrics {
    let plain = |log: &[f64]| -> Vec<f64> { log.iter().map(|v| v.exp_m1().max(0.0)).collect() };
    let (centre, upper) = (&levels[0], &levels[1]);
    let (truth_plain, centre_plain) = (plain(truth), plain(centre));
    let error = |a: &[f64], b: &[f64]| mean(a.iter().zip(b).map(|(a, b)| (a - b).abs()));
    let relative: Vec<f64> = truth_plain.iter().zip(&centre_plain).map(|(y, p)| (p - y).abs() / y.max(1e-3)).collect();
    let share_below = |p: &[f64]| mean(truth.iter().zip(p).map(|(y, p)| f64::from(y <= p)));
    let (mae_log, pinball_log) = (error(truth, centre), pinball(truth, upper, 0.9));
    let mut metrics = Metrics::from([
        (format!("mae_{unit}"), error(&truth_plain, &centre_plain)),
        ("mdape".to_owned(), quantile(relative.iter().copied(), 0.5)),
        ("within_25pct".to_owned(), mean(relative.iter().map(|r| f64::from(*r <= 0.25)))),
        ("mae_log".to_owned(), mae_log),
        (format!("pinball90_{unit}"), pinball(&truth_plain, &plain(upper), 0.9)),
        ("pinball90_log".to_owned(), pinball_log),
        ("coverage90".to_owned(), share_below(upper)),
        ("coverage50".to_owned(), share_below(centre)),
        ("loss_log".to_owned(), (mae_log / 2.0 + pinball_log) / 2.0),
    ]);
    if let Some(top) = levels.get(2) {
        metrics.insert("pinball99_log".to_owned(), pinball(truth, top, 0.99));
        metrics.insert("coverage99".to_owned(), share_below(top));
    }
    metrics
}

/// Of each row the mean of the pinball losses of p50 and p90, the first two of `levels`, in the unit of the truth.
pub(crate) fn level_losses(truth: &[f64], levels: &[Vec<f64>]) -> Vec<f64> {
    let one = |(at, truth): (usize, &f64)| {
        let (centre, upper) = (truth - levels[0][at], truth - levels[1][at]);
        (0.5 * centre.abs() + (0.9 * upper).max(-0.1 * upper)) / 2.0
    };
    truth.iter().enumerate().map(one).collect()
}

/// Labels and probabilities to `brier`, `ece10`, `base_rate`, and where both classes occur `roc_auc` and `pr_auc`.
pub fn probability_metrics(truth: &[bool], probability: &[f64]) -> Metrics {
    let positives = truth.iter().filter(|y| **y).count();
    let mut metrics = Metrics::from([
        ("brier".to_owned(), brier(truth, probability)),
        ("ece10".to_owned(), calibration_error(truth, probability)),
        ("base_rate".to_owned(), positives as f64 / truth.len() as f64),
    ]);
    if positives > 0 && positives < truth.len() {
        let (roc, pr) = areas(truth, probability, positives);
        metrics.insert("roc_auc".to_owned(), roc);
        metrics.insert("pr_auc".to_owned(), pr);
    }
    metrics
}

/// Mean squared distance between probability and outcome (Brier 1950).
pub(crate) fn brier(truth: &[bool], probability: &[f64]) -> f64 {
    mean(brier_losses(truth, probability))
}

/// Of each row the squared distance between probability and outcome.
pub(crate) fn brier_losses(truth: &[bool], probability: &[f64]) -> Vec<f64> {
    truth.iter().zip(probability).map(|(y, p)| (p - f64::from(*y)).powi(2)).collect()
}

/// Expected calibration error over ten equally wide bins.
pub(crate) fn calibration_error(truth: &[bool], probability: &[f64]) -> f64 {
    let mut bins = [(0.0, 0.0); 10];
    for (y, p) in truth.iter().zip(probability) {
        let bin = &mut bins[((p * 10.0) as usize).min(9)];
        bin.0 += f64::from(*y);
        bin.1 += p;
    }
    bins.iter().map(|(y, p)| (y - p).abs()).sum::<f64>() / truth.len() as f64
}

/// Whether the calibration error is no larger than in 95 % of draws of outcomes that come as often as is said.
pub(crate) fn is_calibrated(truth: &[bool], probability: &[f64], seed: u64) -> bool {
    const DRAWS: usize = 400;
    let mut random = Random::stream(seed, 12);
    let mut draw =
        || calibration_error(&probability.iter().map(|p| random.chance(*p)).collect::<Vec<_>>(), probability);
    calibration_error(truth, probability) <= quantile((0..DRAWS).map(|_| draw()), 0.95)
}

/// ROC-AUC and average precision; equal probabilities are one step, so that their order does not matter.
fn areas(truth: &[bool], probability: &[f64], positives: usize) -> (f64, f64) {
    let mut ranked: Vec<(f64, bool)> = probability.iter().copied().zip(truth.iter().copied()).collect();
    ranked.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
    let (all_hits, all_misses) = (positives as f64, (truth.len() - positives) as f64);
    let (mut hits, mut misses, mut roc, mut pr) = (0.0, 0.0, 0.0, 0.0);
    for step in ranked.chunk_by(|a, b| a.0 == b.0) {
        let new_hits = step.iter().filter(|(_, y)| *y).count() as f64;
        let new_misses = step.len() as f64 - new_hits;
        roc += new_misses * (hits + new_hits / 2.0);
        hits += new_hits;
        misses += new_misses;
        pr += new_hits / all_hits * (hits / (hits + misses));
    }
    (roc / (all_hits * all_misses), pr)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f64, b: f64) {
        assert!((a - b).abs() < 1e-9, "{a} is not {b}");
    }

    #[test]
    fn quantiles_interpolate_as_numpy_does() {
        close(quantile([3.0, 1.0, 2.0, 4.0], 0.5), 2.5);
        close(quantile([1.0, 2.0, f64::NAN], 1.0), 2.0);
        assert!(quantile([], 0.5).is_nan());
    }

    #[test]
    fn duration_figures_are_the_textbook_ones() {
        let log = |s: [f64; 4]| s.map(f64::ln_1p).to_vec();
        let m =
            level_metrics(&log([100.0; 4]), &[log([100.0, 110.0, 50.0, 300.0]), log([200.0, 90.0, 100.0, 100.0])], "s");
        close(m["mae_s"], (10.0 + 50.0 + 200.0) / 4.0);
        close(m["within_25pct"], 0.5);
        close(m["mdape"], 0.3);
        close(m["pinball90_s"], (0.1 * 100.0 + 0.9 * 10.0) / 4.0);
        close(m["coverage90"], 0.75);
        close(m["loss_log"], (m["mae_log"] / 2.0 + m["pinball90_log"]) / 2.0);
    }

    #[test]
    fn a_perfect_ranking_has_area_one_and_a_constant_half() {
        let truth = [true, false, true, false];
        let m = probability_metrics(&truth, &[0.9, 0.1, 0.8, 0.2]);
        close(m["roc_auc"], 1.0);
        close(m["pr_auc"], 1.0);
        close(m["brier"], (0.01 + 0.01 + 0.04 + 0.04) / 4.0);
        let m = probability_metrics(&truth, &[0.5; 4]);
        close(m["roc_auc"], 0.5);
        close(m["pr_auc"], 0.5);
        close(m["ece10"], 0.0);
        assert!(!probability_metrics(&[true; 3], &[0.5; 3]).contains_key("roc_auc"));
    }
}
