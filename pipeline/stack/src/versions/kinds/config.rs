//! A file that services read, as it is in `source`.

use super::{Rules, wrong_text};
use crate::versions::component::Component;

pub(super) struct Config;

impl Rules for Config {
    fn wrong(&self, component: &Component) -> Option<(&'static str, String)> {
        wrong_text(component)
    }

    fn text(&self, _: &Component, source: Option<&str>) -> Result<Option<String>, String> {
        Ok(source.map(str::to_owned))
    }
}
