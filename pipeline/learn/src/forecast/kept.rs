//! A choice that is kept: what one night chose for a series and measured of it, enough to forecast the next night without
//! trying anything. Owns what is kept and when it is no longer believed; refuses to choose anew.

use super::intervals::Bounds;
use super::model::{self, Model};
use super::panel::Past;
use super::peaks::{MeasuredPeaks, Peak};
use super::{Measured, Outlook};
use serde::{Deserialize, Serialize};

/// Share of the newest night in the error that is followed.
const NEWEST: f64 = 0.5;
/// A choice whose error grew to so many times what cross-validation promised is made anew.
const WORSE: f64 = 1.5;

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
    /// Mean absolute error of a step, by cross-validation.
    usual_error: f64,
    /// The same of the nights since, the newest counting half.
    recent_error: f64,
}

impl Choice {
    /// Of an outlook that was measured, whose values are divided by `unit`; the rest is in the unit of the series: `shift` is
    /// that of its peaks, `error` that of cross-validation.
    pub(super) fn of(
        outlook: &Outlook,
        shares: Vec<(f64, Vec<f64>)>,
        bounds: Bounds,
        shift: f64,
        unit: f64,
        error: f64,
    ) -> Option<Self> {
        let member = |(name, (share, rates))| Member { name, share, rates };
        let above = unit * outlook.peaks.iter().map(|peak| peak.upper - peak.value).fold(0.0, f64::max);
        Some(Self {
            models: outlook.models.iter().cloned().zip(shares).map(member).collect(),
            bounds,
            peak_shift: shift,
            peak_above: above,
            measured: outlook.measured?,
            measured_peaks: outlook.measured_peaks,
            confidence: outlook.confidence,
            usual_error: error,
            recent_error: error,
        })
    }

    /// After a night: what was said, and what came; hours without a value are not counted.
    pub fn judge(&mut self, said_and_came: impl Iterator<Item = (f64, f64)>) {
        let (sum, n) = said_and_came.fold((0.0, 0.0), |(sum, n), (said, came)| (sum + (said - came).abs(), n + 1.0));
        if n > 0.0 {
            self.recent_error = (1.0 - NEWEST) * self.recent_error + NEWEST * sum / n;
        }
    }

    /// Whether its error says that it is time to choose anew. A series that repeated itself exactly is believed as long as it
    /// does, up to rounding.
    pub fn is_outdated(&self, level: f64) -> bool {
        self.recent_error > WORSE * self.usual_error + 1e-6 * level.abs()
    }

    /// The future by what was chosen; none where a candidate can no longer be fitted.
    pub(super) fn outlook(&self, past: &Past, periods: &[usize], block: Option<usize>, unit: f64) -> Option<Outlook> {
        let all = Model::all(periods);
        let scaled: Vec<f64> = past.values.iter().map(|v| v / unit).collect();
        let known = model::Past::new(&scaled, periods);
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
            choice: Some(self.clone()),
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
        assert_eq!(chosen.choice, kept.choice, "with the rates that it was fitted with");
        assert!(kept.choice.iter().flat_map(|choice| &choice.models).any(|member| !member.rates.is_empty()));
        let near = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-6);
        assert!(near(&chosen.centre, &kept.centre) && near(&chosen.lower, &kept.lower));
        assert!(near(&chosen.upper, &kept.upper) && chosen.models == kept.models);
        assert!((chosen.peaks[0].value - kept.peaks[0].value).abs() < 1e-6);
        assert!((chosen.peaks[0].upper - kept.peaks[0].upper).abs() < 1e-6);
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
        (0..5).for_each(|_| choice.judge(came()));
        assert!(!choice.is_outdated(2.0), "{choice:?}");
        choice.judge(came().map(|(said, came)| (said, came + 2.0)));
        assert!(choice.is_outdated(2.0), "a level shift");
    }
}
