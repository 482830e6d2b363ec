//! From rows to series.

use super::SeriesSpec;
use crate::LearnError;
use crate::frame::{Frame, Kind};
use crate::parquet::time_column;
use polars::prelude::{Column, DataType, NamedFrom, Series, TimeUnit};
use std::collections::BTreeMap;

/// Values of a file, at most: more than a machine of the usual size holds in memory.
const VALUES: usize = 200_000_000;
/// Larger amounts are none that anything has, and the sum of many must still be a number.
const LARGEST: f64 = 1e30;

/// What the time column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Clock {
    /// Whole numbers.
    Steps,
    /// Microseconds since 1970, and whether the column says that they are UTC.
    Moments { zoned: bool },
}

impl Clock {
    /// A column of such times.
    pub(super) fn column(self, name: &str, at: Vec<i64>) -> Result<Column, LearnError> {
        Ok(match self {
            Self::Steps => Series::new(name.into(), at).into(),
            Self::Moments { zoned: true } => time_column(name, at),
            Self::Moments { zoned: false } => {
                let naive = Series::new(name.into(), at).cast(&DataType::Datetime(TimeUnit::Microseconds, None));
                naive.map_err(|e| LearnError::Argument(e.to_string()))?.into()
            }
        })
    }

    /// A time as a person writes it.
    pub(super) fn shown(self, at: i64) -> String {
        match self {
            Self::Steps => at.to_string(),
            Self::Moments { .. } => domain::Timestamp(at).to_string(),
        }
    }

    /// A distance between two times as a person writes it.
    pub(super) fn distance(self, by: i64) -> String {
        match self {
            Self::Steps => by.to_string(),
            Self::Moments { .. } => format!("{} s", by as f64 / 1e6),
        }
    }
}

/// The rows of one key in order of time.
#[derive(Debug)]
pub(super) struct Keyed {
    pub(super) key: String,
    pub(super) at: Vec<i64>,
    /// NaN where there is none.
    pub(super) values: Vec<f64>,
}

/// Reads every series, in order of key; rows may come in any order. Rows of one moment keep the order of the file.
pub(super) fn read(spec: &SeriesSpec) -> Result<(Clock, Vec<Keyed>), LearnError> {
    let frame = Frame::read_up_to(&spec.path, VALUES)?;
    let kinds: BTreeMap<String, Kind> = frame.kinds().into_iter().collect();
    let kind = |flag: &str, column: &str| {
        kinds.get(column).ok_or_else(|| {
            let known: Vec<&str> = kinds.keys().map(String::as_str).collect();
            let (file, known) = (spec.path.display(), known.join(", "));
            columns(format!("{flag} {column}: no such column in {file}, which has {known}"), "name one of its columns")
        })
    };
    let wrong = |flag: &str, column: &str, found: &Kind, wanted: &str| {
        let what = format!("{flag} {column}: the column holds {}, it must hold {wanted}", words(found));
        columns(what, "name another column, or write the file anew with a cast")
    };
    match kind("--value", &spec.value)? {
        Kind::Number => {}
        found => return Err(wrong("--value", &spec.value, found, "numbers")),
    }
    let fractions = Kind::Other("fractions or booleans".to_owned());
    let clock = match kind("--time", &spec.time)? {
        Kind::Time => Clock::Moments { zoned: frame.is_zoned(&spec.time) },
        Kind::Number if frame.is_whole(&spec.time) => Clock::Steps,
        Kind::Number => {
            return Err(wrong("--time", &spec.time, &fractions, "integer steps or timestamps"));
        }
        found => return Err(wrong("--time", &spec.time, found, "integer steps or timestamps")),
    };
    match kind("--key", &spec.key)? {
        Kind::Text => {}
        Kind::Number if frame.is_whole(&spec.key) => {}
        Kind::Number => return Err(wrong("--key", &spec.key, &fractions, "text or integers")),
        found => return Err(wrong("--key", &spec.key, found, "text or integers")),
    }
    let keys = frame.texts(&spec.key)?;
    let values = frame.numbers(&spec.value)?;
    let at: Vec<Option<i64>> = match clock {
        Clock::Steps => frame.integers(&spec.time)?,
        Clock::Moments { .. } => frame.times(&spec.time)?.into_iter().map(|at| at.map(|at| at.0)).collect(),
    };
    let mut rows: BTreeMap<String, Vec<(i64, f64)>> = BTreeMap::new();
    for (row, (key, value)) in keys.into_iter().zip(values).enumerate() {
        let missing = |flag: &str| {
            let what = format!("{flag}: row {} of {} has none", row + 1, spec.path.display());
            rows_wrong(what, "leave out such rows, or give them a key and a time")
        };
        let key = key.ok_or_else(|| missing("--key"))?;
        let at = at[row].ok_or_else(|| missing("--time"))?;
        if value.abs() > LARGEST {
            let what = format!("--value {}: row {}: {value} is no amount", spec.value, row + 1);
            return Err(rows_wrong(what, "leave the value empty where nothing was measured"));
        }
        rows.entry(key).or_default().push((at, value));
    }
    LearnError::unless_enough("rows", rows.len(), 1)?;
    let keyed = |(key, mut rows): (String, Vec<(i64, f64)>)| {
        rows.sort_by_key(|(at, _)| *at);
        let (at, values) = rows.into_iter().unzip();
        Keyed { key, at, values }
    };
    Ok((clock, rows.into_iter().map(keyed).collect()))
}

