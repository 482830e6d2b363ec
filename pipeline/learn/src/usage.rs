//! What every resource used, by UTC day: the ground that sizing policies stand on and are replayed over.
//!
//! Owns the cut into days and the order within them. A sample belongs to the day its interval ends in, as in the
//! published replay this one is compared with. Decides nothing.

mod covered;

pub(crate) use covered::Covered;

use crate::LearnError;
use crate::frame::Frame;
use domain::Timestamp;
use domain::columns::usage as col;
use domain::plan::{Burst, FINE_INTERVAL_S, State};
use domain::time::{DAY, MINUTE};
use std::collections::BTreeMap;
use std::path::Path;

/// A throttled share of CFS periods from which a sample counts as held back by its limit.
const HELD_BACK: f64 = 0.25;
/// Memory at this share of its limit, while processes waited for memory in that share of the time, is what it was given
/// and not what it wants.
const SQUEEZED_AT: f64 = 0.95;
const SQUEEZED_PSI: f64 = 0.05;

/// Samples of one figure on one day, in ascending order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Series {
    values: Vec<f64>,
    /// `sums[k]` is the sum of the `k` smallest: slack and overrun of any limit in the time of one search.
    sums: Vec<f64>,
    /// Age of each value at the end of its day, in days.
    ages: Vec<f64>,
}

impl Series {
    fn new(mut samples: Vec<(f64, f64)>) -> Self {
        samples.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
        let mut sums = Vec::with_capacity(samples.len() + 1);
        let mut sum = 0.0;
        sums.push(sum);
        for (value, _) in &samples {
            sum += value;
            sums.push(sum);
        }
        let (values, ages) = samples.into_iter().unzip();
        Self { values, sums, ages }
    }

    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    pub(crate) fn values(&self) -> &[f64] {
        &self.values
    }

    /// Each value with its age in days at the end of the day.
    pub(crate) fn aged(&self) -> impl Iterator<Item = (f64, f64)> {
        self.values.iter().copied().zip(self.ages.iter().copied())
    }

    pub(crate) fn sum(&self) -> f64 {
        self.sums.last().copied().unwrap_or(0.0)
    }

    pub(crate) fn max(&self) -> Option<f64> {
        self.values.last().copied()
    }

    pub(crate) fn quantile(&self, q: f64) -> Option<f64> {
        quantile(&self.values, q)
    }

    /// What a limit would have meant for these samples.
    pub(crate) fn under(&self, limit: f64) -> Under {
        let within = self.values.partition_point(|v| *v <= limit);
        let below = self.sums.get(within).copied().unwrap_or(0.0);
        let above = self.values.len() - within;
        Under { slack: limit * within as f64 - below, over: (self.sum() - below) - limit * above as f64, above }
    }
}

/// Sums over the samples of a day under a limit, in the figure's unit × samples.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Under {
    /// Σ max(0, limit − use).
    pub slack: f64,
    /// Σ max(0, use − limit).
    pub over: f64,
    /// Samples above the limit.
    pub above: usize,
}

/// The `q` quantile of ascending values, linear between neighbours (type 7, as NumPy and Prometheus do).
pub(crate) fn quantile(sorted: &[f64], q: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let at = q.clamp(0.0, 1.0) * last as f64;
    let low = at.floor() as usize;
    let high = (low + 1).min(last);
    Some(sorted[low] + (sorted[high] - sorted[low]) * (at - low as f64))
}

/// A day of one resource.
#[derive(Clone, Debug)]
pub(crate) struct Day {
    /// Days since 1970-01-01.
    pub day: i64,
    pub first: Timestamp,
    pub last: Timestamp,
    /// Samples of any kind.
    pub samples: usize,
    /// Minutes that the samples stand for.
    pub minutes: f64,
    /// Cores.
    pub cpu: Series,
    /// Bytes.
    pub memory: Series,
    /// The limits of the first sample: those that a decision of the evening before would have met.
    pub limits: State,
    /// The newest limits seen on the day.
    pub newest_limits: State,
    pub oom_kills: u64,
    /// The most that a killed sample is known to have asked for, bytes: its limit or what was measured.
    pub oom_at: Option<f64>,
    /// The newest kill, and the newest of which no sample tells the limit.
    pub killed: Option<Timestamp>,
    pub killed_unknown: Option<Timestamp>,
    /// Samples held back by throttling, and the highest limit that held them back, cores.
    pub throttled: usize,
    pub throttled_at: Option<f64>,
    pub throttled_unknown: bool,
    /// The share of the day's CPU work that was done in such samples: a job of twenty minutes may be nearly all of it.
    pub throttled_work: f64,
    /// Samples with memory at its limit and processes waiting for it, and the highest such limit, bytes.
    pub squeezed: usize,
    pub squeezed_at: Option<f64>,
    /// The most that a burst within a sample may have taken.
    pub burst: Option<Burst>,
    /// The samples with a CPU figure in order of time.
    pub timeline: Vec<Slice>,
}

