//! Looks at a running command again and again: often at first, then as often as costs next to nothing.
//!
//! A look costs tens of microseconds a process. Short commands need looks a few milliseconds apart, long ones do not: the
//! pause grows with the command's age, up to where looking takes [`SHARE`] of a core.

use super::group::OwnGroup;
use super::services::{Service, Services};
use super::tree::{Look, Tree};
use crate::kernel::{Kernel, Reading, Scope};
use domain::Timestamp;
use nix::time::ClockId;
use serde_json::{Map, Value, json};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Of one core, for each of the two kinds of look.
const SHARE: f64 = 0.002;
const SHORTEST: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_secs(2);

/// Age at which a command gets a group of its own: shorter ones are not worth it.
const GROUP_AFTER: Duration = Duration::from_millis(50);

/// What to look at, and what to tell.
pub(crate) struct Plan {
    pub(crate) pid: i32,
    pub(crate) kernel: Kernel,
    /// The counters and limits at the start.
    pub(crate) start: Reading,
    /// How often a `usage` event is made of it.
    pub(crate) every: Option<Duration>,
    pub(crate) now: fn() -> Timestamp,
    /// Takes the time and the payload of each.
    pub(crate) usage: Box<dyn Fn(Timestamp, Map<String, Value>) + Send>,
}

/// What was seen.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) memory_peak_bytes: u64,
    pub(crate) charged_peak_bytes: Option<u64>,
    pub(crate) processes_peak: usize,
    pub(crate) oom_kills: Option<u64>,
    /// Stalls and the time in which they were counted.
    pub(crate) stalled: Option<([Option<u64>; 3], Duration)>,
    pub(crate) services: Vec<Service>,
    pub(crate) looks: u64,
}

/// A thread that looks until it is stopped.
pub(crate) struct Sampler {
    stop: Sender<()>,
    thread: Option<JoinHandle<Seen>>,
}

impl Sampler {
    /// Starts at the moment the command started.
    pub(crate) fn start(plan: Plan) -> Self {
        let (stop, stopped) = channel();
        let thread = std::thread::Builder::new().name("sampler".into()).spawn(move || run(plan, &stopped)).ok();
        Self { stop, thread }
    }

    /// What was seen until now. Nothing, if looking was impossible.
    pub(crate) fn stop(self) -> Seen {
        let _ = self.stop.send(());
        self.thread.and_then(|thread| thread.join().ok()).unwrap_or_default()
    }
}

/// When the next look of one kind is due.
struct Rhythm {
    next: Instant,
}

impl Rhythm {
    fn after(&mut self, cost: Duration, age: Duration) {
        let affordable = cost.div_f64(SHARE).min(LONGEST);
        self.next = Instant::now() + (age / 4).min(affordable).max(SHORTEST);
    }
}

fn run(plan: Plan, stopped: &Receiver<()>) -> Seen {
    let began = Instant::now();
    let mut tree = Tree::of(plan.pid, plan.kernel.proc());
    let mut services = Services::new(plan.kernel.proc());
    let mut group: Option<OwnGroup> = None;
    let mut group_tried = false;
    let mut grouped = began;
    let mut seen = Seen::default();
    let [mut memory, mut sockets] = [(); 2].map(|()| Rhythm { next: began + SHORTEST });
    let mut joined_bytes = 0;
    let mut usage = plan.every.map(|every| Usage::new(every, began, &plan.start));
    let mut look = Look::default();
    loop {
        let due = usage.as_ref().map_or(memory.next, |usage| usage.next.min(memory.next)).min(sockets.next);
        match stopped.recv_timeout(due.saturating_duration_since(Instant::now())) {
            Err(RecvTimeoutError::Timeout) => {}
            _ => break,
        }
        let (now, age) = (Instant::now(), began.elapsed());
        let usage_due = usage.as_ref().is_some_and(|usage| usage.next <= now);
        if memory.next <= now || usage_due {
            let before = own_cpu();
            let members = group.as_ref().map(OwnGroup::members).unwrap_or_default();
            look = tree.look(&members, usage.is_some());
            seen.looks += 1;
            seen.processes_peak = seen.processes_peak.max(look.pids.len());
            // What processes share, the group counts once and the sum does not; what was there before the group was, only
            // the sum counts.
            if let Some(bytes) = group.as_ref().and_then(OwnGroup::held_bytes) {
                look.held_bytes = look.held_bytes.min(bytes + joined_bytes);
            }
            seen.memory_peak_bytes = seen.memory_peak_bytes.max(look.memory_bytes()).max(look.largest_peak_bytes);
            memory.after(own_cpu().saturating_sub(before), age);
        }
        if let Some(usage) = usage.as_mut().filter(|_| usage_due) {
            // After the look: the interval is that of the readings.
            let payload = usage.tick(Instant::now(), &look, seen.memory_peak_bytes, &plan.kernel);
            (plan.usage)((plan.now)(), payload);
        }
        if sockets.next <= now && !look.pids.is_empty() {
            let before = own_cpu();
            services.look(&look.pids, (plan.now)());
            sockets.after(own_cpu().saturating_sub(before), age);
        } else if sockets.next <= now {
            sockets.next = memory.next;
        }
        if !group_tried && age >= GROUP_AFTER {
            group_tried = true;
            group = OwnGroup::make(&plan.kernel, &plan.start);
            grouped = Instant::now();
            take_in(group.as_ref(), &mut tree);
            joined_bytes = tree.look(&[], false).held_bytes;
        }
    }
    if let Some(group) = &group {
        seen.charged_peak_bytes = group.charged_peak_bytes().map(|bytes| bytes + joined_bytes);
        seen.oom_kills = group.oom_kills();
        seen.stalled = Some((group.stalled_us(), grouped.elapsed()));
    }
    seen.services = services.found();
    seen
}

