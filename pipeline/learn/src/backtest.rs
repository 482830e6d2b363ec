//! What policies and limits would have done on the past days.
//!
//! The protocol: one decision per resource and UTC day, from the days before it, held for the whole day; the first days
//! only teach. What is recommended acts as the limit; nothing reacts within the day, so no kill raises a limit, and no
//! limit is capped at what the machine has. Figures are over all samples of all resources alike.

pub use crate::usage::Usage;

use crate::LearnError;
use crate::sizing::{Policy, Sizer};
use crate::usage::{Day, Series};
use domain::Timestamp;
use domain::plan::{Replay, State};
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::path::Path;

/// Days that only teach, where there are enough of them.
const WARM_UP_DAYS: usize = 5;

/// How far back fixed limits are replayed, in days.
const LIMITS_WINDOW_DAYS: i64 = 30;

/// Which past is replayed.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// Days before this one are learned from but not scored; none: all history.
    pub since: Option<Timestamp>,
    /// Samples after this moment are not read.
    pub now: Timestamp,
}

/// What each policy would have done on the same rows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Backtest {
    /// By the policy's name.
    pub policies: BTreeMap<String, Replay>,
    /// Resources with a scored day.
    pub resources: usize,
    /// Scored days over all resources.
    pub resource_days: usize,
    /// The newest sample read.
    pub newest: Timestamp,
}

/// Replays policies over `features.usage`.
///
/// # Errors
/// The file cannot be read or lacks a column, or no day is left to score.
pub fn replay(usage: &Path, policies: &[Policy], span: Span) -> Result<Backtest, LearnError> {
    Usage::load(usage, span.now)?.backtest(policies, span.since)
}

impl Usage {
    /// Replays policies over what was loaded, scoring the days from `since` on.
    ///
    /// # Errors
    /// No day is left to score.
    pub fn backtest(&self, policies: &[Policy], since: Option<Timestamp>) -> Result<Backtest, LearnError> {
        let since = since.map_or(i64::MIN, |t| i64::from(t.day()));
        let histories: Vec<&Vec<Day>> = self.resources.values().collect();
        let scored: Vec<(Vec<Tally>, usize)> =
            histories.par_iter().map(|days| replay_resource(days, policies, since)).collect();
        let mut totals = vec![Tally::default(); policies.len()];
        let (mut resources, mut resource_days) = (0, 0);
        for (tallies, days) in &scored {
            resources += usize::from(*days > 0);
            resource_days += days;
            totals.iter_mut().zip(tallies).for_each(|(total, tally)| total.add(tally));
        }
        if resource_days == 0 {
            return Err(LearnError::TooLittleData("no resource has two days of usage to replay".into()));
        }
        let named = policies.iter().zip(&totals).map(|(policy, total)| (policy.name().to_owned(), total.replay()));
        Ok(Backtest { policies: named.collect(), resources, resource_days, newest: self.newest().unwrap_or_default() })
    }

    /// What fixed limits would have meant for a resource over its last 30 days; none where nothing was recorded.
    /// A limit that is not set is not scored.
    pub fn replay(&self, resource: &str, limits: State) -> Option<Replay> {
        let days = self.resources.get(resource)?;
        let newest = days.last()?.day;
        let mut tally = Tally::default();
        for day in days.iter().filter(|d| d.day > newest - LIMITS_WINDOW_DAYS) {
            tally.day(day, limits);
        }
        Some(tally.replay())
    }
}

/// Every policy over one resource; the second figure is the number of scored days.
fn replay_resource(days: &[Day], policies: &[Policy], since: i64) -> (Vec<Tally>, usize) {
    let warm_up = WARM_UP_DAYS.min(days.len() / 3).max(1);
    let mut sizers: Vec<Sizer> = policies.iter().map(|policy| Sizer::new(*policy)).collect();
    let mut tallies = vec![Tally::default(); policies.len()];
    let mut scored = 0;
    for (n, today) in days.iter().enumerate() {
        let past = &days[..n];
        if n >= warm_up && today.day >= since {
            scored += 1;
            for ((sizer, tally), policy) in sizers.iter().zip(&mut tallies).zip(policies) {
                tally.day(today, effective(*policy, sizer.decide(past).target, today));
            }
        }
        for sizer in &mut sizers {
            sizer.learn(&days[..=n]);
        }
    }
    (tallies, scored)
}

