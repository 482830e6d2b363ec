//! The shadow inventory: what every resource is expected to use in the hours to come.
//!
//! Owns the way from hours with data to regular series, from calendar to steps, and what known events do to a forecast.
//! The forecasting itself is [`crate::forecast`]'s.

mod hours;
mod kept;
mod measure;
mod replay;
mod schedule;
#[cfg(test)]
mod tests;
mod usual;

pub use replay::{MOST_DEPLOYMENTS, MOST_RESOURCES, Replay, Replayed, replay};

use crate::LearnError;
use crate::forecast::{self, DAY, Outlook, Past, Spec, WEEK};
use crate::parquet;
use domain::Timestamp;
use domain::columns::shadow as col;
use domain::holidays::AtRest;
use domain::time::HOUR;
use hours::{Covered, History, Hour, Hours, SAMPLED, newest_of, regular};
pub use kept::Choices;
use kept::{Of, judged};
use measure::ByMeasure;
pub use measure::Measure;
use polars::prelude::{Column, NamedFrom, Series};
use schedule::{Event, strongest};
use serde::Serialize;
use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::path::Path;

/// What to forecast.
#[derive(Clone, Debug)]
pub struct ShadowSpec {
    /// The moment of the forecast: no later hour is read, the first hour after it is the first row.
    pub now: Timestamp,
    /// Hours to forecast.
    pub horizon_hours: usize,
    /// Share of hours that the intervals are meant to hold, 0 to 1.
    pub coverage: f64,
    /// Holidays beside those of the schedule.
    pub holidays: Vec<AtRest>,
    /// Changes of applications that may have moved the level of what they touch.
    pub changes: Vec<ChangedAt>,
    /// What is forecast.
    pub measures: Vec<Measure>,
}

/// Where the past is read from.
#[derive(Clone, Copy, Debug)]
pub struct ShadowInput<'a> {
    /// `features.resource_hours`.
    pub hours: &'a Path,
    /// `features.run_hours`.
    pub runs: Option<&'a Path>,
    /// `features.schedule`.
    pub schedule: Option<&'a Path>,
}

/// A change of an application: a deployment, an annotation, a feature flag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangedAt {
    /// Resource or environment.
    pub resource: String,
    /// When.
    pub at: Timestamp,
}

impl ShadowSpec {
    /// A forecast of every measure at `now` with intervals for nine tenths of the hours.
    pub fn new(now: Timestamp, horizon_hours: usize) -> Self {
        let (holidays, changes, measures) = (Vec::new(), Vec::new(), Measure::ALL.to_vec());
        Self { now, horizon_hours, coverage: 0.9, holidays, changes, measures }
    }

    /// What is asked of each series.
    fn of_series(&self) -> Spec {
        Spec {
            periods: vec![DAY, WEEK],
            horizon: self.horizon_hours,
            coverage: self.coverage,
            enough: ENOUGH,
            peak_steps: Some(DAY),
            quantiles: Vec::new(),
        }
    }
}

/// What was forecast and how well the same would have done before.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ShadowSummary {
    /// Resources with a forecast.
    pub resources: usize,
    /// Resources left out because they were [ephemeral](LIVED_HOURS), and how many hours the longest of them lived.
    pub ephemeral: Ephemeral,
    /// Rows written.
    pub rows: usize,
    /// Series (a measure of a resource) by the model with the largest weight; `last-value` where there was too little to
    /// choose from.
    pub wins: BTreeMap<String, usize>,
    /// Over all series.
    #[serde(flatten)]
    pub all: Held,
    /// The same by measure, of those that were seen.
    pub measures: BTreeMap<&'static str, Held>,
    /// Series that were forecast by what an earlier night chose, as its error was still what it promised.
    pub kept: usize,
    /// Mean confidence of the resources, 0 to 1.
    pub confidence: f64,
    /// The newest hour with data.
    pub data_watermark: Timestamp,
}

/// How well the forecasts of some series would have done, and how many there are.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Held {
    /// Series with a forecast.
    pub series: usize,
    /// Mean over the measured series of the MASE of the model that the other origins chose.
    pub mase: Option<f64>,
    /// The same of the seasonal naive forecast.
    pub mase_seasonal_naive: Option<f64>,
    /// Mean share of later hours inside their interval.
    pub coverage: Option<f64>,
    /// Mean over the measured series of the error of the daily peaks, in the unit of MASE.
    pub peak_mase: Option<f64>,
    /// The same of the last day's peak again.
    pub peak_mase_naive: Option<f64>,
    /// Share of days whose peak stayed below its upper bound.
    pub peak_held: Option<f64>,
}

