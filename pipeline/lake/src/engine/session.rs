//! One DataFusion session over the lake: every Delta table by its two names, `features.*` as views, and a clock. What no query
//! names is never opened ([`crate::engine::shelf`]).

use crate::delta::store::Store;
use crate::delta::table::{self, TableName};
use crate::documentation;
use crate::engine::at::At;
use crate::engine::bounded::bound_functions;
use crate::engine::collected::count_collected;
use crate::engine::held::Held;
use crate::engine::memory::SharedMemory;
use crate::engine::portions::Portions;
use crate::engine::shelf::{Closed, Shelf};
use crate::engine::yielding::Yielding;
use crate::error::LakeError;
use crate::lake::Lake;
use crate::model::{self, SqlFile};
use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::datasource::MemTable;
use datafusion::error::DataFusionError;
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::logical_expr::{ColumnarValue, ScalarUDF, Volatility, create_udf};
use datafusion::prelude::{DataFrame, SessionConfig, SessionContext};
use deltalake_core::DeltaTable;
use domain::columns::anomalies;
use domain::columns::predicted::{self, Kind};
use domain::{Timestamp, fields, paths};
use futures::{StreamExt, TryStreamExt, stream};
use intake::{events_schema, rejects_schema, timestamp_type};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::available_parallelism;

/// A session over the lake at the versions it was opened at. A copy is another handle of the same engine.
#[derive(Clone)]
pub struct Session {
    /// The engine.
    pub context: SessionContext,
    /// Version of each Delta table in it: the last one that changed its rows, so that a compaction changes nothing.
    pub versions: BTreeMap<String, i64>,
    pub(crate) view: View,
    /// Tables that were not there yet at the view's moment.
    pub(crate) absent: Vec<String>,
}

/// How a session sees the lake. The default is what the lake's own commands use: all of it, as it is now.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// As it was then; none: as it is.
    pub at: Option<At>,
    /// Queries may name local files as tables.
    pub files: bool,
    /// The memory of the queries that run at one time; what sorts and joins need beyond it goes to temporary files.
    pub memory_bytes: Option<usize>,
    /// Thousands of small files that are read again and again are read once, and held until the session ends: up to 128 MiB
    /// beside `memory_bytes`.
    pub holds_small_files: bool,
}

impl Lake {
    /// Opens a session. `now` is what `session.clock` says, the bound of everything that learns.
    pub async fn session(&self, now: Timestamp) -> Result<Session, LakeError> {
        self.session_of(now, View::default()).await
    }

    /// Opens a session that sees the lake in a certain way.
    pub async fn session_of(&self, now: Timestamp, view: View) -> Result<Session, LakeError> {
        let mut runtime = RuntimeEnvBuilder::new();
        if let Some(bytes) = view.memory_bytes {
            // Each operator that can spill gets its share, so that one does not starve the others into failing.
            runtime = runtime.with_memory_pool(Arc::new(SharedMemory::new(bytes)));
        }
        let held = view.holds_small_files.then(|| Arc::new(Held::default()));
        let context = engine(runtime.build_arc().map_err(LakeError::sql("the session"))?, held)?;
        self.store.guard(&context);
        let mut session = Session { context, versions: BTreeMap::new(), view, absent: Vec::new() };
        let tables = self.tables().await?;
        match session.view.at.clone() {
            None => {
                // Reading the log of a long history is work, not waiting.
                let cores = available_parallelism().map_or(1, usize::from);
                let newest = |name: TableName| async move {
                    let newest = table::newest(&self.store, &name).await?;
                    Ok::<_, LakeError>(newest.map(|newest| (name, newest)))
                };
                let known: Vec<_> = stream::iter(tables).map(newest).buffered(cores).try_collect().await?;
                let mut shelves: BTreeMap<String, BTreeMap<String, Closed>> = BTreeMap::new();
                for (name, (version, data_version)) in known.into_iter().flatten() {
                    session.versions.insert(name.to_string(), data_version);
                    shelves.entry(name.schema).or_default().insert(name.table, Closed::Table(version));
                }
                for (schema, names) in shelves {
                    session.shelve(&schema, Shelf::of(&schema, names, self.store.clone(), &session.context))?;
                }
            }
            Some(at) => self.register_at(&mut session, tables, &at).await?,
        }
        for (name, schema) in empty_tables() {
            if !session.versions.contains_key(&name.to_string()) {
                let table = MemTable::try_new(schema, vec![vec![]]).map_err(LakeError::sql(name.to_string()))?;
                session.put(&name, Arc::new(table))?;
            }
        }
        session.put(&TableName { schema: "session".into(), table: "clock".into() }, Arc::new(clock(now)?))?;
        for (name, table) in documentation::tables()? {
            session.put(&name, Arc::new(table))?;
        }
        session.register_views(&self.store)?;
        Ok(session)
    }

