//! `what-if --replay`: past deployments, what would have been foreseen of each just before it, and what came.

use crate::context::{Answer, Context};
use crate::failure::{Exit, Failure};
use crate::scratch::scratch;
use domain::units::{counted, format_bytes};
use learn::metrics::quantile;
use learn::shadow::{MOST_DEPLOYMENTS, MOST_RESOURCES, Replay, Replayed, ShadowSpec, replay};
use serde_json::json;

/// Rows shown; the JSON has all.
const SHOWN: usize = 20;

/// Replays the deployments of a span.
pub(super) async fn run(context: &Context, since: &str) -> Result<Answer, Failure> {
    let since = context.back("--replay", since)?;
    let lake = context.lake().await?;
    let session = lake.session(context.now).await?;
    let folder = scratch()?;
    let (hours, schedule) = (folder.path().join("hours.parquet"), folder.path().join("schedule.parquet"));
    let task = context.progress.task("replay");
    if session.export("resource_hours", &hours).await? == 0 {
        return Err(Failure::new(Exit::Inconclusive, "there is no usage to replay")
            .hint("ingest `usage` events, then `pipeline materialize`"));
    }
    session.export("schedule", &schedule).await?;
    let Replay { rows: all, deployments_left_out, resources_left_out } =
        replay(&hours, &schedule, &ShadowSpec::new(context.now, 24), since)?;
    drop(task);
    let sum = |of: fn(&Replayed) -> usize| all.iter().map(of).sum::<usize>() as f64;
    let coverage = sum(|it| it.inside) / sum(|it| it.hours).max(1.0);
    let held = all.iter().filter(|it| it.came_peak <= it.peak_upper).count() as f64 / all.len() as f64;
    // Errors of cores and bytes have no common unit: each as a share of the naive one.
    let shares: Vec<f64> =
        all.iter().filter_map(|it| Some(it.error / it.error_naive.filter(|naive| *naive > 0.0)?)).collect();
    let ratio = median(shares);
    context.say(format!("{:<34}{:>14}{:>14}{:>14}", "deployment, resource", "peak expected", "came", "inside"));
    let mut last = "";
    for it in all.iter().take(SHOWN) {
        if it.event != last {
            context.say_wrapped("", &format!("{} {}", it.at.minute(), it.event), 2);
            last = &it.event;
        }
        let amount = |value: f64| if it.figure == "cpu_cores" { format!("{value:.2}") } else { format_bytes(value) };
        let figure = it.figure.split('_').next().unwrap_or_default();
        let mut name = format!("  {} {figure}", it.resource);
        if name.chars().count() > 33 {
            name = format!("{}…", name.chars().take(32).collect::<String>());
        }
        let inside = format!("{} of {} h", it.inside, it.hours);
        context.say(format!("{name:<34}{:>14}{:>14}{inside:>14}", amount(it.expected_peak), amount(it.came_peak)));
    }
    if all.len() > SHOWN {
        context.say(format!("… and {} more; --json has all", all.len() - SHOWN));
    }
    let events = all.iter().map(|it| &it.event).collect::<std::collections::BTreeSet<_>>().len();
    context.say(format!(
        "{}: {:.1} % of the hours inside their interval (90 stated)",
        counted(events, "deployment"),
        coverage * 100.0
    ));
    context.say(format!("{:.1} % of the peaks below their bound (90 stated)", held * 100.0));
    if let Some(ratio) = ratio {
        context.say(format!("error {ratio:.2} times that of the day before again (median)"));
    }
    if deployments_left_out > 0 {
        let what = counted(deployments_left_out, "earlier deployment");
        context.say_wrapped("", &format!("{what} not replayed: only the newest {MOST_DEPLOYMENTS} are"), 2);
    }
    if resources_left_out > 0 {
        let what = counted(resources_left_out, "replay");
        let most =
            format!("of each deployment, only the {MOST_RESOURCES} resources with the longest history are replayed");
        context.say_wrapped("", &format!("{what} of a resource left out: {most}"), 2);
    }
    let brief = format!("{} replayed, coverage {:.2}", counted(events, "deployment"), coverage);
    Ok(Answer::done(json!({
        "deployments": events,
        "deployments_left_out": deployments_left_out,
        "resources_left_out": resources_left_out,
        "coverage": coverage,
        "peaks_held": held,
        "error_over_naive": ratio,
        "rows": all,
    }))
    .brief(brief))
}

fn median(values: Vec<f64>) -> Option<f64> {
    (!values.is_empty()).then(|| quantile(values, 0.5))
}
