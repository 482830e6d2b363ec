//! The schema of a database: declared and required by others. No target carries it: what it takes to change one, and to change
//! it back, is more than a text.

use super::{Rules, Sources};
use crate::versions::component::Component;

pub(super) struct Schema;

impl Rules for Schema {
    fn wrong(&self, component: &Component) -> Option<(&'static str, String)> {
        let what =
            "a schema is declared and checked, and deployed by whoever migrates the database: leave the target out";
        component.target.is_some().then(|| ("target", what.to_owned()))
    }

    fn text(&self, _: &Component, _: Sources<'_>) -> Result<Option<String>, String> {
        Ok(None)
    }
}
