//! `run`: a job, the program's own commands in order, with a run record that says what happened and where to go on.

use crate::args::{Cli, Command};
use crate::commands::dispatch;
use crate::context::{Answer, Context, privacy};
use crate::failure::{Exit, Failure};
use clap::{Args, Parser};
use domain::Timestamp;
use lake::Lake;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// What `run` takes.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// The job
    #[arg(value_name = "JOB.toml")]
    job: PathBuf,
    /// Begin with this step, as after a failure
    #[arg(long, value_name = "STEP")]
    from: Option<String>,
}

/// A job file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Job {
    /// The lake, when --lake does not say another. Stronger than PIPELINE_LAKE: samples must not end up in a real lake.
    lake: Option<String>,
    /// The present, when --now does not say another.
    now: Option<Timestamp>,
    /// Scratch copies made before the first step.
    #[serde(default)]
    copy: Vec<Copy>,
    /// The steps, in order.
    step: Vec<Step>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Copy {
    from: String,
    to: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    name: String,
    /// The arguments of `pipeline`; `${NAME:-default}` takes an environment variable.
    run: Vec<String>,
    /// Exit codes after which the job goes on, besides 0. Findings (3) are still how the job ends.
    #[serde(default)]
    allow_exit: Vec<u8>,
}

/// `journal/runs/<time>-<job>.json`.
#[derive(Debug, Serialize)]
struct Record {
    job: String,
    started_at: Timestamp,
    now: Timestamp,
    program: &'static str,
    steps: Vec<Ran>,
    /// The step to go on from, when the job did not end well.
    #[serde(skip_serializing_if = "Option::is_none")]
    failed: Option<String>,
}

#[derive(Debug, Serialize)]
struct Ran {
    step: String,
    arguments: Vec<String>,
    exit: u8,
    seconds: f64,
    /// Of this step, bytes; none where the kernel does not say.
    peak_memory_bytes: Option<u64>,
    answer: Value,
}

/// Runs the steps. A step that fails ends the job with its exit code.
pub async fn run(context: &Context, args: RunArgs) -> Result<Answer, Failure> {
    let job = read(&args.job)?;
    let name = args.job.file_stem().map_or_else(|| "job".to_owned(), |stem| stem.to_string_lossy().into_owned());
    let skip = match &args.from {
        None => 0,
        Some(from) => job.step.iter().position(|step| step.name == *from).ok_or_else(|| {
            let names: Vec<&str> = job.step.iter().map(|step| step.name.as_str()).collect();
            Failure::new(Exit::Usage, format!("{name} has no step {from}"))
                .hint(format!("its steps are {}", names.join(", ")))
        })?,
    };
    // All steps are read before the first one runs: a slip in the last must not show after hours.
    let commands = job.step.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
    let mut global = context.global.clone();
    if let Some(lake) = job.lake.filter(|_| !lake_was_typed()) {
        global.lake = expand(&lake)?;
    }
    let fixed_clock = global.now.or(job.now).is_some();
    global.now = Some(global.now.or(job.now).unwrap_or(context.now));
    let inner = Context { fixed_clock, ..Context::new(global) };
    if skip == 0 {
        job.copy.iter().try_for_each(scratch_copy)?;
    }
    let started_at = Timestamp(chrono::Utc::now().timestamp_micros());
    let mut record = Record {
        job: name.clone(),
        started_at,
        now: inner.now,
        program: env!("CARGO_PKG_VERSION"),
        steps: Vec::new(),
        failed: None,
    };
    let mut findings = false;
    let privacy = privacy()?;
    for (n, (step, (arguments, command))) in job.step.iter().zip(commands).enumerate().skip(skip) {
        context.progress.note(&format!("[{}/{}] {}", n + 1, job.step.len(), step.name));
        reset_peak();
        let began = Instant::now();
        let result = dispatch(&inner, command).await;
        let mut ran = Ran {
            step: step.name.clone(),
            arguments: arguments.iter().map(|argument| privacy.scrub_text(argument)).collect(),
            exit: 0,
            seconds: (began.elapsed().as_secs_f64() * 1000.0).round() / 1000.0,
            peak_memory_bytes: peak(),
            answer: Value::Null,
        };
        let failure = match result {
            Ok(answer) => {
                ran.exit = answer.exit as u8;
                ran.answer = answer.json;
                let said = Failure::new(answer.exit, "it found something").hint("its output above says what");
                (answer.exit != Exit::Done).then_some(said)
            }
            Err(failure) => {
                ran.exit = failure.exit as u8;
                ran.answer = json!({"error": failure.what, "causes": failure.causes, "hint": failure.hint});
                Some(failure)
            }
        };
        privacy.scrub_value(&mut ran.answer);
        record.steps.push(ran);
        let ended = failure.filter(|failure| !step.allow_exit.contains(&(failure.exit as u8)));
        if let Some(failure) = &ended {
            record.failed = Some(step.name.clone());
            write(&inner, &record).await;
            let go_on = format!("go on with `pipeline run {} --from {}`", args.job.display(), step.name);
            let hint = failure.hint.as_ref().map_or_else(|| go_on.clone(), |hint| format!("{hint}; then {go_on}"));
            let causes = std::iter::once(failure.what.clone()).chain(failure.causes.iter().cloned()).collect();
            return Err(Failure {
                exit: failure.exit,
                what: format!("step {} of {name} failed", step.name),
                causes,
                hint: Some(hint),
            });
        }
        findings |= record.steps.last().is_some_and(|ran| ran.exit == Exit::Findings as u8);
        if let Some(Value::String(why)) = record.steps.last().map(|ran| ran.answer["error"].clone()) {
            context.say(format!("{}: {why} (the job goes on)", step.name));
        }
        write(&inner, &record).await;
        context.say("");
    }
    let seconds: f64 = record.steps.iter().map(|ran| ran.seconds).sum();
    let peak = record.steps.iter().filter_map(|ran| ran.peak_memory_bytes).max().unwrap_or(0);
    context.say(format!(
        "{name}: {} steps in {seconds:.1} s, peak memory {}\nrecord: {}/{}",
        record.steps.len(),
        domain::units::format_bytes(peak as f64),
        inner.global.lake,
        path(&record)
    ));
    let exit = if findings { Exit::Findings } else { Exit::Done };
    Ok(Answer { exit, json: json!(record) })
}

