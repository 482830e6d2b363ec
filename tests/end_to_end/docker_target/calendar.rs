//! Limits that follow a calendar on a running Engine: switched at its hours, by nobody else's leave, and restored.

use super::door::{Door, Moment};
use super::{Engine, MIB, done, kernel};
use crate::program::{Ended, Place, say};
use serde_json::{Value, json};
use std::process::Stdio;

/// A Sunday. The build runs from one to three at night, and limits are raised at a quarter to one.
const MADE: &str = "2026-11-22T00:00:00Z";
const NIGHT: &str = "2026-11-22T00:45:00Z";
const MORNING: &str = "2026-11-22T03:00:00Z";
/// Later than the plan may be applied.
const LATER: &str = "2026-12-06T01:30:00Z";
/// The end of the usage, in minutes since 1970.
const END: i64 = 29_921_760;

/// Four weeks of a nightly build, every quarter of an hour.
fn place(resources: &[&str]) -> Place {
    let row = |resource: &str, i: i64| {
        let minute = END - 28 * 1440 + (i + 1) * 15;
        let hour = (minute - 1) / 60 % 24;
        let (cores, memory) = if (1..3).contains(&hour) { (1.5, 700) } else { (0.06, 60 + i % 3) };
        let ts = domain::Timestamp(minute * 60_000_000).to_string();
        json!({"ts": ts, "type": "usage", "env": "shop", "resource": resource, "payload": {
            "interval_s": 900, "cpu_cores": cores, "memory_bytes": memory * MIB,
            "cpu_limit_cores": 2.0, "memory_limit_bytes": 1024 * MIB,
        }})
        .to_string()
    };
    let rows = resources.iter().flat_map(|it| (0..28 * 96 - 1).map(|i| row(it, i)).collect::<Vec<_>>());
    let place = Place::new();
    place.write("usage.ndjson", rows.collect::<Vec<_>>().join("\n"));
    place.json(&["ingest", "usage.ndjson"]);
    place.json(&["materialize"]);
    place
}

fn run(engine: &Engine, service: &str, script: &str) {
    let label = format!("com.docker.compose.service={service}");
    let options = ["--label", "com.docker.compose.project=shop", "--label", &label, "--memory", "1g", "--cpus", "2"];
    let options = [&options[..], &["--memory-swap", "1536m", "--shm-size", "512m", "--stop-timeout", "0"]].concat();
    engine.run(&format!("shop-{service}-1"), &options, script);
}

const IDLE: &str = "while :; do sleep 1; done";

fn plan(place: &Place, address: &str) -> Value {
    let target = format!("docker:{address}");
    let plan = ["--now", MADE, "plan", "-o", "plan.json", "--target", &target, "--calendar"];
    let plan = place.json(&[&plan[..], &["--time-zone", "Europe/Berlin"]].concat());
    assert_eq!(plan["applyable"], true, "{}", plan["checks"]);
    place.json(&["--now", MADE, "approve", "plan.json"]);
    plan
}

fn at(place: &Place, now: &str, command: &str) -> Ended {
    place.run(
        &["--json", "--now", now, command, "plan.json", "--health-timeout", "5s"]
            [..if command == "apply" { 7 } else { 5 }],
    )
}

/// Cores and bytes, by the Engine; and what the kernel has.
fn limits(engine: &Engine, name: &str) -> (f64, i64, String) {
    let form = "{{.HostConfig.NanoCpus}} {{.HostConfig.Memory}} {{.HostConfig.MemorySwap}} {{.Id}} {{.State.Pid}}";
    let said = engine.docker(&["inspect", name, "--format", form]).1;
    let words: Vec<&str> = said.split(' ').collect();
    let kernel = kernel(words[3], words[4]);
    (words[0].parse::<f64>().unwrap() / 1e9, words[1].parse().unwrap(), format!("swap={} {kernel}", words[2]))
}