/// A sample of the CPU.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slice {
    pub interval_s: f64,
    pub cores: f64,
}

/// All samples up to a moment, by resource and day.
#[derive(Clone, Debug, Default)]
pub struct Usage {
    pub(crate) resources: BTreeMap<String, Vec<Day>>,
    pub(crate) covered: BTreeMap<String, Covered>,
    newest: Option<Timestamp>,
}

pub(crate) struct Sample {
    pub(crate) ts: Timestamp,
    pub(crate) interval_s: f64,
    cpu: Option<f64>,
    memory: Option<f64>,
    limits: State,
    /// The limits of this sample, else the last that were told.
    in_force: State,
    oom_kills: u64,
    throttled_ratio: f64,
    psi_memory: f64,
}

impl Usage {
    /// Reads `features.usage` ([`domain::columns::usage`]), leaving out samples later than `now`.
    ///
    /// # Errors
    /// The file cannot be read, or lacks a column.
    pub fn load(path: &Path, now: Timestamp) -> Result<Self, LearnError> {
        let frame = Frame::read(path)?;
        let resource = frame.texts(col::RESOURCE)?;
        let ts = frame.times(col::TS)?;
        let interval_s = frame.numbers(col::INTERVAL_S)?;
        let cpu = frame.numbers(col::CPU_CORES)?;
        let cpu_limit = frame.numbers(col::CPU_LIMIT_CORES)?;
        let memory = frame.numbers(col::MEMORY_BYTES)?;
        let memory_limit = frame.numbers(col::MEMORY_LIMIT_BYTES)?;
        let oom = frame.numbers(col::OOM_KILLS)?;
        let throttled = frame.numbers(col::THROTTLED_RATIO)?;
        let psi_memory = frame.numbers(col::PSI_MEMORY_SOME)?;

        let mut samples: BTreeMap<&str, Vec<Sample>> = BTreeMap::new();
        for i in 0..frame.rows() {
            let (Some(resource), Some(ts)) = (resource[i].as_deref(), ts[i]) else { continue };
            if ts > now {
                continue;
            }
            let limits = State {
                cpu_cores: Some(cpu_limit[i]).filter(|x| *x > 0.0),
                memory_bytes: Some(memory_limit[i]).filter(|x| *x > 0.0).map(|x| x as u64),
            };
            samples.entry(resource).or_default().push(Sample {
                ts,
                interval_s: interval_s[i].max(0.0),
                cpu: Some(cpu[i]).filter(|x| *x >= 0.0 && x.is_finite()),
                memory: Some(memory[i]).filter(|x| *x >= 0.0 && x.is_finite()),
                limits,
                in_force: limits,
                oom_kills: oom[i].max(0.0) as u64,
                throttled_ratio: throttled[i].max(0.0),
                psi_memory: psi_memory[i].max(0.0),
            });
        }
        let mut usage = Self::default();
        for (resource, mut samples) in samples {
            samples.sort_by_key(|s| s.ts);
            remember_limits(&mut samples);
            usage.covered.insert(resource.to_owned(), Covered::of(&samples));
            usage.newest = usage.newest.max(samples.last().map(|s| s.ts));
            let days = samples.chunk_by(|a, b| a.ts.day() == b.ts.day()).map(day).collect();
            usage.resources.insert(resource.to_owned(), days);
        }
        Ok(usage)
    }

    /// The resources, in alphabetical order.
    pub fn resources(&self) -> impl Iterator<Item = &str> {
        self.resources.keys().map(String::as_str)
    }

    /// The newest sample of any resource.
    pub fn newest(&self) -> Option<Timestamp> {
        self.newest
    }

