//! What lies around a Compose file and takes part in what it means: `.env`, the files laid over or under it, the ones
//! it includes or extends.
//!
//! Read as Compose reads them, and only plain files of a sane size. What Compose itself refuses is a fault of the project; what
//! cannot be looked at from here, such as a remote include, becomes a note.

use super::read::{Service, is_project, service, services};
use super::variables::Variables;
use crate::StackError;
use crate::files::Source;
use crate::yaml::tree::Document;
use crate::yaml::value::{Found, Value};
use domain::paths::plain;
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

/// Files that Compose lays over each other, the later over the earlier.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Layers {
    pub(super) files: Vec<PathBuf>,
    /// What paths in all of them are relative to: the folder of the first, where nothing else is said.
    pub(super) folder: PathBuf,
    /// Where variables are read.
    pub(super) dotenv: Vec<PathBuf>,
}

impl Layers {
    pub(super) fn new(files: Vec<PathBuf>, folder: PathBuf) -> Self {
        let dotenv = vec![folder.join(".env")];
        Self { files, folder, dotenv }
    }
}

/// What is said of a file that nobody named.
pub(super) const TOGETHER: &str = " is read together with this file, as Compose does";

/// A file of the same project.
#[derive(Debug)]
pub(super) struct Layer {
    /// As a person would name it from the main file's folder.
    pub(super) name: String,
    pub(super) path: PathBuf,
    pub(super) value: Value,
}

/// A service of included files.
#[derive(Clone, Debug)]
pub(super) struct Included {
    /// The file's name.
    pub(super) file: String,
    pub(super) layers: Layers,
    pub(super) service: Service,
}

/// Everything around one Compose file. The default is nothing: a file on its own.
#[derive(Debug, Default)]
pub(super) struct Surroundings {
    pub(super) folder: PathBuf,
    pub(super) variables: Variables,
    /// Read before it, and after it: the later one wins.
    pub(super) below: Vec<Layer>,
    pub(super) above: Vec<Layer>,
    pub(super) included: BTreeMap<String, Included>,
    /// What is in included files.
    pub(super) values: BTreeMap<PathBuf, Value>,
    /// What services extend in other files.
    pub(super) extended: Extended,
    /// What could not be looked at, and what else a person should know.
    pub(super) notes: Vec<String>,
    /// Why Compose refuses the project.
    pub(super) faults: Vec<String>,
}

/// Included groups by their files, with the services that each brings.
type Groups = Vec<(Layers, BTreeMap<String, Included>)>;

/// Files by path: what is in them, or why they could not be read.
pub(super) type Extended = BTreeMap<PathBuf, Result<Value, String>>;

impl Surroundings {
    /// Looks around one of these files, which means `main`; `outer` has variables that win over theirs.
    pub(super) fn of(layers: &Layers, at: usize, main: &Value, outer: &Variables, source: &Source<'_>) -> Self {
        let variables = layers.dotenv.iter().rev().fold(outer.clone(), |all, path| all.or(dotenv(source, path)));
        let mut around = Self { folder: layers.folder.clone(), variables, ..Self::default() };
        around.below = around.layers(&layers.files[..at], source);
        around.above = around.layers(layers.files.get(at + 1..).unwrap_or_default(), source);
        let values = || around.below.iter().chain(&around.above).map(|layer| &layer.value).chain([main]);
        let mut extended = Extended::new();
        values().for_each(|value| extend_into(&mut extended, value, &around.folder, &around.variables, source));
        for (path, why) in &extended {
            let Err(why) = why else { continue };
            if is_missing(source, path) {
                around.notes.push(format!("a service extends one of {}, which is not there", around.name(path)));
            } else if !is_elsewhere(path) {
                around
                    .faults
                    .push(format!("a service extends one of {}, which cannot be read: {why}", around.name(path)));
            }
        }
        around.extended = extended;
        around.faults.extend(layers.dotenv.iter().filter_map(|path| dotenv_fault(source, path)));
        let mut groups = Groups::new();
        let below = around.below.iter().map(|layer| (layer.path.clone(), layer.value.clone()));
        let above = around.above.iter().map(|layer| (layer.path.clone(), layer.value.clone()));
        let files: Vec<(PathBuf, Value)> =
            below.chain([(layers.files[at].clone(), main.clone())]).chain(above).collect();
        for (path, value) in files {
            let within =
                Including { path: &path, value: &value, folder: &layers.folder, variables: &around.variables.clone() };
            // One file of a project may change what another includes, and nothing that it includes itself.
            let found = around.include(within, &mut vec![path.clone()], &mut groups, source);
            around.included.extend(found);
        }
        around
    }

