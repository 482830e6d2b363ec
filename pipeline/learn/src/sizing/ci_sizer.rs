//! EDP CI Sizer: of each of the last 5 clean runs the p95, of those the maximum, × 1.2; × 3 while there are fewer than 3.
//!
//! Source: docs.edp.buildth.ing, CI Sizer. A "run" here is a day of a resource; a day with an OOM kill is not clean. The
//! staircase of its memory increments is not published in figures and not here.

use super::{Decision, at_least, state};
use crate::usage::Day;

/// In words.
pub(super) const BASIS: &str = "highest daily p95 of the last 5 clean days × 1.2, × 3 below 3 days (as CI Sizer)";

const CLEAN_DAYS: usize = 5;
const CPU_FLOOR_CORES: f64 = 0.010;
const MEMORY_FLOOR_BYTES: f64 = 10.0 * 1_048_576.0;

/// One figure, no bounds.
pub(super) fn decide(days: &[Day]) -> Decision {
    let clean: Vec<&Day> = days.iter().rev().filter(|d| d.oom_kills == 0).take(CLEAN_DAYS).collect();
    let margin = if clean.len() < 3 { 3.0 } else { 1.2 };
    let most = |figure: fn(&Day) -> Option<f64>| {
        clean.iter().filter_map(|d| figure(d)).max_by(f64::total_cmp).map(|x| x * margin)
    };
    let target = state(
        at_least(CPU_FLOOR_CORES, most(|d| d.cpu.quantile(0.95))),
        at_least(MEMORY_FLOOR_BYTES, most(|d| d.memory.quantile(0.95))),
    );
    Decision { lower: target, target, upper: target }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage::tests::{Row, load};
    use domain::time::DAY;

    #[test]
    fn few_days_are_trebled_and_killed_days_left_out() {
        let mut rows: Vec<Row> = (0..2).map(|d| Row::new("a/b", d * DAY, 1.0, 1e9)).collect();
        assert_eq!(decide(&load(&rows).resources["a/b"]).target.cpu_cores, Some(3.0));
        rows.push(Row::new("a/b", 2 * DAY, 0.5, 1e9));
        rows.push(Row { oom_kills: 1, ..Row::new("a/b", 3 * DAY, 5.0, 5e9) });
        let target = decide(&load(&rows).resources["a/b"]).target;
        assert_eq!((target.cpu_cores, target.memory_bytes), (Some(1.2), Some(1_200_000_000)));
    }
}
