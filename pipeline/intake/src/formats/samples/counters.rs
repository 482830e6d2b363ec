//! Counters: how much each grew since its reading before.
//!
//! A reading says nothing by itself, only what lies between two of one series does. So readings are waited for and put in
//! the order of their times first: dumps of several writers, and of one that is asked again, have them in any order. No
//! reading is lost: what nothing could be told from is an event of its own (a `kpi`, the number as it was counted), and
//! what comes too late or says two things about one time is refused.

use super::measure::{CPU_TIME, Kind};
use super::{Object, Taken, Who, event, forget};
use domain::Reason;
use domain::time::{SECOND, Timestamp};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;

use super::{Measure, Number};

/// Readings that wait to be put in order.
pub(super) const WAITING: usize = 1 << 18;

/// A pause of more than so many steps is a gap: how a counter grew inside it is not known.
pub(super) const GAP_STEPS: i64 = 10;

/// More cores than a container is believed to have used since a counter began anew without having fallen: some
/// receivers tell of their own start, not of the counter's.
const BELIEVED_CORES: f64 = 64.0;

const LATE: Reason = Reason::Format("a reading of a counter that comes after too many later ones to be put in order");
const TWICE: Reason = Reason::Format("a second reading of a counter at one time, with another value");

/// What tells a series from all others.
#[derive(Debug)]
pub(in super::super) struct Series {
    pub(super) id: u128,
    /// The metric's name, and the labels of the series as a JSON object.
    pub(super) metric: String,
    pub(super) labels: String,
}

/// One reading of a counter, and where what it tells belongs.
pub(super) struct Reading {
    pub(super) who: Arc<Who>,
    /// The container.
    pub(super) container: u128,
    pub(super) series: Arc<Series>,
    pub(super) measure: Measure,
    /// As which of several that add up; see [`super::Point`].
    pub(super) parts: u64,
    pub(super) at: i64,
    pub(super) value: Number,
    pub(super) since: Option<i64>,
    pub(super) delta: bool,
}

/// What a reading tells about its field.
pub(super) enum Told {
    /// So much, over so long where it is a growth.
    Amount(f64, Option<i64>),
    /// Nothing new: it was read before, or only marks where the counter stands.
    Nothing,
    Refused(Reason),
}

struct Counter {
    at: i64,
    value: Number,
    step: i64,
    since: Option<i64>,
    /// The last reading, as long as nothing was told from it.
    alone: Option<Box<Alone>>,
}

struct Alone {
    who: Arc<Who>,
    series: Arc<Series>,
    value: Number,
}

#[derive(Default)]
pub(super) struct Counters {
    known: HashMap<u128, Counter>,
    waiting: Vec<Reading>,
    /// Readings from which nothing can be told any more.
    alone: Vec<(i64, Box<Alone>)>,
}

impl Counters {
    pub(super) fn wait(&mut self, reading: Reading) {
        self.waiting.push(reading);
    }

    pub(super) fn are_many(&self) -> bool {
        self.waiting.len() > WAITING
    }

    /// Takes out what waits and is no later than `until`, in the order of time; without it, the older three quarters.
    pub(super) fn in_order(&mut self, until: Option<i64>) -> Vec<Reading> {
        self.waiting.sort_by_key(|reading| reading.at);
        let count = match until {
            Some(until) => self.waiting.partition_point(|reading| reading.at <= until),
            None => self.waiting.len() - self.waiting.len() / 4,
        };
        let rest = self.waiting.split_off(count);
        std::mem::replace(&mut self.waiting, rest)
    }

    /// What a reading tells.
    pub(super) fn read(&mut self, reading: &Reading) -> Told {
        match self.known.get(&reading.series.id) {
            Some(counter) if reading.at < counter.at => return Told::Refused(LATE),
            Some(counter) if reading.at == counter.at => {
                return if reading.value == counter.value { Told::Nothing } else { Told::Refused(TWICE) };
            }
            _ => {}
        }
        let told = match reading.measure.kind {
            Kind::HighWater => self.advance(reading).map(|(before, _)| match reading.value > before.value {
                true => Told::Amount(reading.value.float() * reading.measure.scale, None),
                false => Told::Nothing,
            }),
            _ => {
                let grown = if reading.delta { self.delta(reading) } else { self.grown(reading) };
                grown.map(|(grown, span)| {
                    let grown = grown * reading.measure.scale;
                    match reading.measure.kind {
                        Kind::PerSecond => Told::Amount(grown * SECOND as f64 / span as f64, Some(span)),
                        // No restart is nothing to tell; Kubernetes repeats it beside every sample, at times of its own.
                        _ if reading.measure == Measure::RESTARTS && grown == 0.0 => Told::Nothing,
                        _ => Told::Amount(grown, Some(span)),
                    }
                })
            }
        };
        let is_alone = told.is_none();
        if let Some(counter) = self.known.get_mut(&reading.series.id) {
            counter.alone = is_alone.then(|| {
                let (who, series) = (Arc::clone(&reading.who), Arc::clone(&reading.series));
                Box::new(Alone { who, series, value: reading.value })
            });
        }
        told.unwrap_or(Told::Nothing)
    }

