//! What dumps look like: one file per format, from a JSON object to events.

mod github;

use domain::Event;
use domain::event::{Refused, read_native};
use domain::privacy::Privacy;
use serde_json::Value;

/// The form of a dump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Events of the contract, single or in batch objects.
    Native,
    /// Pull-request timelines of the GitHub API, one object a line.
    Github,
}

/// The formats by the names people give.
pub const FORMATS: &[(&str, Format)] = &[("native", Format::Native), ("github", Format::Github)];

impl Format {
    /// The format of that name.
    pub fn named(name: &str) -> Option<Self> {
        FORMATS.iter().find(|(known, _)| *known == name).map(|(_, format)| *format)
    }

    /// Tells the format of a dump from its first object.
    pub fn detect(first: &Value) -> Self {
        if github::is(first) { Self::Github } else { Self::Native }
    }

    /// The events of one object.
    pub fn read(self, value: Value, privacy: &Privacy) -> Vec<Result<Event, Refused>> {
        match self {
            Self::Native => read_native(value, privacy),
            Self::Github => github::read(value, privacy),
        }
    }
}
