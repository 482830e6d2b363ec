//! From records to columns, some rows at a time.

use super::rows::{Cell, EVENT_ID, Rows, TS};
use crate::columns::events_schema;
use arrow_array::{ArrayRef, BooleanArray, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray};
use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::ArrowError;
use arrow_schema::DataType;
use std::sync::Arc;

/// A column in the making: the values, and which rows have one.
struct Column {
    values: Values,
    /// One bit a row, the lowest first.
    given: Vec<u8>,
    count: usize,
}

enum Values {
    /// 0, then where each row's text ends.
    Text(Vec<i32>, Vec<u8>),
    Int(Vec<i64>),
    Float(Vec<f64>),
    Bool(Vec<bool>),
}

/// Makes columns of rows.
pub struct Columns<'r> {
    rows: &'r Rows,
    columns: &'r [usize],
    /// Of each column in [`events_schema`] its place among those that are made.
    place: Vec<usize>,
    /// How many bytes of text each column had last.
    text_bytes: Vec<usize>,
}

/// Records that are fetched together: few enough for the nearest cache.
const FETCHED: usize = 32;

impl<'r> Columns<'r> {
    /// Of some rows, those columns of [`events_schema`] whose places are given.
    pub fn new(rows: &'r Rows, columns: &'r [usize]) -> Self {
        let mut place = vec![usize::MAX; events_schema().fields().len()];
        for (number, column) in columns.iter().enumerate() {
            place[*column] = number;
        }
        Self { rows, columns, place, text_bytes: vec![0; columns.len()] }
    }

    /// The columns of some rows, in the given order.
    pub fn arrays(&mut self, order: &[u32]) -> Result<Vec<ArrayRef>, ArrowError> {
        let schema = events_schema();
        let kind = |column: usize| schema.field(column).data_type();
        let column = |(column, bytes): (&usize, &usize)| Column::new(kind(*column), order.len(), bytes + bytes / 8);
        let mut made: Vec<Column> = self.columns.iter().zip(&self.text_bytes).map(column).collect();
        let mut ids = Vec::with_capacity(32 * order.len());
        let mut times = Vec::with_capacity(order.len());
        for (first, some) in (0..).step_by(FETCHED).zip(order.chunks(FETCHED)) {
            self.rows.fetch(some);
            for (at, row) in (first..).zip(some) {
                let record = self.rows.record(*row);
                ids.extend_from_slice(&hex(record.id()));
                times.push(record.ts());
                for (column, cell) in record.cells {
                    if let Some(column) = made.get_mut(self.place[column]) {
                        column.push(at, cell);
                    }
                }
            }
        }
        let (mut ids, mut times) = (Some(ids), Some(times));
        let array = |(number, values): (usize, Column)| {
            let column = self.columns[number];
            if let Some(ids) = ids.take_if(|_| column == EVENT_ID) {
                let offsets = OffsetBuffer::from_lengths(order.iter().map(|_| 32));
                return Ok(Arc::new(StringArray::try_new(offsets, Buffer::from_vec(ids), None)?) as ArrayRef);
            }
            if let Some(times) = times.take_if(|_| column == TS) {
                return Ok(
                    Arc::new(TimestampMicrosecondArray::new(times.into(), None).with_timezone("UTC")) as ArrayRef
                );
            }
            if let Values::Text(_, bytes) = &values.values {
                self.text_bytes[number] = bytes.len();
            }
            values.finish(kind(column), order.len())
        };
        made.into_iter().enumerate().map(array).collect()
    }
}

impl Column {
    fn new(kind: &DataType, rows: usize, text_bytes: usize) -> Self {
        let values = match kind {
            DataType::Int64 | DataType::Timestamp(..) => Values::Int(Vec::with_capacity(rows)),
            DataType::Float64 => Values::Float(Vec::with_capacity(rows)),
            DataType::Boolean => Values::Bool(Vec::with_capacity(rows)),
            _ => {
                let mut ends = Vec::with_capacity(rows + 1);
                ends.push(0);
                Values::Text(ends, Vec::with_capacity(text_bytes))
            }
        };
        Self { values, given: vec![0; rows.div_ceil(8)], count: 0 }
    }

    /// The value of a row; rows come in their order, and those left out have none.
    #[inline]
    fn push(&mut self, at: usize, cell: Cell) {
        match (&mut self.values, cell) {
            (Values::Text(ends, bytes), Cell::Text(text)) => {
                if ends.len() <= at {
                    ends.resize(at + 1, bytes.len() as i32);
                }
                bytes.extend_from_slice(text);
                ends.push(bytes.len() as i32);
            }
            (Values::Int(values), Cell::Int(value)) => put(values, at, value),
            (Values::Float(values), Cell::Float(value)) => put(values, at, value),
            (Values::Bool(values), Cell::Bool(value)) => put(values, at, value),
            _ => unreachable!("a column has one type, that of the schema"),
        }
        self.given[at / 8] |= 1 << (at % 8);
        self.count += 1;
    }

    fn finish(self, kind: &DataType, rows: usize) -> Result<ArrayRef, ArrowError> {
        let nulls =
            (self.count < rows).then(|| NullBuffer::new(BooleanBuffer::new(Buffer::from_vec(self.given), 0, rows)));
        Ok(match self.values {
            Values::Text(mut ends, bytes) => {
                ends.resize(rows + 1, bytes.len() as i32);
                let offsets = OffsetBuffer::new(ScalarBuffer::from(ends));
                Arc::new(StringArray::try_new(offsets, Buffer::from_vec(bytes), nulls)?)
            }
            Values::Int(mut values) => {
                values.resize(rows, 0);
                match kind {
                    DataType::Timestamp(..) => {
                        Arc::new(TimestampMicrosecondArray::try_new(values.into(), nulls)?.with_timezone("UTC"))
                    }
                    _ => Arc::new(Int64Array::try_new(values.into(), nulls)?),
                }
            }
            Values::Float(mut values) => {
                values.resize(rows, 0.0);
                Arc::new(Float64Array::try_new(values.into(), nulls)?)
            }
            Values::Bool(mut values) => {
                values.resize(rows, false);
                Arc::new(BooleanArray::new(values.into(), nulls))
            }
        })
    }
}

#[inline]
fn put<T: Copy + Default>(values: &mut Vec<T>, at: usize, value: T) {
    if values.len() < at {
        values.resize(at, T::default());
    }
    values.push(value);
}

/// 32 hex digits of an identity.
#[inline]
fn hex(id: u128) -> [u8; 32] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut digits = [0; 32];
    for (byte, out) in id.to_be_bytes().iter().zip(digits.as_chunks_mut::<2>().0) {
        *out = [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]];
    }
    digits
}
