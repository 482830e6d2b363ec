//! Runs the program in a folder of its own, with a fixed key and clock.

use serde_json::Value;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// A place to work in: a lake, files, and the program.
pub struct Place {
    folder: TempDir,
    environment: Vec<(String, String)>,
}

/// How a run of the program ended.
#[derive(Debug)]
pub struct Ended {
    pub code: i32,
    pub out: String,
    pub err: String,
}

/// The checkout.
pub fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

impl Place {
    pub fn new() -> Self {
        Self::with(Vec::new())
    }

    /// A place where the program sees these variables too: a lake elsewhere, credentials.
    pub fn with(environment: Vec<(String, String)>) -> Self {
        Self { folder: tempfile::tempdir().unwrap(), environment }
    }

    pub fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join(below)
    }

    pub fn write(&self, below: &str, text: impl AsRef<[u8]>) -> String {
        let path = self.path(below);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    pub fn read(&self, below: &str) -> String {
        std::fs::read_to_string(self.path(below)).unwrap()
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pipeline"));
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env("PIPELINE_PSEUDONYM_KEY", "the key of the tests")
            .env("USER", "tester")
            .env_remove("PIPELINE_LAKE")
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null());
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Ended {
        end(self.command(arguments))
    }

    /// Runs with `--json` and expects success.
    pub fn json(&self, arguments: &[&str]) -> Value {
        let mut all = vec!["--json"];
        all.extend(arguments);
        let ended = self.run(&all);
        assert_eq!(ended.code, 0, "{arguments:?}: {} {}", ended.err, ended.out);
        assert_eq!(ended.out.lines().count(), 1, "one object on stdout: {}", ended.out);
        serde_json::from_str(&ended.out).unwrap()
    }

    /// One query, as JSON rows.
    pub fn sql(&self, query: &str) -> Vec<Value> {
        self.json(&["sql", query])["rows"].as_array().unwrap().clone()
    }

    /// Read, accepted, duplicates, rejected.
    pub fn ingest(&self, arguments: &[&str]) -> [u64; 4] {
        let mut all = vec!["ingest"];
        all.extend(arguments);
        counts(&self.json(&all))
    }

    /// Every event and every reject, all columns, in the order of their identity.
    pub fn staging(&self) -> [Vec<Value>; 2] {
        ["select * from staging.events order by event_id", "select * from staging.rejects order by reject_id"]
            .map(|query| self.sql(query))
    }

    /// Every file of the lake with its bytes.
    pub fn lake_files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut files = Vec::new();
        let mut folders = vec![self.path("lake")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path)
                } else {
                    files.push((path.clone(), std::fs::read(&path).unwrap()))
                }
            }
        }
        files.sort();
        files
    }
}

/// Read, accepted, duplicates, rejected, as a report of `ingest` says; they add up.
pub fn counts(report: &Value) -> [u64; 4] {
    let counts = ["read", "accepted", "duplicates", "rejected"].map(|name| report[name].as_u64().unwrap());
    assert_eq!(counts[0], counts[1] + counts[2] + counts[3], "{report}");
    counts
}

/// Waits for a command and keeps what it said.
pub fn end(mut command: Command) -> Ended {
    let output = command.output().unwrap();
    Ended {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Past the test harness, which hides what a passing test prints.
pub fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
