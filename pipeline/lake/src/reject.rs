//! What could not be taken, kept with its reason.

use domain::Reason;
use domain::identity::hash128;
use domain::privacy::Privacy;

/// Something that could not be taken as an event.
#[derive(Clone, Debug)]
pub(crate) struct Reject {
    /// Hash of the keyed hash and the reason: the same reject again is the same row.
    pub(crate) reject_id: String,
    /// The dump.
    pub(crate) source: String,
    /// From 1.
    pub(crate) line: i64,
    /// Why.
    pub(crate) reason: Reason,
    /// Scrubbed, at most 64 KiB.
    pub(crate) text: String,
    /// Of the raw text, in bytes.
    pub(crate) length: i64,
    /// Keyed hash of the raw text: what stands under the mask cannot be found by trying.
    pub(crate) hash: String,
}

impl Reject {
    /// `hash` (by [`hash128`]) and `length` are those of the whole raw text, of which `text` may be the beginning.
    pub(crate) fn new(
        dump: &str,
        line: u64,
        reason: Reason,
        text: &str,
        hash: Option<String>,
        length: u64,
        privacy: &Privacy,
    ) -> Self {
        let hash = privacy.keyed_hash(&hash.unwrap_or_else(|| hash128(text.as_bytes())));
        Self {
            reject_id: hash128(format!("{hash}\n{reason}").as_bytes()),
            source: privacy.scrub_text(dump),
            line: line as i64,
            // Of an erased person nothing is kept, nor of what no pattern can read.
            text: match reason {
                Reason::Erased | Reason::Encoding => String::new(),
                _ => privacy.scrub_reject(text),
            },
            length: length as i64,
            reason,
            hash,
        }
    }

    /// Its identity as a number.
    pub(crate) fn id(&self) -> u128 {
        u128::from_str_radix(&self.reject_id, 16).unwrap_or_default()
    }
}
