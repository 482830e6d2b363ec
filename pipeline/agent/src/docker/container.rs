//! One container: what it is called, what it is allowed, what it used since its last sample.

use super::counters::{Counters, Group, Processes};
use crate::collect::event;
use bollard::models::{ContainerInspectResponse, HostConfig};
use domain::Timestamp;
use domain::container::Labels;
use domain::gather::Sampled;
use serde_json::{Map, Value, json};
use std::path::Path;
use std::time::{Duration, Instant};

/// Two readings closer than this say little of what was used between them: the kernel brings a group's processor time up to
/// date with its ticks, of which there are at least a hundred a second.
const SHORTEST: Duration = Duration::from_millis(100);

/// A moment and the counters then.
#[derive(Clone, Debug)]
pub(super) struct Point {
    pub(super) at: Timestamp,
    pub(super) clock: Instant,
    pub(super) counters: Counters,
}

/// A running container.
pub(super) struct Container {
    pub(super) id: String,
    pub(super) names: Names,
    limits: Limits,
    machine: Machine,
    group: Option<Group>,
    /// The last sample.
    base: Point,
    /// The last look between samples.
    seen: Option<Point>,
    /// The largest working set seen since the last sample.
    peak_bytes: Option<u64>,
    /// Kills that the Engine told of since the last sample.
    ooms: u64,
    processes: Option<Processes>,
    /// What the last sample or look said.
    pub(super) said: Sampled,
    /// When the next sample is due.
    pub(super) due: Instant,
    /// Whether there was one.
    pub(super) sampled: bool,
}

/// Outer fields of its events.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Names {
    pub(super) env: String,
    pub(super) resource: String,
    repo: Option<String>,
    branch: Option<String>,
    pr: Option<Value>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Limits {
    cpu_cores: Option<f64>,
    memory_bytes: Option<u64>,
}

/// What an Engine's machine has, as far as it says.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Machine {
    pub(super) cpu_cores: Option<i64>,
    pub(super) memory_bytes: Option<i64>,
}

impl Names {
    /// From the labels. `env` where none says it.
    fn of(labels: Labels<'_>, name: &str, env: &str) -> Self {
        let (env, service) = (labels.environment(env), labels.service(name));
        let repo = labels.first(&["pipeline.repo"]);
        // A number counts inside a repository; anything else than a number, or `owner/repo#number`, is none.
        let pr = labels.first(&["pipeline.pr"]).and_then(|pr| match pr.trim_start_matches('#').parse::<u64>() {
            Ok(number) => repo.is_some().then(|| json!(number)),
            Err(_) => {
                let (owner, number) = pr.rsplit_once('#')?;
                (!owner.is_empty() && number.parse::<u64>().is_ok()).then(|| json!(pr))
            }
        });
        Self { resource: format!("{env}/{service}"), env, repo, branch: labels.first(&["pipeline.branch"]), pr }
    }

    fn event(&self, at: Timestamp, payload: Map<String, Value>) -> Value {
        let outer = [
            ("env", Some(self.env.as_str())),
            ("resource", Some(self.resource.as_str())),
            ("repo", self.repo.as_deref()),
            ("branch", self.branch.as_deref()),
        ];
        let mut event = event(at, "usage", &outer, payload);
        if let Some(pr) = &self.pr {
            event["pr"] = pr.clone();
        }
        event
    }
}

impl Limits {
    fn of(host: Option<&HostConfig>) -> Self {
        let positive = |value: Option<i64>| value.filter(|value| *value > 0);
        let nano = positive(host.and_then(|host| host.nano_cpus)).map(|nano| nano as f64 / 1e9);
        let quota = || {
            let quota = positive(host?.cpu_quota)?;
            // 100 ms, as the kernel has it, where nothing is said.
            Some(quota as f64 / positive(host?.cpu_period).unwrap_or(100_000) as f64)
        };
        Self {
            cpu_cores: nano.or_else(quota),
            memory_bytes: positive(host.and_then(|host| host.memory)).map(|bytes| bytes as u64),
        }
    }
}

