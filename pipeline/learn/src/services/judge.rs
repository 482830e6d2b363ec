//! How good lists are: what was needed beside the first three that were named.

use super::contest::{Choice, List};
use super::data::Data;
use crate::card::Evaluation;
use crate::metrics::{brier, calibration_error, mean};
use crate::odds::reliability;
use domain::model::Metrics;
use std::collections::BTreeMap;

/// A run and what was said of it.
pub(super) struct Told {
    pub(super) row: u32,
    pub(super) list: List,
}

/// Things that are looked at.
pub(super) const FIRST: usize = 3;

/// Of one list: hits among the first three, the most there could have been, and the place of the first hit (0: none).
fn hits(data: &Data, told: &Told) -> (usize, usize, usize) {
    let needs = &data.runs[told.row as usize].needs;
    let is_needed = |(thing, _): &(u32, f64)| needs.binary_search(thing).is_ok();
    let found = told.list.iter().take(FIRST).filter(|one| is_needed(one)).count();
    let first = told.list.iter().position(is_needed).map_or(0, |at| at + 1);
    (found, needs.len().min(FIRST), first)
}

/// Runs that needed something: of the others every list is equally wrong.
pub(super) fn needing<'a>(data: &'a Data, told: &'a [Told]) -> impl Iterator<Item = &'a Told> {
    told.iter().filter(|told| !data.runs[told.row as usize].needs.is_empty())
}

/// The outcome and the probability of the first three of every run, also of those that needed nothing.
fn said(data: &Data, told: &[Told]) -> (Vec<bool>, Vec<f64>) {
    let first = told.iter().flat_map(|told| told.list.iter().take(FIRST).map(move |one| (told.row, *one)));
    first.map(|(row, (thing, p))| (data.runs[row as usize].needs.binary_search(&thing).is_ok(), p)).unzip()
}

/// - `precision3`: hits among the first three, divided by three, mean over the runs that needed something;
/// - `precision3_best`: the same of one who knows: a run that needs two things cannot have three hits;
/// - `miss3`: the difference of these two, the figure by which predictors are compared; less is better;
/// - `recall3`: the share of what was needed that is among the first three; `mrr`: one over the place of the first hit;
/// - `brier`, `ece10`: of the probabilities of the first three of all runs.
pub(super) fn metrics(data: &Data, told: &[Told]) -> Metrics {
    let all: Vec<(f64, f64, f64, f64)> = needing(data, told)
        .map(|one| {
            let (found, most, first) = hits(data, one);
            let needs = data.runs[one.row as usize].needs.len() as f64;
            let reciprocal = if first == 0 { 0.0 } else { 1.0 / first as f64 };
            (found as f64 / FIRST as f64, most as f64 / FIRST as f64, found as f64 / needs, reciprocal)
        })
        .collect();
    let of = |what: fn(&(f64, f64, f64, f64)) -> f64| mean(all.iter().map(what));
    let (truth, p) = said(data, told);
    Metrics::from([
        ("precision3".to_owned(), of(|one| one.0)),
        ("precision3_best".to_owned(), of(|one| one.1)),
        ("miss3".to_owned(), of(|one| one.1 - one.0)),
        ("recall3".to_owned(), of(|one| one.2)),
        ("mrr".to_owned(), of(|one| one.3)),
        ("brier".to_owned(), brier(&truth, &p)),
        ("ece10".to_owned(), calibration_error(&truth, &p)),
    ])
}

/// Ours with and without the repository's own past, beside the naive ones, on the same runs.
pub(super) fn evaluation(data: &Data, ours: &[Told], as_new: &[Told], naive: &[(Choice, Vec<Told>)]) -> Evaluation {
    let mut of_ours = metrics(data, ours);
    for (name, value) in metrics(data, as_new) {
        if name != "precision3_best" {
            of_ours.insert(format!("cold_{name}"), value);
        }
    }
    let mut baselines: BTreeMap<String, Metrics> =
        naive.iter().map(|(choice, told)| (choice.name().to_owned(), metrics(data, told))).collect();
    // How much of the way from popularity to the best possible is gone.
    if let Some(popular) = baselines.get(Choice::Popularity.name()).map(|m| m["precision3"]) {
        let closed = |m: &Metrics, name: &str| (m[name] - popular) / (of_ours["precision3_best"] - popular);
        let (warm, cold) = (closed(&of_ours, "precision3"), closed(&of_ours, "cold_precision3"));
        baselines.values_mut().for_each(|m| {
            let value = closed(m, "precision3");
            m.insert("gap_closed".to_owned(), value);
        });
        of_ours.insert("gap_closed".to_owned(), warm);
        of_ours.insert("cold_gap_closed".to_owned(), cold);
    }
    let key = |row: u32| format!("{} {}", data.runs[row as usize].started.0, data.runs[row as usize].run_id);
    let loss = |told: &Told| {
        let (found, most, _) = hits(data, told);
        (data.repo_name(told.row).to_owned(), key(told.row), (most - found) as f64 / FIRST as f64)
    };
    let (truth, p) = said(data, ours);
    let losses = |told: &[Told]| needing(data, told).map(|told| loss(told).2).collect();
    Evaluation {
        metrics: of_ours,
        baselines,
        baseline_losses: naive.iter().map(|(choice, told)| (choice.name().to_owned(), losses(told))).collect(),
        rows: needing(data, ours).count(),
        losses: needing(data, ours).map(loss).collect(),
        reliability: reliability(&truth, &p),
        ..Evaluation::default()
    }
}
