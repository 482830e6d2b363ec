//! Rows of thousands of small files, held while tables are made from them.
//!
//! The engine reads a table again for each place of a query that names it, and the next table reads it once more. Of a day
//! with a few rows the file's own description is most of it: 70,000 runs over five years were opened 200,000 times. So the
//! first who scans such files reads them whole, without the engine's plan for each, and who comes later gets the rows.

use crate::delta::some_files::SomeFiles;
use arrow::array::{RecordBatch, new_null_array};
use arrow::compute::{BatchCoalescer, cast};
use arrow::datatypes::{Field, SchemaRef};
use datafusion::catalog::Session;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::error::DataFusionError;
use datafusion::scalar::ScalarValue;
use domain::identity::hash128;
use futures::{StreamExt, TryStreamExt, stream};
use intake::BATCH_ROWS;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::OnceCell;
use tokio::task::JoinSet;

/// What all that is held may take; the oldest goes first.
const MOST_BYTES: usize = 128 << 20;

/// Files asked for before they are needed.
const AHEAD: usize = 16;

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
    let store = state.runtime_env().object_store(&files.store)?;
    let parts = state.config().target_partitions().max(1);
    let each = files.files.len().div_ceil(parts).max(1);
    // In the order of the files; whoever stops asking stops all of them.
    let mut tasks = JoinSet::new();
    for (at, from) in (0..files.files.len()).step_by(each).enumerate() {
        let (all, columns, store) = (files.files.clone(), files.columns(), store.clone());
        tasks.spawn(async move {
            let some = &all[from..all.len().min(from + each)];
            part(some, &columns, &*store, MOST_BYTES / parts).await.map(|rows| (at, rows))
        });
    }
    let mut parts = BTreeMap::new();
    while let Some(done) = tasks.join_next().await {
        let (at, rows) = done.map_err(|panic| DataFusionError::External(panic.into()))??;
        let Some(rows) = rows else { return Ok(None) };
        parts.insert(at, rows);
    }
    Ok(Some(parts.into_values().flatten().collect()))
}

/// The rows of some files in whole batches; none where they take more than `most` bytes.
async fn part(
    files: &[PartitionedFile],
    columns: &Columns,
    store: &dyn ObjectStore,
    most: usize,
) -> Result<Option<Vec<RecordBatch>>, DataFusionError> {
    let bytes = |file: &PartitionedFile| {
        let (place, day) = (file.object_meta.location.clone(), file.partition_values.first().cloned());
        async move { Ok::<_, DataFusionError>((store.get(&place).await?.bytes().await?, day)) }
    };
    let mut whole = BatchCoalescer::new(columns.schema.clone(), BATCH_ROWS);
    let (mut rows, mut taken) = (Vec::new(), 0);
    let mut gotten = stream::iter(files.iter().map(bytes)).buffered(AHEAD);
    while let Some((bytes, day)) = gotten.try_next().await? {
        // A reader makes room for as many rows as it is asked for at a time, in every column.
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes)?;
        let held = usize::try_from(reader.metadata().file_metadata().num_rows()).unwrap_or(0);
        for batch in reader.with_batch_size(held.clamp(1, BATCH_ROWS)).build()? {
            whole.push_batch(columns.of(&batch?, day.as_ref())?)?;
        }
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

/// The columns of a table whose files may be older than it.
#[derive(Clone)]
struct Columns {
    schema: SchemaRef,
    /// Of the column that the files do not hold.
    partition: Option<usize>,
}

impl SomeFiles {
    fn columns(&self) -> Columns {
        Columns { schema: self.schema.clone(), partition: self.partition }
    }
}

impl Columns {
    /// A file's rows as the table's: with its `day`, and without what it does not have.
    fn of(&self, rows: &RecordBatch, day: Option<&ScalarValue>) -> Result<RecordBatch, DataFusionError> {
        let column = |(at, field): (usize, &Arc<Field>)| match (rows.column_by_name(field.name()), day) {
            (_, Some(day)) if self.partition == Some(at) => day.to_array_of_size(rows.num_rows()),
            (Some(found), _) => Ok(cast(found, field.data_type())?),
            (None, _) => Ok(new_null_array(field.data_type(), rows.num_rows())),
        };
        let columns = self.schema.fields().iter().enumerate().map(column).collect::<Result<_, _>>()?;
        Ok(RecordBatch::try_new(self.schema.clone(), columns)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delta::some_files::located;
    use arrow::array::{AsArray, Int64Array};
    use arrow::datatypes::{DataType, Date32Type, Field, Int64Type, Schema};
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
        let rows = Precision::Inexact(3 * FILES as usize);
        SomeFiles { schema, partition: None, store, files: files.into(), rows, filters_first: false }
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
    fn rows_of_an_older_file_have_the_day_and_the_type_of_the_table() {
        let field = |name: &str, data_type| Field::new(name, data_type, true);
        let schema = Schema::new(vec![
            field("new", DataType::Utf8),
            field("day", DataType::Date32),
            field("n", DataType::Int64),
        ]);
        let old = Schema::new(vec![field("n", DataType::Int32), field("gone", DataType::Int32)]);
        let of_old = |values: Vec<i32>| Arc::new(arrow::array::Int32Array::from(values));
        let old = RecordBatch::try_new(Arc::new(old), vec![of_old(vec![1, 2]), of_old(vec![3, 4])]).unwrap();
        let columns = Columns { schema: Arc::new(schema), partition: Some(1) };
        let rows = columns.of(&old, Some(&ScalarValue::Date32(Some(7)))).unwrap();
        assert_eq!(rows.column(0).null_count(), 2);
        assert_eq!(rows.column(1).as_primitive::<Date32Type>().values(), &[7, 7]);
        assert_eq!(rows.column(2).as_primitive::<Int64Type>().values(), &[1, 2]);
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
