//! JSON text as a flat tape of nodes: checked once, in one pass, without copying a byte.
//!
//! The grammar is RFC 8259, as strict as `serde_json` (no trailing commas, no control characters in strings, at most 127
//! levels), with two differences: a number of any size or precision is taken, and keeps its digits where no 64-bit number
//! says the same; and half of a surrogate pair (`\ud83d` alone, of a text that was cut inside a letter) is U+FFFD.

pub mod ends;
pub mod layout;
pub mod number;

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
        let end = self.whole_value(bytes, 0, 0)?;
        if skip_space(bytes, end) < bytes.len() {
            return Err(NotJson);
        }
        Ok(Json { nodes: &self.nodes, text })
    }

    /// One value with everything in it, `depth` levels deep in others; gives where it ends.
    fn whole_value(&mut self, bytes: &[u8], mut at: usize, depth: usize) -> Result<usize, NotJson> {
        loop {
            // A value is due.
            at = skip_space(bytes, at);
            let entered = self.value(bytes, &mut at, depth)?;
            if entered {
                continue;
            }
            // After a value: a comma, or the end of what it is in.
            loop {
                let Some(&container) = self.open.last() else { return Ok(at) };
                at = skip_space(bytes, at);
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
    fn value(&mut self, bytes: &[u8], at: &mut usize, depth: usize) -> Result<bool, NotJson> {
        let start = *at;
        let (kind, end) = match bytes.get(start) {
            Some(b'"') => {
                self.string(bytes, at)?;
                return Ok(false);
            }
            Some(open @ (b'{' | b'[')) => {
                if depth + self.open.len() == DEPTH_LIMIT {
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

/// Where the escape that begins at `at` ends, both halves of a surrogate pair together; none when it is none.
fn escape_end(bytes: &[u8], at: usize) -> Option<usize> {
    match bytes.get(at + 1)? {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(at + 2),
        b'u' => match hex4(bytes, at + 2)? {
            0xd800..=0xdbff
                if bytes.get(at + 6..at + 8) == Some(b"\\u")
                    && hex4(bytes, at + 8).is_some_and(|low| (0xdc00..=0xdfff).contains(&low)) =>
            {
                Some(at + 12)
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

#[cfg(test)]
mod tests;
