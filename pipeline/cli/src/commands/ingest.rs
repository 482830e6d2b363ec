//! `ingest`: dumps into the lake.

use crate::context::{Answer, Context, privacy};
use crate::failure::{Exit, Failure};
use crate::warn;
use clap::Args;
use intake::{Broken, FORMATS, Format, RejectLimit, Source};
use lake::{IngestSpec, Lake};
use std::path::Path;

/// The arguments of `ingest`.
#[derive(Debug, Args)]
#[command(after_help = "\
A dump is JSON in lines or documents, plain or compressed with gzip or zstd, in
any Unicode encoding. It is given as a file, a folder, a quoted pattern, an
s3://, gs:// or az:// URI, or `-` for standard input. Folders, and URIs that end
in /, are searched; links that lead out of them are not followed. An ingest
commits all events or none. With --keep-going, it commits the events of the
readable dumps, and exits with 3 if a dump is unreadable. Known events count as
duplicates, regardless of their file. --retry-rejects retries the rows of
staging.rejects. A row is read from its dump, if the dump is given and
unchanged, else from the stored text, if the text is complete and unmasked.

Examples:
  pipeline ingest dumps
  pipeline ingest 'logs/*.ndjson.gz' s3://bucket/dumps/ --reject-limit 5%
  pipeline ingest --retry-rejects dumps --format otlp")]
pub struct IngestArgs {
    /// Dumps to ingest; with --retry-rejects, the dumps to read again
    #[arg(required_unless_present = "retry_rejects", value_name = "SRC")]
    sources: Vec<String>,
    /// Format of the dumps; auto detects it file by file
    #[arg(long, default_value = "auto", value_parser = formats())]
    format: String,
    /// Abort the ingest if more events than this are rejected: `5%`, or a count
    #[arg(long, value_name = "LIMIT", value_parser = parse_limit)]
    reject_limit: Option<RejectLimit>,
    /// List the IDs of the accepted events in the JSON answer
    #[arg(long)]
    list_accepted: bool,
    /// Skip dumps that cannot be read to their end, and list them
    #[arg(long)]
    keep_going: bool,
    /// Retry the rejects, in the format of --format or in the detected format
    #[arg(long, conflicts_with_all = ["reject_limit", "list_accepted", "keep_going"])]
    retry_rejects: bool,
}

fn formats() -> clap::builder::PossibleValuesParser {
    std::iter::once("auto").chain(FORMATS.iter().map(|format| format.name)).into()
}

fn parse_limit(text: &str) -> Result<RejectLimit, String> {
    let refuse = || "write a share such as 5% or a count such as 100".to_owned();
    match text.strip_suffix('%') {
        Some(share) => {
            let share: f64 = share.trim().parse().map_err(|_| refuse())?;
            if (0.0..=100.0).contains(&share) { Ok(RejectLimit::Share(share / 100.0)) } else { Err(refuse()) }
        }
        None => text.parse().map(RejectLimit::Count).map_err(|_| refuse()),
    }
}

/// Takes the dumps.
pub async fn run(context: &Context, args: IngestArgs) -> Result<Answer, Failure> {
    let (mut sources, mut broken) = (Vec::new(), Vec::new());
    for argument in &args.sources {
        match Source::find(argument, &mut left_out) {
            Ok(found) => sources.extend(found),
            Err(error) if args.keep_going => broken.push((argument, error)),
            Err(error) => return Err(error.into()),
        }
    }
    if sources.is_empty()
        && let Some((_, error)) = broken.pop()
    {
        return Err(error.into());
    }
    if args.retry_rejects {
        return retry(context, &sources, Format::named(&args.format)).await;
    }
    let spec = IngestSpec {
        format: Format::named(&args.format),
        reject_limit: args.reject_limit,
        list_accepted: args.list_accepted,
        keep_going: args.keep_going,
        now: Some(context.now),
    };
    let mut task = context.progress.task("ingest");
    let (_, mut report) = Lake::ingest(&context.global.lake, &privacy()?, &sources, &spec, &mut |read, name| {
        task.at(&format!("{read} events, {name}"));
    })
    .await?;
    drop(task);
    report.broken.splice(..0, broken.into_iter().map(|(argument, error)| Broken::new(argument.clone(), &error)));
    context.say(format!(
        "{} events read = {} accepted + {} duplicates + {} rejected",
        report.read, report.accepted, report.duplicates, report.rejected
    ));
    if report.rejected > 0 {
        let reasons: Vec<String> = report.reasons.iter().map(|(reason, n)| format!("{n} {reason}")).collect();
        context.say(format!("rejected: {} (kept in staging.rejects)", reasons.join(", ")));
    }
    for (dump, what) in &report.unknown {
        context.say(format!("{dump}: {what}"));
    }
    for Broken { source, error } in &report.broken {
        context.say(format!("left out: {source}: {error}"));
    }
    let exit = if report.broken.is_empty() { Exit::Done } else { Exit::Findings };
    let json = serde_json::to_value(&report).map_err(|e| Failure::new(Exit::Failed, e.to_string()))?;
    let brief = format!(
        "{} events: {} accepted, {} duplicates, {} rejected",
        report.read, report.accepted, report.duplicates, report.rejected
    );
    Ok(Answer::new(exit, json).brief(brief))
}

/// Says that a link in a folder of dumps was not followed.
pub fn left_out(link: &Path) {
    warn(
        &Failure::new(Exit::Done, format!("{} was left out: it leads to another folder", link.display()))
            .hint("name the link itself, or the file, to take it"),
    );
}

/// Takes the rejects again.
async fn retry(context: &Context, sources: &[Source], format: Option<&'static Format>) -> Result<Answer, Failure> {
    let mut task = context.progress.task("ingest");
    let report = Lake::retry_rejects(&context.global.lake, &privacy()?, sources, format, context.now, &mut |name| {
        task.at(&format!("rejects of {name}"));
    })
    .await?;
    drop(task);
    context.say(format!(
        "{} rejects taken again = {} accepted + {} duplicates + {} rejected + {} unreadable",
        report.retried, report.accepted, report.duplicates, report.rejected, report.unreadable
    ));
    if report.unreadable > 0 {
        context
            .say("unreadable: their text is not whole, and their dump is not named here or says something else now (they stay in staging.rejects)");
    }
    let json = serde_json::to_value(&report).map_err(|e| Failure::new(Exit::Failed, e.to_string()))?;
    Ok(Answer::done(json))
}
