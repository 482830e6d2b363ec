//! Single values, or a few in a row, far from what is usual at their place.

use super::track::{DAY_HOURS, Track};
use super::usual::Usual;
use super::{Found, Kind, severity};

/// Nothing nearer than so many standard deviations is a spike, however calm the past was.
const LEAST: f64 = 5.0;
/// Nor what moves the figure by less than this share of its level.
const LEAST_OF_LEVEL: f64 = 0.2;
/// Places without a spike that end it.
const PAUSE: usize = 2;

/// The spikes from place `from` on. `share`: findings of chance that the series may have in a week.
pub(super) fn spikes(track: &Track, usual: &Usual, from: usize, share: f64) -> Vec<Found> {
    let chance = share / track.per_week.max(1.0);
    let floor = (LEAST * usual.scale).max(LEAST_OF_LEVEL * usual.level);
    let mut found: Vec<(usize, usize, Found)> = Vec::new();
    let mut bound: Option<(usize, f64)> = None;
    for i in from..track.value.len() {
        let distance = usual.distance[i];
        if !distance.is_finite() || distance.abs() < floor {
            continue;
        }
        // The tail moves slowly: once a day is often enough.
        if bound.is_none_or(|(at, _)| i >= at + DAY_HOURS) {
            bound = Some((i, usual.bound(i, chance).max(floor)));
        }
        let Some((_, bound)) = bound.filter(|(_, bound)| distance.abs() > *bound) else { continue };
        let (score, value) = (distance.abs() / bound, track.value[i]);
        let here = Found {
            kind: Kind::Spike,
            started: track.at[i],
            ended: Some(track.end(i)),
            score,
            value: Some(value),
            usual: Some(value - distance),
            limit: track.limit,
            beside: None,
            severity: severity(score, value, track.limit, distance > 0.0),
        };
        match found.last_mut().filter(|(_, last, _)| i <= last + PAUSE) {
            Some((_, last, before)) => {
                *last = i;
                let started = before.started;
                let graver = before.severity.max(here.severity);
                if here.score > before.score {
                    *before = here;
                }
                (before.started, before.ended, before.severity) = (started, Some(track.end(i)), graver);
            }
            None => found.push((i, i, here)),
        }
    }
    let newest = track.value.len().saturating_sub(1);
    let ended = |(_, last, found): (usize, usize, Found)| Found {
        ended: found.ended.filter(|_| last < newest || track.cycle.is_none()),
        ..found
    };
    found.into_iter().map(ended).collect()
}
