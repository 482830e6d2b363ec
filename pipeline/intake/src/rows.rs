//! Events of one day, as records behind each other that hold only what is there.
//!
//! A record is the cells that somebody gave: what nobody gave takes no room and no time. Sorting moves row numbers; the
//! records are turned into columns once, when their file is written (see [`super::arrays`]).

use crate::columns::events_schema;
use domain::fields::{self, Kind};
use foldhash::fast::RandomState;
use std::collections::HashMap;
use std::sync::LazyLock;

/// Where the columns that every event has stand in [`events_schema`].
pub(super) const EVENT_ID: usize = 0;
pub(super) const TS: usize = 1;
pub(super) const EVENT_DATE: usize = 2;
pub(super) const TYPE: usize = 3;
/// See [`events_schema`].
pub const REPO: usize = 4;
pub(super) const PR_ID: usize = 6;
pub(super) const RESOURCE: usize = 9;
pub(super) const CONTEXT: usize = 11;
pub(super) const PAYLOAD: usize = 12;

/// Cells behind each other, each with its column: a tag that says column and type, then eight bytes of a number, one
/// of a truth value, or four of a length and the text.
#[derive(Debug, Default)]
pub(super) struct Cells {
    bytes: Vec<u8>,
    columns: u128,
}

/// One cell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Cell<'c> {
    /// UTF-8.
    Text(&'c [u8]),
    /// A whole number, or a time in microseconds.
    Int(i64),
    Float(f64),
    Bool(bool),
}

const TEXT: u8 = 0;
const INT: u8 = 1;
const FLOAT: u8 = 2;
const BOOL: u8 = 3;

impl Cells {
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.columns = 0;
    }

    /// Gives back what huge texts took.
    pub(super) fn shrink(&mut self) {
        if self.bytes.capacity() > 1 << 20 {
            self.bytes = Vec::new();
        }
    }

    /// Whether a column has a cell.
    pub(super) fn has(&self, column: usize) -> bool {
        self.columns >> column & 1 == 1
    }

    #[inline]
    pub(super) fn text(&mut self, column: usize, text: &str) {
        self.columns |= 1 << column;
        let [a, b, c, d] = (text.len() as u32).to_le_bytes();
        self.bytes.extend_from_slice(&[column as u8, TEXT, a, b, c, d]);
        self.bytes.extend_from_slice(text.as_bytes());
    }

    #[inline]
    fn number(&mut self, column: usize, kind: u8, value: [u8; 8]) {
        self.columns |= 1 << column;
        let mut cell = [column as u8, kind, 0, 0, 0, 0, 0, 0, 0, 0];
        cell[2..].copy_from_slice(&value);
        self.bytes.extend_from_slice(&cell);
    }

    /// A whole number, or a time in microseconds.
    #[inline]
    pub(super) fn int(&mut self, column: usize, value: i64) {
        self.number(column, INT, value.to_le_bytes());
    }

    #[inline]
    pub(super) fn float(&mut self, column: usize, value: f64) {
        self.number(column, FLOAT, value.to_le_bytes());
    }

    #[inline]
    pub(super) fn bool(&mut self, column: usize, value: bool) {
        self.columns |= 1 << column;
        self.bytes.extend_from_slice(&[column as u8, BOOL, u8::from(value)]);
    }

    #[inline]
    pub(super) fn extend(&mut self, others: &Self) {
        self.columns |= others.columns;
        self.bytes.extend_from_slice(&others.bytes);
    }
}

/// The cells of one record, in the order they were given.
pub(super) struct CellsOf<'c>(&'c [u8]);

impl<'c> Iterator for CellsOf<'c> {
    type Item = (usize, Cell<'c>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let (&[column, kind], rest) = self.0.split_first_chunk()?;
        let (cell, rest) = match kind {
            TEXT => {
                let (length, rest) = rest.split_first_chunk()?;
                let (text, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
                (Cell::Text(text), rest)
            }
            BOOL => {
                let (value, rest) = rest.split_first()?;
                (Cell::Bool(*value == 1), rest)
            }
            _ => {
                let (value, rest) = rest.split_first_chunk()?;
                match kind {
                    INT => (Cell::Int(i64::from_le_bytes(*value)), rest),
                    _ => (Cell::Float(f64::from_le_bytes(*value)), rest),
                }
            }
        };
        self.0 = rest;
        Some((usize::from(column), cell))
    }
}

/// Events of one day: of each its identity and time, then its cells.
#[derive(Debug, Default)]
pub struct Rows {
    /// Where each record begins.
    starts: Vec<u32>,
    /// The cells of the last row are pushed here until the next one begins; those that every event has come first, in
    /// the order of their columns.
    pub(super) cells: Cells,
}

/// What stands before the cells of a record: sixteen bytes of identity, eight of time in microseconds.
const HEAD_BYTES: usize = 24;

/// A payload field and its column.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) required: bool,
    pub(super) column: usize,
    /// The amounts that the column takes, beside 0.
    pub(super) amounts: (f64, f64),
    /// Whether 0 is none.
    none_at_zero: bool,
}

