//! Rejects, taken once more: by a newer program or as another format, what was refused may be an event.
//!
//! A reject is read again from its dump when that is named again and still says the same at its place, which its hash
//! tells, else from its kept text when that is whole and nothing in it was masked. No dump is opened because a lake names
//! it: whoever hands a lake over would choose what this machine reads and connects to.

mod again;

use super::collect::{Collector, Shared};
use super::known::Known;
use super::rows::Rows;
use super::sink::{Sink, write_rejects};
use super::stage::{KNOWN_BYTES, ROW_BYTES, write_days};
use crate::error::IntakeError;
use crate::formats::Format;
use crate::reject::Reject;
use crate::source::Source;
use arrow_array::{Array, Int64Array, RecordBatch, StringArray};
use arrow_data::ArrayData;
use domain::identity::hash128;
use domain::json::Tape;
use domain::privacy::Privacy;
use domain::{Reason, Timestamp};
use std::collections::{HashMap, HashSet};

/// Rejects of one round: what is remembered of them fits into memory.
const ROUND: u64 = 1 << 20;

/// In how many rounds the rejects of a sink are taken.
pub fn retry_rounds(sink: &dyn Sink) -> Result<u64, IntakeError> {
    let mut rows = 0;
    sink.each_reject(&["line"], &mut |batch| {
        rows += batch.num_rows() as u64;
        Ok(())
    })?;
    Ok(rows.div_ceil(ROUND).max(1))
}

/// What a round of rejects has become.
#[derive(Debug, Default)]
pub struct Retried {
    /// Events.
    pub read: u64,
    /// Refused again.
    pub rejected: u64,
    /// Neither the dump nor the whole text is there. They stay rejects, too.
    pub unreadable: u64,
    /// The rejects that became events, or other rejects: to be taken out.
    pub gone: HashSet<u128>,
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
    sink: &'a dyn Sink,
    privacy: &'a Privacy,
    format: Option<&'static Format>,
    now: Timestamp,
    known: &'a Known<'a>,
    collector: Collector<'a>,
    tape: Tape,
    /// Whether the dump was UTF-8 up to here.
    is_utf8: bool,
    sources: Vec<String>,
    retried: Retried,
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

/// Takes the rejects of one round once more, as `format` or as what their dumps look like, and leaves the events and the
/// new rejects that they are in the sink. `share` is the round, from 0, and how many there are; of dumps only those named
/// are opened, as they are read at `now`; `progress` is told the dump.
pub fn retry_round(
    sink: &dyn Sink,
    privacy: &Privacy,
    named: &[Source],
    format: Option<&'static Format>,
    share: (u64, u64),
    now: Timestamp,
    progress: &mut dyn FnMut(&str),
) -> Result<Retried, IntakeError> {
    let load = |day: i32, give: &mut dyn FnMut(u128)| sink.load(day, give);
    let known = Known::new(KNOWN_BYTES, &load);
    let shared = Shared::new(privacy, &known, sink, ROW_BYTES, now);
    let (mut rows, sources) = rows(sink, share)?;
    let mut retry = Retry {
        sink,
        privacy,
        format,
        now,
        known: &known,
        collector: Collector::new(&shared),
        tape: Tape::default(),
        is_utf8: true,
        sources: sources.clone(),
        retried: Retried::default(),
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
            Err(IntakeError::Read { .. } | IntakeError::NoSource(_) | IntakeError::Location(..)) => {}
            done => done?,
        }
    }
    retry.texts(rows, progress)?;
    let Retry { collector, mut retried, refused, .. } = retry;
    let left = collector.finish()?;
    retried.read = left.read;
    let mut days: HashMap<i32, Vec<Rows>> = HashMap::new();
    left.days.into_iter().for_each(|(day, rows)| days.entry(day).or_default().push(rows));
    write_days(days, sink, 1)?;
    write_rejects(sink, refused, &known)?;
    Ok(retried)
}

/// The rejects of a round, without their texts, and the names of their dumps.
fn rows(sink: &dyn Sink, (round, rounds): (u64, u64)) -> Result<(Vec<Row>, Vec<String>), IntakeError> {
    let mut rows = Vec::new();
    let (mut names, mut sources) = (Vec::new(), HashMap::new());
    sink.each_reject(&["reject_id", "source", "line", "reason", "length", "hash"], &mut |batch| {
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

fn column(batch: &RecordBatch, name: &str) -> Result<ArrayData, IntakeError> {
    let column = batch.schema().index_of(name).map(|index| batch.column(index).to_data());
    column.map_err(IntakeError::columns("staging.rejects"))
}

fn texts(batch: &RecordBatch, name: &str) -> Result<StringArray, IntakeError> {
    Ok(StringArray::from(column(batch, name)?))
}

fn numbers(batch: &RecordBatch, name: &str) -> Result<Int64Array, IntakeError> {
    Ok(Int64Array::from(column(batch, name)?))
}

#[cfg(test)]
mod tests;
