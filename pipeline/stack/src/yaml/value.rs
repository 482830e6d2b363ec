//! What a document means: aliases and merge keys resolved, as Compose sees it before interpolation.

use super::tree::{Document, Id, Kind};
use crate::StackError;
use saphyr_parser::ScalarStyle;
use std::collections::{BTreeMap, BTreeSet};

/// A document that means more than this was written to exhaust memory (aliases of aliases).
const MOST_NODES: usize = 200_000;

/// Deeper unfolding is refused before the recursion runs out of stack.
const DEEPEST: usize = 200;

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Scalar {
        text: String,
        plain: bool,
    },
    List(Vec<Value>),
    Map(BTreeMap<String, Value>),
    /// `!reset`, `!override` and whatever else a tag may mean.
    Tagged(String, Box<Value>),
}

/// What a path leads to.
#[derive(Debug, PartialEq)]
pub(crate) enum Found<'a> {
    Nothing,
    Scalar(&'a str),
    /// Something that is not read, in words.
    Odd(String),
}

impl Value {
    /// The meaning of a node.
    pub(crate) fn of(document: &Document, id: Id) -> Result<Self, StackError> {
        resolve(document, id, 0, &mut 0)
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Map(map) => map.get(key),
            _ => None,
        }
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(self, Self::Scalar { text, plain: true } if is_null_text(text))
    }

    /// The scalar at the end of a path; nothing where the path breaks off or ends in null.
    pub(crate) fn at(&self, path: &[&str]) -> Found<'_> {
        let mut here = self;
        for (depth, key) in path.iter().enumerate() {
            here = match here {
                Self::Map(map) => match map.get(*key) {
                    Some(value) => value,
                    None => return Found::Nothing,
                },
                _ if here.is_null() => return Found::Nothing,
                Self::Tagged(tag, _) => {
                    return Found::Odd(format!("`{}` carries the tag {tag}", path[..depth].join(".")));
                }
                _ => return Found::Odd(format!("`{}` is not a mapping", path[..depth].join("."))),
            };
        }
        match here {
            _ if here.is_null() => Found::Nothing,
            Self::Scalar { text, .. } => Found::Scalar(text),
            Self::Tagged(tag, _) => Found::Odd(format!("`{}` carries the tag {tag}", path.join("."))),
            _ => Found::Odd(format!("`{}` is not a single value", path.join("."))),
        }
    }

    /// This laid over another, as `extends` and further files do it: mappings merge, anything else takes the place of
    /// what was there; `!reset` takes it away, `!override` replaces a mapping whole.
    pub(crate) fn over(&self, base: &Self) -> Self {
        match (self, base) {
            (Self::Map(ours), Self::Map(theirs)) => {
                let mut merged = theirs.clone();
                for (key, value) in ours {
                    match value {
                        Self::Tagged(tag, _) if tag == "!reset" => {
                            merged.remove(key);
                            continue;
                        }
                        Self::Tagged(tag, inner) if tag == "!override" => {
                            merged.insert(key.clone(), inner.as_ref().clone());
                            continue;
                        }
                        _ => {}
                    }
                    let value = theirs.get(key).map_or_else(|| value.clone(), |below| value.over(below));
                    merged.insert(key.clone(), value);
                }
                Self::Map(merged)
            }
            _ if self.is_null() => base.clone(),
            _ => self.clone(),
        }
    }

    /// The paths at which two documents differ, down to the last key; a mapping that appears counts by what is in it.
    pub(crate) fn differences(&self, other: &Self) -> Vec<Vec<String>> {
        let mut paths = Vec::new();
        compare(Some(self), Some(other), &mut Vec::new(), &mut paths);
        paths
    }
}

