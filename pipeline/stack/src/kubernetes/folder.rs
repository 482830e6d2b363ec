//! Which files of a folder describe what runs, and in which order one lies over another.
//!
//! A folder with a `kustomization.yaml` is what Kustomize makes of it: its resources, bases and components, then its patches.
//! A folder with a `Chart.yaml` is a Helm chart: its `values.yaml`. Any other folder is all of its YAML files. Runs neither
//! `kustomize` nor `helm`: what only they could tell is noted, and never guessed.

use crate::StackError;
use crate::files::Source;
use crate::yaml::stream::Read;
use crate::yaml::value::Value;
use domain::paths::plain;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const KUSTOMIZATIONS: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];
/// Deeper chains of bases are not followed.
const DEEPEST: usize = 16;
/// A folder with more files than this is not one of manifests.
const MOST_FILES: usize = 5000;

/// The YAML files below a folder, in order; hidden ones aside.
fn below(source: &Source<'_>, folder: &Path) -> Result<Vec<PathBuf>, StackError> {
    match source {
        Source::Read(texts) => Ok(texts.keys().filter(|path| path.starts_with(folder)).cloned().collect()),
        Source::Disk(_) => {
            let mut found = BTreeSet::new();
            walk(folder, 0, &mut found)?;
            Ok(found.into_iter().collect())
        }
    }
}

fn walk(folder: &Path, depth: usize, found: &mut BTreeSet<PathBuf>) -> Result<(), StackError> {
    let failed = |source| StackError::Read { path: folder.to_owned(), source };
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if name.starts_with('.') || found.len() > MOST_FILES {
            continue;
        }
        let kind = entry.file_type().map_err(failed)?;
        if kind.is_dir() && depth < DEEPEST {
            walk(&path, depth + 1, found)?;
        } else if kind.is_file() && (name.ends_with(".yaml") || name.ends_with(".yml")) {
            found.insert(path);
        }
    }
    Ok(())
}

/// What a file does.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Role {
    Resource,
    /// Laid over resources: of this name, where the kustomization says so, else of its own.
    Patch {
        target: Option<String>,
    },
    Values,
}

/// A file in its place.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    pub(super) path: PathBuf,
    pub(super) text: String,
    pub(super) role: Role,
    pub(super) namespace: Option<String>,
    pub(super) prefix: String,
    pub(super) suffix: String,
}

/// The files of a folder.
#[derive(Debug, Default)]
pub(super) struct Layout {
    pub(super) layers: Vec<Layer>,
    /// The chart's name, of a chart.
    pub(super) chart: Option<String>,
    /// Workloads of which something is set where nobody can look: their name, or all of them; and why.
    pub(super) unknown: Vec<(Option<String>, String)>,
    pub(super) notes: Vec<String>,
}

/// What outer kustomizations do to the names of what they hold.
#[derive(Clone, Default)]
struct Outer {
    namespace: Option<String>,
    prefix: String,
    suffix: String,
}

impl Layout {
    pub(super) fn of(root: &Path, source: &Source<'_>) -> Result<Self, StackError> {
        let mut layout = Self::default();
        if let Some(chart) = source.text(&root.join("Chart.yaml"))? {
            layout.chart(root, &chart, source)?;
        } else if !layout.kustomization(root, root, source, Outer::default(), 0)? {
            for path in below(source, root)? {
                layout.push(root, &path, source, Role::Resource, &Outer::default())?;
            }
        }
        Ok(layout)
    }

    fn chart(&mut self, root: &Path, chart: &str, source: &Source<'_>) -> Result<(), StackError> {
        let path = root.join("Chart.yaml");
        let inside = |source| StackError::In { path: path.clone(), source: Box::new(source) };
        let read = Read::new(chart).map_err(inside)?;
        let name = read.value.get("name").and_then(Value::scalar).map(str::to_owned);
        self.chart = Some(name.unwrap_or_else(|| folder_name(root)));
        self.push(root, &root.join("values.yaml"), source, Role::Values, &Outer::default())?;
        self.notes.push("a chart: what a release sets with `-f` or `--set` wins over its values.yaml".to_owned());
        Ok(())
    }

