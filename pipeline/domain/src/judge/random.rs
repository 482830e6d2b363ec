//! Numbers without pattern from a seed: SplitMix64 (Steele, Lea & Flood 2014, OOPSLA).

use super::flips::mix;

/// A seeded source of randomness.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// A seed, and every other, begins a sequence of its own.
    pub fn new(seed: u64) -> Self {
        Self(mix(seed))
    }

    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// In [0, 1).
    pub fn uniform(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Below a bound above 0.
    pub fn below(&mut self, bound: usize) -> usize {
        ((self.uniform() * bound as f64) as usize).min(bound.saturating_sub(1))
    }

    /// Box & Muller 1958.
    pub fn normal(&mut self) -> f64 {
        let (radius, angle) = ((1.0 - self.uniform()).ln(), self.uniform() * std::f64::consts::TAU);
        (-2.0 * radius).sqrt() * angle.cos()
    }
}
