//! Several writers at once, on a folder and on object storage: every event exactly once, and everybody's counts add up.

use crate::dumps::note;
use crate::program::{Place, counts};
use crate::s3_server::Bucket;
use std::process::Stdio;

const WRITERS: u64 = 8;

/// Each writer is given the same dump, one of its own, and half of its neighbour's.
fn eight_writers(place: &Place) {
    let lines = |from: u64, to: u64| (from..to).map(|i| note(i % 3, &format!("n{i}"))).collect::<Vec<_>>();
    let broken: Vec<String> = (0..5).map(|i| format!("no event {i}")).collect();
    let same = place.write("same.ndjson", [lines(0, 200), broken].concat().join("\n"));
    let children: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let (own, neighbour) = (1000 * (1 + writer), 1000 * (1 + (writer + 1) % WRITERS));
            let own = place.write(&format!("{writer}/own.ndjson"), lines(own, own + 100).join("\n"));
            let half = place.write(&format!("{writer}/half.ndjson"), lines(neighbour, neighbour + 50).join("\n"));
            let mut command = place.command(&["--json", "ingest", &same, &own, &half]);
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    let mut accepted = 0;
    for child in children {
        let ended = child.wait_with_output().unwrap();
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        let counts = counts(&serde_json::from_slice(&ended.stdout).unwrap());
        assert_eq!((counts[0], counts[3]), (355, 5));
        accepted += counts[1];
    }
    let distinct = 200 + 100 * WRITERS;
    assert_eq!(accepted, distinct, "the summed accepted");
    for (table, key, rows) in [("events", "event_id", distinct), ("rejects", "reject_id", 5)] {
        let found = place.sql(&format!("select count(*) as n, count(distinct {key}) as d from staging.{table}"));
        assert_eq!((found[0]["n"].as_u64(), found[0]["d"].as_u64()), (Some(rows), Some(rows)), "{table}");
    }
}

#[test]
fn eight_writers_at_once_take_every_event_exactly_once() {
    eight_writers(&Place::new());
}

#[test]
fn eight_writers_at_once_take_every_event_exactly_once_over_s3() {
    let bucket = Bucket::start();
    eight_writers(&Place::with(bucket.environment()));
}
