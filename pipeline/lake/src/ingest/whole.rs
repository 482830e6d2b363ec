//! An ingest that leaves out what cannot be read: of a dump that breaks off, nothing is taken.
//!
//! What a dump brings is mixed with what the others bring long before its end is reached. So every archive is read to
//! its end beforehand, which is cheap beside decoding it; and where a dump breaks nevertheless, all is staged anew
//! without it.

use super::staging::Staging;
use super::{IngestReport, IngestSpec, stage};
use crate::error::LakeError;
use crate::source::Source;
use domain::location::without_secrets;
use domain::privacy::Privacy;
use serde::Serialize;
use std::error::Error;
use tokio::task::block_in_place;

/// A dump that could not be read to its end.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct Broken {
    /// The dump.
    pub source: String,
    /// What could not be done, and why.
    pub error: String,
}

impl Broken {
    /// Of a dump, by the error that it gave.
    pub fn new(source: String, error: &LakeError) -> Self {
        let mut said = error.to_string();
        let mut next = error.source();
        while let Some(cause) = next {
            said.push_str(&format!(": {cause}"));
            next = cause.source();
        }
        let shown = |text: &str| without_secrets(text).into_owned();
        Self { source: shown(&source), error: shown(&said) }
    }
}

/// Reads every dump that is whole and writes files for what is new in them; commits nothing.
pub(super) async fn stage_whole(
    sources: &[Source],
    privacy: &Privacy,
    spec: &IngestSpec,
    staging: &Staging<'_>,
    progress: &mut (dyn FnMut(u64, &str) + Send),
) -> Result<IngestReport, LakeError> {
    let (mut whole, mut broken) = (Vec::new(), Vec::new());
    for source in sources {
        match block_in_place(|| source.check()) {
            Ok(()) => whole.push(source.clone()),
            Err(error) => broken.push((source.name(), error)),
        }
    }
    loop {
        if whole.is_empty() && !broken.is_empty() {
            return Err(broken.remove(0).1);
        }
        let error = match block_in_place(|| stage(&whole, privacy, spec, staging, &mut *progress)) {
            Ok(mut report) => {
                report.broken = broken.into_iter().map(|(source, error)| Broken::new(source, &error)).collect();
                return Ok(report);
            }
            Err(error) => error,
        };
        let at = match &error {
            LakeError::Read { source_name, .. } => whole.iter().position(|source| source.name() == *source_name),
            _ => None,
        };
        let Some(at) = at else { return Err(error) };
        // What came by a pipe does not come again.
        if whole[..at].contains(&Source::Stdin) {
            return Err(error);
        }
        staging.abandon().await;
        broken.push((whole.remove(at).name(), error));
    }
}
