//! The forecast of many series at once: each is tried by itself, then all together say which candidates to believe and how
//! wide the intervals must be.

use super::combine::{Combination, Pool};
use super::intervals::{Calibration, Miss, Misses};
use super::kept::{Choice, Chosen};
use super::model::Model;
use super::peaks::{Peak, Peaks};
use super::quantiles::{Quantiles, Tried, of_seen};
use super::serve::{Contest, Usual};
use super::surprise::Ratios;
use super::trials::{Trials, absolute};
use super::{Measured, Outlook};
use rayon::prelude::*;

/// Series that are pooled; more are taken one group after another, so that memory does not grow with them.
const GROUP: usize = 2000;
/// Of so many series that are pooled, each needs fewer origins: all together say what is usual, and trials are what takes the time.
const MANY: usize = 1000;
const ORIGINS_OF_MANY: usize = 3;
/// With fewer values nothing can be tried: [`Spec::enough`] is at least this.
pub const LEAST: usize = 10;
/// What continues a series that is too short to try anything on.
pub const LAST_VALUE: &str = "last-value";
/// Confidence where nothing could be measured.
const UNMEASURED: f64 = 0.2;

/// What is known of the series, and what is wanted.
#[derive(Clone, Debug)]
pub struct Spec {
    /// Steps after which a pattern may repeat: 24 and 168 for hours. Empty for none.
    pub periods: Vec<usize>,
    /// Steps of the stretches on which candidates are tried.
    pub horizon: usize,
    /// Share of values that the intervals are meant to hold, 0 to 1.
    pub coverage: f64,
    /// Fewer values are continued by the last one.
    pub enough: usize,
    /// Steps of which the largest value is forecast too: a day of hours.
    pub peak_steps: Option<usize>,
    /// Probabilities whose quantiles are wanted too, between 0 and 1, in order.
    pub quantiles: Vec<f64>,
}

/// A series to be continued.
#[derive(Clone, Debug)]
pub struct Past {
    /// Its values, a step apart, oldest first; finite.
    pub values: Vec<f64>,
    /// Steps after its end that are of no interest any more: it ended before now.
    pub skip: usize,
    /// Steps to continue it by after those.
    pub steps: usize,
    /// What another night chose for it, if that is to be kept: then nothing is tried.
    pub kept: Option<Choice>,
}

/// Continues every series; none where one is empty. The same series give the same forecasts, whatever their order in time
/// of running; which others they are pooled with matters a little.
pub fn outlooks(pasts: &[Past], spec: &Spec, tick: &(dyn Fn(usize) + Sync)) -> Vec<Option<Outlook>> {
    pasts.chunks(GROUP).flat_map(|group| pooled(group, spec, tick)).collect()
}

fn pooled(pasts: &[Past], spec: &Spec, tick: &(dyn Fn(usize) + Sync)) -> Vec<Option<Outlook>> {
    let models = Model::all(&spec.periods);
    let units: Vec<f64> = pasts.iter().map(|past| unit(&past.values)).collect();
    let by_choice = |(past, unit): (&Past, &f64)| {
        let outlook = past.kept.as_ref()?.outlook(past, &spec.periods, spec.peak_steps, *unit)?;
        tick(1);
        Some(bounded(outlook, past, 1.0))
    };
    let kept: Vec<Option<Outlook>> = pasts.par_iter().zip(&units).map(by_choice).collect();
    let is_tried = |i: &usize| kept[*i].is_none() && pasts[*i].values.len() >= spec.enough.max(LEAST);
    let tried: Vec<usize> = (0..pasts.len()).filter(is_tried).collect();
    let origins = if tried.len() >= MANY { ORIGINS_OF_MANY } else { usize::MAX };
    let trials: Vec<Trials> = tried
        .par_iter()
        .map(|&i| {
            let scaled: Vec<f64> = pasts[i].values.iter().map(|v| v / units[i]).collect();
            let steps = pasts[i].skip + pasts[i].steps;
            let trials = Trials::run(&models, &scaled, &spec.periods, spec.horizon, steps, origins);
            tick(1);
            trials
        })
        .collect();
    let pool = Pool::of(&models, &trials);
    let contests: Vec<Contest> =
        trials.iter().map(|trials| Contest::of(trials, &models, &spec.periods, &pool)).collect();
    let usual = Usual::of(&contests);
    let misses: Vec<Misses> =
        trials.iter().zip(&contests).map(|(trials, contest)| misses(trials, contest, &usual)).collect();
    let calibration = Calibration::fit(&misses, spec.coverage);
    let ratios = Ratios::of(&misses);
    let scaled: Vec<Vec<f64>> = match spec.quantiles.is_empty() && spec.peak_steps.is_none() {
        true => Vec::new(),
        false => tried.iter().map(|i| pasts[*i].values.iter().map(|v| v / units[*i]).collect()).collect(),
    };
    let peaks = spec.peak_steps.map(|block| Peaks::fit(&scaled, &misses, block, spec.coverage));
    let peaks = peaks.as_ref().map(|peaks| (peaks, peaks.bounds()));
    let known = scaled.iter().zip(&misses).map(|(values, misses)| Tried { values, misses }).collect();
    let quantiles = Quantiles::fit(&spec.quantiles, &calibration, known);
    let short = |((past, unit), kept): ((&Past, &f64), Option<Outlook>)| kept.or_else(|| too_short(past, *unit, spec));
    let mut outlooks: Vec<Option<Outlook>> = pasts.iter().zip(&units).zip(kept).map(short).collect();
    for (at, (i, trials)) in tried.into_iter().zip(&trials).enumerate() {
        let misses = &misses[at];
        let peaks = peaks.as_ref();
        let (calibration, quantiles) = (&calibration, (!spec.quantiles.is_empty()).then_some(&quantiles));
        let one = One { trials, misses, models: &models, calibration, quantiles, peaks, ratios, at };
        let served = contests[at].next(&usual);
        if let Some(outlook) = served.and_then(|served| one.outlook(&served, spec, pasts[i].skip, units[i])) {
            outlooks[i] = Some(bounded(outlook, &pasts[i], units[i]));
        }
    }
    outlooks
}

