//! How a job ends: what was starved and what idle, what the limits cost, what was changed and restored, where to look next.
//! It tells what the steps answered and what the lake holds, and decides nothing.

use crate::commands::run::{Ran, Record};
use crate::commands::sql::reports;
use crate::context::Context;
use crate::failure::Failure;
use domain::Timestamp;
use domain::plan::Plan;
use domain::units::format_bytes;
use lake::Parameters;
use serde_json::Value;
use std::collections::BTreeMap;

/// The report that knows what is starved and idle.
const REPORT: &str = "starved-or-idle";
/// Names on one line; the rest is counted.
const NAMED: usize = 3;

/// What the job did, as lines with a word in front; empty where it did nothing to tell of.
pub async fn story(context: &Context, record: &Record) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    let plan = planned(record);
    if plan.is_some() || ran(record, "materialize").is_some() {
        // As it was when the job began: the days that it may have played through since are told by what came of the plan.
        match resources(context, record.now).await {
            Ok(rows) if rows.is_empty() => {}
            Ok(rows) => lines.extend(starved_and_idle(&rows)),
            Err(failure) => context.progress.note(&format!("{REPORT}: {}", failure.what)),
        }
    }
    lines.extend(routed(record));
    if let Some((plan, path)) = &plan {
        lines.extend(cost(plan));
        lines.push(("plan", changes(plan)));
        lines.extend(replayed(plan));
        lines.push(("changed", changed(record, path)));
        lines.extend(verified(record));
        lines.push(("look at", format!("{path}, or the reasons: {}", again(context, "log"))));
    }
    lines
}

/// What became of each rollout, by its last tick.
fn routed(record: &Record) -> Vec<(&'static str, String)> {
    let mut last: BTreeMap<&str, &Ran> = BTreeMap::new();
    for step in record.steps.iter().filter(|step| step.arguments.iter().any(|argument| argument == "advance")) {
        if let Some(plan) = step.answer["plan_id"].as_str() {
            last.insert(plan, step);
        }
    }
    let said = |step: &&Ran| step.answer["brief"].as_str().map(str::to_owned);
    last.values().filter_map(said).map(|line| ("rollout", line)).collect()
}

/// The command line of another look at the same lake.
pub fn again(context: &Context, command: &str) -> String {
    format!("pipeline --lake {} {command}", context.global.lake)
}

/// The last step that ran this command.
fn ran<'a>(record: &'a Record, command: &str) -> Option<&'a Ran> {
    let runs =
        |step: &&Ran| step.arguments.iter().find(|argument| !argument.starts_with('-')).is_some_and(|a| a == command);
    record.steps.iter().rfind(runs)
}

/// The plan that was made, and where it was written.
fn planned(record: &Record) -> Option<(Plan, String)> {
    let step = ran(record, "plan")?;
    let plan = serde_json::from_value(step.answer.clone()).ok()?;
    let place = step.arguments.iter().position(|argument| argument == "-o" || argument == "--output");
    let path = place.and_then(|n| step.arguments.get(n + 1)).cloned();
    Some((plan, path.unwrap_or_else(|| "plan.json".to_owned())))
}

/// The rows of the report over the 30 days before.
async fn resources(context: &Context, now: Timestamp) -> Result<Vec<Value>, Failure> {
    let (script, declared) = reports::read(REPORT)?;
    let session = context.lake().await?.session(now).await?;
    let parameters = Parameters::new(BTreeMap::new(), declared);
    let mut rows = Vec::new();
    for statement in script {
        rows.extend(session.start(&statement, &parameters).await?.collect().await?.to_json()?);
    }
    Ok(rows)
}

fn starved_and_idle(rows: &[Value]) -> Vec<(&'static str, String)> {
    let of = |state: &str| rows.iter().filter(|row| row["state"] == state).collect::<Vec<_>>();
    let (starved, idle) = (of("starved"), of("idle"));
    let name = |row: &Value| row["resource"].as_str().unwrap_or_default().to_owned();
    let figure = |row: &Value, column: &str| row[column].as_f64().map_or_else(|| "-".to_owned(), |x| format!("{x}"));
    let contended = |row: &&Value| {
        let kills = row["oom_kills"].as_f64().filter(|kills| *kills > 0.0);
        let kills = kills.map_or_else(String::new, |kills| format!(", {kills} OOM kills"));
        format!("{} (contended in {} % of its hours{kills})", name(row), figure(row, "contended_pct"))
    };
    let unused = |row: &&Value| {
        let peak = |what: &str| {
            format!("{} of {}", figure(row, &format!("{what}_peak")), figure(row, &format!("{what}_limit")))
        };
        format!("{} (peaks: {} cores, {} GiB)", name(row), peak("cpu"), peak("gib"))
    };
    vec![
        ("starved", listed(starved.iter().map(contended).collect(), rows.len())),
        ("idle", listed(idle.iter().map(unused).collect(), rows.len())),
    ]
}

