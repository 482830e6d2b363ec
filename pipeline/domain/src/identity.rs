//! When two events are the same: a 128-bit hash of their normalised content.

use crate::Event;
use crate::json::{number, push_string};
use crate::privacy::Privacy;
use serde_json::{Map, Value};
use siphasher::sip128::{Hasher128, SipHasher24};
use std::hash::Hasher;

/// Writes a value so that equal meaning gives equal bytes: keys sorted, nulls in objects left out, `1.0` as `1`.
pub fn canonical(value: &Value, out: &mut String) {
    push_value(value, false, out);
}

/// [`canonical`] for an object that is not wrapped in a value.
pub fn canonical_object(map: &Map<String, Value>, out: &mut String) {
    push_object(map, false, out);
}

/// A value as JSON text, with everything that is in it.
pub fn written(value: &Value) -> String {
    let mut out = String::new();
    push_value(value, true, &mut out);
    out
}

fn push_value(value: &Value, with_nulls: bool, out: &mut String) {
    match value {
        Value::Object(map) => match number::digits(map) {
            Some(digits) => number::push_digits(digits, out),
            None => push_object(map, with_nulls, out),
        },
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                push_value(item, with_nulls, out);
            }
            out.push(']');
        }
        Value::Number(value) => number::push_number(value, out),
        Value::String(text) => push_string(text, out),
        other => out.push_str(&other.to_string()),
    }
}

fn push_object(map: &Map<String, Value>, with_nulls: bool, out: &mut String) {
    let mut entries: Vec<_> = map.iter().filter(|(_, v)| with_nulls || !v.is_null()).collect();
    entries.sort_unstable_by_key(|(k, _)| k.as_str());
    out.push('{');
    for (i, (key, value)) in entries.into_iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        push_string(key, out);
        out.push(':');
        push_value(value, with_nulls, out);
    }
    out.push('}');
}

/// An event's identity and the two texts it is computed from, which the lake keeps.
pub struct NormalForm {
    /// What makes the event this one.
    pub id: u128,
    /// The payload, canonical.
    pub payload: String,
    /// The unknown outer fields, canonical; `{}` when there are none.
    pub context: String,
}

/// Gives events their identity under the lake owner's key.
///
/// SipHash-2-4 with 128 bits (Aumasson and Bernstein, 2012) is a keyed pseudorandom function: without the key nobody
/// can make a line that passes for another event and so keeps it out. It is several times faster than an unkeyed
/// cryptographic hash on texts of a few hundred bytes, which matters for millions of events.
#[derive(Clone, Copy)]
pub struct Identity {
    key: [u8; 16],
}

impl Identity {
    /// Under the same key that makes people pseudonyms.
    pub fn new(privacy: &Privacy) -> Self {
        Self { key: privacy.derived_key("event identity, version 1") }
    }

    /// The hash of an event's whole normal form, as [`push_outer`] begins it.
    #[inline]
    pub fn hash(&self, normal: &[u8]) -> u128 {
        let mut hasher = SipHasher24::new_with_key(&self.key);
        hasher.write(normal);
        hasher.finish128().as_u128()
    }

    /// The normal form of an event.
    pub fn normal_form(&self, event: &Event) -> NormalForm {
        let (mut payload, mut context) = (String::with_capacity(256), String::new());
        canonical_object(&event.payload, &mut payload);
        canonical_object(&event.context, &mut context);
        let mut text = String::with_capacity(128 + payload.len());
        push_outer(&event.kind, &event.outer(), event.ts.0, &mut text);
        text.push_str(&context);
        text.push(',');
        text.push_str(&payload);
        NormalForm { id: self.hash(text.as_bytes()), payload, context }
    }
}

/// Begins the text that is hashed: type, outer fields in the order of [`crate::columns::EVENT_OUTER`], time in
/// microseconds. The context, a comma and the payload follow, both canonical.
pub fn push_outer(kind: &str, outer: &[Option<&str>; 7], ts_micros: i64, out: &mut String) {
    for part in std::iter::once(Some(kind)).chain(*outer) {
        match part {
            Some(part) => push_string(part, out),
            None => out.push('-'),
        }
        out.push(',');
    }
    push_time(ts_micros, out);
}

/// Appends the time as [`push_outer`] has it.
pub fn push_time(ts_micros: i64, out: &mut String) {
    out.push_str(itoa::Buffer::new().format(ts_micros));
    out.push(',');
}

/// An identity as people see it: 32 hex digits.
pub fn hex(id: u128) -> String {
    format!("{id:032x}")
}

/// 128 bits of BLAKE3, as 32 hex digits.
pub fn hash128(bytes: &[u8]) -> String {
    let hash = blake3::hash(bytes);
    hash.to_hex()[..32].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn canonical_form_forgets_what_does_not_matter() {
        let text = |v: Value| {
            let mut out = String::new();
            canonical(&v, &mut out);
            out
        };
        assert_eq!(text(json!({"b": 1.0, "a": null, "c": [null, 2]})), r#"{"b":1,"c":[null,2]}"#);
        assert_eq!(text(json!(-0.0)), "0");
        assert_ne!(text(json!("1")), text(json!(1)));
        assert_eq!(text(json!(18446744073709551615u64)), "18446744073709551615");
    }
}
