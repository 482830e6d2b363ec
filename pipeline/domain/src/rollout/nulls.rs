//! How many canaries that do no harm a rollout would promote, found before it is approved: its own rules on recorded users.
//!
//! An A/A test by simulation. A comparison begins at a random one of the recorded users and walks on in the order in which they
//! came; a fair coin gives each of them, with all of its requests, to the control or to the canary, until both have as many as
//! the horizon asks for. So both arms are alike in law whatever durations, failures, users and hours are like: no distribution
//! is assumed, requests of a user stay together, and a drift is met by both arms. Where fewer are recorded than are needed, the
//! walk goes round, and what it meets again counts as another user later on. Then every metric is judged as by `stack advance`.
//!
//! The steps of a rollout have the same rules and are judged on requests of their own, so that all of them are passed with the
//! probability of passing one, to the power of their number.

use super::{Metric, Rollout};
use crate::judge::random::Random;
use crate::judge::{JudgeError, Observation, Verdict, judge};
use std::collections::HashMap;
use std::ops::{AddAssign, Range};

/// One value of a request, and when it counts.
type Dated = (i64, f64);

/// What one user met: durations of what did not fail, and whether each request failed.
#[derive(Clone, Debug, Default)]
struct User {
    latency: Vec<Dated>,
    errors: Vec<Dated>,
}

/// Users in the order in which they came.
#[derive(Clone, Debug, Default)]
pub struct Recorded {
    users: Vec<User>,
    /// From the first to behind the last, in the unit of their times.
    span: i64,
    /// Requests, and how many failed.
    requests: usize,
    failed: usize,
}

/// Fewer recorded users than this say nothing about a horizon.
pub const LEAST_USERS: usize = 100;

impl Recorded {
    /// Users by their observations: durations in ms of the requests that did not fail, and of every request whether it failed
    /// (1) or not (0). Rows without a unit or a time are left out.
    pub fn new(latency: &[Observation], errors: &[Observation]) -> Self {
        let mut users: HashMap<&str, User> = HashMap::new();
        for (is_latency, rows) in [(true, latency), (false, errors)] {
            for row in rows {
                let (Some(unit), Some(at)) = (row.unit.as_deref(), row.at) else { continue };
                let user = users.entry(unit).or_default();
                if is_latency { &mut user.latency } else { &mut user.errors }.push((at, row.value));
            }
        }
        let mut sorted: Vec<(i64, &str, User)> = users
            .into_iter()
            .filter_map(|(unit, user)| Some((user.errors.iter().map(|(at, _)| *at).min()?, unit, user)))
            .collect();
        sorted.sort_unstable_by(|a, b| (a.0, a.1).cmp(&(b.0, b.1)));
        Self::ordered(sorted.into_iter().map(|(_, _, user)| user).collect())
    }

    /// So many users of one request each, a second apart, whose durations are log-normal with a coefficient of variation, and of
    /// whom a share fails.
    pub fn drawn(users: usize, variation: f64, failing: f64, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let spread = variation.powi(2).ln_1p().sqrt();
        let users = (0..users as i64).map(|n| {
            let (at, took) = (n * 1_000_000, 100.0 * (spread * random.normal()).exp());
            match random.uniform() < failing {
                true => User { latency: Vec::new(), errors: vec![(at, 1.0)] },
                false => User { latency: vec![(at, took)], errors: vec![(at, 0.0)] },
            }
        });
        Self::ordered(users.collect())
    }

    fn ordered(users: Vec<User>) -> Self {
        let times = || users.iter().flat_map(|user| &user.errors).map(|(at, _)| *at);
        let span = times().max().unwrap_or(0) - times().min().unwrap_or(0);
        let rows = || users.iter().flat_map(|user| &user.errors);
        let (requests, failed) = (rows().count(), rows().filter(|(_, failed)| *failed > 0.0).count());
        // The first user of the next round comes as long after the last as users are apart.
        let span = span + span / users.len().max(1) as i64 + 1;
        Self { users, span, requests, failed }
    }

    /// The latest of them.
    pub fn latest(mut self, most: usize) -> Self {
        let users = self.users.split_off(self.users.len().saturating_sub(most));
        Self::ordered(users)
    }

    /// How many.
    pub fn users(&self) -> usize {
        self.users.len()
    }

