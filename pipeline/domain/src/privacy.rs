//! What may be stored about people: nothing but keyed hashes, and no secrets.
//!
//! People become `u-` and 96 bits of HMAC-SHA256 under the lake owner's key; the same person gives the same hash in
//! a field, an e-mail address or a mention spelled the same way. Secrets and home-directory names are masked.

use hmac::{Hmac, Mac};
use regex::{Captures, Regex};
use serde_json::{Map, Value};
use sha2::Sha256;
use std::borrow::Cow;
use std::sync::LazyLock;

/// Payload fields that name a person, in every known format.
const PERSON_FIELDS: &[&str] = &[
    "actor",
    "assignee",
    "assignees",
    "assigner",
    "author",
    "author_name",
    "closed_by",
    "committer",
    "committer_name",
    "created_by",
    "creator",
    "developer",
    "enabled_by",
    "enduser",
    "login",
    "merged_by",
    "pusher",
    "requested_reviewer",
    "requested_reviewers",
    "review_requester",
    "reviewer",
    "reviewers",
    "sender",
    "triggering_actor",
    "user",
    "user_name",
    "username",
];

/// Fields whose value is a secret, whatever it looks like.
const SECRET_FIELDS: &[&str] = &[
    "access_key",
    "api_key",
    "apikey",
    "authorization",
    "client_secret",
    "cookie",
    "passwd",
    "password",
    "private_key",
    "pwd",
    "secret",
    "token",
];

/// A person's own name inside such a field, when the field holds an object.
const PERSON_KEYS: &[&str] = &["login", "user_id", "name", "email", "id"];

/// The longest text kept of a rejected line, in bytes.
pub const REJECT_TEXT_LIMIT: usize = 64 << 10;

macro_rules! pattern {
    ($name:ident, $text:expr) => {
        static $name: LazyLock<Regex> = LazyLock::new(|| Regex::new($text).expect("the pattern is a constant"));
    };
}

pattern!(EMAIL, r"[A-Za-z0-9._%+\-]+@[A-Za-z0-9\-]+(?:\.[A-Za-z0-9\-]+)*\.[A-Za-z]{2,}");
pattern!(MENTION, r"(^|[^\w@/.\]`-])@([A-Za-z0-9](?:[A-Za-z0-9\-]{0,38}))(/?)");
pattern!(HOME, r"((?:/home/|/Users/|[A-Za-z]:\\+Users\\+))([^/\\\s:\x22']+)");
pattern!(
    SECRET,
    concat!(
        r"(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)",
        r"|\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
        r"|\bgh[pousr]_[A-Za-z0-9]{20,}|\bgithub_pat_[A-Za-z0-9_]{20,}|\bglpat-[A-Za-z0-9_\-]{16,}",
        r"|\bxox[abprs]-[A-Za-z0-9\-]{10,}|\bsk-[A-Za-z0-9_\-]{20,}|\bnpm_[A-Za-z0-9]{30,}",
        r"|\b(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{10,}|\bAIza[A-Za-z0-9_\-]{30,}|\bhf_[A-Za-z0-9]{20,}",
        r"|\bSG\.[A-Za-z0-9_\-]{16,}\.[A-Za-z0-9_\-]{16,}|\bpypi-[A-Za-z0-9_\-]{20,}|\bdckr_pat_[A-Za-z0-9_\-]{16,}",
        r"|\beyJ[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]*",
    )
);
pattern!(
    ASSIGNED,
    r#"(?i)((?:password|passwd|pwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|client[_-]?secret)[\w-]*["']?\s*[=:]\s*["']?)([^\s"'&,;<>]{3,})"#
);
pattern!(
    OPTION,
    r"(?i)((?:^|\s)--?(?:password|passwd|token|secret|api-?key|access-key|auth)[\s=]+|(?:^|\s)(?:-u|--user)[\s=]+[^\s:]+:)(\S+)"
);
pattern!(BEARER, r"(?i)(\b(?:bearer|basic)\s+)([A-Za-z0-9._~+/=\-]{8,})");
pattern!(TRAILER, r"(?im)(^[ \t]*[a-z-]+-by:[ \t]*)([^<\r\n]*[^<\r\n\s])([ \t]*(?:<|$))");
pattern!(URL_LOGIN, r"([A-Za-z][A-Za-z0-9+.\-]*://)([^/\s:@]+:[^/\s@]+)@");
pattern!(
    PERSON_TEXT,
    r#"("(?:actor|assignee|assigner|author|committer|developer|merged_by|requested_reviewer|review_requester|reviewer|user|login|email|name)"\s*:\s*")((?:[^"\\]|\\.)*)"#
);

const MASK: &str = "[masked]";

/// Pseudonymises and masks under one key.
#[derive(Clone)]
pub struct Privacy {
    key: Vec<u8>,
}

impl Privacy {
    /// Under the lake owner's secret key.
    pub fn new(key: &[u8]) -> Self {
        Self { key: key.to_vec() }
    }

