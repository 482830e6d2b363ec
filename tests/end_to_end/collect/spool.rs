//! The folder of `--spool`: killed, full, bounded, and always what `ingest` can take.

use super::{Collector, events};
use crate::disk::Disk;
use crate::program::Place;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Heartbeats an hour apart: an event each.
fn export(place: &Place, n: usize) -> String {
    let beats: Vec<Value> = (0..n)
        .map(|i| json!({"entity": format!("/home/jane/api/src/{i}-{}.rs", "x".repeat(200)), "project": "api", "time": 1_790_000_000 + 3600 * i}))
        .collect();
    place.write("export.json", Value::Array(beats).to_string())
}

fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let all = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    all.filter(|path| path.extension().is_some_and(|it| it == ending)).collect()
}

#[test]
fn the_bound_holds_and_what_was_dropped_is_written_down() {
    let place = Place::new();
    let export = export(&place, 8000);
    let answer = place.json(&["collect", "editor", "--file", &export, "--spool", "spool", "--spool-max", "1MiB"]);
    assert_eq!(answer["events"], 8000);
    let dropped = answer["dropped"].as_u64().unwrap();
    assert!(dropped > 1000, "{answer}");
    let size: u64 = std::fs::read_dir(place.path("spool")).unwrap().map(|e| e.unwrap().metadata().unwrap().len()).sum();
    assert!((512 << 10..=1 << 20).contains(&size), "{size}");
    let [read, accepted, _, rejected] = place.ingest(&["spool"]);
    assert_eq!((read, rejected), (accepted, 0));
    let edits = place.sql("select count(*) as n from staging.events where type = 'edit'")[0]["n"].as_u64().unwrap();
    let remarks = place.sql("select payload from staging.events where type = 'annotation'");
    assert!(!remarks.is_empty() && remarks[0]["payload"].as_str().unwrap().contains("dropped_events"), "{remarks:?}");
    // A dropped file may hold the remark on an earlier one.
    assert!((8000..8000 + 200).contains(&(edits + dropped)), "{edits} + {dropped}");
    let small = place.run(&["collect", "editor", "--file", &export, "--spool", "spool", "--spool-max", "1KiB"]);
    assert_eq!(small.code, 2, "{}", small.err);
}

#[test]
fn a_kill_loses_nothing_that_was_written() {
    let place = Place::new();
    let work = place.path("work");
    std::fs::create_dir(&work).unwrap();
    let mut collector = Collector::start(&place, &["files", "--watch", "work", "--spool", "spool"]);
    collector.says("watching");
    for n in 0..500 {
        place.write(&format!("work/{n}.rs"), "x");
    }
    // The remark on so many files is written two seconds after the last of them.
    let began = std::time::Instant::now();
    let part = || files(&place.path("spool"), "part").pop().filter(|path| path.metadata().unwrap().len() > 0);
    while part().is_none() {
        assert!(began.elapsed().as_secs() < 20, "nothing was written");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    collector.signal("-KILL");
    assert_eq!(collector.end().0, -1);
    let part = part().unwrap();
    std::fs::write(&part, std::fs::read_to_string(&part).unwrap() + "{\"ts\":\"2026-").unwrap();
    assert_eq!(place.run(&["ingest", "spool"]).code, 1, "half a file is none for ingest");
    place.json(&["collect", "editor", "--file", &export(&place, 1), "--spool", "spool"]);
    assert!(files(&place.path("spool"), "part").is_empty());
    let [_, accepted, _, rejected] = place.ingest(&["spool"]);
    assert_eq!((accepted, rejected), (2, 0));
}

#[test]
fn a_full_disk_is_said_and_a_later_collection_goes_on() {
    let Some(disk) = Disk::mount(8) else { return };
    let place = Place::new();
    let spool = disk.path().join("spool").display().to_string();
    let arguments = ["collect", "editor", "--file", &export(&place, 400), "--spool", &spool];
    let filler = disk.fill(40_000);
    let full = place.run(&arguments);
    assert_eq!(full.code, 1, "{}", full.err);
    assert!(full.err.contains("No space left on device"), "{}", full.err);
    assert!(full.err.contains("could not be written") && full.err.contains("hint:"), "{}", full.err);
    // Whole lines or nothing.
    for file in files(disk.path().join("spool").as_ref(), "ndjson") {
        events(&std::fs::read_to_string(file).unwrap());
    }
    std::fs::remove_file(filler).unwrap();
    assert_eq!(place.run(&arguments).code, 0);
    let [_, _, _, rejected] = place.ingest(&[&spool]);
    assert_eq!(rejected, 0);
    assert_eq!(place.sql("select count(*) as n from staging.events where type = 'edit'")[0]["n"], 400);
}

#[test]
fn stdout_that_nobody_reads_ends_it_and_json_has_its_place() {
    let place = Place::new();
    let export = export(&place, 5000);
    let mut child = place
        .command(&["collect", "editor", "--file", &export])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(0), "{}", String::from_utf8_lossy(&ended.stderr));
    assert!(!String::from_utf8_lossy(&ended.stderr).contains("error"));
    let both = place.run(&["--json", "collect", "editor", "--file", &export]);
    assert_eq!(both.code, 2, "{}", both.err);
    let mut full = place.command(&["collect", "editor", "--file", &export]);
    full.stdout(std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap());
    assert_eq!(full.status().unwrap().code(), Some(1));
}
