//! Any line is read as an event or refused with a reason; what is kept of an event needs no second scrubbing.

#![no_main]

use domain::event::read_native;
use domain::identity::{Identity, canonical_object};
use domain::json::layout::{Layouts, spots};
use domain::json::Tape;
use domain::privacy::Privacy;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use std::sync::LazyLock;

static PRIVACY: LazyLock<Privacy> = LazyLock::new(|| Privacy::new(b"the key of the fuzzer"));

fn assert_scrubbed(text: &str) {
    let again = PRIVACY.scrub(text);
    assert_eq!(again, text, "scrubbed twice is not as scrubbed once");
}

fn assert_all_scrubbed(value: &Value) {
    match value {
        Value::String(text) => assert_scrubbed(text),
        Value::Array(items) => items.iter().for_each(assert_all_scrubbed),
        Value::Object(map) => map.iter().for_each(|(key, value)| {
            assert_scrubbed(key);
            assert_all_scrubbed(value);
        }),
        _ => {}
    }
}

/// A canonical text is read back as itself.
fn assert_stable(canonical: &str) {
    let mut tape = Tape::default();
    let Value::Object(map) = tape.scan(canonical).expect("the canonical form is JSON").value(0) else {
        panic!("an object came back as something else: {canonical}")
    };
    let mut again = String::new();
    canonical_object(&map, &mut again);
    assert_eq!(again, canonical);
}

/// Line by line: whoever follows the layouts of the lines before finds the values that the tape has.
fn assert_followed(text: &str) {
    let mut layouts = Layouts::default();
    let (mut tape, mut other) = (Tape::default(), Tape::default());
    for line in text.split('\n') {
        let scanned = tape.scan(line).ok();
        let mut check = |layouts: &mut Layouts<()>| {
            let followed = layouts.follow(&mut other, line);
            let followed = followed.map(|(_, json)| json.items(0).map(|item| json.value(item)).collect::<Vec<_>>());
            if let Some(followed) = &followed {
                let scanned = scanned.expect("what is followed is JSON");
                let wanted = spots(scanned, "payload").into_iter().map(|spot| scanned.value(spot.value));
                assert_eq!(*followed, wanted.collect::<Vec<_>>());
            }
            followed.is_some()
        };
        check(&mut layouts);
        if let Some(json) = scanned
            && layouts.learn(json, "payload", |_| ()).is_some()
        {
            assert!(check(&mut layouts), "learnt, but not followed: {line}");
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let Ok(line) = std::str::from_utf8(data) else { return };
    assert_followed(line);
    let mut tape = Tape::default();
    let Ok(json) = tape.scan(line) else {
        PRIVACY.scrub_reject(line);
        return;
    };
    for event in read_native(json.value(0), &PRIVACY) {
        let event = match event {
            Ok(event) => event,
            Err((_, reason)) => {
                assert!(!reason.code().is_empty());
                continue;
            }
        };
        let identity = Identity::new(&PRIVACY);
        let normal = identity.normal_form(&event);
        assert_eq!(normal.id, identity.normal_form(&event.clone()).id);
        assert!(event.ts.is_usable());
        assert_scrubbed(&event.kind);
        event.outer().into_iter().flatten().for_each(assert_scrubbed);
        event.payload.values().chain(event.context.values()).for_each(assert_all_scrubbed);
        event.payload.keys().chain(event.context.keys()).for_each(|key| assert_scrubbed(key));
        if !line.contains("digits") {
            assert_stable(&normal.payload);
            assert_stable(&normal.context);
        }
    }
});
