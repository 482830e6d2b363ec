//! From an applied plan to what came of it: each item against a control, told as an event, and undone when it did harm.

use crate::plan::{NOW, place, plan};
use crate::program::Place;
use serde_json::{Value, json};

const LATER: &str = "2026-11-29T00:00:00Z";

/// Plans, approves and applies at [`NOW`].
fn applied(place: &Place) -> Value {
    let plan = plan(place);
    place.json(&["--now", NOW, "approve", "plan.json"]);
    place.json(&["--now", NOW, "apply", "plan.json"]);
    plan
}

/// The week after the change.
fn days_after(place: &Place, resources: &[(&str, bool)]) {
    week(place, NOW, LATER, resources);
}

/// A week of samples, one every ten minutes, of resources that are throttled or not.
fn week(place: &Place, from: &str, until: &str, resources: &[(&str, bool)]) {
    let from = domain::Timestamp::parse(from).unwrap().0;
    let mut lines = Vec::new();
    for (resource, throttled) in resources {
        for n in 1..=7 * 24 * 6 {
            let ts = domain::Timestamp(from + n * 600_000_000).to_string();
            let ratio = if *throttled { 0.6 } else { 0.0 };
            let payload = json!({"interval_s": 600, "cpu_cores": 0.2, "cpu_limit_cores": 1.0, "throttled_ratio": ratio,
                "memory_bytes": 100 << 20, "memory_limit_bytes": 400 << 20});
            let env = resource.split('/').next();
            lines.push(
                json!({"ts": ts, "type": "usage", "env": env, "resource": resource, "payload": payload}).to_string(),
            );
        }
    }
    let dump = place.write("after.ndjson", lines.join("\n"));
    place.ingest(&[&dump]);
    place.json(&["--now", until, "materialize"]);
}

/// The resources of a plan's changes, and what of their hours before was contended.
fn changed(place: &Place, plan: &Value) -> Vec<(String, f64)> {
    let items = plan["items"].as_array().unwrap().iter().filter(|item| item["action"] == "resize");
    items
        .map(|item| {
            let resource = item["resource"].as_str().unwrap().to_owned();
            let query = format!(
                "select avg(case when contended then 1.0 else 0.0 end) as share from features.resource_hours \
                 where resource = '{resource}' and hour >= timestamp '2026-11-08T00:00:00Z'"
            );
            let share = place.sql(&query)[0]["share"].as_f64().unwrap();
            (resource, share)
        })
        .collect()
}

fn result<'a>(verified: &'a Value, resource: &str) -> &'a Value {
    let items = verified["plans"][0]["items"].as_array().unwrap();
    items.iter().find(|item| item["resource"] == resource).unwrap()
}

#[test]
fn what_helped_is_better_what_harmed_is_worse_and_both_are_labels() {
    let place = place();
    let before = place.read("compose.yaml");
    let plan = applied(&place);
    let changed = changed(&place, &plan);
    let starved = &changed.iter().max_by(|a, b| a.1.total_cmp(&b.1)).unwrap().0;
    let idle = &changed.iter().min_by(|a, b| a.1.total_cmp(&b.1)).unwrap().0;
    assert!(changed.iter().any(|(_, share)| *share > 0.1), "{changed:?}");
    days_after(&place, &[(starved, false), (idle, true)]);

    let ended = place.run(&["--now", LATER, "--json", "verify", "plan.json"]);
    assert_eq!(ended.code, 3, "{}", ended.err);
    let verified: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(result(&verified, starved)["result"], "better", "{verified:#}");
    assert_eq!(result(&verified, idle)["result"], "worse", "{verified:#}");
    assert_eq!(result(&verified, idle)["metrics"][0]["control"], "before");
    assert_eq!(result(&verified, starved)["measured"]["throttled_rate"], 0.0);

    // Looked at again, the same is said, and told once.
    assert_eq!(place.run(&["--now", LATER, "--json", "verify", "plan.json"]).out, ended.out);
    let told = "select result, count(*) as n from staging.events where type = 'outcome' and result <> 'inconclusive' \
                group by result order by result";
    assert_eq!(place.sql(told), [json!({"result": "better", "n": 1}), json!({"result": "worse", "n": 1})]);
    place.json(&["--now", LATER, "materialize"]);
    let labels = place.sql(&format!(
        "select distinct label_source from features.contention where key in ('{starved}', '{idle}') \
         and starts_at >= timestamp '{NOW}'"
    ));
    assert!(labels.iter().any(|row| row["label_source"] == "outcome"), "{labels:?}");

    // Quiet is about progress: the answer is what was asked for.
    let loud = place.run(&["--now", LATER, "verify", "plan.json"]);
    assert!(loud.out.contains(": better") && loud.out.contains(": worse"), "{}", loud.out);
    assert_eq!(place.run(&["--now", LATER, "-q", "verify", "plan.json"]).out, loud.out);

    // The night undoes what harms.
    let due = place.run(&["--now", LATER, "--json", "verify", "--due", "--auto-rollback"]);
    assert_eq!(due.code, 3, "{}", due.err);
    assert_eq!(place.read("compose.yaml"), before);
    let ledger = place.json(&["log"]);
    assert_eq!(ledger["entries"].as_array().unwrap().last().unwrap()["action"], "rollback");
    let none = place.json(&["--now", LATER, "verify", "--due"]);
    assert_eq!(none["plans"], json!([]), "nothing is in force any more");
}

