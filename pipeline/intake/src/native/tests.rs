use super::*;
use crate::arrays::Columns;
use crate::columns::events_schema;
use crate::rows::EVENT_DATE;
use arrow_array::ArrayRef;
use domain::event::read_native;
use domain::fields::Kind as Type;
use proptest::prelude::*;
use serde_json::{Value, json};

fn privacy() -> Privacy {
    Privacy::new(b"a key of the tests")
}

/// Every column of every row, in order.
fn columns(rows: &Rows) -> Vec<ArrayRef> {
    let order: Vec<u32> = (0..rows.len() as u32).collect();
    let columns: Vec<usize> = (0..events_schema().fields().len()).filter(|column| *column != EVENT_DATE).collect();
    Columns::new(rows, &columns).arrays(&order).unwrap()
}

fn fast(reader: &mut NativeReader, line: &str, rows: &mut Rows) -> bool {
    let mut tape = Tape::default();
    let followed = reader.follow(&mut tape, line);
    let Some(key) = followed.or_else(|| tape.scan(line).ok().and_then(|json| reader.read(json))) else { return false };
    reader.push(key, rows);
    true
}

/// The reference: `serde_json`, the rules of the domain, one event at a time.
fn reference(line: &str, rows: &mut Rows) -> bool {
    let Ok(value) = serde_json::from_str::<Value>(line) else { return false };
    let mut events = read_native(value, &privacy());
    let Some(Ok(event)) = events.pop().filter(|_| events.is_empty()) else { return false };
    let normal = Identity::new(&privacy()).normal_form(&event);
    slow::push(rows, &event, &normal);
    true
}

#[test]
fn usual_events_take_the_fast_way() {
    let mut reader = NativeReader::new(&privacy());
    let payloads = [
        (
            "edit",
            json!({"file": "src/a.rs", "change_summary": "+5/-1", "diff_snippet": "@@ -1,7 +1,10 @@ fn main() {\n+ let x = \"y\";\n"}),
        ),
        (
            "command",
            json!({"command": "cargo test -p core", "exit_code": 0, "duration_ms": 5210, "stdout_sample": "FAILED test_api.py::test_login - AssertionError"}),
        ),
        ("test", json!({"command": "pytest -q", "exit_code": 1, "duration_ms": 52, "passed": 3, "failed": 1})),
        (
            "commit",
            json!({"sha": "da39a3ee5e6b4b0d3255bfef95601890afd80709", "message": "fix: handle empty input case", "files_changed": 2, "insertions": 5, "deletions": 0, "files": ["a.rs", "b.rs"]}),
        ),
        (
            "usage",
            json!({"interval_s": 10, "cpu_cores": 1.25, "cpu_limit_cores": 4, "memory_bytes": 8000000000u64, "memory_limit_bytes": 8589934592u64}),
        ),
        ("annotation", json!({"note": "need to revisit the retry logic here"})),
        ("ci_run", json!({"run_id": 7, "duration_ms": 1, "workflow": "ci", "job": "build", "result": "success"})),
        ("brand_new", json!({"any": [1, {"b": null, "a": 2.5}]})),
    ];
    for (kind, payload) in payloads {
        let line = json!({"ts": "2026-10-01T00:08:13Z", "type": kind, "repo": "acme/api", "branch": "main", "pr": 12,
            "developer": "0f9c1d2e", "env": "api-dev", "resource": "api-dev/c1", "session": "s1", "payload": payload});
        let (mut ours, mut theirs) = (Rows::default(), Rows::default());
        assert!(fast(&mut reader, &line.to_string(), &mut ours), "{line}");
        let key = reader.follow(&mut Tape::default(), &line.to_string());
        assert_eq!(key.map(|key| key.id), Some(ours.ids()[0]), "not followed: {line}");
        assert!(reference(&line.to_string(), &mut theirs), "{line}");
        assert_eq!(ours.ids(), theirs.ids(), "{line}");
        assert_eq!(columns(&ours), columns(&theirs), "{line}");
    }
}

fn scalar() -> impl Strategy<Value = Value> {
    const TEXTS: &[&str] = &[
        "",
        " a",
        "a b",
        "é",
        "\u{1F600}\n\"q\"\\",
        "mail ann@example.com",
        "@ann",
        "password=hunter22",
        "2026-10-01T00:00:00Z",
        "+3/-4",
        "/home/ann/x",
        "o/r#4",
        "u-0123456789abcdef01234567",
    ];
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3i64..2_000_000_000_000).prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-5.0f64..1e6).prop_map(|f| Value::from((f * 1000.0).round() / 1000.0)),
        proptest::num::f64::NORMAL.prop_map(Value::from),
        proptest::sample::select(TEXTS).prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ]
}

