//! Spans: runs of pipelines and their tasks, calls of other services, and all others.
//!
//! Names: the semantic conventions for CI/CD, VCS, HTTP, RPC and databases, the older ones of each included, and the
//! collector's `github` receiver (`receiver/githubreceiver/model.go`). That says `…run.status` where the conventions say
//! `…result`, and all of a job on the resource: its span is the one that no other of the resource is the parent of, and
//! has the waiting for a machine in it, which a span beside it tells.

use super::{Object, Resource, Taken, attributes, micros, plain, text, unsigned};
use domain::Reason;
use serde_json::{Value, json};
use std::collections::HashSet;

const PIPELINE_RUN: &str = "cicd.pipeline.run.id";
const TASK_RUN: &str = "cicd.pipeline.task.run.id";

/// The events of the spans of one resource.
pub(super) fn all(resource: &Resource, spans: &[Value]) -> Vec<Taken> {
    let job = job(resource, spans);
    let translate = |(at, span)| {
        let (is_job, waited) = job.filter(|(job, _)| *job == at).map_or((false, None), |(_, waited)| (true, waited));
        read(resource, span, is_job, waited).or_else(|reason| resource.reject(span, reason))
    };
    spans.iter().enumerate().map(translate).collect()
}

/// Of a resource that is a task, the span that is that task's run, and since when it ran, where it waited before.
fn job(resource: &Resource, spans: &[Value]) -> Option<(usize, Option<i64>)> {
    let about = &resource.attributes;
    if !about.contains_key(TASK_RUN) {
        return None;
    }
    let id =
        |span: &Value, key: &str| span.get(key).and_then(Value::as_str).filter(|id| !id.is_empty()).map(str::to_owned);
    let ids: HashSet<String> = spans.iter().filter_map(|span| id(span, "spanId")).collect();
    let named = |span: &Value| {
        text(about, &["cicd.pipeline.task.name", "cicd.pipeline.name"]) == span.get("name").and_then(Value::as_str)
    };
    // Steps and the wait say so themselves; and they may have been sent apart from their job.
    let of_it = |span: &Value| attributes(span).keys().any(|key| key.starts_with("cicd."));
    let tops = spans
        .iter()
        .enumerate()
        .filter(|(_, span)| id(span, "parentSpanId").is_none_or(|parent| !ids.contains(&parent)) && !of_it(span));
    let tops: Vec<(usize, &Value)> = tops.collect();
    let (at, top) = match tops[..] {
        [only] => only,
        _ => *tops.iter().find(|(_, span)| named(span))?,
    };
    let own = id(top, "spanId");
    let wait = |span: &&Value| {
        own.is_some()
            && id(span, "parentSpanId") == own
            && attributes(span).contains_key("cicd.pipeline.run.queue.duration")
    };
    let begun = micros(top.get("startTimeUnixNano"));
    let waited = spans.iter().find(wait).and_then(|span| micros(span.get("endTimeUnixNano")));
    Some((at, waited.filter(|waited| begun.is_some_and(|begun| begun < *waited))))
}

/// One span. `is_job` is whether it is the run of the task that the resource is, and `ran` since when that ran, where
/// it waited before.
fn read(resource: &Resource, span: &Value, is_job: bool, ran: Option<i64>) -> Result<Object, Reason> {
    let start = micros(span.get("startTimeUnixNano")).ok_or(Reason::Timestamp)?;
    let end = micros(span.get("endTimeUnixNano")).ok_or(Reason::Format("a span has no usable endTimeUnixNano"))?;
    if end < start {
        return Err(Reason::Format("a span ends before it begins"));
    }
    let queued = ran.filter(|ran| *ran <= end).map(|ran| (ran - start) / 1_000);
    let start = ran.filter(|ran| *ran <= end).unwrap_or(start);
    let own = attributes(span);
    let mut all = resource.attributes.clone();
    all.extend(own.iter().map(|(key, value)| (key.clone(), value.clone())));
    let name = span.get("name").and_then(Value::as_str).unwrap_or_default();
    let mut payload = Object::new();
    for (field, key) in [("trace_id", "traceId"), ("span_id", "spanId"), ("parent_span_id", "parentSpanId")] {
        let id = span.get(key).and_then(Value::as_str).filter(|id| !id.is_empty());
        payload.extend(id.map(|id| (field.to_owned(), json!(id))));
    }
    payload.insert("name".into(), json!(name));
    payload.insert("duration_ms".into(), json!((end - start) / 1_000));
    payload.extend(queued.map(|queued| ("queued_ms".to_owned(), json!(queued))));
    let kind = if let Some(run) = run(span, is_job, &own, &all, name)? {
        payload.extend(run);
        "ci_run"
    } else if let Some(call) = call(span, &own, name) {
        payload.extend(call);
        "api_call"
    } else {
        payload.extend(rest(span));
        "span"
    };
    payload.insert("attributes".into(), Value::Object(own));
    let mut event = resource.event(start, kind, payload);
    if kind == "ci_run" && resource.who.is_none() {
        // What names the CI system as a service is nothing that has limits.
        event.remove("resource");
        event.remove("env");
    }
    event.extend(code(&all));
    Ok(event)
}

