//! `record`: a command, unchanged, and events about it; and putting that where commands are typed.

use crate::context::Answer;
use crate::failure::{Exit, Failure};
use crate::values::wait;
use agent::record::install::{Place, Setup, TOOLS, change};
use agent::record::{ReadOutput, RecordSpec, append, commit_event, end_by_interrupt, relay, run};
use clap::{Args, Subcommand, ValueEnum};
use domain::Timestamp;
use domain::time::SECOND;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// The arguments of `record`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
#[command(override_usage = "pipeline record [OPTIONS] -- CMD...\n       pipeline record install [OPTIONS]")]
#[command(after_help = "\
Examples:
  pipeline record -- cargo test
  pipeline record --out ci.ndjson --tag env=ci --samples 1s -- make -j4
  pipeline record install --shell zsh

The exit code is the command's own, or 128 + n if signal n ended the command. A
failure to write the event is reported and has no other effect. Terminal,
standard input and signals bypass the recorder. See pipeline/docs/record.md.")]
pub struct RecordArgs {
    #[command(subcommand)]
    setup: Option<SetupCommand>,
    /// The dump to which the events are appended
    #[arg(long, value_name = "FILE", default_value = "events.ndjson")]
    out: PathBuf,
    /// Set an outer field of the events, such as env=acme-dev
    #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = parse_tag)]
    tags: Vec<(String, String)>,
    /// Append a `usage` event at this interval while the command runs, such as 1s
    #[arg(long, value_name = "SPAN", value_parser = wait(SECOND..=i64::MAX, "write it as 1s, 15s or 1m"))]
    samples: Option<Duration>,
    /// Read test counts and packages from the command's output: auto, never, always
    #[arg(long, value_enum, value_name = "MODE", default_value_t = Mode::Auto, hide_possible_values = true)]
    read_output: Mode,
    /// Keep the last bytes of the output in the event [with the option alone: 2048]
    #[arg(long, value_name = "BYTES", num_args = 0..=1, require_equals = true, default_missing_value = "2048")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=65536))]
    stdout_sample: Option<u32>,
    /// Print the cost of the recording itself on stderr
    #[arg(long)]
    self_report: bool,
    /// Append a `commit` event for the last commit, and run no command
    #[arg(long, conflicts_with_all = ["command", "samples", "stdout_sample", "self_report"])]
    commit: bool,
    /// Between the command and where it writes to: what the recorder starts
    #[arg(long, hide = true, value_name = "BYTES")]
    relay: Option<usize>,
    /// The command
    #[arg(required_unless_present_any = ["commit", "relay"], last = true, value_name = "CMD")]
    command: Vec<OsString>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Mode {
    Auto,
    Never,
    Always,
}

#[derive(Debug, Subcommand)]
enum SetupCommand {
    /// Install recording: shell functions, a git hook, or a CI snippet
    Install(InstallArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pipeline record install --shell bash --dry-run
  pipeline record install --shell fish --command cargo --command just
  pipeline record install --git-hook
  pipeline record install --ci github
  pipeline record install --shell bash --remove

Prints the changes to each file and applies them. --remove restores every byte.")]
#[group(required = true, multiple = false, id = "place")]
struct Where {
    /// Install shell functions for build and test tools: bash, zsh, fish
    #[arg(long, value_enum, value_name = "SHELL", hide_possible_values = true)]
    shell: Option<Shell>,
    /// Install a post-commit hook that writes a `commit` event for each commit
    #[arg(long)]
    git_hook: bool,
    /// Install the same functions in CI: github, gitlab
    #[arg(long, value_enum, value_name = "CI", hide_possible_values = true)]
    ci: Option<Ci>,
}

#[derive(Debug, Args)]
struct InstallArgs {
    #[command(flatten)]
    place: Where,
    /// Remove the installation
    #[arg(long)]
    remove: bool,
    /// Only show the changes
    #[arg(long)]
    dry_run: bool,
    /// The dump [default: pipeline/events.ndjson in ~/.local/state; with --ci, events.ndjson in the checkout]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// A command to record instead of the usual tools; repeatable
    #[arg(long = "command", value_name = "NAME", value_parser = parse_tool)]
    commands: Vec<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Ci {
    Github,
    Gitlab,
}

/// An outer field as it is typed.
pub fn parse_tag(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(key, _)| !key.is_empty());
    pair.map(|(k, v)| (k.to_owned(), v.to_owned())).ok_or_else(|| "write it as key=value".to_owned())
}

fn parse_tool(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.+".contains(c);
    let name = text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.chars().all(plain);
    name.then(|| text.to_owned()).ok_or_else(|| "a command's name, such as just".to_owned())
}

/// The time of the machine.
pub fn clock() -> Timestamp {
    Timestamp(chrono::Utc::now().timestamp_micros())
}

/// Runs the command and appends its events; or does what stands in its place.
pub fn record(args: &RecordArgs) -> ExitCode {
    if let Some(sample_bytes) = args.relay {
        relay(sample_bytes);
        return ExitCode::SUCCESS;
    }
    if let Some(SetupCommand::Install(install)) = &args.setup {
        return install
            .place()
            .and_then(|place| set_up(place, install))
            .unwrap_or_else(|failure| crate::report(&failure));
    }
    let sample_bytes = args.stdout_sample.unwrap_or(0) as usize;
    let spec = RecordSpec {
        tags: args.tags.iter().cloned().collect::<BTreeMap<_, _>>(),
        detect_checkout: true,
        samples: args.samples,
        read_output: match args.read_output {
            Mode::Always => ReadOutput::Always,
            Mode::Auto if sample_bytes > 0 => ReadOutput::Always,
            Mode::Auto => ReadOutput::Auto,
            Mode::Never => ReadOutput::Never,
        },
        sample_bytes,
        relay: ["/proc/self/exe", "record", "--relay", &sample_bytes.to_string()].map(OsString::from).to_vec(),
    };
    if args.commit {
        return match commit_event(&spec).and_then(|event| append(&args.out, &[event])) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => crate::report(&error.into()),
        };
    }
    let out = args.out.clone();
    // The last events tell whether the file can be written: once is enough.
    let emit = Box::new(move |event| drop(append(&out, &[event])));
    match run(&args.command, &spec, clock, emit) {
        Ok(recorded) => {
            if let Err(error) = append(&args.out, &recorded.events) {
                crate::warn(&error.into());
            }
            if args.self_report {
                let _ = writeln!(std::io::stderr(), "{}", recorded.cost);
            }
            if recorded.interrupted {
                end_by_interrupt();
            }
            ExitCode::from(recorded.exit_code.clamp(0, 255) as u8)
        }
        Err(error) => {
            let code = error.exit_code();
            crate::report(&error.into());
            ExitCode::from(code.clamp(0, 255) as u8)
        }
    }
}

impl InstallArgs {
    fn place(&self) -> Result<Place, Failure> {
        Ok(match (self.place.shell, self.place.git_hook, self.place.ci) {
            (Some(Shell::Bash), ..) => Place::Bash,
            (Some(Shell::Zsh), ..) => Place::Zsh,
            (Some(Shell::Fish), ..) => Place::Fish,
            (None, true, _) => Place::GitHook,
            (None, false, Some(Ci::Github)) => Place::Github,
            (None, false, Some(Ci::Gitlab)) => Place::Gitlab,
            (None, false, None) => {
                return Err(Failure::new(Exit::Usage, "no place given").hint("--shell, --git-hook or --ci"));
            }
        })
    }
}

fn set_up(place: Place, args: &InstallArgs) -> Result<ExitCode, Failure> {
    let ci = matches!(place, Place::Github | Place::Gitlab);
    let out = match &args.out {
        Some(out) if ci && out.is_absolute() => {
            return Err(
                Failure::new(Exit::Usage, "--out must lie in the checkout").hint("a path such as events.ndjson")
            );
        }
        Some(out) if ci => out.clone(),
        Some(out) => std::path::absolute(out).map_err(|error| Failure::file("find", out, &error))?,
        None if ci => "events.ndjson".into(),
        None => state_folder()?.join("events.ndjson"),
    };
    let tools = if args.commands.is_empty() { TOOLS.map(str::to_owned).to_vec() } else { args.commands.clone() };
    let setup = Setup { program: "pipeline".to_owned(), out, tools };
    let change = change(place, &setup, args.remove)?;
    let mut stdout = std::io::stdout().lock();
    if !change.is_needed() {
        let _ = writeln!(stdout, "{}: nothing to change", change.path.display());
        return Ok(ExitCode::SUCCESS);
    }
    let _ = write!(stdout, "{}", change.diff());
    if !args.dry_run {
        if !args.remove && !ci {
            let folder = setup.out.parent().unwrap_or(&setup.out);
            std::fs::create_dir_all(folder).map_err(|error| Failure::file("make the folder", folder, &error))?;
        }
        change.carry_out()?;
    }
    if let Some(by_hand) = &change.by_hand {
        let _ = write!(stdout, "\n{by_hand}");
    }
    Ok(ExitCode::SUCCESS)
}

fn state_folder() -> Result<PathBuf, Failure> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = absolute("XDG_STATE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/state")));
    state
        .map(|state| state.join("pipeline"))
        .ok_or_else(|| Failure::new(Exit::Failed, "HOME does not name a folder").hint("give --out"))
}

/// Inside a job there is nothing to record: its steps are recorded already.
pub fn inside(_: &RecordArgs) -> Result<Answer, Failure> {
    Err(Failure::new(Exit::Usage, "`record` is no step of a job").hint("put it before a command in a shell or CI step"))
}
