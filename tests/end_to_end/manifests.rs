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
    assert!(
        differing[0].1.contains(&format!("requests: {{cpu: \"{}m\", memory: 939Mi}}", request * 1000.0)),
        "{differing:?}"
    );
    let shown = place.run(&["--now", NOW, "plan", "show", "plan.json"]).out;
    assert!(shown.contains("request 2 -> 0.52 cores, 4.0 GiB -> 939 MiB"), "{shown}");

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
    // By requests, as a scheduler packs: two pods of web lie on one machine.
    assert!(notes(&made).iter().any(|note| note.contains("2 × small now") && note.contains("a month")), "{made}");

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

#[test]
fn a_compose_project_of_several_files_is_changed_where_each_limit_is_set_and_restored() {
    let place = place(&["shop/web", "shop/api", "shop/db", "shop/debug", "shop/fixed"]);
    let limits = "deploy: {resources: {limits: {cpus: '4', memory: 8G}}}";
    let files = [
        (
            "p/compose.yaml",
            format!(
                "name: shop\ninclude:\n  - path: team/db.yml # theirs\n    env_file: team/db.env\nservices:\n  web: {{image: a, {limits}}}\n  \
             api: {{extends: {{file: common/api.yml, service: base}}}}\n  debug: {{image: a, profiles: [debug], {limits}}}\n  \
             fixed: {{image: a, mem_limit: '${{MEMORY}}', cpus: '${{CPUS:-4}}'}}\n"
            ),
        ),
        (
            "p/dev.yml",
            "services:\n  web:\n    # more on our machines\n    deploy: {resources: {limits: {memory: 8G}}}\n"
                .to_owned(),
        ),
        ("p/common/api.yml", format!("services:\n  base: {{image: b, {limits}}} # for all\n")),
        ("p/team/db.yml", "services: {db: {image: '${IMAGE}', cpus: 4.0, mem_limit: 8g}}\n".to_owned()),
        ("p/team/db.env", "IMAGE=postgres:16\n".to_owned()),
        ("p/.env", "MEMORY=8g\n".to_owned()),
    ];
    for (name, text) in &files {
        place.write(name, text);
    }
    let made = plan(&place, &["--target", "compose:p/compose.yaml,p/dev.yml"]);
    assert!(made["targets"][0]["location"].as_str().unwrap().ends_with("/p/dev.yml"), "{}", made["targets"]);
    let items = made["items"].as_array().unwrap();
    let of = |name: &str| items.iter().find(|item| item["resource"] == name).unwrap();
    for name in ["shop/web", "shop/api", "shop/db", "shop/debug"] {
        assert_eq!(of(name)["action"], "resize", "{}", of(name));
    }
    assert!(of("shop/fixed")["reason"].to_string().contains("comes from a variable"), "{}", of("shop/fixed"));
    let notes = made["notes"].to_string();
    for what in
        ["changed, in common/api.yml", "changed, in team/db.yml", "changed, in dev.yml", "with the profile debug"]
    {
        assert!(notes.contains(what), "{what}: {notes}");
    }
    place.json(&["--now", NOW, "approve", "plan.json"]);
    place.json(&["--now", NOW, "apply", "plan.json"]);
    let changed = |name: &str| files.iter().find(|(file, _)| *file == name).unwrap().1 != place.read(name);
    for (name, is_changed) in
        [("p/compose.yaml", true), ("p/dev.yml", true), ("p/common/api.yml", true), ("p/team/db.yml", true)]
    {
        assert_eq!(changed(name), is_changed, "{name}");
    }
    assert!(!changed("p/.env") && !changed("p/team/db.env"));
    assert!(
        place.read("p/compose.yaml").contains("team/db.yml # theirs") && place.read("p/dev.yml").contains("# more on")
    );
    let again = place.json(&["--now", NOW, "plan", "-o", "again.json", "--target", "compose:p/compose.yaml,p/dev.yml"]);
    for name in ["shop/web", "shop/api", "shop/db", "shop/debug"] {
        let before =
            &again["items"].as_array().unwrap().iter().find(|item| item["resource"] == name).unwrap()["before"];
        assert_eq!(*before, of(name)["after"], "{name}");
    }
    // Compose's own schema, as check-jsonschema has it.
    if let Some(python) = python("whether Compose files keep to the compose-spec schema") {
        for name in ["p/compose.yaml", "p/dev.yml", "p/common/api.yml", "p/team/db.yml"] {
            let mut check = Command::new(&python);
            check.args(["-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]).arg(place.path(name));
            let ended = check.output().unwrap();
            assert!(ended.status.success(), "{name}: {}", String::from_utf8_lossy(&ended.stdout));
        }
    }
    place.json(&["--now", NOW, "rollback", "plan.json"]);
    for (name, text) in &files {
        assert_eq!(place.read(name), *text, "{name}");
    }
}
