//! The fast way from a line to a row: events of the contract in their usual shape, straight from the text.
//!
//! Takes an event only when it is sure to do exactly what the slow, obvious way does (`domain::event::normalise`, then
//! [`slow::push`]); everything unusual, and everything to be refused, is left to that. A test holds the two against each
//! other. A line that is laid out like one before is not even scanned: it is followed ([`Layouts`]).
//!
//! [`slow::push`]: super::slow::push

mod row;
mod shape;

use super::rows::{PAYLOAD, Rows, places};
use super::slow;
use domain::Timestamp;
use domain::identity::Identity;
use domain::json::layout::{Layouts, spots};
use domain::json::{Json, Kind, Tape};
use domain::privacy::Privacy;
use foldhash::fast::RandomState;
use row::{DEVELOPER, Event, PR, Row};
use shape::Shape;
use std::collections::HashMap;
use std::sync::Arc;

/// Payload shapes that are remembered for each event type; a dump with more is read a little slower.
const SHAPES: usize = 64;

/// Keys of a payload whose shape is worth remembering.
const KEYS: usize = 256;

/// Event types whose shapes are remembered.
const TYPES: usize = 1 << 14;

const PAYLOAD_KEY: &str = "payload";

/// Reads one event after the other; what it learnt from one serves the next.
pub struct NativeReader {
    identity: Identity,
    layouts: Layouts<Layout>,
    shapes: HashMap<Box<str>, Vec<Arc<Shape>>, RandomState>,
    entries: Vec<u32>,
    row: Row,
}

/// What is known of an event before it is decided whether it becomes a row.
#[derive(Clone, Copy)]
pub struct Key {
    /// Of its normal form.
    pub id: u128,
    /// When it was.
    pub ts: Timestamp,
}

/// What the values of a layout are.
#[derive(Clone)]
struct Layout {
    roles: Vec<Role>,
    /// For each event type the shape of its payload; none where there is no payload.
    shapes: Vec<(Box<str>, Option<Arc<Shape>>)>,
}

#[derive(Clone, Copy)]
enum Role {
    Ts,
    Type,
    Outer(usize),
    /// The payload, when it is not an object with entries: nothing or an empty object.
    Payload,
    Entry,
}

impl Role {
    fn of(key: &str) -> Option<Self> {
        Some(match key {
            "ts" => Self::Ts,
            "type" => Self::Type,
            PAYLOAD_KEY => Self::Payload,
            "repo" => Self::Outer(0),
            "branch" => Self::Outer(1),
            "pr" => Self::Outer(PR),
            "developer" => Self::Outer(DEVELOPER),
            "env" => Self::Outer(4),
            "resource" => Self::Outer(5),
            "session" => Self::Outer(6),
            _ => return None,
        })
    }
}

impl NativeReader {
    /// Has read nothing yet.
    pub fn new(privacy: &Privacy) -> Self {
        Self {
            identity: Identity::new(privacy),
            layouts: Layouts::default(),
            shapes: HashMap::default(),
            entries: Vec::new(),
            row: Row::new(privacy),
        }
    }

    /// Reads a line that is laid out like one that was read before; none when it is not. [`Self::push`] then makes its
    /// row.
    #[inline]
    pub fn follow(&mut self, tape: &mut Tape, line: &str) -> Option<Key> {
        let (layout, json) = self.layouts.follow(tape, line)?;
        let mut event = Event::default();
        self.entries.clear();
        for (role, value) in layout.roles.iter().zip(json.items(0)) {
            match role {
                Role::Entry => self.entries.push(value),
                Role::Payload if json.node(value).kind == Kind::Null => {}
                Role::Payload => return None,
                Role::Ts => event.ts = Some(json.node(value)),
                Role::Type => event.kind = Some(json.node(value)),
                Role::Outer(field) => event.outer[*field] = Some(json.node(value)),
            }
        }
        let kind = json.raw(event.kind?);
        let (_, shape) = layout.shapes.iter().find(|(of, _)| **of == *kind)?;
        let ts = self.row.outer(json, &event)?;
        self.row.payload(json, &self.entries, shape.as_deref())?;
        if !self.row.hides(json, event.outer[DEVELOPER]) {
            return None;
        }
        Some(Key { id: self.identity.hash(self.row.normal.as_bytes()), ts })
    }

