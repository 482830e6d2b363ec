//! The gather plan of a shadow inventory: how closely each resource is to be looked at until the next forecast.
//!
//! Confidence sets the interval. What is looked at closely is what the forecast expects to change, or cannot foresee.
//! Windows of the shortest interval lie before and over scheduled events, so that there is a baseline to compare with,
//! and over the hours of which least is known.

use crate::LearnError;
use crate::frame::Frame;
use domain::Timestamp;
use domain::columns::{schedule as s, shadow as col};
use domain::gather::{GATHER_VERSION, GatherPlan, Gathering, OFTEN_S, Target, Window, interval_s, merged};
use domain::time::{HOUR, MINUTE};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A baseline before a scheduled event: long enough for several builds.
const BASELINE: i64 = 30 * MINUTE;
/// A figure whose expected values differ by more than this share of their mean is expected to change.
const CHANGING: f64 = 0.25;
/// A figure whose interval is wider than this share of what is expected cannot be foreseen.
const UNFORESEEN: f64 = 0.5;
/// Of all hours of a resource, this share may count as those of which least is known.
const LEAST_KNOWN: f64 = 0.1;
/// And they stand out: their interval is wider than the median one by this factor.
const STANDS_OUT: f64 = 1.25;

/// One future hour of a resource.
struct Hour {
    at: Timestamp,
    /// Expected, lower and upper; cores, then bytes. Not a number where the figure was never seen.
    figures: [[f64; 3]; 2],
    event: Option<String>,
}

/// Reads what [`crate::shadow::forecast`] wrote, and the schedule it was given.
///
/// # Errors
/// A file cannot be read or lacks a column.
pub fn gather_plan(shadow: &Path, schedule: Option<&Path>, now: Timestamp) -> Result<GatherPlan, LearnError> {
    let frame = Frame::read(shadow)?;
    let (resources, at) = (frame.texts(col::RESOURCE_ID)?, frame.times(col::AT)?);
    let figure = |names: [&str; 3]| -> Result<Vec<[f64; 3]>, LearnError> {
        let [centre, lower, upper] = [frame.numbers(names[0])?, frame.numbers(names[1])?, frame.numbers(names[2])?];
        Ok((0..frame.rows()).map(|i| [centre[i], lower[i], upper[i]]).collect())
    };
    let (cpu, memory) = (figure(col::CPU_CORES)?, figure(col::MEMORY_BYTES)?);
    let (confidence, events) = (frame.numbers(col::CONFIDENCE)?, frame.texts(col::SCHEDULE_EVENT_ID)?);
    let watermark = frame.times(col::DATA_WATERMARK)?.into_iter().flatten().max().unwrap_or_default();
    let mut hours: BTreeMap<String, (f64, Vec<Hour>)> = BTreeMap::new();
    for i in 0..frame.rows() {
        let (Some(resource), Some(at)) = (resources[i].clone(), at[i]) else { continue };
        let hour = Hour { at, figures: [cpu[i], memory[i]], event: events[i].clone() };
        hours.entry(resource).or_insert((confidence[i], Vec::new())).1.push(hour);
    }
    let scheduled = schedule.map_or(Ok(BTreeMap::new()), scheduled)?;
    let end = hours.values().flat_map(|(_, hours)| hours).map(|hour| hour.at).max();
    Ok(GatherPlan {
        format_version: GATHER_VERSION,
        created_at: now,
        expires_at: end.map_or(now, |end| end.plus(HOUR)),
        data_watermark: watermark,
        resources: hours
            .into_iter()
            .map(|(resource, (confidence, hours))| {
                let mut windows = least_known(&hours);
                windows.extend(before_events(&hours, &scheduled));
                let gathering = Gathering {
                    interval_s: interval_s(confidence),
                    confidence: if confidence.is_finite() { confidence } else { 0.0 },
                    targets: targets(&hours),
                    windows: merged(windows),
                };
                (resource, gathering)
            })
            .collect(),
    })
}

/// Scheduled events by their identifier: kind, start, end.
type Scheduled = BTreeMap<String, (String, Timestamp, Timestamp)>;

