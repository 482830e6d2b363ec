//! What speaks against the figures of a policy: each is judged alone, so that one never blocks the other.
//!
//! A policy minimises cost over past samples. Here stands what a sample cannot say: that it was cut off at its limit, that
//! a mean hides a burst, that the service is configured to take more, that the machine has no more, that more memory
//! only delays the end of a leak.

use super::seen::{FINE_INTERVAL_S, Growth, HeldBack, Killed, Leak};
use super::{Candidate, Recommendation, Replay, ReplayLimits, State};
use crate::Timestamp;
use crate::own_memory::Size;
use crate::time::DAY;
use crate::units;
use std::collections::BTreeMap;

/// A limit is cut only where the resource ran so long without being cut off at one.
const FREE_FOR: i64 = 7 * DAY;
/// At a stated risk, so much of the CPU work of any single day may come late: twenty minutes a night are few samples, and
/// may be all the work there is.
const LATE_WORK: f64 = 0.1;
/// A policy that exceeded memory in a larger share of a resource's own samples than every peer does not cut it.
const MEMORY_GATE: f64 = 0.001;

/// CPU or memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Figure {
    Cpu,
    Memory,
}

/// Why a figure is not what the policy asks for.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Hold {
    /// It has no limit, and a new hard limit is nobody's wish.
    NoLimit(Figure),
    /// CPU was seen at this.
    Peak(f64),
    /// Samples are means over `interval_s`: as if all the work of one came within five minutes.
    Coarse { interval_s: f64, cores: f64 },
    /// It was cut off at a limit until lately; what it wants is not known yet.
    CutOff { figure: Figure, newest: Timestamp },
    /// The service is told that it may take more.
    Own { setting: String, needs: u64, advice: String },
    /// It may be told so; the value cannot be read.
    OwnUnknown(String),
    /// The limit is raised, and the service is configured to take more than that.
    OwnAbove { setting: String, needs: u64 },
    /// The machine has no more, or none larger was seen.
    Machine { figure: Figure, told: bool },
    /// The policy did worse than its peers on this resource's own past.
    Gate { ours: f64, peers: f64 },
    /// More memory would only delay the end.
    Leak(Leak),
    /// Memory has begun to grow, and nobody knows yet where it ends.
    Growing(Growth),
    /// Its limits are switched by the calendar of this applied plan.
    Follows(String),
    /// The target would refuse the change.
    Refused { figure: Figure, why: String },
}

/// The figures after all that speaks against them.
#[derive(Clone, Debug, Default)]
pub(super) struct Held {
    pub(super) state: State,
    pub(super) holds: Vec<Hold>,
}

/// Everything that decides about one resource.
pub(super) struct Case<'a> {
    pub(super) candidate: &'a Candidate,
    pub(super) seen: &'a Recommendation,
    /// The policy's figures.
    pub(super) wanted: State,
    /// The share of the CPU samples of all resources that may be above the limit.
    pub(super) risk: f64,
    pub(super) policy: &'a str,
    pub(super) replay: ReplayLimits<'a>,
}

