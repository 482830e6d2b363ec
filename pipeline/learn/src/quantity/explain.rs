//! Why a model says of a run what it says: the features that moved it, and what the most similar runs before it took.

use super::data::{Data, feature_names};
use super::{LEVELS, Quantity, Task};
use crate::LearnError;
use crate::history::is_relative;
use crate::metrics::mean;
use domain::Timestamp;
use serde::Serialize;
use std::path::Path;

/// Rows that one is compared with, spread over all that had ended before it.
const OTHERS: usize = 2000;
/// Similar runs that are named.
const SIMILAR: usize = 5;
/// Of one feature, values further apart than so many deviations are no more apart.
const FAR: f64 = 3.0;
/// What it adds to the distance when the other run is of another job, and of another repository: as if all that moved the
/// prediction lay half a deviation, or one, apart.
const OTHER_JOB: f64 = 0.5;
const OTHER_REPO: f64 = 1.0;

/// Which run: of those that have ended, or of those that are expected.
#[derive(Clone, Debug)]
pub struct RunKey {
    /// Null of commands outside a repository.
    pub repo: String,
    /// Its identifier.
    pub run_id: String,
    /// When it began, or the clock.
    pub started_at: Timestamp,
}

/// What a model said or would have said of a run, in its unit (seconds or MiB), and why.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explained {
    /// Half of such runs take at most this.
    pub p50: f64,
    /// Nine in ten.
    pub p90: f64,
    /// Ninety-nine in a hundred.
    pub p99: f64,
    /// `s` or `mib`.
    pub unit: &'static str,
    /// What was measured; none of a run that is expected.
    pub measured: Option<f64>,
    /// Median of the job's last five, or what stands for it; the levels are relative to it.
    pub usual: Option<f64>,
    /// The model has learnt from this run: what it says is no prediction.
    pub learnt_from_it: bool,
    /// What moved it most first; empty of a predictor that looks at no feature.
    pub moves: Vec<Move>,
    /// Runs that had ended before it began, the most similar first.
    pub similar: Vec<Similar>,
}

/// One feature's part.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Move {
    /// Its name.
    pub feature: String,
    /// Its value in words.
    pub value: String,
    /// By what factor it moved p50, from the mean over runs before.
    pub p50_factor: f64,
    /// And p90.
    pub p90_factor: f64,
}

/// A run like it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Similar {
    /// Its repository.
    pub repo: String,
    /// Its identifier.
    pub run_id: String,
    /// Its job.
    pub job_key: String,
    /// When it began.
    pub started_at: Timestamp,
    /// What it took, in the unit.
    pub took: f64,
    /// Mean distance in deviations, weighed by what moved the prediction.
    pub distance: f64,
}

impl Task {
    /// Explains what a model says of one run; none when the model has no such quantity, or the run is not among `runs`
    /// and `expected` (cancelled, not measured, or longer than a day).
    pub(crate) fn explain(
        &self,
        model: &[u8],
        runs: &Path,
        expected: Option<&Path>,
        quantity: Quantity,
        until: Timestamp,
        key: &RunKey,
    ) -> Result<Option<Explained>, LearnError> {
        let kept = self.kept(model)?;
        let Some(model) = kept.models.get(&quantity) else { return Ok(None) };
        let data = Data::read_with(runs, expected, until, quantity)?;
        let runs = &data.runs;
        let is_it = |row: &usize| {
            runs.run_id[*row] == key.run_id
                && runs.started[*row] == key.started_at
                && runs.repo.names[runs.repo.of[*row]] == key.repo
                && runs.is_expected(*row) == expected.is_some()
        };
        let Some(row) = (0..runs.len()).find(is_it) else { return Ok(None) };
        let before: Vec<u32> =
            (0..runs.len()).filter(|&other| runs.ended[other] <= runs.started[row]).map(|other| other as u32).collect();
        let step = before.len().div_ceil(OTHERS).max(1);
        let others: Vec<u32> = before.iter().rev().step_by(step).copied().collect();
        let moved = model.moves(&data, row as u32, &others);
        let (told, learnt_from_it) = model.of_one(&data, row as u32);
        let level = |at: usize| told.levels[at.min(LEVELS.len() - 1)][0].exp_m1();
        let similar = similar(&data, row, &before, &others, &moved);
        Ok(Some(Explained {
            p50: level(0),
            p90: level(1),
            p99: level(2),
            unit: quantity.unit(),
            measured: Some(runs.value[row]).filter(|v| !v.is_nan()).map(f64::exp_m1),
            usual: Some(data.past[row].base).filter(|v| !v.is_nan()).map(f64::exp_m1),
            learnt_from_it,
            moves: moves(&data, row, &moved),
            similar,
        }))
    }
}

