//! An Engine held for one run: a step is one container, done by one request, and counts when the Engine and the kernel both
//! say so.

use super::engine::Engine;
use super::group::Group;
use super::limits::{Held, Limits};
use super::lock::Lock;
use super::tasks::{self, Doing};
use super::{Container, containers, refusals, work_in, working_set};
use crate::StackError;
use crate::journal::{Progress, Step};
use crate::target::{Change, Onward, Session, Stand, differs, in_words, same};
use bollard::models::{ContainerInspectResponse, ContainerStateStatusEnum, HealthStatusEnum};
use domain::plan::{ROOM, State};
use domain::task::Task;
use domain::units::format_bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

/// Between looks at a container's health.
const LOOK: Duration = Duration::from_millis(200);
/// How long a container that has no health check must stay up: what a limit kills at once, it kills by then.
const SETTLE: Duration = Duration::from_secs(2);

/// What a step knows of its container, before and after.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Point {
    container: String,
    name: String,
    limits: Limits,
}

/// What a container was like just before its step.
#[derive(Clone, Debug)]
struct Baseline {
    at: Instant,
    running: bool,
    started_at: Option<String>,
    restarts: Option<i64>,
    oom_kills: Option<u64>,
    last_check: Option<String>,
}

/// See the module.
pub(super) struct HeldEngine {
    engine: Engine,
    address: String,
    counts_swap: Option<bool>,
    baselines: HashMap<String, Baseline>,
    _lock: Lock,
}

/// A container as it is now.
struct Now {
    found: ContainerInspectResponse,
    record: Limits,
    group: Option<Group>,
}

impl HeldEngine {
    pub(super) fn new(engine: Engine, address: String, lock: Lock) -> Self {
        Self { engine, address, counts_swap: None, baselines: HashMap::new(), _lock: lock }
    }

    fn counts_swap(&mut self) -> Result<bool, StackError> {
        if let Some(known) = self.counts_swap {
            return Ok(known);
        }
        let counts = self.engine.info()?.swap_limit != Some(false);
        self.counts_swap = Some(counts);
        Ok(counts)
    }

    fn now(&self, id: &str) -> Result<Option<Now>, StackError> {
        now(&self.engine, id)
    }

    /// Where a container stands with what is done beside its limits.
    fn stands_with(&self, step: &Step, (before, after): &(Doing, Doing)) -> Result<Stand, StackError> {
        if let Doing::Image { image, .. } = before {
            return Ok(if self.engine.image(image)?.is_some() { Stand::After } else { Stand::Before });
        }
        let (id, name) = before.container();
        let found = self.engine.inspect(id)?;
        let Some(now) = found.as_ref().and_then(Container::of) else {
            return Ok(Stand::Gone(format!("container {name} of {} is gone", step.resource)));
        };
        // A restart is not taken back: what runs is as good as what ran.
        if let Doing::Started { at, .. } = before {
            let restarted = after.holds(&now, at.as_deref());
            return Ok(match (restarted, step.progress) {
                (true, Progress::Undoing | Progress::Undone) => Stand::Before,
                (true, _) => Stand::After,
                (false, _) if before.holds(&now, None) => Stand::Before,
                (false, _) => Stand::Partly(after.in_words(&now)),
            });
        }
        Ok(match (before.holds(&now, None), after.holds(&now, None)) {
            (_, true) => Stand::After,
            (true, false) => Stand::Before,
            (false, false) => Stand::Other(vec![after.in_words(&now)]),
        })
    }

    fn set(&mut self, from: &Point, to: &Point) -> Result<(), StackError> {
        let counts_swap = self.counts_swap()?;
        // Every figure that the step is about, whatever the record says of it: the kernel may not have it.
        let body = to.limits.update_from(from.limits, counts_swap);
        self.engine.update(&to.container, &to.name, body)
    }
}

