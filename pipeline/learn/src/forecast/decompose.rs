//! Several seasons taken off a series by repeated LOESS (MSTL: Bandara, Hyndman & Bergmeir 2021, on STL: Cleveland et al.
//! 1990), and put on again: a forecast is what remains, continued without season, plus the last cycle of each season.

use serde::{Deserialize, Serialize};
use stlrs::{MstlParams, StlParams};

/// Cycles over which the shortest season may change, in LOESS windows (MSTL's default); each longer one has four more.
const WINDOW: usize = 11;

/// What remains, and how the seasons go on.
pub(super) struct Decomposed {
    /// The series without its seasons.
    pub(super) rest: Vec<f64>,
    /// The last cycle of each season.
    cycles: Vec<Vec<f64>>,
}

/// The last cycle of each season, as they are kept: in parts of a unit, which is a small share of the largest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Seasons {
    unit: f64,
    cycles: Vec<Vec<i16>>,
}

/// Kept seasons are moved by this share of what LOESS would move them: a day later nobody looks back at what was a burst.
const FOLLOWED: f64 = 0.5;
/// Parts of the largest value of a cycle that are told apart.
const PARTS: f64 = 10_000.0;

impl Decomposed {
    /// Takes off those of the periods that the series holds twice. None where it holds none of them.
    pub(super) fn of(y: &[f64], periods: &[usize]) -> Option<Self> {
        let periods = held(y, periods);
        if periods.is_empty() {
            return None;
        }
        let mut stl = StlParams::new();
        let longest = periods.iter().copied().max().unwrap_or(1);
        stl.seasonal_jump((longest / 10).max(1)).low_pass_jump((longest / 10).max(1)).trend_jump((longest / 5).max(1));
        let lengths: Vec<usize> = (0..periods.len()).map(window).collect();
        let mut mstl = MstlParams::new();
        mstl.stl_params(stl).seasonal_lengths(&lengths).iterations(2);
        let fitted = mstl.fit(y, &periods).ok()?;
        let mut rest = y.to_vec();
        for season in fitted.seasonal() {
            rest.iter_mut().zip(season).for_each(|(rest, season)| *rest -= season);
        }
        let last = |(season, period): (&Vec<f64>, &usize)| season[season.len() - period..].to_vec();
        let cycles = fitted.seasonal().iter().zip(&periods).map(last).collect();
        rest.iter().all(|v| v.is_finite()).then_some(Self { rest, cycles })
    }

    /// By the seasons of an earlier decomposition, since when so many values came: a new value moves them half as much as the last one
    /// of a LOESS window does, by how far it lies from the level of the shortest period that ends with it. None where other
    /// seasons would be taken off now, or so much is new that they are better looked for.
    pub(super) fn with(y: &[f64], periods: &[usize], seasons: &Seasons, fresh: usize) -> Option<Self> {
        let periods = held(y, periods);
        let (shortest, longest) = (*periods.iter().min()?, *periods.iter().max()?);
        let mut cycles = seasons.cycles();
        if !cycles.iter().map(Vec::len).eq(periods.iter().copied()) || fresh > 2 * longest {
            return None;
        }
        // The cycles begin after the last of the older values; so does the place of a value in them.
        let older = y.len() - fresh;
        let place = |t: usize, period: usize| (t + (older / period + 1) * period - older) % period;
        let season =
            |cycles: &[Vec<f64>], t: usize| cycles.iter().map(|cycle| cycle[place(t, cycle.len())]).sum::<f64>();
        let rates: Vec<f64> =
            periods.iter().enumerate().map(|(i, p)| FOLLOWED * newest_share(window(i), y.len() / p)).collect();
        for from in (older..y.len()).step_by(shortest) {
            let until = y.len().min(from + shortest);
            let around = until.saturating_sub(shortest)..until;
            let level = around.clone().map(|t| y[t] - season(&cycles, t)).sum::<f64>() / around.len() as f64;
            let apart: Vec<f64> = (from..until).map(|t| y[t] - season(&cycles, t) - level).collect();
            for (t, apart) in (from..until).zip(apart) {
                for (cycle, rate) in cycles.iter_mut().zip(&rates) {
                    let at = place(t, cycle.len());
                    cycle[at] += rate * apart;
                }
            }
        }
        let rest = (0..y.len()).map(|t| y[t] - season(&cycles, t)).collect();
        for cycle in &mut cycles {
            let period = cycle.len();
            cycle.rotate_left(fresh % period);
        }
        Some(Self { rest, cycles })
    }

    /// The seasons, in a unit that is `unit` times as small.
    pub(super) fn seasons(&self, unit: f64) -> Seasons {
        let most = self.cycles.iter().flatten().fold(0.0, |most: f64, value| most.max(value.abs()));
        let part = if most > 0.0 { most / PARTS } else { 1.0 };
        let parts = |cycle: &Vec<f64>| cycle.iter().map(|value| (value / part).round() as i16).collect();
        Seasons { unit: part * unit, cycles: self.cycles.iter().map(parts).collect() }
    }

