//! `shadow`: the predicted state of every resource.

use crate::commands::ingest::left_out;
use crate::commands::sql::output::Sink;
use crate::context::{Answer, Context, privacy};
use crate::failure::{Exit, Failure, in_toml};
use crate::scratch::scratch;
use crate::warn;
use clap::Args;
use domain::Timestamp;
use domain::columns::hours;
use domain::gather::GatherPlan;
use domain::holidays::{AtRest, Holidays};
use domain::time::{DAY, HOUR, parse_span};
use intake::Source;
use lake::{IngestSpec, Lake, LakeError, Session, View};
use learn::gather::gather_plan;
use learn::shadow::{ChangedAt, Choices, Held, Measure, ShadowInput, ShadowSpec, ShadowSummary, forecast};
use serde_json::{Value, json};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The arguments of `shadow`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pipeline shadow --horizon 24h
  pipeline shadow --schedule deployments.ics --holidays holidays.toml
  pipeline shadow --schedule events.ndjson --gather-plan gather.json")]
pub struct ShadowArgs {
    /// Forecast horizon, in whole hours
    #[arg(long, default_value = "24h", value_name = "SPAN", value_parser = parse_horizon)]
    horizon: usize,
    /// Ingest this dump of `schedule` events, or this calendar (.ics), first
    #[arg(long, value_name = "FILE")]
    schedule: Option<String>,
    /// Holidays: a TOML file of [[holiday]] tables, or a calendar (.ics)
    #[arg(long, value_name = "FILE")]
    holidays: Option<PathBuf>,
    /// Also write a sampling plan for `collect`: the sampling interval of each resource
    #[arg(long, value_name = "FILE")]
    gather_plan: Option<PathBuf>,
    /// Select new models for every series, not only for those whose error has grown
    #[arg(long)]
    reselect: bool,
}

/// What the forecast and the gather plan read of `features.resource_hours`.
const HOURS: &[&str] = &[
    hours::RESOURCE,
    hours::HOUR,
    hours::CPU_CORES,
    hours::CPU_CORES_MAX,
    hours::MEMORY_BYTES,
    hours::IO_BYTES_PER_S,
    hours::NET_BYTES_PER_S,
];
/// What sorting the hours of all resources may hold; beyond that it goes to temporary files.
const EXPORT_BYTES: usize = 512 << 20;

/// What the last night chose, for the next one.
const CHOICES: &str = "models/shadow/choices.json";

fn parse_horizon(text: &str) -> Result<usize, String> {
    let span = parse_span(text).filter(|span| span % HOUR == 0 && (HOUR..=14 * DAY).contains(span));
    span.map(|span| (span / HOUR) as usize).ok_or_else(|| "write whole hours, from 1h to 14d, such as 24h".to_owned())
}

