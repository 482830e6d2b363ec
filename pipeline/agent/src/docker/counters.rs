//! What a container has used so far: from the Engine's answer, and from the kernel's files where this is its machine.
//!
//! Sources: Documentation/admin-guide/cgroup-v2.rst, cgroup-v1/memory.rst, scheduler/sched-bwc.rst, accounting/psi.rst
//! of the kernel. The working set is usage less inactive file pages, as in cAdvisor and `docker stats`.

use super::kills::Kills;
use crate::kernel::{keyed, number, oom_kills, stalled_us};
use bollard::models::{ContainerBlkioStatEntry, ContainerStatsResponse};
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Processes of one container that are compared.
const PROCESSES_MOST: usize = 1024;
/// The kernel counts a process's time in hundredths of a second on every machine it tells us about.
const TICKS_PER_S: f64 = 100.0;

/// Counters since the container began, and its memory now. Absent: not known here.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Counters {
    pub(super) cpu_ns: Option<u64>,
    pub(super) periods: Option<u64>,
    pub(super) throttled: Option<u64>,
    pub(super) memory_bytes: Option<u64>,
    /// The largest it ever was, file pages included.
    pub(super) highest_bytes: Option<u64>,
    pub(super) oom_kills: Option<u64>,
    pub(super) io: Option<[u64; 2]>,
    pub(super) net: Option<[u64; 2]>,
    /// Microseconds of stalls: CPU, memory, I/O; some, full.
    pub(super) stalls_us: [Option<u64>; 6],
}

impl Counters {
    /// Of a container that begins.
    pub(super) fn nothing() -> Self {
        Self {
            cpu_ns: Some(0),
            periods: Some(0),
            throttled: Some(0),
            oom_kills: Some(0),
            io: Some([0; 2]),
            net: Some([0; 2]),
            stalls_us: [Some(0); 6],
            ..Self::default()
        }
    }

    /// As the Engine answers.
    pub(super) fn of(stats: &ContainerStatsResponse) -> Self {
        let cpu = stats.cpu_stats.as_ref();
        let throttling = cpu.and_then(|cpu| cpu.throttling_data.as_ref());
        let memory = stats.memory_stats.as_ref();
        let inactive = memory
            .and_then(|memory| memory.stats.as_ref())
            .and_then(|all| all.get("total_inactive_file").or_else(|| all.get("inactive_file")).copied());
        let io = stats.blkio_stats.as_ref().and_then(|io| io.io_service_bytes_recursive.as_ref());
        let sum = |entries: &Vec<ContainerBlkioStatEntry>, op: &str| -> u64 {
            let of =
                |entry: &&ContainerBlkioStatEntry| entry.op.as_deref().is_some_and(|it| it.eq_ignore_ascii_case(op));
            entries.iter().filter(of).filter_map(|entry| entry.value).sum()
        };
        let usage = memory.and_then(|memory| memory.usage);
        Self {
            // A container that is ending answers with zeros.
            cpu_ns: cpu.and_then(|cpu| cpu.cpu_usage.as_ref()?.total_usage).filter(|ns| *ns > 0),
            periods: throttling.and_then(|it| it.periods),
            throttled: throttling.and_then(|it| it.throttled_periods),
            memory_bytes: usage.map(|usage| usage.saturating_sub(inactive.unwrap_or(0))),
            highest_bytes: memory.and_then(|memory| memory.max_usage).filter(|bytes| *bytes > 0),
            oom_kills: None,
            io: io.map(|entries| [sum(entries, "read"), sum(entries, "write")]),
            net: stats.networks.as_ref().filter(|networks| !networks.is_empty()).map(|networks| {
                let sum = |of: fn(&bollard::models::ContainerNetworkStats) -> Option<u64>| {
                    networks.values().filter_map(of).sum()
                };
                [sum(|it| it.rx_bytes), sum(|it| it.tx_bytes)]
            }),
            stalls_us: [None; 6],
        }
    }

