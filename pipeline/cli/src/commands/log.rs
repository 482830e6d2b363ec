//! `log`: the ledger of all plans.

use crate::context::{Answer, Context};
use crate::failure::{Exit, Failure};
use crate::ledger::{self, Ledger};
use clap::{Args, ValueEnum};
use domain::units::counted;
use serde_json::json;

/// The arguments of `log`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pipeline log
  pipeline log verify")]
pub struct LogArgs {
    /// Verify or seal the ledger instead of printing it
    #[arg(value_enum)]
    action: Option<Action>,
    /// With `verify`: an entry hash from an earlier `log verify` that must exist
    #[arg(long, value_name = "HASH")]
    head: Option<String>,
}

/// The actions on the ledger.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Action {
    /// Check that no entry was changed, removed, forged, inserted or truncated
    Verify,
    /// Sign the unsigned entries of earlier versions with the lake's key
    Seal,
}

/// Shows, verifies or seals the chain.
pub async fn run(context: &Context, args: LogArgs) -> Result<Answer, Failure> {
    if let Some(action) = args.action {
        let (lake, privacy) = context.lake_with_key().await?;
        let sealed = match action {
            Action::Verify => 0,
            Action::Seal => ledger::seal(&lake, &privacy).await?,
        };
        let ledger = Ledger::proven(&lake, &privacy).await?;
        if let Some(head) = args.head.filter(|head| ledger.entries.iter().all(|entry| entry.hash != *head)) {
            return Err(Failure::new(Exit::Refused, format!("the ledger has no entry {head}"))
                .hint("it was cut off or replaced by an older one since; restore journal/ of the lake from a backup"));
        }
        let (entries, head) = (ledger.entries.len(), ledger.head());
        let said = if sealed > 0 { format!("; {sealed} sealed now") } else { String::new() };
        context.say(format!("{entries} entries, unbroken{said}; the last one is {head}"));
        let answer = Answer::done(json!({"entries": entries, "head": head, "sealed": sealed}));
        return Ok(answer.brief(format!("{entries} entries, unbroken")));
    }
    let lake = context.lake().await?;
    let entries = ledger::entries(&lake).await?;
    for entry in &entries {
        context.say(format!("{:>4}  {}  {:<9} {}", entry.seq, entry.at.minute(), entry.action, entry.plan_id));
        let items = counted(entry.items.len(), "item");
        context.say_wrapped("      ", &format!("{items}, {}, by {}", entry.result, entry.who), 6);
    }
    Ok(Answer::done(json!({"entries": entries})))
}
