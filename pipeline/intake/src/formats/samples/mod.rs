//! From the points of many series to one `usage` event a container and moment.
//!
//! Monitoring systems say one thing at a time: a counter of CPU seconds here, a memory gauge there, a limit in a third
//! place. This remembers the counters, turns their growth into use, waits for what else is said about the same
//! container at the same moment, and carries limits on until they change.
//!
//! Memory is bounded: [`PENDING`] moments wait at most, and when more come the oldest quarter is completed with what is
//! known by then (a point that comes still later makes an event of its own); [`SERIES`] counters and as many containers
//! are remembered at most, those not seen for the longest time are forgotten first, and begin anew.

mod instances;
mod measure;

use super::{Object, Out};
use domain::time::{SECOND, Timestamp};
use measure::{CPU_TIME, Kind, LAST_EXIT_OOM, MEMORY_USED, PERIODS, RESTARTS, THROTTLED, WORKING_SET, is_state};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use instances::Instances;

pub(super) use instances::Labels;
pub(super) use measure::Measure;

/// Moments of containers that wait for more to be said about them.
const PENDING: usize = 1 << 18;

/// Counters that are remembered.
const SERIES: usize = 1 << 20;

/// A pause of more than so many steps is a gap: how a counter grew inside it is not known.
const GAP_STEPS: i64 = 10;

/// How long a sample stands for that is the only one of its container: Prometheus's default scrape interval.
const ASSUMED_STEP: i64 = 60 * SECOND;

/// A limit from here on means that there is none: cgroup v1 writes 2^63 less a page.
const NO_LIMIT: f64 = (1_u64 << 60) as f64;

/// More cores than a container is believed to have used since a counter began anew without having fallen: some
/// receivers tell of their own start, not of the counter's.
const BELIEVED_CORES: f64 = 64.0;

/// What was sampled: one container of one pod, or one whole pod.
#[derive(Debug)]
pub(super) struct Who {
    /// What has the same resource and pod.
    id: u128,
    labels_id: u128,
    labels: Arc<Labels>,
    env: Option<String>,
    resource: String,
    /// What else the payload says about it, such as the pod.
    about: Object,
}

impl Who {
    /// `instance` tells apart what has the same resource, such as the pods of a workload; `labels` tell apart what has the
    /// same name in other places, as far as the source says.
    pub(super) fn new(
        env: Option<&str>,
        resource: String,
        instance: &str,
        mut labels: Labels,
        about: Object,
    ) -> Arc<Self> {
        let id = identity([resource.as_str(), instance]);
        labels.sort_unstable();
        labels.dedup_by(|later, first| later.0 == first.0);
        let labels_id = identity(labels.iter().flat_map(|(key, value)| [key.as_str(), value.as_str()]));
        Arc::new(Self { id, labels_id, labels: Arc::new(labels), env: env.map(str::to_owned), resource, about })
    }

    /// Names a series of it by the metric and what else tells its series apart.
    pub(super) fn series(&self, metric: &str, labels: &str) -> u128 {
        identity([self.id.to_string().as_str(), self.labels_id.to_string().as_str(), metric, labels])
    }

    /// `env/service`.
    pub(super) fn resource(&self) -> &str {
        &self.resource
    }
}

fn identity<'t>(parts: impl IntoIterator<Item = &'t str>) -> u128 {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(part.as_bytes()).update(&[0xff]);
    }
    let mut first = [0; 16];
    first.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    u128::from_le_bytes(first)
}

/// An event in the native form.
pub(super) fn event(at: i64, kind: &str, env: Option<&str>, resource: Option<&str>, payload: Object) -> Object {
    let event = json!({"ts": Timestamp(at).to_string(), "type": kind, "env": env, "resource": resource});
    let Value::Object(mut event) = event else { return payload };
    event.insert("payload".into(), Value::Object(payload));
    event
}

/// One point of a series.
pub(super) struct Point<'a> {
    pub(super) who: &'a Arc<Who>,
    pub(super) series: u128,
    pub(super) measure: Measure,
    /// Microseconds since 1970.
    pub(super) at: i64,
    /// Finite and not negative.
    pub(super) value: f64,
    /// Of a counter: when it began, where the source says it.
    pub(super) since: Option<i64>,
    /// Whether it begins anew with each point.
    pub(super) delta: bool,
}

/// Moments that are completed at a time when the dump has ended.
const PORTION: usize = 4096;

#[derive(Default)]
pub(super) struct Samples {
    counters: HashMap<u128, Counter>,
    instances: Instances,
    containers: HashMap<u128, Container>,
    pending: BTreeMap<(i64, u128), Moment>,
}

struct Counter {
    at: i64,
    value: f64,
    step: i64,
    since: Option<i64>,
}

