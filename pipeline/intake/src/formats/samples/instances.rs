//! Which of the containers that share a name a series is about.
//!
//! Sources name the same container by more or fewer labels: a node's agent by its host and the container's id, the
//! cluster's state by the pod's number. Two series are about one container unless a label that both have says otherwise.
//! What says less, such as a limit, is about all whom it fits.

use std::collections::HashMap;
use std::sync::Arc;

/// Containers of one name that are looked through for those that less is said of; what was met before with the same
/// labels is known besides.
const MOST: usize = 64;

/// Sets of labels that are remembered with what they were taken for.
const REMEMBERED: usize = 1 << 18;

/// What tells a container apart from others of its name, sorted by label.
pub(in super::super) type Labels = Vec<(String, String)>;

#[derive(Default)]
pub(super) struct Instances {
    /// By what they share.
    of: HashMap<u128, Vec<Instance>>,
    known: HashMap<(u128, u128), u128>,
    made: u64,
}

struct Instance {
    id: u128,
    labels: Labels,
}

impl Instances {
    /// The container of what is measured: the one that shares most labels with it, and no label contradicts.
    pub(super) fn one(&mut self, name: u128, labels_id: u128, labels: &Arc<Labels>) -> u128 {
        if let Some(id) = self.known.get(&(name, labels_id)) {
            return *id;
        }
        let all = self.of.entry(name).or_default();
        // The first of several that fit alike.
        let shared = |instance: &Instance| shared(&instance.labels, labels);
        let best = all.iter().enumerate().filter_map(|(at, instance)| Some((shared(instance)?, at)));
        let best = best.max_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)));
        let id = match best {
            Some((_, at)) => {
                let instance = &mut all[at];
                let new = labels.iter().filter(|(key, _)| !instance.labels.iter().any(|(known, _)| known == key));
                let new: Labels = new.cloned().collect();
                instance.labels.extend(new);
                instance.id
            }
            None => self.make(name, labels),
        };
        if self.known.len() >= REMEMBERED {
            self.known.clear();
        }
        self.known.insert((name, labels_id), id);
        id
    }

    /// The containers that a limit holds for: all that no label of it contradicts.
    pub(super) fn all(&mut self, name: u128, labels_id: u128, labels: &Arc<Labels>) -> Vec<u128> {
        if let Some(id) = self.known.get(&(name, labels_id)).filter(|_| !labels.is_empty()) {
            return vec![*id];
        }
        let all = self.of.entry(name).or_default();
        let fit: Vec<u128> =
            all.iter().filter(|instance| shared(&instance.labels, labels).is_some()).map(|it| it.id).collect();
        if fit.is_empty() { vec![self.make(name, labels)] } else { fit }
    }

    fn make(&mut self, name: u128, labels: &Arc<Labels>) -> u128 {
        let all = self.of.entry(name).or_default();
        // The first keeps the name's own number, so that what is alone comes in the order it always did.
        self.made += 1;
        let id = if all.is_empty() { name } else { name.wrapping_add(u128::from(self.made)) };
        if all.len() >= MOST {
            all.remove(0);
        }
        all.push(Instance { id, labels: labels.to_vec() });
        id
    }

    /// Forgets the names that nothing is kept of any more.
    pub(super) fn retain(&mut self, is_kept: impl Fn(u128) -> bool) {
        self.of.retain(|_, all| all.iter().any(|instance| is_kept(instance.id)));
        let of = &self.of;
        self.known.retain(|(name, _), _| of.contains_key(name));
    }
}

/// How many labels two have in common; none where one contradicts.
fn shared(ours: &Labels, theirs: &Labels) -> Option<usize> {
    let mut shared = 0;
    for (key, value) in theirs {
        match ours.iter().find(|(known, _)| known == key) {
            Some((_, known)) if known == value => shared += 1,
            Some(_) => return None,
            None => {}
        }
    }
    Some(shared)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Arc<Labels> {
        Arc::new(pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn a_label_tells_two_apart_and_a_missing_one_does_not() {
        let mut instances = Instances::default();
        let (a, b) = (labels(&[("id", "a"), ("instance", "h1")]), labels(&[("id", "b"), ("instance", "h2")]));
        let (first, second) = (instances.one(1, 10, &a), instances.one(1, 11, &b));
        assert_ne!(first, second);
        assert_eq!(instances.one(1, 12, &labels(&[("instance", "h2")])), second);
        assert_eq!(instances.one(1, 13, &labels(&[("uid", "u")])), first);
        // Now it is known whose number that is.
        let third = instances.one(1, 14, &labels(&[("instance", "h3"), ("uid", "u")]));
        assert!(third != first && third != second);
        assert_eq!(instances.all(1, 20, &labels(&[("instance", "h2")])), [second]);
        assert_eq!(instances.all(1, 21, &labels(&[])), [first, second, third]);
        assert_eq!(instances.all(2, 22, &labels(&[("uid", "x")])).len(), 1);
    }

    #[test]
    fn names_without_end_take_no_memory_without_end() {
        let mut instances = Instances::default();
        for n in 0..3 * MOST as u128 {
            instances.one(1, n, &labels(&[("id", &n.to_string())]));
        }
        assert_eq!(instances.of[&1].len(), MOST);
        let one = instances.one(1, 0, &labels(&[("id", "0")]));
        assert_eq!(instances.all(1, 0, &labels(&[("id", "0")])), [one], "it is still known");
        instances.retain(|_| false);
        assert!(instances.of.is_empty() && instances.known.is_empty());
    }
}
