//! A YAML document as it is written: every node with the bytes it stands on, aliases and merge keys unresolved.
//!
//! The parser counts characters, includes anchors and tags in a node's span, lets the span of a quoted scalar or an
//! opening bracket run on over blanks and a comment, and may give the comma before a closing bracket for the bracket;
//! here a node's `start..end` is exactly its own bytes.

use super::relaxed::relaxed;
use crate::StackError;
use saphyr_parser::{Event, Parser, ScalarStyle};
use std::collections::BTreeMap;

/// Deeper nesting than any Compose file has; the walks over the tree recurse.
const DEEPEST: usize = 64;

/// A node, by its place in [`Document`].
pub(crate) type Id = usize;

#[derive(Debug, Default)]
pub(crate) struct Document {
    nodes: Vec<Node>,
    /// None where there is nothing but comments.
    pub(crate) root: Option<Id>,
}

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) kind: Kind,
    /// `!!str`, `!reset`, …
    pub(crate) tag: Option<String>,
    pub(crate) anchored: bool,
    /// First byte, after anchor and tag.
    pub(crate) start: usize,
    /// One after the last byte.
    pub(crate) end: usize,
}

#[derive(Debug)]
pub(crate) enum Kind {
    Scalar {
        text: String,
        style: ScalarStyle,
    },
    List(Vec<Id>),
    Map {
        entries: Vec<(Id, Id)>,
        flow: bool,
    },
    /// What it stands for.
    Alias(Id),
}

/// A collection that is not closed yet.
struct Open {
    id: Id,
    anchor: usize,
    children: Vec<Id>,
}

impl Document {
    /// Reads a text of at most one document.
    pub(crate) fn parse(text: &str) -> Result<Self, StackError> {
        Self::scanned(text, text).or_else(|error| match relaxed(text) {
            Some(relaxed) => Self::scanned(text, &relaxed).map_err(|_| error),
            None => Err(error),
        })
    }

    /// Reads a text by another in which every character stands where it stands in it.
    pub(crate) fn parse_as(text: &str, scanned: &str) -> Result<Self, StackError> {
        Self::scanned(text, scanned)
    }

