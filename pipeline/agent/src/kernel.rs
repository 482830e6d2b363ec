//! What the Linux kernel counts: pressure stalls, cgroup limits, throttled periods, OOM kills. Elsewhere: nothing.
//!
//! Sources: Documentation/accounting/psi.rst, admin-guide/cgroup-v2.rst, admin-guide/cgroup-v1/memory.rst,
//! scheduler/sched-bwc.rst, filesystems/proc.rst (mountinfo) of the kernel. A file that is missing or unreadable is a
//! figure that is absent.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

/// Limits above this mean "none": cgroup v1 writes the largest page count there is.
const UNLIMITED_BYTES: u64 = 1 << 60;

/// Where the kernel's files are; another root in tests.
#[derive(Clone, Debug)]
pub(crate) struct Kernel {
    root: PathBuf,
    /// `/proc/self/cgroup` and `/proc/self/mountinfo`, which are long and stay as they are.
    own_groups: String,
    mounts: String,
}

/// Whose stalls were counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub(crate) enum Scope {
    /// Every process of the machine.
    #[default]
    Machine,
    /// The control group the recorder was started in: a container, a service, a session.
    Group,
    /// The command's own control group.
    Tree,
}

impl Scope {
    pub(crate) fn name(self) -> &'static str {
        self.into()
    }
}

/// Counters at one moment, and the limits then in force.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Reading {
    /// Microseconds in which some task stalled on CPU, memory, I/O, so far.
    pub(crate) stalled_us: [Option<u64>; 3],
    /// Whose tasks these are.
    pub(crate) scope: Scope,
    /// The tightest CPU limit on the way to the root, in cores.
    pub(crate) cpu_limit_cores: Option<f64>,
    /// The tightest memory limit on the way to the root.
    pub(crate) memory_limit_bytes: Option<u64>,
    /// CFS periods and throttled ones of the group with the tightest CPU limit.
    pub(crate) periods: Option<(u64, u64)>,
    /// Processes of this group killed for want of memory.
    pub(crate) oom_kills: Option<u64>,
    /// Processes of the whole machine killed for want of memory.
    pub(crate) machine_oom_kills: Option<u64>,
}

impl Kernel {
    pub(crate) fn here() -> Self {
        Self::at(PathBuf::from("/"))
    }

    fn at(root: PathBuf) -> Self {
        let own = |name: &str| text(&root.join("proc/self").join(name)).unwrap_or_default();
        let (own_groups, mounts) = (own("cgroup"), own("mountinfo"));
        Self { root, own_groups, mounts }
    }

    pub(crate) fn proc(&self) -> PathBuf {
        self.root.join("proc")
    }

    pub(crate) fn read(&self) -> Reading {
        let cpu = self.groups("cpu");
        let memory = self.groups("memory");
        let tightest =
            cpu.iter().filter_map(|dir| Some((cpu_limit(dir)?, dir))).min_by(|(a, _), (b, _)| a.total_cmp(b));
        // The root group is the machine; only it has no type.
        let own = self.groups("").into_iter().next().filter(|dir| dir.join("cgroup.type").exists());
        let stalled = own.map(|dir| stalled_us("some", |what| dir.join(format!("{what}.pressure"))));
        let (stalled_us, scope) = match stalled {
            Some(stalled) if stalled.iter().any(Option::is_some) => (stalled, Scope::Group),
            _ => (stalled_us("some", |what| self.root.join("proc/pressure").join(what)), Scope::Machine),
        };
        Reading {
            stalled_us,
            scope,
            cpu_limit_cores: tightest.map(|(cores, _)| cores),
            memory_limit_bytes: memory.iter().filter_map(|dir| memory_limit(dir)).min(),
            periods: tightest.and_then(|(_, dir)| {
                let path = dir.join("cpu.stat");
                Some((keyed(&path, "nr_periods")?, keyed(&path, "nr_throttled")?))
            }),
            oom_kills: memory.first().and_then(|dir| oom_kills(dir)),
            machine_oom_kills: keyed(&self.root.join("proc/vmstat"), "oom_kill"),
        }
    }

