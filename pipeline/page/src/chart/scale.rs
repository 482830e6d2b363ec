//! From values to places: ranges, and ticks at round numbers and at whole hours, days and months.

use crate::unit::Unit;
use domain::Timestamp;
use domain::time::{DAY, HOUR};
use serde::{Deserialize, Serialize};

/// What runs along the bottom.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scale {
    /// Microseconds since 1970.
    #[default]
    Time,
    /// Any number.
    Number,
}

/// From a range of values to one of places.
#[derive(Clone, Copy)]
pub(super) struct Axis {
    pub(super) low: f64,
    pub(super) high: f64,
    from: f64,
    to: f64,
}

impl Axis {
    /// One whose range is never empty.
    pub(super) fn new((low, high): (f64, f64), (from, to): (f64, f64)) -> Self {
        let (low, high) = if low.is_finite() && high.is_finite() { (low, high) } else { (0.0, 1.0) };
        let high = if high > low { high } else { low + 1.0_f64.max(low.abs() * 1e-6) };
        Self { low, high, from, to }
    }

    /// From 0 to a little above the largest of these.
    pub(super) fn from_zero(values: impl Iterator<Item = f64>, places: (f64, f64)) -> Self {
        let (low, high) = values.filter(|v| v.is_finite()).fold((0.0_f64, 0.0_f64), |(l, h), v| (l.min(v), h.max(v)));
        let high = if high > low { high } else { 1.0 };
        Self::new((low, high + (high - low) * 0.06), places)
    }

    pub(super) fn place(&self, value: f64) -> f64 {
        // Halves: the difference of two large numbers is none.
        let share = (value / 2.0 - self.low / 2.0) / (self.high / 2.0 - self.low / 2.0);
        self.from + (self.to - self.from) * share.clamp(-0.02, 1.02)
    }

    /// Round values, with their words; the last one has the unit.
    pub(super) fn ticks(&self, unit: Unit, count: usize) -> Vec<(f64, String)> {
        let (one, called) = unit.axis(self.high.abs().max(self.low.abs()));
        let step = round_step((self.high / one - self.low / one) / count as f64);
        let first = (self.low / one / step).ceil();
        let values = (0..=count + 2).map(|n| (first + n as f64) * step).filter(|v| *v * one <= self.high);
        let mut ticks: Vec<(f64, String)> =
            values.map(|value| (value * one, Unit::Plain.format(value))).filter(|(at, _)| at.is_finite()).collect();
        if let Some((_, last)) = ticks.last_mut().filter(|_| !called.is_empty()) {
            *last = format!("{last} {called}");
        }
        ticks
    }

    /// Times at whole hours, days or weeks.
    pub(super) fn times(&self, count: usize) -> Vec<(f64, String)> {
        const STEPS: [i64; 14] = [
            HOUR / 60,
            HOUR / 12,
            HOUR / 4,
            HOUR,
            3 * HOUR,
            6 * HOUR,
            12 * HOUR,
            DAY,
            2 * DAY,
            5 * DAY,
            7 * DAY,
            14 * DAY,
            30 * DAY,
            91 * DAY,
        ];
        let span = self.high - self.low;
        let wanted = span / count as f64;
        let step = STEPS.iter().copied().find(|step| *step as f64 >= wanted).unwrap_or_else(|| {
            let years = (wanted / (365.0 * DAY as f64)).ceil().min(1e5);
            (years as i64).saturating_mul(365 * DAY)
        });
        let first = (self.low / step as f64).ceil();
        let at = |n: usize| (first + n as f64) * step as f64;
        let times = (0..=count + 1).map(at).filter(|time| *time <= self.high);
        times.map(|time| (time, time_in_words(time as i64, step < DAY))).collect()
    }
}

/// `12 Nov`, or `14:00`.
fn time_in_words(micros: i64, hours: bool) -> String {
    let text = Timestamp(micros).minute();
    let part = |range| text.get(range).unwrap_or_default();
    if hours && micros.rem_euclid(DAY) != 0 {
        return part(11..16).to_owned();
    }
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = part(5..7).parse::<usize>().ok().and_then(|month| MONTHS.get(month.wrapping_sub(1)));
    format!("{} {}", part(8..10).trim_start_matches('0'), month.unwrap_or(&""))
}

/// 1, 2 or 5 times a power of ten.
fn round_step(wanted: f64) -> f64 {
    if !wanted.is_finite() || wanted <= 0.0 {
        return 1.0;
    }
    let power = 10f64.powf(wanted.log10().floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|factor| factor * power >= wanted * 0.999).unwrap_or(10.0);
    (factor * power).max(f64::MIN_POSITIVE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(ticks: Vec<(f64, String)>) -> Vec<String> {
        ticks.into_iter().map(|(_, word)| word).collect()
    }

    #[test]
    fn ticks_are_round_and_the_last_one_has_the_unit() {
        let axis = Axis::from_zero([1.96].into_iter(), (100.0, 0.0));
        assert_eq!(words(axis.ticks(Unit::Cores, 4)), ["0", "1", "2 cores"]);
        let axis = Axis::from_zero([8.0 * 1073741824.0].into_iter(), (100.0, 0.0));
        assert_eq!(words(axis.ticks(Unit::Bytes, 4)), ["0", "5 GiB"]);
        let axis = Axis::from_zero([0.5].into_iter(), (0.0, 100.0));
        assert_eq!(words(axis.ticks(Unit::Share, 5)), ["0", "20", "40 %"]);
    }

    #[test]
    fn times_are_whole_hours_and_days() {
        let at = |text: &str| Timestamp::parse(text).map_or(0.0, |time| time.0 as f64);
        let month = Axis::new((at("2026-10-23T00:00:00Z"), at("2026-11-22T00:00:00Z")), (0.0, 100.0));
        assert_eq!(words(month.times(5)).first().map(String::as_str), Some("29 Oct"));
        let day = Axis::new((at("2026-10-23T08:10:00Z"), at("2026-10-23T15:00:00Z")), (0.0, 100.0));
        assert_eq!(words(day.times(5)), ["09:00", "12:00", "15:00"]);
    }

    #[test]
    fn nothing_and_everything_have_a_place() {
        for (low, high) in [(0.0, 0.0), (f64::NAN, 1.0), (-1e300, 1e300), (5.0, 5.0)] {
            let axis = Axis::new((low, high), (0.0, 100.0));
            assert!((-3.0..=103.0).contains(&axis.place(5.0)), "{low} {high}: {}", axis.place(5.0));
            assert!(axis.ticks(Unit::Plain, 4).len() <= 7);
            assert!(axis.times(5).len() <= 7);
        }
    }
}
