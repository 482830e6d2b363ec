//! What lies below a root: the one place that decides it. A lake, a dump or a plan may come from somebody else, so neither a
//! link nor a path in it leads the program anywhere else.

use deltalake_core::DeltaTable;
use deltalake_core::kernel::StorageType;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Component, Path, PathBuf};

/// A folder below which no link is followed. That the folder itself is reached by links is its owner's choice.
#[derive(Clone, Debug)]
pub(crate) struct Root(PathBuf);

impl Root {
    /// `folder` is absolute.
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self(folder)
    }

    /// The folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.0
    }

    /// Whether a path is written as one below the root. What it leads to is another question: [`Root::check`].
    pub(crate) fn has(&self, path: &Path) -> bool {
        path.starts_with(&self.0)
    }

    /// That a path lies below the root and reaches its place without a link; parts that are not there yet are none.
    pub(crate) fn check(&self, path: &Path) -> io::Result<()> {
        let refused = |why: String| Err(io::Error::new(ErrorKind::PermissionDenied, why));
        let Ok(below) = path.strip_prefix(&self.0) else {
            return refused(format!("{} lies outside {}", path.display(), self.0.display()));
        };
        let mut at = self.0.clone();
        for part in below.components() {
            let Component::Normal(part) = part else {
                return refused(format!("{} leads out of {}", path.display(), self.0.display()));
            };
            at.push(part);
            match fs::symlink_metadata(&at) {
                Ok(found) if found.is_symlink() => {
                    return refused(format!("{} is a link, and links below a lake are not followed", at.display()));
                }
                Ok(_) => {}
                // What cannot be looked at cannot be opened either: the operation itself says why.
                Err(_) => return Ok(()),
            }
        }
        Ok(())
    }
}

/// Whether a path in a log is one below its table, however readers decode it: relative, without a scheme, and without a way
/// up. URL parsers take `\` for `/`, drop tabs and line ends, trim blanks, and know `%2e`.
pub(crate) fn stays_below(path: &str) -> bool {
    let mut path = path.to_owned();
    loop {
        let of_scheme = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
        let has_scheme = path.split_once(':').is_some_and(|(scheme, _)| scheme.trim().chars().all(of_scheme));
        let climbs = |part: &str| matches!(part.trim(), "" | "." | "..");
        if path.contains('\\') || path.contains(char::is_control) || has_scheme || path.split('/').any(climbs) {
            return false;
        }
        let decoded = decode(&path);
        if decoded == path {
            return true;
        }
        path = decoded;
    }
}

/// With `%41` as `A`.
fn decode(path: &str) -> String {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let digits = tail.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        let code = digits.filter(|_| byte == b'%').filter(|two| two.bytes().all(|b| b.is_ascii_hexdigit()));
        match code.and_then(|two| u8::from_str_radix(two, 16).ok()) {
            Some(code) => {
                bytes.push(code);
                rest = &tail[2..];
            }
            None => {
                bytes.push(byte);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The first file that the log of a table places outside its folder.
pub(crate) fn outside(table: &DeltaTable) -> Option<String> {
    let snapshot = table.snapshot().ok()?;
    snapshot.log_data().iter().find_map(|file| {
        let path = file.path();
        if !stays_below(&path) {
            return Some(path.into_owned());
        }
        let deleted = file.deletion_vector_descriptor()?;
        // The last 20 characters of a relative one are its number, the rest is a folder.
        let folder =
            deleted.path_or_inline_dv.len().checked_sub(20).and_then(|end| deleted.path_or_inline_dv.get(..end));
        let inside = match deleted.storage_type {
            StorageType::Inline => true,
            StorageType::UuidRelativePath => folder.is_some_and(|folder| folder.is_empty() || stays_below(folder)),
            StorageType::AbsolutePath => false,
        };
        (!inside).then_some(deleted.path_or_inline_dv)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_path_of_a_log_stays_below_its_table_however_it_is_written() {
        for inside in [
            "part-0.parquet",
            "event_date=2026-01-01/part-0.parquet",
            "a=x%20y/part.parquet",
            "a=10:30/b..c/...parquet",
            "100%/part.parquet",
        ] {
            assert!(stays_below(inside), "{inside}");
        }
        for outside in [
            "",
            "../x.parquet",
            "a/../../x.parquet",
            "/etc/x.parquet",
            "//host/x.parquet",
            "file:///etc/x.parquet",
            "file:../x.parquet",
            "s3://other/x.parquet",
            "..%2fx.parquet",
            "%2e%2e/x.parquet",
            "%252e%252e%252fx.parquet",
            "..\\x.parquet",
            "..%5cx.parquet",
            ".\t./x.parquet",
            " ../x.parquet",
            "a/ ../x.parquet",
            "%2fetc/x.parquet",
            "a//x.parquet",
        ] {
            assert!(!stays_below(outside), "{outside}");
        }
    }

    #[test]
    fn no_link_below_a_root_is_followed_and_what_leads_to_it_is_its_owners_choice() {
        let place = tempfile::tempdir().unwrap();
        let (lake, elsewhere) = (place.path().join("lake"), place.path().join("elsewhere"));
        fs::create_dir_all(lake.join("staging")).unwrap();
        fs::create_dir_all(&elsewhere).unwrap();
        symlink(&elsewhere, lake.join("staging/events")).unwrap();
        symlink(lake.join("lake.json"), lake.join("inner.json")).unwrap();
        symlink(&lake, place.path().join("link")).unwrap();
        for folder in [lake.clone(), place.path().join("link")] {
            let root = Root::new(folder.clone());
            root.check(&folder.join("staging/rejects/new.parquet")).unwrap();
            for refused in ["staging/events", "staging/events/x.parquet", "inner.json", "staging/../x"] {
                assert!(root.check(&folder.join(refused)).is_err(), "{refused}");
            }
            assert!(root.check(&elsewhere.join("x")).is_err());
        }
    }
}
