//! Events of one day as columns that hold only what is there.
//!
//! A column is the values somebody gave and the rows they belong to; what nobody gave takes no room. Sorting moves
//! row numbers, and each column is gathered once, when its file is written.

use crate::columns::events_schema;
use arrow::array::{ArrayRef, BooleanArray, Float64Array, Int64Array, StringBuilder, TimestampMicrosecondArray};
use arrow::datatypes::DataType;
use domain::fields::{self, Kind};
use foldhash::fast::RandomState;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

/// Where the columns that every event has stand in [`events_schema`].
pub(super) const EVENT_ID: usize = 0;
pub(super) const TS: usize = 1;
pub(super) const EVENT_DATE: usize = 2;
pub(super) const TYPE: usize = 3;
pub(super) const REPO: usize = 4;
pub(super) const PR_ID: usize = 6;
pub(super) const RESOURCE: usize = 9;
pub(super) const CONTEXT: usize = 11;
pub(super) const PAYLOAD: usize = 12;

/// The values of one column.
#[derive(Debug)]
enum Cells {
    Text { ends: Vec<u32>, text: String },
    Int(Vec<i64>),
    Float(Vec<f64>),
    Bool(Vec<bool>),
}

/// One column: `rows[i]` has the `i`-th value.
#[derive(Debug)]
struct Column {
    rows: Vec<u32>,
    cells: Cells,
}

/// Events of one day.
#[derive(Debug, Default)]
pub(super) struct Rows {
    pub(super) ids: Vec<u128>,
    pub(super) ts: Vec<i64>,
    columns: Vec<Option<Box<Column>>>,
    /// About how much memory the values take.
    pub(super) bytes: usize,
}

/// Memory of a row beside its columns: identity and time.
const ROW_BYTES: usize = 24;

/// No value: a number that no value can have.
const NONE: u32 = u32::MAX;

/// A payload field and its column.
pub(super) struct Place {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) required: bool,
    pub(super) column: usize,
}

/// Where the fields of each event type go.
pub(super) fn places(event_type: &str) -> &'static [Place] {
    static PLACES: LazyLock<HashMap<&'static str, Vec<Place>, RandomState>> = LazyLock::new(|| {
        let schema = events_schema();
        let column = |name: &str| schema.index_of(name).expect("every field has its column");
        let place =
            |f: &fields::Field| Place { name: f.name, kind: f.kind, required: f.required, column: column(f.column) };
        let of = |event_type| fields::of(event_type).iter().copied().flatten().map(place).collect();
        fields::TYPES.iter().map(|event_type| (*event_type, of(event_type))).collect()
    });
    PLACES.get(event_type).map_or(&[], Vec::as_slice)
}

impl Rows {
    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    /// Begins a row; the columns are pushed to it until the next one begins.
    #[inline]
    pub(super) fn begin(&mut self, id: u128, ts_micros: i64) {
        self.ids.push(id);
        self.ts.push(ts_micros);
        self.bytes += ROW_BYTES;
    }

    #[inline]
    fn column(&mut self, index: usize, empty: fn() -> Cells) -> &mut Column {
        if self.columns.is_empty() {
            self.columns.resize_with(events_schema().fields().len(), || None);
        }
        self.columns[index].get_or_insert_with(|| Box::new(Column { rows: Vec::new(), cells: empty() }))
    }

    #[inline]
    pub(super) fn text(&mut self, index: usize, value: &str) {
        self.bytes += 8 + value.len();
        let row = self.ids.len() as u32 - 1;
        let column = self.column(index, || Cells::Text { ends: Vec::new(), text: String::new() });
        if let Cells::Text { ends, text } = &mut column.cells {
            text.push_str(value);
            ends.push(text.len() as u32);
            column.rows.push(row);
        }
    }

    /// A whole number, or a time in microseconds.
    #[inline]
    pub(super) fn int(&mut self, index: usize, value: i64) {
        self.bytes += 12;
        let row = self.ids.len() as u32 - 1;
        let column = self.column(index, || Cells::Int(Vec::new()));
        if let Cells::Int(values) = &mut column.cells {
            values.push(value);
            column.rows.push(row);
        }
    }

    #[inline]
    pub(super) fn float(&mut self, index: usize, value: f64) {
        self.bytes += 12;
        let row = self.ids.len() as u32 - 1;
        let column = self.column(index, || Cells::Float(Vec::new()));
        if let Cells::Float(values) = &mut column.cells {
            values.push(value);
            column.rows.push(row);
        }
    }

    #[inline]
    pub(super) fn bool(&mut self, index: usize, value: bool) {
        self.bytes += 5;
        let row = self.ids.len() as u32 - 1;
        let column = self.column(index, || Cells::Bool(Vec::new()));
        if let Cells::Bool(values) = &mut column.cells {
            values.push(value);
            column.rows.push(row);
        }
    }

