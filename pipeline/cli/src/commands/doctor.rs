//! `doctor`: what works here, a line each, with what to do where something does not. It changes nothing.

use crate::context::{Answer, Context, privacy, secret_path};
use crate::failure::{Exit, Failure};
use clap::Args;
use domain::Timestamp;
use domain::plan::FORMAT_VERSION;
use domain::units::{GIB, format_bytes};
use lake::{Lake, local_folder};
use nix::sys::statvfs::statvfs;
use serde_json::json;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// The arguments of `doctor`.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 all required parts work, 3 findings. Missing optional parts, such
as a Docker Engine, are reported as notes.

Examples:
  pipeline doctor
  pipeline --lake s3://bucket/lake doctor")]
pub struct DoctorArgs {}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Works,
    /// Something is not there that not everybody needs.
    Note,
    Finding,
}

struct Line {
    what: &'static str,
    how: How,
    detail: String,
    remedy: String,
}

impl Line {
    fn new(what: &'static str, how: How, detail: impl Into<String>, remedy: &str) -> Self {
        Self { what, how, detail: detail.into(), remedy: remedy.to_owned() }
    }

    fn works(what: &'static str, detail: impl Into<String>) -> Self {
        Self::new(what, How::Works, detail, "")
    }
}

/// Looks, and says.
pub async fn run(context: &Context, _: DoctorArgs) -> Result<Answer, Failure> {
    let mut lines = vec![versions(), clock(context), control_groups(), pressure(), memory(), docker()];
    lines.push(key());
    lines.extend(the_lake(context).await);
    for line in &lines {
        let word = match line.how {
            How::Works => "ok",
            How::Note => "note",
            How::Finding => "FINDING",
        };
        context.say_wrapped(format!("{word:<8} {:<9} ", line.what), &line.detail, 19);
        if !line.remedy.is_empty() {
            context.say_wrapped("                   → ", &line.remedy, 21);
        }
    }
    let findings = lines.iter().filter(|line| line.how == How::Finding).count();
    let told = lines.iter().map(|line| {
        let how = format!("{:?}", line.how).to_lowercase();
        json!({"what": line.what, "how": how, "detail": line.detail, "remedy": line.remedy})
    });
    let exit = if findings > 0 { Exit::Findings } else { Exit::Done };
    let answer = Answer::new(exit, json!({"findings": findings, "lines": told.collect::<Vec<_>>()}));
    Ok(answer.brief(format!("{findings} findings of {} things looked at", lines.len())))
}

fn versions() -> Line {
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_else(|_| "unknown".into());
    let (program, kernel) = (env!("CARGO_PKG_VERSION"), kernel.trim());
    Line::works("versions", format!("pipeline {program}, plan format {FORMAT_VERSION}, Linux {kernel}"))
}

/// Events are ordered by their times: a clock that is off spoils what is recorded here.
fn clock(context: &Context) -> Line {
    const SYNCHRONIZED: &str = "/run/systemd/timesync/synchronized";
    let real = Timestamp(chrono::Utc::now().timestamp_micros());
    let built = fs::metadata("/proc/self/exe").map_or(0, |file| file.mtime());
    let said = if context.fixed_clock { ", fixed by --now" } else { "" };
    if real.0 / 1_000_000 < built {
        let detail = format!("{}: it is before this program was installed", real.minute());
        return Line::new("clock", How::Finding, detail, "set it, and keep it right: `timedatectl set-ntp true`");
    }
    let kept = if Path::new(SYNCHRONIZED).exists() { ", kept by NTP" } else { "" };
    Line::works("clock", format!("{}{kept}{said}", context.now.minute()))
}

fn control_groups() -> Line {
    match fs::read_to_string("/sys/fs/cgroup/cgroup.controllers") {
        Ok(controllers) if ["cpu", "memory"].iter().all(|name| controllers.split(' ').any(|c| c.trim() == *name)) => {
            Line::works("cgroups", format!("version 2: {}", controllers.trim()))
        }
        Ok(controllers) => Line::new(
            "cgroups",
            How::Note,
            format!("version 2 without cpu or memory: {}", controllers.trim()),
            "`record` and `collect docker` tell limits and throttling only with these controllers: enable them in the group above",
        ),
        Err(_) => Line::new(
            "cgroups",
            How::Note,
            "version 1, or none",
            "throttling and kills are told by version 2: boot with systemd.unified_cgroup_hierarchy=1",
        ),
    }
}

fn pressure() -> Line {
    match fs::read_to_string("/proc/pressure/memory") {
        Ok(text) if text.starts_with("some") => Line::works("pressure", "PSI of CPU, memory and disk can be read"),
        _ => Line::new("pressure", How::Note, "no PSI", "slow disks and neighbours stay untold: boot with psi=1"),
    }
}

fn memory() -> Line {
    match agent::memory_bytes() {
        Some(bytes) if bytes >= GIB => {
            Line::works("memory", format!("{} for this process", format_bytes(bytes as f64)))
        }
        Some(bytes) => Line::new(
            "memory",
            How::Note,
            format!("{} for this process", format_bytes(bytes as f64)),
            "large lakes sort on disk then; 1 GiB is comfortable",
        ),
        None => Line::new("memory", How::Note, "not told by the kernel", ""),
    }
}

/// Whether an Engine answers; asked as any client asks.
/// Whether an Engine answers, at `DOCKER_HOST` or at the usual place.
pub fn has_engine() -> bool {
    docker().how == How::Works
}

