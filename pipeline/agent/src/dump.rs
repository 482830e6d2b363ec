//! The NDJSON file that events go to: whole lines or nothing, whoever else writes at the same time.

use crate::AgentError;
use rustix::fs::OFlags;
use serde_json::Value;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long to wait for another writer. A build does not hang on one that hangs.
const PATIENCE: Duration = Duration::from_secs(2);

/// Appends events, each a line, all with one `write`. The file is made if it is missing; its folder is not.
///
/// `O_APPEND` keeps writers apart on a local file system, the lock does on a network one. A line that another
/// writer left unfinished (killed, disk full) is ended first, so that it spoils only itself.
pub fn append(path: &Path, events: &[Value]) -> Result<(), AgentError> {
    let lines: String = events.iter().map(|event| format!("{event}\n")).collect();
    write_lines(path, lines.into_bytes()).map_err(|source| AgentError::Append { path: path.to_owned(), source })
}

fn write_lines(path: &Path, mut lines: Vec<u8>) -> io::Result<()> {
    // Pipes and devices (`/dev/stderr`) can be neither locked nor read back. A pipe that nobody reads is an error.
    if path.metadata().is_ok_and(|meta| !meta.is_file()) {
        let nonblocking = OFlags::NONBLOCK.bits() as i32;
        return OpenOptions::new().append(true).custom_flags(nonblocking).open(path)?.write_all(&lines);
    }
    let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
    let locked = lock(&file)?;
    let length = file.metadata()?.len();
    if length > 0 && last_byte(&mut file)? != b'\n' {
        lines.insert(0, b'\n');
    }
    file.write_all(&lines).inspect_err(|_| {
        // Half a line on a full disk is worse than none; if this fails too, the next writer ends the line.
        if locked {
            let _ = file.set_len(length);
        }
    })
}

/// Whether the file is ours alone for now. Without a lock, which a file system may not have, a writer that stands still
/// under it, or one on a network, may at worst end our line early: still one `write` of whole lines.
fn lock(file: &File) -> io::Result<bool> {
    let until = Instant::now() + PATIENCE;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) if Instant::now() < until => std::thread::sleep(Duration::from_millis(2)),
            Err(TryLockError::WouldBlock) => return Ok(false),
            Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => return Ok(false),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
}

fn last_byte(file: &mut File) -> io::Result<u8> {
    let mut byte = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut byte)?;
    Ok(byte[0])
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn eight_writers_never_interleave() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events.ndjson");
        std::thread::scope(|scope| {
            for writer in 0..8 {
                let path = &path;
                scope.spawn(move || {
                    for n in 0..100 {
                        // Longer than a pipe's or a page's atomic size, so that two writes would show.
                        append(path, &[json!({"writer": writer, "n": n, "fill": "x".repeat(10_000)})]).unwrap();
                    }
                });
            }
        });
        let text = std::fs::read_to_string(&path).unwrap();
        let mut next = [0; 8];
        for line in text.lines() {
            let event: Value = serde_json::from_str(line).unwrap();
            let writer = event["writer"].as_u64().unwrap() as usize;
            assert_eq!(event["n"], next[writer]);
            next[writer] += 1;
        }
        assert_eq!(next, [100; 8]);
    }

    #[test]
    fn an_unfinished_line_spoils_only_itself() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events.ndjson");
        std::fs::write(&path, "{\"torn\":").unwrap();
        append(&path, &[json!({"n": 1})]).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\"torn\":\n{\"n\":1}\n");
    }

    #[test]
    fn a_writer_that_stands_still_holds_nobody_up_and_a_pipe_without_a_reader_neither() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events.ndjson");
        let other = File::create(&path).unwrap();
        other.lock().unwrap();
        append(&path, &[json!({"n": 1}), json!({"n": 2})]).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\"n\":1}\n{\"n\":2}\n");
        let pipe = dir.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(append(&pipe, &[json!({})]).is_err());
    }

    #[test]
    fn a_missing_folder_is_named() {
        let error = append(Path::new("/nonexistent/events.ndjson"), &[json!({})]).unwrap_err();
        assert_eq!(error.to_string(), "cannot append an event to /nonexistent/events.ndjson");
    }
}
