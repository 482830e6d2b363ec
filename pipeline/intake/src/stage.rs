//! From dumps to a [`Sink`]: every event exactly once, in bounded memory.
//!
//! One thread reads blocks of lines; workers decode them straight into records by day ([`native`], [`memo`], [`slow`],
//! [`rows`]), asking of each event whether it is known ([`known`]). Rows leave memory by day, to become columns
//! ([`arrays`]) of Parquet files ([`write`]).
//!
//! [`native`]: super::native
//! [`memo`]: super::memo
//! [`slow`]: super::slow
//! [`rows`]: super::rows
//! [`known`]: super::known
//! [`arrays`]: super::arrays
//! [`write`]: super::write

use super::begin::begin;
use super::collect::{Collector, Dump, Left, Portion, Shared};
use super::known::Known;
use super::rows::Rows;
use super::sink::{Sink, write_rejects};
use super::whole::{Broken, stage_whole};
use crate::error::IntakeError;
use crate::formats::Format;
use crate::source::Source;
use domain::Timestamp;
use domain::privacy::Privacy;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

/// Memory for rows that are not written yet, all workers together, in bytes. With the rest of the program it keeps an
/// ingest below 512 MiB whatever the size of the dump.
pub(super) const ROW_BYTES: usize = 112 << 20;

/// Memory for identities, in bytes.
pub(super) const KNOWN_BYTES: usize = 88 << 20;

/// More workers than this would each have too little of the memory.
const WORKERS: usize = 8;

/// How dumps are read, and when they are refused.
#[derive(Clone, Copy, Debug, Default)]
pub struct IntakeSpec {
    /// None: told apart per dump.
    pub format: Option<&'static Format>,
    /// Refuse everything when more than this is rejected.
    pub reject_limit: Option<RejectLimit>,
    /// Leave out dumps that cannot be read to their end, and name them, instead of refusing everything.
    pub keep_going: bool,
    /// The moment of reading: of a calendar, what recurs is worked out around it.
    pub now: Timestamp,
}

/// How much may be rejected.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RejectLimit {
    /// Events.
    Count(u64),
    /// Of all events read, 0 to 1.
    Share(f64),
}

/// What dumps held.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Events read, not lines.
    pub read: u64,
    /// Not events.
    pub rejected: u64,
    /// Rejects by reason.
    pub reasons: BTreeMap<String, u64>,
    /// Dumps of which no format knows anything, and what they look like.
    pub unknown: BTreeMap<String, &'static str>,
    /// With `keep_going`: dumps that could not be read. Nothing of them was taken.
    pub broken: Vec<Broken>,
}

/// Reads every dump to its end and leaves what is new in it in the sink; `progress` is told the events read so far and
/// the dump. Keeps every core busy for as long as the dumps last. Must be called on a runtime of several threads, by what
/// may block.
pub fn stage(
    sources: &[Source],
    privacy: &Privacy,
    spec: &IntakeSpec,
    sink: &dyn Sink,
    progress: &mut dyn FnMut(u64, &str),
) -> Result<Tally, IntakeError> {
    let mut stage = |sources: &[Source]| stage_all(sources, privacy, spec, sink, progress);
    if spec.keep_going { stage_whole(sources, sink, stage) } else { stage(sources) }
}

/// Some of a dump, and which it is.
type Job = (Arc<Dump>, Portion);

