//! Runs one command unchanged and tells in events what it used.
//!
//! The command gets our stdin, environment, folder, terminal and process group; its exit code is handed on. Its output
//! goes where ours goes, see [`stdio`]. Nothing here may change its outcome: whatever cannot be measured is left out.

mod commit;
mod cost;
mod group;
pub mod install;
mod junit;
mod output;
mod relay;
mod sampler;
mod services;
mod signals;
mod stdio;
mod tree;

pub use self::commit::commit_event;
#[cfg(test)]
pub(crate) use self::commit::commit_of;
pub use self::cost::Cost;
pub use self::relay::relay;
pub use self::stdio::ReadOutput;
pub use crate::dump::append;

use self::output::Findings;
use self::sampler::{Plan, Sampler, Seen};
use self::signals::Signals;
use self::stdio::Output;
use crate::AgentError;
use crate::checkout::{self, Changes, Checkout, Comparison};
use crate::kernel::{Kernel, Reading, Scope, text};
use crate::kind;
use domain::Timestamp;
use nix::sys::resource::{Usage, UsageWho, getrusage};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::time::ClockId;
use nix::unistd::Pid;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitStatus;
use std::time::{Duration, Instant, SystemTime};

/// What to say about a command besides what was measured, and how closely to look.
#[derive(Clone, Debug, Default)]
pub struct RecordSpec {
    /// Outer fields of the events: `env`, `resource`, `developer`, `session`, `pr`, or any other name.
    /// `repo` and `branch` win over what git says; `ts`, `type` and `payload` are ours.
    pub tags: BTreeMap<String, String>,
    /// Ask git for repository, branch, commit and changes of the current folder.
    pub detect_checkout: bool,
    /// Make a `usage` event this often.
    pub samples: Option<Duration>,
    /// Whether to read test counts and packages from what the command prints.
    pub read_output: ReadOutput,
    /// Keep the last bytes of the output in the event. Zero: none of it.
    pub sample_bytes: usize,
    /// The command line that calls [`relay`]. Empty: only files are read.
    pub relay: Vec<OsString>,
}

/// A command that ended.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// The event, and an `api_call` for each service, in the native form.
    pub events: Vec<Value>,
    /// The command's own exit code; 128 + n if signal n ended it.
    pub exit_code: i32,
    /// Ctrl-C was pressed, and ended the command. Who runs a loop stops it only if the recorder ends likewise.
    pub interrupted: bool,
    /// What recording took.
    pub cost: Cost,
}

/// Takes `usage` events while the command runs.
pub type Emit = Box<dyn Fn(Value) + Send>;

/// How long git may go on after the command has ended.
const PATIENCE_WITH_GIT: Duration = Duration::from_secs(1);

