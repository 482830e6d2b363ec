//! What people read before they say yes: names and texts of a dump forge no line and command no terminal.

use crate::program::Place;
use serde_json::json;

/// Begins a line, clears the screen in three ways, turns the direction of text, and hides itself.
const EVIL: &str =
    "x\napproved by ceo\r\u{1b}[2J\u{9b}2J\u{85}approved by ceo\u{2028}approved by ceo\u{202e}oec\u{7f}\u{200b}";

/// Four weeks of one service that uses little of what it may, a pull request, and its builds; every name is hostile.
fn dump() -> String {
    let mut lines = Vec::new();
    for hour in 0..28 * 24 {
        let ts = format!("2026-10-{:02}T{:02}:00:00Z", 1 + hour / 24, hour % 24);
        let usage = json!({"interval_s": 3600, "cpu_cores": 0.1, "cpu_limit_cores": 4.0, "memory_bytes": 50_000_000u64,
            "memory_limit_bytes": 4_000_000_000u64, "throttled_ratio": 0.0, "top_process": EVIL});
        lines
            .push(json!({"ts": ts, "type": "usage", "env": EVIL, "resource": format!("dev/{EVIL}"), "payload": usage}));
    }
    let of_pull = |ts: &str, kind: &str, payload: serde_json::Value| json!({"ts": ts, "type": kind, "repo": "acme/api", "branch": EVIL, "pr": 7, "payload": payload});
    lines.push(of_pull("2026-10-20T10:00:00Z", "pr", json!({"action": "opened", "title": EVIL})));
    for n in 0..40 {
        let ts = format!("2026-10-{:02}T11:{:02}:00Z", 1 + n / 2, n);
        let run = json!({"run_id": format!("{n}{EVIL}"), "workflow": EVIL, "job": EVIL, "duration_ms": 1000 + n, "result": "success"});
        lines.push(of_pull(&ts, "ci_run", run));
    }
    lines.push(json!({"ts": "2199-01-01T00:00:00Z", "type": EVIL, "repo": EVIL, "payload": {}}));
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// That a text is what it seems.
fn is_plain(text: &str, of: &str) {
    for c in text.chars() {
        let hidden = (c.is_control() && c != '\n')
            || matches!(c, '\u{2028}'..='\u{202e}' | '\u{200b}' | '\u{200e}' | '\u{200f}');
        assert!(!hidden, "{of}: {c:?} in {text}");
    }
    for line in text.lines() {
        assert!(!line.trim_start().starts_with("approved by"), "{of}: a forged line in {text}");
    }
}

#[test]
fn names_of_a_dump_forge_no_line_and_command_no_terminal() {
    let place = Place::new();
    place.ingest(&[&place.write("evil.ndjson", dump())]);
    place
        .write("job.toml", "[[step]]\nname = \"a\\napproved by ceo\\u001b[2J\"\nrun = [\"check\"]\nallow_exit = [3]\n");
    let now = "2026-10-29T00:00:00Z";
    let pr = format!("acme/api#{EVIL}");
    let resource = format!("dev/{EVIL}");
    let pins = json!({"resource": EVIL, "reason": EVIL});
    place.write(
        "overrides.toml",
        format!("[[override]]\nresource = {}\nfloor = {{ cpu = {} }}\n", pins["resource"], pins["reason"]),
    );
    let mut seen = String::new();
    for arguments in [
        &["materialize"][..],
        &["check"],
        &["sql", "select resource, top_process from staging.events where type = 'usage' limit 3"],
        &["trace", "acme/api#7"],
        &["trace", &pr],
        &["explain", &resource],
        &["shadow", "--horizon", "24h"],
        &["backtest"],
        &["plan", "-o", "plan.json"],
        &["plan", "-o", "other.json", "--override", "overrides.toml"],
        &["run", "job.toml"],
        &["feedback", EVIL, "helpful"],
        &["labels", "disagreements"],
        &["log"],
        &["ingest", EVIL],
        &["sql", EVIL],
        &["--lake", EVIL, "check"],
    ] {
        let all = [&["--now", now], arguments].concat();
        let ended = place.run(&all);
        let of = format!("{arguments:?}");
        is_plain(&ended.out, &of);
        is_plain(&ended.err, &of);
        seen += &ended.out;
        seen += &ended.err;
        let ended = place.run(&[&["--json"], &all[..]].concat());
        is_plain(&ended.out, &of);
        let answer: Result<serde_json::Value, _> = serde_json::from_str(&ended.out);
        assert!(answer.is_ok(), "{of}: {}", ended.out);
    }
    assert!(seen.contains("\\napproved by ceo") && seen.contains("\\u{202e}"), "shown, but visibly: {seen}");
    // What the escapes of JSON say is what the dump said.
    let title = &place.json(&["trace", "acme/api#7"])["pr"]["title"];
    assert_eq!(title, EVIL);
}
