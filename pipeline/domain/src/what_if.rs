//! What if: the predicted state of resources under other limits or another load, and when a limit would first be passed.
//!
//! Pure rules over a copy of the shadow inventory. Knows no table and no target; what is asked, and who else changes the
//! same resources, its caller says.

mod machines;

pub use machines::{Full, full, newly_full, taken};

use crate::Timestamp;
use crate::judge::normal_quantile;
use crate::state::State;
use serde::Serialize;
use std::collections::BTreeMap;

/// Below this probability a breach is not told of.
pub const TOLD: f64 = 0.05;
/// What is borrowed from kin is this much less certain.
pub const BORROWED_WIDER: f64 = 1.5;

/// A figure of an hour to come, in its unit: expected, and the bounds that hold nine tenths of the hours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Figure {
    /// Expected.
    pub expected: f64,
    /// One hour in twenty is below.
    pub lower: f64,
    /// One hour in twenty is above.
    pub upper: f64,
    /// The largest hour of its day, expected.
    pub peak: f64,
    /// One day in ten has a larger one.
    pub peak_upper: f64,
}

/// An hour to come of one resource.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hour {
    /// Its start.
    pub at: Timestamp,
    /// Cores.
    pub cpu: Option<Figure>,
    /// Bytes.
    pub memory: Option<Figure>,
    /// The scheduled event that touches it.
    pub event: Option<String>,
}

/// What is foreseen of a resource, and what it may use.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Foreseen {
    /// In order of time.
    pub hours: Vec<Hour>,
    /// Its limits.
    pub limits: State,
    /// Whose forecast it is, where it has none of its own.
    pub borrowed_from: Vec<String>,
}

/// All resources by name.
pub type Inventory = BTreeMap<String, Foreseen>;

/// When a limit is passed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outcome {
    /// The largest expected hour, cores or bytes.
    pub peak: f64,
    /// What it stays below on nine days of ten.
    pub peak_upper: f64,
    /// The limit; none: there is none.
    pub limit: Option<f64>,
    /// The probability that any hour up to the horizon is above it.
    pub probability: f64,
    /// The first hour that is above it with a probability of a twentieth, else the likeliest; none where none is likely.
    pub first_at: Option<Timestamp>,
}

/// The probability that a value is above a limit, when it is `expected` and above `upper` with a probability of `tail`:
/// normal around what is expected.
pub fn above(expected: f64, upper: f64, tail: f64, limit: f64) -> f64 {
    let deviation = (upper - expected) / normal_quantile(1.0 - tail);
    if deviation <= 0.0 || !deviation.is_finite() {
        return if expected > limit { 1.0 } else { 0.0 };
    }
    1.0 - normal((limit - expected) / deviation)
}

/// The standard normal distribution (Abramowitz & Stegun 1964, 26.2.17: to seven digits).
fn normal(x: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.231_641_9 * x.abs());
    let polynomial =
        t * (0.319_381_530 + t * (-0.356_563_782 + t * (1.781_477_937 + t * (-1.821_255_978 + t * 1.330_274_429))));
    let tail = (-x * x / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt() * polynomial;
    if x >= 0.0 { 1.0 - tail } else { tail }
}

impl Foreseen {
    /// What its CPU will come to; none where nothing is foreseen.
    pub fn cpu(&self) -> Option<Outcome> {
        self.outcome(|hour| hour.cpu, self.limits.cpu_cores)
    }

    /// What its memory will come to; none where nothing is foreseen.
    pub fn memory(&self) -> Option<Outcome> {
        self.outcome(|hour| hour.memory, self.limits.memory_bytes.map(|bytes| bytes as f64))
    }

    fn outcome(&self, of: impl Fn(&Hour) -> Option<Figure>, limit: Option<f64>) -> Option<Outcome> {
        let figures: Vec<(Timestamp, Figure)> = self.hours.iter().filter_map(|h| Some((h.at, of(h)?))).collect();
        let largest = figures.iter().map(|(_, f)| *f).max_by(|a, b| a.peak.total_cmp(&b.peak))?;
        let upper = figures.iter().map(|(_, f)| f.peak_upper).fold(0.0, f64::max);
        let Some(limit) = limit else {
            return Some(Outcome {
                peak: largest.peak,
                peak_upper: upper,
                limit: None,
                probability: 0.0,
                first_at: None,
            });
        };
        let hourly: Vec<(Timestamp, f64)> =
            figures.iter().map(|(at, f)| (*at, above(f.expected, f.upper, 0.05, limit))).collect();
        // A day's peak is measured by itself: hours of one day rise and fall together.
        let day = figures.iter().map(|(_, f)| above(f.peak, f.peak_upper, 0.1, limit)).fold(0.0, f64::max);
        let likeliest = hourly.iter().copied().max_by(|a, b| a.1.total_cmp(&b.1))?;
        let probability = day.max(likeliest.1);
        let first = hourly.iter().find(|(_, p)| *p >= TOLD).copied().unwrap_or(likeliest);
        let first_at = (probability >= TOLD).then_some(first.0);
        Some(Outcome { peak: largest.peak, peak_upper: upper, limit: Some(limit), probability, first_at })
    }

