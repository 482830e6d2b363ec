//! Files as people have them: in other encodings, packed by other tools, one document behind the other, with something
//! before them, or of no format at all.

use crate::program::{Place, counts};
use serde_json::{Value, json};
use std::io::Write;

const NOTE: &str = r#"{"ts":"2026-11-10T09:00:00Z","type":"annotation","developer":"zoequux","payload":{"note":"mail zoequux@example.org"}}"#;

fn note(text: &str) -> String {
    format!(r#"{{"ts":"2026-11-10T09:00:00Z","type":"annotation","payload":{{"note":"{text}"}}}}"#)
}

fn utf16(text: &str, little: bool) -> Vec<u8> {
    text.encode_utf16().flat_map(|unit| if little { unit.to_le_bytes() } else { unit.to_be_bytes() }).collect()
}

fn utf32(text: &str, little: bool) -> Vec<u8> {
    let bytes = |char: char| if little { u32::from(char).to_le_bytes() } else { u32::from(char).to_be_bytes() };
    text.chars().flat_map(bytes).collect()
}

fn gzip(text: &str) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(text.as_bytes()).unwrap();
    gzip.finish().unwrap()
}

fn zstd(text: &str) -> Vec<u8> {
    zstd::encode_all(text.as_bytes(), 3).unwrap()
}

/// Whether a text, in any encoding, is in the lake.
fn holds(place: &Place, text: &str) -> bool {
    let shown = serde_json::to_string(&place.staging()).unwrap().to_lowercase();
    let spaced: String = text.chars().flat_map(|char| [char, '\0']).collect();
    let escaped: String = text.chars().map(|char| format!("{char}\\u0000")).collect();
    [text, &spaced, &escaped].iter().any(|text| shown.contains(*text))
}

fn reasons(place: &Place) -> Vec<(String, String, u64)> {
    let text = |row: &Value, key: &str| row[key].as_str().unwrap().to_owned();
    let rows = place.sql("select reason, text, length from staging.rejects order by line, reason");
    rows.iter().map(|row| (text(row, "reason"), text(row, "text"), row["length"].as_u64().unwrap())).collect()
}

#[test]
fn every_unicode_encoding_gives_the_same_event_and_names_nobody() {
    let plain = Place::new();
    plain.ingest(&[&plain.write("a.ndjson", format!("{NOTE}\n"))]);
    let want = plain.staging();
    assert!(!holds(&plain, "zoequux"), "{want:?}");
    type Encode<'f> = &'f dyn Fn(&str) -> Vec<u8>;
    let encodings: [(&str, Encode); 5] = [
        ("utf-8", &|text| text.as_bytes().to_vec()),
        ("utf-16le", &|text| utf16(text, true)),
        ("utf-16be", &|text| utf16(text, false)),
        ("utf-32le", &|text| utf32(text, true)),
        ("utf-32be", &|text| utf32(text, false)),
    ];
    for (name, encode) in encodings {
        for text in [format!("{NOTE}\n"), format!("\u{feff}{NOTE}\r\n"), NOTE.to_owned()] {
            let place = Place::new();
            assert_eq!(place.ingest(&[&place.write("a.ndjson", encode(&text))]), [1, 1, 0, 0], "{name} {text:?}");
            assert_eq!(place.staging(), want, "{name}");
        }
    }
    // What PowerShell's >> does to a file of UTF-8, and a byte order mark between two lines.
    let place = Place::new();
    let (first, last) = (note("a"), note("b"));
    let mixed = [first.as_bytes(), b"\n", &utf16(&format!("{NOTE}\r\n"), true), "\u{feff}".as_bytes(), last.as_bytes()];
    assert_eq!(place.ingest(&[&place.write("a.ndjson", mixed.concat())]), [3, 3, 0, 0]);
    assert!(!holds(&place, "zoequux"));
}

#[test]
fn of_what_cannot_be_decoded_only_length_and_hash_are_kept() {
    let place = Place::new();
    let broken = r#"note by zoequux, mail zoequux@example.org, password=hunter22"#;
    let latin1: Vec<u8> = NOTE.replace("mail", "mail zoë").chars().map(|char| char as u8).collect();
    let files = [
        utf16(&format!("{broken}\n"), true),
        utf16(&format!("\u{feff}{broken}\n"), false),
        utf32(&format!("{broken}\n"), true),
        latin1.clone(),
        [b"x\0".to_vec(), utf16(broken, true)].concat(),
        // Cut off inside a letter, and another encoding inside a line.
        utf16(NOTE, true)[..121].to_vec(),
        [utf16(NOTE, true), NOTE.as_bytes().to_vec()].concat(),
    ];
    for (at, bytes) in files.iter().enumerate() {
        let counts = place.ingest(&[&place.write(&format!("{at}.ndjson"), bytes)]);
        assert_eq!((counts[1], counts[3]), (0, 1), "{at}");
    }
    for (reason, text, length) in reasons(&place) {
        assert_eq!((reason.as_str(), text.as_str()), ("encoding", ""));
        assert!(length > 0);
    }
    assert!(!holds(&place, "zoequux") && !holds(&place, "hunter22"));
    let again = place.json(&["ingest", "--retry-rejects", &place.path(".").display().to_string()]);
    assert_eq!(again["accepted"], 0, "{again}");
    assert!(!holds(&place, "zoequux") && !holds(&place, "hunter22"));
}

