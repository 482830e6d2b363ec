//! Dumps as they come: files, folders, patterns, objects, standard input; packed or not, in any Unicode encoding, cut
//! into lines and documents.

mod blocks;
mod calendar;
mod encoding;
mod object;
mod unpack;

pub(crate) use blocks::{Blocks, MARK, Piece, SEPARATOR, blank};
pub(crate) use calendar::unfolded;
pub use object::{Object, cloud_options};

use crate::error::IntakeError;
use domain::location::without_secrets;
use encoding::Decoded;
use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

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

const ENDINGS: &[&str] = &["ndjson", "jsonl", "json", "ics"];

impl Source {
    /// Finds the dumps that an argument of `ingest` names: `-`, a file, a folder (searched), or a pattern. What a link leads
    /// to is taken when the argument names the link itself, or when it lies in the same folder; others are told to
    /// `left_out`.
    pub fn find(argument: &str, left_out: &mut dyn FnMut(&Path)) -> Result<Vec<Self>, IntakeError> {
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
            walk(path, path, &mut found, left_out).map_err(|source| IntakeError::Read {
                source_name: argument.to_owned(),
                line: 0,
                source,
            })?;
            found.sort();
            return if found.is_empty() {
                Err(IntakeError::NoDumps(argument.to_owned()))
            } else {
                Ok(found.into_iter().map(Self::File).collect())
            };
        }
        if path.exists() {
            return Ok(vec![Self::File(path.to_owned())]);
        }
        if !argument.contains(['*', '?', '[']) {
            return Err(IntakeError::NoSource(argument.to_owned()));
        }
        let fixed = &argument[..argument.find(['*', '?', '[']).unwrap_or(argument.len())];
        let folder = Path::new(&fixed[..fixed.rfind('/').map_or(0, |slash| slash + 1)]);
        let mut found: Vec<PathBuf> = glob::glob(argument)
            .map_err(|_| IntakeError::NoSource(argument.to_owned()))?
            .filter_map(Result::ok)
            .filter(|path| path.is_file() && stays(folder, path, left_out))
            .collect();
        found.sort();
        if found.is_empty() {
            Err(IntakeError::NoDumps(argument.to_owned()))
        } else {
            Ok(found.into_iter().map(Self::File).collect())
        }
    }

    /// How it is named to people and in rejects.
    pub fn name(&self) -> String {
        match self {
            Self::Stdin => "-".to_owned(),
            Self::File(path) => path.display().to_string(),
            // Kept in rejects, and shown: a signed URL is a key.
            Self::Object(object) => without_secrets(object.url.as_str()).into_owned(),
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
    pub(crate) fn open(&self) -> Result<Blocks, IntakeError> {
        let failed = |source| IntakeError::Read { source_name: self.name(), line: 0, source };
        let raw = unpack::unpacked(self.raw()?, self.packed()).map_err(failed)?.0;
        let other = Arc::default();
        let reader = Box::new(Decoded::new(raw, Arc::clone(&other)));
        Ok(Blocks::new(self.name(), reader, other))
    }

    /// Reads an archive to its end, to know whether it is whole. What can be read only once is not.
    pub(crate) fn check(&self) -> Result<(), IntakeError> {
        if *self == Self::Stdin {
            return Ok(());
        }
        let failed = |source| IntakeError::Read { source_name: self.name(), line: 0, source };
        let (mut reader, is_packed) = unpack::unpacked(self.raw()?, self.packed()).map_err(failed)?;
        if is_packed {
            io::copy(&mut reader, &mut io::sink()).map_err(failed)?;
        }
        Ok(())
    }

    /// The bytes of a small document, such as a plan, as they are.
    ///
    /// # Errors
    /// It is not there, cannot be read, or has more than `most` bytes.
    pub fn document(&self, most: u64) -> Result<Vec<u8>, IntakeError> {
        let failed = |source| IntakeError::Read { source_name: self.name(), line: 0, source };
        let mut bytes = Vec::new();
        self.raw()?.take(most + 1).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() as u64 > most {
            return Err(failed(io::Error::from(io::ErrorKind::FileTooLarge)));
        }
        Ok(bytes)
    }

    fn raw(&self) -> Result<Box<dyn Read + Send>, IntakeError> {
        Ok(match self {
            Self::Stdin => Box::new(io::stdin()),
            Self::File(path) => Box::new(File::open(path).map_err(|source| IntakeError::Read {
                source_name: self.name(),
                line: 0,
                source,
            })?),
            Self::Object(object) => Box::new(object.read()?),
            Self::Lines { text, .. } => Box::new(Cursor::new(text.clone().into_bytes())),
        })
    }

    /// What tells whether two names are those of one dump. Nothing is looked up.
    pub(crate) fn place(name: &str) -> String {
        if name.contains("://") {
            return name.to_owned();
        }
        std::path::absolute(name).map_or_else(|_| name.to_owned(), |path| path.display().to_string())
    }
}

fn walk(top: &Path, folder: &Path, found: &mut Vec<PathBuf>, left_out: &mut dyn FnMut(&Path)) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        // A linked folder may lead back here; a linked file is as good as a file, unless it is one of elsewhere.
        let kind = entry.file_type()?;
        if kind.is_dir() {
            walk(top, &path, found, left_out)?;
        } else if path.is_file() && is_dump(&path) && (!kind.is_symlink() || stays(top, &path, left_out)) {
            found.push(path);
        }
    }
    Ok(())
}

