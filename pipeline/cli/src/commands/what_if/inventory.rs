//! The shadow inventory and the newest limits, as `domain::what_if` takes them.

use crate::commands::report::time;
use crate::failure::{Exit, Failure};
use domain::plan::State;
use domain::what_if::{Figure, Foreseen, Hour, Inventory};
use lake::Session;
use serde_json::Value;

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
    for row in session.ask("what_if_hours", &[]).await?.to_json()? {
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
    for row in session.ask("what_if_limits", &[]).await?.to_json()? {
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
