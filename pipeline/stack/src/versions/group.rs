//! A version group: components that belong together, as they were declared, under a name that is their digest.
//!
//! Never changed once it is kept: whoever reads one proves that it is what its name says. The texts of its members are kept
//! beside it, under their own hashes.

use super::component::Component;
use super::graph::unmet;
use super::manifest::Manifest;
use crate::target::digest;
use domain::identity::written;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The `format_version` this program writes.
const FORMAT_VERSION: u32 = 1;

/// A component of a group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// As it was declared.
    pub component: Component,
    /// `sha256:` and the hash of the text that it is deployed as, where it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// Components that are deployed, routed and brought back together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// 1.
    pub format_version: u32,
    /// How people call it.
    pub name: String,
    /// In the order in which they are deployed.
    pub members: Vec<Member>,
}

impl Group {
    /// The group of that name, with the texts of its members by the names of the components; none where none is declared.
    pub fn declared(manifest: &Manifest, name: &str, texts: &BTreeMap<String, String>) -> Option<Self> {
        let member = |component: &Component| Member {
            component: component.clone(),
            text: texts.get(&component.name).map(|text| digest(text)),
        };
        let members = manifest.members(name)?.into_iter().map(member).collect();
        Some(Self { format_version: FORMAT_VERSION, name: name.to_owned(), members })
    }

    /// Its name for ever: `sha256:` and the hash of its JSON with sorted keys.
    pub fn digest(&self) -> String {
        digest(&serde_json::to_value(self).map(|value| written(&value)).unwrap_or_default())
    }

    /// What its members require and neither they nor what nobody deploys are, in words.
    pub fn unmet(&self, manifest: &Manifest) -> Vec<String> {
        let members: Vec<&Component> = self.members.iter().map(|member| &member.component).collect();
        let is_outside = |it: &&Component| it.target.is_none() && self.member(&it.name).is_none();
        let around: Vec<&Component> =
            members.iter().copied().chain(manifest.components.iter().filter(is_outside)).collect();
        members.iter().filter_map(|component| unmet(component, &around)).map(|unmet| unmet.what).collect()
    }

    /// The member of that name.
    pub fn member(&self, name: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.component.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "[[component]]\nname = \"api\"\nkind = \"application\"\nversion = \"1.0.0\"\n\
        [[component]]\nname = \"rules\"\nkind = \"config\"\nversion = \"2.0.0\"\nsource = \"r\"\n\
        [[group]]\nname = \"green\"\nmembers = { rules = \"2.0.0\", api = \"1.0.0\" }\n";

    #[test]
    fn the_same_group_has_one_name_and_any_change_another() {
        let of = |text: &str, rules: &str| {
            let texts = BTreeMap::from([("rules".to_owned(), rules.to_owned())]);
            Group::declared(&Manifest::parse(text).unwrap(), "green", &texts).unwrap()
        };
        let group = of(TEXT, "a");
        // The order in which members are written is no part of it; a text is.
        assert_eq!(
            group.digest(),
            of(&TEXT.replace("rules = \"2.0.0\", api = \"1.0.0\"", "api = \"1.0.0\", rules = \"2.0.0\""), "a").digest()
        );
        assert_ne!(group.digest(), of(TEXT, "b").digest());
        assert_ne!(group.digest(), of(&TEXT.replace("1.0.0", "1.0.1"), "a").digest());
        let read: Group = serde_json::from_str(&serde_json::to_string(&group).unwrap()).unwrap();
        assert_eq!((read.digest(), &read), (group.digest(), &group));
        assert!(
            serde_json::from_str::<Group>("{\"format_version\":1,\"name\":\"x\",\"members\":[],\"more\":1}").is_err()
        );
    }
}
