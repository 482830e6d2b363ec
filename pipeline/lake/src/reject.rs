//! What could not be taken, kept with its reason.

use domain::Reason;

/// Something that could not be taken as an event.
#[derive(Clone, Debug)]
pub struct Reject {
    /// Hash of the raw text and the reason: the same reject again is the same row.
    pub reject_id: String,
    /// The dump.
    pub source: String,
    /// From 1.
    pub line: i64,
    /// Why.
    pub reason: Reason,
    /// Scrubbed, at most 64 KiB.
    pub text: String,
    /// Of the raw text, in bytes.
    pub length: i64,
    /// Hash of the raw text.
    pub hash: String,
}
