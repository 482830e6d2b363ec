//! A person leaves the lake: no row, no old version, no figure in a log keeps them.

use crate::files::below;
use crate::program::{Place, checkout};
use crate::s3_server::Bucket;
use parquet::file::reader::{FileReader, SerializedFileReader};
use serde_json::Value;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

const NOW: &str = "2026-11-22T00:00:00Z";

/// What ann did, in three forms, and what others say about her.
pub const HERS: &str = r#"{"ts":"2026-10-01T00:00:00Z","type":"edit","repo":"o/r","pr":1,"developer":"ann","payload":{"file":"a.rs"}}
{"ts":"2026-10-01T00:01:00Z","type":"pr","repo":"o/r","pr":1,"payload":{"action":"opened","title":"Hers","user":{"login":"ann"}}}
{"ts":"2026-10-01T00:02:00Z","type":"test","repo":"o/r","pr":1,"actor":"ann","payload":{"command":"pytest","exit_code":1,"duration_ms":5}}
"#;
pub const OTHERS: &str = r#"{"ts":"2026-10-01T00:03:00Z","type":"pr","repo":"o/r","pr":1,"developer":"bob","payload":{"action":"review_requested","requested_reviewers":["ann","bob"]}}
{"ts":"2026-10-01T00:04:00Z","type":"annotation","repo":"o/r","pr":1,"developer":"bob","payload":{"note":"thanks @ann"}}
{"ts":"2026-10-01T00:05:00Z","type":"annotation","repo":"o/r","pr":1,"developer":"bob","payload":{"note":"nothing"}}
"#;
pub const BROKEN: &str = "{'developer': 'ann', broken\n{'developer': 'bob', broken\n";

fn place() -> Place {
    filled(Place::new())
}

fn filled(place: Place) -> Place {
    // Two ingests and two builds: there are old versions.
    place.ingest(&[&place.write("hers.ndjson", HERS)]);
    place.json(&["materialize"]);
    place.ingest(&[&place.write("others.ndjson", OTHERS), &place.write("broken.ndjson", BROKEN)]);
    place.json(&["materialize"]);
    place
}

fn hash(place: &Place) -> String {
    let rows = place.sql("select developer from staging.events where file = 'a.rs'");
    rows[0]["developer"].as_str().unwrap().to_owned()
}

/// The files that hold a text: its bytes, or for Parquet any value of any row.
fn holding(place: &Place, text: &str) -> Vec<String> {
    holding_below(&place.path("lake"), text)
}

fn holding_below(lake: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for path in below(lake) {
        let bytes = std::fs::read(&path).unwrap();
        let mut holds = bytes.windows(text.len()).any(|window| window == text.as_bytes());
        if path.extension().is_some_and(|extension| extension == "parquet") {
            let rows = SerializedFileReader::new(std::fs::File::open(&path).unwrap()).unwrap();
            holds |= rows.get_row_iter(None).unwrap().any(|row| row.unwrap().to_string().contains(text));
        }
        if holds {
            found.push(path.strip_prefix(lake).unwrap().display().to_string());
        }
    }
    found
}

#[test]
fn an_erased_person_is_in_no_byte_of_the_lake() {
    let place = place();
    let ann = hash(&place);
    let before = holding(&place, &ann);
    for part in ["staging/events", "staging/rejects", "traces/events"] {
        assert!(before.iter().any(|path| path.contains(part)), "the test must be able to fail: {before:?}");
    }

    let would = place.json(&["--now", NOW, "privacy", "erase", "--developer", "ann"]);
    assert_eq!((would["done"].as_bool(), would["rows_removed"].as_u64()), (Some(false), Some(4)), "{would}");
    assert_eq!(holding(&place, &ann), before, "without --yes nothing changes");

    let done = place.json(&["--now", NOW, "privacy", "erase", "--developer", "ann", "--yes"]);
    assert_eq!((done["person"].as_str(), done["rows_removed"].as_u64()), (Some(ann.as_str()), Some(4)), "{done}");
    assert_eq!(holding(&place, &ann), ["erased.json"]);
    let left = place.sql("select payload from staging.events order by ts");
    assert_eq!(left.len(), 3);
    assert!(left[0]["payload"].as_str().unwrap().contains("[erased]"));
    assert!(left[1]["payload"].as_str().unwrap().contains("thanks @[erased]"));
    assert_eq!(place.sql("select reject_id from staging.rejects").len(), 1, "bob's");
    assert_eq!(place.sql("select event_id from traces.events").len(), 3);
    place.json(&["--now", "2026-10-02T00:00:00Z", "check"]);

    let again = place.json(&["--now", NOW, "privacy", "erase", "--developer", &ann, "--yes"]);
    assert_eq!((again["rows_removed"].as_u64(), again["files_deleted"].as_u64()), (Some(0), Some(0)), "{again}");
    let built = place.json(&["materialize"]);
    assert!(!built.to_string().contains("\"rebuilt\":true"), "{built}");
}

