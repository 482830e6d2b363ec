//! CAST AI's documented defaults: CPU p80, memory maximum + 10 %, over 5 days.
//!
//! Source: docs.cast.ai, workload autoscaling, scaling policies. CAST is closed; its floors, its confidence phase and its
//! surge handling are not published and not here. Floors of 10m and 10 MiB as in the published replay.

use super::{Decision, at_least, highest_of, last, state};
use crate::usage::{Day, quantile};

/// In words.
pub(super) const BASIS: &str = "CPU p80 of 5 d; memory maximum of 5 d × 1.10 (as CAST AI)";

const HISTORY_DAYS: usize = 5;
const CPU_FLOOR_CORES: f64 = 0.010;
const MEMORY_FLOOR_BYTES: f64 = 10.0 * 1_048_576.0;

/// One figure, no bounds.
pub(super) fn decide(days: &[Day]) -> Decision {
    let window = last(days, HISTORY_DAYS);
    let mut cpu: Vec<f64> = window.iter().flat_map(|d| d.cpu.values().iter().copied()).collect();
    cpu.sort_by(f64::total_cmp);
    let memory = highest_of(window, |d| d.memory.max()).map(|m| m * 1.10);
    let target = state(at_least(CPU_FLOOR_CORES, quantile(&cpu, 0.80)), at_least(MEMORY_FLOOR_BYTES, memory));
    Decision { lower: target, target, upper: target }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage::tests::{Row, load};
    use domain::time::MINUTE;

    #[test]
    fn p80_and_a_tenth_on_top_of_the_peak() {
        let rows: Vec<Row> = (0..6).map(|i| Row::new("a/b", i * MINUTE, i as f64, 1e9)).collect();
        let target = decide(&load(&rows).resources["a/b"]).target;
        assert!((target.cpu_cores.unwrap() - 4.0).abs() < 1e-12);
        assert_eq!(target.memory_bytes, Some(1_100_000_000));
    }
}