/// One job of GitHub's API.
fn job(id: u64) -> Value {
    json!({"id": id, "run_id": 9, "run_attempt": 1, "head_sha": "a", "status": "completed", "name": format!("job {id}"),
        "url": "https://api.github.com/repos/acme/api/actions/jobs/1", "started_at": "2026-11-10T09:00:00Z",
        "completed_at": "2026-11-10T09:05:00Z", "conclusion": "success"})
}

#[test]
fn documents_one_behind_the_other_are_all_read() {
    let page = |ids: &[u64]| json!({"total_count": 4, "jobs": ids.iter().map(|id| job(*id)).collect::<Vec<_>>()});
    let (first, second) = (page(&[1, 2]), page(&[3, 4]));
    let pretty = |value: &Value| serde_json::to_string_pretty(value).unwrap();
    for (name, dump) in [
        ("compact", format!("{first}{second}\n")),
        ("lines", format!("{first}\n\n{second}")),
        ("pretty", format!("{}{}", pretty(&first), pretty(&second))),
        ("pretty lines", format!("{}\n{}\n", pretty(&first), pretty(&second))),
        ("pretty with CRLF", format!("{}\n{}\n", pretty(&first), pretty(&second)).replace('\n', "\r\n")),
        ("marks", format!("\u{feff}{}\u{feff}{second}\n\u{feff}{{}}", pretty(&first)).replace("\n\u{feff}{}", "")),
        ("arrays", format!("[{},{}][{},{}]", job(1), job(2), job(3), job(4))),
        ("pages in an array", format!("[{first},\n{second}]")),
        ("an array a line", format!("[{}\n,{}\n,{},{}\n]\n", job(1), job(2), job(3), job(4))),
        ("one pretty, some lines", format!("{}\n{}\n{}\n", pretty(&first), job(3), job(4))),
    ] {
        let place = Place::new();
        assert_eq!(place.ingest(&[&place.write("a.json", dump)]), [4, 4, 0, 0], "{name}");
    }
    // A line that was cut off costs nothing but itself.
    let place = Place::new();
    let torn = format!("{}\n{}\n{}{}\n", note("a"), &note("b")[..40], note("c"), note("d"));
    assert_eq!(place.ingest(&[&place.write("a.ndjson", torn)]), [4, 3, 0, 1]);
}

#[test]
fn archives_are_read_as_their_own_tools_read_them() {
    let (a, b) = (format!("{}\n", note("a")), format!("{}\n", note("b")));
    let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0][..], &[80, 0, 0, 0]].concat();
    let framed = |text: &str| {
        let frame = zstd(text);
        [&(frame.len() as u32).to_be_bytes()[..], &frame].concat()
    };
    for (name, bytes) in [
        ("pzstd.json.zst", [skippable.clone(), zstd(&a), skippable, zstd(&b)].concat()),
        ("padded.json.gz", [gzip(&a), gzip(&b), vec![0; 1000]].concat()),
        ("collector.json", [framed(a.trim()), framed(b.trim())].concat()),
        ("utf-16.json.gz", {
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            gzip.write_all(&utf16(&format!("\u{feff}{a}{b}"), true)).unwrap();
            gzip.finish().unwrap()
        }),
    ] {
        let place = Place::new();
        assert_eq!(place.ingest(&[&place.write(name, bytes)]), [2, 2, 0, 0], "{name}");
    }
}