/// Whether a plain scalar says nothing, in YAML's core schema.
pub(crate) fn is_null_text(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

fn resolve(document: &Document, id: Id, depth: usize, seen: &mut usize) -> Result<Value, StackError> {
    *seen += 1;
    if *seen > MOST_NODES || depth > DEEPEST {
        return Err(StackError::Unclear {
            what: "its aliases unfold to more than can be read".to_owned(),
            hint: "write the values out".to_owned(),
        });
    }
    let node = document.node(id);
    let value = match &node.kind {
        Kind::Alias(target) => return resolve(document, *target, depth + 1, seen),
        Kind::Scalar { text, style } => Value::Scalar { text: text.clone(), plain: *style == ScalarStyle::Plain },
        Kind::List(items) => {
            Value::List(items.iter().map(|item| resolve(document, *item, depth + 1, seen)).collect::<Result<_, _>>()?)
        }
        Kind::Map { entries, .. } => {
            let mut map = BTreeMap::new();
            let mut merged = Vec::new();
            for (key, value) in entries {
                let value = resolve(document, *value, depth + 1, seen)?;
                match document.key(*key) {
                    Some("<<") => merged.push(value),
                    Some(key) => {
                        map.insert(key.to_owned(), value);
                    }
                    None => {}
                }
            }
            // A key written out wins over a merged one, an earlier merged one over a later (yaml.org/type/merge.html).
            for value in merged {
                let sources = if let Value::List(list) = value { list } else { vec![value] };
                for source in sources {
                    let Value::Map(source) = source else {
                        return Err(StackError::Unclear {
                            what: "a merge key `<<` leads to something that is not a mapping".to_owned(),
                            hint: "merge mappings only".to_owned(),
                        });
                    };
                    for (key, value) in source {
                        map.entry(key).or_insert(value);
                    }
                }
            }
            Value::Map(map)
        }
    };
    Ok(match &node.tag {
        Some(tag) => Value::Tagged(tag.clone(), Box::new(value)),
        None => value,
    })
}

static NOTHING: BTreeMap<String, Value> = BTreeMap::new();

/// What a value has inside: nothing where it is absent or null, none where it can have no inside.
fn entries(value: Option<&Value>) -> Option<&BTreeMap<String, Value>> {
    match value {
        Some(Value::Map(map)) => Some(map),
        Some(value) if !value.is_null() => None,
        _ => Some(&NOTHING),
    }
}

fn compare(a: Option<&Value>, b: Option<&Value>, path: &mut Vec<String>, paths: &mut Vec<Vec<String>>) {
    if a == b {
        return;
    }
    let before = paths.len();
    if let (Some(left), Some(right)) = (entries(a), entries(b)) {
        let keys: BTreeSet<&String> = left.keys().chain(right.keys()).collect();
        for key in keys {
            path.push(key.clone());
            compare(left.get(key), right.get(key), path, paths);
            path.pop();
        }
    }
    if paths.len() == before {
        paths.push(path.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Value {
        let document = Document::parse(text).unwrap();
        Value::of(&document, document.root.unwrap()).unwrap()
    }

    #[test]
    fn a_written_key_wins_over_a_merged_one_and_an_earlier_merge_over_a_later() {
        let text = "a: &a {x: 1, y: 1}\nb: &b {x: 2, z: 2}\nc: {<<: [*a, *b], y: 3}\nd:\n  y: 4\n  <<: *a\n";
        let value = value(text);
        for (path, wanted) in [(["c", "x"], "1"), (["c", "y"], "3"), (["c", "z"], "2"), (["d", "y"], "4")] {
            assert_eq!(value.at(&path), Found::Scalar(wanted), "{path:?}");
        }
    }

    #[test]
    fn differences_name_the_last_key_and_a_new_mapping_counts_by_what_is_in_it() {
        let old = value("a: {b: 1}\nc:\nd: &d {e: 1}\nf: *d\ng: [1]\n");
        let new = value("a: {b: 2}\nc: {x: {y: 1}}\nd: &d {e: 2}\nf: *d\ng: [1, 2]\nh:\n");
        let paths: Vec<String> = old.differences(&new).iter().map(|path| path.join("/")).collect();
        assert_eq!(paths, ["a/b", "c/x/y", "d/e", "f/e", "g", "h"]);
        assert!(old.differences(&old).is_empty());
        assert_eq!(value("a: 1").differences(&value("a: '1'")).len(), 1);
    }

    #[test]
    fn aliases_of_aliases_do_not_exhaust_memory_or_stack() {
        let mut wide = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        let mut deep = "b0: &b0 {k: v}\n".to_owned();
        for i in 1..300 {
            wide += &format!("a{i}: &a{i} [*a{0}, *a{0}, *a{0}, *a{0}]\n", i - 1);
            deep += &format!("b{i}: &b{i} {{k: *b{}}}\n", i - 1);
        }
        for text in [wide, deep] {
            let document = Document::parse(&text).unwrap();
            assert!(matches!(Value::of(&document, document.root.unwrap()), Err(StackError::Unclear { .. })));
        }
    }
}
