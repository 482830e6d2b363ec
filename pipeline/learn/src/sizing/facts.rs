//! What the past of a resource shows beside its figures: where it was cut off at a limit, what its samples may hide, and
//! whether its memory only grows. What follows from that is the plan's to say.

use super::{highest_of, last};
use crate::usage::{Day, larger, quantile};
use domain::Timestamp;
use domain::plan::{Burst, Growth, HeldBack, Killed, Leak, State};

/// Kills and throttling count for so many days with data.
const HELD_BACK_DAYS: usize = 30;
/// Share of a day's samples that must have been held back: less is in passing.
const HELD_BACK_SHARE: f64 = 0.05;
/// Or the share of its CPU work: a job at night is few samples and most of the work.
const HELD_BACK_WORK: f64 = 0.25;
/// A typical day is one of the last two working weeks and their weekends.
const TYPICAL_DAYS: usize = 14;
/// A peak counts for a quarter: every end of a month, and the end of the quarter.
const PEAK_DAYS: i64 = 92;

/// A leak is looked for over these days, the longest first.
const LEAK_DAYS: [usize; 3] = [30, 14, 7];
/// Of all pairs of days, in this share the later one has more (Mann-Kendall).
const RISING_PAIRS: f64 = 0.9;
/// No single day brings more than this share of all growth: a step is another version, not a leak.
const LARGEST_STEP: f64 = 0.4;
/// Growth since the first day, and to be expected within 30 days, as a share of what there was.
const GROWTH: f64 = 0.2;
const GROWTH_AHEAD: f64 = 0.25;

/// Memory has begun to grow when the peak of each of at least so many newest days is higher than that of the day before by this
/// factor, and the least memory of the newest day is above all that was seen before them.
const GROWING_DAYS: usize = 2;
const GROWING: f64 = 1.05;

/// Memory that filled one limit after the other, the last at least so many times the first, is no demand: that would have
/// stopped somewhere. Filled is this share of a limit, on the way there for at least a day.
const LIMITS_APART: f64 = 2.0;
const FILLED: f64 = 0.95;
const NOT_YET_FILLED: f64 = 0.85;

/// The days of the last quarter.
pub(super) fn quarter(days: &[Day]) -> &[Day] {
    let newest = days.last().map_or(0, |d| d.day);
    &days[days.partition_point(|d| d.day <= newest - PEAK_DAYS)..]
}

/// Kills of the last 30 days.
pub(super) fn killed(days: &[Day]) -> Option<Killed> {
    let days = last(days, HELD_BACK_DAYS);
    Some(Killed {
        kills: days.iter().map(|d| d.oom_kills).sum(),
        at_bytes: highest_of(days, |d| d.oom_at).map(|bytes| bytes as u64),
        newest_unknown: days.iter().filter_map(|d| d.killed_unknown).max(),
        newest: days.iter().filter_map(|d| d.killed).max()?,
    })
}

/// CPU that its limit held back on some of the last 30 days.
pub(super) fn throttled(days: &[Day]) -> Option<HeldBack> {
    let counts = |d: &Day| share(d, d.throttled) >= HELD_BACK_SHARE || d.throttled_work >= HELD_BACK_WORK;
    let held: Vec<&Day> = last(days, HELD_BACK_DAYS).iter().filter(|d| counts(d)).collect();
    let unknown = held.iter().any(|d| d.throttled_unknown);
    held_back(&held, |d| share(d, d.throttled).max(d.throttled_work), |d| d.throttled_at, unknown)
}

/// Memory at its limit while processes waited for memory.
pub(super) fn squeezed(days: &[Day]) -> Option<HeldBack> {
    let counts = |d: &&Day| share(d, d.squeezed) >= HELD_BACK_SHARE;
    let held: Vec<&Day> = last(days, HELD_BACK_DAYS).iter().filter(counts).collect();
    held_back(&held, |d| share(d, d.squeezed), |d| d.squeezed_at, false)
}

fn share(day: &Day, samples: usize) -> f64 {
    samples as f64 / day.samples.max(1) as f64
}

