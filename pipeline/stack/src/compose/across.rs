//! Which file of a project sets a limit, and the change of all such files.
//!
//! Each file is edited by itself, with the proof that nothing else in it changes. Then all of the project is read again:
//! every service has what was asked for it, or what it had.

use super::ComposeFile;
use super::around::{Layers, Surroundings, extended_file};
use super::edit::{Refused, edit_around};
use super::figure::Figure;
use super::read::{Parsed, Project, Reading};
use super::variables::Variables;
use crate::StackError;
use crate::files::{Source, Texts};
use crate::target::same;
use crate::write::check_replaceable;
use crate::yaml::value::{Found, Value};
use domain::plan::State;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Longer chains of `extends` are not followed.
const DEEPEST: usize = 64;

/// One file among those of its project.
#[derive(Debug)]
pub(super) struct View {
    layers: Layers,
    at: usize,
    pub(super) parsed: Parsed,
    pub(super) around: Surroundings,
}

/// Where something is set: the file, and the service there.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Origin {
    path: PathBuf,
    name: String,
}

/// A figure that a file is to have.
struct Ask<'a> {
    service: &'a str,
    origin: Origin,
    figure: Figure,
    amount: u64,
}

impl Ask<'_> {
    /// As a state that sets nothing else.
    fn state(&self) -> State {
        let mut state = State::default();
        self.figure.put(&mut state, self.amount);
        state
    }
}

impl View {
    pub(super) fn of(layers: Layers, at: usize, text: &str, source: &Source<'_>) -> Result<Self, StackError> {
        let parsed = Parsed::new(text)?;
        let around = Surroundings::of(&layers, at, &parsed.value, &Variables::default(), source);
        Ok(Self { layers, at, parsed, around })
    }

