//! How the operators of a query share memory.
//!
//! As DataFusion's `FairSpillPool`, with what that one lacks: a sort that has written its runs to temporary files must
//! be able to merge them, whatever the others hold by then. There, the first merge takes all it can get, and the next
//! sort to end finds nothing and fails the query.
//!
//! - While there are sorts, half of the memory is kept for merging, and each merge has an equal share of it. One that
//!   gets less than it asks for merges in more passes.
//! - What can be spilled has an equal share each of what is left; a first piece may be larger.
//! - Merging the streams of a query counts nothing: it holds batches that their sorts have counted already, and would
//!   count all of the memory that a batch of views points into, over and over (100 MiB for 8192 rows).

use datafusion::error::DataFusionError;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation};
use std::fmt::{self, Display};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What DataFusion calls the merge of a sort's runs, and that of sorted streams.
const RUNS: &str = "ExternalSorterMerge";
const STREAMS: &str = "SortPreservingMergeExec";

/// What a sort asks for before it begins (`sort_spill_reservation_bytes`): always given.
const RUNS_LEAST_BYTES: usize = 10 << 20;

/// So many bytes for the queries of one session.
#[derive(Debug)]
pub(crate) struct SharedMemory {
    bytes: usize,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    spillers: usize,
    merges: usize,
    spillable: usize,
    merging: usize,
    /// By what can neither spill nor take smaller pieces.
    fixed: usize,
}

enum Kind {
    Spiller,
    Merge,
    Stream,
    Fixed,
}

fn kind(consumer: &MemoryConsumer) -> Kind {
    match consumer.name() {
        name if name.starts_with(STREAMS) => Kind::Stream,
        name if name.starts_with(RUNS) => Kind::Merge,
        _ if consumer.can_spill() => Kind::Spiller,
        _ => Kind::Fixed,
    }
}

impl SharedMemory {
    /// At most `bytes` in all.
    pub(crate) fn new(bytes: usize) -> Self {
        Self { bytes, held: Mutex::default() }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn of(&mut self, kind: &Kind) -> Option<&mut usize> {
        match kind {
            Kind::Spiller => Some(&mut self.spillable),
            Kind::Merge => Some(&mut self.merging),
            Kind::Fixed => Some(&mut self.fixed),
            Kind::Stream => None,
        }
    }

    /// What is kept for merging.
    fn for_merging(&self, bytes: usize) -> usize {
        if self.merges > 0 { bytes / 2 } else { 0 }
    }

    /// What a consumer may hold in all that holds `has` now.
    fn limit(&self, kind: &Kind, bytes: usize, has: usize) -> usize {
        let for_merging = self.for_merging(bytes).max(self.merging);
        match kind {
            // Nothing can be spilled before there is something.
            Kind::Spiller if has == 0 => bytes.saturating_sub(self.spillable + self.merging + self.fixed),
            Kind::Spiller => bytes.saturating_sub(for_merging + self.fixed) / self.spillers.max(1),
            Kind::Merge => (self.for_merging(bytes) / self.merges.max(1)).max(RUNS_LEAST_BYTES),
            Kind::Fixed => has + bytes.saturating_sub(self.spillable + self.merging + self.fixed),
            Kind::Stream => usize::MAX,
        }
    }
}

impl MemoryPool for SharedMemory {
    fn name(&self) -> &str {
        "shared"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        match kind(consumer) {
            Kind::Spiller => self.held().spillers += 1,
            Kind::Merge => self.held().merges += 1,
            Kind::Stream | Kind::Fixed => {}
        }
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        match kind(consumer) {
            Kind::Spiller => self.held().spillers -= 1,
            Kind::Merge => self.held().merges -= 1,
            Kind::Stream | Kind::Fixed => {}
        }
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        if let Some(held) = self.held().of(&kind(reservation.consumer())) {
            *held += additional;
        }
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        if let Some(held) = self.held().of(&kind(reservation.consumer())) {
            *held -= shrink;
        }
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<(), DataFusionError> {
        let consumer = reservation.consumer();
        let kind = kind(consumer);
        let mut held = self.held();
        let (has, limit) = (reservation.size(), held.limit(&kind, self.bytes, reservation.size()));
        if has.saturating_add(additional) > limit {
            return Err(DataFusionError::ResourcesExhausted(format!(
                "{} holds {has} bytes, wants {additional} more, and may have {limit} of {}",
                consumer.name(),
                self.bytes
            )));
        }
        if let Some(held) = held.of(&kind) {
            *held += additional;
        }
        Ok(())
    }

    fn reserved(&self) -> usize {
        let held = self.held();
        held.spillable + held.merging + held.fixed
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.bytes)
    }
}

impl Display for SharedMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} bytes)", self.name(), self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    const MIB: usize = 1 << 20;

    fn pool(bytes: usize) -> Arc<dyn MemoryPool> {
        Arc::new(SharedMemory::new(bytes))
    }

    fn fill(reservation: &MemoryReservation) -> usize {
        while reservation.try_grow(MIB).is_ok() {}
        reservation.size()
    }

    #[test]
    fn every_sort_can_merge_whatever_the_others_hold() {
        let pool = pool(640 * MIB);
        let spiller = |name: &str| MemoryConsumer::new(name).with_can_spill(true).register(&pool);
        let merge = |at: usize| MemoryConsumer::new(format!("{RUNS}[{at}]")).register(&pool);
        let (sorts, merges) = ([spiller("one"), spiller("other")], [merge(0), merge(1)]);
        assert_eq!(sorts.each_ref().map(fill), [160 * MIB; 2]);
        assert_eq!(merges.each_ref().map(fill), [160 * MIB; 2]);
        assert!(pool.reserved() <= 640 * MIB);
        merges[0].free();
        assert!(sorts[0].try_grow(MIB).is_err(), "what a merge gives back is kept for merging");
        assert_eq!(fill(&merges[0]), 160 * MIB);
        drop(merges);
        assert_eq!(sorts.each_ref().map(fill), [320 * MIB; 2]);
    }

    #[test]
    fn a_first_piece_may_be_larger_than_a_share() {
        let pool = pool(64 * MIB);
        let sorts = [0; 8].map(|_| MemoryConsumer::new("sort").with_can_spill(true).register(&pool));
        sorts[0].try_grow(32 * MIB).unwrap();
        assert!(sorts[0].try_grow(MIB).is_err());
        assert!(sorts[1].try_grow(33 * MIB).is_err(), "but not than what there is");
    }

    #[test]
    fn merged_streams_count_nothing_and_what_cannot_spill_counts_all() {
        let pool = pool(64 * MIB);
        MemoryConsumer::new(format!("{STREAMS}[0]")).register(&pool).try_grow(1 << 40).unwrap();
        assert_eq!(pool.reserved(), 0);
        let join = MemoryConsumer::new("HashJoinInput").register(&pool);
        assert_eq!(fill(&join), 64 * MIB);
    }
}
