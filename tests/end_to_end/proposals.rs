//! What follows from predictions beside limits: rules, services that nobody needs, leaks, neighbours, builds, CI jobs; and
//! who may say yes.

use crate::program::Place;
use crate::python::python;
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

const NOW: &str = "2026-11-22T00:00:00Z";
/// NOW, in minutes since 1970.
const END: i64 = 29_921_760;
const MIB: i64 = 1 << 20;
/// Of an Ed25519 key pair of RFC 8410, appendix 10.3.
pub const PUBLIC_KEY: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";
const COMPOSE: &str = "name: shop\nservices:\n  web: {image: box, cpus: 4, mem_limit: 1g}\n  \
                       db: {image: box, cpus: 4, mem_limit: 1g}\n";

fn at(minutes_ago: i64) -> String {
    domain::Timestamp((END - minutes_ago) * 60_000_000).to_string()
}

/// Four weeks of half-hours: `web` leaks in `node`, `db` is steady.
fn usage() -> String {
    let of = |resource: &str, i: i64| {
        let leaks = resource == "shop/web";
        let memory = if leaks { (300 + i / 2) * MIB } else { 200 * MIB };
        json!({"ts": at((28 * 48 - 1 - i) * 30), "type": "usage", "env": "shop", "resource": resource, "payload": {
            "interval_s": 1800, "cpu_cores": if leaks { 1.5 } else { 0.5 } + 0.01 * (i % 5) as f64, "memory_bytes": memory,
            "cpu_limit_cores": 4.0, "memory_limit_bytes": 1024 * MIB, "psi_cpu_some": 0.2,
            "top_process": {"name": if leaks { "node" } else { "postgres" }, "cpu_cores": 0.1, "memory_bytes": memory},
        }})
        .to_string()
    };
    ["shop/web", "shop/db"]
        .iter()
        .flat_map(|it| (0..28 * 48).map(|i| of(it, i)).collect::<Vec<_>>())
        .collect::<Vec<_>>()
        .join("\n")
}

/// Forty builds of 40 minutes with too many jobs at once, and as many CI runs of ten.
fn runs() -> String {
    let of = |i: i64| {
        let (build, ci) = (at(i * 700 + 60), at(i * 700 + 30));
        [
            json!({"ts": build, "type": "command", "repo": "acme/api", "branch": "main", "payload": {
                "command": "make -j32 all", "kind": "build", "exit_code": 0, "duration_ms": 2_400_000, "cpu_ms": 9_000_000,
                "cpu_limit_cores": 4.0, "psi_io_some": 0.01, "psi_cpu_some": 0.5, "record_id": format!("b{i}"),
                "packages_added": 12,
            }}),
            json!({"ts": ci, "type": "ci_run", "repo": "acme/api", "branch": "main", "payload": {
                "run_id": 1000 + i, "workflow": "CI", "job": "build", "duration_ms": 540_000 + 1000 * i, "result": "success",
                "runner": "large", "cpu_ms": 1_000_000, "memory_peak_bytes": 3_000_000_000_i64,
            }}),
        ]
    };
    let lines: Vec<String> = (0..40).flat_map(of).map(|line| line.to_string()).collect();
    lines.join("\n")
}

fn place() -> Place {
    let place = Place::new();
    place.write("usage.ndjson", usage());
    place.write("runs.ndjson", runs());
    place.json(&["ingest", "usage.ndjson", "runs.ndjson"]);
    place.json(&["materialize"]);
    place.write("compose.yaml", COMPOSE);
    place
}

fn items<'a>(plan: &'a Value, action: &str) -> Vec<&'a Value> {
    plan["items"].as_array().unwrap().iter().filter(|item| item["action"] == action).collect()
}

#[test]
fn leaks_and_builds_have_items_with_rows_risk_and_steps_by_hand() {
    let place = place();
    let plan = place.json(&["--now", NOW, "plan", "--target", "compose.yaml", "--budget", "cpu=1.5,memory=4GiB"]);
    let leak = items(&plan, "fix_leak")[0];
    assert_eq!(leak["resource"], "shop/web");
    assert!(leak["reason"].as_str().unwrap().contains("since 2026-10-2"), "{leak}");
    assert!(leak["guidance"].as_str().unwrap().contains("node"), "{leak}");
    let advice = items(&plan, "optimize");
    let said = |what: &str| advice.iter().find(|item| item["reason"].as_str().unwrap().contains(what));
    for what in ["its cache misses", "32 jobs at once on 4 cores"] {
        let item = said(what).unwrap_or_else(|| panic!("{what}: {advice:#?}"));
        assert_eq!((item["task"].is_null(), &item["handling"]["risk"]), (true, &json!("low")));
        assert!(!item["handling"]["steps"].as_array().unwrap().is_empty());
    }
    // The rows are there, and the SQL of every item runs.
    for item in plan["items"].as_array().unwrap() {
        for evidence in item["evidence"].as_array().unwrap() {
            if let Some(sql) = evidence["sql"].as_str() {
                assert!(!place.sql(sql).is_empty(), "{item}: {sql}");
            }
        }
    }
    let notes: Vec<&str> = plan["notes"].as_array().unwrap().iter().filter_map(|note| note["what"].as_str()).collect();
    assert!(notes.iter().any(|what| what.contains("one more core makes")), "{notes:?}");
    assert!(notes.iter().any(|what| what.contains("budget, memory: at most")), "{notes:?}");
    // Rules of one's own take the place of those inside.
    place.write("rules.toml", "[[rule]]\nwhen = \"build_time\"\nabove = \"2h\"\nthen = \"optimize\"\n");
    let plan = place.json(&["--now", NOW, "plan", "--target", "compose.yaml", "--rules", "rules.toml"]);
    assert!(items(&plan, "optimize").is_empty());
    place.write("rules.toml", "[[rule]]\nwhen = \"build_time\"\nabove = \"2h\"\nthen = \"stop\"\n");
    let ended = place.run(&["--now", NOW, "plan", "--target", "compose.yaml", "--rules", "rules.toml"]);
    assert_eq!(ended.code, 1);
    assert!(ended.err.contains("rules.toml: line 4: unknown variant `stop`"), "{}", ended.err);
}

