//! From rows to pairs: what belongs to one unit is one observation, and each observation of the candidate is held against one
//! of the control of about the same time.
//!
//! The unit is the unit of randomisation (Kohavi, Tang & Xu 2020, "Trustworthy Online Controlled Experiments", ch. 14): what
//! one user does twice is not two independent observations. A unit that is in both arms is its own pair. Others are paired as
//! they come: whoever arrives is paired with the latest of the other arm that has no partner yet, so that a drift that both
//! arms share cancels, also when one arm gets ten times as much traffic. A pair is there from when its later member is.
//!
//! Nothing here looks at a value except to tell rows apart, and nothing depends on the order in which rows are handed over.

use super::{Arm, JudgeError, Observation};
use siphasher::sip::SipHasher13;
use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::ops::Range;

/// One row of one arm.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    pub value: f64,
    pub censored: bool,
    pub at: i64,
}

/// The rows of one unit in one arm, in the order of their time.
#[derive(Clone, Debug)]
pub struct Member {
    rows: Range<usize>,
}

/// A unit of the control and one of the candidate.
#[derive(Clone, Debug)]
pub struct Pair {
    pub control: Member,
    pub candidate: Member,
    /// When both are there.
    pub at: i64,
    /// Time between their first rows.
    distance: u64,
}

/// What was handed over, paired.
#[derive(Debug)]
pub struct Paired {
    rows: [Vec<Row>; 2],
    /// In the order in which they came to be.
    pub pairs: Vec<Pair>,
    /// Observations (units) of control and candidate, paired or not.
    pub units: [usize; 2],
    /// Units in both arms.
    pub in_both: usize,
    /// Whether rows have a time, so that earlier looks can be repeated.
    pub is_ordered: bool,
    /// Whether the members of a pair are of about the same time.
    pub is_concurrent: bool,
}

impl Paired {
    /// The rows of a member up to a moment.
    pub fn rows(&self, arm: Arm, member: &Member, until: i64) -> &[Row] {
        let rows = &self.rows[arm as usize][member.rows.clone()];
        &rows[..rows.partition_point(|row| row.at <= until)]
    }

    /// Pairs the observations of both arms.
    pub fn new(control: &[Observation], candidate: &[Observation], seed: u64) -> Result<Self, JudgeError> {
        let is_ordered = is_ordered(control, candidate)?;
        let [(control_rows, control), (candidate_rows, candidate)] =
            [arm(Arm::Control, control, seed)?, arm(Arm::Candidate, candidate, seed)?];
        let units = [control.len(), candidate.len()];
        let (pairs, in_both) = pair(control, candidate);
        let is_concurrent = !is_ordered || is_concurrent(&pairs);
        Ok(Self { rows: [control_rows, candidate_rows], pairs, units, in_both, is_ordered, is_concurrent })
    }
}

/// Whether the rows have a time: all of them or none.
fn is_ordered(control: &[Observation], candidate: &[Observation]) -> Result<bool, JudgeError> {
    let with = control.iter().chain(candidate).filter(|row| row.at.is_some()).count();
    match with {
        0 => Ok(false),
        all if all == control.len() + candidate.len() => Ok(true),
        _ => Err(JudgeError::SomeTimes),
    }
}

/// A unit before it is paired.
struct Unit<'a> {
    name: Option<&'a str>,
    /// The time of its first row, then what orders units of one time.
    first: (i64, u64),
    member: Member,
}

