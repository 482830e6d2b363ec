//! `backtest`: what sizing policies would have done.

use crate::context::{Answer, Context};
use crate::failure::{Exit, Failure};
use crate::scratch::scratch;
use crate::values::share;
use clap::Args;
use domain::plan::Replay;
use domain::units::{format_bytes, signed_interval};
use learn::backtest::{Asked, Beside, Frontier, Point, Usage};
use learn::sizing::{DEFAULT_RISK, Policy};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The arguments of `backtest`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pipeline backtest --since 30d
  pipeline backtest --policy ours,vpa,krr --risk 1%
  pipeline backtest --frontier --json")]
pub struct BacktestArgs {
    /// Score the days since this time: 30d, 8w, a date [default: all history]; policies also use earlier days
    #[arg(long, value_name = "SPAN")]
    since: Option<String>,
    /// Policies, separated by commas: ours, vpa, krr, cast, ci-sizer, static
    #[arg(long, value_delimiter = ',', default_value = "ours,vpa,krr,static", value_parser = parse_policy)]
    policy: Vec<Policy>,
    /// Accepted share of CPU samples above the limit, over all resources, for the policy `ours`, such as 1% [default:
    /// 2%]
    #[arg(long, value_name = "SHARE", value_parser = parse_share, conflicts_with = "frontier")]
    risk: Option<f64>,
    /// Replay `ours` for several values of --risk, and the other policies for comparison
    #[arg(long)]
    frontier: bool,
}

/// A policy by its name.
pub fn parse_policy(text: &str) -> Result<Policy, String> {
    Policy::parse(text).ok_or_else(|| "one of ours, vpa, krr, cast, ci-sizer, static".to_owned())
}

/// `2%` or `0.02`.
pub fn parse_share(text: &str) -> Result<f64, String> {
    share(0.0..1.0, "write it as 2% or 0.02, below 1")(text)
}

/// Replays and shows.
pub async fn run(context: &Context, args: BacktestArgs) -> Result<Answer, Failure> {
    let since = context.since(args.since.as_deref())?;
    let session = context.lake().await?.session(context.now).await?;
    let folder = scratch()?;
    let usage = folder.path().join("usage.parquet");
    if session.export("usage", &usage).await? == 0 {
        return Err(Failure::new(Exit::Inconclusive, "there is no usage to replay")
            .hint("ingest `usage` events, then `pipeline materialize`"));
    }
    let task = context.progress.task("backtest");
    let usage = Usage::load(&usage, context.now)?;
    let asked = Asked { since, risk: args.risk.unwrap_or(DEFAULT_RISK), wanted: &|_| true };
    if args.frontier {
        let frontier = usage.frontier(&args.policy, asked)?;
        drop(task);
        return Ok(answer(context, &frontier));
    }
    let result = usage.backtest(&args.policy, asked)?;
    drop(task);
    context.say(format!(
        "{} resources, {} resource-days replayed, newest sample {}",
        result.resources,
        result.resource_days,
        result.newest.minute()
    ));
    show(context, &result.policies);
    let brief = format!(
        "{} resource-days; CPU slack and throttled samples: {}",
        result.resource_days,
        in_brief(&result.policies)
    );
    Ok(Answer::done(json!({
        "resources": result.resources,
        "resource_days": result.resource_days,
        "newest": result.newest,
        "risk": asked.risk,
        "policies": result.policies,
    }))
    .brief(brief))
}

/// The frontier for people and for programs.
fn answer(context: &Context, frontier: &Frontier) -> Answer {
    context.say(format!(
        "{} resources, {} resource-days replayed, newest sample {}",
        frontier.resources, frontier.resource_days, frontier.newest
    ));
    show_frontier(context, frontier);
    let brief = frontier.points.iter().find(|point| point.risk == DEFAULT_RISK).map(|point| {
        format!("CPU slack at {:.0} % accepted: {:.0} %", point.risk * 100.0, point.replay.cpu_slack * 100.0)
    });
    Answer::done(frontier_json(frontier)).brief(brief.unwrap_or_default())
}

/// `frontier[…]`, and the policies without a dial beside it.
pub fn frontier_json(frontier: &Frontier) -> Value {
    let figures = |replay: &Replay| {
        json!({
            "throttled_rate": replay.throttled_rate,
            "cpu_slack": replay.cpu_slack,
            "cpu_over": replay.cpu_over,
            "cpu_limit_cores": replay.cpu_limit_cores,
            "memory_slack": replay.memory_slack,
            "memory_limit_bytes": replay.memory_limit_bytes,
            "oom_days_per_1000": replay.oom_days_per_1000,
            "changes_per_month": replay.changes_per_month,
        })
    };
    let point = |point: &Point| {
        let mut row = figures(&point.replay);
        row["risk"] = json!(point.risk);
        let calendar = &point.calendar;
        row["calendar"] = figures(&calendar.replay);
        row["calendar"]["switches_per_month"] = json!(calendar.replay.switches_per_month);
        row["calendar"]["resources"] = json!(calendar.resources);
        row["calendar"]["resource_days"] = json!(calendar.resource_days);
        row
    };
    let beside = |beside: &Beside| {
        let mut row = figures(&beside.replay);
        row["policy"] = json!(beside.policy);
        row["ours_cpu_slack"] = json!(beside.ours_cpu_slack);
        row["difference"] = json!(beside.difference);
        row["interval"] = json!(beside.interval);
        row
    };
    json!({
        "resources": frontier.resources,
        "resource_days": frontier.resource_days,
        "newest": frontier.newest,
        "frontier": frontier.points.iter().map(point).collect::<Vec<_>>(),
        "beside": frontier.beside.iter().map(beside).collect::<Vec<_>>(),
    })
}

