//! How much the rows of forks and strangers count, so that no one can bend the model by sending many.
//!
//! A row counts 1, a stranger's [`STRANGER`]. Then the sum over the rows of one stranger is cut to [`ONE_STRANGER`] of the
//! sum over all trusted rows (members and our own measurements), and that of one member to [`ONE_MEMBER`] of it, or to
//! twice an equal share where members are few: w = w min(1, cap / sum w). What strangers say of the past of a key is not
//! used at all. Beyond weights there is a hard bound: [`bounded`].

use domain::probability::Trust;
use std::collections::BTreeMap;

/// What a stranger's row counts.
const STRANGER: f64 = 0.25;
/// The most that one stranger counts, as a share of all that is trusted.
const ONE_STRANGER: f64 = 0.01;
/// The most that one member counts.
const ONE_MEMBER: f64 = 0.2;
/// Strangers together move no probability by more than this from what is learnt without them.
pub(crate) const BOUND: f64 = 0.05;

/// Who made a row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Origin {
    /// None: our own measurement.
    pub(crate) contributor: Option<String>,
    pub(crate) stranger: bool,
}

/// The weights of some rows, and what was done to them. Strangers without a name are one stranger.
pub(crate) fn weights(origins: &[&Origin]) -> (Vec<f32>, Trust) {
    let plain = |origin: &Origin| if origin.stranger { STRANGER } else { 1.0 };
    let trusted = origins.iter().filter(|origin| !origin.stranger).count() as f64;
    let mut sums: BTreeMap<&Origin, f64> = BTreeMap::new();
    for origin in origins.iter().filter(|origin| origin.stranger || origin.contributor.is_some()) {
        *sums.entry(origin).or_insert(0.0) += plain(origin);
    }
    let members = sums.keys().filter(|origin| !origin.stranger).count();
    let member_share = ONE_MEMBER.max(2.0 / members.max(1) as f64);
    let cap = |origin: &Origin| trusted * if origin.stranger { ONE_STRANGER } else { member_share };
    let cut: BTreeMap<&Origin, f64> = sums
        .into_iter()
        .filter(|(origin, sum)| trusted > 0.0 && *sum > cap(origin))
        .map(|(origin, sum)| (origin, cap(origin) / sum))
        .collect();
    let weight = |origin: &&Origin| (plain(origin) * cut.get(*origin).copied().unwrap_or(1.0)) as f32;
    let trust = Trust {
        stranger_rows: origins.iter().filter(|origin| origin.stranger).count(),
        capped_contributors: cut.len(),
        strangers_move_at_most: None,
    };
    (origins.iter().map(weight).collect(), trust)
}

/// What is said with strangers' rows, held to what is said without them.
pub(crate) fn bounded(with: f64, without: f64) -> f64 {
    with.clamp(without - BOUND, without + BOUND).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by(contributor: Option<&str>, stranger: bool) -> Origin {
        Origin { contributor: contributor.map(str::to_owned), stranger }
    }

    #[test]
    fn a_thousand_rows_of_one_stranger_count_a_hundredth_of_what_is_trusted() {
        let (ours, theirs) = (by(None, false), by(Some("mallory"), true));
        let origins: Vec<&Origin> = std::iter::repeat_n(&ours, 200).chain(std::iter::repeat_n(&theirs, 1000)).collect();
        let (weights, trust) = weights(&origins);
        let sum: f32 = weights[200..].iter().sum();
        assert!((sum - 2.0).abs() < 0.01 && weights[0] == 1.0, "{sum}");
        assert_eq!((trust.stranger_rows, trust.capped_contributors), (1000, 1));
    }

    #[test]
    fn a_member_counts_no_more_than_a_fifth_among_many() {
        let (busy, quiet): (Origin, Vec<Origin>) =
            (by(Some("busy"), false), (0..20).map(|i| by(Some(&format!("m{i}")), false)).collect());
        let origins: Vec<&Origin> = std::iter::repeat_n(&busy, 80).chain(&quiet).collect();
        let (weights, _) = weights(&origins);
        let sum: f32 = weights[..80].iter().sum();
        assert!((sum - 20.0).abs() < 0.01 && weights[99] == 1.0, "{sum}");
        // Alone, a member is all there is.
        assert_eq!(super::weights(&[&busy, &busy]).0, [1.0, 1.0]);
    }
}
