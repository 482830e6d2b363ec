//! How targets are named: once each, by what they are, and never by what has no end.

use crate::plan::{NOW, place};
use crate::program::{Place, end};
use std::os::unix::fs::symlink;
use std::process::Command;
use std::time::{Duration, Instant};

fn plan(place: &Place, targets: &[&str]) -> Command {
    let mut arguments = vec!["--now", NOW, "plan", "-o", "plan.json"];
    targets.iter().for_each(|target| arguments.extend(["--target", target]));
    place.command(&arguments)
}

#[test]
fn one_file_under_two_names_is_refused_when_the_plan_is_made() {
    let place = place();
    symlink("compose.yaml", place.path("soft.yaml")).unwrap();
    let whole = place.path("compose.yaml").display().to_string();
    for other in ["soft.yaml", "./compose.yaml", "compose:compose.yaml", &whole] {
        let ended = end(plan(&place, &["compose.yaml", other]));
        assert_eq!(ended.code, 2, "{other}: {}", ended.out);
        assert!(ended.err.contains(other) && ended.err.contains("compose.yaml"), "{}", ended.err);
    }
    std::fs::hard_link(place.path("compose.yaml"), place.path("hard.yaml")).unwrap();
    let ended = end(plan(&place, &["compose.yaml", "hard.yaml"]));
    assert!(ended.code == 2 && ended.err.contains("is the same as --target compose.yaml"), "{}", ended.err);
    assert!(!place.path("plan.json").exists());
}

#[test]
fn a_target_that_has_no_end_is_not_read() {
    let place = place();
    std::fs::create_dir(place.path("folder")).unwrap();
    assert!(Command::new("mkfifo").arg(place.path("pipe")).status().unwrap().success());
    std::fs::File::create(place.path("huge")).unwrap().set_len(1 << 40).unwrap();
    for (name, why) in [("/dev/zero", "a device"), ("pipe", "a pipe"), ("folder", "a folder"), ("huge", "16 MiB")] {
        let began = Instant::now();
        let ended = end(plan(&place, &[&format!("compose:{name}")]));
        assert_eq!(ended.code, 1, "{name}: {}", ended.err);
        assert!(ended.err.contains(name) && ended.err.contains(why) && ended.err.contains("hint:"), "{}", ended.err);
        assert!(began.elapsed() < Duration::from_secs(60), "{name}: {:?}", began.elapsed());
    }
    // Nor is a file of variables that a service names.
    let compose =
        place.read("compose.yaml").replacen("image: postgres:17", "image: postgres:17\n    env_file: /dev/zero", 1);
    place.write("compose.yaml", compose);
    assert_eq!(end(plan(&place, &["compose.yaml"])).code, 0);
}

#[test]
fn an_engine_that_cannot_be_named_or_reached_is_told_by_its_address() {
    let place = place();
    let with_host = |host: &str, target: &str| {
        let mut command = plan(&place, &[target]);
        command.env("DOCKER_HOST", host);
        end(command)
    };
    for host in ["ssh://build@host", "tcp://host:99999", "host"] {
        let ended = with_host(host, "docker");
        assert_eq!(ended.code, 2, "{}", ended.err);
        assert!(
            ended.err.contains("DOCKER_HOST is") && ended.err.contains(host.trim_start_matches("ssh://build@")),
            "{}",
            ended.err
        );
    }
    for target in ["docker:tcp://host:99999", "docker:tcp://:2375", "docker:prod"] {
        let ended = end(plan(&place, &[target]));
        assert!(ended.code == 2 && ended.err.contains("port of 1 to 65535"), "{}", ended.err);
    }
    let nowhere = place.path("docker.sock").display().to_string();
    let ended = with_host(&format!("unix://{nowhere}"), "docker");
    assert_eq!(ended.code, 1, "{}", ended.err);
    assert!(ended.err.contains(&nowhere) && ended.err.contains("runs and may be reached"), "{}", ended.err);
    assert!(!ended.err.contains("apply"), "nothing was begun: {}", ended.err);
}

#[test]
fn a_clock_that_no_event_may_have_is_refused() {
    let place = Place::new();
    for now in ["9999-12-31T23:59:59Z", "2200-01-01T00:00:00Z", "1969-12-31T23:59:59Z"] {
        for command in [&["verify", "--due"][..], &["log"], &["sql", "select 1"]] {
            let mut arguments = vec!["--now", now];
            arguments.extend(command);
            let ended = place.run(&arguments);
            assert!(ended.code == 2 && ended.err.contains("from 1970 to 2199"), "{now}: {} {}", ended.code, ended.err);
        }
    }
}
