//! When an approved plan is not applied: what it rests on moved, its hours are not now, its time is over.

use crate::plan::{NOW, place};
use crate::program::Place;
use serde_json::{Value, json};

const LATER: &str = "2026-11-26T00:00:00Z";

/// A plan at [`NOW`] that a person approved.
fn approved(place: &Place, more: &[&str]) -> Value {
    let mut arguments = vec!["--now", NOW, "plan", "-o", "plan.json", "--target", "compose.yaml"];
    arguments.extend(more);
    let plan = place.json(&arguments);
    place.json(&["--now", NOW, "approve", "plan.json"]);
    plan
}

/// Refused (4) with these words and a hint; the file is as it was.
#[track_caller]
fn refused(place: &Place, now: &str, says: &[&str]) {
    let before = place.read("compose.yaml");
    let ended = place.run(&["--now", now, "apply", "plan.json"]);
    assert_eq!(ended.code, 4, "{}", ended.err);
    for says in says.iter().chain(&["hint:"]) {
        assert!(ended.err.contains(says), "{says}: {}", ended.err);
    }
    assert_eq!(place.run(&["--now", now, "apply", "plan.json", "--dry-run"]).code, 4, "a rehearsal says so too");
    assert_eq!(place.read("compose.yaml"), before);
}

fn sample(ts: &str) -> String {
    json!({"ts": ts, "type": "usage", "env": "acme-dev", "resource": "acme-dev/web",
        "payload": {"interval_s": 600, "cpu_cores": 0.2, "memory_bytes": 600 << 20}})
    .to_string()
}

#[test]
fn data_that_moved_on_is_named_and_what_we_did_ourselves_is_no_data() {
    let place = place();
    let plan = approved(&place, &[]);
    assert_eq!(plan["basis"]["tolerance"]["data_hours"], 72.0, "{}", plan["basis"]);
    // Our own adjustments and verdicts are newer than any sample, and move nothing.
    let own = |kind: &str| {
        json!({"ts": "2026-11-25T00:00:00Z", "type": kind, "resource": "acme-dev/web", "payload": {"plan_id": "p1",
            "item_id": "i1", "action": "resize", "before": {}, "after": {}, "result": "applied"}})
        .to_string()
    };
    place.write("own.ndjson", [own("adjustment"), own("outcome")].join("\n"));
    place.json(&["ingest", "own.ndjson"]);
    place.json(&["--now", LATER, "materialize"]);
    place.json(&["--now", LATER, "apply", "plan.json", "--dry-run"]);

    place.write("newer.ndjson", sample("2026-11-25T12:00:00Z"));
    place.json(&["ingest", "newer.ndjson"]);
    place.json(&["--now", LATER, "materialize"]);
    refused(
        &place,
        LATER,
        &["has moved since", "the newest sample moved from 2026-11-20 23:50 to 2026-11-25 12:00", "3d are let pass"],
    );
    // Data newer than the clock is not known yet.
    place.json(&["--now", NOW, "apply", "plan.json", "--dry-run"]);

    // The tolerance is the plan's own, and so is a person's yes to it.
    place.json(&["--now", NOW, "plan", "-o", "plan.json", "--target", "compose.yaml", "--tolerance", "data=5d"]);
    place.json(&["--now", NOW, "approve", "plan.json"]);
    let applied = place.json(&["--now", LATER, "apply", "plan.json"]);
    assert_eq!(applied["result"], "applied");
    // What is applied stays so, however the data moves on.
    place.write("newest.ndjson", sample("2026-11-30T12:00:00Z"));
    place.json(&["ingest", "newest.ndjson"]);
    place.json(&["--now", "2026-12-01T00:00:00Z", "materialize"]);
    let again = place.run(&["--now", "2026-11-28T12:00:00Z", "apply", "plan.json"]);
    assert!(again.code == 0 && again.out.contains("already applied"), "{}", again.err);
    for wrong in ["data=soon", "forecast=a", "models=-1", "weather=1", "data"] {
        let target = ["plan", "--target", "compose.yaml", "--tolerance", wrong];
        assert_eq!(place.run(&target).code, 2, "{wrong}");
    }
}

#[test]
fn a_forecast_that_moved_and_a_model_that_was_replaced_are_named() {
    let place = place();
    place.json(&["--now", NOW, "train", "contention"]);
    place.json(&["--now", NOW, "shadow"]);
    let plan = approved(&place, &[]);
    assert_eq!(plan["basis"]["models"][0]["name"], "contention");
    assert_eq!(plan["basis"]["forecasts"].as_array().unwrap().len(), 5, "{}", plan["basis"]);
    // The same forecast again is no movement.
    place.json(&["--now", "2026-11-22T00:30:00Z", "apply", "plan.json", "--dry-run"]);

    // Somebody announces five times the load of the web service.
    let load = json!({"ts": "2026-11-22T00:10:00Z", "type": "schedule", "env": "acme-dev", "resource": "acme-dev/web",
        "payload": {"event_id": "sale", "event_type": "load", "start_time": "2026-11-22T06:00:00Z",
            "end_time": "2026-11-22T20:00:00Z", "details": {"scale": 5.0}}});
    place.write("load.ndjson", load.to_string());
    place.json(&["ingest", "load.ndjson"]);
    place.json(&["--now", "2026-11-22T01:00:00Z", "materialize"]);
    place.json(&["--now", "2026-11-22T01:00:00Z", "shadow"]);
    refused(&place, "2026-11-22T01:00:00Z", &["the forecast: acme-dev/web from ", " cores", "20 % of the limit"]);

    // The model is no longer there.
    std::fs::remove_dir_all(place.path("lake/models/contention")).unwrap();
    refused(&place, "2026-11-22T00:50:00Z", &["the model: contention from 20261122T000000Z to none"]);
    approved(&place, &[]);
    place.json(&["--now", NOW, "apply", "plan.json"]);
}