    /// What a reading counts that counts from the end of the one before.
    fn delta(&mut self, reading: &Reading) -> Option<(f64, i64)> {
        let span = reading.at - reading.since?;
        self.begin(reading);
        (span > 0).then_some((reading.value.float(), span))
    }

    /// How much a counter grew, and in how long.
    fn grown(&mut self, reading: &Reading) -> Option<(f64, i64)> {
        let value = reading.value;
        let (counter, span) = self.advance(reading)?;
        let before = counter.value;
        // A counter that fell began anew from 0, as Prometheus reads it too. One whose beginning lies after the reading
        // before began anew also if it is above that one.
        let begun = reading.since.filter(|since| counter.since.is_some_and(|old| old < *since) && *since >= counter.at);
        match begun.map(|since| reading.at - since) {
            None if value < before => Some((value.float(), span)),
            None => Some((value.less(before), span)),
            // It begins here: it has not grown yet.
            Some(0) => None,
            Some(lived) if value < before || reading.measure.field != CPU_TIME => Some((value.float(), lived)),
            Some(lived) => {
                let cores = value.float() * reading.measure.scale * SECOND as f64 / lived as f64;
                (cores <= BELIEVED_CORES).then_some((value.float(), lived))
            }
        }
    }

    /// Moves a counter on: what it was before, and how long ago. `None` at its start and after a gap.
    fn advance(&mut self, reading: &Reading) -> Option<(Counter, i64)> {
        let (at, value, since) = (reading.at, reading.value, reading.since);
        let Some(counter) = self.known.get_mut(&reading.series.id) else {
            self.begin(reading);
            return None;
        };
        let (step, span) = (counter.step, at - counter.at);
        let is_gap = step > 0 && span > GAP_STEPS * step;
        let new = Counter { at, value, step: if is_gap { step } else { span }, since, alone: None };
        let mut before = std::mem::replace(counter, new);
        if is_gap {
            self.alone.extend(before.alone.take().map(|alone| (before.at, alone)));
            return None;
        }
        Some((before, span))
    }

    fn begin(&mut self, reading: &Reading) {
        let Reading { at, value, since, .. } = *reading;
        self.known.insert(reading.series.id, Counter { at, value, step: 0, since, alone: None });
        let alone = &mut self.alone;
        forget(
            &mut self.known,
            |counter| counter.at,
            |counter| {
                alone.extend(counter.alone.take().map(|told| (counter.at, told)));
            },
        );
    }

    /// At the end of all: some of the readings from which nothing could be told, as events.
    pub(super) fn left(&mut self, most: usize) -> impl Iterator<Item = Taken> {
        let ends = self.known.values_mut().filter_map(|counter| Some((counter.at, counter.alone.take()?)));
        self.alone.extend(ends);
        // Those of one time in any order: events have none.
        self.alone.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        let rest = self.alone.len().saturating_sub(most);
        self.alone.split_off(rest).into_iter().rev().map(|(at, alone)| Ok(alone.event(at)))
    }

    #[cfg(test)]
    pub(super) fn are_waiting(&self) -> usize {
        self.waiting.len()
    }
}

impl Alone {
    /// The number as it was counted.
    fn event(&self, at: i64) -> Object {
        let Self { who, series, value } = self;
        let mut payload = who.about.clone();
        payload.insert("metric".into(), json!(series.metric));
        payload.insert("value".into(), value.json());
        payload.insert("monotonic".into(), json!(true));
        payload.extend(series.attributes());
        event(at, "kpi", who.env.as_deref(), Some(&who.resource), payload)
    }
}

impl Series {
    fn attributes(&self) -> Option<(String, Value)> {
        let labels: Object = serde_json::from_str(&self.labels).unwrap_or_default();
        (!labels.is_empty()).then(|| ("attributes".to_owned(), Value::Object(labels)))
    }
}

impl Reading {
    /// What is kept of it where it is refused.
    pub(super) fn refused(&self, reason: Reason) -> Taken {
        let Self { who, series, at, value, .. } = self;
        let mut kept = who.about.clone();
        kept.insert("resource".into(), json!(who.resource));
        kept.insert("metric".into(), json!(series.metric));
        kept.extend(series.attributes());
        kept.insert("time".into(), json!(Timestamp(*at).to_string()));
        kept.extend(self.since.map(|since| ("since".to_owned(), json!(Timestamp(since).to_string()))));
        kept.insert("value".into(), value.json());
        Err((Value::Object(kept), reason))
    }
}
