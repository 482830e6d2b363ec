//! Every SQL table on a small dump: `tests/sql/<schema>/<table>/given/*.ndjson` in, `want.csv` out.
//!
//! `UPDATE=1` writes `want.csv` anew; read the difference before committing it. A file `now` is another time than NOW.

use crate::program::{Place, checkout};
use std::path::Path;

const NOW: &str = "2026-11-01T00:00:00Z";

#[test]
fn every_table_is_what_it_should_be() {
    let root = checkout();
    let mut missing = Vec::new();
    let mut wrong = Vec::new();
    let mut seen = 0;
    for schema in ["traces", "marts", "plans", "stack", "features", "predictions"] {
        for file in std::fs::read_dir(root.join("sql").join(schema)).unwrap() {
            let table = file.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned();
            let folder = root.join("tests/sql").join(schema).join(&table);
            if !folder.join("given").is_dir() {
                missing.push(format!("{schema}.{table}"));
                continue;
            }
            seen += 1;
            let got = build(schema, &table, &folder);
            let want = folder.join("want.csv");
            if std::env::var_os("UPDATE").is_some() {
                std::fs::write(&want, &got).unwrap();
            } else if std::fs::read_to_string(&want).unwrap_or_default() != got {
                wrong.push(format!("{schema}.{table}:\n{got}"));
            }
        }
    }
    assert!(missing.is_empty(), "tables without tests/sql/<schema>/<table>/given: {missing:?}");
    assert!(wrong.is_empty(), "not as want.csv says:\n{}", wrong.join("\n"));
    assert!(seen >= 15);
}

/// The questions people ask: `given` in, `want.csv` out in the report's own order; `parameters` has one NAME=VALUE a line.
#[test]
fn every_report_answers_its_question() {
    let root = checkout();
    let (mut wrong, mut seen) = (Vec::new(), 0);
    for file in std::fs::read_dir(root.join("sql/reports")).unwrap() {
        let name = file.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned();
        let folder = root.join("tests/sql/reports").join(&name);
        assert!(folder.join("given").is_dir(), "tests/sql/reports/{name}/given is missing");
        seen += 1;
        let place = Place::new();
        place.ingest(&[&folder.join("given").display().to_string()]);
        place.json(&["materialize"]);
        commands(&place, &folder);
        let report = |parameters: &[&str]| {
            let ended = place.run(&[&["--now", NOW, "sql", "-f", &name, "--format", "csv"], parameters].concat());
            assert_eq!(ended.code, 0, "{name} {parameters:?}: {}", ended.err);
            ended.out
        };
        let mut got = report(&[]);
        let parameters = std::fs::read_to_string(folder.join("parameters")).unwrap_or_default();
        for parameter in parameters.lines() {
            got += &format!("\n{parameter}\n{}", report(&["--param", parameter]));
        }
        let want = folder.join("want.csv");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&want, &got).unwrap();
        } else if std::fs::read_to_string(&want).unwrap_or_default() != got {
            wrong.push(format!("{name}:\n{got}"));
        }
    }
    assert!(wrong.is_empty(), "not as want.csv says:\n{}", wrong.join("\n"));
    assert!(seen >= 6);
}

/// DevLake #8479 and #7851: what came with a later load was missing until somebody ran a full refresh.
#[test]
fn what_a_later_load_brings_changes_the_metrics_of_what_was_there() {
    let folder = checkout().join("tests/sql/marts/pr_metrics");
    let text = std::fs::read_to_string(folder.join("given/events.ndjson")).unwrap();
    // Every other line tonight, the rest tomorrow: openings without their merges, merges without their openings.
    let half = |odd: usize| text.lines().skip(odd).step_by(2).collect::<Vec<_>>().join("\n");
    let place = Place::new();
    for (night, lines) in [half(1), half(0)].into_iter().enumerate() {
        place.ingest(&[&place.write(&format!("{night}.ndjson"), lines)]);
        place.json(&["materialize"]);
    }
    assert_eq!(sorted(&place, "marts.pr_metrics", NOW), std::fs::read_to_string(folder.join("want.csv")).unwrap());
}

