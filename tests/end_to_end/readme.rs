//! The README's commands are run as they stand there, so they cannot rot.

use crate::program::{Place, checkout, end};

/// The commands of every `sh` block of the README, one a line.
fn commands() -> Vec<String> {
    let readme = std::fs::read_to_string(checkout().join("README.md")).unwrap();
    let mut commands = Vec::new();
    let mut inside = false;
    for line in readme.lines() {
        match line.trim() {
            "```sh" => inside = true,
            "```" => inside = false,
            command if inside && !command.is_empty() && !command.starts_with('#') => commands.push(command.to_owned()),
            _ => {}
        }
    }
    commands
}

#[test]
fn the_commands_of_the_readme_work_in_order() {
    let place = Place::new();
    // A copy of what the commands read, so that the checkout stays clean.
    for part in ["jobs", "data-samples"] {
        let copied = std::process::Command::new("cp")
            .arg("-r")
            .arg(checkout().join(part))
            .arg(place.path(part))
            .status()
            .unwrap();
        assert!(copied.success());
    }
    let program = env!("CARGO_BIN_EXE_pipeline");
    let mut ran = 0;
    for command in commands() {
        if command.starts_with("cargo test") || command.starts_with("cargo install") {
            continue; // this very run, and a build
        }
        let command = command.replace("cargo run --", program);
        let command = command.strip_prefix("pipeline ").map_or(command.clone(), |rest| format!("{program} {rest}"));
        let mut shell = place.command(&[]);
        shell = {
            let mut sh = std::process::Command::new("sh");
            sh.arg("-c").arg(&command).current_dir(place.path("."));
            sh.envs(shell.get_envs().filter_map(|(k, v)| Some((k.to_owned(), v?.to_owned()))));
            sh
        };
        let ended = end(shell);
        assert_eq!(ended.code, 0, "{command}\n{}{}", ended.out, ended.err);
        ran += 1;
    }
    assert!(ran >= 5, "only {ran} commands were found in the README");
}
