//! Which candidates are believed, and how much: the eight with the least errors, each by the fourth power of how much less
//! (weights by performance: Pawlikowski & Chorowska 2020, third in the M4 competition, do much the same). A few origins say
//! little of one series, so its own errors are drawn a third of the way to what the candidates did on all series.

use super::model::Model;
use super::trials::Trials;

/// Candidates that take part in a combination.
const MOST: usize = 8;
/// How candidates are believed.
const BELIEF: Belief = Belief { power: 4.0, pooled: 0.3 };
/// Smaller shares are left out, so that the name of a combination is all of it.
const LEAST_SHARE: f64 = 0.02;
/// Smaller errors are rounding.
pub(super) const EXACT: f64 = 1e-9;
/// The logarithm of an error relative to the best is cut here when series are pooled.
pub(super) const WORST: f64 = 3.0;

/// A rule of belief.
#[derive(Clone, Copy, Debug)]
pub(super) struct Belief {
    /// How fast belief falls with the error.
    pub(super) power: f64,
    /// Share of the error of all series in that of one.
    pub(super) pooled: f64,
}

/// What is said of a candidate by its errors on all series: the mean logarithm of its error relative to the best.
pub(super) struct Pool(Vec<f64>);

impl Pool {
    pub(super) fn of(models: &[Model], all: &[Trials]) -> Self {
        let mut sums = vec![(0.0, 0.0); models.len()];
        for trials in all {
            for (sum, score) in sums.iter_mut().zip(scores(trials, None)) {
                if let Some(score) = score {
                    sum.0 += score.min(WORST);
                    sum.1 += 1.0;
                }
            }
        }
        Self(sums.into_iter().map(|(sum, n)| if n > 0.0 { sum / n } else { WORST }).collect())
    }
}

/// The candidates of a combination and their shares, the largest first.
#[derive(Clone, Debug, PartialEq)]
pub struct Combination(Vec<(usize, f64)>);

impl Combination {
    /// By the errors at all origins, or at all but one. None where no candidate forecast from all of them.
    pub(super) fn choose(trials: &Trials, pool: &Pool, without: Option<usize>) -> Option<Self> {
        let score = |(i, score): (usize, Option<f64>)| Some((i, BELIEF.drawn(score?, pool.0[i])));
        let mut ranked: Vec<(usize, f64)> = scores(trials, without).into_iter().enumerate().filter_map(score).collect();
        ranked.retain(|(i, _)| trials.next[*i].is_some());
        ranked.sort_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)));
        let (first, best) = *ranked.first()?;
        // What repeats itself exactly is told by the simplest candidate that says so.
        ranked.truncate(if is_exact(trials, first, without) { 1 } else { MOST });
        let belief: Vec<(usize, f64)> = ranked.iter().map(|(i, s)| (*i, BELIEF.trusted(*s, best))).collect();
        let all: f64 = belief.iter().map(|(_, b)| b).sum();
        let kept: Vec<(usize, f64)> = belief.into_iter().filter(|(_, b)| *b >= LEAST_SHARE * all).collect();
        let all: f64 = kept.iter().map(|(_, b)| b).sum();
        Some(Self(kept.into_iter().map(|(i, b)| (i, b / all)).collect()))
    }

    /// One candidate alone.
    pub(super) fn only(candidate: usize) -> Self {
        Self(vec![(candidate, 1.0)])
    }

    /// The weighted mean of what its candidates said; none where one of them said nothing.
    pub(super) fn of(&self, said: &[Option<Vec<f64>>]) -> Option<Vec<f64>> {
        let mut mean = vec![0.0; said.iter().flatten().next()?.len()];
        for (i, share) in &self.0 {
            mean.iter_mut().zip(said[*i].as_ref()?).for_each(|(mean, value)| *mean += share * value);
        }
        Some(mean)
    }

    /// Their shares, and the rates that each was fitted with, in the same order as their names.
    pub(super) fn shares(&self, rates: &[Vec<f64>]) -> Vec<(f64, Vec<f64>)> {
        self.0.iter().map(|(i, share)| (*share, rates[*i].clone())).collect()
    }

    /// Whether a candidate takes seasons off: of the values, of their logarithms.
    pub(super) fn decomposes(&self, models: &[Model]) -> [bool; 2] {
        let each = || self.0.iter().map(|(i, _)| models[*i].decomposes());
        [each().any(|does| does[0]), each().any(|does| does[1])]
    }

    /// The candidates by name, the most believed first.
    pub(super) fn names(&self, models: &[Model]) -> Vec<String> {
        self.0.iter().map(|(i, _)| models[*i].name()).collect()
    }
}

