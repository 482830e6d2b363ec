//! A trace as people and scripts read it: one JSON object per pull request.

use crate::engine::session::Session;
use crate::error::LakeError;
use crate::lake::Lake;
use domain::Timestamp;
use serde_json::{Value, json};

impl Lake {
    /// The trace of `owner/name#number`.
    pub async fn trace(&self, pr_id: &str, now: Timestamp) -> Result<Value, LakeError> {
        let session = self.session(now).await?;
        if !session.versions.contains_key("traces.traces") {
            return Err(LakeError::NoTable("traces.traces".into()));
        }
        session.trace(pr_id).await
    }
}

impl Session {
    /// Every pull request that has a trace.
    pub async fn traced(&self) -> Result<Vec<String>, LakeError> {
        let rows = self.query("select pr_id from traces.traces order by pr_id").await?.to_json()?;
        Ok(rows.into_iter().filter_map(|row| row["pr_id"].as_str().map(str::to_owned)).collect())
    }

    /// The trace of `owner/name#number`, from this session's versions.
    pub async fn trace(&self, pr_id: &str) -> Result<Value, LakeError> {
        let traces =
            self.query_with("select * from traces.traces where pr_id = $pr", &[("pr", pr_id)]).await?.to_json()?;
        let Some(trace) = traces.into_iter().next() else { return Err(LakeError::NoTrace(pr_id.to_owned())) };
        let events = self
            .query_with(
                "select seq, ts, type, payload from traces.events where pr_id = $pr order by seq",
                &[("pr", pr_id)],
            )
            .await?
            .to_json()?;
        let context = inner(&trace["context"]);
        let mut developer = context.get("developer").cloned().unwrap_or_else(|| json!({}));
        if let Some(developer) = developer.as_object_mut() {
            developer.insert("user_id".into(), trace["developer"].clone());
        }
        let gaps: Vec<&str> = trace["gaps"].as_str().unwrap_or_default().split(',').filter(|g| !g.is_empty()).collect();
        Ok(json!({
            "trace_id": trace["trace_id"],
            "repo": {
                "name": trace["repo"],
                "branch": trace["branch"],
                "language": languages(&trace["languages"], &context),
            },
            "pr": {
                "pr_id": trace["pr_id"],
                "title": trace["title"],
                "status": trace["status"],
                "created_at": trace["created_at"],
                "merged_at": trace["merged_at"],
            },
            "developer": developer,
            "timeline": {
                "start_time": trace["started_at"],
                "end_time": trace["ended_at"],
                "duration_seconds": trace["duration_seconds"],
            },
            "quality": {
                "completeness": trace["completeness"],
                "gaps": gaps,
                "clock_skew_ms": trace["clock_skew_ms"],
            },
            "events": events.into_iter().map(|event| json!({
                "seq": event["seq"],
                "ts": event["ts"],
                "type": event["type"],
                "payload": inner(&event["payload"]),
            })).collect::<Vec<_>>(),
        }))
    }
}

/// JSON kept as text, as JSON again.
fn inner(text: &Value) -> Value {
    text.as_str().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_else(|| json!({}))
}

/// What the source states, else what the files and runs show.
fn languages(seen: &Value, context: &Value) -> Value {
    match context.get("repo").and_then(|repo| repo.get("language")) {
        Some(stated @ Value::Array(_)) => stated.clone(),
        Some(stated @ Value::String(_)) => json!([stated]),
        _ => {
            let seen = seen.as_array().into_iter().flatten().filter(|l| !l.is_null());
            let mut seen: Vec<&str> = seen.filter_map(Value::as_str).collect();
            seen.sort_unstable();
            json!(seen)
        }
    }
}
