//! JSON text as a flat tape of nodes: checked once, in one pass, without copying a byte.
//!
//! The grammar is RFC 8259, as strict as `serde_json` (no trailing commas, no control characters in strings, no lone
//! surrogates, at most 127 levels), with one difference: a number of any size or precision is taken, and keeps its
//! digits where no 64-bit number says the same.

use serde_json::{Map, Value};
use std::borrow::Cow;

/// Deeper nesting is refused: a reader that follows it must not run out of stack.
pub const DEPTH_LIMIT: usize = 127;

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `null`
    Null,
    /// `true`
    True,
    /// `false`
    False,
    /// A number, as it is written.
    Number,
    /// A string without escapes: its text is its value.
    Plain,
    /// A string with escapes.
    Escaped,
    /// An array; its items follow.
    Array,
    /// An object; its keys and values follow by turns.
    Object,
}

/// One value of a tape.
#[derive(Clone, Copy, Debug)]
pub struct Node {
    /// What it is.
    pub kind: Kind,
    /// Where its text begins, in bytes; of strings, after the quote.
    pub start: u32,
    /// Where its text ends.
    pub end: u32,
    /// The node after it and everything in it.
    pub next: u32,
}

/// The text is not JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotJson;

/// The nodes of one JSON text. Reused from line to line.
#[derive(Debug, Default)]
pub struct Tape {
    nodes: Vec<Node>,
    open: Vec<u32>,
}

/// A tape beside the text it was made from.
#[derive(Clone, Copy, Debug)]
pub struct Json<'t> {
    nodes: &'t [Node],
    text: &'t str,
}

impl Tape {
    /// Checks a text and lays out its nodes. Node 0 is the whole.
    pub fn scan<'t>(&'t mut self, text: &'t str) -> Result<Json<'t>, NotJson> {
        self.nodes.clear();
        self.open.clear();
        if u32::try_from(text.len()).is_err() {
            return Err(NotJson);
        }
        let bytes = text.as_bytes();
        let mut at = 0;
        loop {
            // A value is due.
            at = skip_space(bytes, at);
            let entered = self.value(bytes, &mut at)?;
            if entered {
                continue;
            }
            // After a value: a comma, or the end of what it is in.
            loop {
                at = skip_space(bytes, at);
                let Some(&container) = self.open.last() else {
                    return if at == bytes.len() { Ok(Json { nodes: &self.nodes, text }) } else { Err(NotJson) };
                };
                let is_object = self.nodes[container as usize].kind == Kind::Object;
                match bytes.get(at) {
                    Some(b',') => {
                        at = skip_space(bytes, at + 1);
                        if is_object {
                            self.key(bytes, &mut at)?;
                        }
                        break;
                    }
                    Some(b'}') if is_object => at += 1,
                    Some(b']') if !is_object => at += 1,
                    _ => return Err(NotJson),
                }
                self.close(at);
            }
        }
    }

    /// Gives back what a huge text took.
    pub fn shrink(&mut self) {
        if self.nodes.capacity() > 1 << 16 {
            self.nodes = Vec::new();
        }
    }

    /// One scalar, or the opening of a container that is not empty (then true: its first value is due).
    fn value(&mut self, bytes: &[u8], at: &mut usize) -> Result<bool, NotJson> {
        let start = *at;
        let (kind, end) = match bytes.get(start) {
            Some(b'"') => {
                self.string(bytes, at)?;
                return Ok(false);
            }
            Some(open @ (b'{' | b'[')) => {
                if self.open.len() == DEPTH_LIMIT {
                    return Err(NotJson);
                }
                let kind = if *open == b'{' { Kind::Object } else { Kind::Array };
                self.open.push(self.nodes.len() as u32);
                self.nodes.push(Node { kind, start: start as u32, end: 0, next: 0 });
                *at = skip_space(bytes, start + 1);
                match (kind, bytes.get(*at)) {
                    (Kind::Object, Some(b'}')) | (Kind::Array, Some(b']')) => {
                        *at += 1;
                        self.close(*at);
                        return Ok(false);
                    }
                    (Kind::Object, _) => self.key(bytes, at)?,
                    _ => {}
                }
                return Ok(true);
            }
            Some(b't') if bytes[start..].starts_with(b"true") => (Kind::True, start + 4),
            Some(b'f') if bytes[start..].starts_with(b"false") => (Kind::False, start + 5),
            Some(b'n') if bytes[start..].starts_with(b"null") => (Kind::Null, start + 4),
            Some(b'-' | b'0'..=b'9') => (Kind::Number, number_end(bytes, start).ok_or(NotJson)?),
            _ => return Err(NotJson),
        };
        self.push(kind, start, end);
        *at = end;
        Ok(false)
    }