fn any_value() -> impl Strategy<Value = Value> {
    let keys = proptest::sample::select(&["a", "b", "user", "password", "login", "é", "k\"", "x@y.zz", "status"][..]);
    scalar().prop_recursive(3, 12, 4, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            proptest::collection::vec((keys.clone(), inner), 0..4)
                .prop_map(|e| Value::Object(e.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())),
        ]
    })
}

fn any_event() -> impl Strategy<Value = String> {
    let kind = proptest::sample::select(
        &["edit", "command", "commit", "pr", "ci_run", "usage", "kpi", "schedule", "adjustment", "debug", "other"][..],
    );
    (kind, any::<u64>()).prop_flat_map(|(kind, seed)| {
        let fields: Vec<(&str, fields::Kind)> = places(kind).iter().map(|place| (place.name, place.kind)).collect();
        let fitting = |kind: fields::Kind| -> BoxedStrategy<Value> {
            match kind {
                Type::Text => ".{0,10}".prop_map(Value::from).boxed(),
                Type::Int | Type::Count | Type::Id => (0i64..1 << 40).prop_map(Value::from).boxed(),
                Type::Float | Type::Amount => (0.0f64..1e5).prop_map(Value::from).boxed(),
                Type::Bool => any::<bool>().prop_map(Value::from).boxed(),
                Type::Time => Just(Value::from("2026-10-01T02:00:00+02:00")).boxed(),
                Type::List => Just(json!(["a", 1.0, null])).boxed(),
                Type::Json => any_value().boxed(),
            }
        };
        let values: Vec<BoxedStrategy<Option<Value>>> = fields
            .iter()
            .map(|(_, kind)| {
                prop_oneof![
                    6 => fitting(*kind).prop_map(Some),
                    1 => Just(None),
                    1 => any_value().prop_map(Some),
                ]
                .boxed()
            })
            .collect();
        let names: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
        let outer = proptest::collection::vec(
            (
                proptest::sample::select(
                    &["repo", "branch", "pr", "developer", "env", "resource", "session", "extra", "payload"][..],
                ),
                scalar(),
            ),
            0..7,
        );
        let extra = proptest::collection::vec(
            (proptest::sample::select(&["zz", "aa", "user", "token", "nested"][..]), any_value()),
            0..3,
        );
        (values, outer, extra).prop_map(move |(values, outer, extra)| {
            let mut payload: Vec<String> = names
                .iter()
                .zip(values)
                .filter_map(|(name, value)| Some(format!("{}:{}", json!(name), value?)))
                .chain(extra.iter().map(|(name, value)| format!("{}:{value}", json!(name))))
                .collect();
            if !payload.is_empty() {
                let turn = seed as usize % payload.len();
                payload.rotate_left(turn);
            }
            let mut parts = vec![
                r#""ts":"2026-10-01T00:08:13.5Z""#.to_owned(),
                format!(r#""type":"{kind}""#),
                format!(r#""payload":{{{}}}"#, payload.join(",")),
            ];
            parts.splice(
                0..0,
                outer
                    .iter()
                    .filter(|(name, _)| *name != "payload")
                    .map(|(name, value)| format!("{}:{value}", json!(name))),
            );
            format!("{{{}}}", parts.join(", "))
        })
    })
}

use domain::fields;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]
    #[test]
    fn the_fast_way_says_what_the_reference_says_or_nothing(lines in proptest::collection::vec(any_event(), 1..6)) {
        let mut reader = NativeReader::new(&privacy());
        // The first time a line is scanned, then it is followed, and its texts are known.
        for line in lines.iter().cycle().take(3 * lines.len()) {
            let (mut ours, mut theirs) = (Rows::default(), Rows::default());
            if fast(&mut reader, line, &mut ours) {
                prop_assert!(reference(line, &mut theirs), "only the fast way takes {}", line);
                prop_assert_eq!(ours.ids(), theirs.ids(), "{}", line);
                prop_assert_eq!(columns(&ours), columns(&theirs), "{}", line);
            }
        }
    }
}