/// Whether a file that was found, not named, is one of the folder: who fills a folder of dumps names no other file.
fn stays(folder: &Path, path: &Path, left_out: &mut dyn FnMut(&Path)) -> bool {
    let stays = leads_below(folder, path);
    if !stays {
        left_out(path);
    }
    stays
}

/// Whether what a link leads to lies below a folder that was named by a person.
fn leads_below(folder: &Path, link: &Path) -> bool {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    match (std::fs::canonicalize(folder), std::fs::canonicalize(link)) {
        (Ok(folder), Ok(target)) => target.starts_with(folder),
        _ => false,
    }
}

fn is_dump(path: &Path) -> bool {
    is_dump_name(path.file_name().and_then(|n| n.to_str()).unwrap_or_default())
}

/// Whether a name promises NDJSON or a calendar, packed or not.
fn is_dump_name(name: &str) -> bool {
    let name = name.strip_suffix(".gz").or_else(|| name.strip_suffix(".zst")).unwrap_or(name);
    ENDINGS.iter().any(|ending| name.strip_suffix(ending).is_some_and(|rest| rest.ends_with('.')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

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
            assert!(matches!(end, Err(IntakeError::Read { .. })), "{name}");
        }
    }

    #[test]
    fn a_name_that_promises_an_archive_is_held_to_it() {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in [("a.ndjson.zst", &b""[..]), ("b.ndjson.zst", &[0x28, 0xb5]), ("c.ndjson.gz", b"{}\n")] {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            assert!(matches!(Source::File(path).open(), Err(IntakeError::Read { .. })), "{name}");
        }
    }

    #[test]
    fn a_folder_is_searched_for_dumps_only() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.ndjson.gz", "a.jsonl", "notes.md", "xjson"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let found = Source::find(folder.path().to_str().unwrap(), &mut |_| {}).unwrap();
        let names: Vec<_> = found.iter().map(|s| s.name().rsplit('/').next().unwrap().to_owned()).collect();
        assert_eq!(names, ["a.jsonl", "b.ndjson.gz"]);
        assert!(matches!(Source::find("/nowhere/x.ndjson", &mut |_| {}), Err(IntakeError::NoSource(_))));
    }

    #[test]
    fn a_link_in_a_folder_of_dumps_leads_to_no_other_folder() {
        use std::os::unix::fs::symlink;
        let place = tempfile::tempdir().unwrap();
        let dumps = place.path().join("dumps");
        std::fs::create_dir(&dumps).unwrap();
        std::fs::write(place.path().join("secret.json"), "").unwrap();
        std::fs::write(dumps.join("a.ndjson"), "").unwrap();
        symlink("a.ndjson", dumps.join("latest.ndjson")).unwrap();
        symlink("../secret.json", dumps.join("planted.json")).unwrap();
        symlink("..", dumps.join("up")).unwrap();
        for argument in [format!("{}", dumps.display()), format!("{}/*", dumps.display())] {
            let mut left_out = Vec::new();
            let found = Source::find(&argument, &mut |link| left_out.push(link.to_owned())).unwrap();
            let names: Vec<_> = found.iter().map(|s| s.name().rsplit('/').next().unwrap().to_owned()).collect();
            assert_eq!(names, ["a.ndjson", "latest.ndjson"], "{argument}");
            assert_eq!(left_out, [dumps.join("planted.json")]);
        }
        symlink("nothing", dumps.join("dangling.json")).unwrap();
        assert!(leads_below(&dumps, &dumps.join("latest.ndjson")));
        assert!(!leads_below(&dumps, &dumps.join("up")));
        assert!(!leads_below(&dumps, &dumps.join("dangling.json")), "a link to nothing leads nowhere");
        let link = dumps.join("planted.json").display().to_string();
        assert_eq!(Source::find(&link, &mut |_| {}).unwrap().len(), 1, "a person who names the link means it");
    }
}
