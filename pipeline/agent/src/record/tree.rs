//! The processes of a command, as `/proc` shows them: a process, what it started, what that started.
//!
//! A process that was seen once stays known when its parent ends. One that started and lost its parent between two
//! looks is not seen, unless the command has a control group of its own.

use crate::kernel;
use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Linux counts CPU time in `/proc` in hundredths of a second, whatever the kernel's own tick is.
const TICK_MS: u64 = 10;

/// The processes of a command.
pub(crate) struct Tree {
    proc: PathBuf,
    root: i32,
    /// Process and its start: a number is used again, the pair is not.
    known: HashMap<i32, u64>,
}

/// All processes of a command at one moment.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Look {
    pub(crate) pids: Vec<i32>,
    /// Anonymous and shared memory of each.
    pub(crate) held_bytes: u64,
    /// The largest mapping of files: programs and libraries are the same pages for most of them.
    pub(crate) mapped_bytes: u64,
    /// The most that any one of them ever held.
    pub(crate) largest_peak_bytes: u64,
    /// CPU time of the living and of those that they have waited for.
    pub(crate) cpu_ms: u64,
    /// What came from a disk and went to one, likewise.
    pub(crate) io_bytes: Option<(u64, u64)>,
    /// The name of the process with the most memory.
    pub(crate) largest: String,
}

struct Process {
    start: u64,
    cpu_ticks: u64,
    threads: u64,
}

struct Memory {
    own_bytes: u64,
    file_bytes: u64,
    peak_bytes: u64,
}

impl Look {
    /// What all hold together.
    pub(crate) fn memory_bytes(&self) -> u64 {
        self.held_bytes + self.mapped_bytes
    }
}

impl Tree {
    pub(crate) fn of(root: i32, proc: PathBuf) -> Self {
        Self { proc, root, known: HashMap::new() }
    }

    /// Looks at every process: those below the root, those seen before, and `others`.
    pub(crate) fn look(&mut self, others: &[i32], with_io: bool) -> Look {
        let mut look = Look::default();
        let mut largest_bytes = 0;
        let mut next: Vec<i32> = std::iter::once(self.root).chain(self.known.keys().copied()).collect();
        next.extend(others);
        let mut met = HashSet::new();
        while let Some(pid) = next.pop() {
            if !met.insert(pid) {
                continue;
            }
            let folder = self.proc.join(pid.to_string());
            let Some((name, process)) = process(&folder) else {
                self.known.remove(&pid);
                continue;
            };
            if *self.known.entry(pid).or_insert(process.start) != process.start {
                self.known.remove(&pid); // another process with an old number
                continue;
            }
            children(&folder, pid, process.threads, &mut next);
            look.pids.push(pid);
            look.cpu_ms += process.cpu_ticks * TICK_MS;
            if let Some(memory) = memory(&folder) {
                look.held_bytes += memory.own_bytes;
                look.mapped_bytes = memory.file_bytes.max(look.mapped_bytes);
                look.largest_peak_bytes = look.largest_peak_bytes.max(memory.peak_bytes);
                let held_bytes = memory.own_bytes + memory.file_bytes;
                if held_bytes > largest_bytes {
                    (largest_bytes, look.largest) = (held_bytes, name);
                }
            }
            if let Some((read, written)) = with_io.then(|| io(&folder)).flatten() {
                let (r, w) = look.io_bytes.unwrap_or_default();
                look.io_bytes = Some((r + read, w + written));
            }
        }
        look
    }
}

fn process(folder: &Path) -> Option<(String, Process)> {
    let text = kernel::text(&folder.join("stat"))?;
    // The name may hold anything, also spaces and parentheses: what follows begins after the last one.
    let (name, rest) = text.split_once('(')?.1.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    // proc_pid_stat(5) counts from 1, with the state as 3.
    let field = |n: usize| fields.get(n - 3)?.parse::<u64>().ok();
    let cpu_ticks = field(14)? + field(15)? + field(16)? + field(17)?;
    Some((name.to_owned(), Process { start: field(22)?, cpu_ticks, threads: field(20)? }))
}

/// A process without memory of its own is ending.
fn memory(folder: &Path) -> Option<Memory> {
    let text = kernel::text(&folder.join("status"))?;
    let bytes = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kib| kib * 1024)
    };
    Some(Memory {
        own_bytes: bytes("RssAnon")? + bytes("RssShmem")?,
        file_bytes: bytes("RssFile")?,
        peak_bytes: bytes("VmHWM")?,
    })
}

fn io(folder: &Path) -> Option<(u64, u64)> {
    let text = kernel::text(&folder.join("io"))?;
    let bytes = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    Some((bytes("read_bytes:")?, bytes("write_bytes:")?))
}

/// Each thread has its own list of what it started.
fn children(folder: &Path, pid: i32, threads: u64, next: &mut Vec<i32>) {
    let mut add = |thread: &str| {
        let text = kernel::text(&folder.join("task").join(thread).join("children")).unwrap_or_default();
        next.extend(text.split_ascii_whitespace().filter_map(|pid| pid.parse::<i32>().ok()));
    };
    if threads <= 1 {
        return add(&pid.to_string());
    }
    for entry in fs::read_dir(folder.join("task")).into_iter().flatten().flatten() {
        add(&entry.file_name().to_string_lossy());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn grandchildren_are_found_and_stay_known_when_their_parent_ends() {
        let mut child = Command::new("sh")
            .args(["-c", "sh -c 'sleep 20 & echo $!; wait' & wait"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut tree = Tree::of(child.id() as i32, PathBuf::from("/proc"));
        let mut line = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.take().unwrap()), &mut line).unwrap();
        let sleeper: i32 = line.trim().parse().unwrap();
        let look = tree.look(&[], true);
        assert!(look.pids.contains(&sleeper), "{look:?}");
        assert!(look.memory_bytes() > 500_000 && look.largest_peak_bytes > 500_000, "{look:?}");
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(tree.look(&[], false).pids.contains(&sleeper));
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(sleeper), nix::sys::signal::Signal::SIGKILL).unwrap();
    }

    #[test]
    fn a_name_with_parentheses_and_a_number_used_again_do_not_mislead() {
        let dir = tempfile::tempdir().unwrap();
        let stat = |start: u64| {
            let folder = dir.path().join("7");
            fs::create_dir_all(folder.join("task/7")).unwrap();
            let text = format!("7 (a) b (c) S 1 7 7 0 -1 0 0 0 0 0 3 4 5 6 20 0 1 0 {start} 0 0\n");
            fs::write(folder.join("stat"), text).unwrap();
        };
        stat(100);
        let mut tree = Tree::of(7, dir.path().to_owned());
        let look = tree.look(&[], false);
        assert_eq!((look.pids.as_slice(), look.cpu_ms), ([7].as_slice(), 180));
        stat(200);
        assert_eq!(tree.look(&[], false), Look::default());
    }
}
