//! Levels that rose or fell at one moment, that move a little every day, and memory that is given back less and less.

use super::track::{DAY_HOURS, Track};
use super::usual::{Usual, errors};
use super::{Found, Kind, Severity, severity};
use crate::forecast::median;
use domain::time::DAY;
use std::collections::BTreeMap;

/// A new level differs from the old by at least this share of it.
const LEAST_SHIFT: f64 = 0.15;
/// Levels before the newest that say how far levels vary.
const FEWEST: usize = 6;
const MOST: usize = 28;
/// Where levels are measured anew every hour, about so many of a day's are independent of one another.
const LOOKS_PER_LEVEL: f64 = 3.0;
/// A drift is looked for over so many days.
const DRIFT_DAYS: usize = 14;
/// A drift moves the level by at least this share of it over its days.
const LEAST_DRIFT: f64 = 0.2;
/// A leak that reaches the limit within so many days is critical.
const SOON_DAYS: f64 = 2.0;

/// Whether a finding is above what is usual.
pub(super) fn rises(found: &Found) -> bool {
    found.value > found.usual
}

/// Mean distances from the usual over the last level's length, one after the other, each compared with those before it.
pub(super) fn shifts(track: &Track, usual: &Usual, from: usize, share: f64) -> Vec<Found> {
    let raw: Vec<f64> = track.value.iter().zip(&usual.expected).map(|(value, expected)| value - expected).collect();
    let sums = Sums::of(&raw);
    let width = track.level;
    let tests_a_week = track.per_week / width as f64 * LOOKS_PER_LEVEL;
    let chance = share / tests_a_week.max(1.0);
    let mut found: Vec<(usize, Found)> = Vec::new();
    for end in from.max(width)..raw.len() {
        let begin = end + 1 - width;
        let Some(level) = sums.mean(begin, end + 1) else { continue };
        let halves = [sums.mean(begin, begin + width / 2), sums.mean(begin + width / 2, end + 1)];
        let [Some(first), Some(second)] = halves else { continue };
        let floor = (LEAST_SHIFT * usual.level).max(2.0 * usual.scale);
        // One spike moves the mean of a day, and not both its halves.
        if level.abs() < floor
            || first * level.signum() < level.abs() / 2.0
            || second * level.signum() < level.abs() / 2.0
        {
            continue;
        }
        let before: Vec<f64> =
            (1..=MOST).map_while(|k| begin.checked_sub(k * width)).filter_map(|b| sums.mean(b, b + width)).collect();
        if before.len() < FEWEST {
            continue;
        }
        let bound = (spread(&before) * errors(chance, before.len())).max(floor);
        if level.abs() <= bound {
            continue;
        }
        let score = level.abs() / bound;
        let place = change(&sums, begin, end + 1, width);
        let expected = (place..=end).map(|i| usual.expected[i]).filter(|e| e.is_finite());
        let (sum, n) = expected.fold((0.0, 0.0), |(sum, n), e| (sum + e, n + 1.0));
        let usual_level = sum / f64::max(n, 1.0);
        let value = usual_level + sums.mean(place, end + 1).unwrap_or(level);
        let here = Found {
            kind: Kind::LevelShift,
            started: track.at[place],
            ended: Some(track.end(end)),
            score,
            value: Some(value),
            usual: Some(usual_level),
            limit: track.limit,
            beside: None,
            severity: severity(score, value, track.limit, level > 0.0),
        };
        match found.last_mut().filter(|(last, before)| end - last <= width && rises(before) == rises(&here)) {
            Some((last, before)) => {
                *last = end;
                let started = before.started;
                if here.score > before.score {
                    *before = here;
                }
                (before.started, before.ended) = (started, Some(track.end(end)));
            }
            None => found.push((end, here)),
        }
    }
    let newest = raw.len().saturating_sub(1);
    let goes_on = |(last, found): (usize, Found)| Found { ended: found.ended.filter(|_| last < newest), ..found };
    // What returns to the usual after a shift is no second one.
    let mut kept: Vec<Found> = Vec::new();
    for shift in found.into_iter().map(goes_on) {
        let returns = kept.last().is_some_and(|before| {
            rises(before) != rises(&shift) && before.ended.is_some_and(|end| shift.started - end < 15 * DAY)
        });
        if !returns {
            kept.push(shift);
        }
    }
    kept
}

/// Where a level changed: the place after which the mean differs most from that before it, weighed by both lengths.
fn change(sums: &Sums, begin: usize, end: usize, width: usize) -> usize {
    let from = begin.saturating_sub(width);
    let gain = |place: &usize| {
        let (before, after) = (sums.mean(from, *place)?, sums.mean(*place, end)?);
        let (n, m) = ((place - from) as f64, (end - place) as f64);
        Some(n * m / (n + m) * (after - before).powi(2))
    };
    let last = end.saturating_sub(width / 2).max(begin + 1);
    (from + width / 2..last).max_by(|a, b| gain(a).unwrap_or(0.0).total_cmp(&gain(b).unwrap_or(0.0))).unwrap_or(begin)
}

/// A standard deviation that a few odd values do not inflate without bound.
fn spread(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    let middle = median(&mut sorted);
    let mut sizes: Vec<f64> = values.iter().map(|v| (v - middle).abs()).collect();
    let robust = median(&mut sizes) / 0.6745;
    let plain = (values.iter().map(|v| (v - middle).powi(2)).sum::<f64>() / (values.len() - 1) as f64).sqrt();
    robust.max(plain.min(2.0 * robust)).max(0.5 * plain)
}

