//! A resource on one page: what held it up, which processes were heaviest, what came just before, and what another limit
//! would have removed, each with the rows it rests on.

use crate::commands::report::time;
use crate::context::{Answer, Context};
use crate::failure::Failure;
use domain::Timestamp;
use domain::time::HOUR;
use domain::units::{format_bytes, round_bytes, round_cores};
use lake::Session;
use learn::shadow::Measure;
use serde_json::{Value, json};

const KNOWN: &str = "select resource from marts.usage where resource = $resource limit 1";

/// Limits that are tried, as multiples of the present one; the first that removes nine tenths is told.
const TRIED: [f64; 6] = [1.25, 1.5, 2.0, 2.5, 3.0, 4.0];
const ENOUGH: f64 = 0.9;
/// Samples from which a counterfactual is told.
const FEWEST: usize = 5;

/// What the newest shadow inventory of the last day expects of one measure, from now on.
const EXPECTED: &str = "
    select
        avg(predicted_state[$measure]) as mean, max(daily_peak[$measure]) as peak, max(daily_peak_upper[$measure]) as peak_upper,
        max(models[$measure]) as model, max(confidences[$measure]) as confidence, max(last_updated) as as_of, count(*) as hours
    from predictions.shadow_inventory
    where resource_id = $resource and last_updated <= (select now from session.clock)
        and last_updated >= (select now from session.clock) - interval '24 hours'
        and at >= (select now from session.clock) - interval '1 hour' and predicted_state[$measure] is not null";

/// Whether the inventory has every measure: one that an older version wrote has not.
const HAS_MEASURES: &str = "
    select 1 from information_schema.columns
    where table_schema = 'predictions' and table_name = 'shadow_inventory' and column_name = 'models'";

/// What is expected of each measure that has a forecast.
async fn expected(session: &Session, name: &str) -> Result<Vec<Value>, Failure> {
    if session.query(HAS_MEASURES).await?.to_json()?.is_empty() {
        return Ok(Vec::new());
    }
    let mut all = Vec::new();
    for measure in Measure::ALL {
        let query = EXPECTED.replace("$measure", &format!("'{}'", measure.column()));
        for mut row in session.query_with(&query, &[("resource", name)]).await?.to_json()? {
            if row["mean"].is_number() {
                row["measure"] = json!(measure);
                all.push(row);
            }
        }
    }
    Ok(all)
}

/// A line for each measure that is expected.
fn show_expected(context: &Context, expected: &[Value]) {
    let Some(first) = expected.first() else { return };
    let as_of = time(&first["as_of"]).unwrap_or_default().minute();
    context.say(format!("expected    the next {} h, as of {as_of}", first["hours"]));
    context.say("            mean            peak            below           sure  led by");
    for row in expected {
        let Some(measure) = Measure::ALL.into_iter().find(|measure| row["measure"] == measure.column()) else {
            continue;
        };
        let amount = |column: &str| measure.amount(row[column].as_f64().unwrap_or_default());
        let mut models = row["model"].as_str().unwrap_or_default().split('+');
        let led = models.next().unwrap_or_default();
        let more = match models.count() {
            0 => String::new(),
            more => format!(" +{more}"),
        };
        context.say(format!(
            "  {:<10}{:<16}{:<16}{:<16}{:.2}  {led}{more}",
            measure.word(),
            amount("mean"),
            amount("peak"),
            amount("peak_upper"),
            row["confidence"].as_f64().unwrap_or_default()
        ));
    }
}

/// What held a resource up, in the words of people.
fn in_words(what: &str) -> &'static str {
    match what {
        "cpu" => "CPU: throttled, or at its limit",
        "memory" => "memory: killed, stalled, or at its limit",
        "io" => "I/O: tasks waited for a disk",
        "network" => "network: as much as ever, with the processor at rest",
        _ => "waiting: others had the processors",
    }
}

