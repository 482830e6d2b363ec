//! OpenTelemetry in JSON, a request a line, as the collector's file exporter writes it: `{"resourceMetrics": […]}`,
//! `{"resourceSpans": […]}` or `{"resourceLogs": […]}`. Java's logging exporter writes what is inside, an entry a line,
//! with or without the logger's words before it.
//!
//! Metrics of containers and pods become `usage`, all others `kpi`; spans of pipelines and their tasks become `ci_run`,
//! calls of other services `api_call`, all others `span`; log records become `log`. The last two are types the
//! contract does not name: they are kept and queried as any unknown type. Refused is only what has no usable time,
//! value or name.

mod metrics;
mod names;
mod older;
mod spans;

use super::parts::Part;
use super::samples::{Labels, Samples, Who, event};
use super::{Format, Head, Object, Out, Reader, Taken, workload};
use domain::Reason;
use domain::json::Tape;
use domain::time::Timestamp;
use serde_json::{Value, json};
use std::sync::Arc;

pub(super) static FORMAT: Format =
    Format { name: "otlp", recognises, reader: |_| Box::new(Otlp::default()), independent: false };

/// The requests, what is in an entry of each, what is in that, and what it is called in an entry that stands alone.
const SIGNALS: [(&str, &str, &str); 3] = [
    ("resourceMetrics", "scopeMetrics", "metrics"),
    ("resourceSpans", "scopeSpans", "spans"),
    ("resourceLogs", "scopeLogs", "logRecords"),
];

/// Names of requests and entries, those of before included.
fn recognises(head: &Head) -> bool {
    match head {
        Head::Json(value) => {
            let has = |key: &str| value.get(key).is_some_and(Value::is_array);
            let old = ["resource_metrics", "resource_spans", "resource_logs", "resourceProfiles"];
            let entry = || {
                let library =
                    ["instrumentationLibraryMetrics", "instrumentationLibrarySpans", "instrumentationLibraryLogs"];
                let mut scopes = SIGNALS.iter().map(|(_, scopes, _)| *scopes).chain(library);
                value.get("ts").is_none() && scopes.any(has)
            };
            SIGNALS.iter().any(|(request, _, _)| has(request)) || old.iter().any(|key| has(key)) || entry()
        }
        Head::Text(line) => inside(line).is_some(),
    }
}

/// The JSON behind the words of a logger, where it is OTLP.
fn inside(line: &str) -> Option<Value> {
    let start = line.find("{\"")?;
    let value = Tape::default().scan(&line[start..]).ok()?.value(0);
    (start > 0 && recognises(&Head::Json(&value))).then_some(value)
}

#[derive(Default)]
struct Otlp {
    samples: Samples,
}

impl Reader for Otlp {
    fn object(&mut self, value: Value, out: &mut Out) {
        if !value.is_object() {
            return out.push(Err((value, Reason::NotAnObject)));
        }
        if !recognises(&Head::Json(&value)) {
            let reason = Reason::Format("no array resourceMetrics, resourceSpans or resourceLogs");
            return out.push(Err((value, reason)));
        }
        let value = older::renamed(value);
        let alone = SIGNALS.iter().all(|(request, _, _)| value.get(request).is_none())
            && value.get("resourceProfiles").is_none();
        // What names a person is found by its name, which is a value in OTLP.
        let amend = |refused: &mut Value| *refused = plain(refused);
        out.amended(amend, |out| {
            if alone {
                return self.entry(value, out);
            }
            Part::read(value, &[], out, |request, out| {
                for (key, _, _) in SIGNALS {
                    request.records(key).into_iter().for_each(|entry| self.entry(entry, out));
                }
            });
        });
    }

    fn text(&mut self, line: &str, out: &mut Out) {
        match inside(line) {
            Some(value) => self.object(value, out),
            None => out.push(Err((Value::String(line.to_owned()), Reason::NotJson))),
        }
    }

    fn end(&mut self, out: &mut Out) {
        self.samples.end(out);
    }
}

