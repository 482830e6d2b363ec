//! The shape of a payload: its keys in the order they are written, and what follows from them. The same program writes the
//! same keys in the same order, so it is worked out once.

use crate::rows::{Place, places};
use domain::json::{Json, Kind, Node};
use domain::privacy::{Field, Privacy, field, is_pair};
use std::borrow::Cow;

/// The keys of a payload in the order they are written, and what follows from them.
pub(super) struct Shape {
    keys: Vec<Box<str>>,
    /// Their first sixteen bytes each, for comparing without a loop.
    heads: Vec<u128>,
    /// The entries by key, as the normal form has them.
    pub(super) sorted: Vec<Entry>,
}

pub(super) struct Entry {
    pub(super) index: usize,
    /// A comma, the key in quotes and a colon.
    pub(super) lead: Box<str>,
    pub(super) place: Option<&'static Place>,
}

impl Shape {
    pub(super) fn learn(json: Json, entries: &[u32], kind: &str, privacy: &Privacy) -> Option<Self> {
        let keys = entries.iter().step_by(2).map(|key| usual_key(json, json.node(*key), privacy));
        let keys: Vec<&str> = keys.collect::<Option<_>>()?;
        if is_pair(keys.iter().copied()) {
            return None;
        }
        let mut sorted: Vec<(&str, usize)> = keys.iter().copied().zip(0..).collect();
        sort_last_wins(&mut sorted);
        let places = places(kind);
        if places.iter().any(|place| place.required && !keys.contains(&place.name)) {
            return None;
        }
        let place = |key: &str| places.iter().find(|place| place.name == key);
        let lead = |key: &str| format!(",\"{key}\":").into_boxed_str();
        Some(Self {
            sorted: sorted
                .into_iter()
                .map(|(key, index)| Entry { index, lead: lead(key), place: place(key) })
                .collect(),
            heads: keys.iter().map(|key| head(key)).collect(),
            keys: keys.into_iter().map(Into::into).collect(),
        })
    }

    pub(super) fn fits(&self, json: Json, entries: &[u32]) -> bool {
        entries.len() == 2 * self.keys.len()
            && entries.iter().step_by(2).zip(&self.keys).zip(&self.heads).all(|((entry, key), head)| {
                let node = json.node(*entry);
                let length = (node.end - node.start) as usize;
                length == key.len()
                    && node.kind == Kind::Plain
                    && json.head(node) == *head
                    && (length <= 16 || json.raw(node)[16..] == key[16..])
            })
    }
}

/// The first sixteen bytes of a text as a number, as [`Json::head`] has them.
fn head(text: &str) -> u128 {
    text.bytes().take(16).rev().fold(0, |head, byte| head << 8 | u128::from(byte))
}

/// A key that says nothing about how its value must be kept.
pub(super) fn usual_key<'t>(json: Json<'t>, key: Node, privacy: &Privacy) -> Option<&'t str> {
    let text = (key.kind == Kind::Plain).then(|| json.raw(key))?;
    let usual = field(text) == Field::Plain && matches!(privacy.scrub(text), Cow::Borrowed(_));
    usual.then_some(text)
}

/// Sorts entries by their keys; of a key written twice the last counts.
pub(super) fn sort_last_wins<T>(entries: &mut Vec<(&str, T)>) {
    entries.reverse();
    entries.sort_by_key(|(key, _)| *key);
    entries.dedup_by_key(|(key, _)| *key);
}
