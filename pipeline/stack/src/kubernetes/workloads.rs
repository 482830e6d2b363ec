//! The containers of a folder, each with every file that says something of it, the last of which wins.

use super::folder::{Layout, Role};
use super::manifest::{Container, Object, Reading, objects};
use super::quantity::Figure;
use crate::StackError;
use crate::yaml::stream::{Read, Step, parts};
use crate::yaml::value::Value;
use domain::own_memory::Setup;
use domain::plan::State;
use std::collections::{BTreeMap, BTreeSet};

/// Deeper values of a chart are not looked through.
const DEEPEST: usize = 12;

/// A document of a file, or what could not be read of it.
pub(super) struct Slice {
    pub(super) text: String,
    pub(super) read: Option<Read>,
}

/// Where a container is described.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) file: usize,
    pub(super) slice: usize,
    pub(super) container: Container,
}

/// A container under its name in plans.
#[derive(Clone, Debug)]
pub(super) struct Sized {
    /// The last wins.
    pub(super) places: Vec<Place>,
    pub(super) replicas: Option<u32>,
    /// Why it cannot be told what is set.
    pub(super) unknown: Option<String>,
    pub(super) notes: Vec<String>,
}

/// What is set of a figure.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Set {
    Nothing,
    /// A limit, and the request beside it.
    Limit {
        limit: u64,
        request: Option<u64>,
    },
    /// A limit beside a request that cannot be read, and why.
    LimitAlone {
        limit: u64,
        why: String,
    },
    /// A request without a limit: it is what is paid for.
    Request(u64),
    Unknown(String),
}

/// Everything that a folder describes.
pub(super) struct Workloads {
    pub(super) layout: Layout,
    /// The documents of each file, in the order of the layout.
    pub(super) slices: Vec<Vec<Slice>>,
    pub(super) sized: BTreeMap<String, Sized>,
    pub(super) notes: Vec<String>,
}

/// An object with the files that lie over it.
struct Workload {
    object: Object,
    namespace: String,
    name: String,
    containers: Vec<(Container, Vec<Place>)>,
    twice: Option<String>,
    notes: Vec<String>,
}

impl Workloads {
    pub(super) fn of(layout: Layout) -> Self {
        let mut notes = layout.notes.clone();
        let mut slices = Vec::new();
        for layer in &layout.layers {
            let mut of_file = Vec::new();
            for (bytes, read) in parts(&layer.text) {
                let read = read.map_err(|error| notes.push(not_read(&layer.path, &error))).ok();
                of_file.push(Slice { text: layer.text[bytes].to_owned(), read });
            }
            slices.push(of_file);
        }
        let mut all = Self { layout, slices, sized: BTreeMap::new(), notes };
        if all.layout.chart.is_some() {
            all.values();
        } else {
            all.manifests();
        }
        all
    }

