//! How long a run will take, before it starts: the median and the 0.9 quantile.
//!
//! Gradient boosting predicts the log ratio of the duration to the rolling median of the job's last five runs, so that
//! one model serves jobs of seconds and of hours and can only improve on what the median already says. The upper
//! quantile is conformalised (Romano, Patterson & Candès 2019): shifted on the log scale by what it lacked on later rows.

use crate::LearnError;
use crate::card::{Evaluation, TrainSpec, Trained, verdict};
use crate::forest::{Aim, Forest};
use crate::history::{self, Past};
use crate::metrics::{duration_metrics, quantile};
use crate::runs::{Names, Runs};
use domain::Timestamp;
use domain::columns::runs::KNOWN;
use domain::model::{Card, Champion, LabelUse, Metrics};
use domain::time::{DAY, HOUR};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// The name of the model.
pub const NAME: &str = "build-time";
const RUNS_NEEDED: usize = 50;
const TEST_NEEDED: usize = 10;
/// The latest part of the training rows, on which the upper quantile is conformalised.
const CALIBRATION_SHARE: f64 = 0.15;

/// Errors within a tenth count by their square; beyond, an outlier pulls no harder than any other.
const CENTRE: Aim = Aim::Centre { delta: 0.1 };
const UPPER: Aim = Aim::Quantile(0.9);

/// What one run is expected to take.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// The run.
    pub run_id: String,
    /// Half of such runs take at most this, seconds.
    pub p50_s: f64,
    /// Nine in ten take at most this, seconds.
    pub p90_s: f64,
}

/// The model as it is kept.
#[derive(Serialize, Deserialize)]
struct Model {
    format_version: u32,
    features: Vec<String>,
    centre: Forest,
    centre_codes: Codes,
    upper: Forest,
    upper_codes: Codes,
    /// Added to the upper quantile, log scale.
    upper_shift: f64,
}

/// Jobs, repositories and languages as numbers: their median log1p seconds in training, drawn to the global one.
#[derive(Clone, Serialize, Deserialize)]
struct Codes {
    global: f64,
    job: BTreeMap<String, f64>,
    repo: BTreeMap<String, f64>,
    language: BTreeMap<String, f64>,
}

impl Codes {
    fn learn(runs: &Runs, rows: &[usize]) -> Self {
        let global = quantile(rows.iter().map(|&i| runs.log_s[i]), 0.5);
        let medians = |names: &Names| {
            let mut groups = vec![Vec::new(); names.names.len()];
            rows.iter().for_each(|&i| groups[names.of[i]].push(runs.log_s[i]));
            let named = names.names.iter().cloned().zip(groups).filter(|(_, group)| !group.is_empty());
            // Ten rows' worth of the global median, so that the code of a rare name does not give its target away.
            let drawn = |g: Vec<f64>| {
                let n = g.len() as f64;
                (n * quantile(g, 0.5) + 10.0 * global) / (n + 10.0)
            };
            named.map(|(name, group)| (name, drawn(group))).collect()
        };
        Self { global, job: medians(&runs.job), repo: medians(&runs.repo), language: medians(&runs.language) }
    }
}

/// Runs with their past.
struct Data {
    runs: Runs,
    past: Vec<Past>,
}

/// Which rows serve what, each in order of start.
struct Split {
    fit: Vec<usize>,
    calibrate: Vec<usize>,
    test: Vec<usize>,
}

impl Split {
    fn train(&self) -> Vec<usize> {
        let mut train = [self.fit.as_slice(), &self.calibrate].concat();
        train.sort_unstable();
        train
    }
}

impl Data {
    fn read(path: &Path, until: Timestamp) -> Result<Self, LearnError> {
        let runs = Runs::read(path, until)?;
        let past = history::of(&runs);
        Ok(Self { runs, past })
    }

    /// Rows that started in the window of `spec`; fails below the least number that can be learnt from.
    fn usable(&self, spec: &TrainSpec) -> Result<Vec<usize>, LearnError> {
        let from = spec.since.unwrap_or_default();
        let rows: Vec<usize> = (0..self.runs.len()).filter(|&i| self.runs.started[i] >= from).collect();
        LearnError::unless_enough("finished runs", rows.len(), RUNS_NEEDED)?;
        Ok(rows)
    }