/// The limits in force on a day. Where a policy has nothing to say, what was there stays.
fn effective(policy: Policy, decided: State, today: &Day) -> State {
    if policy == Policy::Static {
        return today.limits;
    }
    State {
        cpu_cores: decided.cpu_cores.or(today.limits.cpu_cores),
        memory_bytes: decided.memory_bytes.or(today.limits.memory_bytes),
    }
}

/// Sums of one figure over samples under their limits, in the figure's unit × samples.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    samples: u64,
    limit: f64,
    slack: f64,
    over: f64,
    used: f64,
    above: u64,
}

impl Sums {
    /// Takes in a day; true when a sample was above the limit.
    fn day(&mut self, series: &Series, limit: f64) -> bool {
        let under = series.under(limit);
        self.samples += series.len() as u64;
        self.limit += limit * series.len() as f64;
        self.slack += under.slack;
        self.over += under.over;
        self.used += series.sum();
        self.above += under.above as u64;
        under.above > 0
    }

    fn add(&mut self, other: &Self) {
        self.samples += other.samples;
        self.limit += other.limit;
        self.slack += other.slack;
        self.over += other.over;
        self.used += other.used;
        self.above += other.above;
    }
}

/// What is counted on the way, before it is divided.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    samples: u64,
    cpu: Sums,
    memory: Sums,
    memory_days: u64,
    violated_days: u64,
}

impl Tally {
    fn day(&mut self, day: &Day, limits: State) {
        self.samples += day.samples as u64;
        if let Some(cores) = limits.cpu_cores {
            self.cpu.day(&day.cpu, cores);
        }
        if let Some(bytes) = limits.memory_bytes.filter(|_| !day.memory.is_empty()) {
            self.memory_days += 1;
            self.violated_days += u64::from(self.memory.day(&day.memory, bytes as f64));
        }
    }

    fn add(&mut self, other: &Self) {
        self.samples += other.samples;
        self.cpu.add(&other.cpu);
        self.memory.add(&other.memory);
        self.memory_days += other.memory_days;
        self.violated_days += other.violated_days;
    }

