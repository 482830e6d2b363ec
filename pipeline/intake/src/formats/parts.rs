//! What stands around the records of a document, taken apart so that nothing in it is passed over.
//!
//! A reader never looks into a wrapper by itself: it names the members that hold records, and those that only describe
//! them. Whatever else holds anything is refused when the part is closed, and so is a list that is none. Closing is not
//! the reader's business, so it cannot be forgotten: no record inside a recognised document is without an event or a
//! reject.

use super::{Object, Out};
use domain::Reason;
use serde_json::{Value, json};

/// Why the rest of a document is refused.
pub(crate) const UNREAD: Reason = Reason::Format("a part of the document that is not read");

/// An object around records.
pub(crate) struct Part {
    left: Object,
    /// Members that only describe it.
    about: &'static [&'static str],
}

impl Part {
    /// Reads a part, and refuses what is left of it. `about` names the members that describe it and hold no records.
    pub(crate) fn read(
        value: Value,
        about: &'static [&'static str],
        out: &mut Out,
        read: impl FnOnce(&mut Self, &mut Out),
    ) {
        match value {
            Value::Object(left) => {
                let mut part = Self { left, about };
                read(&mut part, out);
                part.close(out);
            }
            Value::Null => {}
            other => out.push(Err((other, Reason::NotAnObject))),
        }
    }

    /// A member that describes the records, or null.
    pub(crate) fn get(&self, key: &str) -> &Value {
        self.left.get(key).unwrap_or(&Value::Null)
    }

    /// Takes the records of a list; none where there is no list.
    pub(crate) fn records(&mut self, key: &str) -> Vec<Value> {
        match self.left.get_mut(key) {
            Some(Value::Array(items)) => std::mem::take(items),
            _ => Vec::new(),
        }
    }

    /// Takes a member that is a part itself, or null.
    pub(crate) fn inner(&mut self, key: &str) -> Value {
        self.left.remove(key).unwrap_or_default()
    }

    fn close(self, out: &mut Out) {
        for (key, value) in self.left {
            let holds = match &value {
                Value::Array(items) => !items.is_empty(),
                Value::Object(members) => !members.is_empty(),
                _ => false,
            };
            if holds && !self.about.contains(&key.as_str()) {
                out.push(Err((json!({ key: value }), UNREAD)));
            }
        }
    }
}
