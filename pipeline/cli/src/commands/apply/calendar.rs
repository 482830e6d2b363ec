//! `apply` of a plan whose limits follow a calendar: to those that hold now, and at each later call to those that hold then.

use crate::context::{Answer, Context};
use crate::failure::Failure;
use crate::ledger::{Act, enter};
use crate::targets::Targets;
use domain::plan::{Item, Plan};
use domain::privacy::Privacy;
use domain::units::counted;
use lake::Lake;
use serde_json::json;
use stack::{Change, Figure, Held, How, Journal, Wanted};

/// The changes of a plan, to the limits that hold now. Where more memory is in use than quiet hours give, it begins with the
/// highest limit: a later call lowers it.
pub(super) fn changes(
    context: &Context,
    targets: &Targets,
    plan: &Plan,
    items: &[String],
) -> Result<Vec<Change>, Failure> {
    let mut changes = Change::now(plan, items, context.now);
    let highest = |change: &Change| plan.items.iter().find(|item| item.id == change.item_id).map(|item| item.after);
    if !changes.iter().any(|change| change.follows && highest(change) != Some(change.after)) {
        return Ok(changes);
    }
    for (planned, target) in targets.iter() {
        let own = changes.iter().filter(|change| change.follows && change.on == planned.id);
        let own: Vec<Change> = own.cloned().collect();
        for refusal in tokio::task::block_in_place(|| target.refusals(&own))? {
            let of_it = |change: &&mut Change| change.item_id == refusal.item_id && refusal.figure == Figure::Memory;
            if let Some(change) = changes.iter_mut().find(of_it) {
                change.after.memory_bytes = highest(change).and_then(|limits| limits.memory_bytes);
            }
        }
    }
    Ok(changes)
}

/// The approved items of a plan that follow a calendar.
pub(super) fn followers<'p>(plan: &'p Plan, items: &[String]) -> Vec<&'p Item> {
    plan.changes().filter(|item| item.calendar.is_some() && items.contains(&item.id)).collect()
}

/// Takes an applied plan to the limits that hold now.
pub(super) async fn switch(
    context: &Context,
    (lake, privacy): (&Lake, &Privacy),
    (plan, items): (&Plan, &[&Item]),
    (targets, held): (&Targets, &mut [Held]),
    (journal, how): (&mut Journal, &How),
) -> Result<Answer, Failure> {
    let wanted: Vec<Wanted> =
        items.iter().map(|item| Wanted { item_id: item.id.clone(), limits: item.limits_at(how.now) }).collect();
    let done = {
        let mut save = |journal: &Journal| targets.keep(lake, plan, journal);
        tokio::task::block_in_place(|| stack::switch(held, &wanted, journal, how, &mut save))?
    };
    let ids: Vec<String> = items.iter().map(|item| item.id.clone()).collect();
    // Also the last one of a run that was killed before it could write it down.
    if let Some(last) = &journal.switched {
        let result = format!("limits of the calendar at {}", last.at);
        enter(context, lake, privacy, Act { plan, action: "switch", items: &ids, result: &result }).await?;
    }
    let brief = match done.changed.len() {
        0 => format!("already applied: {} with the limits that hold now", counted(ids.len(), "item")),
        n => format!("switched: {} of {} to the limits that hold now", counted(n, "container"), targets.in_words()),
    };
    context.say_wrapped("", &brief, 4);
    done.changed.iter().for_each(|what| context.say_wrapped("  switched  ", what, 12));
    done.stays.iter().for_each(|why| context.say_wrapped("  stays     ", why, 12));
    let result = if done.changed.is_empty() { "already applied" } else { "switched" };
    let json = json!({
        "plan_id": plan.plan_id, "result": result, "items": ids, "switched": done.changed, "stays": done.stays,
    });
    Ok(Answer::done(json).brief(brief))
}
