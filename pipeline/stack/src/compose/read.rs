//! What a Compose file sets, service by service, with what lies around it.
//!
//! A limit that depends on a variable nobody sets on disk, on a file that cannot be read, or on two keys that contradict
//! each other is unknown, never guessed.

use super::around::{Extended, Surroundings, extended_file};
use super::figure::Figure;
use super::variables::Variables;
use crate::StackError;
use crate::yaml::place::Text;
use crate::yaml::tree::Document;
use crate::yaml::value::{Found, Value};
use domain::plan::State;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// CPU may be limited through these as well, and Docker refuses them beside `cpus`.
const OTHER_CPU_KEYS: [&str; 4] = ["cpu_quota", "cpu_period", "cpu_count", "cpu_percent"];

/// Longer chains of `extends` are not followed.
const DEEPEST: usize = 64;

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

/// A service with everything it inherits by `extends`.
#[derive(Clone, Debug)]
pub(super) struct Service {
    pub(super) value: Value,
    /// What it inherits from where nobody can look, in words.
    pub(super) outside: Option<String>,
    /// Why Compose refuses what it extends.
    pub(super) fault: Option<String>,
}

/// A Compose file with what lies around it.
#[derive(Clone, Copy)]
pub(super) struct Project<'a> {
    pub(super) parsed: &'a Parsed,
    pub(super) around: &'a Surroundings,
}

/// What a project sets now.
#[derive(Debug, Default)]
pub(super) struct Limits {
    pub(super) states: BTreeMap<String, State>,
    /// Containers of a service, where it is not one.
    pub(super) replicas: BTreeMap<String, u32>,
    /// Service and what could not be told or should be known.
    pub(super) notes: Vec<(String, String)>,
}

impl Parsed {
    pub(super) fn new(text: &str) -> Result<Self, StackError> {
        let document = Document::parse(text)?;
        let value = match document.root {
            Some(root) => Value::of(&document, root)?,
            None => Value::Map(BTreeMap::new()),
        };
        if !is_project(&value) {
            return Err(StackError::Unclear {
                what: "this is not a Compose file: `services` is not a mapping".to_owned(),
                hint: "give the file that `docker compose` reads".to_owned(),
            });
        }
        Ok(Self { text: text.to_owned(), document, value })
    }

    /// The file for the editor.
    pub(super) fn text(&self) -> Text<'_> {
        Text { text: &self.text, document: &self.document, from: self.document.root, value: &self.value }
    }

    /// The services that are in the file itself.
    pub(super) fn services(&self) -> impl Iterator<Item = &String> {
        services(&self.value)
    }

    /// The services of the file that one extends, the nearest first.
    pub(super) fn bases(&self, name: &str) -> Vec<String> {
        let mut bases: Vec<String> = Vec::new();
        while bases.len() < DEEPEST {
            let name = bases.last().map_or(name, String::as_str);
            let extends = self.value.get("services").and_then(|services| services.get(name)?.get("extends"));
            let base = match (extends.map(|extends| extends.at(&["service"])), extends) {
                (Some(Found::Scalar(base)), _) => base,
                (_, Some(Value::Scalar { text, .. })) => text,
                _ => break,
            };
            bases.push(base.to_owned());
        }
        bases
    }
}

