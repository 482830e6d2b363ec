//! `completions` and `man`: what the shell and the manual know of the program, made from the command line itself.

use crate::args::Cli;
use crate::context::{Answer, Context, emit_bytes};
use crate::failure::{Exit, Failure};
use clap::{Args, CommandFactory};
use clap_complete::Shell;
use serde_json::json;
use std::fs;
use std::path::PathBuf;

/// The arguments of `completions`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pipeline completions bash > /usr/share/bash-completion/completions/pipeline
  pipeline completions zsh > \"${fpath[1]}/_pipeline\"
  pipeline completions fish > ~/.config/fish/completions/pipeline.fish")]
pub struct CompletionsArgs {
    /// The shell for which completions are printed
    #[arg(value_enum)]
    shell: Shell,
}

/// The arguments of `man`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pipeline man | man -l -
  pipeline man -o /usr/share/man/man1")]
pub struct ManArgs {
    /// Write a page for each command into this folder
    #[arg(short, long, value_name = "FOLDER")]
    output: Option<PathBuf>,
}

/// Prints the completions of a shell.
pub fn completions(context: &Context, args: &CompletionsArgs) -> Result<Answer, Failure> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "pipeline", &mut text);
    let answer = Answer::done(json!({"shell": args.shell.to_string(), "script": String::from_utf8_lossy(&text)}));
    if !context.global.json {
        emit_bytes(&text);
    }
    Ok(answer)
}

/// Prints the manual page of the program, or writes those of all its commands.
pub fn man(context: &Context, args: &ManArgs) -> Result<Answer, Failure> {
    let command = Cli::command();
    let Some(folder) = &args.output else {
        let mut page = Vec::new();
        let made = clap_mangen::Man::new(command).render(&mut page);
        made.map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
        if !context.global.json {
            emit_bytes(&page);
        }
        return Ok(Answer::done(json!({"page": String::from_utf8_lossy(&page)})));
    };
    fs::create_dir_all(folder).map_err(|error| Failure::file("make", folder, &error))?;
    clap_mangen::generate_to(command, folder).map_err(|error| Failure::file("write into", folder, &error))?;
    context.say(format!("manual pages written to {}", folder.display()));
    Ok(Answer::done(json!({"folder": folder})))
}