#[test]
fn jobs_of_ci_get_a_runner_and_a_timeout_from_the_p99_of_their_runs() {
    // No usage: jobs are sized from their runs.
    let place = Place::new();
    place.write("runs.ndjson", runs());
    place.json(&["ingest", "runs.ndjson"]);
    place.json(&["materialize"]);
    let workflow = "name: CI\non: push\njobs:\n  build:\n    runs-on: large # eight cores\n    steps: [{run: make}]\n";
    place.write(".github/workflows/ci.yml", workflow);
    place.write(".gitlab-ci.yml", "build:\n  script: [make]\n  tags: [large]\n  timeout: 6h\n");
    let circleci = "version: 2.1\njobs:\n  build:\n    docker: [{image: cimg/rust:1.95}]\n    resource_class: large # 8\n    steps: [checkout]\n";
    place.write(".circleci/config.yml", circleci);
    place.write(
        "rules.toml",
        "[[runner]]\nname = \"small\"\ncpu = \"2\"\nmemory = \"2GiB\"\n[[runner]]\nname = \"medium\"\ncpu = \"4\"\nmemory = \
         \"8GiB\"\n[[runner]]\nname = \"large\"\ncpu = \"8\"\nmemory = \"32GiB\"\n[approve]\nactions = [\"resize\"]\n\
         most_risk = \"medium\"\nmost_items = 3\n",
    );
    let targets = ["actions:.github/workflows", "gitlab:.gitlab-ci.yml", "circleci:.circleci/config.yml"];
    let targets = targets.map(|target| ["--target", target]).concat();
    let arguments = [&["--now", NOW, "plan", "--rules", "rules.toml"], &targets[..]].concat();
    let plan = place.json(&arguments);
    let resized = items(&plan, "resize");
    assert_eq!(resized.len(), 3, "{plan:#}");
    assert_eq!(resized[0]["task"]["after"], json!({"runner": "medium", "timeout_minutes": 15}));
    // Below the risk that the file allows nobody need say yes; below a lower one a person must.
    let auto = |rules: &str| place.run(&["--now", NOW, "approve", "plan.json", "--auto", rules]);
    place.write("strict.toml", "[approve]\nactions = [\"resize\"]\nmost_risk = \"low\"\nmost_items = 2\n");
    place.write("few.toml", "[approve]\nactions = [\"resize\"]\nmost_risk = \"high\"\nmost_items = 1\n");
    assert_eq!((auto("strict.toml").code, auto("few.toml").code), (4, 4));
    assert_eq!(auto("rules.toml").code, 0);
    place.json(&["--now", NOW, "apply", "plan.json"]);
    let new = workflow
        .replace("on: large", "on: medium")
        .replace("[{run: make}]\n", "[{run: make}]\n    timeout-minutes: 15\n");
    assert_eq!(place.read(".github/workflows/ci.yml"), new);
    assert_eq!(place.read(".gitlab-ci.yml"), "build:\n  script: [make]\n  tags: [medium]\n  timeout: 15m\n");
    assert_eq!(place.read(".circleci/config.yml"), circleci.replace(": large", ": medium"));
    // The schemas that editors use, as SchemaStore has them.
    if let Some(python) = python("whether CI files keep to their schemas") {
        for (schema, file) in [
            ("vendor.github-workflows", ".github/workflows/ci.yml"),
            ("vendor.gitlab-ci", ".gitlab-ci.yml"),
            ("vendor.circle-ci", ".circleci/config.yml"),
        ] {
            let mut check = Command::new(&python);
            check.args(["-m", "check_jsonschema", "--builtin-schema", schema]).arg(place.path(file));
            let ended = check.output().unwrap();
            assert!(ended.status.success(), "{file}: {}", String::from_utf8_lossy(&ended.stdout));
        }
    }
    place.json(&["--now", NOW, "rollback", "plan.json"]);
    assert_eq!(place.read(".github/workflows/ci.yml"), workflow);
}

