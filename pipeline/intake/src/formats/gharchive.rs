//! Hours of GH Archive, and pages of the GitHub Events API that it records: `{id, type, actor, repo, payload, …}`.
//!
//! An event becomes one event at its own `created_at`, under the action names of the `github` timeline, so that SQL
//! need not know where a pull request came from. Until October 2025 GitHub sent the whole pull request along: its
//! state and counts as of that moment become `pr` `snapshot`, as in `github`. Since then it sends little more than the
//! number and both ends (<https://github.blog/changelog/2025-08-08-upcoming-changes-to-github-events-api-payloads/>).
//!
//! Left out are links and `node_id` (they repeat identifiers), and what names the owner of a fork, who is nearly
//! always the person whose login has just been hashed: repository objects at both ends, `full_name` of other ones.

use super::{Format, Head, Object, Out, Reader};
use domain::Reason;
use domain::fields::TYPES;
use serde_json::{Value, json};

pub(super) static FORMAT: Format =
    Format { name: "gharchive", recognises, reader: |_| Box::new(GhArchive), independent: true };

fn recognises(head: &Head) -> bool {
    let Head::Json(event) = head else { return false };
    event.get("type").and_then(Value::as_str).is_some_and(|name| name.ends_with("Event"))
        && ["id", "actor", "payload", "created_at"].iter().all(|key| event.get(key).is_some())
        && event.get("repo").is_some_and(|repo| repo.get("name").is_some())
        && event.get("ts").is_none()
}

struct GhArchive;

impl Reader for GhArchive {
    fn object(&mut self, value: Value, out: &mut Out) {
        if let Value::Array(page) = value {
            return page.into_iter().for_each(|event| self.object(event, out));
        }
        match Source::read(&value).and_then(|source| source.events()) {
            Ok(events) => out.extend(events.into_iter().map(Ok)),
            Err(reason) => out.push(Err((value, reason))),
        }
    }
}

/// One event of the archive.
struct Source<'a> {
    /// All of it.
    event: &'a Object,
    /// Its type without the `Event` at the end.
    name: &'a str,
    /// `owner/name`.
    repo: &'a str,
    /// What tells apart two events of the same second and content.
    id: String,
    payload: &'a Object,
}

impl<'a> Source<'a> {
    fn read(value: &'a Value) -> Result<Self, Reason> {
        let event = value.as_object().ok_or(Reason::NotAnObject)?;
        let name = event.get("type").and_then(Value::as_str).ok_or(Reason::Type)?;
        let repo = event.get("repo").and_then(|repo| repo.get("name")).and_then(Value::as_str);
        let id = match event.get("id") {
            Some(Value::String(id)) => id.clone(),
            Some(Value::Number(id)) => id.to_string(),
            _ => return Err(Reason::Format("id is missing")),
        };
        Ok(Self {
            event,
            name: name.strip_suffix("Event").ok_or(Reason::Format("type is no GitHub event"))?,
            repo: repo.ok_or(Reason::Format("repo.name is missing"))?,
            id,
            payload: event.get("payload").and_then(Value::as_object).ok_or(Reason::Format("payload is missing"))?,
        })
    }

    fn events(&self) -> Result<Vec<Object>, Reason> {
        let action = self.payload.get("action").and_then(Value::as_str).unwrap_or("created");
        let event = match self.name {
            "PullRequest" => return self.pull_request(),
            "PullRequestReview" => {
                let state = self.inner("review").and_then(|review| review.get("state")).and_then(Value::as_str);
                let action = match (action, state) {
                    ("created" | "submitted", Some(state)) if state.eq_ignore_ascii_case("approved") => "approved",
                    ("created" | "submitted", _) => "reviewed",
                    (other, _) => &format!("review_{other}"),
                };
                self.on_pull_request("pull_request", "review", action)?
            }
            "PullRequestReviewComment" => {
                let action = said(action, "review_commented", "review_comment");
                self.on_pull_request("pull_request", "comment", &action)?
            }
            "PullRequestReviewThread" => {
                self.on_pull_request("pull_request", "thread", &format!("review_thread_{action}"))?
            }
            "IssueComment" if self.inner("issue").is_some_and(is_pull_request) => {
                self.on_pull_request("issue", "comment", &said(action, "commented", "comment"))?
            }
            "IssueComment" | "CommitComment" => self.note(),
            "Push" => self.push(),
            name => self.other(&snake_case(name)),
        };
        Ok(vec![event])
    }

