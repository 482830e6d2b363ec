//! What becomes of a reject: found in its dump or its kept text, decoded once more, decided.

use super::{Retry, Row, hashes_of, hashes_of_raw, number, texts};
use crate::begin::{Begin, begin, of_text};
use crate::error::IntakeError;
use crate::formats::{Reader, Taken, endings};
use crate::lines::{Line, each_line};
use crate::reject::Reject;
use crate::sink::write_rejects;
use crate::source::{Blocks, Source};
use crate::units::{Items, Unit, units};
use domain::Reason;
use domain::event::normalise;
use domain::identity::written;
use serde_json::Value;
use std::borrow::Cow;
use std::collections::HashMap;

/// The text of a unit, and what a reader made of it.
type Read<'t> = (Option<Cow<'t, str>>, Vec<Taken>);

/// Kept text of new rejects after which they are written out.
const REJECT_BYTES: usize = 4 << 20;

/// Those of sorted rows for which a key has a value.
fn those<K: Ord>(rows: &[Row], key: impl Fn(&Row) -> K, value: &K) -> std::ops::Range<usize> {
    rows.partition_point(|row| key(row) < *value)..rows.partition_point(|row| key(row) <= *value)
}

impl Retry<'_> {
    /// Reads a dump for the rejects that are from it.
    pub(super) fn dump(&mut self, source: &Source, rows: &mut [Row]) -> Result<(), IntakeError> {
        let mut blocks = source.open()?;
        let Some(begin) = begin(&mut blocks, self.format)? else { return Ok(()) };
        let before = std::mem::take(&mut self.retried.gone);
        let in_order = !begin.format.is_independent();
        let done = self.read(&mut blocks, &begin, rows);
        if done.is_err() && in_order {
            // What a line says is known only at the end, which was not reached.
            rows.iter_mut().for_each(|row| row.is_open |= self.retried.gone.contains(&row.id));
            self.retried.gone.clear();
        }
        self.retried.gone.extend(before);
        done
    }

    fn read(&mut self, blocks: &mut Blocks, begin: &Begin, rows: &mut [Row]) -> Result<(), IntakeError> {
        let mut reader = begin.format.reader(self.now);
        let in_order = !begin.format.is_independent();
        let last = rows.last().map_or(0, |row| row.line);
        while let Some(piece) = blocks.next_piece()? {
            if !in_order && piece.first_line() > last {
                break;
            }
            self.is_utf8 = blocks.is_utf8();
            each_line(&piece, |line, found| {
                let range = those(rows, |row| row.line, &line);
                match found {
                    Line::Text(_) if range.is_empty() && !in_order => {}
                    Line::Text(text) => self.line(text, begin, &mut *reader, &mut rows[range])?,
                    Line::Other(raw) => self.stay(&mut rows[range], hashes_of(raw, self.privacy), raw.len() as u64),
                    Line::Long(_, length, hash) => {
                        self.stay(&mut rows[range], hashes_of_raw(hash, self.privacy), length);
                    }
                }
                Ok(())
            })?;
        }
        endings(&mut *reader, |taken| self.end(taken, begin, rows))
    }

    /// A line or document. The rejects, sorted by their hash, are of it as a whole or of its parts, or the dump has
    /// changed and they are of neither.
    fn line(
        &mut self,
        text: &str,
        begin: &Begin,
        reader: &mut dyn Reader,
        rows: &mut [Row],
    ) -> Result<(), IntakeError> {
        let all = self.decode(text, reader)?;
        if let [(_, taken)] = &all[..] {
            return self.unit(text, true, taken, begin, rows);
        }
        // It was refused as a whole before it was known to be several.
        let whole: Vec<Taken> = all.iter().flat_map(|(_, taken)| taken.iter().cloned()).collect();
        let hashes = hashes_of(text.as_bytes(), self.privacy);
        if hashes.iter().any(|hash| !those(rows, |row| row.hash, hash).is_empty()) {
            return self.unit(text, false, &whole, begin, rows);
        }
        for (part, taken) in &all {
            match part {
                Some(part) => self.unit(part, true, taken, begin, rows)?,
                None => self.unit("", false, taken, begin, rows)?,
            }
        }
        Ok(())
    }

    /// What a format has to say at the end of a dump, which may be of any of its lines.
    fn end(&mut self, taken: Vec<Taken>, begin: &Begin, rows: &mut [Row]) -> Result<(), IntakeError> {
        if rows.iter().all(|row| row.is_open) {
            return Ok(()); // nothing of it is what it was
        }
        let open = rows.iter().enumerate().filter(|(_, row)| row.is_open).map(|(place, row)| (row.hash, place));
        let open: HashMap<u128, usize> = open.collect();
        for part in taken {
            let place = self.part_hashes(&part).iter().find_map(|hash| open.get(hash));
            match (place, part) {
                (Some(place), part) => self.settle(&mut rows[*place], &[part], begin, None)?,
                (None, Ok(object)) => {
                    if let Ok(event) = normalise(object, self.privacy) {
                        self.collector.event(&event)?;
                    }
                }
                (None, Err(_)) => {} // no reject of ours
            }
        }
        self.collector.relieve()
    }

    /// What a reader makes of a text, unit by unit, with the text of each; of an item of an array, its JSON.
    fn decode<'t>(&mut self, text: &'t str, reader: &mut dyn Reader) -> Result<Vec<Read<'t>>, IntakeError> {
        let mut all = Vec::new();
        units(&mut self.tape, text, Items::Written, reader, &mut |Unit { text, taken }| {
            all.push((text, taken));
            Ok(())
        })?;
        Ok(all)
    }

    /// What a format made of a text. The rejects, sorted by their hash, are of this whole or of its parts, or the dump
    /// has changed and they are of neither.
    fn unit(
        &mut self,
        text: &str,
        is_line: bool,
        taken: &[Taken],
        begin: &Begin,
        rows: &mut [Row],
    ) -> Result<(), IntakeError> {
        if rows.is_empty() {
            return Ok(());
        }
        let whole = hashes_of(text.as_bytes(), self.privacy).map(|hash| those(rows, |row| row.hash, &hash));
        let are_whole = whole.iter().map(|range| range.len()).sum::<usize>() == rows.len();
        for range in whole {
            for row in &mut rows[range] {
                if row.length == text.len() as u64 {
                    self.settle(row, taken, begin, is_line.then_some(text))?;
                }
            }
        }
        for part in taken.iter().filter(|_| !are_whole) {
            for hash in self.part_hashes(part) {
                let range = those(rows, |row| row.hash, &hash);
                for row in &mut rows[range] {
                    self.settle(row, std::slice::from_ref(part), begin, None)?;
                }
            }
        }
        Ok(())
    }

    /// Decides what becomes of a reject by what is made of it now. `line` is the text it was made of, where that is a
    /// line or was kept.
    fn settle(&mut self, row: &mut Row, parts: &[Taken], begin: &Begin, line: Option<&str>) -> Result<(), IntakeError> {
        if !std::mem::take(&mut row.is_open) {
            return Ok(());
        }
        let line = line.filter(|_| parts.len() == 1);
        let mut refused = Vec::new();
        for part in parts {
            match part.clone().and_then(|object| normalise(object, self.privacy)) {
                Ok(event) => self.collector.event(&event)?,
                Err((value, reason)) => {
                    let text = line.map_or_else(|| Cow::Owned(written(&value)), Cow::Borrowed);
                    let dump = &self.sources[row.source as usize];
                    let (reason, length) = (begin.reason(reason, &text, self.is_utf8), text.len() as u64);
                    refused.push(Reject::new(dump, row.line, reason, &text, None, length, self.privacy));
                }
            }
        }
        self.retried.rejected += refused.len() as u64;
        let is_there = refused.iter().any(|reject| reject.id() == row.id);
        let is_erased = refused.iter().any(|reject| reject.reason == Reason::Erased);
        // As another format than its own, everything is refused: that says nothing new about it.
        let is_asked = self.format.is_some() && !refused.is_empty() && refused.len() == parts.len() && !is_erased;
        if is_asked && !is_there {
            return self.collector.relieve();
        }
        if !is_there {
            self.retried.gone.insert(row.id);
        }
        refused.retain(|reject| reject.id() != row.id);
        self.refused_bytes += refused.iter().map(|reject| reject.text.len() + 256).sum::<usize>();
        self.refused.append(&mut refused);
        if self.refused_bytes > REJECT_BYTES {
            write_rejects(self.sink, std::mem::take(&mut self.refused), self.known)?;
            self.refused_bytes = 0;
        }
        self.collector.relieve()
    }

    /// Leaves rejects what they are: too long, or no text.
    fn stay(&mut self, rows: &mut [Row], hashes: [u128; 2], length: u64) {
        for row in rows.iter_mut().filter(|row| row.is_open && hashes.contains(&row.hash) && row.length == length) {
            row.is_open = false;
            self.retried.rejected += 1;
        }
    }

    /// What could not be read from its dump is read from its kept text.
    pub(super) fn texts(&mut self, mut rows: Vec<Row>, progress: &mut dyn FnMut(&str)) -> Result<(), IntakeError> {
        self.is_utf8 = true;
        rows.retain(|row| row.is_open);
        if rows.is_empty() {
            return Ok(());
        }
        progress("kept texts");
        rows.sort_unstable_by_key(|row| row.id);
        let sink = self.sink;
        sink.each_reject(&["reject_id", "text"], &mut |batch| {
            let (ids, kept) = (texts(&batch, "reject_id")?, texts(&batch, "text")?);
            for (id, text) in ids.iter().flatten().zip(kept.iter().flatten()) {
                let range = those(&rows, |row| row.id, &number(id));
                for row in &mut rows[range] {
                    self.text(row, text)?;
                }
            }
            Ok(())
        })
    }

    fn text(&mut self, row: &mut Row, text: &str) -> Result<(), IntakeError> {
        let is_whole = row.length == text.len() as u64 && hashes_of(text.as_bytes(), self.privacy).contains(&row.hash);
        let begin = self.format.map_or_else(|| of_text(text), Begin::of);
        // Where a line says something only together with those before it, alone it would say something else.
        if !is_whole || !begin.format.is_independent() {
            self.retried.unreadable += u64::from(std::mem::take(&mut row.is_open));
            return Ok(());
        }
        let all = self.decode(text, &mut *begin.format.reader(self.now))?;
        let taken: Vec<Taken> = all.into_iter().flat_map(|(_, taken)| taken).collect();
        self.settle(row, &taken, &begin, Some(text))
    }

    /// The hashes under which one event of many would be refused.
    fn part_hashes(&self, part: &Taken) -> [u128; 2] {
        let text = match part {
            Ok(object) => written(&Value::Object(object.clone())),
            Err((value, _)) => written(value),
        };
        hashes_of(text.as_bytes(), self.privacy)
    }
}
