//! `backtest`: what sizing policies would have done.

use crate::context::{Answer, Context};
use crate::failure::{Exit, Failure};
use crate::scratch::scratch;
use clap::Args;
use domain::plan::Replay;
use domain::units::format_bytes;
use learn::backtest::{Span, replay};
use learn::sizing::Policy;
use serde_json::json;
use std::collections::BTreeMap;

/// What `backtest` takes.
#[derive(Debug, Args)]
pub struct BacktestArgs {
    /// Score the days since: 30d, 8w, a date [default: all history]; policies still learn from earlier days
    #[arg(long, value_name = "SPAN")]
    since: Option<String>,
    /// Policies, separated by commas: ours, vpa, krr, cast, ci-sizer, static
    #[arg(long, value_delimiter = ',', default_value = "ours,vpa,krr,static", value_parser = parse_policy)]
    policy: Vec<Policy>,
}

/// A policy by its name.
pub fn parse_policy(text: &str) -> Result<Policy, String> {
    Policy::parse(text).ok_or_else(|| "one of ours, vpa, krr, cast, ci-sizer, static".to_owned())
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
    let result = replay(&usage, &args.policy, Span { since, now: context.now })?;
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
        "policies": result.policies,
    }))
    .brief(brief))
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
        "  {:<10}{:>8}{:>11}{:>11}{:>12}{:>11}{:>13}",
        "policy", "cores", "CPU slack", "throttled", "memory", "mem slack", "over memory"
    ));
    let mut names: Vec<&String> = policies.keys().collect();
    names.sort_by_key(|name| (*name != "ours", name.as_str()));
    for name in names {
        let r = &policies[name];
        context.say(format!(
            "  {name:<10}{:>8.2}{:>9.1} %{:>9.2} %{:>12}{:>9.1} %{:>11.3} %",
            r.cpu_limit_cores,
            r.cpu_slack * 100.0,
            r.throttled_rate * 100.0,
            format_bytes(r.memory_limit_bytes),
            r.memory_slack * 100.0,
            r.oom_rate * 100.0
        ));
    }
}
