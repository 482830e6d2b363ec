//! Forecasts of one hourly series: candidates, the choice between them, and an interval whose coverage is measured.
//!
//! Owns the numbers only: a series is values an hour apart, oldest first, and the future is counted in steps. What the
//! values are, and which calendar hours they belong to, is [`crate::shadow`]'s to know.

mod conformal;
mod cross_validation;
mod ets;
mod mstl;
mod seasonal_naive;
mod typical_day;

use conformal::Conformal;
use cross_validation::CrossValidation;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Steps in a day.
pub const DAY: usize = 24;
/// Steps in a week.
pub const WEEK: usize = 7 * DAY;
/// A shorter series is not cross-validated.
pub const ENOUGH: usize = 2 * DAY;
/// Weeks of data from which a weekly season is looked for: two to see it repeat, one to test it.
const WEEKS_FOR_WEEKLY: usize = 3;
/// Older values are left out: usage drifts, and the fits take time.
const MOST: usize = 8 * WEEK;

/// A way to continue a series. The order breaks ties: simpler first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Model {
    /// What was a day ago.
    SeasonalNaive,
    /// What was a week ago.
    WeeklyNaive,
    /// The median of the last days at the same hour.
    TypicalDay,
    /// Exponential smoothing, error, trend and damping by AICc, without season.
    Ets,
    /// Daily (and from three weeks on weekly) season by repeated LOESS, the rest by exponential smoothing.
    Mstl,
    /// The median of the others at every step.
    Combination,
}

impl Model {
    /// Its name in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::SeasonalNaive => "seasonal-naive-24",
            Self::WeeklyNaive => "seasonal-naive-168",
            Self::TypicalDay => "typical-day",
            Self::Ets => "ets",
            Self::Mstl => "mstl-ets",
            Self::Combination => "combination",
        }
    }
}

/// The candidates that a series of this length allows.
fn candidates(length: usize) -> Vec<Model> {
    let mut models = vec![Model::SeasonalNaive];
    if length >= WEEKS_FOR_WEEKLY * WEEK {
        models.push(Model::WeeklyNaive);
    }
    models.extend([Model::TypicalDay, Model::Ets, Model::Mstl]);
    models
}

/// Continues a series by each model, and by their median last. A model that cannot be fitted has none.
fn continuations(models: &[Model], series: &[f64], steps: usize) -> Vec<(Model, Option<Vec<f64>>)> {
    let mut all: Vec<(Model, Option<Vec<f64>>)> =
        models.iter().map(|model| (*model, continuation(*model, series, steps))).collect();
    let usable: Vec<&Vec<f64>> = all.iter().filter_map(|(_, values)| values.as_ref()).collect();
    let combined = (usable.len() > 2).then(|| {
        (0..steps)
            .map(|step| {
                let mut at: Vec<f64> = usable.iter().map(|values| values[step]).collect();
                median(&mut at)
            })
            .collect()
    });
    all.push((Model::Combination, combined));
    all
}

/// `steps` values after the series; none where the model cannot be fitted to it. Never below zero.
fn continuation(model: Model, series: &[f64], steps: usize) -> Option<Vec<f64>> {
    // The numerical crates assert what they assume of their input; a series that breaks it costs one candidate, no more.
    let fitted = catch_unwind(AssertUnwindSafe(|| match model {
        Model::SeasonalNaive => seasonal_naive::forecast(series, DAY, steps),
        Model::WeeklyNaive => seasonal_naive::forecast(series, WEEK, steps),
        Model::TypicalDay => typical_day::forecast(series, steps),
        Model::Ets => ets::forecast(series, steps),
        Model::Mstl => mstl::forecast(series, steps),
        Model::Combination => None,
    }));
    let values = fitted.ok().flatten()?;
    let sound = values.len() == steps && values.iter().all(|v| v.is_finite());
    sound.then(|| values.into_iter().map(|v| v.max(0.0)).collect())
}