impl Place {
    /// Whether the column takes such an amount.
    #[inline]
    pub(super) fn holds(&self, amount: f64) -> bool {
        (amount >= self.amounts.0 && amount <= self.amounts.1) || amount == 0.0
    }

    /// Whether an amount says that there is none.
    #[inline]
    pub(super) fn is_none(&self, amount: f64) -> bool {
        self.none_at_zero && amount == 0.0
    }
}

/// The column of what cannot be.
pub(super) fn impossible_column() -> usize {
    static COLUMN: LazyLock<usize> =
        LazyLock::new(|| events_schema().index_of(fields::IMPOSSIBLE).expect("every event may be marked"));
    *COLUMN
}

/// Where the fields of each event type go.
pub(super) fn places(event_type: &str) -> &'static [Place] {
    static PLACES: LazyLock<HashMap<&'static str, Vec<Place>, RandomState>> = LazyLock::new(|| {
        let schema = events_schema();
        let column = |name: &str| schema.index_of(name).expect("every field has its column");
        let place = |f: &fields::Field| Place {
            name: f.name,
            kind: f.kind,
            required: f.required,
            column: column(f.column),
            amounts: (f.least(), f.most()),
            none_at_zero: f.is_none_at_zero(),
        };
        let of = |event_type| fields::of(event_type).iter().copied().flatten().map(place).collect();
        fields::TYPES.iter().map(|event_type| (*event_type, of(event_type))).collect()
    });
    PLACES.get(event_type).map_or(&[], Vec::as_slice)
}

impl Rows {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.starts.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    /// About how much memory they take.
    pub(super) fn bytes(&self) -> usize {
        self.starts.len() * size_of::<u32>() + self.cells.bytes.len()
    }

    /// Begins a row.
    #[inline]
    pub(super) fn begin(&mut self, id: u128, ts_micros: i64) {
        self.starts.push(self.cells.bytes.len() as u32);
        let mut head = [0; HEAD_BYTES];
        head[..16].copy_from_slice(&id.to_le_bytes());
        head[16..].copy_from_slice(&ts_micros.to_le_bytes());
        self.cells.bytes.extend_from_slice(&head);
    }

