//! A running Engine and a Compose file in one plan: whatever stops an apply or a rollback between them, both end alike.

use super::door::{Door, Moment};
use super::{ALL, COMPOSE, Engine, NOW, act, actions, done, limits, place, plan, shop};
use crate::disk::Disk;
use crate::program::{Place, say};
use std::process::{Command, Stdio};

#[test]
fn a_second_target_that_fails_takes_the_first_back() {
    let Some(engine) = Engine::start() else { return };
    shop(&engine);
    let place = place(&["shop/web", "shop/db"]);
    let before = limits(&engine, &ALL);
    let (file, other) = (place.path("compose.yaml"), place.path("other-name"));
    // A second name for the file, given to it when the Engine's part has begun: nothing that could be foreseen.
    let door = Door::open(&engine, move |request| {
        if request.is_update() && !other.exists() {
            std::fs::hard_link(&file, &other).unwrap();
        }
    });
    plan(&place, &[&format!("docker:{}", door.address()), "compose.yaml"]);
    let ended = act(&place, "apply", &[]);
    assert_eq!(ended.code, 1, "{}", ended.err);
    let said = &ended.err;
    assert!(said.contains("was taken back") && said.contains("hard link"), "{said}");
    assert!(said.contains("shop/web: as it was before"), "item by item: {said}");
    assert_eq!((limits(&engine, &ALL), place.read("compose.yaml").as_str()), (before.clone(), COMPOSE));
    let again = act(&place, "apply", &[]);
    assert!(again.code == 4 && again.err.contains("failed and was taken back"), "{}", again.err);
    assert_eq!(done(&act(&place, "rollback", &[]))["result"], "already as it was");
    assert_eq!(limits(&engine, &ALL), before);
    assert_eq!(actions(&place), ["plan", "approve", "revert"]);
}

/// Every moment at which an apply or a rollback can be killed between two things that it asks for: before each change reaches
/// the Engine, after it was made and before the answer, and before it is read back.
#[test]
fn killed_between_any_two_steps_it_is_finished_or_taken_back() {
    let Some(engine) = Engine::start() else { return };
    shop(&engine);
    let place = place(&["shop/web", "shop/db"]);
    let before = limits(&engine, &ALL);
    let door = Door::open(&engine, |_| {});
    plan(&place, &[&format!("docker:{}", door.address()), "compose.yaml"]);
    copy(&place, "lake", "template");
    done(&act(&place, "apply", &["--at-once", "9"]));
    let (after, file) = (limits(&engine, &ALL), place.read("compose.yaml"));
    done(&act(&place, "rollback", &[]));
    assert_eq!(limits(&engine, &ALL), before);

    let mut killed = 0;
    for command in ["apply", "rollback"] {
        for moment in Moment::all(3) {
            for then in ["apply", "rollback"] {
                copy(&place, "template", "lake");
                if command == "rollback" {
                    done(&act(&place, "apply", &["--at-once", "9"]));
                }
                let mut process = place.command(&["--now", NOW, command, "plan.json"]);
                let mut child = process.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
                door.kill(child.id(), moment);
                let code = child.wait().unwrap().code();
                assert_eq!(code, None, "{command} ended before {moment:?}");
                door.pass();
                killed += 1;
                let ended = act(&place, then, if then == "apply" { &["--at-once", "9"] } else { &[] });
                let now = (limits(&engine, &ALL), place.read("compose.yaml"));
                match (command, then) {
                    ("apply", "apply") => {
                        done(&ended);
                        assert_eq!(now, (after.clone(), file.clone()), "{moment:?}");
                        done(&act(&place, "rollback", &[]));
                        assert_eq!(actions(&place), ["plan", "approve", "apply", "rollback"], "{moment:?}");
                    }
                    // Taken back for good: an apply does not bring it again.
                    ("rollback", "apply") => {
                        assert_eq!(ended.code, 4, "{moment:?}: {} {}", ended.err, ended.out);
                        done(&act(&place, "rollback", &[]));
                    }
                    _ => {
                        done(&ended);
                        place.json(&["log", "verify"]);
                    }
                }
                let now = (limits(&engine, &ALL), place.read("compose.yaml"));
                assert_eq!(now, (before.clone(), COMPOSE.to_owned()), "{command}, {moment:?}, {then}");
            }
        }
    }
    say(&format!("{killed} runs killed between steps, each finished or taken back, limits exact"));
}

