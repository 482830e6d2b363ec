//! Rejects taken again: what has become an event leaves them, what has not stays, and nothing is lost or doubled.

use crate::files::same_staging;
use crate::program::Place;
use crate::program::say;
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A line of a GitHub timeline: a reject as a native event. With a `person`, its kept text is not whole.
fn entry(number: u64, person: Option<&str>) -> String {
    let day = 1 + number % 28;
    let mut entry = json!({"_repo": "acme/api", "_number": number, "_kind": "event", "event": "labeled",
        "created_at": format!("2026-10-{day:02}T00:00:00Z"), "label": format!("l{number}")});
    if let Some(person) = person {
        entry["actor"] = json!({"login": person});
    }
    // Spaces, so that the text is not what this program would write.
    entry.to_string().replace("\":", "\" : ")
}

/// Accepted, duplicates, rejected, unreadable.
fn retry(place: &Place, arguments: &[&str]) -> [u64; 4] {
    let mut all = vec!["ingest", "--retry-rejects"];
    all.extend(arguments);
    let report = place.json(&all);
    let count = |name: &str| report[name].as_u64().unwrap();
    let counts = ["accepted", "duplicates", "rejected", "unreadable"].map(count);
    assert_eq!(count("retried"), counts.iter().sum::<u64>(), "{report}");
    assert_eq!(report.get("version").is_some(), counts[0] > 0, "{report}");
    counts
}

fn reasons(place: &Place) -> Vec<String> {
    let rows = place.sql("select reason from staging.rejects order by reason");
    rows.iter().map(|row| row["reason"].as_str().unwrap().to_owned()).collect()
}

/// The same lines, ingested as what they are.
fn rightly(lines: &str) -> Vec<Value> {
    let place = Place::new();
    place.ingest(&[&place.write("dump.ndjson", lines), "--format", "github"]);
    let [events, rejects] = place.staging();
    assert_eq!(rejects, Vec::<Value>::new());
    events
}

#[test]
fn without_rejects_there_is_nothing_to_do() {
    let place = Place::new();
    let ended = place.run(&["ingest", "--retry-rejects"]);
    assert_eq!(ended.code, 1, "{}", ended.out);
    assert!(ended.err.contains("is no lake"), "{}", ended.err);
    place.ingest(&[&place.write("one.ndjson", crate::dumps::note(1, "n"))]);
    let before = place.lake_files();
    assert_eq!(retry(&place, &[]), [0; 4]);
    assert_eq!(place.lake_files(), before);
    for wrong in [&["--reject-limit", "1"][..], &["--list-accepted"], &["--keep-going"]] {
        let ended = place.run(&[&["ingest", "--retry-rejects"], wrong].concat());
        assert_eq!(ended.code, 2, "{wrong:?}: {}", ended.err);
    }
}

#[test]
fn what_was_read_as_another_format_is_taken_from_its_dump() {
    let lines: Vec<String> = (1..50).map(|n| entry(n, Some("ann"))).collect();
    let lines = lines.join("\r\n");
    for (format, packed) in [("auto", false), ("github", true)] {
        let place = Place::new();
        let mut dump = place.write("dump.ndjson", &lines);
        if packed {
            assert!(Command::new("gzip").arg(&dump).status().unwrap().success());
            dump.push_str(".gz");
        }
        let other = place.write("other.ndjson", "{\"ts\":3}\nno JSON\n");
        assert_eq!(place.ingest(&[&dump, &other, "--format", "native"]), [51, 0, 0, 51]);
        assert_eq!(retry(&place, &[&dump, &other, "--format", format]), [49, 0, 2, 0]);
        assert_eq!(place.staging()[0], rightly(&lines));
        assert_eq!(reasons(&place), ["not_json", "type"], "as they were, whatever they were taken for");
        assert_eq!(retry(&place, &[&dump, &other, "--format", format]), [0, 0, 2, 0]);
        assert_eq!(place.ingest(&[&dump]), [49, 0, 49, 0], "the same events");
        let check = place.run(&["--now", "2026-11-01T00:00:00Z", "check"]);
        assert_eq!(check.code, 0, "{}{}", check.out, check.err);
    }
}

