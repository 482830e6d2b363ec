//! Bad input: one clear error with a hint, the contract's exit code, and the lake as it was.

use crate::program::Place;

const EVENT: &str = r#"{"ts":"2026-10-01T00:00:00Z","type":"annotation","repo":"a/b","pr":1,"payload":{"note":"n"}}"#;

/// Runs in a lake that holds one event, and expects the error and an untouched lake.
fn refused(prepare: impl Fn(&Place) -> Vec<String>, code: i32, says: &str) {
    let place = Place::new();
    place.ingest(&[&place.write("one.ndjson", EVENT)]);
    place.json(&["materialize"]);
    let before = place.lake_files();
    let arguments = prepare(&place);
    let ended = place.run(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(ended.code, code, "{arguments:?}: {}{}", ended.out, ended.err);
    assert_eq!(ended.err.lines().filter(|line| line.starts_with("error:")).count(), 1, "{}", ended.err);
    assert!(ended.err.contains("hint:") || code == 2, "{}", ended.err);
    assert!(ended.err.contains(says), "{says:?} is not in {}", ended.err);
    assert!(ended.err.len() < 1000, "too long to read: {}", ended.err);
    assert_eq!(before.len(), place.lake_files().len());
    assert_eq!(before, place.lake_files());
}

fn words(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}

#[test]
fn a_missing_file() {
    refused(|_| words("ingest nowhere.ndjson"), 1, "no such dump: nowhere.ndjson");
}

#[test]
fn an_unreadable_archive() {
    refused(
        |place| {
            let path = place.write("x.ndjson.gz", [0x1f, 0x8b, 8, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
            vec!["ingest".into(), path]
        },
        1,
        "cannot read",
    );
}

#[test]
fn a_truncated_archive_commits_nothing_also_of_the_other_dumps() {
    refused(
        |place| {
            let good = place.write("dumps/a.ndjson", EVENT.replace("\"n\"", "\"another\""));
            let text: String = (0..20_000).map(|i| EVENT.replace("\"n\"", &format!("\"{i}\"")) + "\n").collect();
            let packed = zstd::encode_all(text.as_bytes(), 3).unwrap();
            let cut = place.write("dumps/b.ndjson.zst", &packed[..packed.len() - 40]);
            vec!["ingest".into(), good, cut]
        },
        1,
        "b.ndjson.zst",
    );
}

#[test]
fn a_folder_without_dumps() {
    refused(
        |place| {
            place.write("empty/readme.md", "nothing here");
            words("ingest empty")
        },
        1,
        "no dumps in empty",
    );
}

#[test]
fn a_lake_that_is_no_lake() {
    refused(
        |place| {
            place.write("home/photo.jpg", "no lake");
            words("--lake home materialize")
        },
        1,
        "home is no lake",
    );
    refused(
        |place| {
            place.write("home/photo.jpg", "no lake");
            words("--lake home ingest one.ndjson")
        },
        1,
        "home is no lake",
    );
    refused(|_| words("--lake nowhere check"), 1, "nowhere is no lake");
    refused(|_| words("--lake a%20b ingest one.ndjson"), 1, "cannot use a%20b as a lake");
    let place = Place::new();
    place.ingest(&["--lake", "here/../lake", &place.write("one.ndjson", EVENT)]);
    assert!(place.path("lake/lake.json").exists());
}

#[test]
fn an_unknown_pull_request() {
    refused(|_| words("trace a/b#999"), 1, "a/b#999");
}

#[test]
fn since_in_the_future_or_unreadable() {
    refused(|_| words("train --since 2999-01-01"), 2, "--since 2999-01-01");
    refused(|_| words("train --since yesterdayish"), 2, "yesterdayish");
}

#[test]
fn no_data_to_train_or_plan_on() {
    refused(|_| words("train --since 30d"), 5, "too little data");
    refused(|_| words("evaluate"), 5, "no model");
    refused(|_| words("shadow"), 5, "no usage");
    refused(|_| words("plan"), 5, "no usage");
}

#[test]
fn a_statement_that_would_change_something() {
    refused(|_| vec!["sql".into(), "create table t as select 1".into()], 2, "only queries are allowed");
    refused(|_| vec!["sql".into(), "select nope from staging.events".into()], 1, "nope");
    refused(|_| vec!["sql".into(), "copy staging.events to 'out.csv'".into()], 2, "only queries");
}

#[test]
fn garbage_beyond_the_limit() {
    refused(
        |place| {
            let path = place.write("g.ndjson", format!("garbage\n{}\n", EVENT.replace("\"n\"", "\"x\"")));
            vec!["ingest".into(), path, "--reject-limit".into(), "5%".into()]
        },
        1,
        "rejected",
    );
}

#[test]
fn an_unknown_policy_or_target() {
    refused(|_| words("backtest --policy magic"), 2, "magic");
    refused(|_| words("plan --target ftp:somewhere"), 2, "\"ftp\" is no known kind of target");
}

#[test]
fn a_result_that_cannot_be_written_is_an_error() {
    let place = Place::new();
    place.ingest(&[&place.write("one.ndjson", EVENT)]);
    for arguments in [&["sql", "select * from staging.events"][..], &["--json", "check"], &["schema", "plan"]] {
        let mut command = place.command(arguments);
        command.stdout(std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap());
        let ended = command.stderr(std::process::Stdio::piped()).spawn().unwrap().wait_with_output().unwrap();
        assert_eq!(ended.status.code(), Some(1), "{arguments:?}");
    }
}

#[test]
fn a_very_long_query_is_answered_or_refused_but_never_crashes() {
    let place = Place::new();
    place.ingest(&[&place.write("one.ndjson", EVENT)]);
    place.write("long.sql", format!("select {} as n", vec!["1"; 2500].join("+")));
    let ended = place.run(&["--json", "sql", "-f", "long.sql"]);
    assert!(matches!(ended.code, 0 | 1), "{}", ended.err);
}

#[test]
fn a_link_to_a_folder_is_followed_when_it_is_named_and_not_when_it_is_found() {
    let place = Place::new();
    place.write("real/one.ndjson", crate::dumps::note(1, "one"));
    place.write("other/two.ndjson", crate::dumps::note(2, "two"));
    std::os::unix::fs::symlink(place.path("real"), place.path("linked")).unwrap();
    std::os::unix::fs::symlink(place.path("other"), place.path("real/other")).unwrap();
    std::os::unix::fs::symlink(place.path("real"), place.path("real/itself")).unwrap();
    for argument in ["linked", "linked/", "./linked/../real"] {
        assert_eq!(place.ingest(&[argument])[0], 1, "{argument}");
    }
    assert_eq!(place.ingest(&["real/other"]), [1, 1, 0, 0]);
}
