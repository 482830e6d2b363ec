//! The gather plan of a shadow inventory: how closely each resource is to be looked at until the next forecast.
//!
//! How far and how suddenly its daily peaks rise above its mean sets the interval of a resource: a flat one, or one that
//! creeps up, shows as much in one sample as in twelve. From a quarter of that way on it is taken to be on its way to a peak,
//! and sampled every second. What is looked at closely is what the forecast expects to change, or cannot foresee. Windows of a short interval lie before and over
//! scheduled events, so that there is a baseline to compare with, and over the hours of which least is known.

#[cfg(test)]
mod replay;

use crate::LearnError;
use crate::frame::Frame;
use domain::Timestamp;
use domain::columns::{hours as h, schedule as s, shadow as col};
use domain::gather::{
    GATHER_VERSION, GatherPlan, Gathering, OFTEN_S, Target, WATCH_S, Watch, Window, interval_s, merged,
};
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

/// The last days with data say how high a resource goes, and at least so many.
const DAYS: usize = 7;
const LEAST_DAYS: usize = 2;
/// From this share of the way from its mean to its usual peak, a figure is on its way to a peak.
const ON_ITS_WAY: f64 = 0.25;
/// A figure whose peak is above its mean by less than this share of the peak has none worth waiting for.
const FLAT: f64 = 0.1;
/// A figure that never rises by more than this share of that way from one hour to the next creeps: its peak does not pass
/// between two samples.
const CREEPS: f64 = 0.5;

/// What a figure usually is, how high it goes in a day, and by how much it rises within an hour at most.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Usual {
    mean: f64,
    peak: f64,
    rise: f64,
}

impl Usual {
    /// The share of the peak that is above the mean, 0 to 1.
    fn above(self) -> f64 {
        if self.peak > 0.0 { (1.0 - self.mean / self.peak).clamp(0.0, 1.0) } else { 0.0 }
    }

    /// The share of the way from the mean to the peak that is made within an hour, 0 to 1.
    fn suddenness(self) -> f64 {
        let way = self.peak - self.mean;
        if way > 0.0 { (self.rise / way).clamp(0.0, 1.0) } else { 0.0 }
    }

    fn on_its_way(self) -> Option<f64> {
        let is_sudden = self.above() > FLAT && self.suddenness() >= CREEPS;
        is_sudden.then_some(self.mean + ON_ITS_WAY * (self.peak - self.mean))
    }

    /// What is gained by frequent samples, 0 to 1.
    fn gain(self) -> f64 {
        self.above() * self.suddenness()
    }
}

/// One future hour of a resource.
struct Hour {
    at: Timestamp,
    /// Expected, lower and upper; cores, then bytes. Not a number where the figure was never seen.
    figures: [[f64; 3]; 2],
    event: Option<String>,
}

/// Reads what [`crate::shadow::forecast`] wrote, the hours it was made from, and the schedule it was given.
///
/// # Errors
/// A file cannot be read or lacks a column.
pub fn gather_plan(
    shadow: &Path,
    past: &Path,
    schedule: Option<&Path>,
    now: Timestamp,
) -> Result<GatherPlan, LearnError> {
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
        // Of an environment or job of which only runs are known there is nothing to sample.
        if cpu[i][0].is_nan() && memory[i][0].is_nan() {
            continue;
        }
        let hour = Hour { at, figures: [cpu[i], memory[i]], event: events[i].clone() };
        hours.entry(resource).or_insert((confidence[i], Vec::new())).1.push(hour);
    }
    let scheduled = schedule.map_or(Ok(BTreeMap::new()), scheduled)?;
    let usual = usual(past, now)?;
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
                let usual = usual.get(&resource).copied();
                // Where too few days were seen, the forecast has to do: one that can be trusted buys rest.
                let calm = usual.map_or(confidence, |[cpu, memory]| 1.0 - cpu.gain().max(memory.gain()));
                let gathering = Gathering {
                    interval_s: interval_s(calm),
                    watch: usual.and_then(watch),
                    confidence: if confidence.is_finite() { confidence } else { 0.0 },
                    targets: targets(&hours),
                    windows: merged(windows),
                };
                (resource, gathering)
            })
            .collect(),
    })
}

fn watch([cpu, memory]: [Usual; 2]) -> Option<Watch> {
    let (cpu_cores, memory_bytes) = (cpu.on_its_way(), memory.on_its_way());
    (cpu_cores.is_some() || memory_bytes.is_some()).then_some(Watch { cpu_cores, memory_bytes, interval_s: WATCH_S })
}

/// A figure on one day.
#[derive(Clone, Copy, Debug, Default)]
struct Day {
    sum: f64,
    hours: f64,
    peak: f64,
    /// The largest of the hour before, and how much the next was above it at most.
    last: Option<f64>,
    rise: f64,
}

