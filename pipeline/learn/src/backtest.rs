//! What policies and limits would have done on the past days.
//!
//! The protocol: one decision per resource and UTC day, from the days before it, held for the whole day; the first days
//! only teach. What is recommended acts as the limit; nothing reacts within the day, so no kill raises a limit, and no
//! limit is capped at what the machine has. Figures are over all samples of all resources alike. The public policies decide
//! anew every day, as they do; ours keeps a limit that would hardly change, as a plan does.

mod calendar;
mod frontier;

pub use crate::usage::Usage;
pub use frontier::{Beside, Calendared, Frontier, Point, RISKS};

use crate::LearnError;
use crate::sizing::ours::Accepted;
use crate::sizing::steady::steady;
use crate::sizing::{Policy, Sizer, dial_of};
use crate::usage::{Day, Series, Slice};
use domain::Timestamp;
use domain::plan::{Replay, State};
use rayon::prelude::*;
use std::collections::BTreeMap;

/// Days that only teach, where there are enough of them.
const WARM_UP_DAYS: usize = 5;

/// How far back fixed limits are replayed, in days.
const LIMITS_WINDOW_DAYS: i64 = 30;

/// What each policy would have done on the same rows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Backtest {
    /// By the policy's name.
    pub policies: BTreeMap<String, Replay>,
    /// By resource, then by the policy's name.
    pub by_resource: BTreeMap<String, BTreeMap<String, Replay>>,
    /// Resources with a scored day.
    pub resources: usize,
    /// Scored days over all resources.
    pub resource_days: usize,
    /// The newest sample read.
    pub newest: Timestamp,
}

/// Which past is replayed, of which resources, and what is accepted.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// Days before this one are learned from but not scored; none: all history.
    pub since: Option<Timestamp>,
    /// The share of the CPU samples of these resources that may be above their limit.
    pub risk: f64,
    /// The resources: one fleet, which knows nothing of the others.
    pub wanted: &'a (dyn Fn(&str) -> bool + Sync),
}

impl Asked<'_> {
    fn since_day(&self) -> i64 {
        self.since.map_or(i64::MIN, |t| i64::from(t.day()))
    }

    fn histories<'u>(&self, usage: &'u Usage) -> Vec<(&'u String, &'u Vec<Day>)> {
        usage.resources.iter().filter(|(name, _)| (self.wanted)(name)).collect()
    }
}

impl Usage {
    /// Replays policies over what was loaded of the resources asked for.
    ///
    /// # Errors
    /// No day is left to score.
    pub fn backtest(&self, policies: &[Policy], asked: Asked<'_>) -> Result<Backtest, LearnError> {
        let histories = asked.histories(self);
        let dial = dial_of(&histories, policies.contains(&Policy::Ours));
        let accepted = Accepted { dial: &dial, risk: asked.risk };
        let replayed =
            histories.par_iter().map(|(_, days)| replay_resource(days, policies, accepted, asked.since_day()));
        let scored: Vec<(Vec<Tally>, usize)> = replayed.collect();
        let named = |tallies: &[Tally]| -> BTreeMap<String, Replay> {
            policies.iter().zip(tallies).map(|(policy, tally)| (policy.name().to_owned(), tally.replay())).collect()
        };
        let mut totals = vec![Tally::default(); policies.len()];
        let mut backtest = Backtest { newest: self.newest().unwrap_or_default(), ..Backtest::default() };
        for ((resource, _), (tallies, days)) in histories.iter().zip(&scored).filter(|(_, (_, days))| *days > 0) {
            backtest.resources += 1;
            backtest.resource_days += days;
            backtest.by_resource.insert((*resource).clone(), named(tallies));
            totals.iter_mut().zip(tallies).for_each(|(total, tally)| total.add(tally));
        }
        if backtest.resource_days == 0 {
            return Err(LearnError::TooLittleData("no resource has two days of usage to replay".into()));
        }
        backtest.policies = named(&totals);
        Ok(backtest)
    }

