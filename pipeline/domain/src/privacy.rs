//! What may be stored about people: nothing but keyed hashes, and no secrets.
//!
//! People become `u-` and 96 bits of HMAC-SHA256 under the lake owner's key; the same person gives the same hash in
//! a field, an e-mail address or a mention spelled the same way. Secrets and home-directory names are masked. A person
//! who was erased is not even a hash any more.
//!
//! `key` knows what the key must be and what is derived from it; `fields` knows field names and `words` their words; `rules`
//! what is masked in text, with `tokens`, `options` and `who`; `people` and `secrets` what is one and what only looks like
//! one, and `printed` names in what programs print; `structure` lists, settings and keys over several lines; `beside` a name in the other texts of its event; `filter`
//! which texts need no rule; `broken` and `columns` what to do with lines that are no JSON; `entries` what a JSON text holds that its value
//! does not show; `suspicion` what looks like one by other, wider rules, for the audit.

mod beside;
mod broken;
mod columns;
mod entries;
mod field_words;
mod fields;
mod filter;
mod key;
mod needles;
mod options;
mod people;
mod printed;
mod rules;
mod secrets;
mod structure;
mod suspicion;
mod tokens;
mod who;
mod words;

pub(crate) use beside::Names;
pub use beside::is_telling;
pub use columns::Columns;
pub(crate) use fields::is_actor_field;
pub use fields::{Field, field, is_person_field, is_secret_field};
pub use key::{KEY_BYTES, WeakKey, check_key};
pub use structure::{is_opening, is_pair};
pub use suspicion::{Known, is_suspicious};

use hmac::{Hmac, Mac};
use serde_json::{Map, Value};
use sha2::Sha256;
use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::{Arc, Mutex};

/// A person's own name inside a field that holds an object.
const PERSON_KEYS: &[&str] = &[
    "login",
    "username",
    "user_id",
    "name",
    "email",
    "emailAddress",
    "id",
    "displayName",
    "display_name",
    "full_name",
];

/// The longest text kept of a rejected line, in bytes.
pub const REJECT_TEXT_LIMIT: usize = 64 << 10;

/// How often the rules go over a text that they change: nearly always the second time finds nothing.
const PASSES: usize = 4;

/// Over a longer text, in bytes, they go once: nobody writes one, but somebody could send many.
const PASSES_LIMIT: usize = 64 << 10;

/// What stands where a secret was.
const MASK: &str = "[masked]";

/// What stands where an erased person was.
pub const ERASED: &str = "[erased]";

/// Pseudonymises and masks under one key.
#[derive(Clone)]
pub struct Privacy {
    mac: Hmac<Sha256>,
    erased: Arc<HashSet<String>>,
    /// By the salts of lakes: slow to work out.
    fingerprints: Arc<Mutex<Vec<(String, String)>>>,
}

impl Privacy {
    /// Under the lake owner's secret key.
    pub fn new(key: &[u8]) -> Self {
        let mac = Hmac::new_from_slice(key).expect("HMAC takes a key of any length");
        Self { mac, erased: Arc::default(), fingerprints: Arc::default() }
    }

    /// The same key, and the hashes of people of whom nothing may be kept.
    pub fn with_erased(mut self, hashes: HashSet<String>) -> Self {
        self.erased = Arc::new(hashes);
        self
    }

    /// Whether nothing may be kept of the person with this hash.
    pub fn is_erased(&self, hash: &str) -> bool {
        self.erased.contains(hash)
    }

    /// The keyed hash of a person. What is one already stays: who collects may hash at the source, and the lake takes it
    /// as the same person.
    pub fn person(&self, name: &str) -> String {
        let name = name.trim();
        if people::is_hash(name) { name.to_owned() } else { format!("u-{}", self.hash(name, 12)) }
    }

    /// The proof that the owner of the key wrote a text for a purpose: HMAC-SHA256 under a key for that purpose alone, as
    /// 64 hex digits. The purpose stands between bytes that no text has, so that no person's hash can tell of its key.
    pub fn seal(&self, purpose: &str, text: &str) -> String {
        let seal = self.sealing(purpose, text).finalize().into_bytes();
        seal.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Whether a seal is the one of this text, told in a time that says nothing of how nearly it is.
    pub fn is_sealed(&self, purpose: &str, text: &str, seal: &str) -> bool {
        let digits: Option<Vec<u8>> =
            (0..seal.len() / 2).map(|i| u8::from_str_radix(seal.get(2 * i..2 * i + 2)?, 16).ok()).collect();
        let complete = |bytes: &Vec<u8>| bytes.len() == 32 && seal.len() == 64;
        digits.filter(complete).is_some_and(|bytes| self.sealing(purpose, text).verify_slice(&bytes).is_ok())
    }

    fn sealing(&self, purpose: &str, text: &str) -> Hmac<Sha256> {
        let mut key = self.mac.clone();
        key.update(b"\xff seal \xff");
        key.update(purpose.as_bytes());
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&key.finalize().into_bytes()).expect("HMAC takes a key of any length");
        mac.update(text.as_bytes());
        mac
    }

