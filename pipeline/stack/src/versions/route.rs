//! The `[route]` of `stack.toml`: where the shares of the groups are set, and by which steps a canary grows.

use serde::{Deserialize, Serialize};

/// A `[route]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteSection {
    /// `haproxy-map:FILE`, beside `stack.toml`.
    pub target: String,
    /// The socket on which a running HAProxy is told, beside `stack.toml`; none: it reads the file when it is loaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub socket: Option<String>,
    /// Per cent of the users on the canary, step by step; the last is 100.
    pub steps: Vec<u32>,
    /// The header whose value is the unit that stays on its group: a user.
    pub unit: String,
}

impl RouteSection {
    /// The first of its fields that cannot be, and why.
    pub(super) fn wrong(&self) -> Option<(&'static str, String)> {
        if !self.target.split_once(':').is_some_and(|(kind, place)| !kind.is_empty() && !place.is_empty()) {
            return Some(("target", format!("{:?} is not KIND:FILE, as haproxy-map:routes.map", self.target)));
        }
        let grows = self.steps.windows(2).all(|pair| pair[0] < pair[1]);
        if !grows || self.steps.first().is_none_or(|first| *first == 0) || self.steps.last() != Some(&100) {
            return Some(("steps", "they grow from at least 1 to 100, as [1, 10, 25, 50, 100]".to_owned()));
        }
        let is_token = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if self.unit.is_empty() || !self.unit.chars().all(is_token) {
            return Some(("unit", format!("{:?} is no name of a header", self.unit)));
        }
        None
    }
}
