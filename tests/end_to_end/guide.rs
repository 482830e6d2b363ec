//! The guide of the first requirement document: send a batch, send it again, change one field; and what follows from it.

use crate::program::{Place, checkout};
use serde_json::Value;
use std::io::Write;
use std::process::Stdio;

const BATCH: &str = r#"{"repo":"acme/api","branch":"fix/login","pr":123,"developer":"u-81","events":[
 {"ts":"2026-10-01T00:00:00Z","type":"pr","payload":{"action":"opened","title":"Fix login"}},
 {"ts":"2026-10-01T00:00:10Z","type":"edit","payload":{"file":"src/main.py","change_summary":"+25/-10"}},
 {"ts":"2026-10-01T00:00:20Z","type":"command","payload":{"command":"pytest -q","exit_code":1,"duration_ms":5210,"stdout_sample":"FAILED test_api.py"}},
 {"ts":"2026-10-01T00:00:30Z","type":"commit","payload":{"sha":"abc123","message":"fix: handle empty input case","files_changed":2}},
 {"ts":"2026-10-01T00:00:30Z","type":"annotation","payload":{"note":"retry logic"}}]}"#;

#[test]
fn the_same_batch_again_gives_nothing_and_one_changed_field_gives_one() {
    let place = Place::new();
    let batch = place.write("batch.json", BATCH);
    assert_eq!(place.ingest(&[&batch]), [5, 5, 0, 0]);
    let again = place.json(&["ingest", "--list-accepted", &batch]);
    assert_eq!(again["accepted_event_ids"].as_array().map(Vec::len), Some(0));
    assert_eq!(again["duplicates"], 5);
    let changed = place.write("changed.json", BATCH.replace("\"files_changed\":2", "\"files_changed\":3"));
    let changed = place.json(&["ingest", "--list-accepted", &changed]);
    assert_eq!(changed["accepted_event_ids"].as_array().map(Vec::len), Some(1));
}

