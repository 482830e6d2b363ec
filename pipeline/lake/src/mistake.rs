//! What is wrong with a query, said to the person who wrote it: in words, with the line and column, and the nearest name.
//!
//! The engine's errors repeat themselves, name its own parts and spell types as code; here each becomes one sentence.

use arrow::error::ArrowError;
use datafusion::common::{Column, SchemaError, Span};
use datafusion::error::DataFusionError;
use datafusion::sql::sqlparser::parser::ParserError;
use std::fmt;

/// An error of a query.
#[derive(Debug)]
pub struct Mistake {
    /// One sentence, without the place.
    pub message: String,
    /// Where, when the engine or the text says so.
    pub place: Option<Place>,
    /// What may have been meant.
    pub hint: Option<String>,
    /// Whether the query needed more memory than it may have.
    pub out_of_memory: bool,
    /// Whether a file of the lake was not there.
    pub file_missing: bool,
}

/// A place in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file; none for a query of the command line.
    pub file: Option<String>,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// The line itself.
    pub text: String,
    /// Characters from the column that are meant, at least 1.
    pub length: usize,
}

/// A query and where it stands: in a file, in a line after others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// The file; none for a query of the command line.
    pub file: Option<String>,
    /// One statement, without the `;` at its end.
    pub text: String,
    /// Its first line in the file, from 1.
    pub first_line: usize,
    /// Its first column in that line, from 1.
    pub first_column: usize,
}

impl Statement {
    /// A query that stands alone.
    pub fn new(text: impl Into<String>) -> Self {
        Self { file: None, text: text.into(), first_line: 1, first_column: 1 }
    }

    /// A file that is one query.
    pub fn of_file(file: impl Into<String>, text: impl Into<String>) -> Self {
        Self { file: Some(file.into()), ..Self::new(text) }
    }

    /// What an error names: the file, or that it is the query.
    pub(crate) fn what(&self) -> String {
        self.file.clone().unwrap_or_else(|| "the query".to_owned())
    }

    /// A place by line and column inside the statement.
    fn place(&self, line: usize, column: usize, length: usize) -> Option<Place> {
        let text = self.text.lines().nth(line.checked_sub(1)?)?.to_owned();
        let column = column.max(1);
        let (line, shift) = match line {
            1 => (self.first_line, self.first_column - 1),
            _ => (self.first_line + line - 1, 0),
        };
        // The line of the file begins before the statement: the caret stands under the statement's own words.
        let text = format!("{}{text}", " ".repeat(shift));
        Some(Place { file: self.file.clone(), line, column: column + shift, text, length: length.max(1) })
    }

    fn span(&self, span: Span) -> Option<Place> {
        let (start, end) = (span.start, span.end);
        let length = if start.line == end.line { end.column.saturating_sub(start.column) } else { 1 };
        self.place(start.line as usize, start.column as usize, length as usize)
    }

    /// The first place where a name stands as a whole word.
    fn find(&self, name: &str) -> Option<Place> {
        let word = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
        for (number, line) in self.text.lines().enumerate() {
            let code = line.split("--").next().unwrap_or_default();
            for (at, _) in code.match_indices(name) {
                let free = !code[..at].chars().next_back().is_some_and(word)
                    && !code[at + name.len()..].chars().next().is_some_and(word);
                if free && !name.is_empty() {
                    return self.place(number + 1, code[..at].chars().count() + 1, name.chars().count());
                }
            }
        }
        None
    }
}

impl Mistake {
    /// From the engine's error over a statement. `tables` are the names that there are.
    pub(crate) fn new(error: &DataFusionError, statement: &Statement, tables: &[String]) -> Self {
        let mut mistake =
            Self { message: String::new(), place: None, hint: None, out_of_memory: false, file_missing: false };
        mistake.read(error, statement, tables);
        mistake
    }

