//! Points in time and spans, in UTC microseconds, and how people write them.

use chrono::{DateTime, NaiveDate, SecondsFormat, TimeZone, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// Microseconds in a second.
pub const SECOND: i64 = 1_000_000;
/// Microseconds in a minute.
pub const MINUTE: i64 = 60 * SECOND;
/// Microseconds in an hour.
pub const HOUR: i64 = 60 * MINUTE;
/// Microseconds in a day.
pub const DAY: i64 = 24 * HOUR;

/// 2200-01-01T00:00:00Z: a later `ts` is a broken clock, not an event.
const YEAR_2200: i64 = 7_258_118_400 * SECOND;

/// A moment, in microseconds since 1970 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Reads RFC 3339 with any offset; finer than a microsecond is cut off.
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(usual) = Self::parse_usual(text.as_bytes()) {
            return Some(usual);
        }
        let parsed = DateTime::parse_from_rfc3339(text.trim()).ok()?;
        Some(Self(parsed.timestamp_micros()))
    }

    /// `YYYY-MM-DDTHH:MM:SS[.fraction]Z`, the way nearly every program writes it, in a tenth of the time.
    fn parse_usual(text: &[u8]) -> Option<Self> {
        let number = |range: std::ops::Range<usize>| {
            text.get(range)?
                .iter()
                .try_fold(0i64, |n, digit| digit.is_ascii_digit().then(|| n * 10 + i64::from(digit - b'0')))
        };
        let (&last, rest) = text.get(19..)?.split_last()?;
        let marks = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
        if last != b'Z' || marks.iter().any(|(at, mark)| text[*at] != *mark) {
            return None;
        }
        let micros = match rest {
            [] => 0,
            [b'.', digits @ ..] if (1..=9).contains(&digits.len()) => {
                let given = number(20..20 + digits.len().min(6))?;
                number(20..20 + digits.len())?;
                given * 10i64.pow(6 - digits.len().min(6) as u32)
            }
            _ => return None,
        };
        let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
        let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
        if hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let date = NaiveDate::from_ymd_opt(year as i32, month as u32, day as u32)?;
        let days = i64::from(date.to_epoch_days());
        Some(Self(days * DAY + hour * HOUR + minute * MINUTE + second * SECOND + micros))
    }

    /// Whether an event may carry this time: from 1970 up to 2200.
    pub fn is_usable(self) -> bool {
        (0..YEAR_2200).contains(&self.0)
    }

    /// This moment moved by `micros`.
    #[must_use]
    pub fn plus(self, micros: i64) -> Self {
        Self(self.0.saturating_add(micros))
    }

    /// Whole days since 1970-01-01: the partition of the lake.
    pub fn day(self) -> i32 {
        i32::try_from(self.0.div_euclid(DAY)).unwrap_or(i32::MAX)
    }

    /// `YYYYMMDDTHHMMSSZ`, for names of files and versions.
    pub fn compact(self) -> String {
        self.utc().format("%Y%m%dT%H%M%SZ").to_string()
    }

    /// `YYYY-MM-DD`, as partitions are named.
    pub fn date(self) -> String {
        self.utc().format("%Y-%m-%d").to_string()
    }

    /// `YYYY-MM-DDTHH:MM:SS.mmmZ`, cut to the millisecond, as the statistics of a Delta table have it.
    pub fn millis(self) -> String {
        self.utc().to_rfc3339_opts(SecondsFormat::Millis, true)
    }

    /// `YYYY-MM-DD HH:MM`, for people.
    pub fn minute(self) -> String {
        self.utc().format("%Y-%m-%d %H:%M").to_string()
    }

    fn utc(self) -> DateTime<Utc> {
        Utc.timestamp_micros(self.0).single().unwrap_or_default()
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.utc().to_rfc3339_opts(SecondsFormat::AutoSi, true))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom(format!("not an RFC 3339 time: {text}")))
    }
}

