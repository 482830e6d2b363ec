//! `init`: a first job for this folder. It asks nothing: it looks for what is here, and writes files that run as they are.
//! What is there already is left alone.

use super::doctor::has_engine;
use crate::context::{Answer, Context};
use crate::failure::Failure;
use clap::Args;
use domain::Timestamp;
use domain::rules::DEFAULT;
use serde_json::json;
use std::fs;
use std::io::{ErrorKind, Write};
use std::path::Path;

/// The arguments of `init`.
#[derive(Debug, Args)]
#[command(after_help = "\
Writes jobs/nightly.toml, overrides.toml, rules.toml and dumps/ into this
folder, each with comments. A Compose file in this folder becomes the target of
the plan. The history of a git repository and the containers of a Docker Engine
become sources.

Examples:
  pipeline init && pipeline run jobs/nightly.toml")]
pub struct InitArgs {}

/// Where Compose looks for its file, in its order.
const COMPOSE: [&str; 4] = ["compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml"];

/// Looks, and writes.
pub fn run(context: &Context, _: InitArgs) -> Result<Answer, Failure> {
    let compose = COMPOSE.into_iter().find(|name| Path::new(name).is_file());
    let git = Path::new(".git").exists();
    let docker = has_engine();
    let mut found =
        vec![compose.map_or("no Compose file: the limits last observed are planned for".to_owned(), |name| {
            format!("{name}: the target of the plan")
        })];
    found.push(if git { "a git repository: its commits are read" } else { "no git repository" }.to_owned());
    found.push(
        if docker {
            "a Docker Engine: its containers are sampled"
        } else {
            "no Docker Engine answers (DOCKER_HOST says where one is)"
        }
        .to_owned(),
    );
    found.iter().for_each(|line| context.say(format!("found  {line}")));

    let started = json!({
        "ts": Timestamp(chrono::Utc::now().timestamp_micros()),
        "type": "annotation",
        "payload": {"note": "pipeline init"},
    });
    let files = [
        ("jobs/nightly.toml", job(compose, git, docker)),
        ("overrides.toml", include_str!("init/overrides.toml").to_owned()),
        ("rules.toml", DEFAULT.to_owned()),
        ("dumps/started.ndjson", format!("{started}\n")),
    ];
    let (mut written, mut kept) = (Vec::new(), Vec::new());
    for (path, text) in files {
        if write(Path::new(path), &text)? {
            context.say(format!("wrote  {path}"));
            written.push(path);
        } else {
            context.say(format!("kept   {path}: it is there already"));
            kept.push(path);
        }
    }
    context.say("");
    context.say("Next: pipeline run jobs/nightly.toml");
    context.say("      put dumps into dumps/, or record here: pipeline record --out dumps/runs.ndjson -- make test");
    Ok(Answer::done(json!({"found": found, "written": written, "kept": kept})))
}

/// Writes a new file; false where one is.
fn write(path: &Path, text: &str) -> Result<bool, Failure> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|error| Failure::file("make", folder, &error))?;
    }
    match fs::OpenOptions::new().write(true).create_new(true).open(path) {
        Ok(mut file) => {
            file.write_all(text.as_bytes()).map(|()| true).map_err(|error| Failure::file("write", path, &error))
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(Failure::file("write", path, &error)),
    }
}

/// The job for what is here.
fn job(compose: Option<&str>, git: bool, docker: bool) -> String {
    let step =
        |about: &str, name: &str, run: &str| format!("# {about}\n[[step]]\nname = \"{name}\"\nrun = [{run}]\n\n");
    let mut sources = String::new();
    if git {
        sources += &step(
            "Commits and merged pull requests since the last night.",
            "commits",
            r#""collect", "git", "--repo", ".", "--spool", "dumps""#,
        );
    }
    if docker {
        sources += &step(
            "One sample of each container. Better all day long: pipeline collect docker --interval 10s --spool dumps",
            "containers",
            r#""collect", "docker", "--once", "--spool", "dumps""#,
        );
    }
    let target = compose.map_or(String::new(), |name| format!(", \"--target\", \"compose:{name}\""));
    include_str!("init/nightly.toml").replace("# SOURCES\n", &sources).replace("TARGET", &target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_job_is_one_whatever_is_here() {
        for (compose, git, docker) in [(None, false, false), (Some("compose.yaml"), true, true)] {
            let text = job(compose, git, docker);
            let job: toml::Value = toml::from_str(&text).unwrap();
            let steps = job["step"].as_array().unwrap();
            assert_eq!(steps.len(), 12 + usize::from(git) + usize::from(docker), "{text}");
            assert_eq!(text.contains("compose:compose.yaml"), compose.is_some());
            assert!(!text.contains("TARGET") && !text.contains("SOURCES"), "{text}");
        }
    }
}
