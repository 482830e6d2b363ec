//! An open dump, cut into blocks of lines, and into the documents that go on over several lines.
//!
//! A line says something by itself, unless it opens a bracket that it does not close: then what begins there is one
//! document up to where its brackets close, wherever that is, and the next may begin right behind it. Where no end is
//! found the line was cut off, and is a line like any other: it does not swallow those after it. A calendar is a document from its
//! first line to its last.

mod long;

use super::calendar;
use crate::error::IntakeError;
use domain::event::LINE_LIMIT;
use domain::json::ends::{End, Ends};
use long::long;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// About how many bytes are given at a time.
const BLOCK: usize = 1 << 20;

/// How far is looked beyond a line for what continues it.
const BEYOND: usize = 256;

/// After a document that broke later than this, no other is looked for before that place: time stays linear.
const RETRIED: usize = 1 << 16;

/// The byte order mark in UTF-8: also between two texts it says nothing.
pub(crate) const MARK: &[u8] = b"\xef\xbb\xbf";

/// An open dump.
pub(crate) struct Blocks {
    name: String,
    reader: Box<dyn Read + Send>,
    /// Read, but not yet given, from `at` on.
    ahead: Vec<u8>,
    at: usize,
    /// Line ends given so far.
    line: u64,
    ended: bool,
    /// So many bytes ahead no document begins.
    plain: usize,
    /// Set once the dump was found to be no UTF-8.
    other: Arc<AtomicBool>,
}

/// What a dump gives.
#[derive(Debug)]
pub(crate) enum Piece {
    /// Whole lines.
    Lines {
        /// The number of the first, from 1.
        first: u64,
        /// With their line ends.
        bytes: Vec<u8>,
    },
    /// One JSON text that goes on over several lines, or begins or ends inside one.
    Document {
        /// The number of its first line, from 1.
        line: u64,
        /// Without what is around it.
        bytes: Vec<u8>,
    },
    /// A line or document over the limit: its beginning, and what is known of the whole.
    Long {
        /// From 1.
        line: u64,
        /// The first bytes, as many as a reject keeps.
        head: Vec<u8>,
        /// Of the whole line, in bytes.
        length: u64,
        /// 128 bits of BLAKE3 over the whole line.
        hash: String,
    },
}

impl Piece {
    /// The number of its first line.
    pub(crate) fn first_line(&self) -> u64 {
        match self {
            Self::Lines { first, .. } => *first,
            Self::Document { line, .. } | Self::Long { line, .. } => *line,
        }
    }

    /// How much of the dump it holds, in bytes.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Lines { bytes, .. } | Self::Document { bytes, .. } => bytes.len(),
            Self::Long { .. } => 0,
        }
    }
}

/// What to do with the beginning of what is ahead.
enum Cut {
    /// So many bytes are lines.
    Lines(usize),
    /// A document begins with the first byte.
    Document,
    /// The first line goes on beyond what was looked at.
    Unknown,
}

impl Blocks {
    pub(super) fn new(name: String, reader: Box<dyn Read + Send>, other: Arc<AtomicBool>) -> Self {
        Self { name, reader, ahead: Vec::new(), at: 0, line: 0, ended: false, plain: 0, other }
    }

    /// Whether the dump was UTF-8, as far as it was read. Of one that was not, what is no JSON may have been decoded
    /// wrongly, and no pattern finds anything in it.
    pub(crate) fn is_utf8(&self) -> bool {
        !self.other.load(Ordering::Relaxed)
    }

    /// How the dump goes on, without taking it: up to a block, and whether that is all of it.
    pub(crate) fn look(&mut self) -> Result<(&[u8], bool), IntakeError> {
        self.fill(BLOCK)?;
        let rest = self.rest();
        Ok((&rest[..rest.len().min(BLOCK)], self.ended && rest.len() <= BLOCK))
    }

    /// The next lines, or the next document.
    pub(crate) fn next_piece(&mut self) -> Result<Option<Piece>, IntakeError> {
        let mut wanted = BLOCK;
        loop {
            self.fill(wanted + BEYOND)?;
            if self.rest().is_empty() {
                return Ok(None);
            }
            match self.cut(wanted) {
                Cut::Lines(end) => return Ok(Some(self.lines(end))),
                Cut::Document => {
                    if let Some(piece) = self.document()? {
                        return Ok(Some(piece));
                    }
                }
                Cut::Unknown if self.ended && self.rest().len() <= LINE_LIMIT => {
                    return Ok(Some(self.lines(self.rest().len())));
                }
                Cut::Unknown if wanted > LINE_LIMIT => return self.long_line().map(Some),
                Cut::Unknown => wanted = (2 * wanted).min(LINE_LIMIT + 1),
            }
        }
    }

