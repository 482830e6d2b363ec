//! What a plan rests on, then and now: the newest sample, the models in use, the newest forecast of each resource.

use super::foreseen::state_of;
use crate::artifacts::champion;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use domain::Timestamp;
use domain::plan::{Forecast, ModelRef, Plan, State, Today};
use lake::{Lake, Session};
use std::collections::BTreeSet;

/// The newest forecast of each resource up to the clock, of its whole horizon: an hour later it is the same.
pub async fn forecasts(session: &Session, of: Option<&BTreeSet<String>>) -> Result<Vec<Forecast>, Failure> {
    if !session.versions.contains_key("predictions.shadow_inventory") {
        return Ok(Vec::new());
    }
    let rows = session.ask("plan_forecasts", &[]).await?.to_json()?;
    let forecasts = rows.into_iter().filter_map(|row| {
        let upper = state_of(&row, "cpu", "memory");
        let model = row["model"].as_str().unwrap_or_default().to_owned();
        Some(Forecast { resource: row["resource"].as_str()?.to_owned(), upper, model })
    });
    Ok(forecasts.filter(|one| of.is_none_or(|names| names.contains(&one.resource))).collect())
}

/// Whether a kind of target has jobs of a CI system, which are sized from their runs and not from samples.
pub fn is_of_jobs(kind: &str) -> bool {
    matches!(kind, "actions" | "gitlab" | "circleci")
}

/// The end of the newest run of a CI system.
pub async fn newest_run(session: &Session) -> Result<Option<Timestamp>, Failure> {
    let newest = "select max(ended_at) as newest from marts.runs
        where type = 'ci_run' and ended_at <= (select now from session.clock)";
    newest_of(session, newest).await
}

async fn newest_of(session: &Session, sql: &str) -> Result<Option<Timestamp>, Failure> {
    let newest = session.query(sql).await?.to_json()?;
    Ok(newest.first().and_then(|row| Timestamp::parse(row["newest"].as_str()?)))
}

/// Refuses a plan that rests on what moved beyond its tolerance since, for these items.
pub async fn still_holds(context: &Context, lake: &Lake, plan: &Plan, items: &[String]) -> Result<(), Failure> {
    let Some(basis) = &plan.basis else { return Ok(()) };
    let session = lake.session(context.now).await?;
    let data_watermark = match plan.targets.iter().all(|target| is_of_jobs(&target.kind)) {
        true => newest_run(&session).await?,
        false => {
            let newest = "select max(ts) as newest from marts.usage where ts <= (select now from session.clock)";
            newest_of(&session, newest).await?
        }
    };
    let mut models = Vec::new();
    for model in &basis.models {
        let kept = champion(lake, &model.name, context.now).await?;
        models.extend(kept.map(|kept| ModelRef { name: kept.card.model, version: kept.card.version }));
    }
    let today = Today { data_watermark, models, forecasts: forecasts(&session, None).await? };
    let changed: Vec<(&str, State)> = plan
        .changes()
        .filter(|item| items.contains(&item.id))
        .map(|item| (item.resource.as_str(), item.after))
        .collect();
    let moved = basis.moved(plan.data_watermark, &changed, &today);
    if moved.is_empty() {
        return Ok(());
    }
    let what = format!("what {} rests on has moved since it was made", plan.plan_id);
    let failure = Failure::new(Exit::Refused, what)
        .hint("make a new plan from today's data; `pipeline plan --tolerance` says how far it may move");
    Err(Failure { causes: moved, ..failure })
}

/// Refuses to change an item's resource outside of its windows, and in its quiet hours.
pub fn is_open(context: &Context, plan: &Plan, items: &[String]) -> Result<(), Failure> {
    let closed: Vec<_> = plan
        .changes()
        .filter(|item| items.contains(&item.id))
        .filter_map(|item| Some((&item.resource, plan.hours.allows(&item.resource, context.now).err()?)))
        .collect();
    let Some((first, why)) = closed.first() else { return Ok(()) };
    let others = if closed.len() > 1 { format!(", and {} more", closed.len() - 1) } else { String::new() };
    let failure = Failure::new(Exit::Refused, format!("{first}{others} may not be changed now: {}", why.why));
    // Of several, the last to open.
    let opens =
        closed.iter().map(|(_, why)| why.opens).collect::<Option<Vec<_>>>().and_then(|all| all.into_iter().max());
    Err(match opens {
        Some(opens) => failure.hint(format!("apply it again from {} UTC on", opens.minute())),
        None => failure.hint("the overrides of the plan never allow it: make a new plan with others"),
    })
}