impl Held {
    fn of(outlooks: &[&Outlook]) -> Self {
        let mean = |values: Vec<f64>| (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64);
        let hours = |of: fn(&forecast::Measured) -> f64| {
            mean(outlooks.iter().filter_map(|outlook| outlook.measured.as_ref().map(of)).collect())
        };
        let peaks = |of: fn(&forecast::MeasuredPeaks) -> f64| {
            mean(outlooks.iter().filter_map(|outlook| outlook.measured_peaks.as_ref().map(of)).collect())
        };
        Self {
            series: outlooks.len(),
            mase: hours(|m| m.mase),
            mase_seasonal_naive: hours(|m| m.mase_seasonal_naive),
            coverage: hours(|m| m.coverage),
            peak_mase: peaks(|p| p.mase),
            peak_mase_naive: peaks(|p| p.mase_naive),
            peak_held: peaks(|p| p.held),
        }
    }
}

/// Resources that were there and are gone.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Ephemeral {
    /// How many.
    pub resources: usize,
    /// From the first hour with samples to the last, of the one that lived longest.
    pub longest_hours: i64,
    /// The rule.
    pub why: &'static str,
}

/// What is said of [`Ephemeral::resources`].
const WHY_EPHEMERAL: &str = "lived less than a day and have been silent for longer than they lived";
/// A resource that lived shorter, and has been silent for longer than it lived, is ephemeral: a build's container, a preview
/// that was torn down. Nothing says that it will be there in the hours to come, or what it would use.
pub const LIVED_HOURS: i64 = 24;

/// How many hours a resource lived if it is ephemeral: from its first hour with samples to the end of its last.
fn ephemeral_hours(history: &History, now: Timestamp) -> Option<i64> {
    let (first, last) = (history.keys().next()?, history.keys().next_back()?);
    let lived = last - first + 1;
    // Hours that are over without a sample; the one going on is not over.
    let silent = now.0.div_euclid(HOUR) - last - 1;
    (lived < LIVED_HOURS && silent > lived).then_some(lived)
}

/// Data up to this old is fresh.
const FRESH_HOURS: i64 = 24;
/// Days after which old data is worth half.
const STALE_HALF_LIFE_DAYS: f64 = 7.0;
/// A shorter series is continued by its last value.
const ENOUGH: usize = 2 * DAY;
/// Resources forecast together: memory does not grow with the lake.
const GROUP: usize = 1000;
/// Older hours are left out: usage drifts, and the fits take time.
const MOST: usize = 8 * WEEK;

/// Forecasts every resource of `features.resource_hours` and `features.run_hours`, and writes the columns of
/// [`domain::columns::shadow`] to `out`, one row per resource and future hour, ordered by both. Known events come from
/// `features.schedule`. What `choices` holds of an earlier night is kept where its error allows, and replaced by what served now.
/// `tick` is told how many series are done.
///
/// # Errors
/// A file cannot be read or written or lacks a column, or there is no hour with data up to `now`.
pub fn forecast(
    input: ShadowInput,
    spec: &ShadowSpec,
    choices: &mut Choices,
    out: &Path,
    tick: &(dyn Fn(usize) + Sync),
) -> Result<ShadowSummary, LearnError> {
    let mut ephemeral = Ephemeral { why: WHY_EPHEMERAL, ..Ephemeral::default() };
    let events = input.schedule.map_or(Ok(Vec::new()), schedule::read)?;
    let hours = Hours { samples: input.hours, runs: input.runs, now: spec.now };
    let covered = hours.covered()?;
    let mut all = Vec::new();
    hours.each_group(GROUP, |mut histories| {
        histories.retain(|_, history| {
            if history.is_empty() {
                return false;
            }
            let lived = ephemeral_hours(history, spec.now);
            ephemeral.resources += usize::from(lived.is_some());
            ephemeral.longest_hours = ephemeral.longest_hours.max(lived.unwrap_or_default());
            lived.is_none()
        });
        all.extend(shadows(histories, &covered, &events, spec, choices, tick));
    })?;
    if all.is_empty() {
        let gone = match ephemeral.resources {
            0 => String::new(),
            n => format!("; {n} {WHY_EPHEMERAL}"),
        };
        return Err(LearnError::TooLittleData(format!("no resource has an hour with data up to {}{gone}", spec.now)));
    }
    // Those that have runs only came last.
    all.sort_by(|a: &Shadow, b| a.resource.cmp(&b.resource));
    choices.only_of(|resource| all.binary_search_by(|shadow| shadow.resource.as_str().cmp(resource)).is_ok());
    write(&all, spec, out)?;
    Ok(ShadowSummary { ephemeral, kept: choices.kept, ..summary(&all, spec) })
}

