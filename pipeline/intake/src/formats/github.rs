//! Pull-request timelines of the GitHub API: `{_repo, _number, _kind: opened|event|comment, …the API object}`.
//!
//! A timeline entry becomes one event at the time it happened. The `pull` object inside `opened` is a later snapshot
//! (final state, final counts): it becomes an event of its own, `pr` with action `snapshot`, at the time the snapshot
//! was taken, so that nothing of it can be used as known when the pull request was opened, and so that the next
//! night's newer snapshot does not make a second opening.

use super::{Format, Head, Object, Out, Reader};
use domain::Reason;
use serde_json::{Value, json};

pub(super) static FORMAT: Format =
    Format { name: "github", recognises, reader: |_| Box::new(GitHub), independent: true };

fn recognises(head: &Head) -> bool {
    matches!(head, Head::Json(value) if ["_repo", "_number", "_kind"].iter().all(|key| value.get(key).is_some()))
}

struct GitHub;

impl Reader for GitHub {
    fn object(&mut self, value: Value, out: &mut Out) {
        match translate(&value) {
            Ok(events) => out.extend(events.into_iter().map(Ok)),
            Err(reason) => out.push(Err((value, reason))),
        }
    }
}

fn translate(value: &Value) -> Result<Vec<Object>, Reason> {
    let object = value.as_object().ok_or(Reason::NotAnObject)?;
    let text = |key: &str| object.get(key).and_then(Value::as_str);
    let repo = text("_repo").ok_or(Reason::Format("_repo is missing"))?;
    let number = object.get("_number").and_then(Value::as_u64).ok_or(Reason::Format("_number is missing"))?;
    let outer = |ts: Option<&Value>, kind: &str, payload: Value| {
        let event = json!({"ts": ts, "type": kind, "repo": repo, "pr": number, "payload": payload});
        if let Value::Object(event) = event { event } else { Object::new() }
    };
    match text("_kind") {
        Some("opened") => {
            let pull = object.get("pull").and_then(Value::as_object).ok_or(Reason::Format("pull is missing"))?;
            Ok(opened(object, pull, outer))
        }
        Some("comment") => {
            let person = object.get("user");
            let mut known = json!({"action": "review_commented"});
            if is_bot(person) {
                known["by_bot"] = true.into();
            }
            let payload = with_rest(known, object, &["created_at"]);
            Ok(vec![with_person(outer(object.get("created_at"), "pr", payload), person)])
        }
        Some("event") => Ok(vec![timeline(object, text("event").ok_or(Reason::Format("event is missing"))?, outer)]),
        _ => Err(Reason::Format("_kind is none of opened, event, comment")),
    }
}

fn opened(object: &Object, pull: &Object, outer: impl Fn(Option<&Value>, &str, Value) -> Object) -> Vec<Object> {
    let full_name = |side: &str| pull.get(side)?.get("repo")?.get("full_name")?.as_str();
    let head = pull.get("head").and_then(|head| head.get("ref")).cloned();
    let id = |side: &str| pull.get(side)?.get("repo")?.get("id").filter(|id| id.is_u64());
    let fork = id("head").filter(|head| id("base").is_some_and(|base| base != *head));
    let from_fork = full_name("head").zip(full_name("base")).map(|(head, base)| head != base);
    let opened_at = object.get("created_at").or_else(|| pull.get("created_at"));
    let mut opened = outer(
        opened_at,
        "pr",
        json!({
            "action": "opened",
            "from_fork": from_fork,
            "head_repo_id": fork,
            "author_association": pull.get("author_association"),
            "base": pull.get("base").and_then(|base| base.get("ref")),
            "number": pull.get("number"),
        }),
    );
    let mut snapshot = outer(
        pull.get("updated_at").or(opened_at),
        "pr",
        with_rest(json!({"action": "snapshot"}), pull, &["user", "head", "base", "author_association"]),
    );
    if let Some(head) = head {
        opened.insert("branch".into(), head.clone());
        snapshot.insert("branch".into(), head);
    }
    let author = pull.get("user");
    vec![with_person(opened, author), with_person(snapshot, author)]
}

