//! What an item brings, how risky it is, and how a person does and undoes it by hand.
//!
//! Owns the levels of risk, and the commands for each kind of target. What is written here is done by nobody: `apply` has
//! its own way, which is proven.

use super::{Action, Calendar, Item, PlannedTarget};
use crate::state::State;
use crate::task::{JobLimits, Task, Weights};
use crate::units::format_bytes;
use serde::{Deserialize, Serialize};

/// A CPU limit that would have throttled more of the samples than this is no low risk.
const THROTTLED: f64 = 0.01;

/// How much may go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Nothing that runs is disturbed.
    Low,
    /// Something may be slower, or is interrupted once.
    Medium,
    /// Something may be killed.
    High,
}

impl Level {
    /// As plans write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handling {
    /// What it brings.
    pub impact: String,
    /// How risky it is.
    pub risk: Level,
    /// Why.
    pub risk_why: String,
    /// By hand, step by step.
    pub steps: Vec<String>,
    /// Back again, step by step.
    pub undo: Vec<String>,
}

impl Handling {
    /// Of an item that changes limits, or does what a person asked for; none where nothing is done.
    pub(super) fn of(item: &Item, target: Option<&PlannedTarget>) -> Option<Self> {
        match (&item.task, item.action) {
            (_, Action::None) => None,
            // What is routed and deployed has a rollout of its own.
            (Some(Task::Route { .. } | Task::Deploy(_)), _) => None,
            (Some(task), _) => Some(Self::of_task(item, task)),
            (None, Action::Resize) => Some(resize(item, target)),
            (None, Action::FixLeak) => Some(Self {
                impact: "its memory stops growing, and nothing kills it".to_owned(),
                risk: Level::Low,
                risk_why: "apply does nothing: a person looks".to_owned(),
                steps: vec![
                    "take a heap profile now, and one after some hours of use".to_owned(),
                    "compare what grew: a cache without a bound, listeners that are never removed, a queue".to_owned(),
                    item.guidance.clone(),
                ],
                undo: vec!["nothing was changed".to_owned()],
            }),
            (None, _) => None,
        }
    }

    /// Of what is done beside limits.
    pub fn of_task(item: &Item, task: &Task) -> Self {
        Self::task(&item.resource, task)
    }

    /// The same, by the resource.
    pub fn task(resource: &str, task: &Task) -> Self {
        let ids = selected(resource, false);
        let stopped = selected(resource, true);
        let (impact, risk, why, steps, undo) = match task {
            Task::Weigh { before, after } => (
                "where neighbours want more than there is, each gets its share",
                Level::Low,
                "weights count only while all processors are wanted",
                weigh(&ids, *after),
                weigh(&ids, *before),
            ),
            Task::Restart => (
                "it starts with the memory of a fresh process",
                Level::Medium,
                "what it does at that moment is interrupted",
                format!("docker restart {ids}"),
                "nothing to undo: what runs is as good as what ran".to_owned(),
            ),
            Task::Start => (
                "it is there when it is called",
                Level::Low,
                "it takes memory from its neighbours",
                format!("docker start {stopped}"),
                format!("docker stop {ids}"),
            ),
            Task::Stop => (
                "its memory and processors are free",
                Level::Medium,
                "whoever calls it finds nobody",
                format!("docker stop {ids}"),
                format!("docker start {stopped}"),
            ),
            Task::Job { before, after } => return Self::of_job(resource, before, after),
            Task::Route { .. } | Task::Deploy(_) => (
                "other versions are used",
                Level::High,
                "what is new was not used before",
                task.in_words(),
                "the same, the other way round".to_owned(),
            ),
            Task::Load { image, archive, bytes, .. } => (
                "nothing is fetched when it is needed",
                Level::Low,
                &*format!("it takes {} of the Engine's disk", format_bytes(*bytes as f64)),
                format!("docker load --input {archive}"),
                format!("docker image rm {image}"),
            ),
        };
        Self { impact: impact.to_owned(), risk, risk_why: why.to_owned(), steps: vec![steps], undo: vec![undo] }
    }
}

