//! Kubernetes manifests: the containers of a folder, which are resources `namespace/workload`, or
//! `namespace/workload/container` where a pod has several.
//!
//! Owns reading and writing `resources` in Deployment, StatefulSet, DaemonSet, ReplicaSet, Job, CronJob and Pod, through the
//! patches of a kustomization, and in the values of a Helm chart. Talks to no cluster.

mod folder;
mod manifest;
mod quantity;
mod workloads;

use crate::StackError;
use crate::files::{HeldFiles, Source, TextFiles, Texts, digest_of, mode_of};
use crate::target::{Change, Live, Refusal, Session, Target};
use crate::write::{check_replaceable, identity};
use crate::yaml::set::{Fault, set};
use crate::yaml::stream::Read;
use crate::yaml::value::Value;
use domain::own_memory::Setup;
use domain::paths::plain;
use domain::plan::{Note, State, TargetRef};
use folder::Layout;
use quantity::{Amount, Figure};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use workloads::{Set, Sized, Workloads};

/// A folder of manifests.
#[derive(Clone, Debug)]
pub struct KubernetesFolder {
    path: PathBuf,
}

/// A figure that a container is to have, and the request beside it where that is asked for too.
#[derive(Clone, Copy)]
struct Asked<'a> {
    resource: &'a str,
    figure: Figure,
    amount: u64,
    request: Option<u64>,
}

/// A figure that cannot be set, and why.
type Refused = (Figure, StackError);

impl KubernetesFolder {
    /// Names a folder.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: plain(&path.into()) }
    }

    fn read_all(&self) -> Result<(Workloads, Texts), StackError> {
        if !self.path.is_dir() {
            let source = std::io::Error::from(std::io::ErrorKind::NotADirectory);
            return Err(StackError::Read { path: self.path.clone(), source });
        }
        let source = Source::disk();
        let layout = Layout::of(&self.path, &source)?;
        Ok((Workloads::of(layout), source.into_texts()))
    }

    /// Whether it is this folder's to change.
    fn is_own(&self, path: &Path) -> bool {
        path.starts_with(&self.path)
    }

    fn understood(&self, texts: &Texts) -> Result<Workloads, StackError> {
        Ok(Workloads::of(Layout::of(&self.path, &Source::Read(texts))?))
    }

    /// The texts with whatever can be changed changed, and what cannot.
    fn tried(&self, texts: &Texts, changes: &[Change]) -> Result<(Texts, Vec<Refusal>), StackError> {
        let mut workloads = self.understood(texts)?;
        let mut refusals = Vec::new();
        let mut asked: Vec<Asked<'_>> = Vec::new();
        for change in changes {
            let Some(sized) = workloads.sized.get(&change.resource).cloned() else {
                refusals.extend(change.figures().map(|figure| {
                    let (target, resource) = (self.path.display().to_string(), change.resource.clone());
                    let error = StackError::NoResource { target, resource };
                    Refusal { item_id: change.item_id.clone(), figure, error }
                }));
                continue;
            };
            for figure in Figure::BOTH {
                let Some(amount) = figure.asked(change.after) else { continue };
                let request = change.requests.and_then(|requests| figure.asked(requests));
                let ask = Asked { resource: &change.resource, figure, amount, request };
                match self.set(&mut workloads, &sized, ask) {
                    Ok(()) => asked.push(ask),
                    Err((figure, error)) => {
                        refusals.push(Refusal { item_id: change.item_id.clone(), figure: figure.named(), error });
                    }
                }
            }
        }
        let mut edited = texts.clone();
        for (layer, slices) in workloads.layout.layers.iter().zip(&workloads.slices) {
            edited.insert(layer.path.clone(), slices.iter().map(|slice| slice.text.as_str()).collect());
        }
        self.proven(texts, &edited, &asked)?;
        edited.retain(|path, text| texts.get(path) != Some(text));
        Ok((edited, refusals))
    }

    /// The files together set what was asked for, and nothing else that they set is another.
    fn proven(&self, texts: &Texts, edited: &Texts, asked: &[Asked<'_>]) -> Result<(), StackError> {
        let before = self.understood(texts)?;
        let (mut wanted, _) = before.states();
        let mut reserved = before.requests();
        for Asked { resource, figure, amount, request } in asked {
            if let Some(state) = wanted.get_mut(*resource) {
                figure.put(state, *amount);
            }
            // A request that nobody named keeps its share of the limit.
            match (request, reserved.get_mut(*resource)) {
                (Some(request), Some(state)) => figure.put(state, (*request).min(*amount)),
                (None, Some(state)) => figure.leave(state),
                (_, None) => {}
            }
        }
        let after = self.understood(edited)?;
        let (found, held) = (after.states().0, after.requests());
        let other = wanted.iter().find(|(resource, state)| found.get(*resource) != Some(state));
        let unlike = |(resource, state): &(&String, &State)| {
            let held = held.get(*resource).copied().unwrap_or_default();
            let cpu = state.cpu_cores.is_some_and(|cores| held.cpu_cores != Some(cores));
            cpu || state.memory_bytes.is_some_and(|bytes| held.memory_bytes != Some(bytes))
        };
        let Some((resource, _)) = other.or_else(|| reserved.iter().find(unlike)) else { return Ok(()) };
        Err(refusal(resource, "the files together would not set what was asked for".to_owned(), "change it by hand"))
    }

    /// Sets one figure of a container, its limit and the request beside it together or not at all.
    fn set(
        &self,
        workloads: &mut Workloads,
        sized: &Sized,
        Asked { resource, figure, amount, request: wanted }: Asked<'_>,
    ) -> Result<(), Refused> {
        let refused = |what: String, hint: &str| (figure, refusal(resource, what, hint));
        let sets = match sized.set(figure) {
            Set::Unknown(why) => {
                return Err(refused(why, "write it as a plain amount in the manifest, then make a new plan"));
            }
            Set::Request(request) if request == amount => return Ok(()),
            Set::Limit { limit, request: Some(request) } => {
                // What is guaranteed stays guaranteed, what may burst may burst as far, where nothing else is asked for.
                let share = request as f64 / limit.max(1) as f64;
                let kept = if request >= limit { amount } else { figure.rounded(amount as f64 * share).min(amount) };
                let moved = wanted.unwrap_or(if limit == amount { request } else { kept }).min(amount);
                [("limits", limit, amount), ("requests", request, moved)]
                    .into_iter()
                    .filter(|(_, old, new)| old != new)
                    .map(|(which, _, new)| (which, new))
                    .collect()
            }
            // A request below the limit that it has is below a higher one too.
            Set::LimitAlone { limit, why } if amount < limit || wanted.is_some() => {
                return Err(refused(
                    format!("its request cannot be read, and a lower limit may be below it: {why}"),
                    "write the request as a plain amount in the manifest, then make a new plan",
                ));
            }
            Set::Limit { limit, .. } | Set::LimitAlone { limit, .. } if limit == amount => return Ok(()),
            Set::Limit { .. } | Set::LimitAlone { .. } | Set::Nothing => vec![("limits", amount)],
            Set::Request(_) => vec![("requests", amount)],
        };
        let mut done: Vec<(usize, usize, Read)> = Vec::new();
        for (which, amount) in sets {
            let place = sized.sets(which, figure).map(|(place, _)| place).or_else(|| sized.places.last());
            let Some(place) = place else { continue };
            let path = &workloads.layout.layers[place.file].path;
            if !self.is_own(path) {
                let what = format!("it comes from {}", path.display());
                return Err(refused(
                    what,
                    "plan with that folder as the target, or write it out in a patch of this one",
                ));
            }
            check_replaceable(path).map_err(|error| {
                let hint = error.hint().unwrap_or_default();
                refused(error.to_string(), &hint)
            })?;
            let before = done.iter().rev().find(|(file, slice, _)| (*file, *slice) == (place.file, place.slice));
            let read = before.map(|(.., read)| read);
            let part = workloads.slices[place.file][place.slice].read.as_ref();
            let Some(read) = read.or(part) else { continue };
            let reads = |value: &Value| value.scalar().and_then(|text| figure.read(text)) == Some(amount);
            let keys = ["resources", which, figure.key()];
            let written = Amount { figure, amount };
            let new = set(read, &place.container.path, &keys, &written, &reads, &|text| Read::new(text).ok())
                .map_err(|Fault { what, hint }| refused(what, hint))?;
            done.push((place.file, place.slice, new));
        }
        for (file, slice, read) in done {
            let slice = &mut workloads.slices[file][slice];
            slice.text.clone_from(&read.text);
            slice.read = Some(read);
        }
        Ok(())
    }
}

