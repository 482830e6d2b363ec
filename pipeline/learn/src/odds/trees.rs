//! Sums of regression trees on gradients: forests of extremely randomised trees, and boosting.
//!
//! Written here because no library of the workspace has what both need: a weight per row (what strangers send counts
//! less), missing values, probabilities at the leaves, and the value at every inner node, from which the cause is read.
//! One tree is grown on a gradient g and a weight h per row; a node says sum g / sum h, and a split gains
//! (sum g)^2 / sum h on each side (Chen & Guestrin, KDD 2016, eq. 7). With g = weight x label and h = weight that is the
//! share of positives and the fall of its variance; with the derivatives of the log loss it is a Newton step.

use super::bins::{Bins, CODES, MISSING};
use crate::kept::{self, finite};
use crate::random::Random;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Nodes as parallel vectors; node 0 is the root, a node whose `left` is 0 is a leaf. The right child follows the left.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Tree {
    feature: Vec<u16>,
    /// The greatest value that goes left.
    border: Vec<f32>,
    left: Vec<u32>,
    missing_left: Vec<bool>,
    /// What the node says of its rows, at leaves and above.
    says: Vec<f32>,
}

/// How a tree looks for splits.
#[derive(Clone, Copy)]
pub(crate) enum Search {
    /// One random border for each of a share of the columns (Geurts, Ernst & Wehenkel, Machine Learning 63, 2006).
    Random { columns: f64 },
    /// The best border of all, the most gaining leaf first, until there are so many leaves.
    Best { leaves: usize },
}

/// What one tree is grown on. `rows` index `g` and `h`, and the codes of every column.
pub(crate) struct Ground<'a> {
    pub(crate) bins: &'a [&'a Bins],
    /// Places of the columns that may be asked about.
    pub(crate) columns: Vec<usize>,
    pub(crate) g: &'a [f32],
    pub(crate) h: &'a [f32],
    /// Fewest rows on each side of a split.
    pub(crate) leaf_rows: usize,
    /// Added to sum h: draws small nodes to 0.
    pub(crate) ridge: f64,
}

/// Rows, sum g, sum h.
#[derive(Clone, Copy, Default)]
struct Sums {
    rows: f64,
    g: f64,
    h: f64,
}

impl Sums {
    fn add(&mut self, g: f32, h: f32) {
        self.rows += 1.0;
        self.g += f64::from(g);
        self.h += f64::from(h);
    }

    fn plus(self, other: Self) -> Self {
        Self { rows: self.rows + other.rows, g: self.g + other.g, h: self.h + other.h }
    }

    fn less(self, other: Self) -> Self {
        Self { rows: self.rows - other.rows, g: self.g - other.g, h: self.h - other.h }
    }

    fn score(self, ridge: f64) -> f64 {
        if self.h > 0.0 { self.g * self.g / (self.h + ridge) } else { 0.0 }
    }
}

#[derive(Clone, Copy)]
struct Split {
    gain: f64,
    column: usize,
    /// The greatest code that goes left.
    code: u8,
    missing_left: bool,
}

impl Split {
    fn goes_left(&self, code: u8) -> bool {
        if code == MISSING { self.missing_left } else { code <= self.code }
    }
}

/// A leaf that may still be split.
struct Leaf {
    node: usize,
    rows: Vec<u32>,
    sums: Sums,
    best: Option<Split>,
}

