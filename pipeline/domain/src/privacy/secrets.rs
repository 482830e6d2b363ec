//! What a secret looks like where one could stand, and what only looks like one: code, types, placeholders, numbers.
//! Recognised here, masked by [`super::rules`].

use super::people::is_hash;
use super::structure::BETWEEN;
use regex::Match;
use std::ops::Range;

/// The value that begins at `at`: to its closing quote, or as far as a word goes. Whether it was quoted.
pub(super) fn value_at(text: &str, at: usize) -> (Range<usize>, bool) {
    let bytes = text.as_bytes();
    // In a list of arguments each is a value, blanks or not.
    if at > 0 && bytes[at - 1] == BETWEEN as u8 {
        let end = text[at..].find(BETWEEN).map_or(text.len(), |end| at + end);
        return (at..end, true);
    }
    let mut start = at;
    // Python's f"", r"", b"".
    if bytes.get(start).is_some_and(|b| matches!(b, b'f' | b'F' | b'r' | b'b' | b'u'))
        && bytes.get(start + 1).is_some_and(|b| matches!(b, b'"' | b'\''))
    {
        start += 1;
    }
    let slashes = bytes[start..].iter().take_while(|b| **b == b'\\').count();
    match bytes.get(start + slashes) {
        Some(quote @ (b'"' | b'\'' | b'`')) => {
            start += slashes + 1;
            let mut end = start;
            while let Some(byte) = bytes.get(end) {
                match byte {
                    b'\n' | b'\r' => break,
                    // In JSON inside a text the closing quote is escaped as deep as the opening one.
                    b'\\' if slashes > 0 => {
                        let run = bytes[end..].iter().take_while(|b| **b == b'\\').count();
                        if run <= slashes && bytes.get(end + run) == Some(quote) {
                            break;
                        }
                        end += run;
                        if bytes.get(end) == Some(quote) {
                            end += 1;
                        }
                    }
                    b'\\' => end += 2,
                    byte if byte == quote => break,
                    _ => end += 1,
                }
            }
            let mut end = end.min(bytes.len());
            while !text.is_char_boundary(end) {
                end += 1;
            }
            (start..end, true)
        }
        _ => {
            let rest = &text[start..];
            let mut chars = rest.char_indices().peekable();
            let mut end = rest.len();
            while let Some((at, char)) = chars.next() {
                let escape =
                    char == '\\' && matches!(chars.peek(), Some((_, '"' | '\'' | 'n' | 'r' | 't' | '\\')) | None);
                if escape || char.is_whitespace() || matches!(char, '"' | '\'' | '`' | '&' | ',' | ';' | '<' | '>') {
                    end = at;
                    break;
                }
            }
            let value = rest[..end].trim_end_matches([')', ']', '}']);
            let value = if value.is_empty() || value.contains(['(', '[', '{']) { &rest[..end] } else { value };
            (start..start + value.len(), false)
        }
    }
}

/// Words that stand where a secret would in code and documents.
const TYPES: &[&str] = &[
    "str",
    "string",
    "bytes",
    "int",
    "integer",
    "number",
    "bool",
    "boolean",
    "float",
    "any",
    "object",
    "none",
    "null",
    "nil",
    "undefined",
    "true",
    "false",
    "required",
    "optional",
    "option",
    "vec",
    "void",
    "unknown",
    "inherit",
    "self",
    "var",
    "let",
    "const",
    "new",
    "await",
    "func",
    "type",
    "varchar",
    "text",
];

/// Where code reads values from.
const ROOTS: &[&str] = &[
    "self", "this", "process", "os", "config", "cfg", "settings", "args", "opts", "options", "env", "req", "request",
    "ctx", "context", "props", "state", "data", "params", "event", "secrets", "vars", "inputs", "github", "var",
    "local", "module", "app", "client", "session", "user", "response", "res", "steps", "std",
];

/// Names that end so hold no secret, whatever they begin with: `token_url`, `secretName`.
const HARMLESS_ENDS: &[&str] = &[
    "name", "path", "file", "url", "uri", "type", "length", "len", "count", "expiry", "expires", "ttl", "field",
    "policy", "ref", "limit", "usage", "size", "manager", "provider", "index",
];

fn ident(text: &str) -> usize {
    let bytes = text.as_bytes();
    if !bytes.first().is_some_and(|b| b.is_ascii_alphabetic() || *b == b'_') {
        return 0;
    }
    bytes.iter().take_while(|b| b.is_ascii_alphanumeric() || **b == b'_').count()
}

