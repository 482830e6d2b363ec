//! Workflow runs and jobs of the GitHub Actions REST API, and check runs of any app: one an object, or pages and arrays of
//! them; and the payloads of the webhooks `workflow_run`, `workflow_job` and `check_run`, which hold the same. A check run of
//! Actions is the job of its number, and its link names the run.
//!
//! Each becomes one `ci_run` at its start. What GitHub tells of the moment of asking and not of the run stays out: the
//! repository objects, and of `pull_requests` all but the number (their `sha`s move on with every push). So a run says
//! the same whenever it is fetched, and nothing later than its end is known.
//!
//! A rerun overwrites a run in this API: it keeps its `id` and `created_at` and starts anew at `run_started_at`.

use super::fields::{text, time};
use super::parts::Part;
use super::{Format, Head, Object, Out, Reader};
use domain::Reason;
use domain::time::{SECOND, Timestamp};
use serde_json::{Value, json};

pub(super) static FORMAT: Format =
    Format { name: "actions", recognises, reader: || Box::new(Actions), independent: true };

/// A run is ended by GitHub after 35 days, a job after 5 (docs.github.com, "Actions limits"). What seems to have taken
/// longer did not: a run's `updated_at` moves on when it is touched later.
const LONGEST_RUN_DAYS: i64 = 35;
const LONGEST_JOB_DAYS: i64 = 5;

fn recognises(head: &Head) -> bool {
    let Head::Json(value) = head else { return false };
    let has = |keys: &[&str]| keys.iter().all(|key| value.get(key).is_some());
    let page = has(&["total_count"]) && PAGES.iter().any(|key| value.get(key).is_some_and(Value::is_array));
    let run = has(&["id", "workflow_id", "run_number", "head_sha", "status"]);
    let job = has(&["id", "run_id", "head_sha", "status", "started_at"]);
    (page || run || job || is_check(value) || hook(value).is_some()) && !has(&["ts"])
}

/// Whether it is a check run: what an app says of a commit.
fn is_check(value: &Value) -> bool {
    ["id", "head_sha", "status", "started_at", "check_suite"].iter().all(|key| value.get(key).is_some())
}

/// What a page holds.
const PAGES: [&str; 3] = ["workflow_runs", "jobs", "check_runs"];

/// What describes a page or a webhook's payload, and is told by its runs and jobs too, or tells of the moment.
const ABOUT: &[&str] =
    &["repository", "organization", "sender", "installation", "enterprise", "workflow", "deployment"];

/// The run or job that a webhook tells of.
fn hook(value: &Value) -> Option<&'static str> {
    let inner = |key: &&str| value.get(key).is_some_and(Value::is_object);
    ["workflow_run", "workflow_job", "check_run"].into_iter().find(inner).filter(|_| value.get("repository").is_some())
}

struct Actions;

impl Reader for Actions {
    fn object(&mut self, value: Value, out: &mut Out) {
        if let Value::Array(items) = value {
            // `gh api --paginate --slurp` gives an array of pages.
            return items.into_iter().for_each(|item| self.object(item, out));
        }
        if let Some(key) = hook(&value) {
            return Part::read(value, ABOUT, out, |payload, out| {
                let mut inner = payload.inner(key);
                if let Some(run) = inner.as_object_mut().filter(|run| !run.contains_key("repository")) {
                    run.insert("repository".into(), payload.get("repository").clone());
                }
                out.push(translate(&inner).map_err(|reason| (inner, reason)));
            });
        }
        if PAGES.iter().any(|key| value.get(key).is_some_and(Value::is_array)) {
            return Part::read(value, ABOUT, out, |page, out| {
                for key in PAGES {
                    page.records(key).into_iter().for_each(|item| self.object(item, out));
                }
            });
        }
        out.push(translate(&value).map_err(|reason| (value, reason)));
    }
}

/// The run that a check belongs to: that of Actions where its link names one, else what its app says of the commit.
fn run_of(check: &Object) -> Option<Value> {
    let run = ["details_url", "html_url"].iter().find_map(|key| {
        let (_, rest) = text(check, key)?.split_once("/actions/runs/")?;
        rest.split('/').next()?.parse::<u64>().ok()
    });
    run.map(Value::from).or_else(|| check.get("check_suite")?.get("id").cloned())
}

/// What the contract has a name for, or what only repeats it.
const TOLD: &[&str] = &[
    "actor",
    "check_suite",
    "completed_at",
    "head_branch",
    "head_repository",
    "head_sha",
    "id",
    "name",
    "node_id",
    "pull_requests",
    "repository",
    "run_started_at",
    "started_at",
    "status",
    "updated_at",
    "url",
    "workflow_name",
];

