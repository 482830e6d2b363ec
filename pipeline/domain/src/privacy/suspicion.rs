//! What looks like a person or a secret by rules that have nothing in common with those that mask: for the audit.
//!
//! Rules that know only what they mask find nothing behind themselves. These look at shapes alone: a word that only a
//! machine could have made, a value beside any word for a secret, an `@` between two words however it is written, a name in
//! a field that says so anywhere in its own name. They may be wrong, so nothing is changed by them: a person looks.

use super::people::{is_hash, is_name};
use super::{ERASED, MASK, Privacy, is_telling};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde_json::Value;
use std::collections::{HashMap, HashSet};

/// The shortest word that may be suspicious for its letters alone, in bytes.
const RANDOM: usize = 24;

/// Bits that a letter of it says at least, by how often each comes: words of a language have two or three.
const BITS: f64 = 3.9;

/// Words that announce a secret, anywhere in a name or a sentence.
const SECRET_WORDS: &[&str] =
    &["passw", "passphrase", "secret", "token", "credential", "apikey", "api_key", "private_key"];

/// Words that announce a person, as a part of a field's name.
const PERSON_WORDS: &[&str] = &[
    "actor",
    "assignee",
    "author",
    "committer",
    "creator",
    "developer",
    "email",
    "login",
    "maintainer",
    "owner",
    "reviewer",
    "user",
    "username",
];

/// Parts of a field's name after which it is about a person, and does not name one.
const ABOUT: &[&str] = &[
    "agent",
    "association",
    "class",
    "count",
    "counts",
    "group",
    "image",
    "kind",
    "method",
    "mode",
    "namespace",
    "note",
    "page",
    "role",
    "scope",
    "space",
    "state",
    "status",
    "tier",
    "time",
    "type",
    "url",
    "zone",
];

/// Words before which what looks random is a hash of content, that names and hides nothing.
const HASHES: &[&str] =
    &["sha1", "sha224", "sha256", "sha384", "sha512", "md5", "h1:", "blake", "integrity", "etag", "digest"];

/// Whether a stored text, plain or JSON, holds what somebody should look at.
pub fn is_suspicious(text: &str) -> bool {
    if text.starts_with(['{', '['])
        && let Ok(value) = serde_json::from_str(text)
    {
        return in_value("", &value);
    }
    in_text(text)
}

fn in_value(key: &str, value: &Value) -> bool {
    match value {
        Value::String(text) => in_field(key, text) || in_text(text),
        Value::Array(items) => items.iter().any(|item| in_value(key, item)),
        Value::Object(map) => map.iter().any(|(key, value)| in_value(key, value)),
        _ => false,
    }
}

/// By the name of a field.
fn in_field(key: &str, text: &str) -> bool {
    if key.is_empty() || text.is_empty() || text == MASK || text == ERASED || is_hash(text) {
        return false;
    }
    let key = key.to_ascii_lowercase();
    let secret = SECRET_WORDS.iter().any(|word| key.contains(word));
    if secret && is_odd(text) {
        return true;
    }
    let mut parts = key.split(|c: char| !c.is_ascii_alphanumeric());
    let person = parts.clone().any(|part| PERSON_WORDS.contains(&part));
    person && !parts.any(|part| ABOUT.contains(&part)) && is_name(text) && !text.contains("u-") && !is_lone_word(text)
}

/// A value such as `Organization` or `GROUP`.
fn is_lone_word(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_uppercase()) || matches!(text, "Organization" | "User" | "Bot" | "Mannequin")
}

