//! Rows of thousands of small files, held while tables are made from them.
//!
//! The engine reads a table again for each place of a query that names it, and the next table reads it once more. Of a day
//! with a few rows the file's own description is most of it: 70,000 runs over five years were opened 200,000 times. So the
//! first who scans such files reads them whole, and who comes later gets the rows.

use crate::delta::some_files::SomeFiles;
use arrow::array::RecordBatch;
use arrow::compute::BatchCoalescer;
use datafusion::catalog::Session;
use datafusion::error::DataFusionError;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use domain::identity::hash128;
use futures::StreamExt;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::OnceCell;
use tokio::task::JoinSet;

/// What all that is held may take; the oldest goes first.
const MOST_BYTES: usize = 128 << 20;

/// Rows of one batch.
const BATCH_ROWS: usize = 8192;

/// The rows of some files, read by the first who asks; none where they are too many to be held.
type Rows = Arc<OnceCell<Option<Arc<[RecordBatch]>>>>;

/// What is held, by the files that it was read from. Files of a table never change.
#[derive(Debug, Default)]
pub(crate) struct Held {
    sets: Mutex<VecDeque<(String, Rows)>>,
}

impl Held {
    /// The rows of files with all columns, in the order of the files; none where they are too many.
    pub(crate) async fn rows(
        &self,
        files: &SomeFiles,
        state: &dyn Session,
    ) -> Result<Option<Arc<[RecordBatch]>>, DataFusionError> {
        let cell = self.cell(key(files));
        let rows = cell.get_or_try_init(|| read(files, state)).await?.clone();
        self.shrink();
        Ok(rows)
    }

    fn cell(&self, key: String) -> Rows {
        let mut sets = self.sets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, rows)) = sets.iter().find(|(of, _)| *of == key) {
            return rows.clone();
        }
        let rows = Rows::default();
        sets.push_back((key, rows.clone()));
        rows
    }

    /// Lets go of the oldest until the rest fits.
    fn shrink(&self) {
        let mut sets = self.sets.lock().unwrap_or_else(PoisonError::into_inner);
        let held = |rows: &Rows| rows.get().and_then(Option::as_deref).map_or(0, bytes);
        let sizes: Vec<usize> = sets.iter().map(|(_, rows)| held(rows)).collect();
        let mut all: usize = sizes.iter().sum();
        for size in sizes {
            if all <= MOST_BYTES {
                break;
            }
            sets.pop_front();
            all -= size;
        }
    }
}

fn bytes(rows: &[RecordBatch]) -> usize {
    rows.iter().map(RecordBatch::get_array_memory_size).sum()
}

fn key(files: &SomeFiles) -> String {
    let mut names = files.store.as_str().to_owned();
    for file in files.files.iter() {
        names.push('\n');
        names.push_str(file.object_meta.location.as_ref());
    }
    hash128(names.as_bytes())
}

/// Reads the files whole, unless that turns out to be too much.
async fn read(files: &SomeFiles, state: &dyn Session) -> Result<Option<Arc<[RecordBatch]>>, DataFusionError> {
    let packed: u64 = files.files.iter().map(|file| file.object_meta.size).sum();
    if packed > MOST_BYTES as u64 {
        return Ok(None);
    }
    let scan = files.scan_files(state, None, None).await?;
    let partitions = scan.output_partitioning().partition_count().max(1);
    // In the order of the partitions; whoever stops asking stops all of them.
    let mut tasks = JoinSet::new();
    for at in 0..partitions {
        let part = part(scan.clone(), at, state.task_ctx(), MOST_BYTES / partitions);
        tasks.spawn(async move { part.await.map(|rows| (at, rows)) });
    }
    let mut parts = BTreeMap::new();
    while let Some(done) = tasks.join_next().await {
        let (at, rows) = done.map_err(|panic| DataFusionError::External(panic.into()))??;
        let Some(rows) = rows else { return Ok(None) };
        parts.insert(at, rows);
    }
    Ok(Some(parts.into_values().flatten().collect()))
}

