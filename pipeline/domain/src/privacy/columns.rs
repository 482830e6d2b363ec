//! Tables as text: what the header of a column says of the values below it.
//!
//! No format reads such dumps, so their lines are rejects; but their people are found as those of events are.

use super::fields::{self, Field};
use super::people::{self, is_hash};
use super::{MASK, Names, Privacy, secrets};

/// What may stand between the cells of a row.
const BETWEEN: [char; 4] = [',', '\t', ';', '|'];

/// Headers that name people in tables, where they stand for nothing else as often as in fields of events.
const PEOPLE: &[&str] =
    &["name", "names", "nom", "nombre", "nome", "naam", "vorname", "nachname", "prenom", "apellido"];

/// The columns of a table that hold people or secrets.
#[derive(Clone, Debug)]
pub struct Columns {
    between: char,
    header: String,
    columns: Vec<Field>,
}

impl Columns {
    /// Of the first line of a table; none where no column of it holds anything of that kind.
    pub fn of(header: &str) -> Option<Self> {
        let header = header.trim_end_matches(['\r', '\n']);
        if header.len() > 1 << 16 || header.starts_with(['{', '[']) {
            return None;
        }
        let count = |between: &char| header.matches(*between).count();
        let between = BETWEEN.into_iter().max_by_key(count).filter(|between| count(between) > 0)?;
        let names: Vec<&str> = cells(header, between).into_iter().map(|cell| bare(cell).trim()).collect();
        // A header is names of columns, no sentence.
        let is_header = names.iter().all(|name| name.len() <= 64 && !name.contains(['=', '{', '"']));
        let columns: Vec<Field> = names.iter().map(|name| said(name)).collect();
        (is_header && columns.iter().any(|column| *column != Field::Plain)).then(|| Self {
            between,
            header: header.to_owned(),
            columns,
        })
    }
}

fn said(name: &str) -> Field {
    match fields::field(name) {
        Field::Plain if PEOPLE.contains(&&*name.to_lowercase()) => Field::PersonLike,
        field => field,
    }
}

/// The cells of a line, as they are written.
fn cells(line: &str, between: char) -> Vec<&str> {
    let (mut cells, mut start, mut quoted) = (Vec::new(), 0, false);
    for (at, char) in line.char_indices() {
        match char {
            '"' => quoted = !quoted,
            char if char == between && !quoted => {
                cells.push(&line[start..at]);
                start = at + char.len_utf8();
            }
            _ => {}
        }
    }
    cells.push(&line[start..]);
    cells
}

/// A cell without its quotes.
fn bare(cell: &str) -> &str {
    let trimmed = cell.trim();
    trimmed.strip_prefix('"').and_then(|inner| inner.strip_suffix('"')).unwrap_or(trimmed)
}

impl Privacy {
    /// A line of such a table without what its columns name; the rest of it as [`Privacy::scrub_reject`].
    pub fn scrub_row(&self, columns: &Columns, line: &str) -> String {
        if line.trim_end_matches(['\r', '\n']) == columns.header {
            return line.to_owned();
        }
        let mut names = Names::default();
        let mut clean = String::with_capacity(line.len());
        for (at, cell) in cells(line, columns.between).into_iter().enumerate() {
            if at > 0 {
                clean.push(columns.between);
            }
            let value = bare(cell);
            let is_secret = |column: &Field| match column {
                Field::Secret => true,
                Field::SecretLike => secrets::is_random(value) || secrets::is_jumbled(value),
                _ => false,
            };
            let column = columns.columns.get(at).copied().unwrap_or(Field::Plain);
            let person = match column {
                Field::Person => true,
                Field::PersonLike => people::is_name(value),
                _ => false,
            };
            let new = match () {
                () if value.is_empty() || is_hash(value) => None,
                () if person => {
                    names.add(value);
                    Some(self.mention(value))
                }
                () if is_secret(&column) => Some(MASK.to_owned()),
                () => None,
            };
            match new {
                Some(new) => clean.push_str(&cell.replace(value, &new)),
                None => clean.push_str(cell),
            }
        }
        self.without_names(&names, &self.scrub_reject(&clean)).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_of_a_column_says_who_is_below_it() {
        let privacy = Privacy::new(b"the key of the tests");
        let hash = privacy.person("brunhilde");
        let row = |header: &str, line: &str| privacy.scrub_row(&Columns::of(header).unwrap(), line);
        for (header, line) in [
            ("id,name,state", "1,brunhilde,open by brunhilde"),
            ("author;id", "brunhilde;1"),
            ("\"Full Name\",\"x\"\r\n", "\"brunhilde\",\"1\"\r"),
            ("ts\tlogin", "2026\tbrunhilde"),
            ("Name|Alter", "brunhilde|3"),
            ("id,Display Name,api_token", "1,brunhilde,xyz"),
        ] {
            let clean = row(header, line);
            assert!(clean.contains(&hash) && !clean.contains("brunhilde") && !clean.contains("xyz"), "{clean}");
        }
        assert_eq!(
            row("id,full name", "1,\"Kowalski, Brunhilde\""),
            format!("1,\"{}\"", privacy.person("Kowalski, Brunhilde"))
        );
        assert_eq!(row("name,count", "acme/api,3"), "acme/api,3");
        assert_eq!(row("author,count", "author,count"), "author,count");
        for header in ["ts,type,duration_ms", "not a table", "{\"name\": 1, \"x\": 2}", "INFO name=x, y"] {
            assert!(Columns::of(header).is_none(), "{header}");
        }
    }
}
