//! The lake owner's key: how good it must be, what is derived from it, and what may be kept to tell it from another.
//!
//! The key never leaves the process. Pseudonyms and identities are as strong as the key, so short ones are refused; what
//! a lake keeps of the key is derived slowly and under a salt of its own, so that trying many keys costs seconds each
//! hundred, and one table does not serve for two lakes.

use super::Privacy;
use hmac::Mac;
use thiserror::Error;

/// The shortest key, in bytes.
pub const KEY_BYTES: usize = 16;

/// Different bytes that a key has at least: sixteen times one letter is no key.
const KEY_VARIETY: usize = 6;

/// scrypt's cost as a power of two, block size and lanes: 16 MiB and some 40 ms for each guess.
const SCRYPT: (u8, u32, u32) = (14, 8, 1);

/// Why a text is no key.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum WeakKey {
    /// Fewer than [`KEY_BYTES`] bytes.
    #[error("the pseudonym key has {0} bytes and needs at least {KEY_BYTES}")]
    Short(usize),
    /// The same few bytes over and over.
    #[error("the pseudonym key repeats the same few letters")]
    Uniform,
}

/// Whether a text can be a key at all. It cannot be told whether it is a random one.
pub fn check_key(key: &[u8]) -> Result<(), WeakKey> {
    let mut seen = [false; 256];
    key.iter().for_each(|byte| seen[usize::from(*byte)] = true);
    match key.len() {
        length if length < KEY_BYTES => Err(WeakKey::Short(length)),
        _ if seen.iter().filter(|seen| **seen).count() < KEY_VARIETY => Err(WeakKey::Uniform),
        _ => Ok(()),
    }
}

impl Privacy {
    /// What a lake keeps of the key under its salt: enough to refuse another key, and slow to guess from. 32 hex digits.
    /// Worked out once for each salt.
    pub fn fingerprint(&self, salt: &str) -> String {
        let known = || self.fingerprints.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some((_, found)) = known().iter().find(|(of, _)| of == salt) {
            return found.clone();
        }
        let (cost, block, lanes) = SCRYPT;
        let mut slow = [0; 16];
        let params = scrypt::Params::new(cost, block, lanes, slow.len()).expect("the parameters are constants");
        let fast = self.derived_key("pipeline key fingerprint, version 2");
        scrypt::scrypt(&fast, salt.as_bytes(), &params, &mut slow).expect("sixteen bytes are a length of scrypt");
        let fingerprint = crate::identity::hex(u128::from_be_bytes(slow));
        known().push((salt.to_owned(), fingerprint.clone()));
        fingerprint
    }

    /// What lakes of format 1 kept: quick to work out, so a weak key could be guessed from it. Only for recognising them.
    pub fn quick_fingerprint(&self) -> String {
        self.hash("pipeline key fingerprint, version 1", 8)
    }

    /// A key for another purpose, from which the owner's key cannot be found.
    pub fn derived_key(&self, purpose: &str) -> [u8; 16] {
        let mut mac = self.mac.clone();
        mac.update(purpose.as_bytes());
        let mut key = [0; 16];
        key.copy_from_slice(&mac.finalize().into_bytes()[..16]);
        key
    }

    /// What is kept of a raw line beside its masked text: a keyed 128-bit hash of its [`hash128`], as 32 hex digits, so
    /// that nobody without the key can try what stood where the mask stands.
    ///
    /// [`hash128`]: crate::identity::hash128
    pub fn keyed_hash(&self, raw: &str) -> String {
        self.hash(&format!("rejected line, version 1\n{raw}"), 16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::hash128;

    #[test]
    fn a_key_that_can_be_guessed_at_once_is_none() {
        assert_eq!(check_key(b"k"), Err(WeakKey::Short(1)));
        assert_eq!(check_key(b"fifteen letters"), Err(WeakKey::Short(15)));
        assert_eq!(check_key(b"aaaaaaaaaaaaaaaaaaaaaaa"), Err(WeakKey::Uniform));
        assert_eq!(check_key(b"the key of the tests"), Ok(()));
        assert_eq!(check_key(b"00112233445566778899aabbccddeeff"), Ok(()));
    }

    #[test]
    fn a_fingerprint_is_of_one_key_and_one_lake() {
        let (one, other) = (Privacy::new(b"the key of the tests"), Privacy::new(b"the key of others"));
        assert_eq!(one.fingerprint("salt"), Privacy::new(b"the key of the tests").fingerprint("salt"));
        assert_ne!(one.fingerprint("salt"), other.fingerprint("salt"));
        assert_ne!(one.fingerprint("salt"), one.fingerprint("other"));
        assert_eq!(one.fingerprint("salt").len(), 32);
    }

    #[test]
    fn a_guessed_line_is_not_recognised_without_the_key() {
        let raw = hash128(b"{\"developer\":\"ann\",\"pin\":\"4711\"");
        let keyed = Privacy::new(b"the key of the tests").keyed_hash(&raw);
        assert_eq!(keyed.len(), 32);
        assert_ne!(keyed, raw);
        assert_ne!(keyed, Privacy::new(b"the key of others").keyed_hash(&raw));
    }
}