/// How many of how many, and the first of them by name.
fn listed(names: Vec<String>, of: usize) -> String {
    let count = names.len();
    let mut line = format!("{count} of {of} resources");
    if count > 0 {
        line += &format!(": {}", names[..count.min(NAMED)].join(", "));
    }
    if count > NAMED {
        line += &format!(", and {} more", count - NAMED);
    }
    line
}

/// What the limits cost, now and after the plan.
fn cost(plan: &Plan) -> Option<(&'static str, String)> {
    let before: f64 = plan.items.iter().filter_map(|item| item.projected.cost_before).sum();
    let after: f64 = plan.items.iter().filter_map(|item| item.projected.cost).sum();
    let line = format!("limits at list price: {before:.2} a month, {after:.2} after the plan ({:+.2})", after - before);
    (!plan.items.is_empty()).then_some(("cost", line))
}

fn changes(plan: &Plan) -> String {
    let cores = |c: Option<f64>| c.map_or_else(|| "unlimited".to_owned(), |c| format!("{c:.2}"));
    let bytes = |b: Option<u64>| b.map_or_else(|| "unlimited".to_owned(), |b| format_bytes(b as f64));
    let changes: Vec<String> = plan
        .changes()
        .map(|item| {
            if let Some(task) = &item.task {
                return format!("{} {}", item.resource, task.in_words());
            }
            let (before, after) = (item.before, item.after);
            let mut parts = Vec::new();
            if before.cpu_cores != after.cpu_cores {
                parts.push(format!("{} -> {} cores", cores(before.cpu_cores), cores(after.cpu_cores)));
            }
            if before.memory_bytes != after.memory_bytes {
                parts.push(format!("{} -> {}", bytes(before.memory_bytes), bytes(after.memory_bytes)));
            }
            format!("{} {}", item.resource, parts.join(", "))
        })
        .collect();
    let advice = plan.for_people().count();
    let line = listed(changes, plan.items.len()).replacen("resources", "limits change", 1);
    if advice > 0 { format!("{line}; {advice} more need a person") } else { line }
}

/// What the plan's policy would have done last month, beside the limits as they were.
fn replayed(plan: &Plan) -> Option<(&'static str, String)> {
    let figures = |name: &str| {
        let replay = plan.backtest.get(name)?;
        let (slack, throttled) = (replay.cpu_slack * 100.0, replay.throttled_rate * 100.0);
        Some(format!("{slack:.0} % CPU slack, {throttled:.2} % of samples throttled"))
    };
    Some(("replay", format!("{}; with the limits as they were {}", figures("ours")?, figures("static")?)))
}

/// What came of the changes, by what was measured since.
fn verified(record: &Record) -> Option<(&'static str, String)> {
    let plans = ran(record, "verify")?.answer["plans"].as_array()?.clone();
    let items: Vec<&Value> = plans.iter().filter_map(|plan| plan["items"].as_array()).flatten().collect();
    let name = |item: &&Value| {
        let word = |key: &str| item[key].as_str().unwrap_or_default().to_owned();
        format!("{} {}", word("resource"), word("result"))
    };
    (!items.is_empty()).then(|| ("verified", items.iter().map(name).collect::<Vec<_>>().join(", ")))
}

/// What happened to the target.
fn changed(record: &Record, plan: &str) -> String {
    let result = |command: &str| {
        let step = ran(record, command)?;
        let items = step.answer["items"].as_array()?.len();
        Some((items, step.answer["result"].as_str()?.to_owned()))
    };
    match (result("apply"), result("rollback")) {
        (Some((items, applied)), Some((_, restored))) => {
            format!("{items} limits {applied}, then {restored} byte for byte")
        }
        (Some((items, applied)), None) => format!("{items} limits {applied}; undo: pipeline rollback {plan}"),
        (None, Some((_, restored))) => restored,
        (None, None) => format!("nothing; a person approves: pipeline approve {plan}"),
    }
}
