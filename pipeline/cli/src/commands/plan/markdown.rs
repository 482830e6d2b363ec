//! A plan as the description of a pull request: what changes, why, what it would have done, what to look at, how to undo it.

use domain::plan::{Action, Item, Plan, State};
use domain::units::{counted, format_bytes};
use page::markdown_text as text;
use std::path::Path;

/// The lines of it.
pub(super) fn lines(plan: &Plan, path: &Path) -> Vec<String> {
    let changes: Vec<&Item> = plan.changes().collect();
    let mut lines = vec![
        format!("# Resize {} of {} services", changes.len(), plan.resources()),
        String::new(),
        format!(
            "`{}`, made {}, may be applied until {}.",
            plan.plan_id,
            plan.created_at.minute(),
            plan.expires_at.minute()
        ),
        format!(
            "It rests on data up to {} and on {} ({}).",
            plan.data_watermark.minute(),
            text(&plan.model.name),
            text(&plan.model.version)
        ),
        String::new(),
    ];
    for target in &plan.targets {
        lines.push(format!("- `{}`: {} {}", target.id, target.kind, text(&target.location)));
    }
    if !changes.is_empty() {
        section(&mut lines, "What changes, and why");
        lines.extend(table(&["service", "on", "CPU", "memory", "why"]));
        for item in &changes {
            let (before, after) = (item.before, item.after);
            let cpu = arrow(&cores(before), &cores(after));
            let memory = arrow(&bytes(before), &bytes(after));
            let requests = item.requests.and_then(|requests| requests.in_words());
            let why = requests.map_or_else(|| item.reason.clone(), |words| format!("{}; {words}", item.reason));
            let cpu = item.task.as_ref().map_or(cpu, |task| text(&task.in_words()));
            lines.push(row(&[text(&item.resource), item.on.clone(), cpu, memory, text(&why)]));
        }
        section(&mut lines, "What it would have done on the past days");
        lines.extend(table(&["service", "throttled", "over memory", "CPU slack", "memory slack", "confidence"]));
        for item in changes.iter().filter(|item| item.task.is_none()) {
            let past = &item.projected;
            let figures = [past.throttled_rate, past.oom_rate, past.slack, past.memory_slack, item.confidence];
            let mut cells = vec![text(&item.resource)];
            cells.extend(figures.map(percent));
            lines.push(row(&cells));
        }
    }
    by_hand(&mut lines, plan);
    if !plan.backtest.is_empty() {
        section(&mut lines, "Beside other policies, on the same rows");
        lines.extend(table(&["policy", "cores", "CPU slack", "throttled", "memory", "memory slack", "over memory"]));
        for (policy, past) in &plan.backtest {
            let share = |share: f64| percent(Some(share));
            lines.push(row(&[
                policy.clone(),
                format!("{:.2}", past.cpu_limit_cores),
                share(past.cpu_slack),
                share(past.throttled_rate),
                format_bytes(past.memory_limit_bytes),
                share(past.memory_slack),
                share(past.oom_rate),
            ]));
        }
    }
    let concerns = concerns(plan, &changes);
    if !concerns.is_empty() {
        section(&mut lines, "Please look at");
        lines.extend(concerns.into_iter().map(|what| format!("- {what}")));
    }
    let kept: Vec<&Item> = plan.items.iter().filter(|item| item.action == Action::None).collect();
    if !kept.is_empty() {
        lines.extend([
            String::new(),
            format!("<details><summary>{} left as they are</summary>", kept.len()),
            String::new(),
        ]);
        lines.extend(
            kept.iter().map(|item| format!("- {} on `{}`: {}", text(&item.resource), item.on, text(&item.reason))),
        );
        lines.extend([String::new(), "</details>".to_owned()]);
    }
    section(&mut lines, "To carry it out, and to undo it");
    let path = path.display();
    if plan.applyable {
        lines.extend(["```sh".to_owned(), format!("pipeline approve {path}"), format!("pipeline apply {path}")]);
        lines.extend([format!("pipeline rollback {path}   # exactly what was there before"), "```".to_owned()]);
    } else {
        lines.push("This plan cannot be applied: see above.".to_owned());
    }
    lines
}

