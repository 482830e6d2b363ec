//! The way out: columns into one Parquet file.

use crate::LearnError;
use polars::prelude::*;
use std::fs::File;
use std::path::Path;

/// A column of times as every engine reads it: microseconds, UTC.
pub(crate) fn time_column(name: &str, values: Vec<i64>) -> Column {
    optional_time_column(name, values.into_iter().map(Some).collect())
}

/// The same where some are not known.
pub(crate) fn optional_time_column(name: &str, values: Vec<Option<i64>>) -> Column {
    Series::new(name.into(), values).into_datetime(TimeUnit::Microseconds, Some(TimeZone::UTC)).into()
}

/// Writes the columns, whole or not at all: a reader never meets half a file.
pub(crate) fn write(path: &Path, columns: Vec<Column>) -> Result<(), LearnError> {
    let mut frame = DataFrame::new_infer_height(columns).map_err(|e| LearnError::write(path, e))?;
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let part = Path::new(&part);
    let file = File::create(part).map_err(|e| LearnError::write(path, e))?;
    ParquetWriter::new(file).finish(&mut frame).map_err(|e| LearnError::write(path, e))?;
    std::fs::rename(part, path).map_err(|e| LearnError::write(path, e))
}
