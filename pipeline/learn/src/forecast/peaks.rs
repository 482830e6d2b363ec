//! The largest value of each day, or of any other block of steps: what a limit must hold.
//!
//! The largest of the expected values is too low, as the largest of what comes has chance on its side. So the peaks of the
//! origins are compared with those of their forecasts: the median difference is added. What they stay below is a calibrated
//! quantile of [`super::quantiles`], on peaks instead of values: by the errors, and by the peaks that the series has had.

use super::intervals::{Calibration, Miss, Misses};
use super::median;
use super::quantiles::{Quantiles, Tried};
use serde::{Deserialize, Serialize};

/// The shift of a series is drawn to none as if so many origins had shown none.
const PRIOR_ORIGINS: f64 = 2.0;

/// The largest value of a block of steps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Peak {
    /// Expected, in the unit of the series.
    pub value: f64,
    /// The upper end of an interval with the stated coverage.
    pub upper: f64,
}

/// What rolling origins say of peaks.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct MeasuredPeaks {
    /// Mean absolute error ÷ the unit of MASE.
    pub mase: f64,
    /// The same of the peak of the last block again.
    pub mase_naive: f64,
    /// Share of blocks whose peak stayed below its upper bound.
    pub held: f64,
}

/// The peaks of all series of a group.
pub(super) struct Peaks {
    block: usize,
    coverage: f64,
    all: Vec<Misses>,
    /// Of all whole blocks of each series, oldest first.
    seen: Vec<Vec<f64>>,
    calibration: Calibration,
}

/// The largest value of each whole block; of all where they are fewer than a block.
fn largest(values: &[f64], block: usize) -> Vec<f64> {
    let block = block.min(values.len()).max(1);
    values.chunks_exact(block).map(|part| part.iter().copied().fold(f64::NEG_INFINITY, f64::max)).collect()
}

/// The same misses of peaks instead of values.
fn of_blocks(misses: &Misses, block: usize) -> Misses {
    let origin = |miss: &Miss| {
        let came: Vec<f64> = miss.said.iter().zip(&miss.error).map(|(said, error)| said + error).collect();
        let said = largest(&miss.said, block);
        let error = largest(&came, block).iter().zip(&said).map(|(came, said)| came - said).collect();
        Miss { said, error }
    };
    Misses { origins: misses.origins.iter().map(origin).collect(), scale: misses.scale }
}

/// The peaks of a series up to its end, of which the origins have the last: blocks count back from the first of these.
fn seen(values: &[f64], misses: &Misses, of_blocks: &Misses, block: usize) -> Vec<f64> {
    let tried: usize = misses.origins.iter().map(|origin| origin.error.len()).sum();
    let stretch = misses.origins.first().map_or(block, |origin| origin.error.len());
    let block = block.min(stretch).max(1);
    let older = &values[..values.len().saturating_sub(tried)];
    let mut seen = largest(&older[older.len() % block..], block);
    for origin in of_blocks.origins.iter().rev() {
        seen.extend(origin.said.iter().zip(&origin.error).map(|(said, error)| said + error));
    }
    seen
}

impl Peaks {
    /// From the values of all series and what the combinations missed. `coverage` is two-sided, as everywhere.
    pub(super) fn fit(values: &[Vec<f64>], misses: &[Misses], block: usize, coverage: f64) -> Self {
        let one = |(values, misses): (&Vec<f64>, &Misses)| {
            let mut peaks = of_blocks(misses, block);
            let seen = seen(values, misses, &peaks, block);
            let shifts: Vec<f64> = (0..peaks.origins.len()).map(|i| shift(&peaks, Some(i))).collect();
            for (origin, shift) in peaks.origins.iter_mut().zip(shifts) {
                origin.said.iter_mut().for_each(|said| *said += shift);
                origin.error.iter_mut().for_each(|error| *error -= shift);
            }
            (peaks, seen)
        };
        let (all, seen): (Vec<Misses>, Vec<Vec<f64>>) = values.iter().zip(misses).map(one).unzip();
        Self { block, coverage, calibration: Calibration::fit(&all, coverage), all, seen }
    }

