//! Plans on a running Docker Engine: limits in place, read back from the Engine and the kernel, and restored.

mod calendar;
mod door;
mod killed;
mod needs;
mod neighbours;
mod proof;
mod remedies;
mod tasks;
mod up;
mod with_a_file;

use crate::collect::engine::Engine;
use crate::program::{Ended, Place};
use door::Door;
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Stdio};

const NOW: &str = "2026-11-22T00:00:00Z";
/// NOW, in minutes since 1970.
const END: i64 = 29_921_760;
const MIB: i64 = 1 << 20;
const COMPOSE: &str = "name: shop\nservices:\n  web: {image: box, cpus: 2, mem_limit: 1g, memswap_limit: 1536m}\n  \
                       db: {image: box, cpus: 2, mem_limit: 1g}\n";

/// Three weeks of services that use little of what they have.
fn usage(resources: &[&str]) -> String {
    let of = |resource: &str, i: i64| {
        let ts = domain::Timestamp((END - 21 * 1440 + (i + 1) * 30) * 60_000_000).to_string();
        json!({"ts": ts, "type": "usage", "env": "shop", "resource": resource, "payload": {
            "interval_s": 1800, "cpu_cores": 0.2 + 0.01 * (i % 5) as f64, "memory_bytes": (120 + i % 15) * MIB,
            "cpu_limit_cores": 2.0, "memory_limit_bytes": 1024 * MIB,
        }})
        .to_string()
    };
    resources
        .iter()
        .flat_map(|it| (0..21 * 48 - 1).map(|i| of(it, i)).collect::<Vec<_>>())
        .collect::<Vec<_>>()
        .join("\n")
}

fn place(resources: &[&str]) -> Place {
    let place = Place::new();
    place.write("usage.ndjson", usage(resources));
    place.json(&["ingest", "usage.ndjson"]);
    place.json(&["materialize"]);
    place.write("compose.yaml", COMPOSE);
    place
}

/// Two containers of one service in one form, one of another in the other form.
fn shop(engine: &Engine) {
    let project = "com.docker.compose.project=shop";
    let run = |name: &str, service: &str, options: &[&str]| {
        let service = format!("com.docker.compose.service={service}");
        let mut all = vec!["--label", project, "--label", &service, "--memory", "1g", "--stop-timeout", "0"];
        all.extend(options);
        engine.run(name, &all, "while :; do sleep 1; done");
    };
    for name in ["shop-web-1", "shop-web-2"] {
        run(name, "web", &["--cpus", "2", "--memory-swap", "1536m"]);
    }
    run("shop-db-1", "db", &["--cpu-quota", "100000", "--cpu-period", "50000", "--memory-swap", "-1"]);
}

const ALL: [&str; 3] = ["shop-db-1", "shop-web-1", "shop-web-2"];

/// What the Engine keeps of the limits, and what the kernel holds each container to.
fn limits(engine: &Engine, names: &[&str]) -> Vec<String> {
    let of = |name: &&str| {
        let form = "{{.Id}} {{.State.Pid}} nano={{.HostConfig.NanoCpus}} quota={{.HostConfig.CpuQuota}} \
            period={{.HostConfig.CpuPeriod}} memory={{.HostConfig.Memory}} swap={{.HostConfig.MemorySwap}}";
        let (there, said) = engine.docker(&["inspect", name, "--format", form]);
        if !there {
            return format!("{name} is gone");
        }
        let mut words = said.splitn(3, ' ');
        let (id, pid, record) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
        format!("{name} {record} {}", kernel(id, pid))
    };
    names.iter().map(of).collect()
}

/// The kernel's own files, as text.
fn kernel(id: &str, pid: &str) -> String {
    let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let mut said = String::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (names, path) = (parts.next().unwrap(), parts.next().unwrap());
        if !path.contains(id) {
            continue;
        }
        let folder = Path::new("/sys/fs/cgroup").join(names).join(path.trim_start_matches('/'));
        for file in [
            "cpu.cfs_quota_us",
            "cpu.cfs_period_us",
            "memory.limit_in_bytes",
            "memory.memsw.limit_in_bytes",
            "cpu.max",
            "memory.max",
            "memory.swap.max",
        ] {
            if let Ok(text) = std::fs::read_to_string(folder.join(file)) {
                said.push_str(&format!("{file}={} ", text.trim()));
            }
        }
    }
    said
}

fn plan(place: &Place, targets: &[&str]) -> Value {
    let mut arguments = vec!["--now", NOW, "plan", "-o", "plan.json"];
    targets.iter().for_each(|target| arguments.extend(["--target", target]));
    let plan = place.json(&arguments);
    assert_eq!(plan["applyable"], true, "{}", plan["checks"]);
    place.json(&["--now", NOW, "approve", "plan.json"]);
    plan
}

