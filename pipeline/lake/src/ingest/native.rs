//! The fast way from a line to a row: events of the contract in their usual shape, straight from the text.
//!
//! Takes an event only when it is sure to do exactly what the slow, obvious way does (`domain::event::normalise`, then
//! [`slow::push`]); everything unusual, and everything to be refused, is left to that. A test holds the two against each
//! other.
//!
//! [`slow::push`]: super::slow::push

use super::rows::{CONTEXT, PAYLOAD, Place, REPO, Rows, TYPE, places};
use super::slow;
use domain::Timestamp;
use domain::fields::Kind as Type;
use domain::identity::{Identity, push_outer};
use domain::json::{Json, Kind, Node, number, push_string};
use domain::privacy::{Privacy, is_person_field, is_secret_field};
use foldhash::fast::RandomState;
use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

/// Payload shapes that are remembered for each event type; a dump with more is read a little slower.
const SHAPES: usize = 64;

/// Keys of a payload whose shape is worth remembering.
const KEYS: usize = 256;

/// Event types whose shapes are remembered, and people whose hashes are.
const REMEMBERED: usize = 1 << 14;

/// Reads one event after the other; what it learnt from one serves the next.
pub(super) struct NativeReader {
    privacy: Privacy,
    identity: Identity,
    shapes: HashMap<Box<str>, Vec<Shape>, RandomState>,
    people: HashMap<Box<str>, Box<str>, RandomState>,
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
#[derive(Default)]
struct Row {
    /// Texts as they are stored; the ranges below are in it.
    text: String,
    kind: Range<u32>,
    outer: [Option<Range<u32>>; 7],
    /// Everything that is hashed; ends with the payload.
    normal: String,
    payload: usize,
    cells: Vec<(usize, Cell)>,
}

enum Cell {
    Text(Range<u32>),
    /// JSON, stored as it is hashed: in the normal form.
    Json(Range<u32>),
    Int(i64),
    Float(f64),
    Bool(bool),
}

/// The keys of a payload in the order they are written, and what follows from them.
struct Shape {
    keys: Vec<Box<str>>,
    /// Their first sixteen bytes each, for comparing without a loop.
    heads: Vec<u128>,
    /// The entries by key, as the normal form has them, each with its column.
    sorted: Vec<(usize, Option<&'static Place>)>,
}

impl NativeReader {
    pub(super) fn new(privacy: &Privacy) -> Self {
        Self {
            privacy: privacy.clone(),
            identity: Identity::new(privacy),
            shapes: HashMap::default(),
            people: HashMap::default(),
            entries: Vec::new(),
            row: Row::default(),
        }
    }

    /// Reads one event; none when it is not for the fast way. [`Self::push`] then makes its row.
    pub(super) fn read(&mut self, json: Json) -> Option<Key> {
        if json.node(0).kind != Kind::Object {
            return None;
        }
        let (mut ts, mut kind, mut payload) = (None, None, None);
        let mut outer: [Option<Node>; 7] = [None; 7];
        for (key, value) in json.entries(0) {
            let (key, node) = (json.node(key), json.node(value));
            if key.kind != Kind::Plain {
                return None;
            }
            match json.raw(key) {
                "ts" => ts = Some(node),
                "type" => kind = Some(node),
                "payload" => payload = Some(value).filter(|_| node.kind != Kind::Null),
                "repo" => outer[0] = Some(node),
                "branch" => outer[1] = Some(node),
                "pr" => outer[2] = Some(node),
                "developer" => outer[3] = Some(node),
                "env" => outer[4] = Some(node),
                "resource" => outer[5] = Some(node),
                "session" => outer[6] = Some(node),
                _ => return None,
            }
        }
        let plain = |node: Node| (node.kind == Kind::Plain).then(|| json.raw(node));
        let ts = Timestamp::parse(plain(ts?)?).filter(|ts| ts.is_usable())?;
        let kind = plain(kind?).filter(|kind| !kind.is_empty())?;
        let Cow::Borrowed(kind) = self.privacy.scrub(kind) else { return None };
        self.row.clear();
        self.row.push_kind(kind);
        for (i, node) in outer.into_iter().enumerate() {
            if let Some(node) = node.filter(|node| node.kind != Kind::Null) {
                self.outer_field(json, i, node)?;
            }
        }
        self.row.begin_normal(ts);
        match payload {
            Some(payload) => self.payload(json, kind, payload)?,
            None if places(kind).iter().any(|place| place.required) => return None,
            None => self.row.normal.push_str("{}"),
        }
        Some(Key { id: self.identity.hash(self.row.normal.as_bytes()), ts })
    }

