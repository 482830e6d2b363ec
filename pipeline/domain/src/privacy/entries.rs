//! What a JSON text holds that its value does not show: the first of two fields of one name.

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use std::fmt;

/// Whether a text holds more than its value: a field twice, or letters behind escapes, which no search would find.
pub(super) fn is_hiding(line: &str, value: &Value) -> bool {
    line.contains("\\u") || serde_json::from_str(line).map_or(true, |Entries(written)| written != entries(value))
}

/// The fields of a value, at any depth.
fn entries(value: &Value) -> u64 {
    match value {
        Value::Object(map) => map.values().map(|value| 1 + entries(value)).sum(),
        Value::Array(items) => items.iter().map(entries).sum(),
        _ => 0,
    }
}

/// The fields of a text, however often each is there.
struct Entries(u64);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Count).map(Self)
    }
}

struct Count;

impl<'de> Visitor<'de> for Count {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<u64, E> {
        Ok(0)
    }

    fn visit_i64<E>(self, _: i64) -> Result<u64, E> {
        Ok(0)
    }

    fn visit_u64<E>(self, _: u64) -> Result<u64, E> {
        Ok(0)
    }

    fn visit_f64<E>(self, _: f64) -> Result<u64, E> {
        Ok(0)
    }

    fn visit_str<E>(self, _: &str) -> Result<u64, E> {
        Ok(0)
    }

    fn visit_unit<E>(self) -> Result<u64, E> {
        Ok(0)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<u64, A::Error> {
        let mut count = 0;
        while let Some(Entries(inner)) = items.next_element()? {
            count += inner;
        }
        Ok(count)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<u64, A::Error> {
        let mut count = 0;
        while let Some((IgnoredAny, Entries(inner))) = fields.next_entry()? {
            count += 1 + inner;
        }
        Ok(count)
    }
}
