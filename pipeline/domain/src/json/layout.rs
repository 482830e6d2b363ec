//! The texts around the values of one JSON object after the other, so that the next one like them is only compared.
//!
//! A program writes its objects with the same keys in the same order and with the same blanks between them. Whoever has
//! seen one knows of the next where the values are: what stands between them is compared as it is, and nothing but the
//! values is looked at. All layouts together are a tree of the texts between the values.

use super::{Json, Kind, Node, Tape, skip_space};

/// Texts that are remembered; a dump with more begins anew.
const STEPS: usize = 4096;

/// Bytes of them.
const STEP_BYTES: usize = 1 << 18;

/// Layouts that are learnt whether they come again or not; then one for every few objects that were followed.
const TRIALS: u64 = 64;

/// The layouts seen so far, and what is known of each.
#[derive(Debug)]
pub struct Layouts<T> {
    /// Texts that may come next; the first branch is the beginning.
    branches: Vec<Vec<Step>>,
    leaves: Vec<T>,
    steps: usize,
    bytes: usize,
    followed: u64,
    learnt: u64,
}

/// A text between two values.
#[derive(Debug)]
struct Step {
    text: Box<[u8]>,
    /// Its first sixteen bytes, and which of their bits count.
    head: u128,
    mask: u128,
    /// The bracket of the value after it, if it has one, and how deep it is in others.
    opens: Option<u8>,
    depth: u8,
    hits: u32,
    then: Then,
}

#[derive(Clone, Copy, Debug)]
enum Then {
    /// A value, then one of these.
    Branch(u32),
    /// Nothing: the text ends.
    Leaf(u32),
}

/// A value of an object, or of the inner object that is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spot {
    /// The node of its key.
    pub key: u32,
    /// Its node.
    pub value: u32,
    /// Whether it is in the inner object.
    pub is_inner: bool,
}

/// The values that a layout has, in the order they are written: those of the object, but of the object under the key
/// `inner` its own values.
pub fn spots(json: Json, inner: &str) -> Vec<Spot> {
    let mut spots = Vec::new();
    for (key, value) in json.entries(0) {
        if opens(json, key, value, inner) {
            spots.extend(json.entries(value).map(|(key, value)| Spot { key, value, is_inner: true }));
        } else {
            spots.push(Spot { key, value, is_inner: false });
        }
    }
    spots
}

fn opens(json: Json, key: u32, value: u32, inner: &str) -> bool {
    json.node(value).kind == Kind::Object && json.node(key).kind == Kind::Plain && json.raw(json.node(key)) == inner
}

impl<T> Default for Layouts<T> {
    fn default() -> Self {
        Self { branches: vec![Vec::new()], leaves: Vec::new(), steps: 0, bytes: 0, followed: 0, learnt: 0 }
    }
}

