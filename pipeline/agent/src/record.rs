//! Runs one command unchanged and makes one event of it.
//!
//! The command gets our stdin, stdout, stderr, environment and folder; its exit code is handed on. Nothing here may
//! change its outcome: whatever cannot be measured is left out of the event.

use crate::kernel::{Kernel, Reading};
use crate::{AgentError, checkout, kind};
use domain::Timestamp;
use nix::sys::resource::{Usage, UsageWho, getrusage};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::Pid;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant};

pub use crate::dump::append;

/// What to say about a command besides what was measured.
#[derive(Clone, Debug, Default)]
pub struct RecordSpec {
    /// Outer fields of the event: `env`, `resource`, `developer`, `session`, `pr`, or any other name.
    /// `repo` and `branch` win over what git says; `ts`, `type` and `payload` are ours.
    pub tags: BTreeMap<String, String>,
    /// Ask git for repository, branch and commit of the current folder, before the command can change them.
    pub detect_checkout: bool,
}

/// A command that ended.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// The event, in the native form.
    pub event: Value,
    /// The command's own exit code; 128 + n if signal n ended it.
    pub exit_code: i32,
}

/// Runs `cmd` to its end and says what it used. To be called once, from a program that then exits:
///
/// - CPU, peak memory and I/O are those of all children waited for (`getrusage`): exact for a tree of processes that
///   wait for each other, blind for daemons it leaves behind. Linux starts a child's peak at its parent's size, so
///   `memory_peak_bytes` is never below the recorder's own, and is that of the largest single process of the tree.
/// - Signals stay blocked in this thread after it returns, or a Ctrl-C that came during the command would end the
///   program before the event is written. To be called before other threads are started: theirs are not blocked.
/// - SIGTERM, SIGHUP, SIGUSR1 and SIGUSR2 are passed on to the command; Ctrl-C and Ctrl-\ only where no terminal does it.
/// - Pressure is counted on the whole machine, throttling in the control group: neighbours show in them, as they should.
///
/// # Errors
/// Only if the command could not be started or waited for; [`AgentError::exit_code`] says what a shell would return.
pub fn run(cmd: &[OsString], spec: &RecordSpec, now: impl Fn() -> Timestamp) -> Result<Recorded, AgentError> {
    let (program, args) = cmd.split_first().ok_or(AgentError::NoCommand)?;
    let named = || program.to_string_lossy().into_owned();
    let found = match std::env::current_dir() {
        Ok(folder) if spec.detect_checkout => checkout::detect(&folder),
        _ => checkout::Checkout::default(),
    };
    let kernel = Kernel::here();
    let (used_before, before) = (getrusage(UsageWho::RUSAGE_CHILDREN).ok(), kernel.read());
    let (ts, clock) = (now(), Instant::now());
    let mut child =
        Command::new(program).args(args).spawn().map_err(|source| AgentError::Start { program: named(), source })?;
    let running = hold_signals(&child);
    let status = child.wait().map_err(|source| AgentError::Wait { program: named(), source })?;
    running.store(0, Ordering::SeqCst);
    let (wall, used_after, after) = (clock.elapsed(), getrusage(UsageWho::RUSAGE_CHILDREN).ok(), kernel.read());

    let exit_code = exit_code(status);
    let kind = kind::kind(cmd);
    let mut payload = Map::new();
    payload.insert("command".into(), command_text(cmd).into());
    payload.insert("exit_code".into(), exit_code.into());
    payload.insert("duration_ms".into(), json!(wall.as_millis() as u64));
    payload.insert("kind".into(), kind.into());
    if let Some((before, after)) = used_before.zip(used_after) {
        add_usage(&mut payload, &before, &after);
    }
    add_kernel(&mut payload, &before, &after, wall, status);
    if let Some(commit) = found.commit {
        payload.insert("commit_sha".into(), commit.into());
    }
    let mut event = Map::new();
    for (name, value) in [("repo", found.repo), ("branch", found.branch)] {
        if let Some(value) = value {
            event.insert(name.into(), value.into());
        }
    }
    event.extend(spec.tags.iter().map(|(name, value)| (name.clone(), value.clone().into())));
    event.insert("ts".into(), ts.to_string().into());
    event.insert("type".into(), if kind == "test" { "test" } else { "command" }.into());
    event.insert("payload".into(), payload.into());
    Ok(Recorded { event: event.into(), exit_code })
}

