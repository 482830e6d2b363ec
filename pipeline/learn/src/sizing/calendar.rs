//! The hours of a week in which a resource is busy, and the lower limits that are enough for the others.
//!
//! Two levels and one run of hours, every day or from Monday to Friday: working hours, a nightly build. More levels fit the past
//! better and the next days worse. The lower limits keep the headroom that the highest have over their own peak, and stay
//! above all that the quiet hours of the last weeks used: what quiet hours risk is less than what busy hours do.

use super::memory_rules;
use crate::usage::{Day, Series};
use domain::plan::{Busy, FINE_INTERVAL_S, LEAST_SAVED, State};
use domain::time::{DAY, HOUR};
use domain::zone::Zone;
use domain::{Timestamp, units};
use std::collections::BTreeMap;

/// So many days with data tell which hours are quiet, each day of the week four times.
const WINDOW_DAYS: usize = 28;
/// Fewer tell nothing: each day of the week twice.
const FEWEST_DAYS: usize = 14;
/// Above the highest use of the quiet hours, whatever the headroom of the busy ones.
const LEAST_HEADROOM: f64 = 1.1;
/// No plan proposes fewer cores.
const FLOOR_CORES: f64 = 0.05;
/// A longer sample blurs when it was busy.
const LONGEST_SAMPLE_S: f64 = 900.0;
/// The longest run of busy hours that leaves something to set free.
const LONGEST_BUSY: u32 = 20;

/// The highest use of one hour.
#[derive(Clone, Copy, Debug, Default)]
struct Peak {
    cores: f64,
    bytes: f64,
}

impl Peak {
    fn raise(&mut self, other: Self) {
        self.cores = self.cores.max(other.cores);
        self.bytes = self.bytes.max(other.bytes);
    }
}

/// The highest use of each hour of one day, by the hour of the week that the clock on the wall shows; of cores, what may hide
/// within a sample.
#[derive(Clone, Debug)]
pub(crate) struct Hourly(BTreeMap<usize, Peak>);

/// The hour of the week of a moment on the wall; the first is Monday's.
fn hour_of_week(wall: Timestamp) -> usize {
    // 1970-01-05 was a Monday.
    (wall.0 - 4 * DAY).div_euclid(HOUR).rem_euclid(168) as usize
}

/// The samples of a day in order of time. One whose interval ends on the hour is of the hour before.
pub(crate) fn timed(day: i64, series: &Series) -> Vec<(Timestamp, f64)> {
    let end = (day + 1) * DAY;
    let at = |age: f64| Timestamp(end - (age * DAY as f64).round() as i64 - 1);
    let mut all: Vec<_> = series.aged().map(|(value, age)| (at(age), value)).collect();
    all.sort_by_key(|(at, _)| *at);
    all
}

impl Hourly {
    /// None where samples are too long to tell.
    pub(crate) fn of(day: &Day, zone: Zone) -> Option<Self> {
        let longest = day.timeline.iter().map(|slice| slice.interval_s).fold(0.0, f64::max);
        if longest > LONGEST_SAMPLE_S {
            return None;
        }
        // All of its work may have been done within five minutes.
        let burst = (longest / FINE_INTERVAL_S).max(1.0);
        let mut hours: BTreeMap<usize, Peak> = BTreeMap::new();
        let mut raise = |at: Timestamp, peak: Peak| hours.entry(hour_of_week(zone.wall(at))).or_default().raise(peak);
        for (at, cores) in timed(day.day, &day.cpu) {
            raise(at, Peak { cores: cores * burst, bytes: 0.0 });
        }
        for (at, bytes) in timed(day.day, &day.memory) {
            raise(at, Peak { cores: 0.0, bytes });
        }
        Some(Self(hours))
    }
}

/// The busy hours of a resource, and what it used at most in the others and at all.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) busy: Busy,
    zone: Zone,
    quiet: Peak,
    all: Peak,
}

impl Shape {
    /// The run of hours on the wall outside of which least is used, as the last of these days show; none where no run sets anything free.
    pub(crate) fn of(past: &[Hourly], zone: Zone) -> Option<Self> {
        let recent = &past[past.len().saturating_sub(WINDOW_DAYS)..];
        if recent.len() < FEWEST_DAYS {
            return None;
        }
        let mut week = [Peak::default(); 168];
        for (hour, peak) in recent.iter().flat_map(|day| &day.0) {
            week[*hour].raise(*peak);
        }
        let mut all = Peak::default();
        week.iter().for_each(|peak| all.raise(*peak));
        let runs = [false, true].into_iter().flat_map(|working_days| {
            (0..24).flat_map(move |from| (1..=LONGEST_BUSY).map(move |hours| Busy { from, hours, working_days }))
        });
        let judged = runs.map(|busy| {
            let mut quiet = Peak::default();
            let outside = week.iter().enumerate().filter(|(hour, _)| !busy.is_hour(*hour));
            outside.for_each(|(_, peak)| quiet.raise(*peak));
            (reserved(busy, quiet, all), Self { busy, zone, quiet, all })
        });
        let (least, shape) = judged.min_by(|a, b| a.0.total_cmp(&b.0))?;
        (least <= 2.0 - LEAST_SAVED).then_some(shape)
    }

    /// Whether the limits are the highest at a moment.
    pub(crate) fn is_busy(&self, at: Timestamp) -> bool {
        self.busy.holds(self.zone.wall(at))
    }

