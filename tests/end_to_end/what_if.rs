//! `what-if`: simulated changes beside today's forecast, what they get in the way of, and findings that block `apply`.

use crate::plan::{NOW, place};
use crate::program::Place;
use serde_json::Value;

fn foreseen() -> Place {
    let place = place();
    place.json(&["--now", NOW, "shadow", "--horizon", "24h"]);
    place
}

fn what_if(place: &Place, arguments: &[&str]) -> Value {
    place.json(&[&["--now", NOW, "what-if"], arguments].concat())
}

fn ids(told: &Value) -> Vec<&str> {
    told["findings"].as_array().unwrap().iter().map(|found| found["id"].as_str().unwrap()).collect()
}

#[test]
fn less_memory_and_more_load_are_shown_beside_today() {
    let place = foreseen();
    let calm = what_if(&place, &["--set", "acme-dev/web.memory=16GiB"]);
    assert!(ids(&calm).is_empty(), "{calm}");
    let tight = what_if(&place, &["--set", "acme-dev/web.memory=64MiB"]);
    assert_eq!(ids(&tight), ["memory-over:acme-dev/web"], "{tight}");
    assert_eq!(tight["critical"][0], "memory-over:acme-dev/web");
    let row = &tight["resources"][0];
    assert!(row["today"]["memory"]["probability"].as_f64().unwrap() < 0.05, "{row}");
    assert!(row["then"]["memory"]["probability"].as_f64().unwrap() > 0.9, "{row}");
    assert!(row["then"]["memory"]["first_at"].as_str().unwrap() > NOW, "{row}");
    assert_eq!(row["then"]["memory"]["peak"], row["today"]["memory"]["peak"]);

    let twice = what_if(&place, &["--scale", "acme-dev/web=2"]);
    let row = &twice["resources"][0];
    let peak = |state: &str| row[state]["cpu"]["peak"].as_f64().unwrap();
    assert!((peak("then") / peak("today") - 2.0).abs() < 1e-9, "{row}");
    let none = place.run(&["--now", NOW, "what-if", "--developers", "+3"]);
    assert_eq!(none.code, 5, "no event names a developer: {}", none.err);
    place.ingest(&[&crate::program::checkout().join("data-samples/team").display().to_string()]);
    let people = what_if(&place, &["--developers", "+3"]);
    assert!(people["resources"].as_array().unwrap().len() >= 4, "{people}");
    assert!(people["changes"][0].as_str().unwrap().starts_with("+3 developers"), "{people}");

    let text = place.run(&["--now", NOW, "what-if", "--set", "acme-dev/web.memory=64MiB"]);
    assert_eq!(text.code, 0, "{}", text.err);
    assert!(text.out.contains("with the change") && text.out.contains("first at"), "{}", text.out);
    assert!(text.out.lines().all(|line| line.chars().count() <= 80), "{}", text.out);
    // Nothing was changed by looking.
    assert!(ids(&what_if(&place, &["--set", "acme-dev/web.memory=16GiB"])).is_empty());
}

#[test]
fn what_is_deployed_anew_borrows_from_its_kin_and_machines_are_counted() {
    let place = foreseen();
    place.write(
        "new.yaml",
        "name: other-dev\nservices:\n  web:\n    image: x\n    deploy:\n      resources:\n        limits:\n          cpus: '2'\n          memory: 4g\n",
    );
    place.write("nodes.toml", "[[node]]\nname = \"m\"\ncpu = \"64\"\nmemory = \"256GiB\"\nprice_hour = 1.0\n");
    let told = what_if(&place, &["--deploy", "new.yaml", "--nodes", "nodes.toml"]);
    let row = &told["resources"][0];
    assert_eq!(
        (row["resource"].as_str(), row["borrowed_from"][0].as_str()),
        (Some("other-dev/web"), Some("acme-dev/web"))
    );
    assert!(row["today"]["cpu"].is_null() && row["then"]["cpu"]["peak"].as_f64().unwrap() > 0.0, "{row}");
    assert_eq!(told["nodes"]["today"]["machines"]["m"], 1, "{told}");
    for (wrong, code) in [
        (&["what-if"][..], 2),
        (&["what-if", "--set", "acme-dev/web=1"], 2),
        (&["what-if", "--developers", "none"], 2),
        (&["what-if", "--set", "acme-dev/none.cpu=1"], 1),
    ] {
        let ended = place.run(&[&["--now", NOW], wrong].concat());
        assert_eq!(ended.code, code, "{wrong:?}: {}", ended.err);
    }
    let later = place.run(&["--now", "2027-11-22T00:00:00Z", "what-if", "--scale", "*=2"]);
    assert_eq!(later.code, 5, "{}", later.err);
}

