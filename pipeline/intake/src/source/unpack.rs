//! Packed dumps: gzip and zstd, as their own tools pass them, told by the first bytes.
//!
//! - gzip: members one after the other, and zeros after them (a tape's or a block device's padding).
//! - zlib: one stream.
//! - zstd: frames one after the other, skippable ones too (`pzstd` begins with one).
//! - zstd frames, each after its length in four bytes, highest first: the `file` exporter of the OpenTelemetry
//!   Collector with `compression: zstd` (`exporter/fileexporter/file_writer.go`). Each holds one request and no line end.
//!
//! What was packed twice is unpacked twice: browsers and proxies pack a `.gz` again that they hand on. All else that is
//! packed is named, with the command that makes a dump of it.

use std::io::{self, BufRead, BufReader, Chain, Cursor, ErrorKind, Read};

type Raw = Chain<Cursor<Vec<u8>>, Box<dyn Read + Send>>;

/// Enough first bytes to tell any of them.
const MAGIC: u64 = 512;

const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Dumps made with `zstd --long` use windows up to 2 GiB; 128 MiB bounds what a hostile one may take.
const WINDOW_LOG: u32 = 27;

/// How often a dump may be packed.
const LAYERS: usize = 3;

/// What is packed, but not in a way that is read here, by its first bytes, and what to do with it.
const UNREAD: &[(&[u8], &str)] = &[
    (b"BZh", "it is packed with bzip2, which is not unpacked here; `bzip2 -dc FILE | pipeline ingest -` reads it"),
    (b"\xfd7zXZ\0", "it is packed with xz, which is not unpacked here; `xz -dc FILE | pipeline ingest -` reads it"),
    (b"]\0\0", "it is packed with lzma, which is not unpacked here; `xz -dc FILE | pipeline ingest -` reads it"),
    (b"PK\x03\x04", "it is a zip archive, which is not unpacked here; `unzip -p FILE | pipeline ingest -` reads it"),
    (b"PK\x05\x06", "it is an empty zip archive"),
    (
        b"7z\xbc\xaf\x27\x1c",
        "it is a 7z archive, which is not unpacked here; `7z x -so FILE | pipeline ingest -` reads it",
    ),
    (b"Rar!", "it is a RAR archive, which is not unpacked here; `unrar p -inul FILE | pipeline ingest -` reads it"),
    (
        b"\x04\x22\x4d\x18",
        "it is packed with lz4, which is not unpacked here; `lz4 -dc FILE | pipeline ingest -` reads it",
    ),
    (
        b"\x02\x21\x4c\x18",
        "it is packed with lz4, which is not unpacked here; `lz4 -dc FILE | pipeline ingest -` reads it",
    ),
    (b"LZIP", "it is packed with lzip, which is not unpacked here; `lzip -dc FILE | pipeline ingest -` reads it"),
    (
        b"\x1f\x9d",
        "it is packed with compress, which is not unpacked here; `gzip -dc FILE | pipeline ingest -` reads it",
    ),
    (
        b"\xff\x06\0\0sNaP",
        "it is packed with snappy, which is not unpacked here; `snzip -dc FILE | pipeline ingest -` reads it",
    ),
    (
        b"PAR1",
        "it is a Parquet file, no dump of JSON; `duckdb -c \"copy (from 'FILE') to 'DUMP.ndjson' (format json)\"` makes one",
    ),
    (b"ORC", "it is an ORC file, no dump of JSON; `orc-contents FILE > DUMP.ndjson` makes one"),
    (b"Obj\x01", "it is an Avro file, no dump of JSON; `avro-tools tojson FILE > DUMP.ndjson` makes one"),
    (b"ARROW1", "it is an Arrow file, no dump of JSON; `duckdb` or `polars` write it as NDJSON"),
    (b"SQLite f", "it is a SQLite database, no dump of JSON; `sqlite3 -json FILE 'select …' > DUMP.json` makes one"),
    (b"%PDF", "it is a PDF, no dump of JSON"),
    (b"\x7fELF", "it is a program, no dump of JSON"),
];

/// Why a tape archive is not read.
const TAR: &str =
    "it is a tar archive, which is not unpacked here; `tar -xOf FILE | pipeline ingest -` reads the files in it";

/// Where a tar header names its format, and how.
const USTAR: (usize, &[u8]) = (257, b"ustar");

/// What is unpacked, and whether it was packed.
type Unpacked = (Box<dyn Read + Send>, bool);

/// Unpacks by what the first bytes say. `promised` is whether the name says that it is packed.
pub(super) fn unpacked(raw: Box<dyn Read + Send>, promised: bool) -> io::Result<Unpacked> {
    let (mut reader, mut is_packed) = layer(raw)?;
    if promised && !is_packed {
        return invalid("it is no archive");
    }
    let mut layers = 1;
    while is_packed && layers < LAYERS {
        (reader, is_packed) = layer(reader)?;
        layers += usize::from(is_packed);
    }
    if is_packed {
        return invalid("it is packed more often than anybody packs a dump");
    }
    Ok((reader, layers > 1 || promised))
}

