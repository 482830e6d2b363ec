//! Rejects, taken once more: by a newer program or as another format, what was refused may be an event.
//!
//! First the events are committed, then the rejects that became events leave their table: broken off in between, the
//! next retry meets duplicates and finishes.

use super::staging::Staging;
use crate::error::LakeError;
use crate::lake::Lake;
use domain::Timestamp;
use domain::privacy::Privacy;
use intake::{Format, Retried, Source, retry_round, retry_rounds};
use serde::Serialize;

/// What a retry met. `retried = accepted + duplicates + rejected + unreadable`.
#[derive(Clone, Debug, Default, Serialize)]
pub struct RetryReport {
    /// Events that rejects may be, as far as they can be told: what cannot be read counts as one.
    pub retried: u64,
    /// New in the lake.
    pub accepted: u64,
    /// In the lake already.
    pub duplicates: u64,
    /// Refused again.
    pub rejected: u64,
    /// Neither the dump nor the whole text is there. They stay rejects, too.
    pub unreadable: u64,
    /// Version of `staging.events` after it; none when nothing was committed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<i64>,
}

impl Lake {
    /// Takes the rejects of the lake at `location` once more, as `format` or as what their dumps look like. Of dumps only
    /// `sources` are opened, as they are read at `now`.
    /// `progress` is told the dump. Must be called on a runtime of several threads.
    pub async fn retry_rejects(
        location: &str,
        privacy: &Privacy,
        sources: &[Source],
        format: Option<&'static Format>,
        now: Timestamp,
        progress: &mut (dyn FnMut(&str) + Send),
    ) -> Result<RetryReport, LakeError> {
        let lake = Self::open_with_key(location, privacy).await?;
        let mut report = RetryReport::default();
        let mut rounds = 1;
        let mut round = 0;
        while round < rounds {
            let staging = Staging::open(location, privacy).await?;
            // Now that others know that we write, nobody is erased meanwhile.
            let privacy = privacy.clone().with_erased(lake.erased().await?);
            let retried = tokio::task::block_in_place(|| {
                if round == 0 {
                    rounds = retry_rounds(&staging)?;
                }
                retry_round(&staging, &privacy, sources, format, (round, rounds), now, progress)
            });
            let done = match retried {
                Ok(retried) => commit(&staging, retried, &mut report).await,
                Err(error) => Err(error.into()),
            };
            if let Err(error) = done {
                staging.remove_files().await;
                return Err(error);
            }
            round += 1;
        }
        Ok(report)
    }
}

/// Commits the events, then what became of their rejects.
async fn commit(staging: &Staging<'_>, retried: Retried, report: &mut RetryReport) -> Result<(), LakeError> {
    let committed = staging.commit_events().await?;
    report.retried += retried.read + retried.rejected + retried.unreadable;
    report.accepted += committed.rows;
    report.duplicates += retried.read - committed.rows;
    report.rejected += retried.rejected;
    report.unreadable += retried.unreadable;
    report.version = committed.version.or(report.version);
    staging.replace_rejects(&retried.gone).await
}
