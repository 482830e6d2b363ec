//! When a resource may be changed: windows, in which alone it may, and quiet hours, in which it may not.
//!
//! Owns the rules as people write them beside their overrides, and the question whether a moment is allowed. Knows no clock
//! and no time zones: hours of the day are UTC, or an offset from it that the rule says.

use crate::Timestamp;
use crate::overrides::matches;
use crate::time::{DAY, HOUR, MINUTE};
use serde::{Deserialize, Serialize};

/// The days of a week, as they are written; 1970 began on the fourth.
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const FIRST_DAY: i64 = 3;
/// So far ahead the next allowed minute is looked for.
const AHEAD: i64 = 35 * DAY;

/// Hours for the resources that match.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hours {
    /// `env/service`; `*` stands for any run of characters.
    pub resource: String,
    /// `mon` to `sun`; every day where none is named. Of hours over midnight, the day on which they begin.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub days: Vec<String>,
    /// `22:00`; or a moment, `2026-12-24T00:00:00Z`.
    pub from: String,
    /// `06:00`, the next day where it is no later than `from`; or a moment.
    pub to: String,
    /// `+01:00`, of hours of the day; UTC where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<String>,
    /// Shown where it refuses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// When the resources of a plan may be changed, as it was when the plan was made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Timetable {
    /// Of the windows that match a resource, it is changed in any, and at no other time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub window: Vec<Hours>,
    /// And never in these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quiet: Vec<Hours>,
}

/// Why a resource may not be changed at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    /// In words.
    pub why: String,
    /// The next minute at which it may; none within five weeks.
    pub opens: Option<Timestamp>,
}

/// What `from` and `to` mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Span {
    /// Two moments.
    Once(i64, i64),
    /// Of each day, from its beginning.
    Daily(i64, i64),
}

/// An offset from UTC such as `+01:00`, in microseconds.
pub(crate) fn parse_offset(text: &str) -> Option<i64> {
    let (sign, rest) = text.split_at_checked(1)?;
    let span = of_day(rest).filter(|span| *span <= 14 * HOUR)?;
    match sign {
        "+" => Some(span),
        "-" => Some(-span),
        _ => None,
    }
}

impl Hours {
    fn span(&self) -> Option<Span> {
        if let (Some(from), Some(to)) = (Timestamp::parse(&self.from), Timestamp::parse(&self.to)) {
            return (from < to && self.days.is_empty() && self.offset.is_none()).then_some(Span::Once(from.0, to.0));
        }
        let (from, to) = (of_day(&self.from)?, of_day(&self.to)?);
        Some(Span::Daily(from % DAY, if to <= from { to + DAY } else { to }))
    }

    fn offset(&self) -> Option<i64> {
        self.offset.as_deref().map_or(Some(0), parse_offset)
    }

    /// What of it cannot be understood.
    fn check(&self) -> Result<(), String> {
        let wrong = |what: &str| Err(format!("{}: {what}", self.resource));
        if let Some(day) = self.days.iter().find(|day| !DAYS.contains(&day.as_str())) {
            return wrong(&format!("{day:?} is none of {}", DAYS.join(", ")));
        }
        if self.offset().is_none() {
            return wrong(&format!("the offset {:?} is none such as +01:00", self.offset.clone().unwrap_or_default()));
        }
        match self.span() {
            Some(_) => Ok(()),
            None => wrong(&format!(
                "{:?} to {:?} are neither hours such as 22:00 to 06:00, nor two moments in order and without days",
                self.from, self.to
            )),
        }
    }

    pub(crate) fn has(&self, at: Timestamp) -> bool {
        let Some(span) = self.span() else { return false };
        let (from, to) = match span {
            Span::Once(from, to) => return (from..to).contains(&at.0),
            Span::Daily(from, to) => (from, to),
        };
        let local = at.0 + self.offset().unwrap_or_default();
        // It began today, or yesterday and goes on over midnight.
        [0, 1].into_iter().any(|ago| {
            let day = local.div_euclid(DAY) - ago;
            let since = local - day * DAY;
            let name = DAYS[(day + FIRST_DAY).rem_euclid(7) as usize];
            (from..to).contains(&since) && (self.days.is_empty() || self.days.iter().any(|named| named == name))
        })
    }

