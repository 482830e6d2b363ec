//! A choice that is kept: what one night chose for a series and measured of it, enough to forecast the next night without
//! trying anything. What was searched for is taken over: the shares, the rates of smoothing, and the seasons, which each night
//! moves by the values that came. Owns what is kept and when it is no longer believed; refuses to choose anew.

use super::decompose::Seasons;
use super::intervals::Bounds;
use super::model::{self, Model};
use super::panel::Past;
use super::peaks::{MeasuredPeaks, Peak};
use super::surprise::{Ratios, Surprise, log_ratio};
use super::{Measured, Outlook};
use serde::{Deserialize, Serialize};

/// A candidate by name, its share, and the rates that it was fitted with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Member {
    name: String,
    share: f64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    rates: Vec<f64>,
}

/// What was chosen, in the unit of the series.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    models: Vec<Member>,
    bounds: Bounds,
    /// What is added to the largest expected value of a block, and how far above that its bound is.
    peak_shift: f64,
    peak_above: f64,
    measured: Measured,
    measured_peaks: Option<MeasuredPeaks>,
    confidence: f64,
    /// Of the values and of their logarithms, where a candidate takes them off.
    seasons: [Option<Seasons>; 2],
    /// Mean absolute error of a step, by cross-validation, and how far that of a night may be from it.
    usual_error: f64,
    ratios: Ratios,
    surprise: Surprise,
    /// Values that came since.
    #[serde(skip)]
    fresh: usize,
}

/// What a night chose for a series, and measured, in the unit that its values were divided by.
pub(super) struct Chosen {
    /// Of the candidates of the combination, each with the rates that it was fitted with.
    pub(super) shares: Vec<(f64, Vec<f64>)>,
    pub(super) seasons: [Option<Seasons>; 2],
    /// In the unit of the series.
    pub(super) bounds: Bounds,
    /// What is added to peaks.
    pub(super) shift: f64,
    /// Mean absolute error by cross-validation.
    pub(super) error: f64,
    pub(super) ratios: Ratios,
}

impl Choice {
    /// Of an outlook that was measured, whose values are divided by `unit`, as those of `chosen` are.
    pub(super) fn of(outlook: &Outlook, chosen: Chosen, unit: f64) -> Option<Self> {
        let Chosen { shares, seasons: [plain, logs], bounds, shift, error, ratios } = chosen;
        let member = |(name, (share, rates))| Member { name, share, rates };
        let above = unit * outlook.peaks.iter().map(|peak| peak.upper - peak.value).fold(0.0, f64::max);
        Some(Self {
            models: outlook.models.iter().cloned().zip(shares).map(member).collect(),
            bounds,
            peak_shift: shift * unit,
            peak_above: above,
            measured: outlook.measured?,
            measured_peaks: outlook.measured_peaks,
            confidence: outlook.confidence,
            // Those of logarithms have no unit.
            seasons: [plain.map(|seasons| seasons.over(1.0 / unit)), logs],
            usual_error: error * unit,
            ratios,
            surprise: Surprise::none(),
            fresh: 0,
        })
    }

    /// The logarithm of the error of a night relative to the usual one. A series that repeated itself exactly is believed as long
    /// as it does, up to rounding.
    pub fn log_error(&self, said_and_came: impl Iterator<Item = (f64, f64)>) -> Option<f64> {
        let (mut sum, mut n, mut level) = (0.0, 0.0, 0.0);
        for (said, came) in said_and_came {
            sum += (said - came).abs();
            n += 1.0;
            level = f64::max(level, came.abs());
        }
        (n > 0.0).then(|| log_ratio(sum / n, self.usual_error, level))
    }

    /// After a night with this [error](Self::log_error).
    pub fn judge(&mut self, log_error: f64) {
        self.surprise = self.surprise.after(&self.ratios, log_error);
    }

    /// After so many values more.
    pub fn later(&mut self, values: usize) {
        self.fresh = values;
    }

    /// Whether its errors say that it is time to choose anew: of a hundred choices that are as good as they were, one is let go a
    /// night.
    pub fn is_outdated(&self) -> bool {
        self.surprise.is_alarming()
    }

