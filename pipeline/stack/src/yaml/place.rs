//! Where in the text an amount goes: in the place of the old one, or as a new key in the file's own layout.
//!
//! Proposes splices, best first; which of them says what it should is for `edit` to prove.

use super::tree::{Document, Id, Kind, column};
use super::value::{Value, is_null_text};
use saphyr_parser::ScalarStyle;

/// Why there is no place for it, and what a person can do.
pub(crate) struct Blocked {
    pub(crate) what: String,
    pub(crate) hint: &'static str,
}

const WRITE_OUT: &str = "write the limits out under the service itself, or change the shared part by hand";
const PLAIN: &str = "write the limit as a plain amount, then make a new plan";
const VARIABLE: &str = "change the variable where it is set, or write the limit as a plain amount";

/// An amount on its way into a file.
pub(crate) trait Writing {
    /// In the manner of the scalar that it replaces, without quotes.
    fn over(&self, old: &str) -> String;

    /// As it stands without quotes, where digits alone would be a number.
    fn plain(&self, written: String) -> String {
        written
    }

    /// Whether keys have double quotes whatever the file tells, as in an empty JSON file.
    fn is_json(&self) -> bool {
        false
    }

    /// As a new scalar, with the quotes that it needs; `json`: in a file whose keys have double quotes.
    fn fresh(&self, json: bool) -> String;
}

/// A document as it is written, and the mapping in it that paths begin at.
#[derive(Clone, Copy)]
pub(crate) struct Text<'a> {
    pub(crate) text: &'a str,
    pub(crate) document: &'a Document,
    /// None in an empty document.
    pub(crate) from: Option<Id>,
    /// What that mapping means.
    pub(crate) value: &'a Value,
}

/// New text in the place of some bytes.
#[derive(Clone, Debug)]
pub(crate) struct Splice {
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) new: String,
}

/// The splices, each alone enough, by which `path` holds the amount.
pub(crate) fn place(parsed: Text<'_>, path: &[&str], amount: &dyn Writing) -> Result<Vec<Splice>, Blocked> {
    let Text { text, document, .. } = parsed;
    let blocked = |what: String, hint| Err(Blocked { what, hint });
    let (Some(root), Some(mut map)) = (document.root, parsed.from) else {
        return blocked("the file is empty".to_owned(), PLAIN);
    };
    let mut layout = Layout { text, json: amount.is_json() || is_json(document, root), step: 2 };
    let mut above = None;
    for (depth, key) in path.iter().enumerate() {
        let (dotted, rest) = (path[..=depth].join("."), &path[depth + 1..]);
        let Kind::Map { entries, flow } = &document.node(map).kind else {
            return blocked(format!("`{dotted}` is not in a mapping"), WRITE_OUT);
        };
        if let Some((first, _)) = entries.first().filter(|_| !flow) {
            let here = column(text, document.node(*first).start);
            layout.step =
                above.and_then(|above| here.checked_sub(above)).filter(|step| *step > 0).unwrap_or(layout.step);
        }
        let Some((key, value)) = document.entry(map, key) else {
            if !rest.is_empty() && reaches(parsed.value, &path[..=depth]) {
                return blocked(format!("its `{dotted}` comes through a merge key `<<`"), WRITE_OUT);
            }
            return Ok(layout.insert(parsed, map, &path[depth..], amount));
        };
        let node = document.node(value);
        above = Some(column(text, document.node(key).start));
        match &node.kind {
            _ if node.tag.is_some() => return blocked(format!("its `{dotted}` carries a tag"), PLAIN),
            Kind::Alias(_) => return blocked(format!("its `{dotted}` comes through an alias `*`"), WRITE_OUT),
            Kind::Scalar { text, style: ScalarStyle::Plain } if is_null_text(text) => {
                if node.anchored {
                    return blocked(format!("its `{dotted}` is an empty anchor"), WRITE_OUT);
                }
                return Ok(vec![layout.fill(parsed, key, value, *flow, rest, amount)]);
            }
            Kind::Scalar { text: old, .. } if rest.is_empty() && old.contains('$') => {
                return blocked(format!("its `{dotted}: {old}` comes from a variable"), VARIABLE);
            }
            Kind::Scalar { text: old, style } if rest.is_empty() => {
                let new = amount.over(old);
                let new = match style {
                    ScalarStyle::Plain => amount.plain(new),
                    ScalarStyle::SingleQuoted => format!("'{new}'"),
                    ScalarStyle::DoubleQuoted => format!("\"{new}\""),
                    _ => return blocked(format!("its `{dotted}` is a block of text"), PLAIN),
                };
                return Ok(vec![splice(node.start, node.end, new)]);
            }
            Kind::Map { .. } if !rest.is_empty() => map = value,
            _ => return blocked(format!("its `{dotted}` is not what is expected there"), PLAIN),
        }
    }
    blocked("its path leads nowhere".to_owned(), PLAIN)
}

/// How the file is laid out where something is to be inserted.
struct Layout<'a> {
    text: &'a str,
    /// Keys and values in double quotes.
    json: bool,
    /// Columns from a key to the keys below it.
    step: usize,
}