    fn in_words(&self) -> String {
        let days = if self.days.is_empty() { String::new() } else { format!("{} ", self.days.join(", ")) };
        let offset = match (self.span(), &self.offset) {
            (Some(Span::Once(..)), _) => String::new(),
            (_, None) => " UTC".to_owned(),
            (_, Some(offset)) => format!(" {offset}"),
        };
        let why = self.reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
        format!("{days}{} to {}{offset}{why}", self.from, self.to)
    }
}

impl Timetable {
    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        self.window.is_empty() && self.quiet.is_empty()
    }

    /// Its rules, one a line.
    pub fn in_words(&self) -> Vec<String> {
        let only = self.window.iter().map(|it| format!("{} is changed only {}", it.resource, it.in_words()));
        let never = self.quiet.iter().map(|it| format!("{} is not changed {}", it.resource, it.in_words()));
        only.chain(never).collect()
    }

    /// Whether a rule is about a resource.
    pub fn concerns(&self, resource: &str) -> bool {
        self.window.iter().chain(&self.quiet).any(|hours| matches(&hours.resource, resource))
    }

    /// What of it cannot be understood.
    ///
    /// # Errors
    /// The rule that cannot, in words.
    pub fn check(&self) -> Result<(), String> {
        self.window.iter().chain(&self.quiet).try_for_each(Hours::check)
    }

    /// Whether a resource may be changed at a moment.
    ///
    /// # Errors
    /// Why not, and until when.
    pub fn allows(&self, resource: &str, now: Timestamp) -> Result<(), Closed> {
        let Some(why) = self.closed(resource, now) else { return Ok(()) };
        let first = now.0.div_euclid(MINUTE) + 1;
        let mut minutes = (first..first + AHEAD / MINUTE).map(|minute| Timestamp(minute * MINUTE));
        Err(Closed { why, opens: minutes.find(|at| self.closed(resource, *at).is_none()) })
    }

    fn closed(&self, resource: &str, at: Timestamp) -> Option<String> {
        if let Some(quiet) = self.quiet.iter().find(|it| matches(&it.resource, resource) && it.has(at)) {
            return Some(format!("these are quiet hours, {}", quiet.in_words()));
        }
        let own: Vec<&Hours> = self.window.iter().filter(|it| matches(&it.resource, resource)).collect();
        if own.is_empty() || own.iter().any(|it| it.has(at)) {
            return None;
        }
        let all: Vec<String> = own.iter().map(|it| it.in_words()).collect();
        Some(format!("it is changed only {}", all.join(", or ")))
    }
}

