//! A plan of tasks on its way to a person: into the ledger, the lake and a file.

use crate::context::Context;
use crate::failure::Failure;
use crate::ledger::{Act, Ledger, enter};
use crate::plan_file::{may_replace, write_plan};
use domain::plan::{Check, Plan, PlanInputs, plan_tasks};
use domain::privacy::Privacy;
use lake::Lake;
use std::path::Path;

/// Makes a plan of the tasks of `inputs`, and writes it: the file last, so that no file is without its entry.
pub async fn publish(
    context: &Context,
    (lake, privacy): (&Lake, &Privacy),
    mut inputs: PlanInputs,
    checks: &[Check],
    output: &Path,
) -> Result<Plan, Failure> {
    may_replace(output)?;
    let _writing = lake.writing("plan").await?;
    loop {
        inputs.salt = Ledger::proven(lake, privacy).await?.head().to_owned();
        let plan = plan_tasks(&inputs, checks.to_vec(), context.now);
        let items: Vec<String> = plan.changes().map(|item| item.id.clone()).collect();
        // Of two that made the same plan at once, the other's was entered first: this one is another.
        if enter(context, lake, privacy, Act { plan: &plan, action: "plan", items: &items, result: "made" }).await? {
            lake.write_document(&format!("plans/{}/plan.json", plan.plan_id), &plan).await?;
            write_plan(output, &plan)?;
            lake.write_plan_items(&plan).await?;
            return Ok(plan);
        }
    }
}