impl Ground<'_> {
    fn sums(&self, rows: &[u32]) -> Sums {
        let mut sums = Sums::default();
        rows.iter().for_each(|&row| sums.add(self.g[row as usize], self.h[row as usize]));
        sums
    }

    fn gain(&self, left: Sums, right: Sums) -> Option<f64> {
        let least = self.leaf_rows as f64;
        let enough = left.rows >= least && right.rows >= least && left.h > 0.0 && right.h > 0.0;
        let gain = left.score(self.ridge) + right.score(self.ridge) - left.plus(right).score(self.ridge);
        (enough && gain > 1e-9).then_some(gain)
    }

    fn split(&self, search: Search, leaf: &Leaf, random: &mut Random) -> Option<Split> {
        if leaf.sums.rows < 2.0 * self.leaf_rows as f64 {
            return None;
        }
        match search {
            Search::Random { columns } => {
                let wanted = (self.columns.len() as f64 * columns).ceil() as usize;
                self.random_split(leaf, wanted, random)
            }
            Search::Best { .. } => self.best_split(leaf),
        }
    }

    fn random_split(&self, leaf: &Leaf, wanted: usize, random: &mut Random) -> Option<Split> {
        let mut columns = self.columns.clone();
        let (mut best, mut tried): (Option<Split>, usize) = (None, 0);
        for at in 0..columns.len() {
            let other = at + random.below(columns.len() - at);
            columns.swap(at, other);
            let column = columns[at];
            let codes = &self.bins[column].codes;
            let (mut low, mut high, mut missing) = (u8::MAX, 0, false);
            for &row in &leaf.rows {
                match codes[row as usize] {
                    MISSING => missing = true,
                    code => (low, high) = (low.min(code), high.max(code)),
                }
            }
            let split = if low < high {
                // Uniform between the values, not the ranks: rare far values get their own side sooner.
                let borders = &self.bins[column].borders;
                let (from, to) = (borders[usize::from(low) - 1], borders[usize::from(high) - 2]);
                let drawn = from + (to - from) * random.share() as f32;
                let code = (borders.partition_point(|b| *b <= drawn) as u8).clamp(low, high - 1);
                Split { gain: 0.0, column, code, missing_left: random.next() & 1 == 0 }
            } else if missing && high > 0 {
                Split { gain: 0.0, column, code: high, missing_left: false }
            } else {
                continue;
            };
            let mut left = Sums::default();
            for &row in &leaf.rows {
                if split.goes_left(codes[row as usize]) {
                    left.add(self.g[row as usize], self.h[row as usize]);
                }
            }
            tried += 1;
            if let Some(gain) = self.gain(left, leaf.sums.less(left))
                && best.is_none_or(|best| gain > best.gain)
            {
                best = Some(Split { gain, ..split });
            }
            if tried == wanted {
                break;
            }
        }
        best
    }

    fn best_split(&self, leaf: &Leaf) -> Option<Split> {
        let of_column = |&column: &usize| -> Option<Split> {
            let codes = &self.bins[column].codes;
            let mut histogram = [Sums::default(); CODES];
            for &row in &leaf.rows {
                histogram[usize::from(codes[row as usize])].add(self.g[row as usize], self.h[row as usize]);
            }
            let missing = histogram[usize::from(MISSING)];
            let (mut left, mut best): (Sums, Option<Split>) = (Sums::default(), None);
            for (code, bin) in histogram.iter().enumerate().skip(1).filter(|(_, bin)| bin.rows > 0.0) {
                left = left.plus(*bin);
                for missing_left in [false, true] {
                    if missing_left && missing.rows == 0.0 {
                        continue;
                    }
                    let side = if missing_left { left.plus(missing) } else { left };
                    if let Some(gain) = self.gain(side, leaf.sums.less(side))
                        && best.is_none_or(|best| gain > best.gain)
                    {
                        best = Some(Split { gain, column, code: code as u8, missing_left });
                    }
                }
            }
            best
        };
        let found: Vec<Split> = if leaf.rows.len() >= 4096 {
            self.columns.par_iter().filter_map(of_column).collect()
        } else {
            self.columns.iter().filter_map(of_column).collect()
        };
        // The first of equals, so that threads do not matter.
        found.into_iter().reduce(|a, b| if b.gain > a.gain { b } else { a })
    }

    /// Grows one tree on `rows`.
    pub(crate) fn grow(&self, rows: Vec<u32>, search: Search, random: &mut Random) -> Tree {
        let most = match search {
            Search::Random { .. } => usize::MAX,
            Search::Best { leaves } => leaves,
        };
        let mut tree = Tree::default();
        let leaf = |node, rows: Vec<u32>, random: &mut Random| {
            let mut leaf = Leaf { node, sums: self.sums(&rows), rows, best: None };
            leaf.best = self.split(search, &leaf, random);
            leaf
        };
        let root = leaf(0, rows, random);
        tree.push(root.sums.g / (root.sums.h + self.ridge));
        let (mut open, mut leaves) = (vec![root], 1);
        while leaves < most {
            let next = match search {
                Search::Random { .. } => open.len().checked_sub(1),
                Search::Best { .. } => (0..open.len()).max_by(|&a, &b| {
                    let gain = |at: usize| open[at].best.map_or(-1.0, |best| best.gain);
                    gain(a).total_cmp(&gain(b)).then(b.cmp(&a))
                }),
            };
            let Some(parent) = next.map(|at| open.swap_remove(at)) else { break };
            let Some(split) = parent.best else { if matches!(search, Search::Best { .. }) { break } else { continue } };
            let bins = self.bins[split.column];
            let (left, right): (Vec<u32>, Vec<u32>) =
                parent.rows.iter().partition(|row| split.goes_left(bins.codes[**row as usize]));
            let at = tree.says.len();
            tree.feature[parent.node] = split.column as u16;
            let border = bins.borders.get(usize::from(split.code) - 1).copied();
            tree.border[parent.node] = border.unwrap_or(f32::MAX);
            tree.missing_left[parent.node] = split.missing_left;
            tree.left[parent.node] = at as u32;
            for (node, rows) in [(at, left), (at + 1, right)] {
                let child = leaf(node, rows, random);
                tree.push(child.sums.g / (child.sums.h + self.ridge));
                if child.best.is_some() {
                    open.push(child);
                }
            }
            leaves += 1;
        }
        tree
    }
}

