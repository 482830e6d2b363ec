//! The program `pipeline`: arguments in, one answer out. The only crate that prints.

mod args;
mod artifacts;
mod commands;
mod context;
mod failure;
mod progress;

use args::{Cli, Command};
use clap::Parser;
use context::{Answer, Context, emit};
use failure::{Exit, Failure};
use std::io::{IsTerminal, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = Cli::parse();
    // The recorder must begin before any thread is there: it blocks signals for the whole process.
    if let Command::Record(args) = &cli.command {
        return commands::record::record(args);
    }
    let json = cli.global.json;
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return report(&Failure::new(Exit::Failed, format!("cannot start: {error}"))),
    };
    let context = Context::new(cli.global);
    match runtime.block_on(commands::dispatch(&context, cli.command)) {
        Ok(Answer { exit, json: value }) => {
            if json {
                emit(&value.to_string());
            }
            ExitCode::from(exit as u8)
        }
        Err(failure) => {
            if json {
                emit(&failure.json().to_string());
            }
            report(&failure)
        }
    }
}

/// The one place where an error is printed.
pub fn report(failure: &Failure) -> ExitCode {
    let plain = std::env::var_os("NO_COLOR").is_some() || !std::io::stderr().is_terminal();
    let label = |code: &str, text: &str| {
        if plain { format!("{text}:") } else { format!("\u{1b}[{code}m{text}:\u{1b}[0m") }
    };
    let mut err = std::io::stderr().lock();
    let _ = writeln!(err, "{} {}", label("1;31", "error"), failure.what);
    for cause in &failure.causes {
        let _ = writeln!(err, "{} {cause}", label("1", "caused by"));
    }
    if let Some(hint) = &failure.hint {
        let _ = writeln!(err, "{} {hint}", label("36", "hint"));
    }
    ExitCode::from(failure.exit as u8)
}