impl TextFiles for KubernetesFolder {
    fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn texts(&self) -> Result<Texts, StackError> {
        Ok(self.read_all()?.1)
    }

    fn held(&self) -> Result<Vec<PathBuf>, StackError> {
        Ok(self.texts()?.into_keys().filter(|path| self.is_own(path)).collect())
    }

    fn limits(&self, texts: &Texts) -> Result<BTreeMap<String, State>, StackError> {
        Ok(self.understood(texts)?.states().0)
    }

    fn edited(&self, texts: &Texts, changes: &[Change]) -> Result<Texts, StackError> {
        let (edited, refusals) = self.tried(texts, changes)?;
        refusals.into_iter().next().map_or(Ok(edited), |refusal| Err(refusal.error))
    }
}

impl Target for KubernetesFolder {
    fn reference(&self) -> TargetRef {
        TargetRef { kind: "kubernetes".to_owned(), location: self.path.to_string_lossy().into_owned() }
    }

    fn identity(&self) -> Result<String, StackError> {
        Ok(identity(&self.path))
    }

    fn read(&self) -> Result<Live, StackError> {
        let (workloads, texts) = self.read_all()?;
        let (resources, notes) = workloads.states();
        let each = notes.into_iter().map(|(resource, what)| Note { resource: Some(resource), what });
        let whole = workloads.notes.iter().map(|what| Note { resource: None, what: what.clone() });
        let replicas = workloads.sized.iter().filter_map(|(name, sized)| Some((name.clone(), sized.replicas?)));
        Ok(Live {
            digest: digest_of(&texts),
            resources,
            requests: workloads.requests(),
            replicas: replicas.collect(),
            notes: each.chain(whole).collect(),
        })
    }

    fn setups(&self) -> Result<BTreeMap<String, Setup>, StackError> {
        Ok(self.read_all()?.0.setups())
    }

    fn refusals(&self, changes: &[Change]) -> Result<Vec<Refusal>, StackError> {
        Ok(self.tried(&self.texts()?, changes)?.1)
    }

    fn mode(&self) -> u32 {
        mode_of(&self.texts().unwrap_or_default())
    }

    fn hold(&self) -> Result<Box<dyn Session>, StackError> {
        Ok(Box::new(HeldFiles::hold(self.clone())?))
    }
}

fn refusal(resource: &str, what: String, hint: &str) -> StackError {
    StackError::Refused { service: resource.to_owned(), what, hint: hint.to_owned() }
}

#[cfg(test)]
mod tests;