    pub(super) fn project(&self) -> Project<'_> {
        Project { parsed: &self.parsed, around: &self.around }
    }

    /// Services whose limits another file sets, and which.
    pub(super) fn places(&self) -> Vec<(String, String)> {
        let main = &self.layers.files[self.at];
        let mut places = Vec::new();
        for name in self.project().services() {
            let mut files: Vec<PathBuf> =
                Figure::BOTH.iter().filter_map(|figure| self.setter(name, *figure)).map(|origin| origin.path).collect();
            files.dedup();
            for path in files.iter().filter(|path| *path != main) {
                places.push((
                    name.to_owned(),
                    format!("a limit of it is set, and changed, in {}", self.around.name(path)),
                ));
            }
        }
        places
    }

    /// The file to set a figure in: the one that does now, else the first that has the service.
    fn origin(&self, service: &str, figure: Figure) -> Option<Origin> {
        self.setter(service, figure).or_else(|| self.first(service))
    }

    fn first(&self, service: &str) -> Option<Origin> {
        let main = std::iter::once((&self.layers.files[self.at], &self.parsed.value));
        let found = main.chain(self.files()).find(|(_, value)| entry(value, service).is_some());
        let included = || self.around.included.get(service).and_then(|included| included.layers.files.first());
        let path = found.map(|(path, _)| path).or_else(included)?;
        Some(Origin { path: path.clone(), name: service.to_owned() })
    }

    /// The other files of the project itself, the lowest first.
    fn files(&self) -> impl DoubleEndedIterator<Item = (&PathBuf, &Value)> {
        self.around.below.iter().chain(&self.around.above).map(|layer| (&layer.path, &layer.value))
    }

    fn setter(&self, service: &str, figure: Figure) -> Option<Origin> {
        let whole = self.project().service(service)?;
        let keys = figure.paths().iter().find(|keys| whole.value.at(keys) != Found::Nothing)?;
        let own = (&self.layers.files[self.at], &self.parsed.value);
        let below = self.around.below.iter().map(|layer| (&layer.path, &layer.value));
        let above = self.around.above.iter().map(|layer| (&layer.path, &layer.value));
        let mut all: Vec<(&PathBuf, &Value)> = below.chain([own]).chain(above).collect();
        all.reverse();
        let found = all.into_iter().find_map(|(path, value)| {
            let here = Place { path, value, folder: &self.around.folder };
            self.sets(here, service, keys, &self.around.variables, 0)
        });
        found.or_else(|| {
            let included = self.around.included.get(service)?;
            self.in_group(&included.layers, service, keys)
        })
    }

    /// The file of an included group that sets it.
    fn in_group(&self, layers: &Layers, service: &str, keys: &[&str]) -> Option<Origin> {
        layers.files.iter().rev().find_map(|path| {
            let value = self.around.values.get(path)?;
            self.sets(Place { path, value, folder: &layers.folder }, service, keys, &self.around.variables, 0)
        })
    }

    /// Where a service of a file has something: there, or in another file that it extends.
    fn sets(
        &self,
        here: Place<'_>,
        service: &str,
        keys: &[&str],
        variables: &Variables,
        depth: usize,
    ) -> Option<Origin> {
        let own = entry(here.value, service)?;
        let origin = || Some(Origin { path: here.path.to_owned(), name: service.to_owned() });
        if own.at(keys) != Found::Nothing {
            return origin();
        }
        let extends = own.get("extends").filter(|_| depth < DEEPEST)?;
        let base = match (extends.at(&["service"]), extends) {
            (Found::Scalar(base), _) => base,
            (_, Value::Scalar { text, .. }) => text,
            _ => return None,
        };
        match extended_file(extends, here.folder, variables) {
            Some(path) => {
                let value = self.around.extended.get(&path)?.as_ref().ok()?;
                let folder = path.parent().unwrap_or(here.folder);
                self.sets(Place { path: &path, value, folder }, base, keys, variables, depth + 1)
            }
            // What the same file has for another service is that one's: it is not changed through this one.
            None => {
                let found = self.sets(here, base, keys, variables, depth + 1)?;
                if found.path == here.path { origin() } else { Some(found) }
            }
        }
    }

    /// What lies around one of the project's files.
    fn around(&self, path: &Path, value: &Value, source: &Source<'_>) -> Surroundings {
        let of = |layers: &Layers, outer: &Variables| {
            let at = layers.files.iter().position(|file| file == path)?;
            Some(Surroundings::of(layers, at, value, outer, source))
        };
        let mut groups = self.around.included.values().map(|included| &included.layers);
        of(&self.layers, &Variables::default())
            .or_else(|| groups.find_map(|layers| of(layers, &self.around.variables)))
            .unwrap_or_else(|| self.around.alone(path))
    }
}

/// A file that is looked at.
#[derive(Clone, Copy)]
struct Place<'a> {
    path: &'a Path,
    value: &'a Value,
    folder: &'a Path,
}

fn entry<'a>(value: &'a Value, service: &str) -> Option<&'a Value> {
    value.get("services")?.get(service)
}