impl Container {
    /// From what the Engine says of it; none when it does not run. `started`: just now, so that its counters began at
    /// nothing then, and all of a short life is counted.
    pub(super) fn new(
        found: &ContainerInspectResponse,
        env: &str,
        machine: Machine,
        mut base: Point,
        started: Option<Timestamp>,
    ) -> Option<Self> {
        let id = found.id.clone()?;
        let state = found.state.as_ref()?;
        if state.running != Some(true) {
            return None;
        }
        let labels = Labels(found.config.as_ref().and_then(|config| config.labels.as_ref()));
        let name = found.name.as_deref().unwrap_or(&id[..12.min(id.len())]);
        let mut group = state.pid.filter(|pid| *pid > 0).and_then(|pid| Group::find(Path::new("/"), pid, &id));
        let now = (base.at, base.clock);
        match (&mut group, started) {
            (_, Some(_)) => base.counters = Counters::nothing(),
            (Some(group), None) => {
                base.counters = group.read().or(base.counters);
                base.clock = Instant::now();
            }
            (None, None) => {}
        }
        if let Some(at) = started {
            let age = Duration::from_micros((base.at.0 - at.0).max(0) as u64);
            (base.at, base.clock) = (at.min(base.at), base.clock.checked_sub(age).unwrap_or(base.clock));
        }
        let mut container = Self {
            names: Names::of(labels, name, env),
            limits: Limits::of(found.host_config.as_ref()),
            machine,
            due: now.1,
            processes: group.as_ref().map(Group::processes),
            id,
            group,
            base,
            seen: None,
            peak_bytes: None,
            ooms: 0,
            said: Sampled::default(),
            sampled: false,
        };
        container.look(now.0);
        Some(container)
    }

    /// What the kernel says, where it can be asked, and the rest from the Engine.
    fn counters(&mut self, answer: Counters) -> Counters {
        match &mut self.group {
            Some(group) => group.read().or(answer),
            None => answer,
        }
    }

    pub(super) fn limit(&mut self, found: &ContainerInspectResponse) {
        self.limits = Limits::of(found.host_config.as_ref());
    }

    pub(super) fn oom(&mut self) {
        self.ooms += 1;
    }

    /// Between samples: how high the memory is, and how far the counters got, in case it ends before the next one.
    pub(super) fn look(&mut self, at: Timestamp) {
        let Some(group) = &mut self.group else { return };
        let counters = group.read();
        if counters.cpu_ns.is_some() {
            self.peak_bytes = self.peak_bytes.max(counters.memory_bytes);
            let (clock, before) = (Instant::now(), self.seen.as_ref().unwrap_or(&self.base));
            let between = clock.duration_since(before.clock);
            if between >= SHORTEST {
                let used = before.counters.cpu_ns.zip(counters.cpu_ns).map(|(from, to)| to.saturating_sub(from));
                let cpu_cores = used.map(|ns| ns as f64 / 1e9 / between.as_secs_f64());
                self.said = Sampled { cpu_cores, memory_bytes: counters.memory_bytes.map(|bytes| bytes as f64) };
            }
            self.seen = Some(Point { at, clock, counters });
        }
    }

    /// What it used since the last sample, by the Engine's answer and when that came; none when it has ended meanwhile, of
    /// which the Engine will tell.
    pub(super) fn sample(&mut self, mut to: Point, closely: bool) -> Option<Value> {
        if self.group.is_some() {
            to.counters = self.counters(to.counters);
            to.clock = Instant::now();
        }
        to.counters.cpu_ns?;
        let at = to.at;
        let seconds = to.clock.duration_since(self.base.clock).as_secs_f64();
        if seconds < SHORTEST.as_secs_f64() {
            return None;
        }
        let peak_bytes = if closely { self.peak_bytes.max(to.counters.memory_bytes) } else { self.peak_bytes };
        let mut payload = self.used(&to, seconds, peak_bytes);
        let number = |name: &str| payload.get(name).and_then(Value::as_f64);
        self.said = Sampled { cpu_cores: number("cpu_cores"), memory_bytes: number("memory_bytes") };
        let told = std::mem::take(&mut self.ooms);
        let counted = self.base.counters.oom_kills.zip(to.counters.oom_kills).map(|(from, to)| to.saturating_sub(from));
        add_kills(&mut payload, counted.unwrap_or(told), self.limits.memory_bytes);
        if closely && let Some(group) = &self.group {
            let now = group.processes();
            let heaviest = self.processes.as_ref().and_then(|before| now.heaviest_since(before));
            if let Some(heaviest) = heaviest {
                payload.insert(
                    "top_process".into(),
                    json!({"name": heaviest.name,
                    "cpu_cores": rounded(heaviest.cpu_cores), "memory_bytes": heaviest.memory_bytes}),
                );
            }
            self.processes = Some(now);
        }
        self.base = to;
        self.seen = None;
        self.peak_bytes = None;
        self.sampled = true;
        Some(self.names.event(at, payload))
    }

