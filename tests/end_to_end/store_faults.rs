//! A store that fails in the middle: whatever request of a command fails, and however, the same command again gives the
//! lake of an undisturbed run, and what took effect is told as done and never done twice.
//!
//! A writing command runs on object storage whose k-th write fails in one of the [`WAYS`]. Creates, the requests that
//! commit to a table or enter something into the ledger, all fail each time the tests run, in [`CREATE_WAYS`] (those of
//! `plan` and `predict`, which take seconds each time, in two of them); of the other writes, a sample fails.
//! `PIPELINE_TEST_ALL_FAULTS=1` fails every write in every way, also of `materialize` over all tables.

use crate::dumps::note;
use crate::files::{below, named_by_log};
use crate::program::{Ended, Place, checkout, end, say};
use crate::s3_server::{Bucket, Faults};
use crate::{predict, privacy};
use parquet::file::reader::{FileReader, SerializedFileReader};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How a write fails. Of the first two the command learns, and may fail; of the others it may not.
const WAYS: [&str; 6] = ["refused", "down", "lost", "closed", "hangs", "late=600"];

/// In which ways creates fail each time; as an object store may answer 500 or nothing at all.
const CREATE_WAYS: [&str; 4] = ["refused", "lost", "hangs", "late=600"];

/// Of the other writes of a command, how many fail in each way unless all do.
const SAMPLE: u64 = 2;

/// How long the program waits for an answer that does not come.
const TIMEOUT: &str = "400ms";

pub const NOW: &str = "2026-11-22T00:00:00Z";

/// A command and the lake that it meets.
struct Rig {
    bucket: Bucket,
    place: Place,
    command: Vec<String>,
    /// Copies of the lake and of the files beside it, from before the command.
    kept: tempfile::TempDir,
}

pub fn copy(from: &Path, to: &Path) {
    for file in below(from) {
        let to = to.join(file.strip_prefix(from).unwrap());
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(file, to).unwrap();
    }
}

/// Every row of every table, and what the documents of the lake and the target say, but for what no two runs have in
/// common: times of the clock, chance, file names.
pub fn state(lake: &Path, place: &Place) -> BTreeMap<String, Vec<String>> {
    let mut state = BTreeMap::new();
    let files = below(lake);
    let tables = files.iter().filter(|file| file.ends_with("_delta_log/00000000000000000000.json"));
    for table in tables.map(|file| file.parent().unwrap().parent().unwrap()) {
        let mut rows = Vec::new();
        for file in named_by_log(table).into_keys() {
            let partition = file.parent().unwrap().strip_prefix(table).unwrap().display().to_string();
            let reader = SerializedFileReader::new(std::fs::File::open(&file).unwrap()).unwrap();
            rows.extend(reader.get_row_iter(None).unwrap().map(|row| format!("{partition} {}", row.unwrap())));
        }
        rows.sort();
        state.insert(table.strip_prefix(lake).unwrap().display().to_string(), rows);
    }
    for file in files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "json")) {
        let name = file.strip_prefix(lake).unwrap().display().to_string();
        let text = std::fs::read_to_string(file).unwrap();
        if name.starts_with("journal/ledger/") {
            let entry: Value = serde_json::from_str(&text).unwrap();
            let what = ["seq", "action", "plan_id", "items", "who", "result"].map(|name| entry[name].clone());
            state.insert(name, vec![json!(what).to_string()]);
        } else if name == "journal/head.json" {
            let head: Value = serde_json::from_str(&text).unwrap();
            state.insert(name, vec![head["seq"].to_string()]);
        } else if name.starts_with("plans/") && !name.contains("_delta_log") || name == "erased.json" {
            state.insert(name, vec![text]);
        }
    }
    if place.path("compose.yaml").exists() {
        state.insert("compose.yaml".into(), vec![place.read("compose.yaml")]);
    }
    state
}

/// What differs, in few words.
pub fn difference(want: &BTreeMap<String, Vec<String>>, got: &BTreeMap<String, Vec<String>>) -> Option<String> {
    let names = want.keys().chain(got.keys().filter(|name| !want.contains_key(*name)));
    let differs = names.filter(|name| want.get(*name) != got.get(*name));
    let said = differs.map(|name| {
        let rows = |of: &BTreeMap<String, Vec<String>>| of.get(name).cloned().unwrap_or_default();
        let (want, got) = (rows(want), rows(got));
        let odd = want.iter().find(|row| !got.contains(row)).or_else(|| got.iter().find(|row| !want.contains(row)));
        let odd = odd.map_or_else(String::new, |row| row.chars().take(400).collect());
        format!("{name}: {} rows instead of {}: {odd}", got.len(), want.len())
    });
    let said: Vec<String> = said.collect();
    (!said.is_empty()).then(|| said.join("\n"))
}

