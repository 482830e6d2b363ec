//! A service that runs an image: `image` and `environment` of a Compose service.

use super::{Rules, Sources};
use crate::versions::component::{Carrier, Component};

pub(super) struct Application;

impl Rules for Application {
    fn wrong(&self, component: &Component) -> Option<(&'static str, String)> {
        if component.source.is_some() {
            return Some(("source", "an application is an image, and has no text".to_owned()));
        }
        match component.carrier() {
            Some(Carrier::File { .. } | Carrier::Command { .. }) => {
                Some(("target", "an application is carried by compose:FILE#SERVICE".to_owned()))
            }
            _ => None,
        }
    }

    fn text(&self, _: &Component, _: Sources<'_>) -> Result<Option<String>, String> {
        Ok(None)
    }
}