    /// Puts other rows of the same day behind these.
    pub(super) fn append(&mut self, other: Self) {
        if self.ids.is_empty() {
            *self = other;
            return;
        }
        let base = self.ids.len() as u32;
        self.ids.extend(other.ids);
        self.ts.extend(other.ts);
        self.bytes += other.bytes;
        if self.columns.len() < other.columns.len() {
            self.columns.resize_with(other.columns.len(), || None);
        }
        for (mine, theirs) in self.columns.iter_mut().zip(other.columns) {
            let Some(mut theirs) = theirs else { continue };
            theirs.rows.iter_mut().for_each(|row| *row += base);
            let Some(mine) = mine else {
                *mine = Some(theirs);
                continue;
            };
            mine.rows.append(&mut theirs.rows);
            match (&mut mine.cells, theirs.cells) {
                (Cells::Text { ends, text }, Cells::Text { ends: more, text: added }) => {
                    let from = text.len() as u32;
                    text.push_str(&added);
                    ends.extend(more.into_iter().map(|end| end + from));
                }
                (Cells::Int(a), Cells::Int(mut b)) => a.append(&mut b),
                (Cells::Float(a), Cells::Float(mut b)) => a.append(&mut b),
                (Cells::Bool(a), Cells::Bool(mut b)) => a.append(&mut b),
                _ => unreachable!("a column has one type, that of the schema"),
            }
        }
    }

    /// The rows for which `keep` says so, in their order.
    pub(super) fn retain(self, mut keep: impl FnMut(u128) -> bool) -> Self {
        let mut place = vec![u32::MAX; self.ids.len()];
        let mut kept = Self::default();
        for (row, (id, ts)) in self.ids.iter().zip(&self.ts).enumerate() {
            if keep(*id) {
                place[row] = kept.ids.len() as u32;
                kept.begin(*id, *ts);
            }
        }
        let moved = |column: Box<Column>| -> Option<Box<Column>> {
            let chosen: Vec<usize> =
                (0..column.rows.len()).filter(|i| place[column.rows[*i] as usize] != u32::MAX).collect();
            let rows: Vec<u32> = chosen.iter().map(|i| place[column.rows[*i] as usize]).collect();
            let cells = match column.cells {
                Cells::Text { ends, text } => {
                    let mut picked = (Vec::with_capacity(chosen.len()), String::new());
                    for i in chosen {
                        picked.1.push_str(&text[start(&ends, i)..ends[i] as usize]);
                        picked.0.push(picked.1.len() as u32);
                    }
                    Cells::Text { ends: picked.0, text: picked.1 }
                }
                Cells::Int(values) => Cells::Int(chosen.into_iter().map(|i| values[i]).collect()),
                Cells::Float(values) => Cells::Float(chosen.into_iter().map(|i| values[i]).collect()),
                Cells::Bool(values) => Cells::Bool(chosen.into_iter().map(|i| values[i]).collect()),
            };
            (!rows.is_empty()).then(|| Box::new(Column { rows, cells }))
        };
        let share = if self.ids.is_empty() { 0.0 } else { kept.ids.len() as f64 / self.ids.len() as f64 };
        kept.bytes = (self.bytes as f64 * share) as usize;
        kept.columns = self.columns.into_iter().map(|column| column.and_then(moved)).collect();
        kept
    }

