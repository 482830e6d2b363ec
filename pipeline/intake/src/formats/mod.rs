//! What dumps look like: one file per format, from what a dump holds to events in the native form.
//!
//! A format translates and nothing else: what an event may hold, who is a person, what is a secret and when two
//! events are the same is decided once, for all of them, behind it.

mod actions;
mod fields;
mod gharchive;
mod github;
mod gitlab;
mod native;
#[cfg(test)]
mod nothing_lost;
mod otlp;
mod out;
mod parts;
mod prometheus;
mod samples;
mod unknown;
mod workload;

pub(crate) use out::Out;

use domain::Reason;
use serde_json::{Map, Value};

/// A JSON object.
pub(crate) type Object = Map<String, Value>;

/// An event in the native form, or what could not be translated and why.
pub(crate) type Taken = Result<Object, (Value, Reason)>;

/// The form of a dump.
#[derive(Debug)]
pub struct Format {
    /// What people call it.
    pub name: &'static str,
    /// Whether a dump that begins like this is one.
    recognises: fn(&Head) -> bool,
    /// Makes a reader for one dump.
    reader: fn() -> Box<dyn Reader>,
    /// Whether each object can be read without those before it: then they are read side by side.
    independent: bool,
}

/// How a dump begins.
pub(crate) enum Head<'a> {
    /// With this JSON value.
    Json(&'a Value),
    /// With this line, which is no JSON.
    Text(&'a str),
}

/// What a value or line says about the dump it is in.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Guess {
    /// It is of this format.
    Surely(&'static Format),
    /// It may be of this one, unless something is surely of another.
    Perhaps(&'static Format),
    /// No format knows it, and this is what to say about it.
    Unknown(&'static str),
    /// Nothing.
    Nothing,
}

/// Reads one dump. What it must remember between objects, such as the last value of a counter, is its own.
pub(crate) trait Reader: Send {
    /// The events of one JSON value of the dump: a line of it, or all of it.
    fn object(&mut self, value: Value, out: &mut Out);

    /// The events of a line that is no JSON.
    fn text(&mut self, line: &str, out: &mut Out) {
        out.push(Err((Value::String(line.to_owned()), Reason::NotJson)));
    }

    /// What is left to say when the dump has ended: asked again until it says nothing.
    fn end(&mut self, _out: &mut Out) {}
}

/// What a reader has left to say when its dump has ended, until it says nothing.
pub(crate) fn endings<E>(reader: &mut dyn Reader, mut take: impl FnMut(Vec<Taken>) -> Result<(), E>) -> Result<(), E> {
    loop {
        let mut out = Out::default();
        reader.end(&mut out);
        match out.rest().0 {
            taken if taken.is_empty() => return Ok(()),
            taken => take(taken)?,
        }
    }
}

/// Every format, native first.
pub static FORMATS: &[&Format] = &[
    &native::FORMAT,
    &github::FORMAT,
    &gharchive::FORMAT,
    &actions::FORMAT,
    &gitlab::FORMAT,
    &otlp::FORMAT,
    &prometheus::FORMAT,
];

impl Format {
    /// The events of the contract.
    pub(crate) const NATIVE: &'static Self = &native::FORMAT;

    /// Whether this is [`Self::NATIVE`], for which there is a faster way.
    pub(crate) fn is_native(&self) -> bool {
        std::ptr::eq(self, Self::NATIVE)
    }

    /// The format of that name.
    pub fn named(name: &str) -> Option<&'static Self> {
        FORMATS.iter().copied().find(|format| format.name == name)
    }

    /// What a value or line of a dump says about its format. An array is what its first items are.
    pub(crate) fn guess(head: &Head) -> Guess {
        if let Head::Json(Value::Array(items)) = head {
            let guesses = items.iter().take(8).map(|item| Self::guess(&Head::Json(item)));
            return guesses.into_iter().find(|guess| !matches!(guess, Guess::Nothing)).unwrap_or(Guess::Nothing);
        }
        if let Some(format) = FORMATS.iter().copied().find(|format| (format.recognises)(head)) {
            return Guess::Surely(format);
        }
        match head {
            Head::Text(line) => unknown::text(line).map_or(Guess::Nothing, Guess::Unknown),
            Head::Json(value) => match unknown::object(value) {
                Some(what) => Guess::Unknown(what),
                None if native::may_be(value) => Guess::Perhaps(Self::NATIVE),
                None if value.as_object().is_some_and(|members| !members.is_empty()) => Guess::Unknown(unknown::ANY),
                None => Guess::Nothing,
            },
        }
    }

    /// Whether something better than this may be said of a dump that no format knows.
    pub(crate) fn is_vague(what: &str) -> bool {
        what == unknown::ANY
    }

    /// The format that a value or line is surely of; else native.
    #[cfg(test)]
    pub(crate) fn detect(head: &Head) -> &'static Self {
        match Self::guess(head) {
            Guess::Surely(format) => format,
            _ => Self::NATIVE,
        }
    }

    /// A reader for one dump.
    pub(crate) fn reader(&self) -> Box<dyn Reader> {
        (self.reader)()
    }

    /// Whether each object can be read without those before it.
    pub(crate) fn is_independent(&self) -> bool {
        self.independent
    }
}

/// The native events that a format makes of these values, for its tests: normalised, under a test key.
#[cfg(test)]
pub(crate) fn events_of(
    format: &Format,
    values: impl IntoIterator<Item = Value>,
) -> Vec<Result<domain::Event, Reason>> {
    let privacy = domain::privacy::Privacy::new(b"test key of the formats");
    let (mut reader, mut out) = (format.reader(), Out::default());
    for value in values {
        match value {
            Value::String(line) => reader.text(&line, &mut out),
            value => reader.object(value, &mut out),
        }
    }
    loop {
        let before = out.len();
        reader.end(&mut out);
        if out.len() == before {
            break;
        }
    }
    let event = |taken: Taken| {
        let object = taken.map_err(|(_, reason)| reason)?;
        domain::event::normalise(object, &privacy).map_err(|(_, reason)| reason)
    };
    out.rest().0.into_iter().map(event).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// How dumps of each format begin. A text is a line that is no JSON, as for [`events_of`].
    fn samples() -> Vec<(&'static str, Value)> {
        let event = json!({"id": "1", "type": "WatchEvent", "actor": {"login": "ann"}, "repo": {"name": "o/r"},
            "payload": {}, "created_at": "2021-01-20T10:12:34Z"});
        let run = json!({"id": 1, "workflow_id": 2, "run_number": 3, "head_sha": "a1", "status": "completed"});
        let job = json!({"id": 1, "run_id": 2, "head_sha": "a1", "status": "completed", "started_at": null});
        vec![
            ("native", json!({"ts": "2026-10-01T00:00:00Z", "type": "ci_run", "payload": {"run_id": 1}})),
            (
                "native",
                json!({"ts": "2026-10-01T00:00:00Z", "type": "MyEvent", "id": 1, "actor": "ann",
                "created_at": "x", "repo": {"name": "o/r"}, "payload": {}}),
            ),
            ("native", json!({"repo": {"name": "o/r"}, "actor": "ann", "events": []})),
            ("github", json!({"_repo": "o/r", "_number": 3, "_kind": "event", "event": "merged", "id": 1})),
            ("gharchive", event.clone()),
            ("gharchive", json!([event])),
            ("actions", run.clone()),
            ("actions", job),
            ("actions", json!([run])),
            ("actions", json!({"total_count": 0, "workflow_runs": []})),
            ("actions", json!([{"total_count": 0, "jobs": []}])),
            ("actions", json!({"total_count": 1, "check_runs": []})),
            (
                "gitlab",
                json!({"id": 7, "status": "success", "stage": "test", "pipeline": {"id": 1},
                "web_url": "https://gitlab.example/acme/api/-/jobs/7"}),
            ),
            ("otlp", json!({"resourceMetrics": []})),
            ("otlp", json!({"resourceSpans": [{"scopeSpans": []}]})),
            ("prometheus", json!({"status": "success", "data": {"resultType": "matrix", "result": []}})),
            ("prometheus", json!("# TYPE container_cpu_usage_seconds counter")),
            ("prometheus", json!("container_memory_working_set_bytes{pod=\"a\"} 1.0 1790000000.0")),
        ]
    }

    #[test]
    fn a_dump_is_told_by_its_beginning_and_by_one_format_only() {
        for (name, sample) in samples() {
            let head = match &sample {
                Value::String(line) => Head::Text(line),
                value => Head::Json(value),
            };
            let first = match &sample {
                Value::Array(items) => Head::Json(&items[0]),
                Value::String(line) => Head::Text(line),
                value => Head::Json(value),
            };
            let known: Vec<_> = FORMATS.iter().filter(|format| (format.recognises)(&first)).map(|f| f.name).collect();
            assert_eq!(known, [name], "{sample}");
            assert_eq!(sure(&head), Some(name), "{sample}");
        }
    }

    fn sure(head: &Head) -> Option<&'static str> {
        match Format::guess(head) {
            Guess::Surely(format) => Some(format.name),
            _ => None,
        }
    }

    #[test]
    fn what_no_format_is_sure_of_may_be_native_or_is_unknown() {
        let guess = |value: Value| match Format::guess(&Head::Json(&value)) {
            Guess::Surely(format) => format!("surely {}", format.name),
            Guess::Perhaps(format) => format!("perhaps {}", format.name),
            Guess::Unknown(_) => "unknown".to_owned(),
            Guess::Nothing => "nothing".to_owned(),
        };
        for (value, want) in [
            (json!({"ts": 3}), "perhaps native"),
            (json!({"type": "edit"}), "perhaps native"),
            (json!({"jobs": [], "payload": {}}), "perhaps native"),
            (json!({"level": "info"}), "unknown"),
            (json!({}), "nothing"),
            (json!([]), "nothing"),
            (json!([[], {}, 3, {"level": "info"}]), "unknown"),
            (json!(3), "nothing"),
        ] {
            assert_eq!(guess(value.clone()), want, "{value}");
        }
    }

    #[test]
    fn every_format_has_a_sample() {
        for format in FORMATS {
            assert!(samples().iter().any(|(name, _)| *name == format.name), "{}", format.name);
        }
    }
}
