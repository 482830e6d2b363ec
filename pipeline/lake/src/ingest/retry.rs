//! Rejects, taken once more: by a newer program or as another format, what was refused may be an event.
//!
//! A reject is read again from its dump when that is named again and still says the same at its place, which its hash
//! tells, else from its kept text when that is whole and nothing in it was masked. No dump is opened because a lake names
//! it: whoever hands a lake over would choose what this machine reads and connects to. First the events are committed, then the rejects
//! that became events leave their table: broken off in between, the next retry meets duplicates and finishes.

mod again;

use super::collect::{Collector, Shared};
use super::known::Known;
use super::staging::Staging;
use super::{KNOWN_BYTES, ROW_BYTES, Rows, write_days};
use crate::error::LakeError;
use crate::formats::Format;
use crate::lake::Lake;
use crate::reject::Reject;
use crate::source::Source;
use arrow::array::{Int64Array, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use domain::Reason;
use domain::identity::hash128;
use domain::json::Tape;
use domain::privacy::Privacy;
use serde::Serialize;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::AtomicU64;

/// Rejects of one round: what is remembered of them fits into memory.
const ROUND: u64 = 1 << 20;

/// What a retry met. `retried = accepted + duplicates + rejected + unreadable`.
#[derive(Clone, Debug, Default, Serialize)]
pub struct RetryReport {
    /// Events that rejects may be, as far as they can be told: what cannot be read counts as one.
    pub retried: u64,
    /// New in the lake.
    pub accepted: u64,
    /// In the lake already.
    pub duplicates: u64,
    /// Refused again.
    pub rejected: u64,
    /// Neither the dump nor the whole text is there. They stay rejects, too.
    pub unreadable: u64,
    /// Version of `staging.events` after it; none when nothing was committed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<i64>,
}

impl Lake {
    /// Takes the rejects of the lake at `location` once more, as `format` or as what their dumps look like. Of dumps only
    /// `sources` are opened.
    /// `progress` is told the dump. Must be called on a runtime of several threads.
    pub async fn retry_rejects(
        location: &str,
        privacy: &Privacy,
        sources: &[Source],
        format: Option<&'static Format>,
        progress: &mut (dyn FnMut(&str) + Send),
    ) -> Result<RetryReport, LakeError> {
        let lake = Self::open_with_key(location, privacy).await?;
        let mut report = RetryReport::default();
        let mut rounds = 1;
        let mut round = 0;
        while round < rounds {
            let staging = Staging::open(location, privacy).await?;
            // Now that others know that we write, nobody is erased meanwhile.
            let privacy = privacy.clone().with_erased(lake.erased().await?);
            let staged = tokio::task::block_in_place(|| {
                if round == 0 {
                    let mut rows = 0;
                    staging.each_reject(&["line"], &mut |batch| {
                        rows += batch.num_rows() as u64;
                        Ok(())
                    })?;
                    rounds = rows.div_ceil(ROUND).max(1);
                }
                stage(&staging, &privacy, sources, format, (round, rounds), progress)
            });
            let done = match staged {
                Ok(staged) => commit(&staging, staged, &mut report).await,
                Err(error) => Err(error),
            };
            if let Err(error) = done {
                staging.abandon().await;
                return Err(error);
            }
            round += 1;
        }
        Ok(report)
    }
}

/// Commits the events, then what became of their rejects.
async fn commit(staging: &Staging<'_>, staged: Staged, report: &mut RetryReport) -> Result<(), LakeError> {
    let committed = staging.commit_events().await?;
    report.retried += staged.read + staged.rejected + staged.unreadable;
    report.accepted += committed.rows;
    report.duplicates += staged.read - committed.rows;
    report.rejected += staged.rejected;
    report.unreadable += staged.unreadable;
    report.version = committed.version.or(report.version);
    staging.replace_rejects(&staged.gone).await
}

/// What a round has found, with its files written and nothing committed.
#[derive(Default)]
struct Staged {
    /// Events.
    read: u64,
    rejected: u64,
    unreadable: u64,
    /// The rejects to be taken out.
    gone: HashSet<u128>,
}

/// A reject, as far as it is needed to find it again.
struct Row {
    id: u128,
    hash: u128,
    length: u64,
    line: u64,
    source: u32,
    /// Not decided yet.
    is_open: bool,
}

/// One round of a retry.
struct Retry<'a> {
    staging: &'a Staging<'a>,
    privacy: &'a Privacy,
    format: Option<&'static Format>,
    known: &'a Known<'a>,
    collector: Collector<'a>,
    tape: Tape,
    /// Whether the dump was UTF-8 up to here.
    is_utf8: bool,
    sources: Vec<String>,
    staged: Staged,
    /// Refused again, for another reason or in parts.
    refused: Vec<Reject>,
    refused_bytes: usize,
}

fn number(id: &str) -> u128 {
    u128::from_str_radix(id, 16).unwrap_or_default()
}

