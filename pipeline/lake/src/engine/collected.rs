//! Aggregates that keep all they are given, such as `string_agg`: what they count as theirs is a part of what they need.
//!
//! A text that grows is there twice while it moves, what was collected is handed on as a copy, and joined or written out as
//! another. The engine sees none of this, and a query with `--memory 200MiB` took 527. So these aggregates count what they
//! hold several times over: the engine spills or refuses while there is still room.

use arrow::array::{ArrayRef, BooleanArray};
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::function::{AccumulatorArgs, AggregateFunctionSimplification, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Documentation, EmitTo, GroupsAccumulator, ReversedUDAF, Signature,
};
use datafusion::prelude::SessionContext;
use std::sync::Arc;

/// How often what is held is there at the worst moment: as it is, moving, handed on, written out.
const TIMES: usize = 4;

const FUNCTIONS: &[&str] = &["string_agg", "array_agg"];

/// Makes these aggregates of a session count what they need.
pub(crate) fn count_collected(context: &SessionContext) {
    for name in FUNCTIONS {
        let found = context.state().aggregate_functions().get(*name).cloned();
        if let Some(inner) = found {
            context.register_udaf(AggregateUDF::new_from_impl(Collected { inner }));
        }
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Collected {
    inner: Arc<AggregateUDF>,
}

impl AggregateUDFImpl for Collected {
    fn name(&self) -> &str {
        self.inner.inner().name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.inner().aliases()
    }

    fn signature(&self) -> &Signature {
        self.inner.inner().signature()
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        self.inner.inner().return_type(arg_types)
    }

    fn return_field(&self, arg_fields: &[FieldRef]) -> Result<FieldRef> {
        self.inner.inner().return_field(arg_fields)
    }

    fn is_nullable(&self) -> bool {
        self.inner.inner().is_nullable()
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Rows(self.inner.inner().accumulator(args)?)))
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Rows(self.inner.inner().create_sliding_accumulator(args)?)))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        self.inner.inner().state_fields(args)
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        self.inner.inner().groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(Groups(self.inner.inner().create_groups_accumulator(args)?)))
    }

    fn with_beneficial_ordering(self: Arc<Self>, beneficial: bool) -> Result<Option<Arc<dyn AggregateUDFImpl>>> {
        let inner = AggregateUDF::clone(&self.inner).with_beneficial_ordering(beneficial)?;
        Ok(inner.map(|inner| Arc::new(Self { inner: Arc::new(inner) }) as Arc<dyn AggregateUDFImpl>))
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        self.inner.inner().order_sensitivity()
    }

    fn simplify(&self) -> Option<AggregateFunctionSimplification> {
        self.inner.inner().simplify()
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        match self.inner.inner().reverse_expr() {
            ReversedUDAF::Reversed(inner) if FUNCTIONS.contains(&inner.name()) => {
                ReversedUDAF::Reversed(Arc::new(AggregateUDF::new_from_impl(Self { inner })))
            }
            reversed => reversed,
        }
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.inner().coerce_types(arg_types)
    }

    fn default_value(&self, data_type: &DataType) -> Result<ScalarValue> {
        self.inner.inner().default_value(data_type)
    }

    fn supports_null_handling_clause(&self) -> bool {
        self.inner.inner().supports_null_handling_clause()
    }

    fn supports_within_group_clause(&self) -> bool {
        self.inner.inner().supports_within_group_clause()
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.inner().documentation()
    }
}

#[derive(Debug)]
struct Rows(Box<dyn Accumulator>);

impl Accumulator for Rows {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.0.update_batch(values)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.0.evaluate()
    }

    fn size(&self) -> usize {
        self.0.size().saturating_mul(TIMES)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.0.state()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.0.merge_batch(states)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.0.retract_batch(values)
    }

    fn supports_retract_batch(&self) -> bool {
        self.0.supports_retract_batch()
    }
}

struct Groups(Box<dyn GroupsAccumulator>);

impl GroupsAccumulator for Groups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        filter: Option<&BooleanArray>,
        groups: usize,
    ) -> Result<()> {
        self.0.update_batch(values, group_indices, filter, groups)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        self.0.evaluate(emit_to)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        self.0.state(emit_to)
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], groups: usize) -> Result<()> {
        self.0.merge_batch(values, group_indices, groups)
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        self.0.convert_to_state(values, filter)
    }

    fn size(&self) -> usize {
        self.0.size().saturating_mul(TIMES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::memory::SharedMemory;
    use datafusion::arrow::util::pretty::pretty_format_batches;
    use datafusion::error::DataFusionError;
    use datafusion::execution::runtime_env::RuntimeEnvBuilder;
    use datafusion::prelude::SessionConfig;

    async fn answer(query: &str) -> Result<String, DataFusionError> {
        let memory = Arc::new(SharedMemory::new(32 << 20));
        let runtime = RuntimeEnvBuilder::new().with_memory_pool(memory).build_arc()?;
        let context = SessionContext::new_with_config_rt(SessionConfig::new().with_target_partitions(2), runtime);
        count_collected(&context);
        let batches = context.sql(query).await?.collect().await?;
        Ok(pretty_format_batches(&batches)?.to_string())
    }

    #[tokio::test]
    async fn what_is_collected_is_refused_while_there_is_room() {
        let rows = "(select repeat('x', 1000) as text, value % 3 as part from generate_series(1, ROWS))";
        let of = |query: &str, rows_count: &str| query.replace("ROWS", rows).replace("ROWS", rows_count);
        for query in [
            "select length(string_agg(text, ',')) from ROWS",
            "select length(string_agg(text, ',' order by text)) from ROWS",
            "select cardinality(array_agg(text)) from ROWS",
            "select cardinality(array_agg(text order by part)) from ROWS",
            "select part, length(string_agg(text, ',')) from ROWS group by part",
            "select part, cardinality(array_agg(text)) from ROWS group by part",
        ] {
            answer(&of(query, "900")).await.unwrap();
            // 32 MB, of which four times as much would be needed.
            let error = answer(&of(query, "32000")).await.unwrap_err();
            assert!(matches!(error.find_root(), DataFusionError::ResourcesExhausted(_)), "{query}: {error}");
        }
    }

    #[tokio::test]
    async fn what_is_collected_is_what_it_was() {
        let values = "(values (1, 'a'), (2, 'b'), (3, 'c')) as t(n, x)";
        let query = format!(
            "select string_agg(x, '-' order by n desc) as texts, array_agg(n order by n) as numbers, \
             array_agg(distinct x order by x) as once from {values}"
        );
        let answer = answer(&query).await.unwrap();
        assert!(answer.contains("c-b-a") && answer.contains("[1, 2, 3]") && answer.contains("[a, b, c]"), "{answer}");
    }
}
