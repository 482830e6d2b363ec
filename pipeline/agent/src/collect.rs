//! What all collectors share: how an event leaves them, when they stop, and that no person is named by it.

use domain::Timestamp;
use domain::privacy::Privacy;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use tokio::sync::{mpsc, watch};

/// What a collector says.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    /// An event in the native form, not yet [sealed](seal).
    Event(Value),
    /// A line for the person who watches.
    Note(String),
}

/// The way out of a collector, and the word to stop.
#[derive(Clone, Debug)]
pub struct Outlet {
    out: mpsc::Sender<Said>,
    stop: watch::Receiver<bool>,
}

impl Outlet {
    /// A way out that holds back a collector which is faster than its reader; what it says; the switch that stops it.
    pub fn new() -> (Self, mpsc::Receiver<Said>, watch::Sender<bool>) {
        let (out, said) = mpsc::channel(1024);
        let (switch, stop) = watch::channel(false);
        (Self { out, stop }, said, switch)
    }

    /// Hands an event on. False: nobody takes them any more.
    pub async fn event(&self, event: Value) -> bool {
        self.out.send(Said::Event(event)).await.is_ok()
    }

    /// [`Self::event`] where nothing may wait asynchronously: on a thread of its own.
    pub fn event_blocking(&self, event: Value) -> bool {
        self.out.blocking_send(Said::Event(event)).is_ok()
    }

    /// A line for the person who watches.
    pub async fn note(&self, text: impl Into<String>) {
        let _ = self.out.send(Said::Note(text.into())).await;
    }

    /// [`Self::note`] on a thread of its own.
    pub fn note_blocking(&self, text: impl Into<String>) {
        let _ = self.out.blocking_send(Said::Note(text.into()));
    }

    /// Whether it is time to end.
    pub fn is_stopped(&self) -> bool {
        *self.stop.borrow() || self.out.is_closed()
    }

    /// Waits until it is time to end.
    pub async fn stopped(&self) {
        let mut stop = self.stop.clone();
        tokio::select! {
            // The switch is gone: so is who could wait for us.
            _ = stop.wait_for(|stop| *stop) => {}
            () = self.out.closed() => {}
        }
    }
}

/// An event of `kind` at `ts`; outer fields that are absent are left out.
pub(crate) fn event(ts: Timestamp, kind: &str, outer: &[(&str, Option<&str>)], payload: Map<String, Value>) -> Value {
    let mut event = Map::new();
    event.insert("ts".into(), ts.to_string().into());
    event.insert("type".into(), kind.into());
    for (name, value) in outer {
        if let Some(value) = value {
            event.insert((*name).into(), (*value).into());
        }
    }
    event.insert("payload".into(), payload.into());
    event.into()
}

/// A remark on the collecting itself, such as a gap: an `annotation` with what a query may want beside the words.
pub(crate) fn remark(ts: Timestamp, env: Option<&str>, note: String, facts: Value) -> Value {
    let mut payload = match facts {
        Value::Object(facts) => facts,
        _ => Map::new(),
    };
    payload.insert("note".into(), note.into());
    event(ts, "annotation", &[("env", env)], payload)
}

/// Adds `tags` where the event says nothing itself, then takes people and secrets out of it, as the lake would: what
/// leaves a collector names nobody. The lake takes the hashes as they are and finds nothing more to mask, so the event
/// has the same identity as if it had come unsealed.
pub fn seal(mut event: Value, tags: &BTreeMap<String, String>, privacy: &Privacy) -> Value {
    let Some(fields) = event.as_object_mut() else { return event };
    for (name, value) in tags {
        fields.entry(name.clone()).or_insert_with(|| json!(value));
    }
    privacy.scrub_event(fields);
    event
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::event::read_native;
    use domain::identity::Identity;

    #[test]
    fn a_sealed_event_names_nobody_and_is_the_same_event() {
        let privacy = Privacy::new(b"a key for tests");
        let raw = json!({"ts": "2026-10-01T00:00:00Z", "type": "commit", "repo": "acme/api", "developer": "ann@acme.test",
            "payload": {"sha": "abc", "message": "fix, thanks @bob and Carl <carl@acme.test>", "author": "ann@acme.test",
                "url": "https://ann:hunter2@acme.test/x", "path": "/home/ann/api/src/main.rs"}});
        same(&privacy, raw, &["ann", "bob", "carl@", "hunter2"]);
        // A name beside its hash, and whose branch it is.
        let raw = json!({"ts": "2026-10-01T00:00:00Z", "type": "commit", "repo": "acme/api", "branch": "annabel-patch-1",
            "developer": "annabel", "payload": {"sha": "abc", "message": "annabel: fix", "files": ["docs/annabel/a.md"],
                "argv": ["--password", "hunter2"], "reviewed_by": "jane"}});
        same(&privacy, raw, &["annabel", "jane", "hunter2"]);
    }

    fn same(privacy: &Privacy, raw: Value, names: &[&str]) {
        let sealed = seal(raw.clone(), &BTreeMap::new(), privacy);
        for name in names {
            assert!(!sealed.to_string().contains(name), "{name} in {sealed}");
        }
        let identity = |event: &Value| {
            let event = read_native(event.clone(), privacy).remove(0).unwrap();
            Identity::new(privacy).normal_form(&event).id
        };
        assert_eq!(identity(&raw), identity(&sealed));
        assert_eq!(seal(sealed.clone(), &BTreeMap::new(), privacy), sealed);
    }

    #[test]
    fn a_tag_fills_a_gap_and_replaces_nothing() {
        let tags = [("env", "dev"), ("repo", "other/one")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        let event = json!({"ts": "2026-10-01T00:00:00Z", "type": "edit", "repo": "acme/api", "payload": {"file": "a"}});
        let sealed = seal(event, &tags, &Privacy::new(b"k"));
        assert_eq!((&sealed["env"], &sealed["repo"]), (&json!("dev"), &json!("acme/api")));
    }
}