/// The rows of an arm, those of one unit together, and its units.
fn arm(arm: Arm, observations: &[Observation], seed: u64) -> Result<(Vec<Row>, Vec<Unit<'_>>), JudgeError> {
    if observations.iter().any(|row| !row.value.is_finite()) {
        return Err(JudgeError::NotFinite(arm));
    }
    let named = observations.iter().filter(|row| row.unit.is_some()).count();
    if named != 0 && named != observations.len() {
        return Err(JudgeError::SomeUnits(arm));
    }
    let mut sorted: Vec<&Observation> = observations.iter().collect();
    let place = |row: &&Observation| (row.at.unwrap_or_default(), value_bits(row.value), row.censored);
    sorted.sort_unstable_by(|a, b| a.unit.cmp(&b.unit).then_with(|| place(a).cmp(&place(b))));
    let rows: Vec<Row> = sorted
        .iter()
        .map(|row| Row { value: row.value, censored: row.censored, at: row.at.unwrap_or_default() })
        .collect();
    let mut units: Vec<Unit> = Vec::new();
    // Rows without a unit that are alike in everything are told apart by their number.
    let mut alike = 0u64;
    for (n, row) in sorted.iter().enumerate() {
        let before = n.checked_sub(1).map(|n| sorted[n]);
        if row.unit.is_some() && before.is_some_and(|before| before.unit == row.unit) {
            if let Some(unit) = units.last_mut() {
                unit.member.rows.end = n + 1;
            }
            continue;
        }
        alike = if before.is_some_and(|before| place(&before) == place(row)) { alike + 1 } else { 0 };
        let mut hasher = SipHasher13::new_with_keys(seed, arm as u64);
        match row.unit.as_deref() {
            Some(unit) => unit.hash(&mut hasher),
            None => (value_bits(row.value), row.censored, alike).hash(&mut hasher),
        }
        let first = (row.at.unwrap_or_default(), hasher.finish());
        units.push(Unit { name: row.unit.as_deref(), first, member: Member { rows: n..n + 1 } });
    }
    Ok((rows, units))
}

/// A value so that equal values are equal: there are two zeros.
fn value_bits(value: f64) -> u64 {
    if value == 0.0 { 0 } else { value.to_bits() }
}

fn pair(control: Vec<Unit>, candidate: Vec<Unit>) -> (Vec<Pair>, usize) {
    let mut pairs: Vec<((i64, u64), Pair)> = Vec::new();
    let mut put = |control: &Unit, candidate: &Unit| {
        let entry = control.first.max(candidate.first);
        let (control, candidate, distance) =
            (control.member.clone(), candidate.member.clone(), control.first.0.abs_diff(candidate.first.0));
        pairs.push((entry, Pair { control, candidate, at: entry.0, distance }));
    };
    let names: HashMap<&str, &Unit> = control.iter().filter_map(|unit| unit.name.map(|name| (name, unit))).collect();
    let mut both: HashMap<&str, ()> = HashMap::new();
    for unit in &candidate {
        if let Some((name, twin)) = unit.name.and_then(|name| names.get_key_value(name)) {
            put(twin, unit);
            both.insert(name, ());
        }
    }
    let is_alone = |unit: &&Unit| unit.name.is_none_or(|name| !both.contains_key(name));
    let mut arrivals: Vec<(Arm, &Unit)> = control.iter().filter(is_alone).map(|unit| (Arm::Control, unit)).collect();
    arrivals.extend(candidate.iter().filter(is_alone).map(|unit| (Arm::Candidate, unit)));
    arrivals.sort_unstable_by_key(|(arm, unit)| (unit.first, *arm));
    // Only one of the arms has any who wait.
    let mut waiting: Vec<(Arm, &Unit)> = Vec::new();
    for (arm, unit) in arrivals {
        match waiting.last() {
            Some((other, partner)) if *other != arm => {
                match arm {
                    Arm::Control => put(unit, partner),
                    Arm::Candidate => put(partner, unit),
                }
                waiting.pop();
            }
            _ => waiting.push((arm, unit)),
        }
    }
    pairs.sort_by_key(|(entry, _)| *entry);
    (pairs.into_iter().map(|(_, pair)| pair).collect(), both.len())
}

/// Fewer pairs than this say nothing about how arms lie in time.
const FEW: usize = 5;