/// Explains a resource; none where nothing is called so.
pub(super) async fn explain(context: &Context, session: &Session, name: &str) -> Result<Option<Answer>, Failure> {
    let ask = async |question: &str, more: &[(&str, &str)]| -> Result<Vec<Value>, Failure> {
        let given = [&[("resource", name)], more].concat();
        Ok(session.ask(question, &given).await?.to_json()?)
    };
    let is_known = async || session.query_with(KNOWN, &[("resource", name)]).await?.to_json();
    let expected = expected(session, name).await?;
    if !session.versions.contains_key("marts.usage") || is_known().await?.is_empty() {
        // Of an environment or job there may be runs, and nothing that held it up.
        if expected.is_empty() {
            return Ok(None);
        }
        context.say(name);
        show_expected(context, &expected);
        return Ok(Some(Answer::done(json!({"resource": name, "expected": expected}))));
    }
    let held = ask("explain_bottlenecks", &[]).await?.into_iter().next().unwrap_or_default();
    let network = ask("explain_network", &[]).await?.into_iter().next().unwrap_or_default();
    let minutes = |what: &str| held[what].as_f64().or_else(|| network[what].as_f64()).unwrap_or_default();
    let mut bottlenecks: Vec<(&str, f64)> = ["memory", "cpu", "io", "network", "waiting"]
        .into_iter()
        .map(|what| (what, minutes(what)))
        .filter(|(_, minutes)| *minutes > 0.0)
        .collect();
    // One kill weighs more than an hour of waiting.
    let weight = |(what, minutes): &(&str, f64)| match *what {
        "memory" => minutes + 60.0 * held["oom_kills"].as_f64().unwrap_or_default(),
        "network" => minutes / 2.0,
        _ => *minutes,
    };
    bottlenecks.sort_by(|a, b| weight(b).total_cmp(&weight(a)));
    let first = bottlenecks.first().map_or("none", |(what, _)| what);
    let mut evidence = ask("explain_evidence", &[("bottleneck", first)]).await?;
    let began = evidence.first().and_then(|row| time(&row["began"]));
    evidence.iter_mut().filter_map(Value::as_object_mut).for_each(|row| drop(row.remove("began")));
    let before = match began {
        Some(began) => ask("explain_before", &[("began", &began.to_string())]).await?,
        None => Vec::new(),
    };
    let processes = ask("explain_processes", &[]).await?;
    let counterfactual = match first {
        "cpu" => tried(&ask("explain_cpu_demand", &[]).await?, held["cpu_limit_cores"].as_f64(), "cpu_cores"),
        "memory" => {
            let limit = held["memory_limit_bytes"].as_f64();
            let text = format!("{}", limit.unwrap_or(f64::MAX));
            tried(&ask("explain_memory_demand", &[("limit", &text)]).await?, limit, "memory_bytes")
        }
        _ => None,
    };
    let explained = Explained { name, held: &held, bottlenecks: &bottlenecks, began, minutes: &minutes };
    show(context, &explained, &evidence, &before, &processes, counterfactual.as_ref());
    show_expected(context, &expected);
    let each: Vec<Value> =
        bottlenecks.iter().map(|(what, minutes)| json!({"what": what, "minutes": minutes})).collect();
    Ok(Some(Answer::done(json!({
        "resource": name, "bottleneck": first, "bottlenecks": each, "figures": held, "began": began,
        "evidence": evidence, "before": before, "processes": processes, "counterfactual": counterfactual,
        "expected": expected,
    }))))
}

/// The smallest limit that would have removed nine tenths of the samples, or the largest that was tried.
fn tried(rows: &[Value], limit: Option<f64>, figure: &str) -> Option<Value> {
    let limit = limit.filter(|limit| *limit > 0.0)?;
    let demand: Vec<f64> = rows.iter().filter_map(|row| row["demand"].as_f64()).collect();
    if demand.len() < FEWEST {
        return None;
    }
    let round = |amount: f64| if figure == "cpu_cores" { round_cores(amount) } else { round_bytes(amount) as f64 };
    let removed = |amount: f64| demand.iter().filter(|demand| **demand <= amount).count() as f64 / demand.len() as f64;
    let amounts: Vec<f64> = TRIED.iter().map(|factor| round(limit * factor)).collect();
    let chosen = amounts.iter().copied().find(|amount| removed(*amount) >= ENOUGH).or(amounts.last().copied())?;
    Some(json!({
        "figure": figure, "limit": limit, "instead": chosen, "removed": removed(chosen), "samples": demand.len(),
    }))
}

