//! A rollout: a canary that grows step by step beside its control, as long as nothing speaks against it.
//!
//! Owns what an approved rollout declares and what one tick makes of the judgements. Each step is a comparison of its own: the
//! requests since its share was set, the control at the same time, one observation a unit of randomisation. So harm that shows
//! under more load only is found, and a user who moves to the canary is no observation of two times.
//!
//! The error of a false rollback, `alpha`, is shared over the metrics and the steps that are judged (Bonferroni): all of them
//! together roll back a canary that does no harm with at most that probability. A canary that does harm must pass every metric
//! at every step before all users have it, so each pass may err with `alpha` (intersection-union: Berger 1982, Technometrics 24,
//! 295-300).

mod nulls;

pub use nulls::{Ends, LEAST_USERS, Nulls, Recorded};

use crate::judge::{Judgement, Margin, Rules, TailUse, Verdict};
use crate::task::Shares;
use serde::{Deserialize, Serialize};

/// What is compared between the canary and its control.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Duration of a request.
    Latency,
    /// Share of requests slower than the slowest twentieth seen before.
    LatencyTail,
    /// Share of requests that failed.
    Errors,
}

impl Metric {
    /// As it is written.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// What happens at a horizon where neither harm nor safety is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnInconclusive {
    /// The canary stays where it is.
    #[default]
    Hold,
    /// It is taken back.
    Rollback,
}

/// Looks on the way to the horizon of a step.
const LOOKS: usize = 20;

/// A pass excludes that the share of failed requests rises by this.
pub const ERRORS_MARGIN: f64 = 0.05;

/// What a rollout declares before the first request is seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rollout {
    /// The `stack.toml` that declares it.
    pub manifest: String,
    /// The group that has the users now.
    pub control: String,
    /// The group that is to have them.
    pub canary: String,
    /// The header that names the unit: a user.
    pub unit: String,
    /// What is judged, and rolls back.
    pub metrics: Vec<Metric>,
    /// The regression of a duration that a pass excludes, as a share of the control.
    pub margin: f64,
    /// Bound of the probability of a false rollback over all metrics, steps and looks; and of each wrong pass.
    pub alpha: f64,
    /// Units of each arm at which the last look of a step takes place.
    pub horizon: usize,
    /// What happens where it is reached and nothing is shown.
    pub on_inconclusive: OnInconclusive,
    /// The shares of the groups before, and at each step; at the last one the canary has all.
    pub shares: Vec<Shares>,
}

/// What a tick comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tick {
    /// The next share is set.
    Grow,
    /// Nothing is done, and why.
    Hold(String),
    /// Everything goes back, and why.
    GoBack(String),
}

impl Rollout {
    /// Steps at which both groups have users.
    pub fn judged_steps(&self) -> usize {
        self.shares.len().saturating_sub(2).max(1)
    }

    /// The rules by which a metric is judged at one step.
    pub fn rules(&self, metric: Metric) -> Rules {
        let tests = (self.metrics.len() * self.judged_steps()).max(1) as f64;
        let (margin, tail) = match metric {
            Metric::Latency => (Margin::Relative(self.margin), TailUse::Ignored),
            Metric::LatencyTail => (Margin::Relative(self.margin), TailUse::Alone),
            Metric::Errors => (Margin::Absolute(ERRORS_MARGIN), TailUse::Ignored),
        };
        Rules {
            margin,
            tail,
            alpha: self.alpha / tests,
            safety_alpha: Some(self.alpha),
            horizon: Some(self.horizon),
            looks: LOOKS,
            ..Rules::default()
        }
    }

