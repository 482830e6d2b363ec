//! A person's pin, floor, ceiling or freeze on a resource: stronger than any model.

use crate::Timestamp;
use crate::hours::{Hours, Timetable};
use crate::state::State;
use crate::task::TaskRule;
use crate::{units, written};
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
    #[serde(default, deserialize_with = "written::time")]
    pub until: Option<Timestamp>,
    /// Shown beside the item.
    pub reason: Option<String>,
}

/// More than any machine that clouds let has: a figure beyond it is a slip of the pen.
const MOST: State = State { cpu_cores: Some(512.0), memory_bytes: Some(32 << 40) };

/// CPU and memory as people write them.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Amounts {
    /// `1.5` or `1500m`.
    #[serde(default, deserialize_with = "written::text")]
    pub cpu: Option<String>,
    /// `512MiB`.
    #[serde(default, deserialize_with = "written::text")]
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

/// Less than any limit that a container runs with: Docker takes no less memory.
const LEAST: State = State { cpu_cores: Some(0.001), memory_bytes: Some(6 << 20) };

/// Limits that somebody may mean, in words: those of [`is_sane`].
pub const SANE: &str = "from 0.001 to 512 cores and from 6 MiB to 32 TiB";

/// Whether limits are such as a machine may give a container; one that is absent is.
pub fn is_sane(state: State) -> bool {
    let (cpu, memory) = above(state);
    let below = state.cpu_cores < LEAST.cpu_cores && state.cpu_cores.is_some()
        || state.memory_bytes < LEAST.memory_bytes && state.memory_bytes.is_some();
    !(cpu || memory || below)
}

/// Which of the figures no machine has.
fn above(state: State) -> (bool, bool) {
    let cpu = state.cpu_cores.zip(MOST.cpu_cores).is_some_and(|(cores, most)| cores > most);
    (cpu, state.memory_bytes.zip(MOST.memory_bytes).is_some_and(|(bytes, most)| bytes > most))
}

/// Why a pin or floor cannot be meant. A ceiling may be as high as anybody likes.
fn above_all(name: &str, amounts: &Amounts, state: State) -> Option<String> {
    let (cpu, memory) = above(state);
    let (what, given) = match (cpu, memory) {
        (true, _) => ("cpu", &amounts.cpu),
        (_, true) => ("memory", &amounts.memory),
        _ => return None,
    };
    let given = given.as_deref().unwrap_or_default();
    Some(format!("the {name} asks for {what} = \"{given}\", more than any machine has (512 cores, 32 TiB)"))
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
            let read = |name: &str, a: &Amounts| {
                let state = a.state().map_err(|text| {
                    format!(
                        "{}: cannot read {text:?} of its {name}; write cpu = \"1.5\" or \"1500m\", memory = \"512MiB\"",
                        rule.resource
                    )
                })?;
                match above_all(name, a, state) {
                    Some(why) => Err(format!("{}: {why}", rule.resource)),
                    None => Ok(state),
                }
            };
            let (floor, ceiling) = (read("floor", &rule.floor)?, rule.ceiling.state().map_err(|text| {
                format!("{}: cannot read {text:?} of its ceiling; write cpu = \"1.5\" or \"1500m\", memory = \"512MiB\"", rule.resource)
            })?);
            read("pin", &rule.pin)?;
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
    fn numbers_and_dates_mean_what_they_mean_in_quotes() {
        let read = |toml: &str| toml::from_str::<Overrides>(toml).map_err(|error| error.to_string());
        let of = |until: &str| {
            read(&format!("[[override]]\nresource = \"x\"\nfloor = {{cpu = 2, memory = 1048576}}\nuntil = {until}"))
        };
        let day = Timestamp::parse("2026-12-01T00:00:00Z");
        for until in [
            "2026-12-01",
            "\"2026-12-01\"",
            "2026-12-01T00:00:00Z",
            "2026-12-01 00:00:00Z",
            "2026-12-01T00:00:00",
            "2026-12-01T01:00:00+01:00",
            "\"2026-12-01T00:00:00Z\"",
        ] {
            let rule = &of(until).unwrap().list[0];
            assert_eq!(rule.until, day, "{until}");
            assert_eq!(rule.floor.state(), Ok(State { cpu_cores: Some(2.0), memory_bytes: Some(1 << 20) }));
        }
        assert!(of("\"soon\"").unwrap_err().contains("expected a time"));
        let list = read("[[override]]\nresource = \"x\"\nfloor = {cpu = [1]}").unwrap_err();
        assert!(list.contains("expected a text"), "{list}");
        assert_eq!(
            read("[[override]]\nresource = \"x\"\npin = {cpu = 1.5}").unwrap().list[0].pin.cpu.as_deref(),
            Some("1.5")
        );
    }

    #[test]
    fn a_pin_above_any_machine_is_a_slip_of_the_pen() {
        let with = |cpu: &str, memory: &str| {
            let pin = Override { resource: "x".into(), pin: amounts(cpu, memory), ..Override::default() };
            Overrides { list: vec![pin], ..Overrides::default() }.validate()
        };
        assert!(with("1000", "1g").unwrap_err().contains("cpu = \"1000\", more than any machine"));
        assert!(with("1", "900TiB").unwrap_err().contains("memory = \"900TiB\""));
        assert!(with("1000m", "900GiB").is_ok());
        assert!(with("two", "1g").unwrap_err().contains("cannot read \"two\" of its pin; write cpu"));
        let ceiling = Override { resource: "x".into(), ceiling: amounts("100000", "1PiB"), ..Override::default() };
        assert!(Overrides { list: vec![ceiling], ..Overrides::default() }.validate().is_err(), "PiB is no unit");
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
