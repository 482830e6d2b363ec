//! What is done beside limits: the weights of containers, whether they run and what they run, and the shares of the groups on a
//! route.
//!
//! Owns the rules that people write beside their overrides, and what is to be done. No policy asks for any of it: it is what a
//! person wants done in the same plan, with the same approval, journal and rollback.

use crate::overrides::matches;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The kernel's bounds: `cpu.shares`, and `blkio.weight` as Docker has it.
const CPU_WEIGHTS: std::ops::RangeInclusive<i64> = 2..=262_144;
const IO_WEIGHTS: std::ops::RangeInclusive<i64> = 10..=1000;

/// A `[[task]]` of the overrides file; it asks for one thing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskRule {
    /// `env/service`; `*` stands for any run of characters.
    pub resource: String,
    /// Its share of the processors where others want them too: 2 to 262144, 1024 where nothing is set.
    pub cpu_weight: Option<i64>,
    /// Its share of the disk where others want it too: 10 to 1000.
    pub io_weight: Option<i64>,
    /// Start it again.
    #[serde(default)]
    pub restart: bool,
    /// Start it, or stop it.
    pub running: Option<bool>,
    /// Load this image ahead, where the Engine does not have it.
    pub image: Option<String>,
    /// From this file, as `docker save` writes it.
    pub archive: Option<String>,
    /// Shown beside the item.
    pub reason: Option<String>,
}

/// Shares where several want the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Weights {
    /// `cpu.shares` of version 1.
    pub cpu: Option<i64>,
    /// `blkio.weight`.
    pub io: Option<i64>,
}

/// What a job of a CI system is given; none is left as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobLimits {
    /// The runner class.
    pub runner: Option<String>,
    /// How long it may take.
    pub timeout_minutes: Option<u32>,
}

impl JobLimits {
    /// In words.
    pub fn in_words(&self) -> String {
        let runner = self.runner.as_deref().unwrap_or("the runner as it is");
        let timeout =
            self.timeout_minutes.map_or_else(|| "no timeout of its own".to_owned(), |minutes| format!("{minutes} min"));
        format!("{runner}, {timeout}")
    }
}

/// Version group → its share of the users, whole per cent.
pub type Shares = BTreeMap<String, u8>;

/// What a target has of a component of a stack.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// The image that a service runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Variables of the service, those that a component sets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub config: BTreeMap<String, String>,
    /// `sha256:` and the hash of the whole text of a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The version that a command says is there, as that of a database schema.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// Where a component is deployed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// Where it is tried.
    Staging,
    /// Where it is used.
    #[default]
    Production,
}

/// A component of a stack in one version, in the place of another.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    /// Its name.
    pub component: String,
    /// Its semantic version afterwards.
    pub version: String,
    /// Its version before, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub was: Option<String>,
    /// `sha256:` and the hash of what is deployed, where it is declared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// The version group that it is deployed with, by its name.
    pub group: String,
    /// The digest of that group.
    pub group_digest: String,
    /// Where.
    pub place: Place,
    /// What the target has of it.
    pub before: Release,
    /// What it is to have.
    pub after: Release,
}

/// What is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Task {
    /// Weights are set; none is left as it is.
    Weigh {
        /// What is set now.
        before: Weights,
        /// What is to be.
        after: Weights,
    },
    /// Its containers are started again.
    Restart,
    /// Its containers, which are stopped, are started.
    Start,
    /// Its containers are stopped.
    Stop,
    /// A job of a CI system gets another runner or timeout.
    Job {
        /// What it has now.
        before: JobLimits,
        /// What it is to have.
        after: JobLimits,
    },
    /// An image is loaded from a file.
    Load {
        /// Which.
        image: String,
        /// The file, by its full path.
        archive: String,
        /// `sha256:` of the file: what was looked at is what is loaded.
        digest: String,
        /// Its size.
        bytes: u64,
    },
    /// The shares of the groups are set; one that is not named gets nothing.
    Route {
        /// What is set now.
        before: Shares,
        /// What is to be.
        after: Shares,
    },
    /// It is given another version.
    Deploy(Box<Deployment>),
}

impl TaskRule {
    /// What of it cannot be understood.
    ///
    /// # Errors
    /// In words.
    pub fn check(&self) -> Result<(), String> {
        let wrong = |what: &str| Err(format!("{}: {what}", self.resource));
        if self.cpu_weight.is_some_and(|weight| !CPU_WEIGHTS.contains(&weight)) {
            return wrong("cpu_weight is none of 2 to 262144");
        }
        if self.io_weight.is_some_and(|weight| !IO_WEIGHTS.contains(&weight)) {
            return wrong("io_weight is none of 10 to 1000");
        }
        let weighs = self.cpu_weight.is_some() || self.io_weight.is_some();
        if self.image.is_some() != self.archive.is_some() {
            return wrong("an image is loaded from an archive: both are named, or neither");
        }
        let asked = [weighs, self.restart, self.running.is_some(), self.image.is_some()];
        match asked.iter().filter(|asked| **asked).count() {
            1 => Ok(()),
            0 => wrong("a task has cpu_weight and io_weight, or restart, or running, or image and archive"),
            _ => wrong("a task asks for one thing: weights, restart, running, or an image"),
        }
    }

