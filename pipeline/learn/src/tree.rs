//! A decision tree that says how likely, and why, in rules people can read. Grown split by split with linfa-trees.
//!
//! linfa predicts classes only and prunes every split whose two sides vote alike, which on rare events is nearly every
//! split that tells 1 % from 20 %. So each split is fitted alone, on rows weighted such that both classes weigh the same:
//! then the two sides always vote differently, and the counts on each side become the probabilities.

use crate::LearnError;
use crate::kept::finite;
use crate::odds::{HISTORY, Rows};
use linfa::traits::Fit;
use linfa::{Dataset, DatasetBase};
use linfa_trees::DecisionTree;
use ndarray::{Array1, Array2};
use serde::{Deserialize, Serialize};
use std::fmt::Write;

/// How far a tree may grow.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Growth {
    pub(crate) depth: usize,
    /// Rows on each side of a split, at least.
    pub(crate) leaf_rows: usize,
}

/// A question or an answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Node {
    /// Rows whose feature is at most the threshold go left.
    Split { feature: String, threshold: f64, left: Box<Node>, right: Box<Node> },
    /// Rows seen in training, those that were true, and the probability.
    Leaf { rows: usize, positives: usize, probability: f64 },
}

/// Training rows: each a vector as long as `features`; no NaN.
pub(crate) struct Sample<'a> {
    pub(crate) features: &'a [String],
    pub(crate) rows: Vec<&'a [f64]>,
    pub(crate) labels: Vec<bool>,
}

impl Sample<'_> {
    fn positives(&self) -> usize {
        self.labels.iter().filter(|y| **y).count()
    }

    fn part(&self, keep: impl Fn(&[f64]) -> bool) -> Self {
        let kept = self.rows.iter().zip(&self.labels).filter(|(row, _)| keep(row));
        let (rows, labels) = kept.map(|(row, label)| (*row, *label)).unzip();
        Self { features: self.features, rows, labels }
    }

    fn dataset(&self) -> Result<Dataset<f64, usize, ndarray::Ix1>, LearnError> {
        let (n, positives) = (self.rows.len() as f32, self.positives() as f32);
        let weight = |y: &bool| if *y { n / (2.0 * positives) } else { n / (2.0 * (n - positives)) };
        let records = Array2::from_shape_vec((self.rows.len(), self.features.len()), self.rows.concat());
        let targets = Array1::from_iter(self.labels.iter().map(|y| usize::from(*y)));
        let weights = Array1::from_iter(self.labels.iter().map(weight));
        Ok(DatasetBase::new(records.map_err(broken)?, targets).with_weights(weights))
    }

    /// The best question about these rows that leaves enough on both sides: the feature's place and the threshold.
    fn split(&self, leaf_rows: usize) -> Result<Option<(usize, f64)>, LearnError> {
        let positives = self.positives();
        if positives == 0 || positives == self.rows.len() || self.rows.len() < 2 * leaf_rows {
            return Ok(None);
        }
        let data = self.dataset()?;
        // linfa counts weight, not rows: where a light side slips through, ask for more weight.
        let mut weight = leaf_rows as f32;
        while weight <= self.rows.len() as f32 / 2.0 {
            let params = DecisionTree::params().max_depth(Some(1)).min_weight_leaf(weight).min_impurity_decrease(1e-6);
            let stump = params.fit(&data).map_err(broken)?;
            if stump.root_node().is_leaf() {
                return Ok(None);
            }
            let (feature, threshold, _) = stump.root_node().split();
            let left = self.rows.iter().filter(|row| row[feature] <= threshold).count();
            if left.min(self.rows.len() - left) >= leaf_rows {
                return Ok(Some((feature, threshold)));
            }
            weight *= 2.0;
        }
        Ok(None)
    }
}

fn broken(error: impl std::fmt::Display) -> LearnError {
    LearnError::Model { model: "contention", reason: error.to_string() }
}

impl Node {
    /// Grows a tree; leaves are drawn to the share of the whole sample by two rows' worth (Laplace's rule of
    /// succession with the base rate as the prior).
    pub(crate) fn grow(sample: &Sample, growth: Growth) -> Result<Self, LearnError> {
        let prior = sample.positives() as f64 / sample.rows.len() as f64;
        Self::grow_part(sample, growth, prior)
    }

