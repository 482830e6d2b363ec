//! One regression tree: how it grows leaf by leaf from histograms, and how a row finds its leaf.
//!
//! Histograms are exact whole numbers: a bin's rows in the upper half of a `u64`, the sum of their gradients, as whole
//! steps from 0 to [`STEPS`], in the lower half. So sums do not depend on their order, a sibling is the parent less the
//! other child, and one addition serves both (quantised training as in Shi et al., NeurIPS 2022, with the histograms of
//! LightGBM, Ke et al., NeurIPS 2017).

use super::Knobs;
use super::bins::{BINS, Bins, Column, MISSING};
use crate::kept;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Steps of a gradient between its least and its greatest value.
pub(crate) const STEPS: u64 = 254;
/// Rows a tree can take: their gradients must fit the lower half of a `u64`.
pub(crate) const MOST_ROWS: usize = (u32::MAX as u64 / STEPS) as usize;
/// Smaller pieces of work are not worth another thread.
const PARALLEL_ROWS: usize = 1024;

/// A row of a histogram: itself, and its gradient in steps.
pub(crate) fn packed(steps: u64) -> u64 {
    (1 << 32) | steps
}

/// Nodes as parallel vectors; node 0 is the root, a node whose `left` is 0 is a leaf. The right child follows the left.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Tree {
    pub(crate) feature: Vec<u16>,
    /// Of a leaf its value; else the greatest value that goes left.
    pub(crate) value: Vec<f32>,
    pub(crate) left: Vec<u32>,
    /// Whether a missing value goes left.
    pub(crate) missing_left: Vec<bool>,
}

/// A tree with the rows of its leaves.
pub(crate) struct Grown {
    pub(crate) tree: Tree,
    /// Bin of each inner node's border, to find the leaf of a row in bins.
    code: Vec<u8>,
    /// Place in [`Bins::columns`] of each inner node's feature.
    column: Vec<u16>,
    /// Rows, leaf after leaf.
    order: Vec<u32>,
    /// Node, and where its rows are in `order`.
    pub(crate) leaves: Vec<(usize, std::ops::Range<usize>)>,
}

#[derive(Clone, Copy)]
struct Split {
    gain: f64,
    column: usize,
    code: u8,
    missing_left: bool,
}

struct Leaf {
    node: usize,
    rows: std::ops::Range<usize>,
    /// [`BINS`] counts per column that takes part.
    histogram: Vec<u64>,
    best: Option<Split>,
}

/// What all splits of one tree share.
struct Search<'a> {
    bins: &'a Bins,
    /// Which of the columns take part, ascending.
    columns: &'a [usize],
    /// Per row, [`packed`].
    gradients: &'a [u64],
    /// A gradient of 0 in steps.
    zero: f64,
    knobs: &'a Knobs,
}