    fn read(&mut self, error: &DataFusionError, statement: &Statement, tables: &[String]) {
        match error {
            DataFusionError::Diagnostic(diagnostic, inner) => {
                self.read(inner, statement, tables);
                let place = diagnostic.span.and_then(|span| statement.span(span));
                self.place = place.or(self.place.take());
            }
            DataFusionError::Context(_, inner) => self.read(inner, statement, tables),
            DataFusionError::Shared(inner) => self.read(inner, statement, tables),
            DataFusionError::Collection(errors) if !errors.is_empty() => self.read(&errors[0], statement, tables),
            DataFusionError::SQL(error, _) => self.read_parser(error, statement),
            DataFusionError::SchemaError(error, _) => self.read_schema(error, statement),
            DataFusionError::ResourcesExhausted(text) => {
                self.out_of_memory = true;
                self.message = if text.contains("disk") {
                    "it needs more space for temporary files than it may have".into()
                } else {
                    "it needs more memory than a query may have".into()
                };
            }
            DataFusionError::ArrowError(error, _) => self.message = arrow_words(error),
            DataFusionError::Plan(text) | DataFusionError::Execution(text) | DataFusionError::NotImplemented(text) => {
                self.read_text(text, statement, tables);
            }
            DataFusionError::Internal(text) => {
                self.message = format!("the engine cannot do this: {}", plain(text));
            }
            DataFusionError::External(inner) => match inner.downcast_ref::<DataFusionError>() {
                Some(inner) => self.read(inner, statement, tables),
                None => {
                    self.file_missing = missing(inner.as_ref());
                    self.message = plain(&inner.to_string());
                }
            },
            DataFusionError::ObjectStore(inner) => {
                self.file_missing = missing(inner.as_ref());
                self.message = plain(&inner.to_string());
            }
            DataFusionError::ParquetError(inner) => {
                self.file_missing = missing(inner.as_ref());
                self.message = plain(&inner.to_string());
            }
            other => self.message = plain(&other.strip_backtrace()),
        }
    }

    fn read_parser(&mut self, error: &ParserError, statement: &Statement) {
        let text = match error {
            ParserError::TokenizerError(text) | ParserError::ParserError(text) => text.as_str(),
            ParserError::RecursionLimitExceeded => "it is nested too deeply",
        };
        let (text, at) = located(text);
        let text = text.replace("Expected: ", "expected ").replace(", found: ", ", found ");
        let text = text.trim_start_matches("sql parser error: ").trim();
        if text.ends_with("found EOF") {
            self.message = format!("{}the end", text.strip_suffix("EOF").unwrap_or(text));
            let last = statement.text.trim_end().lines().count().max(1);
            let column = statement.text.trim_end().lines().last().map_or(0, |line| line.chars().count()) + 1;
            self.place = statement.place(last, column, 1);
            return;
        }
        self.message = plain(text);
        self.place = at.and_then(|(line, column)| {
            let word = statement.text.lines().nth(line.saturating_sub(1))?;
            let word = word.chars().skip(column.saturating_sub(1));
            let length = word.take_while(|c| c.is_alphanumeric() || *c == '_').count();
            statement.place(line, column, length)
        });
    }

    fn read_schema(&mut self, error: &SchemaError, statement: &Statement) {
        let find = |column: &Column| {
            let spans = column.spans.first().and_then(|span| statement.span(span));
            let full = column.relation.as_ref().map(|relation| format!("{relation}.{}", column.name));
            spans.or_else(|| statement.find(&full?)).or_else(|| statement.find(&column.name))
        };
        match error {
            SchemaError::FieldNotFound { field, valid_fields } => {
                self.place = find(field);
                let names: Vec<String> = valid_fields.iter().map(|field| field.name.clone()).collect();
                let full: Vec<String> = valid_fields.iter().map(shown).collect();
                self.message = match &field.relation {
                    Some(relation) => format!("there is no column {} in {relation}", field.name),
                    None => format!("there is no column {}", field.name),
                };
                self.hint = nearest(&field.name, &names)
                    .or_else(|| nearest(&shown(field), &full))
                    .map(|at| format!("did you mean {}?", full[at]))
                    .or_else(|| (!full.is_empty()).then(|| format!("the columns are {}", some_of(&full))));
            }
            SchemaError::AmbiguousReference { field } => {
                self.place = find(field);
                self.message = format!("column {} is in more than one table", field.name);
                self.hint = Some(format!("write table.{} or its alias", field.name));
            }
            SchemaError::DuplicateQualifiedField { name, .. } | SchemaError::DuplicateUnqualifiedField { name } => {
                self.message = format!("column {name} comes twice");
                self.hint = Some(format!("give one of them another name: {name} as other_name"));
                self.place = statement.find(name);
            }
        }
    }

