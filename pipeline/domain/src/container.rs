//! What the labels of a container say: whoever samples it and whoever changes it must take it for the same resource.

use std::collections::HashMap;

/// The labels of a container.
#[derive(Clone, Copy, Debug)]
pub struct Labels<'a>(pub Option<&'a HashMap<String, String>>);

impl Labels<'_> {
    /// The first of these that has a value.
    pub fn first(&self, names: &[&str]) -> Option<String> {
        let mut found = names.iter().filter_map(|name| self.0?.get(*name)).map(|value| value.trim());
        found.find(|value| !value.is_empty()).map(str::to_owned)
    }

    /// The environment that the container belongs to: by our own label, else by that of Compose, else `otherwise`.
    pub fn environment(&self, otherwise: &str) -> String {
        self.first(&["pipeline.env", "com.docker.compose.project"]).unwrap_or_else(|| otherwise.to_owned())
    }

    /// The service that it is a replica of: by our own label, else by that of Compose, else its name.
    pub fn service(&self, name: &str) -> String {
        let service = self.first(&["pipeline.service", "com.docker.compose.service"]);
        service.unwrap_or_else(|| name.trim_start_matches('/').to_owned())
    }
}
