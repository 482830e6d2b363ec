//! What is copied from `jobs/schedules` is right as it lies there: shell by shellcheck, the Dockerfile by hadolint, manifests by
//! the schemas of Kubernetes. (`package` has the systemd units.) The recipe of GitHub Actions is run.

use crate::program::{Place, checkout, end, say};
use crate::python::python;
use std::path::PathBuf;
use std::process::Command;

/// A program from the search path, or from the folder of the tests' Python.
fn tool(name: &str) -> Option<PathBuf> {
    let beside =
        std::env::var_os("PIPELINE_TEST_PYTHON").and_then(|python| Some(PathBuf::from(python).parent()?.to_owned()));
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).chain(beside).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// The `run: |` blocks of the workflow, by the name of their step.
fn steps() -> Vec<(String, String)> {
    let text = std::fs::read_to_string(checkout().join("jobs/schedules/github-actions.yml")).unwrap();
    let (mut steps, mut name) = (Vec::new(), String::new());
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if let Some(found) = line.strip_prefix("      - name: ") {
            name = found.to_owned();
        }
        if line.trim() == "run: |" {
            let mut script = String::new();
            while let Some(line) = lines.next_if(|line| line.is_empty() || line.starts_with("          ")) {
                script += line.get(10..).unwrap_or_default();
                script.push('\n');
            }
            steps.push((name.clone(), script));
        }
    }
    steps
}

#[test]
fn scripts_pass_shellcheck() {
    let Some(shellcheck) = tool("shellcheck") else {
        return say("NOT TESTED: the scripts. It takes `apt-get install shellcheck`.");
    };
    let place = Place::new();
    let mut files: Vec<PathBuf> = ["run", "package", "debian/postinst", "debian/prerm", "debian/postrm"]
        .iter()
        .map(|name| checkout().join(".ci").join(name))
        .collect();
    for (name, script) in steps() {
        let path = place.write(&format!("{name}.sh"), format!("#!/usr/bin/env bash\nset -eo pipefail\n{script}"));
        files.push(path.into());
    }
    assert_eq!(files.len(), 7, "{files:?}");
    let cron = std::fs::read_to_string(checkout().join("jobs/schedules/nightly.cron")).unwrap();
    for (n, line) in cron.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_digit())).enumerate() {
        let command = line.split_whitespace().skip(5).collect::<Vec<_>>().join(" ");
        files.push(place.write(&format!("cron-{n}.sh"), format!("#!/bin/sh\n{command}\n")).into());
    }
    let mut command = Command::new(shellcheck);
    command.args(&files);
    let ended = end(command);
    assert_eq!(ended.code, 0, "{}{}", ended.out, ended.err);
}

#[test]
fn the_dockerfile_passes_hadolint_and_its_context_is_a_workspace() {
    let schedules = checkout().join("jobs/schedules");
    let ignore = std::fs::read_to_string(schedules.join("Dockerfile.dockerignore")).unwrap();
    let place = Place::new();
    for path in ignore.lines().filter_map(|line| line.strip_prefix('!')) {
        let to = place.path(path);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        let mut copy = Command::new("cp");
        copy.arg("-r").arg(checkout().join(path)).arg(to);
        assert_eq!(end(copy).code, 0, "{path}");
    }
    let mut metadata = Command::new(env!("CARGO"));
    metadata.args(["metadata", "--locked", "--offline", "--no-deps", "--format-version", "1"]);
    metadata.current_dir(place.path(""));
    let ended = end(metadata);
    assert_eq!(ended.code, 0, "{}", ended.err);
    let workspace: serde_json::Value = serde_json::from_str(&ended.out).unwrap();
    for package in workspace["packages"].as_array().unwrap() {
        for target in package["targets"].as_array().unwrap() {
            let source = target["src_path"].as_str().unwrap();
            assert!(std::path::Path::new(source).is_file(), "{source} is not in the context");
        }
    }
    let Some(hadolint) = tool("hadolint") else {
        return say("NOT TESTED: the Dockerfile. Its linter is in tests/python/requirements.txt.");
    };
    let mut lint = Command::new(hadolint);
    lint.arg(schedules.join("Dockerfile"));
    let ended = end(lint);
    assert_eq!(ended.code, 0, "{}{}", ended.out, ended.err);
}

#[test]
fn the_manifests_are_what_kubernetes_takes() {
    let Some(python) = python("the manifests of jobs/schedules") else { return };
    let script = "import sys, yaml, kubernetes_validate as k\n\
        for document in yaml.safe_load_all(open(sys.argv[1])):\n    k.validate(document, k.latest_version(), strict=True)";
    let mut command = Command::new(python);
    command.args(["-c", script]).arg(checkout().join("jobs/schedules/kubernetes-cronjob.yaml"));
    let ended = end(command);
    assert_eq!(ended.code, 0, "{}{}", ended.out, ended.err);
}

/// One run of the recipe's last script, with nothing on the search path but the program and what every machine has.
fn recipe(place: &Place, pull_request: &str) -> crate::program::Ended {
    let (_, script) = steps().into_iter().find(|(name, _)| name == "Report").unwrap();
    for name in ["bash", "sh", "cat", "head", "true"] {
        let _ = std::os::unix::fs::symlink(tool(name).unwrap(), place.path("bin").join(name));
    }
    let _ = std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_pipeline"), place.path("bin/pipeline"));
    let program = place.command(&[]);
    let mut bash = Command::new(place.path("bin/bash"));
    bash.args(["--noprofile", "--norc", "-eo", "pipefail", "-c", &script]).current_dir(place.path("."));
    bash.envs(program.get_envs().filter_map(|(key, value)| Some((key, value?))));
    bash.env("PATH", place.path("bin")).env("PIPELINE_LAKE", "lake").env("PR", pull_request);
    bash.env("GITHUB_STEP_SUMMARY", place.path("summary.md")).env("GITHUB_REPOSITORY", "acme/api");
    end(bash)
}

#[test]
fn the_recipe_reports_without_gh_and_says_nothing_twice() {
    let place = Place::new();
    place.write("bin/.keep", "");
    place.ingest(&[&checkout().join("data-samples/batch.json").display().to_string()]);
    place.json(&["materialize"]);
    let ended = recipe(&place, "");
    assert_eq!((ended.code, ended.out.contains("::warning::")), (0, false), "{}{}", ended.out, ended.err);
    let first = place.read("report.md");
    assert!(first.starts_with("<!-- pipeline-report "), "the marker that finds the comment again: {first}");
    assert_eq!(place.read("summary.md"), first);

    let ended = recipe(&place, "7");
    assert_eq!(ended.code, 0, "{}{}", ended.out, ended.err);
    assert!(ended.out.contains("::warning::no comment on #7: the runner lacks gh or jq"), "{}", ended.out);

    // What the recipe does with the comment that it found: it hands its text to the next report.
    place.write("last.md", &first);
    let arguments = ["--lake", "lake", "report", "--min-change", "5%", "--previous", "last.md", "-o", "next.md"];
    assert_eq!(place.run(&arguments).code, 0);
    let next = place.read("next.md");
    assert!(
        next.starts_with("<!-- pipeline-report ") && next.contains("Nothing changed since the report of"),
        "{next}"
    );
    assert!(!first.contains("Nothing changed") && next.lines().count() <= 7, "{next}");
}
