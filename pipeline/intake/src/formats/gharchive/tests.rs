use super::*;
use domain::Event;

fn all(value: Value) -> Vec<Result<Event, Reason>> {
    crate::formats::events_of(&FORMAT, [value])
}

fn events(value: Value) -> Vec<Event> {
    all(value).into_iter().map(|event| event.unwrap()).collect()
}

fn one(value: Value) -> Event {
    let mut events = events(value);
    assert_eq!(events.len(), 1);
    events.remove(0)
}

fn archived(name: &str, payload: Value) -> Value {
    json!({"id": "14881217608", "type": name, "public": true, "created_at": "2021-01-20T10:12:34Z",
        "actor": {"id": 7, "login": "ann", "display_login": "ann", "gravatar_id": "",
            "url": "https://api.github.com/users/ann", "avatar_url": "https://avatars.example/u/7?"},
        "repo": {"id": 31, "name": "acme/api", "url": "https://api.github.com/repos/acme/api"},
        "org": {"id": 3, "login": "acme", "url": "https://api.github.com/orgs/acme"}, "payload": payload})
}

/// The whole pull request, as it was sent until October 2025.
fn full(state: &str, merged_at: Value) -> Value {
    json!({"url": "https://api.github.com/repos/acme/api/pulls/8", "id": 558121796, "node_id": "MDEx", "number": 8,
        "html_url": "https://github.com/acme/api/pull/8", "state": state, "locked": false, "title": "Fix login",
        "user": {"login": "bob", "id": 9, "type": "User"}, "body": "asked by @carol", "labels": [{"id": 1,
        "name": "bug", "color": "f00"}], "draft": false, "merged": merged_at.is_string(), "merged_at": merged_at,
        "closed_at": merged_at, "author_association": "CONTRIBUTOR", "_links": {"self": {"href": "x"}},
        "head": {"label": "bob:fix/login", "ref": "fix/login", "sha": "184cb4b", "user": {"login": "bob"},
            "repo": {"id": 77, "name": "api", "full_name": "bob/api", "owner": {"login": "bob"}, "fork": true}},
        "base": {"label": "acme:main", "ref": "main", "sha": "dfbedd9", "user": {"login": "acme"},
            "repo": {"id": 31, "name": "api", "full_name": "acme/api", "owner": {"login": "acme"}}},
        "commits": 3, "additions": 25, "deletions": 10, "changed_files": 2})
}

/// What is left of it since.
fn slim(head_repo: u64) -> Value {
    let repo = |id: u64| json!({"id": id, "url": format!("https://api.github.com/repositories/{id}"), "name": "api"});
    json!({"url": "https://api.github.com/repos/acme/api/pulls/8", "id": 558121796, "number": 8,
        "head": {"ref": "fix/login", "sha": "184cb4b", "repo": repo(head_repo)},
        "base": {"ref": "main", "sha": "dfbedd9", "repo": repo(31)}})
}

#[test]
fn a_merge_is_told_from_a_close_and_brings_the_record_of_that_moment() {
    let pull = full("closed", json!("2021-01-20T10:12:33Z"));
    let merged = events(archived("PullRequestEvent", json!({"action": "closed", "number": 8, "pull_request": pull})));
    assert_eq!((merged[0].kind.as_str(), merged[0].pr_id.as_deref()), ("pr", Some("acme/api#8")));
    assert_eq!(
        (merged[0].ts.to_string().as_str(), merged[0].branch.as_deref()),
        ("2021-01-20T10:12:34Z", Some("fix/login"))
    );
    let payload = &merged[0].payload;
    assert_eq!((&payload["action"], &payload["from_fork"]), (&json!("merged"), &json!(true)));
    assert_eq!((&payload["title"], &payload["labels"]), (&json!("Fix login"), &json!(["bug"])));
    assert_eq!((&payload["author_association"], &payload["sha"]), (&json!("CONTRIBUTOR"), &json!("184cb4b")));
    assert_eq!((&payload["github_event_id"], &payload["org"]), (&json!("14881217608"), &json!("acme")));
    let snapshot = &merged[1].payload;
    assert_eq!((&snapshot["action"], &snapshot["commits"]), (&json!("snapshot"), &json!(3)));
    assert_eq!(snapshot["merged_at"], "2021-01-20T10:12:33Z");
    assert_ne!(merged[0].developer, merged[1].developer, "one merged what another wrote");

    let closed = archived("PullRequestEvent", json!({"action": "closed", "pull_request": full("closed", Value::Null)}));
    assert_eq!(events(closed)[0].payload["action"], "closed");
}