    /// A file that a service extends: it stands for itself, but for the variables.
    pub(super) fn alone(&self, path: &Path) -> Self {
        let folder = path.parent().map(Path::to_owned).unwrap_or_default();
        Self { folder, variables: self.variables.clone(), ..Self::default() }
    }

    /// The project name that the files around give; `.env` is stronger than any `name:`.
    pub(super) fn project_name(&self) -> Option<&str> {
        self.variables.get("COMPOSE_PROJECT_NAME").filter(|name| !name.is_empty())
    }

    /// The profiles that are on without being asked for.
    pub(super) fn profiles(&self) -> Vec<&str> {
        let named = self.variables.get("COMPOSE_PROFILES").unwrap_or_default();
        named.split(',').map(str::trim).filter(|name| !name.is_empty()).collect()
    }

    /// A path as a person would name it from here.
    pub(super) fn name(&self, path: &Path) -> String {
        path.strip_prefix(&self.folder).unwrap_or(path).display().to_string()
    }

    fn layers(&mut self, paths: &[PathBuf], source: &Source<'_>) -> Vec<Layer> {
        let mut layers = Vec::new();
        for path in paths {
            let name = self.name(path);
            match meaning(source, path) {
                Ok(value) => {
                    self.notes.push(format!("{name}{TOGETHER}"));
                    layers.push(Layer { name, path: path.clone(), value });
                }
                Err(why) => self.faults.push(format!("{name} belongs to the project, and cannot be read: {why}")),
            }
        }
        layers
    }

    /// What `include` of a file names: each entry one or more files, the later over the earlier, in a folder of their own.
    fn includes(&self, value: &Value, folder: &Path, variables: &Variables) -> Vec<Layers> {
        let Some(Value::List(entries)) = value.get("include") else { return Vec::new() };
        let path = |value: &Value| match value {
            Value::Scalar { text, .. } => {
                Some(plain(&folder.join(variables.filled(text).unwrap_or_else(|_| text.clone()))))
            }
            _ => None,
        };
        let all = |value: &Value| match value {
            Value::List(paths) => paths.iter().filter_map(path).collect(),
            one => path(one).into_iter().collect::<Vec<_>>(),
        };
        let entry = |entry: &Value| {
            let files = all(entry.get("path").unwrap_or(entry));
            let own = || files.first().and_then(|file| file.parent()).map(Path::to_owned).unwrap_or_default();
            let folder = entry.get("project_directory").and_then(path).unwrap_or_else(own);
            let layers = Layers::new(files, folder);
            match entry.get("env_file").map(all) {
                Some(dotenv) if !dotenv.is_empty() => Layers { dotenv, ..layers },
                _ => layers,
            }
        };
        entries.iter().map(entry).collect()
    }

    /// The services that a file includes, with those that the included files include; `chain` are the files that led here.
    fn include(
        &mut self,
        including: Including<'_>,
        chain: &mut Vec<PathBuf>,
        groups: &mut Groups,
        source: &Source<'_>,
    ) -> BTreeMap<String, Included> {
        let Including { path, value, folder, variables } = including;
        let mut all: BTreeMap<String, Included> = BTreeMap::new();
        for layers in self.includes(value, folder, variables) {
            for (name, found) in self.group(&layers, variables, chain, groups, source) {
                match all.get(&name) {
                    Some(other) if other.service.value != found.service.value => {
                        self.faults.push(format!("the service {name} is in both {} and {}", other.file, found.file));
                    }
                    _ => drop(all.insert(name, found)),
                }
            }
        }
        for name in services(value) {
            let Some(found) = all.get(name) else { continue };
            let own = service(value, folder, name, variables, &self.extended);
            if own.is_none_or(|own| filled(&own.value, variables) != found.service.value) {
                let (own, other) = (self.name(path), found.file.clone());
                self.faults.push(format!("the service {name} is in both {own} and {other}, which it includes"));
            }
        }
        all
    }

