//! A control group of the command's own, where the kernel lets us make one: it knows also those processes whose
//! parents are gone, counts a page that several share once, and has stalls and OOM kills of nobody else.
//!
//! Joined a moment after the start, never before it: the first move in a while waits for an RCU grace period (10 ms
//! measured), which no command shall wait for. Only hierarchies that count and do not schedule are used: a group of one's
//! own in `cpu` or `io` would change how the command competes. When the recorder ends, what still runs goes back to
//! where it was started and the group is removed.

use crate::kernel::{self, Kernel, Reading};
use std::fs;
use std::path::{Path, PathBuf};

const PREFIX: &str = "pipeline-record-";

/// A group in each hierarchy that can be used.
pub(crate) struct OwnGroup {
    folders: Vec<Folder>,
    memory: Option<PathBuf>,
    unified: Option<PathBuf>,
}

struct Folder {
    own: PathBuf,
    from: PathBuf,
}

impl OwnGroup {
    /// Makes an empty group below that of the recorder. None: not allowed, or it would hide a limit.
    ///
    /// Runtimes such as the JVM size themselves by the limit of the group they find themselves in. So the limit in force
    /// is copied where it can be, and where it cannot (version 2 hands controllers down only to groups without processes
    /// of their own) there is no group if there is a limit.
    pub(crate) fn make(kernel: &Kernel, limits: &Reading) -> Option<Self> {
        let memory = kernel.groups("memory").into_iter().next();
        let unified = kernel.groups("").into_iter().next();
        let limited = limits.cpu_limit_cores.is_some() || limits.memory_limit_bytes.is_some();
        let mut group = Self { folders: Vec::new(), memory: None, unified: None };
        if let Some(from) = memory.as_ref().filter(|memory| Some(*memory) != unified.as_ref()) {
            group.memory = group.add(from).filter(|own| {
                limits
                    .memory_limit_bytes
                    .is_none_or(|bytes| fs::write(own.join("memory.limit_in_bytes"), bytes.to_string()).is_ok())
            });
        }
        if let Some(from) = unified.filter(|unified| !(limited && memory.as_ref() == Some(unified))) {
            group.unified = group.add(&from);
            if group.memory.is_none() {
                group.memory = group.unified.clone().filter(|own| charged(own).is_some());
            }
        }
        (group.memory.is_some() || group.unified.is_some()).then_some(group)
    }

    fn add(&mut self, from: &Path) -> Option<PathBuf> {
        remove_left_behind(from);
        let own = from.join(format!("{PREFIX}{}", std::process::id()));
        fs::create_dir(&own).ok()?;
        self.folders.push(Folder { own: own.clone(), from: from.to_owned() });
        Some(own)
    }

    /// Moves processes in, with what they start from now on. A process that is gone is passed over.
    pub(crate) fn take_in(&self, pids: &[i32]) {
        for folder in &self.folders {
            move_into(&folder.own, pids);
        }
    }

    /// The processes in it.
    pub(crate) fn members(&self) -> Vec<i32> {
        self.folders.first().map(|folder| members(&folder.own)).unwrap_or_default()
    }

    /// Anonymous and shared memory, once each. The rest of what is charged to a group is page cache, which the kernel takes
    /// back when it needs to.
    pub(crate) fn held_bytes(&self) -> Option<u64> {
        let text = kernel::text(&self.memory.as_ref()?.join("memory.stat"))?;
        let of = |wanted: &str| {
            text.lines().find_map(|line| line.strip_prefix(wanted)?.strip_prefix(' ')?.parse::<u64>().ok())
        };
        // Version 1 counts the group alone without, and with what is below it under `total_`.
        let (anonymous, shared) = (of("total_rss"), of("total_shmem"));
        Some(anonymous.or_else(|| of("anon"))? + shared.or_else(|| of("shmem")).unwrap_or(0))
    }

    /// The most that was charged at a time, page cache included. What was there before the group was is not in it.
    pub(crate) fn charged_peak_bytes(&self) -> Option<u64> {
        let own = self.memory.as_ref()?;
        kernel::number(&own.join("memory.peak")).or_else(|| kernel::number(&own.join("memory.max_usage_in_bytes")))
    }

    pub(crate) fn oom_kills(&self) -> Option<u64> {
        kernel::oom_kills(self.memory.as_ref()?)
    }

    /// Stalls of these processes since the group was made, in microseconds.
    pub(crate) fn stalled_us(&self) -> [Option<u64>; 3] {
        let Some(own) = &self.unified else { return [None; 3] };
        kernel::stalled_us("some", |what| own.join(format!("{what}.pressure")))
    }
}

impl Drop for OwnGroup {
    fn drop(&mut self) {
        for folder in &self.folders {
            // Again for what is forked meanwhile; a group that cannot be emptied is removed by the next recorder.
            for _ in 0..3 {
                move_into(&folder.from, &members(&folder.own));
                if fs::remove_dir(&folder.own).is_ok() {
                    break;
                }
            }
        }
    }
}

fn charged(own: &Path) -> Option<u64> {
    kernel::number(&own.join("memory.current"))
}

fn members(group: &Path) -> Vec<i32> {
    let text = kernel::text(&group.join("cgroup.procs")).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

fn move_into(group: &Path, pids: &[i32]) {
    for pid in pids {
        let _ = fs::write(group.join("cgroup.procs"), pid.to_string());
    }
}

/// Groups of recorders that were killed. The kernel refuses to remove one that is not empty.
fn remove_left_behind(from: &Path) {
    for entry in fs::read_dir(from).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
        if owner.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            move_into(from, &members(&entry.path()));
            let _ = fs::remove_dir(entry.path());
        }
    }
}