    /// The Delta tables of the lake.
    pub async fn tables(&self) -> Result<Vec<TableName>, LakeError> {
        let mut tables = Vec::new();
        for schema in ["staging", "traces", "marts", "predictions", "plans", "stack"] {
            for table in self.store.names(schema).await? {
                let name = TableName { schema: schema.to_owned(), table };
                if !self.store.names(&format!("{schema}/{}/_delta_log", name.table)).await?.is_empty() {
                    tables.push(name);
                }
            }
        }
        Ok(tables)
    }

    /// Registers a Delta table as it is now; also after it was rewritten in the same session.
    pub(crate) async fn register(&self, session: &mut Session, name: &TableName) -> Result<(), LakeError> {
        let Some(table) = table::open(&self.store, name).await? else { return Ok(()) };
        Self::register_table(session, name, &table).await
    }

    pub(crate) async fn register_table(
        session: &mut Session,
        name: &TableName,
        table: &DeltaTable,
    ) -> Result<(), LakeError> {
        let provider = table::provider(table, name, session.context.state()).await?;
        session.versions.insert(name.to_string(), table::data_version(table).await);
        session.put(name, provider)
    }
}

/// An engine without tables.
fn engine(runtime: Arc<RuntimeEnv>, held: Option<Arc<Held>>) -> Result<SessionContext, LakeError> {
    let mut config =
        SessionConfig::new().with_information_schema(true).with_default_catalog_and_schema("lake", "marts");
    // A batch of views counts all of what it points into, again and again: sorts of large files went to disk that fitted in
    // memory, and moving short texts costs no more than moving views (2 M events sorted: a seventh less time).
    config.options_mut().execution.parquet.schema_force_view_types = false;
    config.options_mut().sql_parser.map_string_types_to_utf8view = false;
    config.options_mut().execution.time_zone = Some("UTC".into());
    // JSON functions count as leaf expressions: pulled below a filter, they parse the payload of every event for a few of one type
    // (all tables of 2 M events took half as long again).
    config.options_mut().optimizer.enable_leaf_expression_pushdown = false;
    config.options_mut().sql_parser.collect_spans = true; // so that a mistake is shown where it was made
    if let Some(held) = held {
        config.set_extension(held);
    }
    let state = SessionStateBuilder::new()
        .with_config(config)
        .with_runtime_env(runtime)
        .with_default_features()
        .with_physical_optimizer_rule(Arc::new(Yielding))
        .with_physical_optimizer_rule(Arc::new(Portions))
        .build();
    let mut context = SessionContext::new_with_state(state);
    datafusion_functions_json::register_all(&mut context).map_err(LakeError::sql("the JSON functions"))?;
    bound_functions(&context);
    count_collected(&context);
    context.register_udf(event_rank());
    context.register_udf(file_role());
    Ok(context)
}

