//! The simulated changes: what was typed, and what it does to a copy of the inventory.

use crate::failure::{Exit, Failure};
use domain::overrides::{SANE, is_sane, matches};
use domain::plan::{Plan, State};
use domain::units::{format_bytes, parse_bytes, parse_cores};
use domain::what_if::{Inventory, borrow};
use lake::Session;
use stack::parse_target;
use std::collections::BTreeSet;

/// Another limit of a resource.
#[derive(Clone, Debug)]
pub struct Set {
    resource: String,
    limits: State,
}

/// So many times the load of the resources that match.
#[derive(Clone, Debug)]
pub struct Scale {
    pattern: String,
    factor: f64,
}

/// What was done to the copy.
#[derive(Debug, Default)]
pub(super) struct Made {
    /// In words, in order.
    pub(super) words: Vec<String>,
    /// Resources that it touches.
    pub(super) resources: BTreeSet<String>,
}

pub(super) fn parse_set(text: &str) -> Result<Set, String> {
    let wrong = || "write it as env/service.memory=4GiB or env/service.cpu=1.5".to_owned();
    let (name, amount) = text.split_once('=').ok_or_else(wrong)?;
    let (resource, figure) = name.rsplit_once('.').ok_or_else(wrong)?;
    let limits = match figure {
        "memory" => State { memory_bytes: Some(parse_bytes(amount).ok_or_else(wrong)?), ..State::default() },
        "cpu" => State { cpu_cores: Some(parse_cores(amount).ok_or_else(wrong)?), ..State::default() },
        _ => return Err(wrong()),
    };
    if !is_sane(limits) {
        return Err(format!("limits are {SANE}"));
    }
    Ok(Set { resource: resource.to_owned(), limits })
}

pub(super) fn parse_scale(text: &str) -> Result<Scale, String> {
    let wrong = || "write it as env/service=1.5, from 0 to 100".to_owned();
    let (pattern, factor) = text.split_once('=').ok_or_else(wrong)?;
    let factor = factor.parse().ok().filter(|factor| (0.0..=100.0).contains(factor)).ok_or_else(wrong)?;
    Ok(Scale { pattern: pattern.to_owned(), factor })
}

pub(super) fn parse_developers(text: &str) -> Result<i64, String> {
    let number = text.trim_start_matches('+').parse().ok().filter(|n: &i64| *n != 0 && n.abs() <= 10_000);
    number.ok_or_else(|| "write it as +5 or -2".to_owned())
}

fn unknown(resource: &str, inventory: &Inventory) -> Failure {
    let names: Vec<&str> = inventory.keys().map(String::as_str).take(12).collect();
    Failure::new(Exit::Failed, format!("the shadow inventory has no resource {resource}"))
        .hint(format!("it has {}", names.join(", ")))
}

/// Sets limits.
pub(super) fn set(then: &mut Inventory, changes: &[Set], made: &mut Made) -> Result<(), Failure> {
    for Set { resource, limits } in changes {
        if !then.contains_key(resource) {
            return Err(unknown(resource, then));
        }
        let Some(foreseen) = then.get_mut(resource) else { continue };
        foreseen.limits.cpu_cores = limits.cpu_cores.or(foreseen.limits.cpu_cores);
        foreseen.limits.memory_bytes = limits.memory_bytes.or(foreseen.limits.memory_bytes);
        made.words.push(format!("{resource}: {}", in_words(*limits)));
        made.resources.insert(resource.clone());
    }
    Ok(())
}

pub(super) fn in_words(limits: State) -> String {
    let cpu = limits.cpu_cores.map(|cores| format!("{cores} cores"));
    let memory = limits.memory_bytes.map(|bytes| format_bytes(bytes as f64));
    cpu.into_iter().chain(memory).collect::<Vec<_>>().join(", ")
}

/// Scales the load.
pub(super) fn scale(then: &mut Inventory, changes: &[Scale], made: &mut Made) -> Result<(), Failure> {
    for Scale { pattern, factor } in changes {
        let names: Vec<String> = then.keys().filter(|name| matches(pattern, name)).cloned().collect();
        if names.is_empty() {
            return Err(unknown(pattern, then));
        }
        for name in names {
            then.entry(name.clone()).and_modify(|foreseen| foreseen.scale(*factor));
            made.resources.insert(name);
        }
        made.words.push(format!("{pattern}: {factor} times the load"));
    }
    Ok(())
}

/// Adds what a file would deploy; of what is there already it sets the limits.
pub(super) fn deploy(then: &mut Inventory, files: &[String], made: &mut Made) -> Result<(), Failure> {
    for file in files {
        let target = parse_target(file)?;
        let live = tokio::task::block_in_place(|| target.read())?;
        let kin = then.clone();
        for (name, limits) in live.resources {
            if let Some(foreseen) = then.get_mut(&name) {
                foreseen.limits = limits;
                made.words.push(format!("{name}: limits of {file}"));
            } else if let Some(foreseen) = borrow(&name, limits, &kin) {
                made.words.push(format!("{name}: new, foreseen as {}", foreseen.borrowed_from.join(", ")));
                then.insert(name.clone(), foreseen);
            }
            made.resources.insert(name);
        }
    }
    Ok(())
}

/// The limits that a plan would set.
pub(super) fn plan(then: &mut Inventory, plan: &Plan, made: &mut Made) {
    for item in plan.changes() {
        if let Some(foreseen) = then.get_mut(&item.resource) {
            foreseen.limits = item.after;
        }
        made.words.push(format!("{}: {}", item.resource, in_words(item.after)));
        made.resources.insert(item.resource.clone());
    }
}

/// Days from which the elasticity is taken; fewer say nothing.
const DAYS: u64 = 10;

/// More people, and with them more load: as much as the use of a day rose with their number before; in proportion where
/// that cannot be told.
pub(super) async fn developers(
    then: &mut Inventory,
    session: &Session,
    more: i64,
    made: &mut Made,
) -> Result<(), Failure> {
    let rows = session.ask("what_if_developers", &[]).await?.to_json()?;
    let row = rows.first().cloned().unwrap_or_default();
    let Some(most) = row["most"].as_f64().filter(|most| *most > 0.0) else {
        return Err(Failure::new(Exit::Inconclusive, "no event of the last 30 days names a developer")
            .hint("use --scale '*=1.5' instead"));
    };
    let measured = row["elasticity"].as_f64().filter(|_| row["days"].as_u64() >= Some(DAYS));
    let elasticity = measured.map_or(1.0, |measured| measured.clamp(0.0, 1.0));
    let factor = (1.0 + elasticity * more as f64 / most).max(0.0);
    for (name, foreseen) in then.iter_mut() {
        foreseen.scale(factor);
        made.resources.insert(name.clone());
    }
    let how = match measured {
        Some(_) => format!("a day's CPU moved by {:.0} % of the change in developers", elasticity * 100.0),
        None => "in proportion: too few days to measure it".to_owned(),
    };
    made.words.push(format!("{more:+} developers to {most:.0}: {factor:.2} times the load ({how})"));
    Ok(())
}
