//! From the points of many series to one `usage` event a container and moment.
//!
//! Monitoring systems say one thing at a time: a counter of CPU seconds here, a memory gauge there, a limit in a third
//! place. This remembers the counters, turns their growth into use, waits for what else is said about the same
//! container at the same moment, and carries limits on until they change.
//!
//! Memory is bounded: [`PENDING`] moments wait at most, and when more come the oldest quarter is completed with what is
//! known by then (a point that comes still later makes an event of its own); so do [`counters::WAITING`] readings of
//! counters, to be put in order; [`SERIES`] counters and as many containers are remembered at most, those not seen for
//! the longest time are forgotten first, and begin anew.

mod counters;
mod instances;
mod measure;
mod number;
mod parts;

use super::{Object, Out, Taken};
use counters::{Counters, GAP_STEPS, Reading, Told};
use domain::time::{SECOND, Timestamp};
use measure::{CPU_TIME, Kind, LAST_EXIT_OOM, MEMORY_USED, PERIODS, RESTARTS, THROTTLED, WORKING_SET, is_state};
use parts::Part;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use instances::Instances;

pub(super) use counters::Series;
pub(super) use instances::Labels;
pub(super) use measure::Measure;
pub(super) use number::Number;
pub(super) use parts::parts;

/// Moments of containers that wait for more to be said about them.
const PENDING: usize = 1 << 18;

/// Counters that are remembered.
const SERIES: usize = 1 << 20;

/// How long a sample stands for that is the only one of its container: Prometheus's default scrape interval.
const ASSUMED_STEP: i64 = 60 * SECOND;

/// A limit from here on means that there is none: cgroup v1 writes 2^63 less a page.
const NO_LIMIT: f64 = (1_u64 << 60) as f64;

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

    /// Names a series of it by the metric and what else tells its series apart: its labels as a JSON object.
    pub(super) fn series(&self, metric: &str, labels: String) -> Arc<Series> {
        let id = identity([self.id.to_string().as_str(), self.labels_id.to_string().as_str(), metric, &labels]);
        Arc::new(Series { id, metric: metric.to_owned(), labels })
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
    pub(super) series: &'a Arc<Series>,
    pub(super) measure: Measure,
    /// As which of several parts; see [`parts()`].
    pub(super) parts: u64,
    /// Microseconds since 1970.
    pub(super) at: i64,
    /// Finite and not negative.
    pub(super) value: Number,
    /// Of a counter: when it began, where the source says it.
    pub(super) since: Option<i64>,
    /// Whether it begins anew with each point.
    pub(super) delta: bool,
}

/// Moments that are completed at a time when the dump has ended.
const PORTION: usize = 4096;

#[derive(Default)]
pub(super) struct Samples {
    counters: Counters,
    instances: Instances,
    containers: HashMap<u128, Container>,
    pending: BTreeMap<(i64, u128), Moment>,
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
    values: Vec<Part>,
}

impl Samples {
    /// Takes a point; events of moments that can wait no longer come out.
    pub(super) fn add(&mut self, point: &Point<'_>, out: &mut Out) {
        let Point { who, measure, parts, at, value, since, delta, .. } = *point;
        match measure.kind {
            Kind::State => {
                // What is none, or as much as there is, ends the limit before it.
                let scaled = value.float() * measure.scale;
                let value = if scaled > 0.0 && scaled < NO_LIMIT { scaled } else { 0.0 };
                for id in self.instances.all(who.id, who.labels_id, &who.labels) {
                    self.put(id, who, measure, parts, at, value, None);
                }
            }
            Kind::Gauge => {
                let id = self.instances.one(who.id, who.labels_id, &who.labels);
                self.see(id, at);
                self.put(id, who, measure, parts, at, value.float() * measure.scale, None);
            }
            Kind::Increase | Kind::PerSecond | Kind::HighWater => {
                let container = self.instances.one(who.id, who.labels_id, &who.labels);
                // Restarts are told at times of their own.
                if measure != Measure::RESTARTS {
                    self.see(container, at);
                }
                let (who, series) = (Arc::clone(who), Arc::clone(point.series));
                self.counters.wait(Reading { who, container, series, measure, parts, at, value, since, delta });
            }
        }
        if self.counters.are_many() {
            self.read(None, out);
        }
        if self.pending.len() > PENDING {
            self.complete(PENDING * 3 / 4, out);
        }
        if forget(&mut self.containers, |container| container.seen, |_| {}) {
            let containers = &self.containers;
            self.instances.retain(|id| containers.contains_key(&id));
        }
    }

