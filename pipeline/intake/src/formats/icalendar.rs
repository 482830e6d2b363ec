//! iCalendar files (RFC 5545): what a team has in its calendar, as `schedule` events: deployments, maintenance, expected
//! load, holidays.
//!
//! A calendar is read as a whole, because its zones and the exceptions of a series may stand anywhere in it. A series is worked
//! out from half a year before the moment of reading up to a quarter after it; single events are taken whenever they are. The
//! same calendar read again gives the same events, as each is announced when it was last changed. Of who was invited nothing
//! is taken.

mod lines;
mod recur;
#[cfg(test)]
mod tests;
mod zones;

use super::{Format, Head, Object, Out, Reader};
use crate::source::unfolded;
use chrono::{Duration, NaiveDateTime, NaiveTime};
use domain::Reason;
use domain::holidays::AtRest;
use domain::time::{DAY, Timestamp};
use lines::{Component, calendars};
use recur::Budget;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use zones::{When, Zone, Zones, naive, timestamp};

pub(super) static FORMAT: Format = Format {
    name: "icalendar",
    recognises,
    reader: |now| Box::new(Calendar { now, otherwise: None }),
    independent: true,
};

/// Of a series so much is taken before the moment of reading: what such events did before is learnt from it.
const BACK: i64 = 180 * DAY;
/// And so much after it.
const AHEAD: i64 = 90 * DAY;
/// An event that does not say when it was written counts as announced so long before it first begins.
const UNDATED: i64 = 30 * DAY;
/// Resources that one event may name.
const RESOURCES: usize = 100;
/// The most that a scheduled event is taken to multiply a load by.
const MOST_SCALE: f64 = 100.0;

/// How the file begins, in any case.
const BEGINS: &str = "BEGIN:VCALENDAR";

fn recognises(head: &Head) -> bool {
    matches!(head, Head::Text(line) if line.trim().eq_ignore_ascii_case(BEGINS))
}

struct Calendar {
    now: Timestamp,
    /// What an event is of which nothing tells.
    otherwise: Option<&'static str>,
}

/// The whole days of a calendar of holidays, whatever they are called, and why others of its events were refused.
pub fn whole_days(text: &str, now: Timestamp) -> (Vec<AtRest>, Vec<String>) {
    let text = String::from_utf8_lossy(&unfolded(text.as_bytes())).into_owned();
    let mut out = Out::default();
    Calendar { now, otherwise: Some("holiday") }.text(text.trim_start_matches('\u{feff}'), &mut out);
    let (mut days, mut refused) = (Vec::new(), Vec::new());
    for taken in out.rest().0 {
        match taken {
            Ok(event) => {
                let payload = event.get("payload").unwrap_or(&Value::Null);
                let at = |name: &str| payload[name].as_str().and_then(Timestamp::parse);
                let details = &payload["details"];
                let counts = details["all_day"] == true && details["status"] != "cancelled";
                if let (true, Some(from), Some(to)) = (counts, at("start_time"), at("end_time")) {
                    let resource = event.get("resource").or(event.get("env")).and_then(Value::as_str);
                    days.push(AtRest { resource: resource.map(str::to_owned), from, to });
                }
            }
            Err((_, reason)) => refused.push(reason.to_string()),
        }
    }
    (days, refused)
}

impl Reader for Calendar {
    fn object(&mut self, value: Value, out: &mut Out) {
        out.push(Err((value, Reason::Format("it is no calendar"))));
    }

    fn text(&mut self, text: &str, out: &mut Out) {
        let mut refused = Vec::new();
        let calendars = calendars(text, &mut |line, reason| refused.push(Err((Value::String(line), reason))));
        out.extend(refused);
        for calendar in calendars {
            if calendar.name == "VCALENDAR" {
                read(&calendar, self, out);
            } else {
                out.push(Err((Value::String(calendar.written()), Reason::Format("it is no calendar"))));
            }
        }
    }
}

