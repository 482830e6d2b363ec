//! The lake itself: what makes a folder one, and the documents beside its tables.

use crate::delta::commit;
use crate::delta::store::{MARKER, Store, json};
use crate::delta::writers::Writing;
use crate::error::LakeError;
use domain::identity::hex;
use domain::privacy::Privacy;
use object_store::PutMode;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::hash::{BuildHasher, RandomState};

/// A lake at a location, open for reading and writing.
#[derive(Clone, Debug)]
pub struct Lake {
    pub(crate) store: Store,
}

/// The latest format of a lake.
const FORMAT: u32 = 2;

/// `lake.json`: what makes a folder a lake.
#[derive(Debug, Serialize, Deserialize)]
struct Marker {
    format_version: u32,
    /// Of the pseudonym key; the key itself never enters the lake.
    pseudonym_key_fingerprint: String,
    /// What the fingerprint was derived under; lakes of format 1 have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pseudonym_key_salt: Option<String>,
}

impl Marker {
    /// Of a new lake of this key.
    fn new(privacy: &Privacy) -> Self {
        // Seeded by the system; a salt has to be new, not secret.
        let [one, other] = [0, 1].map(|half: u8| u128::from(RandomState::new().hash_one((half, std::process::id()))));
        let salt = hex(one << 64 | other);
        Self {
            format_version: FORMAT,
            pseudonym_key_fingerprint: privacy.fingerprint(&salt),
            pseudonym_key_salt: Some(salt),
        }
    }

    /// Whether the lake was made with this key.
    fn is_of(&self, privacy: &Privacy) -> bool {
        match &self.pseudonym_key_salt {
            Some(salt) => self.pseudonym_key_fingerprint == privacy.fingerprint(salt),
            None => self.pseudonym_key_fingerprint == privacy.quick_fingerprint(),
        }
    }
}

/// What marks a location as a lake, where one does. Refuses a format that this program does not know.
async fn marked(store: &Store) -> Result<Option<Marker>, LakeError> {
    match store.get_json::<Marker>(MARKER).await? {
        Some(Marker { format_version: found, .. }) if found > FORMAT => Err(LakeError::Newer { found, known: FORMAT }),
        found => Ok(found),
    }
}

impl Lake {
    /// Opens a lake that is there. A folder without `lake.json` is none.
    pub async fn open(location: &str) -> Result<Self, LakeError> {
        let store = Store::open(location)?;
        match marked(&store).await? {
            Some(_) => Ok(Self { store }),
            None => Err(LakeError::NotALake(location.to_owned())),
        }
    }

    /// Opens a lake that is there, for writing about people: refuses another key than the lake's.
    pub async fn open_with_key(location: &str, privacy: &Privacy) -> Result<Self, LakeError> {
        Self::open_if_there(location, privacy).await?.ok_or_else(|| LakeError::NotALake(location.to_owned()))
    }

    /// Opens a lake for new events when it is there. Refuses another key than the lake's.
    pub(crate) async fn open_if_there(location: &str, privacy: &Privacy) -> Result<Option<Self>, LakeError> {
        let store = Store::open(location)?;
        match marked(&store).await? {
            Some(found) if !found.is_of(privacy) => Err(LakeError::OtherKey),
            found => Ok(found.map(|_| Self { store })),
        }
    }

    /// Whether the lake was made with this key.
    pub async fn is_under(&self, privacy: &Privacy) -> Result<bool, LakeError> {
        Ok(marked(&self.store).await?.is_some_and(|marker| marker.is_of(privacy)))
    }

    /// Opens a lake for new events, making it when the location is new or empty. Refuses another key than the lake's.
    pub async fn open_or_create(location: &str, privacy: &Privacy) -> Result<Self, LakeError> {
        let store = Store::open(location)?;
        let lake = Self { store };
        let found = match marked(&lake.store).await? {
            Some(found) => found,
            None => lake.found(Marker::new(privacy)).await?,
        };
        if !found.is_of(privacy) {
            return Err(LakeError::OtherKey);
        }
        // A lake of format 1 gives its quick fingerprint up. Of two that do so at once, either's is right.
        if found.pseudonym_key_salt.is_none() {
            lake.store.put_json(MARKER, &Marker::new(privacy), PutMode::Overwrite).await?;
        }
        Ok(lake)
    }

    /// Makes a new or empty location a lake. Of several processes at once, one makes it and the others find it made.
    async fn found(&self, marker: Marker) -> Result<Marker, LakeError> {
        // A marker in the making is no foreign file, and neither is what its maker wrote since.
        let foreign = self.store.names("").await?.iter().any(|name| !name.starts_with(MARKER));
        if !foreign {
            match commit::create(&self.store, MARKER, json(MARKER, &marker)?).await {
                Err(LakeError::Exists(_)) => {}
                made => return made.map(|()| marker),
            }
        }
        let made = marked(&self.store).await?;
        made.ok_or_else(|| LakeError::NotALake(self.store.shown.clone()))
    }

    /// Says that this process writes, until the answer is dropped: nothing is vacuumed away under it.
    pub async fn writing(&self, what: &str) -> Result<Writing, LakeError> {
        Writing::begin(&self.store, what).await
    }

    /// The location as the user gave it.
    pub fn location(&self) -> &str {
        &self.store.shown
    }

    /// A JSON document of the lake, such as `plans/<id>/plan.json`; none when it is not there.
    pub async fn document<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, LakeError> {
        self.store.get_json(path).await
    }

    /// Writes a JSON document whole, replacing what was there.
    pub async fn write_document<T: Serialize>(&self, path: &str, value: &T) -> Result<(), LakeError> {
        self.store.put_json(path, value, PutMode::Overwrite).await
    }

    /// Writes a JSON document that must not be there yet; [`LakeError::Exists`] when another is. Atomic also on object
    /// stores. What is there already as these very bytes was written by us, so no two writers may make the same.
    pub async fn create_document<T: Serialize>(&self, path: &str, value: &T) -> Result<(), LakeError> {
        commit::create(&self.store, path, json(path, value)?).await
    }

    /// The bytes of a document, such as a model; none when it is not there.
    pub async fn bytes(&self, path: &str) -> Result<Option<Vec<u8>>, LakeError> {
        self.store.get(path).await
    }

    /// Writes bytes whole.
    pub async fn write_bytes(&self, path: &str, bytes: Vec<u8>) -> Result<(), LakeError> {
        self.store.put(path, bytes, PutMode::Overwrite).await
    }

    /// The names directly below a folder of the lake, sorted.
    pub async fn names(&self, folder: &str) -> Result<Vec<String>, LakeError> {
        self.store.names(folder).await
    }
}
