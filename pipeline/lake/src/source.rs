//! Dumps as they come: files, folders, patterns, objects, standard input; plain, gzip or zstd; whole lines, a block of
//! them at a time.

use crate::error::LakeError;
use crate::store::Object;
use domain::event::LINE_LIMIT;
use domain::privacy::REJECT_TEXT_LIMIT;
use std::fs::File;
use std::io::{self, BufReader, Cursor, Read};
use std::path::{Path, PathBuf};

/// One dump to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// `-`
    Stdin,
    /// A file on this machine.
    File(PathBuf),
    /// An object of an object store.
    Object(Object),
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
        let path = argument.strip_prefix("file://").unwrap_or(argument);
        if path.contains("://") {
            return Ok(Object::find(path)?.into_iter().map(Self::Object).collect());
        }
        let path = Path::new(path);
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

    /// The dump that a reject names, when it may still be there: a file or an object, not what came by a pipe.
    pub(crate) fn named(name: &str) -> Option<Self> {
        if name.contains("://") {
            return Object::named(name).map(Self::Object);
        }
        // A pipe or a device is none, whatever it is called: it would be waited for.
        Path::new(name).is_file().then(|| Self::File(name.into()))
    }

    /// How it is named to people and in rejects.
    pub fn name(&self) -> String {
        match self {
            Self::Stdin => "-".to_owned(),
            Self::File(path) => path.display().to_string(),
            Self::Object(object) => object.url.to_string(),
            Self::Lines { name, .. } => name.clone(),
        }
    }

    /// Whether its name promises an archive.
    fn packed(&self) -> bool {
        let name = match self {
            Self::File(_) | Self::Object(_) => self.name(),
            Self::Stdin | Self::Lines { .. } => return false,
        };
        name.ends_with(".gz") || name.ends_with(".zst")
    }

    /// Opens it, unpacking by what the first bytes say, whatever the name says.
    pub(crate) fn open(&self) -> Result<Blocks, LakeError> {
        let failed = |source| LakeError::Read { source_name: self.name(), line: 0, source };
        let mut raw: Box<dyn Read + Send> = match self {
            Self::Stdin => Box::new(io::stdin()),
            Self::File(path) => Box::new(File::open(path).map_err(failed)?),
            Self::Object(object) => Box::new(object.read()?),
            Self::Lines { text, .. } => Box::new(Cursor::new(text.clone().into_bytes())),
        };
        // A pipe may give one byte at a time.
        let mut magic = Vec::new();
        (&mut raw).take(4).read_to_end(&mut magic).map_err(failed)?;
        let packed = self.packed();
        let raw = Cursor::new(magic.clone()).chain(raw);
        let reader: Box<dyn Read + Send> = match magic.as_slice() {
            [0x1f, 0x8b, ..] => Box::new(flate2::bufread::MultiGzDecoder::new(BufReader::with_capacity(1 << 16, raw))),
            [0x28, 0xb5, 0x2f, 0xfd] => {
                let mut decoder = zstd::stream::read::Decoder::new(raw).map_err(failed)?;
                // Dumps made with `zstd --long` use windows up to 2 GiB; 128 MiB bounds what a hostile one may take.
                decoder.window_log_max(27).map_err(failed)?;
                Box::new(decoder)
            }
            _ if packed => return Err(failed(io::Error::new(io::ErrorKind::InvalidData, "it is no archive"))),
            _ => Box::new(raw),
        };
        let mut blocks = Blocks { name: self.name(), reader, ahead: Vec::new(), line: 0, ended: false, long: None };
        // A byte order mark says nothing about UTF-8.
        blocks.fill(3)?;
        if blocks.ahead.starts_with(b"\xef\xbb\xbf") {
            blocks.ahead.drain(..3);
        }
        Ok(blocks)
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
    is_dump_name(path.file_name().and_then(|n| n.to_str()).unwrap_or_default())
}

/// Whether a name promises NDJSON, packed or not.
pub(crate) fn is_dump_name(name: &str) -> bool {
    let name = name.strip_suffix(".gz").or_else(|| name.strip_suffix(".zst")).unwrap_or(name);
    ENDINGS.iter().any(|ending| name.strip_suffix(ending).is_some_and(|rest| rest.ends_with('.')))
}

/// An open dump, block by block of whole lines.
pub(crate) struct Blocks {
    name: String,
    reader: Box<dyn Read + Send>,
    /// Read, but not yet given.
    ahead: Vec<u8>,
    /// Lines given so far.
    line: u64,
    ended: bool,
    /// A long line that was given back.
    long: Option<Piece>,
}

/// About how many bytes are given at a time.
const BLOCK: usize = 1 << 20;

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
    /// A line over the limit: its beginning, and what is known of the whole.
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
            Self::Long { line, .. } => *line,
        }
    }
}

impl Blocks {
    /// The next lines.
    pub(crate) fn next_piece(&mut self) -> Result<Option<Piece>, LakeError> {
        if let Some(long) = self.long.take() {
            return Ok(Some(long));
        }
        let mut wanted = BLOCK;
        loop {
            self.fill(wanted)?;
            if self.ahead.is_empty() {
                return Ok(None);
            }
            // More may lie ahead than was asked for now, when lines were given back.
            let window = &self.ahead[..self.ahead.len().min(wanted)];
            let end = match memchr::memrchr(b'\n', window) {
                Some(at) => at + 1,
                None if self.ended && self.ahead.len() <= LINE_LIMIT => self.ahead.len(),
                None if window.len() > LINE_LIMIT => return self.long_line().map(Some),
                None => {
                    wanted = (2 * wanted).min(LINE_LIMIT + 1);
                    continue;
                }
            };
            let mut bytes = Vec::with_capacity(BLOCK + (BLOCK >> 3));
            bytes.extend_from_slice(&self.ahead[end..]);
            std::mem::swap(&mut bytes, &mut self.ahead);
            bytes.truncate(end);
            let first = self.line + 1;
            self.line += memchr::memchr_iter(b'\n', &bytes).count() as u64 + u64::from(bytes.last() != Some(&b'\n'));
            return Ok(Some(Piece::Lines { first, bytes }));
        }
    }

