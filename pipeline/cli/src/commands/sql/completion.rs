//! What Tab offers: after `from` tables, after `alias.` its columns, else columns, functions and keywords.

use crate::commands::sql::Form;
use crate::commands::sql::backslash::COMMANDS;
use clap::ValueEnum;
use lake::{TableInfo, words};
use std::collections::BTreeMap;

const KEYWORDS: &[&str] = &[
    "all",
    "and",
    "as",
    "asc",
    "between",
    "by",
    "case",
    "cast",
    "count",
    "cross",
    "current_date",
    "desc",
    "describe",
    "distinct",
    "else",
    "end",
    "except",
    "exists",
    "explain",
    "false",
    "filter",
    "first",
    "from",
    "full",
    "group",
    "having",
    "in",
    "inner",
    "intersect",
    "interval",
    "is",
    "join",
    "last",
    "lateral",
    "left",
    "like",
    "limit",
    "not",
    "null",
    "nulls",
    "offset",
    "on",
    "or",
    "order",
    "outer",
    "over",
    "partition",
    "qualify",
    "recursive",
    "right",
    "rows",
    "select",
    "show",
    "tables",
    "then",
    "true",
    "union",
    "unnest",
    "using",
    "values",
    "when",
    "where",
    "window",
    "with",
    "within",
];

/// Words after which a table is named.
const BEFORE_TABLES: &[&str] = &["from", "join", "describe", "desc", "table"];

/// Words that end a list of tables.
const AFTER_TABLES: &[&str] =
    &["where", "group", "order", "limit", "having", "select", "on", "using", "union", "qualify"];

/// All that can be completed.
pub struct Words {
    tables: Vec<TableInfo>,
    functions: Vec<String>,
}

impl Words {
    /// From what a session has.
    pub fn new(tables: Vec<TableInfo>, functions: Vec<String>) -> Self {
        // The engine's operators have no names that can be written.
        let named = |name: &String| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        Self { tables, functions: functions.into_iter().filter(named).collect() }
    }

    /// Where the word under the cursor begins, and what it may become.
    pub fn complete(&self, line: &str, pos: usize) -> (usize, Vec<String>) {
        let part = |c: char| c.is_alphanumeric() || "_.\\?".contains(c);
        let start = line[..pos].char_indices().rev().take_while(|(_, c)| part(*c)).last().map_or(pos, |(at, _)| at);
        let word = &line[start..pos];
        let before = line[..start].trim_start();
        let found = if before.is_empty() && word.starts_with('\\') {
            COMMANDS.iter().map(|(name, ..)| format!("{name} ")).collect()
        } else if before.starts_with('\\') {
            self.arguments(before.split_whitespace().next().unwrap_or_default(), word)
        } else {
            self.in_statement(&line[..start], &line[pos..], word)
        };
        let upper = word.len() > 1 && word.chars().all(|c| c.is_uppercase() || !c.is_alphabetic());
        let alike = |candidate: &String| candidate.to_lowercase().starts_with(&word.to_lowercase());
        let mut offered: Vec<String> = Vec::new();
        for candidate in found.into_iter().filter(alike) {
            let is_keyword = KEYWORDS.contains(&candidate.trim_end());
            let candidate = if upper && is_keyword { candidate.to_uppercase() } else { candidate };
            if !offered.contains(&candidate) {
                offered.push(candidate);
            }
        }
        (start, offered)
    }

    fn arguments(&self, command: &str, word: &str) -> Vec<String> {
        match command {
            "\\d" => self.table_names(word),
            "\\x" => ["on", "off", "auto"].map(str::to_owned).to_vec(),
            "\\timing" => ["on", "off"].map(str::to_owned).to_vec(),
            "\\at" => vec!["now".to_owned()],
            "\\format" => {
                let forms = Form::value_variants().iter().filter_map(ValueEnum::to_possible_value);
                forms.map(|form| form.get_name().to_owned()).collect()
            }
            _ => Vec::new(),
        }
    }

