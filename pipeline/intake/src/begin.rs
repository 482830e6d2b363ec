//! How a dump begins: which format it is, or what it looks like that no format reads.

use crate::error::IntakeError;
use crate::formats::{Format, Guess, Head};
use crate::lines::unmarked;
use crate::source::{Blocks, blank};
use domain::Reason;
use domain::json::Tape;
use domain::json::ends::{End, Ends};
use domain::privacy::Columns;

/// Of a text so much is looked at, in bytes: what a format is known by stands at its beginning.
const GLIMPSE: usize = 1 << 16;

/// What a dump is.
#[derive(Clone)]
pub(super) struct Begin {
    pub(super) format: &'static Format,
    /// Why what cannot be taken of it cannot, where no format knows any of it.
    pub(super) unknown: Option<&'static str>,
    /// Of a table that no format knows: which of its columns hold people.
    pub(super) columns: Option<Columns>,
}

impl Begin {
    pub(super) fn of(format: &'static Format) -> Self {
        Self { format, unknown: None, columns: None }
    }

    /// Why a text is refused. Where nobody knows the dump, its lack of a `type` says nothing. A zero is in no text, and in
    /// one that was decoded to nonsense no pattern finds anything: nothing of such is kept.
    pub(super) fn reason(&self, reason: Reason, text: &str, is_utf8: bool) -> Reason {
        match (self.unknown, &reason) {
            (_, Reason::NotJson) if !is_utf8 || memchr::memchr(0, text.as_bytes()).is_some() => Reason::Encoding,
            (Some(what), Reason::NotJson | Reason::NotAnObject | Reason::Timestamp | Reason::Type) => {
                Reason::Unknown(what)
            }
            _ => reason,
        }
    }
}

/// Looks at the beginning of a dump: the first text or line that a format is sure of decides, after whatever log lines
/// and empty objects. None when the dump is empty.
pub(super) fn begin(blocks: &mut Blocks, format: Option<&'static Format>) -> Result<Option<Begin>, IntakeError> {
    let (bytes, is_all) = blocks.look()?;
    if bytes.is_empty() {
        return Ok(None);
    }
    if let Some(format) = format {
        return Ok(Some(Begin::of(format)));
    }
    let (mut tape, mut perhaps) = (Tape::default(), None);
    let mut unknown: Option<&'static str> = None;
    let mut at = blank(bytes);
    while at < bytes.len() {
        let (guess, end) = guess(&bytes[at..], is_all, &mut tape);
        match guess {
            Guess::Surely(format) => return Ok(Some(Begin::of(format))),
            Guess::Perhaps(format) => perhaps = perhaps.or(Some(format)),
            Guess::Unknown(what) => unknown = unknown.filter(|known| !Format::is_vague(known)).or(Some(what)),
            Guess::Nothing => {}
        }
        at += end;
        at += blank(&bytes[at..]);
    }
    Ok(Some(match perhaps {
        Some(format) => Begin::of(format),
        None => Begin { format: Format::NATIVE, unknown, columns: columns(bytes) },
    }))
}

/// What the first line says of the columns below it, where it is the header of a table.
fn columns(bytes: &[u8]) -> Option<Columns> {
    let bytes = &bytes[blank(bytes)..];
    let line = memchr::memchr(b'\n', bytes).unwrap_or(bytes.len());
    Columns::of(std::str::from_utf8(&bytes[..line]).ok()?)
}

/// What a single text looks like.
pub(super) fn of_text(text: &str) -> Begin {
    match guess(text.as_bytes(), true, &mut Tape::default()).0 {
        Guess::Surely(format) | Guess::Perhaps(format) => Begin::of(format),
        Guess::Unknown(what) => Begin { format: Format::NATIVE, unknown: Some(what), columns: None },
        Guess::Nothing => Begin::of(Format::NATIVE),
    }
}

/// What begins here looks like, and after how many bytes something else begins.
fn guess(bytes: &[u8], is_all: bool, tape: &mut Tape) -> (Guess, usize) {
    let line = memchr::memchr(b'\n', bytes).unwrap_or(bytes.len());
    let as_text = || match std::str::from_utf8(&bytes[..line.min(GLIMPSE)]) {
        Ok(text) => Format::guess(&Head::Text(text.trim_end())),
        Err(_) => Guess::Nothing,
    };
    if !matches!(bytes.first(), Some(b'{' | b'[')) {
        return (as_text(), line);
    }
    let mut ends = Ends::default();
    let (glimpse, rest) = bytes.split_at(bytes.len().min(GLIMPSE));
    let (json, end) = match ends.feed(glimpse) {
        End::At(end) => (glimpse[..end].to_vec(), end),
        End::Broken(_) => return (as_text(), line),
        End::Open => {
            let json = ends.closed(glimpse);
            match ends.feed(rest) {
                End::At(end) => (json, GLIMPSE + end),
                // It is longer than what was looked at, or was cut off.
                End::Open if !is_all => (json, bytes.len()),
                End::Open | End::Broken(_) => return (as_text(), line),
            }
        }
    };
    let value = std::str::from_utf8(&json).ok().and_then(|text| Some(tape.scan(&unmarked(text)).ok()?.value(0)));
    match value {
        Some(value) => (Format::guess(&Head::Json(&value)), end),
        None => (as_text(), line),
    }
}