    /// What fixed limits would have meant for a resource over its last 30 days; none where nothing was recorded.
    /// A limit that is not set is not scored.
    pub fn replay(&self, resource: &str, limits: State) -> Option<Replay> {
        let days = self.resources.get(resource)?;
        let newest = days.last()?.day;
        let mut tally = Tally::default();
        let mut late = limits.cpu_cores.filter(|cores| *cores > 0.0).map(Late::under);
        for day in days.iter().filter(|d| d.day > newest - LIMITS_WINDOW_DAYS) {
            tally.day(day, limits);
            if let Some(late) = &mut late {
                late.day(&day.timeline);
            }
        }
        let replay = tally.replay();
        Some(Replay {
            late_core_seconds: late.map(|late| late.core_seconds),
            late_worst_day: late.map(|late| late.worst_day),
            catch_up_s: late.map(|late| late.longest_s),
            ..replay
        })
    }
}

/// The CPU work that a limit puts off, in order of time. A share of samples says nothing of it: twenty minutes a night may be
/// all the work there is.
#[derive(Clone, Copy, Debug, Default)]
struct Late {
    cores: f64,
    /// Work above the limit.
    core_seconds: f64,
    /// Its largest share of the work of a day.
    worst_day: f64,
    /// What is still to be caught up with, and for how long there has been something.
    backlog: f64,
    behind_s: f64,
    longest_s: f64,
}

impl Late {
    fn under(cores: f64) -> Self {
        Self { cores, ..Self::default() }
    }

    fn day(&mut self, timeline: &[Slice]) {
        let (mut work, mut late) = (0.0, 0.0);
        for slice in timeline {
            let above = (slice.cores - self.cores) * slice.interval_s;
            work += slice.cores * slice.interval_s;
            late += above.max(0.0);
            if above > 0.0 || self.backlog > 0.0 {
                // The last sample of a backlog counts until it is worked off.
                let part = if above < 0.0 { (self.backlog / -above).min(1.0) } else { 1.0 };
                self.behind_s += slice.interval_s * part;
                self.longest_s = self.longest_s.max(self.behind_s);
            }
            self.backlog = (self.backlog + above).max(0.0);
            if self.backlog == 0.0 {
                self.behind_s = 0.0;
            }
        }
        self.core_seconds += late;
        if work > 0.0 {
            self.worst_day = self.worst_day.max(late / work);
        }
    }
}

/// Days of a resource that only teach.
fn warm_up(days: &[Day]) -> usize {
    WARM_UP_DAYS.min(days.len() / 3).max(1)
}

