//! What is decided before the data is seen: which way is worse, what a pass must exclude, how much error is allowed, when
//! to look.

use thiserror::Error;

/// Which way of the metric is worse.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// Durations, errors, cost.
    #[default]
    LowerIsBetter,
    /// Throughput, hit rates.
    HigherIsBetter,
}

/// The smallest regression that a pass must exclude.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Margin {
    /// A share of the control: 0.2 is 20 % worse.
    Relative(f64),
    /// In the metric's own unit.
    Absolute(f64),
}

/// What becomes of the slowest observations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TailUse {
    /// They are judged beside the typical value, where there are enough of them.
    #[default]
    Beside,
    /// They are judged alone.
    Alone,
    /// Only the typical value is judged.
    Ignored,
}

/// The rules of a comparison.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    /// Which way is worse.
    pub direction: Direction,
    /// What a pass must exclude.
    pub margin: Margin,
    /// Bound of the probability of a wrong `fail`, and of a wrong `pass`, over all looks together.
    pub alpha: f64,
    /// The same of a wrong `pass` alone, where it is another; none: `alpha`.
    pub safety_alpha: Option<f64>,
    /// What becomes of the tail.
    pub tail: TailUse,
    /// Observations of an arm at which the last look takes place; none: no end is declared, and evidence is a wealth.
    pub horizon: Option<usize>,
    /// Most looks on the way to the horizon.
    pub looks: usize,
    /// Seed of the sign vectors and of the order of what has no time.
    pub seed: u64,
    /// Whether a control from another time is accepted.
    pub accepts_other_time: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            direction: Direction::default(),
            margin: Margin::Relative(0.2),
            alpha: 0.05,
            safety_alpha: None,
            tail: TailUse::default(),
            horizon: None,
            looks: 40,
            seed: 0,
            accepts_other_time: false,
        }
    }
}

/// Rules that cannot be followed.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum RulesError {
    /// The error level.
    #[error("alpha {0} lies outside 0.001 to 0.5")]
    Alpha(f64),
    /// Of a relative margin: nothing, or, when higher is better, all there is.
    #[error("a margin of {0} cannot be excluded")]
    Margin(f64),
    /// No observation, or more than can be kept.
    #[error("a horizon of {0} is no number of observations")]
    Horizon(usize),
    /// No look at all.
    #[error("there must be at least one look")]
    Looks,
}

/// More observations of an arm than this are not judged.
pub const MOST: usize = 10_000_000;

impl Rules {
    /// Refuses rules that cannot be followed.
    pub fn check(&self) -> Result<(), RulesError> {
        for alpha in [self.alpha, self.safety_alpha()] {
            if !(0.001..=0.5).contains(&alpha) {
                return Err(RulesError::Alpha(alpha));
            }
        }
        let is_possible = match (self.margin, self.direction) {
            (Margin::Relative(share), Direction::HigherIsBetter) => share > 0.0 && share < 1.0,
            (Margin::Relative(share), Direction::LowerIsBetter) => share > 0.0 && share <= 1000.0,
            (Margin::Absolute(amount), _) => amount > 0.0 && amount.is_finite(),
        };
        if !is_possible {
            let (Margin::Relative(amount) | Margin::Absolute(amount)) = self.margin;
            return Err(RulesError::Margin(amount));
        }
        if let Some(horizon) = self.horizon.filter(|horizon| !(1..=MOST).contains(horizon)) {
            return Err(RulesError::Horizon(horizon));
        }
        if self.looks == 0 {
            return Err(RulesError::Looks);
        }
        Ok(())
    }

    /// Bound of the probability of a wrong `pass`.
    pub(super) fn safety_alpha(&self) -> f64 {
        self.safety_alpha.unwrap_or(self.alpha)
    }

    /// How far a candidate at the margin is moved, on the scale of [`Scale`](super::scale::Scale): worse is more.
    /// When higher is better, 20 % worse is a ratio of 0.8.
    pub(super) fn shift(&self) -> f64 {
        match (self.margin, self.direction) {
            (Margin::Relative(share), Direction::LowerIsBetter) => share.ln_1p(),
            (Margin::Relative(share), Direction::HigherIsBetter) => -(-share).ln_1p(),
            (Margin::Absolute(amount), _) => amount,
        }
    }

    /// Observations of an arm from one look to the next.
    pub(super) fn step(&self, horizon: usize) -> usize {
        horizon.div_ceil(self.looks.max(1)).max(1)
    }

    /// The sizes at which a comparison with a horizon is looked at, as far as `there` pairs go; the last is the horizon.
    pub(super) fn schedule(&self, horizon: usize, there: usize) -> Vec<usize> {
        let step = self.step(horizon);
        let steps = (1..=horizon.div_ceil(step)).map(|look| (look * step).min(horizon));
        steps.take_while(|size| *size <= there).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_are_evenly_spread_and_end_at_the_horizon() {
        let rules = Rules::default();
        assert_eq!(rules.schedule(20, 20), (1..=20).collect::<Vec<_>>());
        assert_eq!(rules.schedule(400, 35), [10, 20, 30]);
        assert_eq!(rules.schedule(90, 1000).last(), Some(&90));
        assert_eq!(Rules { looks: 1, ..rules.clone() }.schedule(7, 7), [7]);
        assert!(rules.schedule(20, 0).is_empty());
    }

    #[test]
    fn rules_that_cannot_be_followed_are_refused() {
        let with = |change: fn(&mut Rules)| {
            let mut rules = Rules::default();
            change(&mut rules);
            rules.check()
        };
        assert_eq!(with(|_| {}), Ok(()));
        assert_eq!(with(|rules| rules.alpha = 0.0), Err(RulesError::Alpha(0.0)));
        assert!(with(|rules| rules.alpha = f64::NAN).is_err());
        assert_eq!(with(|rules| rules.margin = Margin::Relative(0.0)), Err(RulesError::Margin(0.0)));
        assert!(with(|rules| rules.margin = Margin::Absolute(f64::INFINITY)).is_err());
        assert!(
            with(|rules| {
                rules.direction = Direction::HigherIsBetter;
                rules.margin = Margin::Relative(1.0);
            })
            .is_err()
        );
        assert_eq!(with(|rules| rules.horizon = Some(0)), Err(RulesError::Horizon(0)));
        assert_eq!(with(|rules| rules.looks = 0), Err(RulesError::Looks));
    }

    #[test]
    fn a_fifth_worse_is_a_ratio_either_way() {
        let rules = Rules::default();
        assert!((rules.shift().exp() - 1.2).abs() < 1e-12);
        let rules = Rules { direction: Direction::HigherIsBetter, ..rules };
        assert!(((-rules.shift()).exp() - 0.8).abs() < 1e-12);
    }
}
