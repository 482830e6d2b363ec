//! What each accepted share of throttled samples would have cost: the frontier that a person chooses from.
//!
//! Policies without a dial are one point each. They are compared at that point: our slack is read off the frontier where it
//! throttles as large a share as the policy did, between two points along the logarithm of the share. The interval of the
//! difference is a bootstrap of whole resources, because samples of one resource err together; both sides are drawn
//! together.

use super::calendar::{Hours, WithCalendar};
use super::{Asked, Sums, Tally, Usage, warm_up};
use crate::LearnError;
use crate::random::Random;
use crate::sizing::dial::Dial;
use crate::sizing::ours::{Accepted, Ours};
use crate::sizing::{Policy, dial_of};
use crate::usage::Day;
use domain::Timestamp;
use domain::plan::Replay;
use domain::zone::Zone;
use rayon::prelude::*;

/// The accepted shares that are replayed.
pub const RISKS: [f64; 10] = [0.001, 0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1];

const DRAWS: usize = 1000;
const SEED: u64 = 1;
/// Of the interval.
const COVERAGE: f64 = 0.9;
/// Fewer resources than these give no interval.
const FEW: usize = 5;

/// One accepted share.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// The share of the fleet's CPU samples that was accepted above the limit.
    pub risk: f64,
    /// What came of it.
    pub replay: Replay,
    /// What would have come of it where limits follow a calendar.
    pub calendar: Calendared,
}

/// The same limits, lower in the quiet hours of the resources for which a calendar had paid so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Calendared {
    /// What came of it, over all resources.
    pub replay: Replay,
    /// Resources that followed a calendar on any day.
    pub resources: usize,
    /// Days on which they did.
    pub resource_days: u64,
}

/// A policy without a dial, and ours where it throttles as much.
#[derive(Clone, Debug, PartialEq)]
pub struct Beside {
    /// The policy's name.
    pub policy: &'static str,
    /// What it would have done.
    pub replay: Replay,
    /// Our CPU slack at its throttled share; none where the frontier does not reach it.
    pub ours_cpu_slack: Option<f64>,
    /// Ours less the policy's, with a 90 % interval by resource; negative is better.
    pub difference: Option<f64>,
    /// Its lower and upper end.
    pub interval: Option<(f64, f64)>,
}

/// The frontier on the same rows as the policies.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Frontier {
    /// By ascending share.
    pub points: Vec<Point>,
    /// The policies asked for, without ours.
    pub beside: Vec<Beside>,
    /// Resources with a scored day.
    pub resources: usize,
    /// Scored days over all resources.
    pub resource_days: usize,
    /// The newest sample read.
    pub newest: Timestamp,
}

/// One resource under every share and every policy.
struct Scored {
    points: Vec<Tally>,
    calendars: Vec<WithCalendar>,
    policies: Vec<Tally>,
    days: usize,
}

impl Usage {
    /// Replays our policy at every share of [`RISKS`], and the others beside it.
    ///
    /// # Errors
    /// No day is left to score.
    pub fn frontier(&self, policies: &[Policy], asked: Asked<'_>) -> Result<Frontier, LearnError> {
        let histories = asked.histories(self);
        let dial = dial_of(&histories, true);
        let others: Vec<Policy> = policies.iter().copied().filter(|policy| *policy != Policy::Ours).collect();
        let accepted = Accepted { dial: &dial, risk: asked.risk };
        let since = asked.since_day();
        let replayed = histories.par_iter().map(|(_, days)| {
            let (tallies, scored) = super::replay_resource(days, &others, accepted, since);
            let (points, calendars) = replay_shares(days, &dial, since);
            Scored { points, calendars, policies: tallies, days: scored }
        });
        let scored: Vec<Scored> = replayed.filter(|scored| scored.days > 0).collect();
        if scored.is_empty() {
            return Err(LearnError::TooLittleData("no resource has two days of usage to replay".into()));
        }
        let total = |of: &dyn Fn(&Scored) -> Tally| {
            let mut total = Tally::default();
            scored.iter().for_each(|one| total.add(&of(one)));
            total.replay()
        };
        let calendar = |i: usize, replay: &Replay| {
            let mut sum = WithCalendar::default();
            scored.iter().for_each(|one| sum.add(&one.calendars[i]));
            Calendared {
                replay: Replay { changes_per_month: replay.changes_per_month, ..sum.followed.replay() },
                resources: scored.iter().filter(|one| one.calendars[i].days_followed > 0).count(),
                resource_days: sum.days_followed,
            }
        };
        let points = RISKS.iter().enumerate().map(|(i, risk)| {
            let replay = total(&|s| s.points[i]);
            Point { risk: *risk, calendar: calendar(i, &replay), replay }
        });
        let others = others.iter().enumerate();
        Ok(Frontier {
            points: points.collect(),
            beside: others.map(|(i, policy)| beside(*policy, i, total(&|s| s.policies[i]), &scored)).collect(),
            resources: scored.len(),
            resource_days: scored.iter().map(|one| one.days).sum(),
            newest: self.newest().unwrap_or_default(),
        })
    }
}

