//! Evidence as wealth: whoever bets against a hypothesis that is true does not get rich, so wealth of `1 / alpha` refutes it,
//! whenever one looks (Ville 1939; Shafer 2021, JRSS A 184, 407-431).
//!
//! [`SignBets`] bets against "differences are symmetric about zero or lower": given its amount, the sign of a difference is a
//! coin, and a fair bet on it multiplies wealth by `1 + tanh(c d / s)`, which is the exponential of the self-normalised sums of
//! de la Peña 1999 (Annals of Probability 27, 537-564) over its mean; exact under sign symmetry (Koning 2023, arXiv
//! 2310.01153). `s` is the median amount so far. The bold and the cautious `c` share the capital.
//!
//! [`MeanBets`] bets against "the mean of differences in [-1, 1] is at least m" (Waudby-Smith & Ramdas 2024, JRSS B 86, 1-27):
//! wealth times `1 + λ (m - d)`.

use super::quantile::RunningQuantile;

/// How boldly the most cautious part of the capital bets on signs; each other one twice as boldly as the one before, up to 2.
const CAUTIOUS: f64 = 0.125;

/// Differences in units of the scale beyond which a bet is lost in any case.
const FAR: f64 = 100.0;

/// Parts of the most that may be bet against a mean.
const STAKES: [f64; 5] = [0.1, 0.25, 0.5, 0.75, 0.95];

/// The logarithm of the mean of five wealths.
fn mean_of(logs: &[f64; 5]) -> f64 {
    let top = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    top + (logs.iter().map(|log| (log - top).exp()).sum::<f64>() / 5.0).ln()
}

/// Bets that differences tend to be above zero.
#[derive(Clone, Debug)]
pub struct SignBets {
    logs: [f64; 5],
    amounts: RunningQuantile,
    /// In place of the median amount so far.
    scale: Option<f64>,
}

impl Default for SignBets {
    fn default() -> Self {
        Self { logs: [0.0; 5], amounts: RunningQuantile::new(0.5), scale: None }
    }
}

impl SignBets {
    /// With a scale that is known before.
    pub fn at_scale(scale: f64) -> Self {
        Self { scale: Some(scale), ..Self::default() }
    }

    /// Bets on the next difference. Its amount may be known before the bet, its sign not.
    pub fn bet(&mut self, difference: f64) {
        if difference == 0.0 {
            return;
        }
        let scale = self.scale.unwrap_or_else(|| {
            self.amounts.add(difference.abs());
            self.amounts.value().unwrap_or(1.0)
        });
        // 1 + tanh(c x) = 2 / (1 + exp(-2 c x)), and twice the boldness is the square of the exponential.
        let mut power = (-2.0 * CAUTIOUS * (difference / scale).clamp(-FAR, FAR)).exp();
        for log in &mut self.logs {
            *log += std::f64::consts::LN_2 - power.ln_1p();
            power *= power;
        }
    }

    /// The logarithm of the wealth; it began at 0.
    pub fn log(&self) -> f64 {
        mean_of(&self.logs)
    }
}

/// Bets that the mean of differences in [-1, 1] is below a margin.
#[derive(Clone, Debug)]
pub struct MeanBets {
    logs: [f64; 5],
    margin: f64,
}

impl MeanBets {
    /// `margin` lies below 1.
    pub fn new(margin: f64) -> Self {
        Self { logs: [0.0; 5], margin }
    }

    pub fn bet(&mut self, difference: f64) {
        let gain = self.margin - difference.clamp(-1.0, 1.0);
        for (log, stake) in self.logs.iter_mut().zip(STAKES) {
            *log += (stake / (1.0 - self.margin) * gain).ln_1p();
        }
    }

    /// The logarithm of the wealth; it began at 0.
    pub fn log(&self) -> f64 {
        mean_of(&self.logs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::simulation::Random;

    #[test]
    fn ties_and_coins_make_nobody_rich() {
        let mut bets = SignBets::default();
        (0..50).for_each(|_| bets.bet(0.0));
        assert_eq!(bets.log(), 0.0);
        let mut random = Random::new(1);
        let rich = (0..2000).filter(|_| {
            let mut bets = SignBets::default();
            (0..60).any(|_| {
                bets.bet(random.normal());
                bets.log() >= 20f64.ln()
            })
        });
        let rich = rich.count();
        assert!(rich <= 120, "{rich} of 2000 at most 5 %");
    }

    #[test]
    fn what_is_lopsided_makes_rich() {
        let mut bets = SignBets::default();
        (0..7).for_each(|_| bets.bet(100f64.ln()));
        assert!(bets.log() > 20f64.ln(), "{}", bets.log().exp());
        let mut extreme = SignBets::default();
        [f64::MIN_POSITIVE, 1e300, -1e300].iter().for_each(|difference| extreme.bet(*difference));
        assert!(extreme.log().is_finite());
    }

    #[test]
    fn a_mean_at_the_margin_makes_nobody_rich_and_one_below_does() {
        let mut random = Random::new(2);
        let rich = (0..2000).filter(|_| {
            let mut bets = MeanBets::new(0.2);
            // 1 with 0.4, 0 with 0.4, -1 with 0.2: a mean of 0.2.
            (0..200).any(|_| {
                let draw = random.uniform();
                bets.bet(if draw < 0.4 { 1.0 } else { f64::from(draw < 0.8) - 1.0 });
                bets.log() >= 20f64.ln()
            })
        });
        let rich = rich.count();
        assert!(rich <= 120, "{rich} of 2000");
        let mut bets = MeanBets::new(0.2);
        (0..25).for_each(|_| bets.bet(0.0));
        assert!(bets.log() > 20f64.ln());
    }
}
