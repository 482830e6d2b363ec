//! What is done to the containers of a service beside its limits: their weights, and whether they run.
//!
//! Owns the rules that people write beside their overrides, and what is to be done. No policy asks for any of it: it is what a
//! person wants done in the same plan, with the same approval, journal and rollback.

use crate::overrides::matches;
use serde::{Deserialize, Serialize};

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
        }
    }

    /// In which order things are done: what is needed is there first, and what is not goes last.
    pub fn rank(task: Option<&Self>) -> u8 {
        match task {
            Some(Self::Load { .. }) => 0,
            Some(Self::Start) => 1,
            Some(Self::Weigh { .. }) => 2,
            None | Some(Self::Job { .. }) => 3,
            Some(Self::Restart) => 4,
            Some(Self::Stop) => 5,
        }
    }
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