    /// The services of one included group of files; read once, however often it is included.
    fn group(
        &mut self,
        layers: &Layers,
        outer: &Variables,
        chain: &mut Vec<PathBuf>,
        groups: &mut Groups,
        source: &Source<'_>,
    ) -> BTreeMap<String, Included> {
        let Some(first) = layers.files.first() else { return BTreeMap::new() };
        if let Some(at) = chain.iter().position(|path| path == first) {
            let circle = chain[at..].iter().chain([first]).map(|path| self.name(path)).collect::<Vec<_>>();
            self.faults.push(format!("the files include each other in a circle: {}", circle.join(" -> ")));
            return BTreeMap::new();
        }
        if let Some((_, known)) = groups.iter().find(|(known, _)| known == layers) {
            return known.clone();
        }
        if groups.len() >= MOST_FILES {
            self.faults.push(format!("it includes more than {MOST_FILES} files"));
            return BTreeMap::new();
        }
        // Variables of the project win over those of what it includes; of several files there, the last one.
        let own = layers.dotenv.iter().rev().fold(Variables::default(), |all, path| all.or(dotenv(source, path)));
        self.faults.extend(layers.dotenv.iter().filter_map(|path| dotenv_fault(source, path)));
        let variables = outer.or(own);
        let mut merged: Option<(String, Value)> = None;
        for path in &layers.files {
            let name = self.name(path);
            match meaning(source, path) {
                Ok(value) => {
                    extend_into(&mut self.extended, &value, &layers.folder, &variables, source);
                    self.values.insert(path.clone(), value.clone());
                    let value = merged.as_ref().map_or_else(|| value.clone(), |(_, below)| value.over(below));
                    merged = Some((merged.map_or(name, |(first, _)| first), value));
                }
                Err(_) if is_elsewhere(path) => {
                    self.notes.push(format!("it includes {name}, which is not looked at: its services are not known"));
                }
                Err(_) if is_missing(source, path) => {
                    self.notes.push(format!("it includes {name}, which is not there: its services are not known"));
                }
                Err(why) => self.faults.push(format!("it includes {name}, which cannot be read: {why}")),
            }
        }
        let mut all = BTreeMap::new();
        if let Some((name, value)) = merged {
            self.notes.push(format!("it includes {name}: the limits of its services are changed in that file"));
            chain.push(first.clone());
            let within = Including { path: first, value: &value, folder: &layers.folder, variables: &variables };
            all = self.include(within, chain, groups, source);
            chain.pop();
            for service_name in services(&value) {
                let found = service(&value, &layers.folder, service_name, &variables, &self.extended);
                if let Some(mut service) = found {
                    service.value = filled(&service.value, &variables);
                    let included = Included { file: name.clone(), layers: layers.clone(), service };
                    all.insert(service_name.clone(), included);
                }
            }
        }
        groups.push((layers.clone(), all.clone()));
        all
    }
}

/// A file, or a group of them, whose `include` is followed.
#[derive(Clone, Copy)]
struct Including<'a> {
    path: &'a Path,
    value: &'a Value,
    folder: &'a Path,
    variables: &'a Variables,
}

/// Whether a file that takes part is not beside the project here: it may come with another checkout, and what it sets is left
/// alone.
fn is_missing(source: &Source<'_>, path: &Path) -> bool {
    !is_elsewhere(path) && matches!(source.text(path), Ok(None)) && !path.exists()
}

/// Whether a path leads where nobody looks from here: it has a variable of the shell, or names a repository or a registry.
fn is_elsewhere(path: &Path) -> bool {
    let text = path.to_string_lossy();
    ["$", "://", "https:/", "http:/", "ssh:/", "git:/", "oci:/", "git@"].iter().any(|mark| text.contains(mark))
}

