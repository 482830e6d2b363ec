//! How a tree grows, and the best split of a leaf, found by histograms: a sibling's is the parent's less the other child's
//! (LightGBM, Ke et al., NeurIPS 2017).

use super::bins::{Bins, CODES, MISSING};
use super::tree::Tree;
use rayon::prelude::*;
use std::ops::{AddAssign, Range, SubAssign};

/// A column's place, and the histograms of a parent and of its smaller child.
type Pair<'a, S> = (usize, (&'a mut [S], &'a mut [S]));

/// Smaller pieces of work are not worth another thread.
const PARALLEL_ROWS: usize = 1024;

/// What splits are judged by.
pub(crate) trait Measure: Sync {
    /// What is summed over the rows of a node.
    type Sums: Copy + Default + Send + Sync + AddAssign + SubAssign;

    /// A split that gains less is none.
    const LEAST_GAIN: f64;

    /// One row.
    fn row(&self, row: u32) -> Self::Sums;

    /// Whether these are enough rows for a leaf. More rows are never less so.
    fn is_enough(&self, sums: Self::Sums) -> bool;

    /// Whether they could be enough for two leaves.
    fn can_be_split(&self, sums: Self::Sums) -> bool;

    /// How well the rows of a node are told by one value; a split gains what its sides score above their parent.
    fn score(&self, sums: Self::Sums) -> f64;

    /// What the two sides of a split score: one, and the rest of all.
    fn score_sides(&self, one: Self::Sums, all: Self::Sums) -> f64 {
        let mut rest = all;
        rest -= one;
        self.score(one) + self.score(rest)
    }

    /// The value of a node.
    fn value(&self, sums: Self::Sums) -> f32;
}

/// A question about a row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Split {
    pub(super) gain: f64,
    /// Place of the column among the bins.
    pub(super) column: usize,
    /// The greatest code that goes left.
    pub(super) code: u8,
    pub(super) missing_left: bool,
}

impl Split {
    pub(super) fn goes_left(&self, code: u8) -> bool {
        if code == MISSING { self.missing_left } else { code <= self.code }
    }
}

/// A leaf as its finder of splits sees it.
pub(crate) struct Found<S> {
    /// What the finder keeps for the leaf's children.
    pub(super) state: S,
    pub(super) value: f32,
    pub(super) best: Option<Split>,
}

/// Finds splits.
pub(crate) trait Splitter {
    /// What is handed from a leaf to its children.
    type State;

    /// The first leaf.
    fn root(&mut self, rows: &[u32]) -> Found<Self::State>;

    /// Two leaves of one parent.
    fn children(&mut self, parent: Self::State, rows: [&[u32]; 2]) -> [Found<Self::State>; 2];

    /// Which of the leaves that can be split is next.
    fn pick(&self, gains: impl ExactSizeIterator<Item = f64>) -> Option<usize>;
}

/// A tree with the rows of its leaves.
pub(crate) struct Grown {
    pub(crate) tree: Tree,
    /// The code of each inner node's border, to find the leaf of a row in bins.
    code: Vec<u8>,
    /// Rows, leaf after leaf.
    order: Vec<u32>,
    /// Node, and where its rows are in `order`.
    pub(crate) leaves: Vec<(usize, Range<usize>)>,
}

struct Leaf<S> {
    node: usize,
    rows: Range<usize>,
    state: S,
    split: Split,
}

/// Grows a tree on the rows `order` until it has so many leaves, or nothing is gained.
pub(crate) fn grow<S: Splitter>(splitter: &mut S, bins: &[&Bins], mut order: Vec<u32>, leaves: usize) -> Grown {
    let mut grown = Grown { tree: Tree::default(), code: Vec::new(), order: Vec::new(), leaves: Vec::new() };
    let mut open: Vec<Leaf<S::State>> = Vec::new();
    let root = splitter.root(&order);
    grown.push(root, 0..order.len(), &mut open, 0);
    while open.len() + grown.leaves.len() < leaves {
        let Some(at) = splitter.pick(open.iter().map(|leaf| leaf.split.gain)) else { break };
        let Leaf { node, rows, state, split } = open.remove(at);
        let codes = &bins[split.column].codes;
        let middle = rows.start + part(&mut order[rows.clone()], |row| split.goes_left(codes[row as usize]));
        let [left, right] = splitter.children(state, [&order[rows.start..middle], &order[middle..rows.end]]);
        let tree = &mut grown.tree;
        tree.feature[node] = split.column as u16;
        tree.border[node] = bins[split.column].border(split.code);
        tree.left[node] = tree.value.len() as u32;
        tree.missing_left[node] = split.missing_left;
        grown.code[node] = split.code;
        // The left one takes its parent's place, the right one comes last: among equals the older leaf is next.
        grown.push(left, rows.start..middle, &mut open, at);
        let last = open.len();
        grown.push(right, middle..rows.end, &mut open, last);
    }
    grown.leaves.extend(open.into_iter().map(|leaf| (leaf.node, leaf.rows)));
    grown.order = order;
    grown
}

impl Grown {
    fn push<S>(&mut self, found: Found<S>, rows: Range<usize>, open: &mut Vec<Leaf<S>>, at: usize) {
        let node = self.tree.push(found.value);
        self.code.push(0);
        match found.best {
            Some(split) => open.insert(at, Leaf { node, rows, state: found.state, split }),
            None => self.leaves.push((node, rows)),
        }
    }