    /// These, and what only `other` knows.
    pub(super) fn or(self, other: Self) -> Self {
        let mut stalls_us = self.stalls_us;
        for (mine, theirs) in stalls_us.iter_mut().zip(other.stalls_us) {
            *mine = mine.or(theirs);
        }
        Self {
            cpu_ns: self.cpu_ns.or(other.cpu_ns),
            periods: self.periods.or(other.periods),
            throttled: self.throttled.or(other.throttled),
            memory_bytes: self.memory_bytes.or(other.memory_bytes),
            highest_bytes: self.highest_bytes.or(other.highest_bytes),
            oom_kills: self.oom_kills.or(other.oom_kills),
            io: self.io.or(other.io),
            net: self.net.or(other.net),
            stalls_us,
        }
    }
}

/// The control groups of a container on this machine, by what is read from them.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Group {
    cpu: Option<PathBuf>,
    account: Option<PathBuf>,
    memory: Option<PathBuf>,
    /// Version 2; on a machine that has both, the one with the stalls.
    unified: Option<PathBuf>,
    /// Where the kernel does not add up the kills of nested groups.
    kills: Option<Kills>,
    proc: PathBuf,
}

impl Group {
    /// Where the kernel has the container whose first process is `pid`; none when it is on another machine, which is
    /// seen by its name not being in the path.
    pub(super) fn find(root: &Path, pid: i64, id: &str) -> Option<Self> {
        let text = fs::read_to_string(root.join(format!("proc/{pid}/cgroup"))).ok()?;
        let mount = root.join("sys/fs/cgroup");
        let only_v2 = mount.join("cgroup.controllers").exists();
        let mounts = fs::read_to_string(root.join("proc/self/mountinfo")).unwrap_or_default();
        let is_local = mounts.lines().any(|line| line.contains(" - cgroup2 ") && line.contains("memory_localevents"));
        let proc = root.join("proc");
        let mut group = Self { cpu: None, account: None, memory: None, unified: None, kills: None, proc };
        for line in text.lines() {
            let mut parts = line.splitn(3, ':').skip(1);
            let (Some(names), Some(path)) = (parts.next(), parts.next()) else { continue };
            if !path.contains(id.get(..12)?) {
                continue;
            }
            let path = path.trim_start_matches('/');
            if names.is_empty() {
                let mount = if only_v2 { mount.clone() } else { mount.join("unified") };
                group.unified = Some(mount.join(path)).filter(|dir| dir.is_dir());
                continue;
            }
            let place = |name: &str| {
                let own = [names, name].map(|mount_name| mount.join(mount_name).join(path));
                own.into_iter().find(|dir| dir.is_dir())
            };
            for name in names.split(',') {
                match name {
                    "cpu" => group.cpu = place(name),
                    "cpuacct" => group.account = place(name),
                    "memory" => group.memory = place(name),
                    _ => {}
                }
            }
        }
        group.kills = (group.memory.is_some() || is_local).then(Kills::default);
        (group.memory.is_some() || group.unified.is_some()).then_some(group)
    }

    /// As the kernel counts. All absent once the container has ended.
    pub(super) fn read(&mut self) -> Counters {
        let mut counters = Counters::default();
        if let Some(dir) = &self.unified {
            let cpu = dir.join("cpu.stat");
            counters.cpu_ns = self.account.is_none().then(|| keyed(&cpu, "usage_usec").map(|us| us * 1000)).flatten();
            (counters.periods, counters.throttled) = (keyed(&cpu, "nr_periods"), keyed(&cpu, "nr_throttled"));
            counters.memory_bytes = working_set(dir, "memory.current", "inactive_file");
            counters.highest_bytes = number(&dir.join("memory.peak"));
            counters.oom_kills = match &mut self.kills {
                Some(kills) => kills.of_tree(dir),
                None => oom_kills(dir),
            };
            let stalls = ["some", "full"].map(|whose| stalled_us(whose, |what| dir.join(format!("{what}.pressure"))));
            counters.stalls_us = std::array::from_fn(|at| stalls[at % 2][at / 2]);
        }
        if let Some(dir) = &self.account {
            counters.cpu_ns = number(&dir.join("cpuacct.usage"));
        }
        if let Some(dir) = &self.cpu {
            let cpu = dir.join("cpu.stat");
            (counters.periods, counters.throttled) = (keyed(&cpu, "nr_periods"), keyed(&cpu, "nr_throttled"));
        }
        if let Some(dir) = &self.memory {
            counters.memory_bytes = working_set(dir, "memory.usage_in_bytes", "total_inactive_file");
            counters.highest_bytes = number(&dir.join("memory.max_usage_in_bytes"));
            counters.oom_kills = self.kills.as_mut().and_then(|kills| kills.of_tree(dir));
        }
        counters
    }

