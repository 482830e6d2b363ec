//! Scans of thousands of files, some at a time.
//!
//! The engine keeps twenty counters with the file's name for each file that it opens, until the query ends: 40 KB a file,
//! more than a day of a sparse history holds. Here they end with their portion, and the list of files is there once.

use datafusion::common::Statistics;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::config::ConfigOptions;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::memory::DataSourceExec;
use datafusion::datasource::physical_plan::{
    FileGroup, FileScanConfig, FileScanConfigBuilder, FileSource, ParquetSource,
};
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, ReplaceChildrenOptions, StatisticsArgs,
};
use futures::{StreamExt, TryStreamExt, stream};
use std::ops::Range;
use std::sync::Arc;

/// Files of one portion.
const FILES: usize = 64;

/// The rule that parts large scans; it comes last, when nothing moves into a scan any more.
#[derive(Debug)]
pub(crate) struct Portions;

impl PhysicalOptimizerRule for Portions {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let parted = plan.transform_up(|plan| {
            Ok(match Portioned::of(&plan) {
                Some(portioned) => Transformed::yes(Arc::new(portioned) as Arc<dyn ExecutionPlan>),
                None => Transformed::no(plan),
            })
        });
        parted.map(|done| done.data)
    }

    fn name(&self) -> &str {
        "Portions"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// A scan of Parquet files whose partitions read a portion of their files after the other.
#[derive(Debug)]
pub(crate) struct Portioned {
    properties: Arc<PlanProperties>,
    files: Arc<[PartitionedFile]>,
    /// Which of the files each partition reads.
    cuts: Vec<Range<usize>>,
    template: Arc<Template>,
}

/// The scan without its files.
#[derive(Debug)]
struct Template {
    scan: Arc<dyn ExecutionPlan>,
    config: FileScanConfig,
    source: ParquetSource,
}

impl Portioned {
    /// Of a scan that opens many files; one with a limit counts its rows over all of them.
    fn of(plan: &Arc<dyn ExecutionPlan>) -> Option<Self> {
        let (config, _) = plan.downcast_ref::<DataSourceExec>()?.downcast_to_file_source::<ParquetSource>()?;
        let is_large = config.limit.is_none() && config.file_groups.iter().any(|group| group.len() > FILES);
        let lengths = config.file_groups.iter().map(FileGroup::len);
        let files = || config.file_groups.iter().flat_map(FileGroup::iter).cloned().collect();
        is_large.then(|| Self::cut(plan, files(), lengths))?
    }

    /// Of a scan planned without its files, which are shared with whoever else scans them: so many to each partition.
    pub(crate) fn sharing(plan: &Arc<dyn ExecutionPlan>, files: &Arc<[PartitionedFile]>) -> Option<Self> {
        let partitions = plan.properties().output_partitioning().partition_count().max(1);
        let each = files.len().div_ceil(partitions);
        let lengths = (0..partitions).map(|at| each.min(files.len().saturating_sub(at * each)));
        Self::cut(plan, Arc::clone(files), lengths)
    }

    fn cut(
        plan: &Arc<dyn ExecutionPlan>,
        files: Arc<[PartitionedFile]>,
        lengths: impl Iterator<Item = usize>,
    ) -> Option<Self> {
        let (config, source) = plan.downcast_ref::<DataSourceExec>()?.downcast_to_file_source::<ParquetSource>()?;
        let without = FileScanConfigBuilder::from(config.clone()).with_file_groups(Vec::new()).build();
        let scan = DataSourceExec::from_data_source(without.clone());
        let cuts = lengths.scan(0, |from, length| {
            let cut = *from..*from + length;
            *from = cut.end;
            Some(cut)
        });
        Some(Self {
            properties: Arc::clone(plan.properties()),
            files,
            cuts: cuts.collect(),
            template: Arc::new(Template { scan, config: without, source: source.clone() }),
        })
    }
}

impl Template {
    /// A scan of some files, with counters of its own.
    fn portion(&self, files: FileGroup) -> Result<Arc<dyn ExecutionPlan>> {
        let of = &self.source;
        let mut source = ParquetSource::new(of.table_schema().clone())
            .with_table_parquet_options(of.table_parquet_options().clone());
        if let Some(factory) = of.parquet_file_reader_factory() {
            source = source.with_parquet_file_reader_factory(Arc::clone(factory));
        }
        if let Some(predicate) = of.filter() {
            source = source.with_predicate(predicate);
        }
        let projected = of.projection().map(|projection| source.try_pushdown_projection(projection)).transpose()?;
        let source = projected.flatten().unwrap_or_else(|| Arc::new(source));
        let config =
            FileScanConfigBuilder::from(self.config.clone()).with_source(source).with_file_groups(vec![files]).build();
        Ok(DataSourceExec::from_data_source(config))
    }
}

impl DisplayAs for Portioned {
    fn fmt_as(&self, how: DisplayFormatType, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        self.template.scan.fmt_as(how, f)
    }
}

impl ExecutionPlan for Portioned {
    fn name(&self) -> &str {
        "PortionedScan"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn replace_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.template.scan.apply_expressions(f)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let (all, template) = (Arc::clone(&self.files), Arc::clone(&self.template));
        let cut = self.cuts.get(partition).cloned().unwrap_or_default();
        let until = cut.end;
        let batches = stream::iter(cut.step_by(FILES))
            .map(move |from| {
                let portion = all[from..until.min(from + FILES)].to_vec();
                template.portion(FileGroup::new(portion))?.execute(0, Arc::clone(&context))
            })
            .try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), batches)))
    }

    fn statistics_from_inputs(&self, inputs: &[Arc<Statistics>], args: &StatisticsArgs) -> Result<Arc<Statistics>> {
        match args.partition() {
            None => self.template.scan.statistics_from_inputs(inputs, args),
            Some(_) => Ok(Arc::new(Statistics::new_unknown(&self.schema()))),
        }
    }
}