    /// What a lake keeps of the key: enough to refuse another one, useless for finding people.
    pub fn fingerprint(&self) -> String {
        self.hash("pipeline key fingerprint, version 1", 8)
    }

    /// The keyed hash of a person.
    pub fn person(&self, name: &str) -> String {
        format!("u-{}", self.hash(name.trim(), 12))
    }

    fn hash(&self, text: &str, bytes: usize) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes a key of any length");
        mac.update(text.as_bytes());
        mac.finalize().into_bytes()[..bytes].iter().map(|b| format!("{b:02x}")).collect()
    }

    /// Takes people, secrets and home names out of an object, at any depth, its keys included.
    pub fn scrub_object(&self, map: &mut Map<String, Value>) {
        for (key, value) in map.iter_mut() {
            let name = key.to_ascii_lowercase();
            // OpenTelemetry writes a path as one name: `vcs.ref.head.revision.author.name`, `user.id`.
            if name.split('.').any(|part| PERSON_FIELDS.contains(&part)) {
                self.scrub_person(value);
            } else if SECRET_FIELDS.contains(&name.as_str()) && !value.is_null() {
                *value = Value::String(MASK.to_owned());
            } else {
                self.scrub_value(value);
            }
        }
        let odd: Vec<String> = map.keys().filter(|key| matches!(self.scrub(key), Cow::Owned(_))).cloned().collect();
        for key in odd {
            if let Some(value) = map.remove(&key) {
                map.insert(self.scrub_text(&key), value);
            }
        }
    }

    /// What is known about a person beside their name, such as an operating system: names become hashes, the rest stays.
    pub fn scrub_profile(&self, profile: &mut Map<String, Value>) {
        for (key, value) in profile.iter_mut() {
            if PERSON_KEYS.contains(&key.as_str()) || key.ends_with("name") || key.ends_with("mail") {
                self.scrub_person(value);
            } else {
                self.scrub_value(value);
            }
        }
    }

    /// [`Self::scrub_object`] for any value.
    pub fn scrub_value(&self, value: &mut Value) {
        match value {
            // Whatever field holds it: what has a login is a person.
            Value::Object(map) if map.contains_key("login") => self.scrub_person(value),
            Value::Object(map) => self.scrub_object(map),
            Value::Array(items) => items.iter_mut().for_each(|item| self.scrub_value(item)),
            Value::String(text) => {
                if let Cow::Owned(clean) = self.scrub(text) {
                    *text = clean;
                }
            }
            _ => {}
        }
    }

    /// A field that names a person keeps a hash and nothing else.
    fn scrub_person(&self, value: &mut Value) {
        match value {
            Value::String(name) => *value = Value::String(self.person(name)),
            Value::Number(id) => *value = Value::String(self.person(&id.to_string())),
            Value::Array(people) => people.iter_mut().for_each(|person| self.scrub_person(person)),
            Value::Object(map) => {
                let name = PERSON_KEYS.iter().find_map(|key| match map.get(*key)? {
                    Value::String(name) => Some(name.clone()),
                    Value::Number(id) => Some(id.to_string()),
                    _ => None,
                });
                *value = name.map_or(Value::Null, |name| Value::String(self.person(&name)));
            }
            _ => {}
        }
    }

    /// [`Self::scrub`], owned.
    pub fn scrub_text(&self, text: &str) -> String {
        self.scrub(text).into_owned()
    }

    /// Takes e-mail addresses, mentions, secrets and home names out of a text.
    pub fn scrub<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut text = Cow::Borrowed(text);
        if text.len() >= 8 {
            // Cheap tests first: almost no text holds any of this.
            if text.contains("://") && text.contains('@') {
                replace(&mut text, &URL_LOGIN, |c| format!("{}{MASK}@", &c[1]));
            }
            replace(&mut text, &SECRET, |_| MASK.to_owned());
            if text.contains(['=', ':']) {
                replace(&mut text, &ASSIGNED, |c| format!("{}{MASK}", &c[1]));
            }
            if text.contains('-') {
                replace(&mut text, &OPTION, |c| format!("{}{MASK}", &c[1]));
            }
            replace(&mut text, &BEARER, |c| format!("{}{MASK}", &c[1]));
            if text.contains(['/', '\\']) {
                replace(&mut text, &HOME, |c| format!("{}{MASK}", &c[1]));
            }
        }
        if text.contains("-by:") {
            replace(&mut text, &TRAILER, |c| format!("{}{}{}", &c[1], self.person(&c[2]), &c[3]));
        }
        if text.contains('@') {
            replace(&mut text, &EMAIL, |c| self.person(&c[0]));
            replace(&mut text, &MENTION, |c| match &c[3] {
                "/" => c[0].to_owned(), // `@scope/package` and `@org/team` are no people
                _ => format!("{}@{}", &c[1], self.person(&c[2])),
            });
        }
        text
    }

    /// What is kept of a rejected line: scrubbed by structure where it is JSON, by pattern where it is not.
    pub fn scrub_reject(&self, line: &str) -> String {
        let clean = match serde_json::from_str::<Value>(line) {
            Ok(mut value) => {
                self.scrub_value(&mut value);
                value.to_string()
            }
            Err(_) => {
                let text = self.scrub(cut(line, REJECT_TEXT_LIMIT));
                PERSON_TEXT.replace_all(&text, |c: &Captures| format!("{}{}", &c[1], self.person(&c[2]))).into_owned()
            }
        };
        cut(&clean, REJECT_TEXT_LIMIT).to_owned()
    }
}

