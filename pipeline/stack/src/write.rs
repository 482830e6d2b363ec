//! A locked text file that is replaced wholly or not at all.
//!
//! The lock is on the file itself, so no lock file is left lying about. The successor is locked before it takes the
//! name, so there is no moment at which the name is free for another run. Owner, permissions and extended attributes go
//! over to the successor; what could not (other hard links, a mount on the file itself) is refused.

use crate::StackError;
use crate::holder;
use domain::units::format_bytes;
use rustix::fs::{AtFlags, StatxAttributes, StatxFlags, XattrFlags};
use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A file's permissions; its owner's alone where they cannot be told.
pub(crate) fn mode_of(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    fs::metadata(path).map_or(0o600, |found| found.permissions().mode() & 0o777)
}

/// A run that locks the old file just as its successor takes the name tries again; more often than this is a fight.
const TRIES: usize = 5;
/// A command that is just being started holds what its parent holds, until it is what it is to be.
const PAUSE: Duration = Duration::from_millis(20);

/// A file nobody else changes while this lives.
#[derive(Debug)]
pub(crate) struct LockedFile {
    path: PathBuf,
    held: File,
}

impl LockedFile {
    /// Locks the file a path leads to, through symbolic links, and clears what a killed run left beside it.
    pub(crate) fn lock(path: &Path) -> Result<Self, StackError> {
        let path = fs::canonicalize(path).map_err(|source| StackError::Read { path: path.to_owned(), source })?;
        check_plain(&path)?;
        let failed = |source| StackError::Write { doing: "lock", path: path.clone(), source };
        for i in 0..TRIES {
            // Opened for writing: network file systems grant an exclusive lock on nothing less, and a file that is
            // write-protected is not ours to replace.
            let held = File::options().read(true).write(true).open(&path).map_err(failed)?;
            match held.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) if i + 1 < TRIES => {
                    std::thread::sleep(PAUSE);
                    continue;
                }
                Err(TryLockError::WouldBlock) => return Err(locked(&path, Some(&held))),
                Err(TryLockError::Error(source)) => return Err(failed(source)),
            }
            if is_named(&held, &path).map_err(failed)? {
                let file = Self { path, held };
                file.clear()?;
                return Ok(file);
            }
        }
        Err(locked(&path, None))
    }

    /// Where it really is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Its text.
    pub(crate) fn text(&self) -> Result<String, StackError> {
        read_text(&self.path)
    }

    /// [`Self::replace`]; drifted where it is no longer `from`.
    pub(crate) fn exchange(&mut self, from: &str, to: &str) -> Result<(), StackError> {
        if self.replace(from, to)? {
            return Ok(());
        }
        Err(StackError::Drifted {
            target: self.path.display().to_string(),
            since: "this run began",
            differs: vec!["an editor saved it".to_owned()],
        })
    }

    /// Replaces the text, keeping owner, permissions and extended attributes; false, with nothing done, where it is no
    /// longer `from`: editors do not ask for our lock.
    pub(crate) fn replace(&mut self, from: &str, to: &str) -> Result<bool, StackError> {
        check_replaceable(&self.path)?;
        let draft = self.draft();
        let written = self.write_draft(&draft, to);
        let ready = written.and_then(|file| Ok((file, self.text()? == from)));
        let (file, same) = match ready {
            Ok((file, true)) => (file, true),
            other => {
                self.clear()?;
                return other.map(|_| false);
            }
        };
        if let Err(source) = fs::rename(&draft, &self.path) {
            self.clear()?;
            return Err(self.failed("replace", source));
        }
        self.held = file;
        // The rename itself is lost in a power cut unless the folder is on disk too.
        let folder = self.path.parent().unwrap_or(Path::new("/"));
        File::open(folder).and_then(|f| f.sync_all()).map_err(|source| self.failed("sync the folder of", source))?;
        Ok(same)
    }

    fn write_draft(&self, draft: &Path, text: &str) -> Result<File, StackError> {
        let failed = |source| StackError::Write { doing: "write", path: draft.to_owned(), source };
        let old = self.held.metadata().map_err(failed)?;
        let mut file = File::options().write(true).create_new(true).open(draft).map_err(failed)?;
        file.try_lock().map_err(|error| failed(io::Error::other(error)))?;
        let new = file.metadata().map_err(failed)?;
        if (old.uid(), old.gid()) != (new.uid(), new.gid()) {
            std::os::unix::fs::chown(draft, Some(old.uid()), Some(old.gid()))
                .map_err(|source| self.failed("keep the owner of", source))?;
        }
        file.set_permissions(old.permissions()).map_err(failed)?;
        keep_attributes(&self.held, &file).map_err(|source| self.failed("keep the extended attributes of", source))?;
        file.write_all(text.as_bytes()).map_err(failed)?;
        file.sync_all().map_err(failed)?;
        Ok(file)
    }

    fn clear(&self) -> Result<(), StackError> {
        let draft = self.draft();
        match fs::remove_file(&draft) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(StackError::Write { doing: "remove", path: draft, source })
            }
            _ => Ok(()),
        }
    }

    /// One fixed name: the lock allows one writer, and a killed one's draft is found again.
    fn draft(&self) -> PathBuf {
        let mut name = OsString::from(".");
        name.push(self.path.file_name().unwrap_or_default());
        name.push(".pipeline-draft");
        self.path.with_file_name(name)
    }

    fn failed(&self, doing: &'static str, source: io::Error) -> StackError {
        StackError::Write { doing, path: self.path.clone(), source }
    }
}

