//! How large the effect is, between which bounds, and how many more observations would decide.
//!
//! The estimate is the shift under which neither arm is worse (Hodges & Lehmann 1963, Annals of Mathematical Statistics 34,
//! 598-611). Its interval holds the shifts that the test at hand does not refute, with its bound at the look that decided: a
//! repeated confidence interval (Jennison & Turnbull 1989, JRSS B 51, 305-361), valid however often one has looked. Limits
//! bound it where values are censored. Counts with zeros have no typical shift: theirs is the difference of the means.

use super::Outcome;
use super::ranks::{signed_ranks, standardized};
use super::rules::{Direction, Rules};
use super::scale::Scale;
use super::sequence::Snapshot;
use super::walk::Shown;
use super::wealth::SignBets;

/// What the candidate changes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Effect {
    /// Whether it is a share of the control, else an amount in the metric's unit.
    pub is_relative: bool,
    /// Candidate against control; below zero: the candidate's values are lower.
    pub change: f64,
    /// Not lower than this; none: as low as one likes.
    pub lower: Option<f64>,
    /// Not higher than this; none: as high as one likes.
    pub upper: Option<f64>,
}

/// An estimate on the scale on which more is worse.
#[derive(Clone, Copy, Debug)]
struct Shift {
    typical: f64,
    lower: Option<f64>,
    upper: Option<f64>,
    /// Standard deviation of a pair's difference.
    spread: f64,
}

/// The effect as of the pairs used, and the pairs that would decide at this effect and spread; none: none would.
pub fn estimate(
    snapshot: &Snapshot,
    rules: &Rules,
    outcome: &Outcome,
    shown: Shown,
) -> Option<(Effect, Option<usize>)> {
    if snapshot.points.is_empty() {
        return None;
    }
    let shift = match snapshot.scale {
        Scale::Ratio => of_ranks(snapshot, rules, outcome),
        Scale::Difference => of_means(snapshot, rules, outcome),
    };
    let turn = |worse: f64| match (snapshot.scale, rules.direction) {
        (Scale::Ratio, Direction::LowerIsBetter) => worse.exp_m1(),
        (Scale::Ratio, Direction::HigherIsBetter) => (-worse).exp_m1(),
        (Scale::Difference, Direction::LowerIsBetter) => worse,
        (Scale::Difference, Direction::HigherIsBetter) => -worse,
    };
    let (mut lower, mut upper) = (shift.lower.map(turn), shift.upper.map(turn));
    if rules.direction == Direction::HigherIsBetter {
        std::mem::swap(&mut lower, &mut upper);
    }
    let finite = |x: Option<f64>| x.filter(|x| x.is_finite());
    let change = turn(shift.typical).clamp(f64::MIN, f64::MAX);
    let is_relative = snapshot.scale == Scale::Ratio;
    let effect = Effect { is_relative, change, lower: finite(lower), upper: finite(upper) };
    // Neither what never passes nor a difference of means beside a margin that is a share says how far a pass is.
    let can_pass = !matches!(shown, Shown::Never(_) | Shown::ByCounts);
    Some((effect, needed(&shift, rules, snapshot.points.len(), can_pass)))
}

/// The rise of the share of slow rows, where the tail is judged alone.
pub fn of_tail(tail: &[f64], bound: f64) -> Option<Effect> {
    let count = tail.len() as f64;
    if tail.is_empty() {
        return None;
    }
    let change = tail.iter().sum::<f64>() / count;
    let variance = tail.iter().map(|d| (d - change).powi(2)).sum::<f64>() / (count - 1.0).max(1.0);
    let reach = Some(bound * (variance / count).sqrt()).filter(|reach| reach.is_finite() && count > 1.0);
    let (lower, upper) = (reach.map(|reach| change - reach), reach.map(|reach| change + reach));
    Some(Effect { is_relative: false, change, lower, upper })
}

/// Halvings of the range in which a shift is looked for.
const HALVINGS: usize = 22;

/// The largest shift at which a falling function is above zero; none: it is nowhere, or everywhere.
fn last_above(reach: f64, falling: impl Fn(f64) -> f64) -> Option<f64> {
    let (mut low, mut high) = (-reach, reach);
    if falling(low) <= 0.0 || falling(high) > 0.0 {
        return None;
    }
    for _ in 0..HALVINGS {
        let middle = (low + high) / 2.0;
        match falling(middle) > 0.0 {
            true => low = middle,
            false => high = middle,
        }
    }
    Some((low + high) / 2.0)
}

