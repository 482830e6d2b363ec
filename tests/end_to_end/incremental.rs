//! However events are split into nights, in whatever order they come: the tables are those of one full refresh.

use crate::program::{Place, checkout};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed};
use serde_json::{Value, json};
use std::process::Command;

const NOW: &str = "2026-12-01T00:00:00Z";

/// An event of a small world in which branches, commits and sessions meet again and again.
fn event() -> impl Strategy<Value = Value> {
    let kind =
        prop::sample::select(vec!["pr", "pr", "commit", "push", "ci_run", "command", "edit", "usage", "annotation"]);
    let minutes = prop_oneof![0..3 * 1440u32, 0..20 * 1440u32, 0..80 * 1440u32];
    let repo = prop::option::weighted(0.95, prop::sample::select(vec!["a/x", "a/y"]));
    let branch = prop::sample::select(vec![Some("f1"), Some("f2"), Some("f3"), Some("main"), None]);
    let number = prop::option::weighted(0.4, 1..6u32);
    let session = prop::option::weighted(0.6, 0..5u32);
    let sha = prop::option::weighted(0.7, 0..12u32);
    let action = prop::sample::select(vec!["opened", "merged", "closed", "reopened", "reviewed", "commented"]);
    (kind, minutes, repo, branch, number, session, sha, action, 0..100u32).prop_map(
        |(kind, minutes, repo, branch, number, session, sha, action, n)| {
            let sha = sha.map(|sha| format!("c{sha}"));
            let payload = match kind {
                "pr" => json!({"action": action, "title": format!("t{}", n % 3)}),
                "commit" | "push" => json!({"sha": sha.unwrap_or_default(), "insertions": n}),
                "ci_run" => json!({"run_id": n % 20, "duration_ms": n * 1000, "sha": sha, "workflow": "ci",
                    "result": (if n % 2 == 0 { "success" } else { "failure" })}),
                "command" => json!({"command": "make", "exit_code": n % 2, "duration_ms": n * 100, "sha": sha}),
                "edit" => json!({"file": format!("f{}.rs", n % 4)}),
                "usage" => json!({"interval_s": 60, "cpu_cores": 1.0, "throttled_ratio": f64::from(n) / 100.0}),
                _ => json!({"note": "n"}),
            };
            let start = 1_785_542_400 + i64::from(minutes) * 60;
            json!({"ts": domain::Timestamp(start * 1_000_000).to_string(), "type": kind, "repo": repo, "branch": branch,
                "pr": number.filter(|_| repo.is_some()), "session": session.map(|s| format!("s{s}")),
                "env": "dev", "payload": payload})
        },
    )
}

/// Events of the sample team, as they were recorded.
fn sample() -> Vec<Value> {
    let dump = checkout().join("data-samples/team/activity.ndjson.gz");
    let text = Command::new("gzip").arg("-dc").arg(dump).output().unwrap().stdout;
    String::from_utf8(text).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn tables(place: &Place) -> Vec<(String, Vec<String>)> {
    let listed = place.sql(
        "select table_schema || '.' || table_name as name from information_schema.tables
         where table_schema in ('traces', 'marts') order by name",
    );
    let mut tables = Vec::new();
    for name in listed.iter().map(|row| row["name"].as_str().unwrap()) {
        let ended = place.run(&["--now", NOW, "sql", &format!("select * from {name}"), "--format", "csv"]);
        assert_eq!(ended.code, 0, "{}", ended.err);
        let mut rows: Vec<String> = ended.out.lines().map(str::to_owned).collect();
        rows.sort();
        tables.push((name.to_owned(), rows));
    }
    assert!(tables.len() >= 8);
    tables
}

/// Takes the events night by night, then compares with everything made anew.
fn nights(events: &[Value], cuts: &[prop::sample::Index], compact: bool) -> Result<(), TestCaseError> {
    let place = Place::new();
    // The first night brings most, as a lake's history does; the nights after it are what is tested.
    let first = events.len() * 11 / 20;
    let mut ends: Vec<usize> = cuts.iter().map(|cut| first + cut.index(events.len() - first + 1)).collect();
    ends.extend([first, events.len()]);
    ends.sort_unstable();
    ends.dedup();
    let (mut begin, mut followed) = (0, false);
    for end in ends {
        let lines: Vec<String> = events[begin..end].iter().map(Value::to_string).collect();
        begin = end;
        place.ingest(&[&place.write("dump.ndjson", lines.join("\n"))]);
        if compact {
            place.json(&["lake", "compact"]);
        }
        let built = place.json(&["--now", NOW, "materialize"]);
        followed |=
            built["tables"].as_array().unwrap().iter().any(|table| {
                table["table"] == "traces.events" && table["why"].as_str().unwrap().contains("pull request")
            });
    }
    let night_by_night = tables(&place);
    place.json(&["--now", NOW, "materialize", "--full-refresh"]);
    for ((name, got), (_, want)) in night_by_night.iter().zip(tables(&place)) {
        prop_assert_eq!(got, &want, "{} after nights of {} events", name, events.len());
    }
    prop_assert!(followed, "no night was taken by what it touches");
    Ok(())
}

fn config(cases: u32) -> Config {
    // More with PROPTEST_CASES; the seed is fixed so that a failure is the change's and not the day's.
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(cases);
    Config { cases, max_shrink_iters: 20, rng_seed: RngSeed::Fixed(7), failure_persistence: None, ..Config::default() }
}

proptest! {
    #![proptest_config(config(4))]
    #[test]
    fn nights_in_any_order_are_one_refresh(
        events in prop::collection::vec(event(), 20..120),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 1..4),
        compact in any::<bool>(),
    ) {
        nights(&events, &cuts, compact)?;
    }
}

proptest! {
    #![proptest_config(config(2))]
    #[test]
    fn a_recorded_team_split_anywhere_is_one_refresh(
        events in prop::sample::subsequence(sample(), 200..600).prop_shuffle(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 1..3),
    ) {
        nights(&events, &cuts, false)?;
    }
}
