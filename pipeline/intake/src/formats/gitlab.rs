//! Jobs and pipelines of GitLab's REST API (`GET /projects/:id/jobs`, `GET /projects/:id/pipelines/:id`): one an object, or
//! arrays of them.
//!
//! Each becomes one `ci_run` at its start. A list of pipelines (`GET /projects/:id/pipelines`) tells neither when one began
//! nor how long it took; its entries are refused with what to ask for instead. What names a person is hashed behind this.

use super::fields::{text, time};
use super::{Format, Head, Object, Out, Reader};
use domain::Reason;
use serde_json::{Value, json};

pub(super) static FORMAT: Format =
    Format { name: "gitlab", recognises, reader: || Box::new(GitLab), independent: true };

fn recognises(head: &Head) -> bool {
    let Head::Json(value) = head else { return false };
    let has = |keys: &[&str]| keys.iter().all(|key| value.get(key).is_some());
    let here = value.get("web_url").and_then(Value::as_str).is_some_and(|url| url.contains("/-/"));
    here && (has(&["id", "status", "stage", "pipeline"]) || has(&["id", "status", "sha", "ref"])) && !has(&["ts"])
}

struct GitLab;

impl Reader for GitLab {
    fn object(&mut self, value: Value, out: &mut Out) {
        out.push(translate(&value).map_err(|reason| (value, reason)));
    }
}

/// What the contract has a name for, what only repeats it, and what tells of the moment of asking.
const TOLD: &[&str] = &[
    "artifacts",
    "artifacts_file",
    "commit",
    "created_at",
    "detailed_status",
    "duration",
    "finished_at",
    "id",
    "name",
    "pipeline",
    "project",
    "queued_duration",
    "ref",
    "runner",
    "runner_manager",
    "sha",
    "started_at",
    "tag_list",
    "updated_at",
    "user",
    "web_url",
];

fn translate(value: &Value) -> Result<Object, Reason> {
    let object = value.as_object().ok_or(Reason::NotAnObject)?;
    let is_job = object.contains_key("stage");
    let status = text(object, "status").ok_or(Reason::Format("status is missing"))?;
    let result = result(status, text(object, "failure_reason"))?;
    let repo = text(object, "web_url").and_then(repo_in).ok_or(Reason::Format("no repository is named"))?;
    let seconds = |key: &str| object.get(key).and_then(Value::as_f64).filter(|seconds| *seconds >= 0.0);
    let begun = time(object, "started_at").ok_or(match is_job {
        true => Reason::Format("started_at is missing: it never ran"),
        false => Reason::Format(
            "a list of pipelines tells neither begin nor duration; take their jobs, or each by itself: projects/ID/pipelines/ID",
        ),
    })?;
    let lived =
        || time(object, "finished_at").map(|ended| (ended.0 - begun.0) as f64 / 1e6).filter(|lived| *lived >= 0.0);
    let duration = seconds("duration").or_else(lived).ok_or(Reason::Format("neither a duration nor an end"))?;
    let inner = |key: &str, field: &str| object.get(key).and_then(|inner| inner.get(field)).filter(|it| !it.is_null());
    let (branch, pr) = place(text(object, "ref"));
    let mut payload = json!({
        "run_id": if is_job { inner("pipeline", "id") } else { object.get("id") },
        "duration_ms": (duration * 1e3).round() as i64,
        "job": text(object, "name").filter(|_| is_job),
        "job_id": object.get("id").filter(|_| is_job),
        "workflow": text(object, "name").filter(|_| !is_job),
        "result": result,
        "conclusion": status,
        "queued_ms": seconds("queued_duration").map(|seconds| (seconds * 1e3).round() as i64),
        "runner": runner(object),
        "sha": object.get("sha").or_else(|| inner("commit", "id")).or_else(|| inner("pipeline", "sha")),
        "message": inner("commit", "message"),
    });
    if let Value::Object(payload) = &mut payload {
        for (key, value) in object {
            if !TOLD.contains(&key.as_str()) && !payload.contains_key(key) {
                payload.insert(key.clone(), value.clone());
            }
        }
    }
    let event = json!({
        "ts": begun.to_string(),
        "type": "ci_run",
        "repo": repo,
        "branch": branch,
        "pr": pr,
        "developer": inner("user", "username"),
        "payload": payload,
    });
    if let Value::Object(event) = event { Ok(event) } else { Err(Reason::NotAnObject) }
}

/// The contract's word for GitLab's status (docs.gitlab.com, "Jobs API"); none of one that is not known.
fn result(status: &str, failure: Option<&str>) -> Result<Option<&'static str>, Reason> {
    Ok(Some(match status {
        "success" => "success",
        "failed" => match failure {
            Some("job_execution_timeout" | "stuck_or_timeout_failure") => "timeout",
            Some("runner_system_failure" | "scheduler_failure" | "data_integrity_failure" | "api_failure") => "error",
            _ => "failure",
        },
        "canceled" | "cancelled" => "cancellation",
        "skipped" | "manual" => "skip",
        "created" | "pending" | "preparing" | "running" | "scheduled" | "waiting_for_resource" | "canceling" => {
            return Err(Reason::Format("it has not finished; fetch it again when it has"));
        }
        _ => return Ok(None),
    }))
}

