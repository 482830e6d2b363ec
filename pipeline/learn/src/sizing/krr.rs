//! Robusta KRR, strategy `simple`: CPU p95 of 14 days, memory maximum of 14 days × 1.15, × 1.25 at least of what a kill
//! had been given, floors 10m and 100 MiB, nothing below 100 points or 3 hours.
//!
//! Source: robusta-dev/krr, `robusta_krr/strategies/simple.py` and `robusta_krr/core/models/config.py`.
//! KRR takes the maximum over pods; a resource here is one container. A "point" there is a sample of Prometheus.

use super::{Decision, at_least, highest_of, last, state};
use crate::usage::{Day, highest, quantile};
use domain::time::HOUR;
use domain::units::MIB;

/// In words.
pub(super) const BASIS: &str = "CPU p95 of 14 d; memory maximum of 14 d × 1.15 (KRR simple)";

const HISTORY_DAYS: usize = 14;
const CPU_FLOOR_CORES: f64 = 0.010;
const MEMORY_FLOOR_BYTES: f64 = 100.0 * MIB as f64;

/// KRR's own condition for saying anything: `points_required` 100 and 3 hours of history.
pub(super) fn enough(days: &[Day]) -> bool {
    let points: usize = days.iter().map(|d| d.cpu.len().max(d.memory.len())).sum();
    let span = days.last().map_or(0, |d| d.last.0) - days.first().map_or(0, |d| d.first.0);
    points >= 100 && span >= 3 * HOUR
}

/// Request and limit in one: KRR has no bounds.
pub(super) fn decide(days: &[Day]) -> Decision {
    let window = last(days, HISTORY_DAYS);
    let mut cpu: Vec<f64> = window.iter().flat_map(|d| d.cpu.values().iter().copied()).collect();
    cpu.sort_by(f64::total_cmp);
    let memory = highest_of(window, |d| d.memory.max()).map(|m| m * 1.15);
    let killed = highest_of(window, |d| d.oom_at).map(|m| m * 1.25);
    let target =
        state(at_least(CPU_FLOOR_CORES, quantile(&cpu, 0.95)), at_least(MEMORY_FLOOR_BYTES, highest(memory, killed)));
    Decision { lower: target, target, upper: target }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage::tests::{Row, load};
    use domain::time::{DAY, MINUTE};

    #[test]
    fn p95_is_linear_and_memory_is_the_maximum_with_margin() {
        // 0.1, 0.2 … 2.1 cores: the 0.95 quantile of 21 values is the 20th, 2.0.
        let mut rows: Vec<Row> =
            (0..21).map(|i| Row::new("a/b", i * 5 * MINUTE, 0.1 * (i + 1) as f64, 1e9 + i as f64)).collect();
        let target = decide(&load(&rows).resources["a/b"]).target;
        assert!((target.cpu_cores.unwrap() - 2.0).abs() < 1e-12);
        assert_eq!(target.memory_bytes, Some((1.15 * (1e9 + 20.0_f64)).ceil() as u64));

        rows[3].oom_kills = 1;
        rows[3].limits.memory_bytes = Some(2_000_000_000);
        assert_eq!(decide(&load(&rows).resources["a/b"]).target.memory_bytes, Some(2_500_000_000));
    }

    #[test]
    fn what_is_older_than_fourteen_days_is_forgotten_and_floors_hold() {
        let mut rows = vec![Row::new("a/b", 0, 9.0, 9e9)];
        rows.extend((1..=14).map(|d| Row::new("a/b", d * DAY, 0.001, 1e6)));
        let target = decide(&load(&rows).resources["a/b"]).target;
        assert_eq!(target.cpu_cores, Some(0.010));
        assert_eq!(target.memory_bytes, Some(100 * MIB));
    }
}
