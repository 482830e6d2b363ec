//! The CPU rules of [`super::ours`]: what each would have cost a resource on its past days, and the limit that follows.
//!
//! A rule is "the highest daily quantile of the last days × a factor". On every past day each rule is asked what it would
//! have said from the days before, and is charged in two parts: for what it reserves (slack and overrun, in cores), and
//! for the samples above it. How dear such a sample is, is the price, and the price is one for the whole fleet
//! ([`super::dial`]): where one more core saves equally many throttled samples everywhere, no other split of the same
//! share of them would reserve less (Lagrange). A price of its own for each resource, as an equal quantile for all implies, does.
//!
//! The limit is the mean of the rules' limits, weighed by `exp(-SHARPNESS × excess cost per day)`: exponentially weighted
//! experts (Cesa-Bianchi and Lugosi, 2006, ch. 2), which with a month of days forget less than the cheapest rule alone
//! (Autopilot's arg-min; Rzadca et al., EuroSys 2020, §3.2.2) and move less from day to day.

use super::last;
use crate::usage::{Day, Series};

/// Days a rule may look back.
const WINDOWS: [usize; 4] = [14, 7, 3, 1];
const QUANTILES: [f64; 5] = [1.0, 0.99, 0.95, 0.9, 0.8];
const FACTORS: [f64; 5] = [0.9, 1.0, 1.1, 1.35, 2.0];
const RULES: usize = WINDOWS.len() * QUANTILES.len() * FACTORS.len();
/// The loosest factor.
pub(super) const LOOSEST: f64 = 2.0;

/// A core of overrun costs as two of slack: how far above counts too, not only how often.
const OVERRUN_WEIGHT: f64 = 2.0;
/// What is reserved counts by the size of the resource to this power less: 0 would let the few large resources be tight and
/// the small ones loose, 1 the reverse.
const SCALE: f64 = 0.25;
/// Slack is told as a share of what is reserved, so half of each reserved core is free of charge.
const FREE_SHARE: f64 = 0.5;
/// Of two rules, one that cost more by a core-day (of a resource of one core) weighs less by this power of e.
const SHARPNESS: f64 = 5.0;
/// A rule that held back more than this share of a resource's own samples is out, whatever it saves.
const MOST_ABOVE: f64 = 0.25;

/// Fewer replayed days than these do not choose; the careful default decides: p99 of 14 days × 1.2.
const DAYS_TO_CHOOSE: usize = 2;
const DEFAULT: (usize, f64, f64) = (14, 0.99, 1.2);

/// KRR's floor.
pub(super) const FLOOR_CORES: f64 = 0.010;

/// How far back throttling raises the limit, and by how much.
const HELD_BACK_DAYS: usize = 30;
const HELD_BACK_FACTOR: f64 = 1.25;
/// Share of a day's samples that must have been held back.
const HELD_BACK_SHARE: f64 = 0.05;

/// Prices of a sample above the limit, from next to nothing to prohibitive.
pub(super) const PRICES: usize = 16;
const CHEAPEST: f64 = 0.003;
const DEAREST: f64 = 300.0;

/// The limit at each price, cores, ascending.
pub(super) type Curve = [f64; PRICES];

/// A price in core-samples, at a resource of one core; it grows with the size to the power of [`SCALE`].
fn price(k: usize) -> f64 {
    CHEAPEST * (DEAREST / CHEAPEST).powf(k as f64 / (PRICES - 1) as f64)
}

/// What every rule has cost a resource so far.
pub(super) struct CpuRules {
    /// Slack and overrun beyond the free share, core-samples over cores to the power of [`SCALE`].
    reserved: Vec<f64>,
    /// Samples above.
    above: Vec<f64>,
    days: usize,
    samples: f64,
    used: f64,
}

impl Default for CpuRules {
    fn default() -> Self {
        Self { reserved: vec![0.0; RULES], above: vec![0.0; RULES], days: 0, samples: 0.0, used: 0.0 }
    }
}

impl CpuRules {
    /// Replayed days.
    pub(super) fn days(&self) -> usize {
        self.days
    }

    /// Whether the limits follow the prices yet.
    pub(super) fn has_chosen(&self) -> bool {
        self.days >= DAYS_TO_CHOOSE
    }

    /// Charges every rule for the last day, on which it would have decided from the days before.
    pub(super) fn learn(&mut self, days: &[Day]) {
        let Some((today, past)) = days.split_last() else { return };
        if today.cpu.is_empty() {
            return;
        }
        let Some(limits) = limits(&known(past)) else { return };
        let n = today.cpu.len() as f64;
        self.days += 1;
        self.samples += n;
        self.used += today.cpu.sum();
        let scale = self.size().powf(SCALE);
        for ((limit, reserved), above) in limits.iter().zip(&mut self.reserved).zip(&mut self.above) {
            let under = today.cpu.under(*limit);
            *reserved += (under.slack + OVERRUN_WEIGHT * under.over - FREE_SHARE * limit * n) / scale;
            *above += under.above as f64;
        }
    }

