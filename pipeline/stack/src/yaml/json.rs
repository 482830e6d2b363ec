//! A YAML document as JSON: the values of the core schema (yaml.org/spec/1.2.2, 10.3.2).

use super::stream::Read;
use super::value::{Value, is_null_text};
use crate::StackError;
use serde_json::{Map, Number, Value as Json};

/// The meaning of a text of at most one document; nothing is null.
///
/// # Errors
/// It is no YAML, with line and column.
pub(crate) fn json(text: &str) -> Result<Json, StackError> {
    let read = Read::new(text)?;
    Ok(match read.document.root {
        Some(_) => value(&read.value),
        None => Json::Null,
    })
}

fn value(of: &Value) -> Json {
    match of {
        Value::Scalar { text, plain: true } => plain(text),
        Value::Scalar { text, plain: false } => Json::String(text.clone()),
        Value::List(list) => Json::Array(list.iter().map(value).collect()),
        Value::Map(map) => Json::Object(map.iter().map(|(key, of)| (key.clone(), value(of))).collect::<Map<_, _>>()),
        Value::Tagged(tag, of) => match (is_text(tag), of.as_ref()) {
            (true, Value::Scalar { text, .. }) => Json::String(text.clone()),
            _ => value(of),
        },
    }
}

/// Whether a tag, in whichever form the reader gives it, is the core schema's `!!str`.
fn is_text(tag: &str) -> bool {
    matches!(tag.trim_matches(['!', '<', '>']), "str" | "tag:yaml.org,2002:str" | "tag:yaml.org,2002:!str")
}

fn plain(text: &str) -> Json {
    if is_null_text(text) {
        return Json::Null;
    }
    match text {
        "true" | "True" | "TRUE" => return Json::Bool(true),
        "false" | "False" | "FALSE" => return Json::Bool(false),
        _ => {}
    }
    let digits = text.trim_start_matches(['-', '+']);
    if digits.is_empty() || !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return Json::String(text.to_owned());
    }
    let radix = |prefix: &str, radix: u32| i64::from_str_radix(text.strip_prefix(prefix)?, radix).ok();
    let whole = text.parse::<i64>().ok().or_else(|| radix("0x", 16)).or_else(|| radix("0o", 8));
    let number = whole.map(Number::from).or_else(|| Number::from_f64(text.parse().ok()?));
    number.map_or_else(|| Json::String(text.to_owned()), Json::Number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_means_what_the_core_schema_says() {
        let text = "a: {b: 1, c: 1.5, d: true, e: ~, f: '1', g: 1.2.3, h: 0x1F, i: -2, j: yes, k: !!str 3}\nl: [x, \"y\"]\n\
                    200: &x {z: .5}\nm: *x\n";
        let wanted = serde_json::json!({"a": {"b": 1, "c": 1.5, "d": true, "e": null, "f": "1", "g": "1.2.3", "h": 31,
            "i": -2, "j": "yes", "k": "3"}, "l": ["x", "y"], "200": {"z": 0.5}, "m": {"z": 0.5}});
        assert_eq!(json(text).unwrap(), wanted);
        assert_eq!(json("# nothing\n").unwrap(), Json::Null);
        assert!(json("a: [").is_err());
    }
}