fn replace(text: &mut Cow<'_, str>, pattern: &Regex, with: impl Fn(&Captures) -> String) {
    if let Cow::Owned(clean) = pattern.replace_all(text, |c: &Captures| with(c)) {
        *text = Cow::Owned(clean);
    }
}

/// The longest start of `text` of at most `limit` bytes.
fn cut(text: &str, limit: usize) -> &str {
    &text[..text.floor_char_boundary(limit)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn privacy() -> Privacy {
        Privacy::new(b"k")
    }

    #[test]
    fn a_person_is_found_inside_a_dotted_name() {
        let mut object = json!({"vcs.ref.head.revision.author.name": "Ann", "user.id": 7, "enduser.id": "ann",
            "user_agent.original": "curl/8", "service.name": "api"});
        privacy().scrub_object(object.as_object_mut().unwrap());
        for key in ["vcs.ref.head.revision.author.name", "user.id", "enduser.id"] {
            assert!(object[key].as_str().unwrap().starts_with("u-"), "{key}");
        }
        assert_eq!((&object["user_agent.original"], &object["service.name"]), (&json!("curl/8"), &json!("api")));
    }

    #[test]
    fn planted_secrets_do_not_survive() {
        let pem = "-----BEGIN RSA PRIVATE KEY-----\nMIIabc\n-----END RSA PRIVATE KEY-----";
        let github = format!("token ghp_{}", "a1".repeat(18));
        for (text, secret) in [
            ("AWS key AKIAIOSFODNN7EXAMPLE in log", "AKIAIOSFODNN7EXAMPLE"),
            ("login password=hunter2secret ok", "hunter2secret"),
            (r#"{"api_key": "abcd1234"}"#, "abcd1234"),
            ("Authorization: Bearer abc.def-123456", "abc.def-123456"),
            ("git clone https://bob:s3cret@host.example/x", "s3cret"),
            (pem, "MIIabc"),
            (&github, "a1a1a1"),
            ("error in /home/alice/src/main.rs", "alice"),
            (r"C:\Users\alice\src", "alice"),
            ("ping alice.b@example.co.uk now", "alice"),
            ("thanks @alice!", "alice"),
            ("fix\n\nCo-authored-by: Alice Doe <a@b.example>", "Alice"),
            ("Signed-off-by: Alice Doe", "Alice"),
            ("mysql --password hunter2 db", "hunter2"),
            ("curl -u bob:pw4711 https://x.example", "pw4711"),
        ] {
            let clean = privacy().scrub_text(text);
            assert!(!clean.contains(secret), "{clean}");
        }
    }

    #[test]
    fn what_only_looks_like_a_person_stays() {
        for text in ["@@ -23,7 +23,10 @@ fn main()", "npm i @babel/core", "image@sha256:abcd", "a@b", "cost: 3 cores"] {
            assert_eq!(privacy().scrub_text(text), text);
        }
    }

    #[test]
    fn one_person_has_one_hash_in_field_and_mention() {
        let mut value = json!({"user": {"login": "ann", "id": 7}, "body": "by @ann", "deep": [{"merged_by": "ann"}]});
        privacy().scrub_value(&mut value);
        let hash = privacy().person("ann");
        assert_eq!(value, json!({"user": hash, "body": format!("by @{hash}"), "deep": [{"merged_by": hash}]}));
        assert_ne!(hash, Privacy::new(b"other").person("ann"));
    }

    #[test]
    fn people_are_found_wherever_they_stand() {
        let mut value = json!({"assignees": [{"login": "ann"}, "bob"], "milestone": {"creator": {"login": "ann"}},
            "odd": {"login": "ann", "id": 3}, "ann.b@example.com": 1, "User": "ann", "nested": {"password": "bob", "token": [7, "bob"]}});
        privacy().scrub_value(&mut value);
        let text = value.to_string();
        assert!(!text.contains("ann") && !text.contains("bob"), "{text}");
    }

    #[test]
    fn a_rejected_line_keeps_its_shape_but_no_person() {
        let clean = privacy().scrub_reject(r#"{"ts": 3, "developer": "ann", "type": "edit""#);
        assert!(clean.contains("\"developer\": \"u-") && !clean.contains("ann"), "{clean}");
        assert!(privacy().scrub_reject(&"é".repeat(70_000)).len() <= REJECT_TEXT_LIMIT);
    }
}