#[derive(Default)]
struct Container {
    seen: i64,
    /// The shortest time between two of its moments, as they came.
    step: i64,
    /// When its last event was.
    told: Option<i64>,
    /// Whether a moment of it was completed.
    known: bool,
    last_exit_oom: bool,
    state: Vec<(&'static str, f64)>,
}

struct Moment {
    who: Arc<Who>,
    /// What others that speak of the same container say beyond `who`.
    about: Object,
    /// How long the counters grew that are in it.
    span: Option<i64>,
    values: Vec<(&'static str, f64)>,
}

impl Samples {
    /// Takes a point; events of moments that can wait no longer come out.
    pub(super) fn add(&mut self, point: &Point<'_>, out: &mut Out) {
        let Some((value, span)) = self.value(point) else { return };
        let Point { who, measure, at, .. } = point;
        if measure.kind == Kind::State {
            for id in self.instances.all(who.id, who.labels_id, &who.labels) {
                self.put(id, point, value, span);
            }
        } else {
            let id = self.instances.one(who.id, who.labels_id, &who.labels);
            let container = self.containers.entry(id).or_default();
            let step = at - container.seen;
            if container.seen > 0 && step > 0 {
                container.step = if container.step == 0 { step } else { container.step.min(step) };
            }
            container.seen = *at;
            self.put(id, point, value, span);
        }
        if self.pending.len() > PENDING {
            self.complete(PENDING * 3 / 4, out);
        }
        if forget(&mut self.containers, |container| container.seen) {
            let containers = &self.containers;
            self.instances.retain(|id| containers.contains_key(&id));
        }
    }

    /// Puts a value to what else is said of a container at that moment.
    fn put(&mut self, id: u128, point: &Point<'_>, value: f64, span: Option<i64>) {
        let Point { who, measure, at, .. } = point;
        let moment = self.pending.entry((*at, id)).or_insert_with(|| Moment {
            who: Arc::clone(who),
            about: Object::new(),
            span: None,
            values: Vec::new(),
        });
        if !Arc::ptr_eq(&moment.who, who) {
            let new = who.about.iter().filter(|(field, _)| !moment.who.about.contains_key(*field));
            moment.about.extend(new.map(|(field, value)| (field.clone(), value.clone())));
        }
        moment.span = moment.span.max(span);
        match moment.values.iter_mut().find(|(field, _)| *field == measure.field) {
            Some((_, before)) if measure.adds => *before += value,
            Some((_, before)) => *before = before.max(value),
            None => moment.values.push((measure.field, value)),
        }
    }

    /// Completes some of what waits, the oldest first: all of it at once could take more memory than waiting does.
    pub(super) fn end(&mut self, out: &mut Out) {
        // A moment may have nothing new to say; silence would be taken for the end.
        let before = out.len();
        while out.len() == before && !self.pending.is_empty() {
            self.complete(self.pending.len().saturating_sub(PORTION), out);
        }
    }

    /// What a point says about its field, and over how long. `None`: it only marks where a counter stands.
    fn value(&mut self, point: &Point<'_>) -> Option<(f64, Option<i64>)> {
        let Point { measure, at, value, delta, .. } = *point;
        let value = value * measure.scale;
        match measure.kind {
            Kind::State if value <= 0.0 || value >= NO_LIMIT => None,
            Kind::State | Kind::Gauge => Some((value, None)),
            Kind::HighWater => {
                let (_, before, _) = self.advance(point.series, at, value, None)?;
                (value > before).then_some((value, None))
            }
            Kind::Increase | Kind::PerSecond => {
                let (grown, span) = if delta { self.delta(point, value)? } else { self.grown(point, value)? };
                if measure.kind == Kind::PerSecond {
                    return Some((grown * SECOND as f64 / span as f64, Some(span)));
                }
                // No restart is nothing to tell; Kubernetes repeats it beside every sample, at times of its own.
                (measure.field != RESTARTS || grown > 0.0).then_some((grown, Some(span)))
            }
        }
    }

    /// What a point counts that counts from the end of the one before. What is not later than that one was sent again.
    fn delta(&mut self, point: &Point<'_>, value: f64) -> Option<(f64, i64)> {
        let span = point.at - point.since?;
        let last = self.counters.get(&point.series).map(|counter| counter.at);
        if span <= 0 || last.is_some_and(|last| point.at <= last) {
            return None;
        }
        self.counters.insert(point.series, Counter { at: point.at, value, step: 0, since: None });
        forget(&mut self.counters, |counter| counter.at);
        Some((value, span))
    }

