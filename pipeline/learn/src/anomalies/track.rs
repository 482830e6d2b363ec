//! The series of `features.measures`: hours on a grid with gaps, runs one after the other.

use crate::LearnError;
use crate::frame::Frame;
use domain::Timestamp;
use domain::columns::measures as m;
use domain::time::{DAY, HOUR};
use std::path::Path;

/// How subjects and their measures are called.
pub(super) const RESOURCE: &str = "resource";
pub(super) const JOB: &str = "job";
pub(super) const MEMORY: &str = "memory_bytes";

/// Values of a day on the grid of hours.
pub(super) const DAY_HOURS: usize = 24;
/// Runs that make a level.
const LEVEL_RUNS: usize = 8;
/// A figure that comes more seldom than this share of the hours is looked at value by value.
const SELDOM: f64 = 0.3;

/// One resource, KPI or job.
pub(super) struct Subject {
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) tracks: Vec<Track>,
}

/// One figure of it.
pub(super) struct Track {
    pub(super) measure: String,
    /// Micros of each place, rising.
    pub(super) at: Vec<i64>,
    /// NaN where there is none.
    pub(super) value: Vec<f64>,
    /// The newest limit.
    pub(super) limit: Option<f64>,
    /// Places in a day, where the places are hours.
    pub(super) cycle: Option<usize>,
    /// Places that make a level.
    pub(super) level: usize,
    /// Places in a week.
    pub(super) per_week: f64,
}

impl Track {
    /// The first place at or after a moment.
    pub(super) fn place(&self, at: i64) -> usize {
        self.at.partition_point(|t| *t < at)
    }

    /// When a place is over: an hour later on the grid, at once of a run.
    pub(super) fn end(&self, place: usize) -> i64 {
        self.at[place] + if self.cycle.is_some() { HOUR } else { 0 }
    }

    /// Those of equal steps that are there.
    pub(super) fn seen(&self) -> impl Iterator<Item = (i64, f64)> {
        self.at.iter().copied().zip(self.value.iter().copied()).filter(|(_, v)| v.is_finite())
    }
}

impl Subject {
    /// The newest value of any figure.
    pub(super) fn newest(&self) -> i64 {
        self.tracks.iter().filter_map(|track| track.at.last().copied()).max().unwrap_or_default()
    }
}

/// All series up to `now`.
pub(super) fn read(path: &Path, now: Timestamp) -> Result<Vec<Subject>, LearnError> {
    let frame = Frame::read(path)?;
    let (at, value, limit) = (frame.times(m::AT)?, frame.numbers(m::VALUE)?, frame.numbers(m::LIMIT_VALUE)?);
    let mut subjects: Vec<Subject> = Vec::new();
    for (names, rows) in frame.runs_of(&[m::SUBJECT_KIND, m::SUBJECT, m::MEASURE])? {
        let [kind, name, measure] = &names[..] else { continue };
        let seen: Vec<(i64, f64)> = rows
            .clone()
            .filter_map(|row| Some((at[row].filter(|at| *at <= now)?.0, Some(value[row]).filter(|v| v.is_finite())?)))
            .collect();
        if seen.is_empty() {
            continue;
        }
        let limit = rows.rev().map(|row| limit[row]).find(|limit| limit.is_finite());
        let track = track(measure, seen, limit, kind == JOB);
        match subjects.last_mut().filter(|last| last.kind == *kind && last.name == *name) {
            Some(last) => last.tracks.push(track),
            None => subjects.push(Subject { kind: kind.clone(), name: name.clone(), tracks: vec![track] }),
        }
    }
    Ok(subjects)
}

/// Hours on their grid, unless they are few and far between.
pub(super) fn track(measure: &str, seen: Vec<(i64, f64)>, limit: Option<f64>, one_by_one: bool) -> Track {
    let (first, last) = (seen[0].0, seen[seen.len() - 1].0);
    let hours = ((last - first) / HOUR + 1) as usize;
    let is_dense = seen.len() as f64 >= SELDOM * hours as f64;
    let measure = measure.to_owned();
    if one_by_one || !is_dense {
        let per_week = seen.len() as f64 / ((last - first).max(DAY) as f64 / (7.0 * DAY as f64));
        let (at, value) = seen.into_iter().unzip();
        return Track { measure, at, value, limit, cycle: None, level: LEVEL_RUNS, per_week };
    }
    let mut value = vec![f64::NAN; hours];
    for (at, v) in seen {
        value[((at - first) / HOUR) as usize] = v;
    }
    let at = (0..hours as i64).map(|hour| first + hour * HOUR).collect();
    Track { measure, at, value, limit, cycle: Some(DAY_HOURS), level: DAY_HOURS, per_week: 7.0 * DAY_HOURS as f64 }
}
