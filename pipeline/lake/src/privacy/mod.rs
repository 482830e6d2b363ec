//! What the lake holds of people: `audit` counts it, `erase` takes a person out of every table and every old version.
//!
//! Ledger, plans and journal name people only by keyed hash and are records of what was done: they are not rewritten.

mod audit;
mod erase;
mod purge;
mod scan;

pub use audit::{Audit, Leak, People};
pub use erase::{ErasedTable, Erasure};

use crate::error::LakeError;
use crate::lake::Lake;
use domain::Timestamp;
use domain::model::Card;
use domain::privacy::Privacy;
use object_store::PutMode;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::{BTreeSet, HashSet};

/// The people of whom nothing is kept, by their hashes.
const ERASED_LIST: &str = "erased.json";

/// Beside a model's card: why it should be trained anew. A new version has none.
const MARK: &str = "needs_retraining.json";

#[derive(Serialize, Deserialize)]
struct ErasedList {
    format_version: u32,
    people: BTreeSet<String>,
}

/// A version of a model.
#[derive(Clone, Debug, Serialize)]
pub struct ModelMark {
    /// Its name.
    pub model: String,
    /// Its version.
    pub version: String,
    /// Whether it has seen rows of a person who was erased since.
    pub needs_retraining: bool,
}

impl Lake {
    /// The hashes of the people of whom nothing may be kept.
    pub async fn erased(&self) -> Result<HashSet<String>, LakeError> {
        let list: Option<ErasedList> = self.store.get_json(ERASED_LIST).await?;
        Ok(list.map(|list| list.people.into_iter().collect()).unwrap_or_default())
    }

    /// [`Self::erased`] of a lake that need not be there yet.
    pub(crate) async fn erased_at(location: &str, privacy: &Privacy) -> Result<HashSet<String>, LakeError> {
        match Self::open_if_there(location, privacy).await? {
            Some(lake) => lake.erased().await,
            None => Ok(HashSet::new()),
        }
    }

    async fn add_erased(&self, hash: &str) -> Result<(), LakeError> {
        let mut people: BTreeSet<String> = self.erased().await?.into_iter().collect();
        if people.insert(hash.to_owned()) {
            self.store.put_json(ERASED_LIST, &ErasedList { format_version: 1, people }, PutMode::Overwrite).await?;
        }
        Ok(())
    }

    /// Every kept version of every model, with its card.
    async fn model_cards(&self) -> Result<Vec<(ModelMark, Card)>, LakeError> {
        let mut found = Vec::new();
        for model in self.store.names("models").await? {
            let mut versions = self.store.names(&format!("models/{model}")).await?;
            versions.retain(|name| !name.ends_with(".json")); // beside the versions, which one is the champion
            for version in versions {
                let folder = format!("models/{model}/{version}");
                let Some(card) = self.store.get_json::<Card>(&format!("{folder}/card.json")).await? else { continue };
                let needs_retraining = self.store.get(&format!("{folder}/{MARK}")).await?.is_some();
                found.push((ModelMark { model: model.clone(), version, needs_retraining }, card));
            }
        }
        Ok(found)
    }

    /// Marks a model for retraining. The mark does not say whose rows it has seen.
    async fn mark(&self, mark: &ModelMark, now: Timestamp) -> Result<(), LakeError> {
        let path = format!("models/{}/{}/{MARK}", mark.model, mark.version);
        let why = "it was trained on rows of a person who was erased";
        self.store.put_json(&path, &json!({"why": why, "since": now}), PutMode::Overwrite).await
    }
}
