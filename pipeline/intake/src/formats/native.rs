//! Events of the contract, one an object, or many in a batch object `{repo, branch, …, "events": […]}`.

use super::parts::UNREAD;
use super::{Format, Head, Out, Reader};
use domain::event::singles;
use serde_json::Value;

pub(super) static FORMAT: Format =
    Format { name: "native", recognises, reader: |_| Box::new(Native), independent: true };

/// Events are whatever has a time and a type.
fn recognises(head: &Head) -> bool {
    let Head::Json(value) = head else { return false };
    let text = |key: &str| value.get(key).is_some_and(Value::is_string);
    (text("ts") && text("type")) || (value.get("type").is_none() && value.get("events").is_some_and(Value::is_array))
}

/// Whether an object may be meant as an event: it has something that only events have.
pub(super) fn may_be(value: &Value) -> bool {
    ["ts", "type", "payload"].iter().any(|key| value.get(key).is_some())
}

struct Native;

impl Reader for Native {
    fn object(&mut self, value: Value, out: &mut Out) {
        // A batch without events may still hold something under another name.
        let empty =
            value.get("events").and_then(Value::as_array).is_some_and(Vec::is_empty) && value.get("type").is_none();
        if empty && value.as_object().is_some_and(|batch| batch.iter().any(|(key, value)| holds_records(key, value))) {
            return out.push(Err((value, UNREAD)));
        }
        out.extend(singles(value));
    }
}

/// Whether a member of a batch holds anything that may be events: what describes a batch is no list of objects.
fn holds_records(key: &str, value: &Value) -> bool {
    key != "events" && value.as_array().is_some_and(|items| items.iter().any(Value::is_object))
}
