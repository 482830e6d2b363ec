//! Learning from a feature table of one's own: any Parquet file with a label, a split, and columns to learn from.
//!
//! Rows are taken in the order of the file, which is the order of time. Of the outcomes only those of training rows are
//! used, of a group only rows up to the one judged.

use crate::LearnError;
use crate::frame::{Frame, Kind, finite_or_missing};
use crate::metrics::probability_metrics;
use crate::odds::{BASE_RATE, Odds, Rates, Rows, SAME_AS_LAST, SMALL_TREE, reliability, search, settings};
use crate::parquet::write;
use crate::tree::SmallTree;
use domain::model::Metrics;
use domain::probability::{Cause, Probability, Trust};
use polars::prelude::Column;
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

/// Which columns mean what.
#[derive(Clone, Debug)]
pub struct TableSpec {
    /// The Parquet file.
    pub features: PathBuf,
    /// What happened: true or false, 1 or 0.
    pub label: String,
    /// Rows of one group belong together, a run for example; none: every row is its own.
    pub group: Option<String>,
    /// `train`, `test`, or anything else: not used.
    pub split: String,
    /// Columns that are not to be learnt from.
    pub ignore: Vec<String>,
    /// Same file, same seed: same figures.
    pub seed: u64,
    /// Where to write the probability and the likely cause of every test row.
    pub predictions: Option<PathBuf>,
}

/// How well the test rows were predicted.
#[derive(Clone, Debug)]
pub struct Judged {
    /// Of the model.
    pub metrics: Metrics,
    /// Of the base rate of the training rows, and of the small tree, on the same rows.
    pub baselines: BTreeMap<String, Metrics>,
    /// Rows learnt from.
    pub rows_train: usize,
    /// Rows judged.
    pub rows_test: usize,
    /// How it was chosen, calibration, causes.
    pub probability: Probability,
}

/// Values of a table, at most: more than a nightly run can hold in memory.
const VALUES: usize = 60_000_000;
const ROWS_NEEDED: usize = 50;
/// Fewest rows on which a figure is worth printing.
const TEST_NEEDED: usize = 10;

struct Table {
    rows: Rows,
    train: Vec<u32>,
    test: Vec<u32>,
    is_test: Vec<bool>,
}

/// Learns from the training rows of a table and judges on its test rows.
///
/// # Errors
/// [`LearnError::Argument`] for a column that is not there or not of the kind it must be; [`LearnError::TooLittleData`]
/// without enough rows of either part, or with one outcome only; a file that cannot be read.
pub fn train(spec: &TableSpec) -> Result<Judged, LearnError> {
    let Table { rows, train, test, is_test } = read(spec)?;
    LearnError::unless_enough("training rows", train.len(), ROWS_NEEDED)?;
    LearnError::unless_enough("test rows", test.len(), TEST_NEEDED)?;
    for (what, part) in [("training", &train), ("test", &test)] {
        let positives = rows.truth(part).iter().filter(|y| **y).count();
        if positives == 0 || positives == part.len() {
            let which = u8::from(positives > 0);
            return Err(LearnError::TooLittleData(format!(
                "all {} {what} rows have the label {which}, both outcomes are needed",
                part.len()
            )));
        }
    }
    let search = search(&rows, &train, &is_test, spec.seed)?;
    let odds = Odds::learn(search.found(), &rows, &train, spec.seed)?;
    let said = odds.predict(&rows, &train, &test);
    let causes = odds.causes(&rows, &train, &test);
    let truth = rows.truth(&test);
    let tree = SmallTree::grow(&rows, &train)?;
    let [last, ..] = rows.history(&train);
    let rates = |last_known: Option<&[f32]>| -> Vec<f64> {
        let rates = Rates::learn(last_known, &train, &rows.label, &rows.weight);
        test.iter().map(|&row| rates.probability(|| last[row as usize])).collect()
    };
    let mut said_by = BTreeMap::from([(BASE_RATE, rates(None)), (SMALL_TREE, tree.say(&rows, &train, &test))]);
    if rows.has_past() {
        said_by.insert(SAME_AS_LAST, rates(Some(&last)));
    }
    let baselines =
        said_by.iter().map(|(name, said)| ((*name).to_owned(), probability_metrics(&truth, said))).collect();
    if let Some(path) = &spec.predictions {
        let mut columns = vec![
            Column::new("row".into(), test.iter().map(|row| i64::from(*row)).collect::<Vec<_>>()),
            Column::new("probability".into(), said.clone()),
            Column::new("cause".into(), causes.iter().map(|cause| cause.name()).collect::<Vec<_>>()),
        ];
        columns.extend(said_by.into_iter().map(|(name, said)| Column::new(name.into(), said)));
        write(path, columns)?;
    }
    Ok(Judged {
        metrics: probability_metrics(&truth, &said),
        baselines,
        rows_train: train.len(),
        rows_test: test.len(),
        probability: Probability {
            choice: search.choice,
            reliability: reliability(&truth, &said),
            causes: count(causes.iter().zip(&said).filter(|(_, p)| **p >= LIKELY).map(|(cause, _)| cause)),
            trust: Trust::default(),
            rules: tree.rules(),
        },
    })
}

/// From here on a row is more likely contended than not, and its cause counts.
pub(crate) const LIKELY: f64 = 0.5;