    fn key(&mut self, bytes: &[u8], at: &mut usize) -> Result<(), NotJson> {
        if bytes.get(*at) != Some(&b'"') {
            return Err(NotJson);
        }
        self.string(bytes, at)?;
        *at = skip_space(bytes, *at);
        if bytes.get(*at) != Some(&b':') {
            return Err(NotJson);
        }
        *at += 1;
        Ok(())
    }

    #[inline]
    fn string(&mut self, bytes: &[u8], at: &mut usize) -> Result<(), NotJson> {
        let start = *at + 1;
        let mut end = string_stop(bytes, start);
        let mut kind = Kind::Plain;
        loop {
            match bytes.get(end) {
                Some(b'"') => break,
                Some(b'\\') => {
                    kind = Kind::Escaped;
                    end = string_stop(bytes, escape_end(bytes, end).ok_or(NotJson)?);
                }
                _ => return Err(NotJson),
            }
        }
        self.push(kind, start, end);
        *at = end + 1;
        Ok(())
    }

    fn push(&mut self, kind: Kind, start: usize, end: usize) {
        let next = self.nodes.len() as u32 + 1;
        self.nodes.push(Node { kind, start: start as u32, end: end as u32, next });
    }

    fn close(&mut self, end: usize) {
        let next = self.nodes.len() as u32;
        if let Some(open) = self.open.pop() {
            let node = &mut self.nodes[open as usize];
            (node.end, node.next) = (end as u32, next);
        }
    }
}

