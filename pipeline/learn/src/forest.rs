//! Boosted regression trees for the centre or the upper quantile: fitted by perpetual, kept in our own few words.
//!
//! The library's own JSON names every node with fifteen fields from hash maps in random order; ours is a tenth of the
//! size, has the same bytes for the same trees, and outlives a change of library.

use crate::LearnError;
use perpetual::objective::Objective;
use perpetual::{Matrix, PerpetualBooster};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// A ceiling against endless training; the library stops by itself long before on most data.
const TREES: usize = 400;
/// Bins per feature.
const BINS: u16 = 127;
/// Gigabytes for histograms. Without a limit the library takes what is free at the moment, and the result with it.
const MEMORY_GB: f32 = 1.5;

/// What of the target is fitted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Aim {
    /// The middle: Huber loss, which is the mean for errors below `delta` and the median beyond. The library's quantile
    /// loss steps by the sign alone, however small the error, and so never gets nearer than a step: measured on Travis
    /// builds it gave 0.312 as mean absolute log error where Huber gave 0.266.
    Centre {
        /// In the unit of the target.
        delta: f64,
    },
    /// The quantile, 0 to 1, by pinball loss.
    Quantile(f64),
}

impl Aim {
    /// Perpetual's single knob: steps shrink by 10^-budget and the number of trees grows. Measured on Travis builds.
    fn budget(self) -> f32 {
        match self {
            Self::Centre { .. } => 0.8,
            Self::Quantile(_) => 0.5,
        }
    }

    fn objective(self) -> Objective {
        match self {
            Self::Centre { delta } => Objective::HuberLoss { delta: Some(delta) },
            Self::Quantile(q) => Objective::QuantileLoss { quantile: Some(q) },
        }
    }
}

/// One tree as parallel vectors; node 0 is the root, a node whose `left` is 0 is a leaf.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Tree {
    feature: Vec<u32>,
    below: Vec<f64>,
    left: Vec<u32>,
    right: Vec<u32>,
    missing: Vec<u32>,
    value: Vec<f32>,
}

/// A sum of trees.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Forest {
    start: f64,
    trees: Vec<Tree>,
}

impl Forest {
    /// Fits `target` given rows of features; NaN is missing. Columns without a value are left out.
    pub(crate) fn fit(aim: Aim, rows: &[Vec<f64>], target: &[f64], seed: u64) -> Result<Self, LearnError> {
        let width = rows.first().map_or(0, Vec::len);
        let used: Vec<usize> = (0..width).filter(|&c| rows.iter().any(|row| !row[c].is_nan())).collect();
        let columns: Vec<f64> = used.iter().flat_map(|&c| rows.iter().map(move |row| row[c])).collect();
        let mut booster = PerpetualBooster::default()
            .set_objective(aim.objective())
            .set_budget(aim.budget())
            .set_max_bin(BINS)
            .set_memory_limit(Some(MEMORY_GB))
            .set_iteration_limit(Some(TREES))
            .set_seed(seed);
        let fitted = booster.fit(&Matrix::new(&columns, rows.len(), used.len()), target, None, None);
        fitted.map_err(|e| LearnError::Model { model: "build-time", reason: e.to_string() })?;
        Ok(Self::of(&booster, &used))
    }

    /// `used`: the place of each of the library's columns in our rows.
    fn of(booster: &PerpetualBooster, used: &[usize]) -> Self {
        let trees = booster.get_prediction_trees().iter().map(|tree| Tree::of(tree, used)).collect();
        Self { start: booster.base_score, trees }
    }

    /// One value per row.
    pub(crate) fn predict(&self, rows: &[Vec<f64>]) -> Vec<f64> {
        rows.par_iter().map(|row| self.start + self.trees.iter().map(|t| t.value(row)).sum::<f64>()).collect()
    }
}

impl Tree {
    fn of(tree: &perpetual::tree::core::Tree, used: &[usize]) -> Self {
        let mut ours = Self::default();
        ours.copy(tree, 0, used);
        ours
    }