/// How often each cause is named.
pub(crate) fn count<'a>(causes: impl IntoIterator<Item = &'a Cause>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for cause in causes {
        *counts.entry(cause.name().to_owned()).or_insert(0) += 1;
    }
    counts
}

fn read(spec: &TableSpec) -> Result<Table, LearnError> {
    let frame = Frame::read_up_to(&spec.features, VALUES)?;
    let kinds = frame.kinds();
    let asked = [(&spec.label, "--label"), (&spec.split, "--split")];
    let asked = asked.into_iter().chain(spec.group.iter().map(|group| (group, "--group")));
    for (column, flag) in asked.chain(spec.ignore.iter().map(|column| (column, "--ignore"))) {
        if !kinds.iter().any(|(name, _)| name == column) {
            let names: Vec<&str> = kinds.iter().map(|(name, _)| name.as_str()).take(40).collect();
            return Err(LearnError::Argument(format!(
                "{flag} {column}: {} has no such column, it has {}",
                spec.features.display(),
                names.join(", ")
            )));
        }
    }
    let split = frame.texts(&spec.split)?;
    let is = |row: usize, part: &str| split[row].as_deref() == Some(part);
    let n = frame.rows();
    let part = |wanted: &str| (0..n).filter(|&row| is(row, wanted)).map(|row| row as u32).collect::<Vec<u32>>();
    let (train, test) = (part("train"), part("test"));
    let is_test: Vec<bool> = (0..n).map(|row| is(row, "test")).collect();
    let label = labels(&frame, spec, &train, &test)?;
    let group = match &spec.group {
        Some(column) => interned(&frame.texts(column)?),
        None => (0..n as u32).collect(),
    };

    let mut rows = Rows { label, group, weight: vec![1.0; n], tells: vec![true; n], ..Rows::default() };
    let known = [Some(&spec.label), Some(&spec.split), spec.group.as_ref()];
    for (name, kind) in &kinds {
        if known.contains(&Some(name)) || spec.ignore.contains(name) {
            continue;
        }
        let column = match kind {
            Kind::Number => frame.numbers(name)?.into_iter().map(finite_or_missing).collect(),
            Kind::Time => {
                let seconds = |t: domain::Timestamp| (t.0 / 1_000_000) as f32;
                frame.times(name)?.into_iter().map(|t| t.map_or(f32::NAN, seconds)).collect()
            }
            Kind::Text => categories(&frame.texts(name)?, &train),
            Kind::Other(what) => {
                return Err(LearnError::Argument(format!(
                    "column {name} holds {what}, which cannot be learnt from; leave it out with --ignore {name}"
                )));
            }
        };
        rows.names.push(name.clone());
        rows.columns.push(column);
    }
    if rows.names.is_empty() {
        return Err(LearnError::Argument(format!("{} has no column to learn from", spec.features.display())));
    }
    let (mut first, mut last) = (HashMap::new(), HashMap::new());
    for (row, group) in rows.group.iter().enumerate() {
        first.entry(*group).or_insert(row as i64);
        last.insert(*group, row as i64);
    }
    // A place in the file is a time: a group begins with its first row, and its outcome is known after its last.
    rows.starts = rows.group.iter().map(|group| first[group]).collect();
    rows.known = rows.group.iter().map(|group| last[group] + 1).collect();
    // Without groups nothing says which rows repeat the same work.
    rows.key = if spec.group.is_some() { settings(&rows.columns, &rows.group) } else { (0..n as u32).collect() };
    Ok(Table { rows, train, test, is_test })
}

/// The label as 0 and 1; rows of neither part may be without.
fn labels(frame: &Frame, spec: &TableSpec, train: &[u32], test: &[u32]) -> Result<Vec<f32>, LearnError> {
    let texts = frame.texts(&spec.label)?;
    let one = |text: &Option<String>| match text.as_deref() {
        Some("1" | "1.0" | "true") => 1.0,
        Some("0" | "0.0" | "false") => 0.0,
        _ => f32::NAN,
    };
    let label: Vec<f32> = texts.iter().map(one).collect();
    match train.iter().chain(test).find(|row| label[**row as usize].is_nan()) {
        None => Ok(label),
        Some(&row) => {
            let found = texts[row as usize].as_deref().unwrap_or("nothing");
            let short: String = found.chars().take(40).collect();
            Err(LearnError::Argument(format!(
                "--label {}: row {row} holds {short}; a label is 0 or 1, true or false, and not missing",
                spec.label
            )))
        }
    }
}

fn interned(texts: &[Option<String>]) -> Vec<u32> {
    let mut seen: HashMap<&Option<String>, u32> = HashMap::new();
    let number = |text| {
        let next = seen.len() as u32;
        *seen.entry(text).or_insert(next)
    };
    texts.iter().map(number).collect()
}

/// Texts as numbers, the most frequent in training first; those not seen there come after all others.
fn categories(texts: &[Option<String>], train: &[u32]) -> Vec<f32> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for text in train.iter().filter_map(|&row| texts[row as usize].as_deref()) {
        *counts.entry(text).or_insert(0) += 1;
    }
    let mut ranked: Vec<(&str, usize)> = counts.into_iter().collect();
    ranked.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
    let place: HashMap<&str, usize> = ranked.iter().enumerate().map(|(place, (text, _))| (*text, place)).collect();
    let number = |text: &str| place.get(text).copied().unwrap_or(place.len()) as f32;
    texts.iter().map(|text| text.as_deref().map_or(f32::NAN, number)).collect()
}
