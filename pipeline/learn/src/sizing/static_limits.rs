//! The limits as they are: what happens when nobody does anything.

use super::Decision;
use crate::usage::Day;

/// In words.
pub(super) const BASIS: &str = "the limits last observed";

/// The newest observed limits, whatever was used.
pub(super) fn decide(days: &[Day]) -> Decision {
    let target = days.last().map(|d| d.newest_limits).unwrap_or_default();
    Decision { lower: target, target, upper: target }
}