/// Every policy over one resource; the second figure is the number of scored days.
fn replay_resource(days: &[Day], policies: &[Policy], accepted: Accepted<'_>, since: i64) -> (Vec<Tally>, usize) {
    let warm_up = warm_up(days);
    let mut sizers: Vec<Sizer<'_>> = policies.iter().map(|policy| Sizer::new(*policy, accepted)).collect();
    let mut tallies = vec![Tally::default(); policies.len()];
    let mut scored = 0;
    for (n, today) in days.iter().enumerate() {
        let past = &days[..n];
        if n >= warm_up && today.day >= since {
            scored += 1;
            for ((sizer, tally), policy) in sizers.iter().zip(&mut tallies).zip(policies) {
                tally.decided(today, *policy, sizer.decide(past).target);
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

/// What stays of limits in force when others are wanted.
fn kept(old: State, wanted: State) -> State {
    let memory = |bytes: Option<u64>| bytes.map(|bytes| bytes as f64);
    State {
        cpu_cores: wanted.cpu_cores.map(|cores| steady(old.cpu_cores, cores)),
        memory_bytes: wanted.memory_bytes.map(|bytes| steady(memory(old.memory_bytes), bytes as f64) as u64),
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
    /// Days that were decided, and limits that changed from one of them to the next.
    days: u64,
    changes: u64,
    /// Of the last such day; of a sum of several resources, of none.
    in_force: Option<State>,
}

impl Tally {
    /// Takes in a day under what a policy decided before it; the limits in force.
    fn decided(&mut self, day: &Day, policy: Policy, decided: State) -> State {
        let wanted = effective(policy, decided, day);
        let limits = match self.in_force.filter(|_| policy == Policy::Ours) {
            Some(old) => kept(old, wanted),
            None => wanted,
        };
        self.days += 1;
        if let Some(old) = self.in_force {
            self.changes += u64::from(old.cpu_cores != limits.cpu_cores);
            self.changes += u64::from(old.memory_bytes != limits.memory_bytes);
        }
        self.in_force = Some(limits);
        self.day(day, limits);
        limits
    }

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
        self.days += other.days;
        self.changes += other.changes;
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
            changes_per_month: (self.days > 0).then(|| 30.0 * self.changes as f64 / self.days as f64),
            ..Replay::default()
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
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
    pub(super) fn fleet(resources: usize, days: i64, seed: u64) -> Vec<Row> {
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

    pub(super) fn asked(since: Option<Timestamp>) -> Asked<'static> {
        Asked { since, risk: crate::sizing::DEFAULT_RISK, wanted: &|_| true }
    }

    #[test]
    fn a_hand_computed_day() {
        // Day 0 teaches: every sample 1.0 core, 1 GB. Day 1: two samples, of 0.5 and 2.0 cores, 1 and 2 GB.
        let mut rows: Vec<Row> = (0..10).map(|i| Row::new("a/b", i * MINUTE, 1.0, 1e9)).collect();
        rows.push(Row::new("a/b", DAY, 0.5, 1e9));
        rows.push(Row::new("a/b", DAY + MINUTE, 2.0, 2e9));
        let back = load(&rows).backtest(&[Policy::Krr, Policy::Static], asked(None)).unwrap();
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
                let back = load(rows).backtest(&[policy], asked(Some(Timestamp(11 * DAY)))).unwrap();
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
        let ours = |now| Usage::load(&path, now).unwrap().backtest(&[Policy::Ours], asked(None)).unwrap();
        let cut = ours(now);
        let short: Vec<Row> = fleet(2, 10, 3).into_iter().filter(|r| r.ts <= now).collect();
        crate::usage::tests::write(&path, &short);
        assert_eq!(cut, ours(Timestamp(i64::MAX)));
    }

    #[test]
    fn ours_kills_no_more_than_krr_and_wastes_less_cpu_than_vpa() {
        for seed in [1, 2, 3] {
            let back =
                load(&fleet(20, 25, seed)).backtest(&[Policy::Ours, Policy::Krr, Policy::Vpa], asked(None)).unwrap();
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
        assert!(load(&fleet(1, 1, 1)).backtest(&[Policy::Ours], asked(None)).is_err());
    }

    #[test]
    fn work_above_a_limit_is_counted_in_core_seconds_and_until_it_is_caught_up_with() {
        // A day of five-minute samples at 0.04 cores, but for twenty minutes at 3.7.
        let cores = |i: i64| if (24..28).contains(&i) { 3.7 } else { 0.04 };
        let rows: Vec<Row> = (0..288).map(|i| Row::new("a/b", i * 5 * MINUTE, cores(i), 1e8)).collect();
        let usage = load(&rows);
        let under = |cores: f64| usage.replay("a/b", State { cpu_cores: Some(cores), memory_bytes: None }).unwrap();
        let past = under(1.0);
        assert!((past.late_core_seconds.unwrap() - 2.7 * 1200.0).abs() < 1e-6, "{past:?}");
        // 3,240 core-seconds at 0.96 spare cores are 3,375 s after the twenty minutes.
        assert!((past.catch_up_s.unwrap() - (1200.0 + 3375.0)).abs() < 1.0, "{past:?}");
        assert!(past.late_worst_day.unwrap() > 0.35 && past.throttled_rate < 0.014, "{past:?}");
        let free = under(4.0);
        assert_eq!((free.late_core_seconds, free.catch_up_s), (Some(0.0), Some(0.0)));
        assert_eq!(usage.replay("a/b", State::default()).unwrap().late_core_seconds, None);
    }

    #[test]
    fn a_replay_of_some_resources_knows_nothing_of_the_others() {
        let usage = load(&fleet(3, 10, 1));
        let own: Vec<Row> = fleet(3, 10, 1).into_iter().filter(|row| row.resource == "e1/s").collect();
        let some = usage.backtest(&[Policy::Ours], Asked { wanted: &|name| name == "e1/s", ..asked(None) }).unwrap();
        assert_eq!(some.resources, 1);
        assert_eq!(some.policies, load(&own).backtest(&[Policy::Ours], asked(None)).unwrap().policies);
    }
}
