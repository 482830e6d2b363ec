//! `collect docker` on a real Engine.

use super::engine::Engine;
use super::{Collector, all_are_taken, collected, events, of};
use crate::program::{Place, say};
use serde_json::Value;
use std::path::Path;
use std::time::Duration;

fn number(event: &Value, name: &str) -> f64 {
    event["payload"][name].as_f64().unwrap_or_else(|| panic!("no {name} in {event}"))
}

fn resource<'e>(events: &'e [Value], name: &str) -> Vec<&'e Value> {
    events.iter().filter(|event| event["type"] == "usage" && event["resource"] == name).collect()
}

#[test]
fn containers_are_sampled_with_what_held_them_back_and_what_killed_them() {
    let Some(engine) = Engine::start() else { return };
    let place = Place::new();
    let labels = [
        "com.docker.compose.project=shop",
        "com.docker.compose.service=web",
        "pipeline.repo=acme/shop",
        "pipeline.pr=7",
    ];
    let mut options = vec!["--cpus", "0.2", "--memory", "64m"];
    labels.iter().for_each(|label| options.extend(["--label", label]));
    engine.run("busy", &options, "while :; do :; done");
    let mut collector =
        Collector::start(&place, &["docker", "--host", &engine.address(), "--interval", "2s", "--env", "here"]);
    std::thread::sleep(Duration::from_secs(3));
    // Comes, takes more memory than it may, and is killed, all between two samples of another.
    engine.run("hog", &["--memory", "24m", "--memory-swap", "24m"], "sleep 1; tail /dev/zero");
    // Comes and goes.
    engine.run("short", &["--label", "pipeline.env=job"], "i=0; while [ $i -lt 60000 ]; do i=$((i+1)); done; exit 3");
    std::thread::sleep(Duration::from_secs(10));
    // More is allowed from here on.
    assert!(engine.docker(&["update", "--cpus", "0.5", "busy"]).0);
    std::thread::sleep(Duration::from_secs(5));
    collector.signal("-TERM");
    let (code, events, err) = std::mem::replace(&mut collector, Collector { child: None }).end();
    assert_eq!(code, 0, "{err}");
    all_are_taken(&events);

    let busy = resource(&events, "shop/web");
    assert!(busy.len() >= 3, "{events:?}");
    assert!(busy.iter().all(|event| event["pr"] == 7 && event["repo"] == "acme/shop" && event["env"] == "shop"));
    let first = busy[1];
    assert!((1.0..6.0).contains(&number(first, "interval_s")), "{first}");
    // On a busy machine it gets less than it may.
    assert!((0.01..0.3).contains(&number(first, "cpu_cores")), "{first}");
    assert_eq!((number(first, "cpu_limit_cores"), number(first, "memory_limit_bytes")), (0.2, 67_108_864.0));
    assert!(busy.iter().any(|event| number(event, "throttled_ratio") > 0.1), "{busy:?}");
    assert!(number(first, "memory_bytes") > 0.0 && number(first, "oom_kills") == 0.0);
    assert!(number(first, "memory_peak_bytes") >= number(first, "memory_bytes"));
    assert_eq!(first["payload"]["top_process"]["name"], "sh");
    assert!(busy.iter().any(|event| number(event, "cpu_limit_cores") == 0.5), "the new limit is not seen");

    let hog = resource(&events, "here/hog");
    assert_eq!(hog.iter().map(|event| number(event, "oom_kills")).sum::<f64>(), 1.0, "{hog:?}");
    let last = hog[hog.len() - 1];
    assert_eq!((number(last, "container_exit_code"), number(last, "memory_peak_bytes")), (137.0, 25_165_824.0));

    let short = resource(&events, "job/short");
    assert_eq!(number(short[short.len() - 1], "container_exit_code"), 3.0);
    assert!(short.iter().all(|event| number(event, "oom_kills") == 0.0));
    // Nothing of the whole is counted twice: the intervals of a container do not overlap.
    let whole: f64 = busy.iter().map(|event| number(event, "interval_s")).sum();
    assert!(whole < 60.0, "{whole}");
}

