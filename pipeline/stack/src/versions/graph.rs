//! What components require of each other: met, and in no circle.

use super::component::Component;

/// Another component that one requires and that is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unmet {
    /// Which requirement, by the name of what is required.
    pub(super) name: String,
    /// Why it is not met.
    pub(super) what: String,
}

/// The first requirement of a component that none of these meets.
pub(super) fn unmet(component: &Component, among: &[&Component]) -> Option<Unmet> {
    component.requires.iter().find_map(|(name, wanted)| {
        let there: Vec<&Component> = among.iter().copied().filter(|other| other.name == *name).collect();
        if there.iter().any(|other| wanted.matches(&other.version)) {
            return None;
        }
        let versions: Vec<String> = there.iter().map(|other| other.version.to_string()).collect();
        let found = if versions.is_empty() { "not there".to_owned() } else { versions.join(", ") };
        let what = format!("{} requires {name} {wanted}, which is {found}", component.in_words());
        Some(Unmet { name: name.clone(), what })
    })
}

/// Indices of components in the order in which they are deployed: what is required comes first, and of several that may come
/// next, the one declared first. A circle is returned as it goes round.
pub(super) fn order(components: &[&Component]) -> Result<Vec<usize>, Vec<usize>> {
    let needs = |i: usize| -> Vec<usize> {
        let meets = |j: &usize| {
            let wanted = components[i].requires.get(&components[*j].name);
            wanted.is_some_and(|wanted| wanted.matches(&components[*j].version))
        };
        (0..components.len()).filter(meets).collect()
    };
    let mut walk =
        Walk { needs: &needs, state: vec![State::New; components.len()], order: Vec::new(), way: Vec::new() };
    for i in 0..components.len() {
        walk.visit(i)?;
    }
    Ok(walk.order)
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    New,
    Open,
    Done,
}

struct Walk<'a> {
    needs: &'a dyn Fn(usize) -> Vec<usize>,
    state: Vec<State>,
    order: Vec<usize>,
    way: Vec<usize>,
}

impl Walk<'_> {
    fn visit(&mut self, i: usize) -> Result<(), Vec<usize>> {
        match self.state[i] {
            State::Done => return Ok(()),
            State::Open => {
                let begin = self.way.iter().position(|j| *j == i).unwrap_or(0);
                return Err(self.way[begin..].to_vec());
            }
            State::New => {}
        }
        self.state[i] = State::Open;
        self.way.push(i);
        for j in (self.needs)(i) {
            self.visit(j)?;
        }
        self.way.pop();
        self.state[i] = State::Done;
        self.order.push(i);
        Ok(())
    }
}