    /// Mean use, cores.
    fn size(&self) -> f64 {
        (self.used / self.samples.max(1.0)).max(FLOOR_CORES)
    }

    /// The limits for what comes after `days`; none where nothing was recorded.
    pub(super) fn curve(&self, days: &[Day]) -> Option<Curve> {
        let known = known(days);
        let floor = throttled_demand(days).unwrap_or(0.0).max(FLOOR_CORES);
        if !self.has_chosen() {
            let (window, quantile, factor) = DEFAULT;
            let limit = highest_quantile(&known, window, quantile)? * factor;
            return Some([limit.max(floor); PRICES]);
        }
        let limits = limits(&known)?;
        let most = MOST_ABOVE * self.samples;
        let any = self.above.iter().any(|above| *above <= most);
        let sharpness = SHARPNESS * self.days as f64 / (self.size().powf(1.0 - SCALE) * self.samples);
        let mut curve = [floor; PRICES];
        let mut costs = vec![0.0; RULES];
        let mut dearer = floor;
        for (k, limit) in curve.iter_mut().enumerate() {
            let price = price(k);
            let all = self.reserved.iter().zip(&self.above);
            for (cost, (reserved, above)) in costs.iter_mut().zip(all) {
                *cost = if any && *above > most { f64::INFINITY } else { reserved + price * above };
            }
            let least = costs.iter().copied().fold(f64::INFINITY, f64::min);
            let (mut sum, mut weights) = (0.0, 0.0);
            for (cost, rule) in costs.iter().zip(&limits) {
                let weight = (-sharpness * (cost - least)).exp();
                sum += weight * rule;
                weights += weight;
            }
            // No limit is lower for a dearer sample.
            dearer = (sum / weights).max(dearer);
            *limit = dearer;
        }
        Some(curve)
    }
}

/// The days with a CPU figure.
fn known(days: &[Day]) -> Vec<&Series> {
    days.iter().map(|day| &day.cpu).filter(|series| !series.is_empty()).collect()
}

/// What each rule says after these days.
fn limits(past: &[&Series]) -> Option<Vec<f64>> {
    let mut limits = Vec::with_capacity(RULES);
    for window in WINDOWS {
        for quantile in QUANTILES {
            let peak = highest_quantile(past, window, quantile)?;
            limits.extend(FACTORS.iter().map(|factor| (peak * factor).max(FLOOR_CORES)));
        }
    }
    Some(limits)
}

/// The highest daily quantile of the last days.
pub(super) fn highest_quantile(days: &[&Series], window: usize, quantile: f64) -> Option<f64> {
    let recent = &days[days.len().saturating_sub(window)..];
    recent.iter().filter_map(|s| s.quantile(quantile)).max_by(f64::total_cmp)
}

/// Cores that the throttled samples of the last days ask for; none where a day was throttled in passing only.
pub(super) fn throttled_demand(days: &[Day]) -> Option<f64> {
    let often = |d: &Day| d.throttled as f64 >= HELD_BACK_SHARE * d.samples as f64;
    let at = super::highest_of(last(days, HELD_BACK_DAYS), |d| d.throttled_at.filter(|_| often(d)))?;
    Some(at * HELD_BACK_FACTOR)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage::tests::{Row, load};
    use domain::time::{DAY, MINUTE};
    use proptest::prelude::*;

    fn learned(days: &[Day]) -> CpuRules {
        let mut rules = CpuRules::default();
        for n in 1..=days.len() {
            rules.learn(&days[..n]);
        }
        rules
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn a_dearer_sample_never_lowers_the_limit_and_the_same_days_give_the_same(
            cores in proptest::collection::vec(0.0_f64..8.0, 24..240)
        ) {
            let rows: Vec<Row> =
                cores.iter().enumerate().map(|(i, cores)| Row::new("a/b", i as i64 * DAY / 24, *cores, 1e8)).collect();
            let days = load(&rows).resources["a/b"].clone();
            let curve = learned(&days).curve(&days).unwrap();
            prop_assert!(curve.windows(2).all(|pair| pair[0] <= pair[1]), "{curve:?}");
            prop_assert!(curve.iter().all(|limit| limit.is_finite() && *limit >= FLOOR_CORES));
            let most = cores.iter().copied().fold(0.0, f64::max);
            prop_assert!(curve[PRICES - 1] <= (most * LOOSEST).max(FLOOR_CORES) + 1e-9);
            prop_assert_eq!(curve, learned(&days).curve(&days).unwrap());
        }
    }

    #[test]
    fn a_rule_that_holds_back_a_third_of_the_day_is_out_at_any_price() {
        // Eight hours a day at 1 core, else 0.02.
        let cores = |i: i64| if i % 288 < 96 { 1.0 } else { 0.02 };
        let rows: Vec<Row> = (0..12 * 288).map(|i| Row::new("a/b", i * 5 * MINUTE, cores(i), 1e8)).collect();
        let days = load(&rows).resources["a/b"].clone();
        let curve = learned(&days).curve(&days).unwrap();
        assert!(curve[0] >= 1.0, "{curve:?}");
    }
}