    /// What happened to a pull request, and its own record of that moment where GitHub sent it.
    fn pull_request(&self) -> Result<Vec<Object>, Reason> {
        let pull = self.inner("pull_request").ok_or(Reason::Format("pull_request is missing"))?;
        let merged =
            pull.get("merged") == Some(&Value::Bool(true)) || pull.get("merged_at").is_some_and(Value::is_string);
        let action = match self.payload.get("action").and_then(Value::as_str) {
            Some("closed") if merged => Some("merged"),
            action => action,
        };
        let mut payload = object(json!({
            "action": action,
            "author_association": pull.get("author_association"),
            "labels": names(pull.get("labels").or_else(|| self.payload.get("labels"))),
        }));
        self.copy(&mut payload, &about(pull), &[]);
        self.copy(&mut payload, self.payload, &["action", "pull_request", "labels"]);
        let mut events = vec![self.of_pull(pull, self.event("pr", payload))?];
        if pull.contains_key("state") {
            let mut snapshot = object(json!({"action": "snapshot", "labels": names(pull.get("labels"))}));
            self.copy(&mut snapshot, pull, &["user", "head", "base", "author_association", "labels"]);
            events.push(self.of_pull(pull, self.event_by(pull.get("user"), "pr", snapshot))?);
        }
        Ok(events)
    }

    /// A review or a comment, flat as in a timeline, and under `subject` what else is said of the pull request.
    fn on_pull_request(&self, subject: &str, what: &str, action: &str) -> Result<Object, Reason> {
        let pull = self.inner(subject).ok_or(Reason::Format("pull_request is missing"))?;
        let mut payload = about(pull);
        payload.insert("action".into(), action.into());
        payload.extend(names(pull.get("labels")).map(|labels| ("labels".into(), labels)));
        self.copy(&mut payload, self.inner(what).ok_or(Reason::Format("the review or comment is missing"))?, &[]);
        self.copy(&mut payload, self.payload, &["action", what, subject]);
        let mut rest = Object::new();
        self.copy(&mut rest, pull, &["number", "title", "labels", "head", "base"]);
        payload.insert(subject.into(), rest.into());
        self.of_pull(pull, self.event("pr", payload))
    }

    /// A comment that belongs to no pull request: on a commit or on an issue.
    fn note(&self) -> Object {
        let comment = self.inner("comment");
        let mut payload = object(json!({"note": comment.and_then(|comment| comment.get("body"))}));
        if let Some(comment) = comment {
            self.copy(&mut payload, comment, &["body"]);
        }
        self.copy(&mut payload, self.payload, &["comment"]);
        self.event("annotation", payload)
    }

    fn push(&self) -> Object {
        let mut payload = object(json!({"sha": self.payload.get("head")}));
        self.copy(&mut payload, self.payload, &["head"]);
        let mut event = self.event("push", payload);
        // A tag is no branch; it stays in `ref`.
        let branch = self.payload.get("ref").and_then(Value::as_str).and_then(|name| name.strip_prefix("refs/heads/"));
        event.extend(branch.map(|branch| ("branch".into(), branch.into())));
        event
    }

    /// What the contract has no type for, such as `watch` or `fork`; making and deleting a branch belongs to its work.
    fn other(&self, name: &str) -> Object {
        let mut payload = Object::new();
        self.copy(&mut payload, self.payload, &[]);
        let branch = payload.get("ref").filter(|_| payload.get("ref_type").is_some_and(|of| of == "branch")).cloned();
        // No type of the contract may be taken by what only shares its name.
        let mut event = if TYPES.contains(&name) {
            self.event(&format!("github_{name}"), payload)
        } else {
            self.event(name, payload)
        };
        event.extend(branch.map(|branch| ("branch".into(), branch)));
        event
    }