/// Runs `cmd` to its end and says what it used. To be called once, from a program that then exits, and before other
/// threads are started: signals are caught here, see [`signals`].
///
/// CPU and I/O are those of all children waited for (`getrusage`): exact for a tree of processes that wait for each
/// other, blind for daemons it leaves behind.
///
/// # Errors
/// Only if the command could not be started or waited for; [`AgentError::exit_code`] says what a shell would return.
pub fn run(cmd: &[OsString], spec: &RecordSpec, now: fn() -> Timestamp, emit: Emit) -> Result<Recorded, AgentError> {
    let began = Instant::now();
    let (program, args) = cmd.split_first().ok_or(AgentError::NoCommand)?;
    let named = || program.to_string_lossy().into_owned();
    let signals = Signals::catch();
    let purpose = kind::purpose(cmd);
    let folder = std::env::current_dir().ok();
    let found = match &folder {
        Some(folder) if spec.detect_checkout => checkout::detect(folder),
        _ => Checkout::default(),
    };
    let kernel = Kernel::here();
    let mut output = signals.blocked(|| Output::open(spec.read_output, &purpose, &spec.relay));
    let (own_peak_bytes, before) = (own_peak_bytes(), kernel.read());
    let (ts, clock, wall_clock) = (now(), Instant::now(), file_time());
    let mut child = match output.start(program, args) {
        Ok(child) => child,
        Err(source) => {
            output.findings(0);
            return Err(AgentError::Start { program: named(), source });
        }
    };
    signals.pass_on_to(child.id());
    // Beside the command, not before it: what it writes from now on is newer than `wall_clock`, and is left out.
    let comparison = found.top.as_deref().filter(|_| found.commit.is_some()).and_then(Comparison::start);
    let cost = cost::Started { before: clock - began };
    let record_id = format!("{:x}-{:x}", ts.0, child.id());
    let outer = outer(&found, spec);
    let event = {
        let (outer, record_id) = (outer.clone(), record_id.clone());
        move |ts: Timestamp, kind: &str, mut payload: Map<String, Value>| {
            payload.insert("record_id".into(), record_id.clone().into());
            let mut event = outer.clone();
            event.insert("ts".into(), ts.to_string().into());
            event.insert("type".into(), kind.into());
            event.insert("payload".into(), payload.into());
            Value::Object(event)
        }
    };
    let usage_event = event.clone();
    let sampler = Sampler::start(Plan {
        pid: child.id() as i32,
        kernel: kernel.clone(),
        start: before.clone(),
        every: spec.samples,
        now,
        usage: Box::new(move |ts, payload| emit(usage_event(ts, "usage", payload))),
    });
    // Seen first and reaped later: until then nobody else has its number.
    let _ = waitid(Id::Pid(Pid::from_raw(child.id() as i32)), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT);
    let wall = clock.elapsed();
    signals.ended();
    let seen = sampler.stop();
    let used_before = getrusage(UsageWho::RUSAGE_CHILDREN).ok();
    let status = child.wait().map_err(|source| AgentError::Wait { program: named(), source })?;
    let used = used_before.zip(getrusage(UsageWho::RUSAGE_CHILDREN).ok());
    let after = kernel.read();
    let mut findings = output.findings(spec.sample_bytes);

    let exit_code = exit_code(status);
    if let Some(folder) = folder.as_deref().filter(|_| purpose.kind == kind::TEST && !findings.counts.seen()) {
        findings.counts = junit::counts(folder, &purpose.words, wall_clock);
    }
    let changes = comparison.and_then(|comparison| comparison.finish(wall_clock, PATIENCE_WITH_GIT));
    output.leave();

    let mut payload = Map::new();
    payload.insert("command".into(), command_text(cmd).into());
    payload.insert("exit_code".into(), exit_code.into());
    payload.insert("duration_ms".into(), json!(wall.as_millis() as u64));
    payload.insert("kind".into(), purpose.kind.into());
    if let Some(signal) = status.signal() {
        payload.insert("signal".into(), signal.into());
    }
    add_usage(&mut payload, used, &seen, own_peak_bytes);
    add_kernel(&mut payload, &before, &after, &seen, wall, exit_code);
    add_findings(&mut payload, findings);
    add_checkout(&mut payload, &found, folder.as_deref(), changes);
    let kind = if purpose.kind == kind::TEST { "test" } else { "command" };
    let mut events = vec![event(ts, kind, payload)];
    events.extend(seen.services.iter().map(|service| {
        let mut payload = Map::new();
        payload.insert("service".into(), service.name.clone().into());
        payload.insert("endpoint".into(), service.endpoint.clone().into());
        payload.insert("duration_ms".into(), ((service.last.0 - service.first.0).max(0) / 1000).into());
        payload.insert("connections".into(), service.connections.into());
        event(service.first, "api_call", payload)
    }));
    let interrupted = status.signal() == Some(2) && signals.interrupted();
    let all = getrusage(UsageWho::RUSAGE_CHILDREN).map(|used| cpu_of(&used)).unwrap_or_default();
    let others = all.saturating_sub(used.map_or(Duration::ZERO, |(before, after)| cpu_of(&after) - cpu_of(&before)));
    let cost = cost.end(clock.elapsed().saturating_sub(wall), wall, seen.looks, others);
    Ok(Recorded { events, exit_code, interrupted, cost })
}

