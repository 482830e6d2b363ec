//! Lines that are no JSON, but were meant to be: people and secrets by the name of their field.

use super::people::is_hash;
use super::secrets::value_at;
use super::{MASK, Privacy, is_person_field, is_secret_field};
use regex::Regex;
use std::borrow::Cow;
use std::sync::LazyLock;

/// A name in quotes of any kind, or none, and what stands between it and its value.
static NAME: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"([A-Za-z][A-Za-z0-9_.-]{0,40})\\*["'`]?\s*[:=]\s*"#).expect("the pattern is a constant")
});

impl Privacy {
    /// [`Privacy::scrub`], and by field name what only a field tells.
    pub(super) fn scrub_broken(&self, line: &str) -> String {
        let line = unescaped(line);
        // First the rules, which know where a header ends: of `Authorization: Bearer x` a field's value is one word.
        let line = self.scrub(&line);
        let mut clean = String::with_capacity(line.len());
        let (mut kept, mut at) = (0, 0);
        while let Some(found) = NAME.captures_at(&line, at) {
            let (Some(all), Some(name)) = (found.get(0), found.get(1)) else { break };
            at = all.end();
            let name = name.as_str();
            let person = is_person_field(name) || name.eq_ignore_ascii_case("name");
            if !person && !is_secret_field(name) {
                continue;
            }
            for value in values(&line, all.end()) {
                let text = &line[value.clone()];
                let bare = matches!(text, "" | "null" | "true" | "false") || text.starts_with(['{', '[']);
                let hashed = person && is_hash(text);
                if !bare && !hashed {
                    clean.push_str(&line[kept..value.start]);
                    clean.push_str(&if person { self.mention(text) } else { MASK.to_owned() });
                    (kept, at) = (value.end, value.end);
                }
            }
        }
        clean.push_str(&line[kept..]);
        self.scrub_text(&clean)
    }
}

/// The value of a field, or those of a list of texts.
fn values(line: &str, at: usize) -> Vec<std::ops::Range<usize>> {
    let bytes = line.as_bytes();
    if bytes.get(at) != Some(&b'[') {
        let (mut value, quoted) = value_at(line, at);
        if !quoted {
            let text = &line[value.clone()];
            let end = text.find(['}', ']', ')']).unwrap_or(text.len());
            value.end = value.start + end;
        }
        return vec![value];
    }
    let mut values = Vec::new();
    let mut at = at + 1;
    loop {
        at += bytes[at..].iter().take_while(|b| b.is_ascii_whitespace() || matches!(b, b',' | b'\\')).count();
        let (value, quoted) = value_at(line, at);
        if !quoted || value.is_empty() {
            return values;
        }
        at = (value.end..bytes.len()).find(|i| matches!(bytes[*i], b'"' | b'\'' | b'`')).map_or(bytes.len(), |i| i + 1);
        values.push(value);
    }
}

/// `\u0061` as `a`, so that nothing hides behind it; control characters and quotes stay escaped.
fn unescaped(line: &str) -> Cow<'_, str> {
    if !line.contains("\\u") {
        return Cow::Borrowed(line);
    }
    let unit = |text: &str| u16::from_str_radix(text.strip_prefix("\\u")?.get(..4)?, 16).ok();
    let mut clean = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find("\\u") {
        clean.push_str(&rest[..at]);
        rest = &rest[at..];
        let units = [unit(rest), rest.get(6..).and_then(unit)];
        let (char, length) = match units {
            [Some(high @ 0xd800..0xdc00), Some(low)] => (char::decode_utf16([high, low]).next(), 12),
            [Some(one), _] => (char::decode_utf16([one]).next(), 6),
            _ => (None, 2),
        };
        match char {
            Some(Ok(char)) if !char.is_control() && !matches!(char, '"' | '\\' | '\'') => clean.push(char),
            _ => clean.push_str(&rest[..length]),
        }
        rest = &rest[length..];
    }
    clean.push_str(rest);
    Cow::Owned(clean)
}