/// The events of a calendar, series by series.
fn read(calendar: &Component, reader: &Calendar, out: &mut Out) {
    let zones = Zones::of(calendar);
    let mut budget = Budget::default();
    let name = calendar.text("X-WR-CALNAME").or_else(|| calendar.text("NAME")).unwrap_or_default();
    let mut series: BTreeMap<String, Vec<&Component>> = BTreeMap::new();
    for component in &calendar.inner {
        match component.name.as_str() {
            "VEVENT" => series.entry(uid(component)).or_default().push(component),
            "VTIMEZONE" => {}
            _ => refuse(component, Reason::Format("only events (VEVENT) are read"), out),
        }
    }
    for (uid, events) in series {
        // A changed occurrence says by RECURRENCE-ID which one it stands for.
        let (changed, whole): (Vec<&Component>, Vec<&Component>) =
            events.into_iter().partition(|event| event.get("RECURRENCE-ID").is_some());
        let of = Series { uid: &uid, calendar: &name, zones: &zones, reader };
        let stamp = whole.iter().filter_map(|event| announced(event, &zones)).max();
        let mut replaced = BTreeSet::new();
        for event in &changed {
            match of.changed(event, stamp, out) {
                Ok(place) => drop(replaced.insert(place)),
                Err(reason) => refuse(event, reason, out),
            }
        }
        for event in whole {
            if let Err(reason) = of.whole(event, &replaced, &mut budget, out) {
                refuse(event, reason, out);
            }
        }
    }
}

fn refuse(component: &Component, reason: Reason, out: &mut Out) {
    out.push(Err((Value::String(component.written()), reason)));
}

/// What tells an event from others; where it has no UID, when and what it is.
fn uid(event: &Component) -> String {
    let value = |name: &str| event.get(name).map(|property| property.value.trim().to_owned());
    event.text("UID").unwrap_or_else(|| {
        format!("{}-{}", value("DTSTART").unwrap_or_default(), event.text("SUMMARY").unwrap_or_default())
    })
}

/// When it was last changed, made, or written down, in this order.
fn announced(event: &Component, zones: &Zones) -> Option<NaiveDateTime> {
    ["LAST-MODIFIED", "CREATED", "DTSTAMP"]
        .iter()
        .find_map(|name| zones.read(&event.get(name)?.value, None).ok())
        .map(|when| when.utc())
}

/// An event of a calendar, and all that recurs of it.
struct Series<'a> {
    uid: &'a str,
    calendar: &'a str,
    zones: &'a Zones,
    reader: &'a Calendar,
}

/// What all occurrences of an event have in common.
#[derive(Clone)]
struct Template {
    kind: &'static str,
    announced: Timestamp,
    developer: Option<String>,
    resources: Vec<String>,
    details: Object,
}

