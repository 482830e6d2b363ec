//! Which events are known: those of the lake's touched days, and those this ingest has taken, in bounded memory.
//!
//! Identities are kept by day. When they take too much memory, the days that rested longest go to a scratch file and
//! leave a Bloom filter behind: what it has never seen is new, what it may have seen is doubtful and decided later
//! against the file, many at a time.

use crate::error::IntakeError;
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::hash::{BuildHasherDefault, Hasher};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What is known of an event's identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Never seen; from now on it is.
    New,
    /// Seen.
    Known,
    /// To be asked again with [`Known::decide`].
    Doubtful,
}

/// Identities are keyed hashes already: any of their bits serve.
#[derive(Default)]
struct Taken(u64);

impl Hasher for Taken {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = self.0 << 8 | u64::from(*byte));
    }

    fn write_u128(&mut self, id: u128) {
        self.0 = id as u64;
    }
}

type Ids = HashSet<u128, BuildHasherDefault<Taken>>;

/// Parts of a day, by the first bits of the identity, so that workers rarely wait for each other.
const SHARDS: usize = 16;

/// Memory of one identity in a set, the slack of the set included.
const ID_BYTES: usize = 28;

/// Filter bits for each identity: with four probes, about one new event in a hundred is doubtful.
const FILTER_BITS: usize = 12;

/// One day.
pub struct Day {
    shards: [Mutex<Shard>; SHARDS],
    /// When it was last used, in calls of [`Known::day`].
    used: AtomicU64,
}

#[derive(Default)]
struct Shard {
    fresh: Ids,
    resting: Vec<Segment>,
}

/// Identities in the scratch file.
struct Segment {
    filter: Vec<u64>,
    at: u64,
    count: usize,
}

/// Reads the identities that the lake holds of a day, one by one.
pub type Load<'l> = dyn Fn(i32, &mut dyn FnMut(u128)) -> Result<(), IntakeError> + Sync + 'l;

type Slot = Arc<Mutex<Option<Arc<Day>>>>;

/// The identities of all touched days.
pub struct Known<'l> {
    load: &'l Load<'l>,
    days: Mutex<HashMap<i32, Slot>>,
    clock: AtomicU64,
    /// Identities in memory.
    count: AtomicUsize,
    limit: usize,
    scratch: Mutex<Option<(File, u64)>>,
}

#[inline]
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A poisoned lock means that another worker panicked: that panic ends the ingest when its thread is joined.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[inline]
fn shard_of(id: u128) -> usize {
    (id >> 124) as usize
}

impl Day {
    /// What is known of an identity.
    #[inline]
    pub fn meet(&self, id: u128, known: &Known) -> Verdict {
        let mut shard = lock(&self.shards[shard_of(id)]);
        if !shard.resting.is_empty() && !shard.fresh.contains(&id) && shard.resting.iter().any(|s| s.may_hold(id)) {
            return Verdict::Doubtful;
        }
        if shard.fresh.insert(id) {
            known.count.fetch_add(1, Ordering::Relaxed);
            Verdict::New
        } else {
            Verdict::Known
        }
    }
}

impl<'l> Known<'l> {
    /// Keeps at most about `memory_bytes` of identities; `load` brings those of the lake.
    pub fn new(memory_bytes: usize, load: &'l Load<'l>) -> Self {
        Self {
            load,
            days: Mutex::default(),
            clock: AtomicU64::new(0),
            count: AtomicUsize::new(0),
            limit: memory_bytes / ID_BYTES,
            scratch: Mutex::default(),
        }
    }

