//! Probabilities of a yes or no, calibrated, from rows of features: one core for the lake's own rows and for any table.
//!
//! Forests, boosting and logistic regression are blended; which columns, which shares and which calibration, and whether the
//! blend is better than a baseline at all, is chosen on folds of the training rows that are like the split they will be
//! judged by.

mod calibrate;
mod fit;
mod folds;
mod line;
mod live;
mod rates;
mod rows;
mod search;
mod trees;
mod view;

pub(crate) use calibrate::{Calibration, Kind};
pub(crate) use fit::Odds;
pub(crate) use line::Line;
pub(crate) use rates::Rates;
pub(crate) use rows::{HISTORY, Rows};
pub(crate) use search::{BASE_RATE, Found, SAME_AS_LAST, SMALL_TREE, Search, search};
pub(crate) use trees::{Lesson, Trees};
pub(crate) use view::settings;

use domain::probability::Reliability;

/// What was said beside what came, in ten equally wide ranges; empty ranges are left out.
pub(crate) fn reliability(truth: &[bool], probability: &[f64]) -> Vec<Reliability> {
    let mut ranges = [(0_usize, 0.0, 0.0); 10];
    for (y, p) in truth.iter().zip(probability) {
        let range = &mut ranges[((p * 10.0) as usize).min(9)];
        *range = (range.0 + 1, range.1 + p, range.2 + f64::from(*y));
    }
    let filled = ranges.iter().enumerate().filter(|(_, (rows, ..))| *rows > 0);
    let one = |(at, (rows, said, came)): (usize, &(usize, f64, f64))| Reliability {
        from: at as f64 / 10.0,
        rows: *rows,
        said: said / *rows as f64,
        measured: came / *rows as f64,
    };
    filled.map(one).collect()
}

#[cfg(test)]
mod tests;
