//! `collect files` on real changes.

use super::{Collector, all_are_taken, collected, git_as, of};
use crate::program::Place;
use serde_json::{Value, json};
use std::time::Duration;

fn checkout_of(place: &Place) -> String {
    let work = place.path("api");
    std::fs::create_dir_all(work.join("src")).unwrap();
    let git = |arguments: &[&str]| git_as(&work, arguments, "2026-09-01T10:00:00Z");
    git(&["init", "-q", "-b", "main"]);
    git(&["remote", "add", "origin", "https://host.test/acme/api.git"]);
    place.write("api/.gitignore", "target/\n*.log\n");
    git(&["add", "."]);
    git(&["commit", "-qm", "Begin"]);
    work.display().to_string()
}

fn files(events: &[Value]) -> Vec<(String, String)> {
    let text = |value: &'_ Value| value.as_str().unwrap().to_owned();
    let mut all: Vec<(String, String)> =
        of(events, "edit").iter().map(|event| (text(&event["payload"]["file"]), text(&event["branch"]))).collect();
    all.sort_unstable();
    all
}

fn pairs(all: &[(&str, &str)]) -> Vec<(String, String)> {
    all.iter().map(|(file, branch)| ((*file).to_owned(), (*branch).to_owned())).collect()
}

fn pause() {
    std::thread::sleep(Duration::from_millis(900));
}

#[test]
fn changes_are_edits_on_their_branch_and_what_git_ignores_is_none() {
    let place = Place::new();
    let work = checkout_of(&place);
    let mut collector = Collector::start(&place, &["files", "--watch", &work]);
    collector.says("watching");
    place.write("api/src/main.rs", "fn main() {}");
    pause();
    place.write("api/src/main.rs", "fn main() { secret_content(); }");
    place.write("api/target/debug/out", "x");
    place.write("api/build.log", "x");
    place.write("api/src/.main.rs.swp", "x");
    // A new folder, with something in it before anybody can watch it.
    place.write("api/src/deep/er/new.py", "x");
    std::fs::remove_file(place.write("api/src/gone", "x")).unwrap();
    pause();
    place.write("api/src/deep/er/new.py", "xy");
    pause();
    git_as(work.as_ref(), &["switch", "-qc", "fix"], "2026-09-01T10:00:00Z");
    place.write("api/src/main.rs", "fn main() { }");
    pause();
    std::fs::remove_file(place.path("api/src/deep/er/new.py")).unwrap();
    pause();
    collector.signal("-TERM");
    let (code, events, err) = collector.end();
    assert_eq!(code, 0, "{err}");
    let want = [
        ("src/deep/er/new.py", "fix"),
        ("src/deep/er/new.py", "main"),
        ("src/main.rs", "fix"),
        ("src/main.rs", "main"),
    ];
    assert_eq!(files(&events), pairs(&want));
    assert!(!format!("{events:?}").contains("secret_content"));
    let main =
        events.iter().find(|event| event["payload"]["file"] == "src/main.rs" && event["branch"] == "main").unwrap();
    assert_eq!(
        (&main["repo"], &main["payload"]["file_type"], &main["payload"]["changes"]),
        (&json!("acme/api"), &json!("rs"), &json!(2))
    );
    assert!(main["payload"]["duration_ms"].as_u64().unwrap() >= 500);
    let gone = events.iter().find(|event| event["payload"]["deleted"] == true).unwrap();
    assert_eq!(gone["payload"]["file"], "src/deep/er/new.py");
    all_are_taken(&events);
}

#[test]
fn a_checkout_of_thousands_of_files_is_one_remark() {
    let place = Place::new();
    let work = checkout_of(&place);
    let git = |arguments: &[&str]| git_as(work.as_ref(), arguments, "2026-09-01T10:00:00Z");
    git(&["switch", "-qc", "many"]);
    for n in 0..10_000 {
        place.write(&format!("api/src/m{}/f{n}.{}", n % 100, if n % 5 == 0 { "md" } else { "rs" }), "x");
    }
    git(&["add", "."]);
    git(&["commit", "-qm", "Many"]);
    git(&["switch", "-q", "main"]);
    let mut collector = Collector::start(&place, &["files", "--watch", &work]);
    collector.says("watching");
    git(&["switch", "-q", "many"]);
    std::thread::sleep(Duration::from_secs(6));
    place.write("api/src/m1/f1.rs", "mine");
    pause();
    collector.signal("-TERM");
    let (code, events, err) = collector.end();
    assert_eq!(code, 0, "{err}");
    let bulk: u64 =
        of(&events, "annotation").iter().map(|event| event["payload"]["files_changed"].as_u64().unwrap()).sum();
    assert!(events.len() < 20, "{} events", events.len());
    assert!(bulk >= 9_900, "{bulk} of 10000: {events:?}");
    assert!(files(&events).contains(&("src/m1/f1.rs".to_owned(), "many".to_owned())), "{events:?}");
    all_are_taken(&events);
}

#[test]
fn once_says_what_was_modified_and_again_the_same() {
    let place = Place::new();
    let work = checkout_of(&place);
    place.write("api/src/a.rs", "x");
    place.write("api/target/b.rs", "x");
    let events = collected(&place, &["files", "--watch", &work, "--once", "--since", "1h"]);
    assert_eq!(files(&events), pairs(&[(".gitignore", "main"), ("src/a.rs", "main")]));
    let n = events.len() as u64;
    let take = || {
        place.ingest(&[&place.write(
            "files.ndjson",
            super::dump(&collected(&place, &["files", "--watch", &work, "--once", "--since", "1h"])),
        )])
    };
    assert_eq!((take(), take()), ([n, n, 0, 0], [n, 0, n, 0]));
    let missing = place.run(&["collect", "files", "--watch", "nowhere"]);
    assert!(missing.code == 1 && missing.err.contains("cannot watch nowhere"), "{}", missing.err);
}
