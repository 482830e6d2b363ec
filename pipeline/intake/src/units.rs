//! From a text to what a format makes of it: one JSON text, several one behind the other, the items of an array, or no
//! JSON at all.

use crate::error::IntakeError;
use crate::formats::{Out, Reader, Taken};
use crate::source::blank;
use domain::Reason;
use domain::identity::written;
use domain::json::ends::{End, Ends};
use domain::json::{Json, Kind, Tape};
use serde_json::Value;
use std::borrow::Cow;

/// As values a text may take a hundred times its size. What would take more than this is refused, in bytes.
const VALUES: usize = 640 << 20;

/// Shorter texts cannot, in bytes.
const LIGHT: usize = 4 << 20;

/// What was read together.
pub(super) struct Unit<'t> {
    /// The text it was made of; none for an item of an array, which is told by its own JSON, and for a part of what a text
    /// made.
    pub(super) text: Option<Cow<'t, str>>,
    pub(super) taken: Vec<Taken>,
}

/// A text without what is around it: blanks, and byte order marks.
pub(super) fn bare(text: &str) -> &str {
    text.get(blank(text.as_bytes())..).unwrap_or_default().trim_end_matches(['\r', '\n'])
}

/// Whether an item of an array comes with its JSON as a text, as its reject has it, and all that is made of a value comes
/// together.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Items {
    Bare,
    Written,
}

/// Gives what a reader makes of a line or document, unit by unit.
pub(super) fn units<'t>(
    tape: &mut Tape,
    text: &'t str,
    items: Items,
    reader: &mut dyn Reader,
    give: &mut dyn FnMut(Unit<'t>) -> Result<(), IntakeError>,
) -> Result<(), IntakeError> {
    if let Ok(json) = tape.scan(text) {
        return value(json, 0, text, items, reader, give);
    }
    let Some(texts) = texts(text) else {
        return of_text(text, items, reader, give);
    };
    for text in texts {
        match tape.scan(text) {
            Ok(json) => value(json, 0, text, items, reader, give)?,
            Err(_) => of_text(text, items, reader, give)?,
        }
    }
    Ok(())
}

/// What a reader makes of a text that is no JSON.
fn of_text<'t>(
    text: &'t str,
    items: Items,
    reader: &mut dyn Reader,
    give: &mut dyn FnMut(Unit<'t>) -> Result<(), IntakeError>,
) -> Result<(), IntakeError> {
    // A document is more than what becomes of it, and what is refused of it tells itself.
    if text.contains('\n') && items == Items::Bare {
        let (taken, _) = in_parts(give, |out| reader.text(text, out))?;
        return give(Unit { text: None, taken });
    }
    let mut out = Out::default();
    reader.text(text, &mut out);
    give(Unit { text: Some(text.into()), taken: out.rest().0 })
}

/// Gives what `read` makes a part at a time; returns what is left at the end, and whether anything was given before it.
fn in_parts<'t>(
    give: &mut dyn FnMut(Unit<'t>) -> Result<(), IntakeError>,
    read: impl FnOnce(&mut Out),
) -> Result<(Vec<Taken>, bool), IntakeError> {
    let mut done = Ok(());
    let mut part = |taken| {
        if done.is_ok() {
            done = give(Unit { text: None, taken });
        }
    };
    let mut out = Out::parts(&mut part);
    read(&mut out);
    let rest = out.rest();
    done.map(|()| rest)
}

/// An array is its items, one by one, however deep: the whole of it may be many times its size in memory. `text` is
/// what `json` was made of.
fn value<'t>(
    json: Json<'_>,
    index: u32,
    text: &'t str,
    items: Items,
    reader: &mut dyn Reader,
    give: &mut dyn FnMut(Unit<'t>) -> Result<(), IntakeError>,
) -> Result<(), IntakeError> {
    let node = json.node(index);
    if node.kind == Kind::Array {
        return json.items(index).try_for_each(|item| value(json, item, text, items, reader, give));
    }
    if (node.end - node.start) as usize > LIGHT && weight(json, index) > VALUES {
        let text = text.get(node.start as usize..node.end as usize);
        return give(Unit { text: text.map(Cow::Borrowed), taken: vec![Err((Value::Null, Reason::TooLong))] });
    }
    let object = json.value(index);
    let text = match (index, items) {
        (0, _) => Some(Cow::Borrowed(text)),
        (_, Items::Written) => Some(Cow::Owned(written(&object))),
        (_, Items::Bare) => None,
    };
    if items == Items::Written {
        let mut out = Out::default();
        reader.object(object, &mut out);
        return give(Unit { text, taken: out.rest().0 });
    }
    let (taken, is_part) = in_parts(give, |out| reader.object(object, out))?;
    give(Unit { text: text.filter(|_| !is_part), taken })
}

