//! The program `pipeline`: arguments in, one answer out. The only crate that prints.

mod args;
mod artifacts;
mod commands;
mod consent;
mod context;
mod failure;
mod learner;
mod ledger;
mod model_card;
mod overrides_file;
mod plan_file;
mod progress;
#[cfg(test)]
mod reference;
mod rules_file;
mod scratch;
mod signature;
mod targets;
mod values;

use args::{Cli, Command};
use clap::Parser;
use clap::error::ErrorKind;
use context::{Answer, Context, emit_json, output_lost, shown, wrap};
use failure::{Exit, Failure};
use std::io::{IsTerminal, Write};
use std::process::ExitCode;

/// Queries over thousands of small files spend a third of their time in the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        // Help and the version are answers.
        Err(asked) if !asked.use_stderr() || asked.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            asked.exit()
        }
        Err(error) => {
            let failure = Failure::from(&error);
            if std::env::args_os().any(|argument| argument == "--json") {
                emit_json(&failure.json(), false);
            }
            return report(&failure);
        }
    };
    hush_ended_uploads();
    // The recorder must begin before any thread is there: it blocks signals for the whole process.
    if let Command::Record(args) = &cli.command {
        return commands::record::record(args);
    }
    // Long SQL is parsed by recursion: give it room, so that it ends in an answer and not in a crash.
    let stack = if is_address_space_bounded() { STACK_BYTES / 4 } else { STACK_BYTES };
    let work = std::thread::Builder::new().stack_size(stack).spawn(move || work(cli));
    match work.map(std::thread::JoinHandle::join) {
        Ok(Ok(code)) => code,
        _ => report(&Failure::new(Exit::Failed, "the program broke off; this is a fault in it")),
    }
}

/// delta-rs aborts an upload that failed, also one that `object_store` has ended by itself, which panics; it catches that,
/// and gives the failure. Only that is to be told.
fn hush_ended_uploads() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let in_uploads = panic.location().is_some_and(|at| at.file().ends_with("src/buffered.rs"));
        if !(in_uploads && panic.payload().downcast_ref::<&str>() == Some(&"Already shut down")) {
            usual(panic);
        }
    }));
}

/// For a statement as deep as one may be, with room to spare (`lake` bounds it).
const STACK_BYTES: usize = 64 << 20;

/// What runs the work that waits. Its threads ask for address space alone, but where that is bounded (`ulimit -v`), a thread
/// that cannot be had leaves others waiting for it for ever.
pub fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.enable_all().thread_stack_size(STACK_BYTES / 2).max_blocking_threads(64);
    if is_address_space_bounded() {
        builder.thread_stack_size(STACK_BYTES / 16).max_blocking_threads(4).worker_threads(2);
    }
    builder.build()
}

/// Whether this process may have only so much address space (Linux).
fn is_address_space_bounded() -> bool {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max address space"));
    line.is_some_and(|line| !line.trim_start().starts_with("unlimited"))
}

fn work(cli: Cli) -> ExitCode {
    let json = cli.global.json;
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(error) => return report(&Failure::new(Exit::Failed, format!("cannot start: {error}"))),
    };
    let mut context = Context::new(cli.global);
    context.global.quiet &= !cli.command.answers();
    let code = match runtime.block_on(commands::dispatch(&context, cli.command)) {
        Ok(Answer { exit, json: value, .. }) => {
            if json {
                emit_json(&value, false);
            }
            ExitCode::from(exit as u8)
        }
        Err(failure) => {
            if json {
                emit_json(&failure.json(), false);
            }
            report(&failure)
        }
    };
    if output_lost() {
        return report(&Failure::new(Exit::Failed, "cannot write the result").hint("is the disk full?"));
    }
    code
}

/// The one place where an error is printed.
pub fn report(failure: &Failure) -> ExitCode {
    say("1;31", "error", failure);
    ExitCode::from(failure.exit as u8)
}

/// The same for what does not stop anything.
pub fn warn(failure: &Failure) {
    say("1;33", "warning", failure);
}

fn say(colour: &str, what: &str, failure: &Failure) {
    let plain = std::env::var_os("NO_COLOR").is_some() || !std::io::stderr().is_terminal();
    let label = |code: &str, text: &str| {
        if plain { format!("{text}:") } else { format!("\u{1b}[{code}m{text}:\u{1b}[0m") }
    };
    // Messages quote data and queries: what they hold must neither command the terminal nor begin a line. Only causes have
    // several: a place in a query below what is wrong with it.
    let lines = |text: &str| text.split('\n').map(shown).collect::<Vec<_>>().join("\n");
    let is_terminal = std::io::stderr().is_terminal();
    // On a terminal between words, below the text of its first line; a log keeps a message on one line.
    let text = |label: &str, text: String| match is_terminal && !text.contains('\n') {
        true => hanging(&text, label.chars().count() + 2),
        false => text,
    };
    let mut err = std::io::stderr().lock();
    let _ = writeln!(err, "{} {}", label(colour, what), text(what, shown(&failure.what)));
    for cause in &failure.causes {
        let _ = writeln!(err, "{} {}", label("1", "caused by"), text("caused by", lines(cause)));
    }
    if let Some(hint) = &failure.hint {
        let _ = writeln!(err, "{} {}", label("36", "hint"), text("hint", shown(hint)));
    }
}

/// A text in lines of at most 80 columns, all of which begin `indent` columns in.
fn hanging(text: &str, indent: usize) -> String {
    wrap(text, indent, indent).join(&format!("\n{}", " ".repeat(indent)))
}