#[test]
fn services_of_that_name_elsewhere_are_the_control_where_there_are_any() {
    let place = place();
    let plan = applied(&place);
    let changed = changed(&place, &plan);
    let idle = &changed.iter().min_by(|a, b| a.1.total_cmp(&b.1)).unwrap().0;
    let service = idle.split('/').nth(1).unwrap();
    // All of them were throttled in those days: it was not the change.
    let twin = format!("other-dev/{service}");
    days_after(&place, &[(idle, true), (&twin, true)]);
    let ended = place.run(&["--now", LATER, "--json", "verify", "plan.json"]);
    let verified: Value = serde_json::from_str(&ended.out).unwrap();
    let found = result(&verified, idle);
    assert_eq!(found["metrics"][0]["control"], "concurrent");
    assert_ne!(found["result"], "worse", "{found:#}");
}

#[test]
fn without_evidence_it_is_too_early_and_without_an_apply_there_is_nothing_to_verify() {
    let place = place();
    plan(&place);
    let never = place.run(&["--now", NOW, "verify", "plan.json"]);
    assert_eq!(never.code, 4, "{}", never.err);
    assert!(never.err.contains("never applied") && never.err.contains("hint:"), "{}", never.err);
    place.json(&["--now", NOW, "approve", "plan.json"]);
    place.json(&["--now", NOW, "apply", "plan.json"]);
    let early = place.run(&["--now", NOW, "verify", "plan.json"]);
    assert_eq!(early.code, 5, "{}", early.err);
    assert_eq!(place.run(&["--now", NOW, "verify", "--due"]).code, 0, "a night is not stopped by it");
    assert_eq!(place.run(&["verify"]).code, 2);
}

#[test]
fn a_quiet_week_clears_no_later_one() {
    const LATEST: &str = "2026-12-06T00:00:00Z";
    let place = place();
    let plan = applied(&place);
    let changed = changed(&place, &plan);
    let idle = &changed.iter().min_by(|a, b| a.1.total_cmp(&b.1)).unwrap().0;
    days_after(&place, &[(idle, false)]);
    let first = place.run(&["--now", LATER, "--json", "verify", "plan.json"]);
    assert_eq!(result(&serde_json::from_str(&first.out).unwrap(), idle)["result"], "same", "{}", first.out);
    week(&place, LATER, LATEST, &[(idle, true)]);
    let second = place.run(&["--now", LATEST, "--json", "verify", "plan.json"]);
    assert_eq!(second.code, 3, "{}", second.err);
    assert_eq!(result(&serde_json::from_str(&second.out).unwrap(), idle)["result"], "worse");
}

