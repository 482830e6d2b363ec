//! Samples whose truth is known.

use super::Observation;
pub use super::random::Random;

impl Random {
    /// By inversion: for small rates.
    pub fn poisson(&mut self, rate: f64) -> f64 {
        let (mut left, mut count) = (self.uniform() - (-rate).exp(), 0.0);
        let mut term = (-rate).exp();
        while left >= 0.0 && count < 1000.0 {
            count += 1.0;
            term *= rate / count;
            left -= term;
        }
        count
    }
}

/// Both arms of a comparison.
pub type Arms = [Vec<Observation>; 2];

/// `count` observations of each arm, one at a time; `draw` is told whether it is the candidate's.
pub fn arms(count: usize, mut draw: impl FnMut(bool) -> f64) -> Arms {
    let mut arms: Arms = [Vec::new(), Vec::new()];
    for at in 0..count as i64 {
        for (n, arm) in arms.iter_mut().enumerate() {
            arm.push(Observation { at: Some(at), ..Observation::new(draw(n == 1)) });
        }
    }
    arms
}

/// What lies beyond a limit is cut to it, and marked.
pub fn limited(mut arms: Arms, limit: f64) -> Arms {
    for row in arms.iter_mut().flatten() {
        row.censored = row.value >= limit;
        row.value = row.value.min(limit);
    }
    arms
}

/// Whole numbers from 1 on, as of milliseconds.
pub fn whole(value: f64) -> f64 {
    value.round().max(1.0)
}

/// Durations around `base`, the candidate's `ratio` times as long.
pub fn lognormal(random: &mut Random, count: usize, base: f64, sd: f64, ratio: f64) -> Arms {
    arms(count, |is_candidate| base * if is_candidate { ratio } else { 1.0 } * (sd * random.normal()).exp())
}
