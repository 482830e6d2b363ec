//! Plans that do no harm: what was cut off, rare, thin, old or configured is not taken for small.

use crate::program::Place;
use serde_json::{Value, json};

const NOW: &str = "2026-11-22T00:00:00Z";
/// NOW, in minutes since 1970.
const END: i64 = 29_921_760;
const MIB: i64 = 1 << 20;
const GIB: i64 = 1 << 30;
const WEB: &str =
    "name: shop\nservices:\n  web:\n    image: a\n    deploy: {resources: {limits: {cpus: \"4\", memory: 8g}}}\n";

/// Samples of a resource over the last `days` up to `until` minutes before NOW, with what `figures` says of each: of its
/// number and its minute of the day.
fn samples(resource: &str, days: i64, until: i64, step: i64, figures: &dyn Fn(i64, i64) -> Value) -> Vec<String> {
    let first = END - until - days * 1440;
    let of = |i: i64| {
        let minute = first + (i + 1) * step;
        let mut payload = json!({"interval_s": step * 60});
        payload.as_object_mut().unwrap().extend(figures(i, minute % 1440).as_object().unwrap().clone());
        let ts = domain::Timestamp(minute * 60_000_000).to_string();
        json!({"ts": ts, "type": "usage", "env": "shop", "resource": resource, "payload": payload}).to_string()
    };
    (0..days * 1440 / step - 1).map(of).collect()
}

fn steady(resource: &str, days: i64, until: i64) -> Vec<String> {
    samples(resource, days, until, 30, &|i, _| {
        json!({"cpu_cores": 0.2 + 0.01 * (i % 5) as f64, "memory_bytes": (300 + i % 15) * MIB,
            "cpu_limit_cores": 4.0, "memory_limit_bytes": 8 * GIB})
    })
}

fn place(lines: &[String], compose: &str) -> Place {
    let place = Place::new();
    place.write("usage.ndjson", lines.join("\n"));
    place.json(&["ingest", "usage.ndjson"]);
    place.json(&["materialize"]);
    place.write("compose.yaml", compose);
    place
}

fn plan(place: &Place, more: &[&str]) -> Value {
    let mut arguments = vec!["--now", NOW, "plan", "-o", "plan.json", "--target", "compose.yaml"];
    arguments.extend(more);
    place.json(&arguments)
}

fn item<'a>(plan: &'a Value, resource: &str) -> &'a Value {
    plan["items"].as_array().unwrap().iter().find(|item| item["resource"] == resource).unwrap()
}

fn reason(item: &Value) -> &str {
    item["reason"].as_str().unwrap()
}