    /// How much a counter grew, and in how long.
    fn grown(&mut self, point: &Point<'_>, value: f64) -> Option<(f64, i64)> {
        let (counter, before, span) = self.advance(point.series, point.at, value, point.since)?;
        // A counter that fell began anew from 0, as Prometheus reads it too. One whose beginning lies after the reading
        // before began anew also if it is above that one.
        let begun = point.since.filter(|since| counter.since.is_some_and(|old| old < *since) && *since >= counter.at);
        match begun.map(|since| point.at - since) {
            None if value < before => Some((value, span)),
            None => Some((value - before, span)),
            // It begins here: it has not grown yet.
            Some(0) => None,
            Some(lived) if value < before || point.measure.field != CPU_TIME => Some((value, lived)),
            Some(lived) => {
                let cores = value * SECOND as f64 / lived as f64;
                (cores <= BELIEVED_CORES).then_some((value, lived))
            }
        }
    }

    /// Moves a counter on: what it was before, its value then, and how long ago. `None` at its start, after a gap, and for
    /// what is not later.
    fn advance(&mut self, series: u128, at: i64, value: f64, since: Option<i64>) -> Option<(Counter, f64, i64)> {
        let Some(counter) = self.counters.get_mut(&series) else {
            self.counters.insert(series, Counter { at, value, step: 0, since });
            forget(&mut self.counters, |counter| counter.at);
            return None;
        };
        let span = at - counter.at;
        if span <= 0 {
            return None;
        }
        let step = counter.step;
        let is_gap = step > 0 && span > GAP_STEPS * step;
        let new = Counter { at, value, step: if is_gap { step } else { span }, since };
        let before = std::mem::replace(counter, new);
        if is_gap {
            return None;
        }
        let value = before.value;
        Some((before, value, span))
    }

    /// Completes the oldest moments until no more than `rest` wait.
    fn complete(&mut self, rest: usize, out: &mut Out) {
        while self.pending.len() > rest {
            let Some(((at, id), moment)) = self.pending.pop_first() else { return };
            let container = self.containers.entry(id).or_default();
            if let Some(payload) = container.payload(at, &moment) {
                let who = &moment.who;
                out.push(Ok(event(at, "usage", who.env.as_deref(), Some(&who.resource), payload)));
            }
        }
    }
}

impl Container {
    /// The payload of a moment; `None` when it says nothing new.
    fn payload(&mut self, at: i64, moment: &Moment) -> Option<Object> {
        let get = |name| moment.values.iter().find(|(field, _)| *field == name).map(|(_, value)| *value);
        let mut fields: Vec<(&str, f64)> = Vec::new();
        for &(field, value) in &moment.values {
            match field {
                CPU_TIME | WORKING_SET | MEMORY_USED | PERIODS | THROTTLED | LAST_EXIT_OOM => {}
                _ if is_state(field) => {}
                _ => fields.push((field, value)),
            }
        }
        // Said twice, the counter counts: what a gauge of CPU use is averaged over, its source alone knows.
        fields.extend(get(CPU_TIME).map(|cores| ("cpu_cores", cores)));
        // The working set is what the kernel cannot take back: memory kills go by it. The rest is page cache.
        fields.extend(get(WORKING_SET).or_else(|| get(MEMORY_USED)).map(|bytes| ("memory_bytes", bytes)));
        fields.extend(get(WORKING_SET).and_then(|_| get(MEMORY_USED)).map(|bytes| (MEMORY_USED, bytes)));
        if let (Some(throttled), Some(periods)) = (get(THROTTLED), get(PERIODS))
            && periods > 0.0
        {
            fields.push(("throttled_ratio", (throttled / periods).min(1.0)));
        }
        if get("oom_kills").is_none() {
            let kills = self.oom_kills(get(LAST_EXIT_OOM), get(RESTARTS));
            fields.extend(kills.map(|kills| ("oom_kills", kills)));
        }
        self.known = true;
        let changed = self.hold(&moment.values);
        let measured = !fields.is_empty();
        if !measured && !changed {
            return None;
        }
        fields.extend(&self.state);
        let mut payload = moment.who.about.clone();
        payload.extend(moment.about.clone());
        for (field, value) in fields {
            payload.insert(field.into(), number(field, value));
        }
        let (interval, assumed) = self.interval(at, moment.span);
        payload.insert("interval_s".into(), json!(interval as f64 / SECOND as f64));
        if assumed {
            payload.insert("interval_assumed".into(), json!(true));
        }
        if measured {
            self.told = Some(at);
        }
        Some(payload)
    }

    /// Containers that ended for want of memory: the restarts, where the last end was one; without a count of restarts,
    /// one when the last end becomes one. The state at the beginning of a dump may be old, and counts for nothing.
    fn oom_kills(&mut self, last_exit_oom: Option<f64>, restarts: Option<f64>) -> Option<f64> {
        let now = last_exit_oom? > 0.0;
        let before = std::mem::replace(&mut self.last_exit_oom, now);
        now.then(|| restarts.or((self.known && !before).then_some(1.0))).flatten()
    }

