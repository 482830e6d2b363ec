//! Text of any Unicode encoding as UTF-8: UTF-16 and UTF-32, told by a byte order mark or by where the zeros are.
//!
//! PowerShell's `>` writes UTF-16, and its `>>` appends UTF-16 to whatever is there: so the encoding is told anew at
//! the beginning of each line. What is no text under its encoding comes out as bytes that are no UTF-8, so that nobody
//! takes it for text.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Bytes that tell the encoding of a line.
const HEAD: usize = 16;

/// Bytes that are read at a time where something must be decoded.
const CHUNK: usize = 1 << 16;

/// In place of what cannot be decoded: no UTF-8 has this byte.
const UNDECODED: u8 = 0xff;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    Utf8,
    Utf16 { little: bool },
    Utf32 { little: bool },
}

impl Encoding {
    /// Bytes of a unit.
    fn unit(self) -> usize {
        match self {
            Self::Utf8 => 1,
            Self::Utf16 { .. } => 2,
            Self::Utf32 { .. } => 4,
        }
    }

    /// The number of a unit.
    fn code(self, bytes: &[u8]) -> u32 {
        match (self, bytes) {
            (Self::Utf16 { little: true }, [a, b]) => u32::from(u16::from_le_bytes([*a, *b])),
            (Self::Utf16 { .. }, [a, b]) => u32::from(u16::from_be_bytes([*a, *b])),
            (Self::Utf32 { little: true }, [a, b, c, d]) => u32::from_le_bytes([*a, *b, *c, *d]),
            (Self::Utf32 { .. }, [a, b, c, d]) => u32::from_be_bytes([*a, *b, *c, *d]),
            _ => 0,
        }
    }
}

/// A reader that gives UTF-8, whatever it reads.
pub(super) struct Decoded<R> {
    raw: R,
    /// Read, but not decoded yet, from `at` on.
    ahead: Vec<u8>,
    at: usize,
    ended: bool,
    encoding: Encoding,
    /// Whether a line begins with what is ahead.
    at_line: bool,
    /// Decoded, but not given yet, from `given` on.
    text: Vec<u8>,
    given: usize,
    /// Set once anything but UTF-8 was met.
    other: Arc<AtomicBool>,
}

impl<R: Read> Decoded<R> {
    /// `other` is set as soon as anything but UTF-8 is met.
    pub(super) fn new(raw: R, other: Arc<AtomicBool>) -> Self {
        let encoding = Encoding::Utf8;
        let (ahead, text) = (Vec::new(), Vec::new());
        Self { raw, ahead, at: 0, ended: false, encoding, at_line: true, text, given: 0, other }
    }

    /// What is to be decoded.
    fn rest(&self) -> &[u8] {
        &self.ahead[self.at..]
    }

    /// Reads more of it.
    fn fill(&mut self) -> io::Result<()> {
        self.ahead.drain(..std::mem::take(&mut self.at));
        let read = (&mut self.raw).take(CHUNK as u64).read_to_end(&mut self.ahead)?;
        self.ended |= read < CHUNK;
        Ok(())
    }

    /// Decodes some of what is ahead: at most one line, or what there is of it.
    fn decode(&mut self) {
        if std::mem::take(&mut self.at_line) {
            let (encoding, mark) = told(self.rest(), self.encoding);
            self.encoding = encoding;
            self.at += mark;
        }
        let encoding = self.encoding;
        let unit = encoding.unit();
        let rest = self.rest();
        let (taken, found) = match encoding {
            Encoding::Utf8 => match memchr::memchr(b'\n', rest) {
                Some(end) => (end + 1, true),
                None => (rest.len(), false),
            },
            _ => match rest.chunks_exact(unit).position(|bytes| encoding.code(bytes) == 0x0a) {
                Some(end) => ((end + 1) * unit, true),
                // A pair of surrogates stays together.
                None => {
                    let whole = rest.len() / unit * unit;
                    let last = whole.checked_sub(unit).map(|at| encoding.code(&rest[at..whole]));
                    let half = last.is_some_and(|last| (0xd800..0xdc00).contains(&last)) && !self.ended;
                    (whole - if half { unit } else { 0 }, false)
                }
            },
        };
        let bytes = &self.ahead[self.at..self.at + taken];
        let text = &mut self.text;
        match encoding {
            Encoding::Utf8 => text.extend_from_slice(bytes),
            Encoding::Utf16 { .. } => {
                let units = bytes.chunks_exact(2).map(|unit| encoding.code(unit) as u16);
                char::decode_utf16(units).for_each(|char| push(char.ok(), text));
            }
            Encoding::Utf32 { .. } => {
                bytes.chunks_exact(4).for_each(|unit| push(char::from_u32(encoding.code(unit)), text));
            }
        }
        if encoding != Encoding::Utf8 {
            self.other.store(true, Ordering::Relaxed);
        }
        self.at += taken;
        self.at_line = found;
        // Half a unit at the very end.
        if self.ended && !found && (1..unit).contains(&self.rest().len()) {
            self.at = self.ahead.len();
            self.text.push(UNDECODED);
        }
    }
}

