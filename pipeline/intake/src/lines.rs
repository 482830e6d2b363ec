//! The lines of a piece of a dump, one by one: whoever reads a dump again meets the same ones.

use super::units::bare;
use crate::error::IntakeError;
use crate::source::{MARK, Piece, SEPARATOR};
use std::borrow::Cow;

/// A line or document.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'p> {
    /// Without what is around it, and never empty.
    Text(&'p str),
    /// What is no UTF-8, without its line end.
    Other(&'p [u8]),
    /// One over the limit: its beginning, and the length in bytes and the hash of the whole.
    Long(&'p [u8], u64, &'p str),
}

/// Gives what a piece holds, with the numbers of the lines; nothing of lines that hold nothing.
#[inline]
pub(super) fn each_line(
    piece: &Piece,
    mut give: impl FnMut(u64, Line<'_>) -> Result<(), IntakeError>,
) -> Result<(), IntakeError> {
    match piece {
        Piece::Lines { first, bytes } => {
            // Checked once for the whole block; line by line only when something is wrong with it.
            let whole = std::str::from_utf8(bytes).ok();
            let marked = is_marked(bytes);
            let (mut number, mut start) = (*first, 0);
            while start < bytes.len() {
                let end = memchr::memchr(b'\n', &bytes[start..]).map_or(bytes.len(), |at| start + at);
                let line = match whole.and_then(|whole| whole.get(start..end)) {
                    Some(text) => text_of(text),
                    None => line_of(&bytes[start..end]),
                };
                match line {
                    Some(Line::Text(text)) if marked => give(number, Line::Text(&unmarked(text)))?,
                    Some(line) => give(number, line)?,
                    None => {}
                }
                start = end + 1;
                number += 1;
            }
            Ok(())
        }
        Piece::Document { line, bytes } => match line_of(bytes) {
            Some(Line::Text(text)) if is_marked(bytes) => give(*line, Line::Text(&unmarked(text))),
            Some(found) => give(*line, found),
            None => Ok(()),
        },
        Piece::Long { line, head, length, hash } => give(*line, Line::Long(head, *length, hash)),
    }
}

/// Whether a byte order mark, or what separates records, is anywhere in it.
fn is_marked(bytes: &[u8]) -> bool {
    memchr::memchr(SEPARATOR, bytes).is_some() || memchr::memmem::find(bytes, MARK).is_some()
}

/// JSON without the marks between its values: inside strings they are letters.
pub(super) fn unmarked(text: &str) -> Cow<'_, str> {
    if !text.starts_with(['{', '[']) || !is_marked(text.as_bytes()) {
        return Cow::Borrowed(text);
    }
    let (mut quoted, mut escaped) = (false, false);
    let kept = text.chars().filter(|char| {
        if std::mem::take(&mut escaped) {
            return true;
        }
        escaped = quoted && *char == '\\';
        quoted ^= *char == '"';
        quoted || !matches!(*char, '\u{feff}' | '\u{1e}')
    });
    Cow::Owned(kept.collect())
}

fn text_of(text: &str) -> Option<Line<'_>> {
    Some(bare(text)).filter(|text| !text.is_empty()).map(Line::Text)
}

fn line_of(raw: &[u8]) -> Option<Line<'_>> {
    match std::str::from_utf8(raw) {
        Ok(text) => text_of(text),
        Err(_) => Some(Line::Other(raw.strip_suffix(b"\r").unwrap_or(raw))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_between_values_are_no_part_of_them_and_in_strings_they_are() {
        let mut found = Vec::new();
        let bytes =
            "{\"a\":\"\u{feff}\\\"\u{feff}\"}\n[{\"b\":1},\u{feff}{\"c\":2}]\n\u{1e}{\"d\":3}\n\u{feff}{\"e\":4}\n";
        let piece = Piece::Lines { first: 1, bytes: bytes.into() };
        each_line(&piece, |number, line| {
            if let Line::Text(text) = line {
                found.push((number, text.to_owned()));
            }
            Ok(())
        })
        .unwrap();
        let texts: Vec<&str> = found.iter().map(|(_, text)| text.as_str()).collect();
        assert_eq!(texts, ["{\"a\":\"\u{feff}\\\"\u{feff}\"}", "[{\"b\":1},{\"c\":2}]", "{\"d\":3}", "{\"e\":4}"]);
    }
}
