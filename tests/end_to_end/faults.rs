//! A killed process, a lake that has gone: never an event lost or doubled.

use crate::dumps::{Numbers, busy, note};
use crate::files::{self, same_staging};
use crate::program::{Place, end, say};
use std::process::Stdio;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const KILLS: u64 = 50;

/// Enough that an ingest takes about a second in the dev profile.
const EVENTS: u64 = 30_000;

#[test]
fn killed_at_fifty_moments_and_sent_again_the_lake_is_that_of_an_uninterrupted_ingest() {
    let dumps = Place::new();
    let dump = dumps.write("busy.ndjson", busy(EVENTS, 50));
    let whole = [EVENTS + EVENTS / 100, EVENTS, 0, EVENTS / 100];
    let uninterrupted = || {
        let place = Place::new();
        let began = Instant::now();
        assert_eq!(place.ingest(&[&dump]), whole);
        (place, began.elapsed())
    };
    // Two at a time from here on, so that what is measured is what is killed.
    let (measured, want) = std::thread::scope(|scope| {
        let (one, other) = (scope.spawn(uninterrupted), scope.spawn(uninterrupted));
        let ((place, one), (_, other)) = (one.join().unwrap(), other.join().unwrap());
        (one.max(other), place)
    });

    // Every moment of the run has its turn, at random within its fiftieth.
    let mut numbers = Numbers(50);
    let moments = (0..KILLS).map(|i| measured.mul_f64((i as f64 + numbers.next(1000) as f64 / 1000.0) / KILLS as f64));
    let moments = Mutex::new(moments.collect::<Vec<_>>());
    let (killed, committed) = (AtomicU64::new(0), AtomicU64::new(0));
    let kill_and_send_again = |moment: Duration| {
        let place = Place::new();
        let mut child = place.command(&["ingest", &dump]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(moment);
        child.kill().unwrap();
        killed.fetch_add(u64::from(child.wait().unwrap().code().is_none()), Ordering::Relaxed);

        let events = place.path("lake/staging/events");
        let rows = files::rows(&events);
        assert!(rows == 0 || rows == EVENTS, "killed after {moment:?}, {rows} events are half a commit");
        committed.fetch_add(u64::from(rows > 0), Ordering::Relaxed);

        let again = place.ingest(&[&dump]);
        assert_eq!(again, [whole[0], EVENTS - rows, rows, whole[3]], "killed after {moment:?}");
        assert_eq!((files::rows(&events), files::rows(&place.path("lake/staging/rejects"))), (EVENTS, whole[3]));
        assert!(same_staging(&place, &want), "killed after {moment:?}");

        // What the killed run had written is named by no log and read by nobody; the next run has swept it away. Only
        // what it wrote before it could say that it writes may be left: the beginnings of two small documents.
        assert_eq!(files::orphans(&events), Vec::<std::path::PathBuf>::new(), "killed after {moment:?}");
        let unfinished = files::unfinished(&place.path("lake/staging"));
        assert_eq!(unfinished, Vec::<std::path::PathBuf>::new(), "killed after {moment:?}");
    };
    let next = || moments.lock().unwrap().pop();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| std::iter::from_fn(next).for_each(kill_and_send_again));
        }
    });
    let [killed, committed] = [killed, committed].map(AtomicU64::into_inner);
    let unfinished = KILLS - committed;
    say(&format!("{KILLS} moments of {measured:?}: {killed} killed, {unfinished} of them before the commit"));
    // How many there are depends on how fast the machine was while it measured; a few show it.
    assert!(unfinished >= KILLS / 5, "only {unfinished} were killed before their commit: this shows nothing");
}

#[test]
fn a_lake_that_has_vanished_is_not_read_as_empty() {
    let place = Place::new();
    place.ingest(&[&place.write("one.ndjson", note(1, "n"))]);
    std::fs::rename(place.path("lake"), place.path("elsewhere")).unwrap();
    let ended = end(place.command(&["sql", "select count(*) from staging.events"]));
    assert_eq!(ended.code, 1, "{}", ended.out);
    assert!(ended.err.contains("is no lake") && ended.err.contains("hint:"), "{}", ended.err);
    assert!(!place.path("lake").exists(), "asking makes no lake");
}