    /// It has ended at `at`: what it used from its last sample to the last look at it, and how it ended, where that is
    /// known. What it used between the last look and its end nobody saw.
    pub(super) fn end(mut self, at: Timestamp, exit_code: Option<i64>) -> Vec<Value> {
        let mut events = Vec::new();
        let before = self.base.counters.oom_kills;
        let seen = self.seen.take();
        let last = seen.as_ref().and_then(|seen| seen.counters.oom_kills);
        if let Some(seen) = seen {
            let seconds = seen.clock.duration_since(self.base.clock).as_secs_f64();
            if seconds >= SHORTEST.as_secs_f64() {
                let peak_bytes = self.peak_bytes.take();
                let mut used = self.used(&seen, seconds, peak_bytes);
                add_kills(&mut used, 0, None); // they are told with its end
                events.push(self.names.event(seen.at, used));
                self.base = seen;
            }
        }
        let at = at.max(self.base.at);
        let seconds = (at.0 - self.base.at.0).max(1000) as f64 / 1e6;
        let unseen = Point { counters: Counters::default(), ..self.base.clone() };
        let mut payload = self.used(&unseen, seconds, self.peak_bytes);
        let counted = before.zip(last).map_or(0, |(from, to)| to.saturating_sub(from));
        add_kills(&mut payload, counted.max(self.ooms), self.limits.memory_bytes);
        if let Some(code) = exit_code {
            payload.insert("container_exit_code".into(), code.into());
        }
        events.push(self.names.event(at, payload));
        events
    }

    fn used(&self, to: &Point, seconds: f64, peak_bytes: Option<u64>) -> Map<String, Value> {
        let (from, to) = (&self.base.counters, &to.counters);
        let rise = |from: Option<u64>, to: Option<u64>| Some(to?.saturating_sub(from?));
        let mut payload = Map::new();
        payload.insert("interval_s".into(), json!(thousandths(seconds)));
        payload.insert("container".into(), self.id[..12.min(self.id.len())].into());
        let mut add = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                payload.insert(name.into(), value);
            }
        };
        add("cpu_cores", rise(from.cpu_ns, to.cpu_ns).map(|ns| json!(rounded(ns as f64 / 1e9 / seconds))));
        add("cpu_limit_cores", self.limits.cpu_cores.map(|cores| json!(cores)));
        // Without a limit there are no periods. A limited container that slept through them all was not throttled.
        let periods = rise(from.periods, to.periods);
        let throttled =
            rise(from.throttled, to.throttled).zip(periods).and_then(|(throttled, periods)| match periods {
                0 => self.limits.cpu_cores.map(|_| 0.0),
                _ => Some((throttled as f64 / periods as f64).min(1.0)),
            });
        add("throttled_ratio", throttled.map(|ratio| json!(rounded(ratio))));
        add("memory_bytes", to.memory_bytes.map(Value::from));
        add("memory_peak_bytes", peak_bytes.map(Value::from));
        add("memory_highest_bytes", to.highest_bytes.map(Value::from));
        add("memory_limit_bytes", self.limits.memory_bytes.map(Value::from));
        add("machine_cpu_cores", self.machine.cpu_cores.map(Value::from));
        add("machine_memory_bytes", self.machine.memory_bytes.map(Value::from));
        let pair =
            |from: Option<[u64; 2]>, to: Option<[u64; 2]>, i: usize| rise(from.map(|it| it[i]), to.map(|it| it[i]));
        for (i, name) in ["io_read_bytes", "io_write_bytes"].into_iter().enumerate() {
            add(name, pair(from.io, to.io, i).map(Value::from));
        }
        for (i, name) in ["net_rx_bytes", "net_tx_bytes"].into_iter().enumerate() {
            add(name, pair(from.net, to.net, i).map(Value::from));
        }
        let stalls =
            ["psi_cpu_some", "psi_cpu_full", "psi_memory_some", "psi_memory_full", "psi_io_some", "psi_io_full"];
        for (i, name) in stalls.into_iter().enumerate() {
            let share = rise(from.stalls_us[i], to.stalls_us[i]).map(|us| (us as f64 / 1e6 / seconds).min(1.0));
            add(name, share.map(|share| json!(rounded(share))));
        }
        payload
    }
}

/// A kill happens when the limit is reached and nothing more can be freed: then that was the peak, whatever was seen.
fn add_kills(payload: &mut Map<String, Value>, kills: u64, limit_bytes: Option<u64>) {
    payload.insert("oom_kills".into(), kills.into());
    if let (1.., Some(limit)) = (kills, limit_bytes) {
        let seen = payload.get("memory_peak_bytes").and_then(Value::as_u64).unwrap_or(0);
        payload.insert("memory_peak_bytes".into(), seen.max(limit).into());
    }
}