/// Our policy over one resource at every share, without and with a calendar.
fn replay_shares(days: &[Day], dial: &Dial, since: i64) -> (Vec<Tally>, Vec<WithCalendar>) {
    let warm_up = warm_up(days);
    let mut ours = Ours::default();
    let mut tallies = vec![Tally::default(); RISKS.len()];
    let mut calendars = vec![WithCalendar::default(); RISKS.len()];
    let mut hours = Hours::of(Zone::default());
    for (n, today) in days.iter().enumerate() {
        if n >= warm_up && today.day >= since {
            let targets = ours.targets(&days[..n], dial, &RISKS);
            let shape = hours.shape();
            for ((tally, calendar), target) in tallies.iter_mut().zip(&mut calendars).zip(targets) {
                let limits = tally.decided(today, Policy::Ours, target);
                calendar.day(today, shape, limits);
            }
        }
        ours.learn(&days[..=n]);
        hours.learn(today);
    }
    (tallies, calendars)
}

/// A policy beside the frontier.
fn beside(policy: Policy, i: usize, replay: Replay, scored: &[Scored]) -> Beside {
    let everyone: Vec<usize> = (0..scored.len()).collect();
    let at = slack_at(scored, i, &everyone);
    let mut random = Random(SEED);
    let draws = (0..if scored.len() < FEW { 0 } else { DRAWS }).filter_map(|_| {
        let drawn: Vec<usize> = everyone.iter().map(|_| random.below(scored.len())).collect();
        slack_at(scored, i, &drawn).map(|(ours, theirs)| ours - theirs)
    });
    let mut draws: Vec<f64> = draws.collect();
    draws.sort_by(f64::total_cmp);
    let end = |q: f64| crate::usage::quantile(&draws, q);
    let interval = end((1.0 - COVERAGE) / 2.0).zip(end((1.0 + COVERAGE) / 2.0));
    Beside {
        policy: policy.name(),
        replay,
        ours_cpu_slack: at.map(|(ours, _)| ours),
        difference: at.map(|(ours, theirs)| ours - theirs),
        // An interval of those draws that the frontier reaches would be one of chosen draws.
        interval: interval.filter(|_| at.is_some() && draws.len() as f64 >= 0.99 * DRAWS as f64),
    }
}

/// Our slack at the throttled share of policy `i`, and that policy's, over some of the resources.
fn slack_at(scored: &[Scored], i: usize, resources: &[usize]) -> Option<(f64, f64)> {
    let sum = |of: &dyn Fn(&Scored) -> Sums| {
        let mut sum = Sums::default();
        resources.iter().for_each(|r| sum.add(&of(&scored[*r])));
        sum
    };
    let theirs = sum(&|s| s.policies[i].cpu);
    let mut line: Vec<(f64, f64)> = (0..RISKS.len()).map(|k| rates(&sum(&|s| s.points[k].cpu))).collect();
    line.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (share, slack) = rates(&theirs);
    Some((between(&line, share)?, slack))
}

/// Throttled share and slack.
fn rates(sums: &Sums) -> (f64, f64) {
    (sums.above as f64 / (sums.samples as f64).max(1.0), if sums.limit > 0.0 { sums.slack / sums.limit } else { 0.0 })
}

/// Along the logarithm of the share; none outside.
fn between(line: &[(f64, f64)], share: f64) -> Option<f64> {
    let ln = |share: f64| share.max(1e-9).ln();
    let k = line.windows(2).position(|pair| pair[0].0 <= share && share <= pair[1].0)?;
    let ((from, slack), (to, next)) = (line[k], line[k + 1]);
    let width = ln(to) - ln(from);
    let part = if width > 0.0 { (ln(share) - ln(from)) / width } else { 0.0 };
    Some(slack + (next - slack) * part)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{asked, fleet};
    use super::*;
    use crate::usage::tests::load;

    #[test]
    fn what_is_accepted_is_met_and_more_of_it_costs_less() {
        let usage = load(&fleet(20, 25, 4));
        let frontier = usage.frontier(&[Policy::Ours, Policy::Krr], asked(None)).unwrap();
        let points = &frontier.points;
        assert_eq!(points.iter().map(|p| p.risk).collect::<Vec<_>>(), RISKS);
        for pair in points.windows(2) {
            assert!(pair[0].replay.cpu_slack >= pair[1].replay.cpu_slack - 1e-3, "{pair:?}");
            assert!(pair[0].replay.throttled_rate <= pair[1].replay.throttled_rate + 1e-3, "{pair:?}");
            assert_eq!(pair[0].replay.memory_slack, pair[1].replay.memory_slack);
        }
        let two = points.iter().find(|p| p.risk == 0.02).unwrap();
        assert!((0.01..0.03).contains(&two.replay.throttled_rate), "{two:?}");
        assert!(two.replay.changes_per_month.unwrap() < 20.0, "{two:?}");
        // The point of a share is what `backtest --risk` gives.
        let alone = usage.backtest(&[Policy::Ours], asked(None)).unwrap();
        assert_eq!(alone.policies["ours"], two.replay);
        let krr = &frontier.beside[0];
        let (low, high) = krr.interval.unwrap();
        assert!(low <= krr.difference.unwrap() && krr.difference.unwrap() <= high, "{krr:?}");
        assert!(krr.difference.unwrap() < 0.0, "{krr:?}");
        assert_eq!(frontier, usage.frontier(&[Policy::Ours, Policy::Krr], asked(None)).unwrap());
    }

    #[test]
    fn between_two_points_the_share_goes_by_its_logarithm() {
        let line = [(0.01, 0.6), (0.04, 0.5)];
        assert!((between(&line, 0.02).unwrap() - 0.55).abs() < 1e-12);
        assert_eq!((between(&line, 0.005), between(&line, 0.05)), (None, None));
    }
}