    /// A day, with what the lake holds of it.
    pub fn day(&self, day: i32) -> Result<Arc<Day>, IntakeError> {
        let slot = lock(&self.days).entry(day).or_default().clone();
        let mut slot = lock(&slot);
        let found = match &*slot {
            Some(found) => found.clone(),
            None => {
                let new = Arc::new(Day { shards: Default::default(), used: AtomicU64::new(0) });
                let (mut given, mut rested) = (0u64, Ok(()));
                (self.load)(day, &mut |id| {
                    if lock(&new.shards[shard_of(id)]).fresh.insert(id) {
                        self.count.fetch_add(1, Ordering::Relaxed);
                    }
                    given += 1;
                    // A day alone may be more than the limit.
                    if given.is_multiple_of(1 << 16)
                        && self.count.load(Ordering::Relaxed) > self.limit
                        && rested.is_ok()
                    {
                        rested = self.send_to_rest(&new);
                    }
                })?;
                rested?;
                slot.insert(new).clone()
            }
        };
        found.used.store(self.clock.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        Ok(found)
    }

    /// Sends days to rest until the limit holds, the longest unused first.
    pub fn shrink(&self) -> Result<(), IntakeError> {
        while self.count.load(Ordering::Relaxed) > self.limit {
            let days: Vec<Slot> = lock(&self.days).values().cloned().collect();
            let oldest = days
                .iter()
                .filter_map(|slot| lock(slot).clone())
                .filter(|day| day.shards.iter().any(|shard| !lock(shard).fresh.is_empty()))
                .min_by_key(|day| day.used.load(Ordering::Relaxed));
            let Some(oldest) = oldest else { return Ok(()) };
            self.send_to_rest(&oldest)?;
            oldest.used.store(self.clock.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        }
        Ok(())
    }

    fn send_to_rest(&self, day: &Day) -> Result<(), IntakeError> {
        for shard in &day.shards {
            let mut shard = lock(shard);
            let ids = std::mem::take(&mut shard.fresh);
            if !ids.is_empty() {
                self.count.fetch_sub(ids.len(), Ordering::Relaxed);
                let segment = self.rest(ids).map_err(IntakeError::Scratch)?;
                shard.resting.push(segment);
            }
        }
        Ok(())
    }

    fn rest(&self, ids: Ids) -> io::Result<Segment> {
        let mut scratch = lock(&self.scratch);
        let (file, end) = match &mut *scratch {
            Some(open) => open,
            None => scratch.insert((tempfile::tempfile()?, 0)),
        };
        let mut segment = Segment { filter: vec![0; ids.len() * FILTER_BITS / 64 + 1], at: *end, count: ids.len() };
        let mut bytes = Vec::with_capacity(ids.len() * 16);
        for id in ids {
            segment.add(id);
            bytes.extend_from_slice(&id.to_le_bytes());
        }
        file.seek(SeekFrom::Start(*end))?;
        file.write_all(&bytes)?;
        *end += bytes.len() as u64;
        Ok(segment)
    }

    /// Of doubtful identities those that are new; from now on they are known.
    pub fn decide(&self, day: &Day, doubtful: &[u128]) -> Result<HashSet<u128>, IntakeError> {
        let mut asked: [Ids; SHARDS] = Default::default();
        for id in doubtful {
            asked[shard_of(*id)].insert(*id);
        }
        let mut new = HashSet::new();
        for (mut ids, shard) in asked.into_iter().zip(&day.shards) {
            if ids.is_empty() {
                continue;
            }
            let mut shard = lock(shard);
            ids.retain(|id| !shard.fresh.contains(id));
            for segment in &shard.resting {
                self.strike(segment, &mut ids).map_err(IntakeError::Scratch)?;
            }
            self.count.fetch_add(ids.len(), Ordering::Relaxed);
            for id in ids {
                shard.fresh.insert(id);
                new.insert(id);
            }
        }
        Ok(new)
    }

    /// Takes out what a segment holds.
    fn strike(&self, segment: &Segment, ids: &mut Ids) -> io::Result<()> {
        let mut scratch = lock(&self.scratch);
        let Some((file, _)) = &mut *scratch else { return Ok(()) };
        file.seek(SeekFrom::Start(segment.at))?;
        let mut left = segment.count;
        let mut bytes = vec![0; 16 * 4096];
        while left > 0 && !ids.is_empty() {
            let some = left.min(4096);
            file.read_exact(&mut bytes[..16 * some])?;
            for id in bytes[..16 * some].chunks_exact(16) {
                ids.remove(&u128::from_le_bytes(id.try_into().expect("chunks of sixteen bytes")));
            }
            left -= some;
        }
        Ok(())
    }
}

impl Segment {
    /// The bits of an identity: its own bits are random enough.
    #[inline]
    fn bits(&self, id: u128) -> [usize; 4] {
        let bits = self.filter.len() as u64 * 64;
        // The top bits chose the shard, which is the same for all in it: the probes use the other 124.
        [0, 31, 62, 93].map(|shift| ((((id >> shift) as u64 & 0x7fff_ffff) * bits) >> 31) as usize)
    }

    fn add(&mut self, id: u128) {
        for bit in self.bits(id) {
            self.filter[bit / 64] |= 1 << (bit % 64);
        }
    }

    fn may_hold(&self, id: u128) -> bool {
        self.bits(id).into_iter().all(|bit| self.filter[bit / 64] >> (bit % 64) & 1 == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn id(n: u64) -> u128 {
        let hash = domain::identity::hash128(&n.to_le_bytes());
        u128::from_str_radix(&hash, 16).unwrap()
    }

    proptest! {
        #[test]
        fn however_little_memory_there_is_each_identity_is_new_once(
            met in proptest::collection::vec((0i32..4, 0u64..300), 0..2000),
            limit in 0usize..200,
            in_lake in 0u64..100,
        ) {
            let load = |day: i32, give: &mut dyn FnMut(u128)| -> Result<(), IntakeError> {
                (0..in_lake).for_each(|n| give(id(n + 1000 * day as u64)));
                Ok(())
            };
            let known = Known::new(limit * ID_BYTES, &load);
            let mut taken: Vec<u128> = Vec::new();
            let mut doubtful: HashMap<i32, Vec<u128>> = HashMap::new();
            let decide = |day: i32, ids: Vec<u128>| known.decide(&known.day(day).unwrap(), &ids).unwrap();
            for (day, n) in &met {
                let id = id(n + 1000 * *day as u64);
                match known.day(*day).unwrap().meet(id, &known) {
                    Verdict::New => taken.push(id),
                    Verdict::Known => {}
                    Verdict::Doubtful => doubtful.entry(*day).or_default().push(id),
                }
                known.shrink().unwrap();
                if doubtful.get(day).is_some_and(|ids| ids.len() > 20) {
                    taken.extend(decide(*day, doubtful.remove(day).unwrap()));
                }
            }
            doubtful.into_iter().for_each(|(day, ids)| taken.extend(decide(day, ids)));
            let wanted: HashSet<u128> =
                met.iter().filter(|(_, n)| *n >= in_lake).map(|(day, n)| id(n + 1000 * *day as u64)).collect();
            prop_assert_eq!(taken.len(), wanted.len());
            prop_assert_eq!(taken.into_iter().collect::<HashSet<_>>(), wanted);
        }
    }
}