#[test]
fn an_approval_is_signed_and_apply_takes_no_other() {
    let place = place();
    let key = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";
    place.write("key.pem", key);
    place.write("keys.pem", PUBLIC_KEY);
    place.json(&["--now", NOW, "plan", "--target", "compose.yaml"]);
    place.json(&["--now", NOW, "approve", "plan.json"]);
    let signed = ["--now", NOW, "apply", "plan.json", "--require-signature", "keys.pem"];
    let ended = place.run(&signed);
    assert_eq!(ended.code, 4, "{}", ended.err);
    assert!(ended.err.contains("without a signature"), "{}", ended.err);
    let said = place.json(&["--now", NOW, "approve", "plan.json", "--key", "key.pem"]);
    assert!(said["signature"]["value"].is_string(), "{said}");
    // A key that others may read is used, and told of.
    for (mode, is_told) in [(0o644, true), (0o600, false)] {
        std::fs::set_permissions(place.path("key.pem"), std::fs::Permissions::from_mode(mode)).unwrap();
        let ended = place.run(&["--now", NOW, "approve", "plan.json", "--key", "key.pem"]);
        assert_eq!(ended.code, 0, "{}", ended.err);
        let told = format!("warning: key.pem can be read or changed by others (mode {mode:03o})");
        assert_eq!(ended.err.contains(&told) && ended.err.contains("chmod 600 key.pem"), is_told, "{}", ended.err);
    }
    // Who made the plan is who approved it.
    let other = place.run(&["--now", NOW, "apply", "plan.json", "--require-other-approver"]);
    assert_eq!(other.code, 4, "{}", other.err);
    assert_eq!(place.run(&signed).code, 0);
}

/// Six repositories whose pull requests build in turn, an hour apart; those that change the lock file fetch packages.
fn pull_requests() -> String {
    let of = |i: i64| {
        let (repo, number, locks) = (format!("acme/r{}", i % 6), 1 + i / 6, (i / 6) % 3 != 0);
        let (opened, built) = (at((246 - i) * 60 + 20), at((246 - i) * 60));
        let branch = format!("change-{number}");
        let packages: &[&str] = if locks { &["pkg:cargo/serde@1.0.219", "pkg:cargo/libc@0.2.170"] } else { &[] };
        [
            json!({"ts": opened, "type": "pr", "repo": repo, "branch": branch, "pr": number, "developer": "d1",
                "payload": {"action": "opened", "title": "a change", "base": "main"}}),
            json!({"ts": built, "type": "command", "repo": repo, "branch": branch, "pr": number, "developer": "d1", "payload": {
                "command": "cargo test", "kind": "test", "exit_code": 0, "duration_ms": 60_000, "record_id": format!("r{i}"),
                "paths": [if locks { "Cargo.lock" } else { "README.md" }], "packages": packages,
            }}),
        ]
    };
    (0..246).flat_map(of).map(|line| line.to_string()).collect::<Vec<_>>().join("\n")
}

#[test]
fn packages_that_coming_runs_will_fetch_are_a_persons_to_fetch_ahead() {
    let place = place();
    place.write("prs.ndjson", pull_requests());
    place.json(&["ingest", "prs.ndjson"]);
    place.json(&["materialize"]);
    place.json(&["--now", NOW, "train", "services"]);
    place.json(&["--now", NOW, "predict"]);
    let plan = place.json(&["--now", NOW, "plan", "--target", "compose.yaml"]);
    let fetches = items(&plan, "prefetch");
    assert!(!fetches.is_empty(), "{plan:#}");
    let first = fetches[0];
    assert!(first["resource"].as_str().unwrap().starts_with("acme/r") && first["task"].is_null(), "{first}");
    assert!(
        first["reason"].as_str().unwrap().contains("changes Cargo.lock: its runs will fetch 2 packages"),
        "{first}"
    );
    let steps = first["handling"]["steps"].to_string();
    assert!(steps.contains("cargo fetch --locked"), "{steps}");
    assert!(first["confidence"].as_f64() > Some(0.5), "{first}");
    let named: Vec<&str> = first["evidence"].as_array().unwrap().iter().filter_map(|it| it["value"].as_str()).collect();
    assert!(named.contains(&"pkg:cargo/serde") && named.contains(&"Cargo.lock"), "{named:?}");
    for evidence in first["evidence"].as_array().unwrap() {
        assert!(!place.sql(evidence["sql"].as_str().unwrap()).is_empty(), "{evidence}");
    }
    // A pull request that changes no lock file is named by none.
    let all = fetches.iter().map(|item| item["reason"].as_str().unwrap()).collect::<String>();
    assert!(!all.contains("#1 "), "{all}");
    // No rule, no item.
    place.write("rules.toml", "[[rule]]\nwhen = \"new_service\"\nthen = \"provision\"\n");
    let plan = place.json(&["--now", NOW, "plan", "--target", "compose.yaml", "--rules", "rules.toml"]);
    assert!(items(&plan, "prefetch").is_empty());
}