    fn manifests(&mut self) {
        let mut workloads: Vec<Workload> = Vec::new();
        for (file, layer) in self.layout.layers.iter().enumerate() {
            for (slice, read) in self.slices[file].iter().enumerate().filter_map(|(i, s)| Some((i, s.read.as_ref()?))) {
                if let (Role::Patch { target }, Value::List(_)) = (&layer.role, &read.value) {
                    if layer.text.contains("resources") {
                        let why = format!("a JSON patch sets its resources: {}", layer.path.display());
                        self.layout.unknown.push((target.clone(), why));
                    }
                    continue;
                }
                for object in objects(read) {
                    let place = |container: &Container| Place { file, slice, container: container.clone() };
                    match &layer.role {
                        Role::Patch { target } => {
                            let about = target.as_ref().unwrap_or(&object.name);
                            let kind = |other: &Workload| target.is_some() || other.object.kind == object.kind;
                            for workload in workloads.iter_mut().filter(|w| w.object.name == *about && kind(w)) {
                                for container in object.containers() {
                                    let own =
                                        workload.containers.iter_mut().find(|(own, _)| own.name == container.name);
                                    if let Some((_, places)) = own {
                                        places.push(place(&container));
                                    }
                                }
                            }
                        }
                        _ if object.is_workload() => {
                            let namespace = layer.namespace.clone().or_else(|| object.namespace.clone());
                            let namespace = namespace.unwrap_or_else(|| "default".to_owned());
                            let name = format!("{}{}{}", layer.prefix, object.name, layer.suffix);
                            let same = |w: &&mut Workload| (&w.namespace, &w.name) == (&namespace, &name);
                            if let Some(other) = workloads.iter_mut().find(same) {
                                other.twice = Some(format!(
                                    "{namespace}/{name} is there twice, also in {}",
                                    layer.path.display()
                                ));
                                continue;
                            }
                            let containers = object.containers().into_iter();
                            let containers = containers.map(|c| (c.clone(), vec![place(&c)])).collect();
                            let (twice, notes) = (None, Vec::new());
                            workloads.push(Workload { object, namespace, name, containers, twice, notes });
                        }
                        _ => {
                            if let Some((kind, name)) = object.scales() {
                                let about = |w: &&mut Workload| w.object.name == name && w.object.kind == kind;
                                let note = scaled(&object.kind);
                                workloads.iter_mut().filter(about).for_each(|w| w.notes.push(note.to_owned()));
                            }
                        }
                    }
                }
            }
        }
        for workload in workloads {
            self.take(workload);
        }
    }

    fn take(&mut self, workload: Workload) {
        let Workload { object, namespace, name, containers, twice, mut notes } = workload;
        let hidden =
            self.layout.unknown.iter().find(|(about, _)| about.as_ref().is_none_or(|about| *about == object.name));
        let unknown = twice.or_else(|| hidden.map(|(_, why)| why.clone()));
        if object.kind == "DaemonSet" {
            notes.push("one pod a node: its cost is given for one".to_owned());
        }
        let alone = containers.len() == 1;
        for (container, places) in containers {
            let resource = match alone || container.name == name {
                true => format!("{namespace}/{name}"),
                false => format!("{namespace}/{name}/{}", container.name),
            };
            let replicas = object.replicas().filter(|replicas| *replicas != 1);
            let sized = Sized { places, replicas, unknown: unknown.clone(), notes: notes.clone() };
            self.sized.insert(resource, sized);
        }
    }

    /// The `resources` of a chart's values, by their path.
    fn values(&mut self) {
        let chart = self.layout.chart.clone().unwrap_or_default();
        let mut found = Vec::new();
        for (slice, read) in self.slices.first().into_iter().flatten().enumerate() {
            if let Some(read) = &read.read {
                resources(&read.value, &mut Vec::new(), &mut |path, value| {
                    let dotted: Vec<&str> = path.iter().map(String::as_str).collect();
                    let name = if dotted.is_empty() { chart.clone() } else { dotted.join(".") };
                    let path = path.iter().cloned().map(Step::Key).collect();
                    found.push((slice, Container { name, path, value: value.clone() }));
                });
            }
        }
        for (slice, container) in found {
            let resource = format!("{chart}/{}", container.name);
            let place = Place { file: 0, slice, container };
            self.sized
                .insert(resource, Sized { places: vec![place], replicas: None, unknown: None, notes: Vec::new() });
        }
    }

    /// The limits of every container whose limits can be told, and what cannot.
    pub(super) fn states(&self) -> (BTreeMap<String, State>, Vec<(String, String)>) {
        let mut notes = Vec::new();
        let mut states = BTreeMap::new();
        for (resource, sized) in &self.sized {
            let mut state = State::default();
            notes.extend(sized.notes.iter().map(|note| (resource.clone(), note.clone())));
            if let Some(why) = &sized.unknown {
                notes.push((resource.clone(), why.clone()));
                states.insert(resource.clone(), state);
                continue;
            }
            for figure in Figure::BOTH {
                match sized.set(figure) {
                    Set::Nothing => {}
                    Set::Limit { limit, .. } => figure.put(&mut state, limit),
                    Set::LimitAlone { limit, why } => {
                        figure.put(&mut state, limit);
                        notes.push((resource.clone(), why));
                    }
                    Set::Request(request) => {
                        figure.put(&mut state, request);
                        let key = figure.key();
                        let note = format!("its {key} has a request and no limit: the request is what is changed");
                        notes.push((resource.clone(), note));
                    }
                    Set::Unknown(why) => notes.push((resource.clone(), why)),
                }
            }
            states.insert(resource.clone(), state);
        }
        (states, notes)
    }

