//! Collectors against the real thing: a Docker Engine, repositories, files, HTTP. Whatever they say, `ingest` takes.

mod docker;
mod editor;
pub mod engine;
mod files;
mod git;
mod spool;

use crate::program::Place;
use serde_json::Value;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A collector that runs. Killed if a test ends before it.
struct Collector {
    child: Option<Child>,
}

impl Collector {
    fn start(place: &Place, arguments: &[&str]) -> Self {
        let mut all = vec!["collect"];
        all.extend(arguments);
        let child = place.command(&all).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        Self { child: Some(child) }
    }

    fn signal(&self, name: &str) {
        let id = self.child.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
    }

    /// Waits until stderr says this; returns the line.
    fn says(&mut self, what: &str) -> String {
        let err = self.child.as_mut().unwrap().stderr.as_mut().unwrap();
        let (mut line, mut byte) = (Vec::new(), [0]);
        while err.read(&mut byte).unwrap() > 0 {
            match byte[0] {
                b'\n' if String::from_utf8_lossy(&line).contains(what) => return String::from_utf8(line).unwrap(),
                b'\n' => line.clear(),
                other => line.push(other),
            }
        }
        panic!("it never said {what}");
    }

    /// Ends it, or waits for its end: its events and what it said.
    fn end(mut self) -> (i32, Vec<Value>, String) {
        let output = self.child.take().unwrap().wait_with_output().unwrap();
        let events = events(&String::from_utf8(output.stdout).unwrap());
        (output.status.code().unwrap_or(-1), events, String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn events(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The events of a collector that ends by itself.
fn collected(place: &Place, arguments: &[&str]) -> Vec<Value> {
    let (code, events, err) = Collector::start(place, arguments).end();
    assert_eq!(code, 0, "{arguments:?}: {err}");
    events
}

fn dump(events: &[Value]) -> String {
    events.iter().map(|event| format!("{event}\n")).collect()
}

/// Every line is taken by a lake of its own, none twice.
fn all_are_taken(events: &[Value]) {
    let place = Place::new();
    let n = events.len() as u64;
    let file = place.write("events.ndjson", dump(events));
    assert_eq!(place.ingest(&[&file]), [n, n, 0, 0], "{events:?}");
}

fn of<'e>(events: &'e [Value], kind: &str) -> Vec<&'e Value> {
    events.iter().filter(|event| event["type"] == kind).collect()
}

/// git in a folder, as a person whose name must never be seen.
fn git_as(folder: &Path, arguments: &[&str], at: &str) {
    let done = Command::new("git")
        .arg("-C")
        .arg(folder)
        .args(["-c", "init.defaultBranch=main", "-c", "protocol.file.allow=always"])
        .args(arguments)
        .env("GIT_AUTHOR_NAME", "Jane Secretive")
        .env("GIT_AUTHOR_EMAIL", "jane.secretive@acme.test")
        .env("GIT_COMMITTER_NAME", "Jane Secretive")
        .env("GIT_COMMITTER_EMAIL", "jane.secretive@acme.test")
        .env("GIT_AUTHOR_DATE", at)
        .env("GIT_COMMITTER_DATE", at)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .unwrap();
    assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
}
