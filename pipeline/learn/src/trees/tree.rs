//! A grown tree: how a row finds its leaf, and which features moved it there.

use crate::kept;
use serde::{Deserialize, Serialize};

/// Nodes as parallel vectors; node 0 is the root, a node whose `left` is 0 is a leaf. The right child follows the left.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Tree {
    /// Which column decides.
    pub(crate) feature: Vec<u16>,
    /// The greatest value that goes left.
    pub(crate) border: Vec<f32>,
    pub(crate) left: Vec<u32>,
    /// Whether a missing value goes left.
    pub(crate) missing_left: Vec<bool>,
    /// The value of a leaf; of an inner node that of its rows, where the grower knows it.
    pub(crate) value: Vec<f32>,
}

impl Tree {
    /// A new leaf; gives its number.
    pub(super) fn push(&mut self, value: f32) -> usize {
        self.feature.push(0);
        self.border.push(0.0);
        self.left.push(0);
        self.missing_left.push(false);
        self.value.push(value);
        self.value.len() - 1
    }

    /// Says what is wrong with a tree over so many columns.
    pub(crate) fn check(&self, columns: usize) -> Result<(), String> {
        let others = [self.border.len(), self.missing_left.len(), self.value.len()];
        kept::tree(&self.left, &self.feature, &others, columns)?;
        kept::finite("a tree", self.border.iter().chain(&self.value).map(|v| f64::from(*v)))
    }

    /// The child of an inner node that a row goes to, given its value of each column.
    pub(crate) fn next(&self, at: usize, value: impl Fn(usize) -> f32) -> usize {
        let v = value(usize::from(self.feature[at]));
        let left = if v.is_nan() { self.missing_left[at] } else { v <= self.border[at] };
        self.left[at] as usize + usize::from(!left)
    }

    /// The value of a row, given its value of each column.
    pub(crate) fn value(&self, value: impl Fn(usize) -> f32) -> f64 {
        let mut at = 0;
        while self.left[at] != 0 {
            at = self.next(at, &value);
        }
        f64::from(self.value[at])
    }

    /// Adds to each column how far its splits moved the value of a row: along the path, the value of the child less that
    /// of the parent (Saabas 2014). `values`: of every node; the root's is what is left.
    pub(crate) fn contributions(
        &self,
        values: impl Fn(usize) -> f64,
        value: impl Fn(usize) -> f32,
        mut add: impl FnMut(usize, f64),
    ) {
        let mut at = 0;
        while self.left[at] != 0 {
            let next = self.next(at, &value);
            add(usize::from(self.feature[at]), values(next) - values(at));
            at = next;
        }
    }
}
