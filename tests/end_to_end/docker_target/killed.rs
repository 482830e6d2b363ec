//! A plan of tasks, killed between any two of its steps: an image from a file, weights, a restart, a start and a stop.

use super::door::{Door, Moment};
use super::{NOW, act, actions, done, place};
use crate::collect::engine::Engine;
use crate::program::{Place, say};
use std::process::Stdio;

/// Steps of the plan, each one change at the Engine.
const STEPS: usize = 5;
const NAMES: [&str; 4] = ["shop-idle-1", "shop-web-1", "shop-db-1", "shop-warm-1"];

fn shop(engine: &Engine) {
    for name in NAMES {
        let service = format!("com.docker.compose.service={}", name.split('-').nth(1).unwrap());
        let labels = ["--label", "com.docker.compose.project=shop", "--label", &service];
        let options = [&labels[..], &["--cpu-shares", "512", "--stop-timeout", "0"]].concat();
        engine.run(name, &options, "while :; do sleep 1; done");
    }
    assert!(engine.docker(&["stop", "shop-idle-1"]).0);
}

/// An image that is only in a file.
fn packed(engine: &Engine, archive: &str) {
    assert!(engine.docker(&["tag", "box", "spare:1"]).0);
    assert!(engine.docker(&["save", "-o", archive, "spare:1"]).0);
    assert!(engine.docker(&["image", "rm", "spare:1"]).0);
}

/// Of each container whether it runs, and its weight; then whether the Engine has the image.
fn state(engine: &Engine) -> Vec<String> {
    let of = |name| engine.docker(&["inspect", name, "--format", "{{.State.Running}} {{.HostConfig.CpuShares}}"]).1;
    let image = engine.docker(&["image", "inspect", "spare:1", "--format", "{{.Id}}"]).0;
    NAMES.map(of).into_iter().chain([format!("image {image}")]).collect()
}

/// How often the Engine restarted the container since then, in seconds since 1970.
fn restarts(engine: &Engine, began: i64) -> usize {
    let until = chrono::Utc::now().timestamp() + 1;
    let (since, until) = (began.to_string(), until.to_string());
    let said = engine.docker(&[
        "events",
        "--since",
        &since,
        "--until",
        &until,
        "--filter",
        "container=shop-db-1",
        "--filter",
        "event=restart",
        "--format",
        "{{.Action}}",
    ]);
    said.1.lines().count()
}

fn plan(place: &Place, door: &Door) {
    let target = format!("docker:{}", door.address());
    let plan = place.json(&["--now", NOW, "plan", "-o", "plan.json", "--target", &target, "--override", "rules.toml"]);
    let tasks = plan["items"].as_array().unwrap().iter().filter(|item| !item["task"].is_null()).count();
    assert_eq!((tasks, &plan["applyable"]), (STEPS, &true.into()), "{plan}");
    place.json(&["--now", NOW, "approve", "plan.json"]);
}

#[test]
fn tasks_killed_between_any_two_steps_are_finished_or_taken_back() {
    let Some(engine) = Engine::start() else { return };
    shop(&engine);
    let place = place(&["shop/web", "shop/db"]);
    place.write(
        "rules.toml",
        "[[override]]\nresource = \"shop/*\"\nfreeze = true\n\n\
         [[task]]\nresource = \"shop/web\"\ncpu_weight = 2048\n\n\
         [[task]]\nresource = \"shop/db\"\nrestart = true\n\n\
         [[task]]\nresource = \"shop/warm\"\nrunning = false\n\n\
         [[task]]\nresource = \"shop/idle\"\nrunning = true\n\n\
         [[task]]\nresource = \"spare:1\"\nimage = \"spare:1\"\narchive = \"spare.tar\"\n",
    );
    packed(&engine, place.path("spare.tar").to_str().unwrap());
    let door = Door::open(&engine, |_| {});
    let before = state(&engine);
    assert_eq!(before, ["false 512", "true 512", "true 512", "true 512", "image false"]);
    let after = ["true 512", "true 2048", "true 512", "false 512", "image true"];
    let quick: &[&str] = &["--health-timeout", "10s"];

    let mut killed = 0;
    for (command, then) in [("apply", "apply"), ("apply", "rollback"), ("rollback", "rollback")] {
        // A restart has nothing to be undone.
        let steps = if command == "apply" { STEPS } else { STEPS - 1 };
        for moment in Moment::all(steps) {
            plan(&place, &door);
            let began = chrono::Utc::now().timestamp();
            if command == "rollback" {
                done(&act(&place, "apply", quick));
            }
            let mut process = place.command(&["--now", NOW, command, "plan.json"]);
            let mut child = process.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            door.kill(child.id(), moment);
            assert_eq!(child.wait().unwrap().code(), None, "{command} ended before {moment:?}");
            door.pass();
            killed += 1;
            done(&act(&place, then, if then == "apply" { quick } else { &[] }));
            if then == "apply" {
                assert_eq!(state(&engine), after, "{moment:?}");
                assert_eq!(restarts(&engine, began), 1, "{moment:?}: what was done once is not done again");
                assert_eq!(actions(&place).last().map(String::as_str), Some("apply"), "{moment:?}");
                done(&act(&place, "rollback", &[]));
            }
            assert_eq!(state(&engine), before, "{command}, {moment:?}, {then}");
        }
    }
    place.json(&["log", "verify"]);
    say(&format!("{killed} runs of tasks killed between steps, each finished or taken back"));
}