    /// Looks at some bytes ahead, for lines and for where a document begins.
    fn cut(&self, wanted: usize) -> Cut {
        let rest = self.rest();
        let window = rest.len().min(wanted);
        let mut start = 0;
        while start < window {
            let Some(length) = memchr::memchr(b'\n', &rest[start..window]) else { break };
            let next = start + length + 1;
            if start >= self.plain
                && (begins_calendar(&rest[start..next]) || goes_on(&rest[start..next], &rest[next..]))
            {
                return if start > 0 { Cut::Lines(start) } else { Cut::Document };
            }
            start = next;
        }
        match start {
            // A long line, or many texts on one.
            0 if self.plain == 0 && rest.len() > window && opens(rest) => Cut::Document,
            0 => Cut::Unknown,
            // The last line has no end.
            _ if self.ended && window == rest.len() => Cut::Lines(window),
            _ => Cut::Lines(start),
        }
    }

    /// Gives whole lines.
    fn lines(&mut self, end: usize) -> Piece {
        let first = self.line + 1;
        let bytes = self.rest()[..end].to_vec();
        self.line += u64::from(bytes.last() != Some(&b'\n'));
        self.take(end);
        Piece::Lines { first, bytes }
    }

    /// The document that begins what is ahead; none when it is none, and its first line is a line like others.
    fn document(&mut self) -> Result<Option<Piece>, IntakeError> {
        let start = blank(self.rest());
        if calendar::begins(&self.rest()[start..]) {
            return self.calendar(start).map(Some);
        }
        let (mut ends, mut at) = (Ends::default(), start);
        loop {
            match ends.feed(&self.rest()[at..]) {
                End::At(length) => return self.document_within(start, at + length),
                End::Broken(length) => {
                    self.plain = if at + length > RETRIED { at + length } else { 1 };
                    return Ok(None);
                }
                End::Open if self.ended => {
                    self.plain = self.rest().len();
                    return Ok(None);
                }
                End::Open if self.rest().len() > LINE_LIMIT => return self.long_document(ends).map(Some),
                End::Open => {
                    at = self.rest().len();
                    self.fill((2 * at).clamp(BLOCK, LINE_LIMIT + 1))?;
                }
            }
        }
    }

    /// Gives a calendar, unfolded, up to its last line, else up to the end of the dump.
    fn calendar(&mut self, start: usize) -> Result<Piece, IntakeError> {
        let mut at = start;
        loop {
            let rest = self.rest();
            match calendar::end(&rest[at..]) {
                Some(length) if at + length - start <= LINE_LIMIT => at += length,
                None if self.ended && rest.len() - start <= LINE_LIMIT => at = rest.len(),
                None if rest.len() - start <= LINE_LIMIT => {
                    // The last line may not be whole yet.
                    at = start.max(memchr::memrchr(b'\n', rest).map_or(start, |end| end + 1));
                    self.fill((2 * rest.len()).clamp(BLOCK, start + LINE_LIMIT + BLOCK))?;
                    continue;
                }
                _ => return self.long_calendar(start),
            }
            let line = self.line + 1 + memchr::memchr_iter(b'\n', &self.rest()[..start]).count() as u64;
            let bytes = calendar::unfolded(&self.rest()[start..at]);
            self.take_text(at);
            return Ok(Piece::Document { line, bytes });
        }
    }

    /// Gives what ends its brackets at `end`, unless the line goes on with what is no text: then none of it is.
    fn document_within(&mut self, start: usize, end: usize) -> Result<Option<Piece>, IntakeError> {
        self.fill(end + BEYOND)?;
        let rest = self.rest();
        let behind = &rest[end..];
        let blanks = behind.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r')).count();
        let goes_on = !matches!(behind.get(blanks), None | Some(b'\n')) && !opens(behind);
        if goes_on && memchr::memchr(b'\n', &rest[start..end]).is_none() {
            self.plain = end;
            return Ok(None);
        }
        let line = self.line + 1 + memchr::memchr_iter(b'\n', &rest[..start]).count() as u64;
        let bytes = rest[start..end].to_vec();
        self.take_text(end);
        Ok(Some(if bytes.len() > LINE_LIMIT { long(line, &bytes) } else { Piece::Document { line, bytes } }))
    }