    fn outer_field(&mut self, json: Json, field: usize, node: Node) -> Option<()> {
        const PR: usize = 2;
        const DEVELOPER: usize = 3;
        let raw = json.raw(node);
        let text = &mut self.row.text;
        let from = text.len() as u32;
        match (field, node.kind) {
            (PR, Kind::Number) => {
                let repo = self.row.outer[0].clone()?;
                if !number::is_plain(raw.as_bytes()) || !raw.bytes().all(|byte| byte.is_ascii_digit()) {
                    return None;
                }
                let repo = text[repo.start as usize..repo.end as usize].to_owned();
                text.push_str(&repo);
                text.push('#');
                text.push_str(raw);
            }
            (_, Kind::Plain) if raw.is_empty() || raw.trim().len() != raw.len() => return None,
            (DEVELOPER, Kind::Plain) => match self.people.get(raw) {
                Some(hash) => text.push_str(hash),
                None => {
                    if self.people.len() == REMEMBERED {
                        self.people.clear();
                    }
                    let hash = self.privacy.person(raw);
                    if self.privacy.is_erased(&hash) {
                        return None;
                    }
                    text.push_str(&hash);
                    self.people.insert(raw.into(), hash.into());
                }
            },
            (_, Kind::Plain) => {
                let Cow::Borrowed(clean) = self.privacy.scrub(raw) else { return None };
                if field == PR {
                    let (_, number) = clean.rsplit_once('#').filter(|(owner, _)| !owner.is_empty())?;
                    if self.row.outer[0].is_none() || number.parse::<u64>().is_err() {
                        return None;
                    }
                }
                text.push_str(clean);
            }
            _ => return None,
        }
        self.row.outer[field] = Some(from..text.len() as u32);
        Some(())
    }

    fn payload(&mut self, json: Json, kind: &str, payload: u32) -> Option<()> {
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
        let found = shapes.iter().position(|shape| shape.fits(json, &self.entries));
        let at = match found {
            Some(at) => at,
            None => {
                let shape = Shape::learn(json, &self.entries, kind, &self.privacy)?;
                if shapes.len() == SHAPES {
                    shapes.clear();
                }
                shapes.push(shape);
                shapes.len() - 1
            }
        };
        let shape = &shapes[at];
        let row = &mut self.row;
        row.normal.push('{');
        let mut empty = true;
        for (entry, place) in &shape.sorted {
            let value = self.entries[2 * entry + 1];
            let node = json.node(value);
            if node.kind == Kind::Null {
                if place.is_some_and(|place| place.required) {
                    return None;
                }
                continue;
            }
            if !std::mem::take(&mut empty) {
                row.normal.push(',');
            }
            row.normal.push('"');
            row.normal.push_str(&shape.keys[*entry]);
            row.normal.push_str("\":");
            row.value(json, value, node, *place, &self.privacy)?;
        }
        row.normal.push('}');
        Some(())
    }

    /// Gives back what a huge event took.
    pub(super) fn shrink(&mut self) {
        for text in [&mut self.row.text, &mut self.row.normal] {
            if text.capacity() > 1 << 20 {
                *text = String::new();
            }
        }
    }

    /// Makes the row of the event that was read last.
    pub(super) fn push(&self, key: Key, rows: &mut Rows) {
        let row = &self.row;
        let text = |range: &Range<u32>| &row.text[range.start as usize..range.end as usize];
        rows.begin(key.id, key.ts.0);
        let kind = text(&row.kind);
        rows.text(TYPE, kind);
        for (column, field) in (REPO..CONTEXT).zip(&row.outer) {
            if let Some(range) = field {
                rows.text(column, text(range));
            }
        }
        rows.text(PAYLOAD, &row.normal[row.payload..]);
        for (column, cell) in &row.cells {
            match cell {
                Cell::Text(range) => rows.text(*column, text(range)),
                Cell::Json(range) => rows.text(*column, &row.normal[range.start as usize..range.end as usize]),
                Cell::Int(value) => rows.int(*column, *value),
                Cell::Float(value) => rows.float(*column, *value),
                Cell::Bool(value) => rows.bool(*column, *value),
            }
        }
        if kind == "edit" {
            let cell = |wanted: usize| row.cells.iter().find(|(column, _)| *column == wanted).map(|(_, cell)| cell);
            let summary = match cell(slow::summary_columns().summary) {
                Some(Cell::Text(range)) => Some(text(range)),
                _ => None,
            };
            slow::push_summary(rows, summary, |column| cell(column).is_some());
        }
    }
}

impl Row {
    fn clear(&mut self) {
        self.text.clear();
        self.normal.clear();
        self.cells.clear();
        self.outer = Default::default();
    }

