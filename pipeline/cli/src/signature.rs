//! Approvals signed with Ed25519 (RFC 8032): a yes that whoever holds the lake's key cannot make up.
//!
//! Keys are those of OpenSSL, in PEM: a private key in PKCS #8 (`openssl genpkey -algorithm ed25519`), and a file of public
//! keys, one block after the other, whatever stands between them. What is signed is the plan, its digest and the items.

use crate::failure::{Exit, Failure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::ledger::{Entry, Signature};
use domain::plan::Plan;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Before the 32 bytes of a public key: SubjectPublicKeyInfo with the identifier of Ed25519 (RFC 8410, section 4).
const SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
const MAKE: &str = "make one with `openssl genpkey -algorithm ed25519 -out approver.pem`";

/// What others than its owner may do with a file; ssh asks for none of it of a private key.
const FOR_OTHERS: u32 = 0o077;

/// Who may sign.
pub struct Keys(Vec<Vec<u8>>);

/// What a signature is of.
fn message(plan_id: &str, digest: &str, items: &[String]) -> Vec<u8> {
    format!("pipeline approval, version 1\n{plan_id}\n{digest}\n{}\n", items.join("\n")).into_bytes()
}

/// Signs the approval of these items.
pub fn sign(path: &Path, plan: &Plan, items: &[String]) -> Result<Signature, Failure> {
    let text = fs::read_to_string(path).map_err(|error| Failure::file("read", path, &error).hint(MAKE))?;
    // A pipe that is given in the place of a file has permissions of its own.
    let mode = fs::metadata(path).ok().filter(fs::Metadata::is_file).map_or(0, |file| file.mode());
    if mode & FOR_OTHERS != 0 {
        let what = format!("{} can be read or changed by others (mode {:03o})", path.display(), mode & 0o777);
        crate::warn(&Failure::new(Exit::Done, what).hint(format!(
            "whoever has the key can sign in your name: chmod 600 {}, and make a new one if somebody may have read it",
            path.display()
        )));
    }
    let wrong = |what: &str| Failure::new(Exit::Failed, format!("{}: {what}", path.display())).hint(MAKE);
    if text.contains("ENCRYPTED PRIVATE KEY") {
        return Err(wrong("it is locked with a passphrase")
            .hint("give it decrypted, without a copy on disk: --key <(openssl pkey -in approver.pem)"));
    }
    let der = blocks(&text, "PRIVATE KEY").into_iter().next().ok_or_else(|| wrong("it has no private key in PEM"))?;
    // OpenSSL writes version 1 of PKCS #8, without the public key.
    let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).map_err(|_| wrong("it is no Ed25519 key"))?;
    let signed = pair.sign(&message(&plan.plan_id, &plan.digest, items));
    Ok(Signature { key: STANDARD.encode(pair.public_key().as_ref()), value: STANDARD.encode(signed.as_ref()) })
}

impl Keys {
    /// The public keys of a file.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let text = fs::read_to_string(path).map_err(|error| Failure::file("read", path, &error))?;
        let wrong = |what: String| {
            Failure::new(Exit::Failed, format!("{}: {what}", path.display()))
                .hint("public keys in PEM: `openssl pkey -in approver.pem -pubout >> approvers.pem`")
        };
        if text.contains("PRIVATE KEY") {
            return Err(wrong("it has a private key; nobody but its owner may have that".to_owned()));
        }
        let keys = blocks(&text, "PUBLIC KEY");
        let raw = |(i, der): (usize, Vec<u8>)| match der.strip_prefix(&SPKI) {
            Some(key) if key.len() == 32 => Ok(key.to_vec()),
            _ => Err(wrong(format!("key {} is no Ed25519 key", i + 1))),
        };
        let keys: Vec<Vec<u8>> = keys.into_iter().enumerate().map(raw).collect::<Result<_, _>>()?;
        if keys.is_empty() { Err(wrong("it has no public key".to_owned())) } else { Ok(Self(keys)) }
    }

    /// Whether an approval is signed by one of them.
    pub fn have_signed(&self, entry: &Entry) -> bool {
        let Some(signature) = &entry.signature else { return false };
        let (Ok(key), Ok(value)) = (STANDARD.decode(&signature.key), STANDARD.decode(&signature.value)) else {
            return false;
        };
        let message = message(&entry.plan_id, &entry.plan_digest, &entry.items);
        self.0.contains(&key) && UnparsedPublicKey::new(&ED25519, &key).verify(&message, &value).is_ok()
    }
}

/// The bytes of each PEM block of a kind (RFC 7468).
fn blocks(text: &str, kind: &str) -> Vec<Vec<u8>> {
    let (begin, end) = (format!("-----BEGIN {kind}-----"), format!("-----END {kind}-----"));
    let block = |rest: &str| {
        let body: String = rest.split_once(&end)?.0.split_whitespace().collect();
        STANDARD.decode(body).ok()
    };
    text.split(&begin).skip(1).filter_map(block).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::Timestamp;

    /// The keys of RFC 8410, section 10.
    const PRIVATE: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";
    const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";

    fn plan() -> Plan {
        serde_json::from_str(include_str!("../../domain/src/plan/version_1.json")).unwrap()
    }

    fn entry(plan: &Plan, items: Vec<String>, signature: Option<Signature>) -> Entry {
        Entry {
            seq: 1,
            at: Timestamp(0),
            action: "approve".into(),
            plan_id: plan.plan_id.clone(),
            plan_digest: plan.digest.clone(),
            who: "x".into(),
            items,
            result: "approved".into(),
            signature,
            fixed_clock: false,
            nonce: String::new(),
            prev: String::new(),
            hash: String::new(),
            seal: String::new(),
        }
    }

    #[test]
    fn a_signature_is_of_these_items_of_this_plan_by_one_of_these_keys() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            path
        };
        let (plan, items) = (plan(), vec!["a-1".to_owned(), "a-2".to_owned()]);
        let signature = sign(&file("key.pem", PRIVATE), &plan, &items).unwrap();
        let keys = Keys::read(&file("keys.pem", &format!("# Ada\n{PUBLIC}"))).unwrap();
        assert!(keys.have_signed(&entry(&plan, items.clone(), Some(signature.clone()))));
        assert!(!keys.have_signed(&entry(&plan, items.clone(), None)));
        assert!(!keys.have_signed(&entry(&plan, vec!["a-1".to_owned()], Some(signature.clone()))), "other items");
        let other = Plan { digest: "sha256:0".into(), ..plan.clone() };
        assert!(!keys.have_signed(&entry(&other, items.clone(), Some(signature.clone()))), "another plan");
        let forged = Signature { value: STANDARD.encode([0_u8; 64]), ..signature.clone() };
        assert!(!keys.have_signed(&entry(&plan, items.clone(), Some(forged))));
        let foreign = PUBLIC.replace("MCowBQYDK2VwAyEAGb9E", "MCowBQYDK2VwAyEAGb9F");
        let others = Keys::read(&file("others.pem", &foreign)).unwrap();
        assert!(!others.have_signed(&entry(&plan, items, Some(signature))), "a key that nobody named");
        for wrong in ["", PRIVATE, "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"] {
            assert!(Keys::read(&file("wrong.pem", wrong)).is_err());
        }
    }
}