/// Makes a table known, in the place of one that has its name.
pub(crate) fn put(
    context: &SessionContext,
    name: &TableName,
    provider: Arc<dyn TableProvider>,
) -> Result<(), LakeError> {
    let put = || {
        let missing = |what: &str| DataFusionError::Internal(format!("the session has no {what}"));
        let catalog = context.catalog("lake").ok_or_else(|| missing("catalog"))?;
        if catalog.schema(&name.schema).is_none() {
            catalog.register_schema(&name.schema, Arc::new(Shelf::new()))?;
        }
        let schema = catalog.schema(&name.schema).ok_or_else(|| missing(&name.schema))?;
        if schema.table_exist(&name.table) {
            schema.deregister_table(&name.table)?;
        }
        schema.register_table(name.table.clone(), provider).map(|_| ())
    };
    put().map_err(LakeError::sql(name.to_string()))
}

impl Session {
    pub(crate) fn put(&self, name: &TableName, provider: Arc<dyn TableProvider>) -> Result<(), LakeError> {
        put(&self.context, name, provider)
    }

    /// An engine with the same tables, some of them replaced: by a part of their rows, or by what they shall be.
    pub(crate) async fn scoped(
        &self,
        others: &[(TableName, Arc<dyn TableProvider>)],
    ) -> Result<SessionContext, LakeError> {
        self.scoped_in(self.context.runtime_env(), others, None).await
    }

    /// An engine with the same tables that sorts and groups in so many bytes, and beyond them in temporary files.
    pub(crate) async fn within(&self, memory_bytes: usize) -> Result<SessionContext, LakeError> {
        let runtime = RuntimeEnvBuilder::from_runtime_env(&self.context.runtime_env())
            .with_memory_pool(Arc::new(SharedMemory::new(memory_bytes)))
            .build_arc();
        self.scoped_in(runtime.map_err(LakeError::sql("the engine"))?, &[], None).await
    }

    /// An engine with the same tables, some of them replaced, that shares the memory of `runtime` and works in so many
    /// partitions; none: one for each core.
    pub(crate) async fn scoped_in(
        &self,
        runtime: Arc<RuntimeEnv>,
        others: &[(TableName, Arc<dyn TableProvider>)],
        partitions: Option<usize>,
    ) -> Result<SessionContext, LakeError> {
        let context = engine(runtime, self.context.copied_config().get_extension())?;
        if let Some(partitions) = partitions {
            context.state_ref().write().config_mut().options_mut().execution.target_partitions = partitions;
        }
        let (catalog, here) = (self.context.catalog("lake"), context.catalog("lake"));
        for schema in
            catalog.iter().flat_map(|catalog| catalog.schema_names()).filter(|name| name != "information_schema")
        {
            if let (Some(below), Some(here)) = (catalog.as_ref().and_then(|catalog| catalog.schema(&schema)), &here) {
                here.register_schema(&schema, Arc::new(Shelf::over(below))).map_err(LakeError::sql(schema))?;
            }
        }
        for (name, provider) in others {
            put(&context, name, provider.clone())?;
        }
        Ok(context)
    }

    fn shelve(&self, schema: &str, shelf: Shelf) -> Result<(), LakeError> {
        let Some(catalog) = self.context.catalog("lake") else { return Ok(()) };
        catalog.register_schema(schema, Arc::new(shelf)).map(|_| ()).map_err(LakeError::sql(schema))
    }

    /// `features.*` are views: they are planned when a query names them. Those whose tables are not there yet are left out.
    fn register_views(&self, store: &Store) -> Result<(), LakeError> {
        const SCHEMA: &str = "features";
        // The tables of then may lack a column of today's view.
        let may_fail = self.view.at.is_some();
        let mut views: BTreeMap<String, Closed> = BTreeMap::new();
        for file in model::ordered(model::files(SCHEMA), &self.context)? {
            let there = |name: &String| match name.strip_prefix("features.") {
                Some(view) => views.contains_key(view),
                None => self.context.table_exist(name.as_str()).unwrap_or(false),
            };
            if model::references(&file, &self.context)?.iter().all(there) {
                views.insert(file.name.table.clone(), Closed::View { file, may_fail });
            }
        }
        self.shelve(SCHEMA, Shelf::of(SCHEMA, views, store.clone(), &self.context))
    }