    fn grow_part(sample: &Sample, growth: Growth, prior: f64) -> Result<Self, LearnError> {
        let (rows, positives) = (sample.rows.len(), sample.positives());
        let split = if growth.depth == 0 { None } else { sample.split(growth.leaf_rows)? };
        let Some((feature, threshold)) = split else {
            let probability = (positives as f64 + 2.0 * prior) / (rows as f64 + 2.0);
            return Ok(Self::Leaf { rows, positives, probability });
        };
        let deeper = Growth { depth: growth.depth - 1, ..growth };
        Ok(Self::Split {
            feature: sample.features[feature].clone(),
            threshold,
            left: Box::new(Self::grow_part(&sample.part(|row| row[feature] <= threshold), deeper, prior)?),
            right: Box::new(Self::grow_part(&sample.part(|row| row[feature] > threshold), deeper, prior)?),
        })
    }

    /// The probability for a row, given its value of each feature by name.
    pub(crate) fn probability(&self, value: &impl Fn(&str) -> f64) -> f64 {
        match self {
            Self::Leaf { probability, .. } => *probability,
            Self::Split { feature, threshold, left, right } => {
                let side = if value(feature) <= *threshold { left } else { right };
                side.probability(value)
            }
        }
    }

    /// Rows, and the mean probability of its leaves over them.
    fn weighed(&self) -> (f64, f64) {
        match self {
            Self::Leaf { rows, probability, .. } => (*rows as f64, *probability),
            Self::Split { left, right, .. } => {
                let ((a, p), (b, q)) = (left.weighed(), right.weighed());
                (a + b, (a * p + b * q) / (a + b).max(1.0))
            }
        }
    }

    fn mean(&self) -> f64 {
        self.weighed().1
    }

    fn check(&self) -> Result<(), String> {
        match self {
            Self::Leaf { probability, .. } => finite("a leaf", std::iter::once(*probability)),
            Self::Split { threshold, left, right, .. } => {
                finite("a question", std::iter::once(*threshold))?;
                left.check()?;
                right.check()
            }
        }
    }

    /// The tree as indented text.
    pub(crate) fn rules(&self) -> String {
        let mut text = String::new();
        self.write_rules(&mut text, 0);
        text
    }

    fn write_rules(&self, text: &mut String, depth: usize) {
        let indent = "  ".repeat(depth);
        // Writing to a String cannot fail.
        let _ = match self {
            Self::Leaf { rows, positives, probability } => {
                writeln!(text, "{indent}{:.1} % ({positives} of {rows})", probability * 100.0)
            }
            Self::Split { feature, threshold, left, right } => {
                let _ = writeln!(text, "{indent}if {feature} <= {threshold:.4}");
                left.write_rules(text, depth + 1);
                let _ = writeln!(text, "{indent}else");
                right.write_rules(text, depth + 1);
                Ok(())
            }
        };
    }
}

/// A missing value in a tree: below all real ones, which count and measure.
const MISSING: f64 = -1.0;
/// Rows the small tree is grown on, at most.
const SMALL_ROWS: usize = 20_000;

/// A tree of three questions over the columns as given, for people to read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct SmallTree {
    names: Vec<String>,
    root: Node,
}

impl SmallTree {
    /// Grows it on the training rows.
    pub(crate) fn grow(rows: &Rows, train: &[u32]) -> Result<Self, LearnError> {
        let names = rows.names.iter().cloned().chain(HISTORY.map(str::to_owned)).collect();
        let history = rows.history(train);
        let columns: Vec<&[f32]> = rows.columns.iter().chain(&history).map(Vec::as_slice).collect();
        Self::of(names, &columns, train, &rows.label, SMALL_ROWS)
    }