#[test]
fn a_critical_finding_blocks_apply_until_a_person_sets_it_aside() {
    let place = foreseen();
    let plan = place.json(&["--now", NOW, "plan", "-o", "plan.json", "--target", "compose.yaml"]);
    let changed = plan["items"].as_array().unwrap().iter().find(|item| item["action"] == "resize").unwrap();
    let resource = changed["resource"].as_str().unwrap();
    place.json(&["--now", NOW, "approve", "plan.json"]);
    place.write(
        "frozen.toml",
        format!("[[override]]\nresource = \"{resource}\"\nfreeze = true\nreason = \"by hand\"\n"),
    );
    let told = what_if(&place, &["--plan", "plan.json", "--override", "frozen.toml"]);
    let id = format!("override:{resource}");
    assert!(told["critical"].as_array().unwrap().iter().any(|found| found == &id), "{told}");
    let kept = format!("lake/plans/{}/findings.json", plan["plan_id"].as_str().unwrap());
    assert!(place.read(&kept).contains(&id));

    let before = place.read("compose.yaml");
    let blocked = place.run(&["--now", NOW, "apply", "plan.json"]);
    assert_eq!(blocked.code, 4, "{}", blocked.err);
    assert!(blocked.err.contains(&id) && blocked.err.contains("--despite"), "{}", blocked.err);
    assert_eq!(place.read("compose.yaml"), before);
    assert_eq!(place.run(&["--now", NOW, "approve", "plan.json", "--despite", "nonsense"]).code, 2);
    let critical: Vec<&str> = told["critical"].as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect();
    let mut despite = vec!["--now", NOW, "approve", "plan.json"];
    critical.iter().for_each(|id| despite.extend(["--despite", id]));
    place.json(&despite);
    assert_eq!(place.json(&["--now", NOW, "apply", "plan.json"])["result"], "applied");
    assert_ne!(place.read("compose.yaml"), before);
    assert_eq!(place.run(&["log", "verify"]).code, 0);
}

/// What came is held against what was foreseen: a service deployed in a second environment, foreseen from its kin, and the
/// day that its samples then show.
#[test]
fn a_past_deployment_came_as_it_was_foreseen() {
    let place = foreseen();
    place.write(
        "new.yaml",
        "name: other-dev\nservices:\n  web:\n    image: x\n    deploy:\n      resources:\n        limits:\n          cpus: '2'\n          memory: 4g\n",
    );
    let told = what_if(&place, &["--deploy", "new.yaml"]);
    let foreseen = &told["resources"][0]["then"]["memory"];
    // The next day of the team's own recording, as the deployed copy of the same service would have shown it.
    place.ingest(&[&crate::program::checkout().join("data-samples/team-next").display().to_string()]);
    place.json(&["materialize"]);
    let came = place.sql(
        "select max(memory_bytes) as peak from features.resource_hours
         where resource = 'acme-dev/web' and hour >= timestamp '2026-11-22T00:00:00' and hour < timestamp '2026-11-23T00:00:00'",
    );
    let (peak, upper) = (came[0]["peak"].as_f64().unwrap(), foreseen["peak_upper"].as_f64().unwrap());
    assert!(peak <= upper && peak >= 0.5 * foreseen["peak"].as_f64().unwrap(), "{peak} {foreseen}");
}

