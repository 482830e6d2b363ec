//! `log`: the ledger of all plans.

use crate::artifacts::ledger;
use crate::context::{Answer, Context};
use crate::failure::{Exit, Failure};
use clap::Args;
use domain::ledger::verify;
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
    let entries = ledger(&context.lake().await?).await?;
    if args.action.is_some() {
        verify(&entries).map_err(|(seq, why)| {
            Failure::new(Exit::Refused, format!("the ledger is broken at entry {seq}: {why}"))
                .hint("restore journal/ledger of the lake from a backup")
        })?;
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
