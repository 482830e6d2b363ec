//! What is done about a limit that will be passed whatever else is changed: more of it, a fresh start, a redundant instance, or the
//! last good state.

use super::handling::{Handling, Level, resize};
use super::{Action, Evidence, Item, PlannedTarget};
use crate::overrides::Override;
use crate::state::State;
use crate::task::Task;

/// What helps.
#[derive(Clone, Debug, PartialEq)]
pub enum Means {
    /// Other limits.
    Limits(State),
    /// What the target can do by itself: start it again, or start another instance.
    Task(Task),
    /// What a person does, step by step, and undoes.
    Person(Action, Vec<String>, Vec<String>),
}

/// One remedy for one resource.
#[derive(Clone, Debug, PartialEq)]
pub struct Remedy {
    /// `env/service`.
    pub resource: String,
    /// Its limits now.
    pub live: State,
    /// What helps.
    pub means: Means,
    /// Why it would not be done.
    pub refused: Option<String>,
    /// What is foreseen, in one sentence.
    pub reason: String,
    /// The rows behind it.
    pub evidence: Vec<Evidence>,
}

impl Remedy {
    /// The item on a target. A person's rule comes last: no figure crosses it, and what is frozen is left as it is.
    pub fn item(&self, on: &PlannedTarget, rule: Option<&Override>) -> Item {
        let frozen = rule.filter(|rule| rule.freeze);
        let (mut action, mut after, task, back) = match &self.means {
            Means::Limits(after) => (Action::Resize, *after, None, Action::Resize),
            Means::Task(task) => {
                let action = Item::action_of(task);
                let back = if action == Action::Provision { Action::Deprovision } else { Action::None };
                (action, self.live, Some(task.clone()), back)
            }
            Means::Person(action, ..) => (*action, self.live, None, Action::None),
        };
        let mut applied = None;
        if let (Some(rule), Means::Limits(wanted)) = (rule, &self.means) {
            let (ruled, by) = rule.constrain(self.live, *wanted);
            (after, applied) = (ruled, Some(by));
        }
        // A rule that allows less than is needed leaves some of the need unmet, and says so.
        let is_short = |wanted: &State| after.cpu_cores < wanted.cpu_cores || after.memory_bytes < wanted.memory_bytes;
        let short = match (&self.means, &applied) {
            (Means::Limits(wanted), Some(by)) if is_short(wanted) => {
                format!("; the {} of {} allows less than that", by.rule, by.pattern)
            }
            _ => String::new(),
        };
        let mut refused = self.refused.clone();
        if let (Some(rule), Means::Task(_)) = (frozen, &self.means) {
            refused = Some(rule.reason.clone().unwrap_or_else(|| "an override freezes it".to_owned()));
        } else if matches!(self.means, Means::Limits(_)) && after == self.live {
            let why =
                if applied.is_some() { "an override does not allow more" } else { "its limits hold that already" };
            refused = refused.or_else(|| Some(why.to_owned()));
        }
        if refused.is_some() {
            (action, after) = (Action::None, self.live);
        }
        let not_done = refused.as_ref().map_or_else(String::new, |why| format!("; not done: {why}"));
        let mut item = Item {
            after,
            reason: format!("{}{short}{not_done}", self.reason),
            target: after,
            evidence: self.evidence.clone(),
            override_: applied,
            task,
            ..Item::beside_limits(&self.resource, &on.id, self.live, [action, back])
        };
        item.handling = match &self.means {
            _ if action == Action::None => None,
            Means::Limits(_) => Some(resize(&item, Some(on))),
            Means::Task(task) => Some(Handling::task(&self.resource, task)),
            Means::Person(_, steps, undo) => Some(Handling {
                impact: "what is foreseen does not come".to_owned(),
                risk: Level::Medium,
                risk_why: "apply does nothing: a person decides".to_owned(),
                steps: steps.clone(),
                undo: undo.clone(),
            }),
        };
        item.guidance = item.handling.as_ref().map(|handling| handling.steps.join("; ")).unwrap_or_default();
        item
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::overrides::Overrides;
    use crate::units::GIB;

    fn remedy(means: Means) -> Remedy {
        let live = State { cpu_cores: Some(1.0), memory_bytes: Some(2 * GIB) };
        Remedy {
            resource: "a/web".into(),
            live,
            means,
            refused: None,
            reason: "it is killed".into(),
            evidence: Vec::new(),
        }
    }

    fn on() -> PlannedTarget {
        PlannedTarget { id: "compose".into(), kind: "compose".into(), ..PlannedTarget::default() }
    }

    #[test]
    fn limits_are_raised_up_to_what_a_rule_allows() {
        let wanted = State { memory_bytes: Some(4 * GIB), ..remedy(Means::Task(Task::Restart)).live };
        let item = remedy(Means::Limits(wanted)).item(&on(), None);
        assert!(item.is_change() && item.after == wanted && item.inverse.after.memory_bytes == Some(2 * GIB));
        for (rule, after) in [("ceiling = {memory = \"3GiB\"}", 3), ("freeze = true", 2)] {
            let overrides: Overrides = serde_json::from_value(serde_json::json!({"override": [match rule {
                "freeze = true" => serde_json::json!({"resource": "a/*", "freeze": true}),
                _ => serde_json::json!({"resource": "a/*", "ceiling": {"memory": "3GiB"}}),
            }]}))
            .unwrap();
            let item = remedy(Means::Limits(wanted)).item(&on(), overrides.find("a/web", crate::Timestamp(0)));
            assert_eq!((item.after.memory_bytes, item.is_change()), (Some(after * GIB), after != 2), "{rule}");
        }
    }

    #[test]
    fn what_a_person_does_is_no_change_and_what_the_target_does_is() {
        let steps = Means::Person(Action::Deploy, vec!["pipeline rollback plan.json".into()], Vec::new());
        let item = remedy(steps).item(&on(), None);
        assert!(!item.is_change() && item.guidance.contains("rollback"));
        assert!(remedy(Means::Task(Task::Restart)).item(&on(), None).is_change());
        let refused = Remedy { refused: Some("it is not there".into()), ..remedy(Means::Task(Task::Restart)) };
        assert!(refused.item(&on(), None).action == Action::None);
    }
}