    /// What is written of a person who is mentioned: the hash, unless erased.
    pub fn mention(&self, name: &str) -> String {
        let hash = self.person(name);
        if self.erased.contains(&hash) { ERASED.to_owned() } else { hash }
    }

    fn hash(&self, text: &str, bytes: usize) -> String {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let mut mac = self.mac.clone();
        mac.update(text.as_bytes());
        let hash = mac.finalize().into_bytes();
        hash[..bytes].iter().flat_map(|b| [b >> 4, b & 15]).map(|digit| char::from(HEX[usize::from(digit)])).collect()
    }

    /// Takes people, secrets and home names out of an object, at any depth, its keys included.
    pub fn scrub_object(&self, map: &mut Map<String, Value>) {
        self.scrub_pair(map);
        for (key, value) in map.iter_mut() {
            self.scrub_field(key, value);
        }
        self.scrub_keys(map);
    }

    fn scrub_field(&self, key: &str, value: &mut Value) {
        self.scrub_named(key, value);
        // A person or a secret is one no more, and what only might have been one is searched as any text.
        if matches!(field(key), Field::Plain | Field::SecretLike) {
            self.scrub_value(value);
        }
    }

    fn scrub_keys(&self, map: &mut Map<String, Value>) {
        let odd: Vec<String> = map.keys().filter(|key| matches!(self.scrub(key), Cow::Owned(_))).cloned().collect();
        for key in odd {
            if let Some(value) = map.remove(&key) {
                map.insert(self.scrub_text(&key), value);
            }
        }
    }

    /// What is known about a person beside their name, such as an operating system: names become hashes, the rest
    /// stays.
    pub fn scrub_profile(&self, profile: &mut Map<String, Value>) {
        for (key, value) in profile.iter_mut() {
            let is_person = PERSON_KEYS.contains(&key.as_str()) || key.ends_with("name") || key.ends_with("mail");
            if is_person || key.ends_with("Name") {
                self.scrub_person(value);
            } else {
                self.scrub_field(key, value);
            }
        }
        self.scrub_keys(profile);
    }

    /// [`Self::scrub_object`] for any value.
    pub fn scrub_value(&self, value: &mut Value) {
        match value {
            // Whatever field holds it: what has a login is a person.
            Value::Object(map) if map.contains_key("login") => self.scrub_person(value),
            Value::Object(map) => self.scrub_object(map),
            Value::Array(items) => self.scrub_list(items),
            Value::String(text) => {
                if let Cow::Owned(clean) = self.scrub(text) {
                    *text = clean;
                }
            }
            _ => {}
        }
    }

    /// A field that names a person keeps a hash and nothing else.
    fn scrub_person(&self, value: &mut Value) {
        match value {
            Value::String(name) => *value = Value::String(self.mention(name)),
            // Shares and seconds are nobody's number: `"user": 12.5` is processor time.
            Value::Number(id) if !id.is_f64() => *value = Value::String(self.mention(&id.to_string())),
            Value::Array(people) => people.iter_mut().for_each(|person| self.scrub_person(person)),
            Value::Object(map) => {
                let name = PERSON_KEYS.iter().find_map(|key| match map.get(*key)? {
                    Value::String(name) => Some(name.clone()),
                    Value::Number(id) => Some(id.to_string()),
                    _ => None,
                });
                *value = name.map_or(Value::Null, |name| Value::String(self.mention(&name)));
            }
            _ => {}
        }
    }

    /// Whether one of the fields that say who did it names an erased person. Asked of a payload before it is scrubbed.
    pub(crate) fn is_by_erased(&self, map: &Map<String, Value>) -> bool {
        !self.erased.is_empty()
            && map.iter().any(|(key, value)| {
                is_actor_field(key) && {
                    let mut value = value.clone();
                    self.scrub_person(&mut value);
                    value == ERASED
                }
            })
    }

    /// [`Self::scrub`], owned.
    pub fn scrub_text(&self, text: &str) -> String {
        self.scrub(text).into_owned()
    }

