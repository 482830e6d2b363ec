//! What was one season ago, repeated: the baseline that every other forecast must beat (Hyndman & Athanasopoulos,
//! Forecasting: Principles and Practice, §5.2).

/// The last `season` values over and over; none where the series is shorter than a season.
pub(super) fn forecast(series: &[f64], season: usize, steps: usize) -> Option<Vec<f64>> {
    let cycle = &series[series.len().checked_sub(season)?..];
    Some(cycle.iter().copied().cycle().take(steps).collect())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_last_season_repeats() {
        assert_eq!(super::forecast(&[9.0, 1.0, 2.0], 2, 5), Some(vec![1.0, 2.0, 1.0, 2.0, 1.0]));
        assert_eq!(super::forecast(&[1.0], 2, 1), None);
    }
}
