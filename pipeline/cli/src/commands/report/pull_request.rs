//! The page of one pull request: what happened when, how long each phase took, what it cost, what was predicted of it.

use super::fleet::time;
use super::{Source, queries};
use crate::failure::Failure;
use page::{
    Bar, Bars, Block, Cell, Chart, Column, Fact, Ink, Lanes, Number, Page, Row, Section, Span, Table, Tone, Unit,
};
use serde_json::Value;

/// Events in the table below the timeline.
const EVENTS: usize = 300;

/// Everything about `owner/name#number`.
pub async fn page(source: &Source<'_>, pr: &str) -> Result<Page, Failure> {
    if !source.has("traces.traces") {
        source.lake.trace(pr, source.context.now).await?; // says what is missing
    }
    let trace = source.session.trace(pr).await?;
    let metrics = match source.has("marts.pr_metrics") {
        true => source
            .session
            .query_with("select * from marts.pr_metrics where pr_id = $pr", &[("pr", pr)])
            .await?
            .to_json()?
            .into_iter()
            .next()
            .unwrap_or_default(),
        false => Value::Null,
    };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let title = text(&trace["pr"]["title"]);
    let status = text(&trace["pr"]["status"]);
    let cycle = metrics["cycle_seconds"].as_f64().map(|s| format!(" {} after its first commit", Unit::Seconds.say(s)));
    let runs = metrics["runs"].as_f64().unwrap_or_default();
    let mut page = Page {
        title: format!("Pull request {pr}"),
        about: title,
        verdict: format!(
            "{pr} is {status}{}: {} runs, {} of them failed{}.",
            if status == "merged" { cycle.unwrap_or_default() } else { String::new() },
            Unit::Plain.format(runs),
            Unit::Plain.format(metrics["failed_runs"].as_f64().unwrap_or_default()),
            metrics["core_hours"]
                .as_f64()
                .map_or(String::new(), |used| format!(", {} used", Unit::CoreHours.say(used))),
        ),
        tone: Tone::Plain,
        facts: vec![
            Fact::new("Repository", text(&trace["repo"]["name"])),
            Fact::new("Branch", text(&trace["repo"]["branch"])),
            Fact::new("Opened", minute(&trace["pr"]["created_at"])),
            Fact::new("Merged", minute(&trace["pr"]["merged_at"])),
            Fact::new(
                "How whole its trace is",
                trace["quality"]["completeness"].as_f64().map_or("not known".into(), |share| Unit::Share.say(share)),
            ),
            Fact::new("Missing", gaps(&trace)),
        ],
        numbers: numbers(&metrics),
        made: format!("Made by pipeline {} from the trace {}.", env!("CARGO_PKG_VERSION"), text(&trace["trace_id"])),
        state: serde_json::json!({ "pr": pr }),
        ..Page::default()
    };
    let events = trace["events"].as_array().cloned().unwrap_or_default();
    page.sections.push(timeline(&events));
    page.sections.push(phases(&metrics));
    page.sections.push(runs_of(source, pr).await?);
    page.sections.push(predictions(source, pr).await?);
    Ok(page)
}

fn minute(value: &Value) -> String {
    time(value).map_or_else(|| "not yet".to_owned(), domain::Timestamp::minute)
}

fn gaps(trace: &Value) -> String {
    let gaps = trace["quality"]["gaps"].as_array().cloned().unwrap_or_default();
    let gaps: Vec<&str> = gaps.iter().filter_map(Value::as_str).collect();
    if gaps.is_empty() { "nothing".to_owned() } else { gaps.join(", ").replace('_', " ") }
}

fn numbers(metrics: &Value) -> Vec<Number> {
    let number = |name: &str, column: &str, unit: Unit, note: &str| Number {
        name: name.to_owned(),
        value: metrics[column].as_f64().map_or_else(|| "–".to_owned(), |value| unit.say(value)),
        note: note.to_owned(),
        ..Number::default()
    };
    vec![
        number("Cycle time", "cycle_seconds", Unit::Seconds, "first commit, else opening, to merge"),
        number("Processor time used", "core_hours", Unit::CoreHours, "of the runs that were measured"),
        number("Limits held", "held_core_hours", Unit::CoreHours, "what machines kept free for its runs"),
        number("Waited for machines", "ci_queued_ms", Unit::Milliseconds, "all its CI jobs together"),
    ]
}

/// What kind of lane an event belongs to.
fn lane(event: &Value) -> usize {
    match event["type"].as_str().unwrap_or_default() {
        "edit" => 0,
        "command" | "test" | "debug" => 1,
        "commit" | "push" => 2,
        "ci_run" => 3,
        "pr" => 4,
        _ => 5,
    }
}

const LANES: [(&str, Ink); 6] = [
    ("edits", Ink::Blue),
    ("commands", Ink::Orange),
    ("commits", Ink::Dark),
    ("CI", Ink::Green),
    ("reviews, PR", Ink::Blue),
    ("other", Ink::Grey),
];

/// What an event was, in a few words.
fn what(event: &Value) -> String {
    let payload = &event["payload"];
    let text = |name: &str| payload[name].as_str().unwrap_or_default().to_owned();
    let words = match event["type"].as_str().unwrap_or_default() {
        "edit" => text("file"),
        "command" | "test" => text("command"),
        "commit" | "push" => {
            let sha: String = text("sha").chars().take(10).collect();
            format!("{sha} {}", text("message").lines().next().unwrap_or_default())
        }
        "ci_run" => [text("workflow"), text("job"), text("result")].join(" "),
        "pr" => text("action").replace('_', " "),
        _ => ["note", "service", "metric", "verdict"].map(text).join(" "),
    };
    words.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(160).collect()
}

