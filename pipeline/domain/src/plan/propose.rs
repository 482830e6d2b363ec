//! What follows from a prediction beside limits: an item that comes with its rows, what it brings and how it is undone.

use super::handling::Handling;
use super::{Action, Evidence, Item};
use crate::overrides::{Applied, Override};
use crate::state::State;
use crate::task::Task;

/// An adjustment, or advice where nothing of it can be carried out.
#[derive(Clone, Debug, PartialEq)]
pub struct Proposed {
    /// `env/service`, an image, or a job of a repository.
    pub resource: String,
    /// The target that it is about.
    pub on: String,
    /// Its limits, which stay.
    pub live: State,
    /// What kind of change it is.
    pub action: Action,
    /// What is carried out; none where it is for a person.
    pub task: Option<Task>,
    /// Why the target would not do it.
    pub refused: Option<String>,
    /// Why, in one sentence.
    pub reason: String,
    /// The rows.
    pub evidence: Vec<Evidence>,
    /// 0 to 1, where it was measured.
    pub confidence: Option<f64>,
    /// The rest.
    pub handling: Handling,
}

impl Proposed {
    /// Whether it does what a person's rule already asks for.
    pub(super) fn is_about(&self, resource: &str, on: &str, task: &Task) -> bool {
        let same = Task::rank(self.task.as_ref()) == Task::rank(Some(task)) && self.task.is_some();
        self.resource == resource && self.on == on && same
    }

    /// The item; a person's freeze keeps it from being carried out.
    pub(super) fn item(&self, rule: Option<&Override>) -> Item {
        let frozen = rule.filter(|rule| rule.freeze && self.task.is_some());
        let refused = match (frozen, &self.refused) {
            (Some(rule), _) => Some(rule.reason.clone().unwrap_or_else(|| "an override freezes it".to_owned())),
            (None, refused) => refused.clone(),
        };
        let action = if refused.is_some() { Action::None } else { self.action };
        let back = match (action, self.task.is_some()) {
            (Action::Resize, true) => Action::Resize,
            (Action::Prioritize, true) => Action::Prioritize,
            (Action::Provision, true) => Action::Deprovision,
            (Action::Deprovision, true) => Action::Provision,
            _ => Action::None,
        };
        let reason = match &refused {
            Some(why) => format!("{}; not done: {why}", self.reason),
            None => self.reason.clone(),
        };
        Item {
            reason,
            confidence: self.confidence,
            evidence: self.evidence.clone(),
            override_: frozen.map(|rule| Applied {
                rule: "freeze".into(),
                pattern: rule.resource.clone(),
                reason: rule.reason.clone(),
            }),
            task: self.task.clone(),
            guidance: self.handling.steps.join("; "),
            handling: Some(self.handling.clone()),
            ..Item::beside_limits(&self.resource, &self.on, self.live, [action, back])
        }
    }
}