/// The frontier as a table, and where the other policies stand beside it.
pub fn show_frontier(context: &Context, frontier: &Frontier) {
    context.say(format!(
        "  {:>8}{:>11}{:>8}{:>11}{:>11}{:>14}{:>14}",
        "--risk", "throttled", "cores", "CPU slack", "mem slack", "OOM days/1000", "changes/month"
    ));
    for Point { risk, replay, .. } in &frontier.points {
        context.say(format!(
            "  {:>6.1} %{:>9.2} %{:>8.2}{:>9.1} %{:>9.1} %{:>14.1}{:>14.1}",
            risk * 100.0,
            replay.throttled_rate * 100.0,
            replay.cpu_limit_cores,
            replay.cpu_slack * 100.0,
            replay.memory_slack * 100.0,
            replay.oom_days_per_1000,
            replay.changes_per_month.unwrap_or_default()
        ));
    }
    let chosen = frontier.points.iter().find(|point| point.risk == DEFAULT_RISK);
    if let Some((point, calendar)) = chosen.map(|point| (point, &point.calendar)).filter(|(_, it)| it.resources > 0) {
        let replay = &calendar.replay;
        context.say_wrapped(
            "  with calendars  ",
            &format!(
                "at {:.1} %, {} of {} resources have quiet hours that pay: throttled {:.2} %, CPU slack {:.1} %, mem slack \
                 {:.1} %, OOM days/1000 {:.1}, and {:.1} switches a month",
                point.risk * 100.0,
                calendar.resources,
                frontier.resources,
                replay.throttled_rate * 100.0,
                replay.cpu_slack * 100.0,
                replay.memory_slack * 100.0,
                replay.oom_days_per_1000,
                replay.switches_per_month.unwrap_or_default()
            ),
            18,
        );
    }
    for Beside { policy, replay, difference, interval, .. } in &frontier.beside {
        let points = |x: f64| format!("{:+.1}", x * 100.0);
        let compared = match (difference, interval) {
            (Some(difference), Some((low, high))) => {
                let interval = signed_interval(low * 100.0, high * 100.0, 1);
                format!("; ours there {} points (90 %: {interval})", points(*difference))
            }
            (Some(difference), None) => format!("; ours there {} points", points(*difference)),
            (None, _) => "; the frontier does not reach that share".to_owned(),
        };
        context.say_wrapped(
            format!("  {policy:<13}"),
            &format!(
                "throttles {:.2} %, CPU slack {:.1} %{compared}; {:.1} changes a month",
                replay.throttled_rate * 100.0,
                replay.cpu_slack * 100.0,
                replay.changes_per_month.unwrap_or_default()
            ),
            15,
        );
    }
}

/// Our policy beside the limits as they were, in a line.
fn in_brief(policies: &BTreeMap<String, Replay>) -> String {
    let figures = ["ours", "static"].iter().filter_map(|name| {
        let replay = policies.get(*name)?;
        Some(format!("{name} {:.0} %, {:.2} %", replay.cpu_slack * 100.0, replay.throttled_rate * 100.0))
    });
    figures.collect::<Vec<_>>().join("; ")
}

/// Policies beside each other, `ours` first.
pub fn show(context: &Context, policies: &BTreeMap<String, Replay>) {
    context.say(format!(
        "  {:<13}{:>6}{:>10}{:>10}{:>9}{:>10}{:>9}{:>11}",
        "policy", "cores", "CPU slack", "throttled", "memory", "mem slack", "over mem", "changes/mo"
    ));
    let mut names: Vec<&String> = policies.keys().collect();
    names.sort_by_key(|name| (*name != "ours", name.as_str()));
    for name in names {
        let r = &policies[name];
        context.say(format!(
            "  {name:<13}{:>6.2}{:>8.1} %{:>8.2} %{:>9}{:>8.1} %{:>7.3} %{:>11.1}",
            r.cpu_limit_cores,
            r.cpu_slack * 100.0,
            r.throttled_rate * 100.0,
            format_bytes(r.memory_limit_bytes),
            r.memory_slack * 100.0,
            r.oom_rate * 100.0,
            r.changes_per_month.unwrap_or_default()
        ));
    }
}