impl Search<'_> {
    fn fill(histogram: &mut [u64], column: &Column, rows: &[u32], gradients: &[u64]) {
        let histogram: &mut [u64; BINS] = histogram.try_into().expect("a histogram has BINS places");
        for (row, gradient) in rows.iter().zip(gradients) {
            histogram[usize::from(column.codes[*row as usize])] += gradient;
        }
    }

    /// The split of one column that lowers the squared distance of the gradients most.
    fn scan(&self, histogram: &[u64], column: usize) -> Option<Split> {
        let least = self.knobs.leaf_rows as f64;
        // Rows, and the sum of their gradients in steps.
        let read = |sum: u64| {
            let rows = (sum >> 32) as f64;
            (rows, (sum & u64::from(u32::MAX)) as f64 - self.zero * rows)
        };
        let score = |rows: f64, gradient: f64| gradient * gradient / rows;
        let (all_rows, all) = read(histogram.iter().sum());
        let whole = score(all_rows, all);
        let (missing, values) = (histogram[usize::from(MISSING)], self.bins.columns[column].borders.len() + 1);
        let mut best: Option<Split> = None;
        for missing_left in [false, true] {
            if missing_left && missing == 0 {
                break;
            }
            let mut left = if missing_left { missing } else { 0 };
            for (code, bin) in histogram.iter().enumerate().take(values + 1).skip(usize::from(!missing_left)) {
                if code > usize::from(MISSING) {
                    left += bin;
                }
                let (rows, gradient) = read(left);
                if rows < least {
                    continue;
                }
                if all_rows - rows < least {
                    break;
                }
                let gain = score(rows, gradient) + score(all_rows - rows, all - gradient) - whole;
                if gain > best.map_or(1e-6, |b| b.gain) {
                    best = Some(Split { gain, column, code: code as u8, missing_left });
                }
            }
        }
        best
    }

    /// The first leaf, with the histogram of all its rows.
    fn root(&self, order: &[u32]) -> Leaf {
        let mut histogram = vec![0; self.columns.len() * BINS];
        let gradients: Vec<u64> = order.iter().map(|&row| self.gradients[row as usize]).collect();
        let one = |(at, histogram): (usize, &mut [u64])| {
            let column = self.columns[at];
            Self::fill(histogram, &self.bins.columns[column], order, &gradients);
            self.scan(histogram, column)
        };
        let best = first_best(histogram.par_chunks_mut(BINS).enumerate().map(one).collect());
        Leaf { node: 0, rows: 0..order.len(), histogram, best }
    }

    /// Histograms and best splits of two leaves: counted for the smaller, and the parent's less those for the larger.
    fn children(&self, mut parent: Vec<u64>, order: &[u32], smaller: &mut Leaf, larger: &mut Leaf) {
        let rows = &order[smaller.rows.clone()];
        let gradients: Vec<u64> = rows.iter().map(|&row| self.gradients[row as usize]).collect();
        let mut histogram = vec![0; parent.len()];
        let one = |(at, (parent, histogram)): (usize, (&mut [u64], &mut [u64]))| {
            let column = self.columns[at];
            Self::fill(histogram, &self.bins.columns[column], rows, &gradients);
            parent.iter_mut().zip(histogram.iter()).for_each(|(p, h)| *p -= h);
            (self.scan(histogram, column), self.scan(parent, column))
        };
        let (of_smaller, of_larger): (Vec<_>, Vec<_>) = if rows.len() >= PARALLEL_ROWS {
            let pairs = parent.par_chunks_mut(BINS).zip(histogram.par_chunks_mut(BINS)).enumerate();
            pairs.with_min_len(8).map(one).unzip()
        } else {
            parent.chunks_mut(BINS).zip(histogram.chunks_mut(BINS)).enumerate().map(one).unzip()
        };
        (smaller.histogram, smaller.best) = (histogram, first_best(of_smaller));
        (larger.histogram, larger.best) = (parent, first_best(of_larger));
    }
}

/// The best split; among equals the first, so that threads do not matter.
fn first_best(splits: Vec<Option<Split>>) -> Option<Split> {
    splits.into_iter().flatten().reduce(|best, split| if split.gain > best.gain { split } else { best })
}

impl Grown {
    /// Splits always the leaf that gains most, until there are [`Knobs::leaves`] or nothing is gained.
    /// `zero`: a gradient of 0 in steps. Leaves have no values yet.
    pub(crate) fn grow(
        bins: &Bins,
        mut order: Vec<u32>,
        columns: &[usize],
        gradients: &[u64],
        zero: f64,
        knobs: &Knobs,
    ) -> Self {
        let search = Search { bins, columns, gradients, zero, knobs };
        let mut leaves = vec![search.root(&order)];
        let mut grown = Self { tree: Tree::leaf(), code: vec![0], column: vec![0], order: vec![], leaves: vec![] };
        while leaves.len() < knobs.leaves {
            let gain = |leaf: &Leaf| leaf.best.map_or(0.0, |best| best.gain);
            let Some(at) = (0..leaves.len()).reduce(|a, b| if gain(&leaves[b]) > gain(&leaves[a]) { b } else { a })
            else {
                break;
            };
            let Some(split) = leaves[at].best else { break };
            let Leaf { node, rows, histogram, .. } = &mut leaves[at];
            let column = &bins.columns[split.column];
            let middle = rows.start + part(&mut order[rows.clone()], |row| split.goes_left(column.codes[row as usize]));
            let left = grown.branch(*node, split, column);
            let leaf = |node, rows| Leaf { node, rows, histogram: vec![], best: None };
            let mut pair = [leaf(left, rows.start..middle), leaf(left + 1, middle..rows.end)];
            let parent = std::mem::take(histogram);
            let [a, b] = &mut pair;
            if a.rows.len() <= b.rows.len() {
                search.children(parent, &order, a, b);
            } else {
                search.children(parent, &order, b, a);
            }
            let [a, b] = pair;
            leaves[at] = a;
            leaves.push(b);
        }
        grown.leaves = leaves.into_iter().map(|leaf| (leaf.node, leaf.rows)).collect();
        grown.order = order;
        grown
    }

