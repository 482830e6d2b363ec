//! What dumps look like that no format reads: said by its name, with what to do about it.

use serde_json::Value;

/// A message with every known format in it.
macro_rules! unknown {
    ($what:literal) => {
        concat!(
            "unknown format",
            $what,
            "; known are native, github, gharchive, actions, gitlab, otlp, prometheus, icalendar"
        )
    };
}

/// Objects that look like nothing in particular.
pub(super) const ANY: &str = unknown!(": an object without \"ts\" and \"type\"");

/// What an object looks like that no format knows; none where nothing is known of it either.
pub(super) fn object(value: &Value) -> Option<&'static str> {
    let has = |keys: &[&str]| keys.iter().all(|key| value.get(key).is_some());
    let is = |key: &str, kind: fn(&Value) -> bool| value.get(key).is_some_and(kind);
    let event = is("type", |kind| kind.as_str().is_some_and(|kind| kind.ends_with("Event")));
    Some(match () {
        () if has(&["ts", "type"]) => return None,
        () if has(&["actor_attributes"]) || (event && has(&["created_at", "repository"])) => {
            unknown!(
                ": it looks like GH Archive before 2015, of which nothing is read; did you mean gharchive, hours of 2015 and later?"
            )
        }
        () if has(&["repository", "sender"])
            || has(&["zen", "hook_id"])
            || has(&["ref", "before", "after", "pusher"]) =>
        {
            unknown!(
                ": it looks like the payload of a GitHub webhook, of which only workflow_run, workflow_job, check_run and deployments are read; did you mean actions or gharchive, which tell the same?"
            )
        }
        () if has(&["object_kind"]) => {
            unknown!(
                ": it looks like the payload of a GitLab webhook; did you mean gitlab, by `GET /projects/ID/jobs`?"
            )
        }
        () if has(&["databaseId"]) || has(&["headSha", "workflowName"]) => {
            unknown!(
                ": it looks like the answer of `gh run list --json`, which names no repository; did you mean actions, by `gh api repos/OWNER/NAME/actions/runs`?"
            )
        }
        () if has(&["number", "head", "base", "user"]) => {
            unknown!(
                ": it looks like a pull request of GitHub's REST API; did you mean github, with _repo, _number and _kind beside it?"
            )
        }
        () if is("status", |status| status == "success") && has(&["data"]) => {
            unknown!(
                ": it looks like an answer of Prometheus without series; did you mean prometheus, by query or query_range?"
            )
        }
        () if has(&["metric"]) || has(&["__name__"]) => {
            unknown!(": it looks like a series without its values; did you mean prometheus?")
        }
        () if has(&["traceId"])
            || has(&["traceID"])
            || has(&["TraceID"])
            || has(&["SpanContext"])
            || has(&["context", "start_time"]) =>
        {
            unknown!(
                ": it looks like spans of Zipkin, Jaeger or an SDK's console exporter; did you mean otlp, by an OTLP file exporter?"
            )
        }
        () if has(&["apiVersion", "kind"]) => {
            unknown!(
                ": it looks like objects of Kubernetes; did you mean prometheus or otlp, which tell what they use?"
            )
        }
        () if has(&["cpu_stats"]) || has(&["CPUPerc"]) => {
            unknown!(": it looks like `docker stats`; did you mean native, by `pipeline collect docker`?")
        }
        () if has(&["web_url", "ref", "sha"]) || has(&["web_url", "iid"]) || has(&["path_with_namespace"]) => {
            unknown!(
                ": it looks like GitLab's API, of which jobs and pipelines are read; did you mean gitlab, by `GET /projects/ID/jobs`?"
            )
        }
        () if has(&["check_suites"]) => unknown!(
            ": it looks like check suites of GitHub's REST API, which tell no duration; did you mean actions, by `gh api --paginate repos/OWNER/NAME/commits/SHA/check-runs`?"
        ),
        () if has(&["billable", "run_duration_ms"]) => unknown!(
            ": it looks like the timing of a workflow run, which names neither the run nor its time; did you mean actions, by `gh api repos/OWNER/NAME/actions/runs/ID`?"
        ),
        () if has(&["workflows"]) && has(&["total_count"]) => unknown!(
            ": it looks like the workflows of a repository, not their runs; did you mean actions, by `gh api --paginate repos/OWNER/NAME/actions/runs`?"
        ),
        () if has(&["artifacts"]) && has(&["total_count"]) => unknown!(
            ": it looks like the artifacts of workflow runs; did you mean actions, by `gh api --paginate repos/OWNER/NAME/actions/runs`?"
        ),
        () if has(&["total_count"]) && value.as_object().is_some_and(|it| it.values().any(Value::is_array)) => {
            unknown!(
                ": it looks like a page of GitHub's REST API, of which runs, jobs and check runs are read; did you mean actions, by `gh api --paginate repos/OWNER/NAME/actions/runs`?"
            )
        }
        () if has(&["number", "title"])
            && ["headRefName", "createdAt", "isDraft", "mergedAt", "baseRefName"].iter().any(|key| has(&[key])) =>
        {
            unknown!(
                ": it looks like the answer of `gh pr list --json`, which names no repository; did you mean github, by `gh api --paginate repos/OWNER/NAME/issues/NUMBER/timeline` with _repo, _number and _kind beside each?"
            )
        }
        () if is("event", Value::is_string)
            && ["actor", "sha", "submitted_at", "commit_id", "user"].iter().any(|key| has(&[key])) =>
        {
            unknown!(
                ": it looks like the timeline of an issue or pull request of GitHub's REST API, which names neither; did you mean github, by `jq -c '.[] + {_repo: \"OWNER/NAME\", _number: NUMBER, _kind: \"event\"}'`?"
            )
        }
        () if is("_class", |class| {
            class.as_str().is_some_and(|class| {
                class.starts_with("hudson") || class.starts_with("org.jenkins") || class.starts_with("com.cloudbees")
            })
        }) =>
        {
            unknown!(": it looks like Jenkins' API; did you mean native, a ci_run for each build?")
        }
        () if has(&["items", "next_page_token"]) || has(&["pipeline_number"]) => {
            unknown!(": it looks like CircleCI's API; did you mean native, a ci_run for each job?")
        }
        () if has(&["buildNumber"]) || has(&["count", "value"]) && is("value", Value::is_array) => {
            unknown!(": it looks like the API of Azure Pipelines; did you mean native, a ci_run for each build?")
        }
        () if has(&["timeseries"]) => {
            unknown!(": it looks like a remote write of Prometheus; did you mean prometheus, by query_range?")
        }
        () if is("results", |results| results.is_array() || results.is_object()) => unknown!(
            ": it looks like an answer of Grafana or InfluxDB; did you mean prometheus, by query_range of the source behind it?"
        ),
        () if is("message", Value::is_string) && is("documentation_url", Value::is_string) => {
            unknown!(": it looks like an error of GitHub's API; ask again")
        }
        () => return None,
    })
}

