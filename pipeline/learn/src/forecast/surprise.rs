//! Whether an error is larger than chance makes it: what lets a kept choice go, at a stated rate of false alarms.
//!
//! The error of a night is divided by the one that cross-validation promised. The same was done when the choice was made: the error
//! of each origin was divided by that of the others, over all series. Where the night's ratio lies among those is its p-value (a
//! conformal one: Vovk et al. 2021, "Retrain or not retrain"), whose negative logarithm is an exponential figure of mean one as
//! long as nothing changed, whatever the distribution of errors. Nights are averaged, the newest counting half.

use super::intervals::Misses;
use crate::usage::quantile;
use serde::{Deserialize, Serialize};

/// Share of the newest night in the mean.
const NEWEST: f64 = 0.5;
/// What the mean exceeds with a chance of one in a hundred if nothing changed, `-ln(0.01 / 3.463) / 2`: it is a sum of independent
/// exponential figures with the means 1/2, 1/4, 1/8, …, so that its tail is `exp(-2 x)` times the product of `1 / (1 - 2^-k)`.
const ALARM: f64 = 2.9236;
/// The shares of ratios that are kept; beyond the last one their logarithms are taken to go on exponentially.
const SHARES: [f64; 5] = [0.1, 0.25, 0.5, 0.75, 0.9];
/// Ratios that are taken to have been seen beside those of the series: of a logarithm that is normal with this deviation.
const PRIOR: [f64; 9] = [-1.2816, -0.8416, -0.5244, -0.2533, 0.0, 0.2533, 0.5244, 0.8416, 1.2816];
const PRIOR_DEVIATION: f64 = 0.35;

/// The logarithms of the ratios of all series: their quantiles at [`SHARES`], and how far beyond the last the rest lies in the mean.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Ratios {
    quantiles: [f64; SHARES.len()],
    excess: f64,
}

impl Ratios {
    /// By what was missed at the origins of all series.
    pub(super) fn of(all: &[Misses]) -> Self {
        let mut logs: Vec<f64> = all.iter().flat_map(of_series).collect();
        logs.extend(PRIOR.map(|score| PRIOR_DEVIATION * score));
        logs.sort_by(f64::total_cmp);
        let quantiles = SHARES.map(|share| quantile(&logs, share).unwrap_or(0.0));
        let last = quantiles[SHARES.len() - 1];
        let beyond: Vec<f64> = logs.iter().filter(|log| **log > last).map(|log| log - last).collect();
        let excess = beyond.iter().sum::<f64>() / beyond.len().max(1) as f64;
        Self { quantiles, excess: excess.max(f64::MIN_POSITIVE) }
    }

    /// The negative logarithm of the share of ratios that are larger than the one with this logarithm.
    fn surprise(&self, log: f64) -> f64 {
        let (first, last) = (self.quantiles[0], self.quantiles[SHARES.len() - 1]);
        if log >= last {
            return (log - last) / self.excess - (1.0 - SHARES[SHARES.len() - 1]).ln();
        }
        let above = self.quantiles.partition_point(|quantile| *quantile <= log);
        let below = if log < first {
            // The rest lies below: half of it stands for all.
            SHARES[0] / 2.0
        } else {
            let (low, high) = (self.quantiles[above - 1], self.quantiles[above]);
            SHARES[above - 1] + (SHARES[above] - SHARES[above - 1]) * (log - low) / (high - low)
        };
        -(1.0 - below).ln()
    }
}

/// The logarithm of the error at each origin relative to the mean of the others.
fn of_series(misses: &Misses) -> Vec<f64> {
    let mean = |error: &[f64]| error.iter().map(|e| e.abs()).sum::<f64>() / error.len().max(1) as f64;
    let sizes: Vec<f64> = misses.origins.iter().map(|origin| mean(&origin.error)).collect();
    let (sum, n) = (sizes.iter().sum::<f64>(), sizes.len() as f64);
    let ratio = |size: &f64| log_ratio(*size, (sum - size) / (n - 1.0), misses.scale);
    if sizes.len() < 2 { Vec::new() } else { sizes.iter().map(ratio).collect() }
}

