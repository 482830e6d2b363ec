//! What the kernel holds a container to, from its control groups: version 1, version 2, and machines that have both.
//!
//! Sources: Documentation/admin-guide/cgroup-v2.rst, cgroup-v1/memory.rst and scheduler/sched-bwc.rst of the kernel.

use super::limits::Held;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// What version 1 shows for no limit is the largest number of pages in bytes; pages may be larger than 4 KiB.
const UNLIMITED: i64 = 1 << 62;

/// The folders of one container.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Group {
    /// One folder for all.
    Two(PathBuf),
    /// One for each controller.
    One { cpu: Option<PathBuf>, memory: Option<PathBuf>, io: Option<PathBuf> },
}

impl Group {
    /// Where the kernel has the container whose first process is `pid`; none when it is on another machine, which is seen by
    /// its name not being in the path.
    pub(super) fn find(root: &Path, pid: i64, id: &str) -> Option<Self> {
        let text = fs::read_to_string(root.join(format!("proc/{pid}/cgroup"))).ok()?;
        let mount = root.join("sys/fs/cgroup");
        let (mut cpu, mut memory, mut io, mut unified) = (None, None, None, None);
        for line in text.lines() {
            let mut parts = line.splitn(3, ':').skip(1);
            let (Some(names), Some(path)) = (parts.next(), parts.next()) else { continue };
            if !path.contains(id.get(..12)?) {
                continue;
            }
            let path = path.trim_start_matches('/');
            let place = |name: &str| {
                let own = [names, name].map(|mount_name| mount.join(mount_name).join(path));
                own.into_iter().find(|dir| dir.is_dir())
            };
            for name in names.split(',') {
                match name {
                    "cpu" => cpu = place(name),
                    "memory" => memory = place(name),
                    "blkio" => io = place(name),
                    // On a machine that has both versions, the limits are where the controllers are: in version 1.
                    "" if mount.join("cgroup.controllers").exists() => {
                        unified = Some(mount.join(path)).filter(|dir| dir.is_dir());
                    }
                    _ => {}
                }
            }
        }
        match unified {
            Some(dir) => Some(Self::Two(dir)),
            None if cpu.is_some() || memory.is_some() => Some(Self::One { cpu, memory, io }),
            None => None,
        }
    }

    /// The limits. None where they cannot be read whole: the container may have ended.
    pub(super) fn read(&self) -> Option<Held> {
        match self {
            Self::Two(dir) => {
                let text = fs::read_to_string(dir.join("cpu.max")).ok()?;
                let (quota, period) = text.trim().split_once(' ')?;
                let cpu = if quota == "max" { None } else { Some((quota.parse().ok()?, period.parse().ok()?)) };
                let memory = or_max(&dir.join("memory.max"))?;
                // Without swap accounting there is no such file.
                let swap = or_max(&dir.join("memory.swap.max")).flatten();
                // The Engine says memory and swap together.
                let swap = memory.zip(swap).map(|(memory, swap)| memory.saturating_add(swap));
                Some(Held { cpu, memory, swap })
            }
            Self::One { cpu, memory, .. } => {
                let limit = |bytes: i64| Some(bytes).filter(|bytes| *bytes < UNLIMITED);
                let cpu = match cpu {
                    Some(dir) => {
                        let quota: i64 = number(&dir.join("cpu.cfs_quota_us"))?;
                        let period = number(&dir.join("cpu.cfs_period_us"))?;
                        (quota > 0).then_some((quota, period))
                    }
                    None => None,
                };
                let (memory, swap) = match memory {
                    Some(dir) => (
                        limit(number(&dir.join("memory.limit_in_bytes"))?),
                        number(&dir.join("memory.memsw.limit_in_bytes")).and_then(limit),
                    ),
                    None => (None, None),
                };
                Some(Held { cpu, memory, swap })
            }
        }
    }

