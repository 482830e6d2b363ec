//! `collect git` on real repositories.

use super::{all_are_taken, collected, dump, git_as, of};
use crate::program::Place;
use serde_json::{Value, json};

const DAY: &str = "2026-09-0";

fn at(day: u32) -> String {
    format!("{DAY}{day}T10:00:00Z")
}

/// A remote with a merged and a squashed pull request and an open branch, and a checkout of it.
fn repository(place: &Place) -> String {
    let bare = place.path("upstream/api.git");
    std::fs::create_dir_all(&bare).unwrap();
    git_as(&bare, &["init", "-q", "--bare", "-b", "main"], &at(1));
    let work = place.path("work/api");
    std::fs::create_dir_all(&work).unwrap();
    let git = |arguments: &[&str], day: u32| git_as(&work, arguments, &at(day));
    git(&["init", "-q", "-b", "main"], 1);
    git(&["remote", "add", "origin", &bare.display().to_string()], 1);
    let write = |name: &str, text: &[u8]| place.write(&format!("work/api/{name}"), text);
    write("src/main.rs", b"fn main() {}\n");
    write("README.md", b"# api\n");
    git(&["add", "."], 1);
    git(&["commit", "-qm", "Begin\n\nSigned-off-by: Jane Secretive <jane.secretive@acme.test>"], 1);
    git(&["switch", "-qc", "fix/login"], 2);
    write("src/main.rs", b"fn main() {\n    login();\n}\n");
    write("logo.png", b"\x89PNG\0\0\x01");
    git(&["add", "."], 2);
    git(&["commit", "-qm", "Log in"], 2);
    git(&["mv", "src/main.rs", "src/login and more.rs"], 3);
    git(&["commit", "-qm", "Move"], 3);
    git(&["switch", "-q", "main"], 4);
    git(
        &[
            "merge",
            "-q",
            "--no-ff",
            "fix/login",
            "-m",
            "Merge pull request #12 from jane-secretive/fix/login\n\nLog in at last",
        ],
        4,
    );
    write("src/fast.py", b"pass\n");
    git(&["add", "."], 5);
    git(&["commit", "-qm", "Be fast (#15)"], 5);
    git(&["switch", "-qc", "open"], 6);
    write("src/fast.py", b"pass\npass\n");
    git(&["commit", "-qam", "Be faster"], 6);
    git(&["push", "-q", "origin", "main", "open"], 6);
    git(&["remote", "set-url", "origin", "git@host.test:acme/api.git"], 6);
    work.display().to_string()
}

fn by<'e>(events: &'e [Value], message: &str) -> &'e Value {
    let found = events.iter().find(|event| event["payload"]["message"] == message);
    found.unwrap_or_else(|| panic!("no {message} in {events:?}"))
}

#[test]
fn commits_branches_and_merged_pull_requests_become_events_that_name_nobody() {
    let place = Place::new();
    let work = repository(&place);
    let events = collected(&place, &["git", "--repo", &work, "--since", "all"]);
    let text = dump(&events);
    for name in ["Jane", "jane", "secretive", "acme.test"] {
        assert!(!text.contains(name), "{name} in {text}");
    }
    assert_eq!((of(&events, "commit").len(), of(&events, "push").len(), of(&events, "pr").len()), (6, 2, 2));
    assert!(events.iter().all(|event| event["repo"] == "acme/api"));
    let login = by(&events, "Log in");
    assert_eq!(
        (&login["branch"], &login["pr"], &login["ts"]),
        (&json!("fix/login"), &json!(12), &json!("2026-09-02T10:00:00Z"))
    );
    let payload = &login["payload"];
    assert_eq!(
        (&payload["files_changed"], &payload["insertions"], &payload["deletions"]),
        (&json!(2), &json!(3), &json!(1))
    );
    assert_eq!(payload["file_types"]["rs"], json!({"files": 1, "insertions": 3, "deletions": 1}));
    assert!(payload["files"].as_array().unwrap().contains(&json!({"path": "logo.png", "binary": true})));
    assert_eq!(
        by(&events, "Move")["payload"]["files"],
        json!([{"path": "src/login and more.rs", "insertions": 0, "deletions": 0}])
    );
    assert_eq!((&by(&events, "Begin")["branch"], &by(&events, "Begin")["pr"]), (&json!("main"), &Value::Null));
    assert_eq!(by(&events, "Merge pull request #12")["payload"]["merge"], true);
    assert_eq!((&by(&events, "Be faster")["branch"], &by(&events, "Be faster")["pr"]), (&json!("open"), &Value::Null));
    let merged = of(&events, "pr").into_iter().find(|event| event["pr"] == 12).unwrap();
    let want = json!({"action": "merged", "title": "Log in at last", "commits": 2, "from_fork": true, "sha": merged["payload"]["sha"]});
    assert_eq!(
        (&merged["payload"], &merged["branch"], &merged["ts"]),
        (&want, &json!("fix/login"), &json!("2026-09-04T10:00:00Z"))
    );
    let squashed = of(&events, "pr").into_iter().find(|event| event["pr"] == 15).unwrap();
    assert_eq!(squashed["payload"]["title"], "Be fast");
    all_are_taken(&events);
}

