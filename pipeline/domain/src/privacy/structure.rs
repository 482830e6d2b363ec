//! What only the structure around a text tells: arguments one by one, names beside their values, a key line by line.

use super::fields::{self, Field};
use super::{MASK, Privacy, people, secrets};
use serde_json::{Map, Value};
use std::borrow::Cow;

/// Stands between arguments that are searched as one command: a blank to every rule, and in no argument.
pub(super) const BETWEEN: char = '\u{b}';

/// Fields that hold the name of a setting, header, label or variable, beside a field with its value.
const NAMES: &[&str] =
    &["name", "key", "k", "field", "header", "variable", "parameter", "parameterkey", "option", "label", "param"];

/// Fields that hold its value.
const VALUES: &[&str] = &["value", "val", "v", "content", "contents", "data", "parametervalue", "default", "text"];

fn is_one_of(list: &[&str], key: &str) -> bool {
    list.iter().any(|name| key.eq_ignore_ascii_case(name))
}

/// Whether keys are those of a setting: one for its name and one for its value.
pub fn is_pair<'k>(keys: impl Iterator<Item = &'k str> + Clone) -> bool {
    keys.clone().any(|key| is_one_of(VALUES, key))
        && keys.clone().any(|key| is_one_of(NAMES, key) || is_one_of(KINDS, key))
}

/// Fields that say what a value is: `{"type": "secret", "value": …}`.
const KINDS: &[&str] = &["type", "kind", "format"];

/// Whether a text in a list says what the next one is: an option, a field's name, the first line of a key.
pub fn is_opening(text: &str) -> bool {
    let option = text.starts_with('-');
    option
        || text.contains("PRIVATE KEY")
        || text.len() < 64 && !matches!(fields::field(text), Field::Plain)
        || text == "login"
}

impl Privacy {
    /// Scrubs a list: each for itself, then what follows from those before.
    pub(super) fn scrub_list(&self, items: &mut [Value]) {
        if items.len() > 1 {
            self.mask_key_lines(items, &mut false);
            self.scrub_arguments(items);
        }
        items.iter_mut().for_each(|item| self.scrub_value(item));
    }

    /// The lines between the first and the last of a private key.
    fn mask_key_lines(&self, items: &mut [Value], inside: &mut bool) {
        for item in items {
            match item {
                Value::String(text) => {
                    let (begins, ends) = (text.contains("PRIVATE KEY"), text.contains("END "));
                    if *inside && !begins || begins && !ends && text.contains("BEGIN ") {
                        *inside = true;
                        *text = MASK.to_owned();
                    }
                    *inside &= !ends;
                }
                Value::Object(map) => {
                    for value in map.values_mut() {
                        self.mask_key_lines(std::slice::from_mut(value), inside);
                    }
                }
                Value::Array(items) => self.mask_key_lines(items, inside),
                _ => {}
            }
        }
    }

    /// `["mysql", "--password", "…"]` as the command that it is, `["Authorization", "…"]` as a field and its value.
    fn scrub_arguments(&self, items: &mut [Value]) {
        let opens = |item: &Value| item.as_str().is_some_and(is_opening);
        if !items.iter().any(opens) {
            return;
        }
        if let [Value::String(name), value] = items {
            let name = name.clone();
            self.scrub_named(&name, value);
        }
        if !items.iter().all(|item| item.as_str().is_some_and(|text| !text.contains(BETWEEN))) {
            return;
        }
        let texts: Vec<&str> = items.iter().filter_map(Value::as_str).collect();
        let command = texts.join(&BETWEEN.to_string());
        let Cow::Owned(clean) = self.scrub(&command) else { return };
        let parts: Vec<&str> = clean.split(BETWEEN).collect();
        if parts.len() == items.len() {
            items.iter_mut().zip(parts).for_each(|(item, part)| *item = Value::String(part.to_owned()));
        }
    }

    /// The value of a setting by the name that stands beside it.
    pub(super) fn scrub_pair(&self, map: &mut Map<String, Value>) {
        if !is_pair(map.keys().map(String::as_str)) {
            return;
        }
        let secret_kind = map.iter().any(|(key, value)| {
            is_one_of(KINDS, key) && value.as_str().is_some_and(|kind| kind.len() < 64 && fields::is_secret_field(kind))
        });
        let named = map.iter().filter(|(key, _)| is_one_of(NAMES, key)).find_map(|(_, value)| value.as_str());
        let name = if secret_kind { "secret".to_owned() } else { named.unwrap_or_default().to_owned() };
        for (key, value) in map.iter_mut() {
            if is_one_of(VALUES, key) {
                self.scrub_named(&name, value);
            }
        }
    }

    /// What a field's name says, and nothing else.
    pub(super) fn scrub_named(&self, name: &str, value: &mut Value) {
        match fields::field(name) {
            Field::Plain => {}
            Field::Person => self.scrub_person(value),
            Field::PersonLike => self.scrub_maybe_person(value),
            Field::Secret => match value {
                Value::Null | Value::Bool(_) => {}
                value => *value = Value::String(MASK.to_owned()),
            },
            Field::SecretLike => self.mask_secret_like(value, name),
        }
    }

    /// Of a field that holds a secret or something else: what looks like one.
    fn mask_secret_like(&self, value: &mut Value, name: &str) {
        let is_pin = |digits: &str| (4..=8).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
        match value {
            Value::String(text) if secrets::is_random(text) || name.eq_ignore_ascii_case("pin") && is_pin(text) => {
                *text = MASK.to_owned();
            }
            Value::Number(number) if name.eq_ignore_ascii_case("pin") && is_pin(&number.to_string()) => {
                *value = Value::String(MASK.to_owned());
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.mask_secret_like(item, name)),
            Value::Object(map) => map.values_mut().for_each(|item| self.mask_secret_like(item, name)),
            _ => {}
        }
    }

    /// Of a field that names a person or something else: what looks like a name.
    fn scrub_maybe_person(&self, value: &mut Value) {
        match value {
            Value::String(text) if people::is_name(text) => *text = self.mention_text(text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.scrub_maybe_person(item)),
            Value::Object(map) if !map.contains_key("login") => self.scrub_profile(map),
            value => self.scrub_value(value),
        }
    }
}