#[test]
fn a_limit_that_is_not_in_force_proves_nothing() {
    let place = place();
    let plan = applied(&place);
    let changed = changed(&place, &plan);
    let idle = &changed.iter().min_by(|a, b| a.1.total_cmp(&b.1)).unwrap().0;
    let item = plan["items"].as_array().unwrap().iter().find(|item| item["resource"] == idle.as_str()).unwrap();
    let from = domain::Timestamp::parse(NOW).unwrap().0;
    let lines: Vec<String> = (1..=7 * 24 * 6)
        .map(|n| {
            let payload = json!({"interval_s": 600, "cpu_cores": 0.1, "throttled_ratio": 0.0,
                "cpu_limit_cores": item["before"]["cpu_cores"], "memory_limit_bytes": item["before"]["memory_bytes"]});
            let ts = domain::Timestamp(from + n * 600_000_000).to_string();
            json!({"ts": ts, "type": "usage", "env": "acme-dev", "resource": idle, "payload": payload}).to_string()
        })
        .collect();
    let dump = place.write("unchanged.ndjson", lines.join("\n"));
    place.ingest(&[&dump]);
    place.json(&["--now", LATER, "materialize"]);
    let ended = place.run(&["--now", LATER, "--json", "verify", "plan.json"]);
    let verified: Value = serde_json::from_str(&ended.out).unwrap();
    let found = result(&verified, idle);
    assert_eq!(found["result"], "inconclusive", "{found:#}");
    assert!(found["note"].as_str().unwrap().starts_with("not in force"), "{found:#}");
}

#[test]
fn a_plan_that_cannot_be_looked_at_is_named_and_keeps_no_other_from_its_turn() {
    let place = place();
    let plan = applied(&place);
    let kept = format!("lake/plans/{}/plan.json", plan["plan_id"].as_str().unwrap());
    let whole = place.read(&kept);
    place.write(&kept, &whole[..500]);
    let ended = place.run(&["--now", LATER, "verify", "--due"]);
    assert_eq!(ended.code, 3, "{}", ended.err);
    assert!(ended.err.contains("cannot be read") && ended.err.contains("hint:"), "{}", ended.err);
    std::fs::remove_file(place.path(&kept)).unwrap();
    let gone = place.run(&["--now", LATER, "verify", "--due"]);
    assert_eq!((gone.code, gone.err.contains("is missing")), (3, true), "{}", gone.err);
}

#[test]
fn the_samples_next_days_say_which_items_helped() {
    const AFTER: &str = "2026-11-29T00:00:00Z";
    let place = place();
    applied(&place);
    let next = crate::program::checkout().join("data-samples/team-next").display().to_string();
    place.json(&["ingest", &next]);
    place.json(&["--now", AFTER, "materialize"]);
    // Nothing is worse, and nothing is left open: that would be another exit code.
    let verified = place.json(&["--now", AFTER, "verify", "plan.json"]);
    for (resource, wanted) in [("acme-dev/worker", "better"), ("acme-dev/api", "same"), ("acme-dev/web", "same")] {
        let found = result(&verified, resource);
        assert_eq!(found["result"], wanted, "{found:#}");
    }
    // In the job it is a line.
    place.write("job.toml", "[[step]]\nname = \"verify\"\nrun = [\"verify\", \"plan.json\"]\n");
    let ended = place.run(&["--now", AFTER, "run", "job.toml"]);
    assert!(ended.out.contains("items: 1 better, 2 same"), "{} {}", ended.out, ended.err);
}

#[test]
fn a_job_whose_runs_were_always_killed_counts_as_freed() {
    let place = place();
    applied(&place);
    let from = domain::Timestamp::parse(NOW).unwrap().0;
    let run = |n: i64, killed: bool| {
        let ts = domain::Timestamp(from + n * 3_600_000_000).to_string();
        let code = if killed { 137 } else { 0 };
        json!({"ts": ts, "type": "command", "repo": "acme/x", "env": "acme-dev", "resource": "acme-dev/worker", "payload": {
            "command": "make everything", "exit_code": code, "duration_ms": 60_000, "oom_killed": killed,
            "memory_limit_bytes": 2_u64 << 30, "kind": "build"}})
        .to_string()
    };
    let lines: Vec<String> = (-300..-1).map(|n| run(n, true)).chain((1..160).map(|n| run(n, false))).collect();
    place.write("runs.ndjson", lines.join("\n"));
    place.json(&["ingest", "runs.ndjson"]);
    place.json(&["--now", LATER, "materialize"]);
    let verified: Value =
        serde_json::from_str(&place.run(&["--now", LATER, "--json", "verify", "plan.json"]).out).unwrap();
    let found = result(&verified, "acme-dev/worker");
    let killed = found["metrics"].as_array().unwrap().iter().find(|it| it["metric"] == "runs killed for memory");
    let killed = killed.unwrap_or_else(|| panic!("{found:#}"));
    assert_eq!((killed["gain"].as_str(), killed["control_mean"].as_f64()), (Some("shown"), Some(1.0)), "{killed}");
}