#[inline]
fn skip_space(bytes: &[u8], mut at: usize) -> usize {
    while matches!(bytes.get(at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
        at += 1;
    }
    at
}

/// The first quote, backslash or control character from `at` on; the length when there is none.
///
/// Eight bytes at a time: in a word, the lowest byte whose top bit is set by `(x - 1) & !x` is the first zero byte.
#[inline]
fn string_stop(bytes: &[u8], mut at: usize) -> usize {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const TOPS: u64 = ONES << 7;
    while let Some(word) = bytes.get(at..at + 8) {
        let word = u64::from_le_bytes(word.try_into().expect("a slice of eight bytes"));
        let quote = word ^ (ONES * b'"' as u64);
        let slash = word ^ (ONES * b'\\' as u64);
        let found = (quote.wrapping_sub(ONES) & !quote)
            | (slash.wrapping_sub(ONES) & !slash)
            | (word.wrapping_sub(ONES * 0x20) & !word);
        let found = found & TOPS;
        if found != 0 {
            return at + (found.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while let Some(&byte) = bytes.get(at) {
        if byte == b'"' || byte == b'\\' || byte < 0x20 {
            return at;
        }
        at += 1;
    }
    at
}

/// Where the escape that begins at `at` ends; none when it is none, or half of a surrogate pair.
fn escape_end(bytes: &[u8], at: usize) -> Option<usize> {
    match bytes.get(at + 1)? {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(at + 2),
        b'u' => match hex4(bytes, at + 2)? {
            0xdc00..=0xdfff => None,
            0xd800..=0xdbff => {
                let low = bytes.get(at + 6..at + 8)? == b"\\u" && (0xdc00..=0xdfff).contains(&hex4(bytes, at + 8)?);
                low.then_some(at + 12)
            }
            _ => Some(at + 6),
        },
        _ => None,
    }
}

fn hex4(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.iter().try_fold(0, |value, byte| Some(value << 4 | char::from(*byte).to_digit(16)?))
}

#[inline]
fn number_end(bytes: &[u8], start: usize) -> Option<usize> {
    let digits = |mut at: usize| {
        while matches!(bytes.get(at), Some(b'0'..=b'9')) {
            at += 1;
        }
        at
    };
    let whole = start + usize::from(bytes[start] == b'-');
    let mut at = match bytes.get(whole)? {
        b'0' => whole + 1,
        b'1'..=b'9' => digits(whole + 1),
        _ => return None,
    };
    if bytes.get(at) == Some(&b'.') {
        let end = digits(at + 1);
        if end == at + 1 {
            return None;
        }
        at = end;
    }
    if matches!(bytes.get(at), Some(b'e' | b'E')) {
        let from = at + 1 + usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
        let end = digits(from);
        if end == from {
            return None;
        }
        at = end;
    }
    Some(at)
}

impl<'t> Json<'t> {
    /// A node.
    #[inline]
    pub fn node(&self, index: u32) -> Node {
        self.nodes[index as usize]
    }

    /// The text of a node as it is written, strings without their quotes.
    #[inline]
    pub fn raw(&self, node: Node) -> &'t str {
        &self.text[node.start as usize..node.end as usize]
    }

    /// The first sixteen bytes of a node's text as a little-endian number; what it lacks of them is zero.
    #[inline]
    pub fn head(&self, node: Node) -> u128 {
        let (start, length) = (node.start as usize, (node.end - node.start) as usize);
        let bytes = self.text.as_bytes();
        match bytes.get(start..start + 16) {
            Some(word) => {
                let word = u128::from_le_bytes(word.try_into().expect("a slice of sixteen bytes"));
                if length < 16 { word & ((1 << (8 * length)) - 1) } else { word }
            }
            None => {
                bytes[start..start + length.min(16)].iter().rev().fold(0, |head, byte| head << 8 | u128::from(*byte))
            }
        }
    }

    /// The value of a string.
    pub fn string(&self, node: Node) -> Cow<'t, str> {
        match node.kind {
            Kind::Escaped => {
                let mut out = String::new();
                unescape(self.raw(node), &mut out);
                Cow::Owned(out)
            }
            _ => Cow::Borrowed(self.raw(node)),
        }
    }

    /// The indices of the items of an array.
    #[inline]
    pub fn items(&self, array: u32) -> impl Iterator<Item = u32> + use<'t> {
        let (nodes, end) = (self.nodes, self.node(array).next);
        let mut at = array + 1;
        std::iter::from_fn(move || {
            let item = (at < end).then_some(at)?;
            at = nodes[item as usize].next;
            Some(item)
        })
    }

    /// The indices of the keys and values of an object, in the order they are written.
    #[inline]
    pub fn entries(&self, object: u32) -> impl Iterator<Item = (u32, u32)> + use<'t> {
        let mut nodes = self.items(object);
        std::iter::from_fn(move || Some((nodes.next()?, nodes.next()?)))
    }

    /// A node as a value that can be changed. Of keys written twice the last counts.
    pub fn value(&self, index: u32) -> Value {
        let node = self.node(index);
        match node.kind {
            Kind::Null => Value::Null,
            Kind::True => Value::Bool(true),
            Kind::False => Value::Bool(false),
            Kind::Number => number::value(self.raw(node)),
            Kind::Plain | Kind::Escaped => Value::String(self.string(node).into_owned()),
            Kind::Array => Value::Array(self.items(index).map(|item| self.value(item)).collect()),
            Kind::Object => {
                let entry = |(key, value)| (number::kept_apart(self.string(self.node(key))), self.value(value));
                Value::Object(self.entries(index).map(entry).collect::<Map<_, _>>())
            }
        }
    }
}

