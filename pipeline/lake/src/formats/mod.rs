//! What dumps look like: one file per format, from what a dump holds to events in the native form.
//!
//! A format translates and nothing else: what an event may hold, who is a person, what is a secret and when two
//! events are the same is decided once, for all of them, behind it.

mod github;
mod native;
mod otlp;
mod prometheus;
mod samples;
mod workload;

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

/// Reads one dump. What it must remember between objects, such as the last value of a counter, is its own.
pub(crate) trait Reader: Send {
    /// The events of one JSON value of the dump: a line of it, or all of it.
    fn object(&mut self, value: Value, out: &mut Vec<Taken>);

    /// The events of a line that is no JSON.
    fn text(&mut self, line: &str, out: &mut Vec<Taken>) {
        out.push(Err((Value::String(line.to_owned()), Reason::NotJson)));
    }

    /// What is left to say when the dump has ended.
    fn end(&mut self, _out: &mut Vec<Taken>) {}
}

/// Every format, native first.
pub const FORMATS: &[&Format] = &[&native::FORMAT, &github::FORMAT, &otlp::FORMAT, &prometheus::FORMAT];

impl Format {
    /// The events of the contract.
    pub(crate) const NATIVE: &'static Self = &native::FORMAT;

    /// The format of that name.
    pub fn named(name: &str) -> Option<&'static Self> {
        FORMATS.iter().copied().find(|format| format.name == name)
    }

    /// Tells the format of a dump from its beginning; native when no other knows it.
    pub(crate) fn detect(head: &Head) -> &'static Self {
        FORMATS.iter().copied().find(|format| (format.recognises)(head)).unwrap_or(Self::NATIVE)
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
    let (mut reader, mut out) = (format.reader(), Vec::new());
    for value in values {
        match value {
            Value::String(line) => reader.text(&line, &mut out),
            value => reader.object(value, &mut out),
        }
    }
    reader.end(&mut out);
    let event = |taken: Taken| {
        let object = taken.map_err(|(_, reason)| reason)?;
        domain::event::normalise(object, &privacy).map_err(|(_, reason)| reason)
    };
    out.into_iter().map(event).collect()
}