#[test]
fn an_engine_that_dies_in_the_middle_leaves_a_plan_that_goes_on() {
    let Some(mut engine) = Engine::start() else { return };
    shop(&engine);
    let place = place(&["shop/web", "shop/db"]);
    let before = limits(&engine, &ALL);
    let door = Door::open(&engine, |_| {});
    plan(&place, &["compose.yaml", &format!("docker:{}", door.address())]);
    let mut process = place.command(&["--now", NOW, "apply", "plan.json"]);
    let child = process.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    door.hold(Moment::Before(2));
    engine.down();
    door.pass();
    let ended = child.wait_with_output().unwrap();
    let err = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(1), "{err}");
    assert!(err.contains("Docker Engine") && err.contains("goes on"), "{err}");
    assert_ne!(place.read("compose.yaml"), COMPOSE, "the file was first");

    // It comes back with its containers ended: the plan finds them so, and goes back wholly.
    engine.up();
    let again = act(&place, "apply", &[]);
    assert!([0, 1].contains(&again.code), "{}", again.err);
    if again.code == 0 {
        done(&act(&place, "rollback", &[]));
    } else {
        assert!(again.err.contains("was taken back"), "{}", again.err);
    }
    for name in ALL {
        assert!(engine.docker(&["start", name]).0);
    }
    assert_eq!((limits(&engine, &ALL), place.read("compose.yaml").as_str()), (before, COMPOSE));
}

#[test]
fn a_file_on_a_read_only_disk_leaves_both_targets_as_they_are() {
    let Some(engine) = Engine::start() else { return };
    let Some(disk) = Disk::mount(4) else { return };
    shop(&engine);
    let place = place(&["shop/web", "shop/db"]);
    let file = disk.path().join("compose.yaml");
    std::fs::write(&file, COMPOSE).unwrap();
    let remount = |how: &str| {
        let mounted = Command::new("mount").args(["-o", &format!("remount,{how}")]).arg(disk.path()).status().unwrap();
        assert!(mounted.success());
    };
    let before = limits(&engine, &ALL);
    plan(&place, &[&format!("docker:{}", engine.address()), &file.display().to_string()]);
    remount("ro");
    let ended = act(&place, "apply", &[]);
    assert!(ended.code == 1 && ended.err.contains("Read-only file system"), "{}", ended.err);
    assert_eq!(limits(&engine, &ALL), before);
    remount("rw");
    done(&act(&place, "apply", &["--at-once", "9"]));
    let after = limits(&engine, &ALL);
    // Nor is half of it taken back.
    remount("ro");
    let ended = act(&place, "rollback", &[]);
    assert!(ended.code == 1 && ended.err.contains("Read-only file system"), "{}", ended.err);
    assert_eq!(limits(&engine, &ALL), after);
    remount("rw");
    done(&act(&place, "rollback", &[]));
    assert_eq!((limits(&engine, &ALL), std::fs::read_to_string(&file).unwrap().as_str()), (before, COMPOSE));
}

#[test]
fn one_engine_by_two_ways_is_refused_when_the_plan_is_made() {
    let Some(engine) = Engine::start() else { return };
    shop(&engine);
    let place = place(&["shop/web", "shop/db"]);
    let door = Door::open(&engine, |_| {});
    let (one, other) = (format!("docker:{}", engine.address()), format!("docker:{}", door.address()));
    let ended = place.run(&["--now", NOW, "plan", "-o", "plan.json", "--target", &one, "--target", &other]);
    assert!(ended.code == 2 && ended.err.contains("is the same as --target"), "{} {}", ended.code, ended.err);
}

fn copy(place: &Place, from: &str, to: &str) {
    let _ = std::fs::remove_dir_all(place.path(to));
    let copied = Command::new("cp").arg("-r").arg(place.path(from)).arg(place.path(to)).status().unwrap();
    assert!(copied.success());
}
