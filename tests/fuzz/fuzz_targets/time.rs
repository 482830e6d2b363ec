//! `Timestamp::parse` reads what chrono reads, as the same moment, and reads back what it writes.

#![no_main]

use chrono::DateTime;
use domain::Timestamp;
use domain::time::{format_span, parse_since, parse_span};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let reference = DateTime::parse_from_rfc3339(text.trim()).ok().map(|time| Timestamp(time.timestamp_micros()));
    let ours = Timestamp::parse(text);
    assert_eq!(ours, reference, "{text:?}");
    if let Some(time) = ours.filter(|time| time.is_usable()) {
        assert_eq!(Timestamp::parse(&time.to_string()), Some(time));
        assert!(time.day() >= 0 && time.date().len() == 10 && time.minute().len() == 16);
    }
    if let Some(span) = parse_span(text) {
        assert_eq!(parse_span(&format_span(span)), Some(span), "{text:?}");
    }
    let now = Timestamp(1_800_000_000_000_000);
    assert!(parse_since(text, now).is_none_or(|since| since <= now));
});