fn push(char: Option<char>, text: &mut Vec<u8>) {
    match char {
        Some('\0') | None => text.push(UNDECODED),
        Some(char) => text.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes()),
    }
}

impl<R: Read> Read for Decoded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            if self.given < self.text.len() {
                let read = (&self.text[self.given..]).read(buffer)?;
                self.given += read;
                if self.given == self.text.len() {
                    self.text.clear();
                    self.given = 0;
                }
                return Ok(read);
            }
            // Nearly every dump is UTF-8 and nothing else: it goes through as it is.
            if self.rest().is_empty() && self.encoding == Encoding::Utf8 && !self.ended {
                let read = self.raw.read(buffer)?;
                if read == 0 {
                    self.ended = true;
                    return Ok(0);
                }
                let line = memchr::memrchr(b'\n', &buffer[..read]).map_or(0, |end| end + 1);
                // No text of UTF-8 has any of these bytes.
                let odd = memchr::memchr3(0, 0xfe, 0xff, &buffer[..read]).is_some();
                // The beginning of a line is looked at when there is enough of it.
                let short = (line > 0 || self.at_line) && line < read && read - line < HEAD;
                let passed = match (odd, short) {
                    (true, _) => 0,
                    (false, true) => line,
                    (false, false) => read,
                };
                self.ahead.clear();
                self.at = 0;
                self.ahead.extend_from_slice(&buffer[passed..read]);
                if passed > 0 {
                    self.at_line = line == passed;
                    return Ok(passed);
                }
            }
            if self.rest().len() < HEAD && !self.ended {
                self.fill()?;
            }
            let before = self.rest().len();
            if before == 0 {
                return Ok(0);
            }
            self.decode();
            // Less than a unit, or half a pair: more is needed.
            if self.rest().len() == before && !self.ended {
                self.fill()?;
            }
        }
    }
}

/// The encoding of a line by its first bytes, and how many of them are a byte order mark.
fn told(head: &[u8], before: Encoding) -> (Encoding, usize) {
    const MARKS: &[(&[u8], Encoding)] = &[
        (&[0xff, 0xfe, 0, 0], Encoding::Utf32 { little: true }),
        (&[0, 0, 0xfe, 0xff], Encoding::Utf32 { little: false }),
        (&[0xff, 0xfe], Encoding::Utf16 { little: true }),
        (&[0xfe, 0xff], Encoding::Utf16 { little: false }),
        (&[0xef, 0xbb, 0xbf], Encoding::Utf8),
    ];
    if let Some((mark, encoding)) = MARKS.iter().find(|(mark, _)| head.starts_with(mark)) {
        // That of UTF-8 is left: it may also stand between two texts of one line.
        return (*encoding, if *encoding == Encoding::Utf8 { 0 } else { mark.len() });
    }
    // RFC 4627, section 3: JSON begins with two letters of ASCII, and its zeros tell the encoding.
    let ascii = is_ascii;
    let encoding = match *head {
        [a, 0, 0, 0, ..] if ascii(a) => Encoding::Utf32 { little: true },
        [0, 0, 0, a, ..] if ascii(a) => Encoding::Utf32 { little: false },
        [a, 0, b, 0, ..] if ascii(a) && ascii(b) => Encoding::Utf16 { little: true },
        [0, a, 0, b, ..] if ascii(a) && ascii(b) => Encoding::Utf16 { little: false },
        [a, 0] if ascii(a) => Encoding::Utf16 { little: true },
        [0, a] if ascii(a) => Encoding::Utf16 { little: false },
        [b'{' | b'[', a, ..] if ascii(a) => Encoding::Utf8,
        // Two letters of Chinese may look like four of ASCII, more of them hardly.
        _ if is_ascii_line(head) => Encoding::Utf8,
        _ => before,
    };
    (encoding, 0)
}