/// Keeps signals from ending the recorder before the command, and passes on those that only the recorder got.
///
/// A terminal sends Ctrl-C and Ctrl-\ to the command itself; passing them on would make them come twice. Without a
/// terminal (CI cancelling a step) nobody else tells the command. Blocked, not ignored, because ignoring cannot be
/// asked for without unsafe code; and only after the start, because the command would inherit it. A Ctrl-C in the
/// microseconds between ends both, and the event is lost.
fn hold_signals(child: &Child) -> Arc<AtomicI32> {
    let running = Arc::new(AtomicI32::new(child.id() as i32));
    let held: SigSet =
        [Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGUSR2]
            .into_iter()
            .collect();
    let terminal = io::stdin().is_terminal() || io::stdout().is_terminal() || io::stderr().is_terminal();
    if held.thread_block().is_ok() {
        let pid = Arc::clone(&running);
        // Not joined: it ends with the program.
        let _ = std::thread::Builder::new().name("signals".into()).spawn(move || {
            while let Ok(signal) = held.wait() {
                let pid = pid.load(Ordering::SeqCst);
                let told_already = terminal && matches!(signal, Signal::SIGINT | Signal::SIGQUIT);
                if pid != 0 && !told_already {
                    let _ = kill(Pid::from_raw(pid), signal);
                }
            }
        });
    }
    running
}

fn exit_code(status: ExitStatus) -> i32 {
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1)
}

/// The command as one would type it.
fn command_text(cmd: &[OsString]) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./:=@%+,".contains(c);
    let words: Vec<String> = cmd
        .iter()
        .map(|word| match word.to_string_lossy() {
            text if !text.is_empty() && text.chars().all(plain) => text.into_owned(),
            text => format!("'{}'", text.replace('\'', r"'\''")),
        })
        .collect();
    words.join(" ")
}

fn add_usage(payload: &mut Map<String, Value>, before: &Usage, after: &Usage) {
    let cpu_us =
        |u: &Usage| [u.user_time(), u.system_time()].iter().map(|t| t.tv_sec() * 1_000_000 + t.tv_usec()).sum::<i64>();
    let mut add = |name: &str, value: i64| payload.insert(name.into(), value.max(0).into());
    add("cpu_ms", (cpu_us(after) - cpu_us(before)) / 1000);
    add("memory_peak_bytes", after.max_rss() * 1024);
    // The kernel counts blocks of 512 bytes that reached a disk; what the page cache served is not in it.
    add("io_read_bytes", (after.block_reads() - before.block_reads()) * 512);
    add("io_write_bytes", (after.block_writes() - before.block_writes()) * 512);
}