/// The largest value is one, so that no square under- or overflows.
fn unit(values: &[f64]) -> f64 {
    let largest = values.iter().fold(0.0, |most: f64, v| most.max(v.abs()));
    if largest > 0.0 { largest } else { 1.0 }
}

/// At each origin, what was missed by what the *other* origins chose.
fn misses(trials: &Trials, contest: &Contest, usual: &Usual) -> Misses {
    let miss = |(i, origin): (usize, &super::trials::Origin)| {
        let said = contest.at_origin(usual, i)?.of(&origin.said)?;
        let error = origin.came.iter().zip(&said).map(|(came, said)| came - said).collect();
        Some(Miss { said, error })
    };
    Misses { origins: trials.origins.iter().enumerate().filter_map(miss).collect(), scale: trials.scale }
}

struct One<'a> {
    trials: &'a Trials,
    misses: &'a Misses,
    models: &'a [Model],
    calibration: &'a Calibration,
    quantiles: Option<&'a Quantiles<'a>>,
    peaks: Option<&'a (&'a Peaks, Quantiles<'a>)>,
    ratios: Ratios,
    at: usize,
}

impl One<'_> {
    fn outlook(&self, combination: &Combination, spec: &Spec, skip: usize, unit: f64) -> Option<Outlook> {
        let mut centre = combination.of(&self.trials.next)?;
        let (mut lower, mut upper) = self.calibration.around(self.at, self.misses, &centre, None);
        let mut quantiles = self.quantiles.map_or_else(Vec::new, |quantiles| quantiles.next(self.at, &centre));
        for values in [&mut centre, &mut lower, &mut upper].into_iter().chain(&mut quantiles) {
            values.drain(..skip.min(values.len()));
        }
        let measured = self.measured(spec);
        let confidence = measured.map_or(UNMEASURED, |m| m.confidence(spec.coverage));
        let peaks =
            self.peaks.map_or_else(Vec::new, |(peaks, bounds)| peaks.next(bounds, self.at, self.misses, &centre));
        let measured_peaks =
            self.peaks.and_then(|(peaks, bounds)| peaks.measured(bounds, self.at, self.naive_peaks(peaks, spec)));
        let models = combination.names(self.models);
        let mut outlook = Outlook {
            centre,
            lower,
            upper,
            quantiles,
            peaks,
            models,
            measured,
            measured_peaks,
            confidence,
            choice: None,
        };
        outlook.choice = self.choice(&outlook, combination, unit);
        Some(outlook)
    }

    /// What there is to keep of it, in the unit of the series.
    fn choice(&self, outlook: &Outlook, combination: &Combination, unit: f64) -> Option<Choice> {
        let [plain, logs] = combination.decomposes(self.models);
        let [of_values, of_logs] = self.trials.seasons.clone();
        let chosen = Chosen {
            shares: combination.shares(&self.trials.rates),
            seasons: [of_values.filter(|_| plain), of_logs.filter(|_| logs)],
            bounds: self.calibration.bounds(self.at, self.misses, unit),
            shift: self.peaks.map_or(0.0, |(peaks, _)| peaks.shift(self.misses)),
            error: outlook.measured?.mase * self.misses.scale,
            ratios: self.ratios,
        };
        Choice::of(outlook, chosen, unit)
    }

    /// The error of the peak of the last period again.
    fn naive_peaks(&self, peaks: &Peaks, spec: &Spec) -> Option<f64> {
        let period = spec.periods.iter().copied().min().unwrap_or(1);
        let at = self.models.iter().position(|m| *m == Model::seasonal_naive(period))?;
        let origins = &self.trials.origins;
        let error = |origin: &super::trials::Origin| Some(peaks.error(origin.said[at].as_ref()?, &origin.came));
        let sum = origins.iter().map(error).sum::<Option<f64>>()?;
        Some(sum / origins.len() as f64 / self.misses.scale)
    }

    /// None where there is one origin only: what was chosen by it cannot be judged by it.
    fn measured(&self, spec: &Spec) -> Option<Measured> {
        if self.misses.origins.len() < 2 || self.misses.origins.len() != self.trials.origins.len() {
            return None;
        }
        let (mut inside, mut values, mut mase) = (0.0, 0.0, [0.0; 2]);
        for (i, (miss, origin)) in self.misses.origins.iter().zip(&self.trials.origins).enumerate() {
            let (lower, upper) = self.calibration.around(self.at, self.misses, &miss.said, Some(i));
            // An interval around an exact forecast has no width; rounding must not throw the truth out of it.
            let holds = |step: &usize| {
                let (came, slip) = (origin.came[*step], 1e-9);
                lower[*step] - slip <= came && came <= upper[*step] + slip
            };
            inside += (0..origin.came.len()).filter(holds).count() as f64;
            values += origin.came.len() as f64;
            let level = origin.came.iter().sum::<f64>() / origin.came.len() as f64;
            let level = vec![level; origin.came.len()];
            let errors = [absolute(&miss.said, &origin.came), absolute(&level, &origin.came)];
            mase.iter_mut().zip(errors).for_each(|(sum, error)| *sum += error / origin.scale);
        }
        let origins = self.trials.origins.len() as f64;
        let [mase, mase_level] = mase.map(|sum| sum / origins);
        let mase_seasonal_naive = self.seasonal_naive(spec)? / origins;
        Some(Measured { mase, mase_seasonal_naive, mase_level, coverage: inside / values })
    }

    /// The least sum of errors of the naive candidate of any period; of the last value where there is none.
    fn seasonal_naive(&self, spec: &Spec) -> Option<f64> {
        let sum = |period: usize| {
            let at = self.models.iter().position(|m| *m == Model::seasonal_naive(period))?;
            self.trials.origins.iter().map(|origin| Some(origin.errors[at]?[0] / origin.scale)).sum::<Option<f64>>()
        };
        spec.periods.iter().filter_map(|p| sum(*p)).min_by(f64::total_cmp).or_else(|| sum(1))
    }
}