fn locked(path: &Path, file: Option<&File>) -> StackError {
    let by = file.and_then(|file| file.metadata().ok()).and_then(|found| holder::of_file(found.dev(), found.ino()));
    StackError::Locked { what: path.display().to_string(), by }
}

/// Refuses a file that cannot be replaced without harm: one with other names, which would keep the old text, and one
/// that something is mounted on, whose name cannot be given to another.
pub(crate) fn check_replaceable(path: &Path) -> Result<(), StackError> {
    let failed = |source| StackError::Read { path: path.to_owned(), source };
    let real = fs::canonicalize(path).map_err(failed)?;
    let refused =
        |what: String, hint: &str| Err(StackError::NotReplaceable { path: real.clone(), what, hint: hint.to_owned() });
    let links = fs::metadata(&real).map_err(failed)?.nlink();
    if links > 1 {
        let what = format!("{} other hard links lead to it, and would keep the old text", links - 1);
        return refused(what, "make it a file of its own (`cp -p F G && mv G F`), or use symbolic links");
    }
    let attributes = rustix::fs::statx(rustix::fs::CWD, &real, AtFlags::empty(), StatxFlags::empty());
    // An old kernel says nothing; there the rename fails, with nothing done.
    if attributes.is_ok_and(|found| found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT)) {
        return refused("it is a mount of its own (a bind-mounted file)".to_owned(), MOUNTED);
    }
    Ok(())
}

/// What to do about a file that is mounted on its own.
pub(crate) const MOUNTED: &str = "run where the file itself lies, or mount its folder instead of the file";

/// Gives a successor the extended attributes of the file before it, access lists included.
fn keep_attributes(old: &File, new: &File) -> io::Result<()> {
    let unsupported = |error: rustix::io::Errno| error == rustix::io::Errno::NOTSUP;
    let length = match rustix::fs::flistxattr_query(old) {
        Err(error) if unsupported(error) => return Ok(()),
        length => length?,
    };
    let mut names = vec![0_u8; length];
    let length = if names.is_empty() { 0 } else { rustix::fs::flistxattr(old, &mut names[..])? };
    for name in names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let mut value = vec![0_u8; rustix::fs::fgetxattr_query(old, name)?];
        let length = if value.is_empty() { 0 } else { rustix::fs::fgetxattr(old, name, &mut value[..])? };
        value.truncate(length);
        let mut there = vec![0_u8; value.len().max(1)];
        // The system may have given the successor the same label already, and let nobody set it.
        let same = rustix::fs::fgetxattr(new, name, &mut there[..]).is_ok_and(|length| there[..length] == value[..]);
        if !same {
            rustix::fs::fsetxattr(new, name, &value, XattrFlags::empty())?;
        }
    }
    Ok(())
}

/// Whether the path still leads to this open file, and not to a successor that took the name before we had the lock.
fn is_named(held: &File, path: &Path) -> io::Result<bool> {
    let (ours, named) = (held.metadata()?, fs::metadata(path)?);
    Ok((ours.dev(), ours.ino()) == (named.dev(), named.ino()))
}

/// Nobody writes a file of limits this long; a device has no end.
const LONGEST: u64 = 16 << 20;

