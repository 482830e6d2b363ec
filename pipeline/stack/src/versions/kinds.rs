//! What each kind of component is: what carries it, and the text that it is deployed as. One kind, one file.

mod application;
mod config;
mod contract;
mod load_balancer;
mod network_policy;
pub(super) mod openapi;
mod schema;

use super::component::{Carrier, Component, Kind};
use super::manifest::Manifest;
use std::path::Path;

/// The rules of a kind.
pub(super) trait Rules: Sync {
    /// What is wrong with a component of this kind: the field, and why.
    fn wrong(&self, component: &Component) -> Option<(&'static str, String)>;

    /// The whole text that it is deployed as; none where it is no text.
    ///
    /// # Errors
    /// In words: the text cannot be made.
    fn text(&self, component: &Component, of: Sources<'_>) -> Result<Option<String>, String>;
}

/// What a text is made of.
#[derive(Clone, Copy)]
pub(super) struct Sources<'a> {
    /// What the component's `source` holds.
    pub(super) source: Option<&'a str>,
    /// The stack that it belongs to.
    pub(super) manifest: &'a Manifest,
    /// The folder of `stack.toml`.
    pub(super) folder: &'a Path,
}

impl Kind {
    pub(super) fn rules(self) -> &'static dyn Rules {
        match self {
            Self::Application => &application::Application,
            Self::Schema => &schema::Schema,
            Self::LoadBalancer => &load_balancer::LoadBalancer,
            Self::NetworkPolicy => &network_policy::NetworkPolicy,
            Self::Contract => &contract::Contract,
            Self::Config => &config::Config,
        }
    }
}

/// That a kind which is a text has one, and is carried by a file.
fn wrong_text(component: &Component) -> Option<(&'static str, String)> {
    let kind = component.kind.name();
    match component.carrier() {
        Some(Carrier::Service { .. } | Carrier::Command { .. }) => {
            Some(("target", format!("a {kind} is carried by file:FILE")))
        }
        Some(Carrier::File { .. }) if component.source.is_none() => {
            Some(("target", format!("what is written there? name the file with the text of the {kind} as source")))
        }
        _ => None,
    }
}
