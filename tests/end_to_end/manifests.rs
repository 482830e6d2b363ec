//! Plans on what is written elsewhere than in a Compose file: manifests, dev containers, commands; machines with a price; the
//! frontier that a person chooses from.

use crate::program::Place;
use crate::python::python;
use serde_json::{Value, json};
use std::process::Command;

const NOW: &str = "2026-11-22T00:00:00Z";
/// NOW, in minutes since 1970.
const END: i64 = 29_921_760;
const MIB: i64 = 1 << 20;

const MANIFEST: &str = "\
# The shop.
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
        - name: web
          image: \"nginx:1.29\" # pinned
          resources:
            requests: {cpu: \"2\", memory: 4Gi}
            limits:
              cpu: \"4\"
              memory: 8Gi
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: nightly, namespace: shop}
spec:
  schedule: \"0 3 * * *\"
  jobTemplate:
    spec:
      template:
        spec:
          restartPolicy: Never
          containers:
            - name: nightly
              image: busybox
              resources: {limits: {cpu: 4, memory: 8Gi}}
";

/// Three weeks of resources that use little of their 4 cores and 8 GiB, with a peak a day.
fn place(resources: &[&str]) -> Place {
    let line = |resource: &str, i: i64| {
        let ts = domain::Timestamp((END - 21 * 1440 + (i + 1) * 5) * 60_000_000).to_string();
        let cores = if i % 288 == 100 { 1.6 } else { 0.4 + 0.02 * (i % 7) as f64 };
        json!({"ts": ts, "type": "usage", "env": "shop", "resource": resource, "payload": {
            "interval_s": 300, "cpu_cores": cores, "memory_bytes": (900 + i % 40) * MIB,
            "cpu_limit_cores": 4.0, "memory_limit_bytes": 8192 * MIB,
        }})
        .to_string()
    };
    let lines = resources.iter().flat_map(|resource| (0..21 * 288 - 1).map(move |i| line(resource, i)));
    let place = Place::new();
    place.write("usage.ndjson", lines.collect::<Vec<_>>().join("\n"));
    place.json(&["ingest", "usage.ndjson"]);
    place.json(&["materialize"]);
    place
}

fn plan(place: &Place, more: &[&str]) -> Value {
    place.json(&[&["--now", NOW, "plan", "-o", "plan.json"], more].concat())
}

fn after<'a>(plan: &'a Value, resource: &str) -> &'a Value {
    &plan["items"].as_array().unwrap().iter().find(|item| item["resource"] == resource).unwrap()["after"]
}

#[test]
fn manifests_are_changed_validated_and_restored() {
    let place = place(&["shop/web", "shop/nightly"]);
    place.write("k8s/app/web.yaml", MANIFEST);
    place.write("k8s/notes.yaml", "just: notes # limits: {cpu: 9}\n");
    let made = plan(&place, &["--target", "kubernetes:k8s"]);
    assert_eq!(made["targets"][0]["kind"], "kubernetes");
    assert!(after(&made, "shop/web")["cpu_cores"].as_f64().unwrap() < 4.0, "{made}");
    place.json(&["--now", NOW, "approve", "plan.json"]);
    place.json(&["--now", NOW, "apply", "plan.json"]);
    let changed = place.read("k8s/app/web.yaml");
    let differing: Vec<(&str, &str)> = MANIFEST.lines().zip(changed.lines()).filter(|(old, new)| old != new).collect();
    assert_eq!(MANIFEST.lines().count(), changed.lines().count());
    assert_eq!(differing.len(), 4, "{differing:?}");
    assert!(differing.iter().all(|(old, _)| old.contains("cpu:") || old.contains("memory:")), "{differing:?}");
    // What is requested is a typical day, which takes less than half of the limit that a peak needs.
    let requests =
        &made["items"].as_array().unwrap().iter().find(|it| it["resource"] == "shop/web").unwrap()["requests"];
    assert_eq!(requests["before"], json!({"cpu_cores": 2.0, "memory_bytes": 4096 * MIB}));
    let request = requests["after"]["cpu_cores"].as_f64().unwrap();
    assert!((0.5..0.6).contains(&request), "{requests}");
    assert!(differing[0].1.contains(&format!("requests: {{cpu: \"{request}\", memory: 939Mi}}")), "{differing:?}");
    let shown = place.run(&["--now", NOW, "plan", "show", "plan.json"]).out;
    assert!(shown.contains("requests 2 -> 0."), "{shown}");

    if let Some(python) = python("manifests after apply, by the published schemas of Kubernetes") {
        let script = "import sys, yaml, kubernetes_validate as k\n\
            for document in yaml.safe_load_all(open(sys.argv[1])):\n    k.validate(document, k.latest_version(), strict=True)";
        let ended = Command::new(python).args(["-c", script]).arg(place.path("k8s/app/web.yaml")).status().unwrap();
        assert!(ended.success());
    }
    place.json(&["--now", NOW, "rollback", "plan.json"]);
    assert_eq!(place.read("k8s/app/web.yaml"), MANIFEST);
}

