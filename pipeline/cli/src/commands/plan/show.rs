//! A plan on a terminal: what changes with its reasons and figures, what stays, what it would have done, what to do next.

use crate::commands::backtest::show as show_backtest;
use crate::context::Context;
use domain::plan::{Action, Item, Plan};
use domain::time::{SECOND, format_span};
use domain::units::format_bytes;
use std::collections::BTreeSet;
use std::path::Path;

/// Prints the plan of a file.
pub(super) fn show(context: &Context, plan: &Plan, path: &Path) {
    let changes = plan.changes().count();
    context.say_wrapped("", &format!("Plan {} for {}", plan.plan_id, plan.targets_in_words()), 4);
    let watermark = plan.data_watermark.minute();
    context.say(format!("{changes} of {} resources change; data up to {watermark}", plan.resources()));
    context.say("");
    for item in plan.changes() {
        let on = if plan.targets.len() > 1 { format!(" on {}", item.on) } else { String::new() };
        context.say(format!("  ~ {}{on}  [{}]", item.resource, item.id));
        show_item(context, item);
    }
    for item in plan.for_people() {
        let what = if item.action == Action::FixLeak { String::new() } else { format!("{} ", item.action.name()) };
        context.say(format!("  ! {what}{}  [{}]", item.resource, item.id));
        context.say_wrapped("      why     ", &item.reason, 14);
        context.say_wrapped("      do      ", &item.guidance, 14);
        if let Some(handling) = item.handling.as_ref().filter(|_| item.action != Action::FixLeak) {
            context.say_wrapped("      brings  ", &handling.impact, 14);
        }
        show_age(context, item);
        context.say("");
    }
    let kept: Vec<&Item> = plan.items.iter().filter(|item| item.action == Action::None).collect();
    if !kept.is_empty() {
        context.say("unchanged:");
        for item in kept.iter().take(20) {
            let age = age(item).map_or(String::new(), |age| format!(" [newest sample {age}]"));
            context.say_wrapped(format!("    {:<24} ", item.resource), &format!("{}{age}", item.reason), 29);
        }
        if kept.len() > 20 {
            context.say(format!("    … and {} more", kept.len() - 20));
        }
        context.say("");
    }
    if !plan.backtest.is_empty() {
        context.say("What each policy would have done on the same days:");
        show_backtest(context, &plan.backtest);
        context.say("");
    }
    for check in plan.checks.iter().filter(|check| !check.passed) {
        let kind = if check.blocking { "blocked" } else { "note" };
        context.say_wrapped(format!("{kind}: "), &format!("{}: {}", check.name, check.detail), 9);
    }
    for note in &plan.notes {
        let whose = note.resource.as_ref().map_or(String::new(), |resource| format!("{resource}: "));
        context.say_wrapped("note: ", &format!("{whose}{}", note.what), 9);
    }
    plan.hours.in_words().iter().for_each(|rule| context.say_wrapped("hours: ", rule, 9));
    // A resource that several targets have is paid for once.
    let mut seen = BTreeSet::new();
    let paid: Vec<&Item> =
        plan.items.iter().filter(|i| i.projected.cost.is_none() || seen.insert(&i.resource)).collect();
    let month = |of: fn(&Item) -> Option<f64>| paid.iter().copied().filter_map(of).sum::<f64>();
    let (before, after) = (month(|i| i.projected.cost_before), month(|i| i.projected.cost));
    context.say(format!("Limits at list price: {before:.2} a month now, {after:.2} after ({:+.2}).", after - before));
    if plan.applyable {
        let path = path.display();
        context.say(format!("Next: pipeline approve {path}"));
        context.say(format!("      pipeline apply {path}"));
        context.say(format!("Undo: pipeline rollback {path}"));
    } else {
        context.say("This plan cannot be applied.");
    }
}

fn show_item(context: &Context, item: &Item) {
    if let Some(task) = &item.task {
        context.say_wrapped("      do      ", &task.in_words(), 14);
        context.say_wrapped("      why     ", &item.reason, 14);
        if let Some(handling) = &item.handling {
            context.say_wrapped("      brings  ", &handling.impact, 14);
            context.say_wrapped("      risk    ", &format!("{}: {}", handling.risk.name(), handling.risk_why), 14);
        }
        context.say("");
        return;
    }
    let cores = |c: Option<f64>| c.map_or_else(|| "unlimited".to_owned(), |c| format!("{c:.2} cores"));
    let bytes = |b: Option<u64>| b.map_or_else(|| "unlimited".to_owned(), |b| format_bytes(b as f64));
    if item.before.cpu_cores != item.after.cpu_cores {
        context.say(format!("      cpu     {:>12} -> {}", cores(item.before.cpu_cores), cores(item.after.cpu_cores)));
    }
    if item.before.memory_bytes != item.after.memory_bytes {
        context.say(format!(
            "      memory  {:>12} -> {}",
            bytes(item.before.memory_bytes),
            bytes(item.after.memory_bytes)
        ));
    }
    if let Some(calendar) = &item.calendar {
        context.say_wrapped("      quiet   ", &calendar.in_words(), 14);
        context.say_wrapped("      pays    ", &calendar.why(), 14);
    }
    if let Some(words) = item.requests.and_then(|requests| requests.in_words()) {
        context.say(format!("      request {}", words.trim_start_matches("requests ")));
    }
    if let Some(replicas) = item.projected.replicas {
        context.say(format!("      of      {replicas} containers, each with these limits"));
    }
    context.say_wrapped("      why     ", &item.reason, 14);
    let percent = |x: Option<f64>| x.map_or_else(|| "-".to_owned(), |x| format!("{:.1} %", x * 100.0));
    let past = &item.projected;
    context.say(format!(
        "      would   have throttled {} of the samples, exceeded memory in {}",
        percent(past.throttled_rate),
        percent(past.oom_rate)
    ));
    if let Some(late) = past.late_core_seconds.filter(|late| *late > 0.0) {
        let caught = format_span((past.catch_up_s.unwrap_or_default() * SECOND as f64) as i64);
        context.say(format!("      late    {late:.0} core-seconds of work, caught up with in {caught} at most"));
    }
    context.say(format!("      slack   CPU {}, memory {}", percent(past.slack), percent(past.memory_slack)));
    if let Some(confidence) = item.confidence {
        context.say(format!("      sure    {:.0} %, measured by cross-validation", confidence * 100.0));
    }
    show_age(context, item);
    if let Some(handling) = &item.handling {
        context.say_wrapped("      risk    ", &format!("{}: {}", handling.risk.name(), handling.risk_why), 14);
    }
    if let Some(applied) = item.override_.as_ref().filter(|o| o.rule != "none") {
        context.say(format!("      rule    {} from {}", applied.rule, applied.pattern));
    }
    // What `apply` says itself is not repeated here.
    if let Some(advice) = item.advice() {
        context.say_wrapped("      watch   ", advice, 14);
    }
    context.say("");
}

fn show_age(context: &Context, item: &Item) {
    if let Some(age) = age(item) {
        context.say(format!("      data    newest sample {age}"));
    }
}

/// The newest sample of an item's resource, with its age.
fn age(item: &Item) -> Option<String> {
    item.evidence.iter().find(|evidence| evidence.what == "newest sample").map(|evidence| evidence.value.clone())
}
