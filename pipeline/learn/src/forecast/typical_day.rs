//! The median of the last days at the same hour. One odd day, which the seasonal naive forecast would repeat, does not move
//! it; a new level takes it half the window to follow.

use super::{DAY, median};

/// A week holds every kind of day once.
const DAYS: usize = 7;

/// Needs two days, so that there is something to take the middle of.
pub(super) fn forecast(series: &[f64], steps: usize) -> Option<Vec<f64>> {
    if series.len() < 2 * DAY {
        return None;
    }
    let window = &series[series.len() - DAY * DAYS.min(series.len() / DAY)..];
    let typical: Vec<f64> = (0..DAY)
        .map(|hour| {
            let mut at: Vec<f64> = window.iter().skip(hour).step_by(DAY).copied().collect();
            median(&mut at)
        })
        .collect();
    Some(typical.into_iter().cycle().take(steps).collect())
}

#[cfg(test)]
mod tests {
    use super::DAY;

    #[test]
    fn one_odd_day_leaves_no_trace() {
        let mut series: Vec<f64> = (0..5 * DAY).map(|h| (h % DAY) as f64).collect();
        series[4 * DAY..].iter_mut().for_each(|v| *v += 100.0);
        let want: Vec<f64> = (0..30).map(|h| (h % DAY) as f64).collect();
        assert_eq!(super::forecast(&series, 30), Some(want));
    }
}
