//! Limits that follow a calendar: the highest by default, lower ones in the hours of the week in which a resource is quiet.
//!
//! Owns the form of a calendar, the question which limits hold at a moment, and what a replay must have said before one is
//! proposed. Hours are those of a clock on the wall, in UTC or in the time zone that was asked for.

use super::{Evidence, Replay, literal};
use crate::Timestamp;
use crate::hours::Hours;
use crate::state::State;
use crate::time::{DAY, HOUR, MINUTE};
use crate::units::format_bytes;
use crate::zone::Zone;
use serde::{Deserialize, Serialize};

/// Limits are raised so long before an hour that was busy: a scheduler may be late.
pub const AHEAD: i64 = 15 * MINUTE;
/// What is in use is to be below a lower memory limit by this factor, or the limit stays.
pub const ROOM: f64 = 1.1;
/// Less than this share of what is reserved is not worth switching for.
pub const LEAST_SAVED: f64 = 0.1;
/// CPU samples above the limit that the calendar may add, as a share of all.
const MORE_THROTTLED: f64 = 0.001;
/// 1970 began on a Thursday.
const FIRST_DAY: i64 = 3;

/// Hours in a row in which a resource is busy, every day or from Monday to Friday. Hours over midnight belong to the day on
/// which they begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy {
    /// The first of them, 0 to 23.
    pub from: u32,
    /// How many, 1 to 23.
    pub hours: u32,
    /// Saturday and Sunday are quiet all day.
    pub working_days: bool,
}

impl Busy {
    /// Whether the limits are the highest when the clock on the wall shows this: in the busy hours and a quarter of an hour
    /// before.
    pub fn holds(self, at: Timestamp) -> bool {
        self.is_within(at, AHEAD)
    }

    /// Whether an hour of the week is busy; the first of the week is Monday's.
    pub fn is_hour(self, hour_of_week: usize) -> bool {
        // 1970-01-05 was a Monday.
        self.is_within(Timestamp(4 * DAY + hour_of_week as i64 * HOUR), 0)
    }

    fn is_within(self, at: Timestamp, ahead: i64) -> bool {
        let began = i64::from(self.from) * HOUR - ahead;
        let since = (at.0 - began).rem_euclid(DAY);
        // Of an hour before midnight that is kept for an hour after it, the day of the latter.
        let day = (at.0 - since + ahead).div_euclid(DAY);
        let is_weekend = (day + FIRST_DAY).rem_euclid(7) >= 5;
        since < i64::from(self.hours) * HOUR + ahead && !(self.working_days && is_weekend)
    }

    /// The same as windows of lower limits.
    pub fn quiet(self, limits: State) -> Vec<Quiet> {
        let clock = |at: i64| {
            let minutes = at.rem_euclid(DAY) / MINUTE;
            format!("{:02}:{:02}", minutes / 60, minutes % 60)
        };
        let (from, to) = (i64::from(self.from) * HOUR - AHEAD, i64::from(self.from + self.hours) * HOUR);
        let nights = Quiet { days: Vec::new(), from: clock(to), to: clock(from), limits };
        let weekend = || {
            // Hours that begin a quarter before midnight begin on the evening before.
            let days = if from < 0 { ["fri", "sat"] } else { ["sat", "sun"] };
            Quiet { days: days.map(str::to_owned).to_vec(), from: clock(from), to: clock(to), limits }
        };
        std::iter::once(nights).chain(self.working_days.then(weekend)).collect()
    }
}

/// Hours in which lower limits hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quiet {
    /// `mon` to `sun`; every day where none is named. Of hours over midnight, the day on which they begin.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub days: Vec<String>,
    /// `18:00`, in the time zone of the calendar.
    pub from: String,
    /// `07:45`, the next day where it is no later than `from`.
    pub to: String,
    /// All limits that then hold.
    pub limits: State,
}