    fn features(&self, codes: &Codes, rows: &[usize]) -> Vec<Vec<f64>> {
        let code = |map: &BTreeMap<String, f64>, names: &Names, i: usize| {
            map.get(&names.names[names.of[i]]).copied().unwrap_or(f64::NAN)
        };
        let row = |&i: &usize| {
            let at = self.runs.started[i].0;
            let mut row = self.past[i].features.to_vec();
            row.extend(self.runs.known.iter().map(|column| column[i]));
            row.push(at.rem_euclid(DAY) as f64 / HOUR as f64);
            // Day 0 of 1970 was a Thursday; Monday is 0.
            row.push((at.div_euclid(DAY) + 3).rem_euclid(7) as f64);
            row.push(code(&codes.job, &self.runs.job, i));
            row.push(code(&codes.repo, &self.runs.repo, i));
            row.push(code(&codes.language, &self.runs.language, i));
            row
        };
        rows.iter().map(row).collect()
    }

    /// What the model predicts relative to.
    fn base(&self, codes: &Codes, i: usize) -> f64 {
        let base = self.past[i].base;
        if base.is_nan() { codes.global } else { base }
    }

    fn truth(&self, rows: &[usize]) -> Vec<f64> {
        rows.iter().map(|&i| self.runs.log_s[i]).collect()
    }

    fn fit(&self, aim: Aim, codes: &Codes, rows: &[usize], seed: u64) -> Result<Forest, LearnError> {
        let target: Vec<f64> = rows.iter().map(|&i| self.runs.log_s[i] - self.base(codes, i)).collect();
        Forest::fit(aim, &self.features(codes, rows), &target, seed)
    }

    /// Centre and upper quantile as log1p seconds.
    fn predict(&self, model: &Model, rows: &[usize]) -> (Vec<f64>, Vec<f64>) {
        let told = |forest: &Forest, codes: &Codes| {
            let base = rows.iter().map(|&i| self.base(codes, i));
            base.zip(forest.predict(&self.features(codes, rows)))
                .map(|(base, ratio)| base + ratio)
                .collect::<Vec<f64>>()
        };
        let centre: Vec<f64> = told(&model.centre, &model.centre_codes).into_iter().map(|c| c.max(0.0)).collect();
        let upper = told(&model.upper, &model.upper_codes).into_iter().zip(&centre);
        let upper = upper.map(|(u, c)| (u + model.upper_shift).max(*c)).collect();
        (centre, upper)
    }

    /// How far the 0.9 quantile of the truth lies above the predicted one, log scale.
    fn shift(&self, upper: &Forest, codes: &Codes, rows: &[usize]) -> f64 {
        let predicted = upper.predict(&self.features(codes, rows));
        let lacks = rows.iter().zip(predicted).map(|(&i, u)| self.runs.log_s[i] - self.base(codes, i) - u);
        quantile(lacks, 0.9)
    }

    /// Fits the centre on all rows given. The upper quantile is fitted on the earlier ones alone and shifted by what it
    /// lacks on the later ones (split conformal): fitted once more on all, it would be another model than the one measured.
    fn model(&self, earlier: &[usize], later: &[usize], seed: u64) -> Result<Model, LearnError> {
        let mut all = [earlier, later].concat();
        all.sort_unstable();
        let (centre_codes, upper_codes) = (Codes::learn(&self.runs, &all), Codes::learn(&self.runs, earlier));
        let centre = self.fit(CENTRE, &centre_codes, &all, seed)?;
        let upper = self.fit(UPPER, &upper_codes, earlier, seed)?;
        let upper_shift = self.shift(&upper, &upper_codes, later);
        Ok(Model {
            format_version: 1,
            features: feature_names(),
            centre,
            centre_codes,
            upper,
            upper_codes,
            upper_shift,
        })
    }

    fn score(&self, model: &Model, rows: &[usize]) -> Metrics {
        let (centre, upper) = self.predict(model, rows);
        duration_metrics(&self.truth(rows), &centre, &upper)
    }