/// The files that Compose reads when it is told of one alone, and where that is among them: what `COMPOSE_FILE` of `.env` names,
/// else the file and the override beside it. What a reader should know of it.
pub(super) fn beside(path: &Path, source: &Source<'_>) -> (Layers, usize, Option<String>) {
    let folder = path.parent().map(Path::to_owned).unwrap_or_default();
    let alone = || Layers::new(vec![path.to_owned()], folder.clone());
    let variables = dotenv(source, &folder.join(".env"));
    if let Some(list) = variables.get("COMPOSE_FILE").filter(|list| !list.is_empty()) {
        let separator = variables.get("COMPOSE_PATH_SEPARATOR").filter(|s| !s.is_empty()).unwrap_or(":");
        let files: Vec<PathBuf> = list.split(separator).map(|file| plain(&folder.join(file))).collect();
        let real = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        return match files.iter().position(|file| real(file) == real(path)) {
            Some(at) => {
                let mut layers = Layers::new(files, folder);
                layers.files[at] = path.to_owned();
                (layers, at, None)
            }
            None => {
                let note = format!("COMPOSE_FILE of .env names {list}: Compose does not read this file by itself");
                (alone(), 0, Some(note))
            }
        };
    }
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let overrides = BESIDE.iter().find(|(default, _)| *default == name).map(|(_, overrides)| overrides);
    let found = overrides.into_iter().flatten().map(|name| path.with_file_name(name));
    let found = found.into_iter().find(|path| source.text(path).is_ok_and(|text| text.is_some()));
    let mut layers = alone();
    layers.files.extend(found);
    (layers, 0, None)
}

/// Reads the files that services of this one extend, and the files that those extend.
fn extend_into(extended: &mut Extended, value: &Value, folder: &Path, variables: &Variables, source: &Source<'_>) {
    let Some(Value::Map(services)) = value.get("services") else { return };
    for one in services.values() {
        let Some(path) = one.get("extends").and_then(|extends| extended_file(extends, folder, variables)) else {
            continue;
        };
        if extended.contains_key(&path) || extended.len() >= MOST_FILES {
            continue;
        }
        let found = meaning(source, &path);
        extended.insert(path.clone(), found.clone());
        if let (Ok(value), Some(folder)) = (&found, path.parent()) {
            extend_into(extended, value, folder, variables, source);
        }
    }
}

/// A value with the variables filled in that are known.
fn filled(value: &Value, variables: &Variables) -> Value {
    let each = |value: &Value| filled(value, variables);
    match value {
        Value::Scalar { text, plain } => {
            Value::Scalar { text: variables.filled(text).unwrap_or_else(|_| text.clone()), plain: *plain }
        }
        Value::List(list) => Value::List(list.iter().map(each).collect()),
        Value::Map(map) => Value::Map(map.iter().map(|(key, value)| (key.clone(), each(value))).collect()),
        Value::Tagged(tag, inner) => Value::Tagged(tag.clone(), Box::new(each(inner))),
    }
}

/// The other file that an `extends` names.
pub(super) fn extended_file(extends: &Value, folder: &Path, variables: &Variables) -> Option<PathBuf> {
    match extends.at(&["file"]) {
        Found::Scalar(file) => Some(plain(&folder.join(variables.filled(file).ok()?))),
        _ => None,
    }
}

fn dotenv(source: &Source<'_>, path: &Path) -> Variables {
    source.text(path).ok().flatten().map(|text| Variables::of(&text).0).unwrap_or_default()
}

/// Why Compose takes no variables of a file that is there.
fn dotenv_fault(source: &Source<'_>, path: &Path) -> Option<String> {
    let wrong = match source.text(path) {
        Ok(text) => Variables::of(&text?).1?,
        Err(error) => error.to_string(),
    };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    Some(format!("{name} cannot be read as variables: {wrong}"))
}

/// What another file means, or why it cannot be told.
fn meaning(source: &Source<'_>, path: &Path) -> Result<Value, String> {
    let why = |error: StackError| error.source().map_or_else(|| error.to_string(), ToString::to_string);
    let text = source.read(path).map_err(why)?;
    let document = Document::parse(&text).map_err(|error| error.to_string())?;
    let value = match document.root {
        Some(root) => Value::of(&document, root).map_err(|error| error.to_string())?,
        None => Value::Map(BTreeMap::new()),
    };
    if is_project(&value) { Ok(value) } else { Err("it is not a Compose file".to_owned()) }
}