    /// What is ahead.
    fn rest(&self) -> &[u8] {
        &self.ahead[self.at..]
    }

    /// Takes bytes that were given, and counts their line ends.
    fn take(&mut self, end: usize) {
        self.line += memchr::memchr_iter(b'\n', &self.rest()[..end]).count() as u64;
        self.at += end;
        self.plain = self.plain.saturating_sub(end);
    }

    /// Takes a text, and the blanks behind it up to the end of its last line.
    fn take_text(&mut self, end: usize) {
        let behind = &self.rest()[end..];
        let blanks = behind.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r')).count();
        let line_end = behind.get(blanks) == Some(&b'\n');
        self.take(end + if line_end { blanks + 1 } else { 0 });
        self.plain = 0;
    }

    /// Reads ahead until so much is there, or the dump ends: a block more, so that little is moved.
    fn fill(&mut self, wanted: usize) -> Result<(), IntakeError> {
        if self.ended || self.rest().len() >= wanted {
            return Ok(());
        }
        self.ahead.drain(..std::mem::take(&mut self.at));
        let missing = wanted + BLOCK - self.ahead.len();
        self.ahead.reserve(missing);
        let read = (&mut self.reader).take(missing as u64).read_to_end(&mut self.ahead).map_err(|e| self.failed(e))?;
        self.ended = read < missing;
        Ok(())
    }

    fn failed(&self, source: io::Error) -> IntakeError {
        IntakeError::Read { source_name: self.name.clone(), line: self.line, source }
    }
}

/// Whether a calendar begins with this line.
fn begins_calendar(line: &[u8]) -> bool {
    // Of nearly every line its first byte tells.
    !matches!(line.first(), Some(b'{' | b'[')) && calendar::begins(&line[blank(line)..])
}

/// Whether an object or array begins here.
fn opens(bytes: &[u8]) -> bool {
    matches!(bytes.get(blank(bytes)), Some(b'{' | b'['))
}

/// What begins each text of a sequence (RFC 7464), as `jq --seq` writes it.
pub(crate) const SEPARATOR: u8 = 0x1e;

/// How many bytes at the beginning say nothing: blanks, byte order marks, and what separates records.
pub(crate) fn blank(bytes: &[u8]) -> usize {
    let mut at = 0;
    loop {
        match &bytes[at..] {
            [b' ' | b'\t' | b'\n' | b'\r' | SEPARATOR, ..] => at += 1,
            rest if rest.starts_with(MARK) => at += MARK.len(),
            _ => return at,
        }
    }
}