impl<T> Layouts<T> {
    /// Lays out the values of a text that is like one learnt before: the items of node 0, as [`spots`] has them. None
    /// when it is like none, or no JSON.
    pub fn follow<'t>(&mut self, tape: &'t mut Tape, text: &'t str) -> Option<(&mut T, Json<'t>)> {
        let bytes = text.as_bytes();
        tape.nodes.clear();
        tape.open.clear();
        tape.push(Kind::Array, 0, u32::try_from(bytes.len()).ok()? as usize);
        let (mut at, mut branch) = (0, 0);
        let leaf = loop {
            let steps = &mut self.branches[branch as usize];
            let found = steps.iter().position(|step| step.fits(bytes, at))?;
            at += steps[found].text.len();
            let depth = steps[found].depth;
            let then = steps[found].then;
            // The most frequent first.
            steps[found].hits = steps[found].hits.saturating_add(1);
            if found > 0 && steps[found].hits > steps[found - 1].hits {
                steps.swap(found, found - 1);
            }
            branch = match then {
                Then::Branch(branch) => branch,
                Then::Leaf(leaf) => break leaf,
            };
            if bytes.get(at) == Some(&b'"') {
                tape.string(bytes, &mut at).ok()?;
            } else {
                at = tape.whole_value(bytes, at, usize::from(depth)).ok()?;
            }
        };
        tape.nodes[0].next = tape.nodes.len() as u32;
        self.followed += 1;
        Some((&mut self.leaves[leaf as usize], Json { nodes: &tape.nodes, text }))
    }

    /// Remembers the layout of an object, with what `leaf` makes of what is known of it. Nothing is learnt of what is
    /// no object, or when layouts hardly ever come again.
    pub fn learn(&mut self, json: Json, inner: &str, leaf: impl FnOnce(Option<T>) -> T) -> Option<()>
    where
        T: Clone,
    {
        if json.node(0).kind != Kind::Object || self.learnt > TRIALS + self.followed / 4 {
            return None;
        }
        self.learnt += 1;
        if self.steps > STEPS || self.bytes > STEP_BYTES {
            let (followed, learnt) = (self.followed, self.learnt);
            *self = Self { followed, learnt, ..Self::default() };
        }
        let bytes = json.text.as_bytes();
        let (mut from, mut branch) = (0, 0);
        for spot in spots(json, inner) {
            let node = json.node(spot.value);
            let (start, end) = extent(node);
            let depth = if spot.is_inner { 2 } else { 1 };
            let opens = matches!(node.kind, Kind::Array | Kind::Object).then_some(bytes[start]);
            branch = match self.step(branch, &bytes[from..start], opens, depth, false) {
                Then::Branch(branch) => branch,
                Then::Leaf(_) => return None,
            };
            from = end;
        }
        // What follows the object is no part of it.
        let end = skip_space(bytes, json.node(0).end as usize);
        let Then::Leaf(at) = self.step(branch, &bytes[from..end], None, 0, true) else { return None };
        match self.leaves.get_mut(at as usize) {
            Some(known) => *known = leaf(Some(known.clone())),
            None => self.leaves.push(leaf(None)),
        }
        Some(())
    }

    /// The step with this text from a branch, found or made.
    fn step(&mut self, branch: u32, text: &[u8], opens: Option<u8>, depth: u8, is_last: bool) -> Then {
        let steps = &self.branches[branch as usize];
        let same =
            |step: &&Step| *step.text == *text && step.opens == opens && matches!(step.then, Then::Leaf(_)) == is_last;
        if let Some(step) = steps.iter().find(same) {
            return step.then;
        }
        let then = if is_last {
            Then::Leaf(self.leaves.len() as u32)
        } else {
            self.branches.push(Vec::new());
            Then::Branch(self.branches.len() as u32 - 1)
        };
        let length = text.len().min(16);
        let mut head = [0; 16];
        head[..length].copy_from_slice(&text[..length]);
        let mask = if length < 16 { (1 << (8 * length)) - 1 } else { u128::MAX };
        let head = u128::from_le_bytes(head);
        self.branches[branch as usize].push(Step { text: text.into(), head, mask, opens, depth, hits: 0, then });
        self.steps += 1;
        self.bytes += text.len();
        then
    }
}

impl Step {
    #[inline]
    fn fits(&self, bytes: &[u8], at: usize) -> bool {
        let is_there = match bytes.get(at..at + 16) {
            Some(window) => {
                let window = u128::from_le_bytes(window.try_into().expect("a slice of sixteen bytes"));
                (window ^ self.head) & self.mask == 0
                    && (self.text.len() <= 16 || bytes[at + 16..].starts_with(&self.text[16..]))
            }
            None => bytes[at..].starts_with(&self.text),
        };
        let end = at + self.text.len();
        is_there
            && match self.then {
                Then::Leaf(_) => end == bytes.len(),
                // A blank is part of the text, or another layout's.
                Then::Branch(_) => match bytes.get(end) {
                    Some(bracket @ (b'{' | b'[')) => self.opens == Some(*bracket),
                    Some(byte) => self.opens.is_none() && *byte > b' ',
                    None => false,
                },
            }
    }
}

