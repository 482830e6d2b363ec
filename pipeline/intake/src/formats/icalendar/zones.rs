//! Wall clocks of calendars, and what they are in UTC: zones by their IANA names, and those that a calendar defines.

use super::lines::Component;
use super::recur;
use chrono::{DateTime, Datelike, Duration, LocalResult, NaiveDate, NaiveDateTime, NaiveTime, Offset, TimeZone};
use chrono_tz::Tz;
use domain::Reason;
use domain::time::Timestamp;
use std::collections::HashMap;

/// Changes of a defined zone are worked out up to here.
const LAST_CHANGE: i32 = 2100;
/// Years that a time may be in.
const YEARS: std::ops::RangeInclusive<i32> = 1900..=2300;

/// A zone that a calendar defines (`VTIMEZONE`): the offset before its first change, and each change: the wall clock
/// before it, and the seconds east of UTC from then on.
#[derive(Clone, Debug)]
pub(super) struct Defined {
    before: i32,
    changes: Vec<(NaiveDateTime, i32)>,
}

/// The clock that a time is of.
#[derive(Clone, Debug)]
pub(super) enum Zone {
    /// A zone of the IANA database.
    Iana(Tz),
    /// One of the calendar's own.
    Defined(Defined),
}

impl Zone {
    pub(super) const UTC: Self = Self::Iana(Tz::UTC);

    /// A wall clock as UTC. A time that comes twice is its first; one that is left out counts by the offset before the
    /// gap (RFC 5545, 3.3.5).
    pub(super) fn utc(&self, local: NaiveDateTime) -> NaiveDateTime {
        match self {
            Self::Iana(tz) => match tz.from_local_datetime(&local) {
                LocalResult::Single(at) | LocalResult::Ambiguous(at, _) => at.naive_utc(),
                LocalResult::None => {
                    let before = tz.offset_from_utc_datetime(&(local - Duration::days(1)));
                    local - Duration::seconds(i64::from(before.fix().local_minus_utc()))
                }
            },
            Self::Defined(zone) => {
                let past = zone.changes.partition_point(|(at, _)| *at <= local);
                let offset = past.checked_sub(1).map_or(zone.before, |last| zone.changes[last].1);
                local - Duration::seconds(i64::from(offset))
            }
        }
    }

    /// UTC as this wall clock.
    pub(super) fn local(&self, utc: NaiveDateTime) -> NaiveDateTime {
        match self {
            Self::Iana(tz) => tz.from_utc_datetime(&utc).naive_local(),
            Self::Defined(zone) => {
                let mut offset = zone.before;
                for (at, next) in &zone.changes {
                    if *at - Duration::seconds(i64::from(offset)) > utc {
                        break;
                    }
                    offset = *next;
                }
                utc + Duration::seconds(i64::from(offset))
            }
        }
    }
}

/// The zones of one calendar.
#[derive(Debug)]
pub(super) struct Zones {
    defined: HashMap<String, Defined>,
    /// Of times without a zone: the calendar's, else UTC.
    floating: Zone,
}

impl Zones {
    /// Of a calendar.
    pub(super) fn of(calendar: &Component) -> Self {
        let mut defined = HashMap::new();
        for zone in calendar.inner.iter().filter(|inner| inner.name == "VTIMEZONE") {
            if let (Some(id), Some(read)) = (zone.text("TZID"), define(zone)) {
                defined.insert(id, read);
            }
        }
        let mut zones = Self { defined, floating: Zone::UTC };
        if let Some(zone) = calendar.text("X-WR-TIMEZONE").and_then(|name| zones.named(&name)) {
            zones.floating = zone;
        }
        zones
    }

    /// The zone of that name: of the IANA database, also at the end of a path (`/example.org/Europe/Berlin`), else of the calendar.
    fn named(&self, name: &str) -> Option<Zone> {
        let endings = std::iter::once(name).chain(name.match_indices('/').map(|(at, _)| &name[at + 1..]));
        let known = endings.filter_map(|ending| ending.parse::<Tz>().ok()).next();
        known.map(Zone::Iana).or_else(|| self.defined.get(name).cloned().map(Zone::Defined))
    }

