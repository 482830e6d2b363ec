//! `log`: the ledger of all plans.

use crate::artifacts::{ledger, sound_ledger};
use crate::context::{Answer, Context};
use crate::failure::Failure;
use clap::Args;
use serde_json::json;

/// What `log` takes.
#[derive(Debug, Args)]
pub struct LogArgs {
    /// `verify`: check that no entry was changed, removed or put in between
    #[arg(value_parser = ["verify"])]
    action: Option<String>,
}

/// Shows or verifies the chain.
pub async fn run(context: &Context, args: LogArgs) -> Result<Answer, Failure> {
    let lake = context.lake().await?;
    let entries = ledger(&lake).await?;
    if args.action.is_some() {
        sound_ledger(&lake).await?;
        let head = entries.last().map_or("", |entry| entry.hash.as_str());
        context.say(format!("{} entries, unbroken; the last one is {head}", entries.len()));
        return Ok(Answer::done(json!({"entries": entries.len(), "head": head})));
    }
    for entry in &entries {
        context.say(format!(
            "{:>4}  {}  {:<9} {}  {} items, {}, by {}",
            entry.seq,
            entry.at.minute(),
            entry.action,
            entry.plan_id,
            entry.items.len(),
            entry.result,
            entry.who
        ));
    }
    Ok(Answer::done(json!({"entries": entries})))
}
