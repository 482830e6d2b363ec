//! `collect`: what happens on this machine, as native events on stdout or in a folder.

mod key;
mod sink;

use crate::commands::record::clock;
use crate::context::{Answer, Context};
use crate::failure::Failure;
use agent::collect::Outlet;
use agent::docker::{self, DockerSpec};
use agent::editor::{self, EditorSpec};
use agent::files::{self, FilesSpec};
use agent::git::{self, GitRead, GitSpec};
use agent::spool::{SPOOL_LEAST_BYTES, SpoolTotals};
use clap::{Args, Subcommand};
use domain::time::{MINUTE, SECOND, parse_span};
use domain::units::parse_bytes;
use serde_json::json;
use sink::{Sink, ended_within};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Where Docker has its Engine when nothing else is said.
const ENGINE: &str = "unix:///var/run/docker.sock";

/// The arguments of `collect`.
#[derive(Debug, Args)]
#[command(after_help = "\
Events are written as NDJSON to stdout, or to files in the --spool folder.
`pipeline ingest DIR` can read this folder at any time. People are pseudonymised
and secrets are masked before anything is written. SIGINT and SIGTERM stop a
collector cleanly.

Examples:
  pipeline collect docker --interval 10s --spool spool
  pipeline collect git --repo ~/src/api --since 90d > git.ndjson
  pipeline collect files --watch ~/src/api --spool spool
  pipeline collect editor --spool spool")]
pub struct CollectArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Sample the containers of a Docker Engine
    Docker(DockerArgs),
    /// Read the commits, branches and merged pull requests of a repository
    Git(GitArgs),
    /// Watch a folder for modified files
    Files(FilesArgs),
    /// Receive the heartbeats of WakaTime plugins
    Editor(EditorArgs),
}

