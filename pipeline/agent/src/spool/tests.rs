//! The spool on a real folder.

use super::*;

fn now() -> Timestamp {
    Timestamp::parse("2026-10-01T00:00:00Z").unwrap()
}

fn line(n: usize) -> Value {
    json!({"ts": now().plus(n as i64 * 1_000_000).to_string(), "type": "annotation", "payload": {"note": format!("{n} {}", "x".repeat(900))}})
}

fn names(folder: &Path, ending: &str) -> Vec<String> {
    let all = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    let mut all: Vec<String> = all.filter(|name| name.ends_with(ending)).collect();
    all.sort();
    all
}

fn total(folder: &Path) -> u64 {
    std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().metadata().unwrap().len()).sum()
}

fn notes(folder: &Path) -> Vec<Value> {
    names(folder, ".ndjson")
        .iter()
        .flat_map(|name| {
            let text = std::fs::read_to_string(folder.join(name)).unwrap();
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<Value>>()
        })
        .collect()
}

#[test]
fn nothing_is_seen_before_it_is_whole_and_then_all_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = Spool::open(dir.path(), 1 << 20, "docker").unwrap();
    (0..3).for_each(|n| spool.take(&line(n), now()).unwrap());
    assert_eq!((names(dir.path(), ".ndjson").len(), names(dir.path(), ".part").len()), (0, 1));
    assert_eq!(spool.close().unwrap(), SpoolTotals { written: 3, lost: 0, dropped: 0 });
    assert_eq!((notes(dir.path()).len(), names(dir.path(), ".part").len()), (3, 0));
}

#[test]
fn the_bound_holds_at_every_moment_and_every_dropped_event_is_accounted_for() {
    let dir = tempfile::tempdir().unwrap();
    let mut spools = ["docker", "files"].map(|name| Spool::open(dir.path(), 1 << 20, name).unwrap());
    let (mut sent, mut largest) = (0, 0);
    for n in 0..5000 {
        let spool = &mut spools[n % 2];
        spool.take(&line(n), now()).unwrap();
        sent += 1;
        largest = largest.max(total(dir.path()));
    }
    let totals = spools.map(|spool| spool.close().unwrap());
    assert!(largest <= 1 << 20, "{largest}");
    assert!(largest > 800 << 10, "{largest} of the bound used");
    let kept = notes(dir.path());
    let remarks = |event: &&Value| event["payload"]["dropped_events"].is_u64();
    let dropped_here: u64 = kept.iter().filter(remarks).map(|e| e["payload"]["dropped_events"].as_u64().unwrap()).sum();
    assert!(dropped_here > 0);
    let dropped: u64 = totals.iter().map(|t| t.dropped).sum();
    // Dropped files hold remarks of earlier drops too: one for each file.
    let events = kept.iter().filter(|e| !remarks(e)).count() as u64;
    assert!(events + dropped >= sent && events + dropped <= sent + 200, "{events} + {dropped} of {sent}");
}

#[test]
fn the_part_of_a_killed_writer_is_finished_without_its_broken_line() {
    let dir = tempfile::tempdir().unwrap();
    let torn = dir.path().join("git-20261001T000000Z-1-000001.ndjson.part");
    std::fs::write(&torn, format!("{}\n{}\n{{\"ts\":\"2026", line(0), line(1))).unwrap();
    std::fs::write(dir.path().join("git-20261001T000000Z-1-000002.ndjson.part"), "{\"ts").unwrap();
    let alive = Spool::open(dir.path(), 1 << 20, "docker").unwrap();
    assert_eq!(names(dir.path(), ".ndjson"), ["git-20261001T000000Z-1-000001.ndjson"]);
    assert_eq!((notes(dir.path()).len(), names(dir.path(), ".part").len()), (2, 0));
    drop(alive);
}

#[test]
fn the_part_of_a_living_writer_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let mut first = Spool::open(dir.path(), 1 << 20, "docker").unwrap();
    first.take(&line(0), now()).unwrap();
    Spool::open(dir.path(), 1 << 20, "git").unwrap().close().unwrap();
    assert_eq!(names(dir.path(), ".part").len(), 1);
    first.take(&line(1), now()).unwrap();
    first.close().unwrap();
    assert_eq!(notes(dir.path()).len(), 2);
}

#[test]
fn what_cannot_be_written_is_said_when_it_can_be_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = Spool::open(dir.path(), 1 << 20, "docker").unwrap();
    let huge = json!({"ts": now().to_string(), "type": "annotation", "payload": {"note": "x".repeat(1 << 20)}});
    assert!(spool.take(&huge, now()).unwrap_err().to_string().contains("cannot write an event to"));
    spool.take(&line(1), now()).unwrap();
    assert_eq!(spool.close().unwrap(), SpoolTotals { written: 1, lost: 1, dropped: 0 });
    let kept = notes(dir.path());
    assert_eq!(kept[0]["payload"]["lost_events"], 1);
    assert_eq!(kept.len(), 2);
}

#[test]
fn what_somebody_planted_in_the_folder_leads_to_no_other_file() {
    let place = tempfile::tempdir().unwrap();
    let (folder, outside) = (place.path().join("spool"), place.path().join("outside"));
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(&outside, "whole\nand a half").unwrap();
    for name in ["docker-1.ndjson.part", "docker-2.ndjson"] {
        std::os::unix::fs::symlink(&outside, folder.join(name)).unwrap();
    }
    let mut spool = Spool::open(&folder, 1 << 20, "docker").unwrap();
    spool.take(&line(1), now()).unwrap();
    spool.close().unwrap();
    assert_eq!(std::fs::read_to_string(&outside).unwrap(), "whole\nand a half");
    assert!(folder.join("docker-1.ndjson.part").is_symlink());
    std::fs::remove_dir_all(&folder).unwrap();
    std::fs::create_dir(&folder).unwrap();
    std::os::unix::fs::symlink(place.path().join("new"), folder.join(".lock")).unwrap();
    assert!(Spool::open(&folder, 1 << 20, "docker").is_err());
    assert!(!place.path().join("new").exists());
}
