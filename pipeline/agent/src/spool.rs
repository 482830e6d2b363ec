//! A folder of dumps that never grows beyond a bound: `ingest` takes it as it is, at any moment.
//!
//! Events go to a `.part` file, which `ingest` does not look at; when it is large or old enough it gets its final name.
//! A part whose writer was killed is finished by the next writer, without the line it broke off in. When there is no
//! room, the oldest files go, and an event says which. Several collectors may share a folder: each holds a lock on its
//! part, and whoever makes room holds the lock of the folder.

use crate::AgentError;
use crate::collect::remark;
use domain::Timestamp;
use domain::units::format_bytes;
use rustix::fs::OFlags;
use serde_json::{Value, json};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The least bound: below, a part would hold no line of usual length.
pub const SPOOL_LEAST_BYTES: u64 = 1 << 20;
/// A part has this share of the bound, so many collectors less one fit beside each other.
const PARTS: u64 = 16;
/// No part is larger: what is dropped is dropped by the file.
const PART_MOST_BYTES: u64 = 32 << 20;
/// A part gets its final name at this age.
const PART_AGE: Duration = Duration::from_secs(300);
/// Room for the words about what was dropped.
const REMARKS_BYTES: u64 = 64 << 10;

/// One collector's way into the folder.
pub struct Spool {
    folder: PathBuf,
    collector: &'static str,
    max_bytes: u64,
    part: Option<Part>,
    files: u64,
    lost: Option<Lost>,
    totals: SpoolTotals,
}

/// What became of the events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpoolTotals {
    /// Events written.
    pub written: u64,
    /// Events that could not be written, such as on a full disk.
    pub lost: u64,
    /// Events in files that were dropped to keep the bound, by whomever they were collected.
    pub dropped: u64,
}

struct Part {
    file: File,
    path: PathBuf,
    bytes: u64,
    born: Instant,
}

/// Events that could not be written, not yet said in an event.
struct Lost {
    events: u64,
    since: Timestamp,
    why: String,
}

impl Spool {
    /// Opens or makes the folder, and finishes the parts of dead writers.
    ///
    /// # Errors
    /// The folder cannot be made or written.
    pub fn open(folder: &Path, max_bytes: u64, collector: &'static str) -> Result<Self, AgentError> {
        std::fs::create_dir_all(folder).map_err(AgentError::file("make", folder))?;
        let spool = Self {
            folder: folder.to_owned(),
            collector,
            max_bytes: max_bytes.max(SPOOL_LEAST_BYTES),
            part: None,
            files: 0,
            lost: None,
            totals: SpoolTotals::default(),
        };
        let _lock = spool.lock()?;
        for path in spool.files("part")? {
            finish_orphan(&path).map_err(AgentError::file("finish", &path))?;
        }
        Ok(spool)
    }

