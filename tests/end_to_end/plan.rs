//! From a plan to its undoing, on a real Compose file.

use crate::program::{Place, checkout};
use serde_json::Value;

pub const NOW: &str = "2026-11-22T00:00:00Z";

/// A lake with the sample usage and a Compose file beside it.
pub fn place() -> Place {
    let place = Place::new();
    let samples = checkout().join("data-samples");
    place.write("compose.yaml", std::fs::read(samples.join("compose/compose.yaml")).unwrap());
    place.json(&["ingest", &samples.join("team/usage.ndjson.gz").display().to_string()]);
    place.json(&["materialize"]);
    place
}

pub fn plan(place: &Place) -> Value {
    place.json(&["--now", NOW, "plan", "-o", "plan.json", "--target", "compose.yaml"])
}

#[test]
fn apply_changes_only_limits_and_rollback_restores_every_byte() {
    let place = place();
    let before = place.read("compose.yaml");
    let plan = plan(&place);
    assert!(plan["applyable"].as_bool().unwrap());
    assert_eq!(plan["items"][0]["inverse"]["after"], plan["items"][0]["before"]);
    for policy in ["ours", "vpa", "krr"] {
        assert!(plan["backtest"][policy]["samples"].as_u64().unwrap() > 10_000, "{policy}");
    }

    let early = place.run(&["--now", NOW, "apply", "plan.json"]);
    assert_eq!(early.code, 4, "not approved: {}", early.err);
    place.json(&["--now", NOW, "approve", "plan.json"]);
    place.json(&["--now", NOW, "apply", "plan.json", "--dry-run"]);
    assert_eq!(place.read("compose.yaml"), before, "a dry run writes nothing");
    place.json(&["--now", NOW, "apply", "plan.json"]);
    let after = place.read("compose.yaml");
    assert_ne!(after, before);
    let comments =
        |text: &str| text.lines().filter(|l| l.trim_start().starts_with('#')).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(comments(&after), comments(&before));
    let again = place.json(&["--now", NOW, "apply", "plan.json"]);
    assert_eq!(again["result"], "already applied");
    place.json(&["--now", NOW, "rollback", "plan.json"]);
    assert_eq!(place.read("compose.yaml"), before);

    let ledger = place.json(&["log"]);
    let actions: Vec<&str> =
        ledger["entries"].as_array().unwrap().iter().map(|e| e["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["plan", "approve", "apply", "rollback"]);
    place.json(&["log", "verify"]);
    let changes = plan["items"].as_array().unwrap().iter().filter(|i| i["action"] == "resize").count() as u64;
    let told = place.sql(
        "select action, count(*) as n from staging.events where type = 'adjustment' group by action order by action",
    );
    assert_eq!((told[0]["action"].as_str(), told[0]["n"].as_u64()), (Some("apply"), Some(changes)));
    assert_eq!((told[1]["action"].as_str(), told[1]["n"].as_u64()), (Some("rollback"), Some(changes)));
}

#[test]
fn an_edited_or_stale_plan_is_refused_and_nothing_is_written() {
    let place = place();
    plan(&place);
    let good = place.read("plan.json");
    let refused = |arguments: &[&str], says: &str| {
        let before = (place.lake_files(), place.read("compose.yaml"));
        let ended = place.run(arguments);
        assert_eq!(ended.code, 4, "{arguments:?}: {}", ended.err);
        assert!(ended.err.contains(says) && ended.err.contains("hint:"), "{}", ended.err);
        assert_eq!(before, (place.lake_files(), place.read("compose.yaml")));
    };
    place.write("plan.json", good.replacen("\"cpu_cores\": ", "\"cpu_cores\": 1", 1));
    refused(&["--now", NOW, "approve", "plan.json"], "digest does not match");
    place.write("plan.json", &good);
    place.json(&["--now", NOW, "approve", "plan.json"]);
    place.write("plan.json", good.replacen("starved", "hungry", 1));
    refused(&["--now", NOW, "apply", "plan.json"], "digest does not match");
    place.write("plan.json", &good);
    let compose = place.read("compose.yaml");
    place.write("compose.yaml", compose.clone() + "# a colleague was here\n");
    refused(&["--now", NOW, "apply", "plan.json"], "compose.yaml");
    place.write("compose.yaml", &compose);
    place.json(&["--now", NOW, "apply", "plan.json"]);
    place.write("compose.yaml", place.read("compose.yaml") + "# a colleague was here\n");
    refused(&["--now", NOW, "rollback", "plan.json"], "compose.yaml");
}

#[test]
fn only_approved_items_are_applied_and_overrides_hold() {
    let place = place();
    place.write("rules.toml", "[[override]]\nresource = \"acme-dev/w*\"\nfreeze = true\nreason = \"release week\"\n");
    let plan = place.json(&["--now", NOW, "plan", "--target", "compose.yaml", "--override", "rules.toml"]);
    let items = plan["items"].as_array().unwrap();
    for item in items.iter().filter(|i| i["resource"].as_str().unwrap().starts_with("acme-dev/w")) {
        assert_eq!((item["action"].as_str(), &item["after"]), (Some("none"), &item["before"]));
        assert_eq!(item["override"]["rule"], "freeze");
    }
    let api = items.iter().find(|i| i["resource"] == "acme-dev/api").unwrap();
    let figures = ["cpu_cores", "memory_bytes"].iter().filter(|name| api["before"][**name] != api["after"][**name]);
    let figures = figures.count();
    assert!(figures > 0, "{api}");
    let before = place.read("compose.yaml");
    place.json(&["--now", NOW, "approve", "plan.json", "--item", api["id"].as_str().unwrap()]);
    place.json(&["--now", NOW, "apply", "plan.json"]);
    let changed: Vec<(String, String)> = before
        .lines()
        .zip(place.read("compose.yaml").lines())
        .filter(|(a, b)| a != b)
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .collect();
    assert_eq!(changed.len(), figures, "a line a figure of one service: {changed:?}");
}

#[test]
fn what_cannot_be_written_down_is_not_done() {
    let place = place();
    plan(&place);
    place.json(&["--now", NOW, "approve", "plan.json"]);
    let before = place.read("compose.yaml");
    let mut command = place.command(&["--now", NOW, "apply", "plan.json"]);
    command.env("PIPELINE_PSEUDONYM_KEY", "another key of the tests");
    assert_eq!(crate::program::end(command).code, 4);
    let entry = "lake/journal/ledger/00000001.json";
    let sound = place.read(entry);
    place.write(entry, sound.replace("\"made\"", "\"nothing\""));
    assert_eq!(place.run(&["--now", NOW, "apply", "plan.json"]).code, 4);
    assert_eq!(place.read("compose.yaml"), before);
    place.write(entry, sound);
    let head = place.read("lake/journal/head.json");
    place.json(&["--now", NOW, "apply", "plan.json"]);
    // As if a kill had come between the events and the ledger line: told again, nothing is doubled.
    std::fs::remove_file(place.path("lake/journal/ledger/00000003.json")).unwrap();
    place.write("lake/journal/head.json", head);
    place.json(&["--now", "2026-11-22T01:00:00Z", "apply", "plan.json"]);
    let twice =
        place.sql("select item_id from staging.events where type = 'adjustment' group by item_id having count(*) > 1");
    assert!(twice.is_empty(), "{twice:?}");
}

#[test]
fn a_plan_made_in_the_past_knows_nothing_of_later_forecasts_and_models() {
    let place = place();
    place.json(&["ingest", &checkout().join("data-samples/team/activity.ndjson.gz").display().to_string()]);
    place.json(&["materialize"]);
    let then = ["--now", "2026-11-05T00:00:00Z", "plan", "-o", "then.json"];
    let before = place.json(&then);
    place.json(&["--now", NOW, "train"]);
    place.json(&["--now", NOW, "shadow"]);
    let after = place.json(&then);
    let strip = |plan: &Value| {
        let items = plan["items"].as_array().unwrap().iter().map(|item| {
            let mut item = item.clone();
            item.as_object_mut().unwrap().remove("id");
            item
        });
        items.collect::<Vec<_>>()
    };
    assert_eq!(strip(&before), strip(&after));
}

#[test]
fn a_verdict_becomes_a_label() {
    let place = place();
    let plan = place.json(&["--now", "2026-11-10T12:00:00Z", "plan", "-o", "plan.json", "--target", "compose.yaml"]);
    place.json(&["--now", "2026-11-10T12:00:00Z", "approve", "plan.json"]);
    place.json(&["--now", "2026-11-10T12:00:00Z", "apply", "plan.json"]);
    let item = plan["items"][0]["id"].as_str().unwrap();
    assert_eq!(place.run(&["feedback", "no-such-item", "helpful"]).code, 1);
    place.json(&["--now", "2026-11-11T12:00:00Z", "feedback", item, "slowed-down", "--note", "builds crawl"]);
    place.json(&["materialize"]);
    let train = place.json(&["--now", NOW, "train", "contention"]);
    let labels = &train["models"][0]["labels"];
    assert!(labels["feedback"].as_u64().unwrap() >= 20, "a day of hours: {labels}");
    let rows = place.sql("select distinct label from features.contention where label_source = 'feedback'");
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0]["label"], true);
    let listed = place.json(&["--now", NOW, "labels", "disagreements"]);
    let differ = place.sql(
        "select unit_id from features.contention where label_source = 'feedback' and label is distinct from measured",
    );
    let ids = |rows: &[Value]| {
        let mut ids: Vec<String> = rows.iter().map(|row| row["unit_id"].to_string()).collect();
        ids.sort();
        ids
    };
    let listed = listed["disagreements"].as_array().unwrap().clone();
    assert!(!listed.is_empty(), "hours that were measured as fine");
    assert_eq!(ids(&listed), ids(&differ));
    assert!(listed.iter().all(|row| row["said"] == true && row["measured"] == false), "{listed:?}");
    assert_eq!(labels["changed_by_feedback"], listed.len());
}

