//! What a Compose file sets, service by service.
//!
//! A limit that depends on a variable, on another file, or on two keys that contradict each other is unknown, never
//! guessed: `docker compose config` could say more, but would need the variables of the moment it is run.

use super::figure::Figure;
use super::tree::Document;
use super::value::{Found, Value};
use crate::StackError;
use domain::plan::State;
use std::collections::BTreeMap;

/// CPU may be limited through these as well, and Docker refuses them beside `cpus`.
const OTHER_CPU_KEYS: [&str; 4] = ["cpu_quota", "cpu_period", "cpu_count", "cpu_percent"];

/// A text, as it is written and what it means.
#[derive(Debug)]
pub(super) struct Parsed {
    pub(super) text: String,
    pub(super) document: Document,
    pub(super) value: Value,
}

/// One figure of one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    Unlimited,
    Limit(u64),
    /// Why it cannot be told.
    Unknown(String),
}

/// A service with everything it inherits by `extends` within the file.
pub(super) struct Service {
    pub(super) value: Value,
    /// What it inherits from outside the file, in words.
    pub(super) outside: Option<String>,
}

impl Parsed {
    pub(super) fn new(text: &str) -> Result<Self, StackError> {
        let document = Document::parse(text)?;
        let value = match document.root {
            Some(root) => Value::of(&document, root)?,
            None => Value::Map(BTreeMap::new()),
        };
        let services_ok = |value: &Value| matches!(value, Value::Map(_)) || value.is_null();
        if !services_ok(&value) || !value.get("services").is_none_or(services_ok) {
            return Err(StackError::Unclear {
                what: "this is not a Compose file: `services` is not a mapping".to_owned(),
                hint: "give the file that `docker compose` reads".to_owned(),
            });
        }
        Ok(Self { text: text.to_owned(), document, value })
    }

    /// The project name the file itself gives, as Compose normalises it.
    pub(super) fn name(&self) -> Result<Option<String>, StackError> {
        match self.value.at(&["name"]) {
            Found::Nothing => Ok(None),
            Found::Scalar(text) if !text.contains('$') => Ok(Some(normalised(text))),
            _ => Err(StackError::Unclear {
                what: "the project name depends on a variable".to_owned(),
                hint: "write the name out at `name:`, as it is in the recorded events".to_owned(),
            }),
        }
    }

    pub(super) fn services(&self) -> impl Iterator<Item = &String> {
        let services = match self.value.get("services") {
            Some(Value::Map(services)) => Some(services),
            _ => None,
        };
        services.into_iter().flat_map(BTreeMap::keys)
    }

    /// A service; none where the file has none of that name.
    pub(super) fn service(&self, name: &str) -> Option<Service> {
        self.extended(name, &mut Vec::new())
    }

    fn extended<'a>(&'a self, name: &'a str, chain: &mut Vec<&'a str>) -> Option<Service> {
        let own = self.value.get("services")?.get(name)?;
        let alone = |outside: Option<String>| Some(Service { value: own.clone(), outside });
        let Some(extends) = own.get("extends").filter(|value| !value.is_null()) else { return alone(None) };
        chain.push(name);
        let base = match (extends.at(&["service"]), extends.at(&["file"]), extends) {
            (Found::Scalar(base), Found::Nothing, _) => base,
            (_, _, Value::Scalar { text, .. }) => text,
            (_, Found::Scalar(file), _) => return alone(Some(format!("it extends a service of {file}"))),
            _ => return alone(Some("it extends a service that cannot be told".to_owned())),
        };
        if chain.contains(&base) {
            return alone(Some("it extends itself".to_owned()));
        }
        let Some(below) = self.extended(base, chain) else {
            return alone(Some(format!("it extends {base:?}, which is not in this file")));
        };
        Some(Service { value: own.over(&below.value), outside: below.outside })
    }

    /// Every service with its limits, and what could not be told.
    pub(super) fn limits(&self) -> (BTreeMap<String, State>, Vec<(String, String)>) {
        let mut states = BTreeMap::new();
        let mut notes = Vec::new();
        for name in self.services() {
            let Some(service) = self.service(name) else { continue };
            let mut state = State::default();
            for figure in Figure::BOTH {
                match service.reading(figure) {
                    Reading::Unlimited => {}
                    Reading::Limit(amount) => figure.put(&mut state, amount),
                    Reading::Unknown(why) => notes.push((name.clone(), why)),
                }
            }
            states.insert(name.clone(), state);
        }
        (states, notes)
    }
}

impl Service {
    /// What limits it.
    pub(super) fn reading(&self, figure: Figure) -> Reading {
        let (path, legacy) = (figure.deploy_path(), figure.legacy_path());
        let found = match (self.one(figure, &path), self.one(figure, &legacy)) {
            (Reading::Unlimited, other) | (other, Reading::Unlimited) => other,
            (Reading::Limit(a), Reading::Limit(b)) if a != b => {
                Reading::Unknown(format!("`{}` and `{}` contradict each other", path.join("."), legacy[0]))
            }
            (unknown @ Reading::Unknown(_), _) | (_, unknown) => unknown,
        };
        if figure == Figure::Cpu
            && let Some(key) = OTHER_CPU_KEYS.iter().find(|key| self.value.at(&[key]) != Found::Nothing)
        {
            return Reading::Unknown(format!("its CPU is limited through `{key}`"));
        }
        match (&self.outside, found) {
            (Some(outside), Reading::Unlimited) => Reading::Unknown(format!("{outside}, which may limit it")),
            (_, found) => found,
        }
    }

    /// What one key says; zero means no limit, as in Docker.
    pub(super) fn one(&self, figure: Figure, path: &[&str]) -> Reading {
        match self.value.at(path) {
            Found::Nothing => Reading::Unlimited,
            Found::Odd(why) => Reading::Unknown(why),
            Found::Scalar(text) => match figure.read(text) {
                Some(0) => Reading::Unlimited,
                Some(amount) => Reading::Limit(amount),
                None if text.contains('$') => {
                    Reading::Unknown(format!("`{}: {text}` depends on a variable", path.join(".")))
                }
                None => Reading::Unknown(format!("`{}: {text}` is no amount Compose takes", path.join("."))),
            },
        }
    }
}

/// As Compose makes a project name of any name: lower case, only `a-z 0-9 _ -`, beginning with a letter or digit.
pub(super) fn normalised(name: &str) -> String {
    let kept: String = name
        .to_lowercase()
        .chars()
        .filter(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '_' || *c == '-')
        .collect();
    kept.trim_start_matches(['_', '-']).to_owned()
}