    /// The naive predictors on `test`; each has as 0.9 quantile its centre plus the 0.9 quantile of its error on `train`.
    fn baselines(&self, train: &[usize], test: &[usize]) -> BTreeMap<String, Metrics> {
        let codes = Codes::learn(&self.runs, train);
        let mut jobs = vec![Vec::new(); self.runs.job.names.len()];
        train.iter().for_each(|&i| jobs[self.runs.job.of[i]].push(self.runs.log_s[i]));
        let job_median: Vec<f64> = jobs.into_iter().map(|job| quantile(job, 0.5)).collect();
        let predictors: [(&str, &dyn Fn(usize) -> f64); 4] = [
            ("last_run", &|i| self.past[i].last),
            ("rolling_median_5", &|i| self.past[i].median5),
            ("rolling_median_20", &|i| self.past[i].median20),
            ("job_median", &|_| f64::NAN),
        ];
        let score = |predict: &dyn Fn(usize) -> f64| {
            let choices = |i: usize| [predict(i), job_median[self.runs.job.of[i]], codes.global];
            let centre = |i: usize| choices(i).into_iter().find(|c| !c.is_nan()).unwrap_or(codes.global);
            let margin = quantile(train.iter().map(|&i| self.runs.log_s[i] - centre(i)), 0.9);
            let centre: Vec<f64> = test.iter().map(|&i| centre(i)).collect();
            let upper: Vec<f64> = centre.iter().map(|c| c + margin).collect();
            duration_metrics(&self.truth(test), &centre, &upper)
        };
        predictors.into_iter().map(|(name, predict)| (name.to_owned(), score(predict))).collect()
    }
}

fn feature_names() -> Vec<String> {
    let extra = ["hour_utc", "weekday", "job_code", "repo_code", "language_code"];
    history::FEATURES.iter().chain(KNOWN).chain(&extra).map(|name| (*name).to_owned()).collect()
}

/// The latest fifth of the rows is tested on; what had ended before it began is trained on.
fn split_by_time(data: &Data, rows: &[usize]) -> Result<Split, LearnError> {
    let test = rows[rows.len() * 4 / 5..].to_vec();
    LearnError::unless_enough("test runs", test.len(), TEST_NEEDED)?;
    let border = data.runs.started[test[0]];
    let train: Vec<usize> = rows.iter().copied().filter(|&i| data.runs.ended[i] < border).collect();
    LearnError::unless_enough("training runs", train.len(), RUNS_NEEDED / 2)?;
    let (fit, calibrate) = train.split_at(train.len() - (train.len() as f64 * CALIBRATION_SHARE) as usize);
    Ok(Split { fit: fit.to_vec(), calibrate: calibrate.to_vec(), test })
}

/// The last part of each repository's rows is tested on, so that every repository is judged at its own time.
fn split_by_repo(data: &Data, rows: &[usize], test_share: f64) -> Result<Split, LearnError> {
    let mut repos = vec![Vec::new(); data.runs.repo.names.len()];
    rows.iter().for_each(|&i| repos[data.runs.repo.of[i]].push(i));
    let mut split = Split { fit: Vec::new(), calibrate: Vec::new(), test: Vec::new() };
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
    LearnError::unless_enough("training runs", split.train().len(), RUNS_NEEDED / 2)?;
    Ok(split)
}

/// Trains on `features.runs`, judges on the latest fifth beside the baselines, then fits once more on everything.
///
/// # Errors
/// [`LearnError::TooLittleData`] below 50 usable runs, 10 of them later than the training; unreadable or incomplete files.
pub fn train(runs: &Path, spec: &TrainSpec) -> Result<Trained, LearnError> {
    let data = Data::read(runs, spec.until)?;
    let rows = data.usable(spec)?;
    let split = split_by_time(&data, &rows)?;
    let judged = data.model(&split.fit, &split.calibrate, spec.seed)?;
    let metrics = data.score(&judged, &split.test);
    let train = split.train();
    let baselines = data.baselines(&train, &split.test);
    let kept = data.model(&train, &split.test, spec.seed)?;

    let card = Card {
        format_version: 1,
        model: NAME.to_owned(),
        version: spec.until.compact(),
        predicts: "duration of a run before it starts: median and 0.9 quantile, seconds".to_owned(),
        algorithm:
            "gradient boosting (perpetual) on the log ratio to the rolling median of 5: Huber loss for the centre, \
                    pinball loss for the 0.9 quantile, conformalised"
                .to_owned(),
        created_at: spec.until,
        data_watermark: rows.iter().map(|&i| data.runs.ended[i]).max().unwrap_or_default(),
        train_from: data.runs.started[rows[0]],
        train_until: data.runs.started[split.test[0]],
        rows_train: train.len(),
        rows_test: split.test.len(),
        tables: spec.tables.clone(),
        features: kept.features.clone(),
        coverage: BTreeMap::from([
            ("0.5".to_owned(), metrics["coverage50"]),
            ("0.9".to_owned(), metrics["coverage90"]),
        ]),
        verdict: verdict("mae_log", &metrics, &baselines),
        metrics,
        baselines,
        champion: Champion::default(),
        labels: LabelUse { measured: rows.len(), ..LabelUse::default() },
        probability: None,
        seed: spec.seed,
    };
    let model = serde_json::to_vec(&kept).map_err(|e| broken(&e))?;
    Ok(Trained { model, card })
}

