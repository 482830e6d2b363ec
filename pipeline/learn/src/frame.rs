//! A feature file in memory, column by column. Owns the reading of Parquet; refuses to know what a column means.

use crate::LearnError;
use domain::Timestamp;
use polars::prelude::{Column, DataFrame, DataType, NamedFrom, ParquetReader, SerReader, Series, TimeUnit};
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// The rows of one Parquet file, in file order.
pub(crate) struct Frame {
    data: DataFrame,
    path: PathBuf,
}

/// Texts, and the rows one after the other that have them.
pub(crate) type Same = (Vec<String>, Range<usize>);

/// What a column holds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    Number,
    Text,
    Time,
    /// Something else, in words.
    Other(String),
}

/// Rows read at a time: what Parquet writers put into a row group.
const PART: usize = 1 << 20;
/// Larger amounts are none that anything uses, and the middle of two of them must still be a number.
const LARGEST: f64 = 1e30;

/// A value as a feature: one that cannot be an amount of anything is missing.
pub(crate) fn finite_or_missing(value: f64) -> f32 {
    if value.abs() <= LARGEST { value as f32 } else { f32::NAN }
}

impl Frame {
    /// Reads every column of the file.
    pub(crate) fn read(path: &Path) -> Result<Self, LearnError> {
        let file = File::open(path).map_err(|e| LearnError::read(path, e))?;
        let data = ParquetReader::new(file).finish().map_err(|e| LearnError::read(path, e))?;
        Ok(Self { data, path: path.to_owned() })
    }

    /// Reads some columns of a file, a million rows at a time, so that memory does not grow with it.
    pub(crate) fn each_part(
        path: &Path,
        columns: &[&str],
        mut part: impl FnMut(Self) -> Result<(), LearnError>,
    ) -> Result<(), LearnError> {
        let open = || File::open(path).map(ParquetReader::new).map_err(|e| LearnError::read(path, e));
        let rows = open()?.get_metadata().map_err(|e| LearnError::read(path, e))?.num_rows;
        for from in (0..rows).step_by(PART) {
            let names = columns.iter().map(|name| (*name).to_owned()).collect();
            let reader = open()?.with_columns(Some(names)).with_slice(Some((from, PART.min(rows - from))));
            let data = reader.finish().map_err(|e| LearnError::read(path, e))?;
            part(Self { data, path: path.to_owned() })?;
        }
        Ok(())
    }

    /// Reads every column of a file that holds at most so many values; a larger one is refused before it is read.
    pub(crate) fn read_up_to(path: &Path, values: usize) -> Result<Self, LearnError> {
        let file = File::open(path).map_err(|e| LearnError::read(path, e))?;
        let mut reader = ParquetReader::new(file);
        let metadata = reader.get_metadata().map_err(|e| LearnError::read(path, e))?;
        let (rows, columns) = (metadata.num_rows, metadata.schema().fields().len());
        if rows.saturating_mul(columns) > values {
            let why =
                format!("{rows} rows of {columns} columns are more than {values} values: write fewer rows or columns");
            return Err(LearnError::read(path, why));
        }
        Self::read(path)
    }

    /// The names of the columns of a file, in order; none where it is no Parquet file.
    pub(crate) fn columns_of(path: &Path) -> Result<Option<Vec<String>>, LearnError> {
        let file = File::open(path).map_err(|e| LearnError::read(path, e))?;
        let mut reader = ParquetReader::new(file);
        let Ok(metadata) = reader.get_metadata() else { return Ok(None) };
        Ok(Some(metadata.schema().fields().iter().map(|field| field.name().to_owned()).collect()))
    }

    /// Puts the rows of another file below, of its columns those that this one has. Moments are then without a zone, in UTC.
    pub(crate) fn and(self, below: Option<&Path>) -> Result<Self, LearnError> {
        let Some(below) = below else { return Ok(self) };
        let below = Self::read(below)?;
        let of = |frame: &Self| -> Result<DataFrame, LearnError> {
            let one = |column: &Column| match column.dtype() {
                DataType::Datetime(..) => frame.without_zone(column.name()),
                kind => frame.cast(column.name(), kind),
            };
            let columns = self.data.columns().iter().map(one).collect::<Result<Vec<_>, _>>()?;
            DataFrame::new_infer_height(columns).map_err(|e| LearnError::read(&frame.path, e))
        };
        let mut data = of(&self)?;
        data.vstack_mut(&of(&below)?).map_err(|e| LearnError::read(&below.path, e))?;
        Ok(Self { data, path: self.path })
    }

    fn without_zone(&self, column: &str) -> Result<Column, LearnError> {
        let micros: Vec<Option<i64>> = self.times(column)?.into_iter().map(|at| at.map(|at| at.0)).collect();
        let moments = Series::new(column.into(), micros).cast(&DataType::Datetime(TimeUnit::Microseconds, None));
        Ok(moments.map_err(|_| self.fault(column))?.into())
    }

