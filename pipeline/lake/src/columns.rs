//! Events as Arrow columns: the schema of the staging tables and the builders that fill it.

use crate::reject::Reject;
use arrow::array::{
    Array, ArrayRef, BooleanBuilder, Date32Builder, Float64Builder, Int64Array, Int64Builder, RecordBatch, StringArray,
    StringBuilder, TimestampMicrosecondBuilder, new_null_array,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::error::ArrowError;
use domain::columns::EVENT_OUTER;
use domain::event::whole;
use domain::fields::{self, Kind};
use domain::identity::{canonical, normal_form};
use domain::{Event, Timestamp};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

/// A UTC time in microseconds.
pub(crate) fn timestamp_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

fn arrow_type(kind: Kind) -> DataType {
    match kind {
        Kind::Text | Kind::Id | Kind::List | Kind::Json => DataType::Utf8,
        Kind::Int | Kind::Count => DataType::Int64,
        Kind::Float | Kind::Amount => DataType::Float64,
        Kind::Bool => DataType::Boolean,
        Kind::Time => timestamp_type(),
    }
}

/// The columns of `staging.events`: first what every event has, then every payload field of the contract.
pub(crate) fn events_schema() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
        let outer = EVENT_OUTER.iter().map(|name| match *name {
            "ts" => Field::new(*name, timestamp_type(), false),
            "event_date" => Field::new(*name, DataType::Date32, false),
            "event_id" | "type" => Field::new(*name, DataType::Utf8, false),
            _ => Field::new(*name, DataType::Utf8, true),
        });
        let typed = fields::columns().into_iter().map(|(name, kind)| Field::new(name, arrow_type(kind), true));
        Arc::new(Schema::new(outer.chain(typed).collect::<Vec<_>>()))
    });
    SCHEMA.clone()
}

/// The columns of `staging.rejects`.
pub(crate) fn rejects_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("reject_id", DataType::Utf8, false),
        Field::new("source", DataType::Utf8, false),
        Field::new("line", DataType::Int64, false),
        Field::new("reason", DataType::Utf8, false),
        Field::new("detail", DataType::Utf8, false),
        Field::new("text", DataType::Utf8, false),
        Field::new("length", DataType::Int64, false),
        Field::new("hash", DataType::Utf8, false),
    ]))
}

pub(crate) fn rejects_batch(rejects: &[Reject]) -> Result<RecordBatch, ArrowError> {
    let text =
        |of: fn(&Reject) -> String| -> ArrayRef { Arc::new(StringArray::from_iter_values(rejects.iter().map(of))) };
    let number =
        |of: fn(&Reject) -> i64| -> ArrayRef { Arc::new(Int64Array::from_iter_values(rejects.iter().map(of))) };
    RecordBatch::try_new(
        rejects_schema(),
        vec![
            text(|r| r.reject_id.clone()),
            text(|r| r.source.clone()),
            number(|r| r.line),
            text(|r| r.reason.code().to_owned()),
            text(|r| r.reason.to_string()),
            text(|r| r.text.clone()),
            number(|r| r.length),
            text(|r| r.hash.clone()),
        ],
    )
}

enum Builder {
    Text(StringBuilder),
    Int(Int64Builder),
    Float(Float64Builder),
    Bool(BooleanBuilder),
    Time(TimestampMicrosecondBuilder),
    Date(Date32Builder),
}

impl Builder {
    fn new(data_type: &DataType) -> Self {
        match data_type {
            DataType::Int64 => Self::Int(Int64Builder::new()),
            DataType::Float64 => Self::Float(Float64Builder::new()),
            DataType::Boolean => Self::Bool(BooleanBuilder::new()),
            DataType::Date32 => Self::Date(Date32Builder::new()),
            DataType::Timestamp(..) => Self::Time(TimestampMicrosecondBuilder::new().with_timezone("UTC")),
            _ => Self::Text(StringBuilder::new()),
        }
    }

    fn len(&self) -> usize {
        use arrow::array::ArrayBuilder;
        match self {
            Self::Text(b) => b.len(),
            Self::Int(b) => b.len(),
            Self::Float(b) => b.len(),
            Self::Bool(b) => b.len(),
            Self::Time(b) => b.len(),
            Self::Date(b) => b.len(),
        }
    }

