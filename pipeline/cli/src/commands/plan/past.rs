//! What a plan has to know of each resource beside its usage: when a plan last changed it, what its service is configured to
//! take, and what its machine has.

use super::foreseen::{by_resource, state_of};
use crate::failure::{Exit, Failure};
use domain::Timestamp;
use domain::nodes::{Machine, Nodes};
use domain::own_memory::{OwnMemory, settings};
use domain::plan::State;
use lake::Session;
use learn::usage::Usage;
use serde_json::Value;
use stack::Target;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

const EVENTS: &str = "staging.events";

/// The newest adjustment of each resource up to now, and its limits before it.
pub(super) async fn resized(session: &Session) -> Result<BTreeMap<String, (Timestamp, State)>, Failure> {
    let resized = |row: &Value| {
        let before: State = serde_json::from_str(row["before"].as_str()?).ok()?;
        Some((Timestamp::parse(row["ts"].as_str()?)?, before))
    };
    by_resource(session, EVENTS, "plan_resized", resized).await
}

/// The applied plan by whose calendar the limits of a resource are switched.
pub(super) async fn following(session: &Session) -> Result<BTreeMap<String, String>, Failure> {
    by_resource(session, EVENTS, "plan_following", |row| Some(row["plan_id"].as_str()?.to_owned())).await
}

/// What each service is configured to take, as far as its target tells.
pub(super) fn own(target: Option<&dyn Target>) -> Result<BTreeMap<String, Vec<OwnMemory>>, Failure> {
    let setups = tokio::task::block_in_place(|| target.map(|target| target.setups()).transpose())?.unwrap_or_default();
    Ok(setups.into_iter().map(|(resource, setup)| (resource, settings(&setup))).collect())
}

/// The machines of a file.
pub fn read_nodes(path: Option<&Path>) -> Result<Nodes, Failure> {
    let Some(path) = path else { return Ok(Nodes::default()) };
    let text = fs::read_to_string(path).map_err(|error| Failure::file("read", path, &error))?;
    let wrong = |what: String| {
        Failure::new(Exit::Failed, format!("{}: {what}", path.display()))
            .hint("a machine is a [[node]] table with cpu and memory, and resource where it runs only some")
    };
    let nodes: Nodes = toml::from_str(&text).map_err(|error| wrong(crate::failure::in_toml(&text, &error)))?;
    nodes.validate().map_err(wrong)?;
    Ok(nodes)
}

/// What the samples of each resource tell of its machine; the largest, where it ran on several.
async fn measured(session: &Session) -> Result<BTreeMap<String, Machine>, Failure> {
    let machine = |row: &Value| Some(Machine { size: state_of(row, "cpu", "memory"), told: true });
    by_resource(session, EVENTS, "plan_machines", machine).await
}

/// The room for each resource: as the file says, else as its samples tell, else as its environment was seen to have.
pub(super) async fn machines(
    session: &Session,
    names: &BTreeSet<String>,
    nodes: &Nodes,
    usage: &Usage,
) -> Result<BTreeMap<String, Machine>, Failure> {
    let measured = measured(session).await?;
    let mut seen: BTreeMap<&str, Machine> = BTreeMap::new();
    let machines = names.iter().map(|name| {
        let env = env_of(name);
        let seen = *seen.entry(env).or_insert_with(|| Machine::seen(usage.largest(env)));
        let known = measured.get(name).map_or(seen, |machine| Machine {
            size: State {
                cpu_cores: machine.size.cpu_cores.or(seen.size.cpu_cores),
                memory_bytes: machine.size.memory_bytes.or(seen.size.memory_bytes),
            },
            told: machine.told,
        });
        (name.clone(), nodes.machine(name, known))
    });
    Ok(machines.collect())
}

/// Resources that were recorded in the environments of a target, and which it does not have.
pub(super) fn unclaimed(names: &BTreeSet<String>, usage: &Usage) -> Vec<String> {
    let environments: BTreeSet<&str> = names.iter().map(|name| env_of(name)).collect();
    let recorded = usage.resources().filter(|name| name.contains('/') && environments.contains(env_of(name)));
    recorded.filter(|name| !names.contains(*name)).map(str::to_owned).collect()
}

fn env_of(resource: &str) -> &str {
    resource.split_once('/').map_or(resource, |(env, _)| env)
}
