//! The command line as a page: `pipeline/docs/commands.md` is what clap knows, and every example in a help text is one that clap
//! takes. `UPDATE=1 cargo test -p cli --bin pipeline reference` writes the page anew.

use crate::args::Cli;
use clap::{Arg, Command, CommandFactory, Parser};
use std::fmt::Write;
use std::path::Path;

const HEAD: &str = "# Commands\n\nMade from the command line itself; `UPDATE=1 cargo test -p cli --bin pipeline reference` writes it anew. \
    `pipeline COMMAND --help`\nsays the same in the terminal, and `pipeline man` as manual pages.\n";

/// Every command with its names, parents first, without clap's own `help`.
fn commands() -> Vec<(String, Command)> {
    let mut top = Cli::command().term_width(100).max_term_width(100);
    top.build();
    let mut found = Vec::new();
    let mut waiting = vec![("pipeline".to_owned(), top)];
    while let Some((name, command)) = waiting.pop() {
        let below = command.get_subcommands().filter(|below| below.get_name() != "help");
        let below: Vec<_> = below.map(|below| (format!("{name} {}", below.get_name()), below.clone())).collect();
        waiting.extend(below.into_iter().rev());
        found.push((name, command));
    }
    found
}

/// The text below the arguments of a help text, and the examples in it, which end at an empty line.
fn after(command: &Command) -> (String, String) {
    let text = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let (before, rest) = text.split_once("Examples:\n").unwrap_or((&text, ""));
    let (examples, behind) = rest.split_once("\n\n").unwrap_or((rest, ""));
    ([before.trim(), behind.trim()].join("\n").trim().to_owned(), examples.trim_end().to_owned())
}

/// The lines of an example: a line that ends with a backslash goes on.
fn examples(command: &Command) -> Vec<String> {
    let text = after(command).1.replace("\\\n", " ");
    text.lines().map(|line| line.trim().to_owned()).collect()
}

/// The words that a shell makes of a line, up to where another command or a redirection begins.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for c in line.chars() {
        match (quote, c) {
            (Some(open), _) if c == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, ' ') => words.extend(word.take()),
            (None, '|' | '>' | '&') => break,
            _ => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// What a reader sees of an argument: how it is typed, and what it does.
fn row(argument: &Arg) -> String {
    let values: Vec<String> =
        argument.get_value_names().unwrap_or_default().iter().map(|name| format!("<{name}>")).collect();
    let takes_value = argument.get_action().takes_values();
    let mut typed: Vec<String> = Vec::new();
    typed.extend(argument.get_short().map(|short| format!("-{short}")));
    typed.extend(argument.get_long().map(|long| format!("--{long}")));
    let mut typed = typed.join(", ");
    if takes_value {
        let value = if values.is_empty() { format!("<{}>", argument.get_id()) } else { values.join(" ") };
        typed = if typed.is_empty() { value } else { format!("{typed} {value}") };
    }
    let mut about = argument.get_help().map(ToString::to_string).unwrap_or_default();
    let choices: Vec<String> =
        argument.get_possible_values().iter().map(|value| format!("`{}`", value.get_name())).collect();
    if takes_value && !choices.is_empty() && !argument.is_hide_possible_values_set() {
        let _ = write!(about, " ({})", choices.join(", "));
    }
    let defaults: Vec<_> = argument.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
    if takes_value && !defaults.is_empty() {
        let _ = write!(about, " [default: `{}`]", defaults.join(","));
    }
    if let Some(variable) = argument.get_env() {
        let _ = write!(about, " [`{}`]", variable.to_string_lossy());
    }
    format!("| `{typed}` | {} |\n", about.replace('|', "\\|"))
}

/// A table of arguments; nothing where there are none.
fn table<'a>(arguments: impl Iterator<Item = &'a Arg>) -> String {
    let rows: String = arguments.map(row).collect();
    if rows.is_empty() { rows } else { format!("\n| | |\n|---|---|\n{rows}") }
}

fn page() -> String {
    let mut page = HEAD.to_owned();
    for (name, command) in commands() {
        let is_own = |argument: &&Arg| {
            let is_of_all = argument.is_global_set() && name != "pipeline";
            !is_of_all && !["help", "version"].contains(&argument.get_id().as_str()) && !argument.is_hide_set()
        };
        let level = if name.matches(' ').count() > 1 { "###" } else { "##" };
        let (about, examples) = after(&command);
        let _ =
            write!(page, "\n{level} {name}\n\n{}.\n", command.get_about().map(ToString::to_string).unwrap_or_default());
        if name == "pipeline" {
            page += "\nOptions of every command:\n";
        }
        page += &table(command.get_arguments().filter(is_own));
        if !about.is_empty() {
            let _ = write!(page, "\n```text\n{about}\n```\n");
        }
        if !examples.is_empty() {
            let lines: Vec<&str> = examples.lines().map(|line| line.strip_prefix("  ").unwrap_or(line)).collect();
            let _ = write!(page, "\n```console\n{}\n```\n", lines.join("\n"));
        }
    }
    page
}

#[test]
fn the_page_of_commands_is_what_clap_knows() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/commands.md");
    let page = page();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == page, "pipeline/docs/commands.md is stale: UPDATE=1 writes it");
}

#[test]
fn the_help_of_every_command_has_examples_and_clap_takes_them() {
    for (name, command) in commands() {
        if name == "pipeline" {
            continue; // lists the commands
        }
        let examples = examples(&command);
        assert!(!examples.is_empty(), "{name}: its help has no example");
        let calls: Vec<Vec<String>> = examples
            .iter()
            .map(|line| words(line))
            .filter(|words| words.first().is_some_and(|word| word == "pipeline"))
            .collect();
        assert!(!calls.is_empty(), "{name}: {examples:?}");
        assert!(calls.iter().any(|call| call.join(" ").contains(&name)), "{name}: no example calls it: {examples:?}");
        for call in calls {
            if let Err(error) = Cli::try_parse_from(&call) {
                panic!("{name}: {call:?}: {error}");
            }
        }
    }
}