/// Four weeks of hours, and a deployment every four days that doubles the load for two hours: each of them is foreseen from those
/// before it, and held against what came.
#[test]
fn past_deployments_are_replayed_and_came_as_they_were_foreseen() {
    let place = Place::new();
    let first_day = 20_362; // 2025-10-01
    let deployed = [8, 12, 16, 20, 24];
    let mut lines = Vec::new();
    for hour in 0..24 * 28_i64 {
        let (day, of_day) = (hour / 24, hour % 24);
        let bump = if deployed.contains(&day) && (10..12).contains(&of_day) { 2.0 } else { 1.0 };
        let noise = 1.0 + 0.06 * ((hour * 7919 % 101) as f64 / 50.0 - 1.0);
        let cpu = bump * noise * (1.0 + 0.5 * (of_day as f64 / 24.0 * std::f64::consts::TAU).sin());
        let date = crate::calendars::date(first_day + day);
        lines.push(format!(
            r#"{{"ts":"{date}T{of_day:02}:59:00Z","type":"usage","env":"dev","resource":"dev/web","payload":{{"interval_s":3600,"cpu_cores":{cpu},"memory_bytes":1000000000}}}}"#
        ));
    }
    place.ingest(&[&place.write("usage.ndjson", lines.join("\n"))]);
    let dates = deployed.map(|day| format!("{}T100000Z", crate::calendars::date(first_day + day).replace('-', "")));
    let calendar = format!(
        "BEGIN:VCALENDAR\nBEGIN:VEVENT\nUID:d\nDTSTAMP:20250901T000000Z\nDTSTART:{}\nDURATION:PT2H\nRDATE:{}\n\
         SUMMARY:deploy dev/web\nEND:VEVENT\nEND:VCALENDAR\n",
        dates[0],
        dates[1..].join(",")
    );
    const NOW: &str = "2025-10-29T00:00:00Z";
    let read = place.json(&["--now", NOW, "ingest", &place.write("deployments.ics", calendar)]);
    assert_eq!(read["accepted"], 5, "{read}");
    place.json(&["--now", NOW, "materialize"]);
    let told = place.json(&["--now", NOW, "what-if", "--replay", "25d"]);
    assert_eq!(told["deployments"], 5, "{told}");
    assert!(told["coverage"].as_f64().unwrap() >= 0.8 && told["peaks_held"].as_f64().unwrap() >= 0.6, "{told}");
    assert!(told["error_over_naive"].as_f64().unwrap() < 0.8, "{told}");
    // The first came as a surprise; those after it were learnt from.
    let rows: Vec<&Value> =
        told["rows"].as_array().unwrap().iter().filter(|row| row["figure"] == "cpu_cores").collect();
    let off = |row: &Value| row["expected_peak"].as_f64().unwrap() / row["came_peak"].as_f64().unwrap();
    assert!(rows[1..].iter().all(|row| (0.8..1.25).contains(&off(row))), "{told}");
    let text = place.run(&["--now", NOW, "what-if", "--replay", "25d"]);
    assert!(
        text.out.lines().all(|line| line.chars().count() <= 80) && text.out.contains("5 deployments"),
        "{}",
        text.out
    );
    let early = place.run(&["--now", "2025-10-05T00:00:00Z", "what-if", "--replay", "3d"]);
    assert_eq!(early.code, 5, "{}", early.err);
}

#[test]
fn a_machine_is_full_before_it_is_too_small_for_the_limits() {
    let place = foreseen();
    place.write("nodes.toml", "[[node]]\nname = \"m\"\ncpu = \"64\"\nmemory = \"256GiB\"\nprice_hour = 1.0\n");
    let calm = what_if(&place, &["--scale", "*=1.01", "--nodes", "nodes.toml"]);
    assert_eq!(calm["nodes"]["then"]["full"].as_array().unwrap().len(), 0, "{calm}");
    let heavy = what_if(&place, &["--scale", "*=90", "--nodes", "nodes.toml"]);
    let full = heavy["nodes"]["then"]["full"].as_array().unwrap();
    assert!(!full.is_empty(), "{heavy}");
    assert!(full[0]["first_at"].as_str().unwrap() > NOW && full[0]["probability"].as_f64().unwrap() > 0.05, "{full:?}");
    assert!(ids(&heavy).iter().any(|id| id.starts_with("node-") && id.ends_with("-over:m-1")), "{heavy}");
    let text = place.run(&["--now", NOW, "what-if", "--scale", "*=90", "--nodes", "nodes.toml"]);
    assert!(text.out.contains("m-1") && text.out.lines().all(|line| line.chars().count() <= 80), "{}", text.out);
}

