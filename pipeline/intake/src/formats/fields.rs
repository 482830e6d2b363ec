//! Fields of a JSON object as the interfaces of forges write them.

use super::Object;
use domain::Timestamp;
use serde_json::Value;

/// A text that is not empty.
pub(super) fn text<'o>(object: &'o Object, key: &str) -> Option<&'o str> {
    object.get(key).and_then(Value::as_str).filter(|text| !text.is_empty())
}

/// A time that there is: GitHub writes the year 1 for none.
pub(super) fn time(object: &Object, key: &str) -> Option<Timestamp> {
    text(object, key).and_then(Timestamp::parse).filter(|time| time.is_usable())
}