/// Whatever the clock: the current hour is aggregated as a past one with the same samples.
#[test]
fn the_current_hour_is_what_it_will_be_if_no_more_samples_come() {
    let folder = checkout().join("tests/sql/features/resource_hours");
    let text = std::fs::read_to_string(folder.join("given/events.ndjson")).unwrap();
    let hours = |until: &str, now: &str| {
        let place = Place::new();
        let lines: Vec<&str> = text.lines().filter(|line| &line[7..27] <= until).collect();
        place.ingest(&[&place.write("given.ndjson", lines.join("\n"))]);
        place.json(&["materialize"]);
        sorted(&place, "features.resource_hours", now)
    };
    for (clock, next, rows) in [
        ("2026-10-01T00:10:00Z", "2026-10-01T01:00:00Z", 2),
        ("2026-10-01T00:35:00Z", "2026-10-01T01:00:00Z", 3),
        ("2026-10-01T01:30:00Z", "2026-10-01T02:00:00Z", 4),
    ] {
        let current = hours("2100", clock);
        assert_eq!(current, hours(clock, next), "{clock}");
        assert_eq!(current.lines().count(), 1 + rows, "{clock}: {current}");
    }
}

fn build(schema: &str, table: &str, folder: &Path) -> String {
    let place = Place::new();
    let given = folder.join("given").display().to_string();
    let now = std::fs::read_to_string(folder.join("now")).unwrap_or_else(|_| NOW.to_owned());
    let run = |arguments: &[&str]| {
        let ended = place.run(&[&["--now", NOW], arguments].concat());
        assert_eq!(ended.code, 0, "{schema}.{table}: {arguments:?}: {}", ended.err);
    };
    run(&["ingest", &given]);
    run(&["materialize"]);
    commands(&place, folder);
    sorted(&place, &format!("{schema}.{table}"), now.trim())
}

/// What else is to be run before a table or report is looked at: the file `commands`, one a line.
fn commands(place: &Place, folder: &Path) {
    for line in std::fs::read_to_string(folder.join("commands")).unwrap_or_default().lines() {
        let ended = place.run(&line.split_whitespace().collect::<Vec<_>>());
        assert_eq!(ended.code, 0, "{}: {line}: {}", folder.display(), ended.err);
    }
}

/// A table as CSV. SQL promises no order of it.
fn sorted(place: &Place, table: &str, now: &str) -> String {
    let ended = place.run(&["--now", now, "sql", &format!("select * from {table}"), "--format", "csv"]);
    assert_eq!(ended.code, 0, "{table}: {}", ended.err);
    let (head, rows) = ended.out.split_once('\n').unwrap();
    let mut rows: Vec<&str> = rows.lines().collect();
    rows.sort_unstable();
    format!("{head}\n{}\n", rows.join("\n"))
}