#[test]
fn a_service_is_changed_in_its_windows_and_never_in_quiet_hours() {
    let place = place();
    // 2026-11-22 is a Sunday.
    place.write(
        "rules.toml",
        "[[window]]\nresource = \"acme-dev/*\"\ndays = [\"tue\", \"wed\"]\nfrom = \"20:00\"\nto = \"06:00\"\n\n\
         [[quiet]]\nresource = \"acme-dev/api\"\nfrom = \"2026-11-24T00:00:00Z\"\nto = \"2026-11-25T04:00:00Z\"\n\
         reason = \"the sale\"\n",
    );
    let plan = approved(&place, &["--override", "rules.toml"]);
    assert_eq!(plan["hours"]["window"][0]["days"], json!(["tue", "wed"]));
    let shown = place.run(&["plan", "show", "plan.json"]).out;
    assert!(shown.contains("hours: acme-dev/* is changed only tue, wed 20:00 to 06:00 UTC"), "{shown}");
    refused(&place, NOW, &["may not be changed now", "tue, wed 20:00 to 06:00 UTC", "from 2026-11-25 04:00 UTC on"]);
    refused(&place, "2026-11-24T21:00:00Z", &["acme-dev/api may not be changed now", "quiet hours", "the sale"]);
    let applied = place.json(&["--now", "2026-11-25T04:00:00Z", "apply", "plan.json"]);
    assert_eq!(applied["result"], "applied");
    // To go back is always allowed.
    place.json(&["--now", "2026-11-25T12:00:00Z", "rollback", "plan.json"]);

    for wrong in
        ["days = [\"sunday\"]\nfrom = \"20:00\"\nto = \"22:00\"", "from = \"8pm\"\nto = \"22:00\"", "from = \"20:00\""]
    {
        place.write("wrong.toml", format!("[[window]]\nresource = \"*\"\n{wrong}\n"));
        let ended = place.run(&["--now", NOW, "plan", "--target", "compose.yaml", "--override", "wrong.toml"]);
        assert!(ended.code == 1 && ended.err.contains("hint:"), "{wrong}: {}", ended.err);
    }
}

#[test]
fn a_plan_that_was_found_expired_once_stays_so() {
    for command in ["approve", "apply"] {
        let place = place();
        place.json(&["--now", NOW, "plan", "-o", "plan.json", "--target", "compose.yaml"]);
        let late = place.run(&["--now", "2026-11-30T00:00:00Z", command, "plan.json"]);
        assert!(late.code == 4 && late.err.contains("expired at"), "{command}: {}", late.err);
        for earlier in [NOW, "2026-11-23T00:00:00Z"] {
            let ended = place.run(&["--now", earlier, "approve", "plan.json"]);
            assert_eq!(ended.code, 4, "{command}: {}", ended.out);
        }
        let entries = place.json(&["log"])["entries"].as_array().unwrap().clone();
        assert_eq!(entries.last().unwrap()["action"], "expire", "{command}");
    }
}

#[test]
fn a_field_that_no_plan_has_and_one_that_is_there_twice_are_named() {
    let place = place();
    place.json(&["--now", NOW, "plan", "-o", "plan.json", "--target", "compose.yaml"]);
    let good = place.read("plan.json");
    let edits = [
        ("\"plan_id\":", "\"note\": \"approved by everybody\", \"plan_id\":", "a field note, which"),
        ("\"resource\":", "\"comment\": 1, \"resource\":", "a field items[0].comment, which"),
        ("\"applyable\":", "\"plan_id\": \"p\", \"applyable\":", "plan_id"),
        ("\"reason\":", "\"reason\": \"it is harmless\", \"reason\":", "reason"),
    ];
    for (old, new, says) in edits {
        let edited = good.replacen(old, new, 1);
        assert_ne!(edited, good);
        place.write("plan.json", edited);
        for command in [&["plan", "show", "plan.json"][..], &["--now", NOW, "approve", "plan.json"]] {
            let ended = place.run(command);
            assert!(ended.code == 4 && ended.err.contains(says), "{new}: {} {}", ended.code, ended.err);
        }
    }
    // A form of another program's is none of ours to refuse, as long as it says the same.
    let value: Value = serde_json::from_str(&good).unwrap();
    place.write("plan.json", value.to_string());
    place.json(&["--now", NOW, "approve", "plan.json"]);
}

#[test]
fn what_people_read_fits_into_80_columns_and_counts_in_words() {
    let place = place();
    let plan = place.json(&["--now", NOW, "plan", "-o", "plan.json", "--target", "compose.yaml"]);
    let item = plan["items"][0]["id"].as_str().unwrap();
    let read = |command: &[&str]| {
        let mut all = vec!["--now", NOW];
        all.extend(command);
        let ended = place.run(&all);
        for line in ended.out.lines() {
            assert!(line.chars().count() <= 80, "{command:?}: {line}");
        }
        ended.out
    };
    let approved = read(&["approve", "plan.json", "--item", item]);
    assert!(approved.contains("approved: 1 change of p2026"), "{approved}");
    let applied = read(&["apply", "plan.json"]);
    assert!(applied.starts_with("applied: 1 change to "), "{applied}");
    read(&["verify", "plan.json"]);
    read(&["rollback", "plan.json"]);
    let log = read(&["log"]);
    assert!(log.contains("1 item, applied, by u-") && log.contains("3 items, made, by u-"), "{log}");
    assert_eq!(place.run(&["-q", "log"]).out, log);
}
