//! What could not be taken, kept with its reason.

use domain::Reason;
use domain::identity::hash128;
use domain::json::ends::{End, Ends};
use domain::privacy::{Privacy, REJECT_TEXT_LIMIT};
use std::borrow::Cow;

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
                _ => privacy.scrub_reject(&beginning(text)),
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

/// Of a text from here on only the beginning is looked at, in bytes: as values it may take a hundred times its size.
const WHOLE: usize = 4 * REJECT_TEXT_LIMIT;

/// What of a text may be kept. The beginning of JSON is JSON again, so that people are found by the names of fields,
/// unless it is hardly more than the beginning of one long text.
fn beginning(text: &str) -> Cow<'_, str> {
    if text.len() <= WHOLE {
        return Cow::Borrowed(text);
    }
    let head = &text[..text.floor_char_boundary(REJECT_TEXT_LIMIT)];
    let mut ends = Ends::default();
    let closed = match ends.feed(head.as_bytes()) {
        End::Open => String::from_utf8(ends.closed(head.as_bytes())).ok(),
        _ => None,
    };
    closed.filter(|closed| 2 * closed.len() > head.len()).map_or(Cow::Borrowed(head), Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn of_a_long_text_a_whole_beginning_is_kept_and_names_nobody() {
        let privacy = Privacy::new(b"a key of the tests");
        let kept = |text: &str| {
            let length = text.len() as u64;
            let reject = Reject::new("dump", 1, Reason::Type, text, None, length, &privacy);
            let hash = privacy.keyed_hash(&hash128(text.as_bytes()));
            assert_eq!((reject.length as u64, reject.hash), (length, hash));
            reject.text
        };
        let many: Vec<Value> = (0..20_000).map(|at| json!({"at": at, "assignee": "ann"})).collect();
        let text = kept(&json!({"developer": "ann", "list": many}).to_string());
        assert!(text.len() > REJECT_TEXT_LIMIT / 2 && text.len() <= REJECT_TEXT_LIMIT, "{}", text.len());
        assert!(!text.contains("ann"), "{}", &text[..200]);
        let long = kept(&json!({"developer": "ann", "note": "ü".repeat(1 << 20)}).to_string());
        assert!(long.len() > REJECT_TEXT_LIMIT / 2 && !long.contains("ann"), "{}", &long[..200]);
    }
}