/// About what a value takes in memory, in bytes: an object a node of a B-tree for every eleven members.
fn weight(json: Json<'_>, index: u32) -> usize {
    (index..json.node(index).next)
        .map(|at| {
            let node = json.node(at);
            match node.kind {
                Kind::Object if node.next > at + 1 => 640,
                Kind::Plain | Kind::Escaped => 56 + (node.end - node.start) as usize,
                _ => 32,
            }
        })
        .sum()
}

/// The texts of a line that holds several; the last may have been cut off. None where there is anything else.
fn texts(line: &str) -> Option<Vec<&str>> {
    let bytes = line.as_bytes();
    let mut found = Vec::new();
    let mut at = blank(bytes);
    while at < bytes.len() {
        let end = match (bytes[at], Ends::default().feed(&bytes[at..])) {
            (b'{' | b'[', End::At(length)) => at + length,
            (b'{' | b'[', _) if !found.is_empty() => bytes.len(),
            _ => return None,
        };
        found.push(line.get(at..end)?);
        at = end + blank(&bytes[end..]);
    }
    (found.len() > 1).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::{Format, TEST_NOW};

    fn read(text: &str) -> Vec<(Option<String>, usize)> {
        let mut all = Vec::new();
        let mut give = |unit: Unit| {
            all.push((unit.text.map(Cow::into_owned), unit.taken.len()));
            Ok(())
        };
        units(&mut Tape::default(), text, Items::Bare, &mut *Format::NATIVE.reader(TEST_NOW), &mut give).unwrap();
        all
    }

    #[test]
    fn texts_of_one_line_are_read_one_by_one() {
        let some = |text: &str| (Some(text.to_owned()), 1);
        assert_eq!(read(r#"{"a":1}{"b":"}{"} {}"#), [some(r#"{"a":1}"#), some(r#"{"b":"}{"}"#), some("{}")]);
        assert_eq!(read("{}\u{feff}{\"b\":1}"), [some("{}"), some("{\"b\":1}")]);
        assert_eq!(read(r#"{"a":1}{"b":"cut"#), [some(r#"{"a":1}"#), some(r#"{"b":"cut"#)]);
        for line in ["{} x", "x {}", "[1] 2", "{}, {}", "{\"a\":tru}", "2026"] {
            assert_eq!(read(line), [some(line)], "{line}");
        }
    }

    #[test]
    fn what_would_take_too_much_memory_as_values_is_refused_by_itself() {
        let heavy = format!("{{\"a\":[{}0]}}", "{\"a\":1},".repeat(1 << 20));
        let line = format!("[{{\"a\":1}},{heavy},{{\"b\":2}}]");
        let (mut tape, mut all) = (Tape::default(), Vec::new());
        let mut give = |unit: Unit| {
            let reasons = unit.taken.into_iter().filter_map(|taken| taken.err().map(|(_, reason)| reason));
            all.push((unit.text.map(|text| text.len()), reasons.collect::<Vec<_>>()));
            Ok(())
        };
        units(&mut tape, &line, Items::Bare, &mut *Format::NATIVE.reader(TEST_NOW), &mut give).unwrap();
        assert_eq!(all, [(None, vec![]), (Some(heavy.len()), vec![Reason::TooLong]), (None, vec![])]);
    }

    #[test]
    fn an_array_is_its_items_however_deep() {
        assert_eq!(read(r#"[{"a":1},[[{"b":1}],3],[]][{}]"#), [(None, 1), (None, 1), (None, 1), (None, 1)]);
        assert_eq!(read("[]"), []);
    }
}