impl Session for HeldEngine {
    /// The digest of the plan is of every container there was; what comes and goes beside the changes is no drift.
    fn prepare(&mut self, _: &str, changes: &[Change]) -> Result<Vec<Step>, StackError> {
        if changes.is_empty() {
            return Ok(Vec::new());
        }
        let all = containers(&self.engine, false)?;
        let there = containers(&self.engine, true)?;
        let live = |change: &Change| all.get(&change.resource).and_then(|all| all.first()).map(|it| it.limits.state());
        let limits = changes.iter().filter(|change| change.task.is_none());
        let drift = limits.filter(|change| !live(change).is_some_and(|live| same(live, change.before)));
        let drift: Vec<String> =
            drift.map(|change| differs(&change.resource, Some(&change.before), live(change).as_ref())).collect();
        if !drift.is_empty() {
            return Err(StackError::Drifted {
                target: self.address.clone(),
                since: "the plan was made",
                differs: drift,
            });
        }
        let info = self.engine.info()?;
        let (tasks, changes): (Vec<Change>, Vec<Change>) =
            changes.iter().cloned().partition(|change| change.task.is_some());
        let changes = changes.as_slice();
        if let Some(refusal) = refusals(&self.engine, &info, &all, &self.address, changes)?.into_iter().next() {
            return Err(refusal.error);
        }
        let counts_swap = self.counts_swap()?;
        let mut steps: Vec<(u8, Step)> = Vec::new();
        for change in changes {
            for container in all.get(&change.resource).into_iter().flatten() {
                steps.extend(step(change, container, counts_swap).map(|step| (Task::rank(None), step)));
            }
        }
        for change in &tasks {
            let Some(task) = change.task.as_ref() else { continue };
            let value = |doing: &Doing| serde_json::to_value(doing).unwrap_or(Value::Null);
            if let Some((before, after, what)) = tasks::image_step(task) {
                let (before, after) = (value(&before), value(&after));
                let items = vec![change.item_id.clone()];
                steps.push((Task::rank(Some(task)), Step::new(change.resource.clone(), items, what, before, after)));
                continue;
            }
            let own = there.get(&change.resource).map(Vec::as_slice).unwrap_or_default();
            if own.is_empty() {
                let differs = vec![format!("{} is gone", change.resource)];
                return Err(StackError::Drifted { target: self.address.clone(), since: "the plan was made", differs });
            }
            for (before, after, what) in tasks::steps(task, own) {
                if !own.iter().any(|it| it.id == before.container().0 && before.holds(it, None)) {
                    let differs = vec![format!("{} is not as it was: {what}", change.resource)];
                    return Err(StackError::Drifted {
                        target: self.address.clone(),
                        since: "the plan was made",
                        differs,
                    });
                }
                let (before, after) = (value(&before), value(&after));
                let items = vec![change.item_id.clone()];
                steps.push((Task::rank(Some(task)), Step::new(change.resource.clone(), items, what, before, after)));
            }
        }
        // Stable: of one kind, in the order of the plan.
        steps.sort_by_key(|(rank, _)| *rank);
        Ok(steps.into_iter().map(|(_, step)| step).collect())
    }

