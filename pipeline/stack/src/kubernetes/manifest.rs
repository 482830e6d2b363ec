//! The containers of a manifest.

use super::quantity::Figure;
use crate::yaml::stream::{Read, Step};
use crate::yaml::value::{Found, Value};
use domain::own_memory::Setup;
use std::collections::BTreeMap;

/// Kinds with containers, and where their pod is described.
const KINDS: [(&str, &[&str]); 8] = [
    ("Deployment", &["spec", "template", "spec"]),
    ("StatefulSet", &["spec", "template", "spec"]),
    ("DaemonSet", &["spec", "template", "spec"]),
    ("ReplicaSet", &["spec", "template", "spec"]),
    ("ReplicationController", &["spec", "template", "spec"]),
    ("Job", &["spec", "template", "spec"]),
    ("CronJob", &["spec", "jobTemplate", "spec", "template", "spec"]),
    ("Pod", &["spec"]),
];

/// An object of a manifest.
#[derive(Clone, Debug)]
pub(super) struct Object {
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) namespace: Option<String>,
    /// From the root of its document.
    pub(super) path: Vec<Step>,
    pub(super) value: Value,
}

/// A container of an object, with the path to it from the root of its document.
#[derive(Clone, Debug)]
pub(super) struct Container {
    pub(super) name: String,
    pub(super) path: Vec<Step>,
    pub(super) value: Value,
}

/// One key of a container.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Reading {
    Nothing,
    Amount(u64),
    /// Why it cannot be told.
    Unknown(String),
}

/// The objects of a document; those of a `List` one by one.
pub(super) fn objects(read: &Read) -> Vec<Object> {
    let root = &read.value;
    let object = |value: &Value, path: Vec<Step>| {
        let metadata = value.get("metadata");
        let text = |key: &str| metadata.and_then(|m| m.get(key)).and_then(Value::scalar).map(str::to_owned);
        Some(Object {
            kind: value.get("kind")?.scalar()?.to_owned(),
            name: text("name")?,
            namespace: text("namespace"),
            path,
            value: value.clone(),
        })
    };
    match root.get("items") {
        Some(Value::List(items)) if root.get("kind").and_then(Value::scalar) == Some("List") => {
            let path = |i| vec![Step::Key("items".to_owned()), Step::At(i)];
            items.iter().enumerate().filter_map(|(i, item)| object(item, path(i))).collect()
        }
        _ => object(root, Vec::new()).into_iter().collect(),
    }
}

impl Object {
    /// Whether it is a kind that has containers.
    pub(super) fn is_workload(&self) -> bool {
        KINDS.iter().any(|(kind, _)| *kind == self.kind)
    }

    /// Its containers; those of its beginning (`initContainers`) end before the others run.
    pub(super) fn containers(&self) -> Vec<Container> {
        let Some((_, pod)) = KINDS.iter().find(|(kind, _)| *kind == self.kind) else { return Vec::new() };
        let keys = pod.iter().chain(&["containers"]).map(|key| Step::Key((*key).to_owned()));
        let inside: Vec<Step> = keys.collect();
        let Some(Value::List(list)) = self.value.walk(&inside) else { return Vec::new() };
        let container = |(i, value): (usize, &Value)| {
            let path = self.path.iter().chain(&inside).cloned().chain([Step::At(i)]).collect();
            Some(Container { name: value.get("name")?.scalar()?.to_owned(), path, value: value.clone() })
        };
        list.iter().enumerate().filter_map(container).collect()
    }

    /// How many pods it stands for, where that is told.
    pub(super) fn replicas(&self) -> Option<u32> {
        let key = match self.kind.as_str() {
            "Job" => "parallelism",
            "Deployment" | "StatefulSet" | "ReplicaSet" | "ReplicationController" => "replicas",
            _ => return None,
        };
        self.value.get("spec")?.get(key)?.scalar()?.parse().ok()
    }

    /// The workload that an autoscaler is about: kind and name.
    pub(super) fn scales(&self) -> Option<(&str, &str)> {
        let target = match self.kind.as_str() {
            "HorizontalPodAutoscaler" => self.value.get("spec")?.get("scaleTargetRef")?,
            "VerticalPodAutoscaler" => self.value.get("spec")?.get("targetRef")?,
            _ => return None,
        };
        Some((target.get("kind")?.scalar()?, target.get("name")?.scalar()?))
    }
}

impl Container {
    /// What `resources.limits` or `resources.requests` says.
    pub(super) fn reading(&self, which: &str, figure: Figure) -> Reading {
        reading(&self.value, &["resources", which, figure.key()], figure)
    }

    /// How it is started.
    pub(super) fn setup(&self) -> Setup {
        let words = ["command", "args"].iter().filter_map(|key| match self.value.get(key) {
            Some(Value::List(list)) => Some(list.iter().filter_map(Value::scalar).map(str::to_owned)),
            _ => None,
        });
        let variables: BTreeMap<String, String> = match self.value.get("env") {
            Some(Value::List(list)) => {
                let pair =
                    |one: &Value| Some((one.get("name")?.scalar()?.to_owned(), one.get("value")?.scalar()?.to_owned()));
                list.iter().filter_map(pair).collect()
            }
            _ => BTreeMap::new(),
        };
        let image = self.value.get("image").and_then(Value::scalar).unwrap_or_default().to_owned();
        Setup { image, words: words.flatten().collect(), variables }
    }
}

/// What a key below a mapping says.
pub(super) fn reading(value: &Value, path: &[&str], figure: Figure) -> Reading {
    match value.at(path) {
        Found::Nothing => Reading::Nothing,
        Found::Odd(why) => Reading::Unknown(why),
        Found::Scalar(text) => match figure.read(text) {
            Some(amount) => Reading::Amount(amount),
            None => Reading::Unknown(format!("`{}: {text}` is no amount that Kubernetes takes", path.join("."))),
        },
    }
}