#[test]
fn the_slim_payload_since_october_2025_is_enough_for_a_trace() {
    let event = |action, head| {
        one(archived("PullRequestEvent", json!({"action": action, "number": 8, "pull_request": slim(head)})))
    };
    let merged = event("merged", 31);
    assert_eq!((merged.pr_id.as_deref(), merged.branch.as_deref()), (Some("acme/api#8"), Some("fix/login")));
    assert_eq!((&merged.payload["action"], &merged.payload["from_fork"]), (&json!("merged"), &json!(false)));
    assert_eq!(event("opened", 77).payload["from_fork"], true);
    // Without the flag nothing says that it was merged, and nothing may be guessed.
    assert_eq!(event("closed", 31).payload["action"], "closed");

    let mut labeled = archived(
        "PullRequestEvent",
        json!({"action": "labeled", "number": 8, "pull_request": slim(31),
        "label": {"name": "bug", "url": "https://x.example"}, "labels": [{"name": "bug"}]}),
    );
    labeled["actor"]["login"] = json!("renovate[bot]");
    let labeled = one(labeled);
    assert_eq!((&labeled.payload["labels"], &labeled.payload["label"]), (&json!(["bug"]), &json!({"name": "bug"})));
    assert_eq!(labeled.payload["by_bot"], true);
}

#[test]
fn reviews_and_their_comments_have_the_names_of_the_timeline() {
    let review = |action: &str, state: &str| {
        let payload = json!({"action": action, "pull_request": slim(31), "review": {"id": 5, "state": state,
            "body": "fine", "user": {"login": "ann"}, "author_association": "MEMBER", "commit_id": "184cb4b",
            "submitted_at": "2021-01-20T10:12:33Z"}});
        one(archived("PullRequestReviewEvent", payload)).payload
    };
    let approved = review("created", "approved");
    assert_eq!((&approved["action"], &approved["body"]), (&json!("approved"), &json!("fine")));
    assert_eq!((&approved["author_association"], &approved["state"]), (&json!("MEMBER"), &json!("approved")));
    assert_eq!(review("submitted", "APPROVED")["action"], "approved");
    assert_eq!(review("created", "changes_requested")["action"], "reviewed");
    assert_eq!(review("dismissed", "dismissed")["action"], "review_dismissed");

    let payload = json!({"action": "created", "pull_request": full("open", Value::Null),
        "comment": {"id": 6, "body": "nit", "path": "a.rs", "line": 3, "user": {"login": "ann"}}});
    let comment = one(archived("PullRequestReviewCommentEvent", payload));
    assert_eq!((&comment.payload["action"], &comment.payload["path"]), (&json!("review_commented"), &json!("a.rs")));
    assert_eq!((comment.pr_id.as_deref(), &comment.payload["title"]), (Some("acme/api#8"), &json!("Fix login")));
    assert_eq!(comment.payload["pull_request"]["state"], "open");
}

#[test]
fn a_comment_belongs_to_a_trace_only_when_the_issue_is_a_pull_request() {
    let comment = |issue: Value, action: &str| {
        let payload = json!({"action": action, "issue": issue, "comment": {"id": 6, "body": "ping @bob"}});
        one(archived("IssueCommentEvent", payload))
    };
    let pull = json!({"number": 8, "title": "Fix login", "labels": [], "state": "open", "comments": 2,
        "html_url": "https://github.com/acme/api/pull/8", "pull_request": {"url": "https://x", "merged_at": null}});
    let on_pull = comment(pull.clone(), "created");
    assert_eq!((on_pull.kind.as_str(), on_pull.pr_id.as_deref()), ("pr", Some("acme/api#8")));
    assert_eq!((&on_pull.payload["action"], &on_pull.payload["title"]), (&json!("commented"), &json!("Fix login")));
    assert_eq!(on_pull.payload["issue"]["comments"], 2);
    assert_eq!(comment(pull, "deleted").payload["action"], "comment_deleted");

    let on_issue = comment(json!({"number": 9, "html_url": "https://github.com/acme/api/issues/9"}), "created");
    assert_eq!((on_issue.kind.as_str(), on_issue.pr_id), ("annotation", None));
    assert!(on_issue.payload["note"].as_str().unwrap().starts_with("ping @u-"));
    assert_eq!(on_issue.payload["issue"]["number"], 9);

    let on_commit = one(archived("CommitCommentEvent", json!({"comment": {"body": "why?", "commit_id": "a1"}})));
    assert_eq!((on_commit.kind.as_str(), &on_commit.payload["commit_id"]), ("annotation", &json!("a1")));
}

