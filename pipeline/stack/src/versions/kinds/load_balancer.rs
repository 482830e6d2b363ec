//! The rules of a load balancer: a HAProxy configuration, as it is in `source`, or rendered from the stack.

use super::{Rules, Sources};
use crate::haproxy::render;
use crate::versions::component::{Carrier, Component};

pub(super) struct LoadBalancer;

impl Rules for LoadBalancer {
    fn wrong(&self, component: &Component) -> Option<(&'static str, String)> {
        match component.carrier() {
            Some(Carrier::Service { .. }) => Some(("target", "a load_balancer is carried by file:FILE".to_owned())),
            _ => None,
        }
    }

    fn text(&self, component: &Component, of: Sources<'_>) -> Result<Option<String>, String> {
        match of.source {
            Some(text) => Ok(Some(text.to_owned())),
            None if component.target.is_none() => Ok(None),
            None => render(of.manifest, component, of.folder).map(Some).map_err(|error| error.to_string()),
        }
    }
}
