//! Exponential smoothing of a level and up to two seasons at once, with the error of the last step carried on (Taylor 2003,
//! "Short-term electricity demand forecasting using double seasonal exponential smoothing").

use super::optimum::minimise;

/// Values smoothed over; older ones only start the seasons.
const MOST: usize = 1400;

struct Fit {
    squares: f64,
    level: f64,
    seasons: Vec<Vec<f64>>,
    error: f64,
}

/// `rates`: of the level, of each season, and how much of the last error is carried on.
fn pass(y: &[f64], start: &Fit, periods: &[usize], rates: &[f64; 4]) -> Fit {
    let [alpha, short, long, carried] = *rates;
    let gammas = [short, long];
    let mut fit = Fit { squares: 0.0, level: start.level, seasons: start.seasons.clone(), error: 0.0 };
    let skip = periods.iter().copied().max().unwrap_or(0);
    let mut places = [0_usize; 2];
    for (t, value) in y.iter().enumerate() {
        let season: f64 = fit.seasons.iter().zip(places).map(|(season, place)| season[place]).sum();
        let surprise = value - fit.level - season;
        if t >= skip {
            fit.squares += (surprise - carried * fit.error).powi(2);
        }
        fit.level += alpha * surprise;
        for (i, season) in fit.seasons.iter_mut().enumerate() {
            season[places[i]] += gammas[i] * surprise;
            places[i] += 1;
            if places[i] == periods[i] {
                places[i] = 0;
            }
        }
        fit.error = surprise;
    }
    fit
}

/// Level and seasons of the first cycles: means, the shorter season first.
fn start(y: &[f64], periods: &[usize]) -> Fit {
    let longest = periods.iter().copied().max().unwrap_or(1);
    let first = &y[..(2 * longest).min(y.len())];
    let level = first.iter().sum::<f64>() / first.len() as f64;
    let mut rest: Vec<f64> = first.iter().map(|v| v - level).collect();
    let mut seasons = Vec::new();
    for period in periods {
        let mut season = vec![(0.0, 0.0); *period];
        for (t, value) in rest.iter().enumerate() {
            season[t % period].0 += value;
            season[t % period].1 += 1.0;
        }
        let season: Vec<f64> = season.into_iter().map(|(sum, n)| if n > 0.0 { sum / n } else { 0.0 }).collect();
        rest.iter_mut().enumerate().for_each(|(t, value)| *value -= season[t % period]);
        seasons.push(season);
    }
    Fit { squares: 0.0, level, seasons, error: 0.0 }
}

/// The `steps` values after the series, for the (at most two, longest) periods that it holds three times, and the rates, which
/// another night may take over.
pub(super) fn forecast(
    y: &[f64],
    periods: &[usize],
    steps: usize,
    kept: Option<[f64; 4]>,
) -> Option<(Vec<f64>, [f64; 4])> {
    let y = &y[y.len().saturating_sub(MOST)..];
    let mut used: Vec<usize> = periods.iter().copied().filter(|p| *p > 1 && y.len() >= 3 * p).collect();
    used.sort_unstable();
    let used = &used[used.len().saturating_sub(2)..];
    if used.is_empty() {
        return None;
    }
    let begin = start(y, used);
    let of = |x: &[f64; 4]| pass(y, &begin, used, x).squares;
    let high = [0.5, 0.6, 0.6, 0.99];
    let rates = kept.unwrap_or_else(|| minimise([0.05, 0.1, 0.2, 0.7], [0.0; 4], high, 120, of).0);
    let fit = pass(y, &begin, used, &rates);
    let mut carried = fit.error;
    let values = (0..steps).map(|step| {
        carried *= rates[3];
        let season: f64 = fit.seasons.iter().zip(used).map(|(s, p)| s[(y.len() + step) % p]).sum();
        fit.level + season + carried
    });
    Some((values.collect(), rates))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_seasons_over_a_level_are_continued() {
        let y: Vec<f64> =
            (0..160).map(|t| 10.0 + [0.0, 3.0, -3.0, 1.0][t % 4] + (t % 20 >= 16) as u8 as f64 * 4.0).collect();
        let next = forecast(&y[..120], &[4, 20], 40, None).unwrap().0;
        next.iter().zip(&y[120..]).for_each(|(said, came)| assert!((said - came).abs() < 0.2, "{said} {came}"));
    }

    #[test]
    fn without_three_cycles_there_is_none() {
        assert!(forecast(&[1.0; 50], &[24], 3, None).is_none());
        assert!(forecast(&[1.0; 50], &[], 3, None).is_none());
    }
}
