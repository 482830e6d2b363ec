//! One worker's share of an ingest: from lines to rows by day, within its share of memory.

use super::begin::Begin;
use super::known::{Day, Known, Verdict};
use super::lines::{Line, each_line};
use super::native::{Key, NativeReader};
use super::rows::Rows;
use super::sink::{Sink, write_rejects};
use super::slow;
use super::units::{Items, Unit, units};
use crate::error::IntakeError;
use crate::formats::{Reader, Taken, endings};
use crate::reject::Reject;
use crate::source::Piece;
use domain::event::normalise;
use domain::identity::{Identity, NormalForm, hash128, written};
use domain::json::Tape;
use domain::privacy::Privacy;
use domain::{Event, Reason, Timestamp};
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Kept text of rejects after which they are written out.
const REJECT_BYTES: usize = 4 << 20;

/// Text of this size is read by one worker at a time: until it is written it is in memory up to ten times.
const LARGE: usize = 8 << 20;

/// What a dump is called and looks like.
pub(super) struct Dump {
    pub(super) name: String,
    pub(super) begin: Begin,
}

/// Some of a dump.
pub(super) struct Portion {
    pub(super) piece: Piece,
    /// Whether the dump was UTF-8 up to here. Of one that was not, what is no JSON is not kept.
    pub(super) is_utf8: bool,
}

/// What all workers share.
pub(super) struct Shared<'a> {
    pub(super) privacy: &'a Privacy,
    pub(super) known: &'a Known<'a>,
    pub(super) sink: &'a dyn Sink,
    /// Rows a worker may hold before it writes some out, in bytes.
    pub(super) row_bytes: usize,
    /// The moment of reading.
    pub(super) now: Timestamp,
    /// Events and rejects met, for progress.
    pub(super) read: AtomicU64,
    /// Held by the one worker that reads a large piece.
    large: Mutex<()>,
}

impl<'a> Shared<'a> {
    pub(super) fn new(
        privacy: &'a Privacy,
        known: &'a Known<'a>,
        sink: &'a dyn Sink,
        row_bytes: usize,
        now: Timestamp,
    ) -> Self {
        Self { privacy, known, sink, row_bytes, now, read: AtomicU64::new(0), large: Mutex::new(()) }
    }
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
    dump: &'a Dump,
    line: u64,
    is_utf8: bool,
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

    /// Takes some of a dump. `reader` is given where the dump must be read in order.
    pub(super) fn take(
        &mut self,
        dump: &Dump,
        portion: Portion,
        reader: Option<&mut dyn Reader>,
    ) -> Result<(), IntakeError> {
        let is_large = portion.piece.len() > LARGE;
        let _alone = is_large.then(|| self.shared.large.lock().unwrap_or_else(PoisonError::into_inner));
        let before = self.read;
        let format = dump.begin.format;
        let at = At { dump, line: portion.piece.first_line(), is_utf8: portion.is_utf8 };
        let piece = portion.piece;
        match reader {
            Some(reader) => self.piece(at, &piece, Some(reader))?,
            None if format.is_native() => self.piece(at, &piece, None)?,
            None => self.piece(at, &piece, Some(&mut *format.reader(self.shared.now)))?,
        }
        self.shared.read.fetch_add(self.read - before, Ordering::Relaxed);
        self.relieve()
    }

