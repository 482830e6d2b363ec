//! The Kubernetes Vertical Pod Autoscaler's recommender, at its defaults.
//!
//! Source: kubernetes/autoscaler, vertical-pod-autoscaler, `pkg/recommender/model/aggregations_config.go` (buckets from
//! 0.01 core and 10 MB growing by 5 %, half-life 24 h, memory as daily peaks over 8 days), `pkg/recommender/util/
//! histogram.go` (a percentile is the upper end of its bucket), `pkg/recommender/logic/recommender.go` and `estimator.go`
//! (p50 / p90 / p95, margin 15 %, confidence multipliers `(1 + 0.001/d)^-2` and `1 + 1/d`, floors 25m and 250 MiB).
//! CPU samples weigh alike, as in the published replay; the VPA weighs them by the request, which is constant here.

use super::{Decision, bumped_peak, state};
use crate::usage::Day;
use domain::units::MIB;

/// In words.
pub(super) const BASIS: &str = "CPU p90 and p90 of 8 daily memory peaks, half-life 24 h, × 1.15 (VPA)";

const BUCKETS: usize = 400;
const GROWTH: f64 = 0.05;
const CPU_FIRST_BUCKET_CORES: f64 = 0.01;
const MEMORY_FIRST_BUCKET_BYTES: f64 = 1e7;
const MARGIN: f64 = 1.15;
const MEMORY_PEAKS: usize = 8;
const CPU_FLOOR_CORES: f64 = 0.025;
const MEMORY_FLOOR_BYTES: f64 = 250.0 * MIB as f64;
/// Lower bound, target, upper bound.
const PERCENTILES: [f64; 3] = [0.5, 0.9, 0.95];

/// A histogram with exponentially growing buckets whose weights halve every day.
struct Decayed {
    /// `edges[i]` is where bucket `i` begins.
    edges: Vec<f64>,
    weights: Vec<f64>,
}

impl Decayed {
    fn new(first_bucket: f64) -> Self {
        let edges = (0..=BUCKETS).map(|i| first_bucket * ((1.0 + GROWTH).powi(i as i32) - 1.0) / GROWTH).collect();
        Self { edges, weights: vec![0.0; BUCKETS] }
    }

    fn add(&mut self, value: f64, age_days: f64) {
        let bucket = self.edges.partition_point(|edge| *edge <= value).saturating_sub(1).min(BUCKETS - 1);
        self.weights[bucket] += 0.5_f64.powf(age_days);
    }

    fn decay(&mut self, days: f64) {
        let factor = 0.5_f64.powf(days);
        self.weights.iter_mut().for_each(|w| *w *= factor);
    }

    /// The upper end of the bucket in which the share `q` of the weight is reached; none when empty.
    fn percentile(&self, q: f64) -> Option<f64> {
        // Summed as the threshold below is, so that q = 1 meets its bucket exactly.
        let total = self.weights.iter().fold(0.0, |sum, w| sum + w);
        if total <= 0.0 {
            return None;
        }
        let mut sum = 0.0;
        let reached = self.weights.iter().position(|w| {
            sum += w;
            sum >= q * total
        });
        Some(self.edges[1 + reached.unwrap_or(BUCKETS - 1)])
    }
}

/// CPU so far; memory is rebuilt from its few peaks at each decision.
pub(crate) struct Vpa {
    cpu: Decayed,
    newest_day: Option<i64>,
}

impl Default for Vpa {
    fn default() -> Self {
        Self { cpu: Decayed::new(CPU_FIRST_BUCKET_CORES), newest_day: None }
    }
}

impl Vpa {
    pub(super) fn learn(&mut self, days: &[Day]) {
        let Some(day) = days.last() else { return };
        if let Some(newest) = self.newest_day {
            self.cpu.decay((day.day - newest) as f64);
        }
        self.newest_day = Some(day.day);
        for (cores, age_days) in day.cpu.aged() {
            self.cpu.add(cores, age_days);
        }
    }