    fn in_statement(&self, before: &str, after: &str, word: &str) -> Vec<String> {
        let Some(before) = words(before) else { return Vec::new() }; // inside a string or a comment
        let begins = before.iter().rposition(|word| word == ";").map_or(0, |at| at + 1);
        let before = &before[begins..];
        let after = words(after).unwrap_or_default();
        let ends = after.iter().position(|word| word == ";").unwrap_or(after.len());
        let whole: Vec<String> = before.iter().chain(&after[..ends]).cloned().collect();
        let (scope, named) = self.scope(&whole);
        if let Some((left, _)) = word.rsplit_once('.') {
            let left = left.to_lowercase();
            if let Some(table) = scope.get(&left).or_else(|| scope.values().find(|t| t.name.to_string() == left)) {
                return table.columns.iter().map(|column| format!("{left}.{}", quoted(&column.name))).collect();
            }
            let table = self.tables.iter().find(|table| table.name.to_string() == left);
            if let Some(table) = table {
                return table.columns.iter().map(|column| format!("{left}.{}", quoted(&column.name))).collect();
            }
            return self.table_names(word);
        }
        if names_a_table(before) {
            let mut tables = named;
            tables.extend(self.table_names(word));
            return tables;
        }
        let mut found: Vec<String> = Vec::new();
        for table in scope.values() {
            found.extend(table.columns.iter().map(|column| quoted(&column.name)));
        }
        found.extend(scope.keys().cloned());
        if word.is_empty() {
            return found; // the functions and keywords are too many to be asked for by nothing
        }
        found.extend(KEYWORDS.iter().map(|keyword| format!("{keyword} ")));
        found.extend(self.functions.iter().map(|function| format!("{function}(")));
        found
    }

    /// The tables of a statement by the name that its columns go by, and the names that `with` gives.
    fn scope(&self, statement: &[String]) -> (BTreeMap<String, &TableInfo>, Vec<String>) {
        let (mut scope, mut named) = (BTreeMap::new(), Vec::new());
        let lower: Vec<String> = statement.iter().map(|word| word.to_lowercase()).collect();
        let name = |at: usize| lower.get(at).filter(|word| word.starts_with(|c: char| c.is_alphabetic() || c == '_'));
        let mut listing = false;
        let mut at = 0;
        while at < lower.len() {
            let word = lower[at].as_str();
            if word == "as" && at > 0 && lower.get(at + 1).is_some_and(|next| next == "(") {
                named.extend(name(at - 1).cloned());
            }
            if BEFORE_TABLES.contains(&word) || (listing && word == ",") {
                listing = true;
                let (full, mut next) = match (name(at + 1), lower.get(at + 2).map(String::as_str), name(at + 3)) {
                    (Some(schema), Some("."), Some(table)) => (format!("{schema}.{table}"), at + 4),
                    (Some(table), ..) => (format!("marts.{table}"), at + 2),
                    _ => {
                        at += 1;
                        continue;
                    }
                };
                let alias = if lower.get(next).is_some_and(|word| word == "as") { next + 1 } else { next };
                let alias = name(alias).filter(|word| !KEYWORDS.contains(&word.as_str())).cloned();
                if let Some(table) = self.tables.iter().find(|table| table.name.to_string() == full) {
                    if alias.is_some() {
                        next += 1;
                    }
                    scope.insert(alias.unwrap_or_else(|| table.name.table.clone()), table);
                }
                at = next;
                continue;
            }
            if AFTER_TABLES.contains(&word) || word == "(" {
                listing = false;
            }
            at += 1;
        }
        (scope, named)
    }

    /// Schemas until one is written, then its tables; a table without its schema is found too.
    fn table_names(&self, word: &str) -> Vec<String> {
        let word = word.to_lowercase();
        let full: Vec<String> = self.tables.iter().map(|table| table.name.to_string()).collect();
        if word.contains('.') || full.iter().any(|name| name.starts_with(&word)) {
            return full;
        }
        // The default schema needs no name.
        self.tables.iter().filter(|table| table.name.schema == "marts").map(|table| table.name.table.clone()).collect()
    }
}

/// Whether the next word names a table: after `from`, or after a comma of its list.
fn names_a_table(before: &[String]) -> bool {
    let last = before.last().map(|word| word.to_lowercase());
    match last.as_deref() {
        Some(",") => {
            let clause = before.iter().rev().map(|word| word.to_lowercase());
            let mut clause = clause.filter(|word| word == "(" || KEYWORDS.contains(&word.as_str()) && word != "as");
            clause.next().is_some_and(|word| word == "from")
        }
        Some(last) => BEFORE_TABLES.contains(&last),
        None => false,
    }
}

/// A column as it must be written.
fn quoted(name: &str) -> String {
    let plain = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    if plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}
