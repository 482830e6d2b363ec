//! What is wrong in a lake: spikes, shifts of the level, drifts, leaks, silence, and what stands out among its peers.
//!
//! Owns the rules and their budget: of what is only chance, at most so many findings per resource and week. Reads
//! `features.measures`; what a finding means for a plan is not said here. For streams of one's own, value by value, see
//! [`crate::anomaly`].

mod levels;
mod peers;
mod silence;
mod spikes;
#[cfg(test)]
mod tests;
mod track;
mod usual;

use crate::LearnError;
use crate::parquet;
use domain::Timestamp;
use domain::columns::anomalies as col;
use domain::time::{DAY, HOUR};
use polars::prelude::{Column, NamedFrom, Series};
use rayon::prelude::*;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use track::{Subject, Track};

/// Findings of pure chance per resource and week, where nothing else is asked for.
pub const BUDGET: f64 = 0.1;
/// What a share of the budget is given to: spikes, shifts, drifts, and peers. Leaks and silence follow fixed rules.
const DETECTORS: f64 = 4.0;

/// Where anomalies are looked for.
#[derive(Clone, Copy, Debug)]
pub struct AnomaliesSpec {
    /// The moment of the search: nothing later is read.
    pub now: Timestamp,
    /// Findings that were over before are left out.
    pub since: Timestamp,
    /// Findings of pure chance, at most so many per resource and week.
    pub budget: f64,
}

/// What kind of anomaly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Single hours or runs far from what is usual at their place in the day.
    Spike,
    /// A level that rose or fell at one moment, and stayed.
    LevelShift,
    /// A level that moves a little every day.
    Drift,
    /// Memory of which less is given back every day.
    Leak,
    /// A resource that no longer reports.
    Silence,
    /// A level that left those of the services of the same name.
    PeerOutlier,
}

impl Kind {
    /// As it is in files.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Unusual, and nothing more is known against it.
    Notice,
    /// Twice as far from the usual as it must be to be found, or near its limit.
    Warning,
    /// At its limit, or going to be within two days; or a resource silent for more than a day.
    Critical,
}

impl Severity {
    /// As it is in files.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// What was found in one series, before it is judged.
#[derive(Clone, Debug)]
struct Found {
    kind: Kind,
    /// Micros; the end is that of the last value that is part of it, none: it goes on.
    started: i64,
    ended: Option<i64>,
    /// How far from the usual, over how far it must be to be found: 1 or more.
    score: f64,
    /// The value that is furthest, or the new level; what is usual; what is allowed.
    value: Option<f64>,
    usual: Option<f64>,
    limit: Option<f64>,
    /// What only this kind of finding knows, in words.
    beside: Option<String>,
    severity: Severity,
}

/// A finding.
#[derive(Clone, Debug, Serialize)]
pub struct Anomaly {
    /// `resource`, `kpi` or `job`.
    pub subject_kind: String,
    /// Which one.
    pub subject: String,
    /// Which figure, with its unit; `samples` of a resource that is silent.
    pub measure: String,
    /// What kind.
    pub anomaly: Kind,
    /// How much it matters.
    pub severity: Severity,
    /// When it began.
    pub started_at: Timestamp,
    /// When it was over; none: it goes on.
    pub ended_at: Option<Timestamp>,
    /// How far from the usual, over how far it must be to be found.
    pub score: f64,
    /// The furthest value, or the new level.
    pub value: Option<f64>,
    /// What is usual.
    pub usual: Option<f64>,
    /// What is allowed.
    pub limit: Option<f64>,
    /// What else is known of it.
    pub detail: Option<String>,
}

/// What was looked at and found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct AnomaliesSummary {
    /// Resources, KPIs and jobs by what they are.
    pub subjects: BTreeMap<String, usize>,
    /// Series looked at, and those too short to say what is usual.
    pub series: usize,
    /// Fewer than a few days, or few dozens of runs.
    pub too_short: usize,
    /// Findings of pure chance per resource and week that the bounds allow.
    pub budget: f64,
    /// What was found, the gravest first.
    pub found: Vec<Anomaly>,
    /// The newest value.
    pub data_watermark: Timestamp,
}

/// Looks at every series of `features.measures` and writes the findings that were not over before `since` to `out`.
///
/// # Errors
/// A file cannot be read or written or lacks a column, or there is no value at all.
pub fn look(measures: &Path, spec: &AnomaliesSpec, out: &Path) -> Result<AnomaliesSummary, LearnError> {
    let subjects = track::read(measures, spec.now)?;
    if subjects.is_empty() {
        return Err(LearnError::TooLittleData(format!("there is no usage, KPI or run up to {}", spec.now)));
    }
    let summary = search(&subjects, spec);
    write(&summary.found, spec, out)?;
    Ok(summary)
}

