//! The schema of a database, in the version that its migrations lead to: a command migrates it there and back
//! (`exec:COMMAND`). Without a target it is declared and required by others, and migrated by somebody else.

use super::{Rules, Sources};
use crate::versions::component::{Carrier, Component};

pub(super) struct Schema;

impl Rules for Schema {
    fn wrong(&self, component: &Component) -> Option<(&'static str, String)> {
        if component.source.is_some() {
            return Some(("source", "the command of a schema has its migrations, and takes no text".to_owned()));
        }
        match component.carrier() {
            None | Some(Carrier::Command { .. }) => None,
            Some(_) => Some(("target", "a schema is carried by exec:COMMAND, which migrates it".to_owned())),
        }
    }

    fn text(&self, _: &Component, _: Sources<'_>) -> Result<Option<String>, String> {
        Ok(None)
    }
}