    /// A continuation of what remains, with the seasons put on again.
    pub(super) fn with_seasons(&self, rest: Vec<f64>) -> Vec<f64> {
        let season = |step: usize| self.cycles.iter().map(|cycle| cycle[step % cycle.len()]).sum::<f64>();
        rest.into_iter().enumerate().map(|(step, value)| value + season(step)).collect()
    }
}

impl Seasons {
    fn cycles(&self) -> Vec<Vec<f64>> {
        let whole = |cycle: &Vec<i16>| cycle.iter().map(|parts| f64::from(*parts) * self.unit).collect();
        self.cycles.iter().map(whole).collect()
    }

    /// The same in a unit that is `unit` times as large.
    pub(super) fn over(&self, unit: f64) -> Self {
        Self { unit: self.unit / unit, cycles: self.cycles.clone() }
    }
}

/// The periods that a series holds twice.
fn held(y: &[f64], periods: &[usize]) -> Vec<usize> {
    periods.iter().copied().filter(|p| *p > 1 && y.len() >= 2 * p).collect()
}

/// The LOESS window of a season, in cycles.
fn window(season: usize) -> usize {
    WINDOW + 4 * season
}

/// The weight of the newest cycle among those of a LOESS window that ends with it, by tricube weights; where there are fewer cycles
/// than the window has, it is widened by half of what is missing (Cleveland et al. 1990).
fn newest_share(window: usize, cycles: usize) -> f64 {
    let seen = cycles.clamp(1, window);
    let reach = (seen - 1 + (window - seen) / 2) as f64;
    let weight = |back: usize| if back == 0 { 1.0 } else { (1.0 - (back as f64 / reach).powi(3)).max(0.0).powi(3) };
    1.0 / (0..seen).map(weight).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::super::tests::noise;
    use super::*;

    #[test]
    fn two_seasons_come_off_and_go_on_again() {
        let cycle = |t: usize, p: usize| (std::f64::consts::TAU * (t % p) as f64 / p as f64).sin();
        let y: Vec<f64> = (0..400).map(|t| 20.0 + 5.0 * cycle(t, 8) + 3.0 * cycle(t, 40)).collect();
        let parts = Decomposed::of(&y[..360], &[8, 40]).unwrap();
        assert!(parts.rest[40..320].iter().all(|v| (v - 20.0).abs() < 1.0));
        let next = parts.with_seasons(vec![20.0; 40]);
        next.iter().zip(&y[360..]).for_each(|(said, came)| assert!((said - came).abs() < 1.5, "{said} {came}"));
    }

    #[test]
    fn a_season_that_was_not_seen_twice_is_none() {
        assert!(Decomposed::of(&[1.0; 30], &[24]).is_none());
    }

    #[test]
    fn kept_seasons_say_nearly_what_new_ones_do() {
        // Two seasons, the short one of which grows, under noise; kept from day to day for a week.
        let cycle = |t: usize, p: usize| (std::f64::consts::TAU * (t % p) as f64 / p as f64).sin();
        let mut seed = 3;
        let y: Vec<f64> = (0..460)
            .map(|t| 20.0 + (5.0 + t as f64 / 100.0) * cycle(t, 8) + 3.0 * cycle(t, 40) + 0.5 * noise(&mut seed))
            .collect();
        let error = |parts: &Decomposed, at: usize| -> f64 {
            let level = parts.rest[at - 40..].iter().sum::<f64>() / 40.0;
            let said = parts.with_seasons(vec![level; 40]);
            said.iter().zip(&y[at..]).map(|(said, came)| (said - came).abs()).sum::<f64>() / 40.0
        };
        let first = Decomposed::of(&y[..361], &[8, 40]).unwrap();
        let same = Decomposed::with(&y[..361], &[8, 40], &first.seasons(7.0).over(7.0), 0).unwrap();
        let near = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 0.01);
        assert!(near(&same.cycles.concat(), &first.cycles.concat()));
        let mut kept = first.seasons(1.0);
        for nights in [361, 369, 377, 380, 387, 395, 403, 420].windows(2) {
            kept = Decomposed::with(&y[..nights[1]], &[8, 40], &kept, nights[1] - nights[0]).unwrap().seasons(1.0);
        }
        let kept = Decomposed::with(&y[..420], &[8, 40], &kept, 0).unwrap();
        let anew = Decomposed::of(&y[..420], &[8, 40]).unwrap();
        let (kept, anew) = (error(&kept, 420), error(&anew, 420));
        assert!(kept < 1.25 * anew && kept < 0.7, "{kept} {anew}");
        assert!(Decomposed::with(&y[..420], &[8], &first.seasons(1.0), 0).is_none(), "other seasons");
        assert!(Decomposed::with(&y[..420], &[8, 40], &first.seasons(1.0), 81).is_none(), "too old");
    }

    #[test]
    fn the_newest_of_few_cycles_counts_as_much_as_the_others() {
        assert!((newest_share(15, 4) - 0.25).abs() < 0.05 && newest_share(11, 1) == 1.0);
        assert!((newest_share(11, 30) - 0.15).abs() < 0.02);
    }
}