    /// Copies a node and what hangs below it; returns its new number.
    fn copy(&mut self, tree: &perpetual::tree::core::Tree, number: usize, used: &[usize]) -> u32 {
        let node = &tree.nodes[&number];
        let at = self.value.len();
        let feature = if node.is_leaf { 0 } else { used[node.split_feature] as u32 };
        self.feature.push(feature);
        self.below.push(if node.is_leaf { 0.0 } else { node.split_value });
        self.value.push(if node.is_leaf { node.weight_value } else { 0.0 });
        self.left.push(0);
        self.right.push(0);
        self.missing.push(0);
        if !node.is_leaf {
            self.left[at] = self.copy(tree, node.left_child, used);
            self.right[at] = self.copy(tree, node.right_child, used);
            self.missing[at] = match node.missing_node {
                m if m == node.left_child => self.left[at],
                m if m == node.right_child => self.right[at],
                m => self.copy(tree, m, used),
            };
        }
        at as u32
    }

    fn value(&self, row: &[f64]) -> f64 {
        let mut at = 0;
        while self.left[at] != 0 {
            let v = row[self.feature[at] as usize];
            let next = if v.is_nan() {
                self.missing[at]
            } else if v < self.below[at] {
                self.left[at]
            } else {
                self.right[at]
            };
            at = next as usize;
        }
        f64::from(self.value[at])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> (Vec<Vec<f64>>, Vec<f64>) {
        let noise = |i: usize| ((i * 7919) % 1000) as f64 / 1000.0;
        let row =
            |i: usize| vec![i as f64 % 10.0, f64::NAN, if i.is_multiple_of(3) { f64::NAN } else { noise(i * 31) }];
        let target = |i: usize| if i % 10 < 5 { 1.0 } else { 3.0 } + noise(i);
        ((0..2000).map(row).collect(), (0..2000).map(target).collect())
    }

    #[test]
    fn a_quantile_lies_where_it_should_and_bytes_repeat() {
        let (rows, target) = rows();
        let upper = Forest::fit(Aim::Quantile(0.9), &rows, &target, 1).unwrap();
        let p = upper.predict(&rows);
        let below = target.iter().zip(&p).filter(|(y, p)| y <= p).count() as f64 / 2000.0;
        assert!((0.85..0.95).contains(&below), "{below}");
        let again = Forest::fit(Aim::Quantile(0.9), &rows, &target, 1).unwrap();
        assert_eq!(serde_json::to_vec(&upper).unwrap(), serde_json::to_vec(&again).unwrap());
        let centre = Forest::fit(Aim::Centre { delta: 0.1 }, &rows, &target, 1).unwrap().predict(&rows);
        let error = target.iter().zip(&centre).map(|(y, p)| (y - p).abs()).sum::<f64>() / 2000.0;
        assert!(error < 0.3, "{error}");
        let back: Forest = serde_json::from_slice(&serde_json::to_vec(&upper).unwrap()).unwrap();
        assert_eq!(back.predict(&rows), p);
    }

    #[test]
    fn our_words_say_what_the_library_says_on_any_number_of_threads() {
        let (rows, target) = rows();
        let columns: Vec<f64> = [0, 2].iter().flat_map(|&c| rows.iter().map(move |row| row[c])).collect();
        let data = Matrix::new(&columns, rows.len(), 2);
        let fit = |threads| {
            let booster = PerpetualBooster::default().set_objective(Aim::Centre { delta: 0.1 }.objective());
            let mut booster = booster.set_memory_limit(Some(MEMORY_GB)).set_num_threads(Some(threads));
            booster.fit(&data, &target, None, None).unwrap();
            booster
        };
        let (one, two) = (fit(1), fit(2));
        let ours = Forest::of(&one, &[0, 2]);
        assert_eq!(ours, Forest::of(&two, &[0, 2]));
        for (a, b) in ours.predict(&rows).iter().zip(one.predict(&data, false)) {
            assert!((a - b).abs() < 1e-9, "{a} is not {b}");
        }
    }
}
