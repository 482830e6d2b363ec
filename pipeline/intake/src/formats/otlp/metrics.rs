//! Metrics: `usage` of containers and pods, `kpi` for all others.

use super::names::measure;
use super::{Out, Resource, Samples, attributes, list, micros, text, unsigned};
use crate::formats::Object;
use crate::formats::samples::{Measure, Number, Point, parts};
use domain::Reason;
use domain::time::SECOND;
use serde_json::{Value, json};

/// What the points of a metric are.
#[derive(Clone, Copy, PartialEq)]
enum Shape {
    Gauge,
    Sum,
    /// A histogram or summary: a count and a sum.
    Distribution,
}

/// A metric and its points.
pub(super) struct Metric<'v> {
    pub(super) name: &'v str,
    pub(super) unit: Option<&'v str>,
    shape: Shape,
    /// Whether each point counts from the end of the one before, not from the start of all.
    pub(super) delta: bool,
    /// Whether it never falls but to begin anew.
    pub(super) monotonic: bool,
    points: &'v [Value],
}

/// Reads a metric; the kind of its points, when it has any that are read.
pub(super) fn read(samples: &mut Samples, resource: &Resource, value: &Value, out: &mut Out) -> Option<&'static str> {
    match metric(value) {
        Ok((kind, metric)) => {
            metric.points.iter().for_each(|point| take(samples, resource, &metric, point, out));
            Some(kind)
        }
        Err(reason) => {
            out.push(resource.reject(value, Reason::Format(reason)));
            None
        }
    }
}

fn metric(value: &Value) -> Result<(&'static str, Metric<'_>), &'static str> {
    let name =
        value.get("name").and_then(Value::as_str).filter(|name| !name.is_empty()).ok_or("a metric has no name")?;
    let unit = value.get("unit").and_then(Value::as_str).filter(|unit| !unit.is_empty());
    let data = |key: &str| value.get(key).filter(|data| data.get("dataPoints").is_some_and(Value::is_array));
    let kinds = ["gauge", "sum", "histogram", "exponentialHistogram", "summary"];
    let (kind, data) = kinds
        .into_iter()
        .find_map(|kind| Some((kind, data(kind)?)))
        .ok_or("a metric has no data points of a known kind")?;
    // What is summed since when is not said: neither a rate nor a total can be read from it.
    let temporality = data.get("aggregationTemporality");
    let is_unspecified = match temporality {
        Some(Value::String(name)) => name.ends_with("UNSPECIFIED"),
        Some(number) => number.as_u64() == Some(0),
        None => false,
    };
    if kind == "sum" && is_unspecified {
        return Err("a sum has an unspecified aggregation temporality");
    }
    let shape = match kind {
        "gauge" => Shape::Gauge,
        "sum" => Shape::Sum,
        _ => Shape::Distribution,
    };
    let monotonic = data.get("isMonotonic").and_then(Value::as_bool).unwrap_or(false);
    Ok((kind, Metric { name, unit, shape, delta: is_delta(data), monotonic, points: list(data, "dataPoints") }))
}

/// Enumerations are written as numbers or by name. What says nothing is taken as a running total, the default of SDKs.
fn is_delta(data: &Value) -> bool {
    match data.get("aggregationTemporality") {
        Some(Value::String(name)) => name.ends_with("DELTA"),
        Some(number) => number.as_u64() == Some(1),
        None => false,
    }
}