    /// Memory that this process may use: the machine's, or the tightest limit on the way to the root. None: not told.
    pub(crate) fn memory_bytes(&self) -> Option<u64> {
        let meminfo = text(&self.root.join("proc/meminfo"));
        let total = meminfo.as_deref().and_then(|text| {
            let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
            line.trim().strip_suffix(" kB")?.parse::<u64>().ok()
        });
        let limits = self.groups("memory").into_iter().filter_map(|dir| memory_limit(&dir));
        limits.chain(total.map(|kib| kib << 10)).min()
    }

    /// The folders of this process's group and of its ancestors for a controller, nearest first. Without a name: those
    /// of version 2, which every process has a group in wherever it is mounted.
    ///
    /// A version 1 hierarchy of that controller comes before version 2: a controller is in one of them only. Inside a
    /// container the path may name the host's view, of which only a part is mounted: folders that do not exist are
    /// passed over.
    pub(crate) fn groups(&self, controller: &str) -> Vec<PathBuf> {
        let path_of = |wanted: &str| {
            self.own_groups.lines().find_map(|line| {
                let mut parts = line.splitn(3, ':').skip(1);
                let (names, path) = (parts.next()?, parts.next()?);
                names.split(',').any(|name| name == wanted).then_some(path)
            })
        };
        let below = |wanted: &str| {
            let path = path_of(wanted)?;
            let (at, from) = self.mounts.lines().find_map(|line| mount(line, wanted))?;
            // `from` is the group that is mounted there, `/` unless this is a container's view of the host.
            let rest = if from == "/" { path } else { path.strip_prefix(from).unwrap_or(path) };
            Some((self.root.join(at.trim_start_matches('/')), rest))
        };
        let Some((top, path)) = below(controller).or_else(|| below("")) else { return Vec::new() };
        let own = top.join(path.trim_start_matches('/'));
        own.ancestors().take_while(|dir| dir.starts_with(&top)).filter(|d| d.is_dir()).map(Path::to_owned).collect()
    }
}

/// Mount point and mounted group of a line of `mountinfo`, if it is a hierarchy of that controller (none: version 2).
fn mount<'t>(line: &'t str, controller: &str) -> Option<(&'t str, &'t str)> {
    let (what, how) = line.split_once(" - ")?;
    let mut how = how.split(' ');
    let (kind, options) = (how.next()?, how.nth(1)?);
    let fits = match kind {
        "cgroup2" => controller.is_empty(),
        "cgroup" => !controller.is_empty() && options.split(',').any(|option| option == controller),
        _ => false,
    };
    let mut what = what.split(' ').skip(3);
    let (from, at) = (what.next()?, what.next()?);
    fits.then_some((at, from))
}