fn add_kernel(payload: &mut Map<String, Value>, before: &Reading, after: &Reading, wall: Duration, status: ExitStatus) {
    let share = |part: u64, whole: f64| json!(((part as f64 / whole).min(1.0) * 1e4).round() / 1e4);
    let wall_us = (wall.as_micros() as f64).max(1.0);
    for (i, name) in ["psi_cpu_some", "psi_memory_some", "psi_io_some"].into_iter().enumerate() {
        if let (Some(from), Some(to)) = (before.stalled_us[i], after.stalled_us[i]) {
            payload.insert(name.into(), share(to.saturating_sub(from), wall_us));
        }
    }
    if let Some(cores) = after.cpu_limit_cores {
        payload.insert("cpu_limit_cores".into(), json!(cores));
    }
    if let Some(bytes) = after.memory_limit_bytes {
        payload.insert("memory_limit_bytes".into(), json!(bytes));
    }
    if let (Some(from), Some(to)) = (before.periods, after.periods)
        && to.0 > from.0
    {
        payload.insert("throttled_ratio".into(), share(to.1.saturating_sub(from.1), (to.0 - from.0) as f64));
    }
    if let (Some(from), Some(to)) = (before.oom_kills, after.oom_kills) {
        // Somebody in the group was killed; it was ours if ours died that way, also when a shell reports it as 137.
        let killed = status.signal() == Some(9) || status.code() == Some(137);
        payload.insert("oom_killed".into(), (to > from && killed).into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::event::read_native;
    use domain::privacy::Privacy;

    fn recorded(cmd: &[&str]) -> Recorded {
        let cmd: Vec<OsString> = cmd.iter().map(OsString::from).collect();
        let tags = [("env", "acme-dev"), ("resource", "acme-dev/web"), ("pr", "acme/api#7"), ("type", "nonsense")];
        let tags = tags.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        let now = || Timestamp::parse("2026-10-01T00:00:00Z").unwrap();
        run(&cmd, &RecordSpec { tags, detect_checkout: true }, now).unwrap()
    }

    #[test]
    fn the_exit_code_passes_through() {
        for code in [0, 1, 42, 255] {
            let recorded = recorded(&["sh", "-c", &format!("exit {code}")]);
            assert_eq!(recorded.exit_code, code);
            assert_eq!(recorded.event["payload"]["exit_code"], code);
        }
    }

    #[test]
    fn a_signal_reads_as_128_and_its_number() {
        assert_eq!(recorded(&["sh", "-c", "kill -TERM $$"]).exit_code, 143);
        assert_eq!(recorded(&["sh", "-c", "kill -KILL $$"]).exit_code, 137);
    }

    #[test]
    fn the_command_keeps_the_usual_signals() {
        // A blocked or ignored SIGINT would be inherited, and Ctrl-C would stop nothing.
        assert_eq!(recorded(&["sh", "-c", "kill -INT $$; sleep 5"]).exit_code, 130);
    }

    #[test]
    fn a_command_that_does_not_exist_is_named() {
        let error = run(&["no-such-program".into()], &RecordSpec::default(), Timestamp::default).unwrap_err();
        assert_eq!((error.to_string().as_str(), error.exit_code()), ("cannot start no-such-program", 127));
        assert!(matches!(run(&[], &RecordSpec::default(), Timestamp::default), Err(AgentError::NoCommand)));
    }

    #[test]
    fn the_event_passes_the_type_rule_with_what_was_used() {
        let spin = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done";
        let Recorded { event, .. } = recorded(&["sh", "-c", spin]);
        let read = read_native(event, &Privacy::new(b"a key for tests")).remove(0).unwrap();
        assert_eq!(read.kind, "command");
        assert_eq!(read.ts.to_string(), "2026-10-01T00:00:00Z");
        assert_eq!(read.resource.as_deref(), Some("acme-dev/web"));
        assert_eq!(read.pr_id.as_deref(), Some("acme/api#7"));
        assert!(read.repo.is_some());
        let number = |name: &str| read.payload[name].as_u64().unwrap();
        assert!(number("cpu_ms") > 0 && number("duration_ms") > 0);
        assert!(number("memory_peak_bytes") > 100_000);
    }

    #[test]
    fn a_test_is_a_test_event_and_its_text_can_be_typed_again() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("pytest");
        std::os::unix::fs::symlink("/bin/true", &program).unwrap();
        let Recorded { event, .. } = recorded(&[&program.to_string_lossy(), "-k", "it's a b"]);
        assert_eq!((&event["type"], &event["payload"]["kind"]), (&json!("test"), &json!("test")));
        assert!(event["payload"]["command"].as_str().unwrap().ends_with(r"pytest -k 'it'\''s a b'"));
    }
}