/// Forecasts and replaces `predictions.shadow_inventory`.
pub async fn run(context: &Context, args: ShadowArgs) -> Result<Answer, Failure> {
    let lake = context.lake().await?;
    if let Some(schedule) = &args.schedule {
        let sources = Source::find(schedule, &mut left_out)?;
        let spec = IngestSpec { now: Some(context.now), ..IngestSpec::default() };
        let (_, report) = Lake::ingest(&context.global.lake, &privacy()?, &sources, &spec, &mut |_, _| {}).await?;
        let reasons: Vec<String> = report.reasons.iter().map(|(reason, n)| format!("{n} {reason}")).collect();
        let hint = "the reasons are in staging.rejects";
        if report.accepted + report.duplicates == 0 {
            let what = format!("nothing of the schedule could be taken: {}", reasons.join(", "));
            return Err(Failure::new(Exit::Failed, what.trim_end_matches([':', ' '])).hint(hint));
        }
        if report.rejected > 0 {
            warn(&Failure::new(Exit::Done, format!("of the schedule is left out: {}", reasons.join(", "))).hint(hint));
        }
    }
    let holidays = args.holidays.as_deref().map_or(Ok(Vec::new()), |path| holidays(path, context.now))?;
    let view = View { memory_bytes: Some(EXPORT_BYTES), ..View::default() };
    let session = lake.session_of(context.now, view).await?;
    let folder = scratch()?;
    let [hours, runs, schedule] =
        ["hours", "runs", "schedule"].map(|name| folder.path().join(format!("{name}.parquet")));
    let out = folder.path().join("shadow.parquet");
    let mut task = context.progress.task("shadow");
    task.at("features");
    let rows = session.export_columns("resource_hours", HOURS, &hours).await?;
    if rows + session.export("run_hours", &runs).await? == 0 {
        return Err(Failure::new(Exit::Inconclusive, "there is no usage and no run to forecast")
            .hint("ingest `usage` events or runs, then `pipeline materialize`"));
    }
    session.export("schedule", &schedule).await?;
    let changes = changes(&session).await?;
    let spec = ShadowSpec { holidays, changes, ..ShadowSpec::new(context.now, args.horizon) };
    task.at("cross-validation");
    let mut choices = match lake.document::<Choices>(CHOICES).await {
        _ if args.reselect => Choices::default(),
        // Of another version, or broken: then everything is chosen anew, as on the first night.
        Err(LakeError::Damaged { .. }) => Choices::default(),
        kept => kept?.unwrap_or_default(),
    };
    let (done, told) = (AtomicUsize::new(0), Mutex::new(&mut task));
    let tick = |n: usize| {
        let done = done.fetch_add(n, Ordering::Relaxed) + n;
        if let Ok(mut task) = told.lock() {
            task.at(&format!("cross-validation, {done} series"));
        }
    };
    let input = ShadowInput { hours: &hours, runs: Some(&runs), schedule: Some(&schedule) };
    let summary = forecast(input, &spec, &mut choices, &out, &tick)?;
    lake.write_predictions("shadow_inventory", &out, context.now).await?;
    lake.write_document(CHOICES, &choices).await?;
    if let Some(path) = &args.gather_plan {
        let plan = gather_plan(&out, &hours, Some(&schedule), context.now)?;
        write_whole(context, path, &plan)?;
    }
    drop(task);
    if summary.ephemeral.resources > 0 {
        let (n, why) = (summary.ephemeral.resources, summary.ephemeral.why);
        context.say_wrapped("", &format!("{n} more are left out: they {why}"), 2);
    }
    let wins: Vec<String> = summary.wins.iter().map(|(model, n)| format!("{model} {n}")).collect();
    context.say(format!(
        "{} resources, {} h ahead from data up to {}",
        summary.resources, args.horizon, summary.data_watermark
    ));
    context.say(format!("{} rows in predictions.shadow_inventory", summary.rows));
    context.say_wrapped("series led by: ", &wins.join(", "), 15);
    if summary.kept > 0 {
        context.say(format!("{} series keep the models of an earlier night: their error is as it was", summary.kept));
    }
    show_held(context, &summary);
    let mut brief = format!("{} resources, {} h ahead", summary.resources, args.horizon);
    if let (Some(ours), Some(naive)) = (summary.all.mase, summary.all.mase_seasonal_naive) {
        brief += &format!("; MASE {ours:.3} (seasonal-naive {naive:.3})");
    }
    Ok(Answer::done(json!(summary)).brief(brief))
}

