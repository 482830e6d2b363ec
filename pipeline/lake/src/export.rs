//! Where the lake meets the other crates: feature files out, predictions and plan items in, always as plain Parquet or rows.

use crate::delta::commit::{Mode, Races};
use crate::delta::table::{self, TableName};
use crate::delta::writers::Writing;
use crate::engine::session::{Session, plan_items_schema};
use crate::error::LakeError;
use crate::lake::Lake;
use crate::materialize::Built;
use crate::model;
use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use datafusion::datasource::MemTable;
use datafusion::prelude::{ParquetReadOptions, col, lit};
use domain::Timestamp;
use domain::plan::{Item, Plan};
use futures::StreamExt;
use serde_json::json;
use std::path::Path;
use std::sync::Arc;

impl Session {
    /// Writes a feature view, ordered as its SQL says, as one Parquet file; gives its rows.
    pub async fn export(&self, view: &str, to: &Path) -> Result<u64, LakeError> {
        self.export_columns(view, &[], to).await
    }

    /// The same of some columns only; of all where none is named.
    pub async fn export_columns(&self, view: &str, columns: &[&str], to: &Path) -> Result<u64, LakeError> {
        let name = format!("features.{view}");
        let file = model::files("features").into_iter().find(|file| file.name.table == view);
        let file = file.ok_or_else(|| LakeError::NoTable(name.clone()))?;
        let mut frame = self.plan(&file).await?;
        if !columns.is_empty() {
            frame = frame.select_columns(columns).map_err(LakeError::sql(file.path()))?;
        }
        let mut stream = frame.execute_stream().await.map_err(LakeError::sql(file.path()))?;
        let write = |source: std::io::Error| LakeError::Write { path: to.to_owned(), source };
        let schema = table::delta_schema(&stream.schema());
        let out = std::fs::File::create(to).map_err(write)?;
        let failed = |e: parquet::errors::ParquetError| LakeError::Format("Parquet", e.into());
        let mut writer = parquet::arrow::ArrowWriter::try_new(out, schema.clone(), None).map_err(failed)?;
        let mut rows = 0;
        while let Some(batch) = stream.next().await {
            let batch = batch.map_err(LakeError::sql(file.path()))?;
            rows += batch.num_rows() as u64;
            let batch = table::conform(&batch, &schema).map_err(LakeError::columns(&name))?;
            writer.write(&batch).map_err(failed)?;
        }
        writer.close().map_err(failed)?;
        Ok(rows)
    }
}

impl Lake {
    /// Replaces `predictions.<table>` with what a Parquet file says, shaped by `sql/predictions/<table>.sql`; that may read
    /// what the table said before.
    pub async fn write_predictions(&self, table: &str, from: &Path, now: Timestamp) -> Result<Built, LakeError> {
        let name = TableName { schema: "predictions".into(), table: table.to_owned() };
        let file = model::files("predictions").into_iter().find(|file| file.name == name);
        let file = file.ok_or_else(|| LakeError::NoTable(name.to_string()))?;
        let command = match table {
            "runs" => "predict",
            "anomalies" => "anomalies",
            _ => "shadow",
        };
        let _writing = Writing::begin(&self.store, command).await?;
        let mut races = Races::over(&name);
        loop {
            // Opened anew after a lost race: what the winner wrote is then part of what was said before.
            let current = table::open(&self.store, &name).await?;
            let session = self.session(now).await?;
            let scratch = session
                .context
                .read_parquet(from.display().to_string(), ParquetReadOptions::default())
                .await
                .map_err(LakeError::sql(from.display().to_string()))?;
            session.put(&TableName { schema: "scratch".into(), table: table.to_owned() }, scratch.into_view())?;
            let stream = session.plan(&file).await?.execute_stream().await.map_err(LakeError::sql(file.path()))?;
            let written = self.write(&name, current.as_ref(), stream, Mode::Replace, json!({"at": now})).await?;
            if let Some(rows) = written {
                return Ok(Built { table: name.to_string(), rebuilt: true, why: "forecast".into(), rows: Some(rows) });
            }
            races.lose()?;
        }
    }

