//! What left its peers: the services of one name in many environments do the same work, and one of them no longer needs
//! what the others need.

use super::track::{DAY_HOURS, RESOURCE, Subject, Track};
use super::usual::errors;
use super::{Found, Kind, severity};
use crate::forecast::median;
use domain::time::{DAY, HOUR};
use std::collections::BTreeMap;

/// Fewer say nothing of one another.
const FEWEST: usize = 5;
/// It needs so many times what its peers need, or so many times less.
const LEAST_RATIO: f64 = 2.0;
/// Peers are taken to differ by a quarter at least.
const LEAST_SPREAD: f64 = 0.25;
/// What differed as much as this share a week before is a habit and no anomaly.
const HABIT: f64 = 0.5;

/// The finding of each place: subject, then track. Looked at a day at a time.
pub(super) fn outliers(subjects: &[Subject], from: i64, share: f64) -> Vec<(usize, usize, Found)> {
    let mut groups: BTreeMap<(&str, &str), Vec<(usize, usize)>> = BTreeMap::new();
    for (s, subject) in subjects.iter().enumerate().filter(|(_, subject)| subject.kind == RESOURCE) {
        let Some((_, service)) = subject.name.split_once('/') else { continue };
        for (t, track) in subject.tracks.iter().enumerate().filter(|(_, track)| track.cycle.is_some()) {
            groups.entry((service, &track.measure)).or_default().push((s, t));
        }
    }
    let newest = subjects.iter().map(Subject::newest).max().unwrap_or_default();
    let today = newest.div_euclid(HOUR) * HOUR + HOUR;
    let mut found: BTreeMap<(usize, usize), Found> = BTreeMap::new();
    for members in groups.values().filter(|members| members.len() >= FEWEST) {
        let track = |(s, t): (usize, usize)| &subjects[s].tracks[t];
        let tracks: Vec<&Track> = members.iter().map(|place| track(*place)).collect();
        let chance = share / 7.0 / subjects[members[0].0].tracks.len().max(1) as f64;
        let before = |end: i64| standings(&tracks, end, chance);
        let mut end = today - ((today - from) / DAY) * DAY;
        while end <= today {
            let (now, then) = (before(end), before(end - 7 * DAY));
            for (i, place) in members.iter().enumerate() {
                let Some(here) = &now[i] else { continue };
                let habit = then[i].as_ref().map_or(f64::INFINITY, |then| then.score);
                if here.score <= 1.0 || here.ratio < LEAST_RATIO || habit > HABIT {
                    continue;
                }
                let at = found.get(place).map_or(end - DAY, |earlier| earlier.started);
                let goes_on = end == today;
                let limit = tracks[i].limit;
                let words = format!("{} services of that name have a median of {}", members.len(), figure(here.peers));
                found.insert(
                    *place,
                    Found {
                        kind: Kind::PeerOutlier,
                        started: at,
                        ended: (!goes_on).then_some(end),
                        score: here.score,
                        value: Some(here.level),
                        usual: Some(here.peers),
                        limit,
                        beside: Some(words),
                        severity: severity(here.score, here.level, limit, here.level > here.peers),
                    },
                );
            }
            end += DAY;
        }
    }
    found.into_iter().map(|((s, t), found)| (s, t, found)).collect()
}

fn figure(value: f64) -> String {
    if value >= 1e4 { format!("{value:.3e}") } else { format!("{value:.3}") }
}

/// How a resource stands among its peers on the day up to a moment.
struct Standing {
    level: f64,
    peers: f64,
    /// The larger over the smaller of both.
    ratio: f64,
    score: f64,
}

fn standings(tracks: &[&Track], end: i64, chance: f64) -> Vec<Option<Standing>> {
    let level = |track: &&Track| {
        let (from, to) = (track.place(end - DAY), track.place(end));
        let mut day: Vec<f64> = track.value[from..to].iter().copied().filter(|v| v.is_finite()).collect();
        (2 * day.len() >= DAY_HOURS).then(|| median(&mut day)).filter(|level| *level > 0.0)
    };
    let levels: Vec<Option<f64>> = tracks.iter().map(level).collect();
    let mut logs: Vec<f64> = levels.iter().flatten().map(|level| level.ln()).collect();
    if logs.len() < FEWEST {
        return levels.iter().map(|_| None).collect();
    }
    let middle = median(&mut logs);
    let mut sizes: Vec<f64> = logs.iter().map(|log| (log - middle).abs()).collect();
    let spread = (median(&mut sizes) / 0.6745).max(LEAST_SPREAD);
    let bound = spread * errors(chance, logs.len());
    let one = |level: &Option<f64>| {
        level.map(|level| {
            let apart = (level.ln() - middle).abs();
            Standing { level, peers: middle.exp(), ratio: apart.exp(), score: apart / bound }
        })
    };
    levels.iter().map(one).collect()
}
