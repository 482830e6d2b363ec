//! Where models, plans, journals and the ledger are in the lake, and the rules for putting them there.

use crate::context::{Context, person};
use crate::failure::{Exit, Failure};
use crate::warn;
use domain::Timestamp;
use domain::ledger::{self, Entry};
use domain::model::Card;
use domain::plan::{FORMAT_VERSION, Plan};
use domain::privacy::Privacy;
use domain::time::DAY;
use lake::{Lake, LakeError};
use learn::card::Trained;
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::Path;

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
    let pointer: Option<Champion> = lake.document(&format!("models/{name}/champion.json")).await?;
    let mut versions = lake.names(&format!("models/{name}")).await?;
    versions.retain(|version| version != "champion.json");
    versions.sort_by_key(|version| Some(version) == pointer.as_ref().map(|p| &p.version));
    while let Some(version) = versions.pop() {
        let folder = format!("models/{name}/{version}");
        let Some(card): Option<Card> = lake.document(&format!("{folder}/card.json")).await? else { continue };
        if card.champion.is_champion && card.data_watermark <= now && card.created_at <= now {
            let Some(model) = lake.bytes(&format!("{folder}/model")).await? else { return Ok(None) };
            let newest = newest_event(lake, now).await?;
            let stale = card.is_stale(newest);
            if stale {
                let days = newest.0.saturating_sub(card.data_watermark.0) / DAY;
                let what = format!("{name} {version} is {days} days older than the newest event");
                warn(&Failure::new(Exit::Done, what).hint(format!("train it anew: `pipeline train {name}`")));
            }
            return Ok(Some(Kept { card, model, stale }));
        }
    }
    Ok(None)
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
    let folder = format!("models/{model}/{version}");
    lake.write_bytes(&format!("{folder}/model"), trained.model.clone()).await?;
    lake.write_document(&format!("{folder}/card.json"), &trained.card).await?;
    if trained.card.champion.is_champion {
        lake.write_document(&format!("models/{model}/champion.json"), &Champion { version: version.clone() }).await?;
    }
    Ok(())
}

/// A person's yes to some items of a plan.
#[derive(Clone, Debug, Serialize, Deserialize)]
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

/// Reads a plan file and refuses one that was edited since it was made.
pub fn read_plan(path: &Path) -> Result<Plan, Failure> {
    let text = fs::read_to_string(path)
        .map_err(|error| Failure::file("read", path, &error).hint("a plan is made by `pipeline plan -o plan.json`"))?;
    let tampered = |what: String| {
        Failure::new(Exit::Refused, format!("{} {what}", path.display()))
            .hint("make a new plan; to change what it does use `pipeline plan --override`")
    };
    let plan: Plan = serde_json::from_str(&text).map_err(|error| {
        // A file that is no plan at all cannot have been edited.
        let looks = serde_json::from_str::<serde_json::Value>(&text).is_ok_and(|v| v.get("plan_id").is_some());
        let failure = tampered(format!("is no plan: {error}"));
        if looks { failure } else { Failure { exit: Exit::Failed, ..failure } }
    })?;
    if plan.format_version != FORMAT_VERSION {
        return Err(tampered(format!(
            "has format version {}, this program knows {FORMAT_VERSION}",
            plan.format_version
        )));
    }
    if plan.compute_digest() != plan.digest {
        return Err(tampered("was changed after it was made: its digest does not match".to_owned()));
    }
    Ok(plan)
}

/// The whole ledger, in order.
pub async fn ledger(lake: &Lake) -> Result<Vec<Entry>, Failure> {
    let mut entries = Vec::new();
    for name in lake.names("journal/ledger").await? {
        if let Some(entry) = lake.document(&format!("journal/ledger/{name}")).await? {
            entries.push(entry);
        }
    }
    Ok(entries)
}

/// The ledger, refused when it was tampered with: nothing is done that could not be written down.
pub async fn sound_ledger(lake: &Lake) -> Result<Vec<Entry>, Failure> {
    let entries = ledger(lake).await?;
    ledger::verify(&entries).map_err(|(seq, why)| {
        Failure::new(Exit::Refused, format!("the ledger is broken at entry {seq}: {why}"))
            .hint("`pipeline log verify` shows it; restore journal/ledger of the lake from a backup")
    })?;
    Ok(entries)
}

/// Adds an entry to the ledger. Two writers never get the same number: the loser reads on and takes the next.
pub async fn enter(
    context: &Context,
    lake: &Lake,
    privacy: &Privacy,
    plan: &Plan,
    action: &str,
    items: Vec<String>,
    result: &str,
) -> Result<Entry, Failure> {
    for _ in 0..100 {
        let entries = sound_ledger(lake).await?;
        let entry = Entry {
            seq: 0,
            at: context.now,
            action: action.to_owned(),
            plan_id: plan.plan_id.clone(),
            plan_digest: plan.digest.clone(),
            who: privacy.person(&person()),
            items: items.clone(),
            result: result.to_owned(),
            prev: String::new(),
            hash: String::new(),
        }
        .after(entries.last());
        match lake.create_document(&format!("journal/ledger/{:08}.json", entry.seq), &entry).await {
            Ok(()) => return Ok(entry),
            Err(LakeError::Exists(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Failure::new(Exit::Refused, "other processes keep writing to the ledger").hint("try again"))
}