impl Day {
    fn add(&mut self, mean: f64, most: f64) {
        self.sum += mean;
        self.hours += 1.0;
        self.peak = self.peak.max(most);
        self.rise = self.rise.max(self.last.map_or(0.0, |last| most - last));
        self.last = Some(most);
    }
}

/// Of the last days, cores and bytes.
type Days = BTreeMap<i64, [Day; 2]>;

/// Cores and bytes of every resource that was seen on enough of the last days.
fn usual(past: &Path, now: Timestamp) -> Result<BTreeMap<String, [Usual; 2]>, LearnError> {
    let mut all: BTreeMap<String, Days> = BTreeMap::new();
    Frame::each_part(past, &[h::RESOURCE, h::HOUR, h::CPU_CORES, h::CPU_CORES_MAX, h::MEMORY_BYTES], |part| {
        let (resource, hour) = (part.texts(h::RESOURCE)?, part.times(h::HOUR)?);
        let (cpu, cpu_max) = (part.numbers(h::CPU_CORES)?, part.numbers(h::CPU_CORES_MAX)?);
        let memory = part.numbers(h::MEMORY_BYTES)?;
        for (row, resource) in resource.into_iter().enumerate() {
            let (Some(resource), Some(hour)) = (resource, hour[row].filter(|hour| *hour <= now)) else { continue };
            let days = all.entry(resource).or_default();
            let day = days.entry(hour.0.div_euclid(24 * HOUR)).or_default();
            for (figure, (mean, most)) in day.iter_mut().zip([(cpu[row], cpu_max[row]), (memory[row], memory[row])]) {
                if mean.is_finite() {
                    figure.add(mean, most.max(mean));
                }
            }
            while days.len() > DAYS {
                days.pop_first();
            }
        }
        Ok(())
    })?;
    all.retain(|_, days| days.len() >= LEAST_DAYS);
    Ok(all.into_iter().map(|(resource, days)| (resource, [of_days(&days, 0), of_days(&days, 1)])).collect())
}

/// The mean of all hours, and the median day.
fn of_days(days: &Days, figure: usize) -> Usual {
    let seen: Vec<Day> = days.values().map(|day| day[figure]).filter(|day| day.hours > 0.0).collect();
    let (sum, hours) = seen.iter().fold((0.0, 0.0), |(sum, hours), day| (sum + day.sum, hours + day.hours));
    let median = |of: fn(&Day) -> f64| {
        let mut values: Vec<f64> = seen.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        crate::usage::quantile(&values, 0.5).unwrap_or(0.0)
    };
    let mean = if hours > 0.0 { sum / hours } else { 0.0 };
    Usual { mean, peak: median(|day| day.peak), rise: median(|day| day.rise) }
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
        let [shadow, schedule, past] = ["shadow", "schedule", "past"].map(|name| folder.path().join(name));
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
        write_past(&past);
        gather_plan(&shadow, &past, Some(&schedule), Timestamp(START * HOUR - 1)).unwrap()
    }

    /// Three days: `a/burst` has half a core on the mean and bursts to 8 in one hour of each, `a/still` one core always, and the
    /// memory of both creeps up from half a GB.
    fn write_past(path: &Path) {
        let rows: Vec<(&str, i64)> =
            ["a/burst", "a/still"].iter().flat_map(|r| (1..=72).rev().map(|at| (*r, at))).collect();
        let numbers = |name: &str, of: &dyn Fn(&(&str, i64)) -> f64| -> Column {
            Series::new(name.into(), rows.iter().map(of).collect::<Vec<_>>()).into()
        };
        let columns = vec![
            Series::new(h::RESOURCE.into(), rows.iter().map(|r| r.0).collect::<Vec<_>>()).into(),
            parquet::time_column(h::HOUR, rows.iter().map(|r| (START - r.1) * HOUR).collect()),
            numbers(h::CPU_CORES, &|r| if r.0 == "a/burst" { 0.5 } else { 1.0 }),
            numbers(h::CPU_CORES_MAX, &|r| if r.0 == "a/burst" && r.1 % 24 == 5 { 8.0 } else { 1.0 }),
            numbers(h::MEMORY_BYTES, &|r| 5e8 + 1e7 * (24 - r.1 % 24) as f64),
        ];
        parquet::write(path, columns).unwrap();
    }

    #[test]
    fn sudden_peaks_far_above_the_mean_are_worth_samples() {
        let hours = || vec![(1.0, 0.05); 24];
        let plan = plan(&[("a/burst", 0.95, hours()), ("a/still", 0.2, hours())], None);
        let (burst, still) = (&plan.resources["a/burst"], &plan.resources["a/still"]);
        assert_eq!(burst.watch, Some(Watch { cpu_cores: Some(0.5 + 0.25 * 7.5), memory_bytes: None, interval_s: 1.0 }));
        assert!(burst.interval_s < 8.0, "{}", burst.interval_s);
        assert!(still.interval_s >= 55.0 && still.watch.is_none(), "{still:?}");
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
