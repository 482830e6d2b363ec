//! `run`: a job, the program's own commands in order, with a run record that says what happened and where to go on.

mod bounds;
mod services;
mod story;

use crate::args::{Cli, Command};
use crate::commands::dispatch;
use crate::commands::record::clock;
use crate::context::{Answer, Context, privacy};
use crate::failure::{Exit, Failure, in_toml};
use clap::{Args, Parser};
use domain::Timestamp;
use domain::location::without_secrets;
use domain::privacy::{Privacy, people_in};
use lake::{Lake, LakeError, visible};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use services::{Service, Services};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// The arguments of `run`.
#[derive(Debug, Args)]
#[command(after_help = "\
Each step prints one line, and the job ends with a summary; -v prints the full
output of every step. Without --allow-changes, a job cannot approve, apply, roll
back or erase, and writes only below the current folder or to paths from
environment variables.

Examples:
  pipeline run jobs/nightly.toml
  pipeline run jobs/nightly.toml --from train")]
pub struct RunArgs {
    /// The job file
    #[arg(value_name = "JOB.toml")]
    job: PathBuf,
    /// Start at this step, such as the failed step
    #[arg(long, value_name = "STEP")]
    from: Option<String>,
    /// Allow the job to approve, apply, roll back and erase
    #[arg(long)]
    allow_changes: bool,
}