    /// Mean duration in ms, and its coefficient of variation; none: nothing succeeded.
    pub fn duration(&self) -> Option<(f64, f64)> {
        let all = || self.users.iter().flat_map(|user| &user.latency).map(|(_, took)| *took);
        let count = all().count() as f64;
        let mean = all().sum::<f64>() / count;
        let variance = all().map(|took| (took - mean).powi(2)).sum::<f64>() / count;
        (mean > 0.0).then(|| (mean, variance.sqrt() / mean))
    }

    /// Share of the requests that failed.
    pub fn failing(&self) -> f64 {
        self.failed as f64 / self.requests.max(1) as f64
    }

    /// Control and canary of one comparison, by their latencies and by their errors, so many users of each.
    fn split(&self, horizon: usize, random: &mut Random) -> [[Vec<Observation>; 2]; 2] {
        let mut arms: [[Vec<Observation>; 2]; 2] = Default::default();
        let mut there = [0, 0];
        let begin = random.below(self.users.len());
        // Users whose requests all fail have no latency: the walk ends where nobody else comes.
        for n in 0..(horizon * 8 + 64) {
            let (at, round) = ((begin + n) % self.users.len(), (begin + n) / self.users.len());
            let user = &self.users[at];
            let arm = usize::from(random.uniform() < 0.5);
            let later = round as i64 * self.span;
            for (kind, rows) in [&user.latency, &user.errors].into_iter().enumerate() {
                arms[kind][arm].extend(rows.iter().map(|(at, value)| Observation {
                    at: Some(at + later),
                    unit: Some(n.to_string()),
                    ..Observation::new(*value)
                }));
            }
            there[arm] += usize::from(!user.latency.is_empty());
            if there.iter().all(|there| *there >= horizon) {
                break;
            }
        }
        arms
    }
}

/// What became of simulated steps of canaries that do no harm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Nulls {
    /// Steps that were simulated.
    pub steps: usize,
    /// At which every metric passed.
    pub passed: usize,
    /// At which one metric showed harm.
    pub failed: usize,
    /// Users of each arm at those that passed, all together.
    pub users: usize,
}

impl AddAssign for Nulls {
    fn add_assign(&mut self, other: Self) {
        self.steps += other.steps;
        self.passed += other.passed;
        self.failed += other.failed;
        self.users += other.users;
    }
}

/// Shares of rollouts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ends {
    /// All users got the canary.
    pub promoted: f64,
    /// The 95 % interval of it: Wilson 1927, JASA 22, 209-212, for one step.
    pub bounds: (f64, f64),
    /// It was taken back.
    pub rolled_back: f64,
    /// Neither at some horizon.
    pub held: f64,
}

impl Nulls {
    /// What becomes of a rollout with so many judged steps.
    pub fn ends(&self, judged: usize) -> Ends {
        let (n, power) = (self.steps.max(1) as f64, i32::try_from(judged).unwrap_or(i32::MAX));
        let (pass, fail) = (self.passed as f64 / n, self.failed as f64 / n);
        let hold = self.steps.saturating_sub(self.passed + self.failed) as f64 / n;
        let promoted = pass.powi(power);
        // At the first step, or at the second after a pass, and so on.
        let reached: f64 = (0..power).map(|step| pass.powi(step)).sum();
        let z = 1.96_f64;
        let middle = (pass + z * z / (2.0 * n)) / (1.0 + z * z / n);
        let half = z / (1.0 + z * z / n) * (pass * (1.0 - pass) / n + z * z / (4.0 * n * n)).sqrt();
        let bounds = ((middle - half).max(0.0).powi(power), (middle + half).min(1.0).powi(power));
        Ends { promoted, bounds, rolled_back: fail * reached, held: hold * reached }
    }

    /// Mean users of each arm until a step passes; none: none did.
    pub fn mean_users(&self) -> Option<f64> {
        (self.passed > 0).then(|| self.users as f64 / self.passed as f64)
    }
}