    fn read_text(&mut self, text: &str, statement: &Statement, tables: &[String]) {
        if let Some(table) = between(text, "table '", "' not found").or_else(|| between(text, "Table '", "' not found"))
        {
            let table = short(table);
            // A path is one name of the default schema.
            let table = table.strip_prefix("marts.").filter(|rest| rest.contains(['.', '/'])).unwrap_or(table);
            self.place = statement.find(table).or_else(|| statement.find(table.rsplit('.').next()?));
            self.message = format!("there is no table {table}");
            let near = nearest_table(table, tables);
            self.hint = near.map(|at| format!("did you mean {}?", tables[at]));
            if self.hint.is_none() && !tables.is_empty() {
                self.hint = Some("`pipeline sql \"show tables\"` lists the tables".into());
            }
        } else if let Some(name) = between(text, "Invalid function '", "'") {
            self.place = statement.find(name);
            self.message = format!("there is no function {name}");
            self.hint = between(text, "Did you mean '", "'").map(|name| format!("did you mean {name}?"));
        } else if let Some(name) = between(text, "for placeholder with id ", "\n").or_else(|| between(text, "No value found for placeholder with name ", "\n")) {
            self.place = statement.find(name);
            self.message = format!("parameter {name} has no value");
        } else if let Some(call) = between(text, "argument types '", "'") {
            let (name, types) = call.split_once('(').unwrap_or((call, ")"));
            self.place = statement.find(name);
            self.message = match types {
                ")" => format!("the function {name} needs something to work on"),
                types => format!("the function {name} cannot work on ({}", sql_types(types)),
            };
            let takes = text.lines().filter_map(|line| line.strip_prefix('\t'));
            let takes: Vec<&str> = takes.filter(|line| line.starts_with(name) && !line.contains("UserDefined")).collect();
            self.hint = (!takes.is_empty()).then(|| format!("it is {}", takes[..takes.len().min(4)].join(" or ")));
        } else if let Some(name) = between(text, "Function '", "' failed to match any signature") {
            self.place = statement.find(name);
            let kind = between(text, "but received ", " (DataType").unwrap_or("such value");
            self.message = format!("the function {name} cannot work on a {}", kind.to_lowercase());
        } else if let Some(column) = between(text, "While expanding wildcard, column \"", "\" must appear") {
            self.message = format!("column {column} must stand in group by, or inside an aggregate function");
        } else if let Some(name) = between(text, "Projections require unique expression names but the expression \"", "\" at") {
            let name = name.rsplit(" AS ").next().unwrap_or(name);
            self.message = format!("column {name} comes twice");
            self.hint = Some("give one of them another name: … as other_name".into());
            self.place = statement.find(name);
        } else {
            let (text, at) = located(text);
            self.place = at.and_then(|(line, column)| statement.place(line, column, 1));
            self.message = plain(text);
        }
    }
}

/// `… at Line: 2, Column: 7` as what was said and the place.
fn located(text: &str) -> (&str, Option<(usize, usize)>) {
    let Some(at) = text.rfind(" at Line: ") else { return (text, None) };
    let mut numbers = text[at..].split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse().ok());
    (&text[..at], numbers.next().zip(numbers.next()))
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let rest = &text[text.find(before)? + before.len()..];
    Some(rest.find(after).map_or(rest, |end| &rest[..end]))
}

/// A table without the catalog, which is always the same.
fn short(table: &str) -> &str {
    table.strip_prefix("lake.").unwrap_or(table)
}

fn shown(column: &Column) -> String {
    match &column.relation {
        Some(relation) => format!("{}.{}", short(&relation.to_string()), column.name),
        None => column.name.clone(),
    }
}

fn some_of(names: &[String]) -> String {
    const SHOWN: usize = 30;
    let mut text = names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN {
        text.push_str(&format!(" and {} more", names.len() - SHOWN));
    }
    text
}

/// The name that is most like what was written, when it is alike at all.
fn nearest(written: &str, names: &[String]) -> Option<usize> {
    let written = written.to_lowercase();
    let scores = names.iter().map(|name| strsim::damerau_levenshtein(&written, &name.to_lowercase()));
    let (at, distance) = scores.enumerate().min_by_key(|(_, distance)| *distance)?;
    (distance * 5 <= written.chars().count() * 2).then_some(at)
}

