//! From hours with data to series without gaps.

use super::ENOUGH;
use crate::LearnError;
use crate::forecast;
use crate::frame::Frame;
use domain::Timestamp;
use domain::columns::hours as h;
use domain::time::HOUR;
use std::collections::BTreeMap;
use std::path::Path;

/// Gaps up to this many hours are filled on a straight line.
const SHORT_GAP_HOURS: usize = 6;
/// Longer gaps up to this many are filled with the same hours of the day before, where what follows is too short by itself.
const BRIDGED_GAP_HOURS: usize = 72;

/// Hours since 1970.
pub(super) type Hour = i64;

/// The hours of one resource with data: cores and bytes, either of which may be missing.
pub(super) type History = BTreeMap<Hour, [Option<f64>; 2]>;

/// Hands over the resources of a file that is ordered by them, in groups of so many, each with all its hours up to `now`.
pub(super) fn each_group(
    path: &Path,
    now: Timestamp,
    resources: usize,
    mut group: impl FnMut(BTreeMap<String, History>),
) -> Result<(), LearnError> {
    let mut histories: BTreeMap<String, History> = BTreeMap::new();
    Frame::each_part(path, &[h::RESOURCE, h::HOUR, h::CPU_CORES, h::MEMORY_BYTES], |part| {
        let hour = part.times(h::HOUR)?;
        let (cpu, memory) = (part.numbers(h::CPU_CORES)?, part.numbers(h::MEMORY_BYTES)?);
        for (names, rows) in part.runs_of(&[h::RESOURCE])? {
            // Null is read as empty: samples of no resource.
            let Some(resource) = names.into_iter().next().filter(|name| !name.is_empty()) else { continue };
            if histories.len() >= resources && !histories.contains_key(&resource) {
                group(std::mem::take(&mut histories));
            }
            let history = histories.entry(resource).or_default();
            for row in rows {
                let figures = [cpu[row], memory[row]].map(|x| (x.is_finite() && x >= 0.0).then_some(x));
                if let Some(hour) = hour[row].filter(|hour| *hour <= now && figures.iter().any(Option::is_some)) {
                    history.insert(hour.0.div_euclid(HOUR), figures);
                }
            }
        }
        Ok(())
    })?;
    group(histories);
    Ok(())
}

/// One figure as values an hour apart, and the hour of the last of them: everything after the last gap that cannot be
/// filled. None where the figure was never seen.
pub(super) fn regular(history: &History, figure: usize) -> Option<(Vec<f64>, Hour)> {
    let seen: Vec<(Hour, f64)> = history.iter().filter_map(|(hour, figures)| Some((*hour, figures[figure]?))).collect();
    let (last, _) = *seen.last()?;
    let strict = after_gap(&seen, SHORT_GAP_HOURS);
    // An environment that is off at night has a long gap every day: by itself, no part of it would be long enough.
    let used = match last - strict.first()?.0 < ENOUGH as i64 {
        true => after_gap(&seen, BRIDGED_GAP_HOURS),
        false => strict,
    };
    Some((filled(used), last))
}

/// The part after the last gap of more than `most` missing hours.
fn after_gap(seen: &[(Hour, f64)], most: usize) -> &[(Hour, f64)] {
    let gap = seen.windows(2).rposition(|pair| pair[1].0 - pair[0].0 - 1 > most as i64);
    &seen[gap.map_or(0, |i| i + 1)..]
}

/// Short gaps on a straight line, longer ones with the values of a day before.
fn filled(seen: &[(Hour, f64)]) -> Vec<f64> {
    let mut values: Vec<f64> = Vec::with_capacity(seen.len());
    let mut previous: Option<(Hour, f64)> = None;
    for (hour, value) in seen {
        if let Some((from, start)) = previous {
            let missing = (hour - from - 1) as usize;
            for step in 1..=missing {
                let line = start + (value - start) * step as f64 / (missing + 1) as f64;
                let day_before = values.len().checked_sub(forecast::DAY).map(|i| values[i]);
                values.push(if missing <= SHORT_GAP_HOURS { line } else { day_before.unwrap_or(line) });
            }
        }
        values.push(*value);
        previous = Some((*hour, *value));
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_filled_or_cut() {
        let history = |hours: &[Hour]| -> History { hours.iter().map(|h| (*h, [Some(*h as f64), None])).collect() };
        let short: Vec<Hour> = (0..60).filter(|h| !(10..13).contains(h)).collect();
        let want: Vec<f64> = (0..60).map(f64::from).collect();
        assert_eq!(regular(&history(&short), 0), Some((want, 59)));
        let long: Vec<Hour> = (0..10).chain(100..160).collect();
        assert_eq!(regular(&history(&long), 0).unwrap().0.len(), 60);
        // Off from 20 to 8 every night: bridged, as no day by itself is long enough.
        let nights: Vec<Hour> = (0..240).filter(|h| (8..20).contains(&(h % 24))).collect();
        assert_eq!(regular(&history(&nights), 0).unwrap().0.len(), 240 - 8 - 4);
        assert_eq!(regular(&history(&nights), 1), None);
    }
}
