//! `anomalies` of a lake: looks, keeps the findings in `predictions.anomalies`, and tells them.

use crate::commands::sql::Form;
use crate::commands::sql::output::Sink;
use crate::context::{Answer, Context};
use crate::failure::{Exit, Failure};
use crate::scratch::scratch;
use ::lake::{Lake, Parameters, Statement};
use domain::units::{counted, format_bytes};
use learn::anomalies::{AnomaliesSpec, AnomaliesSummary, Anomaly, Severity, look};
use serde_json::json;
use std::collections::BTreeMap;

/// Findings that are told on a terminal; the table has all.
const TOLD: usize = 30;

/// What is asked.
pub struct Look {
    /// Since when.
    pub since: String,
    /// False alarms per resource and week.
    pub budget: f64,
    /// How rows are printed; none: for people.
    pub format: Option<Form>,
    /// Whether findings are exit 3.
    pub detailed_exitcode: bool,
}

/// Looks at the lake.
pub async fn run(context: &Context, asked: Look) -> Result<Answer, Failure> {
    let since = context.since(Some(&asked.since))?.unwrap_or_default();
    let lake = context.lake().await?;
    let session = lake.session(context.now).await?;
    let folder = scratch()?;
    let (measures, out) = (folder.path().join("measures.parquet"), folder.path().join("anomalies.parquet"));
    let mut task = context.progress.task("anomalies");
    task.at("measures");
    if session.export("measures", &measures).await? == 0 {
        return Err(Failure::new(Exit::Inconclusive, "there is no usage, KPI or run of the last ninety days")
            .hint("ingest events, then `pipeline materialize`"));
    }
    task.at("search");
    let summary = look(&measures, &AnomaliesSpec { now: context.now, since, budget: asked.budget }, &out)?;
    lake.write_predictions("anomalies", &out, context.now).await?;
    drop(task);
    match asked.format {
        Some(format) => rows(context, &lake, format).await?,
        None => told(context, &summary, &asked.since),
    }
    let exit = if asked.detailed_exitcode && !summary.found.is_empty() { Exit::Findings } else { Exit::Done };
    let grave = summary.found.iter().filter(|found| found.severity == Severity::Critical).count();
    let brief = format!("{}, {grave} critical", anomalies(summary.found.len()));
    Ok(Answer::new(exit, json!(summary)).brief(brief))
}

fn anomalies(n: usize) -> String {
    if n == 1 { "1 anomaly".to_owned() } else { format!("{n} anomalies") }
}

/// As the table has them.
async fn rows(context: &Context, lake: &Lake, format: Form) -> Result<(), Failure> {
    if context.global.json {
        return Ok(());
    }
    let session = lake.session(context.now).await?;
    let statement = Statement::new(
        "select * from predictions.anomalies
         order by case severity when 'critical' then 1 when 'warning' then 2 else 3 end,
            started_at desc, subject, measure, anomaly",
    );
    let query = session.start(&statement, &Parameters::new(BTreeMap::new(), Vec::new())).await?;
    let mut sink = Sink::stdout(!matches!(format, Form::Parquet));
    query.write(format.into(), &mut sink).await?;
    sink.finish().map(|_| ())
}

fn told(context: &Context, summary: &AnomaliesSummary, since: &str) {
    let subjects: Vec<String> = summary.subjects.iter().map(|(kind, n)| counted(*n, kind)).collect();
    context.say_wrapped(
        "",
        &format!("{} since {since}, of {}", anomalies(summary.found.len()), subjects.join(", ")),
        2,
    );
    context.say(format!(
        "  up to {:.2} false alarms per resource-week; {} of {} series too short to judge",
        summary.budget, summary.too_short, summary.series
    ));
    for found in summary.found.iter().take(TOLD) {
        context.say("");
        let what = found.anomaly.name().replace('_', " ");
        let when = match found.ended_at {
            Some(end) => format!("{} to {}", found.started_at.minute(), end.minute()),
            None => format!("since {}", found.started_at.minute()),
        };
        context.say(format!("{:<9} {what}, {when}", found.severity.name()));
        context.say_wrapped("    ", &format!("{} {}", found.subject, found.measure), 8);
        context.say_wrapped("    ", &figures(found), 8);
    }
    if summary.found.len() > TOLD {
        context.say("");
        context.say(format!("… and {} more: `pipeline sql -f anomalies`", summary.found.len() - TOLD));
    }
}

fn figures(found: &Anomaly) -> String {
    let figure = |value: f64| figure(&found.measure, value);
    let mut words = Vec::new();
    if let (Some(value), Some(usual)) = (found.value, found.usual) {
        words.push(format!("{}, usually {}", figure(value), figure(usual)));
    }
    words.extend(found.limit.map(|limit| format!("limit {}", figure(limit))));
    words.extend(found.detail.clone());
    words.join("; ")
}

/// A value in the unit that the name of its measure ends with.
fn figure(measure: &str, value: f64) -> String {
    match measure {
        name if name.ends_with("_bytes_per_s") => format!("{}/s", format_bytes(value)),
        name if name.ends_with("_bytes") => format_bytes(value),
        name if name.ends_with("_ms") && value >= 1000.0 => format!("{:.1} s", value / 1000.0),
        name if name.ends_with("_ms") => format!("{value:.0} ms"),
        name if name.ends_with("_cores") => format!("{value:.2} cores"),
        _ if value.abs() >= 100.0 => format!("{value:.0}"),
        _ => format!("{value:.3}"),
    }
}