fn invalid<T>(what: &'static str) -> io::Result<T> {
    Err(io::Error::new(ErrorKind::InvalidData, what))
}

/// Unpacks once, where it is packed.
fn layer(mut raw: Box<dyn Read + Send>) -> io::Result<Unpacked> {
    // A pipe may give one byte at a time.
    let mut magic = Vec::new();
    (&mut raw).take(MAGIC).read_to_end(&mut magic)?;
    if let Some((_, what)) = UNREAD.iter().find(|(start, _)| magic.starts_with(start)) {
        return invalid(what);
    }
    if magic.get(USTAR.0..).is_some_and(|rest| rest.starts_with(USTAR.1)) {
        return invalid(TAR);
    }
    let zstd = magic.starts_with(&ZSTD) || is_skippable(&magic);
    let framed = magic.get(4..8) == Some(&ZSTD) && magic[0] < 0x10;
    let gzip = magic.starts_with(&[0x1f, 0x8b]);
    let zlib = is_zlib(&magic);
    let raw = Cursor::new(magic).chain(raw);
    Ok(match () {
        () if gzip => (Box::new(Gzip { member: Some(gzip_member(BufReader::with_capacity(1 << 16, raw))) }), true),
        () if zlib => (Box::new(flate2::bufread::ZlibDecoder::new(BufReader::with_capacity(1 << 16, raw))), true),
        () if zstd => (Box::new(zstd_frames(raw)?), true),
        () if framed => (Box::new(Framed { raw, frame: None }), true),
        () => (Box::new(raw), false),
    })
}

/// The head of a zlib stream: deflate with a window of 32 KiB, and a check of the two bytes. No text begins so: `x` is
/// followed by a byte that is in none, or by a sign that no dump has there.
fn is_zlib(magic: &[u8]) -> bool {
    matches!(magic, [0x78, 0x01 | 0x9c | 0xda, ..])
        || matches!(magic, [0x78, 0x5e, next, ..] if !next.is_ascii_graphic() && !next.is_ascii_whitespace())
}

/// A zstd frame that holds nothing of the text.
fn is_skippable(magic: &[u8]) -> bool {
    matches!(magic, [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..])
}

fn zstd_frames<R: Read>(raw: R) -> io::Result<zstd::stream::read::Decoder<'static, BufReader<R>>> {
    let mut decoder = zstd::stream::read::Decoder::new(raw)?;
    decoder.window_log_max(WINDOW_LOG)?;
    Ok(decoder)
}

type Member = flate2::bufread::GzDecoder<BufReader<Raw>>;

fn gzip_member(raw: BufReader<Raw>) -> Member {
    flate2::bufread::GzDecoder::new(raw)
}

/// Members of gzip, and zeros between and after them.
struct Gzip {
    /// None when all are read.
    member: Option<Member>,
}

impl Read for Gzip {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.member {
            let read = member.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            let Some(mut raw) = self.member.take().map(Member::into_inner) else { break };
            if skip_zeros(&mut raw)? {
                self.member = Some(gzip_member(raw));
            }
        }
        Ok(0)
    }
}

/// Skips zeros; whether anything follows them.
fn skip_zeros(raw: &mut impl BufRead) -> io::Result<bool> {
    loop {
        let bytes = raw.fill_buf()?;
        if bytes.is_empty() {
            return Ok(false);
        }
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        let more = zeros < bytes.len();
        raw.consume(zeros);
        if more {
            return Ok(true);
        }
    }
}

/// zstd frames after their lengths; a line end is put after each.
struct Framed {
    raw: Raw,
    frame: Option<zstd::stream::read::Decoder<'static, BufReader<Cursor<Vec<u8>>>>>,
}