#[test]
fn an_engine_that_restarts_leaves_a_gap_that_is_written_down() {
    let Some(mut engine) = Engine::start() else { return };
    let place = Place::new();
    engine.run("steady", &[], "while :; do sleep 0.1; done");
    let spool = place.path("spool").display().to_string();
    let mut collector =
        Collector::start(&place, &["docker", "--host", &engine.address(), "--interval", "1s", "--spool", &spool]);
    std::thread::sleep(Duration::from_secs(4));
    engine.down();
    collector.says("the Docker Engine is gone");
    std::thread::sleep(Duration::from_secs(2));
    engine.up();
    collector.says("the Docker Engine is back");
    assert!(engine.docker(&["start", "steady"]).0);
    std::thread::sleep(Duration::from_secs(4));
    collector.signal("-INT");
    let (code, out, err) = collector.end();
    assert_eq!((code, out.len()), (0, 0), "{err}");

    let files: Vec<_> = std::fs::read_dir(place.path("spool")).unwrap().map(|entry| entry.unwrap().path()).collect();
    let dump = files.iter().find(|path| path.extension().is_some_and(|it| it == "ndjson")).unwrap();
    let events = events(&std::fs::read_to_string(dump).unwrap());
    let gaps = of(&events, "annotation");
    assert_eq!(gaps.len(), 1, "{events:?}");
    let gap = &gaps[0]["payload"];
    let (from, to) = (gap["gap_from"].as_str().unwrap(), gap["gap_to"].as_str().unwrap());
    assert!(number(gaps[0], "duration_ms") >= 1000.0, "{gap}");
    let steady = resource(&events, "docker/steady");
    let at = |event: &&&Value| event["ts"].as_str().unwrap().to_owned();
    assert!(steady.iter().filter(|event| at(event).as_str() <= from).count() >= 2, "{events:?}");
    assert!(steady.iter().filter(|event| at(event).as_str() > to).count() >= 2, "{events:?}");
    let n = events.len() as u64;
    assert_eq!(place.ingest(&[&spool]), [n, n, 0, 0]);
}

#[test]
fn once_is_one_sample_of_each_and_a_plan_says_how_often() {
    let Some(engine) = Engine::start() else { return };
    let place = Place::new();
    engine.run("calm", &["--label", "pipeline.env=dev"], "sleep 100");
    engine.run("tense", &["--label", "pipeline.env=dev"], "sleep 100");
    engine.run("busy", &["--label", "pipeline.env=dev"], "while :; do :; done");
    let once = collected(&place, &["docker", "--host", &engine.address(), "--interval", "1s", "--once"]);
    let mut names: Vec<&str> = once.iter().map(|event| event["resource"].as_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["dev/busy", "dev/calm", "dev/tense"]);

    // From the shadow inventory of the sample month; of the plan's resources, one is here.
    let sample = crate::program::checkout().join("data-samples/team").display().to_string();
    place.ingest(&[&sample]);
    place.json(&["materialize"]);
    place.json(&["--now", "2026-11-22T00:00:00Z", "shadow", "--gather-plan", "gather.json"]);
    let mut plan: Value = serde_json::from_str(&place.read("gather.json")).unwrap();
    let resources = plan["resources"].as_object().unwrap();
    assert_eq!(resources.len(), 5, "{plan}");
    let api = resources["acme-dev/api"].clone();
    assert!((5.0..=60.0).contains(&api["interval_s"].as_f64().unwrap()), "{api}");
    let windows = api["windows"].as_array().unwrap();
    let event = windows.iter().find(|window| window["schedule_event_id"].is_string()).unwrap();
    assert!(event["from"].as_str().unwrap() <= "2026-11-22T08:30:00Z", "half an hour before 9:00: {event}");
    assert!(event["to"].as_str().unwrap() >= "2026-11-22T12:00:00Z", "{event}");
    // The same rows for what runs here and now: one calmly, one in the window of an event, one on its way to a peak.
    let seldom = serde_json::json!({"interval_s": 60.0, "confidence": 0.9, "targets": [], "windows": []});
    let mut awaited = seldom.clone();
    awaited["windows"] = serde_json::json!([{"from": "2026-01-01T00:00:00Z", "to": "2199-01-01T00:00:00Z", "interval_s": 1.0, "reason": "load x"}]);
    plan["expires_at"] = "2199-01-01T00:00:00Z".into();
    let mut watched = seldom.clone();
    watched["targets"] = serde_json::json!(["cpu"]);
    watched["watch"] = serde_json::json!({"cpu_cores": 0.01, "interval_s": 1.0});
    plan["resources"]["dev/busy"] = watched;
    plan["resources"]["dev/calm"] = seldom;
    plan["resources"]["dev/tense"] = awaited;
    place.write("gather.json", plan.to_string());
    let arguments = ["docker", "--host", &engine.address(), "--gather-plan", "gather.json", "--for", "6s"];
    let paced = collected(&place, &arguments);
    let (calm, tense) = (resource(&paced, "dev/calm"), resource(&paced, "dev/tense"));
    assert_eq!(calm.len(), 1, "only the last one, at the end: {paced:?}");
    assert!(tense.len() >= 4, "{paced:?}");
    assert!(resource(&paced, "dev/busy").len() >= 3, "{paced:?}");
    assert!(tense[0]["payload"]["top_process"].is_object());
    all_are_taken(&paced);

    place.write("gather.json", "{}");
    let refused = place.run(&["collect", "docker", "--host", &engine.address(), "--gather-plan", "gather.json"]);
    assert_eq!(refused.code, 1);
    assert!(refused.err.contains("gather.json is no gather plan"), "{}", refused.err);
}