fn in_text(text: &str) -> bool {
    let mut announced = 0;
    let mut hashed = false;
    for word in text
        .split(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`' | ',' | ';' | '|' | '<' | '>' | '(' | ')'))
    {
        if word.is_empty() {
            continue;
        }
        let lower = word.to_ascii_lowercase();
        if lower.contains(MASK) || lower.contains(ERASED) {
            announced = 0;
            continue;
        }
        let value = word.rsplit(['=', ':']).next().unwrap_or(word);
        let value = if value.is_empty() { word } else { value };
        let parameter = word.trim_end_matches('=').rsplit(['=', ':', '&', '?']).next().unwrap_or(word);
        hashed |= HASHES.iter().any(|hash| lower.contains(hash));
        let made = || !hashed && (is_made(parameter) || is_password(parameter) || is_hidden_address(parameter));
        if announced > 0 && is_odd(value) || is_address(&lower) || is_home(word) || made() {
            return true;
        }
        hashed = HASHES.iter().any(|hash| lower.ends_with(hash) || lower.ends_with(&format!("{hash}:")));
        announced = match SECRET_WORDS.iter().any(|name| lower.contains(name)) {
            // `password=x7…` in one word.
            true if word.contains(['=', ':']) && is_odd(value) => return true,
            true => 4,
            false => announced - i32::from(announced > 0),
        };
    }
    false
}

/// Letters and digits mixed, and neither a number, an identifier, a hash, a version nor a path.
fn is_odd(word: &str) -> bool {
    let word = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    let bytes = word.as_bytes();
    let count = |is: fn(&u8) -> bool| bytes.iter().filter(|byte| is(byte)).count();
    let (digits, small, capitals) =
        (count(u8::is_ascii_digit), count(u8::is_ascii_lowercase), count(u8::is_ascii_uppercase));
    let parts = word.split(['.', '-', '_', '/', ':']).count();
    let hex = bytes.iter().all(|byte| byte.is_ascii_hexdigit() || *byte == b'-');
    bytes.len() >= 8 && digits >= 2 && small >= 2 && capitals >= 1 && parts <= 2 && !hex
}

/// Whether only a machine could have made a word: long, of all kinds of letters, none of them often.
fn is_made(word: &str) -> bool {
    let body = word.split(['/', '.', '@', '_', '-']).find(|part| part.len() >= RANDOM).unwrap_or_default();
    let bytes = body.as_bytes();
    let letters = bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'+' | b'/'));
    if bytes.len() < RANDOM || !letters || bytes.iter().all(|byte| byte.is_ascii_hexdigit() || *byte == b'-') {
        return false;
    }
    let mut counts = [0u32; 128];
    bytes.iter().for_each(|byte| counts[usize::from(*byte) % 128] += 1);
    let length = bytes.len() as f64;
    let bits: f64 =
        counts.iter().filter(|count| **count > 0).map(|count| f64::from(*count) / length).map(|p| -p * p.log2()).sum();
    // Letters of one kind in a row: a word. In what is random every second or third is of another kind.
    let kind = |byte: u8| (byte.is_ascii_digit(), byte.is_ascii_uppercase(), byte.is_ascii_lowercase());
    let changes = bytes.windows(2).filter(|pair| kind(pair[0]) != kind(pair[1])).count();
    let digits = bytes.iter().filter(|byte| byte.is_ascii_digit()).count();
    bits >= BITS && changes * 5 >= bytes.len() * 2 && digits >= 3 && !named(body)
}

/// Words that were looked up.
const LOOKED_UP: usize = 1 << 20;

/// Finds people by their names, in whatever text: the owner's key tells of every word whether its hash is a known person's.
pub struct Known<'k> {
    privacy: &'k Privacy,
    people: &'k HashSet<String>,
    /// Names that are kept by design, such as the owners of repositories.
    open: &'k HashSet<String>,
    words: HashMap<Box<str>, bool>,
}

impl<'k> Known<'k> {
    /// `people` by their hashes; a word of `open` is nobody.
    pub fn new(privacy: &'k Privacy, people: &'k HashSet<String>, open: &'k HashSet<String>) -> Self {
        Self { privacy, people, open, words: HashMap::new() }
    }

    /// Whether a text names somebody whom the lake knows by hash: a login, or a first and a last name.
    pub fn is_named(&mut self, text: &str) -> bool {
        let mut before: Option<&str> = None;
        let in_name = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '\'');
        for word in text.split(|c| !in_name(c)) {
            // In JSON the letter of `\n` stands before the word.
            let start = word.as_ptr().addr() - text.as_ptr().addr();
            let word = if text[..start].ends_with('\\') { word.get(1..).unwrap_or_default() } else { word };
            let word = word.trim_matches(['.', '-', '\'']);
            let parts = word.split(['-', '_', '.']).filter(|part| part.len() < word.len());
            let full = before.filter(|_| word.starts_with(char::is_uppercase)).map(|before| {
                let from = before.as_ptr().addr() - text.as_ptr().addr();
                &text[from..word.as_ptr().addr() - text.as_ptr().addr() + word.len()]
            });
            if std::iter::once(word).chain(parts).chain(full).any(|name| self.is_person(name)) {
                return true;
            }
            before = Some(word).filter(|word| word.starts_with(char::is_uppercase));
        }
        false
    }

    fn is_person(&mut self, name: &str) -> bool {
        if !is_telling(name) || self.open.contains(name) {
            return false;
        }
        if let Some(known) = self.words.get(name) {
            return *known;
        }
        if self.words.len() >= LOOKED_UP {
            self.words.clear();
        }
        let known = self.people.contains(&self.privacy.person(name));
        self.words.insert(name.into(), known);
        known
    }
}

/// Small letters, capitals and digits that change more often than in any name of code, in one word.
fn is_password(word: &str) -> bool {
    let kind = |byte: u8| (byte.is_ascii_digit(), byte.is_ascii_uppercase());
    word.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| {
        let bytes = word.as_bytes();
        let count = |is: fn(&u8) -> bool| bytes.iter().filter(|byte| is(byte)).count();
        let changes = bytes.windows(2).filter(|pair| kind(pair[0]) != kind(pair[1])).count();
        (12..RANDOM).contains(&bytes.len())
            && count(u8::is_ascii_digit) >= 3
            && count(u8::is_ascii_uppercase) >= 2
            && count(u8::is_ascii_lowercase) >= 2
            && changes * 2 >= bytes.len()
            && !named(word)
    })
}

/// Base64 of an address.
fn is_hidden_address(word: &str) -> bool {
    let word = word.trim_end_matches('=');
    let letters = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    (12..=256).contains(&word.len())
        && word.bytes().all(letters)
        && STANDARD_NO_PAD
            .decode(word)
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .is_some_and(|text| is_address(&text.to_ascii_lowercase()))
}

/// GitHub's and GitLab's names of things are Base64 and no secret.
fn named(word: &str) -> bool {
    word.contains("kwDO") || word.contains("_kwL") || word.starts_with("MD")
}

/// `ann@acme.example`, however the sign is written.
fn is_address(word: &str) -> bool {
    let plain = ["%40", "%2540", "&#64;", "&#x40;", "[at]", "(at)", "{at}", "\\u0040", "＠"]
        .iter()
        .fold(word.to_owned(), |word, sign| word.replace(sign, "@"));
    let Some((local, domain)) = plain.split_once('@') else { return false };
    let local =
        local.rsplit(|c: char| !(c.is_alphanumeric() || matches!(c, '.' | '_' | '+' | '-'))).next().unwrap_or_default();
    let domain: &str =
        domain.split(|c: char| !(c.is_alphanumeric() || matches!(c, '.' | '-'))).next().unwrap_or_default();
    let mut labels = domain.rsplit('.');
    let last = labels.next().unwrap_or_default();
    let is_domain = labels.next().is_some_and(|label| label.len() > 1 && label.starts_with(char::is_alphabetic));
    let unit = ["service", "socket", "timer", "target", "mount", "slice", "scope", "png", "jpg", "svg", "json", "git"];
    is_domain
        && local.len() > 1
        && local != "git"
        && !is_hash(local)
        && (2..12).contains(&last.len())
        && last.chars().all(char::is_alphabetic)
        && !unit.contains(&last)
}

/// A folder of a person.
fn is_home(word: &str) -> bool {
    let word = word.replace("%2f", "/").replace("%2F", "/").replace('\\', "/");
    ["/home/", "/Users/", "/homes/"].iter().any(|folder| {
        word.find(folder).is_some_and(|at| {
            let name = word[at + folder.len()..].split('/').find(|part| !part.is_empty()).unwrap_or_default();
            let open =
                at == 0 || word[..at].ends_with([':', '=', '/']) || word.starts_with('-') || word.starts_with("file:");
            let nobody = matches!(name, "runner" | "root" | "circleci" | "vsts" | "Shared" | "Public");
            open && !nobody && is_name(name.trim_end_matches([':', '.'])) && !word.contains("http")
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_nobody_masked_is_seen() {
        for text in [
            "using Zk3vQ9xL2mT7wB4nR8sY1cF6 now",
            "the token for Ab3dE6gH9k",
            "started with Qz7Rt93xLmPw42 and more",
            "YW5uYWJlbC5sZWVzb25AYWNtZS50ZXN0",
            "mail ann%40acme.example",
            "ld -L/home/annabel/lib",
            r#"{"the_owner_of_it":"annabel"}"#,
            r#"{"tokenForIt":"Ab3dE6gH9k"}"#,
        ] {
            assert!(is_suspicious(text), "{text}");
        }
    }

    #[test]
    fn somebody_whom_the_lake_knows_is_found_by_name() {
        let privacy = Privacy::new(b"the key of the tests");
        let people = ["brunhilde", "Ann Doe", "octo-cat"].map(|name| privacy.person(name)).into();
        let open = HashSet::from(["octo-cat".to_owned()]);
        let mut known = Known::new(&privacy, &people, &open);
        for text in
            ["dev-brunhilde", "brunhilde/fix", r#"{"x":"a\nbrunhilde b"}"#, "so says Ann Doe.", "by (brunhilde)"]
        {
            assert!(known.is_named(text), "{text}");
        }
        for text in ["brunhildes", "octo-cat/api", "Ann", "runner", "", &privacy.person("brunhilde")] {
            assert!(!known.is_named(text), "{text}");
        }
    }

    #[test]
    fn what_is_everywhere_is_not() {
        for text in [
            "sha512-Zk3vQ9xL2mT7wB4nR8sY1cF6Zk3vQ9xL2mT7wB4nR8sY1cF6==",
            "3f786850e387550fdab836ed7e6dc881de23001b",
            "a81bc81b-dead-4e5d-abff-90865d1e13b1",
            "token_count: 300 and password [masked]",
            "getUserByIdAndPasswordFromTheDatabase2Test",
            "test_that_it_works_with_python3_and_a_long_name_2024",
            "git@github.com:acme/api.git and icon@2x.png",
            "web-7d9f8b6c5-x2x9z",
            "docker pull ghcr.io/acme/api@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            r#"{"author_association":"MEMBER","user_agent":"curl","developer":"u-0123456789abcdef01234567"}"#,
        ] {
            assert!(!is_suspicious(text), "{text}");
        }
        assert!(!is_suspicious(&json!({"password": MASK, "note": "x"}).to_string()));
    }
}
