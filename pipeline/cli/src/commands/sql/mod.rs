//! `sql`: ask the lake. One query, a file or a report, statements from a pipe, or a shell on a terminal.

mod ask;
mod backslash;
mod completion;
pub mod output;
mod pager;
pub mod reports;
mod shell;
pub mod watch;

use crate::context::{Answer, Context};
use crate::failure::{Exit, Failure};
use ask::{Desk, Style};
use clap::{Args, ValueEnum};
use domain::units::{MIB, parse_bytes};
use lake::{At, OutputFormat, Statement, View, is_blank, is_complete, statements};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead, IsTerminal};
use std::path::PathBuf;

/// The arguments of `sql`.
#[derive(Debug, Args)]
#[command(after_help = "\
Without a query, the command opens a shell on a terminal (`\\?` lists its
commands), or else runs the statements from standard input, each ended by `;`.
No statement changes the lake. `show tables` lists the tables; session.clock has
one row with `now`.

Examples:
  pipeline sql -f slowest-jobs --format csv
  pipeline sql \"select * from marts.runs where repo = $r\" --param r=acme/api
  pipeline sql --at 2026-10-01T00:00:00Z \"select count(*) from marts.runs\"")]
pub struct SqlArgs {
    /// The query
    query: Option<String>,
    /// Run a file, or a report by its name
    #[arg(short, long, value_name = "FILE", conflicts_with = "query")]
    file: Option<String>,
    /// The value of `$NAME` in the query; repeatable
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = name_and_value)]
    params: Vec<(String, String)>,
    /// List the reports and their parameters
    #[arg(long, conflicts_with_all = ["query", "file", "output", "params"])]
    list_reports: bool,
    /// Output format [default: from the extension of OUT, else table]
    #[arg(long, value_enum)]
    format: Option<Form>,
    /// In CSV, add the prefix `'` to texts that a spreadsheet reads as formulas: = + - @
    #[arg(long)]
    spreadsheet_safe: bool,
    /// Write to a file atomically; `-` is stdout
    #[arg(short, long, value_name = "OUT")]
    output: Option<PathBuf>,
    /// Read the lake as it was: at a time [RFC 3339], at TABLE@VERSION, or at a version of staging.events
    #[arg(long, value_name = "WHEN", value_parser = parse_at)]
    at: Option<At>,
    /// Allow queries to read local files: select * from 'runs.parquet'
    #[arg(long)]
    allow_files: bool,
    /// Number of table rows shown on a terminal; 0: all
    #[arg(long, value_name = "N", default_value_t = 1000)]
    max_rows: usize,
    /// Memory limit of a query before it spills to disk [default: half of the memory]
    #[arg(long, value_name = "SIZE", value_parser = parse_memory)]
    memory: Option<usize>,
}

/// The output formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Form {
    Table,
    Json,
    Ndjson,
    Csv,
    Parquet,
}

impl Form {
    /// The format that a file's ending asks for.
    fn of_ending(path: &std::path::Path) -> Option<Self> {
        match path.extension()?.to_str()? {
            "json" => Some(Self::Json),
            "ndjson" | "jsonl" => Some(Self::Ndjson),
            "csv" => Some(Self::Csv),
            "parquet" => Some(Self::Parquet),
            _ => None,
        }
    }
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

fn name_and_value(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it as name=value")?;
    let name = name.trim_start_matches('$');
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return Err(format!("{name} is no name of a parameter"));
    }
    Ok((name.to_owned(), value.to_owned()))
}

fn parse_at(text: &str) -> Result<At, String> {
    At::parse(text).ok_or_else(|| "write a time as 2026-10-01T00:00:00Z, a version as marts.runs@7 or 7".to_owned())
}

fn parse_memory(text: &str) -> Result<usize, String> {
    let bytes = parse_bytes(text).filter(|bytes| *bytes >= 16 * MIB).and_then(|bytes| usize::try_from(bytes).ok());
    bytes.ok_or_else(|| "write it as 512MiB or 4GiB, at least 16MiB".to_owned())
}

/// Half of what the machine or the control group gives; 1 GiB where that is less or not told.
pub fn half_of_memory() -> usize {
    let half = agent::memory_bytes().and_then(|bytes| usize::try_from(bytes / 2).ok());
    half.unwrap_or_default().max(1 << 30)
}