#[test]
fn when_the_dump_is_gone_or_has_changed_the_kept_text_is_taken() {
    let place = Place::new();
    let gone = place.write("gone.ndjson", [entry(1, None), entry(2, Some("ann"))].join("\n"));
    let changed = place.write("changed.ndjson", [entry(3, None), entry(4, Some("ann"))].join("\n"));
    let long = format!("{{\"ts\":\"2026-10-01T00:00:00Z\",\"type\":3,\"payload\":\"{}\"}}", "x".repeat(70_000));
    place.ingest(&[&place.write("long.ndjson", long), &gone, &changed, "--format", "native"]);
    for dump in [&gone, &place.path("long.ndjson").display().to_string()] {
        std::fs::remove_file(dump).unwrap();
    }
    // Events all of them, but not those that were rejected.
    std::fs::write(&changed, [entry(13, None), entry(14, Some("ann"))].join("\n")).unwrap();
    assert_eq!(retry(&place, &[&changed]), [2, 0, 0, 3]);
    assert_eq!(place.staging()[0], rightly(&[entry(1, None), entry(3, None)].join("\n")));
    assert_eq!(reasons(&place), ["timestamp", "type", "type"].map(|_| "type"));
    assert_eq!(retry(&place, &[&changed]), [0, 0, 0, 3]);

    // One of them is found again, once it is named.
    std::fs::write(&gone, [entry(21, None), entry(2, Some("ann"))].join("\n")).unwrap();
    assert_eq!(retry(&place, &[&changed]), [0, 0, 0, 3]);
    assert_eq!(retry(&place, &["gone.ndjson"]), [1, 0, 0, 2], "a name from here is the same dump");
}

#[test]
fn no_dump_is_opened_because_a_lake_names_it() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}/dump.ndjson", listener.local_addr().unwrap());
    let place = Place::new();
    let lines = entry(1, Some("ann"));
    let dump = place.write("dump.ndjson", &lines);
    place.ingest(&[&dump, "--format", "native"]);
    // A lake that was handed over names what it likes.
    let rewritten = place.run(&[
        "sql",
        &format!("select * replace ('{url}' as source) from staging.rejects"),
        "--format",
        "parquet",
        "-o",
        "rejects.parquet",
    ]);
    assert_eq!(rewritten.code, 0, "{}", rewritten.err);
    let log = place.read("lake/staging/rejects/_delta_log/00000000000000000000.json");
    let add: Value = log
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .find(|line| line.get("add").is_some())
        .unwrap();
    let part = add["add"]["path"].as_str().unwrap();
    let size = add["add"]["size"].as_u64().unwrap();
    let new = std::fs::read(place.path("rejects.parquet")).unwrap();
    std::fs::write(place.path(&format!("lake/staging/rejects/{part}")), &new).unwrap();
    let log = log.replace(&format!("\"size\":{size}"), &format!("\"size\":{}", new.len()));
    place.write("lake/staging/rejects/_delta_log/00000000000000000000.json", log);
    assert_eq!(retry(&place, &[&dump]), [0, 0, 0, 1]);
    assert_eq!(retry(&place, &[]), [0, 0, 0, 1]);
    assert!(listener.accept().is_err(), "somebody connected");
}

#[test]
fn what_came_by_a_pipe_is_taken_from_its_text() {
    let place = Place::new();
    let dump = place.write("dump.ndjson", [entry(1, None), entry(2, None)].join("\n"));
    let mut command = place.command(&["ingest", "-", "--format", "native"]);
    let ended = command.stdin(std::fs::File::open(dump).unwrap()).output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    assert_eq!(retry(&place, &[]), [2, 0, 0, 0]);
    assert_eq!(place.staging()[1], Vec::<Value>::new());
}

#[test]
fn events_of_a_batch_are_found_one_by_one() {
    let good = r#"{"ts":"2026-10-01T00:00:00Z","type":"annotation","payload":{"note":"n"}}"#;
    let bad = r#"{"ts":"2026-10-01T00:00:00Z","type":"annotation","payload":{"other":1}}"#;
    let place = Place::new();
    let batch = format!("{{\"repo\":\"a/b\",\"developer\":\"ann\",\"events\":[{good},{bad},7]}}");
    let dump = place.write("batch.ndjson", format!("\n{batch}\n{good}\n"));
    assert_eq!(place.ingest(&[&dump]), [4, 2, 0, 2]);
    let before = place.staging();
    assert_eq!(retry(&place, &[&dump]), [0, 0, 2, 0]);
    // A corrected dump is another one: nothing of it is taken.
    std::fs::write(&dump, format!("\n{}\n", batch.replace("other\":1", "note\":\"new\""))).unwrap();
    assert_eq!(retry(&place, &[&dump]), [0, 0, 1, 1]);
    assert!(place.staging() == before);

    // A dump that is one JSON text as a whole.
    let place = Place::new();
    let whole = place.write("whole.json", format!("[{},\n{},\n{{\"a\":1}}]", entry(1, Some("ann")), entry(2, None)));
    assert_eq!(place.ingest(&[&whole, "--format", "native"]), [3, 0, 0, 3]);
    assert_eq!(retry(&place, &[&whole]), [2, 0, 1, 0]);
    assert_eq!(place.staging()[0], rightly(&[entry(1, Some("ann")), entry(2, None)].join("\n")));
}

