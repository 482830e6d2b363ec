//! Forecasts that fit nothing: the last value, the last season, the typical one of the last few.

/// The last value, for ever.
pub(super) fn last(y: &[f64], steps: usize) -> Option<Vec<f64>> {
    y.last().map(|value| vec![*value; steps])
}

/// What was a period ago; further ahead than that, the same period again.
pub(super) fn seasonal(y: &[f64], period: usize, steps: usize) -> Option<Vec<f64>> {
    let cycle = y.len().checked_sub(period)?;
    Some((0..steps).map(|step| y[cycle + step % period]).collect())
}

/// The median of the last cycles (at most seven) at the same place in the period.
pub(super) fn typical(y: &[f64], period: usize, steps: usize) -> Option<Vec<f64>> {
    let cycles = (y.len() / period).min(7);
    if cycles < 3 {
        return None;
    }
    let at = |place: usize| {
        let mut seen: Vec<f64> = (1..=cycles).map(|back| y[y.len() - back * period + place]).collect();
        super::median(&mut seen)
    };
    let cycle: Vec<f64> = (0..period).map(at).collect();
    Some((0..steps).map(|step| cycle[step % period]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_comes_again() {
        let y = [1.0, 2.0, 3.0, 4.0, 5.0];
        assert_eq!(last(&y, 2).unwrap(), [5.0, 5.0]);
        assert_eq!(seasonal(&y, 3, 4).unwrap(), [3.0, 4.0, 5.0, 3.0]);
        assert!(seasonal(&y, 6, 4).is_none());
    }

    #[test]
    fn an_odd_cycle_does_not_move_the_typical_one() {
        let y = [1.0, 2.0, 1.0, 2.0, 90.0, 90.0, 1.0, 2.0];
        assert_eq!(typical(&y, 2, 3).unwrap(), [1.0, 2.0, 1.0]);
        assert!(typical(&y, 4, 3).is_none());
    }
}