impl Quiet {
    fn has(&self, wall: Timestamp) -> bool {
        let Self { days, from, to, .. } = self.clone();
        Hours { days, from, to, ..Hours::default() }.has(wall)
    }

    /// `every day 18:00 to 07:45`.
    pub(super) fn hours(&self) -> String {
        let days = if self.days.is_empty() { "every day".to_owned() } else { self.days.join(", ") };
        format!("{days} {} to {}", self.from, self.to)
    }
}

/// What a replay over a resource's own days said of a calendar, beside the same limits at all hours. Each day's hours and
/// lower limits are chosen from the days before it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// Days replayed.
    pub days: usize,
    /// The highest limits at all hours.
    pub constant: Replay,
    /// The calendar.
    pub calendar: Replay,
}

impl Trial {
    /// The share of the CPU limit that the calendar sets free, where it pays: that share is worth it, and throttles hardly
    /// more samples.
    pub fn saved_cpu(&self) -> Option<f64> {
        let (constant, calendar) = (&self.constant, &self.calendar);
        let risk = calendar.throttled_rate <= constant.throttled_rate + MORE_THROTTLED;
        saved(constant.cpu_limit_cores, calendar.cpu_limit_cores).filter(|_| risk)
    }

    /// The same of memory, where no day exceeds it that did not before.
    pub fn saved_memory(&self) -> Option<f64> {
        let (constant, calendar) = (&self.constant, &self.calendar);
        let risk = calendar.oom_days_per_1000 <= constant.oom_days_per_1000;
        saved(constant.memory_limit_bytes, calendar.memory_limit_bytes).filter(|_| risk)
    }
}

fn saved(constant: f64, calendar: f64) -> Option<f64> {
    let share = if constant > 0.0 { 1.0 - calendar / constant } else { 0.0 };
    Some(share).filter(|share| *share >= LEAST_SAVED)
}

/// A calendar of one resource.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Calendar {
    /// What holds outside the quiet hours: the limits of the item.
    pub highest: State,
    /// The hours with lower limits.
    pub quiet: Vec<Quiet>,
    /// Where the hours are those of the clock on the wall.
    #[serde(default, skip_serializing_if = "Zone::is_utc")]
    pub time_zone: Zone,
    /// Why it is proposed.
    pub trial: Trial,
}

impl Calendar {
    /// The limits that hold at a moment.
    pub fn at(&self, now: Timestamp) -> State {
        let wall = self.time_zone.wall(now);
        self.quiet.iter().find(|quiet| quiet.has(wall)).map_or(self.highest, |quiet| quiet.limits)
    }

    /// `0.40 cores, 512 MiB every day 18:00 to 07:45 and sat, sun 07:45 to 18:00 UTC`: the figures that change.
    pub fn in_words(&self) -> String {
        let hours: Vec<String> = self.quiet.iter().map(Quiet::hours).collect();
        let low = self.quiet.first().map_or(self.highest, |quiet| quiet.limits);
        let cpu = low.cpu_cores.filter(|_| low.cpu_cores != self.highest.cpu_cores);
        let memory = low.memory_bytes.filter(|_| low.memory_bytes != self.highest.memory_bytes);
        let figures: Vec<String> = cpu
            .map(|cores| format!("{cores:.2} cores"))
            .into_iter()
            .chain(memory.map(|bytes| format_bytes(bytes as f64)))
            .collect();
        format!("{} {} {}", figures.join(", "), hours.join(" and "), self.time_zone)
    }

    /// The replay, and the rows behind it: the highest use of each hour of the week.
    pub(super) fn evidence(&self, resource: &str) -> Evidence {
        let wall = match self.time_zone.is_utc() {
            true => "ts".to_owned(),
            false => format!("ts at time zone {}", literal(&self.time_zone.to_string())),
        };
        let sql = format!(
            "select extract(isodow from {wall}) as weekday, extract(hour from {wall}) as hour, \
             max(cpu_cores) as cpu_cores, max(memory_bytes) as memory_bytes \
             from marts.usage where resource = {} group by 1, 2 order by 1, 2",
            literal(resource)
        );
        Evidence::rows("calendar", self.why(), "backtest", sql)
    }