#[test]
fn every_service_of_a_project_is_judged_by_what_its_samples_can_tell() {
    let services = [
        ("killed", "cpus: 1\n    mem_limit: 512m"),
        ("nightly", "cpus: 4\n    mem_limit: 8g"),
        ("bursts", "cpus: 4\n    mem_limit: 8g"),
        ("silent", "cpus: 4\n    mem_limit: 8g"),
        ("java", "cpus: 2\n    mem_limit: 6g\n    environment: {JAVA_OPTS: -Xms1g -Xmx4g}"),
        ("leaks", "cpus: 1\n    mem_limit: 16g"),
        ("free", "mem_limit: 512m"),
        ("renamed", "mem_limit: 512m"),
        ("idle", "cpus: 4\n    mem_limit: 8g"),
    ];
    let mut compose = "name: shop\nservices:\n".to_owned();
    for (name, rest) in services {
        compose.push_str(&format!("  {name}:\n    image: a\n    {rest}\n"));
    }
    let mut lines = samples("shop/killed", 30, 0, 30, &|i, _| {
        let kill = i % 24 == 23;
        let memory = if kill { 60 } else { 120 + 7 * (i % 24) };
        json!({"cpu_cores": 0.3, "memory_bytes": memory * MIB, "oom_kills": i64::from(kill)})
    });
    lines.extend(samples("shop/nightly", 30, 0, 5, &|_, minute| {
        let busy = (121..=140).contains(&minute);
        json!({"cpu_cores": if busy { 3.7 } else { 0.04 }, "memory_bytes": if busy { 800 } else { 200 } * MIB,
            "cpu_limit_cores": 4.0, "memory_limit_bytes": 8 * GIB})
    }));
    for night in [1, 2] {
        lines.extend((0..55).map(|m| {
            let ts = domain::Timestamp((END - night * 1440 + 180 + m) * 60_000_000).to_string();
            json!({"ts": ts, "type": "usage", "env": "shop", "resource": "shop/bursts", "payload":
                {"interval_s": 60, "cpu_cores": 0.01, "memory_bytes": 90 * MIB, "cpu_limit_cores": 4.0}})
            .to_string()
        }));
    }
    lines.extend(steady("shop/silent", 20, 140 * 1440));
    lines.extend(samples("shop/java", 30, 0, 30, &|i, _| {
        json!({"cpu_cores": 0.4, "memory_bytes": (1200 + i % 40) * MIB, "cpu_limit_cores": 2.0,
            "memory_limit_bytes": 6 * GIB})
    }));
    lines.extend(samples("shop/leaks", 30, 0, 30, &|i, _| {
        json!({"cpu_cores": 0.3, "memory_bytes": (500 * MIB) + i * 7 * MIB / 2, "cpu_limit_cores": 1.0,
            "memory_limit_bytes": 16 * GIB})
    }));
    lines.extend(samples("shop/free", 30, 0, 30, &|_, _| json!({"cpu_cores": 0.15, "memory_bytes": 300 * MIB})));
    lines.extend(steady("shop/idle", 30, 0));
    lines.extend(steady("shop/frontend", 30, 0));
    // Another project of the same lake grows as no policy foresees.
    lines.extend(samples(
        "other/big",
        30,
        0,
        30,
        &|i, _| json!({"cpu_cores": 0.5, "memory_bytes": if i < 1200 { 20_000 } else { 22_700 } * MIB}),
    ));
    let place = place(&lines, &compose);
    place.write(
        "rules.toml",
        "[[override]]\nresource = \"shop/idel\"\nfreeze = true\n\n[[override]]\nresource = \"shop/renamed\"\n\
         floor = { memory = \"1GiB\" }\nreason = \"house rule\"\n",
    );
    let plan = plan(&place, &["--override", "rules.toml"]);
    assert_eq!(plan["applyable"], true, "{}", plan["checks"]);
    let of = |name: &str| item(&plan, &format!("shop/{name}"));
    let memory = |name: &str| of(name)["after"]["memory_bytes"].as_i64().unwrap();
    let cpu = |name: &str| of(name)["after"]["cpu_cores"].as_f64();

    assert!(memory("killed") >= 640 * MIB, "{}", of("killed"));
    assert!(reason(of("killed")).contains("OOM kills at 512 MiB"), "{}", reason(of("killed")));
    assert!(cpu("nightly").unwrap() >= 3.7 && memory("nightly") < 3 * GIB, "{}", of("nightly"));
    assert_eq!(of("bursts")["action"], "none");
    assert!(reason(of("bursts")).contains("110 samples cover"), "{}", reason(of("bursts")));
    assert_eq!(of("silent")["action"], "none");
    assert!(reason(of("silent")).contains("silent since 2026-07-0"), "{}", reason(of("silent")));
    assert!(memory("java") >= 4 * GIB && memory("java") < 6 * GIB, "{}", of("java"));
    assert!(of("java")["guidance"].as_str().unwrap().contains("-Xmx4g"), "{}", of("java"));
    assert_eq!((of("leaks")["action"].as_str(), &of("leaks")["after"]), (Some("fix_leak"), &of("leaks")["before"]));
    assert_eq!((cpu("free"), memory("free")), (None, 512 * MIB));
    assert!(reason(of("free")).contains("CPU has no limit"), "{}", reason(of("free")));
    assert_eq!(memory("renamed"), GIB);
    assert!(reason(of("renamed")).contains("floor of an override (house rule)"), "{}", reason(of("renamed")));
    assert!(memory("idle") < 2 * GIB && cpu("idle").unwrap() < 4.0, "{}", of("idle"));
    assert!(reason(of("idle")).contains("samples of 30 min hide bursts"), "{}", reason(of("idle")));

    let notes = plan["checks"].as_array().unwrap().iter().filter(|check| check["passed"] == false);
    let notes: Vec<String> = notes.map(|check| format!("{}: {}", check["name"], check["detail"])).collect();
    assert!(notes.iter().any(|note| note.contains("did you mean shop/idle?")), "{notes:?}");
    assert!(notes.iter().any(|note| note.contains("shop/frontend") && note.contains("shop/renamed")), "{notes:?}");
    assert!(!notes.iter().any(|note| note.contains("backtest_memory_safe")), "{notes:?}");

    // What is approved is what apply carries out: a leak is for people.
    place.json(&["--now", NOW, "approve", "plan.json"]);
    place.json(&["--now", NOW, "apply", "plan.json"]);
    place.json(&["--now", NOW, "rollback", "plan.json"]);
    assert_eq!(place.read("compose.yaml"), compose);
}

