//! The slow, obvious way from an event to a row: every format and every unusual line goes here.

use super::rows::{CONTEXT, Cells, PAYLOAD, REPO, Rows, TYPE, impossible_column, places};
use crate::columns::events_schema;
use domain::event::whole;
use domain::fields::Kind;
use domain::identity::{NormalForm, canonical};
use domain::json::number;
use domain::{Event, Timestamp};
use serde_json::Value;
use std::sync::LazyLock;

/// Makes the row of an event.
pub(super) fn push(rows: &mut Rows, event: &Event, normal: &NormalForm) {
    rows.begin(normal.id, event.ts.0);
    let cells = &mut rows.cells;
    cells.text(TYPE, &event.kind);
    for (column, field) in (REPO..CONTEXT).zip(event.outer()) {
        if let Some(text) = field {
            cells.text(column, text);
        }
    }
    if normal.context != "{}" {
        cells.text(CONTEXT, &normal.context);
    }
    cells.text(PAYLOAD, &normal.payload);
    let mut impossible: Vec<&str> = Vec::new();
    for place in places(&event.kind) {
        let Some(value) = event.payload.get(place.name) else { continue };
        match (place.kind, value) {
            (Kind::Text | Kind::Id | Kind::List | Kind::Json, Value::String(text)) => cells.text(place.column, text),
            (Kind::Text | Kind::Id | Kind::List | Kind::Json, value) => {
                let mut text = String::new();
                canonical(value, &mut text);
                cells.text(place.column, &text);
            }
            (Kind::Count, value) => match whole(value).filter(|n| place.holds(*n as f64)) {
                Some(n) if place.is_none(n as f64) => {}
                Some(n) => cells.int(place.column, n),
                None => impossible.push(place.name),
            },
            (Kind::Amount, value) => match number::float(value).filter(|f| place.holds(*f)) {
                Some(f) if place.is_none(f) => {}
                Some(f) => cells.float(place.column, f),
                None => impossible.push(place.name),
            },
            (Kind::Int, value) => whole(value).into_iter().for_each(|n| cells.int(place.column, n)),
            (Kind::Float, value) => {
                number::float(value).into_iter().for_each(|f| cells.float(place.column, f));
            }
            (Kind::Bool, value) => value.as_bool().into_iter().for_each(|b| cells.bool(place.column, b)),
            (Kind::Time, value) => {
                let at = value.as_str().and_then(Timestamp::parse);
                at.into_iter().for_each(|at| cells.int(place.column, at.0));
            }
        }
    }
    if !impossible.is_empty() {
        impossible.sort_unstable();
        cells.text(impossible_column(), &impossible.join(","));
    }
    if event.kind == "edit" {
        let given = |column: usize| {
            let name = events_schema().field(column).name().clone();
            event.payload.contains_key(&name)
        };
        push_summary(cells, event.payload.get("change_summary").and_then(Value::as_str), given);
    }
}

/// Where a `change_summary` and the two counts it stands for go.
pub(super) struct SummaryColumns {
    pub(super) summary: usize,
    added: usize,
    removed: usize,
}

pub(super) fn summary_columns() -> &'static SummaryColumns {
    static COLUMNS: LazyLock<SummaryColumns> = LazyLock::new(|| {
        let column = |name| events_schema().index_of(name).expect("every field has its column");
        SummaryColumns {
            summary: column("change_summary"),
            added: column("lines_added"),
            removed: column("lines_removed"),
        }
    });
    &COLUMNS
}

/// `change_summary` "+25/-10" says the same as the two counts, where they are not given.
pub(super) fn push_summary(cells: &mut Cells, summary: Option<&str>, given: impl Fn(usize) -> bool) {
    let Some((added, removed)) = summary.and_then(parse_summary) else { return };
    let columns = summary_columns();
    for (column, count) in [(columns.added, added), (columns.removed, removed)] {
        if !given(column) {
            cells.int(column, i64::from(count));
        }
    }
}

fn parse_summary(text: &str) -> Option<(u32, u32)> {
    let (added, removed) = text.split_once('/')?;
    Some((added.trim().strip_prefix('+')?.parse().ok()?, removed.trim().strip_prefix('-')?.parse().ok()?))
}
