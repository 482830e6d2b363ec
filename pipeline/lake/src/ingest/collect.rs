//! One worker's share of an ingest: from lines to rows by day, within its share of memory.

use super::known::{Day, Known, Verdict};
use super::native::{Key, NativeReader};
use super::rows::Rows;
use super::slow;
use super::staging::Staging;
use crate::error::LakeError;
use crate::formats::{Format, Reader, Taken};
use crate::reject::Reject;
use crate::source::Piece;
use domain::event::normalise;
use domain::identity::{Identity, NormalForm, hash128, written};
use domain::json::Tape;
use domain::privacy::Privacy;
use domain::{Event, Reason};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Kept text of rejects after which they are written out.
const REJECT_BYTES: usize = 4 << 20;

/// What a dump is called and looks like.
pub(super) struct Dump {
    pub(super) name: String,
    pub(super) format: &'static Format,
}

/// What all workers share.
pub(super) struct Shared<'a> {
    pub(super) privacy: &'a Privacy,
    pub(super) known: &'a Known<'a>,
    pub(super) staging: &'a Staging<'a>,
    /// Rows a worker may hold before it writes some out, in bytes.
    pub(super) row_bytes: usize,
    /// Events and rejects met, for progress.
    pub(super) read: AtomicU64,
}

/// A day of which this worker holds rows.
struct Open {
    day: i32,
    known: Arc<Day>,
    rows: Rows,
    /// Not decided yet whether they are new.
    doubtful: Rows,
}

/// What one worker has read.
pub(super) struct Collector<'a> {
    shared: &'a Shared<'a>,
    identity: Identity,
    native: NativeReader,
    tape: Tape,
    open: Vec<Open>,
    places: HashMap<i32, usize>,
    last: usize,
    bytes: usize,
    doubtful_bytes: usize,
    /// The largest row since rows were last written.
    largest: usize,
    rejects: Vec<Reject>,
    reject_bytes: usize,
    pub(super) read: u64,
    pub(super) rejected: u64,
    pub(super) reasons: BTreeMap<String, u64>,
}

/// What a worker leaves when there is no more to read.
pub(super) struct Left {
    pub(super) days: Vec<(i32, Rows)>,
    pub(super) rejects: Vec<Reject>,
    pub(super) read: u64,
    pub(super) rejected: u64,
    pub(super) reasons: BTreeMap<String, u64>,
}

/// Where something was read that is refused.
#[derive(Clone, Copy)]
struct At<'a> {
    dump: &'a str,
    line: u64,
}

impl<'a> Collector<'a> {
    pub(super) fn new(shared: &'a Shared<'a>) -> Self {
        Self {
            shared,
            identity: Identity::new(shared.privacy),
            native: NativeReader::new(shared.privacy),
            tape: Tape::default(),
            open: Vec::new(),
            places: HashMap::new(),
            last: 0,
            bytes: 0,
            doubtful_bytes: 0,
            largest: 0,
            rejects: Vec::new(),
            reject_bytes: 0,
            read: 0,
            rejected: 0,
            reasons: BTreeMap::new(),
        }
    }

    /// Takes some lines of a dump. `reader` is given where the dump must be read in order.
    pub(super) fn take(&mut self, dump: &Dump, piece: Piece, reader: Option<&mut dyn Reader>) -> Result<(), LakeError> {
        let before = self.read;
        match piece {
            Piece::Long { line, head, length, hash } => {
                let text = String::from_utf8_lossy(&head);
                self.reject(At { dump: &dump.name, line }, Reason::TooLong, &text, Some(hash), length);
            }
            Piece::Lines { first, bytes } => match reader {
                Some(reader) => self.lines(dump, first, &bytes, Some(reader))?,
                None if dump.format.is_native() => self.lines(dump, first, &bytes, None)?,
                None => self.lines(dump, first, &bytes, Some(&mut *dump.format.reader()))?,
            },
        }
        self.shared.read.fetch_add(self.read - before, Ordering::Relaxed);
        self.relieve()
    }

