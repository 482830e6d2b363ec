//! Names that OTLP had before, and that its JSON may have beside: as today's.
//!
//! - Until 0.19 (opentelemetry-proto, 2022) scopes were instrumentation libraries, and until 0.14 log records `logs`.
//! - Until 0.9 a metric's kind told the type of its numbers (`intGauge`, `doubleSum`, …), a point had `labels` of texts,
//!   and its number was `value`.
//! - Protocol Buffers' JSON may write fields as the `.proto` files do (`resource_spans`), and readers must take both.

use super::Object;
use serde_json::{Value, json};

/// Old names of members, whatever they are in.
const NAMES: &[(&str, &str)] = &[
    ("instrumentationLibraryMetrics", "scopeMetrics"),
    ("instrumentationLibrarySpans", "scopeSpans"),
    ("instrumentationLibraryLogs", "scopeLogs"),
    ("instrumentationLibrary", "scope"),
    ("logs", "logRecords"),
    ("intGauge", "gauge"),
    ("doubleGauge", "gauge"),
    ("intSum", "sum"),
    ("doubleSum", "sum"),
    ("intHistogram", "histogram"),
    ("doubleHistogram", "histogram"),
    ("doubleSummary", "summary"),
];

/// Whether a document has any old name in the parts around its records, or in those records that are metrics.
fn is_old(key: &str) -> bool {
    key.contains('_') || NAMES.iter().any(|(old, _)| *old == key)
}

/// Renames what has an old name. Keys of attributes are values in OTLP: no name that a person chose is touched.
pub(super) fn renamed(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            // A point before 0.9: its number and its labels are renamed together.
            let point = members.contains_key("timeUnixNano") || members.contains_key("time_unix_nano");
            let mut new = Object::new();
            for (key, value) in members {
                let name = if is_old(&key) { name(&key) } else { key };
                let (name, value) = match name.as_str() {
                    "labels" if point => ("attributes".to_owned(), labels(value)),
                    "value" if point => number(value),
                    // Whatever is in here is told by its type.
                    "attributes" | "body" | "filteredAttributes" => (name, plain_renamed(value)),
                    _ => (name, renamed(value)),
                };
                match new.get_mut(&name) {
                    // Both names, or two kinds: neither is lost.
                    Some(Value::Array(before)) if value.is_array() => {
                        before.extend(value.as_array().cloned().unwrap_or_default());
                    }
                    Some(before) if !before.is_null() => {
                        new.insert(format!("{name} again"), value);
                    }
                    _ => {
                        new.insert(name, value);
                    }
                }
            }
            Value::Object(new)
        }
        Value::Array(items) => items.into_iter().map(renamed).collect(),
        value => value,
    }
}

/// `string_value` is the only name with an underscore in here.
fn plain_renamed(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let entry = |(key, value): (String, Value)| {
                let key = if key.ends_with("_value") { camel(&key) } else { key };
                (key, plain_renamed(value))
            };
            members.into_iter().map(entry).collect()
        }
        Value::Array(items) => items.into_iter().map(plain_renamed).collect(),
        value => value,
    }
}

fn name(key: &str) -> String {
    let key = camel(key);
    match NAMES.iter().find(|(old, _)| *old == key) {
        Some((_, new)) => (*new).to_owned(),
        None => key,
    }
}

/// `resource_spans` → `resourceSpans`
fn camel(key: &str) -> String {
    let mut name = String::with_capacity(key.len());
    let mut upper = false;
    for letter in key.chars() {
        match letter {
            '_' => upper = !name.is_empty(),
            letter if std::mem::take(&mut upper) => name.push(letter.to_ascii_uppercase()),
            letter => name.push(letter),
        }
    }
    name
}

/// `[{"key": "a", "value": "b"}]` → attributes.
fn labels(value: Value) -> Value {
    let Value::Array(labels) = value else { return value };
    let attribute = |label: Value| match label.get("value") {
        Some(Value::String(text)) => json!({"key": label.get("key"), "value": {"stringValue": text}}),
        _ => label,
    };
    labels.into_iter().map(attribute).collect()
}

/// A whole number was written as text, and only such.
fn number(value: Value) -> (String, Value) {
    let whole = match &value {
        Value::String(digits) => digits.parse::<i64>().is_ok(),
        value => value.is_i64(),
    };
    (if whole { "asInt" } else { "asDouble" }.to_owned(), value)
}