    fn push_kind(&mut self, kind: &str) {
        self.text.push_str(kind);
        self.kind = 0..self.text.len() as u32;
    }

    fn begin_normal(&mut self, ts: Timestamp) {
        let Self { text, kind, outer, normal, .. } = self;
        let slice = |range: &Range<u32>| &text[range.start as usize..range.end as usize];
        let fields = [0, 1, 2, 3, 4, 5, 6].map(|i: usize| outer[i].as_ref().map(slice));
        push_outer(slice(kind), &fields, ts.0, normal);
        normal.push_str("{},");
        self.payload = normal.len();
    }

    /// One value of the payload, into the normal form and, where it has one, its column.
    fn value(
        &mut self,
        json: Json,
        index: u32,
        node: Node,
        place: Option<&'static Place>,
        privacy: &Privacy,
    ) -> Option<()> {
        let from = self.normal.len() as u32;
        let Some(place) = place else { return self.json(json, index, node, privacy) };
        let raw = json.raw(node);
        let cell = match (place.kind, node.kind) {
            (Type::Text | Type::Id | Type::Json, Kind::Plain | Kind::Escaped) => {
                Cell::Text(self.stored_text(json, node, privacy))
            }
            (Type::Time, Kind::Plain) => {
                let at = Timestamp::parse(raw)?;
                self.json(json, index, node, privacy)?;
                Cell::Int(at.0)
            }
            (Type::Int | Type::Count | Type::Id, Kind::Number) => {
                let whole = number::whole(raw)?;
                if place.kind == Type::Count && whole < 0 {
                    return None;
                }
                number::push_canonical(raw, &mut self.normal);
                match place.kind {
                    Type::Id => Cell::Json(from..self.normal.len() as u32),
                    _ => Cell::Int(whole),
                }
            }
            (Type::Float | Type::Amount, Kind::Number) => {
                let float = raw.parse().ok().filter(|f: &f64| f.is_finite())?;
                if place.kind == Type::Amount && float < 0.0 {
                    return None;
                }
                number::push_canonical(raw, &mut self.normal);
                Cell::Float(float)
            }
            (Type::Bool, Kind::True | Kind::False) => {
                self.normal.push_str(raw);
                Cell::Bool(node.kind == Kind::True)
            }
            (Type::List, Kind::Array)
            | (Type::Json, Kind::Array | Kind::Object | Kind::Number | Kind::True | Kind::False) => {
                self.json(json, index, node, privacy)?;
                Cell::Json(from..self.normal.len() as u32)
            }
            _ => return None,
        };
        self.cells.push((place.column, cell));
        Some(())
    }

    /// Keeps a text for its column and writes it into the normal form.
    fn stored_text(&mut self, json: Json, node: Node, privacy: &Privacy) -> Range<u32> {
        let from = self.text.len() as u32;
        let value = json.string(node);
        let clean = privacy.scrub(&value);
        match (&clean, node.kind) {
            // As it is written, it is what it is.
            (Cow::Borrowed(_), Kind::Plain) => {
                self.normal.push('"');
                self.normal.push_str(&clean);
                self.normal.push('"');
            }
            _ => push_string(&clean, &mut self.normal),
        }
        self.text.push_str(&clean);
        from..self.text.len() as u32
    }

    /// Any value, into the normal form only.
    fn json(&mut self, json: Json, index: u32, node: Node, privacy: &Privacy) -> Option<()> {
        match node.kind {
            Kind::Null | Kind::True | Kind::False => self.normal.push_str(json.raw(node)),
            Kind::Number => number::push_canonical(json.raw(node), &mut self.normal),
            Kind::Plain | Kind::Escaped => push_string(&privacy.scrub(&json.string(node)), &mut self.normal),
            Kind::Array => {
                self.normal.push('[');
                for (i, item) in json.items(index).enumerate() {
                    if i > 0 {
                        self.normal.push(',');
                    }
                    self.json(json, item, json.node(item), privacy)?;
                }
                self.normal.push(']');
            }
            Kind::Object => {
                let mut entries = Vec::new();
                for (key, value) in json.entries(index) {
                    entries.push((usual_key(json, json.node(key), privacy)?, value));
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
                        self.json(json, value, node, privacy)?;
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
        Some(Self {
            sorted: sorted.into_iter().map(|(key, entry)| (entry, place(key))).collect(),
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
mod tests;