impl Rig {
    fn new(prepare: impl FnOnce(Place) -> Place, command: &[&str]) -> Self {
        let bucket = Bucket::start();
        let place = prepare(Place::with(bucket.environment()));
        let kept = tempfile::tempdir().unwrap();
        copy(&bucket.objects(), &kept.path().join("objects"));
        copy(&place.path(""), &kept.path().join("files"));
        Self { bucket, place, command: command.iter().map(|word| (*word).to_owned()).collect(), kept }
    }

    fn lake(&self) -> PathBuf {
        self.bucket.objects().join("some/lake")
    }

    /// Everything as it was before the command.
    fn reset(&self) {
        for (folder, kept) in [(self.bucket.objects(), "objects"), (self.place.path(""), "files")] {
            for file in below(&folder) {
                std::fs::remove_file(file).unwrap();
            }
            copy(&self.kept.path().join(kept), &folder);
        }
    }

    /// Runs the command; one to which an answer may not come does not wait for it as long as usual.
    fn run(&self, way: &str) -> Ended {
        let words: Vec<&str> = self.command.iter().map(String::as_str).collect();
        let mut command = self.place.command(&words);
        if ["hangs", "late=600"].contains(&way) {
            command.env("AWS_TIMEOUT", TIMEOUT);
        }
        end(command)
    }

    fn state(&self) -> BTreeMap<String, Vec<String>> {
        state(&self.lake(), &self.place)
    }

    /// Fails one write of the command, in one way.
    fn fail(&self, at: u64, way: &str, which: &str, want: &BTreeMap<String, Vec<String>>) {
        self.reset();
        self.bucket.fail(at, way, which);
        let first = self.run(way);
        self.bucket.fail(0, "lost", "writes");
        if way.starts_with("late") {
            // What comes late may do no harm, either.
            std::thread::sleep(Duration::from_millis(700));
        }
        let told = || format!("{:?}: {which} {at} {way}: {} {}", self.command, first.code, first.err);
        if ["refused", "down"].contains(&way) {
            assert!(!first.err.contains("panicked"), "{}", told());
        } else {
            assert_eq!(first.code, 0, "what a store can be asked again is no failure: {}", told());
            assert_eq!(difference(want, &self.state()), None, "the answer was lost: {}", told());
        }
        if first.code != 0 {
            assert!(first.err.contains("error:") && first.err.contains("hint:"), "{}", told());
            let again = self.run("");
            assert_eq!(again.code, 0, "again: {} after {}", again.err, told());
            assert_eq!(difference(want, &self.state()), None, "again after {}", told());
        }
    }

    /// Fails the writes of the command, one by one.
    fn sweep(&self) {
        self.sweep_in(&CREATE_WAYS, SAMPLE);
    }

    /// The same for a command that takes seconds each time.
    fn short_sweep(&self) {
        self.sweep_in(&["refused", "lost"], 0);
    }

    fn sweep_in(&self, create_ways: &[&str], sample: u64) {
        self.reset();
        self.bucket.fail(0, "lost", "writes");
        let undisturbed = self.run("");
        assert_eq!(undisturbed.code, 0, "{:?}: {}", self.command, undisturbed.err);
        let Faults { writes, creates } = self.bucket.fail(0, "lost", "writes");
        let want = self.state();
        assert!(creates > 0 && writes > creates, "{:?} writes nothing", self.command);
        let mut tried = 0;
        if all() {
            for (way, at) in WAYS.iter().flat_map(|way| (1..=writes).map(move |at| (way, at))) {
                self.fail(at, way, "writes", &want);
                tried += 1;
            }
        } else {
            for (way, at) in create_ways.iter().flat_map(|way| (1..=creates).map(move |at| (way, at))) {
                self.fail(at, way, "creates", &want);
                tried += 1;
            }
            for (nth, way) in (0..).zip(WAYS) {
                // Others in each way, spread over the whole command.
                for i in 0..sample.min(writes) {
                    self.fail(1 + (i * writes / sample + nth) % writes, way, "writes", &want);
                    tried += 1;
                }
            }
        }
        say(&format!("{:?}: {tried} faults in {writes} writes, {creates} of them creates", self.command));
    }
}

#[test]
fn what_nobody_can_tell_is_said_and_its_files_stay() {
    let rig = Rig::new(with_a_second_dump, &["ingest", "new.ndjson"]);
    assert_eq!(rig.run("").code, 0);
    let want = rig.state();
    rig.reset();
    let staged = || {
        let named = named_by_log(&rig.lake().join("staging/events")).len();
        let files = below(&rig.lake().join("staging/events"));
        (named, files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "parquet")).count())
    };
    let before = staged();
    // The rejects are committed first.
    rig.bucket.fail(2, "silent", "creates");
    let ended = rig.run("hangs");
    rig.bucket.fail(0, "lost", "writes");
    assert_eq!(ended.code, 1, "{}", ended.out);
    assert!(ended.err.contains("nobody can tell") && ended.err.contains("run the same command again"), "{}", ended.err);
    let left = staged();
    assert!(left.0 == before.0 && left.1 > before.1, "the commit may be on its way: {before:?} {left:?}");
    assert_eq!(rig.run("").code, 0);
    assert_eq!(difference(&want, &rig.state()), None);
}