/// The future of one resource.
struct Shadow {
    resource: String,
    /// Newest hour with samples, or with runs where it has none.
    newest: Hour,
    /// None where a measure was never seen.
    outlooks: ByMeasure<Option<Outlook>>,
    confidence: f64,
    /// The event that touches each future hour.
    events: Vec<Option<String>>,
}

/// All series are forecast together: short ones borrow from the others how far errors go.
fn shadows(
    mut histories: BTreeMap<String, History>,
    covered: &Covered,
    events: &[Event],
    spec: &ShadowSpec,
    choices: &mut Choices,
    tick: &(dyn Fn(usize) + Sync),
) -> Vec<Shadow> {
    let first = spec.now.0.div_euclid(HOUR) + 1;
    if spec.measures.contains(&Measure::RunsPerHour) {
        histories.values_mut().for_each(|history| covered.count_none(history));
    }
    let mut outlooks: BTreeMap<&str, ByMeasure<Option<Outlook>>> = BTreeMap::new();
    for pool in Measure::POOLS {
        let measures: Vec<Measure> = pool.iter().copied().filter(|measure| spec.measures.contains(measure)).collect();
        let (mut of, mut found, mut pasts) = (Vec::new(), Vec::new(), Vec::new());
        for (resource, history) in &histories {
            let history = &*Coming::of(resource, events, spec).without(history);
            for &measure in &measures {
                let Some((mut values, last)) = regular(history, measure) else { continue };
                values.drain(..values.len().saturating_sub(MOST));
                let series = Of { resource, measure, last, first };
                found.push(choices.find(series, history, spec.horizon_hours));
                of.push(series);
                pasts.push(Past {
                    values,
                    skip: skipped_steps(first - 1 - last),
                    steps: spec.horizon_hours,
                    kept: None,
                });
            }
        }
        let mut by = Vec::with_capacity(of.len());
        for (past, (choice, how)) in pasts.iter_mut().zip(judged(found)) {
            past.kept = choice;
            by.push(how);
        }
        let made = forecast::outlooks(&pasts, &spec.of_series(), tick);
        for ((series, by), outlook) in of.into_iter().zip(by).zip(made) {
            if let Some(outlook) = outlook {
                choices.note(series, &outlook, by);
                outlooks.entry(series.resource).or_default()[series.measure.at()] = Some(outlook);
            }
        }
    }
    let made = histories.iter().map(|(resource, history)| {
        let outlooks = outlooks.remove(resource.as_str()).unwrap_or_default();
        shadow(resource, history, outlooks, &Coming::of(resource, events, spec), spec)
    });
    made.collect()
}

/// What the calendar says of one resource.
struct Coming<'a> {
    events: Vec<&'a Event>,
    rests: Vec<AtRest>,
    /// The hours in which applications changed, in order.
    changes: Vec<Hour>,
}

impl<'a> Coming<'a> {
    fn of(resource: &str, events: &'a [Event], spec: &ShadowSpec) -> Self {
        let events: Vec<&Event> = events.iter().filter(|event| event.touches(resource)).collect();
        let told = spec.holidays.iter().filter(|rest| rest.is_of(resource)).cloned();
        let rests = events.iter().filter(|event| event.is_holiday()).map(|event| event.at_rest()).chain(told).collect();
        let env = resource.split_once('/').map_or(resource, |(env, _)| env);
        let touching = spec.changes.iter().filter(|change| change.resource == resource || change.resource == env);
        let mut changes: Vec<Hour> = touching.map(|change| change.at.0.div_euclid(HOUR)).collect();
        changes.sort_unstable();
        changes.dedup();
        Self { events, rests, changes }
    }

