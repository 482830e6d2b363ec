//! From dumps to the staging tables: every event exactly once, in one commit, in bounded memory.
//!
//! One thread reads blocks of lines; workers decode them straight into records by day ([`native`], [`memo`], [`slow`],
//! [`rows`]), asking of each event whether it is known ([`known`]). Rows leave memory as columns of Parquet files
//! ([`arrays`], [`write`]) that nothing refers to until one commit does ([`staging`], [`adds`]).

mod adds;
mod arrays;
mod begin;
mod collect;
mod known;
mod memo;
mod native;
mod retry;
mod rows;
mod slow;
mod staging;
mod units;
mod whole;
mod write;

pub use retry::RetryReport;
pub use whole::Broken;

use crate::error::LakeError;
use crate::formats::Format;
use crate::lake::Lake;
use crate::source::Source;
use begin::begin;
use collect::{Collector, Dump, Left, Portion, Shared};
use domain::privacy::Privacy;
use known::Known;
use rows::Rows;
use serde::Serialize;
use staging::Staging;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

/// Memory for rows that are not written yet, all workers together, in bytes. With the rest of the program it keeps an
/// ingest below 512 MiB whatever the size of the dump.
const ROW_BYTES: usize = 112 << 20;

/// Memory for identities, in bytes.
const KNOWN_BYTES: usize = 88 << 20;

/// More workers than this would each have too little of the memory.
const WORKERS: usize = 8;

/// What `ingest` is asked to do.
#[derive(Clone, Debug, Default)]
pub struct IngestSpec {
    /// None: told apart per dump.
    pub format: Option<&'static Format>,
    /// Refuse the whole ingest when more than this is rejected.
    pub reject_limit: Option<RejectLimit>,
    /// Keep the ids of accepted events for the report.
    pub list_accepted: bool,
    /// Leave out dumps that cannot be read to their end, and name them, instead of refusing everything.
    pub keep_going: bool,
}

/// How much may be rejected.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RejectLimit {
    /// Events.
    Count(u64),
    /// Of all events read, 0 to 1.
    Share(f64),
}

/// What an ingest met. `read = accepted + duplicates + rejected`.
#[derive(Clone, Debug, Default, Serialize)]
pub struct IngestReport {
    /// Events read, not lines.
    pub read: u64,
    /// New in the lake.
    pub accepted: u64,
    /// In the lake already, or twice in the dumps.
    pub duplicates: u64,
    /// Not events.
    pub rejected: u64,
    /// With `list_accepted`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accepted_event_ids: Option<Vec<String>>,
    /// Rejects by reason.
    pub reasons: BTreeMap<String, u64>,
    /// Dumps of which no format knows anything, and what they look like.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub unknown: BTreeMap<String, &'static str>,
    /// With `keep_going`: dumps that could not be read. Nothing of them was taken.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub broken: Vec<Broken>,
    /// Version of `staging.events` after it; none when nothing was committed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<i64>,
}

impl Lake {
    /// Takes dumps into the lake at `location`, which is made when new. Either everything is committed or nothing;
    /// `progress` is told the events read so far and the dump. Must be called on a runtime of several threads.
    pub async fn ingest(
        location: &str,
        privacy: &Privacy,
        sources: &[Source],
        spec: &IngestSpec,
        progress: &mut (dyn FnMut(u64, &str) + Send),
    ) -> Result<(Self, IngestReport), LakeError> {
        let staging = Staging::open(location, privacy).await?;
        // Read under the writer's presence: whoever erases a person waits for it.
        let privacy = &privacy.clone().with_erased(Self::erased_at(location, privacy).await?);
        // Decoding keeps every core busy for as long as the dumps last: it is no work for the runtime's threads.
        let staged = if spec.keep_going {
            whole::stage_whole(sources, privacy, spec, &staging, progress).await
        } else {
            tokio::task::block_in_place(|| stage(sources, privacy, spec, &staging, progress))
        };
        let done = match staged {
            Ok(mut report) => staging.commit(&mut report, spec.list_accepted).await.map(|()| report),
            Err(error) => Err(error),
        };
        match done {
            Ok(report) => Ok((Self::open_or_create(location, privacy).await?, report)),
            Err(error) => {
                staging.abandon().await;
                Err(error)
            }
        }
    }
}