/// The run of a pipeline or of one of its tasks. The run's id may stand on the resource, and so on every span below it:
/// only the root is the run then.
fn run(span: &Value, is_job: bool, own: &Object, all: &Object, name: &str) -> Result<Option<Object>, Reason> {
    let has = |keys: &[&str]| keys.iter().any(|key| own.contains_key(*key));
    let task = is_job || has(&[TASK_RUN, "cicd.pipeline.task.run.result", "cicd.pipeline.task.run.status"]);
    let root = span.get("parentSpanId").and_then(Value::as_str).is_none_or(str::is_empty);
    let pipeline = has(&["cicd.pipeline.result", PIPELINE_RUN]) || (root && all.contains_key(PIPELINE_RUN));
    if !task && !pipeline {
        return Ok(None);
    }
    let id = |key: &str| match all.get(key)? {
        Value::String(id) if !id.is_empty() => Some(id.clone()),
        Value::Number(id) => Some(id.to_string()),
        _ => None,
    };
    let mut payload = Object::new();
    let mut put = |field: &str, value: Option<String>| payload.extend(value.map(|v| (field.to_owned(), json!(v))));
    let link = |key: &str| text(all, &[key]).and_then(run_in);
    let pipeline_run = id(PIPELINE_RUN).or_else(|| link("cicd.pipeline.task.run.url.full").filter(|_| task));
    // Of a job the receiver for GitHub calls the job by the name of the pipeline.
    put("workflow", id("cicd.pipeline.name").filter(|pipeline| !is_job || pipeline != name));
    if task {
        let job = id("cicd.pipeline.task.name").or_else(|| Some(name.to_owned()).filter(|name| !name.is_empty()));
        let by_name = || Some(format!("{}/{}", pipeline_run.as_deref()?, job.as_deref()?));
        let run_id = id(TASK_RUN).or_else(by_name);
        put("run_id", Some(run_id.ok_or(Reason::Format("a task's span has no cicd.pipeline.task.run.id"))?));
        put("job", job);
        put("pipeline_run_id", pipeline_run);
    } else {
        put("run_id", Some(pipeline_run.ok_or(Reason::Format("a pipeline's span has no cicd.pipeline.run.id"))?));
    }
    put("runner", id("cicd.worker.name").or_else(|| id("cicd.pipeline.worker.name")));
    let said = match task {
        true => {
            let of = if is_job { all } else { own };
            // The receiver for GitHub has the words in another order, and of some conclusions the pipeline's name for it.
            let keys =
                ["cicd.pipeline.task.run.result", "cicd.pipeline.task.run.status", "cicd.pipeline.run.task.status"];
            text(of, &keys).or_else(|| text(of, &["cicd.pipeline.run.status"]).filter(|_| is_job))
        }
        false => text(all, &["cicd.pipeline.result", "cicd.pipeline.run.result", "cicd.pipeline.run.status"]),
    };
    let result = match said {
        Some(said) => result(said),
        None => status(span).map(|ok| if ok { "success" } else { "failure" }),
    };
    put("result", result.map(str::to_owned));
    put("head_sha", id("vcs.ref.head.revision"));
    Ok(Some(payload))
}