fn translate(value: &Value) -> Result<Object, Reason> {
    let object = value.as_object().ok_or(Reason::NotAnObject)?;
    let check = is_check(value).then(|| run_of(object));
    let is_job = object.contains_key("run_id") || check.is_some();
    if !is_job && !object.contains_key("run_number") {
        return Err(Reason::Format("neither a workflow run nor a job"));
    }
    let repo = repo(object).ok_or(Reason::Format("no repository is named"))?;
    let conclusion = text(object, "conclusion");
    let (begun, ended) = times(object, is_job)?;
    let mut payload = json!({
        "run_id": check.flatten().or_else(|| object.get(if is_job { "run_id" } else { "id" }).cloned()),
        "duration_ms": duration_ms(begun, ended, is_job, conclusion)?,
        "workflow": if is_job { text(object, "workflow_name") } else { text(object, "name").or(text(object, "path")) },
        "job": text(object, "name").filter(|_| is_job),
        "job_id": object.get("id").filter(|_| is_job),
        "result": conclusion.and_then(result),
        "queued_ms": queued_ms(object, is_job, begun),
        "runner": runner(object),
        "from_fork": from_fork(object),
        "head_repo_id": fork(object),
        "sha": object.get("head_sha"),
    });
    if let Value::Object(payload) = &mut payload {
        for (key, value) in object {
            if !TOLD.contains(&key.as_str()) && !key.ends_with("_url") && !payload.contains_key(key) {
                payload.insert(key.clone(), value.clone());
            }
        }
    }
    let event = json!({
        "ts": begun.to_string(),
        "type": "ci_run",
        "repo": repo,
        "branch": text(object, "head_branch"),
        "pr": pull_request(object, &repo),
        "developer": object.get("actor").and_then(|actor| actor.get("login")),
        "payload": payload,
    });
    if let Value::Object(event) = event { Ok(event) } else { Err(Reason::NotAnObject) }
}

/// When it began and ended. What is still running says neither how long it takes nor how it ends.
fn times(object: &Object, is_job: bool) -> Result<(Timestamp, Timestamp), Reason> {
    if text(object, "status").is_some_and(|status| status != "completed") {
        return Err(Reason::Format("it has not finished; fetch it again when it has"));
    }
    if is_job {
        let begun = time(object, "started_at").ok_or(Reason::Format("started_at is missing"))?;
        let ended = time(object, "completed_at").ok_or(Reason::Format("completed_at is missing"))?;
        return Ok((begun, ended));
    }
    // Runs of before 2021 have no start of their own.
    let begun = time(object, "run_started_at").or_else(|| time(object, "created_at"));
    let begun = begun.ok_or(Reason::Format("run_started_at is missing"))?;
    Ok((begun, time(object, "updated_at").ok_or(Reason::Format("updated_at is missing"))?))
}

/// GitHub lets jobs that never ran end before they began: these took no time. Of others that would be a guess.
fn duration_ms(begun: Timestamp, ended: Timestamp, is_job: bool, conclusion: Option<&str>) -> Result<i64, Reason> {
    const DAY_MS: i64 = 24 * 3600 * (SECOND / 1000);
    match (ended.0 - begun.0) / 1000 {
        ms if is_job && ms > LONGEST_JOB_DAYS * DAY_MS => {
            Err(Reason::Format("completed_at is more than 5 days after started_at, longer than any job takes"))
        }
        ms if ms > LONGEST_RUN_DAYS * DAY_MS => Err(Reason::Format(
            "updated_at is more than 35 days after the start: it was touched later, and when it ended is not known; take its jobs",
        )),
        ms if ms >= 0 => Ok(ms),
        _ if matches!(conclusion, Some("skipped" | "cancelled" | "action_required")) => Ok(0),
        _ => Err(Reason::Format("it ended before it began")),
    }
}

/// The contract's word for GitHub's conclusion, which is kept beside it; none for one that is not known.
fn result(conclusion: &str) -> Option<&'static str> {
    Some(match conclusion {
        // Branch protection counts neutral as passed.
        "success" | "neutral" => "success",
        "failure" => "failure",
        "startup_failure" => "error",
        // GitHub gave up on it after two weeks.
        "timed_out" | "stale" => "timeout",
        "cancelled" => "cancellation",
        // It waits for a maintainer's leave: nothing ran.
        "skipped" | "action_required" => "skip",
        _ => return None,
    })
}

