//! From hours with data to series without gaps.

use super::ENOUGH;
use super::measure::{ByMeasure, Measure};
use crate::LearnError;
use crate::forecast;
use crate::frame::Frame;
use domain::Timestamp;
use domain::columns::{hours as h, run_hours as r};
use domain::time::HOUR;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Gaps up to this many hours are filled on a straight line.
const SHORT_GAP_HOURS: usize = 6;
/// Longer gaps up to this many are filled with the same hours of the day before, where what follows is too short by itself.
const BRIDGED_GAP_HOURS: usize = 72;

/// Hours since 1970.
pub(super) type Hour = i64;

/// The hours of one resource with data: each measure, which may be missing.
pub(super) type History = BTreeMap<Hour, ByMeasure<Option<f64>>>;

/// Where the hours of resources come from.
pub(super) struct Hours<'a> {
    /// `features.resource_hours`.
    pub(super) samples: &'a Path,
    /// `features.run_hours`.
    pub(super) runs: Option<&'a Path>,
    /// Later hours are not read.
    pub(super) now: Timestamp,
}

/// What is sampled, by its column.
pub(super) const SAMPLED: [(&str, Measure); 4] = [
    (h::CPU_CORES, Measure::CpuCores),
    (h::MEMORY_BYTES, Measure::MemoryBytes),
    (h::IO_BYTES_PER_S, Measure::IoBytesPerS),
    (h::NET_BYTES_PER_S, Measure::NetBytesPerS),
];

impl Hours<'_> {
    /// Hands over the resources in groups of so many, each with all its hours: those with samples by name, then those that have
    /// runs only. The file of samples is ordered by resource; runs are few beside it, and held.
    pub(super) fn each_group(
        &self,
        resources: usize,
        mut group: impl FnMut(BTreeMap<String, History>),
    ) -> Result<(), LearnError> {
        let mut runs = self.runs()?;
        let mut give = |mut histories: BTreeMap<String, History>, runs: &mut BTreeMap<String, History>| {
            for (resource, history) in &mut histories {
                for (hour, counted) in runs.remove(resource).unwrap_or_default() {
                    let at = Measure::RunsPerHour.at();
                    history.entry(hour).or_default()[at] = counted[at];
                }
            }
            group(histories);
        };
        let mut histories: BTreeMap<String, History> = BTreeMap::new();
        let columns = [&[h::RESOURCE, h::HOUR][..], &SAMPLED.map(|(column, _)| column)].concat();
        Frame::each_part(self.samples, &columns, |part| {
            let hour = part.times(h::HOUR)?;
            let sampled: Vec<(Vec<f64>, usize)> = SAMPLED
                .iter()
                .map(|(column, measure)| Ok((part.numbers(column)?, measure.at())))
                .collect::<Result<_, LearnError>>()?;
            for (names, rows) in part.runs_of(&[h::RESOURCE])? {
                // Null is read as empty: samples of no resource.
                let Some(resource) = names.into_iter().next().filter(|name| !name.is_empty()) else { continue };
                if histories.len() >= resources && !histories.contains_key(&resource) {
                    give(std::mem::take(&mut histories), &mut runs);
                }
                let history = histories.entry(resource).or_default();
                for row in rows {
                    let mut figures = ByMeasure::<Option<f64>>::default();
                    for (values, at) in &sampled {
                        figures[*at] = Some(values[row]).filter(|x| x.is_finite() && *x >= 0.0);
                    }
                    let known = figures.iter().any(Option::is_some);
                    if let Some(hour) = hour[row].filter(|hour| *hour <= self.now && known) {
                        history.insert(hour.0.div_euclid(HOUR), figures);
                    }
                }
            }
            Ok(())
        })?;
        give(histories, &mut runs);
        while !runs.is_empty() {
            let rest = runs.keys().nth(resources).cloned().map(|first| runs.split_off(&first)).unwrap_or_default();
            group(std::mem::replace(&mut runs, rest));
        }
        Ok(())
    }

    /// The hours with runs.
    fn runs(&self) -> Result<BTreeMap<String, History>, LearnError> {
        let mut histories: BTreeMap<String, History> = BTreeMap::new();
        let Some(path) = self.runs else { return Ok(histories) };
        Frame::each_part(path, &[r::RESOURCE, r::HOUR, r::RUNS], |part| {
            let (hour, runs) = (part.times(r::HOUR)?, part.numbers(r::RUNS)?);
            for (names, rows) in part.runs_of(&[r::RESOURCE])? {
                let Some(resource) = names.into_iter().next().filter(|name| !name.is_empty()) else { continue };
                let history = histories.entry(resource).or_default();
                for row in rows {
                    if let Some(hour) = hour[row].filter(|hour| *hour <= self.now) {
                        history.entry(hour.0.div_euclid(HOUR)).or_default()[Measure::RunsPerHour.at()] =
                            Some(runs[row]);
                    }
                }
            }
            Ok(())
        })?;
        Ok(histories)
    }

    /// The hours in which the lake has data, of any resource.
    pub(super) fn covered(&self) -> Result<Covered, LearnError> {
        let mut hours = BTreeSet::new();
        for path in [Some(self.samples), self.runs].into_iter().flatten() {
            Frame::each_part(path, &[h::HOUR], |part| {
                let seen = part.times(h::HOUR)?.into_iter().flatten().filter(|hour| *hour <= self.now);
                hours.extend(seen.map(|hour| hour.0.div_euclid(HOUR)));
                Ok(())
            })?;
        }
        Ok(Covered { hours, over: self.now.0.div_euclid(HOUR) })
    }
}