/// The arguments and the command of a step. A step works on the job's lake and clock, and calls no other job.
fn parse(step: &Step) -> Result<(Vec<String>, Command), Failure> {
    let wrong = |what: &str| Failure::new(Exit::Usage, format!("step {}: {what}", step.name));
    let arguments = step.run.iter().map(|text| expand(text)).collect::<Result<Vec<_>, _>>()?;
    let typed = std::iter::once("pipeline".to_owned()).chain(arguments.iter().cloned());
    let cli = Cli::try_parse_from(typed).map_err(|error| wrong(first_line(&error.to_string())))?;
    let global = ["--lake", "--now", "--json", "--quiet", "-q"];
    if arguments.iter().any(|a| global.iter().any(|g| a == g || a.starts_with(&format!("{g}=")))) {
        return Err(wrong("the lake, the clock and the form of the answer belong to the job")
            .hint("give them before `run`, or as lake and now of the job"));
    }
    match cli.command {
        Command::Run(_) | Command::Record(_) => Err(wrong("a job runs neither jobs nor the recorder")),
        command => Ok((arguments, command)),
    }
}

fn lake_was_typed() -> bool {
    std::env::args().any(|argument| argument == "--lake" || argument.starts_with("--lake="))
}

fn read(path: &Path) -> Result<Job, Failure> {
    let text = fs::read_to_string(path).map_err(|error| Failure::file("read", path, &error))?;
    toml::from_str(&text).map_err(|error| {
        Failure::new(Exit::Failed, format!("{} is no job: {}", path.display(), error.to_string().trim()))
            .hint("a job has [[step]] tables with name and run; see jobs/nightly.toml")
    })
}

/// `${NAME}` and `${NAME:-default}`, as in Compose files.
fn expand(text: &str) -> Result<String, Failure> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let Some(length) = rest[start..].find('}') else { break };
        out.push_str(&rest[..start]);
        let inside = &rest[start + 2..start + length];
        let (name, default) = inside.split_once(":-").map_or((inside, None), |(name, default)| (name, Some(default)));
        match (std::env::var(name).ok().filter(|value| !value.is_empty()), default) {
            (Some(value), _) => out.push_str(&value),
            (None, Some(default)) => out.push_str(default),
            (None, None) => return Err(Failure::new(Exit::Usage, format!("the job needs the variable {name}"))),
        }
        rest = &rest[start + length + 1..];
    }
    Ok(out + rest)
}

fn scratch_copy(copy: &Copy) -> Result<(), Failure> {
    let (from, to) = (PathBuf::from(expand(&copy.from)?), PathBuf::from(expand(&copy.to)?));
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder).map_err(|error| Failure::file("make", folder, &error))?;
    }
    fs::copy(&from, &to).map_err(|error| Failure::file("copy", &from, &error))?;
    Ok(())
}

fn path(record: &Record) -> String {
    format!("journal/runs/{}-{}.json", record.started_at.compact(), record.job)
}

/// The record never decides whether a job went well.
async fn write(context: &Context, record: &Record) {
    let written = match Lake::open(&context.global.lake).await {
        Ok(lake) => lake.write_document(&path(record), record).await,
        Err(error) => Err(error),
    };
    if let Err(error) = written {
        context.progress.note(&format!("the run record could not be written: {error}"));
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default().trim_start_matches("error: ")
}

/// Forgets the peak so far, so that each step has its own (Linux: `clear_refs`, value 5).
fn reset_peak() {
    let _ = fs::write("/proc/self/clear_refs", "5");
}

/// The peak resident memory since the last reset, in bytes.
fn peak() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches("kB").trim().parse::<u64>().ok().map(|kib| kib * 1024)
}