    /// Seconds of CPU of each process by its number and start.
    pub(super) fn processes(&self) -> Processes {
        let mut ids = Vec::new();
        let mut folders: Vec<PathBuf> = self.memory.iter().chain(&self.unified).take(1).cloned().collect();
        while let Some(folder) = folders.pop() {
            let text = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
            ids.extend(text.lines().filter_map(|line| line.parse::<u32>().ok()));
            if ids.len() >= PROCESSES_MOST {
                break;
            }
            let below = fs::read_dir(&folder).into_iter().flatten().filter_map(Result::ok);
            folders.extend(
                below.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()),
            );
        }
        let read = |id: u32| {
            let stat = fs::read_to_string(self.proc.join(format!("{id}/stat"))).ok()?;
            // The name stands in brackets and may hold any character.
            let (head, rest) = stat.rsplit_once(')')?;
            let name = head.split_once('(')?.1.to_owned();
            let fields: Vec<&str> = rest.split_whitespace().collect();
            let ticks = |at: usize| fields.get(at)?.parse::<u64>().ok();
            let process = Process { name, cpu_s: (ticks(11)? + ticks(12)?) as f64 / TICKS_PER_S };
            Some(((id, ticks(19)?), process))
        };
        Processes { at: Instant::now(), all: ids.into_iter().filter_map(read).collect(), proc: self.proc.clone() }
    }
}

/// The processes of a container at one moment.
pub(super) struct Processes {
    at: Instant,
    all: HashMap<(u32, u64), Process>,
    proc: PathBuf,
}

struct Process {
    name: String,
    cpu_s: f64,
}

/// The process that used most CPU since the moment before.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Heaviest {
    /// Its name alone: what it was called with may be a secret.
    pub(super) name: String,
    pub(super) cpu_cores: f64,
    pub(super) memory_bytes: Option<u64>,
}

impl Processes {
    pub(super) fn heaviest_since(&self, before: &Self) -> Option<Heaviest> {
        let seconds = self.at.duration_since(before.at).as_secs_f64();
        let used = |key: &(u32, u64), process: &Process| {
            process.cpu_s - before.all.get(key).map_or(0.0, |before| before.cpu_s)
        };
        let all = self.all.iter().map(|(key, process)| (used(key, process), key, process));
        let (cpu_s, (id, _), process) = all.max_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(a.1)))?;
        let status = fs::read_to_string(self.proc.join(format!("{id}/status"))).unwrap_or_default();
        let kib = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
        Some(Heaviest {
            name: process.name.clone(),
            cpu_cores: if seconds > 0.0 { cpu_s.max(0.0) / seconds } else { 0.0 },
            memory_bytes: kib.map(|kib| kib * 1024),
        })
    }
}

