//! Splits at random: the best of one border drawn for each of some columns (extremely randomised trees; Geurts, Ernst &
//! Wehenkel, Machine Learning 63, 2006).

use super::bins::{Bins, MISSING};
use super::grow::{Found, Measure, Split, Splitter};
use crate::random::Random;

/// Every leaf is split until nothing is gained.
pub(crate) struct RandomSplits<'a, M: Measure> {
    pub(crate) bins: &'a [&'a Bins],
    pub(crate) measure: &'a M,
    /// The share of the columns that are tried at each leaf.
    pub(crate) share: f64,
    pub(crate) random: Random,
}

impl<M: Measure> RandomSplits<'_, M> {
    fn sums(&self, rows: impl Iterator<Item = u32>) -> M::Sums {
        let mut sums = M::Sums::default();
        rows.for_each(|row| sums += self.measure.row(row));
        sums
    }

    fn leaf(&mut self, rows: &[u32]) -> Found<()> {
        let all = self.sums(rows.iter().copied());
        let best = if self.measure.can_be_split(all) { self.split(rows, all) } else { None };
        Found { state: (), value: self.measure.value(all), best }
    }

    fn split(&mut self, rows: &[u32], all: M::Sums) -> Option<Split> {
        let mut columns: Vec<usize> = (0..self.bins.len()).collect();
        let wanted = (columns.len() as f64 * self.share).ceil() as usize;
        let whole = self.measure.score(all);
        let (mut best, mut tried): (Option<Split>, usize) = (None, 0);
        for at in 0..columns.len() {
            let other = at + self.random.below(columns.len() - at);
            columns.swap(at, other);
            let column = columns[at];
            let Some(split) = self.draw(rows, column) else { continue };
            let codes = &self.bins[column].codes;
            let left = self.sums(rows.iter().copied().filter(|row| split.goes_left(codes[*row as usize])));
            let mut right = all;
            right -= left;
            tried += 1;
            if self.measure.is_enough(left) && self.measure.is_enough(right) {
                let gain = self.measure.score_sides(left, all) - whole;
                if gain > best.map_or(M::LEAST_GAIN, |best| best.gain) {
                    best = Some(Split { gain, ..split });
                }
            }
            if tried == wanted {
                break;
            }
        }
        best
    }

    /// A border between the values of some rows; none where they are all alike.
    fn draw(&mut self, rows: &[u32], column: usize) -> Option<Split> {
        let Bins { borders, codes } = self.bins[column];
        let (mut low, mut high, mut missing) = (u8::MAX, 0, false);
        for &row in rows {
            match codes[row as usize] {
                MISSING => missing = true,
                code => (low, high) = (low.min(code), high.max(code)),
            }
        }
        if low < high {
            // Uniform between the values, not the ranks: rare far values get their own side sooner.
            let (from, to) = (borders[usize::from(low) - 1], borders[usize::from(high) - 2]);
            let drawn = from + (to - from) * self.random.share() as f32;
            let code = (borders.partition_point(|b| *b <= drawn) as u8).clamp(low, high - 1);
            return Some(Split { gain: 0.0, column, code, missing_left: self.random.next() & 1 == 0 });
        }
        (missing && high > 0).then_some(Split { gain: 0.0, column, code: high, missing_left: false })
    }
}

impl<M: Measure> Splitter for RandomSplits<'_, M> {
    type State = ();

    fn root(&mut self, rows: &[u32]) -> Found<()> {
        self.leaf(rows)
    }

    fn children(&mut self, _: (), rows: [&[u32]; 2]) -> [Found<()>; 2] {
        rows.map(|rows| self.leaf(rows))
    }

    fn pick(&self, gains: impl ExactSizeIterator<Item = f64>) -> Option<usize> {
        gains.len().checked_sub(1)
    }
}