/// The table that is most like what was written: by its own name first, which may stand under another schema.
fn nearest_table(written: &str, tables: &[String]) -> Option<usize> {
    let own = |name: &str| name.rsplit('.').next().unwrap_or(name).to_lowercase();
    let (bare, full) = (own(written), written.to_lowercase());
    let scores = tables.iter().map(|table| {
        (strsim::damerau_levenshtein(&bare, &own(table)), strsim::damerau_levenshtein(&full, &table.to_lowercase()))
    });
    let (at, (distance, _)) = scores.enumerate().min_by_key(|(_, score)| *score)?;
    if distance * 5 <= bare.chars().count() * 2 { Some(at) } else { nearest(written, tables) }
}

/// Whether an error says, at any depth, that a file is not there.
fn missing(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(object_store::Error::NotFound { .. }) = error.downcast_ref::<object_store::Error>() {
            return true;
        }
        if error.to_string().contains("not found") && error.to_string().contains(".parquet") {
            return true;
        }
        next = error.source();
    }
    false
}

fn arrow_words(error: &ArrowError) -> String {
    match error {
        ArrowError::DivideByZero => "division by zero".into(),
        ArrowError::CastError(text)
        | ArrowError::ComputeError(text)
        | ArrowError::InvalidArgumentError(text)
        | ArrowError::ParseError(text)
        | ArrowError::ArithmeticOverflow(text)
        | ArrowError::SchemaError(text)
        | ArrowError::CsvError(text)
        | ArrowError::JsonError(text)
        | ArrowError::NotYetImplemented(text) => plain(text),
        other => plain(&other.to_string()),
    }
}

/// The engine's words without what concerns its makers: prefixes, backtraces, requests for bug reports, lists of candidates.
fn plain(text: &str) -> String {
    let mut text = text;
    for end in ["\n\nbacktrace:", "\nThis issue was likely", "\nThis was likely caused", ". This was likely", "\nBacktrace"] {
        text = text.split(end).next().unwrap_or(text);
    }
    loop {
        let before = text.len();
        for prefix in [
            "Error during planning: ",
            "Execution error: ",
            "External error: ",
            "Internal error: ",
            "Schema error: ",
            "Arrow error: ",
            "Parquet error: ",
            "External: ",
            "Object Store error: ",
            "Optimizer rule 'simplify_expressions' failed",
            "type_coercion",
            "caused by",
            "\n",
        ] {
            text = text.strip_prefix(prefix).unwrap_or(text).trim_start();
        }
        if text.len() == before {
            break;
        }
    }
    let text = text.split("\n\tCandidate functions").next().unwrap_or(text);
    let text = text.split(" You might need to add explicit type casts").next().unwrap_or(text);
    sql_types(text.trim().trim_end_matches('.'))
}

/// Types by the names that SQL has for them.
fn sql_types(text: &str) -> String {
    const TYPES: &[(&str, &str)] = &[
        ("LargeUtf8", "text"),
        ("Utf8View", "text"),
        ("Utf8", "text"),
        ("UInt64", "unsigned bigint"),
        ("Int64", "bigint"),
        ("Int32", "integer"),
        ("Float64", "double"),
        ("Boolean", "boolean"),
        ("Date32", "date"),
        ("Timestamp(µs, \"UTC\")", "timestamp"),
        ("Timestamp(µs)", "timestamp"),
        ("Timestamp(ns)", "timestamp"),
        ("Interval(MonthDayNano)", "interval"),
    ];
    let mut text = without_types(text);
    for (name, word) in TYPES {
        text = text.replace(name, word);
    }
    text
}

