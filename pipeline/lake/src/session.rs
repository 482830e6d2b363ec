//! One DataFusion session over the lake: every Delta table by its two names, `features.*` as views, and a clock.

use crate::columns::{events_schema, rejects_schema, timestamp_type};
use crate::documentation;
use crate::error::LakeError;
use crate::lake::Lake;
use crate::model::{self, SqlFile};
use crate::table::{self, TableName};
use arrow::array::{Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::{MemorySchemaProvider, TableProvider};
use datafusion::datasource::MemTable;
use datafusion::prelude::{SessionConfig, SessionContext};
use domain::{Timestamp, fields};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A session over the lake at the versions it was opened at.
pub struct Session {
    /// The engine.
    pub context: SessionContext,
    /// Version of each Delta table in it: the last one that changed its rows, so that a compaction changes nothing.
    pub versions: BTreeMap<String, i64>,
}

impl Lake {
    /// Opens a session. `now` is what `session.clock` says, the bound of everything that learns.
    pub async fn session(&self, now: Timestamp) -> Result<Session, LakeError> {
        let mut config =
            SessionConfig::new().with_information_schema(true).with_default_catalog_and_schema("lake", "marts");
        config.options_mut().execution.time_zone = Some("UTC".into());
        let mut context = SessionContext::new_with_config(config);
        datafusion_functions_json::register_all(&mut context).map_err(LakeError::sql("the JSON functions"))?;
        let mut session = Session { context, versions: BTreeMap::new() };
        for name in self.tables().await? {
            self.register(&mut session, &name).await?;
        }
        for (name, schema) in empty_tables() {
            if !session.versions.contains_key(&name.to_string()) {
                let table = MemTable::try_new(schema, vec![vec![]]).map_err(LakeError::sql(name.to_string()))?;
                session.put(&name, Arc::new(table))?;
            }
        }
        session.put(&TableName { schema: "session".into(), table: "clock".into() }, Arc::new(clock(now)?))?;
        session.put(&TableName { schema: "session".into(), table: "event_types".into() }, Arc::new(event_types()?))?;
        for (name, table) in documentation::tables()? {
            session.put(&name, Arc::new(table))?;
        }
        session.register_views().await?;
        Ok(session)
    }

    /// The Delta tables of the lake.
    pub async fn tables(&self) -> Result<Vec<TableName>, LakeError> {
        let mut tables = Vec::new();
        for schema in ["staging", "traces", "marts", "predictions", "plans"] {
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
        table
            .update_datafusion_session(&session.context.state())
            .map_err(LakeError::table("read", name.to_string()))?;
        let provider = table.table_provider().await.map_err(LakeError::sql(name.to_string()))?;
        session.versions.insert(name.to_string(), table::data_version(&table).await);
        session.put(name, provider)
    }
}

impl Session {
    pub(crate) fn put(&self, name: &TableName, provider: Arc<dyn TableProvider>) -> Result<(), LakeError> {
        let failed = LakeError::sql(name.to_string());
        let put = || {
            let catalog = self
                .context
                .catalog("lake")
                .ok_or_else(|| datafusion::error::DataFusionError::Internal("the session has no catalog".into()))?;
            let schema = match catalog.schema(&name.schema) {
                Some(schema) => schema,
                None => {
                    catalog.register_schema(&name.schema, Arc::new(MemorySchemaProvider::new()))?;
                    catalog.schema(&name.schema).ok_or_else(|| {
                        datafusion::error::DataFusionError::Internal("the schema did not register".into())
                    })?
                }
            };
            if schema.table_exist(&name.table) {
                schema.deregister_table(&name.table)?;
            }
            schema.register_table(name.table.clone(), provider).map(|_| ())
        };
        put().map_err(failed)
    }

    /// `features.*` are views: they cost nothing until somebody trains. Those whose tables are not there yet are left out.
    async fn register_views(&self) -> Result<(), LakeError> {
        for file in model::ordered(model::files("features"), &self.context)? {
            let mut reads = model::references(&file, &self.context)?.into_iter();
            if reads.all(|name| self.context.table_exist(name.as_str()).unwrap_or(false)) {
                self.put(&file.name, self.plan(&file).await?.into_view())?;
            }
        }
        Ok(())
    }

    /// Plans one of our own SQL files.
    pub(crate) async fn plan(&self, file: &SqlFile) -> Result<datafusion::prelude::DataFrame, LakeError> {
        self.context.sql(&file.text).await.map_err(LakeError::sql(file.path()))
    }
}

fn clock(now: Timestamp) -> Result<MemTable, LakeError> {
    let schema = Arc::new(Schema::new(vec![Field::new("now", timestamp_type(), false)]));
    let column = TimestampMicrosecondArray::from(vec![now.0]).with_timezone("UTC");
    let batch =
        RecordBatch::try_new(schema.clone(), vec![Arc::new(column)]).map_err(LakeError::columns("session.clock"))?;
    MemTable::try_new(schema, vec![vec![batch]]).map_err(LakeError::sql("session.clock"))
}

/// The order of event types inside one microsecond, for `seq`.
fn event_types() -> Result<MemTable, LakeError> {
    let schema = Arc::new(Schema::new(vec![
        Field::new("type", DataType::Utf8, false),
        Field::new("rank", DataType::Int64, false),
    ]));
    let types = StringArray::from_iter_values(fields::TYPES.iter().copied());
    let ranks = Int64Array::from_iter_values(0..fields::TYPES.len() as i64);
    let batch = RecordBatch::try_new(schema.clone(), vec![Arc::new(types), Arc::new(ranks)])
        .map_err(LakeError::columns("session.event_types"))?;
    MemTable::try_new(schema, vec![vec![batch]]).map_err(LakeError::sql("session.event_types"))
}

/// Tables that a command writes when it first runs; until then SQL sees them empty.
fn empty_tables() -> Vec<(TableName, SchemaRef)> {
    let name = |schema: &str, table: &str| TableName { schema: schema.into(), table: table.into() };
    vec![
        (name("staging", "events"), events_schema()),
        (name("staging", "rejects"), rejects_schema()),
        (name("plans", "items"), plan_items_schema()),
    ]
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