fn scheduled(path: &Path) -> Result<Scheduled, LearnError> {
    let frame = Frame::read(path)?;
    let (id, kind) = (frame.texts(s::ID)?, frame.texts(s::EVENT_TYPE)?);
    let (start, end) = (frame.times(s::START_TIME)?, frame.times(s::END_TIME)?);
    let row = |i: usize| Some((id[i].clone()?, (kind[i].clone().unwrap_or_default(), start[i]?, end[i]?)));
    Ok((0..frame.rows()).filter_map(row).collect())
}

fn targets(hours: &[Hour]) -> Vec<Target> {
    let is_target = |figure: usize| {
        let known: Vec<[f64; 3]> = hours.iter().map(|h| h.figures[figure]).filter(|f| f[0].is_finite()).collect();
        let mean = known.iter().map(|f| f[0]).sum::<f64>() / known.len() as f64;
        let (low, high) = known.iter().fold((f64::MAX, f64::MIN), |(l, h), f| (l.min(f[0]), h.max(f[0])));
        let width = known.iter().map(|f| f[2] - f[1]).sum::<f64>() / known.len() as f64;
        mean > 0.0 && ((high - low) / mean > CHANGING || width / mean > UNFORESEEN)
    };
    [(0, Target::Cpu), (1, Target::Memory)].into_iter().filter(|(i, _)| is_target(*i)).map(|(_, it)| it).collect()
}

/// The hours whose intervals stand out by their width.
fn least_known(hours: &[Hour]) -> Vec<Window> {
    let mut found = Vec::new();
    for (figure, name) in ["cpu_cores", "memory_bytes"].into_iter().enumerate() {
        let width = |hour: &Hour| {
            let [centre, lower, upper] = hour.figures[figure];
            Some((upper - lower) / centre).filter(|width| width.is_finite())
        };
        let mut widths: Vec<f64> = hours.iter().filter_map(width).collect();
        widths.sort_by(f64::total_cmp);
        let Some(median) = widths.get(widths.len() / 2).copied() else { continue };
        let most = ((hours.len() as f64 * LEAST_KNOWN) as usize).max(1);
        let bar = widths[widths.len().saturating_sub(most)].max(UNFORESEEN).max(median * STANDS_OUT);
        let odd = hours.iter().filter(|hour| width(hour).is_some_and(|width| width >= bar));
        found.extend(odd.take(most).map(|hour| Window {
            from: hour.at,
            to: hour.at.plus(HOUR),
            interval_s: OFTEN_S,
            reason: format!("least is known of {name}"),
            schedule_event_id: None,
        }));
    }
    found
}

