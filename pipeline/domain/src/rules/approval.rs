//! What a reviewed file may say yes to in the place of a person: these actions, below this risk, so many, at these hours.

use crate::Timestamp;
use crate::hours::{Hours, Timetable};
use crate::overrides::matches;
use crate::plan::{Action, Item, Level};
use serde::Deserialize;

/// `[approve]` of the rules file.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Form")]
pub struct AutoApproval {
    /// Only these.
    pub actions: Vec<Action>,
    /// No riskier than this.
    pub most_risk: Level,
    /// So many items of a plan at most; one with more is for a person as a whole.
    pub most_items: usize,
    /// Of which resources; `*` stands for any run of characters.
    pub resource: String,
    /// When it may be said; always where there is none.
    pub window: Vec<Hours>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    actions: Vec<Action>,
    most_risk: Level,
    most_items: usize,
    #[serde(default = "super::all")]
    resource: String,
    #[serde(default)]
    window: Vec<Hours>,
}

impl TryFrom<Form> for AutoApproval {
    type Error = String;

    fn try_from(form: Form) -> Result<Self, String> {
        let Form { actions, most_risk, most_items, resource, window } = form;
        if actions.is_empty() || most_items == 0 {
            return Err("[approve] that approves nothing: leave it out".to_owned());
        }
        Timetable { window: window.clone(), quiet: Vec::new() }.check()?;
        Ok(Self { actions, most_risk, most_items, resource, window })
    }
}

/// What a file says to the changes of a plan.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Candidates<'a> {
    /// These may be approved.
    pub yes: Vec<&'a Item>,
    /// These are for a person, and why.
    pub no: Vec<(&'a Item, String)>,
}

impl AutoApproval {
    /// Which of these changes may be approved now.
    ///
    /// # Errors
    /// Why none may, in words: it is not the time, or there are too many.
    pub fn of<'a>(&self, changes: impl Iterator<Item = &'a Item>, now: Timestamp) -> Result<Candidates<'a>, String> {
        let mut said = Candidates::default();
        let hours = Timetable { window: self.window.clone(), quiet: Vec::new() };
        for item in changes {
            match self.why_not(item) {
                Some(why) => said.no.push((item, why)),
                None => said.yes.push(item),
            }
        }
        if let Some(why) = said.yes.iter().find_map(|item| hours.allows(&item.resource, now).err()) {
            return Err(format!("it is not the time: {}", why.why));
        }
        if said.yes.len() > self.most_items {
            return Err(format!("{} items, and at most {} are approved so", said.yes.len(), self.most_items));
        }
        Ok(said)
    }

    fn why_not(&self, item: &Item) -> Option<String> {
        if !self.actions.contains(&item.action) {
            return Some(format!("{} is not among the actions", item.action.name()));
        }
        if !matches(&self.resource, &item.resource) {
            return Some(format!("it is not {}", self.resource));
        }
        match &item.handling {
            None => Some("its risk is not known".to_owned()),
            Some(handling) if handling.risk > self.most_risk => {
                Some(format!("its risk is {}: {}", handling.risk.name(), handling.risk_why))
            }
            Some(_) => None,
        }
    }
}
