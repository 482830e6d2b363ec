//! What is foreseen of each resource: by the shadow inventory hour by hour, by the demand model run by run, by the contention
//! model for the next hour.

use crate::artifacts::champion;
use crate::context::Context;
use crate::failure::Failure;
use domain::plan::{Coming, Expected, ModelRef, State};
use lake::{Lake, Session};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// Two columns of a row, in cores and in bytes.
pub(super) fn state_of(row: &Value, cpu: &str, memory: &str) -> State {
    State { cpu_cores: row[cpu].as_f64(), memory_bytes: row[memory].as_f64().map(|bytes| bytes as u64) }
}

/// What a question says of each resource; nothing while there is no such table.
pub(super) async fn by_resource<T>(
    session: &Session,
    table: &str,
    question: &str,
    of: impl Fn(&Value) -> Option<T>,
) -> Result<BTreeMap<String, T>, Failure> {
    if !session.versions.contains_key(table) {
        return Ok(BTreeMap::new());
    }
    let rows = session.ask(question, &[]).await?.to_json()?;
    Ok(rows.iter().filter_map(|row| Some((row["resource"].as_str()?.to_owned(), of(row)?))).collect())
}

/// What the shadow inventory expects of each resource from now on.
pub async fn expected(session: &Session) -> Result<BTreeMap<String, Expected>, Failure> {
    let expected = |row: &Value| {
        let schedule = row["schedule"].as_str().unwrap_or_default();
        Some(Expected {
            upper: state_of(row, "cpu", "memory"),
            peak: state_of(row, "peak_cpu", "peak_memory"),
            confidence: row["confidence"].as_f64().unwrap_or_default(),
            model: row["model"].as_str().unwrap_or_default().to_owned(),
            schedule: schedule.split(", ").filter(|s| !s.is_empty()).map(str::to_owned).collect(),
        })
    };
    by_resource(session, "predictions.shadow_inventory", "plan_expected", expected).await
}

/// What the runs that `predict` expected last, at most a day ago, want of each resource. A model that is older than what it
/// was asked about says nothing.
pub async fn coming(session: &Session) -> Result<BTreeMap<String, Coming>, Failure> {
    let coming = |row: &Value| {
        Some(Coming {
            demand: state_of(row, "cpu", "memory"),
            usual: state_of(row, "usual_cpu", "usual_memory"),
            runs: row["runs"].as_u64()? as usize,
            job: row["job"].as_str().unwrap_or_default().to_owned(),
        })
    };
    by_resource(session, "predictions.runs", "plan_coming", coming).await
}

/// The chance that the next hour of each resource is contended, when a model was trained.
pub async fn contention(
    context: &Context,
    lake: &Lake,
    session: &Session,
    folder: &Path,
) -> Result<(BTreeMap<String, f64>, Option<ModelRef>), Failure> {
    let Some(kept) = champion(lake, learn::contention::NAME, context.now).await? else {
        return Ok((BTreeMap::new(), None));
    };
    let rows = folder.join("contention.parquet");
    session.export("contention", &rows).await?;
    let said = learn::contention::predict(&kept.model, &rows, context.now)?;
    let model = ModelRef { name: kept.card.model, version: kept.card.version };
    Ok((said.into_iter().map(|one| (one.key, one.probability)).collect(), Some(model)))
}
