use super::*;
use crate::identity::canonical;
use proptest::prelude::*;

fn read(text: &str) -> Result<Value, NotJson> {
    Tape::default().scan(text).map(|json| json.value(0))
}

fn canonical_text(text: &str) -> String {
    let mut out = String::new();
    canonical(&read(text).unwrap(), &mut out);
    out
}

#[test]
fn what_serde_json_refuses_is_refused() {
    for text in [
        "",
        " ",
        "{",
        "}",
        "[1,]",
        "{\"a\":1,}",
        "{\"a\"}",
        "{a:1}",
        "[1 2]",
        "01",
        "-",
        "1.",
        ".5",
        "1e",
        "+1",
        "nul",
        "truex",
        "\"a",
        "\"\\x\"",
        "\"\\u12\"",
        "\"a\u{1}b\"",
        "[1]]",
        "{} {}",
        "'a'",
        "NaN",
        "[,1]",
        "{,}",
        "\u{feff}{}",
        "{\"a\":1 \"b\":2}",
        "{1:2}",
    ] {
        assert!(serde_json::from_str::<Value>(text).is_err(), "{text}");
        assert_eq!(read(text), Err(NotJson), "{text}");
    }
}

#[test]
fn half_of_a_surrogate_pair_is_a_replacement_and_loses_nothing_beside_it() {
    for (text, wanted) in [
        ("\"a\\ud83d b\"", "a\u{fffd} b"),
        ("\"\\ude00\"", "\u{fffd}"),
        ("\"\\ud83d\\u0041\"", "\u{fffd}A"),
        ("\"\\udc00\\ud800\"", "\u{fffd}\u{fffd}"),
        ("\"\\ud83d\\ud83d\\ude00\"", "\u{fffd}😀"),
        ("\"\\ud83d\\n\"", "\u{fffd}\n"),
        ("\"\\ud83d\"", "\u{fffd}"),
    ] {
        assert_eq!(read(text), Ok(Value::from(wanted)), "{text}");
    }
    for text in ["\"\\ud83\"", "\"\\ud83d\\u00\"", "\"\\ud83d\\\""] {
        assert_eq!(read(text), Err(NotJson), "{text}");
    }
}

#[test]
fn nesting_has_the_same_limit_as_the_reference() {
    for depth in [126, 127, 128, 129, 10_000] {
        let text = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(read(&text).is_ok(), serde_json::from_str::<Value>(&text).is_ok(), "{depth}");
    }
}

#[test]
fn numbers_beyond_64_bits_keep_their_digits() {
    for (text, wanted) in [
        ("123456789012345678901234567890", "123456789012345678901234567890"),
        ("1e400", "1e400"),
        ("-0.12345678901234567890123", "-1.2345678901234567890123e-1"),
        ("18446744073709551615", "18446744073709551615"),
        ("18446744073709551616", "18446744073709551616"),
        ("1.0", "1"),
        ("-0", "0"),
        ("-0.0", "0"),
        ("2.50", "2.5"),
        ("1E2", "100"),
        ("0.1", "0.1"),
        ("1e999999999999999999999", "1e999999999999999999999"),
        ("0e-9223372036854775808", "0e-9223372036854775808"),
    ] {
        assert_eq!(canonical_text(text), wanted);
        let mut direct = String::new();
        number::push_canonical(text, &mut direct);
        assert_eq!(direct, wanted);
    }
    assert_eq!(canonical_text("12345678901234567890123.0"), canonical_text("12345678901234567890123"));
}

#[test]
fn digits_that_no_float_has_are_no_whole_number() {
    for text in ["5.00000000000000000001", "0.99999999999999999999", "1e-400", "18446744073709551615", "1.5"] {
        assert_eq!(number::whole(text), None, "{text}");
        assert_eq!(crate::event::whole(&read(text).unwrap()), None, "{text}");
    }
    for text in ["5", "5.0", "50e-1", "-0"] {
        assert_eq!(number::whole(text), crate::event::whole(&read(text).unwrap()), "{text}");
        assert!(number::whole(text).is_some(), "{text}");
    }
}

#[test]
fn of_keys_written_twice_the_last_counts() {
    assert_eq!(canonical_text(r#"{"a":1,"b":2,"a":3}"#), r#"{"a":3,"b":2}"#);
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_filter_map("finite", |f| serde_json::Number::from_f64(f).map(Value::Number)),
        ".*".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
            proptest::collection::vec((".{0,6}", inner), 0..6).prop_map(|e| Value::Object(e.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn what_the_reference_writes_is_read_back(value in any_json(), pretty in any::<bool>()) {
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
        prop_assert_eq!(read(&text).unwrap(), value);
    }

    #[test]
    fn damaged_text_is_judged_as_the_reference_does(value in any_json(), at in any::<prop::sample::Index>(), with in "[\"\\\\{}\\[\\],:0-9eE.+tfn u]") {
        let mut text: Vec<char> = value.to_string().chars().collect();
        let at = at.index(text.len());
        text[at] = with.chars().next().unwrap();
        let text: String = text.into_iter().collect();
        match (serde_json::from_str::<Value>(&text), read(&text)) {
            (Ok(wanted), Ok(read)) => {
                let canon = |v: &Value| { let mut out = String::new(); canonical(v, &mut out); out };
                // More digits than a float holds are the one thing that is kept and not rounded.
                if !canon(&read).contains('e') && canon(&read).len() < 17 { prop_assert_eq!(canon(&read), canon(&wanted)); }
            }
            (Err(error), Ok(_)) => {
                let said = error.to_string();
                let known = ["out of range", "surrogate", "end of hex escape"].iter().any(|known| said.contains(known));
                prop_assert!(known, "{} {}", text, error);
            }
            (Ok(_), Err(_)) => prop_assert!(false, "{}", text),
            (Err(_), Err(_)) => {}
        }
    }

    #[test]
    fn strings_are_written_as_the_reference_writes_them(text in ".*") {
        let mut out = String::new();
        push_string(&text, &mut out);
        prop_assert_eq!(out, Value::String(text).to_string());
    }

    #[test]
    fn a_plain_number_is_its_own_canonical_form(whole in -999_999_999i64..999_999_999, part in "[0-9]{0,6}") {
        let text = if part.is_empty() { whole.to_string() } else { format!("{whole}.{part}") };
        if number::is_plain(text.as_bytes()) {
            let mut out = String::new();
            canonical(&serde_json::from_str(&text).unwrap(), &mut out);
            prop_assert_eq!(out, text);
        }
    }
}