    /// What the replay said, in words.
    pub fn why(&self) -> String {
        let Trial { days, constant, calendar } = &self.trial;
        let share = |share: Option<f64>| share.map(|share| format!("{:.0} %", share * 100.0));
        let cpu = share(self.trial.saved_cpu()).map(|saved| format!("{saved} of the CPU limit"));
        let memory = share(self.trial.saved_memory()).map(|saved| format!("{saved} of the memory limit"));
        let saved: Vec<String> = cpu.into_iter().chain(memory).collect();
        format!(
            "sets {} free on average, over {days} replayed days; throttled {:.2} % of the samples (constant {:.2} %), \
             over memory on {:.0} of 1,000 days (constant {:.0})",
            saved.join(" and "),
            calendar.throttled_rate * 100.0,
            constant.throttled_rate * 100.0,
            calendar.oom_days_per_1000,
            constant.oom_days_per_1000
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(cores: f64) -> State {
        State { cpu_cores: Some(cores), memory_bytes: Some(1 << 30) }
    }

    #[test]
    fn windows_say_the_same_as_the_busy_hours_at_every_quarter_of_a_week() {
        for working_days in [false, true] {
            for (from, hours) in [(8, 10), (22, 4), (0, 2), (23, 1), (1, 23), (0, 23)] {
                let busy = Busy { from, hours, working_days };
                let highest = limits(4.0);
                let quiet = busy.quiet(limits(0.5));
                let calendar = Calendar { highest, quiet, time_zone: Zone::default(), trial: Trial::default() };
                for quarter in 0..14 * 96 {
                    let at = Timestamp(20_000 * DAY + quarter * 15 * MINUTE);
                    assert_eq!(calendar.at(at) == highest, busy.holds(at), "{busy:?} {at}");
                }
            }
        }
    }

    #[test]
    fn working_hours_are_raised_a_quarter_ahead_and_the_weekend_is_quiet() {
        let busy = Busy { from: 8, hours: 10, working_days: true };
        let at = |text: &str| Timestamp::parse(text).unwrap();
        // 2026-11-27 is a Friday.
        for (moment, highest) in [
            ("2026-11-27T07:44:59Z", false),
            ("2026-11-27T07:45:00Z", true),
            ("2026-11-27T17:59:59Z", true),
            ("2026-11-27T18:00:00Z", false),
            ("2026-11-28T10:00:00Z", false),
            ("2026-11-30T08:00:00Z", true),
        ] {
            assert_eq!(busy.holds(at(moment)), highest, "{moment}");
        }
        assert!(busy.is_hour(8) && !busy.is_hour(7) && !busy.is_hour(5 * 24 + 9));
    }

    #[test]
    fn a_calendar_pays_where_it_frees_enough_at_the_same_risk() {
        let replay = |cores: f64, throttled_rate: f64, bytes: f64, oom_days_per_1000: f64| Replay {
            cpu_limit_cores: cores,
            throttled_rate,
            memory_limit_bytes: bytes,
            oom_days_per_1000,
            ..Replay::default()
        };
        let trial = |calendar: Replay| Trial { days: 16, constant: replay(4.0, 0.0, 1e9, 0.0), calendar };
        let both = trial(replay(1.0, 0.001, 0.5e9, 0.0));
        assert_eq!((both.saved_cpu(), both.saved_memory()), (Some(0.75), Some(0.5)));
        let risky = trial(replay(1.0, 0.002, 0.5e9, 1.0));
        assert_eq!((risky.saved_cpu(), risky.saved_memory()), (None, None));
        assert_eq!(trial(replay(3.7, 0.0, 0.95e9, 0.0)).saved_cpu(), None, "too little");
    }
}
