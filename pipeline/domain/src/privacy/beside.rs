//! A name beside its pseudonym: where a field of an event names a person, their name in its other texts is the same hash.
//!
//! `"actor": "annabel"` is hashed by its field, but a branch, a link or a message of the same event would give the name
//! away, and with it everything else of that hash. Names that are also words are left alone.

use super::fields::{self, Field};
use super::people::is_hash;
use super::{PERSON_KEYS, Privacy};
use serde_json::{Map, Value};
use std::borrow::Cow;

/// Names of one event that are looked for.
const NAMES: usize = 16;

/// Users of systems and words of the trade, in the order of letters: who has such a name is not searched for.
const WORDS: &[&str] = &[
    "actions",
    "administrator",
    "agent",
    "analytics",
    "android",
    "anonymous",
    "apache",
    "apple",
    "azure",
    "backend",
    "build",
    "builder",
    "buildkite",
    "cache",
    "cargo",
    "centos",
    "chase",
    "circleci",
    "claude",
    "client",
    "cloud",
    "codecov",
    "commit",
    "config",
    "copilot",
    "debian",
    "default",
    "dependabot",
    "deploy",
    "deployer",
    "design",
    "developer",
    "docker",
    "eclipse",
    "events",
    "feature",
    "fedora",
    "files",
    "firefox",
    "frontend",
    "ghost",
    "github",
    "github-actions",
    "gitlab",
    "google",
    "grace",
    "gradle",
    "guest",
    "hotfix",
    "ingest",
    "install",
    "intern",
    "jasmine",
    "jenkins",
    "jupyter",
    "kafka",
    "linux",
    "local",
    "login",
    "macos",
    "main",
    "maintainer",
    "manager",
    "master",
    "maven",
    "merge",
    "metrics",
    "microsoft",
    "mobile",
    "model",
    "models",
    "monitor",
    "mozilla",
    "mysql",
    "network",
    "nginx",
    "nobody",
    "oracle",
    "owner",
    "pages",
    "patch",
    "pipeline",
    "platform",
    "postgres",
    "price",
    "production",
    "python",
    "react",
    "redis",
    "release",
    "remote",
    "renovate",
    "report",
    "review",
    "robot",
    "runner",
    "salesforce",
    "scala",
    "script",
    "security",
    "server",
    "service",
    "shell",
    "source",
    "spark",
    "sphinx",
    "staging",
    "storage",
    "student",
    "swift",
    "system",
    "teamcity",
    "test",
    "tester",
    "tests",
    "title",
    "train",
    "travis",
    "ubuntu",
    "unknown",
    "update",
    "upload",
    "user",
    "users",
    "vagrant",
    "version",
    "windows",
    "worker",
    "write",
];

/// Whether a name, found in a text, is that person and hardly anything else.
pub fn is_telling(name: &str) -> bool {
    let least = if name.bytes().any(|byte| byte.is_ascii_digit() || byte == b'-') { 4 } else { 5 };
    let letters = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | ' ' | '\'');
    (least..=64).contains(&name.len())
        && name.starts_with(char::is_alphabetic)
        && name.chars().all(letters)
        && !is_hash(name)
        && !name.ends_with("[bot]")
        && WORDS.binary_search(&&*name.to_ascii_lowercase()).is_err()
}

/// The people whom an event names, as it writes them.
#[derive(Debug, Default)]
pub(crate) struct Names(Vec<String>);

impl Names {
    pub(crate) fn add(&mut self, name: &str) {
        let name = name.trim();
        if self.0.len() < NAMES && is_telling(name) && !self.0.iter().any(|known| known == name) {
            self.0.push(name.to_owned());
        }
    }

    pub(super) fn of(names: Vec<String>) -> Self {
        let mut telling = Self::default();
        names.iter().for_each(|name| telling.add(name));
        telling
    }

    /// Those whom the fields of an object name, at any depth.
    pub(crate) fn add_all(&mut self, map: &Map<String, Value>) {
        for (key, value) in map {
            self.add_field(key, value);
        }
    }

    /// Those whom a value names, be it a list.
    pub(super) fn add_value(&mut self, value: &Value) {
        self.add_field("", value);
    }

