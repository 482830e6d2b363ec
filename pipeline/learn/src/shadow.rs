//! The shadow inventory: what every resource is expected to use in the hours to come.
//!
//! Owns the way from hours with data to regular series, from calendar to steps, and what known events do to a forecast.
//! The forecasting itself is [`crate::forecast`]'s.

mod hours;
mod schedule;

use crate::LearnError;
use crate::forecast::{self, DAY, Outlook, Past, Spec, WEEK};
use crate::parquet;
use domain::Timestamp;
use domain::columns::shadow as col;
use domain::time::HOUR;
use hours::{History, Hour, regular};
use polars::prelude::{Column, NamedFrom, Series};
use schedule::{Event, strongest};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;

/// What to forecast.
#[derive(Clone, Copy, Debug)]
pub struct ShadowSpec {
    /// The moment of the forecast: no later hour is read, the first hour after it is the first row.
    pub now: Timestamp,
    /// Hours to forecast.
    pub horizon_hours: usize,
    /// Share of hours that the intervals are meant to hold, 0 to 1.
    pub coverage: f64,
}

impl ShadowSpec {
    /// A forecast at `now` with intervals for nine tenths of the hours.
    pub fn new(now: Timestamp, horizon_hours: usize) -> Self {
        Self { now, horizon_hours, coverage: 0.9 }
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
    /// Series (a figure of a resource) by the model with the largest weight; `last-value` where there was too little to
    /// choose from.
    pub wins: BTreeMap<String, usize>,
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
    /// Mean confidence of the resources, 0 to 1.
    pub confidence: f64,
    /// The newest hour with data.
    pub data_watermark: Timestamp,
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
/// Older hours are left out: usage drifts, and the fits take time.
const MOST: usize = 8 * WEEK;

/// Forecasts every resource of `features.resource_hours` and writes the columns of [`domain::columns::shadow`] to `out`, one
/// row per resource and future hour, ordered by both. Known events come from `features.schedule`.
///
/// # Errors
/// A file cannot be read or written or lacks a column, or there is no hour with data up to `now`.
pub fn forecast(
    hours: &Path,
    schedule: Option<&Path>,
    spec: &ShadowSpec,
    out: &Path,
) -> Result<ShadowSummary, LearnError> {
    let mut histories = hours::read(hours, spec.now)?;
    let mut ephemeral = Ephemeral { why: WHY_EPHEMERAL, ..Ephemeral::default() };
    histories.retain(|_, history| {
        let lived = ephemeral_hours(history, spec.now);
        ephemeral.resources += usize::from(lived.is_some());
        ephemeral.longest_hours = ephemeral.longest_hours.max(lived.unwrap_or_default());
        lived.is_none()
    });
    let events = schedule.map_or(Ok(Vec::new()), schedule::read)?;
    let shadows = shadows(&histories, &events, spec);
    if shadows.is_empty() {
        let gone = match ephemeral.resources {
            0 => String::new(),
            n => format!("; {n} {WHY_EPHEMERAL}"),
        };
        return Err(LearnError::TooLittleData(format!("no resource has an hour with data up to {}{gone}", spec.now)));
    }
    write(&shadows, spec, out)?;
    Ok(ShadowSummary { ephemeral, ..summary(&shadows, spec) })
}

/// The future of one resource.
struct Shadow {
    resource: String,
    /// Newest hour with data.
    newest: Hour,
    /// Cores and bytes; none where the figure was never seen.
    outlooks: [Option<Outlook>; 2],
    confidence: f64,
    /// The event that touches each future hour.
    events: Vec<Option<String>>,
}

/// All series are forecast together: short ones borrow from the others how far errors go.
fn shadows(histories: &BTreeMap<String, History>, events: &[Event], spec: &ShadowSpec) -> Vec<Shadow> {
    let first = spec.now.0.div_euclid(HOUR) + 1;
    let mut pasts = Vec::new();
    for history in histories.values() {
        for figure in 0..2 {
            let (mut values, last) = regular(history, figure).unwrap_or_default();
            values.drain(..values.len().saturating_sub(MOST));
            let skip = skipped_steps(first - 1 - last);
            pasts.push(Past { values, skip, steps: spec.horizon_hours });
        }
    }
    let forecast = Spec {
        periods: vec![DAY, WEEK],
        horizon: spec.horizon_hours,
        coverage: spec.coverage,
        enough: ENOUGH,
        peak_steps: Some(DAY),
    };
    let mut outlooks = forecast::outlooks(&pasts, &forecast, &|_| ()).into_iter();
    let one = |(resource, history): (&String, &History)| {
        let outlooks = [outlooks.next().flatten(), outlooks.next().flatten()];
        shadow(resource, history, outlooks, events, spec)
    };
    histories.iter().map(one).collect()
}

fn shadow(
    resource: &str,
    history: &History,
    mut outlooks: [Option<Outlook>; 2],
    events: &[Event],
    spec: &ShadowSpec,
) -> Shadow {
    let newest = history.keys().next_back().copied().unwrap_or_default();
    let first = spec.now.0.div_euclid(HOUR) + 1;
    let touching: Vec<&Event> = events.iter().filter(|event| event.touches(resource)).collect();
    for (figure, outlook) in outlooks.iter_mut().enumerate() {
        if let Some(outlook) = outlook {
            let before = (block_most(&outlook.centre), block_most(&outlook.upper));
            schedule::apply(outlook, history, figure, &touching, first);
            raise_peaks(outlook, &before);
        }
    }
    let weakest = outlooks.iter().flatten().map(|o| o.confidence).min_by(f64::total_cmp).unwrap_or(0.0);
    let hours = (first..).take(spec.horizon_hours);
    Shadow {
        resource: resource.to_owned(),
        newest,
        outlooks,
        confidence: (weakest * freshness(spec.now, newest)).clamp(0.0, 1.0),
        events: hours.map(|hour| strongest(&touching, hour).map(|event| event.id.clone())).collect(),
    }
}

/// The largest value of each day ahead.
fn block_most(values: &[f64]) -> Vec<f64> {
    values.chunks(DAY).map(|day| day.iter().copied().fold(f64::NEG_INFINITY, f64::max)).collect()
}

/// What an event raises by so much in the hours of a day, it raises by as much in the day's peak.
fn raise_peaks(outlook: &mut Outlook, before: &(Vec<f64>, Vec<f64>)) {
    let after = (block_most(&outlook.centre), block_most(&outlook.upper));
    let raised = |after: f64, before: f64| if before > 0.0 { (after / before).max(1.0) } else { 1.0 };
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
    for (figure, names) in [col::CPU_CORES, col::MEMORY_BYTES].into_iter().enumerate() {
        columns.push(numbers(names[0], &|s, step| s.outlooks[figure].as_ref().map(|o| o.centre[step])));
        columns.push(numbers(names[1], &|s, step| s.outlooks[figure].as_ref().map(|o| o.lower[step])));
        columns.push(numbers(names[2], &|s, step| s.outlooks[figure].as_ref().map(|o| o.upper[step])));
    }
    for (figure, names) in [col::PEAK_CPU_CORES, col::PEAK_MEMORY_BYTES].into_iter().enumerate() {
        let peak = |s: &Shadow, step: usize| s.outlooks[figure].as_ref()?.peaks.get(step / DAY).copied();
        columns.push(numbers(names[0], &|s, step| peak(s, step).map(|p| p.value)));
        columns.push(numbers(names[1], &|s, step| peak(s, step).map(|p| p.upper)));
    }
    columns.extend([
        numbers(col::COVERAGE, &|_, _| Some(spec.coverage)),
        numbers(col::CONFIDENCE, &|shadow, _| Some(shadow.confidence)),
        texts(col::MODEL_CPU, &|shadow, _| shadow.outlooks[0].as_ref().map(|o| model_name(o))),
        texts(col::MODEL_MEMORY, &|shadow, _| shadow.outlooks[1].as_ref().map(|o| model_name(o))),
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
    let measured: Vec<forecast::Measured> = outlooks().filter_map(|o| o.measured).collect();
    let mean = |of: fn(&forecast::Measured) -> f64| {
        (!measured.is_empty()).then(|| measured.iter().map(of).sum::<f64>() / measured.len() as f64)
    };
    let peaks: Vec<forecast::MeasuredPeaks> = outlooks().filter_map(|o| o.measured_peaks).collect();
    let mean_peak = |of: fn(&forecast::MeasuredPeaks) -> f64| {
        (!peaks.is_empty()).then(|| peaks.iter().map(of).sum::<f64>() / peaks.len() as f64)
    };
    ShadowSummary {
        resources: shadows.len(),
        ephemeral: Ephemeral::default(),
        peak_mase: mean_peak(|p| p.mase),
        peak_mase_naive: mean_peak(|p| p.mase_naive),
        peak_held: mean_peak(|p| p.held),
        rows: shadows.len() * spec.horizon_hours,
        wins,
        mase: mean(|m| m.mase),
        mase_seasonal_naive: mean(|m| m.mase_seasonal_naive),
        coverage: mean(|m| m.coverage),
        confidence: shadows.iter().map(|s| s.confidence).sum::<f64>() / shadows.len() as f64,
        data_watermark: Timestamp(shadows.iter().map(|s| s.newest).max().unwrap_or_default() * HOUR),
    }
}

#[cfg(test)]
mod tests {
    use super::schedule::UNKNOWN_EVENT_FACTOR;
    use super::*;
    use crate::forecast::LAST_VALUE;
    use crate::forecast::tests::daily;
    use crate::frame::Frame;
    use domain::columns::{hours as h, schedule as s};

    const START: i64 = 400_000;

    /// Hour, cores, bytes.
    type Rows = Vec<(Hour, f64, f64)>;

    fn write_hours(path: &Path, resources: &[(&str, Rows)]) {
        let rows = || resources.iter().flat_map(|(r, hours)| hours.iter().map(move |row| (*r, row)));
        let columns = vec![
            Column::from(Series::new(h::RESOURCE.into(), rows().map(|(r, _)| r).collect::<Vec<_>>())),
            parquet::time_column(h::HOUR, rows().map(|(_, row)| row.0 * HOUR).collect()),
            Series::new(h::CPU_CORES.into(), rows().map(|(_, row)| row.1).collect::<Vec<_>>()).into(),
            Series::new(h::MEMORY_BYTES.into(), rows().map(|(_, row)| row.2).collect::<Vec<_>>()).into(),
        ];
        parquet::write(path, columns).unwrap();
    }

    struct Given<'a>(&'a str, Option<&'a str>, &'a str, Hour, Hour, Option<f64>);

    fn write_schedule(path: &Path, events: &[Given]) {
        let columns = vec![
            Column::from(Series::new(s::ID.into(), events.iter().map(|e| e.0).collect::<Vec<_>>())),
            Series::new(s::RESOURCE.into(), events.iter().map(|e| e.1).collect::<Vec<_>>()).into(),
            Series::new(s::EVENT_TYPE.into(), events.iter().map(|e| e.2).collect::<Vec<_>>()).into(),
            parquet::time_column(s::START_TIME, events.iter().map(|e| e.3 * HOUR).collect()),
            parquet::time_column(s::END_TIME, events.iter().map(|e| e.4 * HOUR).collect()),
            Series::new(s::SCALE.into(), events.iter().map(|e| e.5).collect::<Vec<_>>()).into(),
        ];
        parquet::write(path, columns).unwrap();
    }

    fn days(n: usize, seed: u64) -> Rows {
        daily(24 * n, 0.8, 0.1, seed).into_iter().zip(START..).map(|(v, hour)| (hour, v, v * 1e9)).collect()
    }

    struct Run {
        summary: ShadowSummary,
        cpu: [Vec<f64>; 3],
        confidence: Vec<f64>,
        at: Vec<Option<Timestamp>>,
        event: Vec<Option<String>>,
    }

    fn run(resources: &[(&str, Rows)], events: &[Given], now: Hour) -> Run {
        let folder = tempfile::tempdir().unwrap();
        let [hours, schedule, out] = ["hours", "schedule", "out"].map(|name| folder.path().join(name));
        write_hours(&hours, resources);
        write_schedule(&schedule, events);
        let spec = ShadowSpec::new(Timestamp(now * HOUR + 17), 24);
        let summary = forecast(&hours, Some(&schedule), &spec, &out).unwrap();
        let frame = Frame::read(&out).unwrap();
        Run {
            summary,
            cpu: col::CPU_CORES.map(|name| frame.numbers(name).unwrap()),
            confidence: frame.numbers(col::CONFIDENCE).unwrap(),
            at: frame.times(col::AT).unwrap(),
            event: frame.texts(col::SCHEDULE_EVENT_ID).unwrap(),
        }
    }

    #[test]
    fn one_row_per_resource_and_hour_after_now() {
        let end = START + 24 * 10 - 1;
        let r = run(&[("b/x", days(10, 1)), ("a/x", days(10, 2))], &[], end);
        assert_eq!((r.summary.resources, r.summary.rows, r.at.len()), (2, 48, 48));
        assert_eq!(r.at[0], Some(Timestamp((end + 1) * HOUR)));
        assert_eq!(r.at[23], Some(Timestamp((end + 24) * HOUR)));
        assert_eq!(r.summary.data_watermark, Timestamp(end * HOUR));
        assert!(r.event.iter().all(Option::is_none));
        assert!(r.summary.mase.unwrap() < r.summary.mase_seasonal_naive.unwrap());
        assert!(r.summary.peak_mase.unwrap() < 1.5 * r.summary.peak_mase_naive.unwrap());
        assert!((0.8..=1.0).contains(&r.summary.peak_held.unwrap()));
    }

    #[test]
    fn what_lived_shorter_than_it_has_been_gone_is_left_out_and_counted() {
        let now = START + 239;
        let at = |hours: std::ops::RangeInclusive<i64>| -> Rows { hours.map(|hour| (hour, 1.0, 1e9)).collect() };
        let resources = |dates: std::ops::RangeInclusive<i64>| [("a/x", days(10, 1)), ("b/build", at(dates))];
        let left_out = |dates| run(&resources(dates), &[], now).summary.ephemeral;
        // A container of seconds: one hour with samples, two hours ago; the hour going on is not over.
        assert_eq!((left_out(now - 3..=now - 3).resources, left_out(now - 2..=now - 2).resources), (1, 0));
        // Six hours, gone for six and for seven.
        assert_eq!(left_out(now - 12..=now - 7).resources, 0);
        let gone = left_out(now - 13..=now - 8);
        assert_eq!((gone.resources, gone.longest_hours), (1, 6));
        // A day is no moment: what lived that long is shown, with the confidence of its age.
        assert_eq!(left_out(now - 200..=now - 177).resources, 0);
        assert_eq!(left_out(now - 200..=now - 178).resources, 1);
        let kept = run(&resources(now - 3..=now - 3), &[], now);
        assert_eq!((kept.summary.resources, kept.at.len()), (1, 24));
    }

    #[test]
    fn hours_after_now_are_not_read() {
        let mut later = days(10, 1);
        later.extend((0..48).map(|i| (START + 240 + i, 1e6, 1e15)));
        let (a, b) = (run(&[("a/x", days(10, 1))], &[], START + 239), run(&[("a/x", later)], &[], START + 239));
        assert_eq!(a.cpu, b.cpu);
    }

    #[test]
    fn a_scheduled_scale_raises_centre_and_upper_of_its_hours_only() {
        let now = START + 239;
        let event = |resource| [Given("deploy-7", resource, "deployment", now + 3, now + 5, Some(2.0))];
        let calm = run(&[("a/x", days(10, 1))], &[], now);
        for resource in [Some("a/x"), Some("a"), None] {
            let r = run(&[("a/x", days(10, 1))], &event(resource), now);
            for step in 0..24 {
                let hit = step == 2 || step == 3;
                let factor = if hit { 2.0 } else { 1.0 };
                assert!((r.cpu[0][step] - factor * calm.cpu[0][step]).abs() < 1e-9);
                assert!((r.cpu[2][step] - factor * calm.cpu[2][step]).abs() < 1e-9);
                assert_eq!(r.event[step].as_deref(), hit.then_some("deploy-7"));
            }
        }
        assert!(run(&[("a/x", days(10, 1))], &event(Some("b")), now).event.iter().all(Option::is_none));
    }

    #[test]
    fn an_unscaled_event_does_what_its_kind_did_before() {
        let now = START + 239;
        let mut past = days(10, 1);
        for row in &mut past[200..204] {
            row.1 *= 3.0;
        }
        let seen = Given("old", Some("a"), "load", START + 200, START + 204, None);
        let next = || Given("new", Some("a"), "load", now + 2, now + 3, None);
        let calm = run(&[("a/x", past.clone())], &[], now);
        let learnt = run(&[("a/x", past.clone())], &[seen, next()], now);
        let ratio = learnt.cpu[0][1] / calm.cpu[0][1];
        assert!((2.4..3.6).contains(&ratio), "{ratio}");
        let unknown = run(&[("a/x", past.clone())], &[next()], now);
        assert_eq!(unknown.cpu[0][1], calm.cpu[0][1]);
        assert!((unknown.cpu[2][1] - UNKNOWN_EVENT_FACTOR * calm.cpu[2][1]).abs() < 1e-9);
        let quiet = run(&[("a/x", past)], &[Given("m", None, "maintenance", now + 2, now + 3, None)], now);
        assert_eq!((quiet.cpu[2][1], quiet.event[1].as_deref()), (calm.cpu[2][1], Some("m")));
    }

    #[test]
    fn old_and_short_data_are_trusted_less() {
        let fresh = run(&[("a/x", days(10, 1))], &[], START + 239);
        let stale = run(&[("a/x", days(10, 1))], &[], START + 239 + 24 * 15);
        assert!(stale.confidence[0] < 0.3 * fresh.confidence[0]);
        let ancient = run(&[("a/x", days(10, 1))], &[], START + 239 + 24 * 4000);
        assert!(ancient.confidence[0] < 0.01 && ancient.cpu[2].iter().all(|v| *v < 20.0));
        let short = run(&[("a/x", days(1, 1))], &[], START + 23);
        assert!(short.confidence[0] <= 0.2);
        assert_eq!(short.summary.wins[LAST_VALUE], 2);
    }
}
