//! A file that services read, as it is in `source`.

use super::{Rules, Sources, wrong_text};
use crate::versions::component::Component;

pub(super) struct Config;

impl Rules for Config {
    fn wrong(&self, component: &Component) -> Option<(&'static str, String)> {
        wrong_text(component)
    }

    fn text(&self, _: &Component, of: Sources<'_>) -> Result<Option<String>, String> {
        Ok(of.source.map(str::to_owned))
    }
}