fn held_back(
    held: &[&Day],
    share: impl Fn(&Day) -> f64,
    at: impl Fn(&Day) -> Option<f64>,
    unknown: bool,
) -> Option<HeldBack> {
    Some(HeldBack {
        at: held.iter().filter_map(|d| at(d)).max_by(f64::total_cmp),
        unknown,
        worst_day: held.iter().map(|d| share(d)).fold(0.0, f64::max),
        newest: held.iter().map(|d| d.last).max()?,
    })
}

/// The most that a burst within one sample of the last quarter may have taken.
pub(super) fn burst(days: &[Day]) -> Option<Burst> {
    quarter(days).iter().filter_map(|d| d.burst).reduce(larger)
}

/// What a day takes that is neither quiet nor busy: the median over the last days with data of what nine tenths of the CPU samples
/// of a day stay below (as the Kubernetes VPA targets requests: `target-cpu-percentile` 0.9), and of the day's memory peak, since
/// memory that is not there is not waited for.
pub(super) fn typical(days: &[Day]) -> State {
    let days = last(days, TYPICAL_DAYS);
    let median = |figure: &dyn Fn(&Day) -> Option<f64>| {
        let mut all: Vec<f64> = days.iter().filter_map(figure).collect();
        all.sort_by(f64::total_cmp);
        quantile(&all, 0.5)
    };
    super::state(median(&|day| day.cpu.quantile(0.9)), median(&|day| day.memory.max()))
}

/// The largest use of the last quarter.
pub(super) fn peak(days: &[Day]) -> State {
    let days = quarter(days);
    super::state(highest_of(days, |d| d.cpu.max()), highest_of(days, |d| d.memory.max()))
}

/// Whether the least memory of a day grows day after day: what is given back at night or at a restart is no leak.
pub(super) fn leak(days: &[Day]) -> Option<Leak> {
    LEAK_DAYS.iter().find_map(|window| leak_over(days, *window)).or_else(|| fills_each_limit(days))
}

/// Whether memory has grown over the newest days to more than was ever seen before. A leak of a few days looks like this, and so
/// does a cache that fills; a step to another version is over in a day.
pub(super) fn growth(days: &[Day]) -> Option<Growth> {
    let ends = |d: &Day| Some((*d.memory.values().first()?, *d.memory.values().last()?));
    let days: Vec<(f64, f64)> = quarter(days).iter().filter_map(ends).collect();
    let grown = days.windows(2).rev().take_while(|pair| pair[1].1 >= GROWING * pair[0].1).count();
    let (before, newest) = days.split_at(days.len() - grown);
    let seen = before.iter().map(|(_, most)| *most).fold(0.0, f64::max);
    let ((least, most), (_, first)) = (newest.last()?, before.last()?);
    let is_new = grown >= GROWING_DAYS && *least > seen;
    is_new.then(|| Growth { bytes_per_day: (most - first) / grown as f64, days: grown })
}

/// Whether memory filled each of the limits of the last quarter, one higher than the other: more of it is filled too.
fn fills_each_limit(days: &[Day]) -> Option<Leak> {
    let mut levels: Vec<(u64, Vec<&Day>)> = Vec::new();
    for day in quarter(days).iter().filter(|d| !d.memory.is_empty()) {
        let limit = day.newest_limits.memory_bytes.filter(|limit| *limit > 0)?;
        match levels.last_mut() {
            Some((last, days)) if *last == limit => days.push(day),
            _ => levels.push((limit, vec![day])),
        }
    }
    let (first, last) = (levels.first()?, levels.last()?);
    let rising = levels.len() > 1 && levels.windows(2).all(|pair| pair[1].0 > pair[0].0);
    let filled = |(limit, days): &(u64, Vec<&Day>)| {
        let (least, most) = days.iter().fold((f64::INFINITY, 0.0_f64), |(least, most), day| {
            let values = day.memory.values();
            (least.min(values[0]), most.max(values[values.len() - 1]))
        });
        days.len() > 1 && most >= FILLED * *limit as f64 && least <= NOT_YET_FILLED * *limit as f64
    };
    if !rising || (last.0 as f64) < LIMITS_APART * first.0 as f64 || !levels.iter().all(filled) {
        return None;
    }
    let most = |days: &[&Day]| days.iter().filter_map(|d| d.memory.max()).fold(0.0, f64::max);
    let span = (days.last()?.day - first.1[0].day).max(1) as f64;
    Some(Leak {
        since: first.1[0].first,
        limits_filled: levels.len(),
        bytes_per_day: ((most(&last.1) - first.1[0].memory.values()[0]) / span).max(1.0),
        days: quarter(days).len(),
        now_bytes: days.last()?.memory.max().unwrap_or_default() as u64,
    })
}

