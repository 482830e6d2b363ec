//! `report`: one page that a person reads before saying yes. It gathers what the lake and the plan hold, and decides nothing.

mod demand;
mod fleet;
mod ledger;
mod metrics;
mod models;
mod planned;
mod pull_request;
mod quality;
mod queries;
mod since;

use crate::commands::sql::output::Sink;
use crate::context::{Answer, Context};
use crate::failure::{Exit, Failure};
use crate::plan_file::read_plan;
use clap::{Args, ValueEnum};
use domain::Timestamp;
use domain::plan::Plan;
use domain::time::DAY;
use lake::{Lake, Session};
use page::{Block, Cut, Fact, Page, Section, Tone};
use serde_json::json;
use since::{MinChange, State};
use std::io::Write;
use std::path::{Path, PathBuf};

pub use fleet::time;
pub use planned::file_page;

/// The arguments of `report`.
#[derive(Debug, Args)]
#[command(after_help = "\
The page needs no network and no script. Every file in sql/reports is a section
of the page. --section adds your own section, with the chart that the header of
the file names: `-- chart: line|bar|columns|table [X] [Y,…]`.

Examples:
  pipeline report -o report.html
  pipeline report --pr acme/api#7 -o pr.html
  pipeline report --format markdown --previous last.md --min-change 5% -o -")]
pub struct ReportArgs {
    /// The file to write; `-` is stdout [default: report.html or report.md]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Output format [default: from the extension of FILE, else html]
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<Format>,
    /// Write the page of one pull request: its timeline, cost and predictions
    #[arg(long, value_name = "PR", conflicts_with_all = ["section", "resource", "plan"])]
    pr: Option<String>,
    /// Show only this resource, `env/service`
    #[arg(long, value_name = "RES")]
    resource: Option<String>,
    /// Add a SQL file of your own as a section; repeatable
    #[arg(long, value_name = "FILE.sql")]
    section: Vec<PathBuf>,
    /// Show the days since this time: 30d, 8w, a date
    #[arg(long, default_value = "30d", value_name = "SPAN")]
    since: String,
    /// The plan to show [default: the newest plan of the lake]
    #[arg(long, value_name = "PLAN")]
    plan: Option<PathBuf>,
    /// The report to compare with [default: the replaced report]
    #[arg(long, value_name = "FILE")]
    previous: Option<PathBuf>,
    /// Smallest relative change of a figure to report: 5%
    #[arg(long, default_value = "1%", value_name = "SHARE", value_parser = since::parse_min_change)]
    min_change: MinChange,
}

/// The output format of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// One self-contained page
    Html,
    /// For a comment or a step summary, at most 60 KB; one line if nothing changed
    Markdown,
    /// The content of the page, as data
    Json,
}

impl Format {
    fn of_ending(path: &Path) -> Self {
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("md" | "markdown") => Self::Markdown,
            Some("json") => Self::Json,
            _ => Self::Html,
        }
    }
}

/// What every part of a report works with.
struct Source<'a> {
    context: &'a Context,
    lake: &'a Lake,
    session: &'a Session,
    since: Timestamp,
    resource: Option<&'a str>,
}

impl Source<'_> {
    async fn rows(&self, query: &str) -> Result<Vec<serde_json::Value>, Failure> {
        Ok(self.session.query(query).await?.to_json()?)
    }

    /// Rows of a question of `sql/session` about the days and the resource of the page.
    async fn ask(&self, question: &str) -> Result<Vec<serde_json::Value>, Failure> {
        let since = self.since.to_string();
        let given = [("since", since.as_str()), ("resource", self.resource.unwrap_or_default())];
        Ok(self.session.ask(question, &given).await?.to_json()?)
    }

    fn has(&self, table: &str) -> bool {
        self.session.versions.contains_key(table)
    }

    /// Whole days that the page shows.
    fn days(&self) -> i64 {
        ((self.context.now.0 - self.since.0) as f64 / DAY as f64).ceil() as i64
    }
}

/// Gathers, draws and writes.
pub async fn run(context: &Context, args: ReportArgs) -> Result<Answer, Failure> {
    let format = args.format.unwrap_or_else(|| args.output.as_deref().map_or(Format::Html, Format::of_ending));
    let output = args.output.clone().unwrap_or_else(|| match format {
        Format::Html => "report.html".into(),
        Format::Markdown => "report.md".into(),
        Format::Json => "report.json".into(),
    });
    let since = context.since(Some(&args.since))?.unwrap_or_default();
    let to_file = output.as_os_str() != "-";
    // A place that cannot be written is told before the work, not after it.
    let mut sink = if to_file { Sink::file(context, &output)? } else { Sink::stdout(true) };
    let previous = match &args.previous {
        Some(path) => Some(since::read(path)?),
        None if to_file => since::there(&output),
        None => None,
    };
    let lake = context.lake().await?;
    let session = lake.session(context.now).await?;
    let resource = args.resource.as_deref();
    let source = Source { context, lake: &lake, session: &session, since, resource };
    let mut task = context.progress.task("report");
    let page = match &args.pr {
        Some(pr) => pull_request::page(&source, pr).await?,
        None => {
            let plan = args.plan.as_deref().map(read_plan).transpose()?;
            lake_page(&source, plan.zip(args.plan.clone()), &args, previous.as_ref(), &mut task).await?
        }
    };
    task.at("page");
    let unchanged = previous.as_ref().filter(|_| args.pr.is_none()).and_then(|previous| {
        let state: State = serde_json::from_value(page.state.clone()).ok()?;
        previous.unchanged(&state, args.min_change).map(|line| (line, previous))
    });
    let text = match format {
        Format::Html => page::html(&page)?,
        Format::Markdown => match unchanged {
            // The marker stays, so that the comment is found, and is compared with what it was made from.
            Some((line, previous)) => page::markdown(&since::nothing_new(&page, line, previous), Cut::default()),
            None => page::markdown(&page, Cut::default()),
        },
        Format::Json => serde_json::to_string_pretty(&page).map_err(|e| Failure::new(Exit::Failed, e.to_string()))?,
    };
    sink.write_all(text.as_bytes()).map_err(|error| Failure::file("write", &output, &error))?;
    sink.finish()?;
    drop(task);
    let figures = count(&page);
    if to_file {
        context.say(format!("{} written: {} KB, {figures} charts", output.display(), text.len().div_ceil(1000)));
        context.say_wrapped("  ", &page.verdict, 2);
    }
    let brief = format!("{}: {} KB, {figures} charts", output.display(), text.len().div_ceil(1000));
    let sections: Vec<&str> = page.sections.iter().map(|section| section.title.as_str()).collect();
    Ok(Answer::done(json!({
        "file": to_file.then_some(&output),
        "bytes": text.len(),
        "charts": figures,
        "verdict": page.verdict,
        "sections": sections,
    }))
    .brief(brief))
}