/// How long it waited; nothing where that is not known: the jobs a rerun took over from the attempt before seem to
/// have started before they were created, and a later attempt of a run keeps the time of the first one's creation.
fn queued_ms(object: &Object, is_job: bool, begun: Timestamp) -> Option<i64> {
    let waited = (begun.0 - time(object, "created_at")?.0) / 1000;
    let first = object.get("run_attempt").is_none_or(|attempt| attempt.as_u64() == Some(1));
    // A run's start is set when it is created, whatever it waits for afterwards: zero says nothing.
    let known = if is_job { waited >= 0 } else { waited > 0 && first };
    known.then_some(waited)
}

/// The kind of machine: what was asked for. The name of a hosted one is new for every job.
fn runner(object: &Object) -> Option<String> {
    let labels = object.get("labels").and_then(Value::as_array);
    let labels: Vec<&str> = labels.into_iter().flatten().filter_map(Value::as_str).collect();
    if labels.is_empty() { text(object, "runner_name").map(str::to_owned) } else { Some(labels.join(",")) }
}

/// `owner/name`: a run holds its repository, a job only links into it.
fn repo(object: &Object) -> Option<String> {
    let full_name = object.get("repository").and_then(|repo| repo.get("full_name")).and_then(Value::as_str);
    let link = |key: &&str| text(object, key).and_then(repo_in);
    full_name.map(str::to_owned).or_else(|| ["url", "run_url", "jobs_url", "check_run_url"].iter().find_map(link))
}

/// The repository in a link of the REST API: `https://api.github.com/repos/owner/name/…`.
fn repo_in(url: &str) -> Option<String> {
    let mut path = url.split_once("/repos/")?.1.split('/');
    let (owner, name) = (path.next()?, path.next()?);
    (!owner.is_empty() && !name.is_empty()).then(|| format!("{owner}/{name}"))
}

/// The first pull request into this repository: in a fork, GitHub lists those into the original.
fn pull_request<'o>(object: &'o Object, repo: &str) -> Option<&'o Value> {
    let id = object.get("repository").and_then(|repo| repo.get("id"));
    let here = |pull: &&Value| {
        let base = pull.get("base").and_then(|base| base.get("repo"));
        let url = base.and_then(|base| base.get("url")).and_then(Value::as_str);
        match (id, base.and_then(|base| base.get("id"))) {
            (Some(id), Some(base)) => id == base,
            _ => url.and_then(repo_in).is_some_and(|base| base == repo),
        }
    };
    object.get("pull_requests")?.as_array()?.iter().find(here)?.get("number")
}

fn from_fork(object: &Object) -> Option<bool> {
    let same = |field| Some(object.get("head_repository")?.get(field)? == object.get("repository")?.get(field)?);
    same("id").or_else(|| same("full_name")).map(|same| !same)
}