impl Otlp {
    /// What one resource sent.
    fn entry(&mut self, entry: Value, out: &mut Out) {
        Part::read(entry, &["resource"], out, |entry, out| {
            let resource = Resource::of(entry.get("resource"));
            for (_, scopes, key) in SIGNALS {
                let mut records = Vec::new();
                for scope in entry.records(scopes) {
                    Part::read(scope, &["scope"], out, |scope, _| records.append(&mut scope.records(key)));
                }
                match key {
                    "metrics" => records.into_iter().for_each(|metric| self.metric(&resource, metric, out)),
                    "spans" => out.extend(spans::all(&resource, &records)),
                    _ => out.extend(records.iter().map(|record| log(&resource, record))),
                }
            }
        });
    }

    /// A metric and its points; what else it holds is refused.
    fn metric(&mut self, resource: &Resource, metric: Value, out: &mut Out) {
        let Some(kind) = metrics::read(&mut self.samples, resource, &metric, out) else { return };
        Part::read(metric, &["metadata"], out, |metric, out| {
            Part::read(metric.inner(kind), &[], out, |data, _| drop(data.records("dataPoints")));
        });
    }
}

/// What sent the telemetry.
struct Resource {
    attributes: Object,
    env: Option<String>,
    /// The container or pod, if it is one.
    who: Option<Arc<Who>>,
    /// The service, if it is none.
    service: Option<String>,
}

impl Resource {
    fn of(resource: &Value) -> Self {
        let attributes = attributes(resource);
        let (env, who) = container(&attributes);
        let mut resource = Self { env, who, service: None, attributes };
        if resource.who.is_none() {
            let service = text(&resource.attributes, &["service.name"]).map(str::to_owned);
            let namespace = text(&resource.attributes, &["service.namespace"]).map(str::to_owned);
            resource.env = resource.env.or(namespace);
            resource.service = service.map(|service| workload::resource(resource.env.as_deref(), &service, None));
        }
        resource
    }

    fn name(&self) -> Option<&str> {
        self.who.as_ref().map(|who| who.resource()).or(self.service.as_deref())
    }

    /// An event of it. `payload` is completed with its attributes.
    fn event(&self, at: i64, kind: &str, mut payload: Object) -> Object {
        if !self.attributes.is_empty() {
            payload.insert("resource_attributes".into(), Value::Object(self.attributes.clone()));
        }
        event(at, kind, self.env.as_deref(), self.name(), payload)
    }

    /// A reject of it, with plain attributes, so that what names a person is found by its name and hashed.
    fn reject(&self, value: &Value, reason: Reason) -> Taken {
        Err((json!({"resource_attributes": self.attributes, "value": plain(value)}), reason))
    }
}

/// Attributes that name what is measured, beside what tells apart those of one name.
const NAMES: &[&str] = &[
    "k8s.namespace.name",
    "k8s.pod.name",
    "k8s.container.name",
    "k8s.deployment.name",
    "k8s.statefulset.name",
    "k8s.daemonset.name",
    "k8s.cronjob.name",
    "k8s.job.name",
    "k8s.replicaset.name",
    "container.name",
    "com.docker.compose.project",
    "com.docker.compose.service",
    "container.label.com.docker.compose.project",
    "container.label.com.docker.compose.service",
];

/// Attributes that change while what is measured stays the same: how the container of a pod ended last, and how often. One
/// that is started again has another id, and goes on counting its restarts.
const PASSING: &[&str] =
    &["container.id", "k8s.container.restart_count", "k8s.container.status.last_terminated_reason"];

