//! Several seasons taken off a series by repeated LOESS (MSTL: Bandara, Hyndman & Bergmeir 2021, on STL: Cleveland et al.
//! 1990), and put on again: a forecast is what remains, continued without season, plus the last cycle of each season.

use stlrs::{MstlParams, StlParams};

/// What remains, and how the seasons go on.
pub(super) struct Decomposed {
    /// The series without its seasons.
    pub(super) rest: Vec<f64>,
    /// The last cycle of each season.
    cycles: Vec<Vec<f64>>,
}

impl Decomposed {
    /// Takes off those of the periods that the series holds twice. None where it holds none of them.
    pub(super) fn of(y: &[f64], periods: &[usize], window: usize) -> Option<Self> {
        let periods: Vec<usize> = periods.iter().copied().filter(|p| *p > 1 && y.len() >= 2 * p).collect();
        if periods.is_empty() {
            return None;
        }
        let mut stl = StlParams::new();
        let longest = periods.iter().copied().max().unwrap_or(1);
        stl.seasonal_jump((longest / 10).max(1)).low_pass_jump((longest / 10).max(1)).trend_jump((longest / 5).max(1));
        let lengths: Vec<usize> = (0..periods.len()).map(|i| window + 4 * i).collect();
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

    /// A continuation of what remains, with the seasons put on again.
    pub(super) fn with_seasons(&self, rest: Vec<f64>) -> Vec<f64> {
        let season = |step: usize| self.cycles.iter().map(|cycle| cycle[step % cycle.len()]).sum::<f64>();
        rest.into_iter().enumerate().map(|(step, value)| value + season(step)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_seasons_come_off_and_go_on_again() {
        let cycle = |t: usize, p: usize| (std::f64::consts::TAU * (t % p) as f64 / p as f64).sin();
        let y: Vec<f64> = (0..400).map(|t| 20.0 + 5.0 * cycle(t, 8) + 3.0 * cycle(t, 40)).collect();
        let parts = Decomposed::of(&y[..360], &[8, 40], 11).unwrap();
        assert!(parts.rest[40..320].iter().all(|v| (v - 20.0).abs() < 1.0));
        let next = parts.with_seasons(vec![20.0; 40]);
        next.iter().zip(&y[360..]).for_each(|(said, came)| assert!((said - came).abs() < 1.5, "{said} {came}"));
    }

    #[test]
    fn a_season_that_was_not_seen_twice_is_none() {
        assert!(Decomposed::of(&[1.0; 30], &[24], 11).is_none());
    }
}