    /// What they stay below.
    pub(super) fn bounds(&self) -> Quantiles<'_> {
        let tried = self.seen.iter().zip(&self.all).map(|(values, misses)| Tried { values, misses }).collect();
        Quantiles::fit(&[(1.0 + self.coverage) / 2.0], &self.calibration, tried)
    }

    /// The peaks of series number `at`, whose values are expected to be these. The last block may be short.
    pub(super) fn next(&self, bounds: &Quantiles, at: usize, misses: &Misses, centre: &[f64]) -> Vec<Peak> {
        let shift = self.shift(misses);
        let said: Vec<f64> = centre
            .chunks(self.block.max(1))
            .map(|part| part.iter().copied().fold(f64::NEG_INFINITY, f64::max) + shift)
            .collect();
        let upper = bounds.next(at, &said).concat();
        said.into_iter().zip(upper).map(|(value, upper)| Peak { value, upper: upper.max(value) }).collect()
    }

    /// What is added to the largest expected value.
    pub(super) fn shift(&self, misses: &Misses) -> f64 {
        shift(&of_blocks(misses, self.block), None)
    }

    /// None with one origin only. `naive` is the error of the peak of the last block again, in the unit of MASE.
    pub(super) fn measured(&self, bounds: &Quantiles, at: usize, naive: Option<f64>) -> Option<MeasuredPeaks> {
        let peaks = &self.all[at];
        if peaks.origins.len() < 2 {
            return None;
        }
        let (mut held, mut errors, mut blocks) = (0.0, 0.0, 0.0);
        for (origin, upper) in peaks.origins.iter().zip(bounds.at_origins(at)) {
            for ((said, error), upper) in origin.said.iter().zip(&origin.error).zip(upper.concat()) {
                held += f64::from(said + error <= upper.max(*said) + 1e-9);
                errors += error.abs() / peaks.scale;
                blocks += 1.0;
            }
        }
        Some(MeasuredPeaks { mase: errors / blocks, mase_naive: naive?, held: held / blocks })
    }

    /// The error of a forecast's peaks at one origin.
    pub(super) fn error(&self, said: &[f64], came: &[f64]) -> f64 {
        let (said, came) = (largest(said, self.block), largest(came, self.block));
        super::trials::absolute(&said, &came)
    }
}

/// The median difference at all origins but one, drawn to none.
fn shift(peaks: &Misses, without: Option<usize>) -> f64 {
    let others = peaks.origins.iter().enumerate().filter(|(i, _)| Some(*i) != without);
    let origins = others.clone().count() as f64;
    let mut errors: Vec<f64> = others.flat_map(|(_, origin)| origin.error.iter().copied()).collect();
    if errors.is_empty() { 0.0 } else { median(&mut errors) * origins / (origins + PRIOR_ORIGINS) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forecast::tests::noise;

    fn misses() -> Vec<Misses> {
        let mut seed = 17;
        let mut origin = || {
            let said: Vec<f64> = (0..24).map(|h| 10.0 + (h % 12) as f64).collect();
            let error = (0..24).map(|_| 3.0 * noise(&mut seed)).collect();
            Miss { said, error }
        };
        (0..20).map(|_| Misses { origins: (0..5).map(|_| origin()).collect(), scale: 1.0 }).collect()
    }

    #[test]
    fn the_largest_of_a_day_is_above_the_largest_that_is_expected() {
        let misses = misses();
        let came = |miss: &Miss| miss.said.iter().zip(&miss.error).map(|(s, e)| s + e).collect::<Vec<f64>>();
        let values = |misses: &Misses| misses.origins.iter().rev().flat_map(came).collect();
        let values: Vec<Vec<f64>> = misses.iter().map(values).collect();
        let peaks = Peaks::fit(&values, &misses, 24, 0.9);
        assert_eq!(peaks.seen[3], largest(&values[3], 24));
        let bounds = peaks.bounds();
        let next = peaks.next(&bounds, 0, &misses[0], &misses[0].origins[0].said);
        assert_eq!(next.len(), 1);
        assert!(next[0].value > 21.3 && next[0].value < 24.0, "{next:?}");
        assert!(next[0].upper > next[0].value && next[0].upper < 26.5, "{next:?}");
        let measured: Vec<MeasuredPeaks> = (0..20).filter_map(|at| peaks.measured(&bounds, at, Some(1.0))).collect();
        let held = measured.iter().map(|m| m.held).sum::<f64>() / 20.0;
        assert!((0.88..=0.99).contains(&held), "{held}");
    }

    #[test]
    fn peaks_that_were_seen_end_with_those_of_the_origins() {
        // Two origins of three values, blocks of two: the last of each three is in no block.
        let values: Vec<f64> = (0..11).map(f64::from).collect();
        let miss = |came: &[f64]| Miss { said: vec![0.0; 3], error: came.to_vec() };
        let misses = Misses { origins: vec![miss(&values[8..]), miss(&values[5..8])], scale: 1.0 };
        assert_eq!(seen(&values, &misses, &of_blocks(&misses, 2), 2), [2.0, 4.0, 6.0, 9.0]);
        assert_eq!(seen(&values, &misses, &of_blocks(&misses, 24), 24), [4.0, 7.0, 10.0]);
    }

    #[test]
    fn blocks_are_whole_or_all_there_is() {
        assert_eq!(largest(&[1.0, 5.0, 2.0, 3.0, 9.0], 2), [5.0, 3.0]);
        assert_eq!(largest(&[1.0, 5.0], 24), [5.0]);
    }
}
