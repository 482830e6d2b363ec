//! Series of one's own: a Parquet file with a key, a time and a value, and what [`crate::forecast`] and [`crate::anomaly`] say
//! of them. Needs no lake.
//!
//! Owns the way from rows to series and back, and what is refused: columns that are not there or of the wrong type, two
//! values of one moment, steps that are not equal. What is refused is told with the key and the place.

mod anomalies;
mod forecasts;
mod rows;

pub use anomalies::{AnomalySummary, anomalies};
pub use forecasts::{ForecastSpec, ForecastSummary, forecast};

use crate::LearnError;
use crate::frame::Frame;
use std::path::{Path, PathBuf};

/// Which columns of which file.
#[derive(Clone, Debug)]
pub struct SeriesSpec {
    /// The Parquet file.
    pub path: PathBuf,
    /// Says which series a row belongs to: text or integers.
    pub key: String,
    /// When: an integer step, or a timestamp.
    pub time: String,
    /// What: numbers.
    pub value: String,
}

/// The columns of a forecast, in order; [quantiles](quantile_column) that were asked for come after them.
pub const FORECAST_COLUMNS: [&str; 6] = ["key", "at", "value", "lower", "upper", "model"];
/// The columns of scored rows, in order.
pub const ANOMALY_COLUMNS: [&str; 4] = ["key", "at", "value", "score"];

/// The column of a quantile: `q0.99`.
pub fn quantile_column(level: f64) -> String {
    format!("q{level}")
}

fn is_quantile_column(name: &str) -> bool {
    name.strip_prefix('q').and_then(|level| level.parse::<f64>().ok()).is_some_and(|level| level > 0.0 && level < 1.0)
}

/// Whether a file is Parquet with these columns and no others but quantiles: one that was written here before.
///
/// # Errors
/// The file cannot be read.
pub fn has_columns(path: &Path, columns: &[&str]) -> Result<bool, LearnError> {
    let Some(found) = Frame::columns_of(path)? else { return Ok(false) };
    let Some((first, rest)) = found.split_at_checked(columns.len()) else { return Ok(false) };
    Ok(first == columns && rest.iter().all(|name| is_quantile_column(name)))
}
