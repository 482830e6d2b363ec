//! `labels`: where people and measurements say different things.

use crate::context::{Answer, Context};
use crate::failure::Failure;
use clap::{Args, Subcommand};
use domain::Timestamp;
use serde_json::json;

/// The arguments of `labels`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pipeline labels disagreements")]
pub struct LabelsArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List runs and resource hours whose feedback label differs from the measured one
    #[command(after_help = "\
Examples:
  pipeline labels disagreements
  pipeline labels disagreements --json")]
    Disagreements,
}

/// Every unit of work whose label a person's verdict turned round, with the measurement beside it.
const DISAGREEMENTS: &str = "
    select unit, unit_id, key, starts_at, measured, label as said
    from features.contention
    where label_source = 'feedback' and label is distinct from measured
    order by starts_at, unit_id";

/// Lists them, and how often people and measurements agreed.
pub async fn run(context: &Context, args: LabelsArgs) -> Result<Answer, Failure> {
    let Action::Disagreements = args.action;
    let lake = context.lake().await?;
    let session = lake.session(context.now).await?;
    let rows = session.query_with(DISAGREEMENTS, &[]).await?.to_json()?;
    let judged = session
        .query_with("select count(*) as n from features.contention where label_source = 'feedback'", &[])
        .await?
        .to_json()?;
    let judged = judged.first().and_then(|row| row["n"].as_u64()).unwrap_or_default();
    let word = |value: &serde_json::Value| match value.as_bool() {
        Some(true) => "contended",
        Some(false) => "fine",
        None => "not measured",
    };
    for row in &rows {
        let lead = format!(
            "{}  {:<4}  ",
            row["starts_at"].as_str().map(minute).unwrap_or_default(),
            row["unit"].as_str().unwrap_or_default()
        );
        let key = row["key"].as_str().unwrap_or_default();
        let text = format!("{key}: measured {}, reported {}", word(&row["measured"]), word(&row["said"]));
        context.say_wrapped(&lead, &text, lead.chars().count());
    }
    context.say(format!("{} of {judged} labels from people differ from what was measured", rows.len()));
    Ok(Answer::done(json!({"labels_from_people": judged, "disagreements": rows})))
}

/// A time of a row, to the minute.
fn minute(at: &str) -> String {
    Timestamp::parse(at).map_or_else(|| at.to_owned(), Timestamp::minute)
}
