//! A lake, a folder of dumps or a spool from somebody else: nothing outside it is read, written or deleted.

use crate::dumps::note;
use crate::program::Place;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// A file that no command may touch or show, older than any span that is kept.
fn precious(place: &Place, below: &str) -> PathBuf {
    let path = PathBuf::from(place.write(below, "precious"));
    let then = SystemTime::now() - Duration::from_secs(400 * 86_400);
    fs::File::options().write(true).open(&path).unwrap().set_modified(then).unwrap();
    path
}

fn person(day: u64) -> String {
    note(day, "mine").replacen("\"repo\"", "\"developer\":\"ann\",\"repo\"", 1)
}

#[test]
fn neither_vacuum_nor_erase_deletes_what_a_link_leads_to() {
    let place = Place::new();
    place.ingest(&[&place.write("a.ndjson", person(1))]);
    place.json(&["materialize"]);
    let files =
        ["one/x.parquet", "two/event_date=2026-10-01/y.parquet", "three/z.parquet"].map(|f| precious(&place, f));
    symlink(place.path("one"), place.path("lake/staging/events/linked")).unwrap();
    symlink(place.path("two"), place.path("lake/staging/events/event_date=2026-01-01")).unwrap();
    symlink(&files[2], place.path("lake/staging/events/part-z.parquet")).unwrap();
    let all_there = |after: &str| {
        for file in &files {
            assert!(file.exists(), "{} is gone after {after}", file.display());
        }
    };
    let dry = place.json(&["lake", "vacuum", "--keep", "0s", "--dry-run"]);
    assert!(!dry.to_string().contains("linked/") && !dry.to_string().contains("2026-01-01/"), "{dry}");
    for keep in ["7d", "0s"] {
        assert_eq!(place.run(&["lake", "vacuum", "--keep", keep]).code, 0);
        all_there("vacuum");
    }
    place.json(&["privacy", "erase", "--developer", "ann", "--yes"]);
    all_there("erase");
    // A whole table, or the folder of all of them, may be such a link too: that is an error, and nothing is followed.
    for folder in ["lake/marts/runs", "lake/traces", "lake/staging/rejects"] {
        let path = place.path(folder);
        let _ = fs::remove_dir_all(&path);
        symlink(place.path("one"), &path).unwrap();
        for command in [&["lake", "vacuum", "--keep", "0s"][..], &["privacy", "erase", "--developer", "bob", "--yes"]] {
            let ended = place.run(command);
            all_there(folder);
            assert!(ended.code == 0 || ended.err.contains("is a link"), "{command:?}: {}", ended.err);
            assert_eq!(fs::read_dir(place.path("one")).unwrap().count(), 1, "{folder}: nothing is made there either");
        }
        fs::remove_file(&path).unwrap();
    }
}

/// The newest commit of a table that adds a file, and that file's path.
fn newest_add(place: &Place, table: &str) -> (PathBuf, String) {
    let log = fs::read_dir(place.path(&format!("lake/{table}/_delta_log"))).unwrap();
    let mut commits: Vec<PathBuf> = log.map(|entry| entry.unwrap().path()).collect();
    commits.sort();
    let add = |commit: &PathBuf| {
        let text = fs::read_to_string(commit).ok()?;
        let mut actions = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        Some((commit.clone(), actions.find_map(|action| Some(action["add"]["path"].as_str()?.to_owned()))?))
    };
    commits.iter().rev().find_map(add).unwrap()
}

