//! What was chosen for each series of a night, so that the next night chooses anew only where the error says so.

use super::hours::{History, Hour};
use super::measure::Measure;
use crate::forecast::{self, Choice, DAY, Outlook};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// So many of the hours that were forecast must have come before they are judged; of a forecast of fewer, half.
const JUDGED_HOURS: usize = DAY / 2;
/// The night of all series is drawn to a usual one as if so many had had one.
const PRIOR_SERIES: f64 = 10.0;
/// A night on which all err more says something of the night and not of a series, but not more than so many times.
const ODD_NIGHT: f64 = 2.0;

/// By resource and measure.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Choices {
    by_measure: BTreeMap<String, BTreeMap<String, Kept>>,
    /// Series that were forecast by what was kept.
    #[serde(skip)]
    pub(super) kept: usize,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Kept {
    choice: Choice,
    /// The first hour that was forecast, and what was said of it and those after.
    from: Hour,
    said: Vec<f32>,
    /// The newest hour with data, of the newest night.
    last: Hour,
}

/// A choice, and how its forecast did if that can be told already.
pub(super) struct Found {
    choice: Choice,
    log_error: Option<f64>,
}

/// What a series is forecast by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// What this night chose.
    Chosen,
    /// What is kept, whose last forecast was judged.
    Kept,
    /// What is kept, whose last forecast is still to be judged.
    Waiting,
}

/// A figure whose newest hour with data is `last`, forecast from the hour `first` on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Of<'a> {
    pub(super) resource: &'a str,
    pub(super) measure: Measure,
    pub(super) last: Hour,
    pub(super) first: Hour,
}

impl Choices {
    /// What is kept of a figure, and how its forecast did by the hours that came since. None where it was made of later data or
    /// for another horizon.
    pub(super) fn find(&self, of: Of, history: &History, steps: usize) -> Option<Found> {
        let kept = self.by_measure.get(of.resource)?.get(of.measure.column())?;
        let fresh = usize::try_from(of.last - kept.last).ok()?;
        if kept.from > of.first || kept.said.len() != steps {
            return None;
        }
        let came = |hour: Hour| history.get(&hour).and_then(|figures| figures[of.measure.at()]);
        let pairs: Vec<(f64, f64)> =
            (kept.from..).zip(&kept.said).filter_map(|(hour, said)| Some((f64::from(*said), came(hour)?))).collect();
        let mut choice = kept.choice.clone();
        choice.later(fresh);
        let enough = pairs.len() >= JUDGED_HOURS.min(steps.div_ceil(2));
        let log_error = enough.then(|| choice.log_error(pairs.into_iter())).flatten();
        Some(Found { choice, log_error })
    }

    /// Notes what was said of a figure.
    pub(super) fn note(&mut self, of: Of, outlook: &Outlook, by: By) {
        self.kept += usize::from(by != By::Chosen);
        let measures = self.by_measure.entry(of.resource.to_owned()).or_default();
        let before = measures.remove(of.measure.column()).filter(|_| by == By::Waiting);
        let Some(choice) = outlook.choice.clone() else { return };
        let now = || (of.first, outlook.centre.iter().map(|value| *value as f32).collect());
        let (from, said) = before.map_or_else(now, |before| (before.from, before.said));
        measures.insert(of.measure.column().to_owned(), Kept { choice, from, said, last: of.last });
    }

    /// Forgets what is kept of resources that are not there any more.
    pub(super) fn only_of(&mut self, is_there: impl Fn(&str) -> bool) {
        self.by_measure.retain(|resource, _| is_there(resource));
    }
}

/// Judges what was found of the series of a pool: an error counts as far as it is larger than all of them have been that night.
/// Those that are to be chosen anew are none.
pub(super) fn judged(found: Vec<Option<Found>>) -> Vec<(Option<Choice>, By)> {
    let mut errors: Vec<f64> = found.iter().flatten().filter_map(|found| found.log_error).collect();
    let n = errors.len() as f64;
    let usual = if errors.is_empty() { 0.0 } else { forecast::median(&mut errors) * n / (n + PRIOR_SERIES) };
    let usual = usual.clamp(0.0, ODD_NIGHT.ln());
    let judge = |found: Option<Found>| match found {
        None => (None, By::Chosen),
        Some(Found { choice, log_error: None }) => (Some(choice), By::Waiting),
        Some(Found { mut choice, log_error: Some(error) }) => {
            choice.judge(error - usual);
            if choice.is_outdated() { (None, By::Chosen) } else { (Some(choice), By::Kept) }
        }
    };
    found.into_iter().map(judge).collect()
}
