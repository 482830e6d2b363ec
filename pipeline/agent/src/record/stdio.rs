//! How a command's output is read while it goes where it went before.
//!
//! | where it goes | what the command gets | how it is read |
//! |---|---|---|
//! | a file | the file itself | what was added to it, when the command has ended |
//! | a pipe or socket | a pipe | by a [relay](super::relay) |
//! | a terminal | a pseudo-terminal of the same size | by a relay |
//! | anything else (`/dev/null`) | the thing itself | not |
//!
//! Standard input, the controlling terminal and the process group are never replaced: job control, Ctrl-C, Ctrl-Z,
//! `/dev/tty` and prompts go past the recorder. What a pseudo-terminal cannot stand in for is a program that draws on the
//! whole screen and switches the terminal's mode through its output, an editor or a pager. So on a terminal only programs
//! that are known to print line after line are read, unless the user says otherwise; and elsewhere only builds, tests and
//! linters are.

use super::output::{Findings, Reader};
use super::relay::{ENDED, is_terminal};
use crate::kind::{self, Purpose};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::pty::openpty;
use nix::sys::termios::{LocalFlags, OutputFlags, tcgetattr};
use rustix::fs::{OFlags, fcntl_getfl};
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// More than this is not read from a file after the command: it would hold up whoever waits for it.
const FILE_BYTES: u64 = 64 << 20;

/// How long to wait for the last output to be taken, as by a pager that shows its first page. It gets there without us.
const PATIENCE_WITH_READERS: Duration = Duration::from_secs(10);

/// Whether to read what the command prints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReadOutput {
    /// Where it is known to be safe and useful.
    #[default]
    Auto,
    /// Not at all: the command gets our own descriptors.
    Never,
    /// Of any command, on a terminal too.
    Always,
}

/// The command's two streams and who reads them.
#[derive(Default)]
pub(crate) struct Output {
    readers: Vec<Source>,
    stdout: Option<OwnedFd>,
    stderr: Option<OwnedFd>,
}

enum Source {
    Relay { process: Child, control: UnixStream },
    File { number: i32, from: u64 },
}

impl Output {
    /// Starts the relays. Whatever cannot be read is left to the command as it is.
    ///
    /// `program` is what runs [`relay`](super::relay::relay): without it nothing is relayed. To be called with signals
    /// blocked: a relay inherits that, and a Ctrl-C must not cut the last words of the command.
    pub(crate) fn open(how: ReadOutput, purpose: &Purpose, program: &[OsString]) -> Self {
        let mut output = Self::default();
        let wanted = |terminal: bool| match how {
            ReadOutput::Always => true,
            ReadOutput::Never => false,
            ReadOutput::Auto if terminal => purpose.prints_lines,
            ReadOutput::Auto => matches!(purpose.kind, kind::BUILD | kind::TEST | kind::LINT),
        };
        let streams = [io::stdout().as_fd().try_clone_to_owned(), io::stderr().as_fd().try_clone_to_owned()];
        let [Ok(stdout), Ok(stderr)] = streams.map(|fd| fd.map(File::from)) else { return output };
        let one = same(&stdout, &stderr);
        output.stdout = output.add(stdout, 1, wanted, program);
        if !one {
            output.stderr = output.add(stderr, 2, wanted, program);
        } else if let Some(shared) = &output.stdout {
            // One place, one relay: what is written to both keeps its order.
            output.stderr = shared.try_clone().ok();
            if output.stderr.is_none() {
                output.stdout = None; // the relay sees no writer and ends
            }
        }
        output
    }

    /// What the command gets instead of `to`, if it must get something else.
    fn add(&mut self, to: File, number: i32, wanted: impl Fn(bool) -> bool, program: &[OsString]) -> Option<OwnedFd> {
        let kind = to.metadata().ok()?.file_type();
        let terminal = is_terminal(to.as_fd());
        if !wanted(terminal) {
            return None;
        }
        if kind.is_file() {
            let mut to = to;
            let from = match fcntl_getfl(&to).ok()?.contains(OFlags::APPEND) {
                true => to.metadata().ok()?.len(),
                false => to.stream_position().ok()?,
            };
            self.readers.push(Source::File { number, from });
            return None;
        }
        let (read, write) = if terminal {
            pseudo_terminal(&to)?
        } else if kind.is_fifo() || kind.is_socket() {
            let (read, write) = io::pipe().ok()?;
            // The most that everybody may ask for: on a busy machine the command need not wait for our turn so often.
            let _ = fcntl(&write, FcntlArg::F_SETPIPE_SZ(1 << 20));
            (read.into(), write.into())
        } else {
            return None;
        };
        let (program, arguments) = program.split_first()?;
        let (control, other) = UnixStream::pair().ok()?;
        let process = Command::new(program)
            .args(arguments)
            .current_dir("/") // it may outlive us, and shall not keep a disk from being unmounted
            .stdin(read)
            .stdout(to)
            .stderr(OwnedFd::from(other))
            .spawn()
            .ok()?;
        self.readers.push(Source::Relay { process, control });
        Some(write)
    }

