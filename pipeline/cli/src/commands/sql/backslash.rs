//! What begins with `\`: the shell's own commands, after the manner of psql.

use crate::commands::sql::ask::Desk;
use crate::commands::sql::{Form, parse_at, reports, shell};
use crate::context::{emit, emit_wrapped};
use crate::failure::{Exit, Failure};
use clap::ValueEnum;
use lake::{Expanded, TableInfo, View};
use rustyline::history::{FileHistory, History, SearchDirection};
use std::io::Write;
use std::ops::ControlFlow;
use std::path::PathBuf;

/// Each command with what it takes and does.
pub const COMMANDS: &[(&str, &str, &str)] = &[
    ("\\d", "[TABLE]", "the tables and views with their rows; the columns of one"),
    ("\\dt", "", "the tables alone"),
    ("\\reports", "", "the reports and their parameters"),
    ("\\i", "FILE", "run a file, or a report by its name"),
    ("\\o", "FILE", "write the next result to a file, by its ending as csv, json, ndjson or parquet"),
    ("\\format", "FORMAT", "table, json, ndjson, csv or parquet"),
    ("\\x", "[on|off|auto]", "one value a line: always, never, when the columns do not fit"),
    ("\\rows", "N", "rows of a table that are shown; 0: all"),
    ("\\timing", "[on|off]", "say how long a statement took"),
    ("\\set", "[NAME VALUE]", "the value of $NAME in what follows; without a name, all of them"),
    ("\\unset", "NAME", "forget it"),
    ("\\at", "[WHEN|now]", "the lake as it was: a time, TABLE@VERSION, a version of staging.events; now: read it anew"),
    ("\\e", "", "edit the last statement in $VISUAL or $EDITOR"),
    ("\\?", "", "this list"),
    ("\\q", "", "leave; so does Ctrl-D"),
];

type Flow = Result<ControlFlow<()>, Failure>;

/// Carries out a command in a pipe.
pub async fn run(desk: &mut Desk<'_>, line: &str) -> Flow {
    let (command, rest) = parts(line);
    if command == "\\i" {
        let (script, declared) = reports::read(needed(command, rest)?)?;
        for statement in script {
            desk.ask(statement, &declared).await?;
        }
        return Ok(ControlFlow::Continue(()));
    }
    other(desk, command, rest).await
}

/// Carries out a command in the shell.
pub async fn run_in_shell(desk: &mut Desk<'_>, line: &str, interrupts: &mut shell::Interruptible) -> Flow {
    let (command, rest) = parts(line);
    if command == "\\i" {
        let (script, declared) = reports::read(needed(command, rest)?)?;
        shell::all(desk, script, &declared, interrupts).await;
        return Ok(ControlFlow::Continue(()));
    }
    other(desk, command, rest).await
}

fn parts(line: &str) -> (&str, &str) {
    let line = line.trim().trim_end_matches(';').trim_end();
    let (command, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    (command, rest.trim())
}

fn needed<'a>(command: &str, rest: &'a str) -> Result<&'a str, Failure> {
    let takes = COMMANDS.iter().find(|(name, ..)| *name == command).map_or("", |(_, takes, _)| takes);
    match rest {
        "" => Err(Failure::new(Exit::Usage, format!("{command} needs something: {command} {takes}"))),
        rest => Ok(rest),
    }
}

fn wrong(command: &str, rest: &str) -> Failure {
    let takes = COMMANDS.iter().find(|(name, ..)| *name == command).map_or("", |(_, takes, _)| takes);
    Failure::new(Exit::Usage, format!("{command} does not know {rest}")).hint(format!("write {command} {takes}"))
}

async fn other(desk: &mut Desk<'_>, command: &str, rest: &str) -> Flow {
    match command {
        "\\q" => return Ok(ControlFlow::Break(())),
        "\\?" | "\\h" | "\\help" => help(),
        "\\d" if !rest.is_empty() => columns(desk, rest).await?,
        "\\d" | "\\dt" => tables(desk, command == "\\d").await?,
        "\\reports" => drop(reports::list(desk.context)?),
        "\\o" => desk.next_output = Some(PathBuf::from(needed(command, rest)?)),
        "\\format" => {
            let form = Form::from_str(needed(command, rest)?, true).map_err(|_| wrong(command, rest))?;
            desk.style.format = form;
        }
        "\\x" => {
            desk.style.expanded = match (rest, desk.style.expanded) {
                ("on", _) => Expanded::On,
                ("off", _) => Expanded::Off,
                ("auto", _) => Expanded::Auto,
                ("", Expanded::On) => Expanded::Auto,
                ("", _) => Expanded::On,
                _ => return Err(wrong(command, rest)),
            };
            let how = match desk.style.expanded {
                Expanded::On => "always",
                Expanded::Off => "never",
                Expanded::Auto => "when the columns do not fit",
            };
            emit(&format!("One value a line: {how}."));
        }
        "\\rows" => desk.style.max_rows = needed(command, rest)?.parse().map_err(|_| wrong(command, rest))?,
        "\\timing" => {
            desk.style.timing = match rest {
                "on" => true,
                "off" => false,
                "" => !desk.style.timing,
                _ => return Err(wrong(command, rest)),
            };
            emit(if desk.style.timing { "Timing is on." } else { "Timing is off." });
        }
        "\\set" if rest.is_empty() => {
            for (name, value) in &desk.given {
                emit(&format!("{name} = {value}"));
            }
        }
        "\\set" => {
            let (name, value) = rest.split_once(char::is_whitespace).ok_or_else(|| wrong(command, rest))?;
            desk.given.insert(name.trim_start_matches('$').to_owned(), value.trim().to_owned());
        }
        "\\unset" => {
            if desk.given.remove(needed(command, rest)?.trim_start_matches('$')).is_none() {
                return Err(Failure::new(Exit::Usage, format!("{rest} has no value")));
            }
        }
        "\\at" => {
            let at = match rest {
                "" | "now" => None,
                rest => Some(parse_at(rest).map_err(|hint| wrong(command, rest).hint(hint))?),
            };
            desk.look(View { at, ..desk.view.clone() }).await?;
        }
        _ => {
            return Err(Failure::new(Exit::Usage, format!("there is no command {command}")).hint("\\? lists them"));
        }
    }
    Ok(ControlFlow::Continue(()))
}