impl Project<'_> {
    /// The project name that the files give, as Compose normalises it.
    pub(super) fn name(&self) -> Result<Option<String>, StackError> {
        if let Some(name) = self.around.project_name() {
            return Ok(Some(normalised(name)));
        }
        let layers = self.around.above.iter().rev().map(|layer| &layer.value);
        let values = layers.chain([&self.parsed.value]).chain(self.around.below.iter().rev().map(|layer| &layer.value));
        for value in values {
            match value.at(&["name"]) {
                Found::Nothing => {}
                Found::Scalar(text) => match self.around.variables.filled(text) {
                    Ok(name) => return Ok(Some(normalised(&name))),
                    Err(variable) => {
                        return Err(nameless(&format!("the variable {variable}, which .env does not set")));
                    }
                },
                Found::Odd(why) => return Err(nameless(&why)),
            }
        }
        Ok(None)
    }

    /// Every service of the project, wherever it is defined.
    pub(super) fn services(&self) -> BTreeSet<&str> {
        let layers = self.around.below.iter().chain(&self.around.above).map(|layer| &layer.value);
        let included = self.around.included.keys();
        layers.chain([&self.parsed.value]).flat_map(services).chain(included).map(String::as_str).collect()
    }

    /// The file that a service is defined in where it is another one.
    pub(super) fn elsewhere(&self, name: &str) -> Option<&str> {
        if known(&self.parsed.value, name) {
            return None;
        }
        let layer = self.around.below.iter().chain(&self.around.above).find(|layer| known(&layer.value, name));
        let included = || self.around.included.get(name).map(|included| included.file.as_str());
        layer.map(|layer| layer.name.as_str()).or_else(included)
    }

    /// The file over this one that sets something for a service, and so wins over what is written here.
    pub(super) fn overridden(&self, name: &str, path: &[&str]) -> Option<&str> {
        let sets = |value: &Value| {
            service(value, &self.around.folder, name, &self.around.variables, &self.around.extended)
                .is_some_and(|service| service.value.at(path) != Found::Nothing)
        };
        let layer = self.around.above.iter().rev().find(|layer| sets(&layer.value));
        layer.map(|layer| layer.name.as_str())
    }

    /// A service of the project with everything that is laid under and over it; none where there is none of that name.
    pub(super) fn service(&self, name: &str) -> Option<Service> {
        let around = self.around;
        let found = |value| service(value, &around.folder, name, &around.variables, &around.extended);
        let own = found(&self.parsed.value);
        if around.below.is_empty() && around.above.is_empty() && own.is_some() {
            return own;
        }
        let below = around.below.iter().filter_map(|layer| found(&layer.value));
        let above = around.above.iter().filter_map(|layer| found(&layer.value));
        let included = around.included.get(name).map(|included| included.service.clone());
        included.into_iter().chain(below).chain(own).chain(above).reduce(|below, over| Service {
            value: over.value.over(&below.value),
            outside: over.outside.or(below.outside),
            fault: over.fault.or(below.fault),
        })
    }

    /// What limits a service.
    pub(super) fn reading(&self, service: &Service, figure: Figure) -> Reading {
        let readings: Vec<Reading> = figure.paths().iter().map(|path| self.one(service, figure, path)).collect();
        let found = readings.into_iter().fold(Reading::Unlimited, |one, other| match (one, other) {
            (Reading::Unlimited, other) | (other, Reading::Unlimited) => other,
            (Reading::Limit(a), Reading::Limit(b)) if a != b => {
                let [path, legacy] = [0, 1].map(|i| figure.paths().get(i).map_or(String::new(), |path| path.join(".")));
                Reading::Unknown(format!("`{path}` and `{legacy}` contradict each other"))
            }
            (unknown @ Reading::Unknown(_), _) | (_, unknown) => unknown,
        });
        if figure == Figure::Cpu
            && let Some(key) = OTHER_CPU_KEYS.iter().find(|key| service.value.at(&[key]) != Found::Nothing)
        {
            return Reading::Unknown(format!("its CPU is limited through `{key}`"));
        }
        match (&service.outside, found) {
            (Some(outside), Reading::Unlimited) if figure != Figure::Swap => {
                Reading::Unknown(format!("{outside}, which may limit it"))
            }
            (_, found) => found,
        }
    }

    /// What one key says; zero means no limit, as in Docker.
    pub(super) fn one(&self, service: &Service, figure: Figure, path: &[&str]) -> Reading {
        let dotted = path.join(".");
        let text = match service.value.at(path) {
            Found::Nothing => return Reading::Unlimited,
            Found::Odd(why) => return Reading::Unknown(why),
            Found::Scalar(text) => text,
        };
        let Ok(filled) = self.around.variables.filled(text) else {
            return Reading::Unknown(format!("`{dotted}: {text}` depends on a variable that .env does not set"));
        };
        match figure.read(&filled) {
            Some(0) => Reading::Unlimited,
            Some(amount) => Reading::Limit(amount),
            // No end of swap.
            None if figure == Figure::Swap && filled == "-1" => Reading::Unlimited,
            None => Reading::Unknown(format!("`{dotted}: {text}` is no amount Compose takes")),
        }
    }

    /// Every service with its limits, and what could not be told.
    pub(super) fn limits(&self) -> Limits {
        let mut limits = Limits::default();
        for name in self.services() {
            let Some(service) = self.service(name) else { continue };
            let mut state = State::default();
            for figure in Figure::BOTH {
                match self.reading(&service, figure) {
                    Reading::Unlimited => {}
                    Reading::Limit(amount) => {
                        figure.put(&mut state, amount);
                        limits.notes.extend(self.variable(&service, figure).map(|note| (name.to_owned(), note)));
                    }
                    Reading::Unknown(why) => limits.notes.push((name.to_owned(), why)),
                }
            }
            if let (Some(_), Reading::Limit(_)) = (state.memory_bytes, self.reading(&service, Figure::Swap)) {
                let note = "its `memswap_limit` moves with its memory limit, so that the swap stays the same";
                limits.notes.push((name.to_owned(), note.to_owned()));
            }
            if let Some(profiles) = self.off(&service) {
                let note = format!("it is started only with the profile {profiles}, which `.env` does not turn on");
                limits.notes.push((name.to_owned(), note));
            }
            match self.replicas(&service) {
                Ok(1) => {}
                Ok(replicas) => {
                    limits.replicas.insert(name.to_owned(), replicas);
                }
                Err(why) => limits.notes.push((name.to_owned(), why)),
            }
            limits.states.insert(name.to_owned(), state);
        }
        limits
    }

    /// How a figure comes about that rests on a variable.
    fn variable(&self, service: &Service, figure: Figure) -> Option<String> {
        let written = figure.paths().iter().find_map(|path| match service.value.at(path) {
            Found::Scalar(text) if text.contains('$') => Some(format!("{}: {text}", path.join("."))),
            _ => None,
        })?;
        Some(format!("`{written}` is read by .env and its own default; a variable of the shell would win over both"))
    }

    /// The profiles of a service where none of them is on by itself.
    pub(super) fn off(&self, service: &Service) -> Option<String> {
        let Some(Value::List(list)) = service.value.get("profiles") else { return None };
        let names: Vec<&str> = list
            .iter()
            .filter_map(|name| match name {
                Value::Scalar { text, .. } => Some(text.as_str()),
                _ => None,
            })
            .collect();
        let on = self.around.profiles();
        let is_on = |name: &&str| on.contains(name) || on.contains(&"*");
        (!names.is_empty() && !names.iter().any(is_on)).then(|| names.join(" or "))
    }

    /// How many containers a service has.
    fn replicas(&self, service: &Service) -> Result<u32, String> {
        if service.value.at(&["deploy", "mode"]) == Found::Scalar("global") {
            return Err("one container a node: its cost is given for one".to_owned());
        }
        let mut count = 1;
        for path in [&["scale"][..], &["deploy", "replicas"]] {
            match service.value.at(path) {
                Found::Nothing => {}
                Found::Scalar(text) => {
                    let filled = self.around.variables.filled(text).ok();
                    let unknown =
                        || format!("`{}: {text}` is no number here: its cost is given for one", path.join("."));
                    count = filled.and_then(|filled| filled.parse().ok()).ok_or_else(unknown)?;
                }
                Found::Odd(why) => return Err(why),
            }
        }
        Ok(count)
    }
}

