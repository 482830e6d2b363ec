//! What follows from predictions on a running Engine beside limits: weights under a budget, a restart of what leaks, an end
//! of what nobody needs; carried out and taken back.

use super::{END, Engine, MIB, NOW, act, done};
use crate::program::Place;
use serde_json::{Value, json};

fn at(minutes_ago: i64) -> String {
    domain::Timestamp((END - minutes_ago) * 60_000_000).to_string()
}

/// Four weeks of half-hours: `web` leaks and wants most of the processors, `db` and `old` want less.
pub(super) fn usage() -> String {
    let of = |(resource, cores): (&str, f64), i: i64| {
        let memory = if resource == "shop/web" { (300 + i / 2) * MIB } else { 200 * MIB };
        json!({"ts": at((28 * 48 - 1 - i) * 30), "type": "usage", "env": "shop", "resource": resource, "payload": {
            "interval_s": 1800, "cpu_cores": cores + 0.01 * (i % 5) as f64, "memory_bytes": memory,
            "cpu_limit_cores": 2.0, "memory_limit_bytes": 1024 * MIB, "psi_cpu_some": 0.2,
            "top_process": {"name": "node", "cpu_cores": 0.1, "memory_bytes": memory},
        }})
        .to_string()
    };
    let each = |it| (0..28 * 48).map(move |i| of(it, i));
    [("shop/web", 1.5), ("shop/db", 0.5), ("shop/old", 0.1)].into_iter().flat_map(each).collect::<Vec<_>>().join("\n")
}

/// A service that was called three weeks ago, and thirty builds since that did not.
fn calls() -> String {
    let call = json!({"ts": at(21 * 1440), "type": "api_call", "repo": "acme/api", "payload": {"service": "old"}});
    let run = |i: i64| {
        json!({"ts": at(i * 600 + 60), "type": "command", "repo": "acme/api", "payload": {
            "command": "make", "kind": "build", "exit_code": 0, "duration_ms": 60_000,
        }})
    };
    std::iter::once(call).chain((0..30).map(run)).map(|line| line.to_string()).collect::<Vec<_>>().join("\n")
}

pub(super) fn item<'a>(plan: &'a Value, action: &str, resource: &str) -> &'a Value {
    let items = plan["items"].as_array().unwrap();
    let found = items.iter().find(|item| item["action"] == action && item["resource"] == resource);
    found.unwrap_or_else(|| panic!("no {action} of {resource}: {plan:#}"))
}

#[test]
fn neighbours_are_weighed_what_leaks_is_restarted_and_what_nobody_needs_is_stopped() {
    let Some(engine) = Engine::start() else { return };
    let place = Place::new();
    place.write("usage.ndjson", usage());
    place.write("calls.ndjson", calls());
    place.json(&["ingest", "usage.ndjson", "calls.ndjson"]);
    place.json(&["materialize"]);
    for service in ["web", "db", "old"] {
        let label = format!("com.docker.compose.service={service}");
        let labels = ["--label", "com.docker.compose.project=shop", "--label", &label];
        let limits = ["--cpus", "2", "--memory", "1g", "--stop-timeout", "0"];
        let all = [&labels[..], &limits[..]].concat();
        engine.run(&format!("shop-{service}-1"), &all, "while :; do sleep 1; done");
    }
    let target = format!("docker:{}", engine.address());
    let budget = ["--budget", "cpu=1.5,memory=512MiB"];
    let plan = place.json(&[&["--now", NOW, "plan", "--target", &target], &budget[..]].concat());
    // Ranked by what each wants, and the price of one more core said.
    let weight = |name: &str| item(&plan, "prioritize", name)["task"]["after"]["cpu"].as_i64().unwrap();
    assert!(weight("shop/web") > weight("shop/db") && weight("shop/db") > weight("shop/old"), "{plan:#}");
    let first = item(&plan, "prioritize", "shop/web")["reason"].as_str().unwrap();
    assert!(first.contains("number 1 of 3 by what it wants"), "{first}");
    let notes = plan["notes"].to_string();
    assert!(notes.contains("one more core makes") && notes.contains("a month"), "{notes}");
    assert!(notes.contains("more than the budget of 512 MiB; weights do not help"), "{notes}");
    let restart = item(&plan, "restart", "shop/web");
    assert!(restart["reason"].as_str().unwrap().contains("its memory leaks since 2026-10-2"), "{restart}");
    let stop = item(&plan, "deprovision", "shop/old");
    assert!(stop["reason"].as_str().unwrap().contains("nothing has called old for 21 days: 30 runs since"), "{stop}");
    for evidence in [restart, stop].iter().flat_map(|item| item["evidence"].as_array().unwrap()) {
        assert!(!place.sql(evidence["sql"].as_str().unwrap()).is_empty(), "{evidence}");
    }
    let shown = place.run(&["--now", NOW, "plan", "show", "plan.json"]).out;
    assert!(shown.contains("one more core makes"), "{shown}");

    place.json(&["--now", NOW, "approve", "plan.json"]);
    let of = |name: &str, form: &str| engine.docker(&["inspect", name, "--format", form]).1;
    let shares = |name: &str| of(name, "{{.HostConfig.CpuShares}}");
    let started = of("shop-web-1", "{{.State.StartedAt}}");
    done(&act(&place, "apply", &[]));
    assert_eq!(shares("shop-web-1"), weight("shop/web").to_string());
    assert_eq!(shares("shop-db-1"), weight("shop/db").to_string());
    assert_ne!(of("shop-web-1", "{{.State.StartedAt}}"), started, "it was restarted");
    assert_eq!(of("shop-web-1", "{{.State.Running}}"), "true");
    assert_eq!(of("shop-old-1", "{{.State.Running}}"), "false");
    done(&act(&place, "rollback", &[]));
    assert_eq!((shares("shop-web-1").as_str(), shares("shop-db-1").as_str()), ("1024", "1024"));
    assert_eq!(of("shop-old-1", "{{.State.Running}}"), "true");
}