fn help() {
    let wide = COMMANDS.iter().map(|(name, takes, _)| name.len() + takes.len() + 1).max().unwrap_or(0);
    for (name, takes, does) in COMMANDS {
        let left = format!("{name} {takes}");
        emit_wrapped(&format!("{left:<wide$}  "), does, wide + 2);
    }
    let rest = "A statement ends with ; and may have many lines. Tab completes, Ctrl-R searches the history, Ctrl-C stops \
                a query or clears the line. Queries only read: nothing here changes the lake.";
    emit("");
    emit_wrapped("", rest, 0);
}

/// The tables with how many rows they hold; of views only that they are.
async fn tables(desk: &Desk<'_>, views: bool) -> Result<(), Failure> {
    let tables = desk.session.catalog().await?;
    let tables: Vec<&TableInfo> =
        tables.iter().filter(|table| table.name.schema != "session" && (views || !table.is_view)).collect();
    let wide = tables.iter().map(|table| table.name.to_string().len()).max().unwrap_or(0);
    for table in tables {
        let name = table.name.to_string();
        let rows = match table.is_view {
            true => "view".to_owned(),
            false => rows(desk, &name).await?,
        };
        emit(&format!("{name:<wide$}  {rows:>12}  {} columns", table.columns.len()));
    }
    Ok(())
}

async fn rows(desk: &Desk<'_>, table: &str) -> Result<String, Failure> {
    let counted = desk.session.query(&format!("select count(*) as n from {table}")).await?.to_json()?;
    Ok(counted.first().and_then(|row| row["n"].as_u64()).map_or_else(String::new, |n| n.to_string()))
}

/// The columns of a table: name, type, whether it may be null, what it means.
async fn columns(desk: &Desk<'_>, name: &str) -> Result<(), Failure> {
    let table = desk.session.describe(name).await?;
    emit(&format!("{}{}", table.name, if table.is_view { " (view)" } else { "" }));
    let wide = table.columns.iter().map(|column| column.name.len()).max().unwrap_or(0);
    let types = table.columns.iter().map(|column| column.data_type.len()).max().unwrap_or(0).min(30);
    let documented = lake::documentation(&table.name.to_string());
    if let Some(documented) = documented {
        emit_wrapped("", &documented.description, 0);
    }
    for column in &table.columns {
        let null = if column.nullable { "" } else { "not null" };
        emit(format!("  {:<wide$}  {:<types$}  {null}", column.name, column.data_type).trim_end());
        if let Some(said) = documented.and_then(|table| table.column(&column.name)) {
            emit_wrapped("      ", &said.description, 6);
        }
    }
    Ok(())
}

/// The last statement, as the user's editor left it.
pub fn edit(history: &FileHistory) -> Result<String, Failure> {
    let failed = |what: &str, e: &dyn std::fmt::Display| Failure::new(Exit::Failed, format!("cannot {what}: {e}"));
    let mut last = String::new();
    for index in (0..history.len()).rev() {
        if let Ok(Some(found)) = history.get(index, SearchDirection::Reverse)
            && !found.entry.trim_start().starts_with('\\')
        {
            last = found.entry.to_string();
            break;
        }
    }
    let mut file =
        tempfile::Builder::new().suffix(".sql").tempfile().map_err(|e| failed("make a file for the editor", &e))?;
    file.write_all(last.as_bytes()).and_then(|()| file.flush()).map_err(|e| failed("write for the editor", &e))?;
    let set = |name: &str| std::env::var(name).ok().filter(|editor| !editor.trim().is_empty());
    let editor = set("VISUAL").or_else(|| set("EDITOR")).unwrap_or_else(|| "vi".to_owned());
    let run = std::process::Command::new("sh")
        .arg("-c")
        .arg(format!("{editor} \"$1\""))
        .arg("sh")
        .arg(file.path())
        .status()
        .map_err(|e| failed("start the editor", &e))?;
    if !run.success() {
        return Err(Failure::new(Exit::Failed, format!("the editor {editor} failed")).hint("set VISUAL or EDITOR"));
    }
    // Editors may put a new file in the place of the old one: read it by its path.
    let text = std::fs::read_to_string(file.path()).map_err(|e| failed("read what was edited", &e))?;
    Ok(text.trim_end().to_owned())
}
