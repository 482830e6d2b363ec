//! What clap finds wrong with a command line, in the form of every other error: what, and what to do.

use super::{Exit, Failure};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use std::num::{IntErrorKind, ParseFloatError, ParseIntError};

impl From<&clap::Error> for Failure {
    fn from(error: &clap::Error) -> Self {
        let argument = one(error, ContextKind::InvalidArg);
        let value = one(error, ContextKind::InvalidValue);
        let what = match error.kind() {
            ErrorKind::UnknownArgument => format!("there is no argument {argument}"),
            ErrorKind::InvalidSubcommand => {
                format!("there is no command {}", one(error, ContextKind::InvalidSubcommand))
            }
            ErrorKind::MissingRequiredArgument => format!("{argument} must be given"),
            ErrorKind::MissingSubcommand => "a command must be given".to_owned(),
            ErrorKind::InvalidValue if value.is_empty() => format!("{argument} needs a value"),
            ErrorKind::InvalidValue | ErrorKind::ValueValidation => format!("{argument} does not take '{value}'"),
            ErrorKind::ArgumentConflict => match one(error, ContextKind::PriorArg) {
                other if other == argument || other.is_empty() => format!("{argument} may be given once"),
                other => format!("{argument} and {other} exclude each other"),
            },
            // The rest is rare, and clap's own first line says it.
            _ => first_line(&error.to_string()),
        };
        Self::new(Exit::Usage, what).hint(hint(error))
    }
}

/// The nearest right thing, else what is taken, else where to read on.
fn hint(error: &clap::Error) -> String {
    let suggested = [ContextKind::SuggestedArg, ContextKind::SuggestedSubcommand, ContextKind::SuggestedValue]
        .map(|kind| one(error, kind));
    if let Some(near) = suggested.iter().find(|near| !near.is_empty()) {
        return format!("did you mean {}?", near.replace(", ", " or "));
    }
    // What a parser of ours says of a value is how to write it; the standard library only says what it met.
    if let Some(source) = std::error::Error::source(error) {
        return match (source.downcast_ref::<ParseIntError>(), source.is::<ParseFloatError>()) {
            (Some(wrong), _) if matches!(wrong.kind(), IntErrorKind::PosOverflow | IntErrorKind::NegOverflow) => {
                "the number has too many digits".to_owned()
            }
            (Some(_), _) => "write a whole number, such as 10".to_owned(),
            (_, true) => "write a number, such as 0.5".to_owned(),
            _ => within(&source.to_string()).unwrap_or_else(|| source.to_string()),
        };
    }
    let help = format!("`{} --help` has examples", command(error));
    match one(error, ContextKind::ValidValue) {
        values if values.is_empty() => help,
        values => format!("one of: {values}"),
    }
}

/// How clap says that a number is outside its range, in words.
fn within(text: &str) -> Option<String> {
    let (from, to) = text.split_once(" is not in ")?.1.split_once("..")?;
    match to.trim_start_matches('=') {
        "" => Some(format!("write a number from {from} on")),
        to => Some(format!("write a number from {from} to {to}")),
    }
}

/// One piece of what clap knows of the mistake; several are listed.
fn one(error: &clap::Error, kind: ContextKind) -> String {
    match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        Some(ContextValue::Strings(texts)) => texts.join(", "),
        _ => String::new(),
    }
}

/// The command that was called, as its usage has it: `pipeline plan`.
fn command(error: &clap::Error) -> String {
    let usage = match error.get(ContextKind::Usage) {
        Some(ContextValue::StyledStr(text)) => text.to_string(),
        _ => String::new(),
    };
    let is_name = |word: &&str| word.starts_with(|c: char| c.is_ascii_lowercase());
    let words: Vec<&str> = usage.split_whitespace().skip(1).take_while(is_name).collect();
    if words.is_empty() { "pipeline COMMAND".to_owned() } else { words.join(" ") }
}

/// Without clap's own `error: `.
fn first_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Cli;
    use clap::Parser;

    #[test]
    fn a_mistake_says_what_and_what_to_do() {
        for (typed, what, hint) in [
            ("trian", "there is no command trian", "did you mean trace or train?"),
            ("plan --nope", "there is no argument --nope", "did you mean --nodes?"),
            ("check --zzzzzz", "there is no argument --zzzzzz", "`pipeline check --help` has examples"),
            ("judge --control x", "--candidate <SQL> must be given", "`pipeline judge --help` has examples"),
            ("judge", "--control <SQL>, --candidate <SQL> must be given", "`pipeline judge --help` has examples"),
            ("completions tcsh", "<SHELL> does not take 'tcsh'", "did you mean zsh?"),
            ("schema foo", "<ARTIFACT> does not take 'foo'", "one of: plan, rules, stack"),
            ("plan --target", "--target <TARGET> needs a value", "`pipeline COMMAND --help` has examples"),
            ("sql --max-rows x", "--max-rows <N> does not take 'x'", "write a whole number, such as 10"),
            (
                "train --seed 99999999999999999999",
                "--seed <SEED> does not take '99999999999999999999'",
                "the number has too many digits",
            ),
            ("stack horizon --steps 0", "--steps <N> does not take '0'", "write a number from 1 to 100000"),
            (
                "shadow --horizon 90m",
                "--horizon <SPAN> does not take '90m'",
                "write whole hours, from 1h to 14d, such as 24h",
            ),
            (
                "what-if --set a/b.memory=0",
                "--set <RES.FIGURE=AMOUNT> does not take 'a/b.memory=0'",
                "limits are from 0.001 to 512 cores and from 6 MiB to 32 TiB",
            ),
            (
                "what-if --set a/b.cpu=1e30",
                "--set <RES.FIGURE=AMOUNT> does not take 'a/b.cpu=1e30'",
                "limits are from 0.001 to 512 cores and from 6 MiB to 32 TiB",
            ),
            (
                "what-if --replay 30d --nodes n.toml",
                "--replay <SPAN> and --nodes <FILE> exclude each other",
                "`pipeline what-if --help` has examples",
            ),
            ("plan --risk abc", "--risk <SHARE> does not take 'abc'", "write it as 2% or 0.02, below 1"),
            ("-q -v check", "--quiet and --verbose exclude each other", "`pipeline --help` has examples"),
            ("check --json --json", "--json may be given once", "`pipeline check --help` has examples"),
            ("lake vacuum --keep x", "--keep <SPAN> does not take 'x'", ""),
        ] {
            let error = Cli::try_parse_from(["pipeline"].into_iter().chain(typed.split(' '))).unwrap_err();
            let failure = Failure::from(&error);
            assert_eq!(failure.what, what, "{typed}");
            assert!(hint.is_empty() || failure.hint.as_deref() == Some(hint), "{typed}: {:?}", failure.hint);
            assert_eq!(failure.exit, Exit::Usage);
        }
    }
}