    /// Nulls up to `row`: columns are filled only where something is said.
    fn pad(&mut self, row: usize) {
        let n = row - self.len();
        match self {
            Self::Text(b) => (0..n).for_each(|_| b.append_null()),
            Self::Int(b) => b.append_nulls(n),
            Self::Float(b) => b.append_nulls(n),
            Self::Bool(b) => b.append_nulls(n),
            Self::Time(b) => b.append_nulls(n),
            Self::Date(b) => b.append_nulls(n),
        }
    }

    fn push_text(&mut self, row: usize, text: &str) {
        self.pad(row);
        if let Self::Text(b) = self {
            b.append_value(text);
        }
    }

    /// A value that passed the type rule of its field.
    fn push_value(&mut self, row: usize, value: &Value) {
        self.pad(row);
        match (self, value) {
            (Self::Text(b), Value::String(text)) => b.append_value(text),
            (Self::Text(b), other) => {
                let mut text = String::new();
                canonical(other, &mut text);
                b.append_value(text);
            }
            (Self::Int(b), value) => b.append_option(whole(value)),
            (Self::Float(b), value) => b.append_option(value.as_f64()),
            (Self::Bool(b), value) => b.append_option(value.as_bool()),
            (Self::Time(b), value) => b.append_option(value.as_str().and_then(Timestamp::parse).map(|t| t.0)),
            (Self::Date(b), _) => b.append_null(),
        }
    }

    fn finish(mut self, rows: usize) -> ArrayRef {
        self.pad(rows);
        match self {
            Self::Text(mut b) => Arc::new(b.finish()),
            Self::Int(mut b) => Arc::new(b.finish()),
            Self::Float(mut b) => Arc::new(b.finish()),
            Self::Bool(mut b) => Arc::new(b.finish()),
            Self::Time(mut b) => Arc::new(b.finish()),
            Self::Date(mut b) => Arc::new(b.finish()),
        }
    }
}

/// Where the fields of each event type go: (payload name, column index).
static PLACES: LazyLock<HashMap<&'static str, Vec<(&'static str, usize)>>> = LazyLock::new(|| {
    let schema = events_schema();
    let place = |column: &str| schema.index_of(column).expect("every field has its column");
    let of = |event_type| fields::of(event_type).iter().copied().flatten().map(|f| (f.name, place(f.column))).collect();
    fields::TYPES.iter().map(|event_type| (*event_type, of(event_type))).collect()
});

/// Events of one chunk, column by column; columns nobody filled take no memory.
#[derive(Default)]
pub struct Rows {
    len: usize,
    builders: Vec<Option<Builder>>,
}

const EVENT_ID: usize = 0;
const TS: usize = 1;
const EVENT_DATE: usize = 2;
const TYPE: usize = 3;

impl Rows {
    /// How many events.
    pub(crate) fn count(&self) -> usize {
        self.len
    }

    fn column(&mut self, index: usize) -> &mut Builder {
        let schema = events_schema();
        if self.builders.is_empty() {
            self.builders.resize_with(schema.fields().len(), || None);
        }
        self.builders[index].get_or_insert_with(|| Builder::new(schema.field(index).data_type()))
    }

    pub(crate) fn push(&mut self, event: &Event) {
        let row = self.len;
        let normal = normal_form(event);
        self.column(EVENT_ID).push_text(row, &normal.event_id);
        if let Builder::Time(b) = self.column(TS) {
            b.append_value(event.ts.0);
        }
        if let Builder::Date(b) = self.column(EVENT_DATE) {
            b.append_value(event.ts.day());
        }
        self.column(TYPE).push_text(row, &event.kind);
        let context = Some(normal.context).filter(|text| text != "{}");
        let inner = [context.as_deref(), Some(normal.payload.as_str())];
        for (text, index) in event.outer().into_iter().chain(inner).zip(TYPE + 1..) {
            if let Some(text) = text {
                self.column(index).push_text(row, text);
            }
        }
        for (name, index) in PLACES.get(event.kind.as_str()).into_iter().flatten() {
            if let Some(value) = event.payload.get(*name) {
                self.column(*index).push_value(row, value);
            }
        }
        if event.kind == "edit" {
            self.push_summary(row, event);
        }
        self.len += 1;
    }