/// The container or pod that attributes name, and its environment: Kubernetes, then Compose, then a lone container.
fn container(attributes: &Object) -> (Option<String>, Option<Arc<Who>>) {
    let get = |keys: &[&str]| text(attributes, keys);
    let about = || {
        [
            ("cluster", "k8s.cluster.name"),
            ("pod", "k8s.pod.name"),
            ("node", "k8s.node.name"),
            ("host", "host.name"),
            ("container", "container.name"),
            ("container_id", "container.id"),
            ("image", "container.image.name"),
        ]
        .into_iter()
        .filter_map(|(field, key)| Some((field.to_owned(), attributes.get(key)?.clone())))
        .collect::<Object>()
    };
    // All that the source says of identity, whoever runs the container.
    let labels = |without: &[&str]| -> Labels {
        let tells = |key: &str| !NAMES.contains(&key) && !without.contains(&key);
        let told = attributes.iter().filter(|(key, _)| tells(key));
        told.map(|(key, value)| (key.clone(), value.as_str().map_or_else(|| value.to_string(), str::to_owned)))
            .collect()
    };
    let namespace = get(&["k8s.namespace.name"]);
    let pod = get(&["k8s.pod.name"]);
    let owner = get(&["k8s.deployment.name", "k8s.statefulset.name", "k8s.daemonset.name", "k8s.cronjob.name"])
        .or_else(|| get(&["k8s.job.name", "k8s.replicaset.name"]).map(workload::of_replica_set))
        .or_else(|| pod.map(workload::of_pod));
    // A Deployment by itself, as the cluster receiver tells of it, is no container: only its pods use anything.
    if let (Some(owner), true) = (owner, pod.is_some() || attributes.contains_key("k8s.container.name")) {
        let container = get(&["k8s.container.name"]);
        let resource = workload::resource(namespace, owner, container);
        let instance = [get(&["k8s.cluster.name"]), pod].map(Option::unwrap_or_default).join("/");
        let mut labels = labels(PASSING);
        if labels.is_empty() {
            // A container that is started again has another id and goes on counting its restarts.
            labels.extend(get(&["container.id"]).map(|id| ("container.id".to_owned(), id.to_owned())));
        }
        return (namespace.map(str::to_owned), Some(Who::new(namespace, resource, &instance, labels, about())));
    }
    let project = get(&["com.docker.compose.project", "container.label.com.docker.compose.project"]);
    let service = get(&["com.docker.compose.service", "container.label.com.docker.compose.service"]);
    let name = get(&["container.name"]).map(|name| name.trim_start_matches('/')).filter(|name| !name.is_empty());
    let id = get(&["container.id"]);
    let env = namespace.or(project);
    let who = service.or(name).filter(|_| owner.is_none()).map(|service| {
        let instance = name.or(id).unwrap_or_default();
        Who::new(env, workload::resource(env, service, None), instance, labels(&PASSING[1..]), about())
    });
    (env.map(str::to_owned), who)
}

/// A log record, kept whole.
fn log(resource: &Resource, record: &Value) -> Taken {
    let at = ["timeUnixNano", "observedTimeUnixNano"].iter().find_map(|key| micros(record.get(key)));
    let Some(at) = at else { return resource.reject(record, Reason::Timestamp) };
    let mut payload = Object::new();
    for (field, key) in [
        ("severity", "severityText"),
        ("severity_number", "severityNumber"),
        ("event_name", "eventName"),
        ("trace_id", "traceId"),
        ("span_id", "spanId"),
    ] {
        payload.extend(record.get(key).map(|value| (field.to_owned(), value.clone())));
    }
    payload.extend(record.get("body").map(|body| ("body".to_owned(), any(body))));
    payload.insert("attributes".into(), Value::Object(attributes(record)));
    Ok(resource.event(at, "log", payload))
}

/// The entries of a list; none where there is no list.
fn list<'v>(value: &'v Value, key: &str) -> &'v [Value] {
    value.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The attributes of something, as a plain object. The last of a name counts.
fn attributes(of: &Value) -> Object {
    let pair = |pair: &Value| Some((pair.get("key")?.as_str()?.to_owned(), any(pair.get("value")?)));
    list(of, "attributes").iter().filter_map(pair).collect()
}

/// `AnyValue`: an object whose only key says the type.
fn any(value: &Value) -> Value {
    let Some((kind, inner)) = value.as_object().and_then(|object| object.iter().next()) else { return Value::Null };
    match (kind.as_str(), inner) {
        ("intValue", Value::String(digits)) => digits.parse::<i64>().map_or_else(|_| inner.clone(), Value::from),
        ("arrayValue", inner) => list(inner, "values").iter().map(any).collect(),
        ("kvlistValue", inner) => attributes(&json!({"attributes": list(inner, "values")})).into(),
        _ => inner.clone(),
    }
}

/// The same with every list of attributes in it as a plain object.
fn plain(value: &Value) -> Value {
    match value {
        Value::Object(object) => object
            .iter()
            .map(|(key, inner)| match key.as_str() {
                "attributes" | "filteredAttributes" if inner.is_array() => {
                    (key.clone(), attributes(&json!({"attributes": inner})).into())
                }
                "body" => (key.clone(), any(inner)),
                _ => (key.clone(), plain(inner)),
            })
            .collect(),
        Value::Array(items) => items.iter().map(plain).collect(),
        _ => value.clone(),
    }
}

