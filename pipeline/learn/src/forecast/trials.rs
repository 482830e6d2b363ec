//! Rolling origins: every candidate forecasts later stretches of the series from what came before them, never shuffled
//! (Tashman 2000). Owns what was said and what came; refuses to choose.

use super::decompose::Seasons;
use super::model::{Model, Past};

/// More origins cost fits; fewer leave choice and interval to chance.
const ORIGINS: usize = 5;
/// Stretches of one or two values need more origins to tell as much.
const LEAST_TRIED: usize = 12;
/// A candidate whose error at the latest origin is so many times the least is not tried at the others.
const HOPELESS: f64 = 3.0;
/// The least to forecast from.
const LEAST_PAST: usize = 4;

/// A moment in the past, the values after it, and what each candidate expected of them.
pub(super) struct Origin {
    pub(super) came: Vec<f64>,
    /// By candidate, in the order of [`Trials::models`].
    pub(super) said: Vec<Option<Vec<f64>>>,
    /// Mean absolute error and mean relative error (half of sMAPE) by candidate.
    pub(super) errors: Vec<Option<[f64; 2]>>,
    /// Mean absolute change over the shortest period before the origin: the unit of MASE.
    pub(super) scale: f64,
}

/// One series: its origins, the latest first, and its future by each candidate.
pub(super) struct Trials {
    pub(super) origins: Vec<Origin>,
    pub(super) next: Vec<Option<Vec<f64>>>,
    /// The rates that each was fitted with for its future, and the seasons that were taken off for it.
    pub(super) rates: Vec<Vec<f64>>,
    pub(super) seasons: [Option<Seasons>; 2],
    /// Mean absolute change over the shortest period: one figure small beside it is none.
    pub(super) scale: f64,
}

impl Trials {
    /// Stretches of `horizon` values, one after the other up to the end of the series; shorter ones where it would not hold
    /// two. The future is `steps` long. There are `most` origins at most.
    pub(super) fn run(
        models: &[Model],
        values: &[f64],
        periods: &[usize],
        horizon: usize,
        steps: usize,
        most: usize,
    ) -> Self {
        let room = values.len().saturating_sub(LEAST_PAST);
        let stretch = horizon.min(room / 2).max(1);
        let longest = periods.iter().copied().max().unwrap_or(1);
        // Seasons should have been seen twice at every origin, but not at the price of having one origin only.
        let past = (2 * longest.max(stretch)).min(values.len() / 2).max(LEAST_PAST);
        let count = (values.len().saturating_sub(past) / stretch).clamp(1, ORIGINS.max(LEAST_TRIED.div_ceil(stretch)));
        let mut hopeful = vec![true; models.len()];
        let mut origins = Vec::with_capacity(count);
        for back in 1..=count.min(most) {
            let Some(at) = values.len().checked_sub(back * stretch).filter(|at| *at > 0) else { break };
            let (known, rest) = values.split_at(at);
            let origin = Origin::run(models, &hopeful, known, &rest[..stretch], periods);
            if back == 1 {
                let least = origin.errors.iter().flatten().map(|e| e[0]).fold(f64::INFINITY, f64::min);
                let slack = 1e-9 * origin.scale;
                let hopeless = |e: &Option<[f64; 2]>| e.is_none_or(|e| e[0] > HOPELESS * least + slack);
                hopeful = origin.errors.iter().map(|e| !hopeless(e)).collect();
                // The yardsticks stay.
                (0..models.len()).filter(|i| models[*i].is_naive()).for_each(|i| hopeful[i] = true);
            }
            origins.push(origin);
        }
        let past = Past::new(values, periods);
        let said = models.iter().zip(&hopeful).map(|(model, hopeful)| match *hopeful {
            true => past.forecast(*model, steps, None).map(|said| (said.values, said.rates)),
            false => None,
        });
        let (next, rates): (Vec<_>, Vec<Option<Vec<f64>>>) = said.map(Option::unzip).unzip();
        let rates = rates.into_iter().map(Option::unwrap_or_default).collect();
        Self { next, rates, seasons: past.seasons(1.0), origins, scale: change(values, periods) }
    }
}