    /// What is requested beside a limit, of the containers of which both can be told.
    pub(super) fn requests(&self) -> BTreeMap<String, State> {
        let of = |sized: &Sized| {
            let mut state = State::default();
            for figure in Figure::BOTH {
                if let Set::Limit { request: Some(request), .. } = sized.set(figure) {
                    figure.put(&mut state, request);
                }
            }
            state
        };
        let all = self.sized.iter().map(|(resource, sized)| (resource.clone(), of(sized)));
        all.filter(|(_, state)| !state.is_empty()).collect()
    }

    /// How each container is started.
    pub(super) fn setups(&self) -> BTreeMap<String, Setup> {
        let setup = |sized: &Sized| sized.places.first().map(|place| place.container.setup());
        self.sized.iter().filter_map(|(resource, sized)| Some((resource.clone(), setup(sized)?))).collect()
    }
}

impl Sized {
    /// The last place that sets a key.
    pub(super) fn sets(&self, which: &str, figure: Figure) -> Option<(&Place, Reading)> {
        let set = |place| (place, Place::reading(place, which, figure));
        self.places.iter().rev().map(set).find(|(_, reading)| *reading != Reading::Nothing)
    }

    pub(super) fn set(&self, figure: Figure) -> Set {
        if let Some(why) = &self.unknown {
            return Set::Unknown(why.clone());
        }
        let of = |which| self.sets(which, figure).map_or(Reading::Nothing, |(_, reading)| reading);
        match (of("limits"), of("requests")) {
            (Reading::Unknown(why), _) | (Reading::Nothing, Reading::Unknown(why)) => Set::Unknown(why),
            (Reading::Amount(limit), Reading::Unknown(why)) => Set::LimitAlone { limit, why },
            (Reading::Amount(limit), Reading::Amount(request)) => Set::Limit { limit, request: Some(request) },
            (Reading::Amount(limit), Reading::Nothing) => Set::Limit { limit, request: None },
            (Reading::Nothing, Reading::Amount(request)) => Set::Request(request),
            (Reading::Nothing, Reading::Nothing) => Set::Nothing,
        }
    }
}

impl Place {
    fn reading(&self, which: &str, figure: Figure) -> Reading {
        self.container.reading(which, figure)
    }
}

/// Every mapping whose `resources` are those of a container.
fn resources(value: &Value, path: &mut Vec<String>, found: &mut dyn FnMut(&[String], &Value)) {
    let Value::Map(map) = value else { return };
    if path.len() > DEEPEST {
        return;
    }
    let of_container = |map: &BTreeMap<String, Value>| {
        let known: BTreeSet<&str> = ["limits", "requests", "claims"].into();
        map.keys().all(|key| known.contains(key.as_str()))
    };
    if let Some(Value::Map(inside)) = map.get("resources")
        && of_container(inside)
    {
        found(path, value);
    }
    for (key, value) in map {
        path.push(key.clone());
        resources(value, path, found);
        path.pop();
    }
}

fn not_read(path: &std::path::Path, error: &StackError) -> String {
    format!("{}: a document is not read: {error}", path.display())
}

fn scaled(kind: &str) -> &'static str {
    match kind {
        "VerticalPodAutoscaler" => {
            "a VerticalPodAutoscaler sets its requests: the cluster may not keep what is written here"
        }
        _ => "a HorizontalPodAutoscaler may count in shares of its request: other requests change when it scales",
    }
}