    /// Every column and what it holds, in file order.
    pub(crate) fn kinds(&self) -> Vec<(String, Kind)> {
        let kind = |dtype: &DataType| match dtype {
            _ if dtype.is_primitive_numeric() || dtype.is_bool() => Kind::Number,
            DataType::String => Kind::Text,
            DataType::Datetime(..) => Kind::Time,
            other => Kind::Other(other.to_string()),
        };
        self.data.columns().iter().map(|c| (c.name().to_string(), kind(c.dtype()))).collect()
    }

    /// Whether a column holds whole numbers.
    pub(crate) fn is_whole(&self, column: &str) -> bool {
        self.data.column(column).is_ok_and(|c| c.dtype().is_integer())
    }

    /// Whether a column holds timestamps that name their zone.
    pub(crate) fn is_zoned(&self, column: &str) -> bool {
        self.data.column(column).is_ok_and(|c| matches!(c.dtype(), DataType::Datetime(_, Some(_))))
    }

    /// A column of whole numbers.
    pub(crate) fn integers(&self, column: &str) -> Result<Vec<Option<i64>>, LearnError> {
        let cast = self.cast(column, &DataType::Int64)?;
        Ok(cast.i64().map_err(|_| self.fault(column))?.iter().collect())
    }

    /// Number of rows.
    pub(crate) fn rows(&self) -> usize {
        self.data.height()
    }

    /// The columns that hold numbers or booleans, in file order.
    pub(crate) fn numeric_columns(&self) -> Vec<String> {
        let numeric = self.data.columns().iter().filter(|c| c.dtype().is_primitive_numeric() || c.dtype().is_bool());
        numeric.map(|c| c.name().to_string()).collect()
    }

    fn fault(&self, column: &str) -> LearnError {
        LearnError::Column { column: column.to_owned(), path: self.path.clone() }
    }

    fn cast(&self, column: &str, to: &DataType) -> Result<Column, LearnError> {
        let fault = |_| self.fault(column);
        self.data.column(column).map_err(fault)?.cast(to).map_err(fault)
    }

    /// A column as numbers: null and what is not finite is NaN, true is 1.
    pub(crate) fn numbers(&self, column: &str) -> Result<Vec<f64>, LearnError> {
        let cast = self.cast(column, &DataType::Float64)?;
        let values = cast.f64().map_err(|_| self.fault(column))?;
        Ok(values.iter().map(|v| v.filter(|v| v.is_finite()).unwrap_or(f64::NAN)).collect())
    }

    /// A column of moments, of any resolution and zone.
    pub(crate) fn times(&self, column: &str) -> Result<Vec<Option<Timestamp>>, LearnError> {
        let fault = |_| self.fault(column);
        let zone = match self.data.column(column).map_err(fault)?.dtype() {
            DataType::Datetime(_, zone) => zone.clone(),
            _ => return Err(self.fault(column)),
        };
        let micros = self.cast(column, &DataType::Datetime(TimeUnit::Microseconds, zone))?;
        let micros = micros.cast(&DataType::Int64).map_err(fault)?;
        Ok(micros.i64().map_err(fault)?.iter().map(|v| v.map(Timestamp)).collect())
    }

    /// A column of text.
    pub(crate) fn texts(&self, column: &str) -> Result<Vec<Option<String>>, LearnError> {
        let cast = self.cast(column, &DataType::String)?;
        let values = cast.str().map_err(|_| self.fault(column))?;
        Ok(values.iter().map(|v| v.map(str::to_owned)).collect())
    }

    /// Rows one after the other whose texts are equal in all these columns: the texts, and which rows. Null is empty.
    pub(crate) fn runs_of(&self, columns: &[&str]) -> Result<Vec<Same>, LearnError> {
        let text = |name: &&str| -> Result<Column, LearnError> { self.cast(name, &DataType::String) };
        let casts = columns.iter().map(text).collect::<Result<Vec<_>, _>>()?;
        let of = |(cast, name): (&Column, &&str)| -> Result<_, LearnError> {
            Ok(cast.str().map_err(|_| self.fault(name))?.rechunk().into_owned())
        };
        let texts = casts.iter().zip(columns).map(of).collect::<Result<Vec<_>, _>>()?;
        let mut runs: Vec<Same> = Vec::new();
        for row in 0..self.rows() {
            let here = || texts.iter().map(|text| text.get(row).unwrap_or_default());
            match runs.last_mut().filter(|(names, _)| names.iter().map(String::as_str).eq(here())) {
                Some((_, rows)) => rows.end = row + 1,
                None => runs.push((here().map(str::to_owned).collect(), row..row + 1)),
            }
        }
        Ok(runs)
    }

    /// A column of lists of text; null is the empty list.
    pub(crate) fn lists(&self, column: &str) -> Result<Vec<Vec<String>>, LearnError> {
        let fault = |_| self.fault(column);
        let lists = self.data.column(column).map_err(fault)?.list().map_err(fault)?;
        let one = |list: Option<Series>| -> Result<Vec<String>, LearnError> {
            let Some(list) = list else { return Ok(Vec::new()) };
            let texts = list.str().map_err(|_| self.fault(column))?;
            Ok(texts.iter().flatten().map(str::to_owned).collect())
        };
        (0..self.rows()).map(|row| one(lists.get_as_series(row))).collect()
    }
}