impl Case<'_> {
    /// Judges both figures.
    pub(super) fn judge(&self) -> Held {
        let mut holds = Vec::new();
        let cpu_cores = self.cpu(&mut holds);
        let memory_bytes = self.memory(&mut holds);
        Held { state: State { cpu_cores, memory_bytes }, holds }
    }

    fn cpu(&self, holds: &mut Vec<Hold>) -> Option<f64> {
        let Some(before) = self.candidate.live.cpu_cores else {
            holds.push(Hold::NoLimit(Figure::Cpu));
            return None;
        };
        let mut cores = self.wanted.cpu_cores.unwrap_or(before);
        if let Some(held) = &self.seen.throttled
            && let Some(at) = held.at(self.then(held.newest).cpu_cores)
        {
            cores = cores.max(units::round_cores(HeldBack::demand(at)));
            if cores < before && self.is_recent(held.newest) {
                holds.push(Hold::CutOff { figure: Figure::Cpu, newest: held.newest });
                return Some(before);
            }
        }
        if cores < before {
            cores = self.no_work_late(cores, before, holds);
        }
        if let Some(most) = self.candidate.machine.size.cpu_cores.filter(|most| cores > before.max(*most)) {
            holds.push(Hold::Machine { figure: Figure::Cpu, told: self.candidate.machine.told });
            cores = before.max(most);
        }
        Some(cores)
    }

    /// A cut of the CPU delays work. Without a stated risk none: the limit stays above every burst that was seen or that a
    /// long sample may hide.
    fn no_work_late(&self, cores: f64, before: f64, holds: &mut Vec<Hold>) -> f64 {
        let mut cut = cores;
        if self.risk > 0.0 {
            let late = |cores: f64| {
                let limits = State { cpu_cores: Some(cores), memory_bytes: None };
                (self.replay)(&self.candidate.resource, limits).and_then(|past| past.late_worst_day).unwrap_or(0.0)
            };
            while cut < before && late(cut) > self.risk.max(LATE_WORK) {
                cut = units::round_cores((cut * 1.1).min(before));
            }
        } else if let Some(peak) = self.seen.peak.cpu_cores.map(units::round_cores).filter(|peak| *peak > cut) {
            cut = peak.min(before);
            holds.push(Hold::Peak(peak));
        }
        if let Some(burst) = self.seen.burst.filter(|burst| burst.interval_s > FINE_INTERVAL_S) {
            // With a stated risk the same holds as if each sample's work came within five minutes of it.
            let allowed = if self.risk > 0.0 { cut * burst.interval_s / FINE_INTERVAL_S } else { burst.cores };
            let cores = units::round_cores(allowed.min(burst.cores));
            if cores > cut {
                holds.retain(|hold| !matches!(hold, Hold::Peak(_)));
                holds.push(Hold::Coarse { interval_s: burst.interval_s, cores });
                cut = cores.min(before);
            }
        }
        cut
    }

    fn memory(&self, holds: &mut Vec<Hold>) -> Option<u64> {
        let before = self.candidate.live.memory_bytes;
        if let Some(leak) = self.seen.leak.filter(|leak| leak.limits_filled == 0 || !self.follows_the_limit()) {
            holds.push(Hold::Leak(leak));
            return before;
        }
        let Some(before) = before else {
            holds.push(Hold::NoLimit(Figure::Memory));
            return None;
        };
        let mut bytes = self.wanted.memory_bytes.unwrap_or(before);
        let killed = self.seen.killed.as_ref().and_then(|killed| {
            let then = self.then(killed.newest_unknown.unwrap_or(killed.newest)).memory_bytes;
            Some((Killed::demand(killed.at(then)?), killed.newest))
        });
        let squeezed = self.seen.squeezed.as_ref().and_then(|held| {
            let then = self.then(held.newest).memory_bytes.map(|bytes| bytes as f64);
            Some((HeldBack::demand(held.at(then)?) as u64, held.newest))
        });
        for (demand, newest) in [killed, squeezed].into_iter().flatten() {
            bytes = bytes.max(units::round_bytes(demand as f64));
            if bytes < before && self.is_recent(newest) {
                holds.push(Hold::CutOff { figure: Figure::Memory, newest });
                return Some(before);
            }
        }
        if let Some(growth) = self.seen.growth.filter(|_| bytes < before) {
            holds.push(Hold::Growing(growth));
            return Some(before);
        }
        if bytes < before {
            bytes = self.no_less_than_it_takes(bytes, before, holds);
        }
        if bytes > before {
            let above = |needs: &u64| *needs > bytes;
            if let Some((own, needs)) =
                self.candidate.own.iter().find_map(|own| Some((own, own.needs().filter(above)?)))
            {
                holds.push(Hold::OwnAbove { setting: own.setting.clone(), needs });
            }
        }
        if let Some(most) = self.candidate.machine.size.memory_bytes.filter(|most| bytes > before.max(*most)) {
            holds.push(Hold::Machine { figure: Figure::Memory, told: self.candidate.machine.told });
            bytes = before.max(most);
        }
        Some(bytes)
    }

    /// A cut of the memory kills: never below a peak that was seen, nor below what the service is configured to take.
    fn no_less_than_it_takes(&self, bytes: u64, before: u64, holds: &mut Vec<Hold>) -> u64 {
        if let Some((ours, peers)) = gate(&self.candidate.backtest, self.policy) {
            holds.push(Hold::Gate { ours, peers });
            return before;
        }
        let peak = self.seen.peak.memory_bytes.unwrap_or(0);
        let mut cut = units::round_bytes(bytes.max(peak.min(before)) as f64);
        for own in &self.candidate.own {
            let Some(least) = own.least(peak) else {
                if own.size == Size::Unknown {
                    holds.push(Hold::OwnUnknown(own.setting.clone()));
                    return before;
                }
                continue;
            };
            if least > cut {
                cut = units::round_bytes(least as f64);
                holds.retain(|hold| !matches!(hold, Hold::Own { .. }));
                holds.push(Hold::Own { setting: own.setting.clone(), needs: least, advice: own.fitting(peak) });
            }
        }
        cut.min(before)
    }

    /// Whether the service is told to take a share of whatever limit there is: then it fills each.
    fn follows_the_limit(&self) -> bool {
        self.candidate.own.iter().any(|own| matches!(own.size, Size::OfLimit(_)))
    }

    /// The limits in force at a moment: those before the newest adjustment where it came later, else the present ones.
    fn then(&self, at: Timestamp) -> State {
        match &self.candidate.resized {
            Some((when, before)) if at < *when => *before,
            _ => self.candidate.live,
        }
    }

    fn is_recent(&self, newest: Timestamp) -> bool {
        self.seen.newest.0 - newest.0 < FREE_FOR
    }
}

/// On the resource's own past: the share of samples over memory under the policy and under the worst of its peers, where
/// the policy is the worst of all.
pub(super) fn gate(backtest: &BTreeMap<String, Replay>, policy: &str) -> Option<(f64, f64)> {
    let ours = backtest.get(policy)?.oom_rate;
    let peers = backtest.iter().filter(|(name, _)| *name != policy).map(|(_, r)| r.oom_rate).fold(0.0, f64::max);
    (ours > peers.max(MEMORY_GATE)).then_some((ours, peers))
}
