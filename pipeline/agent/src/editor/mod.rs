//! What editors say of themselves: the heartbeats that WakaTime's plugins already send, taken here instead of there.
//!
//! Listens on this machine alone, and to who knows the token alone. So no plugin of our own is needed, and nothing
//! leaves the machine.

mod heartbeat;
mod http;

use crate::collect::Outlet;
use crate::{AgentError, checkout};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use domain::Timestamp;
use heartbeat::{Beats, Heartbeat};
use http::{Answer, Request, refuse};
use serde_json::{Value, json};
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::AbortHandle;

/// Requests that are served at a time; the next one is told to come again. So many may wait beside them without having shown
/// the token.
const AT_A_TIME: usize = 64;
/// Folders whose checkout is remembered.
const REMEMBERED: usize = 4096;
/// Heartbeats in one request.
const BEATS_MOST: usize = 1000;

/// What to listen to.
#[derive(Clone)]
pub struct EditorSpec {
    /// On this machine.
    pub listen: SocketAddr,
    /// What a plugin sends as its API key.
    pub token: String,
    /// The present.
    pub clock: fn() -> Timestamp,
}

/// Listens until it is stopped. `ready` is told the address, which says the port where any was asked for.
///
/// # Errors
/// The address is not one of this machine alone, or taken.
pub async fn serve(spec: EditorSpec, outlet: Outlet, ready: impl FnOnce(SocketAddr)) -> Result<(), AgentError> {
    if !spec.listen.ip().is_loopback() {
        return Err(AgentError::Input(format!("{} can be reached from other machines", spec.listen)));
    }
    let failed = |error| AgentError::Input(format!("cannot listen on {}: {error}", spec.listen));
    let listener = TcpListener::bind(spec.listen).await.map_err(failed)?;
    ready(listener.local_addr().map_err(failed)?);
    let beats = Mutex::new((Beats::default(), Places::default()));
    let places = Arc::new(Semaphore::new(AT_A_TIME));
    let desk = Arc::new(Desk { token: spec.token, clock: spec.clock, beats, outlet, places });
    let (mut strangers, mut tick) = (Strangers::default(), tokio::time::interval(Duration::from_secs(5)));
    loop {
        tokio::select! {
            () = desk.outlet.stopped() => break,
            _ = tick.tick() => {
                let over = desk.beats().0.over((spec.clock)());
                desk.send(over).await;
            }
            accepted = listener.accept() => {
                // Too many open files, or a client that left at once: the next one may do better.
                let Ok((stream, _)) = accepted else {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                };
                let (desk, known) = (Arc::clone(&desk), Arc::new(AtomicBool::new(false)));
                let now_known = Arc::clone(&known);
                let task = tokio::spawn(async move {
                    let admit = |request: &Request| {
                        let place = desk.admit(request)?;
                        now_known.store(true, Ordering::Relaxed);
                        Ok(place)
                    };
                    http::serve(stream, admit, async |request| desk.answer(request).await).await;
                });
                strangers.add(task.abort_handle(), known);
            }
        }
    }
    let rest = desk.beats().0.all();
    desk.send(rest).await;
    Ok(())
}

/// Connections that have not shown the token yet. They take no place from those that have; when there are many, the one that
/// came first goes without a word, as to answer a slow client it would have to be waited for. An editor says all it has to
/// say at once.
#[derive(Default)]
struct Strangers(VecDeque<(AbortHandle, Arc<AtomicBool>)>);

impl Strangers {
    fn add(&mut self, task: AbortHandle, known: Arc<AtomicBool>) {
        self.0.retain(|(task, known)| !task.is_finished() && !known.load(Ordering::Relaxed));
        if self.0.len() == AT_A_TIME
            && let Some((oldest, known)) = self.0.pop_front()
            && !known.load(Ordering::Relaxed)
        {
            oldest.abort();
        }
        self.0.push_back((task, known));
    }
}

/// Takes an exported dump: WakaTime's own export (`days[].heartbeats[]`), a list of heartbeats, or one a line. Returns
/// how many there were, and how many were none of a file. Blocks.
///
/// # Errors
/// The file cannot be read, or holds no heartbeats.
pub fn read_dump(path: &Path, outlet: &Outlet) -> Result<(u64, u64), AgentError> {
    let text = std::fs::read_to_string(path).map_err(AgentError::file("read", path))?;
    let values = match serde_json::from_str::<Value>(&text) {
        Ok(value) => heartbeats_in(value),
        Err(_) => {
            text.lines().filter(|l| !l.trim().is_empty()).map(serde_json::from_str).collect::<Result<_, _>>().ok()
        }
    };
    let none = || AgentError::Input(format!("{} holds no heartbeats", path.display()));
    let values = values.filter(|values| !values.is_empty()).ok_or_else(none)?;
    let total = values.len() as u64;
    // By time, so that the same heartbeats give the same events in whatever order they are kept.
    let mut beats: Vec<(i64, Heartbeat)> = values
        .into_iter()
        .filter_map(|value| {
            let micros = (value.get("time")?.as_f64()? * 1e6) as i64;
            Some((micros, Heartbeat::read(value).ok()?))
        })
        .collect();
    if beats.is_empty() {
        return Err(none());
    }
    beats.sort_by_key(|(at, _)| *at);
    let (mut open, mut places, mut over) = (Beats::default(), Places::default(), Vec::new());
    let mut skipped = total - beats.len() as u64;
    for (_, beat) in &beats {
        skipped += u64::from(!open.take(beat, beat.at(), &mut |entity| places.find(entity), &mut over));
        for event in over.drain(..) {
            if !outlet.event_blocking(event) {
                return Ok((total, skipped));
            }
        }
    }
    open.all().into_iter().all(|event| outlet.event_blocking(event));
    Ok((total, skipped))
}