    /// The largest limits and use seen of an environment's resources: no machine of it has less.
    pub fn largest(&self, env: &str) -> State {
        let days = self.resources.iter().filter(|(name, _)| env_of(name) == env).flat_map(|(_, days)| days);
        let mut largest = State::default();
        for day in days {
            largest.cpu_cores = highest(largest.cpu_cores, highest(day.newest_limits.cpu_cores, day.cpu.max()));
            let used = day.memory.max().map(|bytes| bytes as u64);
            largest.memory_bytes = largest.memory_bytes.max(day.newest_limits.memory_bytes).max(used);
        }
        largest
    }

    /// The limits last observed on a resource's last day; empty where none were recorded.
    pub fn live_limits(&self, resource: &str) -> State {
        self.resources.get(resource).and_then(|days| days.last()).map_or(State::default(), |d| d.newest_limits)
    }
}

/// The environment of `env/service`.
pub(crate) fn env_of(resource: &str) -> &str {
    resource.split_once('/').map_or(resource, |(env, _)| env)
}

/// A collector may tell a limit now and then; until it tells another, that one is in force.
fn remember_limits(samples: &mut [Sample]) {
    let mut last = State::default();
    for sample in samples {
        last.cpu_cores = sample.limits.cpu_cores.or(last.cpu_cores);
        last.memory_bytes = sample.limits.memory_bytes.or(last.memory_bytes);
        sample.in_force = last;
    }
}

/// The cores that the work of one sample takes within five minutes, never more than the limit in force.
fn burst(sample: &Sample) -> Option<Burst> {
    let squeezed = sample.cpu? * (sample.interval_s / FINE_INTERVAL_S).max(1.0);
    let most = sample.in_force.cpu_cores.unwrap_or(f64::INFINITY);
    Some(Burst { cores: squeezed.min(most), interval_s: sample.interval_s })
}

/// The larger burst; of equal ones that of the longer sample, which knows less.
pub(crate) fn larger(a: Burst, b: Burst) -> Burst {
    if (b.cores, b.interval_s) > (a.cores, a.interval_s) { b } else { a }
}

/// Core-seconds.
fn work<'a>(samples: impl IntoIterator<Item = &'a Sample>) -> f64 {
    samples.into_iter().filter_map(|s| Some(s.cpu? * s.interval_s)).sum()
}

/// Folds the samples of one day, in order of time.
fn day(samples: &[Sample]) -> Day {
    let number = i64::from(samples[0].ts.day());
    let end = (number + 1) * DAY;
    let age = |s: &Sample| (end - s.ts.0) as f64 / DAY as f64;
    let held: Vec<&Sample> = samples.iter().filter(|s| s.throttled_ratio >= HELD_BACK).collect();
    let killed = || samples.iter().filter(|s| s.oom_kills > 0);
    let squeezed: Vec<f64> = samples
        .iter()
        .filter_map(|s| {
            let limit = s.in_force.memory_bytes? as f64;
            (s.psi_memory >= SQUEEZED_PSI && s.memory? >= SQUEEZED_AT * limit).then_some(limit)
        })
        .collect();
    Day {
        day: number,
        first: samples[0].ts,
        last: samples[samples.len() - 1].ts,
        samples: samples.len(),
        minutes: samples.iter().map(|s| s.interval_s).sum::<f64>() / (MINUTE / 1_000_000) as f64,
        cpu: Series::new(samples.iter().filter_map(|s| Some((s.cpu?, age(s)))).collect()),
        memory: Series::new(samples.iter().filter_map(|s| Some((s.memory?, age(s)))).collect()),
        limits: samples[0].limits,
        newest_limits: State {
            cpu_cores: samples.iter().rev().find_map(|s| s.limits.cpu_cores),
            memory_bytes: samples.iter().rev().find_map(|s| s.limits.memory_bytes),
        },
        oom_kills: samples.iter().map(|s| s.oom_kills).sum(),
        oom_at: killed()
            .filter_map(|s| highest(s.memory, s.in_force.memory_bytes.map(|b| b as f64)))
            .max_by(f64::total_cmp),
        killed: killed().map(|s| s.ts).max(),
        killed_unknown: killed().filter(|s| s.in_force.memory_bytes.is_none()).map(|s| s.ts).max(),
        throttled: held.len(),
        throttled_at: held.iter().filter_map(|s| highest(s.in_force.cpu_cores, s.cpu)).max_by(f64::total_cmp),
        throttled_work: if work(samples) > 0.0 { work(held.iter().copied()) / work(samples) } else { 0.0 },
        throttled_unknown: held.iter().any(|s| s.in_force.cpu_cores.is_none()),
        squeezed: squeezed.len(),
        squeezed_at: squeezed.into_iter().max_by(f64::total_cmp),
        burst: samples.iter().filter_map(burst).reduce(larger),
        timeline: samples.iter().filter_map(|s| Some(Slice { interval_s: s.interval_s, cores: s.cpu? })).collect(),
    }
}

