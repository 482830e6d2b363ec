//! `apply --up`: Compose recreates what was changed and runs, nothing else; what is not well afterwards is taken back.

use super::{Engine, NOW, usage};
use crate::program::{Place, say};
use std::process::Command;

/// Ends at once where it has less than 300 MB, under either version of control groups.
const PICKY: &str = "for f in /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes; do \
                     if [ -e $$f ]; then read m < $$f; fi; done; [ $$m -gt 300000000 ] || exit 7; while :; do sleep 1; done";

/// The Compose of this machine, installed where it is missing.
fn compose() -> Option<&'static str> {
    let has =
        |command: &str| Command::new("sh").args(["-c", command]).output().is_ok_and(|ended| ended.status.success());
    let found = || ["docker compose", "docker-compose"].into_iter().find(|program| has(&format!("{program} version")));
    found().or_else(|| {
        has("apt-get install -y --no-install-recommends docker-compose");
        found()
    })
}

fn project(place: &Place, web: &str) {
    let service = |command: &str, more: &str| {
        format!(
            "{{image: box, network_mode: none, stop_grace_period: 0s, cpus: 2, mem_limit: 1g{more}, command: [sh, -c, '{command}']}}"
        )
    };
    let idle = "while :; do sleep 1; done";
    let text = format!(
        "version: '2.4'\nservices:\n  web: {}\n  db: {}\n  idle: {}\n",
        service(web, ""),
        service(idle, ", mem_reservation: 900m"),
        service(idle, "")
    );
    place.write("compose.yaml", text);
    place.write("over.yaml", "version: '2.4'\nservices:\n  web:\n    mem_limit: 1100m # over\n");
    place.write(".env", "COMPOSE_PROJECT_NAME=shop\n");
}

/// The container of a service: its id, and what it may use.
fn container(engine: &Engine, service: &str) -> String {
    let filter = format!("label=com.docker.compose.service={service}");
    let (_, id) = engine.docker(&["ps", "-q", "--no-trunc", "--filter", &filter]);
    let form = "{{.Id}} {{.HostConfig.NanoCpus}} {{.HostConfig.Memory}}";
    if id.is_empty() { "none".to_owned() } else { engine.docker(&["inspect", &id, "--format", form]).1 }
}

#[test]
fn up_recreates_what_was_changed_and_runs_and_takes_back_what_is_not_well() {
    let Some(engine) = Engine::start() else { return };
    let Some(compose) = compose() else {
        say("NOT TESTED: `apply --up`: there is no Docker Compose, and `apt-get install docker-compose` did not help.");
        assert!(std::env::var_os("CI").is_none(), "CI has Docker Compose");
        return;
    };
    let place = Place::with(vec![("DOCKER_HOST".to_owned(), engine.address())]);
    place.write("usage.ndjson", usage(&["shop/web", "shop/db", "shop/idle"]));
    place.json(&["ingest", "usage.ndjson"]);
    place.json(&["materialize"]);
    let start = |web: &str| {
        project(&place, web);
        let up = format!("{compose} -f compose.yaml -f over.yaml up -d web db");
        let ended = Command::new("sh")
            .args(["-c", &up])
            .current_dir(place.path(""))
            .env("DOCKER_HOST", engine.address())
            .output()
            .unwrap();
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    };
    let planned = |name: &str| {
        let plan = place.json(&["--now", NOW, "plan", "-o", name, "--target", "compose:compose.yaml,over.yaml"]);
        place.json(&["--now", NOW, "approve", name]);
        plan
    };
    let texts = || ["compose.yaml", "over.yaml"].map(|name| place.read(name));
    start("while :; do sleep 1; done");
    let (before, web, db) = (texts(), container(&engine, "web"), container(&engine, "db"));
    assert!(web.ends_with(" 2000000000 1153433600"), "{web}");
    let plan = planned("plan.json");
    let changed = |resource: &str| {
        plan["items"].as_array().unwrap().iter().any(|item| item["resource"] == resource && item["action"] == "resize")
    };
    assert!(changed("shop/web") && changed("shop/db") && changed("shop/idle"), "{plan:#}");

    let ended = place.run(&["--now", NOW, "apply", "plan.json", "--up"]);
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert!(ended.out.contains("not running, and not started: shop/idle"), "{}", ended.out);
    assert_eq!(container(&engine, "idle"), "none");
    let now = container(&engine, "web");
    assert_ne!(now, web);
    assert!(!now.ends_with(" 1153433600"), "{now}");
    assert_ne!(texts(), before);
    assert!(texts()[1].ends_with(" # over\n"));
    place.json(&["--now", NOW, "apply", "plan.json", "--up"]);
    assert_eq!(container(&engine, "web"), now, "what is as it is written is not recreated");

    place.json(&["--now", NOW, "rollback", "plan.json"]);
    assert_eq!(texts(), before);
    let limits = |container: &str| container.split_once(' ').map(|(_, limits)| limits.to_owned());
    assert_eq!(limits(&container(&engine, "web")), limits(&web));
    assert_eq!(limits(&container(&engine, "db")), limits(&db));

    // A service that does not live with its new limit.
    start(PICKY);
    let (before, web) = (texts(), container(&engine, "web"));
    planned("second.json");
    let ended = place.run(&["--now", NOW, "apply", "second.json", "--up"]);
    assert_eq!(ended.code, 1, "{}", ended.err);
    assert!(ended.err.contains("was taken back") && ended.err.contains("exit code 7"), "{}", ended.err);
    assert_eq!(texts(), before);
    assert_eq!(limits(&container(&engine, "web")), limits(&web));
    let (ledger, _) = (place.json(&["log"]), place.json(&["log", "verify"]));
    assert!(ledger.to_string().contains("rollback"), "{ledger:#}");
}