/// `Int64(1)` and `Utf8("x")`, the engine's way to write values, as `1` and `'x'`.
pub(crate) fn without_types(text: &str) -> String {
    const TYPES: &[&str] = &["Int64(", "Float64(", "Utf8(", "Utf8View(", "Boolean(", "UInt64("];
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((at, name)) = TYPES.iter().filter_map(|name| Some((rest.find(name)?, name))).min() {
        let inner = &rest[at + name.len()..];
        let free = !rest[..at].chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '_');
        let value = match inner.strip_prefix('"') {
            Some(quoted) => quoted.find("\")").map(|end| (format!("'{}'", &quoted[..end]), end + 3)),
            None => inner.find(')').map(|end| (inner[..end].to_owned(), end + 1)),
        };
        match value.filter(|_| free) {
            Some((value, length)) => {
                plain.push_str(&rest[..at]);
                plain.push_str(&value);
                rest = &inner[length..];
            }
            None => {
                plain.push_str(&rest[..at + name.len()]);
                rest = inner;
            }
        }
    }
    plain.push_str(rest);
    plain
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        let Some(place) = &self.place else { return Ok(()) };
        match &place.file {
            Some(file) => write!(f, "\n  at {file}:{}:{}", place.line, place.column)?,
            None => write!(f, "\n  at line {}, column {}", place.line, place.column)?,
        }
        // A very long line is shown around the place.
        let start = if place.text.chars().count() > 100 { place.column.saturating_sub(40) } else { 0 };
        let line: String = place.text.chars().skip(start).take(100).map(|c| if c == '\t' { ' ' } else { c }).collect();
        let number = place.line.to_string();
        let gutter = " ".repeat(number.len());
        let indent = " ".repeat(place.column.saturating_sub(start + 1));
        let length = place.length.min(line.chars().count().saturating_sub(indent.len()).max(1));
        write!(f, "\n  {number} | {}\n  {gutter} | {indent}{}", line.trim_end(), "^".repeat(length))
    }
}

impl std::error::Error for Mistake {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_near() {
        let names = ["marts.runs", "marts.usage", "staging.events"].map(str::to_owned);
        assert_eq!(nearest("mart.runs", &names), Some(0));
        assert_eq!(nearest("events", &["events".to_owned()]), Some(0));
        assert_eq!(nearest("something else", &names), None);
    }

    #[test]
    fn the_nearest_table_may_stand_under_another_schema() {
        let names = ["features.runs", "marts.daily", "marts.runs", "staging.events"].map(str::to_owned);
        for (written, meant) in
            [("marts.run", "marts.runs"), ("mart.runs", "marts.runs"), ("marts.event", "staging.events"), ("marts.dayly", "marts.daily")]
        {
            assert_eq!(nearest_table(written, &names).map(|at| names[at].as_str()), Some(meant), "{written}");
        }
        assert_eq!(nearest_table("marts.x", &names[3..]), None);
    }

    #[test]
    fn a_mistake_in_one_of_our_files_is_shown_in_that_file() {
        let field = Box::new(Column::from_qualified_name("payload"));
        let error = SchemaError::FieldNotFound { field, valid_fields: vec![Column::from_qualified_name("t.payloads")] };
        let error = DataFusionError::SchemaError(Box::new(error), Box::new(None));
        let error = crate::LakeError::sql("sql/traces/events.sql")(error);
        let shown = std::error::Error::source(&error).unwrap().to_string();
        assert!(shown.contains("at sql/traces/events.sql:") && shown.contains("^^^^^^^"), "{shown}");
        let crate::LakeError::Sql { source, .. } = error else { panic!("another error") };
        assert_eq!(source.hint.as_deref(), Some("did you mean t.payloads?"));
    }

    #[test]
    fn a_place_counts_from_the_file_s_first_line_and_the_caret_stands_under_the_word() {
        let statement = Statement { file: Some("a.sql".into()), text: "select\n  nope from x".into(), first_line: 4, first_column: 3 };
        let place = statement.find("nope").unwrap();
        assert_eq!((place.line, place.column, place.length), (5, 3, 4));
        let first = statement.find("select").unwrap();
        assert_eq!((first.line, first.column), (4, 3));
        assert_eq!(statement.find("nop"), None, "a whole word");
    }

    #[test]
    fn what_concerns_the_engine_s_makers_is_left_out() {
        assert_eq!(plain("Error during planning: no.\n\nbacktrace:   0: std"), "no");
        assert_eq!(plain("Cannot add Utf8View to Int64(1) and Int64"), "Cannot add text to 1 and bigint");
        assert_eq!(without_types("Utf8(\"a(b)\") || x + Int64(-1) + myInt64(2)"), "'a(b)' || x + -1 + myInt64(2)");
        assert_eq!(located("Expected: x at Line: 3, Column: 9"), ("Expected: x", Some((3, 9))));
    }
}
