//! Ours: CPU by the price of a throttled sample, memory by the cheapest rule of its own past.
//!
//! CPU and memory are chosen apart, because lack of CPU slows and lack of memory kills. The CPU follows one dial: the share
//! of the fleet's samples that may be above their limit ([`super::dial`], over the rules of [`super::cpu_rules`]). Memory
//! has none ([`super::memory_rules`]).
//!
//! What was cut off at its limit shows less than it wanted: after an OOM kill memory goes above the limit that killed it,
//! and where throttling held samples back CPU goes above the limit that held them.

use super::cpu_rules::{self, CpuRules, FLOOR_CORES, highest_quantile, throttled_demand};
use super::dial::Dial;
use super::memory_rules::{self, MemoryRules, killed_demand};
use super::{Decision, highest_of, last, state};
use crate::usage::{Day, Series, highest};
use domain::plan::State;

/// The share of the fleet's CPU samples that may be above their limit.
#[derive(Clone, Copy)]
pub(crate) struct Accepted<'a> {
    pub dial: &'a Dial,
    pub risk: f64,
}

/// Both figures on their way through the days.
#[derive(Default)]
pub(crate) struct Ours {
    cpu: CpuRules,
    memory: MemoryRules,
}

impl Ours {
    pub(crate) fn learn(&mut self, days: &[Day]) {
        self.cpu.learn(days);
        self.memory.learn(days);
    }

    /// The limits at each of several accepted shares, as decided after the last of `days`.
    pub(crate) fn targets(&self, days: &[Day], dial: &Dial, risks: &[f64]) -> Vec<State> {
        let next = days.last().map_or(0, |day| day.day + 1);
        let curve = self.cpu.curve(days);
        let memory = self.memory.target(days);
        risks.iter().map(|risk| state(curve.as_ref().map(|curve| dial.limit(curve, next, *risk)), memory)).collect()
    }

    pub(super) fn decide(&self, days: &[Day], accepted: Accepted<'_>) -> Decision {
        let target = self.targets(days, accepted.dial, &[accepted.risk]).pop().unwrap_or_default();
        // Less than the p90 of the busiest of seven days would throttle daily; less than a peak of the month would kill.
        let cpu: Vec<&Series> = last(days, 7).iter().map(|d| &d.cpu).filter(|s| !s.is_empty()).collect();
        let month = last(days, 30);
        let peak = highest_of(month, |d| d.memory.max());
        let lower = state(highest_quantile(&cpu, 7, 0.90).map(|x| x.max(FLOOR_CORES)), peak);
        // More than the loosest rule of the grid has never been worth it.
        let upper = state(
            highest_of(month, |d| d.cpu.max()).map(|x| (x * cpu_rules::LOOSEST).max(FLOOR_CORES)),
            peak.map(|x| memory_rules::limit(x, memory_rules::LOOSEST)),
        );
        Decision { lower: no_more_than(lower, target), target, upper: no_less_than(upper, target) }
    }

    pub(super) fn basis(&self, days: &[Day], accepted: Accepted<'_>) -> String {
        let share = (accepted.risk * 1000.0).round() / 10.0;
        let cpu = match self.cpu.has_chosen() {
            false => "CPU: max of daily p99 over 14 d × 1.20, default, too few days to choose".to_owned(),
            true => {
                let days = self.cpu.days();
                format!("CPU: rules weighed by replay of {days} days, where {share} % of all samples may be above")
            }
        };
        let mut basis = format!("{cpu}; {}", self.memory.basis());
        if throttled_demand(days).is_some() {
            basis.push_str("; CPU at least 1.25 × the limit that throttled it");
        }
        if killed_demand(days).is_some() {
            basis.push_str("; memory at least 1.25 × what was killed, or 100 MiB more");
        }
        basis
    }
}

fn no_more_than(bound: State, target: State) -> State {
    State {
        cpu_cores: bound.cpu_cores.map(|x| x.min(target.cpu_cores.unwrap_or(x))),
        memory_bytes: bound.memory_bytes.map(|x| x.min(target.memory_bytes.unwrap_or(x))),
    }
}

fn no_less_than(bound: State, target: State) -> State {
    let memory = highest(bound.memory_bytes.map(|b| b as f64), target.memory_bytes.map(|b| b as f64));
    State { cpu_cores: highest(bound.cpu_cores, target.cpu_cores), memory_bytes: memory.map(|b| b as u64) }
}

#[cfg(test)]
mod tests {
    use crate::sizing::{DEFAULT_RISK, Policy};
    use crate::usage::tests::{Row, load};
    use domain::time::{DAY, MINUTE};

    fn steady(days: i64) -> Vec<Row> {
        (0..days * 288)
            .map(|i| Row::new("a/b", i * 5 * MINUTE, 0.5 + 0.01 * (i % 7) as f64, 1e9 + 1e6 * (i % 11) as f64))
            .collect()
    }

    #[test]
    fn a_steady_resource_gets_little_slack() {
        let r = &load(&steady(10)).recommend(Policy::Ours, DEFAULT_RISK, &|_| true)[0];
        assert!((0.5..0.62).contains(&r.target.cpu_cores.unwrap()), "{r:?}");
        let memory = r.target.memory_bytes.unwrap() as f64;
        assert!((1.1e9..1.5e9).contains(&memory), "{memory}");
        assert!(r.basis.contains("chosen by replay of 9 days"), "{}", r.basis);
    }

    #[test]
    fn a_kill_raises_memory_above_what_killed_it() {
        let mut rows = steady(10);
        rows[500].oom_kills = 1;
        rows[500].limits.memory_bytes = Some(3_000_000_000);
        let r = &load(&rows).recommend(Policy::Ours, DEFAULT_RISK, &|_| true)[0];
        assert_eq!(r.target.memory_bytes, Some(3_750_000_000));
        assert_eq!(r.oom_kills, 1);
    }

    #[test]
    fn throttling_raises_cpu_above_the_limit_that_held_it() {
        let mut rows = steady(10);
        for row in rows.iter_mut().filter(|r| r.ts.0 > 8 * DAY) {
            row.throttled_ratio = 0.6;
            row.limits.cpu_cores = Some(0.56);
        }
        let r = &load(&rows).recommend(Policy::Ours, DEFAULT_RISK, &|_| true)[0];
        assert!((r.target.cpu_cores.unwrap() - 0.7).abs() < 1e-9, "{r:?}");
    }

    #[test]
    fn few_days_take_the_default() {
        let r = &load(&steady(2)).recommend(Policy::Ours, DEFAULT_RISK, &|_| true)[0];
        assert!(r.basis.contains("default"), "{}", r.basis);
        assert!(r.target.memory_bytes.unwrap() as f64 > 1.2e9);
    }
}