#[test]
fn a_refused_figure_does_not_lose_the_other() {
    let lines = samples("shop/web", 30, 0, 5, &|i, _| {
        json!({"cpu_cores": 0.3, "memory_bytes": 500 * MIB, "oom_kills": i64::from(i % 288 == 287),
            "memory_limit_bytes": 512 * MIB, "cpu_limit_cores": 2.0})
    });
    let text = "name: shop\nservices:\n  web:\n    image: a\n    deploy:\n      resources:\n        limits: {cpus: \"2\", memory: 512m}\n        reservations: {cpus: \"1\", memory: 256m}\n";
    let place = place(&lines, text);
    let plan = plan(&place, &[]);
    let web = item(&plan, "shop/web");
    assert_eq!(
        (web["after"]["cpu_cores"].as_f64(), web["after"]["memory_bytes"].as_i64() >= Some(640 * MIB)),
        (Some(2.0), true)
    );
    assert!(reason(web).contains("CPU stays, the target would refuse") && reason(web).contains("OOM kills"), "{web}");
}

#[test]
fn nothing_is_raised_above_its_machine_and_cpu_is_cut_below_a_peak_only_at_a_stated_risk() {
    let lines = samples("shop/web", 30, 0, 5, &|i, _| {
        json!({"cpu_cores": if i % 288 == 0 { 3.0 } else { 0.5 }, "memory_bytes": 500 * MIB,
            "cpu_limit_cores": 4.0, "memory_limit_bytes": 8 * GIB})
    });
    let place = place(&lines, WEB);
    let cores = |more: &[&str]| item(&plan(&place, more), "shop/web")["after"]["cpu_cores"].as_f64().unwrap();
    assert_eq!(cores(&[]), 3.0);
    let cut = cores(&["--risk", "2%"]);
    assert!(cut < 3.0, "{cut}");
    for wrong in ["2", "-1%", "x"] {
        assert_eq!(place.run(&["--now", NOW, "plan", "--risk", wrong]).code, 2, "{wrong}");
    }
    place.write("nodes.toml", "[[node]]\nname = \"small\"\ncpu = \"4500m\"\nmemory = \"16GiB\"\n");
    let ndjson = samples(
        "shop/hot",
        30,
        0,
        5,
        &|_, _| json!({"cpu_cores": 3.9, "memory_bytes": 500 * MIB, "cpu_limit_cores": 4.0, "throttled_ratio": 0.5}),
    );
    place.write("hot.ndjson", ndjson.join("\n"));
    place.json(&["ingest", "hot.ndjson"]);
    place.json(&["materialize"]);
    place.write("compose.yaml", WEB.replace("web:", "hot:"));
    let hot = |more: &[&str]| item(&plan(&place, more), "shop/hot").clone();
    let unknown = hot(&[]);
    assert_eq!(unknown["after"]["cpu_cores"], 4.0, "nothing larger was seen: {unknown}");
    assert!(unknown["guidance"].as_str().unwrap().contains("--nodes"), "{unknown}");
    let told = hot(&["--nodes", "nodes.toml"]);
    assert_eq!(told["after"]["cpu_cores"], 4.5, "{told}");
    // Without a file the samples tell what the machine has.
    place.write(
        "machine.ndjson",
        samples(
            "shop/hot",
            1,
            1440,
            60,
            &|_, _| json!({"cpu_cores": 3.9, "machine_cpu_cores": 4.75, "memory_bytes": MIB}),
        )
        .join("\n"),
    );
    place.json(&["ingest", "machine.ndjson"]);
    place.json(&["materialize"]);
    assert_eq!(hot(&[])["after"]["cpu_cores"], 4.75);
    place.write("nodes.toml", "[[node]]\nname = \"odd\"\ncpu = \"many\"\n");
    let ended = place.run(&["--now", NOW, "plan", "--nodes", "nodes.toml"]);
    assert!(ended.code == 1 && ended.err.contains("many") && ended.err.contains("hint:"), "{}", ended.err);
}