/// Scores a kept model on the runs that started after `after`, beside the baselines; what had ended by then gives
/// the baselines their residuals.
///
/// # Errors
/// [`LearnError::TooLittleData`] below 10 later runs; a model that cannot be read; unreadable or incomplete files.
pub fn evaluate(model: &[u8], runs: &Path, spec: &TrainSpec, after: Timestamp) -> Result<Evaluation, LearnError> {
    let model = kept(model)?;
    let data = Data::read(runs, spec.until)?;
    let from = spec.since.unwrap_or_default();
    let later = |i: &usize| data.runs.started[*i] > after && data.runs.started[*i] >= from;
    let test: Vec<usize> = (0..data.runs.len()).filter(later).collect();
    LearnError::unless_enough("later runs", test.len(), TEST_NEEDED)?;
    let train: Vec<usize> = (0..data.runs.len()).filter(|&i| data.runs.ended[i] <= after).collect();
    LearnError::unless_enough("earlier runs", train.len(), 1)?;
    Ok(Evaluation {
        metrics: data.score(&model, &test),
        baselines: data.baselines(&train, &test),
        rows: test.len(),
        ..Evaluation::default()
    })
}

/// A training judged on the last `test_share` (0 to 1) of each repository's runs; nothing is kept.
/// Returns the figures and the number of rows trained on.
///
/// # Errors
/// As [`train`].
pub fn holdout(runs: &Path, spec: &TrainSpec, test_share: f64) -> Result<(Evaluation, usize), LearnError> {
    let data = Data::read(runs, spec.until)?;
    let split = split_by_repo(&data, &data.usable(spec)?, test_share)?;
    let model = data.model(&split.fit, &split.calibrate, spec.seed)?;
    let train = split.train();
    let evaluation = Evaluation {
        metrics: data.score(&model, &split.test),
        baselines: data.baselines(&train, &split.test),
        rows: split.test.len(),
        ..Evaluation::default()
    };
    Ok((evaluation, train.len()))
}

/// What a kept model says of each run that started after `after`, from what was known when it started.
///
/// # Errors
/// A model that cannot be read; unreadable or incomplete files.
pub fn predict(model: &[u8], runs: &Path, until: Timestamp, after: Timestamp) -> Result<Vec<Prediction>, LearnError> {
    let model = kept(model)?;
    let data = Data::read(runs, until)?;
    let rows: Vec<usize> = (0..data.runs.len()).filter(|&i| data.runs.started[i] > after).collect();
    let (centre, upper) = data.predict(&model, &rows);
    let one = |(k, &i): (usize, &usize)| Prediction {
        run_id: data.runs.run_id[i].clone(),
        p50_s: centre[k].exp_m1(),
        p90_s: upper[k].exp_m1(),
    };
    Ok(rows.iter().enumerate().map(one).collect())
}

/// Reads a kept model; one that takes other features than this program makes would be wrong without a word.
fn kept(model: &[u8]) -> Result<Model, LearnError> {
    let model: Model = serde_json::from_slice(model).map_err(|e| broken(&e))?;
    if model.features != feature_names() {
        let reason = "was trained on other features than this version makes; train again".to_owned();
        return Err(LearnError::Model { model: NAME, reason });
    }
    Ok(model)
}

fn broken(error: &serde_json::Error) -> LearnError {
    LearnError::Model { model: NAME, reason: error.to_string() }
}

#[cfg(test)]
mod tests;
