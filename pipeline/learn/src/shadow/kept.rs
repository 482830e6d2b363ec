//! What was chosen for each series of a night, so that the next night chooses anew only where the error says so.

use super::hours::{History, Hour};
use super::measure::Measure;
use crate::forecast::{Choice, Outlook};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

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
}

impl Choices {
    /// What is to be kept for a measure of a resource, forecast from the hour `first` on: judged by the hours that came since
    /// it was made. None where it was made of later data or for another horizon, or its error says that it is outdated.
    pub(super) fn for_series(
        &self,
        resource: &str,
        measure: Measure,
        history: &History,
        first: Hour,
        steps: usize,
    ) -> Option<Choice> {
        let kept = self.by_measure.get(resource)?.get(measure.column())?;
        if kept.from > first || kept.said.len() != steps {
            return None;
        }
        let came = |hour: Hour| history.get(&hour).and_then(|figures| figures[measure.at()]);
        let pairs = || (kept.from..).zip(&kept.said).filter_map(|(hour, said)| Some((f64::from(*said), came(hour)?)));
        let mut choice = kept.choice.clone();
        choice.judge(pairs());
        let level = pairs().map(|(_, came)| came.abs()).fold(0.0, f64::max);
        (!choice.is_outdated(level)).then_some(choice)
    }

    /// Notes what was said, and by what choice.
    pub(super) fn note(&mut self, resource: &str, measure: Measure, outlook: &Outlook, was_kept: bool, from: Hour) {
        self.kept += usize::from(was_kept);
        let said = outlook.centre.iter().map(|value| *value as f32).collect();
        let measures = self.by_measure.entry(resource.to_owned()).or_default();
        match outlook.choice.clone() {
            Some(choice) => measures.insert(measure.column().to_owned(), Kept { choice, from, said }),
            None => measures.remove(measure.column()),
        };
    }

    /// Forgets what is kept of resources that are not there any more.
    pub(super) fn only_of(&mut self, is_there: impl Fn(&str) -> bool) {
        self.by_measure.retain(|resource, _| is_there(resource));
    }
}