/// The rows of one partition in whole batches; none where they take more than `most` bytes.
async fn part(
    scan: Arc<dyn ExecutionPlan>,
    at: usize,
    task: Arc<TaskContext>,
    most: usize,
) -> Result<Option<Vec<RecordBatch>>, DataFusionError> {
    let mut stream = scan.execute(at, task)?;
    let mut whole = BatchCoalescer::new(scan.schema(), BATCH_ROWS);
    let (mut rows, mut taken) = (Vec::new(), 0);
    while let Some(batch) = stream.next().await {
        whole.push_batch(batch?)?;
        while let Some(batch) = whole.next_completed_batch() {
            taken += batch.get_array_memory_size();
            rows.push(batch);
        }
        if taken + whole.size() > most {
            return Ok(None);
        }
    }
    whole.finish_buffered_batch()?;
    rows.extend(whole.next_completed_batch());
    Ok(Some(rows))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delta::some_files::located;
    use arrow::array::{AsArray, Int64Array};
    use arrow::datatypes::{DataType, Field, Int64Type, Schema};
    use datafusion::common::stats::Precision;
    use datafusion::execution::object_store::ObjectStoreUrl;
    use datafusion::prelude::{SessionConfig, SessionContext};
    use parquet::arrow::ArrowWriter;
    use url::Url;

    const FILES: i64 = 600;

    fn files(folder: &std::path::Path) -> SomeFiles {
        let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, true)]));
        let url = Url::from_directory_path(folder).unwrap();
        let file = |n: i64| {
            let name = format!("{n:04}.parquet");
            let rows = RecordBatch::try_new(schema.clone(), vec![Arc::new(Int64Array::from(vec![n, -n, 1]))]).unwrap();
            let out = std::fs::File::create(folder.join(&name)).unwrap();
            let mut writer = ArrowWriter::try_new(out, schema.clone(), None).unwrap();
            writer.write(&rows).unwrap();
            writer.close().unwrap();
            let bytes = std::fs::metadata(folder.join(&name)).unwrap().len();
            located(&url, (&name, "", bytes), None).unwrap()
        };
        let files: Vec<_> = (0..FILES).map(file).collect();
        let store = ObjectStoreUrl::parse("file://").unwrap();
        SomeFiles { schema, partition: None, store, files: files.into(), rows: Precision::Inexact(3 * FILES as usize) }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn many_small_files_are_read_once_however_often_they_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let table = Arc::new(files(folder.path()));
        let context = SessionContext::new_with_config(SessionConfig::new().with_extension(Arc::new(Held::default())));
        context.register_table("t", table).unwrap();
        let query = "select count(*) as rows, sum(a.n) as sum from t as a where n >= (select min(n) from t)";
        let answer = || async {
            let batches = context.sql(query).await.unwrap().collect().await.unwrap();
            let number = |at: usize| batches[0].column(at).as_primitive::<Int64Type>().value(0);
            (number(0), number(1))
        };
        assert_eq!(answer().await, (3 * FILES, FILES));
        std::fs::remove_dir_all(folder.path()).unwrap();
        assert_eq!(answer().await, (3 * FILES, FILES), "it was read again");
    }

    #[test]
    fn the_oldest_goes_first() {
        let held = Held::default();
        let batch = |bytes: usize| {
            let column = Arc::new(Int64Array::from(vec![0; bytes / 8]));
            let schema = Schema::new(vec![Field::new("n", DataType::Int64, false)]);
            RecordBatch::try_new(Arc::new(schema), vec![column]).unwrap()
        };
        for name in ["one", "two", "three"] {
            held.cell(name.to_owned()).set(Some([batch(MOST_BYTES / 2 - 4096)].into())).unwrap();
            held.shrink();
        }
        assert!(held.cell("two".into()).get().is_some() && held.cell("three".into()).get().is_some());
        assert!(held.cell("one".into()).get().is_none());
    }
}
