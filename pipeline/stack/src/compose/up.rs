//! Has what the files say come into force: `up` of the Compose that is installed, for services that run.
//!
//! Compose itself decides what to recreate: a service whose files say what its container has already is left alone. Others are
//! not started, and none of those that a service depends on.

use super::ComposeFile;
use crate::StackError;
use crate::bounded;
use crate::docker::DockerEngine;
use crate::files::Source;
use std::ffi::OsString;
use std::process::Command;
use std::time::Duration;

/// The plugin of today, and the program before it.
const PROGRAMS: [&[&str]; 2] = [&["docker", "compose"], &["docker-compose"]];
/// To stop and to start one service; Compose itself waits 10 s for a stop, and some are given more.
const RECREATED: Duration = Duration::from_secs(120);
/// To say which version it is.
const ASKED: Duration = Duration::from_secs(10);

impl ComposeFile {
    /// Recreates those of these resources that the files say something else of; waits until they are well.
    pub(super) fn up(&self, resources: &[&str], most: Duration) -> Result<(), StackError> {
        let program = program()?;
        let engine = DockerEngine::named("")?;
        let Some((project, _)) = resources.first().and_then(|name| name.split_once('/')) else { return Ok(()) };
        let services = resources.iter().filter_map(|name| Some(name.split_once('/')?.1));
        let (layers, ..) = self.layers(&Source::disk());
        let files = layers.files.iter().filter(|file| file.is_file());
        let mut words: Vec<OsString> = files.flat_map(|file| ["-f".into(), file.into()]).collect();
        words.extend(["--project-directory".into(), layers.folder.clone().into_os_string(), "-p".into()]);
        words.extend([project, "up", "-d", "--no-deps"].map(Into::into));
        words.extend(services.map(Into::into));
        let mut command = Command::new(program[0]);
        command.args(&program[1..]).args(words).current_dir(&layers.folder);
        // A context of the Docker client would win over the address.
        command.env("DOCKER_HOST", engine.address()).env_remove("DOCKER_CONTEXT");
        // One after the other, each with its grace period.
        let all = RECREATED.max(most).saturating_mul(resources.len() as u32);
        bounded::run(command, String::new(), all).map_err(|why| StackError::Asked {
            doing: format!("recreate {} with `{}`", resources.join(", "), program.join(" ")),
            source: why.into(),
        })?;
        engine.wait_for_new(resources, most)
    }
}

/// Those of these resources that run on the Engine.
pub(super) fn running(resources: &[&str]) -> Result<Vec<String>, StackError> {
    let running = DockerEngine::named("")?.running()?;
    Ok(resources.iter().filter(|name| running.contains(**name)).map(|name| (*name).to_owned()).collect())
}

/// What there is of Compose on this machine.
pub(super) fn program() -> Result<&'static [&'static str], StackError> {
    let answers = |program: &&&[&str]| {
        let mut command = Command::new(program[0]);
        command.args(&program[1..]).arg("version").env_remove("DOCKER_CONTEXT");
        bounded::run(command, String::new(), ASKED).is_ok()
    };
    PROGRAMS.iter().find(answers).copied().ok_or_else(|| StackError::Unclear {
        what: "neither `docker compose` nor `docker-compose` can be run here".to_owned(),
        hint:
            "install the Compose plugin (package docker-compose-plugin, docker-compose-v2 or docker-compose), or apply \
               without --up and recreate the services where it is"
                .to_owned(),
    })
}