    fn stands(&mut self, step: &Step) -> Result<Stand, StackError> {
        if let Some(doing) = doing(step) {
            return self.stands_with(step, &doing);
        }
        let (before, after) = points(step)?;
        let Some(now) = self.now(&before.container)? else {
            let short = before.container.get(..12).unwrap_or(&before.container);
            return Ok(Stand::Gone(format!("container {} ({short}) of {} is gone", before.name, step.resource)));
        };
        let counts_swap = self.counts_swap()?;
        let record = now.record.held();
        // A container that has ended has no group: then the record is all there is, and what it will start with.
        let kernel = now.group.as_ref().and_then(Group::read);
        let has = |wanted: Held| record == wanted && kernel.is_none_or(|kernel| wanted.is_kept_by(kernel, counts_swap));
        let (was, is) = (before.limits.held(), after.limits.held());
        if has(is) {
            return Ok(Stand::After);
        }
        if has(was) {
            return Ok(Stand::Before);
        }
        let said = match kernel {
            Some(kernel) => {
                format!("{} has {} by the Engine, {} in the kernel", before.name, record.in_words(), kernel.in_words())
            }
            None => format!("{} has {}", before.name, record.in_words()),
        };
        let between = kernel.is_none_or(|kernel| {
            was.is_kept_by(kernel, counts_swap) || is.is_kept_by(kernel, counts_swap) || kernel.is_between(was, is)
        });
        let wanted = if step.progress.is_done() { is } else { was };
        Ok(if record.is_between(was, is) && between {
            Stand::Partly(said)
        } else {
            Stand::Other(vec![format!("{said}, not {}", wanted.in_words())])
        })
    }

    fn carry_out(&mut self, step: &Step) -> Result<(), StackError> {
        if let Some((before, after)) = doing(step) {
            let id = before.container().0.to_owned();
            // What runs is to go on running as it did, unless that is the very thing.
            if matches!(after, Doing::Weights { .. })
                && let Some(now) = self.now(&id)?
            {
                self.baselines.insert(id, Baseline::of(&now));
            } else {
                // What is started or restarted on purpose is not compared with what ran before an earlier step.
                self.baselines.remove(&id);
            }
            return after.bring_about(&self.engine);
        }
        let (before, after) = points(step)?;
        if let Some(now) = self.now(&before.container)? {
            self.baselines.insert(before.container.clone(), Baseline::of(&now));
        }
        self.set(&before, &after)
    }

    fn onward(&mut self, step: &Step, mut wanted: State) -> Result<Onward, StackError> {
        if doing(step).is_some() {
            return Ok(Onward::default());
        }
        let (before, now) = points(step)?;
        let has = now.limits.state();
        let lowers = wanted.memory_bytes.filter(|bytes| has.memory_bytes.is_none_or(|has| *bytes < has));
        let stays = match lowers {
            Some(bytes) => too_low(&self.engine, &now.container, &now.name, bytes)?,
            None => None,
        };
        if stays.is_some() {
            wanted.memory_bytes = has.memory_bytes;
        }
        // From what was there before the plan: what it says of swap, and the form of the CPU limit, are kept at each switch.
        let limits = before.limits.with(before.limits.state(), wanted, self.counts_swap()?);
        let is_there = limits.held() == now.limits.held();
        let what = format!("{}: {} -> {}", now.name, in_words(has), in_words(limits.state()));
        let after = serde_json::to_value(Point { limits, ..now }).unwrap_or(Value::Null);
        let next = || Step::new(step.resource.clone(), step.items.clone(), what, step.after.clone(), after);
        Ok(Onward { step: (!is_there).then(next), stays })
    }

    fn undo(&mut self, step: &Step) -> Result<(), StackError> {
        if let Some((before, _)) = doing(step) {
            return before.bring_about(&self.engine);
        }
        let (before, after) = points(step)?;
        self.set(&after, &before)
    }

    fn healthy(&mut self, step: &Step, most: Duration) -> Result<(), StackError> {
        let (id, name, stopped) = match doing(step) {
            Some((_, after)) => {
                let (id, name) = after.container();
                let is_still = matches!(after, Doing::Running { running: false, .. } | Doing::Image { .. });
                (id.to_owned(), name.to_owned(), is_still)
            }
            None => {
                let (point, _) = points(step)?;
                (point.container, point.name, false)
            }
        };
        if stopped {
            return Ok(());
        }
        let known = self.baselines.get(&id).cloned();
        // After a run that was killed: what ran when the plan was prepared is to run.
        wait_until_well(&self.engine, (&step.resource, &id, &name), &known.unwrap_or_else(Baseline::unknown), most)
    }

