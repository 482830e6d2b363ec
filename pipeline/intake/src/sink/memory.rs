//! A sink of the tests.

use super::{NO_DAY, Sink};
use crate::error::IntakeError;
use crate::rows::Rows;
use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use domain::identity::hex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// Keeps what is new in memory.
#[derive(Default)]
pub(crate) struct Memory {
    ids: Mutex<BTreeMap<i32, BTreeSet<u128>>>,
    rejects: Mutex<Vec<RecordBatch>>,
    pub(crate) days_written: AtomicU64,
}

impl Memory {
    fn ids(&self) -> std::sync::MutexGuard<'_, BTreeMap<i32, BTreeSet<u128>>> {
        self.ids.lock().unwrap()
    }

    /// How many events there are.
    pub(crate) fn events(&self) -> usize {
        self.ids().iter().filter(|(day, _)| **day != NO_DAY).map(|(_, ids)| ids.len()).sum()
    }

    /// How many rejects there are.
    pub(crate) fn rejects(&self) -> usize {
        self.ids().get(&NO_DAY).map_or(0, BTreeSet::len)
    }
}

impl Sink for Memory {
    fn load(&self, day: i32, give: &mut dyn FnMut(u128)) -> Result<(), IntakeError> {
        self.ids().get(&day).into_iter().flatten().for_each(|id| give(*id));
        Ok(())
    }

    fn write_day(&self, day: i32, rows: &Rows) -> Result<(), IntakeError> {
        self.days_written.fetch_add(1, Ordering::Relaxed);
        let mut ids = self.ids();
        let of_day = ids.entry(day).or_default();
        for id in rows.ids() {
            assert!(of_day.insert(id), "{} is written twice", hex(id));
        }
        Ok(())
    }

    fn write_rejects(&self, rejects: RecordBatch) -> Result<(), IntakeError> {
        let of_none: Vec<u128> = rejects.column(0).as_string::<i32>().iter().flatten().map(number).collect();
        self.ids().entry(NO_DAY).or_default().extend(of_none);
        self.rejects.lock().unwrap().push(rejects);
        Ok(())
    }

    fn each_reject(
        &self,
        columns: &[&str],
        take: &mut dyn FnMut(RecordBatch) -> Result<(), IntakeError>,
    ) -> Result<(), IntakeError> {
        let batches = self.rejects.lock().unwrap().clone();
        batches.into_iter().try_for_each(|batch| {
            let places: Vec<usize> = columns.iter().map(|name| batch.schema().index_of(name).unwrap()).collect();
            take(batch.project(&places).unwrap())
        })
    }

    fn abandon(&self) {
        self.ids().clear();
        self.rejects.lock().unwrap().clear();
    }
}

fn number(id: &str) -> u128 {
    u128::from_str_radix(id, 16).unwrap()
}