    fn add_field(&mut self, key: &str, value: &Value) {
        match value {
            Value::String(name) if matches!(fields::field(key), Field::Person | Field::PersonLike) => self.add(name),
            Value::Array(items) => items.iter().for_each(|item| self.add_field(key, item)),
            Value::Object(map) => {
                let is_person = map.contains_key("login") || fields::field(key) == Field::Person;
                for (inner, value) in map {
                    match value.as_str().filter(|_| is_person && PERSON_KEYS.contains(&inner.as_str())) {
                        Some(name) => self.add(name),
                        None => self.add_field(inner, value),
                    }
                }
            }
            _ => {}
        }
    }
}

/// Outer fields that join events of several people: a name in them stays.
const JOINS: &[&str] = &["ts", "type", "repo", "branch", "pr", "env", "resource", "session"];

impl Privacy {
    /// Takes people and secrets out of a native event before it leaves who collects it: the lake finds nothing more to
    /// mask, and the event has the same identity as if it had come as it was.
    pub fn scrub_event(&self, fields: &mut Map<String, Value>) {
        let mut names = Names::default();
        names.add_all(fields);
        for (name, value) in fields.iter_mut() {
            match (name.as_str(), value) {
                ("ts" | "type", _) => {}
                ("developer", Value::String(person)) => *person = self.person(person),
                ("branch", Value::String(branch)) => *branch = self.scrub_branch(branch),
                (_, Value::Object(map)) => self.scrub_object(map),
                (_, value) => self.scrub_value(value),
            }
        }
        for (name, value) in fields.iter_mut() {
            if !JOINS.contains(&name.as_str()) {
                self.scrub_names_in(&names, value);
            }
        }
    }

    /// Puts the hashes of people in the place of their names.
    pub(crate) fn scrub_names(&self, names: &Names, map: &mut Map<String, Value>) {
        if names.0.is_empty() {
            return;
        }
        for value in map.values_mut() {
            self.scrub_names_in(names, value);
        }
        let odd = map.keys().filter(|key| matches!(self.without_names(names, key), Cow::Owned(_)));
        for key in odd.cloned().collect::<Vec<_>>() {
            if let Some(value) = map.remove(&key) {
                map.insert(self.without_names(names, &key).into_owned(), value);
            }
        }
    }

    pub(super) fn scrub_names_in(&self, names: &Names, value: &mut Value) {
        match value {
            Value::String(text) => {
                if let Cow::Owned(clean) = self.without_names(names, text) {
                    *text = clean;
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.scrub_names_in(names, item)),
            Value::Object(map) => self.scrub_names(names, map),
            _ => {}
        }
    }

    pub(super) fn without_names<'t>(&self, names: &Names, text: &'t str) -> Cow<'t, str> {
        let mut text = Cow::Borrowed(text);
        for name in &names.0 {
            let mut clean = String::new();
            let mut kept = 0;
            for at in memchr::memmem::find_iter(text.as_bytes(), name.as_bytes()) {
                let end = at + name.len();
                let word = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
                if at < kept || word(text[..at].chars().next_back()) || word(text[end..].chars().next()) {
                    continue;
                }
                clean.push_str(&text[kept..at]);
                clean.push_str(&self.mention(name));
                kept = end;
            }
            if kept > 0 {
                clean.push_str(&text[kept..]);
                text = Cow::Owned(clean);
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_name_does_not_stand_beside_its_hash() {
        let privacy = Privacy::new(b"the key of the tests");
        let mut map = json!({"actor": "annabel", "label": "annabel:fix", "n": ["annabel-patch-1", "annabelle"],
            "avatar_url": "https://img.example/annabel.png"});
        let map = map.as_object_mut().unwrap();
        let mut names = Names::default();
        names.add_all(map);
        privacy.scrub_object(map);
        privacy.scrub_names(&names, map);
        let hash = privacy.person("annabel");
        assert_eq!(map["label"], format!("{hash}:fix"));
        assert_eq!(map["n"], json!([format!("{hash}-patch-1"), "annabelle"]));
        assert_eq!(map["avatar_url"], format!("https://img.example/{hash}.png"));
    }

    #[test]
    fn a_name_that_is_a_word_is_not_searched_for() {
        assert!(WORDS.is_sorted());
        for name in ["build", "ann", "runner", "u-81", "github-actions", "12345"] {
            assert!(!is_telling(name) || name == "u-81", "{name}");
        }
        assert!(is_telling("annabel") && is_telling("dev-7") && is_telling("Annabel Leeson"));
    }
}
