//! From dumps to the staging tables: every event exactly once, in one commit.
//!
//! Dumps are read by `intake`; the rows of each day become Parquet files that nothing refers to until one commit does
//! ([`staging`], [`adds`]).

mod adds;
mod retry;
mod staging;

pub use retry::RetryReport;

use crate::error::LakeError;
use crate::lake::Lake;
use domain::Timestamp;
use domain::privacy::Privacy;
use intake::{Broken, Format, IntakeSpec, RejectLimit, Source, Tally};
use serde::Serialize;
use staging::Staging;
use std::collections::BTreeMap;

/// What `ingest` is asked to do.
#[derive(Clone, Debug, Default)]
pub struct IngestSpec {
    /// None: told apart per dump.
    pub format: Option<&'static Format>,
    /// Refuse the whole ingest when more than this is rejected.
    pub reject_limit: Option<RejectLimit>,
    /// Keep the ids of accepted events for the report.
    pub list_accepted: bool,
    /// Leave out dumps that cannot be read to their end, and name them, instead of refusing everything.
    pub keep_going: bool,
    /// The moment of reading, around which recurring events of calendars are worked out; none: by the clock.
    pub now: Option<Timestamp>,
}

/// What an ingest met. `read = accepted + duplicates + rejected`.
#[derive(Clone, Debug, Default, Serialize)]
pub struct IngestReport {
    /// Events read, not lines.
    pub read: u64,
    /// New in the lake.
    pub accepted: u64,
    /// In the lake already, or twice in the dumps.
    pub duplicates: u64,
    /// Not events.
    pub rejected: u64,
    /// With `list_accepted`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accepted_event_ids: Option<Vec<String>>,
    /// Rejects by reason.
    pub reasons: BTreeMap<String, u64>,
    /// Dumps of which no format knows anything, and what they look like.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub unknown: BTreeMap<String, &'static str>,
    /// With `keep_going`: dumps that could not be read. Nothing of them was taken.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub broken: Vec<Broken>,
    /// Version of `staging.events` after it; none when nothing was committed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<i64>,
}

impl From<Tally> for IngestReport {
    fn from(tally: Tally) -> Self {
        let Tally { read, rejected, reasons, unknown, broken } = tally;
        Self { read, rejected, reasons, unknown, broken, ..Self::default() }
    }
}

impl Lake {
    /// Takes dumps into the lake at `location`, which is made when new. Either everything is committed or nothing;
    /// `progress` is told the events read so far and the dump. Must be called on a runtime of several threads.
    pub async fn ingest(
        location: &str,
        privacy: &Privacy,
        sources: &[Source],
        spec: &IngestSpec,
        progress: &mut (dyn FnMut(u64, &str) + Send),
    ) -> Result<(Self, IngestReport), LakeError> {
        let staging = Staging::open(location, privacy).await?;
        // Read under the writer's presence: whoever erases a person waits for it.
        let privacy = &privacy.clone().with_erased(Self::erased_at(location, privacy).await?);
        let IngestSpec { format, reject_limit, list_accepted, keep_going, now } = *spec;
        let now = now.unwrap_or_else(|| Timestamp(chrono::Utc::now().timestamp_micros()));
        let spec = IntakeSpec { format, reject_limit, keep_going, now };
        // Decoding keeps every core busy for as long as the dumps last: it is no work for the runtime's threads.
        let staged = tokio::task::block_in_place(|| intake::stage(sources, privacy, &spec, &staging, progress));
        let done = match staged {
            Ok(tally) => staging.commit(tally.into(), list_accepted).await,
            Err(error) => Err(error.into()),
        };
        match done {
            Ok(report) => Ok((Self::open_or_create(location, privacy).await?, report)),
            Err(error) => {
                staging.remove_files().await;
                Err(error)
            }
        }
    }
}