    /// Whether `plans.items` has items of a plan.
    pub async fn has_plan_items(&self, plan_id: &str, now: Timestamp) -> Result<bool, LakeError> {
        let name = TableName { schema: "plans".into(), table: "items".into() };
        let is_there = table::open(&self.store, &name).await?.is_some();
        Ok(is_there && has_items(&self.session(now).await?, plan_id).await?)
    }

    /// Adds the items of a plan to `plans.items`, unless they are there.
    pub async fn write_plan_items(&self, plan: &Plan) -> Result<(), LakeError> {
        let name = TableName { schema: "plans".into(), table: "items".into() };
        let failed = || LakeError::sql(name.to_string());
        let _writing = Writing::begin(&self.store, "plan").await?;
        let mut races = Races::over(&name);
        loop {
            // The session after the table: what it does not see of the plan, the commit would lose against.
            let current = table::open(&self.store, &name).await?;
            let session = self.session(plan.created_at).await?;
            if current.is_some() && has_items(&session, &plan.plan_id).await? {
                return Ok(());
            }
            let batch = plan_items(plan).map_err(LakeError::columns("plans.items"))?;
            let table = MemTable::try_new(batch.schema(), vec![vec![batch]]).map_err(failed())?;
            let frame = session.context.read_table(Arc::new(table)).map_err(failed())?;
            let stream = frame.execute_stream().await.map_err(failed())?;
            let origin = json!({"plan": plan.plan_id});
            if self.write(&name, current.as_ref(), stream, Mode::Append, origin).await?.is_some() {
                return Ok(());
            }
            races.lose()?;
        }
    }
}

/// Whether the items of a plan are in `plans.items`.
async fn has_items(session: &Session, plan_id: &str) -> Result<bool, LakeError> {
    let failed = || LakeError::sql("plans.items");
    let items = session.context.table("plans.items").await.map_err(failed())?;
    let of_plan = items.filter(col("plan_id").eq(lit(plan_id))).and_then(|items| items.limit(0, Some(1)));
    Ok(of_plan.map_err(failed())?.count().await.map_err(failed())? > 0)
}

fn plan_items(plan: &Plan) -> Result<RecordBatch, arrow::error::ArrowError> {
    let items = &plan.items;
    let text =
        |of: &dyn Fn(&Item) -> String| -> ArrayRef { Arc::new(StringArray::from_iter_values(items.iter().map(of))) };
    let number =
        |of: &dyn Fn(&Item) -> Option<f64>| -> ArrayRef { Arc::new(Float64Array::from_iter(items.iter().map(of))) };
    let bytes = |of: &dyn Fn(&Item) -> Option<u64>| -> ArrayRef {
        Arc::new(Int64Array::from_iter(items.iter().map(|item| of(item).map(|b| b as i64))))
    };
    let created = TimestampMicrosecondArray::from(vec![plan.created_at.0; items.len()]).with_timezone("UTC");
    let action = |item: &Item| {
        serde_json::to_value(item.action).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
    };
    RecordBatch::try_new(
        plan_items_schema(),
        vec![
            text(&|i| i.id.clone()),
            text(&|_| plan.plan_id.clone()),
            text(&|i| i.resource.clone()),
            text(&action),
            Arc::new(created),
            number(&|i| i.before.cpu_cores),
            bytes(&|i| i.before.memory_bytes),
            number(&|i| i.after.cpu_cores),
            bytes(&|i| i.after.memory_bytes),
            text(&|i| i.reason.clone()),
            number(&|i| i.confidence),
            number(&|i| i.projected.slack),
            number(&|i| i.projected.oom_rate),
            number(&|i| i.projected.throttled_rate),
            number(&|i| i.projected.cost),
        ],
    )
}