fn figures(state: &Value) -> (f64, i64) {
    (state["cpu_cores"].as_f64().unwrap(), state["memory_bytes"].as_i64().unwrap())
}

fn has(engine: &Engine, name: &str, wanted: (f64, i64)) {
    let (cores, bytes, kernel) = limits(engine, name);
    assert_eq!((cores, bytes), wanted, "{name}: {kernel}");
    let memory = [format!("memory.limit_in_bytes={bytes} "), format!("memory.max={bytes} ")];
    assert!(memory.iter().any(|it| kernel.contains(it)), "in the kernel: {kernel}");
}

fn item<'p>(plan: &'p Value, resource: &str) -> &'p Value {
    plan["items"].as_array().unwrap().iter().find(|item| item["resource"] == resource).unwrap()
}

fn entries(place: &Place) -> Vec<(String, String)> {
    let all = place.json(&["log"])["entries"].as_array().unwrap().clone();
    let text = |entry: &Value, key: &str| entry[key].as_str().unwrap().to_owned();
    all.iter().map(|entry| (text(entry, "action"), text(entry, "result"))).collect()
}

#[test]
fn limits_are_switched_at_the_hours_of_a_calendar_and_restored() {
    let Some(engine) = Engine::start() else { return };
    run(&engine, "web", IDLE);
    // Pages of a memory file system are nothing that the kernel can take back.
    run(&engine, "db", &format!("dd if=/dev/zero of=/dev/shm/x bs=1M count=300; {IDLE}"));
    let place = place(&["shop/web", "shop/db"]);
    let before = (limits(&engine, "shop-web-1"), limits(&engine, "shop-db-1"));
    let made = plan(&place, &engine.address());
    let web = item(&made, "shop/web");
    assert_eq!(web["action"], "resize", "{web}");
    let calendar = &web["calendar"];
    let quiet = &calendar["quiet"][0];
    assert_eq!((quiet["from"].as_str(), quiet["to"].as_str()), (Some("04:00"), Some("01:45")), "{calendar}");
    let (high, low) = (figures(&web["after"]), figures(&quiet["limits"]));
    assert!(low.0 < 0.3 && low.1 < 200 * MIB && high.0 > 1.0 && high.1 > 700 * MIB, "{calendar}");
    assert_eq!((figures(&calendar["highest"]), calendar["trial"]["days"].as_u64()), (high, Some(14)));
    assert!(web["evidence"].as_array().unwrap().iter().any(|it| it["what"] == "calendar" && it["sql"].is_string()));
    let shown = place.run(&["plan", "show", "plan.json"]);
    assert!(
        shown.out.contains("quiet   ") && shown.out.contains("every day 04:00 to 01:45 Europe/Berlin"),
        "{}",
        shown.out
    );

    // At midnight it is quiet: what is in use stays allowed.
    assert_eq!(done(&at(&place, MADE, "apply"))["result"], "applied");
    has(&engine, "shop-web-1", low);
    has(&engine, "shop-db-1", (low.0, high.1));
    assert_eq!(done(&at(&place, MADE, "apply"))["result"], "already applied");

    let night = done(&at(&place, NIGHT, "apply"));
    assert_eq!(
        (night["result"].as_str(), night["switched"].as_array().unwrap().len()),
        (Some("switched"), 2),
        "{night}"
    );
    has(&engine, "shop-web-1", high);
    has(&engine, "shop-db-1", high);
    assert_eq!(done(&at(&place, NIGHT, "apply"))["result"], "already applied");
    let morning = done(&at(&place, MORNING, "apply"));
    assert!(morning["stays"][0].as_str().unwrap().contains("shop-db-1 uses 3"), "{morning}");
    has(&engine, "shop-web-1", low);
    has(&engine, "shop-db-1", (low.0, high.1));
    let words: Vec<(String, String)> = entries(&place);
    let actions: Vec<&str> = words.iter().map(|(action, _)| action.as_str()).collect();
    assert_eq!(actions, ["plan", "approve", "apply", "switch", "switch"]);
    let rows = web["evidence"].as_array().unwrap().iter().find(|it| it["what"] == "calendar").unwrap();
    let hours = place.sql(rows["sql"].as_str().unwrap());
    let busy =
        hours.iter().filter(|row| row["cpu_cores"].as_f64().unwrap() > 1.0).map(|row| row["hour"].as_i64().unwrap());
    assert_eq!(busy.collect::<std::collections::BTreeSet<_>>(), [2, 3, 4].into(), "from two to four in Berlin");
    assert!(words[4].1.contains(MORNING), "{words:?}");

    // Another plan leaves alone what follows a calendar, whichever of its limits are in force.
    let target = format!("docker:{}", engine.address());
    let other = place.json(&["--now", MORNING, "plan", "-o", "other.json", "--target", &target]);
    let web = item(&other, "shop/web");
    assert_eq!((web["action"].as_str(), figures(&web["after"])), (Some("none"), low), "{web}");
    assert!(web["reason"].as_str().unwrap().contains(made["plan_id"].as_str().unwrap()), "{web}");

    // What somebody else set is not overwritten.
    assert!(engine.docker(&["update", "--cpus", "0.7", "shop-web-1"]).0);
    let refused = at(&place, LATER, "apply");
    assert!(refused.code == 4 && refused.err.contains("shop-web-1 has 0.7 cores"), "{} {}", refused.code, refused.err);
    has(&engine, "shop-db-1", (low.0, high.1));
    assert!(engine.docker(&["update", "--cpus", &low.0.to_string(), "shop-web-1"]).0);
    // A calendar does not end with the time in which its plan may be applied.
    assert_eq!(done(&at(&place, LATER, "apply"))["result"], "switched");
    has(&engine, "shop-web-1", high);
    // Without samples since, nothing is known of what it did.
    let verified = place.run(&["--now", LATER, "verify", "plan.json"]);
    assert!(verified.code == 5 && verified.out.contains("shop/web"), "{} {}", verified.out, verified.err);

    assert_eq!(done(&at(&place, LATER, "rollback"))["result"], "restored");
    assert_eq!((limits(&engine, "shop-web-1"), limits(&engine, "shop-db-1")), before);
    assert_eq!(at(&place, LATER, "apply").code, 4, "what was rolled back follows nothing");
    place.json(&["log", "verify"]);
}

