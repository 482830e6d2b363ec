//! A disk that fails in the middle, or a process that dies there: whatever call with which a command changes a local file
//! fails, and however, the same command again gives the lake, the plan and the target of an undisturbed run.
//!
//! `tests/disk-faults/fail.c` is loaded before the program. Calls that move something into its place or on to the disk all
//! fail each time the tests run; of the others, which write bytes, a sample does, and all with `PIPELINE_TEST_ALL_FAULTS=1`.

use crate::privacy;
use crate::program::{Ended, Place, checkout, end, say};
use crate::store_faults::{
    NOW, all, approved, copy, difference, dump, planned, state, to_plan_from, with_a_second_dump,
};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// How a call fails: nothing done, half done, and the process killed before and after it.
const WAYS: [&str; 4] = ["refused", "full", "killed", "after"];

/// Of the calls that write, how many fail in each way unless all do.
const SAMPLE: u64 = 3;

/// The library that fails the calls, built once a run.
pub fn library() -> &'static Path {
    static BUILT: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    let (_, library) = BUILT.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let library = folder.path().join("fail.so");
        let mut compile = Command::new("cc");
        compile.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library);
        let built = end({
            compile.arg(checkout().join("tests/disk-faults/fail.c")).arg("-ldl");
            compile
        });
        assert_eq!(built.code, 0, "a C compiler (`cc`) builds the faults: {}", built.err);
        (folder, library)
    });
    library
}

/// A command and what it meets: a local lake, and files beside it.
struct Rig {
    place: Place,
    command: Vec<String>,
    /// A copy from before the command.
    kept: tempfile::TempDir,
}

/// Which calls fail.
#[derive(Clone, Copy, Debug)]
struct Fault {
    at: u64,
    which: &'static str,
    way: &'static str,
}

impl Rig {
    fn new(prepare: impl FnOnce(Place) -> Place, command: &[&str]) -> Self {
        let place = prepare(Place::new());
        let kept = tempfile::tempdir().unwrap();
        copy(&place.path(""), kept.path());
        Self { place, command: command.iter().map(|word| (*word).to_owned()).collect(), kept }
    }

    /// Everything as it was before the command.
    fn reset(&self) {
        for entry in std::fs::read_dir(self.place.path("")).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { std::fs::remove_dir_all(path).unwrap() } else { std::fs::remove_file(path).unwrap() }
        }
        copy(self.kept.path(), &self.place.path(""));
    }

    fn run(&self, fault: Option<Fault>) -> Ended {
        let words: Vec<&str> = self.command.iter().map(String::as_str).collect();
        let mut command = self.place.command(&words);
        if let Some(Fault { at, which, way }) = fault {
            command.env("LD_PRELOAD", library()).env("DISK_FAULT_ROOT", self.place.path("").canonicalize().unwrap());
            command.env("DISK_FAULT_AT", at.to_string()).env("DISK_FAULT_WHICH", which).env("DISK_FAULT_WAY", way);
            command.env("DISK_FAULT_COUNT", self.kept.path().with_extension("count"));
        }
        end(command)
    }

    fn state(&self) -> BTreeMap<String, Vec<String>> {
        state(&self.place.path("lake"), &self.place)
    }

    fn fail(&self, fault: Fault, want: &BTreeMap<String, Vec<String>>) {
        self.reset();
        let first = self.run(Some(fault));
        let told = || format!("{:?}: {fault:?}: {} {}", self.command, first.code, first.err);
        assert!(!first.err.contains("panicked"), "{}", told());
        match (first.code, fault.way) {
            (0, _) => assert_eq!(difference(want, &self.state()), None, "it says that it is done: {}", told()),
            (-1, "killed" | "after") => {}
            _ => assert!(first.err.contains("error:") && first.err.contains("hint:"), "{}", told()),
        }
        if fault.way == "after" && difference(want, &self.state()).is_none() {
            return; // the last thing that it did: all is there
        }
        let again = self.run(None);
        if again.code == 4 && again.err.contains("was taken back") {
            // An apply whose step failed ends for good where it began.
            let target = self.kept.path().join("compose.yaml");
            assert_eq!(self.place.read("compose.yaml"), std::fs::read_to_string(target).unwrap(), "{}", told());
            return;
        }
        assert_eq!(again.code, 0, "again: {} {} after {}", again.err, again.out, told());
        assert_eq!(difference(want, &self.state()), None, "again after {}", told());
    }

    /// Fails the calls of the command, one by one.
    fn sweep(&self) {
        self.reset();
        let undisturbed = self.run(Some(Fault { at: 0, which: "all", way: "refused" }));
        assert_eq!(undisturbed.code, 0, "{:?}: {}", self.command, undisturbed.err);
        let counted = std::fs::read_to_string(self.kept.path().with_extension("count")).unwrap();
        let counted: Vec<u64> = counted.split_whitespace().map(|number| number.parse().unwrap()).collect();
        let [calls, moves] = counted[..] else { panic!("two numbers: {counted:?}") };
        assert!(moves > 0 && calls > moves, "{:?} writes nothing", self.command);
        let want = self.state();
        let mut tried = 0;
        for way in WAYS {
            let moved = (1..=moves).map(|at| Fault { at, which: "moves", way });
            let some = SAMPLE.min(calls);
            let sample = (0..some).map(|i| Fault { at: 1 + i * calls / some, which: "all", way });
            let every = (1..=calls).map(|at| Fault { at, which: "all", way });
            let faults: Vec<Fault> = if all() { every.collect() } else { moved.chain(sample).collect() };
            for fault in faults {
                self.fail(fault, &want);
                tried += 1;
            }
        }
        say(&format!("{:?}: {tried} faults in {calls} calls, {moves} of them moves", self.command));
    }
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
    Rig::new(prepare, &["--now", NOW, "materialize", "traces.traces", "marts.usage"]).sweep();
}

#[test]
fn plan() {
    Rig::new(to_plan_from, &["--now", NOW, "plan", "--target", "compose.yaml"]).sweep();
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
fn privacy_erase() {
    let prepare = |place: Place| {
        place.ingest(&[&place.write("hers.ndjson", privacy::HERS)]);
        place.ingest(&[&place.write("others.ndjson", privacy::OTHERS), &place.write("broken.ndjson", privacy::BROKEN)]);
        place
    };
    Rig::new(prepare, &["--now", NOW, "privacy", "erase", "--developer", "ann", "--yes"]).sweep();
}
