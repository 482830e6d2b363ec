//! Rolling origins: every candidate forecasts later stretches of the series from what came before them, never shuffled.

use super::conformal::Conformal;
use super::{DAY, Measured, Model, candidates, continuations};

/// More origins cost fits; fewer leave the interval to chance.
const ORIGINS: usize = 4;
/// The least to forecast from.
const LEAST_PAST: usize = DAY;

/// A moment in the past, the hours after it, and what each candidate expected of them.
struct Origin {
    later: Vec<f64>,
    forecasts: Vec<(Model, Option<Vec<f64>>)>,
    /// The unit of MASE.
    scale: f64,
}

impl Origin {
    fn of(&self, model: Model) -> Option<&Vec<f64>> {
        self.forecasts.iter().find(|(m, _)| *m == model).and_then(|(_, values)| values.as_ref())
    }

    fn mase(&self, model: Model) -> Option<f64> {
        Some(mean_distance(&self.later, self.of(model)?) / self.scale)
    }
}

/// All origins of one series, the oldest first.
pub(super) struct CrossValidation {
    origins: Vec<Origin>,
    models: Vec<Model>,
}

impl CrossValidation {
    /// Stretches of `horizon` hours, one after the other up to the end of the series; shorter ones where the series would
    /// not hold two.
    pub(super) fn run(series: &[f64], horizon: usize) -> Self {
        let room = series.len().saturating_sub(LEAST_PAST);
        let stretch = horizon.min(room / 2).max(1);
        let count = (room / stretch).min(ORIGINS);
        let models = candidates(series.len() - count * stretch);
        let origins = (1..=count)
            .rev()
            .map(|back| {
                let (past, rest) = series.split_at(series.len() - back * stretch);
                Origin {
                    later: rest[..stretch].to_vec(),
                    forecasts: continuations(&models, past, stretch),
                    scale: scale(past),
                }
            })
            .collect();
        Self { origins, models }
    }

    /// The candidates that took part, without their combination.
    pub(super) fn models(&self) -> Vec<Model> {
        self.models.clone()
    }

    /// Least mean MASE over the origins, one of them left out if said so. A candidate must have forecast from all of them.
    pub(super) fn winner(&self, without: Option<usize>) -> Option<Model> {
        let all = self.models.iter().copied().chain([Model::Combination]);
        let scored = all.filter_map(|model| {
            let scores: Option<Vec<f64>> = self.others(without).map(|origin| origin.mase(model)).collect();
            let scores = scores.filter(|s| !s.is_empty())?;
            Some((model, scores.iter().sum::<f64>() / scores.len() as f64))
        });
        scored.min_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0))).map(|(model, _)| model)
    }

    /// Actual − forecast, by origin and step.
    pub(super) fn residuals(&self, model: Model, without: Option<usize>) -> Vec<Vec<f64>> {
        let errors = |o: &Origin| Some(o.later.iter().zip(o.of(model)?).map(|(y, f)| y - f).collect());
        self.others(without).filter_map(errors).collect()
    }

    /// Judges each origin by what the others chose and calibrated. None where there is one origin only.
    pub(super) fn measure(&self, coverage: f64) -> Option<Measured> {
        let (mut hours, mut inside) = (0.0, 0.0);
        let mut mase = [0.0; 3];
        let mut judged = 0.0;
        for (i, origin) in self.origins.iter().enumerate() {
            let Some(model) = self.winner(Some(i)) else { continue };
            let (Some(forecast), Some(ours)) = (origin.of(model), origin.mase(model)) else { continue };
            let naive = origin.mase(Model::SeasonalNaive)?;
            let (lower, upper) = Conformal::fit(&self.residuals(model, Some(i)), coverage).around(forecast);
            let bounds = lower.iter().zip(&upper);
            // An interval around an exact forecast has no width; rounding must not throw the truth out of it.
            let holds = |(y, (low, high)): &(&f64, (&f64, &f64))| {
                let slip = 1e-9 * y.abs();
                *low - slip <= **y && **y <= *high + slip
            };
            inside += origin.later.iter().zip(bounds).filter(holds).count() as f64;
            hours += origin.later.len() as f64;
            let level = origin.later.iter().sum::<f64>() / origin.later.len() as f64;
            let spread = mean_distance(&origin.later, &vec![level; origin.later.len()]) / origin.scale;
            mase.iter_mut().zip([ours, naive, spread]).for_each(|(sum, x)| *sum += x);
            judged += 1.0;
        }
        let [mase, mase_seasonal_naive, mase_level] = mase.map(|sum| sum / judged);
        (hours > 0.0).then(|| Measured { mase, mase_seasonal_naive, mase_level, coverage: inside / hours })
    }

    fn others(&self, without: Option<usize>) -> impl Iterator<Item = &Origin> {
        self.origins.iter().enumerate().filter(move |(i, _)| Some(*i) != without).map(|(_, origin)| origin)
    }
}

fn mean_distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).sum::<f64>() / a.len() as f64
}

/// Mean absolute change over a day. Where a day is an exact copy of the one before (or there is one day only), the change
/// over an hour; of a flat series, its level.
fn scale(past: &[f64]) -> f64 {
    let change = |lag: usize| match past.len() > lag {
        true => mean_distance(&past[lag..], &past[..past.len() - lag]),
        false => 0.0,
    };
    let level = past.iter().map(|v| v.abs()).sum::<f64>() / past.len() as f64;
    let tells = |x: &f64| *x > 1e-6 * level;
    [change(DAY), change(1), level].into_iter().find(tells).unwrap_or(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forecast::tests::daily;

    #[test]
    fn origins_follow_each_other_and_end_with_the_series() {
        let series = daily(10 * 24, 1.0, 0.1, 3);
        let cv = CrossValidation::run(&series, 24);
        assert_eq!(cv.origins.len(), 4);
        let later: Vec<f64> = cv.origins.iter().flat_map(|o| o.later.clone()).collect();
        assert_eq!(later, series[6 * 24..]);
    }

    #[test]
    fn no_forecast_sees_what_comes_after_its_origin() {
        let series = daily(10 * 24, 1.0, 0.1, 3);
        let mut changed = series.clone();
        changed[9 * 24..].iter_mut().for_each(|v| *v += 1000.0);
        let (a, b) = (CrossValidation::run(&series, 24), CrossValidation::run(&changed, 24));
        for (a, b) in a.origins.iter().zip(&b.origins) {
            assert_eq!(a.of(Model::Mstl), b.of(Model::Mstl));
            assert_eq!(a.of(Model::Ets), b.of(Model::Ets));
        }
    }

    #[test]
    fn short_series_get_shorter_stretches() {
        let cv = CrossValidation::run(&daily(48, 1.0, 0.1, 3), 24);
        assert_eq!(cv.origins.iter().map(|o| o.later.len()).collect::<Vec<_>>(), [12, 12]);
        assert!(cv.measure(0.9).is_some());
    }
}