/// The future of a series, and how far it may be trusted.
#[derive(Clone, Debug)]
pub struct Outlook {
    /// Expected values, one a step, in the unit of the series.
    pub centre: Vec<f64>,
    /// Lower bounds.
    pub lower: Vec<f64>,
    /// Upper bounds.
    pub upper: Vec<f64>,
    /// Which candidate won; none: too short to choose.
    pub model: Option<Model>,
    /// Measured by cross-validation; none: too short to measure.
    pub measured: Option<Measured>,
    /// 0 to 1, see [`Measured::confidence`]; at most 0.2 where nothing was measured.
    pub confidence: f64,
}

/// What cross-validation says. Each origin is judged by what the other origins chose and calibrated, so that neither the
/// choice of the model nor the width of its interval has seen the hours it is judged on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    /// Mean absolute error ÷ mean absolute change over a day before the origin (Hyndman & Koehler 2006).
    pub mase: f64,
    /// The same of the seasonal naive forecast on the same hours.
    pub mase_seasonal_naive: f64,
    /// The same of the mean of the judged hours: what is left to a forecast that knows the level and no more.
    pub mase_level: f64,
    /// Share of hours inside their interval.
    pub coverage: f64,
}

impl Measured {
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

/// Continues an hourly series by `steps` hours with intervals meant to hold the share `coverage` of them. The candidate with
/// the least MASE over up to four later stretches of `horizon` hours wins; its errors there make the interval. `None` for an
/// empty series.
pub fn outlook(series: &[f64], steps: usize, horizon: usize, coverage: f64) -> Option<Outlook> {
    let series = &series[series.len().saturating_sub(MOST)..];
    if series.len() < ENOUGH {
        return fallback(series, steps, coverage);
    }
    let validation = CrossValidation::run(series, horizon);
    let winner = validation.winner(None)?;
    let centre = match winner {
        Model::Combination => continuations(&validation.models(), series, steps).pop().and_then(|(_, values)| values),
        single => continuation(single, series, steps),
    };
    let centre = centre.or_else(|| continuation(Model::SeasonalNaive, series, steps))?;
    let conformal = Conformal::fit(&validation.residuals(winner, None), coverage);
    let (lower, upper) = conformal.around(&centre);
    let measured = validation.measure(coverage);
    let confidence = measured.map_or(UNMEASURED, |m| m.confidence(coverage));
    Some(Outlook { centre, lower, upper, model: Some(winner), measured, confidence })
}

/// Confidence where nothing could be measured.
const UNMEASURED: f64 = 0.2;

/// Under two days: the last value, between the quantiles of what was seen.
fn fallback(series: &[f64], steps: usize, coverage: f64) -> Option<Outlook> {
    let last = *series.last()?;
    let mut sorted = series.to_vec();
    sorted.sort_by(f64::total_cmp);
    let tail = (1.0 - coverage) / 2.0;
    let low = crate::usage::quantile(&sorted, tail)?.min(last);
    let high = crate::usage::quantile(&sorted, 1.0 - tail)?.max(last);
    Some(Outlook {
        centre: vec![last; steps],
        lower: vec![low.max(0.0); steps],
        upper: vec![high; steps],
        model: None,
        measured: None,
        // A day and a half of hours is worth more than one hour.
        confidence: UNMEASURED * series.len() as f64 / ENOUGH as f64,
    })
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    crate::usage::quantile(values, 0.5).unwrap_or(f64::NAN)
}

/// Series for the tests of this folder.
#[cfg(test)]
pub(crate) mod tests {
    use super::*;

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
        assert!(mae(&outlook.centre, future) < 0.5 * mae(&last, future), "{:?}", outlook.model);
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
        let outlook = outlook(&daily(30, 1.0, 0.1, 1), 24, 24, 0.9).unwrap();
        assert!(outlook.model.is_none() && outlook.confidence <= 0.2);
        assert!(outlook.lower[0] <= outlook.centre[0] && outlook.centre[0] <= outlook.upper[0]);
        assert!(super::outlook(&[], 24, 24, 0.9).is_none());
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
