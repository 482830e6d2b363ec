//! Which rows serve what. Owns the rule that a model is judged on what is later than what it has learnt from.

use super::data::Data;
use super::{RUNS_NEEDED, TEST_NEEDED};
use crate::LearnError;

/// The latest part of the training rows, on which the upper levels are calibrated.
const CALIBRATION_SHARE: f64 = 0.15;
/// Where the folds begin, as shares of the rows; the last ends where the test rows begin.
const ORIGINS: [f64; 2] = [0.6, 0.7];
/// Fewest rows by which candidates are compared.
const FOLD_NEEDED: usize = 5;

/// Rows to fit, to calibrate and to judge, each in order of start.
pub(super) struct Split {
    pub(super) fit: Vec<u32>,
    pub(super) calibrate: Vec<u32>,
    pub(super) test: Vec<u32>,
}

/// What had ended before an origin, and what started between it and the next.
pub(super) struct Fold {
    pub(super) train: Vec<u32>,
    pub(super) test: Vec<u32>,
}

impl Split {
    /// The latest fifth of the rows is tested on; what had ended before it began is trained on.
    pub(super) fn by_time(data: &Data, rows: &[u32]) -> Result<Self, LearnError> {
        let test = rows[rows.len() * 4 / 5..].to_vec();
        LearnError::unless_enough("test runs", test.len(), TEST_NEEDED)?;
        let train = ended_before(data, rows, test[0]);
        LearnError::unless_enough("training runs", train.len(), RUNS_NEEDED / 2)?;
        let (fit, calibrate) = train.split_at(train.len() - (train.len() as f64 * CALIBRATION_SHARE) as usize);
        Ok(Self { fit: fit.to_vec(), calibrate: calibrate.to_vec(), test })
    }

    /// The last part of each repository's rows is tested on, so that every repository is judged at its own time.
    pub(super) fn by_repo(data: &Data, rows: &[u32], test_share: f64) -> Result<Self, LearnError> {
        let mut repos = vec![Vec::new(); data.runs.repo.names.len()];
        rows.iter().for_each(|&row| repos[data.runs.repo.of[row as usize]].push(row));
        let mut split = Self { fit: Vec::new(), calibrate: Vec::new(), test: Vec::new() };
        for rows in repos {
            let (train, test) = rows.split_at((rows.len() as f64 * (1.0 - test_share)) as usize);
            let (fit, calibrate) = train.split_at(train.len() - (train.len() as f64 * CALIBRATION_SHARE) as usize);
            split.fit.extend(fit);
            split.calibrate.extend(calibrate);
            split.test.extend(test);
        }
        split.fit.sort_unstable();
        split.calibrate.sort_unstable();
        split.test.sort_unstable();
        LearnError::unless_enough("test runs", split.test.len(), TEST_NEEDED)?;
        LearnError::unless_enough("training runs", split.fit.len() + split.calibrate.len(), RUNS_NEEDED / 2)?;
        Ok(split)
    }

    /// Rows to fit and to calibrate.
    pub(super) fn train(&self) -> Vec<u32> {
        let mut train = [self.fit.as_slice(), &self.calibrate].concat();
        train.sort_unstable();
        train
    }
}

impl Fold {
    /// Rolling origins (Tashman 2000) before the row `end`, at which the test begins. Too small ones are left out.
    pub(super) fn rolling(data: &Data, rows: &[u32], end: u32) -> Vec<Self> {
        let at = |share: f64| (rows.len() as f64 * share) as usize;
        let ends = ORIGINS[1..].iter().map(|share| at(*share)).chain([rows.partition_point(|row| *row < end)]);
        let folds = ORIGINS.iter().zip(ends).filter_map(|(origin, end)| {
            let test = rows.get(at(*origin)..end)?.to_vec();
            let train = ended_before(data, rows, *test.first()?);
            (test.len() >= FOLD_NEEDED && train.len() >= RUNS_NEEDED / 2).then_some(Self { train, test })
        });
        folds.collect()
    }
}

/// Rows that had ended when the row `first` started.
fn ended_before(data: &Data, rows: &[u32], first: u32) -> Vec<u32> {
    let border = data.runs.started[first as usize];
    rows.iter().copied().filter(|&row| data.runs.ended[row as usize] < border).collect()
}
