//! A variable of a service whose `environment` is a list: `- NAME=VALUE`.

use crate::yaml::place::{Splice, spliced};
use crate::yaml::set::Fault;
use crate::yaml::stream::{Read, Step};
use crate::yaml::tree::Kind;
use crate::yaml::value::Value;
use saphyr_parser::ScalarStyle;

const BY_HAND: &str = "change it by hand";

/// The list of variables of a service, where it is one.
pub(super) fn listed<'a>(read: &'a Read, service: &str) -> Option<&'a [Value]> {
    match read.value.walk(&path(service)) {
        Some(Value::List(entries)) => Some(entries),
        _ => None,
    }
}

/// The text in which the list gives `name` this value, and nothing else means anything else.
pub(super) fn set_listed(read: &Read, service: &str, name: &str, value: &str) -> Result<Read, Fault> {
    let path = path(service);
    let entry = format!("{name}={value}");
    let shared = || Fault {
        what: "its `environment` comes through an alias `*` or a merge key `<<`".to_owned(),
        hint: "write it out, or change the shared part by hand",
    };
    let node = read.node(&path).ok_or_else(shared)?;
    let (Kind::List(ids), Some(Value::List(entries))) = (&node.kind, read.value.walk(&path)) else {
        return Err(shared());
    };
    let mut wanted = entries.clone();
    let is_it = |entry: &Value| entry.scalar().is_some_and(|text| text.split('=').next() == Some(name));
    let splice = match entries.iter().position(is_it) {
        Some(at) => {
            let node = read.document.node(ids[at]);
            let new = match &node.kind {
                Kind::Scalar { text, .. } if text.contains('$') || !text.contains('=') => {
                    return Err(Fault {
                        what: format!("its `environment` has `{text}`, which comes from a variable"),
                        hint: "change the variable where it is set, or write the value out",
                    });
                }
                Kind::Scalar { style: ScalarStyle::Plain, .. } => as_written(&entry),
                Kind::Scalar { style: ScalarStyle::SingleQuoted, .. } => format!("'{entry}'"),
                Kind::Scalar { style: ScalarStyle::DoubleQuoted, .. } => format!("\"{entry}\""),
                _ => {
                    return Err(Fault {
                        what: format!("its `environment` writes {name} in another way"),
                        hint: BY_HAND,
                    });
                }
            };
            wanted[at] = Value::Scalar { text: entry.clone(), plain: !new.starts_with(['\'', '"']) };
            Splice { from: node.start, to: node.end, new }
        }
        None => {
            let new = as_written(&entry);
            wanted.push(Value::Scalar { text: entry.clone(), plain: !new.starts_with('"') });
            appended(
                &read.text,
                node.start,
                ids.last().map(|last| read.document.node(*last)).map(|it| (it.start, it.end)),
                &new,
            )
        }
    };
    let mut meant = read.value.clone();
    meant.put(&path, Value::List(wanted));
    let new = Read::new(&spliced(&read.text, std::iter::once(&splice))).ok();
    new.filter(|new| new.value == meant).ok_or_else(|| Fault {
        what: "its `environment` is laid out in a way that is not understood, or shared".to_owned(),
        hint: BY_HAND,
    })
}

fn path(service: &str) -> [Step; 3] {
    ["services", service, "environment"].map(|key| Step::Key(key.to_owned()))
}

/// In quotes where YAML could read something else.
fn as_written(entry: &str) -> String {
    let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | '@' | ':' | '=');
    let is_plain = entry.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && entry.chars().all(word)
        && !entry.ends_with(':');
    if is_plain { entry.to_owned() } else { format!("\"{entry}\"") }
}

/// One more entry behind the last one, in its manner; `list` is where the list begins.
fn appended(text: &str, list: usize, last: Option<(usize, usize)>, new: &str) -> Splice {
    let Some((start, end)) = last else {
        return Splice { from: list + 1, to: list + 1, new: new.to_owned() };
    };
    let line = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
    let lead = &text[line..start];
    if lead.trim() != "-" {
        return Splice { from: end, to: end, new: format!(", {new}") };
    }
    let newline = if text[..start].ends_with("\r\n") || text.contains("\r\n") { "\r\n" } else { "\n" };
    match text[end..].find('\n') {
        Some(at) => Splice { from: end + at + 1, to: end + at + 1, new: format!("{lead}{new}{newline}") },
        None => Splice { from: text.len(), to: text.len(), new: format!("{newline}{lead}{new}") },
    }
}
