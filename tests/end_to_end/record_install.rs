//! `pipeline record install`: what is put into a file is taken out to the byte, and records what is typed.

use crate::program::{Ended, Place, end, say};
use crate::record::on_a_terminal::on_a_terminal;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

const PROGRAM: &str = env!("CARGO_BIN_EXE_pipeline");

fn install(place: &Place, arguments: &[&str]) -> Ended {
    let mut all = vec!["record", "install"];
    all.extend(arguments);
    let mut command = place.command(&all);
    command
        .env("HOME", place.path("home"))
        .env_remove("ZDOTDIR")
        .env_remove("XDG_CONFIG_HOME")
        .env_remove("XDG_STATE_HOME");
    std::fs::create_dir_all(place.path("home")).unwrap();
    end(command)
}

/// The program under its own name, for what calls it by name.
fn path_with_program(place: &Place) -> String {
    let bin = place.path("bin");
    std::fs::create_dir_all(&bin).unwrap();
    let _ = std::os::unix::fs::symlink(PROGRAM, bin.join("pipeline"));
    format!("{}:{}", bin.display(), std::env::var("PATH").unwrap())
}

#[test]
fn adding_twice_changes_once_and_removing_restores_every_byte() {
    for (shell, file) in [("bash", ".bashrc"), ("zsh", ".zshrc")] {
        for before in ["alias ll='ls -l'\n", "no end of line", "", "\n\n\n", "caf\u{e9}\r\n"] {
            let place = Place::new();
            let path = place.write(&format!("home/{file}"), before);
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
            let shown = install(&place, &["--shell", shell, "--dry-run"]);
            assert_eq!(place.read(&format!("home/{file}")), before, "only shown");
            let added = install(&place, &["--shell", shell]);
            assert_eq!((added.code, &added.out), (0, &shown.out), "{}", added.err);
            assert!(added.out.contains(&format!("+++ {path}")) || added.out.contains(file), "{}", added.out);
            assert!(added.out.contains("+function cargo() {"), "{}", added.out);
            let with = place.read(&format!("home/{file}"));
            assert!(with.starts_with(before) && with.len() > before.len());
            assert!(install(&place, &["--shell", shell]).out.contains("nothing to change"));
            assert_eq!(place.read(&format!("home/{file}")), with);
            // Other commands: the block is replaced, not added to.
            install(&place, &["--shell", shell, "--command", "just"]);
            assert!(!place.read(&format!("home/{file}")).contains("cargo"));
            let removed = install(&place, &["--shell", shell, "--remove"]);
            assert!(removed.out.contains("-function just() {"), "{}", removed.out);
            assert_eq!(place.read(&format!("home/{file}")), before);
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            assert!(install(&place, &["--shell", shell, "--remove"]).out.contains("nothing to change"));
        }
    }
}

#[test]
fn a_file_that_was_not_there_is_gone_again() {
    let place = Place::new();
    std::fs::create_dir_all(place.path("repo")).unwrap();
    Command::new("git").args(["init", "-q", "repo"]).current_dir(place.path(".")).status().unwrap();
    for (arguments, file) in [
        (["--shell", "bash"].as_slice(), "home/.bashrc"),
        (&["--shell", "zsh"], "home/.zshrc"),
        (&["--shell", "fish"], "home/.config/fish/conf.d/pipeline-record.fish"),
        (&["--ci", "github"], ".github/pipeline-record.sh"),
        (&["--ci", "gitlab"], ".gitlab/pipeline-record.yml"),
    ] {
        let added = install(&place, arguments);
        assert_eq!(added.code, 0, "{}", added.err);
        assert!(added.out.contains("--- /dev/null"), "{}", added.out);
        assert!(place.path(file).is_file(), "{file}");
        assert!(install(&place, arguments).out.contains("nothing to change"));
        let removed = install(&place, &[arguments, &["--remove"]].concat());
        assert_eq!(removed.code, 0, "{}", removed.err);
        assert!(!place.path(file).exists(), "{file}");
    }
}

#[test]
fn what_does_not_fit_is_refused_and_nothing_changes() {
    let place = Place::new();
    place.write("home/.bashrc", "# >>> pipeline record >>>\nhalf\n");
    let ended = install(&place, &["--shell", "bash"]);
    assert!(ended.code == 1 && ended.err.contains("do not pair up"), "{}", ended.err);
    place.write("home/.config/fish/conf.d/pipeline-record.fish", "mine\n");
    let ended = install(&place, &["--shell", "fish"]);
    assert!(ended.code == 1 && ended.err.contains("is there already"), "{}", ended.err);
    assert!(install(&place, &["--shell", "fish", "--remove"]).out.contains("nothing to change"));
    assert_eq!(place.read("home/.config/fish/conf.d/pipeline-record.fish"), "mine\n");
    assert_eq!(install(&place, &["--git-hook"]).code, 1, "no repository");
    assert_eq!(install(&place, &["--shell", "bash", "--command", "a b"]).code, 2);
    std::fs::create_dir_all(place.path("home/.zshrc")).unwrap();
    let ended = install(&place, &["--shell", "zsh"]);
    assert!(ended.code == 1 && ended.err.contains("cannot read"), "{}", ended.err);
}

