//! How unusual each value of a stream is, by what was known when it came: no value later than it is looked at.
//!
//! Three surprises are measured: how far the value is from the mean of the last few hundred (a spike), from what is usual at
//! its place in the cycle (a spike or a gap that a season hides), and how far the level of the last two dozen is from that of
//! the ten times as many before (a shift, a drift). Each is divided by the largest of its kind so far, which slowly fades: as in the
//! theory of records (Chandler 1952) a stream that does not change breaks its record ever more seldom, whatever its
//! distribution, and an anomaly that lasts is told once, when it begins. The largest of the three ratios is the score.

use std::collections::VecDeque;

/// Values whose mean is the usual level.
const LONG: usize = 300;
/// Values whose level is compared with that of those before them, up to [`BEFORE`] in all.
const SHORT: usize = 24;
const BEFORE: usize = 240;
/// Cycles in which a place is looked up, with its neighbours.
const CYCLES: usize = 7;
/// Values before records are kept, and before anything is told.
const UNSETTLED: usize = 10;
const QUIET: usize = 50;
/// A record of so many values ago counts half.
const HALF_LIFE: f64 = 10_000.0;
/// How much larger a record must be right after another was told, and after how many values that is halved.
const MARGIN: f64 = 0.3;
const MARGIN_HALF_LIFE: f64 = 100.0;
/// Ratios are cut here: what comes after a flat line has no unit.
const LARGEST: f64 = 1e3;

/// Reads a stream value by value.
pub struct Detector {
    /// Values in a cycle; none: no season is looked for.
    period: Option<usize>,
    seen: VecDeque<f64>,
    /// How often each surprise was measured, and its record.
    counts: [usize; 3],
    records: [f64; 3],
    margin: f64,
}

impl Detector {
    /// Knows nothing yet. `period` is the number of values in a cycle, a day for example.
    pub fn new(period: Option<usize>) -> Self {
        let period = period.filter(|p| *p > 1);
        Self { period, seen: VecDeque::new(), counts: [0; 3], records: [0.0; 3], margin: 0.0 }
    }

    /// The number of values in a cycle, where it turns out after the first values only.
    pub fn set_period(&mut self, period: Option<usize>) {
        self.period = period.filter(|p| *p > 1);
    }

    /// How unusual the next value is, 0 to 1: above one half, no value of the stream was as unusual before.
    pub fn next(&mut self, value: f64) -> f64 {
        let surprises = self.surprises(value);
        let fade = |half_life: f64| 0.5_f64.powf(1.0 / half_life);
        let mut ratio: f64 = 0.0;
        for ((record, count), surprise) in self.records.iter_mut().zip(&mut self.counts).zip(surprises) {
            let Some(surprise) = surprise else { continue };
            if *count > QUIET && surprise > 0.0 {
                ratio = ratio.max(if *record > 0.0 { (surprise / *record).min(LARGEST) } else { LARGEST });
            }
            if *count > UNSETTLED {
                *record = (*record * fade(HALF_LIFE)).max(surprise);
            }
            *count += 1;
        }
        ratio /= 1.0 + self.margin;
        self.margin = if ratio > 1.0 { MARGIN } else { self.margin * fade(MARGIN_HALF_LIFE) };
        self.seen.push_back(value);
        let most = LONG.max(BEFORE).max(self.period.map_or(0, |p| CYCLES * p + 1));
        if self.seen.len() > most {
            self.seen.pop_front();
        }
        ratio / (1.0 + ratio)
    }

    /// None where too little is known to measure it.
    fn surprises(&self, value: f64) -> [Option<f64>; 3] {
        let n = self.seen.len();
        if n == 0 {
            return [None; 3];
        }
        let mean = |from: usize, to: usize| self.seen.range(from..to).sum::<f64>() / (to - from).max(1) as f64;
        let spike = (value - mean(n.saturating_sub(LONG), n)).abs();
        // The short level has the value itself in it.
        let begin = (n + 1).saturating_sub(SHORT);
        let short = (self.seen.range(begin.min(n)..n).sum::<f64>() + value) / (n + 1 - begin) as f64;
        let before = (n + 1).saturating_sub(BEFORE);
        let shift = (begin > before).then(|| (short - mean(before, begin)).abs());
        // What rounding leaves of sums of large values is no surprise.
        let noise = 1e-9 * (value.abs() + short.abs());
        [Some(spike), self.odd_place(value), shift].map(|s| s.map(|s| if s > noise { s } else { 0.0 }))
    }

    /// How far from the median of the same place, and the two beside it, in the cycles before.
    fn odd_place(&self, value: f64) -> Option<f64> {
        let n = self.seen.len();
        let period = self.period.filter(|period| n > 2 * period)?;
        let mut usual = Vec::with_capacity(3 * CYCLES);
        for cycle in (1..=CYCLES).take_while(|cycle| cycle * period < n) {
            let centre = n - cycle * period;
            usual.extend(self.seen.range(centre - 1..(centre + 2).min(n)).copied());
        }
        let middle = usual.len() / 2;
        Some((value - *usual.select_nth_unstable_by(middle, f64::total_cmp).1).abs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forecast::tests::{daily, noise};

    fn scores(values: &[f64], period: Option<usize>) -> Vec<f64> {
        let mut detector = Detector::new(period);
        values.iter().map(|value| detector.next(*value)).collect()
    }

    #[test]
    fn a_spike_is_told_when_it_comes_and_not_before() {
        let mut seed = 3;
        let mut values: Vec<f64> = (0..600).map(|_| 10.0 + noise(&mut seed)).collect();
        values[400] = 40.0;
        let found = scores(&values, None);
        assert!(found[400] > 0.9, "{}", found[400]);
        assert!(found[200..400].iter().all(|s| *s < 0.6));
        // Told once: what is usual again is not unusual.
        assert!(found[430..].iter().all(|s| *s < 0.5));
        assert_eq!(found[..400], scores(&values[..400], None)[..], "nothing later is looked at");
    }

    #[test]
    fn a_value_at_the_wrong_hour_is_unusual_though_the_day_has_such_values() {
        let mut values = daily(24 * 20, 1.0, 0.05, 9);
        let night = 24 * 15 + 18;
        values[night] = 2.9;
        assert!(scores(&values, Some(24))[night] > 0.8, "{:?}", &scores(&values, Some(24))[night - 2..=night]);
        assert!(scores(&values, None)[night] < 0.6);
        assert!(scores(&values, Some(24))[..night].iter().all(|s| *s < 0.7), "also when the season begins to be known");
    }

    #[test]
    fn a_shift_of_the_level_is_told_within_its_first_values() {
        let mut seed = 4;
        let values: Vec<f64> = (0..900).map(|t| if t < 700 { 10.0 } else { 11.0 } + 0.9 * noise(&mut seed)).collect();
        let found = scores(&values, None);
        assert!(found[700..724].iter().any(|s| *s > 0.55), "{:?}", &found[700..724]);
    }

    #[test]
    fn a_flat_line_is_not_unusual_but_what_follows_is() {
        let mut values = vec![0.1; 200];
        values.push(0.2);
        let found = scores(&values, Some(24));
        assert!(found[..200].iter().all(|s| *s == 0.0));
        assert!(found[200] > 0.99);
    }
}
