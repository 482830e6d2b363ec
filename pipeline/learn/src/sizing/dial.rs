//! From the share of samples that may be above a CPU limit to the price of one: the dial of a fleet.
//!
//! The limits at every price are replayed over the past days of all resources of the fleet, and the price in force is the
//! one at which the accepted share was met over the last days. So what is promised is a share of the fleet's samples, and
//! where they fall is decided by where they save most. Nothing is fitted beforehand: a fleet finds its own price, and
//! follows it.

use super::cpu_rules::{CpuRules, Curve, PRICES};
use super::steady::steady;
use crate::usage::Day;
use rayon::prelude::*;
use std::collections::BTreeMap;

/// So many days with data tell the share at a price: two weeks, each day of the week alike, and few enough to follow a change.
const WINDOW_DAYS: usize = 14;

/// What the prices would have held back on one day, over all resources.
#[derive(Clone, Copy, Debug, Default)]
struct Held {
    above: [u64; PRICES],
    samples: u64,
}

impl Held {
    fn add(&mut self, other: &Self) {
        self.samples += other.samples;
        self.above.iter_mut().zip(other.above).for_each(|(above, more)| *above += more);
    }
}

/// What each price held back on each day.
#[derive(Clone, Debug, Default)]
pub(crate) struct Dial {
    days: BTreeMap<i64, Held>,
}

impl Dial {
    /// Replays all prices over resources, each with its days.
    pub(crate) fn observe(histories: &[&[Day]]) -> Self {
        let merged = |mut a: Self, b: Self| {
            b.days.iter().for_each(|(day, held)| a.days.entry(*day).or_default().add(held));
            a
        };
        histories.par_iter().map(|days| Self::of(days)).reduce(Self::default, merged)
    }

    fn of(days: &[Day]) -> Self {
        let mut dial = Self::default();
        let mut rules = CpuRules::default();
        let mut in_force = [None; PRICES];
        for (n, today) in days.iter().enumerate() {
            // Days of the default say nothing of the prices.
            let told = rules.has_chosen() && !today.cpu.is_empty();
            if let Some(curve) = rules.curve(&days[..n]).filter(|_| told) {
                let mut held = Held { samples: today.cpu.len() as u64, ..Held::default() };
                for ((limit, in_force), above) in curve.iter().zip(&mut in_force).zip(&mut held.above) {
                    let limit = steady(*in_force, *limit);
                    *in_force = Some(limit);
                    *above = today.cpu.under(limit).above as u64;
                }
                dial.days.insert(today.day, held);
            }
            rules.learn(&days[..=n]);
        }
        dial
    }

    /// Where between the prices the accepted share was met on the last days before this one; the dearest where nothing is
    /// known. The larger the share, the cheaper.
    fn position(&self, before: i64, risk: f64) -> f64 {
        let mut sum = Held::default();
        self.days.range(..before).rev().take(WINDOW_DAYS).for_each(|(_, held)| sum.add(held));
        let dearest = (PRICES - 1) as f64;
        if sum.samples == 0 || risk <= 0.0 {
            return dearest;
        }
        // Half a sample stands for none, so that there is a logarithm.
        let share = |above: u64| (above as f64).max(0.5) / sum.samples as f64;
        let mut shares = sum.above.map(share);
        for k in 1..PRICES {
            shares[k] = shares[k].min(shares[k - 1]);
        }
        match shares.iter().position(|share| *share <= risk) {
            None => dearest,
            Some(0) => 0.0,
            Some(k) => {
                let (more, less) = (shares[k - 1].ln(), shares[k].ln());
                (k - 1) as f64 + (more - risk.ln()) / (more - less)
            }
        }
    }

    /// The limit of a curve at the accepted share, as decided before a day.
    pub(crate) fn limit(&self, curve: &Curve, before: i64, risk: f64) -> f64 {
        let at = self.position(before, risk);
        let low = (at.floor() as usize).min(PRICES - 2);
        curve[low] + (curve[low + 1] - curve[low]) * (at - low as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dial(days: i64, above: impl Fn(usize) -> u64) -> Dial {
        let mut held = Held { samples: 1000, ..Held::default() };
        held.above.iter_mut().enumerate().for_each(|(k, n)| *n = above(k));
        Dial { days: (0..days).map(|day| (day, held)).collect() }
    }

    #[test]
    fn the_price_is_where_the_accepted_share_was_met() {
        // 160, 150 … 10 of 1000: 2 % at the 14th price.
        let dial = dial(20, |k| 160 - 10 * k as u64);
        assert!((dial.position(20, 0.02) - 14.0).abs() < 1e-9);
        let between = dial.position(20, 0.025);
        assert!(13.0 < between && between < 14.0, "{between}");
        assert_eq!(dial.position(20, 0.5), 0.0);
        assert_eq!((dial.position(20, 0.001), dial.position(20, 0.0)), (15.0, 15.0));
        assert_eq!(dial.position(0, 0.02), 15.0, "nothing is known before the first day");
    }

    #[test]
    fn a_larger_share_is_never_dearer() {
        let dial = dial(3, |k| [400, 380, 390, 100, 100, 100, 40, 41, 20, 9, 3, 3, 1, 0, 0, 0][k]);
        let curve: Curve = std::array::from_fn(|k| 1.0 + k as f64);
        let limits: Vec<f64> = (0..400).map(|i| dial.limit(&curve, 3, i as f64 / 1000.0)).collect();
        assert!(limits.windows(2).all(|pair| pair[0] >= pair[1]), "{limits:?}");
    }

    #[test]
    fn old_days_are_forgotten() {
        let mut dial = dial(30, |_| 500);
        for held in dial.days.range_mut(15..).map(|(_, held)| held) {
            held.above = [0; PRICES];
        }
        assert_eq!(dial.position(30, 0.02), 0.0);
        assert!(dial.position(20, 0.02) > 0.0);
    }
}
