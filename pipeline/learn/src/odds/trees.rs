//! Sums of regression trees on gradients: forests of extremely randomised trees, and boosting.
//!
//! A tree is grown on a gradient g and a weight h per row: strangers' rows count less. A node says sum g / sum h, and a split
//! gains (sum g)^2 / sum h on each side (Chen & Guestrin, KDD 2016, eq. 7). With g = weight x label and h = weight that is
//! the share of positives and the fall of its variance; with the derivatives of the log loss it is a Newton step.

use crate::kept::finite;
use crate::random::Random;
use crate::trees::{BestSplits, Bins, Measure, RandomSplits, Tree, grow};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::ops::{AddAssign, SubAssign};

/// By gradients and weights.
struct Newton<'a> {
    /// Of all rows.
    g: &'a [f32],
    /// Of all rows.
    h: &'a [f32],
    /// Fewest rows of a leaf.
    leaf_rows: usize,
    /// Added to sum h: draws small nodes to 0.
    ridge: f64,
}

/// Rows, sum g, sum h.
#[derive(Clone, Copy, Default)]
struct Sums {
    rows: f64,
    g: f64,
    h: f64,
}

impl AddAssign for Sums {
    fn add_assign(&mut self, other: Self) {
        self.rows += other.rows;
        self.g += other.g;
        self.h += other.h;
    }
}

impl SubAssign for Sums {
    fn sub_assign(&mut self, other: Self) {
        self.rows -= other.rows;
        self.g -= other.g;
        self.h -= other.h;
    }
}

impl Measure for Newton<'_> {
    type Sums = Sums;
    const LEAST_GAIN: f64 = 1e-9;

    fn row(&self, row: u32) -> Sums {
        Sums { rows: 1.0, g: f64::from(self.g[row as usize]), h: f64::from(self.h[row as usize]) }
    }

    fn is_enough(&self, sums: Sums) -> bool {
        sums.rows >= self.leaf_rows as f64 && sums.h > 0.0
    }

    fn can_be_split(&self, sums: Sums) -> bool {
        sums.rows >= 2.0 * self.leaf_rows as f64
    }

    fn score(&self, sums: Sums) -> f64 {
        if sums.h > 0.0 { sums.g * sums.g / (sums.h + self.ridge) } else { 0.0 }
    }

    fn value(&self, sums: Sums) -> f32 {
        (sums.g / (sums.h + self.ridge)) as f32
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
        let measure = Newton { g: &g, h: lesson.weight, leaf_rows, ridge: 0.0 };
        let one = |tree: usize| {
            let random = Random::stream(lesson.seed, tree as u64);
            let mut splits = RandomSplits { bins: lesson.bins, measure: &measure, share: 0.5, random };
            grow(&mut splits, lesson.bins, lesson.rows.to_vec(), usize::MAX).tree
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
        let mut all_trees: Vec<Tree> = Vec::with_capacity(trees);
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
            let measure = Newton { g: &g, h: &h, leaf_rows: 20, ridge: 0.1 };
            let mut splits = BestSplits { bins: lesson.bins, columns: &columns, measure: &measure };
            let mut grown = grow(&mut splits, lesson.bins, rows, 15);
            grown.tree.value.iter_mut().for_each(|value| *value *= RATE as f32);
            let moved: Vec<f64> = lesson.rows.par_iter().map(|&row| grown.value(lesson.bins, row as usize)).collect();
            lesson.rows.iter().zip(moved).for_each(|(&row, moved)| sum[row as usize] += moved);
            all_trees.push(grown.tree);
        }
        Self { start: Some(start), trees: all_trees }
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
        for tree in &self.trees {
            let of_node = |at: usize| f64::from(tree.value[at]);
            tree.contributions(of_node, &value, |column, moved| into[column] += scale * moved);
        }
    }
}