/// A file's text; an error where it is not UTF-8, because it could not be kept to the byte. What has no end, or waits for
/// somebody to write, is not opened.
pub(crate) fn read_text(path: &Path) -> Result<String, StackError> {
    check_plain(path)?;
    let failed = |source| StackError::Read { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    File::open(path).map_err(failed)?.take(LONGEST + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > LONGEST {
        return Err(not_plain(path, "it has no end".to_owned()));
    }
    String::from_utf8(bytes)
        .map_err(|_| StackError::In { path: path.to_owned(), source: Box::new(StackError::NotText) })
}

/// Refuses what is no plain file of a sane size, links followed.
fn check_plain(path: &Path) -> Result<(), StackError> {
    let found = fs::metadata(path).map_err(|source| StackError::Read { path: path.to_owned(), source })?;
    if found.is_dir() {
        return Err(not_plain(path, "it is a folder".to_owned()));
    }
    if !found.is_file() {
        return Err(not_plain(path, "it is a device, a pipe or a socket".to_owned()));
    }
    if found.len() > LONGEST {
        let size = format_bytes(found.len() as f64);
        return Err(not_plain(path, format!("it has {size}, and no such file has more than 16 MiB")));
    }
    Ok(())
}

fn not_plain(path: &Path, what: String) -> StackError {
    StackError::In { path: path.to_owned(), source: Box::new(StackError::NotPlain { what }) }
}

/// What a file is, however its path is written: links of both kinds lead to the same.
pub(crate) fn identity(path: &Path) -> String {
    fs::metadata(path)
        .map_or_else(|_| path.display().to_string(), |found| format!("file {}:{}", found.dev(), found.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    #[test]
    fn a_replaced_file_keeps_its_mode_and_its_link() {
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("real.yml"), folder.path().join("link.yml"));
        fs::write(&real, "old").unwrap();
        fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
        symlink("real.yml", &link).unwrap();
        assert!(LockedFile::lock(&link).unwrap().replace("old", "new").unwrap());
        assert_eq!(fs::read_to_string(&real).unwrap(), "new");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn extended_attributes_are_kept_and_other_hard_links_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.yml");
        fs::write(&path, "old").unwrap();
        let attribute = |file: &Path| {
            let mut value = [0_u8; 16];
            rustix::fs::getxattr(file, "user.note", &mut value[..]).map(|length| value[..length].to_vec())
        };
        let marked = rustix::fs::setxattr(&path, "user.note", b"hello", XattrFlags::empty()).is_ok();
        assert!(LockedFile::lock(&path).unwrap().replace("old", "new").unwrap());
        if marked {
            assert_eq!(attribute(&path).unwrap(), b"hello");
        } else {
            let said = b"NOT TESTED: this file system has no extended attributes\n";
            io::stderr().write_all(said).unwrap();
        }

        fs::hard_link(&path, folder.path().join("other.yml")).unwrap();
        let error = LockedFile::lock(&path).unwrap().replace("new", "newer").unwrap_err();
        assert!(error.is_refusal() && error.to_string().contains("hard link") && error.hint().is_some(), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_second_holder_is_refused_also_after_the_first_has_replaced_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.yml");
        fs::write(&path, "old").unwrap();
        let mut first = LockedFile::lock(&path).unwrap();
        assert!(matches!(LockedFile::lock(&path), Err(StackError::Locked { .. })));
        let late = File::open(&path).unwrap();
        assert!(is_named(&late, &path).unwrap());
        assert!(first.replace("old", "new").unwrap());
        assert!(!is_named(&late, &path).unwrap());
        assert!(matches!(LockedFile::lock(&path), Err(StackError::Locked { .. })));
        drop(first);
        assert_eq!(LockedFile::lock(&path).unwrap().text().unwrap(), "new");
    }

    #[test]
    fn an_edit_that_ignored_the_lock_is_not_overwritten_and_leftovers_are_cleared() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.yml");
        fs::write(&path, "edited").unwrap();
        fs::write(folder.path().join(".c.yml.pipeline-draft"), "half a fi").unwrap();
        let mut file = LockedFile::lock(&path).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(!file.replace("old", "new").unwrap());
        assert_eq!(fs::read_to_string(&path).unwrap(), "edited");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_no_plain_file_is_not_opened() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        nix::unistd::mkfifo(&path("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        File::create(path("huge")).unwrap().set_len(LONGEST + 1).unwrap();
        fs::write(path("largest"), " ".repeat(LONGEST as usize)).unwrap();
        for (name, why) in [
            (PathBuf::from("/dev/zero"), "a device"),
            (path("pipe"), "a pipe"),
            (folder.path().to_owned(), "a folder"),
            (path("huge"), "16 MiB"),
        ] {
            for error in [read_text(&name).unwrap_err(), LockedFile::lock(&name).unwrap_err()] {
                let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
                assert!(cause.contains(why) && error.hint().is_some(), "{}: {error}: {cause}", name.display());
            }
        }
        assert!(read_text(&path("largest")).is_ok());
    }
}
