//! The limits of a resource.

use serde::{Deserialize, Serialize};

/// Limits of a resource. A missing figure: unlimited, or not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Cores.
    pub cpu_cores: Option<f64>,
    /// Bytes.
    pub memory_bytes: Option<u64>,
}

impl State {
    /// Whether it says nothing.
    pub fn is_empty(self) -> bool {
        self.cpu_cores.is_none() && self.memory_bytes.is_none()
    }

    /// The larger of each figure; of one that only one of them has, that.
    pub fn most(self, other: Self) -> Self {
        Self {
            cpu_cores: self.cpu_cores.into_iter().chain(other.cpu_cores).reduce(f64::max),
            memory_bytes: self.memory_bytes.max(other.memory_bytes),
        }
    }
}