/// A typical pair whose members are further apart than a quarter of the whole time is no pair of one time: that is how a
/// control of before the change looks, for which every drift is an effect.
fn is_concurrent(pairs: &[Pair]) -> bool {
    if pairs.len() < FEW {
        return true;
    }
    let firsts = |pair: &Pair| [pair.at.saturating_sub_unsigned(pair.distance), pair.at];
    let times = pairs.iter().flat_map(firsts);
    let (from, to) = times.fold((i64::MAX, i64::MIN), |(from, to), at| (from.min(at), to.max(at)));
    let mut distances: Vec<u64> = pairs.iter().map(|pair| pair.distance).collect();
    let middle = distances.len() / 2;
    let (_, median, _) = distances.select_nth_unstable(middle);
    *median <= to.abs_diff(from) / 4
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(at: i64, value: f64) -> Observation {
        Observation { at: Some(at), ..Observation::new(value) }
    }

    fn values(paired: &Paired) -> Vec<(f64, f64)> {
        let first = |arm, member: &Member| paired.rows(arm, member, i64::MAX)[0].value;
        paired.pairs.iter().map(|p| (first(Arm::Control, &p.control), first(Arm::Candidate, &p.candidate))).collect()
    }

    #[test]
    fn rows_of_one_time_are_paired() {
        let control: Vec<_> = (0..20).map(|i| row(i, i as f64)).collect();
        let candidate: Vec<_> = (0..20).rev().map(|i| row(i, 100.0 + i as f64)).collect();
        let paired = Paired::new(&control, &candidate, 0).unwrap();
        assert_eq!(values(&paired), (0..20).map(|i| (i as f64, 100.0 + i as f64)).collect::<Vec<_>>());
        assert!(paired.is_ordered && paired.is_concurrent);
    }

    #[test]
    fn with_ten_times_the_traffic_a_partner_is_the_latest_one() {
        let control: Vec<_> = (0..100).map(|i| row(i, i as f64)).collect();
        let candidate: Vec<_> = (0..10).map(|i| row(10 * i + 5, 0.0)).collect();
        let paired = Paired::new(&control, &candidate, 0).unwrap();
        assert_eq!(paired.pairs.len(), 10);
        for (n, (partner, _)) in values(&paired).into_iter().enumerate() {
            assert!((10.0 * n as f64 + 5.0 - partner).abs() <= 1.0, "{partner}");
        }
        assert!(paired.is_concurrent);
    }

    #[test]
    fn a_control_of_another_time_is_noticed() {
        let control: Vec<_> = (0..50).map(|i| row(i, 1.0)).collect();
        let candidate: Vec<_> = (50..100).map(|i| row(i, 1.0)).collect();
        assert!(!Paired::new(&control, &candidate, 0).unwrap().is_concurrent);
    }

    #[test]
    fn a_unit_is_one_observation_and_its_own_pair_in_both_arms() {
        let of = |unit: &str, at, value| Observation { unit: Some(unit.into()), ..row(at, value) };
        let control = [of("a", 1, 1.0), of("b", 2, 2.0), of("a", 3, 3.0)];
        let candidate = [of("c", 1, 4.0), of("b", 4, 5.0), of("c", 9, 6.0)];
        let paired = Paired::new(&control, &candidate, 0).unwrap();
        assert_eq!((paired.units, paired.in_both, paired.pairs.len()), ([2, 2], 1, 2));
        assert_eq!(values(&paired), [(1.0, 4.0), (2.0, 5.0)]);
        let first = &paired.pairs[0];
        assert_eq!(paired.rows(Arm::Control, &first.control, 2).len(), 1, "what comes later is not seen yet");
        assert_eq!(paired.rows(Arm::Control, &first.control, 3).len(), 2);
    }

    #[test]
    fn without_a_time_equal_values_are_not_drawn_together() {
        let arm: Vec<_> = (0..200).map(|i| Observation::new(f64::from(i % 2))).collect();
        let paired = Paired::new(&arm, &arm, 0).unwrap();
        let unequal = values(&paired).into_iter().filter(|(a, b)| a != b).count();
        assert!((60..140).contains(&unequal), "{unequal}");
    }

    #[test]
    fn times_or_units_of_some_rows_only_are_refused() {
        let (with, without) = ([row(1, 1.0)], [Observation::new(1.0)]);
        assert_eq!(Paired::new(&with, &without, 0).unwrap_err(), JudgeError::SomeTimes);
        let some = [Observation { unit: Some("a".into()), ..Observation::new(1.0) }, Observation::new(1.0)];
        assert_eq!(Paired::new(&some, &without, 0).unwrap_err(), JudgeError::SomeUnits(Arm::Control));
        let nan = [Observation::new(f64::NAN)];
        assert_eq!(Paired::new(&without, &nan, 0).unwrap_err(), JudgeError::NotFinite(Arm::Candidate));
    }
}
