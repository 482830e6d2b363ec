//! `Tape::scan` takes what `serde_json` takes, with the same value, and the canonical form is its own canonical form.

#![no_main]

use domain::identity::canonical;
use domain::json::{Json, Kind, Tape, number, push_string};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

/// The end of the key that stands for a number no 64-bit number says exactly; a dump's own key of that end is marked.
const DIGITS: &str = "\u{1}digits";

fn canonical_text(value: &Value) -> String {
    let mut out = String::new();
    canonical(value, &mut out);
    out
}

/// Whether two values are the same, and whether that took knowing how digits are kept.
fn same(ours: &Value, reference: &Value, special: &mut bool) -> bool {
    match (ours, reference) {
        (Value::Object(_), Value::Number(wanted)) => {
            *special = true;
            number::float(ours) == wanted.as_f64()
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && b.iter().all(|(key, wanted)| {
                    let kept = if key.ends_with(DIGITS) {
                        *special = true;
                        format!("\u{1}{key}")
                    } else {
                        key.clone()
                    };
                    a.get(&kept).is_some_and(|ours| same(ours, wanted, special))
                })
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b, special)),
        (a, b) => a == b,
    }
}

/// What a reader that never builds a value sees must be the same.
fn check_nodes(json: &Json, index: u32) {
    let node = json.node(index);
    match node.kind {
        Kind::Number => {
            let mut direct = String::new();
            number::push_canonical(json.raw(node), &mut direct);
            assert_eq!(direct, canonical_text(&json.value(index)), "a number has two canonical forms");
        }
        Kind::Plain | Kind::Escaped => {
            let text = json.string(node);
            let mut direct = String::new();
            push_string(&text, &mut direct);
            assert_eq!(direct, Value::from(&*text).to_string());
        }
        Kind::Array => json.items(index).for_each(|item| check_nodes(json, item)),
        Kind::Object => json.entries(index).for_each(|(key, value)| {
            check_nodes(json, key);
            check_nodes(json, value);
        }),
        _ => {}
    }
}

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut tape = Tape::default();
    let ours = tape.scan(text);
    let reference = serde_json::from_str::<Value>(text);
    let json = match (ours, &reference) {
        (Ok(json), _) => json,
        (Err(_), Err(_)) => return,
        (Err(_), Ok(value)) => panic!("refused, but it is {value}"),
    };
    let value = json.value(0);
    check_nodes(&json, 0);
    let mut special = false;
    match &reference {
        Ok(wanted) => {
            assert!(same(&value, wanted, &mut special), "{value}\n{wanted}");
            if !special {
                assert_eq!(canonical_text(&value), canonical_text(wanted));
            }
        }
        Err(error) => {
            let said = error.to_string();
            let known = ["number out of range", "surrogate", "end of hex escape"];
            assert!(known.iter().any(|known| said.contains(known)), "taken, but {error}");
        }
    }
    // A dump's own key that looks like kept digits gets a mark each time it is read.
    if text.contains("digits") {
        return;
    }
    let once = canonical_text(&value);
    let mut again = Tape::default();
    let reread = again.scan(&once).expect("the canonical form is JSON").value(0);
    assert_eq!(canonical_text(&reread), once, "the canonical form is not its own");
});
