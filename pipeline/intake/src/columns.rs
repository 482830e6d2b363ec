//! The columns of the staging tables.

use crate::reject::Reject;
use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow_schema::ArrowError;
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use domain::columns::EVENT_OUTER;
use domain::fields::{self, Kind};
use std::sync::{Arc, LazyLock};

/// A UTC time in microseconds.
pub fn timestamp_type() -> DataType {
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

/// The columns of `staging.events`: first what every event has, then every payload field of the contract, then which of
/// these cannot be.
pub fn events_schema() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
        let outer = EVENT_OUTER.iter().map(|name| match *name {
            "ts" => Field::new(*name, timestamp_type(), false),
            "event_date" => Field::new(*name, DataType::Date32, false),
            "event_id" | "type" => Field::new(*name, DataType::Utf8, false),
            _ => Field::new(*name, DataType::Utf8, true),
        });
        let typed = fields::columns().into_iter().map(|(name, kind)| Field::new(name, arrow_type(kind), true));
        let marked = [Field::new(fields::IMPOSSIBLE, DataType::Utf8, true)];
        Arc::new(Schema::new(outer.chain(typed).chain(marked).collect::<Vec<_>>()))
    });
    SCHEMA.clone()
}

/// The columns of `staging.rejects`.
pub fn rejects_schema() -> SchemaRef {
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