    /// Writes one event. An error is no end: the event is counted as lost, an event will say so once writing works
    /// again, and the next one is tried.
    ///
    /// # Errors
    /// It could not be written.
    pub fn take(&mut self, event: &Value, now: Timestamp) -> Result<(), AgentError> {
        let written = self.write(event, now);
        match &written {
            Ok(()) => self.totals.written += 1,
            Err(error) => {
                self.totals.lost += 1;
                let why = std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string);
                self.lost.get_or_insert(Lost { events: 0, since: now, why }).events += 1;
            }
        }
        written
    }

    /// To be called now and then: an old part gets its final name though nothing more comes.
    ///
    /// # Errors
    /// It cannot be renamed.
    pub fn tick(&mut self) -> Result<(), AgentError> {
        match &self.part {
            Some(part) if part.born.elapsed() >= PART_AGE => self.finish(),
            _ => Ok(()),
        }
    }

    /// Gives the last part its final name.
    ///
    /// # Errors
    /// It cannot be renamed.
    pub fn close(mut self) -> Result<SpoolTotals, AgentError> {
        self.finish()?;
        Ok(self.totals)
    }

    /// So far.
    pub fn totals(&self) -> SpoolTotals {
        self.totals
    }

    fn part_bytes(&self) -> u64 {
        (self.max_bytes / PARTS).min(PART_MOST_BYTES)
    }

    fn write(&mut self, event: &Value, now: Timestamp) -> Result<(), AgentError> {
        let mut line = Vec::new();
        if let Some(lost) = &self.lost {
            push(&mut line, &lost.said(now));
        }
        push(&mut line, event);
        let length = line.len() as u64;
        if length > self.part_bytes() {
            let why = format!("it is larger than a file of the spool, {}", format_bytes(self.part_bytes() as f64));
            let source = io::Error::new(io::ErrorKind::FileTooLarge, why);
            return Err(AgentError::File { doing: "write an event to", path: self.folder.clone(), source });
        }
        if self.part.as_ref().is_some_and(|part| part.bytes + length > self.part_bytes()) {
            self.finish()?;
        }
        if self.part.is_none() {
            self.part = Some(self.begin(now)?);
        }
        let Some(part) = &mut self.part else { return Ok(()) };
        part.append(&line).map_err(AgentError::file("write to", &part.path))?;
        self.lost = None;
        Ok(())
    }

    /// A new part, with room made for all of it, and a word about what had to go for it.
    fn begin(&mut self, now: Timestamp) -> Result<Part, AgentError> {
        let _lock = self.lock()?;
        let others = self.files("part")?.len() as u64 + 1;
        if others * self.part_bytes() > self.max_bytes - REMARKS_BYTES {
            let why = format!("{others} collectors share it; use another folder, or allow it more");
            let source = io::Error::new(io::ErrorKind::QuotaExceeded, why);
            return Err(AgentError::File { doing: "write to", path: self.folder.clone(), source });
        }
        let room = (self.max_bytes - REMARKS_BYTES).saturating_sub(others * self.part_bytes());
        let mut kept = Vec::new();
        for path in self.files("ndjson")? {
            // Another program may take files away at any time.
            if let Ok(meta) = path.symlink_metadata() {
                kept.push((meta.modified().unwrap_or(std::time::UNIX_EPOCH), path, meta.len()));
            }
        }
        kept.sort();
        let mut total: u64 = kept.iter().map(|(_, _, bytes)| bytes).sum();
        let oldest = kept.into_iter().take_while(|(_, _, bytes)| {
            let drop = total > room;
            total -= bytes;
            drop
        });
        let oldest: Vec<PathBuf> = oldest.map(|(_, path, _)| path).collect();
        self.files += 1;
        let stamp = now.compact();
        let name = format!("{}-{stamp}-{}-{:06}.ndjson.part", self.collector, std::process::id(), self.files);
        let path = self.folder.join(name);
        let mut part = Part::create(&path).map_err(AgentError::file("make", &path))?;
        // First the word, then the deed: a crash between them says too much, never too little.
        for path in &oldest {
            let (events, word) = dropped(path, now);
            let mut line = Vec::new();
            push(&mut line, &word);
            part.append(&line).map_err(AgentError::file("write to", &part.path))?;
            match std::fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(AgentError::file("drop", path)(error));
                }
                _ => self.totals.dropped += events,
            }
        }
        Ok(part)
    }

    fn finish(&mut self) -> Result<(), AgentError> {
        let Some(part) = self.part.take() else { return Ok(()) };
        let done = part.path.with_extension("");
        let finished = match part.bytes {
            0 => std::fs::remove_file(&part.path),
            _ => part.file.sync_data().and_then(|()| std::fs::rename(&part.path, &done)),
        };
        finished.map_err(AgentError::file("finish", &part.path))
    }

    fn files(&self, ending: &str) -> Result<Vec<PathBuf>, AgentError> {
        let read = || -> io::Result<Vec<PathBuf>> {
            let mut found = Vec::new();
            for entry in std::fs::read_dir(&self.folder)? {
                let entry = entry?;
                // A link or a pipe is nobody's part.
                if entry.path().extension().is_some_and(|it| it == ending) && entry.file_type()?.is_file() {
                    found.push(entry.path());
                }
            }
            Ok(found)
        };
        read().map_err(AgentError::file("read", &self.folder))
    }

    fn lock(&self) -> Result<File, AgentError> {
        let path = self.folder.join(".lock");
        let lock = || -> io::Result<File> {
            let file = own(OpenOptions::new().create(true).append(true), &path)?;
            match file.lock() {
                Err(error) if error.kind() != io::ErrorKind::Unsupported => Err(error),
                _ => Ok(file),
            }
        };
        lock().map_err(AgentError::file("lock", &path))
    }
}

