//! Hostile input: bounded memory and time, and each line an event with its meaning unchanged or a reject; never a panic.

use crate::dumps::note;
use crate::program::{Place, counts};
use serde_json::Value;
use std::io::Write;
use std::process::{ChildStdin, Stdio};
use std::time::{Duration, Instant};

const MEBIBYTE: usize = 1 << 20;

/// The peak memory that the contract allows, whatever the dump.
const PEAK: u64 = 512 << 10; // KiB

/// Ingests with a watch on memory and time; `feed` writes to standard input. Read, accepted, duplicates, rejected.
fn watched(place: &Place, arguments: &[&str], feed: impl FnOnce(&mut ChildStdin) + Send) -> [u64; 4] {
    let all = [&["--json", "ingest"], arguments].concat();
    let mut command = place.command(&all);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let began = Instant::now();
    let mut peak = 0;
    std::thread::scope(|scope| {
        scope.spawn(move || feed(&mut input));
        while child.try_wait().unwrap().is_none() {
            let text = std::fs::read_to_string(&status).unwrap_or_default();
            let high = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let high = high.and_then(|high| high.split_whitespace().next()?.parse::<u64>().ok());
            peak = peak.max(high.unwrap_or_default());
            if began.elapsed() > Duration::from_secs(120) {
                child.kill().unwrap();
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    });
    let ended = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{arguments:?}: {} after {:?}: {said}", ended.status, began.elapsed());
    assert!(!said.contains("panicked"), "{said}");
    assert!(peak > 0 && peak < PEAK, "{arguments:?}: peak {} MiB", peak >> 10);
    counts(&serde_json::from_slice(&ended.stdout).unwrap())
}

/// Takes one line into a lake of its own: the event, or the reason it is none.
fn take(line: impl AsRef<[u8]>) -> Result<Value, String> {
    let place = Place::new();
    let dump = place.write("hostile.ndjson", line.as_ref());
    let ended = place.run(&["--json", "ingest", &dump]);
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert!(!ended.err.contains("panicked"), "{}", ended.err);
    match counts(&serde_json::from_str(&ended.out).unwrap()) {
        [1, 1, 0, 0] => Ok(place.sql("select * from staging.events")[0].clone()),
        [1, 0, 0, 1] => Err(place.sql("select reason from staging.rejects")[0]["reason"].as_str().unwrap().to_owned()),
        other => panic!("{other:?} of one line"),
    }
}

#[test]
fn one_endless_line_costs_only_itself() {
    let place = Place::new();
    let counts = watched(&place, &["-"], |input| {
        let block = vec![b'x'; MEBIBYTE];
        writeln!(input, "{}", note(1, "before")).unwrap();
        input.write_all(b"{\"ts\":\"2026-10-01T00:00:00Z\",\"type\":\"annotation\",\"payload\":{\"note\":\"").unwrap();
        (0..200).for_each(|_| input.write_all(&block).unwrap());
        writeln!(input, "\"}}}}\n{}", note(1, "after")).unwrap();
    });
    assert_eq!(counts, [3, 2, 0, 1]);
    let reject = &place.sql("select reason, length, octet_length(text) as kept from staging.rejects")[0];
    assert_eq!(reject["reason"], "too_long");
    assert!(reject["length"].as_u64().unwrap() > 200 * MEBIBYTE as u64);
    assert!(reject["kept"].as_u64().unwrap() <= 64 << 10);
}

#[test]
fn many_long_lines_stay_within_bounds() {
    let place = Place::new();
    let counts = watched(&place, &["-"], |input| {
        let long = "y".repeat(15 * MEBIBYTE);
        (0..20).for_each(|i| writeln!(input, "{}", note(i, &format!("{i}{long}"))).unwrap());
    });
    assert_eq!(counts, [20, 20, 0, 0]);
}

/// A member of an archive over and over unpacks to the content over and over.
fn bomb(member: Vec<u8>, times: usize) -> Vec<u8> {
    member.repeat(times)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(bytes).unwrap();
    packed.finish().unwrap()
}

#[test]
fn archives_that_unpack_to_gigabytes_stay_within_bounds() {
    let place = Place::new();
    let zeros = vec![0; 64 * MEBIBYTE];
    let end = format!("\n{}\n", note(1, "after"));
    let zst = bomb(zstd::encode_all(zeros.as_slice(), 1).unwrap(), 32);
    let zst = [zst, zstd::encode_all(end.as_bytes(), 1).unwrap()].concat();
    assert!(zst.len() < MEBIBYTE);
    let dump = place.write("zeros.ndjson.zst", zst);
    assert_eq!(watched(&place, &[&dump], |_| {}), [2, 1, 0, 1], "2 GiB of zeros are one line");

    let dump = place.write("zeros.ndjson.gz", bomb(gzip(&zeros), 16));
    assert_eq!(watched(&place, &[&dump], |_| {}), [1, 0, 0, 1], "1 GiB of zeros are one line");

    let newlines = vec![b'\n'; 16 * MEBIBYTE];
    let dump = place.write("newlines.ndjson.gz", [bomb(gzip(&newlines), 8), gzip(end.as_bytes())].concat());
    assert_eq!(watched(&place, &[&dump], |_| {}), [1, 0, 1, 0], "blank lines are nothing");
}

#[test]
fn ten_thousand_brackets() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let deep = format!("{}1{}", open.repeat(10_000), close.repeat(10_000));
        for line in [
            deep.clone(),
            open.repeat(10_000),
            format!(r#"{{"ts":"2026-10-01T00:00:00Z","type":"x","payload":{{"deep":{deep}}}}}"#),
        ] {
            if let Ok(event) = take(&line) {
                let kept = event["payload"].as_str().unwrap();
                assert_eq!(kept.matches(open.chars().next().unwrap()).count(), line.matches(open).count());
            }
        }
    }
}

#[test]
fn bytes_that_are_no_text_are_no_event() {
    let (head, tail) = (r#"{"ts":"2026-10-01T00:00:00Z","type":"annotation","payload":{"note":""#, r#""}}"#);
    let line = |middle: &[u8]| [head.as_bytes(), middle, tail.as_bytes()].concat();
    for middle in [&b"\xff\xfe"[..], b"\xc3", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\xc0\x80", b"a\0b"] {
        assert_eq!(take(line(middle)), Err("encoding".to_owned()), "{middle:?}");
    }
    assert_eq!(take(line(b"\x01")), Err("not_json".to_owned()));
    // Half a character stands for one that was lost: the rest of the record is kept.
    for (lone, kept) in [
        (r"\ud800", "\u{fffd}"),
        (r"\udc00", "\u{fffd}"),
        (r"\ud800x", "\u{fffd}x"),
        (r"\ud800\ud800", "\u{fffd}\u{fffd}"),
        (r"\udc00\ud800", "\u{fffd}\u{fffd}"),
    ] {
        assert_eq!(take(line(lone.as_bytes())).unwrap()["note"], kept, "{lone}");
    }
    assert_eq!(take(line(br"a\u0000b")).unwrap()["note"], "a\0b");
    assert_eq!(take(line(br"\ud83d\ude00")).unwrap()["note"], "\u{1f600}");
    assert!(take(vec![0; 1000]).is_err());
}

#[test]
fn of_duplicate_keys_the_last_counts() {
    let place = Place::new();
    let plain = r#"{"ts":"2026-10-01T00:00:00Z","type":"annotation","payload":{"note":"last","more":2}}"#;
    place.ingest(&[&place.write("plain.ndjson", plain)]);
    for twice in [
        r#"{"ts":"2026-10-01T00:00:00Z","type":"annotation","payload":{"note":"first","note":"last","more":2}}"#,
        r#"{"ts":"2026-10-01T00:00:00Z","type":"annotation","payload":{"note":"last","more":1,"more":2}}"#,
        r#"{"ts":"2025-01-01T00:00:00Z","type":"x","type":"annotation","ts":"2026-10-01T00:00:00Z","payload":{"note":"last","more":2}}"#,
        r#"{"payload":{"note":"other"},"ts":"2026-10-01T00:00:00Z","type":"annotation","payload":{"note":"last","more":2}}"#,
        r#"{"ts":"2026-10-01T00:00:00Z","type":"annotation","payload":{"n\u006fte":"first","note":"last","more":2}}"#,
    ] {
        assert_eq!(place.ingest(&[&place.write("twice.ndjson", twice)]), [1, 0, 1, 0], "{twice}");
    }
}

#[test]
fn numbers_beyond_64_bits_keep_their_digits() {
    let take_number = |digits: &str| {
        take(format!(
            r#"{{"ts":"2026-10-01T00:00:00Z","type":"annotation","payload":{{"note":"n","big":{digits},"in":[{{"it":{digits}}}]}}}}"#
        ))
        .map(|event| event["payload"].as_str().unwrap().to_lowercase().replace("e+", "e"))
    };
    let kept =
        |digits: &str, payload: &str| assert_eq!(payload.matches(digits).count(), 2, "{digits} became {payload}");
    for digits in ["123456789012345678901234567890", "-123456789012345678901234567890", "18446744073709551616", "1e400"]
    {
        kept(digits, &take_number(digits).unwrap_or_else(|reason| panic!("{digits}: {reason}")));
    }
    // Too small for 64 bits: not zero.
    if let Ok(payload) = take_number("-2.5e-400") {
        kept("-2.5e-400", &payload);
    }
    // In a typed column there is no room for them: they stay in the payload, and the field is marked.
    let typed =
        r#"{"ts":"2026-10-01T00:00:00Z","type":"edit","payload":{"file":"f","lines_added":123456789012345678901}}"#;
    let event = take(typed).unwrap();
    assert!(event["payload"].as_str().unwrap().contains("123456789012345678901"), "{event}");
    assert!(event["lines_added"].is_null() && event["impossible"].to_string().contains("lines_added"), "{event}");
}

#[test]
fn odd_timestamps_are_utc_or_rejects() {
    let at = |ts: &str| {
        take(format!(r#"{{"ts":"{ts}","type":"annotation","payload":{{"note":"n"}}}}"#))
            .map(|event| event["ts"].as_str().unwrap().to_owned())
    };
    for (given, utc) in [
        ("2026-10-01T00:00:00+14:00", "2026-09-30T10:00:00"),
        ("2026-10-01T00:00:00-23:59", "2026-10-01T23:59:00"),
        ("2026-10-01T00:00:00+05:45", "2026-09-30T18:15:00"),
        ("2026-10-01t00:00:00z", "2026-10-01T00:00:00"),
        ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00"),
        ("2026-10-01T00:00:00.123456Z", "2026-10-01T00:00:00.123456"),
    ] {
        let kept = at(given).unwrap_or_else(|reason| panic!("{given}: {reason}"));
        assert!(kept.replace(' ', "T").starts_with(utc), "{given} became {kept}");
    }
    for unusable in [
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59Z",
        "9999-12-31T23:59:59-23:59",
        "1970-01-01T00:00:00+00:01",
        "2200-01-01T00:00:00Z",
        "99999-01-01T00:00:00Z",
        "-2026-10-01T00:00:00Z",
        "2026-02-30T00:00:00Z",
        "2026-10-01T24:00:00Z",
        "2026-10-01T00:00:00+99:99",
        "2026-10-01T00:00:00",
        "",
    ] {
        assert_eq!(at(unusable), Err("timestamp".to_owned()), "{unusable}");
    }
    // Leap seconds: that instant or no event.
    if let Ok(kept) = at("2016-12-31T23:59:60Z") {
        let kept = kept.replace(' ', "T");
        assert!(kept.starts_with("2016-12-31T23:59:59") || kept.starts_with("2017-01-01T00:00:00"), "{kept}");
    }
}

#[test]
fn mostly_garbage_is_refused_before_anything_is_committed() {
    let place = Place::new();
    let lines = |events: u64, broken: u64| {
        let broken = (0..broken).map(|i| format!("garbage {i}"));
        (0..events).map(|i| note(i, &format!("{events} {i}"))).chain(broken).collect::<Vec<_>>().join("\n")
    };
    let (clean, dirty) = (lines(1_999, 2), lines(2_997, 4));
    let (clean, dirty) = (place.write("clean.ndjson", clean), place.write("dirty.ndjson", dirty));
    let refuse = |place: &Place| {
        let ended = place.run(&["ingest", &dirty, "--reject-limit", "0.1%"]);
        assert_eq!(ended.code, 1, "{}", ended.err);
        assert!(ended.err.contains("4 of 3001 events were rejected"), "{}", ended.err);
    };
    refuse(&place);
    assert!(!place.path("lake/staging").exists(), "nothing was there, and nothing is");
    assert_eq!(place.ingest(&[&clean, "--reject-limit", "0.1%"]), [2_001, 1_999, 0, 2]);
    let before = place.lake_files();
    refuse(&place);
    assert!(before == place.lake_files(), "not one file changed");
}