impl Series<'_> {
    /// An event with all its occurrences, without those that were changed one by one.
    fn whole(
        &self,
        event: &Component,
        replaced: &BTreeSet<NaiveDateTime>,
        budget: &mut Budget,
        out: &mut Out,
    ) -> Result<(), Reason> {
        let start = self.when(event, "DTSTART")?.ok_or(Reason::Format("it has no DTSTART"))?;
        let length = self.length(event, &start)?;
        let mut template = self.template(event, &start)?;
        // A later announcement stands for the whole event, whichever occurrences it has.
        template.details.insert("series".into(), json!(self.uid));
        template.details.insert("announced".into(), json!(template.announced));
        let recurs = event.get("RRULE").is_some() || event.get("RDATE").is_some();
        if !recurs {
            return self.push(&template, None, &start, &length, out);
        }
        let (from, to) = (naive(self.reader.now.plus(-BACK)), naive(self.reader.now.plus(AHEAD)));
        let window = (start.zone.local(from) - length.longest(), start.zone.local(to));
        let mut places: BTreeSet<NaiveDateTime> = BTreeSet::new();
        if event.get("RRULE").is_none() {
            places.insert(start.local);
        }
        for rule in event.all("RRULE") {
            let local = |utc| if start.is_date { utc } else { start.zone.local(utc) };
            places.extend(recur::starts(&rule.value, start.local, &local, window, budget)?);
        }
        places.extend(self.dates(event, "RDATE", &start.zone)?);
        let left_out: BTreeSet<NaiveDateTime> = self.dates(event, "EXDATE", &start.zone)?.into_iter().collect();
        places.retain(|at| (window.0..=window.1).contains(at) && !replaced.contains(&self.place(&start, *at)));
        budget.write(places.len() * template.resources.len().max(1), &template.details)?;
        let mut cancelled = template.clone();
        cancelled.details.insert("status".into(), json!("cancelled"));
        for local in places {
            let occurrence = When { local, ..start.clone() };
            // An exception without a time of day is the whole day.
            let is_out = left_out.contains(&local) || left_out.contains(&local.date().and_time(NaiveTime::MIN));
            let name = name_of(self.place(&start, local), start.is_date);
            self.push(if is_out { &cancelled } else { &template }, Some(name), &occurrence, &length, out)?;
        }
        Ok(())
    }

    /// A single occurrence that differs from its series; returns which one it stands for.
    fn changed(
        &self,
        event: &Component,
        series: Option<NaiveDateTime>,
        out: &mut Out,
    ) -> Result<NaiveDateTime, Reason> {
        if event.get("RECURRENCE-ID").is_some_and(|id| id.param("RANGE").is_some()) {
            return Err(Reason::Format("a change of all later occurrences (RANGE) is not read"));
        }
        let of = self.when(event, "RECURRENCE-ID")?.ok_or(Reason::Format("RECURRENCE-ID cannot be read"))?;
        let start = self.when(event, "DTSTART")?.unwrap_or_else(|| of.clone());
        let length = self.length(event, &start)?;
        let mut template = self.template(event, &start)?;
        let series = series.map_or(template.announced, timestamp);
        template.announced = template.announced.max(series);
        template.details.insert("series".into(), json!(self.uid));
        template.details.insert("announced".into(), json!(series));
        let place = self.place(&of, of.local);
        self.push(&template, Some(name_of(place, of.is_date)), &start, &length, out)?;
        Ok(place)
    }

    /// What an occurrence is known by: its original start, in UTC unless it is a day.
    fn place(&self, start: &When, local: NaiveDateTime) -> NaiveDateTime {
        if start.is_date { local } else { start.zone.utc(local) }
    }

    fn when(&self, event: &Component, name: &str) -> Result<Option<When>, Reason> {
        event.get(name).map(|property| self.zones.read(&property.value, property.param("TZID"))).transpose()
    }

    /// Wall clocks of a list property, on the clock of the event.
    fn dates(&self, event: &Component, name: &str, zone: &Zone) -> Result<Vec<NaiveDateTime>, Reason> {
        let mut all = Vec::new();
        for property in event.all(name) {
            for text in property.value.split(',') {
                let when = self.zones.read(text, property.param("TZID"))?;
                all.push(if when.is_date { when.local } else { zone.local(when.utc()) });
            }
        }
        Ok(all)
    }

    fn length(&self, event: &Component, start: &When) -> Result<Length, Reason> {
        let backwards = Reason::Format("it ends before it begins");
        if let Some(end) = self.when(event, "DTEND")? {
            let length = if start.is_date { end.local - start.local } else { end.utc() - start.utc() };
            return match length < Duration::zero() {
                true => Err(backwards),
                false if start.is_date => Ok(Length::Days(length.num_days().max(1))),
                false => Ok(Length::Exact(length)),
            };
        }
        match event.get("DURATION") {
            Some(text) => {
                let length = duration(&text.value).ok_or(Reason::Format("its DURATION cannot be read"))?;
                if length < Duration::zero() { Err(backwards) } else { Ok(Length::Exact(length)) }
            }
            None if start.is_date => Ok(Length::Days(1)),
            None => Ok(Length::Exact(Duration::zero())),
        }
    }

    fn template(&self, event: &Component, start: &When) -> Result<Template, Reason> {
        let categories: Vec<String> = event.all("CATEGORIES").flat_map(|property| property.texts()).collect();
        let summary = event.text("SUMMARY");
        let told = categories.iter().map(String::as_str).chain(summary.as_deref()).chain([self.calendar]);
        let kind = told.filter_map(kind).next().or(self.reader.otherwise).ok_or(Reason::Format(
            "neither CATEGORIES nor SUMMARY nor the calendar's name says deployment, maintenance, load or holiday",
        ))?;
        let announced = announced(event, self.zones).map(timestamp);
        let announced = announced.unwrap_or_else(|| timestamp(start.utc()).plus(-UNDATED));
        let mail = |text: &str| text.trim().to_lowercase().strip_prefix("mailto:").map(str::to_owned);
        let mut details = Object::new();
        for (name, text) in [
            ("summary", summary),
            ("description", event.text("DESCRIPTION")),
            ("location", event.text("LOCATION")),
            ("url", event.text("URL")),
            ("calendar", Some(self.calendar.to_owned()).filter(|name| !name.is_empty())),
        ] {
            details.extend(text.map(|text| (name.to_owned(), json!(text))));
        }
        if !categories.is_empty() {
            details.insert("categories".into(), json!(categories));
        }
        if event.text("STATUS").is_some_and(|status| status.eq_ignore_ascii_case("CANCELLED")) {
            details.insert("status".into(), json!("cancelled"));
        }
        if start.is_date {
            details.insert("all_day".into(), json!(true));
        }
        if let Some(scale) = event.text("X-PIPELINE-SCALE") {
            let scale: f64 = scale.trim().parse().map_err(|_| Reason::Format("X-PIPELINE-SCALE is no number"))?;
            if !(0.0..=MOST_SCALE).contains(&scale) {
                return Err(Reason::Format("X-PIPELINE-SCALE is not from 0 to 100"));
            }
            details.insert("scale".into(), json!(scale));
        }
        let developer = event.get("ORGANIZER").and_then(|organizer| mail(&organizer.value));
        let resources = resources(event);
        if resources.len() > RESOURCES {
            return Err(Reason::Format("it names more than a hundred resources"));
        }
        Ok(Template { kind, announced, developer, resources, details })
    }

    /// The events of one occurrence: one for each resource it names.
    fn push(
        &self,
        template: &Template,
        place: Option<String>,
        start: &When,
        length: &Length,
        out: &mut Out,
    ) -> Result<(), Reason> {
        let end = match length {
            Length::Days(days) => When { local: start.local + Duration::days(*days), ..start.clone() }.utc(),
            Length::Exact(length) => start.utc() + *length,
        };
        let (from, to) = (timestamp(start.utc()), timestamp(end));
        if !from.is_usable() || !to.is_usable() || !template.announced.is_usable() {
            return Err(Reason::Timestamp);
        }
        let id = place.map_or_else(|| self.uid.to_owned(), |place| format!("{}/{place}", self.uid));
        let mut one = |resource: Option<&String>, id: String| {
            let mut event = Object::new();
            event.insert("ts".into(), json!(template.announced));
            event.insert("type".into(), json!("schedule"));
            event.extend(template.developer.clone().map(|who| ("developer".to_owned(), json!(who))));
            if let Some(resource) = resource {
                let field = if resource.contains('/') { "resource" } else { "env" };
                event.insert(field.into(), json!(resource));
            }
            let payload = json!({
                "event_id": id,
                "event_type": template.kind,
                "start_time": from,
                "end_time": to,
                "details": template.details,
            });
            event.insert("payload".into(), payload);
            out.push(Ok(event));
        };
        match &template.resources[..] {
            [] => one(None, id),
            [resource] => one(Some(resource), id),
            several => several.iter().for_each(|resource| one(Some(resource), format!("{id}@{resource}"))),
        }
        Ok(())
    }
}

