//! A text of several documents, each read alone: what is wrong in one says nothing of the others.
//!
//! A line that begins with `---` or `...` ends a document wherever it stands (YAML 1.2, c-forbidden), so a text is cut
//! there without being parsed.

use super::place::Text;
use super::tree::{Document, Id, Kind, Node};
use super::value::Value;
use crate::StackError;
use std::collections::BTreeMap;
use std::ops::Range;

/// A key, or a place in a list.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    Key(String),
    At(usize),
}

/// What a document holds.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) text: String,
    pub(crate) document: Document,
    pub(crate) value: Value,
}

impl Read {
    pub(crate) fn new(text: &str) -> Result<Self, StackError> {
        let document = Document::parse(text)?;
        Self::of(text, document)
    }

    pub(crate) fn of(text: &str, document: Document) -> Result<Self, StackError> {
        let value = match document.root {
            Some(root) => Value::of(&document, root)?,
            None => Value::Map(BTreeMap::new()),
        };
        Ok(Self { text: text.to_owned(), document, value })
    }

    /// The mapping at a path, for the editor; none where an alias or a merge key lies on the way, or where it is not there.
    pub(crate) fn text<'a>(&'a self, path: &[Step]) -> Option<Text<'a>> {
        let mut at = self.document.root?;
        let mut value = &self.value;
        for step in path {
            at = self.inside(at, step)?;
            value = value.step(step)?;
        }
        let map = matches!(self.document.node(at).kind, Kind::Map { .. });
        map.then_some(Text { text: &self.text, document: &self.document, from: Some(at), value })
    }

    /// What is written at a path; none where an alias or a merge key lies on the way, or where it is not there.
    pub(crate) fn node(&self, path: &[Step]) -> Option<&Node> {
        let at = path.iter().try_fold(self.document.root?, |at, step| self.inside(at, step))?;
        let node = self.document.node(at);
        (!matches!(node.kind, Kind::Alias(_))).then_some(node)
    }

    fn inside(&self, at: Id, step: &Step) -> Option<Id> {
        match (step, &self.document.node(at).kind) {
            (Step::Key(key), Kind::Map { .. }) => self.document.entry(at, key).map(|(_, value)| value),
            (Step::At(i), Kind::List(items)) => items.get(*i).copied(),
            _ => None,
        }
    }
}

impl Value {
    pub(crate) fn step(&self, step: &Step) -> Option<&Self> {
        match (step, self) {
            (Step::Key(key), Self::Map(map)) => map.get(key),
            (Step::At(i), Self::List(list)) => list.get(*i),
            _ => None,
        }
    }

    /// What a path leads to.
    pub(crate) fn walk(&self, path: &[Step]) -> Option<&Self> {
        path.iter().try_fold(self, |value, step| value.step(step))
    }

    /// Puts something at a path, with the mappings that lead there; nothing where the path leads through something else.
    pub(crate) fn put(&mut self, path: &[Step], new: Self) {
        let Some((step, rest)) = path.split_first() else {
            *self = new;
            return;
        };
        if self.is_null() {
            *self = Self::Map(BTreeMap::new());
        }
        match (step, self) {
            (Step::Key(key), Self::Map(map)) => {
                map.entry(key.clone()).or_insert_with(|| Self::Map(BTreeMap::new())).put(rest, new);
            }
            (Step::At(i), Self::List(list)) => {
                if let Some(item) = list.get_mut(*i) {
                    item.put(rest, new);
                }
            }
            _ => {}
        }
    }

    /// The text of a scalar.
    pub(crate) fn scalar(&self) -> Option<&str> {
        match self {
            Self::Scalar { text, .. } if !self.is_null() => Some(text),
            _ => None,
        }
    }
}

/// The documents of a text, each with the bytes that it stands on, its marker with it.
pub(crate) fn parts(text: &str) -> Vec<(Range<usize>, Result<Read, StackError>)> {
    let part = |pair: &[usize]| {
        let bytes = pair[0]..pair[1];
        let lines = text[..bytes.start].matches('\n').count();
        let read = Read::new(&text[bytes.clone()]).map_err(|error| lower(error, lines));
        (bytes, read)
    };
    cuts(text).windows(2).map(part).collect()
}

/// Where documents begin, and the end of the text.
fn cuts(text: &str) -> Vec<usize> {
    let mut cuts = vec![0];
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let rest = line.strip_prefix("---").or_else(|| line.strip_prefix("..."));
        let marks = rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace));
        let nothing =
            |text: &str| text.lines().all(|line| line.trim().is_empty() || line.starts_with(['#', '%', '\u{feff}']));
        if marks && line.starts_with('-') && !nothing(&text[cuts[cuts.len() - 1]..at]) {
            cuts.push(at);
        }
        at += line.len();
    }
    cuts.push(text.len());
    cuts
}

/// An error of a part, at its line of the whole.
fn lower(error: StackError, lines: usize) -> StackError {
    match error {
        StackError::Syntax { line, column, what } => StackError::Syntax { line: line + lines, column, what },
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_cut_at_their_markers_and_keep_every_byte() {
        let text = "# head\n---\na: 1\n--- # two\nb: |\n  x\n  ---\n\n---\n{c: 3}\n...\n";
        let read = parts(text);
        assert_eq!(read.iter().map(|(bytes, _)| &text[bytes.clone()]).collect::<String>(), text);
        assert_eq!(read.len(), 3);
        assert_eq!(read[2].1.as_ref().unwrap().value.get("c").and_then(Value::scalar), Some("3"));
        let broken = parts("a: 1\n---\nb: [\n---\nc: 1\n");
        assert!(broken[0].1.is_ok() && broken[2].1.is_ok());
        assert!(matches!(broken[1].1, Err(StackError::Syntax { line: 3.., .. })), "{:?}", broken[1]);
    }

    #[test]
    fn a_path_may_lead_through_lists_and_not_through_aliases() {
        let read = Read::new("a: &a {x: 1}\nb: [{c: {d: 2}}, *a]\n").unwrap();
        let path = |steps: &[&str]| -> Vec<Step> {
            steps.iter().map(|step| step.parse().map_or_else(|_| Step::Key((*step).into()), Step::At)).collect()
        };
        assert!(read.text(&path(&["b", "0", "c"])).is_some());
        assert!(read.text(&path(&["b", "1"])).is_none());
        let mut value = read.value.clone();
        value.put(&path(&["b", "0", "c", "e", "f"]), Value::Scalar { text: "9".into(), plain: true });
        assert_eq!(value.walk(&path(&["b", "0", "c", "e", "f"])).and_then(Value::scalar), Some("9"));
    }
}