    /// Reads a date or time; `zone` is the `TZID` parameter.
    pub(super) fn read(&self, text: &str, zone: Option<&str>) -> Result<When, Reason> {
        let text = text.trim();
        let wrong = Reason::Format("a date or time cannot be read");
        if let Some(date) = NaiveDate::parse_from_str(text, "%Y%m%d").ok().filter(|date| YEARS.contains(&date.year())) {
            return Ok(When { local: date.and_time(NaiveTime::MIN), is_date: true, zone: self.floating.clone() });
        }
        let (text, is_utc) = match text.strip_suffix(['Z', 'z']) {
            Some(rest) => (rest, true),
            None => (text, false),
        };
        let local = NaiveDateTime::parse_from_str(text, "%Y%m%dT%H%M%S").map_err(|_| wrong.clone())?;
        if !YEARS.contains(&local.year()) {
            return Err(wrong);
        }
        let zone = match zone {
            _ if is_utc => Zone::UTC,
            Some(name) => self
                .named(name)
                .ok_or(Reason::Format("the time zone is neither in the IANA database nor defined in the calendar"))?,
            None => self.floating.clone(),
        };
        Ok(When { local, is_date: false, zone })
    }
}

/// A date or time of a calendar.
#[derive(Clone, Debug)]
pub(super) struct When {
    pub(super) local: NaiveDateTime,
    /// A whole day.
    pub(super) is_date: bool,
    pub(super) zone: Zone,
}

impl When {
    pub(super) fn utc(&self) -> NaiveDateTime {
        self.zone.utc(self.local)
    }
}

/// As an event has it.
pub(super) fn timestamp(utc: NaiveDateTime) -> Timestamp {
    Timestamp(utc.and_utc().timestamp_micros())
}

/// As calendars have it.
pub(super) fn naive(at: Timestamp) -> NaiveDateTime {
    DateTime::from_timestamp_micros(at.0).unwrap_or_default().naive_utc()
}

/// `+0100`, `-073000` as seconds.
fn offset(text: &str) -> Option<i32> {
    let (sign, digits) = match text.trim().split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return None,
    };
    if !matches!(digits.len(), 4 | 6) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let part = |at: usize| digits.get(at..at + 2).map_or(Some(0), |part| part.parse::<i32>().ok());
    let seconds = part(0)? * 3600 + part(2)? * 60 + part(4)?;
    (seconds < 24 * 3600).then_some(sign * seconds)
}

/// A `VTIMEZONE` with its changes worked out; none where it says too little.
fn define(zone: &Component) -> Option<Defined> {
    let mut changes = Vec::new();
    let mut first: Option<(NaiveDateTime, i32)> = None;
    for part in zone.inner.iter().filter(|part| matches!(part.name.as_str(), "STANDARD" | "DAYLIGHT")) {
        let start = NaiveDateTime::parse_from_str(part.text("DTSTART")?.trim(), "%Y%m%dT%H%M%S").ok()?;
        let (from, to) = (offset(&part.text("TZOFFSETFROM")?)?, offset(&part.text("TZOFFSETTO")?)?);
        if first.is_none_or(|(at, _)| start < at) {
            first = Some((start, from));
        }
        changes.push((start, to));
        for dates in part.all("RDATE") {
            let read = |text: &str| NaiveDateTime::parse_from_str(text.trim(), "%Y%m%dT%H%M%S").ok();
            changes.extend(dates.value.split(',').filter_map(read).map(|at| (at, to)));
        }
        if let Some(rule) = part.get("RRULE") {
            // Its UNTIL is in UTC.
            let local = |utc: NaiveDateTime| utc + Duration::seconds(i64::from(from));
            let last = NaiveDate::from_ymd_opt(LAST_CHANGE, 1, 1)?.and_time(NaiveTime::MIN);
            let found = recur::starts(&rule.value, start, &local, (start, last), &mut recur::Budget::default()).ok()?;
            changes.extend(found.into_iter().map(|at| (at, to)));
        }
    }
    changes.sort_unstable();
    changes.dedup();
    Some(Defined { before: first?.1, changes })
}
