//! Texts that came before, masked and written: the same commands, files and messages come again and again.

use domain::json::{Json, Kind, Node, push_string};
use domain::privacy::Privacy;
use foldhash::fast::RandomState;
use std::borrow::Cow;
use std::hash::BuildHasher;

/// Texts that are remembered, a power of two.
const SLOTS: usize = 1 << 13;

/// Shorter texts are read anew in less time than it takes to find them, in bytes; longer ones hardly come again.
const LENGTHS: std::ops::RangeInclusive<usize> = 8..=512;

/// What is known of the text that has this place.
#[derive(Default)]
struct Slot {
    /// Of the text that came last.
    hash: u64,
    /// The value in its normal form, masked, with quotes; empty when nothing is known.
    json: Box<str>,
    /// Where they are not what stands between the quotes: the text as it is written, and the value, masked.
    odd: Option<Box<(Box<str>, Box<str>)>>,
}

/// Remembers texts. A place holds one; who comes twice in a row takes it.
pub(super) struct Memo {
    hasher: RandomState,
    slots: Vec<Slot>,
}

impl Memo {
    pub(super) fn new() -> Self {
        let mut slots = Vec::new();
        slots.resize_with(SLOTS, Slot::default);
        Self { hasher: RandomState::default(), slots }
    }

    /// Appends a string of a text to the normal form and gives its value, both masked. `spare` is for values that are
    /// not remembered.
    pub(super) fn write<'m>(
        &'m mut self,
        json: Json<'m>,
        node: Node,
        privacy: &Privacy,
        normal: &mut String,
        spare: &'m mut String,
    ) -> &'m str {
        let raw = json.raw(node);
        if !LENGTHS.contains(&raw.len()) {
            return masked(json, node, privacy, normal, spare);
        }
        let hash = self.hasher.hash_one(raw);
        let slot = &mut self.slots[hash as usize % SLOTS];
        let is_again = std::mem::replace(&mut slot.hash, hash) == hash;
        if slot.raw() == raw {
            normal.push_str(&slot.json);
            return slot.clean();
        }
        let from = normal.len();
        let clean = masked(json, node, privacy, normal, spare);
        if is_again {
            slot.json = normal[from..].into();
            let plain = &slot.json[1..slot.json.len() - 1];
            slot.odd = (plain != raw || plain != clean).then(|| Box::new((raw.into(), clean.into())));
        }
        clean
    }
}

impl Slot {
    fn plain(&self) -> &str {
        self.json.get(1..self.json.len().saturating_sub(1)).unwrap_or_default()
    }

    #[inline]
    fn raw(&self) -> &str {
        self.odd.as_ref().map_or_else(|| self.plain(), |odd| &odd.0)
    }

    #[inline]
    fn clean(&self) -> &str {
        self.odd.as_ref().map_or_else(|| self.plain(), |odd| &odd.1)
    }
}

/// Masks a string and appends its normal form.
fn masked<'m>(json: Json<'m>, node: Node, privacy: &Privacy, normal: &mut String, spare: &'m mut String) -> &'m str {
    let value = json.string(node);
    let clean = privacy.scrub(&value);
    match (&clean, node.kind) {
        // As it is written, it is what it is.
        (Cow::Borrowed(_), Kind::Plain) => {
            normal.push('"');
            normal.push_str(&clean);
            normal.push('"');
        }
        _ => push_string(&clean, normal),
    }
    match (&clean, &value) {
        (Cow::Borrowed(_), Cow::Borrowed(value)) => value,
        _ => {
            spare.clear();
            spare.push_str(&clean);
            spare
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::json::Tape;

    #[test]
    fn a_text_is_written_the_same_way_however_often_it_comes() {
        let privacy = Privacy::new(b"a key of the tests");
        let mut memo = Memo::new();
        let raws = [
            "",
            "short",
            "src/main.rs and more",
            "line\\nand \\u00e9 and \\\"quotes\\\"",
            "written by ann@example.com",
            "escaped \\u0061nn@example.com",
            "export password=hunter22",
            "no \\/ need to escape",
        ];
        for raw in raws.iter().cycle().take(4 * raws.len()) {
            let text = format!("\"{raw}\"");
            let mut tape = Tape::default();
            let json = tape.scan(&text).unwrap();
            let (mut wanted, mut normal) = (String::from("before"), String::from("before"));
            let value = masked(json, json.node(0), &privacy, &mut wanted, &mut String::new()).to_owned();
            for _ in 0..2 {
                normal.truncate("before".len());
                let mut spare = String::new();
                assert_eq!(memo.write(json, json.node(0), &privacy, &mut normal, &mut spare), value, "{raw}");
                assert_eq!(normal, wanted, "{raw}");
            }
        }
        assert!(memo.slots.iter().filter(|slot| !slot.json.is_empty()).count() > 3, "nothing is remembered");
    }
}