    fn replay(&self) -> Replay {
        let share = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 0.0 };
        Replay {
            samples: self.samples,
            cpu_limit_cores: share(self.cpu.limit, self.cpu.samples as f64),
            cpu_slack: share(self.cpu.slack, self.cpu.limit),
            throttled_rate: share(self.cpu.above as f64, self.cpu.samples as f64),
            cpu_over: share(self.cpu.over, self.cpu.used),
            memory_limit_bytes: share(self.memory.limit, self.memory.samples as f64),
            memory_slack: share(self.memory.slack, self.memory.limit),
            oom_rate: share(self.memory.above as f64, self.memory.samples as f64),
            oom_days_per_1000: 1000.0 * share(self.violated_days as f64, self.memory_days as f64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage::tests::{Row, load};
    use domain::time::{DAY, MINUTE};

    /// A small generator with a fixed seed (SplitMix64), uniform in 0..1.
    fn uniform(seed: &mut u64) -> f64 {
        *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = *seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) as f64 / u64::MAX as f64
    }

    /// Services of many sizes with daily cycles, noise, drift and rare peaks.
    fn fleet(resources: usize, days: i64, seed: u64) -> Vec<Row> {
        let mut rows = Vec::new();
        let mut seed = seed;
        for r in 0..resources {
            let size = 0.05 * 2.0_f64.powf(6.0 * uniform(&mut seed));
            let memory = 1e8 * 2.0_f64.powf(6.0 * uniform(&mut seed));
            let (noise, drift) = (0.1 + 0.3 * uniform(&mut seed), 0.02 * uniform(&mut seed));
            for i in 0..days * 96 {
                let hour = (i % 96) as f64 / 4.0;
                let swing = 1.0 + 0.6 * (std::f64::consts::TAU * hour / 24.0).sin();
                let peak = if uniform(&mut seed) < 0.002 { 1.0 + uniform(&mut seed) } else { 1.0 };
                let grown = 1.0 + drift * (i / 96) as f64;
                rows.push(Row::new(
                    &format!("e{r}/s"),
                    i * 15 * MINUTE,
                    size * swing * (1.0 + noise * (uniform(&mut seed) - 0.5)) * peak,
                    memory * grown * (1.0 + 0.3 * noise * uniform(&mut seed)) * (1.0 + 0.1 * (peak - 1.0)),
                ));
            }
        }
        rows
    }

    #[test]
    fn a_hand_computed_day() {
        // Day 0 teaches: every sample 1.0 core, 1 GB. Day 1: two samples, of 0.5 and 2.0 cores, 1 and 2 GB.
        let mut rows: Vec<Row> = (0..10).map(|i| Row::new("a/b", i * MINUTE, 1.0, 1e9)).collect();
        rows.push(Row::new("a/b", DAY, 0.5, 1e9));
        rows.push(Row::new("a/b", DAY + MINUTE, 2.0, 2e9));
        let back = load(&rows).backtest(&[Policy::Krr, Policy::Static], None).unwrap();
        assert_eq!((back.resources, back.resource_days), (1, 1));
        let krr = &back.policies["krr"];
        assert_eq!(krr.samples, 2);
        assert!((krr.cpu_limit_cores - 1.0).abs() < 1e-12 && (krr.cpu_slack - 0.25).abs() < 1e-12);
        assert!((krr.throttled_rate - 0.5).abs() < 1e-12 && (krr.cpu_over - 0.4).abs() < 1e-12);
        assert!((krr.memory_limit_bytes - 1.15e9).abs() < 2.0 && (krr.oom_rate - 0.5).abs() < 1e-12);
        assert_eq!(krr.oom_days_per_1000, 1000.0);
        assert_eq!(back.policies["static"].cpu_limit_cores, 4.0);
    }

    #[test]
    fn no_decision_uses_its_own_day() {
        let calm = fleet(1, 12, 7);
        let mut spiked = fleet(1, 12, 7);
        for row in spiked.iter_mut().filter(|r| i64::from(r.ts.day()) == 11) {
            row.cpu = Some(50.0);
            row.memory = Some(9e12);
        }
        for policy in Policy::ALL {
            let limits = |rows: &[Row]| {
                let back = load(rows).backtest(&[policy], Some(Timestamp(11 * DAY))).unwrap();
                assert_eq!(back.resource_days, 1);
                let r = back.policies[policy.name()].clone();
                (r.cpu_limit_cores, r.memory_limit_bytes)
            };
            assert_eq!(limits(&calm), limits(&spiked), "{}", policy.name());
        }
    }

    #[test]
    fn samples_after_now_change_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("usage.parquet");
        crate::usage::tests::write(&path, &fleet(2, 10, 3));
        let now = Timestamp(8 * DAY - 1);
        let cut = replay(&path, &[Policy::Ours], Span { since: None, now }).unwrap();
        let short: Vec<Row> = fleet(2, 10, 3).into_iter().filter(|r| r.ts <= now).collect();
        crate::usage::tests::write(&path, &short);
        let alone = replay(&path, &[Policy::Ours], Span { since: None, now: Timestamp(i64::MAX) }).unwrap();
        assert_eq!(cut, alone);
    }

    #[test]
    fn ours_kills_no_more_than_krr_and_wastes_less_cpu_than_vpa() {
        for seed in [1, 2, 3] {
            let back = load(&fleet(20, 25, seed)).backtest(&[Policy::Ours, Policy::Krr, Policy::Vpa], None).unwrap();
            let [ours, krr, vpa] = ["ours", "krr", "vpa"].map(|p| back.policies[p].clone());
            assert!(ours.oom_rate <= krr.oom_rate && ours.oom_rate <= vpa.oom_rate, "{ours:?} {krr:?} {vpa:?}");
            assert!(ours.oom_days_per_1000 <= krr.oom_days_per_1000);
            assert!(
                ours.cpu_slack < vpa.cpu_slack && ours.throttled_rate < krr.throttled_rate,
                "{ours:?} {krr:?} {vpa:?}"
            );
        }
    }

    #[test]
    fn fixed_limits_are_replayed_and_missing_ones_are_not_scored() {
        let usage = load(&fleet(1, 3, 1));
        let r = usage.replay("e0/s", State { cpu_cores: Some(100.0), memory_bytes: None }).unwrap();
        assert_eq!((r.throttled_rate, r.memory_limit_bytes, r.samples), (0.0, 0.0, 288));
        assert!(r.cpu_slack > 0.9);
        assert!(usage.replay("nobody", State::default()).is_none());
        assert_eq!(usage.live_limits("e0/s").cpu_cores, Some(4.0));
        assert!(load(&fleet(1, 1, 1)).backtest(&[Policy::Ours], None).is_err());
    }
}