impl Handling {
    /// Of a job of a CI system.
    fn of_job(resource: &str, before: &JobLimits, after: &JobLimits) -> Self {
        let smaller = after.runner.is_some() && after.runner != before.runner;
        let sooner =
            after.timeout_minutes.is_some_and(|minutes| before.timeout_minutes.is_none_or(|old| minutes < old));
        let (risk, why) = match (smaller, sooner) {
            (true, _) => (Level::Medium, "a run that needs more than any before is slower, or killed"),
            (_, true) => (Level::Medium, "a run that takes longer than any before is cancelled"),
            _ => (Level::Low, "a run that hangs is paid for longer"),
        };
        let write = |to: &JobLimits| format!("in {resource}: {}", to.in_words());
        Self {
            impact: format!(
                "{} instead of {}, from the next run of the branch on",
                after.in_words(),
                before.in_words()
            ),
            risk,
            risk_why: why.to_owned(),
            steps: vec![write(after), "commit and push".to_owned()],
            undo: vec![write(before), "commit and push".to_owned()],
        }
    }
}

fn weigh(ids: &str, weights: Weights) -> String {
    let cpu = weights.cpu.map_or_else(String::new, |weight| format!("--cpu-shares {weight} "));
    let io = weights.io.map_or_else(String::new, |weight| format!("--blkio-weight {weight} "));
    format!("docker update {cpu}{io}{ids}")
}

/// The containers of a resource, as a shell finds them.
fn selected(resource: &str, stopped: bool) -> String {
    let all = if stopped { "a" } else { "" };
    match resource.split_once('/') {
        Some(("docker", name)) => name.to_owned(),
        Some((project, service)) => format!(
            "$(docker ps -q{all} --filter label=com.docker.compose.project={project} --filter \
             label=com.docker.compose.service={service})"
        ),
        None => resource.to_owned(),
    }
}

pub(super) fn resize(item: &Item, target: Option<&PlannedTarget>) -> Handling {
    let (before, after) = (item.before, item.after);
    let (risk, risk_why) = risk(item);
    let location = target.map_or("", |target| target.location.as_str());
    let service = item.resource.split_once('/').map_or(item.resource.as_str(), |(_, service)| service);
    let files = location.split(',').map(|file| format!("-f {file}")).collect::<Vec<_>>().join(" ");
    let requests = item.requests.map_or((State::default(), State::default()), |it| (it.before, it.after));
    let set = |(from, to): (State, State), (reserved, reserves): (State, State)| match target
        .map_or("", |target| target.kind.as_str())
    {
        "docker" => vec![format!("docker update {}{}", update(from, to), selected(&item.resource, false))],
        "compose" => vec![
            format!("in {location}, service {service}: {}", written(from, to)),
            format!("docker compose {files} up -d {service}"),
        ],
        "kubernetes" => {
            let all = [("limits", from, to), ("requests", reserved, reserves)];
            let moved = all.into_iter().filter(|(_, from, to)| from != to);
            let said =
                |(what, from, to)| format!("below {location}, {what} of {}: {}", item.resource, written(from, to));
            moved.map(said).chain(["kubectl apply, or what your GitOps controller does".to_owned()]).collect()
        }
        _ => vec![format!("set the limits of {} at {location}: {}", item.resource, written(from, to))],
    };
    let follows = item.calendar.is_some();
    let mut steps = if follows && before == after { Vec::new() } else { set((before, after), requests) };
    // Twice a day is a program's work; what it does is the same.
    for (calendar, quiet) in item.calendar.iter().flat_map(|it| it.quiet.iter().map(move |quiet| (it, quiet))) {
        let hours = format!("{} {}", quiet.hours(), calendar.time_zone);
        steps.extend(set((after, quiet.limits), requests).into_iter().map(|step| format!("{hours}: {step}")));
    }
    Handling {
        impact: impact(item),
        risk,
        risk_why,
        steps,
        // Of a calendar, whichever of its limits are in force.
        undo: set((if follows { State::default() } else { after }, before), (requests.1, requests.0)),
    }
}