#[test]
fn an_erased_person_is_in_no_object_of_a_bucket() {
    let bucket = Bucket::start();
    let place = filled(Place::with(bucket.environment()));
    let (ann, lake) = (hash(&place), bucket.objects().join("some/lake"));
    assert!(holding_below(&lake, &ann).len() > 1, "the test must be able to fail");
    let done = place.json(&["--now", NOW, "privacy", "erase", "--developer", "ann", "--yes"]);
    assert_eq!(done["rows_removed"].as_u64(), Some(4), "{done}");
    assert_eq!(holding_below(&lake, &ann), ["erased.json"]);
    assert_eq!(place.sql("select event_id from traces.events").len(), 3);
    let built = place.json(&["materialize"]);
    assert!(!built.to_string().contains("\"rebuilt\":true"), "{built}");
}

#[test]
fn who_was_erased_does_not_come_back() {
    let place = place();
    let ann = hash(&place);
    place.json(&["--now", NOW, "privacy", "erase", "--developer", "ann", "--yes"]);
    let [hers, others, broken] = ["hers", "others", "broken"].map(|name| place.path(&format!("{name}.ndjson")));
    let paths = [hers, others, broken].map(|path| path.display().to_string());
    // Hers are refused; the others' are the same events as before, the mention gone from both.
    assert_eq!(place.ingest(&[&paths[0]]), [3, 0, 0, 3]);
    assert_eq!(place.ingest(&[&paths[1]]), [3, 0, 3, 0]);
    assert_eq!(place.ingest(&[&paths[2]]), [2, 0, 0, 2]);
    let rejects = place.sql("select text, length, hash from staging.rejects where reason = 'erased'");
    assert_eq!(rejects.len(), 3);
    for reject in &rejects {
        assert_eq!(reject["text"], "");
        assert!(reject["length"].as_u64().unwrap() > 50 && reject["hash"].as_str().unwrap().len() == 32);
    }
    assert_eq!(holding(&place, &ann), ["erased.json"]);
    assert_eq!(place.run(&["privacy", "audit"]).code, 0);
}

#[test]
fn an_erasure_that_was_killed_is_finished_by_the_next() {
    let place = place();
    let ann = hash(&place);
    let arguments = ["--now", NOW, "privacy", "erase", "--developer", "ann", "--yes"];
    for millis in [20, 60, 120, 180, 240, 320, 420] {
        let mut child = place.command(&arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(millis));
        let _ = child.kill();
        child.wait().unwrap();
    }
    place.json(&arguments);
    // What a killed rebuild left in no version holds nothing of her.
    assert_eq!(holding(&place, &ann), ["erased.json"]);
    assert_eq!(place.sql("select event_id from staging.events").len(), 3);
    assert_eq!(place.sql("select event_id from traces.events").len(), 3);
    place.json(&["--now", "2026-10-02T00:00:00Z", "check"]);
}

#[test]
fn nobody_of_that_name_is_no_error() {
    let place = place();
    let files = holding(&place, "u-");
    let done = place.json(&["privacy", "erase", "--developer", "zoe", "--yes"]);
    assert_eq!((done["rows_removed"].as_u64(), done["rows_changed"].as_u64()), (Some(0), Some(0)));
    assert!(!files.is_empty());
    assert_eq!(place.sql("select event_id from staging.events").len(), 6);
    assert_eq!(place.run(&["privacy", "erase", "--developer", " ", "--yes"]).code, 2);
    assert_eq!(place.run(&["--lake", "nowhere", "privacy", "audit"]).code, 1);
}