#[test]
fn without_an_engine_it_says_which_and_ends() {
    let place = Place::new();
    let gone = place.run(&["collect", "docker", "--host", "unix:///nonexistent/docker.sock"]);
    assert_eq!(gone.code, 1);
    assert!(gone.err.contains("cannot reach the Docker Engine at unix:///nonexistent/docker.sock"), "{}", gone.err);
    assert!(gone.err.contains("No such file") && gone.err.contains("hint:"), "{}", gone.err);
    let odd = place.run(&["collect", "docker", "--host", "carrier-pigeon"]);
    assert!(odd.code == 1 && odd.err.contains("no address of a Docker Engine"), "{}", odd.err);
}

#[test]
fn a_kill_in_a_group_nested_in_the_containers_is_one_of_the_container() {
    let Some(engine) = Engine::start() else { return };
    let memory = Path::new("/sys/fs/cgroup/memory");
    if !memory.join("memory.oom_control").exists() {
        return say(
            "NOT TESTED: kills in nested groups of version 1. This machine has version 2, which adds them up itself.",
        );
    }
    let place = Place::new();
    // A build in a container that limits its own steps, as systemd or an Engine in a container does.
    engine.run(
        "builder",
        &["--memory", "512m"],
        "while [ ! -e /tmp/go ]; do sleep 0.2; done; tail /dev/zero; sleep 100",
    );
    let (done, id) = engine.docker(&["inspect", "builder", "--format", "{{.Id}} {{.State.Pid}}"]);
    let (id, pid) = id.split_once(' ').unwrap();
    assert!(done, "{id}");
    let step = memory.join("docker").join(id).join("step");
    std::fs::create_dir(&step).unwrap();
    std::fs::write(step.join("memory.limit_in_bytes"), "16777216").unwrap();
    std::fs::write(step.join("cgroup.procs"), pid).unwrap();
    let mut collector = Collector::start(&place, &["docker", "--host", &engine.address(), "--interval", "1s"]);
    std::thread::sleep(Duration::from_secs(3));
    assert!(engine.docker(&["exec", "builder", "sh", "-c", ": > /tmp/go"]).0);
    std::thread::sleep(Duration::from_secs(6));
    collector.signal("-TERM");
    let (code, events, err) = std::mem::replace(&mut collector, Collector { child: None }).end();
    assert_eq!(code, 0, "{err}");
    let builder = resource(&events, "docker/builder");
    let kills: f64 = builder.iter().map(|event| number(event, "oom_kills")).sum();
    assert!(
        kills >= 1.0 && builder.iter().all(|event| event["payload"]["container_exit_code"].is_null()),
        "{builder:?}"
    );
    engine.docker(&["rm", "-f", "builder"]);
    let _ = std::fs::remove_dir(&step);
}