/// A file of the kernel: with few and large reads, because each makes the kernel write the text anew up to there.
pub(crate) fn text(path: &Path) -> Option<String> {
    let mut file = File::open(path).ok()?;
    let mut bytes = vec![0; 4096];
    let mut length = 0;
    loop {
        match file.read(&mut bytes[length..]) {
            Ok(0) => break,
            Ok(more) => length += more,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
        if length == bytes.len() {
            bytes.resize(4 * length, 0);
        }
    }
    bytes.truncate(length);
    // A process may call itself anything.
    Some(String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
}

/// Microseconds of stalls on CPU, memory, I/O: of `some` task, or of all (`full`).
pub(crate) fn stalled_us(whose: &str, path: impl Fn(&str) -> PathBuf) -> [Option<u64>; 3] {
    ["cpu", "memory", "io"].map(|what| {
        let text = text(&path(what))?;
        let line = text.lines().find(|line| line.starts_with(whose))?;
        line.split_once("total=")?.1.trim().parse().ok()
    })
}

pub(crate) fn oom_kills(group: &Path) -> Option<u64> {
    let events = ["memory.events", "memory.oom_control"];
    events.into_iter().find_map(|file| keyed(&group.join(file), "oom_kill"))
}

pub(crate) fn cpu_limit(dir: &Path) -> Option<f64> {
    let (quota, period): (f64, f64) = match text(&dir.join("cpu.max")) {
        Some(text) => {
            let mut parts = text.split_whitespace();
            (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?) // `max 100000` does not parse: no limit
        }
        None => (number(&dir.join("cpu.cfs_quota_us"))?, number(&dir.join("cpu.cfs_period_us"))?),
    };
    (quota > 0.0 && period > 0.0).then(|| quota / period)
}

pub(crate) fn memory_limit(dir: &Path) -> Option<u64> {
    let limit = number(&dir.join("memory.max")).or_else(|| number(&dir.join("memory.limit_in_bytes")))?;
    (limit < UNLIMITED_BYTES).then_some(limit)
}

pub(crate) fn number<T: std::str::FromStr>(path: &Path) -> Option<T> {
    text(path)?.trim().parse().ok()
}

pub(crate) fn keyed(path: &Path, key: &str) -> Option<u64> {
    let text = text(path)?;
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn machine(files: &[(&str, &str)]) -> (tempfile::TempDir, Reading) {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let reading = Kernel::at(dir.path().to_owned()).read();
        (dir, reading)
    }

    #[test]
    fn the_memory_that_may_be_used_is_the_machines_or_the_tightest_limit() {
        let machine = |files: &[(&str, &str)]| {
            let (dir, _) = machine(files);
            Kernel::at(dir.path().to_owned()).memory_bytes()
        };
        let total = ("proc/meminfo", "MemTotal:       24635432 kB\nMemFree:  1 kB\n");
        assert_eq!(machine(&[total]), Some(24_635_432 << 10));
        let groups = ("proc/self/cgroup", "0::/slice/job\n");
        let mounts = ("proc/self/mountinfo", "42 30 0:39 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
        let limit = ("sys/fs/cgroup/slice/job/memory.max", "1073741824\n");
        assert_eq!(machine(&[total, groups, mounts, limit]), Some(1 << 30));
        assert_eq!(machine(&[]), None);
    }

    const V1_OF_A_CONTAINER: &str = "\
31 30 0:27 /docker/abc /sys/fs/cgroup/cpu,cpuacct ro,relatime - cgroup cgroup rw,cpu,cpuacct
32 30 0:28 /docker/abc /sys/fs/cgroup/memory ro,relatime master:9 - cgroup cgroup rw,memory
";

    #[test]
    fn the_stalls_of_the_group_come_before_those_of_the_machine() {
        let (_dir, reading) = machine(&[
            ("proc/pressure/cpu", "some avg10=1.00 avg60=0.00 avg300=0.00 total=700\n"),
            ("proc/self/mountinfo", "42 30 0:39 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"),
            ("proc/self/cgroup", "2:cpu:/\n0::/job\n"),
            ("sys/fs/cgroup/unified/job/cgroup.type", "domain\n"),
            ("sys/fs/cgroup/unified/job/cpu.pressure", "some avg10=0.00 avg60=0.00 avg300=0.00 total=5\n"),
        ]);
        assert_eq!((reading.stalled_us[0], reading.scope), (Some(5), Scope::Group));
    }

    #[test]
    fn version_2_takes_the_tightest_limit_on_the_way_up() {
        let (_dir, reading) = machine(&[
            ("proc/pressure/cpu", "some avg10=1.00 avg60=0.00 avg300=0.00 total=700\nfull avg10=0.00 total=9\n"),
            ("proc/self/mountinfo", "30 24 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"),
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
            ("proc/self/mountinfo", V1_OF_A_CONTAINER),
            ("proc/self/cgroup", "4:memory:/docker/abc\n2:cpu,cpuacct:/docker/abc\n0::/\n"),
            ("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "50000\n"),
            ("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n"),
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
        let (_dir, reading) = machine(&[
            ("proc/self/mountinfo", V1_OF_A_CONTAINER),
            ("proc/self/cgroup", "2:cpu,cpuacct:/docker/abc\n"),
            ("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n"),
        ]);
        assert_eq!(reading.cpu_limit_cores, None);
    }
}
