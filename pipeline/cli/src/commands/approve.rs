//! `approve`: a person's yes.

use crate::artifacts::{Approval, approval_path, enter, read_plan};
use crate::context::{Answer, Context, person};
use crate::failure::{Exit, Failure};
use clap::Args;
use serde_json::json;
use std::path::PathBuf;

/// What `approve` takes.
#[derive(Debug, Args)]
pub struct ApproveArgs {
    /// The plan file
    plan: PathBuf,
    /// Only these items [default: every change]
    #[arg(long, value_name = "ID", num_args = 1..)]
    item: Vec<String>,
}

/// Records the approval in the lake, bound to the plan's digest.
pub async fn run(context: &Context, args: ApproveArgs) -> Result<Answer, Failure> {
    let plan = read_plan(&args.plan)?;
    let (lake, privacy) = context.lake_with_key().await?;
    if !plan.applyable {
        let why: Vec<&str> = plan.checks.iter().filter(|c| c.blocking && !c.passed).map(|c| c.name.as_str()).collect();
        let why = if why.is_empty() { "it changes nothing".to_owned() } else { why.join(", ") };
        return Err(Failure::new(Exit::Refused, format!("{} cannot be applied: {why}", plan.plan_id))
            .hint("make a plan with --target and enough data"));
    }
    if context.now > plan.expires_at {
        return Err(Failure::new(Exit::Refused, format!("{} expired at {}", plan.plan_id, plan.expires_at))
            .hint("make a new plan from today's data"));
    }
    let all: Vec<String> = plan.changes().map(|item| item.id.clone()).collect();
    if let Some(unknown) = args.item.iter().find(|id| !all.contains(id)) {
        return Err(Failure::new(Exit::Usage, format!("{} has no change {unknown}", plan.plan_id))
            .hint(format!("its changes are {}", all.join(", "))));
    }
    let mut items = if args.item.is_empty() { all.clone() } else { args.item };
    // A second yes adds to the first.
    if let Some(earlier) = lake.document::<Approval>(&approval_path(&plan)).await?.filter(|a| a.digest == plan.digest) {
        items = all.into_iter().filter(|id| items.contains(id) || earlier.items.contains(id)).collect();
    }
    let approval = Approval {
        plan_id: plan.plan_id.clone(),
        digest: plan.digest.clone(),
        items: items.clone(),
        who: privacy.person(&person()),
        at: context.now,
    };
    lake.write_document(&approval_path(&plan), &approval).await?;
    enter(context, &lake, &privacy, &plan, "approve", items.clone(), "approved").await?;
    context.say(format!("approved: {} changes of {}", items.len(), plan.plan_id));
    Ok(Answer::done(json!(approval)))
}