fn act(place: &Place, command: &str, more: &[&str]) -> Ended {
    let mut arguments = vec!["--json", "--now", NOW, command, "plan.json"];
    arguments.extend(more);
    place.run(&arguments)
}

fn done(ended: &Ended) -> Value {
    assert_eq!(ended.code, 0, "{} {}", ended.err, ended.out);
    serde_json::from_str(&ended.out).unwrap()
}

fn actions(place: &Place) -> Vec<String> {
    let entries = place.json(&["log"])["entries"].as_array().unwrap().clone();
    entries.iter().map(|entry| entry["action"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn limits_are_set_in_place_seen_in_the_kernel_and_restored_exactly() {
    let Some(engine) = Engine::start() else { return };
    shop(&engine);
    let place = place(&["shop/web", "shop/db"]);
    let before = limits(&engine, &ALL);
    assert!(before[0].contains("quota=100000 period=50000"), "{before:?}");
    let made = plan(&place, &[&format!("docker:{}", engine.address()), "compose.yaml"]);
    assert_eq!((made["format_version"].as_u64(), made["targets"].as_array().unwrap().len()), (Some(2), 2));
    assert_eq!(made["targets"][0]["location"], engine.address());
    let items = made["items"].as_array().unwrap();
    let of = |on: &str, resource: &str| items.iter().find(|it| it["on"] == on && it["resource"] == resource).unwrap();
    assert_eq!((of("docker", "shop/web")["projected"]["replicas"].as_u64(), items.len()), (Some(2), 4), "{items:?}");
    let rehearsed = done(&act(&place, "apply", &["--dry-run"]));
    assert_eq!(rehearsed["steps"].as_array().unwrap().len(), 4, "three containers and a file: {rehearsed}");
    assert_eq!(limits(&engine, &ALL), before);

    let applied = done(&act(&place, "apply", &["--at-once", "2"]));
    assert_eq!(applied["result"], "applied");
    let after = limits(&engine, &ALL);
    for (name, resource) in [("shop-web-1", "shop/web"), ("shop-web-2", "shop/web"), ("shop-db-1", "shop/db")] {
        let said = after.iter().find(|it| it.starts_with(name)).unwrap();
        let wanted = &of("docker", resource)["after"];
        let (cores, bytes) = (wanted["cpu_cores"].as_f64().unwrap(), wanted["memory_bytes"].as_i64().unwrap());
        assert!(cores < 2.0 && bytes < 512 * MIB, "{wanted}");
        assert!(said.contains(&format!("memory={bytes} ")), "by the Engine: {said}");
        let kernel = [format!("memory.limit_in_bytes={bytes} "), format!("memory.max={bytes} ")];
        assert!(kernel.iter().any(|it| said.contains(it)), "in the kernel: {said}");
        let (quota, period) =
            if name == "shop-db-1" { ((cores * 5e4).round(), 50_000) } else { ((cores * 1e5).floor(), 100_000) };
        let kernel =
            [format!("cpu.cfs_quota_us={quota} cpu.cfs_period_us={period}"), format!("cpu.max={quota} {period}")];
        assert!(kernel.iter().any(|it| said.contains(it)), "{kernel:?}: {said}");
        let nano = (cores * 1e9).round() as i64;
        let form = if name == "shop-db-1" { format!("nano=0 quota={quota}") } else { format!("nano={nano} quota=0") };
        assert!(said.contains(&form), "the form that it had: {said}");
        let swap = if name == "shop-db-1" { -1 } else { bytes + 512 * MIB };
        assert!(said.contains(&format!("swap={swap} ")), "the swap that it had: {said}");
    }
    assert_ne!(place.read("compose.yaml"), COMPOSE);
    assert_eq!(done(&act(&place, "apply", &[]))["result"], "already applied");

    let back = done(&act(&place, "rollback", &[]));
    assert_eq!(back["result"], "restored");
    assert_eq!((limits(&engine, &ALL), place.read("compose.yaml").as_str()), (before, COMPOSE));
    assert_eq!(done(&act(&place, "rollback", &[]))["result"], "already as it was");
    assert_eq!(actions(&place), ["plan", "approve", "apply", "rollback"]);
    let told = place.sql("select count(*) as n from staging.events where type = 'adjustment' and action = 'apply'");
    assert_eq!(told[0]["n"], 4);
}

#[test]
fn what_the_engine_would_refuse_is_known_when_the_plan_is_made() {
    let Some(engine) = Engine::start() else { return };
    let service = |name: &str| format!("com.docker.compose.service={name}");
    let run = |name: &str, options: &[&str], script: &str| {
        let service = service(name);
        let mut all = vec!["--label", "com.docker.compose.project=shop", "--label", &service];
        all.extend(options);
        engine.run(&format!("{name}-1"), &all, script);
    };
    // Pages of a memory file system are nothing that the kernel can take back.
    run(
        "full",
        &["--memory", "1g", "--shm-size", "700m"],
        "dd if=/dev/zero of=/dev/shm/x bs=1M count=600; while :; do sleep 1; done",
    );
    let idle = "while :; do sleep 1; done";
    run("reserves", &["--memory", "1g", "--memory-reservation", "900m"], idle);
    run("uneven", &["--memory", "1g"], idle);
    let other = ["--label", "com.docker.compose.project=shop", "--label", &service("uneven"), "--memory", "2g"];
    engine.run("uneven-2", &other, idle);
    run("swarm", &["--memory", "1g", "--label", "com.docker.swarm.service.id=x"], idle);
    run("free", &[], idle);
    std::thread::sleep(std::time::Duration::from_secs(3));
    let names = ["shop/full", "shop/reserves", "shop/uneven", "shop/swarm", "shop/free"];
    let place = place(&names);
    place.write("rules.toml", "[[override]]\nresource = \"shop/free\"\npin = { cpu = \"0.5\", memory = \"256MiB\" }\n");
    let target = format!("docker:{}", engine.address());
    let made = place.json(&["--now", NOW, "plan", "-o", "plan.json", "--target", &target, "--override", "rules.toml"]);
    let items = made["items"].as_array().unwrap();
    let of = |name: &str| items.iter().find(|it| it["resource"] == name).unwrap_or_else(|| panic!("no {name}: {made}"));
    for (name, why) in [
        ("shop/full", "full-1 uses 6"),
        ("shop/reserves", "reserves 900 MiB"),
        ("shop/uneven", "2 containers have different limits"),
        ("shop/swarm", "run by a Swarm service"),
    ] {
        assert_eq!(of(name)["action"], "none", "{}", of(name));
        assert!(of(name)["reason"].as_str().unwrap().contains(why), "{}", of(name));
    }
    let free = of("shop/free");
    assert_eq!((free["action"].as_str(), free["after"]["cpu_cores"].as_f64()), (Some("resize"), Some(0.5)), "{free}");
    let notes = made["notes"].to_string();
    assert!(notes.contains("has never had CPU and memory limits; a rollback holds it to nothing again"), "{notes}");

    let before = limits(&engine, &["free-1"]);
    place.json(&["--now", NOW, "approve", "plan.json", "--item", free["id"].as_str().unwrap()]);
    done(&act(&place, "apply", &[]));
    let set = limits(&engine, &["free-1"]);
    assert!(set[0].contains("memory=268435456 swap=536870912"), "{set:?}");
    done(&act(&place, "rollback", &[]));
    let held = |all: &[String]| all[0].split_once("swap=").unwrap().1.split_once(' ').unwrap().1.to_owned();
    assert_eq!(held(&limits(&engine, &["free-1"])), held(&before), "the kernel holds it to what it did before");
}

#[test]
fn a_service_that_is_not_well_gets_its_limits_back() {
    let Some(engine) = Engine::start() else { return };
    // It says itself that it cannot live with less than 512 MiB.
    let check = "read x < /sys/fs/cgroup/memory/memory.limit_in_bytes || read x < /sys/fs/cgroup/memory.max; \
                 if [ $x -lt 536870912 ]; then echo too little; exit 1; fi";
    let health = ["--health-cmd", check, "--health-interval", "1s", "--health-retries", "2"];
    let mut options = vec!["--label", "pipeline.env=shop", "--label", "pipeline.service=web", "--memory", "1g"];
    options.extend(health);
    engine.run("web", &options, "while :; do sleep 1; done");
    engine.run("db", &["--label", "pipeline.env=shop", "--memory", "1g"], "while :; do sleep 1; done");
    let place = place(&["shop/web", "shop/db"]);
    let before = limits(&engine, &["web", "db"]);
    plan(&place, &[&format!("docker:{}", engine.address())]);
    let ended = act(&place, "apply", &[]);
    assert_eq!(ended.code, 1, "{}", ended.err);
    assert!(ended.err.contains("unhealthy by its own check: too little"), "{}", ended.err);
    assert_eq!(limits(&engine, &["web", "db"]), before);

    // A command of the user's is asked after each service.
    assert!(engine.docker(&["rm", "-f", "web"]).0);
    engine.run("web", &["--label", "pipeline.env=shop", "--memory", "1g"], "while :; do sleep 1; done");
    let before = limits(&engine, &["web", "db"]);
    plan(&place, &[&format!("docker:{}", engine.address())]);
    let asks = "echo \"$PIPELINE_RESOURCES\" >> asked; test \"$PIPELINE_RESOURCES\" != shop/web";
    let ended = act(&place, "apply", &["--health", asks]);
    assert!(ended.code == 1 && ended.err.contains("the health command ended with"), "{}", ended.err);
    assert_eq!(place.read("asked"), "shop/db\nshop/web\n");
    assert_eq!(limits(&engine, &["web", "db"]), before);
    plan(&place, &[&format!("docker:{}", engine.address())]);
    done(&act(&place, "apply", &["--health", "true", "--at-once", "9"]));
    assert_ne!(limits(&engine, &["web", "db"]), before);
}

#[test]
fn a_container_that_vanished_and_a_later_change_stop_only_what_they_concern() {
    let Some(engine) = Engine::start() else { return };
    shop(&engine);
    let place = place(&["shop/web", "shop/db"]);
    let before = limits(&engine, &ALL);
    // Between the plan and its apply: refused, with nothing written.
    let docker = format!("docker:{}", engine.address());
    plan(&place, &[&docker]);
    assert!(engine.docker(&["rm", "-f", "shop-db-1"]).0);
    let ended = act(&place, "apply", &[]);
    assert!(ended.code == 4 && ended.err.contains("shop/db is gone"), "{}", ended.err);
    assert_eq!(limits(&engine, &ALL)[1..], before[1..]);

    // Between two steps: what was done goes back.
    let name = engine.address();
    let door = Door::open(&engine, move |request| {
        if request.is_update() {
            let _ = Command::new("docker").args(["-H", &name, "rm", "-f", "shop-web-2"]).output();
        }
    });
    plan(&place, &[&format!("docker:{}", door.address())]);
    let ended = act(&place, "apply", &[]);
    assert!(ended.code == 1 && ended.err.contains("shop-web-2") && ended.err.contains("is gone"), "{}", ended.err);
    assert_eq!(limits(&engine, &["shop-web-1"]), before[1..2]);
    drop(door);

    // Somebody changes it after the apply: it is not undone, and said so.
    shop_again(&engine);
    let before = limits(&engine, &["shop-db-1", "shop-web-1"]);
    plan(&place, &[&docker]);
    done(&act(&place, "apply", &[]));
    assert!(engine.docker(&["update", "--cpus", "1.5", "shop-web-1"]).0);
    let theirs = limits(&engine, &["shop-web-1"]);
    let ended = act(&place, "rollback", &[]);
    assert_eq!(ended.code, 3, "{} {}", ended.err, ended.out);
    let said: Value = serde_json::from_str(&ended.out).unwrap();
    assert!(said["not_undone"][0].as_str().unwrap().contains("shop/web is left as it is"), "{said}");
    assert_eq!(limits(&engine, &["shop-db-1"]), before[..1]);
    assert_eq!(limits(&engine, &["shop-web-1"]), theirs);
}

/// Without the second web container.
fn shop_again(engine: &Engine) {
    for name in ALL {
        engine.docker(&["rm", "-f", name]);
    }
    shop(engine);
    assert!(engine.docker(&["rm", "-f", "shop-web-2"]).0);
}

#[test]
fn a_second_apply_is_refused_and_told_who_is_at_it() {
    let Some(engine) = Engine::start() else { return };
    shop(&engine);
    let place = place(&["shop/web", "shop/db"]);
    plan(&place, &[&format!("docker:{}", engine.address())]);
    place.write("go", "");
    let mut first = place.command(&[
        "--now",
        NOW,
        "apply",
        "plan.json",
        "--health",
        "touch at; while [ -e go ]; do sleep 0.1; done",
    ]);
    let mut child = first.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    for _ in 0..600 {
        if place.path("at").exists() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    let second = act(&place, "apply", &[]);
    assert_eq!(second.code, 4, "{}", second.err);
    assert!(second.err.contains(&format!("another run, process {}", child.id())), "{}", second.err);
    // A dead process blocks nobody.
    child.kill().unwrap();
    child.wait().unwrap();
    std::fs::remove_file(place.path("go")).unwrap();
    done(&act(&place, "apply", &[]));
    assert_eq!(actions(&place), ["plan", "approve", "apply"]);
}
