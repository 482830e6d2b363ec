//! Regression trees over columns in bins: one grower for boosted quantiles, boosted odds, and forests of random trees.
//!
//! Written here because no library of the workspace has what they need together: leaves set to a quantile, a weight per
//! row, missing values, and the value at every inner node, from which a cause is read.

mod bins;
mod grow;
mod random_splits;
mod tree;

pub(crate) use bins::{Bins, Table};
pub(crate) use grow::{BestSplits, Measure, grow};
pub(crate) use random_splits::RandomSplits;
pub(crate) use tree::Tree;