    /// The order of the file: by repository, pull request, resource, time and identity, so that traces read little and
    /// equal values stand together.
    pub(super) fn order(&self) -> Vec<u32> {
        let (repos, pulls, resources) = (self.ranks(REPO), self.ranks(PR_ID), self.ranks(RESOURCE));
        let rank = |ranks: &[u32], row: usize| ranks.get(row).copied().unwrap_or_default();
        // 32 bits of repository and pull request each, then 24 of resource, 40 of microseconds in the day.
        let mut keys: Vec<(u128, u32)> = (0..self.ids.len())
            .map(|row| {
                let first = u128::from(rank(&repos, row)) << 96 | u128::from(rank(&pulls, row)) << 64;
                let within = (self.ts[row].rem_euclid(domain::time::DAY)) as u128 & ((1 << 40) - 1);
                let resource = u128::from(rank(&resources, row).min((1 << 24) - 1)) << 40;
                (first | resource | within, row as u32)
            })
            .collect();
        keys.sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| self.ids[a.1 as usize].cmp(&self.ids[b.1 as usize])));
        keys.into_iter().map(|(_, row)| row).collect()
    }

    /// For each row the place of its text among the column's distinct texts, from 1; 0 where it has none. Empty when
    /// nobody has one.
    fn ranks(&self, index: usize) -> Vec<u32> {
        let Some(Column { rows, cells: Cells::Text { ends, text } }) =
            self.columns.get(index).and_then(|column| column.as_deref())
        else {
            return Vec::new();
        };
        let mut numbers: HashMap<&str, u32, RandomState> = HashMap::default();
        let mut of_row = vec![0; self.ids.len()];
        let (mut last, mut last_number) = ("", 0);
        for (i, row) in rows.iter().enumerate() {
            let value = &text[start(ends, i)..ends[i] as usize];
            if last_number == 0 || value != last {
                let next = numbers.len() as u32 + 1;
                (last, last_number) = (value, *numbers.entry(value).or_insert(next));
            }
            of_row[*row as usize] = last_number;
        }
        let mut sorted: Vec<(&str, u32)> = numbers.into_iter().collect();
        sorted.sort_unstable();
        let mut rank_of = vec![0; sorted.len() + 1];
        for (rank, (_, number)) in (1..).zip(sorted) {
            rank_of[number as usize] = rank;
        }
        of_row.iter_mut().for_each(|number| *number = rank_of[*number as usize]);
        of_row
    }

    /// The columns that hold anything, by their places in [`events_schema`]; always identity, time and type.
    pub(super) fn filled(&self) -> Vec<usize> {
        let given = self.columns.iter().enumerate().filter(|(_, column)| column.is_some()).map(|(index, _)| index);
        [EVENT_ID, TS].into_iter().chain(given).collect()
    }

    /// Makes ready to gather one column: `slots` becomes which of its values each row has.
    pub(super) fn locate(&self, index: usize, slots: &mut Vec<u32>) {
        slots.clear();
        if let Some(column) = self.columns.get(index).and_then(|column| column.as_deref()) {
            // A column that every row has needs no map.
            if column.rows.len() < self.ids.len() {
                slots.resize(self.ids.len(), NONE);
                (0..).zip(&column.rows).for_each(|(i, row)| slots[*row as usize] = i);
            }
        }
    }

    /// Some rows of a column that was located, as Arrow.
    pub(super) fn gather(&self, index: usize, order: &[u32], slots: &[u32]) -> ArrayRef {
        match index {
            EVENT_ID => {
                let mut ids = StringBuilder::with_capacity(order.len(), order.len() * 32);
                let mut digits = [0; 32];
                for row in order {
                    ids.append_value(hex(self.ids[*row as usize], &mut digits));
                }
                return Arc::new(ids.finish());
            }
            TS => {
                let values = order.iter().map(|row| self.ts[*row as usize]);
                return Arc::new(TimestampMicrosecondArray::from_iter_values(values).with_timezone("UTC"));
            }
            _ => {}
        }
        let Some(column) = self.columns.get(index).and_then(|column| column.as_deref()) else {
            return arrow::array::new_null_array(events_schema().field(index).data_type(), order.len());
        };
        let slot = |row: &u32| match slots.get(*row as usize) {
            Some(&NONE) => None,
            Some(slot) => Some(*slot as usize),
            None => Some(*row as usize),
        };
        match &column.cells {
            Cells::Text { ends, text } => {
                let mut values = StringBuilder::with_capacity(order.len(), order.len() * text.len() / self.ids.len());
                for row in order {
                    match slot(row) {
                        Some(i) => values.append_value(&text[start(ends, i)..ends[i] as usize]),
                        None => values.append_null(),
                    }
                }
                Arc::new(values.finish())
            }
            Cells::Int(values) => {
                let values = order.iter().map(|row| slot(row).map(|i| values[i]));
                match events_schema().field(index).data_type() {
                    DataType::Timestamp(..) => {
                        Arc::new(TimestampMicrosecondArray::from_iter(values).with_timezone("UTC"))
                    }
                    _ => Arc::new(Int64Array::from_iter(values)),
                }
            }
            Cells::Float(values) => {
                Arc::new(Float64Array::from_iter(order.iter().map(|row| slot(row).map(|i| values[i]))))
            }
            Cells::Bool(values) => {
                Arc::new(BooleanArray::from_iter(order.iter().map(|row| slot(row).map(|i| values[i]))))
            }
        }
    }

    /// How many rows to gather at a time so that their largest column stays small.
    pub(super) fn portion(&self) -> usize {
        const BYTES: usize = 4 << 20;
        (BYTES / (self.bytes / self.ids.len().max(1)).max(1)).clamp(1, 16 * 1024)
    }

    /// The smallest and largest text of a column, for the statistics of a file.
    pub(super) fn text_bounds(&self, index: usize) -> Option<(&str, &str)> {
        let Some(Column { cells: Cells::Text { ends, text }, .. }) =
            self.columns.get(index).and_then(|column| column.as_deref())
        else {
            return None;
        };
        let value = |i: usize| &text[start(ends, i)..ends[i] as usize];
        if ends.is_empty() {
            return None;
        }
        let (mut least, mut most) = (value(0), value(0));
        for i in 1..ends.len() {
            let value = value(i);
            // Most are one of the two, or between them.
            if value < least {
                least = value;
            } else if value > most {
                most = value;
            }
        }
        Some((least, most))
    }
}

/// Where the `i`-th text begins.
#[inline]
fn start(ends: &[u32], i: usize) -> usize {
    if i == 0 { 0 } else { ends[i - 1] as usize }
}

/// 32 hex digits of an identity.
#[inline]
fn hex(id: u128, digits: &mut [u8; 32]) -> &str {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (byte, out) in id.to_be_bytes().iter().zip(digits.chunks_exact_mut(2)) {
        out[0] = DIGITS[usize::from(byte >> 4)];
        out[1] = DIGITS[usize::from(byte & 15)];
    }
    std::str::from_utf8(digits).expect("hex digits are ASCII")
}