impl Framed {
    /// The next frame; none at the end.
    fn next(&mut self) -> io::Result<bool> {
        let mut length = Vec::with_capacity(4);
        (&mut self.raw).take(4).read_to_end(&mut length)?;
        let Ok(bytes) = <[u8; 4]>::try_from(length.as_slice()) else {
            return if length.is_empty() { Ok(false) } else { Err(ErrorKind::UnexpectedEof.into()) };
        };
        let length = u64::from(u32::from_be_bytes(bytes));
        let mut frame = Vec::new();
        if (&mut self.raw).take(length).read_to_end(&mut frame)? as u64 != length {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        self.frame = Some(zstd_frames(Cursor::new(frame))?);
        Ok(true)
    }
}

impl Read for Framed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        if self.frame.is_none() && !self.next()? {
            return Ok(0);
        }
        let Some(frame) = &mut self.frame else { return Ok(0) };
        match frame.read(buffer)? {
            0 => {
                self.frame = None;
                buffer[0] = b'\n';
                Ok(1)
            }
            read => Ok(read),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn read(bytes: Vec<u8>) -> io::Result<String> {
        let mut text = String::new();
        unpacked(Box::new(Cursor::new(bytes)), true)?.0.read_to_string(&mut text)?;
        Ok(text)
    }

    fn gzip(text: &str) -> Vec<u8> {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(text.as_bytes()).unwrap();
        gzip.finish().unwrap()
    }

    fn zstd(text: &str) -> Vec<u8> {
        zstd::encode_all(text.as_bytes(), 3).unwrap()
    }

    fn skippable(content: &[u8]) -> Vec<u8> {
        [&[0x5a, 0x2a, 0x4d, 0x18][..], &(content.len() as u32).to_le_bytes(), content].concat()
    }

    #[test]
    fn members_and_zeros_of_gzip_are_read_as_its_own_tool_reads_them() {
        let (a, b, zeros) = (gzip("a\n"), gzip("b\n"), vec![0; 70_000]);
        assert_eq!(read([a.clone(), b.clone()].concat()).unwrap(), "a\nb\n");
        assert_eq!(read([a.clone(), zeros.clone()].concat()).unwrap(), "a\n");
        assert_eq!(read([a.clone(), zeros.clone(), b.clone(), vec![0]].concat()).unwrap(), "a\nb\n");
        assert!(read([a.clone(), b"more".to_vec()].concat()).is_err());
        assert!(read([a.clone(), b[..b.len() - 3].to_vec()].concat()).is_err());
        assert!(read([a.clone(), zeros, b[..5].to_vec()].concat()).is_err());
        let mut wrong = a;
        let sum = wrong.len() - 6;
        wrong[sum] ^= 1;
        assert!(read(wrong).is_err());
    }

    #[test]
    fn frames_of_zstd_are_read_and_skippable_ones_are_skipped() {
        let (a, b) = (zstd("a\n"), zstd("b\n"));
        assert_eq!(read([skippable(&[80, 0, 0, 0]), a.clone(), skippable(b""), b.clone()].concat()).unwrap(), "a\nb\n");
        assert_eq!(read([a.clone(), b.clone(), skippable(b"index")].concat()).unwrap(), "a\nb\n");
        assert!(read([skippable(b"x"), a[..a.len() - 1].to_vec()].concat()).is_err());
        assert!(read([a, b"more".to_vec()].concat()).is_err());
    }

    #[test]
    fn frames_after_their_lengths_are_lines() {
        let framed = |text: &str| {
            let frame = zstd(text);
            [&(frame.len() as u32).to_be_bytes()[..], &frame].concat()
        };
        let (a, b) = (framed("{\"a\":1}"), framed(&format!("{{\"b\":\"{}\"}}", "x".repeat(100_000))));
        let text = read([a.clone(), b.clone()].concat()).unwrap();
        assert_eq!(text.lines().map(str::len).collect::<Vec<_>>(), [7, 100_008]);
        assert!(read([a.clone(), b[..b.len() - 1].to_vec()].concat()).is_err());
        assert!(read([a, b[..2].to_vec()].concat()).is_err());
    }

    #[test]
    fn what_is_packed_otherwise_is_named() {
        let said = |bytes: &[u8]| read(bytes.to_vec()).unwrap_err().to_string();
        assert!(said(b"\xfd7zXZ\0\0\x04").contains("xz"), "{}", said(b"\xfd7zXZ\0\0\x04"));
        assert!(said(b"PAR1....").contains("Parquet"));
        assert_eq!(said(b"{}"), "it is no archive");
        for (start, _) in UNREAD {
            assert!(said(&[start, &b"................"[..]].concat()).starts_with("it is "));
        }
        let mut tar = vec![0; 1024];
        tar[..8].copy_from_slice(b"a.ndjson");
        tar[257..262].copy_from_slice(b"ustar");
        assert!(said(&tar).contains("tar -xOf"), "{}", said(&tar));
        // Also inside gzip, as most are.
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&tar).unwrap();
        assert!(said(&gzip.finish().unwrap()).contains("tar archive"));
    }

    #[test]
    fn what_was_packed_twice_or_with_zlib_is_read() {
        let text = "{\"a\":1}\n";
        let mut twice = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        twice.write_all(&gzip(text)).unwrap();
        let twice = twice.finish().unwrap();
        assert_eq!(read(twice.clone()).unwrap(), text);
        assert_eq!(read(zstd::encode_all(&gzip(text)[..], 3).unwrap()).unwrap(), text);
        assert!(read(twice[..twice.len() - 9].to_vec()).is_err());
        for level in [0, 5, 6, 9] {
            let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::new(level));
            zlib.write_all(text.as_bytes()).unwrap();
            let zlib = zlib.finish().unwrap();
            assert_eq!(read(zlib.clone()).unwrap(), text, "{level}");
            assert!(read(zlib[..zlib.len() - 2].to_vec()).is_err());
        }
        let four = (0..4).fold(text.as_bytes().to_vec(), |bytes, _| {
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            gzip.write_all(&bytes).unwrap();
            gzip.finish().unwrap()
        });
        assert!(read(four).unwrap_err().to_string().contains("more often"));
    }
}