    /// Its share of the disk; none where the kernel has no such weights, or not in the scale of the Engine (10 to 1000): an
    /// Engine discards weights for want of `blkio.weight` in version 1, and converts them to another scale for `io.weight`.
    pub(super) fn io_weight(&self) -> Option<i64> {
        let file = match self {
            Self::Two(dir) => dir.join("io.bfq.weight"),
            Self::One { io, .. } => io.as_ref()?.join("blkio.weight"),
        };
        // `100`, or `default 100` and lines for devices.
        let text = fs::read_to_string(file).ok()?;
        text.lines().next()?.trim().trim_start_matches("default").trim().parse().ok()
    }

    /// Kills for want of memory since it began.
    pub(super) fn oom_kills(&self) -> Option<u64> {
        let file = match self {
            Self::Two(dir) => dir.join("memory.events"),
            Self::One { memory, .. } => memory.as_ref()?.join("memory.oom_control"),
        };
        fs::read_to_string(file).ok()?.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
    }
}

fn number<T: FromStr>(path: &Path) -> Option<T> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// A figure, or `max`.
fn or_max(path: &Path) -> Option<Option<i64>> {
    let text = fs::read_to_string(path).ok()?;
    match text.trim() {
        "max" => Some(None),
        figure => figure.parse().ok().map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn machine(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path.replace("ID", ID));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text.replace("ID", ID)).unwrap();
        }
        dir
    }

    #[test]
    fn version_2_says_swap_alone() {
        let dir = machine(&[
            ("proc/7/cgroup", "0::/system.slice/docker-ID.scope\n"),
            ("sys/fs/cgroup/cgroup.controllers", "cpu memory"),
            ("sys/fs/cgroup/system.slice/docker-ID.scope/cpu.max", "25000 50000\n"),
            ("sys/fs/cgroup/system.slice/docker-ID.scope/memory.max", "67108864\n"),
            ("sys/fs/cgroup/system.slice/docker-ID.scope/memory.swap.max", "33554432\n"),
            ("sys/fs/cgroup/system.slice/docker-ID.scope/memory.events", "oom 3\noom_kill 2\n"),
        ]);
        let group = Group::find(dir.path(), 7, ID).unwrap();
        let want = Held { cpu: Some((25_000, 50_000)), memory: Some(64 << 20), swap: Some(96 << 20) };
        assert_eq!((group.read(), group.oom_kills()), (Some(want), Some(2)));
        let folder = dir.path().join(format!("sys/fs/cgroup/system.slice/docker-{ID}.scope"));
        for (name, text) in [("cpu.max", "max 100000"), ("memory.max", "max"), ("memory.swap.max", "max")] {
            fs::write(folder.join(name), text).unwrap();
        }
        assert_eq!(group.read(), Some(Held::default()));
        fs::remove_dir_all(folder).unwrap();
        assert_eq!(group.read(), None, "it has ended");
    }

    #[test]
    fn version_1_and_machines_with_both_have_a_folder_for_each() {
        let dir = machine(&[
            ("proc/7/cgroup", "4:memory:/docker/ID\n2:cpu,cpuacct:/docker/ID\n0::/docker/ID\n"),
            ("proc/8/cgroup", "0::/user.slice\n"),
            ("sys/fs/cgroup/unified/docker/ID/cgroup.procs", ""),
            ("sys/fs/cgroup/cpu,cpuacct/docker/ID/cpu.cfs_quota_us", "-1\n"),
            ("sys/fs/cgroup/cpu,cpuacct/docker/ID/cpu.cfs_period_us", "100000\n"),
            ("sys/fs/cgroup/memory/docker/ID/memory.limit_in_bytes", "67108864\n"),
            ("sys/fs/cgroup/memory/docker/ID/memory.memsw.limit_in_bytes", "9223372036854771712\n"),
            ("sys/fs/cgroup/memory/docker/ID/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n"),
        ]);
        let group = Group::find(dir.path(), 7, ID).unwrap();
        assert_eq!(group.read(), Some(Held { cpu: None, memory: Some(64 << 20), swap: None }));
        assert_eq!(group.oom_kills(), Some(1));
        assert_eq!(Group::find(dir.path(), 8, ID), None);
        assert_eq!(Group::find(dir.path(), 9, ID), None);
    }
}
