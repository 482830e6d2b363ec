//! The shadow inventory and the newest limits, as `domain::what_if` takes them.

use crate::commands::report::time;
use crate::failure::{Exit, Failure};
use domain::plan::State;
use domain::what_if::{Figure, Foreseen, Hour, Inventory};
use lake::Session;
use serde_json::Value;

const HOURS: &str = "
    select
        resource_id, at, schedule_event_id,
        predicted_state['cpu_cores'] as cpu, lower['cpu_cores'] as cpu_lower, upper['cpu_cores'] as cpu_upper,
        daily_peak['cpu_cores'] as cpu_peak, daily_peak_upper['cpu_cores'] as cpu_peak_upper,
        predicted_state['memory_bytes'] as memory, lower['memory_bytes'] as memory_lower,
        upper['memory_bytes'] as memory_upper, daily_peak['memory_bytes'] as memory_peak,
        daily_peak_upper['memory_bytes'] as memory_peak_upper
    from predictions.shadow_inventory
    where last_updated <= (select now from session.clock)
        and last_updated >= (select now from session.clock) - interval '24 hours'
        and at >= (select now from session.clock) - interval '1 hour'
        and (predicted_state['cpu_cores'] is not null or predicted_state['memory_bytes'] is not null)
    order by resource_id, at";

/// Limits of the newest hour that had any.
const LIMITS: &str = "
    select
        resource,
        last_value(cpu_limit_cores order by hour) filter (where cpu_limit_cores is not null) as cpu,
        last_value(memory_limit_bytes order by hour) filter (where memory_limit_bytes is not null) as memory
    from features.resource_hours
    group by resource";

/// Reads both.
pub(super) async fn read(session: &Session) -> Result<Inventory, Failure> {
    let none = || {
        Failure::new(Exit::Inconclusive, "there is no shadow inventory of the last day")
            .hint("`pipeline shadow` makes it")
    };
    if !session.versions.contains_key("predictions.shadow_inventory") {
        return Err(none());
    }
    let mut inventory = Inventory::new();
    for row in session.query(HOURS).await?.to_json()? {
        let (Some(name), Some(at)) = (row["resource_id"].as_str(), time(&row["at"])) else { continue };
        let hour = Hour {
            at,
            cpu: figure(&row, "cpu"),
            memory: figure(&row, "memory"),
            event: row["schedule_event_id"].as_str().map(str::to_owned),
        };
        inventory.entry(name.to_owned()).or_default().hours.push(hour);
    }
    if inventory.is_empty() {
        return Err(none());
    }
    for row in session.query(LIMITS).await?.to_json()? {
        let found: Option<&mut Foreseen> = row["resource"].as_str().and_then(|name| inventory.get_mut(name));
        if let Some(foreseen) = found {
            let memory_bytes = row["memory"].as_f64().map(|bytes| bytes as u64);
            foreseen.limits = State { cpu_cores: row["cpu"].as_f64(), memory_bytes };
        }
    }
    Ok(inventory)
}

fn figure(row: &Value, name: &str) -> Option<Figure> {
    let number = |suffix: &str| row[format!("{name}{suffix}")].as_f64();
    let expected = number("")?;
    let upper = number("_upper").unwrap_or(expected);
    let peak = number("_peak").unwrap_or(expected);
    Some(Figure {
        expected,
        lower: number("_lower").unwrap_or(expected),
        upper,
        peak,
        peak_upper: number("_peak_upper").unwrap_or(upper.max(peak)),
    })
}