    fn inner(&self, key: &str) -> Option<&'a Object> {
        self.payload.get(key).and_then(Value::as_object)
    }

    /// The number and the branch that put an event into its trace.
    fn of_pull(&self, pull: &Object, mut event: Object) -> Result<Object, Reason> {
        let number = self.payload.get("number").or_else(|| pull.get("number")).filter(|number| number.is_u64());
        event.insert("pr".into(), number.cloned().ok_or(Reason::Format("the pull request has no number"))?);
        event.extend(end(pull, "head", "ref").map(|branch| ("branch".into(), branch.clone())));
        Ok(event)
    }

    fn event(&self, kind: &str, payload: Object) -> Object {
        self.event_by(self.event.get("actor"), kind, payload)
    }

    fn event_by(&self, person: Option<&Value>, kind: &str, mut payload: Object) -> Object {
        let field = |outer: &str, inner: &str| self.event.get(outer).and_then(|value| value.get(inner));
        let login = person.and_then(|person| person.get("login"));
        payload.insert("github_event_id".into(), self.id.as_str().into());
        payload.extend(field("repo", "id").map(|id| ("repository_id".into(), id.clone())));
        // An organisation is no person: its name is half of the repository's.
        payload.extend(field("org", "login").map(|org| ("org".into(), org.clone())));
        // The hash that a login becomes no longer tells.
        if login.and_then(Value::as_str).is_some_and(|login| login.ends_with("[bot]")) {
            payload.insert("by_bot".into(), true.into());
        }
        self.copy(&mut payload, self.event, &["id", "type", "actor", "repo", "org", "payload", "created_at"]);
        object(json!({
            "ts": self.event.get("created_at"),
            "type": kind,
            "repo": self.repo,
            "developer": login,
            "payload": payload,
        }))
    }

    /// Adds what the source says and the contract does not name, so that nothing but links is dropped.
    fn copy(&self, to: &mut Object, from: &Object, without: &[&str]) {
        for (key, value) in from {
            let link =
                key == "url" || key.ends_with("_url") || ["_links", "gravatar_id", "node_id"].contains(&key.as_str());
            let fork = key == "full_name" && value != self.repo;
            if link || fork || value.is_null() || without.contains(&key.as_str()) || to.contains_key(key) {
                continue;
            }
            to.insert(key.clone(), self.cleaned(value));
        }
    }

    fn cleaned(&self, value: &Value) -> Value {
        match value {
            Value::Object(from) => {
                let mut to = Object::new();
                self.copy(&mut to, from, &[]);
                to.into()
            }
            Value::Array(items) => items.iter().map(|item| self.cleaned(item)).collect(),
            value => value.clone(),
        }
    }
}

/// What is known of the pull request (or of the issue that it also is) at that moment, in the words of the contract.
fn about(pull: &Object) -> Object {
    object(json!({
        "number": pull.get("number"),
        "title": pull.get("title"),
        "from_fork": from_fork(pull),
        "head_repo_id": fork(pull),
        "base": end(pull, "base", "ref"),
        "base_sha": end(pull, "base", "sha"),
        "sha": end(pull, "head", "sha"),
    }))
}

/// A field of one end of a pull request: `head`, or `base`.
fn end<'p>(pull: &'p Object, side: &str, field: &str) -> Option<&'p Value> {
    pull.get(side)?.get(field).filter(|value| !value.is_null())
}

/// Unknown when the fork is gone, or neither end says whose it is.
fn from_fork(pull: &Object) -> Option<bool> {
    let same = |field| Some(end(pull, "head", "repo")?.get(field)? == end(pull, "base", "repo")?.get(field)?);
    same("id").or_else(|| same("full_name")).map(|same| !same)
}

/// The fork that it comes from: branches of several are often called alike.
fn fork(pull: &Object) -> Option<&Value> {
    let id = |side| end(pull, side, "repo")?.get("id").filter(|id| id.is_u64());
    id("head").filter(|head| id("base").is_some_and(|base| base != *head))
}

/// On GitHub a pull request is an issue too, and its conversation belongs to the issue.
fn is_pull_request(issue: &Object) -> bool {
    issue.get("pull_request").is_some_and(Value::is_object)
        || issue.get("html_url").and_then(Value::as_str).is_some_and(|url| url.contains("/pull/"))
}

/// The timeline's name for a new comment, or what was done to an old one.
fn said(action: &str, new: &str, old: &str) -> String {
    if action == "created" { new.to_owned() } else { format!("{old}_{action}") }
}

/// Labels by name: the rest of a label is its colour.
fn names(labels: Option<&Value>) -> Option<Value> {
    let name = |label: &Value| label.get("name").cloned().unwrap_or_else(|| label.clone());
    Some(labels?.as_array()?.iter().map(name).collect())
}

/// The fields of an object literal that are there.
fn object(literal: Value) -> Object {
    match literal {
        Value::Object(fields) => fields.into_iter().filter(|(_, value)| !value.is_null()).collect(),
        _ => Object::new(),
    }
}

fn snake_case(name: &str) -> String {
    let mut snake = String::with_capacity(name.len() + 4);
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

#[cfg(test)]
mod tests;
