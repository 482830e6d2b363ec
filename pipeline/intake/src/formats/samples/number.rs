//! Numbers as sources count: whole ones from 2^53 on too, which no float holds exactly.

use domain::json::number;
use serde_json::{Value, json};
use std::cmp::Ordering;

/// From here on, neighbouring whole numbers are one float.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// A number of a point.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in super::super) enum Number {
    Whole(i128),
    /// Neither whole nor, if it is, below 2^53 as a float.
    Float(f64),
}

impl From<f64> for Number {
    fn from(float: f64) -> Self {
        if float.fract() == 0.0 && float.abs() < EXACT { Self::Whole(float as i128) } else { Self::Float(float) }
    }
}

impl Number {
    /// Reads digits, or whatever else Rust takes for a float.
    pub(in super::super) fn parse(text: &str) -> Option<Self> {
        text.parse().ok().map(Self::Whole).or_else(|| text.parse::<f64>().ok().map(Self::from))
    }

    /// A JSON number, be it one that no 64 bits hold, or a text with one.
    pub(in super::super) fn of(value: &Value) -> Option<Self> {
        match value {
            Value::String(text) => Self::parse(text),
            Value::Number(number) => Self::parse(&number.to_string()),
            Value::Object(map) => Self::parse(number::digits(map)?),
            _ => None,
        }
    }

    /// The nearest float.
    pub(in super::super) fn float(self) -> f64 {
        match self {
            Self::Whole(whole) => whole as f64,
            Self::Float(float) => float,
        }
    }

    /// How much more it is, exact between whole numbers.
    pub(super) fn less(self, other: Self) -> f64 {
        match (self, other) {
            (Self::Whole(a), Self::Whole(b)) => a.saturating_sub(b) as f64,
            _ => self.float() - other.float(),
        }
    }

    /// As it is written in an event: a float where that says it exactly.
    pub(in super::super) fn json(self) -> Value {
        match self {
            Self::Whole(whole) if (whole as f64).abs() >= EXACT => number::value(&whole.to_string()),
            _ => json!(self.float()),
        }
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Whole(a), Self::Whole(b)) => Some(a.cmp(b)),
            _ => self.float().partial_cmp(&other.float()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_keep_their_digits_beyond_what_floats_hold() {
        for digits in ["9007199254740993", "-9007199254740993", "18446744073709551615", "36893488147419103233"] {
            let number = Number::parse(digits).unwrap();
            let mut written = String::new();
            domain::identity::canonical(&number.json(), &mut written);
            assert_eq!(written, digits);
            assert_eq!(Number::of(&number.json()), Some(number));
            assert_eq!(Number::of(&json!(digits)), Some(number));
        }
        let counter = |digits| Number::parse(digits).unwrap();
        assert_eq!(counter("9007199254740993").less(counter("9007199254740990")), 3.0);
        assert!(counter("9007199254740993") > counter("9007199254740992"));
        assert_eq!(Number::parse("3"), Some(Number::from(3.0)));
        assert_eq!(
            (Number::parse("2.5").unwrap().json(), Number::parse("3").unwrap().json()),
            (json!(2.5), json!(3.0))
        );
        assert_eq!(Number::parse("1e300").map(Number::float), Some(1e300));
        assert!(Number::parse("NaN").is_some_and(|number| number.float().is_nan()));
        assert_eq!((Number::parse("x"), Number::of(&json!({"a": "3"})), Number::of(&json!(null))), (None, None, None));
    }
}