/// Reads a span written `90s 15m 24h 30d 8w`, in microseconds.
pub fn parse_span(text: &str) -> Option<i64> {
    let text = text.trim();
    let unit = match text.chars().last()? {
        's' => SECOND,
        'm' => MINUTE,
        'h' => HOUR,
        'd' => DAY,
        'w' => 7 * DAY,
        _ => return None,
    };
    let amount: i64 = text[..text.len() - 1].parse().ok()?;
    (amount >= 0).then(|| amount.checked_mul(unit)).flatten()
}

/// Writes a span the way [`parse_span`] reads it, in the largest unit that divides it.
pub fn format_span(micros: i64) -> String {
    let (unit, letter) = [(DAY, 'd'), (HOUR, 'h'), (MINUTE, 'm')]
        .into_iter()
        .find(|(unit, _)| micros != 0 && micros % unit == 0)
        .unwrap_or((SECOND, 's'));
    format!("{}{letter}", micros / unit)
}

/// The start of a window: a span back from `now`, a date, or a time. `None` when unreadable or not in the past.
pub fn parse_since(text: &str, now: Timestamp) -> Option<Timestamp> {
    let at = if let Some(span) = parse_span(text) {
        now.plus(-span)
    } else if let Ok(date) = NaiveDate::parse_from_str(text.trim(), "%Y-%m-%d") {
        Timestamp(date.and_hms_opt(0, 0, 0)?.and_utc().timestamp_micros())
    } else {
        Timestamp::parse(text)?
    };
    (at <= now).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_become_utc() {
        let t = Timestamp::parse("2026-10-01T02:08:13+02:00").unwrap();
        assert_eq!(t.to_string(), "2026-10-01T00:08:13Z");
        assert_eq!(t.compact(), "20261001T000813Z");
    }

    #[test]
    fn the_usual_way_to_write_a_time_is_read_as_any_other() {
        for text in [
            "2026-02-28T23:59:59Z",
            "2024-02-29T00:00:00.1Z",
            "2026-10-01T02:08:13.123456789Z",
            "1969-12-31T23:59:59.999999Z",
            "0000-01-01T00:00:00Z",
            "9999-12-31T23:59:59Z",
        ] {
            let slow = DateTime::parse_from_rfc3339(text).unwrap().timestamp_micros();
            assert_eq!(Timestamp::parse_usual(text.as_bytes()), Some(Timestamp(slow)), "{text}");
        }
        for text in [
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:00:00.Z",
            "2026-01-01T00:00:0xZ",
            "é026-01-01T00:00:00Z",
        ] {
            assert_eq!(Timestamp::parse(text), None, "{text}");
        }
    }

    #[test]
    fn only_1970_to_2200_is_usable() {
        for (text, usable) in [
            ("1969-12-31T23:59:59Z", false),
            ("1970-01-01T00:00:00Z", true),
            ("2199-12-31T23:59:59.999999Z", true),
            ("2200-01-01T00:00:00Z", false),
            ("9999-12-31T23:59:59Z", false),
        ] {
            assert_eq!(Timestamp::parse(text).unwrap().is_usable(), usable, "{text}");
        }
        assert!(Timestamp::parse("0000-13-01T00:00:00Z").is_none());
    }

    #[test]
    fn spans_read_as_written() {
        assert_eq!(parse_span("90s"), Some(90 * SECOND));
        assert_eq!(parse_span("8w"), Some(56 * DAY));
        for bad in ["", "d", "-3d", "3y", "1.5h", "99999999999999999d", "３d", "3é"] {
            assert_eq!(parse_span(bad), None, "{bad}");
        }
        assert_eq!(format_span(30 * DAY), "30d");
        assert_eq!(format_span(90 * SECOND), "90s");
    }

    #[test]
    fn since_is_never_in_the_future() {
        let now = Timestamp::parse("2026-10-31T00:00:00Z").unwrap();
        assert_eq!(parse_since("30d", now).unwrap().to_string(), "2026-10-01T00:00:00Z");
        assert_eq!(parse_since("2026-10-02", now).unwrap().to_string(), "2026-10-02T00:00:00Z");
        assert_eq!(parse_since("2026-11-02", now), None);
        assert_eq!(parse_since("soon", now), None);
    }
}
