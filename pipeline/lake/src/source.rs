//! Dumps as they come: files, folders, patterns, standard input; plain, gzip or zstd; one line at a time in bounded memory.

use crate::error::LakeError;
use domain::event::LINE_LIMIT;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::{Path, PathBuf};

/// One dump to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// `-`
    Stdin,
    /// A file on this machine.
    File(PathBuf),
    /// Events made by this program.
    Lines {
        /// Shown in rejects.
        name: String,
        /// NDJSON.
        text: String,
    },
}

const ENDINGS: &[&str] = &["ndjson", "jsonl", "json"];

impl Source {
    /// Finds the dumps that an argument of `ingest` names: `-`, a file, a folder (searched), or a pattern.
    pub fn find(argument: &str) -> Result<Vec<Self>, LakeError> {
        if argument == "-" {
            return Ok(vec![Self::Stdin]);
        }
        let path = Path::new(argument.strip_prefix("file://").unwrap_or(argument));
        if path.is_dir() {
            let mut found = Vec::new();
            walk(path, &mut found).map_err(|source| LakeError::Read {
                source_name: argument.to_owned(),
                line: 0,
                source,
            })?;
            found.sort();
            return if found.is_empty() {
                Err(LakeError::NoDumps(argument.to_owned()))
            } else {
                Ok(found.into_iter().map(Self::File).collect())
            };
        }
        if path.exists() {
            return Ok(vec![Self::File(path.to_owned())]);
        }
        if !argument.contains(['*', '?', '[']) {
            return Err(LakeError::NoSource(argument.to_owned()));
        }
        let mut found: Vec<PathBuf> = glob::glob(argument)
            .map_err(|_| LakeError::NoSource(argument.to_owned()))?
            .filter_map(Result::ok)
            .filter(|path| path.is_file())
            .collect();
        found.sort();
        if found.is_empty() {
            Err(LakeError::NoDumps(argument.to_owned()))
        } else {
            Ok(found.into_iter().map(Self::File).collect())
        }
    }

    /// How it is named to people and in rejects.
    pub fn name(&self) -> String {
        match self {
            Self::Stdin => "-".to_owned(),
            Self::File(path) => path.display().to_string(),
            Self::Lines { name, .. } => name.clone(),
        }
    }

    /// Whether its name promises an archive.
    fn packed(&self) -> bool {
        let ending = match self {
            Self::File(path) => path.extension().and_then(|e| e.to_str()),
            _ => None,
        };
        matches!(ending, Some("gz" | "zst"))
    }

    /// Opens it, unpacking by what the first bytes say, whatever the name says.
    pub fn open(&self) -> Result<Lines, LakeError> {
        let failed = |source| LakeError::Read { source_name: self.name(), line: 0, source };
        let raw: Box<dyn Read + Send> = match self {
            Self::Stdin => Box::new(io::stdin()),
            Self::File(path) => Box::new(File::open(path).map_err(failed)?),
            Self::Lines { text, .. } => Box::new(Cursor::new(text.clone().into_bytes())),
        };
        let mut raw = raw;
        // A pipe may give one byte at a time.
        let mut magic = Vec::new();
        (&mut raw).take(4).read_to_end(&mut magic).map_err(failed)?;
        let packed = self.packed();
        let raw = BufReader::with_capacity(1 << 16, Cursor::new(magic.clone()).chain(raw));
        let reader: Box<dyn Read + Send> = match magic.as_slice() {
            [0x1f, 0x8b, ..] => Box::new(flate2::bufread::MultiGzDecoder::new(raw)),
            [0x28, 0xb5, 0x2f, 0xfd] => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(raw).map_err(failed)?;
                // Dumps made with `zstd --long` use windows up to 2 GiB; 128 MiB bounds what a hostile one may take.
                decoder.window_log_max(27).map_err(failed)?;
                Box::new(decoder)
            }
            _ if packed => return Err(failed(io::Error::new(io::ErrorKind::InvalidData, "it is no archive"))),
            _ => Box::new(raw),
        };
        let mut reader = BufReader::with_capacity(1 << 20, reader);
        // A byte order mark says nothing about UTF-8.
        if reader.fill_buf().map_err(failed)?.starts_with(b"\xef\xbb\xbf") {
            reader.consume(3);
        }
        Ok(Lines { name: self.name(), reader, line: 0 })
    }
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        // A linked folder may lead back here; a linked file is as good as a file.
        if entry.file_type()?.is_dir() {
            walk(&path, found)?;
        } else if path.is_file() && is_dump(&path) {
            found.push(path);
        }
    }
    Ok(())
}