#[test]
fn an_audit_counts_people_and_finds_what_slipped_through() {
    let place = place();
    let audit = place.json(&["privacy", "audit"]);
    assert_eq!((audit["people"].as_u64(), audit["erased"].as_u64()), (Some(2), Some(0)), "{audit}");
    let columns = audit["columns"].as_array().unwrap();
    let of = |table: &str, column: &str| -> Value {
        let is = |c: &&Value| c["table"] == table && c["column"] == column;
        columns.iter().find(is).unwrap_or_else(|| panic!("{table}.{column}: {audit}")).clone()
    };
    let developer = of("staging.events", "developer");
    assert_eq!(developer["rows"], 4);
    assert_eq!(developer["earliest"], "2026-10-01T00:00:00Z");
    assert_eq!(developer["latest"], "2026-10-01T00:05:00Z");
    assert_eq!(of("staging.rejects", "text")["rows"], 2);
    assert_eq!(audit["leaks"].as_array().unwrap().len(), 0, "{audit}");
    assert_eq!(audit["key_fingerprint"].as_str().unwrap().len(), 32);

    // A lake that got a secret past the door: the key of another tool, written by hand into a file of the table.
    let erased = place.write("lake/erased.json", r#"{"format_version":1,"people":["PERSON"]}"#);
    let text = std::fs::read_to_string(&erased).unwrap().replace("PERSON", &hash(&place));
    std::fs::write(&erased, text).unwrap();
    let ended = place.run(&["--json", "privacy", "audit"]);
    assert_eq!(ended.code, 3, "{}", ended.out);
    let audit: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(audit["erased_but_found"], 1);
}

/// The rules of the audit are not those of the mask: what the mask lets by, the audit still sees.
#[test]
fn an_audit_sees_what_no_rule_masks() {
    let place = Place::new();
    let note =
        |note: &str| format!(r#"{{"ts":"2026-10-01T00:00:00Z","type":"annotation","payload":{{"note":"{note}"}}}}"#);
    place.ingest(&[&place.write("a.ndjson", note("the build is green"))]);
    assert_eq!(place.run(&["privacy", "audit"]).code, 0);
    place.ingest(&[&place.write("b.ndjson", note("using Zk3vQ9xL2mT7wB4nR8sY1cF6pH5 now"))]);
    let ended = place.run(&["--json", "privacy", "audit"]);
    assert_eq!(ended.code, 3, "{}", ended.out);
    let audit: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(audit["leaks"].as_array().unwrap().len(), 0, "{audit}");
    assert!(audit["suspicious"].as_array().unwrap().iter().any(|found| found["column"] == "payload"), "{audit}");
    assert!(!ended.out.contains("Zk3vQ9"), "an audit shows no value");
}

#[test]
fn models_that_have_seen_the_person_are_marked_until_they_are_trained_anew() {
    let place = Place::new();
    place.json(&["ingest", &checkout().join("data-samples/team").display().to_string()]);
    place.ingest(&[&place.write("hers.ndjson", HERS)]);
    place.json(&["materialize"]);
    place.json(&["--now", NOW, "train", "contention"]);
    let done = place.json(&["--now", NOW, "privacy", "erase", "--developer", "ann", "--yes"]);
    let models = done["models"].as_array().unwrap();
    assert_eq!((models.len(), models[0]["model"].as_str()), (1, Some("contention")), "{done}");
    let version = models[0]["version"].as_str().unwrap();
    assert!(place.path(&format!("lake/models/contention/{version}/needs_retraining.json")).exists());
    place.json(&["--now", NOW, "train", "contention"]);
    let audit = place.json(&["privacy", "audit"]);
    let marks: Vec<bool> =
        audit["models"].as_array().unwrap().iter().map(|m| m["needs_retraining"].as_bool().unwrap()).collect();
    assert_eq!(marks, [true, false], "{audit}");
}
