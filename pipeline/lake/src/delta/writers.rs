//! Who writes to the lake right now: one small file per writer, `writers/<id>.json`, on folders and object stores.
//!
//! Files that a writer has written and not yet committed look like rubbish to `vacuum`. So every command that writes
//! holds a [`Writing`] while it does, and `vacuum` deletes nothing younger than the oldest of them. Nothing here makes
//! commits safe, the Delta log does that; nothing here keeps writers apart from each other.
//!
//! A writer puts its file first and looks for an exclusive one second; the exclusive one does the same the other way
//! round. Listings are consistent, so at least one of the two sees the other.

use crate::delta::store::Store;
use crate::delta::table::{self, TableName};
use crate::error::LakeError;
use chrono::{DateTime, Utc};
use deltalake_core::Path;
use domain::identity::hash128;
use object_store::PutMode;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

const FOLDER: &str = "writers";

/// How often a writer says that it is alive.
const HEARTBEAT: Duration = Duration::from_secs(60);

/// A writer on another machine that was silent for so long is dead. Here, the process table knows.
const STALE_MINUTES: i64 = 15;

/// How long a command waits for an exclusive one, which only lists and deletes.
const PATIENCE: Duration = Duration::from_secs(600);

/// How long the end of a command waits for its file to go.
const FAREWELL: Duration = Duration::from_secs(10);

/// `writers/<id>.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Presence {
    /// What it does, such as `ingest`.
    what: String,
    /// Nobody else may write meanwhile.
    exclusive: bool,
    started_at: DateTime<Utc>,
    process: u32,
    /// When the process began, in clock ticks since boot: numbers are used again.
    #[serde(default)]
    born: u64,
    /// A hash of machine, boot and process namespace: where the process number means something. Says no name.
    place: String,
}

/// Another writer that is alive.
#[derive(Clone, Debug)]
pub(crate) struct Other {
    pub(crate) what: String,
    pub(crate) exclusive: bool,
    pub(crate) started_at: DateTime<Utc>,
    /// It is part of this very command.
    own: bool,
}

/// Held while a command writes to the lake: `let _writing = Writing::begin(&self.store, "ingest").await?;`.
/// Dropping it ends it.
pub struct Writing {
    path: String,
    store: Store,
    end: Option<Sender<()>>,
    ended: Receiver<()>,
}

impl Writing {
    /// Says that this process writes, and waits until nobody is exclusive.
    pub(crate) async fn begin(store: &Store, what: &str) -> Result<Self, LakeError> {
        let writing = Self::put(store, what, false).await?;
        let asked = std::time::Instant::now();
        loop {
            let Some(other) = writing.others().await?.into_iter().find(|other| other.exclusive && !other.own) else {
                return Ok(writing);
            };
            if asked.elapsed() > PATIENCE {
                return Err(LakeError::Busy(other.to_string()));
            }
            let _ = tokio::task::spawn_blocking(|| std::thread::sleep(Duration::from_millis(200))).await;
        }
    }

    /// The same for work that bears no other writer; refused when there is one.
    pub(crate) async fn alone(store: &Store, what: &str) -> Result<Self, LakeError> {
        let writing = Self::put(store, what, true).await?;
        match writing.others().await?.first() {
            Some(other) => Err(LakeError::Busy(other.to_string())),
            None => Ok(writing),
        }
    }

    async fn put(store: &Store, what: &str, exclusive: bool) -> Result<Self, LakeError> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let (started_at, process, place) = (Utc::now(), std::process::id(), place());
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let id = hash128(format!("{place} {process} {count} {}", started_at.timestamp_micros()).as_bytes());
        let born = born(process).unwrap_or_default();
        let presence = Presence { what: what.to_owned(), exclusive, started_at, process, born, place };
        let path = format!("{FOLDER}/{id}.json");
        store.put_json(&path, &presence, PutMode::Overwrite).await?;
        let ((end, asked), (farewell, ended)) = (channel(), channel());
        let (runtime, beat_store, beat_path) = (tokio::runtime::Handle::current(), store.clone(), path.clone());
        // A thread of its own: long computations may occupy every worker of the runtime.
        let beat = move || {
            while let Err(RecvTimeoutError::Timeout) = asked.recv_timeout(HEARTBEAT) {
                // A beat that failed is made good by the next one. A file that others removed is not made again: this
                // writer was taken for dead, and must find out.
                let beat = async {
                    match beat_store.get(&beat_path).await {
                        Ok(Some(_)) => beat_store.put_json(&beat_path, &presence, PutMode::Overwrite).await,
                        found => found.map(|_| ()),
                    }
                };
                let _ = runtime.block_on(beat);
            }
            // One that stays is removed by the next vacuum, once its process is gone.
            let _ = runtime.block_on(beat_store.delete(&beat_path));
            let _ = farewell.send(());
        };
        std::thread::Builder::new()
            .name("writing".into())
            .spawn(beat)
            .map_err(|source| LakeError::Write { path: path.clone().into(), source })?;
        Ok(Self { path, store: store.clone(), end: Some(end), ended })
    }

    /// Where it says that it is alive, below the lake.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// What its files are called by, so that those of a writer that was killed can be told.
    pub(crate) fn id(&self) -> &str {
        self.path.strip_prefix(FOLDER).unwrap_or(&self.path).trim_matches('/').trim_end_matches(".json")
    }

    /// Whether another process does this, too.
    pub async fn is_beside(&self, what: &str) -> Result<bool, LakeError> {
        Ok(self.others().await?.iter().any(|other| other.what == what && !other.own))
    }

    async fn others(&self) -> Result<Vec<Other>, LakeError> {
        others(&self.store, Some(self)).await
    }
}

