//! DataFusion over the lake: sessions, what they may hold in memory, how they take thousands of files, functions with bounds.

pub(crate) mod at;
pub(crate) mod bounded;
pub(crate) mod collected;
pub(crate) mod held;
pub(crate) mod memory;
pub(crate) mod portions;
pub(crate) mod session;
pub(crate) mod shelf;
pub(crate) mod yielding;