    /// The limits of the quiet hours; a figure that they would hardly lower is the highest there too.
    pub(crate) fn lower(&self, highest: State) -> State {
        let low = |limit: f64, headroom: f64, wanted: f64| {
            let enough = wanted.max(headroom);
            (enough <= limit * (1.0 - LEAST_SAVED)).then_some(enough)
        };
        let cores = highest.cpu_cores.and_then(|limit| {
            let headroom = (limit / self.all.cores.max(f64::MIN_POSITIVE)).max(LEAST_HEADROOM);
            low(limit, FLOOR_CORES, self.quiet.cores * headroom).map(units::round_cores)
        });
        let bytes = highest.memory_bytes.and_then(|limit| {
            let headroom = (limit as f64 / self.all.bytes.max(1.0)).max(LEAST_HEADROOM);
            // A kill is dearer than throttling: the loosest of the rules.
            let careful = memory_rules::limit(self.quiet.bytes, memory_rules::LOOSEST);
            low(limit as f64, careful, self.quiet.bytes * headroom).map(units::round_bytes)
        });
        State { cpu_cores: cores.or(highest.cpu_cores), memory_bytes: bytes.or(highest.memory_bytes) }
    }
}

/// What of both limits a run of busy hours reserves, each as a share of what it is now; a limit in proportion to its peak.
fn reserved(busy: Busy, quiet: Peak, all: Peak) -> f64 {
    let days = if busy.working_days { 5.0 / 7.0 } else { 1.0 };
    let share = f64::from(busy.hours) / 24.0 * days;
    let level = |quiet: f64, all: f64| if all > 0.0 { quiet / all } else { 1.0 };
    2.0 * share + (1.0 - share) * (level(quiet.cores, all.cores) + level(quiet.bytes, all.bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage::tests::{Row, load};
    use domain::time::MINUTE;
    use domain::units::{GIB, MIB};

    /// Quarters of an hour of days from a Monday on: cores and bytes by day of the week and hour.
    fn past(days: i64, zone: Zone, figures: impl Fn(i64, i64) -> (f64, f64)) -> Vec<Hourly> {
        let row = |i: i64| {
            let (cpu, memory) = figures(i / 96 % 7, i % 96 / 4);
            Row { interval_s: 900.0, ..Row::new("a/b", 18 * DAY + (i + 1) * 15 * MINUTE, cpu, memory) }
        };
        let rows: Vec<Row> = (0..days * 96 - 1).map(row).collect();
        load(&rows).resources["a/b"].iter().filter_map(|day| Hourly::of(day, zone)).collect()
    }

    fn shape_of(days: i64, zone: Zone, figures: impl Fn(i64, i64) -> (f64, f64)) -> Option<Shape> {
        Shape::of(&past(days, zone, figures), zone)
    }

    #[test]
    fn working_hours_and_a_nightly_build_are_found() {
        let office = |day: i64, hour: i64| if day < 5 && (8..18).contains(&hour) { (2.0, 3e9) } else { (0.1, 4e8) };
        let shape = shape_of(21, Zone::default(), office).unwrap();
        assert_eq!(shape.busy, Busy { from: 8, hours: 10, working_days: true });
        let low = shape.lower(State { cpu_cores: Some(4.0), memory_bytes: Some(4 * GIB) });
        assert!(
            (0.32..0.34).contains(&low.cpu_cores.unwrap()),
            "three times the quiet peak may hide in a sample: {low:?}"
        );
        assert!((500 * MIB..900 * MIB).contains(&low.memory_bytes.unwrap()), "{low:?}");
        let night = |_: i64, hour: i64| if (1..3).contains(&hour) { (6.0, 4e8) } else { (0.1, 4e8) };
        let shape = shape_of(21, Zone::default(), night).unwrap();
        assert_eq!(shape.busy, Busy { from: 1, hours: 2, working_days: false });
        let highest = State { cpu_cores: Some(8.0), memory_bytes: Some(GIB) };
        assert_eq!(shape.lower(highest).memory_bytes, highest.memory_bytes, "its memory is the same at all hours");
    }

    #[test]
    fn hours_are_those_of_the_wall() {
        let office = |day: i64, hour: i64| if day < 5 && (8..18).contains(&hour) { (2.0, 3e9) } else { (0.1, 4e8) };
        // January 1970: Kolkata is five and a half hours ahead of UTC.
        let shape = shape_of(21, "Asia/Kolkata".parse().unwrap(), office).unwrap();
        assert_eq!(shape.busy, Busy { from: 13, hours: 11, working_days: true });
        // In Auckland, twelve hours ahead, those evenings reach into the next day.
        let shape = shape_of(21, "Pacific/Auckland".parse().unwrap(), office).unwrap();
        assert_eq!(shape.busy, Busy { from: 20, hours: 10, working_days: true });
    }

    #[test]
    fn even_use_few_days_and_long_samples_have_no_quiet_hours() {
        assert!(shape_of(28, Zone::default(), |_, _| (1.0, 1e9)).is_none());
        let night = |_: i64, hour: i64| if (1..3).contains(&hour) { (6.0, 4e8) } else { (0.1, 4e8) };
        assert!(shape_of(13, Zone::default(), night).is_none());
        let rows: Vec<Row> = (0..21 * 24)
            .map(|i| Row { interval_s: 3600.0, ..Row::new("a/b", i * 60 * MINUTE, (i % 24) as f64, 1e9) })
            .collect();
        assert!(load(&rows).resources["a/b"].iter().all(|day| Hourly::of(day, Zone::default()).is_none()));
    }
}
