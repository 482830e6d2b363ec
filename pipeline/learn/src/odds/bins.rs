//! Feature columns as one byte a value: which of at most 255 ranges it falls in.

/// The code of a value that is missing.
pub(crate) const MISSING: u8 = 0;
/// Codes of a column: missing, and 255 ranges.
pub(crate) const CODES: usize = 256;

/// One column: code k (from 1) holds what is above border k - 2 and at most border k - 1.
pub(crate) struct Bins {
    pub(crate) borders: Vec<f32>,
    pub(crate) codes: Vec<u8>,
}

impl Bins {
    /// Borders are placed by the values of `rows` alone; every value gets a code.
    pub(crate) fn of(column: &[f32], rows: &[u32]) -> Self {
        let mut sorted: Vec<f32> = rows.iter().map(|&row| column[row as usize]).filter(|v| !v.is_nan()).collect();
        sorted.sort_unstable_by(f32::total_cmp);
        let mut borders = sorted.clone();
        borders.dedup();
        if borders.len() < CODES {
            borders = borders.windows(2).map(|pair| pair[0] + (pair[1] - pair[0]) / 2.0).collect();
        } else {
            borders = (1..CODES - 1).map(|k| sorted[k * sorted.len() / (CODES - 1)]).collect();
        }
        borders.dedup();
        let code = |v: &f32| if v.is_nan() { MISSING } else { 1 + borders.partition_point(|b| b < v) as u8 };
        let codes = column.iter().map(code).collect();
        Self { borders, codes }
    }
}