/// Some of a dump, and which it is.
type Job = (Arc<Dump>, Portion);

/// Reads every dump to its end and writes files for what is new in it; commits nothing.
fn stage(
    sources: &[Source],
    privacy: &Privacy,
    spec: &IngestSpec,
    staging: &Staging,
    progress: &mut dyn FnMut(u64, &str),
) -> Result<IngestReport, LakeError> {
    let workers = std::thread::available_parallelism().map_or(1, usize::from).min(WORKERS);
    let load = |day: i32, give: &mut dyn FnMut(u128)| staging.load(day, give);
    let known = Known::new(KNOWN_BYTES, &load);
    let row_bytes = ROW_BYTES / workers;
    let shared = Shared { privacy, known: &known, staging, row_bytes, read: AtomicU64::new(0) };
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
        Ok::<_, LakeError>(left)
    })?;
    let mut report = IngestReport { unknown, ..IngestReport::default() };
    let mut days: HashMap<i32, Vec<Rows>> = HashMap::new();
    let mut rejects = Vec::new();
    for part in left {
        report.read += part.read;
        report.rejected += part.rejected;
        rejects.extend(part.rejects);
        part.reasons.into_iter().for_each(|(reason, n)| *report.reasons.entry(reason).or_default() += n);
        part.days.into_iter().for_each(|(day, rows)| days.entry(day).or_default().push(rows));
    }
    within_limit(&report, spec.reject_limit)?;
    write_days(days, staging, workers)?;
    rejects.sort_by(|a, b| (&a.source, a.line, &a.reject_id).cmp(&(&b.source, b.line, &b.reject_id)));
    staging.write_rejects(rejects, &known)?;
    Ok(report)
}

fn work<'a>(shared: &'a Shared<'a>, queue: &Mutex<Receiver<Job>>, failed: &AtomicBool) -> Result<Left, LakeError> {
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
    spec: &IngestSpec,
    shared: &'a Shared<'a>,
    (jobs, failed): (SyncSender<Job>, &AtomicBool),
    unknown: &mut BTreeMap<String, &'static str>,
    progress: &mut dyn FnMut(u64, &str),
) -> Result<Left, LakeError> {
    let mut collector = Collector::new(shared);
    for source in sources {
        let mut blocks = source.open()?;
        let Some(begin) = begin(&mut blocks, spec.format)? else { continue };
        if let Some(what) = begin.unknown {
            unknown.insert(shared.privacy.scrub_text(&source.name()), what);
        }
        let dump = Arc::new(Dump { name: source.name(), begin });
        let mut reader = begin.format.reader();
        let mut line = 1;
        while let Some(piece) = blocks.next_piece()? {
            if failed.load(Ordering::Relaxed) {
                return collector.finish();
            }
            let portion = Portion { piece, is_utf8: blocks.is_utf8() };
            if begin.format.is_independent() {
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

fn within_limit(report: &IngestReport, limit: Option<RejectLimit>) -> Result<(), LakeError> {
    let IngestReport { read, rejected, .. } = *report;
    let (over, limit) = match limit {
        None => return Ok(()),
        Some(RejectLimit::Count(count)) => (rejected > count, count.to_string()),
        Some(RejectLimit::Share(share)) => (rejected as f64 > share * read as f64, format!("{} %", share * 100.0)),
    };
    if over { Err(LakeError::RejectLimit { rejected, read, limit }) } else { Ok(()) }
}

/// Writes what is left of every day, the largest first, side by side.
fn write_days(days: HashMap<i32, Vec<Rows>>, staging: &Staging, workers: usize) -> Result<(), LakeError> {
    let mut days: Vec<(i32, Vec<Rows>)> = days.into_iter().collect();
    days.sort_by_key(|(day, parts)| (std::cmp::Reverse(parts.iter().map(|rows| rows.bytes()).sum::<usize>()), *day));
    let count = workers.min(days.len());
    let queue = Mutex::new(days.into_iter());
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work = || -> Result<(), LakeError> {
        while let Some((day, parts)) = next() {
            let mut rows = Rows::default();
            parts.into_iter().for_each(|part| rows.append(part));
            staging.write_day(day, &rows)?;
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
