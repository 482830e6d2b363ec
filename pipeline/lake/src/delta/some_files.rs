//! Some files of a table, as a table: who asks for a few days of a long history has found them already, and asks often.

use crate::engine::held::Held;
use crate::engine::portions::Portioned;
use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Schema, SchemaRef};
use async_trait::async_trait;
use chrono::DateTime;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Statistics;
use datafusion::common::stats::Precision;
use datafusion::datasource::TableType;
use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::DataFusionError;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::scalar::ScalarValue;
use object_store::ObjectMeta;
use object_store::path::Path;
use std::sync::Arc;
use url::Url;

/// More files than this, each smaller than [`SMALL_BYTES`], are read without being told what to skip: there is next to
/// nothing in them, and planning would copy their list a dozen times.
const MANY: usize = 512;
const SMALL_BYTES: u64 = 64 << 10;

/// Files of one table that lie in one object store.
#[derive(Debug)]
pub(crate) struct SomeFiles {
    /// Of the table.
    pub(crate) schema: SchemaRef,
    /// The place of the column that the files do not hold, because it is the same for all rows of one.
    pub(crate) partition: Option<usize>,
    pub(crate) store: ObjectStoreUrl,
    pub(crate) files: Arc<[PartitionedFile]>,
    /// For choosing how to join, and where it is exact for counting.
    pub(crate) rows: Precision<usize>,
    /// Whether the filters are tried first, on their columns alone: the others are read of the rows that pass.
    pub(crate) filters_first: bool,
}

/// Where a file of a table is, and what its rows have in the column that parts the table.
pub(crate) fn located(
    table: &Url,
    (path, day, bytes): (&str, &str, u64),
    partition: Option<&DataType>,
) -> Result<PartitionedFile, DataFusionError> {
    let place = table.join(path).map_err(|error| DataFusionError::External(error.into()))?;
    let file = PartitionedFile::new_from_meta(ObjectMeta {
        location: Path::from_url_path(place.path()).map_err(|error| DataFusionError::External(error.into()))?,
        last_modified: DateTime::UNIX_EPOCH,
        size: bytes,
        e_tag: None,
        version: None,
    });
    let value = partition.map(|data_type| match day {
        "" => ScalarValue::try_new_null(data_type),
        day => ScalarValue::try_from_string(day.to_owned(), data_type),
    });
    Ok(file.with_partition_values(value.transpose()?.into_iter().collect()))
}

#[async_trait]
impl TableProvider for SomeFiles {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        if let (true, Some(held)) = (self.is_scattered(limit), state.config().get_extension::<Held>())
            && let Some(rows) = held.rows(self, state).await?
        {
            let each = rows.len().div_ceil(state.config().target_partitions()).max(1);
            let parts: Vec<_> = rows.chunks(each).map(<[RecordBatch]>::to_vec).collect();
            let scan: Arc<dyn ExecutionPlan> =
                MemorySourceConfig::try_new_exec(&parts, self.schema.clone(), projection.cloned())?;
            return Ok(scan);
        }
        self.scan_files(state, projection, limit).await
    }
}

impl SomeFiles {
    /// Whether there are many files with next to nothing in each.
    fn is_scattered(&self, limit: Option<usize>) -> bool {
        let bytes: u64 = self.files.iter().map(|file| file.object_meta.size).sum();
        limit.is_none() && self.files.len() > MANY && bytes / (self.files.len() as u64) < SMALL_BYTES
    }

    /// Reads the files.
    pub(crate) async fn scan_files(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        let columns = self.schema.fields().len();
        let wanted = projection.cloned().unwrap_or_else(|| (0..columns).collect());
        if self.files.is_empty() {
            return Ok(Arc::new(EmptyExec::new(Arc::new(self.schema.project(&wanted)?))));
        }
        // The reader has the partition after the columns of the files.
        let (mut held, mut same) = (self.schema.fields().to_vec(), Vec::new());
        same.extend(self.partition.map(|at| held.remove(at)));
        let place = |at: usize| match self.partition {
            Some(partition) if at == partition => columns - 1,
            Some(partition) if at > partition => at - 1,
            _ => at,
        };
        let table = TableSchema::builder(Arc::new(Schema::new(held))).with_table_partition_cols(same).build();
        let mut statistics = Statistics::new_unknown(table.table_schema());
        statistics.num_rows = self.rows;
        let mut options = state.table_options().parquet.clone();
        options.global.pushdown_filters |= self.filters_first;
        let format = ParquetFormat::new().with_options(options);
        let partitions = state.config().target_partitions();
        let is_scattered = self.is_scattered(limit);
        let groups = match is_scattered {
            true => vec![FileGroup::default(); partitions],
            false => FileGroup::new(self.files.to_vec()).split_files(partitions),
        };
        let config = FileScanConfigBuilder::new(self.store.clone(), format.file_source(table))
            .with_file_groups(groups)
            .with_projection_indices(Some(wanted.into_iter().map(place).collect()))?
            .with_statistics(statistics)
            .with_limit(limit)
            .build();
        let scan = format.create_physical_plan(state, config).await?;
        let portioned = is_scattered.then(|| Portioned::sharing(&scan, &self.files)).flatten();
        Ok(portioned.map_or(scan, |portioned| Arc::new(portioned)))
    }
}