/// The contract's word for a result; `None` for one it has no word for, which stays among the attributes.
fn result(said: &str) -> Option<&'static str> {
    Some(match said.to_ascii_lowercase().as_str() {
        "success" | "succeeded" => "success",
        "failure" | "failed" => "failure",
        "error" => "error",
        "timeout" | "timed_out" => "timeout",
        "cancellation" | "cancelled" | "canceled" => "cancellation",
        "skip" | "skipped" => "skip",
        _ => return None,
    })
}

/// Whether a span says that it went well; many say nothing.
fn status(span: &Value) -> Option<bool> {
    match span.get("status")?.get("code")? {
        Value::String(name) if name.ends_with("_OK") => Some(true),
        Value::String(name) if name.ends_with("_ERROR") => Some(false),
        code => match code.as_u64()? {
            1 => Some(true),
            2 => Some(false),
            _ => None,
        },
    }
}

/// A call of another service. Without a name of that service it is a span like any other.
fn call(span: &Value, own: &Object, name: &str) -> Option<Object> {
    let client = match span.get("kind")? {
        Value::String(kind) => kind == "SPAN_KIND_CLIENT",
        kind => kind.as_u64() == Some(3),
    };
    let url = text(own, &["url.full", "http.url"]);
    let host = || url?.split_once("://").map(|(_, rest)| rest.split(['/', '?', '#']).next().unwrap_or(rest));
    let service = text(own, &["peer.service", "server.address", "net.peer.name", "rpc.service"])
        .or_else(host)
        .or_else(|| text(own, &["db.system.name", "db.system", "messaging.system"]))
        .filter(|_| client)?;
    // Without the query: it is where tokens and names are.
    let path = || {
        let rest = url?.split_once("://")?.1.split(['?', '#']).next()?;
        rest.find('/').map(|at| &rest[at..])
    };
    let endpoint = text(own, &["url.template", "http.route", "url.path"])
        .or_else(path)
        .or_else(|| text(own, &["http.target", "rpc.method", "db.operation.name", "db.operation"]))
        .or(Some(name).filter(|name| !name.is_empty()));
    let codes = ["http.response.status_code", "http.status_code", "rpc.response.status_code", "rpc.grpc.status_code"];
    let code = codes.iter().find_map(|key| own.get(*key)).filter(|code| code.is_i64() || code.is_string()).cloned();
    let said = || status(span).map(|ok| json!(if ok { "ok" } else { "error" }));
    let mut payload = Object::new();
    payload.insert("service".into(), json!(service));
    payload.extend(endpoint.map(|endpoint| ("endpoint".to_owned(), json!(endpoint))));
    payload.extend(code.or_else(said).map(|status| ("status".to_owned(), status)));
    Some(payload)
}

/// What a span of no known kind says beside its attributes.
fn rest(span: &Value) -> Object {
    let mut payload = Object::new();
    for key in ["kind", "status", "events", "links"] {
        let told = span.get(key).filter(|value| **value != json!({}) && **value != json!([]));
        payload.extend(told.map(|value| (key.to_owned(), plain(value))));
    }
    payload
}

/// The outer fields of the code that was built: repository, branch and change.
fn code(all: &Object) -> Object {
    let mut outer = Object::new();
    let name = text(all, &["vcs.repository.name"]);
    let owned = || Some(format!("{}/{}", text(all, &["vcs.owner.name", "vcs.repository.owner"])?, name?));
    let repo = name
        .filter(|name| name.contains('/'))
        .map(str::to_owned)
        .or_else(owned)
        .or_else(|| repository(text(all, &["vcs.repository.url.full"])?))
        .or_else(|| {
            let link = text(all, &["cicd.pipeline.task.run.url.full", "cicd.pipeline.run.url.full"])?;
            let (repo, _) = repository_url_of(link)?;
            // A link may lead to a CI system's own page: the name tells.
            name.is_none_or(|name| repo.rsplit('/').next() == Some(name)).then_some(repo)
        })
        .or_else(|| name.map(str::to_owned));
    outer.extend(repo.map(|repo| ("repo".to_owned(), json!(repo))));
    if text(all, &["vcs.ref.head.type", "vcs.ref.type"]) != Some("tag") {
        let branch =
            text(all, &["vcs.ref.head.name", "vcs.ref.head"]).map(|name| name.trim_start_matches("refs/heads/"));
        outer.extend(branch.map(|branch| ("branch".to_owned(), json!(branch))));
    }
    let change = all.get("vcs.change.id").map(|id| match id {
        Value::String(id) => json!(id),
        id => json!(unsigned(Some(id))),
    });
    outer.extend(change.map(|change| ("pr".to_owned(), change)));
    outer
}