fn is_dump(path: &Path) -> bool {
    let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    let name = name.strip_suffix(".gz").or_else(|| name.strip_suffix(".zst")).unwrap_or(name);
    ENDINGS.iter().any(|ending| name.strip_suffix(ending).is_some_and(|rest| rest.ends_with('.')))
}

/// The lines of an open dump.
pub struct Lines {
    /// The dump.
    pub name: String,
    reader: BufReader<Box<dyn Read + Send>>,
    line: u64,
}

/// One line. A line over the limit is cut, its length and hash are those of the whole.
#[derive(Clone, Debug)]
pub struct Line {
    /// From 1.
    pub number: u64,
    /// Without its line end; at most [`LINE_LIMIT`] + 1 bytes.
    pub bytes: Vec<u8>,
    /// Of the whole line, in bytes.
    pub length: u64,
    /// 128 bits of BLAKE3 over the whole line; only for lines over the limit.
    pub long_hash: Option<String>,
}

impl Lines {
    /// The next line that is not blank.
    pub fn next_line(&mut self) -> Result<Option<Line>, LakeError> {
        loop {
            let Some(line) = self.read_line().map_err(|source| LakeError::Read {
                source_name: self.name.clone(),
                line: self.line,
                source,
            })?
            else {
                return Ok(None);
            };
            if !line.bytes.iter().all(u8::is_ascii_whitespace) {
                return Ok(Some(line));
            }
        }
    }

    /// All that is left, when it is no more than the limit; else nothing, and the lines go on as if nobody had asked.
    pub fn rest(&mut self) -> Result<Option<Vec<u8>>, LakeError> {
        let mut bytes = Vec::new();
        let limit = LINE_LIMIT as u64 + 1;
        (&mut self.reader).take(limit).read_to_end(&mut bytes).map_err(|source| LakeError::Read {
            source_name: self.name.clone(),
            line: self.line,
            source,
        })?;
        if bytes.len() <= LINE_LIMIT {
            return Ok(Some(bytes));
        }
        self.give_back(bytes);
        Ok(None)
    }

    /// Puts back what was read ahead.
    pub fn give_back(&mut self, bytes: Vec<u8>) {
        let nothing: Box<dyn Read + Send> = Box::new(io::empty());
        let after = std::mem::replace(&mut self.reader, BufReader::new(nothing));
        self.reader = BufReader::with_capacity(1 << 20, Box::new(Cursor::new(bytes).chain(after)));
    }

    fn read_line(&mut self) -> io::Result<Option<Line>> {
        let mut bytes = Vec::new();
        let taken = (&mut self.reader).take(LINE_LIMIT as u64 + 1).read_until(b'\n', &mut bytes)?;
        if taken == 0 {
            return Ok(None);
        }
        self.line += 1;
        let (mut length, mut long_hash) = (taken as u64, None);
        if taken > LINE_LIMIT && bytes.last() != Some(&b'\n') {
            let mut hasher = blake3::Hasher::new();
            hasher.update(&bytes);
            length += self.skip_line(&mut hasher)?;
            long_hash = Some(hasher.finalize().to_hex()[..32].to_owned());
        }
        while matches!(bytes.last(), Some(b'\n' | b'\r')) {
            bytes.pop();
            length -= 1;
        }
        Ok(Some(Line { number: self.line, bytes, length, long_hash }))
    }

