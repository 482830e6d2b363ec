//! What serves a series: the combination, or the last period again where that has been better. A combination that is chosen on a
//! few origins of a series of counts can be worse than repeating last week: then that is what is served, and named.
//!
//! What the combination has made of an origin is what the *other* origins chose, so that it is held against the naive forecasts on
//! values that neither has seen. On few origins a naive forecast is the better one by chance for many a series; so it serves only
//! where it has been better on the series and on all series of the pool.

use super::combine::{Combination, EXACT, Pool, WORST};
use super::model::Model;
use super::trials::{Trials, absolute};

/// The combinations of one series, and the errors that decide between them and the naive forecasts.
pub(super) struct Contest {
    /// By origin what the others choose; of all.
    crossed: Vec<Option<Combination>>,
    whole: Option<Combination>,
    /// By origin: the errors of the crossed combination, none where one of its candidates said nothing; and of each naive forecast of
    /// a period, by its candidate.
    combined: Vec<Option<f64>>,
    naive: Vec<(usize, Vec<f64>)>,
    scale: f64,
}

/// The mean over all series of the logarithm of the combination's error relative to the best naive one.
pub(super) struct Usual(f64);

impl Contest {
    pub(super) fn of(trials: &Trials, models: &[Model], periods: &[usize], pool: &Pool) -> Self {
        let alone = trials.origins.len() == 1;
        let choose = |without| Combination::choose(trials, pool, without);
        let crossed: Vec<_> = (0..trials.origins.len()).map(|i| choose((!alone).then_some(i))).collect();
        let error = |(origin, combination): (&super::trials::Origin, &Option<Combination>)| {
            Some(absolute(&combination.as_ref()?.of(&origin.said)?, &origin.came))
        };
        let combined = trials.origins.iter().zip(&crossed).map(error).collect();
        let mut lags = periods.to_vec();
        lags.extend(periods.is_empty().then_some(1));
        let naive = lags.into_iter().filter_map(|period| {
            let at = models.iter().position(|model| *model == Model::seasonal_naive(period))?;
            trials.next[at].as_ref()?;
            let errors: Option<Vec<f64>> = trials.origins.iter().map(|origin| Some(origin.errors[at]?[0])).collect();
            Some((at, errors?))
        });
        Self { naive: naive.collect(), crossed, whole: choose(None), combined, scale: trials.scale }
    }

    /// What the best naive forecast is, by all origins but one, and the logarithm of the combination's error relative to its.
    fn best_naive(&self, without: Option<usize>) -> Option<(usize, f64)> {
        let judging = || (0..self.combined.len()).filter(|i| Some(*i) != without && self.combined[*i].is_some());
        let sums = self.naive.iter().map(|(at, errors)| (*at, judging().map(|i| errors[i]).sum::<f64>()));
        let (at, least) = sums.min_by(|a, b| a.1.total_cmp(&b.1))?;
        let combined: f64 = judging().filter_map(|i| self.combined[i]).sum();
        let slack = EXACT * self.scale;
        Some((at, ((combined + slack) / (least + slack)).ln().clamp(-WORST, WORST)))
    }

    /// What serves: by all origins, or by all but one.
    fn served(&self, usual: &Usual, without: Option<usize>) -> Option<Combination> {
        let combination = without.map_or(self.whole.as_ref(), |i| self.crossed[i].as_ref());
        // One origin chose by itself and cannot judge.
        let judges = self.combined.iter().flatten().count() > 1 + usize::from(without.is_some());
        let naive = self.best_naive(without).filter(|(_, log)| judges && log.min(usual.0) > 0.0);
        naive.map(|(at, _)| Combination::only(at)).or_else(|| combination.cloned())
    }

    /// What serves the future.
    pub(super) fn next(&self, usual: &Usual) -> Option<Combination> {
        self.served(usual, None)
    }

    /// What would have served an origin, by the others.
    pub(super) fn at_origin(&self, usual: &Usual, origin: usize) -> Option<Combination> {
        self.served(usual, Some(origin))
    }
}

impl Usual {
    pub(super) fn of(all: &[Contest]) -> Self {
        let logs: Vec<f64> = all.iter().filter_map(|contest| contest.best_naive(None)).map(|(_, log)| log).collect();
        Self(if logs.is_empty() { 0.0 } else { logs.iter().sum::<f64>() / logs.len() as f64 })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::noise;
    use super::super::{DAY, Past, Spec, WEEK, outlooks};

    fn outlook(values: &[f64]) -> super::super::Outlook {
        let (periods, quantiles) = (vec![DAY, WEEK], Vec::new());
        let spec = Spec { periods, horizon: DAY, coverage: 0.9, enough: 2 * DAY, peak_steps: None, quantiles };
        let past = Past { values: values.to_vec(), skip: 0, steps: DAY, kept: None };
        outlooks(&[past], &spec, &|_| ()).pop().flatten().unwrap()
    }

    #[test]
    fn where_the_last_week_comes_again_nothing_else_is_served() {
        // Counts at hours that differ from one day of the week to the next, and hardly from week to week.
        let mut seed = 5;
        let week: Vec<f64> = (0..WEEK).map(|_| (4.0 * noise(&mut seed)).max(0.0).round()).collect();
        let values: Vec<f64> = (0..5 * WEEK).map(|t| week[t % WEEK] + f64::from(noise(&mut seed) > 0.98)).collect();
        let outlook = outlook(&values);
        let measured = outlook.measured.unwrap();
        assert!(measured.mase <= 1.1 * measured.mase_seasonal_naive, "{measured:?} {}", outlook.model());
    }

    #[test]
    fn noise_around_a_level_is_not_repeated() {
        let mut seed = 7;
        let values: Vec<f64> = (0..3 * WEEK).map(|_| 5.0 + noise(&mut seed)).collect();
        let outlook = outlook(&values);
        assert!(!outlook.model().starts_with("seasonal-naive"), "{}", outlook.model());
        assert!(outlook.measured.unwrap().skill() > 0.1);
    }
}
