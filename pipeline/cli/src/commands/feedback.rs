//! `feedback`: a person's verdict on an item, as an event like any other.

use crate::context::{Answer, Context, person};
use crate::failure::{Exit, Failure};
use clap::Args;
use serde_json::json;

/// The arguments of `feedback`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pipeline feedback 3654e1c3-1 slowed-down --note \"test runs before lunch\"")]
pub struct FeedbackArgs {
    /// The item, as named in the plan
    item: String,
    /// Did it help?
    #[arg(value_parser = ["helpful", "slowed-down", "neutral"])]
    verdict: String,
    /// A free-text comment
    #[arg(long)]
    note: Option<String>,
}

/// Records the verdict; it becomes a label at the next training.
pub async fn run(context: &Context, args: FeedbackArgs) -> Result<Answer, Failure> {
    let (lake, privacy) = context.lake_with_key().await?;
    let session = lake.session(context.now).await?;
    let known = session.ask("feedback_items", &[("item", &args.item)]).await?.to_json()?;
    let Some(resource) = known.first().map(|row| row["resource"].clone()) else {
        return Err(Failure::new(Exit::Failed, format!("no plan has an item {}", args.item))
            .hint("`pipeline sql \"select item_id, resource from plans.items\"` lists them"));
    };
    let event = json!({
        "ts": context.now, "type": "feedback", "developer": person(), "resource": resource,
        "payload": {"item_id": args.item, "verdict": args.verdict, "note": args.note},
    });
    context.tell(&privacy, "feedback", &[event.to_string()]).await?;
    context.say(format!("noted: {} was {}", args.item, args.verdict));
    Ok(Answer::done(json!({"item_id": args.item, "verdict": args.verdict})))
}