    /// Starts the command with its descriptors; with ours, where nothing is to be read.
    ///
    /// A script without `#!` is run by `sh`, as execvp(3), and so every shell, `nice` and `env`, does it.
    pub(crate) fn start(&mut self, program: &OsString, arguments: &[OsString]) -> io::Result<Child> {
        let started = self.spawn(Command::new(program).args(arguments));
        let started = match started {
            Err(error) if error.raw_os_error() == Some(Errno::ENOEXEC as i32) => {
                self.spawn(Command::new("/bin/sh").arg(program).args(arguments))
            }
            started => started,
        };
        // The command has its own: with ours the relays would never see the last writer go.
        (self.stdout, self.stderr) = (None, None);
        started
    }

    fn spawn(&self, command: &mut Command) -> io::Result<Child> {
        if let Some(stdout) = &self.stdout {
            command.stdout(Stdio::from(stdout.try_clone()?));
        }
        if let Some(stderr) = &self.stderr {
            command.stderr(Stdio::from(stderr.try_clone()?));
        }
        let started = command.spawn();
        command.stdout(Stdio::null()).stderr(Stdio::null()); // closes the copies
        started
    }

    /// What was read, when the command has ended: returns when all that it printed is where it belongs.
    pub(crate) fn findings(&mut self, sample_bytes: usize) -> Findings {
        let found = self.readers.iter_mut().map(|source| match source {
            Source::Relay { control, .. } => {
                let _ = control.set_read_timeout(Some(PATIENCE_WITH_READERS));
                let _ = control.write_all(&[ENDED]);
                let mut line = String::new();
                let _ = BufReader::new(control).read_line(&mut line);
                Findings::from_json(&line)
            }
            Source::File { number, from } => read_file(*number, *from, sample_bytes).unwrap_or_default(),
        });
        found.reduce(Findings::and).unwrap_or_default()
    }

    /// Waits for the relays that are done. One that still has writers lives on.
    pub(crate) fn leave(self) {
        for source in self.readers {
            if let Source::Relay { mut process, control } = source {
                // It answered before it closed this: then it is about to end, unless there are writers left.
                drop(control);
                let _ = process.try_wait();
            }
        }
    }
}

fn same(a: &File, b: &File) -> bool {
    match (a.metadata(), b.metadata()) {
        // Different terminals may share a file system's number, never also the device's.
        (Ok(a), Ok(b)) => (a.dev(), a.ino(), a.rdev()) == (b.dev(), b.ino(), b.rdev()),
        _ => false,
    }
}

/// A terminal of the same size and modes, which passes bytes on as they are: the real one does what is to be done to them.
fn pseudo_terminal(real: &File) -> Option<(OwnedFd, OwnedFd)> {
    let mut modes = tcgetattr(real).ok()?;
    modes.output_flags.remove(OutputFlags::OPOST);
    modes.local_flags.remove(LocalFlags::ECHO | LocalFlags::ISIG);
    let pair = openpty(None, &modes).ok()?;
    rustix::termios::tcsetwinsize(&pair.master, rustix::termios::tcgetwinsize(real).ok()?).ok()?;
    for fd in [&pair.master, &pair.slave] {
        rustix::io::fcntl_setfd(fd, rustix::io::FdFlags::CLOEXEC).ok()?;
    }
    Some((pair.master, pair.slave))
}

/// What a command added to a file. None: it is gone, cut, not ours to read, or too long.
fn read_file(number: i32, from: u64, sample_bytes: usize) -> Option<Findings> {
    let mut file = File::open(format!("/proc/self/fd/{number}")).ok()?;
    let length = file.metadata().ok()?.len().checked_sub(from)?;
    if length > FILE_BYTES {
        return None;
    }
    file.seek(SeekFrom::Start(from)).ok()?;
    let mut reader = Reader::new(sample_bytes);
    let mut rest = file.take(length);
    let mut block = vec![0; 64 << 10];
    loop {
        match rest.read(&mut block).ok()? {
            0 => return Some(reader.findings()),
            length => reader.take(&block[..length]),
        }
    }
}
