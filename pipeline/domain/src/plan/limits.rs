//! The limits of one resource, figure by figure: what the policy and the forecasts want, and what is left of it under small
//! changes, the machine's size and what the target would refuse.

use super::hold::{Figure, Hold};
use super::{Action, Candidate, Recommendation};
use crate::rules::{Rules, When};
use crate::state::State;
use crate::units::{self, MIB};

/// Changes below this share are not worth a restart: `pod-update-threshold` of the Kubernetes VPA.
pub(super) const WORTHWHILE: f64 = 0.1;

/// The smallest limits ever proposed: below them a shell does not start reliably. KRR uses 10m / 100 MiB.
pub(super) const FLOOR: State = State { cpu_cores: Some(0.05), memory_bytes: Some(64 * MIB) };

/// The policy's target, raised to what is foreseen: a known deployment, or a run that wants more than those before it, must
/// not be starved by a quiet past.
pub(super) fn wanted(recommendation: &Recommendation, candidate: &Candidate, raised: State) -> State {
    let scheduled = candidate.expected.as_ref().filter(|e| !e.schedule.is_empty()).map(|e| e.upper);
    let coming = candidate.coming.as_ref().map(|coming| coming.demand);
    let scheduled = raised.most(scheduled.unwrap_or_default()).most(coming.unwrap_or_default());
    let cpu = recommendation
        .target
        .cpu_cores
        .map(|cpu| units::round_cores(cpu.max(scheduled.cpu_cores.unwrap_or(0.0)).max(FLOOR.cpu_cores.unwrap_or(0.0))));
    let memory = recommendation.target.memory_bytes.map(|memory| {
        let most = memory.max(scheduled.memory_bytes.unwrap_or(0)).max(FLOOR.memory_bytes.unwrap_or(0));
        units::round_bytes(most as f64)
    });
    State { cpu_cores: cpu, memory_bytes: memory }
}

/// What a rule raises limits to: the upper bound of a forecast that breaches them, or of one of a resource that will likely
/// be contended.
pub(super) fn raised(candidate: &Candidate, rules: &Rules) -> State {
    let Some(expected) = &candidate.expected else { return State::default() };
    let (name, live) = (candidate.resource.as_str(), candidate.live);
    let contended = candidate.contention.is_some_and(|p| rules.leads(When::Contention, p, Action::Resize, name));
    let breaches = |peak: Option<f64>, limit: Option<f64>| {
        let share = peak.zip(limit).filter(|(_, limit)| *limit > 0.0).map(|(peak, limit)| peak / limit);
        share.is_some_and(|share| rules.leads(When::ForecastBreach, share, Action::Resize, name))
    };
    let bytes = |state: State| state.memory_bytes.map(|bytes| bytes as f64);
    State {
        cpu_cores: expected.upper.cpu_cores.filter(|_| contended || breaches(expected.peak.cpu_cores, live.cpu_cores)),
        memory_bytes: expected.upper.memory_bytes.filter(|_| breaches(bytes(expected.peak), bytes(live))),
    }
}

/// A figure that would move by less than [`WORTHWHILE`] stays as it is.
pub(super) fn keep_small_changes(before: State, after: State) -> State {
    let small = |old: f64, new: f64| old > 0.0 && ((new - old) / old).abs() < WORTHWHILE;
    State {
        cpu_cores: match (before.cpu_cores, after.cpu_cores) {
            (Some(old), Some(new)) if small(old, new) => Some(old),
            (old, None) => old,
            (_, new) => new,
        },
        memory_bytes: match (before.memory_bytes, after.memory_bytes) {
            (Some(old), Some(new)) if small(old as f64, new as f64) => Some(old),
            (old, None) => old,
            (_, new) => new,
        },
    }
}

/// No rule makes a machine larger: a pin or floor above what is told of it ends there. What is only guessed of a machine
/// does not speak against a person.
pub(super) fn within_machine(candidate: &Candidate, ruled: State, holds: &mut Vec<Hold>) -> State {
    let (before, machine) = (candidate.live, candidate.machine);
    if !machine.told {
        return ruled;
    }
    let mut held = |figure: Figure| {
        let hold = Hold::Machine { figure, told: machine.told };
        if !holds.contains(&hold) {
            holds.push(hold);
        }
    };
    let mut after = ruled;
    if let (Some(cores), Some(most)) = (ruled.cpu_cores, machine.size.cpu_cores)
        && cores > most.max(before.cpu_cores.unwrap_or(0.0))
    {
        held(Figure::Cpu);
        after.cpu_cores = Some(most.max(before.cpu_cores.unwrap_or(0.0)));
    }
    if let (Some(bytes), Some(most)) = (ruled.memory_bytes, machine.size.memory_bytes)
        && bytes > most.max(before.memory_bytes.unwrap_or(0))
    {
        held(Figure::Memory);
        after.memory_bytes = Some(most.max(before.memory_bytes.unwrap_or(0)));
    }
    after
}

/// The figures that the target would write; a refused one stays, the other is not held back by it.
pub(super) fn unless_refused(candidate: &Candidate, after: State, holds: &mut Vec<Hold>) -> State {
    let before = candidate.live;
    let mut refused = |figure: Figure, why: &Option<String>, changes: bool| {
        let Some(why) = why.as_ref().filter(|_| changes) else { return false };
        holds.push(Hold::Refused { figure, why: why.clone() });
        true
    };
    let cpu = refused(Figure::Cpu, &candidate.refused.cpu, after.cpu_cores != before.cpu_cores);
    let memory = refused(Figure::Memory, &candidate.refused.memory, after.memory_bytes != before.memory_bytes);
    State {
        cpu_cores: if cpu { before.cpu_cores } else { after.cpu_cores },
        memory_bytes: if memory { before.memory_bytes } else { after.memory_bytes },
    }
}