/// The figures of the days since, as OpenMetrics text.
pub async fn openmetrics(context: &Context, since: &str) -> Result<String, Failure> {
    let since = context.since(Some(since))?.unwrap_or_default();
    let lake = context.lake().await?;
    let session = lake.session(context.now).await?;
    metrics::text(&Source { context, lake: &lake, session: &session, since, resource: None }).await
}

/// The charts of a page.
fn count(page: &Page) -> usize {
    fn of(section: &Section) -> usize {
        figures(&section.blocks) + section.parts.iter().map(of).sum::<usize>()
    }
    fn figures(blocks: &[Block]) -> usize {
        blocks.iter().filter(|block| matches!(block, Block::Figure(_))).count()
    }
    figures(&page.first) + page.sections.iter().map(of).sum::<usize>()
}

/// The page of a lake.
async fn lake_page(
    source: &Source<'_>,
    given: Option<(Plan, PathBuf)>,
    args: &ReportArgs,
    previous: Option<&State>,
    task: &mut crate::progress::Task,
) -> Result<Page, Failure> {
    let context = source.context;
    task.at("plan");
    let entries = crate::ledger::entries(source.lake).await?;
    let plan = match given {
        Some((plan, path)) => Some(ledger::Standing::of_file(context, plan, &path, &entries)),
        None => ledger::newest(context, source.lake, &entries).await?,
    };
    task.at("usage");
    let fleet = fleet::gather(source).await?;
    let demand = demand::gather(source, &fleet, plan.as_ref()).await?;
    let mut page = Page {
        title: "Environments and runners: limits, use and what to change".to_owned(),
        about: format!(
            "{}{}, the {} days up to {}.",
            source.resource.map_or(String::new(), |resource| format!("{resource} in ")),
            crate::context::shown(source.lake.location()),
            source.days(),
            context.now.minute()
        ),
        made: format!(
            "Made by pipeline {} at {}. The clock of the report: {}.",
            env!("CARGO_PKG_VERSION"),
            Timestamp(chrono::Utc::now().timestamp_micros()).minute(),
            context.now
        ),
        ..Page::default()
    };
    match &plan {
        Some(standing) => planned::head(&mut page, standing, context),
        None => no_plan(&mut page, &fleet),
    }
    page.facts.push(Fact::new("Newest usage", fleet.newest_in_words(context.now)));
    page.numbers = fleet.numbers(plan.as_ref().map(|standing| &standing.plan));
    page.first.insert(0, fleet.worst(plan.as_ref().map(|standing| &standing.plan)));
    task.at("sections");
    if let Some(standing) = &plan {
        page.sections.extend(planned::sections(standing, &demand, context, source.resource));
    }
    let state = State::of(context.now, plan.as_ref(), &fleet);
    page.sections.push(since::section(previous, &state, &entries, args.min_change));
    page.sections.push(queries::track_record(source).await?);
    page.sections.push(queries::report(source, "anomalies").await?);
    page.sections.push(fleet.bottlenecks(source).await?);
    for name in ["slowest-jobs", "flakiest-tests", "pr-cost", "queue-by-hour"] {
        page.sections.push(queries::report(source, name).await?);
    }
    page.sections.push(models::section(source).await?);
    page.sections.push(quality::section(source).await?);
    for name in queries::others() {
        page.sections.push(queries::report(source, &name).await?);
    }
    for path in &args.section {
        page.sections.push(queries::own(source, path).await?);
    }
    page.state = serde_json::to_value(&state).map_err(|e| Failure::new(Exit::Failed, e.to_string()))?;
    Ok(page)
}

/// The first screen of a lake that has no plan.
fn no_plan(page: &mut Page, fleet: &fleet::Fleet) {
    page.tone = Tone::Warn;
    let (verdict, how): (String, &[&str]) = match fleet.resources() {
        0 => (
            "There is nothing to plan from yet: the lake has no usage of these days.".into(),
            &[
                "pipeline collect docker --once | pipeline ingest -",
                "pipeline materialize",
                "pipeline plan -o plan.json",
            ],
        ),
        n => (format!("There is no plan yet for {n} resources."), &["pipeline shadow", "pipeline plan -o plan.json"]),
    };
    page.verdict = verdict;
    page.first.push(Block::missing("A plan says what to change, and what it would have done:", how));
}
