//! Resources that no longer report, while others do.

use super::track::{RESOURCE, Subject};
use super::{Found, Kind, Severity};
use crate::shadow::LIVED_HOURS;
use domain::time::{DAY, HOUR};

/// A resource is silent once it has been so for so long, and for half as long again as ever before.
const LEAST_HOURS: i64 = 3;
const LONGER: f64 = 1.5;
/// A resource that lived shorter than two days has no habits.
const HABITS_HOURS: i64 = 2 * LIVED_HOURS;
/// Gaps of so many weeks count: holidays are over after them.
const LOOKED_BACK: i64 = 28 * DAY;

/// Each silent resource by its place. Whether the collector itself is down shows in all of them: they are held against
/// the newest sample of any resource, not against the clock.
pub(super) fn silent(subjects: &[Subject], now: i64, from: i64) -> Vec<(usize, Found)> {
    let resources = || subjects.iter().enumerate().filter(|(_, subject)| subject.kind == RESOURCE);
    let Some(newest_of_all) = resources().map(|(_, subject)| subject.newest()).max() else { return Vec::new() };
    let newest_of_all = newest_of_all.min(now);
    let one = |(place, subject): (usize, &Subject)| {
        let track = subject.tracks.iter().max_by_key(|track| track.seen().count())?;
        let seen: Vec<i64> = track.seen().map(|(at, _)| at).collect();
        let (first, last) = (*seen.first()?, *seen.last()?);
        let silent_hours = (newest_of_all - last) / HOUR;
        let habit =
            seen.windows(2).filter(|pair| pair[1] > last - LOOKED_BACK).map(|pair| (pair[1] - pair[0]) / HOUR - 1);
        let longest = habit.max().unwrap_or(0);
        let needed = LEAST_HOURS.max((longest as f64 * LONGER).ceil() as i64 + 1);
        let began = last + HOUR;
        if last - first < HABITS_HOURS * HOUR || silent_hours <= needed || newest_of_all < from || began < from {
            return None;
        }
        let severity = if silent_hours >= 24 { Severity::Critical } else { Severity::Warning };
        let beside = match longest {
            0 => format!("no sample for {silent_hours} h; it had one every hour"),
            longest => format!("no sample for {silent_hours} h; its longest gap before was {longest} h"),
        };
        Some((
            place,
            Found {
                kind: Kind::Silence,
                started: began,
                ended: None,
                score: silent_hours as f64 / needed as f64,
                value: None,
                usual: None,
                limit: None,
                beside: Some(beside),
                severity,
            },
        ))
    };
    resources().filter_map(one).collect()
}