fn of_ranks(snapshot: &Snapshot, rules: &Rules, outcome: &Outcome) -> Shift {
    let reach = snapshot.points.iter().map(|(a, b)| (b.at - a.at).abs()).fold(0.0, f64::max) + 1.0;
    let against = |shift: f64| standardized(&signed_ranks(&snapshot.differences(shift)));
    let typical = last_above(reach, against).unwrap_or(0.0);
    let mut amounts: Vec<f64> = snapshot.differences(typical).into_iter().map(f64::abs).collect();
    let middle = amounts.len() / 2;
    let median = *amounts.select_nth_unstable_by(middle, f64::total_cmp).1;
    // 1.4826: the standard deviation of a normal distribution over its median absolute deviation.
    let spread = 1.4826 * median;
    let (lower, upper) = match rules.horizon {
        Some(_) if outcome.bound.is_infinite() => (None, None),
        Some(_) => {
            let bound = outcome.bound;
            // At the end of the range nothing may be left that could be refuted: there is no limit then.
            (last_above(reach, |shift| against(shift) - bound), last_above(reach, |shift| against(shift) + bound))
        }
        None => {
            let line = (1.0 / rules.alpha).ln();
            let wealth = |shift: f64, turn: f64| {
                let mut bets = SignBets::at_scale(median.max(f64::MIN_POSITIVE));
                snapshot.differences(shift).into_iter().for_each(|worse| bets.bet(turn * worse));
                bets.log() - line
            };
            (last_above(reach, |shift| wealth(shift, 1.0)), last_above(reach, |shift| -wealth(shift, -1.0)))
        }
    };
    Shift { typical, lower, upper, spread }
}

fn of_means(snapshot: &Snapshot, rules: &Rules, outcome: &Outcome) -> Shift {
    let count = snapshot.points.len() as f64;
    // Bounded, so that values at both ends of what a number can be have a difference.
    let differences = || snapshot.points.iter().map(|(a, b)| (b.at - a.at).clamp(f64::MIN, f64::MAX));
    let typical = differences().map(|difference| difference / count).sum::<f64>();
    let variance = differences().map(|d| (d - typical).powi(2)).sum::<f64>() / (count - 1.0).max(1.0);
    let bound = match rules.horizon {
        Some(_) => outcome.bound,
        // Asymptotic confidence sequence (Waudby-Smith et al. 2024, Annals of Statistics 52), tuned near a hundred.
        None => {
            let rho = count * 0.05;
            (2.0 * (1.0 + 1.0 / rho) * ((rho + 1.0).sqrt() / (2.0 * rules.alpha)).ln().max(0.0)).sqrt()
        }
    };
    let reach = bound * (variance / count).sqrt();
    let is_known = reach.is_finite() && count > 1.0;
    Shift {
        typical,
        lower: is_known.then_some(typical - reach),
        upper: is_known.then_some(typical + reach),
        spread: variance.sqrt(),
    }
}

/// Pairs at which the nearer of both verdicts has a chance of four in five, were effect and spread as they seem: the sample
/// size of a fixed test, and what its repetition costs on top. More than there are, and than the fewest with which the signs
/// alone can decide; a single pair has no spread, and says nothing.
fn needed(shift: &Shift, rules: &Rules, pairs_now: usize, can_pass: bool) -> Option<usize> {
    if pairs_now < 2 {
        return None;
    }
    let fewest = (-rules.alpha.log2()).ceil().max(pairs_now as f64 + 1.0);
    let z = normal_quantile(1.0 - rules.alpha) + normal_quantile(0.8);
    let harm = shift.typical;
    let safety = if can_pass { rules.shift() - shift.typical } else { 0.0 };
    let distance = harm.max(safety);
    let repetition = if rules.horizon.is_some() { 1.2 } else { 2.0 };
    let pairs = repetition * (z * shift.spread / distance).powi(2);
    (distance > 0.0 && pairs.is_finite()).then(|| pairs.ceil().clamp(fewest, 1e12) as usize)
}

/// Quantile of the standard normal distribution, to three digits (Abramowitz & Stegun 1964, 26.2.23).
pub fn normal_quantile(share: f64) -> f64 {
    let tail = share.min(1.0 - share).max(1e-12);
    let t = (-2.0 * tail.ln()).sqrt();
    let z =
        t - (2.515_517 + t * (0.802_853 + t * 0.010_328)) / (1.0 + t * (1.432_788 + t * (0.189_269 + t * 0.001_308)));
    if share < 0.5 { -z } else { z }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_shift_above_zero_is_found() {
        let found = last_above(10.0, |x| 3.0 - x).unwrap();
        assert!((found - 3.0).abs() < 1e-6);
        assert_eq!(last_above(1.0, |x| 3.0 - x), None);
        assert_eq!(last_above(1.0, |x| -3.0 - x), None);
    }

    #[test]
    fn what_is_needed_is_more_than_there_is_and_unknown_of_a_single_pair() {
        let alike = Shift { typical: 0.0, lower: None, upper: None, spread: 0.0 };
        let wide = Shift { spread: 1.0, ..alike };
        let rules = Rules::default();
        assert_eq!(needed(&wide, &rules, 1, true), None);
        assert_eq!(needed(&alike, &rules, 2, true), Some(5)); // 2^-5 is the first power below 0.05
        assert_eq!(needed(&alike, &rules, 9, true), Some(10));
        assert!(needed(&wide, &rules, 9, true).unwrap() > 100);
        assert_eq!(needed(&alike, &rules, 9, false), None);
    }

    #[test]
    fn quantiles_of_the_normal_distribution() {
        assert!((normal_quantile(0.95) - 1.645).abs() < 2e-3 && (normal_quantile(0.8) - 0.842).abs() < 2e-3);
        assert!((normal_quantile(0.2) + 0.842).abs() < 2e-3);
    }
}
