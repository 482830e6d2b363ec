//! The containers of a Docker Engine as `usage` events.
//!
//! Every container is sampled at its interval. Where the Engine's containers are this machine's, the kernel is looked at
//! every second besides: for peaks, and so that the last of a container that ends is not lost. What the Engine tells of
//! (starts, ends, kills for want of memory, new limits) is taken as it happens. When the Engine goes away, what was seen
//! until then is said, it is waited for, and the gap becomes an event of its own.

mod container;
mod counters;
mod engine;
mod kills;

use crate::AgentError;
use crate::collect::{Outlet, remark};
use bollard::models::EventMessage;
use container::{Container, Machine, Point};
use counters::Counters;
use domain::Timestamp;
use domain::causes::last_cause;
use domain::gather::{GatherPlan, Pace, Sampled};
use engine::Engine;
use futures::StreamExt;
use futures::stream;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::mpsc;

/// What to sample.
#[derive(Clone, Debug)]
pub struct DockerSpec {
    /// `unix:///path`, `tcp://host:port`.
    pub engine: String,
    /// Between samples of a container.
    pub interval: Duration,
    /// End after one sample of each.
    pub once: bool,
    /// The environment of containers whose labels name none.
    pub env: String,
    /// A plan of the intervals; read again when it changes.
    pub gather_plan: Option<PathBuf>,
    /// The present.
    pub clock: fn() -> Timestamp,
}

/// How often the kernel is looked at between samples.
const LOOK: Duration = Duration::from_secs(1);
/// How often the containers are counted, in case the Engine forgot to tell of one.
const COUNT: Duration = Duration::from_secs(30);
/// For so long after its end a container's kill may still be told of: the Engine hears of both in any order.
const AFTERMATH: Duration = Duration::from_millis(700);
/// Questions to the Engine at a time.
const AT_A_TIME: usize = 16;
/// Between tries to reach an Engine that went away.
const RETRY: Duration = Duration::from_millis(500);

/// Samples until it is stopped.
///
/// # Errors
/// The Engine cannot be reached at the start, or the gather plan is none.
pub async fn collect(spec: &DockerSpec, outlet: &Outlet) -> Result<(), AgentError> {
    let engine = Engine::at(&spec.engine)?;
    engine.ping().await?;
    let mut plan = Plan::open(spec.gather_plan.clone())?;
    loop {
        let heard = (spec.clock)();
        let mut watch = Watch {
            spec,
            outlet,
            engine: &engine,
            plan: &mut plan,
            machine: engine.machine().await.unwrap_or_default(),
            running: BTreeMap::new(),
            ended: Vec::new(),
            heard,
        };
        let Err(lost) = watch.run().await else { return Ok(()) };
        let (from, why) = (watch.heard, last_cause(&lost));
        watch.give_up().await;
        outlet.note(format!("the Docker Engine is gone ({why}); waiting for it")).await;
        loop {
            tokio::select! {
                () = outlet.stopped() => break,
                () = tokio::time::sleep(RETRY) => if engine.ping().await.is_ok() { break },
            }
        }
        let to = (spec.clock)();
        let note = format!("no samples from the Docker Engine from {from} to {to}: {why}");
        let facts = json!({"collector": "docker", "gap_from": from.to_string(), "gap_to": to.to_string(),
            "duration_ms": (to.0 - from.0).max(0) / 1000});
        // At its start, as everything that lasts.
        if !outlet.event(remark(from, Some(&spec.env), note, facts)).await || outlet.is_stopped() {
            return Ok(());
        }
        outlet.note("the Docker Engine is back").await;
    }
}

/// The gather plan, as its file last said.
struct Plan {
    path: Option<PathBuf>,
    read: Option<SystemTime>,
    plan: Option<GatherPlan>,
}

impl Plan {
    fn open(path: Option<PathBuf>) -> Result<Self, AgentError> {
        let mut plan = Self { path, read: None, plan: None };
        plan.refresh()?;
        Ok(plan)
    }

    /// Reads the file if it is another than before.
    fn refresh(&mut self) -> Result<(), AgentError> {
        let Some(path) = &self.path else { return Ok(()) };
        let failed = AgentError::file("read the gather plan", path);
        let modified = path.metadata().and_then(|meta| meta.modified()).map_err(&failed)?;
        if self.read == Some(modified) {
            return Ok(());
        }
        self.read = Some(modified);
        let text = std::fs::read_to_string(path).map_err(&failed)?;
        let none = |why| AgentError::Input(format!("{} is no gather plan: {why}", path.display()));
        self.plan = Some(GatherPlan::parse(&text).map_err(none)?);
        Ok(())
    }