impl Layout<'_> {
    /// Into a mapping that lacks the first of `keys`.
    fn insert(&self, parsed: Text<'_>, map: Id, keys: &[&str], amount: &dyn Writing) -> Vec<Splice> {
        let (text, node) = (self.text, parsed.document.node(map));
        let Kind::Map { entries, flow } = &node.kind else { return Vec::new() };
        let (Some((first, _)), Some((_, last))) = (entries.first(), entries.last()) else {
            return vec![splice(node.start + 1, node.start + 1, self.inline(keys, amount))];
        };
        let (first, last) = (parsed.document.node(*first).start, parsed.document.node(*last).end);
        if *flow {
            let pair = self.inline(keys, amount);
            return vec![splice(last, last, format!(", {pair}")), splice(first, first, format!("{pair}, "))];
        }
        let indent = column(text, first);
        // A block scalar's end lies behind the blank lines that follow it; they belong to what comes next, except
        // where the scalar keeps them (`|+`): hence the third place. The last is before the first key. Comments that stand
        // as deep as what they follow belong to it.
        let written = text[..last].trim_end().len();
        let commented = behind_comments(text, written, indent);
        let line_start = text[..first].rfind('\n').map_or(0, |newline| newline + 1);
        let places = [commented, written, last, line_start].map(|at| {
            let before = text[..at].trim_end_matches(' ');
            if before.is_empty() || before.ends_with('\n') { before.len() } else { line_end(text, at) }
        });
        // A block scalar cut off by the end of the file ends without a newline; going on below would give it one.
        let cut = !text.ends_with('\n') && parsed.document.ends_in_block_scalar(map);
        let open = |at: &usize| !cut || *at < text.len();
        places.into_iter().filter(open).map(|at| self.lines(at, indent, keys, amount)).collect()
    }

    /// Below a key that has nothing yet.
    fn fill(&self, parsed: Text<'_>, key: Id, value: Id, flow: bool, rest: &[&str], amount: &dyn Writing) -> Splice {
        let text = self.text;
        let (key, value) = (parsed.document.node(key), parsed.document.node(value));
        let inline = match rest {
            [] => amount.fresh(self.json),
            keys => format!("{{{}}}", self.inline(keys, amount)),
        };
        if value.end > value.start {
            return splice(value.start, value.end, inline);
        }
        if !flow && !rest.is_empty() {
            let at = line_end(text, key.end);
            return self.lines(at, column(text, key.start) + self.step, rest, amount);
        }
        let gap = text[key.end..].len() - text[key.end..].trim_start_matches(' ').len();
        match text[key.end + gap..].starts_with(':') {
            true => splice(key.end + gap + 1, key.end + gap + 1, format!(" {inline}")),
            false => splice(key.end, key.end, format!(": {inline}")),
        }
    }

    /// One key a line, each deeper than the one before, put in at the beginning of a line or the end of the file.
    fn lines(&self, at: usize, indent: usize, keys: &[&str], amount: &dyn Writing) -> Splice {
        let before = &self.text[..at];
        let newline = match before.rfind('\n').or_else(|| self.text.find('\n')) {
            Some(at) if self.text[..at].ends_with('\r') => "\r\n",
            _ => "\n",
        };
        let lines: Vec<String> = keys
            .iter()
            .enumerate()
            .map(|(depth, key)| {
                let value =
                    if depth + 1 == keys.len() { format!(" {}", amount.fresh(self.json)) } else { String::new() };
                format!("{}{key}:{value}", " ".repeat(indent + depth * self.step))
            })
            .collect();
        let block = lines.join(newline);
        let block = match before.is_empty() || before.ends_with('\n') {
            true => format!("{block}{newline}"),
            false => format!("{newline}{block}"),
        };
        splice(at, at, block)
    }

    /// `a: {b: {c: 1}}`
    fn inline(&self, keys: &[&str], amount: &dyn Writing) -> String {
        let quote = if self.json { "\"" } else { "" };
        let opening: Vec<String> = keys.iter().map(|key| format!("{quote}{key}{quote}: ")).collect();
        format!("{}{}{}", opening.join("{"), amount.fresh(self.json), "}".repeat(keys.len().saturating_sub(1)))
    }
}

fn is_json(document: &Document, root: Id) -> bool {
    let Kind::Map { entries, flow: true } = &document.node(root).kind else { return false };
    entries.first().is_some_and(|(key, _)| {
        matches!(document.node(*key).kind, Kind::Scalar { style: ScalarStyle::DoubleQuoted, .. })
    })
}

fn reaches(value: &Value, path: &[&str]) -> bool {
    path.iter().try_fold(value, |value, key| value.get(key)).is_some()
}

/// The beginning of the line after, or the end of the file.
fn line_end(text: &str, at: usize) -> usize {
    text[at..].find('\n').map_or(text.len(), |newline| at + newline + 1)
}

/// Behind the comments that follow a place and belong to what stands there: those that go on in the next line at the
/// keys' column or deeper, and after a blank line those that stand deeper.
fn behind_comments(text: &str, at: usize, indent: usize) -> usize {
    let mut behind = at;
    let mut line = line_end(text, at);
    let mut least = indent;
    while line < text.len() {
        let rest = &text[line..line_end(text, line)];
        let content = rest.trim_start();
        match content.chars().next() {
            None => least = indent + 1,
            Some('#') if rest.len() - content.len() >= least => behind = line + rest.trim_end().len(),
            _ => break,
        }
        line += rest.len();
    }
    behind
}

fn splice(from: usize, to: usize, new: String) -> Splice {
    Splice { from, to, new }
}

/// The text with all of these in it: in order, none over another.
pub(crate) fn spliced<'a>(text: &str, splices: impl Iterator<Item = &'a Splice>) -> String {
    let mut new = String::with_capacity(text.len() + 4096);
    let mut at = 0;
    for splice in splices {
        new.push_str(&text[at..splice.from]);
        new.push_str(&splice.new);
        at = splice.to;
    }
    new.push_str(&text[at..]);
    new
}