    /// The future by what was chosen; none where a candidate can no longer be fitted.
    pub(super) fn outlook(&self, past: &Past, periods: &[usize], block: Option<usize>, unit: f64) -> Option<Outlook> {
        let all = Model::all(periods);
        let scaled: Vec<f64> = past.values.iter().map(|v| v / unit).collect();
        let mut known = model::Past::new(&scaled, periods);
        let [plain, logs] = &self.seasons;
        known.keep(&[plain.as_ref().map(|seasons| seasons.over(unit)), logs.clone()], self.fresh);
        let mut centre = vec![0.0; past.skip + past.steps];
        for Member { name, share, rates } in &self.models {
            let model = all.iter().find(|model| model.name() == *name)?;
            let said = known.forecast(*model, centre.len(), Some(rates.as_slice()))?;
            centre.iter_mut().zip(said.values).for_each(|(mean, value)| *mean += share * value * unit);
        }
        let (mut lower, mut upper) = self.bounds.around(&centre);
        for values in [&mut centre, &mut lower, &mut upper] {
            values.drain(..past.skip);
        }
        let largest = |part: &[f64]| part.iter().copied().fold(f64::NEG_INFINITY, f64::max) + self.peak_shift;
        let blocks = block.map_or_else(Vec::new, |block| centre.chunks(block.max(1)).map(largest).collect());
        let peaks = blocks.into_iter().map(|value| Peak { value, upper: value + self.peak_above }).collect();
        Some(Outlook {
            centre,
            lower,
            upper,
            quantiles: Vec::new(),
            peaks,
            models: self.models.iter().map(|member| member.name.clone()).collect(),
            measured: Some(self.measured),
            measured_peaks: self.measured_peaks,
            confidence: self.confidence,
            choice: Some(Self { seasons: known.seasons(unit), fresh: 0, ..self.clone() }),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::daily;
    use super::super::{DAY, Spec, WEEK, outlooks};
    use super::*;

    fn spec() -> Spec {
        let (periods, quantiles) = (vec![DAY, WEEK], Vec::new());
        Spec { periods, horizon: DAY, coverage: 0.9, enough: 2 * DAY, peak_steps: Some(DAY), quantiles }
    }

    fn night(values: &[f64], kept: Option<Choice>) -> Outlook {
        let past = Past { values: values.to_vec(), skip: 0, steps: DAY, kept };
        outlooks(&[past], &spec(), &|_| ()).pop().flatten().unwrap()
    }

    #[test]
    fn a_kept_choice_says_the_same_as_the_night_that_made_it() {
        let values = daily(21 * DAY, 0.5, 0.3, 3);
        let chosen = night(&values, None);
        let kept = night(&values, chosen.choice.clone());
        let models = |outlook: &Outlook| outlook.choice.clone().unwrap().models;
        assert_eq!(models(&chosen), models(&kept), "with the rates that it was fitted with");
        assert!(models(&kept).iter().any(|member| !member.rates.is_empty()));
        // The seasons are the last ones all along.
        let near = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 0.03);
        assert!(near(&chosen.centre, &kept.centre) && near(&chosen.lower, &kept.lower));
        assert!(near(&chosen.upper, &kept.upper) && chosen.models == kept.models);
        assert!((chosen.peaks[0].value - kept.peaks[0].value).abs() < 0.03);
        assert!((chosen.peaks[0].upper - kept.peaks[0].upper).abs() < 0.03);
        let text = serde_json::to_string(&chosen.choice).unwrap();
        assert_eq!(
            serde_json::from_str::<Option<Choice>>(&text).unwrap().map(|c| c.models),
            chosen.choice.map(|c| c.models)
        );
    }

    #[test]
    fn it_is_kept_while_it_errs_as_it_promised() {
        let values = daily(22 * DAY, 0.5, 0.3, 3);
        let chosen = night(&values[..21 * DAY], None);
        let mut choice = chosen.choice.clone().unwrap();
        let came = || chosen.centre.iter().copied().zip(values[21 * DAY..].iter().copied());
        let usual = choice.log_error(came()).unwrap();
        (0..5).for_each(|_| choice.judge(usual));
        assert!(!choice.is_outdated(), "{choice:?}");
        choice.judge(choice.log_error(came().map(|(said, came)| (said, came + 2.0))).unwrap());
        assert!(choice.is_outdated(), "a level shift");
    }

    #[test]
    fn a_month_of_kept_nights_errs_as_a_month_of_new_choices() {
        const SERIES: u64 = 6;
        let (mut kept_error, mut new_error) = (0.0, 0.0);
        for seed in 0..SERIES {
            let values = daily(50 * DAY, 0.5 + 0.2 * seed as f64, 0.3, seed);
            let mut choice = night(&values[..21 * DAY], None).choice;
            for day in 22..50 {
                let (known, came) = (&values[..day * DAY], &values[day * DAY..(day + 1) * DAY]);
                choice.iter_mut().for_each(|choice| choice.later(DAY));
                let kept = night(known, choice);
                let error = |said: &[f64]| said.iter().zip(came).map(|(said, came)| (said - came).abs()).sum::<f64>();
                kept_error += error(&kept.centre);
                if day % 7 == 0 {
                    new_error += 7.0 * error(&night(known, None).centre);
                }
                choice = kept.choice;
            }
        }
        assert!(kept_error < 1.1 * new_error, "{kept_error} {new_error}");
    }
}
