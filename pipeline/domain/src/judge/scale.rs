//! On which scale two observations are compared, and what can be said when one of them is only known to lie beyond a limit.
//!
//! Metrics without zeros are compared by their ratio (the scale is logarithmic), others by their difference. Either is turned
//! so that more is worse. The choice depends on the values of both arms together and not on which arm they are from, so that
//! swapping the members of a pair changes the sign of its difference and nothing else: the tests by sign flips stay exact.
//!
//! A censored value (a time-out) is known to be at least what was recorded; a zero on a logarithmic scale (a duration that was
//! rounded down) at most the smallest positive value. Which of two such values is larger is said only when it is certain
//! (Gehan 1965, Biometrika 52, 203-223), also after the control was moved by the margin: then `min(x (1 + M), limit)` is held
//! against `min(y, limit)`, which are alike in law for a candidate at the margin.

use super::pairs::Row;
use super::rules::{Direction, Margin, Rules};

/// How values are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// By their ratio.
    Ratio,
    /// By their difference.
    Difference,
}

/// More zeros than this share are no durations rounded down but counts, shares and yes or no.
const FEW_ZEROS: f64 = 0.1;

/// What was seen of the values of both arms.
#[derive(Clone, Debug)]
pub struct Seen {
    rows: usize,
    zeros: usize,
    /// The smallest above zero.
    floor: f64,
    /// The smallest of all, and the largest.
    pub range: (f64, f64),
    /// Whether all above zero are the same.
    pub is_presence: bool,
}

impl Default for Seen {
    fn default() -> Self {
        let range = (f64::INFINITY, f64::NEG_INFINITY);
        Self { rows: 0, zeros: 0, floor: f64::INFINITY, range, is_presence: true }
    }
}

impl Seen {
    pub fn add(&mut self, row: &Row) {
        self.rows += 1;
        self.zeros += usize::from(row.value == 0.0);
        if row.value > 0.0 {
            self.is_presence &= self.floor.is_infinite() || row.value == self.floor;
            self.floor = self.floor.min(row.value);
        }
        self.range = (self.range.0.min(row.value), self.range.1.max(row.value));
    }

    /// Whether there are slow ones among them, and not just some that are not zero.
    pub fn has_tail(&self) -> bool {
        self.zeros as f64 <= FEW_ZEROS * self.rows as f64
    }

    /// How these values are compared.
    pub fn scale(&self, rules: &Rules) -> Scale {
        let is_positive = self.range.0 >= 0.0 && self.has_tail();
        match rules.margin {
            Margin::Relative(_) if is_positive => Scale::Ratio,
            _ => Scale::Difference,
        }
    }
}

/// What is known of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    Exactly,
    AtLeast,
    AtMost,
    /// Between limits on both sides: nothing that would help.
    Hardly,
}

/// An observation on the scale, turned so that more is worse.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    pub at: f64,
    pub known: Known,
}

/// The mean of a unit's rows; on a scale of ratios that is the logarithm of their geometric mean.
pub fn point(rows: &[Row], scale: Scale, seen: &Seen, direction: Direction) -> Point {
    let mut sum = 0.0;
    let mut known = Known::Exactly;
    for row in rows {
        let (value, of_row) = match (scale, row.censored) {
            (Scale::Ratio, _) if row.value <= 0.0 => (seen.floor.ln(), Known::AtMost),
            (Scale::Ratio, false) => (row.value.ln(), Known::Exactly),
            (Scale::Ratio, true) => (row.value.ln(), Known::AtLeast),
            (Scale::Difference, false) => (row.value, Known::Exactly),
            (Scale::Difference, true) => (row.value, Known::AtLeast),
        };
        // Without a positive value there is no floor: all are zero, and alike.
        sum += if value.is_finite() { value } else { 0.0 };
        known = match (known, of_row) {
            (Known::Exactly, other) | (other, Known::Exactly) => other,
            (one, other) if one == other => one,
            _ => Known::Hardly,
        };
    }
    let mean = sum / rows.len().max(1) as f64;
    match direction {
        Direction::LowerIsBetter => Point { at: mean, known },
        Direction::HigherIsBetter => {
            let known = match known {
                Known::AtLeast => Known::AtMost,
                Known::AtMost => Known::AtLeast,
                same => same,
            };
            Point { at: -mean, known }
        }
    }
}

/// The points beyond which nothing is known of some: the least `AtLeast`, the greatest `AtMost`.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    least: f64,
    greatest: f64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { least: f64::INFINITY, greatest: f64::NEG_INFINITY }
    }
}

impl Limits {
    pub fn add(&mut self, point: Point) {
        match point.known {
            Known::AtLeast => self.least = self.least.min(point.at),
            Known::AtMost => self.greatest = self.greatest.max(point.at),
            Known::Exactly | Known::Hardly => {}
        }
    }