/// The destination of the events.
#[derive(Debug, Args)]
#[command(next_help_heading = "Where the events go")]
struct Output {
    /// Write the events into this folder instead of stdout; several collectors may share it
    #[arg(long, value_name = "DIR")]
    spool: Option<PathBuf>,
    /// Maximum size of the folder; beyond it, the oldest events are dropped, and an event records the loss
    #[arg(long, value_name = "SIZE", default_value = "512MiB", value_parser = parse_spool_max, requires = "spool")]
    spool_max: u64,
    /// Set an outer field on events that lack it, such as env=acme-dev
    #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = crate::commands::record::parse_tag)]
    tags: Vec<(String, String)>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Writes a `usage` event for each container and interval. A container is assigned
by its labels pipeline.env, pipeline.service, pipeline.repo, pipeline.branch and
pipeline.pr, else by com.docker.compose.project and com.docker.compose.service,
else by its name. An `annotation` records each gap in which the Engine was
unreachable.

Examples:
  pipeline collect docker --interval 10s --spool spool
  pipeline collect docker --once --tag env=acme-dev")]
struct DockerArgs {
    /// Time between samples
    #[arg(long, value_name = "SPAN", default_value = "5s", value_parser = parse_interval)]
    interval: i64,
    /// Stop after this time
    #[arg(long = "for", value_name = "SPAN", value_parser = parse_long)]
    length: Option<i64>,
    /// Take one sample of each container, over one interval, and stop
    #[arg(long, conflicts_with = "length")]
    once: bool,
    /// Address of the Engine: unix:///path, tcp://host:port
    #[arg(long, value_name = "ADDRESS", env = "DOCKER_HOST", default_value = ENGINE)]
    host: String,
    /// Environment of containers that have no environment label
    #[arg(long, value_name = "NAME", default_value = "docker")]
    env: String,
    /// Sampling intervals and windows by resource, as written by `pipeline shadow --gather-plan`
    #[arg(long, value_name = "FILE")]
    gather_plan: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
#[command(after_help = "\
The same history gives the same events, so a second read adds nothing to the
lake. With --spool or --state, only commits since the last collection are read.

Examples:
  pipeline collect git --repo ~/src/api --since 90d > git.ndjson
  pipeline collect git --repo ~/src/api --spool spool --interval 15m")]
struct GitArgs {
    /// A folder of the repository
    #[arg(long, value_name = "DIR", default_value = ".")]
    repo: PathBuf,
    /// Read the commits since this time: 30d, a date or a time; `all` reads all commits
    #[arg(long, value_name = "TIME", default_value = "30d")]
    since: String,
    /// File that stores where the last collection ended [default: a file in the folder of --spool]
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Keep running, and read again at this interval
    #[arg(long, value_name = "SPAN", value_parser = parse_interval, conflicts_with = "once")]
    interval: Option<i64>,
    /// Stop after this time
    #[arg(long = "for", value_name = "SPAN", value_parser = parse_long, requires = "interval")]
    length: Option<i64>,
    /// Read once and stop, as without --interval
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Writes an `edit` event for each modified file; changes less than two minutes
apart become one event. If more than a hundred files change at once, they become
one `annotation`. Files ignored by .gitignore are skipped, and no file is
opened.

Examples:
  pipeline collect files --watch ~/src/api --spool spool
  pipeline collect files --watch ~/src/api --once --since 8h")]
struct FilesArgs {
    /// Folder to watch
    #[arg(long, value_name = "DIR")]
    watch: PathBuf,
    /// Stop after this time
    #[arg(long = "for", value_name = "SPAN", value_parser = parse_long, conflicts_with = "once")]
    length: Option<i64>,
    /// Do not watch; report the files modified since --since
    #[arg(long)]
    once: bool,
    /// With --once, start of the period: 1h, a date or a time
    #[arg(long, value_name = "TIME", default_value = "24h")]
    since: String,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
#[command(after_help = "\
In the user's ~/.wakatime.cfg:
  [settings]
  api_url = http://127.0.0.1:8770/api/v1
  api_key = the output of `pipeline collect editor --print-token`
The token is PIPELINE_EDITOR_TOKEN, or a token that is created on first use and
stored next to the pseudonym key.

Examples:
  pipeline collect editor --print-token
  pipeline collect editor --spool spool")]
struct EditorArgs {
    /// Loopback address to listen on; port 0 picks a free port
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8770", value_parser = parse_listen)]
    listen: SocketAddr,
    /// Stop after this time
    #[arg(long = "for", value_name = "SPAN", value_parser = parse_long)]
    length: Option<i64>,
    /// Read an exported heartbeat dump instead of listening
    #[arg(long, value_name = "FILE", conflicts_with = "length")]
    file: Option<PathBuf>,
    /// Print the token and exit
    #[arg(long, conflicts_with_all = ["file", "length"])]
    print_token: bool,
    #[command(flatten)]
    output: Output,
}

fn parse_interval(text: &str) -> Result<i64, String> {
    let span = parse_span(text).filter(|span| (SECOND..=24 * 60 * MINUTE).contains(span));
    span.ok_or_else(|| "write 1s to 24h, such as 5s".to_owned())
}

fn parse_long(text: &str) -> Result<i64, String> {
    parse_span(text).filter(|span| *span > 0).ok_or_else(|| "write a span such as 90s or 1h".to_owned())
}

fn parse_spool_max(text: &str) -> Result<u64, String> {
    let bytes = parse_bytes(text).filter(|bytes| *bytes >= SPOOL_LEAST_BYTES);
    bytes.ok_or_else(|| "write a size of at least 1MiB, such as 512MiB".to_owned())
}

fn parse_listen(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr = text.parse().map_err(|_| "write it as 127.0.0.1:8770".to_owned())?;
    match address.ip().is_loopback() {
        true => Ok(address),
        false => Err("other machines could reach it; only 127.0.0.0/8 and ::1 are allowed".to_owned()),
    }
}

/// Collects until it is done or told to end.
pub async fn run(context: &Context, args: CollectArgs) -> Result<Answer, Failure> {
    match args.what {
        What::Docker(args) => docker(context, args).await,
        What::Git(args) => git(context, args).await,
        What::Files(args) => files(context, args).await,
        What::Editor(args) => editor(context, args).await,
    }
}

async fn docker(context: &Context, args: DockerArgs) -> Result<Answer, Failure> {
    let spec = DockerSpec {
        // Set to nothing, as Docker's own program takes it.
        engine: if args.host.is_empty() { ENGINE.to_owned() } else { args.host },
        interval: span(args.interval),
        once: args.once,
        env: args.env,
        gather_plan: args.gather_plan,
        clock,
    };
    let mut sink = Sink::open(context, "docker", &args.output)?;
    let collect = |outlet| tokio::spawn(async move { docker::collect(&spec, &outlet).await });
    sink.take(collect, args.length, |_| {}).await?;
    sink.close()
}

async fn git(context: &Context, args: GitArgs) -> Result<Answer, Failure> {
    let since = if args.since == "all" { None } else { context.since(Some(&args.since))? };
    let state = args.state.or_else(|| {
        let path = args.repo.canonicalize().unwrap_or_else(|_| args.repo.clone());
        let name = domain::identity::hash128(path.as_os_str().as_encoded_bytes());
        Some(args.output.spool.as_ref()?.join(format!(".git-{}.state", &name[..16])))
    });
    let spec = GitSpec { repo: args.repo, since, state };
    let (began, mut totals) = (Instant::now(), [0; 3]);
    let mut total = SpoolTotals::default();
    loop {
        let mut sink = Sink::open(context, "git", &args.output)?;
        let (spec, again) = (spec.clone(), args.interval);
        let mut read = None;
        let collect = |outlet: Outlet| tokio::task::spawn_blocking(move || git::collect(&spec, &outlet));
        let stopped = sink.take(collect, None, |done: GitRead| read = Some(done)).await?;
        let written = sink.finish()?;
        total =
            SpoolTotals { written: total.written + written.written, lost: 0, dropped: total.dropped + written.dropped };
        if let Some(read) = read {
            // Only now: what was written is safe.
            read.keep()?;
            for (sum, n) in totals.iter_mut().zip([read.commits, read.pushes, read.merged]) {
                *sum += n;
            }
        }
        let Some(interval) = again.filter(|_| !stopped) else { break };
        let left = args.length.map(|length| span(length).saturating_sub(began.elapsed()));
        let wait = left.map_or(span(interval), |left| left.min(span(interval)));
        if ended_within(wait).await? || left.is_some_and(|left| left.is_zero()) {
            break;
        }
    }
    let [commits, pushes, merged] = totals;
    context.progress.note(&format!("{commits} commits, {pushes} branches, {merged} merged pull requests"));
    Ok(Answer::done(json!({"events": total.written, "dropped": total.dropped, "commits": commits, "pushes": pushes,
        "merged": merged})))
}

async fn files(context: &Context, args: FilesArgs) -> Result<Answer, Failure> {
    let since = context.since(Some(&args.since))?.filter(|_| args.once);
    let spec = FilesSpec { watch: args.watch, clock };
    let mut sink = Sink::open(context, "files", &args.output)?;
    let collect = move |outlet: Outlet| {
        tokio::task::spawn_blocking(move || match since {
            Some(since) => files::scan(&spec, since, &outlet),
            None => files::watch(&spec, &outlet),
        })
    };
    sink.take(collect, args.length, |()| {}).await?;
    sink.close()
}

async fn editor(context: &Context, args: EditorArgs) -> Result<Answer, Failure> {
    if args.print_token {
        let token = key::token()?;
        context.say(&token);
        return Ok(Answer::done(json!({"token": token})));
    }
    let mut sink = Sink::open(context, "editor", &args.output)?;
    if let Some(path) = args.file {
        let mut counts = (0, 0);
        let collect = move |outlet: Outlet| tokio::task::spawn_blocking(move || editor::read_dump(&path, &outlet));
        sink.take(collect, None, |done| counts = done).await?;
        let (read, skipped) = counts;
        context.progress.note(&format!("{read} heartbeats, {skipped} of them not of work on a file"));
        return sink.close();
    }
    let spec = EditorSpec { listen: args.listen, token: key::token()?, clock };
    let notes = context.progress.clone();
    let ready = move |address| notes.note(&format!("listening for heartbeats on http://{address}/api/v1"));
    let collect = |outlet| tokio::spawn(editor::serve(spec, outlet, ready));
    sink.take(collect, args.length, |()| {}).await?;
    sink.close()
}

fn span(micros: i64) -> Duration {
    Duration::from_micros(u64::try_from(micros).unwrap_or_default())
}
