//! Daily and weekly seasons by repeated LOESS, what is left by exponential smoothing (Bandara, Hyndman & Bergmeir 2021, as
//! implemented by augurs).

use super::{DAY, WEEK, WEEKS_FOR_WEEKLY, ets};
use augurs::ets::trend::AutoETSTrendModel;
use augurs::mstl::MSTLModel;
use augurs::{Fit, Predict};

/// Needs two whole days.
pub(super) fn forecast(series: &[f64], steps: usize) -> Option<Vec<f64>> {
    let periods = match series.len() {
        n if n >= WEEKS_FOR_WEEKLY * WEEK => vec![DAY, WEEK],
        n if n >= 2 * DAY => vec![DAY],
        _ => return None,
    };
    let unit = ets::mean_size(series)?;
    let scaled: Vec<f64> = series.iter().map(|v| v / unit).collect();
    let model = MSTLModel::new(periods, AutoETSTrendModel::from(ets::model()?));
    let forecast = model.fit(&scaled).ok()?.predict(steps, None).ok()?;
    Some(forecast.point.into_iter().map(|v| v * unit).collect())
}

#[cfg(test)]
mod tests {
    use crate::forecast::tests::daily;

    #[test]
    fn a_daily_season_is_continued() {
        let series = daily(24 * 12, 1.0, 0.05, 2);
        let want = daily(24, 1.0, 0.0, 0);
        let forecast = super::forecast(&series, 24).unwrap();
        assert!(forecast.iter().zip(&want).all(|(a, b)| (a - b).abs() < 0.25), "{forecast:?}");
    }
}
