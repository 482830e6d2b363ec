//! Which rows serve what. Owns the rule that a model is judged on what is later than what it has learnt from.

use super::candidates::Choice;
use super::data::Data;
use super::model::{Model, Told};
use super::{RUNS_NEEDED, TEST_NEEDED};
use crate::LearnError;

/// The latest part of the training rows, on which the upper levels are calibrated.
const CALIBRATION_SHARE: f64 = 0.15;
/// Where the folds begin, as shares of the rows; the last ends where the test rows begin.
const ORIGINS: [f64; 2] = [0.6, 0.7];
/// Where they begin when there are fewer than [`FEW`] rows: then a choice needs all that can judge, and costs little.
const ORIGINS_OF_FEW: [f64; 4] = [0.4, 0.5, 0.6, 0.7];
const FEW: usize = 5000;
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

    /// What a model of the training rows says of the test rows, its shifts having heard all that it has not learnt from.
    pub(super) fn told(&self, data: &Data, choice: Choice, model: &Model) -> Told {
        model.told(data, choice.unseen(&self.train(), &self.calibrate), &self.test)
    }
}

impl Fold {
    /// Rolling origins (Tashman 2000) before the row `end`, at which the test begins. Too small ones are left out.
    pub(super) fn rolling(data: &Data, rows: &[u32], end: u32) -> Vec<Self> {
        let origins = if rows.len() < FEW { &ORIGINS_OF_FEW[..] } else { &ORIGINS };
        let at = |share: f64| (rows.len() as f64 * share) as usize;
        let ends = origins[1..].iter().map(|share| at(*share)).chain([rows.partition_point(|row| *row < end)]);
        let folds = origins.iter().zip(ends).filter_map(|(origin, end)| {
            let test = rows.get(at(*origin)..end)?.to_vec();
            let train = ended_before(data, rows, *test.first()?);
            Self::enough(train, test)
        });
        folds.collect()
    }

    /// The same within the training rows of a split by repository, each at its own time; of many rows one fold alone, whose
    /// p90 serves too: what comes before the rows to calibrate, and these.
    pub(super) fn by_repo(data: &Data, split: &Split) -> Vec<Self> {
        let train = split.train();
        if train.len() >= FEW {
            return Self::enough(split.fit.clone(), split.calibrate.clone()).into_iter().collect();
        }
        let mut repos = vec![Vec::new(); data.runs.repo.names.len()];
        train.iter().for_each(|&row| repos[data.runs.repo.of[row as usize]].push(row));
        // As in the rolling folds, whose rows are five fourths of the training rows.
        let shares: Vec<f64> = ORIGINS_OF_FEW.iter().map(|share| share / 0.8).chain([1.0]).collect();
        let one = |shares: &[f64]| {
            let (mut learn, mut judge) = (Vec::new(), Vec::new());
            for rows in &repos {
                let at = |share: f64| (rows.len() as f64 * share) as usize;
                learn.extend_from_slice(&rows[..at(shares[0])]);
                judge.extend_from_slice(&rows[at(shares[0])..at(shares[1])]);
            }
            learn.sort_unstable();
            judge.sort_unstable();
            Self::enough(learn, judge)
        };
        shares.windows(2).filter_map(one).collect()
    }

    fn enough(train: Vec<u32>, test: Vec<u32>) -> Option<Self> {
        (test.len() >= FOLD_NEEDED && train.len() >= RUNS_NEEDED / 2).then_some(Self { train, test })
    }
}

/// Rows that had ended when the row `first` started.
fn ended_before(data: &Data, rows: &[u32], first: u32) -> Vec<u32> {
    let border = data.runs.started[first as usize];
    rows.iter().copied().filter(|&row| data.runs.ended[row as usize] < border).collect()
}
