//! The append-only record of all plans: each entry carries the hash of the one before, so that no line can be changed,
//! removed or put in between without the rest saying so; and the seal of the lake's key, so that nobody else can write
//! one. The head, sealed as well, says how far the record goes: its end cannot be cut off.

use crate::Timestamp;
use crate::privacy::Privacy;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The `prev` of the first entry.
pub const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// What entries are sealed for.
const ENTRY: &str = "ledger entry, version 1";

/// What the head is sealed for.
const HEAD: &str = "ledger head, version 1";

/// One thing that was done to a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// 1, 2, 3 … without gaps.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// `plan`, `approve`, `expire`, `apply`, `rollback`.
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
    /// Of an approval that was signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<Signature>,
    /// Whether `at` is a `--now` and not the time of a clock.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fixed_clock: bool,
    /// No other entry has it: a writer knows its own by it. Empty in entries of earlier versions.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub nonce: String,
    /// Hash of the entry before.
    pub prev: String,
    /// Hash of this entry with `hash` and `seal` empty.
    pub hash: String,
    /// The hash, sealed with the lake's key. Empty in entries of earlier versions.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub seal: String,
}

/// An Ed25519 signature of an approval, by a key that the lake does not have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    /// The public key, base64.
    pub key: String,
    /// The signature, base64.
    pub value: String,
}

/// How far the ledger goes. It may lag behind by an entry that was being written, and is never ahead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The last entry.
    pub seq: u64,
    /// Its hash.
    pub hash: String,
    /// Both, sealed with the lake's key.
    pub seal: String,
}

impl Head {
    /// The head of a ledger whose first entry is about to be written: broken off in between, it is not a ledger that lost
    /// its head.
    pub fn of_none(privacy: &Privacy) -> Self {
        let seal = privacy.seal(HEAD, &format!("0 {GENESIS}"));
        Self { seq: 0, hash: GENESIS.to_owned(), seal }
    }

    /// The head of a ledger that ends with this entry.
    pub fn of(last: &Entry, privacy: &Privacy) -> Self {
        let seal = privacy.seal(HEAD, &format!("{} {}", last.seq, last.hash));
        Self { seq: last.seq, hash: last.hash.clone(), seal }
    }
}

impl Entry {
    /// This entry as the successor of `last`, sealed.
    #[must_use]
    pub fn after(mut self, last: Option<&Entry>, privacy: &Privacy) -> Self {
        self.seq = last.map_or(1, |l| l.seq + 1);
        self.prev = last.map_or_else(|| GENESIS.to_owned(), |l| l.hash.clone());
        self.hash = self.digest();
        self.sealed(privacy)
    }

    /// This entry as it is, sealed: what the owner of the key says with it is that it may stand.
    #[must_use]
    pub fn sealed(mut self, privacy: &Privacy) -> Self {
        self.seal = privacy.seal(ENTRY, &self.hash);
        self
    }

    /// Empty where the entry cannot be written; an empty hash is never right.
    fn digest(&self) -> String {
        let bare = Self { hash: String::new(), seal: String::new(), ..self.clone() };
        serde_json::to_string(&bare).map(|text| sha256_hex(text.as_bytes())).unwrap_or_default()
    }
}

/// SHA-256 as 64 hex digits.
pub fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

/// Checks the chain, without its seals; the first entry that breaks it and how.
pub fn verify_chain(entries: &[Entry]) -> Result<(), (u64, &'static str)> {
    let mut last: Option<&Entry> = None;
    for entry in entries {
        if entry.seq != last.map_or(1, |l| l.seq + 1) {
            return Err((entry.seq, "an entry is missing before this one"));
        }
        if entry.prev != last.map_or(GENESIS, |l| &l.hash) {
            return Err((entry.seq, "it does not follow the entry before"));
        }
        if entry.hash.is_empty() || entry.hash != entry.digest() {
            return Err((entry.seq, "its content was changed"));
        }
        last = Some(entry);
    }
    Ok(())
}

/// Checks the chain, its seals and its end.
///
/// # Errors
/// The first entry that breaks it, and how.
pub fn verify(entries: &[Entry], head: Option<&Head>, privacy: &Privacy) -> Result<(), (u64, &'static str)> {
    verify_chain(entries)?;
    for entry in entries {
        if entry.seal.is_empty() {
            return Err((entry.seq, UNSEALED));
        }
        if !privacy.is_sealed(ENTRY, &entry.hash, &entry.seal) {
            return Err((entry.seq, "its seal is not of this lake's key"));
        }
    }
    let last = entries.last().map_or(0, |last| last.seq);
    match head {
        None if entries.is_empty() => Ok(()),
        None => Err((last, "the head that says how far the ledger goes is missing")),
        Some(head) if !privacy.is_sealed(HEAD, &format!("{} {}", head.seq, head.hash), &head.seal) => {
            Err((head.seq, "the head's seal is not of this lake's key"))
        }
        Some(head) if head.seq == 0 && head.hash == GENESIS => Ok(()),
        Some(head) => match entries.iter().find(|entry| entry.seq == head.seq) {
            Some(entry) if entry.hash == head.hash => Ok(()),
            Some(entry) => Err((entry.seq, "it is not the entry that the head knows")),
            None => Err((head.seq, "it and what may follow were cut off")),
        },
    }
}

