//! Where in the text of a TOML file something stands.

use toml::de::{DeTable, DeValue};

/// A step on the way to a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum At {
    Key(String),
    Index(usize),
}

impl From<&str> for At {
    fn from(key: &str) -> Self {
        Self::Key(key.to_owned())
    }
}

impl From<usize> for At {
    fn from(index: usize) -> Self {
        Self::Index(index)
    }
}

/// The line, from 1, of the value that a path leads to; of the nearest above it where the path ends before.
pub(super) fn line_at(text: &str, path: &[At]) -> usize {
    let Ok(root) = DeTable::parse(text) else { return 1 };
    let mut found = 0;
    let mut here = Some(DeValue::Table(root.into_inner()));
    for step in path {
        let next = match (step, here) {
            (At::Key(key), Some(DeValue::Table(mut table))) => table.remove(key.as_str()),
            (At::Index(index), Some(DeValue::Array(array))) => array.into_iter().nth(*index),
            _ => None,
        };
        let Some(next) = next else { break };
        found = next.span().start;
        here = Some(next.into_inner());
    }
    line_of(text, found)
}

/// The line, from 1, of a byte.
pub(super) fn line_of(text: &str, at: usize) -> usize {
    text.get(..at).map_or(1, |before| before.matches('\n').count() + 1)
}