/// Everybody else who writes now. A writer removes the files of dead ones on the way.
pub(crate) async fn others(store: &Store, me: Option<&Writing>) -> Result<Vec<Other>, LakeError> {
    let files = store.entries(FOLDER).await?;
    let own = me.map(|me| store.path(&me.path));
    // The store's clock wrote both times, so this machine's clock does not matter.
    let now = files.iter().find(|file| Some(&file.location) == own.as_ref());
    let now = now.map_or_else(Utc::now, |file| file.last_modified);
    let (mut others, mut died) = (Vec::new(), false);
    for file in files.into_iter().filter(|file| Some(&file.location) != own.as_ref()) {
        let Some(name) = file.location.filename() else { continue };
        let path = format!("{FOLDER}/{name}");
        // One that this version cannot read is judged by its age alone.
        let presence = match store.get_json::<Presence>(&path).await {
            Ok(None) => continue, // it ended meanwhile
            Ok(found) => found,
            Err(LakeError::Damaged { .. }) => None,
            Err(error) => return Err(error),
        };
        let silent = now.signed_duration_since(file.last_modified).num_minutes() >= STALE_MINUTES;
        if presence.as_ref().and_then(is_running).unwrap_or(!silent) {
            others.push(Other {
                what: presence.as_ref().map_or_else(|| "a writer".to_owned(), |p| p.what.clone()),
                exclusive: presence.as_ref().is_some_and(|p| p.exclusive),
                own: presence.as_ref().is_some_and(|p| p.process == std::process::id() && p.place == place()),
                started_at: presence.map_or(file.last_modified, |p| p.started_at),
            });
        } else if me.is_some() {
            // What it wrote and could not commit goes first: its own file is the only trace of it.
            sweep(store, name.trim_end_matches(".json")).await?;
            store.delete(&path).await?;
            died = true;
        }
    }
    if died && others.is_empty() {
        // Nobody else is there: what was being written before this writer said so is nobody's.
        for draft in store.local_drafts("staging", now) {
            let _ = std::fs::remove_file(draft);
        }
    }
    Ok(others)
}

/// Removes the files that a dead writer left in the staging tables without a commit.
async fn sweep(store: &Store, id: &str) -> Result<(), LakeError> {
    for table in ["events", "rejects"] {
        let name = TableName { schema: "staging".into(), table: table.into() };
        let folder = format!("staging/{table}");
        let left = store.entries(&folder).await?.into_iter().filter(|file| file.location.as_ref().contains(id));
        let left: Vec<_> = left.collect();
        if left.is_empty() {
            continue;
        }
        let mut kept = HashSet::new();
        if let Some(table) = table::open(store, &name).await? {
            let snapshot = table.snapshot().map_err(LakeError::table("read", name.to_string()))?;
            kept.extend(snapshot.log_data().iter().map(|file| file.path().into_owned()));
        }
        let is_kept = |path: &Path| store.below(&folder, path).is_some_and(|path| kept.contains(&path));
        let gone = left.into_iter().map(|file| file.location).filter(|path| !is_kept(path)).collect();
        store.delete_all(gone, &folder).await?;
    }
    Ok(())
}

impl Drop for Writing {
    fn drop(&mut self) {
        drop(self.end.take());
        let _ = self.ended.recv_timeout(FAREWELL);
    }
}

impl std::fmt::Display for Other {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (since {})", self.what, self.started_at.format("%Y-%m-%dT%H:%M:%SZ"))
    }
}

/// Whether the process is there; none when it is not of this place.
fn is_running(presence: &Presence) -> Option<bool> {
    let here = std::path::Path::new("/proc/self").exists() && presence.place == place();
    here.then(|| born(presence.process).is_some_and(|born| born == presence.born))
}

/// When a process began, in clock ticks since boot; none when there is no such process.
fn born(process: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name may hold anything, also spaces and parentheses; the 22nd field is the 20th behind it.
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

/// Where a process number means something, as a hash.
fn place() -> String {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let namespace = std::fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    hash128(format!("{boot} {}", namespace.display()).as_bytes())
}