    /// Takes e-mail addresses, mentions, secrets and home names out of a text. Almost always there are none, which
    /// costs some ten nanoseconds.
    pub fn scrub<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let clean = self.scrub_by(text, filter::rules_for);
        if self.erased.is_empty() { clean } else { self.without_erased(clean) }
    }

    /// Until the rules find nothing more: what one writes may be what another looks for.
    fn scrub_by<'t>(&self, text: &'t str, rules: impl Fn(&[u8]) -> u16) -> Cow<'t, str> {
        // What is not seen hides nothing: `pass\u{200b}word=…`. Where it hid nothing, the text stays as it is.
        if !text.is_ascii()
            && let Some(shown) = words::shown(text)
        {
            let clean = self.scrub_shown(&shown, &rules);
            if matches!(clean, Cow::Owned(_)) {
                return Cow::Owned(clean.into_owned());
            }
        }
        self.scrub_shown(text, &rules)
    }

    fn scrub_shown<'t>(&self, text: &'t str, rules: &impl Fn(&[u8]) -> u16) -> Cow<'t, str> {
        let mut clean = self.apply(text, rules(text.as_bytes()));
        for _ in 1..PASSES {
            let Cow::Owned(text) = &clean else { break };
            if text.len() > PASSES_LIMIT {
                break;
            }
            let Cow::Owned(cleaner) = self.apply(text, rules(text.as_bytes())) else { break };
            clean = Cow::Owned(cleaner);
        }
        clean
    }

    /// A hash that was written into a text before its person was erased.
    fn without_erased<'t>(&self, text: Cow<'t, str>) -> Cow<'t, str> {
        let mut text = text;
        rules::replace(&mut text, &rules::HASH, |c| {
            if self.erased.contains(&c[0]) { ERASED.to_owned() } else { c[0].to_owned() }
        });
        text
    }

    /// What is kept of a rejected line: scrubbed by structure where it is JSON, by pattern where it is not; as it is,
    /// byte for byte, where it is not too long and nothing had to be scrubbed.
    pub fn scrub_reject(&self, line: &str) -> String {
        let clean = match serde_json::from_str::<Value>(line) {
            Ok(mut value) => {
                // What is too long to be kept whole may be many times its size in memory: it is not there twice.
                let before = (line.len() <= REJECT_TEXT_LIMIT).then(|| value.clone());
                self.scrub_whole(&mut value);
                if before.is_some_and(|before| before == value) && !entries::is_hiding(line, &value) {
                    return line.to_owned();
                }
                value.to_string()
            }
            Err(_) => self.scrub_broken(cut(line, REJECT_TEXT_LIMIT)),
        };
        cut(&clean, REJECT_TEXT_LIMIT).to_owned()
    }

    /// [`Self::scrub_value`], and the names of its people wherever else they stand in it.
    fn scrub_whole(&self, value: &mut Value) {
        let mut names = Names::default();
        names.add_value(value);
        self.scrub_value(value);
        self.scrub_names_in(&names, value);
    }
}

/// The hashes of people in a text.
pub fn people_in(text: &str) -> impl Iterator<Item = &str> {
    rules::HASH.find_iter(text).map(|found| found.as_str())
}

/// Whether a person, by their hash, is named by a field that says who did it: then it is their event.
pub fn is_by(fields: &Map<String, Value>, hash: &str) -> bool {
    fields.iter().any(|(key, value)| value.as_str() == Some(hash) && is_actor_field(key))
}

/// Whether a stored text, plain or JSON, holds what should not have been stored: an address, a secret, a home name.
pub fn is_leak(text: &str) -> bool {
    fn leaks(value: &Value, privacy: &Privacy) -> bool {
        match value {
            Value::String(text) => matches!(privacy.scrub(text), Cow::Owned(_)),
            Value::Array(items) => items.iter().any(|item| leaks(item, privacy)),
            Value::Object(map) => map.iter().any(|(key, value)| {
                let secret = || value.as_str().is_some_and(|text| text != MASK && text != ERASED && !text.is_empty());
                (is_secret_field(key) && secret()) || leaks(value, privacy)
            }),
            _ => false,
        }
    }
    // Which key does not matter: nothing is to be hashed.
    let privacy = Privacy::new(b"");
    if text.starts_with(['{', '['])
        && let Ok(value) = serde_json::from_str(text)
    {
        return leaks(&value, &privacy);
    }
    matches!(privacy.scrub(text), Cow::Owned(_))
}

/// The longest start of `text` of at most `limit` bytes.
fn cut(text: &str, limit: usize) -> &str {
    &text[..text.floor_char_boundary(limit)]
}

#[cfg(test)]
mod planted;
#[cfg(test)]
mod tests;
