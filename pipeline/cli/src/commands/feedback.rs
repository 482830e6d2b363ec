//! `feedback`: a person's verdict on an item, as an event like any other.

use crate::context::{Answer, Context, person};
use crate::failure::{Exit, Failure};
use clap::Args;
use intake::Source;
use lake::{IngestSpec, Lake};
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
    let known = session
        .query_with(
            "select resource from plans.items where item_id = $item
             union all
             select resource from staging.events where type = 'adjustment' and item_id = $item",
            &[("item", &args.item)],
        )
        .await?
        .to_json()?;
    let Some(resource) = known.first().map(|row| row["resource"].clone()) else {
        return Err(Failure::new(Exit::Failed, format!("no plan has an item {}", args.item))
            .hint("`pipeline sql \"select item_id, resource from plans.items\"` lists them"));
    };
    let event = json!({
        "ts": context.now, "type": "feedback", "developer": person(), "resource": resource,
        "payload": {"item_id": args.item, "verdict": args.verdict, "note": args.note},
    });
    let source = Source::Lines { name: "feedback".into(), text: event.to_string() };
    Lake::ingest(&context.global.lake, &privacy, &[source], &IngestSpec::default(), &mut |_, _| {}).await?;
    context.say(format!("noted: {} was {}", args.item, args.verdict));
    Ok(Answer::done(json!({"item_id": args.item, "verdict": args.verdict})))
}
