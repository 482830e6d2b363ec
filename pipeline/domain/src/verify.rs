//! Whether a change helped: what several metrics say together.
//!
//! Owns the rule that makes one outcome of the judge's answers. Each metric is judged twice: whether the resource after the
//! change is worse than its control, and whether the control is worse than the resource, in each week of its own: a quiet
//! first week clears no later one. The error is shared between the metrics (Bonferroni) and spent over the weeks, so that more
//! looks do not find more by chance.

use crate::judge::{JudgeError, Judgement, Margin, Observation, Rules, Verdict, judge};
use serde::{Deserialize, Serialize};

/// Bound of the probability of a wrong `worse`, and of a wrong `better`, over all metrics and looks together.
pub const ALPHA: f64 = 0.05;

/// What one metric of `of` may spend in a week, the first being 0: shares 6/(pi (week + 1))^2, which sum to one (Euler).
pub fn alpha(of: usize, week: usize) -> f64 {
    let share = 6.0 / (std::f64::consts::PI * (week as f64 + 1.0)).powi(2);
    ALPHA / of.max(1) as f64 * share
}

/// What came of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// A metric is worse than its control.
    Worse,
    /// A metric is better than its control, and none is worse.
    Better,
    /// A regression of the margin or more is excluded in every metric.
    Same,
    /// Too little evidence for any of these.
    Inconclusive,
}

impl Outcome {
    /// As it is written.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// One metric of a change.
#[derive(Clone, Debug)]
pub struct Compared {
    /// What was measured.
    pub metric: &'static str,
    /// Whether the candidate is worse than the control.
    pub harm: Judgement,
    /// Whether the control is worse than the candidate.
    pub gain: Judgement,
}

/// Compares both sides of a metric of which less is better, with an error of at most `alpha` of either kind; `is_concurrent`
/// says whether the control ran at the same time.
///
/// # Errors
/// A value is not finite, or only some rows have a time.
pub fn compare(
    metric: &'static str,
    [control, candidate]: [&[Observation]; 2],
    margin: Margin,
    alpha: f64,
    is_concurrent: bool,
) -> Result<Compared, JudgeError> {
    let rules = Rules { margin, alpha, accepts_other_time: !is_concurrent, ..Rules::default() };
    Ok(Compared { metric, harm: judge(control, candidate, &rules)?, gain: judge(candidate, control, &rules)? })
}

/// What all metrics say together, in all weeks.
pub fn outcome(compared: &[Compared]) -> Outcome {
    let any = |verdict: fn(&Compared) -> Verdict| compared.iter().any(|it| verdict(it) == Verdict::Fail);
    if any(|it| it.harm.verdict) {
        return Outcome::Worse;
    }
    if any(|it| it.gain.verdict) {
        return Outcome::Better;
    }
    match compared.iter().all(|it| it.harm.verdict == Verdict::Pass) && !compared.is_empty() {
        true => Outcome::Same,
        false => Outcome::Inconclusive,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many hours, each with this share, at these times.
    fn hours(from: i64, values: impl IntoIterator<Item = f64>) -> Vec<Observation> {
        let observation = |(n, value)| Observation { at: Some(from + n as i64), ..Observation::new(value) };
        values.into_iter().enumerate().map(observation).collect()
    }

    fn of(control: &[Observation], candidate: &[Observation], is_concurrent: bool) -> Outcome {
        let compared = compare("contended", [control, candidate], Margin::Absolute(0.1), ALPHA, is_concurrent).unwrap();
        outcome(&[compared])
    }

    #[test]
    fn a_starved_service_that_got_room_is_better_and_the_other_way_round_worse() {
        let starved = hours(0, (0..60).map(|n| f64::from(u8::from(n % 5 != 0))));
        let fed = hours(0, (0..60).map(|_| 0.0));
        assert_eq!(of(&starved, &fed, true), Outcome::Better);
        assert_eq!(of(&fed, &starved, true), Outcome::Worse);
    }

    #[test]
    fn too_little_is_inconclusive_and_so_is_nothing() {
        assert_eq!(of(&hours(0, [1.0, 1.0]), &hours(0, [0.0, 0.0]), true), Outcome::Inconclusive);
        assert_eq!(of(&[], &[], true), Outcome::Inconclusive);
        assert_eq!(outcome(&[]), Outcome::Inconclusive);
    }

    #[test]
    fn a_control_from_before_counts_only_where_it_is_accepted() {
        let before = hours(0, (0..60).map(|_| 1.0));
        let after = hours(100, (0..60).map(|_| 0.0));
        assert_eq!(of(&before, &after, true), Outcome::Inconclusive, "not the same time");
        assert_eq!(of(&before, &after, false), Outcome::Better);
    }

    #[test]
    fn one_metric_that_is_worse_outweighs_another_that_is_better() {
        let (low, high) = (hours(0, (0..60).map(|_| 0.0)), hours(0, (0..60).map(|_| 1.0)));
        let metric =
            |control, candidate| compare("m", [control, candidate], Margin::Absolute(0.1), alpha(2, 0), true).unwrap();
        assert_eq!(outcome(&[metric(&high, &low), metric(&low, &high)]), Outcome::Worse);
        assert_eq!(outcome(&[metric(&high, &low), metric(&low, &low)]), Outcome::Better);
    }

    #[test]
    fn the_weeks_spend_no_more_than_there_is() {
        let spent: f64 = (0..1000).map(|week| alpha(3, week)).sum();
        assert!(3.0 * spent <= ALPHA && 3.0 * spent > 0.99 * ALPHA, "{spent}");
        assert!(alpha(1, 0) > alpha(1, 1));
    }
}
