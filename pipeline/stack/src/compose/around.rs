//! What lies around a Compose file and takes part in what it means: `.env`, the files laid over or under it, the ones
//! it includes or extends.
//!
//! Read as Compose reads them, never written, and only plain files of a sane size. What cannot be read becomes a note.

use super::read::{Service, service};
use super::variables::Variables;
use crate::write::read_text;
use crate::yaml::tree::Document;
use crate::yaml::value::{Found, Value};
use std::collections::BTreeMap;
use std::error::Error as _;
use std::fs;
use std::path::{Path, PathBuf};

/// The files `docker compose` reads by itself, each with the override it then reads as well.
const BESIDE: [(&str, [&str; 2]); 4] = [
    ("compose.yaml", ["compose.override.yaml", "compose.override.yml"]),
    ("compose.yml", ["compose.override.yaml", "compose.override.yml"]),
    ("docker-compose.yaml", ["docker-compose.override.yaml", "docker-compose.override.yml"]),
    ("docker-compose.yml", ["docker-compose.override.yaml", "docker-compose.override.yml"]),
];

/// More files than any project has: a chain of includes or `extends` ends here.
const MOST_FILES: usize = 256;

/// A file of the same project.
#[derive(Debug)]
pub(super) struct Layer {
    /// As a person would name it from the main file's folder.
    pub(super) name: String,
    pub(super) folder: PathBuf,
    pub(super) value: Value,
}

/// Everything around one Compose file. The default is nothing: a file on its own.
#[derive(Debug, Default)]
pub(super) struct Surroundings {
    pub(super) folder: PathBuf,
    pub(super) variables: Variables,
    /// Read before it, and after it: the later one wins.
    pub(super) below: Vec<Layer>,
    pub(super) above: Vec<Layer>,
    /// Services of included files, each with the file's name.
    pub(super) included: BTreeMap<String, (String, Service)>,
    /// What services extend in other files.
    pub(super) extended: Extended,
    /// What could not be read, and what else a person should know.
    pub(super) notes: Vec<String>,
}

/// Files by path: what is in them, or why they could not be read.
pub(super) type Extended = BTreeMap<PathBuf, Result<Value, String>>;

impl Surroundings {
    /// Looks around a file that means `main`.
    pub(super) fn of(path: &Path, main: &Value) -> Self {
        let folder = path.parent().map(Path::to_owned).unwrap_or_default();
        let variables = dotenv(&folder);
        let mut around = Self { folder: folder.clone(), variables, ..Self::default() };
        let (below, above) = around.beside(path);
        around.below = around.layers(below);
        around.above = around.layers(above);
        let mut includes = around.includes(main, &folder);
        for layer in around.below.iter().chain(&around.above) {
            includes.extend(around.includes(&layer.value, &layer.folder));
        }
        around.extend_into(main, &folder);
        for layer in around.below.iter().chain(&around.above) {
            extend_into(&mut around.extended, &layer.value, &layer.folder, &around.variables);
        }
        around.include(includes);
        around
    }

    /// The project name that the files around give; `.env` is stronger than any `name:`.
    pub(super) fn project_name(&self) -> Option<&str> {
        self.variables.get("COMPOSE_PROJECT_NAME").filter(|name| !name.is_empty())
    }

    /// A path as a person would name it from here.
    fn name(&self, path: &Path) -> String {
        path.strip_prefix(&self.folder).unwrap_or(path).display().to_string()
    }

    /// The files of the same project, under and over this one.
    fn beside(&mut self, path: &Path) -> (Vec<PathBuf>, Vec<PathBuf>) {
        if let Some(list) = self.variables.get("COMPOSE_FILE").filter(|list| !list.is_empty()) {
            let separator = self.variables.get("COMPOSE_PATH_SEPARATOR").filter(|s| !s.is_empty()).unwrap_or(":");
            let files: Vec<PathBuf> = list.split(separator).map(|file| self.folder.join(file)).collect();
            let real = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
            let Some(at) = files.iter().position(|file| real(file) == real(path)) else {
                self.notes
                    .push(format!("COMPOSE_FILE of .env names {list}: Compose does not read this file by itself"));
                return (Vec::new(), Vec::new());
            };
            return (files[..at].to_vec(), files[at + 1..].to_vec());
        }
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let overrides = BESIDE.iter().find(|(default, _)| *default == name).map(|(_, overrides)| overrides);
        let found = overrides.into_iter().flatten().map(|name| path.with_file_name(name)).find(|path| path.exists());
        (Vec::new(), found.into_iter().collect())
    }

