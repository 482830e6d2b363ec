//! A table of the lake as the engine reads it: the log says which files there are and which of them can matter to a query.
//!
//! The scan of the Delta library gives the engine statistics of every column of every file: 70 KB for a file of one
//! event, 1.3 GiB for an event a day in fifty years. Here a scan holds a path and a day for each file; what to skip inside
//! a file is told by the file.

use crate::delta::some_files::{SomeFiles, located};
use crate::delta::table_name::TableName;
use crate::error::LakeError;
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::compute::cast;
use arrow::compute::kernels::numeric::add_wrapping;
use arrow::datatypes::{DataType, Int64Type, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::stats::Precision;
use datafusion::common::{Column, ToDFSchema};
use datafusion::datasource::TableType;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::error::DataFusionError;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::scalar::ScalarValue;
use deltalake_core::DeltaTable;
use deltalake_core::kernel::LogDataHandler;
use std::collections::HashSet;
use std::sync::{Arc, OnceLock};
use url::Position;

/// The log keeps times in milliseconds, rounded down.
const ROUNDED_MICROS: i64 = 1_000;

/// Texts of events that are long, and the column that tells events apart.
const WIDE: &[&str] = &["payload", "context"];
const TYPE: &str = "type";

/// A table at one version.
#[derive(Debug)]
pub(crate) struct Logged {
    table: DeltaTable,
    schema: SchemaRef,
    /// The column that parts the table, by its place.
    partition: Option<usize>,
    /// All files, once a scan reads all of them; a query may scan a table a dozen times.
    all: OnceLock<(Arc<[PartitionedFile]>, Precision<usize>)>,
}

impl Logged {
    /// None where files are more than plain Parquet (column mapping, deletion vectors): those are for the Delta library.
    pub(crate) fn open(table: &DeltaTable, name: &TableName) -> Result<Option<Self>, LakeError> {
        let snapshot = table.snapshot().map_err(LakeError::table("read", name.to_string()))?;
        let columns = snapshot.metadata().partition_columns();
        if snapshot.protocol().min_reader_version() > 1 || columns.len() > 1 {
            return Ok(None);
        }
        let schema = snapshot.snapshot().arrow_schema();
        let partition = columns.first().and_then(|column| schema.index_of(column).ok());
        Ok(Some(Self { table: table.clone(), schema, partition, all: OnceLock::new() }))
    }

    /// The files that are relevant, and the rows in them.
    fn files(
        &self,
        log: &LogDataHandler<'_>,
        relevant: &[bool],
    ) -> Result<(Arc<[PartitionedFile]>, Precision<usize>), DataFusionError> {
        let url = self.table.table_url();
        let data_type = self.partition.map(|at| self.schema.field(at).data_type());
        let (mut files, mut rows) = (Vec::new(), Some(0));
        for (file, _) in log.iter().zip(relevant).filter(|(_, relevant)| **relevant) {
            let day = file.partition_values_map().into_values().next().flatten().unwrap_or_default();
            files.push(located(url, (&file.path(), &day, file.size().unsigned_abs()), data_type)?);
            rows = rows.and_then(|rows| Some(rows + file.num_records()?));
        }
        Ok((files.into(), rows.map_or(Precision::Absent, Precision::Exact)))
    }

    /// For each file whether it can have a row for these filters; none when nothing can be told.
    fn relevant(
        &self,
        state: &dyn Session,
        filters: &[Expr],
        log: &LogDataHandler<'_>,
    ) -> Result<Option<Vec<bool>>, DataFusionError> {
        let Some(filter) = conjunction(filters.iter().cloned()) else { return Ok(None) };
        let filter = state.create_physical_expr(filter, &self.schema.clone().to_dfschema()?)?;
        let predicate = PruningPredicateBuilder::new().with_file_schema(self.schema.clone()).try_build(filter)?;
        let partition = self.partition.map(|at| self.schema.field(at).name().as_str());
        predicate.prune(&Ranges { log, partition }).map(Some)
    }

    /// Whether events of some types are wanted with their payloads: most of what there is may be samples of another type, and
    /// their payloads are most of the bytes.
    fn is_of_types(&self, projection: Option<&Vec<usize>>, filters: &[Expr]) -> bool {
        let is_wide = |at: &usize| WIDE.contains(&self.schema.field(*at).name().as_str());
        let only_type = |filter: &Expr| {
            let columns = filter.column_refs();
            columns.len() == 1 && columns.iter().all(|column| column.name == TYPE)
        };
        projection.is_none_or(|columns| columns.iter().any(is_wide)) && filters.iter().any(only_type)
    }
}

#[async_trait]
impl TableProvider for Logged {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>, DataFusionError> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        let external = |error: deltalake_core::DeltaTableError| DataFusionError::External(error.into());
        let log = self.table.snapshot().map_err(external)?.log_data();
        let relevant = self.relevant(state, filters, &log)?;
        let (files, rows) = match (relevant, self.all.get()) {
            (Some(relevant), _) if relevant.contains(&false) => self.files(&log, &relevant)?,
            (_, Some(all)) => all.clone(),
            _ => {
                let all = self.files(&log, &vec![true; log.num_containers()])?;
                self.all.get_or_init(|| all).clone()
            }
        };
        let url = self.table.table_url();
        let some = SomeFiles {
            schema: self.schema.clone(),
            partition: self.partition,
            store: ObjectStoreUrl::parse(&url[..Position::BeforePath])?,
            files,
            rows,
            filters_first: self.is_of_types(projection, filters),
        };
        some.scan(state, projection, &[], limit).await
    }
}

/// What the log says of the values in each file: of the day all, of a time from where to where, of others nothing.
struct Ranges<'a> {
    log: &'a LogDataHandler<'a>,
    partition: Option<&'a str>,
}

impl Ranges<'_> {
    fn told(&self, values: Option<ArrayRef>, column: &Column, rounded: i64) -> Option<ArrayRef> {
        let values = values?;
        if self.partition == Some(column.name.as_str()) {
            return Some(values);
        }
        let DataType::Timestamp(..) = values.data_type() else { return None };
        let micros = cast(&values, &DataType::Int64).ok()?;
        let rounded = arrow::array::Int64Array::new_scalar(rounded);
        let micros = add_wrapping(&micros.as_primitive::<Int64Type>(), &rounded).ok()?;
        cast(&micros, values.data_type()).ok()
    }
}

impl PruningStatistics for Ranges<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.told(self.log.min_values(column), column, -ROUNDED_MICROS)
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.told(self.log.max_values(column), column, ROUNDED_MICROS)
    }

    fn num_containers(&self) -> usize {
        self.log.num_containers()
    }

    fn null_counts(&self, _: &Column) -> Option<ArrayRef> {
        None
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        None
    }

    fn contained(&self, _: &Column, _: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}