fn is_failed(event: &Value) -> bool {
    let payload = &event["payload"];
    payload["exit_code"].as_i64().is_some_and(|code| code != 0)
        || matches!(payload["result"].as_str(), Some("failure" | "error" | "timeout"))
}

fn timeline(events: &[Value]) -> Section {
    let about = "Everything that happened, in order. A bar lasted as long as it is wide; what failed is red.";
    let mut section = Section::new("Timeline", about);
    let mut rows: Vec<Row> =
        LANES.iter().map(|(name, ink)| Row { name: (*name).to_owned(), ink: *ink, spans: Vec::new() }).collect();
    let columns = vec![
        Column::number("no."),
        Column::text("when"),
        Column::text("event"),
        Column::text("what"),
        Column::text("took"),
        Column::text("ended"),
    ];
    let mut table = Table::new("Events of the trace", columns);
    for event in events {
        let Some(at) = time(&event["ts"]) else { continue };
        let took = event["payload"]["duration_ms"].as_f64();
        let failed = is_failed(event);
        let kind = event["type"].as_str().unwrap_or_default();
        let name = format!("{} {kind} {}", at.minute(), what(event));
        let from = at.0 as f64;
        let until = from + took.unwrap_or_default() * 1000.0;
        rows[lane(event)].spans.push(Span { from, until, name, ink: failed.then_some(Ink::Red) });
        let ended = match (failed, event["payload"]["exit_code"].is_null() && event["payload"]["result"].is_null()) {
            (true, _) => Cell::text("failed").toned(Tone::Bad),
            (false, true) => Cell::text("–"),
            (false, false) => Cell::text("passed"),
        };
        table.rows.push(vec![
            Cell::amount(Unit::Plain, event["seq"].as_f64()),
            Cell::text(at.minute()),
            Cell::text(kind.replace('_', " ")),
            Cell::text(what(event)),
            took.map_or_else(|| Cell::text("–"), |took| Cell::amount(Unit::Milliseconds, Some(took))),
            ended,
        ]);
    }
    rows.retain(|row| !row.spans.is_empty());
    if rows.is_empty() {
        return section.with([Block::text("Its trace has no events.")]);
    }
    let caption = format!("{} events in lanes by kind, over the time from the first to the last.", events.len());
    section.blocks.push(Block::figure(caption, Chart::Lanes(Lanes { rows }), table.at_most(EVENTS)));
    section
}

fn phases(metrics: &Value) -> Section {
    let about = "Coding, waiting for a first reaction, review; away is closed or a draft. They add up to the cycle.";
    let section = Section::new("Where its time went", about);
    let phases = ["coding", "pickup", "review", "away"];
    let known: Vec<(&str, f64)> = phases
        .into_iter()
        .filter_map(|phase| Some((phase, metrics[format!("{phase}_seconds").as_str()].as_f64()?)))
        .filter(|(phase, seconds)| *phase != "away" || *seconds > 0.0)
        .collect();
    if known.is_empty() {
        return section.with([Block::text("No phase of it has ended yet.")]);
    }
    let mut numbers = Table::new("Phases", vec![Column::text("phase"), Column::number("time (h)")]);
    let bars = known.into_iter().map(|(phase, seconds)| {
        numbers.rows.push(vec![Cell::text(phase), Cell::amount(Unit::Hours, Some(seconds / 3600.0))]);
        Bar { name: phase.to_owned(), value: seconds, note: Unit::Seconds.say(seconds), ..Bar::default() }
    });
    let bars = Bars { unit: Unit::Seconds, bars: bars.collect(), ..Bars::default() };
    section.with([Block::figure("Time in each phase.", Chart::Bars(bars), numbers)])
}

async fn runs_of(source: &Source<'_>, pr: &str) -> Result<Section, Failure> {
    let about = "What ran for it, the longest first, and what it used beside what it was allowed.";
    let mut section = Section::new("What it cost", about);
    if !source.has("marts.runs") {
        return Ok(section.with([Block::missing("The runs are not built yet.", &["pipeline materialize"])]));
    }
    let shown =
        queries::bars(source, "Time of its runs by job", "report_pr_jobs", &[("pr", pr)], ("job_key", "total_hours"))
            .await?;
    section.blocks.extend(shown.unwrap_or_else(|| vec![Block::text("Nothing ran for it.")]));
    Ok(section)
}

async fn predictions(source: &Source<'_>, pr: &str) -> Result<Section, Failure> {
    let about = "What was said of its next runs, before they came, and what came.";
    let section = Section::new("What was predicted", about);
    if !source.has("predictions.runs") || !source.has("marts.runs") {
        return Ok(
            section.with([Block::missing("Nothing was predicted yet.", &["pipeline train", "pipeline predict"])])
        );
    }
    let columns = ("job_key", "p90_duration_ms");
    let shown =
        queries::bars(source, "Predictions of its runs", "report_pr_predictions", &[("pr", pr)], columns).await?;
    Ok(section.with(shown.unwrap_or_else(|| {
        let what = "Nothing was predicted of it: predictions are made of open pull requests.";
        vec![Block::missing(what, &["pipeline predict"])]
    })))
}
