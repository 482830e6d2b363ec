//! What is wrong with a query, said to the person who wrote it: in words, with the line and column, and the nearest name.
//!
//! The engine's errors repeat themselves, name its own parts and spell types as code; here each becomes one sentence.

mod place;
mod words;

pub use place::{Place, Statement};
pub(crate) use words::without_types;

use crate::query::cells::{hidden, visible};
use datafusion::common::{Column, SchemaError};
use datafusion::error::DataFusionError;
use datafusion::sql::sqlparser::parser::ParserError;
use std::fmt;
use words::{arrow_words, between, located, nearest, nearest_table, plain, sql_types};

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
        } else if let Some(name) = between(text, "for placeholder with id ", "\n")
            .or_else(|| between(text, "No value found for placeholder with name ", "\n"))
        {
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
            let takes: Vec<&str> =
                takes.filter(|line| line.starts_with(name) && !line.contains("UserDefined")).collect();
            self.hint = (!takes.is_empty())
                .then(|| format!("it is {}", sql_types(&takes[..takes.len().min(4)].join(" or ")).to_lowercase()));
        } else if let Some(name) = between(text, "Function '", "' failed to match any signature") {
            self.place = statement.find(name);
            let kind = between(text, "but received ", " (DataType").unwrap_or("such value");
            self.message = format!("the function {name} cannot work on a {}", kind.to_lowercase());
        } else if let Some(column) = between(text, "While expanding wildcard, column \"", "\" must appear") {
            self.message = format!("column {column} must stand in group by, or inside an aggregate function");
        } else if let Some(name) =
            between(text, "Projections require unique expression names but the expression \"", "\" at")
        {
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

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&visible(&self.message))?;
        let Some(place) = &self.place else { return Ok(()) };
        match &place.file {
            Some(file) => write!(f, "\n  at {}:{}:{}", visible(file), place.line, place.column)?,
            None => write!(f, "\n  at line {}, column {}", place.line, place.column)?,
        }
        // A very long line is shown around the place.
        let start = if place.text.chars().count() > 100 { place.column.saturating_sub(40) } else { 0 };
        let line: String = place.text.chars().skip(start).take(100).map(|c| if hidden(c) { ' ' } else { c }).collect();
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
    fn a_mistake_in_one_of_our_files_is_shown_in_that_file() {
        let field = Box::new(Column::from_qualified_name("trace_id"));
        let error =
            SchemaError::FieldNotFound { field, valid_fields: vec![Column::from_qualified_name("t.trace_ids")] };
        let error = DataFusionError::SchemaError(Box::new(error), Box::new(None));
        let error = crate::LakeError::sql("sql/traces/events.sql")(error);
        let shown = std::error::Error::source(&error).unwrap().to_string();
        assert!(shown.contains("at sql/traces/events.sql:") && shown.contains("^^^^^^^"), "{shown}");
        let crate::LakeError::Sql { source, .. } = error else { panic!("another error") };
        assert_eq!(source.hint.as_deref(), Some("did you mean t.trace_ids?"));
    }
}
