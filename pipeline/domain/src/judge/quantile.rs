//! A quantile of all values so far, in logarithmic time for each.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

/// A number in a heap.
#[derive(Clone, Copy, Debug)]
struct Ordered(f64);

impl PartialEq for Ordered {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}
impl Eq for Ordered {}
impl PartialOrd for Ordered {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Ordered {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

/// The values below the quantile and those above, each with the one at the border on top.
#[derive(Clone, Debug)]
pub struct RunningQuantile {
    share: f64,
    below: BinaryHeap<Ordered>,
    above: BinaryHeap<Reverse<Ordered>>,
}

impl RunningQuantile {
    pub fn new(share: f64) -> Self {
        Self { share, below: BinaryHeap::new(), above: BinaryHeap::new() }
    }

    pub fn add(&mut self, value: f64) {
        match self.below.peek() {
            Some(border) if value > border.0 => self.above.push(Reverse(Ordered(value))),
            _ => self.below.push(Ordered(value)),
        }
        let values = self.below.len() + self.above.len();
        let wanted = ((self.share * (values - 1) as f64).floor() as usize) + 1;
        while self.below.len() < wanted {
            let Some(Reverse(value)) = self.above.pop() else { break };
            self.below.push(value);
        }
        while self.below.len() > wanted {
            let Some(value) = self.below.pop() else { break };
            self.above.push(Reverse(value));
        }
    }

    /// Linear between the two values at the border; none: there is no value.
    pub fn value(&self) -> Option<f64> {
        let low = self.below.peek()?.0;
        let place = self.share * (self.below.len() + self.above.len() - 1) as f64;
        let high = self.above.peek().map_or(low, |Reverse(value)| value.0);
        Some(low + (high - low) * place.fract())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_quantile_of_the_sorted_values() {
        let mut values = Vec::new();
        let mut quantiles = [0.5, 0.95].map(RunningQuantile::new);
        assert_eq!(quantiles[0].value(), None);
        for i in 0..300u32 {
            let value = f64::from(i * 7919 % 101);
            values.push(value);
            let mut sorted = values.clone();
            sorted.sort_unstable_by(f64::total_cmp);
            for quantile in &mut quantiles {
                quantile.add(value);
                let place = quantile.share * (sorted.len() - 1) as f64;
                let (low, high) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
                let expected = low + (high - low) * place.fract();
                assert!((quantile.value().unwrap() - expected).abs() < 1e-9);
            }
        }
    }
}
