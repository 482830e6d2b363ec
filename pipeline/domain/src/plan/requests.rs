//! Requests beside limits: what a scheduler keeps free for a resource, which is what is paid for.
//!
//! A limit holds a high quantile of what a resource wants, so that it is neither throttled nor killed; a request what it uses on
//! a typical day, since not all have their worst day at once.

use super::Candidate;
use super::Item;
use super::limits::{FLOOR, WORTHWHILE};
use crate::state::State;
use crate::units::{format_bytes, round_bytes, round_cores};
use serde::{Deserialize, Serialize};

/// What is reserved for a resource, where its target tells requests and limits apart.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Requests {
    /// The requests now; a figure without one has none, or is itself all that the target sets.
    pub before: State,
    /// The requests after, no higher than the limits.
    pub after: State,
}

impl Requests {
    /// What to reserve beside these limits; none where nothing is reserved now. `typical` is what a typical day takes, where that is
    /// known: else a request stays, but for a limit that is below it.
    pub(super) fn of(candidate: &Candidate, limits: State, typical: Option<State>) -> Option<Self> {
        let before = candidate.requests.filter(|requests| !requests.is_empty())?;
        let (live, typical) = (candidate.live, typical.unwrap_or_default());
        let bytes = |bytes: Option<u64>| bytes.map(|bytes| bytes as f64);
        let cores = typical.cpu_cores.map(|cores| round_cores(cores.max(FLOOR.cpu_cores.unwrap_or(0.0))));
        let memory = typical.memory_bytes.map(|it| round_bytes(it.max(FLOOR.memory_bytes.unwrap_or(0)) as f64));
        let cpu = |old| moved(old, live.cpu_cores, limits.cpu_cores, cores);
        let memory =
            |old: u64| moved(old as f64, bytes(live.memory_bytes), bytes(limits.memory_bytes), bytes(memory)) as u64;
        // What the target would refuse stays as a whole.
        let (no_cpu, no_memory) = (candidate.refused.cpu.is_some(), candidate.refused.memory.is_some());
        let after = State {
            cpu_cores: before.cpu_cores.map(|old| if no_cpu { old } else { cpu(old) }),
            memory_bytes: before.memory_bytes.map(|old| if no_memory { old } else { memory(old) }),
        };
        Some(Self { before, after })
    }

    /// Whether something is reserved otherwise than now.
    pub fn is_change(&self) -> bool {
        self.before != self.after
    }

    /// `requests 2 -> 0.6 cores, 4 GiB -> 1.5 GiB`; none where they stay.
    pub fn in_words(&self) -> Option<String> {
        let (before, after) = (self.before, self.after);
        let cores = before.cpu_cores.zip(after.cpu_cores).filter(|(old, new)| old != new);
        let cores = cores.map(|(old, new)| format!("{old} -> {new} cores"));
        let memory = before.memory_bytes.zip(after.memory_bytes).filter(|(old, new)| old != new);
        let memory = memory.map(|(old, new)| format!("{} -> {}", format_bytes(old as f64), format_bytes(new as f64)));
        let all: Vec<String> = cores.into_iter().chain(memory).collect();
        (!all.is_empty()).then(|| format!("requests {}", all.join(", ")))
    }
}

impl Item {
    /// What is kept free for it now: its requests, and its limits where it has none.
    pub fn reserves_before(&self) -> State {
        over(self.requests.map(|requests| requests.before), self.before)
    }

    /// The same, after.
    pub fn reserves_after(&self) -> State {
        over(self.requests.map(|requests| requests.after), self.after)
    }
}

fn over(requests: Option<State>, limits: State) -> State {
    let requests = requests.unwrap_or_default();
    State {
        cpu_cores: requests.cpu_cores.or(limits.cpu_cores),
        memory_bytes: requests.memory_bytes.or(limits.memory_bytes),
    }
}

/// One figure. What is all of its limit stays all of it: the resource is guaranteed what it may use. A move that is not worth a
/// restart is left.
fn moved(old: f64, limit: Option<f64>, new_limit: Option<f64>, typical: Option<f64>) -> f64 {
    if limit.is_some_and(|limit| old >= limit) {
        return new_limit.unwrap_or(old);
    }
    let most = new_limit.unwrap_or(f64::INFINITY);
    let wanted = typical.unwrap_or(old).min(most);
    let is_small = old > 0.0 && ((wanted - old) / old).abs() < WORTHWHILE;
    if is_small { old.min(most) } else { wanted }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::GIB;

    fn state(cores: f64, gib: u64) -> State {
        State { cpu_cores: Some(cores), memory_bytes: Some(gib * GIB) }
    }

    #[test]
    fn a_request_is_a_typical_day_below_its_limit_and_what_is_guaranteed_stays_so() {
        let of = |live: State, requests: State, limits: State, typical: Option<State>| {
            let candidate = Candidate { live, requests: Some(requests), ..Candidate::default() };
            Requests::of(&candidate, limits, typical).unwrap().after
        };
        let typical = Some(state(0.6, 2));
        assert_eq!(of(state(4.0, 8), state(2.0, 4), state(3.0, 6), typical), state(0.6, 2));
        assert_eq!(of(state(4.0, 8), state(4.0, 8), state(3.0, 6), typical), state(3.0, 6), "guaranteed");
        assert_eq!(of(state(4.0, 8), state(2.0, 4), state(0.5, 1), typical), state(0.5, 1), "no higher than the limit");
        assert_eq!(of(state(4.0, 8), state(2.0, 4), state(1.0, 3), None), state(1.0, 3), "nothing is known");
        assert_eq!(of(state(4.0, 8), state(0.62, 2), state(3.0, 6), typical), state(0.62, 2), "not worth a restart");
        assert_eq!(Requests::of(&Candidate::default(), state(1.0, 1), typical), None);
    }

    #[test]
    fn words_name_what_moves() {
        let requests = Requests { before: state(2.0, 4), after: state(0.5, 4) };
        assert_eq!(requests.in_words().as_deref(), Some("requests 2 -> 0.5 cores"));
        assert_eq!(Requests { after: requests.before, ..requests }.in_words(), None);
    }
}
