//! A feature column as one byte a value: which of at most 255 bins it falls in.

/// Features column by column, all equally long; NaN is missing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    pub(crate) columns: Vec<Vec<f32>>,
}

/// The code of a value that is missing.
pub(crate) const MISSING: u8 = 0;
/// Codes of a column: missing, and 255 bins.
pub(crate) const CODES: usize = 256;
/// Values looked at to place the borders of a column.
const SAMPLE: usize = 50_000;

/// One column in bins.
pub(crate) struct Bins {
    /// Borders between the bins, ascending: code k (from 1) holds what is above border k - 2 and at most border k - 1.
    pub(crate) borders: Vec<f32>,
    /// Per row.
    pub(crate) codes: Vec<u8>,
}

impl Bins {
    /// Borders are placed by the values of `rows` alone; every value gets a code.
    pub(crate) fn of(column: &[f32], rows: &[u32]) -> Self {
        Self::with_borders(borders(rows.iter().map(|&row| column[row as usize])), column)
    }

    /// A column all of whose values place the borders.
    pub(crate) fn of_all(column: &[f32]) -> Self {
        Self::with_borders(borders(column.iter().copied()), column)
    }

    fn with_borders(borders: Vec<f32>, column: &[f32]) -> Self {
        let code = |v: &f32| if v.is_nan() { MISSING } else { 1 + borders.partition_point(|b| b < v) as u8 };
        let codes = column.iter().map(code).collect();
        Self { borders, codes }
    }

    /// The greatest value of a bin; the last bin has no bound.
    pub(crate) fn border(&self, code: u8) -> f32 {
        // Finite, because JSON knows no infinity.
        self.borders.get(usize::from(code) - 1).copied().unwrap_or(f32::MAX)
    }
}

/// At most 254 borders: between any two values where they are few, else so that bins hold about equally many.
fn borders(values: impl ExactSizeIterator<Item = f32>) -> Vec<f32> {
    let step = values.len().div_ceil(SAMPLE).max(1);
    let mut sorted: Vec<f32> = values.step_by(step).filter(|v| !v.is_nan()).collect();
    sorted.sort_unstable_by(f32::total_cmp);
    let mut borders = sorted.clone();
    borders.dedup();
    if borders.len() < CODES {
        borders = borders.windows(2).map(|pair| pair[0] + (pair[1] - pair[0]) / 2.0).collect();
    } else {
        borders = (1..CODES - 1).map(|k| sorted[k * sorted.len() / (CODES - 1)]).collect();
    }
    borders.dedup();
    borders
}