/// Sums up to each place, for means of any stretch.
struct Sums {
    sum: Vec<f64>,
    count: Vec<u32>,
}

impl Sums {
    fn of(values: &[f64]) -> Self {
        let (mut sum, mut count) = (vec![0.0], vec![0]);
        for (i, value) in values.iter().enumerate() {
            let is_there = value.is_finite();
            sum.push(sum[i] + if is_there { *value } else { 0.0 });
            count.push(count[i] + u32::from(is_there));
        }
        Self { sum, count }
    }

    /// None where fewer than half of the values are there.
    fn mean(&self, from: usize, to: usize) -> Option<f64> {
        let n = self.count[to] - self.count[from];
        (n > 0 && 2 * n as usize >= to - from).then(|| (self.sum[to] - self.sum[from]) / f64::from(n))
    }
}

/// A day: its number, its least value and its middle one.
struct Day {
    day: i64,
    least: f64,
    middle: f64,
}

fn days(track: &Track) -> Vec<Day> {
    let mut by_day: BTreeMap<i64, Vec<f64>> = BTreeMap::new();
    for (at, value) in track.seen() {
        by_day.entry(at.div_euclid(DAY)).or_default().push(value);
    }
    // A day of a few hours says nothing of its level.
    let whole = by_day.into_iter().filter(|(_, values)| 2 * values.len() >= DAY_HOURS);
    whole
        .map(|(day, mut values)| {
            let middle = median(&mut values);
            Day { day, least: values[0], middle }
        })
        .collect()
}

/// A level that moves a little every day, by the test of Mann and Kendall on the middle of each day, and by Theil and
/// Sen's slope. A single step is a shift and no drift.
pub(super) fn drift(track: &Track, from: i64, share: f64) -> Option<Found> {
    track.cycle?;
    let all = days(track);
    let newest = all.last()?.day;
    // Work days only: a weekend at either end would look like a trend.
    let days: Vec<&Day> =
        all.iter().filter(|d| d.day > newest - DRIFT_DAYS as i64 && !matches!(d.day.rem_euclid(7), 2 | 3)).collect();
    let n = days.len();
    if n < 8 || newest * DAY < from {
        return None;
    }
    let pairs = || (0..n).flat_map(|i| (i + 1..n).map(move |j| (i, j)));
    let signs: f64 = pairs().map(|(i, j)| (days[j].middle - days[i].middle).total_cmp(&0.0) as i32 as f64).sum();
    let size = n as f64;
    let error = (size * (size - 1.0) * (2.0 * size + 5.0) / 18.0).sqrt();
    let z = (signs.abs() - 1.0).max(0.0) / error;
    // The largest z that so few days can show is bounded; what is asked for must be within it.
    let most = (size * (size - 1.0) / 2.0 - 1.0) / error;
    let needed = errors(share, usize::MAX).min(0.97 * most);
    let mut slopes: Vec<f64> =
        pairs().map(|(i, j)| (days[j].middle - days[i].middle) / (days[j].day - days[i].day) as f64).collect();
    let slope = median(&mut slopes);
    let span = (days[n - 1].day - days[0].day) as f64;
    let mut middles: Vec<f64> = days.iter().map(|d| d.middle).collect();
    let level = median(&mut middles).abs();
    let moved = slope * span;
    let steps: Vec<f64> = days.windows(2).map(|pair| pair[1].middle - pair[0].middle).collect();
    let largest = steps.iter().map(|step| step * moved.signum()).fold(0.0, f64::max);
    if z < needed || moved.abs() < LEAST_DRIFT * level || largest > 0.4 * moved.abs() {
        return None;
    }
    let (first, last) = (days[0], days[n - 1]);
    let score = (z / needed).max(moved.abs() / (LEAST_DRIFT * level).max(f64::MIN_POSITIVE));
    Some(Found {
        kind: Kind::Drift,
        started: first.day * DAY,
        ended: None,
        score,
        value: Some(last.middle),
        usual: Some(first.middle),
        limit: track.limit,
        beside: Some(format!("{:+.1} % a day over {} days", 100.0 * slope / level, span + 1.0)),
        severity: severity(score, last.middle, track.limit, slope > 0.0),
    })
}

/// Memory that only grows, by the rule that plans follow too.
pub(super) fn leak(track: &Track, from: i64) -> Option<Found> {
    let days = days(track);
    let newest = days.last()?;
    if newest.day * DAY < from {
        return None;
    }
    let least: Vec<(i64, f64)> = days.iter().map(|d| (d.day, d.least)).collect();
    let (per_day, window) = crate::sizing::only_grows(&least)?;
    let first = &days[days.len() - window];
    let left = track.limit.map(|limit| (limit - newest.middle) / per_day);
    let severity = match left {
        Some(left) if left <= SOON_DAYS => Severity::Critical,
        _ => Severity::Warning,
    };
    let reaches = left.map_or(String::new(), |left| format!(", at its limit in {:.0} days", left.max(0.0)));
    let grows = domain::units::format_bytes(per_day);
    Some(Found {
        kind: Kind::Leak,
        started: first.day * DAY,
        ended: None,
        score: (newest.least / first.least.max(1.0)).max(1.0),
        value: Some(newest.middle),
        usual: Some(first.middle),
        limit: track.limit,
        beside: Some(format!("grows by {grows} a day over {window} days{reaches}")),
        severity,
    })
}
