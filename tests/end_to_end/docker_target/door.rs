//! A door before an Engine's socket: every request goes through it, and can be stopped at.
//!
//! The program speaks one request a connection. So the requests are counted, and the process that sends them is killed, or
//! held, at one of them: nothing in the program knows of it.

use crate::collect::engine::Engine;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;
use tempfile::TempDir;

/// When something happens, by the changes that are asked for, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Never.
    Pass,
    /// Before the nth change reaches the Engine.
    Before(usize),
    /// After the nth change was made, and before anybody is told.
    Made(usize),
    /// Before the request behind the nth change.
    Behind(usize),
}

impl Moment {
    /// Every moment of so many changes.
    pub fn all(changes: usize) -> impl Iterator<Item = Self> {
        (1..=changes).flat_map(|n| [Self::Before(n), Self::Made(n), Self::Behind(n)])
    }
}

/// The head of a request.
pub struct Request(String);

impl Request {
    /// Whether limits or weights are changed by it.
    pub fn is_update(&self) -> bool {
        self.asks_for("/update")
    }

    /// Whether anything is changed by it.
    fn is_change(&self) -> bool {
        let of_images = self.0.starts_with("POST ") && self.path().ends_with("/images/load")
            || self.0.starts_with("DELETE ") && self.path().contains("/images/");
        of_images || ["/update", "/restart", "/start", "/stop"].iter().any(|what| self.asks_for(what))
    }

    fn asks_for(&self, what: &str) -> bool {
        self.0.starts_with("POST ") && self.path().contains("/containers/") && self.path().ends_with(what)
    }

    /// Without its query.
    fn path(&self) -> &str {
        self.0.split(' ').nth(1).and_then(|path| path.split('?').next()).unwrap_or_default()
    }
}

struct State {
    moment: Moment,
    /// Who is killed; none: who is held.
    victim: Option<u32>,
    changes: usize,
    reached: bool,
}

pub struct Door {
    folder: TempDir,
    state: Arc<(Mutex<State>, Condvar)>,
    closed: Arc<AtomicBool>,
}

impl Door {
    /// `look` sees every request before it goes through.
    pub fn open(engine: &Engine, look: impl Fn(&Request) + Send + Sync + 'static) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("docker.sock")).unwrap();
        let state = State { moment: Moment::Pass, victim: None, changes: 0, reached: false };
        let state = Arc::new((Mutex::new(state), Condvar::new()));
        let closed = Arc::new(AtomicBool::new(false));
        let socket = engine.address().strip_prefix("unix://").unwrap().to_owned();
        let (look, shared, ended) = (Arc::new(look), state.clone(), closed.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                if ended.load(Ordering::SeqCst) {
                    return;
                }
                let (look, shared, socket) = (look.clone(), shared.clone(), socket.clone());
                std::thread::spawn(move || through(stream, &socket, look.as_ref(), &shared));
            }
        });
        Self { folder, state, closed }
    }

    pub fn address(&self) -> String {
        format!("unix://{}", self.folder.path().join("docker.sock").display())
    }

    /// Kills a process at a moment, counted from now; returns when that has happened, or the process has ended before.
    pub fn kill(&self, victim: u32, moment: Moment) {
        self.wait(moment, Some(victim));
    }

    /// Holds whoever comes at a moment, until [`Self::pass`].
    pub fn hold(&self, moment: Moment) {
        self.wait(moment, None);
    }

    /// Nobody is stopped any more.
    pub fn pass(&self) {
        let (state, changed) = (&self.state.0, &self.state.1);
        let mut state = state.lock().unwrap();
        *state = State { moment: Moment::Pass, victim: None, changes: 0, reached: false };
        changed.notify_all();
    }

    fn wait(&self, moment: Moment, victim: Option<u32>) {
        let (state, changed) = (&self.state.0, &self.state.1);
        let mut state = state.lock().unwrap();
        *state = State { moment, victim, changes: 0, reached: false };
        let is_alive =
            || victim.is_none_or(|id| std::path::Path::new(&format!("/proc/{id}/cmdline")).exists() && !is_zombie(id));
        for _ in 0..1200 {
            if state.reached || !is_alive() {
                return;
            }
            state = changed.wait_timeout(state, Duration::from_millis(100)).unwrap().0;
        }
        panic!("{moment:?} never came");
    }
}

fn is_zombie(id: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_none_or(|(_, rest)| rest.trim_start().starts_with(['Z', 'X']))
}

impl Drop for Door {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::SeqCst);
        let _ = UnixStream::connect(self.folder.path().join("docker.sock"));
    }
}

/// One connection, with one request.
fn through(
    mut client: UnixStream,
    socket: &str,
    look: &(dyn Fn(&Request) + Send + Sync),
    shared: &(Mutex<State>, Condvar),
) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match client.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return,
        }
    }
    let request = Request(String::from_utf8_lossy(&head).into_owned());
    look(&request);
    let change = request.is_change();
    let (before, made) = {
        let mut state = shared.0.lock().unwrap();
        let behind = !change && state.moment == Moment::Behind(state.changes) && state.changes > 0;
        state.changes += usize::from(change);
        let changes = state.changes;
        (behind || change && state.moment == Moment::Before(changes), change && state.moment == Moment::Made(changes))
    };
    if before && !stop(shared) {
        return;
    }
    let Ok(mut engine) = UnixStream::connect(socket) else { return };
    if engine.write_all(&head).is_err() {
        return;
    }
    let (mut from, mut to) = (client.try_clone().unwrap(), engine.try_clone().unwrap());
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
    let mut first = [0; 4096];
    // The answer comes when the change was made.
    let Ok(length) = engine.read(&mut first) else { return };
    if made && !stop(shared) {
        return;
    }
    if client.write_all(&first[..length]).is_ok() {
        let _ = std::io::copy(&mut engine, &mut client);
    }
    let _ = client.shutdown(Shutdown::Both);
}

/// Kills the victim, or waits until nobody is held; whether the request goes on.
fn stop(shared: &(Mutex<State>, Condvar)) -> bool {
    let mut state = shared.0.lock().unwrap();
    state.reached = true;
    shared.1.notify_all();
    if let Some(victim) = state.victim {
        let _ = Command::new("kill").args(["-9", &victim.to_string()]).status();
        return false;
    }
    let held = state.moment;
    while state.moment == held {
        state = shared.1.wait(state).unwrap();
    }
    true
}