/// `22:00` as a span from the beginning of a day; `24:00` is its end.
fn of_day(text: &str) -> Option<i64> {
    let (hour, minute) = text.split_once(':')?;
    let figure = |text: &str| -> Option<i64> {
        (text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
    };
    let (hour, minute) = (figure(hour)?, figure(minute)?);
    let span = hour * HOUR + minute * MINUTE;
    (minute < 60 && span <= DAY).then_some(span)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hours(resource: &str, days: &[&str], from: &str, to: &str) -> Hours {
        let days = days.iter().map(|day| (*day).to_owned()).collect();
        Hours { resource: resource.into(), days, from: from.into(), to: to.into(), ..Hours::default() }
    }

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    #[test]
    fn a_window_over_midnight_belongs_to_the_day_on_which_it_begins() {
        // 2026-11-27 is a Friday.
        let table = Timetable { window: vec![hours("dev/*", &["fri"], "22:00", "06:00")], quiet: Vec::new() };
        for (moment, allowed) in [
            ("2026-11-27T21:59:59Z", false),
            ("2026-11-27T22:00:00Z", true),
            ("2026-11-28T05:59:59Z", true),
            ("2026-11-28T06:00:00Z", false),
            ("2026-11-28T22:30:00Z", false),
            ("2026-11-27T05:00:00Z", false),
        ] {
            assert_eq!(table.allows("dev/web", at(moment)).is_ok(), allowed, "{moment}");
            assert!(table.allows("ci/web", at(moment)).is_ok(), "no window is about it");
        }
        let closed = table.allows("dev/web", at("2026-11-28T06:00:00Z")).unwrap_err();
        assert_eq!(closed.opens, Some(at("2026-12-04T22:00:00Z")));
        assert_eq!(closed.why, "it is changed only fri 22:00 to 06:00 UTC");
        assert_eq!(table.in_words(), ["dev/* is changed only fri 22:00 to 06:00 UTC"]);
    }

    #[test]
    fn quiet_hours_are_stronger_than_any_window() {
        let mut freeze = hours("*", &[], "2026-12-20T00:00:00Z", "2027-01-02T00:00:00Z");
        freeze.reason = Some("the freeze".into());
        let table = Timetable { window: vec![hours("*", &[], "20:00", "24:00")], quiet: vec![freeze] };
        assert!(table.allows("a/b", at("2026-12-19T21:00:00Z")).is_ok());
        let closed = table.allows("a/b", at("2026-12-20T21:00:00Z")).unwrap_err();
        assert_eq!(closed.opens, Some(at("2027-01-02T20:00:00Z")));
        assert!(
            closed.why.starts_with("these are quiet hours, 2026-12-20T00:00:00Z to") && closed.why.ends_with("freeze")
        );
        let working = Timetable { window: Vec::new(), quiet: vec![hours("*", &[], "09:00", "09:00")] };
        assert_eq!(working.allows("a/b", at("2026-12-20T21:00:00Z")).unwrap_err().opens, None, "all day, every day");
    }

    #[test]
    fn hours_are_of_the_offset_that_is_said() {
        let mut window = hours("*", &["mon"], "00:00", "02:00");
        window.offset = Some("+05:30".into());
        let table = Timetable { window: vec![window], quiet: Vec::new() };
        // 2026-11-30 is a Monday; it begins there at half past six on the evening before.
        assert!(table.allows("a/b", at("2026-11-29T18:30:00Z")).is_ok());
        assert!(table.allows("a/b", at("2026-11-29T20:30:00Z")).is_err());
        assert!(table.allows("a/b", at("2026-11-30T00:30:00Z")).is_err());
    }

    #[test]
    fn what_cannot_be_understood_is_named() {
        let table = |hours: Hours| Timetable { window: vec![hours], quiet: Vec::new() };
        let offset = Hours { offset: Some("CET".into()), ..hours("d/*", &[], "20:00", "22:00") };
        for (wrong, says) in [
            (hours("d/*", &["monday"], "20:00", "22:00"), "\"monday\" is none of mon"),
            (hours("d/*", &[], "8pm", "22:00"), "\"8pm\" to"),
            (hours("d/*", &[], "20:60", "22:00"), "20:60"),
            (hours("d/*", &[], "25:00", "22:00"), "25:00"),
            (hours("d/*", &[], "2026-12-20T00:00:00Z", "22:00"), "neither hours"),
            (hours("d/*", &[], "2026-12-20T00:00:00Z", "2026-12-19T00:00:00Z"), "in order"),
            (hours("d/*", &["mon"], "2026-12-20T00:00:00Z", "2026-12-21T00:00:00Z"), "without days"),
            (offset, "the offset \"CET\""),
        ] {
            let said = table(wrong).check().unwrap_err();
            assert!(said.starts_with("d/*: ") && said.contains(says), "{said}");
        }
        assert_eq!(table(hours("d/*", &["sat", "sun"], "00:00", "24:00")).check(), Ok(()));
    }
}