    /// Whether it is about a resource.
    pub fn is_about(&self, resource: &str) -> bool {
        matches(&self.resource, resource)
    }
}

impl Weights {
    fn in_words(self) -> String {
        let words = |name: &str, weight: Option<i64>| weight.map(|weight| format!("{name} weight {weight}"));
        let all: Vec<String> = [words("CPU", self.cpu), words("I/O", self.io)].into_iter().flatten().collect();
        if all.is_empty() { "no weights".to_owned() } else { all.join(", ") }
    }
}

impl Place {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Staging => "staging",
            Self::Production => "production",
        }
    }
}

/// A text with its SHA-256 shortened: two lines of digits are read by nobody, and the plan has them all.
fn short(text: &str) -> String {
    match text.split_once("sha256:") {
        Some((before, hex)) if hex.len() == 64 && hex.is_ascii() => format!("{before}sha256:{}…", &hex[..12]),
        _ => text.to_owned(),
    }
}

impl Deployment {
    fn in_words(&self) -> String {
        let was = self.was.as_deref().unwrap_or("what is there");
        let mut parts = vec![format!("{} {was} -> {}", self.component, self.version)];
        let (before, after) = (&self.before, &self.after);
        let mut changed = |what: &str, before: Option<&String>, after: Option<&String>| {
            if before != after {
                let words = |value: Option<&String>| value.map_or_else(|| "nothing".to_owned(), |value| short(value));
                parts.push(format!("{what} {} -> {}", words(before), words(after)));
            }
        };
        changed("image", before.image.as_ref(), after.image.as_ref());
        for name in before.config.keys().chain(after.config.keys()).collect::<BTreeSet<_>>() {
            changed(name, before.config.get(name), after.config.get(name));
        }
        changed("text", before.text.as_ref(), after.text.as_ref());
        parts.join("; ")
    }
}

impl Task {
    /// In words.
    pub fn in_words(&self) -> String {
        match self {
            Self::Weigh { before, after } => format!("{} -> {}", before.in_words(), after.in_words()),
            Self::Restart => "restart".to_owned(),
            Self::Start => "stopped -> running".to_owned(),
            Self::Stop => "running -> stopped".to_owned(),
            Self::Job { before, after } => format!("{} -> {}", before.in_words(), after.in_words()),
            Self::Load { image, archive, bytes, .. } => {
                format!("load {image} from {archive} ({})", crate::units::format_bytes(*bytes as f64))
            }
            Self::Route { before, after } => format!("{} -> {}", shares_in_words(before), shares_in_words(after)),
            Self::Deploy(deployment) => deployment.in_words(),
        }
    }

    /// In which order things are done: what is needed is there first, and what is not goes last.
    pub fn rank(task: Option<&Self>) -> u8 {
        match task {
            Some(Self::Load { .. }) => 0,
            Some(Self::Start) => 1,
            Some(Self::Weigh { .. }) => 2,
            None | Some(Self::Job { .. } | Self::Deploy(_)) => 3,
            Some(Self::Restart) => 4,
            Some(Self::Stop) => 5,
            // Nobody is sent to what is not there yet.
            Some(Self::Route { .. }) => 6,
        }
    }
}

/// `blue 90 %, green 10 %`.
pub fn shares_in_words(shares: &Shares) -> String {
    let all: Vec<String> =
        shares.iter().filter(|(_, share)| **share > 0).map(|(group, share)| format!("{group} {share} %")).collect();
    if all.is_empty() { "nobody".to_owned() } else { all.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_asks_for_one_possible_thing() {
        let rule = |edit: fn(&mut TaskRule)| {
            let mut rule = TaskRule { resource: "dev/web".into(), ..TaskRule::default() };
            edit(&mut rule);
            rule.check()
        };
        assert_eq!(rule(|it| (it.cpu_weight, it.io_weight) = (Some(2048), Some(500))), Ok(()));
        assert_eq!(rule(|it| it.restart = true), Ok(()));
        for wrong in [
            rule(|_| {}),
            rule(|it| it.cpu_weight = Some(1)),
            rule(|it| it.io_weight = Some(1001)),
            rule(|it| (it.restart, it.running) = (true, Some(false))),
        ] {
            assert!(wrong.unwrap_err().starts_with("dev/web: "));
        }
    }
}
