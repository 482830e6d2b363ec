//! Forecasts of regular series: candidates, the choice between them by rolling origins, their combination, and intervals
//! whose coverage is measured.
//!
//! Owns the numbers only: a series is values a step apart, oldest first, and the future is counted in steps. What the values
//! are, and which hours of the calendar they belong to, is its callers' to know ([`crate::shadow`], [`crate::series`]).

mod autoregression;
mod combine;
mod decompose;
mod double_season;
mod intermittent;
mod intervals;
mod kept;
mod model;
mod naive;
mod optimum;
mod panel;
mod peaks;
mod quantiles;
mod serve;
mod smoothing;
mod surprise;
mod tails;
mod theta;
mod trials;

pub use kept::Choice;
pub use panel::{LAST_VALUE, LEAST, Past, Spec, outlooks};
pub use peaks::{MeasuredPeaks, Peak};

use serde::{Deserialize, Serialize};

/// Hours in a day.
pub const DAY: usize = 24;
/// Hours in a week.
pub const WEEK: usize = 7 * DAY;

/// The future of a series, and how far it may be trusted.
#[derive(Clone, Debug)]
pub struct Outlook {
    /// Expected values, one a step, in the unit of the series.
    pub centre: Vec<f64>,
    /// Lower bounds.
    pub lower: Vec<f64>,
    /// Upper bounds.
    pub upper: Vec<f64>,
    /// The values that are not exceeded with the probabilities of [`Spec::quantiles`]: by level, one a step.
    pub quantiles: Vec<Vec<f64>>,
    /// The largest value of each block of steps, if it was asked for; the last block may be short.
    pub peaks: Vec<Peak>,
    /// The candidates that the values are the weighted mean of, the largest weight first.
    pub models: Vec<String>,
    /// Measured by rolling origins; none: too short to measure.
    pub measured: Option<Measured>,
    /// The same of the peaks.
    pub measured_peaks: Option<MeasuredPeaks>,
    /// 0 to 1, see [`Measured::confidence`]; at most 0.2 where nothing was measured.
    pub confidence: f64,
    /// What was chosen, to be kept for the next night; none where nothing was measured.
    pub choice: Option<Choice>,
}

impl Outlook {
    /// What produced the values, in one word for files: `ar+theta` is a weighted mean of two.
    pub fn model(&self) -> String {
        self.models.join("+")
    }
}

/// What cross-validation says. Each origin is judged by what the other origins chose and calibrated, so that neither the
/// choice of the model nor the width of its interval has seen the hours it is judged on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Mean absolute error ÷ mean absolute change over the shortest period before the origin (Hyndman & Koehler 2006).
    pub mase: f64,
    /// The same of the best seasonal naive forecast on the same values: the last day again, or the last week.
    pub mase_seasonal_naive: f64,
    /// The same of the mean of the judged hours: what is left to a forecast that knows the level and no more.
    pub mase_level: f64,
    /// Share of values inside their interval.
    pub coverage: f64,
}

impl Measured {
    /// The share of error that the forecast takes off the seasonal naive one; below zero it is no better than that.
    pub fn skill(&self) -> f64 {
        match self.mase_seasonal_naive > 0.0 {
            true => 1.0 - self.mase / self.mase_seasonal_naive,
            false if self.mase > 0.0 => -1.0,
            false => 0.0,
        }
    }

    /// `min(1, coverage ÷ stated) × (1 + skill) ÷ 2`, where skill, 0 to 1, is the share of error that the forecast takes
    /// off the seasonal naive one, or off knowing the level, whichever is more: a series that repeats itself exactly
    /// leaves nothing to take off the first, a flat one nothing off the second. Half, then, is an honest interval around a
    /// forecast without skill; one is an exact forecast.
    pub fn confidence(&self, stated: f64) -> f64 {
        let taken_off = |base: f64| if base > 0.0 { (1.0 - self.mase / base).clamp(0.0, 1.0) } else { 0.0 };
        let skill = match self.mase == 0.0 {
            true => 1.0,
            false => taken_off(self.mase_seasonal_naive).max(taken_off(self.mase_level)),
        };
        (self.coverage / stated).min(1.0) * (1.0 + skill) / 2.0
    }
}

pub(crate) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    crate::usage::quantile(values, 0.5).unwrap_or(f64::NAN)
}