    /// Grows it on the rows `train` of these columns, at most `most` of them, evenly spread.
    pub(crate) fn of(
        names: Vec<String>,
        columns: &[&[f32]],
        train: &[u32],
        label: &[f32],
        most: usize,
    ) -> Result<Self, LearnError> {
        let picked: Vec<u32> = train.iter().copied().step_by(train.len().div_ceil(most).max(1)).collect();
        let one = |&row: &u32| columns.iter().map(|column| present(column[row as usize])).collect();
        let values: Vec<Vec<f64>> = picked.iter().map(one).collect();
        let labels = picked.iter().map(|&row| label[row as usize] == 1.0).collect();
        let sample = Sample { features: &names, rows: values.iter().map(Vec::as_slice).collect(), labels };
        let root = Node::grow(&sample, Growth { depth: 3, leaf_rows: (picked.len() / 50).clamp(5, 200) })?;
        Ok(Self { names, root })
    }

    /// The probability of some rows; `learnt` are those whose outcomes may tell of them.
    pub(crate) fn say(&self, rows: &Rows, learnt: &[u32], asked: &[u32]) -> Vec<f64> {
        let history = rows.history(learnt);
        let columns: Vec<&[f32]> = rows.columns.iter().chain(&history).map(Vec::as_slice).collect();
        asked.iter().map(|&row| self.probability(|column| columns[column][row as usize])).collect()
    }

    /// The probability of a row, given its value of each column.
    pub(crate) fn probability(&self, value: impl Fn(usize) -> f32) -> f64 {
        // Three questions: looking a name up costs less than a second copy of the tree.
        let of =
            |name: &str| self.names.iter().position(|other| other == name).map_or(MISSING, |at| present(value(at)));
        self.root.probability(&of)
    }

    /// Adds to each column how far its questions moved the probability of a row (along the path, Saabas 2014).
    pub(crate) fn explain(&self, value: impl Fn(usize) -> f32, share: f64, into: &mut [f64]) {
        let place = |name: &str| self.names.iter().position(|other| other == name);
        let mut node = &self.root;
        while let Node::Split { feature, threshold, left, right } = node {
            let Some(at) = place(feature) else { return };
            let next = if present(value(at)) <= *threshold { left } else { right };
            into[at] += share * (next.mean() - node.mean());
            node = next;
        }
    }

    /// Says what is wrong with a tree over so many columns; none: over any.
    pub(crate) fn check(&self, columns: Option<usize>) -> Result<(), String> {
        if columns.is_some_and(|columns| columns != self.names.len()) {
            return Err(format!("a tree over {} columns, there are {columns:?}", self.names.len()));
        }
        self.root.check()
    }

    /// The tree as indented text.
    pub(crate) fn rules(&self) -> String {
        self.root.rules()
    }
}

fn present(value: f32) -> f64 {
    if value.is_nan() { MISSING } else { f64::from(value) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rare_event_keeps_its_probability_on_both_sides() {
        // 2 % below a load of 0.7, 30 % above: both sides vote "no", and linfa alone would prune the split.
        let rows: Vec<Vec<f64>> = (0..4000).map(|i| vec![f64::from(i % 10) / 10.0, f64::from(i * 7 % 13)]).collect();
        let labels = (0..4000).map(|i| if i % 10 > 7 { i / 10 % 10 < 3 } else { i / 10 % 50 == 0 }).collect();
        let features = ["load".to_owned(), "noise".to_owned()];
        let sample = Sample { features: &features, rows: rows.iter().map(Vec::as_slice).collect(), labels };
        let tree = Node::grow(&sample, Growth { depth: 1, leaf_rows: 20 }).unwrap();
        let at = |load: f64| tree.probability(&|name: &str| if name == "load" { load } else { 0.0 });
        assert!((at(0.2) - 0.02).abs() < 0.005, "{}", at(0.2));
        assert!((at(0.9) - 0.30).abs() < 0.01, "{}", at(0.9));
        assert!(tree.rules().starts_with("if load <= 0.75"), "{}", tree.rules());
        assert_eq!(tree, Node::grow(&sample, Growth { depth: 1, leaf_rows: 20 }).unwrap());
    }

    #[test]
    fn one_class_is_one_leaf() {
        let features = ["x".to_owned()];
        let row = [1.0];
        let sample = Sample { features: &features, rows: vec![&row; 30], labels: vec![false; 30] };
        let tree = Node::grow(&sample, Growth { depth: 3, leaf_rows: 5 }).unwrap();
        assert_eq!(tree, Node::Leaf { rows: 30, positives: 0, probability: 0.0 });
    }
}
