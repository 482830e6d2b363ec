//! What the Linux kernel counts: pressure stalls, cgroup limits, throttled periods, OOM kills. Elsewhere: nothing.
//!
//! Sources: Documentation/accounting/psi.rst, admin-guide/cgroup-v2.rst, admin-guide/cgroup-v1/memory.rst,
//! scheduler/sched-bwc.rst of the kernel. A file that is missing or unreadable is a figure that is absent.

use std::fs;
use std::path::{Path, PathBuf};

/// Limits above this mean "none": cgroup v1 writes the largest page count there is.
const UNLIMITED_BYTES: u64 = 1 << 60;

/// Where the kernel's files are; another root in tests.
pub(crate) struct Kernel {
    root: PathBuf,
}

/// Counters at one moment, and the limits then in force.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Reading {
    /// Microseconds in which some task stalled on CPU, memory, I/O, since boot, on the whole machine.
    pub(crate) stalled_us: [Option<u64>; 3],
    /// The tightest CPU limit on the way to the root, in cores.
    pub(crate) cpu_limit_cores: Option<f64>,
    /// The tightest memory limit on the way to the root.
    pub(crate) memory_limit_bytes: Option<u64>,
    /// CFS periods and throttled ones of the group with the tightest CPU limit.
    pub(crate) periods: Option<(u64, u64)>,
    /// Processes of this group killed for want of memory.
    pub(crate) oom_kills: Option<u64>,
}

impl Kernel {
    pub(crate) fn here() -> Self {
        Self { root: PathBuf::from("/") }
    }

    pub(crate) fn read(&self) -> Reading {
        let cpu = self.groups("cpu");
        let memory = self.groups("memory");
        let tightest =
            cpu.iter().filter_map(|dir| Some((cpu_limit(dir)?, dir))).min_by(|(a, _), (b, _)| a.total_cmp(b));
        Reading {
            stalled_us: ["cpu", "memory", "io"].map(|what| self.stalled_us(what)),
            cpu_limit_cores: tightest.map(|(cores, _)| cores),
            memory_limit_bytes: memory.iter().filter_map(|dir| memory_limit(dir)).min(),
            periods: tightest.and_then(|(_, dir)| {
                let path = dir.join("cpu.stat");
                Some((keyed(&path, "nr_periods")?, keyed(&path, "nr_throttled")?))
            }),
            oom_kills: memory.first().and_then(|dir| {
                keyed(&dir.join("memory.events"), "oom_kill")
                    .or_else(|| keyed(&dir.join("memory.oom_control"), "oom_kill"))
            }),
        }
    }

    fn stalled_us(&self, what: &str) -> Option<u64> {
        let text = fs::read_to_string(self.root.join("proc/pressure").join(what)).ok()?;
        let some = text.lines().find(|line| line.starts_with("some "))?;
        some.split_once("total=")?.1.trim().parse().ok()
    }

    /// The folders of this process's group and of its ancestors for a controller, nearest first.
    ///
    /// Inside a container the path may name the host's view, of which only an ancestor is mounted: folders that do
    /// not exist are passed over.
    fn groups(&self, controller: &str) -> Vec<PathBuf> {
        let text = fs::read_to_string(self.root.join("proc/self/cgroup")).unwrap_or_default();
        let mut v2 = None;
        let mut v1 = None;
        for line in text.lines() {
            let mut parts = line.splitn(3, ':').skip(1);
            let (Some(names), Some(path)) = (parts.next(), parts.next()) else { continue };
            if names.is_empty() {
                v2 = Some(path);
            } else if names.split(',').any(|name| name == controller) {
                v1 = Some(path);
            }
        }
        let mount = self.root.join("sys/fs/cgroup");
        let (mount, path) = match (v1, v2) {
            (Some(path), _) => (mount.join(controller), path),
            (None, Some(path)) => (mount, path),
            (None, None) => return Vec::new(),
        };
        let own = mount.join(path.trim_start_matches('/'));
        own.ancestors().take_while(|dir| dir.starts_with(&mount)).filter(|d| d.is_dir()).map(Path::to_owned).collect()
    }
}

fn cpu_limit(dir: &Path) -> Option<f64> {
    let (quota, period): (f64, f64) = match fs::read_to_string(dir.join("cpu.max")) {
        Ok(text) => {
            let mut parts = text.split_whitespace();
            (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?) // `max 100000` does not parse: no limit
        }
        Err(_) => (number(&dir.join("cpu.cfs_quota_us"))?, number(&dir.join("cpu.cfs_period_us"))?),
    };
    (quota > 0.0 && period > 0.0).then(|| quota / period)
}

fn memory_limit(dir: &Path) -> Option<u64> {
    let limit = number(&dir.join("memory.max")).or_else(|| number(&dir.join("memory.limit_in_bytes")))?;
    (limit < UNLIMITED_BYTES).then_some(limit)
}

fn number<T: std::str::FromStr>(path: &Path) -> Option<T> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn keyed(path: &Path, key: &str) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(files: &[(&str, &str)]) -> (tempfile::TempDir, Reading) {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let reading = Kernel { root: dir.path().to_owned() }.read();
        (dir, reading)
    }

    #[test]
    fn version_2_takes_the_tightest_limit_on_the_way_up() {
        let (_dir, reading) = machine(&[
            ("proc/pressure/cpu", "some avg10=1.00 avg60=0.00 avg300=0.00 total=700\nfull avg10=0.00 total=9\n"),
            ("proc/self/cgroup", "0::/slice/job\n"),
            ("sys/fs/cgroup/slice/job/cpu.max", "max 100000\n"),
            ("sys/fs/cgroup/slice/job/memory.max", "1073741824\n"),
            ("sys/fs/cgroup/slice/job/memory.events", "oom 4\noom_kill 3\n"),
            ("sys/fs/cgroup/slice/cpu.max", "150000 100000\n"),
            ("sys/fs/cgroup/slice/cpu.stat", "usage_usec 1\nnr_periods 20\nnr_throttled 5\n"),
            ("sys/fs/cgroup/slice/memory.max", "max\n"),
        ]);
        assert_eq!(reading.stalled_us, [Some(700), None, None]);
        assert_eq!(reading.cpu_limit_cores, Some(1.5));
        assert_eq!(reading.memory_limit_bytes, Some(1 << 30));
        assert_eq!(reading.periods, Some((20, 5)));
        assert_eq!(reading.oom_kills, Some(3));
    }

    #[test]
    fn version_1_limits_are_read_from_what_is_mounted() {
        let (_dir, reading) = machine(&[
            ("proc/self/cgroup", "4:memory:/docker/abc\n2:cpu,cpuacct:/docker/abc\n0::/\n"),
            ("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "50000\n"),
            ("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("sys/fs/cgroup/memory/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n"),
        ]);
        assert_eq!(reading.cpu_limit_cores, Some(0.5));
        assert_eq!(reading.memory_limit_bytes, None);
        assert_eq!(reading.oom_kills, Some(2));
    }

    #[test]
    fn no_limit_and_no_kernel_are_absent() {
        let (_dir, reading) = machine(&[]);
        assert_eq!(reading, Reading::default());
        let (_dir, reading) =
            machine(&[("proc/self/cgroup", "2:cpu:/\n"), ("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n")]);
        assert_eq!(reading.cpu_limit_cores, None);
    }
}
