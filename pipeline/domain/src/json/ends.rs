//! Where a JSON text ends that may go on over lines and blocks: brackets and strings are followed, nothing is kept.
//!
//! The grammar is checked only as far as tells a text from a line that was cut off: whether it is JSON after all is for
//! [`Tape`](super::Tape) to say.

use super::{DEPTH_LIMIT, string_stop};

/// Follows one text, an object or an array, piece by piece.
#[derive(Clone, Debug, Default)]
pub struct Ends {
    /// One bit for each open bracket, the innermost lowest: whether it is an object's.
    open: u128,
    depth: usize,
    next: Next,
    /// Whether the next byte of a string belongs to an escape.
    escaped: bool,
    /// Bytes of what was fed up to the end of the last whole value, when anything is open.
    whole: usize,
    /// The brackets that were open there.
    open_there: (u128, usize),
    fed: usize,
}

/// What may come next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Next {
    #[default]
    Value,
    /// A value, or the end of its array.
    FirstValue,
    Key,
    /// A key, or the end of its object.
    FirstKey,
    Colon,
    /// A comma, or the end of what it is in.
    Comma,
    InKey,
    InString,
    InScalar,
}

/// What is known of a text after a piece of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It ends after so many bytes of this piece.
    At(usize),
    /// It goes on.
    Open,
    /// It is no JSON, known after so many bytes of this piece.
    Broken(usize),
}

impl Ends {
    /// Follows the next piece. What comes after the end of the text, or after what breaks it, is not looked at.
    pub fn feed(&mut self, bytes: &[u8]) -> End {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            match self.next {
                Next::InKey | Next::InString => {
                    if std::mem::take(&mut self.escaped) {
                        at += 1;
                        continue;
                    }
                    at = string_stop(bytes, at);
                    match bytes.get(at) {
                        None => break,
                        Some(b'"') if self.next == Next::InKey => self.next = Next::Colon,
                        Some(b'"') => self.value_ended(at + 1),
                        Some(b'\\') => self.escaped = true,
                        // A line that was cut off inside a string, most often.
                        Some(_) => return End::Broken(at),
                    }
                    at += 1;
                }
                Next::InScalar if byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.') => at += 1,
                Next::InScalar => self.value_ended(at),
                _ if matches!(byte, b' ' | b'\t' | b'\n' | b'\r') => at += 1,
                // A byte order mark between two values, where dumps were put together: it is taken out before it is read.
                _ if self.depth > 0 && matches!(byte, 0xef | 0xbb | 0xbf | 0x1e) => at += 1,
                _ => {
                    if !self.step(byte, at + 1) {
                        return End::Broken(at);
                    }
                    at += 1;
                    if self.depth == 0 {
                        return End::At(at);
                    }
                }
            }
        }
        self.fed += bytes.len();
        End::Open
    }

    /// The beginning of what was fed up to its last whole value, with every bracket closed: JSON again, if it ever was.
    /// `fed` must be all that was fed.
    pub fn closed(&self, fed: &[u8]) -> Vec<u8> {
        let (open, depth) = self.open_there;
        let mut text = fed.get(..self.whole).unwrap_or_default().to_vec();
        text.extend((0..depth).map(|level| if open >> level & 1 == 1 { b'}' } else { b']' }));
        text
    }

    fn is_object(&self) -> bool {
        self.open & 1 == 1
    }

    fn step(&mut self, byte: u8, end: usize) -> bool {
        self.next = match (self.next, byte) {
            (Next::Value | Next::FirstValue, b'{' | b'[') => {
                if self.depth == DEPTH_LIMIT {
                    return false;
                }
                self.open = self.open << 1 | u128::from(byte == b'{');
                self.depth += 1;
                // Also nothing at all is a whole beginning.
                (self.whole, self.open_there) = (self.fed + end, (self.open, self.depth));
                if byte == b'{' { Next::FirstKey } else { Next::FirstValue }
            }
            // Only what is in brackets has an end of its own.
            _ if self.depth == 0 => return false,
            (Next::Value | Next::FirstValue, b'"') => Next::InString,
            (Next::Value | Next::FirstValue, b'-' | b'0'..=b'9' | b't' | b'f' | b'n') => Next::InScalar,
            (Next::Key | Next::FirstKey, b'"') => Next::InKey,
            (Next::Colon, b':') => Next::Value,
            (Next::Comma, b',') if self.is_object() => Next::Key,
            (Next::Comma, b',') => Next::Value,
            (Next::FirstKey, b'}') | (Next::FirstValue, b']') => return self.close(end),
            (Next::Comma, b'}') if self.is_object() => return self.close(end),
            (Next::Comma, b']') if !self.is_object() => return self.close(end),
            _ => return false,
        };
        true
    }

    fn close(&mut self, end: usize) -> bool {
        self.open >>= 1;
        self.depth -= 1;
        self.value_ended(end);
        true
    }

    fn value_ended(&mut self, end: usize) {
        self.next = Next::Comma;
        (self.whole, self.open_there) = (self.fed + end, (self.open, self.depth));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn end(text: &str) -> End {
        Ends::default().feed(text.as_bytes())
    }

    #[test]
    fn a_text_ends_with_its_last_bracket_whatever_follows() {
        assert_eq!(end(r#"{"a":[1,"}]"],"b":{}} rest"#), End::At(21));
        assert_eq!(end("[\n  1,\n  2\n]{"), End::At(12));
        assert_eq!(end(r#"{"a\"}":"\\"}"#), End::At(13));
        for open in ["", "{", "[1", "[1,", r#"{"a"#, r#"{"a\"#, r#"{"a":"#, "[\n"] {
            assert_eq!(end(open), End::Open, "{open}");
        }
    }

    #[test]
    fn a_line_that_was_cut_off_does_not_swallow_the_next() {
        for broken in
            ["{\"a\":\"b\n{\"c\":1}", "{\"a\":1,\n{\"b\":2}", "[1 2]", "{\"a\":}", "[}", "{]", "x", "1", "[,]"]
        {
            assert!(matches!(end(broken), End::Broken(_)), "{broken}: {:?}", end(broken));
        }
        assert!(matches!(end(&"[".repeat(200)), End::Broken(_)));
    }

    #[test]
    fn a_beginning_can_be_closed_at_any_byte() {
        let value = json!({"status": "ok", "data": {"list": [{"a": 1.5, "b": "x\"y"}, [true, null]], "n": -2}});
        let text = value.to_string();
        for cut in 1..text.len() {
            let mut ends = Ends::default();
            assert_eq!(ends.feed(&text.as_bytes()[..cut / 2]), End::Open);
            assert_eq!(ends.feed(&text.as_bytes()[cut / 2..cut]), End::Open);
            let closed = ends.closed(&text.as_bytes()[..cut]);
            assert!(serde_json::from_slice::<Value>(&closed).is_ok(), "{}", String::from_utf8_lossy(&closed));
        }
    }

    proptest! {
        #[test]
        fn however_it_is_cut_the_end_is_the_same(list in proptest::collection::vec("\\PC{0,8}", 0..5), cut in 0usize..200) {
            let text = json!({"list": list, "more": [list]}).to_string();
            let mut ends = Ends::default();
            let cut = cut.min(text.len());
            let first = ends.feed(&text.as_bytes()[..cut]);
            let got = match first {
                End::Open => match ends.feed(&text.as_bytes()[cut..]) {
                    End::At(at) => End::At(cut + at),
                    other => other,
                },
                done => done,
            };
            prop_assert_eq!(got, End::At(text.len()));
        }
    }
}