    /// The same under so many times the load.
    pub fn scale(&mut self, factor: f64) {
        let each = |figure: &mut Figure| {
            for value in
                [&mut figure.expected, &mut figure.lower, &mut figure.upper, &mut figure.peak, &mut figure.peak_upper]
            {
                *value *= factor;
            }
        };
        for hour in &mut self.hours {
            hour.cpu.iter_mut().chain(&mut hour.memory).for_each(each);
        }
    }
}

/// What a resource that was never seen will do, from its nearest kin: those of the same service name, else the three
/// whose limits are nearest. None where there is nobody.
pub fn borrow(name: &str, limits: State, inventory: &Inventory) -> Option<Foreseen> {
    let service = |name: &str| name.rsplit('/').next().unwrap_or_default().to_owned();
    let own = |foreseen: &&Foreseen| foreseen.borrowed_from.is_empty();
    let named = inventory.iter().filter(|(other, it)| service(other) == service(name) && own(it));
    let mut kin: Vec<(&String, &Foreseen)> = named.collect();
    if kin.is_empty() {
        let gap = |a: Option<f64>, b: Option<f64>| a.zip(b).map_or(1.0, |(a, b)| (a / b).ln().abs().min(10.0));
        let bytes = |state: State| state.memory_bytes.map(|bytes| bytes as f64);
        let apart = |it: &Foreseen| gap(limits.cpu_cores, it.limits.cpu_cores) + gap(bytes(limits), bytes(it.limits));
        kin = inventory.iter().filter(|(_, it)| own(it)).collect();
        kin.sort_by(|a, b| apart(a.1).total_cmp(&apart(b.1)));
        kin.truncate(3);
    }
    let (_, first) = kin.first()?;
    let at = |place: usize, of: fn(&Hour) -> Option<Figure>| -> Option<Figure> {
        let figures: Vec<Figure> = kin.iter().filter_map(|(_, it)| it.hours.get(place).and_then(of)).collect();
        let middle = |of: fn(&Figure) -> f64| {
            let mut values: Vec<f64> = figures.iter().map(of).collect();
            values.sort_by(f64::total_cmp);
            values.get(values.len() / 2).copied()
        };
        let most = |of: fn(&Figure) -> f64| figures.iter().map(of).fold(0.0, f64::max);
        let least = |of: fn(&Figure) -> f64| figures.iter().map(of).fold(f64::INFINITY, f64::min);
        let (expected, peak) = (middle(|f| f.expected)?, middle(|f| f.peak)?);
        let wider = |centre: f64, bound: f64| centre + BORROWED_WIDER * (bound - centre);
        Some(Figure {
            expected,
            lower: wider(expected, least(|f| f.lower)).max(0.0),
            upper: wider(expected, most(|f| f.upper)),
            peak,
            peak_upper: wider(peak, most(|f| f.peak_upper)),
        })
    };
    let hour = |(place, hour): (usize, &Hour)| Hour {
        at: hour.at,
        cpu: at(place, |hour| hour.cpu),
        memory: at(place, |hour| hour.memory),
        event: None,
    };
    Some(Foreseen {
        hours: first.hours.iter().enumerate().map(hour).collect(),
        limits,
        borrowed_from: kin.iter().map(|(name, _)| (*name).clone()).collect(),
    })
}

/// How much a change matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Gravity {
    /// Good to know.
    Notice,
    /// Likely to throttle, or to surprise somebody.
    Warning,
    /// More likely than not to kill or starve, or against a person's rule.
    Critical,
}

/// What speaks against a change.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// What `approve --despite` takes: kind and resource.
    pub id: String,
    /// How much it matters.
    pub gravity: Gravity,
    /// Which resource.
    pub resource: String,
    /// What would happen, in words.
    pub what: String,
    /// How likely; none where it is certain.
    pub probability: Option<f64>,
}

/// How much it matters that more of `cpu` or `memory` is wanted than there is, with this probability: memory is a kill, CPU waits.
pub fn gravity(figure: &str, probability: f64) -> Gravity {
    match (figure, probability) {
        ("memory", p) if p >= 0.5 => Gravity::Critical,
        ("cpu", p) if p >= 0.9 => Gravity::Critical,
        (_, p) if p >= 0.2 => Gravity::Warning,
        _ => Gravity::Notice,
    }
}

/// A limit that is critical, whatever led to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Breach {
    /// `env/service`.
    pub resource: String,
    /// What its CPU comes to, where that is critical.
    pub cpu: Option<Outcome>,
    /// What its memory comes to, where that is critical.
    pub memory: Option<Outcome>,
}