#[test]
fn a_link_stays_a_link() {
    let place = Place::new();
    place.write("dotfiles/bashrc", "a=1\n");
    std::fs::create_dir_all(place.path("home")).unwrap();
    std::os::unix::fs::symlink("../dotfiles/bashrc", place.path("home/.bashrc")).unwrap();
    install(&place, &["--shell", "bash"]);
    assert!(place.read("dotfiles/bashrc").contains("pipeline record"));
    install(&place, &["--shell", "bash", "--remove"]);
    assert_eq!(place.read("dotfiles/bashrc"), "a=1\n");
    assert!(place.path("home/.bashrc").symlink_metadata().unwrap().file_type().is_symlink());
}

#[test]
fn what_is_typed_in_a_shell_is_recorded() {
    for (shell, start) in [("bash", "bash -i"), ("zsh", "zsh -i"), ("fish", "fish -i")] {
        if !Command::new(shell).arg("--version").output().is_ok_and(|out| out.status.success()) {
            say(&format!("left out: {shell}, which is not installed"));
            continue;
        }
        let place = Place::new();
        let path = path_with_program(&place);
        let out = place.path("typed it's.ndjson").display().to_string();
        let ended = install(&place, &["--shell", shell, "--out", &out]);
        assert_eq!(ended.code, 0, "{}", ended.err);
        place.write("Makefile", "all:\n\t@echo made; exit 3\n");
        let home = place.path("home").display().to_string();
        let line = format!("PATH='{path}' HOME='{home}' {start} -c 'make -s; true'");
        let text = on_a_terminal(&place, &line, &[]);
        assert!(text.contains("made"), "{shell}: {text}");
        let event: serde_json::Value = serde_json::from_str(&place.read("typed it's.ndjson")).unwrap();
        assert_eq!(
            (&event["payload"]["command"], &event["payload"]["kind"]),
            (&"make -s".into(), &"build".into()),
            "{shell}"
        );
        on_a_terminal(&place, &line.replace("-c 'make", "-c 'PIPELINE_RECORD=off make"), &[]);
        assert_eq!(place.read("typed it's.ndjson").lines().count(), 1, "{shell}");
    }
}

#[test]
fn a_workflow_records_its_steps_and_not_what_they_start() {
    let place = Place::new();
    let path = path_with_program(&place);
    install(&place, &["--ci", "github"]);
    place.write(
        "Makefile",
        "SHELL = /bin/bash\nall:\n\t@cmake --version > /dev/null 2>&1; make -s inner\ninner:\n\t@true\n",
    );
    let folder = place.path(".").display().to_string();
    let mut step = Command::new("bash");
    step.args(["--noprofile", "--norc", "-eo", "pipefail", "-c", "make -s | cat"]).current_dir(place.path("."));
    step.env("PATH", path).env("GITHUB_WORKSPACE", &folder).env("BASH_ENV", place.path(".github/pipeline-record.sh"));
    let ended = end(step);
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert_eq!(place.read("events.ndjson").lines().count(), 1, "{}", place.read("events.ndjson"));
}

#[test]
fn each_commit_becomes_an_event_beside_the_hook_that_was_there() {
    let place = Place::new();
    let path = path_with_program(&place);
    let git = |arguments: &[&str]| {
        let mut command = Command::new("git");
        command.args(["-c", "user.name=a", "-c", "user.email=a@b.test"]).args(arguments);
        command.current_dir(place.path(".")).env("PATH", &path);
        let ended = end(command);
        assert_eq!(ended.code, 0, "{arguments:?}: {}", ended.err);
    };
    git(&["init", "-q", "-b", "main", "."]);
    git(&["remote", "add", "origin", "git@host.test:acme/api.git"]);
    let before = "#!/bin/sh\necho hook >> hook-ran\nexit 0\n";
    let hook = place.write(".git/hooks/post-commit", before);
    std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).unwrap();
    let out = place.path("commits.ndjson").display().to_string();
    assert_eq!(install(&place, &["--git-hook", "--out", &out]).code, 0);
    place.write("a.txt", "1\n2\n");
    git(&["add", "a.txt"]);
    git(&["commit", "-q", "-m", "Add a\n\nReviewed-by: Ann <ann@acme.test>"]);
    assert_eq!(place.read("hook-ran"), "hook\n");
    let event: serde_json::Value = serde_json::from_str(&place.read("commits.ndjson")).unwrap();
    assert_eq!((&event["type"], &event["repo"]), (&"commit".into(), &"acme/api".into()));
    let payload = &event["payload"];
    assert_eq!((&payload["insertions"], &payload["files"][0]), (&2.into(), &"a.txt".into()), "{payload}");
    assert_eq!(place.ingest(&["commits.ndjson"]), [1, 1, 0, 0]);
    assert_eq!(install(&place, &["--git-hook", "--remove"]).code, 0);
    assert_eq!(place.read(".git/hooks/post-commit"), before);
    // Without one before: made, run, gone.
    std::fs::remove_file(&hook).unwrap();
    install(&place, &["--git-hook", "--out", &out]);
    git(&["commit", "-q", "--allow-empty", "-m", "empty"]);
    assert_eq!(place.read("commits.ndjson").lines().count(), 2);
    install(&place, &["--git-hook", "--remove"]);
    assert!(!std::path::Path::new(&hook).exists());
    place.write(".git/hooks/post-commit", "#!/usr/bin/env python3\n");
    assert_eq!(install(&place, &["--git-hook"]).code, 1);
}