#[test]
fn a_changed_ledger_is_found() {
    let place = place();
    plan(&place);
    place.json(&["--now", NOW, "approve", "plan.json"]);
    let path = "lake/journal/ledger/00000001.json";
    place.write(path, place.read(path).replace("\"made\"", "\"nothing\""));
    let ended = place.run(&["log", "verify"]);
    assert_eq!(ended.code, 4);
    assert!(ended.err.contains("entry 1"), "{}", ended.err);
}

#[test]
fn the_plan_is_what_its_schema_says() {
    let place = place();
    let plan = plan(&place);
    let schema = place.json(&["schema", "plan"]);
    let required = |schema: &Value, value: &Value| {
        let mut wanted: Vec<&str> =
            schema["required"].as_array().unwrap().iter().map(|n| n.as_str().unwrap()).collect();
        let mut there: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
        wanted.sort_unstable();
        there.sort_unstable();
        let known = schema["properties"].as_object().unwrap();
        assert!(there.iter().all(|name| known.contains_key(*name)), "{there:?}");
        // What plans of before did not have may be left out.
        there.retain(|name| !["changes_per_month", "handling"].contains(name));
        assert_eq!(there, wanted);
    };
    required(&schema, &plan);
    required(&schema["properties"]["items"]["items"], &plan["items"][0]);
    required(&schema["properties"]["backtest"]["additionalProperties"], &plan["backtest"]["vpa"]);
    assert_eq!(place.run(&["--now", NOW, "plan", "--detailed-exitcode"]).code, 3);
}