/// The fork that its commit lies in: branches of several are often called alike.
fn fork(object: &Object) -> Option<&Value> {
    let id = |side: &str| object.get(side)?.get("id").filter(|id| id.is_u64());
    id("head_repository").filter(|head| id("repository").is_some_and(|own| own != *head))
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::Event;

    fn all(value: Value) -> Vec<Result<Event, Reason>> {
        crate::formats::events_of(&FORMAT, [value])
    }

    fn one(value: Value) -> Event {
        all(value).remove(0).unwrap()
    }

    fn reason(value: Value) -> Reason {
        all(value).remove(0).unwrap_err()
    }

    /// A run or a job with these fields changed.
    fn with(mut base: Value, changes: Value) -> Value {
        base.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        base
    }

    fn run() -> Value {
        let here = json!({"id": 31, "url": "https://api.github.com/repos/acme/api", "name": "api"});
        json!({"id": 30433642, "name": "CI", "node_id": "MDEy", "check_suite_id": 42, "head_branch": "fix/login",
            "head_sha": "acb5820", "path": ".github/workflows/ci.yml", "run_number": 562, "event": "pull_request",
            "display_title": "Fix login", "status": "completed", "conclusion": "success", "workflow_id": 159038,
            "url": "https://api.github.com/repos/acme/api/actions/runs/30433642",
            "html_url": "https://github.com/acme/api/actions/runs/30433642",
            "pull_requests": [{"id": 1, "number": 8, "head": {"ref": "fix/login", "sha": "later", "repo": here},
                "base": {"ref": "main", "sha": "later", "repo": here}}],
            "created_at": "2026-01-22T19:33:08Z", "updated_at": "2026-01-22T19:38:08Z",
            "actor": {"login": "ann", "id": 1}, "triggering_actor": {"login": "bob", "id": 2}, "run_attempt": 1,
            "run_started_at": "2026-01-22T19:33:08Z",
            "head_commit": {"id": "acb5820", "message": "m", "author": {"name": "Ann", "email": "ann@x.example"}},
            "repository": {"id": 31, "full_name": "acme/api"}, "head_repository": {"id": 77, "full_name": "ann/api"}})
    }

    fn job() -> Value {
        json!({"id": 399444496, "run_id": 30433642, "node_id": "MDg6", "head_sha": "acb5820",
            "run_url": "https://api.github.com/repos/acme/api/actions/runs/30433642",
            "url": "https://api.github.com/repos/acme/api/actions/jobs/399444496", "status": "completed",
            "conclusion": "failure", "created_at": "2026-01-22T19:33:09Z", "started_at": "2026-01-22T19:33:20Z",
            "completed_at": "2026-01-22T19:34:20Z", "name": "test (3.12)", "workflow_name": "CI",
            "head_branch": "fix/login", "labels": ["self-hosted", "linux"], "runner_id": 1, "runner_name": "box-1",
            "run_attempt": 1, "steps": [{"name": "Set up job", "status": "completed", "conclusion": "success",
                "number": 1, "started_at": "2026-01-22T19:33:20Z", "completed_at": "2026-01-22T19:33:22Z"}]})
    }

    #[test]
    fn a_run_belongs_to_the_pull_request_into_its_own_repository() {
        let event = one(run());
        assert_eq!((event.kind.as_str(), event.ts.to_string().as_str()), ("ci_run", "2026-01-22T19:33:08Z"));
        assert_eq!((event.pr_id.as_deref(), event.branch.as_deref()), (Some("acme/api#8"), Some("fix/login")));
        let payload = &event.payload;
        assert_eq!((&payload["run_id"], &payload["duration_ms"]), (&json!(30433642), &json!(300_000)));
        assert_eq!((&payload["workflow"], &payload["result"]), (&json!("CI"), &json!("success")));
        assert_eq!((&payload["from_fork"], &payload["sha"]), (&json!(true), &json!("acb5820")));
        assert_eq!((&payload["event"], &payload["run_attempt"]), (&json!("pull_request"), &json!(1)));
        assert!(!payload.contains_key("job") && !payload.contains_key("queued_ms"));
        let text = Value::Object(payload.clone()).to_string();
        assert!(!text.contains("later") && !text.contains("https:") && !text.contains("ann"), "{text}");

        let elsewhere =
            json!([{"number": 5, "base": {"repo": {"id": 99, "url": "https://api.github.com/repos/up/api"}}}]);
        assert_eq!(one(with(run(), json!({"pull_requests": elsewhere}))).pr_id, None);
    }

    #[test]
    fn a_job_says_where_it_ran_and_how_long_it_waited() {
        let event = one(job());
        assert_eq!((event.repo.as_deref(), event.branch.as_deref()), (Some("acme/api"), Some("fix/login")));
        assert_eq!(event.ts.to_string(), "2026-01-22T19:33:20Z");
        let payload = &event.payload;
        assert_eq!((&payload["run_id"], &payload["job"]), (&json!(30433642), &json!("test (3.12)")));
        assert_eq!((&payload["workflow"], &payload["result"]), (&json!("CI"), &json!("failure")));
        assert_eq!((&payload["duration_ms"], &payload["queued_ms"]), (&json!(60_000), &json!(11_000)));
        assert_eq!((&payload["runner"], &payload["runner_name"]), (&json!("self-hosted,linux"), &json!("box-1")));
        assert_eq!((&payload["job_id"], &payload["steps"][0]["number"]), (&json!(399444496), &json!(1)));
        assert_eq!(one(with(job(), json!({"labels": []}))).payload["runner"], "box-1");
    }

    #[test]
    fn pages_arrays_and_arrays_of_pages_are_the_same_as_their_objects() {
        let objects: Vec<_> = [run(), job()].into_iter().flat_map(all).collect();
        let runs = json!({"total_count": 1, "workflow_runs": [run()]});
        let jobs = json!({"total_count": 1, "jobs": [job()]});
        assert_eq!(all(json!([run(), job()])), objects);
        assert_eq!(all(json!([runs, jobs])), objects);
        assert_eq!(all(json!({"total_count": 0, "workflow_runs": []})), []);
    }

    #[test]
    fn a_check_run_is_a_job_of_its_run_or_of_its_suite() {
        let check = |link: &str| {
            json!({"id": 4, "head_sha": "a", "status": "completed", "conclusion": "failure", "name": "lint",
                "started_at": "2026-11-10T09:00:00Z", "completed_at": "2026-11-10T09:05:00Z", "check_suite": {"id": 5},
                "details_url": link, "url": "https://api.github.com/repos/acme/api/check-runs/4",
                "app": {"slug": "github-actions"}, "pull_requests": []})
        };
        let event = one(check("https://github.com/acme/api/actions/runs/77/job/4"));
        let payload = &event.payload;
        assert_eq!(
            (event.repo.as_deref(), &payload["run_id"], &payload["job"]),
            (Some("acme/api"), &json!(77), &json!("lint"))
        );
        assert_eq!((&payload["duration_ms"], &payload["result"]), (&json!(300_000), &json!("failure")));
        assert_eq!((&payload["job_id"], &payload["sha"]), (&json!(4), &json!("a")));
        assert_eq!(one(check("https://ci.example/4")).payload["run_id"], 5);
        let page = json!({"total_count": 2, "check_runs": [check("x"), check("y")]});
        assert_eq!(all(page).len(), 2);
    }

    #[test]
    fn every_conclusion_has_its_result_and_is_kept() {
        for (conclusion, result) in [
            ("success", "success"),
            ("neutral", "success"),
            ("failure", "failure"),
            ("startup_failure", "error"),
            ("timed_out", "timeout"),
            ("stale", "timeout"),
            ("cancelled", "cancellation"),
            ("skipped", "skip"),
            ("action_required", "skip"),
        ] {
            let event = one(with(job(), json!({"conclusion": conclusion})));
            assert_eq!((&event.payload["result"], &event.payload["conclusion"]), (&json!(result), &json!(conclusion)));
        }
        let unknown = one(with(job(), json!({"conclusion": "brand_new"})));
        assert!(!unknown.payload.contains_key("result"));
    }

    #[test]
    fn a_rerun_is_a_run_of_its_own_and_no_wait_is_made_up() {
        let again =
            json!({"run_attempt": 2, "run_started_at": "2026-01-23T08:00:00Z", "updated_at": "2026-01-23T08:01:00Z"});
        let again = one(with(run(), again));
        assert_eq!(
            (again.ts.to_string().as_str(), &again.payload["duration_ms"]),
            ("2026-01-23T08:00:00Z", &json!(60_000))
        );
        assert!(!again.payload.contains_key("queued_ms"));
        let taken_over = one(with(job(), json!({"created_at": "2026-01-23T08:00:00Z", "run_attempt": 2})));
        assert!(!taken_over.payload.contains_key("queued_ms"));
        let waited = one(with(run(), json!({"run_started_at": "2026-01-22T19:33:10Z"})));
        assert_eq!(waited.payload["queued_ms"], 2_000);
    }

    #[test]
    fn what_cannot_be_a_run_is_a_reject_with_its_reason() {
        let unfinished = Reason::Format("it has not finished; fetch it again when it has");
        assert_eq!(reason(with(run(), json!({"status": "in_progress", "conclusion": null}))), unfinished);
        assert_eq!(reason(with(job(), json!({"completed_at": null}))), Reason::Format("completed_at is missing"));
        assert_eq!(reason(with(job(), json!({"started_at": null}))), Reason::Format("started_at is missing"));
        assert_eq!(reason(with(run(), json!({"updated_at": "soon"}))), Reason::Format("updated_at is missing"));
        let nowhere = json!({"url": "x", "run_url": "https://api.github.com/repos/acme"});
        assert_eq!(reason(with(job(), nowhere)), Reason::Format("no repository is named"));
        assert_eq!(reason(with(run(), json!({"id": null}))), Reason::Missing("run_id"));
        assert_eq!(reason(json!({"status": "completed"})), Reason::Format("neither a workflow run nor a job"));
        assert_eq!(reason(json!("x")), Reason::NotJson);
        assert_eq!(reason(json!([3])), Reason::NotAnObject);
        let backwards = json!({"completed_at": "2026-01-22T19:33:00Z"});
        assert_eq!(reason(with(job(), backwards.clone())), Reason::Format("it ended before it began"));
        let skipped = one(with(with(job(), backwards), json!({"conclusion": "skipped"})));
        assert_eq!(skipped.payload["duration_ms"], 0);
    }
}
