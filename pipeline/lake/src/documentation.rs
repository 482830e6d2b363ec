//! What tables and columns mean, in one place: behind each column where it is made.
//!
//! In the last select of `sql/<schema>/<table>.sql` every column stands on a line of its own and ends in a comment: its
//! meaning and unit, then in brackets what must hold of it. A column that is only handed on (`e.cpu_ms,`) needs none: it
//! keeps the words of the first table named after "Reads" that has them. The file's head says the grain, `Key: a, b.` and
//! `Fresh: ts within 7 days.` What no SQL makes is in [`domain::documentation`].
//!
//! `describe schema.table`, `session.columns`, `check` and `pipeline/docs/tables.md` are made from this.

mod describe;
mod rule;

pub(crate) use describe::{described, tables};
pub use rule::Rule;

use crate::error::LakeError;
use crate::model::{self, SqlFile};
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// The schemas whose files make tables or views.
const SCHEMAS: &[&str] = &["traces", "marts", "plans", "stack", "predictions", "features"];

/// A table in words.
#[derive(Clone, Debug)]
pub struct TableDocumentation {
    /// `schema.table`.
    pub name: String,
    /// Grain, what it reads, what a row depends on: the head of its file.
    pub description: String,
    /// The columns that tell its rows apart; none where nothing does.
    pub key: Vec<String>,
    /// The column of its newest moment, and how many days old that may be.
    pub fresh: Option<(String, i64)>,
    /// In the order of the table.
    pub columns: Vec<ColumnDocumentation>,
}

/// A column in words.
#[derive(Clone, Debug)]
pub struct ColumnDocumentation {
    /// Its name.
    pub name: String,
    /// What it means, with its unit.
    pub description: String,
    /// What must hold.
    pub rules: Vec<Rule>,
}

/// Every documented table, by name.
pub fn documented() -> impl Iterator<Item = &'static TableDocumentation> {
    DOCUMENTED.iter().flat_map(BTreeMap::values)
}

/// What a table (`schema.table`) and its columns mean.
pub fn documentation(table: &str) -> Option<&'static TableDocumentation> {
    DOCUMENTED.as_ref().ok()?.get(table)
}

static DOCUMENTED: LazyLock<Result<BTreeMap<String, TableDocumentation>, String>> = LazyLock::new(read_all);

/// Says what is wrong with a SQL file that somebody changed, before anything is shown or checked by halves.
pub(crate) fn sound() -> Result<(), LakeError> {
    DOCUMENTED.as_ref().map(|_| ()).map_err(|wrong| LakeError::Documentation(wrong.clone()))
}

fn read_all() -> Result<BTreeMap<String, TableDocumentation>, String> {
    let mut done = BTreeMap::new();
    for table in domain::documentation::TABLES {
        let columns = table.columns.iter().map(|(name, text)| column(name, text)).collect::<Result<_, _>>()?;
        done.insert(table.table.to_owned(), with_head(table.table, table.head, columns)?);
    }
    let mut waiting: Vec<SqlFile> = SCHEMAS.iter().flat_map(|schema| model::files(schema)).collect();
    while !waiting.is_empty() {
        let names: Vec<String> = waiting.iter().map(|file| file.name.to_string()).collect();
        let (ready, rest): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|file| {
            !reads(&file.head()).iter().any(|read| *read != file.name.to_string() && names.contains(read))
        });
        if ready.is_empty() {
            return Err(format!("{} read each other in a circle", names.join(", ")));
        }
        for file in ready {
            let columns = of_file(&file, &done)?;
            done.insert(file.name.to_string(), with_head(&file.name.to_string(), &file.head(), columns)?);
        }
        waiting = rest;
    }
    Ok(done)
}

/// The columns of the last select, which begins at the start of a line.
fn of_file(file: &SqlFile, done: &BTreeMap<String, TableDocumentation>) -> Result<Vec<ColumnDocumentation>, String> {
    let lines: Vec<&str> = file.text.lines().collect();
    let first = lines.iter().rposition(|line| *line == "select").ok_or(format!("{}: no last select", file.path()))?;
    let select = lines[first + 1..].iter().take_while(|line| line.starts_with(' '));
    let sources = reads(&file.head());
    let mut columns = Vec::new();
    for line in select {
        let (code, text) = line.split_once(" -- ").unwrap_or((*line, ""));
        if code.trim().is_empty() {
            continue; // a reason, on a line of its own
        }
        let code = code.trim_end().trim_end_matches(',');
        // A name that is a word of SQL too stands in quotes.
        let name = code.rsplit([' ', '.']).next().unwrap_or_default().trim_matches('"');
        if !text.is_empty() {
            columns.push(column(name, text).map_err(|e| format!("{}: {e}", file.path()))?);
        } else if code.strip_prefix("    ").is_some_and(is_column) {
            let found = sources.iter().filter_map(|source| done.get(source)).find_map(|table| table.column(name));
            let found = found.ok_or(format!("{}: {name} has no description, here or in what it reads", file.path()))?;
            columns.push(ColumnDocumentation { rules: Vec::new(), ..found.clone() });
        }
    }
    Ok(columns)
}