pub fn all() -> bool {
    std::env::var("PIPELINE_TEST_ALL_FAULTS").is_ok_and(|all| all == "1")
}

/// Events of three days and two rejects.
pub fn dump(place: &Place, name: &str, from: u64) -> String {
    let lines: Vec<String> = (from..from + 30).map(|i| note(i % 3, &format!("n{i}"))).collect();
    place.write(name, format!("{}\nno event {from}\n{{no event either\n", lines.join("\n")))
}

pub fn with_a_second_dump(place: Place) -> Place {
    place.ingest(&[&dump(&place, "old.ndjson", 0)]);
    dump(&place, "new.ndjson", 20);
    place
}

#[test]
fn ingest_into_a_new_lake() {
    let prepare = |place: Place| {
        dump(&place, "new.ndjson", 0);
        place
    };
    Rig::new(prepare, &["ingest", "new.ndjson"]).sweep();
}

#[test]
fn ingest_into_a_lake() {
    Rig::new(with_a_second_dump, &["ingest", "new.ndjson"]).sweep();
}

#[test]
fn retry_rejects() {
    let prepare = |place: Place| {
        let line = |n: u64| {
            let kind = json!({"_repo": "acme/api", "_number": n, "_kind": "event", "event": "labeled",
                "created_at": format!("2026-10-{n:02}T00:00:00Z"), "label": format!("l{n}")});
            kind.to_string()
        };
        let lines: Vec<String> = (1..6).map(line).collect();
        place.ingest(&[
            &place.write("events.ndjson", format!("{}\nno event\n", lines.join("\n"))),
            "--format",
            "native",
        ]);
        place
    };
    Rig::new(prepare, &["ingest", "--retry-rejects", "events.ndjson", "--format", "github"]).sweep();
}

#[test]
fn compact() {
    let prepare = |place: Place| {
        for from in [0, 30, 60] {
            place.ingest(&[&dump(&place, "dump.ndjson", from)]);
        }
        place
    };
    Rig::new(prepare, &["lake", "compact"]).sweep();
}

#[test]
fn materialize() {
    let prepare = |place: Place| {
        place.ingest(&[&place.write("hers.ndjson", privacy::HERS)]);
        place.json(&["materialize", "traces.traces"]);
        place.ingest(&[&place.write("others.ndjson", privacy::OTHERS)]);
        place
    };
    let tables: &[&str] = if all() { &[] } else { &["traces.traces", "marts.usage"] };
    Rig::new(prepare, &[&["--now", NOW, "materialize"], tables].concat()).sweep();
}

/// A lake to plan from, with a target.
pub fn to_plan_from(place: Place) -> Place {
    let samples = checkout().join("data-samples");
    place.write("compose.yaml", std::fs::read(samples.join("compose/compose.yaml")).unwrap());
    place.json(&["ingest", &samples.join("team/usage.ndjson.gz").display().to_string()]);
    place.json(&["materialize", "marts.usage"]);
    place
}

pub fn planned(place: Place) -> Place {
    let place = to_plan_from(place);
    place.json(&["--now", NOW, "plan", "--target", "compose.yaml"]);
    place
}

pub fn approved(place: Place) -> Place {
    let place = planned(place);
    place.json(&["--now", NOW, "approve", "plan.json"]);
    place
}

#[test]
fn plan() {
    Rig::new(to_plan_from, &["--now", NOW, "plan", "--target", "compose.yaml"]).short_sweep();
}

#[test]
fn approve() {
    Rig::new(planned, &["--now", NOW, "approve", "plan.json"]).sweep();
}

#[test]
fn apply() {
    Rig::new(approved, &["--now", NOW, "apply", "plan.json"]).sweep();
}

#[test]
fn rollback() {
    let prepare = |place: Place| {
        let place = approved(place);
        place.json(&["--now", NOW, "apply", "plan.json"]);
        place
    };
    Rig::new(prepare, &["--now", NOW, "rollback", "plan.json"]).sweep();
}

#[test]
fn predict() {
    let prepare = |place: Place| {
        let place = predict::filled(place);
        place.json(&["--now", "2026-10-25T12:00:00Z", "train"]);
        place
    };
    Rig::new(prepare, &["--now", "2026-10-25T12:00:00Z", "predict"]).short_sweep();
}

#[test]
fn privacy_erase() {
    let prepare = |place: Place| {
        place.ingest(&[&place.write("hers.ndjson", privacy::HERS)]);
        place.ingest(&[&place.write("others.ndjson", privacy::OTHERS), &place.write("broken.ndjson", privacy::BROKEN)]);
        if all() {
            place.json(&["materialize"]);
        }
        place
    };
    Rig::new(prepare, &["--now", NOW, "privacy", "erase", "--developer", "ann", "--yes"]).sweep();
}
