//! Limits that follow a calendar, replayed beside the same limits at all hours.
//!
//! Which hours are quiet and what they are given is decided before each day from the days before it. A step down of memory is
//! taken where what is in use leaves room below it, else tried again at the next sample: no switch kills what runs. Whether
//! a calendar is used on a day is decided before it too, by what the days before would have come to under it.

use super::{Sums, Tally, Usage};
use crate::sizing::calendar::{Hourly, Shape, timed};
use crate::usage::Day;
use domain::plan::{Calendar, ROOM, Replay, State, Trial};
use domain::zone::Zone;

/// Days that a calendar was replayed over before it is judged.
const FEWEST_JUDGED: usize = 7;

/// The hours that the days of a resource so far ask for; the longer the past, the surer.
pub(super) struct Hours {
    zone: Zone,
    past: Vec<Hourly>,
}

impl Hours {
    pub(super) fn of(zone: Zone) -> Self {
        Self { zone, past: Vec::new() }
    }

    pub(super) fn learn(&mut self, day: &Day) {
        self.past.extend(Hourly::of(day, self.zone));
    }

    pub(super) fn shape(&self) -> Option<Shape> {
        Shape::of(&self.past, self.zone)
    }
}

/// A calendar on its way through the days.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Followed {
    pub(super) tally: Tally,
    /// Limits that were switched.
    pub(super) switches: u64,
    /// Whether each figure is at its lower limit.
    low: (bool, bool),
    /// Memory in use, as last seen.
    used: f64,
}

impl Followed {
    /// A day under the highest limits, and lower ones in its quiet hours.
    fn day(&mut self, today: &Day, shape: Shape, highest: State, lower: State) {
        self.tally.samples += today.samples as u64;
        if let Some((high, low)) = highest.cpu_cores.zip(lower.cpu_cores) {
            for (at, cores) in timed(today.day, &today.cpu) {
                let is_low = low < high && !shape.is_busy(at);
                self.switches += u64::from(is_low != self.low.0);
                self.low.0 = is_low;
                self.tally.cpu.sample(cores, if is_low { low } else { high });
            }
        }
        let Some((high, low)) = highest.memory_bytes.zip(lower.memory_bytes).filter(|_| !today.memory.is_empty())
        else {
            return;
        };
        let above = self.tally.memory.above;
        for (at, bytes) in timed(today.day, &today.memory) {
            let is_quiet = low < high && !shape.is_busy(at);
            let is_low = is_quiet && (self.low.1 || self.used * ROOM <= low as f64);
            self.switches += u64::from(is_low != self.low.1);
            self.low.1 = is_low;
            self.used = bytes;
            self.tally.memory.sample(bytes, if is_low { low } else { high } as f64);
        }
        self.tally.memory_days += 1;
        self.tally.violated_days += u64::from(self.tally.memory.above > above);
    }

    /// A day at the same limits all day.
    pub(super) fn constant(&mut self, today: &Day, limits: State) {
        self.tally.day(today, limits);
        self.switches += u64::from(self.low.0) + u64::from(self.low.1);
        self.low = (false, false);
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.tally.add(&other.tally);
        self.switches += other.switches;
    }

    pub(super) fn replay(&self) -> Replay {
        let days = self.tally.days.max(1) as f64;
        Replay { switches_per_month: Some(30.0 * self.switches as f64 / days), ..self.tally.replay() }
    }
}

impl Sums {
    fn sample(&mut self, value: f64, limit: f64) {
        self.samples += 1;
        self.limit += limit;
        self.slack += (limit - value).max(0.0);
        self.over += (value - limit).max(0.0);
        self.used += value;
        self.above += u64::from(value > limit);
    }
}

/// The same days with and without a calendar.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct OnTrial {
    constant: Tally,
    calendar: Followed,
}

impl OnTrial {
    pub(super) fn day(&mut self, today: &Day, shape: Shape, highest: State) {
        self.constant.days += 1;
        self.calendar.tally.days += 1;
        self.constant.day(today, highest);
        self.calendar.day(today, shape, highest, shape.lower(highest));
    }

    fn trial(&self) -> Trial {
        Trial { days: self.constant.days as usize, constant: self.constant.replay(), calendar: self.calendar.replay() }
    }

    /// The lower limits of the figures that it pays for so far; none where it pays for neither.
    pub(super) fn paying(&self, shape: Shape, highest: State) -> Option<(State, Trial)> {
        let trial = self.trial();
        if trial.days < FEWEST_JUDGED {
            return None;
        }
        let lower = shape.lower(highest);
        let lower = State {
            cpu_cores: trial.saved_cpu().map_or(highest.cpu_cores, |_| lower.cpu_cores),
            memory_bytes: trial.saved_memory().map_or(highest.memory_bytes, |_| lower.memory_bytes),
        };
        (lower != highest).then_some((lower, trial))
    }
}

/// A policy whose limits follow a calendar on the days on which that has paid so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct WithCalendar {
    pub(super) followed: Followed,
    so_far: OnTrial,
    /// Days on which it was followed.
    pub(super) days_followed: u64,
}

