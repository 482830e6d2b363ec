//! Brings the SQL tables up to date: each is rebuilt when what it reads or its own text has changed, and replaced in one commit.

use crate::error::LakeError;
use crate::lake::Lake;
use crate::model::{self, SqlFile};
use crate::session::Session;
use crate::table::{self, Change, Files, Mode, Outcome, TableName, conform, delta_schema};
use crate::writers::Writing;
use arrow::datatypes::SchemaRef;
use datafusion::execution::SendableRecordBatchStream;
use domain::Timestamp;
use domain::identity::hash128;
use futures::StreamExt;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const TRIES: u32 = 20;

/// What happened, or would happen, to one table.
#[derive(Clone, Debug, Serialize)]
pub struct Built {
    /// `schema.table`.
    pub table: String,
    /// Whether it was (or would be) rebuilt.
    pub rebuilt: bool,
    /// Why, or why not.
    pub why: String,
    /// Rows written; none when it was not rebuilt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
}

impl Lake {
    /// Rebuilds the tables whose inputs or SQL changed, in the order of their references; all with `full_refresh`.
    /// With `explain`, only says what it would do. `select` limits it to some tables and what they read.
    pub async fn materialize(
        &self,
        now: Timestamp,
        select: &[String],
        full_refresh: bool,
        explain: bool,
        progress: &mut dyn FnMut(&str),
    ) -> Result<Vec<Built>, LakeError> {
        let _writing = if explain { None } else { Some(Writing::begin(&self.store, "materialize").await?) };
        let mut session = self.session(now).await?;
        let files = model::materialized(&session.context)?;
        let files = selected(files, select, &session)?;
        let mut built: Vec<Built> = Vec::new();
        for file in files {
            let reads = model::references(&file, &session.context)?;
            let origin = origin(&file, &session)?;
            let upstream = built.iter().find(|b| b.rebuilt && reads.contains(&b.table)).map(|b| b.table.clone());
            let why = match (full_refresh, explain.then_some(upstream).flatten()) {
                (true, _) => Some("full refresh".to_owned()),
                (_, Some(table)) => Some(format!("{table} would change")),
                _ => self.stale(&file.name, &origin).await?,
            };
            let Some(why) = why else {
                built.push(Built {
                    table: file.name.to_string(),
                    rebuilt: false,
                    why: "up to date".into(),
                    rows: None,
                });
                continue;
            };
            let rows = if explain {
                None
            } else {
                progress(&file.name.to_string());
                let rows = self.replace(&session, now, &file).await?;
                self.register(&mut session, &file.name).await?;
                Some(rows)
            };
            built.push(Built { table: file.name.to_string(), rebuilt: true, why, rows });
        }
        Ok(built)
    }

    /// Why a table must be rebuilt; none when it is up to date.
    async fn stale(&self, name: &TableName, origin: &Value) -> Result<Option<String>, LakeError> {
        let Some(table) = table::open(&self.store, name).await? else { return Ok(Some("not built yet".into())) };
        let Some(last) = table::origin(&table).await else { return Ok(Some("its origin is unknown".into())) };
        if last["sql"] != origin["sql"] {
            return Ok(Some("its SQL changed".into()));
        }
        let changed = origin["inputs"].as_object().into_iter().flatten();
        let changed: Vec<&str> = changed
            .filter(|(input, version)| last["inputs"][input.as_str()] != **version)
            .map(|(i, _)| i.as_str())
            .collect();
        Ok((!changed.is_empty()).then(|| format!("{} changed", changed.join(", "))))
    }

    /// Rebuilds one table. After a lost race the query runs again on what the winner has read.
    async fn replace(&self, session: &Session, now: Timestamp, file: &SqlFile) -> Result<u64, LakeError> {
        let mut newer = None;
        for _ in 0..TRIES {
            let session = newer.as_ref().unwrap_or(session);
            let frame = session.plan(file).await?;
            let stream = frame.execute_stream().await.map_err(LakeError::sql(file.path()))?;
            if let Some(rows) = self.write(&file.name, stream, Mode::Replace, origin(file, session)?).await? {
                return Ok(rows);
            }
            newer = Some(self.session(now).await?);
        }
        Err(LakeError::Contended(file.name.to_string(), TRIES))
    }

    /// Writes a result as a table in one commit; none when another writer was first.
    pub(crate) async fn write(
        &self,
        name: &TableName,
        mut stream: SendableRecordBatchStream,
        mode: Mode,
        origin: Value,
    ) -> Result<Option<u64>, LakeError> {
        let current = table::open(&self.store, name).await?;
        let schema: SchemaRef = delta_schema(&stream.schema());
        let mut files = Files::new(&self.store, name, schema.clone(), None)?;
        let mut rows = 0;
        while let Some(batch) = stream.next().await {
            let batch = batch.map_err(LakeError::sql(name.to_string()))?;
            rows += batch.num_rows() as u64;
            files.write(conform(&batch, &schema).map_err(LakeError::columns(&name.to_string()))?).await?;
        }
        let adds = files.finish().await?;
        let change = Change { schema: &schema, partition: None, adds, mode, origin };
        match table::commit(&self.store, name, current.as_ref(), change).await? {
            Outcome::Committed(_) => Ok(Some(rows)),
            Outcome::Lost => Ok(None),
        }
    }
}

/// What a table is made from: its SQL, and the version of each table that it reads.
fn origin(file: &SqlFile, session: &Session) -> Result<Value, LakeError> {
    let reads = model::references(file, &session.context)?;
    let inputs: BTreeMap<String, i64> = reads
        .into_iter()
        .map(|n| {
            let v = session.versions.get(&n).copied().unwrap_or(-1);
            (n, v)
        })
        .collect();
    Ok(json!({"sql": hash128(file.text.as_bytes()), "inputs": inputs}))
}

fn selected(files: Vec<SqlFile>, select: &[String], session: &Session) -> Result<Vec<SqlFile>, LakeError> {
    if select.is_empty() {
        return Ok(files);
    }
    let mut wanted: Vec<String> = select.to_vec();
    for name in &wanted {
        if !files.iter().any(|file| file.name.to_string() == *name) {
            return Err(LakeError::NoTable(name.clone()));
        }
    }
    let mut next = 0;
    while next < wanted.len() {
        if let Some(file) = files.iter().find(|file| file.name.to_string() == wanted[next]) {
            for read in model::references(file, &session.context)? {
                if !wanted.contains(&read) {
                    wanted.push(read);
                }
            }
        }
        next += 1;
    }
    Ok(files.into_iter().filter(|file| wanted.contains(&file.name.to_string())).collect())
}