/// Series for the tests of this folder.
#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// One series alone.
    fn outlook(values: &[f64], steps: usize, horizon: usize, coverage: f64) -> Option<Outlook> {
        let spec = Spec {
            periods: vec![DAY, WEEK],
            horizon,
            coverage,
            enough: 2 * DAY,
            peak_steps: Some(DAY),
            quantiles: Vec::new(),
        };
        let past = Past { values: values.to_vec(), skip: 0, steps, kept: None };
        outlooks(&[past], &spec, &|_| ()).pop().flatten()
    }

    /// Uniform in −1..1, SplitMix64.
    pub(crate) fn noise(seed: &mut u64) -> f64 {
        *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = *seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        2.0 * ((z ^ (z >> 31)) as f64 / u64::MAX as f64) - 1.0
    }

    /// A daily cycle around 2 with uniform noise.
    pub(crate) fn daily(hours: usize, amplitude: f64, noisy: f64, seed: u64) -> Vec<f64> {
        let mut seed = seed;
        (0..hours)
            .map(|h| {
                let cycle = (std::f64::consts::TAU * (h % 24) as f64 / 24.0).sin();
                2.0 + amplitude * cycle + noisy * noise(&mut seed)
            })
            .collect()
    }

    fn mae(a: &[f64], b: &[f64]) -> f64 {
        a.iter().zip(b).map(|(a, b)| (a - b).abs()).sum::<f64>() / a.len() as f64
    }

    #[test]
    fn a_daily_season_beats_the_last_value() {
        let all = daily(16 * 24, 1.0, 0.2, 1);
        let (past, future) = all.split_at(15 * 24);
        let outlook = outlook(past, 24, 24, 0.9).unwrap();
        let last = vec![past[past.len() - 1]; 24];
        assert!(mae(&outlook.centre, future) < 0.5 * mae(&last, future), "{}", outlook.model());
        let measured = outlook.measured.unwrap();
        assert!(measured.mase < measured.mase_seasonal_naive);
        assert!(outlook.confidence > 0.6, "{}", outlook.confidence);
    }

    #[test]
    fn intervals_hold_nine_tenths_of_later_hours() {
        let (mut inside, mut all) = (0.0, 0.0);
        for seed in 0..12 {
            let series = daily(22 * 24, 0.5, 0.4, seed);
            let (past, future) = series.split_at(21 * 24);
            let outlook = outlook(past, 24, 24, 0.9).unwrap();
            inside += (0..24).filter(|h| (outlook.lower[*h]..=outlook.upper[*h]).contains(&future[*h])).count() as f64;
            all += 24.0;
        }
        let coverage = inside / all;
        assert!((0.83..=0.97).contains(&coverage), "{coverage}");
    }

    #[test]
    fn the_measured_coverage_is_near_the_stated_one() {
        let seeds = 0..8_u64;
        let measured = |seed| outlook(&daily(21 * 24, 0.5, 0.4, seed), 24, 24, 0.9).unwrap().measured.unwrap();
        let mean = seeds.map(|seed| measured(seed).coverage).sum::<f64>() / 8.0;
        assert!((0.82..=0.97).contains(&mean), "{mean}");
    }

    #[test]
    fn too_short_falls_back_with_low_confidence() {
        assert!(outlook(&[], 24, 24, 0.9).is_none());
        let outlook = outlook(&daily(30, 1.0, 0.1, 1), 24, 24, 0.9).unwrap();
        assert!(outlook.model() == LAST_VALUE && outlook.measured.is_none() && outlook.confidence <= 0.2);
        assert!(outlook.lower[0] <= outlook.centre[0] && outlook.centre[0] <= outlook.upper[0]);
    }

    #[test]
    fn odd_series_break_nothing() {
        for series in [vec![0.0; 200], vec![1e10; 300], [vec![0.0; 199], vec![1e12]].concat(), vec![1e-300; 120]] {
            let outlook = outlook(&series, 24, 24, 0.9).unwrap();
            for step in 0..24 {
                assert!(outlook.lower[step] >= 0.0 && outlook.lower[step] <= outlook.upper[step]);
                assert!(outlook.centre[step].is_finite());
            }
            assert!((0.0..=1.0).contains(&outlook.confidence));
        }
    }

    #[test]
    fn a_flat_series_is_certain() {
        let outlook = outlook(&vec![3.0; 24 * 10], 24, 24, 0.9).unwrap();
        assert!(outlook.centre.iter().all(|v| (v - 3.0).abs() < 1e-6));
        assert!(outlook.confidence > 0.95, "{}", outlook.confidence);
    }
}