#[test]
fn remedies_are_a_plan_that_is_shown_approved_applied_and_taken_back() {
    let place = foreseen();
    let before = place.read("compose.yaml");
    let told = what_if(
        &place,
        &["--scale", "acme-dev/*=8", "--remediate", "--output", "remedy.json", "--target", "compose.yaml"],
    );
    let items = told["remedy"]["items"].as_array().unwrap();
    let resized: Vec<&Value> = items.iter().filter(|item| item["action"] == "resize").collect();
    assert!(!resized.is_empty() && told["remedy"]["applyable"] == true, "{told}");
    for item in &resized {
        let (before, after) = (&item["before"], &item["after"]);
        let more = |name: &str| after[name].as_f64() > before[name].as_f64();
        assert!(more("memory_bytes") || more("cpu_cores"), "{item}");
        assert!(item["reason"].as_str().unwrap().contains("above its limit"), "{item}");
        assert!(!item["evidence"].as_array().unwrap().is_empty() && item["handling"].is_object(), "{item}");
    }
    let shown = place.run(&["--now", NOW, "plan", "show", "remedy.json"]);
    assert!(
        shown.code == 0 && shown.out.contains("acme-dev/") && shown.out.contains("->"),
        "{} {}",
        shown.out,
        shown.err
    );
    place.json(&["--now", NOW, "approve", "remedy.json"]);
    assert_eq!(place.json(&["--now", NOW, "apply", "remedy.json"])["result"], "applied");
    assert_ne!(place.read("compose.yaml"), before);
    // What was applied is the last change: the next remedies offer to take it back.
    let again = what_if(&place, &["--scale", "acme-dev/*=40", "--remediate", "again.json", "--target", "compose.yaml"]);
    let guidance: Vec<&str> =
        again["remedy"]["items"].as_array().unwrap().iter().filter_map(|item| item["guidance"].as_str()).collect();
    assert!(guidance.iter().any(|text| text.contains("pipeline rollback")), "{again}");
    place.json(&["--now", NOW, "rollback", "remedy.json"]);
    assert_eq!(place.read("compose.yaml"), before);
    assert_eq!(place.run(&["log", "verify"]).code, 0);
    // Without a target its items are advice.
    let advice = what_if(&place, &["--scale", "acme-dev/*=8", "--remediate", "advice.json"]);
    assert_eq!(advice["remedy"]["applyable"], false, "{advice}");
}

#[test]
fn a_remedy_that_its_machine_or_a_rule_bounds_says_what_is_missing() {
    let place = foreseen();
    let remedies = |arguments: &[&str]| {
        let asked = ["--scale", "acme-dev/*=8", "--remediate", "remedy.json", "--target", "compose.yaml"];
        what_if(&place, &[&asked, arguments].concat())["remedy"]["items"].as_array().unwrap().clone()
    };
    let reason = |item: &Value| item["reason"].as_str().unwrap().to_owned();
    let wants = remedies(&[]);
    let resized = |item: &&Value| item["action"] == "resize";
    assert!(wants.iter().filter(resized).all(|item| reason(item).ends_with("it is given what it is foreseen to need")));
    let most = wants.iter().filter(resized).max_by_key(|item| item["after"]["memory_bytes"].as_u64()).unwrap();
    let (before, after) = (&most["before"]["memory_bytes"], most["after"]["memory_bytes"].as_u64().unwrap());
    let between = (before.as_u64().unwrap() + after) / 2;
    let resource = &most["resource"];
    place.write(
        "nodes.toml",
        format!("[[node]]\nname = \"m\"\ncpu = \"400\"\nmemory = \"{between}\"\nprice_hour = 1.0\n"),
    );
    place.write("rules.toml", format!("[[override]]\nresource = {resource}\nceiling = {{ memory = \"{between}\" }}\n"));
    for (flag, file, what) in
        [("--nodes", "nodes.toml", "its machine has room for"), ("--override", "rules.toml", "allows less than that")]
    {
        let bounded = remedies(&[flag, file]);
        let item = bounded.iter().find(|item| item["resource"] == *resource && item["action"] == "resize").unwrap();
        assert_eq!(item["after"]["memory_bytes"], between, "{item}");
        assert!(reason(item).contains(what), "{item}");
    }
}

#[test]
fn a_plan_that_cannot_be_applied_any_more_is_not_pending() {
    let place = foreseen();
    let plan = place.json(&["--now", NOW, "plan", "-o", "plan.json", "--target", "compose.yaml"]);
    let changed = plan["items"].as_array().unwrap().iter().find(|item| item["action"] == "resize").unwrap();
    let (resource, id) = (changed["resource"].as_str().unwrap(), plan["plan_id"].as_str().unwrap());
    let pending = || {
        let told = what_if(&place, &["--scale", &format!("{resource}=1.01")]);
        ids(&told).contains(&format!("plan:{id}:{resource}").as_str())
    };
    assert!(pending());
    let compose = place.read("compose.yaml");
    place.write("compose.yaml", format!("{compose}# edited since\n"));
    assert!(!pending(), "apply refuses it: its file changed");
    place.write("compose.yaml", compose);
    let kept = format!("lake/plans/{id}/plan.json");
    let made = place.read(&kept);
    for replaced in [made.replacen("\"expires_at\": \"2", "\"expires_at\": \"3", 1), "{".to_owned()] {
        place.write(&kept, replaced);
        assert!(!pending(), "apply refuses it: it is not the one that was made");
    }
    place.write(&kept, made);
    assert!(pending());
}