/// What a line looks like that is no JSON; none where nothing is known of it.
pub(super) fn text(line: &str) -> Option<&'static str> {
    let line = line.trim();
    let words = line.split(',').map(|word| word.trim().trim_matches('"'));
    let is_name = |word: &str| {
        word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && word.len() <= 40
            && word.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ' '))
    };
    Some(match () {
        () if line.starts_with("<?xml") || line.starts_with("<testsuite") => {
            unknown!(": it looks like XML; did you mean native, by `pipeline record`, which reads JUnit's reports?")
        }
        () if line.starts_with('<') && line.ends_with('>') => unknown!(": it looks like HTML or XML, not JSON"),
        () if line == "---" || line.starts_with("apiVersion:") => unknown!(": it looks like YAML, not JSON"),
        () if line.contains(',') && words.clone().count() >= 3 && words.clone().all(is_name) => {
            unknown!(": it looks like CSV with a header; did you mean native, one JSON object a line?")
        }
        () if line.contains('\t') && line.split('\t').count() >= 3 && line.split('\t').all(is_name) => {
            unknown!(": it looks like a table with tabs; did you mean native, one JSON object a line?")
        }
        () if line.ends_with(" =>") && line.contains('{') => {
            unknown!(
                ": it looks like what `promtool query` prints; did you mean prometheus, by `promtool query -o json`?"
            )
        }
        () if is_line_protocol(line) => {
            unknown!(": it looks like InfluxDB's line protocol; did you mean prometheus, by `promtool tsdb dump`?")
        }
        () => return None,
    })
}

