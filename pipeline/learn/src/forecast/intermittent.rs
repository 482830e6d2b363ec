//! Series that are mostly zero: the chance of a value and its size, smoothed apart (TSB: Teunter, Syntetos & Babai 2011,
//! which, unlike Croston 1972, lets the chance fall while nothing comes).

/// Share of zeros from which a series is intermittent.
const ZEROS: f64 = 0.3;
/// Rates tried; the pair with the least squared one-step error serves.
const RATES: [f64; 4] = [0.02, 0.05, 0.1, 0.2];

/// Whether so many values are zero that smoothing the whole says little.
pub(super) fn is_intermittent(y: &[f64]) -> bool {
    y.iter().filter(|v| **v == 0.0).count() as f64 >= ZEROS * y.len() as f64 && y.iter().all(|v| *v >= 0.0)
}

/// The mean to come, the same at every step. None where a series is not intermittent, or nothing ever came.
pub(super) fn tsb(y: &[f64], steps: usize) -> Option<Vec<f64>> {
    let seen: Vec<f64> = y.iter().copied().filter(|v| *v > 0.0).collect();
    if seen.is_empty() || !is_intermittent(y) {
        return None;
    }
    let start = (seen.len() as f64 / y.len() as f64, seen.iter().sum::<f64>() / seen.len() as f64);
    let pairs = RATES.iter().flat_map(|chance| RATES.iter().map(move |size| (*chance, *size)));
    let passes = pairs.map(|rates| pass(y, start, rates));
    let (_, mean) = passes.min_by(|a, b| a.0.total_cmp(&b.0))?;
    Some(vec![mean; steps])
}

/// The sum of squared one-step errors, and the mean expected next.
fn pass(y: &[f64], start: (f64, f64), rates: (f64, f64)) -> (f64, f64) {
    let (mut chance, mut size) = start;
    let mut squares = 0.0;
    for value in y {
        squares += (value - chance * size).powi(2);
        let came = *value > 0.0;
        chance += rates.0 * (f64::from(came) - chance);
        if came {
            size += rates.1 * (value - size);
        }
    }
    (squares, chance * size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fourth_step_of_eight_is_two_a_step() {
        let y: Vec<f64> = (0..200).map(|t| if t % 4 == 3 { 8.0 } else { 0.0 }).collect();
        let next = tsb(&y, 5).unwrap();
        assert!(next.iter().all(|v| (v - 2.0).abs() < 0.3), "{next:?}");
    }

    #[test]
    fn what_stopped_fades_away() {
        let y: Vec<f64> = (0..400).map(|t| if t < 200 && t % 2 == 0 { 5.0 } else { 0.0 }).collect();
        assert!(tsb(&y, 1).unwrap()[0] < 0.2);
    }

    #[test]
    fn what_is_seldom_zero_or_always_is_not_intermittent() {
        assert!(tsb(&[1.0, 2.0, 0.0, 4.0], 1).is_none());
        assert!(tsb(&[0.0; 9], 1).is_none());
        assert!(tsb(&[-1.0, 0.0, 0.0, 1.0], 1).is_none());
    }
}
