//! Past deployments once more: what would have been foreseen just before each, knowing that it was to come, beside what came.

use super::hours::{History, Hours};
use super::measure::Measure;
use super::schedule::{self, Event};
use super::{Choices, ShadowSpec, shadows};
use crate::LearnError;
use crate::forecast::DAY;
use domain::Timestamp;
use domain::time::HOUR;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;

/// Deployments that are replayed: the newest.
pub const MOST_DEPLOYMENTS: usize = 50;
/// Resources of one deployment that are replayed: those with the longest history.
pub const MOST_RESOURCES: usize = 20;

/// What limits are set on, of a resource, over the day that a deployment began.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Replayed {
    /// The deployment.
    pub event: String,
    /// When it began.
    pub at: Timestamp,
    /// `env/service`.
    pub resource: String,
    /// `cpu_cores` or `memory_bytes`.
    pub figure: &'static str,
    /// Hours with data, up to a day from its begin.
    pub hours: usize,
    /// Those inside their interval.
    pub inside: usize,
    /// The largest hour that was expected.
    pub expected_peak: f64,
    /// What the largest hour was to stay below on nine days of ten.
    pub peak_upper: f64,
    /// The largest hour that came.
    pub came_peak: f64,
    /// Mean absolute error of the hours.
    pub error: f64,
    /// That of the same hours of the day before; none where they are not known.
    pub error_naive: Option<f64>,
}

/// What was replayed, and how much was not.
#[derive(Clone, Debug, PartialEq)]
pub struct Replay {
    /// By deployment, resource and figure.
    pub rows: Vec<Replayed>,
    /// Deployments of the span before the newest [`MOST_DEPLOYMENTS`].
    pub deployments_left_out: usize,
    /// Resources with enough history beyond [`MOST_RESOURCES`] of a deployment, summed over the deployments.
    pub resources_left_out: usize,
}

/// Forecasts from the last hour before each deployment since then, by the hours up to it and the events that had begun by it.
///
/// # Errors
/// A file cannot be read or lacks a column, or no deployment since then touches a resource with enough data around it.
pub fn replay(hours: &Path, schedule: &Path, spec: &ShadowSpec, since: Timestamp) -> Result<Replay, LearnError> {
    let mut histories = BTreeMap::new();
    let hours = Hours { samples: hours, runs: None, now: spec.now };
    hours.each_group(usize::MAX, |group| histories.extend(group))?;
    let covered = hours.covered()?;
    let spec = &ShadowSpec { measures: Measure::LIMITED.to_vec(), ..spec.clone() };
    let events = schedule::read(schedule)?;
    let past = events.iter().filter(|event| event.is_deployment() && event.start >= since && event.start < spec.now);
    let past: Vec<&Event> = past.collect();
    let deployments_left_out = past.len().saturating_sub(MOST_DEPLOYMENTS);
    let (mut all, mut resources_left_out) = (Vec::new(), 0);
    for event in &past[deployments_left_out..] {
        let first = event.start.0.div_euclid(HOUR);
        let mut before: Vec<(&String, History)> = histories
            .iter()
            .filter(|(resource, _)| event.touches(resource))
            .map(|(resource, history)| (resource, history.range(..first).map(|(hour, it)| (*hour, *it)).collect()))
            .filter(|(_, history): &(_, History)| history.len() >= 2 * DAY)
            .collect();
        before.sort_by_key(|(_, history)| std::cmp::Reverse(history.len()));
        resources_left_out += before.len().saturating_sub(MOST_RESOURCES);
        before.truncate(MOST_RESOURCES);
        let before: BTreeMap<String, History> =
            before.into_iter().map(|(resource, history)| (resource.clone(), history)).collect();
        let known: Vec<Event> = events.iter().filter(|other| other.start <= event.start).cloned().collect();
        // The first hour that is forecast is the one in which it begins.
        let spec = ShadowSpec { now: Timestamp(first * HOUR - 1), horizon_hours: DAY, ..spec.clone() };
        for shadow in shadows(before, &covered, &known, &spec, &mut Choices::default(), &|_| ()) {
            for measure in Measure::LIMITED {
                let Some(outlook) = &shadow.outlooks[measure.at()] else { continue };
                let seen = |hour: i64| histories[&shadow.resource].get(&hour).and_then(|it| it[measure.at()]);
                let came: Vec<(usize, f64)> =
                    (0..DAY).filter_map(|step| Some((step, seen(first + step as i64)?))).collect();
                if came.is_empty() {
                    continue;
                }
                let mean =
                    |errors: Vec<f64>| (!errors.is_empty()).then(|| errors.iter().sum::<f64>() / errors.len() as f64);
                let naive =
                    |(step, value): &(usize, f64)| Some((seen(first + *step as i64 - DAY as i64)? - value).abs());
                all.push(Replayed {
                    event: event.id.clone(),
                    at: event.start,
                    resource: shadow.resource.clone(),
                    figure: measure.column(),
                    hours: came.len(),
                    inside: came.iter().filter(|(at, v)| (outlook.lower[*at]..=outlook.upper[*at]).contains(v)).count(),
                    expected_peak: outlook.centre.iter().copied().fold(0.0, f64::max),
                    peak_upper: outlook.peaks.first().map_or(0.0, |peak| peak.upper),
                    came_peak: came.iter().map(|(_, value)| *value).fold(0.0, f64::max),
                    error: mean(came.iter().map(|(step, value)| (outlook.centre[*step] - value).abs()).collect())
                        .unwrap_or_default(),
                    error_naive: mean(came.iter().filter_map(naive).collect()),
                });
            }
        }
    }
    match all.is_empty() {
        true => Err(LearnError::TooLittleData(format!(
            "no deployment since {since} touches a resource with two days of data before it"
        ))),
        false => Ok(Replay { rows: all, deployments_left_out, resources_left_out }),
    }
}