fn leak_over(all: &[Day], window: usize) -> Option<Leak> {
    let days: Vec<&Day> = last(all, window).iter().filter(|d| !d.memory.is_empty()).collect();
    let least: Vec<(i64, f64)> = days.iter().filter_map(|d| Some((d.day, *d.memory.values().first()?))).collect();
    let bytes_per_day = grows_over(&least, window)?;
    let now_bytes = days.last()?.memory.max().unwrap_or_default() as u64;
    Some(Leak { since: began(all, days[0]), limits_filled: 0, bytes_per_day, days: days.len(), now_bytes })
}

/// By how much the least of a day (day, value) grows, and over how many days, if it only grows.
pub(crate) fn only_grows(least: &[(i64, f64)]) -> Option<(f64, usize)> {
    let over = |window: usize| {
        let part = &least[least.len().saturating_sub(window)..];
        Some((grows_over(part, window)?, part.len()))
    };
    LEAK_DAYS.iter().find_map(|window| over(*window))
}

fn grows_over(least: &[(i64, f64)], window: usize) -> Option<f64> {
    let (newest, _) = *least.last()?;
    if least.len() < window || newest - least[0].0 > window as i64 + 1 {
        return None;
    }
    let day = |i: usize| least[i].0;
    let least: Vec<f64> = least.iter().map(|(_, value)| *value).collect();
    let pairs = || (0..least.len()).flat_map(|i| (i + 1..least.len()).map(move |j| (i, j)));
    let rising = pairs().filter(|(i, j)| least[*j] > least[*i]).count() as f64;
    let grown = least[least.len() - 1] - least[0];
    let largest = least.windows(2).map(|pair| pair[1] - pair[0]).fold(0.0, f64::max);
    // Theil-Sen: the median slope of all pairs, which one odd day does not move.
    let mut slopes: Vec<f64> = pairs().map(|(i, j)| (least[j] - least[i]) / (day(j) - day(i)) as f64).collect();
    slopes.sort_by(f64::total_cmp);
    let per_day = slopes[slopes.len() / 2];
    let grows = rising >= RISING_PAIRS * slopes.len() as f64
        && largest <= LARGEST_STEP * grown
        && grown >= GROWTH * least[0]
        && per_day * 30.0 >= GROWTH_AHEAD * least[least.len() - 1];
    grows.then_some(per_day)
}

