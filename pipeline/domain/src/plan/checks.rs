//! What must hold for a plan to be applied, and what its reader should know.

use super::hold::gate;
use super::{Action, Check, Item, PlanInputs};
use crate::Timestamp;
use crate::overrides::matches;
use crate::time::DAY;

pub(super) fn checks(inputs: &PlanInputs, items: &[Item], now: Timestamp) -> Vec<Check> {
    let mut checks = Vec::new();
    let mut check = |name: &str, passed: bool, blocking: bool, detail: String| {
        checks.push(Check { name: name.into(), passed, blocking, detail });
    };
    let limits =
        items.iter().filter(|item| matches!(item.action, Action::Resize | Action::None) && item.task.is_none());
    let crossed = limits.filter(|item| crosses(inputs, item, now)).count();
    check("overrides_respected", crossed == 0, true, format!("{crossed} items cross an override"));
    let idle = idle_overrides(inputs, now);
    check("overrides_match", idle.is_empty(), false, said(&idle, "every override matches a resource"));
    let tasks = inputs.overrides.task.iter().filter(|rule| !inputs.tasks.iter().any(|it| it.pattern == rule.resource));
    let tasks: Vec<String> = tasks.map(|rule| format!("the task for {} finds nothing to do", rule.resource)).collect();
    if !inputs.overrides.task.is_empty() {
        check("tasks_match", tasks.is_empty(), false, said(&tasks, "every task has something to do"));
    }
    let unclaimed = unclaimed(inputs);
    check(
        "services_match",
        unclaimed.is_empty(),
        false,
        said(&unclaimed, "every service that was recorded is in the target"),
    );
    let age_days = (now.0 - inputs.data_watermark.0) as f64 / DAY as f64;
    check("data_fresh", age_days <= 7.0, false, format!("the newest event is {age_days:.1} days old"));
    if let Some(ours) = inputs.backtest.get(&inputs.policy) {
        for (name, peer) in inputs.backtest.iter().filter(|(name, _)| *name == "vpa" || *name == "krr") {
            let detail = format!(
                "over memory {:.3} % of samples, {name} {:.3} %; throttled {:.2} %, {name} {:.2} %",
                ours.oom_rate * 100.0,
                peer.oom_rate * 100.0,
                ours.throttled_rate * 100.0,
                peer.throttled_rate * 100.0
            );
            let safe = ours.oom_rate <= peer.oom_rate + 1e-9 || ours.throttled_rate <= peer.throttled_rate + 1e-9;
            check(&format!("backtest_beside_{name}"), safe, false, detail);
        }
        let worst =
            inputs.backtest.iter().filter(|(n, _)| **n != inputs.policy).map(|(_, r)| r.oom_rate).fold(0.0, f64::max);
        let detail =
            format!("over memory {:.3} % of samples, worst peer {:.3} %", ours.oom_rate * 100.0, worst * 100.0);
        // Each resource stands for itself: the memory of those that fail is not cut, the others are not held back by them.
        let failed = inputs.candidates.iter().filter(|c| gate(&c.backtest, &inputs.policy).is_some());
        let failed: Vec<&str> = failed.map(|c| c.resource.as_str()).collect();
        let named =
            if failed.is_empty() { String::new() } else { format!("; memory is not cut of {}", failed.join(", ")) };
        check("backtest_memory_safe", failed.is_empty(), false, detail + &named);
    } else {
        // Only a person's rule changes anything then.
        check("backtest_memory_safe", false, false, "no days to replay".into());
    }
    if !inputs.is_live() {
        check("live_target", false, true, "limits are the last ones observed; give --target to apply".into());
    }
    checks
}

/// Whether an item is on the wrong side of a person's rule; a figure that the target refuses to change is not.
fn crosses(inputs: &PlanInputs, item: &Item, now: Timestamp) -> bool {
    let refused = inputs.candidates.iter().find(|c| c.resource == item.resource && c.on == item.on).map(|c| &c.refused);
    inputs.overrides.find(&item.resource, now).is_some_and(|rule| {
        let allowed = rule.constrain(item.before, item.after).0;
        let cpu = allowed.cpu_cores != item.after.cpu_cores && refused.is_none_or(|r| r.cpu.is_none());
        let memory = allowed.memory_bytes != item.after.memory_bytes && refused.is_none_or(|r| r.memory.is_none());
        cpu || memory
    })
}

/// Overrides that do nothing, because they ended or because nothing is called so.
fn idle_overrides(inputs: &PlanInputs, now: Timestamp) -> Vec<String> {
    let idle = inputs.overrides.list.iter().filter_map(|rule| {
        let pattern = &rule.resource;
        if let Some(until) = rule.until.filter(|until| *until <= now) {
            return Some(format!("the override for {pattern} ended at {}", until.minute()));
        }
        if inputs.candidates.iter().any(|c| matches(pattern, &c.resource)) {
            return None;
        }
        let near = inputs.candidates.iter().map(|c| c.resource.as_str()).filter(|name| is_near(pattern, name)).min();
        let near = near.map_or(String::new(), |name| format!("; did you mean {name}?"));
        Some(format!("the override for {pattern} matches no resource of this plan{near}"))
    });
    idle.collect()
}

/// Recorded services that the target does not have, where it has some that were never recorded: renamed, most likely.
fn unclaimed(inputs: &PlanInputs) -> Vec<String> {
    let silent: Vec<&str> =
        inputs.candidates.iter().filter(|c| c.recommendation.is_none()).map(|c| c.resource.as_str()).collect();
    if inputs.unclaimed.is_empty() {
        return Vec::new();
    }
    let most = 10;
    let mut names = inputs.unclaimed.iter().take(most).cloned().collect::<Vec<_>>().join(", ");
    if inputs.unclaimed.len() > most {
        names.push_str(&format!(" and {} more", inputs.unclaimed.len() - most));
    }
    let mut text = format!("usage is recorded of {names}, not in the target");
    if !silent.is_empty() {
        text.push_str(&format!("; no usage of {}: was a service renamed?", silent.join(", ")));
    }
    vec![text]
}

fn said(found: &[String], otherwise: &str) -> String {
    if found.is_empty() { otherwise.to_owned() } else { found.join("; ") }
}

/// Whether two names differ by so little that one may be the other, mistyped: at most two letters added, dropped, changed
/// or swapped with their neighbour.
fn is_near(a: &str, b: &str) -> bool {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    // Optimal string alignment, three rows.
    let mut rows = vec![vec![0; b.len() + 1]; 3];
    rows[1] = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let changed = rows[1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = changed.min(rows[1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(rows[0][j - 2] + 1);
            }
        }
        rows = vec![rows[1].clone(), row, Vec::new()];
    }
    rows[1].last().is_some_and(|distance| *distance <= 2)
}
