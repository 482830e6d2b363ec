//! The append-only record of all plans: each entry carries the hash of the one before, so that no line can be changed,
//! removed or put in between without the rest saying so.

use crate::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The `prev` of the first entry.
pub const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// One thing that was done to a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// 1, 2, 3 … without gaps.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// `plan`, `approve`, `apply`, `rollback`.
    pub action: String,
    /// Which plan.
    pub plan_id: String,
    /// The plan's digest at that moment.
    pub plan_digest: String,
    /// Keyed hash of the person who asked.
    pub who: String,
    /// The items it touched.
    pub items: Vec<String>,
    /// What came of it, in words.
    pub result: String,
    /// Hash of the entry before.
    pub prev: String,
    /// Hash of this entry with `hash` empty.
    pub hash: String,
}

impl Entry {
    /// This entry as the successor of `last`.
    #[must_use]
    pub fn after(mut self, last: Option<&Entry>) -> Self {
        self.seq = last.map_or(1, |l| l.seq + 1);
        self.prev = last.map_or_else(|| GENESIS.to_owned(), |l| l.hash.clone());
        self.hash = self.digest();
        self
    }

    fn digest(&self) -> String {
        let bare = Self { hash: String::new(), ..self.clone() };
        sha256_hex(serde_json::to_string(&bare).unwrap_or_default().as_bytes())
    }
}

/// SHA-256 as 64 hex digits.
pub fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

/// Checks the chain; the first entry that breaks it and how.
pub fn verify(entries: &[Entry]) -> Result<(), (u64, &'static str)> {
    let mut last: Option<&Entry> = None;
    for entry in entries {
        if entry.seq != last.map_or(1, |l| l.seq + 1) {
            return Err((entry.seq, "an entry is missing before this one"));
        }
        if entry.prev != last.map_or(GENESIS, |l| &l.hash) {
            return Err((entry.seq, "it does not follow the entry before"));
        }
        if entry.hash != entry.digest() {
            return Err((entry.seq, "its content was changed"));
        }
        last = Some(entry);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain() -> Vec<Entry> {
        let mut entries: Vec<Entry> = Vec::new();
        for action in ["plan", "approve", "apply"] {
            let entry = Entry {
                seq: 0,
                at: Timestamp(1),
                action: action.into(),
                plan_id: "p".into(),
                plan_digest: "d".into(),
                who: "u-1".into(),
                items: vec![],
                result: String::new(),
                prev: String::new(),
                hash: String::new(),
            };
            let entry = entry.after(entries.last());
            entries.push(entry);
        }
        entries
    }

    #[test]
    fn a_changed_removed_or_swapped_entry_is_found() {
        assert_eq!(verify(&chain()), Ok(()));
        let mut changed = chain();
        changed[1].who = "u-2".into();
        assert_eq!(verify(&changed).unwrap_err().0, 2);
        let mut removed = chain();
        removed.remove(1);
        assert_eq!(verify(&removed).unwrap_err().0, 3);
        let mut swapped = chain();
        swapped.swap(0, 1);
        assert!(verify(&swapped).is_err());
    }
}