/// How much each of several is believed, in shares, by the logarithm of its error relative to the best: on the series itself,
/// and in the mean of all.
pub(super) fn belief(own_and_usual: impl Iterator<Item = (f64, f64)>, rule: Belief) -> Vec<f64> {
    let scores: Vec<f64> = own_and_usual.map(|(own, usual)| rule.drawn(own, usual.min(WORST))).collect();
    let best = scores.iter().copied().fold(f64::INFINITY, f64::min);
    let belief: Vec<f64> = scores.into_iter().map(|score| rule.trusted(score, best)).collect();
    let all: f64 = belief.iter().sum();
    belief.into_iter().map(|share| share / all).collect()
}

impl Belief {
    fn drawn(self, own: f64, usual: f64) -> f64 {
        (1.0 - self.pooled) * own + self.pooled * usual
    }

    fn trusted(self, score: f64, best: f64) -> f64 {
        (-self.power * (score - best)).exp()
    }
}

/// Whether a candidate made no error at any origin.
fn is_exact(trials: &Trials, candidate: usize, without: Option<usize>) -> bool {
    let origins = trials.origins.iter().enumerate().filter(|(i, _)| Some(*i) != without);
    origins.map(|(_, origin)| origin.errors[candidate]).all(|e| e.is_some_and(|e| e[0] <= EXACT * trials.scale))
}

/// The logarithm of each candidate's error relative to the best one's, between its absolute and its relative errors; none
/// where it did not forecast from every origin.
fn scores(trials: &Trials, without: Option<usize>) -> Vec<Option<f64>> {
    let origins: Vec<_> = trials.origins.iter().enumerate().filter(|(i, _)| Some(*i) != without).collect();
    let models = trials.next.len();
    let sum = |model: usize, of: usize| {
        origins.iter().map(|(_, origin)| origin.errors[model].map(|e| e[of])).sum::<Option<f64>>()
    };
    let slack = [EXACT * trials.scale, EXACT];
    let logs = [0, 1].map(|of| {
        let sums: Vec<Option<f64>> = (0..models).map(|model| sum(model, of)).collect();
        let best = sums.iter().flatten().copied().fold(f64::INFINITY, f64::min);
        let log = |sum: Option<f64>| sum.map(|sum| ((sum + slack[of]) / (best + slack[of])).ln());
        sums.into_iter().map(log).collect::<Vec<_>>()
    });
    logs[0].iter().zip(&logs[1]).map(|(a, b)| Some(((*a)? + (*b)?) / 2.0)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::trials::Origin;
    use super::*;

    fn trials(errors: &[Option<f64>]) -> Trials {
        let origin = || Origin {
            came: vec![1.0],
            said: errors.iter().map(|e| e.map(|e| vec![1.0 + e])).collect(),
            errors: errors.iter().map(|e| e.map(|e| [e, e])).collect(),
            scale: 1.0,
        };
        let next = errors.iter().map(|e| e.map(|e| vec![1.0 + e])).collect();
        let rates = vec![Vec::new(); errors.len()];
        Trials { origins: vec![origin(), origin()], rates, seasons: [None, None], next, scale: 1.0 }
    }

    #[test]
    fn twice_the_error_is_a_sixteenth_of_the_belief() {
        let trials = trials(&[Some(1.0), Some(2.0), None]);
        let pool = Pool(vec![0.0, 2.0_f64.ln(), 0.0]);
        let combination = Combination::choose(&trials, &pool, None).unwrap();
        assert_eq!(combination.0.len(), 2);
        assert!((combination.0[0].1 - 16.0 / 17.0).abs() < 1e-6, "{combination:?}");
        let mean = combination.of(&trials.next).unwrap()[0];
        assert!((mean - (2.0 * 16.0 + 3.0) / 17.0).abs() < 1e-6);
    }

    #[test]
    fn an_exact_candidate_is_the_only_one() {
        // The first of two that are exact: the simpler one.
        let trials = trials(&[Some(0.5), Some(0.0), Some(0.0)]);
        let pool = Pool::of(&Model::all(&[])[..3], std::slice::from_ref(&trials));
        assert_eq!(Combination::choose(&trials, &pool, None).unwrap().0, [(1, 1.0)]);
    }

    #[test]
    fn without_a_candidate_there_is_no_combination() {
        let trials = trials(&[None, None]);
        assert!(Combination::choose(&trials, &Pool(vec![0.0; 2]), None).is_none());
    }
}
