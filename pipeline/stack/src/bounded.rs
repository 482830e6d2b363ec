//! Commands that are given a time: each is ended when it is over, with everything that it started.

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::io::{self, Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_millis(20);
/// So much of what a command prints is kept.
const MOST_BYTES: u64 = 16 << 20;

/// What a command printed, where it ended with 0 in time; else why not, with the last line of its standard error.
pub(crate) fn run(mut command: Command, input: String, most: Duration) -> Result<Vec<u8>, String> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(|error| error.to_string())?;
    let stdin = child.stdin.take();
    // A command that does not care for its input may end before it was read.
    let feeder = thread::spawn(move || stdin.map(|mut pipe| pipe.write_all(input.as_bytes())));
    let (said, complained) = (gather(child.stdout.take()), gather(child.stderr.take()));
    let status = wait(&mut child, most)?;
    // What it left running may hold the pipes.
    end(&child);
    let collect = |thread: thread::JoinHandle<Vec<u8>>| thread.join().unwrap_or_default();
    let (said, complained) = (collect(said), collect(complained));
    drop(feeder.join());
    if status.success() {
        return Ok(said);
    }
    let complained = String::from_utf8_lossy(&complained);
    let last = complained.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    Err(format!("{status}: {last}"))
}

/// How a command ended, which leads a process group of its own; it is ended where it takes longer than `most`.
pub(crate) fn wait(child: &mut Child, most: Duration) -> Result<ExitStatus, String> {
    let began = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(status),
            Ok(None) if began.elapsed() < most => thread::sleep(PAUSE),
            Ok(None) => {
                end(child);
                child.wait().map_err(|error| error.to_string())?;
                return Err(format!("it did not end within {} s", most.as_secs_f64()));
            }
            Err(error) => return Err(error.to_string()),
        }
    }
}

/// Ends a command and what it started.
fn end(child: &Child) {
    if let Ok(id) = i32::try_from(child.id()) {
        // Gone already is as good.
        let _ = killpg(Pid::from_raw(id), Signal::SIGKILL);
    }
}

fn gather(pipe: Option<impl io::Read + Send + 'static>) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(pipe) = pipe {
            drop(pipe.take(MOST_BYTES).read_to_end(&mut bytes));
        }
        bytes
    })
}