/// Appends the value of a string that [`Tape::scan`] has passed.
pub fn unescape(raw: &str, out: &mut String) {
    let mut rest = raw;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let bytes = rest.as_bytes();
        let end = escape_end(bytes, at).unwrap_or(rest.len());
        let unit = |at| hex4(bytes, at).unwrap_or_default();
        out.push(match bytes.get(at + 1) {
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                let first = unit(at + 2);
                let code =
                    if end - at == 12 { 0x10000 + ((first - 0xd800) << 10) + (unit(at + 8) - 0xdc00) } else { first };
                char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
            }
            other => other.map_or(char::REPLACEMENT_CHARACTER, |byte| char::from(*byte)),
        });
        rest = &rest[end..];
    }
    out.push_str(rest);
}

/// Appends a string as JSON, the one way `serde_json` writes it.
pub fn push_string(text: &str, out: &mut String) {
    out.push('"');
    let mut done = 0;
    let bytes = text.as_bytes();
    let mut at = string_stop(bytes, 0);
    while at < bytes.len() {
        out.push_str(&text[done..at]);
        match bytes[at] {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            0x8 => out.push_str("\\b"),
            0xc => out.push_str("\\f"),
            other => {
                let digit = |value: u8| char::from(b"0123456789abcdef"[usize::from(value & 15)]);
                out.push_str("\\u00");
                out.push(digit(other >> 4));
                out.push(digit(other));
            }
        }
        done = at + 1;
        at = string_stop(bytes, done);
    }
    out.push_str(&text[done..]);
    out.push('"');
}

pub mod number {
    //! Numbers as they are written, in one form for each value.

    use serde_json::{Map, Number, Value};
    use std::borrow::Cow;
    use std::fmt::Write;

    /// Below 2^53 a float that is whole has exactly one integer.
    const EXACT: f64 = 9_007_199_254_740_992.0;

    /// The key of the one-entry object that stands for a number which no 64-bit number says exactly.
    const DIGITS: &str = "\u{1}digits";

    /// The key of a dump's own object, with a mark more if it could be taken for [`DIGITS`].
    pub(super) fn kept_apart(key: Cow<str>) -> String {
        if key.ends_with(DIGITS) { format!("\u{1}{key}") } else { key.into_owned() }
    }

    /// A number as a value: a 64-bit number where one says the same, else its digits.
    pub(super) fn value(text: &str) -> Value {
        match text.parse::<Number>() {
            Ok(number) if number.is_i64() || number.is_u64() || is_exact(text, &number) => Value::Number(number),
            _ => Value::Object(Map::from_iter([(DIGITS.to_owned(), Value::String(text.to_owned()))])),
        }
    }

    /// The digits of a number that is none for `serde_json`.
    pub(crate) fn digits(map: &Map<String, Value>) -> Option<&str> {
        match map.iter().next() {
            Some((key, Value::String(digits))) if map.len() == 1 && key == DIGITS => Some(digits),
            _ => None,
        }
    }

    /// Whether a value is a number, and which.
    pub fn float(value: &Value) -> Option<f64> {
        match value {
            Value::Object(map) => digits(map)?.parse().ok().filter(|f: &f64| f.is_finite()),
            other => other.as_f64(),
        }
    }

    /// Whether the nearest 64-bit float, written as short as it can be, has the same digits.
    fn is_exact(text: &str, number: &Number) -> bool {
        decimal(text).is_some() && decimal(text) == decimal(&number.to_string())
    }

    /// Sign, digits without zeros at either end, and the power of ten of the last digit.
    fn decimal(text: &str) -> Option<(bool, String, i64)> {
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let mut exponent: i64 = exponent.parse().ok().filter(|e: &i64| e.unsigned_abs() < 1 << 40)?;
        let negative = mantissa.starts_with('-');
        let (whole, part) =
            mantissa.trim_start_matches('-').split_once('.').unwrap_or((mantissa.trim_start_matches('-'), ""));
        exponent -= part.len() as i64;
        let digits = format!("{whole}{part}");
        let kept = digits.trim_end_matches('0');
        exponent += (digits.len() - kept.len()) as i64;
        let kept = kept.trim_start_matches('0');
        if kept.is_empty() { Some((false, String::new(), 0)) } else { Some((negative, kept.to_owned(), exponent)) }
    }