fn impact(item: &Item) -> String {
    let mut parts = Vec::new();
    if let Some((before, after)) = item.before.cpu_cores.zip(item.after.cpu_cores).filter(|(a, b)| a != b) {
        parts.push(format!("{:+.2} cores", after - before));
    }
    if let Some((before, after)) = item.before.memory_bytes.zip(item.after.memory_bytes).filter(|(a, b)| a != b) {
        let sign = if after > before { "+" } else { "-" };
        parts.push(format!("{sign}{} of memory", format_bytes(before.abs_diff(after) as f64)));
    }
    parts.extend(item.requests.and_then(|requests| requests.in_words()));
    parts.extend(item.calendar.as_ref().map(|calendar| format!("in quiet hours {}", calendar.in_words())));
    if let Some((before, after)) = item.projected.cost_before.zip(item.projected.cost) {
        parts.push(format!("{:+.2} a month at list price", after - before));
    }
    parts.join(", ")
}

/// What may go wrong with other limits.
fn risk(item: &Item) -> (Level, String) {
    let memory = item.before.memory_bytes.zip(item.after.memory_bytes).is_some_and(|(before, after)| after < before);
    let cpu = item.before.cpu_cores.zip(item.after.cpu_cores).is_some_and(|(before, after)| after < before);
    let over = item.projected.oom_rate.unwrap_or_default();
    let throttled = item.projected.throttled_rate.unwrap_or_default();
    if memory && over > 0.0 {
        return (Level::High, format!("memory would have been exceeded in {:.2} % of the past samples", over * 100.0));
    }
    if memory {
        return (Level::Medium, "a use that was never seen would be killed".to_owned());
    }
    let lowers = |it: &&Calendar| it.quiet.iter().any(|quiet| quiet.limits.memory_bytes != it.highest.memory_bytes);
    if item.calendar.as_ref().filter(lowers).is_some() {
        return (Level::Medium, "a use that was never seen in its quiet hours would be killed".to_owned());
    }
    if cpu && throttled > THROTTLED {
        return (Level::Medium, format!("{:.1} % of the past samples would have been throttled", throttled * 100.0));
    }
    if cpu {
        return (Level::Low, "a use that was never seen would be throttled, and nothing killed".to_owned());
    }
    if item.calendar.is_some() {
        return (Level::Low, "a use that was never seen in its quiet hours would be throttled".to_owned());
    }
    if item.before == item.after {
        return (Level::Low, "what it may use stays; on a full node less may be kept free for it".to_owned());
    }
    (Level::Low, "limits only rise: neighbours have less to themselves".to_owned())
}

/// The flags of `docker update`.
fn update(from: State, to: State) -> String {
    let mut flags = String::new();
    if let Some(cores) = to.cpu_cores.filter(|_| from.cpu_cores != to.cpu_cores) {
        flags.push_str(&format!("--cpus {cores} "));
    }
    if let Some(bytes) = to.memory_bytes.filter(|_| from.memory_bytes != to.memory_bytes) {
        flags.push_str(&format!("--memory {bytes} "));
    }
    flags
}

/// The figures that are set, in words.
fn written(from: State, to: State) -> String {
    let one = |name: &str, changed: bool, value: Option<String>| {
        changed.then(|| format!("{name} {}", value.unwrap_or_else(|| "none".to_owned())))
    };
    let cpu = one("CPU", from.cpu_cores != to.cpu_cores, to.cpu_cores.map(|cores| format!("{cores} cores")));
    let memory = one(
        "memory",
        from.memory_bytes != to.memory_bytes,
        to.memory_bytes.map(|bytes| format!("{bytes} bytes ({})", format_bytes(bytes as f64))),
    );
    [cpu, memory].into_iter().flatten().collect::<Vec<_>>().join(", ")
}