fn docker() -> Line {
    let host = std::env::var("DOCKER_HOST").ok().filter(|host| !host.is_empty());
    let place = host.unwrap_or_else(|| "unix:///var/run/docker.sock".to_owned());
    let Some(path) = place.strip_prefix("unix://") else {
        return Line::new(
            "docker",
            How::Note,
            format!("{place} is not asked from here"),
            "`pipeline collect docker` does",
        );
    };
    let ask = || -> std::io::Result<String> {
        let mut socket = UnixStream::connect(path)?;
        socket.set_read_timeout(Some(Duration::from_secs(3)))?;
        socket.write_all(b"GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n")?;
        let mut answer = String::new();
        socket.take(4096).read_to_string(&mut answer)?;
        Ok(answer)
    };
    match ask() {
        Ok(answer) if answer.starts_with("HTTP/1.") && answer.contains(" 200 ") => {
            let version = answer.lines().find_map(|line| line.strip_prefix("Api-Version: ")).unwrap_or("unknown");
            Line::works("docker", format!("an Engine answers at {path}, API {}", version.trim()))
        }
        Ok(_) => Line::new("docker", How::Note, format!("what listens at {path} is no Engine"), "set DOCKER_HOST"),
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => Line::new(
            "docker",
            How::Note,
            format!("{path} may not be opened"),
            "join the group docker, or set DOCKER_HOST",
        ),
        Err(_) => Line::new(
            "docker",
            How::Note,
            format!("no Engine at {path}"),
            "needed for `collect docker` and the target docker: start one, or set DOCKER_HOST",
        ),
    }
}

/// The key is looked at, and never made: a new one would not fit the lake.
fn key() -> Line {
    const NAME: &str = "PIPELINE_PSEUDONYM_KEY";
    if std::env::var(NAME).is_ok_and(|key| !key.trim().is_empty()) {
        return match privacy() {
            Ok(_) => Line::works("key", format!("from {NAME}")),
            Err(failure) => finding("key", &failure),
        };
    }
    let path = match secret_path("pseudonym.key", NAME) {
        Ok(path) => path,
        Err(failure) => return finding("key", &failure),
    };
    if !path.exists() {
        let detail = format!("none yet at {}", path.display());
        return Line::new(
            "key",
            How::Note,
            detail,
            "the first `ingest` makes one; keep a copy, or set PIPELINE_PSEUDONYM_KEY",
        );
    }
    match privacy() {
        Ok(_) => Line::works("key", format!("in {}", path.display())),
        Err(failure) => finding("key", &failure),
    }
}

fn finding(what: &'static str, failure: &Failure) -> Line {
    let causes: Vec<&str> = std::iter::once(&failure.what).chain(&failure.causes).map(String::as_str).collect();
    Line::new(what, How::Finding, causes.join(": "), failure.hint.as_deref().unwrap_or_default())
}

async fn the_lake(context: &Context) -> Vec<Line> {
    let place = &context.global.lake;
    let lake = match Lake::open(place).await {
        Ok(lake) => lake,
        Err(lake::LakeError::NotALake(_)) => {
            let how = "the first `pipeline ingest` makes it; --lake or PIPELINE_LAKE say where";
            return vec![Line::new(
                "lake",
                How::Finding,
                format!("there is none at {}", crate::context::shown(place)),
                how,
            )];
        }
        Err(error) => return vec![finding("lake", &Failure::from(error))],
    };
    let mut lines = vec![tables(context, &lake).await];
    let there = std::env::var("PIPELINE_PSEUDONYM_KEY").is_ok_and(|key| !key.trim().is_empty())
        || secret_path("pseudonym.key", "").is_ok_and(|path| path.exists());
    if there {
        // Another key than the lake's would be refused by every command that writes.
        lines.push(match context.lake_with_key().await {
            Ok(_) => Line::works("its key", "the lake was made with it"),
            Err(failure) => finding("its key", &failure),
        });
    }
    lines.extend(local_folder(lake.location()).map(|folder| room(&folder)));
    lines
}

/// What is in it, and how old that is.
async fn tables(context: &Context, lake: &Lake) -> Line {
    let session = match lake.session(context.now).await {
        Ok(session) => session,
        Err(error) => return finding("lake", &Failure::from(error)),
    };
    let built =
        session.versions.keys().filter(|name| name.starts_with("marts.") || name.starts_with("traces.")).count();
    if built == 0 {
        return Line::new("lake", How::Finding, "its tables were not built yet", "`pipeline materialize`");
    }
    let newest =
        session.query("select max(ts) as newest from staging.events where ts <= (select now from session.clock)").await;
    let newest = newest.and_then(|rows| rows.to_json());
    match newest {
        Ok(rows) => {
            let at = rows.first().and_then(|row| Timestamp::parse(row["newest"].as_str()?));
            let newest = at.map_or_else(|| "no event yet".to_owned(), |at| format!("newest event {}", at.minute()));
            Line::works("lake", format!("{} tables, {newest}", session.versions.len()))
        }
        Err(error) => finding("lake", &Failure::from(error)),
    }
}

/// Whether it can be written, and whether there is room.
fn room(folder: &Path) -> Line {
    // Whether a file could be made there; none is.
    if let Err(error) = nix::unistd::access(folder, nix::unistd::AccessFlags::W_OK | nix::unistd::AccessFlags::X_OK) {
        let detail = format!("{} cannot be written: {}", folder.display(), error.desc());
        return Line::new("room", How::Finding, detail, "give it to the user who runs `ingest`, or check the mount");
    }
    match statvfs(folder) {
        Ok(found) => {
            let free = found.blocks_available() as f64 * found.fragment_size() as f64;
            let detail = format!("{} free for the lake", format_bytes(free));
            if free < GIB as f64 {
                let how = "a compaction writes a table once more before the old files go: make room";
                return Line::new("room", How::Finding, detail, how);
            }
            Line::works("room", detail)
        }
        Err(_) => Line::works("room", "the lake can be written"),
    }
}