    pub(super) fn decide(&self, days: &[Day]) -> Decision {
        let newest = days.last().map_or(0, |d| d.day);
        let peaks: Vec<(f64, f64)> =
            days.iter().filter_map(|d| Some((bumped_peak(d)?, (newest - d.day) as f64))).collect();
        let mut memory = Decayed::new(MEMORY_FIRST_BUCKET_BYTES);
        for (peak, age_days) in &peaks[peaks.len().saturating_sub(MEMORY_PEAKS)..] {
            memory.add(*peak, *age_days);
        }
        let confidence = confidence_days(days);
        let [lower, target, upper] = PERCENTILES.map(|q| (self.cpu.percentile(q), memory.percentile(q)));
        let sized = |(cpu, memory): (Option<f64>, Option<f64>), multiplier: f64| {
            state(
                cpu.map(|x| (x * MARGIN * multiplier).max(CPU_FLOOR_CORES)),
                memory.map(|x| (x * MARGIN * multiplier).max(MEMORY_FLOOR_BYTES)),
            )
        };
        Decision {
            lower: sized(lower, (1.0 + 0.001 / confidence).powi(-2)),
            target: sized(target, 1.0),
            upper: sized(upper, 1.0 + 1.0 / confidence),
        }
    }
}

/// `min(lifespan in days, samples / 1440)`: the VPA samples once a minute, so a sample of five minutes counts five.
fn confidence_days(days: &[Day]) -> f64 {
    let span = days.last().map_or(0, |d| d.last.0) - days.first().map_or(0, |d| d.first.0);
    let minutes: f64 = days.iter().map(|d| d.minutes).sum();
    (span as f64 / domain::time::DAY as f64).min(minutes / 1440.0).max(1e-6)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage::tests::{Row, load};
    use domain::time::{DAY, HOUR};

    fn decided(rows: &[Row]) -> Decision {
        let usage = load(rows);
        let days = &usage.resources["a/b"];
        let mut vpa = Vpa::default();
        for n in 1..=days.len() {
            vpa.learn(&days[..n]);
        }
        vpa.decide(days)
    }

    #[test]
    fn one_value_is_its_buckets_upper_end_and_margin() {
        // Buckets end at 0.01 × (1.05^n − 1) / 0.05: 0.01, 0.0205, 0.031525 …; 0.03 cores lies in the third.
        let d = decided(&[Row::new("a/b", HOUR, 0.03, 1.5e9)]);
        assert!((d.target.cpu_cores.unwrap() - 0.031525 * 1.15).abs() < 1e-12);
        // 1.5e9 bytes: 1e7 × (1.05^n − 1) / 0.05 first exceeds it at n = ln(8.5) / ln(1.05) → 44.
        let want = 1e7 * (1.05_f64.powi(44) - 1.0) / 0.05 * 1.15;
        assert!((d.target.memory_bytes.unwrap() as f64 - want).abs() < 2.0);
    }

    #[test]
    fn yesterday_weighs_half() {
        // Old 1.0 core × 5 samples, a day later 0.03 × 45 of them: p90 is the low value only because of the decay.
        let at = |day: i64, i: i64, cpu| Row::new("a/b", day * DAY + HOUR + i * 1000, cpu, 1e9);
        let mut rows: Vec<Row> = (0..5).map(|i| at(0, i, 1.0)).collect();
        rows.extend((0..25).map(|i| at(1, i, 0.03)));
        // Weight of the old: 2.5 of 27.5 = 9.1 % < 10 %; undecayed 5 of 30 = 16.7 %.
        assert!(decided(&rows).target.cpu_cores.unwrap() < 0.04);
    }

    #[test]
    fn bounds_widen_with_little_history_and_floors_hold() {
        let rows: Vec<Row> = (0..144).map(|i| Row::new("a/b", i * HOUR / 12, 0.001, 1e6)).collect();
        let d = decided(&rows);
        assert_eq!(d.target.cpu_cores, Some(0.025));
        assert_eq!(d.target.memory_bytes, Some(250 * MIB));
        let wide: Vec<Row> = (0..145).map(|i| Row::new("a/b", i * HOUR / 12, 0.03, 1e6)).collect();
        // Half a day: upper × 3, as the VPA's documentation has it.
        let upper = decided(&wide).upper.cpu_cores.unwrap();
        assert!((upper / (0.031525 * 1.15) - 3.0).abs() < 0.02, "{upper}");
    }

    #[test]
    fn a_kill_raises_the_peak_by_a_fifth_but_at_least_100_mib() {
        let mut row = Row::new("a/b", HOUR, 0.03, 1e9);
        row.oom_kills = 1;
        row.limits.memory_bytes = Some(4_000_000_000);
        let with = decided(&[row]).target.memory_bytes.unwrap() as f64;
        assert!((4.8e9 * 1.15..4.8e9 * 1.15 * 1.051).contains(&with), "{with}");
    }
}