impl Tree {
    fn check(&self, columns: usize) -> Result<(), String> {
        let others = [self.border.len(), self.missing_left.len(), self.says.len()];
        kept::tree(&self.left, &self.feature, &others, columns)?;
        finite("a tree", self.border.iter().chain(&self.says).map(|v| f64::from(*v)))
    }

    fn push(&mut self, says: f64) {
        self.feature.push(0);
        self.border.push(0.0);
        self.left.push(0);
        self.missing_left.push(false);
        self.says.push(says as f32);
    }

    fn child(&self, at: usize, value: f32) -> usize {
        let left = if value.is_nan() { self.missing_left[at] } else { value <= self.border[at] };
        self.left[at] as usize + usize::from(!left)
    }

    /// What it says of a row, given its value of each column.
    fn value(&self, value: impl Fn(usize) -> f32) -> f64 {
        let mut at = 0;
        while self.left[at] != 0 {
            at = self.child(at, value(usize::from(self.feature[at])));
        }
        f64::from(self.says[at])
    }

    /// Adds to each column how far its questions moved what is said of a row (Saabas 2014: along the path, the value
    /// of the child less that of the parent); the root's value is what is left.
    fn explain(&self, value: &impl Fn(usize) -> f32, scale: f64, into: &mut [f64]) {
        let mut at = 0;
        while self.left[at] != 0 {
            let feature = usize::from(self.feature[at]);
            let next = self.child(at, value(feature));
            into[feature] += scale * f64::from(self.says[next] - self.says[at]);
            at = next;
        }
    }
}

/// Trees whose mean is a probability, or whose sum is its logit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Trees {
    /// The logit that boosting starts from; none: the mean of the trees is the probability.
    start: Option<f64>,
    trees: Vec<Tree>,
}

/// Labels and weights of the rows to learn from.
pub(crate) struct Lesson<'a> {
    pub(crate) bins: &'a [&'a Bins],
    pub(crate) rows: &'a [u32],
    /// Of all rows, 0 or 1.
    pub(crate) label: &'a [f32],
    /// Of all rows.
    pub(crate) weight: &'a [f32],
    pub(crate) seed: u64,
}

pub(crate) fn logistic(z: f64) -> f64 {
    1.0 / (1.0 + (-z).exp())
}

impl Trees {
    /// A forest of extremely randomised trees; each sees every row and half of the columns at each split.
    pub(crate) fn forest(lesson: &Lesson, trees: usize, leaf_rows: usize) -> Self {
        let g: Vec<f32> =
            lesson.label.iter().zip(lesson.weight).map(|(y, w)| if *y > 0.5 { *w } else { 0.0 }).collect();
        let ground = Ground {
            bins: lesson.bins,
            columns: (0..lesson.bins.len()).collect(),
            g: &g,
            h: lesson.weight,
            leaf_rows,
            ridge: 0.0,
        };
        let one = |tree: usize| {
            let mut random = Random::stream(lesson.seed, tree as u64);
            ground.grow(lesson.rows.to_vec(), Search::Random { columns: 0.5 }, &mut random)
        };
        Self { start: None, trees: (0..trees).into_par_iter().map(one).collect() }
    }

