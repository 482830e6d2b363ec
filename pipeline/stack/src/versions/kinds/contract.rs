//! A promise between services, also of third parties: an OpenAPI document in JSON or YAML, as it is in `source`.

use super::openapi::Document;
use super::{Rules, Sources, wrong_text};
use crate::versions::component::Component;

pub(super) struct Contract;

impl Rules for Contract {
    fn wrong(&self, component: &Component) -> Option<(&'static str, String)> {
        wrong_text(component)
    }

    fn text(&self, _: &Component, of: Sources<'_>) -> Result<Option<String>, String> {
        let Some(text) = of.source else { return Ok(None) };
        Document::parse(text)?;
        Ok(Some(text.to_owned()))
    }
}