#[test]
fn a_plan_is_applied_and_undone_from_any_folder_and_only_as_approved() {
    let place = place();
    place.write("elsewhere/compose.yaml", place.read("compose.yaml"));
    let plan = plan(&place);
    let ids: Vec<&str> = plan["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|i| i["action"] == "resize")
        .map(|i| i["id"].as_str().unwrap())
        .collect();
    place.json(&["--now", NOW, "approve", "plan.json", "--item", ids[0]]);
    place.json(&["--now", NOW, "approve", "plan.json", "--item", ids[1]]);
    let from = |folder: &str, arguments: &[&str]| {
        let mut command = place.command(arguments);
        command.current_dir(place.path(folder)).env("PIPELINE_LAKE", place.path("lake"));
        crate::program::end(command)
    };
    let before = place.read("compose.yaml");
    assert_eq!(from("elsewhere", &["--now", NOW, "apply", "../plan.json"]).code, 0);
    assert_eq!(place.read("elsewhere/compose.yaml"), before, "another file of the same name");
    assert_ne!(place.read("compose.yaml"), before);
    let applied = place.sql("select count(distinct item_id) as n from staging.events where type = 'adjustment'");
    assert_eq!(applied[0]["n"], 2, "a second yes adds to the first");
    place.json(&["--now", NOW, "approve", "plan.json"]);
    assert_eq!(place.run(&["--now", NOW, "apply", "plan.json"]).code, 4, "nothing is said to be done that was not");
    assert_eq!(from("elsewhere", &["--now", NOW, "rollback", "../plan.json"]).code, 0);
    assert_eq!(place.read("compose.yaml"), before);
    assert_eq!(place.run(&["--now", NOW, "plan", "-o", "compose.yaml", "--target", "compose.yaml"]).code, 2);
    assert_eq!(place.read("compose.yaml"), before);
}

#[test]
fn a_plan_is_shown_for_a_reviewer_and_an_edited_one_is_not() {
    let place = place();
    place.write("rules.toml", "[[override]]\nresource = \"acme-dev/wbe\"\nfreeze = true\n");
    let plan = place.json(&["--now", NOW, "plan", "--target", "compose.yaml", "--override", "rules.toml"]);
    let shown = |format: &str| {
        let ended = place.run(&["plan", "show", "plan.json", "--format", format]);
        assert_eq!(ended.code, 0, "{}", ended.err);
        ended.out
    };
    let text = shown("text");
    assert!(text.contains("acme-dev/web") && text.contains("Undo: pipeline rollback plan.json"), "{text}");
    assert_eq!(serde_json::from_str::<Value>(&shown("json")).unwrap(), plan);
    assert_eq!(place.json(&["plan", "show", "plan.json"]), plan);
    let markdown = shown("markdown");
    for part in [
        "# Resize 3 of 5 services",
        "| acme-dev/web | compose |",
        "→ **",
        "## Please look at\n\n- overrides_match: the override for acme-dev/wbe",
        "pipeline approve plan.json",
    ] {
        assert!(markdown.contains(part), "no {part:?} in {markdown}");
    }
    place.write("plan.json", place.read("plan.json").replacen("\"cpu_cores\": ", "\"cpu_cores\": 1", 1));
    assert_eq!(place.run(&["plan", "show", "plan.json"]).code, 4);
}