#[test]
fn a_push_names_its_branch_and_its_head_in_both_shapes() {
    let old = one(archived(
        "PushEvent",
        json!({"push_id": 7, "size": 1, "ref": "refs/heads/fix/login", "head": "b2",
        "before": "a1", "commits": [{"sha": "b2", "author": {"name": "Ann", "email": "ann@x.example"},
        "message": "m", "distinct": true, "url": "https://x.example"}]}),
    ));
    assert_eq!((old.kind.as_str(), old.branch.as_deref(), old.pr_id), ("push", Some("fix/login"), None));
    assert_eq!((&old.payload["sha"], &old.payload["commits"][0]["sha"]), (&json!("b2"), &json!("b2")));
    assert!(!old.payload.contains_key("files_changed"));
    let new = json!({"repository_id": 31, "push_id": 7, "ref": "refs/tags/v1", "head": "b2", "before": "a1"});
    let new = one(archived("PushEvent", new));
    assert_eq!((new.branch, &new.payload["ref"]), (None, &json!("refs/tags/v1")));
}

#[test]
fn what_bears_on_no_pull_request_is_kept_under_its_own_name() {
    let watch = one(archived("WatchEvent", json!({"action": "started"})));
    assert_eq!((watch.kind.as_str(), &watch.payload["action"]), ("watch", &json!("started")));
    let issues = one(archived("IssuesEvent", json!({"action": "closed", "issue": {"number": 9}})));
    assert_eq!((issues.kind.as_str(), issues.pr_id), ("issues", None));
    let create = one(archived("CreateEvent", json!({"ref": "fix", "ref_type": "branch", "master_branch": "main"})));
    assert_eq!((create.kind.as_str(), create.branch.as_deref()), ("create", Some("fix")));
    assert_eq!(one(archived("ScheduleEvent", json!({}))).kind, "github_schedule");
    assert_eq!(one(archived("DiscussionCommentEvent", json!({}))).kind, "discussion_comment");
}

#[test]
fn no_login_and_no_link_survives() {
    let forkee = json!({"forkee": {"id": 78, "name": "api", "full_name": "ann/api", "owner": {"login": "ann"}}});
    let review = json!({"action": "created", "pull_request": full("open", Value::Null), "review": {"state": "x",
        "user": {"login": "ann"}, "html_url": "https://github.com/acme/api/pull/8#r1"}});
    let opened = json!({"action": "opened", "number": 8, "pull_request": full("open", Value::Null)});
    for (name, payload) in [("ForkEvent", forkee), ("PullRequestReviewEvent", review), ("PullRequestEvent", opened)] {
        for event in events(archived(name, payload)) {
            let text = Value::Object(event.payload).to_string();
            for word in ["ann", "bob", "carol", "https:", "node_id"] {
                assert!(!text.contains(word), "{word} in {text}");
            }
        }
    }
}

#[test]
fn two_events_of_the_same_second_and_content_stay_two() {
    let first = archived("WatchEvent", json!({"action": "started"}));
    let mut second = first.clone();
    second["id"] = json!("14881217609");
    let identity = domain::identity::Identity::new(&domain::privacy::Privacy::new(b"k"));
    let id = |value: &Value| identity.normal_form(&one(value.clone())).id;
    assert_ne!(id(&first), id(&second));
    assert_eq!(id(&first), id(&first.clone()));
    assert_eq!(events(json!([first, second])).len(), 2, "a page of the Events API");
}

#[test]
fn what_is_missing_is_a_reject_with_its_reason() {
    let without = |key: &str| {
        let mut event =
            archived("PullRequestEvent", json!({"action": "opened", "number": 8, "pull_request": slim(31)}));
        event.as_object_mut().unwrap().remove(key);
        all(event).remove(0).unwrap_err()
    };
    assert_eq!(without("id"), Reason::Format("id is missing"));
    assert_eq!(without("type"), Reason::Type);
    assert_eq!(without("repo"), Reason::Format("repo.name is missing"));
    assert_eq!(without("payload"), Reason::Format("payload is missing"));
    assert_eq!(without("created_at"), Reason::Timestamp);
    let reason = |name: &str, payload: Value| all(archived(name, payload)).remove(0).unwrap_err();
    assert_eq!(reason("PullRequestEvent", json!({})), Reason::Format("pull_request is missing"));
    assert_eq!(reason("PullRequestEvent", json!({"number": 8, "pull_request": {}})), Reason::Missing("action"));
    let numberless = json!({"action": "opened", "pull_request": {"number": "8"}});
    assert_eq!(reason("PullRequestEvent", numberless), Reason::Format("the pull request has no number"));
    let silent = json!({"pull_request": slim(31), "comment": null});
    let missing = Reason::Format("the review or comment is missing");
    assert_eq!(reason("PullRequestReviewCommentEvent", silent), missing);
    assert_eq!(reason("CommitCommentEvent", json!({"comment": {}})), Reason::Missing("note"));
    assert_eq!(reason("PushEvent", json!({"ref": "refs/heads/x"})), Reason::Missing("sha"));
    assert_eq!(reason("Push", json!({})), Reason::Format("type is no GitHub event"));
    assert_eq!(all(json!(3)).remove(0), Err(Reason::NotAnObject));
}