impl Rollout {
    /// Steps of canaries that do no harm, one a seed, judged by the rules of this rollout.
    ///
    /// # Errors
    /// The rules contradict themselves. Nobody recorded is none: no step is simulated.
    pub fn nulls(&self, recorded: &Recorded, seeds: Range<u64>) -> Result<Nulls, JudgeError> {
        let mut nulls = Nulls::default();
        if recorded.users.is_empty() {
            return Ok(nulls);
        }
        for seed in seeds {
            let arms = recorded.split(self.horizon, &mut Random::new(seed));
            let mut worst = Verdict::Pass;
            let mut users = 0;
            for metric in &self.metrics {
                let [control, canary] = &arms[usize::from(*metric == Metric::Errors)];
                // The sign vectors are drawn anew too: the error is bounded over both.
                let judged = judge(control, canary, &crate::judge::Rules { seed, ..self.rules(*metric) })?;
                users = users.max(judged.used);
                worst = match (worst, judged.verdict) {
                    (_, Verdict::Fail) => Verdict::Fail,
                    (Verdict::Pass, verdict) => verdict,
                    (worst, _) => worst,
                };
                if worst == Verdict::Fail {
                    break;
                }
            }
            nulls += Nulls {
                steps: 1,
                passed: usize::from(worst == Verdict::Pass),
                failed: usize::from(worst == Verdict::Fail),
                users: if worst == Verdict::Pass { users } else { 0 },
            };
        }
        Ok(nulls)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::{OnInconclusive, tests::rollout};

    fn asked(horizon: usize) -> Rollout {
        Rollout { horizon, metrics: vec![Metric::Latency, Metric::Errors], ..rollout(OnInconclusive::Hold) }
    }

    #[test]
    fn a_longer_horizon_promotes_more_canaries_that_do_no_harm() {
        let recorded = Recorded::drawn(2000, 0.5, 0.005, 1);
        let (mean, variation) = recorded.duration().unwrap();
        assert!((mean - 110.0).abs() < 15.0 && (variation - 0.5).abs() < 0.08, "{mean} {variation}");
        let shares = [40, 100, 240].map(|horizon| {
            let nulls = asked(horizon).nulls(&recorded, 0..24).unwrap();
            assert_eq!(nulls.steps, 24);
            assert!(nulls.failed <= 3, "{nulls:?}");
            nulls.ends(1).promoted
        });
        assert!(shares[0] < 0.3 && shares[2] > 0.9 && shares[0] < shares[1] && shares[1] < shares[2], "{shares:?}");
    }

    #[test]
    fn the_same_seeds_on_the_same_users_say_the_same() {
        let row = |n: i64, value: f64| Observation {
            at: Some(n / 3),
            unit: Some(format!("u{}", n / 3)),
            ..Observation::new(value)
        };
        let latency: Vec<Observation> = (0..900).map(|n| row(n, 90.0 + (n * 7 % 20) as f64)).collect();
        let errors: Vec<Observation> = (0..900).map(|n| row(n, 0.0)).collect();
        let mut turned = (latency.clone(), errors.clone());
        turned.0.reverse();
        turned.1.reverse();
        let (recorded, again) = (Recorded::new(&latency, &errors), Recorded::new(&turned.0, &turned.1));
        assert_eq!((recorded.users(), recorded.failing()), (300, 0.0));
        let first = asked(60).nulls(&recorded, 5..12).unwrap();
        assert_eq!(first, asked(60).nulls(&again, 5..12).unwrap());
        let mut parts = asked(60).nulls(&recorded, 5..8).unwrap();
        parts += asked(60).nulls(&recorded, 8..12).unwrap();
        assert_eq!(first, parts);
        // Nobody is recorded, or nothing ever succeeds: it ends, and passes nothing.
        assert_eq!(asked(60).nulls(&Recorded::default(), 0..3).unwrap(), Nulls::default());
        let broken: Vec<Observation> = (0..900).map(|n| row(n, 1.0)).collect();
        assert_eq!(asked(60).nulls(&Recorded::new(&[], &broken), 0..3).unwrap().passed, 0);
    }

    #[test]
    fn steps_are_passed_together_or_not_at_all() {
        let nulls = Nulls { steps: 400, passed: 394, failed: 2, users: 394 * 150 };
        let ends = nulls.ends(3);
        assert!((ends.promoted - 0.985_f64.powi(3)).abs() < 1e-12);
        assert!((ends.rolled_back - 0.005 * (1.0 + 0.985 + 0.985 * 0.985)).abs() < 1e-12);
        assert!((ends.promoted + ends.rolled_back + ends.held - 1.0).abs() < 1e-12);
        assert!(ends.bounds.0 > 0.90 && ends.bounds.0 < ends.promoted && ends.promoted < ends.bounds.1);
        assert_eq!(nulls.mean_users(), Some(150.0));
        assert_eq!(Nulls::default().mean_users(), None);
    }
}