/// The first of these attributes that is a text with something in it.
fn text<'a>(attributes: &'a Object, keys: &[&str]) -> Option<&'a str> {
    keys.iter().find_map(|key| attributes.get(*key)?.as_str().filter(|text| !text.is_empty()))
}

/// A whole number that JSON writes as a string, as Protocol Buffers ask for, or as a number.
fn unsigned(value: Option<&Value>) -> Option<u64> {
    match value? {
        Value::String(digits) => digits.parse().ok(),
        value => value.as_u64(),
    }
}

/// Nanoseconds since 1970, in microseconds; `None` when absent, 0 (which means unknown) or unusable.
fn micros(value: Option<&Value>) -> Option<i64> {
    let micros = unsigned(value).filter(|nanos| *nanos > 0).and_then(|nanos| i64::try_from(nanos / 1_000).ok())?;
    Timestamp(micros).is_usable().then_some(micros)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::events_of;

    #[test]
    fn only_requests_of_the_collector_are_recognised() {
        let json = |value: Value| Format::detect(&Head::Json(&value)).name;
        assert_eq!(json(json!({"resourceMetrics": []})), "otlp");
        assert_eq!(json(json!({"resourceSpans": [{}]})), "otlp");
        assert_eq!(json(json!({"ts": "2026-10-01T00:00:00Z", "type": "edit", "payload": {"file": "a"}})), "native");
        assert_eq!(json(json!({"events": [], "resourceLogs": "x"})), "native");
        assert_eq!(json(json!({"_repo": "o/r", "_number": 3, "_kind": "opened"})), "github");
        assert_eq!(json(json!([1, 2])), "native");
        assert_eq!(Format::detect(&Head::Text("resourceMetrics 1")).name, "native");
    }

    #[test]
    fn a_log_record_is_kept_as_an_event_of_its_own_type() {
        let mut taken = events_of(
            &FORMAT,
            [json!({"resourceLogs": [{"resource": {"attributes": [
                {"key": "service.namespace", "value": {"stringValue": "shop"}},
                {"key": "service.name", "value": {"stringValue": "cart"}}]},
                "scopeLogs": [{"logRecords": [
                    {"timeUnixNano": "1790813293000000000", "severityText": "WARN", "severityNumber": 13,
                     "body": {"kvlistValue": {"values": [{"key": "user", "value": {"stringValue": "ann"}}]}},
                     "attributes": [{"key": "retries", "value": {"intValue": "3"}}], "traceId": "0a"},
                    {"body": {"stringValue": "no time"}}]}]}]})],
        );
        assert_eq!(taken.pop(), Some(Err(Reason::Timestamp)));
        let event = taken.remove(0).unwrap();
        assert_eq!((event.kind.as_str(), event.resource.as_deref()), ("log", Some("shop/cart")));
        assert_eq!(event.payload["attributes"]["retries"], 3);
        assert_eq!(event.payload["trace_id"], "0a");
        assert!(event.payload["body"]["user"].as_str().unwrap().starts_with("u-"));
    }

    #[test]
    fn hostile_shapes_are_refused_or_ignored_and_never_panic() {
        let shapes = [json!(null), json!(3), json!("x"), json!([[]]), json!({"attributes": 3}), json!([{"key": 1}])];
        for shape in &shapes {
            for key in ["resource", "scopeMetrics", "scopeSpans", "scopeLogs"] {
                events_of(
                    &FORMAT,
                    [json!({"resourceMetrics": [{key: shape}], "resourceSpans": [{key: [shape]}],
                    "resourceLogs": [{key: [{"logRecords": [shape], "spans": [shape]}]}, shape]})],
                );
            }
        }
        assert_eq!(events_of(&FORMAT, [json!([1])]), [Err(Reason::NotAnObject)]);
        let missing = Reason::Format("no array resourceMetrics, resourceSpans or resourceLogs");
        assert_eq!(events_of(&FORMAT, [json!({"resourceMetrics": 3})]), [Err(missing)]);
        for time in [json!("99999999999999999999999"), json!(-5), json!(1.5), json!(u64::MAX), json!("0")] {
            assert_eq!(micros(Some(&time)), None, "{time}");
        }
    }
}
