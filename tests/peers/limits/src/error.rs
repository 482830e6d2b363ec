//! The errors that the stages can meet here.

/// Stands for the lake's own, whose other causes bring in its tables.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LakeError {
    /// See `lake`.
    #[error("cannot keep identities in a scratch file")]
    Scratch(#[source] std::io::Error),
}
