//! The notebooks run from top to bottom on the samples, without a network, and show what they say they show.

use crate::program::{Place, checkout, end, say};
use crate::python::python;
use std::process::{Command, Stdio};

/// The sample team's month: a forecast on some of its nights, a plan, its next days, and whether the plan helped.
fn month() -> Place {
    let place = Place::new();
    let sample = |name: &str| checkout().join("data-samples").join(name).display().to_string();
    place.ingest(&[&sample("team")]);
    place.json(&["materialize"]);
    let at = |day: u32, arguments: &[&str]| {
        let now = format!("2026-11-{day:02}T00:00:00Z");
        place.json(&[&["--now", &now], arguments].concat())
    };
    at(9, &["train", "build-time"]);
    for night in [9, 11, 13, 16, 18, 20, 22] {
        at(night, &["predict"]);
        at(night, &["shadow"]);
    }
    std::fs::copy(sample("compose/compose.yaml"), place.path("compose.yaml")).unwrap();
    let plan =
        at(22, &["plan", "-o", "plan.json", "--target", "compose.yaml", "--override", &sample("overrides.toml")]);
    at(22, &["approve", "plan.json"]);
    at(22, &["apply", "plan.json"]);
    place.ingest(&[&sample("team-next")]);
    at(29, &["materialize"]);
    at(29, &["verify", "plan.json"]);
    at(29, &["feedback", plan["items"][0]["id"].as_str().unwrap(), "helpful", "--note", "no more waiting on Sundays"]);
    at(29, &["materialize"]);
    place
}

#[test]
fn every_notebook_runs_without_a_network_and_shows_what_it_holds() {
    let Some(python) = python("the notebooks") else { return };
    let notebooks: Vec<_> = std::fs::read_dir(checkout().join("notebooks"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "ipynb"))
        .collect();
    assert_eq!(notebooks.len(), 4, "{notebooks:?}");
    for path in &notebooks {
        let size = std::fs::metadata(path).unwrap().len();
        assert!(size < 400_000, "{}: {size} bytes", path.display());
        assert!(std::fs::read_to_string(path).unwrap().contains("image/png"), "{} holds no picture", path.display());
    }
    let place = month();

    // A network namespace of its own has not even a loopback that is up.
    let alone = ["--net", "--map-root-user"];
    let status = Command::new("unshare").args(alone).arg("true").stderr(Stdio::null()).status();
    let mut command = if status.is_ok_and(|status| status.success()) {
        let mut command = Command::new("unshare");
        command.args(alone).arg(&python);
        command
    } else {
        say("NOT TESTED: that the notebooks need no network. It takes the right to make a network namespace.");
        Command::new(&python)
    };
    command.arg(checkout().join("tests/python/notebooks.py")).arg(place.path("lake")).args(&notebooks);
    // Compiled files and fonts belong to nobody's home.
    command.env("MPLCONFIGDIR", place.path("matplotlib")).env("IPYTHONDIR", place.path("ipython"));
    let ended = end(command);
    assert_eq!(ended.code, 0, "{}{}", ended.out, ended.err);
}