/// A service as one file defines it, with what it extends there and elsewhere; none where the file has none of that
/// name.
pub(super) fn service(
    value: &Value,
    folder: &Path,
    name: &str,
    variables: &Variables,
    extended: &Extended,
) -> Option<Service> {
    inherited(value, folder, name, variables, extended, &mut Vec::new())
}

fn inherited(
    value: &Value,
    folder: &Path,
    name: &str,
    variables: &Variables,
    files: &Extended,
    chain: &mut Vec<(*const Value, String)>,
) -> Option<Service> {
    let own = value.get("services")?.get(name)?;
    let alone = |outside: Option<String>| Some(Service { value: own.clone(), outside, fault: None });
    let refused = |what: String| {
        let fault = Some(format!("the service {name} {what}"));
        Some(Service { value: own.clone(), outside: Some(format!("it {what}")), fault })
    };
    let Some(extends) = own.get("extends").filter(|value| !value.is_null()) else { return alone(None) };
    let base = match (extends.at(&["service"]), extends) {
        (Found::Scalar(base), _) => base,
        (_, Value::Scalar { text, .. }) => text,
        _ => return alone(Some("it extends a service that cannot be told".to_owned())),
    };
    let here = (std::ptr::from_ref(value), name.to_owned());
    let file = extends.get("file").map_or(Found::Nothing, |file| file.at(&[]));
    let there = match (extended_file(extends, folder, variables), file) {
        (Some(path), Found::Scalar(file)) => match files.get(&path) {
            Some(Ok(value)) => Some((value, path.parent().unwrap_or(folder).to_owned(), file)),
            _ => return alone(Some(format!("it extends a service of {file}"))),
        },
        (None, Found::Scalar(file)) => return alone(Some(format!("it extends a service of {file}"))),
        (_, Found::Odd(_)) => return alone(Some("it extends a service that cannot be told".to_owned())),
        _ => None,
    };
    if chain.contains(&here) || chain.len() > DEEPEST {
        return refused("extends itself".to_owned());
    }
    chain.push(here);
    let (value, folder) = there.as_ref().map_or((value, folder), |(value, folder, _)| (*value, folder.as_path()));
    let Some(below) = inherited(value, folder, base, variables, files, chain) else {
        let file = there.as_ref().map_or("this file", |(.., file)| file);
        return refused(format!("extends {base:?}, which is not in {file}"));
    };
    Some(Service { value: own.over(&below.value), outside: below.outside, fault: below.fault })
}

/// Whether it is a mapping, and its services are one.
pub(super) fn is_project(value: &Value) -> bool {
    let is_map = |value: &Value| matches!(value, Value::Map(_)) || value.is_null();
    is_map(value) && value.get("services").is_none_or(is_map)
}

/// The names of the services of a file.
pub(super) fn services(value: &Value) -> impl Iterator<Item = &String> {
    let services = match value.get("services") {
        Some(Value::Map(services)) => Some(services),
        _ => None,
    };
    services.into_iter().flat_map(BTreeMap::keys)
}

fn known(value: &Value, name: &str) -> bool {
    value.get("services").and_then(|services| services.get(name)).is_some()
}

fn nameless(why: &str) -> StackError {
    StackError::Unclear {
        what: format!("the project name cannot be told: {why}"),
        hint: "write the name out at `name:`, as it is in the recorded events".to_owned(),
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
