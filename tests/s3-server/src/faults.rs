//! What the server does wrong, as the test that started it says: the k-th write from now on, once or from then on.
//!
//! `GET /_faults/K/WAY/WHICH` of nobody in particular, without a signature: no bucket may be called so. It answers with
//! the number of writes since the command before, as `ALL CREATES`; K = 0 only asks. A write is every request but GET and
//! HEAD, and counts when it comes, also when the client repeats it; a create is one that asks for `If-None-Match`. WHICH
//! says which of the two K counts: `writes` or `creates`. WAY is `refused` (403, without effect), `down` (the same, and every
//! write after it), `lost` (it takes effect, the answer is 500), `closed` (it takes effect, there is no answer), `hangs`
//! (neither an effect nor an answer), `silent` (the same, and every one after it) or `late=MS` (it takes effect after so long).

use s3s::{Body, HttpResponse};
use std::sync::{Mutex, PoisonError};

/// Where commands are sent.
pub const COMMANDS: &str = "/_faults/";

/// How a write fails.
#[derive(Clone, Copy)]
pub enum Fault {
    Refused,
    Lost,
    Closed,
    Hangs,
    /// After so many milliseconds.
    Late(u64),
}

/// What fails when.
#[derive(Default)]
pub struct Faults(Mutex<State>);

#[derive(Default)]
struct State {
    writes: u64,
    creates: u64,
    planned: Option<Planned>,
}

struct Planned {
    at: u64,
    fault: Fault,
    /// Also those after it.
    on: bool,
    only_creates: bool,
}

impl Faults {
    /// Takes a command `K/WAY/WHICH`; the writes and creates since the last one.
    pub fn command(&self, command: &str) -> Result<String, String> {
        let wrong = || format!("{command} is no K/WAY/WHICH");
        let [at, way, which] = command.split('/').collect::<Vec<_>>()[..] else { return Err(wrong()) };
        let at: u64 = at.parse().map_err(|_| wrong())?;
        let fault = match way.split_once('=') {
            None if way == "refused" || way == "down" => Fault::Refused,
            None if way == "lost" => Fault::Lost,
            None if way == "closed" => Fault::Closed,
            None if way == "hangs" || way == "silent" => Fault::Hangs,
            Some(("late", by)) => Fault::Late(by.parse().map_err(|_| wrong())?),
            _ => return Err(wrong()),
        };
        let planned = Planned { at, fault, on: way == "down" || way == "silent", only_creates: which == "creates" };
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let State { writes, creates, .. } =
            std::mem::replace(&mut *state, State { planned: (at > 0).then_some(planned), ..State::default() });
        Ok(format!("{writes} {creates}"))
    }

    /// Counts a write; how it is to fail.
    pub fn next(&self, is_create: bool) -> Option<Fault> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.writes += 1;
        state.creates += u64::from(is_create);
        let Planned { at, fault, on, only_creates } = state.planned.as_ref()?;
        let seen = if *only_creates { state.creates } else { state.writes };
        let counts = is_create || !only_creates;
        (counts && (seen == *at || *on && seen > *at)).then_some(*fault)
    }
}

/// A short answer.
pub fn plain(status: u16, text: String) -> HttpResponse {
    let mut answer = HttpResponse::new(Body::from(text));
    *answer.status_mut() = hyper::StatusCode::from_u16(status).unwrap_or(hyper::StatusCode::INTERNAL_SERVER_ERROR);
    answer
}