impl WithCalendar {
    /// Takes in a day whose limits were decided, and the hours that the days before it ask for.
    pub(super) fn day(&mut self, today: &Day, shape: Option<Shape>, limits: State) {
        self.followed.tally.days += 1;
        let Some(shape) = shape else { return self.followed.constant(today, limits) };
        match self.so_far.paying(shape, limits) {
            Some((lower, _)) => {
                self.days_followed += 1;
                self.followed.day(today, shape, limits, lower);
            }
            None => self.followed.constant(today, limits),
        }
        self.so_far.day(today, shape, limits);
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.followed.add(&other.followed);
        self.days_followed += other.days_followed;
    }
}

impl Usage {
    /// A calendar of a resource whose limits would be these at all hours, where its own recorded days say that it pays; its
    /// hours are those of the clock on the wall in a time zone.
    pub fn calendar(&self, resource: &str, highest: State, time_zone: Zone) -> Option<Calendar> {
        let days = self.resources.get(resource)?;
        let (mut hours, mut so_far) = (Hours::of(time_zone), OnTrial::default());
        for today in days {
            if let Some(shape) = hours.shape() {
                so_far.day(today, shape, highest);
            }
            hours.learn(today);
        }
        let shape = hours.shape()?;
        let (lower, trial) = so_far.paying(shape, highest)?;
        Some(Calendar { highest, quiet: shape.busy.quiet(lower), time_zone, trial })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::asked;
    use super::*;
    use crate::sizing::Policy;
    use crate::usage::tests::{Row, load};
    use domain::Timestamp;
    use domain::time::{DAY, MINUTE};
    use domain::units::GIB;

    /// Quarters of an hour from a Monday on: a build of 6 cores and 3 GB for two hours a night, noise else.
    fn nightly(days: i64, figures: impl Fn(i64, i64) -> Option<(f64, f64)>) -> Vec<Row> {
        let row = |i: i64| {
            let (day, hour) = (i / 96, i % 96 / 4);
            let build = if (1..3).contains(&hour) { (6.0, 3e9) } else { (0.1 + 0.01 * (i % 3) as f64, 4e8) };
            let (cpu, memory) = figures(day, hour).unwrap_or(build);
            let row = Row::new("a/b", 18 * DAY + (i + 1) * 15 * MINUTE, cpu, memory);
            Row { interval_s: 900.0, ..row }
        };
        (0..days * 96 - 1).map(row).collect()
    }

    const HIGHEST: State = State { cpu_cores: Some(8.0), memory_bytes: Some(4 * GIB) };

    #[test]
    fn a_nightly_build_gets_its_limits_at_night_and_frees_them_by_day() {
        let calendar = load(&nightly(28, |_, _| None)).calendar("a/b", HIGHEST, Zone::default()).unwrap();
        assert_eq!((calendar.trial.days, calendar.highest), (14, HIGHEST));
        assert!(calendar.trial.saved_cpu().unwrap() > 0.8 && calendar.trial.saved_memory().unwrap() > 0.7);
        let switches = calendar.trial.calendar.switches_per_month.unwrap();
        assert!((112.0..125.0).contains(&switches), "two of each figure a day: {switches}");
        let at = |hour: i64| calendar.at(Timestamp(60 * DAY + hour * 60 * MINUTE));
        assert_eq!((at(1), at(2)), (HIGHEST, HIGHEST));
        assert!(at(12).cpu_cores < Some(0.6) && at(12).memory_bytes < Some(GIB), "{:?}", at(12));
    }

    #[test]
    fn what_is_busy_at_another_hour_now_and_then_gets_none() {
        let odd = |day: i64, hour: i64| (day % 5 == 4 && hour == 12 + day % 7).then_some((6.0, 3e9));
        assert_eq!(load(&nightly(28, odd)).calendar("a/b", HIGHEST, Zone::default()), None);
        // Few days say nothing either.
        assert_eq!(load(&nightly(20, |_, _| None)).calendar("a/b", HIGHEST, Zone::default()), None);
    }

    #[test]
    fn no_step_down_of_memory_goes_below_what_is_in_use() {
        // On the last days the build keeps its memory until noon.
        let late = |day: i64, hour: i64| (day >= 24 && (3..12).contains(&hour)).then_some((0.1, 3e9));
        let usage = load(&nightly(26, late));
        let days = &usage.resources["a/b"];
        let mut hours = Hours::of(Zone::default());
        days[..24].iter().for_each(|day| hours.learn(day));
        let shape = hours.shape().unwrap();
        let mut followed = Followed::default();
        followed.day(&days[24], shape, HIGHEST, shape.lower(HIGHEST));
        assert_eq!((followed.tally.violated_days, followed.tally.memory.above), (0, 0));
        assert!(followed.low.1, "it came down after noon");
    }

    #[test]
    fn a_fleet_with_calendars_reserves_less_at_the_same_risk() {
        let frontier = load(&nightly(40, |_, _| None)).frontier(&[Policy::Ours], asked(None)).unwrap();
        let point = frontier.points.iter().find(|point| point.risk == 0.02).unwrap();
        let calendar = &point.calendar;
        assert_eq!((calendar.resources, calendar.replay.samples), (1, point.replay.samples));
        assert!(calendar.replay.cpu_limit_cores < 0.7 * point.replay.cpu_limit_cores, "{calendar:?}");
        assert!(calendar.replay.throttled_rate <= point.replay.throttled_rate + 0.001);
        assert_eq!(calendar.replay.oom_days_per_1000, point.replay.oom_days_per_1000);
        assert_eq!(calendar.replay.changes_per_month, point.replay.changes_per_month, "switches are counted apart");
    }
}