/// How long an event lasts: days are those of the calendar, also where the clocks change.
enum Length {
    Days(i64),
    Exact(Duration),
}

impl Length {
    fn longest(&self) -> Duration {
        match self {
            Self::Days(days) => Duration::days(*days),
            Self::Exact(length) => *length,
        }
    }
}

/// How an occurrence is named in its identifier.
fn name_of(place: NaiveDateTime, is_date: bool) -> String {
    place.format(if is_date { "%Y%m%d" } else { "%Y%m%dT%H%M%SZ" }).to_string()
}

/// `P1D`, `PT2H30M`, `P2W`, `-PT5M`.
fn duration(text: &str) -> Option<Duration> {
    let text = text.trim().to_ascii_uppercase();
    let (sign, text) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(&text)),
    };
    let (mut seconds, mut number, mut in_time, mut any) = (0_i64, String::new(), false, false);
    for char in text.strip_prefix('P')?.chars() {
        let unit = match (char, in_time) {
            ('0'..='9', _) => {
                number.push(char);
                continue;
            }
            ('T', false) if number.is_empty() => {
                in_time = true;
                continue;
            }
            ('W', false) => 7 * 86_400,
            ('D', false) => 86_400,
            ('H', true) => 3600,
            ('M', true) => 60,
            ('S', true) => 1,
            _ => return None,
        };
        seconds = std::mem::take(&mut number).parse::<i64>().ok()?.checked_mul(unit)?.checked_add(seconds)?;
        any = true;
    }
    // A year of work is no event.
    (any && number.is_empty() && seconds <= 366 * 86_400).then(|| Duration::seconds(sign * seconds))
}

