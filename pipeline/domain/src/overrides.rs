//! A person's pin, floor, ceiling or freeze on a resource: stronger than any model.

use crate::Timestamp;
use crate::hours::{Hours, Timetable};
use crate::state::State;
use crate::task::TaskRule;
use crate::units;
use serde::{Deserialize, Serialize};

/// The file that `plan --override` reads: TOML with `[[override]]` tables.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Overrides {
    /// In file order; of several that match, the last one counts.
    #[serde(default, rename = "override")]
    pub list: Vec<Override>,
    /// When resources are changed, and at no other time.
    #[serde(default)]
    pub window: Vec<Hours>,
    /// When they are not.
    #[serde(default)]
    pub quiet: Vec<Hours>,
    /// What is done beside limits.
    #[serde(default)]
    pub task: Vec<TaskRule>,
}

/// One rule for the resources that match it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Override {
    /// `env/service`; `*` stands for any run of characters.
    pub resource: String,
    /// Leave it alone.
    #[serde(default)]
    pub freeze: bool,
    /// Exactly this.
    #[serde(default)]
    pub pin: Amounts,
    /// Never less.
    #[serde(default)]
    pub floor: Amounts,
    /// Never more.
    #[serde(default)]
    pub ceiling: Amounts,
    /// The rule ends here.
    pub until: Option<Timestamp>,
    /// Shown beside the item.
    pub reason: Option<String>,
}

/// CPU and memory as people write them.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Amounts {
    /// `1.5` or `1500m`.
    pub cpu: Option<String>,
    /// `512MiB`.
    pub memory: Option<String>,
}

impl Amounts {
    /// The amounts as numbers; the text that cannot be read otherwise.
    pub fn state(&self) -> Result<State, String> {
        let cpu_cores = match &self.cpu {
            Some(text) => Some(units::parse_cores(text).ok_or_else(|| text.clone())?),
            None => None,
        };
        let memory_bytes = match &self.memory {
            Some(text) => Some(units::parse_bytes(text).ok_or_else(|| text.clone())?),
            None => None,
        };
        Ok(State { cpu_cores, memory_bytes })
    }
}

/// What an override did to a target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Applied {
    /// `freeze`, `pin`, `floor`, `ceiling`, or `none` where the target already respected the rule.
    pub rule: String,
    /// The pattern that matched.
    pub pattern: String,
    /// Why the person set it.
    pub reason: Option<String>,
}

impl Overrides {
    /// Checks every amount; the first that cannot be read or contradicts itself is named.
    pub fn validate(&self) -> Result<(), String> {
        for rule in &self.list {
            let read = |a: &Amounts| a.state().map_err(|text| format!("{}: cannot read {text:?}", rule.resource));
            let (floor, ceiling) = (read(&rule.floor)?, read(&rule.ceiling)?);
            read(&rule.pin)?;
            let crossed = floor.cpu_cores.zip(ceiling.cpu_cores).is_some_and(|(f, c)| f > c)
                || floor.memory_bytes.zip(ceiling.memory_bytes).is_some_and(|(f, c)| f > c);
            if crossed {
                return Err(format!("{}: the floor is above the ceiling", rule.resource));
            }
        }
        self.task.iter().try_for_each(TaskRule::check)?;
        self.hours().check()
    }

    /// When resources may be changed.
    pub fn hours(&self) -> Timetable {
        Timetable { window: self.window.clone(), quiet: self.quiet.clone() }
    }

    /// The rule for a resource at a time.
    pub fn find(&self, resource: &str, now: Timestamp) -> Option<&Override> {
        self.list
            .iter()
            .rev()
            .find(|rule| rule.until.is_none_or(|until| now < until) && matches(&rule.resource, resource))
    }
}

