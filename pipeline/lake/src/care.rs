//! What keeps a lake in order: checks, compaction, and the removal of what nothing names.

pub(crate) mod check;
pub(crate) mod compact;
pub(crate) mod vacuum;