/// A job file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Job {
    /// The lake, when --lake does not say another. Stronger than PIPELINE_LAKE: samples must not end up in a real lake.
    lake: Option<String>,
    /// The present, when --now does not say another.
    now: Option<Timestamp>,
    /// The job's own folder: new, empty, or made by a job before. Scratch copies lie below it.
    folder: Option<String>,
    /// Scratch copies made before the first step.
    #[serde(default)]
    copy: Vec<Copy>,
    /// What runs beside the steps, in the order in which it is started.
    #[serde(default)]
    service: Vec<Service>,
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
    /// From this step on the clock stands here, where the job has a clock of its own and no --now was given: days that are
    /// played through in a minute.
    now: Option<Timestamp>,
    /// Exit codes after which the job goes on, besides 0. Findings (3) are still how the job ends.
    #[serde(default)]
    allow_exit: Vec<u8>,
    /// The exit code that the step is to have, where that is not 0: any other is a failure, and this one no finding.
    #[serde(default)]
    want_exit: u8,
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
    let commands = job.step.iter().map(|step| parse(step, args.allow_changes)).collect::<Result<Vec<_>, _>>()?;
    let mut global = context.global.clone();
    if let Some(lake) = job.lake.as_deref().filter(|_| !lake_was_typed()) {
        global.lake = expand(lake)?;
    }
    let clocks = clocks(&job, global.now)?;
    let fixed_clock = global.now.or(job.now).is_some();
    global.now = Some(global.now.or(job.now).unwrap_or(context.now));
    let mut inner = Context { fixed_clock, ..Context::new(global) };
    // A job says in a line what a step did; what the step itself prints is shown with -v.
    inner.global.quiet = !context.global.verbose;
    bounds::permit_services(&job.service, args.allow_changes)?;
    if skip == 0 {
        scratch_copies(&job)?;
    }
    let names: Vec<String> = job.step.iter().map(|step| step.name.clone()).collect();
    let folder = job.folder.as_deref().map(expand).transpose()?.map(PathBuf::from);
    let mut services = Services::new(&job.service, folder.as_deref(), &names)?;
    let started_at = clock();
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
        let place = format!("[{}/{}]", n + 1, job.step.len());
        if context.global.verbose {
            context.progress.note(&format!("{place} {}", step.name));
        }
        if let Some(now) = clocks[n] {
            inner.now = now;
            inner.global.now = Some(now);
        }
        tokio::task::block_in_place(|| services.before(n, &names))?;
        // Beside services, time goes by for the steps too.
        if clocks[n].is_none() && !fixed_clock && !job.service.is_empty() {
            inner.now = clock();
            inner.global.now = Some(inner.now);
        }
        let collects = matches!(command, Command::Collect(_));
        reset_peak();
        let began = Instant::now();
        let result = dispatch(&inner, command).await;
        // What a step collected happened after the job began: the steps behind it are to read it.
        if collects && !fixed_clock {
            inner.now = clock();
            inner.global.now = Some(inner.now);
        }
        let mut ran = Ran {
            step: step.name.clone(),
            arguments: recorded(&arguments, &privacy),
            exit: 0,
            seconds: (began.elapsed().as_secs_f64() * 1000.0).round() / 1000.0,
            peak_memory_bytes: peak(),
            answer: Value::Null,
        };
        let mut brief = None;
        let failure = match result {
            Ok(answer) => {
                brief = answer.brief;
                ran.exit = answer.exit as u8;
                ran.answer = answer.json;
                let said = Failure::new(answer.exit, brief.clone().unwrap_or_else(|| "it has findings".to_owned()))
                    .hint("with -v the job prints all that its steps print");
                (answer.exit != Exit::Done).then_some(said)
            }
            Err(failure) => {
                ran.exit = failure.exit as u8;
                ran.answer = failure.json();
                Some(failure)
            }
        };
        privacy.scrub_value(&mut ran.answer);
        record.steps.push(ran);
        let exit = failure.as_ref().map_or(0, |failure| failure.exit as u8);
        let failure = match failure {
            None if step.want_exit != 0 => {
                let what = format!("it ended well, and was to end with {}", step.want_exit);
                Some(Failure::new(Exit::Failed, what))
            }
            other => other,
        };
        let ended = failure.filter(|_| exit != step.want_exit && !step.allow_exit.contains(&exit));
        let ended = ended.map(|failure| match services.ended() {
            Some(what) => Failure { causes: failure.causes.iter().cloned().chain([what]).collect(), ..failure },
            None => failure,
        });
        if let Some(failure) = &ended {
            record.failed = Some(step.name.clone());
            write(&inner, &record, true).await;
            let go_on = format!("go on with `pipeline run {} --from {}`", args.job.display(), step.name);
            let hint = failure.hint.as_ref().map_or_else(|| go_on.clone(), |hint| format!("{hint}; then {go_on}"));
            let causes =
                std::iter::once(visible(&failure.what).into_owned()).chain(failure.causes.iter().cloned()).collect();
            return Err(Failure {
                exit: failure.exit,
                what: format!("step {} of {name} failed", step.name),
                causes,
                hint: Some(hint),
            });
        }
        findings |= exit == Exit::Findings as u8 && exit != step.want_exit;
        if let Some(ran) = record.steps.last() {
            let why = ran.answer["error"].as_str().map(|why| format!("{why} (the job goes on)"));
            let line = why.or(brief).unwrap_or_else(|| "done".to_owned());
            context.say(format!("{place:>7} {:<12} {line}  ({:.1} s)", step.name, ran.seconds));
        }
        write(&inner, &record, n + 1 == job.step.len()).await;
    }
    drop(services);
    let seconds: f64 = record.steps.iter().map(|ran| ran.seconds).sum();
    let peak = record.steps.iter().filter_map(|ran| ran.peak_memory_bytes).max().unwrap_or(0);
    context.say("");
    let (steps, peak) = (record.steps.len(), domain::units::format_bytes(peak as f64));
    context.say(format!("{name}: {steps} steps in {seconds:.1} s, peak memory {peak}"));
    let told =
        if context.global.quiet || context.global.json { Vec::new() } else { story::story(&inner, &record).await };
    for (word, line) in told {
        context.say_wrapped(format!("  {word:<9} "), &line, 12);
    }
    let tables = story::again(&inner, "sql -f starved-or-idle; all output of the steps: -v");
    context.say(format!("  {:<9} {tables}", "tables"));
    context.say(format!("  {:<9} {}/{}", "record", inner.global.lake, path(&record)));
    let exit = if findings { Exit::Findings } else { Exit::Done };
    Ok(Answer::new(exit, json!(record)))
}

/// Where the clock stands at each step; none: where the job began. A `--now` is for all of them.
fn clocks(job: &Job, given: Option<Timestamp>) -> Result<Vec<Option<Timestamp>>, Failure> {
    let mut clock = job.now;
    let each = job.step.iter().map(|step| {
        if let Some(now) = step.now {
            if clock.is_none_or(|clock| now < clock) {
                let what = format!("step {}: its clock is earlier than that of the job, which goes on", step.name);
                return Err(
                    Failure::new(Exit::Usage, what).hint("give the job a `now`, and each step none or a later one")
                );
            }
            clock = Some(now);
        }
        Ok(clock.filter(|_| given.is_none()))
    });
    each.collect()
}

