//! What a job may do without being asked. Who runs a job file need not have written it: it approves nothing, changes nothing
//! that a plan names, and writes only where the person lets it.

use crate::args::Command;
use crate::commands::run::services::Service;
use crate::commands::run::{Copy, Step, expand, expand_by};
use crate::commands::sql::output::Sink;
use crate::failure::{Exit, Failure};
use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Component, Path, PathBuf};

/// In the folder that a job made for itself.
const MARK: &str = ".pipeline-job";

/// Options whose value is a place that is written to.
const OUTPUTS: [&str; 5] = ["-o", "--output", "--to", "--gather-plan", "--predictions"];

/// That a step needs no person, or that one said yes to it (`--allow-changes`).
pub fn permit(step: &Step, command: &Command, allow_changes: bool) -> Result<(), Failure> {
    if allow_changes {
        return Ok(());
    }
    let refused = |what: &str| {
        Failure::new(Exit::Refused, format!("step {}: {what}", step.name))
            .hint("if you know the job and mean it: `pipeline run --allow-changes`")
    };
    let changes = match command {
        Command::Approve(_) => Some("approves"),
        Command::Apply(_) => Some("applies"),
        Command::Rollback(_) => Some("rolls back"),
        Command::Stack(args) if args.changes() => Some("advances a rollout"),
        Command::Plan(args) if args.runs_a_command() => Some("runs commands of its own"),
        Command::Verify(args) if args.changes() => Some("rolls back"),
        Command::Privacy(args) if args.erases() => Some("erases people"),
        _ => None,
    };
    if let Some(changes) = changes {
        return Err(refused(&format!("a job {changes} only when a person says so")));
    }
    let written = step.run.iter().enumerate().filter_map(|(n, argument)| {
        let next = || step.run.get(n + 1).map(String::as_str);
        OUTPUTS.iter().find_map(|option| match argument.strip_prefix(option)? {
            "" => next(),
            // A short option has its value right behind it, a long one behind `=`.
            value if option.starts_with("--") => value.strip_prefix('='),
            value => Some(value.strip_prefix('=').unwrap_or(value)),
        })
    });
    for place in written {
        if !is_persons(place)? && !stays(Path::new(&expand(place)?)) {
            return Err(refused(&format!("{place} lies outside the folder that it runs in")));
        }
    }
    Ok(())
}

/// Programs of a job's own run only where a person said yes to them.
pub fn permit_services(services: &[Service], allow_changes: bool) -> Result<(), Failure> {
    match services.first() {
        Some(service) if !allow_changes => {
            let what = format!("service {}: a job runs programs of its own only when a person says so", service.name);
            Err(Failure::new(Exit::Refused, what)
                .hint("if you know the job and mean it: `pipeline run --allow-changes`"))
        }
        _ => Ok(()),
    }
}

/// Whether a person gave a value, by a variable of the environment.
fn is_persons(text: &str) -> Result<bool, Failure> {
    let by_job = expand_by(text, &|_| None);
    Ok(by_job.is_err() || by_job? != expand(text)?)
}

/// Whether a path is one below the current folder.
fn stays(path: &Path) -> bool {
    path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
}

/// The folder that a job names for its own.
pub struct Own(PathBuf);

impl Own {
    /// Makes it. One that was there is the job's own when a job made it, or when it is empty.
    pub fn open(named: &str) -> Result<Self, Failure> {
        let folder = PathBuf::from(expand(named)?);
        let refused = |why: &str| {
            Failure::new(Exit::Refused, format!("{} cannot be the folder of a job: {why}", folder.display())).hint(
                "a job's folder is a new or empty one below the current folder, or where a variable of yours says",
            )
        };
        let failed = |error: std::io::Error| Failure::file("make", &folder, &error);
        let is_named = folder.components().any(|part| matches!(part, Component::Normal(_)));
        if !is_persons(named)? && (!stays(&folder) || !is_named) {
            return Err(refused("it lies outside the one that the job runs in"));
        }
        let mut at = PathBuf::new();
        for part in folder.components().filter(|_| !folder.is_absolute()) {
            at.push(part);
            if at.is_symlink() {
                return Err(refused("a link leads to it"));
            }
        }
        fs::create_dir_all(&folder).map_err(failed)?;
        let mark = folder.join(MARK);
        if !mark.symlink_metadata().is_ok_and(|found| found.is_file()) {
            if fs::read_dir(&folder).map_err(failed)?.next().is_some() {
                return Err(refused("it holds what no job made"));
            }
            let made = fs::OpenOptions::new().write(true).create_new(true).open(&mark);
            made.and_then(|mut file| file.write_all(b"Made by `pipeline run`, for the copies of a job.\n"))
                .map_err(failed)?;
        }
        Ok(Self(folder))
    }

    /// Makes a scratch copy in the folder, over an earlier one. No link leads it out.
    pub fn copy(&self, copy: &Copy) -> Result<(), Failure> {
        let (from, to) = (PathBuf::from(expand(&copy.from)?), PathBuf::from(expand(&copy.to)?));
        let outside = || {
            Failure::new(Exit::Refused, format!("the job copies to {}, outside its own folder", to.display()))
                .hint(format!("copies lie below {}", self.0.display()))
        };
        let below = to.strip_prefix(&self.0).map_err(|_| outside())?;
        let name = below.file_name().and_then(|name| name.to_str()).ok_or_else(outside)?;
        if !stays(below) {
            return Err(outside());
        }
        let mut folder = self.0.clone();
        for part in below.parent().iter().flat_map(|folders| folders.components()) {
            folder.push(part);
            match fs::create_dir(&folder) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists && !folder.is_symlink() => {}
                Err(error) if error.kind() == ErrorKind::AlreadyExists => return Err(outside()),
                made => made.map_err(|error| Failure::file("make", &folder, &error))?,
            }
        }
        let bytes = fs::read(&from).map_err(|error| Failure::file("copy", &from, &error))?;
        let mut sink = Sink::within(&folder, name)?;
        sink.write_all(&bytes).map_err(|error| Failure::file("write", &to, &error))?;
        sink.finish().map(|_| ())
    }
}
