//! What is said of runs that have not begun: who is asked, that nothing later moves it, and that it is kept.

use crate::program::Place;
use serde_json::Value;
use std::fmt::Write;
use std::process::Stdio;

const NOW: &str = "2026-10-25T12:00:00Z";

fn stamp(second: u64) -> String {
    let (day, hour, rest) = (1 + second / 86_400, second / 3600 % 24, second % 3600);
    format!("2026-10-{day:02}T{hour:02}:{:02}:{:02}Z", rest / 60, rest % 60)
}

/// One run: every third is for pull request 7, which stays open; every third for 8, which is merged; the rest on main. A
/// change of more than 500 lines takes twice as long, needs twice the memory, and then more than it has.
fn run(lines: &mut String, i: u64, second: u64) {
    let churn = i.wrapping_mul(7919) % 1000;
    let heavy = churn > 500;
    let duration_ms = (90_000 + (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20) % 20_000) * if heavy { 2 } else { 1 };
    // Without a pattern, so that intervals can hold.
    let memory = (300 + (i.wrapping_mul(2_654_435_761) >> 9) % 50) << if heavy { 21 } else { 20 };
    let what = match i % 3 {
        0 => r#""pr":7,"branch":"fix/seven""#,
        1 => r#""pr":8,"branch":"fix/eight""#,
        _ => r#""branch":"main""#,
    };
    let payload = format!(
        r#"{{"run_id":"{i}","duration_ms":{duration_ms},"workflow":"ci","job":"test","result":"success","cpu_ms":{},"memory_peak_bytes":{memory},"memory_limit_bytes":{},"cpu_limit_cores":2,"src_churn":{churn},"psi_memory_some":{}}}"#,
        duration_ms / 2,
        512 << 20,
        if heavy { 0.4 } else { 0.01 }
    );
    let ts = stamp(second);
    writeln!(lines, r#"{{"ts":"{ts}","type":"ci_run","repo":"acme/api",{what},"payload":{payload}}}"#).unwrap();
}

pub fn lake() -> Place {
    filled(Place::new())
}

pub fn filled(place: Place) -> Place {
    let mut lines = String::new();
    for pr in [7, 8] {
        let branch = if pr == 7 { "fix/seven" } else { "fix/eight" };
        writeln!(
            lines,
            r#"{{"ts":"2026-10-01T00:00:00Z","type":"pr","repo":"acme/api","pr":{pr},"branch":"{branch}","payload":{{"action":"opened"}}}}"#
        )
        .unwrap();
    }
    writeln!(
        lines,
        r#"{{"ts":"2026-10-25T11:00:00Z","type":"pr","repo":"acme/api","pr":8,"payload":{{"action":"merged"}}}}"#
    )
    .unwrap();
    (0..290).for_each(|i| run(&mut lines, i, i * 7200 + 60));
    place.json(&["ingest", &place.write("runs.ndjson", lines)]);
    place.json(&["materialize"]);
    place
}

fn predictions(place: &Place, now: &str) -> Vec<Value> {
    place.sql(&format!("select * from predictions.runs where predicted_at = timestamp '{now}' order by prediction_id"))
}

#[test]
fn nothing_that_comes_later_moves_a_prediction_and_another_day_keeps_it() {
    let place = lake();
    let nothing = place.run(&["--now", NOW, "predict"]);
    assert_eq!((nothing.code, nothing.err.contains("pipeline train")), (5, true), "{}", nothing.err);
    place.json(&["--now", NOW, "train"]);
    let said = place.json(&["--now", NOW, "predict"]);
    assert_eq!((said["rows"].as_u64(), said["pull_requests"].as_u64()), (Some(2), Some(1)), "{said}");
    assert_eq!(said["stale"], false);
    let before = predictions(&place, NOW);
    let [pull_request, main] = &before[..] else { panic!("{before:?}") };
    assert_eq!(pull_request["pr_id"], "acme/api#7");
    assert_eq!((main["pr_id"].as_str(), main["reason"].as_str()), (None, Some("main_branch")));
    for row in [main, pull_request] {
        let level = |name: &str| row[name].as_f64().unwrap_or_else(|| panic!("{name} of {row}"));
        assert!(
            level("p50_duration_ms") <= level("p90_duration_ms")
                && level("p90_duration_ms") <= level("p99_duration_ms")
        );
        assert!((50_000.0..400_000.0).contains(&level("p50_duration_ms")), "{row}");
        assert!(level("p90_memory_peak_bytes") > 2e8 && level("p50_cpu_ms") > 2e4, "{row}");
        assert!((0.0..=1.0).contains(&level("contended_probability")) && level("confidence_score") > 0.4, "{row}");
        assert!(row["model"].as_str().unwrap().starts_with("build-time 2026"), "{row}");
    }
    // Which of the two the last change made heavy is known, and so that it needs more memory than it has.
    for (row, i) in [(main, 289), (pull_request, 288)] {
        let heavy = i * 7919 % 1000 > 500;
        assert_eq!(row["needs_more_memory"], heavy, "{row}");
        assert_eq!(row["contended_probability"].as_f64().unwrap() > 0.5, heavy, "{row}");
    }

    // The planted future: it fails, takes ten times as long, closes the pull request, opens another, and ends what ran.
    let mut later = String::new();
    for i in 0..50 {
        run(&mut later, 1000 + i, 24 * 86_400 + 12 * 3600 + i * 600);
        let payload =
            format!(r#"{{"run_id":"x{i}","duration_ms":4000000,"workflow":"ci","job":"test","result":"failure"}}"#);
        let ts = stamp(24 * 86_400 + 11 * 3600 + 3000 + i);
        writeln!(later, r#"{{"ts":"{ts}","type":"ci_run","repo":"acme/api","branch":"main","payload":{payload}}}"#)
            .unwrap();
    }
    for (pr, action) in [(7, "merged"), (9, "opened")] {
        writeln!(
            later,
            r#"{{"ts":"2026-10-25T13:00:00Z","type":"pr","repo":"acme/api","pr":{pr},"payload":{{"action":"{action}"}}}}"#
        )
        .unwrap();
    }
    place.json(&["ingest", &place.write("later.ndjson", later)]);
    place.json(&["materialize"]);
    place.json(&["--now", NOW, "predict"]);
    assert_eq!(predictions(&place, NOW), before);

    // The same day once more replaces, the next day is kept beside it.
    let [again, next] = ["2026-10-25T23:00:00Z", "2026-10-26T01:00:00Z"];
    place.json(&["--now", again, "predict"]);
    let keys =
        |rows: &[Value]| rows.iter().map(|r| r["prediction_id"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!(
        keys(&predictions(&place, NOW)),
        ["2026-10-25 acme/api ci/test acme/api#7"],
        "merged since: not asked again"
    );
    assert_eq!(keys(&predictions(&place, again)).len(), 2, "main, and the new pull request");
    place.json(&["--now", next, "predict"]);
    let days = place.sql("select count(distinct cast(predicted_at as date)) as days, count(distinct prediction_id) as ids, count(*) as n from predictions.runs");
    assert_eq!((days[0]["days"].as_u64(), days[0]["ids"] == days[0]["n"]), (Some(2), true), "{days:?}");
    let held = place.json(&["--now", next, "sql", "-f", "predictions-held"]);
    assert_eq!(held["rows"].as_array().map(Vec::len), Some(2), "{held}");

    // Several at once each keep what the others said.
    let children: Vec<_> = (27..31)
        .map(|day| {
            let now = format!("2026-10-{day}T12:00:00Z");
            let mut command = place.command(&["--json", "--now", &now, "predict"]);
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    for child in children {
        let ended = child.wait_with_output().unwrap();
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    }
    let days = place.sql("select count(distinct cast(predicted_at as date)) as days from predictions.runs");
    assert_eq!(days[0]["days"].as_u64(), Some(6), "{days:?}");
}

/// Runs in a container that was quiet whenever it was sampled: what the demand model expects of the runs to come holds its
/// limit up, and the plan says so.
#[test]
fn a_limit_holds_what_the_runs_to_come_are_expected_to_need() {
    let place = Place::new();
    let mut lines = String::new();
    (0..290).for_each(|i| run(&mut lines, i, i * 7200 + 60));
    let mut lines = lines.replace(r#""repo":"acme/api","#, r#""repo":"acme/api","env":"shop","resource":"shop/api","#);
    for second in (0..24 * 86_400 + 12 * 3600).step_by(300) {
        let payload = r#"{"interval_s":300,"cpu_cores":0.2,"memory_bytes":104857600,"memory_limit_bytes":419430400}"#;
        let ts = stamp(second);
        writeln!(lines, r#"{{"ts":"{ts}","type":"usage","env":"shop","resource":"shop/api","payload":{payload}}}"#)
            .unwrap();
    }
    place.json(&["ingest", &place.write("runs.ndjson", lines)]);
    place.json(&["materialize"]);
    place
        .write("compose.yaml", "name: shop\nservices:\n  api:\n    image: api\n    cpus: \"2\"\n    mem_limit: 400m\n");
    let planned = || {
        let plan = place.json(&["--now", NOW, "plan", "--target", "compose:compose.yaml"]);
        plan["items"][0].clone()
    };
    let memory = |item: &Value| item["after"]["memory_bytes"].as_u64().unwrap_or_else(|| panic!("{item:#}"));
    let quiet = planned();
    assert!(memory(&quiet) < 400 << 20, "{quiet:#}");
    place.json(&["--now", NOW, "train", "demand"]);
    place.json(&["--now", NOW, "predict"]);
    let foreseen =
        place.sql("select max(p90_memory_peak_bytes) as bytes from predictions.runs where resource = 'shop/api'");
    let foreseen = foreseen[0]["bytes"].as_f64().unwrap_or_else(|| panic!("{foreseen:?}"));
    let raised = planned();
    assert!(memory(&raised) as f64 >= foreseen && memory(&raised) > memory(&quiet), "{foreseen}: {raised:#}");
    assert!(raised["evidence"].to_string().contains("predictions.runs"), "{raised:#}");
    // A day later it is not known any more.
    let plan = place.json(&["--now", "2026-10-26T13:00:00Z", "plan", "--target", "compose:compose.yaml"]);
    assert_eq!(memory(&plan["items"][0]), memory(&quiet), "{plan:#}");
}
