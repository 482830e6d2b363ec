//! `what-if`: the predicted state under simulated changes, beside today's. It changes nothing.

mod changes;
mod conflicts;
mod inventory;
mod remedies;
mod replay;
mod show;

use crate::commands::plan::past::read_nodes;
use crate::context::{Answer, Context};
use crate::failure::{Exit, Failure};
use crate::ledger::{Act, Ledger, enter};
use crate::overrides_file::read_overrides;
use crate::plan_file::read_plan;
use clap::Args;
use domain::plan::Plan;
use domain::what_if::{Finding, Gravity, breaches};
use serde_json::{Value, json};
use std::path::PathBuf;

/// The arguments of `what-if`.
#[derive(Debug, Args)]
#[command(after_help = "\
The simulation works on a copy of the shadow inventory (`pipeline shadow`), and
changes nothing. New resources of --deploy get the forecast of the most similar
services, with wider intervals.

Examples:
  pipeline what-if --set acme-api-dev/web.memory=4GiB
  pipeline what-if --scale acme-api-dev/web=1.5 --nodes nodes.toml
  pipeline what-if --deploy compose.yaml --developers +5
  pipeline what-if --plan plan.json
  pipeline what-if --replay 30d
  pipeline what-if --scale '*=2' --remediate remedy.json --target compose.yaml

A critical finding of --plan blocks `pipeline apply`.")]
pub struct WhatIfArgs {
    /// Set a different limit: RES.memory=4GiB or RES.cpu=2; repeatable
    #[arg(long, value_name = "RES.FIGURE=AMOUNT", value_parser = changes::parse_set)]
    set: Vec<changes::Set>,
    /// Multiply the load by a factor: RES=1.5, or `*` for all resources; repeatable
    #[arg(long, value_name = "RES=FACTOR", value_parser = changes::parse_scale)]
    scale: Vec<changes::Scale>,
    /// Add the resources of a Compose file, or of a folder of manifests (kubernetes:FOLDER)
    #[arg(long, value_name = "FILE")]
    deploy: Vec<String>,
    /// Change the number of developers: +5, or -2 for fewer
    #[arg(long, value_name = "N", allow_hyphen_values = true, value_parser = changes::parse_developers)]
    developers: Option<i64>,
    /// Simulate the changes of a plan; critical findings block its `apply`
    #[arg(long, value_name = "PLAN")]
    plan: Option<PathBuf>,
    /// Machines and their prices in TOML: print how many machines are needed before and after
    #[arg(long, value_name = "FILE")]
    nodes: Option<PathBuf>,
    /// Instead of simulating a change, forecast each past deployment since this time from the data before it, and
    /// compare the forecast with the observations
    #[arg(long, value_name = "SPAN", conflicts_with_all = ["set", "scale", "deploy", "developers", "plan", "nodes", "remediate", "overrides"])]
    replay: Option<String>,
    /// Write a plan for limits that are critical under the change, or today if no change is given. Its remedies are a
    /// higher limit, a restart, a redundant instance, or the last good state
    #[arg(long, value_name = "PLAN", num_args = 0..=1, default_missing_value = "remedy.json")]
    remediate: Option<PathBuf>,
    /// Write the --remediate plan to this file instead of PLAN
    #[arg(short, long, value_name = "FILE", requires = "remediate")]
    output: Option<PathBuf>,
    /// Target of the --remediate plan, as for `plan`; repeatable [default: none, all items are advice]
    #[arg(long, value_name = "TARGET", requires = "remediate")]
    target: Vec<String>,
    /// Overrides in TOML; a change that the overrides do not allow is a finding
    #[arg(long = "override", value_name = "FILE")]
    overrides: Option<PathBuf>,
}

/// Simulates and compares.
pub async fn run(context: &Context, args: WhatIfArgs) -> Result<Answer, Failure> {
    if let Some(since) = &args.replay {
        return replay::run(context, since).await;
    }
    let plan: Option<Plan> = args.plan.as_deref().map(read_plan).transpose()?;
    let nothing = args.set.is_empty() && args.scale.is_empty() && args.deploy.is_empty();
    if nothing && args.developers.is_none() && plan.is_none() && args.remediate.is_none() {
        return Err(Failure::new(Exit::Usage, "what-if needs a change")
            .hint("give --set, --scale, --deploy, --developers or --plan, or --remediate for today"));
    }
    let (nodes, overrides) = (read_nodes(args.nodes.as_deref())?, read_overrides(args.overrides.as_deref())?);
    let lake = context.lake().await?;
    let session = lake.session(context.now).await?;
    let task = context.progress.task("what-if");
    let today = inventory::read(&session).await?;
    let mut then = today.clone();
    let mut made = changes::Made::default();
    changes::set(&mut then, &args.set, &mut made)?;
    changes::scale(&mut then, &args.scale, &mut made)?;
    changes::deploy(&mut then, &args.deploy, &mut made)?;
    if let Some(plan) = &plan {
        changes::plan(&mut then, plan, &mut made);
    }
    if let Some(more) = args.developers {
        changes::developers(&mut then, &session, more, &mut made).await?;
    }
    let mut findings: Vec<Finding> = breaches(&today, &then);
    findings.extend(conflicts::rules(&today, &then, &made, &overrides, context.now));
    findings.extend(conflicts::schedule(&session, &made, &today).await?);
    findings.extend(conflicts::plans(context, &lake, &made, &then, plan.as_ref()).await?);
    let machines = conflicts::machines(&today, &then, &nodes, &mut findings)?;
    findings.sort_by(|a, b| (b.gravity, &a.id).cmp(&(a.gravity, &b.id)));
    drop(task);
    let critical: Vec<String> =
        findings.iter().filter(|f| f.gravity == Gravity::Critical).map(|f| f.id.clone()).collect();
    if let Some(plan) = &plan {
        let (lake, privacy) = context.lake_with_key().await?;
        Ledger::proven(&lake, &privacy).await?.made(plan)?;
        lake.write_document(&format!("plans/{}/findings.json", plan.plan_id), &findings).await?;
        let result = if critical.is_empty() { "nothing critical" } else { "critical findings" };
        enter(context, &lake, &privacy, Act { plan, action: "what-if", items: &critical, result }).await?;
    }
    show::show(context, &today, &then, &made, &machines, &findings);
    if plan.is_some() && !critical.is_empty() {
        context.say("");
        context.say_wrapped("", "apply is blocked until `pipeline approve PLAN --despite FINDING` by a person", 2);
    }
    let output = args.output.or(args.remediate);
    let mut remedy = Value::Null;
    if let Some(output) = &output {
        let (targets, nodes, overrides) = (&args.target[..], &nodes, &overrides);
        let ground =
            remedies::Ground { context, lake: &lake, session: &session, then: &then, targets, overrides, nodes };
        let written = remedies::write(&ground, output).await?;
        remedies::show(context, written.as_ref(), output);
        remedy = remedies::json(written.as_ref(), output);
    }
    let brief =
        format!("{} changed, {} critical", domain::units::counted(made.resources.len(), "resource"), critical.len());
    Ok(Answer::done(json!({
        "changes": made.words,
        "resources": show::both(&today, &then, &made),
        "nodes": machines,
        "findings": findings,
        "critical": critical,
        "remedy": remedy,
        "plan_id": plan.map(|plan| plan.plan_id),
    }))
    .brief(brief))
}
