//! No record inside a recognised document is without an event or a reject: for every format, whatever a list is called.

use super::{FORMATS, Format, Guess, Head, Out, TEST_NOW, Taken};
use serde_json::{Value, json};

/// A record is what holds a text that begins like this.
const MARK: &str = "marked-";

/// Members of records themselves: what they hold is not what a document holds.
const OF_A_RECORD: [&str; 4] = ["attributes", "body", "payload", "metric"];

/// Documents of every format, each with marked records in every kind of place.
fn documents() -> Vec<(&'static str, Value)> {
    let attribute = |key: &str, text: &str| json!({"key": key, "value": {"stringValue": text}});
    let point = |mark: &str, more: Value| {
        let mut point = json!({"timeUnixNano": "1790813290000000000", "startTimeUnixNano": "1790813280000000000",
            "attributes": [attribute("q", &format!("{MARK}{mark}"))]});
        point.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        point
    };
    let span = |mark: &str| {
        json!({"name": format!("{MARK}{mark}"), "startTimeUnixNano": "1790813290000000000",
        "endTimeUnixNano": "1790813291000000000"})
    };
    let log =
        |mark: &str| json!({"timeUnixNano": "1790813290000000000", "body": {"stringValue": format!("{MARK}{mark}")}});
    let resource = json!({"attributes": [attribute("service.name", "cart")]});
    let number = |value: u64| json!({"asInt": value});
    let metrics = json!([
        {"name": "g", "gauge": {"dataPoints": [point("gauge", number(1)), point("gauge2", number(2))]}},
        {"name": "s", "sum": {"aggregationTemporality": 2, "dataPoints": [point("sum", number(1))]}},
        {"name": "h", "histogram": {"aggregationTemporality": 1, "dataPoints": [point("histogram", json!({"count": "4"}))]}},
        {"name": "e", "exponentialHistogram": {"dataPoints": [point("exponential", json!({"count": "4"}))]}},
        {"name": "q", "summary": {"dataPoints": [point("summary", json!({"count": "4", "sum": 1.5}))]}},
    ]);
    let run = |id: u64| {
        json!({"id": id, "name": format!("{MARK}run{id}"), "workflow_id": 1, "run_number": 1, "head_sha": "a",
        "status": "completed", "conclusion": "success", "created_at": "2026-11-10T09:00:00Z",
        "updated_at": "2026-11-10T09:05:00Z", "repository": {"id": 1, "full_name": "acme/api"}})
    };
    let job = |id: u64| {
        json!({"id": id, "run_id": 9, "name": format!("{MARK}job{id}"), "head_sha": "a", "status": "completed",
        "url": "https://api.github.com/repos/acme/api/actions/jobs/1", "started_at": "2026-11-10T09:00:00Z",
        "completed_at": "2026-11-10T09:05:00Z", "conclusion": "success", "steps": [{"name": "s", "number": 1}]})
    };
    let check = |id: u64| {
        json!({"id": id, "name": format!("{MARK}check{id}"), "head_sha": "a", "status": "completed",
        "conclusion": "success", "started_at": "2026-11-10T09:00:00Z", "completed_at": "2026-11-10T09:05:00Z",
        "check_suite": {"id": 5}, "url": "https://api.github.com/repos/acme/api/check-runs/4"})
    };
    let series = |mark: &str, values: Value| json!({"metric": {"__name__": "up", "q": format!("{MARK}{mark}")}, "values": values});
    let answer =
        |kind: &str, result: Value| json!({"status": "success", "data": {"resultType": kind, "result": result}});
    let event = |mark: &str| {
        json!({"id": mark, "type": "WatchEvent", "actor": {"login": "ann"}, "repo": {"name": "o/r"},
        "payload": {"action": format!("{MARK}{mark}")}, "created_at": "2021-01-20T10:12:34Z"})
    };
    vec![
        (
            "native",
            json!({"repo": "a/b", "events": [
            {"ts": "2026-10-01T00:00:00Z", "type": "annotation", "payload": {"note": format!("{MARK}1")}},
            {"ts": "2026-10-01T00:00:00Z", "type": "annotation", "payload": {"note": format!("{MARK}2")}}]}),
        ),
        (
            "otlp",
            json!({"resourceMetrics": [{"resource": resource, "scopeMetrics": [{"scope": {"name": "x"}, "metrics": metrics}]}]}),
        ),
        (
            "otlp",
            json!({"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": [span("1"), span("2")]}, {"spans": [span("3")]}]},
            {"scopeSpans": [{"spans": [span("4")]}]}], "resourceLogs": [{"scopeLogs": [{"logRecords": [log("5")]}]}]}),
        ),
        (
            "otlp",
            json!({"resourceLogs": [{"resource": resource, "scopeLogs": [{"logRecords": [log("1"), log("2")]}]}]}),
        ),
        (
            "otlp",
            json!({"resource": resource, "scopeSpans": [{"spans": [span("1")]}], "scopeLogs": [{"logRecords": [log("2")]}]}),
        ),
        (
            "otlp",
            json!({"resourceSpans": [{"instrumentationLibrarySpans": [{"instrumentationLibrary": {"name": "x"}, "spans": [span("1")]}]}]}),
        ),
        ("otlp", json!({"resourceLogs": [{"instrumentationLibraryLogs": [{"logs": [log("1")]}]}]})),
        ("otlp", json!({"resource_spans": [{"scope_spans": [{"spans": [span("1")]}]}]})),
        (
            "otlp",
            json!({"resourceSpans": [], "resourceProfiles": [{"scopeProfiles": [{"profiles": [{"profileId": format!("{MARK}1")}]}]}]}),
        ),
        ("actions", json!({"total_count": 2, "workflow_runs": [run(1), run(2)]})),
        ("actions", json!({"total_count": 2, "jobs": [job(1), job(2)], "workflow_runs": []})),
        ("actions", json!({"total_count": 1, "check_runs": [check(1), check(2)]})),
        ("actions", json!({"action": "completed", "check_run": check(1), "repository": {"full_name": "acme/api"}})),
        (
            "gitlab",
            json!({"id": 7, "status": "success", "stage": format!("{MARK}stage"), "name": format!("{MARK}job"),
            "pipeline": {"id": 1}, "started_at": "2026-11-10T09:00:00Z", "duration": 3,
            "web_url": "https://gitlab.example/acme/api/-/jobs/7"}),
        ),
        ("actions", json!({"action": "completed", "workflow_job": job(1), "repository": {"full_name": "acme/api"}})),
        (
            "prometheus",
            answer(
                "matrix",
                json!([series("1", json!([[1_790_813_290, "1"]])), series("2", json!([[1_790_813_290, "2"]]))]),
            ),
        ),
        (
            "prometheus",
            answer(
                "vector",
                json!([{"metric": {"__name__": "up", "q": format!("{MARK}1")}, "value": [1_790_813_290, "1"]}]),
            ),
        ),
        ("prometheus", {
            let mut both = series("1", json!([[1_790_813_290, "1"]]));
            both["histograms"] = json!([[1_790_813_290, {"count": format!("{MARK}2")}]]);
            answer("matrix", json!([both]))
        }),
        ("prometheus", {
            let mut export = series("1", json!([1, 2]));
            export["timestamps"] = json!([1_790_813_290_000_u64, 1_790_813_300_000_u64]);
            export
        }),
        ("gharchive", event("1")),
        (
            "github",
            json!({"_repo": "o/r", "_number": 3, "_kind": "event", "event": "labeled", "created_at": "2020-06-18T12:36:23Z",
            "label": format!("{MARK}1")}),
        ),
    ]
}