/// What is wrong with an entry of an earlier version.
pub const UNSEALED: &str = "it has no seal of the lake's key";

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Privacy {
        Privacy::new(b"a key for the tests of the ledger")
    }

    fn entry(action: &str) -> Entry {
        Entry {
            seq: 0,
            at: Timestamp(1),
            action: action.into(),
            plan_id: "p".into(),
            plan_digest: "d".into(),
            who: "u-1".into(),
            items: vec![],
            result: String::new(),
            signature: None,
            fixed_clock: false,
            nonce: String::new(),
            prev: String::new(),
            hash: String::new(),
            seal: String::new(),
        }
    }

    fn chain() -> Vec<Entry> {
        let mut entries: Vec<Entry> = Vec::new();
        for action in ["plan", "approve", "apply"] {
            entries.push(entry(action).after(entries.last(), &key()));
        }
        entries
    }

    fn checked(entries: &[Entry]) -> Result<(), (u64, &'static str)> {
        verify(entries, Some(&Head::of(&chain()[2], &key())), &key())
    }

    #[test]
    fn a_changed_removed_or_swapped_entry_is_found() {
        assert_eq!(checked(&chain()), Ok(()));
        let mut changed = chain();
        changed[1].who = "u-2".into();
        assert_eq!(checked(&changed).unwrap_err().0, 2);
        let mut removed = chain();
        removed.remove(1);
        assert_eq!(checked(&removed).unwrap_err().0, 3);
        let mut swapped = chain();
        swapped.swap(0, 1);
        assert!(checked(&swapped).is_err());
        let mut empty = chain();
        empty[2].hash = String::new();
        assert_eq!(checked(&empty).unwrap_err().0, 3);
    }

    #[test]
    fn nobody_without_the_key_writes_an_entry_cuts_the_end_off_or_empties_it() {
        let forger = Privacy::new(b"another key, of somebody else");
        let mut forged = chain();
        let last = forged.pop();
        forged.push(entry("approve").after(forged.last(), &forger));
        assert_eq!(checked(&forged), Err((3, "its seal is not of this lake's key")));
        forged[2].seal = last.map(|last| last.seal).unwrap_or_default();
        assert!(checked(&forged).is_err(), "a seal is of one entry");
        forged[2].seal = String::new();
        assert_eq!(checked(&forged), Err((3, UNSEALED)));
        assert!(checked(&chain()[..2]).is_err() && checked(&[]).is_err());
        assert!(verify(&chain(), None, &key()).is_err());
        assert!(verify(&chain(), Some(&Head::of(&chain()[2], &forger)), &key()).is_err());
        assert_eq!(verify(&chain(), Some(&Head::of(&chain()[1], &key())), &key()), Ok(()), "a head that lags behind");
        assert_eq!(verify(&[], None, &key()), Ok(()));
        let first = &chain()[..1];
        assert_eq!(verify(first, Some(&Head::of_none(&key())), &key()), Ok(()), "before the head knew of the first");
        assert!(verify(first, Some(&Head::of_none(&forger)), &key()).is_err() && verify(first, None, &key()).is_err());
    }

    #[test]
    fn an_entry_of_an_earlier_version_keeps_its_hash() {
        let old = r#"{"seq":1,"at":"1970-01-01T00:00:00.000001Z","action":"plan","plan_id":"p","plan_digest":"d","who":"u-1","items":[],"result":"","prev":"0000000000000000000000000000000000000000000000000000000000000000","hash":""}"#;
        let mut entry: Entry = serde_json::from_str(old).unwrap();
        assert_eq!(entry.digest(), sha256_hex(old.as_bytes()));
        entry.hash = entry.digest();
        assert_eq!(verify_chain(std::slice::from_ref(&entry)), Ok(()));
        assert_eq!(verify(std::slice::from_ref(&entry), None, &key()), Err((1, UNSEALED)));
        let sealed = entry.sealed(&key());
        assert_eq!(verify(std::slice::from_ref(&sealed), Some(&Head::of(&sealed, &key())), &key()), Ok(()));
    }
}
