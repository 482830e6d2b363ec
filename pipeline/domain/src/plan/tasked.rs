//! What a person wants done beside limits, and the item of a plan that it becomes.

use super::{Action, Item};
use crate::overrides::Applied;
use crate::state::State;
use crate::task::Task;

/// Something that a person wants done beside limits.
#[derive(Clone, Debug, PartialEq)]
pub struct Tasked {
    /// `env/service`.
    pub resource: String,
    /// The target that has it.
    pub on: String,
    /// Its limits, which stay.
    pub live: State,
    /// What.
    pub task: Task,
    /// The rule that asks for it, as the pattern of its resource.
    pub pattern: String,
    /// Why.
    pub reason: Option<String>,
    /// Why the target would not do it.
    pub refused: Option<String>,
}

impl Tasked {
    pub(super) fn item(&self) -> Item {
        let action = if self.refused.is_some() { Action::None } else { Item::action_of(&self.task) };
        let back = match action {
            Action::Prioritize => Action::Prioritize,
            Action::Provision => Action::Deprovision,
            Action::Deprovision => Action::Provision,
            Action::Route => Action::Route,
            Action::Deploy => Action::Deploy,
            _ => Action::None,
        };
        let why = self.reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
        let refused = self.refused.as_ref().map_or_else(String::new, |why| format!("; not done: {why}"));
        // What a stack declares is no task of a person's rules.
        let asked = match self.task {
            Task::Deploy(_) | Task::Route { .. } => "",
            _ => ", asked for by a task",
        };
        Item {
            reason: format!("{}{asked}{why}{refused}", self.task.in_words()),
            override_: Some(Applied {
                rule: "task".into(),
                pattern: self.pattern.clone(),
                reason: self.reason.clone(),
            }),
            task: Some(self.task.clone()),
            ..Item::beside_limits(&self.resource, &self.on, self.live, [action, back])
        }
    }
}
