//! The design with a declared horizon: a group-sequential permutation test of signed ranks (`gst`).
//!
//! With a known end, a group-sequential test has the most power of the designs that may be looked at (Schultzberg & Ankargren
//! 2023, Spotify, "Choosing a sequential testing framework"). One statistic stands for the typical value and, from a horizon
//! of a hundred on, for the tail: the larger of both sums in units of their spread (the largest of several statistics under
//! common permutations: Westfall & Young 1993), so that neither costs the other half of the error.

use super::flips::sums;
use super::pairs::Paired;
use super::ranks::{signed_ranks, spread, standardized};
use super::rules::{Rules, TailUse};
use super::scale::{Limits, Point, Scale, Seen, point};
use super::spending::{Look, Spending, vectors};
use super::walk::{Shown, TAIL_NEEDS, Walk};
use super::{Arm, Outcome, Verdict};

/// What is known at a look of the pairs that are there.
pub struct Snapshot {
    pub scale: Scale,
    pub points: Vec<(Point, Point)>,
    pub limits: Limits,
}

impl Snapshot {
    /// The first `size` pairs as they are known when the last of them came to be. A unit has all its rows until then.
    pub fn new(paired: &Paired, rules: &Rules, size: usize) -> Self {
        let pairs = &paired.pairs[..size.min(paired.pairs.len())];
        let until = match pairs.last() {
            Some(last) if paired.is_ordered => last.at,
            _ => i64::MAX,
        };
        let both = |n: usize| {
            [
                paired.rows(Arm::Control, &pairs[n].control, until),
                paired.rows(Arm::Candidate, &pairs[n].candidate, until),
            ]
        };
        let mut seen = Seen::default();
        (0..pairs.len()).flat_map(both).flatten().for_each(|row| seen.add(row));
        let scale = seen.scale(rules);
        let points: Vec<(Point, Point)> = (0..pairs.len())
            .map(|n| {
                let [a, b] = both(n).map(|rows| point(rows, scale, &seen, rules.direction));
                (a, b)
            })
            .collect();
        let mut limits = Limits::default();
        points.iter().for_each(|(a, b)| {
            limits.add(*a);
            limits.add(*b);
        });
        Self { scale, points, limits }
    }

    /// How much worse each candidate is than its control moved by `shift`.
    pub fn differences(&self, shift: f64) -> Vec<f64> {
        self.points.iter().map(|(a, b)| self.limits.compare(*a, *b, shift)).collect()
    }
}

/// The sums under all sign vectors, in units of their spread.
fn standardized_sums(ranks: &[i64], rules: &Rules, alpha: f64) -> Vec<f64> {
    let count = vectors(alpha);
    match spread(ranks) {
        0.0 => vec![0.0; count],
        spread => sums(ranks, rules.seed, count).into_iter().map(|sum| sum as f64 / spread).collect(),
    }
}

/// Repeats every look that the schedule has had so far, and ends at the first that decides.
pub fn judge(paired: &Paired, rules: &Rules, horizon: usize, walk: &mut Walk<'_>) -> Outcome {
    let schedule = rules.schedule(horizon, paired.pairs.len());
    let watches_tail = match rules.tail {
        TailUse::Beside => horizon >= TAIL_NEEDS,
        TailUse::Alone => true,
        TailUse::Ignored => false,
    };
    let (mut harm, mut safety) = (Spending::new(rules.alpha), Spending::new(rules.safety_alpha()));
    let mut is_shift_excluded = false;
    let mut outcome = Outcome::default();
    for (n, size) in schedule.iter().copied().enumerate() {
        let share = size as f64 / horizon as f64;
        walk.go_on(size);
        let snapshot = Snapshot::new(paired, rules, size);
        let harm = look_for_harm(walk, &snapshot, rules, watches_tail, &mut harm, share);
        let safe = look_for_safety(walk, &snapshot, rules, is_shift_excluded, &mut safety, share);
        // What has no time has no earlier looks: only the last one counts, with the error of those before it spent.
        let is_counted = paired.is_ordered || n + 1 == schedule.len();
        is_shift_excluded |= safe.is_beyond && is_counted;
        outcome = Outcome {
            verdict: Verdict::Inconclusive,
            pairs: size,
            looks: n + 1,
            alpha_spent: rules.alpha * share,
            bound: harm.look.bound,
            is_tail_alone: false,
            watches_tail,
        };
        if harm.look.is_beyond && is_counted {
            return Outcome { verdict: Verdict::Fail, is_tail_alone: harm.is_tail_alone, ..outcome };
        }
        if is_counted && walk.is_safe(is_shift_excluded, watches_tail) {
            return Outcome { verdict: Verdict::Pass, ..outcome };
        }
    }
    outcome
}

/// Whether the control moved by the margin is worse than the candidate; not asked where nothing depends on it.
fn look_for_safety(
    walk: &Walk<'_>,
    snapshot: &Snapshot,
    rules: &Rules,
    is_known: bool,
    test: &mut Spending,
    share: f64,
) -> Look {
    let asked = rules.tail != TailUse::Alone && matches!(walk.shown(), Shown::ByShift | Shown::ByShiftAndSteps);
    if is_known || !asked {
        return Look { is_beyond: false, bound: f64::INFINITY };
    }
    let gain: Vec<f64> = snapshot.differences(rules.shift()).into_iter().map(|worse| -worse).collect();
    test.look(share, &standardized_sums(&signed_ranks(&gain), rules, rules.safety_alpha()))
}

struct Harm {
    look: Look,
    is_tail_alone: bool,
}

fn look_for_harm(
    walk: &Walk<'_>,
    snapshot: &Snapshot,
    rules: &Rules,
    watches_tail: bool,
    test: &mut Spending,
    share: f64,
) -> Harm {
    if rules.tail == TailUse::Alone {
        let look = test.look(share, &standardized_sums(&signed_ranks(&walk.tail), rules, rules.alpha));
        return Harm { look, is_tail_alone: look.is_beyond };
    }
    let ranks = signed_ranks(&snapshot.differences(0.0));
    let mut statistic = standardized_sums(&ranks, rules, rules.alpha);
    if watches_tail && walk.has_tail() {
        let tail = standardized_sums(&signed_ranks(&walk.tail), rules, rules.alpha);
        statistic.iter_mut().zip(tail).for_each(|(typical, tail)| *typical = typical.max(tail));
    }
    let look = test.look(share, &statistic);
    Harm { look, is_tail_alone: look.is_beyond && standardized(&ranks) <= look.bound }
}
