//! The seam to whoever keeps what was read: asked and told by day, never by row.

#[cfg(test)]
mod memory;

#[cfg(test)]
pub(crate) use memory::Memory;

use super::columns::rejects_batch;
use super::known::{Known, Verdict};
use super::reject::Reject;
use super::rows::Rows;
use crate::error::IntakeError;
use arrow_array::RecordBatch;

/// The day under which rejects are kept: they have none.
pub const NO_DAY: i32 = i32::MIN;

/// Where an intake leaves what is new, and what it asks for what is there already. Nothing that is left there counts
/// before its owner commits it. Called by several workers at once, and never by what is asynchronous.
pub trait Sink: Sync {
    /// Gives the identities that are there of a day, in days since 1970; those of rejects under [`NO_DAY`].
    fn load(&self, day: i32, give: &mut dyn FnMut(u128)) -> Result<(), IntakeError>;

    /// Takes new rows of a day.
    fn write_day(&self, day: i32, rows: &Rows) -> Result<(), IntakeError>;

    /// Takes new rejects, with the columns of [`rejects_schema`](crate::rejects_schema).
    fn write_rejects(&self, rejects: RecordBatch) -> Result<(), IntakeError>;

    /// Gives some columns of the rejects that are there, batch by batch, in the types of
    /// [`rejects_schema`](crate::rejects_schema).
    fn each_reject(
        &self,
        columns: &[&str],
        take: &mut dyn FnMut(RecordBatch) -> Result<(), IntakeError>,
    ) -> Result<(), IntakeError>;

    /// Forgets all that was left there, as if nothing had been.
    fn abandon(&self);
}

/// Leaves the rejects that are not known yet.
pub(super) fn write_rejects(sink: &dyn Sink, mut rejects: Vec<Reject>, known: &Known) -> Result<(), IntakeError> {
    if rejects.is_empty() {
        return Ok(());
    }
    let day = known.day(NO_DAY)?;
    let mut doubtful = Vec::new();
    rejects.retain(|reject| match day.meet(reject.id(), known) {
        Verdict::New => true,
        Verdict::Known => false,
        Verdict::Doubtful => {
            doubtful.push(reject.clone());
            false
        }
    });
    let mut new = known.decide(&day, &doubtful.iter().map(Reject::id).collect::<Vec<_>>())?;
    rejects.extend(doubtful.into_iter().filter(|reject| new.remove(&reject.id())));
    if rejects.is_empty() {
        return Ok(());
    }
    sink.write_rejects(rejects_batch(&rejects).map_err(IntakeError::columns("staging.rejects"))?)
}