/// Whether an assigned value is code, a type, a placeholder or a number, and no secret.
pub(super) fn harmless(name: &str, value: &str, quoted: bool) -> bool {
    let name = name.trim_end_matches(|c: char| !c.is_ascii_alphanumeric()).to_ascii_lowercase();
    if value.is_empty() || value.starts_with("[masked") || HARMLESS_ENDS.iter().any(|end| name.ends_with(end)) {
        return true;
    }
    let masked =
        value.bytes().all(|b| matches!(b, b'*' | b'.' | b'-' | b'_' | b'/')) || value.bytes().all(|b| b == b'x');
    let placeholder = value.starts_with("${")
        || value.starts_with("$(")
        || value.starts_with("{{")
        || value.starts_with('<')
        || (value.starts_with('$') && value.bytes().skip(1).all(|b| b.is_ascii_uppercase() || b == b'_'));
    if masked || placeholder {
        return true;
    }
    let end = |text: &str| name.ends_with(text);
    // `tokens: 1200`, `token_count=300`; but the number of an exact name is a PIN.
    // `auth: ok`, `creds=none`: only what looks like one.
    if (name.starts_with("auth") && name != "authorization" || end("_auth") || end("creds"))
        && !end("key")
        && !end("token")
        && !end("secret")
    {
        // What is longer than any is masked, so that it is not read again and again.
        return value.len() <= LONGEST && !is_random(value);
    }
    let exact = ["password", "passwd", "passphrase", "pwd", "secret", "token", "key", "pass", "sig", "signature"];
    if value.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'_')) {
        return !exact.iter().any(|word| end(word)) || ["max_token", "maxtoken"].iter().any(|word| end(word));
    }
    if end("sig") || end("signature") {
        return value.len() < 16 || value.contains(['(', ' ']);
    }
    if quoted {
        return false;
    }
    if value.len() < 3 || value.starts_with(['(', '[', '{', '|', '%', '@', '!', '*', '/']) {
        return true;
    }
    let lower = value.trim_end_matches(['?', '!', '.', ')', ':']).to_ascii_lowercase();
    if TYPES.contains(&lower.as_str()) || name.ends_with(&lower) {
        return true;
    }
    // `get_password()`, `env["X"]`, `os.environ.get(`, `Option<`
    let first = ident(value);
    let mut at = first;
    let mut parts = 1;
    while at > 0 {
        let rest = &value[at..];
        let Some(next) = ["::", "->", "?.", "."].iter().find(|sep| rest.starts_with(**sep)) else { break };
        let length = ident(&rest[next.len()..]);
        if length == 0 {
            break;
        }
        at += next.len() + length;
        parts += 1;
    }
    match value[at..].bytes().next() {
        _ if first == 0 => false,
        Some(b'(' | b'[' | b'{') => true,
        Some(b'!' | b'?') | None => parts > 1 && ROOTS.contains(&&*value[..first].to_ascii_lowercase()),
        _ => false,
    }
}

/// The longest text that may look like a secret, in bytes.
const LONGEST: usize = 4096;

/// The value that begins at `at`, if it looks like a secret.
pub(super) fn random_at(text: &str, at: usize) -> Option<Range<usize>> {
    let (value, _) = value_at(&text[..text.floor_char_boundary(at + LONGEST + 8)], at);
    is_random(&text[value.clone()]).then_some(value)
}

/// Whether a text looks like a password or a key: letters and digits mixed, no word, number, hash of content, identifier,
/// version, path or address.
pub(super) fn is_random(text: &str) -> bool {
    let bytes = text.as_bytes();
    if !(8..=LONGEST).contains(&bytes.len()) || text.starts_with("[masked") || is_hash(text) {
        return false;
    }
    let has = |is: fn(&u8) -> bool| bytes.iter().any(is);
    let (small, capital, digit) = (has(u8::is_ascii_lowercase), has(u8::is_ascii_uppercase), has(u8::is_ascii_digit));
    let sign =
        |byte: &u8| matches!(byte, b'!' | b'#' | b'$' | b'%' | b'^' | b'&' | b'*' | b'+' | b'?' | b'~' | b'=' | b'@');
    let (signs, odd) = (bytes.iter().any(sign), bytes.iter().any(|byte| !byte.is_ascii_graphic()));
    let outside = |byte: &u8| {
        matches!(byte, b'/' | b'\\' | b'(' | b')' | b'[' | b']' | b'{' | b'}' | b'<' | b'>' | b',' | b';' | b'|')
    };
    let parts = bytes.iter().filter(|byte| matches!(**byte, b'.' | b':' | b'-' | b'_')).count();
    // A path, an address, a version, a date, a name of several words: parts, each of which is short.
    let joined = bytes.iter().any(outside) && !is_base64(text) || text.contains("://") || parts * 5 > bytes.len();
    let is_content = bytes.iter().all(|byte| byte.is_ascii_hexdigit() || *byte == b'-')
        && (bytes.len() >= 32 || !(signs || small && capital));
    if odd || joined || is_content || !digit || !(small || capital) {
        return false;
    }
    let changes = bytes.windows(2).filter(|pair| pair[0].is_ascii_digit() != pair[1].is_ascii_digit()).count();
    small && capital && parts * 8 <= bytes.len()
        || signs && parts == 0
        || bytes.len() >= 16 && changes >= 4 && parts == 0
}

