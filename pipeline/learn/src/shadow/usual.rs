//! What is usual: a history without what known events and holidays did to it, and what a holiday does to a forecast.
//!
//! A forecast repeats what it has seen. A maintenance window, a load test or a holiday is no part of the weeks to come, unless the
//! calendar says that it comes again: so its hours are replaced by the same hours of days without one before anything is learnt.

use super::hours::{History, Hour};
use super::measure::Measure;
use crate::forecast::{DAY, Outlook};
use domain::Timestamp;
use domain::holidays::AtRest;
use domain::time::HOUR;
use std::collections::HashSet;

/// Weeks in which the same hours are looked for: the nearest that no event touched count.
const WEEKS: i64 = 3;
/// Days of weekends and work days before the newest hour that a holiday's profile is of.
const PROFILE_DAYS: i64 = 28;
/// Days of a kind that must have been seen.
const ENOUGH_DAYS: usize = 2;
/// What a holiday may do: a ratio outside says more about the hours compared than about the day.
const RATIO: std::ops::RangeInclusive<f64> = 0.02..=5.0;

/// A day whose profile is borrowed is this much less certain.
const WIDER: f64 = 2.0;

fn weekend(hour: Hour) -> bool {
    // 1970-01-01 was a Thursday.
    matches!((hour.div_euclid(24) + 3).rem_euclid(7), 5 | 6)
}

/// Whether most of an hour is a holiday.
fn at_rest(hour: Hour, rests: &[AtRest]) -> bool {
    let middle = Timestamp(hour * HOUR + HOUR / 2);
    rests.iter().any(|rest| rest.from <= middle && middle < rest.to)
}

/// The history as it would have been without the hours that `touched` names, and without holidays. An hour for which no other can
/// stand stays as it is: what comes every day is usual.
pub(super) fn usual(history: &History, touched: &HashSet<Hour>, rests: &[AtRest]) -> History {
    let unusual = |hour: Hour| touched.contains(&hour) || (at_rest(hour, rests) && !weekend(hour));
    let stand_in = |hour: Hour, figure: usize| {
        let seen = |other: Hour| {
            let value = history.get(&other).and_then(|figures| figures[figure]);
            value.filter(|_| !unusual(other))
        };
        let mean = |hours: Vec<Hour>| {
            let values: Vec<f64> = hours.into_iter().filter_map(seen).collect();
            (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
        };
        let week = 7 * DAY as i64;
        // The same hour of the weeks around, then of the nearest days of the same kind.
        (1..=WEEKS).find_map(|n| mean(vec![hour - n * week, hour + n * week])).or_else(|| {
            let alike = |other: &Hour| weekend(*other) == weekend(hour);
            (1..=6)
                .find_map(|n| mean([hour - n * DAY as i64, hour + n * DAY as i64].into_iter().filter(alike).collect()))
        })
    };
    let mut usual = history.clone();
    for (hour, figures) in usual.iter_mut().filter(|(hour, _)| unusual(**hour)) {
        for (figure, value) in figures.iter_mut().enumerate().filter(|(_, value)| value.is_some()) {
            *value = stand_in(*hour, figure).or(*value);
        }
    }
    usual
}

/// Hours behind a change that must have been seen before it says anything.
const SETTLED: i64 = 8;
/// Days before a change that its level is compared with, and hours after it.
const COMPARED_DAYS: i64 = 7;
/// A change that moves the level by less is none.
const MOVED: f64 = 0.3;

/// Where the level moved with a change, the history before it is brought to the level after it: what comes is measured by what is
/// there now. A figure moves where both halves of the hours after the change differ from the same hours of the week
/// before by [`MOVED`], in one direction.
pub(super) fn levels(history: &mut History, changes: &[Hour]) {
    let Some(newest) = history.keys().next_back().copied() else { return };
    for (place, change) in changes.iter().enumerate() {
        let until = changes.get(place + 1).map_or(newest, |next| next - 1).min(change + COMPARED_DAYS * DAY as i64);
        let after: Vec<Hour> = (change + 1..=until).collect();
        if (after.len() as i64) < SETTLED {
            continue;
        }
        for figure in 0..Measure::ALL.len() {
            let (first, second) = after.split_at(after.len() / 2);
            let ratios = [first, second, &after[..]].map(|hours| moved(history, figure, *change, hours));
            let [Some(first), Some(second), Some(ratio)] = ratios else { continue };
            let up = first > 1.0 + MOVED && second > 1.0 + MOVED;
            let down = first < 1.0 - MOVED && second < 1.0 - MOVED;
            if up || down {
                let ratio = ratio.clamp(0.2, 5.0);
                for (_, figures) in history.range_mut(..=*change) {
                    figures[figure] = figures[figure].map(|value| value * ratio);
                }
            }
        }
    }
}

/// The sum of some hours over that of the same hours of the days before a change, of the same kind.
fn moved(history: &History, figure: usize, change: Hour, hours: &[Hour]) -> Option<f64> {
    let seen = |hour: Hour| history.get(&hour).and_then(|figures| figures[figure]);
    let (mut after, mut before) = (0.0, 0.0);
    for hour in hours {
        let back = (hour - change).div_euclid(DAY as i64) + 1;
        let same = (back..back + COMPARED_DAYS).map(|days| hour - days * DAY as i64);
        let alike: Vec<f64> = same.filter(|other| weekend(*other) == weekend(*hour)).filter_map(seen).collect();
        if let (Some(value), false) = (seen(*hour), alike.is_empty()) {
            after += value;
            before += alike.iter().sum::<f64>() / alike.len() as f64;
        }
    }
    (before > 0.0).then(|| after / before)
}

/// What a weekend has in an hour of the day, as a multiple of what a work day has: by the last weeks of a usual history. None
/// where too few days of either were seen.
fn weekend_ratio(history: &History, figure: usize, hour: Hour, newest: Hour) -> Option<f64> {
    let same = (1..=PROFILE_DAYS).map(|day| newest - (newest - hour).rem_euclid(DAY as i64) - (day - 1) * DAY as i64);
    let (mut rest, mut work) = (Vec::new(), Vec::new());
    for other in same {
        if let Some(value) = history.get(&other).and_then(|figures| figures[figure]) {
            if weekend(other) { rest.push(value) } else { work.push(value) }
        }
    }
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let known = rest.len() >= ENOUGH_DAYS && work.len() >= ENOUGH_DAYS && mean(&work) > 0.0;
    known.then(|| (mean(&rest) / mean(&work)).clamp(*RATIO.start(), *RATIO.end()))
}

/// A holiday looks like a weekend: its hours, unless they are on one, are what a weekend has of them, centre and bounds.
pub(super) fn rest(outlook: &mut Outlook, usual: &History, figure: usize, rests: &[AtRest], first: Hour) {
    let Some(newest) = usual.keys().next_back().copied() else { return };
    for step in 0..outlook.centre.len() {
        let hour = first + step as i64;
        if weekend(hour) || !at_rest(hour, rests) {
            continue;
        }
        if let Some(ratio) = weekend_ratio(usual, figure, hour, newest) {
            let centre = outlook.centre[step];
            outlook.centre[step] *= ratio;
            for bound in [&mut outlook.lower, &mut outlook.upper] {
                bound[step] = (outlook.centre[step] + WIDER * ratio * (bound[step] - centre)).max(0.0);
            }
        }
    }
}
