//! The fast way from a line to a row: events of the contract in their usual shape, straight from the text.
//!
//! Takes an event only when it is sure to do exactly what the slow, obvious way does (`domain::event::normalise`, then
//! [`slow::push`]); everything unusual, and everything to be refused, is left to that. A test holds the two against each
//! other. A line that is laid out like one before is not even scanned: it is followed ([`Layouts`]).
//!
//! [`slow::push`]: super::slow::push

use super::memo::Memo;
use super::rows::{Cells, PAYLOAD, PR_ID, Place, REPO, Rows, TYPE, places};
use super::slow;
use domain::Timestamp;
use domain::fields::Kind as Type;
use domain::identity::{Identity, push_time};
use domain::json::layout::{Layouts, spots};
use domain::json::{Json, Kind, Node, Tape, number};
use domain::privacy::{Privacy, is_person_field, is_secret_field};
use foldhash::fast::RandomState;
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

/// Payload shapes that are remembered for each event type; a dump with more is read a little slower.
const SHAPES: usize = 64;

/// Keys of a payload whose shape is worth remembering.
const KEYS: usize = 256;

/// Event types whose shapes are remembered, and people whose hashes are.
const REMEMBERED: usize = 1 << 14;

const PAYLOAD_KEY: &str = "payload";

/// Reads one event after the other; what it learnt from one serves the next.
pub(super) struct NativeReader {
    identity: Identity,
    layouts: Layouts<Layout>,
    shapes: HashMap<Box<str>, Vec<Arc<Shape>>, RandomState>,
    entries: Vec<u32>,
    row: Row,
}

/// What is known of an event before it is decided whether it becomes a row.
#[derive(Clone, Copy)]
pub(super) struct Key {
    pub(super) id: u128,
    pub(super) ts: Timestamp,
}

/// The event that was read last, ready to become a row.
struct Row {
    privacy: Privacy,
    people: HashMap<Box<str>, Box<str>, RandomState>,
    memo: Memo,
    spare: String,
    /// Type and outer fields.
    outer: Cells,
    /// What the payload brings to columns of its own.
    typed: Cells,
    /// Everything that is hashed; ends with the payload.
    normal: String,
    payload: usize,
    /// The `change_summary` of an edit.
    summary: Option<String>,
}

/// The values of an event that say what it is, and those of its payload.
#[derive(Default)]
struct Event {
    ts: Option<Node>,
    kind: Option<Node>,
    outer: [Option<Node>; 7],
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

/// The keys of a payload in the order they are written, and what follows from them.
struct Shape {
    keys: Vec<Box<str>>,
    /// Their first sixteen bytes each, for comparing without a loop.
    heads: Vec<u128>,
    /// The entries by key, as the normal form has them.
    sorted: Vec<Entry>,
}

struct Entry {
    index: usize,
    /// A comma, the key in quotes and a colon.
    lead: Box<str>,
    place: Option<&'static Place>,
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

const PR: usize = PR_ID - REPO;
const DEVELOPER: usize = PR + 1;

impl NativeReader {
    pub(super) fn new(privacy: &Privacy) -> Self {
        Self {
            identity: Identity::new(privacy),
            layouts: Layouts::default(),
            shapes: HashMap::default(),
            entries: Vec::new(),
            row: Row {
                privacy: privacy.clone(),
                people: HashMap::default(),
                memo: Memo::new(),
                spare: String::new(),
                outer: Cells::default(),
                typed: Cells::default(),
                normal: String::new(),
                payload: 0,
                summary: None,
            },
        }
    }

    /// Reads a line that is laid out like one that was read before; none when it is not. [`Self::push`] then makes its
    /// row.
    #[inline]
    pub(super) fn follow(&mut self, tape: &mut Tape, line: &str) -> Option<Key> {
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
        Some(Key { id: self.identity.hash(self.row.normal.as_bytes()), ts })
    }