impl Origin {
    fn run(models: &[Model], hopeful: &[bool], known: &[f64], came: &[f64], periods: &[usize]) -> Self {
        let past = Past::new(known, periods);
        let asked = models.iter().zip(hopeful);
        let said: Vec<Option<Vec<f64>>> = asked
            .map(|(model, hopeful)| Some(hopeful.then(|| past.forecast(*model, came.len(), None))??.values))
            .collect();
        let errors = said.iter().map(|said| said.as_ref().map(|said| [absolute(said, came), relative(said, came)]));
        Self { errors: errors.collect(), came: came.to_vec(), said, scale: change(known, periods) }
    }
}

pub(super) fn absolute(said: &[f64], came: &[f64]) -> f64 {
    said.iter().zip(came).map(|(s, c)| (s - c).abs()).sum::<f64>() / came.len() as f64
}

fn relative(said: &[f64], came: &[f64]) -> f64 {
    let one = |(s, c): (&f64, &f64)| {
        let size = s.abs() + c.abs();
        if size > 0.0 { (s - c).abs() / size } else { 0.0 }
    };
    said.iter().zip(came).map(one).sum::<f64>() / came.len() as f64
}

/// Mean absolute change over the shortest period. Where a cycle is an exact copy of the one before (or there is one only),
/// the change over a step; of a flat series, its level.
fn change(values: &[f64], periods: &[usize]) -> f64 {
    let over = |lag: usize| match values.len() > lag {
        true => absolute(&values[lag..], &values[..values.len() - lag]),
        false => 0.0,
    };
    let level = values.iter().map(|v| v.abs()).sum::<f64>() / values.len() as f64;
    let tells = |x: &f64| *x > 1e-6 * level;
    let shortest = periods.iter().copied().min().unwrap_or(1);
    [over(shortest), over(1), level].into_iter().find(tells).unwrap_or(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forecast::tests::daily;

    fn run(values: &[f64], horizon: usize) -> (Vec<Model>, Trials) {
        let models = Model::all(&[24]);
        let trials = Trials::run(&models, values, &[24], horizon, horizon, usize::MAX);
        (models, trials)
    }

    #[test]
    fn origins_follow_each_other_and_end_with_the_series() {
        let series = daily(10 * 24, 1.0, 0.1, 3);
        let (_, trials) = run(&series, 24);
        assert_eq!(trials.origins.len(), 5);
        let later: Vec<f64> = trials.origins.iter().rev().flat_map(|o| o.came.clone()).collect();
        assert_eq!(later, series[5 * 24..]);
    }

    #[test]
    fn no_forecast_sees_what_comes_after_its_origin() {
        let series = daily(10 * 24, 1.0, 0.1, 3);
        let mut changed = series.clone();
        changed[9 * 24..].iter_mut().for_each(|v| *v += 0.2);
        let ((models, a), (_, b)) = (run(&series, 24), run(&changed, 24));
        for (a, b) in a.origins.iter().zip(&b.origins) {
            for (model, (a, b)) in models.iter().zip(a.said.iter().zip(&b.said)) {
                if let (Some(a), Some(b)) = (a, b) {
                    assert_eq!(a, b, "{}", model.name());
                }
            }
        }
        assert_ne!(a.next, b.next, "the test cannot fail");
    }

    #[test]
    fn short_series_get_shorter_stretches() {
        let (_, trials) = run(&daily(24, 1.0, 0.1, 3), 24);
        assert!(trials.origins.iter().all(|o| o.came.len() == 10));
        let (_, trials) = run(&[1.0, 2.0, 3.0], 24);
        assert_eq!(trials.origins.len(), 1);
    }
}
