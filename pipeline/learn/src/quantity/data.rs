//! Runs with their past, as rows of features.

use super::{Quantity, RUNS_NEEDED};
use crate::LearnError;
use crate::card::TrainSpec;
use crate::drift::Features;
use crate::frame::finite_or_missing;
use crate::history::{self, Past};
use crate::metrics::quantile;
use crate::runs::Runs;
use crate::trees::Table;
use domain::Timestamp;
use domain::columns::runs::KNOWN;
use domain::time::{DAY, HOUR};
use std::path::Path;

/// Runs, their pasts, and a table with a row per run and then a row per copy.
pub(super) struct Data {
    pub(super) quantity: Quantity,
    pub(super) runs: Runs,
    pub(super) past: Vec<Past>,
    pub(super) table: Table,
    /// Runs that are learnt from as if they were their repository's first, and their bases.
    copies: Vec<(u32, f64)>,
}

/// What the rows of the table are called, in order.
pub(super) fn feature_names() -> Vec<String> {
    let history = history::FEATURES.iter().map(|(name, _)| name);
    history.chain(KNOWN).chain(&["churn", "hour_utc", "weekday"]).map(|n| (*n).to_owned()).collect()
}

impl Data {
    pub(super) fn read(path: &Path, until: Timestamp, quantity: Quantity) -> Result<Self, LearnError> {
        Self::read_with(path, None, until, quantity)
    }

    /// The same with the runs that are expected, as rows to be said and not to be learnt from.
    pub(super) fn read_with(
        path: &Path,
        expected: Option<&Path>,
        until: Timestamp,
        quantity: Quantity,
    ) -> Result<Self, LearnError> {
        let runs = Runs::read(path, expected, until, quantity)?;
        let history::History { past, copies, features: mut table } = history::of(&runs);
        let mut add = |of: &dyn Fn(usize) -> f64| {
            let rows = (0..runs.len()).chain(copies.iter().map(|(row, _)| *row as usize));
            table.columns.push(rows.map(|row| finite_or_missing(of(row))).collect());
        };
        runs.known.iter().for_each(|column| add(&|row| column[row]));
        add(&|row| runs.churn[row]);
        add(&|row| runs.started[row].0.rem_euclid(DAY) as f64 / HOUR as f64);
        // Day 0 of 1970 was a Thursday; Monday is 0.
        add(&|row| (runs.started[row].0.div_euclid(DAY) + 3).rem_euclid(7) as f64);
        Ok(Self { quantity, past, table, copies, runs })
    }

    /// The features that come new with every run: what is known of the change and its limits.
    pub(super) fn new_with_a_run(&self) -> Features<'_> {
        let columns = self.table.columns.iter().map(Vec::as_slice).skip(history::FEATURES.len());
        KNOWN.iter().copied().chain(["churn"]).zip(columns).collect()
    }

    /// Rows that started in the window of `spec`; fails below the least number that can be learnt from.
    pub(super) fn usable(&self, spec: &TrainSpec) -> Result<Vec<u32>, LearnError> {
        let from = spec.since.unwrap_or_default();
        let rows: Vec<u32> = (0..self.runs.len()).filter(|&i| self.runs.started[i] >= from).map(|i| i as u32).collect();
        LearnError::unless_enough("finished runs", rows.len(), RUNS_NEEDED)?;
        Ok(rows)
    }

    /// Rows of the table to learn from: those given, which are in order, and the copies of them.
    pub(super) fn with_copies(&self, rows: &[u32]) -> Vec<u32> {
        let copied = |(at, (row, _)): (usize, &(u32, f64))| {
            rows.binary_search(row).is_ok().then_some((self.runs.len() + at) as u32)
        };
        let copies = self.copies.iter().enumerate().filter_map(copied);
        rows.iter().copied().chain(copies).collect()
    }

    /// The run that a row of the table is about.
    fn run(&self, row: u32) -> usize {
        let row = row as usize;
        if row < self.runs.len() { row } else { self.copies[row - self.runs.len()].0 as usize }
    }

    /// What a row's prediction is relative to; `global` where nothing had finished.
    pub(super) fn base(&self, row: u32, global: f64) -> f64 {
        let copy = (row as usize).checked_sub(self.runs.len()).map(|at| self.copies[at].1);
        let base = copy.unwrap_or_else(|| self.past[row as usize].base);
        if base.is_nan() { global } else { base }
    }

    /// log1p of what was measured.
    pub(super) fn truth(&self, row: u32) -> f64 {
        self.runs.value[self.run(row)]
    }

    /// What is learnt: by how much the truth differs from the base.
    pub(super) fn targets(&self, rows: &[u32], global: f64) -> Vec<f64> {
        rows.iter().map(|&row| self.truth(row) - self.base(row, global)).collect()
    }

    /// The median of the rows given.
    pub(super) fn global(&self, rows: &[u32]) -> f64 {
        quantile(rows.iter().map(|&row| self.truth(row)), 0.5)
    }

    pub(super) fn repo_name(&self, row: u32) -> &str {
        &self.runs.repo.names[self.runs.repo.of[row as usize]]
    }
}