    /// Newton boosting of the log loss; each tree sees most of the rows and half of the columns (Friedman 2002).
    pub(crate) fn boosted(lesson: &Lesson, trees: usize) -> Self {
        const RATE: f64 = 0.05;
        let (mut positive, mut all) = (0.0, 0.0);
        for &row in lesson.rows {
            let w = f64::from(lesson.weight[row as usize]);
            all += w;
            positive += w * f64::from(lesson.label[row as usize]);
        }
        let base = (positive / all).clamp(0.001, 0.999);
        let start = (base / (1.0 - base)).ln();
        let n = lesson.label.len();
        let (mut sum, mut g, mut h) = (vec![start; n], vec![0_f32; n], vec![0_f32; n]);
        let mut random = Random::stream(lesson.seed, u64::MAX);
        let mut grown: Vec<Tree> = Vec::with_capacity(trees);
        for _ in 0..trees {
            for &row in lesson.rows {
                let at = row as usize;
                let (p, w) = (logistic(sum[at]), f64::from(lesson.weight[at]));
                g[at] = (w * (f64::from(lesson.label[at]) - p)) as f32;
                h[at] = (w * (p * (1.0 - p)).max(1e-6)) as f32;
            }
            let mut columns: Vec<usize> = (0..lesson.bins.len()).collect();
            let take = columns.len().div_ceil(2);
            random.shuffle(&mut columns, take);
            columns.truncate(take);
            columns.sort_unstable();
            let rows = lesson.rows.iter().copied().filter(|_| random.share() < 0.7).collect();
            let ground = Ground { bins: lesson.bins, columns, g: &g, h: &h, leaf_rows: 20, ridge: 0.1 };
            let mut tree = ground.grow(rows, Search::Best { leaves: 15 }, &mut random);
            tree.says.iter_mut().for_each(|says| *says *= RATE as f32);
            // By codes, not values: the rows learnt from are in bins already.
            let moved: Vec<f64> = lesson.rows.par_iter().map(|&row| tree.coded(lesson.bins, row)).collect();
            lesson.rows.iter().zip(moved).for_each(|(&row, moved)| sum[row as usize] += moved);
            grown.push(tree);
        }
        Self { start: Some(start), trees: grown }
    }

    /// The probability for a row, given its value of each column.
    pub(crate) fn probability(&self, value: impl Fn(usize) -> f32) -> f64 {
        let sum: f64 = self.trees.iter().map(|tree| tree.value(&value)).sum();
        match self.start {
            Some(start) => logistic(start + sum),
            None => sum / self.trees.len() as f64,
        }
    }

    /// Says what is wrong with trees over so many columns.
    pub(crate) fn check(&self, columns: usize) -> Result<(), String> {
        if self.trees.is_empty() && self.start.is_none() {
            return Err("a forest has no tree".to_owned());
        }
        finite("where boosting starts", self.start.into_iter())?;
        self.trees.iter().try_for_each(|tree| tree.check(columns))
    }

    /// How far each column moved the probability of a row, about.
    pub(crate) fn explain(&self, value: impl Fn(usize) -> f32, share: f64, into: &mut [f64]) {
        let scale = match self.start {
            Some(_) => {
                let p = self.probability(&value);
                // A step of the logit in steps of probability, never nothing.
                share * (p * (1.0 - p)).max(0.05)
            }
            None => share / self.trees.len() as f64,
        };
        self.trees.iter().for_each(|tree| tree.explain(&value, scale, into));
    }
}

impl Tree {
    fn coded(&self, bins: &[&Bins], row: u32) -> f64 {
        self.value(|column| {
            let bins = bins[column];
            match bins.codes[row as usize] {
                MISSING => f32::NAN,
                code => bins.borders.get(usize::from(code) - 1).copied().unwrap_or(f32::MAX),
            }
        })
    }
}