    fn layers(&mut self, paths: Vec<PathBuf>) -> Vec<Layer> {
        let mut layers = Vec::new();
        for path in paths {
            let name = self.name(&path);
            match meaning(&path) {
                Ok(value) => {
                    self.notes.push(format!("{name} is read together with this file, as Compose does"));
                    let folder = path.parent().map(Path::to_owned).unwrap_or_default();
                    layers.push(Layer { name, folder, value });
                }
                Err(why) => self.notes.push(format!("{name} may change these limits, and cannot be read: {why}")),
            }
        }
        layers
    }

    /// What `include` of a file names: each entry one or more files, the later over the earlier.
    fn includes(&self, value: &Value, folder: &Path) -> Vec<Vec<PathBuf>> {
        let Some(Value::List(entries)) = value.get("include") else { return Vec::new() };
        let path = |value: &Value| match value {
            Value::Scalar { text, .. } => {
                Some(folder.join(self.variables.filled(text).unwrap_or_else(|_| text.clone())))
            }
            _ => None,
        };
        let entry = |entry: &Value| match entry.get("path") {
            Some(Value::List(paths)) => paths.iter().filter_map(path).collect(),
            Some(one) => path(one).into_iter().collect(),
            None => path(entry).into_iter().collect(),
        };
        entries.iter().map(entry).collect()
    }

    fn include(&mut self, mut waiting: Vec<Vec<PathBuf>>) {
        let mut seen = Vec::new();
        while let Some(paths) = waiting.pop() {
            if seen.contains(&paths) || seen.len() >= MOST_FILES {
                continue;
            }
            seen.push(paths.clone());
            let mut merged: Option<(String, PathBuf, Value)> = None;
            for path in paths {
                let name = self.name(&path);
                match meaning(&path) {
                    Ok(value) => {
                        let folder = path.parent().map(Path::to_owned).unwrap_or_default();
                        let value = merged.as_ref().map_or_else(|| value.clone(), |(_, _, below)| value.over(below));
                        merged = Some((merged.map_or(name, |(first, ..)| first), folder, value));
                    }
                    Err(why) => self.notes.push(format!("it includes {name}, which cannot be read: {why}")),
                }
            }
            let Some((name, folder, value)) = merged else { continue };
            self.notes.push(format!("it includes {name}: its services are read too, and changed only in that file"));
            let variables = self.variables.or(dotenv(&folder));
            waiting.extend(self.includes(&value, &folder));
            extend_into(&mut self.extended, &value, &folder, &variables);
            let Some(Value::Map(services)) = value.get("services") else { continue };
            for service_name in services.keys() {
                let found = service(&value, &folder, service_name, &variables, &self.extended);
                if let Some(found) = found {
                    self.included.insert(service_name.clone(), (name.clone(), found));
                }
            }
        }
    }

    fn extend_into(&mut self, value: &Value, folder: &Path) {
        extend_into(&mut self.extended, value, folder, &self.variables);
    }
}

/// Reads the files that services of this one extend, and the files that those extend.
fn extend_into(extended: &mut Extended, value: &Value, folder: &Path, variables: &Variables) {
    let Some(Value::Map(services)) = value.get("services") else { return };
    for one in services.values() {
        let Some(path) = one.get("extends").and_then(|extends| extended_file(extends, folder, variables)) else {
            continue;
        };
        if extended.contains_key(&path) || extended.len() >= MOST_FILES {
            continue;
        }
        let found = meaning(&path);
        extended.insert(path.clone(), found.clone());
        if let (Ok(value), Some(folder)) = (&found, path.parent()) {
            extend_into(extended, value, folder, variables);
        }
    }
}

/// The other file that an `extends` names.
pub(super) fn extended_file(extends: &Value, folder: &Path, variables: &Variables) -> Option<PathBuf> {
    match extends.at(&["file"]) {
        Found::Scalar(file) => Some(folder.join(variables.filled(file).ok()?)),
        _ => None,
    }
}

fn dotenv(folder: &Path) -> Variables {
    plain_text(&folder.join(".env")).map(|text| Variables::of(&text)).unwrap_or_default()
}

/// What another file means, or why it cannot be told.
fn meaning(path: &Path) -> Result<Value, String> {
    let text = plain_text(path)?;
    let document = Document::parse(&text).map_err(|error| error.to_string())?;
    match document.root {
        Some(root) => Value::of(&document, root).map_err(|error| error.to_string()),
        None => Ok(Value::Map(BTreeMap::new())),
    }
}

fn plain_text(path: &Path) -> Result<String, String> {
    read_text(path).map_err(|error| error.source().map_or_else(|| error.to_string(), ToString::to_string))
}