impl Override {
    /// The target as this rule allows it, from what is there now.
    pub fn constrain(&self, before: State, target: State) -> (State, Applied) {
        let applied =
            |rule: &str| Applied { rule: rule.to_owned(), pattern: self.resource.clone(), reason: self.reason.clone() };
        if self.freeze {
            return (before, applied("freeze"));
        }
        let pin = self.pin.state().unwrap_or_default();
        if !pin.is_empty() {
            let after = State {
                cpu_cores: pin.cpu_cores.or(target.cpu_cores),
                memory_bytes: pin.memory_bytes.or(target.memory_bytes),
            };
            return (after, applied("pin"));
        }
        let floor = self.floor.state().unwrap_or_default();
        let ceiling = self.ceiling.state().unwrap_or_default();
        let raised = State {
            cpu_cores: target.cpu_cores.map(|t| t.max(floor.cpu_cores.unwrap_or(t))),
            memory_bytes: target.memory_bytes.map(|t| t.max(floor.memory_bytes.unwrap_or(t))),
        };
        let after = State {
            cpu_cores: raised.cpu_cores.map_or(ceiling.cpu_cores, |t| Some(t.min(ceiling.cpu_cores.unwrap_or(t)))),
            memory_bytes: raised
                .memory_bytes
                .map_or(ceiling.memory_bytes, |t| Some(t.min(ceiling.memory_bytes.unwrap_or(t)))),
        };
        let rule = match (raised != target, after != raised) {
            (_, true) => "ceiling",
            (true, false) => "floor",
            (false, false) => "none",
        };
        (after, applied(rule))
    }
}

/// Whether `pattern`, in which `*` stands for any run of characters, matches all of `text`.
///
/// What stands between two stars is taken where it comes first: a later place leaves less for the rest, so nothing is ever
/// tried again, however many stars there are.
pub fn matches(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == text };
    let (middle, tail) = rest.rsplit_once('*').unwrap_or(("", rest));
    let inner = text.strip_prefix(head).and_then(|text| text.strip_suffix(tail));
    let Some(mut inner) = inner else { return false };
    middle.split('*').all(|part| match inner.find(part) {
        Some(at) => {
            inner = &inner[at + part.len()..];
            true
        }
        None => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::GIB;
    use proptest::prelude::*;

    fn amounts(cpu: &str, memory: &str) -> Amounts {
        Amounts { cpu: Some(cpu.into()), memory: Some(memory.into()) }
    }

    #[test]
    fn the_last_matching_rule_counts_until_it_ends() {
        let rule = |resource: &str, until: Option<&str>| Override {
            resource: resource.into(),
            until: until.map(|t| Timestamp::parse(t).unwrap()),
            ..Override::default()
        };
        let overrides = Overrides {
            list: vec![rule("*", None), rule("dev/*", Some("2026-11-01T00:00:00Z"))],
            ..Overrides::default()
        };
        let at = |t: &str| overrides.find("dev/web", Timestamp::parse(t).unwrap()).unwrap().resource.clone();
        assert_eq!(at("2026-10-31T00:00:00Z"), "dev/*");
        assert_eq!(at("2026-11-01T00:00:00Z"), "*");
    }

    #[test]
    fn a_star_stands_for_any_run_of_characters() {
        for (pattern, text) in [
            ("*", ""),
            ("a*", "a"),
            ("*/web", "dev/web"),
            ("a*b*c", "aXbYbZc"),
            ("*a*a*", "aa"),
            ("é*ü", "éßü"),
            ("", ""),
        ] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("a", "ab"), ("a*a", "a"), ("*a*a*", "a"), ("a*b*c", "acb"), ("*x", "xy"), ("", "a")] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn three_thousand_stars_are_no_work() {
        let began = std::time::Instant::now();
        let pattern = "*a".repeat(3000) + "b";
        assert!(!matches(&pattern, &"a".repeat(6000)));
        assert!(!matches(&("*".repeat(3000) + "b"), &"a".repeat(6000)));
        assert!(matches(&"*".repeat(3000), &"a".repeat(6000)));
        assert!(began.elapsed().as_secs() < 1, "{:?}", began.elapsed());
    }

    #[test]
    fn a_floor_above_its_ceiling_is_named() {
        let rule = Override {
            resource: "x".into(),
            floor: amounts("2", "1g"),
            ceiling: amounts("1", "2g"),
            ..Override::default()
        };
        assert!(
            Overrides { list: vec![rule], ..Overrides::default() }
                .validate()
                .unwrap_err()
                .contains("above the ceiling")
        );
    }

    proptest! {
        #[test]
        fn no_target_crosses_its_override(cpu in 0.01f64..64.0, gib in 1u64..64) {
            let rule = Override { floor: amounts("1", "2GiB"), ceiling: amounts("4", "8GiB"), ..Override::default() };
            let target = State { cpu_cores: Some(cpu), memory_bytes: Some(gib * GIB) };
            let (after, _) = rule.constrain(State::default(), target);
            prop_assert!((1.0..=4.0).contains(&after.cpu_cores.unwrap()));
            prop_assert!((2 * GIB..=8 * GIB).contains(&after.memory_bytes.unwrap()));
        }
    }
}
