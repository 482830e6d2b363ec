//! An ingest that leaves out what cannot be read: of a dump that breaks off, nothing is taken.
//!
//! What a dump brings is mixed with what the others bring long before its end is reached. So every archive is read to
//! its end beforehand, which is cheap beside decoding it; and where a dump breaks nevertheless, all is staged anew
//! without it.

use super::sink::Sink;
use super::stage::Tally;
use crate::error::IntakeError;
use crate::source::Source;
use domain::causes::with_causes;
use domain::location::without_secrets;
use serde::Serialize;
use std::error::Error;

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
    pub fn new(source: String, error: &dyn Error) -> Self {
        let shown = |text: &str| without_secrets(text).into_owned();
        Self { source: shown(&source), error: shown(&with_causes(error)) }
    }
}

/// Stages every dump that is whole; `stage` wants all of its dumps to be.
pub(super) fn stage_whole(
    sources: &[Source],
    sink: &dyn Sink,
    mut stage: impl FnMut(&[Source]) -> Result<Tally, IntakeError>,
) -> Result<Tally, IntakeError> {
    let (mut whole, mut broken) = (Vec::new(), Vec::new());
    for source in sources {
        match source.check() {
            Ok(()) => whole.push(source.clone()),
            Err(error) => broken.push((source.name(), error)),
        }
    }
    loop {
        if whole.is_empty() && !broken.is_empty() {
            return Err(broken.remove(0).1);
        }
        let error = match stage(&whole) {
            Ok(mut tally) => {
                tally.broken = broken.into_iter().map(|(source, error)| Broken::new(source, &error)).collect();
                return Ok(tally);
            }
            Err(error) => error,
        };
        let at = match &error {
            IntakeError::Read { source_name, .. } => whole.iter().position(|source| source.name() == *source_name),
            _ => None,
        };
        let Some(at) = at else { return Err(error) };
        // What came by a pipe does not come again.
        if whole[..at].contains(&Source::Stdin) {
            return Err(error);
        }
        sink.abandon();
        broken.push((whole.remove(at).name(), error));
    }
}