/// The arguments and the command of a step. A step works on the job's lake and clock, and calls no other job.
fn parse(step: &Step, allow_changes: bool) -> Result<(Vec<String>, Command), Failure> {
    let wrong = |what: &str| Failure::new(Exit::Usage, format!("step {}: {what}", step.name));
    let arguments = step.run.iter().map(|text| expand(text)).collect::<Result<Vec<_>, _>>()?;
    let typed = std::iter::once("pipeline".to_owned()).chain(arguments.iter().cloned());
    let cli = Cli::try_parse_from(typed).map_err(|error| {
        let Failure { what, hint, .. } = Failure::from(&error);
        Failure { hint, ..wrong(&what) }
    })?;
    let global = ["--lake", "--now", "--json", "--quiet", "-q"];
    if arguments.iter().any(|a| global.iter().any(|g| a == g || a.starts_with(&format!("{g}=")))) {
        return Err(wrong("the lake, the clock and the form of the answer belong to the job")
            .hint("give them before `run`, or as lake and now of the job"));
    }
    match cli.command {
        Command::Run(_) | Command::Record(_) => Err(wrong("a job runs neither jobs nor the recorder")),
        command => {
            bounds::permit(step, &command, allow_changes)?;
            Ok((arguments, command))
        }
    }
}

fn lake_was_typed() -> bool {
    std::env::args().any(|argument| argument == "--lake" || argument.starts_with("--lake="))
}

fn read(path: &Path) -> Result<Job, Failure> {
    let text = fs::read_to_string(path).map_err(|error| Failure::file("read", path, &error))?;
    toml::from_str(&text).map_err(|error| {
        Failure::new(Exit::Failed, format!("{} is no job: {}", path.display(), in_toml(&text, &error)))
            .hint("a job has [[step]] tables with name and run; see jobs/nightly.toml")
    })
}

/// The arguments as the run record keeps them: without secrets, and without the name of who was erased.
fn recorded(arguments: &[String], privacy: &Privacy) -> Vec<String> {
    let person = |name: &str| match people_in(name.trim()).next() {
        Some(hash) if hash == name.trim() => hash.to_owned(),
        _ => privacy.person(name.trim()),
    };
    let mut named = false;
    let kept = arguments.iter().map(|argument| {
        let was_named = std::mem::replace(&mut named, argument == "--developer");
        match argument.strip_prefix("--developer=") {
            Some(name) => format!("--developer={}", person(name)),
            None if was_named => person(argument),
            None => privacy.scrub_text(&without_secrets(argument)),
        }
    });
    kept.collect()
}

/// `${NAME}` and `${NAME:-default}`, as in Compose files.
fn expand(text: &str) -> Result<String, Failure> {
    expand_by(text, &|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
}

fn expand_by(text: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<String, Failure> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let Some(length) = rest[start..].find('}') else { break };
        out.push_str(&rest[..start]);
        let inside = &rest[start + 2..start + length];
        let (name, default) = inside.split_once(":-").map_or((inside, None), |(name, default)| (name, Some(default)));
        match (variable(name), default) {
            (Some(value), _) => out.push_str(&value),
            (None, Some(default)) => out.push_str(default),
            (None, None) => return Err(Failure::new(Exit::Usage, format!("the job needs the variable {name}"))),
        }
        rest = &rest[start + length + 1..];
    }
    Ok(out + rest)
}

fn scratch_copies(job: &Job) -> Result<(), Failure> {
    let own = job.folder.as_deref().map(bounds::Own::open).transpose()?;
    match own {
        Some(own) => job.copy.iter().try_for_each(|copy| own.copy(copy)),
        None if job.copy.is_empty() => Ok(()),
        None => Err(Failure::new(Exit::Usage, "the job makes copies and names no folder of its own")
            .hint("folder = \"…\" at its top; copies lie below it")),
    }
}

fn path(record: &Record) -> String {
    format!("journal/runs/{}-{}.json", record.started_at.compact(), record.job)
}

/// The record never decides whether a job went well. Before the first ingest there is no lake to keep it in.
async fn write(context: &Context, record: &Record, is_last: bool) {
    let written = match Lake::open(&context.global.lake).await {
        Ok(lake) => lake.write_document(&path(record), record).await,
        Err(LakeError::NotALake(_)) if !is_last => return,
        Err(error) => Err(error),
    };
    if let Err(error) = written {
        context.progress.note(&format!("the run record could not be written: {error}"));
    }
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
