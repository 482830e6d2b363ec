//! When a machine is full: the sum of what is foreseen of the resources that lie on it.

use super::{Figure, Finding, Foreseen, Gravity, Hour, Inventory, Outcome, TOLD, above, gravity};
use crate::Timestamp;
use crate::packing::Placed;
use crate::state::State;
use serde::Serialize;
use std::collections::BTreeMap;

/// A machine that is likely to be full.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Full {
    /// Which one, as `large-2`.
    pub node: String,
    /// `cpu` or `memory`.
    pub figure: &'static str,
    /// What it has, cores or bytes.
    pub capacity: f64,
    /// The sum that is expected in its fullest hour.
    pub expected: f64,
    /// The sum of the upper bounds of that hour.
    pub upper: f64,
    /// The probability that its fullest hour is more than it has.
    pub probability: f64,
    /// The first hour with a probability of a twentieth, else the likeliest.
    pub first_at: Timestamp,
    /// What lies on it.
    pub resources: Vec<String>,
}

/// What a resource takes on a machine: its limits, and where it has none the peak that nine days of ten stay below.
pub fn taken(inventory: &Inventory) -> Vec<(&str, State)> {
    let peak = |outcome: Option<Outcome>| outcome.map(|outcome| outcome.peak_upper);
    let one = |foreseen: &Foreseen| State {
        cpu_cores: foreseen.limits.cpu_cores.or(peak(foreseen.cpu())),
        memory_bytes: foreseen.limits.memory_bytes.or(peak(foreseen.memory()).map(|bytes| bytes as u64)),
    };
    inventory.iter().map(|(name, foreseen)| (name.as_str(), one(foreseen))).collect()
}

/// The machines on which some hour may need more than they have, with a probability of a twentieth or more. Expected values and
/// upper bounds are added hour by hour, as if all resources of a machine had their bad hour together: machines are rather told of
/// too early than too late.
pub fn full(placed: &[Placed], inventory: &Inventory) -> Vec<Full> {
    let mut found = Vec::new();
    for node in placed {
        type Of = fn(&Hour) -> Option<Figure>;
        let figures: [(&'static str, f64, Of); 2] =
            [("cpu", node.cpu_cores, |hour| hour.cpu), ("memory", node.memory_bytes, |hour| hour.memory)];
        for (figure, capacity, of) in figures {
            let mut sums: BTreeMap<Timestamp, (f64, f64)> = BTreeMap::new();
            let resources = node.resources.iter().filter_map(|name| inventory.get(name));
            // What is wanted, also above a limit: with higher limits the machine would have to give it.
            for (hour, value) in resources.flat_map(|it| &it.hours).filter_map(|hour| Some((hour.at, of(hour)?))) {
                let sum = sums.entry(hour).or_default();
                *sum = (sum.0 + value.expected, sum.1 + value.upper);
            }
            let odds = |(expected, upper): (f64, f64)| above(expected, upper, 0.05, capacity);
            let fullest = sums.iter().max_by(|a, b| odds(*a.1).total_cmp(&odds(*b.1)).then(a.1.1.total_cmp(&b.1.1)));
            let Some((at, (expected, upper))) = fullest else { continue };
            let probability = odds((*expected, *upper));
            if probability < TOLD {
                continue;
            }
            let first_at = sums.iter().find(|(_, sum)| odds(**sum) >= TOLD).map_or(*at, |(at, _)| *at);
            let (expected, upper, resources) = (*expected, *upper, node.resources.clone());
            found.push(Full {
                node: node.name.clone(),
                figure,
                capacity,
                expected,
                upper,
                probability,
                first_at,
                resources,
            });
        }
    }
    found
}

/// Machines that a change makes full.
pub fn newly_full(today: &[Full], then: &[Full]) -> Vec<Finding> {
    let was = |it: &Full| {
        // Packed anew, machines have other names: it is the same where it holds some of the same.
        let same =
            |other: &&Full| other.figure == it.figure && other.resources.iter().any(|name| it.resources.contains(name));
        today.iter().filter(same).map(|other| other.probability).fold(0.0, f64::max)
    };
    let one = |it: &Full| {
        let before = was(it);
        (it.probability >= before + TOLD).then(|| Finding {
            id: format!("node-{}-over:{}", it.figure, it.node),
            // Memory that a machine does not have kills whoever asks for it; processors are shared.
            gravity: gravity(it.figure, it.probability).min(if it.figure == "cpu" {
                Gravity::Warning
            } else {
                Gravity::Critical
            }),
            resource: it.node.clone(),
            what: format!(
                "more {} is wanted than it has with {:.0} % ({:.0} % today), first at {}; on it: {}",
                it.figure,
                it.probability * 100.0,
                before * 100.0,
                it.first_at.minute(),
                it.resources.join(", ")
            ),
            probability: Some(it.probability),
        })
    };
    then.iter().filter_map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::HOUR;
    use crate::units::GIB;

    fn foreseen(gib: f64, limit: Option<u64>) -> Foreseen {
        let figure = |gib: f64| {
            let bytes = gib * GIB as f64;
            Figure { expected: bytes, lower: 0.9 * bytes, upper: 1.1 * bytes, peak: bytes, peak_upper: 1.1 * bytes }
        };
        let hour = |h: i64| Hour {
            at: Timestamp(h * HOUR),
            memory: Some(figure(if h == 7 { 1.5 * gib } else { gib })),
            ..Hour::default()
        };
        let limits = State { cpu_cores: Some(1.0), memory_bytes: limit.map(|gib| gib * GIB) };
        Foreseen { hours: (0..24).map(hour).collect(), limits, borrowed_from: Vec::new() }
    }

    #[test]
    fn a_machine_is_full_in_the_hour_in_which_its_resources_together_want_more() {
        let inventory: Inventory =
            [("a/db".to_owned(), foreseen(2.0, Some(4))), ("a/web".to_owned(), foreseen(2.0, None))].into();
        let on = |gib: u64| Placed {
            name: "m-1".into(),
            cpu_cores: 4.0,
            memory_bytes: (gib * GIB) as f64,
            resources: vec!["a/db".into(), "a/web".into()],
        };
        assert!(full(&[on(8)], &inventory).is_empty());
        // Six in the seventh hour, and four in the others.
        let found = full(&[on(6)], &inventory);
        assert_eq!((found.len(), found[0].figure, found[0].first_at), (1, "memory", Timestamp(7 * HOUR)));
        assert!((found[0].probability - 0.5).abs() < 1e-6, "{found:?}");
        let all = full(&[on(3)], &inventory);
        assert_eq!(all[0].first_at, Timestamp(0));
        let told = newly_full(&found, &all);
        assert_eq!((told[0].id.as_str(), told[0].gravity), ("node-memory-over:m-1", Gravity::Critical));
        assert!(newly_full(&all, &all).is_empty());
    }

    #[test]
    fn what_has_no_limit_takes_its_peak() {
        let inventory: Inventory = [("a/web".to_owned(), foreseen(2.0, None))].into();
        let peak = taken(&inventory)[0].1.memory_bytes.unwrap() as f64;
        assert!((peak / GIB as f64 - 3.3).abs() < 1e-6);
    }
}