    fn busy(&mut self, step: &Step, is_work: &dyn Fn(&[String]) -> bool) -> Result<Option<String>, StackError> {
        let env = step.resource.split('/').next().unwrap_or_default();
        work_in(&self.engine, env, is_work)
    }
}

/// Why a container cannot have so little memory now.
fn too_low(engine: &Engine, id: &str, name: &str, bytes: u64) -> Result<Option<String>, StackError> {
    let words = |bytes: u64| format_bytes(bytes as f64);
    let reserved = engine.inspect(id)?.as_ref().and_then(Container::of).map_or(0, |it| it.reservation);
    if let Some(reserved) = u64::try_from(reserved).ok().filter(|reserved| *reserved > bytes) {
        return Ok(Some(format!("{name} reserves {}, more than {}", words(reserved), words(bytes))));
    }
    let used = engine.stats(id)?.as_ref().and_then(working_set);
    let used = used.filter(|used| *used as f64 * ROOM > bytes as f64);
    Ok(used.map(|used| format!("{name} uses {} of memory now, too much for {}", words(used), words(bytes))))
}

/// A container as it is now; none where it is gone.
fn now(engine: &Engine, id: &str) -> Result<Option<Now>, StackError> {
    let Some(found) = engine.inspect(id)? else { return Ok(None) };
    let state = found.state.as_ref();
    // One that is being removed is as good as gone.
    if state.and_then(|state| state.status) == Some(ContainerStateStatusEnum::REMOVING) {
        return Ok(None);
    }
    let pid = state.and_then(|state| state.pid).filter(|pid| *pid > 0);
    let group = pid.and_then(|pid| Group::find(Path::new("/"), pid, id));
    let record = Limits::of(found.host_config.as_ref());
    Ok(Some(Now { found, record, group }))
}

/// Waits until a container that was just made is well.
pub(super) fn wait_for_new(
    engine: &Engine,
    resource: &str,
    container: &Container,
    most: Duration,
) -> Result<(), StackError> {
    wait_until_well(engine, (resource, &container.id, &container.name), &Baseline::unknown(), most)
}

fn wait_until_well(
    engine: &Engine,
    (resource, id, name): (&str, &str, &str),
    baseline: &Baseline,
    most: Duration,
) -> Result<(), StackError> {
    let unhealthy = |what: String| StackError::Unhealthy {
        resource: resource.to_owned(),
        what: format!("container {name} {what}"),
    };
    let began = Instant::now();
    loop {
        let Some(now) = now(engine, id)? else { return Err(unhealthy("is gone".to_owned())) };
        match baseline.compared(&now) {
            Verdict::Well => return Ok(()),
            Verdict::Ill(what) => return Err(unhealthy(what)),
            Verdict::Up if baseline.at.elapsed() >= SETTLE.min(most) => return Ok(()),
            // It was well before, and nothing says that it is not: its check is slower than there is time for.
            Verdict::NotYet { healthy: true, .. } if began.elapsed() >= most => return Ok(()),
            Verdict::NotYet { said, .. } if began.elapsed() >= most => {
                return Err(unhealthy(format!("is not healthy within {most:?}{said}")));
            }
            Verdict::Up | Verdict::NotYet { .. } => std::thread::sleep(LOOK),
        }
    }
}

/// What a look at a container says.
enum Verdict {
    /// Its own check passed since the step.
    Well,
    /// It runs, and has no check.
    Up,
    /// Its own check has not yet said so since the step.
    NotYet { healthy: bool, said: String },
    /// In words.
    Ill(String),
}

impl Baseline {
    /// Of a container whose step an earlier run did.
    fn unknown() -> Self {
        Self { at: Instant::now(), running: true, started_at: None, restarts: None, oom_kills: None, last_check: None }
    }