/// The first of the days, up to this one, from which on each had less than the next at its least.
fn began(all: &[Day], from: &Day) -> Timestamp {
    let least = |day: &&Day| day.memory.values().first().copied();
    let mut since = from;
    for day in all.iter().rev().filter(|day| day.day < from.day) {
        if least(&day).is_none_or(|bytes| Some(bytes) >= least(&since)) {
            break;
        }
        since = day;
    }
    since.first
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage::tests::{Row, load};
    use domain::time::{DAY, MINUTE};
    use domain::units::MIB;

    /// Half-hours of `days`, with what `figures` says of each: cores, bytes.
    fn rows(days: i64, figures: impl Fn(i64) -> (f64, f64)) -> Vec<Row> {
        let of = |i: i64| {
            let (cpu, memory) = figures(i);
            Row { interval_s: 1800.0, ..Row::new("a/b", i * 30 * MINUTE, cpu, memory) }
        };
        (0..days * 48).map(of).collect()
    }

    fn days(rows: &[Row]) -> Vec<Day> {
        load(rows).resources["a/b"].clone()
    }

    #[test]
    fn memory_that_only_grows_leaks_and_tells_how_fast() {
        let grows = |i: i64| (0.3, (500.0 + 3.5 * i as f64) * MIB as f64);
        let leak = leak(&days(&rows(30, grows))).unwrap();
        assert!((leak.bytes_per_day / MIB as f64 - 168.0).abs() < 1.0 && leak.days == 30, "{leak:?}");
        // Only since a week, after three quiet ones.
        let late = |i: i64| (0.3, (500.0 + 3.5 * (i - 23 * 48).max(0) as f64) * MIB as f64);
        assert!(super::leak(&days(&rows(30, late))).is_some());
    }

    #[test]
    fn memory_that_fills_each_higher_limit_leaks_and_demand_that_stops_does_not() {
        // Three limits of ten days each; it is killed at each, and starts again.
        let row = |i: i64, memory: f64| {
            let limit = [256, 512, 1024][(i / 480) as usize] * MIB;
            let limits = State { cpu_cores: Some(4.0), memory_bytes: Some(limit) };
            Row { limits, interval_s: 1800.0, ..Row::new("a/b", i * 30 * MINUTE, 0.1, memory) }
        };
        let limit = |i: i64| ([256, 512, 1024][(i / 480) as usize] * MIB) as f64;
        let fills: Vec<Row> = (0..1440).map(|i| row(i, limit(i) * (0.3 + 0.7 * (i % 144) as f64 / 143.0))).collect();
        let leak = leak(&days(&fills)).unwrap();
        assert_eq!((leak.limits_filled, leak.since.day()), (3, 0));
        let stops: Vec<Row> =
            (0..1440).map(|i| row(i, 400e6_f64.min(limit(i) * (0.3 + 0.7 * (i % 144) as f64 / 143.0)))).collect();
        assert_eq!(super::leak(&days(&stops)), None, "it never filled the last");
        let at_once: Vec<Row> = (0..1440).map(|i| row(i, limit(i) * 0.97)).collect();
        assert_eq!(super::leak(&days(&at_once)), None, "a heap that is given a share of the limit");
    }

    #[test]
    fn a_step_a_daily_swing_a_filling_cache_and_a_restart_are_no_leak() {
        let mib = |x: f64| x * MIB as f64;
        let step = |i: i64| (0.3, mib(if i < 700 { 400.0 } else { 3000.0 }));
        let swing = |i: i64| (0.3, mib(400.0 + 300.0 * (i % 48) as f64 / 48.0));
        let cache = |i: i64| (0.3, mib(2000.0 * (1.0 - (-(i as f64) / 100.0).exp())));
        let restarts = |i: i64| (0.3, mib(400.0 + 5.0 * (i % 240) as f64));
        let slow = |i: i64| (0.3, mib(4000.0 + 0.1 * i as f64));
        for (name, of) in [("step", &step as &dyn Fn(i64) -> (f64, f64)), ("swing", &swing), ("cache", &cache)] {
            assert_eq!(leak(&days(&rows(30, of))), None, "{name}");
        }
        assert_eq!(leak(&days(&rows(30, restarts))), None);
        assert_eq!(leak(&days(&rows(30, slow))), None, "a tenth in a month");
    }

    #[test]
    fn what_has_begun_to_grow_is_told_from_a_step_and_a_swing() {
        let mib = |x: f64| x * MIB as f64;
        for leaks_for in [2, 3, 5] {
            let young = |i: i64| (0.3, mib(500.0 + 7.0 * (i - (30 - leaks_for) * 48).max(0) as f64));
            let all = days(&rows(30, young));
            assert_eq!(leak(&all), None, "too young to be called one");
            let growth = growth(&all).unwrap();
            assert_eq!(growth.days as i64, leaks_for);
            assert!((growth.bytes_per_day / mib(1.0) - 336.0).abs() < 10.0, "{growth:?}");
        }
        let step = |i: i64| (0.3, mib(if i < 29 * 48 + 20 { 400.0 } else { 3000.0 }));
        let swing = |i: i64| (0.3, mib((400.0 + 300.0 * (i % 48) as f64 / 48.0) * (1.0 + 0.1 * (i / 48) as f64)));
        let full = |i: i64| (0.3, mib(2000.0 * (1.0 - (-(i as f64) / 100.0).exp())));
        for (name, of) in [("step", &step as &dyn Fn(i64) -> (f64, f64)), ("swing", &swing), ("a full cache", &full)] {
            assert_eq!(growth(&days(&rows(30, of))), None, "{name}");
        }
    }

    #[test]
    fn a_limit_told_now_and_then_is_in_force_until_another_is_told() {
        let mut all = rows(10, |_| (0.3, 1e8));
        for (i, row) in all.iter_mut().enumerate() {
            row.limits = State { cpu_cores: None, memory_bytes: (i == 0).then_some(512 * MIB) };
        }
        all[100].oom_kills = 1;
        let seen = killed(&days(&all)).unwrap();
        assert_eq!((seen.kills, seen.at_bytes, seen.newest_unknown), (1, Some(512 * MIB), None));
        all[0].limits = State::default();
        let seen = killed(&days(&all)).unwrap();
        assert_eq!(seen.newest_unknown, Some(Timestamp(100 * 30 * MINUTE)));
    }

    #[test]
    fn memory_at_its_limit_under_pressure_is_held_back_and_without_it_is_a_cache() {
        let mut all = rows(10, |_| (0.3, 1e9));
        for row in &mut all {
            row.limits.memory_bytes = Some(1_000_000_000);
        }
        assert_eq!(squeezed(&days(&all)), None);
        for row in all.iter_mut().filter(|r| r.ts.0 % DAY < DAY / 4) {
            row.psi_memory = 0.2;
        }
        let seen = squeezed(&days(&all)).unwrap();
        assert!(seen.at == Some(1e9) && (seen.worst_day - 0.25).abs() < 0.01, "{seen:?}");
    }

    #[test]
    fn a_nightly_job_at_its_limit_is_held_back_however_few_samples_it_has() {
        let job = |i: i64| (if i % 48 == 5 { 3.9 } else { 0.01 }, 1e8);
        let mut all = rows(10, job);
        all.iter_mut().filter(|row| row.cpu > Some(1.0)).for_each(|row| row.throttled_ratio = 0.8);
        let seen = throttled(&days(&all)).unwrap();
        assert!(seen.at == Some(4.0) && seen.worst_day > 0.8, "{seen:?}");
        // The same share of samples with hardly any of the work is in passing.
        all.iter_mut().for_each(|row| row.cpu = Some(1.0));
        assert_eq!(throttled(&days(&all)), None);
    }

    #[test]
    fn a_long_sample_hides_a_burst_of_up_to_its_limit_and_a_short_one_none() {
        let mut all = rows(10, |_| (0.24, 1e8));
        let seen = burst(&days(&all)).unwrap();
        assert!((seen.cores - 1.44).abs() < 1e-9, "{seen:?}");
        all.iter_mut().for_each(|row| row.limits.cpu_cores = Some(0.5));
        assert_eq!(burst(&days(&all)).unwrap().cores, 0.5);
        all.iter_mut().for_each(|row| row.interval_s = 60.0);
        assert_eq!(burst(&days(&all)).unwrap().cores, 0.24);
    }

    #[test]
    fn a_peak_counts_for_a_quarter() {
        let mut all = rows(1, |_| (9.0, 9e9));
        all.extend((1..=95).map(|d| Row::new("a/b", d * DAY, 0.5, 1e9)));
        assert_eq!(peak(&days(&all)).cpu_cores, Some(0.5));
        assert_eq!(peak(&days(&all[..80])).cpu_cores, Some(9.0));
    }
}