/// Where a value begins and ends in the text, with its quotes.
fn extent(node: Node) -> (usize, usize) {
    let quote = usize::from(matches!(node.kind, Kind::Plain | Kind::Escaped));
    (node.start as usize - quote, node.end as usize + quote)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    /// The values of a text by its tape.
    fn scanned(text: &str, inner: &str) -> Option<Vec<Value>> {
        let mut tape = Tape::default();
        let json = tape.scan(text).ok()?;
        Some(spots(json, inner).into_iter().map(|spot| json.value(spot.value)).collect())
    }

    fn followed(layouts: &mut Layouts<usize>, text: &str) -> Option<(usize, Vec<Value>)> {
        let mut tape = Tape::default();
        let (leaf, json) = layouts.follow(&mut tape, text)?;
        Some((*leaf, json.items(0).map(|item| json.value(item)).collect()))
    }

    fn learn(layouts: &mut Layouts<usize>, text: &str, leaf: usize) {
        let mut tape = Tape::default();
        if let Ok(json) = tape.scan(text) {
            layouts.learn(json, "in", |_| leaf);
        }
    }

    #[test]
    fn what_is_like_a_text_learnt_is_followed_and_nothing_else_is() {
        let mut layouts = Layouts::default();
        let learnt = [r#"{"a":1,"in":{"b":"x","c":[1,{"d":2}]},"e":null}"#, r#"{"a":1}"#, r#"{ "a" : "q", "in":{} }"#];
        for (number, text) in learnt.iter().enumerate() {
            learn(&mut layouts, text, number);
        }
        for (text, number) in [
            (r#"{"a":1,"in":{"b":"x","c":[1,{"d":2}]},"e":null}"#, 0),
            (r#"{"a":"one\n","in":{"b":-2.5e3,"c":[]},"e":true}"#, 0),
            (r#"{"a":false}"#, 1),
            (r#"{ "a" : 2, "in":{} }"#, 2),
        ] {
            let values = scanned(text, "in").unwrap();
            assert_eq!(followed(&mut layouts, text), Some((number, values)), "{text}");
        }
        for text in [
            "",
            "{",
            r#"{"a":"#,
            r#"{"a":}"#,
            r#"{"a":1"#,
            r#"{"a":1}}"#,
            r#"{"a":1} "#,
            r#"{"a":1 }"#,
            r#"{"a": 1}"#,
            r#"{"a":[1]}"#,
            r#"{"a":01}"#,
            r#"{"a":1.}"#,
            r#"{"b":1}"#,
            r#"{"a":1,"in":{"b":"x","c":3},"e":null}"#,
            r#"{"a":1,"in":{"b":"x","c":[1,},"e":null}"#,
            r#"{"a":1,"in":null,"e":null}"#,
            r#"{ "a" : 2, "in":{}}"#,
        ] {
            assert_eq!(followed(&mut layouts, text), None, "{text}");
        }
    }

    #[test]
    fn nesting_has_the_same_limit_as_for_a_tape() {
        let mut layouts = Layouts::default();
        learn(&mut layouts, r#"{"in":{"b":[]},"c":[]}"#, 0);
        for (b, c) in [(125, 126), (126, 126), (125, 127), (124, 125)] {
            let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
            let text = format!(r#"{{"in":{{"b":{}}},"c":{}}}"#, nested(b), nested(c));
            let values = followed(&mut layouts, &text).map(|(_, values)| values);
            assert_eq!(values, scanned(&text, "in"), "{b} {c}");
        }
    }

    #[test]
    fn a_dump_whose_objects_are_all_different_costs_no_memory() {
        let mut layouts = Layouts::default();
        for n in 0..10_000 {
            learn(&mut layouts, &format!(r#"{{"key {n}":1}}"#), n);
        }
        assert!(layouts.steps <= 2 * TRIALS as usize + 2, "{}", layouts.steps);
        for n in 0..10_000 {
            learn(&mut layouts, r#"{"key 1":2}"#, 1);
            (0..9).for_each(|_| assert!(followed(&mut layouts, r#"{"key 1":2}"#).is_some()));
            learn(&mut layouts, &format!(r#"{{"key {n} {}":1}}"#, "x".repeat(n)), n);
            assert!(layouts.steps <= STEPS + 4 && layouts.bytes <= STEP_BYTES + n + 100);
        }
    }

    fn any_object() -> impl Strategy<Value = String> {
        let value = proptest::sample::select(
            &[
                "1",
                "-2.50",
                "\"x\"",
                "\"\\u00e9\\\"\"",
                "null",
                "[]",
                "{}",
                "[1, {\"b\" :2}]",
                "{\"a\":[null]}",
                "01",
                "\"",
            ][..],
        );
        let key = proptest::sample::select(&["a", "b", "in", "a rather long key, longer than a head"][..]);
        let colon = proptest::sample::select(&[":", ": ", " :"][..]);
        let entry = (key.clone(), colon, value).prop_map(|(key, colon, value)| format!("\"{key}\"{colon}{value}"));
        let object = |entries: Vec<String>| format!("{{{}}}", entries.join(","));
        let inner = proptest::collection::vec(entry.clone(), 0..3).prop_map(move |e| format!("\"in\":{}", object(e)));
        proptest::collection::vec(prop_oneof![2 => entry, 1 => inner], 0..4).prop_map(object)
    }

    proptest! {
        #[test]
        fn following_gives_what_scanning_gives_or_nothing(texts in proptest::collection::vec(any_object(), 1..60)) {
            let mut layouts = Layouts::default();
            for (number, text) in texts.iter().enumerate() {
                let wanted = scanned(text, "in");
                if let Some((_, values)) = followed(&mut layouts, text) {
                    prop_assert_eq!(Some(values), wanted.clone(), "{}", text);
                }
                learn(&mut layouts, text, number);
                prop_assert_eq!(followed(&mut layouts, text).map(|(_, values)| values), wanted, "{}", text);
            }
        }
    }
}