    /// All that is left, when it is no more than the limit together with what was `given` already; else nothing, and
    /// the lines go on as if nobody had asked.
    pub(crate) fn rest(&mut self, given: usize) -> Result<Option<Vec<u8>>, LakeError> {
        self.fill(LINE_LIMIT + 1)?;
        Ok((given + self.ahead.len() <= LINE_LIMIT).then(|| std::mem::take(&mut self.ahead)))
    }

    /// Puts lines back that were given, to be given again.
    pub(crate) fn give_back(&mut self, first: u64, mut bytes: Vec<u8>) {
        bytes.append(&mut self.ahead);
        self.ahead = bytes;
        self.line = first - 1;
    }

    /// Puts a long line back that was given last.
    pub(crate) fn give_back_long(&mut self, piece: Piece) {
        self.long = Some(piece);
    }

    /// Reads ahead until so much is there, or the dump ends.
    fn fill(&mut self, wanted: usize) -> Result<(), LakeError> {
        if self.ended || self.ahead.len() >= wanted {
            return Ok(());
        }
        let missing = wanted - self.ahead.len();
        self.ahead.reserve(missing);
        let read = (&mut self.reader).take(missing as u64).read_to_end(&mut self.ahead).map_err(|e| self.failed(e))?;
        self.ended = read < missing;
        Ok(())
    }

    fn failed(&self, source: io::Error) -> LakeError {
        LakeError::Read { source_name: self.name.clone(), line: self.line, source }
    }

    /// Reads over a line that is too long, hashing it. It begins what was read ahead, which holds no line end.
    fn long_line(&mut self) -> Result<Piece, LakeError> {
        let mut hasher = blake3::Hasher::new();
        let head = self.ahead[..REJECT_TEXT_LIMIT].to_vec();
        let (mut length, mut carriage_return) = (0, false);
        loop {
            let end = memchr::memchr(b'\n', &self.ahead);
            let part = &self.ahead[..end.unwrap_or(self.ahead.len())];
            // A carriage return counts only when something but the line end follows.
            if carriage_return && !part.is_empty() {
                hasher.update(b"\r");
                length += 1;
                carriage_return = false;
            }
            let kept = part.strip_suffix(b"\r").unwrap_or(part);
            carriage_return |= kept.len() < part.len();
            hasher.update(kept);
            length += kept.len() as u64;
            match end {
                Some(end) => {
                    self.ahead.drain(..=end);
                    break;
                }
                None => self.ahead.clear(),
            }
            self.fill(BLOCK)?;
            if self.ahead.is_empty() {
                break;
            }
        }
        self.line += 1;
        Ok(Piece::Long { line: self.line, head, length, hash: hasher.finalize().to_hex()[..32].to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn lines(text: &str) -> Vec<String> {
        let mut blocks = Source::Lines { name: "t".into(), text: text.into() }.open().unwrap();
        let pieces = std::iter::from_fn(|| blocks.next_piece().unwrap());
        pieces
            .flat_map(|piece| match piece {
                Piece::Lines { first, bytes } => {
                    let text = String::from_utf8(bytes).unwrap();
                    (first..).zip(text.lines()).map(|(n, line)| format!("{n} {}", line.len())).collect::<Vec<_>>()
                }
                Piece::Long { line, length, .. } => vec![format!("{line} long {length}")],
            })
            .collect()
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
    fn a_line_over_the_limit_is_cut_but_measured() {
        let long = "x".repeat(LINE_LIMIT + 10);
        for end in ["\n", "\r\n"] {
            let text = format!("a\n{long}{end}next\n");
            let mut blocks = Source::Lines { name: "t".into(), text }.open().unwrap();
            blocks.next_piece().unwrap();
            let Some(Piece::Long { line: 2, length, hash, .. }) = blocks.next_piece().unwrap() else {
                panic!("the second line is long")
            };
            assert_eq!(length, long.len() as u64);
            assert_eq!(hash, domain::identity::hash128(long.as_bytes()));
            assert!(matches!(blocks.next_piece().unwrap(), Some(Piece::Lines { first: 3, .. })));
        }
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
            let end = Source::File(path).open().and_then(|mut blocks| {
                loop {
                    match blocks.next_piece() {
                        Ok(Some(_)) => {}
                        other => break other,
                    }
                }
            });
            assert!(matches!(end, Err(LakeError::Read { .. })), "{name}");
        }
    }

    #[test]
    fn what_is_too_much_to_take_whole_is_left_as_lines() {
        let line = format!("{}\n", "x".repeat(1023));
        let text = line.repeat(LINE_LIMIT / 1024 + 100);
        let mut blocks = Source::Lines { name: "t".into(), text }.open().unwrap();
        let Some(Piece::Lines { first, bytes }) = blocks.next_piece().unwrap() else { panic!("lines") };
        assert_eq!(blocks.rest(bytes.len()).unwrap(), None);
        blocks.give_back(first, bytes);
        let mut count = 0;
        while let Some(Piece::Lines { first, bytes }) = blocks.next_piece().unwrap() {
            assert_eq!(first, count + 1);
            count += bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
        }
        assert_eq!(count as usize, LINE_LIMIT / 1024 + 100);
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
