//! What coming runs need is there before they call it: an image is loaded from a file, a stopped service is started, and both
//! are taken back.

use super::{END, Engine, NOW, place};
use serde_json::{Value, json};

/// Six repositories build in turn, an hour apart; whoever touches the lock file calls `db`.
fn builds() -> String {
    let mut lines = Vec::new();
    for i in 0..246_i64 {
        let ts = domain::Timestamp((END - (246 - i) * 60) * 60_000_000).to_string();
        let (repo, calls) = (format!("acme/r{}", i % 6), (i / 6) % 3 != 0);
        let path = if calls { "Cargo.lock" } else { "README.md" };
        let record = format!("r{i}");
        let run = json!({"command": "cargo test", "exit_code": 0, "duration_ms": 60_000, "record_id": record, "paths": [path]});
        lines.push(json!({"ts": ts, "repo": repo, "branch": "main", "type": "command", "payload": run}).to_string());
        if calls {
            let call = json!({"service": "db", "record_id": record});
            lines.push(
                json!({"ts": ts, "repo": repo, "branch": "main", "type": "api_call", "payload": call}).to_string(),
            );
        }
    }
    lines.join("\n")
}

fn item<'a>(plan: &'a Value, action: &str) -> &'a Value {
    let found = plan["items"].as_array().unwrap().iter().find(|item| item["action"] == action);
    found.unwrap_or_else(|| panic!("no {action}: {plan:#}"))
}

#[test]
fn what_coming_runs_need_is_loaded_and_started_and_taken_back() {
    let Some(engine) = Engine::start() else { return };
    let place = place(&["shop/web"]);
    place.write("builds.ndjson", builds());
    place.json(&["ingest", "builds.ndjson"]);
    place.json(&["materialize"]);
    place.json(&["--now", NOW, "train", "services"]);
    place.json(&["--now", NOW, "predict"]);
    // A service that is there and does not run, and an image that is only in a file.
    let labels = [
        "--label",
        "com.docker.compose.project=shop",
        "--label",
        "com.docker.compose.service=db",
        "--stop-timeout",
        "0",
    ];
    let web = [
        "--label",
        "com.docker.compose.project=shop",
        "--label",
        "com.docker.compose.service=web",
        "--stop-timeout",
        "0",
    ];
    engine.run("shop-web-1", &[&web[..], &["--cpus", "2", "--memory", "1g"]].concat(), "while :; do sleep 1; done");
    engine.run("shop-db-1", &labels, "while :; do sleep 1; done");
    assert!(engine.docker(&["stop", "shop-db-1"]).0);
    let archive = place.path("db.tar");
    let (saved, said) = engine.docker(&["tag", "box", "db:2"]);
    assert!(saved, "{said}");
    assert!(engine.docker(&["save", "-o", archive.to_str().unwrap(), "db:2"]).0);
    assert!(engine.docker(&["image", "rm", "db:2"]).0);
    let rules = "[[rule]]\nwhen = \"new_service\"\nthen = \"provision\"\n[[rule]]\nwhen = \"changed_dependency\"\nthen = \
                 \"prefetch\"\n[[service]]\nneed = \"db\"\nresource = \"shop/db\"\nimage = \"db:2\"\narchive = \"db.tar\"\n";
    place.write("rules.toml", rules);
    let target = format!("docker:{}", engine.address());
    let plan = place.json(&["--now", NOW, "plan", "--target", &target, "--rules", "rules.toml"]);
    let (start, load) = (item(&plan, "provision"), item(&plan, "prefetch"));
    assert_eq!((&start["resource"], &start["task"]["kind"]), (&json!("shop/db"), &json!("start")));
    assert_eq!((&load["resource"], &load["task"]["kind"]), (&json!("db:2"), &json!("load")));
    assert!(start["confidence"].as_f64() > Some(0.9), "{start}");
    for evidence in start["evidence"].as_array().unwrap() {
        assert!(!place.sql(evidence["sql"].as_str().unwrap()).is_empty(), "{evidence}");
    }
    place.json(&["--now", NOW, "approve", "plan.json"]);
    let runs = |name: &str| engine.docker(&["inspect", name, "--format", "{{.State.Running}}"]).1.trim().to_owned();
    let has = |image: &str| engine.docker(&["image", "inspect", image]).0;
    // Other bytes than were looked at are not loaded, and nothing stays half done.
    let whole = std::fs::read(&archive).unwrap();
    std::fs::write(&archive, &whole[..whole.len() / 2]).unwrap();
    let ended = place.run(&["--now", NOW, "apply", "plan.json"]);
    assert!(ended.code != 0 && ended.err.contains("other bytes"), "{} {}", ended.code, ended.err);
    assert_eq!((runs("shop-db-1").as_str(), has("db:2")), ("false", false));
    std::fs::write(&archive, &whole).unwrap();
    place.json(&["--now", NOW, "apply", "plan.json"]);
    assert_eq!((runs("shop-db-1").as_str(), has("db:2")), ("true", true));
    place.json(&["--now", NOW, "rollback", "plan.json"]);
    assert_eq!((runs("shop-db-1").as_str(), has("db:2")), ("false", false));
}
