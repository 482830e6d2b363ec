//! Whether people and secrets are found where somebody planted them: invented names and made-up tokens in the places where
//! such things are found in dumps. Not all can be: a bare name in a sentence is a word to every rule.
#![allow(clippy::print_stdout)] // measurements

use super::Privacy;
use crate::event::read_native;
use serde_json::Value;
use std::collections::BTreeMap;

/// One case a line: `kind`, `event` and what must be `hidden`; `{A20}` stands for twenty letters and digits as chance has
/// them, `{h32}` for hexadecimal ones, `{d9}` for digits, `{U16}` for capitals and digits, `{l32}` for small ones and
/// digits. So nothing in this repository looks like a token to those who search it for some.
const CASES: &str = include_str!("planted.ndjson");

/// The share of the cases that may stay in clear.
const LIMIT: f64 = 0.15;

fn expanded(line: &str) -> String {
    let pattern = regex::Regex::new(r"\{([AhdUl])([0-9]{1,3})\}").unwrap();
    let random = |class: &str, length: usize| -> String {
        let letters: &[u8] = match class {
            "h" => b"0123456789abcdef",
            "d" => b"0123456789",
            "U" => b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567",
            "l" => b"abcdefghijklmnopqrstuvwxyz0123456789",
            _ => b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
        };
        let mut state = length as u64 * 31 + u64::from(class.as_bytes()[0]);
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            char::from(letters[(state >> 33) as usize % letters.len()])
        };
        (0..length).map(|_| next()).collect()
    };
    pattern.replace_all(line, |c: &regex::Captures| random(&c[1], c[2].parse().unwrap())).into_owned()
}

/// What of a case is found in what is stored of it, and its kind.
fn found(case: &Value) -> (String, Option<String>) {
    let text = |name: &str| case[name].as_str().unwrap_or_default().to_owned();
    let mut event = case["event"].clone();
    event.as_object_mut().unwrap().entry("ts").or_insert("2026-11-20T10:00:00Z".into());
    let privacy = Privacy::new(b"the key of the tests");
    let stored = match read_native(event, &privacy).remove(0) {
        Ok(event) => format!("{event:?}"),
        Err((value, _)) => privacy.scrub_reject(&value.to_string()),
    };
    let hidden = case.get("hidden").or(case.get("must_not_appear")).and_then(Value::as_array).unwrap();
    let left = hidden.iter().filter_map(Value::as_str).find(|secret| stored.contains(secret));
    let kind = if text("kind").is_empty() { text("label") } else { text("kind") };
    (kind, left.map(|_| case["event"].to_string()))
}

fn measure(cases: &str) -> f64 {
    let mut kinds: BTreeMap<String, (u32, u32)> = BTreeMap::new();
    let (mut left, mut all) = (0, 0);
    for line in cases.lines() {
        let (kind, clear) = found(&serde_json::from_str(&expanded(line)).unwrap());
        let count = kinds.entry(kind).or_default();
        (count.1, all) = (count.1 + 1, all + 1);
        if let Some(clear) = clear {
            println!("in clear: {}", clear.chars().take(300).collect::<String>());
            (count.0, left) = (count.0 + 1, left + 1);
        }
    }
    kinds.retain(|_, (left, all)| *left > 0 && *all > 1);
    println!("{left} of {all} in clear; {kinds:?}");
    f64::from(left) / f64::from(all)
}

#[test]
fn nearly_all_planted_people_and_secrets_are_found() {
    assert!(CASES.lines().count() > 400);
    assert!(measure(CASES) <= LIMIT);
}

/// `PRIVACY_CASES=cases.ndjson cargo test -p domain --lib planted -- --ignored --nocapture` prints what stays in clear.
#[test]
#[ignore = "a measurement of cases from elsewhere"]
fn of_other_cases() {
    let Ok(path) = std::env::var("PRIVACY_CASES") else { return };
    measure(&std::fs::read_to_string(path).unwrap());
}

/// `PRIVACY_TEXTS=events.ndjson cargo test -p domain --lib of_other_texts -- --ignored --nocapture` prints which texts of
/// events change, for looking at what is masked and should not be.
#[test]
#[ignore = "a measurement of texts from elsewhere"]
fn of_other_texts() {
    fn look(key: &str, before: &Value, after: &Value) -> (u32, u32) {
        match (before, after) {
            (Value::String(one), Value::String(other)) => {
                if one != other {
                    println!("changed {key}: {:.160} -> {:.160}", one.escape_debug().to_string(), other.escape_debug());
                }
                (1, u32::from(one != other))
            }
            (Value::Object(one), Value::Object(_)) => one
                .iter()
                .map(|(key, value)| look(key, value, &after[key]))
                .fold((0, 0), |sum, pair| (sum.0 + pair.0, sum.1 + pair.1)),
            (Value::Array(one), Value::Array(other)) => one
                .iter()
                .zip(other)
                .map(|(one, other)| look(key, one, other))
                .fold((0, 0), |sum, pair| (sum.0 + pair.0, sum.1 + pair.1)),
            (one, other) => {
                if one != other {
                    println!("changed {key}: {:.160} -> {:.160}", one.to_string(), other.to_string());
                }
                (1, u32::from(one != other))
            }
        }
    }
    let Ok(path) = std::env::var("PRIVACY_TEXTS") else { return };
    let privacy = Privacy::new(b"the key of the tests");
    let (mut all, mut changed) = (0, 0);
    for line in std::fs::read_to_string(path).unwrap().lines() {
        let Ok(before) = serde_json::from_str::<Value>(line) else { continue };
        let mut after = before.clone();
        privacy.scrub_value(&mut after);
        let (texts, odd) = look("", &before, &after);
        (all, changed) = (all + texts, changed + odd);
    }
    println!("{changed} of {all} values changed");
}
