//! The process between a command and the terminal or pipe it writes to, where its output is to be read: bytes in, the
//! same bytes out, and on demand what they said.
//!
//! A process of its own, as `tee` would be, so that the command's output does not hang on the recorder: when that is
//! killed, or ends before the command's background processes do, this goes on until the last writer is gone.
//! Standard input is what the command writes to, standard output where that goes, standard error the line to the recorder.

use super::output::Reader;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::termios::{isatty, tcgetwinsize, tcsetwinsize};
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

/// What the recorder sends when the command has ended.
pub(super) const ENDED: u8 = b'x';

/// More than any pipe holds: what comes later is of processes that outlive the command.
const LEFT_BYTES: usize = 2 << 20;

/// What a pseudo-terminal's writer wrote is passed on by a kernel thread, in microseconds on an idle machine.
const TERMINAL_LAG_MS: u16 = 20;

/// Relays until there are no more writers. Errors end it silently: there is nowhere to tell them, and whoever writes
/// finds out as if it wrote to the broken place itself.
pub fn relay(sample_bytes: usize) {
    let _ = run(sample_bytes);
}

fn run(sample_bytes: usize) -> io::Result<()> {
    let mut source = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut sink = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    let mut control = UnixStream::from(io::stderr().as_fd().try_clone_to_owned()?);
    let terminal = isatty(&sink).then(window_changes).flatten();
    let mut reader = Some(Reader::new(sample_bytes));
    let mut left_bytes = None;
    let mut block = vec![0; 64 << 10];
    loop {
        let quiet_ms = match left_bytes {
            None => PollTimeout::NONE,
            Some(_) if terminal.is_some() => PollTimeout::from(TERMINAL_LAG_MS),
            Some(_) => PollTimeout::ZERO,
        };
        let ready = wait(&source, &sink, reader.is_some().then_some(&control), terminal.as_ref(), quiet_ms)?;
        if ready.sink_gone {
            return Ok(());
        }
        if ready.window {
            if let Some(changes) = &terminal {
                let _ = changes.read_signal();
            }
            follow_size(&sink, &source);
        }
        if ready.source {
            let length = match source.read(&mut block) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                // A pseudo-terminal without writers says EIO.
                Ok(0) | Err(_) => return answer(&mut reader, &mut control),
                Ok(length) => length,
            };
            pass_on(&mut sink, &block[..length])?;
            if let Some(reader) = &mut reader {
                reader.take(&block[..length]);
            }
            left_bytes = left_bytes.map(|left: usize| left.saturating_sub(length));
        }
        if left_bytes.is_some() && (!ready.source || left_bytes == Some(0)) {
            answer(&mut reader, &mut control)?;
            left_bytes = None;
        } else if ready.control && left_bytes.is_none() {
            let mut byte = [0];
            match control.read(&mut byte) {
                Ok(1) if byte[0] == ENDED => left_bytes = Some(LEFT_BYTES),
                _ => reader = None, // the recorder is gone
            }
        }
    }
}

#[derive(Default)]
struct Ready {
    source: bool,
    sink_gone: bool,
    control: bool,
    window: bool,
}

fn wait(
    source: &File,
    sink: &File,
    control: Option<&UnixStream>,
    window: Option<&SignalFd>,
    time: PollTimeout,
) -> io::Result<Ready> {
    let mut fds = vec![
        PollFd::new(source.as_fd(), PollFlags::POLLIN),
        // Asked for nothing: errors are told anyway. So a command learns at its next write that nobody reads.
        PollFd::new(sink.as_fd(), PollFlags::empty()),
    ];
    let mut marks: Vec<fn(&mut Ready)> = vec![|ready| ready.source = true, |ready| ready.sink_gone = true];
    if let Some(control) = control {
        fds.push(PollFd::new(control.as_fd(), PollFlags::POLLIN));
        marks.push(|ready| ready.control = true);
    }
    if let Some(window) = window {
        fds.push(PollFd::new(window.as_fd(), PollFlags::POLLIN));
        marks.push(|ready| ready.window = true);
    }
    match poll(&mut fds, time) {
        Ok(_) => {}
        Err(Errno::EINTR) => return Ok(Ready::default()),
        Err(error) => return Err(error.into()),
    }
    let mut ready = Ready::default();
    for (fd, mark) in fds.iter().zip(marks) {
        if fd.revents().is_some_and(|events| !events.is_empty()) {
            mark(&mut ready);
        }
    }
    Ok(ready)
}

/// Writes everything, also where whoever opened the pipe made it non-blocking.
fn pass_on(sink: &mut File, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match sink.write(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(length) => bytes = &bytes[length..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                let _ = poll(&mut [PollFd::new(sink.as_fd(), PollFlags::POLLOUT)], PollTimeout::NONE);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// From now on there is nothing to read, only to pass on.
fn answer(reader: &mut Option<Reader>, control: &mut UnixStream) -> io::Result<()> {
    if let Some(mut reader) = reader.take() {
        let _ = control.write_all(format!("{}\n", reader.findings().to_json()).as_bytes());
        control.shutdown(std::net::Shutdown::Both)?;
    }
    Ok(())
}

fn window_changes() -> Option<SignalFd> {
    let mut changes = SigSet::empty();
    changes.add(Signal::SIGWINCH);
    changes.thread_block().ok()?;
    SignalFd::with_flags(&changes, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC).ok()
}

/// The command has heard of the change already, from its real terminal, and may have asked for the size too early: it is
/// told again when the answer is right.
fn follow_size(terminal: &File, ours: &File) {
    let (Ok(want), Ok(have)) = (tcgetwinsize(terminal), tcgetwinsize(ours)) else { return };
    if (want.ws_row, want.ws_col) != (have.ws_row, have.ws_col) && tcsetwinsize(ours, want).is_ok() {
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(0), Signal::SIGWINCH);
    }
}

/// Whether nothing is lost if this descriptor is replaced by a pseudo-terminal of the same size.
pub(super) fn is_terminal(fd: BorrowedFd<'_>) -> bool {
    isatty(fd) && tcgetwinsize(fd).is_ok()
}