#[test]
fn materialize_rebuilds_only_what_changed() {
    let place = Place::new();
    let given = checkout().join("tests/sql/marts/usage/given").display().to_string();
    place.ingest(&[&given]);
    let rebuilt = |arguments: &[&str]| {
        let built = place.json(&[&["materialize"], arguments].concat());
        built["tables"].as_array().unwrap().iter().filter(|t| t["rebuilt"] == true).count()
    };
    let all = rebuilt(&["--explain"]);
    assert!(all >= 8);
    assert_eq!(rebuilt(&[]), all);
    assert_eq!(rebuilt(&[]), 0, "nothing is new");
    place.ingest(&[&place.write("x.ndjson", r#"{"ts":"2026-10-09T00:00:00Z","type":"x"}"#)]);
    assert_eq!(rebuilt(&["--explain"]), all, "all of them read the events");
    assert_eq!(rebuilt(&["--full-refresh"]), all);
}

#[test]
fn other_engines_find_plain_parquet_and_a_delta_log() {
    let place = Place::new();
    let given = checkout().join("tests/sql/marts/usage/given").display().to_string();
    place.ingest(&[&given]);
    let partitions: Vec<_> =
        std::fs::read_dir(place.path("lake/staging/events")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(partitions.iter().any(|name| name == "_delta_log"));
    assert!(partitions.iter().any(|name| name.to_string_lossy().starts_with("event_date=2026-10-")));
}

#[test]
fn checks_find_a_wrong_clock_and_a_missing_file() {
    let place = Place::new();
    let given = checkout().join("tests/sql/marts/runs/given").display().to_string();
    place.ingest(&[&given]);
    place.json(&["materialize"]);
    let (soon, later) = ("2026-10-03T00:00:00Z", "2026-10-12T00:00:00Z");
    let sound = place.json(&["--now", soon, "check"]);
    assert_eq!(sound["findings"].as_array().map(Vec::len), Some(0), "{sound}");
    assert_eq!(sound["checks"].as_array().map(Vec::len), Some(49), "every check ran: {sound}");
    let found = |place: &Place, now: &str| {
        let ended = place.run(&["--json", "--now", now, "check"]);
        assert_eq!(ended.code, 3, "{}", ended.err);
        let answer: serde_json::Value = serde_json::from_str(&ended.out).unwrap();
        answer["findings"]
            .as_array()
            .unwrap()
            .iter()
            .map(|f| f["check"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    place.ingest(&[&place.write("late.ndjson", r#"{"ts":"2031-01-01T00:00:00Z","type":"x"}"#)]);
    assert_eq!(found(&place, soon), ["events_in_time"]);
    assert_eq!(found(&place, later), ["staging.events", "events_in_time"], "the newest usable event is old");
    let parts: Vec<_> = place.lake_files().into_iter().map(|(path, _)| path).collect();
    let part = parts
        .iter()
        .find(|p| p.to_string_lossy().contains("marts/runs/") && p.extension().is_some_and(|e| e == "parquet"));
    std::fs::rename(part.unwrap(), place.path("moved")).unwrap();
    assert_eq!(found(&place, soon), ["files"]);
}

/// Tables of another program: what their documentation promises does not hold.
#[test]
fn checks_find_what_breaks_the_promise_of_a_column() {
    let place = Place::new();
    let line = |ts: &str, share: &str| {
        format!(
            r#"{{"ts":"2026-10-01T{ts}Z","type":"usage","resource":"dev/api","payload":{{"interval_s":0,"throttled_ratio":{share}}}}}"#
        )
    };
    place.ingest(&[&place
        .write("odd.ndjson", [line("00:10:00", "1.5"), line("00:20:00", "7"), line("00:30:00", "0.5")].join("\n"))]);
    place.json(&["materialize"]);
    let check = |place: &Place| {
        let ended = place.run(&["--json", "--now", "2026-10-02T00:00:00Z", "check"]);
        let answer: serde_json::Value = serde_json::from_str(&ended.out).unwrap();
        let of =
            |f: &serde_json::Value| format!("{}: {}", f["subject"].as_str().unwrap(), f["finding"].as_str().unwrap());
        (ended.code, answer["findings"].as_array().unwrap().iter().map(of).collect::<Vec<_>>())
    };
    let (code, findings) = check(&place);
    assert_eq!((code, findings.len()), (3, 2), "{findings:?}");
    assert!(findings[0].starts_with("marts.usage.interval_s: is not `> 0` in 3 rows, such as "), "{findings:?}");
    let marked = "usage: 2 events with amounts that cannot be: throttled_ratio, such as ";
    assert!(findings[1].starts_with(marked), "{findings:?}");
    // The same rows twice, as a writer without this program's care would leave them; and a row whose event is gone.
    let log = place.path("lake/marts/usage/_delta_log");
    let commit = std::fs::read_to_string(log.join("00000000000000000000.json")).unwrap();
    let add = commit.lines().find(|line| line.contains("\"add\"")).unwrap();
    let mut add: serde_json::Value = serde_json::from_str(add).unwrap();
    let path = add["add"]["path"].as_str().unwrap().to_owned();
    std::fs::copy(place.path("lake/marts/usage").join(&path), place.path("lake/marts/usage/again.parquet")).unwrap();
    add["add"]["path"] = "again.parquet".into();
    std::fs::write(log.join("00000000000000000001.json"), add.to_string()).unwrap();
    let (_, findings) = check(&place);
    assert!(
        findings.iter().any(|f| f.starts_with("marts.usage (event_id): 3 keys are there more than once")),
        "{findings:?}"
    );
}

#[test]
fn one_odd_event_never_stops_the_night() {
    let place = Place::new();
    let odd = [
        r#"{"ts":"2026-10-01T00:00:00Z","type":"pr","repo":"a/b","pr":1,"payload":{"action":"snapshot","merged_at":"not a time","commits":"many"}}"#,
        r#"{"ts":"2026-10-01T00:00:00Z","type":"test","repo":"a/b","pr":1,"payload":{"command":"t","exit_code":0,"duration_ms":9000000000000000}}"#,
        r#"{"ts":"2026-10-01T00:00:00Z","type":"commit","repo":"a/b","pr":1,"payload":{"sha":"x","insertions":9223372036854775807}}"#,
        r#"{"ts":"2026-10-01T00:00:01Z","type":"commit","repo":"a/b","pr":1,"payload":{"sha":"y","insertions":9223372036854775807}}"#,
        r#"{"ts":"2026-10-01T00:00:00Z","type":"schedule","payload":{"event_id":1,"event_type":"load","start_time":"2026-10-01T00:00:00Z","end_time":"2026-10-01T00:00:00Z","details":[{"scale":"x"}]}}"#,
    ];
    place.ingest(&[&place.write("odd.ndjson", odd.join("\n"))]);
    place.json(&["materialize"]);
    for table in ["traces.traces", "marts.runs", "marts.pr_metrics", "features.schedule", "features.runs"] {
        place.sql(&format!("select * from {table}"));
    }
}