    /// Appends a number in the one form for its value: `1` for `1.0` and `1e0`, the shortest digits for other floats,
    /// and its own digits where no 64-bit number has them.
    #[inline]
    pub fn push_canonical(text: &str, out: &mut String) {
        if is_plain(text.as_bytes()) {
            out.push_str(text);
            return;
        }
        match value(text) {
            Value::Number(number) => push_number(&number, out),
            _ => push_digits(text, out),
        }
    }

    /// Appends a number that `serde_json` holds, in the same form as [`push_canonical`].
    pub(crate) fn push_number(number: &Number, out: &mut String) {
        // Writing to a string cannot fail.
        let _ = match number.as_f64() {
            Some(f) if !number.is_i64() && !number.is_u64() && f.fract() == 0.0 && f.abs() < EXACT => {
                write!(out, "{}", f as i64)
            }
            _ => write!(out, "{number}"),
        };
    }

    pub(crate) fn push_digits(text: &str, out: &mut String) {
        let Some((negative, digits, exponent)) = decimal(text) else {
            out.push_str(text); // an exponent beyond all measure: as it is written
            return;
        };
        if digits.is_empty() {
            out.push('0');
            return;
        }
        if negative {
            out.push('-');
        }
        if (0..64).contains(&exponent) {
            out.push_str(&digits);
            (0..exponent).for_each(|_| out.push('0'));
            return;
        }
        let (first, rest) = digits.split_at(1);
        out.push_str(first);
        if !rest.is_empty() {
            out.push('.');
            out.push_str(rest);
        }
        let _ = write!(out, "e{}", exponent + rest.len() as i64);
    }

    /// Whether a number is written in its canonical form already, told without computing: a whole number of at most 15
    /// digits, or a decimal fraction of at most 15 digits that ends in none and is not tiny.
    #[inline]
    pub fn is_plain(text: &[u8]) -> bool {
        let digits = text.strip_prefix(b"-").unwrap_or(text);
        if digits.len() > 16 {
            return false;
        }
        match digits.iter().position(|byte| !byte.is_ascii_digit()) {
            None => digits.len() <= 15 && text != b"-0",
            Some(point) => {
                let part = &digits[point + 1..];
                digits[point] == b'.'
                    && part.iter().all(u8::is_ascii_digit)
                    && part.last() != Some(&b'0')
                    && (digits[0] != b'0' || part.iter().take(3).any(|byte| *byte != b'0'))
            }
        }
    }