    /// The rows of a leaf.
    pub(crate) fn rows(&self, range: &Range<usize>) -> &[u32] {
        &self.order[range.clone()]
    }

    /// The value of a row in bins.
    pub(crate) fn value(&self, bins: &[&Bins], row: usize) -> f64 {
        let tree = &self.tree;
        let mut at = 0;
        while tree.left[at] != 0 {
            let code = bins[usize::from(tree.feature[at])].codes[row];
            let left = if code == MISSING { tree.missing_left[at] } else { code <= self.code[at] };
            at = tree.left[at] as usize + usize::from(!left);
        }
        f64::from(tree.value[at])
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

/// The split of all that gains most, and the leaf that gains most first.
pub(crate) struct BestSplits<'a, M: Measure> {
    pub(crate) bins: &'a [&'a Bins],
    /// Which of the columns take part, ascending.
    pub(crate) columns: &'a [usize],
    pub(crate) measure: &'a M,
}

impl<M: Measure> BestSplits<'_, M> {
    /// `sums` are those of the rows, in their order.
    fn fill(&self, histogram: &mut [M::Sums], column: usize, rows: &[u32], sums: &[M::Sums]) {
        let histogram: &mut [M::Sums; CODES] = histogram.try_into().expect("a histogram has a place per code");
        let codes = &self.bins[column].codes;
        for (row, sum) in rows.iter().zip(sums) {
            histogram[usize::from(codes[*row as usize])] += *sum;
        }
    }

    /// The split of one column that gains most.
    fn scan(&self, histogram: &[M::Sums], column: usize) -> Option<Split> {
        let measure = self.measure;
        let all = total::<M>(histogram);
        let whole = measure.score(all);
        let (missing, bins) = (histogram[usize::from(MISSING)], self.bins[column].borders.len() + 1);
        let mut best: Option<Split> = None;
        for missing_left in [false, true] {
            let mut left = if missing_left { missing } else { M::Sums::default() };
            for (code, bin) in histogram.iter().enumerate().take(bins + 1).skip(1) {
                left += *bin;
                if !measure.is_enough(left) {
                    continue;
                }
                let mut right = all;
                right -= left;
                if !measure.is_enough(right) {
                    break;
                }
                let gain = measure.score_sides(left, all) - whole;
                if gain > best.map_or(M::LEAST_GAIN, |best| best.gain) {
                    best = Some(Split { gain, column, code: code as u8, missing_left });
                }
            }
        }
        best
    }

    fn found(&self, histogram: Vec<M::Sums>, splits: Vec<Option<Split>>) -> Found<Vec<M::Sums>> {
        let value = histogram.get(..CODES).map_or(0.0, |column| self.measure.value(total::<M>(column)));
        // Among equals the first, so that threads do not matter.
        let best = splits.into_iter().flatten().reduce(|best, split| if split.gain > best.gain { split } else { best });
        Found { state: histogram, value, best }
    }

    fn sums(&self, rows: &[u32]) -> Vec<M::Sums> {
        rows.iter().map(|&row| self.measure.row(row)).collect()
    }
}

fn total<M: Measure>(histogram: &[M::Sums]) -> M::Sums {
    let mut all = M::Sums::default();
    histogram.iter().for_each(|bin| all += *bin);
    all
}

impl<M: Measure> Splitter for BestSplits<'_, M> {
    /// A histogram per column that takes part.
    type State = Vec<M::Sums>;

    fn root(&mut self, rows: &[u32]) -> Found<Self::State> {
        let mut histogram = vec![M::Sums::default(); self.columns.len() * CODES];
        let sums = self.sums(rows);
        let one = |(at, histogram): (usize, &mut [M::Sums])| {
            self.fill(histogram, self.columns[at], rows, &sums);
            self.scan(histogram, self.columns[at])
        };
        let splits = histogram.par_chunks_mut(CODES).enumerate().map(one).collect();
        self.found(histogram, splits)
    }

    /// Counted for the smaller, and the parent's less those for the larger.
    fn children(&mut self, mut parent: Self::State, rows: [&[u32]; 2]) -> [Found<Self::State>; 2] {
        let left_is_smaller = rows[0].len() <= rows[1].len();
        let rows = if left_is_smaller { rows[0] } else { rows[1] };
        let sums = self.sums(rows);
        let mut histogram = vec![M::Sums::default(); parent.len()];
        let one = |(at, (parent, histogram)): Pair<M::Sums>| {
            let column = self.columns[at];
            self.fill(histogram, column, rows, &sums);
            parent.iter_mut().zip(histogram.iter()).for_each(|(p, h)| *p -= *h);
            (self.scan(histogram, column), self.scan(parent, column))
        };
        let (smaller, larger): (Vec<_>, Vec<_>) = if rows.len() >= PARALLEL_ROWS {
            let pairs = parent.par_chunks_mut(CODES).zip(histogram.par_chunks_mut(CODES)).enumerate();
            pairs.with_min_len(8).map(one).unzip()
        } else {
            parent.chunks_mut(CODES).zip(histogram.chunks_mut(CODES)).enumerate().map(one).unzip()
        };
        let (smaller, larger) = (self.found(histogram, smaller), self.found(parent, larger));
        if left_is_smaller { [smaller, larger] } else { [larger, smaller] }
    }

    fn pick(&self, gains: impl ExactSizeIterator<Item = f64>) -> Option<usize> {
        let first = |best: (usize, f64), next: (usize, f64)| if next.1 > best.1 { next } else { best };
        gains.enumerate().reduce(first).map(|(at, _)| at)
    }
}