/// From before each event that touches the resource to its end.
fn before_events(hours: &[Hour], scheduled: &Scheduled) -> Vec<Window> {
    let ids: BTreeSet<&String> = hours.iter().filter_map(|hour| hour.event.as_ref()).collect();
    let window = |id: &String| {
        let (kind, start, end) = scheduled.get(id)?;
        Some(Window {
            from: start.plus(-BASELINE),
            to: (*end).max(start.plus(MINUTE)),
            interval_s: OFTEN_S,
            reason: format!("{kind} {id}"),
            schedule_event_id: Some(id.clone()),
        })
    };
    ids.into_iter().filter_map(window).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parquet;
    use polars::prelude::{Column, NamedFrom, Series};

    const START: i64 = 480_000;

    /// A resource: its confidence, and for each hour the expected cores and the width of their interval.
    type Given<'a> = (&'a str, f64, Vec<(f64, f64)>);
    /// One hour of it.
    type Row<'a> = (&'a str, f64, i64, f64, f64);

    fn plan(resources: &[Given], event: Option<(&str, i64, i64)>) -> GatherPlan {
        let folder = tempfile::tempdir().unwrap();
        let [shadow, schedule] = ["shadow", "schedule"].map(|name| folder.path().join(name));
        let rows: Vec<Row> = resources
            .iter()
            .flat_map(|(name, c, hours)| {
                hours.iter().zip(START..).map(move |((centre, width), at)| (*name, *c, at, *centre, *width))
            })
            .collect();
        let numbers = |name: &str, of: &dyn Fn(&Row) -> f64| -> Column {
            Series::new(name.into(), rows.iter().map(of).collect::<Vec<_>>()).into()
        };
        let hit = |at: i64| event.filter(|(_, from, to)| (*from..*to).contains(&at)).map(|(id, _, _)| id);
        let mut columns = vec![
            Series::new(col::RESOURCE_ID.into(), rows.iter().map(|r| r.0).collect::<Vec<_>>()).into(),
            parquet::time_column(col::AT, rows.iter().map(|r| r.2 * HOUR).collect()),
            numbers(col::CONFIDENCE, &|r| r.1),
            parquet::time_column(col::DATA_WATERMARK, rows.iter().map(|_| (START - 1) * HOUR).collect()),
            Series::new(col::SCHEDULE_EVENT_ID.into(), rows.iter().map(|r| hit(r.2)).collect::<Vec<_>>()).into(),
        ];
        for (i, name) in col::CPU_CORES.into_iter().enumerate() {
            columns.push(numbers(name, &|r| r.3 + [0.0, -0.5, 0.5][i] * r.4));
        }
        for name in col::MEMORY_BYTES {
            columns.push(numbers(name, &|_| 1e9));
        }
        parquet::write(&shadow, columns).unwrap();
        let events: Vec<_> = event.into_iter().collect();
        let columns = vec![
            Column::from(Series::new(s::ID.into(), events.iter().map(|e| e.0).collect::<Vec<_>>())),
            Series::new(s::EVENT_TYPE.into(), events.iter().map(|_| "deployment").collect::<Vec<_>>()).into(),
            parquet::time_column(s::START_TIME, events.iter().map(|e| e.1 * HOUR).collect()),
            parquet::time_column(s::END_TIME, events.iter().map(|e| e.2 * HOUR).collect()),
        ];
        parquet::write(&schedule, columns).unwrap();
        gather_plan(&shadow, Some(&schedule), Timestamp(START * HOUR - 1)).unwrap()
    }

    #[test]
    fn the_better_foreseen_the_less_often_and_what_changes_is_a_target() {
        let flat = vec![(1.0, 0.05); 24];
        let daily: Vec<(f64, f64)> = (0..24).map(|h| (1.0 + f64::from(h % 12) / 10.0, 0.05)).collect();
        let plan = plan(&[("a/flat", 0.95, flat), ("a/daily", 0.2, daily)], None);
        let (calm, busy) = (&plan.resources["a/flat"], &plan.resources["a/daily"]);
        assert!(calm.interval_s > 3.0 * busy.interval_s, "{} {}", calm.interval_s, busy.interval_s);
        assert_eq!((calm.targets.as_slice(), busy.targets.as_slice()), (&[][..], &[Target::Cpu][..]));
        assert!(calm.windows.is_empty());
        assert_eq!(plan.expires_at, Timestamp((START + 24) * HOUR));
        assert_eq!(GatherPlan::parse(&serde_json::to_string(&plan).unwrap()).unwrap(), plan);
    }

    #[test]
    fn the_hours_of_which_least_is_known_are_windows() {
        let mut hours = vec![(1.0, 0.3); 24];
        hours[7].1 = 2.0;
        hours[8].1 = 1.8;
        let windows = &plan(&[("a/x", 0.9, hours)], None).resources["a/x"].windows;
        assert_eq!(windows.len(), 1, "{windows:?}");
        assert_eq!((windows[0].from, windows[0].to), (Timestamp((START + 7) * HOUR), Timestamp((START + 9) * HOUR)));
        assert_eq!(windows[0].reason, "least is known of cpu_cores");
    }

    #[test]
    fn a_window_begins_before_the_event_it_is_for() {
        let windows = &plan(&[("a/x", 0.9, vec![(1.0, 0.1); 24])], Some(("deploy-7", START + 3, START + 4))).resources
            ["a/x"]
            .windows;
        assert_eq!(windows.len(), 1);
        assert_eq!(windows[0].from, Timestamp((START + 3) * HOUR - 30 * MINUTE));
        assert_eq!(windows[0].to, Timestamp((START + 4) * HOUR));
        assert_eq!(
            (windows[0].reason.as_str(), windows[0].schedule_event_id.as_deref()),
            ("deployment deploy-7", Some("deploy-7"))
        );
    }
}
