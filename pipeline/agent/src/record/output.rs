//! What a command's output says: how many tests passed, which packages came from a registry.
//!
//! Takes the bytes as they pass, in any pieces, and keeps one line at a time. Text that is not known is passed over.

mod counts;
mod packages;

pub(crate) use counts::Counts;
use counts::Tests;
use packages::Packages;
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use std::collections::VecDeque;

/// No line that is looked for is longer.
const LINE_BYTES: usize = 4096;

/// Reads one stream of a command.
#[derive(Default)]
pub(crate) struct Reader {
    line: Vec<u8>,
    too_long: bool,
    tests: Tests,
    packages: Packages,
    sample_bytes: usize,
    sample: VecDeque<u8>,
}

/// What was read, of one stream or several.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Findings {
    pub(crate) counts: Counts,
    /// Package URLs (purl) in the order of their names.
    pub(crate) packages: Vec<String>,
    /// Packages that were added without a name (npm).
    pub(crate) packages_added: Option<u64>,
    /// The end of the stream, if it was asked for.
    pub(crate) sample: String,
}

impl Reader {
    /// Keeps the last `sample_bytes` of the stream besides.
    pub(crate) fn new(sample_bytes: usize) -> Self {
        Self { sample_bytes, ..Self::default() }
    }

    pub(crate) fn take(&mut self, bytes: &[u8]) {
        if self.sample_bytes > 0 {
            self.sample.extend(&bytes[bytes.len().saturating_sub(self.sample_bytes)..]);
            let more = self.sample.len().saturating_sub(self.sample_bytes);
            self.sample.drain(..more);
        }
        let mut from = 0;
        // A progress bar goes back to the start of its line and writes over it: the last text counts.
        for end in memchr::memchr2_iter(b'\n', b'\r', bytes) {
            self.add(&bytes[from..end]);
            self.end_line();
            from = end + 1;
        }
        self.add(&bytes[from..]);
    }

    fn add(&mut self, bytes: &[u8]) {
        if self.line.len() + bytes.len() > LINE_BYTES {
            self.too_long = true;
        }
        if !self.too_long {
            self.line.extend_from_slice(bytes);
        }
    }

    fn end_line(&mut self) {
        if !self.too_long && !self.line.is_empty() {
            let text = String::from_utf8_lossy(&self.line);
            let text = without_colour(&text);
            let text = text.trim();
            if !text.is_empty() {
                self.tests.line(text);
                self.packages.line(text);
            }
        }
        self.line.clear();
        self.too_long = false;
    }

    pub(crate) fn findings(&mut self) -> Findings {
        self.end_line();
        let (packages, packages_added) = self.packages.found();
        let sample = String::from_utf8_lossy(self.sample.make_contiguous()).into_owned();
        Findings { counts: self.tests.counts(), packages, packages_added, sample }
    }
}

impl Findings {
    /// Both streams of one command.
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.counts = self.counts.and(other.counts);
        self.packages.extend(other.packages);
        self.packages.sort();
        self.packages.dedup();
        self.packages_added = added(self.packages_added, other.packages_added);
        self.sample.push_str(&other.sample);
        self
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({
            "passed": self.counts.passed, "failed": self.counts.failed, "skipped": self.counts.skipped,
            "packages": self.packages, "packages_added": self.packages_added, "sample": self.sample,
        })
    }

    /// What [`Self::to_json`] wrote; nothing where it is something else.
    pub(crate) fn from_json(text: &str) -> Self {
        let Ok(Value::Object(map)) = serde_json::from_str::<Value>(text) else { return Self::default() };
        let count = |map: &Map<String, Value>, name: &str| map.get(name).and_then(Value::as_u64);
        let packages = map.get("packages").and_then(Value::as_array).into_iter().flatten();
        Self {
            counts: Counts {
                passed: count(&map, "passed"),
                failed: count(&map, "failed"),
                skipped: count(&map, "skipped"),
            },
            packages: packages.filter_map(|name| name.as_str().map(str::to_owned)).collect(),
            packages_added: count(&map, "packages_added"),
            sample: map.get("sample").and_then(Value::as_str).unwrap_or_default().to_owned(),
        }
    }
}

fn added(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.saturating_add(b)),
        (a, b) => a.or(b),
    }
}

/// Without the control sequences of a terminal (ECMA-48: ESC `[` … one byte from `@` to `~`).
fn without_colour(text: &str) -> Cow<'_, str> {
    if !text.contains('\u{1b}') {
        return Cow::Borrowed(text);
    }
    let mut parts = text.split('\u{1b}');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.strip_prefix('[') {
            Some(rest) => {
                let end = rest.find(|c: char| ('@'..='~').contains(&c));
                plain.push_str(end.map_or("", |end| &rest[end + 1..]));
            }
            None => plain.push_str(part.get(1..).unwrap_or_default()),
        }
    }
    Cow::Owned(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_any_size_read_the_same() {
        let text = "   Compiling serde v1.0.219\r\n\u{1b}[1mrunning 2 tests\u{1b}[0m\n\
                    test result: \u{1b}[32mok\u{1b}[0m. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out\n";
        let mut whole = Reader::new(10);
        whole.take(text.as_bytes());
        let whole = whole.findings();
        assert_eq!(whole.counts.passed, Some(2));
        assert_eq!(whole.packages, ["pkg:cargo/serde@1.0.219"]);
        assert_eq!(whole.sample, "tered out\n");
        for size in 1..20 {
            let mut reader = Reader::new(10);
            text.as_bytes().chunks(size).for_each(|piece| reader.take(piece));
            assert_eq!(reader.findings(), whole, "pieces of {size}");
        }
        assert_eq!(Findings::from_json(&whole.to_json().to_string()), whole);
    }

    #[test]
    fn endless_lines_and_other_bytes_are_passed_over() {
        let mut reader = Reader::default();
        for _ in 0..1000 {
            reader.take(&[0xff; 5000]);
        }
        assert!(reader.line.len() <= LINE_BYTES);
        reader.take(b"\n3 passed in 0.1s\n");
        assert_eq!(reader.findings().counts.passed, Some(3));
    }
}
