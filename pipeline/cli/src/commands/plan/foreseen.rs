//! What is foreseen of each resource: by the shadow inventory hour by hour, by the demand model run by run, by the contention
//! model for the next hour.

use crate::artifacts::champion;
use crate::context::Context;
use crate::failure::Failure;
use domain::plan::{Coming, Expected, ModelRef, State};
use lake::{Lake, Session};
use std::collections::BTreeMap;
use std::path::Path;

/// What the shadow inventory expects of each resource from now on.
pub async fn expected(session: &Session) -> Result<BTreeMap<String, Expected>, Failure> {
    if !session.versions.contains_key("predictions.shadow_inventory") {
        return Ok(BTreeMap::new());
    }
    let rows = session
        .query(
            "select resource_id, max(upper['cpu_cores']) as cpu, max(upper['memory_bytes']) as memory,
                max(predicted_state['cpu_cores']) as peak_cpu, max(predicted_state['memory_bytes']) as peak_memory,
                avg(confidence_score) as confidence, max(model) as model,
                array_to_string(array_agg(distinct schedule_event_id), ', ') as schedule
             from predictions.shadow_inventory
             where last_updated >= (select now from session.clock) - interval '24 hours'
                 and last_updated <= (select now from session.clock)
                 and at >= (select now from session.clock) - interval '1 hour'
                 and (upper['cpu_cores'] is not null or upper['memory_bytes'] is not null)
             group by resource_id",
        )
        .await?
        .to_json()?;
    let expected = rows.into_iter().filter_map(|row| {
        let schedule = row["schedule"].as_str().unwrap_or_default();
        Some((
            row["resource_id"].as_str()?.to_owned(),
            Expected {
                upper: State {
                    cpu_cores: row["cpu"].as_f64(),
                    memory_bytes: row["memory"].as_f64().map(|bytes| bytes as u64),
                },
                peak: State {
                    cpu_cores: row["peak_cpu"].as_f64(),
                    memory_bytes: row["peak_memory"].as_f64().map(|bytes| bytes as u64),
                },
                confidence: row["confidence"].as_f64().unwrap_or_default(),
                model: row["model"].as_str().unwrap_or_default().to_owned(),
                schedule: schedule.split(", ").filter(|s| !s.is_empty()).map(str::to_owned).collect(),
            },
        ))
    });
    Ok(expected.collect())
}

/// What the runs that `predict` expected last, at most a day ago, want of each resource. A model that is older than what it
/// was asked about says nothing.
pub async fn coming(session: &Session) -> Result<BTreeMap<String, Coming>, Failure> {
    if !session.versions.contains_key("predictions.runs") {
        return Ok(BTreeMap::new());
    }
    let rows = session
        .query(
            "select resource, count(*) as runs,
                last_value(job_key order by p90_memory_peak_bytes nulls first, p90_cpu_ms nulls first, job_key) as job,
                max(p90_cpu_ms / nullif(p50_duration_ms, 0)) as cpu, max(p90_memory_peak_bytes) as memory,
                max(p50_cpu_ms / nullif(p50_duration_ms, 0)) as usual_cpu, max(p50_memory_peak_bytes) as usual_memory
             from predictions.runs
             where resource is not null and not stale
                 and coalesce(p90_memory_peak_bytes, p90_cpu_ms) is not null
                 and predicted_at >= (select now from session.clock) - interval '24 hours'
                 and predicted_at = (
                     select max(predicted_at) from predictions.runs
                     where predicted_at <= (select now from session.clock)
                 )
             group by resource",
        )
        .await?
        .to_json()?;
    let coming = rows.into_iter().filter_map(|row| {
        let state = |cpu: &str, memory: &str| State {
            cpu_cores: row[cpu].as_f64(),
            memory_bytes: row[memory].as_f64().map(|bytes| bytes as u64),
        };
        let coming = Coming {
            demand: state("cpu", "memory"),
            usual: state("usual_cpu", "usual_memory"),
            runs: row["runs"].as_u64()? as usize,
            job: row["job"].as_str().unwrap_or_default().to_owned(),
        };
        Some((row["resource"].as_str()?.to_owned(), coming))
    });
    Ok(coming.collect())
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
