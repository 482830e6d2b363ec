//! One event becomes a row: its normal form, which is hashed, and the cells of its columns, value by value in one pass.

use super::shape::{Shape, sort_last_wins, usual_key};
use crate::memo::Memo;
use crate::rows::{Cells, PR_ID, Place, REPO, TYPE};
use crate::slow;
use domain::Timestamp;
use domain::fields::Kind as Type;
use domain::identity::push_time;
use domain::json::{Json, Kind, Node, number};
use domain::privacy::{Privacy, is_opening, is_pair, is_telling};
use foldhash::fast::RandomState;
use memchr::memmem::Finder;
use std::collections::HashMap;

/// Where the fields stand among the outer ones.
const BRANCH: usize = 1;
pub(super) const PR: usize = PR_ID - REPO;
pub(super) const DEVELOPER: usize = PR + 1;

/// People whose hashes are remembered.
const PEOPLE: usize = 1 << 14;

/// The values of an event that say what it is, and those of its payload.
#[derive(Default)]
pub(super) struct Event {
    pub(super) ts: Option<Node>,
    pub(super) kind: Option<Node>,
    pub(super) outer: [Option<Node>; 7],
}

/// A person who came before.
struct Person {
    hash: Box<str>,
    /// For their name in the other texts of an event; none where the name is a word as well.
    name: Option<Finder<'static>>,
}

/// The event that was read last, ready to become a row.
pub(super) struct Row {
    pub(super) privacy: Privacy,
    people: HashMap<Box<str>, Person, RandomState>,
    pub(super) memo: Memo,
    pub(super) spare: String,
    /// Type and outer fields.
    pub(super) outer: Cells,
    /// What the payload brings to columns of its own.
    pub(super) typed: Cells,
    /// Everything that is hashed; ends with the payload.
    pub(super) normal: String,
    pub(super) payload: usize,
    /// The `change_summary` of an edit.
    pub(super) summary: Option<String>,
}

impl Row {
    pub(super) fn new(privacy: &Privacy) -> Self {
        Self {
            privacy: privacy.clone(),
            people: HashMap::default(),
            memo: Memo::new(),
            spare: String::new(),
            outer: Cells::default(),
            typed: Cells::default(),
            normal: String::new(),
            payload: 0,
            summary: None,
        }
    }

    /// Begins the normal form and the cells: type, outer fields, time.
    pub(super) fn outer(&mut self, json: Json, event: &Event) -> Option<Timestamp> {
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
                (BRANCH, Kind::Plain) if is_owned(raw) && self.privacy.scrub_branch(raw) != raw => return None,
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
            if self.people.len() == PEOPLE {
                self.people.clear();
            }
            let hash = self.privacy.person(name);
            if self.privacy.is_erased(&hash) {
                return None;
            }
            let finder = is_telling(name).then(|| Finder::new(name).into_owned());
            self.people.insert(name.into(), Person { hash: hash.into(), name: finder });
        }
        let Person { hash, .. } = self.people.get(name)?;
        self.outer.text(REPO + DEVELOPER, hash);
        self.normal.push('"');
        self.normal.push_str(hash);
        self.normal.push_str("\",");
        Some(())
    }

    /// Ends the normal form with the payload, and makes its cells.
    pub(super) fn payload(&mut self, json: Json, entries: &[u32], shape: Option<&Shape>) -> Option<()> {
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

    /// Whether the payload does not give away who is hashed beside it.
    pub(super) fn hides(&self, json: Json, developer: Option<Node>) -> bool {
        let Some(developer) = developer.filter(|node| node.kind == Kind::Plain) else { return true };
        let person = self.people.get(json.raw(developer));
        let name = person.and_then(|person| person.name.as_ref());
        name.is_none_or(|name| name.find(&self.normal.as_bytes()[self.payload..]).is_none())
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
                if place.kind == Type::Count && !place.holds(whole as f64) {
                    return None;
                }
                number::push_canonical(raw, &mut self.normal);
                match place.kind {
                    Type::Id => self.typed.text(place.column, &self.normal[from..]),
                    _ if place.is_none(whole as f64) => {}
                    _ => self.typed.int(place.column, whole),
                }
            }
            (Type::Float | Type::Amount, Kind::Number) => {
                let float = raw.parse().ok().filter(|f: &f64| f.is_finite())?;
                if place.kind == Type::Amount && !place.holds(float) {
                    return None;
                }
                number::push_canonical(raw, &mut self.normal);
                if !place.is_none(float) {
                    self.typed.float(place.column, float);
                }
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
                    // What one says of the next is for the slow way.
                    let inner = json.node(item);
                    if matches!(inner.kind, Kind::Plain | Kind::Escaped) && is_opening(json.raw(inner)) {
                        return None;
                    }
                    self.json(json, item, inner)?;
                }
                self.normal.push(']');
            }
            Kind::Object => {
                let mut entries = Vec::new();
                for (key, value) in json.entries(index) {
                    entries.push((usual_key(json, json.node(key), &self.privacy)?, value));
                }
                if is_pair(entries.iter().map(|(key, _)| *key)) {
                    return None;
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

/// Whether a branch may begin with whose it is: `users/ann/fix`.
fn is_owned(branch: &str) -> bool {
    ["u/", "user/", "users/", "refs/heads/u"].iter().any(|start| branch.starts_with(start))
}

/// Whether a text has nothing in it, or blanks around it.
fn is_blank_around(text: &str) -> bool {
    match text.as_bytes() {
        [] => true,
        [first, .., last] if first.is_ascii_graphic() && last.is_ascii_graphic() => false,
        _ => text.trim().len() != text.len(),
    }
}