    /// Reads one event and remembers how it is laid out; none when it is not for the fast way.
    pub fn read(&mut self, json: Json) -> Option<Key> {
        if json.node(0).kind != Kind::Object {
            return None;
        }
        let mut event = Event::default();
        let mut payload = None;
        for (key, value) in json.entries(0) {
            let (key, node) = (json.node(key), json.node(value));
            if key.kind != Kind::Plain {
                return None;
            }
            match Role::of(json.raw(key))? {
                Role::Ts => event.ts = Some(node),
                Role::Type => event.kind = Some(node),
                Role::Outer(field) => event.outer[field] = Some(node),
                _ => payload = Some(value).filter(|_| node.kind != Kind::Null),
            }
        }
        let kind = event.kind.filter(|node| node.kind == Kind::Plain)?;
        let shape = match payload {
            Some(payload) => Some(self.shape(json, json.raw(kind), payload)?),
            None if places(json.raw(kind)).iter().any(|place| place.required) => return None,
            None => None,
        };
        let ts = self.row.outer(json, &event)?;
        self.row.payload(json, &self.entries, shape.as_deref())?;
        if !self.row.hides(json, event.outer[DEVELOPER]) {
            return None;
        }
        self.learn(json, json.raw(kind), shape);
        Some(Key { id: self.identity.hash(self.row.normal.as_bytes()), ts })
    }

    /// The shape of a payload, whose values are then in `entries`.
    fn shape(&mut self, json: Json, kind: &str, payload: u32) -> Option<Arc<Shape>> {
        if json.node(payload).kind != Kind::Object {
            return None;
        }
        if self.entries.capacity() > 1 << 16 {
            self.entries = Vec::new();
        }
        self.entries.clear();
        // Keys and values by turns.
        self.entries.extend(json.items(payload));
        if self.entries.len() > 2 * KEYS {
            return None;
        }
        let shapes = match self.shapes.get_mut(kind) {
            Some(shapes) => shapes,
            None => {
                if self.shapes.len() == TYPES {
                    self.shapes.clear();
                }
                self.shapes.entry(kind.into()).or_default()
            }
        };
        // The same program writes the same keys in the same order: comparing them is all it takes.
        let found = shapes.iter().find(|shape| shape.fits(json, &self.entries));
        let shape = match found {
            Some(shape) => shape.clone(),
            None => {
                let shape = Arc::new(Shape::learn(json, &self.entries, kind, &self.row.privacy)?);
                if shapes.len() == SHAPES {
                    shapes.clear();
                }
                shapes.push(shape.clone());
                shape
            }
        };
        let mut is_value = true;
        self.entries.retain(|_| {
            is_value = !is_value;
            is_value
        });
        Some(shape)
    }

    fn learn(&mut self, json: Json, kind: &str, shape: Option<Arc<Shape>>) {
        let key = |index: u32| json.raw(json.node(index));
        if json.entries(0).filter(|(index, _)| key(*index) == PAYLOAD_KEY).count() > 1 {
            return;
        }
        self.layouts.learn(json, PAYLOAD_KEY, |known| {
            let mut layout = known.unwrap_or_else(|| {
                let role = |is_inner, index| if is_inner { Some(Role::Entry) } else { Role::of(key(index)) };
                let spots = spots(json, PAYLOAD_KEY).into_iter();
                Layout { roles: spots.filter_map(|spot| role(spot.is_inner, spot.key)).collect(), shapes: Vec::new() }
            });
            if layout.shapes.len() == SHAPES {
                layout.shapes.clear();
            }
            if !layout.shapes.iter().any(|(of, _)| **of == *kind) {
                layout.shapes.push((kind.into(), shape));
            }
            layout
        });
    }

    /// Gives back what a huge event took.
    pub(super) fn shrink(&mut self) {
        let row = &mut self.row;
        row.outer.shrink();
        row.typed.shrink();
        for text in [&mut row.normal, &mut row.spare] {
            if text.capacity() > 1 << 20 {
                *text = String::new();
            }
        }
    }

    /// Makes the row of the event that was read last.
    pub fn push(&self, key: Key, rows: &mut Rows) {
        let row = &self.row;
        rows.begin(key.id, key.ts.0);
        rows.cells.extend(&row.outer);
        rows.cells.text(PAYLOAD, &row.normal[row.payload..]);
        rows.cells.extend(&row.typed);
        if row.summary.is_some() {
            slow::push_summary(&mut rows.cells, row.summary.as_deref(), |column| row.typed.has(column));
        }
    }
}

#[cfg(test)]
mod tests;
