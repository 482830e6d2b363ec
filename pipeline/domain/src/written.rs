//! What people write in TOML where a text is wanted: a number or a date means the same as in quotes.

use crate::Timestamp;
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;

#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Text(String),
    Whole(i64),
    Float(f64),
    /// A date or time, as the `toml` crate hands it to whom does not know it: an object with one entry.
    Date(BTreeMap<String, String>),
}

impl Written {
    fn text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Whole(number) => number.to_string(),
            Self::Float(number) => number.to_string(),
            Self::Date(date) => date.into_values().next().unwrap_or_default(),
        }
    }
}

/// A text, or a number in its place: `cpu = 2`.
pub(crate) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    match Written::deserialize(deserializer) {
        Ok(written) => Ok(Some(written.text())),
        Err(_) => Err(D::Error::custom("expected a text, such as \"1.5\" or \"512MiB\", or a number")),
    }
}

/// A time, in quotes or as TOML's own; a date is its midnight, and what names no offset is UTC.
pub(crate) fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    let unusable = || D::Error::custom("expected a time, such as \"2026-12-01T00:00:00Z\" or 2026-12-01");
    let text = Written::deserialize(deserializer).map_err(|_| unusable())?.text();
    let text = text.trim().replacen(' ', "T", 1);
    let forms = [text.clone(), format!("{text}Z"), format!("{text}:00Z"), format!("{text}T00:00:00Z")];
    forms.iter().find_map(|form| Timestamp::parse(form)).map(Some).ok_or_else(unusable)
}
