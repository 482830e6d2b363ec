//! Which branch and pull request each commit belongs to, from the shape of the history alone.
//!
//! The default branch's own line of first parents comes first. Each merge on it then claims, oldest first, what it
//! brought in; what is left belongs to the open branch that reaches it.

use super::merge::{Merged, branch_of, recognise};
use std::collections::HashMap;

/// The first 128 bits of a hash tell commits apart.
pub(super) type Sha = u128;

/// Reads the hash of a commit, SHA-1 or SHA-256.
pub(super) fn sha(hex: &str) -> Option<Sha> {
    Sha::from_str_radix(hex.get(..32)?, 16).ok()
}

/// The commits of one collection.
#[derive(Default)]
pub(super) struct Graph {
    index: HashMap<Sha, u32>,
    parents: Vec<Vec<Sha>>,
    /// What the messages of merges, and of those that look squashed, say.
    merges: HashMap<u32, Merge>,
}

struct Merge {
    merged: Option<Merged>,
    branch: Option<String>,
}

/// Where commits belong.
pub(super) struct Places {
    names: Vec<Place>,
    of: Vec<u32>,
    merged: HashMap<u32, (Merged, u64)>,
}

/// Where a commit belongs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) branch: Option<String>,
    pub(super) pr: Option<u64>,
}

const NOWHERE: u32 = 0;

impl Graph {
    pub(super) fn add(&mut self, commit: Sha, parents: Vec<Sha>, message: &str) {
        let at = self.parents.len() as u32;
        let is_merge = parents.len() > 1;
        let merged = recognise(message, is_merge);
        if is_merge || merged.is_some() {
            let branch = merged.as_ref().and_then(|m| m.branch.clone()).or_else(|| branch_of(message));
            self.merges.insert(at, Merge { merged, branch });
        }
        self.index.insert(commit, at);
        self.parents.push(parents);
    }

    pub(super) fn len(&self) -> usize {
        self.parents.len()
    }

    fn at(&self, commit: Sha) -> Option<u32> {
        self.index.get(&commit).copied()
    }

    /// `default` is the default branch with its tip; `branches` are the others.
    pub(super) fn places(&self, default: Option<(&str, Sha)>, branches: &[(String, Sha)]) -> Places {
        let mut places =
            Places { names: vec![Place::default()], of: vec![NOWHERE; self.len()], merged: HashMap::new() };
        let mut line = Vec::new();
        if let Some((name, tip)) = default {
            let main = places.named(Place { branch: Some(name.to_owned()), pr: None });
            let mut next = self.at(tip);
            while let Some(at) = next.filter(|at| places.of[*at as usize] == NOWHERE) {
                places.of[at as usize] = main;
                line.push(at);
                next = self.parents[at as usize].first().and_then(|parent| self.at(*parent));
            }
        }
        for at in line.into_iter().rev() {
            let Some(merge) = self.merges.get(&at) else { continue };
            let pr = merge.merged.as_ref().map(|m| m.number);
            let place = places.named(Place { branch: merge.branch.clone(), pr });
            let brought: u64 = match self.parents[at as usize].get(1..) {
                Some(sides @ [_, ..]) => sides.iter().map(|side| self.claim(*side, place, &mut places)).sum(),
                // Squashed: the commit itself is the pull request's, and the default branch's.
                _ => {
                    let branch = places.names[places.of[at as usize] as usize].branch.clone();
                    places.of[at as usize] = places.named(Place { branch, pr });
                    1
                }
            };
            if let Some(merged) = &merge.merged {
                places.merged.insert(at, (merged.clone(), brought));
            }
        }
        for (name, tip) in branches {
            let place = places.named(Place { branch: Some(name.clone()), pr: None });
            self.claim(*tip, place, &mut places);
        }
        places
    }

    /// Gives a commit and what is behind it to a place, as far as nobody else has it. Returns how many.
    fn claim(&self, tip: Sha, place: u32, places: &mut Places) -> u64 {
        let (mut waiting, mut claimed) = (vec![tip], 0);
        while let Some(commit) = waiting.pop() {
            let Some(at) = self.at(commit).filter(|at| places.of[*at as usize] == NOWHERE) else { continue };
            places.of[at as usize] = place;
            claimed += 1;
            waiting.extend(&self.parents[at as usize]);
        }
        claimed
    }

    /// Where one commit belongs, and the pull request it merged with the number of commits that came with it.
    pub(super) fn place<'p>(&self, places: &'p Places, commit: Sha) -> (&'p Place, Option<&'p (Merged, u64)>) {
        match self.at(commit) {
            Some(at) => (&places.names[places.of[at as usize] as usize], places.merged.get(&at)),
            None => (&places.names[NOWHERE as usize], None),
        }
    }
}

impl Places {
    fn named(&mut self, place: Place) -> u32 {
        self.names.push(place);
        self.names.len() as u32 - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(graph: &Graph, places: &Places, commit: Sha) -> (Option<String>, Option<u64>) {
        let (place, _) = graph.place(places, commit);
        (place.branch.clone(), place.pr)
    }

    #[test]
    fn merges_claim_what_they_brought_and_open_branches_the_rest() {
        // 1 - 2 ------ 5(merge #9) - 6(squash #10)     main
        //      \ 3 - 4 /      \ 7                       open
        let mut graph = Graph::default();
        graph.add(1, vec![], "first");
        graph.add(2, vec![1], "second");
        graph.add(3, vec![2], "work");
        graph.add(4, vec![3], "work (#3)");
        graph.add(5, vec![2, 4], "Merge pull request #9 from jane/fix\n\nFix");
        graph.add(6, vec![5], "Feature (#10)");
        graph.add(7, vec![5], "more");
        let places = graph.places(Some(("main", 6)), &[("open".into(), 7), ("stale".into(), 4)]);
        let named = |b: &str, pr| (Some(b.to_owned()), pr);
        let got: Vec<_> = (1..=7).map(|n| place(&graph, &places, n)).collect();
        let (main, fix) = (named("main", None), named("fix", Some(9)));
        assert_eq!(
            got,
            [main.clone(), main.clone(), fix.clone(), fix, main, named("main", Some(10)), named("open", None)]
        );
        assert_eq!(graph.place(&places, 5).1.map(|(m, n)| (m.number, *n)), Some((9, 2)));
        assert_eq!(graph.place(&places, 6).1.map(|(m, n)| (m.number, *n)), Some((10, 1)));
        assert!(graph.place(&places, 4).1.is_none(), "a number on a branch merges nothing");
    }

    #[test]
    fn commits_outside_the_window_are_no_obstacle() {
        let mut graph = Graph::default();
        graph.add(5, vec![2, 4], "Merge pull request #9 from jane/fix");
        let places = graph.places(Some(("main", 5)), &[]);
        assert_eq!(place(&graph, &places, 5), (Some("main".into()), None));
        assert_eq!(place(&graph, &places, 4), (None, None));
        assert_eq!(sha("a60a115e330e7b5759377d0731daf5e9eb3cc371"), Some(0xa60a115e330e7b5759377d0731daf5e9));
        assert_eq!(sha("short"), None);
    }
}