/// The kind of machine: what was asked for, else what its runner is called.
fn runner(object: &Object) -> Option<String> {
    let tags = object.get("tag_list").and_then(Value::as_array);
    let tags: Vec<&str> = tags.into_iter().flatten().filter_map(Value::as_str).collect();
    let named = || object.get("runner")?.get("description")?.as_str().map(str::to_owned);
    if tags.is_empty() { named() } else { Some(tags.join(",")) }
}

/// `group/project` of a link: `https://gitlab.example/group/project/-/jobs/7`.
fn repo_in(url: &str) -> Option<String> {
    let path = url.split_once("://")?.1.split_once("/-/")?.0.split_once('/')?.1;
    path.contains('/').then(|| path.to_owned())
}

/// A branch, or the merge request that a pipeline is of: `refs/merge-requests/5/head`.
fn place(reference: Option<&str>) -> (Option<&str>, Option<u64>) {
    let Some(reference) = reference else { return (None, None) };
    match reference.strip_prefix("refs/merge-requests/") {
        Some(rest) => (None, rest.split('/').next().and_then(|number| number.parse().ok())),
        None => (Some(reference), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::events_of;

    fn job(changes: Value) -> Value {
        let mut job = json!({"id": 7, "status": "failed", "stage": "test", "name": "rspec", "ref": "main", "tag": false,
            "created_at": "2026-11-10T09:00:00.000Z", "started_at": "2026-11-10T09:00:02.000Z",
            "finished_at": "2026-11-10T09:05:02.500Z", "duration": 300.5, "queued_duration": 1.5,
            "user": {"id": 3, "username": "brunhilde", "name": "Brunhilde Kowalski", "public_email": "b@x.example"},
            "commit": {"id": "c0ffee", "author_name": "Brunhilde Kowalski", "message": "fix"},
            "pipeline": {"id": 47, "sha": "c0ffee", "ref": "main"}, "tag_list": ["docker", "linux"],
            "web_url": "https://gitlab.example/acme/tools/api/-/jobs/7"});
        job.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        job
    }

    #[test]
    fn a_job_is_a_run_and_names_nobody() {
        let event = events_of(&FORMAT, [job(json!({}))]).remove(0).unwrap();
        assert_eq!((event.repo.as_deref(), event.branch.as_deref()), (Some("acme/tools/api"), Some("main")));
        assert_eq!(event.ts.to_string(), "2026-11-10T09:00:02Z");
        let payload = &event.payload;
        assert_eq!((&payload["run_id"], &payload["job"], &payload["job_id"]), (&json!(47), &json!("rspec"), &json!(7)));
        assert_eq!((&payload["duration_ms"], &payload["queued_ms"]), (&json!(300_500), &json!(1_500)));
        assert_eq!((&payload["result"], &payload["runner"]), (&json!("failure"), &json!("docker,linux")));
        assert_eq!((&payload["sha"], &payload["stage"]), (&json!("c0ffee"), &json!("test")));
        let text = format!("{event:?}");
        assert!(!text.contains("brunhilde") && !text.contains("Brunhilde"), "{text}");
    }

    #[test]
    fn every_status_has_its_result_and_a_merge_request_its_number() {
        for (changes, result) in [
            (json!({"status": "success"}), "success"),
            (json!({"failure_reason": "job_execution_timeout"}), "timeout"),
            (json!({"failure_reason": "runner_system_failure"}), "error"),
            (json!({"failure_reason": "script_failure"}), "failure"),
            (json!({"status": "canceled"}), "cancellation"),
        ] {
            assert_eq!(events_of(&FORMAT, [job(changes)]).remove(0).unwrap().payload["result"], result);
        }
        let event = events_of(&FORMAT, [job(json!({"ref": "refs/merge-requests/5/head"}))]).remove(0).unwrap();
        assert_eq!((event.pr_id.as_deref(), event.branch), (Some("acme/tools/api#5"), None));
    }

    #[test]
    fn what_has_no_times_is_refused_with_what_to_ask_for() {
        let said = |value: Value| match events_of(&FORMAT, [value]).remove(0) {
            Err(Reason::Format(why)) => why,
            other => panic!("{other:?}"),
        };
        assert!(said(job(json!({"status": "running"}))).contains("has not finished"));
        assert!(said(job(json!({"status": "skipped", "started_at": null}))).contains("never ran"));
        assert!(said(job(json!({"web_url": "x/-/"}))).contains("no repository"));
        let pipeline = json!({"id": 47, "status": "success", "ref": "main", "sha": "a",
            "web_url": "https://gitlab.example/acme/api/-/pipelines/47", "updated_at": "2026-11-10T09:05:00Z"});
        assert!(said(pipeline.clone()).contains("each by itself"));
        let mut whole = pipeline;
        whole["started_at"] = json!("2026-11-10T09:00:00Z");
        whole["duration"] = json!(300);
        let event = events_of(&FORMAT, [whole]).remove(0).unwrap();
        assert_eq!((&event.payload["run_id"], &event.payload["duration_ms"]), (&json!(47), &json!(300_000)));
    }
}
