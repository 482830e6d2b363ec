//! Lines that are no JSON, but were meant to be: people and secrets by the name of their field.

use super::people::is_hash;
use super::secrets::value_at;
use super::{MASK, Names, Privacy, is_person_field, is_secret_field};
use crate::json::ends::{End, Ends};
use regex::Regex;
use serde_json::Value;
use std::borrow::Cow;
use std::sync::LazyLock;

/// A name in quotes of any kind, or none, and what stands between it and its value.
static NAME: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"([A-Za-z][A-Za-z0-9_.-]{0,40})\\*["'`]?\s*[:=]\s*"#).expect("the pattern is a constant")
});

impl Privacy {
    /// [`Privacy::scrub`], and by field name what only a field tells. Where the line is nearly JSON, the names of its people
    /// everywhere in it, and by structure what is left then.
    pub(super) fn scrub_broken(&self, line: &str) -> String {
        let Some((before, rest)) = mended(line) else { return self.scrub_lines(line, Names::default()) };
        let mut names = Names::default();
        names.add_value(&before);
        let clean = self.scrub_lines(line, names);
        let mut after = before.clone();
        self.scrub_whole(&mut after);
        // What is in no value stands behind it.
        let rest = || self.scrub_lines(rest, Names::default());
        if is_left(&before, &after, &clean) { format!("{after}{}", rest()) } else { clean }
    }

    fn scrub_lines(&self, line: &str, mut names: Names) -> String {
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
                    if person {
                        names.add(text);
                    }
                    clean.push_str(&line[kept..value.start]);
                    clean.push_str(&if person { self.mention(text) } else { MASK.to_owned() });
                    (kept, at) = (value.end, value.end);
                }
            }
        }
        clean.push_str(&line[kept..]);
        self.without_names(&names, &self.scrub_text(&clean)).into_owned()
    }
}

/// Whether a text that was masked in one value of two is still in a line.
fn is_left(before: &Value, after: &Value, line: &str) -> bool {
    match (before, after) {
        (Value::Array(before), Value::Array(after)) => {
            before.iter().zip(after).any(|(before, after)| is_left(before, after, line))
        }
        (Value::Object(before), Value::Object(after)) => before.iter().any(|(key, before)| match after.get(key) {
            Some(after) => is_left(before, after, line),
            None => line.contains(key),
        }),
        (before, after) if before == after => false,
        (Value::String(before), _) => line.contains(before),
        (Value::Number(before), _) => line.contains(&before.to_string()),
        // An object that became a person.
        (Value::Object(members), _) => members.values().any(|member| is_left(member, &Value::Null, line)),
        (Value::Array(items), _) => items.iter().any(|item| is_left(item, &Value::Null, line)),
        _ => false,
    }
}

/// What is not JSON, but programs write into it, as JSON has it.
const LOOSE: &[(&str, &str)] = &[
    ("-Infinity", "\"-Infinity\""),
    ("Infinity", "\"Infinity\""),
    ("NaN", "\"NaN\""),
    ("nan", "\"nan\""),
    ("inf", "\"inf\""),
    ("undefined", "null"),
    ("None", "null"),
    ("True", "true"),
    ("False", "false"),
];

/// A line that is JSON but for numbers that are none, or for an end that is missing; and what is not in the value.
fn mended(line: &str) -> Option<(Value, &str)> {
    let start = line.find(['{', '['])?;
    let (mut text, mut quoted, mut at) = (String::with_capacity(line.len()), false, start);
    while let Some(next) = line[at..].chars().next() {
        let loose = LOOSE.iter().find(|(name, _)| {
            let alone = |c: Option<char>| !c.is_some_and(|c| c.is_alphanumeric() || c == '_');
            line[at..].starts_with(name)
                && alone(line[..at].chars().next_back())
                && alone(line[at + name.len()..].chars().next())
        });
        match (next, loose.filter(|_| !quoted)) {
            (_, Some((name, json))) => {
                text.push_str(json);
                at += name.len();
                continue;
            }
            ('\\', _) if quoted => {
                let escaped = line[at + 1..].chars().next().map_or(0, char::len_utf8);
                text.push_str(&line[at..at + 1 + escaped]);
                at += 1 + escaped;
                continue;
            }
            ('"', _) => quoted = !quoted,
            _ => {}
        }
        text.push(next);
        at += next.len_utf8();
    }
    // The logger's words before it, if any, are left.
    if let Ok(value) = serde_json::from_str(&text) {
        return Some((value, &line[..start]));
    }
    let mut ends = Ends::default();
    if !matches!(ends.feed(text.as_bytes()), End::Open) {
        return None;
    }
    let closed = String::from_utf8(ends.closed(text.as_bytes())).ok()?;
    let same = closed.bytes().zip(text.bytes()).take_while(|(one, other)| one == other).count();
    let rest = text.len() - text.floor_char_boundary(same);
    let value = serde_json::from_str(&closed).ok()?;
    // As many bytes from the end: what was exchanged stands before.
    Some((value, &line[line.ceil_char_boundary(line.len().saturating_sub(rest))..]))
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
