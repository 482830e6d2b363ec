//! `record`: a command, unchanged, and one event about it.

use crate::context::Answer;
use crate::failure::{Exit, Failure};
use agent::record::{RecordSpec, append, run};
use clap::Args;
use domain::Timestamp;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

/// What `record` takes.
#[derive(Debug, Args)]
#[command(after_help = "\
The command's exit code is passed through. An event that cannot be written is
only told.")]
pub struct RecordArgs {
    /// The dump that the event is appended to
    #[arg(long, value_name = "FILE", default_value = "events.ndjson")]
    out: PathBuf,
    /// An outer field of the event, such as env=acme-dev
    #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = parse_tag)]
    tags: Vec<(String, String)>,
    /// The command
    #[arg(required = true, last = true, value_name = "CMD")]
    command: Vec<OsString>,
}

/// An outer field as it is typed.
pub fn parse_tag(text: &str) -> Result<(String, String), String> {
    text.split_once('=').map(|(k, v)| (k.to_owned(), v.to_owned())).ok_or_else(|| "write it as key=value".to_owned())
}

/// Runs the command and appends its event.
pub fn record(args: &RecordArgs) -> ExitCode {
    let spec = RecordSpec { tags: args.tags.iter().cloned().collect::<BTreeMap<_, _>>(), detect_checkout: true };
    let now = || Timestamp(chrono::Utc::now().timestamp_micros());
    match run(&args.command, &spec, now) {
        Ok(recorded) => {
            if let Err(error) = append(&args.out, &recorded.event) {
                crate::report(&error.into());
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

/// Inside a job there is nothing to record: its steps are recorded already.
pub fn inside(_: &RecordArgs) -> Result<Answer, Failure> {
    Err(Failure::new(Exit::Usage, "`record` is no step of a job").hint("put it before a command in a shell or CI step"))
}