/// The texts that are others with these services limited so, and what cannot be set.
pub(super) fn edit<'a>(
    compose: &ComposeFile,
    texts: &Texts,
    changes: &[(&'a str, State)],
) -> Result<(Texts, Vec<Refused<'a>>), StackError> {
    let view = compose.understood(texts)?;
    let mut refused = Vec::new();
    let mut files: BTreeMap<PathBuf, Vec<Ask<'a>>> = BTreeMap::new();
    for (service, state) in changes {
        for figure in Figure::BOTH {
            let Some(amount) = figure.asked(*state) else { continue };
            let current = view.project().service(service).map(|found| view.project().reading(&found, figure));
            if current == Some(Reading::Limit(amount)) {
                continue;
            }
            let Some(origin) = view.origin(service, figure) else { continue };
            let ask = Ask { service, origin, figure, amount };
            match may_be_written(compose, &ask) {
                Ok(()) => files.entry(ask.origin.path.clone()).or_default().push(ask),
                Err(error) => refused.push((*service, figure, error)),
            }
        }
    }
    let mut now = texts.clone();
    for (path, asks) in files {
        let all: Vec<&Ask<'a>> = asks.iter().collect();
        let (new, left) = together(compose, &now, &path, &all)?;
        refused.extend(left);
        now = new;
    }
    now.retain(|path, text| texts.get(path) != Some(text));
    Ok((now, refused))
}

fn may_be_written(compose: &ComposeFile, ask: &Ask<'_>) -> Result<(), StackError> {
    let refused = |what: String, hint: String| Err(StackError::Refused { service: ask.service.to_owned(), what, hint });
    if !compose.may_write(&ask.origin.path) {
        let what = format!("its limit comes from {}, out of the project's folder", ask.origin.path.display());
        return refused(what, "write the limit out under the service itself, or name that file as well".to_owned());
    }
    check_replaceable(&ask.origin.path).or_else(|error| refused(error.to_string(), error.hint().unwrap_or_default()))
}

/// One file with all of this set; where something else in the project would change by it, one after the other.
fn together<'a>(
    compose: &ComposeFile,
    texts: &Texts,
    path: &Path,
    asks: &[&Ask<'a>],
) -> Result<(Texts, Vec<Refused<'a>>), StackError> {
    let view = compose.understood(texts)?;
    let text = texts.get(path).map(String::as_str).unwrap_or_default();
    let within = |source: StackError| StackError::In { path: path.to_owned(), source: Box::new(source) };
    let value = Parsed::new(text).map_err(within)?.value;
    let around = view.around(path, &value, &Source::Read(texts));
    let wanted: Vec<(&str, State)> = asks.iter().map(|ask| (ask.origin.name.as_str(), ask.state())).collect();
    let (edited, left) = edit_around(text, &around, &wanted).map_err(within)?;
    let mut refused: Vec<Refused<'a>> = Vec::new();
    let mut set = Vec::new();
    let mut left: Vec<(String, Figure, Option<StackError>)> =
        left.into_iter().map(|(name, figure, error)| (name.to_owned(), figure, Some(error))).collect();
    for ask in asks {
        let mine = |(name, figure, _): &&mut (String, Figure, Option<StackError>)| {
            *name == ask.origin.name && *figure == ask.figure
        };
        match left.iter_mut().find(mine) {
            Some((.., error)) => {
                let error = error.take().unwrap_or_else(|| contradicts(ask.service));
                refused.push((ask.service, ask.figure, within(error)));
            }
            None => set.push(*ask),
        }
    }
    let mut after = texts.clone();
    after.insert(path.to_owned(), edited);
    let Some(other) = changed_besides(compose, &view, &after, &set)? else { return Ok((after, refused)) };
    if let [only] = set.as_slice() {
        let error = StackError::Refused {
            service: only.service.to_owned(),
            what: format!("{other} has its limit from the same place, and would also change"),
            hint: "write the limit out under each service itself, then make a new plan".to_owned(),
        };
        refused.push((only.service, only.figure, within(error)));
        return Ok((texts.clone(), refused));
    }
    let mut now = texts.clone();
    for ask in set {
        let (new, left) = together(compose, &now, path, &[ask])?;
        refused.extend(left);
        now = new;
    }
    Ok((now, refused))
}

fn contradicts(service: &str) -> StackError {
    StackError::Refused {
        service: service.to_owned(),
        what: "two changes contradict each other".to_owned(),
        hint: "keep one of them".to_owned(),
    }
}

/// A service of the project that has neither what it had nor what was asked for it.
fn changed_besides(
    compose: &ComposeFile,
    before: &View,
    after: &Texts,
    set: &[&Ask<'_>],
) -> Result<Option<String>, StackError> {
    let mut wanted = before.project().limits().states;
    for ask in set {
        if let Some(state) = wanted.get_mut(ask.service) {
            ask.figure.put(state, ask.amount);
        }
    }
    let found = compose.understood(after)?.project().limits().states;
    let differs = |(name, state): &(&String, &State)| found.get(*name).is_none_or(|found| !same(*found, **state));
    Ok(wanted.iter().find(differs).map(|(name, _)| name.clone()))
}