    /// The whole number that a text stands for, `3.0` included.
    pub fn whole(text: &str) -> Option<i64> {
        text.parse().ok().or_else(|| {
            if text.parse::<u64>().is_ok() {
                return None;
            }
            // Digits that no float has are not those of a whole number either.
            let Value::Number(number) = value(text) else { return None };
            let f = number.as_f64()?;
            (f.fract() == 0.0 && f.abs() < EXACT).then_some(f as i64)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::canonical;
    use proptest::prelude::*;

    fn read(text: &str) -> Result<Value, NotJson> {
        Tape::default().scan(text).map(|json| json.value(0))
    }

    fn canonical_text(text: &str) -> String {
        let mut out = String::new();
        canonical(&read(text).unwrap(), &mut out);
        out
    }

    #[test]
    fn what_serde_json_refuses_is_refused() {
        for text in [
            "",
            " ",
            "{",
            "}",
            "[1,]",
            "{\"a\":1,}",
            "{\"a\"}",
            "{a:1}",
            "[1 2]",
            "01",
            "-",
            "1.",
            ".5",
            "1e",
            "+1",
            "nul",
            "truex",
            "\"a",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\\ud800\"",
            "\"\\udc00\\ud800\"",
            "\"a\u{1}b\"",
            "[1]]",
            "{} {}",
            "'a'",
            "NaN",
            "\"\\ud800\\u0041\"",
            "[,1]",
            "{,}",
            "\u{feff}{}",
            "{\"a\":1 \"b\":2}",
            "{1:2}",
        ] {
            assert!(serde_json::from_str::<Value>(text).is_err(), "{text}");
            assert_eq!(read(text), Err(NotJson), "{text}");
        }
    }

    #[test]
    fn nesting_has_the_same_limit_as_the_reference() {
        for depth in [126, 127, 128, 129, 10_000] {
            let text = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
            assert_eq!(read(&text).is_ok(), serde_json::from_str::<Value>(&text).is_ok(), "{depth}");
        }
    }

    #[test]
    fn numbers_beyond_64_bits_keep_their_digits() {
        for (text, wanted) in [
            ("123456789012345678901234567890", "123456789012345678901234567890"),
            ("1e400", "1e400"),
            ("-0.12345678901234567890123", "-1.2345678901234567890123e-1"),
            ("18446744073709551615", "18446744073709551615"),
            ("18446744073709551616", "18446744073709551616"),
            ("1.0", "1"),
            ("-0", "0"),
            ("-0.0", "0"),
            ("2.50", "2.5"),
            ("1E2", "100"),
            ("0.1", "0.1"),
            ("1e999999999999999999999", "1e999999999999999999999"),
            ("0e-9223372036854775808", "0e-9223372036854775808"),
        ] {
            assert_eq!(canonical_text(text), wanted);
            let mut direct = String::new();
            number::push_canonical(text, &mut direct);
            assert_eq!(direct, wanted);
        }
        assert_eq!(canonical_text("12345678901234567890123.0"), canonical_text("12345678901234567890123"));
    }

    #[test]
    fn of_keys_written_twice_the_last_counts() {
        assert_eq!(canonical_text(r#"{"a":1,"b":2,"a":3}"#), r#"{"a":3,"b":2}"#);
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_filter_map("finite", |f| serde_json::Number::from_f64(f).map(Value::Number)),
            ".*".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
                proptest::collection::vec((".{0,6}", inner), 0..6).prop_map(|e| Value::Object(e.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_the_reference_writes_is_read_back(value in any_json(), pretty in any::<bool>()) {
            let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
            prop_assert_eq!(read(&text).unwrap(), value);
        }

        #[test]
        fn damaged_text_is_judged_as_the_reference_does(value in any_json(), at in any::<prop::sample::Index>(), with in "[\"\\\\{}\\[\\],:0-9eE.+tfn u]") {
            let mut text: Vec<char> = value.to_string().chars().collect();
            let at = at.index(text.len());
            text[at] = with.chars().next().unwrap();
            let text: String = text.into_iter().collect();
            match (serde_json::from_str::<Value>(&text), read(&text)) {
                (Ok(wanted), Ok(read)) => {
                    let canon = |v: &Value| { let mut out = String::new(); canonical(v, &mut out); out };
                    // More digits than a float holds are the one thing that is kept and not rounded.
                    if !canon(&read).contains('e') && canon(&read).len() < 17 { prop_assert_eq!(canon(&read), canon(&wanted)); }
                }
                (Err(error), Ok(_)) => prop_assert!(error.to_string().contains("out of range"), "{} {}", text, error),
                (Ok(_), Err(_)) => prop_assert!(false, "{}", text),
                (Err(_), Err(_)) => {}
            }
        }

        #[test]
        fn strings_are_written_as_the_reference_writes_them(text in ".*") {
            let mut out = String::new();
            push_string(&text, &mut out);
            prop_assert_eq!(out, Value::String(text).to_string());
        }

        #[test]
        fn a_plain_number_is_its_own_canonical_form(whole in -999_999_999i64..999_999_999, part in "[0-9]{0,6}") {
            let text = if part.is_empty() { whole.to_string() } else { format!("{whole}.{part}") };
            if number::is_plain(text.as_bytes()) {
                let mut out = String::new();
                canonical(&serde_json::from_str(&text).unwrap(), &mut out);
                prop_assert_eq!(out, text);
            }
        }
    }
}