    /// How much worse the candidate is than its control moved by `shift`; 0: alike, or not known.
    ///
    /// The sign is what is certain. The amount is measured between the limits, so that it has the same law whichever of the
    /// two lies beyond one.
    pub fn compare(&self, control: Point, candidate: Point, shift: f64) -> f64 {
        let control = Point { at: control.at + shift, ..control };
        let is_above = |one: Point, other: Point| {
            one.at > other.at
                && matches!(one.known, Known::Exactly | Known::AtLeast)
                && matches!(other.known, Known::Exactly | Known::AtMost)
        };
        let sign = match (is_above(candidate, control), is_above(control, candidate)) {
            (true, _) => 1.0,
            (_, true) => -1.0,
            _ => return 0.0,
        };
        let (low, high) = (self.greatest + shift.max(0.0), self.least + shift.min(0.0));
        let within = |point: Point| point.at.max(low).min(high);
        sign * (within(candidate) - within(control)).abs().clamp(f64::MIN_POSITIVE, f64::MAX)
    }
}

/// Whether both values are known and the same.
pub fn is_tie(control: Point, candidate: Point) -> bool {
    control == candidate && control.known == Known::Exactly
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(value: f64, censored: bool) -> Row {
        Row { value, censored, at: 0 }
    }

    fn seen(values: &[f64]) -> Seen {
        let mut seen = Seen::default();
        values.iter().for_each(|value| seen.add(&row(*value, false)));
        seen
    }

    #[test]
    fn the_scale_follows_from_the_values() {
        let rules = Rules::default();
        assert_eq!(seen(&[1.0, 2.0]).scale(&rules), Scale::Ratio);
        assert_eq!(seen(&[0.0, 2.0, 1.0]).scale(&rules), Scale::Difference);
        let mut one_zero = vec![5.0; 19];
        one_zero.push(0.0);
        assert_eq!(seen(&one_zero).scale(&rules), Scale::Ratio, "a duration that was rounded down");
        assert_eq!(seen(&[-1.0, 2.0]).scale(&rules), Scale::Difference);
        let absolute = Rules { margin: Margin::Absolute(1.0), ..rules };
        assert_eq!(seen(&[1.0, 2.0]).scale(&absolute), Scale::Difference);
        assert!(seen(&[0.0, 1.0, 1.0]).is_presence && !seen(&[0.0, 1.0, 2.0]).is_presence);
    }

    #[test]
    fn what_lies_beyond_a_limit_is_compared_only_when_it_is_certain() {
        let all = seen(&[1.0]);
        let at = |value, censored| point(&[row(value, censored)], Scale::Ratio, &all, Direction::LowerIsBetter);
        let mut limits = Limits::default();
        let (timed_out, fast, slow) = (at(1200.0, true), at(800.0, false), at(1100.0, false));
        limits.add(timed_out);
        assert!(limits.compare(fast, timed_out, 0.0) > 0.0);
        assert!(limits.compare(timed_out, fast, 0.0) < 0.0);
        assert_eq!(limits.compare(timed_out, timed_out, 0.0), 0.0);
        // 1100 and a fifth more would have run into the time-out too.
        assert_eq!(limits.compare(slow, timed_out, 1.2f64.ln()), 0.0);
        let apart = limits.compare(slow, fast, 1.2f64.ln());
        assert!((apart - (800.0f64 / 1200.0).ln()).abs() < 1e-12, "the limit bounds it: {apart}");
    }

    #[test]
    fn swapping_a_pair_swaps_the_sign() {
        let all = seen(&[3.0, 0.0]);
        let points = [(1.0, false), (3.0, true), (0.0, false), (2.0, false), (3.0, false)]
            .map(|(value, censored)| point(&[row(value, censored)], Scale::Ratio, &all, Direction::LowerIsBetter));
        let mut limits = Limits::default();
        points.iter().for_each(|point| limits.add(*point));
        for a in points {
            for b in points {
                assert_eq!(limits.compare(a, b, 0.0), -limits.compare(b, a, 0.0), "{a:?} {b:?}");
            }
        }
    }

    #[test]
    fn a_unit_is_its_mean_and_more_is_worse() {
        let all = seen(&[1.0, 100.0]);
        let rows = [row(1.0, false), row(100.0, true)];
        let unit = point(&rows, Scale::Ratio, &all, Direction::LowerIsBetter);
        assert!((unit.at - 10f64.ln()).abs() < 1e-12 && unit.known == Known::AtLeast);
        let turned = point(&rows, Scale::Difference, &all, Direction::HigherIsBetter);
        assert_eq!(turned, Point { at: -50.5, known: Known::AtMost });
    }
}