/// Every mark in a value.
fn marks(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) if text.starts_with(MARK) => found.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| marks(item, found)),
        Value::Object(members) => members.values().for_each(|member| marks(member, found)),
        _ => {}
    }
}

/// The marks of a document, and those of what became of it.
fn before_and_after(format: &Format, document: &Value) -> [Vec<String>; 2] {
    let (mut reader, mut out) = (format.reader(TEST_NOW), Out::default());
    reader.object(document.clone(), &mut out);
    loop {
        let before = out.len();
        reader.end(&mut out);
        if out.len() == before {
            break;
        }
    }
    let told = |taken: &Taken| match taken {
        Ok(event) => Value::Object(event.clone()),
        Err((value, _)) => value.clone(),
    };
    let (mut before, mut after) = (Vec::new(), Vec::new());
    marks(document, &mut before);
    out.rest().0.iter().for_each(|taken| marks(&told(taken), &mut after));
    for marks in [&mut before, &mut after] {
        marks.sort();
        marks.dedup();
    }
    [before, after]
}

/// The documents that are like this one, but that one list or object around marked records has another name.
fn renamed(value: &Value) -> Vec<Value> {
    let holds_marks = |value: &Value| {
        let mut found = Vec::new();
        marks(value, &mut found);
        !found.is_empty() && (value.is_array() || value.is_object())
    };
    match value {
        Value::Object(members) => {
            let mut all = Vec::new();
            let around = |key: &str| !OF_A_RECORD.contains(&key);
            for (key, inner) in members.iter().filter(|(key, inner)| around(key) && holds_marks(inner)) {
                let mut other = members.clone();
                let moved = other.remove(key).unwrap();
                other.insert("somethingNew".into(), moved.clone());
                all.push(Value::Object(other.clone()));
                // And beside an empty list of the right name.
                if inner.is_array() {
                    other.insert(key.clone(), json!([]));
                    all.push(Value::Object(other));
                }
                for inner in renamed(inner) {
                    let mut other = members.clone();
                    other.insert(key.clone(), inner);
                    all.push(Value::Object(other));
                }
            }
            all
        }
        Value::Array(items) => {
            let mut all = Vec::new();
            for (at, item) in items.iter().enumerate() {
                for item in renamed(item) {
                    let mut other = items.clone();
                    other[at] = item;
                    all.push(Value::Array(other));
                }
                // What should be an object is none.
                let mut other = items.clone();
                other[at] = json!([item]);
                all.push(Value::Array(other));
            }
            all
        }
        _ => Vec::new(),
    }
}

#[test]
fn no_record_of_a_recognised_document_is_passed_over() {
    let mut tried = 0;
    for (name, document) in documents() {
        let format = FORMATS.iter().find(|format| format.name == name).unwrap();
        assert!(
            matches!(Format::guess(&Head::Json(&document)), Guess::Surely(sure) if sure.name == name),
            "{document}"
        );
        let [before, after] = before_and_after(format, &document);
        assert!(!before.is_empty() && before == after, "{document}: {before:?} {after:?}");
        for other in renamed(&document) {
            let [before, after] = before_and_after(format, &other);
            assert_eq!(before, after, "{other}");
            tried += 1;
        }
    }
    assert!(tried > 150, "{tried}");
}

#[test]
fn every_format_is_tried() {
    // A calendar is text: its own tests hold it to the same.
    for format in FORMATS.iter().filter(|format| format.name != "icalendar") {
        assert!(documents().iter().any(|(name, _)| *name == format.name), "{}", format.name);
    }
}