    /// Identity, time and cells of a row.
    #[inline]
    pub(super) fn record(&self, row: u32) -> Record<'_> {
        let (head, cells) = self.bytes_of(row).split_at(HEAD_BYTES);
        Record { head, cells: CellsOf(cells) }
    }

    #[inline]
    fn bytes_of(&self, row: u32) -> &[u8] {
        let row = row as usize;
        let end = self.starts.get(row + 1).map_or(self.cells.bytes.len(), |end| *end as usize);
        &self.cells.bytes[self.starts[row] as usize..end]
    }

    fn records(&self) -> impl Iterator<Item = Record<'_>> {
        (0..self.len() as u32).map(|row| self.record(row))
    }

    /// The identities of all rows.
    pub fn ids(&self) -> Vec<u128> {
        self.records().map(|record| record.id()).collect()
    }

    /// The times of all rows.
    pub fn times(&self) -> impl Iterator<Item = i64> {
        self.records().map(|record| record.ts())
    }

    /// Touches some records, which stand anywhere in memory: asked for one after the other without waiting, they come
    /// in a fraction of the time that reading them one by one takes.
    pub(super) fn fetch(&self, rows: &[u32]) {
        const CACHE_LINE: usize = 64;
        let lines = |row: &u32| self.bytes_of(*row).iter().step_by(CACHE_LINE);
        std::hint::black_box(rows.iter().flat_map(lines).fold(0, |all, byte| all | byte));
    }

    /// The columns that hold anything, in table order.
    pub fn filled(&self) -> Vec<usize> {
        let everywhere = |column: &usize| matches!(*column, EVENT_ID | TS);
        (0..events_schema().fields().len()).filter(|column| everywhere(column) || self.cells.has(*column)).collect()
    }

    /// Puts other rows of the same day behind these.
    pub(super) fn append(&mut self, other: Self) {
        if self.starts.is_empty() {
            *self = other;
            return;
        }
        let base = self.cells.bytes.len() as u32;
        self.starts.extend(other.starts.into_iter().map(|start| start + base));
        self.cells.extend(&other.cells);
    }

    /// The rows for which `keep` says so, in their order.
    pub(super) fn retain(self, mut keep: impl FnMut(u128) -> bool) -> Self {
        let mut kept = Self::default();
        for row in 0..self.len() as u32 {
            let record = self.record(row);
            if keep(record.id()) {
                kept.starts.push(kept.cells.bytes.len() as u32);
                kept.cells.bytes.extend_from_slice(self.bytes_of(row));
                record.cells.for_each(|(column, _)| kept.cells.columns |= 1 << column);
            }
        }
        kept
    }

    /// The order of the file: by repository, pull request, resource, time and identity, so that traces read little and
    /// equal values stand together.
    pub fn order(&self) -> Vec<u32> {
        let mut texts: [Texts; 3] = Default::default();
        let mut groups = Vec::with_capacity(self.len());
        for record in self.records() {
            let mut group = [0; 3];
            let ts = record.ts();
            for (column, cell) in record.cells.take_while(|(column, _)| *column <= RESOURCE) {
                let place = match column {
                    REPO => 0,
                    PR_ID => 1,
                    RESOURCE => 2,
                    _ => continue,
                };
                if let Cell::Text(text) = cell {
                    group[place] = texts[place].number(text);
                }
            }
            groups.push((group, ts));
        }
        let ranks = texts.map(Texts::ranks);
        let bits = [0, 1, 2].map(|place| usize::BITS - ranks[place].len().leading_zeros());
        let group = |row: usize| {
            let rank = |place: usize| u128::from(ranks[place][groups[row].0[place] as usize]);
            (rank(0) << bits[1] | rank(1)) << bits[2] | rank(2)
        };
        // Within a group by milliseconds of the day at first, which are 27 bits.
        let key = |row: usize| group(row) << 27 | (groups[row].1.rem_euclid(domain::time::DAY) / 1000) as u128;
        if bits.iter().sum::<u32>() + 27 <= 64 { self.sorted(|row| key(row) as u64) } else { self.sorted(key) }
    }

    /// The rows by key, time and identity.
    fn sorted<K: Ord>(&self, key: impl Fn(usize) -> K) -> Vec<u32> {
        let exact = |row: u32| {
            let record = self.record(row);
            (record.ts(), record.id())
        };
        let mut keys: Vec<(K, u32)> = (0..self.len()).map(|row| (key(row), row as u32)).collect();
        keys.sort_unstable_by(|(a, i), (b, j)| a.cmp(b).then_with(|| exact(*i).cmp(&exact(*j))));
        keys.into_iter().map(|(_, row)| row).collect()
    }

    /// The first text of a column in some rows.
    pub fn first_text(&self, column: usize, mut rows: impl Iterator<Item = u32>) -> Option<&str> {
        rows.find_map(|row| match self.record(row).cells.find(|(found, _)| *found == column) {
            Some((_, Cell::Text(text))) => std::str::from_utf8(text).ok(),
            _ => None,
        })
    }

    /// How many rows to turn into columns at a time so that they stay in the cache.
    pub fn portion(&self) -> usize {
        const BYTES: usize = 1 << 20;
        (BYTES / (self.bytes() / self.len().max(1)).max(1)).clamp(1, 16 * 1024)
    }
}

/// One row.
pub(super) struct Record<'r> {
    head: &'r [u8],
    pub(super) cells: CellsOf<'r>,
}

impl Record<'_> {
    #[inline]
    pub(super) fn id(&self) -> u128 {
        u128::from_le_bytes(*self.head.first_chunk().expect("a head has 24 bytes"))
    }

    /// In microseconds.
    #[inline]
    pub(super) fn ts(&self) -> i64 {
        i64::from_le_bytes(*self.head.last_chunk().expect("a head has 24 bytes"))
    }
}

/// The distinct texts of a column, numbered from 1 as they come.
#[derive(Default)]
struct Texts<'r> {
    /// Copies, so that they stand together in memory.
    numbers: HashMap<Box<[u8]>, u32, RandomState>,
    last: (&'r [u8], u32),
}