/// What each item brings, how risky it is, and how a person does and undoes it.
fn by_hand(lines: &mut Vec<String>, plan: &Plan) {
    let items: Vec<&Item> = plan.changes().chain(plan.for_people()).collect();
    let handled: Vec<_> = items.iter().filter_map(|item| Some((item, item.handling.as_ref()?))).collect();
    if handled.is_empty() {
        return;
    }
    lines.extend([
        String::new(),
        format!("<details><summary>By hand, and the rows behind: {}</summary>", counted(handled.len(), "item")),
        String::new(),
    ]);
    for (item, handling) in handled {
        lines.push(format!(
            "- {} {}: {}. Risk {}: {}.",
            item.action.name(),
            text(&item.resource),
            text(&handling.impact),
            handling.risk.name(),
            text(&handling.risk_why)
        ));
        lines.extend(handling.steps.iter().map(|step| format!("  - {}", code(step))));
        lines.extend(handling.undo.iter().map(|step| format!("  - undo: {}", code(step))));
        let rows = item.evidence.iter().filter_map(|it| Some((it, it.sql.as_ref()?)));
        lines.extend(rows.map(|(it, sql)| format!("  - {}, {}: {}", text(&it.what), text(&it.value), code(sql))));
    }
    lines.extend([String::new(), "</details>".to_owned()]);
}

/// A command, as it is.
fn code(line: &str) -> String {
    let fence = if line.contains('`') { "``" } else { "`" };
    format!("{fence}{}{fence}", line.replace('\n', " "))
}

/// What a reviewer should not overlook, the gravest first.
fn concerns(plan: &Plan, changes: &[&Item]) -> Vec<String> {
    let mut concerns: Vec<String> = Vec::new();
    let failed = || plan.checks.iter().filter(|check| !check.passed);
    concerns
        .extend(failed().filter(|it| it.blocking).map(|it| format!("**blocked**, {}: {}", it.name, text(&it.detail))));
    concerns.extend(plan.for_people().map(|it| {
        let (what, who) = (it.action.name(), text(&it.resource));
        format!("**for a person**, {what} {who}: {}; {}", text(&it.reason), text(&it.guidance))
    }));
    concerns.extend(failed().filter(|it| !it.blocking).map(|it| format!("{}: {}", it.name, text(&it.detail))));
    for item in changes {
        if let Some(rule) = item.override_.as_ref().filter(|rule| rule.rule != "none") {
            let why = rule.reason.as_ref().map_or(String::new(), |why| format!(", {}", text(why)));
            concerns.push(format!(
                "{}: {} by the override for {}{why}",
                text(&item.resource),
                rule.rule,
                text(&rule.pattern)
            ));
        }
        if let Some(advice) = item.advice() {
            concerns.push(format!("{}: {}", text(&item.resource), text(advice)));
        }
    }
    concerns.extend(plan.notes.iter().map(|note| {
        let whose = note.resource.as_ref().map_or(String::new(), |resource| format!("{}: ", text(resource)));
        format!("{whose}{}", text(&note.what))
    }));
    concerns
}

fn section(lines: &mut Vec<String>, title: &str) {
    lines.extend([String::new(), format!("## {title}"), String::new()]);
}

fn table(names: &[&str]) -> [String; 2] {
    [format!("| {} |", names.join(" | ")), format!("|{}", " --- |".repeat(names.len()))]
}

fn row(cells: &[String]) -> String {
    format!("| {} |", cells.join(" | "))
}

fn arrow(before: &str, after: &str) -> String {
    if before == after { before.to_owned() } else { format!("{before} → **{after}**") }
}

fn cores(state: State) -> String {
    state.cpu_cores.map_or_else(|| "no limit".to_owned(), |cores| format!("{cores:.2}"))
}

fn bytes(state: State) -> String {
    state.memory_bytes.map_or_else(|| "no limit".to_owned(), |bytes| format_bytes(bytes as f64))
}

fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "–".to_owned(), |share| format!("{:.1} %", share * 100.0))
}