fn heartbeats_in(value: Value) -> Option<Vec<Value>> {
    match value {
        Value::Array(beats) => Some(beats),
        Value::Object(mut map) => {
            if map.contains_key("entity") {
                return Some(vec![Value::Object(map)]);
            }
            if let Some(Value::Array(beats)) = map.remove("data").or_else(|| map.remove("heartbeats")) {
                return Some(beats);
            }
            let Some(Value::Array(days)) = map.remove("days") else { return None };
            Some(days.into_iter().filter_map(heartbeats_in).flatten().collect())
        }
        _ => None,
    }
}

/// Who answers.
struct Desk {
    token: String,
    clock: fn() -> Timestamp,
    beats: Mutex<(Beats, Places)>,
    outlet: Outlet,
    places: Arc<Semaphore>,
}

impl Desk {
    fn beats(&self) -> std::sync::MutexGuard<'_, (Beats, Places)> {
        self.beats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn send(&self, events: Vec<Value>) {
        for event in events {
            self.outlet.event(event).await;
        }
    }

    /// By the head of a request, before anything of its body is read.
    fn admit(&self, request: &Request) -> Result<OwnedSemaphorePermit, Answer> {
        if !self.knows(request) {
            return Err(refuse(401, "the API key is not this collector's token"));
        }
        let place = Arc::clone(&self.places).try_acquire_owned();
        place.map_err(|_| refuse(503, "too many requests at once; try again"))
    }

    async fn answer(&self, request: Request) -> Answer {
        // Plugins put different starts before this, by what their `api_url` says.
        let path = request.path.trim_end_matches('/');
        let is = |end: &str| path.ends_with(end);
        match request.method.as_str() {
            "POST" if is("/heartbeats.bulk") => self.take(&request.body, true).await,
            "POST" if is("/heartbeats") => self.take(&request.body, false).await,
            // Asked for by the status bar of some editors: nothing to show is an answer.
            "GET" if is("/statusbar/today") || is("/summaries") => Answer(
                200,
                json!({"data": {
                    "grand_total": {"text": "", "digital": "0:00", "total_seconds": 0, "hours": 0, "minutes": 0, "decimal": "0.00"},
                    "categories": [], "projects": [], "languages": [], "editors": [], "operating_systems": [],
                }}),
            ),
            "GET" if is("/users/current") => {
                Answer(200, json!({"data": {"id": "", "timeout": 15, "writes_only": false}}))
            }
            // What plugins tell of their own faults and ask about experts is none of our business.
            "POST" if is("/plugins/errors") || is("/file_experts") => Answer(201, json!({"data": []})),
            _ => refuse(404, "this collector takes heartbeats only"),
        }
    }

    /// `Basic base64(key)`, with the colon of a name and password or without; `Bearer key`; or `?api_key=key`.
    fn knows(&self, request: &Request) -> bool {
        let mut keys: Vec<String> = Vec::new();
        if let Some((scheme, rest)) = request.authorization.as_deref().and_then(|text| text.split_once(' ')) {
            if scheme.eq_ignore_ascii_case("bearer") {
                keys.push(rest.trim().to_owned());
            } else if scheme.eq_ignore_ascii_case("basic")
                && let Some(key) = STANDARD.decode(rest.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok())
            {
                keys.extend(key.split(':').map(str::to_owned));
            }
        }
        keys.extend(request.query.split('&').filter_map(|pair| pair.strip_prefix("api_key=")).map(str::to_owned));
        keys.iter().any(|key| same(key.as_bytes(), self.token.as_bytes()))
    }

    async fn take(&self, body: &[u8], bulk: bool) -> Answer {
        let values = match serde_json::from_slice(body) {
            Ok(Value::Array(values)) if values.len() > BEATS_MOST => return refuse(413, "too many heartbeats at once"),
            Ok(Value::Array(values)) => values,
            Ok(value @ Value::Object(_)) => vec![value],
            _ => return refuse(400, "the body is no JSON of heartbeats"),
        };
        let (mut over, mut responses) = (Vec::new(), Vec::new());
        {
            let (beats, places) = &mut *self.beats();
            for value in values {
                responses.push(match Heartbeat::read(value) {
                    Ok(beat) => {
                        beats.take(&beat, (self.clock)(), &mut |entity| places.find(entity), &mut over);
                        json!([{"data": {}}, 201])
                    }
                    Err(why) => json!([{"error": why}, 400]),
                });
            }
        }
        self.send(over).await;
        match (bulk, responses.first()) {
            (true, _) => Answer(202, json!({"responses": responses})),
            (false, Some(response)) if response[1] == 201 => Answer(201, json!({"data": {}})),
            (false, Some(response)) => refuse(400, response[0]["error"].as_str().unwrap_or("no heartbeat")),
            (false, None) => refuse(400, "no heartbeat"),
        }
    }
}

/// Compares without telling by the time it takes how much was right.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

/// Which checkout a file of this machine is in.
#[derive(Default)]
struct Places {
    known: HashMap<PathBuf, Option<(String, Option<String>)>>,
}

impl Places {
    fn find(&mut self, entity: &str) -> Option<(String, Option<String>)> {
        let path = Path::new(entity);
        let folder = path.parent().filter(|_| path.is_absolute())?;
        if let Some(found) = self.known.get(folder) {
            return found.clone();
        }
        if self.known.len() == REMEMBERED {
            self.known.clear();
        }
        let top = folder.ancestors().find(|folder| folder.join(".git").exists());
        let found = top.map(|top| (top.to_string_lossy().into_owned(), checkout::detect(top).repo));
        self.known.insert(folder.to_owned(), found.clone());
        found
    }
}