/// What is critical in a state, whether a change made it so or it is so today.
pub fn critical(inventory: &Inventory) -> Vec<Breach> {
    let one = |(name, foreseen): (&String, &Foreseen)| {
        let is = |figure: &str, outcome: &Outcome| gravity(figure, outcome.probability) == Gravity::Critical;
        let cpu = foreseen.cpu().filter(|outcome| is("cpu", outcome));
        let memory = foreseen.memory().filter(|outcome| is("memory", outcome));
        (cpu.is_some() || memory.is_some()).then(|| Breach { resource: name.clone(), cpu, memory })
    };
    inventory.iter().filter_map(one).collect()
}

/// Limits that the change makes likelier to be passed: by a twentieth at least, or that it passes anew.
pub fn breaches(today: &Inventory, then: &Inventory) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (name, after) in then {
        let before = today.get(name);
        let pairs = [
            ("cpu", before.and_then(Foreseen::cpu), after.cpu()),
            ("memory", before.and_then(Foreseen::memory), after.memory()),
        ];
        for (figure, before, after) in pairs {
            let Some(after) = after else { continue };
            let was = before.map_or(0.0, |before| before.probability);
            if after.probability < TOLD || after.probability < was + TOLD {
                continue;
            }
            let gravity = gravity(figure, after.probability);
            let when = after.first_at.map_or(String::new(), |at| format!(", first at {}", at.minute()));
            let effect = if figure == "memory" { "killed for memory" } else { "throttled" };
            findings.push(Finding {
                id: format!("{figure}-over:{name}"),
                gravity,
                resource: name.clone(),
                what: format!("{effect} with {:.0} % ({:.0} % today){when}", after.probability * 100.0, was * 100.0),
                probability: Some(after.probability),
            });
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::HOUR;
    use crate::units::GIB;

    fn foreseen(gib: f64, limit: u64) -> Foreseen {
        let figure = |factor: f64| {
            let gib = gib * factor * GIB as f64;
            Figure { expected: gib, lower: 0.9 * gib, upper: 1.1 * gib, peak: 1.05 * gib, peak_upper: 1.15 * gib }
        };
        let hour = |h: i64| Hour {
            at: Timestamp(h * HOUR),
            memory: Some(figure(if h == 5 { 1.2 } else { 1.0 })),
            ..Hour::default()
        };
        let limits = State { cpu_cores: None, memory_bytes: Some(limit * GIB) };
        Foreseen { hours: (0..24).map(hour).collect(), limits, borrowed_from: Vec::new() }
    }

    #[test]
    fn the_normal_tail_is_that_of_tables() {
        assert!((above(10.0, 11.645, 0.05, 11.645) - 0.05).abs() < 1e-3);
        assert!((above(10.0, 11.0, 0.05, 10.0) - 0.5).abs() < 1e-6);
        assert_eq!((above(2.0, 2.0, 0.05, 1.0), above(2.0, 2.0, 0.05, 3.0)), (1.0, 0.0));
    }

    #[test]
    fn less_memory_is_passed_first_in_the_largest_hour() {
        let calm = foreseen(3.0, 6).memory().unwrap();
        assert!(calm.probability < 0.01 && calm.first_at.is_none());
        let tight = foreseen(3.0, 3).memory().unwrap();
        assert!(tight.probability > 0.9 && tight.first_at == Some(Timestamp(0)));
        let some = foreseen(3.0, 4).memory().unwrap();
        assert!((0.1..0.4).contains(&some.probability), "{some:?}");
        assert_eq!(some.first_at, Some(Timestamp(5 * HOUR)));
    }

    #[test]
    fn twice_the_load_breaks_what_half_of_it_does_not_and_only_what_is_new_is_told() {
        let today: Inventory = [("a/web".to_owned(), foreseen(3.0, 5)), ("a/db".to_owned(), foreseen(3.0, 2))].into();
        let mut then = today.clone();
        then.get_mut("a/web").unwrap().scale(2.0);
        let found = breaches(&today, &then);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((found[0].id.as_str(), found[0].gravity), ("memory-over:a/web", Gravity::Critical));
        assert!(breaches(&then, &today).is_empty());
    }

    #[test]
    fn a_new_resource_borrows_from_those_of_its_name_and_knows_less() {
        let inventory: Inventory =
            [("a/web".to_owned(), foreseen(3.0, 5)), ("b/db".to_owned(), foreseen(1.0, 2))].into();
        let new = borrow("c/web", State { cpu_cores: None, memory_bytes: Some(4 * GIB) }, &inventory).unwrap();
        assert_eq!(new.borrowed_from, ["a/web"]);
        let (kin, own) = (inventory["a/web"].hours[0].memory.unwrap(), new.hours[0].memory.unwrap());
        assert!(own.expected == kin.expected && own.upper - own.expected > 1.4 * (kin.upper - kin.expected));
        let other = borrow("c/x", State { cpu_cores: None, memory_bytes: Some(2 * GIB) }, &inventory).unwrap();
        assert_eq!(other.borrowed_from[0], "b/db");
        assert!(borrow("c/x", State::default(), &Inventory::new()).is_none());
    }
}