/// `cpu,host=a usage=0.5 1790813290000000000`
fn is_line_protocol(line: &str) -> bool {
    let words: Vec<&str> = line.split(' ').collect();
    let [series, fields, time] = words[..] else { return false };
    series.contains(',') && series.contains('=') && fields.contains('=') && time.parse::<i64>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::FORMATS;
    use serde_json::json;

    #[test]
    fn every_message_names_every_format() {
        let names: Vec<&str> = FORMATS.iter().map(|format| format.name).collect();
        assert!(ANY.ends_with(&format!("known are {}", names.join(", "))), "{ANY}");
    }

    #[test]
    fn what_is_not_read_is_called_by_its_name() {
        for (value, name) in [
            (
                json!({"type": "PushEvent", "actor": "ann", "actor_attributes": {"login": "ann"}, "repository": {"name": "r"},
                "created_at": "2012/03/11 00:00:00 -0700"}),
                "GH Archive before 2015",
            ),
            (
                json!({"action": "opened", "pull_request": {}, "repository": {"full_name": "a/b"}, "sender": {"login": "ann"}}),
                "GitHub webhook",
            ),
            (json!({"object_kind": "pipeline", "object_attributes": {}}), "GitLab webhook"),
            (json!({"databaseId": 7, "conclusion": "success"}), "gh run list"),
            (json!({"status": "success", "data": ["up"]}), "Prometheus"),
            (
                json!({"ref": "refs/heads/x", "before": "a", "after": "b", "pusher": {}, "repository": {}}),
                "GitHub webhook",
            ),
            (json!({"total_count": 1, "check_suites": [{"id": 4}]}), "check suites"),
            (json!({"billable": {}, "run_duration_ms": 5}), "timing"),
            (json!({"total_count": 1, "workflows": []}), "workflows"),
            (json!({"total_count": 1, "artifacts": []}), "artifacts"),
            (json!({"total_count": 1, "secrets": []}), "a page of GitHub's"),
            (json!({"number": 5, "title": "x", "headRefName": "y", "author": {"login": "ann"}}), "gh pr list"),
            (json!({"event": "committed", "sha": "a", "author": {}}), "timeline"),
            (json!({"event": "reviewed", "user": {}, "submitted_at": "x"}), "timeline"),
            (json!({"_class": "hudson.model.FreeStyleBuild", "builds": []}), "Jenkins"),
            (json!({"items": [], "next_page_token": null}), "CircleCI"),
            (json!({"id": 3, "iid": 1, "web_url": "https://x/-/merge_requests/1"}), "GitLab"),
            (json!({"timeseries": []}), "remote write"),
            (json!({"traceId": "0a", "id": "b", "timestamp": 1}), "Zipkin"),
            (json!({"apiVersion": "v1", "kind": "List", "items": []}), "Kubernetes"),
        ] {
            let said = object(&value).unwrap_or_default();
            assert!(said.contains(name) && said.contains("known are"), "{value}: {said}");
        }
        for (line, name) in [
            ("ts,type,duration_ms", "CSV"),
            ("\"run id\",\"name\",\"conclusion\"", "CSV"),
            ("<?xml version=\"1.0\"?>", "XML"),
            ("<testsuites tests=\"3\">", "JUnit"),
            ("cpu,host=a usage=0.5 1790813290000000000", "line protocol"),
        ] {
            let said = text(line).unwrap_or_default();
            assert!(said.contains(name), "{line}: {said}");
        }
        for line in ["not json", "2026-10-01 INFO ready, steady, go", "", "a, b"] {
            assert_eq!(text(line), None, "{line}");
        }
        assert_eq!(object(&json!({"ts": "x", "type": "PushEvent", "repository": {}, "sender": {}})), None);
    }
}