    /// Keeps what holds from now on; whether any of it is new.
    fn hold(&mut self, values: &[(&'static str, f64)]) -> bool {
        let mut changed = false;
        for &(field, value) in values.iter().filter(|(field, _)| is_state(field)) {
            match self.state.iter_mut().find(|(held, _)| *held == field) {
                Some((_, held)) => changed |= std::mem::replace(held, value) != value,
                None => {
                    self.state.push((field, value));
                    changed = true;
                }
            }
        }
        changed
    }

    /// How long a moment stands for, and whether that is a guess.
    fn interval(&self, at: i64, span: Option<i64>) -> (i64, bool) {
        let since = self.told.map(|told| at - told).filter(|since| *since > 0);
        match span.or_else(|| since.filter(|since| self.step == 0 || *since <= GAP_STEPS * self.step)) {
            Some(span) => (span, false),
            None if self.step > 0 => (self.step, false),
            None => (ASSUMED_STEP, true),
        }
    }
}

/// Bytes and counts are whole, though an average of them may not be.
fn number(field: &str, value: f64) -> Value {
    let whole = field.ends_with("_bytes") || field == "oom_kills" || field == RESTARTS;
    if whole { json!(value.round() as u64) } else { json!(value) }
}

/// Keeps the half that was seen last, when there is too much; whether there was.
fn forget<T>(map: &mut HashMap<u128, T>, seen: impl Fn(&T) -> i64) -> bool {
    let too_much = map.len() > SERIES;
    if too_much {
        let mut times: Vec<i64> = map.values().map(&seen).collect();
        let (_, middle, _) = times.select_nth_unstable(SERIES / 2);
        let middle = *middle;
        map.retain(|_, value| seen(value) > middle);
    }
    too_much
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(samples: &mut Samples, points: &[(Measure, i64, f64)]) -> Vec<Object> {
        let who = Who::new(Some("e"), "e/s".to_owned(), "", Labels::new(), Object::new());
        let mut out = Out::default();
        for &(measure, seconds, value) in points {
            let series = who.series(measure.field, "");
            let at = (1_000_000 + seconds) * SECOND;
            samples.add(&Point { who: &who, series, measure, at, value, since: None, delta: false }, &mut out);
        }
        samples.end(&mut out);
        out.rest().0.into_iter().map(Result::unwrap).collect()
    }

    #[test]
    fn a_gap_is_no_interval() {
        let use_of = |seconds, value| (Measure::CPU_TIME, seconds, value);
        let memory = (Measure::WORKING_SET, 100_000, 7.0);
        let told = feed(
            &mut Samples::default(),
            &[use_of(0, 0.0), use_of(60, 6.0), use_of(100_000, 90.0), memory, use_of(100_060, 120.0)],
        );
        let payload = |at: usize| &told[at]["payload"];
        assert_eq!(told.len(), 3);
        assert_eq!(payload(1).get("cpu_cores"), None);
        assert_eq!(payload(1)["interval_s"], 60.0);
        assert_eq!(payload(2)["cpu_cores"], 0.5);
    }

    #[test]
    fn what_comes_twice_or_late_counts_once() {
        let read = |seconds, value| (Measure::IO_READ, seconds, value);
        let told = feed(&mut Samples::default(), &[read(0, 5.0), read(60, 9.0), read(60, 9.0), read(30, 7.0)]);
        assert_eq!(told.len(), 1);
        assert_eq!(told[0]["payload"]["io_read_bytes"], 4);
    }

    #[test]
    fn a_limit_is_told_alone_only_when_it_is_new() {
        let limit = |seconds, value| (Measure::MEMORY_LIMIT, seconds, value);
        let none = [limit(40, 0.0), limit(50, 9_223_372_036_854_771_712.0)];
        let told = feed(&mut Samples::default(), &[limit(0, 5.0), limit(10, 5.0), limit(20, 6.0), none[0], none[1]]);
        let limits: Vec<&Value> = told.iter().map(|event| &event["payload"]["memory_limit_bytes"]).collect();
        assert_eq!(limits, [5, 6]);
    }

    #[test]
    fn no_more_moments_wait_than_there_is_room_for() {
        let who = Who::new(None, "s".to_owned(), "", Labels::new(), Object::new());
        let (mut samples, mut out) = (Samples::default(), Out::default());
        for at in 1..=PENDING as i64 + 1 {
            let measure = Measure::CPU;
            let at = at * SECOND;
            let point = Point { who: &who, series: 0, measure, at, value: 1.0, since: None, delta: false };
            samples.add(&point, &mut out);
        }
        assert_eq!(samples.pending.len(), PENDING * 3 / 4);
        assert_eq!(out.len(), PENDING + 1 - samples.pending.len());
    }
}