    /// A history without what is known to have been unusual in it, at the level that its last change brought.
    fn without<'h>(&self, history: &'h History) -> Cow<'h, History> {
        let (Some(first), Some(last)) = (history.keys().next(), history.keys().next_back()) else {
            return Cow::Borrowed(history);
        };
        let events = self.events.iter().filter(|event| !event.is_holiday());
        let touched: HashSet<Hour> = events.flat_map(|event| event.hours(*first, *last)).collect();
        if touched.is_empty() && self.rests.is_empty() && self.changes.is_empty() {
            return Cow::Borrowed(history);
        }
        let mut usual = usual::usual(history, &touched, &self.rests);
        usual::levels(&mut usual, &self.changes);
        Cow::Owned(usual)
    }
}

fn shadow(
    resource: &str,
    history: &History,
    mut outlooks: ByMeasure<Option<Outlook>>,
    coming: &Coming,
    spec: &ShadowSpec,
) -> Shadow {
    let newest = |measures: &[Measure]| measures.iter().filter_map(|measure| newest_of(history, *measure)).max();
    // Hours without a run say nothing of samples that stopped.
    let newest = newest(&SAMPLED.map(|(_, measure)| measure)).or_else(|| newest(&Measure::ALL)).unwrap_or_default();
    let first = spec.now.0.div_euclid(HOUR) + 1;
    let calm = coming.without(history);
    for (figure, outlook) in outlooks.iter_mut().enumerate() {
        if let Some(outlook) = outlook {
            let before = (block_most(&outlook.centre), block_most(&outlook.upper));
            usual::rest(outlook, &calm, figure, &coming.rests, first);
            let at_rest = (block_most(&outlook.centre), block_most(&outlook.upper));
            move_peaks(outlook, &before, &at_rest, 0.0);
            schedule::apply(outlook, history, figure, &coming.events, first);
            let after = (block_most(&outlook.centre), block_most(&outlook.upper));
            move_peaks(outlook, &at_rest, &after, 1.0);
        }
    }
    let weakest = |of: &[Option<Outlook>]| of.iter().flatten().map(|o| o.confidence).min_by(f64::total_cmp);
    // What limits are set on counts where there is any of it: a plan rests on nothing else.
    let weakest = weakest(&outlooks[..Measure::LIMITED.len()]).or_else(|| weakest(&outlooks)).unwrap_or(0.0);
    let hours = (first..).take(spec.horizon_hours);
    Shadow {
        resource: resource.to_owned(),
        newest,
        outlooks,
        confidence: (weakest * freshness(spec.now, newest)).clamp(0.0, 1.0),
        events: hours.map(|hour| strongest(&coming.events, hour).map(|event| event.id.clone())).collect(),
    }
}

/// The largest value of each day ahead.
fn block_most(values: &[f64]) -> Vec<f64> {
    values.chunks(DAY).map(|day| day.iter().copied().fold(f64::NEG_INFINITY, f64::max)).collect()
}

/// The largest values of each day ahead: of the centre, and of the upper bound.
type Most = (Vec<f64>, Vec<f64>);

/// What changes the largest hour of a day so many times changes the day's peak as many times, but `least` at least: an
/// event may fail to come.
fn move_peaks(outlook: &mut Outlook, before: &Most, after: &Most, least: f64) {
    let raised = |after: f64, before: f64| if before > 0.0 { (after / before).max(least) } else { 1.0 };
    for (day, peak) in outlook.peaks.iter_mut().enumerate() {
        peak.value *= raised(after.0[day], before.0[day]);
        peak.upper = (peak.upper * raised(after.1[day], before.1[day])).max(peak.value);
    }
}

/// Steps between the last hour with data and the first hour asked for. Data older than two weeks is continued as if it were
/// between one and two weeks old: hour and weekday stay right, and no trend runs on for months.
fn skipped_steps(hours: i64) -> usize {
    let hours = usize::try_from(hours).unwrap_or(0);
    if hours <= 2 * WEEK { hours } else { WEEK + hours % WEEK }
}

/// 1 up to a day, then halved every week.
pub(crate) fn freshness(now: Timestamp, newest: Hour) -> f64 {
    let age = now.0.div_euclid(HOUR) - newest - FRESH_HOURS;
    0.5_f64.powf(age.max(0) as f64 / 24.0 / STALE_HALF_LIFE_DAYS)
}