/// Moves the whole tree, and what it started meanwhile.
fn take_in(group: Option<&OwnGroup>, tree: &mut Tree) {
    let Some(group) = group else { return };
    for _ in 0..5 {
        let inside = group.members();
        let outside: Vec<i32> = tree.look(&[], false).pids.into_iter().filter(|pid| !inside.contains(pid)).collect();
        if outside.is_empty() {
            return;
        }
        group.take_in(&outside);
    }
}

/// CPU time of this thread.
fn own_cpu() -> Duration {
    // Not getrusage: it is brought up to date with the scheduler's tick only.
    ClockId::CLOCK_THREAD_CPUTIME_ID.now().map(Duration::from).unwrap_or_default()
}

/// What `usage` events tell: the differences between two looks.
struct Usage {
    every: Duration,
    next: Instant,
    last: Instant,
    cpu_ms: u64,
    io_bytes: (u64, u64),
    stalled_us: [Option<u64>; 3],
    scope: Scope,
    periods: Option<(u64, u64)>,
    oom_kills: Option<u64>,
}

impl Usage {
    fn new(every: Duration, began: Instant, start: &Reading) -> Self {
        let (stalled_us, scope) = (start.stalled_us, start.scope);
        let (periods, oom_kills) = (start.periods, start.oom_kills);
        Self {
            every,
            next: began + every,
            last: began,
            cpu_ms: 0,
            io_bytes: (0, 0),
            stalled_us,
            scope,
            periods,
            oom_kills,
        }
    }

    fn tick(&mut self, now: Instant, look: &Look, peak_bytes: u64, kernel: &Kernel) -> Map<String, Value> {
        let reading = kernel.read();
        let interval_s = (now - self.last).as_secs_f64().max(1e-3);
        let rounded = |value: f64| json!((value * 1e4).round() / 1e4);
        let mut payload = Map::new();
        payload.insert("interval_s".into(), rounded(interval_s));
        payload.insert("cpu_cores".into(), rounded(look.cpu_ms.saturating_sub(self.cpu_ms) as f64 / 1e3 / interval_s));
        payload.insert("memory_bytes".into(), look.memory_bytes().into());
        payload.insert("memory_peak_bytes".into(), peak_bytes.into());
        payload.insert("processes".into(), look.pids.len().into());
        if !look.largest.is_empty() {
            payload.insert("top_process".into(), look.largest.clone().into());
        }
        if let Some((read, written)) = look.io_bytes {
            payload.insert("io_read_bytes".into(), read.saturating_sub(self.io_bytes.0).into());
            payload.insert("io_write_bytes".into(), written.saturating_sub(self.io_bytes.1).into());
            self.io_bytes = (read, written);
        }
        super::add_limits(&mut payload, &reading);
        super::add_throttled(&mut payload, self.periods, reading.periods);
        super::add_stalls(&mut payload, self.stalled_us, reading.stalled_us, reading.scope, interval_s);
        if let (Some(from), Some(to)) = (self.oom_kills, reading.oom_kills) {
            payload.insert("oom_kills".into(), to.saturating_sub(from).into());
        }
        (self.stalled_us, self.scope, self.periods) = (reading.stalled_us, reading.scope, reading.periods);
        (self.cpu_ms, self.oom_kills, self.last) = (look.cpu_ms, reading.oom_kills, now);
        // No tick is made up for one that was missed, as when the machine slept: right after this one there would be nothing
        // to measure.
        let due = self.next + self.every;
        self.next = if due > now + self.every / 2 { due } else { now + self.every };
        payload
    }
}
