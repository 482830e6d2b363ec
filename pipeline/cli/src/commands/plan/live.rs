//! What is live: of each target, or, without one, what was last observed.

use crate::failure::{Exit, Failure};
use domain::plan::{PlannedTarget, State, TargetRef, Tasked};
use domain::task::TaskRule;
use learn::usage::Usage;
use stack::{Live, Target, parse_target};
use std::collections::BTreeMap;

/// A target of the plan to be, as it was read.
#[derive(Debug)]
pub struct LiveTarget {
    /// How the plan names it.
    pub planned: PlannedTarget,
    /// It; none where limits were only observed.
    pub target: Option<Box<dyn Target>>,
    /// What is set on it.
    pub live: Live,
}

/// Reads the targets, in the order in which they were named.
pub fn read(specs: &[String], usage: &Usage) -> Result<Vec<LiveTarget>, Failure> {
    if specs.is_empty() {
        return Ok(vec![observed(usage)?]);
    }
    let mut all: Vec<LiveTarget> = Vec::new();
    let mut seen: Vec<(String, &String)> = Vec::new();
    for spec in specs {
        let target = parse_target(spec)?;
        let reference = target.reference();
        if all.iter().any(|other| other.planned.reference() == reference) {
            return Err(Failure::new(Exit::Usage, format!("--target {spec} was given twice")));
        }
        // The Engine is asked over the network or a socket: this thread may wait.
        let live = tokio::task::block_in_place(|| target.read())?;
        // Each target is held for itself: one that was named twice could never be applied.
        let own = tokio::task::block_in_place(|| target.identities())?;
        if let Some((_, first)) = seen.iter().find(|(known, _)| own.contains(known)) {
            return Err(Failure::new(Exit::Usage, format!("--target {spec} is the same as --target {first}")).hint(
                "name it once; symbolic and hard links lead to the same file, and Compose reads an override by itself",
            ));
        }
        seen.extend(own.into_iter().map(|identity| (identity, spec)));
        let nth = all.iter().filter(|other| other.planned.kind == reference.kind).count() + 1;
        let id = if nth == 1 { reference.kind.clone() } else { format!("{}-{nth}", reference.kind) };
        all.push(LiveTarget { planned: PlannedTarget::new(id, reference, &live.digest), target: Some(target), live });
    }
    Ok(all)
}

/// What people want done beside limits, as far as this target has it.
pub(super) fn tasks(on: &LiveTarget, rules: &[TaskRule]) -> Result<Vec<Tasked>, Failure> {
    let Some(target) = &on.target else { return Ok(Vec::new()) };
    let found = tokio::task::block_in_place(|| target.tasks(rules))?;
    Ok(found.into_iter().map(|it| Tasked { on: on.planned.id.clone(), ..it }).collect())
}

fn observed(usage: &Usage) -> Result<LiveTarget, Failure> {
    let resources: BTreeMap<String, State> =
        usage.resources().map(|name| (name.to_owned(), usage.live_limits(name))).collect();
    let text = serde_json::to_string(&resources).map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
    let digest = format!("sha256:{}", domain::ledger::sha256_hex(text.as_bytes()));
    let reference = TargetRef { kind: "observed".into(), location: "marts.usage".into() };
    let live = Live { digest, resources, ..Live::default() };
    Ok(LiveTarget { planned: PlannedTarget::new("observed".into(), reference, &live.digest), target: None, live })
}