    /// Reads one event and remembers how it is laid out; none when it is not for the fast way.
    pub(super) fn read(&mut self, json: Json) -> Option<Key> {
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
                if self.shapes.len() == REMEMBERED {
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
    pub(super) fn push(&self, key: Key, rows: &mut Rows) {
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

impl Row {
    /// Begins the normal form and the cells: type, outer fields, time.
    fn outer(&mut self, json: Json, event: &Event) -> Option<Timestamp> {
        self.outer.clear();
        self.typed.clear();
        self.normal.clear();
        self.summary = None;
        let plain = |node: Node| (node.kind == Kind::Plain).then(|| json.raw(node));
        let ts = Timestamp::parse(plain(event.ts?)?).filter(|ts| ts.is_usable())?;
        let kind = event.kind.filter(|node| node.kind == Kind::Plain && node.start < node.end)?;
        let mut repo = None;
        self.text(json, TYPE, kind)?;
        for (field, node) in event.outer.iter().enumerate() {
            let Some(node) = node.filter(|node| node.kind != Kind::Null) else {
                self.normal.push_str("-,");
                continue;
            };
            let raw = json.raw(node);
            match (field, node.kind) {
                (PR, Kind::Number) => self.pr_id(repo?, raw)?,
                (_, Kind::Plain) if is_blank_around(raw) => return None,
                (DEVELOPER, Kind::Plain) => self.developer(raw)?,
                (_, Kind::Plain) => {
                    if field == PR {
                        let (_, number) = raw.rsplit_once('#').filter(|(owner, _)| !owner.is_empty())?;
                        if repo.is_none() || number.parse::<u64>().is_err() {
                            return None;
                        }
                    }
                    self.text(json, REPO + field, node)?;
                    if field == 0 {
                        repo = Some(raw);
                    }
                }
                _ => return None,
            }
        }
        push_time(ts.0, &mut self.normal);
        self.normal.push_str("{},");
        self.payload = self.normal.len();
        Some(ts)
    }

    /// A text that stays as it is.
    #[inline]
    fn text(&mut self, json: Json, column: usize, node: Node) -> Option<()> {
        let raw = json.raw(node);
        let clean = self.memo.write(json, node, &self.privacy, &mut self.normal, &mut self.spare);
        if clean != raw {
            return None;
        }
        self.normal.push(',');
        self.outer.text(column, raw);
        Some(())
    }

    /// A number of a repository; of repository and number no letter has to be written otherwise.
    fn pr_id(&mut self, repo: &str, number: &str) -> Option<()> {
        if !number::is_plain(number.as_bytes()) || !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        self.normal.push('"');
        let from = self.normal.len();
        self.normal.push_str(repo);
        self.normal.push('#');
        self.normal.push_str(number);
        self.outer.text(PR_ID, &self.normal[from..]);
        self.normal.push_str("\",");
        Some(())
    }

    fn developer(&mut self, name: &str) -> Option<()> {
        if !self.people.contains_key(name) {
            if self.people.len() == REMEMBERED {
                self.people.clear();
            }
            let hash = self.privacy.person(name);
            if self.privacy.is_erased(&hash) {
                return None;
            }
            self.people.insert(name.into(), hash.into());
        }
        let hash = self.people.get(name)?;
        self.outer.text(REPO + DEVELOPER, hash);
        self.normal.push('"');
        self.normal.push_str(hash);
        self.normal.push_str("\",");
        Some(())
    }

    /// Ends the normal form with the payload, and makes its cells.
    fn payload(&mut self, json: Json, entries: &[u32], shape: Option<&Shape>) -> Option<()> {
        let Some(shape) = shape else {
            self.normal.push_str("{}");
            return Some(());
        };
        self.normal.push('{');
        let mut empty = true;
        for entry in &shape.sorted {
            let value = entries[entry.index];
            let node = json.node(value);
            if node.kind == Kind::Null {
                if entry.place.is_some_and(|place| place.required) {
                    return None;
                }
                continue;
            }
            let lead = if std::mem::take(&mut empty) { &entry.lead[1..] } else { &entry.lead };
            self.normal.push_str(lead);
            self.value(json, value, node, entry.place)?;
        }
        self.normal.push('}');
        Some(())
    }

    /// One value of the payload, into the normal form and, where it has one, its column.
    fn value(&mut self, json: Json, index: u32, node: Node, place: Option<&'static Place>) -> Option<()> {
        let from = self.normal.len();
        let Some(place) = place else { return self.json(json, index, node) };
        let raw = json.raw(node);
        match (place.kind, node.kind) {
            (Type::Text | Type::Id | Type::Json, Kind::Plain | Kind::Escaped) => {
                let clean = self.memo.write(json, node, &self.privacy, &mut self.normal, &mut self.spare);
                self.typed.text(place.column, clean);
                if place.column == slow::summary_columns().summary {
                    self.summary = Some(clean.to_owned());
                }
            }
            (Type::Time, Kind::Plain) => {
                let at = Timestamp::parse(raw)?;
                self.json(json, index, node)?;
                self.typed.int(place.column, at.0);
            }
            (Type::Int | Type::Count | Type::Id, Kind::Number) => {
                let whole = number::whole(raw)?;
                if place.kind == Type::Count && whole < 0 {
                    return None;
                }
                number::push_canonical(raw, &mut self.normal);
                match place.kind {
                    Type::Id => self.typed.text(place.column, &self.normal[from..]),
                    _ => self.typed.int(place.column, whole),
                }
            }
            (Type::Float | Type::Amount, Kind::Number) => {
                let float = raw.parse().ok().filter(|f: &f64| f.is_finite())?;
                if place.kind == Type::Amount && float < 0.0 {
                    return None;
                }
                number::push_canonical(raw, &mut self.normal);
                self.typed.float(place.column, float);
            }
            (Type::Bool, Kind::True | Kind::False) => {
                self.normal.push_str(raw);
                self.typed.bool(place.column, node.kind == Kind::True);
            }
            (Type::List, Kind::Array)
            | (Type::Json, Kind::Array | Kind::Object | Kind::Number | Kind::True | Kind::False) => {
                self.json(json, index, node)?;
                self.typed.text(place.column, &self.normal[from..]);
            }
            _ => return None,
        }
        Some(())
    }

    /// Any value, into the normal form only.
    fn json(&mut self, json: Json, index: u32, node: Node) -> Option<()> {
        match node.kind {
            Kind::Null | Kind::True | Kind::False => self.normal.push_str(json.raw(node)),
            Kind::Number => number::push_canonical(json.raw(node), &mut self.normal),
            Kind::Plain | Kind::Escaped => {
                self.memo.write(json, node, &self.privacy, &mut self.normal, &mut self.spare);
            }
            Kind::Array => {
                self.normal.push('[');
                for (i, item) in json.items(index).enumerate() {
                    if i > 0 {
                        self.normal.push(',');
                    }
                    self.json(json, item, json.node(item))?;
                }
                self.normal.push(']');
            }
            Kind::Object => {
                let mut entries = Vec::new();
                for (key, value) in json.entries(index) {
                    entries.push((usual_key(json, json.node(key), &self.privacy)?, value));
                }
                sort_last_wins(&mut entries);
                self.normal.push('{');
                let mut empty = true;
                for (key, value) in entries {
                    let node = json.node(value);
                    if node.kind != Kind::Null {
                        if !std::mem::take(&mut empty) {
                            self.normal.push(',');
                        }
                        self.normal.push('"');
                        self.normal.push_str(key);
                        self.normal.push_str("\":");
                        self.json(json, value, node)?;
                    }
                }
                self.normal.push('}');
            }
        }
        Some(())
    }
}

impl Shape {
    fn learn(json: Json, entries: &[u32], kind: &str, privacy: &Privacy) -> Option<Self> {
        let keys = entries.iter().step_by(2).map(|key| usual_key(json, json.node(*key), privacy));
        let keys: Vec<&str> = keys.collect::<Option<_>>()?;
        let mut sorted: Vec<(&str, usize)> = keys.iter().copied().zip(0..).collect();
        sort_last_wins(&mut sorted);
        let places = places(kind);
        if places.iter().any(|place| place.required && !keys.contains(&place.name)) {
            return None;
        }
        let place = |key: &str| places.iter().find(|place| place.name == key);
        let lead = |key: &str| format!(",\"{key}\":").into_boxed_str();
        Some(Self {
            sorted: sorted
                .into_iter()
                .map(|(key, index)| Entry { index, lead: lead(key), place: place(key) })
                .collect(),
            heads: keys.iter().map(|key| head(key)).collect(),
            keys: keys.into_iter().map(Into::into).collect(),
        })
    }

    fn fits(&self, json: Json, entries: &[u32]) -> bool {
        entries.len() == 2 * self.keys.len()
            && entries.iter().step_by(2).zip(&self.keys).zip(&self.heads).all(|((entry, key), head)| {
                let node = json.node(*entry);
                let length = (node.end - node.start) as usize;
                length == key.len()
                    && node.kind == Kind::Plain
                    && json.head(node) == *head
                    && (length <= 16 || json.raw(node)[16..] == key[16..])
            })
    }
}

/// The first sixteen bytes of a text as a number, as [`Json::head`] has them.
fn head(text: &str) -> u128 {
    text.bytes().take(16).rev().fold(0, |head, byte| head << 8 | u128::from(byte))
}

/// Whether a text has nothing in it, or blanks around it.
fn is_blank_around(text: &str) -> bool {
    match text.as_bytes() {
        [] => true,
        [first, .., last] if first.is_ascii_graphic() && last.is_ascii_graphic() => false,
        _ => text.trim().len() != text.len(),
    }
}

/// A key that says nothing about how its value must be kept.
fn usual_key<'t>(json: Json<'t>, key: Node, privacy: &Privacy) -> Option<&'t str> {
    let text = (key.kind == Kind::Plain).then(|| json.raw(key))?;
    let usual = !is_person_field(text) && !is_secret_field(text) && matches!(privacy.scrub(text), Cow::Borrowed(_));
    usual.then_some(text)
}

/// Sorts entries by their keys; of a key written twice the last counts.
fn sort_last_wins<T>(entries: &mut Vec<(&str, T)>) {
    entries.reverse();
    entries.sort_by_key(|(key, _)| *key);
    entries.dedup_by_key(|(key, _)| *key);
}

#[cfg(test)]
#[path = "native/tests.rs"]
mod tests;