/// The time that a file written now would bear. The kernel stamps files with its last tick, up to 10 ms old: by the exact
/// clock, what a quick command writes would look older than the command.
fn file_time() -> SystemTime {
    ClockId::CLOCK_REALTIME_COARSE
        .now()
        .map_or_else(|_| SystemTime::now(), |time| SystemTime::UNIX_EPOCH + Duration::from(time))
}

fn outer(found: &Checkout, spec: &RecordSpec) -> Map<String, Value> {
    let mut outer = Map::new();
    for (name, value) in [("repo", &found.repo), ("branch", &found.branch)] {
        if let Some(value) = value {
            outer.insert(name.into(), value.clone().into());
        }
    }
    outer.extend(spec.tags.iter().map(|(name, value)| (name.clone(), value.clone().into())));
    outer
}

fn exit_code(status: ExitStatus) -> i32 {
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1)
}

/// The command as one would type it.
fn command_text(cmd: &[OsString]) -> String {
    let words: Vec<String> = cmd.iter().map(|text| word(&text.to_string_lossy())).collect();
    words.join(" ")
}

/// A word as a shell takes it.
fn word(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./:=@%+,".contains(c);
    match text {
        text if !text.is_empty() && text.chars().all(plain) => text.to_owned(),
        text => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

/// Ends this program as Ctrl-C ended the command: a shell that runs a loop stops it only then.
pub fn end_by_interrupt() {
    let _ = signal_hook::low_level::emulate_default_handler(2);
}

/// CPU time of a usage.
pub(crate) fn cpu_of(used: &Usage) -> Duration {
    let us = |time: nix::sys::time::TimeVal| (time.tv_sec() * 1_000_000 + time.tv_usec()).max(0) as u64;
    Duration::from_micros(us(used.user_time()) + us(used.system_time()))
}

/// Our most memory so far. Not from getrusage, in which a program starts with the peak of whoever started it.
fn own_peak_bytes() -> u64 {
    let status = text(Path::new("/proc/self/status")).unwrap_or_default();
    let kib =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

fn add_usage(payload: &mut Map<String, Value>, used: Option<(Usage, Usage)>, seen: &Seen, own_peak_bytes: u64) {
    let mut memory_peak_bytes = seen.memory_peak_bytes;
    if let Some((before, after)) = used {
        let mut add = |name: &str, value: i64| payload.insert(name.into(), value.max(0).into());
        add("cpu_ms", cpu_of(&after).saturating_sub(cpu_of(&before)).as_millis() as i64);
        // The kernel counts blocks of 512 bytes that reached a disk; what the page cache served is not in it.
        add("io_read_bytes", (after.block_reads() - before.block_reads()) * 512);
        add("io_write_bytes", (after.block_writes() - before.block_writes()) * 512);
        // The peak of the largest process, exactly; but Linux starts it at the size of the parent.
        let largest_bytes = after.max_rss().max(0) as u64 * 1024;
        if largest_bytes > own_peak_bytes || memory_peak_bytes == 0 {
            memory_peak_bytes = memory_peak_bytes.max(largest_bytes);
        }
    }
    payload.insert("memory_peak_bytes".into(), memory_peak_bytes.into());
    if let Some(bytes) = seen.charged_peak_bytes {
        payload.insert("memory_charged_peak_bytes".into(), bytes.into());
    }
    if seen.processes_peak > 0 {
        payload.insert("processes_peak".into(), seen.processes_peak.into());
    }
}

fn add_kernel(
    payload: &mut Map<String, Value>,
    before: &Reading,
    after: &Reading,
    seen: &Seen,
    wall: Duration,
    exit_code: i32,
) {
    match seen.stalled {
        Some((stalled_us, time)) if stalled_us.iter().any(Option::is_some) => {
            add_stalls(payload, [Some(0); 3], stalled_us, Scope::Tree, time.as_secs_f64());
        }
        _ => add_stalls(payload, before.stalled_us, after.stalled_us, after.scope, wall.as_secs_f64()),
    }
    add_limits(payload, after);
    add_throttled(payload, before.periods, after.periods);
    let grown = |from: Option<u64>, to: Option<u64>| Some(to?.saturating_sub(from?));
    let in_group = grown(before.oom_kills, after.oom_kills);
    let on_machine = grown(before.machine_oom_kills, after.machine_oom_kills);
    // In its own group it was one of the command's processes, whatever the others made of it. In a group with others, it
    // was if the command failed; on the whole machine, if the command ended as the killed do (a shell says 137).
    let killed = match (seen.oom_kills.filter(|kills| *kills > 0), in_group, on_machine) {
        (Some(_), ..) => Some(true),
        (None, Some(kills), machine) => Some((kills > 0 && exit_code != 0) || (exit_code == 137 && machine > Some(0))),
        (None, None, machine) => machine.map(|kills| kills > 0 && exit_code == 137),
    };
    if let Some(killed) = killed {
        payload.insert("oom_killed".into(), killed.into());
    }
    if let Some(kills) = seen.oom_kills {
        payload.insert("oom_kills".into(), kills.into());
    }
}

fn share(part: f64, whole: f64) -> Value {
    json!(((part / whole.max(1e-9)).clamp(0.0, 1.0) * 1e4).round() / 1e4)
}

fn add_stalls(
    payload: &mut Map<String, Value>,
    from: [Option<u64>; 3],
    to: [Option<u64>; 3],
    scope: Scope,
    time_s: f64,
) {
    for (i, name) in ["psi_cpu_some", "psi_memory_some", "psi_io_some"].into_iter().enumerate() {
        if let (Some(from), Some(to)) = (from[i], to[i]) {
            payload.insert(name.into(), share(to.saturating_sub(from) as f64 / 1e6, time_s));
            payload.insert("psi_scope".into(), scope.name().into());
        }
    }
}

fn add_limits(payload: &mut Map<String, Value>, reading: &Reading) {
    if let Some(cores) = reading.cpu_limit_cores {
        payload.insert("cpu_limit_cores".into(), json!(cores));
    }
    if let Some(bytes) = reading.memory_limit_bytes {
        payload.insert("memory_limit_bytes".into(), json!(bytes));
    }
}

fn add_throttled(payload: &mut Map<String, Value>, from: Option<(u64, u64)>, to: Option<(u64, u64)>) {
    if let (Some(from), Some(to)) = (from, to)
        && to.0 > from.0
    {
        payload.insert("throttled_ratio".into(), share(to.1.saturating_sub(from.1) as f64, (to.0 - from.0) as f64));
    }
}

fn add_findings(payload: &mut Map<String, Value>, findings: Findings) {
    let counts = findings.counts;
    for (name, count) in [("passed", counts.passed), ("failed", counts.failed), ("skipped", counts.skipped)] {
        if let Some(count) = count {
            payload.insert(name.into(), count.into());
        }
    }
    if !findings.packages.is_empty() {
        payload.insert("packages".into(), findings.packages.into());
    }
    if let Some(count) = findings.packages_added {
        payload.insert("packages_added".into(), count.into());
    }
    if !findings.sample.is_empty() {
        payload.insert("stdout_sample".into(), findings.sample.into());
    }
}

fn add_checkout(payload: &mut Map<String, Value>, found: &Checkout, folder: Option<&Path>, changes: Option<Changes>) {
    if let Some(commit) = &found.commit {
        payload.insert("commit".into(), commit.clone().into());
    }
    let below = found.top.as_deref().zip(folder).and_then(|(top, folder)| folder.strip_prefix(top).ok());
    if let Some(below) = below.filter(|below| !below.as_os_str().is_empty()) {
        payload.insert("folder".into(), below.to_string_lossy().into());
    }
    if let Some(changes) = changes {
        payload.insert("churn".into(), changes.to_json());
        payload.insert("paths".into(), changes.paths.into());
    }
}

#[cfg(test)]
mod tests;