    /// Reads over the rest of a line that is too long, hashing it.
    fn skip_line(&mut self, hasher: &mut blake3::Hasher) -> io::Result<u64> {
        let mut skipped = 0;
        loop {
            let buffer = self.reader.fill_buf()?;
            if buffer.is_empty() {
                return Ok(skipped);
            }
            let end = buffer.iter().position(|b| *b == b'\n');
            let part = &buffer[..end.unwrap_or(buffer.len())];
            hasher.update(part);
            skipped += part.len() as u64;
            let used = end.map_or(buffer.len(), |end| end + 1);
            self.reader.consume(used);
            if end.is_some() {
                return Ok(skipped);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn lines(text: &str) -> Vec<String> {
        let mut lines = Source::Lines { name: "t".into(), text: text.into() }.open().unwrap();
        std::iter::from_fn(|| lines.next_line().unwrap()).map(|l| String::from_utf8(l.bytes).unwrap()).collect()
    }

    #[test]
    fn blank_lines_and_line_ends_do_not_matter() {
        assert_eq!(lines("{\"a\":1}\r\n\n  \n{\"b\":2}"), vec!["{\"a\":1}", "{\"b\":2}"]);
    }

    #[test]
    fn a_line_over_the_limit_is_cut_but_measured() {
        let text = format!("{}\nnext\n", "x".repeat(LINE_LIMIT + 10));
        let mut lines = Source::Lines { name: "t".into(), text: text.clone() }.open().unwrap();
        let long = lines.next_line().unwrap().unwrap();
        assert_eq!(long.length, (LINE_LIMIT + 10) as u64);
        assert_eq!(long.long_hash.unwrap(), domain::identity::hash128(&text.as_bytes()[..LINE_LIMIT + 10]));
        assert_eq!(lines.next_line().unwrap().unwrap().bytes, b"next");
    }

    #[test]
    fn a_truncated_archive_is_an_error_not_an_end() {
        let folder = tempfile::tempdir().unwrap();
        let whole = "{\"n\":123456789}\n".repeat(10_000);
        let zst = zstd::encode_all(whole.as_bytes(), 3).unwrap();
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(whole.as_bytes()).unwrap();
        for (name, bytes) in [("a.ndjson.zst", zst), ("a.ndjson.gz", gz.finish().unwrap())] {
            let path = folder.path().join(name);
            std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
            let end = Source::File(path).open().and_then(|mut lines| {
                loop {
                    match lines.next_line() {
                        Ok(Some(_)) => {}
                        other => break other,
                    }
                }
            });
            assert!(matches!(end, Err(LakeError::Read { .. })), "{name}");
        }
    }

    #[test]
    fn what_is_too_much_to_take_whole_is_given_back_line_by_line() {
        let line = "x".repeat(1023);
        let text = format!("{{\n{}", format!("{line}\n").repeat(LINE_LIMIT / 1024 + 100));
        let mut lines = Source::Lines { name: "t".into(), text }.open().unwrap();
        assert_eq!(lines.next_line().unwrap().unwrap().bytes, b"{");
        assert_eq!(lines.rest().unwrap(), None);
        let left = std::iter::from_fn(|| lines.next_line().unwrap()).count();
        assert_eq!(left, LINE_LIMIT / 1024 + 100);
    }

    #[test]
    fn a_name_that_promises_an_archive_is_held_to_it() {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in [("a.ndjson.zst", &b""[..]), ("b.ndjson.zst", &[0x28, 0xb5]), ("c.ndjson.gz", b"{}\n")] {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            assert!(matches!(Source::File(path).open(), Err(LakeError::Read { .. })), "{name}");
        }
    }

    #[test]
    fn a_folder_is_searched_for_dumps_only() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.ndjson.gz", "a.jsonl", "notes.md", "xjson"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let found = Source::find(folder.path().to_str().unwrap()).unwrap();
        let names: Vec<_> = found.iter().map(|s| s.name().rsplit('/').next().unwrap().to_owned()).collect();
        assert_eq!(names, ["a.jsonl", "b.ndjson.gz"]);
        assert!(matches!(Source::find("/nowhere/x.ndjson"), Err(LakeError::NoSource(_))));
    }
}
