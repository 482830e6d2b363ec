//! Scratch folders for copies of the lake's rows: readable by their owner alone, gone when done, and those of killed runs
//! are gone with the next.

use crate::failure::Failure;
use std::fs::{self, File, TryLockError};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime};
use tempfile::{Builder, TempDir};

const PREFIX: &str = "pipeline-scratch-";

/// What a living run holds in its folder.
const LOCK: &str = "in-use";

/// What it is called until it is held: nobody finds a lock that is not yet taken, and takes it first.
const TAKING: &str = "taking";

/// A folder is made before its lock: a younger one without a lock is somebody's who is about to take it.
const YOUNG: Duration = Duration::from_secs(600);

/// A scratch folder, gone when dropped.
#[derive(Debug)]
pub struct Scratch {
    folder: TempDir,
    /// Held for as long as the folder is in use.
    _lock: File,
}

impl Scratch {
    /// Where it is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Makes a scratch folder, and removes those whose runs were killed.
pub fn scratch() -> Result<Scratch, Failure> {
    let place = std::env::temp_dir();
    let failed = |error: std::io::Error| Failure::file("make a folder in", &place, &error);
    let folder = Builder::new().prefix(PREFIX).tempdir_in(&place).map_err(failed)?;
    let lock = File::create_new(folder.path().join(TAKING)).map_err(failed)?;
    lock.try_lock().map_err(|error| failed(std::io::Error::other(error)))?;
    fs::rename(folder.path().join(TAKING), folder.path().join(LOCK)).map_err(failed)?;
    sweep(&place, lock.metadata().map_err(failed)?.uid());
    Ok(Scratch { folder, _lock: lock })
}

/// Removes the folders of this user that nobody holds. What cannot be removed is left for the next.
fn sweep(place: &Path, ours: u32) {
    for entry in fs::read_dir(place).into_iter().flatten().flatten() {
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        let path = entry.path();
        let Ok(found) = fs::symlink_metadata(&path) else { continue };
        if !found.is_dir() || found.uid() != ours {
            continue;
        }
        let free = match File::options().write(true).open(path.join(LOCK)) {
            Ok(lock) => !matches!(lock.try_lock(), Err(TryLockError::WouldBlock)),
            Err(_) => {
                let age = found.modified().ok().and_then(|made| SystemTime::now().duration_since(made).ok());
                age.is_some_and(|age| age > YOUNG)
            }
        };
        if free {
            let _ = fs::remove_dir_all(&path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_clears_what_another_has_just_made() {
        std::thread::scope(|threads| {
            for _ in 0..8 {
                threads.spawn(|| {
                    for _ in 0..200 {
                        let ours = scratch().expect("a scratch folder");
                        fs::write(ours.path().join("rows"), "1").expect("it is there");
                    }
                });
            }
        });
    }

    #[test]
    fn what_a_killed_run_left_is_cleared_and_what_is_in_use_is_not() {
        let place = tempfile::tempdir().expect("a folder");
        let ours = fs::metadata(place.path()).expect("it is there").uid();
        let (left, used) = (place.path().join("pipeline-scratch-left"), place.path().join("pipeline-scratch-used"));
        for folder in [&left, &used] {
            fs::create_dir(folder).expect("a folder");
            fs::write(folder.join(LOCK), "").expect("a lock");
        }
        let lock = File::open(used.join(LOCK)).expect("the lock");
        lock.lock().expect("it is free");
        sweep(place.path(), ours);
        assert_eq!((left.exists(), used.exists()), (false, true));
    }
}