/// The hashes that a raw text may have as a reject: keyed, and without a key as older lakes have it.
fn hashes_of(text: &[u8], privacy: &Privacy) -> [u128; 2] {
    hashes_of_raw(&hash128(text), privacy)
}

/// [`hashes_of`] where the raw text was hashed as it was read.
fn hashes_of_raw(raw: &str, privacy: &Privacy) -> [u128; 2] {
    [number(&privacy.keyed_hash(raw)), number(raw)]
}

fn stage(
    staging: &Staging,
    privacy: &Privacy,
    named: &[Source],
    format: Option<&'static Format>,
    share: (u64, u64),
    progress: &mut dyn FnMut(&str),
) -> Result<Staged, LakeError> {
    let load = |day: i32, give: &mut dyn FnMut(u128)| staging.load(day, give);
    let known = Known::new(KNOWN_BYTES, &load);
    let shared = Shared { privacy, known: &known, staging, row_bytes: ROW_BYTES, read: AtomicU64::new(0) };
    let (mut rows, sources) = rows(staging, share)?;
    let mut retry = Retry {
        staging,
        privacy,
        format,
        known: &known,
        collector: Collector::new(&shared),
        tape: Tape::default(),
        is_utf8: true,
        sources: sources.clone(),
        staged: Staged::default(),
        refused: Vec::new(),
        refused_bytes: 0,
    };
    // By the name that a reject of it has.
    let files = named.iter().filter(|source| **source != Source::Stdin);
    let named: Vec<(String, &Source)> = files.map(|source| (privacy.scrub_text(&source.name()), source)).collect();
    let named = |name: &str| {
        let is_it =
            |(of, source): &&(String, &Source)| of == name || Source::place(&source.name()) == Source::place(name);
        named.iter().find(is_it).map(|(_, source)| *source)
    };
    rows.sort_unstable_by_key(|row| (row.source, row.line, row.hash));
    for rows in rows.chunk_by_mut(|one, other| one.source == other.source) {
        let Some(name) = rows.first().and_then(|row| sources.get(row.source as usize)) else { continue };
        let Some(source) = named(name) else { continue };
        progress(name);
        match retry.dump(source, rows) {
            // What cannot be read, or not to its end, is no reason to stop: for the rest there are the texts.
            Err(LakeError::Read { .. } | LakeError::NoSource(_) | LakeError::Location(..)) => {}
            done => done?,
        }
    }
    retry.texts(rows, progress)?;
    let Retry { collector, mut staged, refused, .. } = retry;
    let left = collector.finish()?;
    staged.read = left.read;
    let mut days: HashMap<i32, Vec<Rows>> = HashMap::new();
    left.days.into_iter().for_each(|(day, rows)| days.entry(day).or_default().push(rows));
    write_days(days, staging, 1)?;
    staging.write_rejects(refused, &known)?;
    Ok(staged)
}

/// The rejects of a round, without their texts, and the names of their dumps.
fn rows(staging: &Staging, (round, rounds): (u64, u64)) -> Result<(Vec<Row>, Vec<String>), LakeError> {
    let mut rows = Vec::new();
    let (mut names, mut sources) = (Vec::new(), HashMap::new());
    staging.each_reject(&["reject_id", "source", "line", "reason", "length", "hash"], &mut |batch| {
        let [ids, froms, reasons, hashes] =
            [texts(&batch, "reject_id")?, texts(&batch, "source")?, texts(&batch, "reason")?, texts(&batch, "hash")?];
        let (lines, lengths) = (numbers(&batch, "line")?, numbers(&batch, "length")?);
        for row in 0..batch.num_rows() {
            let id = number(ids.value(row));
            // Of an erased person there is nothing to be taken.
            if id % u128::from(rounds) != u128::from(round) || reasons.value(row) == Reason::Erased.code() {
                continue;
            }
            let source = match sources.get(froms.value(row)) {
                Some(source) => *source,
                None => {
                    let source = names.len() as u32;
                    names.push(froms.value(row).to_owned());
                    sources.insert(froms.value(row).to_owned(), source);
                    source
                }
            };
            rows.push(Row {
                id,
                hash: number(hashes.value(row)),
                length: lengths.value(row) as u64,
                line: lines.value(row) as u64,
                source,
                is_open: true,
            });
        }
        Ok(())
    })?;
    Ok((rows, names))
}

fn column(batch: &RecordBatch, name: &str, wanted: &DataType) -> Result<arrow::array::ArrayRef, LakeError> {
    let column = batch.schema().index_of(name).map(|index| batch.column(index).clone());
    column.and_then(|column| cast(&column, wanted)).map_err(LakeError::columns("staging.rejects"))
}

fn texts(batch: &RecordBatch, name: &str) -> Result<StringArray, LakeError> {
    Ok(StringArray::from(column(batch, name, &DataType::Utf8)?.to_data()))
}

fn numbers(batch: &RecordBatch, name: &str) -> Result<Int64Array, LakeError> {
    Ok(Int64Array::from(column(batch, name, &DataType::Int64)?.to_data()))
}
