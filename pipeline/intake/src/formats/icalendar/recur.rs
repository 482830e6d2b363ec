//! Recurrence rules, worked out on the wall clock of their event and within a window.
//!
//! The rule itself is the `rrule` crate's: it is asked in UTC for what are wall clocks, so that a window at ten in the evening is at
//! ten on both sides of a change of the clocks. However often a rule says that something comes, the work is bounded.

use chrono::{NaiveDateTime, TimeZone};
use domain::Reason;
use rrule::{Frequency, RRule, RRuleSet, Tz, Unvalidated};
use serde_json::{Map, Value};

/// Occurrences that are looked at up to the end of the window, of all rules of a calendar.
const LOOKED_AT: u64 = 2_000_000;
/// Of a single rule: eleven years of hours.
const OF_A_RULE: u64 = 100_000;
/// What a rule costs that comes to nothing: the crate gives up after so many steps.
const BARREN: u64 = 100_000;

/// What all series of a calendar may come to as text, in bytes: a small file must not become gigabytes.
const WRITTEN: usize = 64 << 20;

/// What may be spent on the series of a calendar.
#[derive(Debug)]
pub(super) struct Budget {
    looked_at: u64,
    written: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self { looked_at: LOOKED_AT, written: WRITTEN }
    }
}

impl Budget {
    /// Counts occurrences that were looked at, also in vain.
    fn look(&mut self, steps: u64) {
        self.looked_at = self.looked_at.saturating_sub(steps);
    }

    /// Counts so many events with these details.
    pub(super) fn write(&mut self, events: usize, details: &Map<String, Value>) -> Result<(), Reason> {
        let length: usize = details.values().map(|value| value.as_str().map_or(16, str::len)).sum();
        let left = self.written.checked_sub(events.saturating_mul(length + 256));
        self.written = left.ok_or(Reason::Format("its occurrences are too many for their length"))?;
        Ok(())
    }
}

/// The starts of a recurring event within a window, in order, as wall clocks. `local` is the wall clock of a moment in UTC, in
/// which a rule has its `UNTIL`.
pub(super) fn starts(
    rule: &str,
    first: NaiveDateTime,
    local: &dyn Fn(NaiveDateTime) -> NaiveDateTime,
    (from, to): (NaiveDateTime, NaiveDateTime),
    budget: &mut Budget,
) -> Result<Vec<NaiveDateTime>, Reason> {
    let wrong = Reason::Format("the recurrence rule cannot be read");
    let often = Reason::Format("it recurs too often, or began too long ago, to be worked out");
    if budget.looked_at == 0 {
        return Err(often);
    }
    let upper = rule.trim().to_ascii_uppercase();
    if upper.contains("FREQ=SECONDLY") || upper.contains("FREQ=MINUTELY") {
        return Err(Reason::Format("it recurs more often than every hour"));
    }
    let (rule, until) = without_until(&upper);
    let until = match until {
        // A date is the whole day, and a wall clock is one.
        Some(text) if text.len() == 8 => Some(read(&format!("{text}T235959")).ok_or(wrong.clone())?),
        Some(text) => Some(match text.strip_suffix('Z') {
            Some(utc) => local(read(utc).ok_or(wrong.clone())?),
            None => read(text).ok_or(wrong.clone())?,
        }),
        None => None,
    };
    if until.is_some_and(|until| until < first) {
        return Err(Reason::Format("its UNTIL is before its start"));
    }
    let start = Tz::UTC.from_utc_datetime(&first);
    let read: RRule<Unvalidated> = rule.parse().map_err(|_| wrong.clone())?;
    if matches!(read.get_freq(), Frequency::Secondly | Frequency::Minutely) {
        return Err(Reason::Format("it recurs more often than every hour"));
    }
    if read.get_by_minute().len() > 1 || read.get_by_second().len() > 1 {
        return Err(Reason::Format("it recurs more often than every hour"));
    }
    let count = read.get_count();
    let set = RRuleSet::new(start).rrule(read.validate(start).map_err(|_| wrong)?).limit();
    let end = until.map_or(to, |until| until.min(to));
    let (mut found, mut steps, mut passed) = (Vec::new(), 0, false);
    for at in &set {
        steps += 1;
        if steps > OF_A_RULE.min(budget.looked_at) {
            budget.look(steps);
            return Err(often);
        }
        let at = at.naive_utc();
        if at > end {
            passed = true;
            break;
        }
        if at >= from {
            found.push(at);
        }
    }
    let never = steps == 0;
    let all = count.is_some_and(|count| steps >= u64::from(count));
    if !passed && !all {
        steps += BARREN;
    }
    budget.look(steps);
    if never { Err(Reason::Format("it never occurs")) } else { Ok(found) }
}

fn read(text: &str) -> Option<NaiveDateTime> {
    NaiveDateTime::parse_from_str(text, "%Y%m%dT%H%M%S").ok()
}

/// A rule without its `UNTIL`, and that.
fn without_until(rule: &str) -> (String, Option<&str>) {
    let (mut kept, mut until) = (Vec::new(), None);
    for part in rule.split(';').filter(|part| !part.is_empty()) {
        match part.strip_prefix("UNTIL=") {
            Some(text) => until = Some(text),
            None => kept.push(part),
        }
    }
    (kept.join(";"), until)
}