/// Whether a line opens brackets that it does not close: it ends in the middle of something, or the next line begins
/// there. After a whole text comes another, never a comma or a closing bracket.
pub(crate) fn goes_on(line: &[u8], next: &[u8]) -> bool {
    let inside = &line[blank(line)..];
    if !matches!(inside.first(), Some(b'{' | b'[')) {
        return false;
    }
    if !matches!(inside.trim_ascii_end().last(), Some(b'}' | b']')) {
        return true;
    }
    let beyond = &next[..next.len().min(BEYOND)];
    matches!(beyond.trim_ascii_start().first(), Some(b',' | b']' | b'}'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Source;

    fn pieces(text: &str) -> Vec<Piece> {
        let mut blocks = Source::Lines { name: "t".into(), text: text.into() }.open().unwrap();
        std::iter::from_fn(|| blocks.next_piece().unwrap()).collect()
    }

    fn lines(text: &str) -> Vec<String> {
        let said = |piece| match piece {
            Piece::Lines { first, bytes } => {
                let text = String::from_utf8(bytes).unwrap();
                (first..).zip(text.lines()).map(|(n, line)| format!("{n} {}", line.len())).collect::<Vec<_>>()
            }
            Piece::Document { line, bytes } => vec![format!("{line} document {}", bytes.len())],
            Piece::Long { line, length, .. } => vec![format!("{line} long {length}")],
        };
        pieces(text).into_iter().flat_map(said).collect()
    }

    #[test]
    fn lines_keep_their_numbers_however_they_are_cut_into_blocks() {
        let line = "x".repeat(700_000);
        let text = format!("{line}\n{line}\n\n{line}\nlast");
        assert_eq!(lines(&text), ["1 700000", "2 700000", "3 0", "4 700000", "5 4"]);
        assert_eq!(lines(""), Vec::<String>::new());
        assert_eq!(lines("\n"), ["1 0"]);
    }

    #[test]
    fn what_goes_on_over_lines_is_one_document_and_the_next_may_begin_behind_it() {
        let pretty = "{\n  \"a\": [\n    1\n  ]\n}";
        assert_eq!(
            lines(&format!("{{}}\n{pretty}{pretty}\n{{}}\n")),
            ["1 2", "2 document 22", "6 document 22", "11 2"]
        );
        assert_eq!(lines(&format!("{pretty}\n\n{pretty}")), ["1 document 22", "6 0", "7 document 22"]);
        assert_eq!(lines("[{}\n,{}\n]\n[\n]"), ["1 document 9", "4 document 3"]);
        assert_eq!(lines("{\"a\":[{}\n]}\n{}"), ["1 document 11", "3 2"]);
        assert_eq!(lines(&format!("{{}}{pretty}")), ["1 document 2", "1 document 22"]);
        assert_eq!(lines(&format!("\u{feff}{pretty}\u{feff}{pretty}")), ["1 document 22", "5 document 22"]);
    }

    #[test]
    fn a_line_that_was_cut_off_swallows_no_other() {
        for torn in ["{\"a\":\"b", "{\"a\":{\"b\":1,", "[1,{\"a\":", "{\"a\":1", "{\"a\":1} // note", "[2026-10-01] x"]
        {
            let text = format!("{{}}\n{torn}\n{{\"c\":1}}\n{{\"d\":1}}\n");
            let want = ["1 2".to_owned(), format!("2 {}", torn.len()), "3 7".to_owned(), "4 7".to_owned()];
            assert_eq!(lines(&text), want, "{torn}");
            let last = format!("{{}}\n{torn}");
            assert_eq!(lines(&last), want[..2], "{torn}");
        }
    }

    #[test]
    fn texts_on_one_line_may_be_more_than_a_line_can_hold() {
        let text = format!("{{\"a\":\"{}\"}}", "x".repeat(700_000));
        let all = pieces(&text.repeat(30));
        assert_eq!(all.len(), 30);
        for piece in all {
            let (Piece::Document { line: 1, bytes } | Piece::Lines { first: 1, bytes }) = piece else {
                panic!("line 1")
            };
            assert!(bytes == text.as_bytes());
        }
    }

    #[test]
    fn a_line_over_the_limit_is_cut_but_measured() {
        let long = "x".repeat(LINE_LIMIT + 10);
        for end in ["\n", "\r\n"] {
            let all = pieces(&format!("a\n{long}{end}next\n"));
            let [_, Piece::Long { line: 2, length, hash, .. }, Piece::Lines { first: 3, .. }] = &all[..] else {
                panic!("the second line is long")
            };
            assert_eq!(*length, long.len() as u64);
            assert_eq!(*hash, domain::identity::hash128(long.as_bytes()));
        }
    }

    #[test]
    fn a_document_over_the_limit_is_one_and_measured() {
        let item = format!("  \"{}\",\n", "x".repeat(1000));
        let whole = format!("[\n{}  1\n]", item.repeat(LINE_LIMIT / 1000 + 5000));
        for (text, length) in [
            (format!("{whole}\n{{}}\n"), whole.len()),
            (format!("{whole}{{}}\n"), whole.len()),
            // It breaks with its last line.
            (format!("{} 2 {{\n{{}}\n", &whole[..whole.len() - 2]), whole.len() - 2 + 4),
        ] {
            let all = pieces(&text);
            let [Piece::Long { line: 1, length: found, hash, .. }, Piece::Lines { bytes, .. }] = &all[..] else {
                panic!("{}", all.len())
            };
            assert_eq!(*found as usize, length);
            assert_eq!(*hash, domain::identity::hash128(&text.as_bytes()[..length]));
            assert_eq!(bytes, b"{}\n");
        }
    }

    #[test]
    fn brackets_that_never_close_cost_little() {
        let text = format!("{}{}}}", "[\n".repeat(120), "1,\n".repeat(1 << 20));
        let began = std::time::Instant::now();
        let count: usize = pieces(&text)
            .iter()
            .map(|piece| match piece {
                Piece::Lines { bytes, .. } => bytes.len(),
                _ => 0,
            })
            .sum();
        assert_eq!(count, text.len());
        assert!(began.elapsed().as_secs() < 20, "{:?}", began.elapsed());
    }
}