/// The larger of two figures either of which may be missing.
pub(crate) fn highest(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.max(b)),
        (a, b) => a.or(b),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Five-minute samples: resource, minutes since 1970, cores, bytes, limits, kills, throttled share.
    pub(crate) struct Row {
        pub resource: String,
        pub ts: Timestamp,
        pub cpu: Option<f64>,
        pub memory: Option<f64>,
        pub limits: State,
        pub oom_kills: u64,
        pub throttled_ratio: f64,
        pub psi_memory: f64,
        pub interval_s: f64,
    }

    impl Row {
        pub(crate) fn new(resource: &str, ts: i64, cpu: f64, memory: f64) -> Self {
            Self {
                resource: resource.into(),
                ts: Timestamp(ts),
                cpu: Some(cpu),
                memory: Some(memory),
                limits: State { cpu_cores: Some(4.0), memory_bytes: Some(8 << 30) },
                oom_kills: 0,
                throttled_ratio: 0.0,
                psi_memory: 0.0,
                interval_s: 300.0,
            }
        }
    }

    /// The rows as `features.usage` would hold them.
    pub(crate) fn write(path: &Path, rows: &[Row]) {
        use polars::prelude::*;
        let columns: Vec<Column> = vec![
            Column::new(col::RESOURCE.into(), rows.iter().map(|r| r.resource.clone()).collect::<Vec<_>>()),
            crate::parquet::time_column(col::TS, rows.iter().map(|r| r.ts.0).collect()),
            Column::new(col::INTERVAL_S.into(), rows.iter().map(|r| r.interval_s).collect::<Vec<_>>()),
            Column::new(col::CPU_CORES.into(), rows.iter().map(|r| r.cpu).collect::<Vec<_>>()),
            Column::new(col::CPU_LIMIT_CORES.into(), rows.iter().map(|r| r.limits.cpu_cores).collect::<Vec<_>>()),
            Column::new(col::MEMORY_BYTES.into(), rows.iter().map(|r| r.memory).collect::<Vec<_>>()),
            Column::new(
                col::MEMORY_LIMIT_BYTES.into(),
                rows.iter().map(|r| r.limits.memory_bytes.map(|b| b as f64)).collect::<Vec<_>>(),
            ),
            Column::new(col::OOM_KILLS.into(), rows.iter().map(|r| r.oom_kills as i64).collect::<Vec<_>>()),
            Column::new(col::THROTTLED_RATIO.into(), rows.iter().map(|r| Some(r.throttled_ratio)).collect::<Vec<_>>()),
            Column::new(col::PSI_MEMORY_SOME.into(), rows.iter().map(|r| Some(r.psi_memory)).collect::<Vec<_>>()),
        ];
        crate::parquet::write(path, columns).unwrap();
    }

    /// The rows as loaded.
    pub(crate) fn load(rows: &[Row]) -> Usage {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("usage.parquet");
        write(&path, rows);
        Usage::load(&path, Timestamp(i64::MAX)).unwrap()
    }

    #[test]
    fn a_limit_splits_a_day_into_slack_and_overrun() {
        let s = Series::new(vec![(3.0, 0.0), (1.0, 0.0), (2.0, 0.0)]);
        let u = s.under(2.0);
        assert_eq!((u.slack, u.over, u.above), (1.0, 1.0, 1));
        assert_eq!(s.quantile(0.25), Some(1.5));
    }

    #[test]
    fn missing_figures_and_limits_are_taken() {
        let mut rows: Vec<Row> = (0..3).map(|i| Row::new("a/b", i * DAY / 2, 1.0, 10.0)).collect();
        rows[0].cpu = None;
        rows[1].memory = None;
        rows[2].limits = State::default();
        let usage = load(&rows);
        let days = &usage.resources["a/b"];
        assert_eq!((days.len(), days[0].cpu.len(), days[0].memory.len()), (2, 1, 1));
        assert!(usage.live_limits("a/b").is_empty());
        assert_eq!(usage.newest(), Some(Timestamp(DAY)));
    }
}
