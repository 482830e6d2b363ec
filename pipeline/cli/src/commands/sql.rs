//! `sql`: one query, or queries line by line.

use crate::context::{Answer, Context, emit_bytes};
use crate::failure::{Exit, Failure};
use clap::{Args, ValueEnum};
use lake::{OutputFormat, Rows, Session};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, IsTerminal, Write};
use std::path::PathBuf;

/// What `sql` takes.
#[derive(Debug, Args)]
#[command(after_help = "\
Tables: staging.events, staging.rejects, traces.*, marts.*, features.*,
predictions.*, plans.* (`show tables`); session.clock has one row with `now`.
-f takes a file, or the name of a report: flakiest-tests, plans-helped, pr-cost,
queue-by-hour, slowest-jobs, starved-or-idle. The head of sql/reports/NAME.sql
says which parameters it takes (--param repo=acme/api).
Without a query, statements are read from standard input, each ended by `;`.")]
pub struct SqlArgs {
    /// The query
    query: Option<String>,
    /// Read the query from a file, or run a report by its name
    #[arg(short, long, value_name = "FILE", conflicts_with = "query")]
    file: Option<PathBuf>,
    /// Give a parameter of the file or report a value, such as repo=acme/api
    #[arg(long = "param", value_name = "NAME=VALUE", requires = "file", value_parser = parameter)]
    parameters: Vec<(String, String)>,
    /// How the result is written
    #[arg(long, value_enum, default_value_t = Form::Table)]
    format: Form,
    /// Write to a file
    #[arg(short, long, value_name = "OUT")]
    output: Option<PathBuf>,
}

/// The formats by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    Table,
    Json,
    Ndjson,
    Csv,
    Parquet,
}

impl From<Form> for OutputFormat {
    fn from(form: Form) -> Self {
        match form {
            Form::Table => Self::Table,
            Form::Json => Self::Json,
            Form::Ndjson => Self::Ndjson,
            Form::Csv => Self::Csv,
            Form::Parquet => Self::Parquet,
        }
    }
}

/// Runs what was asked.
pub async fn run(context: &Context, args: SqlArgs) -> Result<Answer, Failure> {
    let session = context.lake().await?.session(context.now).await?;
    let rows = match (&args.query, &args.file) {
        (Some(query), _) => session.query(query).await?,
        (None, Some(file)) => {
            let text = read(file)?;
            session.query_report(&text, &values(&text, &args.parameters)).await?
        }
        (None, None) => return lines(context, &session, &args).await,
    };
    answer(context, &rows, &args).map(Answer::done)
}

fn parameter(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// What was given, and for the rest what the head declares: `-- Parameter repo: text, default null`.
fn values(text: &str, given: &[(String, String)]) -> BTreeMap<String, Option<String>> {
    let head = text.lines().filter_map(|line| line.strip_prefix("-- Parameter ")?.split_once(": "));
    let default =
        |rest: &str| rest.split_once("default ")?.1.split(' ').next().filter(|word| *word != "null").map(str::to_owned);
    let mut values: BTreeMap<_, _> = head.map(|(name, rest)| (name.to_owned(), default(rest))).collect();
    values.extend(given.iter().map(|(name, value)| (name.clone(), Some(value.clone()))));
    values
}

fn read(file: &PathBuf) -> Result<String, Failure> {
    let name = file.to_string_lossy();
    let reports = lake::sql_files("reports");
    if let Some(report) = reports.iter().find(|report| report.name.table == name) {
        return Ok(report.text.clone());
    }
    fs::read_to_string(file).map_err(|error| {
        let names: Vec<_> = reports.iter().map(|report| report.name.table.as_str()).collect();
        Failure::file("read", file, &error).hint(format!("the reports are {}", names.join(", ")))
    })
}

/// Writes the result where it was asked for; what `--json` prints.
fn answer(context: &Context, rows: &Rows, args: &SqlArgs) -> Result<Value, Failure> {
    if context.global.json && args.output.is_none() {
        return Ok(json!({"row_count": rows.len(), "rows": rows.to_json()?}));
    }
    write(context, rows, args)?;
    Ok(json!({"row_count": rows.len(), "output": args.output}))
}

fn write(context: &Context, rows: &Rows, args: &SqlArgs) -> Result<(), Failure> {
    let mut bytes = Vec::new();
    let width = if args.output.is_some() { 0 } else { context.width() };
    rows.write(args.format.into(), width, &mut bytes)?;
    match &args.output {
        Some(path) => fs::write(path, bytes).map_err(|error| Failure::file("write", path, &error)),
        None => {
            emit_bytes(&bytes);
            Ok(())
        }
    }
}

/// Statements from standard input, each ended by `;`. On a terminal an error does not end the session.
async fn lines(context: &Context, session: &Session, args: &SqlArgs) -> Result<Answer, Failure> {
    let interactive = std::io::stdin().is_terminal();
    let prompt = |text: &str| {
        if interactive {
            let mut err = std::io::stderr().lock();
            let _ = write!(err, "{text}").and_then(|()| err.flush());
        }
    };
    let (mut statement, mut results) = (String::new(), Vec::new());
    prompt("sql> ");
    for line in std::io::stdin().lock().lines() {
        let line = line.map_err(|e| Failure::new(Exit::Failed, format!("cannot read standard input: {e}")))?;
        if interactive && statement.is_empty() && matches!(line.trim(), "exit" | "quit" | "\\q") {
            break;
        }
        statement.push_str(&line);
        statement.push('\n');
        if statement.trim_end().ends_with(';') {
            results.extend(one(context, session, args, std::mem::take(&mut statement), interactive).await?);
            prompt("sql> ");
        } else {
            prompt("  …> ");
        }
    }
    if !statement.trim().is_empty() {
        results.extend(one(context, session, args, statement, interactive).await?);
    }
    Ok(Answer::done(json!({"results": results})))
}

async fn one(
    context: &Context,
    session: &Session,
    args: &SqlArgs,
    text: String,
    go_on: bool,
) -> Result<Option<Value>, Failure> {
    let text = text.trim().trim_end_matches(';');
    if text.is_empty() {
        return Ok(None);
    }
    match session.query(text).await {
        Ok(rows) => answer(context, &rows, args).map(Some),
        Err(error) if go_on => {
            crate::report(&error.into());
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}