    /// Makes a leaf a branch; gives the number of its left child.
    fn branch(&mut self, node: usize, split: Split, column: &Column) -> usize {
        let left = self.code.len();
        self.code[node] = split.code;
        self.column[node] = split.column as u16;
        self.tree.feature[node] = column.feature as u16;
        // Finite, because JSON knows no infinity: only missing values go left, or all others do.
        let border =
            split.code.checked_sub(1).map(|at| column.borders.get(usize::from(at)).copied().unwrap_or(f32::MAX));
        self.tree.value[node] = border.unwrap_or(f32::MIN);
        self.tree.left[node] = left as u32;
        self.tree.missing_left[node] = split.missing_left;
        for _ in 0..2 {
            self.code.push(0);
            self.column.push(0);
            self.tree.push_leaf();
        }
        left
    }

    /// The rows of a leaf.
    pub(crate) fn rows(&self, range: &std::ops::Range<usize>) -> &[u32] {
        &self.order[range.clone()]
    }

    /// What the tree says of a row in bins.
    pub(crate) fn value(&self, bins: &Bins, row: usize) -> f64 {
        let mut at = 0;
        while self.tree.left[at] != 0 {
            let code = bins.columns[usize::from(self.column[at])].codes[row];
            let left = if code == MISSING { self.tree.missing_left[at] } else { code <= self.code[at] };
            at = self.tree.left[at] as usize + usize::from(!left);
        }
        f64::from(self.tree.value[at])
    }
}

impl Split {
    fn goes_left(&self, code: u8) -> bool {
        if code == MISSING { self.missing_left } else { code <= self.code }
    }
}

/// Moves what is to be first to the front, both parts in their order; gives the number of the first.
fn part(rows: &mut [u32], first: impl Fn(u32) -> bool) -> usize {
    let mut rest = Vec::with_capacity(rows.len());
    let mut front = 0;
    for at in 0..rows.len() {
        let row = rows[at];
        if first(row) {
            rows[front] = row;
            front += 1;
        } else {
            rest.push(row);
        }
    }
    rows[front..].copy_from_slice(&rest);
    front
}

impl Tree {
    fn leaf() -> Self {
        let mut tree = Self::default();
        tree.push_leaf();
        tree
    }

    fn push_leaf(&mut self) {
        self.feature.push(0);
        self.value.push(0.0);
        self.left.push(0);
        self.missing_left.push(false);
    }

    /// Says what is wrong with a tree over so many features.
    pub(super) fn check(&self, features: usize) -> Result<(), String> {
        kept::tree(&self.left, &self.feature, &[self.value.len(), self.missing_left.len()], features)?;
        kept::finite("a tree", self.value.iter().map(|value| f64::from(*value)))
    }

    /// What the tree says of a row of features.
    pub(crate) fn value(&self, row: &[f32]) -> f64 {
        let mut at = 0;
        while self.left[at] != 0 {
            let v = row[usize::from(self.feature[at])];
            let left = if v.is_nan() { self.missing_left[at] } else { v <= self.value[at] };
            at = self.left[at] as usize + usize::from(!left);
        }
        f64::from(self.value[at])
    }
}