/// What was found out, for showing.
struct Explained<'a> {
    name: &'a str,
    held: &'a Value,
    bottlenecks: &'a [(&'a str, f64)],
    began: Option<Timestamp>,
    minutes: &'a dyn Fn(&str) -> f64,
}

fn show(
    context: &Context,
    explained: &Explained<'_>,
    evidence: &[Value],
    before: &[Value],
    processes: &[Value],
    counterfactual: Option<&Value>,
) {
    let Explained { name, held, bottlenecks, began, minutes } = explained;
    let minute = |value: &Value| time(value).unwrap_or_default().minute();
    context.say(*name);
    context.say(format!(
        "  {:.0} h measured, {} to {}",
        minutes("minutes") / 60.0,
        minute(&held["first"]),
        minute(&held["last"])
    ));
    context.say("");
    match bottlenecks.first() {
        None => context.say("Nothing held it up."),
        Some((what, of)) => {
            context.say_wrapped("bottleneck  ", in_words(what), 12);
            let kills = held["oom_kills"].as_f64().unwrap_or_default();
            let kills = if kills > 0.0 { format!(", {kills:.0} OOM kills") } else { String::new() };
            let share = 100.0 * of / minutes("minutes").max(1.0);
            context.say(format!("            {of:.0} minutes, {share:.1} % of the time{kills}"));
        }
    }
    for (what, minutes) in bottlenecks.iter().skip(1) {
        context.say(format!("also        {what}: {minutes:.0} minutes"));
    }
    if let Some(instead) = counterfactual {
        let amount = |value: &Value| {
            let value = value.as_f64().unwrap_or_default();
            if instead["figure"] == "cpu_cores" { format!("{value:.2} cores") } else { format_bytes(value) }
        };
        let removed = instead["removed"].as_f64().unwrap_or_default() * 100.0;
        let words = format!(
            "{} instead of {} would have removed {removed:.0} % of the stalls ({} samples)",
            amount(&instead["instead"]),
            amount(&instead["limit"]),
            instead["samples"]
        );
        context.say_wrapped("instead     ", &words, 12);
    }
    for (n, process) in processes.iter().enumerate() {
        let lead = if n == 0 { "processes   " } else { "            " };
        let cores = process["cpu_cores"].as_f64().map(|cores| format!("{cores:.2} cores"));
        let bytes = process["memory_bytes"].as_f64().map(format_bytes);
        let most: Vec<String> = cores.into_iter().chain(bytes).collect();
        let name = process["name"].as_str().unwrap_or("?");
        let words = format!("{name}: heaviest in {} samples, up to {}", process["samples"], most.join(", "));
        context.say_wrapped(lead, &words, 12);
    }
    if let Some(began) = began {
        context.say(format!("began       {}", began.minute()));
        if before.is_empty() {
            context.say("            nothing is known of the two days before");
        }
        for (n, event) in before.iter().enumerate() {
            let lead = if n == 0 { "before it   " } else { "            " };
            let hours = (began.0 - time(&event["ts"]).unwrap_or_default().0) as f64 / HOUR as f64;
            let text = |name: &str| event[name].as_str().unwrap_or_default();
            let which = [text("pr_id"), text("sha"), text("action"), text("text")];
            let which: Vec<&str> = which.into_iter().filter(|text| !text.is_empty()).collect();
            context.say_wrapped(lead, &format!("{hours:.1} h: {} {}", text("type"), which.join(" ")), 12);
        }
    }
    for (n, row) in evidence.iter().enumerate() {
        let lead = if n == 0 { "evidence    " } else { "            " };
        let shown = |name: &str, unit: &str| row[name].as_f64().map(|value| format!("{name} {value:.2}{unit}"));
        let figures = [
            shown("throttled_ratio", ""),
            shown("psi_memory_some", ""),
            shown("psi_io_some", ""),
            row["oom_kills"].as_f64().filter(|kills| *kills > 0.0).map(|kills| format!("{kills:.0} OOM kills")),
            shown("cpu_cores", ""),
            row["memory_bytes"].as_f64().map(|bytes| format!("memory {}", format_bytes(bytes))),
        ];
        let figures: Vec<String> = figures.into_iter().flatten().collect();
        context.say_wrapped(lead, &format!("{}  {}", minute(&row["ts"]), figures.join(", ")), 12);
    }
}