#[test]
fn a_dev_container_keeps_its_comments_and_a_command_is_believed_by_what_it_reads_back() {
    let place = place(&["shop/devcontainer", "shop/job"]);
    let text = "{\n  // for all\n  \"hostRequirements\": {\"cpus\": 4, \"memory\": \"8gb\"}, /* sized by hand */\n}\n";
    place.write("shop/.devcontainer/devcontainer.json", text);
    let state = place.path("state.json");
    place.write("state.json", r#"{"resources":{"shop/job":{"cpu_cores":4.0,"memory_bytes":8589934592}}}"#);
    let script = format!(
        "case $1 in read) cat {0};; healthy) ;;\n\
         do) sed 's/.*\"after\":\\({{[^}}]*}}\\).*/{{\"resources\":{{\"shop\\/job\":\\1}}}}/' > {0};;\n\
         undo) sed 's/.*\"before\":\\({{[^}}]*}}\\).*/{{\"resources\":{{\"shop\\/job\":\\1}}}}/' > {0};;\nesac\n",
        state.display()
    );
    place.write("size.sh", script);
    let command = format!("exec:sh {}", place.path("size.sh").display());
    let targets = ["--target", "devcontainer:shop/.devcontainer/devcontainer.json", "--target", &command];
    let made = plan(&place, &targets);
    let cores = after(&made, "shop/job")["cpu_cores"].as_f64().unwrap();
    assert!(cores < 4.0, "{made}");
    place.json(&["--now", NOW, "approve", "plan.json"]);
    place.json(&["--now", NOW, "apply", "plan.json"]);
    let bytes = after(&made, "shop/devcontainer")["memory_bytes"].as_i64().unwrap();
    let memory = if bytes % (1024 * MIB) == 0 {
        format!("{}gb", bytes / MIB / 1024)
    } else {
        format!("{}mb", bytes.div_euclid(MIB))
    };
    assert_eq!(
        place.read("shop/.devcontainer/devcontainer.json"),
        text.replace("\"cpus\": 4", "\"cpus\": 2").replace("8gb", &memory)
    );
    let live: Value = serde_json::from_str(&place.read("state.json")).unwrap();
    assert_eq!(live["resources"]["shop/job"]["cpu_cores"], cores);
    place.json(&["--now", NOW, "rollback", "plan.json"]);
    assert_eq!(place.read("shop/.devcontainer/devcontainer.json"), text);
    let live: Value = serde_json::from_str(&place.read("state.json")).unwrap();
    assert_eq!(live["resources"]["shop/job"], json!({"cpu_cores": 4.0, "memory_bytes": 8_589_934_592_i64}));
}

#[test]
fn a_frontier_is_printed_and_money_is_counted_after_packing() {
    let place = place(&["shop/web", "shop/nightly"]);
    place.write("k8s/web.yaml", MANIFEST);
    place.write("nodes.toml", "[[node]]\nname = \"large\"\ncpu = \"16\"\nmemory = \"64GiB\"\nprice_hour = 0.5\n");
    let notes = |made: &Value| -> Vec<String> {
        made["notes"].as_array().unwrap().iter().map(|note| note["what"].as_str().unwrap().to_owned()).collect()
    };
    let made = plan(&place, &["--target", "kubernetes:k8s", "--nodes", "nodes.toml", "--risk", "2%", "--frontier"]);
    // One machine before and after: what is cut saves nothing.
    assert!(
        notes(&made).iter().any(|note| note.contains("1 × large now at 0.50") && note.contains("nothing is saved")),
        "{made}"
    );
    assert!(notes(&made).iter().any(|note| note.contains("saves nothing by itself")), "{made}");
    let frontier = made["frontier"].as_array().unwrap();
    assert!(frontier.len() >= 8 && frontier.iter().all(|point| point["cpu_slack"].is_number()), "{made}");
    let file: Value = serde_json::from_str(&place.read("plan.json")).unwrap();
    assert!(file["frontier"].is_null(), "the plan in the file is what its digest is of");

    place.write("nodes.toml", "[[node]]\nname = \"small\"\ncpu = \"4\"\nmemory = \"8GiB\"\nprice_hour = 0.1\n");
    let made = plan(&place, &["--target", "kubernetes:k8s", "--nodes", "nodes.toml"]);
    assert!(notes(&made).iter().any(|note| note.contains("3 × small now") && note.contains("a month")), "{made}");

    let back = place.json(&["--now", NOW, "backtest", "--frontier", "--policy", "krr,vpa"]);
    let points = back["frontier"].as_array().unwrap();
    for pair in points.windows(2) {
        assert!(pair[0]["risk"].as_f64() < pair[1]["risk"].as_f64());
        let rate = |point: &Value| point["throttled_rate"].as_f64().unwrap();
        assert!(rate(&pair[0]) <= rate(&pair[1]) + 0.002, "{back}");
    }
    assert_eq!(back["beside"].as_array().unwrap().len(), 2);
    let one = place.json(&["--now", NOW, "backtest", "--risk", "5%"]);
    assert_eq!(one["risk"], 0.05);
    assert!(one["policies"]["ours"]["changes_per_month"].is_number(), "{one}");
    assert_eq!(place.run(&["backtest", "--risk", "5%", "--frontier"]).code, 2);
}