#[test]
fn read_twice_is_once_in_the_lake_and_a_person_is_one_person_whoever_hashed() {
    let place = Place::new();
    let work = repository(&place);
    let raw = json!({"ts": "2026-09-02T11:00:00Z", "type": "annotation", "repo": "acme/api", "pr": 12,
        "developer": "jane.secretive@acme.test", "payload": {"note": "by hand"}});
    place.ingest(&[&place.write("raw.ndjson", raw.to_string())]);
    let read = || place.write("git.ndjson", dump(&collected(&place, &["git", "--repo", &work, "--since", "all"])));
    assert_eq!(place.ingest(&[&read()]), [10, 10, 0, 0]);
    assert_eq!(place.ingest(&[&read()]), [10, 0, 10, 0]);
    let people = place.sql("select distinct developer from staging.events where developer is not null");
    assert_eq!(people.len(), 1, "{people:?}");
    place.json(&["materialize"]);
    let trace = place.json(&["trace", "acme/api#12"]);
    assert_eq!((&trace["pr"]["status"], &trace["pr"]["title"]), (&json!("merged"), &json!("Log in at last")));
    let kinds: Vec<&str> = trace["events"].as_array().unwrap().iter().map(|e| e["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["commit", "annotation", "commit", "pr"]);
}

#[test]
fn with_a_state_only_what_is_new_is_read_even_after_a_rewrite() {
    let place = Place::new();
    let work = repository(&place);
    let read = || {
        let arguments = ["--json", "collect", "git", "--repo", &work, "--since", "all", "--spool", "spool"];
        let ended = place.run(&arguments);
        assert_eq!(ended.code, 0, "{}", ended.err);
        let answer: Value = serde_json::from_str(&ended.out).unwrap();
        ["commits", "pushes", "merged"].map(|name| answer[name].as_u64().unwrap())
    };
    assert_eq!(read(), [6, 2, 2]);
    assert_eq!(read(), [0, 0, 0]);
    let git = |arguments: &[&str]| git_as(work.as_ref(), arguments, &at(7));
    git(&["commit", "-q", "--amend", "-m", "Be the fastest"]);
    assert_eq!(read(), [1, 0, 0]);
    // What the state names is gone for good.
    git(&["reflog", "expire", "--expire=now", "--all"]);
    git(&["update-ref", "-d", "refs/remotes/origin/open"]);
    git(&["gc", "-q", "--prune=now"]);
    git(&["commit", "-q", "--allow-empty", "-m", "On"]);
    assert_eq!(read(), [1, 0, 0]);
    assert_eq!(place.ingest(&["spool"]), [12, 12, 0, 0]);
    place.write("broken.state", "{}");
    let broken = place.run(&["collect", "git", "--repo", &work, "--state", "broken.state"]);
    assert!(broken.code == 1 && broken.err.contains("broken.state is no state"), "{}", broken.err);
}

#[test]
fn a_repository_decides_nothing_by_its_configuration() {
    let place = Place::new();
    let work = repository(&place);
    place.write("work/api/.gitattributes", "* diff=evil\n");
    let read = || collected(&place, &["git", "--repo", &work, "--since", "all"]);
    let before = read();
    let evil = format!("touch {}", place.path("ran").display());
    for name in
        ["diff.evil.textconv", "diff.evil.command", "diff.external", "core.fsmonitor", "gpg.program", "core.pager"]
    {
        git_as(work.as_ref(), &["config", name, &evil], &at(8));
    }
    let order = place.write("order", "*.py\n*.rs\n");
    for (name, value) in [
        ("log.showSignature", "true"),
        ("log.showRoot", "false"),
        ("diff.renames", "false"),
        ("diff.algorithm", "histogram"),
        ("diff.orderFile", order.as_str()),
        ("format.pretty", "oneline"),
    ] {
        git_as(work.as_ref(), &["config", name, value], &at(8));
    }
    assert_eq!(read(), before);
    assert!(!place.path("ran").exists(), "a program of the repository's choice was run");
}

#[test]
fn what_is_no_repository_is_named_and_an_empty_one_is_no_fault() {
    let place = Place::new();
    std::fs::create_dir(place.path("plain")).unwrap();
    let mut plain = place.command(&["collect", "git", "--repo", "plain"]);
    plain.env("GIT_CEILING_DIRECTORIES", place.path(""));
    let plain = crate::program::end(plain);
    assert_eq!(plain.code, 1);
    assert!(plain.err.contains("cannot read the repository plain: fatal: not a git repository"), "{}", plain.err);
    let empty = place.path("empty");
    std::fs::create_dir(&empty).unwrap();
    git_as(&empty, &["init", "-q"], &at(1));
    assert!(collected(&place, &["git", "--repo", "empty"]).is_empty());
}