#[test]
fn with_keep_going_a_broken_dump_brings_nothing_and_the_rest_is_one_commit() {
    let place = Place::new();
    let whole = place.write("a.ndjson", note("a"));
    let many: String = (0..20_000).map(|at| note(&format!("b{at}")) + "\n").collect();
    let zst = zstd(&many);
    let cut = place.write("b.ndjson.zst", &zst[..zst.len() - 20]);
    let bad = place.write("c.ndjson.gz", [gzip(&many), b"more".to_vec()].concat());
    let good = place.write("d.ndjson.gz", [gzip(&note("d")), vec![0; 5]].concat());
    let ended = place.run(&["ingest", &whole, &cut, &bad, &good]);
    assert_eq!(ended.code, 1, "{}", ended.err);
    assert!(ended.err.contains("b.ndjson.zst"), "{}", ended.err);
    assert!(!place.path("lake/staging/events/_delta_log/00000000000000000000.json").exists());

    let ended = place.run(&["--json", "ingest", "--keep-going", &whole, &cut, &bad, &good, "nowhere.ndjson"]);
    assert_eq!(ended.code, 3, "{}", ended.err);
    let report: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(counts(&report), [2, 2, 0, 0], "{report}");
    let broken: Vec<&str> =
        report["broken"].as_array().unwrap().iter().map(|b| b["source"].as_str().unwrap()).collect();
    assert_eq!(broken, ["nowhere.ndjson", &cut, &bad]);
    assert_eq!(report["version"], 0);
    let ended = place.run(&["ingest", "--keep-going", &whole, &cut]);
    assert_eq!(ended.code, 3, "{}", ended.err);
    assert!(ended.out.contains("left out") && ended.out.contains("b.ndjson.zst"), "{}", ended.out);
    assert_eq!(place.run(&["ingest", "--keep-going", &cut]).code, 1);
    assert_eq!(place.run(&["ingest", "--keep-going", &whole]).code, 0);
}

#[test]
fn what_stands_before_the_real_dump_does_not_hide_it() {
    let point = |second: u64, value: u64| {
        json!({"resourceMetrics": [{"resource": {"attributes": [
        {"key": "container.name", "value": {"stringValue": "runner"}}]}, "scopeMetrics": [{"metrics": [
        {"name": "container.cpu.usage.total", "unit": "ns", "sum": {"aggregationTemporality": 2, "isMonotonic": true,
         "dataPoints": [{"timeUnixNano": (1_794_301_210 + second) * 1_000_000_000, "asInt": value * 1_000_000_000}]}}]}]}]})
    };
    let dump = format!("{}\n{}\n", point(0, 100), point(10, 105));
    for (before, rejected) in [
        ("", 0),
        ("{\"level\":\"info\",\"msg\":\"ready\"}\n", 1),
        ("{}\n", 1),
        ("\n\n  \n", 0),
        ("2026-11-10 INFO everything is ready\n[2026-11-10 09:00:00] ready\n", 2),
        ("{\n  \"level\": \"info\"\n}\n", 1),
        ("{\"type\":\"log\",\"msg\":\"ready\"}\n", 1),
    ] {
        let place = Place::new();
        let [_, accepted, _, refused] = place.ingest(&[&place.write("a.ndjson", format!("{before}{dump}"))]);
        assert_eq!((accepted, refused), (1, rejected), "{before:?}");
        assert_eq!(place.sql("select cpu_cores from staging.events")[0]["cpu_cores"], 0.5);
    }
}

#[test]
fn an_unknown_format_is_called_by_its_name() {
    let old = json!({"type": "PushEvent", "actor": "zoequux", "actor_attributes": {"login": "zoequux"},
        "repository": {"name": "r", "owner": "o"}, "created_at": "2012/03/11 00:00:00 -0700", "payload": {}});
    let hook = json!({"action": "opened", "pull_request": {"number": 1}, "repository": {"full_name": "a/b"}, "sender": {"login": "zoequux"}});
    for (name, dump, says) in [
        ("a.json", old.to_string(), "GH Archive before 2015"),
        ("b.json", serde_json::to_string_pretty(&hook).unwrap(), "webhook"),
        ("c.json", "run,conclusion,duration\n7,success,5\n".to_owned(), "CSV"),
        ("d.json", "<?xml version=\"1.0\"?>\n<testsuites/>\n".to_owned(), "XML"),
        ("e.json", "{\"level\":\"info\"}\n{\"level\":\"warn\"}\n".to_owned(), "\"ts\" and \"type\""),
    ] {
        let place = Place::new();
        let path = place.write(name, &dump);
        let report = place.json(&["ingest", &path]);
        assert_eq!(report["reasons"].as_object().unwrap().keys().collect::<Vec<_>>(), ["unknown_format"], "{report}");
        let said = report["unknown"][&path].as_str().unwrap();
        assert!(said.contains(says) && said.contains("known are native, github"), "{said}");
        let detail = place.sql("select detail from staging.rejects")[0]["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(says), "{detail}");
        assert!(!holds(&place, "zoequux"));
        let people = place.run(&["ingest", &path]);
        assert!(people.out.contains("unknown format"), "{}", people.out);
    }
}