    fn pace(&self, resource: &str, now: Timestamp, sampled: Sampled, default: Duration) -> Pace {
        let default_s = default.as_secs_f64();
        let none = Pace { interval_s: default_s, closely: true };
        self.plan.as_ref().map_or(none, |plan| plan.pace(resource, now, sampled, default_s))
    }
}

/// A time in which the Engine was there.
struct Watch<'a> {
    spec: &'a DockerSpec,
    outlet: &'a Outlet,
    engine: &'a Engine,
    plan: &'a mut Plan,
    machine: Machine,
    running: BTreeMap<String, Container>,
    ended: Vec<Ended>,
    /// When the Engine last said anything.
    heard: Timestamp,
}

/// A container that ended, before that is said.
struct Ended {
    container: Container,
    at: Timestamp,
    exit_code: Option<i64>,
    said_at: Instant,
}

impl Watch<'_> {
    fn now(&self) -> Timestamp {
        (self.spec.clock)()
    }

    /// Until it is to stop; an error when the Engine is gone.
    async fn run(&mut self) -> Result<(), AgentError> {
        // Listening before counting: a container that starts between is met twice, not missed.
        let (send, mut events) = mpsc::channel(1024);
        let mut stream = Box::pin(self.engine.events());
        let listener = tokio::spawn(async move {
            while let Some(event) = stream.next().await {
                let lost = event.is_err();
                if send.send(event).await.is_err() || lost {
                    return;
                }
            }
        });
        let watched = self.watch(&mut events).await;
        listener.abort();
        if watched.is_ok() {
            self.finish().await;
        }
        watched
    }

    async fn watch(&mut self, events: &mut mpsc::Receiver<Result<EventMessage, AgentError>>) -> Result<(), AgentError> {
        self.count().await?;
        if self.running.is_empty() {
            self.outlet.note("no container runs").await;
        }
        let began = Instant::now();
        let mut counted = began;
        let mut tick = tokio::time::interval(LOOK.min(self.spec.interval));
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                () = self.outlet.stopped() => return Ok(()),
                event = events.recv() => match event {
                    Some(event) => self.told(event?).await?,
                    None => return Err(AgentError::Input("the connection was closed".into())),
                },
                _ = tick.tick() => {
                    self.look().await?;
                    // Those that begin meanwhile need an interval of their own, but not one after the other for ever.
                    let (intervals, all) = (began.elapsed().div_duration_f64(self.spec.interval), self.all_sampled());
                    if self.spec.once && (intervals >= 1.0 && all || intervals >= 3.0) {
                        return Ok(());
                    }
                    if counted.elapsed() >= COUNT {
                        counted = Instant::now();
                        self.count().await?;
                        if let Err(error) = self.plan.refresh() {
                            self.outlet.note(format!("{error}; the one before it still counts")).await;
                        }
                    }
                }
            }
        }
    }

    /// Compares with what runs.
    async fn count(&mut self) -> Result<(), AgentError> {
        let ids = self.engine.running().await?;
        self.heard = self.now();
        for id in &ids {
            self.begin(id, None).await?;
        }
        let gone: Vec<String> = self.running.keys().filter(|id| !ids.contains(id)).cloned().collect();
        for id in gone {
            self.end(&id, self.now(), None);
        }
        Ok(())
    }

    async fn begin(&mut self, id: &str, started: Option<Timestamp>) -> Result<(), AgentError> {
        if self.running.contains_key(id) {
            return Ok(());
        }
        let Some(found) = self.engine.inspect(id).await? else { return Ok(()) };
        let stats = self.engine.stats(id).await?;
        let counters = stats.map(|stats| Counters::of(&stats)).unwrap_or_default();
        let base = Point { at: self.now(), clock: Instant::now(), counters };
        if let Some(mut container) = Container::new(&found, &self.spec.env, self.machine, base, started) {
            let pace = self.plan.pace(&container.names.resource, self.now(), container.said, self.spec.interval);
            container.due += Duration::from_secs_f64(pace.interval_s);
            self.running.insert(id.to_owned(), container);
        }
        Ok(())
    }

    fn end(&mut self, id: &str, at: Timestamp, exit_code: Option<i64>) {
        if let Some(container) = self.running.remove(id) {
            self.ended.push(Ended { container, at, exit_code, said_at: Instant::now() });
        }
    }

    /// Something happened to a container.
    async fn told(&mut self, event: EventMessage) -> Result<(), AgentError> {
        self.heard = self.now();
        let Some(id) = event.actor.as_ref().and_then(|actor| actor.id.clone()) else { return Ok(()) };
        let attribute = |name: &str| event.actor.as_ref()?.attributes.as_ref()?.get(name).cloned();
        let at = event.time_nano.map_or(self.heard, |nanos| Timestamp(nanos / 1000));
        match event.action.as_deref() {
            Some("start") => self.begin(&id, Some(at)).await?,
            Some("die") => {
                self.end(&id, at, attribute("exitCode").and_then(|code| code.parse().ok()));
            }
            Some("oom") => {
                let ended = self.ended.iter_mut().map(|ended| &mut ended.container).find(|it| it.id == id);
                if let Some(container) = self.running.get_mut(&id).or(ended) {
                    container.oom();
                }
            }
            Some("update") => {
                if let (Some(found), Some(container)) = (self.engine.inspect(&id).await?, self.running.get_mut(&id)) {
                    container.limit(&found);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// A look at every container that is to be watched closely, and a sample of those that are due.
    async fn look(&mut self) -> Result<(), AgentError> {
        let (now, clock, mut due) = (self.now(), Instant::now(), Vec::new());
        for (id, container) in &mut self.running {
            let pace = self.plan.pace(&container.names.resource, now, container.said, self.spec.interval);
            let interval = Duration::from_secs_f64(pace.interval_s);
            // A window that begins does not wait for the end of a long interval.
            container.due = container.due.min(clock + interval);
            if pace.closely {
                container.look(now);
            }
            // Half a look early is nearer than half a look late.
            if !(self.spec.once && container.sampled) && container.due <= clock + LOOK.min(interval) / 2 {
                due.push((id.clone(), pace.closely));
                container.due += interval;
                if container.due <= clock {
                    container.due = clock + interval;
                }
            }
        }
        self.sample(due).await?;
        self.say_ended(AFTERMATH).await;
        Ok(())
    }

    async fn sample(&mut self, due: Vec<(String, bool)>) -> Result<(), AgentError> {
        let (engine, clock) = (self.engine, self.spec.clock);
        let ask = due.into_iter().map(|(id, closely)| async move {
            let answer = engine.stats(&id).await;
            (id, closely, answer, (clock(), Instant::now()))
        });
        let answers: Vec<_> = stream::iter(ask).buffer_unordered(AT_A_TIME).collect().await;
        for (id, closely, answer, (at, clock)) in answers {
            let answer = answer?;
            self.heard = self.now();
            // Gone meanwhile: its end will be told.
            let Some(answer) = answer else { continue };
            let Some(container) = self.running.get_mut(&id) else { continue };
            let point = Point { at, clock, counters: Counters::of(&answer) };
            if let Some(event) = container.sample(point, closely) {
                self.outlet.event(event).await;
            }
        }
        Ok(())
    }

    fn all_sampled(&self) -> bool {
        self.running.values().all(|container| container.sampled)
    }

    /// Says what ended long enough ago.
    async fn say_ended(&mut self, aftermath: Duration) {
        let (over, rest) =
            std::mem::take(&mut self.ended).into_iter().partition(|it| it.said_at.elapsed() >= aftermath);
        self.ended = rest;
        let over: Vec<Ended> = over;
        for ended in over {
            for event in ended.container.end(ended.at, ended.exit_code) {
                self.outlet.event(event).await;
            }
        }
    }

    /// Stopped: a last sample of everything.
    async fn finish(&mut self) {
        if !self.spec.once {
            let all = self.running.keys().map(|id| (id.clone(), true)).collect();
            // An Engine that went away at this very moment takes its last samples with it; what was seen is said below.
            if self.sample(all).await.is_err() {
                self.give_up().await;
            }
        }
        self.say_ended(Duration::ZERO).await;
    }

    /// The Engine is gone: what was seen of each container since its last sample.
    async fn give_up(&mut self) {
        for (_, container) in std::mem::take(&mut self.running) {
            for event in container.end(self.heard, None) {
                self.outlet.event(event).await;
            }
        }
        self.say_ended(Duration::ZERO).await;
    }
}
