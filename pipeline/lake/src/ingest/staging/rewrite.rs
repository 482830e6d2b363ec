//! Files written anew without some of their rows: what a race has shown to be known, and rejects that are none any
//! more.

use super::{
    Add, HashSet, LakeError, Outcome, Races, Staging, Target, Written, commit, identities, identity, lock,
    parquet_error, plain_add, properties,
};
use arrow::array::{BooleanArray, RecordBatch};
use deltalake_core::DeltaTable;
use deltalake_core::kernel::Action;
use futures::StreamExt;
use object_store::PutMode;
use parquet::arrow::arrow_writer::ArrowWriter;
use parquet::arrow::async_reader::ParquetRecordBatchStream;
use parquet::arrow::{ParquetRecordBatchStreamBuilder, ProjectionMask};

/// Rows of rejects that are in memory together: each may have 64 KiB.
const BATCH_ROWS: usize = 256;

/// What is left of a file, in a new one.
struct Rest {
    path: String,
    size: usize,
    rows: u64,
}

impl Staging<'_> {
    /// Gives some columns of the rejects that the lake held when it was read, batch by batch. Not to be called by what
    /// is asynchronous.
    pub(super) fn rejects(
        &self,
        columns: &[&str],
        take: &mut dyn FnMut(RecordBatch) -> Result<(), LakeError>,
    ) -> Result<(), LakeError> {
        let Some((_, files)) = self.seen.get(&Target::Rejects) else { return Ok(()) };
        for path in files.values().flatten() {
            let mut batches = self.handle.block_on(self.batches(Target::Rejects, path, Some(columns)))?;
            while let Some(batch) = self.handle.block_on(batches.next()) {
                take(batch.map_err(|source| parquet_error("read", path, source))?)?;
            }
        }
        Ok(())
    }

    async fn batches(
        &self,
        target: Target,
        path: &str,
        columns: Option<&[&str]>,
    ) -> Result<ParquetRecordBatchStream<crate::delta::parquet_file::ParquetFile>, LakeError> {
        let failed = |source| parquet_error("read", path, source);
        let reader = self.store.parquet(&format!("staging/{}/{path}", target.name().table));
        let mut builder = ParquetRecordBatchStreamBuilder::new(reader).await.map_err(failed)?;
        if let Some(columns) = columns {
            let mask = ProjectionMask::columns(builder.parquet_schema(), columns.iter().copied());
            builder = builder.with_projection(mask);
        }
        builder.with_batch_size(BATCH_ROWS).build().map_err(failed)
    }

    /// Takes rejects out of their table and adds those that were written here, in one commit.
    pub(in crate::ingest) async fn replace_rejects(&self, gone: &HashSet<u128>) -> Result<(), LakeError> {
        let target = Target::Rejects;
        let (mut current, mut seen) = self.at_start(target);
        let mut races = Races::over(target.name());
        loop {
            let Some(table) = &current else { return Ok(()) };
            self.check_presence().await?;
            let (old, rest) = self.without_gone(table, gone).await?;
            let adds: Vec<Add> = lock(self.written(target)).iter().map(|file| file.add.clone()).collect();
            if old.is_empty() && adds.is_empty() {
                return Ok(());
            }
            let new = adds.into_iter().chain(rest.clone()).collect();
            let done = commit::swap(&self.store, &target.name(), table, old, new).await;
            match self.known(target, done)? {
                Outcome::Committed(version) => {
                    self.committed(target, version);
                    return Ok(());
                }
                Outcome::Lost => races.lose()?,
            }
            for file in &rest {
                self.store.delete(&format!("staging/rejects/{}", file.path)).await?;
            }
            current = self.catch_up(target, &mut seen).await?;
        }
    }

    /// The files that hold rejects to be taken out, and what is left of them.
    async fn without_gone(
        &self,
        table: &DeltaTable,
        gone: &HashSet<u128>,
    ) -> Result<(Vec<Action>, Vec<Add>), LakeError> {
        let target = Target::Rejects;
        let (mut old, mut rest) = (Vec::new(), Vec::new());
        let snapshot = table.snapshot().map_err(LakeError::table("read", target.name().to_string()))?;
        let now = chrono::Utc::now().timestamp_millis();
        for file in snapshot.log_data().iter() {
            let path = file.path().into_owned();
            let (mut rows, mut found) = (0, 0);
            self.read_ids(target, std::slice::from_ref(&path), &mut |id| {
                rows += 1;
                found += usize::from(gone.contains(&id));
            })
            .await?;
            if found == 0 {
                continue;
            }
            if found < rows {
                let left = self.rest(target, &path, gone).await?;
                rest.push(plain_add(left.path, left.size, left.rows));
            }
            let mut remove = file.remove_action(true);
            remove.deletion_timestamp = Some(now);
            old.push(Action::Remove(remove));
        }
        Ok((old, rest))
    }

    /// Writes a file of ours anew without the rows that are known.
    pub(super) async fn without(
        &self,
        target: Target,
        file: &Written,
        known: &HashSet<u128>,
    ) -> Result<Written, LakeError> {
        let Rest { path, size, rows } = self.rest(target, &file.add.path, known).await?;
        // The bounds of the old file hold for what is left of it; the count does not.
        let mut add = Add { path, size: size as i64, ..file.add.clone() };
        if let Some(Ok(serde_json::Value::Object(mut stats))) = add.stats.as_deref().map(serde_json::from_str) {
            stats.insert("numRecords".into(), rows.into());
            add.stats = Some(serde_json::Value::Object(stats).to_string());
        }
        Ok(Written { add, day: file.day, rows })
    }

    /// Writes what is left of a file when some rows go.
    async fn rest(&self, target: Target, path: &str, gone: &HashSet<u128>) -> Result<Rest, LakeError> {
        let failed = |source| parquet_error("write", path, source);
        let mut batches = self.batches(target, path, None).await?;
        let properties = Some((*properties(usize::MAX)).clone());
        let mut writer = ArrowWriter::try_new(Vec::new(), batches.schema().clone(), properties).map_err(failed)?;
        let mut rows = 0;
        while let Some(batch) = batches.next().await {
            let batch = batch.map_err(|source| parquet_error("read", path, source))?;
            let ids = identities(&batch, target)?;
            let stays = |id: Option<&str>| id.and_then(identity).is_none_or(|id| !gone.contains(&id));
            let stays: BooleanArray = ids.iter().map(|id| Some(stays(id))).collect();
            let batch = arrow::compute::filter_record_batch(&batch, &stays);
            let batch = batch.map_err(LakeError::columns(&target.name().to_string()))?;
            rows += batch.num_rows() as u64;
            writer.write(&batch).map_err(failed)?;
        }
        let bytes = writer.into_inner().map_err(failed)?;
        let size = bytes.len();
        let name = match path.rsplit_once('/') {
            Some((day, _)) => format!("{day}/{}", self.file_name()?),
            None => self.file_name()?,
        };
        self.store.put(&format!("staging/{}/{name}", target.name().table), bytes, PutMode::Overwrite).await?;
        Ok(Rest { path: name, size, rows })
    }
}
