//! Every row of a file, with how unusual its value was when it came.

use super::rows::{Clock, Keyed, read};
use super::{ANOMALY_COLUMNS, SeriesSpec};
use crate::LearnError;
use crate::anomaly::Detector;
use crate::parquet::write;
use polars::prelude::{Column, NamedFrom, Series};
use rayon::prelude::*;
use serde::Serialize;
use std::path::Path;

/// What was looked at.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct AnomalySummary {
    /// Series in the file.
    pub series: usize,
    /// Rows written.
    pub rows: usize,
    /// Rows more unusual than any before them in their series.
    pub records: usize,
    /// Rows without a value: their score is 0.
    pub without_value: usize,
}

/// Above this no value of the series was as unusual before.
const RECORD: f64 = 0.5;
/// Distances from which the usual one is taken.
const FIRST: usize = 60;
const DAY_MICROS: f64 = 86_400e6;
/// Cycles of more values than this are none that a stream would be remembered over.
const LONGEST: usize = 20_000;

/// Scores every row of a file into another, in order of key and time. `period` is the number of values in a cycle; without it a
/// day, where the times are timestamps.
///
/// # Errors
/// [`LearnError::Series`] for columns and rows that make no series; a file that cannot be read or written.
pub fn anomalies(spec: &SeriesSpec, period: Option<usize>, out: &Path) -> Result<AnomalySummary, LearnError> {
    let (clock, all) = read(spec)?;
    let scores: Vec<Vec<f64>> = all.par_iter().map(|keyed| score(keyed, clock, period)).collect();
    let summary = AnomalySummary {
        series: all.len(),
        rows: scores.iter().map(Vec::len).sum(),
        records: scores.iter().flatten().filter(|score| **score > RECORD).count(),
        without_value: all.iter().flat_map(|keyed| &keyed.values).filter(|value| value.is_nan()).count(),
    };
    let [key, at, value, score] = ANOMALY_COLUMNS;
    let keys: Vec<&str> = all.iter().flat_map(|k| std::iter::repeat_n(k.key.as_str(), k.at.len())).collect();
    let values: Vec<Option<f64>> =
        all.iter().flat_map(|k| &k.values).map(|value| Some(*value).filter(|value| value.is_finite())).collect();
    let columns: Vec<Column> = vec![
        Series::new(key.into(), keys).into(),
        clock.column(at, all.iter().flat_map(|k| k.at.iter().copied()).collect())?,
        Series::new(value.into(), values).into(),
        Series::new(score.into(), scores.concat()).into(),
    ];
    write(out, columns)?;
    Ok(summary)
}

/// A day is as many values as fit by the distances of the first ones, which nothing is told of.
fn score(keyed: &Keyed, clock: Clock, period: Option<usize>) -> Vec<f64> {
    let mut detector = Detector::new(period);
    let mut distances: Vec<i64> = Vec::with_capacity(FIRST);
    let one = |row: usize| {
        let value = keyed.values[row];
        if period.is_none() && clock != Clock::Steps && row > 0 && distances.len() < FIRST {
            distances.push(keyed.at[row] - keyed.at[row - 1]);
            let middle = distances.len() / 2;
            let usual = *distances.clone().select_nth_unstable(middle).1 as f64;
            let day = (DAY_MICROS / usual.max(1.0)).round() as usize;
            detector.set_period((day <= LONGEST).then_some(day));
        }
        if value.is_finite() { detector.next(value) } else { 0.0 }
    };
    (0..keyed.at.len()).map(one).collect()
}