/// A timeline entry. Commits have no `created_at` but a committer date, reviews have `submitted_at`.
fn timeline(object: &Object, name: &str, outer: impl Fn(Option<&Value>, &str, Value) -> Object) -> Object {
    match name {
        "committed" => {
            let dated = |who: &str| object.get(who).and_then(|p| p.get("date"));
            let author = object.get("author").and_then(|p| p.get("name"));
            // A rebase moves the committer's date and keeps the author's, which the hash of the person swallows.
            let authored = dated("author").filter(|date| Some(*date) != dated("committer"));
            let known = authored.map_or(json!({}), |date| json!({"authored_at": date}));
            let payload = with_rest(known, object, &["event"]);
            with_person(outer(dated("committer").or_else(|| dated("author")), "commit", payload), author)
        }
        _ => {
            let action = match (name, object.get("state").and_then(Value::as_str)) {
                ("reviewed", Some("approved")) => "approved",
                _ => name,
            };
            let at = object.get("created_at").or_else(|| object.get("submitted_at"));
            let person = object.get("actor").or_else(|| object.get("user"));
            let mut known = json!({"action": action});
            if is_bot(person) {
                known["by_bot"] = true.into();
            }
            let payload = with_rest(known, object, &["event", "created_at", "submitted_at"]);
            with_person(outer(at, "pr", payload), person)
        }
    }
}

/// Adds what the source says and the contract does not name, so that nothing is dropped.
fn with_rest(payload: Value, source: &Object, without: &[&str]) -> Value {
    let Value::Object(mut payload) = payload else { return payload };
    for (key, value) in source {
        if !key.starts_with('_') && !without.contains(&key.as_str()) && !payload.contains_key(key) {
            payload.insert(key.clone(), value.clone());
        }
    }
    Value::Object(payload)
}

/// Whether GitHub says it is a bot: the hash of its login no longer shows that.
fn is_bot(person: Option<&Value>) -> bool {
    let text = |key: &str| person.and_then(|person| person.get(key)).and_then(Value::as_str);
    text("type") == Some("Bot") || text("login").is_some_and(|login| login.ends_with("[bot]"))
}

fn with_person(mut event: Object, person: Option<&Value>) -> Object {
    let name = match person {
        Some(Value::Object(person)) => person.get("login").cloned(),
        Some(name @ Value::String(_)) => Some(name.clone()),
        _ => None,
    };
    if let Some(name) = name {
        event.insert("developer".into(), name);
    }
    event
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(value: Value) -> Vec<domain::Event> {
        crate::formats::events_of(&FORMAT, [value]).into_iter().map(|e| e.unwrap()).collect()
    }

    #[test]
    fn what_is_known_only_later_does_not_open_with_the_pull_request() {
        let events = events(
            json!({"_repo": "o/r", "_number": 3, "_kind": "opened", "created_at": "2020-06-18T12:36:23Z",
            "pull": {"number": 3, "state": "closed", "title": "T", "user": {"login": "ann"}, "merged_at": "2020-06-19T00:00:00Z",
                "updated_at": "2022-02-15T10:23:18Z", "commits": 2, "author_association": "MEMBER",
                "head": {"ref": "fix", "repo": {"full_name": "ann/r"}}, "base": {"ref": "main", "repo": {"full_name": "o/r"}}}}),
        );
        assert_eq!(events[0].payload["action"], "opened");
        assert_eq!(events[0].payload["from_fork"], true);
        assert!(!events[0].payload.contains_key("merged_at") && !events[0].payload.contains_key("title"));
        assert_eq!(events[1].payload["merged_at"], "2020-06-19T00:00:00Z");
        assert_eq!(events[1].ts.to_string(), "2022-02-15T10:23:18Z");
        assert_eq!(events[0].developer, events[1].developer);
    }

    #[test]
    fn commits_reviews_and_comments_keep_their_own_times() {
        let base = json!({"_repo": "o/r", "_number": 3, "_kind": "event"});
        let with = |extra: Value| {
            let mut object = base.clone();
            object.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            events(object).remove(0)
        };
        let commit = with(json!({"event": "committed", "sha": "a1", "message": "m",
            "committer": {"name": "c", "date": "2020-06-18T12:30:15Z"}, "author": {"name": "a", "date": "2019-01-01T00:00:00Z"}}));
        assert_eq!((commit.kind.as_str(), commit.ts.to_string().as_str()), ("commit", "2020-06-18T12:30:15Z"));
        assert!(commit.payload["committer"].as_str().unwrap().starts_with("u-"));
        assert_eq!(commit.payload["authored_at"], "2019-01-01T00:00:00Z");
        let review = with(
            json!({"event": "reviewed", "state": "approved", "submitted_at": "2020-06-18T13:00:00Z", "user": {"login": "b"}}),
        );
        assert_eq!(review.payload["action"], "approved");
        assert_eq!(review.pr_id.as_deref(), Some("o/r#3"));
        assert!(!review.payload.contains_key("by_bot"));
        let bot =
            with(json!({"event": "commented", "created_at": "2020-06-18T13:00:00Z", "actor": {"login": "lint[bot]"}}));
        assert_eq!(bot.payload["by_bot"], true);
    }
}