fn write(shadows: &[Shadow], spec: &ShadowSpec, out: &Path) -> Result<(), LearnError> {
    let steps = spec.horizon_hours;
    let first = spec.now.0.div_euclid(HOUR) + 1;
    let each = || shadows.iter().flat_map(|shadow| (0..steps).map(move |step| (shadow, step)));
    let numbers = |name: &str, of: &dyn Fn(&Shadow, usize) -> Option<f64>| -> Column {
        Series::new(name.into(), each().map(|(shadow, step)| of(shadow, step)).collect::<Vec<_>>()).into()
    };
    let texts = |name: &str, of: &dyn Fn(&Shadow, usize) -> Option<String>| -> Column {
        Series::new(name.into(), each().map(|(shadow, step)| of(shadow, step)).collect::<Vec<_>>()).into()
    };
    let times = |name: &str, of: &dyn Fn(&Shadow, usize) -> i64| -> Column {
        parquet::time_column(name, each().map(|(shadow, step)| of(shadow, step)).collect())
    };
    let mut columns = vec![
        texts(col::RESOURCE_ID, &|shadow, _| Some(shadow.resource.clone())),
        times(col::AT, &|_, step| (first + step as i64) * HOUR),
    ];
    for measure in Measure::ALL {
        let (name, at) = (measure.column(), measure.at());
        let hour =
            |of: fn(&Outlook) -> &Vec<f64>| move |s: &Shadow, step: usize| Some(of(s.outlooks[at].as_ref()?)[step]);
        let peak = |s: &Shadow, step: usize| s.outlooks[at].as_ref()?.peaks.get(step / DAY).copied();
        columns.push(numbers(name, &hour(|o| &o.centre)));
        columns.push(numbers(&format!("{name}_lower"), &hour(|o| &o.lower)));
        columns.push(numbers(&format!("{name}_upper"), &hour(|o| &o.upper)));
        columns.push(numbers(&format!("peak_{name}"), &|s, step| peak(s, step).map(|p| p.value)));
        columns.push(numbers(&format!("peak_{name}_upper"), &|s, step| peak(s, step).map(|p| p.upper)));
        columns.push(numbers(&format!("confidence_{name}"), &|s, _| s.outlooks[at].as_ref().map(|o| o.confidence)));
        columns.push(texts(&format!("model_{name}"), &|s, _| s.outlooks[at].as_ref().map(model_name)));
    }
    columns.extend([
        numbers(col::COVERAGE, &|_, _| Some(spec.coverage)),
        numbers(col::CONFIDENCE, &|shadow, _| Some(shadow.confidence)),
        times(col::DATA_WATERMARK, &|shadow, _| shadow.newest * HOUR),
        times(col::LAST_UPDATED, &|_, _| spec.now.0),
        texts(col::SCHEDULE_EVENT_ID, &|shadow, step| shadow.events[step].clone()),
    ]);
    parquet::write(out, columns)
}

/// What produced the values, and whether it is worth more than repeating the past.
fn model_name(outlook: &Outlook) -> String {
    let model = outlook.model();
    match outlook.measured {
        Some(measured) if measured.skill() < 0.0 => format!("{model} (no better than last week)"),
        _ => model,
    }
}

fn summary(shadows: &[Shadow], spec: &ShadowSpec) -> ShadowSummary {
    let outlooks = || shadows.iter().flat_map(|shadow| shadow.outlooks.iter().flatten());
    let mut wins = BTreeMap::new();
    for outlook in outlooks() {
        *wins.entry(outlook.models.first().cloned().unwrap_or_default()).or_default() += 1;
    }
    let of = |measure: Measure| shadows.iter().filter_map(move |shadow| shadow.outlooks[measure.at()].as_ref());
    let measures = Measure::ALL.map(|measure| (measure.column(), Held::of(&of(measure).collect::<Vec<_>>())));
    ShadowSummary {
        resources: shadows.len(),
        ephemeral: Ephemeral::default(),
        kept: 0,
        all: Held::of(&outlooks().collect::<Vec<_>>()),
        measures: measures.into_iter().filter(|(_, held)| held.series > 0).collect(),
        rows: shadows.len() * spec.horizon_hours,
        wins,
        confidence: shadows.iter().map(|s| s.confidence).sum::<f64>() / shadows.len() as f64,
        data_watermark: Timestamp(shadows.iter().map(|s| s.newest).max().unwrap_or_default() * HOUR),
    }
}
