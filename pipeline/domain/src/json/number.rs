//! Numbers as they are written, in one form for each value.

use serde_json::{Map, Number, Value};
use std::borrow::Cow;
use std::fmt::Write;

/// Below 2^53 a float that is whole has exactly one integer.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// The key of the one-entry object that stands for a number which no 64-bit number says exactly.
const DIGITS: &str = "\u{1}digits";

/// The key of a dump's own object, with a mark more if it could be taken for [`DIGITS`].
pub(super) fn kept_apart(key: Cow<str>) -> String {
    if key.ends_with(DIGITS) { format!("\u{1}{key}") } else { key.into_owned() }
}

/// A number as a value: a 64-bit number where one says the same, else its digits.
pub fn value(text: &str) -> Value {
    match text.parse::<Number>() {
        Ok(number) if number.is_i64() || number.is_u64() || is_exact(text, &number) => Value::Number(number),
        _ => Value::Object(Map::from_iter([(DIGITS.to_owned(), Value::String(text.to_owned()))])),
    }
}

/// The digits of a number that is none for `serde_json`.
pub fn digits(map: &Map<String, Value>) -> Option<&str> {
    match map.iter().next() {
        Some((key, Value::String(digits))) if map.len() == 1 && key == DIGITS => Some(digits),
        _ => None,
    }
}

/// Whether a value is a number, and which.
pub fn float(value: &Value) -> Option<f64> {
    match value {
        Value::Object(map) => digits(map)?.parse().ok().filter(|f: &f64| f.is_finite()),
        other => other.as_f64(),
    }
}

/// Whether a value is a number of 2^53 or more, be it beyond all floats: such a one is whole, and no amount of anything.
pub fn is_huge(value: &Value) -> bool {
    match value {
        Value::Object(map) => digits(map).and_then(|text| text.parse::<f64>().ok()).is_some_and(|f| f >= EXACT),
        other => other.as_f64().is_some_and(|f| f >= EXACT),
    }
}

/// Whether the nearest 64-bit float, written as short as it can be, has the same digits.
fn is_exact(text: &str, number: &Number) -> bool {
    decimal(text).is_some() && decimal(text) == decimal(&number.to_string())
}

/// Sign, digits without zeros at either end, and the power of ten of the last digit.
fn decimal(text: &str) -> Option<(bool, String, i64)> {
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let mut exponent: i64 = exponent.parse().ok().filter(|e: &i64| e.unsigned_abs() < 1 << 40)?;
    let negative = mantissa.starts_with('-');
    let (whole, part) =
        mantissa.trim_start_matches('-').split_once('.').unwrap_or((mantissa.trim_start_matches('-'), ""));
    exponent -= part.len() as i64;
    let digits = format!("{whole}{part}");
    let kept = digits.trim_end_matches('0');
    exponent += (digits.len() - kept.len()) as i64;
    let kept = kept.trim_start_matches('0');
    if kept.is_empty() { Some((false, String::new(), 0)) } else { Some((negative, kept.to_owned(), exponent)) }
}

/// Appends a number in the one form for its value: `1` for `1.0` and `1e0`, the shortest digits for other floats,
/// and its own digits where no 64-bit number has them.
#[inline]
pub fn push_canonical(text: &str, out: &mut String) {
    if is_plain(text.as_bytes()) {
        out.push_str(text);
        return;
    }
    match value(text) {
        Value::Number(number) => push_number(&number, out),
        _ => push_digits(text, out),
    }
}

/// Appends a number that `serde_json` holds, in the same form as [`push_canonical`].
pub(crate) fn push_number(number: &Number, out: &mut String) {
    // Writing to a string cannot fail.
    let _ = match number.as_f64() {
        Some(f) if !number.is_i64() && !number.is_u64() && f.fract() == 0.0 && f.abs() < EXACT => {
            write!(out, "{}", f as i64)
        }
        _ => write!(out, "{number}"),
    };
}

pub(crate) fn push_digits(text: &str, out: &mut String) {
    let Some((negative, digits, exponent)) = decimal(text) else {
        out.push_str(text); // an exponent beyond all measure: as it is written
        return;
    };
    if digits.is_empty() {
        out.push('0');
        return;
    }
    if negative {
        out.push('-');
    }
    if (0..64).contains(&exponent) {
        out.push_str(&digits);
        (0..exponent).for_each(|_| out.push('0'));
        return;
    }
    let (first, rest) = digits.split_at(1);
    out.push_str(first);
    if !rest.is_empty() {
        out.push('.');
        out.push_str(rest);
    }
    let _ = write!(out, "e{}", exponent + rest.len() as i64);
}

/// Whether a number is written in its canonical form already, told without computing: a whole number of at most 15
/// digits, or a decimal fraction of at most 15 digits that ends in none and is not tiny.
#[inline]
pub fn is_plain(text: &[u8]) -> bool {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    if digits.len() > 16 {
        return false;
    }
    match digits.iter().position(|byte| !byte.is_ascii_digit()) {
        None => digits.len() <= 15 && text != b"-0",
        Some(point) => {
            let part = &digits[point + 1..];
            digits[point] == b'.'
                && part.iter().all(u8::is_ascii_digit)
                && part.last() != Some(&b'0')
                && (digits[0] != b'0' || part.iter().take(3).any(|byte| *byte != b'0'))
        }
    }
}

/// The whole number that a text stands for, `3.0` included.
pub fn whole(text: &str) -> Option<i64> {
    text.parse().ok().or_else(|| {
        if text.parse::<u64>().is_ok() {
            return None;
        }
        // Digits that no float has are not those of a whole number either.
        let Value::Number(number) = value(text) else { return None };
        let f = number.as_f64()?;
        (f.fract() == 0.0 && f.abs() < EXACT).then_some(f as i64)
    })
}