/// What a category, a title or the name of a calendar says that it is; of several words the first counts.
fn kind(text: &str) -> Option<&'static str> {
    const WORDS: &[(&str, &str)] = &[
        ("deploy", "deployment"),
        ("redeploy", "deployment"),
        ("release", "deployment"),
        ("rollout", "deployment"),
        ("maint", "maintenance"),
        ("patch", "maintenance"),
        ("upgrade", "maintenance"),
        ("downtime", "maintenance"),
        ("outage", "maintenance"),
        ("load", "load"),
        ("campaign", "load"),
        ("traffic", "load"),
        ("peak", "load"),
        ("holiday", "holiday"),
    ];
    let lower = text.to_lowercase();
    let mut words = lower.split(|char: char| !char.is_alphanumeric());
    words.find_map(|word| WORDS.iter().find(|(begins, _)| word.starts_with(begins)).map(|(_, kind)| *kind))
}

/// What it touches, as `env/service` or `env`: as its own property says, else as booked, else the place, else what its title
/// names with a slash. None: everything.
fn resources(event: &Component) -> Vec<String> {
    let plain = |text: &String| {
        !text.is_empty()
            && text.chars().all(|char| char.is_alphanumeric() || "-_./:@".contains(char))
            && !text.contains("//")
    };
    let named = |name: &str| -> Vec<String> {
        event.all(name).flat_map(|property| property.texts()).map(|text| text.trim().to_owned()).filter(plain).collect()
    };
    let mut found = [named("X-PIPELINE-RESOURCE"), named("RESOURCES"), named("LOCATION")]
        .into_iter()
        .find(|found| !found.is_empty())
        .unwrap_or_else(|| {
            let summary = event.text("SUMMARY").unwrap_or_default();
            let trimmed = |word: &str| word.trim_matches(|char: char| !char.is_alphanumeric()).to_owned();
            let is_resource = |word: &String| {
                plain(word) && word.split_once('/').is_some_and(|(env, service)| !env.is_empty() && !service.is_empty())
            };
            summary.split_whitespace().map(trimmed).filter(is_resource).collect()
        });
    found.sort_unstable();
    found.dedup();
    found
}