    /// What follows from the judgements of all metrics at one step: one fail goes back, all must pass to grow.
    pub fn tick(&self, judged: &[(Metric, Judgement)]) -> Tick {
        let of = |verdict: Verdict| judged.iter().filter(move |(_, it)| it.verdict == verdict);
        let in_words = |(metric, it): &(Metric, Judgement)| format!("{}: {}", metric.name(), it.reason);
        if let Some(failed) = of(Verdict::Fail).next() {
            return Tick::GoBack(in_words(failed));
        }
        let Some(open) = of(Verdict::Inconclusive).next() else { return Tick::Grow };
        let is_over = of(Verdict::Inconclusive).any(|(_, it)| it.used >= self.horizon);
        match self.on_inconclusive {
            OnInconclusive::Rollback if is_over => Tick::GoBack(in_words(open)),
            _ => Tick::Hold(in_words(open)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::{Observation, judge};

    pub fn rollout(on_inconclusive: OnInconclusive) -> Rollout {
        let step = |canary: u8| Shares::from([("blue".to_owned(), 100 - canary), ("green".to_owned(), canary)]);
        Rollout {
            manifest: "/srv/stack.toml".into(),
            control: "blue".into(),
            canary: "green".into(),
            unit: "x-user".into(),
            metrics: vec![Metric::Latency, Metric::Errors],
            margin: 0.2,
            alpha: 0.05,
            horizon: 120,
            on_inconclusive,
            shares: [0, 1, 10, 50, 100].map(step).to_vec(),
        }
    }

    /// Both metrics of a canary that takes `factor` of what its control takes, in a sawtooth of that many users.
    fn judged(rollout: &Rollout, users: usize, factor: f64) -> Vec<(Metric, Judgement)> {
        let row = |i: usize, value: f64| Observation { at: Some(i as i64), ..Observation::new(value) };
        let arm = |factor: f64, turn: usize| -> Vec<Observation> {
            (0..users).map(|i| row(i, factor * (100.0 + ((i * 7 + turn) % 11) as f64))).collect()
        };
        let errors = vec![(0..users).map(|i| row(i, 0.0)).collect::<Vec<_>>(); 2];
        let of = |metric, control: &[Observation], canary: &[Observation]| {
            (metric, judge(control, canary, &rollout.rules(metric)).unwrap())
        };
        vec![of(Metric::Latency, &arm(1.0, 0), &arm(factor, 3)), of(Metric::Errors, &errors[0], &errors[1])]
    }

    #[test]
    fn alpha_is_shared_over_metrics_and_judged_steps() {
        let rollout = rollout(OnInconclusive::Hold);
        assert_eq!(rollout.judged_steps(), 3);
        let rules = rollout.rules(Metric::Latency);
        assert!((rules.alpha - 0.05 / 6.0).abs() < 1e-12 && rules.safety_alpha == Some(0.05));
        assert_eq!(rules.check(), Ok(()));
    }

    #[test]
    fn a_canary_grows_on_evidence_goes_back_on_harm_and_waits_without_either() {
        let hold = rollout(OnInconclusive::Hold);
        assert_eq!(hold.tick(&judged(&hold, 120, 1.0)), Tick::Grow);
        assert!(matches!(hold.tick(&judged(&hold, 120, 1.5)), Tick::GoBack(why) if why.starts_with("latency: harm")));
        assert!(matches!(hold.tick(&judged(&hold, 3, 1.0)), Tick::Hold(_)));
        assert!(matches!(hold.tick(&judged(&hold, 0, 1.0)), Tick::Hold(why) if why.contains("no data")));
        // 20 % is the margin: such a canary never passes, and one of a horizon of three users shows nothing.
        let few = Rollout { horizon: 3, ..hold };
        assert!(matches!(few.tick(&judged(&few, 3, 1.1)), Tick::Hold(_)));
        let strict = Rollout { on_inconclusive: OnInconclusive::Rollback, ..few };
        assert!(matches!(strict.tick(&judged(&strict, 3, 1.1)), Tick::GoBack(_)));
        assert!(matches!(strict.tick(&judged(&strict, 2, 1.1)), Tick::Hold(_)), "the horizon is not reached");
    }
}
