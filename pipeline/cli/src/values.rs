//! Readers of the options' values that are spans or shares: what lies outside their bounds is refused with how it is written.

use domain::{time, units};
use std::ops::{RangeBounds, RangeInclusive};
use std::time::Duration;

/// A span such as `90s`, in microseconds.
pub fn span(within: RangeInclusive<i64>, hint: &'static str) -> impl Fn(&str) -> Result<i64, String> + Clone {
    move |text| time::parse_span(text).filter(|span| within.contains(span)).ok_or_else(|| hint.to_owned())
}

/// The same to be waited for.
pub fn wait(within: RangeInclusive<i64>, hint: &'static str) -> impl Fn(&str) -> Result<Duration, String> + Clone {
    let span = span(within, hint);
    move |text| span(text).map(|span| Duration::from_micros(span.unsigned_abs()))
}

/// A share such as `20%` or `0.2`.
pub fn share(
    within: impl RangeBounds<f64> + Clone,
    hint: &'static str,
) -> impl Fn(&str) -> Result<f64, String> + Clone {
    move |text| units::parse_share(text).filter(|share| within.contains(share)).ok_or_else(|| hint.to_owned())
}