    /// `change_summary` "+25/-10" says the same as the two counts.
    fn push_summary(&mut self, row: usize, event: &Event) {
        let Some((added, removed)) =
            event.payload.get("change_summary").and_then(Value::as_str).and_then(parse_summary)
        else {
            return;
        };
        let schema = events_schema();
        for (name, count) in [("lines_added", added), ("lines_removed", removed)] {
            if !event.payload.contains_key(name)
                && let Ok(index) = schema.index_of(name)
            {
                self.column(index).push_value(row, &Value::from(count));
            }
        }
    }

    /// The columns that hold something, with their indices in [`events_schema`].
    pub(crate) fn finish(self) -> Compact {
        let rows = self.len;
        let columns = self.builders.into_iter().enumerate();
        let columns = columns.filter_map(|(index, builder)| Some((index, builder?.finish(rows)))).collect();
        Compact { rows, columns }
    }
}

fn parse_summary(text: &str) -> Option<(u32, u32)> {
    let (added, removed) = text.split_once('/')?;
    Some((added.trim().strip_prefix('+')?.parse().ok()?, removed.trim().strip_prefix('-')?.parse().ok()?))
}

/// Events as columns, without the columns that are all null.
#[derive(Clone)]
pub(crate) struct Compact {
    pub(crate) rows: usize,
    columns: Vec<(usize, ArrayRef)>,
}

impl Compact {
    pub(crate) fn event_ids(&self) -> Option<&StringArray> {
        self.columns.iter().find(|(i, _)| *i == EVENT_ID).and_then(|(_, c)| c.as_any().downcast_ref())
    }

    pub(crate) fn dates(&self) -> Option<&arrow::array::Date32Array> {
        self.columns.iter().find(|(i, _)| *i == EVENT_DATE).and_then(|(_, c)| c.as_any().downcast_ref())
    }

    /// The chosen rows, still compact.
    pub(crate) fn take(&self, rows: &[u32]) -> Result<Self, ArrowError> {
        let indices = arrow::array::UInt32Array::from(rows.to_vec());
        let columns = self.columns.iter().map(|(i, c)| Ok((*i, arrow::compute::take(c, &indices, None)?)));
        Ok(Self { rows: rows.len(), columns: columns.collect::<Result<_, ArrowError>>()? })
    }

    /// All columns of the table.
    pub(crate) fn expand(self) -> Result<RecordBatch, ArrowError> {
        let schema = events_schema();
        let mut columns: Vec<Option<ArrayRef>> = vec![None; schema.fields().len()];
        for (index, column) in self.columns {
            columns[index] = Some(column);
        }
        let columns = columns.into_iter().zip(schema.fields());
        let columns = columns.map(|(c, field)| c.unwrap_or_else(|| new_null_array(field.data_type(), self.rows)));
        RecordBatch::try_new(schema.clone(), columns.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::event::read_native;
    use domain::privacy::Privacy;
    use serde_json::json;

    #[test]
    fn fields_of_different_types_meet_in_one_row_set() {
        let mut rows = Rows::default();
        let event = |kind: &str, payload: Value| {
            let value = json!({"ts": "2026-10-01T00:00:00Z", "type": kind, "repo": "o/r", "payload": payload});
            read_native(value, &Privacy::new(b"k")).remove(0).unwrap()
        };
        rows.push(&event("edit", json!({"file": "a", "change_summary": "+25/-10"})));
        rows.push(&event("usage", json!({"interval_s": 10, "memory_bytes": 5.0, "top_process": {"name": "cc"}})));
        let batch = rows.finish().expand().unwrap();
        let int = |name: &str, row: usize| {
            let column = batch.column_by_name(name).unwrap().as_any().downcast_ref::<Int64Array>().unwrap().clone();
            (!column.is_null(row)).then(|| column.value(row))
        };
        assert_eq!((int("lines_added", 0), int("lines_removed", 0)), (Some(25), Some(10)));
        assert_eq!((int("memory_bytes", 0), int("memory_bytes", 1)), (None, Some(5)));
        assert_eq!(batch.num_rows(), 2);
    }
}
