//! What a plan, an approval and the ledger refuse: forged, replayed, cut off, or in the place of something else.

use crate::plan::{NOW, place, plan};
use crate::program::{Place, end};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Stdio;

/// Refused with this exit code, these words and a hint; the Compose file is as it was.
#[track_caller]
fn refused(place: &Place, arguments: &[&str], code: i32, says: &str) {
    let before = place.read("compose.yaml");
    let ended = place.run(arguments);
    assert_eq!(ended.code, code, "{arguments:?}: {}", ended.err);
    assert!(ended.err.contains(says) && ended.err.contains("hint:"), "{}", ended.err);
    assert_eq!(place.read("compose.yaml"), before);
}

fn actions(place: &Place) -> Vec<String> {
    let log = place.json(&["log"]);
    log["entries"].as_array().unwrap().iter().map(|entry| entry["action"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_plan_takes_the_place_of_plans_only() {
    let place = place();
    let plan_to = |name: &str| place.run(&["--now", NOW, "plan", "-o", name, "--target", "compose.yaml"]);
    let event = b"{\"ts\":\"2026-11-01T00:00:00Z\",\"type\":\"adjustment\",\"payload\":{\"plan_id\":\"p1\"}}\n";
    for bytes in [&b"\x1f\x8b\x08\x00\xff\xfe"[..], event, b"{\"plan_id\":\"p1\"}\n", b"mine\n", b"caf\xe9 \"plan_id\""]
    {
        place.write("taken", bytes);
        let ended = plan_to("taken");
        assert_eq!(ended.code, 2, "{}", ended.err);
        assert!(ended.err.contains("left alone"), "{}", ended.err);
        assert_eq!(std::fs::read(place.path("taken")).unwrap(), bytes);
    }
    std::fs::create_dir(place.path("folder")).unwrap();
    assert_eq!(plan_to("folder").code, 2);
    assert_eq!(plan_to("none/such/plan.json").code, 1);
    assert!(actions(&place).is_empty(), "what cannot be written is not made");
    assert_eq!(plan_to("plan.json").code, 0);
    let mode = |name: &str| std::fs::metadata(place.path(name)).unwrap().permissions().mode() & 0o777;
    symlink("plan.json", place.path("link.json")).unwrap();
    let whole = place.read("plan.json");
    assert_eq!(plan_to("link.json").code, 2);
    assert_eq!(place.read("plan.json"), whole);
    // A plan that was emptied or cut off holds nothing that could be lost, and stops no night.
    std::fs::set_permissions(place.path("plan.json"), PermissionsExt::from_mode(0o600)).unwrap();
    for rest in [&whole[..whole.len() / 2], ""] {
        place.write("plan.json", rest);
        assert_eq!(plan_to("plan.json").code, 0);
        assert!(serde_json::from_str::<serde_json::Value>(&place.read("plan.json")).is_ok());
    }
    assert_eq!(mode("plan.json"), 0o600);
    let names = std::fs::read_dir(place.path("")).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(names.into_iter().all(|name| !name.to_string_lossy().starts_with('.')), "no draft is left");
}

#[test]
fn a_yes_cannot_be_forged() {
    let place = place();
    let made = plan(&place);
    let id = made["plan_id"].as_str().unwrap();
    let items: Vec<&str> = made["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap()).collect();
    let yes = serde_json::json!({"plan_id": id, "digest": made["digest"], "items": items, "who": "u-1", "at": NOW});
    place.write(&format!("lake/plans/{id}/approval.json"), yes.to_string());
    refused(&place, &["--now", NOW, "apply", "plan.json"], 4, "not approved");
    // An entry by somebody who has not the key.
    let entry = place.read("lake/journal/ledger/00000001.json");
    let forged = entry.replace("\"action\": \"plan\"", "\"action\": \"approve\"").replace("\"seq\": 1", "\"seq\": 2");
    place.write("lake/journal/ledger/00000002.json", forged);
    refused(&place, &["--now", NOW, "apply", "plan.json"], 4, "broken at entry 2");
    std::fs::remove_file(place.path("lake/journal/ledger/00000002.json")).unwrap();

    let whole = place.read("plan.json");
    place.write("plan.json", whole.replace(id, "ledger/00000009"));
    refused(&place, &["--now", NOW, "approve", "plan.json"], 4, "no plan id");
    let other = crate::plan::place();
    plan(&other);
    place.write("plan.json", other.read("plan.json"));
    for act in ["approve", "apply", "rollback"] {
        refused(&place, &["--now", NOW, act, "plan.json"], 4, "this lake");
    }

    place.write("plan.json", whole);
    let shown = place.run(&["--now", NOW, "approve", "plan.json"]).out;
    for word in ["compose.yaml", "acme-dev/", "->", "(you)", "rehearsal", id] {
        assert!(shown.contains(word), "{word} in {shown}");
    }
    place.json(&["--now", NOW, "apply", "plan.json"]);
}

#[test]
fn a_ledger_that_was_cut_off_emptied_or_replaced_is_found() {
    let place = place();
    plan(&place);
    place.json(&["--now", NOW, "approve", "plan.json"]);
    let head = place.json(&["log", "verify"])["head"].as_str().unwrap().to_owned();
    place.json(&["log", "verify", "--head", &head]);
    assert_eq!(place.run(&["log", "verify", "--head", &head.replace(['a', '1'], "0")]).code, 4);
    let ledger = place.path("lake/journal/ledger");
    let last = place.read("lake/journal/ledger/00000002.json");
    std::fs::remove_file(ledger.join("00000002.json")).unwrap();
    refused(&place, &["log", "verify"], 4, "cut off");
    place.write("lake/journal/ledger/00000002.json", last);
    place.json(&["log", "verify"]);
    let head = place.read("lake/journal/head.json");
    std::fs::remove_file(place.path("lake/journal/head.json")).unwrap();
    refused(&place, &["log", "verify"], 4, "head");
    std::fs::remove_dir_all(&ledger).unwrap();
    refused(&place, &["log", "verify"], 4, "no entry says");
    refused(&place, &["--now", NOW, "plan", "-o", "other.json"], 4, "no entry says");
    place.write("lake/journal/head.json", head);
    refused(&place, &["log", "verify"], 4, "cut off");
}

#[test]
fn entries_without_seals_are_accepted_by_the_owner_of_the_key_alone() {
    let place = place();
    plan(&place);
    let path = "lake/journal/ledger/00000001.json";
    let mut entry: serde_json::Value = serde_json::from_str(&place.read(path)).unwrap();
    entry.as_object_mut().unwrap().remove("seal");
    place.write(path, entry.to_string());
    std::fs::remove_file(place.path("lake/journal/head.json")).unwrap();
    refused(&place, &["--now", NOW, "approve", "plan.json"], 4, "no seal");
    assert_eq!(place.json(&["log", "seal"])["sealed"], 1);
    place.json(&["--now", NOW, "approve", "plan.json"]);
    let path = "lake/journal/ledger/00000002.json";
    place.write(path, place.read(path).replace("\"seal\"", "\"other\""));
    refused(&place, &["log", "seal"], 4, "came after there were seals");
}

#[test]
fn a_clock_that_is_set_back_revives_nothing() {
    let place = place();
    place.json(&["--now", NOW, "plan", "-o", "plan.json", "--target", "compose.yaml", "--valid-for", "1h"]);
    place.json(&["--now", "2026-11-22T00:30:00Z", "approve", "plan.json"]);
    refused(&place, &["--now", NOW, "apply", "plan.json"], 4, "is before approve");
    refused(&place, &["--now", "2026-11-22T02:00:00Z", "apply", "plan.json"], 4, "expired");
    refused(&place, &["--now", "2026-11-22T00:45:00Z", "apply", "plan.json"], 4, "is before expire");
    refused(&place, &["--now", "2026-11-22T03:00:00Z", "approve", "plan.json"], 4, "expired");
    assert_eq!(actions(&place), ["plan", "approve", "expire"]);
    assert_eq!(place.run(&["--now", NOW, "plan", "--valid-for", "10000d"]).code, 2);
    // Without --now it is the clock's plan, and nobody's but the clock's.
    let ended = place.run(&["plan", "-o", "real.json", "--target", "compose.yaml"]);
    assert_eq!(ended.code, 0, "{}", ended.err);
    refused(&place, &["--now", NOW, "rollback", "real.json"], 4, "not made at a fixed --now");
}

#[test]
fn what_was_never_written_is_not_said_to_be_restored() {
    let place = place();
    let made = plan(&place);
    place.json(&["--now", NOW, "approve", "plan.json"]);
    let (compose, head) = (place.read("compose.yaml"), place.read("lake/journal/head.json"));
    place.json(&["--now", NOW, "apply", "plan.json"]);
    // As a kill between the journal and the file leaves it.
    let journal = format!("lake/journal/{}.json", made["plan_id"].as_str().unwrap());
    let stopped = place.read(&journal).replace("\"state\": \"applied\"", "\"state\": \"prepared\"");
    place.write(&journal, stopped.replace("\"written\": true", "\"written\": false"));
    place.write("compose.yaml", compose);
    std::fs::remove_file(place.path("lake/journal/ledger/00000003.json")).unwrap();
    place.write("lake/journal/head.json", head);
    let done = place.json(&["--now", NOW, "rollback", "plan.json"]);
    assert!(done["result"].as_str().unwrap().contains("nothing"), "{done}");
    assert_eq!(actions(&place), ["plan", "approve"]);
    let told = place.sql("select count(*) as n from staging.events where type = 'adjustment' and action = 'rollback'");
    assert_eq!(told[0]["n"], 0);
}

#[test]
fn of_four_applies_at_once_one_is_told() {
    let place = place();
    let made = plan(&place);
    place.json(&["--now", NOW, "approve", "plan.json"]);
    let applies: Vec<_> = (0..4)
        .map(|_| {
            let mut command = place.command(&["--now", NOW, "apply", "plan.json"]);
            command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
        })
        .collect();
    let codes: Vec<_> = applies.into_iter().map(|mut apply| apply.wait().unwrap().code().unwrap()).collect();
    assert!(codes.contains(&0) && codes.iter().all(|code| [0, 4].contains(code)), "{codes:?}");
    assert_eq!(actions(&place), ["plan", "approve", "apply"]);
    let changes = made["items"].as_array().unwrap().iter().filter(|item| item["action"] == "resize").count() as u64;
    let told = place.sql("select count(*) as n from staging.events where type = 'adjustment'");
    assert_eq!(told[0]["n"], changes);
    place.json(&["log", "verify"]);
}

#[test]
fn two_plans_at_one_time_are_two_plans() {
    let place = place();
    let plans: Vec<_> = ["a.json", "b.json"]
        .map(|name| {
            let mut command = place.command(&["--now", NOW, "plan", "-o", name, "--target", "compose.yaml"]);
            command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
        })
        .into_iter()
        .collect();
    for mut plan in plans {
        assert!(plan.wait().unwrap().success());
    }
    let id = |name: &str| {
        let plan: serde_json::Value = serde_json::from_str(&place.read(name)).unwrap();
        plan["plan_id"].as_str().unwrap().to_owned()
    };
    assert_ne!(id("a.json"), id("b.json"));
    assert_eq!(actions(&place), ["plan", "plan"]);
    for name in ["a.json", "b.json"] {
        place.json(&["--now", NOW, "approve", name]);
    }
}

#[test]
fn the_journal_is_kept_as_closely_as_the_file_and_what_cannot_be_replaced_is_not_promised() {
    let place = place();
    std::fs::set_permissions(place.path("compose.yaml"), PermissionsExt::from_mode(0o600)).unwrap();
    let id = plan(&place)["plan_id"].as_str().unwrap().to_owned();
    place.json(&["--now", NOW, "approve", "plan.json"]);
    std::fs::hard_link(place.path("compose.yaml"), place.path("other.yaml")).unwrap();
    refused(&place, &["--now", NOW, "apply", "plan.json"], 4, "hard link");
    assert_eq!(place.run(&["--now", NOW, "plan", "-o", "linked.json", "--target", "compose.yaml"]).code, 0);
    let linked: serde_json::Value = serde_json::from_str(&place.read("linked.json")).unwrap();
    assert_eq!(linked["applyable"], false);
    std::fs::remove_file(place.path("other.yaml")).unwrap();
    place.json(&["--now", NOW, "apply", "plan.json"]);
    let mode = |path: &str| std::fs::metadata(place.path(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("compose.yaml"), 0o600);
    assert_eq!(mode(&format!("lake/journal/{id}.json")), 0o600);
    assert_ne!(mode("lake/journal/ledger/00000003.json"), 0o600, "the ledger is as open as the lake");
}

#[test]
fn what_else_takes_part_in_a_compose_file_is_said() {
    let place = place();
    place.write("compose.override.yaml", "services:\n  web:\n    deploy: {resources: {limits: {cpus: '6'}}}\n");
    let made = plan(&place);
    let notes = made["notes"].to_string();
    assert!(notes.contains("compose.override.yaml"), "{notes}");
    let web = made["items"].as_array().unwrap().iter().find(|item| item["resource"] == "acme-dev/web").unwrap();
    assert_eq!(web["before"]["cpu_cores"], 6.0);
    assert!(web["after"]["cpu_cores"].as_f64().unwrap() < 6.0, "it is changed in the override");
    let shown = end(place.command(&["--now", NOW, "plan", "-o", "plan.json", "--target", "compose.yaml"])).out;
    assert!(shown.contains("note: ") && shown.contains("compose.override.yaml"), "{shown}");
    let unknown = place.run(&["plan", "--target", "k8s:prod"]);
    assert_eq!(unknown.code, 2);
    assert!(unknown.err.contains("k8s") && unknown.err.contains("kubernetes:FOLDER"), "{}", unknown.err);
}