fn moves(data: &Data, row: usize, moved: &[Vec<f64>]) -> Vec<Move> {
    let [p50, p90, ..] = moved else { return Vec::new() };
    let one = |(at, name): (usize, String)| Move {
        value: in_words(&name, f64::from(data.table.columns[at][row]), data.quantity),
        feature: name,
        p50_factor: p50[at].exp(),
        p90_factor: p90[at].exp(),
    };
    let mut moves: Vec<Move> = feature_names().into_iter().enumerate().map(one).collect();
    let size = |m: &Move| m.p50_factor.ln().abs() + m.p90_factor.ln().abs();
    moves.retain(|m| size(m) > 1e-6);
    moves.sort_by(|a, b| size(b).total_cmp(&size(a)));
    moves
}

/// A feature's value as people read it: features are logarithms, ratios, seconds and counts.
fn in_words(name: &str, value: f64, quantity: Quantity) -> String {
    let unit = if quantity.unit() == "s" { "s" } else { "MiB" };
    match name {
        _ if value.is_nan() => "not known".to_owned(),
        "base" => format!("{:.1} {unit}", value.exp_m1()),
        _ if is_relative(name) => format!("x{:.2} of the usual", value.exp()),
        _ if name.starts_with("since_") => format!("{:.0} s", value.exp_m1()),
        "finished" | "churn" => format!("{:.0}", value.exp_m1()),
        _ if value.fract() == 0.0 => format!("{value:.0}"),
        _ => format!("{value:.3}"),
    }
}

/// The nearest of the runs `before`, over the features that moved the prediction, each as much as it did.
fn similar(data: &Data, row: usize, before: &[u32], others: &[u32], moved: &[Vec<f64>]) -> Vec<Similar> {
    let runs = &data.runs;
    let mut weight: Vec<f64> = (0..data.table.columns.len())
        .map(|at| {
            moved.iter().take(2).map(|level| level[at].abs()).sum::<f64>() + if moved.is_empty() { 1.0 } else { 0.0 }
        })
        .collect();
    let sum: f64 = weight.iter().sum();
    weight.iter_mut().for_each(|w| *w /= sum.max(1e-12));
    let mut distance = vec![0.0; before.len()];
    for (column, weight) in data.table.columns.iter().zip(&weight).filter(|(_, weight)| **weight > 0.0) {
        let values = || others.iter().map(|&other| f64::from(column[other as usize])).filter(|v| !v.is_nan());
        let middle = mean(values());
        let deviation = mean(values().map(|v| (v - middle).powi(2))).sqrt();
        let own = f64::from(column[row]);
        for (distance, &other) in distance.iter_mut().zip(before) {
            let value = f64::from(column[other as usize]);
            let apart = match (own.is_nan(), value.is_nan()) {
                (true, true) => 0.0,
                (false, false) if value == own => 0.0,
                (false, false) if deviation > 0.0 => ((value - own).abs() / deviation).min(FAR),
                _ => 1.0,
            };
            *distance += weight * apart;
        }
    }
    for (distance, &other) in distance.iter_mut().zip(before) {
        *distance += if runs.repo.of[other as usize] != runs.repo.of[row] {
            OTHER_REPO
        } else if runs.job.of[other as usize] != runs.job.of[row] {
            OTHER_JOB
        } else {
            0.0
        };
    }
    let mut order: Vec<usize> = (0..before.len()).collect();
    // Of equals the latest.
    order.sort_by(|&a, &b| distance[a].total_cmp(&distance[b]).then(before[b].cmp(&before[a])));
    let one = |at: usize| {
        let other = before[at] as usize;
        Similar {
            repo: runs.repo.names[runs.repo.of[other]].clone(),
            run_id: runs.run_id[other].clone(),
            job_key: runs.job.names[runs.job.of[other]].clone(),
            started_at: runs.started[other],
            took: runs.value[other].exp_m1(),
            distance: distance[at],
        }
    };
    order.into_iter().take(SIMILAR).map(one).collect()
}
