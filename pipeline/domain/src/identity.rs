//! When two events are the same: a 128-bit hash of their normalised content.

use crate::Event;
use serde_json::{Map, Number, Value};

/// Writes a value so that equal meaning gives equal bytes: keys sorted, nulls in objects left out, `1.0` as `1`.
pub fn canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(map) => canonical_object(map, out),
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                canonical(item, out);
            }
            out.push(']');
        }
        Value::Number(number) => canonical_number(number, out),
        Value::String(text) => push_string(text, out),
        other => out.push_str(&other.to_string()),
    }
}

/// [`canonical`] for an object that is not wrapped in a value.
pub fn canonical_object(map: &Map<String, Value>, out: &mut String) {
    let mut entries: Vec<_> = map.iter().filter(|(_, v)| !v.is_null()).collect();
    entries.sort_unstable_by_key(|(k, _)| k.as_str());
    out.push('{');
    for (i, (key, value)) in entries.into_iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        push_string(key, out);
        out.push(':');
        canonical(value, out);
    }
    out.push('}');
}

/// Below 2^53 a float that is whole has exactly one integer; above, floats stay as they are written.
fn canonical_number(number: &Number, out: &mut String) {
    use std::fmt::Write;
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match number.as_f64() {
        Some(f) if !number.is_i64() && !number.is_u64() && f.fract() == 0.0 && f.abs() < EXACT => {
            let _ = write!(out, "{}", f as i64);
        }
        _ => {
            let _ = write!(out, "{number}");
        }
    }
}

fn push_string(text: &str, out: &mut String) {
    out.push_str(&Value::String(text.to_owned()).to_string());
}

/// An event's identity and the two texts it is computed from, which the lake keeps.
pub struct NormalForm {
    /// 128 bits of BLAKE3 over the canonical form, as 32 hex digits.
    pub event_id: String,
    /// The payload, canonical.
    pub payload: String,
    /// The unknown outer fields, canonical; `{}` when there are none.
    pub context: String,
}

/// The normal form of an event.
///
/// The hash is cryptographic on purpose: a hostile line must not be able to pass for somebody else's event and so
/// keep it out.
pub fn normal_form(event: &Event) -> NormalForm {
    let (mut payload, mut context) = (String::with_capacity(256), String::new());
    canonical_object(&event.payload, &mut payload);
    canonical_object(&event.context, &mut context);
    let mut text = String::with_capacity(128 + payload.len());
    for part in std::iter::once(Some(event.kind.as_str())).chain(event.outer()) {
        match part {
            Some(part) => push_string(part, &mut text),
            None => text.push('-'),
        }
        text.push(',');
    }
    text.push_str(&event.ts.0.to_string());
    text.push(',');
    text.push_str(&context);
    text.push(',');
    text.push_str(&payload);
    NormalForm { event_id: hash128(text.as_bytes()), payload, context }
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