/// `cpu_ms`, `"group"` or `e.cpu_ms`, and no expression or the beginning of one.
fn is_column(code: &str) -> bool {
    code != "case" && code.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '"'))
}

impl TableDocumentation {
    /// The column of that name.
    pub fn column(&self, name: &str) -> Option<&ColumnDocumentation> {
        self.columns.iter().find(|column| column.name == name)
    }
}

/// "Its meaning, with the unit. [what must hold; …]"
fn column(name: &str, text: &str) -> Result<ColumnDocumentation, String> {
    let (description, rules) = match text.trim().strip_suffix(']').and_then(|text| text.rsplit_once('[')) {
        Some((description, rules)) => (description.trim(), rules.split(';').map(Rule::read).collect::<Result<_, _>>()),
        None => (text.trim(), Ok(Vec::new())),
    };
    let rules = rules.map_err(|rule| format!("{name}: `{rule}` is no rule"))?;
    if !description.ends_with('.') {
        return Err(format!("{name}: `{description}` is no sentence"));
    }
    Ok(ColumnDocumentation { name: name.to_owned(), description: description.to_owned(), rules })
}

fn with_head(name: &str, head: &str, columns: Vec<ColumnDocumentation>) -> Result<TableDocumentation, String> {
    let key = after(head, "Key: ").map_or(Vec::new(), |text| {
        let end = text.find(['.', ';', '(']).unwrap_or(text.len());
        text[..end].split(',').map(|column| column.trim().to_owned()).collect()
    });
    let fresh = match after(head, "Fresh: ").and_then(|text| text.split_once(" days")) {
        Some((text, _)) => {
            let (column, days) =
                text.split_once(" within ").ok_or(format!("{name}: `Fresh: {text}` is no freshness"))?;
            Some((column.to_owned(), days.parse().map_err(|_| format!("{name}: {days} is no number of days"))?))
        }
        None => None,
    };
    let there = |column: &String| columns.iter().any(|c| c.name == *column);
    if let Some(missing) = key.iter().chain(fresh.iter().map(|(column, _)| column)).find(|column| !there(column)) {
        return Err(format!("{name}: {missing} is no column of it"));
    }
    Ok(TableDocumentation { name: name.to_owned(), description: head.to_owned(), key, fresh, columns })
}

fn after<'t>(text: &'t str, word: &str) -> Option<&'t str> {
    text.find(word).map(|at| &text[at + word.len()..])
}

/// The tables named in the sentence that begins with "Reads".
fn reads(head: &str) -> Vec<String> {
    let mut tables = Vec::new();
    for word in after(head, "Reads ").unwrap_or_default().split_whitespace() {
        let name = word.trim_matches(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        if name.split('.').count() == 2 {
            tables.push(name.to_owned());
        }
        if word.ends_with('.') {
            break;
        }
    }
    tables
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_is_documented_in_its_own_grammar() {
        let all = read_all().unwrap();
        assert!(all.len() > 15);
        let usage = &all["marts.usage"];
        assert_eq!(usage.key, ["event_id"]);
        assert!(usage.column("throttled_ratio").unwrap().description.contains("CFS"));
        assert_eq!(all["staging.events"].fresh, Some(("ts".into(), 7)));
    }

    #[test]
    fn words_that_are_no_rule_are_refused() {
        assert!(column("x", "Something, bytes. [>= 0; not null]").is_ok());
        assert_eq!(column("x", "Something. [roughly 3]").unwrap_err(), "x: `roughly 3` is no rule");
        assert!(column("x", "not a sentence").is_err());
    }

    #[test]
    fn a_column_without_words_takes_them_from_what_it_reads_or_is_refused() {
        let file = |text: &str| SqlFile {
            name: crate::delta::table::TableName { schema: "marts".into(), table: "x".into() },
            text: text.to_owned(),
        };
        let text = "-- Rows. Reads staging.events. Key: ts.\nselect\n    e.ts,\n    case\n        when a then b\n    end as n -- Count. [>= 0]\nfrom e\n";
        let all = read_all().unwrap();
        let columns = of_file(&file(text), &all).unwrap();
        assert_eq!(columns.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(), ["ts", "n"]);
        assert!(columns[0].description.starts_with("When the event began"));
        let unknown = of_file(&file(&text.replace("e.ts", "e.nobody")), &all).unwrap_err();
        assert!(unknown.contains("sql/marts/x.sql: nobody has no description"), "{unknown}");
    }
}