    fn lines(
        &mut self,
        dump: &Dump,
        first: u64,
        bytes: &[u8],
        mut reader: Option<&mut (dyn Reader + '_)>,
    ) -> Result<(), LakeError> {
        // Checked once for the whole block; line by line only when something is wrong with it.
        let whole = std::str::from_utf8(bytes).ok();
        let (mut start, mut line) = (0, first);
        while start < bytes.len() {
            let end = memchr::memchr(b'\n', &bytes[start..]).map_or(bytes.len(), |at| start + at);
            let raw = &bytes[start..end];
            let text = match whole {
                Some(whole) => whole.get(start..end),
                None => std::str::from_utf8(raw).ok(),
            };
            let at = At { dump: &dump.name, line };
            match text {
                Some(text) => self.line(at, text.trim_end_matches('\r'), &mut reader)?,
                None => {
                    let raw = raw.strip_suffix(b"\r").unwrap_or(raw);
                    let text = String::from_utf8_lossy(raw);
                    self.reject(at, Reason::NotJson, &text, Some(hash128(raw)), raw.len() as u64);
                }
            }
            (start, line) = (end + 1, line + 1);
        }
        Ok(())
    }

    fn line(&mut self, at: At, text: &str, reader: &mut Option<&mut (dyn Reader + '_)>) -> Result<(), LakeError> {
        if text.bytes().all(|byte| byte.is_ascii_whitespace()) {
            return Ok(());
        }
        let Self { tape, native, .. } = self;
        if reader.is_none()
            && let Some(key) = native.follow(tape, text)
        {
            return self.row(key, None);
        }
        let Ok(json) = tape.scan(text) else {
            return match reader {
                Some(reader) => {
                    let mut taken = Vec::new();
                    reader.text(text, &mut taken);
                    self.taken(at, taken, text)
                }
                None => {
                    self.reject(at, Reason::NotJson, text, None, text.len() as u64);
                    Ok(())
                }
            };
        };
        match reader {
            Some(reader) => {
                let value = json.value(0);
                let mut taken = Vec::new();
                reader.object(value, &mut taken);
                self.taken(at, taken, text)
            }
            None => match native.read(json) {
                Some(key) => self.row(key, None),
                None => {
                    let mut taken = Vec::new();
                    Format::NATIVE.reader().object(json.value(0), &mut taken);
                    self.taken(at, taken, text)
                }
            },
        }
    }

    /// Values that were read as a whole, not line by line.
    pub(super) fn values(&mut self, dump: &Dump, values: Vec<Value>, reader: &mut dyn Reader) -> Result<(), LakeError> {
        let before = self.read;
        let mut taken = Vec::new();
        for value in values {
            reader.object(value, &mut taken);
            self.taken(At { dump: &dump.name, line: 1 }, std::mem::take(&mut taken), "")?;
            self.relieve()?;
        }
        self.shared.read.fetch_add(self.read - before, Ordering::Relaxed);
        Ok(())
    }

    /// The end of a dump that was read in order.
    pub(super) fn end(&mut self, dump: &Dump, line: u64, reader: &mut dyn Reader) -> Result<(), LakeError> {
        loop {
            let mut taken = Vec::new();
            reader.end(&mut taken);
            if taken.is_empty() {
                return Ok(());
            }
            self.taken(At { dump: &dump.name, line }, taken, "")?;
            self.relieve()?;
        }
    }

    /// What a format made of something: events, and what it could not read. `line` is the text it was made of, where
    /// that is a line.
    fn taken(&mut self, at: At, taken: Vec<Taken>, line: &str) -> Result<(), LakeError> {
        let is_whole = taken.len() == 1 && !line.is_empty();
        for result in taken {
            match result.and_then(|object| normalise(object, self.shared.privacy)) {
                Ok(event) => {
                    self.event(&event)?;
                    if self.bytes > self.shared.row_bytes {
                        self.relieve()?;
                    }
                }
                Err((_, reason)) if is_whole => self.reject(at, reason, line, None, line.len() as u64),
                Err((value, reason)) => {
                    let text = written(&value);
                    self.reject(at, reason, &text, None, text.len() as u64);
                    if self.reject_bytes > REJECT_BYTES {
                        self.relieve()?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Takes one event.
    pub(super) fn event(&mut self, event: &Event) -> Result<(), LakeError> {
        let normal = self.identity.normal_form(event);
        let key = Key { id: normal.id, ts: event.ts };
        self.row(key, Some((event, &normal)))
    }

    /// Makes the row of an event unless it is known: of the given one, or of what the fast way read last.
    fn row(&mut self, key: Key, event: Option<(&Event, &NormalForm)>) -> Result<(), LakeError> {
        self.read += 1;
        let day = key.ts.day();
        if self.open.get(self.last).is_none_or(|open| open.day != day) {
            self.last = self.open_day(day)?;
        }
        let open = &mut self.open[self.last];
        let (rows, is_doubtful) = match open.known.meet(key.id, self.shared.known) {
            Verdict::Known => return Ok(()),
            Verdict::New => (&mut open.rows, false),
            Verdict::Doubtful => (&mut open.doubtful, true),
        };
        let before = rows.bytes();
        match event {
            Some((event, normal)) => slow::push(rows, event, normal),
            None => self.native.push(key, rows),
        }
        let added = rows.bytes() - before;
        self.bytes += added;
        self.largest = self.largest.max(added);
        if is_doubtful {
            self.doubtful_bytes += added;
        }
        Ok(())
    }

    fn open_day(&mut self, day: i32) -> Result<usize, LakeError> {
        if let Some(place) = self.places.get(&day) {
            return Ok(*place);
        }
        let known = self.shared.known.day(day)?;
        self.places.insert(day, self.open.len());
        self.open.push(Open { day, known, rows: Rows::default(), doubtful: Rows::default() });
        Ok(self.open.len() - 1)
    }

    fn reject(&mut self, at: At, reason: Reason, text: &str, hash: Option<String>, length: u64) {
        self.read += 1;
        self.rejected += 1;
        *self.reasons.entry(reason.code().to_owned()).or_default() += 1;
        let reject = Reject::new(at.dump, at.line, reason, text, hash, length, self.shared.privacy);
        self.reject_bytes += reject.text.len() + 256;
        self.rejects.push(reject);
    }

    /// Writes out and forgets until memory holds.
    pub(super) fn relieve(&mut self) -> Result<(), LakeError> {
        self.shared.known.shrink()?;
        self.native.shrink();
        self.tape.shrink();
        if self.reject_bytes > REJECT_BYTES {
            self.shared.staging.write_rejects(std::mem::take(&mut self.rejects), self.shared.known)?;
            self.reject_bytes = 0;
        }
        if self.doubtful_bytes > self.shared.row_bytes / 4 {
            self.decide()?;
        }
        // Another row like the largest must fit, too: one event may have megabytes.
        if self.bytes + self.largest <= self.shared.row_bytes {
            return Ok(());
        }
        self.largest = 0;
        self.decide()?;
        // The days with the most rows make the best files.
        let mut sizes: Vec<(usize, usize)> =
            self.open.iter().enumerate().map(|(place, open)| (open.rows.bytes(), place)).collect();
        sizes.sort_unstable();
        while self.bytes > self.shared.row_bytes / 2
            && let Some((size, place)) = sizes.pop()
        {
            let open = &mut self.open[place];
            let rows = std::mem::take(&mut open.rows);
            if rows.len() > 0 {
                self.shared.staging.write_day(open.day, &rows)?;
            }
            self.bytes -= size;
        }
        // Days at rest are looked up anew, so that what is known of them can leave memory.
        self.open.retain(|open| open.rows.len() > 0);
        self.places = self.open.iter().enumerate().map(|(place, open)| (open.day, place)).collect();
        self.last = 0;
        Ok(())
    }

    /// Decides which doubtful rows are new.
    fn decide(&mut self) -> Result<(), LakeError> {
        for open in &mut self.open {
            if open.doubtful.len() > 0 {
                let doubtful = std::mem::take(&mut open.doubtful);
                self.bytes -= doubtful.bytes();
                let mut new = self.shared.known.decide(&open.known, &doubtful.ids())?;
                let new = doubtful.retain(|id| new.remove(&id));
                self.bytes += new.bytes();
                open.rows.append(new);
            }
        }
        self.doubtful_bytes = 0;
        Ok(())
    }

    /// What is left when there is no more to read.
    pub(super) fn finish(mut self) -> Result<Left, LakeError> {
        self.decide()?;
        Ok(Left {
            days: self.open.into_iter().filter(|open| open.rows.len() > 0).map(|open| (open.day, open.rows)).collect(),
            rejects: self.rejects,
            read: self.read,
            rejected: self.rejected,
            reasons: self.reasons,
        })
    }
}