    fn of(now: &Now) -> Self {
        let state = now.found.state.as_ref();
        let checks = state.and_then(|state| state.health.as_ref()?.log.as_ref());
        Self {
            at: Instant::now(),
            running: state.and_then(|state| state.running) == Some(true),
            started_at: state.and_then(|state| state.started_at.clone()),
            restarts: now.found.restart_count,
            oom_kills: now.group.as_ref().and_then(Group::oom_kills),
            last_check: checks.and_then(|log| log.last()?.start.as_ref().map(ToString::to_string)),
        }
    }

    fn compared(&self, now: &Now) -> Verdict {
        let state = now.found.state.as_ref();
        let running = state.and_then(|state| state.running) == Some(true);
        if !self.running {
            return Verdict::Up;
        }
        if !running || state.and_then(|state| state.restarting) == Some(true) {
            let killed = if state.and_then(|state| state.oom_killed) == Some(true) { ", out of memory" } else { "" };
            let code = state.and_then(|state| state.exit_code).unwrap_or_default();
            return Verdict::Ill(format!("does not run any more: exit code {code}{killed}"));
        }
        let then = Self::of(now);
        if self.started_at.as_ref().is_some_and(|started| then.started_at.as_ref() != Some(started))
            || self.restarts.is_some_and(|restarts| then.restarts > Some(restarts))
        {
            return Verdict::Ill("was restarted".to_owned());
        }
        if let (Some(before), Some(after)) = (self.oom_kills, then.oom_kills)
            && after > before
        {
            return Verdict::Ill(format!("had {} processes killed for want of memory", after - before));
        }
        let Some(health) = state.and_then(|state| state.health.as_ref()) else { return Verdict::Up };
        let last = health.log.as_ref().and_then(|log| log.last());
        let said = last.and_then(|last| last.output.as_deref()).unwrap_or_default().trim().to_owned();
        let said = if said.is_empty() { said } else { format!(": {said}") };
        match health.status {
            Some(HealthStatusEnum::UNHEALTHY) => Verdict::Ill(format!("is unhealthy by its own check{said}")),
            Some(HealthStatusEnum::HEALTHY) => {
                // A check that was made before the step says nothing of it.
                let anew = then.last_check.is_some() && then.last_check != self.last_check;
                let passed = last.and_then(|last| last.exit_code) == Some(0);
                match (anew, passed) {
                    (true, true) => Verdict::Well,
                    (true, false) => Verdict::NotYet { healthy: false, said },
                    (false, _) => Verdict::NotYet { healthy: true, said },
                }
            }
            Some(HealthStatusEnum::STARTING) => Verdict::NotYet { healthy: false, said },
            _ => Verdict::Up,
        }
    }
}

/// The step that changes one container; none where it has the limits already.
fn step(change: &Change, container: &Container, counts_swap: bool) -> Option<Step> {
    let limits = container.limits.with(change.before, change.after, counts_swap);
    if limits.held() == container.limits.held() && !change.follows {
        return None;
    }
    let point = |limits: Limits| Point { container: container.id.clone(), name: container.name.clone(), limits };
    let what = format!("{}: {} -> {}", container.name, in_words(change.before), in_words(change.after));
    let value = |limits: Limits| serde_json::to_value(point(limits)).unwrap_or(Value::Null);
    let (before, after) = (value(container.limits), value(limits));
    Some(Step::new(change.resource.clone(), vec![change.item_id.clone()], what, before, after))
}

/// What a step does beside limits; none where it is about them.
fn doing(step: &Step) -> Option<(Doing, Doing)> {
    Some((Doing::deserialize(&step.before).ok()?, Doing::deserialize(&step.after).ok()?))
}

fn points(step: &Step) -> Result<(Point, Point), StackError> {
    let read = |value: &Value| {
        Point::deserialize(value).map_err(|error| StackError::Asked {
            doing: format!("read the step of {} in the journal", step.resource),
            source: Box::new(error),
        })
    };
    Ok((read(&step.before)?, read(&step.after)?))
}
