//! Where models, plans and journals are in the lake, and the rules for putting them there.

use crate::failure::{Exit, Failure};
use crate::warn;
use domain::Timestamp;
use domain::model::{Card, CardError};
use domain::plan::Plan;
use domain::time::DAY;
use lake::Lake;
use learn::card::Trained;
use serde::{Deserialize, Serialize};

/// The champion of a model, with its card.
pub struct Kept {
    /// The version folder.
    pub card: Card,
    /// The model's bytes.
    pub model: Vec<u8>,
    /// It has seen nothing of the newest week of data.
    pub stale: bool,
}

#[derive(Serialize, Deserialize)]
struct Champion {
    version: String,
}

/// The champion of a model as of `now`: one that has seen later data does not count. None when there is none.
pub async fn champion(lake: &Lake, name: &str, now: Timestamp) -> Result<Option<Kept>, Failure> {
    let Some((folder, card)) = newest_card(lake, name, now).await? else { return Ok(None) };
    let Some(model) = lake.bytes(&format!("{folder}/model")).await? else { return Ok(None) };
    let newest = newest_event(lake, now).await?;
    let stale = card.is_stale(newest);
    if stale {
        let days = newest.0.saturating_sub(card.data_watermark.0) / DAY;
        let what = format!("{name} {} is {days} days older than the newest event", card.version);
        warn(&Failure::new(Exit::Done, what).hint(format!("train it anew: `pipeline train {name}`")));
    }
    Ok(Some(Kept { card, model, stale }))
}

/// The card of the champion as of `now`, and its folder.
pub async fn newest_card(lake: &Lake, name: &str, now: Timestamp) -> Result<Option<(String, Card)>, Failure> {
    let pointer: Option<Champion> = lake.document(&format!("models/{name}/champion.json")).await?;
    let mut versions = lake.names(&format!("models/{name}")).await?;
    versions.retain(|version| version != "champion.json");
    versions.sort_by_key(|version| Some(version) == pointer.as_ref().map(|p| &p.version));
    while let Some(version) = versions.pop() {
        let folder = format!("models/{name}/{version}");
        let Some(card) = card(lake, name, &folder).await? else { continue };
        if card.champion.is_champion && card.data_watermark <= now && card.created_at <= now {
            return Ok(Some((folder, card)));
        }
    }
    Ok(None)
}

/// A model's card, checked: one of a later format is refused, one that cannot be read or is of another model is an error.
async fn card(lake: &Lake, name: &str, folder: &str) -> Result<Option<Card>, Failure> {
    let path = format!("{folder}/card.json");
    let Some(bytes) = lake.bytes(&path).await? else { return Ok(None) };
    Card::read(&bytes, name).map(Some).map_err(|error| match error {
        CardError::Newer { .. } => Failure::new(Exit::Refused, format!("{path}: {error}"))
            .hint("use the version of the program that wrote it, or a later one"),
        CardError::Damaged(_) => Failure::new(Exit::Failed, format!("cannot read {path}: {error}"))
            .hint(format!("move {folder} of the lake aside, and train it anew: `pipeline train {name}`")),
    })
}

/// About the newest event by `now`: the end of the newest day that has events, as their folders name it.
async fn newest_event(lake: &Lake, now: Timestamp) -> Result<Timestamp, Failure> {
    let folders = lake.names("staging/events").await?;
    let days = folders
        .iter()
        .filter_map(|folder| Timestamp::parse(&format!("{}T00:00:00Z", folder.strip_prefix("event_date=")?)));
    Ok(days.filter(|day| *day <= now).max().map_or(Timestamp::default(), |day| day.plus(DAY).min(now)))
}

/// Keeps a model and its card in a version of its own; the champion too when the card says so. The pointer is written last.
pub async fn keep_model(lake: &Lake, trained: &mut Trained) -> Result<(), Failure> {
    let taken = lake.names(&format!("models/{}", trained.card.model)).await?;
    let first = trained.card.version.clone();
    for n in 2.. {
        if !taken.contains(&trained.card.version) {
            break;
        }
        trained.card.version = format!("{first}-{n}");
    }
    let Card { model, version, .. } = &trained.card;
    let bytes = serde_json::to_vec(&trained.card).unwrap_or_default();
    Card::read(&bytes, model).map_err(|error| {
        Failure::new(Exit::Failed, format!("{model} is not kept: its card cannot be read back: {error}"))
            .hint("see what `pipeline check` says of the data it was trained on")
    })?;
    let folder = format!("models/{model}/{version}");
    lake.write_bytes(&format!("{folder}/model"), trained.model.clone()).await?;
    lake.write_document(&format!("{folder}/card.json"), &trained.card).await?;
    if trained.card.champion.is_champion {
        lake.write_document(&format!("models/{model}/champion.json"), &Champion { version: version.clone() }).await?;
    }
    Ok(())
}

/// A person's yes to some items of a plan, beside the plan for readers. What counts is the ledger.
#[derive(Clone, Debug, Serialize)]
pub struct Approval {
    /// Which plan.
    pub plan_id: String,
    /// What was approved; an edited plan has another digest.
    pub digest: String,
    /// The items.
    pub items: Vec<String>,
    /// Keyed hash of the person.
    pub who: String,
    /// When.
    pub at: Timestamp,
}

/// Where a plan's approval is.
pub fn approval_path(plan: &Plan) -> String {
    format!("plans/{}/approval.json", plan.plan_id)
}

/// Where a plan's journal is.
pub fn journal_path(plan: &Plan) -> String {
    format!("journal/{}.json", plan.plan_id)
}