#[test]
fn samples_of_a_counter_are_read_in_their_order_and_only_from_their_dump() {
    let line = |second: u64, value: u64| {
        let second = 1_790_000_000 + second;
        format!("container_cpu_usage_seconds_total{{namespace=\"a\",pod=\"p\",container=\"c\"}} {value} {second}")
    };
    let dump = [line(0, 0), line(60, 30), line(120, 90)].join("\n");
    let (right, place) = (Place::new(), Place::new());
    right.ingest(&[&right.write("dump.ndjson", &dump)]);
    let events = right.staging()[0].len() as u64;
    assert!(events > 0);
    let path = place.write("dump.ndjson", &dump);
    place.ingest(&[&path, "--format", "native"]);
    std::fs::rename(&path, place.path("away")).unwrap();
    assert_eq!(retry(&place, &[]), [0, 0, 0, 3]);
    std::fs::rename(place.path("away"), &path).unwrap();
    assert_eq!(retry(&place, &[]), [0, 0, 0, 3], "it is there, and nobody named it");
    assert_eq!(retry(&place, &[&path])[0], events);
    assert!(place.staging() == right.staging());
}

#[test]
fn killed_at_any_moment_and_taken_again_the_lake_is_that_of_an_uninterrupted_retry() {
    const LINES: u64 = 20_000;
    let lines: Vec<String> = (0..LINES).map(|n| entry(n, (n % 2 == 0).then_some("ann"))).collect();
    let template = Place::new();
    let dump = template.write("dump.ndjson", lines.join("\n"));
    let junk = template.write("junk.ndjson", "junk\n");
    template.ingest(&[&dump, &junk, "--format", "native"]);
    let copy = || {
        let place = Place::new();
        let copied = Command::new("cp").arg("-r").arg(template.path("lake")).arg(place.path("lake")).status();
        assert!(copied.unwrap().success());
        place
    };
    let want = copy();
    let began = Instant::now();
    assert_eq!(retry(&want, &[&dump, &junk]), [LINES, 0, 1, 0]);
    let took = began.elapsed();
    let (mut killed, mut between) = (0, 0);
    let mut kill_after = |moment: &mut dyn FnMut(&Path)| {
        let place = copy();
        let mut command = place.command(&["ingest", "--retry-rejects", &dump, &junk]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        moment(&place.path("lake/staging/events/_delta_log"));
        child.kill().unwrap();
        killed += u64::from(child.wait().unwrap().code().is_none());
        let [accepted, duplicates, rejected, unreadable] = retry(&place, &[&dump, &junk]);
        assert!([(LINES, 0), (0, LINES), (0, 0)].contains(&(accepted, duplicates)), "{accepted} {duplicates}");
        between += u64::from(duplicates > 0);
        assert_eq!((rejected, unreadable), (1, 0));
        assert!(same_staging(&place, &want));
    };
    for i in 0..10 {
        kill_after(&mut |_| std::thread::sleep(took * i / 10));
    }
    for _ in 0..3 {
        // As soon as the events are committed, before their rejects are gone.
        kill_after(&mut |log| {
            let began = Instant::now();
            while !log.join("00000000000000000000.json").exists() && began.elapsed() < Duration::from_secs(60) {
                std::thread::sleep(Duration::from_micros(200));
            }
        });
    }
    say(&format!("{killed} of 13 retries of {took:?} killed, {between} between their two commits"));
    assert!(killed > 5 && between > 0, "{killed} killed, {between} in between: this shows nothing");
}

#[test]
fn retries_and_ingests_at_once_take_every_event_once() {
    let place = Place::new();
    let lines: Vec<String> = (0..500).map(|n| entry(n, None)).collect();
    let dump = place.write("dump.ndjson", lines.join("\n"));
    place.ingest(&[&dump, "--format", "native"]);
    let spawn = |arguments: &[&str]| {
        let mut command = place.command(&[&["--json", "ingest"], arguments].concat());
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let junk: Vec<String> =
        (0..3).map(|i| place.write(&format!("junk{i}.ndjson"), format!("junk {i}\nall junk"))).collect();
    let mut children = vec![spawn(&["--retry-rejects"]), spawn(&["--retry-rejects"]), spawn(&[&dump])];
    children.extend(junk.iter().map(|junk| spawn(&[junk])));
    let mut accepted = 0;
    for child in children {
        let ended = child.wait_with_output().unwrap();
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        let report: Value = serde_json::from_slice(&ended.stdout).unwrap();
        accepted += report["accepted"].as_u64().unwrap();
    }
    assert_eq!(accepted, 500);
    let [events, rejects] = place.staging();
    assert_eq!((events.len(), rejects.len()), (500, 4));
    assert_eq!(events, rightly(&lines.join("\n")));
}