/// The logarithm of an error relative to the usual one; both may be none but for rounding.
pub(super) fn log_ratio(error: f64, usual: f64, scale: f64) -> f64 {
    let slack = 1e-6 * scale.abs();
    ((error + slack).max(f64::MIN_POSITIVE) / (usual + slack).max(f64::MIN_POSITIVE)).ln()
}

/// The mean surprise of the nights since a choice was made.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Surprise(f64);

impl Surprise {
    /// Of no night: what is to be expected.
    pub(super) fn none() -> Self {
        Self(1.0)
    }

    /// After a night whose error had this logarithm relative to the usual one.
    pub(super) fn after(self, ratios: &Ratios, log: f64) -> Self {
        Self((1.0 - NEWEST) * self.0 + NEWEST * ratios.surprise(log))
    }

    pub(super) fn is_alarming(self) -> bool {
        self.0 > ALARM
    }
}

#[cfg(test)]
mod tests {
    use super::super::intervals::Miss;
    use super::super::tests::noise;
    use super::*;

    /// Chance that a choice is let go in a night in which nothing changed.
    const FALSE_ALARMS: f64 = 0.01;

    /// The size of an error: one times the exponential of something with heavier tails than a normal figure.
    fn size(seed: &mut u64) -> f64 {
        let chance = (noise(seed) + 1.0) / 2.0;
        (0.4 * (chance.max(1e-9) / (1.0 - chance).max(1e-9)).ln()).exp()
    }

    fn missed(origins: usize, seed: &mut u64) -> Misses {
        let origins = (0..origins).map(|_| Miss { said: vec![0.0], error: vec![size(seed)] }).collect();
        Misses { origins, scale: 1.0 }
    }

    #[test]
    fn alarms_without_a_change_are_as_rare_as_stated_and_a_change_is_noticed() {
        let mut seed = 9;
        let all: Vec<Misses> = (0..3000).map(|_| missed(3, &mut seed)).collect();
        let ratios = Ratios::of(&all);
        let usual = |misses: &Misses| misses.origins.iter().map(|origin| origin.error[0]).sum::<f64>() / 3.0;
        let (mut alarms, mut noticed) = (0.0, 0.0);
        const NIGHTS: usize = 10;
        for misses in &all {
            let mut surprise = Surprise::none();
            for _ in 0..NIGHTS {
                surprise = surprise.after(&ratios, log_ratio(size(&mut seed), usual(misses), 1.0));
                alarms += f64::from(surprise.is_alarming());
            }
            // Eight times the error for three nights.
            for _ in 0..3 {
                surprise = surprise.after(&ratios, log_ratio(8.0 * size(&mut seed), usual(misses), 1.0));
            }
            noticed += f64::from(surprise.is_alarming());
        }
        let (rate, noticed) = (alarms / (all.len() * NIGHTS) as f64, noticed / all.len() as f64);
        assert!(rate > 0.2 * FALSE_ALARMS && rate < 1.7 * FALSE_ALARMS, "{rate}");
        assert!(noticed > 0.6, "{noticed}");
    }

    #[test]
    fn few_series_are_enough_to_notice_much() {
        let ratios = Ratios::of(&[missed(3, &mut 4)]);
        assert!(Surprise::none().after(&ratios, 10.0_f64.ln()).is_alarming());
        assert!(!Surprise::none().after(&ratios, 1.5_f64.ln()).is_alarming());
        assert!(!Surprise::none().after(&ratios, log_ratio(1e-9, 0.0, 1.0)).is_alarming(), "rounding");
    }

    #[test]
    fn the_alarm_has_the_chance_that_it_is_stated_to_have() {
        let product: f64 = (1..60).map(|k| 1.0 / (1.0 - 0.5_f64.powi(k))).product();
        assert!((product * (-2.0 * ALARM).exp() - FALSE_ALARMS).abs() < 1e-5, "{product}");
    }
}
