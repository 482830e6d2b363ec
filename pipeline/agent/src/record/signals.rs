//! Signals that only the recorder gets are passed on to the command; those that a terminal sends reach both by themselves.
//!
//! Handlers stand from before the start, because the command inherits blocked signals but no handlers; after the start
//! they give way to a `signalfd`, which says who sent a signal. What was ignored (`nohup`, a background job of a plain
//! shell) stays ignored, here and in the command.

use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill};
use nix::sys::signalfd::SignalFd;
use nix::unistd::Pid;
use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::time::{Duration, Instant};

const PASSED_ON: [Signal; 6] =
    [Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGUSR2];

/// Signals, watched.
pub(crate) struct Signals {
    held: SigSet,
    caught: Vec<(Signal, Arc<AtomicBool>)>,
    /// The command, while it runs.
    pid: Arc<AtomicI32>,
    interrupted: Arc<AtomicBool>,
}

impl Signals {
    /// From now on none of them ends the recorder. To be called before other threads are started.
    pub(crate) fn catch() -> Self {
        let ignored = ignored();
        let mut held = SigSet::empty();
        let mut caught = Vec::new();
        for signal in PASSED_ON.into_iter().filter(|signal| !ignored(*signal)) {
            let seen = Arc::new(AtomicBool::new(false));
            if signal_hook::flag::register(signal as i32, Arc::clone(&seen)).is_ok() {
                held.add(signal);
                caught.push((signal, seen));
            }
        }
        // `ulimit -f`: the dump may be full. Then the write fails, and that is told.
        let _ = signal_hook::flag::register(Signal::SIGXFSZ as i32, Arc::default());
        Self { held, caught, pid: Arc::default(), interrupted: Arc::default() }
    }

    /// What is started by `start` inherits them blocked.
    pub(crate) fn blocked<T>(&self, start: impl FnOnce() -> T) -> T {
        let before = self.held.thread_swap_mask(SigmaskHow::SIG_BLOCK);
        let done = start();
        if let Ok(before) = before {
            let _ = before.thread_set_mask(); // what was blocked when we were started is the command's to find so
        }
        done
    }

    /// Passes signals on to the command from now on. They stay blocked until the program ends, or a Ctrl-C that came
    /// during the command would end it before the event is written.
    pub(crate) fn pass_on_to(&self, child: u32) {
        let child = child as i32;
        self.pid.store(child, Ordering::SeqCst);
        if self.held.thread_block().is_err() {
            return;
        }
        let terminal = io::stdin().is_terminal() || io::stdout().is_terminal() || io::stderr().is_terminal();
        for (signal, seen) in &self.caught {
            // In these first microseconds nobody says who sent it.
            let from_terminal = terminal && matches!(signal, Signal::SIGINT | Signal::SIGQUIT);
            if seen.swap(false, Ordering::SeqCst) && !from_terminal {
                let _ = kill(Pid::from_raw(child), *signal);
            }
        }
        let (pid, interrupted) = (Arc::clone(&self.pid), Arc::clone(&self.interrupted));
        let Ok(queue) = SignalFd::new(&self.held) else { return };
        // Not joined: it ends with the program.
        let _ = std::thread::Builder::new().name("signals".into()).spawn(move || {
            loop {
                let info = match queue.read_signal() {
                    Ok(Some(info)) => info,
                    Ok(None) | Err(Errno::EINTR) => continue,
                    Err(_) => return,
                };
                let Ok(signal) = Signal::try_from(info.ssi_signo as i32) else { continue };
                // sigaction(2): positive codes are the kernel's own, such as a terminal's keys.
                let from_kernel = info.ssi_code > 0;
                if from_kernel && signal == Signal::SIGINT {
                    interrupted.store(true, Ordering::SeqCst);
                }
                let pid = pid.load(Ordering::SeqCst);
                if pid != 0 && !from_kernel {
                    let _ = kill(Pid::from_raw(pid), signal);
                }
            }
        });
    }

    /// The command has ended: its number may soon be another's.
    pub(crate) fn ended(&self) {
        self.pid.store(0, Ordering::SeqCst);
    }

    /// Whether Ctrl-C was pressed while the command ran; to be asked when it died of it. On a busy machine the command may
    /// be gone before our own thread has had its turn.
    pub(crate) fn interrupted(&self) -> bool {
        let until = Instant::now() + Duration::from_millis(200);
        while !self.interrupted.load(Ordering::SeqCst) && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
        self.interrupted.load(Ordering::SeqCst)
    }
}

/// What was ignored when the program started, as proc_pid_status(5) says it. Without `/proc`: nothing.
fn ignored() -> impl Fn(Signal) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("SigIgn:")?.trim(), 16).ok());
    move |signal| mask.unwrap_or(0) & (1 << (signal as i32 - 1)) != 0
}