#[test]
fn a_log_reads_no_file_outside_its_table() {
    let other = Place::new();
    other.ingest(&[&other.write("a.ndjson", note(1, "the secret of another lake"))]);
    let (_, path) = newest_add(&other, "staging/events");
    let secret = other.path("lake/staging/events").join(path);
    let place = Place::new();
    place.ingest(&[&place.write("a.ndjson", note(1, "mine"))]);
    let (commit, path) = newest_add(&place, "staging/events");
    let whole = fs::read_to_string(&commit).unwrap();
    let climb = |up: &str, slash: &str| {
        let depth = place.path("lake/staging/events").canonicalize().unwrap().components().count() - 1;
        let down = secret.canonicalize().unwrap().display().to_string().trim_start_matches('/').replace('/', slash);
        format!("{}{down}", format!("{up}{slash}").repeat(depth))
    };
    let absolute = secret.canonicalize().unwrap().display().to_string();
    let mut ways = vec![
        climb("..", "/"),
        climb("%2e%2e", "/"),
        climb("..", "%2f"),
        climb("..", "\\"),
        climb(".\t.", "/"),
        format!("x/../{}", climb("..", "/")),
        absolute.clone(),
        format!("file://{absolute}"),
        format!("file:{absolute}"),
        format!("%2f{}", &absolute[1..]),
    ];
    symlink(&secret, place.path("lake/staging/events/planted.parquet")).unwrap();
    symlink(secret.parent().unwrap(), place.path("lake/staging/events/planted")).unwrap();
    ways.push("planted.parquet".into());
    ways.push(format!("planted/{}", secret.file_name().unwrap().to_string_lossy()));
    let size = fs::metadata(&secret).unwrap().len();
    for way in ways {
        let lines = whole.lines().map(|line| {
            let mut action: Value = serde_json::from_str(line).unwrap();
            if action["add"]["path"] == json!(path) {
                action["add"]["path"] = json!(way);
                action["add"]["size"] = json!(size);
            }
            action.to_string() + "\n"
        });
        fs::write(&commit, lines.collect::<String>()).unwrap();
        for command in [
            &["sql", "select note from staging.events", "--format", "csv"][..],
            &["sql", "select note from staging.events", "--at", "staging.events@0", "--format", "csv"],
            &["materialize", "--full-refresh"],
            &["lake", "compact"],
            &["privacy", "audit"],
        ] {
            let ended = place.run(command);
            assert!(!ended.out.contains("secret") && !ended.err.contains("the secret"), "{way}: {command:?}");
            // A compaction of one file reads nothing of it.
            let must_fail = command[1] != "compact" || !way.starts_with("planted");
            assert!(!must_fail || ended.code != 0, "{way}: {command:?} said {}{}", ended.out, ended.err);
        }
        assert!(secret.exists());
    }
    fs::write(&commit, whole).unwrap();
    assert_eq!(place.sql("select note from staging.events"), [json!({"note": "mine"})]);
}

#[test]
fn a_folder_of_dumps_takes_no_file_of_elsewhere() {
    let place = Place::new();
    place.write("secret.json", note(1, "secret"));
    place.write("dumps/a.ndjson", note(2, "mine"));
    symlink(place.path("secret.json"), place.path("dumps/b.json")).unwrap();
    symlink(place.path("."), place.path("dumps/up")).unwrap();
    let ended = place.run(&["ingest", "dumps"]);
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert!(ended.err.contains("b.json was left out"), "{}", ended.err);
    assert_eq!(place.sql("select note from staging.events"), [json!({"note": "mine"})]);
    assert_eq!(place.ingest(&["dumps/b.json"]), [1, 1, 0, 0], "named, it is meant");
}

#[test]
fn results_are_written_neither_into_the_lake_nor_through_a_planted_link() {
    let place = Place::new();
    let usage = |hour: usize| {
        format!(
            r#"{{"ts":"2026-10-{:02}T{:02}:00:00Z","type":"usage","resource":"dev/web","repo":"a/b","pr":1,"payload":{{"interval_s":3600,"cpu_cores":0.5,"memory_bytes":1000000}}}}"#,
            1 + hour / 24,
            hour % 24
        )
    };
    place.ingest(&[&place.write("u.ndjson", (0..72).map(usage).collect::<Vec<_>>().join("\n"))]);
    place.json(&["materialize"]);
    let before = place.lake_files();
    let uri = format!("file://{}", place.path("lake").display());
    for out in ["lake/x.csv", "lake/lake.json", "lake/staging/events/x.parquet"] {
        for lake in [uri.as_str(), "lake", "./lake/."] {
            let ended = place.run(&["--lake", lake, "sql", "select 1 as x", "-o", out]);
            assert_eq!(ended.code, 2, "--lake {lake} -o {out}: {}", ended.err);
        }
    }
    assert_eq!(place.run(&["--lake", &uri, "trace", "export", "--to", "lake/staging"]).code, 2);
    assert!(before == place.lake_files());

    let outside = precious(&place, "outside/file");
    let untouched = |what: &str| assert_eq!(fs::read_to_string(&outside).unwrap(), "precious", "{what}");
    fs::create_dir(place.path("traces")).unwrap();
    symlink(&outside, place.path("traces/a%2Fb%231.json")).unwrap();
    assert_eq!(place.json(&["trace", "export"])["traces"], 1);
    untouched("trace export");
    assert!(place.read("traces/a%2Fb%231.json").contains("a/b#1"));
    symlink(&outside, place.path("gather.json.part")).unwrap();
    let ended = place.run(&["--now", "2026-10-04T00:00:00Z", "shadow", "--gather-plan", "gather.json"]);
    assert_eq!(ended.code, 0, "{}", ended.err);
    untouched("shadow --gather-plan");
    assert!(place.read("gather.json").contains("dev/web") && Path::new(&place.path("gather.json.part")).is_symlink());
}