    fn piece(&mut self, at: At, piece: &Piece, mut reader: Option<&mut (dyn Reader + '_)>) -> Result<(), IntakeError> {
        each_line(piece, |line, found| {
            let at = At { line, ..at };
            match found {
                Line::Text(text) => return self.line(at, text, &mut reader),
                Line::Other(raw) => self.reject(at, Reason::Encoding, "", Some(hash128(raw)), raw.len() as u64),
                Line::Long(head, length, hash) => {
                    let text = beginning(head).filter(|text| at.is_utf8 && !text.contains('\0')).unwrap_or_default();
                    self.reject(at, Reason::TooLong, text, Some(hash.to_owned()), length);
                }
            }
            Ok(())
        })
    }

    fn line(&mut self, at: At, text: &str, reader: &mut Option<&mut (dyn Reader + '_)>) -> Result<(), IntakeError> {
        if reader.is_none() {
            let Self { tape, native, .. } = self;
            let key = match native.follow(tape, text) {
                Some(key) => Some(key),
                None => tape.scan(text).ok().and_then(|json| native.read(json)),
            };
            if let Some(key) = key {
                return self.row(key, None);
            }
        }
        let mut own = None;
        let reader = match reader {
            Some(reader) => &mut **reader,
            None => &mut **own.insert(at.dump.begin.format.reader(self.shared.now)),
        };
        let mut tape = std::mem::take(&mut self.tape);
        let done = units(&mut tape, text, Items::Bare, reader, &mut |Unit { text, taken }| {
            self.taken(at, taken, &text.unwrap_or_default())?;
            self.relieve()
        });
        self.tape = tape;
        done
    }

    /// The end of a dump that was read in order.
    pub(super) fn end(&mut self, dump: &Dump, line: u64, reader: &mut dyn Reader) -> Result<(), IntakeError> {
        endings(reader, |taken| {
            self.taken(At { dump, line, is_utf8: true }, taken, "")?;
            self.relieve()
        })
    }

    /// What a format made of something: events, and what it could not read. `line` is the text it was made of, where
    /// that is a line.
    fn taken(&mut self, at: At, taken: Vec<Taken>, line: &str) -> Result<(), IntakeError> {
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
    pub(super) fn event(&mut self, event: &Event) -> Result<(), IntakeError> {
        let normal = self.identity.normal_form(event);
        let key = Key { id: normal.id, ts: event.ts };
        self.row(key, Some((event, &normal)))
    }

    /// Makes the row of an event unless it is known: of the given one, or of what the fast way read last.
    fn row(&mut self, key: Key, event: Option<(&Event, &NormalForm)>) -> Result<(), IntakeError> {
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

    fn open_day(&mut self, day: i32) -> Result<usize, IntakeError> {
        if let Some(place) = self.places.get(&day) {
            return Ok(*place);
        }
        let known = self.shared.known.day(day)?;
        self.places.insert(day, self.open.len());
        self.open.push(Open { day, known, rows: Rows::default(), doubtful: Rows::default() });
        Ok(self.open.len() - 1)
    }

    fn reject(&mut self, at: At, reason: Reason, text: &str, hash: Option<String>, length: u64) {
        let reason = at.dump.begin.reason(reason, text, at.is_utf8);
        self.read += 1;
        self.rejected += 1;
        *self.reasons.entry(reason.code().to_owned()).or_default() += 1;
        let mut reject = Reject::new(&at.dump.name, at.line, reason, text, hash, length, self.shared.privacy);
        if let Some(columns) = at.dump.begin.columns.as_ref().filter(|_| !reject.text.is_empty()) {
            reject.text = self.shared.privacy.scrub_row(columns, &reject.text);
        }
        self.reject_bytes += reject.text.len() + 256;
        self.rejects.push(reject);
    }

    /// Writes out and forgets until memory holds.
    pub(super) fn relieve(&mut self) -> Result<(), IntakeError> {
        self.shared.known.shrink()?;
        self.native.shrink();
        self.tape.shrink();
        if self.reject_bytes > REJECT_BYTES {
            write_rejects(self.shared.sink, std::mem::take(&mut self.rejects), self.shared.known)?;
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
            if !rows.is_empty() {
                self.shared.sink.write_day(open.day, &rows)?;
            }
            self.bytes -= size;
        }
        // Days at rest are looked up anew, so that what is known of them can leave memory.
        self.open.retain(|open| !open.rows.is_empty());
        self.places = self.open.iter().enumerate().map(|(place, open)| (open.day, place)).collect();
        self.last = 0;
        Ok(())
    }

    /// Decides which doubtful rows are new.
    fn decide(&mut self) -> Result<(), IntakeError> {
        for open in &mut self.open {
            if !open.doubtful.is_empty() {
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
    pub(super) fn finish(mut self) -> Result<Left, IntakeError> {
        self.decide()?;
        Ok(Left {
            days: self
                .open
                .into_iter()
                .filter(|open| !open.rows.is_empty())
                .map(|open| (open.day, open.rows))
                .collect(),
            rejects: self.rejects,
            read: self.read,
            rejected: self.rejected,
            reasons: self.reasons,
        })
    }
}

/// The text that a line begins with. It may have been cut off inside a letter.
fn beginning(head: &[u8]) -> Option<&str> {
    match std::str::from_utf8(head) {
        Ok(text) => Some(text),
        Err(error) if error.valid_up_to() + 4 > head.len() => std::str::from_utf8(&head[..error.valid_up_to()]).ok(),
        Err(_) => None,
    }
}