fn search(subjects: &[Subject], spec: &AnomaliesSpec) -> AnomaliesSummary {
    let from = spec.since.0;
    let each = |subject: &Subject| {
        let share = spec.budget / DETECTORS / subject.tracks.len().max(1) as f64;
        subject.tracks.iter().map(|track| of_track(subject, track, from, share)).collect::<Vec<_>>()
    };
    let mut by_track: Vec<Vec<Option<Vec<Found>>>> = subjects.par_iter().map(each).collect();
    for (subject, track, found) in peers::outliers(subjects, from, spec.budget / DETECTORS) {
        if let Some(findings) = &mut by_track[subject][track] {
            findings.push(found);
        }
    }
    let mut found: Vec<Anomaly> = Vec::new();
    let mut series = 0;
    let mut too_short = 0;
    for (subject, tracks) in subjects.iter().zip(by_track) {
        for (track, findings) in subject.tracks.iter().zip(tracks) {
            series += 1;
            too_short += usize::from(findings.is_none());
            found.extend(findings.into_iter().flatten().map(|found| named(subject, &track.measure, found)));
        }
    }
    let silent = silence::silent(subjects, spec.now.0, from);
    found.extend(silent.into_iter().map(|(subject, found)| named(&subjects[subject], "samples", found)));
    found.sort_by(|a, b| {
        let order = (b.severity, b.started_at).cmp(&(a.severity, a.started_at));
        order.then_with(|| (&a.subject, &a.measure, a.anomaly).cmp(&(&b.subject, &b.measure, b.anomaly)))
    });
    let mut kinds = BTreeMap::new();
    subjects.iter().for_each(|subject| *kinds.entry(subject.kind.clone()).or_default() += 1);
    let newest = subjects.iter().map(Subject::newest).max().unwrap_or_default();
    AnomaliesSummary {
        subjects: kinds,
        series,
        too_short,
        budget: spec.budget,
        found,
        data_watermark: Timestamp(newest.min(spec.now.0)),
    }
}

/// None: too short.
fn of_track(subject: &Subject, track: &Track, from: i64, share: f64) -> Option<Vec<Found>> {
    let usual = usual::Usual::of(track)?;
    let begin = track.place(from);
    let shifts = levels::shifts(track, &usual, begin, share);
    let mut found = spikes::spikes(track, &usual, begin, share);
    // The first day of a new level looks like a spike that lasts.
    let of_shift = |spike: &Found| {
        let first = |shift: &Found| (shift.started - 6 * HOUR..shift.started + DAY).contains(&spike.started);
        shifts.iter().any(first)
    };
    found.retain(|spike| !of_shift(spike));
    let leak = (track.measure == track::MEMORY && subject.kind == track::RESOURCE)
        .then(|| levels::leak(track, from))
        .flatten();
    // A leak is a drift of which more is known, and a drift may look like many shifts.
    let drift = if leak.is_some() { leak } else { levels::drift(track, from, share) };
    let drifting: BTreeSet<bool> = drift.iter().map(levels::rises).collect();
    found.extend(shifts.into_iter().filter(|shift| !drifting.contains(&levels::rises(shift))));
    found.extend(drift);
    Some(found)
}

fn named(subject: &Subject, measure: &str, found: Found) -> Anomaly {
    Anomaly {
        subject_kind: subject.kind.clone(),
        subject: subject.name.clone(),
        measure: measure.to_owned(),
        anomaly: found.kind,
        severity: found.severity,
        started_at: Timestamp(found.started),
        ended_at: found.ended.map(Timestamp),
        score: found.score,
        value: found.value,
        usual: found.usual,
        limit: found.limit,
        detail: found.beside,
    }
}

/// By how far it is from the usual, and how near its limit.
fn severity(score: f64, value: f64, limit: Option<f64>, rises: bool) -> Severity {
    match limit.filter(|limit| rises && *limit > 0.0).map(|limit| value / limit) {
        Some(share) if share >= 0.95 => Severity::Critical,
        Some(share) if share >= 0.8 => Severity::Warning,
        _ if score >= 2.0 => Severity::Warning,
        _ => Severity::Notice,
    }
}

fn write(found: &[Anomaly], spec: &AnomaliesSpec, out: &Path) -> Result<(), LearnError> {
    let texts = |name: &str, of: &dyn Fn(&Anomaly) -> Option<String>| -> Column {
        Series::new(name.into(), found.iter().map(of).collect::<Vec<_>>()).into()
    };
    let numbers = |name: &str, of: &dyn Fn(&Anomaly) -> Option<f64>| -> Column {
        Series::new(name.into(), found.iter().map(of).collect::<Vec<_>>()).into()
    };
    let columns = vec![
        texts(col::SUBJECT_KIND, &|a| Some(a.subject_kind.clone())),
        texts(col::SUBJECT, &|a| Some(a.subject.clone())),
        texts(col::MEASURE, &|a| Some(a.measure.clone())),
        texts(col::ANOMALY, &|a| Some(a.anomaly.name().to_owned())),
        texts(col::SEVERITY, &|a| Some(a.severity.name().to_owned())),
        parquet::time_column(col::STARTED_AT, found.iter().map(|a| a.started_at.0).collect()),
        parquet::optional_time_column(col::ENDED_AT, found.iter().map(|a| a.ended_at.map(|at| at.0)).collect()),
        numbers(col::SCORE, &|a| Some(a.score)),
        numbers(col::VALUE, &|a| a.value),
        numbers(col::USUAL, &|a| a.usual),
        numbers(col::LIMIT_VALUE, &|a| a.limit),
        texts(col::DETAIL, &|a| a.detail.clone()),
        numbers(col::BUDGET, &|_| Some(spec.budget)),
        parquet::time_column(col::FOUND_AT, found.iter().map(|_| spec.now.0).collect()),
    ];
    parquet::write(out, columns)
}