/// Whether small letters, capitals and digits of a word change as chance has it: every second letter is of another kind
/// than the one before. In names of code (`testThatLogin2Works`) every fourth is.
pub(super) fn is_jumbled(word: &str) -> bool {
    let kind = |byte: u8| match byte {
        b'a'..=b'z' => 0,
        b'A'..=b'Z' => 1,
        b'0'..=b'9' => 2,
        _ => 3,
    };
    let bytes = word.as_bytes();
    let mut counts = [0; 4];
    bytes.iter().for_each(|byte| counts[kind(*byte)] += 1);
    let changes = bytes.windows(2).filter(|pair| kind(pair[0]) != kind(pair[1])).count();
    (8..=128).contains(&bytes.len())
        && counts[0] > 0
        && counts[1] > 0
        && counts[2] > 1
        && counts[3] * 6 <= bytes.len()
        && changes * 2 >= bytes.len() - 1
        && !is_hash(word)
}

/// Whether a text is long enough and of the letters of Base64, and could hold anything.
fn is_base64(text: &str) -> bool {
    let body = text.trim_end_matches('=');
    let mixed = super::tokens::is_mixed(body.as_bytes());
    body.len() >= 24
        && mixed
        && body.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/'))
        && !text.starts_with('/')
}

/// The rest of a header, or its quoted value.
pub(super) fn header_value(text: &str, found: Match) -> Option<Range<usize>> {
    let (value, quoted) = value_at(text, found.end());
    let value = if quoted {
        value
    } else {
        let rest = &text[found.end()..];
        let end = rest.find(['\n', '\r', '"', '\'', '`', '<', ',']).unwrap_or(rest.len());
        let end = rest[..end].find("\\n").unwrap_or(end);
        found.end()..found.end() + rest[..end].trim_end().len()
    };
    let inner = &text[value.clone()];
    let is_cookie = text.as_bytes()[found.start()..found.end()].to_ascii_lowercase().windows(6).any(|w| w == b"cookie");
    let code = !quoted && harmless("authorization", inner, false);
    (!inner.is_empty() && !inner.starts_with("[masked") && !code && (!is_cookie || inner.contains('=')))
        .then_some(value)
}

/// The value of an option; none when it is left to the shell or another option follows.
pub(super) fn option_value(text: &str, at: usize) -> Option<Range<usize>> {
    let (value, _) = value_at(text, at);
    let inner = &text[value.clone()];
    let variable =
        inner.len() > 1 && inner.starts_with('$') && inner.bytes().skip(1).all(|b| b.is_ascii_uppercase() || b == b'_');
    let placeholder = variable || inner.starts_with("${") || inner.starts_with("$(") || inner.starts_with('<');
    (!inner.is_empty() && !inner.starts_with('-') && !inner.starts_with("[masked") && !placeholder).then_some(value)
}

/// The password of `-u name:password`; `1000:1000` is a user and a group.
pub(super) fn login_value(text: &str, found: Match) -> Option<Range<usize>> {
    let rest = &text[found.end()..];
    let end = rest.find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '\\')).unwrap_or(rest.len());
    let value = &rest[..end];
    let number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let name = found.as_str().trim_end_matches(':');
    let name = name.rsplit([' ', '=', '"', '\'']).next().unwrap_or_default();
    let group = number(name) && number(value) || name == value || value.starts_with("[masked");
    (!value.is_empty() && !group).then(|| found.end()..found.end() + end)
}