#[test]
fn plain_packed_piped_and_single_events_are_the_same_events() {
    let place = Place::new();
    let lines: Vec<String> = serde_json::from_str::<Value>(BATCH).unwrap()["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| {
            let mut event = event.clone();
            for (key, value) in
                [("repo", "acme/api"), ("branch", "fix/login"), ("developer", "u-81"), ("pr", "acme/api#123")]
            {
                event[key] = value.into();
            }
            event.to_string()
        })
        .collect();
    let text = lines.join("\n");
    assert_eq!(place.ingest(&[&place.write("batch.json", BATCH)]), [5, 5, 0, 0]);
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gz.write_all(text.as_bytes()).unwrap();
    place.write("dumps/a.ndjson.gz", gz.finish().unwrap());
    place.write("dumps/deep/b.ndjson.zst", zstd::encode_all(text.as_bytes(), 3).unwrap());
    place.write("dumps/c.jsonl", &text);
    assert_eq!(place.ingest(&[&place.path("dumps").display().to_string()]), [15, 0, 15, 0]);
    let mut child =
        place.command(&["--json", "ingest", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let out = child.wait_with_output().unwrap();
    let report: Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!((report["accepted"].as_u64(), report["duplicates"].as_u64()), (Some(0), Some(5)));
}

#[test]
fn a_trace_has_the_promised_form_and_no_person_in_it() {
    let place = Place::new();
    place.ingest(&[&place.write("batch.json", BATCH)]);
    place.json(&["materialize"]);
    let trace = place.json(&["trace", "acme/api#123"]);
    assert_eq!(trace["repo"]["name"], "acme/api");
    assert_eq!(trace["pr"]["title"], "Fix login");
    assert_eq!(trace["pr"]["status"], "open");
    assert_eq!(trace["timeline"]["duration_seconds"], 30);
    let events = trace["events"].as_array().unwrap();
    assert_eq!(events.iter().map(|e| e["seq"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    // Two events of one moment: what explains comes before what is done.
    assert_eq!((events[3]["type"].as_str(), events[4]["type"].as_str()), (Some("annotation"), Some("commit")));
    assert_eq!(events[4]["payload"]["files_changed"], 2);
    assert_ne!(trace["developer"]["user_id"], "u-81");
    for (path, bytes) in place.lake_files() {
        assert!(!String::from_utf8_lossy(&bytes).contains("u-81"), "{}", path.display());
    }
}

#[test]
fn any_order_and_any_split_of_a_dump_give_the_same_traces() {
    let events: Vec<String> = (0..60)
        .map(|i| {
            format!(
                r#"{{"ts":"2026-10-01T00:00:{:02}Z","type":"{}","repo":"acme/api","pr":{},"payload":{{"file":"f{i}","note":"n{i}"}}}}"#,
                i % 7,
                ["edit", "annotation"][i % 2],
                i % 3
            )
        })
        .collect();
    let rows = |order: Vec<usize>, splits: usize| {
        let place = Place::new();
        for (n, part) in order.chunks(order.len().div_ceil(splits)).enumerate() {
            let text: Vec<&str> = part.iter().map(|i| events[*i].as_str()).collect();
            place.ingest(&[&place.write(&format!("{n}.ndjson"), text.join("\n"))]);
        }
        place.json(&["materialize"]);
        place.sql("select pr_id, seq, event_id, payload from traces.events order by pr_id, seq")
    };
    let forward = rows((0..60).collect(), 1);
    assert_eq!(forward.len(), 60);
    assert_eq!(forward, rows((0..60).rev().collect(), 3));
    assert_eq!(forward, rows((0..60).map(|i| i * 37 % 60).collect(), 4));
}

#[test]
fn the_dirty_sample_adds_up_as_its_notes_say_and_no_secret_survives() {
    let place = Place::new();
    let dirty = checkout().join("data-samples/dirty.ndjson").display().to_string();
    assert_eq!(place.ingest(&[&dirty]), [74, 18, 10, 46]);
    assert_eq!(place.ingest(&[&dirty]), [74, 0, 28, 46]);
    assert_eq!(place.sql("select count(*) as n from staging.rejects")[0]["n"], 46, "a reject is kept once");
    let kept = place.sql("select * from staging.events");
    let rejects = place.sql("select * from staging.rejects");
    for row in kept.iter().chain(&rejects) {
        assert!(!row.to_string().contains("FAKE"), "{row}");
    }
}

#[test]
fn a_lake_of_a_later_format_is_refused() {
    let place = Place::new();
    let batch = place.write("batch.json", BATCH);
    place.ingest(&[&batch]);
    let marker = place.path("lake/lake.json");
    let text = std::fs::read_to_string(&marker).unwrap();
    let later = text.replace("\"format_version\": 2", "\"format_version\": 3");
    let later = later.replace("\"format_version\":2", "\"format_version\":3");
    assert_ne!(text, later);
    std::fs::write(&marker, later).unwrap();
    for arguments in [&["ingest", &batch][..], &["sql", "select 1"], &["materialize"]] {
        let ended = place.run(arguments);
        assert_eq!(ended.code, 4, "{arguments:?}: {}", ended.err);
        assert!(ended.err.contains("format 3") && ended.err.contains("hint:"), "{}", ended.err);
    }
}

#[test]
fn another_key_is_refused() {
    let place = Place::new();
    let batch = place.write("batch.json", BATCH);
    place.ingest(&[&batch]);
    let mut command = place.command(&["ingest", &batch]);
    command.env("PIPELINE_PSEUDONYM_KEY", "another key of the tests");
    let ended = crate::program::end(command);
    assert_eq!(ended.code, 4);
    assert!(ended.err.contains("hint:"), "{}", ended.err);
}

#[test]
fn a_cut_first_line_costs_only_itself() {
    let place = Place::new();
    let line = |i: usize| format!(r#"{{"ts":"2026-10-01T00:00:00Z","type":"annotation","payload":{{"note":"{i}"}}}}"#);
    let lines: Vec<String> = (0..500).map(line).collect();
    let dump = place.write("cut.ndjson", format!("{{\"ts\":\"2026-10-01T0\n{}\n", lines.join("\n")));
    assert_eq!(place.ingest(&[&dump]), [501, 500, 0, 1]);
    assert_eq!(place.sql("select line from staging.rejects")[0]["line"], 1);
}
