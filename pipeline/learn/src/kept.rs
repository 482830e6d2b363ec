//! How models are written and read back. Owns the rule that what is kept can be read, is finite, and sends no row astray:
//! a model is checked when it is written and whenever it is read, so that one that was damaged, or handed over by somebody
//! else, is an error and neither a panic nor an endless walk.

use crate::LearnError;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// A model as it is kept.
pub(crate) trait Kept: Serialize + DeserializeOwned {
    /// Its name.
    const NAME: &'static str;
    /// Its format: what this program writes and reads.
    const FORMAT: u32;

    /// Says what is wrong with it.
    fn check(&self) -> Result<(), String>;
}

/// As JSON, the same bytes for the same model; refused unless it can be read back as it is.
pub(crate) fn write<K: Kept>(kept: &K) -> Result<Vec<u8>, LearnError> {
    let bytes = serde_json::to_vec(kept).map_err(|e| broken::<K>(e.to_string()))?;
    // JSON has no infinity and no NaN: they are written as null, which is no number when it is read.
    read::<K>(&bytes).map_err(|error| match error {
        LearnError::Model { model, reason } => LearnError::NotKept { model, reason },
        other => other,
    })?;
    Ok(bytes)
}

/// Reads a kept model.
///
/// # Errors
/// [`LearnError::Newer`] for a format later than this program's; [`LearnError::Model`] for an earlier one, or a damaged model.
pub(crate) fn read<K: Kept>(bytes: &[u8]) -> Result<K, LearnError> {
    // The version first: an older model is told apart from a broken one.
    #[derive(Deserialize)]
    struct Version {
        format_version: u32,
    }
    let found: Version = serde_json::from_slice(bytes).map_err(|e| broken::<K>(e.to_string()))?;
    let (found, known) = (found.format_version, K::FORMAT);
    if found > known {
        return Err(LearnError::Newer { what: format!("model {}", K::NAME), found, known });
    }
    if found < known {
        return Err(broken::<K>(format!("it has format version {found}, this program reads {known}")));
    }
    let kept: K = serde_json::from_slice(bytes).map_err(|e| broken::<K>(e.to_string()))?;
    kept.check().map_err(broken::<K>)?;
    Ok(kept)
}

fn broken<K: Kept>(reason: String) -> LearnError {
    LearnError::Model { model: K::NAME, reason }
}

/// Refuses numbers that are not finite.
pub(crate) fn finite(what: &str, mut numbers: impl Iterator<Item = f64>) -> Result<(), String> {
    if numbers.all(f64::is_finite) { Ok(()) } else { Err(format!("{what} is not finite")) }
}

/// Refuses a tree whose parts are not equally long, that asks for a feature beyond `features`, or whose children do not come
/// after their parents: a row would leave it, or never arrive.
pub(crate) fn tree(left: &[u32], feature: &[u16], others: &[usize], features: usize) -> Result<(), String> {
    let nodes = left.len();
    if nodes == 0 || feature.len() != nodes || others.iter().any(|n| *n != nodes) {
        return Err(format!("a tree of {nodes} nodes has parts of other lengths"));
    }
    for (at, (&left, &feature)) in left.iter().zip(feature).enumerate().filter(|(_, (left, _))| **left != 0) {
        let left = left as usize;
        if left <= at || left + 1 >= nodes {
            return Err(format!("node {at} of a tree leads to node {left} of {nodes}"));
        }
        if usize::from(feature) >= features {
            return Err(format!("a tree asks for feature {feature} of {features}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Serialize, Deserialize)]
    struct Toy {
        format_version: u32,
        value: f64,
    }

    impl Kept for Toy {
        const NAME: &'static str = "toy";
        const FORMAT: u32 = 2;

        fn check(&self) -> Result<(), String> {
            finite("the value", std::iter::once(self.value))
        }
    }

    #[test]
    fn what_is_not_finite_is_not_kept() {
        let kept = |value| write(&Toy { format_version: 2, value });
        assert!(kept(1.0).is_ok());
        for value in [f64::NAN, f64::INFINITY] {
            assert!(matches!(kept(value), Err(LearnError::NotKept { model: "toy", .. })));
        }
    }

    #[test]
    fn other_formats_are_told_apart() {
        let read = |text: &str| read::<Toy>(text.as_bytes());
        assert!(matches!(
            read(r#"{"format_version": 3, "other": []}"#),
            Err(LearnError::Newer { found: 3, known: 2, .. })
        ));
        assert!(matches!(read(r#"{"format_version": 1, "other": []}"#), Err(LearnError::Model { .. })));
        assert!(matches!(read(r#"{"format_version": 2, "value": 1e999}"#), Err(LearnError::Model { .. })));
        assert!(matches!(read("{"), Err(LearnError::Model { .. })));
        assert!(read(r#"{"format_version": 2, "value": 1.5}"#).is_ok());
    }

    #[test]
    fn a_tree_that_leads_nowhere_or_in_circles_is_refused() {
        let of = |left: &[u32], feature: &[u16]| tree(left, feature, &[left.len()], 2);
        assert!(of(&[1, 0, 0], &[1, 0, 0]).is_ok());
        assert!(of(&[0], &[9]).is_ok(), "a leaf asks for nothing");
        assert!(of(&[1, 1, 0], &[0, 0, 0]).is_err(), "round in circles");
        assert!(of(&[2, 0, 0], &[0, 0, 0]).is_err(), "beyond the end");
        assert!(of(&[1, 0, 0], &[2, 0, 0]).is_err(), "no such feature");
        assert!(of(&[1, 0, 0], &[0, 0]).is_err() && of(&[], &[]).is_err());
    }
}
