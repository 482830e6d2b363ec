//! The lines of a piece of a dump, one by one: whoever reads a dump again meets the same ones.

use super::units::bare;
use crate::error::IntakeError;
use crate::source::Piece;

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
            let (mut number, mut start) = (*first, 0);
            while start < bytes.len() {
                let end = memchr::memchr(b'\n', &bytes[start..]).map_or(bytes.len(), |at| start + at);
                let line = match whole.and_then(|whole| whole.get(start..end)) {
                    Some(text) => text_of(text),
                    None => line_of(&bytes[start..end]),
                };
                line.map_or(Ok(()), |line| give(number, line))?;
                start = end + 1;
                number += 1;
            }
            Ok(())
        }
        Piece::Document { line, bytes } => line_of(bytes).map_or(Ok(()), |found| give(*line, found)),
        Piece::Long { line, head, length, hash } => give(*line, Line::Long(head, *length, hash)),
    }
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