fn take(samples: &mut Samples, resource: &Resource, metric: &Metric<'_>, point: &Value, out: &mut Out) {
    // Bit 0 of the flags: the series has ended, there is no value.
    if unsigned(point.get("flags")).is_some_and(|flags| flags & 1 == 1) {
        return;
    }
    let mut refuse = |reason| {
        let what = json!({"metric": metric.name, "point": point});
        out.push(resource.reject(&what, reason));
    };
    let Some(at) = micros(point.get("timeUnixNano")) else { return refuse(Reason::Timestamp) };
    if metric.shape == Shape::Distribution {
        return distribution(resource, metric, point, at, out);
    }
    let value = match value(point) {
        Some(value) if value.float().is_nan() => return,
        Some(value) if value.float().is_finite() => value,
        _ => return refuse(Reason::Format("a data point has no finite number")),
    };
    let attributes = attributes(point);
    if let Some(who) = &resource.who
        && let Some(measure) = measure(metric, &attributes)
    {
        if value.float() < 0.0 {
            return refuse(Reason::Format("a container's use is negative"));
        }
        let since = micros(point.get("startTimeUnixNano")).filter(|since| *since <= at);
        if metric.delta && since.is_none_or(|since| since == at) {
            return refuse(Reason::Format("a delta has no startTimeUnixNano before its end"));
        }
        let parts = parts(attributes.iter().map(|(name, value)| (name.as_str(), value.as_str().unwrap_or("part"))));
        let series = &who.series(metric.name, Value::Object(attributes).to_string());
        if measure == Measure::RESTARTS && text(&resource.attributes, &[LAST_REASON]).is_some() {
            let oom = text(&resource.attributes, &[LAST_REASON]) == Some("OOMKilled");
            let value = Number::Whole(i128::from(oom));
            let measure = Measure::LAST_EXIT_OOM;
            samples.add(&Point { who, series, measure, parts, at, value, since: None, delta: false }, out);
        }
        return samples.add(&Point { who, series, measure, parts, at, value, since, delta: metric.delta }, out);
    }
    let mut payload = kpi(metric, metric.name, metric.unit, value, attributes, point, at);
    if metric.shape != Shape::Gauge {
        payload.insert("monotonic".into(), json!(metric.monotonic));
    }
    out.push(Ok(resource.event(at, "kpi", payload)));
}

/// When a delta began.
fn begin(metric: &Metric<'_>, point: &Value, at: i64) -> Option<i64> {
    micros(point.get("startTimeUnixNano")).filter(|since| metric.delta && *since < at)
}

/// The cluster receiver tells why a container ended last as an attribute of the container.
const LAST_REASON: &str = "k8s.container.status.last_terminated_reason";

fn value(point: &Value) -> Option<Number> {
    Number::of(point.get("asDouble").or_else(|| point.get("asInt"))?)
}

fn kpi(
    metric: &Metric<'_>,
    name: &str,
    unit: Option<&str>,
    value: Number,
    attributes: Object,
    point: &Value,
    at: i64,
) -> Object {
    let mut payload = Object::new();
    payload.insert("metric".into(), json!(name));
    payload.insert("value".into(), value.json());
    payload.extend(unit.map(|unit| ("unit".to_owned(), json!(unit))));
    if !attributes.is_empty() {
        payload.insert("attributes".into(), Value::Object(attributes));
    }
    if let Some(since) = begin(metric, point, at) {
        payload.insert("interval_s".into(), json!((at - since) as f64 / SECOND as f64));
    }
    payload
}

/// Two values: how many, with the buckets or quantiles as they are written; and their sum.
fn distribution(resource: &Resource, metric: &Metric<'_>, point: &Value, at: i64, out: &mut Out) {
    let Some(count) = unsigned(point.get("count")) else {
        let what = json!({"metric": metric.name, "point": point});
        return out.push(resource.reject(&what, Reason::Format("a histogram or summary has no count")));
    };
    let name = format!("{}.count", metric.name);
    let mut payload = kpi(metric, &name, Some("1"), Number::Whole(count.into()), attributes(point), point, at);
    for key in ["bucketCounts", "explicitBounds", "quantileValues", "scale", "zeroCount", "positive", "negative"] {
        payload.extend(point.get(key).map(|value| (key.to_owned(), value.clone())));
    }
    out.push(Ok(resource.event(at, "kpi", payload)));
    // Without a sum the values may be negative, or were not added up: OTLP leaves it out then.
    if let Some(sum) = point.get("sum").and_then(Number::of).filter(|sum| sum.float().is_finite()) {
        let name = format!("{}.sum", metric.name);
        let mut payload = kpi(metric, &name, metric.unit, sum, attributes(point), point, at);
        for key in ["min", "max"] {
            payload.extend(point.get(key).map(|value| (key.to_owned(), value.clone())));
        }
        out.push(Ok(resource.event(at, "kpi", payload)));
    }
}

#[cfg(test)]
mod tests;
