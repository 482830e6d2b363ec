//! Feature columns, and the same columns as one byte a value: which of at most 255 bins it falls in.

use rayon::prelude::*;

/// Features column by column, all equally long; NaN is missing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    pub(crate) columns: Vec<Vec<f32>>,
}

/// A value that is missing.
pub(crate) const MISSING: u8 = 0;
/// Bins of a column: missing, and 255 of values.
pub(crate) const BINS: usize = 256;
/// Values looked at to place the borders of a column.
const SAMPLE: usize = 50_000;

/// One column in bins.
pub(crate) struct Column {
    /// Its place in the table.
    pub(crate) feature: usize,
    /// Borders between the bins, ascending: bin k (from 1) holds what is above border k - 2 and at most border k - 1.
    pub(crate) borders: Vec<f32>,
    /// Per row.
    pub(crate) codes: Vec<u8>,
}

/// Some rows of a table in bins; columns in which they do not differ are left out.
pub(crate) struct Bins {
    pub(crate) columns: Vec<Column>,
    pub(crate) rows: usize,
}

impl Bins {
    /// Borders are placed by the rows given and no others.
    pub(crate) fn of(table: &Table, rows: &[u32]) -> Self {
        let one = |(feature, column): (usize, &Vec<f32>)| {
            let values: Vec<f32> = rows.iter().map(|&row| column[row as usize]).collect();
            let borders = borders(&values);
            let code = |v: &f32| if v.is_nan() { MISSING } else { 1 + borders.partition_point(|b| b < v) as u8 };
            let codes: Vec<u8> = values.iter().map(code).collect();
            let differs = codes.iter().any(|code| *code != codes[0]);
            differs.then_some(Column { feature, borders, codes })
        };
        let columns = table.columns.par_iter().enumerate().filter_map(one).collect();
        Self { columns, rows: rows.len() }
    }
}

/// At most 254 borders: between any two values where they are few, else so that bins hold about equally many.
fn borders(column: &[f32]) -> Vec<f32> {
    let step = column.len().div_ceil(SAMPLE).max(1);
    let mut sorted: Vec<f32> = column.iter().copied().step_by(step).filter(|v| !v.is_nan()).collect();
    sorted.sort_unstable_by(f32::total_cmp);
    let mut borders = sorted.clone();
    borders.dedup();
    if borders.len() < BINS {
        return borders.windows(2).map(|pair| pair[0] + (pair[1] - pair[0]) / 2.0).collect();
    }
    borders = (1..BINS - 1).map(|k| sorted[k * sorted.len() / (BINS - 1)]).collect();
    borders.dedup();
    borders
}