/// How well the same forecasts would have done, measure by measure: beside repeating the last day or week, and the last day's peak.
fn show_held(context: &Context, summary: &ShadowSummary) {
    if summary.all.mase.is_none() {
        return;
    }
    context.say("by cross-validation:   hours, MASE    inside    daily peaks, MASE   below");
    context.say("            series   ours     naive      90 %      ours     naive   bound");
    let named = Measure::ALL.iter().map(|measure| (measure.word(), summary.measures.get(measure.column())));
    let rows: Vec<(&str, &Held)> = named.filter_map(|(word, held)| Some((word, held?))).collect();
    let all = (rows.len() > 1).then_some(("all", &summary.all));
    for (word, held) in rows.into_iter().chain(all) {
        let error = |error: Option<f64>| error.map_or("-".to_owned(), |error| format!("{error:.3}"));
        let share = |share: Option<f64>| share.map_or("-".to_owned(), |share| format!("{:.1} %", 100.0 * share));
        context.say(format!(
            "  {word:<8}{:>8}{:>7}{:>10}{:>10}{:>10}{:>10}{:>8}",
            held.series,
            error(held.mase),
            error(held.mase_seasonal_naive),
            share(held.coverage),
            error(held.peak_mase),
            error(held.peak_mase_naive),
            share(held.peak_held)
        ));
    }
    context.say(format!("  mean confidence {:.2}", summary.confidence));
}

/// Changes of applications of the last four weeks: older ones are the level that is known.
const CHANGES: &str = "
    select resource, at
    from features.application_changes
    where resource is not null and at > (select now from session.clock) - interval '28 days'
        and coalesce(result, 'success') = 'success'
    order by at";

async fn changes(session: &Session) -> Result<Vec<ChangedAt>, Failure> {
    let rows = session.query(CHANGES).await?.to_json()?;
    let change = |row: &Value| {
        let at = crate::commands::report::time(&row["at"])?;
        Some(ChangedAt { resource: row["resource"].as_str()?.to_owned(), at })
    };
    Ok(rows.iter().filter_map(change).collect())
}

/// The holidays of a file, from those that a forecast may still learn from to those of the next year.
fn holidays(path: &Path, now: Timestamp) -> Result<Vec<AtRest>, Failure> {
    let text = fs::read_to_string(path).map_err(|error| Failure::file("read", path, &error))?;
    let failed = |what: String| Failure::new(Exit::Failed, format!("{}: {what}", path.display()));
    if path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("ics")) {
        const WHOLE: &str = "a holiday in a calendar is an event of whole days: DTSTART;VALUE=DATE:20261225";
        let (days, refused) = intake::whole_days(&text, now);
        for why in refused {
            warn(&failed(format!("an event is left out: {why}")).hint(WHOLE));
        }
        return match days.is_empty() {
            true => Err(failed("it has no whole days".to_owned()).hint(WHOLE)),
            false => Ok(days),
        };
    }
    let wrong = |what: String| {
        failed(what).hint(
            "a holiday is a [[holiday]] table with date, such as \"2026-12-25\" or \"12-25\", and perhaps to, resource and name",
        )
    };
    // A date is as good without quotes.
    let dates = |error: toml::de::Error| wrong(in_toml(&text, &error));
    let table: toml::Table = toml::from_str(&text).map_err(dates)?;
    let holidays: Holidays = match table.contains_key("holiday") {
        true => without_dates(toml::Value::Table(table)).try_into().map_err(dates)?,
        false => toml::from_str(&text).map_err(dates)?,
    };
    let year = |at: Timestamp| at.date().get(..4).and_then(|year| year.parse().ok()).unwrap_or(1970);
    holidays.within(year(now.plus(-366 * DAY))..=year(now.plus(366 * DAY))).map_err(wrong)
}

/// TOML's own dates as the texts that they are written as.
fn without_dates(value: toml::Value) -> toml::Value {
    match value {
        toml::Value::Datetime(date) => toml::Value::String(date.to_string()),
        toml::Value::Array(items) => toml::Value::Array(items.into_iter().map(without_dates).collect()),
        toml::Value::Table(table) => {
            toml::Value::Table(table.into_iter().map(|(key, value)| (key, without_dates(value))).collect())
        }
        other => other,
    }
}

/// A collector may read it at any moment: it is there whole, or as it was.
fn write_whole(context: &Context, path: &Path, plan: &GatherPlan) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(plan).map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
    let mut sink = Sink::file(context, path)?;
    writeln!(sink, "{text}").map_err(|error| Failure::file("write", path, &error))?;
    sink.finish().map(|_| ())
}