/// Back to the unit of the series. What was never negative is not forecast to be.
fn bounded(mut outlook: Outlook, past: &Past, unit: f64) -> Outlook {
    let floor = if past.values.iter().all(|v| *v >= 0.0) { 0.0 } else { f64::NEG_INFINITY };
    let back = |value: &mut f64| *value = (*value * unit).max(floor);
    let Outlook { centre, lower, upper, quantiles, .. } = &mut outlook;
    for values in [centre, lower, upper].into_iter().chain(quantiles) {
        values.iter_mut().for_each(back);
    }
    outlook.peaks.iter_mut().for_each(|peak| [&mut peak.value, &mut peak.upper].into_iter().for_each(back));
    outlook
}

/// The last value, between the quantiles of what was seen.
fn too_short(past: &Past, unit: f64, spec: &Spec) -> Option<Outlook> {
    let last = *past.values.last()?;
    let mut sorted = past.values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let tail = (1.0 - spec.coverage) / 2.0;
    let low = crate::usage::quantile(&sorted, tail)?.min(last) / unit;
    let high = crate::usage::quantile(&sorted, 1.0 - tail)?.max(last) / unit;
    let outlook = Outlook {
        centre: vec![last / unit; past.steps],
        lower: vec![low; past.steps],
        upper: vec![high; past.steps],
        quantiles: of_seen(&sorted.iter().map(|v| v / unit).collect::<Vec<_>>(), &spec.quantiles, past.steps),
        peaks: vec![Peak { value: last / unit, upper: high }; spec.peak_steps.map_or(0, |b| past.steps.div_ceil(b))],
        models: vec![LAST_VALUE.to_owned()],
        measured: None,
        measured_peaks: None,
        choice: None,
        confidence: UNMEASURED * (past.values.len() as f64 / spec.enough.max(LEAST) as f64).min(1.0),
    };
    Some(bounded(outlook, past, unit))
}