impl Drop for Spool {
    /// However a collector ends, what it wrote is there for `ingest`; if not even this works, the next one does it.
    fn drop(&mut self) {
        let _ = self.finish();
    }
}

impl Part {
    fn create(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).append(true).create_new(true).open(path)?;
        let _ = file.try_lock();
        Ok(Self { file, path: path.to_owned(), bytes: 0, born: Instant::now() })
    }

    /// Whole lines or nothing.
    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        match self.file.write_all(lines) {
            Ok(()) => {
                self.bytes += lines.len() as u64;
                Ok(())
            }
            Err(error) => {
                let _ = self.file.set_len(self.bytes);
                Err(error)
            }
        }
    }
}

impl Lost {
    fn said(&self, now: Timestamp) -> Value {
        let note = format!("{} events since {} could not be written: {}", self.events, self.since, self.why);
        let facts = json!({"lost_events": self.events, "gap_from": self.since.to_string(), "gap_to": now.to_string()});
        remark(now, None, note, facts)
    }
}

/// How many events are in a file that goes, and the event that says so.
fn dropped(path: &Path, now: Timestamp) -> (u64, Value) {
    let mut bytes = Vec::new();
    let _ = own(OpenOptions::new().read(true), path).and_then(|mut file| file.read_to_end(&mut bytes));
    let lines = || bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let time = |line: Option<&[u8]>| {
        let event: Value = serde_json::from_slice(line?).ok()?;
        Some(event["ts"].as_str()?.to_owned())
    };
    let (events, name) = (lines().count() as u64, path.file_name().unwrap_or_default().to_string_lossy());
    let note = format!("the spool is full: {events} events were dropped with its oldest file, {name}");
    let facts = json!({"dropped_events": events, "dropped_bytes": bytes.len(), "dropped_file": name,
        "gap_from": time(lines().next()), "gap_to": time(lines().next_back())});
    (events, remark(now, None, note, facts))
}

fn push(out: &mut Vec<u8>, event: &Value) {
    out.extend_from_slice(event.to_string().as_bytes());
    out.push(b'\n');
}

/// Opens a file of the folder itself: a link that somebody put there leads to a file that is none of ours, and a pipe would
/// keep us waiting.
fn own(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    options.custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits() as i32).open(path)
}

/// Gives a part its final name if nobody writes to it any more. A line that was broken off is cut off.
fn finish_orphan(path: &Path) -> io::Result<()> {
    let mut file = match own(OpenOptions::new().read(true).append(true), path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()), // finished meanwhile
        opened => opened?,
    };
    if file.try_lock().is_err() {
        return Ok(());
    }
    let whole = whole_lines(&mut file)?;
    if whole == 0 {
        return std::fs::remove_file(path);
    }
    file.set_len(whole)?;
    file.sync_data()?;
    std::fs::rename(path, path.with_extension(""))
}

/// How many bytes of a file are whole lines.
fn whole_lines(file: &mut File) -> io::Result<u64> {
    let mut end = file.metadata()?.len();
    let mut block = vec![0; 64 << 10];
    while end > 0 {
        let start = end.saturating_sub(block.len() as u64);
        let part = &mut block[..(end - start) as usize];
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(part)?;
        if let Some(at) = part.iter().rposition(|byte| *byte == b'\n') {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

#[cfg(test)]
mod tests;
