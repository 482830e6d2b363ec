//! Numbers without pattern from a seed: splitmix64 (Steele, Lea & Flood, OOPSLA 2014).

/// A stream of numbers; the same seed gives the same stream.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// One of many streams of one seed.
    pub(crate) fn stream(seed: u64, stream: u64) -> Self {
        let mut first = Self(seed ^ stream.wrapping_mul(0xd134_2543_de82_ef95));
        Self(first.next())
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A whole number below `limit`, which is not 0.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    /// From 0 up to 1.
    pub(crate) fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// True with this probability.
    pub(crate) fn chance(&mut self, share: f64) -> bool {
        self.share() < share
    }

    /// The first `take` places are a draw without replacement.
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T], take: usize) {
        for at in 0..take.min(items.len()) {
            let other = at + self.below(items.len() - at);
            items.swap(at, other);
        }
    }
}