/// Runs what was asked.
pub async fn run(context: &Context, args: SqlArgs) -> Result<Answer, Failure> {
    if args.list_reports {
        return reports::list(context);
    }
    let mut given = BTreeMap::new();
    for (name, value) in &args.params {
        if given.insert(name.clone(), value.clone()).is_some() {
            return Err(Failure::new(Exit::Usage, format!("--param {name} is given twice")));
        }
    }
    let output = args.output.clone().filter(|path| path.as_os_str() != "-");
    let to_file = |path: &PathBuf| Form::of_ending(path).unwrap_or(Form::Table);
    let format = args.format.unwrap_or_else(|| output.as_ref().map_or(Form::Table, to_file));
    if args.spreadsheet_safe && format != Form::Csv {
        let wrong = Failure::new(Exit::Usage, "--spreadsheet-safe is for CSV");
        return Err(wrong.hint("--format csv, or an output that ends in .csv"));
    }
    let style = Style { format, max_rows: args.max_rows, spreadsheet_safe: args.spreadsheet_safe, ..Style::default() };
    let script = match (&args.query, &args.file) {
        (Some(query), _) => Some((statements(None, query), Vec::new())),
        (None, Some(file)) => Some(reports::read(file)?),
        (None, None) => None,
    };
    let view = View {
        at: args.at.clone(),
        files: args.allow_files,
        memory_bytes: Some(args.memory.unwrap_or_else(half_of_memory)),
        ..View::default()
    };
    let mut desk = Desk::open(context, view, style, given, output).await?;
    match script {
        Some((script, declared)) => script_answer(&mut desk, script, declared, args.query.is_some()).await,
        None if std::io::stdin().is_terminal() && !context.global.json => shell::run(&mut desk).await,
        None => from_pipe(&mut desk).await,
    }
}

/// Every statement of a text; with one, its answer is the answer.
async fn script_answer(
    desk: &mut Desk<'_>,
    script: Vec<Statement>,
    declared: Vec<lake::Declared>,
    typed: bool,
) -> Result<Answer, Failure> {
    if script.is_empty() {
        let what = if typed { "the query is empty" } else { "the file has no query" };
        return Err(Failure::new(Exit::Usage, what).hint("write one, such as \"show tables\""));
    }
    if script.len() > 1 && desk.output.is_some() {
        return Err(one_result());
    }
    desk.know_parameters(&script, &declared).await?;
    let mut results = Vec::new();
    for statement in script {
        results.push(desk.ask(statement, &declared).await?);
    }
    Ok(Answer::done(match results.len() {
        1 => results.swap_remove(0),
        _ => json!({"results": results}),
    }))
}

/// The refusal to write several results into one file.
fn one_result() -> Failure {
    Failure::new(Exit::Usage, "one file holds one result, and there are several statements")
        .hint("run them one by one, each with its own -o")
}

/// Statements from standard input, each run when its `;` has come. The first error ends it.
async fn from_pipe(desk: &mut Desk<'_>) -> Result<Answer, Failure> {
    const NAME: &str = "standard input";
    let (mut text, mut first_line, mut results) = (String::new(), 1, Vec::<Value>::new());
    let mut asked = 0;
    let mut lines = std::io::stdin().lock().lines();
    let mut number = 0;
    loop {
        let line = lines.next().transpose();
        let line = line.map_err(|e| Failure::new(Exit::Failed, format!("cannot read {NAME}: {e}")))?;
        let ended = line.is_none();
        number += 1;
        if let Some(line) = line {
            if is_blank(&text) && line.trim_start().starts_with('\\') {
                if backslash::run(desk, line.trim()).await?.is_break() {
                    break;
                }
                continue;
            }
            if text.is_empty() {
                first_line = number;
            }
            text.push_str(&line);
            text.push('\n');
            if !line.contains(';') || !is_complete(&text) {
                continue;
            }
        }
        for mut statement in statements(Some(NAME), &std::mem::take(&mut text)) {
            statement.first_line += first_line - 1;
            asked += 1;
            if asked > 1 && desk.output.is_some() {
                return Err(one_result());
            }
            results.push(desk.ask(statement, &[]).await?);
        }
        if ended {
            break;
        }
    }
    Ok(Answer::done(json!({"results": results})))
}
