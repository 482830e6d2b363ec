//! `stack.toml`: the components of a stack, their groups, its route and its judge.
//!
//! Refused with the line of what is wrong: what cannot be read, what is declared twice, what requires itself on whatever way,
//! and what requires a version that nobody declares.

use super::as_text;
use super::component::{Component, is_name};
use super::graph::{order, unmet};
use super::judge::JudgeSection;
use super::kinds::Sources;
use super::place::{At, line_at, line_of};
use super::route::RouteSection;
use semver::Version;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// A `[[group]]`: components that are deployed, routed and brought back together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupSection {
    /// Letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// Name of a component → its version in this group.
    #[serde(with = "as_text::map")]
    pub members: BTreeMap<String, Version>,
}

/// What a `stack.toml` declares.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The components, each once in each of its versions, in file order.
    #[serde(default, rename = "component")]
    pub components: Vec<Component>,
    /// The groups, in file order.
    #[serde(default, rename = "group")]
    pub groups: Vec<GroupSection>,
    /// Where the shares of the groups are set.
    pub route: Option<RouteSection>,
    /// What a canary is held to.
    pub judge: Option<JudgeSection>,
}

/// What is wrong with a `stack.toml`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct Mistake {
    /// Line of the file, from 1.
    pub line: usize,
    /// What.
    pub what: String,
}

impl Manifest {
    /// Reads the text of a `stack.toml`.
    ///
    /// # Errors
    /// The first thing that is wrong with it, with its line.
    pub fn parse(text: &str) -> Result<Self, Mistake> {
        let manifest: Self = toml::from_str(text).map_err(|error| Mistake {
            line: error.span().map_or(1, |span| line_of(text, span.start)),
            what: error.message().trim().replace('\n', ", "),
        })?;
        match manifest.wrong() {
            None => Ok(manifest),
            Some((path, what)) => Err(Mistake { line: line_at(text, &path), what }),
        }
    }

    /// The members of a group, in the order in which they are deployed; none where no group is called so.
    pub fn members(&self, group: &str) -> Option<Vec<&Component>> {
        let group = self.groups.iter().find(|section| section.name == group)?;
        let declared = self.components.iter().filter(|it| group.members.get(&it.name) == Some(&it.version));
        let members: Vec<&Component> = declared.collect();
        let order = order(&members).ok()?;
        Some(order.into_iter().map(|i| members[i]).collect())
    }

    /// The whole text that a component is deployed as, of what its `source` holds; none where it is no text. Relative paths are
    /// below `folder`, that of the file.
    ///
    /// # Errors
    /// In words: the text cannot be made.
    pub fn text(&self, component: &Component, source: Option<&str>, folder: &Path) -> Result<Option<String>, String> {
        component.kind.rules().text(component, Sources { source, manifest: self, folder })
    }

    /// The component in that version.
    pub fn component(&self, name: &str, version: &Version) -> Option<&Component> {
        self.components.iter().find(|it| it.name == name && it.version == *version)
    }

    /// The first thing that is wrong, and the way to it.
    fn wrong(&self) -> Option<(Vec<At>, String)> {
        self.wrong_component().or_else(|| self.wrong_group()).or_else(|| {
            let route = self.route.as_ref().and_then(RouteSection::wrong).map(|(field, what)| ("route", field, what));
            let judge =
                || self.judge.as_ref().and_then(JudgeSection::wrong).map(|(field, what)| ("judge", field, what));
            let (section, field, what) = route.or_else(judge)?;
            Some((vec![section.into(), field.into()], format!("{section}.{field}: {what}")))
        })
    }

    fn wrong_component(&self) -> Option<(Vec<At>, String)> {
        let all: Vec<&Component> = self.components.iter().collect();
        let at = |i: usize, way: &[&str]| -> Vec<At> {
            [At::from("component"), i.into()].into_iter().chain(way.iter().map(|key| At::from(*key))).collect()
        };
        for (i, component) in all.iter().enumerate() {
            let earlier: Vec<&&Component> = all[..i].iter().filter(|other| other.name == component.name).collect();
            if let Some((field, what)) = component.wrong() {
                return Some((at(i, &[field]), format!("{field} of {}: {what}", component.in_words())));
            }
            if earlier.iter().any(|other| other.version == component.version) {
                return Some((at(i, &["version"]), format!("{} is declared twice", component.in_words())));
            }
            if let Some(other) = earlier.iter().find(|other| other.kind != component.kind) {
                let (kind, other) = (component.kind.name(), other.kind.name());
                return Some((at(i, &["kind"]), format!("{} is a {kind}, and above a {other}", component.in_words())));
            }
        }
        for (i, component) in all.iter().enumerate() {
            if let Some(unmet) = unmet(component, &all) {
                return Some((at(i, &["requires", &unmet.name]), unmet.what));
            }
        }
        let circle = order(&all).err()?;
        let mut names: Vec<String> = circle.iter().map(|i| all[*i].in_words()).collect();
        names.extend(names.first().cloned());
        Some((at(circle[0], &["requires"]), format!("a circle: {}", names.join(" requires "))))
    }

    fn wrong_group(&self) -> Option<(Vec<At>, String)> {
        for (i, group) in self.groups.iter().enumerate() {
            let at = |way: &[&str]| -> Vec<At> {
                [At::from("group"), i.into()].into_iter().chain(way.iter().map(|key| At::from(*key))).collect()
            };
            if !is_name(&group.name) {
                return Some((
                    at(&["name"]),
                    format!("{:?} is no name: it has letters, digits, - _ and . only", group.name),
                ));
            }
            if self.groups[..i].iter().any(|other| other.name == group.name) {
                return Some((at(&["name"]), format!("the group {} is declared twice", group.name)));
            }
            if group.members.is_empty() {
                return Some((at(&["members"]), format!("the group {} has no members", group.name)));
            }
            let mut members = Vec::new();
            for (name, version) in &group.members {
                match self.component(name, version) {
                    Some(component) => members.push(component),
                    None => {
                        let known: Vec<String> = self
                            .components
                            .iter()
                            .filter(|it| it.name == *name)
                            .map(|it| it.version.to_string())
                            .collect();
                        let known = if known.is_empty() { "nothing".to_owned() } else { known.join(", ") };
                        let what = format!("the group {} has {name} {version}, declared is {known}", group.name);
                        return Some((at(&["members", name]), what));
                    }
                }
            }
            // What nobody deploys, as the promise of a third party, is there for every group.
            let is_outside = |it: &&Component| it.target.is_none() && !group.members.contains_key(&it.name);
            let around: Vec<&Component> =
                members.iter().copied().chain(self.components.iter().filter(is_outside)).collect();
            for (n, component) in members.iter().enumerate() {
                if let Some(unmet) = unmet(component, &around) {
                    return Some((
                        at(&["members", &component.name]),
                        format!("in the group {}: {}", group.name, unmet.what),
                    ));
                }
                let same = |other: &&&Component| component.target.is_some() && other.target == component.target;
                if let Some(other) = members[..n].iter().find(same) {
                    let what =
                        format!("in the group {}: {} and {} have one target", group.name, other.name, component.name);
                    return Some((at(&["members", &component.name]), what));
                }
            }
        }
        None
    }
}

#[cfg(test)]
#[path = "manifest_tests.rs"]
mod tests;
