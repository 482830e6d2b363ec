//! Memory follows rows, not days: one event a day for years, and events that broken clocks scatter over two centuries.

use crate::program::Place;
use serde_json::{Value, json};
use std::process::Stdio;
use std::time::Duration;

/// The most that an ingest or a night of some thousand events may take: a fixed part, whatever the number of days.
const PEAK_KIB: u64 = 1 << 20;

/// Runs with `--json`; what it said, and the most memory it had, in KiB.
fn measured(place: &Place, arguments: &[&str]) -> (Value, u64) {
    let mut command = place.command(&[&["--json"], arguments].concat());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let high = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        peak = peak.max(high.and_then(|high| high.split_whitespace().next()?.parse().ok()).unwrap_or_default());
        std::thread::sleep(Duration::from_millis(5));
    }
    let ended = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{arguments:?}: {}: {said}", ended.status);
    assert!(peak > 0);
    (serde_json::from_slice(&ended.stdout).unwrap(), peak)
}

/// An event of each kind in turn, on that day since 1970.
fn event(n: i64, day: i64) -> Value {
    let ts = domain::Timestamp((day * 86_400 + n % 86_400) * 1_000_000).to_string();
    let (kind, payload) = match n % 5 {
        0 => (
            "ci_run",
            json!({"run_id": n, "duration_ms": 60_000, "workflow": "ci", "job": "test", "sha": format!("c{}", n / 20),
            "result": (if n % 2 == 0 { "success" } else { "failure" })}),
        ),
        1 => ("command", json!({"command": "make", "exit_code": n % 3, "duration_ms": 5_000})),
        2 => ("usage", json!({"interval_s": 60, "cpu_cores": 0.5, "throttled_ratio": 0.1})),
        3 => ("commit", json!({"sha": format!("c{n}"), "message": "m", "files": ["src/a.rs"]})),
        _ => ("annotation", json!({"note": "n"})),
    };
    json!({"ts": ts, "type": kind, "repo": "a/x", "branch": "main", "pr": 1 + n / 10, "env": "dev", "payload": payload})
}

fn dump(place: &Place, name: &str, days: impl Iterator<Item = i64>) -> String {
    let lines: Vec<String> = days.zip(0..).map(|(day, n)| event(n, day).to_string()).collect();
    place.write(name, lines.join("\n"))
}

#[test]
fn one_event_a_day_costs_what_it_holds() {
    let place = Place::new();
    const DAYS: i64 = 3000;
    let dump = dump(&place, "years.ndjson", (0..DAYS).map(|n| 12_000 + n));
    let (report, peak) = measured(&place, &["ingest", &dump]);
    assert_eq!(report["accepted"], DAYS);
    assert!(peak < PEAK_KIB, "ingest took {} MiB", peak >> 10);
    let (_, peak) = measured(&place, &["materialize"]);
    assert!(peak < PEAK_KIB, "materialize took {} MiB", peak >> 10);
    let count = |table: &str| place.sql(&format!("select count(*) as n from {table}"))[0]["n"].as_i64().unwrap();
    assert_eq!((count("marts.runs"), count("marts.usage"), count("traces.events")), (1200, 600, DAYS));
}

#[test]
fn events_scattered_by_broken_clocks_cost_what_they_hold() {
    let place = Place::new();
    // Days from 1970 to 2199 in no order: neighbours are far apart.
    const EVENTS: i64 = 2000;
    let last = 84_000;
    let dump = dump(&place, "clocks.ndjson", (0..EVENTS).map(|n| n * 7919 * 31 % last));
    let (report, peak) = measured(&place, &["ingest", &dump]);
    assert_eq!(report["accepted"], EVENTS);
    assert!(peak < PEAK_KIB, "ingest took {} MiB", peak >> 10);
    let now = ["--now", "2199-12-31T00:00:00Z"];
    let (_, peak) = measured(&place, &[&now[..], &["materialize"]].concat());
    assert!(peak < PEAK_KIB, "materialize took {} MiB", peak >> 10);
    // A night on it reads what it touches.
    let night = place.write("night.ndjson", event(EVENTS + 1, 20_000).to_string());
    place.ingest(&[&night]);
    let (built, peak) = measured(&place, &[&now[..], &["materialize"]].concat());
    assert!(peak < PEAK_KIB, "a night took {} MiB", peak >> 10);
    let runs = built["tables"].as_array().unwrap().iter().find(|table| table["table"] == "marts.runs").unwrap();
    assert!(runs["why"].as_str().unwrap().starts_with("1 day changed"), "{runs}");
}