fn columns(what: String, hint: &'static str) -> LearnError {
    LearnError::Series { what, hint, columns: true }
}

fn rows_wrong(what: String, hint: &'static str) -> LearnError {
    LearnError::Series { what, hint, columns: false }
}

fn words(kind: &Kind) -> String {
    match kind {
        Kind::Number => "numbers".to_owned(),
        Kind::Text => "text".to_owned(),
        Kind::Time => "timestamps".to_owned(),
        Kind::Other(other) => other.clone(),
    }
}

/// Values a step apart: the series with its gaps filled.
#[derive(Debug)]
pub(super) struct Regular {
    pub(super) values: Vec<f64>,
    pub(super) last: i64,
    pub(super) step: i64,
}

/// Refuses two values of one moment, unequal steps, and gaps of more than `fill` steps; shorter ones are filled on a
/// straight line.
pub(super) fn regular(keyed: &Keyed, clock: Clock, fill: usize) -> Result<Regular, LearnError> {
    let seen: Vec<(i64, f64)> = keyed.at.iter().copied().zip(keyed.values.iter().copied()).collect();
    let refused = |what: String, hint: &'static str| rows_wrong(format!("series {}: {what}", keyed.key), hint);
    if let Some(pair) = seen.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(refused(
            format!("two values at {}", clock.shown(pair[0].0)),
            "bring them together first: `select key, time, avg(value) … group by key, time`",
        ));
    }
    let step = seen.windows(2).map(|pair| pair[1].0 - pair[0].0).min().unwrap_or(1);
    let known: Vec<(i64, f64)> = seen.into_iter().filter(|(_, value)| value.is_finite()).collect();
    let Some(&(last, _)) = known.last() else {
        return Err(refused("no value at all".to_owned(), "leave the series out"));
    };
    let mut values: Vec<f64> = Vec::with_capacity(known.len());
    let mut before: Option<(i64, f64)> = None;
    for (at, value) in known {
        if let Some((from, start)) = before {
            let distance = at - from;
            if distance % step != 0 {
                let (after, at, least) = (clock.distance(distance), clock.shown(at), clock.distance(step));
                return Err(refused(
                    format!("{at} is {after} after the value before it, and the least distance is {least}"),
                    "bring the series to equal steps first: `date_bin(interval '1 hour', time)` and `group by`",
                ));
            }
            let missing = (distance / step - 1) as usize;
            if missing > fill {
                let steps = if missing == 1 { "step" } else { "steps" };
                return Err(refused(
                    format!("{missing} {steps} without a value after {}", clock.shown(from)),
                    "`--fill-gaps N` fills gaps of up to N steps on a straight line",
                ));
            }
            values.extend((1..=missing).map(|i| start + (value - start) * i as f64 / (missing + 1) as f64));
        }
        values.push(value);
        before = Some((at, value));
    }
    Ok(Regular { values, last, step })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keyed(at: &[i64]) -> Keyed {
        Keyed { key: "a".into(), at: at.to_vec(), values: at.iter().map(|at| *at as f64).collect() }
    }

    #[test]
    fn short_gaps_are_filled_when_asked_for() {
        let with_gap = keyed(&[10, 20, 50, 60]);
        let found = regular(&with_gap, Clock::Steps, 2).unwrap();
        assert_eq!(found.values, [10.0, 20.0, 30.0, 40.0, 50.0, 60.0]);
        assert_eq!((found.last, found.step), (60, 10));
        let refused = regular(&with_gap, Clock::Steps, 1).unwrap_err().to_string();
        assert_eq!(refused, "series a: 2 steps without a value after 20");
    }

    #[test]
    fn what_is_no_regular_series_is_refused() {
        let why = |at: &[i64]| regular(&keyed(at), Clock::Steps, 9).unwrap_err().to_string();
        assert!(why(&[1, 2, 2, 3]).contains("two values at 2"));
        assert!(why(&[10, 20, 35]).contains("35 is 15 after the value before it, and the least distance is 10"));
        let empty = Keyed { key: "a".into(), at: vec![1], values: vec![f64::NAN] };
        assert!(regular(&empty, Clock::Steps, 0).unwrap_err().to_string().contains("no value at all"));
    }

    #[test]
    fn a_missing_value_is_a_gap() {
        let mut one = keyed(&[1, 2, 3]);
        one.values[1] = f64::NAN;
        assert!(regular(&one, Clock::Steps, 0).is_err());
        assert_eq!(regular(&one, Clock::Steps, 1).unwrap().values, [1.0, 2.0, 3.0]);
    }
}