impl<'r> Texts<'r> {
    fn number(&mut self, text: &'r [u8]) -> u32 {
        if self.last.1 > 0 && self.last.0 == text {
            return self.last.1;
        }
        let number = match self.numbers.get(text) {
            Some(number) => *number,
            None => {
                let next = self.numbers.len() as u32 + 1;
                self.numbers.insert(text.into(), next);
                next
            }
        };
        self.last = (text, number);
        number
    }

    /// For each number its place among all texts, from 1; 0 for 0, which is no text.
    fn ranks(self) -> Vec<u32> {
        let mut sorted: Vec<(Box<[u8]>, u32)> = self.numbers.into_iter().collect();
        sorted.sort_unstable();
        let mut ranks = vec![0; sorted.len() + 1];
        for (rank, (_, number)) in (1..).zip(sorted) {
            ranks[number as usize] = rank;
        }
        ranks
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Given = (Option<u8>, Option<u8>, Option<u8>, i64, u8);

    /// Repository, pull request and resource as numbers, time, identity.
    fn rows_of(given: &[Given], base: u128) -> Rows {
        let mut rows = Rows::default();
        for (n, (repo, pr, resource, ts, id)) in (base..).zip(given) {
            rows.begin(u128::from(*id) << 64 | n, *ts);
            rows.cells.text(TYPE, "edit");
            for (column, name, value) in [(REPO, "o/r", repo), (PR_ID, "o/r#", pr), (RESOURCE, "env/c", resource)] {
                value.iter().for_each(|value| rows.cells.text(column, &format!("{name}{value}")));
            }
            rows.cells.text(PAYLOAD, "{}");
            rows.cells.int(PAYLOAD + 1, *ts);
            rows.cells.float(PAYLOAD + 2, 0.5);
            rows.cells.bool(PAYLOAD + 3, id.is_multiple_of(2));
        }
        rows
    }

    fn text_of(rows: &Rows, row: u32, wanted: usize) -> Option<String> {
        rows.record(row).cells.find_map(|(column, cell)| match cell {
            Cell::Text(text) if column == wanted => Some(String::from_utf8(text.to_vec()).unwrap()),
            _ => None,
        })
    }

    fn any_rows() -> impl Strategy<Value = Vec<Given>> {
        let number = || proptest::option::of(0u8..12);
        // Times of one day that differ by less than a millisecond, and by more.
        let ts = (0i64..4, 0i64..3).prop_map(|(millis, micros)| 1000 * millis + micros);
        proptest::collection::vec((number(), number(), number(), ts, 0u8..4), 0..60)
    }

    #[test]
    fn every_column_has_its_bit() {
        assert!(events_schema().fields().len() <= u128::BITS as usize);
    }

    proptest! {
        #[test]
        fn the_order_is_by_repository_pull_request_resource_time_and_identity(given in any_rows()) {
            let rows = rows_of(&given, 0);
            let order = rows.order();
            let key = |row: &u32| {
                let [repo, pr, resource] = [REPO, PR_ID, RESOURCE].map(|column| text_of(&rows, *row, column));
                (repo, pr, resource, rows.record(*row).ts(), rows.record(*row).id())
            };
            let mut wanted: Vec<u32> = (0..given.len() as u32).collect();
            wanted.sort_by_key(key);
            prop_assert_eq!(order, wanted);
        }

        #[test]
        fn rows_put_together_and_picked_keep_their_cells(one in any_rows(), other in any_rows()) {
            let (first, second) = (rows_of(&one, 0), rows_of(&other, 1000));
            let cells = |rows: &Rows| -> Vec<(u128, i64, String)> {
                let cells = |record: &Record| format!("{:?}", CellsOf(record.cells.0).collect::<Vec<_>>());
                rows.records().map(|record| (record.id(), record.ts(), cells(&record))).collect()
            };
            let mut wanted = cells(&first);
            wanted.extend(cells(&second));
            let mut all = first;
            all.append(second);
            prop_assert_eq!(cells(&all), wanted.clone());
            let keep = |id: u128| id.is_multiple_of(3);
            wanted.retain(|(id, ..)| keep(*id));
            let kept = all.retain(keep);
            prop_assert_eq!(cells(&kept), wanted);
            prop_assert_eq!(kept.cells.has(PAYLOAD), !kept.is_empty());
        }
    }
}