    /// Plans one of our own SQL files.
    pub(crate) async fn plan(&self, file: &SqlFile) -> Result<DataFrame, LakeError> {
        model::plan(&self.context, file).await
    }
}

fn clock(now: Timestamp) -> Result<MemTable, LakeError> {
    let schema = Arc::new(Schema::new(vec![Field::new("now", timestamp_type(), false)]));
    let column = TimestampMicrosecondArray::from(vec![now.0]).with_timezone("UTC");
    let batch =
        RecordBatch::try_new(schema.clone(), vec![Arc::new(column)]).map_err(LakeError::columns("session.clock"))?;
    MemTable::try_new(schema, vec![vec![batch]]).map_err(LakeError::sql("session.clock"))
}

/// `event_rank(type)`: the place of an event type inside one microsecond, for `seq`; unknown types come last.
fn event_rank() -> ScalarUDF {
    let rank = |of: &str| fields::TYPES.iter().position(|name| *name == of).unwrap_or(fields::TYPES.len());
    of_text("event_rank", DataType::Int64, move |types| {
        let ranks = types.iter().map(|of| of.map_or(fields::TYPES.len(), rank) as i64);
        Arc::new(ranks.collect::<Int64Array>())
    })
}

/// `file_role(path)`: what a file is to whoever builds and runs its project ([`domain::paths::Role`]).
fn file_role() -> ScalarUDF {
    of_text("file_role", DataType::Utf8, |paths| {
        let roles = paths.iter().map(|path| path.map(|path| paths::role(path).name()));
        Arc::new(roles.collect::<StringArray>())
    })
}

/// A function of one text.
fn of_text(name: &str, returns: DataType, of: impl Fn(&StringArray) -> ArrayRef + Send + Sync + 'static) -> ScalarUDF {
    let answers = move |arguments: &[ColumnarValue]| {
        let arrays = ColumnarValue::values_to_arrays(arguments)?;
        let texts = cast(&arrays[0], &DataType::Utf8)?;
        Ok(ColumnarValue::Array(of(texts.as_string())))
    };
    create_udf(name, vec![DataType::Utf8], returns, Volatility::Immutable, Arc::new(answers))
}

/// Tables that a command writes when it first runs; until then SQL sees them empty.
fn empty_tables() -> Vec<(TableName, SchemaRef)> {
    let name = |schema: &str, table: &str| TableName { schema: schema.into(), table: table.into() };
    vec![
        (name("staging", "events"), events_schema()),
        (name("staging", "rejects"), rejects_schema()),
        (name("plans", "items"), plan_items_schema()),
        (name("predictions", "runs"), schema_of(predicted::COLUMNS)),
        (name("predictions", "anomalies"), schema_of(anomalies::COLUMNS)),
    ]
}

/// A table of predictions before anything was predicted.
fn schema_of(columns: &[(&str, Kind)]) -> SchemaRef {
    let field = |(name, kind): &(&str, Kind)| {
        let data_type = match kind {
            Kind::Text => DataType::Utf8,
            Kind::Time => timestamp_type(),
            Kind::Number => DataType::Float64,
            Kind::Count => DataType::Int64,
            Kind::Flag => DataType::Boolean,
        };
        Field::new(*name, data_type, true)
    };
    Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()))
}

/// `plans.items`: one row per item of every plan that was made.
pub(crate) fn plan_items_schema() -> SchemaRef {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let number = |name: &str| Field::new(name, DataType::Float64, true);
    Arc::new(Schema::new(vec![
        text("item_id"),
        text("plan_id"),
        text("resource"),
        text("action"),
        Field::new("created_at", timestamp_type(), true),
        number("before_cpu_cores"),
        Field::new("before_memory_bytes", DataType::Int64, true),
        number("after_cpu_cores"),
        Field::new("after_memory_bytes", DataType::Int64, true),
        text("reason"),
        number("confidence"),
        number("projected_slack"),
        number("projected_oom_rate"),
        number("projected_throttled_rate"),
        number("projected_cost"),
    ]))
}
