//! What is foreseen to break on a running Engine, mended before it does: a restart of what leaks, more memory, and the
//! redundant instance that stands by; carried out and taken back.

use super::neighbours::{item, usage};
use super::{Engine, NOW, act, done};
use crate::program::Place;

#[test]
fn what_is_foreseen_to_break_is_restarted_raised_and_stood_in_for_and_taken_back() {
    let Some(engine) = Engine::start() else { return };
    let place = Place::new();
    place.write("usage.ndjson", usage());
    place.json(&["ingest", "usage.ndjson"]);
    place.json(&["materialize"]);
    for service in ["web", "web-standby", "db"] {
        let label = format!("com.docker.compose.service={service}");
        let labels = ["--label", "com.docker.compose.project=shop", "--label", &label];
        let limits = ["--cpus", "2", "--memory", "1g", "--memory-swap", "1g", "--stop-timeout", "0"];
        let all = [&labels[..], &limits[..]].concat();
        engine.run(&format!("shop-{service}-1"), &all, "while :; do sleep 1; done");
    }
    assert!(engine.docker(&["stop", "shop-web-standby-1"]).0);
    place.json(&["--now", NOW, "shadow"]);
    place.json(&["--now", NOW, "anomalies"]);

    let target = format!("docker:{}", engine.address());
    let change = ["--scale", "shop/web=2", "--remediate", "--output", "plan.json", "--target", &target];
    let told = place.json(&[&["--now", NOW, "what-if"], &change[..]].concat());
    let plan = &told["remedy"];
    assert_eq!(plan["applyable"], true, "{plan:#}");
    let restart = item(plan, "restart", "shop/web");
    assert!(
        restart["reason"].as_str().unwrap().ends_with("its memory leaks, and a restart gives it back"),
        "{restart}"
    );
    let raised = item(plan, "resize", "shop/web");
    assert!(raised["after"]["memory_bytes"].as_u64() > raised["before"]["memory_bytes"].as_u64(), "{raised}");
    let started = item(plan, "provision", "shop/web-standby");
    assert!(started["reason"].as_str().unwrap().contains("shop/web-standby stands by"), "{started}");
    let shown = place.run(&["--now", NOW, "plan", "show", "plan.json"]);
    assert!(shown.code == 0 && shown.out.contains("web-standby"), "{} {}", shown.out, shown.err);

    let of = |name: &str, form: &str| engine.docker(&["inspect", name, "--format", form]).1;
    let memory = || of("shop-web-1", "{{.HostConfig.Memory}}");
    let (began, limit) = (of("shop-web-1", "{{.State.StartedAt}}"), memory());
    place.json(&["--now", NOW, "approve", "plan.json"]);
    done(&act(&place, "apply", &[]));
    assert_ne!(of("shop-web-1", "{{.State.StartedAt}}"), began, "it was restarted");
    assert_eq!(memory(), raised["after"]["memory_bytes"].to_string());
    assert_eq!(of("shop-web-standby-1", "{{.State.Running}}"), "true");
    done(&act(&place, "rollback", &[]));
    assert_eq!((memory(), of("shop-web-standby-1", "{{.State.Running}}").as_str()), (limit, "false"));
    assert_eq!(of("shop-web-1", "{{.State.Running}}"), "true");
}