fn rounded(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

fn thousandths(seconds: f64) -> f64 {
    (seconds * 1e3).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(at_ms: i64, clock: Instant, cpu_ns: u64) -> Point {
        let counters = Counters { cpu_ns: Some(cpu_ns), ..Counters::default() };
        Point { at: Timestamp(at_ms * 1000), clock: clock + Duration::from_millis(at_ms as u64), counters }
    }

    fn container(clock: Instant) -> Container {
        Container {
            id: "0123456789abcdef".into(),
            names: Names::default(),
            limits: Limits { cpu_cores: Some(1.0), memory_bytes: None },
            machine: Machine { cpu_cores: Some(2), memory_bytes: None },
            group: None,
            base: reading(0, clock, 0),
            seen: None,
            peak_bytes: None,
            ooms: 0,
            said: Sampled::default(),
            processes: None,
            due: clock,
            sampled: true,
        }
    }

    #[test]
    fn a_rate_and_its_interval_come_from_the_same_two_readings() {
        let clock = Instant::now();
        let with = |seen: Option<Point>| {
            let events = Container { seen, ..container(clock) }.end(Timestamp(1_500_000), Some(3));
            events.into_iter().map(|event| event["payload"].clone()).collect::<Vec<_>>()
        };
        let told = with(Some(reading(1000, clock, 500_000_000)));
        assert_eq!((&told[0]["cpu_cores"], &told[0]["interval_s"]), (&json!(0.5), &json!(1.0)));
        assert_eq!((&told[0]["machine_cpu_cores"], &told[0]["cpu_limit_cores"]), (&json!(2), &json!(1.0)));
        assert_eq!((&told[1]["interval_s"], &told[1]["container_exit_code"]), (&json!(0.5), &json!(3)));
        assert_eq!((told[1].get("cpu_cores"), told.len()), (None, 2));
        // A tick of the kernel's clock is no use of four cores.
        let short = with(Some(reading(1, clock, 4_000_000)));
        assert_eq!((short[0].get("cpu_cores"), &short[0]["interval_s"], short.len()), (None, &json!(1.5), 1));
        assert_eq!(with(None).len(), 1);
    }

    #[test]
    fn an_answer_counts_from_when_it_came() {
        let clock = Instant::now();
        let mut busy = container(clock);
        let event = busy.sample(reading(2000, clock, 1_000_000_000), true);
        assert_eq!(event.map(|event| event["payload"]["cpu_cores"].clone()), Some(json!(0.5)));
        assert_eq!(busy.sample(reading(2050, clock, 1_004_000_000), true), None, "too soon to say anything");
    }

    fn names(labels: &[(&str, &str)]) -> Names {
        let labels = labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Names::of(Labels(Some(&labels)), "/crazy_name", "docker")
    }

    #[test]
    fn labels_say_where_a_container_belongs() {
        let compose = [("com.docker.compose.project", "shop"), ("com.docker.compose.service", "web")];
        assert_eq!(names(&compose).resource, "shop/web");
        assert_eq!(names(&[]).resource, "docker/crazy_name");
        let ours = [
            compose[0],
            compose[1],
            ("pipeline.env", "shop-pr-7"),
            ("pipeline.repo", "acme/shop"),
            ("pipeline.pr", "7"),
        ];
        let ours = names(&ours);
        assert_eq!(
            (ours.resource.as_str(), &ours.pr, ours.repo.as_deref()),
            ("shop-pr-7/web", &Some(json!(7)), Some("acme/shop"))
        );
        assert_eq!(names(&[("pipeline.pr", "7")]).pr, None, "a number of no repository");
        assert_eq!(names(&[("pipeline.pr", "acme/shop#7")]).pr, Some(json!("acme/shop#7")));
        assert_eq!(names(&[("pipeline.pr", "soon"), ("pipeline.repo", "a/b")]).pr, None);
    }

    #[test]
    fn limits_are_what_the_kernel_was_told() {
        let limits = |host: HostConfig| Limits::of(Some(&host));
        let nano = HostConfig { nano_cpus: Some(1_500_000_000), memory: Some(1 << 20), ..HostConfig::default() };
        assert_eq!(limits(nano), Limits { cpu_cores: Some(1.5), memory_bytes: Some(1 << 20) });
        let quota = HostConfig { cpu_quota: Some(50_000), ..HostConfig::default() };
        assert_eq!(limits(quota), Limits { cpu_cores: Some(0.5), memory_bytes: None });
        let none = HostConfig { nano_cpus: Some(0), cpu_quota: Some(-1), memory: Some(0), ..HostConfig::default() };
        assert_eq!(limits(none), Limits::default());
    }
}