    /// A kustomization and all it leads to; false where the folder has none.
    fn kustomization(
        &mut self,
        root: &Path,
        folder: &Path,
        source: &Source<'_>,
        outer: Outer,
        depth: usize,
    ) -> Result<bool, StackError> {
        let mut found = None;
        for name in KUSTOMIZATIONS {
            let path = folder.join(name);
            if let Some(text) = source.text(&path)? {
                found = Some((path, text));
                break;
            }
        }
        let Some((path, text)) = found else { return Ok(false) };
        if depth > DEEPEST {
            self.notes.push(format!("{} leads too deep", path.display()));
            return Ok(true);
        }
        let read =
            Read::new(&text).map_err(|source| StackError::In { path: path.clone(), source: Box::new(source) })?;
        let text = |key: &str| read.value.get(key).and_then(Value::scalar).unwrap_or_default();
        let inner = Outer {
            namespace: outer.namespace.or_else(|| Some(text("namespace").to_owned()).filter(|name| !name.is_empty())),
            prefix: format!("{}{}", outer.prefix, text("namePrefix")),
            suffix: format!("{}{}", text("nameSuffix"), outer.suffix),
        };
        for key in ["resources", "bases", "components"] {
            for item in list(&read.value, key).iter().filter_map(|item| item.scalar()) {
                if item.contains("://") || item.contains("?ref=") || item.starts_with("git@") {
                    self.notes.push(format!("{item} is not on disk, and not read"));
                    continue;
                }
                let item = plain(&folder.join(item));
                if !self.kustomization(root, &item, source, inner.clone(), depth + 1)? {
                    self.push(root, &item, source, Role::Resource, &inner)?;
                }
            }
        }
        for item in list(&read.value, "patchesStrategicMerge").iter().filter_map(|item| item.scalar()) {
            if item.contains('\n') {
                self.inline(item, None);
            } else {
                self.push(root, &plain(&folder.join(item)), source, Role::Patch { target: None }, &inner)?;
            }
        }
        for key in ["patches", "patchesJson6902"] {
            for item in list(&read.value, key) {
                let target = item.get("target").and_then(|target| target.get("name")).and_then(Value::scalar);
                let target = target.map(str::to_owned);
                match (item.get("path").and_then(Value::scalar), item.get("patch").and_then(Value::scalar)) {
                    (Some(path), _) => {
                        self.push(root, &plain(&folder.join(path)), source, Role::Patch { target }, &inner)?;
                    }
                    (None, Some(text)) => self.inline(text, target),
                    _ => {}
                }
            }
        }
        for key in ["helmCharts", "helmChartInflationGenerator", "generators", "transformers", "replacements"] {
            if read.value.get(key).is_some_and(|value| !value.is_null()) {
                self.notes.push(format!("{}: what its `{key}` make is not read", path.display()));
            }
        }
        Ok(true)
    }

    /// A patch within a kustomization: read for what it is about, never written.
    fn inline(&mut self, text: &str, target: Option<String>) {
        if !text.contains("resources") {
            return;
        }
        let own = Read::new(text).ok().and_then(|read| {
            let name = read.value.get("metadata").and_then(|metadata| metadata.get("name")).and_then(Value::scalar);
            name.map(str::to_owned)
        });
        self.unknown.push((target.or(own), "a patch within the kustomization sets its resources".to_owned()));
    }

    fn push(
        &mut self,
        root: &Path,
        path: &Path,
        source: &Source<'_>,
        role: Role,
        outer: &Outer,
    ) -> Result<(), StackError> {
        let shown = path.strip_prefix(root).unwrap_or(path).display().to_string();
        let Some(text) = source.text(path)? else {
            self.notes.push(format!("{shown} is not there"));
            return Ok(());
        };
        // Go templates are no YAML, and what they become is for `helm` to say.
        if text.contains("{{") && role != Role::Values {
            self.notes.push(format!("{shown} is a template, and not read"));
            return Ok(());
        }
        let Outer { namespace, prefix, suffix } = outer.clone();
        self.layers.push(Layer { path: path.to_owned(), text, role, namespace, prefix, suffix });
        Ok(())
    }
}

fn list<'a>(value: &'a Value, key: &str) -> Vec<&'a Value> {
    match value.get(key) {
        Some(Value::List(list)) => list.iter().collect(),
        _ => Vec::new(),
    }
}

fn folder_name(root: &Path) -> String {
    root.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}
