//! The NDJSON file that events go to: whole lines or nothing, whoever else writes at the same time.

use crate::AgentError;
use serde_json::Value;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::Path;

/// Appends one event as one line with one `write`. The file is made if it is missing; its folder is not.
///
/// `O_APPEND` keeps writers apart on a local file system, the lock does on a network one. A line that another
/// writer left unfinished (killed, disk full) is ended first, so that it spoils only itself.
pub fn append(path: &Path, event: &Value) -> Result<(), AgentError> {
    let mut line = event.to_string().into_bytes();
    line.push(b'\n');
    write_line(path, line).map_err(|source| AgentError::Append { path: path.to_owned(), source })
}

fn write_line(path: &Path, mut line: Vec<u8>) -> io::Result<()> {
    // Pipes and devices (`/dev/stderr`) can be neither locked nor read back.
    if path.metadata().is_ok_and(|meta| !meta.is_file()) {
        return OpenOptions::new().append(true).open(path)?.write_all(&line);
    }
    let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
    match file.lock() {
        Err(error) if error.kind() != ErrorKind::Unsupported => return Err(error),
        _ => {}
    }
    let length = file.metadata()?.len();
    if length > 0 && last_byte(&mut file)? != b'\n' {
        line.insert(0, b'\n');
    }
    file.write_all(&line).inspect_err(|_| {
        // Half a line on a full disk is worse than none; if this fails too, the next writer ends the line.
        let _ = file.set_len(length);
    })
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
                        append(path, &json!({"writer": writer, "n": n, "fill": "x".repeat(10_000)})).unwrap();
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
        append(&path, &json!({"n": 1})).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\"torn\":\n{\"n\":1}\n");
    }

    #[test]
    fn a_missing_folder_is_named() {
        let error = append(Path::new("/nonexistent/events.ndjson"), &json!({})).unwrap_err();
        assert_eq!(error.to_string(), "cannot append an event to /nonexistent/events.ndjson");
    }
}