    /// `text` as `scanned` reads, in which every character stands where it stands in `text`.
    fn scanned(text: &str, scanned: &str) -> Result<Self, StackError> {
        let bytes: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
        let byte = |chars: usize| bytes[chars.min(bytes.len() - 1)];
        let mut document = Self::default();
        let mut anchors: BTreeMap<usize, Id> = BTreeMap::new();
        let mut open: Vec<Open> = Vec::new();
        let mut documents = 0;
        for event in Parser::new_from_str(scanned) {
            let (event, span) = event.map_err(|error| StackError::Syntax {
                line: error.marker().line(),
                column: error.marker().col() + 1,
                what: error.info().to_owned(),
            })?;
            let wrong = |what: &str| StackError::Syntax {
                line: span.start.line(),
                column: span.start.col() + 1,
                what: what.to_owned(),
            };
            let (from, to) = (byte(span.start.index()), byte(span.end.index()));
            let tagged = |tag: Option<_>| tag.map(|tag: std::borrow::Cow<'_, saphyr_parser::Tag>| tag.to_string());
            let (node, anchor) = match event {
                Event::DocumentStart(_) => {
                    documents += 1;
                    if documents > 1 {
                        return Err(wrong("a second document; keep one per file"));
                    }
                    continue;
                }
                Event::SequenceEnd | Event::MappingEnd => {
                    let Some(done) = open.pop() else { return Err(wrong("a collection ends that never began")) };
                    document.close(&done, text);
                    if done.anchor > 0 {
                        anchors.insert(done.anchor, done.id);
                    }
                    continue;
                }
                Event::Alias(anchor) => {
                    let stands_for = anchors.get(&anchor).copied();
                    let kind = Kind::Alias(stands_for.ok_or_else(|| wrong("an alias within what it stands for"))?);
                    (Node { kind, tag: None, anchored: false, start: from, end: to }, 0)
                }
                Event::Scalar(value, style, anchor, tag) => {
                    let tag = tagged(tag);
                    let start = after_properties(text, from, to, anchor > 0 || tag.is_some());
                    let end = scalar_end(text, start, to, style, value.is_empty());
                    let kind = Kind::Scalar { text: value.into_owned(), style };
                    (Node { kind, tag, anchored: anchor > 0, start, end }, anchor)
                }
                Event::SequenceStart(anchor, tag) => {
                    let start = after_properties(text, from, to, anchor > 0 || tag.is_some());
                    let kind = Kind::List(Vec::new());
                    (Node { kind, tag: tagged(tag), anchored: anchor > 0, start, end: to }, anchor)
                }
                Event::MappingStart(anchor, tag) => {
                    let start = after_properties(text, from, to, anchor > 0 || tag.is_some());
                    let flow = text[start..to].starts_with('{');
                    let kind = Kind::Map { entries: Vec::new(), flow };
                    (Node { kind, tag: tagged(tag), anchored: anchor > 0, start, end: to }, anchor)
                }
                _ => continue,
            };
            let id = document.nodes.len();
            let collection = matches!(node.kind, Kind::List(_) | Kind::Map { .. });
            document.nodes.push(node);
            match open.last_mut() {
                Some(parent) => parent.children.push(id),
                None => document.root = Some(id),
            }
            if collection {
                if open.len() >= DEEPEST {
                    return Err(wrong("nested too deeply"));
                }
                open.push(Open { id, anchor, children: Vec::new() });
            } else if anchor > 0 {
                anchors.insert(anchor, id);
            }
        }
        document.check_keys(text)?;
        Ok(document)
    }

    pub(crate) fn node(&self, id: Id) -> &Node {
        &self.nodes[id]
    }

    /// The entry a mapping itself has, merge keys aside: key and value.
    pub(crate) fn entry(&self, map: Id, key: &str) -> Option<(Id, Id)> {
        let Kind::Map { entries, .. } = &self.node(map).kind else { return None };
        entries.iter().copied().find(|(id, _)| self.key(*id) == Some(key))
    }

    /// The text of a key; none where the key is a collection or an alias.
    pub(crate) fn key(&self, id: Id) -> Option<&str> {
        match &self.node(id).kind {
            Kind::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// The bytes of what aliases and merge keys on the way along a path lead to.
    pub(crate) fn shared_along(&self, path: &[String]) -> Vec<(usize, usize)> {
        let mut shared = Vec::new();
        let mut here: Vec<Id> = self.root.into_iter().collect();
        for key in path {
            let mut next = Vec::new();
            let mut merged = 0;
            // Grows by what is merged into it.
            while let Some(id) = here.get(merged).copied() {
                merged += 1;
                let id = self.followed(id, &mut shared);
                let Kind::Map { entries, .. } = &self.node(id).kind else { continue };
                for (name, value) in entries {
                    match self.key(*name) {
                        Some("<<") if here.len() < DEEPEST => match &self.node(*value).kind {
                            Kind::List(items) => here.extend(items),
                            _ => here.push(*value),
                        },
                        Some(name) if name == key => next.push(*value),
                        _ => {}
                    }
                }
            }
            here = next;
        }
        here.into_iter().for_each(|id| {
            self.followed(id, &mut shared);
        });
        shared
    }

    /// What an alias leads to, noted; anything else is itself.
    fn followed(&self, id: Id, shared: &mut Vec<(usize, usize)>) -> Id {
        match self.node(id).kind {
            Kind::Alias(target) => {
                shared.push((self.node(target).start, self.node(target).end));
                target
            }
            _ => id,
        }
    }

    /// Whether the last thing written in a node is a `|` or `>` scalar.
    pub(crate) fn ends_in_block_scalar(&self, id: Id) -> bool {
        let last = match &self.node(id).kind {
            Kind::Scalar { style, .. } => return matches!(style, ScalarStyle::Literal | ScalarStyle::Folded),
            Kind::List(items) => items.last().copied(),
            Kind::Map { entries, .. } => entries.last().map(|(_, value)| *value),
            Kind::Alias(_) => None,
        };
        last.is_some_and(|last| self.ends_in_block_scalar(last))
    }

    fn close(&mut self, done: &Open, text: &str) {
        let last = done.children.last().map(|id| self.nodes[*id].end);
        let node = &mut self.nodes[done.id];
        node.end = match text[node.start..].chars().next() {
            Some(bracket @ ('{' | '[')) if node.start < node.end => {
                let inside = last.unwrap_or(node.start + 1);
                let behind = |at| text[at..].starts_with(if bracket == '{' { '}' } else { ']' });
                let end = skipped(text, inside, text.len(), &[',', ':']);
                if behind(end) { end + 1 } else { inside }
            }
            _ => last.unwrap_or(node.end),
        };
        match &mut node.kind {
            Kind::List(items) => items.clone_from(&done.children),
            Kind::Map { entries, .. } => {
                *entries = done.children.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect();
            }
            _ => {}
        }
    }

    /// Compose refuses a key that is there twice, and so the last one does not silently win here.
    fn check_keys(&self, text: &str) -> Result<(), StackError> {
        for node in &self.nodes {
            let Kind::Map { entries, .. } = &node.kind else { continue };
            let mut seen = std::collections::BTreeSet::new();
            for (key, _) in entries {
                let fault = match self.key(*key) {
                    None => "a key that is not a word".to_owned(),
                    Some(name) if !seen.insert(name) => format!("{name:?} is there twice"),
                    Some(_) => continue,
                };
                let before = &text[..self.node(*key).start];
                let line = before.matches('\n').count() + 1;
                return Err(StackError::Syntax { line, column: column(text, self.node(*key).start) + 1, what: fault });
            }
        }
        Ok(())
    }
}

/// How many characters stand before this byte on its line; a byte order mark takes no room.
pub(crate) fn column(text: &str, at: usize) -> usize {
    let start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    text[start..at].chars().filter(|c| *c != '\u{feff}').count()
}

/// Where the content begins behind `&anchor` and `!tag`, in either order.
fn after_properties(text: &str, from: usize, to: usize, any: bool) -> usize {
    let mut at = from;
    while any && text[at..to].starts_with(['&', '!']) {
        at += text[at..to].find(char::is_whitespace).unwrap_or(to - at);
        at = skipped(text, at, to, &[]);
    }
    at
}

/// The next byte that is neither blank, nor in a comment, nor one of these.
fn skipped(text: &str, from: usize, to: usize, also: &[char]) -> usize {
    let mut at = from;
    while let Some(c) = text[at..to].chars().next() {
        at += match c {
            '#' => text[at..to].find('\n').unwrap_or(to - at),
            c if c.is_whitespace() || also.contains(&c) => c.len_utf8(),
            _ => break,
        };
    }
    at
}

fn scalar_end(text: &str, start: usize, to: usize, style: ScalarStyle, empty: bool) -> usize {
    let body = text.get(start + 1..to).unwrap_or_default();
    match style {
        ScalarStyle::SingleQuoted => {
            let mut rest = body.char_indices().peekable();
            while let Some((at, c)) = rest.next() {
                if c == '\'' && rest.next_if(|(_, next)| *next == '\'').is_none() {
                    return start + 1 + at + 1;
                }
            }
            to
        }
        ScalarStyle::DoubleQuoted => {
            let mut rest = body.char_indices();
            while let Some((at, c)) = rest.next() {
                match c {
                    '\\' => {
                        rest.next();
                    }
                    '"' => return start + 1 + at + 1,
                    _ => {}
                }
            }
            to
        }
        // Nothing written: the span may already cover the bracket that follows.
        ScalarStyle::Plain if empty => start,
        _ => to,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spans(text: &str) -> Vec<&str> {
        let document = Document::parse(text).unwrap();
        document.nodes.iter().map(|node| &text[node.start..node.end]).collect()
    }

    #[test]
    fn a_node_stands_on_exactly_its_own_bytes() {
        assert_eq!(spans("ä: 'é''x'  # c\n"), ["ä: 'é''x'", "ä", "'é''x'"]);
        assert_eq!(spans("\u{feff}a: &x  \"b\\\"\"   # c\r\n"), ["a: &x  \"b\\\"\"", "a", "\"b\\\"\""]);
        assert_eq!(spans("a: {b: '1' , c: }\n"), ["a: {b: '1' , c: }", "a", "{b: '1' , c: }", "b", "'1'", "c", ""]);
        assert_eq!(spans("a: { b: 1 , } # }\n")[2], "{ b: 1 , }");
        assert_eq!(spans("a: &x !y # c\n  [ # ]\n 1, # ]\n ] # ]\n")[2], "[ # ]\n 1, # ]\n ]");
        assert_eq!(spans("a: &m\n  b: !!str 5 # c\nd: *m\n")[2..5], ["b: !!str 5", "b", "5"]);
        assert_eq!(spans("a: [1, {}]\nb:\n")[2..5], ["[1, {}]", "1", "{}"]);
    }

    #[test]
    fn what_compose_refuses_or_cannot_end_is_refused() {
        for bad in ["a: 1\na: 2\n", "a: &x {b: *x}\n", "a: 1\n---\nb: 2\n", "a: [\n", "? [x]\n: 1\n", "a: *nobody\n"] {
            assert!(matches!(Document::parse(bad), Err(StackError::Syntax { .. })), "{bad}");
        }
        assert!(Document::parse(&"[".repeat(100_000)).is_err());
        assert!(Document::parse("# nothing\n").unwrap().root.is_none());
    }
}