fn is_ascii(byte: u8) -> bool {
    matches!(byte, b'\t' | b'\n' | b'\r' | b' '..=b'~')
}

fn is_ascii_line(head: &[u8]) -> bool {
    let line = head.split_inclusive(|byte| *byte == b'\n').next().unwrap_or_default();
    line.len() >= 4 && line.iter().take(HEAD).all(|byte| is_ascii(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: [&str; 3] = ["{\"a\":\"é€𝄞\"}\n", "{\"b\":2}\r\n", "\n{\"中文字中文字\":\"中文\"}"];

    fn utf16(text: &str, little: bool) -> Vec<u8> {
        text.encode_utf16().flat_map(|unit| if little { unit.to_le_bytes() } else { unit.to_be_bytes() }).collect()
    }

    fn utf32(text: &str, little: bool) -> Vec<u8> {
        let bytes = |char: char| if little { u32::from(char).to_le_bytes() } else { u32::from(char).to_be_bytes() };
        text.chars().flat_map(bytes).collect()
    }

    /// A reader that gives so many bytes at a time.
    struct Slow<'b>(&'b [u8], usize);

    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let some = self.1.min(buffer.len());
            (&mut self.0).take(some as u64).read(buffer)
        }
    }

    fn decoded(bytes: &[u8]) -> Vec<u8> {
        let all: Vec<Vec<u8>> = [1, 3, 7, 1 << 20]
            .into_iter()
            .map(|step| {
                let mut text = Vec::new();
                Decoded::new(Slow(bytes, step), Arc::default()).read_to_end(&mut text).unwrap();
                text
            })
            .collect();
        assert!(all.windows(2).all(|pair| pair[0] == pair[1]), "depends on how it is read: {all:?}");
        all.into_iter().next().unwrap()
    }

    #[test]
    fn every_encoding_gives_the_same_text_with_and_without_its_mark() {
        let text = LINES.concat();
        type Encode<'f> = &'f dyn Fn(&str) -> Vec<u8>;
        let encode: [(Encode, &str); 5] = [
            (&|text| text.as_bytes().to_vec(), "utf-8"),
            (&|text| utf16(text, true), "utf-16le"),
            (&|text| utf16(text, false), "utf-16be"),
            (&|text| utf32(text, true), "utf-32le"),
            (&|text| utf32(text, false), "utf-32be"),
        ];
        for (encode, name) in encode {
            let want = if name == "utf-8" { format!("\u{feff}{text}") } else { text.clone() };
            assert_eq!(String::from_utf8(decoded(&encode(&text))).unwrap(), text, "{name}");
            let marked = decoded(&encode(&format!("\u{feff}{text}")));
            assert_eq!(String::from_utf8(marked).unwrap(), want, "{name}, marked");
        }
    }

    #[test]
    fn lines_of_several_encodings_are_told_one_by_one() {
        let [a, b, _] = LINES;
        let c = "{\"c\":3}\n";
        let mixed = [a.as_bytes(), &utf16(b, true), c.as_bytes(), &utf16("\u{feff}", false), &utf16(c, false)].concat();
        assert_eq!(String::from_utf8(decoded(&mixed)).unwrap(), [a, b, c, c].concat());
        let mixed = [&utf32(a, false)[..], &utf16(c, false), b"{\"as usual\":1}\n"].concat();
        assert_eq!(String::from_utf8(decoded(&mixed)).unwrap(), [a, c, "{\"as usual\":1}\n"].concat());
    }

    #[test]
    fn what_is_no_text_comes_out_as_none() {
        let mut odd = utf16("{\"a\":1}", true);
        odd.push(b'}');
        assert!(String::from_utf8(decoded(&odd)).is_err());
        let lone = [&utf16("{\"a\":\"", true)[..], &[0, 0xd8], &utf16("\"}\n{\"b\":1}\n", true)].concat();
        let text = decoded(&lone);
        assert!(String::from_utf8(text.clone()).is_err());
        assert!(text.ends_with(b"\n{\"b\":1}\n"));
        let binary: Vec<u8> = (0..=255).cycle().take(5000).collect();
        decoded(&binary);
        decoded(b"");
        decoded(b"\0");
        assert_eq!(decoded(b"a\0b"), b"a\0b", "a line of UTF-8 with a zero inside stays what it is");
    }
}
