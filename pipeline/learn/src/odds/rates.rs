//! The plainest of all: how often it was so, whatever the row; or after the last known outcome of the same key.

use crate::kept::finite;
use serde::{Deserialize, Serialize};

/// The share of positives where nothing is known of the key, and, if that is asked, after its last outcome: no, yes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Rates {
    base: f64,
    after: Option<[f64; 2]>,
}

/// Drawn to the base rate as if it had been seen in so many rows.
const DRAWN: f64 = 2.0;

impl Rates {
    /// Learns from some rows; `last` is the last outcome of each row's key, none: the base rate alone.
    pub(crate) fn learn(last: Option<&[f32]>, rows: &[u32], label: &[f32], weight: &[f32]) -> Self {
        let share = |of: &dyn Fn(usize) -> bool, prior: f64, drawn: f64| {
            let of = rows.iter().map(|&row| row as usize).filter(|&row| of(row));
            let (positive, all) = of.fold((0.0, 0.0), |(positive, all), row| {
                let w = f64::from(weight[row]);
                (positive + w * f64::from(label[row]), all + w)
            });
            if all + drawn > 0.0 { (positive + drawn * prior) / (all + drawn) } else { prior }
        };
        let base = share(&|_| true, 0.5, 0.0);
        let Some(last) = last else { return Self { base, after: None } };
        let after = [share(&|row| last[row] < 0.5, base, DRAWN), share(&|row| last[row] >= 0.5, base, DRAWN)];
        Self { base: share(&|row| last[row].is_nan(), base, DRAWN), after: Some(after) }
    }

    /// The probability, given how to find the last outcome; of a group that had several, by what most of them were.
    pub(crate) fn probability(&self, last: impl FnOnce() -> f32) -> f64 {
        let Some([no, yes]) = self.after else { return self.base };
        match last() {
            last if last.is_nan() => self.base,
            last if last >= 0.5 => yes,
            _ => no,
        }
    }

    /// How far the last outcome moved it.
    pub(crate) fn moved(&self, last: f32) -> f64 {
        self.probability(|| last) - self.base
    }

    /// Says what is wrong with rates over so many columns.
    pub(crate) fn check(&self, columns: usize) -> Result<(), String> {
        if columns != usize::from(self.after.is_some()) {
            return Err(format!("rates over {columns} columns"));
        }
        finite("a rate", self.after.into_iter().flatten().chain([self.base]))
    }
}