    /// Reads the counters that wait, in the order of time.
    fn read(&mut self, until: Option<i64>, out: &mut Out) {
        for reading in self.counters.in_order(until) {
            match self.counters.read(&reading) {
                Told::Amount(value, span) => {
                    let Reading { who, container, measure, parts, at, .. } = &reading;
                    self.put(*container, who, *measure, *parts, *at, value, span);
                }
                Told::Nothing => {}
                Told::Refused(reason) => out.push(reading.refused(reason)),
            }
        }
    }

    /// A moment of a container.
    fn see(&mut self, id: u128, at: i64) {
        let container = self.containers.entry(id).or_default();
        let step = at - container.seen;
        if container.seen > 0 && step > 0 {
            container.step = if container.step == 0 { step } else { container.step.min(step) };
        }
        container.seen = at;
    }

    /// Puts a value to what else is said of a container at that moment.
    #[expect(clippy::too_many_arguments, reason = "what a point says, one by one")]
    fn put(&mut self, id: u128, who: &Arc<Who>, measure: Measure, parts: u64, at: i64, value: f64, span: Option<i64>) {
        let moment = self.pending.entry((at, id)).or_insert_with(|| Moment {
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
        parts::put(&mut moment.values, Part { field: measure.field, parts, adds: measure.adds, value });
    }

    /// Completes some of what waits, the oldest first: all of it at once could take more memory than waiting does.
    pub(super) fn end(&mut self, out: &mut Out) {
        // A moment may have nothing new to say; silence would be taken for the end.
        let before = out.len();
        self.read(Some(i64::MAX), out);
        while out.len() == before && !self.pending.is_empty() {
            self.complete(self.pending.len().saturating_sub(PORTION), out);
        }
        if out.len() == before {
            out.extend(self.counters.left(PORTION));
        }
    }

    /// Completes the oldest moments until no more than `rest` wait.
    fn complete(&mut self, rest: usize, out: &mut Out) {
        let count = self.pending.len().saturating_sub(rest);
        let Some(last) = count.checked_sub(1).and_then(|last| self.pending.keys().nth(last).copied()) else { return };
        // What counters say about these moments may still wait.
        self.read(Some(last.0), out);
        while let Some(first) = self.pending.first_entry().filter(|first| *first.key() <= last) {
            let ((at, id), moment) = first.remove_entry();
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
        let values = parts::whole(&moment.values);
        let get = |name| values.iter().find(|(field, _)| *field == name).map(|(_, value)| *value);
        let mut fields: Vec<(&str, f64)> = Vec::new();
        for &(field, value) in &values {
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
        let changed = self.hold(&values);
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

    /// Keeps what holds from now on; whether any of it is new. A limit that ended holds as 0.
    fn hold(&mut self, values: &[(&'static str, f64)]) -> bool {
        let mut changed = false;
        for &(field, value) in values.iter().filter(|(field, _)| is_state(field)) {
            match self.state.iter_mut().find(|(held, _)| *held == field) {
                Some((_, held)) => changed |= std::mem::replace(held, value) != value,
                None if value == 0.0 => {}
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

/// Bytes and counts are whole, though an average of them may not be. What no 64 bits hold stays what it is.
fn number(field: &str, value: f64) -> Value {
    let whole = field.ends_with("_bytes") || field == "oom_kills" || field == RESTARTS;
    if whole && value < u64::MAX as f64 { json!(value.round() as u64) } else { json!(value) }
}

/// Keeps the half that was seen last, when there is too much; whether there was. What is forgotten goes through `lost`.
fn forget<T>(map: &mut HashMap<u128, T>, seen: impl Fn(&T) -> i64, mut lost: impl FnMut(&mut T)) -> bool {
    let too_much = map.len() > SERIES;
    if too_much {
        let mut times: Vec<i64> = map.values().map(&seen).collect();
        let (_, middle, _) = times.select_nth_unstable(SERIES / 2);
        let middle = *middle;
        map.retain(|_, value| {
            let is_kept = seen(value) > middle;
            if !is_kept {
                lost(value);
            }
            is_kept
        });
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
            let value = Number::from(value);
            let series = &who.series(measure.field, "{}".to_owned());
            let at = (1_000_000 + seconds) * SECOND;
            samples
                .add(&Point { who: &who, series, measure, parts: 0, at, value, since: None, delta: false }, &mut out);
        }
        end(samples, &mut out);
        out.rest().0.into_iter().map(Result::unwrap).collect()
    }

    fn end(samples: &mut Samples, out: &mut Out) {
        loop {
            let before = out.len();
            samples.end(out);
            if out.len() == before {
                break;
            }
        }
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
    fn what_comes_twice_or_late_counts_once_and_in_order() {
        let read = |seconds, value| (Measure::IO_READ, seconds, value);
        let told = feed(&mut Samples::default(), &[read(0, 5.0), read(60, 9.0), read(60, 9.0), read(30, 7.0)]);
        let bytes: Vec<&Value> = told.iter().map(|event| &event["payload"]["io_read_bytes"]).collect();
        assert_eq!(bytes, [2, 2]);
    }

    #[test]
    fn a_counter_that_is_read_once_is_kept_as_a_number() {
        let read = |seconds, value| (Measure::IO_READ, seconds, value);
        let told = feed(&mut Samples::default(), &[read(0, 5.0)]);
        assert_eq!((told.len(), &told[0]["type"], &told[0]["resource"]), (1, &json!("kpi"), &json!("e/s")));
        assert_eq!(
            (&told[0]["payload"]["metric"], &told[0]["payload"]["value"]),
            (&json!("io_read_bytes"), &json!(5.0))
        );
        // Behind a gap too: two pieces, and one reading by itself.
        let told = feed(
            &mut Samples::default(),
            &[read(0, 5.0), read(60, 9.0), read(90_000, 20.0), read(190_000, 30.0), read(190_060, 31.0)],
        );
        let kinds: Vec<&Value> = told.iter().map(|event| &event["type"]).collect();
        assert_eq!(kinds, ["usage", "usage", "kpi"]);
        assert_eq!(told[2]["payload"]["value"], 20.0);
    }

    #[test]
    fn a_reading_that_cannot_be_put_in_order_is_refused_by_name() {
        let who = Who::new(Some("e"), "e/s".to_owned(), "", Labels::new(), Object::new());
        let series = &who.series("reads", r#"{"device":"sda"}"#.to_owned());
        let (mut samples, mut out) = (Samples::default(), Out::default());
        let mut read = |seconds: i64, value: f64| {
            let at = (1_000_000 + seconds) * SECOND;
            let (measure, value) = (Measure::IO_READ, Number::from(value));
            samples
                .add(&Point { who: &who, series, measure, parts: 1, at, value, since: None, delta: false }, &mut out);
        };
        (0..=counters::WAITING as i64).for_each(|second| read(second, second as f64));
        read(0, 7.0);
        read(counters::WAITING as i64, 7.0);
        end(&mut samples, &mut out);
        assert_eq!(samples.counters.are_waiting(), 0);
        let refused: Vec<(Value, domain::Reason)> = out.rest().0.into_iter().filter_map(Result::err).collect();
        assert_eq!(refused.len(), 2);
        let values: Vec<&Value> = refused.iter().map(|(value, _)| &value["value"]).collect();
        assert_eq!(values, [7.0, 7.0]);
        assert!(refused.iter().all(|(value, _)| value["attributes"]["device"] == "sda" && value["metric"] == "reads"));
        assert!(refused.iter().any(|(_, reason)| format!("{reason:?}").contains("too many later")));
        assert!(refused.iter().any(|(_, reason)| format!("{reason:?}").contains("at one time")));
    }

    #[test]
    fn a_limit_is_told_alone_only_when_it_is_new() {
        let limit = |seconds, value| (Measure::MEMORY_LIMIT, seconds, value);
        let none = [limit(40, 0.0), limit(50, 9_223_372_036_854_771_712.0)];
        assert!(feed(&mut Samples::default(), &none).is_empty());
        let told = feed(&mut Samples::default(), &[limit(0, 5.0), limit(10, 5.0), limit(20, 6.0), none[0], none[1]]);
        let limits: Vec<&Value> = told.iter().map(|event| &event["payload"]["memory_limit_bytes"]).collect();
        assert_eq!(limits, [5, 6, 0]);
    }

    #[test]
    fn no_more_moments_wait_than_there_is_room_for() {
        let who = Who::new(None, "s".to_owned(), "", Labels::new(), Object::new());
        let (mut samples, mut out) = (Samples::default(), Out::default());
        for at in 1..=PENDING as i64 + 1 {
            let measure = Measure::CPU;
            let at = at * SECOND;
            let series = &who.series("x", "{}".to_owned());
            let point =
                Point { who: &who, series, measure, parts: 0, at, value: Number::Whole(1), since: None, delta: false };
            samples.add(&point, &mut out);
        }
        assert_eq!(samples.pending.len(), PENDING * 3 / 4);
        assert_eq!(out.len(), PENDING + 1 - samples.pending.len());
    }
}
