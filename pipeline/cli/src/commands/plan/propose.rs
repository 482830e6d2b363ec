//! What follows from predictions beside limits: services and images that coming runs need, weights among neighbours,
//! restarts of what leaks, advice for builds. One kind, one file; each item comes with the query of its rows.

mod builds;
mod jobs;
mod leaks;
mod needs;
mod neighbours;

pub(super) use leaks::culprits;
pub(super) use neighbours::parse_budget;

use super::live::LiveTarget;
use crate::context::Context;
use crate::failure::Failure;
use domain::plan::{Candidate, Evidence, Handling, Item, Note, Proposed, State, Tasked};
use domain::rules::Rules;
use domain::task::TaskRule;
use lake::{Lake, Session};

/// What a plan is made from, as far as it matters here.
pub(super) struct Ground<'a> {
    pub(super) context: &'a Context,
    pub(super) lake: &'a Lake,
    pub(super) session: &'a Session,
    pub(super) rules: &'a Rules,
    pub(super) targets: &'a [LiveTarget],
    pub(super) candidates: &'a [Candidate],
    /// What all resources of the plan have together.
    pub(super) budget: State,
    /// A month of one more core, in the currency of the rates.
    pub(super) core_month: f64,
}

/// What was found, and what its reader should know.
#[derive(Default)]
pub(super) struct Found {
    pub(super) proposals: Vec<Proposed>,
    pub(super) notes: Vec<Note>,
}

/// All of it. A target that was only observed has nothing that could be done, but advice.
pub(super) async fn all(ground: &Ground<'_>) -> Result<Found, Failure> {
    let mut found = Found::default();
    for mut one in [
        needs::found(ground).await?,
        neighbours::found(ground).await?,
        leaks::found(ground)?,
        jobs::found(ground).await?,
        builds::found(ground).await?,
    ] {
        found.proposals.append(&mut one.proposals);
        found.notes.append(&mut one.notes);
    }
    Ok(found)
}

impl Ground<'_> {
    /// What there is to do for these rules, on every target that can; with the rule by its place.
    fn doable(&self, rules: &[TaskRule]) -> Result<Vec<(usize, Tasked)>, Failure> {
        let mut all = Vec::new();
        for on in self.targets {
            let Some(target) = &on.target else { continue };
            for (i, rule) in rules.iter().enumerate() {
                let found = tokio::task::block_in_place(|| target.tasks(std::slice::from_ref(rule)))?;
                all.extend(found.into_iter().map(|it| (i, Tasked { on: on.planned.id.clone(), ..it })));
            }
        }
        Ok(all)
    }

    /// The id of the first target, for what is about none in particular.
    fn first(&self) -> String {
        self.targets.first().map_or_else(String::new, |target| target.planned.id.clone())
    }
}

/// What a target can do, as an item.
fn proposed(it: Tasked, reason: String, evidence: Vec<Evidence>, confidence: Option<f64>) -> Proposed {
    let handling = Handling::task(&it.resource, &it.task);
    Proposed {
        action: Item::action_of(&it.task),
        resource: it.resource,
        on: it.on,
        live: it.live,
        task: Some(it.task),
        refused: it.refused,
        reason,
        evidence,
        confidence,
        handling,
    }
}

/// The service of a resource.
fn service_of(resource: &str) -> &str {
    resource.split_once('/').map_or(resource, |(_, service)| service)
}

/// The pattern that stands for a service of any environment, or of one.
fn anywhere(env: Option<&str>, service: &str) -> String {
    format!("{}/{service}", env.filter(|env| !env.is_empty()).unwrap_or("*"))
}