/// `https://github.com/acme/api/actions/runs/9/job/77` → `acme/api`, and what follows.
fn repository_url_of(link: &str) -> Option<(String, &str)> {
    let (_, rest) = link.split_once("://")?;
    let (page, rest) = rest.split_once("/actions/runs/")?;
    Some((page.split_once('/')?.1.to_owned(), rest)).filter(|(repo, _)| repo.contains('/'))
}

/// `https://github.com/acme/api/actions/runs/9/job/77` → `9`
fn run_in(link: &str) -> Option<String> {
    let (_, rest) = repository_url_of(link)?;
    let id = rest.split(['/', '?', '#']).next()?;
    (!id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit())).then(|| id.to_owned())
}

/// `https://github.com/acme/api.git`, `git@github.com:acme/api.git` → `acme/api`.
fn repository(url: &str) -> Option<String> {
    let path = match url.split_once("://") {
        Some((_, rest)) => rest.split_once('/')?.1,
        None => url.split_once(':')?.1,
    };
    let path = path.split(['?', '#']).next()?.trim_matches('/').trim_end_matches(".git");
    path.contains('/').then(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::FORMAT;
    use super::*;
    use crate::formats::events_of;
    use domain::Event;

    fn pairs(object: Value) -> Value {
        let value = |value: &Value| match value {
            Value::Number(n) => json!({"intValue": n.to_string()}),
            value => json!({"stringValue": value}),
        };
        object.as_object().unwrap().iter().map(|(k, v)| json!({"key": k, "value": value(v)})).collect()
    }

    fn taken(resource: Value, attributes: Value, more: Value) -> Result<Event, Reason> {
        let mut span = json!({"traceId": "0af7651916cd43dd8448eb211c80319c", "spanId": "b7ad6b7169203331",
            "parentSpanId": "00f067aa0ba902b7", "name": "n", "startTimeUnixNano": "1790813290000000000",
            "endTimeUnixNano": 1_790_813_291_250_000_000_u64, "attributes": pairs(attributes)});
        span.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let spans = json!({"resourceSpans": [{"resource": {"attributes": pairs(resource)},
            "scopeSpans": [{"spans": [span]}]}]});
        events_of(&FORMAT, [spans]).remove(0)
    }

    fn github() -> Value {
        json!({"service.name": "github-actions", "cicd.pipeline.name": "CI", "cicd.pipeline.run.id": 881,
            "cicd.pipeline.run.sender.login": "ann", "cicd.pipeline.run.status": "timed_out",
            "vcs.repository.name": "api", "vcs.owner.name": "acme", "vcs.ref.head.name": "fix/login",
            "vcs.ref.head.revision": "a1b2", "vcs.change.id": "123"})
    }

    #[test]
    fn the_root_span_of_a_run_is_the_run_and_a_tasks_span_a_job_of_it() {
        let run = taken(github(), json!({}), json!({"parentSpanId": ""})).unwrap();
        assert_eq!((run.kind.as_str(), run.pr_id.as_deref()), ("ci_run", Some("acme/api#123")));
        assert_eq!(run.branch.as_deref(), Some("fix/login"));
        assert_eq!(run.resource, None);
        for (field, want) in [
            ("run_id", json!("881")),
            ("duration_ms", json!(1250)),
            ("result", json!("timeout")),
            ("workflow", json!("CI")),
            ("head_sha", json!("a1b2")),
            ("trace_id", json!("0af7651916cd43dd8448eb211c80319c")),
        ] {
            assert_eq!(run.payload[field], want, "{field}");
        }
        assert!(
            run.payload["resource_attributes"]["cicd.pipeline.run.sender.login"].as_str().unwrap().starts_with("u-")
        );
        let task = json!({"cicd.pipeline.task.name": "test", "cicd.pipeline.task.run.id": "9",
            "cicd.pipeline.task.run.result": "cancellation"});
        let job = taken(github(), task, json!({})).unwrap();
        assert_eq!((&job.payload["run_id"], &job.payload["job"]), (&json!("9"), &json!("test")));
        assert_eq!(job.payload["result"], "cancellation");
        assert_eq!(job.payload["pipeline_run_id"], "881");
        let step = taken(github(), json!({"step": 2}), json!({})).unwrap();
        assert_eq!(step.kind, "span");
    }

    #[test]
    fn the_repository_is_read_from_its_url_when_nothing_else_names_its_owner() {
        for (url, repo) in [
            ("https://github.com/acme/api.git", Some("acme/api")),
            ("git@gitlab.com:acme/team/api.git", Some("acme/team/api")),
            ("https://github.com/", None),
            ("nonsense", None),
            ("", None),
        ] {
            assert_eq!(repository(url).as_deref(), repo, "{url}");
        }
    }

    #[test]
    fn a_clients_span_is_a_call_without_the_query_of_its_url() {
        let url = json!({"url.full": "https://pay.example:8443/v1/charge?token=x", "http.response.status_code": 503});
        for kind in [json!(3), json!("SPAN_KIND_CLIENT")] {
            let call = taken(json!({"service.name": "cart"}), url.clone(), json!({"kind": kind})).unwrap();
            assert_eq!((call.kind.as_str(), call.resource.as_deref()), ("api_call", Some("cart")));
            assert_eq!(call.payload["service"], "pay.example:8443");
            assert_eq!(call.payload["endpoint"], "/v1/charge");
            assert_eq!(call.payload["status"], 503);
            assert_eq!(call.payload["duration_ms"], 1250);
        }
        let query = json!({"db.system": "postgresql", "db.operation": "SELECT"});
        let call = taken(json!({}), query, json!({"kind": 3, "status": {"code": "STATUS_CODE_ERROR"}})).unwrap();
        assert_eq!((&call.payload["service"], &call.payload["status"]), (&json!("postgresql"), &json!("error")));
        let unnamed = taken(json!({}), json!({}), json!({"kind": 3})).unwrap();
        assert_eq!(unnamed.kind, "span");
    }

    #[test]
    fn any_other_span_is_kept_with_its_attributes_events_and_links() {
        let events = json!([{"timeUnixNano": "1", "name": "retry", "attributes": pairs(json!({"user.name": "ann"}))}]);
        let span = taken(json!({}), json!({"a": 1}), json!({"kind": 2, "events": events, "links": []})).unwrap();
        assert_eq!((span.kind.as_str(), &span.payload["attributes"]["a"]), ("span", &json!(1)));
        assert!(span.payload["events"][0]["attributes"]["user.name"].as_str().unwrap().starts_with("u-"));
        assert!(!span.payload.contains_key("links"));
    }

    #[test]
    fn a_span_that_cannot_be_is_refused_with_its_reason() {
        let broken = |more: Value| taken(json!({}), json!({}), more).unwrap_err();
        assert_eq!(broken(json!({"startTimeUnixNano": null})), Reason::Timestamp);
        let end = Reason::Format("a span has no usable endTimeUnixNano");
        assert_eq!(broken(json!({"endTimeUnixNano": "later"})), end);
        assert_eq!(broken(json!({"endTimeUnixNano": "5000"})), Reason::Format("a span ends before it begins"));
        let nameless = taken(json!({}), json!({"cicd.pipeline.result": "success"}), json!({})).unwrap_err();
        assert_eq!(nameless, Reason::Format("a pipeline's span has no cicd.pipeline.run.id"));
        let task = json!({"cicd.pipeline.task.run.result": "success"});
        let nameless = taken(json!({}), task, json!({})).unwrap_err();
        assert_eq!(nameless, Reason::Format("a task's span has no cicd.pipeline.task.run.id"));
    }
}