/// [`stage`] of dumps all of which must be read to their end.
fn stage_all(
    sources: &[Source],
    privacy: &Privacy,
    spec: &IntakeSpec,
    sink: &dyn Sink,
    progress: &mut dyn FnMut(u64, &str),
) -> Result<Tally, IntakeError> {
    let workers = std::thread::available_parallelism().map_or(1, usize::from).min(WORKERS);
    let load = |day: i32, give: &mut dyn FnMut(u128)| sink.load(day, give);
    let known = Known::new(KNOWN_BYTES, &load);
    let row_bytes = ROW_BYTES / workers;
    let shared = Shared::new(privacy, &known, sink, row_bytes, spec.now);
    let failed = AtomicBool::new(false);
    let (jobs, queue) = sync_channel::<Job>(1);
    let queue = Mutex::new(queue);
    let mut unknown = BTreeMap::new();
    let left = std::thread::scope(|scope| {
        let spawn = || scope.spawn(|| work(&shared, &queue, &failed));
        let running: Vec<_> = (0..workers).map(|_| spawn()).collect();
        let read = read_all(sources, spec, &shared, (jobs, &failed), &mut unknown, progress);
        let mut left = Vec::new();
        for worker in running {
            left.push(worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
        }
        left.push(read?);
        Ok::<_, IntakeError>(left)
    })?;
    let mut tally = Tally { unknown, ..Tally::default() };
    let mut days: HashMap<i32, Vec<Rows>> = HashMap::new();
    let mut rejects = Vec::new();
    for part in left {
        tally.read += part.read;
        tally.rejected += part.rejected;
        rejects.extend(part.rejects);
        part.reasons.into_iter().for_each(|(reason, n)| *tally.reasons.entry(reason).or_default() += n);
        part.days.into_iter().for_each(|(day, rows)| days.entry(day).or_default().push(rows));
    }
    within_limit(&tally, spec.reject_limit)?;
    write_days(days, sink, workers)?;
    rejects.sort_by(|a, b| (&a.source, a.line, &a.reject_id).cmp(&(&b.source, b.line, &b.reject_id)));
    write_rejects(sink, rejects, &known)?;
    Ok(tally)
}

fn work<'a>(shared: &'a Shared<'a>, queue: &Mutex<Receiver<Job>>, failed: &AtomicBool) -> Result<Left, IntakeError> {
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
    let read = || {
        let mut collector = Collector::new(shared);
        // When the reader has hung up, everything is read.
        while let Ok((dump, portion)) = next() {
            // When another worker failed, its error is told: only the queue must not fill up.
            if !failed.load(Ordering::Relaxed) {
                collector.take(&dump, portion, None)?;
            }
        }
        collector.finish()
    };
    // A worker that is gone would leave the reader waiting for ever: also after a panic it listens on.
    let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(read));
    if !matches!(ended, Ok(Ok(_))) {
        failed.store(true, Ordering::Relaxed);
        while next().is_ok() {}
    }
    ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Reads all dumps, hands their lines to the workers, and reads itself what must be read in order.
fn read_all<'a>(
    sources: &[Source],
    spec: &IntakeSpec,
    shared: &'a Shared<'a>,
    (jobs, failed): (SyncSender<Job>, &AtomicBool),
    unknown: &mut BTreeMap<String, &'static str>,
    progress: &mut dyn FnMut(u64, &str),
) -> Result<Left, IntakeError> {
    let mut collector = Collector::new(shared);
    for source in sources {
        let mut blocks = source.open()?;
        let Some(begin) = begin(&mut blocks, spec.format)? else { continue };
        if let Some(what) = begin.unknown {
            unknown.insert(shared.privacy.scrub_text(&source.name()), what);
        }
        let format = begin.format;
        let dump = Arc::new(Dump { name: source.name(), begin });
        let mut reader = format.reader(shared.now);
        let mut line = 1;
        while let Some(piece) = blocks.next_piece()? {
            if failed.load(Ordering::Relaxed) {
                return collector.finish();
            }
            let portion = Portion { piece, is_utf8: blocks.is_utf8() };
            if format.is_independent() {
                // Workers never stop listening before the reader hangs up.
                let _ = jobs.send((dump.clone(), portion));
            } else {
                line = portion.piece.first_line();
                collector.take(&dump, portion, Some(&mut *reader))?;
            }
            progress(shared.read.load(Ordering::Relaxed), &dump.name);
        }
        collector.end(&dump, line, &mut *reader)?;
        progress(shared.read.load(Ordering::Relaxed), &dump.name);
    }
    collector.finish()
}

fn within_limit(tally: &Tally, limit: Option<RejectLimit>) -> Result<(), IntakeError> {
    let Tally { read, rejected, .. } = *tally;
    let (over, limit) = match limit {
        None => return Ok(()),
        Some(RejectLimit::Count(count)) => (rejected > count, count.to_string()),
        Some(RejectLimit::Share(share)) => (rejected as f64 > share * read as f64, format!("{} %", share * 100.0)),
    };
    if over { Err(IntakeError::RejectLimit { rejected, read, limit }) } else { Ok(()) }
}

/// Writes what is left of every day, the largest first, side by side.
pub(super) fn write_days(days: HashMap<i32, Vec<Rows>>, sink: &dyn Sink, workers: usize) -> Result<(), IntakeError> {
    let mut days: Vec<(i32, Vec<Rows>)> = days.into_iter().collect();
    days.sort_by_key(|(day, parts)| (std::cmp::Reverse(parts.iter().map(|rows| rows.bytes()).sum::<usize>()), *day));
    let count = workers.min(days.len());
    let queue = Mutex::new(days.into_iter());
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work = || -> Result<(), IntakeError> {
        while let Some((day, parts)) = next() {
            let mut rows = Rows::default();
            parts.into_iter().for_each(|part| rows.append(part));
            sink.write_day(day, &rows)?;
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..count).map(|_| scope.spawn(work)).collect();
        running
            .into_iter()
            .try_for_each(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

#[cfg(test)]
mod tests;