/// The hours in which a lake has data.
pub(super) struct Covered {
    hours: BTreeSet<Hour>,
    /// The hour that goes on: it has not had all its runs.
    over: Hour,
}

impl Covered {
    /// Counts no run in the hours since a resource's first run in which none began. Where the whole lake has no data for longer
    /// than [`BRIDGED_GAP_HOURS`], nothing is known of them.
    pub(super) fn count_none(&self, history: &mut History) {
        let at = Measure::RunsPerHour.at();
        let Some(first) = history.iter().find(|(_, figures)| figures[at].is_some()).map(|(hour, _)| *hour) else {
            return;
        };
        let mut previous = first;
        for hour in self.hours.range(first..self.over) {
            let since = if hour - previous - 1 > BRIDGED_GAP_HOURS as i64 { *hour } else { previous + 1 };
            for hour in since..=*hour {
                history.entry(hour).or_default()[at].get_or_insert(0.0);
            }
            previous = *hour;
        }
    }
}

/// The newest hour in which a measure was seen.
pub(super) fn newest_of(history: &History, measure: Measure) -> Option<Hour> {
    history.iter().rev().find(|(_, figures)| figures[measure.at()].is_some()).map(|(hour, _)| *hour)
}

/// One measure as values an hour apart, and the hour of the last of them: everything after the last gap that cannot be
/// filled. None where it was never seen.
pub(super) fn regular(history: &History, measure: Measure) -> Option<(Vec<f64>, Hour)> {
    let figure = measure.at();
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
        let history = |hours: &[Hour]| -> History {
            hours.iter().map(|h| (*h, [Some(*h as f64), None, None, None, None])).collect()
        };
        let short: Vec<Hour> = (0..60).filter(|h| !(10..13).contains(h)).collect();
        let want: Vec<f64> = (0..60).map(f64::from).collect();
        assert_eq!(regular(&history(&short), Measure::CpuCores), Some((want, 59)));
        let long: Vec<Hour> = (0..10).chain(100..160).collect();
        assert_eq!(regular(&history(&long), Measure::CpuCores).unwrap().0.len(), 60);
        // Off from 20 to 8 every night: bridged, as no day by itself is long enough.
        let nights: Vec<Hour> = (0..240).filter(|h| (8..20).contains(&(h % 24))).collect();
        assert_eq!(regular(&history(&nights), Measure::CpuCores).unwrap().0.len(), 240 - 8 - 4);
        assert_eq!(regular(&history(&nights), Measure::MemoryBytes), None);
    }

    #[test]
    fn an_hour_without_a_run_is_zero_while_the_lake_has_data() {
        let at = Measure::RunsPerHour.at();
        let counted = |hours: &[Hour], over: Hour| -> Vec<(Hour, Option<f64>)> {
            let covered = Covered { hours: hours.iter().copied().collect(), over };
            let one = |runs: f64| [None, None, None, None, Some(runs)];
            let mut history: History = [(2, one(3.0)), (5, one(1.0))].into();
            history.insert(6, [Some(1.0), None, None, None, None]);
            covered.count_none(&mut history);
            history.iter().map(|(hour, figures)| (*hour, figures[at])).collect()
        };
        // Others have data up to hour 8, which goes on; before the first run nothing is known.
        let want = [(2, 3.0), (3, 0.0), (4, 0.0), (5, 1.0), (6, 0.0), (7, 0.0)].map(|(hour, runs)| (hour, Some(runs)));
        assert_eq!(counted(&[0, 1, 2, 5, 6, 7, 8], 8), want);
        // A night of the whole lake is no run; a week of it says nothing.
        assert_eq!(counted(&[2, 5, 6, 72], 100).len(), 71);
        assert_eq!(counted(&[2, 5, 6, 200], 300).len(), 6);
    }
}