#[test]
fn a_switch_killed_between_any_two_steps_is_finished_or_rolled_back() {
    let Some(engine) = Engine::start() else { return };
    run(&engine, "web", IDLE);
    run(&engine, "db", IDLE);
    let place = place(&["shop/web", "shop/db"]);
    let before = (limits(&engine, "shop-web-1"), limits(&engine, "shop-db-1"));
    let door = Door::open(&engine, |_| {});
    let mut killed = 0;
    for then in ["apply", "rollback"] {
        for moment in Moment::all(2) {
            let made = plan(&place, &door.address());
            let high = figures(&item(&made, "shop/web")["after"]);
            done(&at(&place, MADE, "apply"));
            let mut process = place.command(&["--now", NIGHT, "apply", "plan.json", "--health-timeout", "5s"]);
            let mut child = process.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            door.kill(child.id(), moment);
            assert_eq!(child.wait().unwrap().code(), None, "it ended before {moment:?}");
            door.pass();
            killed += 1;
            done(&at(&place, NIGHT, then));
            if then == "apply" {
                has(&engine, "shop-web-1", high);
                has(&engine, "shop-db-1", high);
                assert_eq!(entries(&place).last().unwrap().0, "switch", "{moment:?}");
                done(&at(&place, NIGHT, "rollback"));
            }
            assert_eq!((limits(&engine, "shop-web-1"), limits(&engine, "shop-db-1")), before, "{moment:?}, {then}");
        }
    }
    place.json(&["log", "verify"]);
    say(&format!("{killed} switches killed between steps, each finished or taken back"));
}
