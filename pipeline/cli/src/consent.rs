//! What counts as a yes: the one place that `apply` and `stack advance` ask before they act.

use crate::commands::approve::in_time;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::ledger::Ledger;
use crate::signature::Keys;
use clap::Args;
use domain::ledger::Entry;
use domain::plan::Plan;
use domain::privacy::Privacy;
use lake::Lake;
use std::path::PathBuf;

/// Which approvals count.
#[derive(Debug, Args)]
pub struct Consent {
    /// Accept only approvals signed with one of these Ed25519 public keys, in PEM
    #[arg(long, value_name = "KEYS")]
    require_signature: Option<PathBuf>,
    /// Accept only approvals by somebody other than the maker of the plan
    #[arg(long)]
    require_other_approver: bool,
}

impl Consent {
    /// The approved items of exactly this plan, in its order, or the reason why there are none. The ledger says so, and
    /// nothing else of the lake.
    pub async fn to(
        &self,
        context: &Context,
        lake: &Lake,
        privacy: &Privacy,
        plan: &Plan,
    ) -> Result<Vec<String>, Failure> {
        let keys = self.require_signature.as_deref().map(Keys::read).transpose()?;
        let refused = |what: String, hint: &str| Err(Failure::new(Exit::Refused, what).hint(hint));
        let ledger = Ledger::proven(lake, privacy).await?;
        let made = ledger.made(plan)?;
        ledger.at_its_time(context, plan)?;
        // What follows a calendar goes on with it: one that ended half-way would leave the limits of its quiet hours.
        let follows = plan.changes().any(|item| item.calendar.is_some()) && ledger.tells(plan, "apply");
        if !follows {
            in_time(context, lake, privacy, &ledger, plan).await?;
        }
        let all = ledger.approved(plan);
        let is_signed = |entry: &Entry| keys.as_ref().is_none_or(|keys| keys.have_signed(entry));
        let is_other = |entry: &Entry| !self.require_other_approver || entry.who != made.who;
        let items = ledger.approved_where(plan, &|entry| is_signed(entry) && is_other(entry));
        // What was said yes to in another way is not left out in silence.
        if items != all {
            let (missing, hint) = match all.iter().all(|id| ledger.approved_where(plan, &is_signed).contains(id)) {
                true => (
                    "approved by nobody but the one who made the plan",
                    "somebody else says yes with `pipeline approve`",
                ),
                false => ("approved without a signature by one of the keys", "`pipeline approve --key F` signs"),
            };
            let left: Vec<&str> = all.iter().filter(|id| !items.contains(id)).map(String::as_str).collect();
            return refused(format!("{} of {} are {missing}", left.join(", "), plan.plan_id), hint);
        }
        if items.is_empty() {
            return refused(format!("{} was not approved", plan.plan_id), "a person says yes with `pipeline approve`");
        }
        let standing = ledger.standing(plan);
        if !standing.is_empty() {
            let what = format!("{} has critical findings of what-if: {}", plan.plan_id, standing.join(", "));
            return refused(
                what,
                "make another plan, or a person sets one aside with `pipeline approve PLAN --despite FINDING`",
            );
        }
        if !plan.applyable {
            return refused(format!("{} cannot be applied", plan.plan_id), "its checks say why");
        }
        Ok(items)
    }
}