/// What is charged less the file pages that the kernel takes back first.
fn working_set(dir: &Path, usage: &str, inactive: &str) -> Option<u64> {
    let bytes: u64 = number(&dir.join(usage))?;
    Some(bytes.saturating_sub(keyed(&dir.join("memory.stat"), inactive).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

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
    fn version_2_has_everything_in_one_folder() {
        let dir = machine(&[
            ("proc/7/cgroup", "0::/system.slice/docker-ID.scope\n"),
            ("proc/41/stat", "41 (a) b)) S 1 1 1 0 -1 0 0 0 0 0 150 50 0 0 20 0 1 0 777 0"),
            ("proc/41/status", "Name:\ta\nVmRSS:\t    2048 kB\n"),
            ("sys/fs/cgroup/cgroup.controllers", "cpu memory"),
            ("sys/fs/cgroup/system.slice/docker-ID.scope/cgroup.procs", "41\n"),
            ("sys/fs/cgroup/system.slice/docker-ID.scope/cpu.stat", "usage_usec 5000\nnr_periods 10\nnr_throttled 4\n"),
            ("sys/fs/cgroup/system.slice/docker-ID.scope/memory.current", "1000\n"),
            ("sys/fs/cgroup/system.slice/docker-ID.scope/memory.peak", "3000\n"),
            ("sys/fs/cgroup/system.slice/docker-ID.scope/memory.stat", "anon 1\ninactive_file 300\n"),
            ("sys/fs/cgroup/system.slice/docker-ID.scope/memory.events", "oom 3\noom_kill 2\n"),
            (
                "sys/fs/cgroup/system.slice/docker-ID.scope/io.pressure",
                "some avg10=0.00 total=11\nfull avg10=0.00 total=7\n",
            ),
        ]);
        let mut group = Group::find(dir.path(), 7, ID).unwrap();
        let got = group.read();
        assert_eq!((got.cpu_ns, got.periods, got.throttled), (Some(5_000_000), Some(10), Some(4)));
        assert_eq!((got.memory_bytes, got.highest_bytes, got.oom_kills), (Some(700), Some(3000), Some(2)));
        assert_eq!(got.stalls_us, [None, None, None, None, Some(11), Some(7)]);
        let none = Processes { at: Instant::now(), all: HashMap::new(), proc: dir.path().to_owned() };
        let heaviest = group.processes().heaviest_since(&none).unwrap();
        assert_eq!((heaviest.name.as_str(), heaviest.memory_bytes), ("a) b)", Some(2 << 20)));
    }

    #[test]
    fn version_1_has_a_folder_for_each_and_another_machine_has_none() {
        let dir = machine(&[
            ("proc/7/cgroup", "4:memory:/docker/ID\n3:cpuacct:/docker/ID\n2:cpu:/docker/ID\n0::/\n"),
            ("proc/8/cgroup", "0::/user.slice\n"),
            ("sys/fs/cgroup/cpu/docker/ID/cpu.stat", "nr_periods 8\nnr_throttled 2\nthrottled_time 5\n"),
            ("sys/fs/cgroup/cpuacct/docker/ID/cpuacct.usage", "123\n"),
            ("sys/fs/cgroup/memory/docker/ID/memory.usage_in_bytes", "900\n"),
            ("sys/fs/cgroup/memory/docker/ID/memory.max_usage_in_bytes", "950\n"),
            ("sys/fs/cgroup/memory/docker/ID/memory.stat", "inactive_file 1\ntotal_inactive_file 100\n"),
            ("sys/fs/cgroup/memory/docker/ID/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n"),
        ]);
        let got = Group::find(dir.path(), 7, ID).unwrap().read();
        let want = Counters {
            cpu_ns: Some(123),
            periods: Some(8),
            throttled: Some(2),
            memory_bytes: Some(800),
            highest_bytes: Some(950),
            oom_kills: Some(1),
            ..Counters::default()
        };
        assert_eq!(got, want);
        assert_eq!(Group::find(dir.path(), 8, ID), None);
        assert_eq!(Group::find(dir.path(), 9, ID), None);
    }

    #[test]
    fn the_answer_of_the_engine_is_read() {
        let stats: ContainerStatsResponse = serde_json::from_value(json!({
            "read": "2026-10-01T00:00:00Z",
            "cpu_stats": {"cpu_usage": {"total_usage": 5}, "throttling_data": {"periods": 4, "throttled_periods": 1}},
            "memory_stats": {"usage": 100, "max_usage": 150, "limit": 1000, "stats": {"inactive_file": 30}},
            "blkio_stats": {"io_service_bytes_recursive": [
                {"major": 1, "minor": 0, "op": "Read", "value": 7}, {"major": 2, "minor": 0, "op": "read", "value": 1},
                {"major": 1, "minor": 0, "op": "Write", "value": 9}]},
            "networks": {"eth0": {"rx_bytes": 3, "tx_bytes": 4}, "eth1": {"rx_bytes": 1, "tx_bytes": 1}},
        }))
        .unwrap();
        let got = Counters::of(&stats);
        assert_eq!((got.cpu_ns, got.memory_bytes, got.highest_bytes), (Some(5), Some(70), Some(150)));
        assert_eq!((got.io, got.net), (Some([8, 9]), Some([4, 5])));
        assert_eq!((got.periods, got.throttled), (Some(4), Some(1)));
    }
}
