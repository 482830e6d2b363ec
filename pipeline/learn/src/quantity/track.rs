//! Levels that keep their stated coverage while the world drifts.
//!
//! Each repository has a shift per level. When one of its runs ends above what was said, the shift goes up by the rate
//! times the level; when it ends below, down by the rate times the rest. In the long run the share above is what was
//! stated, whatever the data do (quantile tracking: Angelopoulos, Candès & Tibshirani 2023, after adaptive conformal
//! inference, Gibbs & Candès 2021). A run counts from its end on, so nothing comes from the future.

use super::data::Data;
use crate::history::{Step, in_time};
use crate::metrics::{mean, quantile};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A step of the shifts, as a share of the repository's mean absolute error. Small, so that it answers to drift and not to
/// single runs.
const STEP: f64 = 0.05;
/// Steps are never smaller or larger than this, log scale.
const STEPS: (f64, f64) = (1e-4, 0.05);
/// Runs over which the mean absolute error fades.
const MEMORY: f64 = 20.0;
/// One run counts at most as so many times the mean.
const FAR: f64 = 4.0;

/// Where a repository's levels have moved to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Shift {
    /// Mean absolute error of the centre, lately.
    error: f64,
    levels: Vec<f64>,
}

/// The shifts of one model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Shifts {
    /// Of repositories that have none of their own.
    start: Shift,
    repos: BTreeMap<String, Shift>,
}

impl Shifts {
    /// Starts from what the levels lack on rows that the model has not learnt from.
    /// `told`: per level, one value a row, log scale.
    pub(super) fn learn(data: &Data, rows: &[u32], levels: &[f64], told: &[Vec<f64>]) -> Self {
        let lack =
            |said: &Vec<f64>| rows.iter().zip(said).map(|(&row, said)| data.truth(row) - said).collect::<Vec<_>>();
        let start = levels.iter().zip(told).map(|(q, said)| {
            // The median is left as it is: what it lacks is noise. Of nothing the quantile is NaN.
            Some(quantile(lack(said), *q)).filter(|shift| *q > 0.5 && !shift.is_nan()).unwrap_or(0.0)
        });
        let levels = start.collect();
        let error = mean(lack(&told[0]).into_iter().map(f64::abs));
        Self { start: Shift { error: if error.is_nan() { 0.0 } else { error }, levels }, repos: BTreeMap::new() }
    }

    /// Adds to each row what its repository's shifts are when it starts, and lets them learn from each run that ends.
    /// `rows` in order of start.
    pub(super) fn apply(&mut self, data: &Data, rows: &[u32], levels: &[f64], told: &mut [Vec<f64>]) {
        let runs: Vec<usize> = rows.iter().map(|&row| row as usize).collect();
        let place = |row: usize| rows.binary_search(&(row as u32)).expect("asked only for rows given");
        let mut current: Vec<Option<Shift>> =
            data.runs.repo.names.iter().map(|name| self.repos.get(name).cloned()).collect();
        in_time(&data.runs, &runs, |step| match step {
            Step::Ended(row) => {
                let shift = current[data.runs.repo.of[row]].get_or_insert_with(|| self.start.clone());
                let at = place(row);
                let said: Vec<f64> = told.iter().map(|said| said[at]).collect();
                shift.learn(data.runs.value[row], &said, levels);
            }
            Step::Started(row) => {
                let shift = current[data.runs.repo.of[row]].get_or_insert_with(|| self.start.clone());
                let at = place(row);
                told.iter_mut().zip(&shift.levels).for_each(|(said, shift)| said[at] += shift);
            }
        });
        for (name, shift) in data.runs.repo.names.iter().zip(current) {
            if let Some(shift) = shift {
                self.repos.insert(name.clone(), shift);
            }
        }
    }
}

impl Shift {
    fn learn(&mut self, truth: f64, said: &[f64], levels: &[f64]) {
        let step = (STEP * self.error).clamp(STEPS.0, STEPS.1);
        for ((shift, level), said) in
            self.levels.iter_mut().zip(levels).zip(said).filter(|((_, level), _)| **level > 0.5)
        {
            *shift += step * if truth > *said { *level } else { level - 1.0 };
        }
        // At least a little, so that it can grow again from nothing.
        let error = (truth - said[0]).abs().min(FAR * self.error.max(STEPS.0));
        self.error += (error - self.error) / MEMORY;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_above_a_level_becomes_what_is_stated_and_one_run_moves_it_by_a_step() {
        let mut shift = Shift { error: 0.1, levels: vec![0.0, 0.0] };
        shift.learn(1e9, &[0.0, 0.0], &[0.5, 0.9]);
        assert!(shift.levels[0] == 0.0 && (shift.levels[1] - 0.9 * STEP * 0.1).abs() < 1e-12, "{shift:?}");
        assert!(shift.error < 0.12, "{shift:?}");
        let mut random = crate::random::Random(3);
        let mut above = 0;
        for _ in 0..20_000 {
            let truth = random.below(1000) as f64 / 1000.0;
            let said = [0.5, 0.2 + shift.levels[1]];
            above += usize::from(truth > said[1]);
            shift.learn(truth, &said, &[0.5, 0.9]);
        }
        assert!((1900..2200).contains(&above), "{above} of 20000");
        assert!((shift.levels[1] - 0.7).abs() < 0.05, "{shift:?}");
    }
}
